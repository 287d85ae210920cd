/* SPDX-License-Identifier: Apache-2.0 */
#include "model/object.h"

#include <stdlib.h>

/* An array for which there was no room behind its object. */
struct array {
	struct array *next;
	uint64_t items[];
};

static const struct {
	const char *name;
	size_t size;
	size_t room; /* for arrays behind the structure: what the usual object of the kind needs, a multiple of 8 */
} kinds[MODEL_KIND_COUNT] = {
	[MODEL_NAMESPACE] = { "Namespace", sizeof(struct namespace_object), 64 },
	[MODEL_NODE] = { "Node", sizeof(struct node_object), 64 },
	[MODEL_POD] = { "Pod", sizeof(struct pod_object), 64 },
	[MODEL_SERVICE] = { "Service", sizeof(struct service_object), 96 },
	[MODEL_ENDPOINT_SLICE] = { "EndpointSlice", sizeof(struct endpoint_slice_object), 48 },
	[MODEL_NETWORK_POLICY] = { "NetworkPolicy", sizeof(struct network_policy_object), 0 },
	[MODEL_AUTHORIZATION_POLICY] = { "AuthorizationPolicy", sizeof(struct authorization_policy_object), 0 },
	[MODEL_PEER_AUTHENTICATION] = { "PeerAuthentication", sizeof(struct peer_authentication_object), 0 },
};

const char *model_kind_name(enum model_kind kind) { return kinds[kind].name; }

void *object_alloc(enum model_kind kind)
{
	struct envelope *envelope = calloc(1, sizeof(*envelope) + kinds[kind].size + kinds[kind].room);
	struct object *object;

	if (!envelope)
		return NULL;
	envelope->holders = 1;
	object = envelope_object(envelope);
	object->kind = kind;
	return object;
}

void *object_array(void *object, size_t count, size_t size)
{
	struct envelope *envelope = object_envelope(object);
	enum model_kind kind = ((const struct object *)object)->kind;
	struct array *array;
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes) || __builtin_add_overflow(bytes, sizeof(*array) + 7, &bytes))
		return NULL;
	bytes = (bytes - sizeof(*array)) & ~(size_t)7;
	if (bytes <= kinds[kind].room - envelope->used) {
		char *items = (char *)object + kinds[kind].size + envelope->used;

		envelope->used += (uint32_t)bytes;
		return items;
	}
	array = calloc(1, sizeof(*array) + bytes);
	if (!array)
		return NULL;
	array->next = envelope->arrays;
	envelope->arrays = array;
	return array->items;
}

struct object *object_hold(struct object *object)
{
	object_envelope(object)->holders++;
	return object;
}

void object_free(struct object *object)
{
	struct envelope *envelope;

	if (!object)
		return;
	envelope = object_envelope(object);
	if (--envelope->holders)
		return;
	while (envelope->arrays) {
		struct array *next = envelope->arrays->next;

		free(envelope->arrays);
		envelope->arrays = next;
	}
	while (envelope->reports) {
		struct report *next = envelope->reports->next;

		free(envelope->reports);
		envelope->reports = next;
	}
	free(envelope);
}

static bool selector_term_matches(const struct selector_term *term, const struct labels *labels)
{
	const char *value = NULL;

	for (size_t i = 0; i < labels->count && !value; i++)
		if (labels->items[i].key == term->key)
			value = labels->items[i].value;
	if (term->operator == SELECTOR_EXISTS)
		return value;
	if (term->operator == SELECTOR_DOES_NOT_EXIST)
		return !value;
	for (size_t i = 0; i < term->value_count && value; i++)
		if (term->values[i] == value)
			return term->operator == SELECTOR_IN;
	return term->operator == SELECTOR_NOT_IN;
}

bool selector_matches(const struct selector *selector, const struct labels *labels)
{
	for (size_t i = 0; i < selector->term_count; i++)
		if (!selector_term_matches(&selector->terms[i], labels))
			return false;
	return true;
}
