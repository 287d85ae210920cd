/* SPDX-License-Identifier: Apache-2.0 */
/* Completion scripts: the table of commands, written as each shell wants it. */
#include <stdio.h>
#include <string.h>

#include "context.h"

static void print_word(const char *word, size_t length, void *context)
{
	(void)context;
	printf(" %.*s", (int)length, word);
}

static void print_command_names(void)
{
	for (const struct command *command = commands; command->name; command++)
		if (!command->hidden)
			printf(" %s", command->name);
}

/* Text between single quotes. */
static void print_quoted(const char *text)
{
	putchar('\'');
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*text);
	}
	putchar('\'');
}

static bool takes_file(const struct option *option)
{
	return strstr(option->argument, "FILE") || strstr(option->argument, "PATH") || strstr(option->argument, ".json");
}

static void bash_command(const struct command *command)
{
	printf("\t%s)\n\t\tcase $previous in\n", command->name);
	for (const struct option *option = command_options(command); !option_is_end(option); option++) {
		if (!option->argument)
			continue;
		printf("\t\t--%s", option->name);
		if (option->letter)
			printf("|-%c", option->letter);
		if (option->choices) {
			fputs(") words='", stdout);
			choices_each(option->choices, print_word, NULL);
			puts("' ;;");
		} else {
			/* a value that cannot be listed: file names for those that take a file or path */
			printf(") %s; return ;;\n", takes_file(option) ? "COMPREPLY=($(compgen -f -- \"$current\"))" :
									 "COMPREPLY=()");
		}
	}
	fputs("\t\t*) words='", stdout);
	choices_each(command->choices, print_word, NULL);
	if (!strcmp(command->name, "help"))
		print_command_names();
	for (const struct option *option = command_options(command); !option_is_end(option); option++)
		printf(" --%s", option->name);
	puts("' ;;\n\t\tesac ;;");
}

static void print_bash(void)
{
	puts("# bash completion for meshctl\n"
	     "_meshctl()\n{\n"
	     "\tlocal current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command= words= i\n"
	     "\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	     "\t\tcase ${COMP_WORDS[i]} in");
	for (const struct option *option = global_options; !option_is_end(option); option++)
		if (option->argument)
			printf("\t\t--%s%s%.1s) ((i++)) ;;\n", option->name, option->letter ? "|-" : "",
			       option->letter ? &option->letter : "");
	puts("\t\t-*) ;;\n\t\t*) command=${COMP_WORDS[i]}; break ;;\n\t\tesac\n\tdone\n\tcase $command in");
	for (const struct command *command = commands; command->name; command++)
		if (!command->hidden)
			bash_command(command);
	fputs("\t'') words='", stdout);
	print_command_names();
	for (const struct option *option = global_options; !option_is_end(option); option++)
		printf(" --%s", option->name);
	puts("' ;;\n\tesac\n\tCOMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n}\ncomplete -F _meshctl meshctl");
}

/* Text inside an _arguments specification: brackets and colons mean something there. */
static void zsh_text(const char *text)
{
	for (; *text; text++) {
		if (*text == '[' || *text == ']' || *text == ':' || *text == '\\')
			putchar('\\');
		if (*text == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*text);
	}
}

static void zsh_option(const struct option *option)
{
	printf("\t\t\t'*--%s%s[", option->name, option->argument ? "=" : "");
	zsh_text(option->help);
	putchar(']');
	if (option->argument) {
		putchar(':');
		zsh_text(option->argument);
		putchar(':');
		if (option->choices) {
			putchar('(');
			choices_each(option->choices, print_word, NULL);
			putchar(')');
		} else if (takes_file(option)) {
			fputs("_files", stdout);
		}
	}
	puts("' \\");
}

static void print_zsh(void)
{
	puts("#compdef meshctl\n_meshctl()\n{\n\tlocal -a names\n\tnames=(");
	for (const struct command *command = commands; command->name; command++) {
		if (command->hidden)
			continue;
		printf("\t\t'%s:", command->name);
		zsh_text(command->summary);
		puts("'");
	}
	puts("\t)\n\tif ((CURRENT == 2)); then\n\t\t_describe command names\n\t\treturn\n\tfi\n\tlocal command=$words[2]\n"
	     "\tshift words\n\t((CURRENT--))\n\tcase $command in");
	for (const struct command *command = commands; command->name; command++) {
		if (command->hidden)
			continue;
		printf("\t%s)\n\t\t_arguments \\\n", command->name);
		for (const struct option *option = command_options(command); !option_is_end(option); option++)
			zsh_option(option);
		fputs("\t\t\t'*:word:(", stdout);
		choices_each(command->choices, print_word, NULL);
		puts(")' ;;");
	}
	puts("\tesac\n}\n_meshctl \"$@\"");
}

static void fish_option(const struct command *command, const struct option *option)
{
	printf("complete -c meshctl -n '__fish_seen_subcommand_from %s' -l %s", command->name, option->name);
	if (option->letter)
		printf(" -s %c", option->letter);
	if (option->argument)
		fputs(" -r", stdout);
	if (option->choices) {
		fputs(" -a '", stdout);
		choices_each(option->choices, print_word, NULL);
		putchar('\'');
	}
	fputs(" -d ", stdout);
	print_quoted(option->help);
	putchar('\n');
}

static void print_fish(void)
{
	puts("# fish completion for meshctl\ncomplete -c meshctl -f");
	for (const struct command *command = commands; command->name; command++) {
		if (command->hidden)
			continue;
		printf("complete -c meshctl -n __fish_use_subcommand -a %s -d ", command->name);
		print_quoted(command->summary);
		putchar('\n');
		if (command->choices) {
			printf("complete -c meshctl -n '__fish_seen_subcommand_from %s' -a '", command->name);
			choices_each(command->choices, print_word, NULL);
			puts("'");
		}
		for (const struct option *option = command_options(command); !option_is_end(option); option++)
			fish_option(command, option);
	}
}

int run_completion(struct context *context)
{
	const char *shell = context->arguments.words[0];

	if (!strcmp(shell, "bash"))
		print_bash();
	else if (!strcmp(shell, "zsh"))
		print_zsh();
	else
		print_fish();
	return EXIT_FINE;
}
