/* SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "source/source.h"
#include "util/hash.h"

/* A manifest is untrusted: these bound the stack and what a few bytes of aliases can grow to. */
#define DEPTH_MAX 64
#define ALIASED_NODES_MAX 100000

struct anchor {
	struct anchor *next;
	cJSON *value; /* a part of the document */
	char name[];
};

struct reader {
	const char *text; /* that libyaml was given */
	yaml_parser_t yaml;
	yaml_event_t event;	/* the one being looked at */
	struct anchor *anchors; /* of the current document */
	size_t aliased_nodes;
	int line; /* where `reason` applies */
	char *reason;
};

static int __attribute__((format(printf, 3, 4))) fail(struct reader *reader, int line, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reader->reason, 256, format, arguments);
	va_end(arguments);
	reader->line = line;
	return -EINVAL;
}

static int no_memory(struct reader *reader)
{
	fail(reader, 0, "out of memory");
	return -ENOMEM;
}

static int lines_in(const char *from, const char *to)
{
	int lines = 0;

	for (; from < to; from++)
		lines += *from == '\n';
	return lines;
}

/* --- what is wrong with a tree --- */

static uint64_t key_hash(const void *entry) { return hash_text(HASH_START, ((const cJSON *)entry)->string); }
static bool key_equal(const void *a, const void *b)
{
	return !strcmp(((const cJSON *)a)->string, ((const cJSON *)b)->string);
}

/* cJSON takes duplicate keys and deep nesting without a word. Returns -EINVAL with the reason, or 0. */
static int check_tree(struct reader *reader, const cJSON *node, int line, int depth)
{
	struct hash_set keys = { .hash = key_hash, .equal = key_equal };
	void *duplicate = NULL;
	int error = 0;

	if (depth > DEPTH_MAX)
		return fail(reader, line, "nested deeper than %d levels", DEPTH_MAX);
	for (cJSON *child = node->child; child && !error; child = child->next) {
		if (cJSON_IsObject(node) && hash_set_put(&keys, child, &duplicate) < 0)
			error = no_memory(reader);
		else if (duplicate)
			error = fail(reader, line, "the key \"%.100s\" is given twice", child->string);
		else
			error = check_tree(reader, child, line, depth + 1);
	}
	hash_set_clear(&keys);
	return error;
}

/* --- scalars: the core schema of YAML 1.2, section 10.3 --- */

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(text, *words))
			return true;
	return false;
}

static bool is_null(const char *text)
{
	return is_one_of(text, (const char *const[]){ "", "~", "null", "Null", "NULL", NULL });
}
static bool is_true(const char *text) { return is_one_of(text, (const char *const[]){ "true", "True", "TRUE", NULL }); }
static bool is_false(const char *text)
{
	return is_one_of(text, (const char *const[]){ "false", "False", "FALSE", NULL });
}

static size_t digits(const char *text) { return strspn(text, "0123456789"); }

static bool is_decimal(const char *text)
{
	size_t whole, fraction = 0;

	text += *text == '-' || *text == '+';
	whole = digits(text);
	text += whole;
	if (*text == '.') {
		fraction = digits(text + 1);
		text += 1 + fraction;
	}
	if (!whole && !fraction)
		return false;
	if (*text == 'e' || *text == 'E') {
		text++;
		text += *text == '-' || *text == '+';
		if (!digits(text))
			return false;
		text += digits(text);
	}
	return !*text;
}

static bool number_of(const char *text, double *ret)
{
	static const char hex[] = "0123456789abcdefABCDEF";
	const char *unsigned_text = text + (*text == '-' || *text == '+');

	if (is_decimal(text))
		*ret = strtod(text, NULL);
	else if (!strncmp(text, "0x", 2) && text[2] && !text[2 + strspn(text + 2, hex)])
		*ret = (double)strtoull(text + 2, NULL, 16);
	else if (!strncmp(text, "0o", 2) && text[2] && !text[2 + strspn(text + 2, "01234567")])
		*ret = (double)strtoull(text + 2, NULL, 8);
	else if (is_one_of(unsigned_text, (const char *const[]){ ".inf", ".Inf", ".INF", NULL }))
		*ret = *text == '-' ? -INFINITY : INFINITY;
	else if (is_one_of(text, (const char *const[]){ ".nan", ".NaN", ".NAN", NULL }))
		*ret = NAN;
	else
		return false;
	return true;
}

static cJSON *plain_scalar(const char *text)
{
	double number;

	if (is_null(text))
		return cJSON_CreateNull();
	if (is_true(text) || is_false(text))
		return cJSON_CreateBool(is_true(text));
	if (number_of(text, &number))
		return cJSON_CreateNumber(number);
	return cJSON_CreateString(text);
}

