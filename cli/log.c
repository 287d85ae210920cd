/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "context.h"

int run_log(struct context *context)
{
	const struct arguments *arguments = &context->arguments;
	cJSON *body = cJSON_CreateObject(), *answer = NULL;
	int status;

	if (arguments->word_count == 2) {
		cJSON_AddStringToObject(body, "level", arguments->words[1]);
		status = client_put(context, "/v1/log-level", body, &answer);
	} else {
		status = client_get(context, "/v1/log-level", &answer);
	}
	cJSON_Delete(body);
	if (status)
		return status;
	if (wants_json(context) || wants_yaml(context))
		print_structure(context, answer);
	else
		puts(json_text(answer, "level"));
	cJSON_Delete(answer);
	return EXIT_FINE;
}
