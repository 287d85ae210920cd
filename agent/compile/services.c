/* SPDX-License-Identifier: Apache-2.0 */
#include "compile/services.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile/endpoints.h"
#include "compile/frontends.h"
#include "compile/ids.h"
#include "compile/walker.h"
#include "compile/watches.h"
#include "util/addr.h"
#include "util/hash.h"
#include "util/intern.h"
#include "util/log.h"

#define ORIGIN "compile"
#define SLOTS_MAX ((1u << WEFT_SLOTS_SEARCH_STEPS) - 1)

struct service_key { /* interned */
	const char *namespace, *name;
};

/* What is kept about a Service between runs. */
struct service {
	struct frontend_user user; /* first: frontends_affected() casts back */
	struct service_key key;
	uint32_t id;
	bool dirty, reported;
	bool from_pods; /* has a selector and no EndpointSlice */
	const struct service_object *object; /* NULL: deleted; goes with the next run */
	struct subscription *subscriptions;
	struct service *next_dirty;
};

struct services {
	struct model *model;
	struct endpoint_view view;
	struct hash_set by_key, by_id;
	struct watches watches;
	struct frontends frontends;
	struct ids *ids;
	struct service *dirty;
	bool rescan; /* the model may hold what services_changed() was not told of or could not note */
};

static void mark(struct services *services, struct service *service)
{
	if (service->dirty)
		return;
	service->dirty = true;
	service->next_dirty = services->dirty;
	services->dirty = service;
}

static void mark_affected(struct frontend_user *user, void *context) { mark(context, (struct service *)user); }

static const char *own_zone(const struct services *services)
{
	const struct object *node = model_get(services->model, MODEL_NODE, "", services->view.node_name);

	return node ? ((const struct node_object *)node)->zone : NULL;
}

int services_new(struct services **ret, struct model *model, const struct compile_options *options, struct desired *desired)
{
	struct services *services = calloc(1, sizeof(*services));

	if (!services)
		return -ENOMEM;
	services->model = model;
	services->view = (struct endpoint_view){ .model = model, .node_name = intern(options->node_name) };
	services->by_key = (struct hash_set){ .key_offset = offsetof(struct service, key),
					      .key_size = sizeof(struct service_key) };
	services->by_id = (struct hash_set){ .key_offset = offsetof(struct service, id), .key_size = sizeof(uint32_t) };
	services->rescan = true;
	watches_init(&services->watches);
	frontends_init(&services->frontends, desired, mark_affected, services);
	if (!services->view.node_name || ids_new(&services->ids, NAMES_KEEP_SECONDS) < 0) {
		services_free(services);
		return -ENOMEM;
	}
	*ret = services;
	return 0;
}

void services_free(struct services *services)
{
	struct service *service;
	size_t position = 0;

	if (!services)
		return;
	while ((service = hash_set_next(&services->by_key, &position))) {
		watches_unsubscribe(&services->watches, &service->subscriptions);
		free(service);
	}
	hash_set_clear(&services->by_key);
	hash_set_clear(&services->by_id);
	watches_clear(&services->watches);
	frontends_clear(&services->frontends);
	ids_free(services->ids);
	free(services);
}

/* --- what a change touches --- */

static struct service *service_find(const struct services *services, const char *namespace, const char *name)
{
	return hash_set_find(&services->by_key, &(struct service_key){ namespace, name });
}

static uint32_t id_get(struct services *services, const struct service_key *key)
{
	char *text;
	uint32_t id;

	if (asprintf(&text, "%s/%s", key->namespace, key->name) < 0)
		return 0;
	id = ids_get(services->ids, text);
	free(text);
	return id;
}

static void service_free(struct services *services, struct service *service)
{
	watches_unsubscribe(&services->watches, &service->subscriptions);
	hash_set_take(&services->by_key, &service->key);
	if (service->id) {
		hash_set_take(&services->by_id, &service->id);
		ids_put(services->ids, service->id);
	}
	free(service);
}

static struct service *service_new(struct services *services, const struct object *meta)
{
	struct service *service = calloc(1, sizeof(*service));

	if (!service)
		return NULL;
	service->key = (struct service_key){ meta->namespace, meta->name };
	service->user.namespace = meta->namespace;
	service->user.name = meta->name;
	service->id = id_get(services, &service->key);
	if (!service->id || hash_set_put(&services->by_key, service, NULL) < 0 ||
	    hash_set_put(&services->by_id, service, NULL) < 0) {
		service_free(services, service);
		return NULL;
	}
	return service;
}