static int read_scalar(struct reader *reader, cJSON **ret)
{
	const char *text = (const char *)reader->event.data.scalar.value;
	const char *tag = (const char *)reader->event.data.scalar.tag;
	int line = (int)reader->event.start_mark.line + 1;

	if (strlen(text) != reader->event.data.scalar.length)
		return fail(reader, line, "a NUL character in a text");
	if (tag && !strcmp(tag, YAML_STR_TAG))
		*ret = cJSON_CreateString(text);
	else if (tag && !is_one_of(tag, (const char *const[]){ "!", YAML_INT_TAG, YAML_FLOAT_TAG, YAML_BOOL_TAG,
							       YAML_NULL_TAG, NULL }))
		return fail(reader, line, "the tag \"%.100s\" is not supported", tag);
	else if (tag && strcmp(tag, "!") != 0)
		*ret = plain_scalar(text);
	else
		*ret = reader->event.data.scalar.plain_implicit ? plain_scalar(text) : cJSON_CreateString(text);
	return *ret ? 0 : no_memory(reader);
}

/* --- YAML: events to a tree --- */

static int next_event(struct reader *reader)
{
	int line;

	yaml_event_delete(&reader->event);
	if (yaml_parser_parse(&reader->yaml, &reader->event))
		return 0;
	if (reader->yaml.error == YAML_MEMORY_ERROR)
		return no_memory(reader);
	/* bytes that are not UTF-8 are met when a block is read ahead: they have an offset and no mark */
	line = reader->yaml.error == YAML_READER_ERROR
		       ? lines_in(reader->text, reader->text + reader->yaml.problem_offset)
		       : (int)reader->yaml.problem_mark.line;
	return fail(reader, line + 1, "%s%s%s", reader->yaml.problem ? reader->yaml.problem : "not YAML",
		    reader->yaml.context ? " " : "", reader->yaml.context ? reader->yaml.context : "");
}

static const char *event_anchor(const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return (const char *)event->data.scalar.anchor;
	case YAML_SEQUENCE_START_EVENT:
		return (const char *)event->data.sequence_start.anchor;
	case YAML_MAPPING_START_EVENT:
		return (const char *)event->data.mapping_start.anchor;
	default:
		return NULL;
	}
}

static int remember_anchor(struct reader *reader, const char *name, struct anchor **ret)
{
	size_t size = strlen(name) + 1;
	struct anchor *anchor = malloc(sizeof(*anchor) + size);

	if (!anchor)
		return no_memory(reader);
	memcpy(anchor->name, name, size);
	anchor->value = NULL;
	anchor->next = reader->anchors; /* a later one of the same name hides this */
	reader->anchors = anchor;
	*ret = anchor;
	return 0;
}

static void forget_anchors(struct reader *reader)
{
	while (reader->anchors) {
		struct anchor *next = reader->anchors->next;

		free(reader->anchors);
		reader->anchors = next;
	}
	reader->aliased_nodes = 0;
}

/* Adds the values of the tree to *nodes and returns how many levels it has. */
static int measure(const cJSON *node, size_t *nodes)
{
	int height = 0;

	++*nodes;
	for (const cJSON *child = node->child; child; child = child->next) {
		int below = measure(child, nodes);

		height = below > height ? below : height;
	}
	return height + 1;
}

/* A copy of a part of the document, to stand at `depth`, charged to what aliases may add to it. */
static int copy_aliased(struct reader *reader, int line, int depth, const cJSON *value, cJSON **ret)
{
	if (depth + measure(value, &reader->aliased_nodes) > DEPTH_MAX + 1)
		return fail(reader, line, "nested deeper than %d levels", DEPTH_MAX);
	if (reader->aliased_nodes > ALIASED_NODES_MAX)
		return fail(reader, line, "aliases expand to more than %d values", ALIASED_NODES_MAX);
	*ret = cJSON_Duplicate(value, true);
	return *ret ? 0 : no_memory(reader);
}

static int read_alias(struct reader *reader, int depth, cJSON **ret)
{
	const char *name = (const char *)reader->event.data.alias.anchor;
	int line = (int)reader->event.start_mark.line + 1;
	const struct anchor *anchor = reader->anchors;

	while (anchor && strcmp(anchor->name, name) != 0)
		anchor = anchor->next;
	if (!anchor)
		return fail(reader, line, "the alias *%.100s has no anchor", name);
	if (!anchor->value)
		return fail(reader, line, "the alias *%.100s contains itself", name);
	return copy_aliased(reader, line, depth, anchor->value, ret);
}

static int read_node(struct reader *reader, int depth, cJSON **ret);

