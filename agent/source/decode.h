/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_SOURCE_DECODE_H
#define WEFT_SOURCE_DECODE_H
/*
 * What the decoders of the kinds share. Each JSON object that Kubernetes defines has a table of its fields; one walk,
 * decode_fields(), checks their types, reports those that Weft does not know, and folds those that it reads into the
 * digest, so that nothing else can change it.
 *
 * Functions that return int give 0 or a negative errno; -EINVAL comes with the decoder's reason, -ENOMEM without.
 */
#include <cjson/cJSON.h>
#include <stdbool.h>

#include "model/model.h"
#include "source/source.h"

struct decoder {
	void *object; /* being made: starts with struct object */
	uint64_t digest;
	char path[160]; /* of the JSON object being read: "spec.ports[0]" */
	char *reason;	/* 256 bytes */
	decode_report_fn *report;
	void *context;
	unsigned int report_count;
};

enum field_type {
	FIELD_IGNORED, /* understood to make no difference to Weft */
	FIELD_STRING,
	FIELD_INTEGER,
	FIELD_BOOLEAN,
	FIELD_INTEGER_OR_STRING,
	FIELD_STRINGS,	  /* a list of strings */
	FIELD_STRING_MAP, /* of strings to strings */
	FIELD_ARRAY,
	FIELD_OBJECT,
};
struct field {
	const char *name;
	enum field_type type;
};

/* Says why the object is refused: "PATH.FIELD: TEXT". `field` may be NULL. Returns -EINVAL. */
int decode_fail(struct decoder *decoder, const char *field, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Reports something that is not honoured, in the same form. */
void decode_report(struct decoder *decoder, const char *field, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Makes the path longer for what is read next; decode_leave() with what it returned makes it as short as before. */
size_t decode_enter(struct decoder *decoder, const char *format, ...) __attribute__((format(printf, 2, 3)));
void decode_leave(struct decoder *decoder, size_t length);

/*
 * The members of `json` to values[], in the order of `fields`; NULL for what is absent or null. A member without an
 * entry in `fields` is reported, or passed over if `all` is false. `json` may be NULL: no members.
 */
int decode_fields(struct decoder *decoder, const cJSON *json, const struct field *fields, size_t count, bool all,
		  const cJSON **values);
#define DECODE_FIELDS(decoder, json, fields, all, values)                                                              \
	decode_fields(decoder, json, fields, sizeof(fields) / sizeof(*(fields)), all, values)

/* Calls `each` for the items of `array` (NULL: none) with the path set to "FIELD[INDEX]", until one fails. */
typedef int decode_each_fn(struct decoder *decoder, const cJSON *json, void *context);
int decode_each(struct decoder *decoder, const char *field, const cJSON *array, decode_each_fn *each, void *context);

/* Decodes each item of `array` (NULL: none) into an array of the object, whose address goes to *items. */
int decode_array(struct decoder *decoder, const char *field, const cJSON *array, decode_each_fn *item, size_t size,
		 void *items, size_t *ret_count);
#define DECODE_ARRAY(decoder, field, array, item, items, count)                                                        \
	decode_array(decoder, field, array, item, sizeof(*(items)), &(items), &(count))

/* --- values; `json` NULL means absent --- */
int decode_string(const cJSON *json, const char **ret); /* interned; NULL if absent */
int decode_strings(struct decoder *decoder, const cJSON *json, const char ***ret, size_t *ret_count);
bool decode_boolean(const cJSON *json, bool initial);
/* The position of the text in `choices`, which a NULL ends; `initial` if absent or empty. */
int decode_choice(struct decoder *decoder, const char *field, const cJSON *json, const char *const *choices,
		  int initial, int *ret);
int decode_integer(struct decoder *decoder, const char *field, const cJSON *json, int minimum, int maximum, int *ret);
int decode_port(struct decoder *decoder, const char *field, const cJSON *json, uint16_t *ret); /* 1..65535 */
int decode_protocol(struct decoder *decoder, const cJSON *json, uint8_t *ret); /* field "protocol", TCP if absent */
int decode_port_ref(struct decoder *decoder, const char *field, const cJSON *json, struct port_ref *ret);
int decode_address(struct decoder *decoder, const char *field, const char *text, struct weft_addr *ret);
int decode_cidr(struct decoder *decoder, const char *field, const char *text, struct cidr *ret);
int decode_labels(struct decoder *decoder, const char *field, const cJSON *json, struct labels *ret);
/* A selector of matchLabels, and of matchExpressions where `expressions` are allowed. */
int decode_selector(struct decoder *decoder, const char *field, const cJSON *json, bool expressions,
		    struct selector *ret);
/* A `mesh.weft.dev` or other annotation of the object, or NULL. */
const char *decode_annotation(const struct decoder *decoder, const char *key);
/* The annotation mesh.weft.dev/weight, 1..65535; `initial` without it, or with a report if it is something else. */
uint32_t decode_weight(struct decoder *decoder, uint32_t initial);

/* --- names, by the rules of the API server --- */
bool name_is_label(const char *text);	  /* RFC 1123 label */
bool name_is_subdomain(const char *text); /* RFC 1123 subdomain */
bool name_is_port(const char *text);	  /* IANA_SVC_NAME, RFC 6335 section 5.1 */

/* --- the kinds: `document` to decoder->object, whose metadata is there already --- */
int decode_namespace(struct decoder *decoder, const cJSON *document);
int decode_node(struct decoder *decoder, const cJSON *document);
int decode_pod(struct decoder *decoder, const cJSON *document);
int decode_service(struct decoder *decoder, const cJSON *document);
int decode_endpoint_slice(struct decoder *decoder, const cJSON *document);
int decode_network_policy(struct decoder *decoder, const cJSON *document);
int decode_authorization_policy(struct decoder *decoder, const cJSON *document);
int decode_peer_authentication(struct decoder *decoder, const cJSON *document);

#endif
