/* SPDX-License-Identifier: Apache-2.0 */
#include "compile/identities.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compile/ids.h"
#include "util/addr.h"
#include "util/hash.h"
#include "util/intern.h"

#define V4_BITS 96
#define ADDRESS_BITS 128

/* Somebody who says that an address is theirs: a Pod, a Node, or (NULL) this node's own network namespace. */
struct claim {
	const struct object *owner;
	struct claim *next;
};

struct address {
	struct weft_addr addr;
	struct claim *claims; /* the best one first */
	struct identity *identity;
	struct address *next_dirty;
	bool dirty;
};

struct cidr_record {
	struct weft_prefix prefix;
	size_t users;
	struct identity *identity; /* NULL until the next run */
	struct cidr_record *next_unused;
};

struct identity_list {
	struct identity **items;
	size_t count, room;
};

struct identities {
	struct desired *desired;
	const char *node_name, *trust_domain;
	identities_ifindex_fn *ifindex_of;
	void *context;
	struct ids *ids;
	struct hash_set by_number; /* of struct identity; with retired ones while ids.c still has their text */
	struct hash_set addresses; /* of struct address */
	struct hash_set cidrs;     /* of struct cidr_record */
	size_t lengths[ADDRESS_BITS + 1]; /* how many CIDRs have this length */
	bool cidrs_changed;
	struct address *dirty;
	struct identity_list slots, added, idle, removed, retired;
	size_t *free_slots;
	size_t free_slot_count, free_slot_room;
	struct weft_addr *host;
	size_t host_count;
	struct identity world, this_node, node;
};

static int reserve(void **items, size_t *room, size_t count, size_t size)
{
	size_t wanted = *room ? *room * 2 : 16;
	void *grown;

	if (count < *room)
		return 0;
	grown = realloc(*items, wanted * size);
	if (!grown)
		return -ENOMEM;
	*items = grown;
	*room = wanted;
	return 0;
}

static int list_add(struct identity_list *list, struct identity *identity)
{
	if (reserve((void **)&list->items, &list->room, list->count, sizeof(*list->items)) < 0)
		return -ENOMEM;
	list->items[list->count++] = identity;
	return 0;
}

/* --- CIDRs --- */

static bool cidr_is_v4(const struct cidr *cidr) { return cidr->length >= V4_BITS && addr_is_v4(&cidr->addr); }

bool cidr_within(const struct cidr *block, const struct cidr *address)
{
	return cidr_is_v4(block) == cidr_is_v4(address) && block->length <= address->length &&
	       cidr_contains(&block->addr, block->length, &address->addr);
}

static struct weft_prefix prefix_of(const struct cidr *cidr)
{
	return (struct weft_prefix){ .length = cidr->length, .addr = cidr->addr };
}

/* The longest CIDR of a policy that contains `addr`, within its family. */
static bool longest_cidr(const struct identities *identities, const struct weft_addr *addr, struct cidr *ret)
{
	unsigned int shortest = addr_is_v4(addr) ? V4_BITS : 0;

	for (unsigned int length = ADDRESS_BITS + 1; length-- > shortest;) {
		struct weft_prefix key = { .length = length };
		const struct cidr_record *record;

		if (!identities->lengths[length])
			continue;
		key.addr = addr_masked(addr, length);
		record = hash_set_find(&identities->cidrs, &key);
		if (record && record->users) {
			*ret = (struct cidr){ .addr = key.addr, .length = (uint8_t)length };
			return true;
		}
	}
	return false;
}

int identities_add_cidr(struct identities *identities, const struct cidr *cidr)
{
	struct weft_prefix prefix = prefix_of(cidr);
	struct cidr_record *record = hash_set_find(&identities->cidrs, &prefix);

	if (!record) {
		record = calloc(1, sizeof(*record));
		if (!record)
			return -ENOMEM;
		record->prefix = prefix;
		if (hash_set_put(&identities->cidrs, record, NULL) < 0) {
			free(record);
			return -ENOMEM;
		}
		identities->lengths[prefix.length]++;
	}
	if (!record->users++)
		identities->cidrs_changed = true;
	return 0;
}

void identities_remove_cidr(struct identities *identities, const struct cidr *cidr)
{
	struct weft_prefix prefix = prefix_of(cidr);
	struct cidr_record *record = hash_set_find(&identities->cidrs, &prefix);

	if (record && record->users && !--record->users)
		identities->cidrs_changed = true;
}

bool identities_cidrs_changed(const struct identities *identities) { return identities->cidrs_changed; }

