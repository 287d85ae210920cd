/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_KERNEL_MAP_H
#define WEFT_KERNEL_MAP_H
/* Reading and writing many entries of a BPF map with few system calls. */
#include "datapath/internal.h"

#define KEY_MAX 64 /* bytes; the largest key of abi.h has 40 */

/* Bytes that one value takes in user space: with per-CPU maps one for each possible CPU, padded to 8. */
size_t map_value_bytes(const struct map *map);
bool map_is_per_cpu(const struct map *map);
/* Fills in everything but .name from the kernel. Takes ownership of nothing. */
int map_describe(int fd, struct map *ret);

/* A place in a map from which a walk goes on. */
struct map_cursor {
	bool started;
	unsigned char position[KEY_MAX];
};
/*
 * Up to *count entries (their keys and values one after the other), *count says how many. 1: there may be more, 0:
 * that was the end and the cursor is at the start again, or -errno. Entries may come and go meanwhile.
 */
int map_read_batch(const struct map *map, struct map_cursor *cursor, void *keys, void *values, uint32_t *count);
uint32_t map_batch_size(const struct map *map); /* a good *count */

/* Stops at the first result other than 0 and returns it. `each` may change the map, but not delete from an LPM trie. */
typedef int map_walk_fn(const void *key, const void *value, void *context);
int map_walk(const struct map *map, map_walk_fn *each, void *context);

/* Collects updates and writes them by the thousand. */
struct map_writer {
	struct map *map;
	/* told of each entry that could not be written; `error` is positive */
	void (*failed)(const void *key, const void *value, int error, void *context);
	void *context;
	uint64_t flags; /* BPF_ANY or BPF_NOEXIST (then an entry that is there is no failure) */
	unsigned char *keys, *values;
	bool *is_new;
	uint32_t count, room;
	uint32_t new_count; /* of those that wait */
	uint64_t written;
};
int map_writer_init(struct map_writer *writer, struct map *map); /* 0 or -ENOMEM; the other fields are zero then */
void map_writer_clear(struct map_writer *writer);		   /* without writing */
/* `is_new`: there was no such entry; keeps map->entries right. Copies. */
void map_writer_put(struct map_writer *writer, const void *key, const void *value, bool is_new);
void map_writer_flush(struct map_writer *writer);

/* 1: deleted, 0: it was not there, or -errno. */
int map_delete(struct map *map, const void *key);
int map_clear(struct map *map); /* deletes all entries */

#endif
