/* SPDX-License-Identifier: Apache-2.0 */
/* A line of a replay file: what is understood must print, and print the same after it was written and read again. */
#include <cjson/cJSON.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "telemetry/flow_filter.h"
#include "util/intern.h"

static void check_filters(const struct flow *flow)
{
	static const char *const conditions[] = { "pod=default/w", "label=app=web", "ip=10.0.0.0/8", "service=api",
						 "node=n",
						  "identity=world", "port=80" };
	struct flow_filter *filter;
	char reason[256];

	if (flow_filter_new(&filter) < 0)
		return;
	for (size_t i = 0; i < sizeof(conditions) / sizeof(*conditions); i++) {
		if (flow_filter_add(filter, conditions[i], reason) < 0)
			abort();
		flow_filter_matches(filter, flow);
	}
	flow_filter_free(filter);
}

static void check_again(const struct flow *flow)
{
	char reason[256], first[FLOW_LINE_MAX], second[FLOW_LINE_MAX];
	cJSON *json = flow_to_json(flow);
	char *text = cJSON_PrintUnformatted(json);
	struct flow again;

	if (!text || flow_from_line(text, strlen(text), &again, reason) < 0)
		abort();
	if (strcmp(flow_compact(flow, first), flow_compact(&again, second)) != 0)
		abort();
	free(text);
	cJSON_Delete(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char reason[256];
	struct flow flow;

	if (!flow_from_line((const char *)data, size, &flow, reason)) {
		check_filters(&flow);
		check_again(&flow);
	}
	intern_free_all();
	return 0;
}
