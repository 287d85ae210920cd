/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flow records as JSON, both ways. Each field that is written is one line in write_*(), each that is read one in
 * read_*().
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "telemetry/flow.h"
#include "util/addr.h"
#include "util/intern.h"

static const struct {
	const char *name;
	uint8_t bit;
} tcp_flags[] = {
	{ "FIN", 0x01 }, { "SYN", 0x02 }, { "RST", 0x04 }, { "PSH", 0x08 }, { "ACK", 0x10 }, { "URG", 0x20 },
};
static const struct {
	const char *name;
	uint8_t bit;
} rule_flags[] = {
	{ "AUDIT", WEFT_RULE_AUDIT }, { "WOULD_DENY", WEFT_RULE_WOULD_DENY }, { "WOULD_ALLOW", WEFT_RULE_WOULD_ALLOW },
};
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* --- writing --- */

static void put_text(cJSON *object, const char *name, const char *value)
{
	if (value)
		cJSON_AddStringToObject(object, name, value);
}

/*
 * 64-bit counters may exceed what a JSON number holds exactly (2^53): such cookies and byte counts are texts, as
 * protobuf's.
 */
static void put_u64(cJSON *object, const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	if (value)
		cJSON_AddStringToObject(object, name, text);
}

static void put_number(cJSON *object, const char *name, uint32_t value)
{
	if (value)
		cJSON_AddNumberToObject(object, name, value);
}

static void write_labels(cJSON *object, const char *labels)
{
	cJSON *array = cJSON_AddArrayToObject(object, "labels");
	char label[512];

	while (labels && *labels) {
		size_t length = strcspn(labels, ",");

		snprintf(label, sizeof(label), "k8s:%.*s", (int)length, labels);
		cJSON_AddItemToArray(array, cJSON_CreateString(label));
		labels += length + (labels[length] == ',');
	}
}

static void write_end(cJSON *flow, const char *name, const struct flow_end *end)
{
	cJSON *object = cJSON_AddObjectToObject(flow, name);
	cJSON *workloads, *workload;

	cJSON_AddNumberToObject(object, "identity", end->identity);
	put_text(object, "identity_name", end->identity_name);
	put_text(object, "namespace", end->namespace);
	write_labels(object, end->labels);
	put_text(object, "pod_name", end->pod);
	put_text(object, "node_name", end->node);
	put_text(object, "service_account", end->service_account);
	if (!end->workload_name)
		return;
	workloads = cJSON_AddArrayToObject(object, "workloads");
	workload = cJSON_CreateObject();
	put_text(workload, "name", end->workload_name);
	put_text(workload, "kind", end->workload_kind);
	cJSON_AddItemToArray(workloads, workload);
}

static void write_ip(cJSON *flow, const struct flow *record)
{
	cJSON *ip = cJSON_AddObjectToObject(flow, "IP");
	char text[ADDR_TEXT_MAX];

	cJSON_AddStringToObject(ip, "source", addr_format(&record->source.addr, text));
	cJSON_AddStringToObject(ip, "destination", addr_format(&record->destination.addr, text));
	cJSON_AddStringToObject(ip, "ipVersion", addr_is_v4(&record->source.addr) ? "IPv4" : "IPv6");
	cJSON_AddBoolToObject(ip, "encrypted", record->tls);
}

static void write_l4(cJSON *flow, const struct flow *record)
{
	cJSON *l4 = cJSON_AddObjectToObject(flow, "l4"), *protocol, *flags;

	protocol = cJSON_AddObjectToObject(l4, flow_protocol_name(record->protocol));
	cJSON_AddNumberToObject(protocol, "source_port", record->source.port);
	cJSON_AddNumberToObject(protocol, "destination_port", record->destination.port);
	if (record->protocol != IPPROTO_TCP)
		return;
	flags = cJSON_AddObjectToObject(protocol, "flags");
	for (size_t i = 0; i < COUNT(tcp_flags); i++)
		if (record->tcp_flags & tcp_flags[i].bit)
			cJSON_AddBoolToObject(flags, tcp_flags[i].name, true);
}

