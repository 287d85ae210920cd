/* SPDX-License-Identifier: Apache-2.0 */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int holder(int fd)
{
	char text[16] = "";

	return pread(fd, text, sizeof(text) - 1, 0) > 0 ? atoi(text) : 0;
}

static int lock_path(const char *directory, char path[PATH_MAX])
{
	return snprintf(path, PATH_MAX, "%s/weftd.lock", directory) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

int lock_take(const char *directory, int *ret_pid)
{
	char path[PATH_MAX];
	int fd;

	if (lock_path(directory, path) < 0)
		return -ENAMETOOLONG;
	if (mkdir(directory, 0755) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int result = errno == EWOULDBLOCK ? -EBUSY : -errno;

		*ret_pid = holder(fd);
		close(fd);
		return result;
	}
	if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", getpid()) < 0) {
		int result = -errno;

		close(fd);
		return result;
	}
	return 0; /* the descriptor stays open: it is the lock */
}

void lock_remove(const char *directory)
{
	char path[PATH_MAX];

	if (lock_path(directory, path) == 0 && unlink(path) == 0)
		rmdir(directory); /* fails where it holds other things: they are not ours */
}
