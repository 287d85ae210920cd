/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The programs attached to interfaces, in real namespaces: attach.c and short_way.c of datapath/, and what sockets in pods
 * see. The test makes itself a host namespace; pods a and b hang on a bridge or are routed, "far" is behind a router's port.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "datapath/attach.h"
#include "datapath/clsact.h"
#include "datapath/internal.h"
#include "frame.h"
#include "util/log.h"
#include "world.h"

#define PATIENCE_MS 5000

static struct datapath datapath;
static char pin_root[64];
static bool has_tcx;
static char prefix[32];
static int host_netns;

static int run(const char *format, ...)
{
	char command[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	return system(command);
}

#define must_run(...) assert_int_equal(run(__VA_ARGS__), 0)

/* --- a datapath of these two programs alone --- */

static void take_program(struct program *program, const char *name, const struct bpf_program *loaded)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);

	snprintf(program->name, sizeof(program->name), "%s", name);
	program->fd = bpf_program__fd(loaded);
	assert_int_equal(bpf_obj_get_info_by_fd(program->fd, &info, &size), 0);
	program->id = info.id;
}

static void load_programs(void)
{
	skeleton = interface_bpf__open();
	assert_non_null(skeleton);
	assert_int_equal(interface_bpf__load(skeleton), 0);
	take_program(&datapath.programs[0], "from_pod", skeleton->progs.from_pod);
	take_program(&datapath.programs[1], "to_pod", skeleton->progs.to_pod);
}

static int open_datapath(bool no_tcx)
{
	char reason[REASON_MAX];

	if (attach_open(&datapath, reason))
		fail_msg("%s", reason);
	datapath.attach->no_tcx = no_tcx;
	return 0;
}

static int make_host(void **state)
{
	(void)state;
	snprintf(pin_root, sizeof(pin_root), "/tmp/weft-attach-%d", getpid());
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mkdir(pin_root, 0700) || mount("bpf", pin_root, "bpf", 0, NULL) ||
	    mount("sysfs", "/sys", "sysfs", 0, NULL)) /* of this network namespace */
		return -1;
	snprintf(datapath.directory, sizeof(datapath.directory), "%s", pin_root);
	datapath.programs = calloc(2, sizeof(*datapath.programs));
	datapath.program_count = 2;
	host_netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	return run("ip link set lo up && sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 "
		   "net.ipv6.conf.default.accept_dad=0 && ip link add p0 type veth peer name p1 && ip link set p0 up");
}

static int drop_host(void **state)
{
	(void)state;
	free(datapath.programs);
	umount(pin_root);
	return rmdir(pin_root);
}

static int begin(void **state)
{
	(void)state;
	load_programs();
	return 0;
}

static int end(void **state)
{
	char reason[REASON_MAX];
	int error;

	(void)state;
	attach_close(&datapath);
	error = attach_cleanup(pin_root, reason);
	interface_bpf__destroy(skeleton);
	if (error)
		print_error("%s\n", reason);
	return error;
}

/* --- attach, adopt, replace, detach --- */

/* Ids of the programs at an interface, as the kernel says; 0: none. */
static uint32_t program_at(uint32_t ifindex, bool ingress, bool tcx)
{
	if (tcx) {
		uint32_t ids[4] = {};
		DECLARE_LIBBPF_OPTS(bpf_prog_query_opts, query, .prog_ids = ids, .prog_cnt = 4);

		return bpf_prog_query_opts((int)ifindex, (enum bpf_attach_type)(ingress ? 46 : 47), &query) ? 0 : ids[0];
	}
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex,
			    .attach_point = ingress ? BPF_TC_INGRESS : BPF_TC_EGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, ours, .handle = 1, .priority = 15808);
	return bpf_tc_query(&hook, &ours) ? 0 : ours.prog_id;
}

