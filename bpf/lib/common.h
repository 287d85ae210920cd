/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_LIB_COMMON_H
#define WEFT_LIB_COMMON_H
#include <linux/bpf.h>
#include <linux/in.h>
#include <stdbool.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "lib/maps.h"

/* Per-CPU counters too: a program of a process can be interrupted, between reading and writing, by one of a packet. */
static __always_inline void count(__u64 *counter, __u64 number)
{
	__sync_fetch_and_add(counter, number);
}

/* A helper failed: never ignored, counted by place. */
static __always_inline void count_error(enum weft_place place)
{
	__u32 index = place;
	__u64 *errors = bpf_map_lookup_elem(&weft_errors, &index);

	if (errors)
		count(errors, 1);
}

static __always_inline void count_drop(enum weft_reason reason, enum weft_direction direction, __u64 bytes)
{
	__u32 index = (__u32)reason * 2 + direction;
	struct weft_drop *drop = bpf_map_lookup_elem(&weft_drops, &index);

	if (!drop)
		return;
	count(&drop->packets, 1);
	count(&drop->bytes, bytes);
}

static __always_inline const struct weft_control *control(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&weft_control, &zero);
}

static __always_inline struct weft_addr addr_v4(__be32 addr)
{
	return (struct weft_addr){ { 0, 0, bpf_htonl(0xffff), addr } };
}

static __always_inline bool addr_is_v4(const struct weft_addr *addr)
{
	return !addr->word[0] && !addr->word[1] && addr->word[2] == bpf_htonl(0xffff);
}

static __always_inline bool addr_equal(const struct weft_addr *a, const struct weft_addr *b)
{
	return a->word[0] == b->word[0] && a->word[1] == b->word[1] && a->word[2] == b->word[2] &&
	       a->word[3] == b->word[3];
}

/* memcmp order of (address, port): below 0, 0, above 0 */
static __always_inline int end_compare(const struct weft_addr *a, __be16 a_port, const struct weft_addr *b, __be16 b_port)
{
#pragma unroll
	for (int i = 0; i < 4; i++)
		if (a->word[i] != b->word[i])
			return bpf_ntohl(a->word[i]) < bpf_ntohl(b->word[i]) ? -1 : 1;
	return (int)bpf_ntohs(a_port) - (int)bpf_ntohs(b_port);
}

/* Fills in a zeroed `key`, but for the protocol, and returns which end of it the source is. */
static __always_inline __u8 conn_key_set(struct weft_conn_key *key, const struct weft_addr *source, __be16 source_port,
					 const struct weft_addr *destination, __be16 destination_port)
{
	if (end_compare(source, source_port, destination, destination_port) <= 0) {
		key->addr[0] = *source;
		key->addr[1] = *destination;
		key->port[0] = source_port;
		key->port[1] = destination_port;
		return 0;
	}
	key->addr[0] = *destination;
	key->addr[1] = *source;
	key->port[0] = destination_port;
	key->port[1] = source_port;
	return 1;
}

static __always_inline const struct weft_address *weft_find_address(const struct weft_addr *addr)
{
	return bpf_map_lookup_elem(&weft_addresses, addr);
}

static __always_inline const struct weft_prefix_value *weft_find_prefix(const struct weft_prefix *prefix)
{
	return bpf_map_lookup_elem(&weft_prefixes, prefix);
}

static __always_inline const struct weft_policy *weft_find_policy(const struct weft_policy_key *key)
{
	return bpf_map_lookup_elem(&weft_policies, key);
}

static __always_inline const struct weft_rule *weft_find_rule(__u32 index)
{
	return bpf_map_lookup_elem(&weft_rules, &index);
}

#include "weft/decide.h"

/* Reserve, fill, submit; NULL is counted. The caller zeroes nothing: the record comes zeroed but for time and type. */
static __always_inline struct weft_event *event_start(enum weft_event_type type)
{
	struct weft_event *event = bpf_ringbuf_reserve(&weft_events, sizeof(*event), 0);

	if (!event) {
		count_error(WEFT_PLACE_EVENT_RING_FULL);
		return 0;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->time = bpf_ktime_get_ns();
	event->type = type;
	return event;
}

/*
 * Wakes the agent when enough is waiting, and then not for each record while it is busy with them: the program whose packet or
 * call this is pays for the wake-up. The record that crosses the mark does it. What is below the mark, or slipped by because
 * two CPUs crossed it together, the agent finds when it looks by itself (ten times a second).
 */
static __always_inline void event_submit(struct weft_event *event)
{
	const struct weft_control *settings = control();
	__u64 mark = settings ? settings->report_bytes : 0;
	__u64 waiting = bpf_ringbuf_query(&weft_events, BPF_RB_AVAIL_DATA);
	bool crossed = waiting >= mark && waiting - mark < sizeof(*event) + BPF_RINGBUF_HDR_SZ;

	bpf_ringbuf_submit(event, crossed || !mark ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
}

/*
 * The per-CPU counters of one pair of identities; when there is no room, those of the pair (unknown, unknown), which the agent
 * made at start for TCP, for UDP and for the rest.
 */
static __always_inline struct weft_traffic *traffic_of(const struct weft_traffic_key *key)
{
	static const struct weft_traffic zero;
	struct weft_traffic_key unknown = { .reporter = key->reporter, .reason = key->reason };
	struct weft_traffic *traffic = bpf_map_lookup_elem(&weft_traffic, key);

	if (traffic)
		return traffic;
	if (!bpf_map_update_elem(&weft_traffic, key, &zero, BPF_NOEXIST))
		return bpf_map_lookup_elem(&weft_traffic, key);
	traffic = bpf_map_lookup_elem(&weft_traffic, key); /* another CPU made it meanwhile? */
	if (traffic)
		return traffic;
	count_error(WEFT_PLACE_TRAFFIC_INSERT);
	if (key->protocol == IPPROTO_TCP || key->protocol == IPPROTO_UDP)
		unknown.protocol = key->protocol;
	return bpf_map_lookup_elem(&weft_traffic, &unknown);
}

#define DENIAL_INTERVAL 1000000000ull /* ns between records of the same kind of denial of packets */

/* Whether a record is due. For connect() it always is; packets and datagrams come by the thousand. */
static __always_inline bool denial_is_news(const struct weft_denial_key *key)
{
	__u64 now = bpf_ktime_get_ns();
	__u64 *last = bpf_map_lookup_elem(&weft_denials, key);

	if (last && now - *last < DENIAL_INTERVAL)
		return false;
	if (last)
		*last = now;
	else /* at worst there is one record too many */
		bpf_map_update_elem(&weft_denials, key, &now, BPF_ANY);
	return true;
}

/* weft_control.buffers. The compiler must not read it again later: it may have changed. */
static __always_inline __u32 buffers_now(void)
{
	const struct weft_control *settings = control();

	return settings ? *(const volatile __u32 *)&settings->buffers : 0;
}

/* The buffer whose identities records show: while both decide, the newer one. */
static __always_inline __u32 newer_buffer(__u32 buffers)
{
	return buffers == 1 ? 0 : 1;
}

/* The current identity of an address, from the buffer that decides (the newer one while both do). */
static __always_inline __u32 identity_now(const struct weft_addr *addr)
{
	return weft_identity_of(addr, newer_buffer(buffers_now()));
}

#endif
