/* SPDX-License-Identifier: Apache-2.0 */
#include "compile/rule_names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "compile/ids.h"
#include "util/hash.h"

struct rule_name {
	uint32_t id;
	struct rule_info info; /* its text belongs to ids.c */
	struct rule_name *next_stale;
};

struct rule_names {
	struct ids *ids;
	struct hash_set names;
};

static const struct rule_info builtin_rules[] = {
	[WEFT_RULE_NONE] = { .text = "no rule", .index = -1 },
	[WEFT_RULE_OPEN] = { .text = "no policy selects the pod", .index = -1 },
	[WEFT_RULE_ISOLATED] = { .text = "the pod's policies have more ranges of ports than fit", .index = -1 },
	[WEFT_RULE_THIS_NODE] = { .text = "traffic with the pod's own node is always allowed", .index = -1 },
	[WEFT_RULE_OWN_POD] = { .text = "a pod always reaches itself", .index = -1 },
	[WEFT_RULE_LINK_LOCAL] = { .text = "neighbour discovery on the pod's own link", .index = -1 },
};

int rule_names_new(struct rule_names **ret)
{
	struct rule_names *names = calloc(1, sizeof(*names));

	if (!names)
		return -ENOMEM;
	if (ids_new(&names->ids, NAMES_KEEP_SECONDS) < 0) {
		free(names);
		return -ENOMEM;
	}
	names->names = (struct hash_set){ .key_offset = offsetof(struct rule_name, id), .key_size = sizeof(uint32_t) };
	*ret = names;
	return 0;
}

void rule_names_free(struct rule_names *names)
{
	struct rule_name *name;

	if (!names)
		return;
	for (size_t position = 0; (name = hash_set_next(&names->names, &position));)
		free(name);
	hash_set_clear(&names->names);
	ids_free(names->ids);
	free(names);
}

static struct rule_name *name_of(struct rule_names *names, uint32_t id)
{
	struct rule_name *name = hash_set_find(&names->names, &id);

	if (name)
		return name; /* filled again: a number that ids.c forgot may stand for another rule by now */
	name = calloc(1, sizeof(*name));
	if (!name)
		return NULL;
	name->id = id;
	if (hash_set_put(&names->names, name, NULL) < 0) {
		free(name);
		return NULL;
	}
	return name;
}

static char *text_of(enum rule_kind kind, const char *namespace, const char *name, enum weft_direction direction, int index)
{
	const char *side = direction == WEFT_INGRESS ? "ingress" : "egress";
	char *text;
	int length;

	if (kind == RULE_NETWORK_POLICY && index < 0)
		length = asprintf(&text, "NetworkPolicy %s/%s isolates the pod, no %s rule allows it", namespace, name, side);
	else if (kind == RULE_NETWORK_POLICY)
		length = asprintf(&text, "NetworkPolicy %s/%s %s rule %d", namespace, name, side, index);
	else if (index < 0)
		length = asprintf(&text, "AuthorizationPolicy %s/%s has to allow it, no rule does", namespace, name);
	else
		length = asprintf(&text, "AuthorizationPolicy %s/%s rule %d", namespace, name, index);
	return length < 0 ? NULL : text;
}

uint32_t rule_names_get(struct rule_names *names, enum rule_kind kind, const char *namespace, const char *name,
			enum weft_direction direction, int index)
{
	struct rule_name *entry;
	char *text = text_of(kind, namespace, name, direction, index);
	uint32_t id;

	if (!text)
		return 0;
	id = ids_get(names->ids, text);
	free(text);
	entry = id ? name_of(names, id) : NULL;
	if (!entry)
		return 0;
	entry->info = (struct rule_info){ .kind = kind, .namespace = namespace, .name = name,
					  .text = ids_text(names->ids, id), .direction = direction, .index = index };
	return id;
}

void rule_names_settle(struct rule_names *names)
{
	struct rule_name *name, *stale = NULL;

	for (size_t position = 0; (name = hash_set_next(&names->names, &position));) {
		if (ids_text(names->ids, name->id))
			continue;
		name->next_stale = stale;
		stale = name;
	}
	for (; stale; stale = name) {
		name = stale->next_stale;
		hash_set_take(&names->names, &stale->id);
		free(stale);
	}
}

void rule_names_put(struct rule_names *names, uint32_t id) { ids_put(names->ids, id); }

const struct rule_info *rule_names_find(const struct rule_names *names, uint32_t id)
{
	const struct rule_name *name;

	if (id < sizeof(builtin_rules) / sizeof(*builtin_rules))
		return &builtin_rules[id];
	if (!ids_text(names->ids, id))
		return NULL;
	name = hash_set_find(&names->names, &id);
	return name ? &name->info : NULL;
}
