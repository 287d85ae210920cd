/* SPDX-License-Identifier: Apache-2.0 */
/* Flow records: JSON there and back, the text forms, filters, times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cjson/cJSON.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "telemetry/access_log.h"
#include "telemetry/flow_filter.h"
#include "util/addr.h"
#include "util/intern.h"

static struct flow sample(void)
{
	struct flow flow = {
		.time = UINT64_C(1800000000123456789),
		.type = WEFT_EVENT_DENY,
		.protocol = IPPROTO_TCP,
		.reporter = WEFT_REPORTER_DESTINATION,
		.reason = WEFT_REASON_POLICY_DENIED,
		.direction = WEFT_INGRESS,
		.rule_flags = WEFT_RULE_AUDIT | WEFT_RULE_WOULD_ALLOW,
		.tcp_flags = 0x12,
		.source = { .port = 40000, .identity = 77, .identity_name = intern("default/web"),
			   .namespace = intern("default"),
			    .pod = intern("web-1"), .node = intern("node-1"), .service_account = intern("web"),
			    .workload_kind = intern("Deployment"), .workload_name = intern("web"),
			    .labels = intern("app=web,version=v1") },
		.destination = { .port = 8080, .identity = WEFT_IDENTITY_WORLD, .identity_name = intern("world") },
		.service_port = 80,
		.service_namespace = intern("default"),
		.service_name = intern("api"),
		.rule = { 99, intern("NetworkPolicy"), intern("default"), intern("deny"),
			 intern("NetworkPolicy default/deny") },
		.audit_rule = { 98, NULL, NULL, NULL, intern("built in") },
		.node = intern("node-1"),
		.retransmits = 3,
		.srtt_us = 250,
		.pid = 4711,
		.netns_cookie = UINT64_MAX,
		.socket_cookie = UINT64_C(1) << 60,
		.sent = UINT64_C(1) << 54,
		.received = 12,
		.duration = 42,
	};

	addr_parse("fd00::1", &flow.source.addr);
	addr_parse("fd00::2", &flow.destination.addr);
	addr_parse("fd00::9", &flow.service_addr);
	return flow;
}

static void test_json_there_and_back(void **state)
{
	struct flow flow = sample(), again;
	cJSON *json = flow_to_json(&flow);
	char *text = cJSON_PrintUnformatted(json), reason[256];

	(void)state;
	assert_int_equal(flow_from_line(text, strlen(text), &again, reason), 0);
	/* strings are interned: equal records are equal bytes, but for padding */
	assert_int_equal(again.time, flow.time);
	assert_int_equal(again.type, flow.type);
	assert_int_equal(again.reason, flow.reason);
	assert_int_equal(again.rule_flags, flow.rule_flags);
	assert_int_equal(again.tcp_flags, flow.tcp_flags);
	assert_int_equal(again.reporter, flow.reporter);
	assert_int_equal(again.direction, flow.direction);
	assert_memory_equal(&again.source.addr, &flow.source.addr, sizeof(flow.source.addr));
	assert_ptr_equal(again.source.labels, flow.source.labels);
	assert_ptr_equal(again.source.pod, flow.source.pod);
	assert_ptr_equal(again.source.workload_kind, flow.source.workload_kind);
	assert_ptr_equal(again.destination.identity_name, flow.destination.identity_name);
	assert_memory_equal(&again.service_addr, &flow.service_addr, sizeof(flow.service_addr));
	assert_memory_equal(&again.rule, &flow.rule, sizeof(flow.rule));
	assert_ptr_equal(again.audit_rule.text, flow.audit_rule.text);
	assert_true(again.sent == flow.sent && again.netns_cookie == flow.netns_cookie &&
		    again.socket_cookie == flow.socket_cookie);
	assert_int_equal(again.srtt_us, 250);
	free(text);
	cJSON_Delete(json);
}

