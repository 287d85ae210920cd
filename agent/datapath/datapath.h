/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_DATAPATH_H
#define WEFT_DATAPATH_H
/*
 * The kernel side: loads the programs, pins them and their maps under one bpffs directory, adopts what a former agent left
 * there, migrates maps of another layout, writes desired state by difference, reads counters. Knows nothing of policy.
 */
#include <stdbool.h>
#include <stdint.h>

#include "compile/desired.h"

struct datapath;

struct datapath_options {
	const char *bpffs;	/* pin directory, default /sys/fs/bpf/weft; its file system must be bpffs */
	const char *cgroup;	/* cgroup2 directory to attach at; NULL: the first cgroup2 mount of /proc/mounts */
	bool deny_drop;		/* drop denied TCP instead of answering with a reset */
	enum short_way { SHORT_WAY_AUTO, SHORT_WAY_ON, SHORT_WAY_OFF } short_way;
	/* capacities; 0: the default */
	uint32_t max_services, max_slots, max_backends, max_addresses, max_prefixes, max_policies, max_rules, max_connections,
		max_workloads, max_traffic, ring_bytes;
};

/*
 * Loads or adopts everything. What a missing feature or privilege means and how to get it is in `reason` (512 bytes).
 * -ENOTSUP: the kernel lacks something; -EPERM; -ENODEV: no bpffs or no cgroup2; -ENOMEM; others as the kernel says.
 */
int datapath_open(struct datapath **ret, const struct datapath_options *options, char reason[512]);
/* Leaves everything pinned and attached. */
void datapath_close(struct datapath *datapath);
/*
 * For a start that failed: leaves what a former agent had attached, and nothing where there was none. A failed
 * datapath_open() has done so.
 */
void datapath_abandon(struct datapath *datapath);
/* Detaches and unpins everything under options->bpffs. Fine when nothing is there. */
int datapath_cleanup(const struct datapath_options *options, char reason[512]);

/*
 * Writes what is dirty in `desired` and takes it off the dirty lists. The first call compares with what is pinned, so only
 * real differences are written. A table without room leaves its existing entries working, is named by
 * datapath_each_map(), and the rest is written all the same. Returns the number of map writes, or the first -errno met
 * after doing all that could be done; keys not written stay dirty.
 */
int datapath_apply(struct datapath *datapath, struct desired *desired);

/* Programs at an interface of the host's namespace (which must be the caller's). Attaching twice is fine. */
int datapath_attach(struct datapath *datapath, uint32_t ifindex);
int datapath_detach(struct datapath *datapath, uint32_t ifindex); /* fine when the interface is gone */

/* Whether same-node traffic takes the short way, and why (not), e.g. "auto: nftables chain inet filter forward has rules". */
bool datapath_short_way(const struct datapath *datapath, const char **ret_why);
/* Looks again; cheap enough for once in some seconds. */
void datapath_short_way_check(struct datapath *datapath);

int datapath_map_fd(const struct datapath *datapath, const char *name); /* "weft_traffic"; -ENOENT */

struct datapath_map {
	const char *name;
	uint32_t entries, capacity;
	uint64_t full; /* how often a write found no room */
	bool is_full;  /* at the last write */
	const char *option; /* of weftd, that sets its capacity ("max-services"); NULL: it cannot be chosen */
};
int datapath_each_map(struct datapath *datapath, int (*each)(const struct datapath_map *map, void *context), void *context);

struct datapath_program {
	const char *name;
	uint64_t run_count, run_nanoseconds; /* 0 unless kernel.bpf_stats_enabled */
};
int datapath_each_program(struct datapath *datapath, int (*each)(const struct datapath_program *program, void *context), void *context);

void datapath_heartbeat(struct datapath *datapath);
/* Told of each tracked connection that is taken out because it is over or idle. NULL: nobody. */
typedef void datapath_over_fn(const struct weft_conn_key *key, const struct weft_conn *conn, void *context);
void datapath_watch_over(struct datapath *datapath, datapath_over_fn *over, void *context);
/* Removes tracked connections that are over or idle; call every few seconds. Returns how many, or -errno. */
int datapath_collect_connections(struct datapath *datapath);

#endif
