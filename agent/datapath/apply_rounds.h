/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_APPLY_ROUNDS_H
#define WEFT_APPLY_ROUNDS_H
/*
 * For apply_policy.c: the five tables whose values have two buffers (apply_kinds.c), and going over their dirty keys
 * (apply_rounds.c).
 */
#include "datapath/apply.h"

struct prefix_entry {
	struct weft_prefix key;
	struct weft_prefix_value value;
};

struct closed_subject {
	uint32_t subject;
};

struct round;

/* One table whose values have two buffers. */
struct kind {
	const char *map;
	size_t table; /* in struct desired */
	/* Whether `buffer` of `value` says what `desired` (NULL: not there) wants. */
	bool (*matches)(struct round *round, const void *key, const void *value, const void *desired, size_t size,
			uint32_t buffer);
	/* Makes it say so. 0 or -errno. */
	int (*encode)(struct round *round, const void *key, const void *desired, size_t size, uint32_t buffer, void *value);
	/* What has no buffers; may be NULL. It may come early or late, but not after the epoch was raised for it. */
	void (*encode_common)(const struct apply *apply, const void *desired, void *value);
	/* What `value` was before it is overwritten or deleted goes out of use. */
	void (*drop)(struct apply *apply, const void *value, uint32_t buffer);
	void (*refused)(struct round *round, const void *key);
};

/* One pass over one table. */
struct round {
	struct apply *apply;
	struct desired *desired;
	const struct kind *kind;
	struct table *table;
	struct map *map;
	struct map_writer writer;
	struct outcome *outcome;
	uint32_t target;	 /* the buffer to write; WEFT_BUFFERS: both at once */
	uint32_t deciding;	 /* the buffer that holds the state in force */
	bool changes;		 /* something in force is to change */
	bool was_empty;		 /* the map: nothing to look up */
	bool touched;		 /* apply_policy_end() has something to do with this table */
	int error;		 /* not for lack of room */
};

/* apply_kinds.c. Policies come first: what finds no room there decides which subjects of workloads are closed. */
#define KIND_COUNT 5
extern const struct kind kinds[KIND_COUNT];
struct table *table_of(const struct desired *desired, const struct kind *kind);

/* Copies an entry of weft_prefixes. 0 or -ENOMEM. */
int prefix_note(struct apply *apply, const struct weft_prefix *key, const struct weft_prefix_value *value);
/* What the longest parent of `prefix` says in the map, in `buffer`; 0 without one. */
uint32_t prefix_parent(const struct apply *apply, const struct weft_prefix *prefix, uint32_t buffer);

/* Workloads and interfaces whose subject is closed become dirty. */
void closed_mark(struct apply *apply, struct desired *desired);
void closed_forget(struct apply *apply);

/* apply_rounds.c. Over the dirty keys of all tables; the first error that is not one of room ends it. */
int rounds_write(struct round *round);	/* what is desired to round->target */
int rounds_follow(struct round *round); /* what is in force to the other buffer; deletes what is gone */

#endif
