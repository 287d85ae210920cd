/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_HASH_H
#define WEFT_HASH_H
/* Hashing, and a set of pointers found by what they point to: linear probing, no allocation per entry. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HASH_START UINT64_C(0xcbf29ce484222325) /* FNV-1a, 64 bits */

uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t size);
/* The final NUL included, so that ("a", "bc") and ("ab", "c") differ. NULL hashes as nothing. */
uint64_t hash_text(uint64_t hash, const char *text);

/*
 * A key lies in its entry at key_offset. Either it is key_size bytes, compared as such (padding must be zero), or
 * `hash` and `equal` say what counts; then anything that looks like a key as far as they care will do to look it up.
 * All else zero: empty.
 */
struct hash_set {
	size_t key_offset, key_size;
	uint64_t (*hash)(const void *key);
	bool (*equal)(const void *a, const void *b);
	void **slots; /* capacity of them, NULL where free: for walking through */
	size_t count, capacity;
};

/* The entry with this key, or NULL. */
void *hash_set_find(const struct hash_set *set, const void *key);
/* Makes room so that the next hash_set_put() cannot fail. 0 or -ENOMEM. */
int hash_set_reserve(struct hash_set *set);
/* All entries in no particular order: start with *position 0, NULL ends. No entry comes or goes meanwhile. */
void *hash_set_next(const struct hash_set *set, size_t *position);
/*
 * Puts `entry` in, in the place of the one with the same key if there is one, which it returns by *ret_old (may be
 * NULL). 0 or -ENOMEM; replacing cannot fail.
 */
int hash_set_put(struct hash_set *set, void *entry, void **ret_old);
/* Takes the entry with this key out and returns it, or NULL. */
void *hash_set_take(struct hash_set *set, const void *key);
/* Frees the slots, not what they point to. */
void hash_set_clear(struct hash_set *set);

#endif
