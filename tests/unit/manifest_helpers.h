/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_TESTS_MANIFEST_HELPERS_H
#define WEFT_TESTS_MANIFEST_HELPERS_H
/* For tests that make objects from manifests: one document of YAML to an object of the model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "source/source.h"

struct decoded {
	int result;
	struct object *object; /* owned */
	char reason[256];
	char reports[2048]; /* a line each */
};

static inline void decoded_report(const struct object *object, const char *text, void *context)
{
	struct decoded *decoded = context;

	(void)object;
	strncat(decoded->reports, text, sizeof(decoded->reports) - strlen(decoded->reports) - 2);
	strcat(decoded->reports, "\n");
}

static inline int decoded_document(struct cJSON *document, int line, void *context)
{
	struct decoded *decoded = context;

	(void)line;
	object_free(decoded->object);
	decoded->result = decode_object(document, &decoded->object, decoded->reason, decoded_report, decoded);
	return 0;
}

/* The last document counts. */
static inline struct decoded decode_text(const char *text)
{
	struct decoded decoded = { .result = 1 };
	char reason[256] = "";
	int line = 0, error = manifest_each_document(text, strlen(text), decoded_document, &decoded, &line, reason);

	if (error)
		fail_msg("line %d: %s\n%s", line, reason, text);
	return decoded;
}

/* An object that must be fine. */
static inline void *decode_fine(const char *text)
{
	struct decoded decoded = decode_text(text);

	if (decoded.result || !decoded.object)
		fail_msg("%d %s\n%s", decoded.result, decoded.reason, text);
	return decoded.object;
}

#endif
