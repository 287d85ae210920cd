/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

struct parsing {
	const struct command *command;
	const struct option *options;
	struct arguments *arguments;
	bool negate; /* --not came before */
	char *reason;
};

static const struct option *find_long(const struct option *options, const char *name, size_t length)
{
	for (; !option_is_end(options); options++)
		if (options->name && strlen(options->name) == length && !strncmp(options->name, name, length))
			return options;
	return NULL;
}

static const struct option *find_letter(const struct option *options, char letter)
{
	for (; !option_is_end(options); options++)
		if (options->letter == letter)
			return options;
	return NULL;
}

static int add_value(struct parsing *parsing, const struct option *option, const char *text)
{
	struct arguments *arguments = parsing->arguments;

	if (!strcmp(option->name, "not")) {
		parsing->negate = true;
		return 0;
	}
	if (parsing->negate && !option->negatable) {
		snprintf(parsing->reason, 256, "--not must stand before a filter, not before --%s", option->name);
		return -EINVAL;
	}
	if (option->choices && !choices_have(option->choices, text)) {
		snprintf(parsing->reason, 256, "--%s %.60s: must be one of %s", option->name, text, option->choices);
		return -EINVAL;
	}
	if (arguments->value_count == VALUES_MAX) {
		snprintf(parsing->reason, 256, "more than %d options", VALUES_MAX);
		return -EINVAL;
	}
	arguments->values[arguments->value_count++] = (struct value){ option, text, parsing->negate };
	parsing->negate = false;
	return 0;
}

static int needs_value(struct parsing *parsing, const struct option *option)
{
	snprintf(parsing->reason, 256, "--%s needs a value: --%s %s", option->name, option->name, option->argument);
	return -EINVAL;
}

/* "--name", "--name=value" or "--name value". Returns how many arguments it took, or -EINVAL. */
static int parse_long(struct parsing *parsing, char **argv)
{
	const char *name = argv[0] + 2, *equals = strchr(name, '=');
	size_t length = equals ? (size_t)(equals - name) : strlen(name);
	const struct option *option = find_long(parsing->options, name, length);
	const char *value = equals ? equals + 1 : argv[1];
	int error;

	if (!option) {
		snprintf(parsing->reason, 256, "%s has no option --%.*s", parsing->command->name,
			 (int)(length < 60 ? length : 60), name);
		return -EINVAL;
	}
	if (!option->argument && equals) {
		snprintf(parsing->reason, 256, "--%s takes no value", option->name);
		return -EINVAL;
	}
	if (option->argument && !value)
		return needs_value(parsing, option);
	error = add_value(parsing, option, option->argument ? value : NULL);
	return error ? error : option->argument && !equals ? 2 : 1;
}

/* "-f", "-ojson", "-o json", "-f4". The same results. */
static int parse_letters(struct parsing *parsing, char **argv)
{
	for (const char *letter = argv[0] + 1; *letter; letter++) {
		const struct option *option = find_letter(parsing->options, *letter);
		const char *value = letter[1] ? letter + 1 : argv[1];
		int error;

		if (!option) {
			snprintf(parsing->reason, 256, "%s has no option -%c", parsing->command->name, *letter);
			return -EINVAL;
		}
		if (option->argument && !value)
			return needs_value(parsing, option);
		error = add_value(parsing, option, option->argument ? value : NULL);
		if (error)
			return error;
		if (option->argument)
			return letter[1] ? 1 : 2;
	}
	return 1;
}

static int add_word(struct parsing *parsing, const char *word)
{
	struct arguments *arguments = parsing->arguments;
	const struct command *command = parsing->command;

	if (arguments->word_count == (size_t)command->words_max) {
		snprintf(parsing->reason, 256, "%s does not take \"%.60s\"", command->name, word);
		return -EINVAL;
	}
	if (!arguments->word_count && command->choices && !choices_have(command->choices, word)) {
		snprintf(parsing->reason, 256, "%s %.60s: must be one of %s", command->name, word, command->choices);
		return -EINVAL;
	}
	arguments->words[arguments->word_count++] = word;
	return 1;
}

static int parse_one(struct parsing *parsing, char **argv, bool options_over)
{
	if (options_over || argv[0][0] != '-' || !argv[0][1])
		return add_word(parsing, argv[0]);
	return argv[0][1] == '-' ? parse_long(parsing, argv) : parse_letters(parsing, argv);
}

int arguments_parse(const struct command *command, char **argv, struct arguments *ret, char reason[256])
{
	struct parsing parsing = { command, command_options(command), ret, false, reason };
	bool options_over = false;

	*ret = (struct arguments){ 0 };
	while (*argv) {
		int taken;

		if (!options_over && !strcmp(*argv, "--")) {
			options_over = true;
			argv++;
			continue;
		}
		taken = parse_one(&parsing, argv, options_over);
		if (taken < 0)
			return taken;
		argv += taken;
	}
	if (parsing.negate) {
		snprintf(reason, 256, "--not must stand before a filter");
		return -EINVAL;
	}
	if (ret->word_count < (size_t)command->words_min && !arguments_have(ret, "help")) {
		snprintf(reason, 256, "%s needs %s", command->name,
			 command->choices ? command->choices : command->words);
		return -EINVAL;
	}
	return 0;
}

const char *arguments_text(const struct arguments *arguments, const char *name, const char *initial)
{
	for (size_t i = arguments->value_count; i > 0; i--)
		if (!strcmp(arguments->values[i - 1].option->name, name))
			return arguments->values[i - 1].text;
	return initial;
}

bool arguments_have(const struct arguments *arguments, const char *name)
{
	for (size_t i = 0; i < arguments->value_count; i++)
		if (!strcmp(arguments->values[i].option->name, name))
			return true;
	return false;
}

int arguments_number(const struct arguments *arguments, const char *name, unsigned long minimum, unsigned long maximum,
		     unsigned long *ret, char reason[256])
{
	const char *text = arguments_text(arguments, name, NULL);
	unsigned long number;
	char *end;

	if (!text)
		return 0;
	errno = 0;
	number = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || number < minimum || number > maximum) {
		snprintf(reason, 256, "--%s %.60s: must be a number from %lu to %lu", name, text, minimum, maximum);
		return -EINVAL;
	}
	*ret = number;
	return 0;
}
