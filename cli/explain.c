/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"

/* "default/web", with --namespace for a bare name; addresses and svc/... stay as they are. */
static char *qualify(const struct context *context, const char *who)
{
	char *text = NULL;

	if (context->namespace && !strpbrk(who, "/.:")) {
		if (asprintf(&text, "%s/%s", context->namespace, who) < 0)
			return NULL;
		return text;
	}
	return strdup(who);
}

static char *request_path(const struct context *context)
{
	const struct arguments *arguments = &context->arguments;
	char *from = qualify(context, arguments_text(arguments, "from", "")),
		*to = qualify(context, arguments_text(arguments, "to", ""));
	char *from_escaped = from ? client_escape(from) : NULL, *to_escaped = to ? client_escape(to) : NULL,
		*path = NULL;
	char *protocol = client_escape(arguments_text(arguments, "protocol", "tcp"));
	char *port = client_escape(arguments_text(arguments, "port", "0"));

	if (!from_escaped || !to_escaped || !protocol || !port ||
	    asprintf(&path, "/v1/explain?from=%s&to=%s&port=%s&protocol=%s", from_escaped, to_escaped, port,
		     protocol) < 0)
		path = NULL;
	free(from);
	free(to);
	free(from_escaped);
	free(to_escaped);
	free(protocol);
	free(port);
	return path;
}

static void print_end(const char *name, const cJSON *end)
{
	const char *pod = json_text(end, "pod"), *identity = json_text(end, "identity.name");

	if (pod)
		printf("%-9s %s/%s (%s)", name, json_text(end, "namespace"), pod, json_text(end, "address"));
	else
		printf("%-9s %s", name, json_text(end, "address"));
	if (identity)
		printf(", identity %s (%.0f)", identity, json_number(end, "identity.id"));
	puts(json_true(end, "local") ? ", on this node" : "");
}

static void print_service(const struct context *context, const cJSON *service)
{
	const cJSON *backend;

	printf("Service   %s/%s at %s", json_text(service, "namespace"), json_text(service, "name"),
	       json_text(service, "asked"));
	if (json_text(service, "reason"))
		printf(": %s%s%s", tint(context, TINT_BAD), json_text(service, "reason_text"),
		       tint(context, TINT_NONE));
	putchar('\n');
	cJSON_ArrayForEach(backend, json_at(service, "backends"))
		printf("  backend %s\n", json_text(backend, "address"));
}

static void print_verdict(const struct context *context, bool allowed)
{
	printf("%s%s%s", tint(context, allowed ? TINT_GOOD : TINT_BAD), allowed ? "allowed" : "denied",
	       tint(context, TINT_NONE));
}

/* What the policy that only wants a record would have done. */
static const char *audit_text(const cJSON *side)
{
	if (json_true(side, "would_deny"))
		return "would be denied";
	return json_true(side, "would_allow") ? "would be allowed" : "recorded";
}

static void print_side(const struct context *context, const cJSON *side)
{
	bool allowed = !json_text(side, "reason");
	const char *rule = json_text(side, "rule.text"), *audit = json_text(side, "audit_rule.text");

	printf("%-9s ", json_text(side, "direction"));
	if (!json_true(side, "decided")) {
		puts("not decided here: that pod is on another node; ask meshctl there");
		return;
	}
	print_verdict(context, allowed);
	if (!allowed)
		printf(" (%s: %s)", json_text(side, "reason"), json_text(side, "reason_text"));
	puts("");
	if (rule)
		printf("  decided by %s\n", rule);
	if (audit)
		printf("  %s by %s\n", audit_text(side), audit);
}

static void print_explanation(const struct context *context, const cJSON *answer)
{
	bool allowed = !json_text(answer, "reason");
	const cJSON *side;

	print_verdict(context, allowed);
	printf(": %s port %.0f\n\n", json_text(answer, "protocol"), json_number(answer, "port"));
	print_end("From", json_at(answer, "from"));
	print_end("To", json_at(answer, "to"));
	if (json_at(answer, "service"))
		print_service(context, json_at(answer, "service"));
	cJSON_ArrayForEach(side, json_at(answer, "sides"))
		print_side(context, side);
}

int run_explain(struct context *context)
{
	cJSON *answer = NULL;
	char *path;
	int status;

	if (!arguments_have(&context->arguments, "from") || !arguments_have(&context->arguments, "to"))
		return fail(context, EXIT_BAD_USAGE,
			    "meshctl explain --from default/web --to svc/default/api --port 80",
			    "explain needs --from and --to");
	path = request_path(context);
	if (!path)
		return fail(context, EXIT_FAILED, NULL, "no memory for the request");
	status = client_get(context, path, &answer);
	free(path);
	if (status)
		return status;
	if (wants_json(context) || wants_yaml(context))
		print_structure(context, answer);
	else
		print_explanation(context, answer);
	cJSON_Delete(answer);
	return EXIT_FINE;
}
