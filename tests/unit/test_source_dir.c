/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "source/source.h"
#include "util/addr.h"
#include "util/intern.h"
#include "util/log.h"

#define WAIT_SECONDS 10

struct bench {
	char root[64];	/* of the test */
	char path[128]; /* the watched directory */
	struct event_base *base;
	struct model *model;
	struct source *source;
	int changes;
	bool timed_out;
};

/* --- files --- */

static const char *at(const struct bench *bench, const char *name)
{
	static char paths[2][PATH_MAX];
	static int turn;

	turn = !turn;
	snprintf(paths[turn], PATH_MAX, "%s/%s", bench->path, name);
	return paths[turn];
}

static void write_to(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
	assert_int_equal(fclose(file), 0);
}

static void write_file(const struct bench *bench, const char *name, const char *text)
{
	write_to(at(bench, name), text);
}

static void remove_tree(const char *path)
{
	struct dirent *entry;
	char inner[PATH_MAX];
	DIR *directory;

	if (!unlink(path) || errno == ENOENT)
		return;
	directory = opendir(path);
	assert_non_null(directory);
	while ((entry = readdir(directory))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
		remove_tree(inner);
	}
	closedir(directory);
	assert_int_equal(rmdir(path), 0);
}

/* A Service with one address: 10.0.0.N. */
static const char *service(const char *name, int number)
{
	static char texts[4][256];
	static int turn;

	turn = (turn + 1) % 4;
	snprintf(texts[turn], sizeof(texts[turn]),
		 "---\napiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: {clusterIP: 10.0.0.%d, ports: "
		 "[{port: 80}]}\n",
		 name, number);
	return texts[turn];
}

/* --- the source --- */

static void on_change(void *context) { ((struct bench *)context)->changes++; }

static int setup(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	assert_non_null(bench);
	strcpy(bench->root, "/tmp/weft-source-XXXXXX");
	assert_non_null(mkdtemp(bench->root));
	snprintf(bench->path, sizeof(bench->path), "%s/manifests", bench->root);
	assert_int_equal(mkdir(bench->path, 0700), 0);
	bench->base = event_base_new();
	assert_non_null(bench->base);
	assert_int_equal(model_new(&bench->model), 0);
	*state = bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	source_close(bench->source);
	model_free(bench->model);
	event_base_free(bench->base);
	remove_tree(bench->root);
	free(bench);
	return 0;
}

static void open_source(struct bench *bench)
{
	char spec[256];

	snprintf(spec, sizeof(spec), "dir:%s", bench->path);
	assert_int_equal(source_open(&bench->source, bench->base, bench->model, spec, on_change, bench), 0);
}

static void on_timeout(evutil_socket_t descriptor, short what, void *context)
{
	(void)descriptor;
	(void)what;
	((struct bench *)context)->timed_out = true;
}

/* Runs the loop until the condition holds. */
static void wait_until(struct bench *bench, bool (*holds)(struct bench *bench, const void *context),
		       const void *context)
{
	const struct timeval limit = { WAIT_SECONDS, 0 };
	struct event *timer = evtimer_new(bench->base, on_timeout, bench);

	bench->timed_out = false;
	evtimer_add(timer, &limit);
	while (!holds(bench, context) && !bench->timed_out)
		event_base_loop(bench->base, EVLOOP_ONCE);
	event_free(timer);
	assert_false(bench->timed_out);
}

/* --- conditions --- */

struct expected {
	const char *name;
	int number; /* of its address; 0: no such Service */
};

static int number_of(const struct bench *bench, const char *name)
{
	const struct service_object *object = (const struct service_object *)model_get(bench->model, MODEL_SERVICE,
										       "default", name);
	char text[ADDR_TEXT_MAX];

	return object && object->cluster_ip_count ? atoi(strrchr(addr_format(object->cluster_ips, text), '.') + 1) : 0;
}

static bool service_is(struct bench *bench, const void *context)
{
	const struct expected *expected = context;

	return number_of(bench, expected->name) == expected->number;
}

