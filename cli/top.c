/* SPDX-License-Identifier: Apache-2.0 */
/* meshctl top: two readings of the counters, and what happened between them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "context.h"

static const char *const counters[] = { "opened", "closed", "denied", "sent_bytes", "received_bytes", "retransmits" };
#define COUNTER_COUNT (sizeof(counters) / sizeof(*counters))

static const struct column columns[] = {
	{ "SOURCE", "source.name|source.id", COLUMN_TEXT, false },
	{ "DESTINATION", "destination.name|destination.id", COLUMN_TEXT, false },
	{ "SERVICE", "service", COLUMN_TEXT, false },
	{ "PROTO", "protocol", COLUMN_TEXT, false },
	{ "OPENED", "opened_per_second", COLUMN_RATE, false },
	{ "OUT", "sent_bytes_per_second", COLUMN_BYTE_RATE, false },
	{ "IN", "received_bytes_per_second", COLUMN_BYTE_RATE, false },
	{ "DENIED", "denied_per_second", COLUMN_RATE, false },
	{ "RETRANSMITS", "retransmits_per_second", COLUMN_RATE, false },
	{ 0 },
};

static bool same_text(const cJSON *a, const cJSON *b, const char *name)
{
	const char *left = json_text(a, name), *right = json_text(b, name);

	return (!left && !right) || (left && right && !strcmp(left, right));
}

static bool same_pair(const cJSON *a, const cJSON *b)
{
	return json_number(a, "source.id") == json_number(b, "source.id") &&
	       json_number(a, "destination.id") == json_number(b, "destination.id") && same_text(a, b, "service") &&
	       same_text(a, b, "protocol") && same_text(a, b, "reporter");
}

/* Both readings are in the same order, so the search goes on where it ended. NULL: the pair is new. */
static const cJSON *find_pair(const cJSON *before, const cJSON *pair, const cJSON **cursor)
{
	for (const cJSON *item = *cursor ? *cursor : before->child; item; item = item->next)
		if (same_pair(item, pair)) {
			*cursor = item->next;
			return item;
		}
	for (const cJSON *item = before->child; item != *cursor; item = item->next)
		if (same_pair(item, pair))
			return item;
	return NULL;
}

/* Adds the rates to `pair`. Returns whether anything happened. */
static bool add_rates(cJSON *pair, const cJSON *before, double seconds)
{
	bool active = false;

	for (size_t i = 0; i < COUNTER_COUNT; i++) {
		double difference = json_number(pair, counters[i]) - json_number(before, counters[i]);
		char name[64];

		snprintf(name, sizeof(name), "%s_per_second", counters[i]);
		cJSON_AddNumberToObject(pair, name, difference > 0 ? difference / seconds : 0);
		active |= difference > 0;
	}
	return active;
}

static double weight(const cJSON *pair)
{
	return json_number(pair, "sent_bytes_per_second") + json_number(pair, "received_bytes_per_second") +
	       json_number(pair, "denied_per_second") + json_number(pair, "opened_per_second");
}

static int compare_weights(const void *left, const void *right)
{
	double a = weight(*(cJSON *const *)left), b = weight(*(cJSON *const *)right);

	return a < b ? 1 : a > b ? -1 : 0;
}

/* The busiest first. */
static void sort_pairs(cJSON *pairs)
{
	int count = cJSON_GetArraySize(pairs);
	cJSON **items = calloc((size_t)count + 1, sizeof(*items));

	if (!items)
		return;
	for (int i = 0; i < count; i++)
		items[i] = cJSON_DetachItemViaPointer(pairs, pairs->child);
	qsort(items, (size_t)count, sizeof(*items), compare_weights);
	for (int i = 0; i < count; i++)
		cJSON_AddItemToArray(pairs, items[i]);
	free(items);
}

static bool in_namespace(const struct context *context, const cJSON *pair)
{
	const char *source = json_text(pair, "source.namespace");
	const char *destination = json_text(pair, "destination.namespace");

	return !context->namespace || (source && !strcmp(source, context->namespace)) ||
	       (destination && !strcmp(destination, context->namespace));
}

/* The pairs of `now` that did something since `before`, with their rates. */
static cJSON *rates_between(const struct context *context, const cJSON *before, cJSON *now)
{
	double seconds = (json_number(now, "time_ns") - json_number(before, "time_ns")) / 1e9;
	cJSON *pairs = cJSON_DetachItemFromObject(now, "pairs"), *pair, *next;
	const cJSON *earlier = json_at(before, "pairs"), *cursor = NULL;

	for (pair = pairs ? pairs->child : NULL; pair; pair = next) {
		next = pair->next;
		if (!add_rates(pair, find_pair(earlier, pair, &cursor), seconds > 0 ? seconds : 1) ||
		    !in_namespace(context, pair))
			cJSON_Delete(cJSON_DetachItemViaPointer(pairs, pair));
	}
	sort_pairs(pairs);
	return pairs;
}

static void print_rates(const struct context *context, const cJSON *pairs, bool clear)
{
	if (wants_json(context) || wants_yaml(context)) {
		print_structure(context, pairs);
		return;
	}
	if (clear)
		fputs("\033[H\033[2J", stdout);
	print_table(context, columns, pairs);
	if (!cJSON_GetArraySize(pairs))
		puts("(no traffic)");
}

static int measure(struct context *context, cJSON **before, unsigned long interval, bool clear)
{
	const struct timespec pause = { (time_t)interval, 0 };
	cJSON *now = NULL, *keep, *pairs;
	int status;

	nanosleep(&pause, NULL); /* the span that is measured */
	status = client_get(context, "/v1/top", &now);
	if (status)
		return status;
	keep = cJSON_Duplicate(now, true);
	pairs = rates_between(context, *before, now);
	print_rates(context, pairs, clear);
	fflush(stdout);
	cJSON_Delete(pairs);
	cJSON_Delete(now);
	cJSON_Delete(*before);
	*before = keep;
	return ferror(stdout) ? EXIT_FAILED : EXIT_FINE;
}

int run_top(struct context *context)
{
	bool clear = isatty(STDOUT_FILENO) && !*context->output;
	unsigned long interval = 1, count = clear ? 0 : 1;
	cJSON *before = NULL;
	char reason[256];
	int status;

	if (arguments_number(&context->arguments, "interval", 1, 3600, &interval, reason) < 0 ||
	    arguments_number(&context->arguments, "count", 1, 1000000000, &count, reason) < 0)
		return fail(context, EXIT_BAD_USAGE, NULL, "%s", reason);
	if (context->file)
		return fail(context, EXIT_BAD_USAGE, "leave out --file",
			    "a sysdump has one reading only: rates need two");
	status = client_get(context, "/v1/top", &before);
	for (unsigned long i = 0; !status && (!count || i < count); i++)
		status = measure(context, &before, interval, clear);
	cJSON_Delete(before);
	return status;
}
