#include "notify/notify.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "notify/internal.h"
#include "notify/policy.h"
#include "store/query_outbox.h"

/*
 * The worker's turn: what ended is marked; channels whose window is over are judged; what is due is
 * claimed and started; then it waits for receivers, for a wake, or for a second to pass. Receivers
 * are served side by side, so that a slow one delays only its own channel.
 *
 * The database is away: nothing is claimed, what is under way ends and is marked later. It refuses
 * one statement: that one is tried again in a second, and the turn goes on to the other channels.
 */
enum { WAIT_MS = 1000, IN_FLIGHT_MAX = 8 };

#define TURN_US      CLOCK_SECOND_US
#define RECONNECT_US CLOCK_SECOND_US
#define CLEAN_US     CLOCK_HOUR_US

/* ---- channels ---- */

static void sender_release(struct sender *s)
{
    list_remove(&s->link);
    if (--s->holds == 0) {
        channel_free(s->channel);
        free(s);
    }
}

static void senders_release(struct notify *n)
{
    while (!list_empty(&n->senders)) {
        sender_release(CONTAINER_OF(n->senders.next, struct sender, link));
    }
}

static enum err sender_add(struct notify *n, struct view definition, const char *secret)
{
    struct channel_error why;
    struct sender *s = calloc(1, sizeof(*s));
    enum err e = s == NULL ? ERR_NOMEM : channel_read(definition, secret, &s->channel, &why);
    if (e != ERR_OK) {
        free(s);
        if (e != ERR_NOMEM) {
            LOG(LOG_ERROR, "channel_not_read", LOG_S("field", why.pointer),
                LOG_S("why", why.detail), LOG_S("next", "correct the channel"));
        }
        return e == ERR_NOMEM ? e : ERR_OK;
    }
    s->holds = 1;
    list_push_back(&n->senders, &s->link);
    return ERR_OK;
}

static enum err senders_load(struct notify *n)
{
    struct db_result *r = NULL;
    enum err e = store_outbox_channels(n->db, &r);
    if (e != ERR_OK) {
        return e;
    }
    senders_release(n);
    for (int i = 0; i < db_rows(r) && e == ERR_OK; i++) {
        e = sender_add(n, db_get_view(r, i, 0), db_is_null(r, i, 1) ? NULL : db_get(r, i, 1));
    }
    db_result_free(r);
    return e;
}

static struct sender *sender_find(struct notify *n, const char *name)
{
    LIST_FOREACH (at, &n->senders) {
        struct sender *s = CONTAINER_OF(at, struct sender, link);
        if (strcmp(s->channel->name, name) == 0) {
            return s;
        }
    }
    return NULL;
}

/* ---- the turn ---- */

/* The first error is told. Without a connection what follows fails at once. */
static void keep(enum err *first, enum err e)
{
    *first = *first == ERR_OK ? e : *first;
}

static enum err send_due(struct notify *n, struct sender *s)
{
    enum err e = ERR_OK;
    while (e == ERR_OK && s->in_flight < IN_FLIGHT_MAX && !atomic_load(&n->stopping)) {
        e = delivery_start(n, s);
    }
    return e == ERR_SKIP ? ERR_OK : e;
}

static enum err serve_channel(struct notify *n, const struct db_result *r, int row)
{
    const char *name = db_get(r, row, 0);
    struct sender *s = sender_find(n, name);
    bool waiting = db_get_int(r, row, 1) > 0;
    int64_t left_us = policy_window_left_us(s == NULL ? 0 : s->channel->digest_window_us,
                                            db_get_int(r, row, 2), db_get_int(r, row, 3));
    bool judged = db_get_int(r, row, 4) > 0;
    enum err e = ERR_OK;
    if (waiting && left_us == 0) {
        e = judge_channel_rows(n, name, s == NULL ? NULL : s->channel);
        judged = true;
    } else if (waiting && clock_mono_us() + left_us < n->turn_at_us) {
        n->turn_at_us = clock_mono_us() + left_us;
    }
    if (e != ERR_OK || !judged) {
        return e;
    }
    if (s == NULL || !s->channel->enabled) {
        return store_outbox_drop(n->db, name, s == NULL ? "no_channel" : "disabled");
    }
    return send_due(n, s);
}