static void wait_for_service(struct bench *bench, const char *name, int number)
{
	wait_until(bench, service_is, &(struct expected){ name, number });
}

static int append_problem(const struct source_problem *problem, void *context)
{
	char *text = context;
	const char *slash = strrchr(problem->file, '/');

	snprintf(text + strlen(text), 1024 - strlen(text), "%s:%d: %s\n", slash + 1, problem->line, problem->reason);
	return 0;
}

static bool problems_start_with(struct bench *bench, const void *context)
{
	char text[1024] = "";

	source_each_problem(bench->source, append_problem, text);
	return *(const char *)context ? !strncmp(text, context, strlen(context)) : !*text;
}

static void wait_for_problems(struct bench *bench, const char *text) { wait_until(bench, problems_start_with, text); }

/* --- tests --- */

static void what_is_there_is_loaded_before_open_returns(void **state)
{
	struct bench *bench = *state;
	struct source_counters counters;
	char two[512];

	snprintf(two, sizeof(two), "%s%s", service("a", 1), service("b", 2));
	write_file(bench, "two.yaml", two);
	write_file(bench, "one.json",
		   "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{\"apiVersion\": \"v1\", \"kind\": "
		   "\"Service\","
		   "\"metadata\": {\"name\": \"c\"}, \"spec\": {\"clusterIP\": \"10.0.0.3\", \"ports\": [{\"port\": "
		   "80}]}}]}");
	write_file(bench, "other.yml", "{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}");
	write_file(bench, ".hidden.yaml", service("hidden", 4));
	write_file(bench, "notes.txt", "not a manifest");
	open_source(bench);
	assert_int_equal(number_of(bench, "a"), 1);
	assert_int_equal(number_of(bench, "b"), 2);
	assert_int_equal(number_of(bench, "c"), 3);
	assert_int_equal(model_count(bench->model, MODEL_SERVICE), 3);
	source_counters(bench->source, &counters);
	assert_int_equal(counters.files, 3);
	assert_int_equal(counters.objects, 3);
	assert_int_equal(counters.ignored_objects, 1);
	assert_int_equal(bench->changes, 0);
	event_base_loop(bench->base, EVLOOP_ONCE);
	assert_int_equal(bench->changes, 1);
	assert_true(problems_start_with(bench, ""));
}

static void wrong_specs_are_refused(void **state)
{
	struct bench *bench = *state;
	char spec[256];

	assert_int_equal(source_open(&bench->source, bench->base, bench->model, "file:x", on_change, bench), -EINVAL);
	assert_int_equal(source_open(&bench->source, bench->base, bench->model, "dir:", on_change, bench), -EINVAL);
	snprintf(spec, sizeof(spec), "dir:%s/none", bench->root);
	assert_int_equal(source_open(&bench->source, bench->base, bench->model, spec, on_change, bench), -ENOENT);
	write_file(bench, "file", "");
	snprintf(spec, sizeof(spec), "dir:%s/file", bench->path);
	assert_int_equal(source_open(&bench->source, bench->base, bench->model, spec, on_change, bench), -ENOTDIR);
	assert_null(bench->source);
}

static double milliseconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) * 1e3 + (double)(now.tv_nsec - start->tv_nsec) / 1e6;
}

