/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Services to tables. First single rules, told by example; then random sequences of changes, after each of which the
 * tables must equal those of a plain reference computation below, and what the dirty lists told must lead to the same.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compile/services.h"
#include "util/addr.h"
#include "util/intern.h"

#define NODE "node-1"

static struct model *model;
static struct desired *desired;
static struct services *services;
static const struct compile_options options = { .node_name = NODE };

static void told(const struct object *old, const struct object *new, void *context) { services_changed(context, old, new); }

static int set_up(void **state)
{
	(void)state;
	assert_int_equal(model_new(&model), 0);
	assert_int_equal(desired_new(&desired), 0);
	assert_int_equal(services_new(&services, model, &options, desired), 0);
	model_watch(model, told, services);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	services_free(services);
	desired_free(desired);
	model_free(model);
	intern_free_all();
	return 0;
}

/* --- building objects --- */

static struct weft_addr address(const char *text)
{
	struct weft_addr addr;

	assert_int_equal(addr_parse(text, &addr), 0);
	return addr;
}

static void *object(enum model_kind kind, const char *namespace, const char *name)
{
	struct object *it = object_alloc(kind);

	it->namespace = intern(namespace);
	it->name = intern(name);
	return it;
}

static void put(void *it)
{
	static uint64_t digest;

	((struct object *)it)->digest = ++digest;
	assert_int_equal(model_put(model, it), 1);
}

/* "key=value,key=value", sorted by key */
static struct labels labels(void *owner, const char *text)
{
	struct labels ret = { object_array(owner, 8, sizeof(struct label)), 0 };
	char copy[128], *rest = copy, *pair;

	snprintf(copy, sizeof(copy), "%s", text);
	while ((pair = strsep(&rest, ","))) {
		char *key = strsep(&pair, "=");

		if (pair)
			ret.items[ret.count++] = (struct label){ intern(key), intern(pair) };
	}
	return ret;
}

/* "10.0.0.1,fd00::1" */
static struct weft_addr *addresses(void *owner, const char *text, size_t *ret_count)
{
	struct weft_addr *ret = object_array(owner, 8, sizeof(*ret));
	char copy[128], *rest = copy, *one;

	*ret_count = 0;
	snprintf(copy, sizeof(copy), "%s", text);
	while ((one = strsep(&rest, ",")))
		if (*one)
			ret[(*ret_count)++] = address(one);
	return ret;
}

static struct service_object *service(const char *namespace, const char *name, const char *cluster_ips)
{
	struct service_object *it = object(MODEL_SERVICE, namespace, name);

	it->cluster_ips = addresses(it, cluster_ips, &it->cluster_ip_count);
	it->ports = object_array(it, 4, sizeof(*it->ports));
	return it;
}

static void add_port(struct service_object *it, const char *name, uint8_t protocol, uint16_t port, const char *target_name,
		     uint16_t target)
{
	it->ports[it->port_count++] = (struct service_port){ intern(name), port, protocol, { intern(target_name), target } };
}

static struct service_object *web(const char *name, const char *cluster_ips)
{
	struct service_object *it = service("default", name, cluster_ips);

	it->selector = labels(it, "app=web");
	add_port(it, "", IPPROTO_TCP, 80, NULL, 8080);
	return it;
}

static struct pod_object *pod(const char *namespace, const char *name, const char *with_labels, const char *ips)
{
	struct pod_object *it = object(MODEL_POD, namespace, name);

	it->meta.labels = labels(it, with_labels);
	it->addresses = addresses(it, ips, &it->address_count);
	it->ports = object_array(it, 4, sizeof(*it->ports));
	it->phase = POD_RUNNING;
	it->ready = true;
	it->weight = 1;
	return it;
}

static struct endpoint_slice_object *slice(const char *namespace, const char *name, const char *service_name)
{
	struct endpoint_slice_object *it = object(MODEL_ENDPOINT_SLICE, namespace, name);

	it->service_name = intern(service_name);
	it->endpoints = object_array(it, 8, sizeof(*it->endpoints));
	it->ports = object_array(it, 4, sizeof(*it->ports));
	return it;
}

static void add_slice_port(struct endpoint_slice_object *it, const char *name, uint8_t protocol, uint16_t port)
{
	it->ports[it->port_count++] = (struct endpoint_port){ intern(name), port, protocol };
}

static struct endpoint *add_endpoint(struct endpoint_slice_object *it, const char *addr)
{
	struct endpoint *endpoint = &it->endpoints[it->endpoint_count++];

	endpoint->addr = address(addr);
	endpoint->ready = endpoint->serving = true;
	return endpoint;
}

static struct endpoint_slice_object *web_slice(const char *name, const char *addrs)
{
	struct endpoint_slice_object *it = slice("default", name, "web");
	char copy[128], *rest = copy, *one;

	add_slice_port(it, "", IPPROTO_TCP, 8080);
	snprintf(copy, sizeof(copy), "%s", addrs);
	while ((one = strsep(&rest, ",")))
		if (*one)
			add_endpoint(it, one);
	return it;
}

static void put_node(const char *name, const char *zone)
{
	struct node_object *it = object(MODEL_NODE, "", name);

	it->zone = intern(zone);
	put(it);
}

/* --- looking --- */

