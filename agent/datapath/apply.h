/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_APPLY_H
#define WEFT_APPLY_H
/* What apply.c, apply_policy.c and apply_services.c share. */
#include "datapath/kernel_map.h"
#include "datapath/load.h"
#include "datapath/ranges.h"
#include "datapath/runs.h"
#include "util/hash.h"

#define VALUE_MAX 128 /* bytes; no value that the agent writes is larger */
_Static_assert(sizeof(struct weft_workload) <= VALUE_MAX, "the largest value of a two-buffer map does not fit");

struct apply {
	struct datapath *datapath;
	bool scanned; /* slots, runs and prefixes agree with the maps, and what is not desired is marked */
	struct ranges slots;
	struct runs runs;
	struct hash_set prefixes; /* struct prefix_entry: weft_prefixes again, for exact look-ups and parents */
	struct hash_set closed;   /* struct closed_subject: those whose policy could not be written whole */
	bool touched[8]; /* the tables that apply_policy_begin() leaves work in for apply_policy_end() */
	bool short_way;
	bool flipped; /* another buffer decides than before, and programs may still ask both */
	int grace; /* map of maps: apply_wait_for_programs() */
	int grace_inner;
};

/* What one datapath_apply() has come to. */
struct outcome {
	uint64_t writes;
	uint64_t failed, deleted;
	int error; /* the first, negative */
};
void outcome_error(struct outcome *outcome, int error);

/* apply.c. For tests: called before each write to the kernel, with what comes next. */
extern void (*apply_step_hook)(const char *step);
void apply_step(const char *step);
/* Returns when all programs that were running at the call have ended. About 10 ms. 0 or -errno. */
int apply_wait_for_programs(struct apply *apply);
/* The same, and then what waited for it is free again. */
int apply_release(struct apply *apply);
int apply_lookup(const struct map *map, const void *key, void *value); /* 1, 0: not there, -errno */

/*
 * apply_policy.c: who is who and what may they; tables workloads, interfaces, addresses, prefixes, policies.
 * apply_policy_begin() brings the new state into force, apply_policy_end() lets the other buffer follow; in between
 * come the services, so that a backend is known before connections go there.
 */
int apply_policy_scan(struct apply *apply);
void apply_policy_clear(struct apply *apply);
int apply_policy_note_stale(struct apply *apply, struct desired *desired);
int apply_policy_begin(struct apply *apply, struct desired *desired, struct outcome *outcome);
void apply_policy_end(struct apply *apply, struct desired *desired, struct outcome *outcome);


/* apply_services.c: tables services and backends */
int apply_services_scan(struct apply *apply);
int apply_services_note_stale(struct apply *apply, struct desired *desired);
void apply_services(struct apply *apply, struct desired *desired, struct outcome *outcome);

#endif
