/* SPDX-License-Identifier: Apache-2.0 */
/* datapath/ against the kernel: a bpffs and a cgroup of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "datapath/apply.h"
#include "datapath/place.h"
#include "util/addr.h"
#include "util/log.h"

struct fixture {
	char bpffs[64], directory[96], cgroup[PATH_MAX];
	struct datapath_options options;
	struct datapath *datapath;
	struct desired *desired;
};

/* The maps without the programs, which take seconds to verify in an emulated machine. */
static int open_maps(struct datapath **ret, const struct datapath_options *options, char reason[REASON_MAX])
{
	struct datapath *datapath = calloc(1, sizeof(*datapath));
	int result;

	datapath->options = *options;
	datapath->options.cgroup = NULL;
	snprintf(datapath->directory, sizeof(datapath->directory), "%s", options->bpffs);
	result = place_lock(datapath->directory, true, &datapath->lock, reason);
	if (result == 0)
		result = maps_open(datapath, reason);
	if (result == 0)
		result = migrate_pin(datapath, reason);
	if (result == 0)
		result = apply_new(datapath);
	if (result == 0)
		result = collect_new(datapath);
	if (result == 0)
		result = migrate_finish(datapath, reason);
	*ret = datapath;
	return result;
}

static void open_datapath(struct fixture *fixture)
{
	char reason[REASON_MAX];

	if (open_maps(&fixture->datapath, &fixture->options, reason) < 0)
		fail_msg("%s", reason);
}

static void open_with_programs(struct fixture *fixture)
{
	char reason[REASON_MAX];

	if (datapath_open(&fixture->datapath, &fixture->options, reason) < 0)
		fail_msg("%s", reason);
}

static void close_datapath(struct fixture *fixture)
{
	datapath_close(fixture->datapath);
	fixture->datapath = NULL;
}

static int setup_group(void **state)
{
	(void)state;
	log_set_level(getenv("TEST_DEBUG") ? LOG_DEBUG : LOG_ERROR);
	return unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0;
}

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	char *cgroups, reason[REASON_MAX];

	snprintf(fixture->bpffs, sizeof(fixture->bpffs), "/tmp/weft-datapath-XXXXXX");
	assert_non_null(mkdtemp(fixture->bpffs));
	assert_int_equal(mount("bpf", fixture->bpffs, "bpf", 0, NULL), 0);
	snprintf(fixture->directory, sizeof(fixture->directory), "%s/weft", fixture->bpffs);
	assert_int_equal(place_find_cgroup(NULL, &cgroups, reason), 0);
	snprintf(fixture->cgroup, sizeof(fixture->cgroup), "%s/weft-datapath-%d", cgroups, getpid());
	free(cgroups);
	assert_int_equal(mkdir(fixture->cgroup, 0755), 0);
	fixture->options = (struct datapath_options){
		.bpffs = fixture->directory, .cgroup = fixture->cgroup, .max_services = 4096, .max_slots = 16384,
		.max_backends = 16384, .max_addresses = 16384, .max_prefixes = 256, .max_policies = 4096, .max_rules = 16384,
		.max_connections = 4096, .max_workloads = 64, .max_traffic = 1024, .ring_bytes = 65536,
		.short_way = SHORT_WAY_OFF,
	};
	assert_int_equal(desired_new(&fixture->desired), 0);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	char reason[REASON_MAX];

	apply_step_hook = NULL;
	datapath_close(fixture->datapath);
	if (datapath_cleanup(&fixture->options, reason) < 0)
		fprintf(stderr, "%s\n", reason);
	desired_free(fixture->desired);
	umount2(fixture->bpffs, MNT_DETACH);
	rmdir(fixture->bpffs);
	rmdir(fixture->cgroup);
	free(fixture);
	return 0;
}

/* ---- what is desired ---- */

static struct weft_addr address(const char *text)
{
	struct weft_addr addr;

	assert_int_equal(addr_parse(text, &addr), 0);
	return addr;
}

static struct weft_addr pod_address(unsigned int number)
{
	struct weft_addr addr = address("10.0.0.0");

	addr.word[3] = htonl(0x0a000000 + number);
	return addr;
}

static void set_service(struct desired *desired, unsigned int number, unsigned int slot_count, unsigned int first_pod)
{
	struct weft_service_key key = { .addr = address("10.96.0.0"), .port = htons(80), .protocol = IPPROTO_TCP };
	struct {
		struct weft_service service;
		struct weft_slot slots[256];
	} value = { .service = { .id = 1000 + number, .slot_count = slot_count } };

	key.addr.word[3] = htonl(0x0a600000 + number);
	for (unsigned int i = 0; i < slot_count; i++) {
		struct weft_backend_key backend = { .addr = pod_address(first_pod + i), .port = htons(8080),
						    .protocol = IPPROTO_TCP };

		value.slots[i] = (struct weft_slot){ .addr = backend.addr, .port = backend.port, .weight = 1,
						     .threshold = UINT32_MAX };
		assert_true(table_set(desired->backends, &backend, NULL, 0) >= 0);
	}
	assert_true(table_set(desired->services, &key, &value,
			      sizeof(value.service) + slot_count * sizeof(*value.slots)) >= 0);
}

static struct weft_service_key service_key(unsigned int number)
{
	struct weft_service_key key = { .addr = address("10.96.0.0"), .port = htons(80), .protocol = IPPROTO_TCP };

	key.addr.word[3] = htonl(0x0a600000 + number);
	return key;
}

static void set_address(struct desired *desired, struct weft_addr addr, uint32_t identity, uint32_t ifindex)
{
	struct desired_address value = { .identity = identity, .ifindex = ifindex };

	assert_true(table_set(desired->addresses, &addr, &value, sizeof(value)) >= 0);
}

static void set_prefix(struct desired *desired, const char *cidr, uint32_t identity)
{
	struct desired_prefix value = { identity };
	struct weft_prefix key = { 0 };
	uint8_t length;

	assert_int_equal(cidr_parse(cidr, &key.addr, &length), 0);
	key.length = length;
	if (identity)
		assert_true(table_set(desired->prefixes, &key, &value, sizeof(value)) >= 0);
	else
		assert_true(table_unset(desired->prefixes, &key) >= 0);
}

