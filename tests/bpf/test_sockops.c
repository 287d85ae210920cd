/* SPDX-License-Identifier: Apache-2.0 */
/* bpf/sockops.bpf.c and bpf/report.bpf.c: what is counted and recorded of real connections, exactly. */
#include "bed.h"

#include <sys/ioctl.h>

#define EACH_KIND(kind) for (enum kind kind = V4; kind < KINDS; kind++)
#define SENT 1000
#define RECEIVED 3000

struct connection {
	int listener, client, server;
};

static struct connection establish(enum kind kind)
{
	struct connection connection = { .listener = serve(kind, bed.server_ns, SOCK_STREAM, backend_addr(kind, 3)) };

	put_service(kind, IPPROTO_TCP, WEFT_RANDOM, 3, 1, 0);
	connection.client = dial(kind, SOCK_STREAM, service_name(kind));
	assert_true(connection.client >= 0);
	connection.server = accept(connection.listener, NULL, NULL);
	assert_true(connection.server >= 0);
	return connection;
}

static void transfer(int from, int to, size_t bytes)
{
	char *data = calloc(1, bytes);

	assert_non_null(data);
	assert_int_equal(send(from, data, bytes, 0), bytes);
	assert_int_equal(recv(to, data, bytes, MSG_WAITALL), bytes);
	free(data);
}

static struct weft_traffic client_traffic(void)
{
	return traffic(WEFT_REPORTER_SOURCE, SERVICE_ID, IPPROTO_TCP, SERVER_IDENTITY, WEFT_REASON_NONE);
}

static struct weft_traffic server_traffic(void)
{
	return traffic(WEFT_REPORTER_DESTINATION, 0, IPPROTO_TCP, SERVER_IDENTITY, WEFT_REASON_NONE);
}

/* Source and destination are the initiator's and the other's, whoever tells. */
static void assert_orientation(const struct weft_event *event, enum kind kind)
{
	struct weft_addr client = client_addr(kind), server = backend_addr(kind, 3);

	assert_true(addr_equal(&event->source, &client));
	assert_true(addr_equal(&event->destination, &server));
	assert_int_equal(event->destination_port, htons(BACKEND_PORT));
	assert_true(event->source_port != 0 && event->socket_cookie != 0);
	assert_int_equal(event->source_identity, CLIENT_IDENTITY);
	assert_int_equal(event->destination_identity, SERVER_IDENTITY);
	assert_int_equal(event->protocol, IPPROTO_TCP);
}

static void put_tracked(const struct weft_event *connect, uint32_t rule)
{
	struct weft_conn_key key = { .protocol = IPPROTO_TCP };
	struct weft_conn conn = { .rule = { RULE_ALLOW, rule } };
	int first = memcmp(&connect->source, &connect->destination, sizeof(connect->source)) > 0;

	key.addr[first] = connect->source;
	key.port[first] = connect->source_port;
	key.addr[!first] = connect->destination;
	key.port[!first] = connect->destination_port;
	put("weft_conntrack", &key, &conn);
}

static void both_ends_report_what_was_established(void **state)
{
	(void)state;
	EACH_KIND(kind) {
		struct weft_addr service = service_addr(kind);
		struct connection connection;
		const struct weft_event *event;
		struct weft_backend backend;

		tables_reset(NULL);
		connection = establish(kind);
		event = wait_event(WEFT_EVENT_CONNECT, WEFT_REPORTER_SOURCE);
		assert_orientation(event, kind);
		assert_true(event->netns_cookie == bed.client_cookie);
		assert_true(addr_equal(&event->service, &service));
		assert_int_equal(event->service_port, htons(SERVICE_PORT));
		assert_int_equal(event->service_id, SERVICE_ID);
		assert_int_equal(event->rule, RULE_ALLOW);
		assert_int_equal(event->direction, WEFT_EGRESS);
		assert_int_equal(event->pid, getpid());
		assert_true(event->duration > 0);
		event = wait_event(WEFT_EVENT_ACCEPT, WEFT_REPORTER_DESTINATION);
		assert_orientation(event, kind);
		assert_true(event->netns_cookie == bed.server_cookie);
		assert_int_equal(event->direction, WEFT_INGRESS);
		assert_int_equal(client_traffic().opened, 1);
		assert_int_equal(client_traffic().closed, 0);
		assert_int_equal(server_traffic().opened, 1);
		backend = backend_state(kind, 3, IPPROTO_TCP);
		assert_int_equal(backend.opened, 1);
		assert_int_equal(backend.active, 1);
		assert_true(backend.last_used > 0);
		close(connection.client);
		close(connection.server);
		close(connection.listener);
	}
}

