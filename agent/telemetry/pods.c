/* SPDX-License-Identifier: Apache-2.0 */
#include "telemetry/pods.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util/addr.h"
#include "util/clock.h"

#define REBUILD_SECONDS 1 /* building takes some ten milliseconds at 100,000 pods */

struct pod_address {
	struct weft_addr addr;
	const char *namespace, *name;
};

struct pods {
	const struct model *model;
	struct pod_address *items; /* sorted by address */
	size_t count, capacity;
	bool stale;
	time_t built; /* CLOCK_MONOTONIC seconds */
};

int pods_new(struct pods **ret, const struct model *model)
{
	struct pods *pods = calloc(1, sizeof(*pods));

	if (!pods)
		return -ENOMEM;
	pods->model = model;
	pods->stale = true;
	*ret = pods;
	return 0;
}

void pods_free(struct pods *pods)
{
	if (!pods)
		return;
	free(pods->items);
	free(pods);
}

void pods_model_changed(struct pods *pods) { pods->stale = true; }

static bool is_running(const struct pod_object *pod)
{
	return !pod->host_network && pod->phase != POD_SUCCEEDED && pod->phase != POD_FAILED;
}

static int add_pod(const struct object *object, void *context)
{
	const struct pod_object *pod = (const struct pod_object *)object;
	struct pods *pods = context;

	if (!is_running(pod))
		return 0;
	if (pods->count + pod->address_count > pods->capacity) {
		size_t capacity = (pods->capacity + pod->address_count) * 2;
		struct pod_address *items = realloc(pods->items, capacity * sizeof(*items));

		if (!items)
			return -ENOMEM;
		pods->items = items;
		pods->capacity = capacity;
	}
	for (size_t i = 0; i < pod->address_count; i++)
		pods->items[pods->count++] = (struct pod_address){ pod->addresses[i], object->namespace, object->name };
	return 0;
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct weft_addr)); /* the address is the first member */
}

static time_t now_seconds(void) { return (time_t)(clock_now(CLOCK_MONOTONIC) / NANOSECONDS); }

/* What does not fit in memory is found at the next try. */
static void rebuild(struct pods *pods)
{
	pods->count = 0;
	pods->stale = model_each(pods->model, MODEL_POD, add_pod, pods) < 0;
	pods->built = now_seconds();
	if (pods->count)
		qsort(pods->items, pods->count, sizeof(*pods->items), compare);
}

/* An entry may be older than the model: the pod is asked. */
static const struct pod_object *find(const struct pods *pods, const struct weft_addr *addr)
{
	const struct pod_address *item =
		pods->count ? bsearch(addr, pods->items, pods->count, sizeof(*pods->items), compare) : NULL;
	const struct pod_object *pod =
		item ? (const struct pod_object *)model_get(pods->model, MODEL_POD, item->namespace, item->name) : NULL;

	for (size_t i = 0; pod && is_running(pod) && i < pod->address_count; i++)
		if (addr_equal(&pod->addresses[i], addr))
			return pod;
	return NULL;
}

const struct pod_object *pods_find(struct pods *pods, const struct weft_addr *addr)
{
	const struct pod_object *pod = find(pods, addr);

	if (pod || !pods->stale || now_seconds() - pods->built < REBUILD_SECONDS)
		return pod;
	rebuild(pods);
	return find(pods, addr);
}