static const struct weft_service *entry(const char *addr, uint16_t port, uint8_t protocol)
{
	struct weft_service_key key = { .addr = address(addr), .port = htons(port), .protocol = protocol };

	assert_true(services_run(services) >= 0);
	return table_get(desired->services, &key, NULL);
}

/* "10.0.0.1:8080 10.0.0.2:8080", "none", "absent" */
static void expect_slots(const char *addr, uint16_t port, const char *expected)
{
	const struct weft_service *value = entry(addr, port, IPPROTO_TCP);
	const struct weft_slot *slots = (const struct weft_slot *)(value + 1);
	char text[1024] = "", one[ADDR_TEXT_MAX];

	if (!value) {
		assert_string_equal("absent", expected);
		return;
	}
	for (uint32_t i = 0; i < value->slot_count; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s:%u", i ? " " : "", addr_format(&slots[i].addr, one),
			 ntohs(slots[i].port));
	assert_string_equal(value->slot_count ? text : "none", expected);
}

static int count_reports(enum model_kind kind, const char *namespace, const char *name, const char *text, void *context)
{
	(void)kind;
	(void)namespace;
	(void)name;
	assert_true(strlen(text) > 0);
	++*(int *)context;
	return 0;
}

static int report_count(void)
{
	int count = 0;

	assert_true(services_run(services) >= 0);
	model_each_report(model, count_reports, &count);
	return count;
}

/* --- rules by example --- */

static void endpoints_come_from_pods_until_there_is_a_slice(void **state)
{
	struct pod_object *it;

	(void)state;
	put(web("web", "10.96.0.1,fd96::1"));
	expect_slots("10.96.0.1", 80, "none");
	put(pod("default", "a", "app=web,tier=front", "10.0.0.1,fd00::1"));
	put(pod("default", "b", "app=web", "10.0.0.2"));
	put(pod("default", "other", "app=db", "10.0.0.3"));
	put(pod("elsewhere", "c", "app=web", "10.0.0.4"));
	it = pod("default", "done", "app=web", "10.0.0.5");
	it->phase = POD_SUCCEEDED;
	put(it);
	it = pod("default", "starting", "app=web", "10.0.0.6");
	it->ready = false;
	put(it);
	expect_slots("10.96.0.1", 80, "10.0.0.1:8080 10.0.0.2:8080");
	expect_slots("fd96::1", 80, "fd00::1:8080");
	put(pod("default", "b", "app=db", "10.0.0.2")); /* relabelled */
	expect_slots("10.96.0.1", 80, "10.0.0.1:8080");
	put(web_slice("web-1", "10.0.0.9"));
	expect_slots("10.96.0.1", 80, "10.0.0.9:8080");
	expect_slots("fd96::1", 80, "none");
	assert_int_equal(table_count(desired->backends), 1);
	model_delete(model, MODEL_ENDPOINT_SLICE, "default", "web-1");
	expect_slots("10.96.0.1", 80, "10.0.0.1:8080");
	model_delete(model, MODEL_SERVICE, "default", "web");
	expect_slots("10.96.0.1", 80, "absent");
	assert_int_equal(table_count(desired->services), 0);
	assert_int_equal(table_count(desired->backends), 0);
}

static void named_ports_are_resolved_for_each_pod(void **state)
{
	struct service_object *it = service("default", "web", "10.96.0.1");
	struct pod_object *with_port;

	(void)state;
	it->selector = labels(it, "app=web");
	add_port(it, "http", IPPROTO_TCP, 80, "web", 0);
	add_port(it, "same", IPPROTO_TCP, 81, NULL, 0);
	put(it);
	with_port = pod("default", "a", "app=web", "10.0.0.1");
	with_port->ports[with_port->port_count++] = (struct container_port){ intern("web"), 8080, IPPROTO_TCP };
	put(with_port);
	with_port = pod("default", "b", "app=web", "10.0.0.2");
	with_port->ports[with_port->port_count++] = (struct container_port){ intern("web"), 9090, IPPROTO_UDP };
	with_port->ports[with_port->port_count++] = (struct container_port){ intern("web"), 9091, IPPROTO_TCP };
	put(with_port);
	put(pod("default", "c", "app=web", "10.0.0.3"));
	expect_slots("10.96.0.1", 80, "10.0.0.1:8080 10.0.0.2:9091");
	expect_slots("10.96.0.1", 81, "10.0.0.1:81 10.0.0.2:81 10.0.0.3:81");
}

static void slices_merge_and_match_ports_by_name_and_protocol(void **state)
{
	struct service_object *it = service("default", "web", "10.96.0.1");
	struct endpoint_slice_object *first = slice("default", "web-1", "web"), *second = slice("default", "web-2", "web");

	(void)state;
	add_port(it, "http", IPPROTO_TCP, 80, NULL, 8080);
	add_port(it, "admin", IPPROTO_TCP, 81, "admin", 0);
	put(it);
	add_slice_port(first, "http", IPPROTO_TCP, 8080);
	add_slice_port(first, "admin", IPPROTO_UDP, 9000);
	add_endpoint(first, "10.0.0.2");
	add_endpoint(first, "10.0.0.1")->ready = false;
	put(first);
	add_slice_port(second, "admin", IPPROTO_TCP, 9001);
	add_slice_port(second, "http", IPPROTO_TCP, 8080);
	add_endpoint(second, "10.0.0.1"); /* on its way from one slice to the other: told twice */
	add_endpoint(second, "10.0.0.3");
	put(second);
	expect_slots("10.96.0.1", 80, "10.0.0.1:8080 10.0.0.2:8080 10.0.0.3:8080");
	expect_slots("10.96.0.1", 81, "10.0.0.1:9001 10.0.0.3:9001");
}

