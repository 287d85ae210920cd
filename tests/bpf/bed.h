/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_BED_H
#define TEST_BED_H
/*
 * A bed for tests of the programs at sockets: two namespaces on one wire, "client" and "server", a cgroup of the test's own with
 * the programs attached, and tables written by hand. All of it ends with the process, but for the cgroup, which bed_free() removes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "util/addr.h"
#include "weft/abi.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define CLIENT_IDENTITY 100
#define SERVER_IDENTITY 200
#define CLIENT_IFINDEX 7001
#define SERVER_IFINDEX 7002
#define SUBJECT 16
#define SERVICE_ID 4242
#define RULE_ALLOW 31
#define RULE_DENY 32
#define RULE_AUDIT 33
#define SERVICE_PORT 80
#define BACKEND_PORT 8080
#define BACKENDS 8
#define EVENTS_MAX 4096
#define WAIT_MS 5000

/* The same tests for each way of talking: MAPPED is an AF_INET6 socket that talks to ::ffff:a.b.c.d. */
enum kind { V4, V6, MAPPED, KINDS };

struct bed {
	int host_ns, client_ns, server_ns;
	uint64_t client_cookie, server_cookie;
	char mount_point[64], group[128], home[512];
	int group_fd;
	struct bpf_object *connect, *sockops, *report;
	struct bpf_link *links[16];
	size_t link_count;
	struct ring_buffer *ring;
	struct weft_event events[EVENTS_MAX];
	size_t event_count;
};

static struct bed bed;

static inline void run(const char *format, ...)
{
	char command[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	if (system(command) != 0)
		fail_msg("%s", command);
}

static inline uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* --- namespaces --- */

static inline void enter(int ns) { assert_int_equal(setns(ns, CLONE_NEWNET), 0); }

static inline int make_ns(uint64_t *cookie)
{
	socklen_t size = sizeof(*cookie);
	int ns, fd;

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(ns >= 0 && fd >= 0);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &size), 0);
	close(fd);
	run("ip link set lo up && echo 0 65535 >/proc/sys/net/ipv4/ping_group_range");
	return ns;
}

/* Backend n is 10.77.0.(10+n) and fd77::1n, all in the server's namespace; the client is 10.77.0.2 and fd77::2. */
static inline void make_wire(void)
{
	bed.client_ns = make_ns(&bed.client_cookie);
	bed.server_ns = make_ns(&bed.server_cookie);
	run("ip link add eth0 type veth peer name eth0 netns /proc/%d/fd/%d", getpid(), bed.client_ns);
	for (int i = 0; i < BACKENDS; i++)
		run("ip addr add 10.77.0.%d/24 dev eth0 && ip addr add fd77::%d/64 dev eth0 nodad", 10 + i, 10 + i);
	run("ip link set eth0 up");
	enter(bed.client_ns);
	run("ip addr add 10.77.0.2/24 dev eth0 && ip addr add fd77::2/64 dev eth0 nodad && ip link set eth0 up");
	enter(bed.server_ns);
	run("ping -c 1 -W 5 10.77.0.2 >/dev/null && ping -c 1 -W 5 fd77::2 >/dev/null"); /* neighbours know each other */
	enter(bed.client_ns);
}

/* --- cgroup and programs --- */

static inline void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		fail_msg("%s: %s", path, strerror(errno));
	close(fd);
}

static inline void join(const char *directory)
{
	char path[768], pid[16];

	snprintf(path, sizeof(path), "%s/cgroup.procs", directory);
	snprintf(pid, sizeof(pid), "%d", getpid());
	write_file(path, pid);
}

static inline void find_home(void)
{
	char line[400] = "";
	FILE *file = fopen("/proc/self/cgroup", "re");

	assert_non_null(file);
	while (fgets(line, sizeof(line), file) && strncmp(line, "0::", 3))
		;
	fclose(file);
	line[strcspn(line, "\n")] = 0;
	snprintf(bed.home, sizeof(bed.home), "%s%s", bed.mount_point, strncmp(line, "0::", 3) ? "" : line + 3);
}

