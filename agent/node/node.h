/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_NODE_H
#define WEFT_NODE_H
/*
 * This node's pods as the kernel has them: from a network namespace path to its cookie, its interfaces and their host-side
 * ends; follows interfaces that come, go and are renamed (rtnetlink); enters pods' namespaces to read or end sockets.
 */
#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "compile/compile.h"

struct node;

/* `bound` is told about each pod that was found, changed, or (binding NULL) went. */
typedef void node_bound_fn(const char *namespace, const char *name, const struct binding *binding, void *context);

int node_new(struct node **ret, struct event_base *base, node_bound_fn *bound, void *context);
void node_free(struct node *node);

/*
 * A pod whose namespace is at `netns` (a path; /proc/PID/ns/net too). The same pod again with another path is fine.
 * -ENOENT: not there yet, -ENODEV: no interface on this node yet, -EINVAL: the host's own; it is tried again as
 * interfaces change, and `bound` is called then. The problem is logged once.
 */
int node_pod_add(struct node *node, const char *namespace, const char *name, const char *netns);
void node_pod_remove(struct node *node, const char *namespace, const char *name);

uint64_t node_host_cookie(const struct node *node);
/* All addresses of the host's namespace; *ret is malloc'd. */
int node_host_addresses(const struct node *node, struct weft_addr **ret, size_t *ret_count);
/* `changed` is called when the host's addresses change. */
void node_watch_host(struct node *node, void (*changed)(void *context), void *context);

/* Called inside a network namespace; the host's with namespace and name NULL. */
typedef int node_run_fn(const char *namespace, const char *name, uint64_t cookie, void *context);
/* Runs `run` in the host's namespace and in that of every bound pod. Stops at the first non-zero result and returns it. */
int node_each_netns(struct node *node, node_run_fn *run, void *context);
/* The same for one pod. -ENOENT: not bound. */
int node_in_netns(struct node *node, const char *namespace, const char *name, node_run_fn *run, void *context);

#endif
