/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Prometheus text: label set, sums over CPUs and identities, Istio's point of view, and what promtool thinks of
 * it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <event2/buffer.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent_fixture.h"
#include "telemetry/metrics.h"
#include "telemetry/series.h"

static struct fixture fixture;

static int set_up(void **state)
{
	(void)state;
	fixture_open(&fixture);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fixture_close(&fixture);
	return 0;
}

/* The caller frees it. */
static char *scrape(void)
{
	struct evbuffer *out = evbuffer_new();
	size_t size;
	char *text;

	metrics_write(fixture.agent.telemetry, out);
	size = evbuffer_get_length(out);
	text = malloc(size + 1);
	evbuffer_remove(out, text, size);
	text[size] = '\0';
	evbuffer_free(out);
	return text;
}

static void expect_line(const char *text, const char *line)
{
	if (!strstr(text, line))
		fail_msg("not there: %s\n%s", line, text);
}

static const struct weft_traffic half = { .opened = 2, .closed = 1, .sent = 1000, .received = 50, .retransmits = 3 };

static void test_istio_label_set(void **state)
{
	struct weft_traffic_key key = { fixture.web, fixture.api, fixture.service, WEFT_REPORTER_SOURCE, IPPROTO_TCP, 0,
				       0 };
	char *text;

	(void)state;
	fixture_traffic(&fixture, &key, &half);
	text = scrape();
	expect_line(text,
		    "istio_tcp_connections_opened_total{reporter=\"source\",source_workload=\"web\",source_canonical_service=\"web\","
		    "source_canonical_revision=\"v1\",source_workload_namespace=\"default\",source_principal=\"unknown\","
		    "source_app=\"web\",source_version=\"v1\",source_cluster=\"Kubernetes\","
		    "destination_service=\"api.default.svc.cluster.local\",destination_service_namespace=\"default\","
		    "destination_service_name=\"api\",destination_workload=\"api\",destination_canonical_service=\"api\","
		    "destination_canonical_revision=\"latest\",destination_workload_namespace=\"default\","
		    "destination_principal=\"unknown\",destination_app=\"api\",destination_version=\"unknown\","
		    "destination_cluster=\"Kubernetes\",request_protocol=\"tcp\",response_flags=\"-\","
		    "connection_security_policy=\"unknown\"} 4\n");
	free(text);
}

/* The value of the one series of a metric that has all of `labels`. */
static double value_of(const char *text, const char *metric, const char *labels)
{
	const char *line = text;
	size_t length = strlen(metric);

	while ((line = strstr(line, metric))) {
		const char *end = strchr(line, '\n'), *found;

		if (line[length] == '{' && (line == text || line[-1] == '\n')) {
			found = strstr(line, labels);
			if (found && found < end)
				return strtod(strstr(line, "} ") + 2, NULL);
		}
		line = end;
	}
	fail_msg("%s with %s is not there\n%s", metric, labels, text);
	return 0;
}

static void test_istio_looks_from_the_server(void **state)
{
	struct weft_traffic_key key = { fixture.web, fixture.api, fixture.service, WEFT_REPORTER_SOURCE, IPPROTO_TCP, 0,
				       0 };
	char *text;

	(void)state;
	fixture_traffic(&fixture, &key, &half);
	text = scrape();
	assert_true(value_of(text, "istio_tcp_received_bytes_total", "source_workload=\"web\"") == 2000);
	assert_true(value_of(text, "istio_tcp_sent_bytes_total", "source_workload=\"web\"") == 100);
	assert_true(value_of(text, "istio_tcp_connections_closed_total", "source_workload=\"web\"") == 2);
	assert_true(value_of(text, "weft_tcp_retransmits_total", "source_workload=\"web\"") == 6);
	assert_null(strstr(text, "weft_udp_sent_bytes_total{"));
	free(text);
}