static inline void make_cgroup(void)
{
	snprintf(bed.mount_point, sizeof(bed.mount_point), "/tmp/weftconnect-XXXXXX");
	assert_non_null(mkdtemp(bed.mount_point));
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(mount("cgroup2", bed.mount_point, "cgroup2", 0, NULL), 0);
	find_home();
	snprintf(bed.group, sizeof(bed.group), "%s/weftconnect-%d", bed.mount_point, getpid());
	assert_int_equal(mkdir(bed.group, 0755), 0);
	join(bed.group);
	bed.group_fd = open(bed.group, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(bed.group_fd >= 0);
}

static inline struct bpf_object *load(const char *path, const struct bpf_object *other)
{
	struct bpf_object *object = bpf_object__open_file(path, NULL);
	struct bpf_map *map;

	assert_non_null(object);
	bpf_object__for_each_map(map, object) {
		struct bpf_map *same = other ? bpf_object__find_map_by_name(other, bpf_map__name(map)) : NULL;

		if (same && !strncmp(bpf_map__name(map), "weft_", 5))
			assert_int_equal(bpf_map__reuse_fd(map, bpf_map__fd(same)), 0);
	}
	if (bpf_object__load(object))
		fail_msg("%s: %s", path, strerror(errno));
	return object;
}

static inline void attach(struct bpf_object *object)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, object) {
		bed.links[bed.link_count] = bpf_program__attach_cgroup(program, bed.group_fd);
		if (!bed.links[bed.link_count++])
			fail_msg("%s: %s", bpf_program__name(program), strerror(errno));
	}
}

static inline void detach_all(void)
{
	while (bed.link_count)
		bpf_link__destroy(bed.links[--bed.link_count]);
}

/* --- tables --- */

static inline int map_fd(const char *name)
{
	const struct bpf_object *objects[] = { bed.connect, bed.sockops, bed.report };

	for (size_t i = 0; i < sizeof(objects) / sizeof(*objects); i++) {
		int fd = bpf_object__find_map_fd_by_name(objects[i], name);

		if (fd >= 0)
			return fd;
	}
	fail_msg("no map %s", name);
	return -1;
}

static inline void put(const char *map, const void *key, const void *value)
{
	if (bpf_map_update_elem(map_fd(map), key, value, BPF_ANY))
		fail_msg("%s: %s", map, strerror(errno));
}

static inline bool get(const char *map, const void *key, void *value)
{
	return bpf_map_lookup_elem(map_fd(map), key, value) == 0;
}

static inline void empty(const char *map, size_t key_size)
{
	unsigned char key[64];

	assert_true(key_size <= sizeof(key));
	while (!bpf_map_get_next_key(map_fd(map), NULL, key))
		if (bpf_map_delete_elem(map_fd(map), key))
			break;
}

static inline struct weft_addr make_addr(enum kind kind, const char *v4, const char *v6)
{
	struct weft_addr addr;

	assert_int_equal(addr_parse(kind == V6 ? v6 : v4, &addr), 0);
	return addr;
}

static inline struct weft_addr client_addr(enum kind kind) { return make_addr(kind, "10.77.0.2", "fd77::2"); }
static inline struct weft_addr service_addr(enum kind kind) { return make_addr(kind, "10.96.0.1", "fd96::1"); }

static inline struct weft_addr backend_addr(enum kind kind, unsigned int n)
{
	char v4[32], v6[32];

	snprintf(v4, sizeof(v4), "10.77.0.%u", 10 + n);
	snprintf(v6, sizeof(v6), "fd77::%u", 10 + n);
	return make_addr(kind, v4, v6);
}

