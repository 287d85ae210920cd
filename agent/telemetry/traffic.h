/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_TELEMETRY_TRAFFIC_H
#define WEFT_TELEMETRY_TRAFFIC_H
/* The per-CPU counters of weft_traffic, added up. */
#include <stddef.h>

#include "agent.h"
#include "weft/abi.h"

struct traffic {
	struct weft_traffic_key key;
	struct weft_traffic sum;
};

/* Adds the counters of `from` to `sum`. */
void traffic_add(struct weft_traffic *sum, const struct weft_traffic *from);
/* *ret is malloc'd. 0 or -errno. */
int traffic_read(const struct agent *agent, struct traffic **ret, size_t *ret_count);
/*
 * Gives back the entries of identities that names.h has forgotten: their series end, the map has room again. Returns
 * how many, or -errno.
 */
int traffic_collect(const struct agent *agent);

#endif