/* Of the server's side, the program at the interface knows the rule: here it is played by hand for a known source port. */
static void an_accept_names_the_rule_that_let_it_in(void **state)
{
	(void)state;
	EACH_KIND(kind) {
		struct name name = make_name(kind, client_addr(kind), (uint16_t)(33000 + kind)), service = service_name(kind);
		int listener = serve(kind, bed.server_ns, SOCK_STREAM, backend_addr(kind, 3)), client;
		struct weft_event expected = {
			.source = client_addr(kind), .source_port = htons((uint16_t)(33000 + kind)),
			.destination = backend_addr(kind, 3), .destination_port = htons(BACKEND_PORT),
		};

		forget_events();
		put_tracked(&expected, 77);
		put_service(kind, IPPROTO_TCP, WEFT_RANDOM, 3, 1, 0);
		client = make_socket(kind, SOCK_STREAM);
		assert_int_equal(bind(client, sa(&name), name.size), 0);
		assert_int_equal(connect(client, sa(&service), service.size), 0);
		assert_int_equal(wait_event(WEFT_EVENT_ACCEPT, WEFT_REPORTER_DESTINATION)->rule, 77);
		close(client);
		close(listener);
	}
}

enum ending { CLIENT_FIRST, SERVER_FIRST, CLIENT_RESETS, SERVER_RESETS, ENDINGS };

static void reset(int fd)
{
	const struct linger none = { .l_onoff = 1 };

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none)), 0);
	close(fd);
}

/* The one that waits reads the end of the stream before it closes, so both orders are what they say. */
static void end(struct connection *connection, enum ending ending)
{
	bool server_first = ending == SERVER_FIRST || ending == SERVER_RESETS;
	int first = server_first ? connection->server : connection->client;
	int second = server_first ? connection->client : connection->server;
	char byte;

	if (ending == CLIENT_RESETS || ending == SERVER_RESETS) {
		reset(first);
		assert_int_equal(recv(second, &byte, 1, 0), -1);
		assert_int_equal(errno, ECONNRESET);
	} else {
		close(first);
		assert_int_equal(recv(second, &byte, 1, 0), 0);
	}
	close(second);
	close(connection->listener);
}

static void bytes_are_exact_however_it_ends(void **state)
{
	(void)state;
	EACH_KIND(kind)
		for (enum ending ending = CLIENT_FIRST; ending < ENDINGS; ending++) {
			struct connection connection;

			tables_reset(NULL);
			connection = establish(kind);
			transfer(connection.client, connection.server, SENT);
			transfer(connection.server, connection.client, RECEIVED);
			end(&connection, ending);
			for (uint8_t reporter = WEFT_REPORTER_SOURCE; reporter <= WEFT_REPORTER_DESTINATION; reporter++) {
				const struct weft_event *event = wait_event(WEFT_EVENT_CLOSE, reporter);
				struct weft_traffic sum = reporter == WEFT_REPORTER_SOURCE ? client_traffic() : server_traffic();

				assert_orientation(event, kind);
				assert_int_equal(event->sent, SENT);
				assert_int_equal(event->received, RECEIVED);
				assert_true(event->duration > 0);
				assert_int_equal(sum.closed, 1);
				assert_int_equal(sum.sent, SENT);
				assert_int_equal(sum.received, RECEIVED);
			}
			assert_int_equal(backend_state(kind, 3, IPPROTO_TCP).active, 0);
		}
}

static void a_connection_that_fails_is_reported(void **state)
{
	(void)state;
	EACH_KIND(kind) {
		const struct weft_event *event;
		struct weft_traffic sum;

		tables_reset(NULL);
		put_service(kind, IPPROTO_TCP, WEFT_RANDOM, 5, 1, 0);
		assert_int_equal(dial(kind, SOCK_STREAM, service_name(kind)), -ECONNREFUSED);
		event = wait_event(WEFT_EVENT_FAIL, WEFT_REPORTER_SOURCE);
		assert_int_equal(event->reason, WEFT_REASON_CONNECT_FAILED);
		assert_int_equal(event->service_id, SERVICE_ID);
		assert_null(find_event(WEFT_EVENT_CLOSE, WEFT_REPORTER_SOURCE));
		sum = traffic(WEFT_REPORTER_SOURCE, SERVICE_ID, IPPROTO_TCP, SERVER_IDENTITY, WEFT_REASON_CONNECT_FAILED);
		assert_int_equal(sum.opened, 1);
		assert_int_equal(sum.closed, 1);
		assert_int_equal(client_traffic().opened, 0);
		assert_int_equal(backend_state(kind, 5, IPPROTO_TCP).failed, 1);
		assert_int_equal(backend_state(kind, 5, IPPROTO_TCP).opened, 0);
	}
}

