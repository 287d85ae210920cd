/* SPDX-License-Identifier: Apache-2.0 */
/* include/weft/abi.h as this compiler lays it out, against the BTF of the built objects. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <bpf/btf.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "weft/abi.h"

struct member {
	const char *name;
	size_t offset;
	size_t size;
};

struct layout {
	const char *name;
	size_t size;
	size_t count; /* of members: one that is missing below shows */
	struct member members[32];
	unsigned int seen; /* in how many objects */
};

#define SIZE(type, field) sizeof(((struct type *)0)->field)
#define M(type, field) { #field, offsetof(struct type, field), SIZE(type, field) }
#define COUNT(...) (sizeof((struct member[]){ __VA_ARGS__ }) / sizeof(struct member))
#define LAYOUT(type, ...) { #type, sizeof(struct type), COUNT(__VA_ARGS__), { __VA_ARGS__ }, 0 }

static struct layout layouts[] = {
	LAYOUT(weft_addr, M(weft_addr, word)),
	LAYOUT(weft_control, M(weft_control, buffers), M(weft_control, epoch), M(weft_control, flags),
	       M(weft_control, report_bytes), M(weft_control, heartbeat)),
	LAYOUT(weft_workload, M(weft_workload, netns_cookie), M(weft_workload, identity), M(weft_workload, subject),
	       M(weft_workload, ifindex), M(weft_workload, flags), M(weft_workload, mac), M(weft_workload, pad),
	       M(weft_workload, addr)),
	LAYOUT(weft_address, M(weft_address, identity), M(weft_address, ifindex), M(weft_address, flags)),
	LAYOUT(weft_prefix, M(weft_prefix, length), M(weft_prefix, addr)),
	LAYOUT(weft_prefix_value, M(weft_prefix_value, identity)),
	LAYOUT(weft_policy_key, M(weft_policy_key, subject), M(weft_policy_key, identity), M(weft_policy_key, direction)),
	LAYOUT(weft_policy, M(weft_policy, rules)),
	LAYOUT(weft_rule, M(weft_rule, start), M(weft_rule, id), M(weft_rule, audit_id), M(weft_rule, reason),
	       M(weft_rule, flags), M(weft_rule, pad)),
	LAYOUT(weft_service_key, M(weft_service_key, addr), M(weft_service_key, port), M(weft_service_key, protocol),
	       M(weft_service_key, pad)),
	LAYOUT(weft_service, M(weft_service, id), M(weft_service, first_slot), M(weft_service, slot_count),
	       M(weft_service, affinity_seconds), M(weft_service, algorithm), M(weft_service, flags), M(weft_service, next)),
	LAYOUT(weft_slot, M(weft_slot, addr), M(weft_slot, port), M(weft_slot, weight), M(weft_slot, threshold),
	       M(weft_slot, alias), M(weft_slot, pad)),
	LAYOUT(weft_backend_key, M(weft_backend_key, addr), M(weft_backend_key, port), M(weft_backend_key, protocol),
	       M(weft_backend_key, pad)),
	LAYOUT(weft_backend, M(weft_backend, opened), M(weft_backend, active), M(weft_backend, failed),
	       M(weft_backend, srtt_us), M(weft_backend, connect_us), M(weft_backend, last_used)),
	LAYOUT(weft_affinity_key, M(weft_affinity_key, netns_cookie), M(weft_affinity_key, service_id),
	       M(weft_affinity_key, port), M(weft_affinity_key, protocol), M(weft_affinity_key, family)),
	LAYOUT(weft_affinity, M(weft_affinity, addr), M(weft_affinity, port), M(weft_affinity, pad),
	       M(weft_affinity, last_used)),
	LAYOUT(weft_udp_peer_key, M(weft_udp_peer_key, socket_cookie), M(weft_udp_peer_key, addr),
	       M(weft_udp_peer_key, port), M(weft_udp_peer_key, pad)),
	LAYOUT(weft_udp_peer, M(weft_udp_peer, addr), M(weft_udp_peer, port), M(weft_udp_peer, pad),
	       M(weft_udp_peer, service_id)),
	LAYOUT(weft_socket, M(weft_socket, service_addr), M(weft_socket, backend_addr), M(weft_socket, service_port),
	       M(weft_socket, backend_port), M(weft_socket, protocol), M(weft_socket, flags), M(weft_socket, pad),
	       M(weft_socket, service_id), M(weft_socket, rule), M(weft_socket, identity), M(weft_socket, local_identity),
	       M(weft_socket, opened), M(weft_socket, established), M(weft_socket, sent), M(weft_socket, received),
	       M(weft_socket, netns_cookie), M(weft_socket, retransmits), M(weft_socket, pid)),
	LAYOUT(weft_udp_socket, M(weft_udp_socket, cookie), M(weft_udp_socket, local_addr), M(weft_udp_socket, backend_addr),
	       M(weft_udp_socket, service_addr), M(weft_udp_socket, local_port), M(weft_udp_socket, backend_port),
	       M(weft_udp_socket, service_port), M(weft_udp_socket, family), M(weft_udp_socket, pad),
	       M(weft_udp_socket, ifindex), M(weft_udp_socket, service_id)),
	LAYOUT(weft_conn_key, M(weft_conn_key, addr), M(weft_conn_key, port), M(weft_conn_key, protocol),
	       M(weft_conn_key, pad)),
	LAYOUT(weft_conn, M(weft_conn, created), M(weft_conn, last_seen), M(weft_conn, epoch), M(weft_conn, initiator),
	       M(weft_conn, decided), M(weft_conn, tcp_flags), M(weft_conn, rule), M(weft_conn, packets),
	       M(weft_conn, bytes), M(weft_conn, service_id), M(weft_conn, flags), M(weft_conn, ifindex),
	       M(weft_conn, identity), M(weft_conn, mac), M(weft_conn, pad)),
	LAYOUT(weft_fragment_key, M(weft_fragment_key, source), M(weft_fragment_key, destination), M(weft_fragment_key, id),
	       M(weft_fragment_key, protocol), M(weft_fragment_key, pad)),
	LAYOUT(weft_fragment, M(weft_fragment, source_port), M(weft_fragment, destination_port)),
	LAYOUT(weft_denial_key, M(weft_denial_key, source), M(weft_denial_key, destination), M(weft_denial_key, port),
	       M(weft_denial_key, protocol), M(weft_denial_key, reason)),
	LAYOUT(weft_traffic_key, M(weft_traffic_key, source), M(weft_traffic_key, destination),
	       M(weft_traffic_key, service_id), M(weft_traffic_key, reporter), M(weft_traffic_key, protocol),
	       M(weft_traffic_key, reason), M(weft_traffic_key, tls)),
	LAYOUT(weft_traffic, M(weft_traffic, opened), M(weft_traffic, closed), M(weft_traffic, sent),
	       M(weft_traffic, received), M(weft_traffic, retransmits), M(weft_traffic, denied)),
	LAYOUT(weft_drop, M(weft_drop, packets), M(weft_drop, bytes)),
	LAYOUT(weft_event, M(weft_event, time), M(weft_event, netns_cookie), M(weft_event, socket_cookie),
	       M(weft_event, source), M(weft_event, destination), M(weft_event, service), M(weft_event, source_port),
	       M(weft_event, destination_port), M(weft_event, service_port), M(weft_event, type), M(weft_event, protocol),
	       M(weft_event, reporter), M(weft_event, reason), M(weft_event, direction), M(weft_event, rule_flags),
	       M(weft_event, tcp_flags), M(weft_event, pad), M(weft_event, source_identity),
	       M(weft_event, destination_identity), M(weft_event, service_id), M(weft_event, rule),
	       M(weft_event, audit_rule), M(weft_event, retransmits), M(weft_event, srtt_us), M(weft_event, pid),
	       M(weft_event, sent), M(weft_event, received), M(weft_event, duration)),
};
#define LAYOUTS (sizeof(layouts) / sizeof(*layouts))