/* `meta` names it; `object` is what the model holds of it now. 0 or -ENOMEM. */
static int service_changed(struct services *services, const struct object *meta, const struct object *object)
{
	struct service *service = service_find(services, meta->namespace, meta->name);

	if (!service && !object)
		return 0;
	if (!service)
		service = service_new(services, meta);
	if (!service)
		return -ENOMEM;
	service->object = (const struct service_object *)object;
	mark(services, service);
	return 0;
}

static void slice_touches(struct services *services, const struct object *slice)
{
	const char *name = slice ? ((const struct endpoint_slice_object *)slice)->service_name : NULL;
	struct service *service = name ? service_find(services, slice->namespace, name) : NULL;

	if (service)
		mark(services, service);
}

static void pod_touches(void *subscriber, const struct watch_key *key, const struct pod_object *pod, void *context)
{
	struct service *service = subscriber;

	/* by name: the Service balances by weights and the pod's may have changed */
	if (!key->value || !service->object || endpoints_selected(service->object, pod))
		mark(context, service);
}

static void node_changed(struct services *services, const struct object *node)
{
	struct service *service;
	size_t position = 0;

	if (strcmp(node->name, services->view.node_name) != 0 || own_zone(services) == services->view.zone)
		return;
	services->view.zone = own_zone(services);
	while ((service = hash_set_next(&services->by_key, &position)))
		if (service->object && service->object->topology_hints)
			mark(services, service);
}

void services_changed(struct services *services, const struct object *old, const struct object *new)
{
	const struct object *object = new ? new : old;

	switch (object->kind) {
	case MODEL_SERVICE:
		if (service_changed(services, object, new) < 0)
			services->rescan = true;
		break;
	case MODEL_ENDPOINT_SLICE:
		slice_touches(services, old);
		slice_touches(services, new);
		break;
	case MODEL_POD:
		watches_pod_changed(&services->watches, (const struct pod_object *)old, (const struct pod_object *)new,
				    pod_touches, services);
		break;
	case MODEL_NODE:
		node_changed(services, object);
		break;
	default:
		break;
	}
}

static int rescan_service(const struct object *object, void *context) { return service_changed(context, object, object); }

static int rescan(struct services *services)
{
	int result;

	if (!services->rescan)
		return 0;
	services->view.zone = own_zone(services);
	result = model_each(services->model, MODEL_SERVICE, rescan_service, services);
	services->rescan = result < 0;
	return result;
}

/* --- which pods a Service has to hear of --- */

static int is_slice(const struct endpoint_slice_object *slice, void *context)
{
	(void)slice;
	(void)context;
	return 1;
}

static bool is_pair_of(const struct service_object *object, const struct watch_key *key)
{
	for (size_t i = 0; i < object->selector.count; i++)
		if (object->selector.items[i].key == key->name && object->selector.items[i].value == key->value)
			return true;
	return false;
}

/* One label of the selector is enough to find the candidates; the one that the fewest others listen to tells most. */
static int watch_selected(struct services *services, struct service *service)
{
	struct watch_key best = { 0 };
	size_t least = SIZE_MAX;

	if (service->subscriptions && is_pair_of(service->object, watches_key(service->subscriptions)))
		return 0;
	watches_unsubscribe(&services->watches, &service->subscriptions);
	for (size_t i = 0; i < service->object->selector.count; i++) {
		const struct label *label = &service->object->selector.items[i];
		struct watch_key key = { service->key.namespace, label->key, label->value };
		size_t listeners = watches_listeners(&services->watches, &key);

		if (listeners < least) {
			best = key;
			least = listeners;
		}
	}
	return watches_subscribe(&services->watches, &best, service, &service->subscriptions);
}

struct subscribing {
	struct services *services;
	struct service *service;
};

static int watch_targets(const struct endpoint_slice_object *slice, void *context)
{
	const struct subscribing *it = context;
	int result = 0;

	for (size_t i = 0; i < slice->endpoint_count && !result; i++) {
		struct watch_key key = { it->service->key.namespace, slice->endpoints[i].target_pod, NULL };

		if (!slice->endpoints[i].weight && key.name)
			result = watches_subscribe(&it->services->watches, &key, it->service, &it->service->subscriptions);
	}
	return result;
}

static int subscribe(struct services *services, struct service *service)
{
	const struct service_object *object = service->object;
	struct subscribing subscribing = { services, service };

	service->from_pods = object && object->selector.count && !object->headless && !object->external_name &&
			     !model_each_slice(services->model, service->key.namespace, service->key.name, is_slice, NULL);
	if (service->from_pods)
		return watch_selected(services, service);
	watches_unsubscribe(&services->watches, &service->subscriptions);
	if (!object || object->algorithm != WEFT_WEIGHTED)
		return 0;
	return model_each_slice(services->model, service->key.namespace, service->key.name, watch_targets, &subscribing);
}

