/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The programs at a pod's interface, run on single packets (BPF_PROG_TEST_RUN), in the world of world.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "frame.h"
#include "world.h"

#define PASS ((uint32_t)-1) /* TC_ACT_UNSPEC */
#define DROP 2		    /* TC_ACT_SHOT */
#define REDIRECT 7	    /* TC_ACT_REDIRECT */
#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define PSH 0x08
#define ACK 0x10

static int load(void **state)
{
	(void)state;
	skeleton = interface_bpf__open();
	assert_non_null(skeleton);
	assert_int_equal(interface_bpf__load(skeleton), 0);
	set_world(0);
	return 0;
}

static int unload(void **state)
{
	(void)state;
	interface_bpf__destroy(skeleton);
	return 0;
}

static int make_interfaces(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNET) || system("ip link add a0 type veth peer name a1 && ip link add b0 type veth peer name b1"))
		return -1;
	a_if = if_nametoindex("a0");
	b_if = if_nametoindex("b0");
	return 0;
}

/* --- running --- */

static uint32_t run_at(const struct bpf_program *program, uint32_t ifindex, const struct frame *frame, struct frame *ret)
{
	struct __sk_buff context = { .ifindex = ifindex };
	DECLARE_LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame->data, .data_size_in = (uint32_t)frame->size,
			    .data_out = ret->data, .data_size_out = sizeof(ret->data), .ctx_in = &context,
			    .ctx_size_in = sizeof(context));

	if (bpf_prog_test_run_opts(bpf_program__fd(program), &options))
		fail_msg("test run: %s", strerror(errno));
	ret->size = options.data_size_out;
	ret->v4 = frame->v4;
	ret->transport = frame->transport;
	return options.retval;
}

static uint32_t leave(uint32_t ifindex, struct frame *frame)
{
	struct frame after;

	return run_at(skeleton->progs.from_pod, ifindex, frame, &after);
}

static uint32_t enter(uint32_t ifindex, struct frame *frame)
{
	struct frame after;

	return run_at(skeleton->progs.to_pod, ifindex, frame, &after);
}

static uint64_t drops(enum weft_reason reason, enum weft_direction direction)
{
	uint32_t index = (uint32_t)reason * 2 + direction;
	int cpus = libbpf_num_possible_cpus();
	struct weft_drop per_cpu[cpus];
	uint64_t sum = 0;

	assert_int_equal(bpf_map_lookup_elem(map(skeleton->maps.weft_drops), &index, per_cpu), 0);
	for (int i = 0; i < cpus; i++)
		sum += per_cpu[i].packets;
	return sum;
}

static uint64_t errors(enum weft_place place)
{
	uint32_t index = place;
	int cpus = libbpf_num_possible_cpus();
	uint64_t per_cpu[cpus], sum = 0;

	assert_int_equal(bpf_map_lookup_elem(map(skeleton->maps.weft_errors), &index, per_cpu), 0);
	for (int i = 0; i < cpus; i++)
		sum += per_cpu[i];
	return sum;
}

/* Denied, and for this reason: nothing else is counted as such. */
#define assert_denied(action, reason, direction)                                                                       \
	do {                                                                                                           \
		uint64_t before_ = drops(reason, direction);                                                           \
		uint32_t action_ = (action);                                                                           \
		assert_true(action_ == DROP || action_ == REDIRECT);                                                   \
		assert_int_equal(drops(reason, direction), before_ + 1);                                               \
	} while (0)

/* The first denied packet of an established connection goes on as a reset, so that both ends know. */
static void assert_cut(const struct bpf_program *program, uint32_t ifindex, const struct frame *frame,
		       enum weft_direction direction)
{
	uint64_t before = drops(WEFT_REASON_POLICY_DENIED, direction);
	const size_t addresses = 14 + (frame->v4 ? 12 : 8);
	struct frame after;

	assert_int_equal(run_at(program, ifindex, frame, &after), PASS);
	assert_int_equal(drops(WEFT_REASON_POLICY_DENIED, direction), before + 1);
	assert_int_equal(after.size, after.transport + 20);
	assert_memory_equal(after.data, frame->data, 12);
	assert_memory_equal(after.data + addresses, frame->data + addresses, frame->v4 ? 8 : 32);
	assert_memory_equal(after.data + after.transport, frame->data + frame->transport, 12); /* ports and numbers */
	assert_int_equal(after.data[after.transport + 13], RST | (frame->data[frame->transport + 13] & ACK));
	assert_int_equal(frame_transport_sum(&after, IPPROTO_TCP), 0xffff);
}

static void tcp(struct frame *frame, const char *from, uint16_t source, const char *to, uint16_t destination, uint8_t flags)
{
	frame_ip(frame, from, to);
	frame_tcp(frame, source, destination, flags);
	frame_finish(frame);
}

static void udp(struct frame *frame, const char *from, uint16_t source, const char *to, uint16_t destination)
{
	frame_ip(frame, from, to);
	frame_udp(frame, source, destination);
	frame_finish(frame);
}

