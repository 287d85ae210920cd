/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_COMPILE_POLICY_INTERNAL_H
#define WEFT_COMPILE_POLICY_INTERNAL_H
/*
 * What policy.c (the policies as they come from the model), subject.c (which of them select a pod) and policy_entries.c
 * (what follows from them for each peer) share.
 */
#include "compile/ids.h"
#include "compile/policy.h"
#include "compile/run.h"
#include "util/hash.h"

#define DIRECTIONS 2 /* enum weft_direction */

struct rule {
	struct rule_match match;
	uint32_t id;
	enum run_layer layer;
	bool destination_ip;
	struct port_range *ranges; /* AuthorizationPolicy; a NetworkPolicy's depend on what its named ports mean */
	size_t range_count;
	uint64_t *matches; /* by identity slot; NULL: not computed */
	size_t match_words;
};

struct policy {
	struct { /* interned, so the key is compared as bytes */
		const char *namespace, *name;
		uintptr_t kind; /* enum model_kind */
	} key;
	const struct object *object;
	bool changed; /* since the last run */
	bool destination_ip, named_ports[DIRECTIONS];
	struct rule *rules[DIRECTIONS];
	size_t rule_count[DIRECTIONS];
	uint32_t whole[DIRECTIONS]; /* what is named where it applies and none of its rules matches; 0: it does not apply */
};

struct subject {
	uint32_t number;
	size_t users;
	bool stale; /* to be compiled whole */
	bool named_ports[DIRECTIONS];
	struct run_terms terms[DIRECTIONS];
	struct rule **rules[DIRECTIONS]; /* of all its policies, in order of precedence */
	size_t rule_count[DIRECTIONS];
	struct container_port *ports;
	size_t port_count;
	struct weft_addr *addresses;
	size_t address_count;
	struct subject *next_unused;
};

struct policies {
	struct model *model;
	const char *root_namespace;
	struct identities *identities;
	struct rule_names *names;
	struct desired *desired;
	struct policy **sorted; /* by kind, namespace, name */
	size_t count, room;
	struct hash_set subjects;
	struct ids *subject_ids;
	struct run *run;
	bool selection_changed;
	bool namespaces_changed;
	bool said_too_long;
};

static inline const struct network_policy_object *as_network(const struct object *object)
{
	return object->kind == MODEL_NETWORK_POLICY ? (const struct network_policy_object *)object : NULL;
}

static inline const struct authorization_policy_object *as_authorization(const struct object *object)
{
	return (const struct authorization_policy_object *)object;
}

/* Where the rules of an AuthorizationPolicy belong. */
enum run_layer policy_layer(const struct authorization_policy_object *object);

void subject_free(struct subject *subject);

/* The rules' matches are to follow new identities and changed namespaces. 0 or -ENOMEM. */
int policy_update_matches(struct policies *policies);
/*
 * A stale subject whole; another with the identities that came and went. Returns the number of entries that changed, or
 * -errno.
 */
int policy_compile_subject(struct policies *policies, const struct subject *subject);
/* Takes a subject out of the table. Returns the number of entries that changed. */
int policy_remove_entries(struct policies *policies, const struct subject *subject);

#endif