static void draining_endpoints_serve_when_no_other_is_left(void **state)
{
	struct endpoint_slice_object *it = web_slice("web-1", "10.0.0.1,10.0.0.2,10.0.0.3");
	struct service_object *all;

	(void)state;
	put(web("web", "10.96.0.1"));
	it->endpoints[0].ready = it->endpoints[0].serving = false;
	it->endpoints[1].ready = false;
	it->endpoints[1].terminating = true;
	put(it);
	expect_slots("10.96.0.1", 80, "10.0.0.3:8080");
	it = web_slice("web-1", "10.0.0.1,10.0.0.2");
	it->endpoints[0].ready = it->endpoints[0].serving = false;
	it->endpoints[1].ready = false;
	it->endpoints[1].terminating = true;
	put(it);
	expect_slots("10.96.0.1", 80, "10.0.0.2:8080");
	all = web("web", "10.96.0.1");
	all->publish_not_ready_addresses = true;
	put(all);
	expect_slots("10.96.0.1", 80, "10.0.0.1:8080 10.0.0.2:8080");
}

static void internal_traffic_policy_keeps_cluster_ips_on_the_node(void **state)
{
	struct service_object *it = web("web", "10.96.0.1");
	struct endpoint_slice_object *ends = web_slice("web-1", "10.0.0.1,10.0.0.2");

	(void)state;
	it->internal_traffic_policy = TRAFFIC_LOCAL;
	it->external_ips = addresses(it, "192.0.2.1", &it->external_ip_count);
	it->load_balancer_ips = addresses(it, "192.0.2.2", &it->load_balancer_ip_count);
	put(it);
	ends->endpoints[0].node_name = intern("node-2");
	ends->endpoints[1].node_name = intern(NODE);
	put(ends);
	expect_slots("10.96.0.1", 80, "10.0.0.2:8080");
	expect_slots("192.0.2.1", 80, "10.0.0.1:8080 10.0.0.2:8080");
	expect_slots("192.0.2.2", 80, "10.0.0.1:8080 10.0.0.2:8080");
	ends = web_slice("web-1", "10.0.0.1");
	ends->endpoints[0].node_name = intern("node-2");
	put(ends);
	expect_slots("10.96.0.1", 80, "none");
}

static void hint(struct endpoint_slice_object *owner, size_t index, const char *zone)
{
	const char **zones = object_array(owner, 2, sizeof(*zones));

	zones[0] = intern(zone);
	owner->endpoints[index].hint_zones = zones;
}

static void hints_keep_traffic_in_the_zone_when_all_have_them(void **state)
{
	struct service_object *it = web("web", "10.96.0.1");
	struct endpoint_slice_object *ends = web_slice("web-1", "10.0.0.1,10.0.0.2");

	(void)state;
	it->topology_hints = true;
	put(it);
	hint(ends, 0, "a");
	hint(ends, 1, "b");
	put(ends);
	expect_slots("10.96.0.1", 80, "10.0.0.1:8080 10.0.0.2:8080"); /* this node's zone is not known */
	put_node(NODE, "b");
	expect_slots("10.96.0.1", 80, "10.0.0.2:8080");
	put_node(NODE, "c");
	expect_slots("10.96.0.1", 80, "10.0.0.1:8080 10.0.0.2:8080");
	put_node(NODE, "a");
	put_node("node-2", "b");
	expect_slots("10.96.0.1", 80, "10.0.0.1:8080");
	ends = web_slice("web-1", "10.0.0.1,10.0.0.2");
	hint(ends, 0, "a");
	put(ends);
	expect_slots("10.96.0.1", 80, "10.0.0.1:8080 10.0.0.2:8080");
}

static void each_cluster_ip_has_an_entry_for_its_other_ports(void **state)
{
	struct service_object *it = web("web", "10.96.0.1,fd96::1");

	(void)state;
	it->external_ips = addresses(it, "192.0.2.1", &it->external_ip_count);
	it->affinity_seconds = 10800;
	it->algorithm = WEFT_ROUND_ROBIN;
	put(it);
	assert_int_equal(entry("10.96.0.1", 0, 0)->flags, WEFT_SERVICE_ADDRESS);
	assert_int_equal(entry("fd96::1", 0, 0)->flags, WEFT_SERVICE_ADDRESS);
	assert_null(entry("192.0.2.1", 0, 0)); /* it may be a node's own */
	assert_int_equal(entry("10.96.0.1", 80, IPPROTO_TCP)->affinity_seconds, 10800);
	assert_int_equal(entry("10.96.0.1", 80, IPPROTO_TCP)->algorithm, WEFT_ROUND_ROBIN);
	assert_ptr_equal(services_by_id(services, entry("10.96.0.1", 0, 0)->id), it);
	assert_string_equal(services_name(services, entry("10.96.0.1", 0, 0)->id), "default/web");
	assert_int_equal(table_count(desired->services), 5);
}

