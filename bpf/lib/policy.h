/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_LIB_POLICY_H
#define WEFT_LIB_POLICY_H
/*
 * What is decided about a connection at an interface. Every direction whose pod runs on this node is decided at once, at
 * the first interface that sees the connection: an entry of the current epoch then holds for both interfaces.
 */
#include "lib/conntrack.h"
#include "lib/flow.h"

/* weft_control's first word, read at once so that the buffers are never older than the epoch they are noted under. */
union gate {
	__u64 word;
	struct {
		__u32 buffers;
		__u32 epoch;
	};
};

static __always_inline union gate gate_read(void)
{
	const struct weft_control *settings = control();

	return (union gate){ .word = settings ? *(const volatile __u64 *)settings : 0 };
}

struct judgement {
	union gate gate;
	__u32 ifindex[2]; /* of the pods of this node at both ends, by enum weft_direction of the decision that is theirs; or 0 */
	struct weft_decision decision; /* the one that denied, else the last */
	__u32 direction;	       /* of that one */
	__u32 hook;		       /* FROM_POD or TO_POD */
	__u32 rule[2];		       /* by enum weft_direction */
	__u32 identity[2];	       /* of the initiator, of the other end */
	__u32 initiator;	       /* end of the key */
	__u8 decided;		       /* bit enum weft_direction */
	__u8 is_new;		       /* there is no entry yet */
	__u8 was_open;		       /* there is one, and nothing has ended it */
	__u8 short_way;		       /* both ends take it */
};

/* The hook: what leaves the pod, what enters it. */
#define FROM_POD WEFT_EGRESS
#define TO_POD WEFT_INGRESS

static __always_inline const struct weft_workload *workload_at(__u32 ifindex)
{
	return bpf_map_lookup_elem(&weft_interfaces, &ifindex);
}

/* The interface of the pod of this node that is `end` of the packet's connection, or 0. */
SUBPROGRAM int end_ifindex(const struct packet *packet, __u32 end)
{
	const struct weft_address *known;
	struct weft_addr addr;

	if (!packet)
		return 0;
	addr = packet->key.addr[end_index(end)];
	known = weft_find_address(&addr);
	return known ? known->ifindex : 0;
}

/* Who is at `end`. While both buffers decide, records show the identities of the newer one. */
SUBPROGRAM int end_identity(const struct packet *packet, __u32 end, __u32 buffers)
{
	struct weft_addr addr;

	if (!packet)
		return WEFT_IDENTITY_WORLD;
	addr = packet->key.addr[end_index(end)];
	return weft_identity_of(&addr, buffers == 1 ? 0 : 1);
}

static __always_inline struct flow judgement_flow(const struct judgement *judgement, __u32 direction)
{
	const struct weft_workload *workload = workload_at(judgement->ifindex[end_index(direction)]);

	return (struct flow){
		.source_identity = judgement->identity[0],
		.destination_identity = judgement->identity[1],
		.initiator = judgement->initiator,
		.direction = direction,
		.rule = judgement->rule[end_index(direction)],
		.netns_cookie = workload ? workload->netns_cookie : 0,
	};
}

/* The decision about this direction, as records tell it. */
static __always_inline struct flow judgement_decision_flow(const struct judgement *judgement)
{
	struct flow flow = judgement_flow(judgement, judgement->direction);

	flow.rule = judgement->decision.rule;
	flow.audit_rule = judgement->decision.audit_rule;
	flow.rule_flags = judgement->decision.flags;
	flow.reason = judgement->decision.reason;
	return flow;
}

/* The programs at the sockets have decided and recorded what a pod's TCP and UDP sockets send. */
static __always_inline bool socket_reports(const struct packet *packet, __u32 direction)
{
	return direction == WEFT_EGRESS &&
	       (packet->key.protocol == IPPROTO_TCP || packet->key.protocol == IPPROTO_UDP);
}

/* AUDIT and dry-run policies get their record once per connection. */
static __always_inline void judge_audit(const struct packet *packet, const struct judgement *judgement)
{
	struct flow flow;

	if (!judgement->decision.flags || !judgement->is_new || socket_reports(packet, judgement->direction))
		return;
	flow = judgement_decision_flow(judgement);
	flow_record(packet, &flow, WEFT_EVENT_AUDIT);
}

/* One direction of the connection: NONE if it is allowed, or not this node's to decide. */
SUBPROGRAM int judge(const struct packet *packet, struct judgement *judgement, __u32 direction)
{
	const struct weft_workload *workload;
	struct weft_addr peer;
	__u32 initiator;

	if (!packet || !judgement)
		return WEFT_REASON_POLICY_NOT_LOADED;
	direction = end_index(direction);
	if (!judgement->ifindex[direction])
		return WEFT_REASON_NONE;
	workload = workload_at(judgement->ifindex[direction]);
	if (!workload)
		return WEFT_REASON_POLICY_NOT_LOADED;

	initiator = end_index(judgement->initiator);
	peer = packet->key.addr[direction == WEFT_EGRESS ? other_end(initiator) : initiator];
	judgement->direction = direction;
	judgement->decision = weft_decide(judgement->gate.buffers, workload, direction, &peer,
					  packet->key.protocol, packet_port(packet, other_end(initiator)));
	if (judgement->decision.reason != WEFT_REASON_NONE)
		return judgement->decision.reason;
	judgement->decided |= 1 << direction;
	judgement->rule[direction] = judgement->decision.rule;
	judge_audit(packet, judgement);
	return WEFT_REASON_NONE;
}

#endif
