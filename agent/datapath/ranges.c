/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int add(struct range_list *list, uint32_t first, uint32_t count)
{
	size_t room = list->room ? list->room * 2 : 16;
	struct range *range;

	if (list->count == list->room) {
		range = realloc(list->range, room * sizeof(*range));
		if (!range)
			return -ENOMEM;
		list->range = range;
		list->room = room;
	}
	list->range[list->count++] = (struct range){ first, count };
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct range *left = a, *right = b;

	return left->first < right->first ? -1 : left->first > right->first;
}

static void sort(struct range_list *list)
{
	if (list->count)
		qsort(list->range, list->count, sizeof(*list->range), compare);
}

int ranges_init(struct ranges *ranges, uint32_t capacity)
{
	*ranges = (struct ranges){ .capacity = capacity };
	return add(&ranges->free, 0, capacity);
}

void ranges_clear(struct ranges *ranges)
{
	free(ranges->free.range);
	free(ranges->waiting.range);
	*ranges = (struct ranges){ 0 };
}

int ranges_reserve(struct ranges *ranges, uint32_t first, uint32_t count)
{
	return add(&ranges->waiting, first, count);
}

int ranges_settle(struct ranges *ranges)
{
	uint32_t next = 0;
	int result = 0;

	sort(&ranges->waiting);
	ranges->free.count = 0;
	for (size_t i = 0; result == 0 && i < ranges->waiting.count; i++) {
		struct range used = ranges->waiting.range[i];

		if (used.first < next || used.count > ranges->capacity || used.first > ranges->capacity - used.count)
			return -EINVAL;
		if (used.first > next)
			result = add(&ranges->free, next, used.first - next);
		next = used.first + used.count;
		ranges->used += used.count;
	}
	ranges->waiting.count = 0;
	if (result == 0 && next < ranges->capacity)
		result = add(&ranges->free, next, ranges->capacity - next);
	return result;
}

int ranges_take(struct ranges *ranges, uint32_t count, uint32_t *ret_first)
{
	struct range *best = NULL;

	for (size_t i = 0; i < ranges->free.count; i++) {
		struct range *range = &ranges->free.range[i];

		if (range->count >= count && (!best || range->count < best->count))
			best = range;
		if (best && best->count == count)
			break;
	}
	if (!best)
		return -ENOSPC;
	*ret_first = best->first;
	best->first += count;
	best->count -= count;
	ranges->used += count;
	if (!best->count) {
		size_t after = (size_t)(ranges->free.range + ranges->free.count - best - 1);

		memmove(best, best + 1, after * sizeof(*best));
		ranges->free.count--;
	}
	return 0;
}

void ranges_give(struct ranges *ranges, uint32_t first, uint32_t count)
{
	if (count && add(&ranges->waiting, first, count) == 0)
		ranges->waiting_sum += count;
}

void ranges_release(struct ranges *ranges)
{
	struct range_list *list = &ranges->free;
	size_t kept = 0;

	for (size_t i = 0; i < ranges->waiting.count; i++)
		if (add(list, ranges->waiting.range[i].first, ranges->waiting.range[i].count) < 0) {
			list->count -= i;
			return;
		}
	sort(list);
	for (size_t i = 1; i < list->count; i++) {
		struct range *last = &list->range[kept], *range = &list->range[i];

		if (last->first + last->count == range->first)
			last->count += range->count;
		else
			list->range[++kept] = *range;
	}
	if (list->count)
		list->count = kept + 1;
	ranges->used -= ranges->waiting_sum;
	ranges->waiting_sum = 0;
	ranges->waiting.count = 0;
}
