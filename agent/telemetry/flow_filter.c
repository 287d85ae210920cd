/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/flow_filter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "util/addr.h"

enum side { BOTH, FROM, TO };

struct condition {
	const struct field *field;
	enum side side;
	bool negated;
	char *text; /* the value as written */
	struct weft_addr addr; /* ip */
	uint64_t number; /* port, identity; length of the prefix for ip; protocol, type, drop-reason */
};

typedef int parse_fn(struct condition *condition);
typedef bool match_end_fn(const struct condition *condition, const struct flow *flow, const struct flow_end *end);
typedef bool match_flow_fn(const struct condition *condition, const struct flow *flow);

struct field {
	struct flow_filter_field about; 
	parse_fn *parse;	/* NULL: any text will do */
	match_end_fn *match_end; /* of a sided field */
	match_flow_fn *match_flow;
};

struct flow_filter {
	struct condition conditions[FLOW_FILTER_MAX];
	size_t count;
};

/* --- values --- */

static int parse_number(struct condition *condition, uint64_t maximum)
{
	char *end;

	errno = 0;
	condition->number = strtoull(condition->text, &end, 10);
	if (condition->text[0] < '0' || condition->text[0] > '9' || *end || errno || condition->number > maximum)
		return -EINVAL;
	return 0;
}

static int parse_port(struct condition *condition) { return parse_number(condition, UINT16_MAX); }

static int parse_ip(struct condition *condition)
{
	uint8_t length;

	if (cidr_parse(condition->text, &condition->addr, &length) < 0)
		return -EINVAL;
	condition->number = length;
	return 0;
}

static int parse_with(struct condition *condition, int (*parse)(const char *name, uint8_t *ret))
{
	uint8_t number;

	if (parse(condition->text, &number) < 0)
		return -EINVAL;
	condition->number = number;
	return 0;
}

static int parse_protocol(struct condition *condition) { return parse_with(condition, flow_protocol_parse); }
static int parse_type(struct condition *condition) { return parse_with(condition, flow_type_parse); }
static int parse_reason(struct condition *condition) { return parse_with(condition, flow_reason_parse); }

static int parse_one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (!strcasecmp(text, *words))
			return 0;
	return -EINVAL;
}

static int parse_verdict(struct condition *condition)
{
	static const char *const words[] = { "FORWARDED", "DROPPED",	"AUDIT", "REDIRECTED",
					     "ERROR",	  "TRANSLATED", NULL };

	return parse_one_of(condition->text, words);
}

static int parse_tls(struct condition *condition)
{
	static const char *const words[] = { "true", "false", NULL };

	return parse_one_of(condition->text, words);
}

static int parse_ip_version(struct condition *condition)
{
	return parse_number(condition, 6) < 0 || (condition->number != 4 && condition->number != 6) ? -EINVAL : 0;
}

/* --- matching --- */

static bool starts_with(const char *text, const char *prefix, size_t length)
{
	return text && !strncmp(text, prefix, length);
}

static bool equals(const char *text, const char *other, size_t length)
{
	return text && strlen(text) == length && !strncmp(text, other, length);
}

/* "NAMESPACE/PREFIX", "NAMESPACE/" (all of it), or "PREFIX" in any namespace: the way Hubble's users write pods. */
static bool match_name(const char *text, const char *namespace, const char *name)
{
	const char *slash = strchr(text, '/');

	if (slash && !equals(namespace, text, (size_t)(slash - text)))
		return false;
	return starts_with(name, slash ? slash + 1 : text, strlen(slash ? slash + 1 : text));
}

static bool match_pod(const struct condition *condition, const struct flow *flow, const struct flow_end *end)
{
	(void)flow;
	return match_name(condition->text, end->namespace, end->pod);
}

static bool match_namespace(const struct condition *condition, const struct flow *flow, const struct flow_end *end)
{
	(void)flow;
	return equals(end->namespace, condition->text, strlen(condition->text));
}

/* Whether "key=value" (or a bare key) is among the labels "a=b,c=d". */
static bool has_label(const char *labels, const char *wanted, size_t length)
{
	bool with_value = memchr(wanted, '=', length) != NULL;

	while (labels && *labels) {
		size_t size = strcspn(labels, ","), compared = with_value ? size : strcspn(labels, "=,");

		if (compared == length && !strncmp(labels, wanted, length))
			return true;
		labels += size + (labels[size] == ',');
	}
	return false;
}

