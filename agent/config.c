/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/log.h"

enum option_type { TEXT, FLAG, COUNT, CHOICE };

struct option {
	const char *name;
	enum option_type type;
	size_t offset;
	const char *argument; /* what --help calls it; CHOICE: "first|second|...", the value is the position */
	const char *initial;  /* as the user would write it; NULL: none */
	unsigned long minimum, maximum; /* COUNT */
	const char *help;
};

#define AT(field) offsetof(struct config, field)
#define CAPACITY(name, field, what)                                                                                    \
	{ name, COUNT, AT(datapath.field), "N", "0", 0, UINT32_MAX, "capacity for " what " (0: the default of the map)" }

static const struct option options[] = {
	{ "source", TEXT, AT(source), "dir:PATH", NULL, 0, 0, "where objects come from: a directory of Kubernetes manifests" },
	{ "node-name", TEXT, AT(node_name), "NAME", NULL, 0, 0, "this node, as Pods and Nodes name it (default: the host name)" },
	{ "run-directory", TEXT, AT(run_directory), "PATH", "/run/weft", 0, 0, "for weftd.sock and the lock" },
	{ "metrics-address", TEXT, AT(metrics_address), "HOST:PORT", "127.0.0.1:15020", 0, 0,
	  "where Prometheus finds /metrics; empty: nowhere" },
	{ "access-log", TEXT, AT(access_log), "FILE", NULL, 0, 0, "write each flow as a line of JSON; - is standard output" },
	{ "trust-domain", TEXT, AT(trust_domain), "NAME", "cluster.local", 0, 0, "trust domain of principals" },
	{ "root-namespace", TEXT, AT(root_namespace), "NAME", "weft-system", 0, 0,
	  "AuthorizationPolicies of this namespace apply to all namespaces" },
	{ "cluster", TEXT, AT(cluster), "NAME", "Kubernetes", 0, 0, "cluster name in metrics" },
	{ "log-level", TEXT, AT(log_level), "LEVEL", "info", 0, 0, "error, warn, info or debug" },
	{ "log-format", CHOICE, AT(log_json), "text|json", "text", 0, 0, "how log lines look" },
	{ "report-interval", COUNT, AT(report_seconds), "SECONDS", "10", 1, 3600, "how often long connections report" },
	{ "flow-history", COUNT, AT(flow_history), "N", "8192", 1, 1 << 24, "flow records kept for meshctl observe" },
	{ "bpffs", TEXT, AT(datapath.bpffs), "PATH", "/sys/fs/bpf/weft", 0, 0, "where programs and maps are pinned" },
	{ "cgroup", TEXT, AT(datapath.cgroup), "PATH", NULL, 0, 0, "cgroup2 directory to attach at (default: the first cgroup2 mount)" },
	{ "deny", CHOICE, AT(datapath.deny_drop), "reset|drop", "reset", 0, 0, "how denied TCP is answered" },
	{ "short-way", CHOICE, AT(datapath.short_way), "auto|on|off", "auto", 0, 0,
	  "same-node packets go from interface to interface; auto: unless another engine enforces policy on the host's path" },
	CAPACITY("max-services", max_services, "service addresses and ports"),
	CAPACITY("max-slots", max_slots, "endpoints of services, counted once per service port"),
	CAPACITY("max-backends", max_backends, "distinct endpoints"),
	CAPACITY("max-addresses", max_addresses, "pod and node addresses"),
	CAPACITY("max-prefixes", max_prefixes, "address blocks of policies"),
	CAPACITY("max-policies", max_policies, "policy entries"),
	CAPACITY("max-rules", max_rules, "policy rules"),
	CAPACITY("max-connections", max_connections, "tracked connections"),
	CAPACITY("max-workloads", max_workloads, "pods of this node"),
	CAPACITY("max-traffic", max_traffic, "pairs of identities in metrics"),
	CAPACITY("ring-bytes", ring_bytes, "flow records on their way, in bytes, a power of two"),
	{ "cleanup", FLAG, AT(cleanup), NULL, NULL, 0, 0, "detach and unpin everything, then exit" },
};

#define OPTION_COUNT (sizeof(options) / sizeof(*options))

static void print_help(void)
{
	char left[64];

	puts("Usage: weftd --source=dir:PATH [OPTION...]\n"
	     "       weftd --cleanup [--bpffs=PATH] [--cgroup=PATH]\n\n"
	     "The agent of the Weft service mesh: one on each node.\n\nOptions:");
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *option = &options[i];

		snprintf(left, sizeof(left), "--%s%s%s", option->name, option->argument ? "=" : "",
			 option->argument ? option->argument : "");
		printf("  %-28s %s", left, option->help);
		if (option->initial && strcmp(option->initial, "0") != 0)
			printf(" (default: %s)", option->initial);
		putchar('\n');
	}
	puts("  --help                       this text\n"
	     "  --version                    version\n\n"
	     "Exit status: 0 fine, 1 failure, 64 usage, 75 another weftd is running on this node.");
}

