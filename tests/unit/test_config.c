/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"

#define ARGUMENTS(...) (char *[]){ "weftd", __VA_ARGS__, NULL }

static int parse(struct config *config, char **arguments)
{
	int count = 0;

	while (arguments[count])
		count++;
	return config_parse(config, count, arguments);
}

static void values_follow_either_way(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(parse(&config, ARGUMENTS("--source=dir:/m", "--node-name", "n1", "--max-services=7", "--deny=drop",
						  "--short-way=off", "--log-format", "json")), 0);
	assert_string_equal(config.source, "dir:/m");
	assert_string_equal(config.node_name, "n1");
	assert_int_equal(config.datapath.max_services, 7);
	assert_true(config.datapath.deny_drop);
	assert_int_equal(config.datapath.short_way, SHORT_WAY_OFF);
	assert_true(config.log_json);
}

static void defaults_are_those_of_the_manual(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(parse(&config, ARGUMENTS("--source=dir:/m")), 0);
	assert_string_equal(config.run_directory, "/run/weft");
	assert_string_equal(config.datapath.bpffs, "/sys/fs/bpf/weft");
	assert_string_equal(config.metrics_address, "127.0.0.1:15020");
	assert_int_equal(config.report_seconds, 10);
	assert_int_equal(config.datapath.short_way, SHORT_WAY_AUTO);
	assert_false(config.datapath.deny_drop);
}

static void mistakes_are_refused(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(parse(&config, ARGUMENTS("--nonsense=1")), -EINVAL);
	assert_int_equal(parse(&config, ARGUMENTS("plain")), -EINVAL);
	assert_int_equal(parse(&config, ARGUMENTS("--node-name=x")), -EINVAL); /* no source */
	assert_int_equal(parse(&config, ARGUMENTS("--source=dir:/m", "--max-services=-1")), -EINVAL);
	assert_int_equal(parse(&config, ARGUMENTS("--source=dir:/m", "--max-services=4294967296")), -EINVAL);
	assert_int_equal(parse(&config, ARGUMENTS("--source=dir:/m", "--report-interval=0")), -EINVAL);
	assert_int_equal(parse(&config, ARGUMENTS("--source=dir:/m", "--deny=dro")), -EINVAL);
	assert_int_equal(parse(&config, ARGUMENTS("--source=dir:/m", "--cleanup=yes")), -EINVAL);
	assert_int_equal(parse(&config, ARGUMENTS("--source=dir:/m", "--log-level=loud")), -EINVAL);
	assert_int_equal(parse(&config, ARGUMENTS("--source")), -EINVAL);
}

/* What --help prints, as the manual must tell it too. */
static char *help_text(void)
{
	struct config config;
	FILE *file = tmpfile();
	int saved = dup(STDOUT_FILENO);
	char *text = calloc(1, 16384);

	assert_non_null(file);
	fflush(stdout);
	dup2(fileno(file), STDOUT_FILENO);
	assert_int_equal(parse(&config, ARGUMENTS("--help")), 1);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	rewind(file);
	assert_true(fread(text, 1, 16383, file) > 1000);
	fclose(file);
	return text;
}

/* The manual writes "-" as "\-"; options are compared without. */
static char *manual_text(void)
{
	FILE *file = fopen(SOURCE_DIR "/docs/man/weftd.8", "r");
	char *text = calloc(1, 65536), *to = text;

	assert_non_null(file);
	for (int c = getc(file); c != EOF; c = getc(file))
		if (c != '\\')
			*to++ = (char)c;
	fclose(file);
	return text;
}

static void the_manual_tells_every_option(void **state)
{
	char *help = help_text(), *manual = manual_text(), option[64];
	int told = 0;

	(void)state;
	for (const char *at = strstr(help, "  --"); at; at = strstr(at + 4, "  --")) {
		assert_int_equal(sscanf(at, " %63[a-z-]", option), 1);
		if (!strstr(manual, option))
			fail_msg("docs/man/weftd.8 does not tell %s", option);
		told++;
	}
	assert_true(told > 20);
	free(help);
	free(manual);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_follow_either_way),
		cmocka_unit_test(defaults_are_those_of_the_manual),
		cmocka_unit_test(mistakes_are_refused),
		cmocka_unit_test(the_manual_tells_every_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
