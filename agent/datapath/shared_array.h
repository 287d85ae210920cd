/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_SHARED_ARRAY_H
#define WEFT_SHARED_ARRAY_H
/*
 * An array map that is mapped into memory, as far as it is used: the kernel maps every page of a map at once, and all
 * of weft_slots would count as the agent's memory.
 */
#include <stddef.h>
#include <stdint.h>

struct shared_array {
	unsigned char *base; /* address space for the whole array */
	size_t size;	     /* of it, in bytes */
	size_t mapped;	     /* from the start, in bytes */
	size_t value_size;
	uint32_t capacity;
	int fd; /* of the map; not owned */
};

/* 0 or -errno. */
int shared_array_open(struct shared_array *array, int fd, size_t value_size, uint32_t capacity);
void shared_array_close(struct shared_array *array); /* fine on zeroes */
/* The entries [first, first + count); NULL when that is past the capacity or there is no memory. */
void *shared_array_at(struct shared_array *array, uint32_t first, uint32_t count);

#endif
