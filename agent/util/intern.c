/* SPDX-License-Identifier: Apache-2.0 */
#include "util/intern.h"

#include <stdlib.h>
#include <string.h>

#include "util/hash.h"

#define CHUNK_SIZE (64 * 1024)

/* Strings lie one behind the other in chunks: no allocator overhead for the hundred thousands of them. */
struct chunk {
	struct chunk *next;
	size_t used, size;
	char text[];
};

static struct chunk *chunks; /* the one with room first */

static uint64_t text_hash(const void *text) { return hash_text(HASH_START, text); }
static bool text_equal(const void *a, const void *b) { return !strcmp(a, b); }

static struct hash_set strings = { .hash = text_hash, .equal = text_equal };

static struct chunk *chunk_with_room(size_t size)
{
	size_t capacity = size > CHUNK_SIZE ? size : CHUNK_SIZE;
	struct chunk *chunk = chunks;

	if (chunk && chunk->size - chunk->used >= size)
		return chunk;
	chunk = malloc(sizeof(*chunk) + capacity);
	if (!chunk)
		return NULL;
	*chunk = (struct chunk){ .next = chunks, .size = capacity };
	chunks = chunk;
	return chunk;
}

const char *intern_n(const char *text, size_t length)
{
	struct chunk *chunk;
	char *copy;
	const char *known;

	if (!text)
		return NULL;
	chunk = chunk_with_room(length + 1);
	if (!chunk)
		return NULL;
	/* The copy is the key of the search; it stays only if it is new. */
	copy = chunk->text + chunk->used;
	memcpy(copy, text, length);
	copy[length] = '\0';
	known = hash_set_find(&strings, copy);
	if (known)
		return known;
	if (hash_set_put(&strings, copy, NULL) < 0)
		return NULL;
	chunk->used += strlen(copy) + 1;
	return copy;
}

const char *intern(const char *text) { return text ? intern_n(text, strlen(text)) : NULL; }

void intern_free_all(void)
{
	hash_set_clear(&strings);
	while (chunks) {
		struct chunk *next = chunks->next;

		free(chunks);
		chunks = next;
	}
}
