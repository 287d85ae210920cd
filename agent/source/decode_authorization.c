/* SPDX-License-Identifier: Apache-2.0 */
/* AuthorizationPolicy and PeerAuthentication: Istio's shapes, and what its validating webhook refuses. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "source/decode.h"
#include "util/hash.h"
#include "util/intern.h"

#define SPIFFE_SCHEME "spiffe://"

/* --- AuthorizationPolicy: values --- */

static int match_item(struct decoder *decoder, const cJSON *json, void *item)
{
	const char *text = json->valuestring;

	if (!*text)
		return decode_fail(decoder, NULL, "must not be empty");
	*(const char **)item = intern(text);
	return *(const char **)item ? 0 : -ENOMEM;
}

static int principal_item(struct decoder *decoder, const cJSON *json, void *item)
{
	int error = match_item(decoder, json, item);
	const char **text = item;

	if (!error && !strncmp(*text, SPIFFE_SCHEME, strlen(SPIFFE_SCHEME)))
		*text = intern(*text + strlen(SPIFFE_SCHEME));
	return error < 0 || *text ? error : -ENOMEM;
}

static int block_item(struct decoder *decoder, const cJSON *json, void *item)
{
	return decode_cidr(decoder, NULL, json->valuestring, item);
}

static int parse_port(struct decoder *decoder, const char *text, uint16_t *ret)
{
	unsigned long number;
	char *end;

	number = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || number < 1 || number > 65535)
		return decode_fail(decoder, NULL, "\"%.40s\" is not a port: must be from 1 to 65535", text);
	*ret = (uint16_t)number;
	return 0;
}

static int port_item(struct decoder *decoder, const cJSON *json, void *item)
{
	return parse_port(decoder, json->valuestring, item);
}

#define DECODE_MATCH(decoder, field, json, item, match)                                                                \
	DECODE_ARRAY(decoder, field, json, item, (match).values, (match).count)
#define DECODE_LIST(decoder, field, json, item, list)                                                                  \
	DECODE_ARRAY(decoder, field, json, item, (list).items, (list).count)

/* A rule that asks for what L4 cannot see: as a DENY it matches without that, as an ALLOW it never matches. */
static void report_http(struct decoder *decoder, const char *field)
{
	const struct authorization_policy_object *policy = decoder->object;

	decode_report(decoder, field, "cannot be decided below HTTP: %s",
		      policy->action == AUTHORIZE_ALLOW ? "the rule never matches"
							: "the rule matches as if this were not there");
}

/* Whether any of the fields, which are of HTTP, is given and not empty; reports those that are. */
static bool any_http(struct decoder *decoder, const struct field *fields, const cJSON *const *values, size_t count)
{
	bool any = false;

	for (size_t i = 0; i < count; i++) {
		if (!cJSON_GetArraySize(values[i]))
			continue;
		report_http(decoder, fields[i].name);
		any = true;
	}
	return any;
}

/* Whether any of the fields is given and not empty. */
static bool any_given(const cJSON *const *values, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (cJSON_GetArraySize(values[i]))
			return true;
	return false;
}

/* --- AuthorizationPolicy: from, to, when --- */

enum source_field {
	PRINCIPALS,
	NOT_PRINCIPALS,
	NAMESPACES,
	NOT_NAMESPACES,
	ACCOUNTS,
	NOT_ACCOUNTS,
	BLOCKS,
	NOT_BLOCKS,
	REMOTE,
	NOT_REMOTE,
	SOURCE_HTTP,
	REQUEST_PRINCIPALS = SOURCE_HTTP,
	NOT_REQUEST_PRINCIPALS,
	SOURCE_FIELDS
};
static const struct field source_fields[] = {
	[PRINCIPALS] = { "principals", FIELD_STRINGS },
	[NOT_PRINCIPALS] = { "notPrincipals", FIELD_STRINGS },
	[NAMESPACES] = { "namespaces", FIELD_STRINGS },
	[NOT_NAMESPACES] = { "notNamespaces", FIELD_STRINGS },
	[ACCOUNTS] = { "serviceAccounts", FIELD_STRINGS },
	[NOT_ACCOUNTS] = { "notServiceAccounts", FIELD_STRINGS },
	[BLOCKS] = { "ipBlocks", FIELD_STRINGS },
	[NOT_BLOCKS] = { "notIpBlocks", FIELD_STRINGS },
	[REMOTE] = { "remoteIpBlocks", FIELD_STRINGS },
	[NOT_REMOTE] = { "notRemoteIpBlocks", FIELD_STRINGS },
	[REQUEST_PRINCIPALS] = { "requestPrincipals", FIELD_STRINGS },
	[NOT_REQUEST_PRINCIPALS] = { "notRequestPrincipals", FIELD_STRINGS },
};

