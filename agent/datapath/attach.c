/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/attach.h"

#include <bpf/bpf.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datapath/clsact.h"
#include "datapath/internal.h"
#include "util/log.h"

/* enum bpf_attach_type of Linux 6.6; libbpf 1.1 does not know them */
#define TCX_INGRESS 46
#define TCX_EGRESS 47

#define PIN_MAX 64

struct hook {
	const char *program;
	int tcx;
	enum bpf_tc_attach_point clsact;
};

/* In this order: what enters a pod is closed before anything can leave it. */
static const struct hook hooks[] = {
	{ "to_pod", TCX_EGRESS, BPF_TC_EGRESS },
	{ "from_pod", TCX_INGRESS, BPF_TC_INGRESS },
};
#define HOOK_COUNT (sizeof(hooks) / sizeof(*hooks))

static void pin_name(char name[PIN_MAX], uint32_t ifindex, const char *what, const char *kind)
{
	snprintf(name, PIN_MAX, "interfaces/%u_%s%s", ifindex, what, kind);
}

static int pin_path(const char *directory, const char *name, char path[PATH_MAX])
{
	int length = snprintf(path, PATH_MAX, "%s/%s", directory, name);

	return length < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* A descriptor of what is pinned, or -errno. */
static int pin_open(const char *directory, const char *name)
{
	char path[PATH_MAX];
	int error = pin_path(directory, name, path);

	if (error)
		return error;
	error = bpf_obj_get(path);
	return error < 0 ? -errno : error;
}

/* Fine when there is none. */
static int pin_remove(const char *directory, const char *name)
{
	char path[PATH_MAX];
	int error = pin_path(directory, name, path);

	if (!error && unlink(path) && errno != ENOENT)
		error = -errno;
	return error;
}

/* --- tcx --- */

/* Which interface a link is at (0: that is gone) and which program it holds there. */
static int link_look(int fd, uint32_t *ret_ifindex, uint32_t *ret_program)
{
	struct bpf_link_info info = {};
	uint32_t size = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &size))
		return -errno;
	*ret_program = info.prog_id;
	*ret_ifindex = info.xdp.ifindex; /* of struct tcx, which begins alike */
	return 0;
}

/* The link that a former agent pinned: 1 if it stands and holds the program now, 0 if there is none that stands. */
static int tcx_adopt(struct datapath *datapath, uint32_t ifindex, const struct program *program, const char *name)
{
	uint32_t at = 0, held = 0;
	int fd = pin_open(datapath->directory, name);
	int error;

	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	error = link_look(fd, &at, &held);
	if (!error && at != ifindex)
		error = pin_remove(datapath->directory, name);
	else if (!error && held == program->id)
		error = 1;
	else if (!error)
		error = bpf_link_update(fd, program->fd, NULL) ? -errno : 1;
	close(fd);
	return error;
}

/* -EINVAL: no tcx in this kernel. */
static int tcx_attach(struct datapath *datapath, uint32_t ifindex, const struct hook *hook, const struct program *program)
{
	char name[PIN_MAX];
	int fd, error;

	pin_name(name, ifindex, hook->program, "_tcx");
	error = tcx_adopt(datapath, ifindex, program, name);
	if (error)
		return error < 0 ? error : 0;
	fd = bpf_link_create(program->fd, (int)ifindex, (enum bpf_attach_type)hook->tcx, NULL);
	if (fd < 0)
		return -errno;
	error = datapath_pin(datapath, fd, name);
	close(fd);
	return error;
}

static int tcx_detach(const char *directory, uint32_t ifindex, const struct hook *hook)
{
	char name[PIN_MAX];
	int fd;

	pin_name(name, ifindex, hook->program, "_tcx");
	fd = pin_open(directory, name);
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	bpf_link_detach(fd); /* fails when the interface is gone; then there is nothing to do */
	close(fd);
	return pin_remove(directory, name);
}

/* --- clsact --- */

