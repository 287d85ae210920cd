/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_TELEMETRY_RESOLVE_H
#define WEFT_TELEMETRY_RESOLVE_H
/* From the numbers of a kernel record to names. Done when the record arrives: later the names may be gone. */
#include "agent.h"
#include "telemetry/flow.h"
#include "telemetry/pods.h"

/* `clock_offset`: CLOCK_REALTIME - CLOCK_MONOTONIC in ns. What has no name stays NULL. */
void flow_resolve(const struct weft_event *event, const struct agent *agent, struct pods *pods, uint64_t clock_offset,
		  struct flow *ret);
/* CLOCK_REALTIME - CLOCK_MONOTONIC, now. */
uint64_t clock_offset_now(void);
/* "app=web,version=v1", interned; NULL when there are none or they do not fit 4096 bytes. */
const char *labels_text(const struct labels *labels);

#endif
