/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_LIB_SOCKET_H
#define WEFT_LIB_SOCKET_H
/*
 * The state of a socket and what is counted and recorded from it. Written by connect() and accept, in weft_sockets: a socket
 * without state is none of ours, so the programs that run for every socket of the machine find that out with one look-up.
 *
 * All of it happens under the lock of the socket: the callbacks of sockops run with it, and so do the socket iterators
 * (bpf_iter_tcp_seq_show() in net/ipv4/tcp_ipv4.c), which skip sockets that were closed before. So no byte is counted twice.
 */
#include "lib/common.h"
#include "lib/kernel.h"

static __always_inline struct weft_socket *socket_find(__u64 cookie)
{
	return bpf_map_lookup_elem(&weft_sockets, &cookie);
}

static __always_inline bool socket_put(__u64 cookie, const struct weft_socket *socket)
{
	if (!bpf_map_update_elem(&weft_sockets, &cookie, socket, BPF_ANY))
		return true;
	count_error(WEFT_PLACE_SOCKET_STORAGE);
	return false;
}

/* One connection's ends and figures, as the kernel's own socket has them now. */
struct tcp_state {
	struct weft_addr local_addr;
	struct weft_addr remote_addr;
	__be16 local_port;
	__be16 remote_port;
	__u32 srtt_us;
	__u32 retransmits;
	__u32 pad;
	__u64 sent;	/* payload, what was sent again not counted again */
	__u64 received; /* payload */
};

static __always_inline struct weft_addr addr_v6(const struct in6_addr *addr)
{
	return (struct weft_addr){ { addr->in6_u.u6_addr32[0], addr->in6_u.u6_addr32[1], addr->in6_u.u6_addr32[2],
				     addr->in6_u.u6_addr32[3] } };
}

static __always_inline struct weft_addr sock_local(const struct sock_common *sock)
{
	return sock->skc_family == AF_INET ? addr_v4(sock->skc_rcv_saddr) : addr_v6(&sock->skc_v6_rcv_saddr);
}

static __always_inline struct weft_addr sock_remote(const struct sock_common *sock)
{
	return sock->skc_family == AF_INET ? addr_v4(sock->skc_daddr) : addr_v6(&sock->skc_v6_daddr);
}

/* 127/8, ::1, and the unspecified address, which connect() takes for one of these. */
static __always_inline bool addr_is_loopback(const struct weft_addr *addr)
{
	if (addr_is_v4(addr))
		return !addr->word[3] || (addr->word[3] & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
	return !addr->word[0] && !addr->word[1] && !addr->word[2] &&
	       (!addr->word[3] || addr->word[3] == bpf_htonl(1));
}

static __always_inline void tcp_state_read(const struct tcp_sock *tcp, struct tcp_state *state)
{
	const struct sock_common *sock = &tcp->inet_conn.icsk_inet.sk.__sk_common;
	__u64 fin = !!(sock->skc_flags & SOCK_DONE_BIT);

	state->local_addr = sock_local(sock);
	state->remote_addr = sock_remote(sock);
	state->local_port = bpf_htons(sock->skc_num);
	state->remote_port = sock->skc_dport;
	state->srtt_us = tcp->srtt_us >> 3;
	state->retransmits = tcp->total_retrans;
	state->sent = tcp->bytes_sent - tcp->bytes_retrans;
	state->received = tcp->bytes_received;
	if (state->received >= fin)
		state->received -= fin;
}

static __always_inline struct weft_traffic *socket_traffic(const struct weft_socket *socket, __u8 reason)
{
	bool server = socket->flags & WEFT_SOCKET_SERVER;
	struct weft_traffic_key key = {
		.source = server ? socket->identity : socket->local_identity,
		.destination = server ? socket->local_identity : socket->identity,
		.service_id = socket->service_id,
		.reporter = server ? WEFT_REPORTER_DESTINATION : WEFT_REPORTER_SOURCE,
		.protocol = socket->protocol,
		.reason = reason,
	};

	return traffic_of(&key);
}

/* Adds what came since the last time. Source to destination is "sent", whichever end the socket is. */
static __always_inline void socket_count_bytes(struct weft_socket *socket, const struct tcp_state *state,
					       struct weft_traffic *traffic)
{
	bool server = socket->flags & WEFT_SOCKET_SERVER;
	__u64 sent = server ? state->received : state->sent;
	__u64 received = server ? state->sent : state->received;

	if (traffic) {
		count(&traffic->sent, sent - socket->sent);
		count(&traffic->received, received - socket->received);
		count(&traffic->retransmits, state->retransmits - socket->retransmits);
	}
	socket->sent = sent;
	socket->received = received;
	socket->retransmits = state->retransmits;
}

static __always_inline bool records_wanted(void)
{
	const struct weft_control *settings = control();

	return settings && !(settings->flags & WEFT_CONTROL_NO_CONNECT_EVENTS);
}

/* The record of a TCP socket, without what is special to `type`. NULL: no room, counted. Submit it with event_submit(). */
static __always_inline struct weft_event *socket_event(const struct weft_socket *socket, const struct tcp_state *state,
							enum weft_event_type type)
{
	bool server = socket->flags & WEFT_SOCKET_SERVER;
	struct weft_event *event = event_start(type);

	if (!event)
		return 0;
	event->netns_cookie = socket->netns_cookie;
	event->source = server ? state->remote_addr : state->local_addr;
	event->destination = server ? state->local_addr : state->remote_addr;
	event->source_port = server ? state->remote_port : state->local_port;
	event->destination_port = server ? state->local_port : state->remote_port;
	event->source_identity = server ? socket->identity : socket->local_identity;
	event->destination_identity = server ? socket->local_identity : socket->identity;
	if (socket->flags & WEFT_SOCKET_TRANSLATED) {
		event->service = socket->service_addr;
		event->service_port = socket->service_port;
	}
	event->service_id = socket->service_id;
	event->protocol = socket->protocol;
	event->reporter = server ? WEFT_REPORTER_DESTINATION : WEFT_REPORTER_SOURCE;
	event->direction = server ? WEFT_INGRESS : WEFT_EGRESS;
	event->rule = socket->rule;
	event->pid = socket->pid;
	event->srtt_us = state->srtt_us;
	event->retransmits = state->retransmits;
	event->sent = server ? state->received : state->sent;
	event->received = server ? state->sent : state->received;
	return event;
}

#endif
