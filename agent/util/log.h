/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WEFT_LOG_H
#define WEFT_LOG_H
/* One line a message on stderr: time (RFC 3339), level, text; or a JSON object a line. */

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
void log_set_json(int json);
const char *log_level_name(enum log_level level);
int log_level_parse(const char *name, enum log_level *ret); /* 0 or -EINVAL */

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)

#endif