static void set_workload(struct desired *desired, uint64_t cookie, uint32_t identity, uint32_t subject)
{
	struct desired_workload value = { .netns_cookie = cookie, .identity = identity, .subject = subject,
					  .ifindex = (uint32_t)cookie };
	uint32_t ifindex = (uint32_t)cookie;

	assert_true(table_set(desired->workloads, &cookie, &value, sizeof(value)) >= 0);
	assert_true(table_set(desired->interfaces, &ifindex, &value, sizeof(value)) >= 0);
}

/* Allows TCP port `port` alone; 0: nothing, 0xffff: everything. */
static void set_policy(struct desired *desired, uint32_t subject, uint32_t identity, uint32_t direction, uint32_t port)
{
	struct weft_policy_key key = { subject, identity, direction };
	struct weft_rule rules[3] = { { .id = WEFT_RULE_ISOLATED, .reason = WEFT_REASON_POLICY_DENIED } };
	size_t count = 1;

	if (port == 0xffff) {
		rules[0] = (struct weft_rule){ .id = 16 };
	} else if (port) {
		rules[1] = (struct weft_rule){ .start = IPPROTO_TCP << 16 | port, .id = 16 + port };
		rules[2] = rules[0];
		rules[2].start = rules[1].start + 1;
		count = 3;
	}
	assert_true(table_set(desired->policies, &key, rules, count * sizeof(*rules)) >= 0);
}

static void set_some_of_all(struct desired *desired)
{
	for (unsigned int i = 0; i < 50; i++)
		set_service(desired, i, i % 7, i * 3);
	for (unsigned int i = 0; i < 200; i++)
		set_address(desired, pod_address(i), 16 + i % 10, i % 20 ? 0 : 1 + i);
	set_prefix(desired, "10.0.0.0/8", 100);
	set_prefix(desired, "10.1.0.0/16", 101);
	set_prefix(desired, "fd00::/8", 102);
	for (unsigned int i = 0; i < 5; i++) {
		set_workload(desired, 1 + i, 16 + i, 20 + i);
		set_policy(desired, 20 + i, WEFT_IDENTITY_ANY, WEFT_EGRESS, 0xffff);
		set_policy(desired, 20 + i, WEFT_IDENTITY_ANY, WEFT_INGRESS, 0);
		set_policy(desired, 20 + i, 17, WEFT_INGRESS, 8080);
	}
}

/* ---- what the maps hold ---- */

static const struct datapath *tables; /* of weft/decide.h below */

static void *found(const char *map, const void *key, void *value)
{
	return bpf_map_lookup_elem(datapath_map_fd(tables, map), key, value) == 0 ? value : NULL;
}

static const struct weft_address *weft_find_address(const struct weft_addr *addr)
{
	static _Thread_local struct weft_address value;

	return found("weft_addresses", addr, &value);
}

static const struct weft_prefix_value *weft_find_prefix(const struct weft_prefix *prefix)
{
	static _Thread_local struct weft_prefix_value value;

	return found("weft_prefixes", prefix, &value);
}

static const struct weft_policy *weft_find_policy(const struct weft_policy_key *key)
{
	static _Thread_local struct weft_policy value;

	return found("weft_policies", key, &value);
}

static const struct weft_rule *weft_find_rule(uint32_t index)
{
	static _Thread_local struct weft_rule value[2];
	static _Thread_local unsigned int turn; /* the search keeps the last one while it reads the next */

	turn = !turn;
	return found("weft_rules", &index, &value[turn]);
}

#include "weft/decide.h"

static struct weft_service get_service(struct fixture *fixture, unsigned int number, struct weft_slot *slots)
{
	struct weft_service_key key = service_key(number);
	struct weft_service service;

	assert_int_equal(bpf_map_lookup_elem(datapath_map_fd(fixture->datapath, "weft_services"), &key, &service), 0);
	for (uint32_t i = 0; slots && i < service.slot_count; i++) {
		uint32_t index = service.first_slot + i;

		assert_int_equal(bpf_map_lookup_elem(datapath_map_fd(fixture->datapath, "weft_slots"), &index, &slots[i]), 0);
	}
	return service;
}

struct comparison {
	struct fixture *fixture;
	const char *map;
	struct table *table;
	size_t entries;
};

static int is_desired(const void *key, const void *value, void *context)
{
	struct comparison *comparison = context;

	(void)value;
	assert_non_null(table_get(comparison->table, key, NULL));
	comparison->entries++;
	return 0;
}

static void compare_keys(struct fixture *fixture, const char *name, struct table *table)
{
	struct comparison comparison = { fixture, name, table, 0 };
	const struct map *map = datapath_find_map(fixture->datapath, name);

	assert_int_equal(map_walk(map, is_desired, &comparison), 0);
	assert_int_equal(comparison.entries, table_count(table));
	assert_int_equal(map->entries, table_count(table));
}

static int service_is_there(const void *key, const void *value, size_t size, void *context)
{
	struct fixture *fixture = context;
	const struct weft_service *wanted = value;
	const struct weft_slot *slots = (const void *)(wanted + 1);
	struct weft_service service;

	(void)size;
	assert_int_equal(bpf_map_lookup_elem(datapath_map_fd(fixture->datapath, "weft_services"), key, &service), 0);
	assert_int_equal(service.id, wanted->id);
	assert_int_equal(service.slot_count, wanted->slot_count);
	for (uint32_t i = 0; i < wanted->slot_count; i++) {
		uint32_t index = service.first_slot + i;
		struct weft_slot slot;

		assert_int_equal(bpf_map_lookup_elem(datapath_map_fd(fixture->datapath, "weft_slots"), &index, &slot), 0);
		assert_memory_equal(&slot, &slots[i], sizeof(slot));
	}
	return 0;
}

static int address_is_there(const void *key, const void *value, size_t size, void *context)
{
	struct fixture *fixture = context;
	const struct desired_address *wanted = value;
	struct weft_address found_address;

	(void)size;
	assert_int_equal(bpf_map_lookup_elem(datapath_map_fd(fixture->datapath, "weft_addresses"), key, &found_address), 0);
	assert_int_equal(found_address.identity[0], wanted->identity);
	assert_int_equal(found_address.identity[1], wanted->identity);
	assert_int_equal(found_address.ifindex, wanted->ifindex);
	return 0;
}

static int prefix_is_there(const void *key, const void *value, size_t size, void *context)
{
	struct fixture *fixture = context;
	struct weft_prefix_value prefix;

	(void)size;
	assert_int_equal(bpf_map_lookup_elem(datapath_map_fd(fixture->datapath, "weft_prefixes"), key, &prefix), 0);
	assert_int_equal(prefix.identity[0], *(const uint32_t *)value);
	assert_int_equal(prefix.identity[1], *(const uint32_t *)value);
	return 0;
}