/* connect(AF_UNSPEC) ends a connection; the socket may then be used for another. */
static void one_socket_two_connections(void **state)
{
	(void)state;
	EACH_KIND(kind) {
		const struct sockaddr unspecified = { .sa_family = AF_UNSPEC };
		struct name service = service_name(kind);
		struct connection connection;

		tables_reset(NULL);
		connection = establish(kind);
		transfer(connection.client, connection.server, SENT);
		assert_int_equal(connect(connection.client, &unspecified, sizeof(unspecified)), 0);
		assert_int_equal(wait_event(WEFT_EVENT_CLOSE, WEFT_REPORTER_SOURCE)->sent, SENT);
		close(connection.server);
		forget_events();
		assert_int_equal(connect(connection.client, sa(&service), service.size), 0);
		connection.server = accept(connection.listener, NULL, NULL);
		transfer(connection.client, connection.server, 7);
		end(&connection, CLIENT_FIRST);
		assert_int_equal(wait_event(WEFT_EVENT_CLOSE, WEFT_REPORTER_SOURCE)->sent, 7);
		assert_int_equal(client_traffic().opened, 2);
		assert_int_equal(client_traffic().closed, 2);
		assert_int_equal(client_traffic().sent, SENT + 7);
	}
}

static void records_can_be_switched_off_and_counters_go_on(void **state)
{
	(void)state;
	EACH_KIND(kind) {
		struct connection connection;

		tables_reset(NULL);
		put_control(1, WEFT_CONTROL_NO_CONNECT_EVENTS, 0);
		connection = establish(kind);
		transfer(connection.client, connection.server, SENT);
		end(&connection, SERVER_RESETS);
		assert_int_equal(count_events(), 0);
		assert_int_equal(client_traffic().opened, 1);
		assert_int_equal(client_traffic().sent, SENT);
	}
}

/* Reads an iterator to its end in namespace `ns`; the records go to `ret`, their size is returned. */
static size_t iterate(const char *name, int ns, void *ret, size_t room)
{
	struct bpf_link *link = bpf_program__attach_iter(bpf_object__find_program_by_name(bed.report, name), NULL);
	size_t size = 0;
	ssize_t length;
	int fd;

	assert_non_null(link);
	enter(ns);
	fd = bpf_iter_create(bpf_link__fd(link));
	assert_true(fd >= 0);
	while ((length = read(fd, (char *)ret + size, room - size)) > 0)
		size += (size_t)length;
	assert_int_equal(length, 0);
	close(fd);
	enter(bed.client_ns);
	bpf_link__destroy(link);
	return size;
}

static void report_both(void)
{
	char nothing[16];

	assert_int_equal(iterate("report_tcp", bed.client_ns, nothing, sizeof(nothing)), 0);
	assert_int_equal(iterate("report_tcp", bed.server_ns, nothing, sizeof(nothing)), 0);
}

static void long_connections_report_and_no_byte_counts_twice(void **state)
{
	(void)state;
	EACH_KIND(kind) {
		struct connection connection;

		tables_reset(NULL);
		connection = establish(kind);
		transfer(connection.client, connection.server, SENT);
		report_both();
		assert_int_equal(client_traffic().sent, SENT);
		assert_int_equal(server_traffic().sent, SENT);
		ring_buffer__consume(bed.ring);
		assert_null(find_event(WEFT_EVENT_REPORT, WEFT_REPORTER_SOURCE)); /* it may be brand new */
		transfer(connection.server, connection.client, RECEIVED);
		report_both();
		for (uint8_t reporter = WEFT_REPORTER_SOURCE; reporter <= WEFT_REPORTER_DESTINATION; reporter++) {
			const struct weft_event *event = wait_event(WEFT_EVENT_REPORT, reporter);

			assert_orientation(event, kind);
			assert_int_equal(event->sent, SENT);
			assert_int_equal(event->received, RECEIVED);
		}
		assert_int_equal(client_traffic().received, RECEIVED);
		transfer(connection.client, connection.server, 7);
		end(&connection, CLIENT_FIRST);
		wait_event(WEFT_EVENT_CLOSE, WEFT_REPORTER_SOURCE);
		wait_event(WEFT_EVENT_CLOSE, WEFT_REPORTER_DESTINATION);
		report_both();
		assert_int_equal(client_traffic().sent, SENT + 7);
		assert_int_equal(client_traffic().received, RECEIVED);
		assert_int_equal(server_traffic().sent, SENT + 7);
		assert_int_equal(server_traffic().received, RECEIVED);
	}
}

