#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/run/loop.h"

static int fail(int fd)
{
    int err = -errno;
    close(fd);
    return err;
}

static int set_flag(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

static int listen_on(const struct addrinfo *ai, int backlog, bool reuseport)
{
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    set_flag(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (reuseport)
        set_flag(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (ai->ai_family == AF_INET6)
        set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || (backlog >= 0 && listen(fd, backlog) < 0))
        return fail(fd);
    return fd;
}

int net_listen_tcp(const char *addr, int port, int backlog, bool reuseport)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV},
                    *found;
    char service[16];
    snprintf(service, sizeof(service), "%d", port);
    if (getaddrinfo(strcmp(addr, "*") == 0 ? "0.0.0.0" : addr, service, &hints, &found) != 0)
        return -EADDRNOTAVAIL;
    int fd = listen_on(found, backlog, reuseport);
    freeaddrinfo(found);
    return fd;
}

int net_listen_unix(const char *path, int mode, int backlog)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(sa.sun_path))
        return -ENAMETOOLONG;
    memcpy(sa.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    unlink(path); /* check:allow unlink: a stale socket, as bind needs it */
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, backlog) < 0)
        return fail(fd);
    if (mode != 0)
        chmod(path, (mode_t)mode);
    return fd;
}

int net_set_keepalive(int fd, int seconds)
{
    int interval = seconds / 3 > 0 ? seconds / 3 : 1;
    int err = set_flag(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    if (err == 0)
        err = set_flag(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds);
    if (err == 0)
        err = set_flag(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval);
    return err < 0 ? err : set_flag(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
}

int net_set_nodelay(int fd, bool on) { return set_flag(fd, IPPROTO_TCP, TCP_NODELAY, on); }

static size_t name_of(const struct sockaddr_storage *ss, char *out, size_t cap)
{
    char host[INET6_ADDRSTRLEN] = "?";
    const struct sockaddr_in *v4 = (const void *)ss;
    const struct sockaddr_in6 *v6 = (const void *)ss;
    const struct sockaddr_un *un = (const void *)ss;
    int n;
    if (ss->ss_family == AF_INET) {
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
        n = snprintf(out, cap, "%s:%d", host, ntohs(v4->sin_port));
    } else if (ss->ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
        n = snprintf(out, cap, "[%s]:%d", host, ntohs(v6->sin6_port));
    } else {
        n = snprintf(out, cap, "%s:0", un->sun_path[0] ? un->sun_path : "unixsocket");
    }
    return n > 0 ? (size_t)n : 0;
}

size_t net_peer_name(int fd, char *out, size_t cap)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    if (getpeername(fd, (struct sockaddr *)&ss, &len) < 0)
        return (size_t)snprintf(out, cap, "?:0");
    if (ss.ss_family == AF_UNIX)
        return net_local_name(fd, out, cap);
    return name_of(&ss, out, cap);
}

size_t net_local_name(int fd, char *out, size_t cap)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
        return (size_t)snprintf(out, cap, "?:0");
    return name_of(&ss, out, cap);
}

int net_local_port(int fd)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
        return -errno;
    if (ss.ss_family == AF_INET)
        return ntohs(((struct sockaddr_in *)&ss)->sin_port);
    return ss.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&ss)->sin6_port) : -EAFNOSUPPORT;
}

int net_reserve(void) { return open("/dev/null", O_RDONLY | O_CLOEXEC); /* check:allow open: it is no file of ours */ }

void net_shed(int *reserve, int listen_fd)
{
    if (*reserve < 0)
        return;
    close(*reserve);
    int fd = accept(listen_fd, NULL, NULL);
    if (fd >= 0)
        close(fd);
    *reserve = net_reserve();
}

void net_consume(struct iovec **iov, int *n, size_t sent)
{
    for (; *n > 0 && sent >= (*iov)->iov_len; (*iov)++, (*n)--)
        sent -= (*iov)->iov_len;
    if (sent > 0) {
        (*iov)->iov_base = (uint8_t *)(*iov)->iov_base + sent;
        (*iov)->iov_len -= sent;
    }
}
