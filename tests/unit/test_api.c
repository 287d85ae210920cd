/* SPDX-License-Identifier: Apache-2.0 */
/* The API as meshctl sees it: the real meshctl asks a real socket, answers come from the fixture's agent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <cjson/cJSON.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "agent_fixture.h"
#include "source/source.h"
#include "util/addr.h"
#include "util/log.h"

static struct fixture fixture;
static char output[1 << 20];

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

#define RUN(...) fixture_run(&fixture, output, sizeof(output), __VA_ARGS__)

static void expect_output(const char *text)
{
	if (!strstr(output, text))
		fail_msg("\"%s\" is not in:\n%s", text, output);
}

static void expect_no_output(const char *text)
{
	if (strstr(output, text))
		fail_msg("\"%s\" is in:\n%s", text, output);
}

static void add_flow(uint8_t type, uint8_t reason, uint64_t time)
{
	struct weft_event event = fixture_event(&fixture, type);

	event.reason = reason;
	event.rule = reason ? WEFT_RULE_ISOLATED : WEFT_RULE_OPEN;
	event.time = time;
	flows_add(fixture.agent.telemetry->flows, &event, 1800000000 * NANOSECONDS);
}

static void test_socket_is_private(void **state)
{
	struct stat info;
	char path[256];

	(void)state;
	snprintf(path, sizeof(path), "%s/weftd.sock", fixture.config.run_directory);
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0600);
}

static void test_status(void **state)
{
	(void)state;
	assert_int_equal(RUN("$MESHCTL status --wait --timeout 5"), 0);
	expect_output("on node node-1");
	expect_output("2 Pod");
	expect_output("weft_services is full: 8 of 8 entries; weftd --max-services makes room");
	expect_output("on (auto: nobody else is there)");
	assert_int_equal(RUN("$MESHCTL stat -o yaml"), 0);
	expect_output("policy_loaded: true");
	assert_int_equal(RUN("$MESHCTL status -o json"), 0);
	expect_output("\"ready\":\ttrue");
}

static void test_status_waits_no_longer_than_told(void **state)
{
	const struct weft_control empty = { 0 };
	uint32_t zero = 0;

	(void)state;
	bpf_map_update_elem(fixture.control, &zero, &empty, BPF_ANY);
	assert_int_equal(RUN("$MESHCTL status --wait --timeout 0"), 69);
	expect_output("has loaded no policy");
}

static void test_problems_have_file_and_line(void **state)
{
	(void)state;
	source_close(fixture.agent.source);
	assert_int_equal(RUN("printf 'kind: Pod\\nmetadata: [\\n' >%s/manifests/broken.yaml", fixture.directory), 0);
	assert_int_equal(source_open(&fixture.agent.source, fixture.agent.base, fixture.agent.model,
				     fixture.config.source,
				     free, NULL), 0);
	assert_int_equal(RUN("$MESHCTL status"), 0);
	expect_output("broken.yaml:");
	assert_int_equal(RUN("$MESHCTL check"), 79);
	expect_output("× all files are understood");
	expect_output("its last good objects stay in force");
}

static void test_get(void **state)
{
	(void)state;
	assert_int_equal(RUN("$MESHCTL get workloads"), 0);
	expect_output("default    web  web       10.1.0.1");
	expect_output("enforced");
	assert_int_equal(RUN("$MESHCTL get workloads -n nowhere"), 0);
	expect_output("No workloads in namespace nowhere.");
	assert_int_equal(RUN("$MESHCTL get services -o wide"), 0);
	expect_output("10.96.0.1");
	expect_output("80/TCP");
	assert_int_equal(RUN("$MESHCTL get policies"), 0);
	expect_output("NetworkPolicy  default    isolate  Ingress");
	assert_int_equal(RUN("$MESHCTL get nodes -o json"), 0);
	expect_output("\"this_node\":\ttrue");
	assert_int_equal(RUN("$MESHCTL get maps"), 0);
	expect_output("weft_conntrack");
	assert_int_equal(RUN("$MESHCTL get nonsense"), 64);
	expect_output("must be one of workloads|services|policies|connections|nodes|maps");
}

static void test_connections(void **state)
{
	struct weft_conn_key key = { .port = { htons(40000), htons(8080) }, .protocol = IPPROTO_TCP };
	struct weft_conn conn = { .tcp_flags = { 0x12, 0x12 }, .bytes = { 1500, 64000 }, .service_id = fixture.service,
				  .rule = { WEFT_RULE_OPEN, WEFT_RULE_ISOLATED } };

	(void)state;
	addr_parse("10.1.0.1", &key.addr[0]);
	addr_parse("10.1.0.2", &key.addr[1]);
	assert_int_equal(bpf_map_update_elem(fixture.conntrack, &key, &conn, BPF_ANY), 0);
	assert_int_equal(RUN("$MESHCTL get connections"), 0);
	expect_output("default/web  default/api  default/api  open");
	expect_output("64.0 kB");
	conn.initiator = 1;
	assert_int_equal(bpf_map_update_elem(fixture.conntrack, &key, &conn, BPF_ANY), 0);
	assert_int_equal(RUN("$MESHCTL get connections -n default"), 0);
	expect_output("default/api  default/web");
	assert_int_equal(RUN("$MESHCTL get connections -n other"), 0);
	expect_output("No connections");
}

static void test_explain(void **state)
{
	(void)state;
	assert_int_equal(RUN("$MESHCTL explain --from default/web --to svc/default/api --port 80"), 0);
	expect_output("denied: TCP port 80");
	expect_output("Service   default/api at 10.96.0.1:80");
	expect_output("POLICY_DENIED");
	assert_int_equal(RUN("$MESHCTL explain --from api --to web -n default --port 80"), 0);
	expect_output("allowed: TCP");
	assert_int_equal(RUN("$MESHCTL explain --from default/nobody --to default/web --port 80"), 65);
	expect_output("nobody");
	assert_int_equal(RUN("$MESHCTL explain --from default/web --to default/api --port 99999 -o json"), 65);
	expect_output("\"error\":\t{");
	assert_int_equal(RUN("$MESHCTL explain --from default/web --to default/api"), 65);
	expect_output("port is missing");
	assert_int_equal(RUN("$MESHCTL explain --from default/web"), 64);
}

static void test_observe(void **state)
{
	(void)state;
	add_flow(WEFT_EVENT_CONNECT, 0, 1 * NANOSECONDS);
	add_flow(WEFT_EVENT_DENY, WEFT_REASON_POLICY_DENIED, 2 * NANOSECONDS);
	add_flow(WEFT_EVENT_CLOSE, 0, 3 * NANOSECONDS);
	assert_int_equal(RUN("$MESHCTL observe"), 0);
	expect_output("Jan 15 08:00:01.000: default/web:40000 (ID:");
	expect_output(") -> default/api:8080 (ID:");
	expect_output(") connect FORWARDED (TCP connected in 0.21 ms, service default/api:80)");
	assert_int_equal(RUN("$MESHCTL observe --verdict DROPPED -o json"), 0);
	expect_output("\"drop_reason_desc\":\"POLICY_DENIED\"");
	expect_no_output("FORWARDED");
	assert_int_equal(RUN("$MESHCTL observe --not --verdict DROPPED --from-pod default/w --to-service api -o table"),
			 0);
	expect_no_output("DROPPED");
	expect_output("connect");
	assert_int_equal(RUN("$MESHCTL observe --last 1 -o dict"), 0);
	expect_output("TYPE: close");
	expect_no_output("TYPE: connect");
	assert_int_equal(RUN("$MESHCTL observe --first 1"), 0);
	expect_output("connect FORWARDED");
	expect_no_output("close FORWARDED");
	assert_int_equal(RUN("$MESHCTL observe --until 2027-01-15T08:00:01.5Z --all"), 0);
	expect_no_output("close FORWARDED");
	assert_int_equal(RUN("$MESHCTL observe -n nowhere -A --last 3 | wc -l"), 0);
	assert_string_equal(output, "3\n");
	assert_int_equal(RUN("$MESHCTL observe -n nowhere"), 0);
	assert_string_equal(output, "");
	assert_int_equal(RUN("$MESHCTL observe --port 99999"), 64);
	assert_int_equal(RUN("$MESHCTL observe --last 1 --all"), 64);
}

static void test_replay(void **state)
{
	(void)state;
	add_flow(WEFT_EVENT_CONNECT, 0, 1 * NANOSECONDS);
	add_flow(WEFT_EVENT_DENY, WEFT_REASON_POLICY_DENIED, 2 * NANOSECONDS);
	add_flow(WEFT_EVENT_CLOSE, 0, 3 * NANOSECONDS);
	/* what a file says is what the agent says */
	assert_int_equal(RUN("cd %s && $MESHCTL observe --all -o json >flows && $MESHCTL observe --all >one && "
			     "$MESHCTL observe --input-file flows >two && cmp one two && "
			     "$MESHCTL observe --last 2 --type deny --type close >one && "
			     "$MESHCTL observe --input-file - --last 2 --type deny --type close <flows >two && cmp one two",
			     fixture.directory), 0);
	assert_int_equal(RUN("cd %s && echo nonsense >>flows && $MESHCTL observe --input-file flows --first 1",
			     fixture.directory), 0);
	assert_int_equal(RUN("cd %s && $MESHCTL observe --input-file flows", fixture.directory), 65);
	expect_output("flows: line 4: not JSON; left out");
	expect_output("close FORWARDED");
	assert_int_equal(RUN("$MESHCTL observe --input-file /nonexistent"), 65);
}

