/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/telemetry.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "datapath/datapath.h"
#include "telemetry/metrics.h"
#include "telemetry/resolve.h"
#include "telemetry/traffic.h"
#include "util/clock.h"
#include "util/log.h"

#define COLLECT_SECONDS 60
#define SCRAPE_TIMEOUT_SECONDS 30
#define SCRAPE_HEADERS_MAX 16384

bool telemetry_ready(const struct agent *agent)
{
	int fd = datapath_map_fd(agent->datapath, "weft_control");
	struct weft_control control;
	uint32_t zero = 0;

	return fd >= 0 && !bpf_map_lookup_elem(fd, &zero, &control) && control.buffers;
}

static void serve_metrics(struct evhttp_request *request, void *context)
{
	struct evbuffer *body = evbuffer_new();

	if (!body) {
		evhttp_send_error(request, HTTP_SERVUNAVAIL, "no memory");
		return;
	}
	metrics_write(context, body);
	evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type",
			  "text/plain; version=0.0.4; charset=utf-8");
	evhttp_send_reply(request, HTTP_OK, "OK", body);
	evbuffer_free(body);
}

static void serve_text(struct evhttp_request *request, int status, const char *text)
{
	struct evbuffer *body = evbuffer_new();

	if (body)
		evbuffer_add_printf(body, "%s\n", text);
	evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", "text/plain; charset=utf-8");
	evhttp_send_reply(request, status, NULL, body);
	if (body)
		evbuffer_free(body);
}

static void serve_health(struct evhttp_request *request, void *context)
{
	(void)context;
	serve_text(request, HTTP_OK, "ok");
}

static void serve_ready(struct evhttp_request *request, void *context)
{
	const struct telemetry *telemetry = context;

	if (telemetry_ready(telemetry->agent))
		serve_text(request, HTTP_OK, "ok");
	else
		serve_text(request, HTTP_SERVUNAVAIL, "policy is not loaded yet");
}

/* "HOST:PORT", "[fd00::1]:PORT" or ":PORT" for all addresses. */
static int split_address(const char *address, char *host, size_t size, uint16_t *ret_port)
{
	const char *colon = strrchr(address, ':');
	char *end;
	unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;
	size_t length = colon ? (size_t)(colon - address) : 0;

	if (!colon || colon[1] < '0' || colon[1] > '9' || *end || !port || port > UINT16_MAX || length >= size)
		return -EINVAL;
	if (length >= 2 && address[0] == '[' && address[length - 1] == ']') {
		address++;
		length -= 2;
	}
	memcpy(host, address, length);
	host[length] = '\0';
	*ret_port = (uint16_t)port;
	return 0;
}

