/* SPDX-License-Identifier: Apache-2.0 */
#include "source/files.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "source/claims.h"
#include "util/hash.h"
#include "util/intern.h"
#include "util/log.h"

#define FILE_SIZE_MAX (64 * 1024 * 1024)

struct file {
	const char *name; /* interned */
	struct claim *claims;
	uint64_t version; /* what stat() said when it was read */
	char *problem;	  /* NULL: none */
	int problem_line;
	bool was_good; /* read at least once without a problem */
};

struct files {
	const char *directory;
	struct source_counters *counters;
	struct hash_set files; /* of struct file */
	struct claims claims;
	struct hash_set ignored_kinds; /* interned "KIND (APIVERSION)" that were logged */
};

/* --- sets; names are interned, so pointers are compared --- */

static uint64_t file_hash(const void *entry)
{
	return hash_bytes(HASH_START, &((const struct file *)entry)->name, sizeof(char *));
}
static bool file_equal(const void *a, const void *b)
{
	return ((const struct file *)a)->name == ((const struct file *)b)->name;
}

static uint64_t pointer_hash(const void *entry) { return hash_bytes(HASH_START, &entry, sizeof(entry)); }
static bool pointer_equal(const void *a, const void *b) { return a == b; }

static void log_no_memory(const struct files *files, const char *name)
{
	log_error("%s/%s: out of memory: not all of it is in force", files->directory, name);
}

/* --- making and freeing --- */

int files_new(struct files **ret, struct model *model, const char *directory, struct source_counters *counters)
{
	struct files *files = malloc(sizeof(*files));

	if (!files)
		return -ENOMEM;
	*files = (struct files){
		.directory = directory,
		.counters = counters,
		.files = { .hash = file_hash, .equal = file_equal },
		.claims = { .model = model,
			    .directory = directory,
			    .first = { .hash = claim_hash, .equal = claim_equal } },
		.ignored_kinds = { .hash = pointer_hash, .equal = pointer_equal },
	};
	*ret = files;
	return 0;
}

static void file_free(struct file *file)
{
	if (!file)
		return;
	while (file->claims) {
		struct claim *next = file->claims->sibling;

		claim_free(file->claims);
		file->claims = next;
	}
	free(file->problem);
	free(file);
}

void files_free(struct files *files)
{
	if (!files)
		return;
	for (size_t i = 0; i < files->files.capacity; i++)
		file_free(files->files.slots[i]);
	hash_set_clear(&files->files);
	hash_set_clear(&files->claims.first);
	hash_set_clear(&files->ignored_kinds);
	free(files);
}

/* --- reading a file --- */

struct loading {
	struct files *files;
	struct file *file;
	struct claim *claims, **end; /* in the order of the file */
	struct hash_set found;	     /* of struct claim: the same */
	struct claim *current;	     /* whose reports are coming in */
	int line;		     /* of the document being read */
	int item;		     /* of the List being read; -1: none */
	char problem[512];
	int problem_line;
	size_t problem_count;
};

/* Keys and values of a manifest end up in texts for people: no line breaks and no codes for terminals. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

static void note_problem(struct loading *loading, int line, const char *title, const char *reason)
{
	char item[32] = "";

	if (loading->problem_count++)
		return;
	if (loading->item >= 0)
		snprintf(item, sizeof(item), "items[%d]: ", loading->item);
	snprintf(loading->problem, sizeof(loading->problem), "%s%s%s%s", item, title, *title ? ": " : "", reason);
	make_printable(loading->problem);
	loading->problem_line = line;
}

/* What the document calls itself, also when it is no valid object: "Service shop/web", "" when it does not say. */
static void document_title(const cJSON *document, char title[200])
{
	const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(document, "metadata");
	const char *kind = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(document, "kind"));
	const char *namespace = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(metadata, "namespace"));
	const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(metadata, "name"));

	*title = '\0';
	if (kind)
		snprintf(title, 200, "%.63s%s%.63s%s%.63s", kind, name ? " " : "", name && namespace ? namespace : "",
			 name && namespace ? "/" : "", name ? name : "");
}

