/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "context.h"

static const struct mark {
	const char *result, *mark;
	enum tint tint;
} marks[] = {
	{ "ok", "√", TINT_GOOD },
	{ "warning", "‼", TINT_WARN },
	{ "failure", "×", TINT_BAD },
};
#define MARK_COUNT (sizeof(marks) / sizeof(*marks))

static size_t mark_of(const cJSON *check)
{
	const char *result = json_text(check, "result");
	size_t i = 0;

	while (i + 1 < MARK_COUNT && (!result || strcmp(marks[i].result, result) != 0))
		i++;
	return i;
}

static void print_check(const struct context *context, const cJSON *check)
{
	const struct mark *mark = &marks[mark_of(check)];
	const char *detail = json_text(check, "detail"), *hint = json_text(check, "hint");

	printf("%s%s%s %s%s%s\n", tint(context, mark->tint), mark->mark, tint(context, TINT_NONE),
	       json_text(check, "name"),
	       detail ? ": " : "", detail ? detail : "");
	if (hint)
		printf("    %s\n", hint);
}

static void print_checks(const struct context *context, const cJSON *checks)
{
	const char *category = "";
	const cJSON *check;

	cJSON_ArrayForEach(check, checks) {
		const char *next = json_text(check, "category");

		if (next && strcmp(category, next) != 0) {
			printf("%s%s\n", *category ? "\n" : "", next);
			category = next;
		}
		print_check(context, check);
	}
}

static void count_checks(const cJSON *checks, int counts[MARK_COUNT])
{
	const cJSON *check;

	cJSON_ArrayForEach(check, checks)
		counts[mark_of(check)]++;
}

static void append_all(cJSON *checks, cJSON *more)
{
	while (more && more->child)
		cJSON_AddItemToArray(checks, cJSON_DetachItemViaPointer(more, more->child));
	cJSON_Delete(more);
}

/*
 * The machine, as the agent uses it where there is one, then what the agent finds. That it cannot be reached is a
 * failure of its own, after which the machine's part is what helps.
 */
static int collect(struct context *context, cJSON *checks)
{
	bool pre = arguments_have(&context->arguments, "pre");
	cJSON *config = NULL, *answer = NULL;
	int status = pre ? EXIT_FINE : client_get(context, "/v1/config", &config);

	if (!context->file) /* a sysdump is about another machine */
		append_all(checks, check_kernel(json_text(config, "bpffs")));
	if (!pre && !status)
		status = client_get(context, "/v1/check", &answer);
	append_all(checks, answer);
	cJSON_Delete(config);
	return status;
}

int run_check(struct context *context)
{
	cJSON *checks = cJSON_CreateArray();
	int counts[MARK_COUNT] = { 0 };
	int status = collect(context, checks);

	if (status && (wants_json(context) || wants_yaml(context))) { /* the error was printed */
		cJSON_Delete(checks);
		return status;
	}
	count_checks(checks, counts);
	if (wants_json(context) || wants_yaml(context)) {
		print_structure(context, checks);
	} else {
		print_checks(context, checks);
		printf("\n%d fine, %d warnings, %d failures\n", counts[0], counts[1], counts[2]);
	}
	cJSON_Delete(checks);
	return status ? status : counts[2] ? EXIT_CHECK_PROBLEMS : EXIT_FINE;
}
