/* Puts the parts together, in the order in which they depend on each other, and takes them apart again. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "server/checkpoint.h"
#include "server/command.h"
#include "server/flash.h"
#include "server/function_store.h"
#include "server/lazy.h"
#include "server/recovery.h"
#include "server/save.h"
#include "server/script/cache.h"
#include "server/server.h"
#include "server/snapshot.h"
#include "server/spaces.h"

#define ERROR_MAX 512
#define SMALL_MEMORY (256 * MIB)

static void print_usage(void)
{
    puts("Usage: kelvin-server [FILE.conf] [--option value ...]\n"
         "       kelvin-server --version | --help\n"
         "Any directive of kelvin.conf is an option: kelvin-server --port 7000 --maxmemory 64mb --db 1 durability "
         "always");
}

/* --version, --help; -1: neither. */
static int early_options(int argc, char **argv)
{
    if (argc < 2)
        return -1;
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-v") == 0) {
        printf("Kelvin server v=%s\n", KELVIN_VERSION);
        return 0;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_usage();
        return 0;
    }
    return -1;
}

static void banner(struct server *s)
{
    struct config *cfg = s->config;
    printf("\n"
           "  Kelvin %s - a persistent, tiered store that speaks the Redis protocol\n"
           "\n"
           "  port    %d  (%s)\n"
           "  data    %s\n"
           "  io      %s\n"
           "  shards  %u\n"
           "  memory  %llu MiB%s, of which flash caches %llu MiB\n"
           "  tier    %s, durability %s, %s\n"
           "  PID: %d\n\n",
           KELVIN_VERSION, cfg->port, cfg->bind, cfg->dir, loop_backend(s->shards[0]->loop), s->nshards,
           (unsigned long long)(cfg->maxmemory / MIB),
           cfg->maxmemory == 0   ? " (no limit)"
           : cfg->maxmemory_auto ? " (auto)"
                                 : "",
           (unsigned long long)(cfg->tier_memory / MIB), cfg->db_default.tier ? "on" : "off",
           config_durability_name(cfg->db_default.durability), config_eviction_name(cfg->db_default.eviction),
           (int)getpid());
    fflush(stdout);
}

static int fail(struct server *s, const char *what)
{
    logger_line(s->logger, LOG_WARNING, "%s", what);
    if (s->config->logfile[0] != 0)
        fprintf(stderr, "%s\n", what);
    return 1;
}

static void raise_file_limit(struct server *s)
{
    struct rlimit limit;
    rlim_t want = (rlim_t)s->config->maxclients + 512;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= want)
        return;
    limit.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < want) {
        s->config->maxclients = limit.rlim_cur > 600 ? (int)limit.rlim_cur - 512 : 88;
        logger_line(s->logger, LOG_WARNING, "maxclients is lowered to %d: the limit of open files is %llu",
                    s->config->maxclients, (unsigned long long)limit.rlim_cur);
    }
}

static int prepare_dir(struct server *s)
{
    char path[4096], real[4096];
    int err = s->fs->ops->mkdir(s->fs, s->config->dir);
    if (err < 0 || realpath(s->config->dir, real) == NULL || access(real, W_OK) < 0) {
        snprintf(path, sizeof(path), "Can't use data directory '%.3000s': %s", s->config->dir,
                 strerror(err < 0 ? -err : errno));
        return fail(s, path);
    }
    mem_free(s->config->dir, strlen(s->config->dir) + 1);
    s->config->dir = mem_alloc(strlen(real) + 1);
    memcpy(s->config->dir, real, strlen(real) + 1);
    snprintf(path, sizeof(path), "%.4000s/kelvin.lock", real);
    err = s->fs->ops->lock(s->fs, path, &s->dir_lock);
    if (err < 0) {
        snprintf(path, sizeof(path), "The data directory '%.3000s' is in use by another server", real);
        return fail(s, err == -EAGAIN ? path : strerror(-err));
    }
    return 0;
}

