/* SPDX-License-Identifier: Apache-2.0 */
#include "datapath/runs.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct run {
	uint32_t first, count;
	uint64_t content; /* hash of its rules */
	uint32_t references;
	bool shared; /* is in by_content; of two with the same hash only one is */
};

int runs_init(struct runs *runs, struct shared_array *rules)
{
	*runs = (struct runs){
		.rules = rules,
		.by_first = SET_BY(struct run, first),
		.by_content = SET_BY(struct run, content),
	};
	return ranges_init(&runs->ranges, rules->capacity);
}

void runs_clear(struct runs *runs)
{
	size_t position = 0;
	struct run *run;

	while ((run = hash_set_next(&runs->by_first, &position)))
		free(run);
	hash_set_clear(&runs->by_first);
	hash_set_clear(&runs->by_content);
	ranges_clear(&runs->ranges);
}

const struct weft_rule *runs_at(const struct runs *runs, uint32_t first, uint32_t count)
{
	return shared_array_at(runs->rules, first, count);
}

static int run_add(struct runs *runs, uint32_t first, uint32_t count, uint64_t content)
{
	struct run *run = malloc(sizeof(*run));

	if (!run || hash_set_reserve(&runs->by_first) < 0 || hash_set_reserve(&runs->by_content) < 0) {
		free(run);
		return -ENOMEM;
	}
	*run = (struct run){ .first = first, .count = count, .content = content, .references = 1 };
	run->shared = !hash_set_find(&runs->by_content, &content);
	hash_set_put(&runs->by_first, run, NULL);
	if (run->shared)
		hash_set_put(&runs->by_content, run, NULL);
	return 0;
}

int runs_adopt(struct runs *runs, uint32_t first, uint32_t count)
{
	struct run *run = hash_set_find(&runs->by_first, &first);
	const struct weft_rule *rules;
	int result;

	if (run) {
		run->references++;
		return run->count == count ? 0 : -EINVAL;
	}
	rules = runs_at(runs, first, count);
	if (!rules)
		return -EINVAL;
	result = ranges_reserve(&runs->ranges, first, count);
	if (result == 0)
		result = run_add(runs, first, count, hash_bytes(HASH_START, rules, count * sizeof(*rules)));
	return result;
}

int runs_settle(struct runs *runs) { return ranges_settle(&runs->ranges); }

int runs_get(struct runs *runs, const struct weft_rule *rules, uint32_t count, uint32_t *ret_first)
{
	size_t size = count * sizeof(*rules);
	uint64_t content = hash_bytes(HASH_START, rules, size);
	struct run *run = hash_set_find(&runs->by_content, &content);
	uint32_t first;
	void *room;
	int result;

	if (run && run->count == count && !memcmp(runs_at(runs, run->first, count), rules, size)) {
		run->references++;
		*ret_first = run->first;
		return 0;
	}
	result = ranges_take(&runs->ranges, count, &first);
	if (result < 0)
		return result;
	room = shared_array_at(runs->rules, first, count);
	result = room ? run_add(runs, first, count, content) : -ENOMEM;
	if (result == 0)
		memcpy(room, rules, size);
	if (result < 0)
		ranges_give(&runs->ranges, first, count);
	else
		*ret_first = first;
	return result;
}

void runs_put(struct runs *runs, uint32_t first)
{
	struct run *run = hash_set_find(&runs->by_first, &first);

	if (!run || --run->references)
		return;
	hash_set_take(&runs->by_first, &run->first);
	if (run->shared)
		hash_set_take(&runs->by_content, &run->content);
	ranges_give(&runs->ranges, run->first, run->count);
	free(run);
}