/* --- identities --- */

static void write_cidr(FILE *out, const struct cidr *cidr)
{
	char text[ADDR_TEXT_MAX];

	if (cidr)
		fprintf(out, "cidr:%s", cidr_format(&cidr->addr, cidr->length, text));
}

static void write_ports(FILE *out, const struct pod_object *pod)
{
	for (size_t i = 0; i < pod->port_count; i++)
		if (pod->ports[i].name)
			fprintf(out, "%s/%u=%u ", pod->ports[i].name, pod->ports[i].protocol, pod->ports[i].port);
}

/* The text that makes two identities one. malloc'd; NULL: no memory. `pod` NULL: a node, or (kind CIDR) anybody. */
static char *canonical_text(enum identity_kind kind, const struct pod_object *pod, const struct cidr *cidr)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	if (kind == IDENTITY_NODE)
		fputs("node ", out);
	if (pod) {
		fprintf(out, "pod %s %s %s/%s\n", pod->meta.namespace, pod->service_account, pod->workload_kind,
			pod->workload_name);
		for (size_t i = 0; i < pod->meta.labels.count; i++)
			fprintf(out, "%s=%s\n", pod->meta.labels.items[i].key, pod->meta.labels.items[i].value);
		write_ports(out, pod);
	}
	write_cidr(out, cidr);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static void clear_content(struct identity *identity)
{
	free(identity->labels.items);
	free(identity->ports);
	identity->labels = (struct labels){ 0 };
	identity->ports = NULL;
	identity->port_count = 0;
}

static void identity_free(struct identity *identity)
{
	if (!identity)
		return;
	clear_content(identity);
	free(identity);
}

static const char *intern_printed(const char *format, const char *a, const char *b, const char *c)
{
	char *text;
	const char *result;

	if (asprintf(&text, format, a, b, c) < 0)
		return NULL;
	result = intern(text);
	free(text);
	return result;
}

static const char *ports_key(const struct pod_object *pod)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	const char *result = NULL;

	if (!out)
		return NULL;
	write_ports(out, pod);
	if (fclose(out) == 0)
		result = intern(text);
	free(text);
	return result;
}

static int fill_pod(struct identities *identities, struct identity *identity, const struct pod_object *pod)
{
	const struct labels *labels = &pod->meta.labels;
	const char *principal = "%s/ns/%s/sa/%s";

	identity->labels.items = calloc(labels->count + 1, sizeof(*labels->items));
	identity->ports = calloc(pod->port_count + 1, sizeof(*identity->ports));
	if (!identity->labels.items || !identity->ports)
		return -ENOMEM;
	if (labels->count)
		memcpy(identity->labels.items, labels->items, labels->count * sizeof(*labels->items));
	identity->labels.count = labels->count;
	for (size_t i = 0; i < pod->port_count; i++)
		if (pod->ports[i].name)
			identity->ports[identity->port_count++] = pod->ports[i];
	identity->ports_key = ports_key(pod);
	identity->principals[0] =
		intern_printed(principal, identities->trust_domain, pod->meta.namespace, pod->service_account);
	identity->principals[1] = intern_printed(principal, "cluster.local", pod->meta.namespace, pod->service_account);
	identity->info = (struct identity_info){
		.namespace = pod->meta.namespace, .service_account = pod->service_account,
		.workload_kind = pod->workload_kind, .workload_name = pod->workload_name, .labels = &identity->labels,
		.text = intern_printed("%s/%s%s", pod->meta.namespace, pod->workload_name, ""),
	};
	return identity->ports_key && identity->principals[0] && identity->principals[1] && identity->info.text ? 0 :
													   -ENOMEM;
}

static int fill(struct identities *identities, struct identity *identity, enum identity_kind kind,
		const struct pod_object *pod, const struct cidr *cidr)
{
	char text[ADDR_TEXT_MAX];

	clear_content(identity);
	identity->kind = kind;
	identity->has_cidr = cidr != NULL;
	if (cidr)
		identity->cidr = *cidr;
	if (pod)
		return fill_pod(identities, identity, pod);
	identity->info = (struct identity_info){ .text = "node" };
	if (kind == IDENTITY_CIDR)
		identity->info.text =
			intern_printed("cidr:%s%s%s", cidr_format(&cidr->addr, cidr->length, text), "", "");
	return identity->info.text ? 0 : -ENOMEM;
}