static void ping(struct frame *frame, const char *from, const char *to, uint8_t type, uint16_t id)
{
	frame_ip(frame, from, to);
	frame_icmp(frame, type, id);
	frame_finish(frame);
}

static bool find_conn(const char *one, uint16_t one_port, const char *two, uint16_t two_port, uint8_t protocol,
		      struct weft_conn *ret)
{
	struct weft_conn_key key = { .port = { htons(one_port), htons(two_port) }, .protocol = protocol };
	struct weft_conn_key swapped = { .port = { htons(two_port), htons(one_port) }, .protocol = protocol };

	addr_parse(one, &key.addr[0]);
	addr_parse(two, &key.addr[1]);
	swapped.addr[0] = key.addr[1];
	swapped.addr[1] = key.addr[0];
	return !bpf_map_lookup_elem(map(skeleton->maps.weft_conntrack), memcmp(&key, &swapped, 36) <= 0 ? &key : &swapped, ret);
}

/* --- records --- */

struct records {
	struct weft_event last;
	int count;
};

static int take_record(void *context, void *data, size_t size)
{
	struct records *records = context;

	assert_int_equal(size, sizeof(records->last));
	memcpy(&records->last, data, size);
	records->count++;
	return 0;
}

/* Those that are waiting. */
static struct records take_records(void)
{
	struct records records = {};
	struct ring_buffer *ring = ring_buffer__new(map(skeleton->maps.weft_events), take_record, &records, NULL);

	assert_non_null(ring);
	assert_true(ring_buffer__consume(ring) >= 0);
	ring_buffer__free(ring);
	return records;
}

/* --- connections --- */

static void a_connection_is_decided_once_and_replies_need_no_rule(void **state)
{
	struct frame frame;
	struct weft_conn conn;

	(void)state;
	EACH_FAMILY(family) {
		tcp(&frame, family->a, 4000, family->b, 80, SYN);
		assert_int_equal(leave(a_if, &frame), PASS);
		assert_int_equal(enter(b_if, &frame), PASS);
		tcp(&frame, family->b, 80, family->a, 4000, SYN | ACK);
		assert_int_equal(leave(b_if, &frame), PASS);
		assert_int_equal(enter(a_if, &frame), PASS);
		assert_true(find_conn(family->a, 4000, family->b, 80, IPPROTO_TCP, &conn));
		assert_int_equal(conn.decided, 1 << WEFT_EGRESS | 1 << WEFT_INGRESS);
		assert_int_equal(conn.rule[WEFT_EGRESS], RULE_A_OUT);
		assert_int_equal(conn.rule[WEFT_INGRESS], RULE_B_WEB);
		assert_int_equal(conn.epoch, 1);
		assert_int_equal(conn.packets[0] + conn.packets[1], 4);
		assert_int_equal(conn.ifindex[conn.initiator], a_if);
		assert_int_equal(conn.ifindex[!conn.initiator], b_if);
		assert_int_equal(conn.identity[conn.initiator], IDENTITY_A);
		assert_int_equal(conn.tcp_flags[conn.initiator], SYN);
		assert_int_equal(conn.tcp_flags[!conn.initiator], SYN | ACK);
	}
}

static void each_protocol_is_judged_by_the_servers_port(void **state)
{
	struct frame frame;

	(void)state;
	EACH_FAMILY(family) {
		udp(&frame, family->far, 5000, family->b, 53);
		assert_int_equal(enter(b_if, &frame), PASS);
		udp(&frame, family->b, 53, family->far, 5000);
		assert_int_equal(leave(b_if, &frame), PASS);
		udp(&frame, family->far, 53, family->b, 5000);
		assert_denied(enter(b_if, &frame), WEFT_REASON_POLICY_DENIED, WEFT_INGRESS);
		ping(&frame, family->far, family->b, 8, 7);
		assert_int_equal(enter(b_if, &frame), PASS);
		ping(&frame, family->b, family->far, 0, 7);
		assert_int_equal(leave(b_if, &frame), PASS);
		ping(&frame, family->world, family->b, 8, 8);
		assert_denied(enter(b_if, &frame), WEFT_REASON_POLICY_DENIED, WEFT_INGRESS);
		frame_ip(&frame, family->a, family->world);
		frame_header(&frame, 47, 16, false); /* GRE */
		frame_finish(&frame);
		assert_int_equal(leave(a_if, &frame), PASS);
	}
}

static void a_request_from_the_server_is_a_connection_of_its_own(void **state)
{
	struct frame frame;

	(void)state;
	EACH_FAMILY(family) {
		tcp(&frame, family->a, 4001, family->b, 80, SYN);
		assert_int_equal(leave(a_if, &frame), PASS);
		tcp(&frame, family->b, 80, family->a, 4001, SYN);
		assert_denied(leave(b_if, &frame), WEFT_REASON_POLICY_DENIED, WEFT_EGRESS);
		ping(&frame, family->a, family->b, 8, 9);
		assert_int_equal(leave(a_if, &frame), PASS);
		ping(&frame, family->b, family->a, 8, 9);
		assert_denied(leave(b_if, &frame), WEFT_REASON_POLICY_DENIED, WEFT_EGRESS);
		ping(&frame, family->b, family->a, 0, 9);
		assert_int_equal(leave(b_if, &frame), PASS);
	}
}

