/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/flow.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "util/addr.h"

static const char *const types[] = {
	[0] = "unknown",
	[WEFT_EVENT_CONNECT] = "connect",
	[WEFT_EVENT_ACCEPT] = "accept",
	[WEFT_EVENT_DENY] = "deny",
	[WEFT_EVENT_CLOSE] = "close",
	[WEFT_EVENT_REPORT] = "report",
	[WEFT_EVENT_FAIL] = "fail",
	[WEFT_EVENT_AUDIT] = "audit",
};

static const struct {
	const char *name, *text;
} reasons[] = {
#define REASON_ROW(number, name, text, flag) [number] = { #name, text },
	WEFT_REASONS(REASON_ROW)
#undef REASON_ROW
};

static const struct {
	const char *name;
	uint8_t number;
} protocols[] = {
	{ "TCP", IPPROTO_TCP },	      { "UDP", IPPROTO_UDP },	    { "SCTP", IPPROTO_SCTP },
	{ "ICMPv4", IPPROTO_ICMP },   { "ICMPv6", IPPROTO_ICMPV6 }, { "GRE", IPPROTO_GRE },
	{ "ESP", IPPROTO_ESP },
};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

const char *flow_type_name(uint8_t type) { return types[type < COUNT(types) ? type : 0]; }

const char *flow_reason_name(uint8_t reason) { return reason < COUNT(reasons) ? reasons[reason].name : "UNKNOWN"; }

const char *flow_reason_text(uint8_t reason)
{
	return reason < COUNT(reasons) ? reasons[reason].text : "a reason that this version does not know";
}

const char *flow_protocol_name(uint8_t protocol)
{
	for (size_t i = 0; i < COUNT(protocols); i++)
		if (protocols[i].number == protocol)
			return protocols[i].name;
	return "IP";
}

const char *flow_verdict(const struct flow *flow)
{
	switch (flow->type) {
	case WEFT_EVENT_DENY:
		return "DROPPED";
	case WEFT_EVENT_FAIL:
		return "ERROR";
	case WEFT_EVENT_AUDIT:
		return "AUDIT";
	default:
		return "FORWARDED";
	}
}

int flow_type_parse(const char *name, uint8_t *ret)
{
	for (size_t i = 1; i < COUNT(types); i++)
		if (!strcasecmp(types[i], name)) {
			*ret = (uint8_t)i;
			return 0;
		}
	return -EINVAL;
}

int flow_reason_parse(const char *name, uint8_t *ret)
{
	for (size_t i = 0; i < COUNT(reasons); i++)
		if (!strcasecmp(reasons[i].name, name)) {
			*ret = (uint8_t)i;
			return 0;
		}
	return -EINVAL;
}

int flow_protocol_parse(const char *name, uint8_t *ret)
{
	unsigned long number;
	char *end;

	for (size_t i = 0; i < COUNT(protocols); i++)
		if (!strcasecmp(protocols[i].name, name)) {
			*ret = protocols[i].number;
			return 0;
		}
	if (!strcasecmp(name, "ICMP")) {
		*ret = IPPROTO_ICMP;
		return 0;
	}
	number = strtoul(name, &end, 10);
	if (name[0] < '0' || name[0] > '9' || *end || number > UINT8_MAX)
		return -EINVAL;
	*ret = (uint8_t)number;
	return 0;
}

char *flow_time_format(uint64_t nanoseconds, char *text)
{
	time_t seconds = (time_t)(nanoseconds / NANOSECONDS);
	char date[24] = "";
	struct tm utc;

	if (gmtime_r(&seconds, &utc))
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text, FLOW_TIME_MAX, "%s.%09uZ", date, (unsigned int)(nanoseconds % NANOSECONDS));
	return text;
}

/* "Z", "+02:00" or "-02:00" at the end of an RFC 3339 time. */
static int parse_offset(const char *text, long *ret_seconds)
{
	int hours, minutes, used = 0;

	if (!strcasecmp(text, "Z")) {
		*ret_seconds = 0;
		return 0;
	}
	if ((text[0] != '+' && text[0] != '-') || sscanf(text + 1, "%2d:%2d%n", &hours, &minutes, &used) != 2 ||
	    text[1 + used] || hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
		return -EINVAL;
	*ret_seconds = (hours * 60L + minutes) * 60 * (text[0] == '-' ? -1 : 1);
	return 0;
}

int flow_time_parse(const char *text, uint64_t *ret)
{
	struct tm utc = { 0 };
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &utc);
	uint64_t fraction = 0, unit = NANOSECONDS / 10;
	long offset;
	time_t seconds;

	if (!rest)
		return -EINVAL;
	if (*rest == '.') {
		if (rest[1] < '0' || rest[1] > '9')
			return -EINVAL;
		for (rest++; *rest >= '0' && *rest <= '9'; rest++, unit /= 10)
			fraction += (uint64_t)(*rest - '0') * unit;
	}
	if (parse_offset(rest, &offset) < 0)
		return -EINVAL;
	seconds = timegm(&utc);
	/* beyond 2554 nanoseconds do not fit 64 bits */
	if (seconds - offset < 0 || (uint64_t)(seconds - offset) >= UINT64_MAX / NANOSECONDS)
		return -EINVAL;
	*ret = (uint64_t)(seconds - offset) * NANOSECONDS + fraction;
	return 0;
}

