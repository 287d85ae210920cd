/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/connections and /v1/top: what the programs have counted, with names. */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/reply.h"
#include "compile/names.h"
#include "datapath/datapath.h"
#include "telemetry/telemetry.h"
#include "telemetry/traffic.h"
#include "util/clock.h"
#include "util/map_each.h"

/* --- connections --- */

struct connections {
	const struct agent *agent;
	const struct api_request *request;
	cJSON *array;
	uint64_t now; /* CLOCK_MONOTONIC ns */
	uint32_t matched;
};

static const struct pod_object *pod_at(const struct connections *list, const struct weft_addr *addr)
{
	return pods_find(list->agent->telemetry->pods, addr);
}

static bool in_namespace(const struct pod_object *pod, const char *namespace)
{
	return pod && !strcmp(pod->meta.namespace, namespace);
}

static bool is_wanted(const struct connections *list, const struct weft_conn_key *key)
{
	const char *namespace = list->request->namespace;

	return !namespace || in_namespace(pod_at(list, &key->addr[0]), namespace) ||
	       in_namespace(pod_at(list, &key->addr[1]), namespace);
}

static void put_end(cJSON *json, const char *name, const struct connections *list, const struct weft_conn_key *key,
		    int end)
{
	const struct pod_object *pod = pod_at(list, &key->addr[end]);
	char field[64], text[256];

	reply_put_endpoint(json, name, &key->addr[end], key->port[end]);
	snprintf(field, sizeof(field), "%s_pod", name);
	if (pod) {
		snprintf(text, sizeof(text), "%s/%s", pod->meta.namespace, pod->meta.name);
		cJSON_AddStringToObject(json, field, text);
	}
	snprintf(field, sizeof(field), "%s_identity", name);
	reply_put_identity(json, field, list->agent, reply_identity_at(list->agent, &key->addr[end]));
}

/* From the flags seen of both ends; other protocols have no state of their own. */
static const char *tcp_state(const struct weft_conn *conn)
{
	const uint8_t fin = 0x01, syn = 0x02, rst = 0x04;
	uint8_t both = conn->tcp_flags[0] & conn->tcp_flags[1], any = conn->tcp_flags[0] | conn->tcp_flags[1];

	if (any & rst)
		return "reset";
	if (any & fin)
		return both & fin ? "closed" : "closing";
	/* taken over in the middle of its life, or its handshake was seen from both sides */
	return both & syn || conn->flags & WEFT_CONN_SEEDED ? "open" : "opening";
}

static cJSON *connection_json(const struct connections *list, const struct weft_conn_key *key,
			      const struct weft_conn *conn)
{
	const struct compile *compile = list->agent->compile;
	const struct service_info *service = conn->service_id ? names_service(compile, conn->service_id) : NULL;
	int source = conn->initiator & 1, destination = !source;
	cJSON *json = cJSON_CreateObject();
	char text[256];

	cJSON_AddStringToObject(json, "protocol", flow_protocol_name(key->protocol));
	put_end(json, "source", list, key, source);
	put_end(json, "destination", list, key, destination);
	if (service) {
		snprintf(text, sizeof(text), "%s/%s", service->namespace, service->name);
		cJSON_AddStringToObject(json, "service", text);
	}
	cJSON_AddStringToObject(json, "state", key->protocol == IPPROTO_TCP ? tcp_state(conn) : "-");
	cJSON_AddNumberToObject(json, "age_seconds", (double)((list->now - conn->created) / NANOSECONDS));
	cJSON_AddNumberToObject(json, "idle_seconds", (double)((list->now - conn->last_seen) / NANOSECONDS));
	cJSON_AddNumberToObject(json, "sent_bytes", (double)conn->bytes[source]);
	cJSON_AddNumberToObject(json, "received_bytes", (double)conn->bytes[destination]);
	cJSON_AddNumberToObject(json, "sent_packets", (double)conn->packets[source]);
	cJSON_AddNumberToObject(json, "received_packets", (double)conn->packets[destination]);
	reply_put_rule(json, "egress_rule", list->agent, conn->rule[WEFT_EGRESS]);
	reply_put_rule(json, "ingress_rule", list->agent, conn->rule[WEFT_INGRESS]);
	return json;
}

static int add_connection(const void *key, const void *value, void *context)
{
	struct connections *list = context;

	if (is_wanted(list, key) && list->matched++ < list->request->limit)
		cJSON_AddItemToArray(list->array, connection_json(list, key, value));
	return 0;
}

int reply_connections(const struct agent *agent, const struct api_request *request, cJSON **ret,
		      struct api_error *ret_error)
{
	struct connections list = { agent, request, cJSON_CreateArray(), clock_now(CLOCK_MONOTONIC), 0 };
	int fd = datapath_map_fd(agent->datapath, "weft_conntrack");
	int error = fd < 0 ? fd : map_each(fd, add_connection, &list);

