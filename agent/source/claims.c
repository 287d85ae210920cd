/* SPDX-License-Identifier: Apache-2.0 */
#include "source/claims.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/log.h"

#define ORIGIN "source"

uint64_t claim_hash(const void *entry)
{
	const struct object *object = ((const struct claim *)entry)->object;
	const void *key[] = { (const void *)(uintptr_t)object->kind, object->namespace, object->name };

	return hash_bytes(HASH_START, key, sizeof(key));
}

bool claim_equal(const void *a, const void *b)
{
	const struct object *left = ((const struct claim *)a)->object, *right = ((const struct claim *)b)->object;

	return left->kind == right->kind && left->name == right->name && left->namespace == right->namespace;
}

static void texts_free(struct text *texts)
{
	while (texts) {
		struct text *next = texts->next;

		free(texts);
		texts = next;
	}
}

void claim_free(struct claim *claim)
{
	if (!claim)
		return;
	object_free(claim->object);
	texts_free(claim->reports);
	free(claim);
}

static bool has_text(const struct text *texts, const char *text)
{
	for (; texts; texts = texts->next)
		if (!strcmp(texts->text, text))
			return true;
	return false;
}

static const char *object_title(const struct object *object, char title[256])
{
	snprintf(title, 256, "%s %s%s%s", model_kind_name(object->kind), object->namespace,
		 *object->namespace ? "/" : "", object->name);
	return title;
}

static void log_no_memory(const struct claims *claims, const char *name)
{
	log_error("%s/%s: out of memory: not all of it is in force", claims->directory, name);
}

/* Logs what is not honoured, but for what is `known` to the reader. */
static void log_reports(const struct claims *claims, const struct claim *claim, const struct text *known)
{
	char title[256];

	for (const struct text *report = claim->reports; report; report = report->next)
		if (!has_text(known, report->text))
			log_warn("%s/%s:%d: %s: %s", claims->directory, claim->file, claim->line,
				 object_title(claim->object, title), report->text);
}

/* Gives the claim's object to the model: its word counts now. */
static void enforce(struct claims *claims, struct claim *claim)
{
	const struct object *object = claim->object;
	int result = model_put(claims->model, object_hold(claim->object));

	if (result < 0) {
		log_no_memory(claims, claim->file);
		return;
	}
	claims->changed |= result > 0;
	claim->announced = false;
	model_clear_reports(claims->model, object->kind, object->namespace, object->name, ORIGIN);
	for (const struct text *report = claim->reports; report; report = report->next)
		if (model_report(claims->model, object->kind, object->namespace, object->name, ORIGIN, report->text) ==
		    -ENOMEM)
			log_no_memory(claims, claim->file);
}

int claims_enter(struct claims *claims, struct claim *claim)
{
	struct claim *head = hash_set_find(&claims->first, claim), *before = head;

	if (!head || strcmp(claim->file, head->file) < 0) {
		claim->next = head;
		if (hash_set_put(&claims->first, claim, NULL) < 0)
			return -ENOMEM;
		enforce(claims, claim);
	} else {
		while (before->next && strcmp(before->next->file, claim->file) < 0)
			before = before->next;
		claim->next = before->next;
		before->next = claim;
	}
	claims->shadowed += head != NULL;
	log_reports(claims, claim, NULL);
	return 0;
}

void claims_leave(struct claims *claims, struct claim *claim)
{
	const struct object *object = claim->object;
	struct claim *head = hash_set_find(&claims->first, claim), *before = head;

	claims->shadowed -= claim != head || claim->next;
	if (claim != head) {
		while (before->next != claim)
			before = before->next;
		before->next = claim->next;
	} else if (claim->next) {
		hash_set_put(&claims->first, claim->next, NULL); /* replacing cannot fail */
		enforce(claims, claim->next);
	} else {
		hash_set_take(&claims->first, claim);
		claims->changed |= model_delete(claims->model, object->kind, object->namespace, object->name);
	}
	claim->next = NULL;
}

bool claims_counts(const struct claims *claims, const struct claim *claim)
{
	return hash_set_find(&claims->first, claim) == claim;
}

void claims_renew(struct claims *claims, struct claim *claim, struct claim *new)
{
	struct text *old_reports = claim->reports;

	log_reports(claims, new, old_reports);
	claim->line = new->line;
	claim->reports = new->reports;
	new->reports = NULL;
	new->renewed = true;
	if (claim->object->digest != new->object->digest) {
		struct object *old = claim->object;

		claim->object = new->object;
		new->object = NULL;
		object_free(old);
	}
	if (claims_counts(claims, claim))
		enforce(claims, claim);
	texts_free(old_reports);
}

const char *claims_conflict(const struct claims *claims, const struct claim *claim, char reason[512])
{
	const struct claim *head = hash_set_find(&claims->first, claim);
	char title[256];

	snprintf(reason, 512, "%s is in %.180s too, which comes first: it is not taken from here",
		 object_title(claim->object, title), head->file);
	return reason;
}

void claims_announce(struct claims *claims)
{
	char reason[512];

	for (size_t i = 0; i < claims->first.capacity; i++) {
		struct claim *claim = claims->first.slots[i];

		for (claim = claim ? claim->next : NULL; claim; claim = claim->next) {
			if (claim->announced)
				continue;
			claim->announced = true;
			log_error("%s/%s:%d: %s", claims->directory, claim->file, claim->line,
				  claims_conflict(claims, claim, reason));
		}
	}
}
