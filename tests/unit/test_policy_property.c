/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random clusters, changed at random: after each change what is compiled bit by bit must be what would be compiled afresh,
 * and weft_decide() on the tables, explain() and the reference must agree on any question. Prints its seed;
 * WEFT_SEED=N runs another one, WEFT_STEPS=N more or fewer changes.
 */
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
#include "random_policy.h"
#include "reference.h"
#include "util/addr.h"
#include "util/intern.h"

#define DEFAULT_SEED 1
#define DEFAULT_STEPS 1500
#define QUESTIONS_PER_STEP 60
#define PODS 10
#define POLICIES 6 /* of each kind */
#define NAMESPACES 3
#define NODE "one"
#define TRUST_DOMAIN "mesh.example"

static const char *const namespaces[NAMESPACES] = { "alpha", "beta", "weft-system" };

/* Everything that is in the model, as text, so that a second model can be made of it. */
struct manifest {
	enum model_kind kind;
	const char *namespace, *name;
	char *text; /* NULL: not there now */
};

struct world {
	struct random random;
	struct model *model;
	struct compile *compile;
	unsigned long verdicts[WEFT_REASON_COUNT], flagged, decided; /* how often the reference said so */
	struct manifest namespaces[NAMESPACES], nodes[2], pods[PODS], network[POLICIES], authorization[POLICIES];
	bool bound[PODS];
};

static const struct compile_options options = { .node_name = NODE, .trust_domain = TRUST_DOMAIN };

static void manifest_set(struct model *model, struct manifest *manifest, char *text)
{
	if (text)
		manifests_put(model, text);
	else if (manifest->text)
		model_delete(model, manifest->kind, manifest->namespace, manifest->name);
	free(manifest->text);
	manifest->text = text;
}