static int read_sequence(struct reader *reader, int depth, cJSON *sequence)
{
	for (;;) {
		cJSON *item;
		int error = next_event(reader);

		if (error < 0)
			return error;
		if (reader->event.type == YAML_SEQUENCE_END_EVENT)
			return 0;
		error = read_node(reader, depth + 1, &item);
		if (error < 0)
			return error;
		cJSON_AddItemToArray(sequence, item);
	}
}

/* Adds the members of `value` that `mapping` has not got itself. */
static int merge_mapping(struct reader *reader, int line, int depth, cJSON *mapping, const cJSON *value)
{
	const cJSON *member;

	if (!cJSON_IsObject(value))
		return fail(reader, line, "<< takes a mapping or a list of mappings");
	cJSON_ArrayForEach (member, value) {
		cJSON *copy;
		int error;

		if (cJSON_GetObjectItemCaseSensitive(mapping, member->string))
			continue;
		error = copy_aliased(reader, line, depth + 1, member, &copy);
		if (error < 0)
			return error;
		if (!cJSON_AddItemToObject(mapping, member->string, copy)) {
			cJSON_Delete(copy);
			return no_memory(reader);
		}
	}
	return 0;
}

/* The merge key "<<": a mapping, or a list of them of which the first that has a member wins. */
static int merge(struct reader *reader, int line, int depth, cJSON *mapping, const cJSON *value)
{
	const cJSON *item;

	if (!cJSON_IsArray(value))
		return merge_mapping(reader, line, depth, mapping, value);
	cJSON_ArrayForEach (item, value) {
		int error = merge_mapping(reader, line, depth, mapping, item);

		if (error < 0)
			return error;
	}
	return 0;
}

/* One "key: value". `keys` are those of the mapping so far; a merge value is handed out by *ret_merge. */
static int read_member(struct reader *reader, int depth, cJSON *mapping, struct hash_set *keys, cJSON **ret_merge)
{
	int line = (int)reader->event.start_mark.line + 1, error;
	bool merges;
	cJSON *value;
	char *key;

	if (reader->event.type != YAML_SCALAR_EVENT)
		return fail(reader, line, "a key must be a text");
	key = strdup((const char *)reader->event.data.scalar.value);
	if (!key)
		return no_memory(reader);
	merges = !strcmp(key, "<<") && reader->event.data.scalar.plain_implicit;
	if (hash_set_find(keys, &(cJSON){ .string = key }) || (merges && *ret_merge)) {
		error = fail(reader, line, "the key \"%.100s\" is given twice", key);
		goto out;
	}
	error = next_event(reader);
	if (error < 0)
		goto out;
	error = read_node(reader, depth + 1, &value);
	if (error < 0)
		goto out;
	if (merges) {
		*ret_merge = value;
	} else if (!cJSON_AddItemToObject(mapping, key, value)) {
		cJSON_Delete(value);
		error = no_memory(reader);
	} else if (hash_set_put(keys, value, NULL) < 0) {
		error = no_memory(reader);
	}
out:
	free(key);
	return error;
}

static int read_mapping(struct reader *reader, int depth, cJSON *mapping)
{
	struct hash_set keys = { .hash = key_hash, .equal = key_equal };
	int line = (int)reader->event.start_mark.line + 1, error;
	cJSON *merged = NULL;

	while (!(error = next_event(reader)) && reader->event.type != YAML_MAPPING_END_EVENT) {
		error = read_member(reader, depth, mapping, &keys, &merged);
		if (error < 0)
			break;
	}
	if (!error && merged)
		error = merge(reader, line, depth, mapping, merged);
	cJSON_Delete(merged);
	hash_set_clear(&keys);
	return error;
}

/* The value that begins with the current event. On failure nothing is left behind. */
static int read_node(struct reader *reader, int depth, cJSON **ret)
{
	const char *name = event_anchor(&reader->event);
	struct anchor *anchor = NULL;
	cJSON *node = NULL;
	int error = 0;

	if (depth > DEPTH_MAX)
		return fail(reader, (int)reader->event.start_mark.line + 1, "nested deeper than %d levels", DEPTH_MAX);
	if (name)
		error = remember_anchor(reader, name, &anchor);
	if (error < 0)
		return error;
	switch (reader->event.type) {
	case YAML_SCALAR_EVENT:
		error = read_scalar(reader, &node);
		break;
	case YAML_ALIAS_EVENT:
		error = read_alias(reader, depth, &node);
		break;
	case YAML_SEQUENCE_START_EVENT:
		node = cJSON_CreateArray();
		error = node ? read_sequence(reader, depth, node) : no_memory(reader);
		break;
	case YAML_MAPPING_START_EVENT:
		node = cJSON_CreateObject();
		error = node ? read_mapping(reader, depth, node) : no_memory(reader);
		break;
	default:
		error = fail(reader, (int)reader->event.start_mark.line + 1, "a value is missing");
	}
	if (error < 0) {
		cJSON_Delete(node);
		return error;
	}
	if (anchor)
		anchor->value = node;
	*ret = node;
	return 0;
}