char *flow_end_format(const struct flow_end *end, char *text)
{
	char addr[ADDR_TEXT_MAX];
	int used;

	if (end->pod && end->namespace)
		used = snprintf(text, FLOW_TEXT_MAX, "%.200s/%.260s", end->namespace, end->pod);
	else
		used = snprintf(text, FLOW_TEXT_MAX, addr_is_v4(&end->addr) || !end->port ? "%s" : "[%s]",
				addr_format(&end->addr, addr));
	if (end->port)
		snprintf(text + used, FLOW_TEXT_MAX - (size_t)used, ":%u", end->port);
	return text;
}

char *flow_identity_format(const struct flow_end *end, char *text)
{
	bool workload = end->workload_name != NULL;

	if (end->identity_name && !workload)
		snprintf(text, FLOW_TEXT_MAX, "(%s)", end->identity_name);
	else
		snprintf(text, FLOW_TEXT_MAX, "(ID:%u)", end->identity);
	return text;
}

/* 512 B, 1.2 kB, 3.4 MB: powers of 1000. */
static char *format_bytes(uint64_t bytes, char *text, size_t size)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
	double value = (double)bytes;
	size_t unit = 0;

	while (value >= 999.95 && unit + 1 < COUNT(units)) {
		value /= 1000;
		unit++;
	}
	snprintf(text, size, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return text;
}

static char *format_duration(uint64_t nanoseconds, char *text, size_t size)
{
	if (nanoseconds < NANOSECONDS)
		snprintf(text, size, "%.2f ms", (double)nanoseconds / 1e6);
	else
		snprintf(text, size, "%.1f s", (double)nanoseconds / 1e9);
	return text;
}

static char *summarize_traffic(const struct flow *flow, const char *protocol, char *text)
{
	char sent[32], received[32], duration[32];
	int used = snprintf(text, FLOW_TEXT_MAX, "%s %s%s, %s out, %s in", protocol,
			    flow->type == WEFT_EVENT_REPORT ? "open for " : "closed after ",
			    format_duration(flow->duration, duration, sizeof(duration)),
			    format_bytes(flow->sent, sent, sizeof(sent)),
			    format_bytes(flow->received, received, sizeof(received)));

	if (flow->srtt_us)
		used += snprintf(text + used, FLOW_TEXT_MAX - (size_t)used, ", RTT %.2f ms", flow->srtt_us / 1e3);
	if (flow->retransmits)
		snprintf(text + used, FLOW_TEXT_MAX - (size_t)used, ", %u retransmits", flow->retransmits);
	return text;
}

static const char *rule_text(const struct flow_rule *rule) { return rule->text ? rule->text : "a rule that is gone"; }

/* ", service default/api:80", when the program asked for a service. */
static void append_service(const struct flow *flow, char *text)
{
	size_t used = strlen(text);

	if (flow->service_name)
		snprintf(text + used, FLOW_TEXT_MAX - used, ", service %.100s/%.100s:%u",
			 flow->service_namespace ? flow->service_namespace : "", flow->service_name,
			 flow->service_port);
}

char *flow_summary(const struct flow *flow, char *text)
{
	const char *protocol = flow_protocol_name(flow->protocol);
	char duration[32];

	switch (flow->type) {
	case WEFT_EVENT_CONNECT:
		snprintf(text, FLOW_TEXT_MAX, "%s connected in %s", protocol,
			 format_duration(flow->duration, duration, sizeof(duration)));
		append_service(flow, text);
		return text;
	case WEFT_EVENT_ACCEPT:
		snprintf(text, FLOW_TEXT_MAX, "%s accepted", protocol);
		return text;
	case WEFT_EVENT_DENY:
		if (flow->rule.id)
			snprintf(text, FLOW_TEXT_MAX, "%s denied: %.380s", protocol, rule_text(&flow->rule));
		else
			snprintf(text, FLOW_TEXT_MAX, "%s denied: %s", protocol, flow_reason_text(flow->reason));
		append_service(flow, text);
		return text;
	case WEFT_EVENT_FAIL:
		snprintf(text, FLOW_TEXT_MAX, "%s not connected: %s", protocol, flow_reason_text(flow->reason));
		append_service(flow, text);
		return text;
	case WEFT_EVENT_AUDIT:
		snprintf(text, FLOW_TEXT_MAX, "%s %s: %.380s", protocol,
			 flow->rule_flags & WEFT_RULE_WOULD_DENY ? "would be denied"
			 : flow->rule_flags & WEFT_RULE_WOULD_ALLOW ? "would be allowed" : "audited",
			 rule_text(&flow->audit_rule));
		return text;
	default:
		return summarize_traffic(flow, protocol, text);
	}
}

char *flow_compact(const struct flow *flow, char *text)
{
	time_t seconds = (time_t)(flow->time / NANOSECONDS);
	char date[32] = "", source[FLOW_TEXT_MAX], destination[FLOW_TEXT_MAX], summary[FLOW_TEXT_MAX];
	char source_id[FLOW_TEXT_MAX], destination_id[FLOW_TEXT_MAX];
	struct tm local;

	if (localtime_r(&seconds, &local))
		strftime(date, sizeof(date), "%b %e %H:%M:%S", &local);
	snprintf(text, FLOW_LINE_MAX, "%s.%03u: %s %.200s %s %s %.200s %s %s (%s)", date,
		 (unsigned int)(flow->time % NANOSECONDS / 1000000), flow_end_format(&flow->source, source),
		 flow_identity_format(&flow->source, source_id), flow->is_reply ? "<-" : "->",
		 flow_end_format(&flow->destination, destination),
		 flow_identity_format(&flow->destination, destination_id), flow_type_name(flow->type),
		 flow_verdict(flow), flow_summary(flow, summary));
	return text;
}
