/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MESHCTL_FLOW_QUERY_H
#define MESHCTL_FLOW_QUERY_H
/* Flow records by the options of `observe` and `trace`, whether an agent, a sysdump or a replay file has them. */
#include "context.h"
#include "telemetry/flow_filter.h"

struct flow_query {
	char *conditions[FLOW_FILTER_MAX]; /* as flow_filter_add() takes them */
	size_t condition_count;
	struct flow_filter *filter; /* the same, for records that no agent has filtered */
	bool follow, has_last, has_first;
	unsigned long last, first;
	uint64_t since, until; /* CLOCK_REALTIME ns; 0: no bound */
	const char *input_file; /* NULL: ask */
};

/* Each record with its line as it came. A non-zero result ends it. */
typedef int flow_query_fn(const struct flow *flow, const char *line, size_t size, void *query_context);

/* From the options. An exit status; a failure has been told. flow_query_close() in every case. */
int flow_query_open(struct context *context, struct flow_query *ret);
int flow_query_run(struct context *context, struct flow_query *query, flow_query_fn *each, void *query_context);
void flow_query_close(struct flow_query *query);

/* "5m", "1h30m" before `now`, or an RFC 3339 time. 0 or -EINVAL. */
int parse_when(const char *text, uint64_t now, uint64_t *ret);

#endif