static inline void put_control(uint32_t buffers, uint32_t flags, uint32_t report_bytes)
{
	struct weft_control control = { .buffers = buffers, .epoch = 1, .flags = flags, .report_bytes = report_bytes };
	uint32_t zero = 0;

	put("weft_control", &zero, &control);
}

static inline void put_workload(uint64_t cookie, uint32_t identity, uint32_t subject, uint32_t ifindex, uint32_t flags)
{
	struct weft_workload workload = {
		.netns_cookie = cookie, .identity = { identity, identity }, .subject = { subject, subject },
		.ifindex = ifindex, .flags = flags,
	};

	if (cookie == bed.client_cookie) {
		workload.addr[0] = client_addr(V4);
		workload.addr[1] = client_addr(V6);
	}
	put("weft_workloads", &cookie, &workload);
}

static inline void put_client(uint32_t subject, uint32_t flags)
{
	put_workload(bed.client_cookie, CLIENT_IDENTITY, subject, flags & WEFT_WORKLOAD_HOST ? 0 : CLIENT_IFINDEX, flags);
}

static inline void put_address(struct weft_addr addr, uint32_t identity, uint32_t ifindex)
{
	struct weft_address address = { .identity = { identity, identity }, .ifindex = ifindex };

	put("weft_addresses", &addr, &address);
}

/* One rule for all protocols and ports of SUBJECT's traffic to anyone. */
static inline void put_rule(uint32_t id, uint8_t reason, uint8_t flags)
{
	struct weft_policy_key key = { .subject = SUBJECT, .identity = WEFT_IDENTITY_ANY, .direction = WEFT_EGRESS };
	struct weft_policy policy = { .rules = { { 0, 1 }, { 0, 1 } } };
	struct weft_rule rule = { .id = id, .reason = reason, .flags = flags, .audit_id = flags ? RULE_AUDIT : 0 };
	uint32_t zero = 0;

	put("weft_rules", &zero, &rule);
	put("weft_policies", &key, &policy);
}

/* Backends first..first+count-1 with equal weights, in the order of weft_slots. */
static inline void put_service(enum kind kind, uint8_t protocol, uint32_t algorithm, unsigned int first, unsigned int count,
			       uint32_t affinity_seconds)
{
	struct weft_service_key key = {
		.addr = service_addr(kind), .port = htons(SERVICE_PORT), .protocol = protocol
	};
	struct weft_service service = {
		.id = SERVICE_ID, .first_slot = first + 1000, .slot_count = count, .algorithm = algorithm,
		.affinity_seconds = affinity_seconds,
	};

	for (unsigned int i = 0; i < count; i++) {
		struct weft_slot slot = {
			.addr = backend_addr(kind, first + i), .port = htons(BACKEND_PORT), .weight = 1,
			.threshold = UINT32_MAX, .alias = i,
		};
		struct weft_backend_key backend = { .addr = slot.addr, .port = slot.port, .protocol = protocol };
		struct weft_backend zero = { 0 };
		uint32_t index = service.first_slot + i;

		put("weft_slots", &index, &slot);
		put("weft_backends", &backend, &zero);
	}
	put("weft_services", &key, &service);
	key.port = 0;
	key.protocol = 0;
	put("weft_services", &key, &(struct weft_service){ .id = SERVICE_ID, .flags = WEFT_SERVICE_ADDRESS });
}

/* --- events and counters --- */

static inline int on_event(void *context, void *data, size_t size)
{
	(void)context;
	assert_int_equal(size, sizeof(struct weft_event));
	if (bed.event_count < EVENTS_MAX)
		bed.events[bed.event_count++] = *(struct weft_event *)data;
	return 0;
}

static inline const struct weft_event *find_event(uint8_t type, uint8_t reporter)
{
	for (size_t i = 0; i < bed.event_count; i++)
		if (bed.events[i].type == type && bed.events[i].reporter == reporter)
			return &bed.events[i];
	return NULL;
}

