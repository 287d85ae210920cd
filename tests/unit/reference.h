/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_TEST_REFERENCE_H
#define WEFT_TEST_REFERENCE_H
/*
 * What the specifications of NetworkPolicy v1 and of AuthorizationPolicy say about one packet, worked out anew for each
 * question from the objects themselves. Slow and obvious, and it shares no code with compile/: the tests hold that against this.
 */
#include "model/model.h"

struct reference_cluster {
	const struct model *model;
	const char *node_name;
	const char *root_namespace;
	const char *trust_domain;
};

struct reference_verdict {
	uint8_t reason; /* enum weft_reason; NONE = allowed */
	uint8_t flags;	/* enum weft_rule_flag */
	char rule[200]; /* as names_rule() calls it */
	char audit[200]; /* "" without flags */
};

/* The pod that has this address (a host network pod has none of its own), or NULL. */
const struct pod_object *reference_pod_at(const struct reference_cluster *cluster, const struct weft_addr *addr);

/*
 * May `pod`, which runs on the cluster's node_name, at its address `own`, talk to (direction WEFT_EGRESS) or be talked to by
 * `peer`? `port` is the server's.
 */
void reference_decide(const struct reference_cluster *cluster, const struct pod_object *pod, const struct weft_addr *own,
		      enum weft_direction direction, const struct weft_addr *peer, uint8_t protocol, uint16_t port,
		      struct reference_verdict *ret);

#endif
