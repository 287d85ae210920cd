/* SPDX-License-Identifier: Apache-2.0 */
/* NetworkPolicy v1 and AuthorizationPolicy, point by point: manifests in, the decision that the kernel would make out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile/compile.h"
#include "compile/explain.h"
#include "compile/names.h"
#include "manifests.h"
#include "util/addr.h"
#include "util/intern.h"

#define TCP IPPROTO_TCP
#define UDP IPPROTO_UDP
#define SCTP IPPROTO_SCTP
#define ICMP IPPROTO_ICMP
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* web and db run on node one, where policy is decided; front and back (another namespace) on node two. */
static const char cluster[] =
	"{apiVersion: v1, kind: Namespace, metadata: {name: default, labels: {team: a}}}\n"
	"---\n"
	"{apiVersion: v1, kind: Namespace, metadata: {name: other, labels: {team: b}}}\n"
	"---\n"
	"{apiVersion: v1, kind: Node, metadata: {name: one}, status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}}\n"
	"---\n"
	"{apiVersion: v1, kind: Node, metadata: {name: two}, status: {addresses: [{type: InternalIP, address: 192.168.0.2}]}}\n"
	"---\n"
	"{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: default, labels: {app: web, tier: edge}},\n"
	" spec: {nodeName: one, serviceAccountName: web, containers: [{name: c, ports: [{name: http, containerPort: 8080},\n"
	"  {name: query, containerPort: 53, protocol: UDP}]}]},\n"
	" status: {phase: Running, podIPs: [{ip: 10.0.0.1}, {ip: 'fd00::1'}]}}\n"
	"---\n"
	"{apiVersion: v1, kind: Pod, metadata: {name: db, namespace: default, labels: {app: db}},\n"
	" spec: {nodeName: one, containers: [{name: c, ports: [{name: http, containerPort: 9090}]}]},\n"
	" status: {phase: Running, podIPs: [{ip: 10.0.0.2}, {ip: 'fd00::2'}]}}\n"
	"---\n"
	"{apiVersion: v1, kind: Pod, metadata: {name: front, namespace: default, labels: {app: front}},\n"
	" spec: {nodeName: two, serviceAccountName: front, containers: [{name: c, ports: [{name: http, containerPort: 7070}]}]},\n"
	" status: {phase: Running, podIPs: [{ip: 10.0.1.1}, {ip: 'fd00::1:1'}]}}\n"
	"---\n"
	"{apiVersion: v1, kind: Pod, metadata: {name: back, namespace: other, labels: {app: front}},\n"
	" spec: {nodeName: two, serviceAccountName: back, containers: [{name: c}]},\n"
	" status: {phase: Running, podIPs: [{ip: 10.0.1.2}, {ip: 'fd00::1:2'}]}}\n";

struct world {
	struct model *model;
	struct compile *compile;
};

static void bind_pod(struct world *world, const char *namespace, const char *name, unsigned int number)
{
	struct binding binding = { .netns_cookie = 1000 + number, .ifindexes = { number }, .ifindex_count = 1 };

	assert_int_equal(compile_bind_pod(world->compile, namespace, name, &binding), 0);
}

static struct world world_new(const char *const *manifests, size_t count)
{
	struct compile_options options = { .node_name = "one" };
	struct weft_addr host;
	struct world world;

	assert_int_equal(model_new(&world.model), 0);
	assert_int_equal(compile_new(&world.compile, world.model, &options), 0);
	manifests_put(world.model, cluster);
	for (size_t i = 0; i < count; i++)
		manifests_put(world.model, manifests[i]);
	bind_pod(&world, "default", "web", 11);
	bind_pod(&world, "default", "db", 12);
	assert_int_equal(addr_parse("10.0.0.254", &host), 0);
	assert_true(compile_bind_host(world.compile, 1, &host, 1) >= 0);
	assert_true(compile_run(world.compile) > 0);
	return world;
}

static void world_free(struct world *world)
{
	compile_free(world->compile);
	model_free(world->model);
}

struct check {
	const char *from, *to;
	uint8_t protocol;
	uint16_t port;
	enum weft_reason reason;
	const char *rule;  /* what names_rule() says, NULL: any */
	uint8_t flags;
	const char *audit; /* the same of the rule that wants a record */
};

static const char *rule_text(const struct world *world, uint32_t rule)
{
	const struct rule_info *info = names_rule(world->compile, rule);

	return info ? info->text : "(unknown)";
}

static void check_one(const struct world *world, const struct check *check)
{
	struct explanation explanation;
	char reason[256] = "";
	const struct explain_side *side;

	print_message("    %s -> %s %u/%u\n", check->from, check->to, check->protocol, check->port);
	if (explain(world->compile, check->from, check->to, check->port, check->protocol, &explanation, reason) < 0)
		fail_msg("%s", reason);
	side = &explanation.sides[WEFT_INGRESS];
	if (!side->decided || explanation.sides[WEFT_EGRESS].reason)
		side = &explanation.sides[WEFT_EGRESS];
	assert_true(side->decided);
	assert_int_equal(explanation.reason, check->reason);
	if (check->rule)
		assert_string_equal(rule_text(world, side->rule), check->rule);
	assert_int_equal(side->flags, check->flags);
	if (check->audit)
		assert_string_equal(rule_text(world, side->audit_rule), check->audit);
	explanation_clear(&explanation);
}

static void check_all(const char *manifest, const struct check *checks, size_t count)
{
	struct world world = world_new(&manifest, manifest ? 1 : 0);

	for (size_t i = 0; i < count; i++)
		check_one(&world, &checks[i]);
	world_free(&world);
}
#define CHECK(manifest, ...)                                                                                           \
	do {                                                                                                           \
		static const struct check checks[] = { __VA_ARGS__ };                                                  \
		check_all(manifest, checks, COUNT(checks));                                                            \
	} while (0)

