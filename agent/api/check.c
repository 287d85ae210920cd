/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/check: what an operator should look at, each with a way out. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/reply.h"
#include "compile/compile.h"
#include "config.h"
#include "datapath/datapath.h"
#include "telemetry/telemetry.h"

#define NEARLY_FULL_PERCENT 90

static void add_check(cJSON *array, const char *category, const char *name, const char *result, const char *hint,
		      const char *detail_format, ...) __attribute__((format(printf, 6, 7)));

/* `result`: "ok", "warning" or "failure"; the hint is for those that are not ok. */
static void add_check(cJSON *array, const char *category, const char *name, const char *result, const char *hint,
		      const char *detail_format, ...)
{
	cJSON *json = cJSON_CreateObject();
	char detail[512];
	va_list arguments;

	va_start(arguments, detail_format);
	vsnprintf(detail, sizeof(detail), detail_format, arguments);
	va_end(arguments);
	cJSON_AddStringToObject(json, "category", category);
	cJSON_AddStringToObject(json, "name", name);
	cJSON_AddStringToObject(json, "result", result);
	if (*detail)
		cJSON_AddStringToObject(json, "detail", detail);
	if (strcmp(result, "ok") != 0)
		cJSON_AddStringToObject(json, "hint", hint);
	cJSON_AddItemToArray(array, json);
}

static int count_program(const struct datapath_program *program, void *context)
{
	(void)program;
	(*(int *)context)++;
	return 0;
}

static void check_programs(cJSON *array, const struct agent *agent)
{
	int count = 0, error = datapath_each_program(agent->datapath, count_program, &count);

	if (error < 0)
		add_check(array, "datapath", "programs are loaded", "failure", "see weftd's log; then restart weftd",
			  "they cannot be listed: %s", strerror(-error));
	else
		add_check(array, "datapath", "programs are loaded", count ? "ok" : "failure",
			  "restart weftd and see its log",
			  "%d programs", count);
	add_check(array, "datapath", "policy is loaded", telemetry_ready(agent) ? "ok" : "failure",
		  "pods of this node refuse traffic until it is: see weftd's log", "%s", "");
}

static void check_maps(cJSON *array, const struct agent *agent)
{
	cJSON *maps = reply_map_array(agent), *map;
	int findings = 0;

	cJSON_ArrayForEach(map, maps) {
		const char *name = cJSON_GetStringValue(cJSON_GetObjectItem(map, "name"));
		double entries = cJSON_GetNumberValue(cJSON_GetObjectItem(map, "entries"));
		double capacity = cJSON_GetNumberValue(cJSON_GetObjectItem(map, "capacity"));
		const char *option = cJSON_GetStringValue(cJSON_GetObjectItem(map, "option"));
		bool full = cJSON_IsTrue(cJSON_GetObjectItem(map, "is_full"));
		char hint[160];

		/* storage in sockets has no capacity */
		if (!full && (!capacity || entries * 100 < capacity * NEARLY_FULL_PERCENT))
			continue;
		findings++;
		snprintf(hint, sizeof(hint),
			 "start weftd with a larger --%.60s; what is loaded keeps working meanwhile",
			 option ? option : "max-...");
		add_check(array, "datapath", "maps have room", full ? "failure" : "warning", hint,
			  "%s has %.0f of %.0f entries", name, entries, capacity);
	}
	if (!findings)
		add_check(array, "datapath", "maps have room", "ok", NULL, "%d maps", cJSON_GetArraySize(maps));
	cJSON_Delete(maps);
}

static void check_errors(cJSON *array, const struct agent *agent)
{
	cJSON *errors = reply_error_array(agent), *error;

	cJSON_ArrayForEach(error, errors)
		add_check(array, "datapath", "no kernel helper failed", "warning",
			  "watch weft_bpf_errors_total: if it keeps growing, see docs/ for its place",
			  "%s: %.0f times: %s", cJSON_GetStringValue(cJSON_GetObjectItem(error, "place")),
			  cJSON_GetNumberValue(cJSON_GetObjectItem(error, "count")),
			  cJSON_GetStringValue(cJSON_GetObjectItem(error, "text")));
	if (!cJSON_GetArraySize(errors))
		add_check(array, "datapath", "no kernel helper failed", "ok", NULL, "%s", "");
	cJSON_Delete(errors);
}

