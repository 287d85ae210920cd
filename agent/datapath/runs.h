/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_RUNS_H
#define WEFT_RUNS_H
/*
 * The runs of rules in weft_rules. Policy entries with the same rules share one run; a run goes when the last reference
 * does. A run that programs can see is never written again.
 */
#include <stdint.h>

#include "datapath/ranges.h"
#include "datapath/shared_array.h"
#include "util/hash.h"
#include "weft/abi.h"

/* An empty set of structures found by one of their fields. */
#define SET_BY(type, field) { .key_offset = offsetof(type, field), .key_size = sizeof(((type *)0)->field) }

struct runs {
	struct shared_array *rules; /* weft_rules */
	struct ranges ranges;
	struct hash_set by_first, by_content;
};

/* `rules` must outlive it. 0 or -ENOMEM. */
int runs_init(struct runs *runs, struct shared_array *rules);
void runs_clear(struct runs *runs);

/* At start: one reference that is in a map already. runs_settle() follows the last. -EINVAL: it contradicts another. */
int runs_adopt(struct runs *runs, uint32_t first, uint32_t count);
int runs_settle(struct runs *runs); /* like ranges_settle() */

/* Its rules, or NULL where there can be none. */
const struct weft_rule *runs_at(const struct runs *runs, uint32_t first, uint32_t count);
/* A reference to a run with these rules. -ENOSPC: no room (ranges_release() may make some), -ENOMEM. */
int runs_get(struct runs *runs, const struct weft_rule *rules, uint32_t count, uint32_t *ret_first);
/* Gives one back; `first` came from runs_get() or runs_adopt(). */
void runs_put(struct runs *runs, uint32_t first);

#endif
