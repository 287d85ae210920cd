/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Services and backends. A changed set of slots goes to a fresh range of weft_slots, then the service's entry is
 * replaced: a program reads the old set or the new one. The old range is written again only after running programs
 * have ended. A killed agent leaves at worst slots that no entry names; the next one finds out by reading all
 * entries.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/apply.h"
#include "util/log.h"

struct pass {
	struct apply *apply;
	struct table *table;
	struct map *map;
	struct map_writer writer;
	struct outcome *outcome;
	bool was_empty; /* the map: nothing to look up */
};

static int reserve(const void *key, const void *value, void *context)
{
	const struct weft_service *service = value;
	struct apply *apply = context;

	(void)key;
	return service->slot_count ? ranges_reserve(&apply->slots, service->first_slot, service->slot_count) : 0;
}

int apply_services_scan(struct apply *apply)
{
	struct map *map = datapath_find_map(apply->datapath, "weft_services");
	int result = ranges_init(&apply->slots, apply->datapath->slots.capacity);

	if (result == 0)
		result = map_walk(map, reserve, apply);
	if (result == 0)
		result = ranges_settle(&apply->slots);
	if (result != -EINVAL)
		return result;
	log_warn("the pinned services contradict each other: they are written anew");
	ranges_clear(&apply->slots);
	result = map_clear(map);
	return result < 0 ? result : ranges_init(&apply->slots, apply->datapath->slots.capacity);
}

static int mark_all(const void *key, const void *value, size_t size, void *context)
{
	(void)value;
	(void)size;
	table_mark_dirty(context, key);
	return 0;
}

static int mark_stale(const void *key, const void *value, void *context)
{
	struct table *table = context;

	(void)value;
	if (!table_get(table, key, NULL))
		table_mark_dirty(table, key);
	return 0;
}

int apply_services_note_stale(struct apply *apply, struct desired *desired)
{
	int result = map_walk(datapath_find_map(apply->datapath, "weft_services"), mark_stale, desired->services);

	table_each(desired->services, mark_all, desired->services); /* any of them may differ from what is pinned */
	table_each(desired->backends, mark_all, desired->backends);
	if (result == 0)
		result = map_walk(datapath_find_map(apply->datapath, "weft_backends"), mark_stale, desired->backends);
	return result;
}

static void fail(struct pass *pass, const void *key, int error)
{
	table_mark_dirty(pass->table, key);
	pass->outcome->failed++;
	outcome_error(pass->outcome, error);
}

static bool remove_entry(struct pass *pass, const void *key)
{
	int result;

	apply_step("delete");
	result = map_delete(pass->map, key);
	if (result < 0) {
		fail(pass, key, result);
		return false;
	}
	pass->outcome->writes += (uint64_t)result;
	pass->outcome->deleted += (uint64_t)result;
	return true;
}

/* Room for `count` slots; when there is none, what waits for running programs is waited for. */
static int take_slots(struct pass *pass, uint32_t count, uint32_t *ret_first)
{
	struct ranges *slots = &pass->apply->slots;
	struct map *map = datapath_find_map(pass->apply->datapath, "weft_slots");
	int result = ranges_take(slots, count, ret_first);

	if (result == -ENOSPC && slots->waiting.count) {
		map_writer_flush(&pass->writer); /* or entries that still name the old slots would wait in it */
		result = pass->apply->scanned ? apply_release(pass->apply) : -ENOSPC;
		if (result == 0)
			result = ranges_take(slots, count, ret_first);
	}
	map->is_full = result == -ENOSPC;
	map->full += result == -ENOSPC;
	return result;
}

/* Where the slots of `wanted` are: where they were, or in a new range. */
static int place_slots(struct pass *pass, const struct weft_service *old, const struct weft_slot *slots, uint32_t count,
		       uint32_t *ret_first)
{
	struct shared_array *array = &pass->apply->datapath->slots;
	const void *present = old ? shared_array_at(array, old->first_slot, old->slot_count) : NULL;
	void *room;
	int result;

	*ret_first = 0;
	if (!count)
		return 0;
	if (present && old->slot_count == count && !memcmp(present, slots, count * sizeof(*slots))) {
		*ret_first = old->first_slot;
		return 0;
	}
	result = take_slots(pass, count, ret_first);
	if (result < 0)
		return result;
	room = shared_array_at(array, *ret_first, count);
	if (!room) {
		ranges_give(&pass->apply->slots, *ret_first, count);
		return -ENOMEM;
	}
	apply_step("slots");
	memcpy(room, slots, count * sizeof(*slots));
	return 0;
}