static void sctp_is_refused_and_reported(void **state)
{
	struct service_object *it = web("web", "10.96.0.1");

	(void)state;
	add_port(it, "sctp", IPPROTO_SCTP, 80, NULL, 0);
	put(it);
	put(pod("default", "a", "app=web", "10.0.0.1"));
	assert_int_equal(entry("10.96.0.1", 80, IPPROTO_SCTP)->flags, WEFT_SERVICE_REFUSE_PROTOCOL);
	assert_int_equal(entry("10.96.0.1", 80, IPPROTO_SCTP)->slot_count, 0);
	expect_slots("10.96.0.1", 80, "10.0.0.1:8080");
	assert_int_equal(report_count(), 1);
	put(web("web", "10.96.0.1"));
	assert_int_equal(report_count(), 0);
}

static void the_first_by_name_holds_an_address_and_the_next_takes_over(void **state)
{
	uint32_t id;

	(void)state;
	put(web("web-b", "10.96.0.1"));
	put(web("web-c", "10.96.0.1"));
	id = entry("10.96.0.1", 80, IPPROTO_TCP)->id;
	assert_string_equal(services_name(services, id), "default/web-b");
	assert_int_equal(report_count(), 1);
	put(web("web-a", "10.96.0.1"));
	assert_string_equal(services_name(services, entry("10.96.0.1", 80, IPPROTO_TCP)->id), "default/web-a");
	assert_int_equal(report_count(), 2);
	model_delete(model, MODEL_SERVICE, "default", "web-a");
	assert_int_equal(entry("10.96.0.1", 80, IPPROTO_TCP)->id, id);
	assert_int_equal(entry("10.96.0.1", 0, 0)->id, id);
	assert_int_equal(report_count(), 1);
	model_delete(model, MODEL_SERVICE, "default", "web-b");
	assert_string_equal(services_name(services, entry("10.96.0.1", 80, IPPROTO_TCP)->id), "default/web-c");
	assert_int_equal(report_count(), 0);
	assert_string_equal(services_name(services, id), "default/web-b"); /* late flow records */
	assert_null(services_by_id(services, id));
}

static void headless_and_external_names_have_no_entries(void **state)
{
	struct service_object *it = web("web", "");

	(void)state;
	it->headless = true;
	put(it);
	it = web("name", "");
	it->external_name = true;
	put(it);
	assert_int_equal(report_count(), 0);
	assert_int_equal(table_count(desired->services), 0);
	put(web("web", "")); /* nobody gave it an address */
	assert_int_equal(report_count(), 1);
}

/* The share of draws that end at slot `index`, by the rule of abi.h. */
static double share(const struct weft_service *value, uint32_t index)
{
	const struct weft_slot *slots = (const struct weft_slot *)(value + 1);
	double sum = 0;

	for (uint32_t i = 0; i < value->slot_count; i++) {
		double kept = (slots[i].threshold + 1.0) / 4294967296.0;

		assert_true(slots[i].alias < value->slot_count);
		if (i == index)
			sum += kept;
		if (slots[i].alias == index)
			sum += 1 - kept;
	}
	return sum / value->slot_count;
}

static void check_shares(const struct weft_service *value)
{
	const struct weft_slot *slots = (const struct weft_slot *)(value + 1);
	double total = 0;

	for (uint32_t i = 0; i < value->slot_count; i++)
		total += slots[i].weight;
	for (uint32_t i = 0; i < value->slot_count; i++) {
		double error = share(value, i) - slots[i].weight / total;

		assert_true(error < 1e-8 && error > -1e-8);
	}
}

static void weights_become_shares(void **state)
{
	struct service_object *it = web("web", "10.96.0.1");
	struct endpoint_slice_object *ends = web_slice("web-1", "10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4");
	const struct weft_slot *slots;
	struct pod_object *heavy;

	(void)state;
	it->algorithm = WEFT_WEIGHTED;
	put(it);
	ends->endpoints[0].weight = 65535;
	ends->endpoints[1].weight = 7;
	ends->endpoints[2].target_pod = intern("heavy");
	put(ends);
	check_shares(entry("10.96.0.1", 80, IPPROTO_TCP));
	heavy = pod("default", "heavy", "x=y", "10.0.0.3");
	heavy->weight = 3000;
	put(heavy);
	check_shares(entry("10.96.0.1", 80, IPPROTO_TCP));
	slots = (const struct weft_slot *)(entry("10.96.0.1", 80, IPPROTO_TCP) + 1);
	assert_int_equal(slots[0].weight, 65535);
	assert_int_equal(slots[2].weight, 3000);
	assert_int_equal(slots[3].weight, 1);
	model_delete(model, MODEL_POD, "default", "heavy");
	slots = (const struct weft_slot *)(entry("10.96.0.1", 80, IPPROTO_TCP) + 1);
	assert_int_equal(slots[2].weight, 1);
	put(web("web", "10.96.0.1")); /* random: weights have no meaning */
	slots = (const struct weft_slot *)(entry("10.96.0.1", 80, IPPROTO_TCP) + 1);
	for (int i = 0; i < 4; i++)
		assert_true(slots[i].weight == 1 && slots[i].threshold == UINT32_MAX);
}

