/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_TESTS_WORLD_H
#define WEFT_TESTS_WORLD_H
/*
 * A small world for the programs at interfaces: pods a and b of this node, a pod of another node ("far"), an address that
 * nobody knows ("world"), this node. Included after cmocka.h; the programs' own maps hold it, without an agent.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "interface.skel.h"
#include "util/addr.h"

enum { SUBJECT_A = 20, SUBJECT_B, IDENTITY_A = 100, IDENTITY_B, IDENTITY_FAR };
enum { RULE_A_OUT = 200, RULE_B_WEB, RULE_B_DNS, RULE_B_PING, RULE_B_DENY };

static const struct family {
	const char *a, *b, *far, *world, *node, *none;
} families[] = {
	{ "10.9.0.1", "10.9.0.2", "10.8.0.9", "192.0.2.1", "10.9.0.254", "0.0.0.0" },
	{ "fd09::1", "fd09::2", "fd08::9", "2001:db8::1", "fd09::254", "::" },
};
#define EACH_FAMILY(family) \
	for (const struct family *family = families; family < families + sizeof(families) / sizeof(*families); family++)

static struct interface_bpf *skeleton;
static uint32_t a_if, b_if, next_rule;

/* --- the world --- */

static inline int map(const struct bpf_map *which) { return bpf_map__fd(which); }

static inline void put(const struct bpf_map *which, const void *key, const void *value)
{
	if (bpf_map_update_elem(map(which), key, value, BPF_ANY))
		fail_msg("%s: %s", bpf_map__name(which), strerror(errno));
}

static inline void set_control(uint32_t buffers, uint32_t epoch, uint32_t flags)
{
	const struct weft_control control = { .buffers = buffers, .epoch = epoch, .flags = flags };
	const uint32_t zero = 0;

	put(skeleton->maps.weft_control, &zero, &control);
}

static inline void set_address(const char *text, uint32_t identity, uint32_t ifindex, uint32_t flags)
{
	const struct weft_address value = { .identity = { identity, identity }, .ifindex = ifindex, .flags = flags };
	struct weft_addr addr;

	assert_int_equal(addr_parse(text, &addr), 0);
	put(skeleton->maps.weft_addresses, &addr, &value);
}

static inline void set_workload(uint32_t ifindex, uint32_t identity, uint32_t subject, uint32_t flags, uint8_t mac)
{
	const struct weft_workload value = { .netns_cookie = ifindex + 1000, .identity = { identity, identity },
					     .subject = { subject, subject }, .ifindex = ifindex, .flags = flags,
					     .mac = { 2, 0, 0, 0, 0, mac } };

	put(skeleton->maps.weft_interfaces, &ifindex, &value);
}

static inline void set_policy(uint32_t subject, uint32_t identity, uint32_t direction, const struct weft_rule *rules, uint32_t count)
{
	const struct weft_policy_key key = { .subject = subject, .identity = identity, .direction = direction };
	const struct weft_policy policy = { .rules = { { next_rule, count }, { next_rule, count } } };

	for (uint32_t i = 0; i < count; i++, next_rule++)
		put(skeleton->maps.weft_rules, &next_rule, &rules[i]);
	put(skeleton->maps.weft_policies, &key, &policy);
}

#define START(protocol, port) ((uint32_t)(protocol) << 16 | (port))
#define DENIED .id = RULE_B_DENY, .reason = WEFT_REASON_POLICY_DENIED

/* a may send anything, and receives nothing; b takes web, DNS and pings from a and from far. */
static inline void set_policies(void)
{
	static const struct weft_rule all[] = { { .start = 0, .id = RULE_A_OUT } };
	static const struct weft_rule none[] = { { .start = 0, DENIED } };
	static const struct weft_rule some[] = {
		{ .start = 0, DENIED },
		{ .start = START(IPPROTO_ICMP, 0), .id = RULE_B_PING },
		{ .start = START(IPPROTO_ICMP, 1), DENIED },
		{ .start = START(IPPROTO_TCP, 80), .id = RULE_B_WEB },
		{ .start = START(IPPROTO_TCP, 81), DENIED },
		{ .start = START(IPPROTO_UDP, 53), .id = RULE_B_DNS },
		{ .start = START(IPPROTO_UDP, 54), DENIED },
		{ .start = START(IPPROTO_ICMPV6, 0), .id = RULE_B_PING },
		{ .start = START(IPPROTO_ICMPV6, 1), DENIED },
	};

	set_policy(SUBJECT_A, WEFT_IDENTITY_ANY, WEFT_EGRESS, all, 1);
	set_policy(SUBJECT_A, WEFT_IDENTITY_ANY, WEFT_INGRESS, none, 1);
	set_policy(SUBJECT_B, WEFT_IDENTITY_ANY, WEFT_EGRESS, none, 1);
	set_policy(SUBJECT_B, WEFT_IDENTITY_ANY, WEFT_INGRESS, none, 1);
	set_policy(SUBJECT_B, IDENTITY_A, WEFT_INGRESS, some, sizeof(some) / sizeof(*some));
	set_policy(SUBJECT_B, IDENTITY_FAR, WEFT_INGRESS, some, sizeof(some) / sizeof(*some));
}

static inline void set_world(uint32_t workload_flags)
{
	next_rule = 0;
	set_control(1, 1, 0);
	set_workload(a_if, IDENTITY_A, SUBJECT_A, workload_flags, 0xa);
	set_workload(b_if, IDENTITY_B, SUBJECT_B, workload_flags, 0xb);
	EACH_FAMILY(family) {
		set_address(family->a, IDENTITY_A, a_if, 0);
		set_address(family->b, IDENTITY_B, b_if, 0);
		set_address(family->far, IDENTITY_FAR, 0, 0);
		set_address(family->node, WEFT_IDENTITY_THIS_NODE, 0, WEFT_ADDRESS_THIS_NODE | WEFT_ADDRESS_NODE);
	}
	set_policies();
}

#endif
