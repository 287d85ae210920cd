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

/* All zero but the two functions: empty. Both take entries, or something that looks like one as far as they care. */
struct hash_set {
	uint64_t (*hash)(const void *entry);
	bool (*equal)(const void *a, const void *b);
	void **slots; /* capacity of them, NULL where free: for walking through */
	size_t count, capacity;
};

/* The entry that equals `like`, or NULL. */
void *hash_set_find(const struct hash_set *set, const void *like);
/* Puts `entry` in, in the place of the one that equals it if there is one, which it returns by *ret_old (may be NULL). 0, -ENOMEM. */
int hash_set_put(struct hash_set *set, void *entry, void **ret_old);
/* Takes the entry that equals `like` out and returns it, or NULL. */
void *hash_set_take(struct hash_set *set, const void *like);
/* Frees the slots, not what they point to. */
void hash_set_clear(struct hash_set *set);

#endif
