/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_COMPILE_POLICY_H
#define WEFT_COMPILE_POLICY_H
/*
 * NetworkPolicy and AuthorizationPolicy to desired->policies. A subject is a set of policies that together select a pod
 * (with what else makes their outcome differ: what named ports mean for the pod, and its addresses where a policy asks
 * for them). For each subject and direction there is an entry for WEFT_IDENTITY_ANY and one for each identity that fares
 * otherwise.
 */
#include "compile/identities.h"
#include "compile/rule_names.h"

struct policies;
struct subject;

int policies_new(struct policies **ret, struct model *model, const struct compile_options *options,
		 struct identities *identities, struct rule_names *names, struct desired *desired);
void policies_free(struct policies *policies);

/* From the model's watch, about a NetworkPolicy, an AuthorizationPolicy or a Namespace. 0 or -ENOMEM. */
int policies_changed(struct policies *policies, const struct object *old, const struct object *new);
/* Whether pods may have other subjects than before: each local pod must be selected again before policies_run(). */
bool policies_selection_changed(const struct policies *policies);
/* The subject of a pod of this node, with one user more. *ret NULL: no policy selects it. 0 or -ENOMEM. */
int policies_select(struct policies *policies, const struct pod_object *pod, struct subject **ret);
void policies_deselect(struct policies *policies, struct subject *subject); /* NULL is fine */
uint32_t subject_number(const struct subject *subject); /* WEFT_SUBJECT_OPEN for NULL */

/*
 * Compiles the subjects that changed whole, and new identities for the others. After identities_run(), before
 * identities_settle(). Returns the number of entries that changed, or -errno.
 */
int policies_run(struct policies *policies);

#endif
