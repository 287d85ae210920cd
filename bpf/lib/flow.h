/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_LIB_FLOW_H
#define WEFT_LIB_FLOW_H
/*
 * Records and counters of what passes an interface. TCP connections are reported by the programs at the sockets, which know
 * the process and the service; here: denials of all protocols, and the flows of the others.
 */
#include "lib/conntrack.h"

/* A packet's connection as records name it: source is the initiator. */
struct flow {
	__u32 source_identity;
	__u32 destination_identity;
	__u32 initiator;    /* end of the key */
	__u32 rule;
	__u32 audit_rule;
	__u8 reason;	    /* enum weft_reason */
	__u8 rule_flags;
	__u8 direction;	    /* enum weft_direction: which pod's side this is about */
	__u8 pad;
	__u64 netns_cookie; /* of that pod */
};

static __always_inline struct weft_traffic *flow_traffic(const struct packet *packet, const struct flow *flow)
{
	struct weft_traffic_key key = {
		.source = flow->source_identity,
		.destination = flow->destination_identity,
		.reporter = flow->direction == WEFT_EGRESS ? WEFT_REPORTER_SOURCE : WEFT_REPORTER_DESTINATION,
		.protocol = packet->key.protocol,
		.reason = flow->reason,
	};

	return traffic_of(&key);
}

SUBPROGRAM int flow_record(const struct packet *packet, const struct flow *flow, enum weft_event_type type)
{
	struct weft_event *event;
	__u32 initiator, other;

	if (!packet || !flow)
		return 0;
	event = event_start(type);
	if (!event)
		return 0;
	initiator = end_index(flow->initiator);
	other = other_end(flow->initiator);
	event->netns_cookie = flow->netns_cookie;
	event->source = packet->key.addr[initiator];
	event->destination = packet->key.addr[other];
	event->source_port = packet->key.port[initiator];
	event->destination_port = packet->key.port[other];
	event->protocol = packet->key.protocol;
	event->reporter = flow->direction == WEFT_EGRESS ? WEFT_REPORTER_SOURCE : WEFT_REPORTER_DESTINATION;
	event->reason = flow->reason;
	event->direction = flow->direction;
	event->rule_flags = flow->rule_flags;
	event->tcp_flags = packet->tcp_flags;
	event->source_identity = flow->source_identity;
	event->destination_identity = flow->destination_identity;
	event->rule = flow->rule;
	event->audit_rule = flow->audit_rule;
	event_submit(event);
	return 0;
}

static __always_inline bool flow_denial_is_news(const struct packet *packet, const struct flow *flow)
{
	struct weft_denial_key key = {
		.source = flow->source_identity,
		.destination = flow->destination_identity,
		.port = bpf_htons(packet_port(packet, other_end(flow->initiator))),
		.protocol = packet->key.protocol,
		.reason = flow->reason,
	};

	return denial_is_news(&key);
}

SUBPROGRAM int flow_denied(const struct packet *packet, const struct flow *flow)
{
	struct weft_traffic *traffic;

	if (!packet || !flow)
		return 0;
	traffic = flow_traffic(packet, flow);
	count_drop(flow->reason, flow->direction, packet->bytes);
	if (traffic)
		traffic->denied++;
	if (flow_denial_is_news(packet, flow))
		flow_record(packet, flow, WEFT_EVENT_DENY);
	return 0;
}

/* One side of a new connection that is no TCP. */
SUBPROGRAM int flow_opened(const struct packet *packet, const struct flow *flow, bool record)
{
	struct weft_traffic *traffic;

	if (!packet || !flow)
		return 0;
	traffic = flow_traffic(packet, flow);
	if (traffic)
		traffic->opened++;
	if (record)
		flow_record(packet, flow, flow->direction == WEFT_EGRESS ? WEFT_EVENT_CONNECT : WEFT_EVENT_ACCEPT);
	return 0;
}

SUBPROGRAM int flow_bytes(const struct packet *packet, const struct weft_conn *conn, __u8 direction)
{
	struct flow flow = { .direction = direction };
	struct weft_traffic *traffic;

	if (!packet || !conn)
		return 0;
	flow.source_identity = conn->identity[end_index(conn->initiator)];
	flow.destination_identity = conn->identity[other_end(conn->initiator)];
	traffic = flow_traffic(packet, &flow);
	if (!traffic)
		return 0;
	if (packet->sender == conn->initiator)
		traffic->sent += packet->bytes;
	else
		traffic->received += packet->bytes;
	return 0;
}

/* A packet of a connection that is no TCP, seen at the interface of `end`: counted once for each side whose pod is here. */
static __always_inline void flow_packet(const struct packet *packet, const struct weft_conn *conn, __u32 end)
{
	__u8 side = end == conn->initiator ? WEFT_EGRESS : WEFT_INGRESS;

	flow_bytes(packet, conn, side);
	if (conn->flags & WEFT_CONN_SHORT_WAY) /* it will not be seen at the other interface */
		flow_bytes(packet, conn, side ^ 1);
}

#endif