static void check_short_way(cJSON *array, const struct agent *agent)
{
	const char *why = NULL;
	bool on = datapath_short_way(agent->datapath, &why);

	/* off is a choice, not a fault */
	add_check(array, "datapath", "short way between pods of this node", "ok", NULL, "%s%s%s", on ? "on" : "off",
		  why ? ": " : "", why ? why : "");
}

static void check_source(cJSON *array, const struct agent *agent)
{
	cJSON *problems = reply_problem_array(agent), *problem;

	cJSON_ArrayForEach(problem, problems) {
		const cJSON *line = cJSON_GetObjectItem(problem, "line");

		add_check(array, "source", "all files are understood", "failure",
			  "correct the file; its last good objects stay in force until then", "%s:%.0f: %s",
			  cJSON_GetStringValue(cJSON_GetObjectItem(problem, "file")),
			  line ? line->valuedouble : 1,
			  cJSON_GetStringValue(cJSON_GetObjectItem(problem, "reason")));
	}
	if (!cJSON_GetArraySize(problems))
		add_check(array, "source", "all files are understood", "ok", NULL, "%s", agent->config->source);
	cJSON_Delete(problems);
}

static void check_reports(cJSON *array, const struct agent *agent)
{
	cJSON *reports = reply_report_array(agent), *report;

	cJSON_ArrayForEach(report, reports) {
		const char *namespace = cJSON_GetStringValue(cJSON_GetObjectItem(report, "namespace"));

		add_check(array, "source", "all parts of objects are honoured", "warning",
			  "change the object, or accept what the text says", "%s %s%s%s: %s",
			  cJSON_GetStringValue(cJSON_GetObjectItem(report, "kind")), namespace ? namespace : "",
			  namespace && *namespace ? "/" : "", cJSON_GetStringValue(cJSON_GetObjectItem(report, "name")),
			  cJSON_GetStringValue(cJSON_GetObjectItem(report, "text")));
	}
	if (!cJSON_GetArraySize(reports))
		add_check(array, "source", "all parts of objects are honoured", "ok", NULL, "%s", "");
	cJSON_Delete(reports);
}

/* Pods of this node whose packets no program sees. */
static void check_pods(cJSON *array, const struct agent *agent)
{
	struct api_request all = { .route = API_WORKLOADS };
	struct api_error error;
	cJSON *pods = NULL, *pod;
	int enforced = 0, loose = 0;

	if (reply_workloads(agent, &all, &pods, &error) < 0)
		return;
	cJSON_ArrayForEach(pod, pods) {
		const char *mesh = cJSON_GetStringValue(cJSON_GetObjectItem(pod, "mesh"));
		const char *phase = cJSON_GetStringValue(cJSON_GetObjectItem(pod, "phase"));
		const char *netns = cJSON_GetStringValue(cJSON_GetObjectItem(pod, "netns"));

		enforced += !strcmp(mesh, "enforced");
		if (strcmp(mesh, "not bound") != 0 || strcmp(phase, "Running") != 0)
			continue;
		loose++;
		add_check(array, "pods", "pods of this node are in the mesh", "failure",
			  netns ? "see weftd's log: the network namespace or its interface was not found"
				: "give it the annotation mesh.weft.dev/netns with the path of its network namespace",
			  "%s/%s is not", cJSON_GetStringValue(cJSON_GetObjectItem(pod, "namespace")),
			  cJSON_GetStringValue(cJSON_GetObjectItem(pod, "name")));
	}
	if (!loose)
		add_check(array, "pods", "pods of this node are in the mesh", "ok", NULL, "%d pods", enforced);
	cJSON_Delete(pods);
}

int reply_check(const struct agent *agent, const struct api_request *request, cJSON **ret, struct api_error *ret_error)
{
	cJSON *array = cJSON_CreateArray();

	(void)request, (void)ret_error;
	check_programs(array, agent);
	check_maps(array, agent);
	check_errors(array, agent);
	check_short_way(array, agent);
	check_source(array, agent);
	check_reports(array, agent);
	check_pods(array, agent);
	*ret = array;
	return 0;
}
