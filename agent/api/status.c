/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/status, /v1/version, /v1/config, /v1/log-level, /v1/maps, /v1/sysdump: the agent itself. */
#include <bpf/bpf.h>
#include <errno.h>
#include <event2/http.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/reply.h"
#include "config.h"
#include "datapath/datapath.h"
#include "source/source.h"
#include "telemetry/telemetry.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/map_each.h"

static cJSON *version_json(void)
{
	cJSON *json = cJSON_CreateObject();

	cJSON_AddStringToObject(json, "version", WEFT_VERSION);
	cJSON_AddNumberToObject(json, "map_layout", WEFT_ABI_VERSION);
	return json;
}

int reply_version(const struct agent *agent, const struct api_request *request, cJSON **ret,
		  struct api_error *ret_error)
{
	(void)agent, (void)request, (void)ret_error;
	*ret = version_json();
	return 0;
}

static cJSON *agent_json(const struct agent *agent)
{
	cJSON *json = version_json();
	char time[FLOW_TIME_MAX];

	cJSON_AddStringToObject(json, "node", agent->config->node_name);
	cJSON_AddNumberToObject(json, "pid", getpid());
	cJSON_AddStringToObject(json, "started", flow_time_format(agent->started, time));
	cJSON_AddNumberToObject(json, "uptime_seconds", (double)((clock_now(CLOCK_REALTIME) - agent->started) / NANOSECONDS));
	cJSON_AddBoolToObject(json, "ready", telemetry_ready(agent));
	cJSON_AddStringToObject(json, "cluster", agent->config->cluster);
	cJSON_AddStringToObject(json, "trust_domain", agent->config->trust_domain);
	cJSON_AddStringToObject(json, "root_namespace", agent->config->root_namespace);
	cJSON_AddStringToObject(json, "log_level", log_level_name(log_get_level()));
	return json;
}

static cJSON *source_json(const struct agent *agent)
{
	cJSON *json = cJSON_CreateObject(), *objects;
	struct source_counters counters;

	source_counters(agent->source, &counters);
	cJSON_AddStringToObject(json, "source", agent->config->source);
	cJSON_AddNumberToObject(json, "files", (double)counters.files);
	cJSON_AddNumberToObject(json, "ignored_objects", (double)counters.ignored_objects);
	cJSON_AddNumberToObject(json, "parse_errors", (double)counters.parse_errors);
	cJSON_AddNumberToObject(json, "reloads", (double)counters.reloads);
	objects = cJSON_AddObjectToObject(json, "objects");
	for (int kind = 0; kind < MODEL_KIND_COUNT; kind++)
		cJSON_AddNumberToObject(objects, model_kind_name((enum model_kind)kind),
					(double)model_count(agent->model, (enum model_kind)kind));
	cJSON_AddItemToObject(json, "problems", reply_problem_array(agent));
	return json;
}

static int add_program(const struct datapath_program *program, void *context)
{
	cJSON *json = cJSON_CreateObject();

	cJSON_AddStringToObject(json, "name", program->name);
	cJSON_AddNumberToObject(json, "runs", (double)program->run_count);
	cJSON_AddNumberToObject(json, "run_nanoseconds", (double)program->run_nanoseconds);
	cJSON_AddItemToArray(context, json);
	return 0;
}

static cJSON *datapath_json(const struct agent *agent)
{
	cJSON *json = cJSON_CreateObject(), *programs = cJSON_AddArrayToObject(json, "programs"), *short_way;
	const char *why = NULL;
	int error = datapath_each_program(agent->datapath, add_program, programs);

	if (error < 0)
		log_warn("the programs cannot be listed: %s", strerror(-error));
	cJSON_AddBoolToObject(json, "policy_loaded", telemetry_ready(agent));
	cJSON_AddStringToObject(json, "deny", agent->config->datapath.deny_drop ? "drop" : "reset");
	short_way = cJSON_AddObjectToObject(json, "short_way");
	cJSON_AddBoolToObject(short_way, "on", datapath_short_way(agent->datapath, &why));
	reply_put_text(short_way, "why", why);
	cJSON_AddItemToObject(json, "maps", reply_map_array(agent));
	cJSON_AddItemToObject(json, "drops", reply_drop_array(agent));
	cJSON_AddItemToObject(json, "errors", reply_error_array(agent));
	return json;
}

