/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_TELEMETRY_FLOWS_H
#define WEFT_TELEMETRY_FLOWS_H
/*
 * Flow records on their way from the kernel's ring buffer: named, kept (the last config->flow_history), written to the
 * access log, handed to whoever follows.
 */
#include "agent.h"
#include "telemetry/access_log.h"
#include "telemetry/pods.h"

struct flows;

/* Told of each record as it arrives. */
struct flow_follower {
	void (*follow)(const struct flow *flow, void *context);
	void *context;
	struct flow_follower *next;
};

/*
 * Reads from the map at `ring_fd` in the event loop of `agent`; -1: no ring, records come from flows_add() alone.
 * `log` may be NULL; it and `pods` stay the caller's. 0 or -errno.
 */
int flows_open(struct flows **ret, const struct agent *agent, int ring_fd, struct pods *pods, struct access_log *log);
void flows_close(struct flows *flows); /* NULL is fine; followers are forgotten */
/* A record as the kernel wrote it. `clock_offset`: see resolve.h. */
void flows_add(struct flows *flows, const struct weft_event *event, uint64_t clock_offset);

/* The kept records, oldest first. Stops at the first non-zero result and returns it. */
int flows_each(const struct flows *flows, int (*each)(const struct flow *flow, void *context), void *context);
void flows_follow(struct flows *flows, struct flow_follower *follower); /* the caller's, until unfollowed */
void flows_unfollow(struct flows *flows, struct flow_follower *follower);

struct flows_counters {
	uint64_t recorded; /* since start */
	uint64_t malformed; /* of another size than weft_event */
	uint64_t kept, capacity;
};
void flows_counters(const struct flows *flows, struct flows_counters *ret);

#endif
