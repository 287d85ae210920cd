/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_RANGES_H
#define WEFT_RANGES_H
/*
 * Which parts of an array that programs read are free. What is given back waits until the caller knows that no running
 * program can still read it, and only then is taken again.
 */
#include <stddef.h>
#include <stdint.h>

struct range {
	uint32_t first, count;
};

struct range_list {
	struct range *range;
	size_t count, room;
};

struct ranges {
	struct range_list free;	   /* sorted, never adjacent */
	struct range_list waiting; /* given back, not released; before ranges_settle(): what is reserved */
	uint32_t capacity;
	uint32_t used;	      /* taken or reserved */
	uint32_t waiting_sum; /* in .waiting */
};

/* All of [0, capacity) is free. 0 or -ENOMEM. */
int ranges_init(struct ranges *ranges, uint32_t capacity);
void ranges_clear(struct ranges *ranges);

/* At start: these are in use. ranges_settle() follows, before anything else. 0 or -ENOMEM. */
int ranges_reserve(struct ranges *ranges, uint32_t first, uint32_t count);
/*
 * -EINVAL when reserved ranges overlap or go past the capacity. Then, and with -ENOMEM, only ranges_clear() may
 * follow.
 */
int ranges_settle(struct ranges *ranges);

/*
 * The smallest free range that is large enough (count > 0). -ENOSPC: there is none, although .capacity - .used may
 * suffice.
 */
int ranges_take(struct ranges *ranges, uint32_t count, uint32_t *ret_first);
/* It is free after the next ranges_release(). Where memory for noting it is lacking it stays taken until a restart. */
void ranges_give(struct ranges *ranges, uint32_t first, uint32_t count);
/* A grace period has passed since the last ranges_give(). Where memory is lacking nothing is released. */
void ranges_release(struct ranges *ranges);

#endif
