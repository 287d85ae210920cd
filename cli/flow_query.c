/* SPDX-License-Identifier: Apache-2.0 */
#include "flow_query.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEFAULT_LAST 20

static uint64_t realtime_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NANOSECONDS + (uint64_t)now.tv_nsec;
}

static uint64_t unit_nanoseconds(const char *unit, size_t *ret_length)
{
	static const struct {
		const char *name;
		uint64_t nanoseconds;
	} units[] = {
		{ "ms", 1000000 },	       { "s", NANOSECONDS },	      { "m", 60 * NANOSECONDS },
		{ "h", 3600 * NANOSECONDS }, { "d", 86400 * NANOSECONDS },
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
		if (!strncmp(unit, units[i].name, strlen(units[i].name))) {
			*ret_length = strlen(units[i].name);
			return units[i].nanoseconds;
		}
	return 0;
}

int parse_when(const char *text, uint64_t now, uint64_t *ret)
{
	uint64_t before = 0, when;

	if (!flow_time_parse(text, &when)) {
		*ret = when;
		return 0;
	}
	if (!*text)
		return -EINVAL;
	while (*text) {
		char *unit;
		uint64_t number, nanoseconds;
		size_t length = 0;

		if (*text < '0' || *text > '9')
			return -EINVAL;
		number = strtoull(text, &unit, 10);
		nanoseconds = unit_nanoseconds(unit, &length);
		if (!nanoseconds || number > (now - before) / nanoseconds)
			return -EINVAL;
		before += number * nanoseconds;
		text = unit + length;
	}
	*ret = now - before;
	return 0;
}

/* --- from the options --- */

static int add_condition(struct context *context, struct flow_query *query, bool negated, const char *name,
			 const char *value)
{
	char reason[256] = "", *condition = NULL;

	if (asprintf(&condition, "%s%s=%s", negated ? "!" : "", name, value) < 0)
		return fail(context, EXIT_FAILED, NULL, "no memory for filters");
	if (flow_filter_add(query->filter, condition, reason) < 0) {
		free(condition);
		return fail(context, EXIT_BAD_USAGE, NULL, "--%s", reason);
	}
	query->conditions[query->condition_count++] = condition;
	return EXIT_FINE;
}

static bool is_all_namespaces(const struct context *context, const struct value *value)
{
	return !strcmp(value->option->name, "namespace") && arguments_have(&context->arguments, "all-namespaces");
}

static int add_conditions(struct context *context, struct flow_query *query)
{
	int status = EXIT_FINE;

	if (flow_filter_new(&query->filter) < 0)
		return fail(context, EXIT_FAILED, NULL, "no memory for filters");

	for (size_t i = 0; !status && i < context->arguments.value_count; i++) {
		const struct value *value = &context->arguments.values[i];

		if (value->option->negatable && !is_all_namespaces(context, value))
			status = add_condition(context, query, value->negated, value->option->name, value->text);
	}
	if (!status && arguments_have(&context->arguments, "ipv4"))
		status = add_condition(context, query, false, "ip-version", "4");
	if (!status && arguments_have(&context->arguments, "ipv6"))
		status = add_condition(context, query, false, "ip-version", "6");
	return status;
}

static int set_time(struct context *context, const char *name, uint64_t *ret)
{
	const char *text = arguments_text(&context->arguments, name, NULL);

	if (text && parse_when(text, realtime_now(), ret) < 0)
		return fail(context, EXIT_BAD_USAGE, NULL,
			    "--%s %.60s: must be how long ago (5m, 1h30m) or a time (2026-01-31T12:00:00Z)", name,
				    text);
	return EXIT_FINE;
}

static int set_amount(struct context *context, struct flow_query *query)
{
	const struct arguments *arguments = &context->arguments;
	char reason[256];

	query->has_last = arguments_have(arguments, "last");
	query->has_first = arguments_have(arguments, "first");
	if (query->has_last + query->has_first + arguments_have(arguments, "all") > 1)
		return fail(context, EXIT_BAD_USAGE, NULL, "--last, --first and --all exclude each other");
	if (arguments_number(arguments, "last", 0, UINT32_MAX, &query->last, reason) < 0 ||
	    arguments_number(arguments, "first", 0, UINT32_MAX, &query->first, reason) < 0)
		return fail(context, EXIT_BAD_USAGE, NULL, "%s", reason);
	/* a bare call: the last 20; with a time, a file or to follow, what these mean by themselves */
	if (query->has_last || query->has_first || query->input_file || query->since || query->until ||
	    arguments_have(arguments, "all") || strcmp(context->command->name, "observe") != 0)
		return EXIT_FINE;
	query->has_last = true;
	query->last = query->follow ? 0 : DEFAULT_LAST;
	return EXIT_FINE;
}

int flow_query_open(struct context *context, struct flow_query *ret)
{
	int status;

	*ret = (struct flow_query){ 0 };
	ret->follow = arguments_have(&context->arguments, "follow");
	ret->input_file = arguments_text(&context->arguments, "input-file", NULL);
	status = add_conditions(context, ret);
	if (!status)
		status = set_time(context, "since", &ret->since);
	if (!status)
		status = set_time(context, "until", &ret->until);
	return status ? status : set_amount(context, ret);
}

void flow_query_close(struct flow_query *query)
{
	for (size_t i = 0; i < query->condition_count; i++)
		free(query->conditions[i]);
	flow_filter_free(query->filter);
	*query = (struct flow_query){ 0 };
}

/* --- where the records come from --- */

struct record {
	struct flow flow;
	char *line;
	size_t size;
};

struct reading {
	struct context *context;
	struct flow_query *query;
	flow_query_fn *each;
	void *each_context;
	bool filtered; /* by the agent */
	unsigned long seen; /* that match */
	struct record *last; /* of an unfiltered source: a ring of query->last */
	size_t line_number, bad_lines;
};

static bool is_wanted(const struct flow_query *query, const struct flow *flow)
{
	return (!query->since || flow->time >= query->since) && (!query->until || flow->time <= query->until) &&
	       flow_filter_matches(query->filter, flow);
}

/* A line that says how many records the agent had to leave out for this reader. */
static bool tell_lost(const char *line, size_t size)
{
	cJSON *json = cJSON_ParseWithLength(line, size);
	bool lost = json_at(json, "lost_events") != NULL;

	if (lost)
		fprintf(stderr, "meshctl: %.0f records are missing here: this reader was too slow\n",
			json_number(json, "lost_events.num_events_lost"));
	cJSON_Delete(json);
	return lost;
}

static int keep(struct reading *reading, const struct flow *flow, const char *line, size_t size)
{
	struct record *record = &reading->last[reading->seen % reading->query->last];

	free(record->line);
	*record = (struct record){ *flow, strndup(line, size), size };
	reading->seen++;
	return record->line ? 0 : -ENOMEM;
}

static int on_line(const char *line, size_t size, void *context)
{
	struct reading *reading = context;
	struct flow flow;
	char reason[256];

	reading->line_number++;
	if (flow_from_line(line, size, &flow, reason) < 0) {
		if (tell_lost(line, size))
			return 0;
		reading->bad_lines++;
		fail(reading->context, EXIT_BAD_INPUT, NULL, "%s%sline %zu: %s; left out",
		     reading->query->input_file ? reading->query->input_file : "",
		     reading->query->input_file ? ": " : "record at ", reading->line_number, reason);
		return 0;
	}
	if (reading->filtered)
		return reading->each(&flow, line, size, reading->each_context);
	if (!is_wanted(reading->query, &flow))
		return 0;
	if (reading->query->has_last)
		return reading->last ? keep(reading, &flow, line, size) : 0;
	if (reading->query->has_first && reading->seen++ >= reading->query->first)
		return 1;
	return reading->each(&flow, line, size, reading->each_context);
}

static int read_input(struct reading *reading)
{
	const char *path = reading->query->input_file;
	FILE *file = strcmp(path, "-") ? fopen(path, "re") : stdin;
	char *line = NULL;
	size_t capacity = 0;
	ssize_t size;

	if (!file)
		return fail(reading->context, EXIT_BAD_INPUT, NULL, "%s: cannot be read: %s", path, strerror(errno));
	while ((size = getline(&line, &capacity, file)) >= 0) {
		while (size && (line[size - 1] == '\n' || line[size - 1] == '\r'))
			size--;
		if (!size)
			reading->line_number++;
		else if (on_line(line, (size_t)size, reading))
			break;
	}
	free(line);
	if (file != stdin)
		fclose(file);
	return reading->bad_lines ? EXIT_BAD_INPUT : EXIT_FINE;
}

static void print_time(FILE *out, const char *name, uint64_t time)
{
	char text[FLOW_TIME_MAX];

	if (time)
		fprintf(out, "&%s=%s", name, flow_time_format(time, text));
}

/* The path with its query; the caller frees it. */
static char *request_path(const struct flow_query *query)
{
	char *path = NULL;
	size_t size;
	FILE *out = open_memstream(&path, &size);

	if (!out)
		return NULL;
	fprintf(out, "/v1/flows?follow=%d", query->follow);
	if (query->has_last)
		fprintf(out, "&last=%lu", query->last);
	if (query->has_first)
		fprintf(out, "&first=%lu", query->first);
	print_time(out, "since", query->since);
	print_time(out, "until", query->until);
	for (size_t i = 0; i < query->condition_count; i++) {
		char *escaped = client_escape(query->conditions[i]);

		fprintf(out, "&filter=%s", escaped ? escaped : "");
		free(escaped);
	}
	if (fclose(out) != 0) {
		free(path);
		return NULL;
	}
	return path;
}

static int ask_agent(struct reading *reading)
{
	char *path = request_path(reading->query);
	int status;

	if (!path)
		return fail(reading->context, EXIT_FAILED, NULL, "no memory for the request");
	reading->filtered = !reading->context->file;
	status = client_lines(reading->context, path, on_line, reading);
	free(path);
	return status;
}

/* Gives out the ring of the last records, oldest first, and frees it. */
static void give_last(struct reading *reading)
{
	unsigned long capacity = reading->query->last;
	unsigned long count = reading->seen < capacity ? reading->seen : capacity;
	int stop = 0;

	for (unsigned long i = 0; reading->last && i < count; i++) {
		struct record *record = &reading->last[(reading->seen - count + i) % capacity];

		if (!stop && record->line)
			stop = reading->each(&record->flow, record->line, record->size, reading->each_context);
		free(record->line);
	}
	free(reading->last);
}

int flow_query_run(struct context *context, struct flow_query *query, flow_query_fn *each, void *each_context)
{
	struct reading reading = { .context = context, .query = query, .each = each, .each_context = each_context };
	bool local = query->input_file || context->file;
	int status;

	if (query->follow && local)
		return fail(context, EXIT_BAD_USAGE, "leave out --follow",
			    "a file does not grow: it cannot be followed");
	if (local && query->has_last && query->last) {
		reading.last = calloc(query->last, sizeof(*reading.last));
		if (!reading.last)
			return fail(context, EXIT_FAILED, NULL, "no memory for %lu records", query->last);
	}
	status = query->input_file ? read_input(&reading) : ask_agent(&reading);
	give_last(&reading);
	return status;
}