static void a_backend_stays_while_any_entry_has_it(void **state)
{
	struct weft_backend_key key = { .addr = address("10.0.0.1"), .port = htons(8080), .protocol = IPPROTO_TCP };

	(void)state;
	put(pod("default", "a", "app=web", "10.0.0.1"));
	put(web("web-a", "10.96.0.1"));
	put(web("web-b", "10.96.0.2"));
	entry("10.96.0.1", 80, IPPROTO_TCP);
	assert_non_null(table_get(desired->backends, &key, NULL));
	model_delete(model, MODEL_SERVICE, "default", "web-a");
	entry("10.96.0.1", 80, IPPROTO_TCP);
	assert_non_null(table_get(desired->backends, &key, NULL));
	model_delete(model, MODEL_POD, "default", "a");
	expect_slots("10.96.0.2", 80, "none");
	assert_null(table_get(desired->backends, &key, NULL));
}

static void one_change_touches_one_service(void **state)
{
	char name[32], addr[32];

	(void)state;
	for (int i = 1; i <= 200; i++) {
		struct service_object *it;
		struct endpoint_slice_object *ends;

		snprintf(name, sizeof(name), "web-%d", i);
		snprintf(addr, sizeof(addr), "10.96.0.%d", i);
		it = service("default", name, addr);
		add_port(it, "", IPPROTO_TCP, 80, NULL, 8080);
		put(it);
		ends = slice("default", name, name);
		add_slice_port(ends, "", IPPROTO_TCP, 8080);
		snprintf(addr, sizeof(addr), "10.0.0.%d", i);
		add_endpoint(ends, addr);
		put(ends);
	}
	assert_int_equal(services_run(services), 200 * 3);
	table_clean(desired->services);
	table_clean(desired->backends);
	assert_int_equal(services_run(services), 0);
	put(web_slice("web-7-more", "10.1.0.1"));
	assert_int_equal(services_run(services), 0); /* of a Service that is not there */
	model_delete(model, MODEL_ENDPOINT_SLICE, "default", "web-7");
	assert_int_equal(services_run(services), 2);
	assert_int_equal(table_dirty_count(desired->services), 1);
	assert_int_equal(table_dirty_count(desired->backends), 1);
}

/* --- random changes against a plain computation --- */

enum { RANDOM_SEQUENCES = 60, RANDOM_CHANGES = 120, ENDS_MAX = 512 };

struct end { /* of a port, as the reference sees it */
	struct weft_addr addr;
	uint16_t port, weight;
	bool ready, serving, terminating, local, hinted, hinted_here;
};

struct ends {
	const struct service_object *service;
	const struct service_port *port;
	const char *zone;
	struct end items[ENDS_MAX];
	size_t count;
	bool any_slice;
};

static int pick(int count) { return (int)(random() % count); }
static bool chance(int one_in) { return pick(one_in) == 0; }

static int better(const struct end *a, const struct end *b)
{
	int left = a->ready << 7 | a->serving << 6 | !a->terminating << 5 | a->hinted << 4 | a->hinted_here << 3 | a->local << 2;
	int right = b->ready << 7 | b->serving << 6 | !b->terminating << 5 | b->hinted << 4 | b->hinted_here << 3 | b->local << 2;

	return left != right ? left > right : a->weight > b->weight;
}

static void reference_add(struct ends *ends, struct end end)
{
	end.ready |= ends->service->publish_not_ready_addresses;
	for (size_t i = 0; i < ends->count; i++) {
		if (!addr_equal(&ends->items[i].addr, &end.addr) || ends->items[i].port != end.port)
			continue;
		if (better(&end, &ends->items[i]))
			ends->items[i] = end;
		return;
	}
	assert_true(ends->count < ENDS_MAX);
	ends->items[ends->count++] = end;
}

static int reference_slice(const struct object *it, void *context)
{
	const struct endpoint_slice_object *from = (const struct endpoint_slice_object *)it;
	struct ends *ends = context;

	if (from->meta.namespace != ends->service->meta.namespace || from->service_name != ends->service->meta.name)
		return 0;
	ends->any_slice = true;
	for (size_t p = 0; p < from->port_count; p++) {
		if (from->ports[p].name != ends->port->name || from->ports[p].protocol != ends->port->protocol)
			continue;
		for (size_t i = 0; i < from->endpoint_count; i++) {
			const struct endpoint *each = &from->endpoints[i];
			const struct object *target =
				each->target_pod ? model_get(model, MODEL_POD, from->meta.namespace, each->target_pod) : NULL;
			struct end end = { each->addr, from->ports[p].port, 1, each->ready, each->serving, each->terminating };

			if (ends->service->algorithm == WEFT_WEIGHTED)
				end.weight = each->weight ? (uint16_t)each->weight
							  : target ? (uint16_t)((const struct pod_object *)target)->weight : 1;
			end.local = each->node_name && !strcmp(each->node_name, NODE);
			for (int z = 0; each->hint_zones && each->hint_zones[z]; z++) {
				end.hinted = true;
				end.hinted_here |= ends->zone && !strcmp(ends->zone, each->hint_zones[z]);
			}
			reference_add(ends, end);
		}
	}
	return 0;
}