static enum err escalate(struct notify *n)
{
    enum err e = ERR_OK;
    LIST_FOREACH (at, &n->senders) {
        const struct channel *c = CONTAINER_OF(at, struct sender, link)->channel;
        if (c->escalate_to != NULL && c->enabled) {
            keep(&e, store_outbox_escalate(n->db, c->name, c->escalate_to, c->escalate_after_us));
        }
    }
    return e;
}

static enum err clean(struct notify *n)
{
    if (n->conf->history_days == 0 || clock_mono_us() < n->clean_at_us) {
        return ERR_OK;
    }
    n->clean_at_us = clock_mono_us() + CLEAN_US;
    return store_outbox_clean(n->db, n->conf->history_days);
}

/* What waits in all channels, and what has become due: once a second, and when woken. */
static enum err look(struct notify *n)
{
    struct db_result *r = NULL;
    int64_t now_us = clock_mono_us();
    enum err e = ERR_OK;
    n->turn_at_us = now_us + TURN_US;
    if (now_us >= n->escalate_at_us) {
        n->escalate_at_us = now_us + TURN_US;
        keep(&e, escalate(n));
    }
    enum err due = store_outbox_due(n->db, &r);
    keep(&e, due);
    for (int i = 0; due == ERR_OK && i < db_rows(r); i++) {
        keep(&e, serve_channel(n, r, i));
    }
    db_result_free(r);
    keep(&e, clean(n));
    return e;
}

/* Where a delivery ended the next one starts, without a look at everything. */
static enum err go_on(struct notify *n)
{
    enum err e = ERR_OK;
    LIST_FOREACH (at, &n->senders) {
        struct sender *s = CONTAINER_OF(at, struct sender, link);
        if (s->served && s->channel->enabled) {
            s->served = false;
            keep(&e, send_due(n, s));
        }
    }
    return e;
}

static bool mark_is_due(const struct notify *n)
{
    return !list_empty(&n->ended) && clock_mono_us() >= n->mark_at_us;
}

static enum err turn(struct notify *n, bool woken)
{
    enum err e = ERR_OK;
    if (mark_is_due(n)) {
        e = deliveries_mark(n);
        n->mark_at_us = e == ERR_OK ? 0 : clock_mono_us() + TURN_US;
    }
    if (atomic_exchange(&n->reload, false)) {
        enum err loaded = senders_load(n);
        if (loaded != ERR_OK) {
            atomic_store(&n->reload, true);
            n->turn_at_us = clock_mono_us() + TURN_US;
            return loaded; /* half of the channels: rows of the others would be dropped */
        }
    }
    keep(&e, go_on(n));
    if (woken || clock_mono_us() >= n->turn_at_us) {
        keep(&e, look(n));
    }
    return e;
}

/* ---- the thread ---- */

static enum err queue_again(struct notify *n)
{
    struct buf ids;
    buf_init(&ids, 1 << 20);
    buf_put_u8(&ids, '{');
    struct list *const lists[] = {&n->active, &n->ended};
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        LIST_FOREACH (at, lists[i]) {
            const struct delivery *d = CONTAINER_OF(at, struct delivery, link);
            buf_printf(&ids, "%s%lld", ids.len > 1 ? "," : "", (long long)d->notice.id);
        }
    }
    buf_put_str(&ids, "}");
    buf_put_u8(&ids, 0);
    enum err e =
        buf_err(&ids) == ERR_OK ? store_outbox_restart(n->db, (const char *)ids.data) : ERR_NOMEM;
    buf_fini(&ids);
    return e;
}

/* True: there is a connection that works. */
static bool connected(struct notify *n)
{
    if (n->db != NULL && db_alive(n->db)) {
        return true;
    }
    db_close(n->db);
    n->db = NULL;
    if (clock_mono_us() < n->connect_at_us) {
        return false;
    }
    n->connect_at_us = clock_mono_us() + RECONNECT_US;
    enum err e = db_open(n->conf->database_url, "signalbox notify", &n->db);
    if (e == ERR_OK) {
        e = queue_again(n);
    }
    if (e != ERR_OK) {
        if (!n->away) {
            LOG(LOG_WARN, "notifications_wait", LOG_S("error", err_words(e)),
                LOG_S("next", "they stay in the outbox; trying again every second"));
        }
        n->away = true;
        db_close(n->db);
        n->db = NULL;
        return false;
    }
    n->away = false;
    n->turn_at_us = 0;
    n->mark_at_us = 0;
    atomic_store(&n->reload, true);
    return true;
}

