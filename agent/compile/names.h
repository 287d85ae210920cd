/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_NAMES_H
#define WEFT_NAMES_H
/*
 * What the 32-bit numbers in the maps stand for. Numbers are hashes of what they name (FNV-1a folded to 32 bits, next free
 * number on collision, never below 16), so a restarted agent gives the same ones and what is pinned stays meaningful.
 * A number that is no longer in use keeps its name for late flow records until NAMES_KEEP_SECONDS have passed.
 */
#include "compile/compile.h"

struct identity_info {
	const char *namespace;	     /* interned; NULL for world, nodes and prefixes */
	const char *service_account;
	const char *workload_kind;
	const char *workload_name;
	const struct labels *labels;
	const char *text; /* always set: "default/web", "world", "this-node", "node", "cidr:10.0.0.0/8" */
};

enum rule_kind { RULE_BUILTIN, RULE_NETWORK_POLICY, RULE_AUTHORIZATION_POLICY };
struct rule_info {
	enum rule_kind kind;
	const char *namespace;
	const char *name;
	const char *text; /* always set: "NetworkPolicy default/api-ingress ingress rule 2", "no policy selects the pod" */
	enum weft_direction direction;
	int index; /* of the rule in the object, from 0; -1: the object as a whole */
};

struct service_info {
	const char *namespace;
	const char *name;
};

/* Each returns NULL for a number that names nothing (any more). Valid until the next compile_run(). */
const struct identity_info *names_identity(const struct compile *compile, uint32_t identity);
const struct rule_info *names_rule(const struct compile *compile, uint32_t rule);
const struct service_info *names_service(const struct compile *compile, uint32_t service);

#endif
