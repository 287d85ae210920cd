/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_LIB_ICMP_H
#define WEFT_LIB_ICMP_H
/* ICMP errors belong to the connection of the packet that they carry the beginning of. */
#include "lib/conntrack.h"

/* What is sure to be there of the transport header: 8 bytes (RFC 792). */
struct icmp_transport {
	__be16 source;
	__be16 destination;
	__be16 id;
	__be16 sequence;
};

static __always_inline bool icmp_embedded(struct __sk_buff *skb, const struct packet *packet, struct network *network)
{
	__u32 offset = packet->transport + sizeof(struct icmp_header);
	const struct icmp_transport *transport;

	if (offset >= PACKET_HEADERS_MAX)
		return false;
	if (packet->key.protocol == IPPROTO_ICMP ? !network_ipv4(skb, offset, 0xffff, network) :
						   !network_ipv6(skb, offset, 0xffff, network))
		return false;
	if (network->flags & PACKET_LATER_FRAGMENT || network->transport >= PACKET_HEADERS_MAX)
		return false;
	transport = packet_at(skb, network->transport, sizeof(*transport));
	if (!transport)
		return false;
	if (has_ports(network->protocol)) {
		network->port[0] = transport->source;
		network->port[1] = transport->destination;
	} else if (network->protocol == packet->key.protocol) {
		network->port[0] = network->port[1] = transport->id;
	}
	return true;
}

/* The error goes to the sender of the packet in question, which has to be of a connection that is allowed now. */
SUBPROGRAM int icmp_is_related(struct __sk_buff *skb, const struct packet *packet, __u32 epoch, bool leaves_pod)
{
	struct network network = {};
	struct weft_conn_key key = {};
	const struct weft_conn *conn;
	__u32 sender;

	if (!packet || !icmp_embedded(skb, packet, &network))
		return 0;
	sender = conn_key_make(&key, &network);
	if (!addr_equal(&network.source, &packet->key.addr[other_end(packet->sender)]))
		return 0;
	conn = bpf_map_lookup_elem(&weft_conntrack, &key);
	/* the pod at hand must be the other end of it when it sends the error, its sender when it gets the error */
	return conn && conn->epoch == epoch && conn->ifindex[end_index(leaves_pod ? sender ^ 1 : sender)] == skb->ifindex;
}

#endif