static void write_rule(cJSON *flow, const char *name, const struct flow_rule *rule)
{
	cJSON *object;

	if (!rule->id)
		return;
	object = cJSON_AddObjectToObject(flow, name);
	cJSON_AddNumberToObject(object, "id", rule->id);
	put_text(object, "kind", rule->kind);
	put_text(object, "namespace", rule->namespace);
	put_text(object, "name", rule->name);
	put_text(object, "text", rule->text);
}

static void write_service(cJSON *flow, const struct flow *record)
{
	char text[ADDR_TEXT_MAX];
	cJSON *service;

	if (!record->service_name && addr_is_zero(&record->service_addr))
		return;
	service = cJSON_AddObjectToObject(flow, "destination_service");
	put_text(service, "name", record->service_name);
	put_text(service, "namespace", record->service_namespace);
	cJSON_AddStringToObject(service, "address", addr_format(&record->service_addr, text));
	put_number(service, "port", record->service_port);
}

static void write_measures(cJSON *flow, const struct flow *record)
{
	put_u64(flow, "bytes_sent", record->sent);
	put_u64(flow, "bytes_received", record->received);
	put_u64(flow, "duration_ns", record->duration);
	put_number(flow, "rtt_us", record->srtt_us);
	put_number(flow, "retransmits", record->retransmits);
	put_number(flow, "pid", record->pid);
	put_u64(flow, "socket_cookie", record->socket_cookie);
	put_u64(flow, "netns_cookie", record->netns_cookie);
}

static void write_event_type(cJSON *flow, const struct flow *record)
{
	cJSON *type = record->type ? cJSON_AddObjectToObject(flow, "event_type") : NULL;

	if (!type) /* a replayed record of another mesh has none */
		return;
	cJSON_AddNumberToObject(type, "type", record->type);
	cJSON_AddStringToObject(type, "name", flow_type_name(record->type));
}

static void write_rule_flags(cJSON *flow, uint8_t flags)
{
	cJSON *array;

	if (!flags)
		return;
	array = cJSON_AddArrayToObject(flow, "policy_flags");
	for (size_t i = 0; i < COUNT(rule_flags); i++)
		if (flags & rule_flags[i].bit)
			cJSON_AddItemToArray(array, cJSON_CreateString(rule_flags[i].name));
}

static void write_flow(cJSON *flow, const struct flow *record)
{
	char time[FLOW_TIME_MAX], summary[FLOW_TEXT_MAX];

	cJSON_AddStringToObject(flow, "time", flow_time_format(record->time, time));
	cJSON_AddStringToObject(flow, "verdict", flow_verdict(record));
	if (record->reason)
		cJSON_AddStringToObject(flow, "drop_reason_desc", flow_reason_name(record->reason));
	write_ip(flow, record);
	write_l4(flow, record);
	write_end(flow, "source", &record->source);
	write_end(flow, "destination", &record->destination);
	cJSON_AddStringToObject(flow, "Type", "L3_L4");
	put_text(flow, "node_name", record->node);
	write_service(flow, record);
	cJSON_AddStringToObject(flow, "traffic_direction", record->direction == WEFT_EGRESS ? "EGRESS" : "INGRESS");
	cJSON_AddBoolToObject(flow, "is_reply", record->is_reply);
	write_event_type(flow, record);
	cJSON_AddStringToObject(flow, "reporter", record->reporter == WEFT_REPORTER_SOURCE ? "source" : "destination");
	write_rule(flow, "decided_by", &record->rule);
	write_rule(flow, "audited_by", &record->audit_rule);
	write_rule_flags(flow, record->rule_flags);
	write_measures(flow, record);
	cJSON_AddStringToObject(flow, "Summary", flow_summary(record, summary));
}

