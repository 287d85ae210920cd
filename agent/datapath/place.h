/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_PLACE_H
#define WEFT_PLACE_H
/* Where things are: the pin directory on a bpffs, its lock, the cgroup2 directory. */
#include "datapath/internal.h"

/*
 * Opens and locks the pin directory. With `make` it and its parents are made; without, -ENOENT when it is not there.
 * -ENODEV: its file system is no bpffs; -EBUSY: another agent holds it.
 */
int place_lock(const char *directory, bool make, int *ret_fd, char reason[REASON_MAX]);
/* The cgroup2 directory to attach at: `wanted`, or the first cgroup2 mount. *ret is malloc'd. -ENODEV. */
int place_find_cgroup(const char *wanted, char **ret, char reason[REASON_MAX]);
/* Calls `each` with the name of every entry of DIRECTORY/RELATIVE; fine when it does not exist. */
int place_each(const char *directory, const char *relative, int (*each)(const char *name, void *context),
	       void *context);

#endif
