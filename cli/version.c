/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "context.h"

int run_version(struct context *context)
{
	cJSON *json = cJSON_CreateObject(), *client = cJSON_AddObjectToObject(json, "client"), *agent = NULL;
	int status = EXIT_FINE;

	cJSON_AddStringToObject(client, "version", WEFT_VERSION);
	/* without an agent there is still something to say */
	if (context->file || client_reachable(context))
		status = client_get(context, "/v1/version", &agent);
	if (agent)
		cJSON_AddItemToObject(json, "agent", agent);
	if (!status && (wants_json(context) || wants_yaml(context))) {
		print_structure(context, json);
	} else if (!status) {
		printf("meshctl %s\n", WEFT_VERSION);
		if (agent)
			printf("weftd   %s (map layout %.0f)\n", json_text(agent, "version"),
			       json_number(agent, "map_layout"));
		else
			printf("weftd   not reached at %s\n", context->socket);
	}
	cJSON_Delete(json);
	return status;
}