static const char *text_at(const cJSON *json, const char *a, const char *b)
{
	return cJSON_GetStringValue(cJSON_GetObjectItem(cJSON_GetObjectItem(cJSON_GetObjectItem(json, "flow"), a), b));
}

static void test_hubbles_names(void **state)
{
	struct flow flow = sample();
	cJSON *json = flow_to_json(&flow), *inner = cJSON_GetObjectItem(json, "flow"),
		*source = cJSON_GetObjectItem(inner, "source");

	(void)state;
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(inner, "time")), "2027-01-15T08:00:00.123456789Z");
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(inner, "verdict")), "DROPPED");
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(inner, "drop_reason_desc")), "POLICY_DENIED");
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(inner, "traffic_direction")), "INGRESS");
	assert_string_equal(text_at(json, "IP", "ipVersion"), "IPv6");
	assert_string_equal(text_at(json, "destination_service", "name"), "api");
	assert_string_equal(cJSON_GetArrayItem(cJSON_GetObjectItem(source, "labels"), 0)->valuestring, "k8s:app=web");
	assert_string_equal(
		cJSON_GetStringValue(cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(source, "workloads"),
									    0), "kind")),
		"Deployment");
	assert_true(cJSON_IsTrue(cJSON_GetObjectItem(
		cJSON_GetObjectItem(cJSON_GetObjectItem(cJSON_GetObjectItem(inner, "l4"), "TCP"), "flags"), "SYN")));
	cJSON_Delete(json);
}

static void test_records_of_others(void **state)
{
	static const char line[] =
		"{\"flow\":{\"time\":\"2026-01-31T12:00:00.5+02:00\",\"verdict\":\"DROPPED\",\"IP\":{\"source\":\"10.0.0.1\","
		"\"destination\":\"10.0.0.2\"},\"l4\":{\"UDP\":{\"source_port\":1,\"destination_port\":53}},\"is_reply\":true,"
		"\"ethernet\":{\"source\":\"x\"},\"source\":{\"identity\":5,\"labels\":[\"reserved:world\"]}}}";
	struct flow flow;
	char reason[256], text[FLOW_LINE_MAX];

	(void)state;
	assert_int_equal(flow_from_line(line, strlen(line), &flow, reason), 0);
	assert_int_equal(flow.type, WEFT_EVENT_DENY);
	assert_int_equal(flow.time, (UINT64_C(1769853600) * NANOSECONDS) + NANOSECONDS / 2);
	assert_non_null(strstr(flow_compact(&flow, text), "10.0.0.1:1 (ID:5) <- 10.0.0.2:53"));
}

static void expect_refused(const char *line, const char *field)
{
	struct flow flow;
	char reason[256] = "";

	assert_int_equal(flow_from_line(line, strlen(line), &flow, reason), -EINVAL);
	if (!strstr(reason, field))
		fail_msg("%s: \"%s\" does not name %s", line, reason, field);
}

#define AT "\"time\":\"2026-01-31T12:00:00Z\","

static void test_bad_records(void **state)
{
	(void)state;
	expect_refused("", "not JSON");
	expect_refused("[]", "not a JSON object");
	expect_refused("{}", "time");
	expect_refused("{\"time\":\"yesterday\"}", "time");
	expect_refused("{" AT "\"verdict\":5}", "verdict");
	expect_refused("{" AT "\"IP\":[]}", "IP");
	expect_refused("{" AT "\"IP\":{\"source\":\"10.0.0\"}}", "source");
	expect_refused("{" AT "\"l4\":{\"TCP\":{\"source_port\":70000}}}", "source_port");
	expect_refused("{" AT "\"l4\":{\"TCP\":{\"source_port\":1.5}}}", "source_port");
	expect_refused("{" AT "\"l4\":{\"carrier pigeon\":{}}}", "l4");
	expect_refused("{" AT "\"bytes_sent\":\"-1\"}", "bytes_sent");
	expect_refused("{" AT "\"bytes_sent\":\"18446744073709551616\"}", "bytes_sent");
	expect_refused("{" AT "\"source\":{\"labels\":[5]}}", "labels");
	expect_refused("{" AT "\"source\":{\"workloads\":[5]}}", "workloads");
	expect_refused("{" AT "\"event_type\":{\"name\":\"dance\"}}", "event_type");
	expect_refused("{" AT "\"drop_reason_desc\":\"MOOD\"}", "drop_reason_desc");
}

