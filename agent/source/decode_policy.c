/* SPDX-License-Identifier: Apache-2.0 */
/* NetworkPolicy, with the validation and defaulting of networking.k8s.io/v1. */
#include <errno.h>
#include <string.h>

#include "source/decode.h"
#include "util/addr.h"

/* "except" entries lie inside the block, and are smaller than it. */
static int except_item(struct decoder *decoder, const cJSON *json, void *item)
{
	return decode_cidr(decoder, NULL, json->valuestring, item);
}

static int decode_ip_block(struct decoder *decoder, const cJSON *json, struct ip_block *block)
{
	enum { CIDR, EXCEPT, FIELDS };
	static const struct field fields[] = { [CIDR] = { "cidr", FIELD_STRING },
					       [EXCEPT] = { "except", FIELD_STRINGS } };
	const cJSON *values[FIELDS];
	size_t path = decode_enter(decoder, ".ipBlock");
	int error = DECODE_FIELDS(decoder, json, fields, true, values);

	if (error < 0)
		return error;
	if (!values[CIDR])
		return decode_fail(decoder, "cidr", "is missing");
	error = decode_cidr(decoder, "cidr", values[CIDR]->valuestring, &block->cidr);
	if (!error && !strchr(values[CIDR]->valuestring, '/'))
		error = decode_fail(decoder, "cidr", "\"%.60s\" has no length: write it as 10.0.0.1/32",
				    values[CIDR]->valuestring);
	if (!error)
		error = DECODE_ARRAY(decoder, "except", values[EXCEPT], except_item, block->except,
				     block->except_count);
	for (size_t i = 0; i < block->except_count && !error; i++)
		if (block->except[i].length <= block->cidr.length ||
		    addr_is_v4(&block->except[i].addr) != addr_is_v4(&block->cidr.addr) ||
		    !cidr_contains(&block->cidr.addr, block->cidr.length, &block->except[i].addr))
			error = decode_fail(decoder, "except", "[%zu]: must be a smaller block inside %s", i,
					    values[CIDR]->valuestring);
	if (!error)
		decode_leave(decoder, path);
	return error;
}

static int peer_item(struct decoder *decoder, const cJSON *json, void *item)
{
	enum { PODS, NAMESPACES, BLOCK, FIELDS };
	static const struct field fields[] = {
		[PODS] = { "podSelector", FIELD_OBJECT },
		[NAMESPACES] = { "namespaceSelector", FIELD_OBJECT },
		[BLOCK] = { "ipBlock", FIELD_OBJECT },
	};
	struct network_policy_peer *peer = item;
	const cJSON *values[FIELDS];
	int error = DECODE_FIELDS(decoder, json, fields, true, values);

	if (error < 0)
		return error;
	if (!values[PODS] && !values[NAMESPACES] && !values[BLOCK])
		return decode_fail(decoder, NULL, "must have a podSelector, a namespaceSelector or an ipBlock");
	if (values[BLOCK] && (values[PODS] || values[NAMESPACES]))
		return decode_fail(decoder, "ipBlock",
				   "must stand alone: no podSelector or namespaceSelector beside it");
	peer->has_pod_selector = values[PODS];
	peer->has_namespace_selector = values[NAMESPACES];
	peer->has_ip_block = values[BLOCK];
	if (peer->has_pod_selector)
		error = decode_selector(decoder, "podSelector", values[PODS], true, &peer->pod_selector);
	if (!error && peer->has_namespace_selector)
		error = decode_selector(decoder, "namespaceSelector", values[NAMESPACES], true,
					&peer->namespace_selector);
	if (!error && peer->has_ip_block)
		error = decode_ip_block(decoder, values[BLOCK], &peer->ip_block);
	return error;
}

static int port_item(struct decoder *decoder, const cJSON *json, void *item)
{
	enum { PROTOCOL, PORT, END, FIELDS };
	static const struct field fields[] = {
		[PROTOCOL] = { "protocol", FIELD_STRING },
		[PORT] = { "port", FIELD_INTEGER_OR_STRING },
		[END] = { "endPort", FIELD_INTEGER },
	};
	struct network_policy_port *port = item;
	const cJSON *values[FIELDS];
	int error = DECODE_FIELDS(decoder, json, fields, true, values);

	if (!error)
		error = decode_protocol(decoder, values[PROTOCOL], &port->protocol);
	if (!error)
		error = decode_port_ref(decoder, "port", values[PORT], &port->port);
	if (error < 0 || !values[END])
		return error;
	if (!port->port.number)
		return decode_fail(decoder, "endPort", "needs a port that is a number");
	error = decode_port(decoder, "endPort", values[END], &port->end_port);
	if (!error && port->end_port < port->port.number)
		return decode_fail(decoder, "endPort", "%u must not be below port %u", port->end_port,
				   port->port.number);
	return error;
}

