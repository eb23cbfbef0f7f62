#include "api/api.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "api/backtests.h"
#include "api/events.h"
#include "api/internal.h"
#include "api/pages.h"
#include "api/sockets.h"
#include "api/waits.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "loop/worker.h"

enum { API_TICK_MS = 50, API_PEM_MAX = 1 << 20 };

static void pause_ms(int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&t, NULL);
}

/* What has a deadline and no thread of its own. Runs on a worker until the server stops. */
static void api_tick(struct mail *m)
{
    struct api *a = CONTAINER_OF(m, struct api, tick);
    while (!atomic_load(&a->stopping)) {
        int64_t now_us = clock_mono_us();
        api_waits_tick(a->waits, now_us);
        api_events_tick(a->events, now_us);
        api_sockets_tick(a->sockets, now_us);
        pause_ms(API_TICK_MS);
    }
}

/* A PEM file as text; NULL when it cannot be read. */
static char *read_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct buf b;
    buf_init(&b, API_PEM_MAX);
    while (fd >= 0) {
        uint8_t *room = buf_room(&b, 8192);
        ssize_t n = room == NULL ? -1 : read(fd, room, 8192);
        if (n <= 0) {
            break;
        }
        buf_grew(&b, (size_t)n);
    }
    if (fd < 0 || b.len == 0) {
        LOG(LOG_ERROR, "http_tls_file_unreadable", LOG_S("file", path));
        buf_fini(&b);
        if (fd >= 0) {
            (void)close(fd);
        }
        return NULL;
    }
    (void)close(fd);
    return buf_take_str(&b);
}

enum err api_new(const struct conf *conf, struct store *store, struct catalog *catalog,
                 struct auth *auth, const struct api_hooks *hooks, struct api **ret_api)
{
    struct api *a = calloc(1, sizeof(*a));
    if (a == NULL) {
        return ERR_NOMEM;
    }
    a->conf = conf;
    a->store = store;
    a->catalog = catalog;
    a->auth = auth;
    a->hooks = *hooks;
    lock_init(&a->guard_lock);
    if (getrandom(&a->boot, sizeof(a->boot), 0) != (ssize_t)sizeof(a->boot)) {
        a->boot = (uint64_t)clock_wall_us();
    }
    a->events = api_events_new(a);
    a->waits = api_waits_new();
    a->sockets = api_sockets_new(conf->http_connections_max);
    a->backtests = api_backtests_new(a);
    buf_init(&a->openapi, API_OPENAPI_MAX);
    enum err e = a->events == NULL || a->waits == NULL || a->sockets == NULL || a->backtests == NULL
                     ? ERR_NOMEM
                     : api_pages_openapi(&a->openapi);
    if (e != ERR_OK) {
        api_free(a);
        return e;
    }
    *ret_api = a;
    return ERR_OK;
}

enum err api_start(struct api *a)
{
    if (a->conf->http_tls_cert[0] != '\0') {
        a->tls_cert = read_file(a->conf->http_tls_cert);
        a->tls_key = read_file(a->conf->http_tls_key);
        if (a->tls_cert == NULL || a->tls_key == NULL) {
            return ERR_IO;
        }
    }
    a->ticker = worker_new("sb-api-tick", 1, NULL, NULL, NULL);
    if (a->ticker == NULL) {
        return ERR_NOMEM;
    }
    enum err e = api_http_start(a);
    if (e != ERR_OK) {
        worker_stop(a->ticker);
        return e;
    }
    a->tick.run = api_tick;
    worker_post(a->ticker, &a->tick);
    LOG(LOG_INFO, "http_listening", LOG_S("address", a->conf->http_listen), LOG_I("port", a->port),
        LOG_S("tls", a->tls_cert == NULL ? "off" : "on"));
    return ERR_OK;
}

int api_port(const struct api *a)
{
    return a->port;
}

void api_event(struct api *a, const struct api_event *event)
{
    api_events_publish(a->events, event);
    if (event->command_id != 0 && event->command_final) {
        api_waits_event(a->waits, event->command_id);
    }
}

/*
 * New requests are refused, waits and streams end, and what runs gets its time. libmicrohttpd
 * aborts when it is stopped with a connection that is still suspended, so the wait is for all of
 * them; what bounds it is that queries have a time-out and that the core answers every op.
 */
void api_stop(struct api *a)
{
    if (a->daemon == NULL) {
        atomic_store(&a->stopping, true);
        if (a->ticker != NULL) {
            worker_stop(a->ticker);
        }
        return;
    }
    MHD_socket listening = MHD_quiesce_daemon(a->daemon);
    atomic_store(&a->stopping, true);
    worker_stop(a->ticker);
    api_waits_stop(a->waits);
    api_backtests_stop(a->backtests);
    api_events_stop(a->events);
    int64_t told_us = clock_mono_us();
    while (atomic_load(&a->busy) > 0) {
        pause_ms(2);
        if (clock_mono_us() - told_us > a->conf->stop_timeout_us) {
            told_us = clock_mono_us();
            LOG(LOG_WARN, "http_stop_waits", LOG_I("requests", atomic_load(&a->busy)));
        }
    }
    api_http_stop(a);
    if (listening != MHD_INVALID_SOCKET) {
        (void)close(listening);
    }
}

void api_free(struct api *a)
{
    if (a == NULL) {
        return;
    }
    worker_free(a->ticker);
    api_events_free(a->events);
    api_backtests_free(a->backtests);
    api_waits_free(a->waits);
    api_sockets_free(a->sockets);
    buf_fini(&a->openapi);
    lock_fini(&a->guard_lock);
    free(a->tls_cert);
    free(a->tls_key);
    free(a);
}
