/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_SOURCE_CLAIMS_H
#define WEFT_SOURCE_CLAIMS_H
/*
 * Whose word about an object counts when several files of a directory describe it: the file whose name comes first
 * (strcmp order). Each file's word is a claim; one that does not count is kept, and takes over when the one before it
 * goes.
 */
#include "model/model.h"
#include "util/hash.h"

struct text {
	struct text *next;
	char text[];
};

struct claim {
	struct object *object;
	const char *file;      /* name, interned */
	int line;	       /* of the document */
	struct text *reports;  /* what of it is not honoured */
	struct claim *sibling; /* of the same file; for files.c */
	struct claim *next;    /* of the same object, in the file that comes next */
	bool announced;	       /* logged as not counting */
	bool renewed;	       /* its contents went to the claim of the same file that was there before */
};

struct claims {
	struct model *model;
	const char *directory; /* for logs */
	struct hash_set first; /* of struct claim: those that count */
	size_t shadowed;       /* claims that do not */
	bool changed;	       /* the model, since whoever reads this has set it to false */
};

/* For sets of claims: by the object they are about. */
uint64_t claim_hash(const void *claim);
bool claim_equal(const void *a, const void *b);
void claim_free(struct claim *claim); /* NULL is fine */

/* A new claim, which must not equal another of the same file; the caller keeps it until claims_leave(). 0, -ENOMEM. */
int claims_enter(struct claims *claims, struct claim *claim);
void claims_leave(struct claims *claims, struct claim *claim);
/* The file describes the object anew: takes what it needs out of `new`, which is to be freed. */
void claims_renew(struct claims *claims, struct claim *claim, struct claim *new);
bool claims_counts(const struct claims *claims, const struct claim *claim);
/* Why it does not count, to `reason`, which it returns. */
const char *claims_conflict(const struct claims *claims, const struct claim *claim, char reason[512]);
/* Logs each claim that does not count, once. Cost proportional to all claims if there is one, else nothing. */
void claims_announce(struct claims *claims);

#endif