static int reference_pod(const struct object *it, void *context)
{
	const struct pod_object *from = (const struct pod_object *)it;
	struct ends *ends = context;
	uint16_t number = ends->port->target_port.number ? ends->port->target_port.number : ends->port->port;
	size_t matching = 0;

	for (size_t i = 0; i < ends->service->selector.count; i++)
		for (size_t k = 0; k < from->meta.labels.count; k++)
			matching += from->meta.labels.items[k].key == ends->service->selector.items[i].key &&
				    from->meta.labels.items[k].value == ends->service->selector.items[i].value;
	if (from->meta.namespace != ends->service->meta.namespace || matching != ends->service->selector.count ||
	    from->phase == POD_SUCCEEDED || from->phase == POD_FAILED)
		return 0;
	if (ends->port->target_port.name) {
		number = 0;
		for (size_t i = 0; i < from->port_count; i++)
			if (from->ports[i].name == ends->port->target_port.name && from->ports[i].protocol == ends->port->protocol)
				number = from->ports[i].port;
	}
	for (size_t i = 0; i < from->address_count && number; i++)
		reference_add(ends, (struct end){ .addr = from->addresses[i],
						  .port = number,
						  .weight = ends->service->algorithm == WEFT_WEIGHTED ? (uint16_t)from->weight : 1,
						  .ready = from->ready && !from->terminating,
						  .serving = from->ready,
						  .terminating = from->terminating,
						  .local = from->node_name && !strcmp(from->node_name, NODE) });
	return 0;
}

static bool wanted(const struct ends *ends, const struct end *end, bool v4, bool only_local, bool draining)
{
	bool all_hinted = true, any_here = false;

	if (addr_is_v4(&end->addr) != v4 || (only_local && !end->local))
		return false;
	if (draining)
		return end->serving && end->terminating;
	for (size_t i = 0; i < ends->count; i++) {
		if (!ends->items[i].ready || addr_is_v4(&ends->items[i].addr) != v4)
			continue;
		all_hinted &= ends->items[i].hinted;
		any_here |= ends->items[i].hinted_here;
	}
	if (!only_local && ends->service->topology_hints && all_hinted && any_here && !end->hinted_here)
		return false;
	return end->ready;
}

static int compare_ends(const void *a, const void *b)
{
	const struct end *left = a, *right = b;
	int order = memcmp(&left->addr, &right->addr, sizeof(left->addr));

	return order ? order : (int)left->port - (int)right->port;
}

static void check_slots(const struct weft_service *value, struct ends *ends, bool v4, bool only_local)
{
	const struct weft_slot *slots = (const struct weft_slot *)(value + 1);
	uint32_t count = 0;

	qsort(ends->items, ends->count, sizeof(*ends->items), compare_ends);
	for (int draining = 0; draining < 2 && !count; draining++) {
		for (size_t i = 0; i < ends->count; i++) {
			const struct end *end = &ends->items[i];

			if (!wanted(ends, end, v4, only_local, draining))
				continue;
			assert_true(count < value->slot_count);
			assert_true(addr_equal(&slots[count].addr, &end->addr));
			assert_int_equal(ntohs(slots[count].port), end->port);
			assert_int_equal(slots[count].weight, end->weight);
			if (value->algorithm != WEFT_WEIGHTED)
				assert_int_equal(slots[count].threshold, UINT32_MAX);
			count++;
		}
	}
	assert_int_equal(value->slot_count, count);
	check_shares(value);
}

struct checking {
	struct table *claimed;	/* keys that an earlier Service has */
	struct table *backends; /* that some entry uses */
	struct table *conflicts; /* of struct conflict */
	int refused;
};

struct conflict {
	struct weft_service_key key;
	uint32_t pad;
	const struct service_object *loser;
};

static void check_entry(struct checking *checking, struct ends *ends, const struct weft_addr *addr, bool only_local)
{
	struct weft_service_key key = { .addr = *addr };
	struct conflict conflict = { .loser = ends->service };
	const struct weft_service *value;
	const void *owner;
	char name[64];

	if (ends->port) {
		key.port = htons(ends->port->port);
		key.protocol = ends->port->protocol;
	}
	snprintf(name, sizeof(name), "%s/%s", ends->service->meta.namespace, ends->service->meta.name);
	owner = table_get(checking->claimed, &key, NULL);
	if (owner) {
		conflict.key = key;
		if (strcmp(owner, name) != 0 && ends->port)
			table_set(checking->conflicts, &conflict, NULL, 0);
		return;
	}
	table_set(checking->claimed, &key, name, sizeof(name));
	value = table_get(desired->services, &key, NULL);
	assert_non_null(value);
	assert_string_equal(services_name(services, value->id), name);
	if (!ends->port) {
		assert_true(value->flags == WEFT_SERVICE_ADDRESS && !value->slot_count);
	} else if (ends->port->protocol == IPPROTO_SCTP) {
		assert_true(value->flags == WEFT_SERVICE_REFUSE_PROTOCOL && !value->slot_count);
	} else {
		assert_int_equal(value->flags, 0);
		assert_int_equal(value->algorithm, ends->service->algorithm);
		assert_int_equal(value->affinity_seconds, ends->service->affinity_seconds);
		check_slots(value, ends, addr_is_v4(addr), only_local);
	}
	for (uint32_t i = 0; i < value->slot_count; i++) {
		const struct weft_slot *slot = (const struct weft_slot *)(value + 1) + i;
		struct weft_backend_key backend = { .addr = slot->addr, .port = slot->port, .protocol = key.protocol };

		table_set(checking->backends, &backend, NULL, 0);
		assert_non_null(table_get(desired->backends, &backend, NULL));
	}
}