static void test_equal_labels_are_added(void **state)
{
	/* numbers that nothing names any more: both are "unknown" */
	struct weft_traffic_key one = { 999991, fixture.api, 0, WEFT_REPORTER_DESTINATION, IPPROTO_UDP, 0, 0 };
	struct weft_traffic_key two = { 999992, fixture.api, 0, WEFT_REPORTER_DESTINATION, IPPROTO_UDP, 0, 0 };
	struct weft_traffic_key denied = two, refused = two;
	const struct weft_traffic refusal = { .denied = 5 };
	char *text;

	(void)state;
	denied.reason = WEFT_REASON_POLICY_DENIED;
	refused.reason = WEFT_REASON_AUTHORIZATION_DENIED;
	fixture_traffic(&fixture, &one, &half);
	fixture_traffic(&fixture, &two, &half);
	fixture_traffic(&fixture, &denied, &refusal);
	fixture_traffic(&fixture, &refused, &refusal);
	text = scrape();
	assert_true(value_of(text, "weft_udp_received_bytes_total", "source_workload=\"unknown\"") == 4000);
	assert_true(value_of(text, "weft_udp_received_bytes_total",
			     "destination_service_namespace=\"default\"") == 4000);
	assert_true(value_of(text, "weft_denied_total", "response_flags=\"DENY\"") == 20);
	free(text);
}

static void test_mutual_tls_only_where_the_kernel_says_so(void **state)
{
	struct weft_traffic_key key = { fixture.web, fixture.api, 0, WEFT_REPORTER_SOURCE, IPPROTO_TCP, 0, 1 };
	char *text;

	(void)state;
	fixture_traffic(&fixture, &key, &half);
	text = scrape();
	value_of(text, "istio_tcp_sent_bytes_total", "connection_security_policy=\"mutual_tls\"");
	value_of(text, "istio_tcp_sent_bytes_total", "source_principal=\"spiffe://cluster.local/ns/default/sa/web\"");
	free(text);
}

static void test_own_metrics(void **state)
{
	int cpus = libbpf_num_possible_cpus();
	struct weft_drop *drops = calloc((size_t)cpus, sizeof(*drops));
	uint64_t *errors = calloc((size_t)cpus, sizeof(*errors));
	uint32_t index = WEFT_REASON_POLICY_DENIED * 2 + WEFT_INGRESS, lost = WEFT_PLACE_EVENT_RING_FULL;
	char *text;

	(void)state;
	drops[0].packets = drops[1].packets = 21;
	errors[1] = 9;
	assert_int_equal(bpf_map_update_elem(fixture.drops, &index, drops, BPF_ANY), 0);
	assert_int_equal(bpf_map_update_elem(fixture.errors, &lost, errors, BPF_ANY), 0);
	telemetry_loaded(3000000, fixture.agent.telemetry);
	telemetry_loaded(60 * NANOSECONDS, fixture.agent.telemetry);
	text = scrape();
	expect_line(text, "weft_drops_total{reason=\"POLICY_DENIED\",direction=\"ingress\"} 42\n");
	expect_line(text, "weft_drops_total{reason=\"POLICY_DENIED\",direction=\"egress\"} 0\n");
	expect_line(text, "weft_bpf_errors_total{place=\"EVENT_RING_FULL\"} 9\n");
	expect_line(text, "weft_flow_records_lost_total 9\n");
	expect_line(text, "weft_map_capacity{map=\"weft_services\"} 8\n");
	expect_line(text, "weft_map_full_total{map=\"weft_services\"} 2\n");
	expect_line(text, "weft_bpf_program_runs_total{program=\"connect4\"} 10\n");
	expect_line(text, "weft_propagation_seconds_bucket{le=\"0.0025\"} 0\n");
	expect_line(text, "weft_propagation_seconds_bucket{le=\"0.005\"} 1\n");
	expect_line(text, "weft_propagation_seconds_bucket{le=\"5\"} 1\n");
	expect_line(text, "weft_propagation_seconds_bucket{le=\"+Inf\"} 2\n");
	expect_line(text, "weft_objects{kind=\"Pod\"} 2\n");
	expect_line(text, "weft_short_way 1\n");
	expect_line(text, "weft_ready 1\n");
	free(text);
	free(drops);
	free(errors);
}