static void edits_renames_and_deletions_take_effect(void **state)
{
	struct bench *bench = *state;
	struct timespec start;

	write_file(bench, "a.yaml", service("a", 1));
	open_source(bench);
	clock_gettime(CLOCK_MONOTONIC, &start);
	write_file(bench, "a.yaml", service("a", 2));
	wait_for_service(bench, "a", 2);
	print_message("edit: %.1f ms\n", milliseconds_since(&start));
	write_file(bench, ".a.yaml.tmp", service("a", 3));
	clock_gettime(CLOCK_MONOTONIC, &start);
	assert_int_equal(rename(at(bench, ".a.yaml.tmp"), at(bench, "a.yaml")), 0);
	wait_for_service(bench, "a", 3);
	print_message("rename: %.1f ms\n", milliseconds_since(&start));
	clock_gettime(CLOCK_MONOTONIC, &start);
	assert_int_equal(unlink(at(bench, "a.yaml")), 0);
	wait_for_service(bench, "a", 0);
	print_message("delete: %.1f ms\n", milliseconds_since(&start));
	write_file(bench, "b.yaml", service("b", 4));
	wait_for_service(bench, "b", 4);
	assert_int_equal(link(at(bench, "b.yaml"), at(bench, "z")), 0);
	assert_int_equal(unlink(at(bench, "b.yaml")), 0);
	wait_for_service(bench, "b", 0);
	assert_int_equal(link(at(bench, "z"), at(bench, "c.yaml")), 0);
	wait_for_service(bench, "b", 4);
	assert_int_equal(symlink("z", at(bench, "a.yaml")), 0);
	wait_for_problems(bench, "c.yaml:2: Service default/b is in a.yaml too");
}

static void an_object_that_leaves_its_file_goes(void **state)
{
	struct bench *bench = *state;
	char two[512];

	snprintf(two, sizeof(two), "%s%s", service("a", 1), service("b", 2));
	write_file(bench, "a.yaml", two);
	open_source(bench);
	write_file(bench, "a.yaml", service("b", 2));
	wait_for_service(bench, "a", 0);
	assert_int_equal(number_of(bench, "b"), 2);
	write_file(bench, "a.yaml", "");
	wait_for_service(bench, "b", 0);
}

/* As editors do that keep a backup: there must be no moment without the object. */
static void count_deletions(const struct object *old, const struct object *new, void *context)
{
	(void)old;
	*(int *)context += !new;
}

static void a_file_that_is_moved_away_and_written_anew_is_never_gone(void **state)
{
	struct bench *bench = *state;
	int deletions = 0;

	write_file(bench, "a.yaml", service("a", 1));
	open_source(bench);
	model_watch(bench->model, count_deletions, &deletions);
	assert_int_equal(rename(at(bench, "a.yaml"), at(bench, "a.yaml~")), 0);
	event_base_loop(bench->base, EVLOOP_ONCE);
	write_file(bench, "a.yaml", service("a", 2));
	assert_int_equal(unlink(at(bench, "a.yaml~")), 0);
	wait_for_service(bench, "a", 2);
	assert_int_equal(rename(at(bench, "a.yaml"), at(bench, "b.yaml")), 0);
	write_file(bench, "marker.yaml", service("marker", 9));
	wait_for_service(bench, "marker", 9);
	wait_for_problems(bench, "");
	assert_int_equal(number_of(bench, "a"), 2);
	assert_int_equal(deletions, 0);
}

static void a_file_with_an_error_keeps_what_it_said(void **state)
{
	struct bench *bench = *state;
	struct source_counters counters;
	char two[512];

	snprintf(two, sizeof(two), "%s%s", service("a", 1), service("b", 2));
	write_file(bench, "a.yaml", two);
	open_source(bench);
	write_file(bench, "a.yaml", "apiVersion: v1\nkind: [\n");
	wait_for_problems(bench, "a.yaml:3: ");
	assert_int_equal(number_of(bench, "a"), 1);
	assert_int_equal(number_of(bench, "b"), 2);
	snprintf(two, sizeof(two), "%s%s", service("a", 3), service("b", 256));
	write_file(bench, "a.yaml", two);
	wait_for_problems(bench, "a.yaml:7: Service b: spec.clusterIP: \"10.0.0.256\" is not an IP address\n");
	assert_int_equal(number_of(bench, "a"), 1);
	assert_int_equal(number_of(bench, "b"), 2);
	source_counters(bench->source, &counters);
	assert_int_equal(counters.parse_errors, 2);
	write_file(bench, "a.yaml", service("a", 3));
	wait_for_problems(bench, "");
	assert_int_equal(number_of(bench, "a"), 3);
	assert_int_equal(number_of(bench, "b"), 0);
}

