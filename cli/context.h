/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MESHCTL_CONTEXT_H
#define MESHCTL_CONTEXT_H
/* What a command gets: what was asked, where answers come from, how they are to look. */
#include <cjson/cJSON.h>

#include "command.h"

struct context {
	const struct command *command;
	struct arguments arguments;
	const char *socket; /* path of weftd's */
	const char *file;   /* a sysdump that takes the agent's place; NULL: none */
	const char *namespace; /* NULL: all */
	const char *node;      /* NULL: all */
	const char *output;    /* value of -o; "" if not given */
	bool color;
	cJSON *dump; /* the contents of `file` once it was needed */
};

/* --- output.c --- */

bool wants_json(const struct context *context);
bool wants_yaml(const struct context *context);
/*
 * Says on stderr what went wrong and, if not NULL, what to do; in JSON mode both go to stdout as {"error": {...}}.
 * Returns `status`.
 */
int fail(const struct context *context, enum exit_status status, const char *hint, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* As -o says: JSON or YAML. */
void print_structure(const struct context *context, const cJSON *json);

enum column_kind { COLUMN_TEXT, COLUMN_NUMBER, COLUMN_BYTES, COLUMN_SECONDS, COLUMN_RATE, COLUMN_BYTE_RATE };
struct column {
	const char *title; /* NULL: end of the table */
	const char *path;  /* "identity.name" in each row's object; alternatives after "|" */
	enum column_kind kind;
	bool wide; /* only with -o wide */
};
/* An aligned table of an array's objects. */
void print_table(const struct context *context, const struct column *columns, const cJSON *rows);
/* The value of a path as people read it, into 1024 bytes; "-" if there is none. Returns `text`. */
char *format_cell(const struct column *column, const cJSON *row, char text[1024]);
/* "12 B", "3.4 MB"; "5s", "3m12s", "2d4h". Into 32 bytes; return `text`. */
char *format_bytes(double bytes, char text[32]);
char *format_seconds(double seconds, char text[32]);

enum tint { TINT_NONE, TINT_GOOD, TINT_WARN, TINT_BAD, TINT_DIM };
/* The escape sequence, or "" when colours are off. */
const char *tint(const struct context *context, enum tint tint);

/* Texts and numbers at a path "a.b.c"; NULL and 0 if missing. */
const cJSON *json_at(const cJSON *json, const char *path);
const char *json_text(const cJSON *json, const char *path);
double json_number(const cJSON *json, const char *path);
bool json_true(const cJSON *json, const char *path);

/* --- client.c: each returns an exit status and has told about a failure with fail() --- */

/* GET; *ret is the caller's. */
int client_get(struct context *context, const char *path, cJSON **ret);
int client_put(struct context *context, const char *path, const cJSON *body, cJSON **ret);
/* GET of an answer in lines, each handed over as it arrives. A non-zero result ends it; that is not a failure. */
typedef int client_line_fn(const char *line, size_t size, void *line_context);
int client_lines(struct context *context, const char *path, client_line_fn *each, void *line_context);
/* Whether an agent answers at all; says nothing. */
bool client_reachable(struct context *context);
/* `text` percent-encoded; the caller frees it. NULL: no memory. */
char *client_escape(const char *text);
void client_close(struct context *context);

/* --- check_kernel.c --- */

/*
 * [{"category", "name", "result": "ok|warning|failure", "detail", "hint"}] about this machine, without any agent.
 * `bpffs`: where programs are or will be pinned; NULL: the default's file system.
 */
cJSON *check_kernel(const char *bpffs);

#endif
