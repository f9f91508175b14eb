/* The server's own log (not the write-ahead log): lines in Redis's format
 * "<pid>:M 21 Nov 2026 04:15:27.123 * text", to a file or stdout. Any thread; a line is one write(2). */
#ifndef BASE_LOGGER_H
#define BASE_LOGGER_H

#include "core/base/base.h"
#include "core/base/clock.h"

enum log_level { LOG_DEBUG, LOG_VERBOSE, LOG_NOTICE, LOG_WARNING, LOG_NOTHING };

struct logger;
/* `path` "" means stdout. Caller frees with logger_close. NULL with errno set if the file cannot be opened. */
struct logger *logger_open(struct clock *clock, const char *path, enum log_level level);
void logger_close(struct logger *l);
void logger_set_level(struct logger *l, enum log_level level);
/* NULL logger: nothing is printed (tests). */
void logger_line(struct logger *l, enum log_level level, const char *fmt, ...) printf_like(3, 4);

#endif
