/* SPDX-License-Identifier: Apache-2.0 */
#include "api/flow_stream.h"

#include <cjson/cJSON.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <stdlib.h>

#include "telemetry/telemetry.h"

#define WAITING_BYTES_MAX (1024 * 1024) /* for one reader */

struct flow_stream {
	struct flow_stream *next;
	struct flow_streams *streams;
	const struct agent *agent;
	struct evhttp_request *http;
	struct api_request request;
	struct flow_follower follower;
	struct evbuffer *line;
	uint64_t lost; /* since the last line */
};

static bool is_wanted(const struct api_request *request, const struct flow *flow)
{
	return (!request->since || flow->time >= request->since) && (!request->until || flow->time <= request->until) &&
	       flow_filter_matches(request->filter, flow);
}

static void append_json(struct evbuffer *out, cJSON *json)
{
	char *text = cJSON_PrintUnformatted(json);

	if (text)
		evbuffer_add_printf(out, "%s\n", text);
	cJSON_free(text);
	cJSON_Delete(json);
}

static void append_flow(struct evbuffer *out, const struct flow *flow) { append_json(out, flow_to_json(flow)); }

static void append_lost(struct flow_stream *stream)
{
	cJSON *json = cJSON_CreateObject(), *lost = cJSON_AddObjectToObject(json, "lost_events");

	cJSON_AddStringToObject(lost, "source", "FOLLOWER");
	cJSON_AddNumberToObject(lost, "num_events_lost", (double)stream->lost);
	append_json(stream->line, json);
	stream->lost = 0;
}

static size_t waiting_bytes(const struct flow_stream *stream)
{
	struct evhttp_connection *connection = evhttp_request_get_connection(stream->http);

	return evbuffer_get_length(bufferevent_get_output(evhttp_connection_get_bufferevent(connection)));
}

static void on_flow(const struct flow *flow, void *context)
{
	struct flow_stream *stream = context;

	if (!is_wanted(&stream->request, flow))
		return;
	if (waiting_bytes(stream) > WAITING_BYTES_MAX) {
		stream->lost++;
		stream->agent->telemetry->follower_lost++;
		return;
	}
	if (stream->lost)
		append_lost(stream);
	append_flow(stream->line, flow);
	evhttp_send_reply_chunk(stream->http, stream->line);
}

static void forget(struct flow_stream *stream)
{
	struct flow_stream **link = &stream->streams->first;

	flows_unfollow(stream->agent->telemetry->flows, &stream->follower);
	while (*link != stream)
		link = &(*link)->next;
	*link = stream->next;
	api_request_clear(&stream->request);
	evbuffer_free(stream->line);
	free(stream);
}

static void on_closed(struct evhttp_connection *connection, void *context)
{
	struct flow_stream *stream = context;
	struct evhttp_request *http = stream->http;

	(void)connection;
	forget(stream);
	/*
	 * libevent took the unfinished request off the connection before (evhttp_connection_incoming_fail): this
	 * frees it
	 */
	evhttp_send_reply_end(http);
}

static void follow(struct flow_stream *stream)
{
	stream->next = stream->streams->first;
	stream->streams->first = stream;
	stream->follower = (struct flow_follower){ .follow = on_flow, .context = stream };
	flows_follow(stream->agent->telemetry->flows, &stream->follower);
	evhttp_connection_set_closecb(evhttp_request_get_connection(stream->http), on_closed, stream);
}

/* --- the records that are kept --- */

struct selection {
	const struct api_request *request;
	struct evbuffer *out; /* NULL: only count */
	uint64_t matched, skip, take;
};

static int select_flow(const struct flow *flow, void *context)
{
	struct selection *selection = context;
	uint64_t index;

	if (!is_wanted(selection->request, flow))
		return 0;
	index = selection->matched++;
	if (selection->out && index >= selection->skip && index - selection->skip < selection->take)
		append_flow(selection->out, flow);
	return 0;
}

static void append_kept(const struct agent *agent, const struct api_request *request, struct evbuffer *out)
{
	struct selection selection = { .request = request, .take = UINT64_MAX };

	if (request->has_last) {
		flows_each(agent->telemetry->flows, select_flow, &selection);
		selection.skip = selection.matched > request->last ? selection.matched - request->last : 0;
		selection.matched = 0;
	} else if (request->has_first) {
		selection.take = request->first;
	}
	selection.out = out;
	flows_each(agent->telemetry->flows, select_flow, &selection);
}

void flow_stream_start(struct flow_streams *streams, const struct agent *agent, struct evhttp_request *http,
		       struct api_request *request)
{
	struct flow_stream *stream = calloc(1, sizeof(*stream));
	struct evbuffer *lines = evbuffer_new();

	if (!stream || !lines) {
		evhttp_send_error(http, HTTP_SERVUNAVAIL, "no memory");
		api_request_clear(request);
		free(stream);
		if (lines)
			evbuffer_free(lines);
		return;
	}
	*stream = (struct flow_stream){
		.streams = streams, .agent = agent, .http = http, .request = *request, .line = lines
	};
	evhttp_add_header(evhttp_request_get_output_headers(http), "Content-Type", "application/x-ndjson");
	append_kept(agent, &stream->request, lines);
	if (!stream->request.follow) {
		evhttp_send_reply(http, HTTP_OK, "OK", lines);
		api_request_clear(&stream->request);
		evbuffer_free(lines);
		free(stream);
		return;
	}
	evhttp_send_reply_start(http, HTTP_OK, "OK");
	evhttp_send_reply_chunk(http, lines);
	follow(stream);
}

void flow_streams_end(struct flow_streams *streams)
{
	while (streams->first) {
		struct flow_stream *stream = streams->first;
		struct evhttp_request *http = stream->http;

		evhttp_connection_set_closecb(evhttp_request_get_connection(http), NULL, NULL);
		forget(stream);
		evhttp_send_reply_end(http);
	}
}
