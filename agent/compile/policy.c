/* SPDX-License-Identifier: Apache-2.0 */
#include "compile/policy.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile/ids.h"
#include "compile/run.h"
#include "util/hash.h"
#include "util/intern.h"
#include "util/log.h"

#define ORIGIN "compile"
#define DIRECTIONS 2

struct rule {
	struct rule_match match;
	uint32_t id;
	enum run_layer layer;
	bool destination_ip;
	struct port_range *ranges; /* AuthorizationPolicy; a NetworkPolicy's depend on what its named ports mean */
	size_t range_count;
	uint64_t *matches; /* by identity slot; NULL: not computed */
	size_t match_words;
};

struct policy {
	struct { /* interned, so the key is compared as bytes */
		const char *namespace, *name;
		uintptr_t kind; /* enum model_kind */
	} key;
	const struct object *object;
	bool changed; /* since the last run */
	bool destination_ip, named_ports[DIRECTIONS];
	struct rule *rules[DIRECTIONS];
	size_t rule_count[DIRECTIONS];
};

struct subject {
	uint32_t number;
	size_t users;
	bool stale; /* to be compiled whole */
	bool named_ports[DIRECTIONS];
	struct run_terms terms[DIRECTIONS];
	struct rule **rules[DIRECTIONS]; /* of all its policies, in order of precedence */
	size_t rule_count[DIRECTIONS];
	struct container_port *ports;
	size_t port_count;
	struct weft_addr *addresses;
	size_t address_count;
	struct subject *next_unused;
};

struct policies {
	struct model *model;
	const char *root_namespace;
	struct identities *identities;
	struct rule_names *names;
	struct desired *desired;
	struct policy **sorted; /* by kind, namespace, name */
	size_t count, room;
	struct hash_set subjects;
	struct ids *subject_ids;
	struct run *run;
	bool selection_changed;
	bool namespaces_changed;
	bool said_too_long;
};

/* --- policies as they come from the model --- */

static const struct network_policy_object *as_network(const struct object *object)
{
	return object->kind == MODEL_NETWORK_POLICY ? (const struct network_policy_object *)object : NULL;
}

static const struct authorization_policy_object *as_authorization(const struct object *object)
{
	return (const struct authorization_policy_object *)object;
}

static int count_cidr(const struct cidr *cidr, void *context) { return identities_add_cidr(context, cidr); }

static int uncount_cidr(const struct cidr *cidr, void *context)
{
	identities_remove_cidr(context, cidr);
	return 0;
}

static void policy_free(struct policies *policies, struct policy *policy)
{
	if (!policy)
		return;
	for (size_t direction = 0; direction < DIRECTIONS; direction++) {
		for (size_t i = 0; i < policy->rule_count[direction]; i++) {
			struct rule *rule = &policy->rules[direction][i];

			rule_names_put(policies->names, rule->id);
			rule_each_cidr(&rule->match, uncount_cidr, policies->identities);
			free(rule->ranges);
			free(rule->matches);
		}
		free(policy->rules[direction]);
	}
	free(policy);
}

/* The ports of an AuthorizationPolicy rule as ranges, for each of the protocols that such policies are about. */
static int range_add(struct rule *rule, uint16_t first, uint16_t last)
{
	static const uint8_t protocols[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP };
	struct port_range *grown =
		realloc(rule->ranges, (rule->range_count + sizeof(protocols)) * sizeof(*rule->ranges));

	if (!grown)
		return -ENOMEM;
	rule->ranges = grown;
	for (size_t i = 0; i < sizeof(protocols); i++)
		rule->ranges[rule->range_count++] = (struct port_range){ run_start_of(protocols[i], first),
									 run_start_of(protocols[i], last) };
	return 0;
}

static int compare_ports(const void *a, const void *b) { return *(const uint16_t *)a - *(const uint16_t *)b; }

