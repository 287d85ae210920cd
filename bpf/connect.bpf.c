/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * connect(), sendmsg(), recvmsg() and getpeername() of the pods' and the node's sockets: service addresses become backends,
 * a pod's egress policy is applied to what comes out, and the program goes on to see the address that it asked for.
 *
 * An AF_INET6 socket that talks to ::ffff:a.b.c.d comes by connect6 and recvmsg6, but by sendmsg4: the kernel hands such
 * a datagram to IPv4. With v4-mapped addresses throughout that makes no difference here.
 *
 * Not seen here and left to the programs at the interface: raw sockets and SCTP, whose connect() has no hook.
 */
#include "lib/service.h"
#include "lib/socket.h"

#include <asm-generic/errno.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* One connect(), or one datagram with an address of its own. */
struct attempt {
	struct weft_service_key asked;
	struct weft_backend_key to; /* the same unless a service was asked for */
	const struct weft_workload *workload;
	__u64 netns_cookie;
	__u32 buffers; /* weft_control.buffers, read once */
	__u32 service_id;
	__u32 local_identity;
	__u32 identity; /* of the other end; 0: there is none */
	struct weft_decision decision;
	bool translated;
	bool datagram;
};

enum outcome { REFUSED = 0, GO_ON = 1 };

/* False: the socket is not bound yet. A function of its own, so that BTF knows the event's layout: tests/unit/test_abi.c */
static __noinline bool event_source(struct weft_event *event, struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sock = ctx->sk;
	__u32 ipv4;

	if (!sock)
		return false;
	event->socket_cookie = bpf_get_socket_cookie(ctx);
	event->source_port = bpf_htons(sock->src_port);
	if (sock->family == AF_INET) {
		ipv4 = sock->src_ip4;
		barrier_var(ipv4); /* else clang makes one load of both branches', at a computed address: not allowed here */
		event->source = addr_v4(ipv4);
	} else {
		event->source = (struct weft_addr){ { sock->src_ip6[0], sock->src_ip6[1], sock->src_ip6[2],
						      sock->src_ip6[3] } };
	}
	return event->source.word[3];
}

static __noinline int record(struct bpf_sock_addr *ctx, const struct attempt *attempt, enum weft_event_type type)
{
	struct weft_event *event = event_start(type);

	if (!event)
		return 0;
	event->netns_cookie = attempt->netns_cookie;
	event->destination = attempt->to.addr;
	event->destination_port = attempt->to.port;
	if (attempt->service_id) {
		event->service = attempt->asked.addr;
		event->service_port = attempt->asked.port;
	}
	event->protocol = attempt->to.protocol;
	event->reporter = WEFT_REPORTER_SOURCE;
	event->reason = attempt->decision.reason;
	event->direction = WEFT_EGRESS;
	event->rule_flags = attempt->decision.flags;
	event->source_identity = attempt->local_identity;
	event->destination_identity = attempt->identity;
	event->service_id = attempt->service_id;
	event->rule = attempt->decision.rule;
	event->audit_rule = attempt->decision.audit_rule;
	event->pid = bpf_get_current_pid_tgid() >> 32;
	if (!event_source(event, ctx) && attempt->workload) /* it will take one of the pod's */
		event->source = attempt->workload->addr[addr_is_v4(&event->destination) ? 0 : 1];
	event_submit(event);
	return 0;
}

static __always_inline bool record_is_due(const struct attempt *attempt)
{
	struct weft_denial_key key = {
		.source = attempt->local_identity,
		.destination = attempt->identity,
		.port = attempt->to.port,
		.protocol = attempt->to.protocol,
		.reason = attempt->decision.reason,
	};

	return !attempt->datagram || denial_is_news(&key);
}

/* What programs expect to see: a service without endpoints behaves like a closed port. */
static __always_inline int errno_of(__u8 reason)
{
	switch (reason) {
	case WEFT_REASON_NO_ENDPOINT:
	case WEFT_REASON_NO_SERVICE_PORT:
	case WEFT_REASON_SERVICE_TABLE_INCONSISTENT:
		return ECONNREFUSED;
	case WEFT_REASON_UNSUPPORTED_SERVICE_PROTOCOL:
		return EPROTONOSUPPORT;
	default:
		return EPERM;
	}
}

