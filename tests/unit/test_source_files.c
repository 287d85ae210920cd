/* SPDX-License-Identifier: Apache-2.0 */
/* Whose word counts: random files against the plain rule "the first file by name that has the object". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "source/files.h"
#include "util/addr.h"
#include "util/intern.h"
#include "util/log.h"

enum { FILES = 4, OBJECTS = 3, STEPS = 2000 };

/* What a file says: the last part of each object's address, 0: nothing. */
struct said {
	int numbers[OBJECTS];
};

struct bench {
	char directory[64];
	struct said files[FILES];
	struct model *model;
	struct source_counters counters;
	struct files *tested;
	size_t problems;
};

static const char *file_name(int file)
{
	static char name[16];

	snprintf(name, sizeof(name), "%c.yaml", 'a' + file);
	return name;
}

static struct said random_word(void)
{
	struct said said;

	for (int i = 0; i < OBJECTS; i++)
		said.numbers[i] = random() % 2 ? 1 + (int)(random() % 3) : 0;
	return said;
}

static void write_file(const struct bench *bench, int file, const struct said *said, const char *tail)
{
	char path[128];
	FILE *stream;

	snprintf(path, sizeof(path), "%s/%s", bench->directory, file_name(file));
	stream = fopen(path, "w");
	assert_non_null(stream);
	for (int i = 0; i < OBJECTS; i++)
		if (said->numbers[i])
			fprintf(stream,
				"---\n{apiVersion: v1, kind: Service, metadata: {name: s%d}, spec: {clusterIP: "
				"10.0.0.%d, ports: [{port: 80}]}}\n",
				i, said->numbers[i]);
	fputs(tail, stream);
	assert_int_equal(fclose(stream), 0);
}

static void remove_file(struct bench *bench, int file)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", bench->directory, file_name(file));
	unlink(path);
	files_remove(bench->tested, file_name(file));
}

static int count_problem(const struct source_problem *problem, void *context)
{
	(void)problem;
	++*(size_t *)context;
	return 0;
}

static void compare(const struct bench *bench, size_t broken)
{
	size_t conflicts = 0, problems = 0;

	for (int i = 0; i < OBJECTS; i++) {
		char name[16], text[ADDR_TEXT_MAX];
		const struct service_object *object;
		int expected = 0;

		for (int file = 0; file < FILES; file++) {
			conflicts += expected && bench->files[file].numbers[i];
			if (!expected)
				expected = bench->files[file].numbers[i];
		}
		snprintf(name, sizeof(name), "s%d", i);
		object = (const struct service_object *)model_get(bench->model, MODEL_SERVICE, "default", name);
		assert_int_equal(object ? atoi(strrchr(addr_format(object->cluster_ips, text), '.') + 1) : 0, expected);
	}
	assert_int_equal(files_each_problem(bench->tested, count_problem, &problems), 0);
	assert_int_equal(problems, conflicts + broken);
}

static void the_first_file_that_has_an_object_decides(void **state)
{
	static const char *const broken_tails[] = { "---\n{apiVersion: v1}\n", "---\n[\n",
						    "---\n{apiVersion: v1, kind: Pod}\n" };
	struct bench *bench = *state;
	bool broken[FILES] = { false }, known[FILES] = { false };

	srandom(7);
	for (int step = 0; step < STEPS; step++) {
		int file = (int)(random() % FILES);
		struct said said = random_word();
		size_t broken_count = 0;

		if (random() % 4 == 0) {
			remove_file(bench, file);
			memset(&bench->files[file], 0, sizeof(bench->files[file]));
			broken[file] = known[file] = false;
		} else if (random() % 4 == 0 && known[file]) {
			write_file(bench, file, &said, broken_tails[random() % 3]);
			files_read(bench->tested, file_name(file));
			broken[file] = true;
		} else {
			write_file(bench, file, &said, "");
			files_read(bench->tested, file_name(file));
			bench->files[file] = said;
			broken[file] = false;
			known[file] = true;
		}
		for (int i = 0; i < FILES; i++)
			broken_count += broken[i];
		files_settle(bench->tested, true);
		compare(bench, broken_count);
	}
}

static void the_model_is_told_of_differences_only(void **state)
{
	struct bench *bench = *state;
	struct said said = { { 1, 2, 3 } };

	write_file(bench, 0, &said, "");
	files_read(bench->tested, file_name(0));
	assert_true(files_settle(bench->tested, false));
	files_read(bench->tested, file_name(0));
	assert_false(files_settle(bench->tested, false));
	files_refresh(bench->tested, file_name(0));
	assert_int_equal(bench->counters.files, 2);
	write_file(bench, 0, &said, "---\n# a comment\n");
	files_refresh(bench->tested, file_name(0));
	assert_int_equal(bench->counters.files, 3);
	assert_false(files_settle(bench->tested, false));
	/* another file that says the same */
	write_file(bench, 1, &said, "");
	files_read(bench->tested, file_name(1));
	remove_file(bench, 0);
	assert_false(files_settle(bench->tested, false));
	remove_file(bench, 1);
	assert_true(files_settle(bench->tested, false));
}

static void nothing_goes_from_a_file_that_was_never_right(void **state)
{
	struct bench *bench = *state;

	write_file(bench, 0, &(struct said){ { 1, 2, 0 } }, "---\n[\n");
	files_read(bench->tested, file_name(0));
	write_file(bench, 0, &(struct said){ { 0, 3, 1 } }, "---\n[\n");
	files_read(bench->tested, file_name(0));
	bench->files[0] = (struct said){ { 1, 3, 1 } };
	compare(bench, 1);
}

static int setup(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	assert_non_null(bench);
	log_set_level(LOG_ERROR);
	strcpy(bench->directory, "/tmp/weft-files-XXXXXX");
	assert_non_null(mkdtemp(bench->directory));
	assert_int_equal(model_new(&bench->model), 0);
	assert_int_equal(files_new(&bench->tested, bench->model, bench->directory, &bench->counters), 0);
	*state = bench;
	return 0;
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	for (int file = 0; file < FILES; file++)
		remove_file(bench, file);
	assert_int_equal(model_count(bench->model, MODEL_SERVICE), 0);
	files_free(bench->tested);
	model_free(bench->model);
	assert_int_equal(rmdir(bench->directory), 0);
	free(bench);
	return 0;
}

static int free_strings(void **state)
{
	(void)state;
	intern_free_all();
	return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_first_file_that_has_an_object_decides),
		TEST(the_model_is_told_of_differences_only),
		TEST(nothing_goes_from_a_file_that_was_never_right),
	};

	return cmocka_run_group_tests(tests, NULL, free_strings);
}