/* The first event of that kind since forget_events(), as soon as it is there. */
static inline const struct weft_event *wait_event(uint8_t type, uint8_t reporter)
{
	uint64_t limit = now() + WAIT_MS * 1000000ull;

	ring_buffer__consume(bed.ring);
	while (!find_event(type, reporter) && now() < limit)
		ring_buffer__poll(bed.ring, WAIT_MS);
	if (!find_event(type, reporter))
		fail_msg("no event of type %u, reporter %u", type, reporter);
	return find_event(type, reporter);
}

static inline size_t count_events(void)
{
	ring_buffer__consume(bed.ring);
	return bed.event_count;
}

static inline void forget_events(void)
{
	ring_buffer__consume(bed.ring);
	bed.event_count = 0;
}

static inline struct weft_traffic traffic(uint8_t reporter, uint32_t service_id, uint8_t protocol, uint32_t destination,
					  uint8_t reason)
{
	struct weft_traffic_key key = {
		.source = CLIENT_IDENTITY, .destination = destination, .service_id = service_id, .reporter = reporter,
		.protocol = protocol, .reason = reason,
	};
	struct weft_traffic sum = { 0 };
	int cpus = libbpf_num_possible_cpus();
	struct weft_traffic *values = calloc((size_t)cpus, sizeof(*values));

	assert_non_null(values);
	if (get("weft_traffic", &key, values))
		for (int cpu = 0; cpu < cpus; cpu++) {
			sum.opened += values[cpu].opened;
			sum.closed += values[cpu].closed;
			sum.sent += values[cpu].sent;
			sum.received += values[cpu].received;
			sum.denied += values[cpu].denied;
		}
	free(values);
	return sum;
}

static inline uint64_t drops(uint8_t reason)
{
	uint32_t index = (uint32_t)reason * 2 + WEFT_EGRESS;
	int cpus = libbpf_num_possible_cpus();
	struct weft_drop *values = calloc((size_t)cpus, sizeof(*values));
	uint64_t sum = 0;

	assert_non_null(values);
	assert_true(get("weft_drops", &index, values));
	for (int cpu = 0; cpu < cpus; cpu++)
		sum += values[cpu].packets;
	free(values);
	return sum;
}

static inline uint64_t errors(void)
{
	int cpus = libbpf_num_possible_cpus();
	uint64_t *values = calloc((size_t)cpus, sizeof(*values)), sum = 0;

	assert_non_null(values);
	for (uint32_t place = 0; place < WEFT_PLACE_COUNT; place++) {
		assert_true(get("weft_errors", &place, values));
		for (int cpu = 0; cpu < cpus; cpu++)
			sum += values[cpu];
	}
	free(values);
	return sum;
}

static inline struct weft_backend backend_state(enum kind kind, unsigned int n, uint8_t protocol)
{
	struct weft_backend_key key = {
		.addr = backend_addr(kind, n), .port = htons(BACKEND_PORT), .protocol = protocol
	};
	struct weft_backend state = { 0 };

	assert_true(get("weft_backends", &key, &state));
	return state;
}

/* --- sockets --- */

struct name {
	struct sockaddr_storage storage;
	socklen_t size;
};

static inline struct name make_name(enum kind kind, struct weft_addr addr, uint16_t port)
{
	struct name name = { .size = kind == V4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6) };

	if (kind == V4) {
		struct sockaddr_in *in = (struct sockaddr_in *)&name.storage;

		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		in->sin_addr.s_addr = addr.word[3];
	} else {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&name.storage;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		memcpy(&in6->sin6_addr, &addr, sizeof(addr));
	}
	return name;
}

static inline struct sockaddr *sa(struct name *name) { return (struct sockaddr *)&name->storage; }

static inline struct name service_name(enum kind kind) { return make_name(kind, service_addr(kind), SERVICE_PORT); }

static inline void assert_name(const struct name *name, enum kind kind, struct weft_addr addr, uint16_t port)
{
	struct name wanted = make_name(kind, addr, port);

	assert_int_equal(name->size, wanted.size);
	assert_memory_equal(&name->storage, &wanted.storage, wanted.size);
}

