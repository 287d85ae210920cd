/* SPDX-License-Identifier: Apache-2.0 */
#include "random_policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/addr.h"

/* --- chance: splitmix64 --- */

struct random random_start(uint64_t seed) { return (struct random){ seed }; }

static uint64_t random_next(struct random *random)
{
	uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint32_t random_below(struct random *random, uint32_t limit) { return (uint32_t)(random_next(random) >> 32) % limit; }
bool random_chance(struct random *random, unsigned int percent) { return random_below(random, 100) < percent; }

/* --- what may be named --- */

static void add_text(const char **list, size_t *count, const char *text)
{
	for (size_t i = 0; i < *count; i++)
		if (!strcmp(list[i], text))
			return;
	if (*count < VOCABULARY_MAX)
		list[(*count)++] = text;
}

static void add_labels(struct label *list, size_t *count, const struct labels *labels)
{
	for (size_t i = 0; i < labels->count && *count < VOCABULARY_MAX; i++) {
		bool known = false;

		for (size_t j = 0; j < *count; j++)
			known |= !strcmp(list[j].key, labels->items[i].key) && !strcmp(list[j].value, labels->items[i].value);
		if (!known)
			list[(*count)++] = labels->items[i];
	}
}

void vocabulary_add_port(struct vocabulary *vocabulary, uint16_t port)
{
	for (size_t i = 0; i < vocabulary->port_count; i++)
		if (vocabulary->ports[i] == port)
			return;
	if (vocabulary->port_count < VOCABULARY_MAX)
		vocabulary->ports[vocabulary->port_count++] = port;
}

void vocabulary_add_address(struct vocabulary *vocabulary, const struct weft_addr *addr)
{
	for (size_t i = 0; i < vocabulary->address_count; i++)
		if (addr_equal(&vocabulary->addresses[i], addr))
			return;
	if (vocabulary->address_count < VOCABULARY_MAX)
		vocabulary->addresses[vocabulary->address_count++] = *addr;
}

static int add_namespace(const struct object *object, void *context)
{
	struct vocabulary *vocabulary = context;

	add_text(vocabulary->namespaces, &vocabulary->namespace_count, object->name);
	add_labels(vocabulary->namespace_labels, &vocabulary->namespace_label_count, &object->labels);
	return 0;
}

static int add_node(const struct object *object, void *context)
{
	const struct node_object *node = (const struct node_object *)object;

	for (size_t i = 0; i < node->address_count; i++)
		vocabulary_add_address(context, &node->addresses[i]);
	return 0;
}

static int add_pod(const struct object *object, void *context)
{
	const struct pod_object *pod = (const struct pod_object *)object;
	struct vocabulary *vocabulary = context;

	add_text(vocabulary->namespaces, &vocabulary->namespace_count, object->namespace);
	add_text(vocabulary->accounts, &vocabulary->account_count, pod->service_account);
	add_labels(vocabulary->pod_labels, &vocabulary->pod_label_count, &object->labels);
	for (size_t i = 0; i < pod->address_count; i++)
		vocabulary_add_address(vocabulary, &pod->addresses[i]);
	for (size_t i = 0; i < pod->port_count; i++) {
		vocabulary_add_port(vocabulary, pod->ports[i].port);
		if (pod->ports[i].name)
			add_text(vocabulary->port_names, &vocabulary->port_name_count, pod->ports[i].name);
	}
	return 0;
}

void vocabulary_from(struct vocabulary *vocabulary, const struct model *model)
{
	memset(vocabulary, 0, sizeof(*vocabulary));
	model_each(model, MODEL_NAMESPACE, add_namespace, vocabulary);
	model_each(model, MODEL_NODE, add_node, vocabulary);
	model_each(model, MODEL_POD, add_pod, vocabulary);
}

/* --- writing --- */

struct writer {
	struct random *random;
	const struct vocabulary *vocabulary;
	FILE *out;
	char *text;
	size_t size;
};

static void writer_start(struct writer *writer, struct random *random, const struct vocabulary *vocabulary)
{
	*writer = (struct writer){ .random = random, .vocabulary = vocabulary };
	writer->out = open_memstream(&writer->text, &writer->size);
	if (!writer->out)
		abort();
}

static char *writer_end(struct writer *writer)
{
	if (fclose(writer->out) != 0)
		abort();
	return writer->text;
}

static uint32_t below(struct writer *writer, size_t limit) { return random_below(writer->random, (uint32_t)limit); }
static bool chance(struct writer *writer, unsigned int percent) { return random_chance(writer->random, percent); }
static void put(struct writer *writer, const char *text) { fputs(text, writer->out); }

typedef void item_fn(struct writer *writer);

/* "field: [item, item]", with `minimum` to `maximum` items. */
static void put_list(struct writer *writer, const char *field, item_fn *item, size_t minimum, size_t maximum)
{
	size_t count = minimum + below(writer, maximum - minimum + 1);

	fprintf(writer->out, "%s: [", field);
	for (size_t i = 0; i < count; i++) {
		put(writer, i ? ", " : "");
		item(writer);
	}
	put(writer, "]");
}

static const struct label *some_label(struct writer *writer, bool namespaces)
{
	static const struct label unknown = { "nobody", "has-it" };
	const struct vocabulary *vocabulary = writer->vocabulary;
	size_t count = namespaces ? vocabulary->namespace_label_count : vocabulary->pod_label_count;

	if (!count || chance(writer, 3))
		return &unknown;
	return &(namespaces ? vocabulary->namespace_labels : vocabulary->pod_labels)[below(writer, count)];
}

static void put_expression(struct writer *writer, bool namespaces)
{
	const struct label *label = some_label(writer, namespaces), *other = some_label(writer, namespaces);

	fprintf(writer->out, "{key: '%s', operator: ", label->key);
	switch (below(writer, 4)) {
	case 0:
		fprintf(writer->out, "In, values: ['%s', '%s']}", label->value, other->value);
		break;
	case 1:
		fprintf(writer->out, "NotIn, values: ['%s']}", label->value);
		break;
	case 2:
		put(writer, "Exists}");
		break;
	default:
		put(writer, "DoesNotExist}");
	}
}

static void put_selector(struct writer *writer, const char *field, bool namespaces)
{
	const struct label *label = some_label(writer, namespaces);

	fprintf(writer->out, "%s: {", field);
	if (chance(writer, 50))
		fprintf(writer->out, "matchLabels: {'%s': '%s'}, ", label->key, label->value);
	if (chance(writer, 25)) {
		put(writer, "matchExpressions: [");
		put_expression(writer, namespaces);
		put(writer, "]");
	}
	put(writer, "}");
}

static uint16_t some_port(struct writer *writer)
{
	const struct vocabulary *vocabulary = writer->vocabulary;

	return vocabulary->port_count ? vocabulary->ports[below(writer, vocabulary->port_count)] : 80;
}

static struct cidr some_cidr(struct writer *writer)
{
	static const uint8_t v4_lengths[] = { 128, 128, 126, 124, 120, 112, 104, 96 }, v6_lengths[] = { 128, 128, 126, 120, 64, 16, 0 };
	struct cidr cidr = { 0 };

	if (!writer->vocabulary->address_count)
		return cidr;
	cidr.addr = writer->vocabulary->addresses[below(writer, writer->vocabulary->address_count)];
	cidr.length = addr_is_v4(&cidr.addr) ? v4_lengths[below(writer, sizeof(v4_lengths))] :
					       v6_lengths[below(writer, sizeof(v6_lengths))];
	cidr.addr = addr_masked(&cidr.addr, cidr.length);
	return cidr;
}

static void put_cidr_value(struct writer *writer, const struct cidr *cidr)
{
	char text[ADDR_TEXT_MAX];

	fprintf(writer->out, "'%s'", cidr_format(&cidr->addr, cidr->length, text));
}

static void put_cidr(struct writer *writer)
{
	struct cidr cidr = some_cidr(writer);

	put_cidr_value(writer, &cidr);
}

/* --- NetworkPolicy --- */

static void put_ip_block(struct writer *writer)
{
	struct cidr cidr = some_cidr(writer);
	size_t excepted = 0;

	put(writer, "{ipBlock: {cidr: ");
	put_cidr_value(writer, &cidr);
	for (int tries = chance(writer, 60) ? 8 : 0; tries > 0; tries--) {
		struct cidr except = some_cidr(writer);

		if (addr_is_v4(&cidr.addr) != addr_is_v4(&except.addr) || except.length <= cidr.length ||
		    !cidr_contains(&cidr.addr, cidr.length, &except.addr))
			continue;
		put(writer, excepted++ ? ", " : ", except: [");
		put_cidr_value(writer, &except);
	}
	put(writer, excepted ? "]}}" : "}}");
}

static void put_peer(struct writer *writer)
{
	switch (below(writer, 4)) {
	case 0:
		put_ip_block(writer);
		return;
	case 1:
		put(writer, "{");
		put_selector(writer, "podSelector", false);
		break;
	case 2:
		put(writer, "{");
		put_selector(writer, "namespaceSelector", true);
		break;
	default:
		put(writer, "{");
		put_selector(writer, "namespaceSelector", true);
		put(writer, ", ");
		put_selector(writer, "podSelector", false);
	}
	put(writer, "}");
}

static void put_network_port(struct writer *writer)
{
	static const char *const protocols[] = { "", "protocol: TCP, ", "protocol: UDP, ", "protocol: SCTP, " };
	const struct vocabulary *vocabulary = writer->vocabulary;
	uint32_t port = some_port(writer), end = port + below(writer, 2000);

	fprintf(writer->out, "{%s", protocols[below(writer, 4)]);
	switch (below(writer, 5)) {
	case 0:
		break;
	case 1:
		if (vocabulary->port_name_count)
			fprintf(writer->out, "port: %s", vocabulary->port_names[below(writer, vocabulary->port_name_count)]);
		break;
	case 2:
		fprintf(writer->out, "port: %u, endPort: %u", port, end > 65535 ? 65535 : end);
		break;
	default:
		fprintf(writer->out, "port: %u", port);
	}
	put(writer, "}");
}

static void put_network_rule(struct writer *writer, const char *peers)
{
	put(writer, "{");
	if (chance(writer, 85)) {
		put_list(writer, peers, put_peer, 0, 3);
		put(writer, ", ");
	}
	if (chance(writer, 60))
		put_list(writer, "ports", put_network_port, 0, 3);
	put(writer, "}");
}

static void put_ingress(struct writer *writer) { put_network_rule(writer, "from"); }
static void put_egress(struct writer *writer) { put_network_rule(writer, "to"); }

char *random_network_policy(struct random *random, const struct vocabulary *vocabulary, const char *namespace, const char *name)
{
	static const char *const types[] = { "", ", policyTypes: [Ingress]", ", policyTypes: [Egress]", ", policyTypes: [Ingress, Egress]" };
	struct writer writer;

	writer_start(&writer, random, vocabulary);
	fprintf(writer.out, "--- {apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: %s, namespace: %s}, spec: {",
		name, namespace);
	put_selector(&writer, "podSelector", false);
	if (chance(&writer, 70)) {
		put(&writer, ", ");
		put_list(&writer, "ingress", put_ingress, 0, 3);
	}
	if (chance(&writer, 50)) {
		put(&writer, ", ");
		put_list(&writer, "egress", put_egress, 0, 3);
	}
	fprintf(writer.out, "%s}}\n", types[below(&writer, 4)]);
	return writer_end(&writer);
}

/* --- AuthorizationPolicy --- */

static const char *some_namespace(struct writer *writer)
{
	const struct vocabulary *vocabulary = writer->vocabulary;

	return vocabulary->namespace_count ? vocabulary->namespaces[below(writer, vocabulary->namespace_count)] : "default";
}

static const char *some_account(struct writer *writer)
{
	const struct vocabulary *vocabulary = writer->vocabulary;

	return vocabulary->account_count ? vocabulary->accounts[below(writer, vocabulary->account_count)] : "default";
}

static void put_principal(struct writer *writer)
{
	switch (below(writer, 5)) {
	case 0:
		put(writer, "'*'");
		break;
	case 1:
		fprintf(writer->out, "'cluster.local/ns/%s/*'", some_namespace(writer));
		break;
	case 2:
		fprintf(writer->out, "'*/sa/%s'", some_account(writer));
		break;
	default:
		fprintf(writer->out, "'%s%s/ns/%s/sa/%s'", chance(writer, 20) ? "spiffe://" : "",
			chance(writer, 30) ? "mesh.example" : "cluster.local", some_namespace(writer), some_account(writer));
	}
}

static void put_namespace(struct writer *writer)
{
	const char *namespace = some_namespace(writer);

	if (chance(writer, 15))
		fprintf(writer->out, "'%.1s*'", namespace);
	else if (chance(writer, 10))
		put(writer, "'*'");
	else
		fprintf(writer->out, "'%s'", namespace);
}

static void put_account(struct writer *writer)
{
	if (chance(writer, 50))
		fprintf(writer->out, "'%s/", some_namespace(writer));
	else
		put(writer, "'");
	fprintf(writer->out, "%s'", some_account(writer));
}

static void put_port(struct writer *writer) { fprintf(writer->out, "'%u'", some_port(writer)); }
static void put_text(struct writer *writer) { put(writer, "'x'"); }

struct choice {
	const char *field;
	item_fn *item;
	unsigned int percent;
};

/* Some of the choices, at least one; each makes the next less likely, or nothing would ever match. */
static void put_choices(struct writer *writer, const struct choice *choices, size_t count)
{
	size_t first = below(writer, count), given = 0;

	while (!given) {
		for (size_t i = 0; i < count; i++) {
			const struct choice *choice = &choices[(first + i) % count];

			if (!chance(writer, choice->percent / (1 + (unsigned int)given * 3)))
				continue;
			put(writer, given++ ? ", " : "");
			put_list(writer, choice->field, choice->item, 1, 3);
		}
	}
}

static void put_source(struct writer *writer)
{
	static const struct choice names[] = {
		{ "principals", put_principal, 50 }, { "notPrincipals", put_principal, 20 }, { "namespaces", put_namespace, 40 },
		{ "notNamespaces", put_namespace, 20 }, { "ipBlocks", put_cidr, 30 }, { "notIpBlocks", put_cidr, 20 },
		{ "remoteIpBlocks", put_cidr, 20 }, { "notRemoteIpBlocks", put_cidr, 10 }, { "requestPrincipals", put_text, 4 },
	};
	static const struct choice accounts[] = {
		{ "serviceAccounts", put_account, 60 }, { "notServiceAccounts", put_account, 40 }, { "ipBlocks", put_cidr, 10 },
	};

	put(writer, "{source: {");
	if (chance(writer, 25))
		put_choices(writer, accounts, sizeof(accounts) / sizeof(*accounts));
	else
		put_choices(writer, names, sizeof(names) / sizeof(*names));
	put(writer, "}}");
}

static void put_operation(struct writer *writer)
{
	static const struct choice choices[] = {
		{ "ports", put_port, 70 }, { "notPorts", put_port, 30 }, { "paths", put_text, 4 }, { "notMethods", put_text, 2 },
	};

	put(writer, "{operation: {");
	put_choices(writer, choices, sizeof(choices) / sizeof(*choices));
	put(writer, "}}");
}

static void put_condition(struct writer *writer)
{
	static const struct {
		const char *key;
		item_fn *item;
	} keys[] = {
		{ "source.ip", put_cidr }, { "remote.ip", put_cidr }, { "source.namespace", put_namespace },
		{ "source.principal", put_principal }, { "destination.ip", put_cidr }, { "destination.port", put_port },
		{ "request.headers[x]", put_text },
	};
	size_t key = below(writer, chance(writer, 20) ? 7 : 6);

	fprintf(writer->out, "{key: '%s', ", keys[key].key);
	if (chance(writer, 60))
		put_list(writer, "values", keys[key].item, 1, 3);
	else
		put_list(writer, "notValues", keys[key].item, 1, 2);
	put(writer, "}");
}

static void put_authorization_rule(struct writer *writer)
{
	put(writer, "{");
	if (chance(writer, 70)) {
		put_list(writer, "from", put_source, 1, 2);
		put(writer, ", ");
	}
	if (chance(writer, 50)) {
		put_list(writer, "to", put_operation, 1, 2);
		put(writer, ", ");
	}
	if (chance(writer, 25))
		put_list(writer, "when", put_condition, 1, 2);
	put(writer, "}");
}

char *random_authorization_policy(struct random *random, const struct vocabulary *vocabulary, const char *namespace,
				  const char *name)
{
	static const char *const actions[] = { "ALLOW", "ALLOW", "ALLOW", "DENY", "DENY", "AUDIT" };
	struct writer writer;
	const char *action;
	const struct label *label;

	writer_start(&writer, random, vocabulary);
	action = actions[below(&writer, 6)];
	label = some_label(&writer, false);
	fprintf(writer.out, "--- {apiVersion: mesh.weft.dev/v1, kind: AuthorizationPolicy, metadata: {name: %s, namespace: %s", name, namespace);
	if (chance(&writer, 20))
		put(&writer, ", annotations: {mesh.weft.dev/dry-run: 'true'}");
	fprintf(writer.out, "}, spec: {action: %s, ", action);
	if (chance(&writer, 70))
		fprintf(writer.out, "selector: {matchLabels: {'%s': '%s'}}, ", label->key, label->value);
	put_list(&writer, "rules", put_authorization_rule, strcmp(action, "ALLOW") != 0, 3);
	put(&writer, "}}\n");
	return writer_end(&writer);
}
