/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_CLOCK_H
#define WEFT_CLOCK_H
#include <stdint.h>
#include <time.h>

#define NANOSECONDS UINT64_C(1000000000) /* in a second */

/* Nanoseconds of CLOCK_MONOTONIC (what the programs' bpf_ktime_get_ns() gives) or CLOCK_REALTIME. */
static inline uint64_t clock_now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (uint64_t)time.tv_sec * NANOSECONDS + (uint64_t)time.tv_nsec;
}

#endif
