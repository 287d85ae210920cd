/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policy and identity. Their values have two buffers (weft/abi.h); at rest both hold the same and one decides. A change:
 *
 *   1. the idle buffer of all dirty keys gets the new state
 *   2. both buffers decide: a connection passes two programs, and neither of them may decide by the new state alone while
 *      the other may still decide by the old one alone
 *   3. programs that still decide by the old buffer alone have ended (8 to 20 ms)
 *   4. the new buffer alone decides; services change now
 *   5. no program reads the other buffer any more, and it gets the new state too; keys that are gone are deleted
 *
 * Prefixes: the longest match wins even if it says nothing, so a new prefix holds in the old buffer the identity that its
 * longest parent had, and one that goes holds in the new buffer the one that its longest remaining parent has.
 *
 * Where there is no room, an entry is missing. Without the entry of an identity programs use that of any identity: where that
 * one allows more than the missing one, the subject is closed (POLICY_NOT_LOADED) rather than too open.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/apply.h"
#include "util/log.h"

#define PREFIX_SPARE 1 /* a full LPM trie refuses to change entries, too (before Linux 6.13) */

struct prefix_entry {
	struct weft_prefix key;
	struct weft_prefix_value value;
};

struct closed_subject {
	uint32_t subject;
};

struct round;

/* One table whose values have two buffers. */
struct kind {
	const char *map;
	size_t table; /* in struct desired */
	/* Whether `buffer` of `value` says what `desired` (NULL: not there) wants. */
	bool (*matches)(struct round *round, const void *key, const void *value, const void *desired, size_t size,
			uint32_t buffer);
	/* Makes it say so. 0 or -errno. */
	int (*encode)(struct round *round, const void *key, const void *desired, size_t size, uint32_t buffer, void *value);
	/* What has no buffers; may be NULL. It may come early or late, but not after the epoch was raised for it. */
	void (*encode_common)(const struct apply *apply, const void *desired, void *value);
	/* What `value` was before it is overwritten or deleted goes out of use. */
	void (*drop)(struct apply *apply, const void *value, uint32_t buffer);
	void (*refused)(struct round *round, const void *key);
};

/* One pass over one table. */
struct round {
	struct apply *apply;
	struct desired *desired;
	const struct kind *kind;
	struct table *table;
	struct map *map;
	struct map_writer writer;
	struct outcome *outcome;
	uint32_t target;	 /* the buffer to write; WEFT_BUFFERS: both at once */
	uint32_t deciding;	 /* the buffer that holds the state in force */
	bool changes;		 /* something in force is to change */
	bool was_empty;		 /* the map: nothing to look up */
	bool touched;		 /* apply_policy_end() has something to do with this table */
	int error;		 /* not for lack of room */
};

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

/* ---- prefixes: a copy of the map ---- */

static struct weft_prefix prefix_cut(const struct weft_prefix *prefix, uint32_t length)
{
	struct weft_prefix cut = { .length = length };

	memcpy(&cut.addr, &prefix->addr, length / 8);
	if (length % 8)
		((unsigned char *)&cut.addr)[length / 8] =
			((const unsigned char *)&prefix->addr)[length / 8] & (unsigned char)(0xff00 >> length % 8);
	return cut;
}

/* What the longest parent of `prefix` says in the map, in `buffer`. */
static uint32_t parent_in_map(const struct apply *apply, const struct weft_prefix *prefix, uint32_t buffer)
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

static int prefix_note(struct apply *apply, const struct weft_prefix *key, const struct weft_prefix_value *value)
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

static int note_prefix_entry(const void *key, const void *value, void *context)
{
	return prefix_note(context, key, value);
}

static bool is_prefixes(const struct round *round) { return round->map->type == BPF_MAP_TYPE_LPM_TRIE; }

/* ---- the five kinds ---- */

static bool matches_encoded(struct round *round, const void *key, const void *value, const void *desired, size_t size,
			    uint32_t buffer)
{
	unsigned char wanted[VALUE_MAX];

	memcpy(wanted, value, round->map->value_size);
	round->kind->encode(round, key, desired, size, buffer, wanted);
	return !memcmp(wanted, value, round->map->value_size);
}

static int encode_workload(struct round *round, const void *key, const void *desired, size_t size, uint32_t buffer, void *value)
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

static int encode_address(struct round *round, const void *key, const void *desired, size_t size, uint32_t buffer, void *value)
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

static int encode_prefix(struct round *round, const void *key, const void *desired, size_t size, uint32_t buffer, void *value)
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

static int encode_policy(struct round *round, const void *key, const void *desired, size_t size, uint32_t buffer, void *value)
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
static bool is_as_strict(const struct weft_rule *strict, size_t strict_count, const struct weft_rule *loose, size_t loose_count)
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

static void mark_subjects(struct apply *apply, struct desired *desired)
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

/* A policy entry finds no room. See the top of this file. */
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