typedef int each_fn(cJSON *document, int line, void *context);

static int read_yaml_documents(struct reader *reader, int first_line, each_fn *each, void *context)
{
	for (;;) {
		cJSON *document;
		int line, error = next_event(reader);

		if (error < 0)
			return error;
		if (reader->event.type == YAML_STREAM_END_EVENT)
			return 0;
		if (reader->event.type != YAML_DOCUMENT_START_EVENT)
			continue;
		error = next_event(reader);
		if (error < 0)
			return error;
		line = (int)reader->event.start_mark.line + first_line;
		error = read_node(reader, 0, &document);
		forget_anchors(reader);
		if (error < 0)
			return error;
		if (!cJSON_IsNull(document)) /* "---" with nothing behind it */
			error = each(document, line, context);
		cJSON_Delete(document);
		if (error)
			return error;
	}
}

static int read_yaml(struct reader *reader, const char *text, size_t size, int first_line, each_fn *each, void *context)
{
	int error;

	if (!yaml_parser_initialize(&reader->yaml))
		return no_memory(reader);
	reader->text = text;
	yaml_parser_set_input_string(&reader->yaml, (const unsigned char *)text, size);
	error = read_yaml_documents(reader, first_line, each, context);
	/* marks count from the start of what libyaml was given */
	if (error < 0 && reader->line)
		reader->line += first_line - 1;
	yaml_event_delete(&reader->event);
	memset(&reader->event, 0, sizeof(reader->event));
	yaml_parser_delete(&reader->yaml);
	forget_anchors(reader);
	return error;
}

/* --- JSON --- */

/* Past white space and "---" lines between documents; counts lines. */
static const char *skip_separators(const char *text, const char *end, int *line)
{
	for (;;) {
		if (text < end && (*text == ' ' || *text == '\t' || *text == '\r' || *text == '\n'))
			*line += *text++ == '\n';
		else if (end - text >= 4 && !memcmp(text, "---", 3) && (text[3] == '\n' || text[3] == '\r'))
			text += 3;
		else
			return text;
	}
}

/* How much of what is at `text` to show: some bytes of its line. */
static int excerpt_length(const char *text, const char *end)
{
	int length = 0;

	while (length < 20 && text + length < end && (unsigned char)text[length] >= ' ')
		length++;
	return length;
}

/* One JSON document at *text; moves *text behind it. */
static int read_json(struct reader *reader, const char **text, const char *end, int *line, each_fn *each, void *context)
{
	const char *after = NULL;
	cJSON *document = cJSON_ParseWithLengthOpts(*text, (size_t)(end - *text), &after, false);
	int error;

	if (!document) {
		int at = *line + (after ? lines_in(*text, after) : 0);

		if (after && after < end && (unsigned char)*after > ' ')
			return fail(reader, at, "not JSON from \"%.*s\" on", excerpt_length(after, end), after);
		return fail(reader, at, "not JSON: it ends too early");
	}
	error = check_tree(reader, document, *line, 0);
	if (!error)
		error = each(document, *line, context);
	cJSON_Delete(document);
	*line += lines_in(*text, after);
	*text = after;
	return error;
}

/* Whether a mapping in braces begins here whose first key is in double quotes: JSON, not a flow mapping of YAML. */
static bool is_json(const char *text, const char *end)
{
	if (text == end || *text++ != '{')
		return false;
	while (text < end && strchr(" \t\r\n", *text))
		text++;
	return text == end || *text == '"' || *text == '}';
}

int manifest_each_document(const char *text, size_t size, each_fn *each, void *context, int *ret_line, char reason[256])
{
	struct reader reader = { .reason = reason };
	const char *at = text, *end = text + size;
	int line = 1, error = 0;

	if (size >= 3 && !memcmp(at, "\xef\xbb\xbf", 3)) /* a byte order mark */
		at += 3;
	at = skip_separators(at, end, &line);
	/* libyaml would read most of JSON, but knows neither tabs nor surrogate pairs. */
	while (!error && is_json(at, end)) {
		error = read_json(&reader, &at, end, &line, each, context);
		at = error ? at : skip_separators(at, end, &line);
	}
	if (!error && at < end)
		error = read_yaml(&reader, at, (size_t)(end - at), line, each, context);
	*ret_line = reader.line;
	return error;
}
