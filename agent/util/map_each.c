/* SPDX-License-Identifier: Apache-2.0 */
#include "util/map_each.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_ENTRIES 1024
#define BATCH_ENTRIES_MAX (1024 * 1024)

struct batch {
	size_t key_size, value_size; /* of all CPUs together */
	uint32_t capacity;
	char *keys, *values;
};

static int batch_grow(struct batch *batch, uint32_t capacity)
{
	char *keys = realloc(batch->keys, capacity * batch->key_size);
	char *values;

	if (!keys)
		return -ENOMEM;
	batch->keys = keys;
	values = realloc(batch->values, capacity * batch->value_size);
	if (!values)
		return -ENOMEM;
	batch->values = values;
	batch->capacity = capacity;
	return 0;
}

static int batch_open(struct batch *batch, int fd)
{
	struct bpf_map_info info = { 0 };
	uint32_t size = sizeof(info);
	int cpus = libbpf_num_possible_cpus();
	int error = bpf_obj_get_info_by_fd(fd, &info, &size);

	if (error)
		return error;
	if (cpus < 0)
		return cpus;
	batch->key_size = info.key_size;
	batch->value_size = info.value_size;
	if (info.type == BPF_MAP_TYPE_PERCPU_HASH || info.type == BPF_MAP_TYPE_LRU_PERCPU_HASH)
		batch->value_size = map_value_stride(info.value_size) * (size_t)cpus;
	return batch_grow(batch, BATCH_ENTRIES);
}

static int each_of_batch(const struct batch *batch, uint32_t count, map_each_fn *each, void *context)
{
	for (uint32_t i = 0; i < count; i++) {
		int result = each(batch->keys + i * batch->key_size, batch->values + i * batch->value_size, context);

		if (result)
			return result;
	}
	return 0;
}

int map_each(int fd, map_each_fn *each, void *context)
{
	struct batch batch = { 0 };
	char position[64], *from = NULL; /* hash maps need 4 bytes, others a key */
	int result = batch_open(&batch, fd);

	while (!result) {
		uint32_t count = batch.capacity;
		char next[sizeof(position)];
		int error = bpf_map_lookup_batch(fd, from, next, batch.keys, batch.values, &count, NULL);

		if (error == -ENOSPC && batch.capacity < BATCH_ENTRIES_MAX) { /* one bucket holds more than fits */
			result = batch_grow(&batch, batch.capacity * 2);
			continue;
		}
		if (error && error != -ENOENT) {
			result = error;
			break;
		}
		result = each_of_batch(&batch, count, each, context);
		if (error == -ENOENT)
			break;
		memcpy(position, next, sizeof(position));
		from = position;
	}
	free(batch.keys);
	free(batch.values);
	return result;
}

int map_sum_percpu(int fd, uint32_t index, uint64_t *ret_counters, size_t count)
{
	int cpus = libbpf_num_possible_cpus();
	uint64_t *values;
	int error;

	if (cpus < 0)
		return cpus;
	values = calloc((size_t)cpus * count, sizeof(*values));
	if (!values)
		return -ENOMEM;
	error = bpf_map_lookup_elem(fd, &index, values);
	memset(ret_counters, 0, count * sizeof(*ret_counters));
	for (size_t i = 0; !error && i < (size_t)cpus * count; i++)
		ret_counters[i % count] += values[i];
	free(values);
	return error;
}
