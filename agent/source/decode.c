/* SPDX-License-Identifier: Apache-2.0 */
#include "source/decode.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/hash.h"
#include "util/intern.h"

/* An object with thousands of unknown fields must not fill the memory with reports. */
#define REPORTS_MAX 32

/* --- where we are, and saying what is wrong there --- */

size_t decode_enter(struct decoder *decoder, const char *format, ...)
{
	size_t length = strlen(decoder->path);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(decoder->path + length, sizeof(decoder->path) - length, format, arguments);
	va_end(arguments);
	return length;
}

void decode_leave(struct decoder *decoder, size_t length) { decoder->path[length] = '\0'; }

static void say(const struct decoder *decoder, char text[256], const char *field, const char *format, va_list arguments)
{
	int length = snprintf(text, 256, "%s%s%s%s", decoder->path, decoder->path[0] && field ? "." : "",
			      field ? field : "", decoder->path[0] || field ? ": " : "");

	if (length < 256)
		vsnprintf(text + length, (size_t)(256 - length), format, arguments);
}

int decode_fail(struct decoder *decoder, const char *field, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	say(decoder, decoder->reason, field, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

void decode_report(struct decoder *decoder, const char *field, const char *format, ...)
{
	va_list arguments;
	char text[256];

	if (!decoder->report || decoder->report_count > REPORTS_MAX)
		return;
	if (decoder->report_count++ == REPORTS_MAX) {
		decoder->report(decoder->object, "and more that Weft does not honour", decoder->context);
		return;
	}
	va_start(arguments, format);
	say(decoder, text, field, format, arguments);
	va_end(arguments);
	decoder->report(decoder->object, text, decoder->context);
}

/* --- fields --- */

static const char *const type_names[] = {
	[FIELD_STRING] = "a string",
	[FIELD_INTEGER] = "a whole number",
	[FIELD_BOOLEAN] = "true or false",
	[FIELD_INTEGER_OR_STRING] = "a whole number or a string",
	[FIELD_STRINGS] = "a list of strings",
	[FIELD_STRING_MAP] = "a mapping of strings to strings",
	[FIELD_ARRAY] = "a list",
	[FIELD_OBJECT] = "a mapping",
};

static bool is_integer(const cJSON *json)
{
	return cJSON_IsNumber(json) && json->valuedouble >= -9e15 && json->valuedouble <= 9e15 &&
	       json->valuedouble == (double)(int64_t)json->valuedouble;
}

static bool all_strings(const cJSON *json)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, json)
		if (!cJSON_IsString(item))
			return false;
	return true;
}

static bool has_type(const cJSON *json, enum field_type type)
{
	switch (type) {
	case FIELD_STRING:
		return cJSON_IsString(json);
	case FIELD_INTEGER:
		return is_integer(json);
	case FIELD_BOOLEAN:
		return cJSON_IsBool(json);
	case FIELD_INTEGER_OR_STRING:
		return is_integer(json) || cJSON_IsString(json);
	case FIELD_STRINGS:
		return cJSON_IsArray(json) && all_strings(json);
	case FIELD_STRING_MAP:
		return cJSON_IsObject(json) && all_strings(json);
	case FIELD_ARRAY:
		return cJSON_IsArray(json);
	case FIELD_OBJECT:
		return cJSON_IsObject(json);
	case FIELD_IGNORED:
		break;
	}
	return true;
}

static int fail_type(struct decoder *decoder, const struct field *field, const cJSON *json)
{
	const cJSON *item;

	if ((field->type == FIELD_STRING || field->type == FIELD_INTEGER_OR_STRING) && !cJSON_IsObject(json) &&
	    !cJSON_IsArray(json))
		return decode_fail(decoder, field->name, "must be %s (put it in quotes)", type_names[field->type]);
	if (field->type == FIELD_STRING_MAP && cJSON_IsObject(json))
		cJSON_ArrayForEach (item, json)
			if (!cJSON_IsString(item))
				return decode_fail(decoder, field->name,
						   "the value of \"%.60s\" must be a string (put it in quotes)",
						   item->string);
	if (field->type == FIELD_STRINGS && cJSON_IsArray(json))
		return decode_fail(decoder, field->name, "must be a list of strings (put each item in quotes)");
	return decode_fail(decoder, field->name, "must be %s", type_names[field->type]);
}

