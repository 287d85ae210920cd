/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_TELEMETRY_FLOW_FILTER_H
#define WEFT_TELEMETRY_FLOW_FILTER_H
/*
 * Which flow records somebody wants to see: the options of `meshctl observe` and the `filter` parameters of
 * /v1/flows. A condition is written "[!]FIELD=VALUE", FIELD being a name of flow_filter_fields(), with "from-" or
 * "to-" before it for those that have two sides. Conditions of one field are alternatives; different fields must all
 * match; "!" excludes.
 */
#include <stdbool.h>
#include <stddef.h>

#include "telemetry/flow.h"

#define FLOW_FILTER_MAX 64 /* conditions */

struct flow_filter;

struct flow_filter_field {
	const char *name;
	const char *argument; /* what a usage text calls the value */
	const char *help;
	bool sided; /* from-NAME and to-NAME exist too */
};
/* The table, ended by a row without name. */
const struct flow_filter_field *flow_filter_fields(void);

/* 0 or -ENOMEM. An empty one matches everything. */
int flow_filter_new(struct flow_filter **ret);
void flow_filter_free(struct flow_filter *filter); /* NULL is fine */
/* -EINVAL: `reason` (256 bytes) names the condition and what it takes; -E2BIG: more than FLOW_FILTER_MAX; -ENOMEM. */
int flow_filter_add(struct flow_filter *filter, const char *condition, char reason[256]);
/* A NULL filter matches everything. */
bool flow_filter_matches(const struct flow_filter *filter, const struct flow *flow);

#endif
