/* SPDX-License-Identifier: Apache-2.0 */
#include "reference.h"

#include <arpa/inet.h>
#include <fnmatch.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The question, and who the peer is. */
struct question {
	const struct reference_cluster *cluster;
	const struct pod_object *pod;
	const struct weft_addr *own, *peer_addr;
	const struct pod_object *peer; /* NULL: no pod */
	enum weft_direction direction;
	uint8_t protocol;
	uint16_t port;
};

/* --- addresses --- */

static bool is_v4(const struct weft_addr *addr)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

	return !memcmp(addr, mapped, sizeof(mapped));
}

static bool is_in(const struct weft_addr *addr, const struct cidr *cidr)
{
	const unsigned char *a = (const unsigned char *)addr, *b = (const unsigned char *)&cidr->addr;

	if (is_v4(addr) != (is_v4(&cidr->addr) && cidr->length >= 96))
		return false;
	for (unsigned int bit = 0; bit < cidr->length; bit++)
		if ((a[bit / 8] ^ b[bit / 8]) >> (7 - bit % 8) & 1)
			return false;
	return true;
}

static bool text_is_in(const struct weft_addr *addr, const char *text)
{
	struct cidr cidr = { .addr.word = { 0, 0, htonl(0xffff), 0 } };
	const char *slash = strchr(text, '/');
	char bare[64];

	snprintf(bare, sizeof(bare), "%.*s", slash ? (int)(slash - text) : (int)strlen(text), text);
	if (inet_pton(AF_INET, bare, &cidr.addr.word[3]) == 1)
		cidr.length = (uint8_t)(96 + (slash ? atoi(slash + 1) : 32));
	else if (inet_pton(AF_INET6, bare, &cidr.addr) == 1)
		cidr.length = (uint8_t)(slash ? atoi(slash + 1) : 128);
	else
		return false;
	return is_in(addr, &cidr);
}

static bool same_addr(const struct weft_addr *a, const struct weft_addr *b) { return !memcmp(a, b, sizeof(*a)); }

struct search {
	const struct weft_addr *addr;
	const struct pod_object *pod;
	const struct node_object *node;
};

static int look_at_pod(const struct object *object, void *context)
{
	const struct pod_object *pod = (const struct pod_object *)object;
	struct search *search = context;

	if (pod->host_network || pod->phase == POD_SUCCEEDED || pod->phase == POD_FAILED)
		return 0;
	for (size_t i = 0; i < pod->address_count; i++)
		if (same_addr(&pod->addresses[i], search->addr))
			search->pod = pod;
	return search->pod != NULL;
}

static int look_at_node(const struct object *object, void *context)
{
	const struct node_object *node = (const struct node_object *)object;
	struct search *search = context;

	for (size_t i = 0; i < node->address_count; i++)
		if (same_addr(&node->addresses[i], search->addr))
			search->node = node;
	return search->node != NULL;
}

const struct pod_object *reference_pod_at(const struct reference_cluster *cluster, const struct weft_addr *addr)
{
	struct search search = { .addr = addr };

	model_each(cluster->model, MODEL_POD, look_at_pod, &search);
	return search.pod;
}

static bool is_own_node(const struct question *question)
{
	struct search search = { .addr = question->peer_addr };

	model_each(question->cluster->model, MODEL_NODE, look_at_node, &search);
	return search.node && !strcmp(search.node->meta.name, question->cluster->node_name);
}

/* --- selectors --- */

static const char *value_of(const struct labels *labels, const char *key)
{
	for (size_t i = 0; i < labels->count; i++)
		if (!strcmp(labels->items[i].key, key))
			return labels->items[i].value;
	return NULL;
}

static bool term_holds(const struct selector_term *term, const char *value)
{
	bool listed = false;

	for (size_t i = 0; value && i < term->value_count; i++)
		listed |= !strcmp(term->values[i], value);
	switch (term->operator) {
	case SELECTOR_IN:
		return listed;
	case SELECTOR_NOT_IN:
		return !listed;
	case SELECTOR_EXISTS:
		return value != NULL;
	case SELECTOR_DOES_NOT_EXIST:
		return value == NULL;
	}
	return false;
}

static bool selects_labels(const struct selector *selector, const struct labels *labels)
{
	for (size_t i = 0; i < selector->term_count; i++)
		if (!term_holds(&selector->terms[i], value_of(labels, selector->terms[i].key)))
			return false;
	return true;
}

