/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/metrics.h"

#include <dirent.h>
#include <errno.h>
#include <event2/buffer.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "compile/names.h"
#include "config.h"
#include "source/source.h"
#include "telemetry/series.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/map_each.h"

struct scrape {
	struct telemetry *telemetry;
	struct evbuffer *out;
	struct series_list series;
};

struct metric {
	const char *name, *type, *help;
	void (*write)(struct scrape *scrape, const struct metric *metric);
	/* of traffic metrics: which counter, of which protocol */
	size_t counter;
	uint8_t protocol; /* 0: all */
};

static void put(struct scrape *scrape, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct scrape *scrape, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	evbuffer_add_vprintf(scrape->out, format, arguments);
	va_end(arguments);
}

static void put_count(struct scrape *scrape, const struct metric *metric, uint64_t value)
{
	put(scrape, "%s %llu\n", metric->name, (unsigned long long)value);
}

static void put_labelled(struct scrape *scrape, const struct metric *metric, const char *label, const char *value,
			 uint64_t count)
{
	char escaped[256];

	put(scrape, "%s{%s=\"%s\"} %llu\n", metric->name, label, label_escape(value, escaped, sizeof(escaped)),
	    (unsigned long long)count);
}

static int count_read_error(struct scrape *scrape, const char *what, int error)
{
	if (error)
		log_warn("metrics: %s cannot be read: %s; it is left out of this answer", what, strerror(-error));
	scrape->telemetry->read_errors += error != 0;
	return error;
}

/* --- traffic --- */

static uint64_t counter_of(const struct series *series, const struct metric *metric)
{
	return *(const uint64_t *)((const char *)&series->sum + metric->counter);
}

/* A series of a refusal has only the counters that a refusal moves. */
static void write_traffic(struct scrape *scrape, const struct metric *metric)
{
	char labels[SERIES_LABELS_MAX];

	for (size_t i = 0; i < scrape->series.count; i++) {
		const struct series *series = &scrape->series.items[i];
		uint64_t value = counter_of(series, metric);

		if (metric->protocol && series->protocol != metric->protocol)
			continue;
		if (!value && (strcmp(series->response_flags, "-") != 0 || !metric->protocol))
			continue;
		put(scrape, "%s{%s} %llu\n", metric->name, series_labels(series, labels), (unsigned long long)value);
	}
}

/* --- the programs' counters --- */

static void write_drops(struct scrape *scrape, const struct metric *metric)
{
	static const char *const directions[] = { [WEFT_EGRESS] = "egress", [WEFT_INGRESS] = "ingress" };
	int fd = datapath_map_fd(scrape->telemetry->agent->datapath, "weft_drops");

	for (uint32_t index = 0; index < WEFT_REASON_COUNT * 2; index++) {
		uint64_t drop[sizeof(struct weft_drop) / sizeof(uint64_t)];

		if (index / 2 == WEFT_REASON_NONE)
			continue;
		if (count_read_error(scrape, "weft_drops", fd < 0 ? fd : map_sum_percpu(fd, index, drop, 2)))
			return;
		put(scrape, "%s{reason=\"%s\",direction=\"%s\"} %llu\n", metric->name,
		    flow_reason_name((uint8_t)(index / 2)),
		    directions[index % 2], (unsigned long long)drop[metric->counter]);
	}
}

static const char *const places[] = {
#define PLACE_ROW(number, name, text) [number] = #name,
	WEFT_PLACES(PLACE_ROW)
#undef PLACE_ROW
};

static int read_error_count(const struct agent *agent, uint32_t place, uint64_t *ret)
{
	int fd = datapath_map_fd(agent->datapath, "weft_errors");

	return fd < 0 ? fd : map_sum_percpu(fd, place, ret, 1);
}

static void write_errors(struct scrape *scrape, const struct metric *metric)
{
	for (uint32_t place = 0; place < WEFT_PLACE_COUNT; place++) {
		uint64_t count;

		if (count_read_error(scrape, "weft_errors", read_error_count(scrape->telemetry->agent, place, &count)))
			return;
		put_labelled(scrape, metric, "place", places[place], count);
	}
}

static void write_lost(struct scrape *scrape, const struct metric *metric)
{
	uint64_t count;

	if (!count_read_error(scrape, "weft_errors",
			      read_error_count(scrape->telemetry->agent, WEFT_PLACE_EVENT_RING_FULL, &count)))
		put_count(scrape, metric, count);
}

struct writing {
	struct scrape *scrape;
	const struct metric *metric;
};

static int write_map_entries(const struct datapath_map *map, void *context)
{
	struct writing *writing = context;

	put_labelled(writing->scrape, writing->metric, "map", map->name, map->entries);
	return 0;
}