static void test_times(void **state)
{
	static const char *const bad[] = { "", "2026", "2026-01-31T12:00:00", "2026-01-31T12:00:00.Z",
					  "2026-01-31T12:00:00+25:00",
					   "1969-12-31T23:59:59Z", "9999-01-01T00:00:00Z", "2026-01-31T12:00:00Zx" };
	char text[FLOW_TIME_MAX];
	uint64_t time;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(flow_time_parse(bad[i], &time), -EINVAL);
	assert_int_equal(flow_time_parse("2026-01-31T12:00:00.000000001Z", &time), 0);
	assert_string_equal(flow_time_format(time, text), "2026-01-31T12:00:00.000000001Z");
	assert_int_equal(flow_time_parse("2026-01-31T12:00:00.1234567891234Z", &time), 0);
	assert_int_equal(time % NANOSECONDS, 123456789);
}

static void test_summaries(void **state)
{
	struct flow flow = sample();
	char text[FLOW_TEXT_MAX];

	(void)state;
	assert_string_equal(flow_summary(&flow, text),
			    "TCP denied: NetworkPolicy default/deny, service default/api:80");
	flow.type = WEFT_EVENT_AUDIT;
	assert_string_equal(flow_summary(&flow, text), "TCP would be allowed: built in");
	flow.type = WEFT_EVENT_CLOSE;
	flow.sent = 1234567;
	flow.duration = 90 * NANOSECONDS;
	assert_string_equal(flow_summary(&flow, text),
			    "TCP closed after 90.0 s, 1.2 MB out, 12 B in, RTT 0.25 ms, 3 retransmits");
	flow.type = WEFT_EVENT_FAIL;
	flow.reason = WEFT_REASON_NO_ENDPOINT;
	assert_string_equal(flow_summary(&flow, text),
			    "TCP not connected: the service has no endpoint, service default/api:80");
	assert_string_equal(flow_verdict(&flow), "ERROR");
	assert_string_equal(flow_end_format(&flow.destination, text), "[fd00::2]:8080");
	assert_string_equal(flow_identity_format(&flow.destination, text), "(world)");
}

/* Conditions separated by blanks. */
static bool matches(const char *conditions, const struct flow *flow)
{
	struct flow_filter *filter;
	char copy[512], reason[256], *rest = copy, *condition;
	bool result;

	snprintf(copy, sizeof(copy), "%s", conditions);
	assert_int_equal(flow_filter_new(&filter), 0);
	while ((condition = strsep(&rest, " ")))
		if (*condition && flow_filter_add(filter, condition, reason) < 0)
			fail_msg("%s: %s", condition, reason);
	result = flow_filter_matches(filter, flow);
	flow_filter_free(filter);
	return result;
}

