/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policy and identity. Their values have two buffers (weft/abi.h); at rest both hold the same and one decides.
 * A change:
 *
 *   1. the idle buffer of all dirty keys gets the new state
 *   2. both buffers decide: a connection passes two programs, and neither of them may decide by the new state alone
 *      while the other may still decide by the old one alone
 *   3. programs that still decide by the old buffer alone have ended (8 to 20 ms)
 *   4. the new buffer alone decides; services change now
 *   5. programs that still ask both buffers have ended: they would see the other one half written, and deny what both
 *      states allow
 *   6. the other buffer gets the new state too, keys that are gone are deleted
 *
 * Prefixes: the longest match wins even if it says nothing, so a new prefix holds in the old buffer the identity that
 * its longest parent had, and one that goes holds in the new buffer the one that its longest remaining parent has.
 *
 * Where there is no room, an entry is missing. Without the entry of an identity programs use that of any identity:
 * where that one allows more than the missing one, the subject is closed (POLICY_NOT_LOADED) rather than too open.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/apply_rounds.h"
#include "util/log.h"

static uint32_t control_buffers(const struct apply *apply)
{
	return __atomic_load_n(&apply->datapath->control->buffers, __ATOMIC_ACQUIRE);
}

/* Both words in one store: no program sees the new epoch with the old buffers. Epoch 0 means "nobody decided". */
static void set_buffers(struct apply *apply, uint32_t buffers)
{
	typedef uint64_t __attribute__((may_alias)) word;
	struct weft_control *control = apply->datapath->control;
	uint32_t both[2] = { buffers, control->epoch == UINT32_MAX ? 1 : control->epoch + 1 };
	uint64_t value;

	_Static_assert(offsetof(struct weft_control, buffers) == 0 && offsetof(struct weft_control, epoch) == 4, "one word");
	memcpy(&value, both, sizeof(value));
	apply_step("buffers");
	__atomic_store_n((word *)control, value, __ATOMIC_SEQ_CST);
}

static bool is_dirty(const struct desired *desired, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		if (table_dirty_count(table_of(desired, &kinds[i])))
			return true;
	return false;
}

static int mark_all(const void *key, const void *value, size_t size, void *context)
{
	(void)value;
	(void)size;
	table_mark_dirty(context, key);
	return 0;
}

/* Nothing decides: all is written, both buffers at once, and comes into force with one store. */
static int load_all(struct apply *apply, struct desired *desired, struct outcome *outcome)
{
	struct round round = { .apply = apply, .desired = desired, .outcome = outcome, .target = WEFT_BUFFERS };
	int result = 0;

	for (size_t i = 0; result == 0 && i < KIND_COUNT; i++) {
		struct map *map = datapath_find_map(apply->datapath, kinds[i].map);

		result = map->entries ? map_clear(map) : 0;
		table_each(table_of(desired, &kinds[i]), mark_all, table_of(desired, &kinds[i]));
	}
	if (result < 0)
		return result;
	apply_policy_clear(apply);
	result = apply_policy_scan(apply);
	if (result == 0)
		result = rounds_write(&round);
	if (result == 0)
		set_buffers(apply, 1);
	return result;
}

struct local_count {
	const struct map *map;
	unsigned int local;
};

static int count_local(const void *key, const void *value, size_t size, void *context)
{
	struct local_count *count = context;
	const struct desired_address *wanted = value;
	struct weft_address address;

	(void)size;
	if ((wanted && wanted->ifindex) || (apply_lookup(count->map, key, &address) > 0 && address.ifindex))
		count->local++;
	return count->local > 1;
}

/*
 * Whether only addresses change, of which at most one is of a pod of this node: every connection then meets at most
 * one program of this node whose decision changes, and each decision reads one changed entry. So writing entry by
 * entry is as good as the whole procedure: most of what happens in a cluster happens to pods of other nodes.
 */
static bool is_direct(const struct apply *apply, const struct desired *desired)
{
	struct local_count count = { datapath_find_map(apply->datapath, "weft_addresses"), 0 };

	for (size_t i = 0; i < KIND_COUNT; i++)
		if (strcmp(kinds[i].map, count.map->name) != 0 && is_dirty(desired, i, i + 1))
			return false;
	return table_each_dirty(desired->addresses, count_local, &count) == 0;
}

/* A program that still reads the old entry has read the old epoch before: what it notes is decided anew. */
static int apply_direct(struct apply *apply, struct desired *desired, struct outcome *outcome)
{
	struct round round = { .apply = apply, .desired = desired, .outcome = outcome, .target = WEFT_BUFFERS };
	int result;

	round.deciding = control_buffers(apply) == 2;
	result = rounds_write(&round);
	if (round.changes)
		set_buffers(apply, control_buffers(apply));
	return result;
}

/* Of an agent that was killed while both decided: both are complete, the first one stays. */
static int settle_buffers(struct apply *apply)
{
	if (control_buffers(apply) != 3)
		return 0;
	set_buffers(apply, 1);
	return apply_wait_for_programs(apply);
}

static int change_all(struct apply *apply, struct desired *desired, struct outcome *outcome)
{
	struct round round = { .apply = apply, .desired = desired, .outcome = outcome };
	int result;

	round.deciding = control_buffers(apply) == 2;
	round.target = !round.deciding;
	result = rounds_write(&round);
	if (result < 0 || !round.changes)
		return result;
	set_buffers(apply, 3);
	result = apply_release(apply);
	if (result == 0)
		set_buffers(apply, 1u << round.target);
	apply->flipped = result == 0;
	return result;
}