static void assert_attached(uint32_t ifindex, bool tcx)
{
	assert_int_equal(program_at(ifindex, true, tcx), datapath.programs[0].id);
	assert_int_equal(program_at(ifindex, false, tcx), datapath.programs[1].id);
}

static bool qdisc_is_there(const char *device)
{
	return run("tc qdisc show dev %s | grep -q clsact", device) == 0;
}

/* A filter of somebody else. */
static void add_filter_of_others(uint32_t ifindex)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = (int)ifindex, .attach_point = BPF_TC_INGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, filter, .handle = 1, .priority = 7, .prog_fd = datapath.programs[0].fd);

	assert_int_equal(bpf_tc_attach(&hook, &filter), 0);
}

static void adopts_and_replaces(bool no_tcx)
{
	uint32_t p0 = if_nametoindex("p0");
	struct interface_bpf *old;

	open_datapath(no_tcx);
	assert_int_equal(datapath_attach(&datapath, p0), 0);
	assert_int_equal(datapath_attach(&datapath, p0), 0);
	assert_attached(p0, !no_tcx);
	assert_int_equal(attach_others(pin_root, p0), 0);

	attach_close(&datapath); /* a new agent, other programs */
	old = skeleton;
	load_programs();
	open_datapath(no_tcx);
	if (no_tcx) /* it starts with tcx in mind, and finds no pin of it */
		assert_int_equal(datapath_attach(&datapath, p0), 0);
	assert_attached(p0, !no_tcx);
	interface_bpf__destroy(old);

	assert_int_equal(datapath_detach(&datapath, p0), 0);
	assert_int_equal(program_at(p0, true, !no_tcx), 0);
	assert_int_equal(program_at(p0, false, !no_tcx), 0);
	assert_int_equal(datapath_detach(&datapath, p0), 0);
	assert_false(qdisc_is_there("p0"));
}

static void links_are_adopted_and_replaced(void **state)
{
	(void)state;
	if (!has_tcx)
		skip();
	adopts_and_replaces(false);
}

static void filters_are_adopted_and_replaced(void **state)
{
	(void)state;
	adopts_and_replaces(true);
}

static void a_qdisc_that_others_use_stays(void **state)
{
	uint32_t p0 = if_nametoindex("p0");

	(void)state;
	open_datapath(true);
	must_run("tc qdisc add dev p0 clsact");
	assert_int_equal(datapath_attach(&datapath, p0), 0);
	assert_int_equal(datapath_detach(&datapath, p0), 0);
	assert_true(qdisc_is_there("p0")); /* it was there before */
	must_run("tc qdisc del dev p0 clsact");

	assert_int_equal(datapath_attach(&datapath, p0), 0);
	add_filter_of_others(p0);
	assert_int_equal(attach_others(pin_root, p0), 1);
	assert_int_equal(datapath_detach(&datapath, p0), 0);
	assert_true(qdisc_is_there("p0")); /* ours, but in use now */
	must_run("tc qdisc del dev p0 clsact");
}

static void an_interface_that_went_is_forgotten(void **state)
{
	uint32_t *interfaces, gone;
	size_t count;

	(void)state;
	for (int no_tcx = !has_tcx; no_tcx < 2; no_tcx++) {
		must_run("ip link add q0 type veth peer name q1");
		gone = if_nametoindex("q0");
		open_datapath(no_tcx);
		assert_int_equal(datapath_attach(&datapath, gone), 0);
		must_run("ip link del q0");
		attach_close(&datapath);
		open_datapath(no_tcx);
		assert_int_equal(attach_interfaces(pin_root, &interfaces, &count), 0);
		assert_int_equal(count, 0);
		free(interfaces);
		assert_int_equal(datapath_attach(&datapath, gone), -ENODEV);
		assert_int_equal(datapath_detach(&datapath, gone), 0);
		attach_close(&datapath);
	}
}

