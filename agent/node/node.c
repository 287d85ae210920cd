/* SPDX-License-Identifier: Apache-2.0 */
#include "node/node.h"

#include <errno.h>
#include <event2/util.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/netlink.h"
#include "util/log.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/* While a pod's namespace or interface is not there yet. Its arrival on a veth is an event; that of a bare path is not. */
static const struct timeval retry_interval = { 1, 0 };
/* One look at the links serves all the messages that one change of an interface makes. */
static const struct timeval settle_interval = { 0, 5000 };

struct pod {
	struct pod *next;
	char *namespace, *name, *netns;
	dev_t device; /* of the namespace that was bound: a path may be given to another namespace */
	ino_t inode;
	bool bound;
	bool warned;
	struct binding binding;
};

struct node {
	struct event_base *base;
	node_bound_fn *bound;
	void *context;
	void (*host_changed)(void *context);
	void *host_context;
	struct pod *pods;
	int host_fd;
	uint64_t host_cookie;
	struct mnl_socket *monitor;
	struct event *monitor_event, *scan_event;
	bool addresses_changed;
};

/* The cookie of the calling thread's namespace: what bpf_get_netns_cookie() gives (net/core/sock.c SO_NETNS_COOKIE). */
static int current_cookie(uint64_t *ret)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), result = 0;
	socklen_t size = sizeof(*ret);

	if (fd < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, ret, &size) < 0)
		result = -errno;
	close(fd);
	return result;
}

static int enter(int netns_fd) { return setns(netns_fd, CLONE_NEWNET) < 0 ? -errno : 0; }

/* Not being able to come home would make everything after this act on a pod: there is no going on. */
static void leave(const struct node *node)
{
	if (setns(node->host_fd, CLONE_NEWNET) < 0) {
		log_error("cannot return to the node's network namespace: %s; stopping (a restart is safe)", strerror(errno));
		abort();
	}
}

struct inside {
	uint64_t cookie;
	struct netlink_link *links;
	size_t link_count;
};

static int look_inside(const struct node *node, int netns_fd, struct inside *ret)
{
	int result = enter(netns_fd);

	if (result < 0)
		return result;
	result = current_cookie(&ret->cookie);
	if (result == 0)
		result = netlink_links(&ret->links, &ret->link_count);
	leave(node);
	return result;
}

static const struct netlink_link *link_by_index(const struct inside *inside, uint32_t ifindex)
{
	for (size_t i = 0; i < inside->link_count; i++)
		if (inside->links[i].ifindex == ifindex)
			return &inside->links[i];
	return NULL;
}

struct host_links {
	struct netlink_link *links;
	size_t count;
};

/* The host-side interfaces of the namespace known as `netns_id`, with the MAC of the pod's end. */
static void fill_binding(struct binding *binding, const struct host_links *host, int32_t netns_id, const struct inside *inside)
{
	const size_t most = sizeof(binding->ifindexes) / sizeof(*binding->ifindexes);

	memset(binding, 0, sizeof(*binding));
	binding->netns_cookie = inside->cookie;
	for (size_t i = 0; i < host->count && binding->ifindex_count < most; i++) {
		const struct netlink_link *link = &host->links[i], *peer;

		if (!link->is_veth || netns_id == NETNS_ID_NONE || link->peer_netns_id != netns_id)
			continue;
		peer = link_by_index(inside, link->peer_ifindex);
		if (!peer)
			continue;
		memcpy(binding->macs[binding->ifindex_count], peer->mac, sizeof(peer->mac));
		binding->ifindexes[binding->ifindex_count++] = link->ifindex;
	}
}

static void tell_gone(struct node *node, struct pod *pod)
{
	if (!pod->bound)
		return;
	pod->bound = false;
	node->bound(pod->namespace, pod->name, NULL, node->context);
}

static void tell_bound(struct node *node, struct pod *pod, const struct binding *binding, const struct stat *status)
{
	if (pod->bound && pod->inode == status->st_ino && pod->device == status->st_dev &&
	    !memcmp(&pod->binding, binding, sizeof(*binding)))
		return;
	if (pod->bound && pod->binding.netns_cookie != binding->netns_cookie)
		tell_gone(node, pod);
	pod->bound = true;
	pod->binding = *binding;
	pod->inode = status->st_ino;
	pod->device = status->st_dev;
	node->bound(pod->namespace, pod->name, binding, node->context);
}