static void set_service(struct pass *pass, const struct weft_service_key *key, const struct weft_service *old,
			const struct weft_service *wanted)
{
	struct weft_service service = *wanted;
	const struct weft_slot *slots = (const void *)(wanted + 1);
	int result = place_slots(pass, old, slots, wanted->slot_count, &service.first_slot);

	if (result < 0) {
		fail(pass, key, result);
		return;
	}
	service.next = old ? old->next : 0;
	if (old && !memcmp(&service, old, sizeof(service)))
		return;
	if (old && (old->first_slot != service.first_slot || !service.slot_count))
		ranges_give(&pass->apply->slots, old->first_slot, old->slot_count);
	map_writer_put(&pass->writer, key, &service, !old);
}

static int change_service(const void *key, const void *value, size_t size, void *context)
{
	struct pass *pass = context;
	const struct weft_service *wanted = value;
	struct weft_service old;
	int there = pass->was_empty ? 0 : apply_lookup(pass->map, key, &old);

	if (there < 0)
		fail(pass, key, there);
	else if (wanted && size < sizeof(*wanted) + wanted->slot_count * sizeof(struct weft_slot))
		fail(pass, key, -EINVAL);
	else if (wanted)
		set_service(pass, key, there ? &old : NULL, wanted);
	else if (there && remove_entry(pass, key))
		ranges_give(&pass->apply->slots, old.first_slot, old.slot_count);
	return 0;
}

/* A new entry's slots were never in force. Another's former slots were given back too early, so all is read anew. */
static void service_refused(const void *key, const void *value, int error, void *context)
{
	const struct weft_service *service = value;
	struct pass *pass = context;

	fail(pass, key, -error);
	if (error == E2BIG)
		ranges_give(&pass->apply->slots, service->first_slot, service->slot_count);
	else
		pass->apply->scanned = false;
}

/* A backend's state is the programs': what is there stays. */
static int add_backend(const void *key, const void *value, size_t size, void *context)
{
	static const struct weft_backend zero;
	struct pass *pass = context;
	struct weft_backend old;
	int there;

	(void)size;
	if (!value)
		return 0;
	there = pass->was_empty ? 0 : apply_lookup(pass->map, key, &old);
	if (there < 0)
		fail(pass, key, there);
	else if (!there)
		map_writer_put(&pass->writer, key, &zero, true);
	return 0;
}

static int remove_backend(const void *key, const void *value, size_t size, void *context)
{
	struct pass *pass = context;
	struct weft_backend old;

	(void)size;
	if (!value)
		remove_entry(pass, key);
	else if (apply_lookup(pass->map, key, &old) == 0)
		table_mark_dirty(pass->table, key); /* add_backend() failed: table_each_dirty() has forgotten it */
	return 0;
}

static void backend_refused(const void *key, const void *value, int error, void *context)
{
	(void)value;
	fail(context, key, -error);
}

static int run_pass(struct pass *pass, table_each_fn *each,
		    void (*refused)(const void *key, const void *value, int error, void *context))
{
	int result = table_dirty_count(pass->table) ? map_writer_init(&pass->writer, pass->map) : 0;

	if (result < 0 || !table_dirty_count(pass->table))
		return result;
	pass->was_empty = !pass->map->entries;
	pass->writer.failed = refused;
	pass->writer.context = pass;
	table_each_dirty(pass->table, each, pass);
	apply_step("entries");
	map_writer_flush(&pass->writer);
	pass->outcome->writes += pass->writer.written;
	map_writer_clear(&pass->writer);
	return 0;
}

/* New backends come before the services that name them, gone ones go after. */
void apply_services(struct apply *apply, struct desired *desired, struct outcome *outcome)
{
	struct pass services = { .apply = apply, .table = desired->services, .outcome = outcome,
				 .map = datapath_find_map(apply->datapath, "weft_services") };
	struct pass backends = { .apply = apply, .table = desired->backends, .outcome = outcome,
				 .map = datapath_find_map(apply->datapath, "weft_backends") };

	int result = run_pass(&backends, add_backend, backend_refused);

	if (result == 0)
		result = run_pass(&services, change_service, service_refused);
	if (result == 0)
		result = run_pass(&backends, remove_backend, backend_refused);
	if (result < 0) { /* no memory: all stays dirty */
		outcome_error(outcome, result);
		return;
	}
	table_clean(services.table);
	table_clean(backends.table);
}
