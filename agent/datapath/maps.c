/* SPDX-License-Identifier: Apache-2.0 */
/* The one set of maps: adopted where pinned with the same layout, else made from bpf/maps.bpf.c. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datapath/kernel_map.h"
#include "datapath/load.h"

#define OPTION(field, name) offsetof(struct datapath_options, field), name
static const struct {
	const char *map;
	size_t option;
	const char *option_name;
} capacities[] = {
	{ "weft_services", OPTION(max_services, "max-services") },
	{ "weft_slots", OPTION(max_slots, "max-slots") },
	{ "weft_backends", OPTION(max_backends, "max-backends") },
	{ "weft_addresses", OPTION(max_addresses, "max-addresses") },
	{ "weft_prefixes", OPTION(max_prefixes, "max-prefixes") },
	{ "weft_policies", OPTION(max_policies, "max-policies") },
	{ "weft_rules", OPTION(max_rules, "max-rules") },
	{ "weft_conntrack", OPTION(max_connections, "max-connections") },
	{ "weft_sockets", OPTION(max_connections, "max-connections") },
	{ "weft_workloads", OPTION(max_workloads, "max-workloads") },
	{ "weft_interfaces", OPTION(max_workloads, "max-workloads") },
	{ "weft_traffic", OPTION(max_traffic, "max-traffic") },
	{ "weft_events", OPTION(ring_bytes, "ring-bytes") },
};

const char *map_option(const struct map *map)
{
	for (size_t i = 0; i < sizeof(capacities) / sizeof(*capacities); i++)
		if (!strcmp(capacities[i].map, map->name))
			return capacities[i].option_name;
	return NULL;
}

static uint32_t capacity_of(const struct datapath *datapath, const struct bpf_map *map)
{
	for (size_t i = 0; i < sizeof(capacities) / sizeof(*capacities); i++)
		if (!strcmp(capacities[i].map, bpf_map__name(map))) {
			uint32_t wanted = *(const uint32_t *)((const char *)&datapath->options + capacities[i].option);

			return wanted ? wanted : bpf_map__max_entries(map);
		}
	return bpf_map__max_entries(map);
}

struct map *datapath_find_map(const struct datapath *datapath, const char *name)
{
	for (size_t i = 0; i < datapath->map_count; i++)
		if (!strcmp(datapath->maps[i].name, name))
			return &datapath->maps[i];
	return NULL;
}

static bool same_layout(const struct map *a, const struct map *b)
{
	return a->type == b->type && a->key_size == b->key_size && a->value_size == b->value_size &&
	       a->capacity == b->capacity && a->flags == b->flags;
}

static int get_pinned(const struct datapath *datapath, const char *name)
{
	char relative[64], path[PATH_MAX];
	int fd;

	snprintf(relative, sizeof(relative), "maps/%s", name);
	if (datapath_path(datapath, relative, path) < 0)
		return -ENAMETOOLONG;
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

/* Decides for one map: adopt what is pinned, replace it, or make a first one. */
static int choose(struct datapath *datapath, struct bpf_map *definition, struct map *map, char reason[REASON_MAX])
{
	struct map pinned = { 0 };
	int fd, result;

	*map = (struct map){
		.type = bpf_map__type(definition),
		.key_size = bpf_map__key_size(definition),
		.value_size = bpf_map__value_size(definition),
		.capacity = capacity_of(datapath, definition),
		.flags = bpf_map__map_flags(definition),
		.fd = -1,
		.old = -1,
	};
	snprintf(map->name, sizeof(map->name), "%s", bpf_map__name(definition));
	bpf_map__set_max_entries(definition, map->capacity);
	result = migrate_recover(datapath, map->name, &map->old);
	fd = result < 0 ? result : get_pinned(datapath, map->name);
	if (fd == -ENOENT)
		return 0;
	result = fd < 0 ? fd : map_describe(fd, &pinned);
	if (result == 0 && same_layout(&pinned, map)) {
		map->fd = fd;
		map->id = pinned.id;
		result = bpf_map__reuse_fd(definition, fd);
	} else if (result == 0) {
		if (map->old >= 0)
			close(map->old); /* older yet: what is pinned has its contents but for the last moments */
		map->old = fd;
	}
	if (result < 0)
		explain_failure(reason, "the pinned map %s/maps/%s cannot be opened: %s", datapath->directory, map->name,
			 strerror(-result));
	return result;
}

static int choose_all(struct datapath *datapath, struct bpf_object *object, char reason[REASON_MAX])
{
	struct bpf_map *definition;
	size_t count = 0;
	int result = 0;

	bpf_object__for_each_map(definition, object)
		count++;
	datapath->maps = calloc(count, sizeof(*datapath->maps));
	if (!datapath->maps)
		return objects_explain("the maps", -ENOMEM, reason);
	bpf_object__for_each_map(definition, object) {
		if (result == 0 && !bpf_map__is_internal(definition))
			result = choose(datapath, definition, &datapath->maps[datapath->map_count++], reason);
	}
	return result;
}