static void add_report(const struct object *object, const char *text, void *context)
{
	struct claim *claim = ((struct loading *)context)->current;
	size_t size = strlen(text) + 1;
	struct text *report = malloc(sizeof(*report) + size), **end = &claim->reports;

	(void)object;
	if (!report)
		return; /* the report that there are reports is not worth more */
	report->next = NULL;
	memcpy(report->text, text, size);
	make_printable(report->text);
	while (*end)
		end = &(*end)->next;
	*end = report;
}

/* Logs a kind that Weft does not use, once. */
static void note_ignored(struct files *files, const struct loading *loading, const cJSON *document)
{
	char text[256];
	const char *kind;

	files->counters->ignored_objects++;
	snprintf(text, sizeof(text), "%.100s (%.100s)", cJSON_GetObjectItemCaseSensitive(document, "kind")->valuestring,
		 cJSON_GetObjectItemCaseSensitive(document, "apiVersion")->valuestring);
	make_printable(text);
	kind = intern(text);
	if (!kind || hash_set_find(&files->ignored_kinds, kind) ||
	    hash_set_put(&files->ignored_kinds, (void *)kind, NULL) < 0)
		return;
	log_info("%s/%s:%d: objects of kind %s are ignored: Weft has no use for them", files->directory,
		 loading->file->name, loading->line, kind);
}

static int add_claim(struct loading *loading, struct claim *claim, const char *title)
{
	const struct claim *twin = hash_set_find(&loading->found, claim);
	char reason[64];

	if (twin) {
		snprintf(reason, sizeof(reason), "is in this file twice, at line %d too", twin->line);
		note_problem(loading, claim->line, title, reason);
		claim_free(claim);
		return 0;
	}
	if (hash_set_put(&loading->found, claim, NULL) < 0) {
		claim_free(claim);
		return -ENOMEM;
	}
	*loading->end = claim;
	loading->end = &claim->sibling;
	loading->files->counters->objects++;
	return 0;
}

static int load_object(struct loading *loading, const cJSON *document)
{
	struct claim *claim = calloc(1, sizeof(*claim));
	char reason[256], title[200];
	int error;

	if (!claim)
		return -ENOMEM;
	claim->file = loading->file->name;
	claim->line = loading->line;
	loading->current = claim;
	document_title(document, title);
	error = decode_object(document, &claim->object, reason, add_report, loading);
	if (!error && claim->object)
		return add_claim(loading, claim, title);
	if (error == -EINVAL)
		note_problem(loading, loading->line, title, reason);
	else if (!error)
		note_ignored(loading->files, loading, document);
	claim_free(claim);
	return error == -EINVAL ? 0 : error;
}

static int load_document(cJSON *document, int line, void *context)
{
	struct loading *loading = context;
	const char *kind = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(document, "kind"));
	const cJSON *items = cJSON_GetObjectItemCaseSensitive(document, "items");
	int error = 0;

	loading->line = line;
	loading->item = -1;
	if (!kind || strcmp(kind, "List") != 0)
		return load_object(loading, document);
	if (items && !cJSON_IsArray(items) && !cJSON_IsNull(items)) {
		note_problem(loading, line, "List", "items: must be a list");
		return 0;
	}
	for (const cJSON *item = items ? items->child : NULL; item && !error; item = item->next) {
		loading->item++;
		error = load_object(loading, item);
	}
	loading->item = -1;
	return error;
}

static void loading_clear(struct loading *loading)
{
	while (loading->claims) {
		struct claim *next = loading->claims->sibling;

		claim_free(loading->claims);
		loading->claims = next;
	}
	hash_set_clear(&loading->found);
}

/* Brings the claims that the file had up to date. Returns the end of their list. */
static struct claim **commit_known(struct loading *loading)
{
	struct claim **link = &loading->file->claims, *claim;

	while ((claim = *link)) {
		struct claim *new = hash_set_take(&loading->found, claim);

		if (new)
			claims_renew(&loading->files->claims, claim, new);
		/* with a problem, what is missing may be what could not be read: it stays */
		if (new || loading->problem_count) {
			link = &claim->sibling;
			continue;
		}
		*link = claim->sibling;
		claims_leave(&loading->files->claims, claim);
		claim_free(claim);
	}
	return link;
}

