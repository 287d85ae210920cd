/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of desired.h. An entry is one block of memory: a header of 16 bytes, the key, the value. A key that was
 * deleted keeps an entry without value until table_clean(), so that datapath/ hears of it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "compile/desired.h"
#include "util/hash.h"
#include "util/log.h"

#define VALUE_ALIGNMENT 8
#define DELETED UINT32_MAX
#define RETRY (UINT32_C(1) << 31)

struct entry {
	uint32_t size;	/* of the value, or DELETED */
	uint32_t dirty; /* 0: clean; else its place in the dirty list plus 1, with RETRY if a write failed */
	uint32_t users;
	_Alignas(VALUE_ALIGNMENT) unsigned char data[]; /* the key, padded to VALUE_ALIGNMENT, and the value */
};

struct table {
	struct hash_set entries; /* with those that are deleted and dirty */
	struct entry **dirty;
	size_t dirty_count, dirty_room;
	size_t deleted_count;
};

int table_new(struct table **ret, size_t key_size)
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table)
		return -ENOMEM;
	table->entries.key_offset = offsetof(struct entry, data);
	table->entries.key_size = key_size;
	*ret = table;
	return 0;
}

void table_free(struct table *table)
{
	struct entry *entry;
	size_t position = 0;

	if (!table)
		return;
	while ((entry = hash_set_next(&table->entries, &position)))
		free(entry);
	hash_set_clear(&table->entries);
	free(table->dirty);
	free(table);
}

static size_t padded_key_size(const struct table *table)
{
	return (table->entries.key_size + VALUE_ALIGNMENT - 1) / VALUE_ALIGNMENT * VALUE_ALIGNMENT;
}

static unsigned char *value_of(const struct table *table, struct entry *entry)
{
	return entry->data + padded_key_size(table);
}

static struct entry *entry_new(const struct table *table, const void *key, const void *value, uint32_t size)
{
	struct entry *entry = malloc(sizeof(*entry) + padded_key_size(table) + (size == DELETED ? 0 : size));

	if (!entry)
		return NULL;
	entry->size = size;
	entry->dirty = 0;
	entry->users = 0;
	memcpy(entry->data, key, table->entries.key_size);
	if (size && size != DELETED)
		memcpy(value_of(table, entry), value, size);
	return entry;
}

/* Room in the dirty list for one more, so that mark() cannot fail. */
static int reserve_dirty(struct table *table)
{
	size_t room = table->dirty_room ? table->dirty_room * 2 : 16;
	struct entry **dirty;

	if (table->dirty_count < table->dirty_room)
		return 0;
	dirty = realloc(table->dirty, room * sizeof(*dirty));
	if (!dirty)
		return -ENOMEM;
	table->dirty = dirty;
	table->dirty_room = room;
	return 0;
}

static void mark(struct table *table, struct entry *entry)
{
	if (entry->dirty)
		return;
	table->dirty[table->dirty_count++] = entry;
	entry->dirty = (uint32_t)table->dirty_count;
}

static struct entry **place_in_dirty(const struct table *table, const struct entry *entry)
{
	return &table->dirty[(entry->dirty & ~RETRY) - 1];
}

/* Gives an entry that is there another value; the block may move. */
static int entry_change(struct table *table, struct entry *old, const void *value, uint32_t size)
{
	struct entry *entry = old;

	if (old->size != size) {
		entry = entry_new(table, old->data, value, size);
		if (!entry)
			return -ENOMEM;
		entry->dirty = old->dirty;
		entry->users = old->users;
		if (hash_set_put(&table->entries, entry, NULL) < 0) {
			free(entry);
			return -ENOMEM;
		}
		if (entry->dirty)
			*place_in_dirty(table, entry) = entry;
		free(old);
	} else {
		memcpy(value_of(table, entry), value, size);
	}
	mark(table, entry);
	return 1;
}