static void cleanup_leaves_nothing(void **state)
{
	char reason[REASON_MAX], path[128];
	uint32_t p0 = if_nametoindex("p0");

	(void)state;
	for (int no_tcx = !has_tcx; no_tcx < 2; no_tcx++) {
		open_datapath(no_tcx);
		assert_int_equal(datapath_attach(&datapath, p0), 0);
		attach_close(&datapath);
		assert_int_equal(attach_cleanup(pin_root, reason), 0);
		assert_int_equal(program_at(p0, true, !no_tcx), 0);
		snprintf(path, sizeof(path), "%s/interfaces", pin_root);
		assert_int_not_equal(access(path, F_OK), 0);
		assert_false(qdisc_is_there("p0"));
	}
}

/* --- whether the short way may be taken --- */

static void assert_short_way(bool on, const char *why)
{
	struct short_way_state found = {};

	short_way_look(&datapath, &found);
	assert_string_equal(found.why, why);
	assert_int_equal(found.on, on);
}

static const char nothing[] = "auto: nothing else filters on the host's path";

static void auto_stays_away_where_others_filter(void **state)
{
	uint32_t p0 = if_nametoindex("p0");

	(void)state;
	open_datapath(true);
	assert_int_equal(datapath_attach(&datapath, p0), 0);
	assert_short_way(true, nothing);
	add_filter_of_others(p0);
	assert_short_way(false, "auto: 1 other programs or filters at interface p0");
	datapath.options.short_way = SHORT_WAY_ON;
	assert_short_way(true, "on: configured");
	datapath.options.short_way = SHORT_WAY_OFF;
	assert_short_way(false, "off: configured");
	datapath.options.short_way = SHORT_WAY_AUTO;
	must_run("tc qdisc del dev p0 clsact");
}

static void auto_reads_nftables(void **state)
{
	static const struct {
		const char *rules, *why; /* NULL: nothing in the way */
	} cases[] = {
		{ "add chain inet t c { type filter hook forward priority 0; }", NULL },
		{ "add chain inet t c { type filter hook forward priority 0; policy drop; }",
		  "auto: nftables chain inet t c drops by default" },
		{ "add chain inet t c { type filter hook forward priority 0; }; add rule inet t c accept",
		  "auto: nftables chain inet t c has rules" },
		{ "add chain inet t c { type filter hook input priority 0; policy drop; }", NULL },
		{ "add chain inet t c; add rule inet t c drop", NULL },
	};

	(void)state;
	if (run("nft add table inet t 2>/dev/null && nft delete table inet t"))
		skip(); /* no nf_tables in this kernel */
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		must_run("nft 'add table inet t; %s'", cases[i].rules);
		assert_short_way(!cases[i].why, cases[i].why ? cases[i].why : nothing);
		must_run("nft delete table inet t");
	}
}

static void auto_reads_iptables(void **state)
{
	static const char *const commands[] = { "iptables", "ip6tables" };
	char expected[128];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		if (run("%s-legacy -L -n >/dev/null 2>&1", commands[i]))
			skip(); /* not in this kernel */
		assert_short_way(true, nothing);
		must_run("%s-legacy -A FORWARD -j ACCEPT", commands[i]);
		snprintf(expected, sizeof(expected), "auto: %s table filter chain FORWARD has rules", commands[i]);
		assert_short_way(false, expected);
		must_run("%s-legacy -F FORWARD && %s-legacy -P FORWARD DROP", commands[i], commands[i]);
		snprintf(expected, sizeof(expected), "auto: %s table filter chain FORWARD drops by default", commands[i]);
		assert_short_way(false, expected);
		must_run("%s-legacy -P FORWARD ACCEPT", commands[i]);
	}
}

/* --- pods and their sockets --- */

static void enter_netns(const char *pod)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s-%s", prefix, pod ? pod : "");
	fd = pod ? open(path, O_RDONLY | O_CLOEXEC) : host_netns;
	assert_true(fd >= 0);
	assert_int_equal(setns(fd, CLONE_NEWNET), 0);
	if (pod)
		close(fd);
}