static __noinline int refuse(struct bpf_sock_addr *ctx, const struct attempt *attempt)
{
	struct weft_traffic_key key = {
		.source = attempt->local_identity,
		.destination = attempt->identity,
		.service_id = attempt->service_id,
		.reporter = WEFT_REPORTER_SOURCE,
		.protocol = attempt->to.protocol,
		.reason = attempt->decision.reason,
	};
	struct weft_traffic *traffic = traffic_of(&key);

	if (traffic)
		count(&traffic->denied, 1);
	count_drop(attempt->decision.reason, WEFT_EGRESS, 0);
	if (record_is_due(attempt))
		record(ctx, attempt, WEFT_EVENT_DENY);
	bpf_set_retval(-errno_of(attempt->decision.reason));
	return REFUSED;
}

/* From the service to a backend. False: there is none, and decision.reason says why. */
static __always_inline bool balance(struct attempt *attempt)
{
	struct weft_service *service;

	if (!protocol_has_services(attempt->asked.protocol))
		return true;
	service = service_find(&attempt->asked);
	if (!service)
		return true;
	attempt->service_id = service->id;
	attempt->decision.reason = service_choose(service, &attempt->asked, attempt->netns_cookie, &attempt->to);
	attempt->translated = attempt->decision.reason == WEFT_REASON_NONE;
	return attempt->translated;
}

/* A pod cannot be kept from itself, not even by way of a service. */
static __always_inline bool is_own_address(const struct weft_workload *workload, const struct weft_address *known)
{
	return known && known->ifindex && known->ifindex == workload->ifindex;
}

/*
 * A server of UDP answers from a socket that is not connected, or that it connects to who spoke first: no egress of its own,
 * as NetworkPolicy has it. Whether the reply may go is for the program at the interface, which keeps the connection.
 */
static __noinline bool is_reply(struct bpf_sock_addr *ctx, const struct attempt *attempt)
{
	struct weft_conn_key key = { .protocol = attempt->to.protocol };
	const struct weft_conn *conn;
	struct bpf_sock *sock = ctx->sk;
	__u8 own;

	if (!sock || attempt->translated || attempt->to.protocol != IPPROTO_UDP)
		return false;
	own = conn_key_set(&key, &attempt->workload->addr[addr_is_v4(&attempt->to.addr) ? 0 : 1], bpf_htons(sock->src_port),
			   &attempt->to.addr, attempt->to.port);
	conn = bpf_map_lookup_elem(&weft_conntrack, &key);
	return conn && conn->initiator != own;
}

/* Egress policy. False: denied, and decision says by what. */
static __always_inline bool permit(struct bpf_sock_addr *ctx, struct attempt *attempt)
{
	const struct weft_workload *workload = attempt->workload;
	const struct weft_address *known = weft_find_address(&attempt->to.addr);
	__u16 port = protocol_has_services(attempt->to.protocol) ? bpf_ntohs(attempt->to.port) : 0;

	attempt->identity = weft_identity_at(known, &attempt->to.addr, newer_buffer(attempt->buffers));
	if (is_own_address(workload, known)) {
		attempt->decision = weft_decision_make(WEFT_RULE_OWN_POD, WEFT_REASON_NONE);
		return true;
	}
	attempt->decision = weft_decide_at(attempt->buffers, workload, WEFT_EGRESS, &attempt->to.addr, known,
					   attempt->to.protocol, port);
	if (attempt->decision.reason != WEFT_REASON_NONE && is_reply(ctx, attempt))
		attempt->decision = weft_decision_make(WEFT_RULE_NONE, WEFT_REASON_NONE);
	return attempt->decision.reason == WEFT_REASON_NONE;
}

/* The connection that the socket had before, if any, is none any more. */
static __always_inline void forget(struct bpf_sock_addr *ctx)
{
	struct weft_socket *socket = socket_find(bpf_get_socket_cookie(ctx));

	if (!socket)
		return;
	socket->flags &= WEFT_SOCKET_UDP_PEERS;
	socket->opened = 0;
}