static int bind_open(struct node *node, struct pod *pod, const struct host_links *host, int fd)
{
	struct inside inside = { 0 };
	struct binding binding;
	struct stat status;
	int32_t netns_id;
	int result;

	if (fstat(fd, &status) < 0)
		return -errno;
	result = netlink_netns_id(fd, &netns_id);
	if (result < 0)
		return result;
	result = look_inside(node, fd, &inside);
	if (result == 0 && inside.cookie == node->host_cookie)
		result = -EINVAL;
	if (result == 0) {
		fill_binding(&binding, host, netns_id, &inside);
		tell_bound(node, pod, &binding, &status);
		result = binding.ifindex_count ? 0 : -ENODEV;
	}
	free(inside.links);
	return result;
}

static const char *binding_problem(int result)
{
	switch (result) {
	case -ENOENT:
		return "that path does not exist (yet); looking again as interfaces change";
	case -ENODEV:
		return "it has no veth whose other end is on this node (yet): policy holds in connect(), its packets are not seen";
	case -EINVAL:
		return "that is the node's own network namespace or none at all: such pods are not meshed";
	}
	return strerror(-result);
}

/* Looks at one pod. 0: bound with an interface; else why not, said once. */
static int bind_pod(struct node *node, struct pod *pod, const struct host_links *host)
{
	/* not kept open: a descriptor would keep the namespace of a deleted pod alive */
	int fd = open(pod->netns, O_RDONLY | O_CLOEXEC);
	int result = fd < 0 ? -errno : bind_open(node, pod, host, fd);

	if (fd >= 0)
		close(fd);
	if (result < 0 && result != -ENODEV)
		tell_gone(node, pod);
	if (result < 0 && !pod->warned)
		log_warn("Pod %s/%s: network namespace %s: %s", pod->namespace, pod->name, pod->netns, binding_problem(result));
	pod->warned = result < 0;
	return result;
}

static int host_links(struct host_links *ret)
{
	return netlink_links(&ret->links, &ret->count);
}

static void scan(evutil_socket_t fd, short events, void *context)
{
	struct node *node = context;
	struct host_links host = { 0 };
	bool waiting = false;
	int result = host_links(&host);

	(void)fd;
	(void)events;
	if (result < 0)
		log_error("cannot list the node's interfaces: %s; trying again", strerror(-result));
	waiting = result < 0;
	for (struct pod *pod = node->pods; result == 0 && pod; pod = pod->next)
		waiting |= bind_pod(node, pod, &host) < 0;
	free(host.links);
	if (node->addresses_changed && node->host_changed) {
		node->addresses_changed = false;
		node->host_changed(node->host_context);
	}
	if (waiting)
		event_add(node->scan_event, &retry_interval);
}

static int note_message(const struct nlmsghdr *message, void *context)
{
	struct node *node = context;

	if (message->nlmsg_type == RTM_NEWADDR || message->nlmsg_type == RTM_DELADDR)
		node->addresses_changed = true;
	return MNL_CB_OK;
}

static void monitor_ready(evutil_socket_t fd, short events, void *context)
{
	struct node *node = context;
	char buffer[32768];
	ssize_t size;

	(void)fd;
	(void)events;
	while ((size = mnl_socket_recvfrom(node->monitor, buffer, sizeof(buffer))) > 0)
		mnl_cb_run(buffer, (size_t)size, 0, 0, note_message, node);
	if (size < 0 && errno == ENOBUFS) /* messages were lost: anything may have changed */
		node->addresses_changed = true;
	event_add(node->scan_event, &settle_interval);
}