static int policy_is_there(const void *key, const void *value, size_t size, void *context)
{
	struct fixture *fixture = context;
	struct weft_policy policy;

	assert_int_equal(bpf_map_lookup_elem(datapath_map_fd(fixture->datapath, "weft_policies"), key, &policy), 0);
	for (unsigned int buffer = 0; buffer < WEFT_BUFFERS; buffer++) {
		assert_int_equal(policy.rules[buffer].count * sizeof(struct weft_rule), size);
		for (uint32_t i = 0; i < policy.rules[buffer].count; i++) {
			uint32_t index = policy.rules[buffer].first + i;
			struct weft_rule rule;

			assert_int_equal(bpf_map_lookup_elem(datapath_map_fd(fixture->datapath, "weft_rules"), &index, &rule), 0);
			assert_memory_equal(&rule, (const struct weft_rule *)value + i, sizeof(rule));
		}
	}
	return 0;
}

static int workload_is_there(const void *key, const void *value, size_t size, void *context)
{
	struct fixture *fixture = context;
	const struct desired_workload *wanted = value;
	struct weft_workload workload;

	(void)size;
	assert_int_equal(bpf_map_lookup_elem(datapath_map_fd(fixture->datapath, "weft_workloads"), key, &workload), 0);
	for (unsigned int buffer = 0; buffer < WEFT_BUFFERS; buffer++) {
		assert_int_equal(workload.subject[buffer], wanted->subject);
		assert_int_equal(workload.identity[buffer], wanted->identity);
	}
	return 0;
}

static void compare_all(struct fixture *fixture)
{
	struct desired *desired = fixture->desired;

	compare_keys(fixture, "weft_services", desired->services);
	compare_keys(fixture, "weft_backends", desired->backends);
	compare_keys(fixture, "weft_addresses", desired->addresses);
	compare_keys(fixture, "weft_prefixes", desired->prefixes);
	compare_keys(fixture, "weft_policies", desired->policies);
	compare_keys(fixture, "weft_workloads", desired->workloads);
	compare_keys(fixture, "weft_interfaces", desired->interfaces);
	table_each(desired->services, service_is_there, fixture);
	table_each(desired->addresses, address_is_there, fixture);
	table_each(desired->prefixes, prefix_is_there, fixture);
	table_each(desired->policies, policy_is_there, fixture);
	table_each(desired->workloads, workload_is_there, fixture);
}

static void apply_fully(struct fixture *fixture)
{
	int result = datapath_apply(fixture->datapath, fixture->desired);

	if (result < 0)
		fail_msg("apply: %s", strerror(-result));
}

/* ---- loading, adopting, cleaning up ---- */

static void loads_and_writes_what_is_desired(void **state)
{
	struct fixture *fixture = *state;

	open_datapath(fixture);
	assert_int_equal(fixture->datapath->control->buffers, 0);
	set_some_of_all(fixture->desired);
	apply_fully(fixture);
	assert_int_equal(fixture->datapath->control->buffers, 1);
	compare_all(fixture);
	assert_int_equal(datapath_apply(fixture->datapath, fixture->desired), 0);
}

static int note_id(const struct datapath_program *program, void *context)
{
	uint32_t **ids = context;

	*(*ids)++ = (uint32_t)program->run_count;
	return 0;
}

static void a_restart_writes_only_differences(void **state)
{
	struct fixture *fixture = *state;
	struct weft_addr gone = pod_address(3);

	open_datapath(fixture);
	set_some_of_all(fixture->desired);
	apply_fully(fixture);
	close_datapath(fixture);

	set_service(fixture->desired, 7, 5, 900);
	assert_int_equal(table_unset(fixture->desired->addresses, &gone), 1);
	open_datapath(fixture);
	/* five backends, a service, an address that is emptied and then deleted; not one other */
	assert_in_range(datapath_apply(fixture->datapath, fixture->desired), 7, 8);
	compare_all(fixture);
}

static void a_second_agent_is_refused(void **state)
{
	struct fixture *fixture = *state;
	struct datapath *second;
	char reason[REASON_MAX];

	open_datapath(fixture);
	assert_int_equal(datapath_open(&second, &fixture->options, reason), -EBUSY);
	assert_non_null(strstr(reason, fixture->directory));
	assert_int_equal(datapath_cleanup(&fixture->options, reason), -EBUSY);
	close_datapath(fixture);
	open_datapath(fixture);
}

static void a_directory_elsewhere_is_explained(void **state)
{
	struct fixture *fixture = *state;
	struct datapath *datapath;
	char reason[REASON_MAX];

	fixture->options.bpffs = "/tmp/weft-datapath-elsewhere";
	assert_int_equal(datapath_open(&datapath, &fixture->options, reason), -ENODEV);
	assert_non_null(strstr(reason, "mount -t bpf"));
	fixture->options.bpffs = fixture->directory;
	fixture->options.cgroup = "/tmp";
	assert_int_equal(datapath_open(&datapath, &fixture->options, reason), -ENODEV);
	assert_non_null(strstr(reason, "--cgroup=/tmp"));
	fixture->options.cgroup = fixture->cgroup;
}

/* Links of this kernel that run one of these programs. */
static size_t count_links(const struct datapath *datapath)
{
	uint32_t id = 0;
	size_t count = 0;

	while (bpf_link_get_next_id(id, &id) == 0) {
		struct bpf_link_info info = { 0 };
		uint32_t size = sizeof(info);
		int fd = bpf_link_get_fd_by_id(id);

		if (fd < 0)
			continue;
		if (bpf_obj_get_info_by_fd(fd, &info, &size) == 0)
			for (size_t i = 0; i < datapath->program_count; i++)
				count += datapath->programs[i].id == info.prog_id;
		close(fd);
	}
	return count;
}

/* ---- maps of another layout ---- */

static void pin_by_hand(struct fixture *fixture, int fd, const char *relative)
{
	char path[PATH_MAX];

	assert_true(fd >= 0);
	mkdir(fixture->directory, 0700);
	snprintf(path, sizeof(path), "%s/maps", fixture->directory);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/%s", fixture->directory, relative);
	assert_int_equal(bpf_obj_pin(fd, path), 0);
	close(fd);
}