/* Takes over what libbpf has made: the object is closed afterwards. */
static int keep_new(struct datapath *datapath, struct bpf_object *object, char reason[REASON_MAX])
{
	for (size_t i = 0; i < datapath->map_count; i++) {
		struct map *map = &datapath->maps[i];
		char relative[64];
		int result;

		if (map->fd >= 0)
			continue;
		map->fd = fcntl(bpf_object__find_map_fd_by_name(object, map->name), F_DUPFD_CLOEXEC, 0);
		if (map->fd < 0)
			return objects_explain(map->name, -errno, reason);
		map->created = true;
		result = map_describe(map->fd, map);
		snprintf(relative, sizeof(relative), "maps/%s", map->name);
		if (result == 0 && map->old < 0)
			result = datapath_pin(datapath, map->fd, relative);
		if (result < 0) {
			explain_failure(reason, "%s/%s cannot be pinned: %s", datapath->directory, relative,
				 strerror(-result));
			return result;
		}
	}
	return 0;
}

static int count_entry(const void *key, const void *value, void *context)
{
	(void)key;
	(void)value;
	++*(uint32_t *)context;
	return 0;
}

static bool is_hash(const struct map *map)
{
	return map->type == BPF_MAP_TYPE_HASH || map->type == BPF_MAP_TYPE_LPM_TRIE || map->type == BPF_MAP_TYPE_LRU_HASH ||
	       map->type == BPF_MAP_TYPE_PERCPU_HASH;
}

static int count_entries(struct datapath *datapath, char reason[REASON_MAX])
{
	for (size_t i = 0; i < datapath->map_count; i++) {
		struct map *map = &datapath->maps[i];
		int result;

		if (!is_hash(map))
			continue;
		map->entries = 0;
		result = map_walk(map, count_entry, &map->entries);
		if (result < 0) {
			explain_failure(reason, "the map %s cannot be read: %s", map->name, strerror(-result));
			return result;
		}
	}
	return 0;
}

static int share(struct datapath *datapath, const char *name, struct shared_array *array)
{
	const struct map *map = datapath_find_map(datapath, name);

	return map ? shared_array_open(array, map->fd, map->value_size, map->capacity) : -ENOENT;
}

static int share_arrays(struct datapath *datapath, char reason[REASON_MAX])
{
	int result = share(datapath, "weft_control", &datapath->control_array);

	if (result == 0)
		result = share(datapath, "weft_slots", &datapath->slots);
	if (result == 0)
		result = share(datapath, "weft_rules", &datapath->rules);
	if (result == 0)
		datapath->control = shared_array_at(&datapath->control_array, 0, 1);
	if (result == 0 && !datapath->control)
		result = -ENOMEM;
	if (result < 0)
		explain_failure(reason, "the maps cannot be mapped into memory: %s", strerror(-result));
	return result;
}

static int open_definitions(struct bpf_object **ret)
{
	for (size_t i = 0; i < objects_count(); i++)
		if (!strcmp(objects_name(i), "maps"))
			return objects_open(i, ret);
	return -ENOENT;
}

static int check_ring(const struct datapath *datapath, char reason[REASON_MAX])
{
	uint32_t bytes = datapath->options.ring_bytes;

	if (!bytes || (!(bytes & (bytes - 1)) && bytes % (uint32_t)sysconf(_SC_PAGESIZE) == 0))
		return 0;
	explain_failure(reason, "--ring-bytes=%u is not a power of two of at least %ld", bytes, sysconf(_SC_PAGESIZE));
	return -EINVAL;
}

int maps_open(struct datapath *datapath, char reason[REASON_MAX])
{
	struct bpf_object *object = NULL;
	int result = check_ring(datapath, reason);

	if (result < 0)
		return result;
	result = open_definitions(&object);
	if (result < 0)
		return objects_explain("the maps", result, reason);
	result = choose_all(datapath, object, reason);
	if (result == 0) {
		result = bpf_object__load(object);
		if (result < 0)
			objects_explain("the maps", result, reason);
	}
	if (result == 0)
		result = keep_new(datapath, object, reason);
	bpf_object__close(object);
	if (result == 0)
		result = migrate_copy(datapath, reason);
	if (result == 0)
		result = count_entries(datapath, reason);
	if (result == 0)
		result = share_arrays(datapath, reason);
	return result;
}

void maps_close(struct datapath *datapath)
{
	shared_array_close(&datapath->control_array);
	shared_array_close(&datapath->slots);
	shared_array_close(&datapath->rules);
	for (size_t i = 0; i < datapath->map_count; i++) {
		if (datapath->maps[i].fd >= 0)
			close(datapath->maps[i].fd);
		if (datapath->maps[i].old >= 0)
			close(datapath->maps[i].old);
	}
	free(datapath->maps);
}

int datapath_map_fd(const struct datapath *datapath, const char *name)
{
	const struct map *map = datapath_find_map(datapath, name);

	return map ? map->fd : -ENOENT;
}

int datapath_each_map(struct datapath *datapath, int (*each)(const struct datapath_map *map, void *context),
		      void *context)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < datapath->map_count; i++) {
		const struct map *map = &datapath->maps[i];
		struct datapath_map shown = {
			.name = map->name,
			.entries = map->entries,
			.capacity = map->capacity,
			.full = map->full,
			.is_full = map->is_full,
			.option = map_option(map),
		};

		if (map->capacity) /* what is stored with sockets has room as long as there are sockets */
			result = each(&shown, context);
	}
	return result;
}
