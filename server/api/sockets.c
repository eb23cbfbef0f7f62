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
    bool cut; /* shut down; it will end soon */
};

struct api_sockets {
    struct lock lock;
    struct list all;
    int64_t count;
    int64_t max;
};

/* How long a step may take, and how long at least when places are short. 0: as long as it likes. */
static const struct {
    int64_t limit_us;
    int64_t crowded_us;
} deadlines[] = {
    [API_STEP_HEAD] = {30 * CLOCK_SECOND_US, CLOCK_SECOND_US / 5},
    [API_STEP_BODY] = {120 * CLOCK_SECOND_US, CLOCK_SECOND_US / 2},
    [API_STEP_WORK] = {0, 0},
    [API_STEP_SEND] = {300 * CLOCK_SECOND_US, CLOCK_SECOND_US},
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

static void socket_cut(struct api_connection *c, int64_t now_us)
{
    (void)shutdown(c->fd, SHUT_RDWR);
    c->since_us = now_us;
    c->cut = true;
}

/* Those whose time is up. */
static int64_t cut_late(struct api_sockets *s, int64_t now_us)
{
    int64_t n = 0;
    LIST_FOREACH (at, &s->all) {
        struct api_connection *c = CONTAINER_OF(at, struct api_connection, node);
        int64_t limit_us = deadlines[c->step].limit_us;
        if (!c->cut && limit_us > 0 && now_us - c->since_us > limit_us) {
            socket_cut(c, now_us);
            n++;
        }
    }
    return n;
}

/* Of one step, the oldest connections first, until `most` are cut. */
static int64_t cut_crowd(struct api_sockets *s, enum api_step step, int64_t most, int64_t now_us)
{
    int64_t n = 0;
    LIST_FOREACH (at, &s->all) {
        struct api_connection *c = CONTAINER_OF(at, struct api_connection, node);
        bool idle = c->step == step && now_us - c->since_us > deadlines[step].crowded_us;
        if (!c->cut && idle && n < most) {
            socket_cut(c, now_us);
            n++;
        }
    }
    return n;
}

void api_sockets_tick(struct api_sockets *s, int64_t now_us)
{
    static const enum api_step order[] = {API_STEP_HEAD, API_STEP_BODY, API_STEP_SEND};
    lock_take(&s->lock);
    int64_t cut = cut_late(s, now_us);
    int64_t over = s->count - s->max * 3 / 4 - cut;
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]) && over > 0; i++) {
        int64_t n = cut_crowd(s, order[i], over, now_us);
        over -= n;
        cut += n;
    }
    lock_give(&s->lock);
    if (cut > 0) {
        LOG(LOG_WARN, "http_connections_cut", LOG_I("count", cut),
            LOG_S("why", "too slow, or places were short"));
    }
}
