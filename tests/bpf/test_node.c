/* SPDX-License-Identifier: Apache-2.0 */
/* node/ against real namespaces: the test makes a "host" namespace for itself and pods beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/node.h"
#include "util/addr.h"
#include "util/log.h"

struct seen {
	struct event_base *base;
	struct node *node;
	struct binding binding;
	int bound, gone, host_changes;
};

static char prefix[32];

static void run(const char *format, ...)
{
	char command[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	if (system(command) != 0)
		fail_msg("%s", command);
}

static void on_bound(const char *namespace, const char *name, const struct binding *binding, void *context)
{
	struct seen *seen = context;

	assert_string_equal(namespace, "default");
	assert_string_equal(name, "web");
	if (binding) {
		seen->binding = *binding;
		seen->bound++;
	} else {
		seen->gone++;
	}
}

static void on_host(void *context) { ((struct seen *)context)->host_changes++; }

/* Runs the loop until *counter has reached `value`; ten seconds at most. */
static void wait_for(struct seen *seen, const int *counter, int value)
{
	const struct timeval limit = { 10, 0 };

	event_base_loopexit(seen->base, &limit);
	while (*counter < value && !event_base_got_exit(seen->base))
		event_base_loop(seen->base, EVLOOP_ONCE);
	assert_true(*counter >= value);
}

/* The kernel takes a namespace apart some time after its last user has gone; the interface's end is an event of the loop. */
static void wait_for_no_link(struct seen *seen, const char *name)
{
	const struct timeval limit = { 10, 0 };

	event_base_loopexit(seen->base, &limit);
	while (if_nametoindex(name) && !event_base_got_exit(seen->base))
		event_base_loop(seen->base, EVLOOP_ONCE);
	assert_int_equal(if_nametoindex(name), 0);
}

static int setup(void **state)
{
	struct seen *seen = calloc(1, sizeof(*seen));

	snprintf(prefix, sizeof(prefix), "weftnode%d", getpid());
	seen->base = event_base_new();
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	run("ip link set lo up");
	assert_int_equal(node_new(&seen->node, seen->base, on_bound, seen), 0);
	node_watch_host(seen->node, on_host, seen);
	*state = seen;
	return 0;
}

static int teardown(void **state)
{
	struct seen *seen = *state;

	node_free(seen->node);
	event_base_free(seen->base);
	free(seen);
	run("ip netns del %s-pod 2>/dev/null; true", prefix);
	return 0;
}

static void add_pod(void)
{
	run("ip netns add %s-pod && ip link add v0 type veth peer name eth0 netns %s-pod && "
	    "ip -n %s-pod link set eth0 address 02:00:00:00:00:07", prefix, prefix, prefix);
}

static int watch(struct seen *seen)
{
	char path[128];

	snprintf(path, sizeof(path), "/run/netns/%s-pod", prefix);
	return node_pod_add(seen->node, "default", "web", path);
}

static void finds_cookie_interface_and_mac(void **state)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 7 };
	struct seen *seen = *state;

	add_pod();
	assert_int_equal(watch(seen), 0);
	assert_int_equal(seen->bound, 1);
	assert_int_equal(seen->binding.ifindex_count, 1);
	assert_int_equal(seen->binding.ifindexes[0], if_nametoindex("v0"));
	assert_memory_equal(seen->binding.macs[0], mac, 6);
	assert_true(seen->binding.netns_cookie != 0 && seen->binding.netns_cookie != node_host_cookie(seen->node));
}

static void a_pod_that_comes_late_is_found(void **state)
{
	struct seen *seen = *state;

	assert_int_equal(watch(seen), -ENOENT);
	add_pod();
	wait_for(seen, &seen->bound, 1);
}

static void a_second_interface_is_told_and_a_new_name_is_not(void **state)
{
	struct seen *seen = *state;

	add_pod();
	assert_int_equal(watch(seen), 0);
	run("ip link set v0 name renamed0");
	run("ip link add v1 type veth peer name eth1 netns %s-pod", prefix);
	wait_for(seen, &seen->bound, 2);
	assert_int_equal(seen->binding.ifindex_count, 2);
	assert_int_equal(seen->bound, 2);
}

static void a_deleted_namespace_is_told(void **state)
{
	struct seen *seen = *state;

	add_pod();
	assert_int_equal(watch(seen), 0);
	run("ip netns del %s-pod", prefix);
	wait_for(seen, &seen->gone, 1);
	wait_for_no_link(seen, "v0"); /* no descriptor of ours keeps it alive */
}

static void another_namespace_under_the_same_path_is_another_pod(void **state)
{
	struct seen *seen = *state;
	uint64_t first;

	add_pod();
	assert_int_equal(watch(seen), 0);
	first = seen->binding.netns_cookie;
	run("ip netns del %s-pod", prefix);
	wait_for_no_link(seen, "v0");
	add_pod();
	wait_for(seen, &seen->bound, 2);
	assert_true(seen->binding.netns_cookie != first);
	assert_int_equal(seen->gone, 1);
}

static void the_hosts_own_namespace_is_refused(void **state)
{
	struct seen *seen = *state;

	assert_int_equal(node_pod_add(seen->node, "default", "web", "/proc/self/ns/net"), -EINVAL);
	assert_int_equal(seen->bound, 0);
}

static void host_addresses_are_followed(void **state)
{
	struct seen *seen = *state;
	struct weft_addr *addresses, wanted;
	size_t count;
	int found = 0;

	run("ip link add d0 type veth peer name d1 && ip addr add 192.0.2.7/24 dev d0");
	wait_for(seen, &seen->host_changes, 1);
	assert_int_equal(addr_parse("192.0.2.7", &wanted), 0);
	assert_int_equal(node_host_addresses(seen->node, &addresses, &count), 0);
	for (size_t i = 0; i < count; i++)
		found += addr_equal(&addresses[i], &wanted);
	free(addresses);
	assert_int_equal(found, 1);
}

static int note_cookie(const char *namespace, const char *name, uint64_t cookie, void *context)
{
	(void)name;
	if (namespace)
		*(uint64_t *)context = cookie;
	return if_nametoindex("eth0") || !namespace ? 0 : -EIO;
}

static void runs_inside_and_comes_home(void **state)
{
	struct seen *seen = *state;
	uint64_t cookie = 0;

	add_pod();
	assert_int_equal(watch(seen), 0);
	assert_int_equal(node_each_netns(seen->node, note_cookie, &cookie), 0);
	assert_int_equal(cookie, seen->binding.netns_cookie);
	assert_true(if_nametoindex("v0") != 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(finds_cookie_interface_and_mac, setup, teardown),
		cmocka_unit_test_setup_teardown(a_pod_that_comes_late_is_found, setup, teardown),
		cmocka_unit_test_setup_teardown(a_second_interface_is_told_and_a_new_name_is_not, setup, teardown),
		cmocka_unit_test_setup_teardown(a_deleted_namespace_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(another_namespace_under_the_same_path_is_another_pod, setup, teardown),
		cmocka_unit_test_setup_teardown(the_hosts_own_namespace_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(host_addresses_are_followed, setup, teardown),
		cmocka_unit_test_setup_teardown(runs_inside_and_comes_home, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
