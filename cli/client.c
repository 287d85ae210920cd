/* SPDX-License-Identifier: Apache-2.0 */
/* Where answers come from: weftd's socket, or a sysdump that has the same answers under the same paths. */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"

#define CONNECT_SECONDS 5L
#define ANSWER_MAX (512UL * 1024 * 1024)

struct answer {
	char *text; /* what came and was not handed over yet, not ended by NUL */
	size_t size, capacity;
	client_line_fn *each; /* NULL: all of it is kept */
	void *line_context;
	CURL *curl;
	bool stopped; /* by `each` */
};

/* --- from a file --- */

static char *read_file(const char *path, size_t *ret_size)
{
	FILE *file = strcmp(path, "-") ? fopen(path, "re") : stdin;
	size_t size = 0, capacity = 0, got;
	char *text = NULL;

	if (!file)
		return NULL;
	do {
		if (size == capacity) {
			char *grown = realloc(text, capacity = capacity ? capacity * 2 : 65536);

			if (!grown || capacity > ANSWER_MAX) {
				free(grown ? grown : text);
				text = NULL;
				errno = EFBIG;
				break;
			}
			text = grown;
		}
		got = fread(text + size, 1, capacity - size, file);
		size += got;
	} while (got);
	if (file != stdin)
		fclose(file);
	*ret_size = size;
	return text;
}

static int load_dump(struct context *context)
{
	size_t size = 0;
	char *text;

	if (context->dump)
		return EXIT_FINE;
	text = read_file(context->file, &size);
	if (!text)
		return fail(context, EXIT_BAD_INPUT, NULL, "%s: cannot be read: %s", context->file, strerror(errno));
	context->dump = cJSON_ParseWithLength(text, size);
	free(text);
	if (!cJSON_IsObject(context->dump) || !cJSON_HasObjectItem(context->dump, "/v1/status"))
		return fail(context, EXIT_BAD_INPUT, "meshctl sysdump writes one", "%s: is not a sysdump of meshctl",
			    context->file);
	return EXIT_FINE;
}

/* The dumped answer of a path, whatever its query. */
static int dump_get(struct context *context, const char *path, const cJSON **ret)
{
	char bare[256];
	int status = load_dump(context);

	if (status)
		return status;
	snprintf(bare, sizeof(bare), "%.*s", (int)strcspn(path, "?"), path);
	*ret = cJSON_GetObjectItemCaseSensitive(context->dump, bare);
	if (!*ret) /* which also leaves nothing to go through */
		return fail(context, EXIT_BAD_INPUT, "ask a running agent: leave out --file",
			    "%s: a sysdump cannot answer this",
			    context->file);
	return EXIT_FINE;
}

static int dump_lines(struct context *context, const char *path, client_line_fn *each, void *line_context)
{
	const cJSON *array = NULL, *item;
	int status = dump_get(context, path, &array), stop = 0;

	cJSON_ArrayForEach(item, array) {
		char *line = stop ? NULL : cJSON_PrintUnformatted(item);

		if (line)
			stop = each(line, strlen(line), line_context);
		free(line);
	}
	return status;
}

/* --- from the socket --- */

/* Hands over the lines that are complete. Returns 0, or non-zero when the receiver has enough. */
static int hand_over(struct answer *answer)
{
	size_t start = 0;
	char *end;

	while ((end = memchr(answer->text + start, '\n', answer->size - start))) {
		size_t length = (size_t)(end - answer->text) - start;

		if (length && answer->each(answer->text + start, length, answer->line_context)) {
			answer->stopped = true;
			return 1;
		}
		start += length + 1;
	}
	memmove(answer->text, answer->text + start, answer->size - start);
	answer->size -= start;
	return 0;
}

static size_t receive(char *data, size_t unit, size_t count, void *context)
{
	struct answer *answer = context;
	size_t size = unit * count;
	long code = 0;

	if (answer->size + size > answer->capacity) {
		size_t capacity = (answer->size + size) * 2;
		char *text = capacity > ANSWER_MAX ? NULL : realloc(answer->text, capacity);

		if (!text)
			return 0;
		answer->text = text;
		answer->capacity = capacity;
	}
	memcpy(answer->text + answer->size, data, size);
	answer->size += size;
	curl_easy_getinfo(answer->curl, CURLINFO_RESPONSE_CODE, &code);
	if (answer->each && code == 200 && hand_over(answer))
		return 0;
	return size;
}

