/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_LIB_PACKET_H
#define WEFT_LIB_PACKET_H
/*
 * From a frame at an interface to who talks to whom: both families, extension headers, fragments. Reads the frame in place
 * and never writes it: one direct write anywhere in a program makes the kernel copy the head of every cloned packet.
 */
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "lib/common.h"

/*
 * A function that the verifier proves once, for all arguments, instead of once more for each path to each call: without it
 * its work multiplies to minutes. Arguments are numbers, the context, and pointers to plain data, which it takes for NULL
 * unless they are checked. Linux 6.1 takes no key of a map from such data: it is copied to the stack first.
 */
#define SUBPROGRAM __noinline

#define PACKET_HEADERS_MAX 1024 /* the transport header has to start before */
#define PACKET_EXTENSIONS_MAX 6

enum tcp_flag { TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_ACK = 0x10 };

/* <linux/icmp.h> cannot be had here: it includes the C library's <sys/socket.h> */
struct icmp_header {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be16 id;
	__be16 sequence;
};

enum icmp_type {
	ICMP4_ECHO_REPLY = 0,
	ICMP4_UNREACHABLE = 3,
	ICMP4_ECHO_REQUEST = 8,
	ICMP4_TIME_EXCEEDED = 11,
	ICMP4_PARAMETER_PROBLEM = 12,
	ICMP6_UNREACHABLE = 1,
	ICMP6_PARAMETER_PROBLEM = 4,
	ICMP6_ECHO_REQUEST = 128,
	ICMP6_ECHO_REPLY = 129,
	ICMP6_LISTENER_QUERY = 130,
	ICMP6_LISTENER_DONE = 132,
	ICMP6_ROUTER_SOLICITATION = 133,
	ICMP6_REDIRECT = 137,
	ICMP6_LISTENER_REPORT_V2 = 143,
};

enum packet_flag {
	PACKET_OPENS = 1 << 0,	    /* asks for something: TCP SYN, ICMP echo request. Never a reply */
	PACKET_ICMP_ERROR = 1 << 1, /* about the packet that it carries */
	PACKET_NEIGHBOUR = 1 << 2,  /* neighbour discovery and multicast listener reports of the link itself */
	PACKET_PORTS = 1 << 3,	    /* the protocol has ports that policy knows */
	PACKET_FRAGMENT = 1 << 4,   /* a part of a datagram, the first one included */
	PACKET_LATER_FRAGMENT = 1 << 5, /* has no transport header */
};

struct packet {
	struct weft_conn_key key;
	__u32 bytes;	 /* from the IP header on, without padding of the link */
	__u32 transport; /* offset of the transport header in the frame */
	__u8 sender;	 /* the end of `key` that it comes from */
	__u8 tcp_flags;
	__u8 flags; /* enum packet_flag */
	__u8 pad[5];
};

/*
 * An index into arrays of both ends. In assembly, because clang drops a mask that it knows to be idle, the verifier does not
 * know it; and because clang would add such an index to an aligned address with a bitwise or.
 */
static __always_inline __u32 end_index(__u64 end)
{
	asm volatile("%0 &= 1" : "+r"(end));
	return end;
}

static __always_inline __u32 other_end(__u32 end)
{
	return end_index(end ^ 1);
}

/* The network layer, before the ends are put in order. */
struct network {
	struct weft_addr source;
	struct weft_addr destination;
	__be16 port[2];	 /* source, destination; ICMP echo: the identifier in both */
	__u32 length;	 /* with its own header */
	__u32 transport; /* offset in the frame */
	__u32 fragment_id;
	__u8 protocol;
	__u8 flags; /* enum packet_flag */
	__u8 hop_limit;
	__u8 fragment_near; /* starts where it could overwrite the flags of a TCP header (RFC 1858) */
};

#define PACKET_PASS (-1) /* not IP, and not ours to judge */

/* `size` bytes of the frame at `offset`, made linear if need be: then earlier pointers are void. NULL: it has not as many. */
static __always_inline void *packet_at(struct __sk_buff *skb, __u32 offset, __u32 size)
{
	void *start = (void *)(long)skb->data + (offset & (2 * PACKET_HEADERS_MAX - 1));

	if (start + size <= (void *)(long)skb->data_end)
		return start;
	if (offset + size > skb->len)
		return 0;
	if (bpf_skb_pull_data(skb, offset + size)) {
		count_error(WEFT_PLACE_PACKET_ACCESS);
		return 0;
	}
	start = (void *)(long)skb->data + (offset & (2 * PACKET_HEADERS_MAX - 1));
	return start + size <= (void *)(long)skb->data_end ? start : 0;
}

static __always_inline void network_fragment(struct network *network, __u32 id, __u32 offset, bool more)
{
	network->fragment_id = id;
	if (offset || more)
		network->flags |= PACKET_FRAGMENT;
	if (offset)
		network->flags |= PACKET_LATER_FRAGMENT;
	network->fragment_near = offset && offset < sizeof(struct tcphdr);
}