static int make_hash(uint32_t type, uint32_t key_size, uint32_t value_size, uint32_t capacity)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);

	return bpf_map_create(type, "former", key_size, value_size, capacity, &options);
}

/* A former version's values were shorter: their bytes are kept, the rest is zero. Per CPU too. */
static void shorter_values_are_extended(void **state)
{
	struct fixture *fixture = *state;
	const struct weft_conn_key key = { .port = { 1, 2 }, .protocol = IPPROTO_TCP };
	const struct weft_traffic_key traffic_key = { .source = 17, .destination = 18 };
	int cpus = libbpf_num_possible_cpus(), fd = make_hash(BPF_MAP_TYPE_HASH, sizeof(key), 40, 100);
	struct weft_traffic traffic[cpus];
	uint64_t short_traffic[cpus][2];
	struct weft_conn conn;
	unsigned char short_conn[40];

	memset(short_conn, 7, sizeof(short_conn));
	assert_int_equal(bpf_map_update_elem(fd, &key, short_conn, BPF_ANY), 0);
	pin_by_hand(fixture, fd, "maps/weft_conntrack");
	fd = make_hash(BPF_MAP_TYPE_PERCPU_HASH, sizeof(traffic_key), sizeof(short_traffic[0]), 100);
	for (int cpu = 0; cpu < cpus; cpu++)
		memcpy(short_traffic[cpu], (uint64_t[]){ 5, (uint64_t)cpu }, sizeof(short_traffic[0]));
	assert_int_equal(bpf_map_update_elem(fd, &traffic_key, short_traffic, BPF_ANY), 0);
	pin_by_hand(fixture, fd, "maps/weft_traffic");

	open_datapath(fixture);
	memset(&conn, 0, sizeof(conn));
	assert_int_equal(bpf_map_lookup_elem(datapath_map_fd(fixture->datapath, "weft_conntrack"), &key, &conn), 0);
	assert_memory_equal(&conn, short_conn, sizeof(short_conn));
	memset(short_conn, 0, sizeof(short_conn));
	assert_memory_equal((const char *)&conn + sizeof(short_conn), short_conn, sizeof(short_conn));
	assert_int_equal(bpf_map_lookup_elem(datapath_map_fd(fixture->datapath, "weft_traffic"), &traffic_key, traffic), 0);
	for (int cpu = 0; cpu < cpus; cpu++) {
		assert_int_equal(traffic[cpu].opened, 5);
		assert_int_equal(traffic[cpu].closed, cpu);
		assert_int_equal(traffic[cpu].denied, 0);
	}
}

static bool is_pinned(struct fixture *fixture, const char *relative)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", fixture->directory, relative);
	return access(path, F_OK) == 0;
}

/* Killed between the two renames: the old map is the map. Killed after them: what is only in the old one comes over. */
static void an_interrupted_replacement_is_completed(void **state)
{
	struct fixture *fixture = *state;
	struct weft_addr only_old = pod_address(1), both = pod_address(2);
	struct weft_address value = { .identity = { 7, 7 } };
	int fd = make_hash(BPF_MAP_TYPE_HASH, sizeof(only_old), sizeof(value), 100);

	assert_int_equal(bpf_map_update_elem(fd, &only_old, &value, BPF_ANY), 0);
	assert_int_equal(bpf_map_update_elem(fd, &both, &value, BPF_ANY), 0);
	pin_by_hand(fixture, dup(fd), "maps/weft_addresses_old");
	open_datapath(fixture);
	tables = fixture->datapath;
	assert_non_null(weft_find_address(&only_old));
	assert_false(is_pinned(fixture, "maps/weft_addresses_old"));
	value.identity[0] = 8;
	assert_int_equal(bpf_map_update_elem(datapath_map_fd(fixture->datapath, "weft_addresses"), &both, &value, BPF_ANY), 0);
	assert_int_equal(bpf_map_delete_elem(datapath_map_fd(fixture->datapath, "weft_addresses"), &only_old), 0);
	close_datapath(fixture);

	pin_by_hand(fixture, fd, "maps/weft_addresses_old");
	open_datapath(fixture);
	tables = fixture->datapath;
	assert_int_equal(weft_find_address(&only_old)->identity[0], 7);
	assert_int_equal(weft_find_address(&both)->identity[0], 8);
	assert_false(is_pinned(fixture, "maps/weft_addresses_old"));
	apply_fully(fixture); /* neither is desired */
	compare_all(fixture);
}

static void a_smaller_capacity_keeps_what_fits(void **state)
{
	struct fixture *fixture = *state;

	open_datapath(fixture);
	set_some_of_all(fixture->desired);
	apply_fully(fixture);
	close_datapath(fixture);
	fixture->options.max_addresses = 150;
	open_datapath(fixture);
	assert_int_equal(datapath_find_map(fixture->datapath, "weft_addresses")->entries, 150);
	assert_int_equal(datapath_apply(fixture->datapath, fixture->desired), -E2BIG);
	assert_true(datapath_find_map(fixture->datapath, "weft_addresses")->is_full);
	assert_int_equal(table_dirty_count(fixture->desired->addresses), 50);
	close_datapath(fixture);
	fixture->options.max_addresses = 300;
	open_datapath(fixture);
	apply_fully(fixture);
	compare_all(fixture);
}

/* ---- programs: loaded twice in all, as the verifier takes its time ---- */

static size_t cgroup_programs(const struct datapath *datapath)
{
	size_t count = 0;

	for (size_t i = 0; i < datapath->program_count; i++)
		count += datapath->programs[i].type == BPF_PROG_TYPE_CGROUP_SOCK_ADDR ||
			 datapath->programs[i].type == BPF_PROG_TYPE_CGROUP_SOCK ||
			 datapath->programs[i].type == BPF_PROG_TYPE_SOCK_OPS;
	return count;
}