static int take_slot(struct identities *identities, struct identity *identity)
{
	size_t slot = identities->slots.count;

	if (identities->free_slot_count) {
		slot = identities->free_slots[--identities->free_slot_count];
		identities->slots.items[slot] = identity;
	} else if (list_add(&identities->slots, identity) < 0) {
		return -ENOMEM;
	}
	identity->slot = slot;
	return list_add(&identities->added, identity);
}

/* The structure of a number, new or retired ones filled afresh: a retired number's text may be another by now. */
static struct identity *identity_prepare(struct identities *identities, uint32_t number, enum identity_kind kind,
					 const struct pod_object *pod, const struct cidr *cidr)
{
	struct identity *identity = hash_set_find(&identities->by_number, &number);

	if (identity && identity->slot != IDENTITY_NO_SLOT) {
		ids_put(identities->ids, number); /* it counts as one user of its number */
		return identity;
	}
	if (!identity) {
		identity = calloc(1, sizeof(*identity));
		if (!identity)
			return NULL;
		identity->number = number;
		identity->slot = IDENTITY_NO_SLOT;
		if (hash_set_put(&identities->by_number, identity, NULL) < 0) {
			free(identity);
			return NULL;
		}
	}
	if (fill(identities, identity, kind, pod, cidr) < 0 || take_slot(identities, identity) < 0)
		return NULL;
	return identity;
}

static struct identity *acquire(struct identities *identities, enum identity_kind kind, const struct pod_object *pod,
				const struct cidr *cidr)
{
	char *text = canonical_text(kind, pod, cidr);
	uint32_t number = text ? ids_get(identities->ids, text) : 0;
	struct identity *identity = NULL;

	free(text);
	if (number)
		identity = identity_prepare(identities, number, kind, pod, cidr);
	if (identity)
		identity->users++;
	return identity;
}

struct identity *identities_acquire_pod(struct identities *identities, const struct pod_object *pod,
					const struct weft_addr *addr)
{
	struct cidr cidr;
	bool known = addr && longest_cidr(identities, addr, &cidr);

	return acquire(identities, IDENTITY_POD, pod, known ? &cidr : NULL);
}

static struct identity *acquire_node(struct identities *identities, const struct weft_addr *addr)
{
	struct cidr cidr;

	return longest_cidr(identities, addr, &cidr) ? acquire(identities, IDENTITY_NODE, NULL, &cidr) :
						       &identities->node;
}

/*
 * Nothing is taken apart before identities_settle(), so that somebody may acquire it again in the meantime. An identity
 * that cannot be noted as idle for want of memory stays: its policy entries do no harm.
 */
void identities_release(struct identities *identities, struct identity *identity)
{
	if (!identity || identity->slot == IDENTITY_NO_SLOT)
		return; /* the built-in ones have no slot and stay */
	if (!--identity->users)
		list_add(&identities->idle, identity);
}

const struct identity *identities_find(const struct identities *identities, uint32_t number)
{
	switch (number) {
	case WEFT_IDENTITY_WORLD:
		return &identities->world;
	case WEFT_IDENTITY_THIS_NODE:
		return &identities->this_node;
	case WEFT_IDENTITY_NODE:
		return &identities->node;
	default:
		break;
	}
	return ids_text(identities->ids, number) ? hash_set_find(&identities->by_number, &number) : NULL;
}

struct identity *const *identities_slots(const struct identities *identities, size_t *ret_count)
{
	*ret_count = identities->slots.count;
	return identities->slots.items;
}

/* --- who claims an address --- */

static int rank(const struct identities *identities, const struct object *owner)
{
	if (!owner)
		return 0;
	if (owner->kind == MODEL_NODE)
		return owner->name == identities->node_name ? 1 : 2;
	return ((const struct pod_object *)owner)->terminating ? 4 : 3;
}

/* The order of claims: below 0 if `a` is the better one. An address in two objects is stale in one of them. */
static int compare_owners(const struct identities *identities, const struct object *a, const struct object *b)
{
	int difference = rank(identities, a) - rank(identities, b);

	if (difference || !a || !b)
		return difference;
	difference = strcmp(a->namespace, b->namespace);
	return difference ? difference : strcmp(a->name, b->name);
}

static void mark_dirty(struct identities *identities, struct address *address)
{
	if (address->dirty)
		return;
	address->dirty = true;
	address->next_dirty = identities->dirty;
	identities->dirty = address;
}

static struct address *address_get(struct identities *identities, const struct weft_addr *addr)
{
	struct address *address = hash_set_find(&identities->addresses, addr);