/* A length field of 0 stands for a packet too long for it, which only the kernel's own offloads make. */
static __always_inline bool length_fits(__u32 said, __u32 least, __u32 there)
{
	return said ? said >= least && said <= there : there > 0xffff;
}

/* The IPv4 header at `offset` of a packet of which `there` bytes are there. */
static __always_inline bool network_ipv4(struct __sk_buff *skb, __u32 offset, __u32 there, struct network *network)
{
	const struct iphdr *ip = packet_at(skb, offset, sizeof(*ip));
	__u32 header, fragment;

	if (!ip)
		return false;
	header = ip->ihl * 4;
	if (ip->version != 4 || header < sizeof(*ip) || !length_fits(bpf_ntohs(ip->tot_len), header, there))
		return false;
	network->source = addr_v4(ip->saddr);
	network->destination = addr_v4(ip->daddr);
	network->protocol = ip->protocol;
	network->hop_limit = ip->ttl;
	network->length = ip->tot_len ? bpf_ntohs(ip->tot_len) : there;
	network->transport = offset + header;
	fragment = bpf_ntohs(ip->frag_off);
	if (fragment & 0x3fff)
		network_fragment(network, bpf_ntohs(ip->id), (fragment & 0x1fff) * 8, fragment & 0x2000);
	return true;
}

struct extension {
	__u8 next;
	__u8 length;
	__u8 routing_type;
	__u8 segments_left;
};

struct fragment_extension {
	__u8 next;
	__u8 reserved;
	__be16 offset;
	__be32 id;
};

static __always_inline bool is_extension(__u8 protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING || protocol == IPPROTO_DSTOPTS ||
	       protocol == IPPROTO_FRAGMENT || protocol == IPPROTO_AH;
}

/* One extension header; network->protocol becomes what follows it. */
static __always_inline bool network_extension(struct __sk_buff *skb, struct network *network)
{
	__u8 protocol = network->protocol;

	if (network->transport >= PACKET_HEADERS_MAX)
		return false;
	if (protocol == IPPROTO_FRAGMENT) {
		const struct fragment_extension *fragment = packet_at(skb, network->transport, sizeof(*fragment));

		if (!fragment)
			return false;
		network->protocol = fragment->next;
		network->transport += sizeof(*fragment);
		network_fragment(network, bpf_ntohl(fragment->id), bpf_ntohs(fragment->offset) & 0xfff8,
				 bpf_ntohs(fragment->offset) & 1);
		return true;
	}

	const struct extension *extension = packet_at(skb, network->transport, sizeof(*extension));

	if (!extension)
		return false;
	/* its true destination is not the one that policy would look at */
	if (protocol == IPPROTO_ROUTING && extension->segments_left)
		return false;
	network->protocol = extension->next;
	network->transport += protocol == IPPROTO_AH ? (extension->length + 2) * 4 : (extension->length + 1) * 8;
	return true;
}

SUBPROGRAM int network_extensions(struct __sk_buff *skb, struct network *network)
{
	if (!network)
		return 0;
	for (int i = 0; i < PACKET_EXTENSIONS_MAX; i++) {
		/* behind a later fragment's header there is data */
		if (!is_extension(network->protocol) || network->flags & PACKET_LATER_FRAGMENT)
			break;
		if (!network_extension(skb, network))
			return 0;
	}
	return !is_extension(network->protocol);
}

static __always_inline bool network_ipv6(struct __sk_buff *skb, __u32 offset, __u32 there, struct network *network)
{
	const struct ipv6hdr *ip = packet_at(skb, offset, sizeof(*ip));

	if (!ip || ip->version != 6 || !length_fits(bpf_ntohs(ip->payload_len), 0, there - sizeof(*ip)))
		return false;
	__builtin_memcpy(&network->source, &ip->saddr, sizeof(network->source));
	__builtin_memcpy(&network->destination, &ip->daddr, sizeof(network->destination));
	/* mapped addresses belong on no wire (RFC 4291), and here they would pass for IPv4 ones */
	if (addr_is_v4(&network->source) || addr_is_v4(&network->destination))
		return false;
	network->protocol = ip->nexthdr;
	network->hop_limit = ip->hop_limit;
	network->length = ip->payload_len ? bpf_ntohs(ip->payload_len) + sizeof(*ip) : there;
	network->transport = offset + sizeof(*ip);
	return !is_extension(network->protocol) || network_extensions(skb, network);
}

static __always_inline void packet_icmp4(struct packet *packet, struct network *network, const struct icmp_header *icmp)
{
	__u8 type = icmp->type;

	if (type == ICMP4_UNREACHABLE || type == ICMP4_TIME_EXCEEDED || type == ICMP4_PARAMETER_PROBLEM)
		packet->flags |= PACKET_ICMP_ERROR;
	if (type == ICMP4_ECHO_REQUEST)
		packet->flags |= PACKET_OPENS;
	if (type == ICMP4_ECHO_REQUEST || type == ICMP4_ECHO_REPLY)
		network->port[0] = network->port[1] = icmp->id;
}