cJSON *flow_to_json(const struct flow *record)
{
	cJSON *line = cJSON_CreateObject(), *flow = cJSON_AddObjectToObject(line, "flow");
	char time[FLOW_TIME_MAX];

	if (!flow) {
		cJSON_Delete(line);
		return NULL;
	}
	write_flow(flow, record);
	put_text(line, "node_name", record->node);
	cJSON_AddStringToObject(line, "time", flow_time_format(record->time, time));
	return line;
}

/* --- reading: a field that is missing keeps its zero, one of the wrong kind is an error --- */

struct reader {
	char *reason; /* 256 bytes */
	int error;
};

static void fail(struct reader *reader, const char *field, const char *what)
{
	if (!reader->error)
		snprintf(reader->reason, 256, "%.64s: %.160s", field, what);
	reader->error = -EINVAL;
}

static const char *get_text(struct reader *reader, const cJSON *object, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	if (!item || cJSON_IsNull(item))
		return NULL;
	if (!cJSON_IsString(item)) {
		fail(reader, name, "must be a string");
		return NULL;
	}
	return item->valuestring;
}

static const char *get_interned(struct reader *reader, const cJSON *object, const char *name)
{
	return intern(get_text(reader, object, name));
}

/* A number, or a decimal text. */
static uint64_t get_number(struct reader *reader, const cJSON *object, const char *name, uint64_t maximum)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
	unsigned long long value = 0;
	int used = 0;

	if (!item || cJSON_IsNull(item))
		return 0;
	if (cJSON_IsString(item)) {
		const char *text = item->valuestring;

		errno = 0;
		if (text[0] < '0' || text[0] > '9' || sscanf(text, "%llu%n", &value, &used) != 1 || text[used] ||
		    errno) {
			fail(reader, name, "must be a whole number");
			return 0;
		}
	} else if (cJSON_IsNumber(item) && item->valuedouble >= 0 && item->valuedouble < 18446744073709551616.0 &&
		   item->valuedouble == (double)(unsigned long long)item->valuedouble) {
		value = (unsigned long long)item->valuedouble;
	} else {
		fail(reader, name, "must be a whole number");
		return 0;
	}
	if (value > maximum) {
		fail(reader, name, "is too large");
		return 0;
	}
	return value;
}

static bool get_bool(struct reader *reader, const cJSON *object, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	if (item && !cJSON_IsBool(item) && !cJSON_IsNull(item))
		fail(reader, name, "must be true or false");
	return cJSON_IsTrue(item);
}

static const cJSON *get_object(struct reader *reader, const cJSON *object, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	if (!item || cJSON_IsNull(item))
		return NULL;
	if (!cJSON_IsObject(item)) {
		fail(reader, name, "must be an object");
		return NULL;
	}
	return item;
}

static const cJSON *get_array(struct reader *reader, const cJSON *object, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	if (!item || cJSON_IsNull(item))
		return NULL;
	if (!cJSON_IsArray(item)) {
		fail(reader, name, "must be an array");
		return NULL;
	}
	return item;
}

static void get_addr(struct reader *reader, const cJSON *object, const char *name, struct weft_addr *ret)
{
	const char *text = get_text(reader, object, name);

	if (text && addr_parse(text, ret) < 0)
		fail(reader, name, "must be an IP address");
}

#define LABELS_MAX 4096

static const char *read_labels(struct reader *reader, const cJSON *object)
{
	const cJSON *array = get_array(reader, object, "labels"), *item;
	char labels[LABELS_MAX] = "";
	size_t used = 0;

	cJSON_ArrayForEach(item, array) {
		const char *label;
		size_t length;

		if (!cJSON_IsString(item)) {
			fail(reader, "labels", "must be an array of strings");
			return NULL;
		}
		label = strncmp(item->valuestring, "k8s:", 4) ? item->valuestring : item->valuestring + 4;
		length = strlen(label);
		if (used + length + 2 > sizeof(labels)) {
			fail(reader, "labels", "are longer than 4096 bytes");
			return NULL;
		}
		if (used)
			labels[used++] = ',';
		memcpy(labels + used, label, length + 1);
		used += length;
	}
	return used ? intern(labels) : NULL;
}

