/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "context.h"

#define NEARLY_FULL 0.9
#define REPORTS_SHOWN 10
#define RETRY_MILLISECONDS 200

static void print_agent(const struct context *context, const cJSON *status)
{
	bool ready = json_true(status, "agent.ready");
	char up[32];

	printf("%-14s weftd %s on node %s, pid %.0f, up %s (since %s)\n", "Agent", json_text(status, "agent.version"),
	       json_text(status, "agent.node"), json_number(status, "agent.pid"),
	       format_seconds(json_number(status, "agent.uptime_seconds"), up), json_text(status, "agent.started"));
	printf("%-14s %s%s%s\n", "Policy", tint(context, ready ? TINT_GOOD : TINT_BAD),
	       ready ? "loaded" : "not loaded: pods of this node refuse traffic", tint(context, TINT_NONE));
}

static void print_source(const struct context *context, const cJSON *status)
{
	const cJSON *objects = json_at(status, "source.objects"), *item;
	const char *separator = "";

	printf("%-14s %s, %.0f files\n", "Source", json_text(status, "source.source"),
	       json_number(status, "source.files"));
	printf("%-14s ", "Objects");
	cJSON_ArrayForEach(item, objects) {
		if (!item->valuedouble)
			continue;
		printf("%s%.0f %s", separator, item->valuedouble, item->string);
		separator = ", ";
	}
	puts(*separator ? "" : "none");
	cJSON_ArrayForEach(item, json_at(status, "source.problems"))
		printf("  %s×%s %s:%.0f: %s\n", tint(context, TINT_BAD), tint(context, TINT_NONE),
		       json_text(item, "file"),
		       json_number(item, "line"), json_text(item, "reason"));
}

/* The first of them; the rest would push everything else off the screen. */
static void print_reports(const struct context *context, const cJSON *status)
{
	const cJSON *reports = json_at(status, "reports"), *report;
	int count = cJSON_GetArraySize(reports), shown = 0;

	if (count)
		printf("%-14s %d parts of objects are not honoured%s\n", "Reports", count,
		       count > REPORTS_SHOWN ? "; meshctl check names them all" : "");
	cJSON_ArrayForEach(report, reports) {
		const char *namespace = json_text(report, "namespace");

		if (shown++ == REPORTS_SHOWN)
			break;
		printf("  %s‼%s %s %s%s%s: %s\n", tint(context, TINT_WARN), tint(context, TINT_NONE),
		       json_text(report, "kind"),
		       namespace ? namespace : "", namespace && *namespace ? "/" : "", json_text(report, "name"),
		       json_text(report, "text"));
	}
}

static void print_programs(const cJSON *status)
{
	const cJSON *programs = json_at(status, "datapath.programs");
	bool on = json_true(status, "datapath.short_way.on");
	const char *why = json_text(status, "datapath.short_way.why");

	printf("%-14s %d loaded\n", "Programs", cJSON_GetArraySize(programs));
	printf("%-14s %s%s%s%s\n", "Short way", on ? "on" : "off", why && *why ? " (" : "", why ? why : "",
	       why && *why ? ")" : "");
}

static void print_maps(const struct context *context, const cJSON *status)
{
	const cJSON *map;
	int count = 0, findings = 0;

	cJSON_ArrayForEach(map, json_at(status, "datapath.maps")) {
		double entries = json_number(map, "entries"), capacity = json_number(map, "capacity");
		bool full = json_true(map, "is_full");

		count++;
		/* storage in sockets has no capacity */
		if (!full && (!capacity || entries < capacity * NEARLY_FULL))
			continue;
		findings++;
		printf("%-14s %s%s%s %s is %s: %.0f of %.0f entries", "Maps",
		       tint(context, full ? TINT_BAD : TINT_WARN),
		       full ? "×" : "‼", tint(context, TINT_NONE), json_text(map, "name"),
			       full ? "full" : "nearly full",
		       entries, capacity);
		if (json_text(map, "option"))
			printf("; weftd --%s makes room", json_text(map, "option"));
		putchar('\n');
	}
	if (!findings)
		printf("%-14s %d, none nearly full\n", "Maps", count);
}

static void print_flows(const struct context *context, const cJSON *status)
{
	double lost = json_number(status, "flows.lost");

	printf("%-14s %.0f recorded, %s%.0f lost%s, the last %.0f kept\n", "Flows",
	       json_number(status, "flows.recorded"),
	       tint(context, lost ? TINT_WARN : TINT_NONE), lost, tint(context, TINT_NONE),
		       json_number(status, "flows.kept"));
}

static void print_counters(const struct context *context, const cJSON *status)
{
	const cJSON *drops = json_at(status, "datapath.drops"), *errors = json_at(status, "datapath.errors"), *item;

	printf("%-14s %s\n", "Refused", cJSON_GetArraySize(drops) ? "(packets and connects)" : "nothing");
	cJSON_ArrayForEach(item, drops)
		printf("  %10.0f %-8s %s: %s\n", json_number(item, "packets"), json_text(item, "direction"),
		       json_text(item, "reason"), json_text(item, "text"));
	cJSON_ArrayForEach(item, errors)
		printf("%-14s %s‼%s %s: %.0f times: %s\n", "Errors", tint(context, TINT_WARN), tint(context, TINT_NONE),
		       json_text(item, "place"), json_number(item, "count"), json_text(item, "text"));
}

static void print_status(const struct context *context, const cJSON *status)
{
	print_agent(context, status);
	print_source(context, status);
	print_reports(context, status);
	print_programs(status);
	print_maps(context, status);
	print_flows(context, status);
	print_counters(context, status);
}

static double monotonic_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The agent is another process that may not exist yet: asking again is the only way to know. */
static int wait_ready(struct context *context, unsigned long timeout)
{
	const struct timespec pause = { 0, RETRY_MILLISECONDS * 1000000L };
	double end = monotonic_seconds() + (double)timeout;
	bool reached = false;

	do {
		cJSON *status = NULL;
		bool ready = false;

		if (client_reachable(context) && !client_get(context, "/v1/status", &status)) {
			reached = true;
			ready = json_true(status, "agent.ready");
			cJSON_Delete(status);
		}
		if (ready)
			return EXIT_FINE;
		nanosleep(&pause, NULL);
	} while (monotonic_seconds() < end);
	return fail(context, EXIT_UNREACHABLE, "systemctl status weftd, journalctl -u weftd", "%s within %lu seconds",
		    reached ? "weftd answers, but has loaded no policy" : "weftd did not answer", timeout);
}

int run_status(struct context *context)
{
	unsigned long timeout = 60;
	cJSON *answer = NULL;
	char reason[256];
	int status = EXIT_FINE;

	if (arguments_number(&context->arguments, "timeout", 0, 86400, &timeout, reason) < 0)
		return fail(context, EXIT_BAD_USAGE, NULL, "%s", reason);
	if (arguments_have(&context->arguments, "wait") && !context->file)
		status = wait_ready(context, timeout);
	if (!status)
		status = client_get(context, "/v1/status", &answer);
	if (status)
		return status;
	if (wants_json(context) || wants_yaml(context))
		print_structure(context, answer);
	else
		print_status(context, answer);
	cJSON_Delete(answer);
	return EXIT_FINE;
}
