#include "app/wire.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/api.h"
#include "app/alert_log.h"
#include "auth/auth.h"
#include "base/counter.h"
#include "base/log.h"
#include "catalog/catalog.h"
#include "ingest/ingest.h"
#include "maintenance/maintenance.h"
#include "notify/notify.h"
#include "session/sessions.h"
#include "store/store.h"
#include "store/writer.h"
#include "topics/topics.h"

struct server {
    const struct conf *conf;
    struct intern *metrics;
    struct store *store;
    struct writer *writer;
    struct catalog *catalog;
    struct auth *auth;
    struct ingest *ingest;
    struct maintenance *maintenance;
    struct sessions *sessions;
    struct topics *topics;
    struct notify *notify;
    struct gate **gates; /* one a net loop */
    uint32_t gate_count;
    struct api *api;
    struct alert_log *alert_log;
    atomic_bool gave_up;
    bool sessions_started, ingest_started, api_started;
};

/* ---- who tells whom ---- */

/* session -> ingest */
static void on_attach(void *arg, const struct session_attach *a)
{
    ingest_attach(((struct server *)arg)->ingest, a);
}
static enum err on_publish(void *arg, struct session *s, const struct session_publish *p,
                           struct ticket *t)
{
    return gate_publish(((struct server *)arg)->gates[session_loop(s)], s, p, t);
}
static enum err on_filters(void *arg, struct session *s, const struct session_filter *filters,
                           uint32_t count, struct ticket *t)
{
    (void)filters;
    (void)count;
    (void)t; /* topics stores them */
    ingest_filters(((struct server *)arg)->ingest, s);
    return ERR_OK;
}
static void on_detach(void *arg, struct session_ref ref, const struct device *device,
                      const char *client_id, enum session_end end, bool persistent)
{
    (void)end;
    (void)persistent;
    ingest_detach(((struct server *)arg)->ingest, ref, device, client_id);
}
static void on_delivered(void *arg, int64_t delivery_id, enum err status)
{
    ingest_delivered(((struct server *)arg)->ingest, delivery_id, status);
}

/* session -> topics */
static enum err on_route(void *arg, struct session *s, const struct session_publish *p,
                         struct ticket *t)
{
    return topics_route(((struct server *)arg)->topics, s, p, t);
}
static enum err on_subscribed(void *arg, struct session *s, const struct session_filter *f,
                              bool existed, struct ticket *t)
{
    return topics_subscribed(((struct server *)arg)->topics, s, f, existed, t);
}
static enum err on_unsubscribed(void *arg, struct session *s, const struct session_filter *f,
                                struct ticket *t)
{
    return topics_unsubscribed(((struct server *)arg)->topics, s, f, t);
}
static void on_retained(void *arg, struct session *s, const struct session_filter *f, bool existed)
{
    topics_retained(((struct server *)arg)->topics, s, f, existed);
}
static enum err on_released(void *arg, struct session *s, uint16_t packet_id, struct ticket *t)
{
    return topics_released(((struct server *)arg)->topics, s, packet_id, t);
}
static enum err on_received(void *arg, struct session *s, int64_t seq, struct ticket *t)
{
    return topics_received(((struct server *)arg)->topics, s, seq, t);
}
static void on_target_done(void *arg, int64_t number, int64_t seq, struct message *m,
                           enum err status)
{
    topics_target_done(((struct server *)arg)->topics, number, seq, m, status);
}
static void on_will(void *arg, const struct session_will *w)
{
    topics_will(((struct server *)arg)->topics, w);
}
static void on_opened(void *arg, const struct session_opened *o)
{
    topics_opened(((struct server *)arg)->topics, o);
}
static void on_parted(void *arg, int64_t number, int64_t expiry_us)
{
    topics_parted(((struct server *)arg)->topics, number, expiry_us);
}
static void on_ended(void *arg, int64_t number)
{
    topics_ended(((struct server *)arg)->topics, number);
}