static inline int make_socket(enum kind kind, int type)
{
	const struct timeval limit = { WAIT_MS / 1000, 0 };
	int fd = socket(kind == V4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)), 0);
	return fd;
}

/* A socket of the server's namespace, bound to `addr`; listening if it is TCP. Back in the client's namespace after. */
static inline int serve(enum kind kind, int ns, int type, struct weft_addr addr)
{
	struct name name = make_name(kind, addr, BACKEND_PORT);
	const int on = 1;
	int fd;

	enter(ns);
	fd = make_socket(kind, type);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, sa(&name), name.size), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 64), 0);
	enter(bed.client_ns);
	return fd;
}

/* connect() to a new socket: the descriptor, or -errno. */
static inline int dial(enum kind kind, int type, struct name name)
{
	int fd = make_socket(kind, type), error;

	if (!connect(fd, sa(&name), name.size))
		return fd;
	error = -errno;
	close(fd);
	return error;
}

static inline struct name peer_of(int fd)
{
	struct name name = { .size = sizeof(name.storage) };

	assert_int_equal(getpeername(fd, sa(&name), &name.size), 0);
	return name;
}

/* What the programs remember of a socket. */
static inline bool state_of(int fd, struct weft_socket *state)
{
	socklen_t size = sizeof(uint64_t);
	uint64_t cookie;

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size), 0);
	return get("weft_sockets", &cookie, state);
}

/* --- a whole bed --- */

static inline int bed_make(void **state)
{
	(void)state;
	libbpf_set_print(NULL);
	bed.host_ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	make_cgroup();
	make_wire();
	bed.connect = load(BPF_OBJECTS "/connect.bpf.o", NULL);
	bed.sockops = load(BPF_OBJECTS "/sockops.bpf.o", bed.connect);
	bed.report = load(BPF_OBJECTS "/report.bpf.o", bed.sockops);
	attach(bed.connect);
	attach(bed.sockops);
	bed.ring = ring_buffer__new(map_fd("weft_events"), on_event, NULL, NULL);
	assert_non_null(bed.ring);
	return 0;
}

static inline int bed_free(void **state)
{
	(void)state;
	detach_all();
	ring_buffer__free(bed.ring);
	bpf_object__close(bed.report);
	bpf_object__close(bed.sockops);
	bpf_object__close(bed.connect);
	enter(bed.host_ns);
	join(bed.home);
	close(bed.group_fd);
	assert_int_equal(rmdir(bed.group), 0);
	assert_int_equal(umount(bed.mount_point), 0);
	return rmdir(bed.mount_point);
}

/* Fresh tables before each test: both pods open, one policy that allows. */
static inline int tables_reset(void **state)
{
	(void)state;
	empty("weft_services", sizeof(struct weft_service_key));
	empty("weft_backends", sizeof(struct weft_backend_key));
	empty("weft_affinity", sizeof(struct weft_affinity_key));
	empty("weft_traffic", sizeof(struct weft_traffic_key));
	empty("weft_denials", sizeof(struct weft_denial_key));
	empty("weft_workloads", sizeof(uint64_t));
	put_control(1, 0, 0);
	put_client(SUBJECT, 0);
	put_workload(bed.server_cookie, SERVER_IDENTITY, WEFT_SUBJECT_OPEN, SERVER_IFINDEX, 0);
	for (enum kind kind = V4; kind < MAPPED; kind++) {
		put_address(client_addr(kind), CLIENT_IDENTITY, CLIENT_IFINDEX);
		for (unsigned int i = 0; i < BACKENDS; i++)
			put_address(backend_addr(kind, i), SERVER_IDENTITY, SERVER_IFINDEX);
	}
	put_rule(RULE_ALLOW, WEFT_REASON_NONE, 0);
	forget_events();
	return 0;
}

#endif
