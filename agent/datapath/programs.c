/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All programs, on the one set of maps. What is attached is replaced in one step (bpf_link_update), and only where it
 * differs from what this version would attach: a restarted agent touches nothing. A program that a former agent
 * pinned and that is the same stays the one in force, so its run time counters go on.
 *
 * The verifier takes a second or two for all of them. So objects/NAME keeps a hash of the object whose programs are
 * pinned: an agent with the same object takes the pinned ones and loads nothing. It is taken away before any of these
 * pins changes.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "datapath/kernel_map.h"
#include "datapath/load.h"
#include "datapath/place.h"
#include "util/log.h"

#define USED_MAPS_MAX 64

struct program *datapath_find_program(const struct datapath *datapath, const char *name)
{
	for (size_t i = 0; i < datapath->program_count; i++)
		if (!strcmp(datapath->programs[i].name, name))
			return &datapath->programs[i];
	return NULL;
}

struct used {
	struct bpf_prog_info info;
	uint32_t maps[USED_MAPS_MAX];
};

static int used_by(int fd, struct used *ret)
{
	uint32_t size = sizeof(ret->info);

	*ret = (struct used){ .info = { .nr_map_ids = USED_MAPS_MAX, .map_ids = (uintptr_t)ret->maps } };
	if (bpf_obj_get_info_by_fd(fd, &ret->info, &size) < 0)
		return -errno;
	return ret->info.nr_map_ids > USED_MAPS_MAX ? -E2BIG : 0;
}

/* Constants of a program (.rodata): the tag does not cover them. */
static bool same_constants(const struct map *a, const struct map *b)
{
	unsigned char *values = malloc(2 * (size_t)a->value_size);
	uint32_t zero = 0;
	bool same = values && bpf_map_lookup_elem(a->fd, &zero, values) == 0 &&
		    bpf_map_lookup_elem(b->fd, &zero, values + a->value_size) == 0 &&
		    !memcmp(values, values + a->value_size, a->value_size);

	free(values);
	return same;
}

static bool is_ours(const struct datapath *datapath, uint32_t id)
{
	for (size_t i = 0; i < datapath->map_count; i++)
		if (datapath->maps[i].id == id)
			return true;
	return false;
}

/* Two maps of two loads of one program: the same pinned one, or private ones with the same layout and constants. */
static bool same_map(const struct datapath *datapath, uint32_t a, uint32_t b)
{
	struct map left = { .fd = bpf_map_get_fd_by_id(a) }, right = { .fd = bpf_map_get_fd_by_id(b) };
	bool same = a == b;

	if (!same && !is_ours(datapath, a) && !is_ours(datapath, b) && left.fd >= 0 && right.fd >= 0 &&
	    map_describe(left.fd, &left) == 0 && map_describe(right.fd, &right) == 0)
		same = left.type == right.type && left.value_size == right.value_size && left.capacity == right.capacity &&
		       left.flags == right.flags && (!(left.flags & BPF_F_RDONLY_PROG) || same_constants(&left, &right));
	if (left.fd >= 0)
		close(left.fd);
	if (right.fd >= 0)
		close(right.fd);
	return same;
}

static bool same_program(const struct datapath *datapath, int a, int b)
{
	struct used left, right;

	if (used_by(a, &left) < 0 || used_by(b, &right) < 0)
		return false;
	if (left.info.type != right.info.type || memcmp(left.info.tag, right.info.tag, sizeof(left.info.tag)) != 0 ||
	    left.info.nr_map_ids != right.info.nr_map_ids)
		return false;
	for (uint32_t i = 0; i < left.info.nr_map_ids; i++)
		if (!same_map(datapath, left.maps[i], right.maps[i]))
			return false;
	return true;
}

static int pinned_path(const struct datapath *datapath, const char *kind, const char *name, char *path)
{
	char relative[64];

	snprintf(relative, sizeof(relative), "%s/%s", kind, name);
	return datapath_path(datapath, relative, path);
}

