/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_API_REQUEST_H
#define WEFT_API_REQUEST_H
/* What somebody asks of the API, from the bytes of a request. Knows no agent: the fuzz target runs it alone. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "telemetry/flow_filter.h"
#include "util/log.h"

/* X(ENUM, method, path, part of a sysdump, what it tells) */
#define API_ROUTES(X)                                                                                                  \
	X(STATUS, "GET", "/v1/status", true, "the agent, its source, programs, maps and counters")                     \
	X(CHECK, "GET", "/v1/check", true, "checks with hints")                                                        \
	X(WORKLOADS, "GET", "/v1/workloads", true, "pods and who they are")                                            \
	X(SERVICES, "GET", "/v1/services", true, "services and their endpoints")                                       \
	X(POLICIES, "GET", "/v1/policies", true, "policies and what of them is not honoured")                          \
	X(CONNECTIONS, "GET", "/v1/connections", true, "tracked connections")                                          \
	X(NODES, "GET", "/v1/nodes", true, "nodes")                                                                    \
	X(MAPS, "GET", "/v1/maps", true, "BPF maps and how full they are")                                             \
	X(TOP, "GET", "/v1/top", true, "traffic counters per pair of workloads")                                       \
	X(CONFIG, "GET", "/v1/config", true, "options of weftd")                                                       \
	X(VERSION, "GET", "/v1/version", true, "versions")                                                             \
	X(LOG_LEVEL, "GET", "/v1/log-level", true, "log level")                                                        \
	X(SET_LOG_LEVEL, "PUT", "/v1/log-level", false, "change the log level: {\"level\": \"debug\"}")                \
	X(EXPLAIN, "GET", "/v1/explain", false, "which rule decides about a connection")                               \
	X(FLOWS, "GET", "/v1/flows", true, "flow records, one JSON object a line")                                     \
	X(SYSDUMP, "GET", "/v1/sysdump", false, "all of the above in one object")

enum api_route {
#define API_ROUTE_ENUM(name, method, path, dumped, help) API_##name,
	API_ROUTES(API_ROUTE_ENUM)
#undef API_ROUTE_ENUM
	API_ROUTE_COUNT
};

struct api_request {
	enum api_route route;
	char *from, *to;  /* explain: as explain.h takes them */
	char *namespace;  /* only objects of this namespace; NULL: all */
	uint16_t port;
	uint8_t protocol; /* default TCP */
	bool follow;
	bool has_last, has_first;
	uint32_t last, first; /* flows: that many; neither: all */
	uint32_t limit; /* connections: at most that many, default 10000 */
	uint64_t since, until; /* flows: CLOCK_REALTIME ns; 0: no bound */
	enum log_level level;
	struct flow_filter *filter; /* NULL: all flows */
};

struct api_error {
	int status; /* of HTTP */
	const char *code; /* "INVALID_ARGUMENT", "NOT_FOUND", ... */
	char message[512];
};

#define API_BODY_MAX 4096
#define API_HEADERS_MAX 16384

/*
 * `uri` is path and query as in the request line, `body` need not end in NUL. 0, or -EINVAL with *ret_error filled in.
 * What it took is freed by api_request_clear().
 */
int api_request_parse(const char *method, const char *uri, const char *body, size_t body_size, struct api_request *ret,
		      struct api_error *ret_error);
void api_request_clear(struct api_request *request);

const char *api_route_path(enum api_route route);
bool api_route_dumped(enum api_route route);

/* Fills in an error; returns -EINVAL for convenience. */
int api_fail(struct api_error *error, int status, const char *code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

#endif
