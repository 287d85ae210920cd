/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MESHCTL_COMMAND_H
#define MESHCTL_COMMAND_H
/*
 * meshctl's commands and options as data: commands.c has the table; dispatch, usage, completion and the man page
 * come from it.
 */
#include <stdbool.h>
#include <stddef.h>

/* sysexits.h has the same numbers for the first four */
enum exit_status {
	EXIT_FINE = 0,
	EXIT_FAILED = 1,
	EXIT_BAD_USAGE = 64,
	EXIT_BAD_INPUT = 65,
	EXIT_UNREACHABLE = 69,
	EXIT_CHECK_PROBLEMS = 79,
};

struct option {
	const char *name; /* without dashes; NULL: end of a table, or only a letter */
	char letter;	  /* 0: none */
	const char *argument; /* NULL: a flag */
	const char *choices;  /* "a|b|c": the only values; NULL: any */
	const char *help;
	bool negatable; /* --not before it is fine */
};

struct context;

struct command {
	const char *name;
	const char *words;   /* what may follow, for usage; NULL: nothing */
	const char *choices; /* "a|b|c": the first word; NULL: any */
	int words_min, words_max;
	const char *summary;
	const char *description; /* a paragraph for help and man page; NULL: none */
	const struct option *options; /* NULL: none of its own */
	bool filters; /* takes the flow filters too */
	bool hidden;
	int (*run)(struct context *context);
};

extern const struct command commands[]; /* ended by a row without name */
extern const struct option global_options[];

/* All options of a command: its own, the flow filters, the global ones. Ended by a row with neither name nor letter. */
const struct option *command_options(const struct command *command);
bool option_is_end(const struct option *option);
/* By name or unique beginning. NULL: none or several; `reason` (256 bytes) says which. */
const struct command *command_find(const char *name, char reason[256]);

/* Calls `each` with each word of "a|b|c". */
void choices_each(const char *choices, void (*each)(const char *word, size_t length, void *context), void *context);
bool choices_have(const char *choices, const char *word);

/* --- what was given --- */

#define VALUES_MAX 128
#define WORDS_MAX 8

struct value {
	const struct option *option;
	const char *text; /* NULL for a flag */
	bool negated;
};

struct arguments {
	struct value values[VALUES_MAX];
	size_t value_count;
	const char *words[WORDS_MAX];
	size_t word_count;
};

/* 0, or -EINVAL with `reason` (256 bytes). Options may stand before, between and after words. */
int arguments_parse(const struct command *command, char **argv, struct arguments *ret, char reason[256]);
bool arguments_have(const struct arguments *arguments, const char *name);
/* The last one given; `initial` if there is none. */
const char *arguments_text(const struct arguments *arguments, const char *name, const char *initial);
/*
 * A whole number in [minimum, maximum]. 0, or -EINVAL with `reason`. *ret keeps its value when the option is not
 * given.
 */
int arguments_number(const struct arguments *arguments, const char *name, unsigned long minimum, unsigned long maximum,
		     unsigned long *ret, char reason[256]);

/* --- commands --- */

int run_status(struct context *context);
int run_check(struct context *context);
int run_observe(struct context *context);
int run_get(struct context *context);
int run_explain(struct context *context);
int run_top(struct context *context);
int run_trace(struct context *context);
int run_log(struct context *context);
int run_sysdump(struct context *context);
int run_completion(struct context *context);
int run_version(struct context *context);
int run_help(struct context *context);
int run_man(struct context *context);

/* Usage of a command, or with NULL of meshctl, on stdout. */
void print_help(const struct command *command);

#endif