static void test_trace(void **state)
{
	(void)state;
	add_flow(WEFT_EVENT_CONNECT, 0, 1 * NANOSECONDS);
	add_flow(WEFT_EVENT_CLOSE, 0, 2 * NANOSECONDS);
	add_flow(WEFT_EVENT_CONNECT, 0, 10 * NANOSECONDS);
	add_flow(WEFT_EVENT_REPORT, 0, 20 * NANOSECONDS);
	assert_int_equal(RUN("$MESHCTL trace 10.1.0.1:40000"), 0);
	expect_output("TCP default/web:40000");
	expect_output("began 2027-01-15T08:00:09.999790000Z");
	expect_output("+0.210 ms  source       connect");
	expect_output("report");
	expect_no_output("close"); /* that was the connection before, with the same ports */
	assert_int_equal(RUN("$MESHCTL trace 10.1.0.9:1"), 65);
	assert_int_equal(RUN("$MESHCTL trace web"), 64);
}

static void later_flow(evutil_socket_t fd, short what, void *context)
{
	(void)fd, (void)what, (void)context;
	add_flow(WEFT_EVENT_DENY, WEFT_REASON_POLICY_DENIED, 2 * NANOSECONDS);
}

static void test_follow(void **state)
{
	const struct timeval interval = { 0, 50000 };
	struct event *timer = event_new(fixture.agent.base, -1, EV_PERSIST, later_flow, NULL);

	(void)state;
	add_flow(WEFT_EVENT_CONNECT, 0, 1 * NANOSECONDS);
	event_add(timer, &interval);
	/* head ends after three lines, meshctl then finds its pipe closed, and the agent its reader gone */
	assert_int_equal(RUN("$MESHCTL observe -f --verdict DROPPED | head -n 3"), 0);
	event_free(timer);
	assert_non_null(strstr(output, "deny DROPPED"));
	expect_no_output("connect");
}