static void a_syn_after_the_end_starts_a_new_connection(void **state)
{
	struct frame frame;
	struct weft_conn conn;

	(void)state;
	EACH_FAMILY(family) {
		tcp(&frame, family->a, 4002, family->b, 80, SYN);
		assert_int_equal(leave(a_if, &frame), PASS);
		tcp(&frame, family->b, 80, family->a, 4002, RST | ACK);
		assert_int_equal(leave(b_if, &frame), PASS);
		tcp(&frame, family->a, 4002, family->b, 80, SYN);
		assert_int_equal(leave(a_if, &frame), PASS);
		assert_true(find_conn(family->a, 4002, family->b, 80, IPPROTO_TCP, &conn));
		assert_int_equal(conn.packets[0] + conn.packets[1], 1);
		assert_int_equal(conn.tcp_flags[!conn.initiator], 0);
	}
}

static void a_new_epoch_decides_anew_in_the_first_direction(void **state)
{
	static const struct weft_rule none[] = { { .start = 0, DENIED } };
	struct frame frame;
	struct weft_conn conn;

	(void)state;
	EACH_FAMILY(family) {
		tcp(&frame, family->a, 4003, family->b, 80, SYN);
		assert_int_equal(leave(a_if, &frame), PASS);
		set_control(1, 2, 0);
		/* the server's packet comes first in the new epoch; its own egress is closed, and does not matter */
		tcp(&frame, family->b, 80, family->a, 4003, SYN | ACK);
		assert_int_equal(leave(b_if, &frame), PASS);
		assert_true(find_conn(family->a, 4003, family->b, 80, IPPROTO_TCP, &conn));
		assert_int_equal(conn.epoch, 2);
		set_control(1, 1, 0);
	}
	set_policy(SUBJECT_A, WEFT_IDENTITY_ANY, WEFT_EGRESS, none, 1);
	set_control(1, 3, 0);
	EACH_FAMILY(family) {
		tcp(&frame, family->b, 80, family->a, 4003, ACK);
		memset(frame_add(&frame, 10), 0x5a, 10);
		frame_finish(&frame);
		assert_cut(skeleton->progs.from_pod, b_if, &frame, WEFT_EGRESS);
		tcp(&frame, family->a, 4003, family->b, 80, ACK);
		assert_denied(leave(a_if, &frame), WEFT_REASON_POLICY_DENIED, WEFT_EGRESS);
	}
}

static void while_two_buffers_decide_both_must_allow(void **state)
{
	const struct weft_policy_key key = { .subject = SUBJECT_B, .identity = IDENTITY_FAR, .direction = WEFT_INGRESS };
	struct weft_policy policy;
	struct frame frame;

	(void)state;
	assert_int_equal(bpf_map_lookup_elem(map(skeleton->maps.weft_policies), &key, &policy), 0);
	policy.rules[1].count = 0; /* gone in the new state: the entry for any identity decides, which denies */
	put(skeleton->maps.weft_policies, &key, &policy);
	for (uint32_t buffers = 1; buffers <= 3; buffers++) {
		set_control(buffers, buffers, 0);
		EACH_FAMILY(family) {
			tcp(&frame, family->far, 4004, family->b, 80, SYN);
			if (buffers == 1)
				assert_int_equal(enter(b_if, &frame), PASS);
			else if (buffers == 2)
				assert_cut(skeleton->progs.to_pod, b_if, &frame, WEFT_INGRESS);
			else
				assert_denied(enter(b_if, &frame), WEFT_REASON_POLICY_DENIED, WEFT_INGRESS);
		}
	}
}

static void what_is_not_loaded_is_closed_and_silent(void **state)
{
	struct frame frame;

	(void)state;
	EACH_FAMILY(family) {
		set_control(0, 0, 0);
		tcp(&frame, family->a, 4005, family->b, 80, SYN);
		assert_denied(leave(a_if, &frame), WEFT_REASON_POLICY_NOT_LOADED, WEFT_EGRESS);
		assert_int_equal(leave(a_if, &frame), DROP);
		set_control(1, 1, 0);
		set_workload(a_if, IDENTITY_A, WEFT_SUBJECT_NOT_LOADED, 0, 0xa);
		assert_int_equal(leave(a_if, &frame), DROP);
		set_workload(a_if, IDENTITY_A, SUBJECT_A, 0, 0xa);
		assert_int_equal(leave(a_if, &frame), PASS);
		assert_int_equal(leave(1, &frame), DROP); /* an interface that nobody knows */
	}
}

