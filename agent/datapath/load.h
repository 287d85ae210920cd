/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_LOAD_H
#define WEFT_LOAD_H
/*
 * The steps of datapath_open(), in their order: load.c puts them together. Each explains itself in `reason` when
 * it fails.
 */
#include "datapath/internal.h"

struct bpf_object;

/* objects.c: the built objects of bpf/ */
size_t objects_count(void);
const char *objects_name(size_t index);
uint64_t objects_hash(size_t index); /* of its bytes; never 0 in practice */
/* Opened, not loaded. libbpf's words go to the debug log. 0 or -errno. */
int objects_open(size_t index, struct bpf_object **ret);
/* What `error` (negative), met while `what` was loaded, means and how to get past it. Returns the error to report. */
int objects_explain(const char *what, int error, char reason[REASON_MAX]);

/* maps.c: fills datapath->maps with what is pinned; where it is missing or of another layout, with new maps. */
int maps_open(struct datapath *datapath, char reason[REASON_MAX]);
void maps_close(struct datapath *datapath);

/* programs.c: loads all programs on datapath->maps; where the same one is pinned, takes that. */
int programs_load(struct datapath *datapath, char reason[REASON_MAX]);
/* Attaches at the cgroup, or swaps what is attached; pins; takes away what this version does not know. */
int programs_attach(struct datapath *datapath, char reason[REASON_MAX]);
void programs_close(struct datapath *datapath);

/* migrate.c, for the maps that have ->old. First: copies what the old maps hold to the new ones. */
int migrate_copy(struct datapath *datapath, char reason[REASON_MAX]);
/* Then, with the programs loaded: pins the new maps in their place. */
int migrate_pin(struct datapath *datapath, char reason[REASON_MAX]);
/*
 * Then, with the programs attached: copies the entries that the former programs made meanwhile, and lets the old
 * maps go.
 */
int migrate_finish(struct datapath *datapath, char reason[REASON_MAX]);
/*
 * Before all: completes or takes back what a killed agent has begun with map `name`. *ret_old: an old map that is
 * not yet done with, or -1.
 */
int migrate_recover(const struct datapath *datapath, const char *name, int *ret_old);

/* apply.c and collect.c */
int apply_new(struct datapath *datapath);
void apply_free(struct datapath *datapath);
int collect_new(struct datapath *datapath);
void collect_free(struct datapath *datapath);

#endif
