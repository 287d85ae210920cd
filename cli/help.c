/* SPDX-License-Identifier: Apache-2.0 */
/* Usage and the man page, both from the table of commands. */
#include <stdio.h>
#include <string.h>

#include "context.h"

static const struct {
	enum exit_status status;
	const char *meaning;
} exit_statuses[] = {
	{ EXIT_FINE, "fine" },
	{ EXIT_FAILED, "failure" },
	{ EXIT_BAD_USAGE, "usage" },
	{ EXIT_BAD_INPUT, "bad input: a file that is not understood, an object that does not exist" },
	{ EXIT_UNREACHABLE, "the agent cannot be reached" },
	{ EXIT_CHECK_PROBLEMS, "check found problems" },
};
#define STATUS_COUNT (sizeof(exit_statuses) / sizeof(*exit_statuses))

/* "-o, --output FORMAT", into 64 bytes. */
static void option_text(const struct option *option, char text[64])
{
	char letter[8] = "    ";

	if (option->letter)
		snprintf(letter, sizeof(letter), "-%c, ", option->letter);
	snprintf(text, 64, "%s--%s%s%s", letter, option->name, option->argument ? " " : "",
		 option->argument ? option->argument : "");
}

static void print_option(const struct option *option)
{
	char text[64];

	option_text(option, text);
	printf("  %-38s %s%s%s%s\n", text, option->help, option->choices ? ": " : "",
	       option->choices ? option->choices : "",
	       option->negatable ? " (filter)" : "");
}

static void print_commands(void)
{
	puts("Usage: meshctl COMMAND [OPTION...]\n\n"
	     "Asks the agent of this node (weftd) and shows what the mesh does.\n\nCommands:");
	for (const struct command *command = commands; command->name; command++)
		if (!command->hidden)
			printf("  %-12s %s\n", command->name, command->summary);
	puts("\nThe beginning of a command's name is enough when it is unique. Options of all commands:");
	for (const struct option *option = global_options; !option_is_end(option); option++)
		print_option(option);
	puts("\nExit status:");
	for (size_t i = 0; i < STATUS_COUNT; i++)
		printf("  %-3d %s\n", exit_statuses[i].status, exit_statuses[i].meaning);
}

void print_help(const struct command *command)
{
	if (!command) {
		print_commands();
		return;
	}
	printf("Usage: meshctl %s%s%s [OPTION...]\n\n%c%s.\n", command->name, command->words ? " " : "",
	       command->words ? command->words : "", command->summary[0] - (command->summary[0] >= 'a' ? 'a' - 'A' : 0),
	       command->summary + 1);
	if (command->description)
		printf("\n%s\n", command->description);
	if (command->choices && strcmp(command->choices, command->words) != 0)
		printf("\n%s is one of %s.\n", command->words, command->choices);
	puts("\nOptions:");
	for (const struct option *option = command_options(command); !option_is_end(option); option++)
		print_option(option);
}

int run_help(struct context *context)
{
	const struct command *command = NULL;
	char reason[256] = "";

	if (context->arguments.word_count) {
		command = command_find(context->arguments.words[0], reason);
		if (!command)
			return fail(context, EXIT_BAD_USAGE, "meshctl help lists the commands", "%s", reason);
	}
	print_help(command);
	return EXIT_FINE;
}

/* --- man page --- */

/* Minus signs that must stay ASCII, and lines that begin like a request. */
static void print_roff(const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", stdout);
	for (; *text; text++) {
		if (*text == '-' || *text == '\\')
			putchar('\\');
		putchar(*text);
	}
}

static void man_option(const struct option *option)
{
	puts(".TP");
	fputs("\\fB", stdout);
	if (option->letter)
		printf("\\-%c\\fR, \\fB", option->letter);
	fputs("\\-\\-", stdout);
	print_roff(option->name);
	fputs("\\fR", stdout);
	if (option->argument) {
		fputs(" \\fI", stdout);
		print_roff(option->argument);
		fputs("\\fR", stdout);
	}
	putchar('\n');
	print_roff(option->help);
	if (option->choices) {
		fputs(": ", stdout);
		print_roff(option->choices);
	}
	putchar('\n');
}

static void man_options(const struct option *options)
{
	for (; options && !option_is_end(options); options++)
		man_option(options);
}

static bool is_global(const struct option *option)
{
	for (const struct option *global = global_options; !option_is_end(global); global++)
		if (!strcmp(global->name, option->name))
			return true;
	return false;
}

static void man_command(const struct command *command)
{
	fputs(".SS ", stdout);
	print_roff(command->name);
	if (command->words) {
		putchar(' ');
		print_roff(command->words);
	}
	printf("\n%c", command->summary[0] - (command->summary[0] >= 'a' ? 'a' - 'A' : 0));
	print_roff(command->summary + 1);
	puts(".");
	if (command->description) {
		print_roff(command->description);
		putchar('\n');
	}
	if (command->choices && strcmp(command->choices, command->words) != 0) {
		printf("\\fI%s\\fR is one of ", command->words);
		print_roff(command->choices);
		puts(".");
	}
	for (const struct option *option = command_options(command); !option_is_end(option); option++)
		if (!is_global(option))
			man_option(option);
}

int run_man(struct context *context)
{
	(void)context;
	printf(".TH MESHCTL 8 \"\" \"weft %s\" \"Weft\"\n", WEFT_VERSION);
	puts(".SH NAME\nmeshctl \\- see what the Weft service mesh does\n.SH SYNOPSIS\n"
	     ".B meshctl\n\\fICOMMAND\\fR [\\fIOPTION\\fR...]");
	puts(".SH DESCRIPTION\nAsks the agent of this node,\n.BR weftd (8),\nover its unix socket. "
	     "The beginning of a command's name is\n"
	     "enough when it is unique.\n.SH COMMANDS");
	for (const struct command *command = commands; command->name; command++)
		if (!command->hidden)
			man_command(command);
	puts(".SH OPTIONS OF ALL COMMANDS");
	man_options(global_options);
	puts(".SH EXIT STATUS");
	for (size_t i = 0; i < STATUS_COUNT; i++)
		printf(".TP\n.B %d\n%s\n", exit_statuses[i].status, exit_statuses[i].meaning);
	puts(".SH ENVIRONMENT\n.TP\n.B WEFT_SOCKET\npath of weftd's socket, where \\-\\-socket is not given\n"
	     ".TP\n.B NO_COLOR\n"
	     "no colours, also on a terminal\n.SH SEE ALSO\n.BR weftd (8)");
	return EXIT_FINE;
}
