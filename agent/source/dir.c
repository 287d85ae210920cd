/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --source=dir:PATH. Watches with inotify which files of a directory come, change and go; files.c reads them.
 *
 * A file is read when its writer closes it, or when it is moved or linked to its place. That a file went is believed
 * only after REMOVE_DELAY: editors move the old file away before they write the new one. ConfigMap volumes change all
 * files at once by moving the link "..data". Should the whole directory vanish (a mount that went, not a change that
 * anybody wants), what it last said stays in force until it is back.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "source/files.h"
#include "source/provider.h"
#include "util/clock.h"
#include "util/hash.h"
#include "util/intern.h"
#include "util/log.h"

#define DIRECTORY_EVENTS                                                                                               \
	(IN_CLOSE_WRITE | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF |        \
	 IN_ONLYDIR)
#define PARENT_EVENTS (IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_MOVE_SELF | IN_ONLYDIR)
#define TRIM_OBJECTS 1000

static const struct timeval remove_delay = { 0, 25 * 1000 };
static const struct timeval retry_delay = { 1, 0 }; /* while not even the parent directory is there */

struct directory {
	struct source source;
	struct files *files;
	char *path, *parent;		  /* parent NULL: the root directory has none */
	const char *base;		  /* last component of path */
	int inotify, watch, parent_watch; /* -1: none */
	struct event *readable, *remove_timer, *retry_timer, *first_timer;
	struct hash_set written,
		missing; /* interned names of files: to be read now; to be looked for after remove_delay */
	bool rescan, reopen;
	void (*changed)(void *context);
	void *context;
};

static uint64_t name_hash(const void *entry) { return hash_bytes(HASH_START, &entry, sizeof(entry)); }
static bool name_equal(const void *a, const void *b) { return a == b; }

static void add_name(struct hash_set *names, const char *name)
{
	const char *interned = intern(name);

	if (!interned || hash_set_put(names, (void *)interned, NULL) < 0)
		log_error("%s: out of memory: a change of this file is not seen", name);
}

/* Not what begins with a dot (editors, ConfigMap volumes), nor what does not end as manifests do ("x.yaml~"). */
static bool is_manifest(const char *name)
{
	const char *end = strrchr(name, '.');

	return name[0] != '.' && name[0] != '#' && end &&
	       (!strcmp(end, ".yaml") || !strcmp(end, ".yml") || !strcmp(end, ".json"));
}

static int is_manifest_entry(const struct dirent *entry) { return is_manifest(entry->d_name); }

/* --- what the files say now --- */

static void note_time(struct directory *self)
{
	if (!self->source.noticed)
		self->source.noticed = clock_now(CLOCK_MONOTONIC);
}

static void announce(struct directory *self)
{
	note_time(self);
	self->changed(self->context);
	self->source.noticed = 0;
}

static void settle(struct directory *self)
{
	if (!files_settle(self->files, self->missing.count))
		return;
	self->source.counters.reloads++;
	announce(self);
}

static void read_written(struct directory *self)
{
	for (size_t i = 0; i < self->written.capacity; i++)
		if (self->written.slots[i])
			files_read(self->files, self->written.slots[i]);
	hash_set_clear(&self->written);
}

static int note_if_missing(const char *name, void *context)
{
	struct directory *self = context;

	if (!files_exists(self->files, name))
		add_name(&self->missing, name);
	return 0;
}

