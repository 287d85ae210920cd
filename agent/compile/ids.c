/* SPDX-License-Identifier: Apache-2.0 */
#include "compile/ids.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util/clock.h"
#include "util/hash.h"

struct name {
	uint32_t id;
	uint32_t users;
	time_t idle_since;	/* CLOCK_MONOTONIC s; while users is 0 */
	struct name *next_idle; /* the queue of names that lost their last user, oldest first */
	bool queued;		/* a name that found users again stays in the queue until its turn comes */
	char text[];
};

struct ids {
	struct hash_set names;
	struct name *first_idle, **last_idle;
	size_t idle_count;
	unsigned int keep_seconds;
};

static time_t now_seconds(void) { return (time_t)(clock_now(CLOCK_MONOTONIC) / NANOSECONDS); }

int ids_new(struct ids **ret, unsigned int keep_seconds)
{
	struct ids *ids = calloc(1, sizeof(*ids));

	if (!ids)
		return -ENOMEM;
	ids->names = (struct hash_set){ .key_offset = offsetof(struct name, id), .key_size = sizeof(uint32_t) };
	ids->last_idle = &ids->first_idle;
	ids->keep_seconds = keep_seconds;
	*ret = ids;
	return 0;
}

void ids_free(struct ids *ids)
{
	struct name *name;
	size_t position = 0;

	if (!ids)
		return;
	while ((name = hash_set_next(&ids->names, &position)))
		free(name);
	hash_set_clear(&ids->names);
	free(ids);
}

static uint32_t first_choice(const char *text)
{
	uint64_t hash = hash_bytes(HASH_START, text, strlen(text));
	uint32_t id = (uint32_t)(hash ^ hash >> 32);

	return id < IDS_FIRST ? id + IDS_FIRST : id;
}

static uint32_t next_choice(uint32_t id) { return id == UINT32_MAX ? IDS_FIRST : id + 1; }

static void queue(struct ids *ids, struct name *name)
{
	name->next_idle = NULL;
	name->queued = true;
	*ids->last_idle = name;
	ids->last_idle = &name->next_idle;
	ids->idle_count++;
}

static struct name *unqueue(struct ids *ids)
{
	struct name *name = ids->first_idle;

	ids->first_idle = name->next_idle;
	if (!ids->first_idle)
		ids->last_idle = &ids->first_idle;
	ids->idle_count--;
	name->queued = false;
	return name;
}

/*
 * Forgets the names that have been idle for long enough. One whose next number is taken must stay: that one may be
 * there because this one was in its way, and would not be found across a gap.
 */
static void collect(struct ids *ids)
{
	time_t now = now_seconds();

	for (size_t turns = ids->idle_count; turns; turns--) {
		struct name *name = ids->first_idle;
		uint32_t neighbour = next_choice(name->id);

		if (!name->users && now - name->idle_since < (time_t)ids->keep_seconds)
			return;
		unqueue(ids);
		if (name->users)
			continue;
		if (hash_set_find(&ids->names, &neighbour)) {
			name->idle_since = now;
			queue(ids, name);
			continue;
		}
		hash_set_take(&ids->names, &name->id);
		free(name);
	}
}

static struct name *name_new(struct ids *ids, uint32_t id, const char *text)
{
	size_t size = strlen(text) + 1;
	struct name *name = calloc(1, sizeof(*name) + size);

	if (!name)
		return NULL;
	name->id = id;
	memcpy(name->text, text, size);
	if (hash_set_put(&ids->names, name, NULL) < 0) {
		free(name);
		return NULL;
	}
	return name;
}

uint32_t ids_get(struct ids *ids, const char *text)
{
	uint32_t id = first_choice(text);
	struct name *name = hash_set_find(&ids->names, &id);

	while (name && strcmp(name->text, text) != 0) {
		id = next_choice(id);
		name = hash_set_find(&ids->names, &id);
	}
	if (!name)
		name = name_new(ids, id, text);
	if (!name)
		return 0;
	name->users++;
	return id;
}

void ids_put(struct ids *ids, uint32_t id)
{
	struct name *name = hash_set_find(&ids->names, &id);

	if (!name || !name->users || --name->users)
		return;
	name->idle_since = now_seconds();
	if (!name->queued)
		queue(ids, name);
	collect(ids);
}

const char *ids_text(const struct ids *ids, uint32_t id)
{
	const struct name *name = hash_set_find(&ids->names, &id);

	return name ? name->text : NULL;
}
