/* SPDX-License-Identifier: Apache-2.0 */
#include "api/reply.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "compile/names.h"
#include "config.h"
#include "datapath/datapath.h"
#include "source/source.h"
#include "util/addr.h"
#include "util/map_each.h"

reply_fn *reply_of(enum api_route route)
{
	static reply_fn *const replies[API_ROUTE_COUNT] = {
		[API_STATUS] = reply_status,	     [API_CHECK] = reply_check,
		[API_WORKLOADS] = reply_workloads,   [API_SERVICES] = reply_services,
		[API_POLICIES] = reply_policies,     [API_CONNECTIONS] = reply_connections,
		[API_NODES] = reply_nodes,	     [API_MAPS] = reply_maps,
		[API_TOP] = reply_top,		     [API_CONFIG] = reply_config,
		[API_VERSION] = reply_version,	     [API_LOG_LEVEL] = reply_log_level,
		[API_SET_LOG_LEVEL] = reply_set_log_level, [API_EXPLAIN] = reply_explain,
		[API_SYSDUMP] = reply_sysdump,
	};

	return replies[route];
}

void reply_put_text(cJSON *object, const char *name, const char *value)
{
	if (value)
		cJSON_AddStringToObject(object, name, value);
}

void reply_put_addresses(cJSON *object, const char *name, const struct weft_addr *addresses, size_t count)
{
	cJSON *array = cJSON_AddArrayToObject(object, name);
	char text[ADDR_TEXT_MAX];

	for (size_t i = 0; i < count; i++)
		cJSON_AddItemToArray(array, cJSON_CreateString(addr_format(&addresses[i], text)));
}

void reply_put_endpoint(cJSON *object, const char *name, const struct weft_addr *addr, __be16 port)
{
	char address[ADDR_TEXT_MAX], text[ADDR_TEXT_MAX + 16];

	addr_format(addr, address);
	snprintf(text, sizeof(text), addr_is_v4(addr) ? "%s:%u" : "[%s]:%u", address, ntohs(port));
	cJSON_AddStringToObject(object, name, text);
}

void reply_put_identity(cJSON *object, const char *name, const struct agent *agent, uint32_t identity)
{
	const struct identity_info *info = identity ? names_identity(agent->compile, identity) : NULL;
	cJSON *json = cJSON_AddObjectToObject(object, name);

	cJSON_AddNumberToObject(json, "id", identity);
	if (!info)
		return;
	reply_put_text(json, "name", info->text);
	reply_put_text(json, "namespace", info->namespace);
	reply_put_text(json, "service_account", info->service_account);
	reply_put_text(json, "workload_kind", info->workload_kind);
	reply_put_text(json, "workload", info->workload_name);
}

void reply_put_rule(cJSON *object, const char *name, const struct agent *agent, uint32_t rule)
{
	static const char *const kinds[] = { [RULE_BUILTIN] = "built in",
					     [RULE_NETWORK_POLICY] = "NetworkPolicy",
					     [RULE_AUTHORIZATION_POLICY] = "AuthorizationPolicy" };
	const struct rule_info *info = rule ? names_rule(agent->compile, rule) : NULL;
	cJSON *json;

	if (!rule)
		return;
	json = cJSON_AddObjectToObject(object, name);
	cJSON_AddNumberToObject(json, "id", rule);
	if (!info) {
		reply_put_text(json, "text", "a rule that is gone");
		return;
	}
	reply_put_text(json, "kind", kinds[info->kind]);
	reply_put_text(json, "namespace", info->namespace);
	reply_put_text(json, "name", info->name);
	if (info->index >= 0)
		cJSON_AddNumberToObject(json, "index", info->index);
	reply_put_text(json, "text", info->text);
}

uint32_t reply_identity_at(const struct agent *agent, const struct weft_addr *addr)
{
	const struct desired_address *known = table_get(compile_desired(agent->compile)->addresses, addr, NULL);

	return known ? known->identity : 0;
}

