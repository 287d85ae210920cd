/* SPDX-License-Identifier: Apache-2.0 */
/* A request: "METHOD URI\nBODY". What is accepted must be within its bounds, what is refused must say why. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/request.h"

static void check(const char *method, const char *uri, const char *body, size_t size)
{
	struct api_error error = { 0 };
	struct api_request request;

	if (api_request_parse(method, uri, body, size, &request, &error) < 0) {
		if (error.status < 400 || error.status > 599 || !error.code || !*error.message)
			abort();
		return;
	}
	if (request.route >= API_ROUTE_COUNT || (request.route == API_EXPLAIN && (!request.from || !request.to)))
		abort();
	api_request_clear(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *uri, *body;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	uri = strchr(text, ' ');
	body = uri ? strchr(uri, '\n') : NULL;
	if (body) {
		*uri++ = '\0';
		*body++ = '\0';
		check(text, uri, body, size - (size_t)(body - text));
	}
	free(text);
	return 0;
}
