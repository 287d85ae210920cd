/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_SOURCE_H
#define WEFT_SOURCE_H
/*
 * Where objects come from. A source decodes them and puts them into the model; --source=KIND:REST picks one. `dir:PATH`
 * watches a directory of manifests; `kube` will sit beside it behind the same functions.
 */
#include <event2/event.h>

#include "model/model.h"

struct source;

/* Something the operator must see: a file that does not parse (its last good objects stay in force). */
struct source_problem {
	const char *file;
	int line; /* from 1; 0: unknown */
	const char *reason;
};

/*
 * `spec` is the text after --source=. Loads everything once before it returns, then watches from the event loop. After
 * each batch of model changes, `changed(context)` is called once, from the loop; for what was there at first too.
 *
 * dir:PATH reads the files *.yaml, *.yml and *.json of the directory itself, not of directories in it, nor those whose
 * name begins with a dot. Links are followed; a change of the file behind one is seen when the link changes, or
 * "..data". An object that two files describe is taken from the one whose name comes first. A file with an error keeps
 * its last good objects; of one that was never without error those that are right are taken. A directory that vanishes
 * keeps its last objects until it is back.
 *
 * 0; -EINVAL: the spec is not understood, -ENOENT: no such directory, other -errno: watching failed; each logged with
 * what to do.
 */
int source_open(struct source **ret, struct event_base *base, struct model *model, const char *spec,
		void (*changed)(void *context), void *context);
void source_close(struct source *source); /* NULL is fine */
int source_each_problem(const struct source *source, int (*each)(const struct source_problem *problem, void *context),
			void *context);
/*
 * For changed(): CLOCK_MONOTONIC ns at which the first of the changes that it announces was noticed, before anything was
 * read or decoded.
 */
uint64_t source_noticed(const struct source *source);
struct source_counters { /* since start */
	uint64_t files;		  /* read, each time counted */
	uint64_t objects;	  /* decoded */
	uint64_t ignored_objects; /* of kinds that Weft does not use */
	uint64_t parse_errors;	  /* files read with a problem */
	uint64_t reloads;	  /* batches that changed the model after the first */
};
void source_counters(const struct source *source, struct source_counters *ret);

/*
 * decode.c: one manifest document (already a cJSON tree, whether it was written as YAML or JSON) to a model object.
 * *ret is NULL and the result 0 for a kind that Weft does not use (say so once, at info). -EINVAL: `reason` (256 bytes) says
 * what is wrong and where ("spec.ports[0].port: 70000 is not a port"). Unsupported fields go to model_report() by way of
 * `report`. kind List is split by the caller. Also used by the Kubernetes client later.
 */
struct cJSON;
typedef void decode_report_fn(const struct object *object, const char *text, void *context);
int decode_object(const struct cJSON *document, struct object **ret, char reason[256], decode_report_fn *report, void *context);

/* manifest.c: text (YAML multi-document, or JSON) to cJSON trees, one call per document. -EINVAL with *ret_line and reason. */
int manifest_each_document(const char *text, size_t size, int (*each)(struct cJSON *document, int line, void *context),
			   void *context, int *ret_line, char reason[256]);

#endif