static int socket_in(const char *pod, int family, int type, int protocol)
{
	const struct timeval limit = { PATIENCE_MS / 1000, 0 };
	int fd;

	enter_netns(pod);
	fd = socket(family, type | SOCK_CLOEXEC, protocol);
	enter_netns(NULL);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	return fd;
}

static socklen_t name_of(struct sockaddr_storage *ret, const char *address, uint16_t port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)ret;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ret;

	memset(ret, 0, sizeof(*ret));
	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		return sizeof(*v4);
	}
	assert_int_equal(inet_pton(AF_INET6, address, &v6->sin6_addr), 1);
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	return sizeof(*v6);
}

static int family_of(const char *address) { return strchr(address, ':') ? AF_INET6 : AF_INET; }

static int bound(const char *pod, const char *address, uint16_t port, int type)
{
	struct sockaddr_storage name;
	socklen_t size = name_of(&name, address, port);
	const int one = 1;
	int fd = socket_in(pod, family_of(address), type, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&name, size))
		fail_msg("bind %s: %s", address, strerror(errno));
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 8), 0);
	return fd;
}

/* 0, or the errno of connect(); *ret is the socket in either case. */
static int connected(const char *pod, const char *address, uint16_t port, int type, int *ret)
{
	struct sockaddr_storage name;
	socklen_t size = name_of(&name, address, port);

	*ret = socket_in(pod, family_of(address), type, 0);
	return connect(*ret, (struct sockaddr *)&name, size) ? errno : 0;
}

/* A pod whose end of the link has the MAC address 02:00:00:00:00:MAC, and the host's end 02:00:00:00:01:MAC. */
static void add_pod(const char *pod, const char *host_side, int mac, bool routed, const char *v4, const char *v6)
{
	must_run("ip netns add %s-%s", prefix, pod);
	must_run("ip -batch - <<E\n"
		 "link add %s address 02:00:00:00:01:%02x type veth peer name eth0 address 02:00:00:00:00:%02x netns %s-%s\n"
		 "link set %s up\nE\n", host_side, mac, mac, prefix, pod, host_side);
	must_run("ip -n %s-%s -batch - <<E\n"
		 "link set lo up\nlink set eth0 up\naddr add %s/%d dev eth0\naddr add %s/%d dev eth0 nodad\nE\n",
		 prefix, pod, v4, routed ? 32 : 24, v6, routed ? 128 : 64);
	if (!routed) {
		must_run("ip link set %s master br0", host_side);
		must_run("ip -n %s-%s -batch - <<E\nroute add default via 10.9.0.254\nroute add default via fd09::254\nE\n",
			 prefix, pod);
		return;
	}
	must_run("ip -n %s-%s -batch - <<E\n"
		 "route add 169.254.1.1 dev eth0\nneigh add 169.254.1.1 dev eth0 lladdr 02:00:00:00:01:%02x\n"
		 "neigh add fe80::1 dev eth0 lladdr 02:00:00:00:01:%02x\n"
		 "route add default via 169.254.1.1 dev eth0\nroute add default via fe80::1 dev eth0\nE\n",
		 prefix, pod, mac, mac);
	must_run("ip -batch - <<E\n"
		 "route add %s dev %s\nroute add %s dev %s\n"
		 "neigh add %s dev %s lladdr 02:00:00:00:00:%02x\nneigh add %s dev %s lladdr 02:00:00:00:00:%02x\nE\n",
		 v4, host_side, v6, host_side, v4, host_side, mac, v6, host_side, mac);
}

static void remove_pods(void)
{
	run("for n in a b far; do ip netns del %s-$n 2>/dev/null; done; ip link del br0 2>/dev/null; ip link del a0 2>/dev/null; "
	    "ip link del b0 2>/dev/null; ip link del f0 2>/dev/null; ip addr flush dev lo scope global 2>/dev/null", prefix);
}