static void of_a_file_that_was_never_right_the_right_objects_count(void **state)
{
	struct bench *bench = *state;
	char text[1024];

	snprintf(text, sizeof(text), "%s%s%s%s", service("a", 1), service("b", 300), service("c", 301),
		 service("a", 5));
	write_file(bench, "a.yaml", text);
	open_source(bench);
	assert_int_equal(number_of(bench, "a"), 1);
	assert_true(problems_start_with(
		bench,
		"a.yaml:7: Service b: spec.clusterIP: \"10.0.0.300\" is not an IP address (and 2 more in this file)"));
	write_file(bench, "a.yaml", "");
	wait_for_problems(bench, "");
	write_file(
		bench, "a.yaml",
		"kind: List\napiVersion: v1\nitems: [{kind: Pod, apiVersion: v1, metadata: {name: x}}, {kind: Pod}]\n");
	wait_for_problems(bench, "a.yaml:1: items[1]: Pod: apiVersion: is missing");
}

static void the_first_file_wins_and_the_second_takes_over(void **state)
{
	struct bench *bench = *state;

	write_file(bench, "b.yaml", service("a", 2));
	open_source(bench);
	assert_int_equal(number_of(bench, "a"), 2);
	write_file(bench, "c.yaml", service("a", 3));
	wait_for_problems(bench, "c.yaml:2: Service default/a is in b.yaml too, which comes first");
	assert_int_equal(number_of(bench, "a"), 2);
	write_file(bench, "a.yaml", service("a", 1));
	wait_for_service(bench, "a", 1);
	assert_true(problems_start_with(
		bench, "b.yaml:2: Service default/a is in a.yaml too, which comes first: it is not taken from here\n"
		       "c.yaml:2: Service default/a is in a.yaml too"));
	write_file(bench, "b.yaml", "]");
	wait_for_problems(bench, "b.yaml:1: did not");
	assert_int_equal(unlink(at(bench, "a.yaml")), 0);
	wait_for_service(bench, "a", 2);
	assert_int_equal(unlink(at(bench, "b.yaml")), 0);
	wait_for_service(bench, "a", 3);
	assert_true(problems_start_with(bench, ""));
}

static int append_report(enum model_kind kind, const char *namespace, const char *name, const char *text, void *context)
{
	(void)kind;
	(void)namespace;
	strcat(context, name);
	strcat(context, " ");
	strcat(context, text);
	strcat(context, "\n");
	return 0;
}

static bool reports_are(struct bench *bench, const void *context)
{
	char text[1024] = "";

	model_each_report(bench->model, append_report, text);
	return !strcmp(text, context);
}

static void unsupported_fields_are_reported_while_they_are_there(void **state)
{
	struct bench *bench = *state;
	const char *with = "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: None, colour: red}}";
	const char *without = "{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {clusterIP: None}}";

	write_file(bench, "a.yaml", with);
	open_source(bench);
	assert_true(reports_are(bench, "a spec: the field \"colour\" is not known and ignored\n"));
	write_file(bench, "a.yaml", without);
	wait_until(bench, reports_are, "");
	write_file(bench, "a.yaml", with);
	wait_until(bench, reports_are, "a spec: the field \"colour\" is not known and ignored\n");
	assert_int_equal(unlink(at(bench, "a.yaml")), 0);
	wait_until(bench, reports_are, "");
}

/* The layout of a ConfigMap volume: a.yaml -> ..data/a.yaml, ..data -> ..1, and an update moves ..data. */
static void a_config_map_volume_changes_at_once(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(mkdir(at(bench, "..1"), 0700), 0);
	write_file(bench, "..1/a.yaml", service("a", 1));
	assert_int_equal(symlink("..1", at(bench, "..data")), 0);
	assert_int_equal(symlink("..data/a.yaml", at(bench, "a.yaml")), 0);
	open_source(bench);
	assert_int_equal(number_of(bench, "a"), 1);
	assert_int_equal(mkdir(at(bench, "..2"), 0700), 0);
	write_file(bench, "..2/a.yaml", service("a", 2));
	assert_int_equal(symlink("..2", at(bench, "..data_tmp")), 0);
	assert_int_equal(rename(at(bench, "..data_tmp"), at(bench, "..data")), 0);
	wait_for_service(bench, "a", 2);
}

