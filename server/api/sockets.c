#include "api/sockets.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/log.h"

struct api_connection {
    struct list node;
    int fd;
    enum api_step step;
    int64_t since_us;
};

struct api_sockets {
    struct lock lock;
    struct list all;
    int64_t count;
    int64_t max;
};

static const struct {
    int64_t limit_us;   /* 0: none */
    int64_t crowded_us; /* when places are short */
} deadlines[] = {
    [API_STEP_HEAD] = {30 * CLOCK_SECOND_US, 3 * CLOCK_SECOND_US},
    [API_STEP_BODY] = {120 * CLOCK_SECOND_US, 30 * CLOCK_SECOND_US},
    [API_STEP_WORK] = {0, 0},
    [API_STEP_SEND] = {300 * CLOCK_SECOND_US, 60 * CLOCK_SECOND_US},
    [API_STEP_STREAM] = {0, 0},
};

struct api_sockets *api_sockets_new(int64_t connections_max)
{
    struct api_sockets *s = calloc(1, sizeof(*s));
    if (s != NULL) {
        lock_init(&s->lock);
        list_init(&s->all);
        s->max = connections_max;
    }
    return s;
}

void api_sockets_free(struct api_sockets *s)
{
    if (s == NULL) {
        return;
    }
    while (!list_empty(&s->all)) {
        free(CONTAINER_OF(list_pop_front(&s->all), struct api_connection, node));
    }
    lock_fini(&s->lock);
    free(s);
}

static void socket_add(struct api_sockets *s, struct MHD_Connection *c, void **context)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct api_connection *conn = info == NULL ? NULL : calloc(1, sizeof(*conn));
    *context = conn;
    if (conn == NULL) {
        return; /* this one has no deadlines */
    }
    conn->fd = info->connect_fd;
    conn->since_us = clock_mono_us();
    lock_take(&s->lock);
    list_push_back(&s->all, &conn->node);
    s->count++;
    lock_give(&s->lock);
}

void api_sockets_notify(void *arg, struct MHD_Connection *c, void **context,
                        enum MHD_ConnectionNotificationCode code)
{
    struct api_sockets *s = arg;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        socket_add(s, c, context);
        return;
    }
    struct api_connection *conn = *context;
    if (conn != NULL) {
        lock_take(&s->lock);
        list_remove(&conn->node);
        s->count--;
        lock_give(&s->lock);
        free(conn);
        *context = NULL;
    }
}

struct api_connection *api_socket_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info == NULL ? NULL : info->socket_context;
}

void api_socket_step(struct api_sockets *s, struct api_connection *c, enum api_step step)
{
    if (c != NULL) {
        lock_take(&s->lock);
        c->step = step;
        c->since_us = clock_mono_us();
        lock_give(&s->lock);
    }
}

void api_sockets_tick(struct api_sockets *s, int64_t now_us)
{
    int64_t cut = 0;
    lock_take(&s->lock);
    bool crowded = s->count * 4 > s->max * 3;
    LIST_FOREACH (at, &s->all) {
        struct api_connection *c = CONTAINER_OF(at, struct api_connection, node);
        int64_t limit_us = crowded ? deadlines[c->step].crowded_us : deadlines[c->step].limit_us;
        if (limit_us > 0 && now_us - c->since_us > limit_us) {
            (void)shutdown(c->fd, SHUT_RDWR);
            c->since_us = now_us;
            cut++;
        }
    }
    lock_give(&s->lock);
    if (cut > 0) {
        LOG(LOG_DEBUG, "http_connections_cut", LOG_I("count", cut), LOG_S("why", "too slow"));
    }
}
