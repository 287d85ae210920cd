/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_LIB_MAPS_H
#define WEFT_LIB_MAPS_H
/*
 * All maps, once. agent/datapath/ creates or adopts them, sets the capacities from its options and pins them by name; every
 * object then uses the same ones. The capacities here are the defaults. What each holds is told in weft/abi.h.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "weft/abi.h"

#define WEFT_HASH(name, key_type, value_type, entries)                                                                 \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_HASH);                                                                       \
		__uint(max_entries, entries);                                                                          \
		__uint(map_flags, BPF_F_NO_PREALLOC);                                                                  \
		__type(key, key_type);                                                                                 \
		__type(value, value_type);                                                                             \
	} name SEC(".maps")

#define WEFT_LRU(name, key_type, value_type, entries)                                                                  \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_LRU_HASH);                                                                   \
		__uint(max_entries, entries);                                                                          \
		__type(key, key_type);                                                                                 \
		__type(value, value_type);                                                                             \
	} name SEC(".maps")

#define WEFT_SHARED_ARRAY(name, value_type, entries)                                                                   \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                                      \
		__uint(max_entries, entries);                                                                          \
		__uint(map_flags, BPF_F_MMAPABLE);                                                                     \
		__type(key, __u32);                                                                                    \
		__type(value, value_type);                                                                             \
	} name SEC(".maps")

#define WEFT_PERCPU_ARRAY(name, value_type, entries)                                                                   \
	struct {                                                                                                       \
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);                                                               \
		__uint(max_entries, entries);                                                                          \
		__type(key, __u32);                                                                                    \
		__type(value, value_type);                                                                             \
	} name SEC(".maps")

WEFT_SHARED_ARRAY(weft_control, struct weft_control, 1);

/* who is who, and what may they: written by the agent */
WEFT_HASH(weft_workloads, __u64, struct weft_workload, 1024);
WEFT_HASH(weft_interfaces, __u32, struct weft_workload, 1024);
WEFT_HASH(weft_addresses, struct weft_addr, struct weft_address, 262144);
WEFT_HASH(weft_policies, struct weft_policy_key, struct weft_policy, 524288);
WEFT_SHARED_ARRAY(weft_rules, struct weft_rule, 262144);
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct weft_prefix);
	__type(value, struct weft_prefix_value);
} weft_prefixes SEC(".maps");

/* balancing: written by the agent, but for weft_service.next */
WEFT_HASH(weft_services, struct weft_service_key, struct weft_service, 131072);
WEFT_SHARED_ARRAY(weft_slots, struct weft_slot, 524288);
/* entries made by the agent, state by the programs */
WEFT_HASH(weft_backends, struct weft_backend_key, struct weft_backend, 262144);

/* state of the programs */
WEFT_LRU(weft_affinity, struct weft_affinity_key, struct weft_affinity, 65536);
WEFT_LRU(weft_udp_peers, struct weft_udp_peer_key, struct weft_udp_peer, 65536);
WEFT_LRU(weft_fragments, struct weft_fragment_key, struct weft_fragment, 8192);
WEFT_LRU(weft_denials, struct weft_denial_key, __u64, 4096);
WEFT_HASH(weft_conntrack, struct weft_conn_key, struct weft_conn, 262144);
/*
 * Made and removed with each connection. Not a socket storage, which costs several times as much to make, because the kernel
 * accounts each to the process's cgroup; and preallocated, so that an entry is one that was in use a moment ago.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct weft_socket);
} weft_sockets SEC(".maps");

/* telemetry */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct weft_traffic_key);
	__type(value, struct weft_traffic);
} weft_traffic SEC(".maps");
WEFT_PERCPU_ARRAY(weft_drops, struct weft_drop, WEFT_REASON_COUNT * 2);
WEFT_PERCPU_ARRAY(weft_errors, __u64, WEFT_PLACE_COUNT);
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 * 1024 * 1024);
} weft_events SEC(".maps");

#endif
