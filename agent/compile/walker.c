/* SPDX-License-Identifier: Apache-2.0 */
#include "compile/walker.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

static void keep_always(struct weft_slot *slots, uint32_t index)
{
	slots[index].threshold = UINT32_MAX;
	slots[index].alias = index;
}

void walker_fill_equal(struct weft_slot *slots, size_t count)
{
	for (uint32_t i = 0; i < count; i++)
		keep_always(slots, i);
}

/* A draw is kept when it is below or equal the threshold, so the share of draws kept is (threshold + 1) / 2^32. */
static uint32_t threshold_for(uint64_t part, uint64_t whole)
{
	uint64_t kept = (uint64_t)(((unsigned __int128)part << 32) / whole);

	return kept ? (uint32_t)(kept - 1) : 0;
}

int walker_fill(struct weft_slot *slots, size_t count)
{
	uint64_t *share, average = 0; /* shares are scaled by count, so that their average is the sum of the weights */
	uint32_t *order;	      /* slots below the average from the left, the others from the right */
	size_t small = 0, large = count;

	if (!count)
		return 0;
	share = malloc(count * (sizeof(*share) + sizeof(*order)));
	if (!share)
		return -ENOMEM;
	order = (uint32_t *)(share + count);
	for (size_t i = 0; i < count; i++)
		average += slots[i].weight;
	for (uint32_t i = 0; i < count; i++) {
		share[i] = (uint64_t)slots[i].weight * count;
		if (share[i] < average)
			order[small++] = i;
		else
			order[--large] = i;
	}
	while (small && large < count) {
		uint32_t poor = order[--small], rich = order[large];

		slots[poor].threshold = threshold_for(share[poor], average);
		slots[poor].alias = rich;
		share[rich] -= average - share[poor];
		if (share[rich] < average) {
			order[small++] = rich;
			large++;
		}
	}
	while (small)
		keep_always(slots, order[--small]);
	while (large < count)
		keep_always(slots, order[large++]);
	free(share);
	return 0;
}