static int write_map_capacity(const struct datapath_map *map, void *context)
{
	struct writing *writing = context;

	put_labelled(writing->scrape, writing->metric, "map", map->name, map->capacity);
	return 0;
}

static int write_map_full(const struct datapath_map *map, void *context)
{
	struct writing *writing = context;

	put_labelled(writing->scrape, writing->metric, "map", map->name, map->full);
	return 0;
}

static void write_maps(struct scrape *scrape, const struct metric *metric)
{
	static int (*const columns[])(const struct datapath_map *, void *) = { write_map_entries, write_map_capacity,
									       write_map_full };
	struct writing writing = { scrape, metric };

	count_read_error(scrape, "the maps' fill",
			 datapath_each_map(scrape->telemetry->agent->datapath, columns[metric->counter], &writing));
}

static int write_program_seconds(const struct datapath_program *program, void *context)
{
	struct writing *writing = context;

	put(writing->scrape, "%s{program=\"%s\"} %.9f\n", writing->metric->name, program->name,
	    (double)program->run_nanoseconds / 1e9);
	return 0;
}

static int write_program_runs(const struct datapath_program *program, void *context)
{
	struct writing *writing = context;

	put_labelled(writing->scrape, writing->metric, "program", program->name, program->run_count);
	return 0;
}

static void write_programs(struct scrape *scrape, const struct metric *metric)
{
	struct writing writing = { scrape, metric };

	count_read_error(scrape, "the programs' run time",
			 datapath_each_program(scrape->telemetry->agent->datapath,
					       metric->counter ? write_program_runs : write_program_seconds, &writing));
}

static void write_short_way(struct scrape *scrape, const struct metric *metric)
{
	const char *why;

	put_count(scrape, metric, datapath_short_way(scrape->telemetry->agent->datapath, &why));
}

/* --- the agent's own --- */

static void write_flows(struct scrape *scrape, const struct metric *metric)
{
	struct flows_counters counters;

	flows_counters(scrape->telemetry->flows, &counters);
	put_count(scrape, metric, *(const uint64_t *)((const char *)&counters + metric->counter));
}

/* A counter of struct telemetry at the offset `counter`. */
static void write_own(struct scrape *scrape, const struct metric *metric)
{
	put_count(scrape, metric, *(const uint64_t *)((const char *)scrape->telemetry + metric->counter));
}

static void write_access_log_errors(struct scrape *scrape, const struct metric *metric)
{
	put_count(scrape, metric, access_log_errors(scrape->telemetry->log));
}

static void write_source(struct scrape *scrape, const struct metric *metric)
{
	struct source_counters counters;

	source_counters(scrape->telemetry->agent->source, &counters);
	put_count(scrape, metric, *(const uint64_t *)((const char *)&counters + metric->counter));
}

static int count_problem(const struct source_problem *problem, void *context)
{
	(void)problem;
	(*(uint64_t *)context)++;
	return 0;
}

static void write_problems(struct scrape *scrape, const struct metric *metric)
{
	uint64_t count = 0;

	source_each_problem(scrape->telemetry->agent->source, count_problem, &count);
	put_count(scrape, metric, count);
}

static int count_report(enum model_kind kind, const char *namespace, const char *name, const char *text, void *context)
{
	(void)namespace, (void)name, (void)text;
	((uint64_t *)context)[kind]++;
	return 0;
}

static void write_reports(struct scrape *scrape, const struct metric *metric)
{
	uint64_t counts[MODEL_KIND_COUNT] = { 0 };

	model_each_report(scrape->telemetry->agent->model, count_report, counts);
	for (int kind = 0; kind < MODEL_KIND_COUNT; kind++)
		put_labelled(scrape, metric, "kind", model_kind_name((enum model_kind)kind), counts[kind]);
}

static void write_objects(struct scrape *scrape, const struct metric *metric)
{
	for (int kind = 0; kind < MODEL_KIND_COUNT; kind++)
		put_labelled(scrape, metric, "kind", model_kind_name((enum model_kind)kind),
			     model_count(scrape->telemetry->agent->model, (enum model_kind)kind));
}

static const double bucket_seconds[TELEMETRY_BUCKET_COUNT] = { 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
							       0.1,    0.25,  0.5,    1,     2.5,  5 };

void metrics_observe_propagation(struct telemetry *telemetry, uint64_t nanoseconds)
{
	size_t bucket = 0;

	while (bucket < TELEMETRY_BUCKET_COUNT && (double)nanoseconds / 1e9 > bucket_seconds[bucket])
		bucket++;
	telemetry->propagation[bucket]++;
	telemetry->propagation_ns += nanoseconds;
}

