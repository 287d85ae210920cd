/* SPDX-License-Identifier: Apache-2.0 */
/* datapath_open(), datapath_close(), datapath_cleanup(): the order of things. */
#include "datapath/load.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "datapath/kernel_map.h"
#include "datapath/place.h"
#include "util/clock.h"
#include "util/log.h"

#define DEFAULT_DIRECTORY "/sys/fs/bpf/weft"
#define WAKE_BYTES (64 * 1024) /* about 250 flow records: a wake-up costs the program that causes it some microseconds */

static int find_places(struct datapath *datapath, const struct datapath_options *options, char reason[REASON_MAX])
{
	const char *wanted = options->bpffs ? options->bpffs : DEFAULT_DIRECTORY;
	size_t length = strlen(wanted);
	char *cgroup = NULL;
	int result;

	while (length > 1 && wanted[length - 1] == '/')
		length--;
	if (wanted[0] != '/' || length >= sizeof(datapath->directory)) {
		explain_failure(reason, "--bpffs=%s is not an absolute path", wanted);
		return -EINVAL;
	}
	memcpy(datapath->directory, wanted, length);
	datapath->options.bpffs = datapath->directory;
	result = place_find_cgroup(options->cgroup, &cgroup, reason);
	datapath->options.cgroup = cgroup;
	return result;
}

static void set_control(struct datapath *datapath)
{
	uint32_t ring = datapath_find_map(datapath, "weft_events")->capacity;
	uint32_t flags = datapath->control->flags & ~(uint32_t)WEFT_CONTROL_DENY_DROP;

	if (!datapath->control->epoch)
		datapath->control->epoch = 1; /* 0 in a tracked connection means that nobody has decided it */
	if (datapath->options.deny_drop)
		flags |= WEFT_CONTROL_DENY_DROP;
	__atomic_store_n(&datapath->control->flags, flags, __ATOMIC_RELEASE);
	__atomic_store_n(&datapath->control->report_bytes, ring / 8 < WAKE_BYTES ? ring / 8 : WAKE_BYTES, __ATOMIC_RELEASE);
	datapath_heartbeat(datapath);
}

/* What common.h counts under when there is no room for a pair of identities. */
static int make_unknown_traffic(const struct datapath *datapath, char reason[REASON_MAX])
{
	static const uint8_t protocols[] = { 0, IPPROTO_TCP, IPPROTO_UDP };
	const struct map *map = datapath_find_map(datapath, "weft_traffic");
	void *zero = calloc(1, map_value_bytes(map));
	int result = zero ? 0 : -ENOMEM;

	for (unsigned int reporter = WEFT_REPORTER_SOURCE; reporter <= WEFT_REPORTER_DESTINATION; reporter++)
		for (size_t protocol = 0; protocol < sizeof(protocols); protocol++)
			for (unsigned int number = 0; result == 0 && number < WEFT_REASON_COUNT; number++) {
				struct weft_traffic_key key = { .reporter = (uint8_t)reporter, .protocol = protocols[protocol],
								.reason = (uint8_t)number };

				if (bpf_map_update_elem(map->fd, &key, zero, BPF_NOEXIST) < 0 && errno != EEXIST)
					result = -errno;
			}
	free(zero);
	if (result < 0)
		explain_failure(reason, "the counters of unknown traffic cannot be made: %s. Raise --max-traffic",
			 strerror(-result));
	return result;
}

/* The mark of who wrote all this; last, so that it says what is complete. */
static int pin_abi(struct datapath *datapath, char reason[REASON_MAX])
{
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "weft_abi", sizeof(uint32_t), sizeof(uint32_t), 1, NULL), result = 0;
	uint32_t zero = 0, version = WEFT_ABI_VERSION;

	if (fd < 0 || bpf_map_update_elem(fd, &zero, &version, BPF_ANY) < 0)
		result = -errno;
	if (result == 0)
		result = datapath_pin(datapath, fd, "abi");
	if (fd >= 0)
		close(fd);
	if (result < 0)
		explain_failure(reason, "%s/abi cannot be pinned: %s", datapath->directory, strerror(-result));
	return result;
}

/* Workloads that a former agent left may have been told another way. */
static int take_found_way(struct datapath *datapath, char reason[REASON_MAX])
{
	const char *why;
	bool on = datapath_short_way(datapath, &why);
	int result = apply_short_way(datapath, on);

	if (result < 0)
		explain_failure(reason, "cannot switch the short way %s: %s", on ? "on" : "off", strerror(-result));
	return result;
}

static int start_rooms(struct datapath *datapath, char reason[REASON_MAX])
{
	int result = apply_new(datapath);

	if (result == 0)
		result = collect_new(datapath);
	if (result < 0) {
		explain_failure(reason, "what is pinned below %s cannot be read: %s", datapath->directory, strerror(-result));
		return result;
	}
	result = short_way_open(datapath, reason);
	if (result == 0)
		result = take_found_way(datapath, reason);
	return result == 0 ? attach_open(datapath, reason) : result;
}

