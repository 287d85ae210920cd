/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "source/source.h"
#include "util/intern.h"

struct seen {
	char text[2048]; /* "LINE JSON" a document */
};

static int append(struct cJSON *document, int line, void *context)
{
	struct seen *seen = context;
	char *json = cJSON_PrintUnformatted(document);
	size_t length = strlen(seen->text);

	snprintf(seen->text + length, sizeof(seen->text) - length, "%d %s\n", line, json);
	free(json);
	return 0;
}

static void expect_documents(const char *text, const char *expected)
{
	struct seen seen = { "" };
	char reason[256] = "";
	int line = -1, error = manifest_each_document(text, strlen(text), append, &seen, &line, reason);

	if (error)
		fail_msg("%d, line %d: %s\n%s", error, line, reason, text);
	assert_string_equal(seen.text, expected);
}

static void expect_failure(const char *text, int expected_line, const char *expected_reason)
{
	struct seen seen = { "" };
	char reason[256] = "";
	int line = -1;

	assert_int_equal(manifest_each_document(text, strlen(text), append, &seen, &line, reason), -EINVAL);
	if (line != expected_line || !strstr(reason, expected_reason))
		fail_msg("line %d: %s, expected line %d: %s", line, reason, expected_line, expected_reason);
}

static void plain_scalars_follow_the_core_schema(void **state)
{
	(void)state;
	expect_documents("[80, '80', \"80\", !!str 80, -1, 0x1F, 0o17, 1.5, 1e3, +3, 0.5]",
			 "1 [80,\"80\",\"80\",\"80\",-1,31,15,1.5,1000,3,0.5]\n");
	expect_documents("[true, False, 'true', yes, no, on, ~, null, '', 'null']",
			 "1 [true,false,\"true\",\"yes\",\"no\",\"on\",null,null,\"\",\"null\"]\n");
	expect_documents("[1.2.3, 10.0.0.1, 1_000, 0x, -, 1e, .., 12:30]",
			 "1 [\"1.2.3\",\"10.0.0.1\",\"1_000\",\"0x\",\"-\",\"1e\",\"..\",\"12:30\"]\n");
	expect_documents("a:\nb: |\n  80\nc: >-\n  x\n  y\n80: !!int '7'\n",
			 "1 {\"a\":null,\"b\":\"80\\n\",\"c\":\"x y\",\"80\":7}\n");
}

static void documents_come_one_by_one_with_their_lines(void **state)
{
	(void)state;
	expect_documents("", "");
	expect_documents("# nothing\n", "");
	expect_documents("---\n---\na: 1\n---\n\n\nb: 2\n...\n", "3 {\"a\":1}\n7 {\"b\":2}\n");
	expect_documents("\xef\xbb\xbf"
			 "a: 1\n",
			 "1 {\"a\":1}\n");
	expect_documents("{\"a\": 1}\n{\"b\":\n 2}\n\n{\"c\": 3}", "1 {\"a\":1}\n2 {\"b\":2}\n5 {\"c\":3}\n");
	expect_documents("---\n{\"a\": 1}\n---\nb: 2\n", "2 {\"a\":1}\n4 {\"b\":2}\n");
	expect_documents("{a: 1}\n---\n{\"b\": 2}\n", "1 {\"a\":1}\n3 {\"b\":2}\n");
	expect_documents("{\t\"a\":\t\"\\ud83d\\ude00\\/\" }", "1 {\"a\":\"\xf0\x9f\x98\x80/\"}\n");
}

static void aliases_and_merge_keys_are_expanded(void **state)
{
	(void)state;
	expect_documents("a: &x {k: 1, l: [2]}\nb: *x\n", "1 {\"a\":{\"k\":1,\"l\":[2]},\"b\":{\"k\":1,\"l\":[2]}}\n");
	expect_documents("a: &x 1\nb: &x 2\nc: *x\n", "1 {\"a\":1,\"b\":2,\"c\":2}\n");
	expect_documents("- &x {k: 1, l: 2}\n- <<: *x\n  k: 3\n- <<: [{l: 5}, *x]\n",
			 "1 [{\"k\":1,\"l\":2},{\"k\":3,\"l\":2},{\"l\":5,\"k\":1}]\n");
	expect_failure("a: &x 1\n---\nb: *x\n", 3, "no anchor");
	expect_failure("a: &x [1, *x]\n", 1, "contains itself");
	expect_failure("a: 1\n<<: 5\n", 1, "<<");
}