/* What recvmsg(), getpeername() and the callbacks of TCP will need to know. */
static __always_inline void remember(struct bpf_sock_addr *ctx, const struct attempt *attempt)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	/* a UDP socket may be connected again and again, and may have sent datagrams to services before */
	struct weft_socket *before = attempt->to.protocol == IPPROTO_UDP ? socket_find(cookie) : 0;
	struct weft_socket socket = {
		.service_addr = attempt->asked.addr,
		.service_port = attempt->asked.port,
		.backend_addr = attempt->to.addr,
		.backend_port = attempt->to.port,
		.protocol = attempt->to.protocol,
		.flags = attempt->translated ? WEFT_SOCKET_TRANSLATED : 0,
		.service_id = attempt->service_id,
		.rule = attempt->decision.rule,
		.identity = attempt->identity,
		.local_identity = attempt->local_identity,
		.opened = bpf_ktime_get_ns(),
		.netns_cookie = attempt->netns_cookie,
		.pid = bpf_get_current_pid_tgid() >> 32,
	};

	if (before) {
		socket.flags |= before->flags & WEFT_SOCKET_UDP_PEERS;
		*before = socket;
	} else {
		socket_put(cookie, &socket);
	}
}

static __always_inline bool note_peers(__u64 cookie, const struct attempt *attempt)
{
	struct weft_socket *known = socket_find(cookie);
	struct weft_socket socket = {
		.protocol = IPPROTO_UDP, .flags = WEFT_SOCKET_UDP_PEERS, .netns_cookie = attempt->netns_cookie
	};

	if (!known)
		return socket_put(cookie, &socket);
	known->flags |= WEFT_SOCKET_UDP_PEERS;
	return true;
}

/* Which service was asked for, for the reply on a socket that is not connected. */
static __always_inline void remember_peer(struct bpf_sock_addr *ctx, const struct attempt *attempt)
{
	struct weft_udp_peer_key key = {
		.socket_cookie = bpf_get_socket_cookie(ctx),
		.addr = attempt->to.addr,
		.port = attempt->to.port,
	};
	struct weft_udp_peer peer = {
		.addr = attempt->asked.addr,
		.port = attempt->asked.port,
		.service_id = attempt->service_id,
	};
	const struct weft_udp_peer *known = bpf_map_lookup_elem(&weft_udp_peers, &key);

	if (known && addr_equal(&known->addr, &peer.addr) && known->port == peer.port)
		return;
	if (note_peers(key.socket_cookie, attempt) &&
	    bpf_map_update_elem(&weft_udp_peers, &key, &peer, BPF_ANY))
		count_error(WEFT_PLACE_UDP_PEER_INSERT);
}

/* What stays within a pod is no traffic of the mesh, unless it takes the way through a service; nor is what the node does. */
static __always_inline bool is_of_interest(const struct attempt *attempt)
{
	if (attempt->translated)
		return true;
	return attempt->to.protocol == IPPROTO_TCP && attempt->decision.rule != WEFT_RULE_OWN_POD &&
	       !(attempt->workload->flags & WEFT_WORKLOAD_HOST);
}

static __always_inline void note_state(struct bpf_sock_addr *ctx, const struct attempt *attempt)
{
	if (attempt->datagram) {
		if (attempt->translated)
			remember_peer(ctx, attempt);
		return;
	}
	if (is_of_interest(attempt))
		remember(ctx, attempt);
	else
		forget(ctx);
}

/* The whole of connect() and sendmsg(), for both families: attempt->to is where to go. */
static __noinline int leave(struct bpf_sock_addr *ctx, struct attempt *attempt)
{
	attempt->to.addr = attempt->asked.addr;
	attempt->to.port = attempt->asked.port;
	attempt->to.protocol = attempt->asked.protocol;
	attempt->netns_cookie = bpf_get_netns_cookie(ctx);
	attempt->workload = bpf_map_lookup_elem(&weft_workloads, &attempt->netns_cookie);
	if (!attempt->workload)
		return GO_ON;
	if (addr_is_loopback(&attempt->asked.addr)) {
		if (!attempt->datagram)
			forget(ctx);
		return GO_ON;
	}
	attempt->buffers = buffers_now();
	attempt->local_identity = attempt->workload->identity[newer_buffer(attempt->buffers)];
	if (!balance(attempt) || !permit(ctx, attempt))
		return refuse(ctx, attempt);
	if (attempt->decision.flags && record_is_due(attempt))
		record(ctx, attempt, WEFT_EVENT_AUDIT);
	note_state(ctx, attempt);
	return GO_ON;
}