/* Policies first: what finds no room there decides which subjects of workloads and interfaces are closed. */
static const struct kind kinds[] = {
	{ "weft_policies", offsetof(struct desired, policies), matches_policy, encode_policy, NULL, drop_policy, policy_refused },
	{ "weft_prefixes", offsetof(struct desired, prefixes), matches_encoded, encode_prefix, NULL, NULL, NULL },
	{ "weft_addresses", offsetof(struct desired, addresses), matches_encoded, encode_address, encode_address_common, NULL, NULL },
	{ "weft_workloads", offsetof(struct desired, workloads), matches_encoded, encode_workload, encode_workload_common, NULL, NULL },
	{ "weft_interfaces", offsetof(struct desired, interfaces), matches_encoded, encode_workload, encode_workload_common, NULL, NULL },
};
#define KIND_COUNT (sizeof(kinds) / sizeof(*kinds))

static struct table *table_of(const struct desired *desired, const struct kind *kind)
{
	return *(struct table *const *)((const char *)desired + kind->table);
}

/* ---- the passes ---- */

/* The present value of `key`, or what there is without it. 1: it is there, 0, or -errno. */
static int present(struct round *round, const void *key, void *value)
{
	const struct prefix_entry *entry;
	struct weft_prefix_value *inherited = value;

	memset(value, 0, round->map->value_size);
	if (round->was_empty)
		return 0;
	if (!is_prefixes(round))
		return apply_lookup(round->map, key, value);
	entry = hash_set_find(&round->apply->prefixes, key);
	for (uint32_t buffer = 0; buffer < WEFT_BUFFERS; buffer++)
		inherited->identity[buffer] = entry ? entry->value.identity[buffer] : parent_in_map(round->apply, key, buffer);
	return entry != NULL;
}

static void no_room(struct round *round, const void *key)
{
	table_mark_dirty(round->table, key);
	round->touched = true;
	round->outcome->failed++;
	if (round->kind->refused)
		round->kind->refused(round, key);
}

static void entry_refused(const void *key, const void *value, int error, void *context)
{
	struct round *round = context;

	if (error != E2BIG && error != ENOSPC) {
		round->error = -error;
		return;
	}
	outcome_error(round->outcome, -error);
	if (round->kind->drop)
		for (uint32_t buffer = 0; buffer < WEFT_BUFFERS; buffer++)
			round->kind->drop(round->apply, value, buffer);
	if (is_prefixes(round))
		round->apply->scanned = false; /* the copy of the map is wrong now */
	no_room(round, key);
}

static bool has_room(const struct round *round)
{
	uint32_t spare = is_prefixes(round) ? PREFIX_SPARE : 0;

	return (uint64_t)round->map->entries + round->writer.new_count + spare < round->map->capacity;
}

static void put(struct round *round, const void *key, const void *value, bool is_new)
{
	int result = is_prefixes(round) ? prefix_note(round->apply, key, value) : 0;

	if (result < 0)
		round->error = result;
	else
		map_writer_put(&round->writer, key, value, is_new);
}

/* Encodes the target buffers of `value`. 0; -ENOSPC: `value` says "not there" now; other -errno. */
static int encode_target(struct round *round, const void *key, const void *desired, size_t size, void *value)
{
	int result = 0;

	for (uint32_t buffer = 0; result == 0 && buffer < WEFT_BUFFERS; buffer++) {
		unsigned char old[VALUE_MAX];

		if (round->target != buffer && round->target != WEFT_BUFFERS)
			continue;
		memcpy(old, value, round->map->value_size);
		result = round->kind->encode(round, key, desired, size, buffer, value);
		if (round->kind->drop && (result == 0 || result == -ENOSPC))
			round->kind->drop(round->apply, old, buffer);
	}
	return result;
}

static bool matches_target(struct round *round, const void *key, const void *value, const void *desired, size_t size)
{
	for (uint32_t buffer = 0; buffer < WEFT_BUFFERS; buffer++)
		if ((round->target == buffer || round->target == WEFT_BUFFERS) &&
		    !round->kind->matches(round, key, value, desired, size, buffer))
			return false;
	return true;
}

/* Puts what has no buffers into `value`. Returns whether that changed it. */
static bool encode_common(const struct round *round, const void *desired, void *value)
{
	unsigned char old[VALUE_MAX];

	if (!round->kind->encode_common)
		return false;
	memcpy(old, value, round->map->value_size);
	round->kind->encode_common(round->apply, desired, value);
	return memcmp(old, value, round->map->value_size) != 0;
}

