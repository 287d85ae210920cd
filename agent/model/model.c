/* SPDX-License-Identifier: Apache-2.0 */
#include "model/model.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/object.h"
#include "util/hash.h"
#include "util/intern.h"

/* Objects that belong together: the slices of one Service, the pods of one namespace (name ""). */
struct group {
	const char *namespace;
	const char *name;
	struct envelope *first;
};

struct model {
	struct hash_set objects[MODEL_KIND_COUNT];
	struct hash_set slices, pods; /* of struct group */
	struct {
		model_watch_fn *watch;
		void *context;
	} watchers[MODEL_WATCHERS];
	size_t watcher_count;
};

static uint64_t object_hash(const void *entry)
{
	const struct object *object = entry;

	return hash_text(hash_text(HASH_START, object->namespace), object->name);
}

static bool object_equal(const void *a, const void *b)
{
	const struct object *left = a, *right = b;

	return !strcmp(left->name, right->name) && !strcmp(left->namespace, right->namespace);
}

static uint64_t group_hash(const void *entry)
{
	const struct group *group = entry;

	return hash_text(hash_text(HASH_START, group->namespace), group->name);
}

static bool group_equal(const void *a, const void *b)
{
	const struct group *left = a, *right = b;

	return !strcmp(left->name, right->name) && !strcmp(left->namespace, right->namespace);
}

int model_new(struct model **ret)
{
	struct model *model = calloc(1, sizeof(*model));

	if (!model)
		return -ENOMEM;
	for (int kind = 0; kind < MODEL_KIND_COUNT; kind++)
		model->objects[kind] = (struct hash_set){ .hash = object_hash, .equal = object_equal };
	model->slices = model->pods = (struct hash_set){ .hash = group_hash, .equal = group_equal };
	*ret = model;
	return 0;
}

static void groups_free(struct hash_set *groups)
{
	for (size_t i = 0; i < groups->capacity; i++)
		free(groups->slots[i]);
	hash_set_clear(groups);
}

void model_free(struct model *model)
{
	if (!model)
		return;
	for (int kind = 0; kind < MODEL_KIND_COUNT; kind++) {
		for (size_t i = 0; i < model->objects[kind].capacity; i++)
			object_free(model->objects[kind].slots[i]);
		hash_set_clear(&model->objects[kind]);
	}
	groups_free(&model->slices);
	groups_free(&model->pods);
	free(model);
}

/* --- groups --- */

/* The set of groups that objects of this kind belong to and the group's key; NULL: none. */
static struct hash_set *groups_of(struct model *model, const struct object *object, struct group *ret_key)
{
	const char *service_name;

	if (object->kind == MODEL_POD) {
		*ret_key = (struct group){ .namespace = object->namespace, .name = "" };
		return &model->pods;
	}
	if (object->kind != MODEL_ENDPOINT_SLICE)
		return NULL;
	service_name = ((const struct endpoint_slice_object *)object)->service_name;
	if (!service_name)
		return NULL;
	*ret_key = (struct group){ .namespace = object->namespace, .name = service_name };
	return &model->slices;
}

static int group_join(struct model *model, struct object *object)
{
	struct envelope *envelope = object_envelope(object);
	struct group key, *group;
	struct hash_set *groups = groups_of(model, object, &key);

	if (!groups)
		return 0;
	group = hash_set_find(groups, &key);
	if (!group) {
		group = malloc(sizeof(*group));
		if (!group)
			return -ENOMEM;
		*group = key;
		if (hash_set_put(groups, group, NULL) < 0) {
			free(group);
			return -ENOMEM;
		}
	}
	envelope->previous = NULL;
	envelope->next = group->first;
	if (group->first)
		group->first->previous = envelope;
	group->first = envelope;
	return 0;
}

static void group_leave(struct model *model, const struct object *object)
{
	struct envelope *envelope = object_envelope(object);
	struct group key, *group;
	struct hash_set *groups = groups_of(model, object, &key);

	if (!groups)
		return;
	if (envelope->next)
		envelope->next->previous = envelope->previous;
	if (envelope->previous) {
		envelope->previous->next = envelope->next;
	} else {
		group = hash_set_find(groups, &key);
		group->first = envelope->next;
		if (!group->first)
			free(hash_set_take(groups, group));
	}
	envelope->previous = envelope->next = NULL;
}

/* --- putting in, taking out --- */

static void tell(const struct model *model, const struct object *old, const struct object *new)
{
	for (size_t i = 0; i < model->watcher_count; i++)
		model->watchers[i].watch(old, new, model->watchers[i].context);
}

/* What was said about an object stays until it is said anew. */
static void reports_move(struct object *from, struct object *to)
{
	object_envelope(to)->reports = object_envelope(from)->reports;
	object_envelope(from)->reports = NULL;
}

static void reports_clear(struct object *object, const char *origin)
{
	struct report **link = &object_envelope(object)->reports;

	while (*link) {
		struct report *report = *link;

		if (origin && strcmp(report->origin, origin) != 0) {
			link = &report->next;
			continue;
		}
		*link = report->next;
		free(report);
	}
}

int model_put(struct model *model, struct object *object)
{
	struct hash_set *objects = &model->objects[object->kind];
	struct object *old = hash_set_find(objects, object);

	if (old && old->digest == object->digest) {
		object_free(object);
		return 0;
	}
	if (group_join(model, object) < 0) {
		object_free(object);
		return -ENOMEM;
	}
	if (hash_set_put(objects, object, NULL) < 0) {
		group_leave(model, object);
		object_free(object);
		return -ENOMEM;
	}
	if (old) {
		group_leave(model, old);
		reports_move(old, object);
	}
	tell(model, old, object);
	object_free(old);
	return 1;
}