static bool selects_namespace(const struct question *question, const struct selector *selector, const char *namespace)
{
	const struct object *object = model_get(question->cluster->model, MODEL_NAMESPACE, "", namespace);

	for (size_t i = 0; i < selector->term_count; i++) {
		const struct selector_term *term = &selector->terms[i];
		const char *value = object ? value_of(&object->labels, term->key) : NULL;

		if (!strcmp(term->key, "kubernetes.io/metadata.name"))
			value = namespace;
		if (!term_holds(term, value))
			return false;
	}
	return true;
}

/* --- NetworkPolicy --- */

static bool network_peer_matches(const struct question *question, const struct network_policy_object *policy,
				 const struct network_policy_peer *peer)
{
	const struct pod_object *pod = question->peer;

	if (peer->has_ip_block) {
		bool in = is_in(question->peer_addr, &peer->ip_block.cidr);

		for (size_t i = 0; i < peer->ip_block.except_count; i++)
			in = in && !is_in(question->peer_addr, &peer->ip_block.except[i]);
		return in;
	}
	if (!pod)
		return false;
	if (peer->has_namespace_selector && !selects_namespace(question, &peer->namespace_selector, pod->meta.namespace))
		return false;
	if (!peer->has_namespace_selector && strcmp(pod->meta.namespace, policy->meta.namespace) != 0)
		return false;
	return !peer->has_pod_selector || selects_labels(&peer->pod_selector, &pod->meta.labels);
}

static bool network_port_matches(const struct question *question, const struct network_policy_port *port)
{
	const struct pod_object *server = question->direction == WEFT_INGRESS ? question->pod : question->peer;

	if (port->protocol != question->protocol)
		return false;
	if (port->port.name) {
		for (size_t i = 0; server && i < server->port_count; i++)
			if (server->ports[i].name && !strcmp(server->ports[i].name, port->port.name) &&
			    server->ports[i].protocol == question->protocol && server->ports[i].port == question->port)
				return true;
		return false;
	}
	if (!port->port.number)
		return true;
	if (port->end_port)
		return question->port >= port->port.number && question->port <= port->end_port;
	return question->port == port->port.number;
}

static bool network_rule_matches(const struct question *question, const struct network_policy_object *policy,
				 const struct network_policy_rule *rule)
{
	bool peers = !rule->peer_count, ports = !rule->port_count;

	for (size_t i = 0; i < rule->peer_count; i++)
		peers |= network_peer_matches(question, policy, &rule->peers[i]);
	for (size_t i = 0; i < rule->port_count; i++)
		ports |= network_port_matches(question, &rule->ports[i]);
	return peers && ports;
}

struct network_answer {
	const struct question *question;
	bool isolated, allowed;
	char rule[200], isolation[200]; /* of the first that isolates */
};

static int ask_network_policy(const struct object *object, void *context)
{
	const struct network_policy_object *policy = (const struct network_policy_object *)object;
	struct network_answer *answer = context;
	const struct question *question = answer->question;
	enum weft_direction direction = question->direction;

	if (strcmp(object->namespace, question->pod->meta.namespace) != 0 ||
	    !selects_labels(&policy->pod_selector, &question->pod->meta.labels) ||
	    !(direction == WEFT_INGRESS ? policy->ingress : policy->egress))
		return 0;
	if (!answer->isolated)
		snprintf(answer->isolation, sizeof(answer->isolation), "NetworkPolicy %s/%s isolates the pod, no %s rule allows it",
			 object->namespace, object->name, direction == WEFT_INGRESS ? "ingress" : "egress");
	answer->isolated = true;
	for (size_t i = 0; i < policy->rule_count[direction] && !answer->allowed; i++) {
		answer->allowed = network_rule_matches(question, policy, &policy->rules[direction][i]);
		if (answer->allowed)
			snprintf(answer->rule, sizeof(answer->rule), "NetworkPolicy %s/%s %s rule %zu", object->namespace, object->name,
				 direction == WEFT_INGRESS ? "ingress" : "egress", i);
	}
	return 0;
}

/* --- AuthorizationPolicy --- */

/* The wildcards are a leading or a trailing star: fnmatch() knows more, so everything else is quoted. */
static bool wildcard_matches(const char *pattern, const char *text)
{
	char quoted[512];
	size_t length = 0;

	if (!text)
		return false;
	for (const char *at = pattern; *at && length < sizeof(quoted) - 3; at++) {
		bool star = *at == '*' && (at == pattern || !at[1]);

		if (!star)
			quoted[length++] = '\\';
		quoted[length++] = *at;
	}
	quoted[length] = '\0';
	return *text && fnmatch(quoted, text, 0) == 0;
}

static bool principal_matches(const struct question *question, const char *pattern)
{
	const char *domains[] = { question->cluster->trust_domain, "cluster.local" };
	char principal[300];

	for (size_t i = 0; question->peer && i < 2; i++) {
		snprintf(principal, sizeof(principal), "%s/ns/%s/sa/%s", domains[i], question->peer->meta.namespace,
			 question->peer->service_account);
		if (wildcard_matches(pattern, principal))
			return true;
	}
	return false;
}

