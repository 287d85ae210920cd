/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent: puts the rooms together and drives them from one event loop.
 *
 *   source -> model -> compile -> desired tables -> datapath -> maps
 *                        ^
 *   node (namespaces, interfaces of this node's pods)
 */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "agent.h"
#include "api/api.h"
#include "compile/compile.h"
#include "config.h"
#include "datapath/datapath.h"
#include "datapath/sockets.h"
#include "lock.h"
#include "model/model.h"
#include "node/node.h"
#include "node/stale.h"
#include "source/source.h"
#include "telemetry/telemetry.h"
#include "util/clock.h"
#include "util/intern.h"
#include "util/log.h"

/* What is done again and again, each in its own time. */
static const struct timeval heartbeat_interval = { 1, 0 };
static const struct timeval collect_interval = { 1, 0 };
static const struct timeval look_interval = { 5, 0 };

/* Model or bindings changed at `noticed` (CLOCK_MONOTONIC ns): bring the maps up to date. What fails stays dirty and is tried again at the next look. */
static void load(struct agent *agent, uint64_t noticed)
{
	struct desired *desired = compile_desired(agent->compile);
	bool stale;
	int result = compile_run(agent->compile);

	if (result < 0) {
		log_error("compiling the model: %s; the maps keep their last state", strerror(-result));
		return;
	}
	stale = stale_sockets_possible(desired);
	telemetry_model_changed(agent->telemetry);
	result = datapath_apply(agent->datapath, desired);
	if (result < 0)
		log_error("writing maps: %s; `meshctl get maps` shows which; trying again", strerror(-result));
	else if (result > 0)
		telemetry_loaded(clock_now(CLOCK_MONOTONIC) - noticed, agent->telemetry);
	if (stale)
		stale_sockets_end(agent->node, agent->datapath, desired);
}

static void model_changed(void *context)
{
	struct agent *agent = context;

	load(agent, source_noticed(agent->source));
}

/* A pod that names no node is taken by the agent that was told of its network namespace. */
static bool is_ours(const struct agent *agent, const struct pod_object *pod)
{
	return pod->netns && !pod->host_network && pod->phase != POD_SUCCEEDED && pod->phase != POD_FAILED &&
	       (!pod->node_name || !strcmp(pod->node_name, agent->config->node_name));
}

/* The model's pods of this node are node/'s business. */
static void pod_changed(const struct object *old, const struct object *new, void *context)
{
	const struct pod_object *was = (const struct pod_object *)old, *is = (const struct pod_object *)new;
	struct agent *agent = context;
	const struct object *any = new ? new : old;

	if (any->kind != MODEL_POD)
		return;
	if (is && is_ours(agent, is))
		node_pod_add(agent->node, any->namespace, any->name, is->netns);
	else if (was && was->netns)
		node_pod_remove(agent->node, any->namespace, any->name);
}

/* Programs first, and closed until load() has written the pod's policy: a pod is never open for want of it. */
static void attach(struct agent *agent, const char *namespace, const char *name, const struct binding *binding)
{
	for (uint32_t i = 0; i < binding->ifindex_count; i++) {
		int result = datapath_attach(agent->datapath, binding->ifindexes[i]);

		if (result < 0)
			log_error("Pod %s/%s: attaching to its interface (index %u): %s; its packets are not policed", namespace,
				  name, binding->ifindexes[i], strerror(-result));
	}
}

static int seed(const char *namespace, const char *name, uint64_t cookie, void *context)
{
	struct agent *agent = context;
	int result = sockets_seed_connections(agent->datapath);

	(void)cookie;
	if (result < 0)
		log_warn("Pod %s/%s: reading its connections: %s; those that are older than the mesh may be cut", namespace, name,
			 strerror(-result));
	return 0;
}

static void bound(const char *namespace, const char *name, const struct binding *binding, void *context)
{
	struct agent *agent = context;
	int result = compile_bind_pod(agent->compile, namespace, name, binding);

	if (result < 0)
		log_error("Pod %s/%s: %s", namespace, name, strerror(-result));
	if (binding) {
		attach(agent, namespace, name, binding);
		node_in_netns(agent->node, namespace, name, seed, agent);
		log_info("Pod %s/%s: bound to %u interface(s), namespace cookie %llu", namespace, name, binding->ifindex_count,
			 (unsigned long long)binding->netns_cookie);
	} else {
		log_info("Pod %s/%s: its network namespace is gone", namespace, name);
	}
	event_active(agent->load_event, 0, 0);
}

static void host_changed(void *context)
{
	struct agent *agent = context;
	struct weft_addr *addresses = NULL;
	size_t count = 0;
	int result = node_host_addresses(agent->node, &addresses, &count);

	if (result == 0)
		result = compile_bind_host(agent->compile, node_host_cookie(agent->node), addresses, count);
	if (result < 0)
		log_error("reading the node's own addresses: %s; probes from the node may be refused", strerror(-result));
	free(addresses);
	event_active(agent->load_event, 0, 0);
}

static void on_load(evutil_socket_t fd, short events, void *context)
{
	(void)fd;
	(void)events;
	load(context, clock_now(CLOCK_MONOTONIC));
}

static void on_heartbeat(evutil_socket_t fd, short events, void *context)
{
	struct agent *agent = context;

	(void)fd;
	(void)events;
	datapath_heartbeat(agent->datapath);
}

static void on_collect(evutil_socket_t fd, short events, void *context)
{
	struct agent *agent = context;
	int result = datapath_collect_connections(agent->datapath);

	(void)fd;
	(void)events;
	if (result < 0)
		log_warn("collecting tracked connections: %s", strerror(-result));
}

static void on_look(evutil_socket_t fd, short events, void *context)
{
	struct agent *agent = context;

	(void)fd;
	(void)events;
	datapath_short_way_check(agent->datapath);
	load(agent, clock_now(CLOCK_MONOTONIC));
}

static int report_namespace(const char *namespace, const char *name, uint64_t cookie, void *context)
{
	struct agent *agent = context;
	int result = datapath_run_iterator(agent->datapath, "report_tcp", NULL, NULL);

	(void)cookie;
	if (result < 0)
		log_warn("%s%s%s: reading long connections: %s", namespace ? "Pod " : "the node", namespace ? namespace : "",
			 name ? name : "", strerror(-result));
	return 0;
}

static void on_report(evutil_socket_t fd, short events, void *context)
{
	struct agent *agent = context;

	(void)fd;
	(void)events;
	node_each_netns(agent->node, report_namespace, agent);
}

static void on_stop(evutil_socket_t number, short events, void *context)
{
	struct agent *agent = context;

	(void)events;
	log_info("%s: stopping; programs stay attached and connections go on (weftd --cleanup removes everything)",
		 strsignal((int)number));
	event_base_loopbreak(agent->base);
}

static void on_hangup(evutil_socket_t number, short events, void *context)
{
	struct agent *agent = context;

	(void)number;
	(void)events;
	telemetry_reopen(agent->telemetry);
}

static struct event *events[8];
static size_t event_count;

static int add_event(struct event *event, const struct timeval *interval)
{
	if (!event || event_add(event, interval) < 0)
		return -ENOMEM;
	events[event_count++] = event;
	return 0;
}

static int add_signal(struct agent *agent, int number, event_callback_fn call)
{
	return add_event(evsignal_new(agent->base, number, call, agent), NULL);
}

static int add_timer(struct agent *agent, const struct timeval *interval, event_callback_fn call)
{
	return add_event(event_new(agent->base, -1, EV_PERSIST, call, agent), interval);
}

static int add_events(struct agent *agent)
{
	const struct timeval report_interval = { agent->config->report_seconds, 0 };
	int result = add_signal(agent, SIGTERM, on_stop);

	signal(SIGPIPE, SIG_IGN); /* a reader of the API that goes away is no reason to die */
	if (result == 0)
		result = add_signal(agent, SIGINT, on_stop);
	if (result == 0)
		result = add_signal(agent, SIGHUP, on_hangup);
	if (result == 0)
		result = add_timer(agent, &heartbeat_interval, on_heartbeat);
	if (result == 0)
		result = add_timer(agent, &collect_interval, on_collect);
	if (result == 0)
		result = add_timer(agent, &look_interval, on_look);
	if (result == 0)
		result = add_timer(agent, &report_interval, on_report);
	return result;
}

static int open_datapath(struct agent *agent)
{
	char reason[512] = "";
	int result = datapath_open(&agent->datapath, &agent->config->datapath, reason);

	if (result < 0)
		log_error("%s", reason[0] ? reason : strerror(-result));
	return result;
}

static int open_rooms(struct agent *agent)
{
	const struct compile_options options = {
		.node_name = agent->config->node_name,
		.root_namespace = agent->config->root_namespace,
		.trust_domain = agent->config->trust_domain,
	};
	int result = model_new(&agent->model);

	if (result == 0)
		result = compile_new(&agent->compile, agent->model, &options);
	if (result == 0)
		result = node_new(&agent->node, agent->base, bound, agent);
	if (result < 0)
		log_error("starting: %s", strerror(-result));
	else
		result = telemetry_open(&agent->telemetry, agent); /* says itself what is wrong */
	if (result < 0)
		return result;
	node_watch_host(agent->node, host_changed, agent);
	model_watch(agent->model, pod_changed, agent);
	host_changed(agent);
	return 0;
}

/* The source is read whole before the first load(): what is pinned from a former run is compared with all of it. */
static int start(struct agent *agent)
{
	int result = open_datapath(agent);

	if (result == 0)
		result = open_rooms(agent);
	if (result == 0)
		result = source_open(&agent->source, agent->base, agent->model, agent->config->source, model_changed, agent);
	if (result < 0)
		return result;
	load(agent, clock_now(CLOCK_MONOTONIC));
	result = add_events(agent);
	if (result == 0)
		result = api_open(&agent->api, agent);
	return result;
}

static void stop(struct agent *agent, bool failed)
{
	api_close(agent->api);
	source_close(agent->source);
	telemetry_close(agent->telemetry);
	node_free(agent->node);
	compile_free(agent->compile);
	model_free(agent->model);
	if (failed)
		datapath_abandon(agent->datapath);
	else
		datapath_close(agent->datapath);
	while (event_count)
		event_free(events[--event_count]);
	if (agent->load_event)
		event_free(agent->load_event);
	if (agent->base)
		event_base_free(agent->base);
	intern_free_all();
}

static int take_lock(const struct config *config)
{
	int holder = 0, result = lock_take(config->run_directory, &holder);

	if (result == -EBUSY)
		log_error("another weftd (pid %d) holds %s/weftd.lock: one per node; stop it first, or give this one its own "
			  "--run-directory and --bpffs", holder, config->run_directory);
	else if (result < 0)
		log_error("--run-directory=%s: %s", config->run_directory, strerror(-result));
	return result;
}

static int clean_up(const struct config *config)
{
	char reason[512] = "";
	int result = datapath_cleanup(&config->datapath, reason);

	if (result < 0) {
		log_error("%s", reason[0] ? reason : strerror(-result));
		return result;
	}
	api_remove_socket(config->run_directory);
	lock_remove(config->run_directory);
	log_info("everything below %s is detached and removed", config->datapath.bpffs);
	return 0;
}

int main(int argc, char **argv)
{
	struct config config;
	enum log_level level;
	struct agent agent = { .config = &config, .started = clock_now(CLOCK_REALTIME) };
	int result = config_parse(&config, argc, argv);

	if (result)
		return result < 0 ? EX_USAGE : 0;
	log_level_parse(config.log_level, &level);
	log_set_level(level);
	log_set_json(config.log_json);
	result = take_lock(&config);
	if (result < 0)
		return result == -EBUSY ? EX_TEMPFAIL : 1;
	if (config.cleanup)
		return clean_up(&config) < 0;

	agent.base = event_base_new();
	agent.load_event = agent.base ? event_new(agent.base, -1, 0, on_load, &agent) : NULL;
	result = agent.load_event ? start(&agent) : -ENOMEM;
	if (result == 0) {
		log_info("weftd %s is up: node %s, source %s", WEFT_VERSION, config.node_name, config.source);
		event_base_dispatch(agent.base);
	}
	stop(&agent, result < 0);
	return result < 0;
}