/* Pods a and b of this node and one elsewhere, which is only routed to. */
static void make_pods(bool routed)
{
	remove_pods(); /* of a test that failed */
	if (!routed)
		must_run("ip -batch - <<E\nlink add br0 type bridge\nlink set br0 up\naddr add 10.9.0.254/24 dev br0\n"
			 "addr add fd09::254/64 dev br0 nodad\nE\n");
	else
		must_run("ip -batch - <<E\naddr add 10.9.0.254/32 dev lo\naddr add fd09::254/128 dev lo\nE\n");
	add_pod("a", "a0", 0xa, routed, families[0].a, families[1].a);
	add_pod("b", "b0", 0xb, routed, families[0].b, families[1].b);
	add_pod("far", "f0", 0xf, true, families[0].far, families[1].far);
	a_if = if_nametoindex("a0");
	b_if = if_nametoindex("b0");
}

static uint64_t drops(enum weft_reason reason, enum weft_direction direction)
{
	uint32_t index = (uint32_t)reason * 2 + direction;
	int cpus = libbpf_num_possible_cpus();
	struct weft_drop per_cpu[cpus];
	uint64_t sum = 0;

	assert_int_equal(bpf_map_lookup_elem(map(skeleton->maps.weft_drops), &index, per_cpu), 0);
	for (int i = 0; i < cpus; i++)
		sum += per_cpu[i].packets;
	return sum;
}

static int is_denial(void *context, void *data, size_t size)
{
	const struct weft_event *event = data;

	(void)size;
	if (event->type == WEFT_EVENT_DENY && event->reason == *(uint8_t *)context)
		*(uint8_t *)context = 0;
	return 0;
}

/* Waits for the record of a denial for `reason`. */
static void wait_for_denial(uint8_t reason)
{
	struct ring_buffer *ring = ring_buffer__new(map(skeleton->maps.weft_events), is_denial, &reason, NULL);

	assert_non_null(ring);
	while (reason)
		if (ring_buffer__poll(ring, PATIENCE_MS) <= 0)
			break;
	ring_buffer__free(ring);
	assert_int_equal(reason, 0);
}

static void forget_denials(void)
{
	struct weft_denial_key key;

	while (!bpf_map_get_next_key(map(skeleton->maps.weft_denials), NULL, &key))
		bpf_map_delete_elem(map(skeleton->maps.weft_denials), &key);
}

static void echo(int client, int server)
{
	char text[] = "weft", back[sizeof(text)] = "";

	assert_int_equal(send(client, text, sizeof(text), 0), sizeof(text));
	assert_int_equal(recv(server, back, sizeof(back), MSG_WAITALL), sizeof(text));
	assert_int_equal(send(server, back, sizeof(back), 0), sizeof(back));
	memset(back, 0, sizeof(back));
	assert_int_equal(recv(client, back, sizeof(back), MSG_WAITALL), sizeof(back));
	assert_string_equal(back, text);
}

static void tcp_is_let_through_and_refused(const char *pod, const struct family *family)
{
	int listener = bound("b", family->b, 80, SOCK_STREAM), client, server;

	assert_int_equal(connected(pod, family->b, 80, SOCK_STREAM, &client), 0);
	server = accept(listener, NULL, NULL);
	assert_true(server >= 0);
	for (int i = 0; i < 10; i++)
		echo(client, server);
	close(client);
	assert_int_equal(recv(server, &client, 1, 0), 0);
	close(server);
	close(listener);

	listener = bound("b", family->b, 81, SOCK_STREAM);
	assert_int_equal(connected(pod, family->b, 81, SOCK_STREAM, &client), ECONNREFUSED);
	close(client);
	close(listener);
}