static int source_names(struct decoder *decoder, const cJSON *const *values, struct authorization_source *source)
{
	const struct {
		enum source_field field;
		decode_each_fn *item;
		struct string_match *match;
	} matches[] = {
		{ PRINCIPALS, principal_item, &source->principals },
		{ NOT_PRINCIPALS, principal_item, &source->not_principals },
		{ NAMESPACES, match_item, &source->namespaces },
		{ NOT_NAMESPACES, match_item, &source->not_namespaces },
		{ ACCOUNTS, match_item, &source->service_accounts },
		{ NOT_ACCOUNTS, match_item, &source->not_service_accounts },
	};
	int error = 0;

	for (size_t i = 0; i < sizeof(matches) / sizeof(*matches) && !error; i++)
		error = DECODE_MATCH(decoder, source_fields[matches[i].field].name, values[matches[i].field],
				     matches[i].item, *matches[i].match);
	return error;
}

static int source_blocks(struct decoder *decoder, const cJSON *const *values, struct authorization_source *source)
{
	const struct {
		enum source_field field;
		struct cidr_list *list;
	} lists[] = {
		{ BLOCKS, &source->ip_blocks },
		{ NOT_BLOCKS, &source->not_ip_blocks },
		{ REMOTE, &source->remote_ip_blocks },
		{ NOT_REMOTE, &source->not_remote_ip_blocks },
	};
	int error = 0;

	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists) && !error; i++)
		error = DECODE_LIST(decoder, source_fields[lists[i].field].name, values[lists[i].field], block_item,
				    *lists[i].list);
	return error;
}

static int from_item(struct decoder *decoder, const cJSON *json, void *item)
{
	enum { SOURCE, FIELDS };
	static const struct field fields[] = { [SOURCE] = { "source", FIELD_OBJECT } };
	struct authorization_source *source = item;
	const cJSON *values[SOURCE_FIELDS], *outer[FIELDS];
	int error = DECODE_FIELDS(decoder, json, fields, true, outer);

	if (error < 0)
		return error;
	decode_enter(decoder, ".source");
	if (!outer[SOURCE])
		return decode_fail(decoder, NULL, "is missing");
	error = DECODE_FIELDS(decoder, outer[SOURCE], source_fields, true, values);
	if (error < 0)
		return error;
	if (!any_given(values, SOURCE_FIELDS))
		return decode_fail(decoder, NULL,
				   "must have at least one field that Weft knows, and that is not empty");
	if ((values[ACCOUNTS] || values[NOT_ACCOUNTS]) &&
	    (values[PRINCIPALS] || values[NOT_PRINCIPALS] || values[NAMESPACES] || values[NOT_NAMESPACES]))
		return decode_fail(decoder, "serviceAccounts", "must not stand beside principals or namespaces");
	source->http_fields = any_http(decoder, source_fields + SOURCE_HTTP, values + SOURCE_HTTP,
				       SOURCE_FIELDS - SOURCE_HTTP);
	error = source_names(decoder, values, source);
	return error < 0 ? error : source_blocks(decoder, values, source);
}

