/* SPDX-License-Identifier: Apache-2.0 */
#include "compile/frontends.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct frontend {
	struct weft_service_key key;
	struct claim *first; /* in order of (namespace, name): the first holds the entry */
};

struct claim {
	struct frontend *frontend;
	struct frontend_user *user;
	struct claim *next;	/* of the frontend */
	struct claim *next_own; /* of the user */
	uint32_t round;		/* of the user's, in which it was last wanted */
};

void frontends_init(struct frontends *frontends, struct desired *desired, frontends_affected_fn *affected, void *context)
{
	*frontends = (struct frontends){
		.desired = desired,
		.frontends = { .key_offset = offsetof(struct frontend, key), .key_size = sizeof(struct weft_service_key) },
		.affected = affected,
		.context = context,
	};
}

static void frontend_free(struct frontend *frontend)
{
	struct claim *claim;

	while ((claim = frontend->first)) {
		frontend->first = claim->next;
		free(claim);
	}
	free(frontend);
}

void frontends_clear(struct frontends *frontends)
{
	struct frontend *frontend;
	size_t position = 0;

	while ((frontend = hash_set_next(&frontends->frontends, &position)))
		frontend_free(frontend);
	hash_set_clear(&frontends->frontends);
}

/* --- backends: their users are the entries of desired->services that have them --- */

static int backend_use(struct frontends *frontends, const struct weft_backend_key *key)
{
	struct table *backends = frontends->desired->backends;
	int changed = table_set(backends, key, NULL, 0);

	if (changed >= 0)
		++*table_users(backends, key);
	return changed;
}

static int backend_leave(struct frontends *frontends, const struct weft_backend_key *key)
{
	struct table *backends = frontends->desired->backends;
	uint32_t *users = table_users(backends, key);

	if (*users == 1)
		return table_unset(backends, key);
	--*users;
	return 0;
}

/* Slots in their order, with the place in it: both sets of a change are walked side by side. */
struct slots {
	const struct weft_slot *items;
	size_t count;
};

static struct slots slots_of(const struct weft_service *value)
{
	return value ? (struct slots){ (const struct weft_slot *)(value + 1), value->slot_count } : (struct slots){ 0 };
}

static int compare_slots(const struct weft_slot *a, const struct weft_slot *b)
{
	int order = memcmp(&a->addr, &b->addr, sizeof(a->addr));

	return order ? order : memcmp(&a->port, &b->port, sizeof(a->port));
}

typedef int backend_fn(struct frontends *frontends, const struct weft_backend_key *key);

/*
 * Calls `act` for the backend of each slot that is in `from` and not in `except`. Returns the sum of the results, or
 * the first error with *ret_done the number of slots of `from` that were seen to.
 */
static int each_missing(struct frontends *frontends, uint8_t protocol, struct slots from, struct slots except, backend_fn *act,
			size_t *ret_done)
{
	int changed = 0;
	size_t k = 0, i;

	for (i = 0; i < from.count; i++) {
		const struct weft_slot *slot = &from.items[i];
		struct weft_backend_key key = { .addr = slot->addr, .port = slot->port, .protocol = protocol };
		int result;

		while (k < except.count && compare_slots(&except.items[k], slot) < 0)
			k++;
		if (k < except.count && !compare_slots(&except.items[k], slot))
			continue;
		result = act(frontends, &key);
		if (result < 0) {
			changed = result;
			break;
		}
		changed += result;
	}
	*ret_done = i;
	return changed;
}

/* Writes the entry, or removes it (value NULL), and tells which backends are in use by it from now on. */
static int entry_write(struct frontends *frontends, const struct weft_service_key *key, const struct weft_service *value,
		       size_t size)
{
	struct table *table = frontends->desired->services;
	size_t old_size = 0, done;
	const void *there = table_get(table, key, &old_size);
	struct weft_service *old = NULL;
	int used, left, written;

	if (there && value && old_size == size && !memcmp(there, value, size))
		return 0;
	if (there) {
		old = malloc(old_size);
		if (!old)
			return -ENOMEM;
		memcpy(old, there, old_size);
	}
	used = each_missing(frontends, key->protocol, slots_of(value), slots_of(old), backend_use, &done);
	written = used < 0 ? used : value ? table_set(table, key, value, size) : table_unset(table, key);
	if (written < 0) { /* as if nothing had happened: leaving what was used a moment ago needs no memory */
		struct slots undo = slots_of(value);

		undo.count = done;
		each_missing(frontends, key->protocol, undo, slots_of(old), backend_leave, &done);
		free(old);
		return written;
	}
	left = each_missing(frontends, key->protocol, slots_of(old), slots_of(value), backend_leave, &done);
	free(old);
	return left < 0 ? left : used + written + left;
}