/* The order of a mapping's members makes no difference; that of a list does. */
static uint64_t digest_of(const cJSON *json, enum field_type type)
{
	uint64_t digest = HASH_START;
	const cJSON *item;

	switch (type) {
	case FIELD_STRING_MAP:
		cJSON_ArrayForEach (item, json)
			digest += hash_text(hash_text(HASH_START, item->string), item->valuestring);
		return digest;
	case FIELD_STRINGS:
		cJSON_ArrayForEach (item, json)
			digest = hash_text(digest, item->valuestring);
		return digest;
	default:
		if (cJSON_IsString(json))
			return hash_text(digest, json->valuestring);
		/* lists and mappings: their own members follow when they are read */
		return hash_bytes(hash_bytes(digest, &json->type, sizeof(json->type)), &json->valuedouble,
				  sizeof(json->valuedouble));
	}
}

static int take_field(struct decoder *decoder, const cJSON *member, const struct field *fields, size_t count, bool all,
		      const cJSON **values)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(fields[i].name, member->string) != 0)
			continue;
		if (fields[i].type == FIELD_IGNORED || cJSON_IsNull(member))
			return 0;
		if (!has_type(member, fields[i].type))
			return fail_type(decoder, &fields[i], member);
		values[i] = member;
		return 0;
	}
	if (all)
		decode_report(decoder, NULL, "the field \"%.80s\" is not known and ignored", member->string);
	return 0;
}

int decode_fields(struct decoder *decoder, const cJSON *json, const struct field *fields, size_t count, bool all,
		  const cJSON **values)
{
	const cJSON *member;

	memset(values, 0, count * sizeof(*values));
	if (json && !cJSON_IsObject(json))
		return decode_fail(decoder, NULL, "must be a mapping");
	cJSON_ArrayForEach (member, json) {
		int error = take_field(decoder, member, fields, count, all, values);

		if (error < 0)
			return error;
	}
	for (size_t i = 0; i < count; i++) {
		uint64_t digest = values[i] ? digest_of(values[i], fields[i].type) : 0;

		decoder->digest = hash_bytes(decoder->digest, &digest, sizeof(digest));
	}
	return 0;
}

int decode_each(struct decoder *decoder, const char *field, const cJSON *array, decode_each_fn *each, void *context)
{
	size_t count = (size_t)cJSON_GetArraySize(array), index = 0;
	size_t outer = decode_enter(decoder, "%s%s", decoder->path[0] ? "." : "", field);
	const cJSON *json;

	decoder->digest = hash_bytes(decoder->digest, &count, sizeof(count));
	cJSON_ArrayForEach (json, array) {
		size_t path = decode_enter(decoder, "[%zu]", index++);
		int error = each(decoder, json, context);

		if (error < 0)
			return error;
		decode_leave(decoder, path);
	}
	decode_leave(decoder, outer);
	return 0;
}

struct filling {
	decode_each_fn *item;
	char *next;
	size_t size;
};

static int fill_item(struct decoder *decoder, const cJSON *json, void *context)
{
	struct filling *filling = context;
	int error = filling->item(decoder, json, filling->next);

	filling->next += filling->size;
	return error;
}

int decode_array(struct decoder *decoder, const char *field, const cJSON *array, decode_each_fn *item, size_t size,
		 void *items, size_t *ret_count)
{
	size_t count = (size_t)cJSON_GetArraySize(array);
	char *base = count ? object_array(decoder->object, count, size) : NULL;
	int error;

	if (count && !base)
		return -ENOMEM;
	error = decode_each(decoder, field, array, fill_item, &(struct filling){ item, base, size });
	if (error < 0)
		return error;
	memcpy(items, &base, sizeof(base));
	*ret_count = count;
	return 0;
}

/* --- metadata --- */

/* Annotations that Weft reads; others can change without notice. */
static const char *const annotations[] = {
	"mesh.weft.dev/netns",
	"mesh.weft.dev/ips",
	"mesh.weft.dev/weight",
	"mesh.weft.dev/algorithm",
	"mesh.weft.dev/dry-run",
	"istio.io/dry-run",
	"service.kubernetes.io/topology-mode",
	"service.kubernetes.io/topology-aware-hints",
};

static bool annotation_is_known(const char *key)
{
	for (size_t i = 0; i < sizeof(annotations) / sizeof(*annotations); i++)
		if (!strcmp(annotations[i], key))
			return true;
	return false;
}

