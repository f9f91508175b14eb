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

#define LINE_MAX_BYTES 2048

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
    struct logger *l = mem_zalloc(sizeof(*l));
    l->clock = clock;
    l->fd = fd;
    l->level = level;
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

void logger_set_level(struct logger *l, enum log_level level) { atomic_store(&l->level, (int)level); }

static size_t prefix(struct logger *l, enum log_level level, char *line, size_t cap)
{
    int64_t us = clock_wall_us(l->clock);
    time_t seconds = (time_t)(us / 1000000);
    struct tm tm;
    char date[32];
    localtime_r(&seconds, &tm);
    strftime(date, sizeof(date), "%d %b %Y %H:%M:%S", &tm);
    return (size_t)snprintf(line, cap, "%d:M %s.%03d %c ", (int)getpid(), date, (int)(us / 1000 % 1000), ".-*#"[level]);
}

void logger_line(struct logger *l, enum log_level level, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    va_list ap;
    if (l == NULL || level < (enum log_level)atomic_load(&l->level))
        return;
    size_t len = prefix(l, level, line, sizeof(line));
    va_start(ap, fmt);
    int n = vsnprintf(line + len, sizeof(line) - len - 1, fmt, ap);
    va_end(ap);
    len = min_u64(len + (size_t)(n > 0 ? n : 0), sizeof(line) - 2);
    line[len++] = '\n';
    while (write(l->fd, line, len) < 0 && errno == EINTR)
        ;
}
