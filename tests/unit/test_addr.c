/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/addr.h"

static void parses_and_prints_both_families(void **state)
{
	static const char *const texts[] = { "10.0.0.1", "255.255.255.255", "fd00::1", "::" };
	struct weft_addr addr;
	char text[ADDR_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		assert_int_equal(addr_parse(texts[i], &addr), 0);
		assert_string_equal(addr_format(&addr, text), texts[i]);
	}
	assert_true(addr_parse("10.0.0.256", &addr) < 0);
	assert_true(addr_parse("", &addr) < 0);
}

static void clears_host_bits_and_counts_in_the_mapped_form(void **state)
{
	struct weft_addr addr;
	uint8_t length;
	char text[ADDR_TEXT_MAX];

	(void)state;
	assert_int_equal(cidr_parse("10.1.2.3/8", &addr, &length), 0);
	assert_int_equal(length, 104);
	assert_string_equal(cidr_format(&addr, length, text), "10.0.0.0/8");
	assert_int_equal(cidr_parse("0.0.0.0/0", &addr, &length), 0);
	assert_string_equal(cidr_format(&addr, length, text), "0.0.0.0/0");
	assert_int_equal(cidr_parse("fd00:1::5/33", &addr, &length), 0);
	assert_string_equal(cidr_format(&addr, length, text), "fd00:1::/33");
	assert_true(cidr_parse("10.0.0.0/33", &addr, &length) < 0);
	assert_true(cidr_parse("10.0.0.0/-1", &addr, &length) < 0);
	assert_true(cidr_parse("10.0.0.0/", &addr, &length) < 0);
}

static void contains_is_exact_at_the_boundaries(void **state)
{
	struct weft_addr network, inside, outside;
	uint8_t length;

	(void)state;
	assert_int_equal(cidr_parse("10.0.0.128/25", &network, &length), 0);
	assert_int_equal(addr_parse("10.0.0.255", &inside), 0);
	assert_int_equal(addr_parse("10.0.0.127", &outside), 0);
	assert_true(cidr_contains(&network, length, &inside));
	assert_false(cidr_contains(&network, length, &outside));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parses_and_prints_both_families),
		cmocka_unit_test(clears_host_bits_and_counts_in_the_mapped_form),
		cmocka_unit_test(contains_is_exact_at_the_boundaries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