static int clsact_hook_attach(struct datapath *datapath, uint32_t ifindex, const struct hook *hook,
			      const struct program *program)
{
	char name[PIN_MAX];
	bool made_qdisc;
	int error = clsact_attach(ifindex, hook->clsact, program->fd, program->id, &made_qdisc);

	if (error)
		return error;
	if (made_qdisc) {
		pin_name(name, ifindex, "qdisc", "");
		error = datapath_pin(datapath, program->fd, name);
	}
	pin_name(name, ifindex, hook->program, "_clsact");
	return error ? error : datapath_pin(datapath, program->fd, name);
}

static int clsact_hook_detach(const char *directory, uint32_t ifindex, const struct hook *hook)
{
	char name[PIN_MAX], path[PATH_MAX], device[IF_NAMESIZE];
	int error;

	pin_name(name, ifindex, hook->program, "_clsact");
	error = pin_path(directory, name, path);
	if (error || access(path, F_OK))
		return error;
	if (if_indextoname(ifindex, device)) {
		error = clsact_detach(ifindex, hook->clsact);
		if (error)
			return error;
	}
	return pin_remove(directory, name);
}

static int clsact_qdisc_detach(const char *directory, uint32_t ifindex)
{
	char name[PIN_MAX], path[PATH_MAX], device[IF_NAMESIZE];
	int error;

	pin_name(name, ifindex, "qdisc", "");
	error = pin_path(directory, name, path);
	if (error || access(path, F_OK))
		return error;
	if (if_indextoname(ifindex, device)) {
		error = clsact_remove_qdisc(ifindex);
		if (error)
			return error;
	}
	return pin_remove(directory, name);
}

/* --- both --- */

static int attach_hook(struct datapath *datapath, uint32_t ifindex, const struct hook *hook)
{
	const struct program *program = datapath_find_program(datapath, hook->program);
	int error = -EINVAL;

	if (!program)
		return -ENOENT;
	if (!datapath->attach->no_tcx)
		error = tcx_attach(datapath, ifindex, hook, program);
	if (error != -EINVAL)
		return error;
	error = clsact_hook_attach(datapath, ifindex, hook, program);
	if (!error)
		datapath->attach->no_tcx = true;
	return error;
}

int datapath_attach(struct datapath *datapath, uint32_t ifindex)
{
	int error = 0;

	for (size_t i = 0; i < HOOK_COUNT && !error; i++)
		error = attach_hook(datapath, ifindex, &hooks[i]);
	return error;
}

static int detach(const char *directory, uint32_t ifindex)
{
	int first = 0, error;

	for (size_t i = 0; i < HOOK_COUNT; i++) {
		error = tcx_detach(directory, ifindex, &hooks[i]);
		first = first ? first : error;
		error = clsact_hook_detach(directory, ifindex, &hooks[i]);
		first = first ? first : error;
	}
	error = clsact_qdisc_detach(directory, ifindex);
	return first ? first : error;
}

int datapath_detach(struct datapath *datapath, uint32_t ifindex)
{
	return detach(datapath->directory, ifindex);
}

static int compare_numbers(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return left < right ? -1 : left > right;
}

/* Sorts and drops what is there twice: each interface has several pins. */
static size_t make_unique(uint32_t *numbers, size_t count)
{
	size_t kept = 0;

	if (count)
		qsort(numbers, count, sizeof(*numbers), compare_numbers);
	for (size_t i = 0; i < count; i++)
		if (!kept || numbers[kept - 1] != numbers[i])
			numbers[kept++] = numbers[i];
	return kept;
}

int attach_interfaces(const char *directory, uint32_t **ret, size_t *ret_count)
{
	char path[PATH_MAX];
	uint32_t *numbers = NULL;
	size_t count = 0, capacity = 0;
	const struct dirent *entry;
	int error = pin_path(directory, "interfaces", path);
	DIR *pins = error ? NULL : opendir(path);

	if (!pins && !error && errno != ENOENT)
		error = -errno;
	while (pins && (entry = readdir(pins))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		if (count == capacity) {
			capacity = capacity ? capacity * 2 : 64;
			uint32_t *more = reallocarray(numbers, capacity, sizeof(*numbers));

			if (!more) {
				error = -ENOMEM;
				break;
			}
			numbers = more;
		}
		numbers[count++] = (uint32_t)strtoul(entry->d_name, NULL, 10);
	}
	if (pins)
		closedir(pins);
	if (error) {
		free(numbers);
		return error;
	}
	*ret = numbers;
	*ret_count = make_unique(numbers, count);
	return 0;
}

