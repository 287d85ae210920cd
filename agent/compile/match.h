/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_COMPILE_MATCH_H
#define WEFT_COMPILE_MATCH_H
/*
 * Whether the peer side of a policy rule matches an identity, and which ports an AuthorizationPolicy rule is about.
 * What an identity does not have (a node has no namespace, an address no principal) matches no positive form and every
 * not-form, as in Istio.
 */
#include "compile/identities.h"

/* An inclusive range of weft_rule.start: protocol << 16 | port. */
struct port_range {
	uint32_t first, last;
};

/* AuthorizationPolicy `when` conditions that are not about the peer. */
#define CONDITION_DESTINATION_IP "destination.ip"
#define CONDITION_DESTINATION_PORT "destination.port"

/*
 * A rule of either kind as the matcher needs it. `network` or `authorization` is set. For an AuthorizationPolicy rule
 * the parts that L4 cannot decide count as matching (`lenient`: DENY and AUDIT), or spoil the whole rule (ALLOW).
 */
struct rule_match {
	const struct network_policy_rule *network;
	const struct authorization_rule *authorization;
	const char *namespace; /* of the policy */
	bool lenient;
};

/* Sets bit `slot` of `bits` for each of `identities` (NULL: skipped) that the rule matches, clears the others'. */
void rule_match_identities(const struct rule_match *rule, const struct model *model, struct identity *const *identities,
			   size_t count, uint64_t *bits);
/* The same for one identity, which needs no slot. */
bool rule_matches_identity(const struct rule_match *rule, const struct model *model, const struct identity *identity);
/* Whether the rule's destination.ip conditions hold for one of the subject's addresses of the peer's family. */
bool rule_matches_destination(const struct rule_match *rule, const struct weft_addr *addresses, size_t count,
			      const struct identity *peer);
bool rule_has_destination_ip(const struct rule_match *rule);
/* Whether an AuthorizationPolicy rule is about this port of the subject. */
bool rule_matches_port(const struct rule_match *rule, uint16_t port);
/* The ports that the rule names: between two of them its answer is the same. Returns how many; `ports` may be NULL. */
size_t rule_named_ports(const struct rule_match *rule, uint16_t *ports);
/* Whether some part of an AuthorizationPolicy rule cannot be decided at L4. */
bool rule_is_undecidable(const struct authorization_rule *rule);
/* Calls `each` for every CIDR that the rule names. Stops at the first non-zero result and returns it. */
int rule_each_cidr(const struct rule_match *rule, int (*each)(const struct cidr *cidr, void *context), void *context);

#endif
