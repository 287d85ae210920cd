/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_INTERN_H
#define WEFT_INTERN_H
#include <stddef.h>

/*
 * The one copy of a string for the life of the process: names, namespaces, labels and zones repeat by the hundred thousand.
 * NULL in, NULL out; NULL also when there is no memory for a new string.
 */
const char *intern(const char *text);
const char *intern_n(const char *text, size_t length);
/* Frees everything: for leak checkers at the end of a test or program. All interned pointers are invalid afterwards. */
void intern_free_all(void);

#endif
