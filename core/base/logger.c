#include "core/base/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/mem.h"

#define LINE_BYTES 2048 /* longer lines are cut */

struct logger {
    struct clock *clock;
    int fd;
    _Atomic int level;
};

struct logger *logger_open(struct clock *clock, const char *path, enum log_level level)
{
    int fd = *path == 0 ? STDOUT_FILENO : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return NULL;
    struct logger *l = mem_alloc(sizeof(*l));
    l->clock = clock;
    l->fd = fd;
    atomic_init(&l->level, (int)level);
    return l;
}

void logger_close(struct logger *l)
{
    if (l == NULL)
        return;
    if (l->fd != STDOUT_FILENO)
        close(l->fd);
    mem_free(l, sizeof(*l));
}

void logger_set_level(struct logger *l, enum log_level level)
{
    atomic_store_explicit(&l->level, (int)level, memory_order_relaxed);
}

static bool shows(struct logger *l, enum log_level level)
{
    return level < LOG_NOTHING && (int)level >= atomic_load_explicit(&l->level, memory_order_relaxed);
}

static size_t put_prefix(struct logger *l, enum log_level level, char *line, size_t cap)
{
    int64_t ms = clock_wall_ms(l->clock);
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    char date[32];
    localtime_r(&seconds, &tm);
    strftime(date, sizeof(date), "%d %b %Y %H:%M:%S", &tm);
    return (size_t)snprintf(line, cap, "%d:M %s.%03d %c ", (int)getpid(), date, (int)(ms % 1000), ".-*#"[level]);
}

/* There is nobody to tell when the log cannot be written. */
static void write_line(int fd, const char *line, size_t len)
{
    while (write(fd, line, len) < 0 && errno == EINTR)
        ;
}

void logger_line(struct logger *l, enum log_level level, const char *fmt, ...)
{
    char line[LINE_BYTES];
    int saved = errno;
    va_list ap;
    if (l == NULL || !shows(l, level))
        return;
    size_t len = put_prefix(l, level, line, sizeof(line));
    va_start(ap, fmt);
    int n = vsnprintf(line + len, sizeof(line) - len, fmt, ap);
    va_end(ap);
    len = min_u64(len + (n > 0 ? (size_t)n : 0), sizeof(line) - 1);
    line[len++] = '\n';
    write_line(l->fd, line, len);
    errno = saved;
}