static int check_service(const struct object *it, void *context)
{
	const struct service_object *each = (const struct service_object *)it;
	const struct object *node = model_get(model, MODEL_NODE, "", NODE);
	static struct ends ends;
	bool local = each->internal_traffic_policy == TRAFFIC_LOCAL;
	struct checking *checking = context;

	if (each->headless)
		return 0;
	for (size_t p = 0; p <= each->port_count; p++) {
		memset(&ends, 0, sizeof(ends));
		ends.service = each;
		ends.zone = node ? ((const struct node_object *)node)->zone : NULL;
		ends.port = p < each->port_count ? &each->ports[p] : NULL;
		if (ends.port)
			model_each(model, MODEL_ENDPOINT_SLICE, reference_slice, &ends);
		if (ends.port && !ends.any_slice && each->selector.count)
			model_each(model, MODEL_POD, reference_pod, &ends);
		checking->refused += ends.port && ends.port->protocol == IPPROTO_SCTP;
		for (size_t i = 0; i < each->cluster_ip_count; i++)
			check_entry(checking, &ends, &each->cluster_ips[i], local);
		for (size_t i = 0; i < each->external_ip_count && ends.port; i++)
			check_entry(checking, &ends, &each->external_ips[i], false);
	}
	return 0;
}

static int equals_other(const void *key, const void *value, size_t size, void *context)
{
	size_t other_size;
	const void *other = table_get(context, key, &other_size);

	assert_non_null(other);
	assert_int_equal(size, other_size);
	if (size)
		assert_memory_equal(value, other, size);
	return 0;
}

static void expect_equal_tables(struct table *a, struct table *b)
{
	assert_int_equal(table_count(a), table_count(b));
	table_each(a, equals_other, b);
}

static int write_to(const void *key, const void *value, size_t size, void *context)
{
	if (value)
		table_set(context, key, value, size);
	else
		table_unset(context, key);
	return 0;
}

/* As datapath/ does: only what is dirty. */
static void apply(struct table *from, struct table *to)
{
	table_each_dirty(from, write_to, to);
	table_clean(from);
	expect_equal_tables(from, to);
}

static void check_against_reference(void)
{
	struct checking checking = { 0 };

	assert_int_equal(table_new(&checking.claimed, sizeof(struct weft_service_key)), 0);
	assert_int_equal(table_new(&checking.backends, sizeof(struct weft_backend_key)), 0);
	assert_int_equal(table_new(&checking.conflicts, sizeof(struct conflict)), 0);
	model_each(model, MODEL_SERVICE, check_service, &checking);
	assert_int_equal(table_count(checking.claimed), table_count(desired->services));
	assert_int_equal(table_count(checking.backends), table_count(desired->backends));
	assert_int_equal(report_count(), table_count(checking.conflicts) + (size_t)checking.refused);
	table_free(checking.conflicts);
	table_free(checking.claimed);
	table_free(checking.backends);
}

static void check_against_fresh(void)
{
	struct desired *fresh_desired;
	struct services *fresh;

	assert_int_equal(desired_new(&fresh_desired), 0);
	assert_int_equal(services_new(&fresh, model, &options, fresh_desired), 0);
	assert_true(services_run(fresh) >= 0);
	expect_equal_tables(desired->services, fresh_desired->services);
	expect_equal_tables(desired->backends, fresh_desired->backends);
	services_free(fresh);
	desired_free(fresh_desired);
}

static const char *const namespaces[] = { "n1", "n2" };
static const char *const service_names[] = { "a", "b", "c", "d" };
static const char *const label_sets[] = { "app=x", "app=x,tier=1", "app=y", "app=y,tier=1", "tier=1", "" };
static const char *const zones[] = { "za", "zb" };
static const char *const nodes[] = { NODE, "node-2" };
static const char *const port_names[] = { "http", "dns" };
static const char *const pod_names[] = { "p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7" };
static const char *const addr_texts[] = { "10.0.0.1", "10.0.0.2", "10.0.1.0", "fd00::1", "fd00::2", "fd00::1:0" };
#define ONE_OF(array) (array)[pick(sizeof(array) / sizeof(*(array)))]

static void random_service(const char *namespace, const char *name)
{
	static const char *const ips[] = { "10.96.0.1", "10.96.0.2", "10.96.0.1,fd96::1", "fd96::1", "10.96.0.3,fd96::3" };
	static const char *const external[] = { "192.0.2.1", "10.96.0.2", "192.0.2.1,fd00:2::1", "" };
	struct service_object *it = service(namespace, name, ONE_OF(ips));

	it->external_ips = addresses(it, ONE_OF(external), &it->external_ip_count);
	it->selector = labels(it, chance(5) ? "" : ONE_OF(label_sets));
	for (int i = 0; i < 2; i++)
		add_port(it, port_names[i], chance(3) ? IPPROTO_UDP : chance(8) ? IPPROTO_SCTP : IPPROTO_TCP,
			 (uint16_t)(80 + 2 * i + pick(2)), chance(2) ? ONE_OF(port_names) : NULL, chance(2) ? 8080 : 0);
	it->affinity_seconds = chance(3) ? 60 : 0;
	it->algorithm = (enum weft_algorithm)pick(3);
	it->internal_traffic_policy = chance(4) ? TRAFFIC_LOCAL : TRAFFIC_CLUSTER;
	it->topology_hints = chance(2);
	it->publish_not_ready_addresses = chance(5);
	it->headless = chance(10);
	put(it);
}