static int add_map(const struct datapath_map *map, void *context)
{
	cJSON *json = cJSON_CreateObject();

	cJSON_AddStringToObject(json, "name", map->name);
	cJSON_AddNumberToObject(json, "entries", map->entries);
	cJSON_AddNumberToObject(json, "capacity", map->capacity);
	cJSON_AddNumberToObject(json, "full", (double)map->full);
	cJSON_AddBoolToObject(json, "is_full", map->is_full);
	reply_put_text(json, "option", map->option);
	cJSON_AddItemToArray(context, json);
	return 0;
}

cJSON *reply_map_array(const struct agent *agent)
{
	cJSON *array = cJSON_CreateArray();
	int error = datapath_each_map(agent->datapath, add_map, array);

	if (error < 0)
		log_warn("the maps' fill cannot be read: %s", strerror(-error));
	return array;
}

static int add_report(enum model_kind kind, const char *namespace, const char *name, const char *text, void *context)
{
	cJSON *json = cJSON_CreateObject();

	cJSON_AddStringToObject(json, "kind", model_kind_name(kind));
	reply_put_text(json, "namespace", namespace);
	reply_put_text(json, "name", name);
	reply_put_text(json, "text", text);
	cJSON_AddItemToArray(context, json);
	return 0;
}

cJSON *reply_report_array(const struct agent *agent)
{
	cJSON *array = cJSON_CreateArray();

	model_each_report(agent->model, add_report, array);
	return array;
}

static int add_problem(const struct source_problem *problem, void *context)
{
	cJSON *json = cJSON_CreateObject();

	reply_put_text(json, "file", problem->file);
	if (problem->line)
		cJSON_AddNumberToObject(json, "line", problem->line);
	reply_put_text(json, "reason", problem->reason);
	cJSON_AddItemToArray(context, json);
	return 0;
}

cJSON *reply_problem_array(const struct agent *agent)
{
	cJSON *array = cJSON_CreateArray();

	source_each_problem(agent->source, add_problem, array);
	return array;
}

/* Sums of a per-CPU array; a failure is logged and reads as zero. */
static void read_counters(const struct agent *agent, const char *map, uint32_t index, uint64_t *ret, size_t count)
{
	int fd = datapath_map_fd(agent->datapath, map);
	int error = fd < 0 ? fd : map_sum_percpu(fd, index, ret, count);

	if (!error)
		return;
	log_warn("%s cannot be read: %s", map, strerror(-error));
	memset(ret, 0, count * sizeof(*ret));
}

cJSON *reply_drop_array(const struct agent *agent)
{
	cJSON *array = cJSON_CreateArray();

	for (uint32_t index = 2; index < WEFT_REASON_COUNT * 2; index++) {
		uint64_t drop[2];
		cJSON *json;

		read_counters(agent, "weft_drops", index, drop, 2);
		if (!drop[0])
			continue;
		json = cJSON_CreateObject();
		cJSON_AddStringToObject(json, "reason", flow_reason_name((uint8_t)(index / 2)));
		cJSON_AddStringToObject(json, "text", flow_reason_text((uint8_t)(index / 2)));
		cJSON_AddStringToObject(json, "direction", index % 2 == WEFT_EGRESS ? "egress" : "ingress");
		cJSON_AddNumberToObject(json, "packets", (double)drop[0]);
		cJSON_AddNumberToObject(json, "bytes", (double)drop[1]);
		cJSON_AddItemToArray(array, json);
	}
	return array;
}

cJSON *reply_error_array(const struct agent *agent)
{
	static const struct {
		const char *name, *text;
	} places[] = {
#define PLACE_ROW(number, name, text) [number] = { #name, text },
		WEFT_PLACES(PLACE_ROW)
#undef PLACE_ROW
	};
	cJSON *array = cJSON_CreateArray();

	for (uint32_t place = 0; place < WEFT_PLACE_COUNT; place++) {
		uint64_t count;
		cJSON *json;

		read_counters(agent, "weft_errors", place, &count, 1);
		if (!count)
			continue;
		json = cJSON_CreateObject();
		cJSON_AddStringToObject(json, "place", places[place].name);
		cJSON_AddStringToObject(json, "text", places[place].text);
		cJSON_AddNumberToObject(json, "count", (double)count);
		cJSON_AddItemToArray(array, json);
	}
	return array;
}
