/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/kernel_map.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_BYTES (1024 * 1024)
#define BATCH_MIN 64
#define BATCH_MAX 4096
#define MEMORY_TRIES 16 /* the kernel refills its free lists in the background: -ENOMEM of a bulk insert passes */

bool map_is_per_cpu(const struct map *map)
{
	return map->type == BPF_MAP_TYPE_PERCPU_HASH || map->type == BPF_MAP_TYPE_PERCPU_ARRAY ||
	       map->type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

size_t map_value_bytes(const struct map *map)
{
	if (!map_is_per_cpu(map))
		return map->value_size;
	return (map->value_size + 7) / 8 * 8 * (size_t)libbpf_num_possible_cpus();
}

int map_describe(int fd, struct map *ret)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
		return -errno;
	ret->type = info.type;
	ret->key_size = info.key_size;
	ret->value_size = info.value_size;
	ret->capacity = info.max_entries;
	ret->flags = info.map_flags;
	ret->id = info.id;
	ret->fd = fd;
	return 0;
}

uint32_t map_batch_size(const struct map *map)
{
	size_t count = BATCH_BYTES / (map->key_size + map_value_bytes(map));

	return count < BATCH_MIN ? BATCH_MIN : count > BATCH_MAX ? BATCH_MAX : (uint32_t)count;
}

int map_read_batch(const struct map *map, struct map_cursor *cursor, void *keys, void *values, uint32_t *count)
{
	unsigned char next[KEY_MAX];
	int result = bpf_map_lookup_batch(map->fd, cursor->started ? cursor->position : NULL, next, keys, values, count, NULL);

	if (result < 0 && errno == ENOENT) {
		cursor->started = false;
		return 0;
	}
	if (result < 0)
		return -errno;
	cursor->started = true;
	memcpy(cursor->position, next, sizeof(next));
	return 1;
}

int map_walk(const struct map *map, map_walk_fn *each, void *context)
{
	uint32_t size = map_batch_size(map);
	size_t value_bytes = map_value_bytes(map);
	unsigned char *keys = malloc((size_t)size * map->key_size), *values = malloc((size_t)size * value_bytes);
	struct map_cursor cursor = { 0 };
	int more = 1, result = keys && values ? 0 : -ENOMEM;

	while (more > 0 && result == 0) {
		uint32_t count = size;

		more = map_read_batch(map, &cursor, keys, values, &count);
		for (uint32_t i = 0; more >= 0 && result == 0 && i < count; i++)
			result = each(keys + (size_t)i * map->key_size, values + (size_t)i * value_bytes, context);
	}
	free(keys);
	free(values);
	return result ? result : more;
}

int map_writer_init(struct map_writer *writer, struct map *map)
{
	uint32_t room = map_batch_size(map);

	*writer = (struct map_writer){
		.map = map,
		.room = room,
		.keys = malloc((size_t)room * map->key_size),
		.values = malloc((size_t)room * map_value_bytes(map)),
		.is_new = malloc(room * sizeof(bool)),
	};
	if (writer->keys && writer->values && writer->is_new)
		return 0;
	map_writer_clear(writer);
	return -ENOMEM;
}

void map_writer_clear(struct map_writer *writer)
{
	free(writer->keys);
	free(writer->values);
	free(writer->is_new);
	*writer = (struct map_writer){ 0 };
}

void map_writer_put(struct map_writer *writer, const void *key, const void *value, bool is_new)
{
	size_t value_bytes = map_value_bytes(writer->map);

	if (writer->count == writer->room)
		map_writer_flush(writer);
	memcpy(writer->keys + (size_t)writer->count * writer->map->key_size, key, writer->map->key_size);
	memcpy(writer->values + (size_t)writer->count * value_bytes, value, value_bytes);
	writer->is_new[writer->count++] = is_new;
	writer->new_count += is_new;
}

/* Entry `i` was refused with `error`. */
static void refuse(struct map_writer *writer, uint32_t i, int error)
{
	if (error == EEXIST && writer->flags == BPF_NOEXIST)
		return;
	if (error == E2BIG || error == ENOSPC) {
		writer->map->full++;
		writer->map->is_full = true;
	}
	if (writer->failed)
		writer->failed(writer->keys + (size_t)i * writer->map->key_size,
			       writer->values + (size_t)i * map_value_bytes(writer->map), error, writer->context);
}

/*
 * Writes from entry `from` on as many as the kernel takes. Returns how many; *ret_error is of the one after them,
 * or 0.
 */
static uint32_t write_some(struct map_writer *writer, uint32_t from, int *ret_error)
{
	uint32_t count = writer->count - from;
	const void *keys = writer->keys + (size_t)from * writer->map->key_size;
	const void *values = writer->values + (size_t)from * map_value_bytes(writer->map);

	*ret_error = 0;
	if (writer->flags) { /* batches know no flags */
		if (bpf_map_update_elem(writer->map->fd, keys, values, writer->flags) == 0)
			return 1;
		*ret_error = errno;
		return 0;
	}
	if (bpf_map_update_batch(writer->map->fd, keys, values, &count, NULL) == 0)
		return count;
	*ret_error = errno;
	return count < writer->count - from ? count : 0; /* EFAULT and the like leave `count` alone */
}

void map_writer_flush(struct map_writer *writer)
{
	uint32_t done = 0, tries = 0;

	while (done < writer->count) {
		int error;
		uint32_t count = write_some(writer, done, &error);

		for (uint32_t i = done; i < done + count; i++)
			if (writer->is_new[i]) {
				writer->map->entries++;
				writer->map->is_full = false;
			}
		writer->written += count;
		done += count;
		if (!error)
			continue;
		if (error == ENOMEM && tries++ < MEMORY_TRIES) {
			sched_yield();
			continue;
		}
		refuse(writer, done++, error);
		tries = 0;
	}
	writer->count = writer->new_count = 0;
}

int map_delete(struct map *map, const void *key)
{
	if (bpf_map_delete_elem(map->fd, key) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (map->entries)
		map->entries--;
	map->is_full = false;
	return 1;
}

struct key_list {
	size_t key_size, count, room;
	unsigned char *keys;
};

static int note_key(const void *key, const void *value, void *context)
{
	struct key_list *list = context;

	(void)value;
	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 1024;
		unsigned char *keys = realloc(list->keys, room * list->key_size);

		if (!keys)
			return -ENOMEM;
		list->keys = keys;
		list->room = room;
	}
	memcpy(list->keys + list->count++ * list->key_size, key, list->key_size);
	return 0;
}

int map_clear(struct map *map)
{
	struct key_list list = { .key_size = map->key_size };
	int result = map_walk(map, note_key, &list);

	for (size_t i = 0; result >= 0 && i < list.count; i++)
		result = map_delete(map, list.keys + i * list.key_size);
	free(list.keys);
	if (result < 0)
		return result;
	map->entries = 0;
	return 0;
}