/* --- one Service to its entries --- */

struct compiling {
	struct services *services;
	struct service *service;
	const struct service_port *port;
	struct candidates candidates;
	struct weft_service *value; /* and its slots */
	size_t room;		    /* slots that fit into it */
	int changed;		    /* table entries */
};

static void report(struct compiling *compiling, const char *text)
{
	const struct service_key *key = &compiling->service->key;

	compiling->service->reported = true;
	if (model_report(compiling->services->model, MODEL_SERVICE, key->namespace, key->name, ORIGIN, text) < 0)
		log_error("no memory to report about Service %s/%s: %s", key->namespace, key->name, text);
}

static const char *protocol_name(uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return "TCP";
	case IPPROTO_UDP:
		return "UDP";
	case IPPROTO_SCTP:
		return "SCTP";
	default:
		return "?";
	}
}

static bool balanced(uint8_t protocol) { return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP; }

static void report_conflict(struct compiling *compiling, const struct weft_service_key *key, const struct frontend_user *holder)
{
	char text[1024], address[ADDR_TEXT_MAX];

	snprintf(text, sizeof(text),
		 "%s port %u/%s is also claimed by Service %s/%s, which comes first by name and gets it; Service %s/%s "
		 "does not: give one of them another address or port",
		 addr_format(&key->addr, address), ntohs(key->port), protocol_name(key->protocol), holder->namespace, holder->name,
		 compiling->service->key.namespace, compiling->service->key.name);
	report(compiling, text);
}

static int want(struct compiling *compiling, const struct weft_addr *addr)
{
	const struct service_port *port = compiling->port;
	struct weft_service_key key = { .addr = *addr };
	size_t size = sizeof(*compiling->value) + compiling->value->slot_count * sizeof(struct weft_slot);
	const struct frontend_user *holder;
	int changed;

	if (port) {
		key.port = htons(port->port);
		key.protocol = port->protocol;
	}
	changed = frontends_want(&compiling->services->frontends, &compiling->service->user, &key, compiling->value, size, &holder);
	if (changed < 0)
		return changed;
	compiling->changed += changed;
	if (holder != &compiling->service->user && port) /* an address may be shared, its ports not */
		report_conflict(compiling, &key, holder);
	return 0;
}

static int reserve_value(struct compiling *compiling, size_t slots)
{
	struct weft_service *value;

	if (compiling->value && slots <= compiling->room)
		return 0;
	value = realloc(compiling->value, sizeof(*value) + slots * sizeof(struct weft_slot));
	if (!value)
		return -ENOMEM;
	compiling->value = value;
	compiling->room = slots;
	return 0;
}

/* The value of the port at hand, or of the address as such. */
static void start_value(struct compiling *compiling)
{
	const struct service_object *object = compiling->service->object;

	*compiling->value = (struct weft_service){ .id = compiling->service->id };
	if (!compiling->port) {
		compiling->value->flags = WEFT_SERVICE_ADDRESS;
	} else if (!balanced(compiling->port->protocol)) {
		compiling->value->flags = WEFT_SERVICE_REFUSE_PROTOCOL;
	} else {
		compiling->value->affinity_seconds = object->affinity_seconds;
		compiling->value->algorithm = object->algorithm;
	}
}

static int fill_slots(struct compiling *compiling, bool v4, bool only_local)
{
	const struct service_object *object = compiling->service->object;
	struct weft_slot *slots = (struct weft_slot *)(compiling->value + 1);
	size_t count = endpoints_choose(&compiling->candidates, object, v4, only_local, &compiling->services->view, slots);

	if (count > SLOTS_MAX) {
		char text[256];

		snprintf(text, sizeof(text), "port %u/%s has %zu endpoints; only the first %u by address are used: split the Service",
			 compiling->port->port, protocol_name(compiling->port->protocol), count, SLOTS_MAX);
		report(compiling, text);
		count = SLOTS_MAX;
	}
	compiling->value->slot_count = (uint32_t)count;
	if (object->algorithm == WEFT_WEIGHTED)
		return walker_fill(slots, count);
	walker_fill_equal(slots, count);
	return 0;
}

/* The port at hand at those of the addresses that are of one family: they share the endpoints. */
static int compile_family(struct compiling *compiling, const struct weft_addr *addresses, size_t count, bool v4, bool only_local)
{
	bool filled = false;
	int result = 0;

	for (size_t i = 0; i < count && !result; i++) {
		if (addr_is_v4(&addresses[i]) != v4)
			continue;
		if (!filled && compiling->candidates.count)
			result = fill_slots(compiling, v4, only_local);
		filled = true;
		if (!result)
			result = want(compiling, &addresses[i]);
	}
	return result;
}

