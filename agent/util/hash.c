/* SPDX-License-Identifier: Apache-2.0 */
#include "util/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FNV_PRIME UINT64_C(0x100000001b3)
#define FIRST_CAPACITY 16

uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size)
{
	const unsigned char *byte = bytes;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ byte[i]) * FNV_PRIME;
	return hash;
}

uint64_t hash_text(uint64_t hash, const char *text) { return text ? hash_bytes(hash, text, strlen(text) + 1) : hash; }

static const void *key_of(const struct hash_set *set, const void *entry)
{
	return (const char *)entry + set->key_offset;
}

/* FNV's low bits are weaker than its high ones. */
static size_t slot_of(const struct hash_set *set, const void *key)
{
	uint64_t hash = set->hash ? set->hash(key) : hash_bytes(HASH_START, key, set->key_size);

	return (size_t)(hash ^ hash >> 32) & (set->capacity - 1);
}

static bool same_key(const struct hash_set *set, const void *entry, const void *key)
{
	return set->equal ? set->equal(key_of(set, entry), key) : !memcmp(key_of(set, entry), key, set->key_size);
}

/* The slot that holds the entry with this key, else the free one where it would go. */
static size_t probe(const struct hash_set *set, const void *key)
{
	size_t slot = slot_of(set, key);

	while (set->slots[slot] && !same_key(set, set->slots[slot], key))
		slot = (slot + 1) & (set->capacity - 1);
	return slot;
}

static int grow(struct hash_set *set)
{
	struct hash_set larger = *set;

	larger.capacity = set->capacity ? set->capacity * 2 : FIRST_CAPACITY;
	larger.slots = calloc(larger.capacity, sizeof(*larger.slots));
	if (!larger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < set->capacity; i++)
		if (set->slots[i])
			larger.slots[probe(&larger, key_of(set, set->slots[i]))] = set->slots[i];
	free(set->slots);
	*set = larger;
	return 0;
}

void *hash_set_find(const struct hash_set *set, const void *key)
{
	return set->capacity ? set->slots[probe(set, key)] : NULL;
}

int hash_set_reserve(struct hash_set *set)
{
	/* at most three quarters full */
	return set->count + 1 > set->capacity / 4 * 3 ? grow(set) : 0;
}

void *hash_set_next(const struct hash_set *set, size_t *position)
{
	while (*position < set->capacity) {
		void *entry = set->slots[(*position)++];

		if (entry)
			return entry;
	}
	return NULL;
}

int hash_set_put(struct hash_set *set, void *entry, void **ret_old)
{
	const void *key = key_of(set, entry);
	void *old = hash_set_find(set, key);

	if (!old && hash_set_reserve(set) < 0)
		return -ENOMEM;
	set->slots[probe(set, key)] = entry;
	set->count += !old;
	if (ret_old)
		*ret_old = old;
	return 0;
}

void *hash_set_take(struct hash_set *set, const void *key)
{
	size_t mask = set->capacity - 1, hole, next;
	void *taken;

	if (!set->capacity)
		return NULL;
	hole = probe(set, key);
	taken = set->slots[hole];
	if (!taken)
		return NULL;
	set->count--;
	/* Close the hole: whatever could have gone there when it was put in moves back, so no tombstones are needed. */
	for (next = (hole + 1) & mask; set->slots[next]; next = (next + 1) & mask) {
		size_t home = slot_of(set, key_of(set, set->slots[next]));

		if (((next - home) & mask) >= ((next - hole) & mask)) {
			set->slots[hole] = set->slots[next];
			hole = next;
		}
	}
	set->slots[hole] = NULL;
	return taken;
}

void hash_set_clear(struct hash_set *set)
{
	free(set->slots);
	set->slots = NULL;
	set->count = set->capacity = 0;
}