#define ALLOWED WEFT_REASON_NONE
#define DENIED WEFT_REASON_POLICY_DENIED
#define UNAUTHORIZED WEFT_REASON_AUTHORIZATION_DENIED
#define OPEN_TEXT "no policy selects the pod"
#define ISOLATED(name, direction) "NetworkPolicy default/" name " isolates the pod, no " direction " rule allows it"
#define NOT_AUTHORIZED(name) "AuthorizationPolicy default/" name " has to allow it, no rule does"

#define NETWORK_POLICY(name, spec)                                                                                     \
	"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: " name ", namespace: default}, spec: {" spec "}}\n"
#define AUTHORIZATION_IN(namespace, name, spec)                                                                        \
	"{apiVersion: mesh.weft.dev/v1, kind: AuthorizationPolicy, metadata: {name: " name ", namespace: " namespace "}, spec: {" spec "}}\n"
#define AUTHORIZATION(name, spec) AUTHORIZATION_IN("default", name, spec)
#define DRY_RUN(name, spec)                                                                                            \
	"{apiVersion: mesh.weft.dev/v1, kind: AuthorizationPolicy, metadata: {name: " name ", namespace: default,"     \
	" annotations: {mesh.weft.dev/dry-run: 'true'}}, spec: {" spec "}}\n"
#define WEB "podSelector: {matchLabels: {app: web}}"
#define SELECT_WEB "selector: {matchLabels: {app: web}}"

/* --- NetworkPolicy --- */

static void pods_that_nothing_selects_are_open(void **state)
{
	(void)state;
	CHECK(NULL,
	      { "default/front", "default/web", TCP, 80, ALLOWED, OPEN_TEXT },
	      { "8.8.8.8", "default/web", ICMP, 0, ALLOWED, OPEN_TEXT },
	      { "default/web", "8.8.8.8", UDP, 53, ALLOWED, OPEN_TEXT });
	CHECK(NETWORK_POLICY("a", "podSelector: {matchLabels: {app: nobody}}"),
	      { "default/front", "default/web", TCP, 80, ALLOWED, OPEN_TEXT });
}

static void an_empty_policy_isolates_ingress_alone(void **state)
{
	(void)state;
	CHECK(NETWORK_POLICY("a", "podSelector: {}"),
	      { "default/front", "default/web", TCP, 80, DENIED, ISOLATED("a", "ingress") },
	      { "other/back", "default/db", ICMP, 0, DENIED, ISOLATED("a", "ingress") },
	      { "fd00::99", "default/web", UDP, 53, DENIED, ISOLATED("a", "ingress") },
	      { "default/web", "default/front", TCP, 80, ALLOWED, OPEN_TEXT });
}

static void policy_types_say_which_directions_are_isolated(void **state)
{
	(void)state;
	CHECK(NETWORK_POLICY("a", WEB ", policyTypes: [Egress]"),
	      { "default/front", "default/web", TCP, 80, ALLOWED, OPEN_TEXT },
	      { "default/web", "default/front", TCP, 80, DENIED, ISOLATED("a", "egress") });
	/* egress rules given, policyTypes not: both */
	CHECK(NETWORK_POLICY("a", WEB ", egress: [{}]"),
	      { "default/front", "default/web", TCP, 80, DENIED, ISOLATED("a", "ingress") },
	      { "default/web", "default/front", TCP, 80, ALLOWED, "NetworkPolicy default/a egress rule 0" });
}

static void rules_of_a_direction_that_policy_types_leaves_out_mean_nothing(void **state)
{
	(void)state;
	CHECK(NETWORK_POLICY("a", WEB ", policyTypes: [Ingress], egress: [{}]")
	      "---\n" NETWORK_POLICY("b", WEB ", policyTypes: [Egress], ingress: [{}]"),
	      { "default/front", "default/web", TCP, 80, DENIED, ISOLATED("a", "ingress") },
	      { "default/web", "default/front", TCP, 80, DENIED, ISOLATED("b", "egress") });
}

static void a_rule_without_peers_and_ports_allows_everything(void **state)
{
	(void)state;
	CHECK(NETWORK_POLICY("a", WEB ", ingress: [{}]"),
	      { "8.8.8.8", "default/web", TCP, 80, ALLOWED, "NetworkPolicy default/a ingress rule 0" },
	      { "8.8.8.8", "default/web", ICMP, 0, ALLOWED, "NetworkPolicy default/a ingress rule 0" },
	      { "192.168.0.2", "default/web", 255, 0, ALLOWED });
}

static void selectors_of_pods_and_namespaces(void **state)
{
	(void)state;
	CHECK(NETWORK_POLICY("a", WEB ", ingress: [{from: [{podSelector: {matchLabels: {app: front}}}]}]"),
	      { "default/front", "default/web", TCP, 80, ALLOWED, "NetworkPolicy default/a ingress rule 0" },
	      { "other/back", "default/web", TCP, 80, DENIED }, /* the policy's own namespace */
	      { "default/db", "default/web", TCP, 80, DENIED });
	CHECK(NETWORK_POLICY("a", WEB ", ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}}}]}]"),
	      { "other/back", "default/web", TCP, 80, ALLOWED },
	      { "default/front", "default/web", TCP, 80, DENIED });
	/* both in one peer: and; in two peers: or */
	CHECK(NETWORK_POLICY("a", WEB ", ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: front}}}]}]"),
	      { "other/back", "default/web", TCP, 80, ALLOWED },
	      { "default/front", "default/web", TCP, 80, ALLOWED },
	      { "default/db", "default/web", TCP, 80, DENIED });
	CHECK(NETWORK_POLICY("a", WEB ", ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}}}, {podSelector: {}}]}]"),
	      { "other/back", "default/web", TCP, 80, ALLOWED },
	      { "default/db", "default/web", TCP, 80, ALLOWED },
	      { "8.8.8.8", "default/web", TCP, 80, DENIED },
	      { "192.168.0.2", "default/web", TCP, 80, DENIED });
	CHECK(NETWORK_POLICY("a", WEB ", ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: other}}}]}]"),
	      { "other/back", "default/web", TCP, 80, ALLOWED },
	      { "default/front", "default/web", TCP, 80, DENIED });
}

