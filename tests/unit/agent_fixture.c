/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api/api.h"
#include "compile/compile.h"
#include "datapath/datapath.h"
#include "source/source.h"
#include "util/addr.h"
#include "util/intern.h"
#include "util/map_each.h"

static const char manifests[] =
	"{apiVersion: v1, kind: Namespace, metadata: {name: default}}\n---\n"
	"{apiVersion: v1, kind: Node, metadata: {name: node-1}, status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}}\n"
	"---\n"
	"{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: default, labels: {app: web, version: v1}},\n"
	" spec: {nodeName: node-1, serviceAccountName: web}, status: {phase: Running, podIPs: [{ip: 10.1.0.1}]}}\n---\n"
	"{apiVersion: v1, kind: Pod, metadata: {name: api, namespace: default, labels: {app: api}},\n"
	" spec: {nodeName: node-1, containers: [{name: c, ports: [{containerPort: 8080}]}]},\n"
	" status: {phase: Running, podIPs: [{ip: 10.1.0.2}]}}\n---\n"
	"{apiVersion: v1, kind: Service, metadata: {name: api, namespace: default},\n"
	" spec: {clusterIP: 10.96.0.1, selector: {app: api}, ports: [{port: 80, targetPort: 8080}]}}\n---\n"
	"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: isolate, namespace: default},\n"
	" spec: {podSelector: {matchLabels: {app: api}}, policyTypes: [Ingress]}}\n";

/* --- the datapath's part: maps by name, no programs --- */

struct datapath {
	const struct fixture *fixture;
};

int datapath_map_fd(const struct datapath *datapath, const char *name)
{
	const struct fixture *fixture = datapath->fixture;
	const struct {
		const char *name;
		int fd;
	} maps[] = { { "weft_traffic", fixture->traffic }, { "weft_drops", fixture->drops },
		    { "weft_errors", fixture->errors },
		     { "weft_control", fixture->control }, { "weft_events", fixture->events },
			     { "weft_conntrack", fixture->conntrack } };

	for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++)
		if (!strcmp(maps[i].name, name))
			return maps[i].fd;
	return -ENOENT;
}

void datapath_watch_over(struct datapath *datapath, datapath_over_fn *over, void *context)
{
	(void)datapath, (void)over, (void)context;
}

int datapath_each_map(struct datapath *datapath, int (*each)(const struct datapath_map *map, void *context),
		      void *context)
{
	static const struct datapath_map maps[] = { { "weft_conntrack", 3, 100, 0, false, "max-connections" },
						    { "weft_services", 8, 8, 2, true, "max-services" } };

	(void)datapath;
	return each(&maps[0], context) ? 1 : each(&maps[1], context);
}

int datapath_each_program(struct datapath *datapath, int (*each)(const struct datapath_program *program, void *context),
			  void *context)
{
	static const struct datapath_program program = { "connect4", 10, 1500 };

	(void)datapath;
	return each(&program, context);
}

bool datapath_short_way(const struct datapath *datapath, const char **ret_why)
{
	(void)datapath;
	*ret_why = "auto: nobody else is there";
	return true;
}

/* --- putting it together --- */

static int new_map(enum bpf_map_type type, const char *name, uint32_t key_size, uint32_t value_size, uint32_t entries)
{
	int fd = bpf_map_create(type, name, key_size, value_size, entries, NULL);

	if (fd < 0)
		fail_msg("map %s: %s (these tests need root)", name, strerror(-fd));
	return fd;
}

static void open_maps(struct fixture *fixture)
{
	const struct weft_control control = { .buffers = 1 };
	uint32_t zero = 0;

	fixture->traffic = new_map(BPF_MAP_TYPE_PERCPU_HASH, "traffic", sizeof(struct weft_traffic_key),
				   sizeof(struct weft_traffic), 5000);
	fixture->drops = new_map(BPF_MAP_TYPE_PERCPU_ARRAY, "drops", 4, sizeof(struct weft_drop),
				 WEFT_REASON_COUNT * 2);
	fixture->errors = new_map(BPF_MAP_TYPE_PERCPU_ARRAY, "errors", 4, 8, WEFT_PLACE_COUNT);
	fixture->control = new_map(BPF_MAP_TYPE_ARRAY, "control", 4, sizeof(control), 1);
	fixture->events = new_map(BPF_MAP_TYPE_RINGBUF, "events", 0, 0, 65536);
	fixture->conntrack = new_map(BPF_MAP_TYPE_HASH, "conntrack", sizeof(struct weft_conn_key),
				     sizeof(struct weft_conn), 100);
	assert_int_equal(bpf_map_update_elem(fixture->control, &zero, &control, BPF_ANY), 0);
}

