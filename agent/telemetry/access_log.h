/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_TELEMETRY_ACCESS_LOG_H
#define WEFT_TELEMETRY_ACCESS_LOG_H
/* Each flow record as a line of JSON in a file. */
#include "telemetry/flow.h"

struct access_log;

/* `path`: a file that is appended to (made with mode 0640), or "-" for standard output. 0 or -errno. */
int access_log_open(struct access_log **ret, const char *path);
void access_log_close(struct access_log *log); /* NULL is fine */
/* After rotation: the file of that name, made anew if need be. On failure the old one stays in use. 0 or -errno. */
int access_log_reopen(struct access_log *log);
/* Lines are buffered until access_log_flush(). A line that cannot be written is counted. */
void access_log_write(struct access_log *log, const struct flow *flow);
void access_log_flush(struct access_log *log);
uint64_t access_log_errors(const struct access_log *log); /* since start; NULL is fine */

#endif