static void work(struct notify *n)
{
    bool woken = atomic_exchange(&n->woken, false);
    deliveries_collect(n);
    bool due = woken || mark_is_due(n) || clock_mono_us() >= n->turn_at_us;
    if (due && connected(n)) {
        enum err e = turn(n, woken);
        if (e != ERR_OK && e != ERR_DB_DOWN) {
            LOG(LOG_WARN, "notifications_not_served", LOG_S("error", err_words(e)),
                LOG_S("detail", db_error(n->db)), LOG_S("next", "trying again in a second"));
        }
    }
}

static void notify_run(struct mail *m)
{
    struct notify *n = CONTAINER_OF(m, struct notify, run);
    while (!atomic_load(&n->stopping)) {
        int running = 0;
        work(n);
        (void)curl_multi_perform(n->multi, &running);
        deliveries_reap(n); /* before the wait, which nothing would end for them */
        int64_t left_ms = (n->turn_at_us - clock_mono_us()) / CLOCK_MS_US;
        int wait_ms = left_ms < 0 ? 0 : left_ms > WAIT_MS ? WAIT_MS : (int)left_ms + 1;
        bool now = atomic_load(&n->woken) || mark_is_due(n);
        if (n->db == NULL) {
            wait_ms = WAIT_MS; /* nothing can be marked until there is a connection */
            now = false;
        }
        if (!now) {
            (void)curl_multi_poll(n->multi, NULL, 0, wait_ms, NULL);
        }
    }
    if (n->db != NULL && db_alive(n->db)) {
        deliveries_collect(n);
        if (deliveries_mark(n) != ERR_OK) {
            LOG(LOG_WARN, "notifications_not_marked",
                LOG_S("next", "they are sent again at the next start, under the same ids"));
        }
    }
    db_close(n->db);
    n->db = NULL;
}

/* ---- life ---- */

enum err notify_new(const struct conf *conf, struct catalog *catalog,
                    const struct notify_hooks *hooks, struct notify **ret_notify)
{
    struct notify *n = calloc(1, sizeof(*n));
    if (n == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        free(n);
        return ERR_NOMEM;
    }
    n->conf = conf;
    n->catalog = catalog;
    n->hooks = *hooks;
    list_init(&n->senders);
    list_init(&n->active);
    list_init(&n->ended);
    lock_init(&n->lock);
    n->run.run = notify_run;
    n->multi = curl_multi_init();
    if (gethostname(n->host, sizeof(n->host) - 1) != 0) {
        n->host[0] = '\0';
    }
    if (n->multi == NULL) {
        notify_free(n);
        return ERR_NOMEM;
    }
    *ret_notify = n;
    return ERR_OK;
}

enum err notify_start(struct notify *n)
{
    n->worker = worker_new("sb-notify", 1, NULL, NULL, n);
    if (n->worker == NULL) {
        return ERR_NOMEM;
    }
    worker_post(n->worker, &n->run);
    return ERR_OK;
}

void notify_wake(struct notify *n, bool channels_changed)
{
    if (channels_changed) {
        atomic_store(&n->reload, true);
    }
    if (!atomic_exchange(&n->woken, true)) {
        (void)curl_multi_wakeup(n->multi);
    }
}

void notify_stop(struct notify *n)
{
    if (n->worker != NULL) {
        atomic_store(&n->stopping, true);
        (void)curl_multi_wakeup(n->multi);
        worker_stop(n->worker);
    }
}

void notify_free(struct notify *n)
{
    if (n == NULL) {
        return;
    }
    struct list *const lists[] = {&n->active, &n->ended};
    for (size_t i = 0; i < COUNT_OF(lists); i++) {
        while (!list_empty(lists[i])) {
            struct list *first = list_pop_front(lists[i]);
            delivery_free(CONTAINER_OF(first, struct delivery, link));
        }
    }
    senders_release(n);
    worker_free(n->worker);
    if (n->multi != NULL) {
        (void)curl_multi_cleanup(n->multi);
    }
    lock_fini(&n->lock);
    free(n);
    curl_global_cleanup();
}
