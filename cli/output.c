/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "context.h"

#define CELL_MAX 1024

bool wants_json(const struct context *context) { return !strcmp(context->output, "json"); }
bool wants_yaml(const struct context *context) { return !strcmp(context->output, "yaml"); }

int fail(const struct context *context, enum exit_status status, const char *hint, const char *format, ...)
{
	char message[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	if (wants_json(context)) {
		cJSON *json = cJSON_CreateObject(), *error = cJSON_AddObjectToObject(json, "error");

		cJSON_AddStringToObject(error, "message", message);
		if (hint)
			cJSON_AddStringToObject(error, "hint", hint);
		cJSON_AddNumberToObject(error, "exit_status", status);
		print_structure(context, json);
		cJSON_Delete(json);
		return status;
	}
	fflush(stdout);
	fprintf(stderr, "meshctl: %s\n", message);
	if (hint)
		fprintf(stderr, "  %s\n", hint);
	return status;
}

/* --- YAML --- */

static int yaml_value(yaml_emitter_t *emitter, const cJSON *json);

static int yaml_scalar(yaml_emitter_t *emitter, const char *text, bool quoted)
{
	yaml_event_t event;

	return yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text, (int)strlen(text), !quoted,
					    quoted,
					    quoted ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_PLAIN_SCALAR_STYLE) &&
	       yaml_emitter_emit(emitter, &event);
}

static int yaml_children(yaml_emitter_t *emitter, const cJSON *json)
{
	for (const cJSON *child = json->child; child; child = child->next)
		if ((cJSON_IsObject(json) && !yaml_scalar(emitter, child->string, false)) ||
		    !yaml_value(emitter, child))
			return 0;
	return 1;
}

static int yaml_object(yaml_emitter_t *emitter, const cJSON *json)
{
	yaml_event_t event;

	return yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE) &&
	       yaml_emitter_emit(emitter, &event) && yaml_children(emitter, json) &&
	       yaml_mapping_end_event_initialize(&event) &&
	       yaml_emitter_emit(emitter, &event);
}

static int yaml_array(yaml_emitter_t *emitter, const cJSON *json)
{
	yaml_event_t event;

	return yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE) &&
	       yaml_emitter_emit(emitter, &event) && yaml_children(emitter, json) &&
	       yaml_sequence_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event);
}

static int yaml_value(yaml_emitter_t *emitter, const cJSON *json)
{
	char *text;
	int result;

	if (cJSON_IsObject(json))
		return yaml_object(emitter, json);
	if (cJSON_IsArray(json))
		return yaml_array(emitter, json);
	if (cJSON_IsString(json))
		return yaml_scalar(emitter, json->valuestring, true);
	text = cJSON_PrintUnformatted(json); /* numbers, true, false and null are written alike in both */
	result = text && yaml_scalar(emitter, text, false);
	free(text);
	return result;
}

static void print_yaml(const cJSON *json)
{
	yaml_emitter_t emitter;
	yaml_event_t event;

	if (!yaml_emitter_initialize(&emitter))
		return;
	yaml_emitter_set_output_file(&emitter, stdout);
	yaml_emitter_set_unicode(&emitter, 1);
	yaml_emitter_set_width(&emitter, -1);
	if (yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) && yaml_emitter_emit(&emitter, &event) &&
	    yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) && yaml_emitter_emit(&emitter, &event) &&
	    yaml_value(&emitter, json) && yaml_document_end_event_initialize(&event, 1) &&
	    yaml_emitter_emit(&emitter, &event) && yaml_stream_end_event_initialize(&event))
		yaml_emitter_emit(&emitter, &event);
	yaml_emitter_delete(&emitter);
}

void print_structure(const struct context *context, const cJSON *json)
{
	char *text;

	if (wants_yaml(context)) {
		print_yaml(json);
		return;
	}
	text = cJSON_Print(json);
	puts(text ? text : "null");
	free(text);
}

/* --- paths --- */

const cJSON *json_at(const cJSON *json, const char *path)
{
	char name[64];

	while (json && path && *path) {
		size_t length = strcspn(path, ".");

		snprintf(name, sizeof(name), "%.*s", (int)length, path);
		json = cJSON_GetObjectItemCaseSensitive(json, name);
		path += length + (path[length] == '.');
	}
	return json;
}

const char *json_text(const cJSON *json, const char *path) { return cJSON_GetStringValue(json_at(json, path)); }

double json_number(const cJSON *json, const char *path)
{
	double number = cJSON_GetNumberValue(json_at(json, path));

	return isnan(number) ? 0 : number;
}

bool json_true(const cJSON *json, const char *path) { return cJSON_IsTrue(json_at(json, path)); }

/* --- tables --- */

char *format_bytes(double bytes, char text[32])
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB" };
	size_t unit = 0;

	while (bytes >= 999.5 && unit + 1 < sizeof(units) / sizeof(*units)) {
		bytes /= 1000;
		unit++;
	}
	snprintf(text, 32, unit && bytes < 99.95 ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
	return text;
}