static void compare(const struct btf *btf, const struct btf_type *type, struct layout *layout)
{
	const struct btf_member *members = btf_members(type);

	assert_int_equal(type->size, layout->size);
	assert_int_equal(btf_vlen(type), layout->count);
	for (size_t i = 0; i < layout->count; i++) {
		const char *name = btf__name_by_offset(btf, members[i].name_off);

		print_message("%s.%s\n", layout->name, name);
		assert_string_equal(name, layout->members[i].name);
		assert_int_equal(btf_member_bit_offset(type, (__u32)i), layout->members[i].offset * 8);
		assert_int_equal(btf__resolve_size(btf, members[i].type), layout->members[i].size);
	}
	layout->seen++;
}

static void objects_agree_with_the_header(void **state)
{
	glob_t objects = { 0 };

	(void)state;
	assert_int_equal(glob(BPF_OBJECTS "/*.bpf.o", 0, NULL, &objects), 0);
	for (size_t i = 0; i < objects.gl_pathc; i++) {
		struct btf *btf = btf__parse_elf(objects.gl_pathv[i], NULL);

		assert_non_null(btf);
		for (size_t k = 0; k < LAYOUTS; k++) {
			int id = btf__find_by_name_kind(btf, layouts[k].name, BTF_KIND_STRUCT);

			if (id > 0)
				compare(btf, btf__type_by_id(btf, (__u32)id), &layouts[k]);
		}
		btf__free(btf);
	}
	globfree(&objects);
}

static void every_structure_is_used_by_some_program(void **state)
{
	(void)state;
	for (size_t k = 0; k < LAYOUTS; k++)
		if (!layouts[k].seen)
			fail_msg("%s", layouts[k].name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_agree_with_the_header),
		cmocka_unit_test(every_structure_is_used_by_some_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
