/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/flows.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "telemetry/resolve.h"

#define RECORDS_PER_TURN 4096 /* then the event loop gets a chance to do something else */
#define POLL_MILLISECONDS 100 /* the programs wake the agent only when much is waiting: weft_control.report_bytes */

struct flows {
	const struct agent *agent;
	struct pods *pods;
	struct access_log *log;
	struct ring_buffer *ring;
	struct event *readable, *poll;
	struct flow_follower *followers;
	struct flow *history; /* a ring */
	size_t capacity, count, next;
	uint64_t recorded, malformed;
	uint64_t clock_offset; /* of this turn */
	unsigned int records_left; /* of this turn */
};

void flows_add(struct flows *flows, const struct weft_event *event, uint64_t clock_offset)
{
	struct flow *flow = &flows->history[flows->next];
	struct flow_follower *follower, *following;

	flow_resolve(event, flows->agent, flows->pods, clock_offset, flow);
	flows->next = (flows->next + 1) % flows->capacity;
	if (flows->count < flows->capacity)
		flows->count++;
	flows->recorded++;
	if (flows->log)
		access_log_write(flows->log, flow);
	for (follower = flows->followers; follower; follower = following) {
		following = follower->next; /* it may leave while it is told */
		follower->follow(flow, follower->context);
	}
}

static int on_record(void *context, void *data, size_t size)
{
	struct flows *flows = context;
	struct weft_event event;

	if (size < sizeof(event)) {
		flows->malformed++;
	} else {
		memcpy(&event, data, sizeof(event)); /* a newer program's record may be longer */
		flows_add(flows, &event, flows->clock_offset);
	}
	return --flows->records_left ? 0 : -EAGAIN;
}

static void consume(evutil_socket_t fd, short what, void *context)
{
	struct flows *flows = context;
	struct timeval soon = { 0, POLL_MILLISECONDS * 1000 };

	(void)fd, (void)what;
	flows->clock_offset = clock_offset_now();
	flows->records_left = RECORDS_PER_TURN;
	if (ring_buffer__consume(flows->ring) == -EAGAIN)
		soon.tv_usec = 0;
	if (flows->log)
		access_log_flush(flows->log);
	evtimer_add(flows->poll, &soon);
}

static int watch_ring(struct flows *flows, int ring_fd)
{
	flows->ring = ring_buffer__new(ring_fd, on_record, flows, NULL);
	if (!flows->ring)
		return -errno;
	flows->poll = evtimer_new(flows->agent->base, consume, flows);
	flows->readable = event_new(flows->agent->base, ring_buffer__epoll_fd(flows->ring), EV_READ | EV_PERSIST,
				    consume,
				    flows);
	if (!flows->poll || !flows->readable || event_add(flows->readable, NULL) < 0)
		return -ENOMEM;
	consume(-1, 0, flows);
	return 0;
}

int flows_open(struct flows **ret, const struct agent *agent, int ring_fd, struct pods *pods, struct access_log *log)
{
	struct flows *flows = calloc(1, sizeof(*flows));
	int error;

	if (!flows)
		return -ENOMEM;
	flows->agent = agent;
	flows->pods = pods;
	flows->log = log;
	flows->capacity = agent->config->flow_history;
	flows->history = calloc(flows->capacity, sizeof(*flows->history));
	error = flows->history ? 0 : -ENOMEM;
	if (!error && ring_fd >= 0)
		error = watch_ring(flows, ring_fd);
	if (error) {
		flows_close(flows);
		return error;
	}
	*ret = flows;
	return 0;
}

void flows_close(struct flows *flows)
{
	if (!flows)
		return;
	if (flows->readable)
		event_free(flows->readable);
	if (flows->poll)
		event_free(flows->poll);
	ring_buffer__free(flows->ring);
	free(flows->history);
	free(flows);
}

int flows_each(const struct flows *flows, int (*each)(const struct flow *flow, void *context), void *context)
{
	size_t oldest = flows->count < flows->capacity ? 0 : flows->next;

	for (size_t i = 0; i < flows->count; i++) {
		int result = each(&flows->history[(oldest + i) % flows->capacity], context);

		if (result)
			return result;
	}
	return 0;
}

void flows_follow(struct flows *flows, struct flow_follower *follower)
{
	follower->next = flows->followers;
	flows->followers = follower;
}

void flows_unfollow(struct flows *flows, struct flow_follower *follower)
{
	struct flow_follower **link = &flows->followers;

	while (*link && *link != follower)
		link = &(*link)->next;
	if (*link)
		*link = follower->next;
}

void flows_counters(const struct flows *flows, struct flows_counters *ret)
{
	*ret = (struct flows_counters){ flows->recorded, flows->malformed, flows->count, flows->capacity };
}
