/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Read by the agent in each network namespace it serves: what open TCP connections have carried so far, and which UDP sockets
 * are connected to a backend.
 */
#include "lib/socket.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline void record_report(struct sock_common *sock, struct weft_socket *socket, const struct tcp_state *state)
{
	struct weft_event *event;

	if (!records_wanted())
		return;
	event = socket_event(socket, state, WEFT_EVENT_REPORT);
	if (!event)
		return;
	event->socket_cookie = bpf_get_socket_cookie(sock);
	event->duration = event->time - socket->established;
	event_submit(event);
}

/* Run once in each report interval. The first time that it meets a connection it only counts: that one may be brand new. */
SEC("iter/tcp")
int report_tcp(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sock = ctx->sk_common;
	struct tcp_sock *tcp = sock ? bpf_skc_to_tcp_sock(sock) : 0;
	struct weft_socket *socket = tcp ? socket_find(bpf_get_socket_cookie(tcp)) : 0;
	struct tcp_state state;

	if (!socket || !(socket->flags & WEFT_SOCKET_COUNTED))
		return 0;
	tcp_state_read(tcp, &state);
	socket_count_bytes(socket, &state, socket_traffic(socket, WEFT_REASON_NONE));
	if (socket->flags & WEFT_SOCKET_REPORTED)
		record_report(sock, socket, &state);
	socket->flags |= WEFT_SOCKET_REPORTED;
	return 0;
}

/* A socket that has been disconnected, or connected elsewhere since, still has the state of its former connection. */
static __always_inline bool is_connected_to(const struct sock_common *sock, const struct weft_socket *socket)
{
	struct weft_addr remote = sock_remote(sock);

	return sock->skc_dport == socket->backend_port && addr_equal(&remote, &socket->backend_addr);
}

/* A function of its own, so that the object's BTF knows the record's layout: tests/unit/test_abi.c */
static __noinline int describe(struct weft_udp_socket *record, struct sock_common *sock, const struct weft_socket *socket)
{
	record->local_addr = sock_local(sock);
	record->local_port = bpf_htons(sock->skc_num);
	record->backend_addr = socket->backend_addr;
	record->backend_port = socket->backend_port;
	record->service_addr = socket->service_addr;
	record->service_port = socket->service_port;
	record->service_id = socket->service_id;
	record->family = sock->skc_family;
	record->ifindex = sock->skc_bound_dev_if;
	return sizeof(*record);
}

SEC("iter/udp")
int list_udp(struct bpf_iter__udp *ctx)
{
	struct udp_sock *udp = ctx->udp_sk;
	struct weft_socket *socket = udp ? socket_find(bpf_get_socket_cookie(udp)) : 0;
	struct weft_udp_socket record = {};
	struct sock_common *sock;

	if (!socket || !(socket->flags & WEFT_SOCKET_TRANSLATED))
		return 0;
	sock = &udp->inet.sk.__sk_common;
	if (!is_connected_to(sock, socket))
		return 0;
	record.cookie = bpf_get_socket_cookie(udp);
	/* does it not fit, the kernel calls again for the same socket with a fresh buffer */
	bpf_seq_write(ctx->meta->seq, &record, describe(&record, sock, socket));
	return 0;
}