static int decode_annotations(struct decoder *decoder, const cJSON *json)
{
	struct object *object = decoder->object;
	struct label *items;
	const cJSON *item;

	cJSON_ArrayForEach (item, json) {
		if (!cJSON_IsString(item))
			return decode_fail(decoder, "annotations",
					   "the value of \"%.60s\" must be a string (put it in quotes)", item->string);
		if (annotation_is_known(item->string))
			object->annotations.count++;
		else if (!strncmp(item->string, "mesh.weft.dev/", 14))
			decode_report(decoder, "annotations", "\"%.80s\" is not known and ignored", item->string);
	}
	if (!object->annotations.count)
		return 0;
	items = object->annotations.items = object_array(object, object->annotations.count, sizeof(*items));
	if (!items)
		return -ENOMEM;
	/* in the order of the table, so that the order in the manifest does not change the digest */
	for (size_t i = 0; i < sizeof(annotations) / sizeof(*annotations); i++) {
		item = cJSON_GetObjectItemCaseSensitive(json, annotations[i]);
		if (!item)
			continue;
		items->key = intern(annotations[i]);
		if (!items->key || decode_string(item, &items->value) < 0)
			return -ENOMEM;
		decoder->digest = hash_text(hash_text(decoder->digest, items->key), items->value);
		items++;
	}
	return 0;
}

const char *decode_annotation(const struct decoder *decoder, const char *key)
{
	const struct labels *known = &((const struct object *)decoder->object)->annotations;

	for (size_t i = 0; i < known->count; i++)
		if (!strcmp(known->items[i].key, key))
			return known->items[i].value;
	return NULL;
}

uint32_t decode_weight(struct decoder *decoder, uint32_t initial)
{
	const char *text = decode_annotation(decoder, "mesh.weft.dev/weight");
	unsigned long weight;
	char *end;

	if (!text)
		return initial;
	weight = strtoul(text, &end, 10);
	if (*text >= '0' && *text <= '9' && !*end && weight >= 1 && weight <= 65535)
		return (uint32_t)weight;
	decode_report(decoder, "metadata.annotations",
		      "\"mesh.weft.dev/weight\" is ignored: \"%.40s\" is not a number from 1 to 65535", text);
	return initial;
}

struct kind {
	const char *name;
	const char *group;   /* "": core; "mesh.weft.dev" and "security.istio.io" share their kinds */
	const char *version; /* NULL: any */
	enum model_kind kind;
	bool namespaced;
	bool (*name_is_valid)(const char *name);
	int (*decode)(struct decoder *decoder, const cJSON *document);
};

static const struct kind kinds[] = {
	{ "Namespace", "", "v1", MODEL_NAMESPACE, false, name_is_label, decode_namespace },
	{ "Node", "", "v1", MODEL_NODE, false, name_is_subdomain, decode_node },
	{ "Pod", "", "v1", MODEL_POD, true, name_is_subdomain, decode_pod },
	{ "Service", "", "v1", MODEL_SERVICE, true, name_is_label, decode_service },
	{ "EndpointSlice", "discovery.k8s.io", "v1", MODEL_ENDPOINT_SLICE, true, name_is_subdomain,
	  decode_endpoint_slice },
	{ "NetworkPolicy", "networking.k8s.io", "v1", MODEL_NETWORK_POLICY, true, name_is_subdomain,
	  decode_network_policy },
	{ "AuthorizationPolicy", "mesh.weft.dev", NULL, MODEL_AUTHORIZATION_POLICY, true, name_is_subdomain,
	  decode_authorization_policy },
	{ "AuthorizationPolicy", "security.istio.io", "v1", MODEL_AUTHORIZATION_POLICY, true, name_is_subdomain,
	  decode_authorization_policy },
	{ "AuthorizationPolicy", "security.istio.io", "v1beta1", MODEL_AUTHORIZATION_POLICY, true, name_is_subdomain,
	  decode_authorization_policy },
	{ "PeerAuthentication", "mesh.weft.dev", NULL, MODEL_PEER_AUTHENTICATION, true, name_is_subdomain,
	  decode_peer_authentication },
	{ "PeerAuthentication", "security.istio.io", "v1", MODEL_PEER_AUTHENTICATION, true, name_is_subdomain,
	  decode_peer_authentication },
	{ "PeerAuthentication", "security.istio.io", "v1beta1", MODEL_PEER_AUTHENTICATION, true, name_is_subdomain,
	  decode_peer_authentication },
};