static int set_choice(const struct option *option, void *field, const char *value)
{
	const char *word = option->argument;

	for (int index = 0; word; index++) {
		size_t length = strcspn(word, "|");

		if (strlen(value) == length && !strncmp(word, value, length)) {
			if (option->offset == AT(datapath.short_way))
				*(enum short_way *)field = (enum short_way)index;
			else
				*(bool *)field = index != 0;
			return 0;
		}
		word = word[length] ? word + length + 1 : NULL;
	}
	fprintf(stderr, "weftd: --%s=%s: must be one of %s\n", option->name, value, option->argument);
	return -EINVAL;
}

static int set_count(const struct option *option, void *field, const char *value)
{
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(value, &end, 10);
	if (value[0] < '0' || value[0] > '9' || *end || errno || number < option->minimum || number > option->maximum) {
		fprintf(stderr, "weftd: --%s=%s: must be a number from %lu to %lu\n", option->name, value, option->minimum,
			option->maximum);
		return -EINVAL;
	}
	*(uint32_t *)field = (uint32_t)number;
	return 0;
}

static int set(struct config *config, const struct option *option, const char *value)
{
	void *field = (char *)config + option->offset;

	switch (option->type) {
	case TEXT:
		*(const char **)field = value;
		return 0;
	case FLAG:
		*(bool *)field = true;
		return 0;
	case COUNT:
		return set_count(option, field, value);
	case CHOICE:
		return set_choice(option, field, value);
	}
	return -EINVAL;
}

static const struct option *find(const char *name, size_t length)
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (strlen(options[i].name) == length && !strncmp(options[i].name, name, length))
			return &options[i];
	return NULL;
}

/* One argument, with its value after "=" or in the next argument. Returns how many arguments it took, or -EINVAL. */
static int parse_one(struct config *config, char **argument)
{
	const char *text = argument[0], *equals = strchr(text, '=');
	const struct option *option;
	size_t length;

	if (strncmp(text, "--", 2) != 0 || !text[2]) {
		fprintf(stderr, "weftd: %s: not an option; weftd --help lists them\n", text);
		return -EINVAL;
	}
	length = equals ? (size_t)(equals - text - 2) : strlen(text + 2);
	option = find(text + 2, length);
	if (!option) {
		fprintf(stderr, "weftd: --%.*s: no such option; weftd --help lists them\n", (int)length, text + 2);
		return -EINVAL;
	}
	if (option->type == FLAG) {
		if (!equals)
			return set(config, option, NULL) < 0 ? -EINVAL : 1;
		fprintf(stderr, "weftd: --%s takes no value\n", option->name);
		return -EINVAL;
	}
	if (!equals && !argument[1]) {
		fprintf(stderr, "weftd: --%s needs a value: --%s=%s\n", option->name, option->name, option->argument);
		return -EINVAL;
	}
	if (set(config, option, equals ? equals + 1 : argument[1]) < 0)
		return -EINVAL;
	return equals ? 1 : 2;
}

static int check(const struct config *config)
{
	enum log_level level;

	if (!config->cleanup && !config->source) {
		fputs("weftd: --source is missing: --source=dir:PATH names a directory of Kubernetes manifests\n", stderr);
		return -EINVAL;
	}
	if (log_level_parse(config->log_level, &level) < 0) {
		fprintf(stderr, "weftd: --log-level=%s: must be error, warn, info or debug\n", config->log_level);
		return -EINVAL;
	}
	return 0;
}

int config_parse(struct config *ret, int argc, char **argv)
{
	static char host_name[HOST_NAME_MAX + 1];
	struct config config = { 0 };

	gethostname(host_name, sizeof(host_name) - 1);
	config.node_name = host_name;
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (options[i].initial)
			set(&config, &options[i], options[i].initial);
	for (int i = 1; i < argc;) {
		int taken;

		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			print_help();
			return 1;
		}
		if (!strcmp(argv[i], "--version")) {
			printf("weftd %s (map layout %d)\n", WEFT_VERSION, WEFT_ABI_VERSION);
			return 1;
		}
		taken = parse_one(&config, argv + i);
		if (taken < 0)
			return taken;
		i += taken;
	}
	if (check(&config) < 0)
		return -EINVAL;
	*ret = config;
	return 0;
}

/* The word at position `index` of "first|second|...". */
static void choice_word(const char *words, int index, char *text, size_t size)
{
	for (; index && strchr(words, '|'); index--)
		words = strchr(words, '|') + 1;
	snprintf(text, size, "%.*s", (int)strcspn(words, "|"), words);
}

int config_each(const struct config *config, int (*each)(const char *name, const char *value, void *context), void *context)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *option = &options[i];
		const void *field = (const char *)config + option->offset;
		char text[32] = "";
		const char *value = text;
		int result;

		if (option->type == TEXT)
			value = *(const char *const *)field ? *(const char *const *)field : "";
		else if (option->type == COUNT)
			snprintf(text, sizeof(text), "%u", *(const uint32_t *)field);
		else if (option->type == FLAG)
			snprintf(text, sizeof(text), "%s", *(const bool *)field ? "true" : "false");
		else if (option->offset == AT(datapath.short_way))
			choice_word(option->argument, (int)*(const enum short_way *)field, text, sizeof(text));
		else
			choice_word(option->argument, *(const bool *)field, text, sizeof(text));
		result = each(option->name, value, context);
		if (result)
			return result;
	}
	return 0;
}
