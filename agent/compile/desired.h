/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_DESIRED_H
#define WEFT_DESIRED_H
/*
 * What the maps should hold: the output of compile/ and the input of datapath/. Plain tables from fixed-size keys to byte
 * strings, with a list of the keys that changed since datapath/ last looked. Values are logical: one buffer, no indexes
 * into weft_slots or weft_rules; datapath/ adds both. Deterministic: the same model gives the same tables.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weft/abi.h"

struct table;

int table_new(struct table **ret, size_t key_size); /* 0 or -ENOMEM */
void table_free(struct table *table);
/* Returns 1 if the value is new or differs (the key is dirty now), 0 if nothing changed, -ENOMEM. Copies both. */
int table_set(struct table *table, const void *key, const void *value, size_t size);
/* Returns 1 if the key was there (dirty now), else 0; -ENOMEM. */
int table_unset(struct table *table, const void *key);
/* The value, valid until the key is set or unset; NULL if there is none. *ret_size may be NULL. */
const void *table_get(const struct table *table, const void *key, size_t *ret_size);
/* compile/'s own count beside the value, 0 for a new key: how many have a use for it. NULL if there is no such key. */
uint32_t *table_users(const struct table *table, const void *key);
size_t table_count(const struct table *table);
/* In no particular order. Stops at the first non-zero result and returns it. `value` NULL in table_each_dirty: deleted. */
typedef int table_each_fn(const void *key, const void *value, size_t size, void *context);
int table_each(const struct table *table, table_each_fn *each, void *context);
int table_each_dirty(const struct table *table, table_each_fn *each, void *context);
size_t table_dirty_count(const struct table *table);
/*
 * datapath/: a write failed, try again at the next apply; or the map holds a key that is not wanted (it becomes a dirty key
 * without value). Allowed during table_each_dirty() for the key at hand: that one outlives the next table_clean().
 */
void table_mark_dirty(struct table *table, const void *key);
/* datapath/: all dirty keys are written, but for those marked during or after table_each_dirty(). */
void table_clean(struct table *table);

struct desired_workload { /* key of .workloads: uint64_t cookie; of .interfaces: uint32_t ifindex */
	uint64_t netns_cookie;
	uint32_t identity;
	uint32_t subject;
	uint32_t ifindex;
	uint32_t flags; /* enum weft_workload_flag without SHORT_WAY: datapath/ adds that */
	uint8_t mac[6];
	uint8_t pad[2];
	struct weft_addr addr[2];
};
struct desired_address { /* key: struct weft_addr */
	uint32_t identity;
	uint32_t ifindex;
	uint32_t flags;
};
struct desired_prefix { /* key: struct weft_prefix */
	uint32_t identity;
};
/* .policies: key struct weft_policy_key, value an array of struct weft_rule (start 0 first, sorted, at least one). */
/* .services: key struct weft_service_key, value struct weft_service (first_slot, next = 0) then slot_count x struct weft_slot. */
/* .backends: key struct weft_backend_key, value empty: the state belongs to the programs. */

struct desired {
	struct table *services, *backends;
	struct table *workloads, *interfaces, *addresses, *prefixes, *policies;
};
int desired_new(struct desired **ret);
void desired_free(struct desired *desired);

#endif
