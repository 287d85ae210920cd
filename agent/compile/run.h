/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_COMPILE_RUN_H
#define WEFT_COMPILE_RUN_H
/*
 * From the rules that match a peer to the run of weft_rule that decides by protocol and port. Each layer keeps, for
 * every protocol and port, the first rule that was added for it; run_build() then decides between the layers.
 */
#include "compile/match.h"

enum run_layer {
	RUN_NETWORK,   /* NetworkPolicy rules */
	RUN_DENY,      /* AuthorizationPolicy, by action */
	RUN_ALLOW,
	RUN_AUDIT,
	RUN_DRY_DENY, /* the same of policies in dry run */
	RUN_DRY_ALLOW,
	RUN_LAYERS
};

/* What selects the subject, whatever the peer is. */
struct run_terms {
	/* what is named when no rule allows: the first policy, as a whole; 0: none applies */
	uint32_t isolated_by; /* NetworkPolicy for this direction */
	uint32_t allow;	      /* ALLOW AuthorizationPolicy */
	uint32_t dry_allow;   /* the same in dry run */
};

struct run; /* reusable: its memory grows to what the largest run needed */

int run_new(struct run **ret); /* 0 or -ENOMEM */
void run_free(struct run *run);
void run_start(struct run *run);
/* The next rule in order of precedence. 0 or -ENOMEM. */
int run_add(struct run *run, enum run_layer layer, uint32_t id, const struct port_range *range);
/*
 * Decides. Returns 0 or -ENOMEM; -E2BIG: more than WEFT_RULES_MAX_RUN rules; what is beyond them is denied. The rules
 * are valid until the next run_start().
 */
int run_build(struct run *run, const struct run_terms *terms, const struct weft_rule **ret_rules, size_t *ret_count);

#define RUN_END 0x1000000u /* above all of protocol << 16 | port */
static inline uint32_t run_start_of(uint8_t protocol, uint16_t port) { return (uint32_t)protocol << 16 | port; }

#endif
