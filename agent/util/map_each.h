/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_MAP_EACH_H
#define WEFT_MAP_EACH_H
#include <stddef.h>
#include <stdint.h>

/* `value` of a per-CPU map: one after the other, map_value_stride() apart, libbpf_num_possible_cpus() of them. */
typedef int map_each_fn(const void *key, const void *value, void *context);

/*
 * Goes through a hash map in batches, which unlike key by key neither ends early nor starts over when programs delete
 * entries meanwhile. Stops at the first non-zero result of `each` and returns it; -errno when the kernel refuses.
 */
int map_each(int fd, map_each_fn *each, void *context);

/* Distance between the values of two CPUs. */
static inline size_t map_value_stride(size_t value_size) { return (value_size + 7) & ~(size_t)7; }

/* Adds up `count` 64-bit counters at `index` of a per-CPU array. 0 or -errno. */
int map_sum_percpu(int fd, uint32_t index, uint64_t *ret_counters, size_t count);

#endif
