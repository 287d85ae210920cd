/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_LIB_ADMIT_H
#define WEFT_LIB_ADMIT_H
/* The packets that their connection's entry does not answer for: new connections, another epoch, and everything odd. */
#include "lib/icmp.h"
#include "lib/policy.h"
#include "lib/reset.h"

/* The end of the key that is behind the interface at hand. */
static __always_inline __u32 own_end(const struct packet *packet, __u32 hook)
{
	return hook == FROM_POD ? packet->sender : other_end(packet->sender);
}

static __always_inline bool mac_equal(const __u8 *a, const __u8 *b)
{
	__u8 differ = 0;

#pragma unroll
	for (int i = 0; i < ETH_ALEN; i++)
		differ |= a[i] ^ b[i];
	return !differ;
}

/*
 * Straight into the namespace of the pod behind `ifindex`. Its end has to see its own MAC address, because a routed pod
 * wrote the gateway's, and a packet for this host, because the bridge's way has it marked as someone else's.
 */
static __always_inline int take_short_way(struct __sk_buff *skb, __u32 ifindex, const __u8 *mac)
{
	const __u8 *destination = packet_at(skb, 0, ETH_HLEN);

	if (!destination || !mac_equal(destination, mac)) {
		__u8 copy[ETH_ALEN];

		__builtin_memcpy(copy, mac, ETH_ALEN);
		if (bpf_skb_store_bytes(skb, 0, copy, ETH_ALEN, 0))
			count_error(WEFT_PLACE_REDIRECT);
	}
	if (skb->pkt_type != PACKET_HOST && bpf_skb_change_type(skb, PACKET_HOST))
		count_error(WEFT_PLACE_REDIRECT);
	if (bpf_redirect_peer(ifindex, 0) == TC_ACT_REDIRECT)
		return TC_ACT_REDIRECT;
	count_error(WEFT_PLACE_REDIRECT);
	return TC_ACT_SHOT;
}