static void udp_sockets_of_services_are_listed(void **state)
{
	(void)state;
	EACH_KIND(kind) {
		struct weft_addr backend = backend_addr(kind, 2), service = service_addr(kind), client = client_addr(kind);
		struct name direct = make_name(kind, backend, BACKEND_PORT);
		struct weft_udp_socket listed[4];
		struct name own = { .size = sizeof(own.storage) };
		socklen_t size = sizeof(listed[0].cookie);
		uint64_t cookie;
		int fd, other;

		put_service(kind, IPPROTO_UDP, WEFT_RANDOM, 2, 1, 0);
		fd = dial(kind, SOCK_DGRAM, service_name(kind));
		other = dial(kind, SOCK_DGRAM, direct);
		assert_true(fd >= 0 && other >= 0);
		assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size), 0);
		assert_int_equal(getsockname(fd, sa(&own), &own.size), 0);
		assert_int_equal(iterate("list_udp", bed.client_ns, listed, sizeof(listed)), sizeof(listed[0]));
		assert_true(listed[0].cookie == cookie);
		assert_true(addr_equal(&listed[0].local_addr, &client));
		assert_true(addr_equal(&listed[0].backend_addr, &backend));
		assert_true(addr_equal(&listed[0].service_addr, &service));
		assert_int_equal(listed[0].local_port, ((struct sockaddr_in *)&own.storage)->sin_port);
		assert_int_equal(listed[0].backend_port, htons(BACKEND_PORT));
		assert_int_equal(listed[0].service_port, htons(SERVICE_PORT));
		assert_int_equal(listed[0].family, kind == V4 ? AF_INET : AF_INET6);
		assert_int_equal(listed[0].ifindex, 0);
		assert_int_equal(iterate("list_udp", bed.server_ns, listed, sizeof(listed)), 0);
		assert_int_equal(connect(fd, sa(&direct), direct.size), 0);
		assert_int_equal(iterate("list_udp", bed.client_ns, listed, sizeof(listed)), 0);
		close(fd);
		close(other);
	}
}

static void a_full_ring_loses_records_and_not_counts(void **state)
{
	uint64_t before = errors();
	unsigned int connections = 0;

	(void)state;
	tables_reset(NULL);
	while (errors() == before) { /* 4 records each, and the ring holds 27,000 */
		struct connection connection;

		assert_in_range(++connections, 1, 20000);
		connection = establish(V4);
		end(&connection, CLIENT_RESETS);
	}
	assert_int_equal(client_traffic().opened, connections);
	assert_int_equal(client_traffic().closed, connections);
	assert_int_equal(server_traffic().opened, connections);
}

static void nothing_else_was_lost(void **state)
{
	(void)state;
	assert_int_equal(errors(), 0);
}

/* --- cost, shown and not judged --- */

static int compare(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return a < b ? -1 : a > b;
}

/* The median: other programs run on this machine too. */
static double connection_cost(enum kind kind, struct name name, int listener)
{
	enum { COUNT = 2000 };
	static uint64_t times[COUNT];

	for (int i = 0; i < COUNT; i++) {
		int fd = make_socket(kind, SOCK_STREAM);
		uint64_t start = now();

		if (connect(fd, sa(&name), name.size))
			fail_msg("%s", strerror(errno));
		times[i] = now() - start;
		close(accept(listener, NULL, NULL));
		reset(fd);
		if (i % 100 == 0)
			forget_events();
	}
	qsort(times, COUNT, sizeof(*times), compare);
	return (double)times[COUNT / 2];
}

static void connect_costs(void **state)
{
	(void)state;
	put_control(1, 0, UINT32_MAX); /* the agent is not woken for each record */
	for (enum kind kind = V4; kind < MAPPED; kind++) {
		struct name direct = make_name(kind, backend_addr(kind, 3), BACKEND_PORT);
		int listener = serve(kind, bed.server_ns, SOCK_STREAM, backend_addr(kind, 3));
		double service, none, meshed;

		put_service(kind, IPPROTO_TCP, WEFT_RANDOM, 3, 1, 0);
		service = connection_cost(kind, service_name(kind), listener);
		meshed = connection_cost(kind, direct, listener);
		detach_all();
		none = connection_cost(kind, direct, listener);
		attach(bed.connect);
		attach(bed.sockops);
		print_message("TCP connect() over IPv%d: %.0f ns without programs, %+.0f ns in the mesh, %+.0f ns to a service\n",
			      kind == V6 ? 6 : 4, none, meshed - none, service - none);
		close(listener);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, tables_reset)
	const struct CMUnitTest tests[] = {
		TEST(both_ends_report_what_was_established),
		TEST(an_accept_names_the_rule_that_let_it_in),
		TEST(bytes_are_exact_however_it_ends),
		TEST(a_connection_that_fails_is_reported),
		TEST(one_socket_two_connections),
		TEST(records_can_be_switched_off_and_counters_go_on),
		TEST(long_connections_report_and_no_byte_counts_twice),
		TEST(udp_sockets_of_services_are_listed),
		TEST(nothing_else_was_lost),
		TEST(connect_costs),
		TEST(a_full_ring_loses_records_and_not_counts),
	};

	return cmocka_run_group_tests(tests, bed_make, bed_free);
}