static void write_propagation(struct scrape *scrape, const struct metric *metric)
{
	const struct telemetry *telemetry = scrape->telemetry;
	uint64_t count = 0;

	for (size_t i = 0; i < TELEMETRY_BUCKET_COUNT; i++) {
		count += telemetry->propagation[i];
		put(scrape, "%s_bucket{le=\"%g\"} %llu\n", metric->name, bucket_seconds[i], (unsigned long long)count);
	}
	count += telemetry->propagation[TELEMETRY_BUCKET_COUNT];
	put(scrape, "%s_bucket{le=\"+Inf\"} %llu\n", metric->name, (unsigned long long)count);
	put(scrape, "%s_sum %.9f\n", metric->name, (double)telemetry->propagation_ns / 1e9);
	put(scrape, "%s_count %llu\n", metric->name, (unsigned long long)count);
}

static void write_build_info(struct scrape *scrape, const struct metric *metric)
{
	char escaped[256];

	put(scrape, "%s{version=\"%s\",map_layout=\"%d\",node=\"%s\"} 1\n", metric->name, WEFT_VERSION,
	    WEFT_ABI_VERSION,
	    label_escape(scrape->telemetry->agent->config->node_name, escaped, sizeof(escaped)));
}

static void write_ready(struct scrape *scrape, const struct metric *metric)
{
	put_count(scrape, metric, telemetry_ready(scrape->telemetry->agent));
}

static void write_uptime(struct scrape *scrape, const struct metric *metric)
{
	put(scrape, "%s %.3f\n", metric->name,
	    (double)(clock_now(CLOCK_REALTIME) - scrape->telemetry->agent->started) / 1e9);
}

static void write_start_time(struct scrape *scrape, const struct metric *metric)
{
	put(scrape, "%s %.3f\n", metric->name, (double)scrape->telemetry->agent->started / 1e9);
}

static void write_cpu(struct scrape *scrape, const struct metric *metric)
{
	struct rusage usage;

	if (!getrusage(RUSAGE_SELF, &usage))
		put(scrape, "%s %.6f\n", metric->name,
		    (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
			    (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
}

/* Field `counter` of /proc/self/statm, in pages. */
static void write_memory(struct scrape *scrape, const struct metric *metric)
{
	unsigned long long pages[2];
	FILE *file = fopen("/proc/self/statm", "re");

	if (!file)
		return;
	if (fscanf(file, "%llu %llu", &pages[0], &pages[1]) == 2)
		put_count(scrape, metric, pages[metric->counter] * (uint64_t)sysconf(_SC_PAGESIZE));
	fclose(file);
}

static void write_open_fds(struct scrape *scrape, const struct metric *metric)
{
	DIR *directory = opendir("/proc/self/fd");
	uint64_t count = 0;

	if (!directory)
		return;
	while (readdir(directory))
		count++;
	closedir(directory);
	put_count(scrape, metric, count - 3); /* ".", ".." and this directory */
}

static void write_max_fds(struct scrape *scrape, const struct metric *metric)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit))
		put_count(scrape, metric, limit.rlim_cur);
}

/* --- the table --- */

/*
 * Istio looks from the server: received is what came from the client, sent is the response. The maps look from the
 * source.
 */
#define RESPONSE offsetof(struct weft_traffic, received)
#define REQUEST offsetof(struct weft_traffic, sent)

#define TRAFFIC(name, help, counter, protocol) { name, "counter", help, write_traffic, counter, protocol }
#define OPENED offsetof(struct weft_traffic, opened)
#define CLOSED offsetof(struct weft_traffic, closed)

