/* SPDX-License-Identifier: Apache-2.0 */
#include "api/api.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/flow_stream.h"
#include "api/reply.h"
#include "config.h"

struct api {
	const struct agent *agent;
	struct evhttp *http;
	struct flow_streams streams;
	struct sockaddr_un address;
};

static void free_text(const void *data, size_t length, void *text)
{
	(void)data, (void)length;
	cJSON_free(text);
}

/* Takes over `json`. */
static void send_json(struct evhttp_request *http, int status, cJSON *json)
{
	struct evbuffer *body = evbuffer_new();
	char *text = cJSON_PrintUnformatted(json);

	cJSON_Delete(json);
	if (!body || !text) {
		evhttp_send_error(http, HTTP_SERVUNAVAIL, "no memory");
		cJSON_free(text);
	} else {
		evbuffer_add_reference(body, text, strlen(text), free_text, text);
		evhttp_add_header(evhttp_request_get_output_headers(http), "Content-Type", "application/json");
		evhttp_send_reply(http, status, NULL, body);
	}
	if (body)
		evbuffer_free(body);
}

static void send_failure(struct evhttp_request *http, const struct api_error *error)
{
	cJSON *json = cJSON_CreateObject(), *inner = cJSON_AddObjectToObject(json, "error");

	cJSON_AddStringToObject(inner, "code", error->code);
	cJSON_AddStringToObject(inner, "message", error->message);
	send_json(http, error->status, json);
}

static const char *method_name(const struct evhttp_request *http)
{
	switch (evhttp_request_get_command(http)) {
	case EVHTTP_REQ_GET:
		return "GET";
	case EVHTTP_REQ_PUT:
		return "PUT";
	default:
		return "other methods";
	}
}

static void serve(struct evhttp_request *http, void *context)
{
	struct api *api = context;
	struct evbuffer *input = evhttp_request_get_input_buffer(http);
	size_t size = evbuffer_get_length(input);
	const char *body = size ? (const char *)evbuffer_pullup(input, -1) : "";
	struct api_error error = { 0 };
	struct api_request request;
	cJSON *json = NULL;
	int result;

	if (api_request_parse(method_name(http), evhttp_request_get_uri(http), body, body ? size : 0, &request,
			      &error) < 0) {
		send_failure(http, &error);
		return;
	}
	if (request.route == API_FLOWS) {
		flow_stream_start(&api->streams, api->agent, http, &request);
		return;
	}
	result = reply_of(request.route)(api->agent, &request, &json, &error);
	api_request_clear(&request);
	if (result < 0)
		send_failure(http, &error);
	else
		send_json(http, HTTP_OK, json);
}

/* The socket never exists with a mode that lets others in, not even for a moment. */
static int bind_private(int fd, const struct sockaddr_un *address)
{
	mode_t mask = umask(0177);
	int error = bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;

	umask(mask);
	return error;
}

static int listen_at(struct api *api)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error;

	if (fd < 0)
		return -errno;
	unlink(api->address.sun_path);
	error = bind_private(fd, &api->address);
	if (!error && listen(fd, SOMAXCONN) < 0)
		error = -errno;
	if (!error && evhttp_accept_socket(api->http, fd) < 0)
		error = -ENOMEM;
	if (error)
		close(fd);
	return error;
}

static int open_http(struct api *api)
{
	api->http = evhttp_new(api->agent->base);
	if (!api->http)
		return -ENOMEM;
	evhttp_set_max_headers_size(api->http, API_HEADERS_MAX);
	evhttp_set_max_body_size(api->http, API_BODY_MAX);
	evhttp_set_allowed_methods(api->http, EVHTTP_REQ_GET | EVHTTP_REQ_PUT);
	evhttp_set_gencb(api->http, serve, api);
	return listen_at(api);
}

static int set_path(struct sockaddr_un *address, const char *run_directory)
{
	int length = snprintf(address->sun_path, sizeof(address->sun_path), "%s/weftd.sock", run_directory);

	address->sun_family = AF_UNIX;
	return length < 0 || (size_t)length >= sizeof(address->sun_path) ? -ENAMETOOLONG : 0;
}

void api_remove_socket(const char *run_directory)
{
	struct sockaddr_un address;

	if (set_path(&address, run_directory) == 0)
		unlink(address.sun_path);
}

int api_open(struct api **ret, const struct agent *agent)
{
	struct api *api = calloc(1, sizeof(*api));
	int error;

	if (!api)
		return -ENOMEM;
	signal(SIGPIPE, SIG_IGN); /* a reader that goes away is an error of its connection */
	api->agent = agent;
	error = set_path(&api->address, agent->config->run_directory);
	if (!error)
		error = open_http(api);
	if (error) {
		log_error("API: cannot listen at %s/weftd.sock: %s; choose another directory with --run-directory",
			  agent->config->run_directory, strerror(-error));
		if (error == -ENAMETOOLONG)
			api->address.sun_path[0] = '\0';
		api_close(api);
		return error;
	}
	*ret = api;
	return 0;
}

void api_close(struct api *api)
{
	if (!api)
		return;
	flow_streams_end(&api->streams);
	if (api->http)
		evhttp_free(api->http);
	if (api->address.sun_path[0])
		unlink(api->address.sun_path);
	free(api);
}
