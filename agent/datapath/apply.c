/* SPDX-License-Identifier: Apache-2.0 */
/*
 * datapath_apply(): desired state to the maps, by difference.
 *
 * Order: what is new in policy and identity takes effect (apply_policy_begin), then services change (apply_services),
 * then what policy no longer needs goes (apply_policy_end). So an endpoint is known before it is balanced to. Where pods
 * only go, services change first: they are not balanced to any more when they are closed.
 *
 * Killed anywhere, the agent leaves the maps in one of these states, each of them the old state or the new one for
 * every decision, and the next agent's first apply makes whole what is not:
 *
 *   writing the idle buffer     `buffers` names the other one alone; what is in the idle one counts for nothing. New
 *                               entries hold in the deciding buffer what the old state gave without them (nothing, or
 *                               the identity of a prefix's longest parent). The next apply writes the idle buffer again.
 *   `buffers` = 3               both are complete: what either denies is denied. The next agent picks one and goes on.
 *   `buffers` = the new one     the other one is brought up to date: counts for nothing, as above.
 *   removing entries            an entry that is still there holds in the deciding buffer what holds without it.
 *   services                    a service's slots are complete before its entry names them; entries change one by one.
 *   rules, slots                never written while an entry that programs may read names them. What no entry names is
 *                               found free by the next agent, which reads all entries.
 *   the first load              `buffers` is 0, nothing is allowed for pods; the next agent starts over.
 *   one address alone           apply_direct(): one write to one entry, both buffers at once.
 */
#include "datapath/apply.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/log.h"

void (*apply_step_hook)(const char *step);

void apply_step(const char *step)
{
	if (apply_step_hook)
		apply_step_hook(step);
}

void outcome_error(struct outcome *outcome, int error)
{
	if (!outcome->error)
		outcome->error = error;
}

int apply_lookup(const struct map *map, const void *key, void *value)
{
	if (!map->entries)
		return 0;
	if (bpf_map_lookup_elem(map->fd, key, value) == 0)
		return 1;
	return errno == ENOENT ? 0 : -errno;
}

/*
 * An update of a map of maps returns only when all programs that might use the former inner map have ended: the
 * kernel's own promise (kernel/bpf/syscall.c, maybe_wait_bpf_programs()), which membarrier() makes only where no CPU
 * is nohz_full.
 */
int apply_wait_for_programs(struct apply *apply)
{
	uint32_t zero = 0;

	return bpf_map_update_elem(apply->grace, &zero, &apply->grace_inner, BPF_ANY) < 0 ? -errno : 0;
}

int apply_release(struct apply *apply)
{
	int result = apply_wait_for_programs(apply);

	if (result == 0) {
		ranges_release(&apply->slots);
		ranges_release(&apply->runs.ranges);
	}
	return result;
}

static int make_grace(struct apply *apply)
{
	LIBBPF_OPTS(bpf_map_create_opts, options);

	apply->grace_inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "weft_grace_in", 4, 4, 1, NULL);
	if (apply->grace_inner < 0)
		return -errno;
	options.inner_map_fd = (uint32_t)apply->grace_inner;
	apply->grace = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "weft_grace", 4, 4, 1, &options);
	return apply->grace < 0 ? -errno : 0;
}

static void clear_state(struct apply *apply)
{
	ranges_clear(&apply->slots);
	apply_policy_clear(apply);
}

/* Learns from the maps what is in use. */
static int scan(struct apply *apply)
{
	int result;

	clear_state(apply);
	result = apply_services_scan(apply);
	return result == 0 ? apply_policy_scan(apply) : result;
}

int apply_new(struct datapath *datapath)
{
	struct apply *apply = calloc(1, sizeof(*apply));
	int result;

	if (!apply)
		return -ENOMEM;
	*apply = (struct apply){ .datapath = datapath, .grace = -1, .grace_inner = -1 };
	datapath->apply = apply;
	result = make_grace(apply);
	return result == 0 ? scan(apply) : result;
}

void apply_free(struct datapath *datapath)
{
	struct apply *apply = datapath->apply;

	if (!apply)
		return;
	clear_state(apply);
	if (apply->grace >= 0)
		close(apply->grace);
	if (apply->grace_inner >= 0)
		close(apply->grace_inner);
	free(apply);
	datapath->apply = NULL;
}

/* The first apply, or the first after a failure: what is in the maps and not desired becomes dirty, and so goes. */
static int reconcile(struct apply *apply, struct desired *desired)
{
	int result = scan(apply);

	if (result == 0)
		result = apply_services_note_stale(apply, desired);
	if (result == 0)
		result = apply_policy_note_stale(apply, desired);
	if (result == 0)
		apply->scanned = true;
	return result;
}

static int is_wanted(const void *key, const void *value, size_t size, void *context)
{
	(void)key;
	(void)size;
	(void)context;
	return value != NULL;
}

static void apply_once(struct apply *apply, struct desired *desired, struct outcome *outcome)
{
	bool pods_only_go = table_dirty_count(desired->addresses) && !table_each_dirty(desired->addresses, is_wanted, NULL);
	int result;

	if (pods_only_go) /* out of their services before they are closed */
		apply_services(apply, desired, outcome);
	result = apply_policy_begin(apply, desired, outcome);
	if (result < 0) { /* the old state of policy stays in force, whole */
		outcome_error(outcome, result);
		apply->scanned = false;
	}
	if (!pods_only_go)
		apply_services(apply, desired, outcome);
	if (result == 0)
		apply_policy_end(apply, desired, outcome);
}

static void tell_full(struct map *map)
{
	if (map->is_full && !map->full_told)
		log_warn("map %s is full (%u of %u): what is there goes on working, new entries are left out; raise --%s",
			 map->name, map->entries, map->capacity, map_option(map));
	else if (!map->is_full && map->full_told)
		log_info("map %s has room again", map->name);
	map->full_told = map->is_full;
}

static void tell(struct apply *apply)
{
	struct datapath *datapath = apply->datapath;

	datapath_find_map(datapath, "weft_slots")->entries = apply->slots.used - apply->slots.waiting_sum;
	datapath_find_map(datapath, "weft_rules")->entries = apply->runs.ranges.used - apply->runs.ranges.waiting_sum;
	for (size_t i = 0; i < datapath->map_count; i++)
		tell_full(&datapath->maps[i]);
}

int datapath_apply(struct datapath *datapath, struct desired *desired)
{
	struct apply *apply = datapath->apply;
	struct outcome outcome = { 0 }, again = { 0 };
	int result = apply->scanned ? 0 : reconcile(apply, desired);

	if (result < 0)
		return result;
	apply_once(apply, desired, &outcome);
	if (outcome.failed && outcome.deleted && apply->scanned) { /* what was deleted made room */
		apply_once(apply, desired, &again);
		outcome.error = again.error;
	}
	tell(apply);
	return outcome.error ? outcome.error : (int)(outcome.writes + again.writes);
}