/* Settles which program is in force: the pinned one when it is the same, else the new one, which is pinned then. */
static int settle(struct datapath *datapath, struct program *program)
{
	char path[PATH_MAX], relative[64];
	struct used used;
	int pinned, result;

	snprintf(relative, sizeof(relative), "programs/%s", program->name);
	result = datapath_path(datapath, relative, path);
	if (result < 0)
		return result;
	pinned = bpf_obj_get(path);
	if (pinned >= 0 && same_program(datapath, pinned, program->fd)) {
		close(program->fd);
		program->fd = pinned;
	} else {
		if (pinned >= 0)
			close(pinned);
		result = datapath_pin(datapath, program->fd, relative);
	}
	if (result == 0)
		result = used_by(program->fd, &used);
	if (result == 0)
		program->id = used.info.id;
	return result;
}

/* Notes a program of an object with `fd`, which it owns from now on. */
static int add_program(struct datapath *datapath, const struct bpf_program *definition, int fd)
{
	struct program *programs = realloc(datapath->programs, (datapath->program_count + 1) * sizeof(*programs)), *program;

	if (!programs) {
		close(fd);
		return -ENOMEM;
	}
	datapath->programs = programs;
	program = &programs[datapath->program_count++];
	*program = (struct program){
		.type = bpf_program__type(definition),
		.attach_type = bpf_program__expected_attach_type(definition),
		.fd = fd,
		.link = -1,
	};
	snprintf(program->name, sizeof(program->name), "%s", bpf_program__name(definition));
	return 0;
}

/* Takes the loaded programs of `object` over: it is closed afterwards. */
static int keep_programs(struct datapath *datapath, struct bpf_object *object)
{
	struct bpf_program *loaded;
	int result = 0;

	bpf_object__for_each_program(loaded, object) {
		int fd = result == 0 ? fcntl(bpf_program__fd(loaded), F_DUPFD_CLOEXEC, 0) : -1;

		if (result == 0)
			result = fd < 0 ? -errno : add_program(datapath, loaded, fd);
	}
	return result;
}

/* Whether all the maps of bpf/lib/maps.h that a program uses are those of now. */
static bool uses_our_maps(const struct datapath *datapath, int fd)
{
	struct used used;
	bool ours = used_by(fd, &used) == 0;

	for (uint32_t i = 0; ours && i < used.info.nr_map_ids; i++) {
		struct bpf_map_info info = { 0 };
		uint32_t size = sizeof(info);
		int map = bpf_map_get_fd_by_id(used.maps[i]);

		ours = map >= 0 && bpf_obj_get_info_by_fd(map, &info, &size) == 0 &&
		       (is_ours(datapath, info.id) || !datapath_find_map(datapath, info.name));
		if (map >= 0)
			close(map);
	}
	return ours;
}

static uint64_t read_hash(const struct datapath *datapath, const char *object)
{
	char path[PATH_MAX];
	uint64_t hash = 0;
	uint32_t zero = 0;
	int fd = pinned_path(datapath, "objects", object, path) == 0 ? bpf_obj_get(path) : -1;

	if (fd < 0)
		return 0;
	if (bpf_map_lookup_elem(fd, &zero, &hash) < 0)
		hash = 0;
	close(fd);
	return hash;
}

static int write_hash(const struct datapath *datapath, const char *object, uint64_t hash)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "weft_object", sizeof(uint32_t), sizeof(hash), 1, NULL), result = 0;
	char relative[64];
	uint32_t zero = 0;

	snprintf(relative, sizeof(relative), "objects/%s", object);
	if (fd < 0 || bpf_map_update_elem(fd, &zero, &hash, BPF_ANY) < 0)
		result = -errno;
	if (result == 0)
		result = datapath_pin(datapath, fd, relative);
	if (fd >= 0)
		close(fd);
	return result;
}

