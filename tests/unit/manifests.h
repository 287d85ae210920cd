/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_TEST_MANIFESTS_H
#define WEFT_TEST_MANIFESTS_H
/* Manifests in tests: YAML text to objects of a model, by the same decoder that weftd uses. */
#include "model/model.h"

/* Puts all documents of `text` into the model. Ends the process with a message if one is refused. */
void manifests_put(struct model *model, const char *text);
/* The same with a printf format. */
void manifests_putf(struct model *model, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
