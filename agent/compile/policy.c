/* SPDX-License-Identifier: Apache-2.0 */
#include "compile/policy.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile/policy_internal.h"
#include "util/intern.h"

#define ORIGIN "compile"

/* --- policies as they come from the model --- */

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
		if (policy->whole[direction])
			rule_names_put(policies->names, policy->whole[direction]);
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

enum run_layer policy_layer(const struct authorization_policy_object *object)
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

/* index -1: of the policy as a whole */
static uint32_t rule_number(struct policies *policies, const struct policy *policy, size_t direction, int index)
{
	return rule_names_get(policies->names,
			      policy->key.kind == MODEL_NETWORK_POLICY ? RULE_NETWORK_POLICY : RULE_AUTHORIZATION_POLICY,
			      policy->key.namespace, policy->key.name, (enum weft_direction)direction, index);
}

/* What both kinds have in common, once rule->match is set. */
static int rule_register(struct policies *policies, struct policy *policy, struct rule *rule, size_t direction,
			 size_t index)
{
	rule->match.namespace = policy->key.namespace;
	rule->id = rule_number(policies, policy, direction, (int)index);
	if (!rule->id)
		return -ENOMEM;
	return rule_each_cidr(&rule->match, count_cidr, policies->identities);
}

static int policy_fill_network(struct policies *policies, struct policy *policy,
			       const struct network_policy_object *object)
{
	const bool applies[DIRECTIONS] = { [WEFT_INGRESS] = object->ingress, [WEFT_EGRESS] = object->egress };

	for (size_t direction = 0; direction < DIRECTIONS; direction++) {
		if (!applies[direction])
			continue; /* rules of a direction that policyTypes leaves out mean nothing */
		policy->rules[direction] = calloc(object->rule_count[direction] + 1, sizeof(struct rule));
		policy->whole[direction] = rule_number(policies, policy, direction, -1);
		if (!policy->rules[direction] || !policy->whole[direction])
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
	policy->whole[WEFT_INGRESS] = rule_number(policies, policy, WEFT_INGRESS, -1);
	if (!policy->rules[WEFT_INGRESS] || !policy->whole[WEFT_INGRESS])
		return -ENOMEM;
	for (size_t i = 0; i < object->rule_count; i++) {
		struct rule *rule = &policy->rules[WEFT_INGRESS][policy->rule_count[WEFT_INGRESS]++];

		rule->match.authorization = &object->rules[i];
		rule->match.lenient = object->action != AUTHORIZE_ALLOW;
		rule->layer = policy_layer(object);
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

/* --- all of it --- */

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
		changes += policy_remove_entries(policies, unused);
		hash_set_take(&policies->subjects, &unused->number);
		ids_put(policies->subject_ids, unused->number);
		subject_free(unused);
	}
	return changes;
}

static int compile_subjects(struct policies *policies)
{
	struct subject *subject;
	int changes = 0, result;

	for (size_t position = 0; (subject = hash_set_next(&policies->subjects, &position));) {
		subject->stale |= policies->namespaces_changed;
		result = policy_compile_subject(policies, subject);
		if (result < 0)
			return result;
		changes += result;
		subject->stale = false;
	}
	return changes;
}

int policies_run(struct policies *policies)
{
	int changes = drop_unused_subjects(policies), result;

	if (policy_update_matches(policies) < 0)
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
	policies->subjects =
		(struct hash_set){ .key_offset = offsetof(struct subject, number), .key_size = sizeof(uint32_t) };
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
