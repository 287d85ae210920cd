/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_COMPILE_IDS_H
#define WEFT_COMPILE_IDS_H
/*
 * Numbers for the maps, as names.h promises: a number is the hash of the text it stands for (FNV-1a folded to 32 bits,
 * the next free one on collision, never below IDS_FIRST), counted by its users, and keeps its text for late readers.
 */
#include <stdint.h>

struct ids;

#define IDS_FIRST 16
#define NAMES_KEEP_SECONDS 300

/* A number without users keeps its text for at least `keep_seconds`. 0 or -ENOMEM. */
int ids_new(struct ids **ret, unsigned int keep_seconds);
void ids_free(struct ids *ids);
/* The number of `text`, with one user more. Copies the text. 0: no memory. */
uint32_t ids_get(struct ids *ids, const char *text);
/* One user less. */
void ids_put(struct ids *ids, uint32_t id);
/* NULL if the number stands for nothing (any more). Valid until the next ids_put(). */
const char *ids_text(const struct ids *ids, uint32_t id);

#endif
