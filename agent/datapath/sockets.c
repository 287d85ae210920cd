/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/sockets.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath/internal.h"
#include "util/addr.h"
#include "util/clock.h"
#include "util/netlink_ask.h"

#define READ_BYTES 65536
#define OUTPUT_MAX (64u << 20) /* far beyond what any namespace's sockets fill */

/* --- iterators --- */

static int iterator_link(struct datapath *datapath, const char *name)
{
	struct program *program = datapath_find_program(datapath, name);

	if (!program)
		return -ENOENT;
	if (program->link < 0) {
		int link = bpf_link_create(program->fd, 0, BPF_TRACE_ITER, NULL);

		if (link < 0)
			return -errno;
		program->link = link;
	}
	return program->link;
}

/* All that can be read from `fd`; *ret is malloc'd. */
static int read_all(int fd, char **ret, size_t *ret_size)
{
	char *bytes = NULL, *larger;
	size_t size = 0;
	ssize_t got;

	do {
		larger = size < OUTPUT_MAX ? realloc(bytes, size + READ_BYTES) : NULL;
		if (!larger) {
			free(bytes);
			return -ENOMEM;
		}
		bytes = larger;
		got = read(fd, bytes + size, READ_BYTES);
		if (got < 0 && errno != EAGAIN && errno != EINTR) {
			int error = errno;

			free(bytes);
			return -error;
		}
		size += got > 0 ? (size_t)got : 0;
	} while (got);
	*ret = bytes;
	*ret_size = size;
	return 0;
}

int datapath_run_iterator(struct datapath *datapath, const char *program, sockets_bytes_fn *each, void *context)
{
	int link = iterator_link(datapath, program), fd, result;
	char *bytes = NULL;
	size_t size = 0;

	if (link < 0)
		return link;
	fd = bpf_iter_create(link); /* over the sockets of the namespace that the caller is in now */
	if (fd < 0)
		return -errno;
	result = read_all(fd, &bytes, &size);
	close(fd);
	if (result == 0 && size && each)
		result = each(bytes, size, context);
	free(bytes);
	return result;
}

/* --- sock_diag --- */

#define REQUEST_BYTES 256

/* Fills in `buffer` (REQUEST_BYTES) but for the socket's own name, which is in what it returns. */
static struct inet_diag_req_v2 *make_request(char *buffer, uint16_t type, uint16_t flags, uint8_t family, uint8_t protocol,
					     uint32_t states)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(memset(buffer, 0, REQUEST_BYTES));
	struct inet_diag_req_v2 *request;

	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | flags;
	request = mnl_nlmsg_put_extra_header(message, sizeof(*request));
	request->sdiag_family = family;
	request->sdiag_protocol = protocol;
	request->idiag_states = states;
	return request;
}

static void put_address(__be32 *to, uint8_t family, const struct weft_addr *addr)
{
	if (family == AF_INET)
		to[0] = addr->word[3];
	else
		memcpy(to, addr, sizeof(*addr));
}

int sockets_destroy_udp(const struct weft_udp_socket *socket)
{
	_Alignas(NLMSG_ALIGNTO) char buffer[REQUEST_BYTES];
	struct inet_diag_req_v2 *request =
		make_request(buffer, SOCK_DESTROY, NLM_F_ACK, socket->family, IPPROTO_UDP, UINT32_MAX);

	request->id.idiag_sport = socket->local_port;
	request->id.idiag_dport = socket->backend_port;
	put_address(request->id.idiag_src, socket->family, &socket->local_addr);
	put_address(request->id.idiag_dst, socket->family, &socket->backend_addr);
	request->id.idiag_if = socket->ifindex;
	request->id.idiag_cookie[0] = (uint32_t)socket->cookie;
	request->id.idiag_cookie[1] = (uint32_t)(socket->cookie >> 32);
	return netlink_ask(NETLINK_SOCK_DIAG, (struct nlmsghdr *)buffer, NULL, NULL);
}

/* --- connections older than the programs --- */

struct seeding {
	int map;
	uint8_t protocol;
	uint8_t listening[65536 / 8]; /* bit per local port */
	uint64_t now;
	int count;
	int error;
};

static int note_listener(const struct nlmsghdr *message, void *context)
{
	const struct inet_diag_msg *socket = mnl_nlmsg_get_payload(message);
	struct seeding *seeding = context;
	uint16_t port = ntohs(socket->id.idiag_sport);

	seeding->listening[port / 8] |= (uint8_t)(1 << port % 8);
	return MNL_CB_OK;
}

