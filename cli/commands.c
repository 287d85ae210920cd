/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands and options. */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "telemetry/flow_filter.h"

#define OUTPUT(choices) { "output", 'o', "FORMAT", choices, "how the answer looks", false }
#define END { 0 }

const struct option global_options[] = {
	{ "socket", 0, "PATH", NULL, "weftd's socket (default: /run/weft/weftd.sock, or $WEFT_SOCKET)", false },
	{ "file", 0, "DUMP.json", NULL, "read a sysdump instead of asking an agent", false },
	{ "namespace", 'n', "NAMESPACE", NULL, "only what is in this namespace", true },
	{ "node", 0, "NODE", NULL, "only what is on this node", true },
	{ "help", 'h', NULL, NULL, "usage of the command", false },
	END,
};

static const struct option status_options[] = {
	OUTPUT("text|json|yaml"),
	{ "wait", 0, NULL, NULL, "wait until the agent answers and policy is loaded", false },
	{ "timeout", 0, "SECONDS", NULL, "how long --wait waits (default: 60)", false },
	END,
};

static const struct option check_options[] = {
	OUTPUT("text|json|yaml"),
	{ "pre", 0, NULL, NULL, "only whether this machine can run Weft; needs no agent", false },
	END,
};

static const struct option observe_options[] = {
	OUTPUT("compact|table|dict|json"),
	{ "last", 0, "N", NULL, "the last N records (default: 20; with --follow none)", false },
	{ "first", 0, "N", NULL, "the first N records that are kept", false },
	{ "all", 0, NULL, NULL, "all records that are kept", false },
	{ "follow", 'f', NULL, NULL, "go on with new records", false },
	{ "since", 0, "TIME", NULL, "from then on: 5m, 1h30m, or an RFC 3339 time", false },
	{ "until", 0, "TIME", NULL, "up to then", false },
	{ "not", 0, NULL, NULL, "negate the next filter", false },
	{ "all-namespaces", 'A', NULL, NULL, "records of all namespaces, whatever --namespace says", false },
	{ "ipv4", '4', NULL, NULL, "only IPv4", false },
	{ "ipv6", '6', NULL, NULL, "only IPv6", false },
	{ "input-file", 0, "FILE", NULL, "replay records of a file (- is standard input) instead of asking an agent",
	  false },
	END,
};

static const struct option get_options[] = { OUTPUT("table|wide|json|yaml"), END };
static const struct option plain_options[] = { OUTPUT("text|json|yaml"), END };

static const struct option explain_options[] = {
	OUTPUT("text|json|yaml"),
	{ "from", 0, "WHO", NULL, "a pod (NAMESPACE/NAME) or an address", false },
	{ "to", 0, "WHO", NULL, "a pod, a service (svc/NAMESPACE/NAME) or an address", false },
	{ "port", 0, "PORT", NULL, "of the server or service", false },
	{ "protocol", 0, "PROTOCOL", NULL, "tcp (default), udp, sctp, icmp or a number", false },
	END,
};

static const struct option top_options[] = {
	OUTPUT("text|json|yaml"),
	{ "interval", 0, "SECONDS", NULL, "measured over that long (default: 1)", false },
	{ "count", 0, "N", NULL, "that many times (default: for ever on a terminal, else once)", false },
	END,
};

static const struct option trace_options[] = {
	OUTPUT("text|json|yaml"),
	{ "not", 0, NULL, NULL, "negate the next filter", false },
	{ "input-file", 0, "FILE", NULL, "records of a file (- is standard input) instead of asking an agent", false },
	END,
};