static void a_taken_over_connection_is_decided_at_its_first_packet(void **state)
{
	struct frame frame;

	(void)state;
	EACH_FAMILY(family) {
		struct weft_conn_key key = { .port = { htons(4006), htons(80) }, .protocol = IPPROTO_TCP };
		struct weft_conn seeded = { .initiator = 0, .flags = WEFT_CONN_SEEDED };

		addr_parse(family->a, &key.addr[0]);
		addr_parse(family->b, &key.addr[1]);
		put(skeleton->maps.weft_conntrack, &key, &seeded);
		set_workload(b_if, IDENTITY_B, WEFT_SUBJECT_NOT_LOADED, 0, 0xb);
		tcp(&frame, family->b, 80, family->a, 4006, ACK);
		assert_int_equal(leave(b_if, &frame), DROP);
		set_workload(b_if, IDENTITY_B, SUBJECT_B, 0, 0xb);
		assert_int_equal(leave(b_if, &frame), PASS);
		assert_true(find_conn(family->a, 4006, family->b, 80, IPPROTO_TCP, &seeded));
		assert_int_equal(seeded.tcp_flags[0] & RST, 0);
		assert_int_equal(seeded.epoch, 1);
	}
}

static void this_node_and_link_local_talk_always(void **state)
{
	struct frame frame;

	(void)state;
	EACH_FAMILY(family) {
		tcp(&frame, family->node, 4007, family->a, 9, SYN);
		assert_int_equal(enter(a_if, &frame), PASS);
	}
	for (uint8_t type = 133; type <= 136; type++) {
		frame_ip(&frame, type == 135 ? "::" : "fe80::1", "ff02::1:ff00:1"); /* 135: is this address taken? */
		frame.data[14 + 7] = 255;
		frame_icmp(&frame, type, 0);
		frame_finish(&frame);
		assert_int_equal(leave(b_if, &frame), PASS);
		assert_int_equal(enter(b_if, &frame), PASS);
		frame.data[14 + 7] = 254; /* not from this link */
		assert_denied(leave(b_if, &frame), WEFT_REASON_INVALID_SOURCE, WEFT_EGRESS);
	}
	frame_ip(&frame, "fe80::1", "ff02::16");
	frame_extension(&frame, IPPROTO_HOPOPTS, 8);
	frame.data[14 + 7] = 1;
	frame_icmp(&frame, 143, 0);
	frame_finish(&frame);
	assert_int_equal(leave(b_if, &frame), PASS);
}

static void a_pod_sends_from_its_own_addresses_only(void **state)
{
	struct frame frame;

	(void)state;
	EACH_FAMILY(family) {
		const char *const forged[] = { family->b, family->far, family->world, family->none, family->node };

		for (size_t i = 0; i < sizeof(forged) / sizeof(*forged); i++) {
			udp(&frame, forged[i], 4008, family->b, 53);
			assert_denied(leave(a_if, &frame), WEFT_REASON_INVALID_SOURCE, WEFT_EGRESS);
		}
		/* nor can it slip into a connection of another pod */
		tcp(&frame, family->far, 4009, family->b, 80, SYN);
		assert_int_equal(enter(b_if, &frame), PASS);
		tcp(&frame, family->b, 80, family->far, 4009, ACK);
		assert_denied(leave(a_if, &frame), WEFT_REASON_INVALID_SOURCE, WEFT_EGRESS);
	}
	udp(&frame, "fe80::1", 4008, "ff02::fb", 5353);
	assert_denied(leave(a_if, &frame), WEFT_REASON_INVALID_SOURCE, WEFT_EGRESS);
}

static void icmp_errors_follow_their_connection(void **state)
{
	struct frame frame, inner;

	(void)state;
	EACH_FAMILY(family) {
		tcp(&inner, family->b, 80, family->far, 4010, ACK);
		frame_ip(&frame, family->world, family->b); /* a router on the way says: too big */
		frame_icmp(&frame, frame.v4 ? 3 : 2, 0);
		memcpy(frame_add(&frame, inner.size - 14), inner.data + 14, inner.size - 14);
		frame_finish(&frame);
		assert_denied(enter(b_if, &frame), WEFT_REASON_POLICY_DENIED, WEFT_INGRESS);
		tcp(&inner, family->far, 4010, family->b, 80, SYN);
		assert_int_equal(enter(b_if, &inner), PASS);
		assert_int_equal(enter(b_if, &frame), PASS);
		assert_denied(enter(a_if, &frame), WEFT_REASON_POLICY_DENIED, WEFT_INGRESS); /* not a's connection */
	}
}

static void sctp_services_are_refused(void **state)
{
	struct weft_service service = { .id = 7, .flags = WEFT_SERVICE_REFUSE_PROTOCOL };
	struct frame frame;

	(void)state;
	EACH_FAMILY(family) {
		struct weft_service_key key = { .port = htons(3868), .protocol = IPPROTO_SCTP };

		addr_parse(family->world, &key.addr);
		put(skeleton->maps.weft_services, &key, &service);
		frame_ip(&frame, family->a, family->world);
		put16(frame_header(&frame, IPPROTO_SCTP, 12, false), 4011);
		put16(frame.data + frame.transport + 2, 3868);
		frame_finish(&frame);
		assert_denied(leave(a_if, &frame), WEFT_REASON_UNSUPPORTED_SERVICE_PROTOCOL, WEFT_EGRESS);
		put16(frame.data + frame.transport + 2, 3869);
		assert_int_equal(leave(a_if, &frame), PASS);
	}
}