static bool namespace_matches(const struct question *question, const char *pattern)
{
	return question->peer && wildcard_matches(pattern, question->peer->meta.namespace);
}

static bool account_matches(const struct question *question, const char *policy_namespace, const char *value)
{
	char full[300], wanted[300];

	if (!question->peer)
		return false;
	snprintf(full, sizeof(full), "%s/%s", question->peer->meta.namespace, question->peer->service_account);
	snprintf(wanted, sizeof(wanted), "%s%s%s", strchr(value, '/') ? "" : policy_namespace, strchr(value, '/') ? "" : "/", value);
	return !strcmp(full, wanted);
}

enum text_kind { PRINCIPAL, NAMESPACE, PEER_IP, OWN_IP, PORT };

static bool text_matches(const struct question *question, enum text_kind kind, const char *value)
{
	switch (kind) {
	case PRINCIPAL:
		return principal_matches(question, value);
	case NAMESPACE:
		return namespace_matches(question, value);
	case PEER_IP:
		return text_is_in(question->peer_addr, value);
	case OWN_IP:
		return text_is_in(question->own, value);
	case PORT:
		return atoi(value) == question->port;
	}
	return false;
}

static bool any_text(const struct question *question, enum text_kind kind, const struct string_match *match)
{
	for (size_t i = 0; i < match->count; i++)
		if (text_matches(question, kind, match->values[i]))
			return true;
	return false;
}

static bool any_account(const struct question *question, const char *namespace, const struct string_match *match)
{
	for (size_t i = 0; i < match->count; i++)
		if (account_matches(question, namespace, match->values[i]))
			return true;
	return false;
}

static bool any_block(const struct question *question, const struct cidr_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		if (is_in(question->peer_addr, &list->items[i]))
			return true;
	return false;
}

static bool any_port(const struct question *question, const struct port_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->items[i] == question->port)
			return true;
	return false;
}

static bool source_matches(const struct question *question, const char *namespace, const struct authorization_source *source)
{
	if (source->principals.count && !any_text(question, PRINCIPAL, &source->principals))
		return false;
	if (any_text(question, PRINCIPAL, &source->not_principals))
		return false;
	if (source->namespaces.count && !any_text(question, NAMESPACE, &source->namespaces))
		return false;
	if (any_text(question, NAMESPACE, &source->not_namespaces))
		return false;
	if (source->service_accounts.count && !any_account(question, namespace, &source->service_accounts))
		return false;
	if (any_account(question, namespace, &source->not_service_accounts))
		return false;
	if (source->ip_blocks.count && !any_block(question, &source->ip_blocks))
		return false;
	if (any_block(question, &source->not_ip_blocks))
		return false;
	if (source->remote_ip_blocks.count && !any_block(question, &source->remote_ip_blocks))
		return false;
	return !any_block(question, &source->not_remote_ip_blocks);
}

static bool condition_matches(const struct question *question, const struct authorization_condition *condition)
{
	enum text_kind kind = PORT;

	if (!strcmp(condition->key, "source.principal"))
		kind = PRINCIPAL;
	else if (!strcmp(condition->key, "source.namespace"))
		kind = NAMESPACE;
	else if (!strcmp(condition->key, "source.ip") || !strcmp(condition->key, "remote.ip"))
		kind = PEER_IP;
	else if (!strcmp(condition->key, "destination.ip"))
		kind = OWN_IP;
	return (!condition->values.count || any_text(question, kind, &condition->values)) &&
	       !any_text(question, kind, &condition->not_values);
}

static bool asks_for_http(const struct authorization_rule *rule)
{
	for (size_t i = 0; i < rule->from_count; i++)
		if (rule->from[i].http_fields)
			return true;
	for (size_t i = 0; i < rule->to_count; i++)
		if (rule->to[i].http_fields)
			return true;
	return rule->http_fields;
}

static bool authorization_rule_matches(const struct question *question, const struct authorization_policy_object *policy,
				       const struct authorization_rule *rule)
{
	bool from = !rule->from_count, to = !rule->to_count, when = true;

	if (policy->action == AUTHORIZE_ALLOW && asks_for_http(rule))
		return false;
	for (size_t i = 0; i < rule->from_count; i++)
		from |= source_matches(question, policy->meta.namespace, &rule->from[i]);
	for (size_t i = 0; i < rule->to_count; i++)
		to |= (!rule->to[i].ports.count || any_port(question, &rule->to[i].ports)) &&
		      !any_port(question, &rule->to[i].not_ports);
	for (size_t i = 0; i < rule->when_count; i++)
		when &= condition_matches(question, &rule->when[i]);
	return from && to && when;
}