int model_delete(struct model *model, enum model_kind kind, const char *namespace, const char *name)
{
	struct object *old = hash_set_take(&model->objects[kind],
					   &(struct object){ .namespace = namespace, .name = name });

	if (!old)
		return 0;
	group_leave(model, old);
	reports_clear(old, NULL);
	tell(model, old, NULL);
	object_free(old);
	return 1;
}

void model_watch(struct model *model, model_watch_fn *watch, void *context)
{
	assert(model->watcher_count < MODEL_WATCHERS);
	model->watchers[model->watcher_count].watch = watch;
	model->watchers[model->watcher_count++].context = context;
}

/* --- reading --- */

const struct object *model_get(const struct model *model, enum model_kind kind, const char *namespace, const char *name)
{
	return hash_set_find(&model->objects[kind], &(struct object){ .namespace = namespace, .name = name });
}

size_t model_count(const struct model *model, enum model_kind kind) { return model->objects[kind].count; }

static int by_name(const void *a, const void *b)
{
	const struct object *left = *(struct object *const *)a, *right = *(struct object *const *)b;
	int order = strcmp(left->namespace, right->namespace);

	return order ? order : strcmp(left->name, right->name);
}

/* The objects of a kind that `wanted` accepts (NULL: all), sorted; malloc'd, NULL when there is no memory. */
static struct object **sorted(const struct model *model, enum model_kind kind,
			      bool (*wanted)(const struct object *object), size_t *ret_count)
{
	const struct hash_set *objects = &model->objects[kind];
	struct object **found = malloc((objects->count + 1) * sizeof(*found));
	size_t count = 0;

	if (!found)
		return NULL;
	for (size_t i = 0; i < objects->capacity; i++)
		if (objects->slots[i] && (!wanted || wanted(objects->slots[i])))
			found[count++] = objects->slots[i];
	qsort(found, count, sizeof(*found), by_name);
	*ret_count = count;
	return found;
}

int model_each(const struct model *model, enum model_kind kind, int (*each)(const struct object *object, void *context),
	       void *context)
{
	size_t count;
	struct object **objects = sorted(model, kind, NULL, &count);
	int result = 0;

	if (!objects)
		return -ENOMEM;
	for (size_t i = 0; i < count && !result; i++)
		result = each(objects[i], context);
	free(objects);
	return result;
}

static struct envelope *group_first(const struct hash_set *groups, const char *namespace, const char *name)
{
	const struct group *group = hash_set_find(groups, &(struct group){ .namespace = namespace, .name = name });

	return group ? group->first : NULL;
}

int model_each_slice(const struct model *model, const char *namespace, const char *service_name,
		     int (*each)(const struct endpoint_slice_object *slice, void *context), void *context)
{
	int result = 0;

	for (struct envelope *at = group_first(&model->slices, namespace, service_name); at && !result; at = at->next)
		result = each((const struct endpoint_slice_object *)envelope_object(at), context);
	return result;
}

int model_each_pod_in(const struct model *model, const char *namespace,
		      int (*each)(const struct pod_object *pod, void *context), void *context)
{
	int result = 0;

	for (struct envelope *at = group_first(&model->pods, namespace, ""); at && !result; at = at->next)
		result = each((const struct pod_object *)envelope_object(at), context);
	return result;
}

/* --- reports --- */

int model_report(struct model *model, enum model_kind kind, const char *namespace, const char *name, const char *origin,
		 const char *text)
{
	const struct object *object = model_get(model, kind, namespace, name);
	struct report **link, *report;
	size_t size = strlen(text) + 1;

	if (!object)
		return -ENOENT;
	for (link = &object_envelope(object)->reports; *link; link = &(*link)->next)
		if (!strcmp((*link)->text, text))
			return 0;
	report = malloc(sizeof(*report) + size);
	if (!report)
		return -ENOMEM;
	report->next = NULL;
	report->origin = intern(origin);
	memcpy(report->text, text, size);
	if (!report->origin) {
		free(report);
		return -ENOMEM;
	}
	*link = report;
	return 0;
}

void model_clear_reports(struct model *model, enum model_kind kind, const char *namespace, const char *name,
			 const char *origin)
{
	struct object *object = hash_set_find(&model->objects[kind],
					      &(struct object){ .namespace = namespace, .name = name });

	if (object)
		reports_clear(object, origin);
}

static bool has_reports(const struct object *object) { return object_envelope(object)->reports; }

int model_each_report(const struct model *model,
		      int (*each)(enum model_kind kind, const char *namespace, const char *name, const char *text,
				  void *context),
		      void *context)
{
	int result = 0;

	for (int kind = 0; kind < MODEL_KIND_COUNT && !result; kind++) {
		size_t count;
		struct object **objects = sorted(model, (enum model_kind)kind, has_reports, &count);

		if (!objects)
			return -ENOMEM;
		for (size_t i = 0; i < count && !result; i++)
			for (struct report *report = object_envelope(objects[i])->reports; report && !result;
			     report = report->next)
				result = each(objects[i]->kind, objects[i]->namespace, objects[i]->name, report->text,
					      context);
		free(objects);
	}
	return result;
}