static int load_small(void **state)
{
	(void)state;
	skeleton = interface_bpf__open();
	assert_non_null(skeleton);
	assert_int_equal(bpf_map__set_max_entries(skeleton->maps.weft_conntrack, 1), 0);
	assert_int_equal(interface_bpf__load(skeleton), 0);
	set_world(0);
	return 0;
}

static void a_full_table_refuses_new_connections_only(void **state)
{
	const struct family *family = &families[0];
	struct frame first, frame;
	uint32_t refused = 0;

	(void)state;
	tcp(&first, family->a, 5000, family->far, 80, SYN);
	assert_int_equal(leave(a_if, &first), PASS);
	for (uint16_t port = 5001; port < 5100 && !refused; port++) { /* hash tables have some entries in reserve */
		tcp(&frame, family->a, port, family->far, 80, SYN);
		refused = leave(a_if, &frame) != PASS;
	}
	assert_true(refused);
	assert_true(drops(WEFT_REASON_CONNTRACK_FULL, WEFT_EGRESS) > 0);
	assert_true(errors(WEFT_PLACE_CONNTRACK_INSERT) > 0);
	tcp(&frame, family->a, 5000, family->far, 80, ACK);
	assert_int_equal(leave(a_if, &frame), PASS);
}

/* --- the shape of packets --- */

static void extension(struct frame *frame, const char *from, const char *to, uint8_t protocol, size_t size)
{
	frame_ip(frame, from, to);
	frame_extension(frame, protocol, size);
	frame_udp(frame, 4000, 53);
	frame_finish(frame);
}

static void extension_headers_and_options_are_walked(void **state)
{
	static const uint8_t kinds[] = { IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_ROUTING };
	struct weft_conn conn;
	struct frame frame;

	(void)state;
	for (size_t i = 0; i < sizeof(kinds); i++) {
		extension(&frame, "fd08::9", "fd09::2", kinds[i], 8 * (i + 1));
		assert_int_equal(enter(b_if, &frame), PASS);
	}
	assert_true(find_conn("fd08::9", 4000, "fd09::2", 53, IPPROTO_UDP, &conn));
	frame_ip(&frame, "fd08::9", "fd09::2");
	for (int i = 0; i < 3; i++)
		frame_extension(&frame, IPPROTO_DSTOPTS, 16);
	frame_header(&frame, IPPROTO_AH, 24, true)[1] = 4; /* in units of 4 bytes, less 2 */
	frame_udp(&frame, 4001, 53);
	frame_finish(&frame);
	assert_int_equal(enter(b_if, &frame), PASS);
	frame_ip_options(&frame, "10.8.0.9", "10.9.0.2", 40);
	frame_udp(&frame, 4001, 53);
	frame_finish(&frame);
	assert_int_equal(enter(b_if, &frame), PASS);
	assert_true(find_conn("10.8.0.9", 4001, "10.9.0.2", 53, IPPROTO_UDP, &conn));
}

static void cut_short(struct frame *frame, const struct family *family)
{
	tcp(frame, family->far, 4000, family->b, 80, SYN);
	frame->size -= 1;
	frame_finish(frame);
}
static void longer_than_it_is(struct frame *frame, const struct family *family)
{
	tcp(frame, family->far, 4000, family->b, 80, SYN);
	put16(frame->data + (frame->v4 ? 16 : 18), 1000);
}
static void of_another_version(struct frame *frame, const struct family *family)
{
	tcp(frame, family->far, 4000, family->b, 80, SYN);
	frame->data[14] = 0x55;
}
static void with_a_tiny_tcp_header(struct frame *frame, const struct family *family)
{
	tcp(frame, family->far, 4000, family->b, 80, SYN);
	frame->data[frame->transport + 12] = 0x40;
}
static void with_only_an_ip_header(struct frame *frame, const struct family *family)
{
	frame_ip(frame, family->far, family->b);
	frame->data[frame->next] = IPPROTO_UDP;
	frame_finish(frame);
}
static void with_a_second_fragment_over_the_flags(struct frame *frame, const struct family *family)
{
	frame_ip(frame, family->far, family->b);
	frame_fragment(frame, 1, 8, false);
	frame_tcp(frame, 4000, 80, SYN);
	frame_finish(frame);
}
static void with_too_many_extensions(struct frame *frame, const struct family *family)
{
	frame_ip(frame, "fd08::9", "fd09::2");
	for (int i = 0; i < 9; i++)
		frame_extension(frame, IPPROTO_DSTOPTS, 8);
	frame_udp(frame, 4000, 53);
	frame_finish(frame);
	(void)family;
}
static void that_is_routed_on(struct frame *frame, const struct family *family)
{
	extension(frame, "fd08::9", "fd09::2", IPPROTO_ROUTING, 24);
	frame->data[54 + 3] = 1;
	(void)family;
}
static void with_mapped_addresses(struct frame *frame, const struct family *family)
{
	struct weft_addr mapped;

	udp(frame, "fd08::9", 4000, "fd09::2", 53);
	addr_parse("10.8.0.9", &mapped);
	memcpy(frame->data + 14 + 8, &mapped, sizeof(mapped));
	(void)family;
}
static void with_an_extension_cut_short(struct frame *frame, const struct family *family)
{
	frame_ip(frame, "fd08::9", "fd09::2");
	frame_extension(frame, IPPROTO_HOPOPTS, 8)[1] = 200;
	frame_finish(frame);
	(void)family;
}