static int open_monitor(struct node *node)
{
	unsigned int groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;

	node->monitor = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!node->monitor || mnl_socket_bind(node->monitor, groups, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	node->monitor_event = event_new(node->base, mnl_socket_get_fd(node->monitor), EV_READ | EV_PERSIST, monitor_ready, node);
	node->scan_event = evtimer_new(node->base, scan, node);
	if (!node->monitor_event || !node->scan_event)
		return -ENOMEM;
	return event_add(node->monitor_event, NULL) < 0 ? -ENOMEM : 0;
}

int node_new(struct node **ret, struct event_base *base, node_bound_fn *bound, void *context)
{
	struct node *node = calloc(1, sizeof(*node));
	int result;

	if (!node)
		return -ENOMEM;
	node->base = base;
	node->bound = bound;
	node->context = context;
	node->host_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	result = node->host_fd < 0 ? -errno : current_cookie(&node->host_cookie);
	if (result == 0)
		result = open_monitor(node);
	if (result < 0) {
		node_free(node);
		return result;
	}
	*ret = node;
	return 0;
}

static void pod_free(struct pod *pod)
{
	free(pod->namespace);
	free(pod->name);
	free(pod->netns);
	free(pod);
}

void node_free(struct node *node)
{
	struct pod *next;

	if (!node)
		return;
	for (struct pod *pod = node->pods; pod; pod = next) {
		next = pod->next;
		pod_free(pod);
	}
	if (node->monitor_event)
		event_free(node->monitor_event);
	if (node->scan_event)
		event_free(node->scan_event);
	if (node->monitor)
		mnl_socket_close(node->monitor);
	if (node->host_fd >= 0)
		close(node->host_fd);
	free(node);
}

static struct pod **find(struct node *node, const char *namespace, const char *name)
{
	struct pod **at = &node->pods;

	while (*at && (strcmp((*at)->namespace, namespace) != 0 || strcmp((*at)->name, name) != 0))
		at = &(*at)->next;
	return at;
}

int node_pod_add(struct node *node, const char *namespace, const char *name, const char *netns)
{
	struct pod **at = find(node, namespace, name), *pod = *at;
	struct host_links host = { 0 };
	int result;

	if (pod && strcmp(pod->netns, netns) != 0) {
		node_pod_remove(node, namespace, name);
		at = find(node, namespace, name);
		pod = NULL;
	}
	if (!pod) {
		pod = calloc(1, sizeof(*pod));
		if (!pod)
			return -ENOMEM;
		pod->namespace = strdup(namespace);
		pod->name = strdup(name);
		pod->netns = strdup(netns);
		if (!pod->namespace || !pod->name || !pod->netns) {
			pod_free(pod);
			return -ENOMEM;
		}
		*at = pod;
	}
	result = host_links(&host);
	if (result == 0)
		result = bind_pod(node, pod, &host);
	free(host.links);
	if (result < 0)
		event_add(node->scan_event, &retry_interval);
	return result;
}

void node_pod_remove(struct node *node, const char *namespace, const char *name)
{
	struct pod **at = find(node, namespace, name), *pod = *at;

	if (!pod)
		return;
	tell_gone(node, pod);
	*at = pod->next;
	pod_free(pod);
}

uint64_t node_host_cookie(const struct node *node) { return node->host_cookie; }

int node_host_addresses(const struct node *node, struct weft_addr **ret, size_t *ret_count)
{
	(void)node; /* the agent's threads are in the host's namespace but during node_each_netns() */
	return netlink_addresses(ret, ret_count);
}

void node_watch_host(struct node *node, void (*changed)(void *context), void *context)
{
	node->host_changed = changed;
	node->host_context = context;
}

/* Whether the path still leads to the namespace that was bound. */
static bool same_namespace(const struct pod *pod, int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && status.st_ino == pod->inode && status.st_dev == pod->device;
}

int node_in_netns(struct node *node, const char *namespace, const char *name, node_run_fn *run, void *context)
{
	const struct pod *pod = *find(node, namespace, name);
	int fd, result;

	if (!pod || !pod->bound)
		return -ENOENT;
	fd = open(pod->netns, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	result = same_namespace(pod, fd) ? enter(fd) : -ENOENT;
	if (result == 0) {
		result = run(pod->namespace, pod->name, pod->binding.netns_cookie, context);
		leave(node);
	}
	close(fd);
	return result;
}

int node_each_netns(struct node *node, node_run_fn *run, void *context)
{
	int result = run(NULL, NULL, node->host_cookie, context);

	for (struct pod *pod = node->pods; result == 0 && pod; pod = pod->next) {
		result = node_in_netns(node, pod->namespace, pod->name, run, context);
		if (result == -ENOENT) /* it went meanwhile: an event will tell */
			result = 0;
	}
	return result;
}