static bool match_label(const struct condition *condition, const struct flow *flow, const struct flow_end *end)
{
	const char *wanted = condition->text;

	(void)flow;
	while (*wanted) {
		size_t length = strcspn(wanted, ",");

		if (!has_label(end->labels, wanted, length))
			return false;
		wanted += length + (wanted[length] == ',');
	}
	return true;
}

static bool match_ip(const struct condition *condition, const struct flow *flow, const struct flow_end *end)
{
	(void)flow;
	return cidr_contains(&condition->addr, (uint8_t)condition->number, &end->addr);
}

/* Only the destination is reached by way of a service. */
static bool match_service(const struct condition *condition, const struct flow *flow, const struct flow_end *end)
{
	return end == &flow->destination && match_name(condition->text, flow->service_namespace, flow->service_name);
}

static bool match_port(const struct condition *condition, const struct flow *flow, const struct flow_end *end)
{
	return end->port == condition->number ||
	       (end == &flow->destination && flow->service_port && flow->service_port == condition->number);
}

static bool match_workload(const struct condition *condition, const struct flow *flow, const struct flow_end *end)
{
	(void)flow;
	return match_name(condition->text, end->namespace, end->workload_name);
}

static bool match_identity(const struct condition *condition, const struct flow *flow, const struct flow_end *end)
{
	char *rest;
	unsigned long number = strtoul(condition->text, &rest, 10);

	(void)flow;
	if (condition->text[0] >= '0' && condition->text[0] <= '9' && !*rest)
		return end->identity == number;
	return equals(end->identity_name, condition->text, strlen(condition->text));
}

static bool match_node(const struct condition *condition, const struct flow *flow, const struct flow_end *end)
{
	(void)flow;
	return equals(end->node, condition->text, strlen(condition->text));
}

static bool match_reporter_node(const struct condition *condition, const struct flow *flow)
{
	return equals(flow->node, condition->text, strlen(condition->text));
}

static bool match_verdict(const struct condition *condition, const struct flow *flow)
{
	return !strcasecmp(flow_verdict(flow), condition->text);
}

static bool match_protocol(const struct condition *condition, const struct flow *flow)
{
	return flow->protocol == condition->number;
}

static bool match_type(const struct condition *condition, const struct flow *flow)
{
	return flow->type == condition->number;
}

static bool match_reason(const struct condition *condition, const struct flow *flow)
{
	return flow->reason == condition->number;
}

static bool match_tls(const struct condition *condition, const struct flow *flow)
{
	return flow->tls == !strcasecmp(condition->text, "true");
}

static bool match_ip_version(const struct condition *condition, const struct flow *flow)
{
	return addr_is_v4(&flow->source.addr) == (condition->number == 4);
}

/* --- the table --- */

#define SIDED(name, argument, help, parse, match) { { name, argument, help, true }, parse, match, NULL }
#define WHOLE(name, argument, help, parse, match) { { name, argument, help, false }, parse, NULL, match }

static const struct field fields[] = {
	SIDED("pod", "[NAMESPACE/]PREFIX", "pod", NULL, match_pod),
	SIDED("namespace", "NAMESPACE", "namespace", NULL, match_namespace),
	SIDED("label", "KEY[=VALUE][,...]", "labels, all of them", NULL, match_label),
	SIDED("ip", "ADDRESS[/LENGTH]", "address or block of addresses", parse_ip, match_ip),
	SIDED("service", "[NAMESPACE/]PREFIX", "service", NULL, match_service),
	SIDED("port", "PORT", "port", parse_port, match_port),
	SIDED("workload", "[NAMESPACE/]PREFIX", "workload (Deployment and the like)", NULL, match_workload),
	SIDED("identity", "NUMBER|NAME", "identity", NULL, match_identity),
	{ { "node", "NODE", "node; plain: the node that reports", true }, NULL, match_node, match_reporter_node },
	WHOLE("verdict", "VERDICT", "FORWARDED, DROPPED, AUDIT, REDIRECTED, ERROR or TRANSLATED", parse_verdict,
	      match_verdict),
	WHOLE("protocol", "PROTOCOL", "tcp, udp, sctp, icmp, icmpv6 or a number", parse_protocol, match_protocol),
	WHOLE("type", "TYPE", "connect, accept, deny, close, report, fail or audit", parse_type, match_type),
	WHOLE("drop-reason", "REASON", "why it was refused: POLICY_DENIED, NO_ENDPOINT ...", parse_reason,
	      match_reason),
	WHOLE("tls", "true|false", "encrypted or clear", parse_tls, match_tls),
	WHOLE("ip-version", "4|6", "address family", parse_ip_version, match_ip_version),
};
#define FIELD_COUNT (sizeof(fields) / sizeof(*fields))

