/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The life of the pods' TCP connections, as their sockets tell it: established, failed, closed. Counters, records and the
 * state of backends come from here. A socket without state in weft_sockets is none of ours: see connect.bpf.c for clients.
 */
#include "lib/socket.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline struct weft_socket *state_of(struct bpf_sock_ops *ctx)
{
	return socket_find(bpf_get_socket_cookie(ctx));
}

static __always_inline bool read_tcp(struct bpf_sock_ops *ctx, struct tcp_state *state)
{
	struct bpf_sock *sock = ctx->sk;
	struct tcp_sock *tcp = sock ? bpf_skc_to_tcp_sock(sock) : 0;

	if (!tcp)
		return false;
	tcp_state_read(tcp, state);
	return true;
}

/* Without it the end of the connection goes by unseen. */
static __always_inline void watch_states(struct bpf_sock_ops *ctx)
{
	if (bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG))
		count_error(WEFT_PLACE_SOCKOPS_FLAGS);
}

/* NULL when the socket did not go through a service, or its backend was taken away since. */
static __always_inline struct weft_backend *backend_of(const struct weft_socket *socket)
{
	struct weft_backend_key key = {
		.addr = socket->backend_addr, .port = socket->backend_port, .protocol = socket->protocol
	};

	return socket->flags & WEFT_SOCKET_TRANSLATED ? bpf_map_lookup_elem(&weft_backends, &key) : 0;
}

/* Exponentially weighted mean, weight 1/8; the first sample is the mean. Two CPUs at once may lose a sample: no harm. */
static __always_inline void mean_add(__u64 *mean, __u64 sample)
{
	*mean = *mean ? *mean - (*mean >> 3) + (sample >> 3) : sample;
}

static __always_inline void count_opened(const struct weft_socket *socket)
{
	struct weft_traffic *traffic = socket_traffic(socket, WEFT_REASON_NONE);

	if (traffic)
		count(&traffic->opened, 1);
}

static __always_inline void backend_opened(const struct weft_socket *socket)
{
	struct weft_backend *backend = backend_of(socket);

	if (!backend) {
		if (socket->flags & WEFT_SOCKET_TRANSLATED)
			count_error(WEFT_PLACE_BACKEND_STATE);
		return;
	}
	count(&backend->opened, 1);
	count(&backend->active, 1);
	backend->last_used = socket->established;
	mean_add(&backend->connect_us, (socket->established - socket->opened) / 1000);
}

static __always_inline void record_established(struct bpf_sock_ops *ctx, const struct weft_socket *socket,
					       const struct tcp_state *state, enum weft_event_type type)
{
	struct weft_event *event;

	if (!records_wanted())
		return;
	event = socket_event(socket, state, type);
	if (!event)
		return;
	event->socket_cookie = bpf_get_socket_cookie(ctx);
	event->duration = socket->established - socket->opened;
	event_submit(event);
}

/* What the programs at the interfaces have of the connection. */
static __always_inline struct weft_conn *conn_of(const struct tcp_state *state)
{
	struct weft_conn_key key = { .protocol = IPPROTO_TCP };

	conn_key_set(&key, &state->local_addr, state->local_port, &state->remote_addr, state->remote_port);
	return bpf_map_lookup_elem(&weft_conntrack, &key);
}

/* They see the backend's address alone. */
static __always_inline void note_service(const struct tcp_state *state, __u32 service_id)
{
	struct weft_conn *conn = service_id ? conn_of(state) : 0;

	if (conn)
		conn->service_id = service_id;
}

/* What was noted when the connection's first packet was let in. */
static __always_inline __u32 rule_of_accept(const struct tcp_state *state)
{
	const struct weft_conn *conn = conn_of(state);

	return conn ? conn->rule[WEFT_INGRESS] : WEFT_RULE_NONE;
}

static __always_inline void connected(struct bpf_sock_ops *ctx)
{
	struct weft_socket *socket = state_of(ctx);
	struct tcp_state state;

	if (!socket || !socket->opened || socket->flags & WEFT_SOCKET_COUNTED || !read_tcp(ctx, &state))
		return;
	socket->established = bpf_ktime_get_ns();
	socket->flags |= WEFT_SOCKET_COUNTED;
	count_opened(socket);
	backend_opened(socket);
	note_service(&state, socket->service_id);
	record_established(ctx, socket, &state, WEFT_EVENT_CONNECT);
}