/* Looks at every file there is. */
static int scan(struct directory *self)
{
	struct dirent **entries;
	int count = scandir(self->path, &entries, is_manifest_entry, alphasort);

	if (count < 0)
		return -errno;
	for (int i = 0; i < count; i++) {
		files_refresh(self->files, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return files_each(self->files, note_if_missing, self);
}

static void scan_again(struct directory *self)
{
	uint64_t objects = self->source.counters.objects;
	int error = scan(self);

	if (error < 0)
		log_error("%s: cannot be listed: %s; what it last said stays in force", self->path, strerror(-error));
	if (self->source.counters.objects - objects > TRIM_OBJECTS)
		malloc_trim(0);
}

static void remove_missing(evutil_socket_t descriptor, short what, void *context)
{
	struct directory *self = context;

	(void)descriptor;
	(void)what;
	for (size_t i = 0; i < self->missing.capacity && self->watch >= 0; i++)
		if (self->missing.slots[i] && !files_exists(self->files, self->missing.slots[i]))
			files_remove(self->files, self->missing.slots[i]);
	hash_set_clear(&self->missing);
	settle(self);
}

/* --- watching --- */

static void drop_watch(struct directory *self, int *watch)
{
	/* fails when the kernel has dropped it by itself */
	if (*watch >= 0)
		inotify_rm_watch(self->inotify, *watch);
	*watch = -1;
}

/* Watches what is at the path now. Returns 1 if that is another directory than before, 0 if it is the same, -errno. */
static int watch_directory(struct directory *self)
{
	int watch = inotify_add_watch(self->inotify, self->path, DIRECTORY_EVENTS), error = -errno;

	if (watch < 0) {
		drop_watch(self, &self->watch);
		return error;
	}
	if (watch == self->watch)
		return 0;
	drop_watch(self, &self->watch);
	self->watch = watch;
	return 1;
}

static void watch_parent(struct directory *self)
{
	if (self->parent && self->parent_watch < 0)
		self->parent_watch = inotify_add_watch(self->inotify, self->parent, PARENT_EVENTS);
}

/* After something happened to the directory itself. */
static void reopen(struct directory *self)
{
	bool was_lost = self->watch < 0;
	int result;

	watch_parent(self); /* first, so that no coming is missed */
	result = watch_directory(self);
	if (result < 0 && !was_lost)
		log_error("%s: %s; what it last said stays in force until it is back", self->path, strerror(-result));
	if (result > 0 && was_lost)
		log_info("%s: is back", self->path);
	self->rescan |= result > 0;
	if (self->watch < 0 && self->parent_watch < 0)
		event_add(self->retry_timer, &retry_delay);
}

static bool is_linked(const struct directory *self, const char *name)
{
	char path[PATH_MAX];
	struct stat status;

	snprintf(path, sizeof(path), "%s/%s", self->path, name);
	return !lstat(path, &status) && (S_ISLNK(status.st_mode) || status.st_nlink > 1);
}

static void note_entry(struct directory *self, const char *name, uint32_t mask)
{
	if (!strncmp(name, "..", 2))
		self->rescan = true;
	else if (!is_manifest(name))
		return;
	else if (mask & (IN_CLOSE_WRITE | IN_MOVED_TO))
		add_name(&self->written, name);
	else if (mask & (IN_DELETE | IN_MOVED_FROM))
		add_name(&self->missing, name);
	else if (is_linked(self, name)) /* nobody will close it */
		add_name(&self->written, name);
}

static void note_event(struct directory *self, const struct inotify_event *event)
{
	const char *name = event->len ? event->name : "";

	if (event->mask & IN_Q_OVERFLOW) {
		log_warn("%s: too many changes at once: looking at all files again", self->path);
		self->rescan = self->reopen = true;
	} else if (event->wd == self->parent_watch) {
		bool lost = event->mask & (IN_IGNORED | IN_MOVE_SELF);

		if (lost)
			drop_watch(self, &self->parent_watch);
		self->reopen |= lost || !strcmp(name, self->base);
	} else if (event->wd == self->watch) {
		if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED))
			self->reopen = true;
		else
			note_entry(self, name, event->mask);
	}
}

static void read_events(struct directory *self)
{
	_Alignas(struct inotify_event) char buffer[16 * 1024];
	ssize_t size;

	while ((size = read(self->inotify, buffer, sizeof(buffer))) > 0)
		for (char *at = buffer; at < buffer + size;) {
			const struct inotify_event *event = (const struct inotify_event *)at;

			note_event(self, event);
			at += sizeof(*event) + event->len;
		}
	if (size < 0 && errno != EAGAIN && errno != EINTR)
		log_error("%s: inotify: %s", self->path, strerror(errno));
}

static void act(struct directory *self)
{
	if (self->reopen)
		reopen(self);
	if (self->rescan && self->watch >= 0)
		scan_again(self);
	self->rescan = self->reopen = false;
	if (self->watch >= 0)
		read_written(self);
	if (self->missing.count && !evtimer_pending(self->remove_timer, NULL))
		evtimer_add(self->remove_timer, &remove_delay);
	settle(self);
}

static void on_readable(evutil_socket_t descriptor, short what, void *context)
{
	(void)descriptor;
	(void)what;
	note_time(context);
	read_events(context);
	act(context);
}

static void on_retry(evutil_socket_t descriptor, short what, void *context)
{
	struct directory *self = context;

	(void)descriptor;
	(void)what;
	self->reopen = true;
	act(self);
}

static void on_first(evutil_socket_t descriptor, short what, void *context)
{
	struct directory *self = context;

	(void)descriptor;
	(void)what;
	announce(self);
}

/* --- opening and closing --- */