static void a_directory_that_vanished_keeps_its_word_until_it_is_back(void **state)
{
	struct bench *bench = *state;
	char away[256], parent[64];

	write_file(bench, "a.yaml", service("a", 1));
	write_file(bench, "b.yaml", service("b", 1));
	open_source(bench);
	snprintf(away, sizeof(away), "%s/away", bench->root);
	assert_int_equal(rename(bench->path, away), 0);
	wait_for_problems(bench, "manifests:0: the directory has vanished");
	assert_int_equal(number_of(bench, "a"), 1);
	assert_int_equal(mkdir(bench->path, 0700), 0);
	write_file(bench, "a.yaml", service("a", 2));
	wait_for_service(bench, "a", 2);
	wait_for_service(bench, "b", 0);
	wait_for_problems(bench, "");
	write_file(bench, "a.yaml", service("a", 3));
	wait_for_service(bench, "a", 3);
	/* with its parent, too */
	snprintf(parent, sizeof(parent), "%s", bench->root);
	snprintf(away, sizeof(away), "%s-away", bench->root);
	assert_int_equal(rename(parent, away), 0);
	wait_for_problems(bench, "manifests:0: the directory has vanished");
	assert_int_equal(rename(away, parent), 0);
	wait_for_problems(bench, "");
	assert_int_equal(number_of(bench, "a"), 3);
	write_file(bench, "a.yaml", service("a", 4));
	wait_for_service(bench, "a", 4);
}

static void a_directory_replaced_by_a_link_is_followed(void **state)
{
	struct bench *bench = *state;
	char one[256], two[256], next[256];

	snprintf(one, sizeof(one), "%s/one", bench->root);
	snprintf(two, sizeof(two), "%s/two", bench->root);
	snprintf(next, sizeof(next), "%s/next", bench->root);
	write_file(bench, "a.yaml", service("a", 1));
	assert_int_equal(rename(bench->path, one), 0);
	assert_int_equal(symlink("one", bench->path), 0);
	open_source(bench);
	assert_int_equal(mkdir(two, 0700), 0);
	strcat(two, "/a.yaml");
	write_to(two, service("a", 2));
	assert_int_equal(symlink("two", next), 0);
	assert_int_equal(rename(next, bench->path), 0);
	wait_for_service(bench, "a", 2);
}

static void what_is_no_file_is_a_problem_and_does_not_block(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(mkfifo(at(bench, "a.yaml"), 0600), 0);
	assert_int_equal(mkdir(at(bench, "b.yaml"), 0700), 0);
	write_file(bench, "c.yaml", service("c", 1));
	open_source(bench);
	assert_true(problems_start_with(bench, "a.yaml:0: not a regular file\nb.yaml:0: not a regular file\n"));
	assert_int_equal(number_of(bench, "c"), 1);
}

