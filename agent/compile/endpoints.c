/* SPDX-License-Identifier: Apache-2.0 */
#include "compile/endpoints.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/addr.h"

struct gathering {
	const struct endpoint_view *view;
	const struct service_object *service;
	const struct service_port *port;
	struct candidates *list;
};

void candidates_free(struct candidates *candidates)
{
	free(candidates->items);
	*candidates = (struct candidates){ 0 };
}

static int add(const struct gathering *gathering, const struct candidate *candidate)
{
	struct candidates *list = gathering->list;

	if (list->count == list->room) {
		size_t room = list->room ? list->room * 2 : 16;
		struct candidate *items = realloc(list->items, room * sizeof(*items));

		if (!items)
			return -ENOMEM;
		list->items = items;
		list->room = room;
	}
	list->items[list->count] = *candidate;
	list->items[list->count++].ready |= gathering->service->publish_not_ready_addresses;
	return 0;
}

static bool has_label(const struct labels *labels, const struct label *label)
{
	for (size_t i = 0; i < labels->count; i++)
		if (labels->items[i].key == label->key)
			return labels->items[i].value == label->value;
	return false;
}

bool endpoints_selected(const struct service_object *service, const struct pod_object *pod)
{
	for (size_t i = 0; i < service->selector.count; i++)
		if (!has_label(&pod->meta.labels, &service->selector.items[i]))
			return false;
	return service->selector.count > 0;
}

/* In host order; 0: the pod has no port of that name. */
static uint16_t target_port(const struct pod_object *pod, const struct service_port *port)
{
	if (!port->target_port.name)
		return port->target_port.number ? port->target_port.number : port->port;
	for (size_t i = 0; i < pod->port_count; i++)
		if (pod->ports[i].name == port->target_port.name && pod->ports[i].protocol == port->protocol)
			return pod->ports[i].port;
	return 0;
}

static int gather_pod(const struct gathering *gathering, const struct pod_object *pod)
{
	uint16_t number = target_port(pod, gathering->port);
	struct candidate candidate = {
		.port = htons(number),
		.weight = gathering->service->algorithm == WEFT_WEIGHTED ? (uint16_t)pod->weight : 1,
		.ready = pod->ready && !pod->terminating,
		.serving = pod->ready,
		.terminating = pod->terminating,
		.local = pod->node_name && pod->node_name == gathering->view->node_name,
	};
	int result = 0;

	if (!number || pod->phase == POD_SUCCEEDED || pod->phase == POD_FAILED ||
	    !endpoints_selected(gathering->service, pod))
		return 0;
	for (size_t i = 0; i < pod->address_count && !result; i++) {
		candidate.addr = pod->addresses[i];
		result = add(gathering, &candidate);
	}
	return result;
}

static uint16_t weight_of(const struct gathering *gathering, const struct endpoint *endpoint)
{
	const struct pod_object *pod;

	if (gathering->service->algorithm != WEFT_WEIGHTED)
		return 1;
	if (endpoint->weight)
		return (uint16_t)endpoint->weight;
	if (!endpoint->target_pod)
		return 1;
	pod = (const struct pod_object *)model_get(gathering->view->model, MODEL_POD, gathering->service->meta.namespace,
						   endpoint->target_pod);
	return pod ? (uint16_t)pod->weight : 1;
}

static bool hinted_for(const struct endpoint *endpoint, const char *zone)
{
	for (const char *const *hint = endpoint->hint_zones; hint && *hint; hint++)
		if (*hint == zone)
			return true;
	return false;
}

static int gather_endpoint(const struct gathering *gathering, const struct endpoint *endpoint, uint16_t number)
{
	struct candidate candidate = {
		.addr = endpoint->addr,
		.port = htons(number),
		.weight = weight_of(gathering, endpoint),
		.ready = endpoint->ready,
		.serving = endpoint->serving,
		.terminating = endpoint->terminating,
		.local = endpoint->node_name && endpoint->node_name == gathering->view->node_name,
		.hinted = endpoint->hint_zones && endpoint->hint_zones[0],
		.hinted_here = hinted_for(endpoint, gathering->view->zone),
	};

	return add(gathering, &candidate);
}