/* The answer changes only at a port that the rule names, or behind one. */
static int authorization_ranges(struct rule *rule)
{
	size_t count = rule_named_ports(&rule->match, NULL);
	uint16_t *ports = calloc(count + 1, sizeof(*ports));
	uint32_t next = 0;
	int error = 0;

	if (!ports)
		return -ENOMEM;
	rule_named_ports(&rule->match, ports);
	qsort(ports, count, sizeof(*ports), compare_ports);
	for (size_t i = 0; !error && i < count; i++) {
		if (ports[i] < next)
			continue; /* named twice */
		if (ports[i] > next && rule_matches_port(&rule->match, (uint16_t)next))
			error = range_add(rule, (uint16_t)next, ports[i] - 1);
		if (!error && rule_matches_port(&rule->match, ports[i]))
			error = range_add(rule, ports[i], ports[i]);
		next = ports[i] + 1u;
	}
	if (!error && next <= UINT16_MAX && rule_matches_port(&rule->match, (uint16_t)next))
		error = range_add(rule, (uint16_t)next, UINT16_MAX);
	free(ports);
	return error;
}

static enum run_layer layer_of(const struct authorization_policy_object *object)
{
	switch (object->action) {
	case AUTHORIZE_DENY:
		return object->dry_run ? RUN_DRY_DENY : RUN_DENY;
	case AUTHORIZE_AUDIT:
		return RUN_AUDIT; /* it decides nothing, so a dry run is no different */
	default:
		return object->dry_run ? RUN_DRY_ALLOW : RUN_ALLOW;
	}
}

static bool names_ports(const struct network_policy_rule *rule)
{
	for (size_t i = 0; i < rule->port_count; i++)
		if (rule->ports[i].port.name)
			return true;
	return false;
}

/* What both kinds have in common, once rule->match is set. */
static int rule_register(struct policies *policies, struct policy *policy, struct rule *rule, size_t direction, size_t index)
{
	bool network = rule->match.network != NULL;

	rule->match.namespace = policy->key.namespace;
	rule->id = rule_names_get(policies->names, network ? RULE_NETWORK_POLICY : RULE_AUTHORIZATION_POLICY,
				  policy->key.namespace, policy->key.name, (enum weft_direction)direction, (int)index);
	if (!rule->id)
		return -ENOMEM;
	return rule_each_cidr(&rule->match, count_cidr, policies->identities);
}

static int policy_fill_network(struct policies *policies, struct policy *policy, const struct network_policy_object *object)
{
	const bool applies[DIRECTIONS] = { [WEFT_INGRESS] = object->ingress, [WEFT_EGRESS] = object->egress };

	for (size_t direction = 0; direction < DIRECTIONS; direction++) {
		if (!applies[direction])
			continue; /* rules of a direction that policyTypes leaves out mean nothing */
		policy->rules[direction] = calloc(object->rule_count[direction] + 1, sizeof(struct rule));
		if (!policy->rules[direction])
			return -ENOMEM;
		for (size_t i = 0; i < object->rule_count[direction]; i++) {
			struct rule *rule = &policy->rules[direction][policy->rule_count[direction]++];

			rule->match.network = &object->rules[direction][i];
			rule->layer = RUN_NETWORK;
			policy->named_ports[direction] |= names_ports(rule->match.network);
			if (rule_register(policies, policy, rule, direction, i) < 0)
				return -ENOMEM;
		}
	}
	return 0;
}

static int policy_fill_authorization(struct policies *policies, struct policy *policy,
				     const struct authorization_policy_object *object)
{
	policy->rules[WEFT_INGRESS] = calloc(object->rule_count + 1, sizeof(struct rule));
	if (!policy->rules[WEFT_INGRESS])
		return -ENOMEM;
	for (size_t i = 0; i < object->rule_count; i++) {
		struct rule *rule = &policy->rules[WEFT_INGRESS][policy->rule_count[WEFT_INGRESS]++];

		rule->match.authorization = &object->rules[i];
		rule->match.lenient = object->action != AUTHORIZE_ALLOW;
		rule->layer = layer_of(object);
		rule->destination_ip = rule_has_destination_ip(&rule->match);
		policy->destination_ip |= rule->destination_ip;
		if (rule_register(policies, policy, rule, WEFT_INGRESS, i) < 0 || authorization_ranges(rule) < 0)
			return -ENOMEM;
	}
	return 0;
}