static __always_inline struct weft_service_key endpoint4(struct bpf_sock_addr *ctx)
{
	return (struct weft_service_key){
		.addr = addr_v4(ctx->user_ip4), .port = ctx->user_port, .protocol = ctx->protocol
	};
}

static __always_inline struct weft_service_key endpoint6(struct bpf_sock_addr *ctx)
{
	return (struct weft_service_key){
		.addr = { { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3] } },
		.port = ctx->user_port,
		.protocol = ctx->protocol,
	};
}

static __always_inline void endpoint4_set(struct bpf_sock_addr *ctx, const struct weft_addr *addr, __be16 port)
{
	ctx->user_ip4 = addr->word[3];
	ctx->user_port = port;
}

static __always_inline void endpoint6_set(struct bpf_sock_addr *ctx, const struct weft_addr *addr, __be16 port)
{
	ctx->user_ip6[0] = addr->word[0];
	ctx->user_ip6[1] = addr->word[1];
	ctx->user_ip6[2] = addr->word[2];
	ctx->user_ip6[3] = addr->word[3];
	ctx->user_port = port;
}

/* Where a datagram or a connected socket's peer seems to come from: the service, if the program had asked for one. */
static __noinline int restore(struct bpf_sock_addr *ctx, struct weft_service_key *from)
{
	struct weft_udp_peer_key key = {
		.socket_cookie = bpf_get_socket_cookie(ctx), .addr = from->addr, .port = from->port
	};
	struct weft_socket *socket = socket_find(key.socket_cookie);
	const struct weft_udp_peer *peer;

	if (!socket)
		return 0;
	if (socket->flags & WEFT_SOCKET_TRANSLATED && socket->backend_port == from->port &&
	    addr_equal(&socket->backend_addr, &from->addr)) {
		from->addr = socket->service_addr;
		from->port = socket->service_port;
		return 1;
	}
	if (!(socket->flags & WEFT_SOCKET_UDP_PEERS))
		return 0;
	peer = bpf_map_lookup_elem(&weft_udp_peers, &key);
	if (!peer)
		return 0;
	from->addr = peer->addr;
	from->port = peer->port;
	return 1;
}

#define LEAVE(family, is_datagram)                                                                                     \
	struct attempt attempt = { .asked = endpoint##family(ctx), .datagram = is_datagram };                          \
	int outcome = leave(ctx, &attempt);                                                                            \
                                                                                                                       \
	if (attempt.translated)                                                                                        \
		endpoint##family##_set(ctx, &attempt.to.addr, attempt.to.port);                                        \
	return outcome

#define RESTORE(family)                                                                                                \
	struct weft_service_key from = endpoint##family(ctx);                                                          \
                                                                                                                       \
	if (restore(ctx, &from))                                                                                       \
		endpoint##family##_set(ctx, &from.addr, from.port);                                                    \
	return 1

SEC("cgroup/connect4") int connect4(struct bpf_sock_addr *ctx) { LEAVE(4, false); }
SEC("cgroup/connect6") int connect6(struct bpf_sock_addr *ctx) { LEAVE(6, false); }
SEC("cgroup/sendmsg4") int sendmsg4(struct bpf_sock_addr *ctx) { LEAVE(4, true); }
SEC("cgroup/sendmsg6") int sendmsg6(struct bpf_sock_addr *ctx) { LEAVE(6, true); }
SEC("cgroup/recvmsg4") int recvmsg4(struct bpf_sock_addr *ctx) { RESTORE(4); }
SEC("cgroup/recvmsg6") int recvmsg6(struct bpf_sock_addr *ctx) { RESTORE(6); }
SEC("cgroup/getpeername4") int getpeername4(struct bpf_sock_addr *ctx) { RESTORE(4); }
SEC("cgroup/getpeername6") int getpeername6(struct bpf_sock_addr *ctx) { RESTORE(6); }

/*
 * The end of a socket's life. A TCP connection may outlive it, and sockops sees that one's end; what is left here are UDP, and
 * TCP sockets whose connect() came to nothing before the first packet.
 */
SEC("cgroup/sock_release")
int sock_release(struct bpf_sock *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);

	if ((ctx->protocol != IPPROTO_TCP || ctx->state == BPF_TCP_CLOSE) && socket_find(cookie))
		bpf_map_delete_elem(&weft_sockets, &cookie);
	return 1;
}
