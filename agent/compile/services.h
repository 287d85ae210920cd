/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_COMPILE_SERVICES_H
#define WEFT_COMPILE_SERVICES_H
/* Balancing: Services and their endpoints to desired->services and desired->backends. Driven by compile.c. */
#include "compile/compile.h"

struct services;

int services_new(struct services **ret, struct model *model, const struct compile_options *options, struct desired *desired);
void services_free(struct services *services);
/* From the model's watch: notes which Services the change touches. Cost proportional to the object that changed. */
void services_changed(struct services *services, const struct object *old, const struct object *new);
/* Recomputes what was noted. Returns the number of table entries that changed, or -errno. */
int services_run(struct services *services);
/* The Service that a number in the maps names, or NULL: names.h */
const struct service_object *services_by_id(const struct services *services, uint32_t id);
/* "NAMESPACE/NAME" for a number, also of a Service that went not long ago; NULL: names nothing. Valid until services_run(). */
const char *services_name(const struct services *services, uint32_t id);

#endif