static int open_log(struct server *s, char *error)
{
    char dir[4096];
    snprintf(dir, sizeof(dir), "%s/%s", s->config->dir, s->config->appenddirname);
    struct log_config cfg = {
        .fs = s->fs,
        .clock = s->clock,
        .entropy = s->entropy,
        .logger = s->logger,
        .dir = dir,
        .segment_bytes = s->config->log_segment_size,
        .reserve_bytes = s->config->log_segment_size,
        .writers = s->nshards,
        .progress = server_log_progress,
        .fatal = server_log_fatal,
        .arg = s,
    };
    return log_open(&s->log, &cfg, error);
}

/* After recovery. The ids are durable before the first effect under them. */
static int continue_history(struct server *s, char *error)
{
    const struct log_checkpoint *last = log_last_checkpoint(s->log);
    struct history before = {.second_limit = last->replid2_limit};
    memcpy(before.id, last->replid, sizeof(before.id));
    memcpy(before.second, last->replid2, sizeof(before.second));
    s->history = history_continue(&before, log_clean_stop(s->log) != UINT64_MAX, log_appended(s->log), s->entropy);
    if (memcmp(&before, &s->history, sizeof(before)) == 0)
        return 0;
    int err = log_set_history(s->log, s->history.id, s->history.second, s->history.second_limit);
    if (err < 0)
        snprintf(error, ERROR_MAX, "the history id cannot be recorded: %s", strerror(-err));
    return err;
}

static int create_shards(struct server *s, char *error)
{
    s->nshards = (unsigned)s->config->shards;
    s->shards = mem_zalloc(sizeof(*s->shards) * s->nshards);
    s->modes = mem_zalloc((size_t)s->config->databases);
    for (unsigned i = 0; i < s->nshards; i++) {
        int err = shard_create(&s->shards[i], s, i);
        if (err < 0) {
            snprintf(error, ERROR_MAX, "Cannot create shard %u: io-backend: %s", i, strerror(-err));
            return err;
        }
    }
    return 0;
}

static int open_trainer(struct server *s, char *error)
{
    return trainer_open(&s->trainer,
                        &(struct trainer_config){.store = s->store,
                                                 .pool = s->pool,
                                                 .logger = s->logger,
                                                 .train = s->config->tier_compression == TIER_COMPRESSION_ZSTD},
                        error);
}

/* Store, pool, shards, log, recovery: everything before clients. */
static int load(struct server *s, char *error)
{
    int err = recovery_open_store(s, error);
    if (err < 0)
        return err;
    s->pool = pool_new((unsigned)s->config->tier_threads);
    s->lazy = lazy_start();
    s->scripts = script_cache_new(s);
    err = open_trainer(s, error);
    if (err == 0)
        err = create_shards(s, error);
    if (err == 0)
        err = open_log(s, error);
    if (err == 0)
        err = recovery_run(s, error);
    if (err == 0)
        err = continue_history(s, error);
    if (err < 0)
        return err;
    s->checkpoint = checkpoint_new(s);
    s->flash = flash_new(s);
    s->snapshot = snapshot_new(s);
    s->save = save_new(s);
    save_count_from_here(s->save);
    log_set_everysec(s->log, server_everysec(s));
    return log_start(s->log, error);
}

/* Without one an import is not there for good: it is not served, and the next start begins it anew. */
static int first_checkpoint(struct server *s)
{
    struct checkpoint_info info;
    if (!s->checkpoint_first)
        return 0;
    checkpoint_ask(s->checkpoint);
    do {
        s->clock->sleep_us(s->clock, 2000);
        checkpoint_info(s->checkpoint, &info);
    } while (info.completed == 0 && info.failed == 0);
    if (info.completed > 0 || !s->imported)
        return 0;
    return fail(s, "The data of the RDB file could not be brought to flash.");
}

/* A signal that asked for a stop has got its last RDB file. */
static bool may_stop(struct server *s, int sig)
{
    logger_line(s->logger, LOG_WARNING, "Received %s scheduling shutdown...", sig == SIGTERM ? "SIGTERM" : "SIGINT");
    if (!save_at_stop(s) || save_last(s->save) == 0)
        return true;
    logger_line(s->logger, LOG_WARNING, "Error trying to save the DB, can't exit.");
    return false;
}

