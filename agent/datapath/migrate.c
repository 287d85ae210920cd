/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pinned map of another layout (value size, capacity, flags) is replaced without a gap:
 *
 *   1. a new map is made, and what the old one holds is copied: the common prefix of each value, the rest zero
 *   2. programs that use the new map are loaded
 *   3. maps/NAME becomes maps/NAME_old, the new map becomes maps/NAME
 *   4. the links and filters are swapped to the new programs, each in one step
 *   5. what the old programs added meanwhile is copied (only keys that the new map lacks), maps/NAME_old is unpinned
 *
 * Killed before 3, nothing has happened. Killed within 3, NAME is missing and NAME_old is named NAME again. Killed
 * after 3, the next agent finds both and goes on with 4. What is not carried over: changes that the old programs made
 * between 1 and 4 to entries that were copied already (milliseconds of counters and time stamps); flow records that
 * nobody has read (weft_events); what does not fit into a smaller map. With another key size or map type the old
 * contents mean nothing, and the map starts empty.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datapath/kernel_map.h"
#include "datapath/load.h"
#include "util/log.h"

struct copy {
	const struct map *from;
	struct map_writer writer;
	unsigned char *value; /* of the new layout */
	uint64_t lost;
};

static bool is_array(const struct map *map)
{
	return map->type == BPF_MAP_TYPE_ARRAY || map->type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

static bool can_copy(const struct map *from, const struct map *to)
{
	return from->type == to->type && from->key_size == to->key_size && to->type != BPF_MAP_TYPE_RINGBUF;
}

static int copy_entry(const void *key, const void *value, void *context)
{
	struct copy *copy = context;
	const struct map *from = copy->from, *to = copy->writer.map;
	size_t parts = map_is_per_cpu(to) ? map_value_bytes(to) / ((to->value_size + 7) / 8 * 8) : 1;
	size_t from_stride = map_value_bytes(from) / parts, to_stride = map_value_bytes(to) / parts;
	size_t common = from->value_size < to->value_size ? from->value_size : to->value_size;

	if (is_array(to) && *(const uint32_t *)key >= to->capacity)
		return 0;
	memset(copy->value, 0, map_value_bytes(to));
	for (size_t part = 0; part < parts; part++)
		memcpy(copy->value + part * to_stride, (const unsigned char *)value + part * from_stride, common);
	map_writer_put(&copy->writer, key, copy->value, true);
	return 0;
}

static void note_lost(const void *key, const void *value, int error, void *context)
{
	(void)key;
	(void)value;
	(void)error;
	((struct copy *)context)->lost++;
}

static int copy_map(struct map *map, uint64_t flags)
{
	struct map from = { 0 };
	struct copy copy = { .from = &from };
	int result = map_describe(map->old, &from);

	if (result < 0 || !can_copy(&from, map))
		return result;
	if (flags == BPF_NOEXIST && is_array(map)) /* all of its entries are there */
		return 0;
	result = map_writer_init(&copy.writer, map);
	copy.value = malloc(map_value_bytes(map));
	if (result == 0 && !copy.value)
		result = -ENOMEM;
	if (result == 0) {
		copy.writer.flags = flags;
		copy.writer.failed = note_lost;
		copy.writer.context = &copy;
		result = map_walk(&from, copy_entry, &copy);
		map_writer_flush(&copy.writer);
	}
	if (copy.lost)
		log_warn("map %s: no room for %lu entries of the map that it replaces", map->name, (unsigned long)copy.lost);
	map_writer_clear(&copy.writer);
	free(copy.value);
	return result;
}

int migrate_copy(struct datapath *datapath, char reason[REASON_MAX])
{
	for (size_t i = 0; i < datapath->map_count; i++) {
		struct map *map = &datapath->maps[i];
		int result;

		if (map->old < 0 || !map->created)
			continue;
		log_info("map %s has another layout than the pinned one: its contents move over", map->name);
		result = copy_map(map, BPF_ANY);
		if (result < 0) {
			explain_failure(reason, "the contents of the map %s cannot be copied to its new layout: %s",
				 map->name, strerror(-result));
			return result;
		}
	}
	return 0;
}

/* DIRECTORY/maps/NAME and the two other names; `path` must have PATH_MAX bytes. */
static int path_of(const struct datapath *datapath, const char *name, const char *suffix, char *path)
{
	char relative[64];

	snprintf(relative, sizeof(relative), "maps/%s%s", name, suffix);
	return datapath_path(datapath, relative, path);
}

static int paths_of(const struct datapath *datapath, const char *name, char paths[3][PATH_MAX])
{
	int result = path_of(datapath, name, "", paths[0]);

	if (result == 0)
		result = path_of(datapath, name, "_old", paths[1]);
	return result == 0 ? path_of(datapath, name, "_new", paths[2]) : result;
}

static int pin_in_place(const struct datapath *datapath, const struct map *map)
{
	char paths[3][PATH_MAX];
	int result = paths_of(datapath, map->name, paths);

	if (result < 0)
		return result;
	if (bpf_obj_pin(map->fd, paths[2]) < 0 || rename(paths[0], paths[1]) < 0 || rename(paths[2], paths[0]) < 0)
		return -errno;
	return 0;
}

int migrate_pin(struct datapath *datapath, char reason[REASON_MAX])
{
	for (size_t i = 0; i < datapath->map_count; i++) {
		const struct map *map = &datapath->maps[i];
		int result = map->old >= 0 && map->created ? pin_in_place(datapath, map) : 0;

		if (result < 0) {
			explain_failure(reason, "%s/maps/%s cannot be replaced: %s", datapath->directory, map->name,
				 strerror(-result));
			return result;
		}
	}
	return 0;
}

static int finish(const struct datapath *datapath, struct map *map)
{
	char path[PATH_MAX];
	int result = copy_map(map, BPF_NOEXIST);

	close(map->old);
	map->old = -1;
	if (result == 0)
		result = path_of(datapath, map->name, "_old", path);
	if (result == 0 && unlink(path) < 0)
		result = -errno;
	return result;
}

int migrate_finish(struct datapath *datapath, char reason[REASON_MAX])
{
	for (size_t i = 0; i < datapath->map_count; i++) {
		struct map *map = &datapath->maps[i];
		int result = map->old >= 0 ? finish(datapath, map) : 0;

		if (result < 0) {
			explain_failure(reason, "the former map %s cannot be let go: %s", map->name, strerror(-result));
			return result;
		}
	}
	return 0;
}

int migrate_recover(const struct datapath *datapath, const char *name, int *ret_old)
{
	char paths[3][PATH_MAX];
	int result = paths_of(datapath, name, paths), fd;

	if (result < 0)
		return result;
	unlink(paths[2]);
	if (access(paths[1], F_OK) < 0)
		return 0;
	if (access(paths[0], F_OK) < 0)
		return rename(paths[1], paths[0]) < 0 ? -errno : 0;
	fd = bpf_obj_get(paths[1]);
	if (fd < 0)
		return -errno;
	*ret_old = fd;
	return 0;
}