/* topics -> ingest, session, catalog */
static void on_commit(void *arg, struct ops *o)
{
    ingest_commit(((struct server *)arg)->ingest, o);
}
static struct device *on_device(void *arg, int32_t id)
{
    return catalog_device_by_id(((struct server *)arg)->catalog, id);
}

/* ingest -> session, api, alert log, notify */
static void on_event(void *arg, const struct ingest_event *e)
{
    struct server *s = arg;
    alert_log_write(s->alert_log, e);
    if (strncmp(e->kind, "alert.", 6) == 0) {
        notify_wake(s->notify, false);
    }
    if (e->id != 0) {
        api_event(s->api, &(struct api_event){.id = e->id,
                                              .kind = e->kind,
                                              .device_id = e->device_id,
                                              .command_id = e->command_id,
                                              .command_final = e->command_final,
                                              .json = e->json});
    }
}
static void on_resume(void *arg)
{
    session_resume_all(((struct server *)arg)->sessions);
}
static void on_deliver(void *arg, struct session_ref ref, struct session_delivery *d)
{
    session_deliver(((struct server *)arg)->sessions, ref, d);
}
static void on_attach_done(void *arg, struct session_ref ref, enum err status)
{
    session_attach_done(((struct server *)arg)->sessions, ref, status);
}
static void on_usurped(void *arg)
{
    atomic_store(&((struct server *)arg)->gave_up, true);
    (void)kill(getpid(), SIGTERM);
}

/* catalog -> ingest, session */
static void on_changed(void *arg, enum catalog_kind kind, int32_t id)
{
    struct server *s = arg;
    ingest_catalog_changed(s->ingest, kind, id);
    if (kind == CATALOG_DEVICE) {
        session_device_changed(s->sessions, id);
    } else if (kind == CATALOG_TYPE) {
        session_type_changed(s->sessions, id);
    }
}

/* api -> ingest, session */
static void on_submit(void *arg, struct api_op *op)
{
    ingest_submit(((struct server *)arg)->ingest, op);
}
static void on_credential_revoked(void *arg, int32_t device_id, int64_t credential_id)
{
    session_kick(((struct server *)arg)->sessions, device_id, credential_id);
}
static void on_notify(void *arg, bool channels_changed)
{
    notify_wake(((struct server *)arg)->notify, channels_changed);
}

/* notify -> topics; its commands and notes go to ingest as the API's do */
static void on_notify_publish(void *arg, const struct notify_publish *p)
{
    topics_publish(((struct server *)arg)->topics, p->topic, p->payload, p->qos, p->retain,
                   p->ticket);
}
static bool on_ready(void *arg, char *ret_why, size_t size)
{
    return ingest_is_ready(((struct server *)arg)->ingest, ret_why, size);
}

static bool on_online(void *arg, int32_t device_id)
{
    return ingest_online(((struct server *)arg)->ingest, device_id);
}

/* api -> maintenance, which tells ingest */
static int64_t on_work_order_id(void *arg)
{
    return ingest_work_order_id(((struct server *)arg)->ingest);
}
static void on_maintenance_changed(void *arg)
{
    maintenance_poke(((struct server *)arg)->maintenance);
}

/* ---- start ---- */

