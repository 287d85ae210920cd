/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_COMPILE_INTERNAL_H
#define WEFT_COMPILE_INTERNAL_H
/* What struct compile is made of: for the files of compile/ that answer questions about it (names.c, explain.c). */
#include "compile/compile.h"
#include "compile/identities.h"
#include "compile/policy.h"
#include "compile/rule_names.h"
#include "compile/services.h"
#include "util/hash.h"

/* A pod of this node: how it is bound, and what the tables say about it. */
struct local_pod {
	const char *namespace, *name; /* interned */
	struct binding binding;
	struct binding written; /* whose keys are in the tables; no cookie: none are */
	struct identity *identity;
	struct subject *subject;
	bool bound;
	bool dirty;
};

struct service_name {
	uint32_t id;
	struct service_info info;
};

struct compile {
	struct model *model;
	struct compile_options options;
	struct desired *desired;
	struct services *services;
	struct identities *identities;
	struct policies *policies;
	struct rule_names *rule_names;
	struct hash_set *service_names; /* of struct service_name: those that names.c was asked for */
	struct local_pod **pods; /* sorted by namespace, then name */
	size_t pod_count, pod_room;
	uint64_t host_cookie; /* 0: not known yet */
	bool pods_dirty;      /* at least one is */
	int failed;	      /* a change could not be noted for want of memory: the tables stay as they are */
};

/* NULL: no such pod was bound. */
struct local_pod *compile_local_pod(const struct compile *compile, const char *namespace, const char *name);

#endif
