/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "source/decode.h"
#include "util/addr.h"
#include "util/intern.h"

/* --- names --- */

static bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_alphanumeric(char c) { return is_lower(c) || is_digit(c) || (c >= 'A' && c <= 'Z'); }

/* One label of `length` bytes: lower case letters, digits and '-', not at its ends. */
static bool is_label(const char *text, size_t length)
{
	if (!length || text[0] == '-' || text[length - 1] == '-')
		return false;
	for (size_t i = 0; i < length; i++)
		if (!is_lower(text[i]) && !is_digit(text[i]) && text[i] != '-')
			return false;
	return true;
}

bool name_is_label(const char *text) { return strlen(text) <= 63 && is_label(text, strlen(text)); }

static bool is_subdomain(const char *text, size_t length)
{
	const char *end = text + length;

	if (length > 253)
		return false;
	for (;;) {
		const char *dot = memchr(text, '.', (size_t)(end - text));

		if (!is_label(text, (size_t)((dot ? dot : end) - text)))
			return false;
		if (!dot)
			return true;
		text = dot + 1;
	}
}

bool name_is_subdomain(const char *text) { return is_subdomain(text, strlen(text)); }

bool name_is_port(const char *text)
{
	bool letter = false;

	for (const char *at = text; *at; at++)
		letter |= is_lower(*at);
	return letter && strlen(text) <= 15 && is_label(text, strlen(text)) && !strstr(text, "--");
}

/* A label's value, and the part of its key after the '/': letters, digits and "-_.", not at its ends. */
static bool is_label_text(const char *text)
{
	size_t length = strlen(text);

	if (!length || length > 63 || !is_alphanumeric(text[0]) || !is_alphanumeric(text[length - 1]))
		return false;
	for (size_t i = 0; i < length; i++)
		if (!is_alphanumeric(text[i]) && !strchr("-_.", text[i]))
			return false;
	return true;
}

static bool is_label_key(const char *text)
{
	const char *slash = strchr(text, '/');

	return is_label_text(slash ? slash + 1 : text) && (!slash || is_subdomain(text, (size_t)(slash - text)));
}

static int check_label(struct decoder *decoder, const char *field, const char *key, const char *value)
{
	if (!is_label_key(key))
		return decode_fail(
			decoder, field,
			"\"%.80s\" is not a label's key: [domain/]name, up to 63 letters, digits, '-', '_' and '.'",
			key);
	if (value && *value && !is_label_text(value))
		return decode_fail(decoder, field,
				   "\"%.80s\" is not a label's value: up to 63 letters, digits, '-', '_' and '.'",
				   value);
	return 0;
}

/* --- single values --- */

int decode_string(const cJSON *json, const char **ret)
{
	*ret = json ? intern(json->valuestring) : NULL;
	return json && !*ret ? -ENOMEM : 0;
}

int decode_strings(struct decoder *decoder, const cJSON *json, const char ***ret, size_t *ret_count)
{
	size_t count = (size_t)cJSON_GetArraySize(json), index = 0;
	const char **texts;
	const cJSON *item;

	if (!count)
		return 0;
	texts = object_array(decoder->object, count, sizeof(*texts));
	if (!texts)
		return -ENOMEM;
	cJSON_ArrayForEach (item, json)
		if (decode_string(item, &texts[index++]) < 0)
			return -ENOMEM;
	*ret = texts;
	*ret_count = count;
	return 0;
}

bool decode_boolean(const cJSON *json, bool initial) { return json ? cJSON_IsTrue(json) : initial; }

int decode_choice(struct decoder *decoder, const char *field, const cJSON *json, const char *const *choices,
		  int initial, int *ret)
{
	char list[160] = "";

	*ret = initial;
	if (!json || !*json->valuestring)
		return 0;
	for (int i = 0; choices[i]; i++) {
		if (!strcmp(choices[i], json->valuestring)) {
			*ret = i;
			return 0;
		}
		if (i)
			strncat(list, choices[i + 1] ? ", " : " or ", sizeof(list) - strlen(list) - 1);
		strncat(list, choices[i], sizeof(list) - strlen(list) - 1);
	}
	return decode_fail(decoder, field, "\"%.60s\" must be %s", json->valuestring, list);
}

int decode_integer(struct decoder *decoder, const char *field, const cJSON *json, int minimum, int maximum, int *ret)
{
	if (json->valuedouble < minimum || json->valuedouble > maximum)
		return decode_fail(decoder, field, "%.0f must be from %d to %d", json->valuedouble, minimum, maximum);
	*ret = (int)json->valuedouble;
	return 0;
}

int decode_port(struct decoder *decoder, const char *field, const cJSON *json, uint16_t *ret)
{
	if (json->valuedouble < 1 || json->valuedouble > 65535)
		return decode_fail(decoder, field, "%.0f is not a port: must be from 1 to 65535", json->valuedouble);
	*ret = (uint16_t)json->valuedouble;
	return 0;
}

int decode_protocol(struct decoder *decoder, const cJSON *json, uint8_t *ret)
{
	static const char *const names[] = { "TCP", "UDP", "SCTP", NULL };
	static const uint8_t numbers[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP };
	int choice, error = decode_choice(decoder, "protocol", json, names, 0, &choice);

	if (!error)
		*ret = numbers[choice];
	return error;
}

int decode_port_ref(struct decoder *decoder, const char *field, const cJSON *json, struct port_ref *ret)
{
	*ret = (struct port_ref){ 0 };
	if (!json)
		return 0;
	if (cJSON_IsNumber(json))
		return decode_port(decoder, field, json, &ret->number);
	if (!name_is_port(json->valuestring))
		return decode_fail(decoder, field,
				   "\"%.60s\" is not the name of a port: up to 15 lower case letters, digits and '-' "
				   "(a number goes without quotes)",
				   json->valuestring);
	return decode_string(json, &ret->name);
}

