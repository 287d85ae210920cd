/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_LIB_RESET_H
#define WEFT_LIB_RESET_H
/*
 * Turns a denied TCP segment into a reset (RFC 9293 section 3.10.7.1) and sends it back to who sent the segment; when an
 * established connection is cut, another goes on to who was to receive it. IP options and extension headers stay.
 */
#include "lib/packet.h"

/*
 * What a reset of ours carries from one interface program to the other, so that it is not judged again. No pod can set it:
 * the kernel clears the mark of what crosses from one namespace to another. Only resets are believed.
 */
#define RESET_MARK 0x57656674

struct reset {
	__be32 sequence;
	__be32 acknowledgement;
	__u8 flags;
	__u8 from; /* end of the key that it claims to come from */
	__u8 pad[6];
};

static __always_inline bool reset_is_ours(const struct __sk_buff *skb, const struct packet *packet)
{
	return skb->mark == RESET_MARK && packet->tcp_flags & TCP_RST;
}

static __always_inline __u16 checksum_fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Cuts the frame after a bare TCP header and makes the length in the IP header say so. */
static __always_inline bool reset_trim(struct __sk_buff *skb, const struct packet *packet)
{
	__u32 network = packet->transport - ETH_HLEN + sizeof(struct tcphdr);

	if (bpf_skb_change_tail(skb, packet->transport + sizeof(struct tcphdr), 0))
		return false;
	if (addr_is_v4(&packet->key.addr[0])) {
		struct { __be16 length; __be16 id; __be16 fragment; __u8 ttl; __u8 protocol; } old, new;
		const __u32 offset = ETH_HLEN + __builtin_offsetof(struct iphdr, tot_len);
		const __u32 check = ETH_HLEN + __builtin_offsetof(struct iphdr, check);

		if (bpf_skb_load_bytes(skb, offset, &old, sizeof(old)))
			return false;
		new = old;
		new.length = bpf_htons(network);
		new.ttl = 64;
		return !bpf_skb_store_bytes(skb, offset, &new, sizeof(new), BPF_F_RECOMPUTE_CSUM) &&
		       !bpf_l3_csum_replace(skb, check, 0, bpf_csum_diff((void *)&old, 8, (void *)&new, 8, 0), 0);
	}

	struct { __be16 length; __u8 protocol; __u8 hop_limit; } head;
	const __u32 offset = ETH_HLEN + __builtin_offsetof(struct ipv6hdr, payload_len);

	if (bpf_skb_load_bytes(skb, offset, &head, sizeof(head)))
		return false;
	head.length = bpf_htons(network - sizeof(struct ipv6hdr));
	head.hop_limit = 64;
	return !bpf_skb_store_bytes(skb, offset, &head, sizeof(head), BPF_F_RECOMPUTE_CSUM);
}

static __always_inline bool reset_swap_macs(struct __sk_buff *skb)
{
	__u8 macs[2][ETH_ALEN];

	return !bpf_skb_load_bytes(skb, 0, macs, sizeof(macs)) &&
	       !bpf_skb_store_bytes(skb, 0, macs[1], ETH_ALEN, BPF_F_RECOMPUTE_CSUM) &&
	       !bpf_skb_store_bytes(skb, ETH_ALEN, macs[0], ETH_ALEN, BPF_F_RECOMPUTE_CSUM);
}

static __always_inline bool reset_addresses(struct __sk_buff *skb, const struct packet *packet, __u32 from)
{
	struct weft_addr ends[2] = { packet->key.addr[end_index(from)], packet->key.addr[other_end(from)] };

	if (addr_is_v4(&packet->key.addr[0])) {
		__be32 both[2] = { ends[0].word[3], ends[1].word[3] };

		return !bpf_skb_store_bytes(skb, ETH_HLEN + __builtin_offsetof(struct iphdr, saddr), both, sizeof(both),
					    BPF_F_RECOMPUTE_CSUM);
	}
	return !bpf_skb_store_bytes(skb, ETH_HLEN + __builtin_offsetof(struct ipv6hdr, saddr), ends, sizeof(ends),
				    BPF_F_RECOMPUTE_CSUM);
}

/*
 * Does the device, or nobody, finish the checksum (CHECKSUM_PARTIAL)? Then the field has to hold the sum of the pseudo
 * header alone. Programs cannot read ip_summed, but bpf_l4_csum_replace() leaves the field of such a packet as it is.
 */