static const char *unreachable_hint(long error)
{
	switch (error) {
	case EACCES:
	case EPERM:
		return "only root may ask weftd: try sudo";
	case ENOENT:
		return "is weftd running on this machine (systemctl status weftd)? --socket PATH if its --run-directory is "
		       "another";
	case ECONNREFUSED:
		return "weftd is not running any more: systemctl status weftd, journalctl -u weftd";
	default:
		return "systemctl status weftd, journalctl -u weftd";
	}
}

static int fail_transport(const struct context *context, CURL *curl, CURLcode code)
{
	long error = 0;

	curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &error);
	return fail(context, EXIT_UNREACHABLE, unreachable_hint(error), "cannot reach weftd at %s: %s", context->socket,
		    error ? strerror((int)error) : curl_easy_strerror(code));
}

/* What the agent said is wrong. 4xx: with the question; 5xx: with the agent. */
static int fail_answer(const struct context *context, long code, const struct answer *answer)
{
	cJSON *json = cJSON_ParseWithLength(answer->text ? answer->text : "", answer->size);
	const char *message = json_text(json, "error.message");
	int status = fail(context, code >= 500 ? EXIT_FAILED : EXIT_BAD_INPUT, NULL, "%s",
			  message ? message : "weftd answered with something that is not understood");

	cJSON_Delete(json);
	return status;
}

static int perform(struct context *context, const char *method, const char *path, const char *body,
		   struct answer *answer)
{
	CURL *curl = curl_easy_init();
	char url[8192];
	long code = 0;
	CURLcode result;
	int status = EXIT_FINE;

	if (!curl)
		return fail(context, EXIT_FAILED, NULL, "no memory for a connection");
	answer->curl = curl;
	if (snprintf(url, sizeof(url), "http://weftd%s", path) >= (int)sizeof(url)) {
		curl_easy_cleanup(curl);
		return fail(context, EXIT_BAD_USAGE, NULL, "these filters are too long for one request");
	}
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, context->socket);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
	if (body)
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
	result = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
	if (result != CURLE_OK && !answer->stopped)
		status = fail_transport(context, curl, result);
	else if (code != 200)
		status = fail_answer(context, code, answer);
	curl_easy_cleanup(curl);
	return status;
}

static int ask(struct context *context, const char *method, const char *path, const char *body, cJSON **ret)
{
	struct answer answer = { 0 };
	int status = perform(context, method, path, body, &answer);

	if (!status) {
		*ret = cJSON_ParseWithLength(answer.text ? answer.text : "", answer.size);
		if (!*ret)
			status = fail(context, EXIT_FAILED, "is meshctl of another version than weftd? meshctl version",
				      "weftd's answer is not JSON");
	}
	free(answer.text);
	return status;
}

int client_get(struct context *context, const char *path, cJSON **ret)
{
	const cJSON *dumped;
	int status;

	if (!context->file)
		return ask(context, "GET", path, NULL, ret);
	status = dump_get(context, path, &dumped);
	if (!status)
		*ret = cJSON_Duplicate(dumped, true);
	return status;
}

int client_put(struct context *context, const char *path, const cJSON *body, cJSON **ret)
{
	char *text;
	int status;

	if (context->file)
		return fail(context, EXIT_BAD_USAGE, "leave out --file", "a sysdump cannot be changed");
	text = cJSON_PrintUnformatted(body);
	status = ask(context, "PUT", path, text ? text : "", ret);
	free(text);
	return status;
}

int client_lines(struct context *context, const char *path, client_line_fn *each, void *line_context)
{
	struct answer answer = { .each = each, .line_context = line_context };
	int status;

	if (context->file)
		return dump_lines(context, path, each, line_context);
	status = perform(context, "GET", path, NULL, &answer);
	free(answer.text);
	return status;
}

bool client_reachable(struct context *context)
{
	CURL *curl = curl_easy_init();
	bool reachable;

	if (!curl)
		return false;
	curl_easy_setopt(curl, CURLOPT_URL, "http://weftd/v1/version");
	curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, context->socket);
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
	curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, "GET");
	reachable = curl_easy_perform(curl) == CURLE_OK;
	curl_easy_cleanup(curl);
	return reachable;
}

char *client_escape(const char *text)
{
	char *escaped = curl_easy_escape(NULL, text, 0), *copy = escaped ? strdup(escaped) : NULL;

	curl_free(escaped);
	return copy;
}

void client_close(struct context *context)
{
	cJSON_Delete(context->dump);
	context->dump = NULL;
}