/* *ret is NULL for a kind that Weft does not use. -EINVAL for a version of a known kind that it does not. */
static int find_kind(struct decoder *decoder, const char *api_version, const char *name, const struct kind **ret)
{
	const char *slash = strchr(api_version, '/'), *version = slash ? slash + 1 : api_version, *other = NULL;
	size_t group_length = slash ? (size_t)(slash - api_version) : 0;

	*ret = NULL;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		const struct kind *kind = &kinds[i];

		if (strcmp(kind->name, name) != 0 || strlen(kind->group) != group_length ||
		    strncmp(kind->group, api_version, group_length) != 0)
			continue;
		if (kind->version ? !strcmp(kind->version, version) : version[0] == 'v') {
			*ret = kind;
			return 0;
		}
		if (!other)
			other = kind->version ? kind->version : "v1";
	}
	if (other)
		return decode_fail(decoder, "apiVersion",
				   "\"%.60s\" is not a version of %s that Weft knows: write %.*s%s%s", api_version,
				   name, (int)group_length, api_version, group_length ? "/" : "", other);
	return 0;
}

static int decode_names(struct decoder *decoder, const struct kind *kind, const cJSON *name, const cJSON *namespace)
{
	struct object *object = decoder->object;

	if (!name || !*name->valuestring)
		return decode_fail(decoder, "name", "is missing");
	if (!kind->name_is_valid(name->valuestring))
		return decode_fail(decoder, "name",
				   "\"%.80s\" is not a name for a %s: lower case letters, digits and '-', beginning "
				   "and ending with one of the former",
				   name->valuestring, kind->name);
	if (namespace && !*namespace->valuestring)
		namespace = NULL;
	if (namespace && !kind->namespaced)
		return decode_fail(decoder, "namespace", "a %s is not in a namespace", kind->name);
	if (namespace && !name_is_label(namespace->valuestring))
		return decode_fail(decoder, "namespace", "\"%.80s\" is not the name of a namespace",
				   namespace->valuestring);
	object->name = intern(name->valuestring);
	object->namespace = intern(namespace ? namespace->valuestring : kind->namespaced ? "default" : "");
	return object->name && object->namespace ? 0 : -ENOMEM;
}

static int decode_metadata(struct decoder *decoder, const struct kind *kind, const cJSON *metadata)
{
	enum { NAME, NAMESPACE, LABELS, FIELDS };
	static const struct field fields[] = {
		[NAME] = { "name", FIELD_STRING },
		[NAMESPACE] = { "namespace", FIELD_STRING },
		[LABELS] = { "labels", FIELD_STRING_MAP },
	};
	const cJSON *values[FIELDS], *json = cJSON_GetObjectItemCaseSensitive(metadata, "annotations");
	struct object *object = decoder->object;
	size_t path = decode_enter(decoder, "metadata");
	int error = DECODE_FIELDS(decoder, metadata, fields, false, values);

	if (!error)
		error = decode_names(decoder, kind, values[NAME], values[NAMESPACE]);
	if (!error)
		error = decode_labels(decoder, "labels", values[LABELS], &object->labels);
	if (!error && json && !cJSON_IsNull(json) && !cJSON_IsObject(json))
		error = decode_fail(decoder, "annotations", "must be a mapping of strings to strings");
	if (!error)
		error = decode_annotations(decoder, json);
	if (!error)
		decode_leave(decoder, path);
	return error;
}

static const char *text_of(const cJSON *document, const char *field)
{
	const cJSON *json = cJSON_GetObjectItemCaseSensitive(document, field);

	return cJSON_IsString(json) && *json->valuestring ? json->valuestring : NULL;
}

int decode_object(const cJSON *document, struct object **ret, char reason[256], decode_report_fn *report, void *context)
{
	struct decoder decoder = { .digest = HASH_START, .reason = reason, .report = report, .context = context };
	const char *api_version = text_of(document, "apiVersion"), *name = text_of(document, "kind");
	const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(document, "metadata");
	const struct kind *kind;
	int error;

	*ret = NULL;
	if (!cJSON_IsObject(document))
		return decode_fail(&decoder, NULL,
				   "not an object of Kubernetes: must be a mapping with apiVersion, kind and metadata");
	if (!api_version || !name)
		return decode_fail(&decoder, api_version ? "kind" : "apiVersion",
				   "is missing: each object of Kubernetes has one");
	error = find_kind(&decoder, api_version, name, &kind);
	if (error < 0 || !kind)
		return error;
	decoder.object = object_alloc(kind->kind);
	if (!decoder.object) {
		decode_fail(&decoder, NULL, "out of memory");
		return -ENOMEM;
	}
	error = decode_metadata(&decoder, kind, metadata);
	if (!error)
		error = kind->decode(&decoder, document);
	if (error < 0) {
		if (error == -ENOMEM)
			decode_fail(&decoder, NULL, "out of memory");
		object_free(decoder.object);
		return error;
	}
	((struct object *)decoder.object)->digest = decoder.digest;
	*ret = decoder.object;
	return 0;
}