const struct flow_filter_field *flow_filter_fields(void)
{
	static struct flow_filter_field rows[FIELD_COUNT + 1];

	for (size_t i = 0; i < FIELD_COUNT; i++)
		rows[i] = fields[i].about;
	return rows;
}

int flow_filter_new(struct flow_filter **ret)
{
	struct flow_filter *filter = calloc(1, sizeof(*filter));

	if (!filter)
		return -ENOMEM;
	*ret = filter;
	return 0;
}

void flow_filter_free(struct flow_filter *filter)
{
	if (!filter)
		return;
	for (size_t i = 0; i < filter->count; i++)
		free(filter->conditions[i].text);
	free(filter);
}

static const struct field *find_field(const char *name, size_t length, enum side *ret_side)
{
	enum side side = BOTH;

	if (!strncmp(name, "from-", 5))
		side = FROM;
	else if (!strncmp(name, "to-", 3))
		side = TO;
	if (side != BOTH) {
		size_t prefix = side == FROM ? 5 : 3;

		if (length <= prefix)
			return NULL;
		name += prefix;
		length -= prefix;
	}
	for (size_t i = 0; i < FIELD_COUNT; i++)
		if (equals(fields[i].about.name, name, length) && (side == BOTH || fields[i].about.sided)) {
			*ret_side = side;
			return &fields[i];
		}
	return NULL;
}

int flow_filter_add(struct flow_filter *filter, const char *condition, char reason[256])
{
	struct condition parsed = { .negated = condition[0] == '!' };
	const char *name = condition + parsed.negated, *equal = strchr(name, '=');

	parsed.field = equal ? find_field(name, (size_t)(equal - name), &parsed.side) : NULL;
	if (!parsed.field) {
		snprintf(reason, 256,
			 "filter \"%.100s\": must be FIELD=VALUE with a FIELD that exists, e.g. from-pod=default/web",
			 condition);
		return -EINVAL;
	}
	if (filter->count == FLOW_FILTER_MAX) {
		snprintf(reason, 256, "more than %d filters", FLOW_FILTER_MAX);
		return -E2BIG;
	}
	parsed.text = strdup(equal + 1);
	if (!parsed.text)
		return -ENOMEM;
	if (!*parsed.text || (parsed.field->parse && parsed.field->parse(&parsed) < 0)) {
		snprintf(reason, 256, "%.*s \"%.80s\": must be %s (%s)", (int)(equal - name), name, parsed.text,
			 parsed.field->about.argument, parsed.field->about.help);
		free(parsed.text);
		return -EINVAL;
	}
	filter->conditions[filter->count++] = parsed;
	return 0;
}

static bool condition_matches(const struct condition *condition, const struct flow *flow)
{
	const struct field *field = condition->field;

	if (condition->side == BOTH && field->match_flow)
		return field->match_flow(condition, flow);
	return (condition->side != TO && field->match_end(condition, flow, &flow->source)) ||
	       (condition->side != FROM && field->match_end(condition, flow, &flow->destination));
}

static bool same_group(const struct condition *a, const struct condition *b)
{
	return a->field == b->field && a->side == b->side && a->negated == b->negated;
}

/* Whether any of the alternatives to which condition `first` belongs matches. */
static bool group_matches(const struct flow_filter *filter, size_t first, const struct flow *flow)
{
	for (size_t i = first; i < filter->count; i++)
		if (same_group(&filter->conditions[first], &filter->conditions[i]) &&
		    condition_matches(&filter->conditions[i], flow))
			return true;
	return false;
}

static bool is_first_of_group(const struct flow_filter *filter, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (same_group(&filter->conditions[i], &filter->conditions[index]))
			return false;
	return true;
}

bool flow_filter_matches(const struct flow_filter *filter, const struct flow *flow)
{
	for (size_t i = 0; filter && i < filter->count; i++)
		if (is_first_of_group(filter, i) && group_matches(filter, i, flow) == filter->conditions[i].negated)
			return false;
	return true;
}