int decode_address(struct decoder *decoder, const char *field, const char *text, struct weft_addr *ret)
{
	return addr_parse(text, ret) < 0 ? decode_fail(decoder, field, "\"%.60s\" is not an IP address", text) : 0;
}

int decode_cidr(struct decoder *decoder, const char *field, const char *text, struct cidr *ret)
{
	if (cidr_parse(text, &ret->addr, &ret->length) < 0)
		return decode_fail(decoder, field, "\"%.60s\" is not an address block such as 10.0.0.0/8", text);
	return 0;
}

/* --- labels and selectors --- */

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct label *)a)->key, ((const struct label *)b)->key);
}

int decode_labels(struct decoder *decoder, const char *field, const cJSON *json, struct labels *ret)
{
	size_t count = (size_t)cJSON_GetArraySize(json), index = 0;
	struct label *items;
	const cJSON *item;

	*ret = (struct labels){ 0 };
	if (!count)
		return 0;
	items = object_array(decoder->object, count, sizeof(*items));
	if (!items)
		return -ENOMEM;
	cJSON_ArrayForEach (item, json) {
		int error = check_label(decoder, field, item->string, item->valuestring);

		if (error < 0)
			return error;
		items[index].key = intern(item->string);
		if (!items[index].key || decode_string(item, &items[index].value) < 0)
			return -ENOMEM;
		index++;
	}
	qsort(items, count, sizeof(*items), by_key);
	*ret = (struct labels){ .items = items, .count = count };
	return 0;
}

static int match_label(struct decoder *decoder, const struct label *label, struct selector_term *term)
{
	term->key = label->key;
	term->operator = SELECTOR_IN;
	term->values = object_array(decoder->object, 1, sizeof(*term->values));
	if (!term->values)
		return -ENOMEM;
	term->values[0] = label->value;
	term->value_count = 1;
	return 0;
}

static int match_expression(struct decoder *decoder, const cJSON *json, void *item)
{
	enum { KEY, OPERATOR, VALUES, FIELDS };
	static const struct field fields[] = {
		[KEY] = { "key", FIELD_STRING },
		[OPERATOR] = { "operator", FIELD_STRING },
		[VALUES] = { "values", FIELD_STRINGS },
	};
	static const char *const operators[] = { "In", "NotIn", "Exists", "DoesNotExist", NULL };
	struct selector_term *term = item;
	const cJSON *values[FIELDS], *value;
	int operator, error = DECODE_FIELDS(decoder, json, fields, true, values);

	if (error < 0)
		return error;
	if (!values[KEY])
		return decode_fail(decoder, "key", "is missing");
	error = check_label(decoder, "key", values[KEY]->valuestring, NULL);
	cJSON_ArrayForEach (value, values[VALUES])
		if (!error)
			error = check_label(decoder, "values", values[KEY]->valuestring, value->valuestring);
	if (!error)
		error = decode_choice(decoder, "operator", values[OPERATOR], operators, -1, &operator);
	if (!error)
		error = decode_string(values[KEY], &term->key);
	if (!error)
		error = decode_strings(decoder, values[VALUES], &term->values, &term->value_count);
	if (error < 0)
		return error;
	if (operator < 0)
		return decode_fail(decoder, "operator", "is missing: In, NotIn, Exists or DoesNotExist");
	term->operator = (enum selector_operator)operator;
	if (operator <= SELECTOR_NOT_IN && !term->value_count)
		return decode_fail(decoder, "values", "the operator %s needs at least one", operators[operator]);
	if (operator > SELECTOR_NOT_IN && term->value_count)
		return decode_fail(decoder, "values", "the operator %s takes none", operators[operator]);
	return 0;
}

static int selector_terms(struct decoder *decoder, const struct labels *labels, const cJSON *expressions,
			  struct selector *ret)
{
	struct selector_term *terms = NULL, *all;
	size_t count = 0;
	int error = DECODE_ARRAY(decoder, "matchExpressions", expressions, match_expression, terms, count);

	if (error < 0 || !(labels->count + count))
		return error;
	all = object_array(decoder->object, labels->count + count, sizeof(*all));
	if (!all)
		return -ENOMEM;
	for (size_t i = 0; i < labels->count && !error; i++)
		error = match_label(decoder, &labels->items[i], &all[i]);
	if (count)
		memcpy(all + labels->count, terms, count * sizeof(*all));
	*ret = (struct selector){ .terms = all, .term_count = labels->count + count };
	return error;
}

int decode_selector(struct decoder *decoder, const char *field, const cJSON *json, bool expressions,
		    struct selector *ret)
{
	enum { LABELS, EXPRESSIONS, FIELDS };
	static const struct field fields[] = {
		[LABELS] = { "matchLabels", FIELD_STRING_MAP },
		[EXPRESSIONS] = { "matchExpressions", FIELD_ARRAY },
	};
	const cJSON *values[FIELDS] = { 0 };
	struct labels labels = { 0 };
	size_t path = decode_enter(decoder, ".%s", field);
	int error = decode_fields(decoder, json, fields, expressions ? FIELDS : EXPRESSIONS, true, values);

	if (!error)
		error = decode_labels(decoder, "matchLabels", values[LABELS], &labels);
	if (!error)
		error = selector_terms(decoder, &labels, values[EXPRESSIONS], ret);
	if (!error)
		decode_leave(decoder, path);
	return error;
}