static struct policy *policy_new(struct policies *policies, const struct object *object)
{
	struct policy *policy = calloc(1, sizeof(*policy));
	int error;

	if (!policy)
		return NULL;
	policy->key.namespace = object->namespace;
	policy->key.name = object->name;
	policy->key.kind = object->kind;
	policy->object = object;
	policy->changed = true;
	if (as_network(object))
		error = policy_fill_network(policies, policy, as_network(object));
	else
		error = policy_fill_authorization(policies, policy, as_authorization(object));
	if (error < 0) {
		policy_free(policies, policy);
		return NULL;
	}
	return policy;
}

/* Fields that cannot be decided at L4 were reported by whoever decoded the policy. */
static int report(struct policies *policies, const struct authorization_policy_object *object)
{
	const struct object *meta = &object->meta;

	model_clear_reports(policies->model, meta->kind, meta->namespace, meta->name, ORIGIN);
	return object->action != AUTHORIZE_CUSTOM ? 0 :
		       model_report(policies->model, meta->kind, meta->namespace, meta->name, ORIGIN,
				    "action CUSTOM is not supported: the policy is not applied");
}

static bool in_force(const struct object *object)
{
	if (!object || as_network(object))
		return object != NULL;
	return as_authorization(object)->action != AUTHORIZE_CUSTOM && !as_authorization(object)->targets_services;
}

static int compare_objects(const struct object *a, const struct object *b)
{
	int difference = (int)a->kind - (int)b->kind;

	if (!difference)
		difference = strcmp(a->namespace, b->namespace);
	return difference ? difference : strcmp(a->name, b->name);
}