static void read_end(struct reader *reader, const cJSON *flow, const char *name, struct flow_end *end)
{
	const cJSON *object = get_object(reader, flow, name);
	const cJSON *workload;

	if (!object)
		return;
	end->identity = (uint32_t)get_number(reader, object, "identity", UINT32_MAX);
	end->identity_name = get_interned(reader, object, "identity_name");
	end->namespace = get_interned(reader, object, "namespace");
	end->labels = read_labels(reader, object);
	end->pod = get_interned(reader, object, "pod_name");
	end->node = get_interned(reader, object, "node_name");
	end->service_account = get_interned(reader, object, "service_account");
	workload = cJSON_GetArrayItem(get_array(reader, object, "workloads"), 0);
	if (!workload)
		return;
	if (!cJSON_IsObject(workload)) {
		fail(reader, "workloads", "must be an array of objects");
		return;
	}
	end->workload_name = get_interned(reader, workload, "name");
	end->workload_kind = get_interned(reader, workload, "kind");
}

static void read_l4(struct reader *reader, const cJSON *flow, struct flow *ret)
{
	const cJSON *l4 = get_object(reader, flow, "l4");
	const cJSON *protocol = l4 ? l4->child : NULL;
	const cJSON *flags;

	if (!protocol)
		return;
	if (flow_protocol_parse(protocol->string, &ret->protocol) < 0 && strcmp(protocol->string, "IP") != 0)
		fail(reader, "l4", "names a protocol that is not known");
	if (!cJSON_IsObject(protocol)) {
		fail(reader, "l4", "the protocol must be an object");
		return;
	}
	ret->source.port = (uint16_t)get_number(reader, protocol, "source_port", UINT16_MAX);
	ret->destination.port = (uint16_t)get_number(reader, protocol, "destination_port", UINT16_MAX);
	flags = get_object(reader, protocol, "flags");
	for (size_t i = 0; flags && i < COUNT(tcp_flags); i++)
		if (get_bool(reader, flags, tcp_flags[i].name))
			ret->tcp_flags |= tcp_flags[i].bit;
}

static void read_rule(struct reader *reader, const cJSON *flow, const char *name, struct flow_rule *ret)
{
	const cJSON *object = get_object(reader, flow, name);

	if (!object)
		return;
	ret->id = (uint32_t)get_number(reader, object, "id", UINT32_MAX);
	ret->kind = get_interned(reader, object, "kind");
	ret->namespace = get_interned(reader, object, "namespace");
	ret->name = get_interned(reader, object, "name");
	ret->text = get_interned(reader, object, "text");
}

static void read_service(struct reader *reader, const cJSON *flow, struct flow *ret)
{
	const cJSON *service = get_object(reader, flow, "destination_service");

	if (!service)
		return;
	ret->service_name = get_interned(reader, service, "name");
	ret->service_namespace = get_interned(reader, service, "namespace");
	get_addr(reader, service, "address", &ret->service_addr);
	ret->service_port = (uint16_t)get_number(reader, service, "port", UINT16_MAX);
}

static void read_rule_flags(struct reader *reader, const cJSON *flow, struct flow *ret)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, get_array(reader, flow, "policy_flags")) {
		if (!cJSON_IsString(item))
			fail(reader, "policy_flags", "must be an array of strings");
		for (size_t i = 0; cJSON_IsString(item) && i < COUNT(rule_flags); i++)
			if (!strcmp(item->valuestring, rule_flags[i].name))
				ret->rule_flags |= rule_flags[i].bit;
	}
}