static void wait_for_stop(struct server *s)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    while (!atomic_load(&s->shutdown_asked)) {
        struct timespec tick = {0, 50 * 1000 * 1000};
        int sig = sigtimedwait(&set, NULL, &tick);
        if (sig > 0 && may_stop(s, sig))
            break;
    }
}

/* For init scripts. That it cannot be written is no reason not to serve. */
static void write_pidfile(struct server *s)
{
    struct file *file;
    char text[32];
    if (s->config->pidfile[0] == 0)
        return;
    int len = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    int err = s->fs->ops->open(s->fs, s->config->pidfile, FS_WRITE | FS_CREATE | FS_TRUNC, &file);
    if (err == 0) {
        s->pidfile_written = true;
        err = fs_write_full(file, text, (size_t)len, 0);
        file->ops->close(file);
    }
    if (err < 0)
        logger_line(s->logger, LOG_WARNING, "Can't write the pid file %s: %s", s->config->pidfile, strerror(-err));
}

static void close_listeners(struct server *s)
{
    for (int i = 0; i < s->nlisten; i++)
        close(s->listening[i].fd);
    if (s->pidfile_written)
        s->fs->ops->unlink(s->fs, s->config->pidfile);
    for (int i = 0; i < s->nlisten; i++)
        if (s->listening[i].is_unix)
            unlink(s->config->unixsocket); /* check:allow unlink: our own socket */
}

/* What load made, all of it or the part that it got to. No thread of a shard runs. */
static void dismantle(struct server *s)
{
    if (s->log != NULL)
        log_close(s->log, LOG_MARK_NONE);
    if (s->pool != NULL)
        pool_free(s->pool);
    if (s->flash != NULL)
        flash_free(s->flash);
    for (unsigned i = 0; s->shards != NULL && i < s->nshards; i++)
        if (s->shards[i] != NULL)
            shard_free(s->shards[i]);
    script_cache_free(s->scripts);
    if (s->trainer != NULL)
        trainer_free(s->trainer);
    if (s->save != NULL)
        save_free(s->save);
    if (s->snapshot != NULL)
        snapshot_free(s->snapshot);
    if (s->checkpoint != NULL)
        checkpoint_free(s->checkpoint);
    if (s->lazy != NULL)
        lazy_stop(s->lazy);
    if (s->store != NULL)
        s->store->ops->close(s->store);
    mem_free(s->shards, sizeof(*s->shards) * s->nshards);
    mem_free(s->modes, (size_t)s->config->databases);
    mem_free(s->dead, sizeof(*s->dead) * s->dead_cap);
}

/* A start that is refused. What is on its way to flash arrives first. */
static int refuse(struct server *s, const char *error)
{
    for (unsigned i = 0; s->shards != NULL && i < s->nshards; i++)
        if (s->shards[i] != NULL)
            shard_drain(s->shards[i]);
    dismantle(s);
    s->dir_lock->ops->close(s->dir_lock);
    return fail(s, error);
}

/* The log is closed after the shards have ended and their last frames are in it; then the tier, then the store. */
static void shut_down(struct server *s)
{
    /* A checkpoint that was asked for may carry a change of mode: it is finished first. */
    for (int i = 0; i < 5000 && checkpoint_running(s->checkpoint); i++)
        s->clock->sleep_us(s->clock, 2000);
    while (!checkpoint_close(s->checkpoint))
        s->clock->sleep_us(s->clock, 2000);
    while (!holds_close(&s->holds))
        s->clock->sleep_us(s->clock, 100);
    for (unsigned i = 0; i < s->nshards; i++)
        shard_join(s->shards[i]);
    save_stop(s->save);
    for (unsigned i = 0; i < s->nshards; i++)
        shard_drain(s->shards[i]);
    log_close(s->log, LOG_MARK_CLEAN_STOP);
    s->log = NULL; /* all of it is durable: replies that waited may leave */
    pool_free(s->pool);
    s->pool = NULL;
    shards_end_clients(s);
    dismantle(s);
    close_listeners(s);
    logger_line(s->logger, LOG_WARNING, "Kelvin is now ready to exit, bye bye...");
    s->dir_lock->ops->close(s->dir_lock);
}