	if (address)
		return address;
	address = calloc(1, sizeof(*address));
	if (!address)
		return NULL;
	address->addr = *addr;
	if (hash_set_put(&identities->addresses, address, NULL) < 0) {
		free(address);
		return NULL;
	}
	return address;
}

static int claim_add(struct identities *identities, const struct weft_addr *addr, const struct object *owner)
{
	struct address *address = address_get(identities, addr);
	struct claim **place, *claim;

	if (!address)
		return -ENOMEM;
	for (place = &address->claims; *place; place = &(*place)->next) {
		if ((*place)->owner == owner)
			return 0; /* listed twice */
		if (compare_owners(identities, owner, (*place)->owner) < 0)
			break;
	}
	claim = calloc(1, sizeof(*claim));
	if (!claim) {
		mark_dirty(identities, address);
		return -ENOMEM;
	}
	claim->owner = owner;
	claim->next = *place;
	*place = claim;
	mark_dirty(identities, address);
	return 0;
}

static void claim_remove(struct identities *identities, const struct weft_addr *addr, const struct object *owner)
{
	struct address *address = hash_set_find(&identities->addresses, addr);
	struct claim **place, *claim;

	if (!address)
		return;
	for (place = &address->claims; *place && (*place)->owner != owner; place = &(*place)->next)
		;
	claim = *place;
	if (!claim)
		return;
	*place = claim->next;
	free(claim);
	mark_dirty(identities, address);
}

static bool has_addresses_of_its_own(const struct pod_object *pod)
{
	return !pod->host_network && pod->phase != POD_SUCCEEDED && pod->phase != POD_FAILED;
}

int identities_pod_changed(struct identities *identities, const struct pod_object *old, const struct pod_object *new)
{
	int error = 0;

	for (size_t i = 0; old && has_addresses_of_its_own(old) && i < old->address_count; i++)
		claim_remove(identities, &old->addresses[i], &old->meta);
	for (size_t i = 0; new && has_addresses_of_its_own(new) && i < new->address_count; i++)
		if (claim_add(identities, &new->addresses[i], &new->meta) < 0)
			error = -ENOMEM;
	return error;
}

int identities_node_changed(struct identities *identities, const struct node_object *old, const struct node_object *new)
{
	int error = 0;

	for (size_t i = 0; old && i < old->address_count; i++)
		claim_remove(identities, &old->addresses[i], &old->meta);
	for (size_t i = 0; new && i < new->address_count; i++)
		if (claim_add(identities, &new->addresses[i], &new->meta) < 0)
			error = -ENOMEM;
	return error;
}

int identities_set_host(struct identities *identities, const struct weft_addr *addresses, size_t count)
{
	struct weft_addr *copy = calloc(count + 1, sizeof(*copy));
	int error = 0;

	if (!copy)
		return -ENOMEM;
	if (count)
		memcpy(copy, addresses, count * sizeof(*copy));
	for (size_t i = 0; i < identities->host_count; i++)
		claim_remove(identities, &identities->host[i], NULL);
	free(identities->host);
	identities->host = copy;
	identities->host_count = count;
	for (size_t i = 0; i < count; i++)
		if (claim_add(identities, &copy[i], NULL) < 0)
			error = -ENOMEM;
	return error;
}

const struct pod_object *identities_pod_at(const struct identities *identities, const struct weft_addr *addr)
{
	const struct address *address = hash_set_find(&identities->addresses, addr);
	const struct object *owner = address && address->claims ? address->claims->owner : NULL;

	return owner && owner->kind == MODEL_POD ? (const struct pod_object *)owner : NULL;
}

void identities_touch_pod(struct identities *identities, const struct pod_object *pod)
{
	for (size_t i = 0; i < pod->address_count; i++) {
		struct address *address = hash_set_find(&identities->addresses, &pod->addresses[i]);

		if (address)
			mark_dirty(identities, address);
	}
}

/* --- bringing the tables up to date --- */

/* Without it the map's longest match would find an IPv6 block such as ::/0 for an IPv4 address. */
static int guard_v4(struct identities *identities, bool needed)
{
	struct cidr all_v4 = { .addr.word = { 0, 0, htonl(0xffff), 0 }, .length = V4_BITS };
	struct weft_prefix key = prefix_of(&all_v4);
	struct desired_prefix value = { .identity = WEFT_IDENTITY_WORLD };
	struct cidr_record *record = hash_set_find(&identities->cidrs, &key);

	if (record)
		return 0;
	return needed ? table_set(identities->desired->prefixes, &key, &value, sizeof(value)) :
			table_unset(identities->desired->prefixes, &key);
}

