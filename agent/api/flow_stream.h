/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_API_FLOW_STREAM_H
#define WEFT_API_FLOW_STREAM_H
/*
 * /v1/flows: flow records as lines of JSON, those that are kept and, with follow=1, those to come. Who reads too
 * slowly loses records: what waits for one reader is bounded, the agent never waits. A line {"lost_events":
 * {"num_events_lost": N}} says how many.
 */
#include "agent.h"
#include "api/request.h"

struct evhttp_request;
struct flow_stream;
struct flow_streams { struct flow_stream *first; };

/* Answers `http`. Takes over `request`, also on failure. */
void flow_stream_start(struct flow_streams *streams, const struct agent *agent, struct evhttp_request *http,
		       struct api_request *request);
/* Ends all. */
void flow_streams_end(struct flow_streams *streams);

#endif