static int serve(struct server *s)
{
    char error[ERROR_MAX] = "";
    raise_file_limit(s);
    if (prepare_dir(s) != 0)
        return 1;
    logger_line(s->logger, LOG_NOTICE, "Kelvin version=%s, starting, PID: %d", KELVIN_VERSION, (int)getpid());
    if (load(s, error) < 0)
        return refuse(s, error);
    if (s->save_first && save_now(s->save) < 0)
        return refuse(s, "A database is to live by the RDB file, which cannot be written.");
    for (unsigned i = 0; i < s->nshards; i++)
        shard_start(s->shards[i]);
    struct mem_stats m;
    mem_stats(&m);
    s->memory_at_start = m.allocated;
    if (first_checkpoint(s) != 0 || server_listen(s) < 0) {
        shut_down(s); /* the shards are running */
        return 1;
    }
    logger_line(s->logger, LOG_NOTICE, "Running mode=standalone, port=%d, io=%s, shards=%u.", s->config->port,
                loop_backend(s->shards[0]->loop), s->nshards);
    write_pidfile(s);
    if (s->config->logfile[0] == 0 && isatty(STDOUT_FILENO))
        banner(s);
    logger_line(s->logger, LOG_NOTICE, "Ready to accept connections tcp");
    wait_for_stop(s);
    shut_down(s);
    return atomic_load(&s->exit_code);
}

static struct server *server_new(struct config *cfg)
{
    struct server *s = mem_zalloc(sizeof(*s));
    s->config = cfg;
    s->clock = clock_real();
    s->entropy = entropy_real();
    s->fs = fs_real();
    s->started_us = clock_mono_us(s->clock);
    timing_init(s);
    s->started_wall_s = clock_wall_ms(s->clock) / 1000;
    entropy_hex(s->entropy, s->run_id, 40);
    s->entropy->fill(s->entropy, &s->hash_seed, sizeof(s->hash_seed));
    value_hash_seed = s->hash_seed;
    if (readlink("/proc/self/exe", s->executable, sizeof(s->executable) - 1) < 0)
        s->executable[0] = 0;
    holds_init(&s->holds);
    functions_install(s, functions_new());
    return s;
}

static void server_delete(struct server *s)
{
    functions_unref(s->functions);
    mem_free(s, sizeof(*s));
}

/* Before any thread is made. */
static int become_daemon(void)
{
    pid_t pid = fork();
    if (pid != 0)
        _exit(pid < 0 ? 1 : 0);
    if (setsid() < 0)
        return -errno;
    int null = open("/dev/null", O_RDWR); /* check:allow open: takes the place of the terminal */
    for (int fd = 0; null >= 0 && fd <= 2; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
    mem_after_fork();
    return 0;
}

static void block_signals(void)
{
    sigset_t set;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

int main(int argc, char **argv)
{
    char error[ERROR_MAX];
    int code = early_options(argc, argv);
    if (code >= 0)
        return code;
    block_signals();
    command_table_init();
    struct config *cfg = config_new();
    if (config_load(cfg, argc, argv, error) < 0) {
        fprintf(stderr, "%s\n", error);
        config_free(cfg);
        return 1;
    }
    config_resolve(cfg);
    if (cfg->daemonize && become_daemon() < 0)
        return 1;
    if (cfg->maxmemory != 0 && cfg->maxmemory < SMALL_MEMORY)
        mem_keep_pages_ms(0); /* pages kept for a second would be a large part of so little */
    struct server *s = server_new(cfg);
    s->logger = logger_open(s->clock, cfg->logfile, (enum log_level)cfg->loglevel);
    if (s->logger == NULL) {
        fprintf(stderr, "Can't open the log file: %s\n", strerror(errno));
        server_delete(s);
        config_free(cfg);
        return 1;
    }
    code = serve(s);
    logger_close(s->logger);
    server_delete(s);
    config_free(cfg);
    return code;
}