static void directory_close(struct source *source)
{
	struct directory *self = (struct directory *)source;
	struct event *const events[] = { self->readable, self->remove_timer, self->retry_timer, self->first_timer };

	for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++)
		if (events[i])
			event_free(events[i]);
	if (self->inotify >= 0)
		close(self->inotify);
	files_free(self->files);
	hash_set_clear(&self->written);
	hash_set_clear(&self->missing);
	free(self->path);
	free(self->parent);
	free(self);
}

/* path, parent and base from what the user wrote. */
static int split_path(struct directory *self, const char *text)
{
	size_t length = strlen(text);
	char *slash;

	while (length > 1 && text[length - 1] == '/')
		length--;
	self->path = strndup(text, length);
	if (!self->path)
		return -ENOMEM;
	slash = strrchr(self->path, '/');
	self->base = slash ? slash + 1 : self->path;
	if (!strcmp(self->base, ".") || !strcmp(self->base, "..")) {
		char *real = realpath(self->path, NULL);

		if (!real)
			return -errno;
		free(self->path);
		self->path = real;
		slash = strrchr(real, '/');
		self->base = slash + 1;
	}
	if (!*self->base)
		return 0;
	self->parent = slash == self->path ? strdup("/")
		       : slash		   ? strndup(self->path, (size_t)(slash - self->path))
					   : strdup(".");
	return self->parent ? 0 : -ENOMEM;
}

static int make_events(struct directory *self, struct event_base *base)
{
	self->readable = event_new(base, self->inotify, EV_READ | EV_PERSIST, on_readable, self);
	self->remove_timer = evtimer_new(base, remove_missing, self);
	self->retry_timer = evtimer_new(base, on_retry, self);
	self->first_timer = evtimer_new(base, on_first, self);
	if (!self->readable || !self->remove_timer || !self->retry_timer || !self->first_timer)
		return -ENOMEM;
	return event_add(self->readable, NULL) < 0 ? -ENOMEM : 0;
}

static int start(struct directory *self, struct event_base *base, struct model *model, const char *path)
{
	int error = split_path(self, path);

	if (!error)
		error = files_new(&self->files, model, self->path, &self->source.counters);
	if (error < 0)
		return error;
	self->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (self->inotify < 0)
		return -errno;
	/* watch, then read: a change in between is seen twice rather than never */
	watch_parent(self);
	error = watch_directory(self);
	if (error < 0)
		return error;
	error = make_events(self, base);
	return error < 0 ? error : scan(self);
}

static void log_failure(const char *path, int error)
{
	switch (error) {
	case -ENOENT:
		log_error("--source=dir:%s: there is no such directory: create it, or name another", path);
		break;
	case -ENOTDIR:
		log_error("--source=dir:%s: not a directory: name the directory that holds the manifests", path);
		break;
	case -EMFILE:
		log_error("--source=dir:%s: no more inotify instances: raise the sysctl fs.inotify.max_user_instances",
			  path);
		break;
	case -ENOSPC:
		log_error("--source=dir:%s: no more inotify watches: raise the sysctl fs.inotify.max_user_watches",
			  path);
		break;
	default:
		log_error("--source=dir:%s: %s", path, strerror(-error));
	}
}

static int directory_open(struct source **ret, struct event_base *base, struct model *model, const char *path,
			  void (*changed)(void *context), void *context)
{
	struct directory *self = malloc(sizeof(*self));
	int error;

	if (!self)
		return -ENOMEM;
	*self = (struct directory){
		.source = { .provider = &source_directory },
		.inotify = -1,
		.watch = -1,
		.parent_watch = -1,
		.written = { .hash = name_hash, .equal = name_equal },
		.missing = { .hash = name_hash, .equal = name_equal },
		.changed = changed,
		.context = context,
	};
	error = start(self, base, model, path);
	if (error < 0) {
		log_failure(path, error);
		directory_close(&self->source);
		return error;
	}
	if (files_settle(self->files, false))
		event_active(self->first_timer, EV_TIMEOUT, 0);
	malloc_trim(0);
	log_info("%s: %llu objects read from %llu files", self->path, (unsigned long long)self->source.counters.objects,
		 (unsigned long long)self->source.counters.files);
	*ret = &self->source;
	return 0;
}

static int directory_each_problem(const struct source *source,
				  int (*each)(const struct source_problem *problem, void *context), void *context)
{
	const struct directory *self = (const struct directory *)source;
	int result = 0;

	if (self->watch < 0)
		result = each(
			&(struct source_problem){ self->path, 0,
						  "the directory has vanished: what it last said stays in force" },
			context);
	return result ? result : files_each_problem(self->files, each, context);
}

const struct source_provider source_directory = {
	.name = "dir",
	.open = directory_open,
	.close = directory_close,
	.each_problem = directory_each_problem,
};