static int open_metrics(struct telemetry *telemetry)
{
	const char *address = telemetry->agent->config->metrics_address;
	char host[256];
	uint16_t port;

	if (!*address)
		return 0;
	if (split_address(address, host, sizeof(host), &port) < 0) {
		log_error("--metrics-address=%s: must be HOST:PORT, such as 127.0.0.1:15020 or [::1]:15020", address);
		return -EINVAL;
	}
	signal(SIGPIPE, SIG_IGN); /* a scraper that goes away is an error of its connection */
	telemetry->metrics = evhttp_new(telemetry->agent->base);
	if (!telemetry->metrics)
		return -ENOMEM;
	evhttp_set_timeout(telemetry->metrics, SCRAPE_TIMEOUT_SECONDS);
	evhttp_set_max_headers_size(telemetry->metrics, SCRAPE_HEADERS_MAX);
	evhttp_set_max_body_size(telemetry->metrics, 0);
	evhttp_set_allowed_methods(telemetry->metrics, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
	evhttp_set_cb(telemetry->metrics, "/metrics", serve_metrics, telemetry);
	evhttp_set_cb(telemetry->metrics, "/healthz", serve_health, telemetry);
	evhttp_set_cb(telemetry->metrics, "/readyz", serve_ready, telemetry);
	errno = 0;
	if (evhttp_bind_socket(telemetry->metrics, *host ? host : "::", port) < 0) {
		int error = errno ? -errno : -EADDRNOTAVAIL;

		log_error("metrics: cannot listen at %s: %s; choose another with --metrics-address, or none with "
			  "--metrics-address=", address, strerror(-error));
		return error;
	}
	return 0;
}

static void collect(evutil_socket_t fd, short what, void *context)
{
	const struct telemetry *telemetry = context;
	int result = traffic_collect(telemetry->agent);

	(void)fd, (void)what;
	if (result < 0)
		log_warn("traffic counters of workloads that are gone cannot be given back: %s", strerror(-result));
}

static int open_collect(struct telemetry *telemetry)
{
	const struct timeval interval = { COLLECT_SECONDS, 0 };

	telemetry->collect = event_new(telemetry->agent->base, -1, EV_PERSIST, collect, telemetry);
	return telemetry->collect && !event_add(telemetry->collect, &interval) ? 0 : -ENOMEM;
}

static int open_log(struct telemetry *telemetry)
{
	const char *path = telemetry->agent->config->access_log;
	int error = path ? access_log_open(&telemetry->log, path) : 0;

	if (error)
		log_error("--access-log=%s: cannot be opened: %s; its directory must exist and be writable", path,
			  strerror(-error));
	return error;
}

/* The sockets' programs tell the end of TCP connections; that of others is that nothing more came. */
static void connection_over(const struct weft_conn_key *key, const struct weft_conn *conn, void *context)
{
	const struct telemetry *telemetry = context;
	int from = conn->initiator & 1;
	bool is_source = conn->ifindex[from] != 0;
	const struct weft_event event = {
		.time = clock_now(CLOCK_MONOTONIC),
		.type = WEFT_EVENT_CLOSE,
		.protocol = key->protocol,
		.reporter = is_source ? WEFT_REPORTER_SOURCE : WEFT_REPORTER_DESTINATION,
		.direction = is_source ? WEFT_EGRESS : WEFT_INGRESS,
		.source = key->addr[from],
		.destination = key->addr[!from],
		.source_port = key->port[from],
		.destination_port = key->port[!from],
		.source_identity = conn->identity[from],
		.destination_identity = conn->identity[!from],
		.service_id = conn->service_id,
		.rule = conn->rule[is_source ? WEFT_EGRESS : WEFT_INGRESS],
		.sent = conn->bytes[from],
		.received = conn->bytes[!from],
		.duration = conn->last_seen - conn->created,
	};

	if (key->protocol != IPPROTO_TCP)
		flows_add(telemetry->flows, &event, clock_offset_now());
}

static int open_flows(struct telemetry *telemetry)
{
	int fd = datapath_map_fd(telemetry->agent->datapath, "weft_events");
	int error = fd < 0 ? fd : flows_open(&telemetry->flows, telemetry->agent, fd, telemetry->pods, telemetry->log);

	if (error)
		log_error("flow records: the ring buffer cannot be read: %s", strerror(-error));
	else
		datapath_watch_over(telemetry->agent->datapath, connection_over, telemetry);
	return error;
}

int telemetry_open(struct telemetry **ret, struct agent *agent)
{
	struct telemetry *telemetry = calloc(1, sizeof(*telemetry));
	int error;

	if (!telemetry)
		return -ENOMEM;
	telemetry->agent = agent;
	error = pods_new(&telemetry->pods, agent->model);
	if (!error)
		error = open_log(telemetry);
	if (!error)
		error = open_flows(telemetry);
	if (!error)
		error = open_metrics(telemetry);
	if (!error)
		error = open_collect(telemetry);
	if (error) {
		telemetry_close(telemetry);
		return error;
	}
	*ret = telemetry;
	return 0;
}

void telemetry_close(struct telemetry *telemetry)
{
	if (!telemetry)
		return;
	if (telemetry->collect)
		event_free(telemetry->collect);
	if (telemetry->metrics)
		evhttp_free(telemetry->metrics);
	if (telemetry->flows)
		datapath_watch_over(telemetry->agent->datapath, NULL, NULL);
	flows_close(telemetry->flows);
	access_log_close(telemetry->log);
	pods_free(telemetry->pods);
	free(telemetry);
}

void telemetry_reopen(struct telemetry *telemetry)
{
	int error = telemetry->log ? access_log_reopen(telemetry->log) : 0;

	if (error)
		log_error("access log %s cannot be opened anew: %s; the old file stays in use",
			  telemetry->agent->config->access_log, strerror(-error));
}

void telemetry_model_changed(struct telemetry *telemetry) { pods_model_changed(telemetry->pods); }

void telemetry_loaded(uint64_t nanoseconds, void *telemetry) { metrics_observe_propagation(telemetry, nanoseconds); }
