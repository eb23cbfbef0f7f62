#include <stdlib.h>
#include <time.h>

#include "base/counter.h"
#include "base/log.h"
#include "session/private.h"

/*
 * The way in from net, and what concerns all sessions of a loop: start, stop, kick, resume.
 *
 * Stop: no new connections; sessions that owe acknowledgements drain, the others end at once; when
 * all have ended, or the time is up, the rest ends; then the loops. Tickets that are dropped later
 * find the mailbox of a loop that does not run; their mail runs in net_free().
 */

enum { STOP_POLL_NS = 2000000, STOP_LINGER_US = 1000000 };

static void post_net(struct sessions *all, uint32_t loop, struct mail *m)
{
    net_post(all->net, loop, m);
}

static const struct session_io net_io = {
    .out = net_conn_out,
    .queued = net_conn_queued,
    .tell_drained = net_conn_tell_drained,
    .read = net_conn_read,
    .again = net_conn_again,
    .ready = net_conn_ready,
    .close = net_conn_close,
    .certificate = net_conn_certificate,
    .peer = net_conn_peer,
    .post = post_net,
    .now_us = clock_mono_us,
};

static void *on_opened(void *arg, uint32_t loop, struct net_conn *c, bool open_listener)
{
    struct sessions *all = arg;
    return session_open(&all->loops[loop], c, open_listener);
}

static size_t on_data(void *user, struct view bytes)
{
    return session_data(user, bytes);
}

static void on_drained(void *user)
{
    struct session *s = user;
    deliver_pump(s);
}

static void on_closed(void *user, enum net_close why)
{
    session_lost(user, why);
}

static void on_tick(void *arg, uint32_t loop)
{
    struct sessions *all = arg;
    wheel_turn(&all->loops[loop].wheel, all->io->now_us(), timer_fire, NULL);
}

enum err sessions_init(struct sessions *all, uint32_t loop_count)
{
    all->loops = calloc(loop_count, sizeof(*all->loops));
    if (all->loops == NULL) {
        return ERR_NOMEM;
    }
    all->loop_count = loop_count;
    all->device_limits = session_limits_of_devices(all->conf);
    all->open_limits = session_limits_of_open_listener(all->conf);
    for (uint32_t i = 0; i < loop_count; i++) {
        struct session_loop *l = &all->loops[i];
        l->all = all;
        l->index = i;
        l->free_slot = UINT32_MAX;
        list_init(&l->held);
        wheel_init(&l->wheel, all->io->now_us());
    }
    return ERR_OK;
}

void sessions_fini(struct sessions *all)
{
    atomic_store(&all->stopped, true);
    for (uint32_t i = 0; i < all->loop_count; i++) {
        struct session_loop *l = &all->loops[i];
        for (uint32_t slot = 0; slot < l->slot_count; slot++) {
            if (l->slots[slot].session != NULL) {
                session_free(l->slots[slot].session);
            }
        }
        acks_free(l);
        free(l->slots);
    }
    book_free(all);
    free(all->loops);
}

enum err sessions_new(const struct conf *conf, const struct sessions_auth *auth,
                      const struct session_hooks *hooks, struct sessions **ret_sessions)
{
    struct sessions *all = calloc(1, sizeof(*all));
    if (all == NULL) {
        return ERR_NOMEM;
    }
    all->conf = conf;
    all->auth = *auth;
    all->hooks = *hooks;
    all->io = &net_io;
    const struct net_handlers handlers = {
        .arg = all,
        .opened = on_opened,
        .data = on_data,
        .drained = on_drained,
        .closed = on_closed,
        .tick = on_tick,
    };
    enum err e = sessions_init(all, (uint32_t)conf->net_loops);
    if (e == ERR_OK) {
        e = net_new(conf, &handlers, &all->net);
    }
    if (e != ERR_OK) {
        sessions_fini(all);
        free(all);
        return e;
    }
    *ret_sessions = all;
    return ERR_OK;
}

enum err sessions_start(struct sessions *all)
{
    return net_start(all->net);
}

enum err sessions_reload(struct sessions *all)
{
    return net_reload(all->net);
}

static void drain_here(struct mail *m)
{
    struct session_loop *l = CONTAINER_OF(m, struct session_loop, drain_mail);
    bool ending = atomic_load(&l->all->ending);
    l->draining = true;
    for (uint32_t i = 0; i < l->slot_count; i++) {
        struct session *s = l->slots[i].session;
        if (s == NULL || s->conn == NULL) {
            continue;
        }
        if (ending) {
            session_end(s, SESSION_CLOSE_STOP, NULL);
        } else {
            session_drain(s);
        }
    }
    atomic_fetch_sub(&l->all->drains_left, 1);
}