static bool is_loopback(const struct weft_addr *addr)
{
	static const struct in6_addr loopback = IN6ADDR_LOOPBACK_INIT;

	return addr_is_v4(addr) ? ntohl(addr->word[3]) >> 24 == IN_LOOPBACKNET : !memcmp(addr, &loopback, sizeof(loopback));
}

/* struct weft_conn_key: the end with the smaller (address, port) in memcmp order is end 0. Returns which end is `local`. */
static int make_key(struct weft_conn_key *key, const struct weft_addr *local, __be16 local_port, const struct weft_addr *remote,
		    __be16 remote_port)
{
	int order = memcmp(local, remote, sizeof(*local)), end;

	if (!order)
		order = memcmp(&local_port, &remote_port, sizeof(local_port));
	end = order <= 0 ? 0 : 1;
	key->addr[end] = *local;
	key->port[end] = local_port;
	key->addr[!end] = *remote;
	key->port[!end] = remote_port;
	return end;
}

static int seed_connection(const struct nlmsghdr *message, void *context)
{
	const struct inet_diag_msg *socket = mnl_nlmsg_get_payload(message);
	struct seeding *seeding = context;
	struct weft_conn_key key = { .protocol = seeding->protocol };
	struct weft_conn conn = { .flags = WEFT_CONN_SEEDED, .created = seeding->now, .last_seen = seeding->now };
	struct weft_addr local, remote;
	uint16_t port = ntohs(socket->id.idiag_sport);
	bool is_server = seeding->listening[port / 8] & 1 << port % 8;
	int end;

	if (addr_from_bytes(socket->idiag_family, socket->id.idiag_src, &local) < 0 ||
	    addr_from_bytes(socket->idiag_family, socket->id.idiag_dst, &remote) < 0 || is_loopback(&remote) ||
	    !socket->id.idiag_dport)
		return MNL_CB_OK;
	end = make_key(&key, &local, socket->id.idiag_sport, &remote, socket->id.idiag_dport);
	conn.initiator = (uint8_t)(is_server ? !end : end);
	if (seeding->protocol == IPPROTO_TCP && socket->idiag_state != TCP_SYN_SENT && socket->idiag_state != TCP_SYN_RECV)
		conn.tcp_flags[0] = conn.tcp_flags[1] = TH_ACK; /* it stands: collect.c lets it be silent */
	if (bpf_map_update_elem(seeding->map, &key, &conn, BPF_NOEXIST) == 0)
		seeding->count++;
	else if (errno != EEXIST)
		seeding->error = -errno;
	return MNL_CB_OK;
}

static int each_socket(uint8_t family, uint8_t protocol, uint32_t states, mnl_cb_t each, struct seeding *seeding)
{
	_Alignas(NLMSG_ALIGNTO) char buffer[REQUEST_BYTES];

	make_request(buffer, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, family, protocol, states);
	return netlink_ask(NETLINK_SOCK_DIAG, (struct nlmsghdr *)buffer, each, seeding);
}

static int seed_protocol(struct seeding *seeding, uint8_t protocol)
{
	static const uint8_t families[] = { AF_INET, AF_INET6 };
	const uint32_t listening = 1u << TCP_LISTEN;
	const uint32_t connected = 1u << TCP_ESTABLISHED | 1u << TCP_FIN_WAIT1 | 1u << TCP_FIN_WAIT2 | 1u << TCP_CLOSE_WAIT |
				   1u << TCP_LAST_ACK | 1u << TCP_CLOSING | 1u << TCP_SYN_SENT | 1u << TCP_SYN_RECV;
	int result = 0;

	seeding->protocol = protocol;
	memset(seeding->listening, 0, sizeof(seeding->listening));
	for (size_t i = 0; i < sizeof(families) && result == 0 && protocol == IPPROTO_TCP; i++)
		result = each_socket(families[i], protocol, listening, note_listener, seeding);
	for (size_t i = 0; i < sizeof(families) && result == 0; i++)
		result = each_socket(families[i], protocol, connected, seed_connection, seeding);
	return result;
}

int sockets_seed_connections(struct datapath *datapath)
{
	struct seeding seeding = { .map = datapath_map_fd(datapath, "weft_conntrack"), .now = clock_now(CLOCK_MONOTONIC) };
	int result;

	if (seeding.map < 0)
		return seeding.map;
	result = seed_protocol(&seeding, IPPROTO_TCP);
	if (result == 0)
		result = seed_protocol(&seeding, IPPROTO_UDP);
	if (result == 0)
		result = seeding.error;
	return result < 0 ? result : seeding.count;
}
