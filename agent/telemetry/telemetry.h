/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_TELEMETRY_H
#define WEFT_TELEMETRY_H
/* What the mesh tells about itself: flow records, counters, the Prometheus endpoint, the access log. */
#include "agent.h"
#include "telemetry/flows.h"

struct evhttp;

/* Upper bounds of a histogram's buckets, in seconds: TELEMETRY_BUCKETS of metrics.c. */
#define TELEMETRY_BUCKET_COUNT 13

struct telemetry {
	const struct agent *agent;
	struct pods *pods;
	struct flows *flows;
	struct access_log *log; /* NULL: off */
	struct evhttp *metrics; /* NULL: off */
	struct event *collect;
	uint64_t propagation[TELEMETRY_BUCKET_COUNT + 1]; /* per bucket, not cumulative; the last is +Inf */
	uint64_t propagation_ns;
	uint64_t read_errors;	/* a map that could not be read */
	uint64_t follower_lost; /* records that a slow reader of /v1/flows did not get */
};

/*
 * Opens the access log, the ring buffer and the metrics address, as agent->config says; agent->datapath, ->compile,
 * ->model and ->base must be there. 0 or -errno, logged with what to do.
 */
int telemetry_open(struct telemetry **ret, struct agent *agent);
void telemetry_close(struct telemetry *telemetry); /* NULL is fine */
/* SIGHUP: the access log was rotated. */
void telemetry_reopen(struct telemetry *telemetry);
/* After each batch of model changes: new pods get their names into flow records. */
void telemetry_model_changed(struct telemetry *telemetry);
/* For agent->loaded, with the struct telemetry as its context. */
void telemetry_loaded(uint64_t nanoseconds, void *telemetry);
/* Whether policy is loaded, so that pods of this node are served. */
bool telemetry_ready(const struct agent *agent);

#endif