static void udp_is_let_through_and_dropped(const char *pod, const struct family *family)
{
	int server = bound("b", family->b, 53, SOCK_DGRAM), client, closed;
	struct sockaddr_storage from;
	socklen_t size = sizeof(from);
	char byte = 'w';

	assert_int_equal(connected(pod, family->b, 53, SOCK_DGRAM, &client), 0);
	assert_int_equal(send(client, &byte, 1, 0), 1);
	assert_int_equal(recvfrom(server, &byte, 1, 0, (struct sockaddr *)&from, &size), 1);
	assert_int_equal(sendto(server, &byte, 1, 0, (struct sockaddr *)&from, size), 1);
	assert_int_equal(recv(client, &byte, 1, 0), 1);
	close(client);
	close(server);

	closed = bound("b", family->b, 54, SOCK_DGRAM);
	forget_denials();
	assert_int_equal(connected(pod, family->b, 54, SOCK_DGRAM, &client), 0);
	assert_int_equal(send(client, &byte, 1, 0), 1);
	wait_for_denial(WEFT_REASON_POLICY_DENIED);
	assert_int_equal(recv(closed, &byte, 1, MSG_DONTWAIT), -1);
	close(client);
	close(closed);
}

static void big_datagrams_arrive(const char *pod, const struct family *family)
{
	static char big[9000], back[9000];
	int server = bound("b", family->b, 53, SOCK_DGRAM), client;

	assert_int_equal(connected(pod, family->b, 53, SOCK_DGRAM, &client), 0);
	memset(big, 'w', sizeof(big));
	assert_int_equal(send(client, big, sizeof(big), 0), sizeof(big));
	assert_int_equal(recv(server, back, sizeof(back), 0), sizeof(big));
	assert_memory_equal(big, back, sizeof(big));
	close(client);
	close(server);
}

/* In fragments, too. */
static void pings_are_answered(const char *pod, const struct family *family)
{
	must_run("ip netns exec %s-%s ping -q -c 1 -W 5 -s 4000 %s >/dev/null", prefix, pod, family->b);
}

/* A raw socket writes another's address into the header (IPv4; for IPv6 the address is borrowed by IPV6_FREEBIND). */
static void forged_sources_are_dropped(const struct family *family)
{
	uint64_t before = drops(WEFT_REASON_INVALID_SOURCE, WEFT_EGRESS);
	struct sockaddr_storage name;
	socklen_t size = name_of(&name, family->b, 0);
	struct frame frame;
	int raw = socket_in("a", family_of(family->b), SOCK_RAW, IPPROTO_RAW);

	frame_ip(&frame, family->far, family->b);
	frame_udp(&frame, 4000, 53);
	frame_finish(&frame);
	forget_denials();
	assert_true(sendto(raw, frame.data + 14, frame.size - 14, 0, (struct sockaddr *)&name, size) > 0);
	wait_for_denial(WEFT_REASON_INVALID_SOURCE);
	assert_true(drops(WEFT_REASON_INVALID_SOURCE, WEFT_EGRESS) > before);
	close(raw);
}

static void assert_reset(int fd)
{
	char byte;
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&wait, 1, PATIENCE_MS), 1);
	assert_int_equal(recv(fd, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
}

/* A changed policy ends what it no longer allows, for both ends, whichever of them speaks first. */
static void changed_policy_cuts_connections(const char *pod, const struct family *family, uint32_t epoch)
{
	static const struct weft_rule none[] = { { .start = 0, DENIED } };

	for (int speaker = 0; speaker < 2; speaker++) {
		int listener = bound("b", family->b, 80, SOCK_STREAM), client, server;

		assert_int_equal(connected(pod, family->b, 80, SOCK_STREAM, &client), 0);
		server = accept(listener, NULL, NULL);
		assert_true(server >= 0);
		echo(client, server);
		set_policy(SUBJECT_B, *pod == 'a' ? IDENTITY_A : IDENTITY_FAR, WEFT_INGRESS, none, 1);
		set_control(1, epoch++, 0);
		assert_int_equal(send(speaker ? server : client, "x", 1, MSG_NOSIGNAL), 1);
		assert_reset(server);
		assert_reset(client);
		set_policies();
		set_control(1, epoch++, 0);
		close(client);
		close(server);
		close(listener);
	}
}

static uint64_t sent_at(const char *device)
{
	char path[128];
	unsigned long long packets;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/class/net/%s/statistics/tx_packets", device);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%llu", &packets), 1);
	fclose(file);
	return packets;
}