/* What the policies with one action say, those in dry run apart. */
struct action_answer {
	bool any; /* at least one policy applies to the pod */
	bool matches;
	char rule[200], whole[200]; /* of the first that applies */
};
struct authorization_answer {
	const struct question *question;
	struct action_answer actions[AUTHORIZE_CUSTOM][2]; /* by dry run */
};

static int ask_authorization_policy(const struct object *object, void *context)
{
	const struct authorization_policy_object *policy = (const struct authorization_policy_object *)object;
	struct authorization_answer *answer = context;
	const struct question *question = answer->question;
	struct action_answer *action;

	if (policy->action == AUTHORIZE_CUSTOM || policy->targets_services)
		return 0;
	if (strcmp(object->namespace, question->pod->meta.namespace) != 0 &&
	    strcmp(object->namespace, question->cluster->root_namespace) != 0)
		return 0;
	if (!selects_labels(&policy->selector, &question->pod->meta.labels))
		return 0;
	action = &answer->actions[policy->action][policy->action != AUTHORIZE_AUDIT && policy->dry_run];
	if (!action->any)
		snprintf(action->whole, sizeof(action->whole), "AuthorizationPolicy %s/%s has to allow it, no rule does",
			 object->namespace, object->name);
	action->any = true;
	for (size_t i = 0; i < policy->rule_count && !action->matches; i++) {
		action->matches = authorization_rule_matches(question, policy, &policy->rules[i]);
		if (action->matches)
			snprintf(action->rule, sizeof(action->rule), "AuthorizationPolicy %s/%s rule %zu", object->namespace,
				 object->name, i);
	}
	return 0;
}

static void authorize(const struct question *question, struct reference_verdict *ret)
{
	struct authorization_answer answer = { .question = question };
	const struct action_answer *deny = answer.actions[AUTHORIZE_DENY], *allow = answer.actions[AUTHORIZE_ALLOW];
	const struct action_answer *audit = &answer.actions[AUTHORIZE_AUDIT][0];
	bool open = !strcmp(ret->rule, "no policy selects the pod");

	model_each(question->cluster->model, MODEL_AUTHORIZATION_POLICY, ask_authorization_policy, &answer);
	if (deny[0].matches || (allow[0].any && !allow[0].matches)) {
		ret->reason = WEFT_REASON_AUTHORIZATION_DENIED;
		strcpy(ret->rule, deny[0].matches ? deny[0].rule : allow[0].whole);
		if (!deny[0].matches && !deny[1].matches && allow[1].matches) {
			ret->flags |= WEFT_RULE_WOULD_ALLOW;
			strcpy(ret->audit, allow[1].rule);
		}
	} else {
		if (open && allow[0].matches)
			strcpy(ret->rule, allow[0].rule);
		if (deny[1].matches || (!allow[0].any && allow[1].any && !allow[1].matches)) {
			ret->flags |= WEFT_RULE_WOULD_DENY;
			strcpy(ret->audit, deny[1].matches ? deny[1].rule : allow[1].whole);
		}
	}
	if (audit->matches) {
		ret->flags |= WEFT_RULE_AUDIT;
		if (!*ret->audit)
			strcpy(ret->audit, audit->rule);
	}
}

void reference_decide(const struct reference_cluster *cluster, const struct pod_object *pod, const struct weft_addr *own,
		      enum weft_direction direction, const struct weft_addr *peer, uint8_t protocol, uint16_t port,
		      struct reference_verdict *ret)
{
	struct question question = { .cluster = cluster, .pod = pod, .own = own, .peer_addr = peer, .direction = direction,
				     .protocol = protocol, .port = port, .peer = reference_pod_at(cluster, peer) };
	struct network_answer network = { .question = &question };

	*ret = (struct reference_verdict){ .reason = WEFT_REASON_NONE };
	if (question.peer == pod) {
		strcpy(ret->rule, "a pod always reaches itself");
		return;
	}
	if (is_own_node(&question)) {
		strcpy(ret->rule, "traffic with the pod's own node is always allowed");
		return;
	}
	model_each(cluster->model, MODEL_NETWORK_POLICY, ask_network_policy, &network);
	if (network.isolated && !network.allowed) {
		ret->reason = WEFT_REASON_POLICY_DENIED;
		strcpy(ret->rule, network.isolation);
		return;
	}
	strcpy(ret->rule, network.isolated ? network.rule : "no policy selects the pod");
	if (direction == WEFT_INGRESS && (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP))
		authorize(&question, ret);
}