static bool stop_is_pending(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 &&
           (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

/* PostgreSQL may come up after us. */
static enum err start_database(const struct conf *conf, struct db **ret_db)
{
    for (int i = 0;; i++) {
        enum err e = db_open(conf->database_url, "signalbox", ret_db);
        if (e != ERR_DB_DOWN || stop_is_pending()) {
            return e == ERR_DB_DOWN ? ERR_CANCELLED : e;
        }
        if (i % 10 == 0) {
            LOG(LOG_WARN, "database_not_reached",
                LOG_S("next", "check database_url; trying again every second"));
        }
        struct timespec second = {.tv_sec = 1};
        (void)nanosleep(&second, NULL);
    }
}

static enum err start_state(struct server *s, struct db *db)
{
    struct store_migration_status status;
    enum err e = store_migrate(db, &status);
    if (e != ERR_OK) {
        LOG(LOG_ERROR, "migration_failed", LOG_S("error", status.problem));
        return e;
    }
    s->metrics = intern_new((int32_t)s->conf->metrics_max);
    s->catalog = s->metrics == NULL ? NULL : catalog_new(s->conf, s->metrics);
    s->auth = s->catalog == NULL ? NULL : auth_new(s->conf, s->catalog);
    if (s->auth == NULL) {
        return ERR_NOMEM;
    }
    e = catalog_load(s->catalog, db);
    return e == ERR_OK ? auth_load(s->auth, db) : e;
}

static enum err start_core(struct server *s, struct db *db)
{
    const struct ingest_hooks hooks = {.arg = s,
                                       .event = on_event,
                                       .resume = on_resume,
                                       .deliver = on_deliver,
                                       .attach_done = on_attach_done,
                                       .usurped = on_usurped};
    const struct notify_hooks notify_hooks = {
        .arg = s, .submit = on_submit, .publish = on_notify_publish};
    enum err e = store_new(s->conf, &s->store);
    if (e == ERR_OK) {
        e = writer_new(s->conf, &s->writer);
    }
    if (e == ERR_OK) {
        e = writer_start(s->writer); /* from here on no older server commits anything */
    }
    if (e == ERR_OK) {
        e = ingest_new(s->conf, s->catalog, s->store, s->writer, &hooks, &s->ingest);
    }
    if (e == ERR_OK) {
        e = ingest_restore(s->ingest, db);
    }
    if (e == ERR_OK) {
        e = notify_new(s->conf, s->catalog, &notify_hooks, &s->notify);
    }
    if (e == ERR_OK) {
        e = ingest_restore_automation(s->ingest, db);
    }
    if (e == ERR_OK) {
        e = maintenance_new(s->conf, s->catalog, s->ingest, &s->maintenance);
    }
    if (e == ERR_OK) {
        e = alert_log_open(s->conf->alert_log, &s->alert_log);
    }
    return e == ERR_OK ? alert_log_catch_up(s->alert_log, db) : e;
}

static enum err start_doors(struct server *s, struct db *db)
{
    const struct session_hooks session_hooks = {.arg = s,
                                                .attach = on_attach,
                                                .publish = on_publish,
                                                .filters = on_filters,
                                                .detach = on_detach,
                                                .delivered = on_delivered,
                                                .route = on_route,
                                                .subscribed = on_subscribed,
                                                .unsubscribed = on_unsubscribed,
                                                .retained = on_retained,
                                                .released = on_released,
                                                .received = on_received,
                                                .target_done = on_target_done,
                                                .will = on_will,
                                                .opened = on_opened,
                                                .parted = on_parted,
                                                .ended = on_ended};
    const struct topics_hooks topics_hooks = {
        .arg = s, .commit = on_commit, .resume = on_resume, .device = on_device};
    const struct api_hooks api_hooks = {.arg = s,
                                        .submit = on_submit,
                                        .online = on_online,
                                        .credential_revoked = on_credential_revoked,
                                        .notify = on_notify,
                                        .ready = on_ready,
                                        .work_order_id = on_work_order_id,
                                        .maintenance_changed = on_maintenance_changed};
    struct sessions_auth sessions_auth = sessions_auth_of(s->auth);
    enum err e = sessions_new(s->conf, &sessions_auth, &session_hooks, &s->sessions);
    if (e != ERR_OK) {
        return e;
    }
    s->gate_count = sessions_loop_count(s->sessions);
    s->gates = calloc(s->gate_count, sizeof(struct gate *));
    for (uint32_t i = 0; s->gates != NULL && i < s->gate_count; i++) {
        s->gates[i] = gate_new(s->ingest, sessions_loop(s->sessions, i));
        e = s->gates[i] == NULL ? ERR_NOMEM : e;
    }
    if (s->gates == NULL || e != ERR_OK) {
        return ERR_NOMEM;
    }
    e = topics_new(s->conf, &topics_hooks, &s->topics);
    if (e == ERR_OK) {
        e = topics_restore(s->topics, s->sessions, sessions_loop(s->sessions, 0), db);
    }
    return e != ERR_OK ? e : api_new(s->conf, s->store, s->catalog, s->auth, &api_hooks, &s->api);
}

static enum err start_threads(struct server *s)
{
    catalog_listen(s->catalog, on_changed, s);
    enum err e = ingest_start(s->ingest);
    s->ingest_started = e == ERR_OK;
    if (e == ERR_OK) {
        e = maintenance_start(s->maintenance);
    }
    if (e == ERR_OK) {
        e = sessions_start(s->sessions);
        s->sessions_started = e == ERR_OK;
    }
    if (e == ERR_OK) {
        e = api_start(s->api);
        s->api_started = e == ERR_OK;
    }
    if (e == ERR_OK) {
        e = notify_start(s->notify);
    }
    return e;
}

enum err server_start(const struct conf *conf, struct server **ret_server)
{
    struct server *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return ERR_NOMEM;
    }
    s->conf = conf;
    struct db *db = NULL;
    enum err e = start_database(conf, &db);
    if (e == ERR_OK) {
        e = start_state(s, db);
    }
    if (e == ERR_OK) {
        e = start_core(s, db);
    }
    if (e == ERR_OK) {
        e = start_doors(s, db);
    }
    db_close(db);
    if (e == ERR_OK) {
        e = start_threads(s);
    }
    if (e != ERR_OK) {
        LOG(LOG_ERROR, "start_failed", LOG_S("error", err_words(e)));
        server_stop(s);
        return e;
    }
    *ret_server = s;
    return ERR_OK;
}

/* ---- reload, stop ---- */

void server_reload(struct server *s)
{
    alert_log_reopen(s->alert_log);
    enum err e = sessions_reload(s->sessions);
    LOG(e == ERR_OK ? LOG_INFO : LOG_ERROR, "reload", LOG_S("certificates", err_words(e)),
        LOG_S("next", e == ERR_OK ? "new connections use them"
                                  : "the old ones stay in use; correct the files and reload"));
}

void server_stop(struct server *s)
{
    if (s->api_started) {
        api_stop(s->api);
    }
    if (s->notify != NULL) {
        notify_stop(s->notify);
    }
    maintenance_stop(s->maintenance);
    if (s->topics != NULL) {
        topics_stop(s->topics);
    }
    if (s->sessions_started) {
        sessions_stop(s->sessions, s->conf->stop_timeout_us);
        topics_flush(s->topics);
    }
    if (s->ingest_started) {
        ingest_stop(s->ingest);
    } else if (s->writer != NULL) {
        writer_stop(s->writer);
    }
    if (s->store != NULL) {
        store_stop(s->store);
    }
    ingest_free(s->ingest);
    for (uint32_t i = 0; i < s->gate_count; i++) {
        gate_free(s->gates[i]);
    }
    free(s->gates);
    sessions_free(s->sessions);
    topics_free(s->topics);
    notify_free(s->notify);
    api_free(s->api);
    maintenance_free(s->maintenance);
    writer_free(s->writer);
    store_free(s->store);
    auth_free(s->auth);
    catalog_free(s->catalog);
    intern_free(s->metrics);
    alert_log_close(s->alert_log);
    free(s);
}

int server_device_port(const struct server *s)
{
    return sessions_port(s->sessions);
}

int server_http_port(const struct server *s)
{
    return api_port(s->api);
}

bool server_gave_up(const struct server *s)
{
    return atomic_load(&s->gave_up);
}