/* Takes the pinned programs instead of loading `object`, if they are its own. */
static bool adopt_object(struct datapath *datapath, size_t index, const struct bpf_object *object)
{
	size_t before = datapath->program_count;
	struct bpf_program *program;
	bool adopted = read_hash(datapath, objects_name(index)) == objects_hash(index);
	char path[PATH_MAX];

	bpf_object__for_each_program(program, object) {
		int fd = -1;

		if (adopted && pinned_path(datapath, "programs", bpf_program__name(program), path) == 0)
			fd = bpf_obj_get(path);
		adopted = fd >= 0 && uses_our_maps(datapath, fd);
		if (adopted)
			adopted = add_program(datapath, program, fd) == 0;
		else if (fd >= 0)
			close(fd);
	}
	while (!adopted && datapath->program_count > before)
		close(datapath->programs[--datapath->program_count].fd);
	return adopted;
}

static int load_object(struct datapath *datapath, size_t index, char reason[REASON_MAX])
{
	struct bpf_object *object = NULL;
	struct bpf_map *map;
	char what[64];
	int result = objects_open(index, &object);

	if (result == 0 && adopt_object(datapath, index, object)) {
		log_debug("%s.bpf.o: its programs are pinned already", objects_name(index));
		bpf_object__close(object);
		return 0;
	}
	if (result == 0)
		bpf_object__for_each_map(map, object) {
			const struct map *shared = datapath_find_map(datapath, bpf_map__name(map));

			if (result == 0 && shared)
				result = bpf_map__reuse_fd(map, shared->fd);
		}
	if (result == 0)
		result = bpf_object__load(object);
	if (result == 0)
		result = keep_programs(datapath, object);
	bpf_object__close(object);
	snprintf(what, sizeof(what), "%s.bpf.o", objects_name(index));
	return result < 0 ? objects_explain(what, result, reason) : 0;
}

int programs_load(struct datapath *datapath, char reason[REASON_MAX])
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < objects_count(); i++)
		if (strcmp(objects_name(i), "maps") != 0)
			result = load_object(datapath, i, reason);
	return result;
}

static bool is_for_cgroup(const struct program *program)
{
	return program->type == BPF_PROG_TYPE_CGROUP_SOCK_ADDR || program->type == BPF_PROG_TYPE_SOCK_OPS ||
	       program->type == BPF_PROG_TYPE_CGROUP_SOCK || program->type == BPF_PROG_TYPE_CGROUP_SOCKOPT;
}

/* Whether `link` is at this cgroup; a link whose cgroup is gone is at none. *ret_program: what it runs. */
static bool link_is_at(int link, uint64_t cgroup, uint32_t *ret_program)
{
	struct bpf_link_info info = { 0 };
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(link, &info, &size) < 0 || info.type != BPF_LINK_TYPE_CGROUP)
		return false;
	*ret_program = info.prog_id;
	return info.cgroup.cgroup_id == cgroup;
}

static int attach(struct datapath *datapath, const struct program *program, int cgroup, uint64_t cgroup_id)
{
	char path[PATH_MAX], relative[64];
	uint32_t attached = 0;
	int link, result;

	snprintf(relative, sizeof(relative), "links/%s", program->name);
	result = datapath_path(datapath, relative, path);
	if (result < 0)
		return result;
	link = bpf_obj_get(path);
	if (link >= 0 && link_is_at(link, cgroup_id, &attached)) {
		if (attached != program->id && bpf_link_update(link, program->fd, NULL) < 0)
			result = -errno;
		close(link);
		return result;
	}
	if (link >= 0)
		close(link); /* goes when its pin is replaced, after the new one is in force */
	link = bpf_link_create(program->fd, cgroup, program->attach_type, NULL);
	if (link < 0)
		return -errno;
	result = datapath_pin(datapath, link, relative);
	close(link);
	return result;
}