static int cidr_update(struct identities *identities, struct cidr_record *record)
{
	struct cidr cidr = { .addr = record->prefix.addr, .length = (uint8_t)record->prefix.length };
	struct desired_prefix value;

	if (!record->users)
		return table_unset(identities->desired->prefixes, &record->prefix);
	if (!record->identity)
		record->identity = acquire(identities, IDENTITY_CIDR, NULL, &cidr);
	if (!record->identity)
		return -ENOMEM;
	value.identity = record->identity->number;
	return table_set(identities->desired->prefixes, &record->prefix, &value, sizeof(value));
}

/* Returns the number of entries that changed, or -ENOMEM. All addresses become dirty: another CIDR may contain them. */
static int update_cidrs(struct identities *identities)
{
	struct cidr_record *record, *unused = NULL;
	struct address *address;
	bool guard = false;
	int changes = 0, result = 0;

	for (size_t position = 0; result >= 0 && (record = hash_set_next(&identities->cidrs, &position));) {
		struct cidr all_v4 = { .addr.word = { 0, 0, htonl(0xffff), 0 } };

		result = cidr_update(identities, record);
		changes += result > 0;
		if (!record->users) {
			record->next_unused = unused;
			unused = record;
		} else if (record->prefix.length < V4_BITS) {
			guard |= cidr_contains(&record->prefix.addr, (uint8_t)record->prefix.length, &all_v4.addr);
		}
	}
	for (; unused; unused = record) {
		record = unused->next_unused;
		identities->lengths[unused->prefix.length]--;
		identities_release(identities, unused->identity);
		hash_set_take(&identities->cidrs, &unused->prefix);
		free(unused);
	}
	if (result >= 0)
		result = guard_v4(identities, guard);
	for (size_t position = 0; (address = hash_set_next(&identities->addresses, &position));)
		mark_dirty(identities, address);
	if (result < 0)
		return result;
	identities->cidrs_changed = false;
	return changes + result;
}

/* The identity of the best claim, and what else desired->addresses says about it. */
static struct identity *resolve(struct identities *identities, const struct address *address,
				struct desired_address *ret)
{
	const struct object *owner = address->claims->owner;

	*ret = (struct desired_address){ 0 };
	if (!owner || (owner->kind == MODEL_NODE && owner->name == identities->node_name)) {
		ret->flags = WEFT_ADDRESS_THIS_NODE | WEFT_ADDRESS_NODE;
		return &identities->this_node;
	}
	if (owner->kind == MODEL_NODE) {
		ret->flags = WEFT_ADDRESS_NODE;
		return acquire_node(identities, &address->addr);
	}
	ret->ifindex = identities->ifindex_of((const struct pod_object *)owner, identities->context);
	return identities_acquire_pod(identities, (const struct pod_object *)owner, &address->addr);
}

static int address_update(struct identities *identities, struct address *address)
{
	struct identity *former = address->identity;
	struct desired_address value;

	if (!address->claims) {
		address->identity = NULL;
		identities_release(identities, former);
		return table_unset(identities->desired->addresses, &address->addr);
	}
	address->identity = resolve(identities, address, &value);
	identities_release(identities, former);
	if (!address->identity)
		return -ENOMEM;
	value.identity = address->identity->number;
	return table_set(identities->desired->addresses, &address->addr, &value, sizeof(value));
}

static int update_addresses(struct identities *identities)
{
	int changes = 0, result = 0;

	while (identities->dirty) {
		struct address *address = identities->dirty;

		result = address_update(identities, address);
		if (result < 0)
			return result; /* it stays dirty: the next run tries again */
		changes += result;
		identities->dirty = address->next_dirty;
		address->dirty = false;
		if (!address->claims) {
			hash_set_take(&identities->addresses, &address->addr);
			free(address);
		}
	}
	return changes;
}

int identities_run(struct identities *identities)
{
	int changes = 0, result;

	if (identities->cidrs_changed) {
		changes = update_cidrs(identities);
		if (changes < 0)
			return changes;
	}
	result = update_addresses(identities);
	return result < 0 ? result : changes + result;
}

struct identity *const *identities_added(const struct identities *identities, size_t *ret_count)
{
	*ret_count = identities->added.count;
	return identities->added.items;
}

struct identity *const *identities_removed(struct identities *identities, size_t *ret_count)
{
	identities->removed.count = 0;
	for (size_t i = 0; i < identities->idle.count; i++)
		if (!identities->idle.items[i]->users)
			list_add(&identities->removed, identities->idle.items[i]);
	*ret_count = identities->removed.count;
	return identities->removed.items;
}