static cJSON *flows_json(const struct agent *agent)
{
	cJSON *json = cJSON_CreateObject();
	struct flows_counters counters;
	uint64_t lost = 0;
	int fd = datapath_map_fd(agent->datapath, "weft_errors");
	int error = fd < 0 ? fd : map_sum_percpu(fd, WEFT_PLACE_EVENT_RING_FULL, &lost, 1);

	if (error)
		log_warn("weft_errors cannot be read: %s", strerror(-error));
	flows_counters(agent->telemetry->flows, &counters);
	cJSON_AddNumberToObject(json, "recorded", (double)counters.recorded);
	cJSON_AddNumberToObject(json, "lost", (double)lost);
	cJSON_AddNumberToObject(json, "follower_lost", (double)agent->telemetry->follower_lost);
	cJSON_AddNumberToObject(json, "kept", (double)counters.kept);
	cJSON_AddNumberToObject(json, "capacity", (double)counters.capacity);
	return json;
}

int reply_status(const struct agent *agent, const struct api_request *request, cJSON **ret, struct api_error *ret_error)
{
	cJSON *json = cJSON_CreateObject();

	(void)request, (void)ret_error;
	cJSON_AddItemToObject(json, "agent", agent_json(agent));
	cJSON_AddItemToObject(json, "source", source_json(agent));
	cJSON_AddItemToObject(json, "datapath", datapath_json(agent));
	cJSON_AddItemToObject(json, "flows", flows_json(agent));
	cJSON_AddItemToObject(json, "reports", reply_report_array(agent));
	*ret = json;
	return 0;
}

int reply_maps(const struct agent *agent, const struct api_request *request, cJSON **ret, struct api_error *ret_error)
{
	(void)request, (void)ret_error;
	*ret = reply_map_array(agent);
	return 0;
}

static int add_option(const char *name, const char *value, void *context)
{
	reply_put_text(context, name, value);
	return 0;
}

int reply_config(const struct agent *agent, const struct api_request *request, cJSON **ret, struct api_error *ret_error)
{
	(void)request, (void)ret_error;
	*ret = cJSON_CreateObject();
	config_each(agent->config, add_option, *ret);
	return 0;
}

int reply_log_level(const struct agent *agent, const struct api_request *request, cJSON **ret,
		    struct api_error *ret_error)
{
	(void)agent, (void)request, (void)ret_error;
	*ret = cJSON_CreateObject();
	cJSON_AddStringToObject(*ret, "level", log_level_name(log_get_level()));
	return 0;
}

int reply_set_log_level(const struct agent *agent, const struct api_request *request, cJSON **ret,
			struct api_error *ret_error)
{
	log_set_level(request->level);
	return reply_log_level(agent, request, ret, ret_error);
}

static int add_flow(const struct flow *flow, void *context)
{
	cJSON_AddItemToArray(context, flow_to_json(flow));
	return 0;
}

int reply_sysdump(const struct agent *agent, const struct api_request *request, cJSON **ret,
		  struct api_error *ret_error)
{
	cJSON *json = cJSON_CreateObject();
	char time[FLOW_TIME_MAX];

	(void)request;
	cJSON_AddStringToObject(json, "time", flow_time_format(clock_now(CLOCK_REALTIME), time));
	for (int route = 0; route < API_ROUTE_COUNT; route++) {
		struct api_request part = { .route = (enum api_route)route, .limit = UINT32_MAX };
		cJSON *reply = NULL;

		if (!api_route_dumped((enum api_route)route))
			continue;
		if (route == API_FLOWS) {
			reply = cJSON_CreateArray();
			flows_each(agent->telemetry->flows, add_flow, reply);
		} else if (reply_of((enum api_route)route)(agent, &part, &reply, ret_error) < 0) {
			reply = cJSON_CreateString(ret_error->message);
		}
		cJSON_AddItemToObject(json, api_route_path((enum api_route)route), reply);
	}
	*ret = json;
	return 0;
}
