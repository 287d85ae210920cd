/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_TELEMETRY_METRICS_H
#define WEFT_TELEMETRY_METRICS_H
#include "telemetry/telemetry.h"

struct evbuffer;

/*
 * All metrics in Prometheus' text format. What cannot be read is left out and counted in
 * weft_metrics_read_errors_total.
 */
void metrics_write(struct telemetry *telemetry, struct evbuffer *out);
/* Counts `nanoseconds` in its bucket of the propagation histogram. */
void metrics_observe_propagation(struct telemetry *telemetry, uint64_t nanoseconds);

#endif
