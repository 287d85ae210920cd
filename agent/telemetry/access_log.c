/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/access_log.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct access_log {
	FILE *file;
	char *path;
	uint64_t errors;
};

static int open_file(const char *path, FILE **ret)
{
	int fd = strcmp(path, "-") ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640) :
				     fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0);
	FILE *file;

	if (fd < 0)
		return -errno;
	file = fdopen(fd, "a");
	if (!file) {
		close(fd);
		return -ENOMEM;
	}
	*ret = file;
	return 0;
}

int access_log_open(struct access_log **ret, const char *path)
{
	struct access_log *log = calloc(1, sizeof(*log));
	int error;

	if (!log)
		return -ENOMEM;
	log->path = strdup(path);
	error = log->path ? open_file(path, &log->file) : -ENOMEM;
	if (error) {
		access_log_close(log);
		return error;
	}
	*ret = log;
	return 0;
}

void access_log_close(struct access_log *log)
{
	if (!log)
		return;
	if (log->file)
		fclose(log->file);
	free(log->path);
	free(log);
}

int access_log_reopen(struct access_log *log)
{
	FILE *file;
	int error = open_file(log->path, &file);

	if (error)
		return error;
	if (fclose(log->file) != 0)
		log->errors++;
	log->file = file;
	return 0;
}

void access_log_write(struct access_log *log, const struct flow *flow)
{
	cJSON *json = flow_to_json(flow);
	char *text = json ? cJSON_PrintUnformatted(json) : NULL;

	if (!text || fprintf(log->file, "%s\n", text) < 0)
		log->errors++;
	cJSON_free(text);
	cJSON_Delete(json);
}

void access_log_flush(struct access_log *log)
{
	if (fflush(log->file) != 0)
		log->errors++;
	clearerr(log->file);
}

uint64_t access_log_errors(const struct access_log *log) { return log ? log->errors : 0; }
