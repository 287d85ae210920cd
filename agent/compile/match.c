/* SPDX-License-Identifier: Apache-2.0 */
#include "compile/match.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/addr.h"

/* The label that every Namespace has; a directory of manifests may lack the object itself. */
#define NAMESPACE_NAME_LABEL "kubernetes.io/metadata.name"

/* --- NetworkPolicy --- */

static bool namespace_matches(const struct model *model, const struct selector *selector, const char *namespace)
{
	const struct object *object = model_get(model, MODEL_NAMESPACE, "", namespace);
	struct label name = { .key = NAMESPACE_NAME_LABEL, .value = namespace };
	struct labels implied = { .items = &name, .count = 1 };
	struct labels none = { 0 };

	for (size_t i = 0; i < selector->term_count; i++) {
		struct selector_term term = selector->terms[i];
		struct selector one = { .terms = &term, .term_count = 1 };
		bool by_name = !strcmp(term.key, NAMESPACE_NAME_LABEL);

		if (by_name)
			term.key = name.key; /* interned strings are compared by their pointers */
		if (!selector_matches(&one, by_name ? &implied : object ? &object->labels : &none))
			return false;
	}
	return true;
}

static bool ip_block_matches(const struct ip_block *block, const struct identity *identity)
{
	if (!identity->has_cidr || !cidr_within(&block->cidr, &identity->cidr))
		return false;
	for (size_t i = 0; i < block->except_count; i++)
		if (cidr_within(&block->except[i], &identity->cidr))
			return false;
	return true;
}

/* The last answers about namespaces, by their interned pointers: there are far more identities than namespaces. */
#define MEMOS 64
struct namespace_memos {
	struct {
		const char *namespace;
		bool matches;
	} items[MEMOS];
};

static bool namespace_matches_again(const struct model *model, const struct selector *selector, const char *namespace,
				    struct namespace_memos *memos)
{
	size_t place = ((uintptr_t)namespace >> 4 ^ (uintptr_t)namespace >> 10) % MEMOS;

	if (memos->items[place].namespace != namespace) {
		memos->items[place].namespace = namespace;
		memos->items[place].matches = namespace_matches(model, selector, namespace);
	}
	return memos->items[place].matches;
}

static bool peer_matches(const struct network_policy_peer *peer, const char *policy_namespace,
			 const struct model *model, const struct identity *identity, struct namespace_memos *memos)
{
	const char *namespace = identity->info.namespace;

	if (peer->has_ip_block)
		return ip_block_matches(&peer->ip_block, identity);
	if (!namespace || !(peer->has_pod_selector || peer->has_namespace_selector))
		return false;
	if (peer->has_namespace_selector ?
		    !namespace_matches_again(model, &peer->namespace_selector, namespace, memos) :
		    namespace != policy_namespace)
		return false;
	return !peer->has_pod_selector || selector_matches(&peer->pod_selector, &identity->labels);
}

/* --- AuthorizationPolicy --- */

/* Exact, "prefix*", "*suffix", or "*" for anything that is there. */
static bool pattern_matches(const char *pattern, const char *text)
{
	size_t size = strlen(pattern), text_size = strlen(text);

	if (!strcmp(pattern, "*"))
		return text_size > 0;
	if (size && pattern[size - 1] == '*')
		return !strncmp(pattern, text, size - 1);
	if (size && pattern[0] == '*')
		return text_size >= size - 1 && !strcmp(pattern + 1, text + text_size - (size - 1));
	return !strcmp(pattern, text);
}

static bool any_pattern(const struct string_match *match, const char *text)
{
	for (size_t i = 0; text && i < match->count; i++)
		if (pattern_matches(match->values[i], text))
			return true;
	return false;
}

static bool any_principal(const struct string_match *match, const struct identity *identity)
{
	return any_pattern(match, identity->principals[0]) || any_pattern(match, identity->principals[1]);
}

/* "NAMESPACE/NAME", or "NAME" in the policy's own namespace. */
static bool any_service_account(const struct string_match *match, const char *policy_namespace,
				const struct identity *identity)
{
	const char *namespace = identity->info.namespace;

	for (size_t i = 0; namespace && i < match->count; i++) {
		const char *slash = strchr(match->values[i], '/');
		size_t size = slash ? (size_t)(slash - match->values[i]) : strlen(policy_namespace);
		const char *wanted = slash ? match->values[i] : policy_namespace;

		if (strlen(namespace) == size && !strncmp(namespace, wanted, size) &&
		    !strcmp(slash ? slash + 1 : match->values[i], identity->info.service_account))
			return true;
	}
	return false;
}