static void write_manifests(struct fixture *fixture)
{
	char path[128];
	FILE *file;

	strcpy(fixture->directory, "/tmp/weft-test-XXXXXX");
	assert_non_null(mkdtemp(fixture->directory));
	snprintf(path, sizeof(path), "%s/run", fixture->directory);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/manifests", fixture->directory);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/manifests/all.yaml", fixture->directory);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(manifests, file);
	fclose(file);
}

static void configure(struct fixture *fixture)
{
	static char source[128], run[128];
	char *arguments[] = { "weftd",	     "--source",	  source,     "--node-name", "node-1",
			     "--run-directory",
			      run,	     "--metrics-address", NULL,	      "--flow-history", "100",  NULL };

	snprintf(source, sizeof(source), "dir:%s/manifests", fixture->directory);
	snprintf(run, sizeof(run), "%s/run", fixture->directory);
	/* the process's own place, so that two tests can run side by side */
	snprintf(fixture->metrics_address, sizeof(fixture->metrics_address), "127.0.0.1:%d", 20000 + getpid() % 40000);
	arguments[8] = fixture->metrics_address;
	assert_int_equal(config_parse(&fixture->config, 11, arguments), 0);
}

static void bind_pods(struct fixture *fixture)
{
	const struct binding web = { .netns_cookie = 101, .ifindexes = { 11 }, .ifindex_count = 1 };
	const struct binding api = { .netns_cookie = 102, .ifindexes = { 12 }, .ifindex_count = 1 };

	assert_true(compile_bind_pod(fixture->agent.compile, "default", "web", &web) >= 0);
	assert_true(compile_bind_pod(fixture->agent.compile, "default", "api", &api) >= 0);
	assert_true(compile_run(fixture->agent.compile) >= 0);
}

static uint32_t identity_at(const struct fixture *fixture, const char *text)
{
	const struct desired_address *known;
	struct weft_addr addr;

	assert_int_equal(addr_parse(text, &addr), 0);
	known = table_get(compile_desired(fixture->agent.compile)->addresses, &addr, NULL);
	assert_non_null(known);
	return known->identity;
}

static uint32_t service_number(const struct fixture *fixture)
{
	struct weft_service_key key = { .port = htons(80), .protocol = IPPROTO_TCP };
	const struct weft_service *service;

	addr_parse("10.96.0.1", &key.addr);
	service = table_get(compile_desired(fixture->agent.compile)->services, &key, NULL);
	assert_non_null(service);
	return service->id;
}

static void no_change(void *context) { (void)context; }

void fixture_open(struct fixture *fixture)
{
	static struct datapath datapath;
	struct compile_options options;
	struct agent *agent = &fixture->agent;

	memset(fixture, 0, sizeof(*fixture));
	open_maps(fixture);
	write_manifests(fixture);
	configure(fixture);
	datapath.fixture = fixture;
	agent->config = &fixture->config;
	agent->datapath = &datapath;
	agent->base = event_base_new();
	agent->started = (uint64_t)time(NULL) * NANOSECONDS;
	assert_int_equal(model_new(&agent->model), 0);
	options = (struct compile_options){ "node-1", fixture->config.root_namespace, fixture->config.trust_domain };
	assert_int_equal(compile_new(&agent->compile, agent->model, &options), 0);
	assert_int_equal(source_open(&agent->source, agent->base, agent->model, fixture->config.source, no_change,
				     NULL), 0);
	bind_pods(fixture);
	fixture->web = identity_at(fixture, "10.1.0.1");
	fixture->api = identity_at(fixture, "10.1.0.2");
	fixture->service = service_number(fixture);
	assert_int_equal(telemetry_open(&agent->telemetry, agent), 0);
	assert_int_equal(api_open(&agent->api, agent), 0);
}