static void selectors_with_expressions(void **state)
{
	(void)state;
	CHECK(NETWORK_POLICY("a", "podSelector: {matchExpressions: [{key: tier, operator: Exists}]}, ingress: [{from: [{podSelector:"
				  " {matchExpressions: [{key: app, operator: In, values: [front, x]}]}}]}]"),
	      { "default/front", "default/web", TCP, 80, ALLOWED },
	      { "default/db", "default/web", TCP, 80, DENIED },
	      { "default/front", "default/db", TCP, 80, ALLOWED, OPEN_TEXT });
	CHECK(NETWORK_POLICY("a", "podSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}, ingress: [{from: "
				  "[{namespaceSelector: {matchExpressions: [{key: team, operator: NotIn, values: [b]}]}}]}]"),
	      { "other/back", "default/db", TCP, 80, DENIED },
	      { "default/front", "default/db", TCP, 80, ALLOWED },
	      { "other/back", "default/web", TCP, 80, ALLOWED, OPEN_TEXT });
}

static void blocks_of_addresses(void **state)
{
	(void)state;
	CHECK(NETWORK_POLICY("a", WEB ", ingress: [{from: [{ipBlock: {cidr: 8.0.0.0/8, except: [8.8.0.0/16]}}]}]"),
	      { "8.1.1.1", "default/web", TCP, 80, ALLOWED },
	      { "8.8.8.8", "default/web", TCP, 80, DENIED },
	      { "9.1.1.1", "default/web", TCP, 80, DENIED },
	      { "default/front", "default/web", TCP, 80, DENIED });
	/* pods and other nodes have addresses too */
	CHECK(NETWORK_POLICY("a", WEB ", ingress: [{from: [{ipBlock: {cidr: 10.0.1.1/32}}]}, {from: [{ipBlock: {cidr: 192.168.0.0/24}}]}]"),
	      { "default/front", "default/web", TCP, 80, ALLOWED, "NetworkPolicy default/a ingress rule 0" },
	      { "other/back", "default/web", TCP, 80, DENIED },
	      { "192.168.0.2", "default/web", TCP, 80, ALLOWED, "NetworkPolicy default/a ingress rule 1" });
	/* an address that is excepted here may be allowed elsewhere */
	CHECK(NETWORK_POLICY("a", WEB ", ingress: [{from: [{ipBlock: {cidr: 8.0.0.0/8, except: [8.8.0.0/16]}}]}]")
	      "---\n" NETWORK_POLICY("b", WEB ", ingress: [{from: [{ipBlock: {cidr: 8.8.8.0/24}}]}]"),
	      { "8.8.8.8", "default/web", TCP, 80, ALLOWED, "NetworkPolicy default/b ingress rule 0" },
	      { "8.8.9.8", "default/web", TCP, 80, DENIED },
	      { "8.7.9.8", "default/web", TCP, 80, ALLOWED, "NetworkPolicy default/a ingress rule 0" });
}

static void blocks_of_one_family_say_nothing_about_the_other(void **state)
{
	(void)state;
	CHECK(NETWORK_POLICY("a", WEB ", ingress: [{from: [{ipBlock: {cidr: '::/0'}}]}]"),
	      { "fd00::99", "default/web", TCP, 80, ALLOWED },
	      { "fd00::1:1", "default/web", TCP, 80, ALLOWED },
	      { "8.8.8.8", "default/web", TCP, 80, DENIED },
	      { "default/front", "default/web", TCP, 80, DENIED },
	      { "192.168.0.2", "default/web", TCP, 80, DENIED });
	CHECK(NETWORK_POLICY("a", WEB ", ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]"),
	      { "fd00::99", "default/web", TCP, 80, DENIED },
	      { "8.8.8.8", "default/web", TCP, 80, ALLOWED },
	      { "default/front", "default/web", TCP, 80, ALLOWED },
	      { "fd00::1:1", "fd00::1", TCP, 80, DENIED });
}

static void ports_and_ranges(void **state)
{
	(void)state;
	CHECK(NETWORK_POLICY("a", WEB ", ingress: [{ports: [{port: 80}, {port: 8000, endPort: 8999}, {protocol: UDP}, "
				      "{protocol: SCTP, port: 65535}]}]"),
	      { "8.8.8.8", "default/web", TCP, 79, DENIED },
	      { "8.8.8.8", "default/web", TCP, 80, ALLOWED },
	      { "8.8.8.8", "default/web", TCP, 81, DENIED },
	      { "8.8.8.8", "default/web", TCP, 7999, DENIED },
	      { "8.8.8.8", "default/web", TCP, 8000, ALLOWED },
	      { "8.8.8.8", "default/web", TCP, 8999, ALLOWED },
	      { "8.8.8.8", "default/web", TCP, 9000, DENIED },
	      { "8.8.8.8", "default/web", UDP, 0, ALLOWED },
	      { "8.8.8.8", "default/web", UDP, 65535, ALLOWED },
	      { "8.8.8.8", "default/web", SCTP, 65534, DENIED },
	      { "8.8.8.8", "default/web", SCTP, 65535, ALLOWED },
	      { "8.8.8.8", "default/web", ICMP, 0, DENIED },
	      { "8.8.8.8", "default/web", 18, 0, DENIED },
	      { "8.8.8.8", "default/web", 133, 0, DENIED });
}