static bool any_cidr(const struct cidr_list *list, const struct identity *identity)
{
	for (size_t i = 0; identity->has_cidr && i < list->count; i++)
		if (cidr_within(&list->items[i], &identity->cidr))
			return true;
	return false;
}

/* A pair of a field and its not-form: the field, when it is given, must match and the not-form must not. */
static bool both_hold(size_t count, bool matches, bool not_matches) { return (!count || matches) && !not_matches; }

static bool source_matches(const struct authorization_source *source, const char *policy_namespace,
			   const struct identity *identity)
{
	return both_hold(source->principals.count, any_principal(&source->principals, identity),
			 any_principal(&source->not_principals, identity)) &&
	       both_hold(source->namespaces.count, any_pattern(&source->namespaces, identity->info.namespace),
			 any_pattern(&source->not_namespaces, identity->info.namespace)) &&
	       both_hold(source->service_accounts.count,
			 any_service_account(&source->service_accounts, policy_namespace, identity),
			 any_service_account(&source->not_service_accounts, policy_namespace, identity)) &&
	       both_hold(source->ip_blocks.count, any_cidr(&source->ip_blocks, identity),
			 any_cidr(&source->not_ip_blocks, identity)) &&
	       both_hold(source->remote_ip_blocks.count, any_cidr(&source->remote_ip_blocks, identity),
			 any_cidr(&source->not_remote_ip_blocks, identity));
}

enum condition_kind {
	CONDITION_IP,
	CONDITION_NAMESPACE,
	CONDITION_PRINCIPAL,
	CONDITION_TO_IP,
	CONDITION_TO_PORT,
	CONDITION_UNKNOWN,
};

static enum condition_kind condition_kind(const struct authorization_condition *condition)
{
	static const struct {
		const char *key;
		enum condition_kind kind;
	} kinds[] = {
		{ "source.ip", CONDITION_IP },		    { "remote.ip", CONDITION_IP },
		{ "source.namespace", CONDITION_NAMESPACE }, { "source.principal", CONDITION_PRINCIPAL },
		{ CONDITION_DESTINATION_IP, CONDITION_TO_IP }, { CONDITION_DESTINATION_PORT, CONDITION_TO_PORT },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strcmp(kinds[i].key, condition->key))
			return kinds[i].kind;
	return CONDITION_UNKNOWN;
}

static bool any_cidr_text(const struct string_match *match, const struct cidr *address)
{
	struct cidr block;

	for (size_t i = 0; address && i < match->count; i++)
		if (cidr_parse(match->values[i], &block.addr, &block.length) == 0 && cidr_within(&block, address))
			return true;
	return false;
}

static bool any_port_text(const struct string_match *match, uint16_t port)
{
	char text[8];

	snprintf(text, sizeof(text), "%u", port);
	for (size_t i = 0; i < match->count; i++)
		if (!strcmp(match->values[i], text))
			return true;
	return false;
}

static bool is_port(const char *text)
{
	char *end;
	unsigned long port = strtoul(text, &end, 10);

	return *text >= '0' && *text <= '9' && !*end && port > 0 && port <= UINT16_MAX;
}

/* A condition whose values cannot be read, or whose key is about HTTP. */
static bool condition_is_undecidable(const struct authorization_condition *condition)
{
	const struct string_match *const both[] = { &condition->values, &condition->not_values };
	enum condition_kind kind = condition_kind(condition);
	struct cidr cidr;
	bool bad = kind == CONDITION_UNKNOWN;

	for (size_t i = 0; i < 2; i++) {
		for (size_t j = 0; !bad && j < both[i]->count; j++) {
			const char *value = both[i]->values[j];

			if (kind == CONDITION_IP || kind == CONDITION_TO_IP)
				bad = cidr_parse(value, &cidr.addr, &cidr.length) < 0;
			else if (kind == CONDITION_TO_PORT)
				bad = !is_port(value);
		}
	}
	return bad;
}

/* Conditions that are not about the peer, which are looked at elsewhere, and those that cannot be decided hold here. */
static bool condition_matches(const struct authorization_condition *condition, const struct identity *identity)
{
	const struct string_match *values = &condition->values, *not_values = &condition->not_values;
	const struct cidr *cidr = identity->has_cidr ? &identity->cidr : NULL;

	if (condition_is_undecidable(condition))
		return true;
	switch (condition_kind(condition)) {
	case CONDITION_IP:
		return both_hold(values->count, any_cidr_text(values, cidr), any_cidr_text(not_values, cidr));
	case CONDITION_NAMESPACE:
		return both_hold(values->count, any_pattern(values, identity->info.namespace),
				 any_pattern(not_values, identity->info.namespace));
	case CONDITION_PRINCIPAL:
		return both_hold(values->count, any_principal(values, identity), any_principal(not_values, identity));
	default:
		return true;
	}
}