static void contradictions_are_dropped(void **state)
{
	static void (*const builders[])(struct frame *, const struct family *) = {
		cut_short, longer_than_it_is, of_another_version, with_a_tiny_tcp_header, with_only_an_ip_header,
		with_a_second_fragment_over_the_flags, with_too_many_extensions, that_is_routed_on, with_mapped_addresses,
		with_an_extension_cut_short,
	};
	struct frame frame;

	(void)state;
	EACH_FAMILY(family) {
		for (size_t i = 0; i < sizeof(builders) / sizeof(*builders); i++) {
			builders[i](&frame, family);
			assert_denied(enter(b_if, &frame), WEFT_REASON_MALFORMED_PACKET, WEFT_INGRESS);
			assert_denied(leave(b_if, &frame), WEFT_REASON_MALFORMED_PACKET, WEFT_EGRESS);
		}
	}
}

static void other_ethertypes_are_dropped_and_arp_passes(void **state)
{
	static const uint16_t others[] = { 0x8847, 0x8863, 0x22f0, 0x0100 };
	struct frame frame;

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		udp(&frame, "10.9.0.1", 4000, "10.9.0.2", 53);
		put16(frame.data + 12, others[i]);
		assert_denied(leave(a_if, &frame), WEFT_REASON_UNSUPPORTED_ETHERTYPE, WEFT_EGRESS);
	}
	put16(frame.data + 12, ETHERTYPE_ARP);
	assert_int_equal(leave(a_if, &frame), PASS);
	assert_int_equal(enter(a_if, &frame), PASS);
}

static void a_fragment(struct frame *frame, const struct family *family, uint32_t id, size_t offset, bool more, uint16_t port)
{
	frame_ip(frame, family->far, family->b);
	frame_fragment(frame, id, offset, more);
	if (!offset)
		frame_udp(frame, 4000, port);
	else
		frame_header(frame, IPPROTO_UDP, 64, false);
	frame_finish(frame);
}

static void fragments_share_the_ports_of_the_first(void **state)
{
	struct weft_conn conn;
	struct frame frame;

	(void)state;
	EACH_FAMILY(family) {
		a_fragment(&frame, family, 77, 1480, true, 0);
		assert_denied(enter(b_if, &frame), WEFT_REASON_FRAGMENT_WITHOUT_FIRST, WEFT_INGRESS);
		a_fragment(&frame, family, 77, 0, true, 53);
		assert_int_equal(enter(b_if, &frame), PASS);
		a_fragment(&frame, family, 77, 1480, true, 0);
		assert_int_equal(enter(b_if, &frame), PASS);
		a_fragment(&frame, family, 77, 2960, false, 0);
		assert_int_equal(enter(b_if, &frame), PASS);
		assert_true(find_conn(family->far, 4000, family->b, 53, IPPROTO_UDP, &conn));
		assert_int_equal(conn.packets[0] + conn.packets[1], 3);
		/* of a datagram that is denied, all are */
		a_fragment(&frame, family, 78, 0, true, 54);
		assert_denied(enter(b_if, &frame), WEFT_REASON_POLICY_DENIED, WEFT_INGRESS);
		a_fragment(&frame, family, 78, 1480, false, 0);
		assert_denied(enter(b_if, &frame), WEFT_REASON_POLICY_DENIED, WEFT_INGRESS);
	}
}

/* --- resets --- */

static void check_reset(const struct frame *sent, const struct frame *answer, uint32_t sequence, uint32_t acknowledgement,
			uint8_t flags)
{
	const uint8_t *old = sent->data + sent->transport, *tcp_header = answer->data + answer->transport;
	size_t addresses = 14 + (sent->v4 ? 12 : 8), size = sent->v4 ? 4 : 16;

	assert_int_equal(answer->size, answer->transport + 20);
	assert_memory_equal(answer->data, sent->data + 6, 6);
	assert_memory_equal(answer->data + 6, sent->data, 6);
	assert_memory_equal(answer->data + addresses, sent->data + addresses + size, size);
	assert_memory_equal(answer->data + addresses + size, sent->data + addresses, size);
	assert_int_equal(get16(tcp_header), get16(old + 2));
	assert_int_equal(get16(tcp_header + 2), get16(old));
	assert_int_equal(get32(tcp_header + 4), sequence);
	assert_int_equal(get32(tcp_header + 8), acknowledgement);
	assert_int_equal(tcp_header[12], 0x50);
	assert_int_equal(tcp_header[13], flags);
	assert_int_equal(frame_transport_sum(answer, IPPROTO_TCP), 0xffff);
	if (answer->v4) {
		assert_int_equal(frame_ip_sum(answer), 0xffff);
		assert_int_equal(get16(answer->data + 16), answer->size - 14);
	} else {
		assert_int_equal(get16(answer->data + 18), answer->size - 54);
	}
}

