/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_LOCK_H
#define WEFT_LOCK_H

/*
 * Makes `directory` (0755) if it is missing and takes <directory>/weftd.lock for the life of the process; the kernel
 * lets go of it however the process ends. Returns 0; -EBUSY with *ret_pid, the holder's (0 if unknown); or -errno.
 */
int lock_take(const char *directory, int *ret_pid);

/* Removes the lock that this process holds, and the directory if nothing else is in it. */
void lock_remove(const char *directory);

#endif
