/* SPDX-License-Identifier: Apache-2.0 */
#include "compile/names.h"

#include <stdlib.h>
#include <string.h>

#include "compile/internal.h"
#include "util/intern.h"

const struct identity_info *names_identity(const struct compile *compile, uint32_t identity)
{
	const struct identity *found = identities_find(compile->identities, identity);

	return found ? &found->info : NULL;
}

const struct rule_info *names_rule(const struct compile *compile, uint32_t rule)
{
	return rule_names_find(compile->rule_names, rule);
}

static struct service_name *service_name_get(struct hash_set *names, uint32_t service)
{
	struct service_name *name = hash_set_find(names, &service);

	if (name)
		return name;
	name = calloc(1, sizeof(*name));
	if (!name)
		return NULL;
	name->id = service;
	if (hash_set_put(names, name, NULL) < 0) {
		free(name);
		return NULL;
	}
	return name;
}

/* services.c keeps one text per number; what was asked for is kept in two parts. */
const struct service_info *names_service(const struct compile *compile, uint32_t service)
{
	const char *text = services_name(compile->services, service);
	const char *slash = text ? strchr(text, '/') : NULL;
	struct service_name *name;

	if (!slash) {
		free(hash_set_take(compile->service_names, &service));
		return NULL;
	}
	name = service_name_get(compile->service_names, service);
	if (!name)
		return NULL;
	name->info.namespace = intern_n(text, (size_t)(slash - text));
	name->info.name = intern(slash + 1);
	return name->info.namespace && name->info.name ? &name->info : NULL;
}