/* Where the policy with this kind, namespace and name is, or belongs. */
static size_t place_of(const struct policies *policies, const struct object *object, bool *ret_found)
{
	size_t low = 0, high = policies->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int difference = compare_objects(policies->sorted[middle]->object, object);

		if (!difference) {
			*ret_found = true;
			return middle;
		}
		if (difference < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_found = false;
	return low;
}

static int make_room(struct policies *policies)
{
	size_t room = policies->room ? policies->room * 2 : 64;
	struct policy **grown;

	if (policies->count < policies->room)
		return 0;
	grown = realloc(policies->sorted, room * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	policies->sorted = grown;
	policies->room = room;
	return 0;
}

/* What is at `place`, if anything is, gives way to `policy`; either may be NULL. */
static void replace(struct policies *policies, size_t place, bool found, struct policy *policy)
{
	struct policy **at = &policies->sorted[place];

	if (found)
		policy_free(policies, *at);
	if (found && !policy)
		memmove(at, at + 1, (--policies->count - place) * sizeof(*at));
	if (!found && policy)
		memmove(at + 1, at, (policies->count++ - place) * sizeof(*at));
	if (policy)
		*at = policy;
}

int policies_changed(struct policies *policies, const struct object *old, const struct object *new)
{
	const struct object *object = new ? new : old;
	struct policy *policy = NULL;
	bool found;
	size_t place;

	if (object->kind == MODEL_NAMESPACE) {
		policies->namespaces_changed = true;
		return 0;
	}
	policies->selection_changed = true;
	if (in_force(new) && make_room(policies) == 0)
		policy = policy_new(policies, new);
	place = place_of(policies, object, &found);
	replace(policies, place, found, policy); /* in any case: the old object is about to be freed */
	if (in_force(new) && !policy)
		return -ENOMEM;
	return new && !as_network(new) ? report(policies, as_authorization(new)) : 0;
}

bool policies_selection_changed(const struct policies *policies) { return policies->selection_changed; }

/* --- subjects: what selects a pod --- */

uint32_t subject_number(const struct subject *subject) { return subject ? subject->number : WEFT_SUBJECT_OPEN; }

static bool selects(const struct policies *policies, const struct policy *policy, const struct pod_object *pod)
{
	const struct network_policy_object *network = as_network(policy->object);

	if (policy->key.namespace != pod->meta.namespace &&
	    (network || policy->key.namespace != policies->root_namespace))
		return false;
	return selector_matches(network ? &network->pod_selector : &as_authorization(policy->object)->selector,
				&pod->meta.labels);
}

static void write_named_ports(FILE *out, const struct pod_object *pod)
{
	for (size_t i = 0; i < pod->port_count; i++)
		if (pod->ports[i].name)
			fprintf(out, "port %s/%u=%u\n", pod->ports[i].name, pod->ports[i].protocol, pod->ports[i].port);
}

static void write_addresses(FILE *out, const struct pod_object *pod)
{
	for (size_t i = 0; i < pod->address_count; i++) {
		const uint32_t *word = pod->addresses[i].word;

		fprintf(out, "address %08x%08x%08x%08x\n", word[0], word[1], word[2], word[3]);
	}
}

/* What makes two pods fare alike, and the policies that select this one: `ret_policies` has room for all. NULL: no memory. */
static char *subject_text(const struct policies *policies, const struct pod_object *pod, struct policy **ret_policies,
			  size_t *ret_count)
{
	bool named_ports = false, destination_ip = false;
	char *text = NULL;
	size_t size, count = 0;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	for (size_t i = 0; i < policies->count; i++) {
		struct policy *policy = policies->sorted[i];

		if (!selects(policies, policy, pod))
			continue;
		ret_policies[count++] = policy;
		named_ports |= policy->named_ports[WEFT_INGRESS];
		destination_ip |= policy->destination_ip;
		fprintf(out, "%s %s/%s\n", model_kind_name(policy->object->kind), policy->key.namespace, policy->key.name);
	}
	if (named_ports)
		write_named_ports(out, pod);
	if (destination_ip)
		write_addresses(out, pod);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	*ret_count = count;
	return text;
}

static void subject_clear(struct subject *subject)
{
	for (size_t direction = 0; direction < DIRECTIONS; direction++) {
		free(subject->rules[direction]);
		subject->rules[direction] = NULL;
		subject->rule_count[direction] = 0;
		subject->terms[direction] = (struct run_terms){ 0 };
		subject->named_ports[direction] = false;
	}
	free(subject->ports);
	free(subject->addresses);
	subject->ports = NULL;
	subject->addresses = NULL;
}

static void subject_free(struct subject *subject)
{
	if (!subject)
		return;
	subject_clear(subject);
	free(subject);
}

static void add_terms(struct subject *subject, const struct policy *policy)
{
	const struct network_policy_object *network = as_network(policy->object);

	if (network) {
		subject->terms[WEFT_INGRESS].isolated |= network->ingress;
		subject->terms[WEFT_EGRESS].isolated |= network->egress;
		return;
	}
	subject->terms[WEFT_INGRESS].allow |= layer_of(as_authorization(policy->object)) == RUN_ALLOW;
	subject->terms[WEFT_INGRESS].dry_allow |= layer_of(as_authorization(policy->object)) == RUN_DRY_ALLOW;
}

static int add_rules(struct subject *subject, struct policy *const *selecting, size_t count, size_t direction)
{
	size_t total = 0;

	for (size_t i = 0; i < count; i++)
		total += selecting[i]->rule_count[direction];
	subject->rules[direction] = calloc(total + 1, sizeof(*subject->rules[direction]));
	if (!subject->rules[direction])
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < selecting[i]->rule_count[direction]; j++)
			subject->rules[direction][subject->rule_count[direction]++] = &selecting[i]->rules[direction][j];
		subject->named_ports[direction] |= selecting[i]->named_ports[direction];
	}
	return 0;
}

static int subject_fill(struct subject *subject, const struct pod_object *pod, struct policy *const *selecting, size_t count)
{
	subject_clear(subject);
	for (size_t i = 0; i < count; i++) {
		add_terms(subject, selecting[i]);
		subject->stale |= selecting[i]->changed;
	}
	for (size_t direction = 0; direction < DIRECTIONS; direction++)
		if (add_rules(subject, selecting, count, direction) < 0)
			return -ENOMEM;
	subject->ports = calloc(pod->port_count + 1, sizeof(*subject->ports));
	subject->addresses = calloc(pod->address_count + 1, sizeof(*subject->addresses));
	if (!subject->ports || !subject->addresses)
		return -ENOMEM;
	if (pod->port_count)
		memcpy(subject->ports, pod->ports, pod->port_count * sizeof(*pod->ports));
	subject->port_count = pod->port_count;
	if (pod->address_count)
		memcpy(subject->addresses, pod->addresses, pod->address_count * sizeof(*pod->addresses));
	subject->address_count = pod->address_count;
	return 0;
}

