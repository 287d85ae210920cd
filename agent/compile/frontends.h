/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_COMPILE_FRONTENDS_H
#define WEFT_COMPILE_FRONTENDS_H
/*
 * Who holds which entry of desired->services. Two Services may want one (address, port, protocol): the first by
 * (namespace, name) gets it, and when that one goes, the next. Keeps desired->backends: what any entry's slots name.
 */
#include "compile/desired.h"
#include "util/hash.h"

struct frontend_user { /* part of a Service's state */
	const char *namespace, *name;
	struct claim *claims;
	uint32_t round;
};

/* The user has to be asked again: an entry that it wants has fallen to it, or has gone to another holder. */
typedef void frontends_affected_fn(struct frontend_user *user, void *context);

struct frontends {
	struct desired *desired;
	struct hash_set frontends;
	frontends_affected_fn *affected;
	void *context;
};

void frontends_init(struct frontends *frontends, struct desired *desired, frontends_affected_fn *affected, void *context);
/* Frees all claims; leaves desired as it is. */
void frontends_clear(struct frontends *frontends);

/* A user tells all that it wants between _begin and _end; what it wanted before and not now is released by _end. */
void frontends_begin(struct frontend_user *user);
/*
 * `value` as in desired->services. *ret_holder is who holds the entry from now on; if it is another, nothing was
 * written. Of what one user says twice in a round about one key the first counts. Returns the number of table entries
 * that changed, or -ENOMEM.
 */
int frontends_want(struct frontends *frontends, struct frontend_user *user, const struct weft_service_key *key,
		   const struct weft_service *value, size_t size, const struct frontend_user **ret_holder);
/* Returns the number of table entries that changed, or -ENOMEM: then some are not released yet. */
int frontends_end(struct frontends *frontends, struct frontend_user *user);

#endif
