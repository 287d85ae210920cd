/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_SOURCE_PROVIDER_H
#define WEFT_SOURCE_PROVIDER_H
/* What a kind of source offers to source.c. A source's own structure starts with struct source. */
#include "source/source.h"

struct source_provider {
	const char *name; /* --source=NAME:REST */
	int (*open)(struct source **ret, struct event_base *base, struct model *model, const char *rest,
		    void (*changed)(void *context), void *context);
	void (*close)(struct source *source);
	int (*each_problem)(const struct source *source,
			    int (*each)(const struct source_problem *problem, void *context), void *context);
};

struct source {
	const struct source_provider *provider;
	struct source_counters counters;
	uint64_t noticed; /* when what is about to be announced was seen first; 0: nothing is */
};

extern const struct source_provider source_directory; /* dir.c */

#endif