static void read_measures(struct reader *reader, const cJSON *flow, struct flow *ret)
{
	ret->sent = get_number(reader, flow, "bytes_sent", UINT64_MAX);
	ret->received = get_number(reader, flow, "bytes_received", UINT64_MAX);
	ret->duration = get_number(reader, flow, "duration_ns", UINT64_MAX);
	ret->srtt_us = (uint32_t)get_number(reader, flow, "rtt_us", UINT32_MAX);
	ret->retransmits = (uint32_t)get_number(reader, flow, "retransmits", UINT32_MAX);
	ret->pid = (uint32_t)get_number(reader, flow, "pid", UINT32_MAX);
	ret->socket_cookie = get_number(reader, flow, "socket_cookie", UINT64_MAX);
	ret->netns_cookie = get_number(reader, flow, "netns_cookie", UINT64_MAX);
}

/* The event by name; a record of another mesh has none and is placed by its verdict. */
static void read_type(struct reader *reader, const cJSON *flow, struct flow *ret)
{
	const char *name = get_text(reader, get_object(reader, flow, "event_type"), "name");
	const char *verdict = get_text(reader, flow, "verdict");

	if (name && flow_type_parse(name, &ret->type) < 0)
		fail(reader, "event_type", "is not one of connect, accept, deny, close, report, fail, audit");
	if (name || !verdict)
		return;
	if (!strcmp(verdict, "DROPPED"))
		ret->type = WEFT_EVENT_DENY;
	else if (!strcmp(verdict, "ERROR"))
		ret->type = WEFT_EVENT_FAIL;
	else if (!strcmp(verdict, "AUDIT"))
		ret->type = WEFT_EVENT_AUDIT;
}

static void read_words(struct reader *reader, const cJSON *flow, struct flow *ret)
{
	const char *time = get_text(reader, flow, "time");
	const char *reason = get_text(reader, flow, "drop_reason_desc");
	const char *direction = get_text(reader, flow, "traffic_direction");
	const char *reporter = get_text(reader, flow, "reporter");

	if (!time || flow_time_parse(time, &ret->time) < 0)
		fail(reader, "time", "must be an RFC 3339 time such as 2026-01-31T12:00:00.5Z");
	if (reason && flow_reason_parse(reason, &ret->reason) < 0)
		fail(reader, "drop_reason_desc", "is not a reason that this version knows");
	if (direction && !strcmp(direction, "INGRESS"))
		ret->direction = WEFT_INGRESS;
	if (reporter && !strcmp(reporter, "destination"))
		ret->reporter = WEFT_REPORTER_DESTINATION;
}

int flow_from_json(const cJSON *json, struct flow *ret, char reason[256])
{
	struct reader reader = { .reason = reason };
	const cJSON *inner = get_object(&reader, json, "flow"), *flow = inner ? inner : json, *ip;
	struct flow record = { 0 };

	if (!cJSON_IsObject(flow)) {
		snprintf(reason, 256, "not a JSON object");
		return -EINVAL;
	}
	read_words(&reader, flow, &record);
	read_type(&reader, flow, &record);
	ip = get_object(&reader, flow, "IP");
	get_addr(&reader, ip, "source", &record.source.addr);
	get_addr(&reader, ip, "destination", &record.destination.addr);
	record.tls = get_bool(&reader, ip, "encrypted");
	read_l4(&reader, flow, &record);
	read_end(&reader, flow, "source", &record.source);
	read_end(&reader, flow, "destination", &record.destination);
	record.node = get_interned(&reader, flow, "node_name");
	read_service(&reader, flow, &record);
	record.is_reply = get_bool(&reader, flow, "is_reply");
	read_rule(&reader, flow, "decided_by", &record.rule);
	read_rule(&reader, flow, "audited_by", &record.audit_rule);
	read_rule_flags(&reader, flow, &record);
	read_measures(&reader, flow, &record);
	if (!reader.error)
		*ret = record;
	return reader.error;
}

int flow_from_line(const char *line, size_t size, struct flow *ret, char reason[256])
{
	cJSON *json = cJSON_ParseWithLength(line, size);
	int error;

	if (!json) {
		snprintf(reason, 256, "not JSON");
		return -EINVAL;
	}
	error = flow_from_json(json, ret, reason);
	cJSON_Delete(json);
	return error;
}