static __always_inline void packet_icmp6(struct packet *packet, struct network *network, const struct icmp_header *icmp)
{
	__u8 type = icmp->type;

	if (type >= ICMP6_UNREACHABLE && type <= ICMP6_PARAMETER_PROBLEM)
		packet->flags |= PACKET_ICMP_ERROR;
	if (type == ICMP6_ECHO_REQUEST)
		packet->flags |= PACKET_OPENS;
	if (type == ICMP6_ECHO_REQUEST || type == ICMP6_ECHO_REPLY)
		network->port[0] = network->port[1] = icmp->id;
	if (addr_is_v4(&network->source))
		return;
	/* RFC 4861: a hop limit of 255 proves the sender to be on the link. RFC 2710, RFC 3810: reports have 1. */
	if (type >= ICMP6_ROUTER_SOLICITATION && type <= ICMP6_REDIRECT && network->hop_limit == 255)
		packet->flags |= PACKET_NEIGHBOUR;
	if (((type >= ICMP6_LISTENER_QUERY && type <= ICMP6_LISTENER_DONE) || type == ICMP6_LISTENER_REPORT_V2) &&
	    network->hop_limit == 1)
		packet->flags |= PACKET_NEIGHBOUR;
}

/* Ports, and what opens or closes a connection. */
static __always_inline bool packet_transport(struct __sk_buff *skb, struct packet *packet, struct network *network)
{
	__u32 offset = network->transport;

	if (offset >= PACKET_HEADERS_MAX)
		return false;
	switch (network->protocol) {
	case IPPROTO_TCP: {
		const struct tcphdr *tcp = packet_at(skb, offset, sizeof(*tcp));

		if (!tcp || tcp->doff < 5)
			return false;
		network->port[0] = tcp->source;
		network->port[1] = tcp->dest;
		packet->tcp_flags = ((const __u8 *)tcp)[13];
		if ((packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
			packet->flags |= PACKET_OPENS;
		return true;
	}
	case IPPROTO_UDP:
	case IPPROTO_SCTP: {
		/* both start with the ports; the shorter header is 8 bytes */
		const struct udphdr *udp = packet_at(skb, offset, sizeof(*udp));

		if (!udp)
			return false;
		network->port[0] = udp->source;
		network->port[1] = udp->dest;
		return true;
	}
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6: {
		const struct icmp_header *icmp = packet_at(skb, offset, sizeof(*icmp));

		if (!icmp)
			return false;
		if (network->protocol == IPPROTO_ICMP)
			packet_icmp4(packet, network, icmp);
		else
			packet_icmp6(packet, network, icmp);
		return true;
	}
	default:
		return true;
	}
}

/* Fills in a zeroed `key` and returns the end that the packet comes from. */
static __always_inline __u8 conn_key_make(struct weft_conn_key *key, const struct network *network)
{
	key->protocol = network->protocol;
	return conn_key_set(key, &network->source, network->port[0], &network->destination, network->port[1]);
}

static __always_inline bool has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

#include "lib/fragment.h"

/* 0, PACKET_PASS, or the enum weft_reason to drop it for. Fills in a zeroed `packet`. */
SUBPROGRAM int packet_parse(struct __sk_buff *skb, struct packet *packet)
{
	struct network network = {};
	__u32 type = skb->protocol;

	if (!packet)
		return WEFT_REASON_MALFORMED_PACKET;
	if (skb->vlan_present)
		return WEFT_REASON_UNSUPPORTED_ETHERTYPE;
	if (type == bpf_htons(ETH_P_IP)) {
		if (!network_ipv4(skb, ETH_HLEN, skb->len - ETH_HLEN, &network))
			return WEFT_REASON_MALFORMED_PACKET;
	} else if (type == bpf_htons(ETH_P_IPV6)) {
		if (!network_ipv6(skb, ETH_HLEN, skb->len - ETH_HLEN, &network))
			return WEFT_REASON_MALFORMED_PACKET;
	} else {
		return type == bpf_htons(ETH_P_ARP) ? PACKET_PASS : WEFT_REASON_UNSUPPORTED_ETHERTYPE;
	}

	packet->bytes = network.length;
	packet->transport = network.transport;
	packet->flags = network.flags;
	if (has_ports(network.protocol))
		packet->flags |= PACKET_PORTS;
	if (!(network.flags & PACKET_LATER_FRAGMENT) && !packet_transport(skb, packet, &network))
		return WEFT_REASON_MALFORMED_PACKET;
	if (network.flags & PACKET_FRAGMENT) {
		int reason = fragment_ports(&network);

		if (reason != WEFT_REASON_NONE)
			return reason;
	}
	packet->sender = conn_key_make(&packet->key, &network);
	return 0;
}

/* Port that policy judges: the one of `end`, host order; 0 for protocols that have none (an echo's identifier is no port). */
static __always_inline __u16 packet_port(const struct packet *packet, __u32 end)
{
	return packet->flags & PACKET_PORTS ? bpf_ntohs(packet->key.port[end_index(end)]) : 0;
}

#endif
