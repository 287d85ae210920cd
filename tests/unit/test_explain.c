/* SPDX-License-Identifier: Apache-2.0 */
/* What can be asked of explain(), what it says about Services, and what it answers to what it cannot read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "compile/explain.h"
#include "manifests.h"
#include "util/addr.h"
#include "util/intern.h"

static struct model *model;
static struct compile *compile;
static struct explanation explanation;
static char reason[256];

static const char cluster[] =
	"{apiVersion: v1, kind: Node, metadata: {name: one}, status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}}\n"
	"---\n"
	"{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: default, labels: {app: web}}, spec: {nodeName: one,\n"
	" containers: []}, status: {phase: Running, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}}\n"
	"---\n"
	"{apiVersion: v1, kind: Pod, metadata: {name: only6, namespace: default}, spec: {nodeName: two, containers: []},\n"
	" status: {phase: Running, podIPs: [{ip: 'fd00::2'}]}}\n"
	"---\n"
	"{apiVersion: v1, kind: Pod, metadata: {name: far, namespace: default, labels: {app: far}}, spec: {nodeName: two,\n"
	" containers: []}, status: {phase: Running, podIPs: [{ip: 10.0.1.1}]}}\n"
	"---\n"
	"{apiVersion: v1, kind: Pod, metadata: {name: new, namespace: default}, spec: {containers: []}, status: {phase: Pending}}\n"
	"---\n"
	"{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIPs: [10.96.0.9], selector: {app: none},\n"
	" ports: [{port: 80}]}}\n"
	"---\n"
	"{apiVersion: v1, kind: Service, metadata: {name: far, namespace: default}, spec: {clusterIPs: [10.96.0.1], selector: {app: far},\n"
	" ports: [{name: p, port: 80, targetPort: 8080}, {name: s, port: 81, protocol: SCTP}]}}\n"
	"---\n"
	"{apiVersion: v1, kind: Service, metadata: {name: self, namespace: default}, spec: {clusterIPs: [10.96.0.2, 'fd00:96::2'],\n"
	" ipFamilies: [IPv4, IPv6], selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}}\n"
	"---\n"
	"{apiVersion: v1, kind: Service, metadata: {name: headless, namespace: default}, spec: {clusterIP: None, selector: {app: web},\n"
	" ports: [{port: 80}]}}\n"
	"---\n"
	"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: out, namespace: default}, spec: {podSelector:\n"
	" {matchLabels: {app: web}}, egress: [{to: [{podSelector: {}}], ports: [{port: 8080}]}]}}\n";

static int build(void **state)
{
	const struct compile_options options = { .node_name = "one" };
	const struct binding binding = { .netns_cookie = 7, .ifindexes = { 3 }, .ifindex_count = 1 };

	(void)state;
	assert_int_equal(model_new(&model), 0);
	assert_int_equal(compile_new(&compile, model, &options), 0);
	manifests_put(model, cluster);
	assert_int_equal(compile_bind_pod(compile, "default", "web", &binding), 0);
	assert_true(compile_bind_host(compile, 1, NULL, 0) >= 0);
	assert_true(compile_run(compile) > 0);
	return 0;
}

static int clear(void **state)
{
	(void)state;
	compile_free(compile);
	model_free(model);
	intern_free_all();
	return 0;
}

static int forget(void **state)
{
	(void)state;
	explanation_clear(&explanation);
	return 0;
}

static int ask(const char *from, const char *to, uint16_t port, uint8_t protocol)
{
	explanation_clear(&explanation);
	reason[0] = '\0';
	return explain(compile, from, to, port, protocol, &explanation, reason);
}

static void a_service_by_name_is_its_first_backend(void **state)
{
	char text[ADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(ask("default/web", "svc/default/far", 80, IPPROTO_TCP), 0);
	assert_string_equal(explanation.service->meta.name, "far");
	assert_int_equal(ntohs(explanation.asked.port), 80);
	assert_string_equal(addr_format(&explanation.asked.addr, text), "10.96.0.1");
	assert_int_equal(explanation.backend_count, 1);
	assert_int_equal(ntohs(explanation.backends[0].port), 8080);
	assert_string_equal(explanation.to.pod, "far");
	assert_true(explanation.from.local);
	assert_false(explanation.to.local);
	assert_true(explanation.sides[WEFT_EGRESS].decided);
	assert_false(explanation.sides[WEFT_INGRESS].decided);
	/* policy is about the backend's port: 8080, not 80 */
	assert_int_equal(explanation.reason, WEFT_REASON_NONE);
	assert_int_equal(ask("default/web", "default/far", 80, IPPROTO_TCP), 0); /* a pod of that name comes first */
	assert_null(explanation.service);
	assert_int_equal(explanation.reason, WEFT_REASON_POLICY_DENIED);
}