static void restart_unchanged(struct fixture *fixture)
{
	const struct datapath *datapath = fixture->datapath;
	uint32_t programs[64], maps[64], runs[64], *at = runs, epoch = datapath->control->epoch;
	size_t program_count = datapath->program_count, map_count = datapath->map_count;

	for (size_t i = 0; i < program_count; i++)
		programs[i] = datapath->programs[i].id;
	for (size_t i = 0; i < map_count; i++)
		maps[i] = datapath->maps[i].id;
	close_datapath(fixture);

	open_with_programs(fixture);
	datapath = fixture->datapath;
	assert_int_equal(datapath->program_count, program_count);
	for (size_t i = 0; i < program_count; i++)
		assert_int_equal(datapath->programs[i].id, programs[i]);
	for (size_t i = 0; i < map_count; i++)
		assert_int_equal(datapath->maps[i].id, maps[i]);
	assert_int_equal(count_links(datapath), cgroup_programs(datapath));
	assert_int_equal(datapath_apply(fixture->datapath, fixture->desired), 0);
	assert_int_equal(datapath->control->epoch, epoch);
	assert_int_equal(datapath_each_program(fixture->datapath, note_id, &at), 0);
	assert_int_equal(at - runs, program_count);
}

/* New maps where capacities differ, so new programs; in force at the same links. */
static void restart_with_other_capacities(struct fixture *fixture)
{
	uint32_t addresses = datapath_find_map(fixture->datapath, "weft_addresses")->id;
	size_t links = count_links(fixture->datapath);

	close_datapath(fixture);
	fixture->options.max_addresses *= 2;
	fixture->options.max_rules *= 2;
	fixture->options.max_slots /= 2;
	fixture->options.max_prefixes /= 2;
	open_with_programs(fixture);
	assert_int_not_equal(datapath_find_map(fixture->datapath, "weft_addresses")->id, addresses);
	assert_int_equal(datapath_find_map(fixture->datapath, "weft_addresses")->capacity, fixture->options.max_addresses);
	assert_int_equal(fixture->datapath->control->buffers, 1);
	assert_int_equal(datapath_apply(fixture->datapath, fixture->desired), 0);
	assert_int_equal(count_links(fixture->datapath), links);
}

static void restarts_adopt_replace_and_clean_up(void **state)
{
	struct fixture *fixture = *state;
	char reason[REASON_MAX];

	assert_int_equal(datapath_cleanup(&fixture->options, reason), 0); /* of nothing */
	open_with_programs(fixture);
	set_some_of_all(fixture->desired);
	apply_fully(fixture);
	assert_int_equal(count_links(fixture->datapath), cgroup_programs(fixture->datapath));
	restart_unchanged(fixture);
	compare_all(fixture);
	restart_with_other_capacities(fixture);
	compare_all(fixture);
	close_datapath(fixture);
	assert_int_equal(datapath_cleanup(&fixture->options, reason), 0);
	assert_int_equal(access(fixture->directory, F_OK), -1);
	assert_int_equal(datapath_cleanup(&fixture->options, reason), 0);
}

/* ---- services ---- */

static void round_robin_goes_on_when_backends_change(void **state)
{
	struct fixture *fixture = *state;
	struct weft_service_key key = service_key(1);
	struct weft_service service;
	struct weft_slot slots[8];

	open_datapath(fixture);
	set_service(fixture->desired, 1, 3, 10);
	apply_fully(fixture);
	service = get_service(fixture, 1, NULL);
	service.next = 77;
	assert_int_equal(bpf_map_update_elem(datapath_map_fd(fixture->datapath, "weft_services"), &key, &service, BPF_ANY), 0);
	set_service(fixture->desired, 1, 4, 10);
	apply_fully(fixture);
	service = get_service(fixture, 1, slots);
	assert_int_equal(service.next, 77);
	assert_int_equal(service.slot_count, 4);
	compare_all(fixture);
}

static void backends_keep_their_state(void **state)
{
	struct fixture *fixture = *state;
	struct weft_backend_key key = { .addr = pod_address(10), .port = htons(8080), .protocol = IPPROTO_TCP };
	struct weft_backend backend = { .opened = 5 };
	int fd;

	open_datapath(fixture);
	set_service(fixture->desired, 1, 3, 10);
	apply_fully(fixture);
	fd = datapath_map_fd(fixture->datapath, "weft_backends");
	assert_int_equal(bpf_map_update_elem(fd, &key, &backend, BPF_EXIST), 0);
	close_datapath(fixture);
	set_service(fixture->desired, 1, 2, 10);
	open_datapath(fixture);
	apply_fully(fixture);
	fd = datapath_map_fd(fixture->datapath, "weft_backends");
	assert_int_equal(bpf_map_lookup_elem(fd, &key, &backend), 0);
	assert_int_equal(backend.opened, 5);
}

/* Far more changes than there are slots: those of former sets are used again. */
static void slots_are_used_again(void **state)
{
	struct fixture *fixture = *state;

	fixture->options.max_slots = 128;
	open_datapath(fixture);
	for (unsigned int i = 0; i < 50; i++) {
		set_service(fixture->desired, 1, 20, i);
		set_service(fixture->desired, 2, 1 + i % 20, i);
		apply_fully(fixture);
		assert_true(datapath_find_map(fixture->datapath, "weft_slots")->entries <= 128);
	}
	table_each(fixture->desired->services, service_is_there, fixture);
}

static void full_maps_take_the_rest_and_recover(void **state)
{
	struct fixture *fixture = *state;
	const struct map *services, *slots;
	struct weft_service_key key;

	fixture->options.max_services = 8;
	fixture->options.max_slots = 40;
	open_datapath(fixture);
	services = datapath_find_map(fixture->datapath, "weft_services");
	slots = datapath_find_map(fixture->datapath, "weft_slots");
	for (unsigned int i = 0; i < 12; i++)
		set_service(fixture->desired, i, 2, i * 2);
	set_some_of_all(fixture->desired);
	for (unsigned int i = 12; i < 50; i++) {
		key = service_key(i);
		assert_int_equal(table_unset(fixture->desired->services, &key), 1);
	}
	for (unsigned int i = 0; i < 12; i++)
		set_service(fixture->desired, i, 2, i * 2);
	assert_int_equal(datapath_apply(fixture->datapath, fixture->desired), -E2BIG);
	assert_int_equal(services->entries, 8);
	assert_true(services->is_full);
	assert_int_equal(services->full, 4);
	assert_int_equal(table_dirty_count(fixture->desired->services), 4);
	compare_keys(fixture, "weft_addresses", fixture->desired->addresses);
	for (unsigned int i = 0; i < 6; i++) {
		key = service_key(i);
		table_unset(fixture->desired->services, &key);
	}
	apply_fully(fixture);
	assert_false(services->is_full);
	compare_keys(fixture, "weft_services", fixture->desired->services);
	table_each(fixture->desired->services, service_is_there, fixture);

	set_service(fixture->desired, 6, 60, 0); /* more slots than there are */
	assert_int_equal(datapath_apply(fixture->datapath, fixture->desired), -ENOSPC);
	assert_true(slots->is_full);
	assert_int_equal(get_service(fixture, 6, NULL).slot_count, 2);
	set_service(fixture->desired, 6, 10, 0);
	apply_fully(fixture);
	assert_false(slots->is_full);
	compare_all(fixture);
}