static void denied_tcp_is_answered_by_a_reset(void **state)
{
	struct frame frame, answer;

	(void)state;
	EACH_FAMILY(family) {
		for (size_t payload = 0; payload <= 99; payload += 33) {
			/* a SYN: sequence 0, everything acknowledged */
			frame_ip_options(&frame, family->far, family->b, payload ? 8 : 0);
			frame_tcp(&frame, 4000, 22, SYN);
			memset(frame_add(&frame, payload), 0x5a, payload);
			frame_finish(&frame);
			assert_int_equal(run_at(skeleton->progs.to_pod, b_if, &frame, &answer), REDIRECT);
			check_reset(&frame, &answer, 0, 1001 + (uint32_t)payload, RST | ACK);
			/* with an acknowledgement: its number, nothing else */
			frame_ip(&frame, family->far, family->b);
			frame_tcp(&frame, 4001, 22, ACK | PSH);
			memset(frame_add(&frame, payload), 0x5a, payload);
			frame_finish(&frame);
			assert_int_equal(run_at(skeleton->progs.to_pod, b_if, &frame, &answer), REDIRECT);
			check_reset(&frame, &answer, 5000, 0, RST);
		}
		tcp(&frame, family->b, 4000, family->world, 22, SYN | FIN);
		assert_int_equal(run_at(skeleton->progs.from_pod, b_if, &frame, &answer), REDIRECT);
		check_reset(&frame, &answer, 0, 1002, RST | ACK);
		tcp(&frame, family->b, 4000, family->world, 22, RST);
		assert_int_equal(leave(b_if, &frame), DROP);
		set_control(1, 1, WEFT_CONTROL_DENY_DROP);
		tcp(&frame, family->b, 4000, family->world, 22, SYN);
		assert_int_equal(leave(b_if, &frame), DROP);
		set_control(1, 1, 0);
	}
	assert_int_equal(errors(WEFT_PLACE_RESET_BUILD), 0);
}

/* --- records and counters --- */

static struct weft_traffic traffic(const struct weft_traffic_key *key)
{
	int cpus = libbpf_num_possible_cpus();
	struct weft_traffic per_cpu[cpus], sum = {};

	if (bpf_map_lookup_elem(map(skeleton->maps.weft_traffic), key, per_cpu))
		return sum;
	for (int i = 0; i < cpus; i++) {
		sum.opened += per_cpu[i].opened;
		sum.sent += per_cpu[i].sent;
		sum.received += per_cpu[i].received;
		sum.denied += per_cpu[i].denied;
	}
	return sum;
}

static void denials_are_recorded_once_a_second_and_all_counted(void **state)
{
	const struct weft_traffic_key key = { .source = IDENTITY_FAR, .destination = IDENTITY_B, .protocol = IPPROTO_UDP,
					      .reporter = WEFT_REPORTER_DESTINATION, .reason = WEFT_REASON_POLICY_DENIED };
	struct frame frame;
	struct records records;
	struct weft_addr addr;

	(void)state;
	take_records();
	for (uint16_t i = 0; i < 100; i++) {
		udp(&frame, "10.8.0.9", (uint16_t)(4000 + i), "10.9.0.2", 99);
		assert_int_equal(enter(b_if, &frame), DROP);
	}
	records = take_records();
	assert_in_range(records.count, 1, 3); /* a slow machine takes longer than a second */
	assert_int_equal(records.last.type, WEFT_EVENT_DENY);
	addr_parse("10.8.0.9", &addr);
	assert_memory_equal(&records.last.source, &addr, sizeof(addr));
	assert_int_equal(ntohs(records.last.destination_port), 99);
	assert_int_equal(records.last.source_identity, IDENTITY_FAR);
	assert_int_equal(records.last.destination_identity, IDENTITY_B);
	assert_int_equal(records.last.reason, WEFT_REASON_POLICY_DENIED);
	assert_int_equal(records.last.rule, RULE_B_DENY);
	assert_int_equal(records.last.direction, WEFT_INGRESS);
	assert_int_equal(records.last.netns_cookie, b_if + 1000);
	assert_int_equal(traffic(&key).denied, 100);
}