/* Step 1, and the whole of the first load: the target buffer of one dirty key. */
static int write_key(const void *key, const void *desired, size_t size, void *context)
{
	struct round *round = context;
	unsigned char value[VALUE_MAX];
	int there = present(round, key, value), result;
	bool differs, decides_otherwise;

	if (there < 0)
		return there;
	if (!there && !desired)
		return 0;
	if (!there && !has_room(round)) {
		round->map->full++;
		round->map->is_full = true;
		outcome_error(round->outcome, -E2BIG);
		no_room(round, key);
		return round->error;
	}
	differs = encode_common(round, desired, value) || !there;
	decides_otherwise = !round->kind->matches(round, key, value, desired, size, round->deciding);
	if (differs || decides_otherwise)
		round->changes = true;
	if (!desired || (decides_otherwise && round->target != WEFT_BUFFERS))
		round->touched = true;
	if (!differs && matches_target(round, key, value, desired, size))
		return 0;
	result = encode_target(round, key, desired, size, value);
	if (result < 0 && result != -ENOSPC)
		return result;
	if (result == 0 || there)
		put(round, key, value, !there);
	if (result == -ENOSPC) {
		outcome_error(round->outcome, result);
		no_room(round, key);
	}
	return round->error;
}

static void forget(struct round *round, const void *key, const void *value)
{
	int result;

	apply_step("delete");
	result = map_delete(round->map, key);
	if (result < 0) {
		table_mark_dirty(round->table, key);
		outcome_error(round->outcome, result);
		return;
	}
	round->outcome->writes++;
	round->outcome->deleted++;
	if (is_prefixes(round))
		free(hash_set_take(&round->apply->prefixes, key));
	for (uint32_t buffer = 0; round->kind->drop && buffer < WEFT_BUFFERS; buffer++)
		round->kind->drop(round->apply, value, buffer);
}

/* Step 5: what is in force goes to the other buffer of one dirty key. What found no room in step 1 stays as it is. */
static int follow_key(const void *key, const void *desired, size_t size, void *context)
{
	struct round *round = context;
	unsigned char value[VALUE_MAX];
	int there = present(round, key, value), result;

	if (there < 0)
		return there;
	if (!there && !desired)
		return 0;
	if (!there || !round->kind->matches(round, key, value, desired, size, round->deciding)) {
		table_mark_dirty(round->table, key);
		return 0;
	}
	if (!desired) {
		forget(round, key, value);
		return 0;
	}
	if (round->kind->matches(round, key, value, desired, size, round->target))
		return 0;
	result = encode_target(round, key, desired, size, value);
	if (result < 0)
		table_mark_dirty(round->table, key);
	if (result < 0 && result != -ENOSPC)
		return result;
	put(round, key, value, false);
	return round->error;
}

/* Runs `each` over what is dirty in one table, and writes. */
static int run_round(struct round *round, const struct kind *kind, table_each_fn *each)
{
	bool *touched = &round->apply->touched[kind - kinds];
	int result;

	if (each == follow_key && !*touched)
		return 0;
	round->touched = false;
	round->kind = kind;
	round->table = table_of(round->desired, kind);
	round->map = datapath_find_map(round->apply->datapath, kind->map);
	if (!table_dirty_count(round->table))
		return 0;
	result = map_writer_init(&round->writer, round->map);
	if (result < 0)
		return result;
	round->was_empty = !round->map->entries;
	round->writer.failed = entry_refused;
	round->writer.context = round;
	result = table_each_dirty(round->table, each, round);
	apply_step(kind->map);
	map_writer_flush(&round->writer);
	round->outcome->writes += round->writer.written;
	map_writer_clear(&round->writer);
	*touched = round->touched;
	return result < 0 ? result : round->error;
}

static int run_rounds(struct round *round, table_each_fn *each)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < KIND_COUNT; i++) {
		result = run_round(round, &kinds[i], each);
		if (i == 0)
			mark_subjects(round->apply, round->desired);
	}
	return result;
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
		result = run_rounds(&round, write_key);
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
 * Whether only addresses change, of which at most one is of a pod of this node: every connection then meets at most one
 * program of this node whose decision changes, and each decision reads one changed entry. So writing entry by entry is as
 * good as the whole procedure: most of what happens in a cluster happens to pods of other nodes.
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
	result = run_rounds(&round, write_key);
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
	result = run_rounds(&round, write_key);
	if (result < 0 || !round.changes)
		return result;
	set_buffers(apply, 3);
	result = apply_release(apply);
	if (result == 0)
		set_buffers(apply, 1u << round.target);
	return result;
}

static void forget_closed(struct apply *apply)
{
	struct closed_subject *closed;
	size_t position = 0;

	while ((closed = hash_set_next(&apply->closed, &position)))
		free(closed);
	hash_set_clear(&apply->closed);
}

int apply_policy_begin(struct apply *apply, struct desired *desired, struct outcome *outcome)
{
	int result = settle_buffers(apply);

	_Static_assert(KIND_COUNT <= sizeof(apply->touched), "one for each kind");
	memset(apply->touched, 0, sizeof(apply->touched));
	mark_subjects(apply, desired); /* those closed by the last apply are looked at again */
	forget_closed(apply);
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
	result = run_rounds(&round, follow_key);
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
	forget_closed(apply);
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
