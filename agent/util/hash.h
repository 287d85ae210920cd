/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_HASH_H
#define WEFT_HASH_H
/*
 * An index of structures by a fixed-size key inside them. It owns only its array of pointers: 10 bytes an entry when full,
 * 20 after it has grown. Keys are compared byte by byte, so their padding must be zero.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash { /* set key_offset and key_size, the rest zero */
	void **buckets;
	size_t bucket_count; /* 0 or a power of two */
	size_t count;
	size_t key_offset; /* of the key in an entry */
	size_t key_size;
};
#define HASH_OF(type, key) { .key_offset = offsetof(type, key), .key_size = sizeof(((type *)0)->key) }

/* FNV-1a, 64 bits. */
uint64_t hash_bytes(const void *bytes, size_t size);

/* NULL if there is none. */
void *hash_find(const struct hash *hash, const void *key);
/* Makes room so that the next hash_insert() cannot fail. 0 or -ENOMEM. */
int hash_reserve(struct hash *hash);
/* The key must not be there yet. 0 or -ENOMEM. */
int hash_insert(struct hash *hash, void *entry);
/* Puts `entry` in the place of the one with the same key, which must be there: for entries that moved. */
void hash_replace(struct hash *hash, const void *old, void *entry);
/* The entry that was taken out, or NULL. */
void *hash_remove(struct hash *hash, const void *key);
/*
 * Goes through all entries in no particular order: start with *position 0, NULL ends. No insertion or removal meanwhile.
 */
void *hash_next(const struct hash *hash, size_t *position);
/* Forgets all entries and frees the array. */
void hash_clear(struct hash *hash);

#endif
