/* SPDX-License-Identifier: Apache-2.0 */
#include "source/source.h"

#include <errno.h>
#include <string.h>

#include "source/provider.h"
#include "util/log.h"

static const struct source_provider *const providers[] = { &source_directory };

int source_open(struct source **ret, struct event_base *base, struct model *model, const char *spec,
		void (*changed)(void *context), void *context)
{
	for (size_t i = 0; i < sizeof(providers) / sizeof(*providers); i++) {
		size_t length = strlen(providers[i]->name);

		if (!strncmp(spec, providers[i]->name, length) && spec[length] == ':' && spec[length + 1])
			return providers[i]->open(ret, base, model, spec + length + 1, changed, context);
	}
	log_error("--source=%s: not understood: write dir:PATH, a directory of Kubernetes manifests", spec);
	return -EINVAL;
}

void source_close(struct source *source)
{
	if (source)
		source->provider->close(source);
}

int source_each_problem(const struct source *source, int (*each)(const struct source_problem *problem, void *context),
			void *context)
{
	return source->provider->each_problem(source, each, context);
}

uint64_t source_noticed(const struct source *source) { return source->noticed; }

void source_counters(const struct source *source, struct source_counters *ret) { *ret = source->counters; }
