/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef WEFT_LIB_SERVICE_H
#define WEFT_LIB_SERVICE_H
/* Balancing: from a service's address and port to one of its backends. */
#include "lib/common.h"

#define NANOSECONDS 1000000000ull

/* The protocols whose ports make a service. SCTP's are there to be refused by name. */
static __always_inline bool protocol_has_services(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

/* The entry of a service port; else that of the service's address, whose flag says so; NULL: no service's address. */
static __always_inline struct weft_service *service_find(const struct weft_service_key *asked)
{
	struct weft_service *service = bpf_map_lookup_elem(&weft_services, asked);
	struct weft_service_key address = { .addr = asked->addr };

	return service ?: bpf_map_lookup_elem(&weft_services, &address);
}

static __always_inline const struct weft_slot *slot_at(const struct weft_service *service, __u32 index)
{
	__u32 slot = service->first_slot + index;

	return bpf_map_lookup_elem(&weft_slots, &slot);
}

/* Uniform in [0, count): the high half of a product has no modulo's bias towards the first slots. */
static __always_inline __u32 draw(__u32 count_of_slots)
{
	return (__u64)bpf_get_prandom_u32() * count_of_slots >> 32;
}

static __always_inline const struct weft_slot *slot_draw(struct weft_service *service)
{
	const struct weft_slot *slot;

	if (service->algorithm == WEFT_ROUND_ROBIN)
		return slot_at(service, __sync_fetch_and_add(&service->next, 1) % service->slot_count);

	slot = slot_at(service, draw(service->slot_count));
	if (service->algorithm != WEFT_WEIGHTED || !slot || bpf_get_prandom_u32() <= slot->threshold)
		return slot;
	return slot_at(service, slot->alias);
}

static __always_inline const struct weft_slot *slot_search(const struct weft_service *service,
							    const struct weft_affinity *wanted)
{
	__u32 low = 0, high = service->slot_count;

	for (int step = 0; step <= WEFT_SLOTS_SEARCH_STEPS; step++) {
		__u32 middle = low + (high - low) / 2;
		const struct weft_slot *slot;
		int order;

		if (low >= high)
			break;
		slot = slot_at(service, middle);
		if (!slot)
			break;
		order = end_compare(&slot->addr, slot->port, &wanted->addr, wanted->port);
		if (!order)
			return slot;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return 0;
}

/* The client's slot of last time while it lasts, else a new one, which is kept. A client is a pod, or the node itself. */
static __noinline const struct weft_slot *slot_of_client(struct weft_service *service, const struct weft_service_key *asked,
							 __u64 netns_cookie)
{
	struct weft_affinity_key key = {
		.netns_cookie = netns_cookie,
		.service_id = service->id,
		.port = asked->port,
		.protocol = asked->protocol,
		.family = addr_is_v4(&asked->addr) ? 4 : 6,
	};
	struct weft_affinity *known = bpf_map_lookup_elem(&weft_affinity, &key);
	struct weft_affinity fresh = { .last_used = bpf_ktime_get_ns() };
	const struct weft_slot *slot;

	if (known && fresh.last_used - known->last_used < service->affinity_seconds * NANOSECONDS) {
		slot = slot_search(service, known);
		if (slot) {
			known->last_used = fresh.last_used;
			return slot;
		}
	}
	slot = slot_draw(service);
	if (!slot)
		return 0;
	fresh.addr = slot->addr;
	fresh.port = slot->port;
	if (bpf_map_update_elem(&weft_affinity, &key, &fresh, BPF_ANY))
		count_error(WEFT_PLACE_AFFINITY_INSERT);
	return slot;
}

/* Sets *backend, or returns why there is none. */
static __always_inline __u8 service_choose(struct weft_service *service, const struct weft_service_key *asked,
					   __u64 netns_cookie, struct weft_backend_key *backend)
{
	const struct weft_slot *slot;

	if (service->flags & WEFT_SERVICE_REFUSE_PROTOCOL)
		return WEFT_REASON_UNSUPPORTED_SERVICE_PROTOCOL;
	if (service->flags & WEFT_SERVICE_ADDRESS)
		return WEFT_REASON_NO_SERVICE_PORT;
	if (!service->slot_count)
		return WEFT_REASON_NO_ENDPOINT;
	slot = service->affinity_seconds ? slot_of_client(service, asked, netns_cookie) : slot_draw(service);
	if (!slot || !slot->port) /* outside the array, or never written */
		return WEFT_REASON_SERVICE_TABLE_INCONSISTENT;
	backend->addr = slot->addr;
	backend->port = slot->port;
	return WEFT_REASON_NONE;
}

#endif
