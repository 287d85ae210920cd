/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "flow_query.h"

struct printing {
	const struct context *context;
	bool flush; /* after each record: somebody watches */
	unsigned long count;
};

static enum tint tint_of(const struct flow *flow)
{
	switch (flow->type) {
	case WEFT_EVENT_DENY:
		return TINT_BAD;
	case WEFT_EVENT_FAIL:
	case WEFT_EVENT_AUDIT:
		return TINT_WARN;
	default:
		return TINT_NONE;
	}
}

static void print_compact(const struct context *context, const struct flow *flow)
{
	char text[FLOW_LINE_MAX];

	printf("%s%s%s\n", tint(context, tint_of(flow)), flow_compact(flow, text), tint(context, TINT_NONE));
}

/* A stream cannot know the widest cell to come: these widths fit most names. */
static void print_row(const struct context *context, const struct flow *flow, bool first)
{
	char time[FLOW_TIME_MAX], source[FLOW_TEXT_MAX], destination[FLOW_TEXT_MAX], summary[FLOW_TEXT_MAX];

	if (first)
		printf("%-24s  %-32s  %-32s  %-8s  %-9s  %s\n", "TIME", "SOURCE", "DESTINATION", "TYPE", "VERDICT",
		       "SUMMARY");
	flow_time_format(flow->time, time);
	strcpy(time + strlen("2026-01-31T12:00:00.000"), "Z");
	printf("%s%-24s  %-32s  %-32s  %-8s  %-9s  %s%s\n", tint(context, tint_of(flow)), time,
	       flow_end_format(&flow->source, source), flow_end_format(&flow->destination, destination),
	       flow_type_name(flow->type), flow_verdict(flow), flow_summary(flow, summary), tint(context, TINT_NONE));
}

static void print_field(const char *name, const char *value)
{
	if (value && *value)
		printf("%12s: %s\n", name, value);
}

static void print_dict(const struct flow *flow, bool first)
{
	char text[FLOW_TEXT_MAX], time[FLOW_TIME_MAX];

	if (!first)
		puts("------------");
	print_field("TIMESTAMP", flow_time_format(flow->time, time));
	print_field("SOURCE", flow_end_format(&flow->source, text));
	print_field("IDENTITY", flow_identity_format(&flow->source, text));
	print_field("DESTINATION", flow_end_format(&flow->destination, text));
	print_field("IDENTITY", flow_identity_format(&flow->destination, text));
	print_field("SERVICE", flow->service_name);
	print_field("TYPE", flow_type_name(flow->type));
	print_field("VERDICT", flow_verdict(flow));
	print_field("REASON", flow->reason ? flow_reason_name(flow->reason) : NULL);
	print_field("RULE", flow->rule.text);
	print_field("AUDIT RULE", flow->audit_rule.text);
	print_field("NODE", flow->node);
	print_field("SUMMARY", flow_summary(flow, text));
}

static int print_flow(const struct flow *flow, const char *line, size_t size, void *context)
{
	struct printing *printing = context;
	const char *output = printing->context->output;
	bool first = !printing->count++;

	if (wants_json(printing->context))
		printf("%.*s\n", (int)size, line);
	else if (!strcmp(output, "table"))
		print_row(printing->context, flow, first);
	else if (!strcmp(output, "dict"))
		print_dict(flow, first);
	else
		print_compact(printing->context, flow);
	/* a reader that has gone (head, less) ends it */
	return (printing->flush && fflush(stdout) != 0) || ferror(stdout);
}

int run_observe(struct context *context)
{
	struct flow_query query;
	struct printing printing = { .context = context };
	int status = flow_query_open(context, &query);

	printing.flush = query.follow;
	if (!status)
		status = flow_query_run(context, &query, print_flow, &printing);
	flow_query_close(&query);
	return status;
}