static void test_filters(void **state)
{
	struct flow flow = sample();

	(void)state;
	assert_true(matches("", &flow));
	assert_true(flow_filter_matches(NULL, &flow));
	assert_true(matches("pod=default/web", &flow)); /* a prefix, as Hubble takes it */
	assert_true(matches("from-pod=web-1", &flow));
	assert_false(matches("to-pod=web-1", &flow));
	assert_false(matches("pod=other/web", &flow));
	assert_true(matches("pod=other/web pod=default/", &flow)); /* one name: alternatives */
	assert_false(matches("pod=default/web verdict=FORWARDED", &flow)); /* several: all */
	assert_true(matches("!verdict=FORWARDED !verdict=AUDIT", &flow));
	assert_false(matches("!pod=default/", &flow));
	assert_true(matches("namespace=default", &flow));
	assert_false(matches("namespace=def", &flow));
	assert_true(matches("label=app=web", &flow));
	assert_true(matches("label=app", &flow));
	assert_true(matches("from-label=version=v1,app=web", &flow));
	assert_false(matches("from-label=app=web,version=v2", &flow));
	assert_false(matches("label=ap", &flow));
	assert_true(matches("ip=fd00::/64", &flow));
	assert_true(matches("to-ip=fd00::2", &flow));
	assert_false(matches("ip=10.0.0.0/8", &flow));
	assert_true(matches("service=default/api", &flow));
	assert_false(matches("from-service=default/api", &flow));
	assert_true(matches("to-port=8080", &flow));
	assert_true(matches("to-port=80", &flow)); /* the service's */
	assert_false(matches("from-port=80", &flow));
	assert_true(matches("workload=web", &flow));
	assert_true(matches("identity=77", &flow));
	assert_true(matches("to-identity=world", &flow));
	assert_true(matches("node=node-1 from-node=node-1", &flow));
	assert_false(matches("to-node=node-1", &flow));
	assert_true(matches("protocol=tcp type=DENY drop-reason=policy_denied tls=false ip-version=6", &flow));
	assert_false(matches("ip-version=4", &flow));
}

static void test_bad_filters(void **state)
{
	static const char *const bad[] = { "",	      "pod",	    "pod=",	      "=x",	     "colour=red",
					   "from-verdict=DROPPED", "port=99999", "port=-1", "ip=10.0.0.0/33",
						   "verdict=MAYBE",
					   "protocol=carrier", "type=0", "tls=perhaps", "ip-version=5", "from-=x" };
	struct flow_filter *filter;
	char reason[256];

	(void)state;
	assert_int_equal(flow_filter_new(&filter), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (flow_filter_add(filter, bad[i], reason) != -EINVAL)
			fail_msg("%s was accepted", bad[i]);
	for (int i = 0; i < FLOW_FILTER_MAX; i++)
		assert_int_equal(flow_filter_add(filter, "port=1", reason), 0);
	assert_int_equal(flow_filter_add(filter, "port=1", reason), -E2BIG);
	flow_filter_free(filter);
}

static void test_access_log_follows_rotation(void **state)
{
	char directory[] = "/tmp/weft-test-XXXXXX", path[64], command[128];
	struct flow flow = sample();
	struct access_log *log;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/log", directory);
	assert_int_equal(access_log_open(&log, path), 0);
	access_log_write(log, &flow);
	access_log_flush(log);
	snprintf(command, sizeof(command), "mv %s/log %s/old", directory, directory);
	assert_int_equal(system(command), 0);
	assert_int_equal(access_log_reopen(log), 0);
	access_log_write(log, &flow);
	access_log_write(log, &flow);
	assert_int_equal(access_log_errors(log), 0);
	access_log_close(log);
	snprintf(command, sizeof(command), "test $(grep -c '^{.*}$' %s/old) = 1 && test $(grep -c '^{.*}$' %s/log) = 2",
		 directory,
		 directory);
	assert_int_equal(system(command), 0);
	assert_int_equal(access_log_open(&log, "/dev/full"), 0);
	access_log_write(log, &flow);
	access_log_flush(log);
	assert_int_equal(access_log_errors(log), 1);
	access_log_close(log);
	assert_int_equal(access_log_open(&log, "/nonexistent/log"), -ENOENT);
	snprintf(command, sizeof(command), "rm -r %s", directory);
	assert_int_equal(system(command), 0);
}

static int tear_down(void **state)
{
	(void)state;
	intern_free_all();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_there_and_back),
		cmocka_unit_test(test_hubbles_names),
		cmocka_unit_test(test_records_of_others),
		cmocka_unit_test(test_bad_records),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_summaries),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_bad_filters),
		cmocka_unit_test(test_access_log_follows_rotation),
	};

	return cmocka_run_group_tests(tests, NULL, tear_down);
}
