/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/traffic.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>

#include "compile/names.h"
#include "datapath/datapath.h"
#include "util/map_each.h"

struct reading {
	struct traffic *items;
	size_t count, capacity;
	int cpus;
};

void traffic_add(struct weft_traffic *sum, const struct weft_traffic *from)
{
	sum->opened += from->opened;
	sum->closed += from->closed;
	sum->sent += from->sent;
	sum->received += from->received;
	sum->retransmits += from->retransmits;
	sum->denied += from->denied;
}

static int read_entry(const void *key, const void *values, void *context)
{
	struct reading *reading = context;
	struct traffic *item;

	if (reading->count == reading->capacity) {
		size_t capacity = reading->capacity ? reading->capacity * 2 : 256;
		struct traffic *items = realloc(reading->items, capacity * sizeof(*items));

		if (!items)
			return -ENOMEM;
		reading->items = items;
		reading->capacity = capacity;
	}
	item = &reading->items[reading->count++];
	*item = (struct traffic){ .key = *(const struct weft_traffic_key *)key };
	for (int cpu = 0; cpu < reading->cpus; cpu++)
		traffic_add(&item->sum,
			    (const void *)((const char *)values + (size_t)cpu * map_value_stride(sizeof(item->sum))));
	return 0;
}

int traffic_read(const struct agent *agent, struct traffic **ret, size_t *ret_count)
{
	struct reading reading = { .cpus = libbpf_num_possible_cpus() };
	int fd = datapath_map_fd(agent->datapath, "weft_traffic");
	int error = fd < 0 ? fd : map_each(fd, read_entry, &reading);

	if (error) {
		free(reading.items);
		return error;
	}
	*ret = reading.items;
	*ret_count = reading.count;
	return 0;
}

static bool is_forgotten(const struct agent *agent, uint32_t identity)
{
	return identity >= WEFT_IDENTITY_FIRST && !names_identity(agent->compile, identity);
}

int traffic_collect(const struct agent *agent)
{
	struct traffic *items = NULL;
	size_t count = 0;
	int removed = 0, error = traffic_read(agent, &items, &count);
	int fd = datapath_map_fd(agent->datapath, "weft_traffic");

	for (size_t i = 0; !error && i < count; i++) {
		const struct weft_traffic_key *key = &items[i].key;

		if (!is_forgotten(agent, key->source) && !is_forgotten(agent, key->destination))
			continue;
		error = bpf_map_delete_elem(fd, key);
		removed += !error;
		if (error == -ENOENT)
			error = 0;
	}
	free(items);
	return error ? error : removed;
}