static const struct metric metrics[] = {
	TRAFFIC("istio_tcp_connections_opened_total", "TCP connections opened.", OPENED, IPPROTO_TCP),
	TRAFFIC("istio_tcp_connections_closed_total", "TCP connections closed.", CLOSED, IPPROTO_TCP),
	TRAFFIC("istio_tcp_sent_bytes_total", "Bytes that servers sent in TCP connections.", RESPONSE, IPPROTO_TCP),
	TRAFFIC("istio_tcp_received_bytes_total", "Bytes that servers received in TCP connections.", REQUEST,
		IPPROTO_TCP),
	TRAFFIC("weft_tcp_retransmits_total", "TCP segments sent again.", offsetof(struct weft_traffic, retransmits),
		IPPROTO_TCP),
	TRAFFIC("weft_udp_flows_opened_total", "UDP flows that began.", OPENED, IPPROTO_UDP),
	TRAFFIC("weft_udp_flows_closed_total", "UDP flows that ended.", CLOSED, IPPROTO_UDP),
	TRAFFIC("weft_udp_sent_bytes_total", "Bytes that servers sent in UDP flows.", RESPONSE, IPPROTO_UDP),
	TRAFFIC("weft_udp_received_bytes_total", "Bytes that servers received in UDP flows.", REQUEST, IPPROTO_UDP),
	TRAFFIC("weft_denied_total", "Connects and packets refused.", offsetof(struct weft_traffic, denied), 0),
	{ "weft_drops_total", "counter", "Packets and connects that the programs refused, by reason.", write_drops, 0 },
	{ "weft_dropped_bytes_total", "counter", "Bytes that the programs refused, by reason.", write_drops, 1 },
	{ "weft_bpf_errors_total", "counter", "Kernel helpers that failed in a program, by place.", write_errors },
	{ "weft_map_entries", "gauge", "Entries in a BPF map.", write_maps, 0 },
	{ "weft_map_capacity", "gauge", "Entries that a BPF map has room for.", write_maps, 1 },
	{ "weft_map_full_total", "counter", "Writes that found no room in a BPF map.", write_maps, 2 },
	{ "weft_bpf_program_run_seconds_total", "counter",
	  "Time spent in a BPF program; stays 0 unless sysctl kernel.bpf_stats_enabled is 1.", write_programs, 0 },
	{ "weft_bpf_program_runs_total", "counter",
	  "Runs of a BPF program; stays 0 unless sysctl kernel.bpf_stats_enabled is 1.", write_programs, 1 },
	{ "weft_short_way", "gauge", "Whether same-node packets go from interface to interface.", write_short_way },
	{ "weft_flow_records_total", "counter", "Flow records received from the kernel.", write_flows,
	  offsetof(struct flows_counters, recorded) },
	{ "weft_flow_records_malformed_total", "counter", "Flow records of a size that this agent does not know.",
	  write_flows,
	  offsetof(struct flows_counters, malformed) },
	{ "weft_flow_records_lost_total", "counter", "Flow records that found no room in the ring buffer.",
	  write_lost },
	{ "weft_flow_records_follower_lost_total", "counter", "Flow records that a slow reader of the API did not get.",
	  write_own,
	  offsetof(struct telemetry, follower_lost) },
	{ "weft_access_log_errors_total", "counter", "Lines that could not be written to the access log.",
	  write_access_log_errors },
	{ "weft_metrics_read_errors_total", "counter", "Kernel counters that could not be read.", write_own,
	  offsetof(struct telemetry, read_errors) },
	{ "weft_source_files", "gauge", "Files that objects come from.", write_source,
	  offsetof(struct source_counters, files) },
	{ "weft_source_ignored_objects_total", "counter", "Objects of kinds that Weft does not use.", write_source,
	  offsetof(struct source_counters, ignored_objects) },
	{ "weft_source_parse_errors_total", "counter", "Files or objects that could not be understood.", write_source,
	  offsetof(struct source_counters, parse_errors) },
	{ "weft_source_reloads_total", "counter", "Times that a file was read again.", write_source,
	  offsetof(struct source_counters, reloads) },
	{ "weft_source_problems", "gauge", "Files that cannot be understood now: their last good objects are in force.",
	  write_problems },
	{ "weft_objects", "gauge", "Objects in force.", write_objects },
	{ "weft_object_reports", "gauge", "Parts of objects that Weft does not honour; meshctl status names them.",
	  write_reports },
	{ "weft_propagation_seconds", "histogram", "From a change of an object until the kernel had it.",
	  write_propagation },
	{ "weft_ready", "gauge", "Whether policy is loaded.", write_ready },
	{ "weft_build_info", "gauge", "Version of the agent and of its map layout.", write_build_info },
	{ "weft_uptime_seconds", "gauge", "Time since the agent started.", write_uptime },
	{ "process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.", write_cpu },
	{ "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.", write_memory, 1 },
	{ "process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", write_memory, 0 },
	{ "process_open_fds", "gauge", "Number of open file descriptors.", write_open_fds },
	{ "process_max_fds", "gauge", "Maximum number of open file descriptors.", write_max_fds },
	{ "process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.",
	  write_start_time },
};

void metrics_write(struct telemetry *telemetry, struct evbuffer *out)
{
	struct scrape scrape = { .telemetry = telemetry, .out = out };

	count_read_error(&scrape, "weft_traffic", series_read(telemetry->agent, &scrape.series));
	for (size_t i = 0; i < sizeof(metrics) / sizeof(*metrics); i++) {
		put(&scrape, "# HELP %s %s\n# TYPE %s %s\n", metrics[i].name, metrics[i].help, metrics[i].name,
		    metrics[i].type);
		metrics[i].write(&scrape, &metrics[i]);
	}
	series_clear(&scrape.series);
}