static int decode_rule(struct decoder *decoder, const cJSON *json, const char *peers, struct network_policy_rule *rule)
{
	enum { PEERS, PORTS, FIELDS };
	const struct field fields[] = { [PEERS] = { peers, FIELD_ARRAY }, [PORTS] = { "ports", FIELD_ARRAY } };
	const cJSON *values[FIELDS];
	int error = DECODE_FIELDS(decoder, json, fields, true, values);

	if (!error)
		error = DECODE_ARRAY(decoder, peers, values[PEERS], peer_item, rule->peers, rule->peer_count);
	if (!error)
		error = DECODE_ARRAY(decoder, "ports", values[PORTS], port_item, rule->ports, rule->port_count);
	return error;
}

static int ingress_rule(struct decoder *decoder, const cJSON *json, void *item)
{
	return decode_rule(decoder, json, "from", item);
}
static int egress_rule(struct decoder *decoder, const cJSON *json, void *item)
{
	return decode_rule(decoder, json, "to", item);
}

/* Not given: Ingress always, Egress if there are egress rules. */
static int decode_policy_types(struct decoder *decoder, const cJSON *types)
{
	static const char *const names[] = { "Ingress", "Egress", NULL };
	struct network_policy_object *policy = decoder->object;
	const cJSON *item;

	if (!cJSON_GetArraySize(types)) {
		policy->ingress = true;
		policy->egress = policy->rule_count[WEFT_EGRESS] > 0;
		return 0;
	}
	cJSON_ArrayForEach (item, types) {
		int type, error = decode_choice(decoder, "policyTypes", item, names, -1, &type);

		if (error < 0)
			return error;
		if (type < 0)
			return decode_fail(decoder, "policyTypes", "\"\" must be Ingress or Egress");
		policy->ingress |= type == 0;
		policy->egress |= type == 1;
	}
	return 0;
}

int decode_network_policy(struct decoder *decoder, const cJSON *document)
{
	enum { SPEC, FIELDS };
	static const struct field fields[] = {
		[SPEC] = { "spec", FIELD_OBJECT }, { "apiVersion", FIELD_IGNORED }, { "kind", FIELD_IGNORED },
		{ "metadata", FIELD_IGNORED },	   { "status", FIELD_IGNORED },
	};
	enum { PODS, INGRESS, EGRESS, TYPES, SPEC_FIELDS };
	static const struct field spec_fields[] = {
		[PODS] = { "podSelector", FIELD_OBJECT },
		[INGRESS] = { "ingress", FIELD_ARRAY },
		[EGRESS] = { "egress", FIELD_ARRAY },
		[TYPES] = { "policyTypes", FIELD_STRINGS },
	};
	struct network_policy_object *policy = decoder->object;
	const cJSON *values[sizeof(fields) / sizeof(*fields)], *spec[SPEC_FIELDS];
	int error = DECODE_FIELDS(decoder, document, fields, true, values);

	if (error < 0)
		return error;
	decode_enter(decoder, "spec");
	if (!values[SPEC])
		return decode_fail(decoder, NULL, "is missing");
	error = DECODE_FIELDS(decoder, values[SPEC], spec_fields, true, spec);
	if (!error)
		error = decode_selector(decoder, "podSelector", spec[PODS], true, &policy->pod_selector);
	if (!error)
		error = DECODE_ARRAY(decoder, "ingress", spec[INGRESS], ingress_rule, policy->rules[WEFT_INGRESS],
				     policy->rule_count[WEFT_INGRESS]);
	if (!error)
		error = DECODE_ARRAY(decoder, "egress", spec[EGRESS], egress_rule, policy->rules[WEFT_EGRESS],
				     policy->rule_count[WEFT_EGRESS]);
	return error < 0 ? error : decode_policy_types(decoder, spec[TYPES]);
}