/* A reader that never reads: records are left out and counted, nothing waits. */
static void test_slow_reader_loses(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	static const char request[] = "GET /v1/flows?follow=1 HTTP/1.1\r\nHost: weftd\r\n\r\n";
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/weftd.sock", fixture.config.run_directory);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
	for (int i = 0; i < 20000 && !fixture.agent.telemetry->follower_lost; i++) {
		event_base_loop(fixture.agent.base, EVLOOP_NONBLOCK);
		add_flow(WEFT_EVENT_CONNECT, 0, 1 * NANOSECONDS);
	}
	assert_true(fixture.agent.telemetry->follower_lost > 0);
	close(fd);
	event_base_loop(fixture.agent.base, EVLOOP_NONBLOCK);
	add_flow(WEFT_EVENT_CONNECT, 0, 1 * NANOSECONDS);
}

static void test_top(void **state)
{
	struct weft_traffic_key source = { fixture.web, fixture.api, fixture.service, WEFT_REPORTER_SOURCE, IPPROTO_TCP,
					  0, 0 };
	struct weft_traffic_key destination = { fixture.web, fixture.api, 0, WEFT_REPORTER_DESTINATION, IPPROTO_TCP, 0,
					       0 };
	const struct weft_traffic half = { .opened = 5, .sent = 1000, .received = 50 };
	cJSON *json, *pairs;

	(void)state;
	fixture_traffic(&fixture, &source, &half);
	fixture_traffic(&fixture, &destination, &half);
	assert_int_equal(RUN("curl -sS --unix-socket %s/weftd.sock http://weftd/v1/top", fixture.config.run_directory),
			 0);
	json = cJSON_Parse(output);
	pairs = cJSON_GetObjectItem(json, "pairs");
	/* both ends of the same traffic: once */
	assert_int_equal(cJSON_GetArraySize(pairs), 1);
	assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(pairs->child, "service")), "default/api");
	assert_int_equal(cJSON_GetObjectItem(pairs->child, "sent_bytes")->valueint, 2000);
	cJSON_Delete(json);
	assert_int_equal(RUN("$MESHCTL top --interval 1 --count 1"), 0);
	expect_output("(no traffic)");
}