static int to_item(struct decoder *decoder, const cJSON *json, void *item)
{
	enum { OPERATION, FIELDS };
	static const struct field outer_fields[] = { [OPERATION] = { "operation", FIELD_OBJECT } };
	enum {
		PORTS,
		NOT_PORTS,
		HTTP,
		HOSTS = HTTP,
		NOT_HOSTS,
		METHODS,
		NOT_METHODS,
		PATHS,
		NOT_PATHS,
		OPERATION_FIELDS
	};
	static const struct field fields[] = {
		[PORTS] = { "ports", FIELD_STRINGS },	  [NOT_PORTS] = { "notPorts", FIELD_STRINGS },
		[HOSTS] = { "hosts", FIELD_STRINGS },	  [NOT_HOSTS] = { "notHosts", FIELD_STRINGS },
		[METHODS] = { "methods", FIELD_STRINGS }, [NOT_METHODS] = { "notMethods", FIELD_STRINGS },
		[PATHS] = { "paths", FIELD_STRINGS },	  [NOT_PATHS] = { "notPaths", FIELD_STRINGS },
	};
	struct authorization_operation *operation = item;
	const cJSON *values[OPERATION_FIELDS], *outer[FIELDS];
	int error = DECODE_FIELDS(decoder, json, outer_fields, true, outer);

	if (error < 0)
		return error;
	decode_enter(decoder, ".operation");
	if (!outer[OPERATION])
		return decode_fail(decoder, NULL, "is missing");
	error = DECODE_FIELDS(decoder, outer[OPERATION], fields, true, values);
	if (error < 0)
		return error;
	if (!any_given(values, OPERATION_FIELDS))
		return decode_fail(decoder, NULL,
				   "must have at least one field that Weft knows, and that is not empty");
	operation->http_fields = any_http(decoder, fields + HTTP, values + HTTP, OPERATION_FIELDS - HTTP);
	error = DECODE_LIST(decoder, "ports", values[PORTS], port_item, operation->ports);
	return error < 0 ? error : DECODE_LIST(decoder, "notPorts", values[NOT_PORTS], port_item, operation->not_ports);
}

static int check_block(struct decoder *decoder, const char *text)
{
	struct cidr cidr;

	return decode_cidr(decoder, NULL, text, &cidr);
}

static int check_port(struct decoder *decoder, const char *text)
{
	uint16_t port;

	return parse_port(decoder, text, &port);
}

/* The keys of conditions that L4 can decide, and what their values must look like. */
static const struct {
	const char *key;
	int (*check)(struct decoder *decoder, const char *text);
} l4_keys[] = {
	{ "source.ip", check_block }, { "remote.ip", check_block },	 { "source.namespace", NULL },
	{ "source.principal", NULL }, { "destination.ip", check_block }, { "destination.port", check_port },
};

