/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_LIB_CONNTRACK_H
#define WEFT_LIB_CONNTRACK_H
/*
 * The tracked connection of a packet. An entry of the current epoch says that both directions, as far as they are this
 * node's to decide, are allowed: replies need no decision of their own, and a packet is one look-up.
 */
#include "lib/packet.h"

static __always_inline bool conn_over(const struct weft_conn *conn)
{
	return (conn->tcp_flags[0] | conn->tcp_flags[1]) & (TCP_FIN | TCP_RST);
}

/* A packet that asks for something is no reply: from the other end, or after the end, it starts a new connection. */
static __always_inline bool conn_starts_anew(const struct weft_conn *conn, const struct packet *packet)
{
	return packet->flags & PACKET_OPENS && (conn->initiator != packet->sender || conn_over(conn));
}

/* The decision holds for this packet at interface `ifindex`, behind which `end` is. */
static __always_inline bool conn_holds(const struct weft_conn *conn, const struct packet *packet, __u32 epoch, __u32 ifindex,
				       __u32 end)
{
	return conn->epoch == epoch && epoch && conn->ifindex[end_index(end)] == ifindex && !conn_starts_anew(conn, packet);
}

/* Fills in a zeroed entry from the packet that makes it. */
static __always_inline void conn_first(struct weft_conn *conn, const struct packet *packet)
{
	__u32 sender = end_index(packet->sender);

	conn->initiator = sender;
	conn->created = conn->last_seen = bpf_ktime_get_coarse_ns();
	conn->packets[sender] = 1;
	conn->bytes[sender] = packet->bytes;
	conn->tcp_flags[sender] = packet->tcp_flags;
}

/* For people to look at: two CPUs that send for one end at once may lose a packet. Metrics come from weft_traffic. */
static __always_inline void conn_count(struct weft_conn *conn, const struct packet *packet)
{
	__u32 sender = end_index(packet->sender);

	conn->last_seen = bpf_ktime_get_coarse_ns();
	conn->packets[sender]++;
	conn->bytes[sender] += packet->bytes;
	if (packet->tcp_flags & ~conn->tcp_flags[sender])
		conn->tcp_flags[sender] |= packet->tcp_flags;
}

#endif