/* Adds those that are new to the list that ends at `link`. */
static void commit_new(struct loading *loading, struct claim **link)
{
	struct claim *next;

	for (struct claim *claim = loading->claims; claim; claim = next) {
		next = claim->sibling;
		claim->sibling = NULL;
		if (claim->renewed) {
			claim_free(claim);
		} else if (claims_enter(&loading->files->claims, claim) < 0) {
			log_no_memory(loading->files, loading->file->name);
			claim_free(claim);
		} else {
			*link = claim;
			link = &claim->sibling;
		}
	}
	loading->claims = NULL;
}

/* Says it once for each change of it. */
static void set_problem(struct files *files, struct file *file, const struct loading *loading)
{
	char text[600];

	if (!loading->problem_count) {
		if (file->problem)
			log_info("%s/%s: read without a problem again", files->directory, file->name);
		free(file->problem);
		file->problem = NULL;
		file->was_good = true;
		return;
	}
	files->counters->parse_errors++;
	snprintf(text, sizeof(text), "%s", loading->problem);
	if (loading->problem_count > 1)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), " (and %zu more in this file)",
			 loading->problem_count - 1);
	if (file->problem && file->problem_line == loading->problem_line && !strcmp(file->problem, text))
		return;
	free(file->problem);
	file->problem = strdup(text);
	file->problem_line = loading->problem_line;
	log_error("%s/%s:%d: %s%s", files->directory, file->name, file->problem_line, text,
		  file->was_good ? "; what the file last said stays in force"
		  : file->claims ? "; the rest of the file is in force"
				 : "");
}

/* Up to `size` bytes; *ret is malloc'd. */
static int slurp(int descriptor, size_t size, char **ret, size_t *ret_size)
{
	char *text = malloc(size + 1);
	size_t used = 0;

	if (!text)
		return -ENOMEM;
	while (used < size) {
		ssize_t count = read(descriptor, text + used, size - used);

		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0) {
			int error = -errno;

			free(text);
			return error;
		}
		if (!count)
			break;
		used += (size_t)count;
	}
	*ret = text;
	*ret_size = used;
	return 0;
}

static uint64_t version_of(const struct stat *status)
{
	const uint64_t parts[] = {
		status->st_dev,
		status->st_ino,
		(uint64_t)status->st_size,
		(uint64_t)status->st_mtim.tv_sec,
		(uint64_t)status->st_mtim.tv_nsec,
		(uint64_t)status->st_ctim.tv_sec,
		(uint64_t)status->st_ctim.tv_nsec,
	};

	return hash_bytes(HASH_START, parts, sizeof(parts));
}

static const char *path_of(const struct files *files, const char *name, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%s", files->directory, name);
	return path;
}