/* Keys that Istio knows beside them: of HTTP, of TLS, of its own extensions. */
static bool is_other_key(const char *key)
{
	static const char *const keys[] = {
		"request.", "connection.sni", "experimental.", "source.serviceAccount", "destination.",
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		if (!strncmp(key, keys[i], strlen(keys[i])))
			return true;
	return false;
}

static int check_values(struct decoder *decoder, const char *field, const cJSON *json,
			int (*check)(struct decoder *, const char *))
{
	size_t path = decode_enter(decoder, ".%s", field);
	const cJSON *item;

	cJSON_ArrayForEach (item, json) {
		int error = check ? check(decoder, item->valuestring) : 0;

		if (error < 0)
			return error;
	}
	decode_leave(decoder, path);
	return 0;
}

static int condition_values(struct decoder *decoder, const cJSON *values, const cJSON *not_values,
			    struct authorization_condition *condition)
{
	size_t known = 0;
	int error;

	while (strcmp(l4_keys[known].key, condition->key) != 0)
		known++;
	error = check_values(decoder, "values", values, l4_keys[known].check);
	if (!error)
		error = check_values(decoder, "notValues", not_values, l4_keys[known].check);
	if (!error)
		error = DECODE_MATCH(decoder, "values", values,
				     strcmp(condition->key, "source.principal") != 0 ? match_item : principal_item,
				     condition->values);
	if (!error)
		error = DECODE_MATCH(decoder, "notValues", not_values,
				     strcmp(condition->key, "source.principal") != 0 ? match_item : principal_item,
				     condition->not_values);
	return error;
}

static bool is_l4_key(const char *key)
{
	for (size_t i = 0; i < sizeof(l4_keys) / sizeof(*l4_keys); i++)
		if (!strcmp(key, l4_keys[i].key))
			return true;
	return false;
}

/* A condition that L4 cannot decide is left with key NULL; its rule is marked and does without it. */
static int when_item(struct decoder *decoder, const cJSON *json, void *item)
{
	enum { KEY, VALUES, NOT_VALUES, FIELDS };
	static const struct field fields[] = {
		[KEY] = { "key", FIELD_STRING },
		[VALUES] = { "values", FIELD_STRINGS },
		[NOT_VALUES] = { "notValues", FIELD_STRINGS },
	};
	struct authorization_condition *condition = item;
	const cJSON *values[FIELDS];
	int error = DECODE_FIELDS(decoder, json, fields, true, values);
	const char *key;

	if (error < 0)
		return error;
	if (!values[KEY])
		return decode_fail(decoder, "key", "is missing");
	if (!cJSON_GetArraySize(values[VALUES]) && !cJSON_GetArraySize(values[NOT_VALUES]))
		return decode_fail(decoder, NULL, "must have values or notValues");
	key = values[KEY]->valuestring;
	if (is_l4_key(key)) {
		error = decode_string(values[KEY], &condition->key);
		return error < 0 ? error : condition_values(decoder, values[VALUES], values[NOT_VALUES], condition);
	}
	if (!is_other_key(key))
		return decode_fail(decoder, "key", "\"%.80s\" is not a key of conditions", key);
	report_http(decoder, key);
	return 0;
}

static void drop_http_conditions(struct authorization_rule *rule)
{
	size_t kept = 0;

	for (size_t i = 0; i < rule->when_count; i++)
		if (rule->when[i].key)
			rule->when[kept++] = rule->when[i];
	rule->http_fields = kept < rule->when_count;
	rule->when_count = kept;
}

static int rule_item(struct decoder *decoder, const cJSON *json, void *item)
{
	enum { FROM, TO, WHEN, FIELDS };
	static const struct field fields[] = {
		[FROM] = { "from", FIELD_ARRAY },
		[TO] = { "to", FIELD_ARRAY },
		[WHEN] = { "when", FIELD_ARRAY },
	};
	struct authorization_rule *rule = item;
	const cJSON *values[FIELDS];
	int error = DECODE_FIELDS(decoder, json, fields, true, values);

	if (error < 0)
		return error;
	/* an empty list could be read as "nobody" or as "everybody" */
	for (size_t i = 0; i < FIELDS; i++)
		if (values[i] && !values[i]->child)
			return decode_fail(decoder, fields[i].name,
					   "must not be an empty list: leave it out to match everything");
	error = DECODE_ARRAY(decoder, "from", values[FROM], from_item, rule->from, rule->from_count);
	if (!error)
		error = DECODE_ARRAY(decoder, "to", values[TO], to_item, rule->to, rule->to_count);
	if (!error)
		error = DECODE_ARRAY(decoder, "when", values[WHEN], when_item, rule->when, rule->when_count);
	if (!error)
		drop_http_conditions(rule);
	return error;
}

/* --- AuthorizationPolicy: the whole --- */

static void authorization_dry_run(struct decoder *decoder)
{
	struct authorization_policy_object *policy = decoder->object;
	const char *text = decode_annotation(decoder, "mesh.weft.dev/dry-run");

	if (!text)
		text = decode_annotation(decoder, "istio.io/dry-run");
	policy->dry_run = text && !strcmp(text, "true");
	if (text && !policy->dry_run && strcmp(text, "false") != 0)
		decode_report(decoder, "metadata.annotations",
			      "dry-run \"%.40s\" is neither true nor false: the policy is enforced", text);
}

static int authorization_spec(struct decoder *decoder, const cJSON *json)
{
	enum { SELECTOR, TARGET, TARGETS, RULES, ACTION, FIELDS };
	static const struct field fields[] = {
		[SELECTOR] = { "selector", FIELD_OBJECT },
		[TARGET] = { "targetRef", FIELD_OBJECT },
		[TARGETS] = { "targetRefs", FIELD_ARRAY },
		[RULES] = { "rules", FIELD_ARRAY },
		[ACTION] = { "action", FIELD_STRING },
		{ "provider", FIELD_IGNORED }, /* of CUSTOM, which is refused as a whole */
	};
	static const char *const actions[] = { "ALLOW", "DENY", "AUDIT", "CUSTOM", NULL };
	struct authorization_policy_object *policy = decoder->object;
	const cJSON *values[sizeof(fields) / sizeof(*fields)];
	int action, error = DECODE_FIELDS(decoder, json, fields, true, values);

	if (!error)
		error = decode_choice(decoder, "action", values[ACTION], actions, AUTHORIZE_ALLOW, &action);
	if (error < 0)
		return error;
	policy->action = (enum authorization_action)action;
	policy->targets_services = values[TARGET] || cJSON_GetArraySize(values[TARGETS]);
	if (policy->targets_services && values[SELECTOR])
		return decode_fail(decoder, "selector", "must not stand beside targetRefs");
	if (policy->targets_services)
		decode_report(decoder, "targetRefs",
			      "is not supported at L4: the policy is not applied; use a selector");
	if (action != AUTHORIZE_ALLOW && !cJSON_GetArraySize(values[RULES]))
		return decode_fail(
			decoder, "rules",
			"is missing: a policy with the action %s and without rules does nothing (all: rules: [{}])",
			actions[action]);
	error = decode_selector(decoder, "selector", values[SELECTOR], false, &policy->selector);
	return error < 0 ? error
			 : DECODE_ARRAY(decoder, "rules", values[RULES], rule_item, policy->rules, policy->rule_count);
}

/* Both kinds are a spec, which may be left out, and a status that is none of our business. */
static int decode_spec(struct decoder *decoder, const cJSON *document,
		       int (*spec)(struct decoder *decoder, const cJSON *json))
{
	enum { SPEC, FIELDS };
	static const struct field fields[] = {
		[SPEC] = { "spec", FIELD_OBJECT }, { "apiVersion", FIELD_IGNORED }, { "kind", FIELD_IGNORED },
		{ "metadata", FIELD_IGNORED },	   { "status", FIELD_IGNORED },
	};
	const cJSON *values[sizeof(fields) / sizeof(*fields)];
	int error = DECODE_FIELDS(decoder, document, fields, true, values);

	if (error < 0)
		return error;
	decode_enter(decoder, "spec");
	return spec(decoder, values[SPEC]);
}

int decode_authorization_policy(struct decoder *decoder, const cJSON *document)
{
	int error = decode_spec(decoder, document, authorization_spec);

	decode_leave(decoder, 0);
	if (!error)
		authorization_dry_run(decoder);
	return error;
}

/* --- PeerAuthentication --- */

static int decode_mode(struct decoder *decoder, const cJSON *json, enum mtls_mode *ret)
{
	enum { MODE, FIELDS };
	static const struct field fields[] = { [MODE] = { "mode", FIELD_STRING } };
	static const char *const modes[] = { "UNSET", "DISABLE", "PERMISSIVE", "STRICT",
					     NULL }; /* order of enum mtls_mode */
	const cJSON *values[FIELDS];
	int mode, error = DECODE_FIELDS(decoder, json, fields, true, values);

	if (!error)
		error = decode_choice(decoder, "mode", values[MODE], modes, MTLS_UNSET, &mode);
	if (!error)
		*ret = (enum mtls_mode)mode;
	return error;
}

static int port_modes(struct decoder *decoder, const cJSON *json)
{
	struct peer_authentication_object *peer = decoder->object;
	size_t path = decode_enter(decoder, ".portLevelMtls");
	const cJSON *item;

	peer->port_modes = object_array(peer, (size_t)cJSON_GetArraySize(json), sizeof(*peer->port_modes));
	if (!peer->port_modes)
		return -ENOMEM;
	cJSON_ArrayForEach (item, json) {
		size_t inner = decode_enter(decoder, "[%.20s]", item->string), at = peer->port_mode_count;
		int error = parse_port(decoder, item->string, &peer->port_modes[at].port);

		if (!error)
			error = decode_mode(decoder, item, &peer->port_modes[at].mode);
		if (error < 0)
			return error;
		decoder->digest = hash_text(decoder->digest, item->string);
		peer->port_mode_count++;
		decode_leave(decoder, inner);
	}
	decode_leave(decoder, path);
	return 0;
}

static int peer_authentication_spec(struct decoder *decoder, const cJSON *json)
{
	enum { SELECTOR, MTLS, PORTS, FIELDS };
	static const struct field fields[] = {
		[SELECTOR] = { "selector", FIELD_OBJECT },
		[MTLS] = { "mtls", FIELD_OBJECT },
		[PORTS] = { "portLevelMtls", FIELD_OBJECT },
	};
	struct peer_authentication_object *peer = decoder->object;
	const cJSON *values[FIELDS];
	size_t path;
	int error = DECODE_FIELDS(decoder, json, fields, true, values);

	if (!error)
		error = decode_selector(decoder, "selector", values[SELECTOR], false, &peer->selector);
	if (error < 0)
		return error;
	if (values[PORTS] && values[PORTS]->child && !peer->selector.term_count)
		return decode_fail(decoder, "portLevelMtls", "needs a selector that names workloads");
	path = decode_enter(decoder, ".mtls");
	error = decode_mode(decoder, values[MTLS], &peer->mode);
	if (error < 0)
		return error;
	decode_leave(decoder, path);
	return port_modes(decoder, values[PORTS]);
}

int decode_peer_authentication(struct decoder *decoder, const cJSON *document)
{
	return decode_spec(decoder, document, peer_authentication_spec);
}
