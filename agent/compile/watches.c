/* SPDX-License-Identifier: Apache-2.0 */
#include "compile/watches.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct watch {
	struct watch_key key;
	struct subscription *subscribers;
	size_t subscriber_count;
	const struct pod_object **pods; /* in no order; of label watches only */
	size_t pod_count, pod_room;
	bool filled;
	struct watch *next_unfilled, **place_unfilled;
};

struct subscription {
	struct watch *watch;
	void *subscriber;
	struct subscription *next, **place; /* in the watch */
	struct subscription *next_own;	    /* in the subscriber's list */
};

void watches_init(struct watches *watches)
{
	*watches = (struct watches){ .index = { .key_offset = offsetof(struct watch, key),
						.key_size = sizeof(struct watch_key) } };
}

void watches_clear(struct watches *watches) { hash_set_clear(&watches->index); }

static void set_unfilled(struct watches *watches, struct watch *watch)
{
	watch->filled = false;
	watch->pod_count = 0;
	watch->next_unfilled = watches->unfilled;
	watch->place_unfilled = &watches->unfilled;
	if (watches->unfilled)
		watches->unfilled->place_unfilled = &watch->next_unfilled;
	watches->unfilled = watch;
	watches->unfilled_count++;
}

static void set_filled(struct watches *watches, struct watch *watch)
{
	watch->filled = true;
	*watch->place_unfilled = watch->next_unfilled;
	if (watch->next_unfilled)
		watch->next_unfilled->place_unfilled = watch->place_unfilled;
	watches->unfilled_count--;
}

static struct watch *watch_get(struct watches *watches, const struct watch_key *key)
{
	struct watch *watch = hash_set_find(&watches->index, key);

	if (watch)
		return watch;
	watch = calloc(1, sizeof(*watch));
	if (!watch)
		return NULL;
	watch->key = *key;
	if (hash_set_put(&watches->index, watch, NULL) < 0) {
		free(watch);
		return NULL;
	}
	if (key->value)
		set_unfilled(watches, watch);
	else
		watch->filled = true;
	return watch;
}

static void watch_drop_unused(struct watches *watches, struct watch *watch)
{
	if (watch->subscribers)
		return;
	if (!watch->filled)
		set_filled(watches, watch);
	hash_set_take(&watches->index, &watch->key);
	free(watch->pods);
	free(watch);
}

int watches_subscribe(struct watches *watches, const struct watch_key *key, void *subscriber, struct subscription **list)
{
	struct subscription *subscription = calloc(1, sizeof(*subscription));
	struct watch *watch = subscription ? watch_get(watches, key) : NULL;

	if (!watch) {
		free(subscription);
		return -ENOMEM;
	}
	*subscription = (struct subscription){ watch, subscriber, watch->subscribers, &watch->subscribers, *list };
	if (watch->subscribers)
		watch->subscribers->place = &subscription->next;
	watch->subscribers = subscription;
	watch->subscriber_count++;
	*list = subscription;
	return 0;
}

void watches_unsubscribe(struct watches *watches, struct subscription **list)
{
	struct subscription *subscription;

	while ((subscription = *list)) {
		*list = subscription->next_own;
		*subscription->place = subscription->next;
		if (subscription->next)
			subscription->next->place = subscription->place;
		subscription->watch->subscriber_count--;
		watch_drop_unused(watches, subscription->watch);
		free(subscription);
	}
}

const struct watch_key *watches_key(const struct subscription *subscription) { return &subscription->watch->key; }

size_t watches_listeners(const struct watches *watches, const struct watch_key *key)
{
	const struct watch *watch = hash_set_find(&watches->index, key);

	return watch ? watch->subscriber_count : 0;
}

const struct pod_object *const *watches_pods(const struct subscription *subscription, size_t *ret_count)
{
	*ret_count = subscription->watch->pod_count;
	return subscription->watch->pods;
}

static int add_pod(struct watch *watch, const struct pod_object *pod)
{
	if (watch->pod_count == watch->pod_room) {
		size_t room = watch->pod_room ? watch->pod_room * 2 : 4;
		const struct pod_object **pods = realloc(watch->pods, room * sizeof(*pods));

		if (!pods)
			return -ENOMEM;
		watch->pods = pods;
		watch->pod_room = room;
	}
	watch->pods[watch->pod_count++] = pod;
	return 0;
}

static void remove_pod(struct watch *watch, const struct pod_object *pod)
{
	for (size_t i = 0; i < watch->pod_count; i++) {
		if (watch->pods[i] == pod) {
			watch->pods[i] = watch->pods[--watch->pod_count];
			return;
		}
	}
}

static struct watch *watch_of_label(const struct watches *watches, const struct pod_object *pod, const struct label *label)
{
	struct watch_key key = { pod->meta.namespace, label->key, label->value };

	return hash_set_find(&watches->index, &key);
}

static int fill_from_pod(const struct pod_object *pod, void *context)
{
	const struct watches *watches = context;

	for (size_t i = 0; i < pod->meta.labels.count; i++) {
		struct watch *watch = watch_of_label(watches, pod, &pod->meta.labels.items[i]);

		if (watch && !watch->filled && add_pod(watch, pod) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int fill_from_object(const struct object *object, void *context)
{
	return fill_from_pod((const struct pod_object *)object, context);
}

int watches_fill(struct watches *watches, const struct model *model)
{
	int result;

	if (!watches->unfilled)
		return 0;
	for (struct watch *watch = watches->unfilled; watch; watch = watch->next_unfilled)
		watch->pod_count = 0;
	if (watches->unfilled_count == 1) /* else one pass over all pods is cheaper than one for each namespace */
		result = model_each_pod_in(model, watches->unfilled->key.namespace, fill_from_pod, watches);
	else
		result = model_each(model, MODEL_POD, fill_from_object, watches);
	while (!result && watches->unfilled)
		set_filled(watches, watches->unfilled);
	return result;
}

static void tell(const struct watch *watch, const struct pod_object *pod, watches_touched_fn *touched, void *context)
{
	for (const struct subscription *each = watch->subscribers; each; each = each->next)
		touched(each->subscriber, &watch->key, pod, context);
}

static void tell_of_one(struct watches *watches, const struct pod_object *pod, bool gone, watches_touched_fn *touched,
			void *context)
{
	struct watch_key by_name = { pod->meta.namespace, pod->meta.name, NULL };
	struct watch *watch = hash_set_find(&watches->index, &by_name);

	if (watch)
		tell(watch, pod, touched, context);
	for (size_t i = 0; i < pod->meta.labels.count; i++) {
		watch = watch_of_label(watches, pod, &pod->meta.labels.items[i]);
		if (!watch)
			continue;
		if (watch->filled && gone)
			remove_pod(watch, pod);
		else if (watch->filled && add_pod(watch, pod) < 0)
			set_unfilled(watches, watch);
		tell(watch, pod, touched, context);
	}
}

void watches_pod_changed(struct watches *watches, const struct pod_object *old, const struct pod_object *new,
			 watches_touched_fn *touched, void *context)
{
	if (old)
		tell_of_one(watches, old, true, touched, context);
	if (new)
		tell_of_one(watches, new, false, touched, context);
}