static void named_ports_mean_those_of_the_pod_that_serves(void **state)
{
	(void)state;
	CHECK(NETWORK_POLICY("a", "podSelector: {}, ingress: [{ports: [{port: http}, {port: query, protocol: UDP}]}]"),
	      { "8.8.8.8", "default/web", TCP, 8080, ALLOWED },
	      { "8.8.8.8", "default/web", TCP, 9090, DENIED },
	      { "8.8.8.8", "default/db", TCP, 9090, ALLOWED },
	      { "8.8.8.8", "default/db", TCP, 8080, DENIED },
	      { "8.8.8.8", "default/web", UDP, 53, ALLOWED },
	      { "8.8.8.8", "default/web", TCP, 53, DENIED },
	      { "8.8.8.8", "default/db", UDP, 53, DENIED });
	CHECK(NETWORK_POLICY("a", WEB ", policyTypes: [Egress], egress: [{ports: [{port: http}]}]"),
	      { "default/web", "default/front", TCP, 7070, ALLOWED },
	      { "default/web", "default/front", TCP, 9090, DENIED },
	      { "default/web", "default/db", TCP, 9090, ALLOWED },
	      { "default/web", "other/back", TCP, 9090, DENIED },
	      { "default/web", "8.8.8.8", TCP, 9090, DENIED });
}

static void policies_add_up(void **state)
{
	(void)state;
	CHECK(NETWORK_POLICY("b", WEB ", ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]")
	      "---\n" NETWORK_POLICY("a", WEB ", ingress: [{ports: [{port: 80}, {port: 81}]}, {ports: [{port: 82}]}]"),
	      { "default/front", "default/web", TCP, 80, ALLOWED, "NetworkPolicy default/a ingress rule 0" },
	      { "default/front", "default/web", TCP, 82, ALLOWED, "NetworkPolicy default/a ingress rule 1" },
	      { "default/front", "default/web", TCP, 83, DENIED });
}

static void the_own_node_and_the_own_pod_always_reach_it(void **state)
{
	(void)state;
	CHECK(NETWORK_POLICY("a", "podSelector: {}, policyTypes: [Ingress, Egress]"),
	      { "192.168.0.1", "default/web", TCP, 80, ALLOWED, "traffic with the pod's own node is always allowed" },
	      { "10.0.0.254", "default/web", TCP, 80, ALLOWED, "traffic with the pod's own node is always allowed" },
	      { "192.168.0.2", "default/web", TCP, 80, DENIED },
	      { "default/web", "default/web", TCP, 80, ALLOWED, "a pod always reaches itself" },
	      { "default/web", "default/db", TCP, 80, DENIED });
}

static void both_ends_must_allow(void **state)
{
	(void)state;
	CHECK(NETWORK_POLICY("a", "podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]")
	      "---\n" NETWORK_POLICY("b", WEB ", policyTypes: [Egress], egress: [{ports: [{port: 5432}]}]"),
	      { "default/web", "default/db", TCP, 5432, ALLOWED, "NetworkPolicy default/a ingress rule 0" },
	      { "default/web", "default/db", TCP, 5433, DENIED, ISOLATED("b", "egress") },
	      { "default/front", "default/db", TCP, 5432, DENIED, ISOLATED("a", "ingress") });
}

/* --- AuthorizationPolicy --- */

static void allow_without_rules_denies_everything(void **state)
{
	(void)state;
	CHECK(AUTHORIZATION("a", ""),
	      { "default/front", "default/web", TCP, 80, UNAUTHORIZED, NOT_AUTHORIZED("a") },
	      { "default/front", "default/db", SCTP, 80, UNAUTHORIZED, NOT_AUTHORIZED("a") },
	      { "default/front", "default/web", ICMP, 0, ALLOWED, OPEN_TEXT }, /* it is about connections */
	      { "default/web", "default/front", TCP, 80, ALLOWED, OPEN_TEXT }); /* of those who serve */
	CHECK(AUTHORIZATION("a", "rules: [{}]"),
	      { "8.8.8.8", "default/web", TCP, 80, ALLOWED, "AuthorizationPolicy default/a rule 0" });
	CHECK(AUTHORIZATION("a", "action: DENY, rules: [{}]"),
	      { "default/front", "default/web", UDP, 1, UNAUTHORIZED, "AuthorizationPolicy default/a rule 0" });
}

static void deny_comes_before_allow(void **state)
{
	(void)state;
	CHECK(AUTHORIZATION("a", SELECT_WEB ", rules: [{}]")
	      "---\n" AUTHORIZATION("b", "action: DENY, rules: [{to: [{operation: {ports: ['81']}}]}]"),
	      { "default/front", "default/web", TCP, 80, ALLOWED, "AuthorizationPolicy default/a rule 0" },
	      { "default/front", "default/web", TCP, 81, UNAUTHORIZED, "AuthorizationPolicy default/b rule 0" },
	      { "default/front", "default/db", TCP, 80, ALLOWED }, /* no ALLOW policy selects it */
	      { "default/front", "default/db", TCP, 81, UNAUTHORIZED, "AuthorizationPolicy default/b rule 0" });
}