/* --- claims --- */

static struct frontend *frontend_get(struct frontends *frontends, const struct weft_service_key *key)
{
	struct frontend *frontend = hash_set_find(&frontends->frontends, key);

	if (frontend)
		return frontend;
	frontend = malloc(sizeof(*frontend));
	if (!frontend)
		return NULL;
	*frontend = (struct frontend){ *key, NULL };
	if (hash_set_put(&frontends->frontends, frontend, NULL) < 0) {
		free(frontend);
		return NULL;
	}
	return frontend;
}

static int compare_users(const struct frontend_user *a, const struct frontend_user *b)
{
	int order = strcmp(a->namespace, b->namespace);

	return order ? order : strcmp(a->name, b->name);
}

/* The others hear of it when the holder is a new one: it has lost or won, and their report names it. */
static void tell_all_but(const struct frontends *frontends, const struct frontend *frontend, const struct frontend_user *user)
{
	for (const struct claim *claim = frontend->first; claim; claim = claim->next)
		if (claim->user != user)
			frontends->affected(claim->user, frontends->context);
}

static struct claim *claim_get(struct frontends *frontends, struct frontend_user *user, const struct weft_service_key *key)
{
	struct frontend *frontend = frontend_get(frontends, key);
	struct claim *claim, **place;

	if (!frontend)
		return NULL;
	for (place = &frontend->first; *place && compare_users((*place)->user, user) < 0; place = &(*place)->next)
		;
	if (*place && (*place)->user == user)
		return *place;
	claim = malloc(sizeof(*claim));
	if (!claim) {
		if (!frontend->first)
			free(hash_set_take(&frontends->frontends, key));
		return NULL;
	}
	*claim = (struct claim){ frontend, user, *place, user->claims, 0 };
	*place = claim;
	user->claims = claim;
	if (frontend->first == claim)
		tell_all_but(frontends, frontend, user);
	return claim;
}

static int claim_release(struct frontends *frontends, struct claim *claim)
{
	struct frontend *frontend = claim->frontend;
	bool held = frontend->first == claim;
	struct claim **place = &frontend->first;
	int changed = 0;

	if (held && !claim->next) {
		changed = entry_write(frontends, &frontend->key, NULL, 0);
		if (changed < 0)
			return changed;
	}
	while (*place != claim)
		place = &(*place)->next;
	*place = claim->next;
	free(claim);
	if (!frontend->first)
		free(hash_set_take(&frontends->frontends, &frontend->key));
	else if (held)
		tell_all_but(frontends, frontend, NULL);
	return changed;
}

void frontends_begin(struct frontend_user *user) { user->round++; }

int frontends_want(struct frontends *frontends, struct frontend_user *user, const struct weft_service_key *key,
		   const struct weft_service *value, size_t size, const struct frontend_user **ret_holder)
{
	struct claim *claim = claim_get(frontends, user, key);
	bool again;

	if (!claim)
		return -ENOMEM;
	*ret_holder = claim->frontend->first->user;
	again = claim->round == user->round;
	claim->round = user->round;
	return again || *ret_holder != user ? 0 : entry_write(frontends, key, value, size);
}

int frontends_end(struct frontends *frontends, struct frontend_user *user)
{
	struct claim **place = &user->claims;
	int changed = 0;

	while (*place) {
		struct claim *claim = *place, *next = claim->next_own;
		int result;

		if (claim->round == user->round) {
			place = &claim->next_own;
			continue;
		}
		result = claim_release(frontends, claim);
		if (result < 0)
			return result;
		changed += result;
		*place = next;
	}
	return changed;
}
