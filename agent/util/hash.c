/* SPDX-License-Identifier: Apache-2.0 */
#include "util/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BUCKETS 16

uint64_t hash_bytes(const void *bytes, size_t size)
{
	const unsigned char *byte = bytes;
	uint64_t value = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < size; i++)
		value = (value ^ byte[i]) * UINT64_C(0x100000001b3);
	return value;
}

static const void *key_of(const struct hash *hash, const void *entry) { return (const char *)entry + hash->key_offset; }

/* Where a key would be if nothing else were there. FNV's high bits are the better mixed ones. */
static size_t home_of(const struct hash *hash, const void *key)
{
	uint64_t value = hash_bytes(key, hash->key_size);

	return (size_t)(value ^ value >> 32) & (hash->bucket_count - 1);
}

/* The bucket that holds the key, or the empty one where it belongs. There is always an empty one. */
static size_t bucket_of(const struct hash *hash, const void *key)
{
	size_t bucket = home_of(hash, key);

	while (hash->buckets[bucket] && memcmp(key_of(hash, hash->buckets[bucket]), key, hash->key_size) != 0)
		bucket = (bucket + 1) & (hash->bucket_count - 1);
	return bucket;
}

void *hash_find(const struct hash *hash, const void *key)
{
	return hash->count ? hash->buckets[bucket_of(hash, key)] : NULL;
}

int hash_reserve(struct hash *hash)
{
	struct hash grown = *hash;

	if (hash->count + 1 <= hash->bucket_count / 5 * 4)
		return 0;
	grown.bucket_count = hash->bucket_count ? hash->bucket_count * 2 : FIRST_BUCKETS;
	grown.buckets = calloc(grown.bucket_count, sizeof(*grown.buckets));
	if (!grown.buckets)
		return -ENOMEM;
	for (size_t i = 0; i < hash->bucket_count; i++)
		if (hash->buckets[i])
			grown.buckets[bucket_of(&grown, key_of(hash, hash->buckets[i]))] = hash->buckets[i];
	free(hash->buckets);
	*hash = grown;
	return 0;
}

int hash_insert(struct hash *hash, void *entry)
{
	int error = hash_reserve(hash);

	if (error)
		return error;
	hash->buckets[bucket_of(hash, key_of(hash, entry))] = entry;
	hash->count++;
	return 0;
}

void hash_replace(struct hash *hash, const void *old, void *entry)
{
	size_t bucket = home_of(hash, key_of(hash, entry));

	while (hash->buckets[bucket] != old)
		bucket = (bucket + 1) & (hash->bucket_count - 1);
	hash->buckets[bucket] = entry;
}

/* Closes the gap at `hole`, so that a search need not step over deleted entries (Knuth, volume 3, algorithm 6.4 R). */
static void close_gap(struct hash *hash, size_t hole)
{
	size_t mask = hash->bucket_count - 1;

	for (size_t next = (hole + 1) & mask; hash->buckets[next]; next = (next + 1) & mask) {
		size_t home = home_of(hash, key_of(hash, hash->buckets[next]));

		if (((next - home) & mask) < ((next - hole) & mask))
			continue; /* its home lies behind the hole: it would not be found there */
		hash->buckets[hole] = hash->buckets[next];
		hole = next;
	}
	hash->buckets[hole] = NULL;
}

void *hash_remove(struct hash *hash, const void *key)
{
	size_t bucket;
	void *entry;

	if (!hash->count)
		return NULL;
	bucket = bucket_of(hash, key);
	entry = hash->buckets[bucket];
	if (entry) {
		close_gap(hash, bucket);
		hash->count--;
	}
	return entry;
}

void *hash_next(const struct hash *hash, size_t *position)
{
	while (*position < hash->bucket_count) {
		void *entry = hash->buckets[(*position)++];

		if (entry)
			return entry;
	}
	return NULL;
}

void hash_clear(struct hash *hash)
{
	free(hash->buckets);
	hash->buckets = NULL;
	hash->bucket_count = 0;
	hash->count = 0;
}