static int gather_slice(const struct endpoint_slice_object *slice, void *context)
{
	const struct gathering *gathering = context;
	int result = 0;

	for (size_t i = 0; i < slice->port_count; i++) {
		const struct endpoint_port *port = &slice->ports[i];

		if (port->name != gathering->port->name || port->protocol != gathering->port->protocol || !port->port)
			continue;
		for (size_t k = 0; k < slice->endpoint_count && !result; k++)
			result = gather_endpoint(gathering, &slice->endpoints[k], port->port);
	}
	return result;
}

static int compare_places(const struct candidate *a, const struct candidate *b)
{
	int order = memcmp(&a->addr, &b->addr, sizeof(a->addr));

	return order ? order : memcmp(&a->port, &b->port, sizeof(a->port));
}

/*
 * Of one endpoint told several times, as happens while it moves between slices, the most usable comes first. Every
 * member takes part, so that the result does not depend on the order of the slices.
 */
static int compare(const void *left, const void *right)
{
	const struct candidate *a = left, *b = right;
	int order = compare_places(a, b);

	if (order)
		return order;
	if (a->ready != b->ready)
		return b->ready - a->ready;
	if (a->serving != b->serving)
		return b->serving - a->serving;
	if (a->terminating != b->terminating)
		return a->terminating - b->terminating;
	if (a->hinted != b->hinted)
		return b->hinted - a->hinted;
	if (a->hinted_here != b->hinted_here)
		return b->hinted_here - a->hinted_here;
	if (a->local != b->local)
		return b->local - a->local;
	return (int)b->weight - (int)a->weight;
}

static void sort_and_merge(struct candidates *list)
{
	size_t kept = 0;

	if (!list->count)
		return;
	qsort(list->items, list->count, sizeof(*list->items), compare);
	for (size_t i = 1; i < list->count; i++)
		if (compare_places(&list->items[kept], &list->items[i]) != 0)
			list->items[++kept] = list->items[i];
	list->count = kept + 1;
}

int endpoints_gather(const struct endpoint_view *view, const struct service_object *service, const struct service_port *port,
		     const struct pod_object *const *pods, size_t pod_count, struct candidates *ret)
{
	struct gathering gathering = { view, service, port, ret };
	int result = 0;

	ret->count = 0;
	if (!pods)
		result = model_each_slice(view->model, service->meta.namespace, service->meta.name, gather_slice, &gathering);
	for (size_t i = 0; pods && i < pod_count && !result; i++)
		result = gather_pod(&gathering, pods[i]);
	if (!result)
		sort_and_merge(ret);
	return result;
}

/* Hints count only if every ready endpoint has some and one is for this zone; else a zone might be left without any. */
static bool hints_usable(const struct candidates *candidates, bool v4, const struct endpoint_view *view)
{
	bool here = false;

	for (size_t i = 0; i < candidates->count; i++) {
		const struct candidate *candidate = &candidates->items[i];

		if (!candidate->ready || addr_is_v4(&candidate->addr) != v4)
			continue;
		if (!candidate->hinted)
			return false;
		here |= candidate->hinted_here;
	}
	return here && view->zone;
}

enum usable { READY, READY_IN_ZONE, DRAINING };

static bool usable(const struct candidate *candidate, enum usable want)
{
	if (want == DRAINING)
		return candidate->serving && candidate->terminating;
	return candidate->ready && (want == READY || candidate->hinted_here);
}

static size_t pick(const struct candidates *candidates, bool v4, bool only_local, enum usable want, struct weft_slot *slots)
{
	size_t count = 0;

	for (size_t i = 0; i < candidates->count; i++) {
		const struct candidate *candidate = &candidates->items[i];

		if (addr_is_v4(&candidate->addr) != v4 || (only_local && !candidate->local) || !usable(candidate, want))
			continue;
		slots[count++] = (struct weft_slot){ .addr = candidate->addr,
						     .port = candidate->port,
						     .weight = candidate->weight };
	}
	return count;
}

size_t endpoints_choose(const struct candidates *candidates, const struct service_object *service, bool v4, bool only_local,
			const struct endpoint_view *view, struct weft_slot *slots)
{
	bool by_zone = !only_local && service->topology_hints && hints_usable(candidates, v4, view);
	size_t count = pick(candidates, v4, only_local, by_zone ? READY_IN_ZONE : READY, slots);

	/* when all are on their way out, those that still serve are better than none (KEP-1669) */
	return count ? count : pick(candidates, v4, only_local, DRAINING, slots);
}