/* ---- policy ---- */

/* Everything that a decision of the test can ask about. */
#define WORKLOADS 3
#define PEERS 8
#define PORTS 2
struct answers {
	bool allowed[WORKLOADS][2][PEERS][PORTS];
};
static const uint16_t ports[PORTS] = { 80, 443 };

static struct weft_addr peer(unsigned int number)
{
	return number < 6 ? pod_address(number) : number < 7 ? address("192.0.2.1") : address("192.0.2.129");
}

static struct answers ask(const struct datapath *datapath, uint32_t buffers)
{
	struct answers answers = { 0 };

	tables = datapath;
	for (uint64_t cookie = 1; cookie <= WORKLOADS; cookie++) {
		struct weft_workload workload;

		if (!found("weft_workloads", &cookie, &workload))
			continue;
		for (unsigned int direction = 0; direction < 2; direction++)
			for (unsigned int i = 0; i < PEERS; i++)
				for (unsigned int port = 0; port < PORTS; port++) {
					struct weft_addr addr = peer(i);
					struct weft_decision decision = weft_decide(buffers, &workload, direction, &addr,
										    IPPROTO_TCP, ports[port]);

					answers.allowed[cookie - 1][direction][i][port] = decision.reason == WEFT_REASON_NONE;
				}
	}
	return answers;
}

static unsigned int draw(unsigned int *seed, unsigned int limit) { return (unsigned int)rand_r(seed) % limit; }

static void draw_state(struct desired *desired, unsigned int *seed)
{
	static const char *const prefixes[] = { "192.0.2.0/24", "192.0.2.128/25", "0.0.0.0/0", "10.0.0.0/8",
						"::/0", "10.0.0.4/30" };

	for (unsigned int i = 0; i < 6; i++) {
		struct weft_addr addr = pod_address(i);

		if (draw(seed, 3))
			set_address(desired, addr, 16 + draw(seed, 6), draw(seed, 3));
		else
			table_unset(desired->addresses, &addr);
	}
	for (unsigned int i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++)
		set_prefix(desired, prefixes[i], draw(seed, 2) ? 16 + draw(seed, 6) : 0);
	for (uint64_t cookie = 1; cookie <= WORKLOADS; cookie++) {
		uint32_t ifindex = (uint32_t)cookie;

		if (draw(seed, 5)) {
			set_workload(desired, cookie, 16 + draw(seed, 6), draw(seed, 6) ? 20 + draw(seed, 2) : WEFT_SUBJECT_OPEN);
			continue;
		}
		table_unset(desired->workloads, &cookie);
		table_unset(desired->interfaces, &ifindex);
	}
	for (uint32_t subject = 20; subject < 22; subject++)
		for (uint32_t direction = 0; direction < 2; direction++)
			for (uint32_t identity = 15; identity < 22; identity++) {
				struct weft_policy_key key = { subject, identity == 15 ? WEFT_IDENTITY_ANY : identity, direction };

				if (identity == 15 || draw(seed, 2))
					set_policy(desired, subject, key.identity, direction,
						   draw(seed, 4) ? ports[draw(seed, PORTS)] : draw(seed, 2) * 0xffff);
				else
					table_unset(desired->policies, &key);
			}
}

/* The answers in the old state and in the new one, and a check at each step between: nothing that neither allows. */
static struct {
	const struct datapath *datapath;
	struct answers old, new;
	unsigned int checks, wrong;
	const char *where;
} transition;

static void check_answers(const struct answers *now, const char *where)
{
	const bool *allowed = (const bool *)now, *old = (const bool *)&transition.old, *new = (const bool *)&transition.new;

	for (size_t i = 0; i < sizeof(*now) / sizeof(bool); i++)
		if (allowed[i] && !old[i] && !new[i]) {
			transition.wrong++;
			transition.where = where;
		}
	transition.checks++;
}

static void check_step(const char *step)
{
	struct answers now = ask(transition.datapath, transition.datapath->control->buffers);

	check_answers(&now, step);
}

/* A second set of maps that has just been loaded with the same state: what is right. */
static void open_reference(struct fixture *reference, const struct fixture *fixture, char directory[128])
{
	*reference = *fixture;
	snprintf(directory, 128, "%s/reference", fixture->bpffs);
	reference->options.bpffs = directory;
	assert_int_equal(desired_new(&reference->desired), 0);
	open_datapath(reference);
}

static void close_reference(struct fixture *reference)
{
	char reason[REASON_MAX];

	close_datapath(reference);
	desired_free(reference->desired);
	assert_int_equal(datapath_cleanup(&reference->options, reason), 0);
}

static struct answers answers_now(const struct fixture *fixture)
{
	return ask(fixture->datapath, fixture->datapath->control->buffers);
}

static void *check_all_the_time(void *context)
{
	while (!__atomic_load_n((bool *)context, __ATOMIC_ACQUIRE)) {
		uint32_t epoch = __atomic_load_n(&transition.datapath->control->epoch, __ATOMIC_SEQ_CST);
		uint32_t buffers = __atomic_load_n(&transition.datapath->control->buffers, __ATOMIC_SEQ_CST);
		struct answers now = ask(transition.datapath, buffers);

		/* only programs are waited for, and this is none: answers from a buffer that is rewritten meanwhile do not count */
		if (epoch == __atomic_load_n(&transition.datapath->control->epoch, __ATOMIC_SEQ_CST))
			check_answers(&now, "the other thread");
	}
	return NULL;
}