static struct subject *subject_get(struct policies *policies, const char *text)
{
	uint32_t number = ids_get(policies->subject_ids, text);
	struct subject *subject = number ? hash_set_find(&policies->subjects, &number) : NULL;

	if (subject) {
		ids_put(policies->subject_ids, number); /* it counts as one user of its number */
		return subject;
	}
	subject = number ? calloc(1, sizeof(*subject)) : NULL;
	if (!subject)
		return NULL;
	subject->number = number;
	subject->stale = true;
	if (hash_set_put(&policies->subjects, subject, NULL) < 0) {
		free(subject);
		return NULL;
	}
	return subject;
}

int policies_select(struct policies *policies, const struct pod_object *pod, struct subject **ret)
{
	struct policy **selecting = calloc(policies->count + 1, sizeof(*selecting));
	struct subject *subject = NULL;
	size_t count = 0;
	char *text = selecting ? subject_text(policies, pod, selecting, &count) : NULL;
	int error = text ? 0 : -ENOMEM;

	if (!error && count) {
		subject = subject_get(policies, text);
		error = subject ? subject_fill(subject, pod, selecting, count) : -ENOMEM;
	}
	free(text);
	free(selecting);
	if (error < 0)
		return error;
	if (subject)
		subject->users++;
	*ret = subject;
	return 0;
}

void policies_deselect(struct policies *policies, struct subject *subject)
{
	(void)policies; /* policies_run() drops it if nobody else uses it */
	if (subject)
		subject->users--;
}

/* --- compiling a subject --- */

