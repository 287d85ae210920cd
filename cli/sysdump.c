/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "context.h"

static void add_machine(cJSON *dump)
{
	cJSON *machine = cJSON_AddObjectToObject(dump, "machine");
	const cJSON *config = cJSON_GetObjectItem(dump, "/v1/config");
	struct utsname name;

	uname(&name);
	cJSON_AddStringToObject(machine, "kernel", name.release);
	cJSON_AddStringToObject(machine, "build", name.version);
	cJSON_AddStringToObject(machine, "architecture", name.machine);
	cJSON_AddItemToObject(machine, "checks", check_kernel(cJSON_GetStringValue(cJSON_GetObjectItem(config,
		"bpffs"))));
	cJSON_AddStringToObject(dump, "meshctl", WEFT_VERSION);
}

/* Names of workloads and addresses are nobody else's business: mode 0600. */
static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
	int error = 0;

	if (!file) {
		error = -errno;
		if (fd >= 0)
			close(fd);
		return error;
	}
	if (fprintf(file, "%s\n", text) < 0)
		error = -EIO;
	if (fclose(file) != 0 && !error)
		error = -errno;
	return error;
}

static int write_dump(const struct context *context, const char *path, const cJSON *dump)
{
	char *text = cJSON_Print(dump);
	int error = text ? 0 : -ENOMEM;

	if (text && !strcmp(path, "-"))
		puts(text);
	else if (text)
		error = write_file(path, text);
	free(text);
	if (error)
		return fail(context, EXIT_FAILED, "name another file: meshctl sysdump FILE.json",
			    "%s: cannot be written: %s", path,
			    strerror(-error));
	if (strcmp(path, "-") != 0)
		printf("%s\nRead it with: meshctl --file %s status\n", path, path);
	return EXIT_FINE;
}

int run_sysdump(struct context *context)
{
	char name[64];
	const char *path = context->arguments.word_count ? context->arguments.words[0] : name;
	time_t now = time(NULL);
	cJSON *dump = NULL;
	struct tm utc;
	int status;

	if (context->file)
		return fail(context, EXIT_BAD_USAGE, "leave out --file", "a sysdump comes from a running agent");
	strftime(name, sizeof(name), "meshctl-sysdump-%Y%m%dT%H%M%SZ.json", gmtime_r(&now, &utc));
	status = client_get(context, "/v1/sysdump", &dump);
	if (status)
		return status;
	add_machine(dump);
	status = write_dump(context, path, dump);
	cJSON_Delete(dump);
	return status;
}