/* One random state after another: from a thread at all times, and at each step. */
static void nothing_is_allowed_that_neither_state_allows(void **state)
{
	struct fixture *fixture = *state, reference;
	unsigned int seed = 1, same_seed = 1;
	char directory[128];

	open_datapath(fixture);
	open_reference(&reference, fixture, directory);
	for (unsigned int round = 0; round < 12; round++) {
		bool stop = false;
		pthread_t thread;

		transition.datapath = fixture->datapath;
		transition.old = answers_now(fixture);
		draw_state(fixture->desired, &seed);
		draw_state(reference.desired, &same_seed);
		apply_fully(&reference);
		transition.new = answers_now(&reference);
		apply_step_hook = check_step;
		assert_int_equal(pthread_create(&thread, NULL, check_all_the_time, &stop), 0);
		apply_fully(fixture);
		apply_step_hook = NULL;
		__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
		pthread_join(thread, NULL);
		if (transition.wrong)
			fail_msg("round %u: %u wrong answers, first before %s", round, transition.wrong, transition.where);
		compare_all(fixture);
		transition.old = answers_now(fixture);
		assert_memory_equal(&transition.old, &transition.new, sizeof(transition.new));
	}
	assert_true(transition.checks > 150);
	close_reference(&reference);
}

static unsigned int steps_to_live;

static void die_at_step(const char *step)
{
	(void)step;
	if (!steps_to_live--)
		kill(getpid(), SIGKILL);
}