/* The names of container ports mean those of the pod that serves: the subject for ingress, the peer for egress. */
static int add_named_port(struct policies *policies, const struct rule *rule, const struct network_policy_port *port,
			  const struct container_port *ports, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct port_range range = { run_start_of(port->protocol, ports[i].port),
					    run_start_of(port->protocol, ports[i].port) };

		if (ports[i].name == port->port.name && ports[i].protocol == port->protocol &&
		    run_add(policies->run, rule->layer, rule->id, &range) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int add_port(struct policies *policies, const struct subject *subject, size_t direction, const struct rule *rule,
		    const struct network_policy_port *port, const struct identity *peer)
{
	struct port_range range = { run_start_of(port->protocol, 0), run_start_of(port->protocol, UINT16_MAX) };

	if (port->port.name)
		return direction == WEFT_INGRESS ?
			       add_named_port(policies, rule, port, subject->ports, subject->port_count) :
			       add_named_port(policies, rule, port, peer->ports, peer->port_count);
	if (port->port.number) {
		range.first = run_start_of(port->protocol, port->port.number);
		range.last = run_start_of(port->protocol, port->end_port ? port->end_port : port->port.number);
	}
	return run_add(policies->run, rule->layer, rule->id, &range);
}

static int add_rule(struct policies *policies, const struct subject *subject, size_t direction, const struct rule *rule,
		    const struct identity *peer)
{
	static const struct port_range everything = { 0, RUN_END - 1 };
	const struct network_policy_rule *network = rule->match.network;
	int error = 0;

	if (network && !network->port_count)
		return run_add(policies->run, rule->layer, rule->id, &everything);
	for (size_t i = 0; network && !error && i < network->port_count; i++)
		error = add_port(policies, subject, direction, rule, &network->ports[i], peer);
	for (size_t i = 0; !network && !error && i < rule->range_count; i++)
		error = run_add(policies->run, rule->layer, rule->id, &rule->ranges[i]);
	return error;
}

/* Said once: it would be repeated for each peer and each change. */
static void say_too_long(struct policies *policies, const struct subject *subject, size_t direction)
{
	const struct rule_info *first = rule_names_find(policies->names, subject->rules[direction][0]->id);

	if (policies->said_too_long)
		return;
	policies->said_too_long = true;
	log_error("the policies of a pod name more than %d ranges of ports (among them %s): the highest ports are denied; "
		  "use ranges (endPort)", WEFT_RULES_MAX_RUN, first ? first->text : "an unknown one");
}

/* The run for a peer that the rules of `matching` (a bit each) match. Valid until the next call. */
static int build(struct policies *policies, const struct subject *subject, size_t direction, const uint64_t *matching,
		 const struct identity *peer, const struct weft_rule **ret_rules, size_t *ret_count)
{
	int error = 0;

	run_start(policies->run);
	for (size_t i = 0; !error && i < subject->rule_count[direction]; i++)
		if (matching[i / 64] >> i % 64 & 1)
			error = add_rule(policies, subject, direction, subject->rules[direction][i], peer);
	if (!error)
		error = run_build(policies->run, &subject->terms[direction], ret_rules, ret_count);
	if (error == -E2BIG) {
		say_too_long(policies, subject, direction);
		error = 0;
	}
	return error;
}

static int set_entry(struct policies *policies, const struct subject *subject, size_t direction, uint32_t identity,
		     const struct weft_rule *rules, size_t count)
{
	struct weft_policy_key key = { .subject = subject->number, .identity = identity, .direction = (uint32_t)direction };

	return table_set(policies->desired->policies, &key, rules, count * sizeof(*rules));
}

static int unset_entry(struct policies *policies, const struct subject *subject, size_t direction, uint32_t identity)
{
	struct weft_policy_key key = { .subject = subject->number, .identity = identity, .direction = (uint32_t)direction };

	return table_unset(policies->desired->policies, &key);
}

/* The rules' matches by identity slot are computed when a subject first needs them, and shared by all that use the rule. */
static int rule_prepare(struct policies *policies, struct rule *rule)
{
	size_t count, words;
	struct identity *const *slots = identities_slots(policies->identities, &count);
	uint64_t *grown;

	words = count / 64 + 1;
	if (rule->matches && rule->match_words >= words)
		return 0;
	grown = realloc(rule->matches, words * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	if (!rule->matches)
		rule_match_identities(&rule->match, policies->model, slots, count, grown);
	rule->matches = grown;
	rule->match_words = words;
	return 0;
}

static bool rule_matches(const struct subject *subject, const struct rule *rule, const struct identity *peer)
{
	if (!(rule->matches[peer->slot / 64] >> peer->slot % 64 & 1))
		return false;
	return !rule->destination_ip ||
	       rule_matches_destination(&rule->match, subject->addresses, subject->address_count, peer);
}

/*
 * Peers that the same rules match get the same run. `key` is that set of rules and, where the names of the peer's ports
 * matter, those: what compile_peer() remembers runs by.
 */
struct peer_work {
	struct policies *policies;
	const struct subject *subject;
	size_t direction;
	size_t words;	    /* of `key` */
	uint64_t *key;
	struct table *runs; /* from key to run; NULL: nothing is remembered */
	const void *any;    /* the entry of WEFT_IDENTITY_ANY */
	size_t any_size;
};

static int work_start(struct peer_work *work, struct policies *policies, const struct subject *subject, size_t direction,
		      bool remember)
{
	*work = (struct peer_work){ .policies = policies, .subject = subject, .direction = direction };
	work->words = subject->rule_count[direction] / 64 + 2;
	work->key = calloc(work->words, sizeof(*work->key));
	if (!work->key || (remember && table_new(&work->runs, work->words * sizeof(*work->key)) < 0)) {
		free(work->key);
		return -ENOMEM;
	}
	for (size_t i = 0; i < subject->rule_count[direction]; i++) {
		if (rule_prepare(policies, subject->rules[direction][i]) < 0) {
			free(work->key);
			table_free(work->runs);
			return -ENOMEM;
		}
	}
	return 0;
}

static void work_end(struct peer_work *work)
{
	free(work->key);
	table_free(work->runs);
}

/* An entry of its own only for an identity that fares otherwise than everybody else. */
static int set_unless_any(struct peer_work *work, const struct identity *peer, const struct weft_rule *rules, size_t count)
{
	if (work->any_size == count * sizeof(*rules) && !memcmp(work->any, rules, work->any_size))
		return unset_entry(work->policies, work->subject, work->direction, peer->number);
	return set_entry(work->policies, work->subject, work->direction, peer->number, rules, count);
}

static int compile_peer(struct peer_work *work, const struct identity *peer)
{
	const struct subject *subject = work->subject;
	const struct weft_rule *rules;
	size_t count, size;
	int error;

	memset(work->key, 0, work->words * sizeof(*work->key));
	for (size_t i = 0; i < subject->rule_count[work->direction]; i++)
		if (rule_matches(subject, subject->rules[work->direction][i], peer))
			work->key[i / 64] |= UINT64_C(1) << i % 64;
	if (work->direction == WEFT_EGRESS && subject->named_ports[WEFT_EGRESS])
		work->key[work->words - 1] = (uintptr_t)peer->ports_key;
	rules = work->runs ? table_get(work->runs, work->key, &size) : NULL;
	if (rules)
		return set_unless_any(work, peer, rules, size / sizeof(*rules));
	error = build(work->policies, subject, work->direction, work->key, peer, &rules, &count);
	if (!error && work->runs && table_set(work->runs, work->key, rules, count * sizeof(*rules)) < 0)
		error = -ENOMEM;
	return error ? error : set_unless_any(work, peer, rules, count);
}

static int compile_any(struct peer_work *work)
{
	const struct subject *subject = work->subject;
	const struct identity *world = identities_find(work->policies->identities, WEFT_IDENTITY_WORLD);
	const struct weft_rule *rules;
	size_t count;
	int error;

	memset(work->key, 0, work->words * sizeof(*work->key));
	for (size_t i = 0; i < subject->rule_count[work->direction]; i++) {
		const struct rule *rule = subject->rules[work->direction][i];

		if (rule_matches_identity(&rule->match, work->policies->model, world) && !rule->destination_ip)
			work->key[i / 64] |= UINT64_C(1) << i % 64;
	}
	error = build(work->policies, subject, work->direction, work->key, world, &rules, &count);
	return error ? error : set_entry(work->policies, subject, work->direction, WEFT_IDENTITY_ANY, rules, count);
}

/* Entries of others do not move this one: it may be held on to. */
static void find_any(struct peer_work *work)
{
	struct weft_policy_key key = { .subject = work->subject->number, .direction = (uint32_t)work->direction };

	work->any = table_get(work->policies->desired->policies, &key, &work->any_size);
}

/* The subject against some identities; those that nobody uses any more lose their entries. */
static int compile_peers(struct peer_work *work, struct identity *const *identities, size_t count)
{
	int changes = 0, result = 0;

	for (size_t i = 0; result >= 0 && i < count; i++) {
		if (!identities[i])
			continue;
		if (identities[i]->users)
			result = compile_peer(work, identities[i]);
		else
			result = unset_entry(work->policies, work->subject, work->direction, identities[i]->number);
		changes += result > 0 ? result : 0;
	}
	return result < 0 ? result : changes;
}

static int compile_direction(struct policies *policies, const struct subject *subject, size_t direction)
{
	size_t count, removed_count, added_count;
	struct identity *const *slots = identities_slots(policies->identities, &count);
	struct identity *const *added = identities_added(policies->identities, &added_count);
	struct identity *const *removed = identities_removed(policies->identities, &removed_count);
	struct peer_work work;
	int any = 0, result;

	if (!subject->stale && !added_count && !removed_count)
		return 0;
	if (work_start(&work, policies, subject, direction, subject->stale) < 0)
		return -ENOMEM;
	if (subject->stale)
		any = compile_any(&work);
	find_any(&work);
	if (subject->stale) {
		result = any < 0 ? any : compile_peers(&work, slots, count);
	} else {
		result = compile_peers(&work, added, added_count);
		any = result < 0 ? 0 : compile_peers(&work, removed, removed_count);
	}
	work_end(&work);
	return result < 0 ? result : any < 0 ? any : result + any;
}

static int remove_entries(struct policies *policies, const struct subject *subject)
{
	size_t count;
	struct identity *const *slots = identities_slots(policies->identities, &count);
	int changes = 0;

	for (size_t direction = 0; direction < DIRECTIONS; direction++) {
		changes += unset_entry(policies, subject, direction, WEFT_IDENTITY_ANY);
		for (size_t i = 0; i < count; i++)
			if (slots[i])
				changes += unset_entry(policies, subject, direction, slots[i]->number) > 0;
	}
	return changes;
}

static int drop_unused_subjects(struct policies *policies)
{
	struct subject *subject, *unused = NULL;
	int changes = 0;

	for (size_t position = 0; (subject = hash_set_next(&policies->subjects, &position));) {
		if (subject->users)
			continue;
		subject->next_unused = unused;
		unused = subject;
	}
	for (; unused; unused = subject) {
		subject = unused->next_unused;
		changes += remove_entries(policies, unused);
		hash_set_take(&policies->subjects, &unused->number);
		ids_put(policies->subject_ids, unused->number);
		subject_free(unused);
	}
	return changes;
}

/* Namespaces' labels changed, or there are new identities: the rules' matches by slot follow. */
static int update_matches(struct policies *policies)
{
	size_t added_count;
	struct identity *const *added = identities_added(policies->identities, &added_count);

	if (!added_count && !policies->namespaces_changed)
		return 0;
	for (size_t i = 0; i < policies->count; i++) {
		struct policy *policy = policies->sorted[i];

		for (size_t direction = 0; direction < DIRECTIONS; direction++) {
			for (size_t j = 0; j < policy->rule_count[direction]; j++) {
				struct rule *rule = &policy->rules[direction][j];

				if (policies->namespaces_changed) {
					free(rule->matches);
					rule->matches = NULL;
				}
				if (!rule->matches)
					continue;
				if (rule_prepare(policies, rule) < 0)
					return -ENOMEM;
				rule_match_identities(&rule->match, policies->model, added, added_count, rule->matches);
			}
		}
	}
	return 0;
}

static int compile_subjects(struct policies *policies)
{
	struct subject *subject;
	int changes = 0;

	for (size_t position = 0; (subject = hash_set_next(&policies->subjects, &position));) {
		subject->stale |= policies->namespaces_changed;
		for (size_t direction = 0; direction < DIRECTIONS; direction++) {
			int result = compile_direction(policies, subject, direction);

			if (result < 0)
				return result;
			changes += result;
		}
		subject->stale = false;
	}
	return changes;
}

int policies_run(struct policies *policies)
{
	int changes = drop_unused_subjects(policies), result;

	if (update_matches(policies) < 0)
		return -ENOMEM;
	result = compile_subjects(policies);
	if (result < 0)
		return result;
	if (policies->selection_changed) {
		for (size_t i = 0; i < policies->count; i++)
			policies->sorted[i]->changed = false;
		rule_names_settle(policies->names);
	}
	policies->selection_changed = false;
	policies->namespaces_changed = false;
	return changes + result;
}

int policies_new(struct policies **ret, struct model *model, const struct compile_options *options,
		 struct identities *identities, struct rule_names *names, struct desired *desired)
{
	struct policies *policies = calloc(1, sizeof(*policies));

	if (!policies)
		return -ENOMEM;
	policies->model = model;
	policies->root_namespace = intern(options->root_namespace);
	policies->identities = identities;
	policies->names = names;
	policies->desired = desired;
	policies->subjects = (struct hash_set){ .key_offset = offsetof(struct subject, number), .key_size = sizeof(uint32_t) };
	if (!policies->root_namespace || run_new(&policies->run) < 0 ||
	    ids_new(&policies->subject_ids, NAMES_KEEP_SECONDS) < 0) {
		policies_free(policies);
		return -ENOMEM;
	}
	*ret = policies;
	return 0;
}

void policies_free(struct policies *policies)
{
	struct subject *subject;

	if (!policies)
		return;
	for (size_t i = 0; i < policies->count; i++)
		policy_free(policies, policies->sorted[i]);
	free(policies->sorted);
	for (size_t position = 0; (subject = hash_set_next(&policies->subjects, &position));)
		subject_free(subject);
	hash_set_clear(&policies->subjects);
	ids_free(policies->subject_ids);
	run_free(policies->run);
	free(policies);
}