/* More events than fit into the kernel's queue, so that it overflows while nobody reads. */
static void an_overflow_of_events_loses_nothing(void **state)
{
	struct bench *bench = *state;
	FILE *limit = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
	long most = 0;

	assert_non_null(limit);
	assert_int_equal(fscanf(limit, "%ld", &most), 1);
	fclose(limit);
	if (most > 100000)
		skip();
	write_file(bench, "a.yaml", service("a", 1));
	open_source(bench);
	for (long i = 0; i <= most; i++) {
		/* two names in turn: equal events in a row are merged */
		int file = open(at(bench, i % 2 ? "noise1" : "noise2"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

		assert_true(file >= 0);
		close(file);
	}
	write_file(bench, "a.yaml", service("a", 2));
	write_file(bench, "b.yaml", service("b", 3));
	wait_for_service(bench, "a", 2);
	wait_for_service(bench, "b", 3);
}

/* --- size: not asserted, printed --- */

static void write_service_files(const struct bench *bench, int number)
{
	char name[64], text[8192];
	int length;

	snprintf(name, sizeof(name), "service-%05d.json", number);
	snprintf(text, sizeof(text),
		 "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"service-%d\",\"namespace\":\"ns-"
		 "%d\"},"
		 "\"spec\":{\"clusterIP\":\"10.96.%d.%d\",\"selector\":{\"app\":\"service-%d\"},\"ports\":[{\"name\":"
		 "\"http\",\"port\":80,\"targetPort\":8080}]}}",
		 number, number % 100, number / 256, number % 256, number);
	write_file(bench, name, text);
	snprintf(name, sizeof(name), "slice-%05d.json", number);
	length = snprintf(
		text, sizeof(text),
		"{\"apiVersion\":\"discovery.k8s.io/"
		"v1\",\"kind\":\"EndpointSlice\",\"metadata\":{\"name\":\"service-%d-x\",\"namespace\":\"ns-%d\","
		"\"labels\":{\"kubernetes.io/"
		"service-name\":\"service-%d\"}},\"addressType\":\"IPv4\",\"ports\":[{\"name\":\"http\",\"port\":8080}]"
		","
		"\"endpoints\":[",
		number, number % 100, number);
	for (int i = 0; i < 10; i++)
		length += snprintf(text + length, sizeof(text) - (size_t)length,
				   "%s{\"addresses\":[\"10.%d.%d.%d\"],\"conditions\":{\"ready\":true,\"serving\":true,"
				   "\"terminating\":false},"
				   "\"nodeName\":\"node-%d\",\"zone\":\"zone-%d\",\"targetRef\":{\"kind\":\"Pod\","
				   "\"namespace\":\"ns-%d\",\"name\":"
				   "\"service-%d-5d4f8c7b6-x%d\"}}",
				   i ? "," : "", 128 + i, number / 256, number % 256, number % 200, number % 3,
				   number % 100, number, i);
	snprintf(text + length, sizeof(text) - (size_t)length, "]}");
	write_file(bench, name, text);
}

static long resident_kilobytes(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long total, resident;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%ld %ld", &total, &resident), 2);
	fclose(file);
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void ten_thousand_services_are_loaded(void **state)
{
	const int services = getenv("WEFT_TEST_SERVICES") ? atoi(getenv("WEFT_TEST_SERVICES")) : 1000;
	struct bench *bench = *state;
	struct timespec start;
	struct rusage usage;
	long before;

	for (int i = 0; i < services; i++)
		write_service_files(bench, i);
	before = resident_kilobytes();
	clock_gettime(CLOCK_MONOTONIC, &start);
	open_source(bench);
	getrusage(RUSAGE_SELF, &usage);
	print_message("%d services, %d endpoints: %.0f ms, %ld KiB resident more, peak %ld KiB\n", services,
		      services * 10, milliseconds_since(&start), resident_kilobytes() - before, usage.ru_maxrss);
	assert_int_equal(model_count(bench->model, MODEL_SERVICE), services);
	assert_int_equal(model_count(bench->model, MODEL_ENDPOINT_SLICE), services);
}

static int free_strings(void **state)
{
	(void)state;
	intern_free_all();
	return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_there_is_loaded_before_open_returns),
		TEST(wrong_specs_are_refused),
		TEST(edits_renames_and_deletions_take_effect),
		TEST(an_object_that_leaves_its_file_goes),
		TEST(a_file_that_is_moved_away_and_written_anew_is_never_gone),
		TEST(a_file_with_an_error_keeps_what_it_said),
		TEST(of_a_file_that_was_never_right_the_right_objects_count),
		TEST(the_first_file_wins_and_the_second_takes_over),
		TEST(unsupported_fields_are_reported_while_they_are_there),
		TEST(a_config_map_volume_changes_at_once),
		TEST(a_directory_that_vanished_keeps_its_word_until_it_is_back),
		TEST(a_directory_replaced_by_a_link_is_followed),
		TEST(what_is_no_file_is_a_problem_and_does_not_block),
		TEST(an_overflow_of_events_loses_nothing),
		TEST(ten_thousand_services_are_loaded),
	};

	return cmocka_run_group_tests(tests, NULL, free_strings);
}
