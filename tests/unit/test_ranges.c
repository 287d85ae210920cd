/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/ranges.h"

static void takes_the_smallest_that_is_large_enough(void **state)
{
	struct ranges ranges;
	uint32_t first;

	(void)state;
	assert_int_equal(ranges_init(&ranges, 100), 0);
	assert_int_equal(ranges_reserve(&ranges, 40, 10), 0);
	assert_int_equal(ranges_reserve(&ranges, 20, 10), 0); /* free now: 0..19, 30..39, 50..99 */
	assert_int_equal(ranges_settle(&ranges), 0);
	assert_int_equal(ranges.used, 20);
	assert_int_equal(ranges_take(&ranges, 8, &first), 0);
	assert_int_equal(first, 30);
	assert_int_equal(ranges_take(&ranges, 3, &first), 0);
	assert_int_equal(first, 0);
	assert_int_equal(ranges_take(&ranges, 50, &first), 0);
	assert_int_equal(first, 50);
	assert_int_equal(ranges_take(&ranges, 18, &first), -ENOSPC);
	ranges_clear(&ranges);
}

static void what_is_given_back_waits_for_the_release(void **state)
{
	struct ranges ranges;
	uint32_t first, second;

	(void)state;
	assert_int_equal(ranges_init(&ranges, 10), 0);
	assert_int_equal(ranges_take(&ranges, 5, &first), 0);
	assert_int_equal(ranges_take(&ranges, 5, &second), 0);
	ranges_give(&ranges, first, 5);
	ranges_give(&ranges, second, 5);
	assert_int_equal(ranges_take(&ranges, 1, &first), -ENOSPC);
	ranges_release(&ranges);
	assert_int_equal(ranges.used, 0);
	assert_int_equal(ranges_take(&ranges, 10, &first), 0); /* both in one */
	assert_int_equal(first, 0);
	ranges_clear(&ranges);
}

static void contradictions_are_found(void **state)
{
	static const struct range pairs[][2] = { { { 0, 5 }, { 4, 2 } }, { { 3, 1 }, { 3, 1 } }, { { 0, 1 }, { 8, 3 } },
						 { { 0, 1 }, { UINT32_MAX, 2 } } };

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
		struct ranges ranges;

		assert_int_equal(ranges_init(&ranges, 10), 0);
		for (size_t j = 0; j < 2; j++)
			assert_int_equal(ranges_reserve(&ranges, pairs[i][j].first, pairs[i][j].count), 0);
		assert_int_equal(ranges_settle(&ranges), -EINVAL);
		ranges_clear(&ranges);
	}
}

/* Against a plain map of what is taken: no range is ever given to two, and all comes back. */
static void random_use_keeps_them_apart(void **state)
{
	struct range held[64] = { 0 };
	unsigned char taken[512] = { 0 };
	struct ranges ranges;
	unsigned int seed = 3;

	(void)state;
	assert_int_equal(ranges_init(&ranges, sizeof(taken)), 0);
	for (unsigned int round = 0; round < 20000; round++) {
		struct range *range = &held[(unsigned int)rand_r(&seed) % 64];

		if (range->count) {
			memset(taken + range->first, 0, range->count);
			ranges_give(&ranges, range->first, range->count);
			range->count = 0;
		} else {
			uint32_t count = 1 + (unsigned int)rand_r(&seed) % 20;

			if (ranges_take(&ranges, count, &range->first) < 0) {
				ranges_release(&ranges);
				continue;
			}
			range->count = count;
			for (uint32_t i = 0; i < count; i++)
				assert_int_equal(taken[range->first + i]++, 0);
		}
	}
	for (unsigned int i = 0; i < 64; i++)
		ranges_give(&ranges, held[i].first, held[i].count);
	ranges_release(&ranges);
	assert_int_equal(ranges.used, 0);
	assert_int_equal(ranges.free.count, 1);
	ranges_clear(&ranges);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_the_smallest_that_is_large_enough),
		cmocka_unit_test(what_is_given_back_waits_for_the_release),
		cmocka_unit_test(contradictions_are_found),
		cmocka_unit_test(random_use_keeps_them_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
