/* SPDX-License-Identifier: Apache-2.0 */
/* meshctl trace: all records of one connection, from both ends, as a story. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow_query.h"
#include "util/addr.h"

struct story {
	struct flow *flows; /* of all connections that match, oldest first */
	size_t count, capacity;
	bool has_end; /* "ADDRESS:PORT" was given */
	struct weft_addr addr;
	uint16_t port;
};

/* "10.0.0.1:80", "[fd00::1]:80" */
static int parse_end(struct story *story, const char *text)
{
	const char *colon = strrchr(text, ':');
	char address[ADDR_TEXT_MAX], *end;
	size_t length = colon ? (size_t)(colon - text) : 0;
	unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;

	if (!colon || !port || port > UINT16_MAX || *end || length >= sizeof(address))
		return -1;
	if (length > 2 && text[0] == '[' && text[length - 1] == ']') {
		text++;
		length -= 2;
	}
	snprintf(address, sizeof(address), "%.*s", (int)length, text);
	story->has_end = true;
	story->port = (uint16_t)port;
	return addr_parse(address, &story->addr);
}

static bool is_end(const struct story *story, const struct flow_end *end)
{
	return end->port == story->port && addr_equal(&end->addr, &story->addr);
}

static int collect(const struct flow *flow, const char *line, size_t size, void *context)
{
	struct story *story = context;

	(void)line, (void)size;
	if (story->has_end && !is_end(story, &flow->source) && !is_end(story, &flow->destination))
		return 0;
	if (story->count == story->capacity) {
		size_t capacity = story->capacity ? story->capacity * 2 : 64;
		struct flow *flows = realloc(story->flows, capacity * sizeof(*flows));

		if (!flows)
			return -1;
		story->flows = flows;
		story->capacity = capacity;
	}
	story->flows[story->count++] = *flow;
	return 0;
}

static bool same_connection(const struct flow *a, const struct flow *b)
{
	return a->protocol == b->protocol && a->source.port == b->source.port &&
	       a->destination.port == b->destination.port &&
	       addr_equal(&a->source.addr, &b->source.addr) && addr_equal(&a->destination.addr, &b->destination.addr);
}

/* When what the record tells of began: a connect() that took 3 ms began 3 ms before its record. */
static uint64_t begin_of(const struct flow *flow)
{
	if (flow->type == WEFT_EVENT_ACCEPT || flow->duration > flow->time)
		return flow->time;
	return flow->time - flow->duration;
}

/*
 * Leaves only the records of the latest connection; ports are used again, so what was before its last connect is
 * another.
 */
static void keep_latest(struct story *story)
{
	struct flow last;
	size_t kept = 0;

	if (!story->count)
		return;
	last = story->flows[story->count - 1];
	for (size_t i = 0; i < story->count; i++) {
		const struct flow *flow = &story->flows[i];

		if (!same_connection(flow, &last))
			continue;
		if (kept && flow->type == WEFT_EVENT_CONNECT && story->flows[kept - 1].type == WEFT_EVENT_CLOSE)
			kept = 0;
		story->flows[kept++] = *flow;
	}
	story->count = kept;
}

static int compare_times(const void *left, const void *right)
{
	const struct flow *a = left, *b = right;

	return a->time < b->time ? -1 : a->time > b->time;
}

static void print_story(const struct context *context, const struct story *story)
{
	const struct flow *first = &story->flows[0];
	char source[FLOW_TEXT_MAX], destination[FLOW_TEXT_MAX], source_id[FLOW_TEXT_MAX], destination_id[FLOW_TEXT_MAX];
	char time[FLOW_TIME_MAX];
	uint64_t begin = begin_of(first);

	printf("%s %s %s -> %s %s\n", flow_protocol_name(first->protocol), flow_end_format(&first->source, source),
	       flow_identity_format(&first->source, source_id), flow_end_format(&first->destination, destination),
	       flow_identity_format(&first->destination, destination_id));
	printf("%sbegan %s%s\n", tint(context, TINT_DIM), flow_time_format(begin, time), tint(context, TINT_NONE));
	for (size_t i = 0; i < story->count; i++) {
		const struct flow *flow = &story->flows[i];
		char summary[FLOW_TEXT_MAX];

		printf("  %+12.3f ms  %-11s  %-8s  %s", ((double)flow->time - (double)begin) / 1e6,
		       flow->reporter == WEFT_REPORTER_SOURCE ? "source" : "destination", flow_type_name(flow->type),
		       flow_summary(flow, summary));
		if (flow->type != WEFT_EVENT_DENY && flow->rule.text && flow->type != WEFT_EVENT_CLOSE)
			printf(" [%s]", flow->rule.text);
		putchar('\n');
	}
}

static void print_records(const struct context *context, const struct story *story)
{
	cJSON *array = cJSON_CreateArray();

	for (size_t i = 0; i < story->count; i++)
		cJSON_AddItemToArray(array, flow_to_json(&story->flows[i]));
	print_structure(context, array);
	cJSON_Delete(array);
}

static int tell(const struct context *context, struct story *story)
{
	keep_latest(story);
	if (!story->count)
		return fail(context, EXIT_BAD_INPUT,
			    "meshctl observe shows what there is; weftd --flow-history sets how much is kept",
			    "no record of such a connection is kept");
	qsort(story->flows, story->count, sizeof(*story->flows), compare_times);
	if (wants_json(context) || wants_yaml(context))
		print_records(context, story);
	else
		print_story(context, story);
	return EXIT_FINE;
}

int run_trace(struct context *context)
{
	struct story story = { 0 };
	struct flow_query query;
	int status;

	if (context->arguments.word_count && parse_end(&story, context->arguments.words[0]) < 0)
		return fail(context, EXIT_BAD_USAGE, NULL,
			    "%.80s: must be ADDRESS:PORT, such as 10.0.0.1:80 or [fd00::1]:80",
			    context->arguments.words[0]);
	status = flow_query_open(context, &query);
	if (!status)
		status = flow_query_run(context, &query, collect, &story);
	if (!status)
		status = tell(context, &story);
	flow_query_close(&query);
	free(story.flows);
	return status;
}
