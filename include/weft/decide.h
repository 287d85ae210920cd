/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause OR Apache-2.0 */
#ifndef WEFT_DECIDE_H
#define WEFT_DECIDE_H
/*
 * How a policy decision is made: the one procedure, compiled into the BPF programs and into the agent (`meshctl explain`).
 * The includer says where the tables are by defining, before it includes this file:
 *
 *   const struct weft_address *weft_find_address(const struct weft_addr *)
 *   const struct weft_prefix_value *weft_find_prefix(const struct weft_prefix *)   longest match
 *   const struct weft_policy *weft_find_policy(const struct weft_policy_key *)
 *   const struct weft_rule *weft_find_rule(__u32 index)
 *
 * each NULL when there is none. Cost: at most four look-ups and 17 steps per buffer, whatever is loaded.
 */
#include "weft/abi.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

struct weft_decision {
	__u32 rule;
	__u32 audit_rule;
	__u8 reason; /* enum weft_reason; NONE = allowed */
	__u8 flags;  /* enum weft_rule_flag */
	__u8 pad[2];
};

/* Who is at `addr`, in one buffer. WEFT_IDENTITY_WORLD if nothing names it. `known`: weft_find_address(addr) */
static __always_inline __u32 weft_identity_at(const struct weft_address *known, const struct weft_addr *addr, __u32 buffer)
{
	if (known && known->identity[buffer & 1])
		return known->identity[buffer & 1];

	struct weft_prefix key = { .length = 128, .addr = *addr };
	const struct weft_prefix_value *prefix = weft_find_prefix(&key);

	if (prefix && prefix->identity[buffer & 1])
		return prefix->identity[buffer & 1];
	return WEFT_IDENTITY_WORLD;
}

static __always_inline __u32 weft_identity_of(const struct weft_addr *addr, __u32 buffer)
{
	return weft_identity_at(weft_find_address(addr), addr, buffer);
}

static __always_inline struct weft_decision weft_decision_make(__u32 rule, __u8 reason)
{
	return (struct weft_decision){ .rule = rule, .reason = reason };
}

/*
 * The last rule of the run whose start is not above `start`. The run is never empty and its first rule starts at 0.
 * Without branches on what is found: else the verifier follows 2^17 paths.
 */
static __always_inline const struct weft_rule *weft_rule_search(__u32 first, __u32 count, __u32 start)
{
	__u32 low = 0, high = count; /* the answer is in [low, high) */

	for (int step = 0; step < WEFT_RULES_SEARCH_STEPS; step++) {
		if (high - low <= 1)
			break;
		__u32 middle = low + (high - low) / 2;
		const struct weft_rule *rule = weft_find_rule(first + middle);

		if (!rule)
			return 0;
		__u32 is_above = ((__u64)start - rule->start) >> 63;

		low += (middle - low) * (1 - is_above);
		high -= (high - middle) * is_above;
	}
	return weft_find_rule(first + low);
}

/* One buffer's decision about `subject` talking to `identity`. `port` is the server's, host order, 0 without ports. */
static __always_inline struct weft_decision weft_decide_in(__u32 buffer, __u32 subject, __u32 direction, __u32 identity,
							   __u8 protocol, __u16 port)
{
	struct weft_policy_key key = { .subject = subject, .identity = identity, .direction = direction };
	const struct weft_policy *policy;
	const struct weft_rule *rule;

	buffer &= 1;
	if (subject == WEFT_SUBJECT_OPEN)
		return weft_decision_make(WEFT_RULE_OPEN, WEFT_REASON_NONE);
	if (subject == WEFT_SUBJECT_NOT_LOADED)
		return weft_decision_make(WEFT_RULE_NONE, WEFT_REASON_POLICY_NOT_LOADED);

	policy = weft_find_policy(&key);
	if (!policy || !policy->rules[buffer].count) {
		key.identity = WEFT_IDENTITY_ANY;
		policy = weft_find_policy(&key);
	}
	if (!policy || !policy->rules[buffer].count)
		return weft_decision_make(WEFT_RULE_NONE, WEFT_REASON_POLICY_NOT_LOADED);

	rule = weft_rule_search(policy->rules[buffer].first, policy->rules[buffer].count,
				(__u32)protocol << 16 | port);
	if (!rule)
		return weft_decision_make(WEFT_RULE_NONE, WEFT_REASON_POLICY_NOT_LOADED);
	return (struct weft_decision){
		.rule = rule->id, .audit_rule = rule->audit_id, .reason = rule->reason, .flags = rule->flags
	};
}

/*
 * The decision in force about `workload` talking to `peer`, in `direction` seen from the workload. While two buffers
 * decide, both must allow; the first that denies is the one reported. `buffers` is weft_control.buffers, read once;
 * `known` is weft_find_address(peer), for a caller that needs it anyway.
 */
static __always_inline struct weft_decision weft_decide_at(__u32 buffers, const struct weft_workload *workload,
							   __u32 direction, const struct weft_addr *peer,
							   const struct weft_address *known, __u8 protocol, __u16 port)
{
	struct weft_decision decision = weft_decision_make(WEFT_RULE_NONE, WEFT_REASON_POLICY_NOT_LOADED);

	if (workload->flags & WEFT_WORKLOAD_HOST)
		return weft_decision_make(WEFT_RULE_THIS_NODE, WEFT_REASON_NONE);
	if (known && (known->flags & WEFT_ADDRESS_THIS_NODE) && buffers)
		return weft_decision_make(WEFT_RULE_THIS_NODE, WEFT_REASON_NONE);

	for (__u32 buffer = 0; buffer < WEFT_BUFFERS; buffer++) {
		if (!(buffers & (1u << buffer)))
			continue;
		decision = weft_decide_in(buffer, workload->subject[buffer], direction,
					  weft_identity_at(known, peer, buffer), protocol, port);
		if (decision.reason != WEFT_REASON_NONE)
			return decision;
	}
	return decision;
}

static __always_inline struct weft_decision weft_decide(__u32 buffers, const struct weft_workload *workload,
							__u32 direction, const struct weft_addr *peer, __u8 protocol,
							__u16 port)
{
	return weft_decide_at(buffers, workload, direction, peer, weft_find_address(peer), protocol, port);
}

#endif