char *format_seconds(double seconds, char text[32])
{
	unsigned long long whole = (unsigned long long)seconds;

	if (whole < 60)
		snprintf(text, 32, "%llus", whole);
	else if (whole < 3600)
		snprintf(text, 32, "%llum%llus", whole / 60, whole % 60);
	else if (whole < 86400)
		snprintf(text, 32, "%lluh%llum", whole / 3600, whole % 3600 / 60);
	else
		snprintf(text, 32, "%llud%lluh", whole / 86400, whole % 86400 / 3600);
	return text;
}

static void format_number(enum column_kind kind, double number, char text[CELL_MAX])
{
	char amount[32];

	switch (kind) {
	case COLUMN_BYTES:
		snprintf(text, CELL_MAX, "%s", format_bytes(number, amount));
		break;
	case COLUMN_SECONDS:
		snprintf(text, CELL_MAX, "%s", format_seconds(number, amount));
		break;
	case COLUMN_RATE:
		snprintf(text, CELL_MAX, "%.1f/s", number);
		break;
	case COLUMN_BYTE_RATE:
		snprintf(text, CELL_MAX, "%s/s", format_bytes(number, amount));
		break;
	default:
		snprintf(text, CELL_MAX, "%.15g", number);
	}
}

static void format_value(enum column_kind kind, const cJSON *value, char text[CELL_MAX]);

static void format_list(enum column_kind kind, const cJSON *array, char text[CELL_MAX])
{
	size_t used = 0;
	const cJSON *item;

	text[0] = '\0';
	cJSON_ArrayForEach(item, array) {
		char cell[CELL_MAX];
		int length;

		format_value(kind, item, cell);
		length = snprintf(text + used, CELL_MAX - used, "%s%s", used ? "," : "", cell);
		if (length < 0 || (size_t)length >= CELL_MAX - used)
			return;
		used += (size_t)length;
	}
}

static void format_value(enum column_kind kind, const cJSON *value, char text[CELL_MAX])
{
	if (cJSON_IsString(value))
		snprintf(text, CELL_MAX, "%s", value->valuestring);
	else if (cJSON_IsNumber(value))
		format_number(kind, value->valuedouble, text);
	else if (cJSON_IsArray(value))
		format_list(kind, value, text);
	else if (cJSON_IsBool(value))
		snprintf(text, CELL_MAX, "%s", cJSON_IsTrue(value) ? "yes" : "no");
	else
		text[0] = '\0';
}

char *format_cell(const struct column *column, const cJSON *row, char text[CELL_MAX])
{
	const char *path = column->path;
	char one[128];

	text[0] = '\0';
	while (*path && !*text) {
		size_t length = strcspn(path, "|");

		snprintf(one, sizeof(one), "%.*s", (int)length, path);
		format_value(column->kind, json_at(row, one), text);
		path += length + (path[length] == '|');
	}
	if (!*text)
		strcpy(text, "-");
	return text;
}

#define COLUMNS_MAX 24

static bool is_shown(const struct context *context, const struct column *column)
{
	return !column->wide || !strcmp(context->output, "wide");
}

static void print_cell(const struct column *column, const char *text, int width, bool last)
{
	if (column->kind != COLUMN_TEXT)
		printf("%*s%s", width, text, last ? "\n" : "  ");
	else
		printf("%-*s%s", last ? 0 : width, text, last ? "\n" : "  ");
}

static int last_column(const struct context *context, const struct column *columns)
{
	int last = 0;

	for (int i = 0; columns[i].title && i < COLUMNS_MAX; i++)
		if (is_shown(context, &columns[i]))
			last = i;
	return last;
}

void print_table(const struct context *context, const struct column *columns, const cJSON *rows)
{
	int widths[COLUMNS_MAX] = { 0 }, last = last_column(context, columns);
	char text[CELL_MAX];
	const cJSON *row;

	for (int i = 0; i <= last; i++)
		widths[i] = (int)strlen(columns[i].title);
	cJSON_ArrayForEach(row, rows)
		for (int i = 0; i <= last; i++) {
			int width = (int)strlen(format_cell(&columns[i], row, text));

			widths[i] = width > widths[i] ? width : widths[i];
		}
	for (int i = 0; i <= last; i++)
		if (is_shown(context, &columns[i]))
			print_cell(&columns[i], columns[i].title, widths[i], i == last);
	cJSON_ArrayForEach(row, rows)
		for (int i = 0; i <= last; i++)
			if (is_shown(context, &columns[i]))
				print_cell(&columns[i], format_cell(&columns[i], row, text), widths[i], i == last);
}

const char *tint(const struct context *context, enum tint tint)
{
	static const char *const sequences[] = { "\033[0m", "\033[32m", "\033[33m", "\033[31m", "\033[2m" };

	return context->color ? sequences[tint] : "";
}
