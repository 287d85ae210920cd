/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests: any bytes give documents, documents give objects or a reason, and the model takes and loses them all. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "source/source.h"

struct run {
	struct model *model;
	struct object *last;
};

static void report(const struct object *object, const char *text, void *context)
{
	(void)context;
	if (!object->name || !*text)
		abort();
}

static int decode(struct cJSON *document, int line, void *context)
{
	struct run *run = context;
	struct object *object;
	char reason[256] = "";
	int error = decode_object(document, &object, reason, report, NULL);

	if (line < 1 || (error && (object || !*reason)) || (object && (!object->name || !object->namespace)))
		abort();
	if (!object)
		return 0;
	object_free(run->last);
	run->last = object_hold(object);
	if (model_put(run->model, object) < 0)
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run run = { 0 };
	char reason[256] = "";
	int line = -1;

	if (model_new(&run.model) < 0)
		abort();
	if (manifest_each_document((const char *)data, size, decode, &run, &line, reason) < 0 && (!*reason || line < 0))
		abort();
	if (run.last && !model_delete(run.model, run.last->kind, run.last->namespace, run.last->name))
		abort();
	object_free(run.last);
	model_free(run.model);
	return 0;
}