/* A child applies and is killed before its `step`th step. Returns false when it got through. */
static bool apply_and_die(struct fixture *fixture, unsigned int step)
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (!child) {
		char reason[REASON_MAX];

		if (open_maps(&fixture->datapath, &fixture->options, reason) < 0)
			_exit(2);
		steps_to_live = step;
		apply_step_hook = die_at_step;
		_exit(datapath_apply(fixture->datapath, fixture->desired) < 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	return WIFSIGNALED(status);
}

/* Forth to the second state, killed at each step in turn; the next agent makes it whole; and back to the first one. */
static void a_killed_agent_leaves_one_state_or_the_other(void **state)
{
	struct fixture *fixture = *state;
	struct desired *first = fixture->desired, *second;
	struct answers first_answers, second_answers;
	unsigned int seed = 7, step = 0;
	bool killed = true;

	assert_int_equal(desired_new(&second), 0);
	draw_state(first, &seed);
	draw_state(second, &seed);
	set_service(first, 1, 5, 0);
	set_service(first, 2, 5, 0);
	set_service(second, 1, 6, 3);
	set_service(second, 3, 2, 3);
	open_datapath(fixture);
	apply_fully(fixture);
	first_answers = answers_now(fixture);
	close_datapath(fixture);
	fixture->desired = second;
	open_datapath(fixture);
	apply_fully(fixture);
	second_answers = answers_now(fixture);
	close_datapath(fixture);

	for (; killed; step++) {
		fixture->desired = first;
		open_datapath(fixture);
		apply_fully(fixture);
		close_datapath(fixture);
		fixture->desired = second;
		killed = apply_and_die(fixture, step);
		open_datapath(fixture);
		transition.datapath = fixture->datapath;
		transition.old = first_answers;
		transition.new = second_answers;
		check_step("it was killed");
		apply_step_hook = check_step;
		apply_fully(fixture);
		apply_step_hook = NULL;
		if (transition.wrong)
			fail_msg("killed at step %u: %u wrong answers, first before %s", step, transition.wrong, transition.where);
		compare_all(fixture);
		close_datapath(fixture);
	}
	assert_true(step > 10);
	fixture->desired = first;
	desired_free(second);
}

static void a_killed_first_load_is_done_over(void **state)
{
	struct fixture *fixture = *state;

	set_some_of_all(fixture->desired);
	assert_true(apply_and_die(fixture, 3));
	open_datapath(fixture);
	assert_int_equal(fixture->datapath->control->buffers, 0);
	apply_fully(fixture);
	compare_all(fixture);
}

/* One pod of another node comes: no waiting, nothing but its entry and the epoch. */
static void a_single_address_needs_no_transition(void **state)
{
	struct fixture *fixture = *state;
	struct weft_addr gone = pod_address(3000);
	uint32_t epoch;

	open_datapath(fixture);
	set_some_of_all(fixture->desired);
	apply_fully(fixture);
	epoch = fixture->datapath->control->epoch;
	set_address(fixture->desired, pod_address(3000), 17, 0);
	set_address(fixture->desired, pod_address(3001), 17, 0);
	assert_int_equal(datapath_apply(fixture->datapath, fixture->desired), 2);
	assert_int_equal(fixture->datapath->control->epoch, epoch + 1);
	compare_all(fixture);
	table_unset(fixture->desired->addresses, &gone);
	assert_int_equal(datapath_apply(fixture->datapath, fixture->desired), 2); /* emptied, deleted */
	compare_all(fixture);
}

/* An entry that denies what others may finds no room: the pod is closed, not open. */
static void no_room_for_a_denial_closes_the_pod(void **state)
{
	struct fixture *fixture = *state;
	struct answers answers;

	fixture->options.max_policies = 4;
	open_datapath(fixture);
	set_workload(fixture->desired, 1, 16, 20);
	set_workload(fixture->desired, 2, 17, 21);
	set_address(fixture->desired, pod_address(1), 18, 0);
	set_policy(fixture->desired, 20, WEFT_IDENTITY_ANY, WEFT_INGRESS, 0xffff);
	set_policy(fixture->desired, 20, WEFT_IDENTITY_ANY, WEFT_EGRESS, 0xffff);
	set_policy(fixture->desired, 21, WEFT_IDENTITY_ANY, WEFT_INGRESS, 0);
	set_policy(fixture->desired, 21, WEFT_IDENTITY_ANY, WEFT_EGRESS, 0xffff);
	apply_fully(fixture);
	set_policy(fixture->desired, 20, 18, WEFT_INGRESS, 0); /* denied; all others are allowed */
	set_policy(fixture->desired, 21, 18, WEFT_INGRESS, 80); /* allowed; all others are denied */
	assert_int_equal(datapath_apply(fixture->datapath, fixture->desired), -E2BIG);
	answers = answers_now(fixture);
	assert_false(answers.allowed[0][WEFT_INGRESS][1][0]);
	assert_false(answers.allowed[0][WEFT_INGRESS][2][0]); /* closed for all */
	assert_false(answers.allowed[1][WEFT_INGRESS][1][0]); /* missing makes it stricter: the rest goes on */
	assert_true(answers.allowed[1][WEFT_EGRESS][2][0]);
	set_policy(fixture->desired, 20, 18, WEFT_INGRESS, 0xffff);
	assert_int_equal(datapath_apply(fixture->datapath, fixture->desired), -E2BIG);
	answers = answers_now(fixture);
	assert_true(answers.allowed[0][WEFT_INGRESS][2][0]);
}

static void rules_are_shared_and_used_again(void **state)
{
	struct fixture *fixture = *state;
	const struct map *rules;

	fixture->options.max_rules = 64;
	open_datapath(fixture);
	rules = datapath_find_map(fixture->datapath, "weft_rules");
	for (uint32_t subject = 20; subject < 120; subject++)
		set_policy(fixture->desired, subject, WEFT_IDENTITY_ANY, WEFT_INGRESS, 80);
	apply_fully(fixture);
	assert_int_equal(rules->entries, 3);
	for (uint32_t port = 1; port < 60; port++) {
		set_policy(fixture->desired, 20, WEFT_IDENTITY_ANY, WEFT_INGRESS, port);
		apply_fully(fixture);
		assert_true(rules->entries <= 9);
	}
	compare_all(fixture);
}

static void the_short_way_is_marked(void **state)
{
	struct fixture *fixture = *state;
	struct weft_workload workload;
	uint64_t cookie = 1;

	open_datapath(fixture);
	set_some_of_all(fixture->desired);
	apply_fully(fixture);
	tables = fixture->datapath;
	assert_int_equal(apply_short_way(fixture->datapath, true), 0);
	assert_non_null(found("weft_workloads", &cookie, &workload));
	assert_int_equal(workload.flags, WEFT_WORKLOAD_SHORT_WAY);
	set_workload(fixture->desired, 1, 30, 20);
	apply_fully(fixture);
	assert_non_null(found("weft_workloads", &cookie, &workload));
	assert_int_equal(workload.flags, WEFT_WORKLOAD_SHORT_WAY);
	assert_int_equal(apply_short_way(fixture->datapath, false), 0);
	assert_non_null(found("weft_workloads", &cookie, &workload));
	assert_int_equal(workload.flags, 0);
}

/* ---- connections ---- */

static void add_connection(struct fixture *fixture, unsigned int number, uint8_t protocol, struct weft_conn conn)
{
	struct weft_conn_key key = { .addr = { pod_address(number), pod_address(number + 1) }, .protocol = protocol };

	assert_int_equal(bpf_map_update_elem(datapath_map_fd(fixture->datapath, "weft_conntrack"), &key, &conn, BPF_ANY), 0);
}

static bool has_connection(struct fixture *fixture, unsigned int number, uint8_t protocol)
{
	struct weft_conn_key key = { .addr = { pod_address(number), pod_address(number + 1) }, .protocol = protocol };
	struct weft_conn conn;

	return bpf_map_lookup_elem(datapath_map_fd(fixture->datapath, "weft_conntrack"), &key, &conn) == 0;
}

#define TCP_FIN 1
#define TCP_RST 4
#define TCP_ACK 16
#define FAR_AGO(seconds) (now - (seconds) * UINT64_C(1000000000))

static void connections_that_are_over_go(void **state)
{
	struct fixture *fixture = *state;
	struct timespec time;
	uint64_t now;

	clock_gettime(CLOCK_MONOTONIC, &time);
	now = (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
	if (now < 200 * UINT64_C(1000000000))
		now = 200 * UINT64_C(1000000000); /* a guest that has just booted: nothing below is that long ago */
	open_datapath(fixture);
	add_connection(fixture, 0, IPPROTO_TCP,
		       (struct weft_conn){ .last_seen = FAR_AGO(100), .tcp_flags = { TCP_ACK, TCP_ACK } });
	add_connection(fixture, 1, IPPROTO_TCP, (struct weft_conn){ .last_seen = FAR_AGO(1), .tcp_flags = { TCP_ACK, 0 } });
	add_connection(fixture, 2, IPPROTO_UDP, (struct weft_conn){ .last_seen = FAR_AGO(100), .packets = { 1, 1 } });
	assert_int_equal(datapath_collect_connections(fixture->datapath), 0);
	assert_int_equal(datapath_find_map(fixture->datapath, "weft_conntrack")->entries, 3);
	assert_true(has_connection(fixture, 0, IPPROTO_TCP) && has_connection(fixture, 2, IPPROTO_UDP));
}

static void silent_connections_go(void **state)
{
	static const struct weft_conn half_open = { .tcp_flags = { TCP_ACK, 0 } },
				      reset = { .tcp_flags = { TCP_ACK, TCP_RST } },
				      closed = { .tcp_flags = { TCP_FIN, TCP_FIN } }, one_way = { .packets = { 1, 0 } };
	struct fixture *fixture = *state;

	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	if (time.tv_sec < 62) /* last seen at the start of the clock: too young yet in a guest that has just booted */
		skip();
	open_datapath(fixture);
	add_connection(fixture, 0, IPPROTO_TCP, half_open);
	add_connection(fixture, 1, IPPROTO_TCP, reset);
	add_connection(fixture, 2, IPPROTO_TCP, closed);
	add_connection(fixture, 3, IPPROTO_UDP, one_way);
	add_connection(fixture, 4, IPPROTO_ICMP, one_way);
	assert_int_equal(datapath_collect_connections(fixture->datapath), 5);
	assert_false(has_connection(fixture, 0, IPPROTO_TCP));
	assert_int_equal(datapath_collect_connections(fixture->datapath), 0);
	assert_int_equal(datapath_find_map(fixture->datapath, "weft_conntrack")->entries, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(loads_and_writes_what_is_desired),
		TEST(a_restart_writes_only_differences),
		TEST(a_second_agent_is_refused),
		TEST(a_directory_elsewhere_is_explained),
		TEST(restarts_adopt_replace_and_clean_up),
		TEST(shorter_values_are_extended),
		TEST(an_interrupted_replacement_is_completed),
		TEST(a_smaller_capacity_keeps_what_fits),
		TEST(round_robin_goes_on_when_backends_change),
		TEST(backends_keep_their_state),
		TEST(slots_are_used_again),
		TEST(full_maps_take_the_rest_and_recover),
		TEST(nothing_is_allowed_that_neither_state_allows),
		TEST(a_killed_agent_leaves_one_state_or_the_other),
		TEST(a_killed_first_load_is_done_over),
		TEST(a_single_address_needs_no_transition),
		TEST(no_room_for_a_denial_closes_the_pod),
		TEST(rules_are_shared_and_used_again),
		TEST(the_short_way_is_marked),
		TEST(connections_that_are_over_go),
		TEST(silent_connections_go),
	};

	cmocka_set_test_filter(getenv("TEST_FILTER"));
	return cmocka_run_group_tests(tests, setup_group, NULL);
}
