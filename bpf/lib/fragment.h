/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_LIB_FRAGMENT_H
#define WEFT_LIB_FRAGMENT_H
/*
 * Only the first fragment of a datagram has ports: it leaves them in weft_fragments for the others. A fragment that comes
 * before its first one is dropped; the kernel's own senders never do that, and networks that reorder make it rare.
 */
#include "lib/packet.h"

/* First fragment: remembers the ports; later one: finds them. NONE, or why the fragment cannot pass. */
SUBPROGRAM int fragment_ports(struct network *network)
{
	if (!network)
		return WEFT_REASON_MALFORMED_PACKET;

	struct weft_fragment_key key = {
		.source = network->source,
		.destination = network->destination,
		.id = network->fragment_id,
		.protocol = network->protocol,
	};

	if (network->protocol == IPPROTO_TCP && network->fragment_near)
		return WEFT_REASON_MALFORMED_PACKET;
	if (!(network->flags & PACKET_LATER_FRAGMENT)) {
		struct weft_fragment first = { .source_port = network->port[0], .destination_port = network->port[1] };

		if (bpf_map_update_elem(&weft_fragments, &key, &first, BPF_ANY))
			count_error(WEFT_PLACE_FRAGMENT_INSERT);
		return WEFT_REASON_NONE;
	}

	const struct weft_fragment *first = bpf_map_lookup_elem(&weft_fragments, &key);

	if (!first)
		return WEFT_REASON_FRAGMENT_WITHOUT_FIRST;
	network->port[0] = first->source_port;
	network->port[1] = first->destination_port;
	return WEFT_REASON_NONE;
}

#endif