void fixture_close(struct fixture *fixture)
{
	struct agent *agent = &fixture->agent;
	const int maps[] = { fixture->traffic, fixture->drops, fixture->errors, fixture->control, fixture->events,
			    fixture->conntrack };
	char command[128];

	api_close(agent->api);
	telemetry_close(agent->telemetry);
	source_close(agent->source);
	compile_free(agent->compile);
	model_free(agent->model);
	event_base_free(agent->base);
	for (size_t i = 0; i < sizeof(maps) / sizeof(*maps); i++)
		close(maps[i]);
	snprintf(command, sizeof(command), "rm -rf %s", fixture->directory);
	assert_int_equal(system(command), 0);
	intern_free_all();
}

void fixture_traffic(struct fixture *fixture, const struct weft_traffic_key *key, const struct weft_traffic *half)
{
	int cpus = libbpf_num_possible_cpus();
	struct weft_traffic *values = calloc((size_t)cpus, sizeof(*values));

	values[0] = *half;
	values[cpus > 1 ? 1 : 0] = *half;
	if (cpus == 1)
		fail_msg("needs two CPUs");
	assert_int_equal(bpf_map_update_elem(fixture->traffic, key, values, BPF_ANY), 0);
	free(values);
}

struct weft_event fixture_event(const struct fixture *fixture, uint8_t type)
{
	struct weft_event event = {
		.time = 5 * NANOSECONDS,
		.socket_cookie = 77,
		.source_port = htons(40000),
		.destination_port = htons(8080),
		.service_port = htons(80),
		.type = type,
		.protocol = IPPROTO_TCP,
		.source_identity = fixture->web,
		.destination_identity = fixture->api,
		.service_id = fixture->service,
		.duration = 210000,
	};

	addr_parse("10.1.0.1", &event.source);
	addr_parse("10.1.0.2", &event.destination);
	addr_parse("10.96.0.1", &event.service);
	return event;
}

/* --- commands --- */

struct child {
	struct event_base *base;
	pid_t pid;
	int status;
};

static void on_child(evutil_socket_t signal, short what, void *context)
{
	struct child *child = context;

	(void)signal, (void)what;
	if (waitpid(child->pid, &child->status, WNOHANG) == child->pid)
		event_base_loopbreak(child->base);
}

static void on_timeout(evutil_socket_t fd, short what, void *context)
{
	(void)fd, (void)what;
	kill(*(pid_t *)context, SIGKILL);
}

int fixture_run(struct fixture *fixture, char *output, size_t size, const char *format, ...)
{
	struct child child = { .base = fixture->agent.base };
	const struct timeval limit = { 30, 0 };
	struct event *ended = evsignal_new(child.base, SIGCHLD, on_child, &child);
	struct event *timeout = evtimer_new(child.base, on_timeout, &child.pid);
	char command[4096], path[128];
	FILE *file;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	snprintf(path, sizeof(path), "%s/output", fixture->directory);
	event_add(ended, NULL);
	event_add(timeout, &limit);
	fflush(NULL);
	child.pid = fork();
	if (!child.pid) {
		char socket[128];

		snprintf(socket, sizeof(socket), "%s/weftd.sock", fixture->config.run_directory);
		setenv("WEFT_SOCKET", socket, 1);
		setenv("MESHCTL", BPF_OBJECTS "/../meshctl", 1);
		setenv("TZ", "UTC", 1);
		signal(SIGPIPE, SIG_DFL);
		if (!freopen(path, "w", stdout) || dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
			_exit(126);
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	event_base_dispatch(child.base);
	event_free(ended);
	event_free(timeout);
	memset(output, 0, size);
	file = fopen(path, "r");
	assert_non_null(file);
	assert_true(fread(output, 1, size - 1, file) < size);
	fclose(file);
	return WIFEXITED(child.status) ? WEXITSTATUS(child.status) : -1;
}
