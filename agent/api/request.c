/* SPDX-License-Identifier: Apache-2.0 */
#include "api/request.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_LIMIT 10000

static const struct {
	const char *method, *path;
	bool dumped;
} routes[] = {
#define API_ROUTE_ROW(name, method, path, dumped, help) [API_##name] = { method, path, dumped },
	API_ROUTES(API_ROUTE_ROW)
#undef API_ROUTE_ROW
};

const char *api_route_path(enum api_route route) { return routes[route].path; }
bool api_route_dumped(enum api_route route) { return routes[route].dumped; }

int api_fail(struct api_error *error, int status, const char *code, const char *format, ...)
{
	va_list arguments;

	error->status = status;
	error->code = code;
	va_start(arguments, format);
	vsnprintf(error->message, sizeof(error->message), format, arguments);
	va_end(arguments);
	return -EINVAL;
}

/* --- values of parameters --- */

static int parse_number(const char *text, uint64_t maximum, uint64_t *ret)
{
	char *end;
	uint64_t number;

	errno = 0;
	number = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || number > maximum)
		return -EINVAL;
	*ret = number;
	return 0;
}

static int parse_u32(const char *text, uint32_t *ret)
{
	uint64_t number;
	int error = parse_number(text, UINT32_MAX, &number);

	if (!error)
		*ret = (uint32_t)number;
	return error;
}

static int replace_text(char **text, const char *value)
{
	if (!*value)
		return -EINVAL;
	free(*text);
	*text = strdup(value);
	return *text ? 0 : -ENOMEM;
}

static int set_from(struct api_request *request, const char *value, char *reason)
{
	(void)reason;
	return replace_text(&request->from, value);
}

static int set_to(struct api_request *request, const char *value, char *reason)
{
	(void)reason;
	return replace_text(&request->to, value);
}

static int set_namespace(struct api_request *request, const char *value, char *reason)
{
	(void)reason;
	return replace_text(&request->namespace, value);
}

static int set_port(struct api_request *request, const char *value, char *reason)
{
	uint64_t number;
	int error = parse_number(value, UINT16_MAX, &number);

	(void)reason;
	if (!error)
		request->port = (uint16_t)number;
	return error;
}

static int set_protocol(struct api_request *request, const char *value, char *reason)
{
	(void)reason;
	return flow_protocol_parse(value, &request->protocol);
}

static int set_last(struct api_request *request, const char *value, char *reason)
{
	(void)reason;
	request->has_last = true;
	return parse_u32(value, &request->last);
}

static int set_first(struct api_request *request, const char *value, char *reason)
{
	(void)reason;
	request->has_first = true;
	return parse_u32(value, &request->first);
}

static int set_limit(struct api_request *request, const char *value, char *reason)
{
	(void)reason;
	return parse_u32(value, &request->limit);
}

static int set_follow(struct api_request *request, const char *value, char *reason)
{
	(void)reason;
	request->follow = !strcmp(value, "1") || !strcmp(value, "true");
	return request->follow || !strcmp(value, "0") || !strcmp(value, "false") ? 0 : -EINVAL;
}

static int set_since(struct api_request *request, const char *value, char *reason)
{
	(void)reason;
	return flow_time_parse(value, &request->since);
}

static int set_until(struct api_request *request, const char *value, char *reason)
{
	(void)reason;
	return flow_time_parse(value, &request->until);
}

static int add_filter(struct api_request *request, const char *value, char *reason)
{
	if (!request->filter && flow_filter_new(&request->filter) < 0)
		return -ENOMEM;
	return flow_filter_add(request->filter, value, reason);
}

#define ON(route) (1u << API_##route)
#define OBJECTS (ON(WORKLOADS) | ON(SERVICES) | ON(POLICIES) | ON(CONNECTIONS))

static const struct parameter {
	const char *name;
	unsigned int routes;
	int (*set)(struct api_request *request, const char *value, char *reason);
	const char *takes;
} parameters[] = {
	{ "from", ON(EXPLAIN), set_from, "a pod (NAMESPACE/NAME) or an address" },
	{ "to", ON(EXPLAIN), set_to, "a pod, a service (svc/NAMESPACE/NAME) or an address" },
	{ "port", ON(EXPLAIN), set_port, "a port, 0 to 65535" },
	{ "protocol", ON(EXPLAIN), set_protocol, "tcp, udp, sctp, icmp or a number" },
	{ "namespace", OBJECTS, set_namespace, "a namespace" },
	{ "limit", ON(CONNECTIONS), set_limit, "a number" },
	{ "last", ON(FLOWS), set_last, "a number" },
	{ "first", ON(FLOWS), set_first, "a number" },
	{ "follow", ON(FLOWS), set_follow, "0 or 1" },
	{ "since", ON(FLOWS), set_since, "an RFC 3339 time" },
	{ "until", ON(FLOWS), set_until, "an RFC 3339 time" },
	{ "filter", ON(FLOWS), add_filter, "[!]FIELD=VALUE" },
};

