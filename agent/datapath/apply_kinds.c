/* SPDX-License-Identifier: Apache-2.0 */
/* What each of the five tables puts into its map, buffer by buffer. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/apply_rounds.h"
#include "util/log.h"

static struct weft_prefix prefix_cut(const struct weft_prefix *prefix, uint32_t length)
{
	struct weft_prefix cut = { .length = length };

	memcpy(&cut.addr, &prefix->addr, length / 8);
	if (length % 8)
		((unsigned char *)&cut.addr)[length / 8] =
			((const unsigned char *)&prefix->addr)[length / 8] & (unsigned char)(0xff00 >> length % 8);
	return cut;
}

uint32_t prefix_parent(const struct apply *apply, const struct weft_prefix *prefix, uint32_t buffer)
{
	for (uint32_t length = prefix->length; length-- > 0;) {
		struct weft_prefix key = prefix_cut(prefix, length);
		const struct prefix_entry *entry = hash_set_find(&apply->prefixes, &key);

		if (entry)
			return entry->value.identity[buffer];
	}
	return 0;
}

static uint32_t parent_desired(const struct table *prefixes, const struct weft_prefix *prefix)
{
	for (uint32_t length = prefix->length; length-- > 0;) {
		struct weft_prefix key = prefix_cut(prefix, length);
		const struct desired_prefix *desired = table_get(prefixes, &key, NULL);

		if (desired)
			return desired->identity;
	}
	return 0;
}

int prefix_note(struct apply *apply, const struct weft_prefix *key, const struct weft_prefix_value *value)
{
	struct prefix_entry *entry = hash_set_find(&apply->prefixes, key);

	if (!entry) {
		entry = calloc(1, sizeof(*entry));
		if (!entry)
			return -ENOMEM;
		entry->key = *key;
		if (hash_set_put(&apply->prefixes, entry, NULL) < 0) {
			free(entry);
			return -ENOMEM;
		}
	}
	entry->value = *value;
	return 0;
}


static bool matches_encoded(struct round *round, const void *key, const void *value, const void *desired, size_t size,
			    uint32_t buffer)
{
	unsigned char wanted[VALUE_MAX];

	memcpy(wanted, value, round->map->value_size);
	round->kind->encode(round, key, desired, size, buffer, wanted);
	return !memcmp(wanted, value, round->map->value_size);
}

static int encode_workload(struct round *round, const void *key, const void *desired, size_t size, uint32_t buffer,
			void *value)
{
	const struct desired_workload *wanted = desired;
	struct weft_workload *workload = value;

	(void)key;
	(void)size;
	workload->identity[buffer] = wanted ? wanted->identity : 0;
	workload->subject[buffer] = wanted && !hash_set_find(&round->apply->closed, &wanted->subject) ? wanted->subject :
												     WEFT_SUBJECT_NOT_LOADED;
	return 0;
}

static void encode_workload_common(const struct apply *apply, const void *desired, void *value)
{
	static const struct desired_workload gone;
	const struct desired_workload *wanted = desired ? desired : &gone;
	struct weft_workload *workload = value;

	workload->netns_cookie = wanted->netns_cookie;
	workload->ifindex = wanted->ifindex;
	workload->flags = wanted->flags;
	if (desired && apply->short_way && !(wanted->flags & WEFT_WORKLOAD_HOST))
		workload->flags |= WEFT_WORKLOAD_SHORT_WAY;
	memcpy(workload->mac, wanted->mac, sizeof(workload->mac));
	memcpy(workload->addr, wanted->addr, sizeof(workload->addr));
}

static int encode_address(struct round *round, const void *key, const void *desired, size_t size, uint32_t buffer,
			void *value)
{
	(void)round;
	(void)key;
	(void)size;
	((struct weft_address *)value)->identity[buffer] = desired ? ((const struct desired_address *)desired)->identity : 0;
	return 0;
}

static void encode_address_common(const struct apply *apply, const void *desired, void *value)
{
	const struct desired_address *wanted = desired;

	(void)apply;
	((struct weft_address *)value)->ifindex = wanted ? wanted->ifindex : 0;
	((struct weft_address *)value)->flags = wanted ? wanted->flags : 0;
}

static int encode_prefix(struct round *round, const void *key, const void *desired, size_t size, uint32_t buffer,
			void *value)
{
	(void)size;
	((struct weft_prefix_value *)value)->identity[buffer] =
		desired ? ((const struct desired_prefix *)desired)->identity : parent_desired(round->desired->prefixes, key);
	return 0;
}

static bool matches_policy(struct round *round, const void *key, const void *value, const void *desired, size_t size,
			   uint32_t buffer)
{
	const struct weft_policy *policy = value;
	uint32_t first = policy->rules[buffer].first, count = policy->rules[buffer].count;
	const struct weft_rule *rules = count ? runs_at(&round->apply->runs, first, count) : NULL;

	(void)key;
	if (!desired || !count)
		return !desired && !count;
	return rules && count * sizeof(*rules) == size && !memcmp(rules, desired, size);
}

/* No entry of the kernel's may still name what is released. */
static bool make_room_for_rules(struct round *round)
{
	if (!round->apply->runs.ranges.waiting.count)
		return false;
	map_writer_flush(&round->writer);
	return !round->error && apply_release(round->apply) == 0;
}