static void random_pod(const char *namespace, const char *name)
{
	struct pod_object *it = pod(namespace, name, ONE_OF(label_sets), "");

	for (int i = pick(3); i > 0; i--)
		it->addresses[it->address_count++] = address(ONE_OF(addr_texts));
	for (int i = 0; i < 2; i++)
		if (chance(2))
			it->ports[it->port_count++] = (struct container_port){ intern(port_names[i]), (uint16_t)(8080 + pick(2)),
									       chance(3) ? IPPROTO_UDP : IPPROTO_TCP };
	it->node_name = intern(ONE_OF(nodes));
	it->phase = chance(6) ? POD_FAILED : POD_RUNNING;
	it->ready = !chance(4);
	it->terminating = chance(5);
	it->weight = (uint32_t)(1 + pick(4));
	put(it);
}

static void random_slice(const char *namespace, const char *name)
{
	struct endpoint_slice_object *it = slice(namespace, name, ONE_OF(service_names));
	int hinted = pick(3);

	for (int i = 0; i < 2; i++)
		if (!chance(4))
			add_slice_port(it, port_names[i], chance(3) ? IPPROTO_UDP : IPPROTO_TCP, (uint16_t)(8080 + pick(2)));
	for (int i = pick(5); i > 0; i--) {
		struct endpoint *each = add_endpoint(it, ONE_OF(addr_texts));

		each->ready = !chance(4);
		each->serving = each->ready || chance(2);
		each->terminating = !each->ready && chance(2);
		each->node_name = chance(5) ? NULL : intern(ONE_OF(nodes));
		each->target_pod = chance(3) ? NULL : intern(ONE_OF(pod_names));
		each->weight = chance(3) ? (uint32_t)(1 + pick(9)) : 0;
		if (hinted == 0 || (hinted == 1 && chance(2)))
			hint(it, it->endpoint_count - 1, ONE_OF(zones));
	}
	put(it);
}

static void random_change(void)
{
	static const enum model_kind kinds[] = { MODEL_SERVICE, MODEL_POD, MODEL_POD, MODEL_ENDPOINT_SLICE, MODEL_NODE };
	static const char *const slice_names[] = { "s0", "s1", "s2", "s3" };
	enum model_kind kind = ONE_OF(kinds);
	const char *namespace = kind == MODEL_NODE ? "" : ONE_OF(namespaces);
	const char *name = kind == MODEL_SERVICE ? ONE_OF(service_names)
			   : kind == MODEL_POD	 ? ONE_OF(pod_names)
			   : kind == MODEL_NODE	 ? ONE_OF(nodes)
						 : ONE_OF(slice_names);

	if (chance(kind == MODEL_ENDPOINT_SLICE ? 2 : 4))
		model_delete(model, kind, namespace, name);
	else if (kind == MODEL_SERVICE)
		random_service(namespace, name);
	else if (kind == MODEL_POD)
		random_pod(namespace, name);
	else if (kind == MODEL_NODE)
		put_node(name, chance(4) ? NULL : ONE_OF(zones));
	else
		random_slice(namespace, name);
}

static void random_changes_equal_the_reference(void **state)
{
	(void)state;
	for (int sequence = 0; sequence < RANDOM_SEQUENCES; sequence++) {
		struct table *written_services, *written_backends;

		srandom((unsigned int)sequence);
		assert_int_equal(table_new(&written_services, sizeof(struct weft_service_key)), 0);
		assert_int_equal(table_new(&written_backends, sizeof(struct weft_backend_key)), 0);
		if (sequence)
			set_up(NULL);
		for (int change = 0; change < RANDOM_CHANGES; change++) {
			random_change();
			if (chance(3)) /* several changes in one run, too */
				continue;
			assert_true(services_run(services) >= 0);
			check_against_reference();
			apply(desired->services, written_services);
			apply(desired->backends, written_backends);
		}
		assert_true(services_run(services) >= 0);
		check_against_fresh();
		table_free(written_services);
		table_free(written_backends);
		if (sequence < RANDOM_SEQUENCES - 1)
			tear_down(NULL);
	}
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(endpoints_come_from_pods_until_there_is_a_slice),
		TEST(named_ports_are_resolved_for_each_pod),
		TEST(slices_merge_and_match_ports_by_name_and_protocol),
		TEST(draining_endpoints_serve_when_no_other_is_left),
		TEST(internal_traffic_policy_keeps_cluster_ips_on_the_node),
		TEST(hints_keep_traffic_in_the_zone_when_all_have_them),
		TEST(each_cluster_ip_has_an_entry_for_its_other_ports),
		TEST(sctp_is_refused_and_reported),
		TEST(the_first_by_name_holds_an_address_and_the_next_takes_over),
		TEST(headless_and_external_names_have_no_entries),
		TEST(weights_become_shares),
		TEST(a_backend_stays_while_any_entry_has_it),
		TEST(one_change_touches_one_service),
		TEST(random_changes_equal_the_reference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
