/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_NODE_H
#define WEFT_NODE_H
/*
 * This node's pods as the kernel has them: from a network namespace path to its cookie, its interfaces and their host-side
 * ends; follows interfaces that come, go and are renamed (rtnetlink); enters pods' namespaces to read or end sockets.
 */
#include <event2/event.h>
#include <stdint.h>

#include "compile/compile.h"

struct node;

/* `bound` is told about each pod that was found, changed, or (binding NULL) went. */
typedef void node_bound_fn(const char *namespace, const char *name, const struct binding *binding, void *context);

int node_new(struct node **ret, struct event_base *base, node_bound_fn *bound, void *context);
void node_free(struct node *node);

/* A pod whose namespace is at `netns` (a path; /proc/PID/ns/net too). Not there yet: -ENOENT, and it is tried again as interfaces change. */
int node_pod_add(struct node *node, const char *namespace, const char *name, const char *netns);
void node_pod_remove(struct node *node, const char *namespace, const char *name);

uint64_t node_host_cookie(const struct node *node);
/* All addresses of the host's namespace; *ret is malloc'd. */
int node_host_addresses(const struct node *node, struct weft_addr **ret, size_t *ret_count);
/* `changed` is called when the host's addresses change. */
void node_watch_host(struct node *node, void (*changed)(void *context), void *context);

/* Runs `run` in the network namespace of every known pod and of the host, one after the other. Stops at the first non-zero result. */
int node_each_netns(struct node *node, int (*run)(const char *namespace, const char *name, uint64_t cookie, void *context), void *context);

#endif