static void policies_of_the_root_namespace_are_for_all(void **state)
{
	(void)state;
	CHECK(AUTHORIZATION_IN("weft-system", "a", "action: DENY, rules: [{from: [{source: {namespaces: [other]}}]}]"),
	      { "other/back", "default/web", TCP, 80, UNAUTHORIZED, "AuthorizationPolicy weft-system/a rule 0" },
	      { "default/front", "default/web", TCP, 80, ALLOWED });
	CHECK(AUTHORIZATION_IN("other", "a", ""),
	      { "default/front", "default/web", TCP, 80, ALLOWED, OPEN_TEXT });
	CHECK(AUTHORIZATION_IN("weft-system", "a", SELECT_WEB),
	      { "default/front", "default/web", TCP, 80, UNAUTHORIZED },
	      { "default/front", "default/db", TCP, 80, ALLOWED, OPEN_TEXT });
}

static void principals(void **state)
{
	(void)state;
	CHECK(AUTHORIZATION("a", "rules: [{from: [{source: {principals: [cluster.local/ns/default/sa/front]}}]}]"),
	      { "default/front", "default/web", TCP, 80, ALLOWED },
	      { "other/back", "default/web", TCP, 80, UNAUTHORIZED },
	      { "8.8.8.8", "default/web", TCP, 80, UNAUTHORIZED });
	CHECK(AUTHORIZATION("a", "rules: [{from: [{source: {principals: ['cluster.local/ns/other/*', '*/sa/web']}}]}]"),
	      { "other/back", "default/web", TCP, 80, ALLOWED },
	      { "default/web", "default/db", TCP, 80, ALLOWED },
	      { "default/front", "default/web", TCP, 80, UNAUTHORIZED });
	CHECK(AUTHORIZATION("a", "rules: [{from: [{source: {principals: ['*']}}]}]"),
	      { "default/front", "default/web", TCP, 80, ALLOWED },
	      { "8.8.8.8", "default/web", TCP, 80, UNAUTHORIZED },
	      { "192.168.0.2", "default/web", TCP, 80, UNAUTHORIZED });
	CHECK(AUTHORIZATION("a", "action: DENY, rules: [{from: [{source: {notPrincipals: ['*']}}]}]"),
	      { "default/front", "default/web", TCP, 80, ALLOWED },
	      { "8.8.8.8", "default/web", TCP, 80, UNAUTHORIZED });
	CHECK(AUTHORIZATION("a", "rules: [{from: [{source: {notPrincipals: [cluster.local/ns/default/sa/front]}}]}]"),
	      { "default/front", "default/web", TCP, 80, UNAUTHORIZED },
	      { "other/back", "default/web", TCP, 80, ALLOWED },
	      { "8.8.8.8", "default/web", TCP, 80, ALLOWED });
}

static void namespaces_and_service_accounts(void **state)
{
	(void)state;
	CHECK(AUTHORIZATION("a", "rules: [{from: [{source: {namespaces: ['oth*']}}]}]"),
	      { "other/back", "default/web", TCP, 80, ALLOWED },
	      { "default/front", "default/web", TCP, 80, UNAUTHORIZED },
	      { "8.8.8.8", "default/web", TCP, 80, UNAUTHORIZED });
	CHECK(AUTHORIZATION("a", "rules: [{from: [{source: {notNamespaces: [other]}}]}]"),
	      { "other/back", "default/web", TCP, 80, UNAUTHORIZED },
	      { "default/front", "default/web", TCP, 80, ALLOWED },
	      { "8.8.8.8", "default/web", TCP, 80, ALLOWED });
	CHECK(AUTHORIZATION("a", "rules: [{from: [{source: {serviceAccounts: [front, other/back]}}]}]"),
	      { "other/back", "default/web", TCP, 80, ALLOWED },
	      { "default/front", "default/web", TCP, 80, ALLOWED },
	      { "default/web", "default/db", TCP, 80, UNAUTHORIZED },
	      { "8.8.8.8", "default/web", TCP, 80, UNAUTHORIZED });
	CHECK(AUTHORIZATION("a", "rules: [{from: [{source: {notServiceAccounts: [back]}}]}]"),
	      { "other/back", "default/web", TCP, 80, ALLOWED }, /* "back" of the policy's namespace is meant */
	      { "default/front", "default/web", TCP, 80, ALLOWED });
}

static void addresses_of_clients(void **state)
{
	(void)state;
	CHECK(AUTHORIZATION("a", "rules: [{from: [{source: {ipBlocks: [8.0.0.0/8, 10.0.1.1], notIpBlocks: [8.8.8.8]}}]}]"),
	      { "8.1.1.1", "default/web", TCP, 80, ALLOWED },
	      { "8.8.8.8", "default/web", TCP, 80, UNAUTHORIZED },
	      { "default/front", "default/web", TCP, 80, ALLOWED },
	      { "other/back", "default/web", TCP, 80, UNAUTHORIZED },
	      { "fd00::1:1", "default/web", TCP, 80, UNAUTHORIZED });
	CHECK(AUTHORIZATION("a", "rules: [{from: [{source: {remoteIpBlocks: ['fd00::/16']}}]}]"),
	      { "fd00::1:1", "default/web", TCP, 80, ALLOWED },
	      { "fe00::1:1", "default/web", TCP, 80, UNAUTHORIZED });
	CHECK(AUTHORIZATION("a", "action: DENY, rules: [{from: [{source: {notRemoteIpBlocks: [10.0.0.0/8]}}]}]"),
	      { "8.1.1.1", "default/web", TCP, 80, UNAUTHORIZED },
	      { "default/front", "default/web", TCP, 80, ALLOWED },
	      { "fd00::1:1", "default/web", TCP, 80, UNAUTHORIZED });
}

