/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "compile/ids.h"

static void the_same_text_gives_the_same_number(void **state)
{
	struct ids *first, *second;
	uint32_t id;

	(void)state;
	assert_int_equal(ids_new(&first, NAMES_KEEP_SECONDS), 0);
	assert_int_equal(ids_new(&second, NAMES_KEEP_SECONDS), 0);
	ids_get(second, "something else");
	id = ids_get(first, "default/web");
	assert_true(id >= IDS_FIRST);
	assert_int_equal(ids_get(first, "default/web"), id);
	assert_int_equal(ids_get(second, "default/web"), id);
	assert_string_equal(ids_text(first, id), "default/web");
	assert_null(ids_text(first, 1));
	ids_free(first);
	ids_free(second);
}

static void a_number_is_named_as_long_as_someone_may_ask(void **state)
{
	struct ids *kept, *dropped;
	uint32_t id;

	(void)state;
	assert_int_equal(ids_new(&kept, NAMES_KEEP_SECONDS), 0);
	id = ids_get(kept, "a");
	ids_put(kept, id);
	assert_string_equal(ids_text(kept, id), "a");
	assert_int_equal(ids_get(kept, "a"), id);
	ids_free(kept);

	assert_int_equal(ids_new(&dropped, 0), 0);
	id = ids_get(dropped, "a");
	assert_int_equal(ids_get(dropped, "a"), id);
	ids_put(dropped, id);
	assert_string_equal(ids_text(dropped, id), "a");
	ids_put(dropped, id);
	assert_null(ids_text(dropped, id));
	ids_put(dropped, id);
	ids_free(dropped);
}

/* Texts whose FNV-1a folds to one number; found by search. */
static const char *const twins[] = { "default/web-27256", "default/web-227074" };

static void two_texts_never_share_a_number(void **state)
{
	struct ids *ids;
	uint32_t first, second;

	(void)state;
	assert_int_equal(ids_new(&ids, 0), 0);
	first = ids_get(ids, twins[0]);
	second = ids_get(ids, twins[1]);
	assert_int_equal(second, first + 1);
	ids_put(ids, first); /* in the way of the second: it has to stay, or the second would be given another number */
	assert_int_equal(ids_get(ids, twins[1]), second);
	assert_string_equal(ids_text(ids, first), twins[0]);
	ids_put(ids, second);
	ids_put(ids, second);
	assert_null(ids_text(ids, second));
	ids_put(ids, ids_get(ids, "any other")); /* the first was looked at before the second had gone */
	assert_null(ids_text(ids, first));
	assert_int_equal(ids_get(ids, twins[1]), first);
	ids_free(ids);
}

static void many_numbers_come_and_go(void **state)
{
	enum { COUNT = 20000 };
	static uint32_t numbers[COUNT];
	struct ids *ids;
	char text[32];

	(void)state;
	assert_int_equal(ids_new(&ids, 0), 0);
	for (int i = 0; i < COUNT; i++) {
		snprintf(text, sizeof(text), "namespace-%d/name", i);
		numbers[i] = ids_get(ids, text);
		assert_string_equal(ids_text(ids, numbers[i]), text);
	}
	for (int i = 0; i < COUNT; i += 2)
		ids_put(ids, numbers[i]);
	for (int i = 1; i < COUNT; i += 2) {
		snprintf(text, sizeof(text), "namespace-%d/name", i);
		assert_string_equal(ids_text(ids, numbers[i]), text);
	}
	ids_free(ids);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_text_gives_the_same_number),
		cmocka_unit_test(a_number_is_named_as_long_as_someone_may_ask),
		cmocka_unit_test(two_texts_never_share_a_number),
		cmocka_unit_test(many_numbers_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