static bool authorization_matches(const struct rule_match *match, const struct identity *identity)
{
	const struct authorization_rule *rule = match->authorization;
	bool from = !rule->from_count;

	if (!match->lenient && rule_is_undecidable(rule))
		return false;
	for (size_t i = 0; !from && i < rule->from_count; i++)
		from = source_matches(&rule->from[i], match->namespace, identity);
	for (size_t i = 0; from && i < rule->when_count; i++)
		from = condition_matches(&rule->when[i], identity);
	return from;
}

static bool port_listed(const struct port_list *list, uint16_t port)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->items[i] == port)
			return true;
	return false;
}

bool rule_matches_port(const struct rule_match *match, uint16_t port)
{
	const struct authorization_rule *rule = match->authorization;
	bool to = !rule->to_count;

	for (size_t i = 0; !to && i < rule->to_count; i++)
		to = both_hold(rule->to[i].ports.count, port_listed(&rule->to[i].ports, port),
			       port_listed(&rule->to[i].not_ports, port));
	for (size_t i = 0; to && i < rule->when_count; i++)
		if (condition_kind(&rule->when[i]) == CONDITION_TO_PORT && !condition_is_undecidable(&rule->when[i]))
			to = both_hold(rule->when[i].values.count, any_port_text(&rule->when[i].values, port),
				       any_port_text(&rule->when[i].not_values, port));
	return to;
}

static size_t copy_ports(const struct port_list *list, uint16_t *ports)
{
	if (ports && list->count)
		memcpy(ports, list->items, list->count * sizeof(*ports));
	return list->count;
}

static size_t copy_port_texts(const struct string_match *match, uint16_t *ports)
{
	for (size_t i = 0; ports && i < match->count; i++)
		ports[i] = (uint16_t)strtoul(match->values[i], NULL, 10);
	return match->count;
}

size_t rule_named_ports(const struct rule_match *match, uint16_t *ports)
{
	const struct authorization_rule *rule = match->authorization;
	size_t count = 0;

	for (size_t i = 0; i < rule->to_count; i++) {
		count += copy_ports(&rule->to[i].ports, ports ? ports + count : NULL);
		count += copy_ports(&rule->to[i].not_ports, ports ? ports + count : NULL);
	}
	for (size_t i = 0; i < rule->when_count; i++) {
		if (condition_kind(&rule->when[i]) != CONDITION_TO_PORT)
			continue;
		count += copy_port_texts(&rule->when[i].values, ports ? ports + count : NULL);
		count += copy_port_texts(&rule->when[i].not_values, ports ? ports + count : NULL);
	}
	return count;
}

bool rule_has_destination_ip(const struct rule_match *match)
{
	for (size_t i = 0; match->authorization && i < match->authorization->when_count; i++)
		if (condition_kind(&match->authorization->when[i]) == CONDITION_TO_IP)
			return true;
	return false;
}

static bool destination_holds(const struct authorization_condition *condition, const struct weft_addr *addr)
{
	struct cidr address = { .addr = *addr, .length = 128 };

	return both_hold(condition->values.count, any_cidr_text(&condition->values, &address),
			 any_cidr_text(&condition->not_values, &address));
}

bool rule_matches_destination(const struct rule_match *match, const struct weft_addr *addresses, size_t count,
			      const struct identity *peer)
{
	bool v4 = peer->has_cidr && addr_is_v4(&peer->cidr.addr);

	for (size_t i = 0; i < count; i++) {
		bool holds = addr_is_v4(&addresses[i]) == v4;

		for (size_t j = 0; holds && j < match->authorization->when_count; j++)
			if (condition_kind(&match->authorization->when[j]) == CONDITION_TO_IP &&
			    !condition_is_undecidable(&match->authorization->when[j]))
				holds = destination_holds(&match->authorization->when[j], &addresses[i]);
		if (holds)
			return true;
	}
	return false;
}

bool rule_is_undecidable(const struct authorization_rule *rule)
{
	bool found = rule->http_fields;

	for (size_t i = 0; i < rule->from_count; i++)
		found |= rule->from[i].http_fields;
	for (size_t i = 0; i < rule->to_count; i++)
		found |= rule->to[i].http_fields;
	for (size_t i = 0; i < rule->when_count; i++)
		found |= condition_is_undecidable(&rule->when[i]);
	return found;
}