static void sources_operations_and_conditions_combine(void **state)
{
	(void)state;
	CHECK(AUTHORIZATION("a", "rules: [{from: [{source: {namespaces: [other], ipBlocks: [10.0.1.2]}}, {source: {serviceAccounts: [web]}}],"
				 " to: [{operation: {ports: ['80']}}, {operation: {notPorts: ['80', '81']}}]}]"),
	      { "other/back", "default/web", TCP, 80, ALLOWED },
	      { "other/back", "default/web", TCP, 81, UNAUTHORIZED },
	      { "other/back", "default/web", UDP, 82, ALLOWED },
	      { "other/back", "default/web", TCP, 65535, ALLOWED },
	      { "other/back", "default/web", TCP, 1, ALLOWED },
	      { "default/web", "default/db", TCP, 80, ALLOWED },
	      { "default/front", "default/db", TCP, 80, UNAUTHORIZED });
	CHECK(AUTHORIZATION("a", "rules: [{when: [{key: source.namespace, values: [default]}, {key: destination.port, notValues: ['81']},"
				 " {key: source.ip, values: [10.0.0.0/8]}]}]"),
	      { "default/front", "default/web", TCP, 80, ALLOWED },
	      { "default/front", "default/web", TCP, 81, UNAUTHORIZED },
	      { "other/back", "default/web", TCP, 80, UNAUTHORIZED },
	      { "fd00::1:1", "default/web", TCP, 80, UNAUTHORIZED });
	CHECK(AUTHORIZATION("a", "rules: [{when: [{key: source.principal, values: ['*/sa/front']}]}, {when: [{key: remote.ip, values: [8.8.8.8]}]}]"),
	      { "default/front", "default/web", TCP, 80, ALLOWED, "AuthorizationPolicy default/a rule 0" },
	      { "8.8.8.8", "default/web", TCP, 80, ALLOWED, "AuthorizationPolicy default/a rule 1" },
	      { "8.8.8.9", "default/web", TCP, 80, UNAUTHORIZED });
}

static void conditions_on_the_address_asked_for(void **state)
{
	(void)state;
	CHECK(AUTHORIZATION("a", "rules: [{when: [{key: destination.ip, values: [10.0.0.1, 'fd00::2']}]}]"),
	      { "default/front", "10.0.0.1", TCP, 80, ALLOWED },
	      { "default/front", "fd00::1", TCP, 80, UNAUTHORIZED },
	      { "default/front", "10.0.0.2", TCP, 80, UNAUTHORIZED },
	      { "default/front", "fd00::2", TCP, 80, ALLOWED },
	      { "8.8.8.8", "10.0.0.1", TCP, 80, ALLOWED },
	      { "fd00::99", "fd00::1", TCP, 80, UNAUTHORIZED },
	      { "192.168.0.2", "10.0.0.1", TCP, 80, ALLOWED });
}

static void fields_of_http_match_in_deny_and_never_in_allow(void **state)
{
	(void)state;
	CHECK(AUTHORIZATION("a", "rules: [{to: [{operation: {ports: ['80'], paths: [/x]}}]}, {to: [{operation: {ports: ['81']}}]}]"),
	      { "default/front", "default/web", TCP, 80, UNAUTHORIZED, NOT_AUTHORIZED("a") },
	      { "default/front", "default/web", TCP, 81, ALLOWED, "AuthorizationPolicy default/a rule 1" });
	CHECK(AUTHORIZATION("a", "action: DENY, rules: [{to: [{operation: {ports: ['80'], methods: [GET]}}]},"
				 " {from: [{source: {requestPrincipals: ['*'], namespaces: [other]}}]}]"),
	      { "default/front", "default/web", TCP, 80, UNAUTHORIZED, "AuthorizationPolicy default/a rule 0" },
	      { "default/front", "default/web", TCP, 81, ALLOWED },
	      { "other/back", "default/web", TCP, 81, UNAUTHORIZED, "AuthorizationPolicy default/a rule 1" });
	CHECK(AUTHORIZATION("a", "rules: [{when: [{key: 'request.headers[x]', values: [y]}]}]"),
	      { "default/front", "default/web", TCP, 80, UNAUTHORIZED, NOT_AUTHORIZED("a") });
	CHECK(AUTHORIZATION("a", "action: DENY, rules: [{when: [{key: 'request.headers[x]', values: [y]}]}]"),
	      { "default/front", "default/web", TCP, 80, UNAUTHORIZED, "AuthorizationPolicy default/a rule 0" });
}

static void audit_and_dry_run_change_nothing_but_are_noted(void **state)
{
	(void)state;
	CHECK(AUTHORIZATION("a", "action: AUDIT, rules: [{to: [{operation: {ports: ['80']}}]}]"),
	      { "default/front", "default/web", TCP, 80, ALLOWED, OPEN_TEXT, WEFT_RULE_AUDIT, "AuthorizationPolicy default/a rule 0" },
	      { "default/front", "default/web", TCP, 81, ALLOWED, OPEN_TEXT });
	CHECK(DRY_RUN("a", "action: DENY, rules: [{to: [{operation: {ports: ['80']}}]}]"),
	      { "default/front", "default/web", TCP, 80, ALLOWED, OPEN_TEXT, WEFT_RULE_WOULD_DENY, "AuthorizationPolicy default/a rule 0" },
	      { "default/front", "default/web", TCP, 81, ALLOWED, OPEN_TEXT });
	CHECK(DRY_RUN("a", "rules: [{to: [{operation: {ports: ['80']}}]}]"),
	      { "default/front", "default/web", TCP, 80, ALLOWED, OPEN_TEXT },
	      { "default/front", "default/web", TCP, 81, ALLOWED, OPEN_TEXT, WEFT_RULE_WOULD_DENY, NOT_AUTHORIZED("a") });
	CHECK(DRY_RUN("a", "rules: [{to: [{operation: {ports: ['80']}}]}]") "---\n" AUTHORIZATION("b", ""),
	      { "default/front", "default/web", TCP, 80, UNAUTHORIZED, NOT_AUTHORIZED("b"), WEFT_RULE_WOULD_ALLOW,
		"AuthorizationPolicy default/a rule 0" },
	      { "default/front", "default/web", TCP, 81, UNAUTHORIZED, NOT_AUTHORIZED("b") });
}