static void test_log_level(void **state)
{
	enum log_level before = log_get_level();

	(void)state;
	assert_int_equal(RUN("$MESHCTL log level debug && $MESHCTL log level"), 0);
	assert_string_equal(output, "debug\ndebug\n");
	assert_int_equal(log_get_level(), LOG_DEBUG);
	assert_int_equal(RUN("$MESHCTL log level loud"), 65);
	log_set_level(before);
}

static void test_sysdump_answers_in_the_agents_place(void **state)
{
	(void)state;
	add_flow(WEFT_EVENT_CONNECT, 0, 1 * NANOSECONDS);
	assert_int_equal(RUN("cd %s && $MESHCTL sysdump dump.json && stat -c %%a dump.json", fixture.directory), 0);
	expect_output("600");
	assert_int_equal(RUN("cd %s && unset WEFT_SOCKET && for asked in 'get workloads' 'get services' 'get policies' 'get connections' "
			     "'get nodes' 'get maps' status 'observe --all' 'trace 10.1.0.1:40000' 'version' 'log level'; do "
			     "$MESHCTL --file dump.json $asked || exit 1; done", fixture.directory), 0);
	expect_output("default/web:40000");
	assert_int_equal(RUN("$MESHCTL --file %s/dump.json explain --from a --to b --port 1", fixture.directory), 65);
	expect_output("a sysdump cannot answer this");
	assert_int_equal(RUN("echo '{}' >%s/x; $MESHCTL --file %s/x status", fixture.directory, fixture.directory), 65);
}

static void test_errors_of_the_api(void **state)
{
	(void)state;
	assert_int_equal(RUN("curl -sS --unix-socket %s/weftd.sock http://weftd/v1/nothing",
			     fixture.config.run_directory), 0);
	expect_output("\"code\":\"NOT_FOUND\"");
	RUN("curl -sS --unix-socket %s/weftd.sock -X PUT -d x http://weftd/v1/status", fixture.config.run_directory);
	expect_output("\"code\":\"BAD_METHOD\"");
	RUN("curl -sS --unix-socket %s/weftd.sock 'http://weftd/v1/flows?last=many'", fixture.config.run_directory);
	expect_output("last=\\\"many\\\": must be a number");
	/* too large a body is refused before it is read */
	RUN("head -c 100000 /dev/zero | curl -sS -o /dev/null -w '%%{http_code}' --unix-socket %s/weftd.sock -X PUT -H Expect: "
	    "--data-binary @- http://weftd/v1/log-level", fixture.config.run_directory);
	expect_output("413");
}