static void test_forgotten_identities_are_given_back(void **state)
{
	struct weft_traffic_key gone = { 999991, fixture.api, 0, 0, IPPROTO_TCP, 0, 0 };
	struct weft_traffic_key stays = { fixture.web, fixture.api, 0, 0, IPPROTO_TCP, 0, 0 };
	struct weft_traffic_key world = { WEFT_IDENTITY_WORLD, 0, 0, 0, IPPROTO_TCP, 0, 0 };
	struct traffic *items;
	size_t count;

	(void)state;
	fixture_traffic(&fixture, &gone, &half);
	fixture_traffic(&fixture, &stays, &half);
	fixture_traffic(&fixture, &world, &half);
	assert_int_equal(traffic_collect(&fixture.agent), 1);
	assert_int_equal(traffic_read(&fixture.agent, &items, &count), 0);
	assert_int_equal(count, 2);
	free(items);
}

static void test_many_series(void **state)
{
	struct series_list list;

	(void)state;
	/* more than one batch of the map; all of them collapse to two series */
	for (uint32_t i = 0; i < 3000; i++) {
		struct weft_traffic_key key = { 1000000 + i, fixture.api, 0, i % 2, IPPROTO_TCP, 0, 0 };

		fixture_traffic(&fixture, &key, &half);
	}
	assert_int_equal(series_read(&fixture.agent, &list), 0);
	assert_int_equal(list.count, 2);
	assert_int_equal(list.items[0].sum.opened, 6000);
	series_clear(&list);
}

static void test_label_values_are_escaped(void **state)
{
	char text[32];

	(void)state;
	assert_string_equal(label_escape("a\"b\\c\nd", text, sizeof(text)), "a\\\"b\\\\c\\nd");
	assert_string_equal(label_escape("\"\"\"\"", text, 6), "\\\"\\\""); /* never half an escape */
}

static void test_promtool(void **state)
{
	struct weft_traffic_key key = { fixture.web, fixture.api, fixture.service, 0, IPPROTO_TCP, 0, 0 };
	struct weft_traffic_key udp = { fixture.web, fixture.api, 0, 0, IPPROTO_UDP, WEFT_REASON_POLICY_DENIED, 0 };
	const struct weft_traffic refusal = { .denied = 5 };
	char output[8192];

	(void)state;
	fixture_traffic(&fixture, &key, &half);
	fixture_traffic(&fixture, &udp, &refusal);
	if (fixture_run(&fixture, output, sizeof(output),
			"command -v promtool >/dev/null || { echo promtool is missing: apt install prometheus; exit 1; }; "
			"curl -sS --max-time 10 http://%s/metrics >%s/scraped && promtool check metrics <%s/scraped",
			fixture.metrics_address, fixture.directory, fixture.directory) != 0 || *output)
		fail_msg("%s", output);
}

static void test_ready_follows_the_policy(void **state)
{
	const struct weft_control empty = { 0 };
	uint32_t zero = 0;
	char output[256];

	(void)state;
	fixture_run(&fixture, output, sizeof(output), "curl -s -o /dev/null -w '%%{http_code}' http://%s/readyz",
		    fixture.metrics_address);
	assert_string_equal(output, "200");
	bpf_map_update_elem(fixture.control, &zero, &empty, BPF_ANY);
	fixture_run(&fixture, output, sizeof(output), "curl -s -o /dev/null -w '%%{http_code}' http://%s/readyz",
		    fixture.metrics_address);
	assert_string_equal(output, "503");
	fixture_run(&fixture, output, sizeof(output), "curl -s http://%s/healthz", fixture.metrics_address);
	assert_string_equal(output, "ok\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_istio_label_set),
		TEST(test_istio_looks_from_the_server),
		TEST(test_equal_labels_are_added),
		TEST(test_mutual_tls_only_where_the_kernel_says_so),
		TEST(test_own_metrics),
		TEST(test_forgotten_identities_are_given_back),
		TEST(test_many_series),
		TEST(test_label_values_are_escaped),
		TEST(test_promtool),
		TEST(test_ready_follows_the_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