static void both_kinds_must_allow(void **state)
{
	(void)state;
	CHECK(NETWORK_POLICY("a", WEB ", ingress: [{ports: [{port: 80}, {port: 81}]}]")
	      "---\n" AUTHORIZATION("b", SELECT_WEB ", rules: [{to: [{operation: {ports: ['80', '82']}}]}]"),
	      { "default/front", "default/web", TCP, 80, ALLOWED, "NetworkPolicy default/a ingress rule 0" },
	      { "default/front", "default/web", TCP, 81, UNAUTHORIZED, NOT_AUTHORIZED("b") },
	      { "default/front", "default/web", TCP, 82, DENIED, ISOLATED("a", "ingress") });
}

static int count_report(enum model_kind kind, const char *namespace, const char *name, const char *text, void *context)
{
	bool custom = kind == MODEL_AUTHORIZATION_POLICY && !strcmp(name, "a") && strstr(text, "not applied");
	bool strict = kind == MODEL_PEER_AUTHENTICATION && !strcmp(name, "strict") && strstr(text, "not in force");

	assert_string_equal(namespace, "default");
	*(int *)context += custom || strict;
	return 0;
}

static void what_is_not_applied_is_reported(void **state)
{
	static const char *const manifests[] = {
		AUTHORIZATION("a", "action: CUSTOM, provider: {name: x}, rules: [{}]"),
		AUTHORIZATION("b", "targetRefs: [{kind: Service, group: '', name: x}]"),
		"{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: strict, namespace: default},"
		" spec: {mtls: {mode: STRICT}}}\n",
		"{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: permissive, namespace: default},"
		" spec: {mtls: {mode: PERMISSIVE}}}\n",
	};
	static const struct check check = { "default/front", "default/web", TCP, 80, ALLOWED, OPEN_TEXT };
	struct world world = world_new(manifests, 4);
	int reports = 0;

	(void)state;
	check_one(&world, &check);
	model_each_report(world.model, count_report, &reports);
	assert_int_equal(reports, 2); /* CUSTOM and STRICT, each once */
	world_free(&world);
}

/* --- the tables --- */

static const struct desired_workload *workload(const struct world *world, uint64_t cookie)
{
	return table_get(compile_desired(world->compile)->workloads, &cookie, NULL);
}

static void a_bound_pod_is_closed_until_the_model_knows_it(void **state)
{
	struct world world = world_new(NULL, 0);

	(void)state;
	bind_pod(&world, "default", "unheard-of", 20);
	assert_true(compile_run(world.compile) > 0);
	assert_int_equal(workload(&world, 1020)->subject, WEFT_SUBJECT_NOT_LOADED);
	assert_int_equal(workload(&world, 1011)->subject, WEFT_SUBJECT_OPEN);
	manifests_put(world.model, "{apiVersion: v1, kind: Pod, metadata: {name: unheard-of, namespace: default}, spec: {containers: []},"
				   " status: {phase: Running, podIPs: [{ip: 10.0.0.77}]}}");
	compile_run(world.compile);
	assert_int_equal(workload(&world, 1020)->subject, WEFT_SUBJECT_OPEN);
	model_delete(world.model, MODEL_POD, "default", "unheard-of");
	compile_run(world.compile);
	assert_int_equal(workload(&world, 1020)->subject, WEFT_SUBJECT_NOT_LOADED);
	compile_bind_pod(world.compile, "default", "unheard-of", NULL);
	compile_run(world.compile);
	assert_null(workload(&world, 1020));
	world_free(&world);
}

static void a_second_run_changes_nothing(void **state)
{
	static const char *const manifests[] = { NETWORK_POLICY("a", WEB ", ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]") };
	struct world world = world_new(manifests, 1);

	(void)state;
	assert_int_equal(compile_run(world.compile), 0);
	manifests_put(world.model, "{apiVersion: v1, kind: Service, metadata: {name: s, namespace: default},"
				   " spec: {clusterIP: 10.9.0.1, selector: {app: web}, ports: [{port: 80}]}}");
	assert_true(compile_run(world.compile) > 0);
	assert_int_equal(compile_run(world.compile), 0);
	world_free(&world);
}

static void a_pod_with_a_known_identity_costs_one_entry(void **state)
{
	static const char *const manifests[] = { NETWORK_POLICY("a", WEB ", ingress: [{from: [{podSelector: {}}]}]") };
	struct world world = world_new(manifests, 1);
	static const char pod[] = "{apiVersion: v1, kind: Pod, metadata: {name: n%d, namespace: default, labels: {app: many}, ownerReferences: "
				  "[{kind: StatefulSet, name: many, controller: true}]}, spec: {containers: []},"
				  " status: {phase: Running, podIPs: [{ip: 10.3.0.%d}]}}";
	const struct desired_address *first, *second;
	struct weft_addr addr;

	(void)state;
	manifests_putf(world.model, pod, 1, 1);
	assert_int_equal(compile_run(world.compile), 2); /* its address, and how web is to treat it */
	manifests_putf(world.model, pod, 2, 2);
	assert_int_equal(compile_run(world.compile), 1);
	addr_parse("10.3.0.1", &addr);
	first = table_get(compile_desired(world.compile)->addresses, &addr, NULL);
	addr_parse("10.3.0.2", &addr);
	second = table_get(compile_desired(world.compile)->addresses, &addr, NULL);
	assert_int_equal(first->identity, second->identity);
	model_delete(world.model, MODEL_POD, "default", "n1");
	assert_int_equal(compile_run(world.compile), 1);
	model_delete(world.model, MODEL_POD, "default", "n2");
	assert_int_equal(compile_run(world.compile), 2);
	world_free(&world);
}