static void test_unreachable(void **state)
{
	(void)state;
	assert_int_equal(RUN("$MESHCTL --socket /nonexistent.sock status"), 69);
	expect_output("cannot reach weftd at /nonexistent.sock: No such file or directory");
	assert_int_equal(RUN("$MESHCTL --socket /nonexistent.sock status -o json | tee %s/error", fixture.directory),
			 0);
	expect_output("\"exit_status\":\t69");
	assert_int_equal(RUN("$MESHCTL version"), 0);
	expect_output("weftd   " WEFT_VERSION);
	assert_int_equal(RUN("$MESHCTL --socket /nonexistent.sock version"), 0);
	expect_output("not reached");
}

static void test_usage(void **state)
{
	(void)state;
	assert_int_equal(RUN("$MESHCTL"), 64);
	assert_int_equal(RUN("$MESHCTL --help"), 0);
	assert_int_equal(RUN("$MESHCTL nonsense"), 64);
	assert_int_equal(RUN("$MESHCTL t"), 64);
	expect_output("is the beginning of both top and trace");
	assert_int_equal(RUN("$MESHCTL -n default get nodes --nonsense"), 64);
	assert_int_equal(RUN("for command in status check observe get explain top trace log sysdump completion version help; do "
			     "$MESHCTL $command --help >/dev/null || exit 1; done"), 0);
}

/* What the shells themselves say about the scripts; zsh and fish where they are installed. */
static void test_completion(void **state)
{
	(void)state;
	assert_int_equal(RUN("$MESHCTL completion bash >%s/c && bash -c 'source %s/c; COMP_WORDS=(meshctl get w); COMP_CWORD=2; _meshctl; "
			     "echo ${COMPREPLY[@]}; COMP_WORDS=(meshctl -n x observe --verd); COMP_CWORD=4; _meshctl; echo ${COMPREPLY[@]}; "
			     "COMP_WORDS=(meshctl get nodes -o ya); COMP_CWORD=4; _meshctl; echo ${COMPREPLY[@]}'",
			     fixture.directory, fixture.directory), 0);
	assert_string_equal(output, "workloads\n--verdict\nyaml\n");
	assert_int_equal(RUN("$MESHCTL completion zsh >%s/c && { ! command -v zsh >/dev/null || zsh -n %s/c; }",
			     fixture.directory,
			     fixture.directory), 0);
	assert_int_equal(RUN("$MESHCTL completion fish >%s/c && { ! command -v fish >/dev/null || fish -n %s/c; }",
			     fixture.directory,
			     fixture.directory), 0);
	assert_int_equal(RUN("$MESHCTL completion tcsh"), 64);
}

static void test_man_page(void **state)
{
	(void)state;
	assert_int_equal(RUN("$MESHCTL man >%s/m && { ! command -v groff >/dev/null || groff -man -ww -z %s/m; }",
			     fixture.directory,
			     fixture.directory), 0);
	assert_string_equal(output, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_socket_is_private),
		TEST(test_status),
		TEST(test_status_waits_no_longer_than_told),
		TEST(test_problems_have_file_and_line),
		TEST(test_get),
		TEST(test_connections),
		TEST(test_explain),
		TEST(test_observe),
		TEST(test_replay),
		TEST(test_trace),
		TEST(test_follow),
		TEST(test_slow_reader_loses),
		TEST(test_top),
		TEST(test_log_level),
		TEST(test_sysdump_answers_in_the_agents_place),
		TEST(test_errors_of_the_api),
		TEST(test_unreachable),
		TEST(test_usage),
		TEST(test_completion),
		TEST(test_man_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
