/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of desired->policies: what each peer may do with a subject, or a subject with it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compile/policy_internal.h"
#include "util/log.h"

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
	log_error("the policies of a pod name more than %d ranges of ports (among them %s): the highest are denied; "
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

static struct weft_policy_key key_of(const struct subject *subject, size_t direction, uint32_t identity)
{
	return (struct weft_policy_key){
		.subject = subject->number, .identity = identity, .direction = (uint32_t)direction
	};
}

static int set_entry(struct policies *policies, const struct subject *subject, size_t direction, uint32_t identity,
		     const struct weft_rule *rules, size_t count)
{
	struct weft_policy_key key = key_of(subject, direction, identity);

	return table_set(policies->desired->policies, &key, rules, count * sizeof(*rules));
}

static int unset_entry(struct policies *policies, const struct subject *subject, size_t direction, uint32_t identity)
{
	struct weft_policy_key key = key_of(subject, direction, identity);

	return table_unset(policies->desired->policies, &key);
}

/* The rules' matches by identity slot are computed when a subject first needs them, and shared by all others. */
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

static int work_start(struct peer_work *work, struct policies *policies, const struct subject *subject,
		      size_t direction, bool remember)
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
static int set_unless_any(struct peer_work *work, const struct identity *peer, const struct weft_rule *rules,
			  size_t count)
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
	struct weft_policy_key key = key_of(work->subject, work->direction, WEFT_IDENTITY_ANY);

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

int policy_remove_entries(struct policies *policies, const struct subject *subject)
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

/* Namespaces' labels changed, or there are new identities: the rules' matches by slot follow. */
int policy_update_matches(struct policies *policies)
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

int policy_compile_subject(struct policies *policies, const struct subject *subject)
{
	int changes = 0;

	for (size_t direction = 0; direction < DIRECTIONS; direction++) {
		int result = compile_direction(policies, subject, direction);

		if (result < 0)
			return result;
		changes += result;
	}
	return changes;
}