static void wait_until_zero(const atomic_int_fast64_t *count, int64_t until_us)
{
    while (atomic_load(count) > 0 && clock_mono_us() < until_us) {
        (void)nanosleep(&(struct timespec){.tv_nsec = STOP_POLL_NS}, NULL);
    }
}

static void drain_all(struct sessions *all, int64_t until_us)
{
    atomic_store(&all->drains_left, all->loop_count);
    for (uint32_t i = 0; i < all->loop_count; i++) {
        all->loops[i].drain_mail.run = drain_here;
        session_post(all, i, &all->loops[i].drain_mail);
    }
    wait_until_zero(&all->drains_left, INT64_MAX);
    wait_until_zero(&all->live, until_us);
}

void sessions_stop(struct sessions *all, int64_t timeout_us)
{
    int64_t until_us = clock_mono_us() + timeout_us;
    net_stop_accepting(all->net);
    drain_all(all, until_us);
    atomic_store(&all->ending, true);
    drain_all(all, until_us);
    /* The last packets go out, and well-behaved clients close. */
    int64_t linger_us = clock_mono_us() + STOP_LINGER_US;
    while (net_open_count(all->net) > 0 && clock_mono_us() < linger_us) {
        (void)nanosleep(&(struct timespec){.tv_nsec = STOP_POLL_NS}, NULL);
    }
    net_stop(all->net);
    atomic_store(&all->stopped, true);
}

void sessions_free(struct sessions *all)
{
    if (all == NULL) {
        return;
    }
    atomic_store(&all->stopped, true);
    net_free(all->net);
    sessions_fini(all);
    free(all);
}

int sessions_port(const struct sessions *all)
{
    return net_port(all->net);
}

int sessions_open_port(const struct sessions *all)
{
    return net_open_port(all->net);
}

struct kick {
    struct mail mail;
    struct session_loop *loop;
    int32_t device_id;
    int64_t credential_id;
};

void session_expel(struct session *s, bool for_good)
{
    if (for_good && s->kept != NULL) {
        s->kept->expiry_us = 0; /* nobody comes back for what the device was allowed */
    }
    if (s->conn != NULL) {
        session_end(s, SESSION_CLOSE_KICKED, NULL);
        return;
    }
    if (s->state == SESSION_PARKED && for_good) {
        session_forget(s);
    }
}

static void kick_one(struct session *s, const struct kick *k)
{
    if (s == NULL || s->device == NULL || s->device->id != k->device_id ||
        (k->credential_id != 0 && s->credential_id != k->credential_id)) {
        return;
    }
    session_expel(s, k->credential_id == 0);
}

static void kick_here(struct mail *m)
{
    struct kick *k = CONTAINER_OF(m, struct kick, mail);
    for (uint32_t i = 0; i < k->loop->slot_count; i++) {
        kick_one(k->loop->slots[i].session, k);
    }
    free(k);
}

void session_kick(struct sessions *all, int32_t device_id, int64_t credential_id)
{
    for (uint32_t i = 0; i < all->loop_count; i++) {
        struct kick *k = malloc(sizeof(*k));
        if (k == NULL) {
            LOG(LOG_ERROR, "kick_failed", LOG_I("device_id", device_id),
                LOG_S("why", "out of memory"), LOG_S("remedy", "restart the server"));
            return;
        }
        *k = (struct kick){.mail = {.run = kick_here},
                           .loop = &all->loops[i],
                           .device_id = device_id,
                           .credential_id = credential_id};
        session_post(all, i, &k->mail);
    }
}

static void resume_here(struct mail *m)
{
    struct session_loop *l = CONTAINER_OF(m, struct session_loop, resume_mail);
    atomic_store(&l->resume_posted, false);
    for (struct list *at = list_pop_front(&l->held); at != NULL; at = list_pop_front(&l->held)) {
        struct session *s = CONTAINER_OF(at, struct session, held_link);
        deliver_pump(s);
        session_unhold(s);
    }
}

void session_resume_all(struct sessions *all)
{
    for (uint32_t i = 0; i < all->loop_count; i++) {
        struct session_loop *l = &all->loops[i];
        if (!atomic_exchange(&l->resume_posted, true)) {
            l->resume_mail.run = resume_here;
            session_post(all, i, &l->resume_mail);
        }
    }
}