int table_set(struct table *table, const void *key, const void *value, size_t size)
{
	struct entry *entry = hash_set_find(&table->entries, key);
	bool deleted = entry && entry->size == DELETED;
	int result;

	if (entry && entry->size == size && (!size || !memcmp(value_of(table, entry), value, size)))
		return 0;
	if (size >= DELETED || reserve_dirty(table) < 0)
		return -ENOMEM;
	if (entry) {
		result = entry_change(table, entry, value, (uint32_t)size);
		if (result > 0 && deleted)
			table->deleted_count--;
		return result;
	}
	entry = entry_new(table, key, value, (uint32_t)size);
	if (!entry)
		return -ENOMEM;
	if (hash_set_put(&table->entries, entry, NULL) < 0) {
		free(entry);
		return -ENOMEM;
	}
	mark(table, entry);
	return 1;
}

int table_unset(struct table *table, const void *key)
{
	struct entry *entry = hash_set_find(&table->entries, key);

	if (!entry || entry->size == DELETED)
		return 0;
	if (!entry->dirty && reserve_dirty(table) < 0)
		return -ENOMEM;
	entry->size = DELETED;
	entry->users = 0;
	table->deleted_count++;
	mark(table, entry);
	return 1;
}

const void *table_get(const struct table *table, const void *key, size_t *ret_size)
{
	struct entry *entry = hash_set_find(&table->entries, key);

	if (!entry || entry->size == DELETED)
		return NULL;
	if (ret_size)
		*ret_size = entry->size;
	return value_of(table, entry);
}

uint32_t *table_users(const struct table *table, const void *key)
{
	struct entry *entry = hash_set_find(&table->entries, key);

	return entry && entry->size != DELETED ? &entry->users : NULL;
}

size_t table_count(const struct table *table) { return table->entries.count - table->deleted_count; }

int table_each(const struct table *table, table_each_fn *each, void *context)
{
	struct entry *entry;
	size_t position = 0;
	int result = 0;

	while (!result && (entry = hash_set_next(&table->entries, &position)))
		if (entry->size != DELETED)
			result = each(entry->data, value_of(table, entry), entry->size, context);
	return result;
}

int table_each_dirty(const struct table *table, table_each_fn *each, void *context)
{
	int result = 0;

	for (size_t i = 0; !result && i < table->dirty_count; i++) {
		struct entry *entry = table->dirty[i];

		entry->dirty &= ~RETRY;
		if (entry->size == DELETED)
			result = each(entry->data, NULL, 0, context);
		else
			result = each(entry->data, value_of(table, entry), entry->size, context);
	}
	return result;
}

size_t table_dirty_count(const struct table *table) { return table->dirty_count; }

void table_mark_dirty(struct table *table, const void *key)
{
	struct entry *entry = hash_set_find(&table->entries, key);

	if (entry && entry->dirty) {
		entry->dirty |= RETRY;
		return;
	}
	if (reserve_dirty(table) < 0)
		goto no_memory;
	if (!entry) {
		entry = entry_new(table, key, NULL, DELETED);
		if (!entry)
			goto no_memory;
		if (hash_set_put(&table->entries, entry, NULL) < 0) {
			free(entry);
			goto no_memory;
		}
		table->deleted_count++;
	}
	mark(table, entry);
	return;
no_memory:
	log_error("no memory to note a map entry that has to be written again; it is written at the next start of the agent");
}

void table_clean(struct table *table)
{
	size_t kept = 0;

	for (size_t i = 0; i < table->dirty_count; i++) {
		struct entry *entry = table->dirty[i];

		if (entry->dirty & RETRY) {
			table->dirty[kept++] = entry;
			entry->dirty = (uint32_t)kept;
			continue;
		}
		entry->dirty = 0;
		if (entry->size != DELETED)
			continue;
		hash_set_take(&table->entries, entry->data);
		free(entry);
		table->deleted_count--;
	}
	table->dirty_count = kept;
	if (!kept) { /* the first load makes a long list that is not needed again */
		free(table->dirty);
		table->dirty = NULL;
		table->dirty_room = 0;
	}
}