static __always_inline bool is_link_local_or_none(const struct weft_addr *addr)
{
	return (addr->word[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000) ||
	       !(addr->word[0] | addr->word[1] | addr->word[2] | addr->word[3]);
}

/* A pod sends from its own addresses; on its link, also as one that has none yet. */
static __always_inline bool source_is_valid(const struct packet *packet, __u32 ifindex)
{
	if ((__u32)end_ifindex(packet, packet->sender) == ifindex)
		return true;
	return packet->flags & PACKET_NEIGHBOUR && is_link_local_or_none(&packet->key.addr[end_index(packet->sender)]);
}

/* Services of SCTP cannot be balanced at connect(): say so instead of sending into the void. */
SUBPROGRAM int service_is_refused(const struct packet *packet)
{
	struct weft_service_key key = { .protocol = IPPROTO_SCTP };
	const struct weft_service *service;
	__u32 destination;

	if (!packet || packet->key.protocol != IPPROTO_SCTP)
		return 0;
	destination = other_end(packet->sender);
	key.addr = packet->key.addr[destination];
	key.port = packet->key.port[destination];
	service = bpf_map_lookup_elem(&weft_services, &key);
	return service && service->flags & WEFT_SERVICE_REFUSE_PROTOCOL;
}

/*
 * Drops, counts, records; TCP is answered by a reset. Not while a policy is not loaded yet: that is over in milliseconds,
 * and a reset would end the connections of a pod that ran before the programs came.
 */
SUBPROGRAM int deny(struct __sk_buff *skb, const struct packet *packet, struct judgement *judgement, enum weft_reason reason)
{
	const struct weft_control *settings = control();
	struct flow flow;

	if (!packet || !judgement)
		return TC_ACT_SHOT;
	judgement->decision.reason = reason;
	flow = judgement_decision_flow(judgement);
	flow_denied(packet, &flow);
	if (packet->key.protocol != IPPROTO_TCP || packet->tcp_flags & TCP_RST ||
	    reason == WEFT_REASON_POLICY_NOT_LOADED || reason == WEFT_REASON_INVALID_SOURCE ||
	    !settings || settings->flags & WEFT_CONTROL_DENY_DROP)
		return TC_ACT_SHOT;
	return reset_send(skb, packet, judgement->hook == FROM_POD ? 0 : BPF_F_INGRESS, judgement->was_open);
}

/* Who is at both ends; `own` is the pod behind the interface at hand, `ifindex`. */
static __always_inline void judgement_begin(struct judgement *judgement, const struct packet *packet,
					    const struct weft_conn *conn, __u32 ifindex, const struct weft_workload *own)
{
	__u32 end = own_end(packet, judgement->hook);
	__u32 other_at = end_ifindex(packet, other_end(end));
	const struct weft_workload *other = workload_at(other_at);

	judgement->is_new = !conn;
	judgement->was_open = conn && !conn_over(conn);
	judgement->initiator = end_index(conn ? conn->initiator : packet->sender);
	judgement->identity[0] = end_identity(packet, judgement->initiator, judgement->gate.buffers);
	judgement->identity[1] = end_identity(packet, other_end(judgement->initiator), judgement->gate.buffers);
	if (!other)
		other_at = 0;
	judgement->ifindex[WEFT_EGRESS] = end == judgement->initiator ? ifindex : other_at;
	judgement->ifindex[WEFT_INGRESS] = end == judgement->initiator ? other_at : ifindex;
	judgement->short_way = own && other && own->flags & other->flags & WEFT_WORKLOAD_SHORT_WAY && ifindex != other_at;
}

static __always_inline void conn_note_end(struct weft_conn *conn, __u32 end, __u32 ifindex, __u32 identity)
{
	const struct weft_workload *workload = workload_at(ifindex);

	conn->identity[end] = identity;
	conn->ifindex[end] = ifindex;
	if (workload)
		__builtin_memcpy(conn->mac[end], workload->mac, ETH_ALEN);
}

/* Notes what was decided; the epoch last, because with it the entry counts. */
static __always_inline void conn_note(struct weft_conn *conn, const struct judgement *judgement)
{
	conn->decided = judgement->decided;
	conn->rule[0] = judgement->rule[0];
	conn->rule[1] = judgement->rule[1];
	conn->flags &= ~WEFT_CONN_SHORT_WAY;
	if (judgement->short_way)
		conn->flags |= WEFT_CONN_SHORT_WAY;
	conn_note_end(conn, end_index(judgement->initiator), judgement->ifindex[WEFT_EGRESS], judgement->identity[0]);
	conn_note_end(conn, other_end(judgement->initiator), judgement->ifindex[WEFT_INGRESS], judgement->identity[1]);
	*(volatile __u32 *)&conn->epoch = judgement->gate.epoch;
}

/* Allowed: makes the entry, or brings `conn` up to the epoch. NONE, or CONNTRACK_FULL. */
SUBPROGRAM int conn_settle(const struct packet *packet, const struct judgement *judgement, struct weft_conn *conn)
{
	struct weft_conn fresh = {};
	struct weft_conn_key key;

	if (!packet || !judgement)
		return WEFT_REASON_CONNTRACK_FULL;
	if (conn) {
		conn_note(conn, judgement);
		conn_count(conn, packet);
	} else {
		conn = &fresh;
		conn_first(&fresh, packet);
		conn_note(&fresh, judgement);
		key = packet->key;
		if (bpf_map_update_elem(&weft_conntrack, &key, &fresh, BPF_ANY)) {
			count_error(WEFT_PLACE_CONNTRACK_INSERT);
			return WEFT_REASON_CONNTRACK_FULL;
		}
	}
	if (packet->key.protocol != IPPROTO_TCP)
		flow_packet(packet, conn, own_end(packet, judgement->hook));
	return WEFT_REASON_NONE;
}

/* Counts and records a connection that is no TCP, at the one of its ends that `direction` names. */
SUBPROGRAM int report_opened(const struct packet *packet, const struct judgement *judgement, __u32 direction)
{
	const struct weft_control *settings = control();
	struct flow flow;

	if (!packet || !judgement || !settings || !judgement->ifindex[end_index(direction)])
		return 0;
	flow = judgement_flow(judgement, direction);
	return flow_opened(packet, &flow, !(settings->flags & WEFT_CONTROL_NO_CONNECT_EVENTS));
}

/* A denied packet of a tracked connection ends it. The entry stays, so that neither end can pass for a new initiator. */
static __always_inline void conn_cut(struct weft_conn *conn)
{
	conn->last_seen = bpf_ktime_get_coarse_ns();
	conn->tcp_flags[0] |= TCP_RST;
	conn->tcp_flags[1] |= TCP_RST;
}

/* `conn`: the entry of the packet's connection, or NULL. Returns what tc shall do. */
SUBPROGRAM int admit(struct __sk_buff *skb, const struct packet *packet, struct weft_conn *conn, __u32 hook)
{
	struct judgement judgement = { .gate = gate_read(), .hook = hook, .direction = hook };
	const struct weft_workload *own;
	int reason;

	if (!packet)
		return TC_ACT_SHOT;
	if (reset_is_ours(skb, packet))
		return TC_ACT_UNSPEC;
	if (conn && conn_starts_anew(conn, packet))
		conn = 0;
	own = workload_at(skb->ifindex);
	judgement_begin(&judgement, packet, conn, skb->ifindex, own);
	if (!judgement.gate.buffers || !own)
		return deny(skb, packet, &judgement, WEFT_REASON_POLICY_NOT_LOADED);
	if (hook == FROM_POD && !source_is_valid(packet, skb->ifindex))
		return deny(skb, packet, &judgement, WEFT_REASON_INVALID_SOURCE);
	if (packet->flags & PACKET_NEIGHBOUR)
		return TC_ACT_UNSPEC;
	if (packet->flags & PACKET_ICMP_ERROR && icmp_is_related(skb, packet, judgement.gate.epoch, hook == FROM_POD))
		return TC_ACT_UNSPEC;
	if (service_is_refused(packet))
		return deny(skb, packet, &judgement, WEFT_REASON_UNSUPPORTED_SERVICE_PROTOCOL);

	reason = judge(packet, &judgement, WEFT_EGRESS);
	if (reason == WEFT_REASON_NONE)
		reason = judge(packet, &judgement, WEFT_INGRESS);
	if (reason != WEFT_REASON_NONE) {
		if (conn && reason != WEFT_REASON_POLICY_NOT_LOADED)
			conn_cut(conn);
		return deny(skb, packet, &judgement, reason);
	}
	reason = conn_settle(packet, &judgement, conn);
	if (reason != WEFT_REASON_NONE)
		return deny(skb, packet, &judgement, reason);
	if (judgement.is_new && packet->key.protocol != IPPROTO_TCP) {
		report_opened(packet, &judgement, WEFT_EGRESS);
		report_opened(packet, &judgement, WEFT_INGRESS);
	}
	if (hook == FROM_POD && judgement.short_way) {
		__u32 receiver = judgement.ifindex[end_index(packet->sender == judgement.initiator)];
		const struct weft_workload *workload = workload_at(receiver);

		return workload ? take_short_way(skb, receiver, workload->mac) : TC_ACT_SHOT;
	}
	return TC_ACT_UNSPEC; /* other programs at the interface may still want it */
}

#endif
