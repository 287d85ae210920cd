/* SPDX-License-Identifier: Apache-2.0 */
#include "compile/names.h"

#include "compile/internal.h"

const struct identity_info *names_identity(const struct compile *compile, uint32_t identity)
{
	const struct identity *found = identities_find(compile->identities, identity);

	return found ? &found->info : NULL;
}

const struct rule_info *names_rule(const struct compile *compile, uint32_t rule)
{
	return rule_names_find(compile->rule_names, rule);
}