struct stale {
	const struct datapath *datapath;
	const char *kind;
};

static int drop_unknown(const char *name, void *context)
{
	const struct stale *stale = context;
	const struct program *program = datapath_find_program(stale->datapath, name);
	char path[PATH_MAX];
	int result;

	if (program && (strcmp(stale->kind, "links") != 0 || is_for_cgroup(program)))
		return 0;
	log_info("%s/%s is of another version: it goes", stale->kind, name);
	result = pinned_path(stale->datapath, stale->kind, name, path);
	return result == 0 && unlink(path) < 0 ? -errno : result;
}

/* Of objects that are not the ones that were pinned: their pins change now. */
static int drop_hashes(const struct datapath *datapath)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < objects_count(); i++)
		if (read_hash(datapath, objects_name(i)) != objects_hash(i) &&
		    pinned_path(datapath, "objects", objects_name(i), path) == 0 && unlink(path) < 0 && errno != ENOENT)
			return -errno;
	return 0;
}

static int note_hashes(const struct datapath *datapath)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < objects_count(); i++)
		if (read_hash(datapath, objects_name(i)) != objects_hash(i))
			result = write_hash(datapath, objects_name(i), objects_hash(i));
	return result;
}

static int attach_all(struct datapath *datapath, int cgroup, char reason[REASON_MAX])
{
	struct stat status;
	int result = fstat(cgroup, &status) < 0 ? -errno : drop_hashes(datapath);

	if (result < 0)
		explain_failure(reason, "%s/objects: %s", datapath->directory, strerror(-result));
	for (size_t i = 0; result == 0 && i < datapath->program_count; i++) {
		struct program *program = &datapath->programs[i];

		result = settle(datapath, program);
		if (result == 0 && is_for_cgroup(program))
			result = attach(datapath, program, cgroup, status.st_ino); /* a cgroup's id is its inode number */
		if (result == -EPERM)
			return objects_explain(program->name, result, reason);
		if (result < 0)
			explain_failure(reason, "program %s cannot be attached at %s or pinned below %s: %s", program->name,
				 datapath->options.cgroup, datapath->directory, strerror(-result));
	}
	return result;
}

int programs_attach(struct datapath *datapath, char reason[REASON_MAX])
{
	struct stale links = { datapath, "links" }, programs = { datapath, "programs" };
	int cgroup = open(datapath->options.cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC), result;

	if (cgroup < 0) {
		result = -errno;
		explain_failure(reason, "cgroup %s: %s", datapath->options.cgroup, strerror(-result));
		return result;
	}
	result = attach_all(datapath, cgroup, reason);
	close(cgroup);
	if (result < 0)
		return result;
	result = place_each(datapath->directory, "links", drop_unknown, &links);
	if (result == 0)
		result = place_each(datapath->directory, "programs", drop_unknown, &programs);
	if (result == 0)
		result = note_hashes(datapath);
	if (result < 0)
		explain_failure(reason, "what another version pinned below %s cannot be removed: %s", datapath->directory,
			 strerror(-result));
	return result;
}

void programs_close(struct datapath *datapath)
{
	for (size_t i = 0; i < datapath->program_count; i++) {
		close(datapath->programs[i].fd);
		if (datapath->programs[i].link >= 0)
			close(datapath->programs[i].link);
	}
	free(datapath->programs);
}

int datapath_each_program(struct datapath *datapath, int (*each)(const struct datapath_program *program, void *context),
			  void *context)
{
	int result = 0;

	for (size_t i = 0; result == 0 && i < datapath->program_count; i++) {
		struct datapath_program shown = { .name = datapath->programs[i].name };
		struct used used;

		result = used_by(datapath->programs[i].fd, &used);
		if (result < 0)
			return result;
		shown.run_count = used.info.run_cnt;
		shown.run_nanoseconds = used.info.run_time_ns;
		result = each(&shown, context);
	}
	return result;
}