static void retire(struct identities *identities, struct identity *identity)
{
	if (reserve((void **)&identities->free_slots, &identities->free_slot_room, identities->free_slot_count,
		    sizeof(*identities->free_slots)) < 0 ||
	    (!identity->retired && list_add(&identities->retired, identity) < 0))
		return; /* it keeps its slot and its number */
	identity->retired = true;
	identities->slots.items[identity->slot] = NULL;
	identities->free_slots[identities->free_slot_count++] = identity->slot;
	identity->slot = IDENTITY_NO_SLOT;
	ids_put(identities->ids, identity->number);
}

/* Those whose number nobody remembers any more. */
static void bury(struct identities *identities)
{
	size_t kept = 0;

	for (size_t i = 0; i < identities->retired.count; i++) {
		struct identity *identity = identities->retired.items[i];

		if (identity->slot != IDENTITY_NO_SLOT) { /* it came back */
			identity->retired = false;
			continue;
		}
		if (ids_text(identities->ids, identity->number)) {
			identities->retired.items[kept++] = identity;
			continue;
		}
		hash_set_take(&identities->by_number, &identity->number);
		identity_free(identity);
	}
	identities->retired.count = kept;
}

void identities_settle(struct identities *identities)
{
	bool any = identities->idle.count != 0;

	for (size_t i = 0; i < identities->idle.count; i++)
		if (!identities->idle.items[i]->users && identities->idle.items[i]->slot != IDENTITY_NO_SLOT)
			retire(identities, identities->idle.items[i]);
	identities->idle.count = 0;
	identities->added.count = 0;
	identities->removed.count = 0;
	if (any)
		bury(identities);
}

static struct identity builtin(uint32_t number, enum identity_kind kind, const char *text)
{
	return (struct identity){ .number = number, .kind = kind, .slot = IDENTITY_NO_SLOT, .info.text = text };
}

int identities_new(struct identities **ret, const struct compile_options *options, struct desired *desired,
		   identities_ifindex_fn *ifindex_of, void *context)
{
	struct identities *identities = calloc(1, sizeof(*identities));
	int error;

	if (!identities)
		return -ENOMEM;
	error = ids_new(&identities->ids, NAMES_KEEP_SECONDS);
	if (error) {
		free(identities);
		return error;
	}
	identities->desired = desired;
	identities->node_name = intern(options->node_name);
	identities->trust_domain = options->trust_domain;
	identities->ifindex_of = ifindex_of;
	identities->context = context;
	identities->by_number =
		(struct hash_set){ .key_offset = offsetof(struct identity, number), .key_size = sizeof(uint32_t) };
	identities->addresses =
		(struct hash_set){ .key_offset = offsetof(struct address, addr), .key_size = sizeof(struct weft_addr) };
	identities->cidrs = (struct hash_set){ .key_offset = offsetof(struct cidr_record, prefix),
					       .key_size = sizeof(struct weft_prefix) };
	identities->world = builtin(WEFT_IDENTITY_WORLD, IDENTITY_WORLD, "world");
	identities->this_node = builtin(WEFT_IDENTITY_THIS_NODE, IDENTITY_THIS_NODE, "this-node");
	identities->node = builtin(WEFT_IDENTITY_NODE, IDENTITY_NODE, "node");
	*ret = identities;
	return 0;
}

static void addresses_free(struct identities *identities)
{
	struct address *address;
	struct claim *claim;

	for (size_t position = 0; (address = hash_set_next(&identities->addresses, &position));) {
		while ((claim = address->claims)) {
			address->claims = claim->next;
			free(claim);
		}
		free(address);
	}
	hash_set_clear(&identities->addresses);
}

void identities_free(struct identities *identities)
{
	struct cidr_record *record;
	struct identity *identity;

	if (!identities)
		return;
	addresses_free(identities);
	for (size_t position = 0; (record = hash_set_next(&identities->cidrs, &position));)
		free(record);
	hash_set_clear(&identities->cidrs);
	for (size_t position = 0; (identity = hash_set_next(&identities->by_number, &position));)
		identity_free(identity);
	hash_set_clear(&identities->by_number);
	free(identities->slots.items);
	free(identities->added.items);
	free(identities->idle.items);
	free(identities->removed.items);
	free(identities->retired.items);
	free(identities->free_slots);
	free(identities->host);
	ids_free(identities->ids);
	free(identities);
}
