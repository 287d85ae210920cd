/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_TELEMETRY_PODS_H
#define WEFT_TELEMETRY_PODS_H
/* Which pod has an address: for flow records, which come faster than the model changes. */
#include "model/model.h"

struct pods;

int pods_new(struct pods **ret, const struct model *model); /* 0 or -ENOMEM */
void pods_free(struct pods *pods);			    /* NULL is fine */
/* The model changed: what is not found is looked for again. Costs nothing by itself. */
void pods_model_changed(struct pods *pods);
/* NULL if no running pod has it. Valid until the model changes. Pods of the host's network are the node, not a pod. */
const struct pod_object *pods_find(struct pods *pods, const struct weft_addr *addr);

#endif
