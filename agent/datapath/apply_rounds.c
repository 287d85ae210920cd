/* SPDX-License-Identifier: Apache-2.0 */
/* Going over the dirty keys of the five tables: steps 1 and 5 of apply_policy.c. */
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/apply_rounds.h"

#define PREFIX_SPARE 1 /* a full LPM trie refuses to change entries, too (before Linux 6.13) */

static bool is_prefixes(const struct round *round) { return round->map->type == BPF_MAP_TYPE_LPM_TRIE; }

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
		inherited->identity[buffer] = entry ? entry->value.identity[buffer] : prefix_parent(round->apply, key, buffer);
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

static int run_all(struct round *round, table_each_fn *each)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < KIND_COUNT; i++) {
		result = run_round(round, &kinds[i], each);
		if (i == 0)
			closed_mark(round->apply, round->desired);
	}
	return result;
}

int rounds_write(struct round *round) { return run_all(round, write_key); }
int rounds_follow(struct round *round) { return run_all(round, follow_key); }
