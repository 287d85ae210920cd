/* SPDX-License-Identifier: Apache-2.0 */
/* meshctl: what the operator asks weftd with. */
#include <curl/curl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "context.h"

#define DEFAULT_SOCKET "/run/weft/weftd.sock"

static bool wants_color(void)
{
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && !getenv("NO_COLOR") && term && strcmp(term, "dumb") != 0;
}

/* Before the arguments are understood: an error about them should be JSON already. */
static const char *guess_output(char **argv)
{
	for (; *argv; argv++)
		if (!strcmp(*argv, "-ojson") || !strcmp(*argv, "--output=json") ||
		    ((!strcmp(*argv, "-o") || !strcmp(*argv, "--output")) && argv[1] && !strcmp(argv[1], "json")))
			return "json";
	return "";
}

static void fill_in(struct context *context)
{
	const struct arguments *arguments = &context->arguments;
	const char *socket = getenv("WEFT_SOCKET");

	context->socket = arguments_text(arguments, "socket", socket && *socket ? socket : DEFAULT_SOCKET);
	context->file = arguments_text(arguments, "file", NULL);
	context->namespace = arguments_text(arguments, "namespace", NULL);
	context->node = arguments_text(arguments, "node", NULL);
	context->output = arguments_text(arguments, "output", "");
	context->color = wants_color();
}

/* The word that names the command: global options may stand before it. */
static int command_index(char **argv)
{
	int i = 1;

	while (argv[i] && argv[i][0] == '-' && argv[i][1]) {
		const struct option *option = global_options;

		if (!strcmp(argv[i], "-h") || !strcmp(argv[i], "--help") || !strcmp(argv[i], "--version"))
			return i;
		for (; !option_is_end(option); option++)
			if ((option->name && argv[i][1] == '-' && !strcmp(option->name, argv[i] + 2)) ||
			    (option->letter && argv[i][1] == option->letter && !argv[i][2]))
				break;
		i += option->argument && argv[i + 1] ? 2 : 1;
	}
	return i;
}

static int run(struct context *context, char **argv)
{
	int index = command_index(argv);
	char reason[256] = "";
	const char *name = argv[index];

	if (name && !strcmp(name, "--version"))
		name = "version";
	if (!name || !strcmp(name, "-h") || !strcmp(name, "--help")) {
		print_help(NULL);
		return name ? EXIT_FINE : EXIT_BAD_USAGE;
	}
	context->command = command_find(name, reason);
	if (!context->command)
		return fail(context, EXIT_BAD_USAGE, "meshctl help lists the commands", "%s", reason);
	/* options before the command are the command's too */
	memmove(argv + 2, argv + 1, (size_t)(index - 1) * sizeof(*argv));
	if (arguments_parse(context->command, argv + 2, &context->arguments, reason) < 0) {
		char hint[64];

		snprintf(hint, sizeof(hint), "meshctl %s --help shows what it takes", context->command->name);
		return fail(context, EXIT_BAD_USAGE, hint, "%s", reason);
	}
	fill_in(context);
	if (arguments_have(&context->arguments, "help")) {
		print_help(context->command);
		return EXIT_FINE;
	}
	return context->command->run(context);
}

int main(int argc, char **argv)
{
	struct context context = { .output = guess_output(argv + 1) };
	int status;

	(void)argc;
	setlocale(LC_TIME, "");
	curl_global_init(CURL_GLOBAL_DEFAULT);
	status = run(&context, argv);
	client_close(&context);
	curl_global_cleanup();
	/* a full disk or a closed pipe is a failure too */
	if (fflush(stdout) != 0 && !status) {
		perror("meshctl: standard output");
		status = EXIT_FAILED;
	}
	return status;
}
