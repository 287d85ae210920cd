/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/place.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <mntent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define DEFAULT_BPFFS "/sys/fs/bpf"

void explain_failure(char reason[REASON_MAX], const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason, REASON_MAX, format, arguments);
	va_end(arguments);
}

static int make_directories(const char *directory)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s", directory) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

/* The file system of the nearest directory above `path` that exists. */
static int is_bpffs(const char *path)
{
	char above[PATH_MAX];
	struct statfs status;

	if (snprintf(above, sizeof(above), "%s", path) >= (int)sizeof(above))
		return -ENAMETOOLONG;
	while (statfs(above, &status) < 0) {
		char *slash = strrchr(above, '/');

		if (errno != ENOENT || !slash || slash == above)
			return errno == ENOENT ? 0 : -errno;
		*slash = '\0';
	}
	return status.f_type == BPF_FS_MAGIC;
}

static int check_bpffs(const char *directory, char reason[REASON_MAX])
{
	int result = is_bpffs(directory);

	if (result > 0)
		return 0;
	if (result < 0) {
		explain_failure(reason, "%s: %s", directory, strerror(-result));
		return result;
	}
	explain_failure(reason, 
		 "%s is not on a bpf file system: mount one (mount -t bpf bpf %s) or name a directory of another with --bpffs",
		 directory, DEFAULT_BPFFS);
	return -ENODEV;
}

/* Between open() and flock() a cleanup may have removed the directory. */
static bool is_still_there(const char *directory, int fd)
{
	struct stat named, locked;

	return fstat(fd, &locked) == 0 && stat(directory, &named) == 0 && named.st_ino == locked.st_ino &&
	       named.st_dev == locked.st_dev;
}

static int open_locked(const char *directory, int *ret_fd)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), result = 0;

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		result = errno == EWOULDBLOCK ? -EBUSY : -errno;
	else if (!is_still_there(directory, fd))
		result = -EAGAIN;
	if (result < 0)
		close(fd);
	else
		*ret_fd = fd;
	return result;
}

int place_lock(const char *directory, bool make, int *ret_fd, char reason[REASON_MAX])
{
	int result = check_bpffs(directory, reason);

	if (result < 0)
		return result;
	do {
		result = make ? make_directories(directory) : 0;
		if (result == 0)
			result = open_locked(directory, ret_fd);
	} while (result == -EAGAIN);
	if (result == -EBUSY)
		explain_failure(reason, "another weftd works on %s: stop it, or give this one another --bpffs", directory);
	else if (result < 0)
		explain_failure(reason, "%s: %s", directory, strerror(-result));
	return result;
}

static int find_mount(char **ret)
{
	FILE *mounts = setmntent("/proc/mounts", "r");
	struct mntent *mount;
	int result = -ENODEV;

	if (!mounts)
		return -errno;
	while (result == -ENODEV && (mount = getmntent(mounts)))
		if (!strcmp(mount->mnt_type, "cgroup2")) {
			*ret = strdup(mount->mnt_dir);
			result = *ret ? 0 : -ENOMEM;
		}
	endmntent(mounts);
	return result;
}

int place_find_cgroup(const char *wanted, char **ret, char reason[REASON_MAX])
{
	struct statfs status;
	int result;

	if (!wanted) {
		result = find_mount(ret);
		if (result < 0)
			explain_failure(reason, 
				 "no cgroup2 is mounted: mount one (mount -t cgroup2 none /sys/fs/cgroup) or name its directory "
				 "with --cgroup");
		return result;
	}
	if (statfs(wanted, &status) < 0 || status.f_type != CGROUP2_SUPER_MAGIC) {
		explain_failure(reason, "--cgroup=%s is not a directory of a cgroup2 file system", wanted);
		return -ENODEV;
	}
	*ret = strdup(wanted);
	return *ret ? 0 : -ENOMEM;
}

int place_each(const char *directory, const char *relative, int (*each)(const char *name, void *context), void *context)
{
	char path[PATH_MAX];
	struct dirent **entries;
	int count, result = 0;

	if (snprintf(path, sizeof(path), "%s/%s", directory, relative) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	count = scandir(path, &entries, NULL, alphasort);
	if (count < 0)
		return errno == ENOENT ? 0 : -errno;
	for (int i = 0; i < count; i++) {
		if (result == 0 && entries[i]->d_name[0] != '.')
			result = each(entries[i]->d_name, context);
		free(entries[i]);
	}
	free(entries);
	return result;
}

int datapath_path(const struct datapath *datapath, const char *relative, char *path)
{
	return snprintf(path, PATH_MAX, "%s/%s", datapath->directory, relative) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

int datapath_pin(const struct datapath *datapath, int fd, const char *relative)
{
	char path[PATH_MAX], fresh[PATH_MAX], *slash;
	int result = datapath_path(datapath, relative, path);

	if (result < 0 || snprintf(fresh, sizeof(fresh), "%s_pin", path) >= (int)sizeof(fresh))
		return -ENAMETOOLONG;
	slash = strrchr(path, '/');
	*slash = '\0';
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	*slash = '/';
	unlink(fresh); /* of an agent that was killed here */
	if (bpf_obj_pin(fd, fresh) < 0)
		return -errno;
	return rename(fresh, path) < 0 ? -errno : 0;
}
