/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_COMPILE_WATCHES_H
#define WEFT_COMPILE_WATCHES_H
/*
 * Who wants to hear of which pods: those with one label, or the one with a name. So a changed pod finds the Services it
 * serves without asking each, and a Service its pods without asking each pod of its namespace.
 */
#include "model/model.h"
#include "util/hash.h"

struct watch_key { /* interned */
	const char *namespace;
	const char *name;  /* of the label, or of the pod */
	const char *value; /* of the label; NULL: `name` is a pod's */
};

struct subscription; /* one listener's interest in one watch */
struct watches {
	struct hash_set index;
	struct watch *unfilled;
	size_t unfilled_count;
};

void watches_init(struct watches *watches);
/* All subscriptions must have been dropped. */
void watches_clear(struct watches *watches);

/* Adds one to the subscriber's `list` (NULL: empty). 0 or -ENOMEM. */
int watches_subscribe(struct watches *watches, const struct watch_key *key, void *subscriber, struct subscription **list);
/* Empties the list. */
void watches_unsubscribe(struct watches *watches, struct subscription **list);
const struct watch_key *watches_key(const struct subscription *subscription);
size_t watches_listeners(const struct watches *watches, const struct watch_key *key);

/* Finds the pods of the label watches that are new. 0, or -ENOMEM and they stay new. */
int watches_fill(struct watches *watches, const struct model *model);
/* The pods that have the subscription's label; valid until the model changes. */
const struct pod_object *const *watches_pods(const struct subscription *subscription, size_t *ret_count);

/* Called for each subscriber that listens to the pod's name, or to a label that `old` or `new` has. */
typedef void watches_touched_fn(void *subscriber, const struct watch_key *key, const struct pod_object *pod, void *context);
/* The model's pod changed; NULL as in model_watch(). Calls `touched` with the old and then with the new one. */
void watches_pod_changed(struct watches *watches, const struct pod_object *old, const struct pod_object *new,
			 watches_touched_fn *touched, void *context);

#endif