/* What goes the short way does not leave by the host-side interface of its receiver. */
static void the_short_way_is_short(const struct family *family, bool short_way)
{
	int listener = bound("b", family->b, 80, SOCK_STREAM), client, server;
	uint64_t before;

	assert_int_equal(connected("a", family->b, 80, SOCK_STREAM, &client), 0);
	server = accept(listener, NULL, NULL);
	assert_true(server >= 0);
	before = sent_at("b0");
	for (int i = 0; i < 50; i++)
		echo(client, server);
	if (short_way)
		assert_in_range(sent_at("b0") - before, 0, 5); /* neighbours may ask each other */
	else
		assert_true(sent_at("b0") - before >= 50);
	close(client);
	close(server);
	close(listener);
}

static void talk(bool routed, bool no_tcx, bool short_way)
{
	uint32_t epoch = 10;

	make_pods(routed);
	set_world(short_way ? WEFT_WORKLOAD_SHORT_WAY : 0);
	open_datapath(no_tcx);
	assert_int_equal(datapath_attach(&datapath, a_if), 0);
	assert_int_equal(datapath_attach(&datapath, b_if), 0);
	EACH_FAMILY(family) {
		static const char *const pods[] = { "a", "far" };

		for (size_t i = 0; i < 2; i++) {
			tcp_is_let_through_and_refused(pods[i], family);
			udp_is_let_through_and_dropped(pods[i], family);
			big_datagrams_arrive(pods[i], family);
			pings_are_answered(pods[i], family);
			changed_policy_cuts_connections(pods[i], family, epoch);
			epoch += 4;
		}
		forged_sources_are_dropped(family);
		the_short_way_is_short(family, short_way);
	}
	remove_pods();
}

static void pods_on_a_bridge(void **state) { (void)state; talk(false, false, false); }
static void pods_on_a_bridge_by_clsact(void **state) { (void)state; talk(false, true, false); }
static void pods_on_a_bridge_with_the_short_way(void **state) { (void)state; talk(false, false, true); }
static void routed_pods(void **state) { (void)state; talk(true, false, false); }
static void routed_pods_with_the_short_way(void **state) { (void)state; talk(true, false, true); }
static void routed_pods_with_the_short_way_by_clsact(void **state) { (void)state; talk(true, true, true); }

static bool find_tcx(void)
{
	DECLARE_LIBBPF_OPTS(bpf_prog_query_opts, query);

	return !bpf_prog_query_opts(1, (enum bpf_attach_type)46, &query);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(links_are_adopted_and_replaced),
		EACH(filters_are_adopted_and_replaced),
		EACH(a_qdisc_that_others_use_stays),
		EACH(an_interface_that_went_is_forgotten),
		EACH(cleanup_leaves_nothing),
		EACH(auto_stays_away_where_others_filter),
		EACH(auto_reads_nftables),
		EACH(auto_reads_iptables),
		EACH(pods_on_a_bridge),
		EACH(pods_on_a_bridge_by_clsact),
		EACH(pods_on_a_bridge_with_the_short_way),
		EACH(routed_pods),
		EACH(routed_pods_with_the_short_way),
		EACH(routed_pods_with_the_short_way_by_clsact),
	};
	int failed;

	log_set_level(LOG_ERROR);
	libbpf_set_print(NULL);
	has_tcx = find_tcx();
	snprintf(prefix, sizeof(prefix), "weftattach%d", getpid());
	failed = cmocka_run_group_tests(tests, make_host, drop_host);
	remove_pods();
	return failed;
}