const struct command commands[] = {
	{ "status", NULL, NULL, 0, 0, "how the agent of this node is",
	  "Shows the agent, its source of objects, the programs and maps in the kernel, flow records and drops.",
	  status_options,
	  false, false, run_status },
	{ "check", NULL, NULL, 0, 0, "find problems and say what to do about them",
	  "Checks the machine and the agent. Each finding comes with a hint. Exit status 79: at least one failure.",
	  check_options, false, false, run_check },
	{ "observe", NULL, NULL, 0, 0, "flow records: who talked to whom, and what was decided",
	  "Filters of one name are alternatives, those of different names must all match, --not negates the next one. "
	  "Without --last, --first, --all or --follow: the last 20.",
	  observe_options, true, false, run_observe },
	{ "get", "KIND", "workloads|services|policies|connections|nodes|maps", 1, 1, "list what the mesh knows", NULL,
	  get_options,
	  false, false, run_get },
	{ "explain", NULL, NULL, 0, 0, "which rule decides about a connection, and why",
	  "Answered from the tables that the kernel uses. Only pods of the agent's node are decided there; the other "
	  "end's side is "
	  "decided by its own node.",
	  explain_options, false, false, run_explain },
	{ "top", NULL, NULL, 0, 0, "live rates per pair of workloads", NULL, top_options, false, false, run_top },
	{ "trace", "[ADDRESS:PORT]", NULL, 0, 1, "the life of one connection, with time stamps",
	  "Of all connections that match the filters, the latest. ADDRESS:PORT is either end of it.", trace_options,
	  true, false,
	  run_trace },
	{ "log", "level [LEVEL]", "level", 1, 2, "show or change the agent's log level: error, warn, info, debug", NULL,
	  plain_options,
	  false, false, run_log },
	{ "sysdump", "[FILE.json]", NULL, 0, 1, "everything the agent can tell, in one file for a report",
	  "Without FILE.json: meshctl-sysdump-TIME.json in this directory; - is standard output. The file can be read "
	  "with --file.",
	  NULL, false, false, run_sysdump },
	{ "completion", "bash|zsh|fish", "bash|zsh|fish", 1, 1, "print a completion script for a shell", NULL, NULL,
	  false, false,
	  run_completion },
	{ "version", NULL, NULL, 0, 0, "versions of meshctl and of the agent", NULL, plain_options, false, false,
	  run_version },
	{ "help", "[COMMAND]", NULL, 0, 1, "this text, or that of a command", NULL, NULL, false, false, run_help },
	{ "man", NULL, NULL, 0, 0, "print the man page", NULL, NULL, false, true, run_man },
	{ 0 },
};

#define OPTIONS_MAX 80

bool option_is_end(const struct option *option) { return !option->name && !option->letter; }

static bool has_option(const struct option *options, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (options[i].name && !strcmp(options[i].name, name))
			return true;
	return false;
}

static size_t append_options(struct option *all, size_t count, const struct option *options)
{
	for (; options && !option_is_end(options) && count + 1 < OPTIONS_MAX; options++)
		all[count++] = *options;
	return count;
}

/* -4 and -6 say it shorter. */
static bool is_shown(const struct flow_filter_field *field) { return strcmp(field->name, "ip-version") != 0; }

/* Plain, from- and to- of each field; --namespace and --node are global options already. */
static size_t append_filters(struct option *all, size_t count)
{
	static const char *const prefixes[] = { "", "from-", "to-" };
	static char names[OPTIONS_MAX][32], helps[OPTIONS_MAX][96];
	static size_t used;

	for (const struct flow_filter_field *field = flow_filter_fields(); field->name; field++) {
		for (int side = 0; side < (field->sided ? 3 : 1) && is_shown(field); side++) {
			if (used == OPTIONS_MAX || count + 1 >= OPTIONS_MAX)
				return count;
			snprintf(names[used], sizeof(names[0]), "%s%s", prefixes[side], field->name);
			snprintf(helps[used], sizeof(helps[0]), "%s%s",
				 side == 1 ? "source: " : side == 2 ? "destination: " : "",
				 field->help);
			if (!has_option(global_options, sizeof(global_options) / sizeof(*global_options) - 1,
					names[used]))
				all[count++] = (struct option){
					names[used], 0, field->argument, NULL, helps[used], true
				};
			used++;
		}
	}
	return count;
}

static const struct option *filter_options(void)
{
	static struct option filters[OPTIONS_MAX];

	if (!filters[0].name)
		append_filters(filters, 0);
	return filters;
}

const struct option *command_options(const struct command *command)
{
	static struct option all[OPTIONS_MAX];
	static const struct command *of;
	size_t count;

	if (of == command)
		return all;
	memset(all, 0, sizeof(all));
	count = append_options(all, 0, command->options);
	if (command->filters)
		count = append_options(all, count, filter_options());
	append_options(all, count, global_options);
	of = command;
	return all;
}

const struct command *command_find(const char *name, char reason[256])
{
	const struct command *found = NULL;

	for (const struct command *command = commands; command->name; command++) {
		if (!strcmp(command->name, name))
			return command;
		if (command->hidden || strncmp(command->name, name, strlen(name)) != 0)
			continue;
		if (found) {
			snprintf(reason, 256, "\"%.60s\" is the beginning of both %s and %s", name, found->name,
				 command->name);
			return NULL;
		}
		found = command;
	}
	if (!found)
		snprintf(reason, 256, "there is no command \"%.60s\"", name);
	return found;
}

void choices_each(const char *choices, void (*each)(const char *word, size_t length, void *context), void *context)
{
	while (choices && *choices) {
		size_t length = strcspn(choices, "|");

		each(choices, length, context);
		choices += length + (choices[length] == '|');
	}
}

struct search {
	const char *word;
	bool found;
};

static void compare_choice(const char *word, size_t length, void *context)
{
	struct search *search = context;

	search->found |= strlen(search->word) == length && !strncmp(word, search->word, length);
}

bool choices_have(const char *choices, const char *word)
{
	struct search search = { word, false };

	choices_each(choices, compare_choice, &search);
	return search.found;
}