static void names_outlive_what_they_name(void **state)
{
	static const char *const manifests[] = { NETWORK_POLICY("a", WEB ", ingress: [{from: [{podSelector: {}}]}]") };
	struct world world = world_new(manifests, 1);
	struct explanation explanation;
	const struct identity_info *identity;
	char reason[256];

	(void)state;
	assert_int_equal(explain(world.compile, "default/front", "default/web", 80, TCP, &explanation, reason), 0);
	explanation_clear(&explanation);
	model_delete(world.model, MODEL_POD, "default", "front");
	model_delete(world.model, MODEL_NETWORK_POLICY, "default", "a");
	compile_run(world.compile);
	identity = names_identity(world.compile, explanation.from.identity);
	assert_non_null(identity);
	assert_string_equal(identity->text, "default/front");
	assert_string_equal(identity->service_account, "front");
	assert_string_equal(names_rule(world.compile, explanation.sides[WEFT_INGRESS].rule)->text,
			    "NetworkPolicy default/a ingress rule 0");
	assert_null(names_rule(world.compile, 12345));
	assert_null(names_identity(world.compile, 12345));
	assert_string_equal(names_identity(world.compile, WEFT_IDENTITY_WORLD)->text, "world");
	world_free(&world);
}

static void pods_that_ended_have_no_address(void **state)
{
	struct world world = world_new(NULL, 0);
	struct weft_addr addr;

	(void)state;
	addr_parse("10.0.1.1", &addr);
	assert_non_null(table_get(compile_desired(world.compile)->addresses, &addr, NULL));
	manifests_put(world.model, "{apiVersion: v1, kind: Pod, metadata: {name: front, namespace: default}, spec: {containers: []},"
				   " status: {phase: Succeeded, podIPs: [{ip: 10.0.1.1}]}}");
	compile_run(world.compile);
	assert_null(table_get(compile_desired(world.compile)->addresses, &addr, NULL));
	/* its address goes to another while the first one is still being deleted */
	manifests_put(world.model, "{apiVersion: v1, kind: Pod, metadata: {name: front, namespace: default, deletionTimestamp: '2026-01-01T00:00:00Z'},"
				   " spec: {containers: []}, status: {phase: Running, podIPs: [{ip: 10.0.1.1}]}}");
	manifests_put(world.model, "{apiVersion: v1, kind: Pod, metadata: {name: zzz, namespace: default}, spec: {containers: []},"
				   " status: {phase: Running, podIPs: [{ip: 10.0.1.1}]}}");
	compile_run(world.compile);
	assert_string_equal(names_identity(world.compile, ((const struct desired_address *)table_get(
								  compile_desired(world.compile)->addresses, &addr, NULL))
								  ->identity)
				    ->text, "default/zzz");
	world_free(&world);
}

static int all_tests_end(void **state)
{
	(void)state;
	intern_free_all();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pods_that_nothing_selects_are_open),
		cmocka_unit_test(an_empty_policy_isolates_ingress_alone),
		cmocka_unit_test(policy_types_say_which_directions_are_isolated),
		cmocka_unit_test(rules_of_a_direction_that_policy_types_leaves_out_mean_nothing),
		cmocka_unit_test(a_rule_without_peers_and_ports_allows_everything),
		cmocka_unit_test(selectors_of_pods_and_namespaces),
		cmocka_unit_test(selectors_with_expressions),
		cmocka_unit_test(blocks_of_addresses),
		cmocka_unit_test(blocks_of_one_family_say_nothing_about_the_other),
		cmocka_unit_test(ports_and_ranges),
		cmocka_unit_test(named_ports_mean_those_of_the_pod_that_serves),
		cmocka_unit_test(policies_add_up),
		cmocka_unit_test(the_own_node_and_the_own_pod_always_reach_it),
		cmocka_unit_test(both_ends_must_allow),
		cmocka_unit_test(allow_without_rules_denies_everything),
		cmocka_unit_test(deny_comes_before_allow),
		cmocka_unit_test(policies_of_the_root_namespace_are_for_all),
		cmocka_unit_test(principals),
		cmocka_unit_test(namespaces_and_service_accounts),
		cmocka_unit_test(addresses_of_clients),
		cmocka_unit_test(sources_operations_and_conditions_combine),
		cmocka_unit_test(conditions_on_the_address_asked_for),
		cmocka_unit_test(fields_of_http_match_in_deny_and_never_in_allow),
		cmocka_unit_test(audit_and_dry_run_change_nothing_but_are_noted),
		cmocka_unit_test(both_kinds_must_allow),
		cmocka_unit_test(what_is_not_applied_is_reported),
		cmocka_unit_test(a_bound_pod_is_closed_until_the_model_knows_it),
		cmocka_unit_test(a_second_run_changes_nothing),
		cmocka_unit_test(a_pod_with_a_known_identity_costs_one_entry),
		cmocka_unit_test(names_outlive_what_they_name),
		cmocka_unit_test(pods_that_ended_have_no_address),
	};

	return cmocka_run_group_tests(tests, NULL, all_tests_end);
}