/* --- both --- */

bool rule_matches_identity(const struct rule_match *rule, const struct model *model, const struct identity *identity)
{
	bool matches = false;

	if (!rule->network)
		return authorization_matches(rule, identity);
	for (size_t i = 0; !matches && i < rule->network->peer_count; i++) {
		struct namespace_memos memos = { 0 };

		matches = peer_matches(&rule->network->peers[i], rule->namespace, model, identity, &memos);
	}
	return matches || !rule->network->peer_count;
}

static void put_bit(uint64_t *bits, size_t bit, bool value)
{
	if (value)
		bits[bit / 64] |= UINT64_C(1) << bit % 64;
	else
		bits[bit / 64] &= ~(UINT64_C(1) << bit % 64);
}

static void add_peer(const struct network_policy_peer *peer, const struct rule_match *rule, const struct model *model,
		     struct identity *const *identities, size_t count, uint64_t *bits)
{
	struct namespace_memos memos = { 0 };

	for (size_t i = 0; i < count; i++)
		if (identities[i] && peer_matches(peer, rule->namespace, model, identities[i], &memos))
			put_bit(bits, identities[i]->slot, true);
}

void rule_match_identities(const struct rule_match *rule, const struct model *model, struct identity *const *identities,
			   size_t count, uint64_t *bits)
{
	bool by_peer = rule->network && rule->network->peer_count;

	for (size_t i = 0; i < count; i++)
		if (identities[i])
			put_bit(bits, identities[i]->slot,
				!by_peer && rule_matches_identity(rule, model, identities[i]));
	for (size_t i = 0; by_peer && i < rule->network->peer_count; i++)
		add_peer(&rule->network->peers[i], rule, model, identities, count, bits);
}

static int each_in_list(const struct cidr_list *list, int (*each)(const struct cidr *, void *), void *context)
{
	int result = 0;

	for (size_t i = 0; !result && i < list->count; i++)
		result = each(&list->items[i], context);
	return result;
}

static int each_in_network(const struct network_policy_rule *rule, int (*each)(const struct cidr *, void *),
			   void *context)
{
	int result = 0;

	for (size_t i = 0; !result && i < rule->peer_count; i++) {
		const struct ip_block *block = &rule->peers[i].ip_block;
		struct cidr_list except = { block->except, block->except_count };

		if (!rule->peers[i].has_ip_block)
			continue;
		result = each(&block->cidr, context);
		if (!result)
			result = each_in_list(&except, each, context);
	}
	return result;
}

static int each_in_condition(const struct authorization_condition *condition,
			     int (*each)(const struct cidr *, void *), void *context)
{
	const struct string_match *const both[] = { &condition->values, &condition->not_values };
	struct cidr cidr;
	int result = 0;

	if (condition_kind(condition) != CONDITION_IP)
		return 0;
	for (size_t i = 0; i < 2; i++)
		for (size_t j = 0; !result && j < both[i]->count; j++)
			if (cidr_parse(both[i]->values[j], &cidr.addr, &cidr.length) == 0)
				result = each(&cidr, context);
	return result;
}

/* With destination.ip conditions the family of the peer matters: the two widest CIDRs tell the families apart. */
static int each_family(int (*each)(const struct cidr *, void *), void *context)
{
	static const char *const all[] = { "0.0.0.0/0", "::/0" };
	struct cidr cidr;
	int result = 0;

	for (size_t i = 0; !result && i < 2; i++) {
		cidr_parse(all[i], &cidr.addr, &cidr.length);
		result = each(&cidr, context);
	}
	return result;
}

int rule_each_cidr(const struct rule_match *match, int (*each)(const struct cidr *, void *), void *context)
{
	const struct authorization_rule *rule = match->authorization;
	int result = 0;

	if (match->network)
		return each_in_network(match->network, each, context);
	for (size_t i = 0; !result && i < rule->from_count; i++) {
		const struct authorization_source *from = &rule->from[i];
		const struct cidr_list *const lists[] = { &from->ip_blocks, &from->not_ip_blocks,
							  &from->remote_ip_blocks, &from->not_remote_ip_blocks };

		for (size_t j = 0; !result && j < 4; j++)
			result = each_in_list(lists[j], each, context);
	}
	for (size_t i = 0; !result && i < rule->when_count; i++)
		result = each_in_condition(&rule->when[i], each, context);
	return !result && rule_has_destination_ip(match) ? each_family(each, context) : result;
}