static char *printed(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *printed(const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		abort();
	va_end(arguments);
	return text;
}

/* --- random objects --- */

static void change_namespace(struct world *world)
{
	static const char *const labels[] = { "", "team: x", "team: y", "team: x, env: prod" };
	struct manifest *manifest = &world->namespaces[random_below(&world->random, NAMESPACES)];

	if (random_chance(&world->random, 10))
		manifest_set(world->model, manifest, NULL);
	else
		manifest_set(world->model, manifest, printed("--- {apiVersion: v1, kind: Namespace, metadata: {name: %s, labels: {%s}}}\n",
							     manifest->name, labels[random_below(&world->random, 4)]));
}

static void change_pod(struct world *world)
{
	static const char *const apps[] = { "app: u", "app: v", "app: w, tier: '1'", "tier: '2'", "" };
	static const char *const ports[] = { "", "{name: http, containerPort: 80}", "{name: http, containerPort: 81}",
					     "{name: http, containerPort: 80}, {name: dns, containerPort: 53, protocol: UDP}",
					     "{name: dns, containerPort: 53}, {containerPort: 8000}" };
	static const char *const phases[] = { "Running", "Running", "Running", "Running", "Running", "Pending", "Succeeded" };
	struct random *random = &world->random;
	unsigned int index = random_below(random, PODS);
	struct manifest *manifest = &world->pods[index];
	char v6[64] = "";

	if (random_chance(random, 15)) {
		manifest_set(world->model, manifest, NULL);
		return;
	}
	if (random_chance(random, 60))
		snprintf(v6, sizeof(v6), ", {ip: 'fd00::%x:%x'}", random_below(random, 2), index + 1);
	if (random_chance(random, 4)) {
		manifest_set(world->model, manifest,
			     printed("--- {apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: %s}, spec: {hostNetwork: true, "
				     "containers: []}, status: {phase: Running, podIPs: [{ip: 192.168.0.2}]}}\n",
				     manifest->name, manifest->namespace));
		return;
	}
	manifest_set(world->model, manifest,
		     printed("--- {apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: %s, labels: {%s}, ownerReferences: [{kind: "
			     "StatefulSet, name: s, controller: true}]}, spec: {serviceAccountName: %s, containers: [{name: c, ports: [%s]}]},"
			     " status: {phase: %s, podIPs: [{ip: 10.0.%u.%u}%s]}}\n",
			     manifest->name, manifest->namespace, apps[random_below(random, 5)],
			     random_chance(random, 50) ? "default" : "special", ports[random_below(random, 5)],
			     phases[random_below(random, 7)], random_below(random, 2), index + 1, v6));
}

static void change_policy(struct world *world)
{
	bool network = random_chance(&world->random, 50);
	struct manifest *manifest = &(network ? world->network : world->authorization)[random_below(&world->random, POLICIES)];
	struct vocabulary vocabulary;

	if (random_chance(&world->random, 25)) {
		manifest_set(world->model, manifest, NULL);
		return;
	}
	vocabulary_from(&vocabulary, world->model);
	for (uint16_t port = 79; port < 83; port++)
		vocabulary_add_port(&vocabulary, port);
	manifest_set(world->model, manifest,
		     (network ? random_network_policy : random_authorization_policy)(&world->random, &vocabulary, manifest->namespace,
										     manifest->name));
}

static void bind_pod(struct compile *compile, const struct manifest *manifest, size_t index, bool bound)
{
	struct binding binding = { .netns_cookie = 100 + index, .ifindexes = { 10 + (uint32_t)index }, .ifindex_count = 1 };

	assert_int_equal(compile_bind_pod(compile, manifest->namespace, manifest->name, bound ? &binding : NULL), 0);
}

static void change_binding(struct world *world)
{
	unsigned int index = random_below(&world->random, PODS);

	world->bound[index] = !world->bound[index];
	bind_pod(world->compile, &world->pods[index], index, world->bound[index]);
}

static void change_something(struct world *world)
{
	unsigned int what = random_below(&world->random, 100);

	if (what < 50)
		change_policy(world);
	else if (what < 85)
		change_pod(world);
	else if (what < 92)
		change_namespace(world);
	else
		change_binding(world);
}

/* --- the world --- */

static void name_all(struct world *world)
{
	for (size_t i = 0; i < NAMESPACES; i++)
		world->namespaces[i] = (struct manifest){ MODEL_NAMESPACE, "", namespaces[i], NULL };
	for (size_t i = 0; i < PODS; i++)
		world->pods[i] = (struct manifest){ MODEL_POD, namespaces[i % NAMESPACES], intern((char[]){ 'p', (char)('a' + i), 0 }), NULL };
	for (size_t i = 0; i < POLICIES; i++) {
		const char *name = intern((char[]){ 'n', (char)('a' + i), 0 });

		world->network[i] = (struct manifest){ MODEL_NETWORK_POLICY, namespaces[i % NAMESPACES], name, NULL };
		world->authorization[i] = (struct manifest){ MODEL_AUTHORIZATION_POLICY, namespaces[i % NAMESPACES], name, NULL };
	}
	world->nodes[0] = (struct manifest){ MODEL_NODE, "", NODE, NULL };
	world->nodes[1] = (struct manifest){ MODEL_NODE, "", "two", NULL };
}

static void world_start(struct world *world, uint64_t seed)
{
	*world = (struct world){ .random = random_start(seed) };
	assert_int_equal(model_new(&world->model), 0);
	assert_int_equal(compile_new(&world->compile, world->model, &options), 0);
	name_all(world);
	for (int i = 0; i < 2; i++)
		manifest_set(world->model, &world->nodes[i],
			     printed("--- {apiVersion: v1, kind: Node, metadata: {name: %s}, status: {addresses: [{type: InternalIP, "
				     "address: 192.168.0.%d}]}}\n", world->nodes[i].name, i + 1));
	for (size_t i = 0; i < PODS / 2; i++) {
		world->bound[i] = true;
		bind_pod(world->compile, &world->pods[i], i, true);
	}
	for (int i = 0; i < 40; i++)
		change_something(world);
}

typedef void manifest_fn(const struct manifest *manifest, void *context);

static void each_manifest(const struct world *world, manifest_fn *each, void *context)
{
	const struct {
		const struct manifest *items;
		size_t count;
	} lists[] = { { world->authorization, POLICIES }, { world->pods, PODS }, { world->nodes, 2 }, { world->network, POLICIES },
		      { world->namespaces, NAMESPACES } };

	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
		for (size_t j = 0; j < lists[i].count; j++)
			if (lists[i].items[j].text)
				each(&lists[i].items[j], context);
}

static void put_again(const struct manifest *manifest, void *context) { manifests_put(context, manifest->text); }

static void print_manifest(const struct manifest *manifest, void *context)
{
	(void)context;
	print_error("%s", manifest->text);
}

static void free_manifest(const struct manifest *manifest, void *context)
{
	(void)context;
	free(manifest->text);
}

static void world_end(struct world *world)
{
	compile_free(world->compile);
	model_free(world->model);
	each_manifest(world, free_manifest, NULL);
}

/* --- bit by bit against afresh --- */

struct comparison {
	const struct table *other;
	const char *name;
	bool same;
};

static int compare_entry(const void *key, const void *value, size_t size, void *context)
{
	struct comparison *comparison = context;
	size_t other_size;
	const void *other = table_get(comparison->other, key, &other_size);

	if (other && other_size == size && !memcmp(other, value, size))
		return 0;
	print_error("%s: an entry differs from what is compiled afresh%s\n", comparison->name, other ? "" : ": it should not be there");
	comparison->same = false;
	return 1;
}

static bool same_table(const struct table *table, const struct table *fresh, const char *name)
{
	struct comparison comparison = { .other = fresh, .name = name, .same = true };

	table_each(table, compare_entry, &comparison);
	if (comparison.same && table_count(table) != table_count(fresh)) {
		print_error("%s: %zu entries, %zu when compiled afresh\n", name, table_count(table), table_count(fresh));
		return false;
	}
	return comparison.same;
}

static bool same_as_fresh(struct world *world)
{
	const struct desired *desired = compile_desired(world->compile), *fresh;
	struct compile *compile;
	struct model *model;
	bool same;

	assert_int_equal(model_new(&model), 0);
	each_manifest(world, put_again, model);
	assert_int_equal(compile_new(&compile, model, &options), 0);
	for (size_t i = 0; i < PODS; i++)
		if (world->bound[i])
			bind_pod(compile, &world->pods[i], i, true);
	assert_true(compile_run(compile) >= 0);
	fresh = compile_desired(compile);
	same = same_table(desired->workloads, fresh->workloads, "workloads") &&
	       same_table(desired->interfaces, fresh->interfaces, "interfaces") &&
	       same_table(desired->addresses, fresh->addresses, "addresses") &&
	       same_table(desired->prefixes, fresh->prefixes, "prefixes") &&
	       same_table(desired->policies, fresh->policies, "policies");
	compile_free(compile);
	model_free(model);
	return same;
}

/* --- the kernel's procedure on the tables laid out as the maps are, in buffer 1 --- */

#define RULES_MAX 65536
#define POLICIES_MAX 4096

static struct {
	const struct desired *desired;
	struct weft_rule rules[RULES_MAX];
	uint32_t rule_count;
	struct {
		struct weft_policy_key key;
		struct weft_policy value;
	} policies[POLICIES_MAX];
	size_t policy_count;
	struct weft_address address;
	struct weft_prefix_value prefix;
} maps;

static const struct weft_address *weft_find_address(const struct weft_addr *addr)
{
	const struct desired_address *found = table_get(maps.desired->addresses, addr, NULL);

	if (found)
		maps.address = (struct weft_address){ { 0, found->identity }, found->ifindex, found->flags };
	return found ? &maps.address : NULL;
}

static int longest(const void *key, const void *value, size_t size, void *context)
{
	const struct weft_prefix *prefix = key, *wanted = ((const struct weft_prefix **)context)[0];
	const struct weft_prefix **best = &((const struct weft_prefix **)context)[1];

	(void)size;
	if (cidr_contains(&prefix->addr, (uint8_t)prefix->length, &wanted->addr) && (!*best || (*best)->length < prefix->length)) {
		*best = prefix;
		maps.prefix = (struct weft_prefix_value){ { 0, ((const struct desired_prefix *)value)->identity } };
	}
	return 0;
}

static const struct weft_prefix_value *weft_find_prefix(const struct weft_prefix *wanted)
{
	const struct weft_prefix *search[2] = { wanted, NULL };

	table_each(maps.desired->prefixes, longest, search);
	return search[1] ? &maps.prefix : NULL;
}

static const struct weft_policy *weft_find_policy(const struct weft_policy_key *key)
{
	for (size_t i = 0; i < maps.policy_count; i++)
		if (!memcmp(&maps.policies[i].key, key, sizeof(*key)))
			return &maps.policies[i].value;
	return NULL;
}

static const struct weft_rule *weft_find_rule(uint32_t index) { return index < maps.rule_count ? &maps.rules[index] : NULL; }

#include "weft/decide.h"

static int lay_out(const void *key, const void *value, size_t size, void *context)
{
	const struct weft_rule *rules = value;
	uint32_t count = (uint32_t)(size / sizeof(*rules));

	(void)context;
	assert_true(count > 0 && rules[0].start == 0);
	for (uint32_t i = 1; i < count; i++)
		assert_true(rules[i].start > rules[i - 1].start && rules[i].start < 0x1000000);
	assert_true(maps.rule_count + count <= RULES_MAX && maps.policy_count < POLICIES_MAX);
	memcpy(&maps.rules[maps.rule_count], rules, size);
	memcpy(&maps.policies[maps.policy_count].key, key, sizeof(struct weft_policy_key));
	maps.policies[maps.policy_count++].value = (struct weft_policy){ { { 0, 0 }, { maps.rule_count, count } } };
	maps.rule_count += count;
	return 0;
}

static void fill_maps(const struct desired *desired)
{
	maps.desired = desired;
	maps.rule_count = 0;
	maps.policy_count = 0;
	table_each(desired->policies, lay_out, NULL);
}

/* --- questions --- */

struct question {
	struct weft_addr from, to;
	uint8_t protocol;
	uint16_t port;
};

static struct weft_addr some_address(struct random *random)
{
	static const char *const others[] = { "192.168.0.1", "192.168.0.2", "8.8.8.8", "10.0.0.200", "10.0.1.250", "fd00::99", "2001:db8::1" };
	struct weft_addr addr;
	char text[ADDR_TEXT_MAX];

	if (random_chance(random, 75))
		snprintf(text, sizeof(text), random_chance(random, 60) ? "10.0.%u.%u" : "fd00::%x:%x", random_below(random, 2),
			 random_below(random, PODS) + 1);
	else
		snprintf(text, sizeof(text), "%s", others[random_below(random, 7)]);
	assert_int_equal(addr_parse(text, &addr), 0);
	return addr;
}

static struct question some_question(struct random *random)
{
	static const uint8_t protocols[] = { IPPROTO_TCP, IPPROTO_TCP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_UDP, IPPROTO_SCTP, IPPROTO_ICMP };
	static const uint16_t ports[] = { 79, 80, 81, 82, 83, 53, 8000, 1, 65535 };
	struct question question = { .from = some_address(random), .protocol = protocols[random_below(random, 7)] };

	do
		question.to = some_address(random);
	while (addr_is_v4(&question.to) != addr_is_v4(&question.from));
	if (question.protocol != IPPROTO_ICMP)
		question.port = random_chance(random, 90) ? ports[random_below(random, 9)] : (uint16_t)random_below(random, 65536);
	return question;
}

static bool is_bound(const struct world *world, const struct pod_object *pod)
{
	for (size_t i = 0; i < PODS; i++)
		if (world->bound[i] && world->pods[i].name == pod->meta.name)
			return true;
	return false;
}

static bool agrees(const struct world *world, const struct reference_verdict *reference, uint8_t reason, uint8_t flags, uint32_t rule,
		   uint32_t audit, const char *who, enum weft_direction direction)
{
	const struct rule_info *info = names_rule(world->compile, rule), *audit_info = names_rule(world->compile, audit);
	const char *text = info ? info->text : "(unknown)", *audit_text = audit && audit_info ? audit_info->text : "";

	if (reason == reference->reason && flags == reference->flags && !strcmp(text, reference->rule) &&
	    !strcmp(audit_text, reference->audit))
		return true;
	print_error("%s, %s: reason %u flags %u rule \"%s\" audit \"%s\"\nreference: reason %u flags %u rule \"%s\" audit \"%s\"\n", who,
		    direction == WEFT_EGRESS ? "egress" : "ingress", reason, flags, text, audit_text, reference->reason, reference->flags,
		    reference->rule, reference->audit);
	return false;
}

static bool kernel_agrees(const struct world *world, const struct question *question, const struct pod_object *pod,
			  enum weft_direction direction, const struct reference_verdict *reference)
{
	const struct weft_addr *peer = direction == WEFT_EGRESS ? &question->to : &question->from;
	struct weft_workload workload = { 0 };
	struct weft_decision decision;

	for (size_t i = 0; i < PODS; i++) {
		uint64_t cookie = 100 + i;
		const struct desired_workload *desired = table_get(maps.desired->workloads, &cookie, NULL);

		if (world->pods[i].name == pod->meta.name && desired)
			workload = (struct weft_workload){ .subject = { 0, desired->subject }, .flags = desired->flags };
	}
	decision = weft_decide(2, &workload, direction, peer, question->protocol, question->port);
	return agrees(world, reference, decision.reason, decision.flags, decision.rule, decision.audit_rule, "weft_decide", direction);
}

static bool ask_side(struct world *world, const struct question *question, const struct explanation *explanation,
		     enum weft_direction direction)
{
	const struct reference_cluster cluster = { world->model, NODE, "weft-system", TRUST_DOMAIN };
	const struct weft_addr *own = direction == WEFT_EGRESS ? &question->from : &question->to;
	const struct weft_addr *peer = direction == WEFT_EGRESS ? &question->to : &question->from;
	const struct pod_object *pod = reference_pod_at(&cluster, own);
	const struct explain_side *side = &explanation->sides[direction];
	struct reference_verdict reference;

	if (!pod || !is_bound(world, pod)) {
		if (side->decided)
			print_error("explain decides about what is not a pod of this node\n");
		return !side->decided;
	}
	reference_decide(&cluster, pod, own, direction, peer, question->protocol, question->port, &reference);
	world->verdicts[reference.reason]++;
	world->flagged += reference.flags != 0;
	world->decided++;
	if (!agrees(world, &reference, side->reason, side->flags, side->rule, side->audit_rule, "explain", direction))
		return false;
	if (reference_pod_at(&cluster, peer) == pod)
		return true; /* the programs see to that before they decide */
	return kernel_agrees(world, question, pod, direction, &reference);
}

static bool ask(struct world *world, const struct question *question)
{
	char from[ADDR_TEXT_MAX], to[ADDR_TEXT_MAX], reason[256];
	struct explanation explanation;
	bool good;

	addr_format(&question->from, from);
	addr_format(&question->to, to);
	if (explain(world->compile, from, to, question->port, question->protocol, &explanation, reason) < 0) {
		print_error("explain: %s\n", reason);
		return false;
	}
	good = ask_side(world, question, &explanation, WEFT_EGRESS) && ask_side(world, question, &explanation, WEFT_INGRESS);
	explanation_clear(&explanation);
	if (!good)
		print_error("question: %s -> %s protocol %u port %u\n", from, to, question->protocol, question->port);
	return good;
}

static bool ask_many(struct world *world)
{
	fill_maps(compile_desired(world->compile));
	for (int i = 0; i < QUESTIONS_PER_STEP; i++) {
		struct question question = some_question(&world->random);

		if (!ask(world, &question))
			return false;
	}
	return true;
}

static unsigned long number_from(const char *variable, unsigned long initial)
{
	const char *text = getenv(variable);

	return text ? strtoul(text, NULL, 10) : initial;
}

static void tables_explain_and_reference_agree(void **state)
{
	unsigned long seed = number_from("WEFT_SEED", DEFAULT_SEED), steps = number_from("WEFT_STEPS", DEFAULT_STEPS);
	struct world world;

	(void)state;
	print_message("seed %lu, %lu steps of %d questions\n", seed, steps, QUESTIONS_PER_STEP);
	world_start(&world, seed);
	for (unsigned long step = 0; step < steps; step++) {
		int changes = 1 + (int)random_below(&world.random, 3);

		while (changes--)
			change_something(&world);
		assert_true(compile_run(world.compile) >= 0);
		if (ask_many(&world) && same_as_fresh(&world))
			continue;
		each_manifest(&world, print_manifest, NULL);
		fail_msg("seed %lu, step %lu", seed, step);
	}
	print_message("%lu decisions: %lu allowed, %lu denied by NetworkPolicy, %lu by AuthorizationPolicy, %lu noted\n", world.decided,
		      world.verdicts[WEFT_REASON_NONE], world.verdicts[WEFT_REASON_POLICY_DENIED],
		      world.verdicts[WEFT_REASON_AUTHORIZATION_DENIED], world.flagged);
	/* a generator whose policies all say the same would prove nothing */
	assert_true(world.verdicts[WEFT_REASON_NONE] > world.decided / 20);
	assert_true(world.verdicts[WEFT_REASON_POLICY_DENIED] > world.decided / 20);
	assert_true(world.verdicts[WEFT_REASON_AUTHORIZATION_DENIED] > world.decided / 50);
	assert_true(world.flagged > world.decided / 100);
	world_end(&world);
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
		cmocka_unit_test(tables_explain_and_reference_agree),
	};

	return cmocka_run_group_tests(tests, NULL, all_tests_end);
}