int attach_open(struct datapath *datapath, char reason[REASON_MAX])
{
	uint32_t *interfaces = NULL;
	size_t count = 0;
	char device[IF_NAMESIZE];
	int error;

	datapath->attach = calloc(1, sizeof(*datapath->attach));
	error = datapath->attach ? attach_interfaces(datapath->directory, &interfaces, &count) : -ENOMEM;
	if (error)
		snprintf(reason, REASON_MAX, "cannot list the pins of interfaces: %s", strerror(-error));
	for (size_t i = 0; i < count && !error; i++) {
		bool exists = if_indextoname(interfaces[i], device);

		error = exists ? datapath_attach(datapath, interfaces[i]) : datapath_detach(datapath, interfaces[i]);
		if (error)
			snprintf(reason, REASON_MAX, "cannot %s the programs at interface %u (%s): %s",
				 exists ? "replace" : "remove", interfaces[i], exists ? device : "gone", strerror(-error));
	}
	free(interfaces);
	return error;
}

void attach_close(struct datapath *datapath)
{
	free(datapath->attach);
	datapath->attach = NULL;
}

/* What is left: pins that an agent was killed in the middle of making. */
static int remove_directory(const char *directory)
{
	char path[PATH_MAX], name[PIN_MAX + NAME_MAX];
	const struct dirent *entry;
	int error = pin_path(directory, "interfaces", path);
	DIR *pins = error ? NULL : opendir(path);

	if (!pins)
		return error || errno == ENOENT ? error : -errno;
	while (!error && (entry = readdir(pins))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(name, sizeof(name), "interfaces/%s", entry->d_name);
		error = pin_remove(directory, name);
	}
	closedir(pins);
	return !error && rmdir(path) ? -errno : error;
}

int attach_cleanup(const char *directory, char reason[REASON_MAX])
{
	uint32_t *interfaces;
	size_t count;
	int error = attach_interfaces(directory, &interfaces, &count), first = 0;

	if (error) {
		snprintf(reason, REASON_MAX, "cannot list the pins of interfaces: %s", strerror(-error));
		return error;
	}
	for (size_t i = 0; i < count; i++) {
		error = detach(directory, interfaces[i]);
		if (error && !first) {
			first = error;
			snprintf(reason, REASON_MAX, "cannot take the programs off interface %u: %s", interfaces[i],
				 strerror(-error));
		}
	}
	free(interfaces);
	error = first ? 0 : remove_directory(directory);
	if (error)
		snprintf(reason, REASON_MAX, "cannot remove the pins of interfaces: %s", strerror(-error));
	return first ? first : error;
}

/* --- others --- */

/* Programs at one tcx hook, without ours. */
static int tcx_others(const char *directory, uint32_t ifindex, const struct hook *hook)
{
	DECLARE_LIBBPF_OPTS(bpf_prog_query_opts, there);
	char name[PIN_MAX];
	int fd, ours;

	if (bpf_prog_query_opts((int)ifindex, (enum bpf_attach_type)hook->tcx, &there))
		return errno == EINVAL ? 0 : -errno; /* no tcx in this kernel */
	pin_name(name, ifindex, hook->program, "_tcx");
	fd = pin_open(directory, name);
	ours = fd >= 0;
	if (ours)
		close(fd);
	return (int)there.prog_cnt - ours;
}

int attach_others(const char *directory, uint32_t ifindex)
{
	int others = 0;

	for (size_t i = 0; i < HOOK_COUNT; i++) {
		int tcx = tcx_others(directory, ifindex, &hooks[i]);
		int filters = clsact_others(ifindex, hooks[i].clsact);

		if (tcx < 0 || filters < 0)
			return tcx < 0 ? tcx : filters;
		others += tcx + filters;
	}
	return others;
}
