/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compile/desired.h"

static struct table *new_table(size_t key_size)
{
	struct table *table;

	assert_int_equal(table_new(&table, key_size), 0);
	return table;
}

static void sets_gets_and_says_what_changed(void **state)
{
	struct table *table = new_table(sizeof(uint64_t));
	uint64_t key = 7, other = 8;
	size_t size = 99;

	(void)state;
	assert_null(table_get(table, &key, &size));
	assert_int_equal(table_set(table, &key, "abc", 3), 1);
	assert_int_equal(table_set(table, &key, "abc", 3), 0);
	assert_int_equal(table_set(table, &key, "abd", 3), 1);
	assert_memory_equal(table_get(table, &key, &size), "abd", 3);
	assert_int_equal(size, 3);
	assert_int_equal(table_set(table, &key, "longer than before", 18), 1);
	assert_memory_equal(table_get(table, &key, NULL), "longer than before", 18);
	assert_int_equal(table_set(table, &other, NULL, 0), 1); /* a value may be empty, and is there all the same */
	assert_int_equal(table_set(table, &other, NULL, 0), 0);
	assert_non_null(table_get(table, &other, &size));
	assert_int_equal(size, 0);
	assert_int_equal(table_count(table), 2);
	assert_int_equal(table_unset(table, &key), 1);
	assert_int_equal(table_unset(table, &key), 0);
	assert_null(table_get(table, &key, NULL));
	assert_int_equal(table_count(table), 1);
	table_free(table);
}

struct seen {
	int set, deleted;
	struct table *fail; /* marks each key again */
};

static int note(const void *key, const void *value, size_t size, void *context)
{
	struct seen *seen = context;

	(void)size;
	if (value)
		seen->set++;
	else
		seen->deleted++;
	if (seen->fail)
		table_mark_dirty(seen->fail, key);
	return 0;
}

static void check_dirty(struct table *table, int set, int deleted)
{
	struct seen seen = { 0 };

	assert_int_equal(table_each_dirty(table, note, &seen), 0);
	assert_int_equal(seen.set, set);
	assert_int_equal(seen.deleted, deleted);
	assert_int_equal(table_dirty_count(table), set + deleted);
}

static void tells_each_change_until_it_is_written(void **state)
{
	struct table *table = new_table(sizeof(uint32_t));

	(void)state;
	for (uint32_t key = 0; key < 100; key++)
		assert_int_equal(table_set(table, &key, &key, sizeof(key)), 1);
	check_dirty(table, 100, 0);
	table_clean(table);
	check_dirty(table, 0, 0);
	for (uint32_t key = 0; key < 10; key++)
		assert_int_equal(table_unset(table, &key), 1);
	check_dirty(table, 0, 10);
	for (uint32_t key = 0; key < 5; key++) /* back before anyone looked */
		assert_int_equal(table_set(table, &key, "x", 1), 1);
	check_dirty(table, 5, 5);
	assert_int_equal(table_count(table), 95);
	table_clean(table);
	check_dirty(table, 0, 0);
	assert_int_equal(table_count(table), 95);
	table_free(table);
}

static void keeps_what_could_not_be_written(void **state)
{
	struct table *table = new_table(sizeof(uint32_t));
	struct seen seen = { .fail = table };
	uint32_t kept = 1, gone = 2, foreign = 3;

	(void)state;
	table_set(table, &kept, "a", 1);
	table_set(table, &gone, "b", 1);
	table_clean(table);
	table_set(table, &kept, "c", 1);
	table_unset(table, &gone);
	table_each_dirty(table, note, &seen); /* every write fails */
	table_clean(table);
	check_dirty(table, 1, 1);
	table_clean(table); /* this time none did */
	check_dirty(table, 0, 0);
	table_mark_dirty(table, &kept);
	table_mark_dirty(table, &foreign); /* in the map, but not wanted */
	check_dirty(table, 1, 1);
	assert_int_equal(table_count(table), 1);
	table_clean(table);
	check_dirty(table, 0, 0);
	table_free(table);
}

struct reference {
	bool there, dirty;
	uint32_t value, size;
};

static int compare(const void *key, const void *value, size_t size, void *context)
{
	const struct reference *reference = (const struct reference *)context + *(const uint16_t *)key;

	assert_true(reference->there);
	assert_int_equal(size, reference->size);
	assert_memory_equal(value, &reference->value, size);
	return 0;
}

static int compare_dirty(const void *key, const void *value, size_t size, void *context)
{
	const struct reference *reference = (const struct reference *)context + *(const uint16_t *)key;

	assert_true(reference->dirty);
	assert_true(!value == !reference->there);
	return value ? compare(key, value, size, context) : 0;
}

static void agrees_with_an_array_over_random_changes(void **state)
{
	static struct reference references[2000];
	struct table *table = new_table(sizeof(uint16_t));
	size_t there = 0;

	(void)state;
	srandom(1);
	for (int round = 0; round < 200000; round++) {
		uint16_t key = (uint16_t)(random() % 2000);
		struct reference *reference = &references[key];
		uint32_t value = (uint32_t)random() % 3, size = (uint32_t)random() % 5;
		bool same = reference->there && reference->size == size && !memcmp(&value, &reference->value, size);

		if (random() % 3) {
			assert_int_equal(table_set(table, &key, &value, size), !same);
			there += !reference->there;
			*reference = (struct reference){ true, reference->dirty || !same, same ? reference->value : value, size };
		} else {
			assert_int_equal(table_unset(table, &key), reference->there);
			there -= reference->there;
			reference->dirty |= reference->there;
			reference->there = false;
		}
		assert_int_equal(table_count(table), there);
		if (round % 5000 == 0) {
			table_each(table, compare, references);
			table_each_dirty(table, compare_dirty, references);
			table_clean(table);
			for (size_t i = 0; i < 2000; i++)
				references[i].dirty = false;
		}
	}
	for (uint16_t key = 0; key < 2000; key++)
		assert_true(!table_get(table, &key, NULL) == !references[key].there);
	table_free(table);
}

static void aligns_values_for_any_structure(void **state)
{
	struct table *table = new_table(sizeof(struct weft_service_key));
	struct weft_service_key key = { .port = 1 };
	struct weft_service service = { .next = 5 };

	(void)state;
	table_set(table, &key, &service, sizeof(service));
	assert_int_equal((uintptr_t)table_get(table, &key, NULL) % _Alignof(struct weft_service), 0);
	table_free(table);
}

static void all_tables_of_desired_are_there(void **state)
{
	struct desired *desired;

	(void)state;
	assert_int_equal(desired_new(&desired), 0);
	assert_int_equal(table_count(desired->services) + table_count(desired->backends) + table_count(desired->policies), 0);
	desired_free(desired);
	desired_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sets_gets_and_says_what_changed),
		cmocka_unit_test(tells_each_change_until_it_is_written),
		cmocka_unit_test(keeps_what_could_not_be_written),
		cmocka_unit_test(agrees_with_an_array_over_random_changes),
		cmocka_unit_test(aligns_values_for_any_structure),
		cmocka_unit_test(all_tables_of_desired_are_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