static void a_service_by_address(void **state)
{
	(void)state;
	assert_int_equal(ask("pod/default/web", "10.96.0.1", 80, IPPROTO_TCP), 0);
	assert_string_equal(explanation.service->meta.name, "far");
	assert_int_equal(explanation.reason, WEFT_REASON_NONE);
	assert_int_equal(ask("pod/default/web", "10.96.0.1", 443, IPPROTO_TCP), 0);
	assert_int_equal(explanation.service_reason, WEFT_REASON_NO_SERVICE_PORT);
	assert_int_equal(explanation.reason, WEFT_REASON_NO_SERVICE_PORT);
	assert_int_equal(ask("pod/default/web", "10.96.0.1", 81, IPPROTO_SCTP), 0);
	assert_int_equal(explanation.reason, WEFT_REASON_UNSUPPORTED_SERVICE_PROTOCOL);
}

static void a_service_without_endpoints(void **state)
{
	(void)state;
	assert_int_equal(ask("default/web", "svc/shop/web", 80, IPPROTO_TCP), 0);
	assert_int_equal(explanation.reason, WEFT_REASON_NO_ENDPOINT);
	assert_int_equal(explanation.backend_count, 0);
	assert_false(explanation.sides[WEFT_EGRESS].decided);
}

static void a_pod_reaches_itself_through_its_service(void **state)
{
	(void)state;
	assert_int_equal(ask("default/web", "svc/default/self", 80, IPPROTO_TCP), 0);
	assert_int_equal(explanation.reason, WEFT_REASON_NONE);
	assert_int_equal(explanation.sides[WEFT_EGRESS].rule, WEFT_RULE_OWN_POD);
	assert_int_equal(explanation.sides[WEFT_INGRESS].rule, WEFT_RULE_OWN_POD);
}

static void both_ends_get_addresses_of_one_family(void **state)
{
	char text[ADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(ask("default/only6", "default/web", 80, IPPROTO_TCP), 0);
	assert_string_equal(addr_format(&explanation.to.addr, text), "fd00::1");
	assert_int_equal(ask("default/only6", "svc/default/self", 80, IPPROTO_TCP), 0);
	assert_string_equal(addr_format(&explanation.asked.addr, text), "fd00:96::2");
	assert_int_equal(ask("default/only6", "default/far", 80, IPPROTO_TCP), -EINVAL);
	assert_non_null(strstr(reason, "family"));
}

static void the_node_itself_is_never_held_back(void **state)
{
	(void)state;
	assert_int_equal(ask("192.168.0.1", "default/web", 80, IPPROTO_TCP), 0);
	assert_int_equal(explanation.sides[WEFT_EGRESS].rule, WEFT_RULE_THIS_NODE);
	assert_int_equal(explanation.sides[WEFT_INGRESS].rule, WEFT_RULE_THIS_NODE);
	assert_int_equal(ask("8.8.8.8", "9.9.9.9", 80, IPPROTO_TCP), 0);
	assert_false(explanation.sides[WEFT_EGRESS].decided || explanation.sides[WEFT_INGRESS].decided);
	assert_int_equal(explanation.from.identity, WEFT_IDENTITY_WORLD);
}

static void what_is_not_known_is_named(void **state)
{
	static const struct {
		const char *from, *to;
		int error;
		const char *says;
	} cases[] = {
		{ "default/nobody", "default/web", -ENOENT, "default/nobody: there is no such pod" },
		{ "default/web", "svc/default/web", -ENOENT, "default/web: there is no such Service" },
		{ "default/web", "pod/default/self", -ENOENT, "default/self: there is no such pod" },
		{ "default/web", "default/new", -ENOENT, "no address yet" },
		{ "default/web", "svc/default/headless", -ENOENT, "name one of its pods" },
		{ "svc/default/far", "default/web", -EINVAL, "name a pod" },
		{ "web", "default/web", -EINVAL, "web: give an address" },
		{ "default/web", "10.0.0.300", -EINVAL, "10.0.0.300: give an address" },
		{ "default/web/x", "default/web", -EINVAL, "give an address" },
		{ "/", "default/web", -EINVAL, "give an address" },
		{ "", "default/web", -EINVAL, "give an address" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(ask(cases[i].from, cases[i].to, 80, IPPROTO_TCP), cases[i].error);
		assert_non_null(strstr(reason, cases[i].says));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_service_by_name_is_its_first_backend, forget),
		cmocka_unit_test_teardown(a_service_by_address, forget),
		cmocka_unit_test_teardown(a_service_without_endpoints, forget),
		cmocka_unit_test_teardown(a_pod_reaches_itself_through_its_service, forget),
		cmocka_unit_test_teardown(both_ends_get_addresses_of_one_family, forget),
		cmocka_unit_test_teardown(the_node_itself_is_never_held_back, forget),
		cmocka_unit_test_teardown(what_is_not_known_is_named, forget),
	};

	return cmocka_run_group_tests(tests, build, clear);
}