static int compile_addresses(struct compiling *compiling, const struct weft_addr *addresses, size_t count, bool only_local)
{
	int result;

	start_value(compiling);
	result = compile_family(compiling, addresses, count, true, only_local);
	if (result < 0)
		return result;
	start_value(compiling);
	return compile_family(compiling, addresses, count, false, only_local);
}

static int gather(struct compiling *compiling)
{
	const struct service *service = compiling->service;
	const struct pod_object *const *pods = NULL;
	size_t pod_count = 0;
	int result;

	compiling->candidates.count = 0;
	if (!balanced(compiling->port->protocol))
		return reserve_value(compiling, 0);
	if (service->from_pods)
		pods = watches_pods(service->subscriptions, &pod_count);
	result = endpoints_gather(&compiling->services->view, service->object, compiling->port, pods, pod_count,
				  &compiling->candidates);
	return result < 0 ? result : reserve_value(compiling, compiling->candidates.count);
}

static int compile_port(struct compiling *compiling, const struct service_port *port)
{
	const struct service_object *object = compiling->service->object;
	bool only_local = object->internal_traffic_policy == TRAFFIC_LOCAL;
	int result;

	compiling->port = port;
	result = gather(compiling);
	if (result < 0)
		return result;
	if (!balanced(port->protocol)) {
		char text[128];

		snprintf(text, sizeof(text), "port %u/%s: the protocol is not balanced, connections are refused; use TCP or UDP",
			 port->port, protocol_name(port->protocol));
		report(compiling, text);
	}
	result = compile_addresses(compiling, object->cluster_ips, object->cluster_ip_count, only_local);
	if (!result) /* a client of this cluster reaches them as it does a cluster IP, but for internalTrafficPolicy */
		result = compile_addresses(compiling, object->external_ips, object->external_ip_count, false);
	if (!result)
		result = compile_addresses(compiling, object->load_balancer_ips, object->load_balancer_ip_count, false);
	return result;
}

/* Other ports of a cluster IP are refused. Not of the other addresses: an external IP may be a node's own. */
static int compile_cluster_ips(struct compiling *compiling)
{
	const struct service_object *object = compiling->service->object;
	int result = reserve_value(compiling, 0);

	compiling->port = NULL;
	compiling->candidates.count = 0;
	return result < 0 ? result : compile_addresses(compiling, object->cluster_ips, object->cluster_ip_count, false);
}

static int compile_object(struct compiling *compiling)
{
	const struct service_object *object = compiling->service->object;
	int result = 0;

	if (object->headless || object->external_name)
		return 0;
	if (!object->cluster_ip_count && !object->external_ip_count && !object->load_balancer_ip_count)
		report(compiling, "it has no address and cannot be reached: give it spec.clusterIP");
	for (size_t i = 0; i < object->port_count && !result; i++)
		result = compile_port(compiling, &object->ports[i]);
	return result < 0 ? result : compile_cluster_ips(compiling);
}

static void clear_reports(struct services *services, struct service *service)
{
	if (service->reported)
		model_clear_reports(services->model, MODEL_SERVICE, service->key.namespace, service->key.name, ORIGIN);
	service->reported = false;
}

static int compile(struct services *services, struct service *service, struct compiling *compiling)
{
	int result = 0;

	compiling->services = services;
	compiling->service = service;
	compiling->changed = 0;
	frontends_begin(&service->user);
	if (service->object) {
		clear_reports(services, service);
		result = compile_object(compiling);
	}
	if (result < 0)
		return result;
	result = frontends_end(&services->frontends, &service->user);
	return result < 0 ? result : compiling->changed + result;
}

static int compile_dirty(struct services *services)
{
	struct compiling compiling = { 0 };
	struct service *service;
	int changed = 0, result;

	while ((service = services->dirty)) {
		services->dirty = service->next_dirty;
		service->dirty = false;
		result = compile(services, service, &compiling);
		if (result < 0) {
			mark(services, service);
			changed = result;
			break;
		}
		changed += result;
		if (!service->object)
			service_free(services, service);
	}
	candidates_free(&compiling.candidates);
	free(compiling.value);
	return changed;
}

int services_run(struct services *services)
{
	int result = rescan(services);

	for (struct service *service = services->dirty; service && result >= 0; service = service->next_dirty)
		result = subscribe(services, service);
	if (result >= 0)
		result = watches_fill(&services->watches, services->model);
	return result < 0 ? result : compile_dirty(services);
}

const struct service_object *services_by_id(const struct services *services, uint32_t id)
{
	const struct service *service = hash_set_find(&services->by_id, &id);

	return service ? service->object : NULL;
}

const char *services_name(const struct services *services, uint32_t id) { return ids_text(services->ids, id); }