int apply_policy_begin(struct apply *apply, struct desired *desired, struct outcome *outcome)
{
	int result = settle_buffers(apply);

	_Static_assert(KIND_COUNT <= sizeof(apply->touched), "one for each kind");
	memset(apply->touched, 0, sizeof(apply->touched));
	closed_mark(apply, desired); /* those closed by the last apply are looked at again */
	closed_forget(apply);
	if (result < 0)
		return result;
	if (!control_buffers(apply))
		return load_all(apply, desired, outcome);
	if (!is_dirty(desired, 0, KIND_COUNT))
		return 0;
	return is_direct(apply, desired) ? apply_direct(apply, desired, outcome) : change_all(apply, desired, outcome);
}

void apply_policy_end(struct apply *apply, struct desired *desired, struct outcome *outcome)
{
	struct round round = { .apply = apply, .desired = desired, .outcome = outcome };
	int result = 0;

	if (!is_dirty(desired, 0, KIND_COUNT))
		return;
	round.deciding = control_buffers(apply) == 2;
	round.target = !round.deciding;
	if (apply->flipped)
		result = apply_wait_for_programs(apply);
	apply->flipped = false;
	if (result == 0)
		result = rounds_follow(&round);
	if (result < 0) {
		outcome_error(outcome, result);
		apply->scanned = false;
		return;
	}
	for (size_t i = 0; i < KIND_COUNT; i++)
		table_clean(table_of(desired, &kinds[i]));
}

static int note_stale(const void *key, const void *value, void *context)
{
	(void)value;
	if (!table_get(context, key, NULL))
		table_mark_dirty(context, key);
	return 0;
}

int apply_policy_note_stale(struct apply *apply, struct desired *desired)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < KIND_COUNT; i++) {
		struct table *table = table_of(desired, &kinds[i]);

		result = map_walk(datapath_find_map(apply->datapath, kinds[i].map), note_stale, table);
		table_each(table, mark_all, table); /* any of them may differ from what is pinned */
	}
	return result;
}

static int note_prefix_entry(const void *key, const void *value, void *context)
{
	return prefix_note(context, key, value);
}

static int adopt_runs(const void *key, const void *value, void *context)
{
	const struct weft_policy *policy = value;
	int result = 0;

	(void)key;
	for (uint32_t buffer = 0; result == 0 && buffer < WEFT_BUFFERS; buffer++)
		if (policy->rules[buffer].count)
			result = runs_adopt(context, policy->rules[buffer].first, policy->rules[buffer].count);
	return result;
}

int apply_policy_scan(struct apply *apply)
{
	int result = runs_init(&apply->runs, &apply->datapath->rules);

	apply->prefixes = (struct hash_set)SET_BY(struct prefix_entry, key);
	apply->closed = (struct hash_set)SET_BY(struct closed_subject, subject);
	if (result == 0)
		result = map_walk(datapath_find_map(apply->datapath, "weft_policies"), adopt_runs, &apply->runs);
	if (result == 0)
		result = runs_settle(&apply->runs);
	if (result == -EINVAL) {
		log_warn("the pinned policies contradict each other: pods of this node are closed until they are loaded anew");
		set_buffers(apply, 0);
		runs_clear(&apply->runs);
		result = runs_init(&apply->runs, &apply->datapath->rules);
	}
	if (result == 0)
		result = map_walk(datapath_find_map(apply->datapath, "weft_prefixes"), note_prefix_entry, apply);
	return result;
}

void apply_policy_clear(struct apply *apply)
{
	struct prefix_entry *entry;
	size_t position = 0;

	runs_clear(&apply->runs);
	while ((entry = hash_set_next(&apply->prefixes, &position)))
		free(entry);
	hash_set_clear(&apply->prefixes);
	closed_forget(apply);
}

struct short_way_pass {
	struct map *map;
	bool on;
	bool changed;
};

static int set_short_way(const void *key, const void *value, void *context)
{
	struct weft_workload workload = *(const struct weft_workload *)value;
	struct short_way_pass *pass = context;
	bool wanted = pass->on && !(workload.flags & WEFT_WORKLOAD_HOST);

	if (wanted == !!(workload.flags & WEFT_WORKLOAD_SHORT_WAY))
		return 0;
	workload.flags ^= WEFT_WORKLOAD_SHORT_WAY;
	pass->changed = true;
	return bpf_map_update_elem(pass->map->fd, key, &workload, BPF_EXIST) < 0 && errno != ENOENT ? -errno : 0;
}

int apply_short_way(struct datapath *datapath, bool on)
{
	struct short_way_pass workloads = { datapath_find_map(datapath, "weft_workloads"), on, false };
	struct short_way_pass interfaces = { datapath_find_map(datapath, "weft_interfaces"), on, false };
	int result = map_walk(workloads.map, set_short_way, &workloads);

	datapath->apply->short_way = on;
	if (result == 0)
		result = map_walk(interfaces.map, set_short_way, &interfaces);
	if (workloads.changed || interfaces.changed) /* tracked connections remember their way */
		set_buffers(datapath->apply, control_buffers(datapath->apply));
	return result;
}