	if (error) {
		cJSON_Delete(list.array);
		return api_fail(ret_error, HTTP_INTERNAL, "KERNEL", "the connection table cannot be read: %s",
				strerror(-error));
	}
	*ret = list.array;
	return 0;
}

/* --- top --- */

static int compare_pairs(const void *left, const void *right)
{
	const struct weft_traffic_key *a = &((const struct traffic *)left)->key;
	const struct weft_traffic_key *b = &((const struct traffic *)right)->key;

	if (a->source != b->source)
		return a->source < b->source ? -1 : 1;
	if (a->destination != b->destination)
		return a->destination < b->destination ? -1 : 1;
	if (a->protocol != b->protocol)
		return a->protocol < b->protocol ? -1 : 1;
	/* the source's own report first: it knows the service */
	if (a->reporter != b->reporter)
		return a->reporter < b->reporter ? -1 : 1;
	return a->service_id < b->service_id ? -1 : a->service_id > b->service_id;
}

static bool same_pair(const struct weft_traffic_key *a, const struct weft_traffic_key *b)
{
	return a->source == b->source && a->destination == b->destination && a->protocol == b->protocol;
}

static void add_pair(cJSON *array, const struct agent *agent, const struct traffic *traffic)
{
	const struct weft_traffic_key *key = &traffic->key;
	const struct service_info *service = key->service_id ? names_service(agent->compile, key->service_id) : NULL;
	cJSON *json = cJSON_CreateObject();
	char text[256];

	cJSON_AddStringToObject(json, "protocol", flow_protocol_name(key->protocol));
	reply_put_identity(json, "source", agent, key->source);
	reply_put_identity(json, "destination", agent, key->destination);
	if (service) {
		snprintf(text, sizeof(text), "%s/%s", service->namespace, service->name);
		cJSON_AddStringToObject(json, "service", text);
	}
	cJSON_AddStringToObject(json, "reporter", key->reporter == WEFT_REPORTER_SOURCE ? "source" : "destination");
	cJSON_AddNumberToObject(json, "opened", (double)traffic->sum.opened);
	cJSON_AddNumberToObject(json, "closed", (double)traffic->sum.closed);
	cJSON_AddNumberToObject(json, "denied", (double)traffic->sum.denied);
	cJSON_AddNumberToObject(json, "sent_bytes", (double)traffic->sum.sent);
	cJSON_AddNumberToObject(json, "received_bytes", (double)traffic->sum.received);
	cJSON_AddNumberToObject(json, "retransmits", (double)traffic->sum.retransmits);
	cJSON_AddItemToArray(array, json);
}

/*
 * Between two pods of one node both ends report: the destination's figures are left out where the source's are
 * there, except what the destination alone refused.
 */
static void add_pairs(cJSON *array, const struct agent *agent, const struct traffic *items, size_t count)
{
	struct traffic row = { 0 };
	bool source_reports = false;

	for (size_t i = 0; i < count; i++) {
		const struct weft_traffic_key *key = &items[i].key;

		if (!i || !same_pair(key, &items[i - 1].key))
			source_reports = false;
		source_reports |= key->reporter == WEFT_REPORTER_SOURCE;
		if (!i || compare_pairs(&row, &items[i]))
			row = (struct traffic){ .key = *key };
		if (key->reporter == WEFT_REPORTER_DESTINATION && source_reports)
			row.sum.denied += items[i].sum.denied;
		else
			traffic_add(&row.sum, &items[i].sum);
		if (i + 1 < count && !compare_pairs(&items[i], &items[i + 1]))
			continue;
		if (key->reporter == WEFT_REPORTER_SOURCE || !source_reports || row.sum.denied)
			add_pair(array, agent, &row);
	}
}

int reply_top(const struct agent *agent, const struct api_request *request, cJSON **ret, struct api_error *ret_error)
{
	struct traffic *items = NULL;
	size_t count = 0;
	int error = traffic_read(agent, &items, &count);
	cJSON *json;

	(void)request;
	if (error)
		return api_fail(ret_error, HTTP_INTERNAL, "KERNEL", "the traffic counters cannot be read: %s",
				strerror(-error));
	if (count)
		qsort(items, count, sizeof(*items), compare_pairs);
	json = cJSON_CreateObject();
	cJSON_AddNumberToObject(json, "time_ns", (double)clock_now(CLOCK_MONOTONIC));
	add_pairs(cJSON_AddArrayToObject(json, "pairs"), agent, items, count);
	free(items);
	*ret = json;
	return 0;
}