static void errors_have_their_line(void **state)
{
	(void)state;
	expect_failure("a: 1\nb: [1, 2\nc: 3\n", 3, "expected");
	expect_failure("a: 1\n\tb: 2\n", 2, "");
	expect_failure("a: 1\nb:\n  c: 1\n  c: 2\n", 4, "\"c\" is given twice");
	expect_failure("a: 1\n[x]: 2\n", 2, "a key must be a text");
	expect_failure("a: 1\nb: !!binary aGk=\n", 2, "tag");
	expect_failure("a: 1\nb: \"\\0\"\n", 2, "NUL");
	expect_failure("a: 1\nb: \xff\n", 2, "");
	expect_failure("{\"a\": 1,\n \"b\": }\n", 2, "not JSON");
	expect_failure("{\"a\": 1,\n \"b\": 2\n", 2, "ends too early");
	expect_failure("{\"a\": {\"b\": 1,\n \"b\": 2}}\n", 1, "\"b\" is given twice");
	expect_failure("{\"a\": 1}\n---\nb: [\n", 4, "");
}

static void what_comes_before_an_error_was_handed_out(void **state)
{
	struct seen seen = { "" };
	const char *text = "a: 1\n---\nb: [\n";
	char reason[256];
	int line;

	(void)state;
	assert_int_equal(manifest_each_document(text, strlen(text), append, &seen, &line, reason), -EINVAL);
	assert_string_equal(seen.text, "1 {\"a\":1}\n");
}

static char *repeated(const char *head, const char *part, size_t times, const char *tail)
{
	char *text = malloc(strlen(head) + times * strlen(part) + strlen(tail) + 1), *end;

	assert_non_null(text);
	end = stpcpy(text, head);
	for (size_t i = 0; i < times; i++)
		end = stpcpy(end, part);
	stpcpy(end, tail);
	return text;
}

static void depth_and_expansion_are_bounded(void **state)
{
	char *open = repeated("", "[", 100, ""), *json = repeated("{\"a\":", "[", 100, ""),
	     *closed = repeated(json, "]", 100, "}");

	(void)state;
	expect_failure(open, 1, "deeper");
	expect_failure(closed, 1, "deeper");
	free(open);
	free(json);
	free(closed);
	expect_failure("a: &a [x, x, x, x, x, x, x, x, x, x]\n"
		       "b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
		       "c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\n"
		       "d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\n"
		       "e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\n",
		       5, "expand to more than");
}

/* Depth must not grow from alias to alias either. */
static void nested_aliases_do_not_exceed_the_depth(void **state)
{
	static const char *const lines[] = { "a: &a [[[[[[[[[[[[[[[[[[[[[[[[[x]]]]]]]]]]]]]]]]]]]]]]]]]\n",
					     "b: &b [[[[[[[[[[[[[[[[[[[[[[[[[*a]]]]]]]]]]]]]]]]]]]]]]]]]\n",
					     "c: &c [[[[[[[[[[[[[[[[[[[[[[[[[*b]]]]]]]]]]]]]]]]]]]]]]]]]\n" };
	char text[512] = "";

	(void)state;
	for (size_t i = 0; i < 3; i++)
		strcat(text, lines[i]);
	expect_failure(text, 3, "deeper");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_scalars_follow_the_core_schema),
		cmocka_unit_test(documents_come_one_by_one_with_their_lines),
		cmocka_unit_test(aliases_and_merge_keys_are_expanded),
		cmocka_unit_test(errors_have_their_line),
		cmocka_unit_test(what_comes_before_an_error_was_handed_out),
		cmocka_unit_test(depth_and_expansion_are_bounded),
		cmocka_unit_test(nested_aliases_do_not_exceed_the_depth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