/* -ENOENT: there is no such file. All else that is wrong with it becomes a problem of `loading`. */
static int read_text(struct loading *loading, char **ret, size_t *ret_size)
{
	char path[PATH_MAX], reason[128];
	struct stat status;
	int error = 0;
	/* a FIFO must not hold the loop up */
	int descriptor = open(path_of(loading->files, loading->file->name, path), O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (descriptor < 0 || fstat(descriptor, &status) < 0)
		error = -errno;
	else if (!S_ISREG(status.st_mode))
		error = -EISDIR;
	else if (status.st_size > FILE_SIZE_MAX)
		error = -EFBIG;
	else
		error = slurp(descriptor, (size_t)status.st_size, ret, ret_size);
	if (descriptor >= 0)
		close(descriptor);
	if (!error) {
		loading->file->version = version_of(&status);
		return 0;
	}
	if (error == -ENOENT)
		return error;
	if (error == -EISDIR)
		snprintf(reason, sizeof(reason), "not a regular file");
	else if (error == -EFBIG)
		snprintf(reason, sizeof(reason), "larger than %d MiB", FILE_SIZE_MAX >> 20);
	else
		snprintf(reason, sizeof(reason), "cannot be read: %s", strerror(-error));
	note_problem(loading, 0, "", reason);
	return error;
}

static void parse(struct loading *loading, const char *text, size_t size)
{
	char reason[256] = "";
	int line = 0, error = manifest_each_document(text, size, load_document, loading, &line, reason);

	loading->item = -1;
	if (error)
		note_problem(loading, line, "", error == -EINVAL ? reason : "out of memory");
}

static struct file *find_file(struct files *files, const char *name)
{
	return hash_set_find(&files->files, &(struct file){ .name = intern(name) });
}

static struct file *find_or_add_file(struct files *files, const char *name)
{
	struct file *file = find_file(files, name);

	if (file)
		return file;
	file = calloc(1, sizeof(*file));
	if (!file)
		return NULL;
	file->name = intern(name);
	if (!file->name || hash_set_put(&files->files, file, NULL) < 0) {
		free(file);
		return NULL;
	}
	return file;
}

void files_read(struct files *files, const char *name)
{
	struct loading loading = {
		.files = files,
		.file = find_or_add_file(files, name),
		.item = -1,
		.found = { .hash = claim_hash, .equal = claim_equal },
	};
	char *text = NULL;
	size_t size = 0;
	int error;

	if (!loading.file) {
		log_no_memory(files, name);
		return;
	}
	loading.end = &loading.claims;
	error = read_text(&loading, &text, &size);
	if (error == -ENOENT)
		return;
	files->counters->files++;
	if (!error)
		parse(&loading, text, size);
	free(text);
	if (!loading.problem_count || !loading.file->was_good)
		commit_new(&loading, commit_known(&loading));
	set_problem(files, loading.file, &loading);
	loading_clear(&loading);
}

void files_refresh(struct files *files, const char *name)
{
	const struct file *file = find_file(files, name);
	char path[PATH_MAX];
	struct stat status;

	if (!file || stat(path_of(files, name, path), &status) < 0 || file->version != version_of(&status))
		files_read(files, name);
}

void files_remove(struct files *files, const char *name)
{
	struct file *file = find_file(files, name);

	if (!file)
		return;
	hash_set_take(&files->files, file);
	for (struct claim *claim = file->claims; claim; claim = claim->sibling)
		claims_leave(&files->claims, claim);
	file_free(file);
}

bool files_exists(const struct files *files, const char *name)
{
	char path[PATH_MAX];
	struct stat status;

	return !stat(path_of(files, name, path), &status);
}

/* --- all of them --- */

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct file *const *)a)->name, (*(struct file *const *)b)->name);
}

/* The files in order of their names; malloc'd, NULL when there is no memory. */
static struct file **sorted_files(const struct files *files)
{
	struct file **sorted = malloc((files->files.count + 1) * sizeof(*sorted));
	size_t count = 0;

	if (!sorted)
		return NULL;
	for (size_t i = 0; i < files->files.capacity; i++)
		if (files->files.slots[i])
			sorted[count++] = files->files.slots[i];
	qsort(sorted, count, sizeof(*sorted), by_name);
	return sorted;
}

int files_each(const struct files *files, int (*each)(const char *name, void *context), void *context)
{
	struct file **sorted = sorted_files(files);
	int result = 0;

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < files->files.count && !result; i++)
		result = each(sorted[i]->name, context);
	free(sorted);
	return result;
}

static int each_conflict(const struct files *files, const struct file *file,
			 int (*each)(const struct source_problem *, void *), void *context)
{
	char path[PATH_MAX], reason[512];
	int result = 0;

	for (const struct claim *claim = file->claims; claim && !result; claim = claim->sibling)
		if (!claims_counts(&files->claims, claim))
			result = each(&(struct source_problem){ path_of(files, file->name, path), claim->line,
								claims_conflict(&files->claims, claim, reason) },
				      context);
	return result;
}

int files_each_problem(const struct files *files, int (*each)(const struct source_problem *problem, void *context),
		       void *context)
{
	struct file **sorted = sorted_files(files);
	char path[PATH_MAX];
	int result = 0;

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < files->files.count && !result; i++) {
		const struct file *file = sorted[i];

		if (file->problem)
			result = each(&(struct source_problem){ path_of(files, file->name, path), file->problem_line,
								file->problem },
				      context);
		if (!result && files->claims.shadowed)
			result = each_conflict(files, file, each, context);
	}
	free(sorted);
	return result;
}

bool files_settle(struct files *files, bool quiet)
{
	bool changed = files->claims.changed;

	files->claims.changed = false;
	if (files->claims.shadowed && !quiet)
		claims_announce(&files->claims);
	return changed;
}