static __always_inline bool checksum_is_partial(struct __sk_buff *skb, __u32 offset, bool *ret)
{
	__u16 zero = 0, field;

	if (bpf_skb_store_bytes(skb, offset, &zero, sizeof(zero), 0) ||
	    bpf_l4_csum_replace(skb, offset, 0, bpf_htonl(1), sizeof(__u32)) ||
	    bpf_skb_load_bytes(skb, offset, &field, sizeof(field)))
		return false;
	*ret = !field;
	return true;
}

static __always_inline bool reset_tcp(struct __sk_buff *skb, const struct packet *packet, const struct reset *reset)
{
	const __u32 check = packet->transport + __builtin_offsetof(struct tcphdr, check);
	__u32 from = end_index(reset->from);
	struct tcphdr tcp = {
		.source = packet->key.port[from],
		.dest = packet->key.port[other_end(from)],
		.seq = reset->sequence,
		.ack_seq = reset->acknowledgement,
		.doff = sizeof(tcp) / 4,
		.rst = 1,
		.ack = !!(reset->flags & TCP_ACK),
	};
	/* the mapped prefix of IPv4 addresses sums up to nothing: 2 * 0xffff */
	__u64 sum = (__u32)bpf_csum_diff(0, 0, (void *)packet->key.addr, sizeof(packet->key.addr), 0);
	bool partial;

	if (!checksum_is_partial(skb, check, &partial))
		return false;
	sum += bpf_htons(sizeof(tcp));
	sum += bpf_htons(IPPROTO_TCP);
	if (partial)
		tcp.check = checksum_fold(sum);
	else
		tcp.check = ~checksum_fold(sum + (__u32)bpf_csum_diff(0, 0, (void *)&tcp, sizeof(tcp), 0));
	return !bpf_skb_store_bytes(skb, packet->transport, &tcp, sizeof(tcp), BPF_F_RECOMPUTE_CSUM);
}

static __always_inline bool reset_direct(struct __sk_buff *skb, const struct packet *packet, const struct reset *reset)
{
	return reset_swap_macs(skb) && reset_addresses(skb, packet, reset->from) && reset_tcp(skb, packet, reset);
}

/* The answer to the segment at hand, and what goes on in its place. */
static __always_inline bool reset_plan(struct __sk_buff *skb, const struct packet *packet, struct reset *back,
				       struct reset *onward)
{
	struct tcphdr tcp;
	__u32 length;

	if (bpf_skb_load_bytes(skb, packet->transport, &tcp, sizeof(tcp)))
		return false;
	length = packet->bytes - (packet->transport - ETH_HLEN) - tcp.doff * 4 + tcp.syn + tcp.fin;
	back->from = other_end(packet->sender);
	if (tcp.ack) {
		back->sequence = tcp.ack_seq;
	} else {
		back->acknowledgement = bpf_htonl(bpf_ntohl(tcp.seq) + length);
		back->flags = TCP_ACK;
	}
	onward->from = packet->sender;
	onward->sequence = tcp.seq;
	onward->acknowledgement = tcp.ack_seq;
	onward->flags = packet->tcp_flags & TCP_ACK;
	return true;
}

/*
 * Answers the TCP segment in `skb` at the interface where it was met; `back` are the flags of bpf_redirect() that lead to
 * its sender. With `both`, the segment itself becomes a reset for its receiver and goes on. Returns what tc shall do.
 */
SUBPROGRAM int reset_send(struct __sk_buff *skb, const struct packet *packet, __u64 back, bool both)
{
	struct reset answer = {}, onward = {};
	int action;

	if (!packet)
		return TC_ACT_SHOT;
	if (packet->flags & PACKET_FRAGMENT || !reset_plan(skb, packet, &answer, &onward) || !reset_trim(skb, packet) ||
	    !reset_direct(skb, packet, &answer))
		goto failed;
	skb->mark = RESET_MARK;
	if (!both) {
		action = bpf_redirect(skb->ifindex, back);
		if (action == TC_ACT_REDIRECT)
			return action;
		goto failed;
	}
	if (bpf_clone_redirect(skb, skb->ifindex, back))
		count_error(WEFT_PLACE_RESET_BUILD);
	if (!reset_direct(skb, packet, &onward))
		goto failed;
	return TC_ACT_UNSPEC;
failed:
	count_error(WEFT_PLACE_RESET_BUILD);
	return TC_ACT_SHOT;
}

#endif
