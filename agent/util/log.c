/* SPDX-License-Identifier: Apache-2.0 */
#include "util/log.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

static enum log_level threshold = LOG_INFO;
static int as_json;
static const char *const names[] = { "error", "warn", "info", "debug" };

void log_set_level(enum log_level level) { threshold = level; }
enum log_level log_get_level(void) { return threshold; }
void log_set_json(int json) { as_json = json; }
const char *log_level_name(enum log_level level) { return names[level]; }

int log_level_parse(const char *name, enum log_level *ret)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcasecmp(name, names[i])) {
			*ret = (enum log_level)i;
			return 0;
		}
	return -EINVAL;
}

static void write_json(const char *time, enum log_level level, const char *text)
{
	cJSON *line = cJSON_CreateObject();
	char *printed;

	cJSON_AddStringToObject(line, "time", time);
	cJSON_AddStringToObject(line, "level", names[level]);
	cJSON_AddStringToObject(line, "message", text);
	printed = cJSON_PrintUnformatted(line);
	fprintf(stderr, "%s\n", printed ? printed : text);
	free(printed);
	cJSON_Delete(line);
}

void log_write(enum log_level level, const char *format, ...)
{
	struct timespec now;
	struct tm utc;
	char date[32], stamp[48], text[2048];
	va_list arguments;

	if (level > threshold)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", gmtime_r(&now.tv_sec, &utc));
	snprintf(stamp, sizeof(stamp), "%s.%03ldZ", date, now.tv_nsec / 1000000);
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (as_json)
		write_json(stamp, level, text);
	else
		fprintf(stderr, "%s %-5s %s\n", stamp, names[level], text);
}