static void datagrams_are_counted_for_both_sides(void **state)
{
	struct weft_traffic_key key = { .source = IDENTITY_A, .destination = IDENTITY_B, .protocol = IPPROTO_UDP };
	struct frame there, back;
	struct weft_traffic seen;

	(void)state;
	for (uint32_t short_way = 0; short_way < 2; short_way++) {
		set_world(short_way ? WEFT_WORKLOAD_SHORT_WAY : 0);
		set_control(1, 2 + short_way, 0);
		udp(&there, "10.9.0.1", (uint16_t)(6000 + short_way), "10.9.0.2", 53);
		udp(&back, "10.9.0.2", 53, "10.9.0.1", (uint16_t)(6000 + short_way));
		take_records();
		for (int i = 0; i < 3; i++) {
			assert_int_equal(leave(a_if, &there), short_way ? REDIRECT : PASS);
			if (!short_way)
				assert_int_equal(enter(b_if, &there), PASS);
		}
		assert_int_equal(take_records().count, 2); /* CONNECT and ACCEPT */
		assert_int_equal(leave(b_if, &back), short_way ? REDIRECT : PASS);
		if (!short_way)
			assert_int_equal(enter(a_if, &back), PASS);
		for (key.reporter = 0; key.reporter < 2; key.reporter++) {
			seen = traffic(&key);
			assert_int_equal(seen.opened, short_way + 1);
			assert_int_equal(seen.sent, (short_way + 1) * 3 * 28);
			assert_int_equal(seen.received, (short_way + 1) * 28);
		}
	}
}

static void the_short_way_writes_the_receivers_mac(void **state)
{
	static const uint8_t mac_b[6] = { 2, 0, 0, 0, 0, 0xb };
	struct frame frame, after;

	(void)state;
	set_world(WEFT_WORKLOAD_SHORT_WAY);
	EACH_FAMILY(family) {
		for (int i = 0; i < 2; i++) { /* the first packet, and one that finds the entry */
			udp(&frame, family->a, 4020, family->b, 53);
			assert_int_equal(run_at(skeleton->progs.from_pod, a_if, &frame, &after), REDIRECT);
			assert_memory_equal(after.data, mac_b, sizeof(mac_b));
			assert_memory_equal(after.data + 6, frame.data + 6, frame.size - 6);
		}
		udp(&frame, family->a, 4020, family->far, 53);
		assert_int_equal(leave(a_if, &frame), PASS);
	}
	assert_int_equal(errors(WEFT_PLACE_REDIRECT), 0);
}

/* Not a check: what a packet of an established connection costs. */
static void the_fast_path_is_timed(void **state)
{
	const struct bpf_program *const programs[] = { skeleton->progs.from_pod, skeleton->progs.to_pod };
	const uint32_t at[] = { a_if, b_if };
	struct frame frame;

	(void)state;
	EACH_FAMILY(family) {
		tcp(&frame, family->a, 4030, family->b, 80, SYN);
		assert_int_equal(leave(a_if, &frame), PASS);
		tcp(&frame, family->a, 4030, family->b, 80, ACK);
		for (int i = 0; i < 2; i++) {
			struct __sk_buff context = { .ifindex = at[i] };
			DECLARE_LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data,
					    .data_size_in = (uint32_t)frame.size, .ctx_in = &context,
					    .ctx_size_in = sizeof(context), .repeat = 200000);

			assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(programs[i]), &options), 0);
			assert_int_equal(options.retval, PASS);
			print_message("%s %s: %u ns a packet\n", i ? "to_pod" : "from_pod", frame.v4 ? "IPv4" : "IPv6",
				      options.duration);
		}
	}
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, load, unload)

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(a_connection_is_decided_once_and_replies_need_no_rule),
		EACH(each_protocol_is_judged_by_the_servers_port),
		EACH(a_request_from_the_server_is_a_connection_of_its_own),
		EACH(a_syn_after_the_end_starts_a_new_connection),
		EACH(a_new_epoch_decides_anew_in_the_first_direction),
		EACH(while_two_buffers_decide_both_must_allow),
		EACH(what_is_not_loaded_is_closed_and_silent),
		EACH(a_taken_over_connection_is_decided_at_its_first_packet),
		EACH(this_node_and_link_local_talk_always),
		EACH(a_pod_sends_from_its_own_addresses_only),
		EACH(icmp_errors_follow_their_connection),
		EACH(sctp_services_are_refused),
		cmocka_unit_test_setup_teardown(a_full_table_refuses_new_connections_only, load_small, unload),
		EACH(extension_headers_and_options_are_walked),
		EACH(contradictions_are_dropped),
		EACH(other_ethertypes_are_dropped_and_arp_passes),
		EACH(fragments_share_the_ports_of_the_first),
		EACH(denied_tcp_is_answered_by_a_reset),
		EACH(denials_are_recorded_once_a_second_and_all_counted),
		EACH(datagrams_are_counted_for_both_sides),
		EACH(the_short_way_writes_the_receivers_mac),
		EACH(the_fast_path_is_timed),
	};

	return cmocka_run_group_tests(tests, make_interfaces, NULL);
}