static int take_place(struct datapath *datapath, char reason[REASON_MAX])
{
	char path[PATH_MAX];
	int result = place_lock(datapath->directory, true, &datapath->lock, reason);

	datapath->first = result == 0 && datapath_path(datapath, "abi", path) == 0 && access(path, F_OK) < 0 && errno == ENOENT;
	return result;
}

static int prepare(struct datapath *datapath, char reason[REASON_MAX])
{
	set_control(datapath);
	return make_unknown_traffic(datapath, reason);
}

static int open_all(struct datapath *datapath, const struct datapath_options *options, char reason[REASON_MAX])
{
	static const struct {
		int (*run)(struct datapath *datapath, char reason[REASON_MAX]);
		const char *done;
	} steps[] = {
		{ take_place, "pin directory locked" },	     { maps_open, "maps open" },
		{ programs_load, "programs loaded" },	     { migrate_pin, "maps of another layout replaced" },
		{ prepare, "settings written" },	     { programs_attach, "programs attached at the cgroup" },
		{ start_rooms, "interfaces looked after" }, { migrate_finish, "former maps gone" },
		{ pin_abi, "all pinned" },
	};
	int result = find_places(datapath, options, reason);

	for (size_t i = 0; result == 0 && i < sizeof(steps) / sizeof(*steps); i++) {
		result = steps[i].run(datapath, reason);
		if (result == 0)
			log_debug("start: %s", steps[i].done);
	}
	return result;
}

int datapath_open(struct datapath **ret, const struct datapath_options *options, char reason[512])
{
	struct datapath *datapath = calloc(1, sizeof(*datapath));
	int result;

	if (!datapath) {
		explain_failure(reason, "no memory");
		return -ENOMEM;
	}
	datapath->options = *options;
	datapath->options.cgroup = NULL;
	datapath->lock = -1;
	reason[0] = '\0';
	result = open_all(datapath, options, reason);
	if (result < 0)
		datapath_abandon(datapath);
	else
		*ret = datapath;
	return result;
}

void datapath_abandon(struct datapath *datapath)
{
	struct datapath_options options = { 0 };
	char directory[PATH_MAX], reason[REASON_MAX];
	bool first = datapath && datapath->first;

	if (first)
		strcpy(directory, datapath->directory);
	datapath_close(datapath);
	options.bpffs = directory;
	if (first && datapath_cleanup(&options, reason) < 0)
		log_error("%s", reason);
}

void datapath_close(struct datapath *datapath)
{
	if (!datapath)
		return;
	attach_close(datapath);
	short_way_close(datapath);
	collect_free(datapath);
	apply_free(datapath);
	programs_close(datapath);
	maps_close(datapath);
	if (datapath->lock >= 0)
		close(datapath->lock);
	free((char *)datapath->options.cgroup);
	free(datapath);
}

void datapath_heartbeat(struct datapath *datapath)
{
	__atomic_store_n(&datapath->control->heartbeat, clock_now(CLOCK_MONOTONIC), __ATOMIC_RELEASE);
}

struct room {
	const char *directory, *name;
};

static int remove_pin(const char *name, void *context)
{
	const struct room *room = context;
	char path[PATH_MAX];
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s/%s", room->directory, room->name, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	if (!strcmp(room->name, "links")) { /* an unpinned link detaches some time later; this one does now */
		fd = bpf_obj_get(path);
		if (fd >= 0) {
			bpf_link_detach(fd);
			close(fd);
		}
	}
	return unlink(path) < 0 ? -errno : 0;
}

static int remove_all(const char *directory)
{
	static const char *const rooms[] = { "links", "programs", "objects", "maps" };
	char path[PATH_MAX];
	int result = 0;

	for (size_t i = 0; result == 0 && i < sizeof(rooms) / sizeof(*rooms); i++) {
		struct room room = { directory, rooms[i] };

		result = place_each(directory, room.name, remove_pin, &room);
		snprintf(path, sizeof(path), "%s/%s", directory, room.name);
		if (result == 0 && rmdir(path) < 0 && errno != ENOENT)
			result = -errno;
	}
	snprintf(path, sizeof(path), "%s/abi", directory);
	if (result == 0 && unlink(path) < 0 && errno != ENOENT)
		result = -errno;
	/* the mount point itself stays */
	return result == 0 && rmdir(directory) < 0 && errno != EBUSY ? -errno : result;
}

int datapath_cleanup(const struct datapath_options *options, char reason[512])
{
	const char *directory = options->bpffs ? options->bpffs : DEFAULT_DIRECTORY;
	int lock, result;

	reason[0] = '\0';
	if (access(directory, F_OK) < 0 && errno == ENOENT)
		return 0;
	result = place_lock(directory, false, &lock, reason);
	if (result < 0)
		return result == -ENOENT ? 0 : result;
	result = attach_cleanup(directory, reason);
	if (result == 0) {
		result = remove_all(directory);
		if (result < 0)
			explain_failure(reason, "not all below %s could be removed: %s", directory, strerror(-result));
	}
	close(lock);
	return result;
}