/* What stays within a pod is no traffic of the mesh. */
static __always_inline bool is_from_itself(const struct tcp_state *state)
{
	return addr_is_loopback(&state->remote_addr) || addr_equal(&state->remote_addr, &state->local_addr);
}

/* There is no pid: which process will accept it is not known yet. */
static __always_inline void accepted(struct bpf_sock_ops *ctx)
{
	__u64 netns_cookie = bpf_get_netns_cookie(ctx);
	const struct weft_workload *workload = bpf_map_lookup_elem(&weft_workloads, &netns_cookie);
	struct weft_socket socket;
	struct tcp_state state;

	if (!workload || workload->flags & WEFT_WORKLOAD_HOST || !read_tcp(ctx, &state) || is_from_itself(&state))
		return;
	socket = (struct weft_socket){
		.flags = WEFT_SOCKET_SERVER | WEFT_SOCKET_COUNTED,
		.protocol = IPPROTO_TCP,
		.netns_cookie = netns_cookie,
		.local_identity = workload->identity[newer_buffer(buffers_now())],
		.identity = identity_now(&state.remote_addr),
		.rule = rule_of_accept(&state),
		.opened = bpf_ktime_get_ns(),
	};
	socket.established = socket.opened;
	if (!socket_put(bpf_get_socket_cookie(ctx), &socket))
		return;
	watch_states(ctx);
	count_opened(&socket);
	record_established(ctx, &socket, &state, WEFT_EVENT_ACCEPT);
}

/* A connection that never stood counts as opened and closed, so that the difference stays what is open. */
static __always_inline void failed(struct bpf_sock_ops *ctx, struct weft_socket *socket, const struct tcp_state *state)
{
	struct weft_traffic *traffic = socket_traffic(socket, WEFT_REASON_CONNECT_FAILED);
	struct weft_backend *backend = backend_of(socket);
	struct weft_event *event;

	if (traffic) {
		count(&traffic->opened, 1);
		count(&traffic->closed, 1);
		count(&traffic->retransmits, state->retransmits);
	}
	if (backend) {
		count(&backend->failed, 1);
		backend->last_used = bpf_ktime_get_ns();
	}
	event = records_wanted() ? socket_event(socket, state, WEFT_EVENT_FAIL) : 0;
	if (!event)
		return;
	event->socket_cookie = bpf_get_socket_cookie(ctx);
	event->reason = WEFT_REASON_CONNECT_FAILED;
	event->duration = event->time - socket->opened;
	event_submit(event);
}

static __always_inline void backend_closed(const struct weft_socket *socket, const struct tcp_state *state)
{
	struct weft_backend *backend = backend_of(socket);

	if (!backend)
		return;
	if (backend->active) /* the entry may be newer than the connection */
		count(&backend->active, -1);
	if (state->srtt_us)
		mean_add(&backend->srtt_us, state->srtt_us);
}

static __always_inline void closed(struct bpf_sock_ops *ctx, struct weft_socket *socket, const struct tcp_state *state)
{
	struct weft_traffic *traffic = socket_traffic(socket, WEFT_REASON_NONE);
	struct weft_event *event;

	if (traffic)
		count(&traffic->closed, 1);
	socket_count_bytes(socket, state, traffic);
	backend_closed(socket, state);
	event = records_wanted() ? socket_event(socket, state, WEFT_EVENT_CLOSE) : 0;
	if (!event)
		return;
	event->socket_cookie = bpf_get_socket_cookie(ctx);
	event->duration = event->time - socket->established;
	event_submit(event);
}

static __always_inline void ended(struct bpf_sock_ops *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct weft_socket *socket = socket_find(cookie);
	struct tcp_state state;

	if (!socket || !socket->opened || !read_tcp(ctx, &state))
		return;
	if (socket->flags & WEFT_SOCKET_COUNTED)
		closed(ctx, socket, &state);
	else
		failed(ctx, socket, &state);
	bpf_map_delete_elem(&weft_sockets, &cookie);
}

SEC("sockops")
int sock_ops(struct bpf_sock_ops *ctx)
{
	switch (ctx->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		if (state_of(ctx))
			watch_states(ctx);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		connected(ctx);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		accepted(ctx);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ctx->args[1] == BPF_TCP_CLOSE)
			ended(ctx);
		break;
	default:
		break;
	}
	return 1;
}
