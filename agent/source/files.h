/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_SOURCE_FILES_H
#define WEFT_SOURCE_FILES_H
/*
 * What the manifests of a directory say, file by file. Whose word counts when two speak of the same object: claims.h.
 *
 * A file with an error keeps all its objects as they last were. One that was never read without error has no such
 * state: what is right in it is taken, and nothing goes.
 */
#include "source/source.h"

struct files;

/* `directory` and `counters` must outlive it. 0 or -ENOMEM. */
int files_new(struct files **ret, struct model *model, const char *directory, struct source_counters *counters);
void files_free(struct files *files); /* NULL is fine; the model keeps its objects */

/* Reads a file of the directory (again). One that is not there stays as it was: see files_remove(). */
void files_read(struct files *files, const char *name);
/* The same, but not if it looks as it did the last time: device, inode, size, times. */
void files_refresh(struct files *files, const char *name);
/* The file is gone, and its objects with it. Fine when it is not known. */
void files_remove(struct files *files, const char *name);
/* Whether there is such a file in the directory now. */
bool files_exists(const struct files *files, const char *name);
/* Each file that was read, in order of the names; `each` must not read or remove any. */
int files_each(const struct files *files, int (*each)(const char *name, void *context), void *context);

/* After a batch of the above: whether the model has changed since the last time. `quiet`: it is not the end, log no
 * conflicts yet. */
bool files_settle(struct files *files, bool quiet);
int files_each_problem(const struct files *files, int (*each)(const struct source_problem *problem, void *context),
		       void *context);

#endif
