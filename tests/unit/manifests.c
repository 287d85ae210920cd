/* SPDX-License-Identifier: Apache-2.0 */
#include "manifests.h"

#include <cjson/cJSON.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "source/source.h"

static void report(const struct object *object, const char *text, void *context)
{
	model_report(context, object->kind, object->namespace, object->name, "source", text);
}

static int put(cJSON *document, int line, void *context)
{
	char reason[256] = "";
	struct object *object;

	if (decode_object(document, &object, reason, report, context) < 0 || !object || model_put(context, object) < 0) {
		fprintf(stderr, "manifest, line %d: %s\n", line, *reason ? reason : "of no use to Weft");
		abort();
	}
	return 0;
}

void manifests_put(struct model *model, const char *text)
{
	char reason[256] = "", *yaml;
	int line = 0;

	if (asprintf(&yaml, "# YAML, also when it begins with a brace\n%s", text) < 0)
		abort();
	if (manifest_each_document(yaml, strlen(yaml), put, model, &line, reason) < 0) {
		fprintf(stderr, "manifest, line %d: %s\n%s\n", line, reason, yaml);
		abort();
	}
	free(yaml);
}

void manifests_putf(struct model *model, const char *format, ...)
{
	va_list arguments;
	char *text;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		abort();
	va_end(arguments);
	manifests_put(model, text);
	free(text);
}