static int set_parameter(struct api_request *request, const char *name, const char *value, struct api_error *ret_error)
{
	char reason[256] = "";

	for (size_t i = 0; i < sizeof(parameters) / sizeof(*parameters); i++) {
		const struct parameter *parameter = &parameters[i];
		int error;

		if (strcmp(parameter->name, name) != 0 || !(parameter->routes & 1u << request->route))
			continue;
		error = parameter->set(request, value, reason);
		if (error == -ENOMEM)
			return api_fail(ret_error, HTTP_SERVUNAVAIL, "NO_MEMORY", "no memory for parameter %s", name);
		if (error && *reason)
			return api_fail(ret_error, HTTP_BADREQUEST, "INVALID_ARGUMENT", "%s", reason);
		if (error)
			return api_fail(ret_error, HTTP_BADREQUEST, "INVALID_ARGUMENT", "%s=\"%.100s\": must be %s",
					name,
					value, parameter->takes);
		return 0;
	}
	return api_fail(ret_error, HTTP_BADREQUEST, "INVALID_ARGUMENT", "%s takes no parameter \"%.100s\"",
			api_route_path(request->route), name);
}

static int parse_query(struct api_request *request, const char *query, struct api_error *ret_error)
{
	struct evkeyvalq values;
	struct evkeyval *value;
	int error = 0;

	if (!query || !*query)
		return 0;
	if (evhttp_parse_query_str(query, &values) < 0)
		return api_fail(ret_error, HTTP_BADREQUEST, "INVALID_ARGUMENT", "the query string cannot be read");
	for (value = values.tqh_first; value && !error; value = value->next.tqe_next)
		error = set_parameter(request, value->key, value->value ? value->value : "", ret_error);
	evhttp_clear_headers(&values);
	return error;
}

/* The route of path and method; a path that exists with other methods is a different error. */
static int find_route(const char *method, const char *path, size_t length, enum api_route *ret,
		      struct api_error *ret_error)
{
	bool exists = false;

	for (int route = 0; route < API_ROUTE_COUNT; route++) {
		if (strlen(routes[route].path) != length || strncmp(routes[route].path, path, length) != 0)
			continue;
		exists = true;
		if (!strcmp(routes[route].method, method)) {
			*ret = (enum api_route)route;
			return 0;
		}
	}
	if (exists)
		return api_fail(ret_error, HTTP_BADMETHOD, "BAD_METHOD", "%.*s does not take %s", (int)length, path,
				method);
	return api_fail(ret_error, HTTP_NOTFOUND, "NOT_FOUND",
			"there is nothing at %.*s; is meshctl of another version than weftd?",
			(int)(length < 200 ? length : 200), path);
}

static int parse_level(struct api_request *request, const char *body, size_t size, struct api_error *ret_error)
{
	cJSON *json = cJSON_ParseWithLength(body, size);
	const char *level = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "level"));
	int error = 0;

	if (!level || log_level_parse(level, &request->level) < 0)
		error = api_fail(ret_error, HTTP_BADREQUEST, "INVALID_ARGUMENT",
				 "the body must be {\"level\": \"error\"}, or warn, info, debug");
	cJSON_Delete(json);
	return error;
}

static int check_explain(const struct api_request *request, struct api_error *ret_error)
{
	if (!request->from || !request->to)
		return api_fail(ret_error, HTTP_BADREQUEST, "INVALID_ARGUMENT",
				"%s is missing: explain?from=A&to=B&port=P",
				request->from ? "to" : "from");
	if (!request->port && (request->protocol == IPPROTO_TCP || request->protocol == IPPROTO_UDP ||
			       request->protocol == IPPROTO_SCTP))
		return api_fail(ret_error, HTTP_BADREQUEST, "INVALID_ARGUMENT", "port is missing: %s needs one",
				flow_protocol_name(request->protocol));
	return 0;
}

int api_request_parse(const char *method, const char *uri, const char *body, size_t body_size, struct api_request *ret,
		      struct api_error *ret_error)
{
	struct api_request request = { .protocol = IPPROTO_TCP, .limit = DEFAULT_LIMIT };
	const char *query = strchr(uri, '?');
	int error = find_route(method, uri, query ? (size_t)(query - uri) : strlen(uri), &request.route, ret_error);

	if (!error)
		error = parse_query(&request, query ? query + 1 : NULL, ret_error);
	if (!error && request.route == API_SET_LOG_LEVEL)
		error = parse_level(&request, body, body_size, ret_error);
	if (!error && request.route == API_EXPLAIN)
		error = check_explain(&request, ret_error);
	if (error) {
		api_request_clear(&request);
		return error;
	}
	*ret = request;
	return 0;
}

void api_request_clear(struct api_request *request)
{
	free(request->from);
	free(request->to);
	free(request->namespace);
	flow_filter_free(request->filter);
	*request = (struct api_request){ 0 };
}
