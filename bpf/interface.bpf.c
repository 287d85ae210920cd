/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * At the host-side interface of each pod, for every packet and protocol: policy in both directions, connection tracking, the
 * same-node short way, packet telemetry. What the sockets' hooks did not see (raw sockets, other protocols) is caught here.
 *
 * The fast path is one look-up: an entry in weft_conntrack that was decided in the current epoch and is behind this very
 * interface answers for policy, for the source address and for where to send. All else is lib/admit.h.
 */
#include <linux/pkt_cls.h>

#include "lib/admit.h"

static __always_inline int drop(enum weft_reason reason, enum weft_direction direction, __u64 bytes)
{
	count_drop(reason, direction, bytes);
	return TC_ACT_SHOT;
}

static __always_inline int police(struct __sk_buff *skb, __u32 hook)
{
	struct packet packet = {};
	struct weft_conn *conn;
	int problem = packet_parse(skb, &packet);

	if (problem == PACKET_PASS)
		return TC_ACT_UNSPEC;
	if (problem)
		return drop(problem, hook, skb->len - ETH_HLEN);

	conn = bpf_map_lookup_elem(&weft_conntrack, &packet.key);
	if (!conn || !conn_holds(conn, &packet, gate_read().epoch, skb->ifindex, own_end(&packet, hook)))
		return admit(skb, &packet, conn, hook);
	conn_count(conn, &packet);
	if (packet.key.protocol != IPPROTO_TCP)
		flow_packet(&packet, conn, own_end(&packet, hook));
	if (hook == FROM_POD && conn->flags & WEFT_CONN_SHORT_WAY)
		return take_short_way(skb, conn->ifindex[other_end(packet.sender)], conn->mac[other_end(packet.sender)]);
	return TC_ACT_UNSPEC;
}

SEC("tc")
int from_pod(struct __sk_buff *skb)
{
	return police(skb, FROM_POD);
}

SEC("tc")
int to_pod(struct __sk_buff *skb)
{
	return police(skb, TO_POD);
}

char _license[] SEC("license") = "Dual BSD/GPL";