static int encode_policy(struct round *round, const void *key, const void *desired, size_t size, uint32_t buffer,
			void *value)
{
	struct weft_policy *policy = value;
	struct map *rules = datapath_find_map(round->apply->datapath, "weft_rules");
	uint32_t first = 0, count = (uint32_t)(size / sizeof(struct weft_rule));
	int result = 0;

	(void)key;
	if (desired && (!count || count > WEFT_RULES_MAX_RUN || size % sizeof(struct weft_rule)))
		return -EINVAL;
	if (desired)
		result = runs_get(&round->apply->runs, desired, count, &first);
	if (result == -ENOSPC && make_room_for_rules(round))
		result = runs_get(&round->apply->runs, desired, count, &first);
	if (desired) {
		rules->is_full = result == -ENOSPC;
		rules->full += result == -ENOSPC;
	}
	policy->rules[buffer].first = result == 0 ? first : 0;
	policy->rules[buffer].count = result == 0 && desired ? count : 0;
	return result;
}

static void drop_policy(struct apply *apply, const void *value, uint32_t buffer)
{
	const struct weft_policy *policy = value;

	if (policy->rules[buffer].count)
		runs_put(&apply->runs, policy->rules[buffer].first);
}

/* Whether all that `loose` denies is denied by `strict` too; both tile all ports. */
static bool is_as_strict(const struct weft_rule *strict, size_t strict_count, const struct weft_rule *loose,
			 size_t loose_count)
{
	size_t s = 0, l = 0;

	while (s < strict_count && l < loose_count) {
		uint64_t strict_end = s + 1 < strict_count ? strict[s + 1].start : UINT64_MAX;
		uint64_t loose_end = l + 1 < loose_count ? loose[l + 1].start : UINT64_MAX;

		if (strict[s].reason == WEFT_REASON_NONE && loose[l].reason != WEFT_REASON_NONE)
			return false;
		s += strict_end <= loose_end;
		l += loose_end <= strict_end;
	}
	return true;
}

static int mark_subject(const void *key, const void *value, size_t size, void *context)
{
	const struct desired_workload *workload = value;
	struct round *round = context;

	(void)size;
	if (hash_set_find(&round->apply->closed, &workload->subject))
		table_mark_dirty(round->table, key);
	return 0;
}

void closed_mark(struct apply *apply, struct desired *desired)
{
	struct round workloads = { .apply = apply, .table = desired->workloads };
	struct round interfaces = { .apply = apply, .table = desired->interfaces };

	if (!apply->closed.count)
		return;
	table_each(desired->workloads, mark_subject, &workloads);
	table_each(desired->interfaces, mark_subject, &interfaces);
}

static int close_subject(struct apply *apply, uint32_t subject)
{
	struct closed_subject *closed;

	if (hash_set_find(&apply->closed, &subject))
		return 0;
	closed = malloc(sizeof(*closed));
	if (closed)
		closed->subject = subject;
	if (!closed || hash_set_put(&apply->closed, closed, NULL) < 0) {
		free(closed);
		return -ENOMEM;
	}
	log_warn("the policy of subject %u does not fit into the maps: its pods are closed until there is room", subject);
	return 0;
}

void closed_forget(struct apply *apply)
{
	struct closed_subject *closed;
	size_t position = 0;

	while ((closed = hash_set_next(&apply->closed, &position)))
		free(closed);
	hash_set_clear(&apply->closed);
}

/* A policy entry finds no room. See the top of apply_policy.c. */
static void policy_refused(struct round *round, const void *key)
{
	struct weft_policy_key any = *(const struct weft_policy_key *)key;
	size_t size, any_size;
	const struct weft_rule *rules = table_get(round->table, key, &size), *fallback;

	any.identity = WEFT_IDENTITY_ANY;
	fallback = table_get(round->table, &any, &any_size);
	if (!rules || !fallback || !memcmp(&any, key, sizeof(any)))
		return; /* without an entry for any identity all is denied */
	if (is_as_strict(fallback, any_size / sizeof(*rules), rules, size / sizeof(*rules)))
		return;
	if (close_subject(round->apply, any.subject) < 0)
		round->error = -ENOMEM;
}

const struct kind kinds[KIND_COUNT] = {
	{
		.map = "weft_policies",
		.table = offsetof(struct desired, policies),
		.matches = matches_policy,
		.encode = encode_policy,
		.drop = drop_policy,
		.refused = policy_refused,
	},
	{
		.map = "weft_prefixes",
		.table = offsetof(struct desired, prefixes),
		.matches = matches_encoded,
		.encode = encode_prefix,
	},
	{
		.map = "weft_addresses",
		.table = offsetof(struct desired, addresses),
		.matches = matches_encoded,
		.encode = encode_address,
		.encode_common = encode_address_common,
	},
	{
		.map = "weft_workloads",
		.table = offsetof(struct desired, workloads),
		.matches = matches_encoded,
		.encode = encode_workload,
		.encode_common = encode_workload_common,
	},
	{
		.map = "weft_interfaces",
		.table = offsetof(struct desired, interfaces),
		.matches = matches_encoded,
		.encode = encode_workload,
		.encode_common = encode_workload_common,
	},
};

struct table *table_of(const struct desired *desired, const struct kind *kind)
{
	return *(struct table *const *)((const char *)desired + kind->table);
}
