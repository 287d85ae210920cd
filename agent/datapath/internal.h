/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_DATAPATH_INTERNAL_H
#define WEFT_DATAPATH_INTERNAL_H
/*
 * What the files of datapath/ share. load.c fills struct datapath; apply.c, migrate.c, collect.c and attach.c work on
 * it.
 *
 * The pinned layout, below datapath_options.bpffs (a directory of Weft's own on a bpffs):
 *
 *   maps/NAME          every map of bpf/lib/maps.h
 *   maps/NAME_old      only while a map of another layout is being replaced: migrate.c
 *   maps/NAME_new      (bpffs refuses names with a dot)
 *   programs/NAME      every program, as attached
 *   objects/NAME       ARRAY of one __u64: hash of the object whose programs these are; programs.c
 *   links/NAME         the cgroup link of program NAME
 *   interfaces/...     attach.c's
 *   abi                ARRAY of one __u32: the WEFT_ABI_VERSION that wrote all this
 *
 * The directory itself is flock()ed by the agent that works on it; the kernel lets go however the agent ends.
 */
#include <limits.h>
#include <stddef.h>

#include "datapath/datapath.h"
#include "datapath/shared_array.h"

#define REASON_MAX 512 /* of the `reason` of datapath_open() and datapath_cleanup() */

struct attach;	  /* attach.c */
struct short_way_state; /* short_way.c */
struct apply;	  /* apply.c */
struct collect;	  /* collect.c */

/* A map of bpf/lib/maps.h. */
struct map {
	char name[24];
	uint32_t type, key_size, value_size, capacity, flags, id;
	int fd;
	int old; /* only while it replaces a pinned map of another layout: that one; else -1 */
	bool created; /* by this agent, now */
	uint32_t entries; /* kept by whoever writes the map, or by collect.c's census where the programs write */
	uint64_t full;
	bool is_full;
	bool full_told; /* in the log */
};

/* A loaded program. */
struct program {
	char name[24];
	uint32_t type;	      /* BPF_PROG_TYPE_* */
	uint32_t attach_type; /* expected; BPF_TRACE_ITER for iterators */
	int fd;		      /* of the one in force: what a former agent pinned, when it is the same */
	uint32_t id;
	int link; /* of iterators once used, else -1 */
};

struct datapath {
	struct datapath_options options; /* .bpffs and .cgroup are resolved and owned here */
	char directory[PATH_MAX];	 /* the pin directory, no slash at the end */
	int lock;			 /* descriptor of the pin directory, flock()ed */
	bool first;			 /* no former agent has left anything there */

	struct map *maps;
	size_t map_count;
	struct program *programs;
	size_t program_count;

	struct weft_control *control; /* mapped */
	struct shared_array control_array, slots, rules;

	struct apply *apply;
	struct collect *collect;
	struct attach *attach;
	struct short_way_state *short_way;
};

/* Writes why something failed; cut where it does not fit. */
void explain_failure(char reason[REASON_MAX], const char *format, ...) __attribute__((format(printf, 2, 3)));

/* NULL when there is none. */
struct map *datapath_find_map(const struct datapath *datapath, const char *name);
/* The option that sets its capacity, or NULL. */
const char *map_option(const struct map *map);
struct program *datapath_find_program(const struct datapath *datapath, const char *name);

/* "DIRECTORY/RELATIVE" to `path` (PATH_MAX bytes). 0 or -ENAMETOOLONG. */
int datapath_path(const struct datapath *datapath, const char *relative, char *path);
/*
 * Pins at DIRECTORY/RELATIVE, in place of what is pinned there, in one step: there is never a moment without a pin.
 * The directory that holds it is made if it is missing.
 */
int datapath_pin(const struct datapath *datapath, int fd, const char *relative);

/*
 * attach.c. The programs at interfaces are `from_pod` (tc ingress of the host-side interface) and `to_pod` (tc
 * egress). attach_open() runs at the end of datapath_open(), with programs loaded and pinned: it finds the interfaces
 * where a former agent left programs and, where these are not the programs of now (compare ids), replaces them in one
 * step each.
 */
int attach_open(struct datapath *datapath, char reason[REASON_MAX]);
void attach_close(struct datapath *datapath); /* NULL ->attach is fine; leaves everything attached */
/*
 * For datapath_cleanup(), before `directory` is removed: takes the programs off all interfaces and unpins
 * attach.c's.
 */
int attach_cleanup(const char *directory, char reason[REASON_MAX]);

/* short_way.c. In datapath_open() before attach_open(); looks a first time. */
int short_way_open(struct datapath *datapath, char reason[REASON_MAX]);
void short_way_close(struct datapath *datapath);

/*
 * apply.c: short_way.c's finding has changed; brings WEFT_WORKLOAD_SHORT_WAY of all workloads and interfaces up to
 * date.
 */
int apply_short_way(struct datapath *datapath, bool on);

#endif
