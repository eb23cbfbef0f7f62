#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/emit_json.h"
#include "base/log.h"
#include "ingest/internal.h"

/*
 * Everything that is not telemetry: sessions that come and go, their stored filters, answers to
 * commands, what devices say of themselves, and requests of the API. Each is mail to the core's
 * thread.
 */
enum { FILTERS_JSON_MAX = 1 << 20, ALERT_COMMENT_MAX = 4096 };

/* ---- the command book's view of the core
 * --------------------------------------------------------------------- */

static struct batch *book_batch(void *arg)
{
    return core_batch(arg);
}

static void book_send_after_commit(void *arg, int64_t id)
{
    core_after(arg, AFTER_SEND)->id = id;
}

static void book_event(void *arg, const char *kind, int32_t device_id, int64_t command_id,
                       bool final, struct view json)
{
    struct ingest *in = arg;
    core_event(in, kind, "info", device_id, clock_wall_us(), json, true);
    struct after *a = CONTAINER_OF(in->open->last, struct after, next);
    a->event.command_id = command_id;
    a->event.command_final = final;
}

static bool session_at(const struct core_device *cd, uint32_t tried, struct session_ref *ret_ref)
{
    if (cd == NULL || tried >= cd->session_count) {
        return false;
    }
    *ret_ref = cd->sessions[cd->session_count - 1 - tried];
    return true;
}

static bool book_route(void *arg, int32_t device_id, uint32_t tried,
                       struct command_route *ret_route)
{
    struct ingest *in = arg;
    struct core_device *own = core_device(in, device_id, false);
    *ret_route = (struct command_route){.child = NULL};
    if (session_at(own, tried, &ret_route->ref)) {
        return true;
    }
    struct device *d = catalog_device_by_id(in->catalog, device_id);
    if (d == NULL) {
        return false;
    }
    uint32_t own_sessions = own == NULL ? 0 : own->session_count;
    bool found = d->gateway != 0 && session_at(core_device(in, d->gateway, false),
                                               tried - own_sessions, &ret_route->ref);
    if (found) {
        (void)snprintf(in->name, sizeof(in->name), "%s", d->name);
        ret_route->child = in->name;
    }
    device_drop(d);
    return found;
}

static void book_deliver(void *arg, struct session_ref ref, struct session_delivery *d)
{
    struct ingest *in = arg;
    in->hooks.deliver(in->hooks.arg, ref, d);
}

static const char *book_device_name(void *arg, int32_t device_id)
{
    struct ingest *in = arg;
    struct device *d = catalog_device_by_id(in->catalog, device_id);
    (void)snprintf(in->name, sizeof(in->name), "%s", d == NULL ? "" : d->name);
    device_drop(d);
    return in->name;
}

struct command_book *core_book_new(struct ingest *in)
{
    return command_book_new(in->conf,
                            &(struct command_hooks){.arg = in,
                                                    .batch = book_batch,
                                                    .send_after_commit = book_send_after_commit,
                                                    .event = book_event,
                                                    .route = book_route,
                                                    .deliver = book_deliver,
                                                    .device_name = book_device_name});
}

/* ---- sessions
 * ------------------------------------------------------------------------------------------------
 */

/* One letter for everything that happens to a session. */
struct session_mail {
    struct mail mail;
    struct store_job job;
    struct ingest *in;
    struct device *device; /* held */
    struct session_ref ref;
    struct ticket *ticket; /* held */
    bool load_filters;
    bool clean_start;
    bool persistent;
    int64_t expiry_us;
    struct buf filters; /* JSON */
    enum session_end end;
    char client_id[];
};

static struct session_mail *session_mail_new(struct ingest *in, const struct device *device,
                                             const char *client_id, mail_fn run)
{
    size_t len = strlen(client_id);
    struct session_mail *m = calloc(1, sizeof(*m) + len + 1);
    CHECK(m != NULL);
    union {
        const struct device *borrowed;
        struct device *counted;
    } d = {.borrowed = device};
    device_hold(d.counted);
    m->in = in;
    m->device = d.counted;
    m->mail.run = run;
    memcpy(m->client_id, client_id, len);
    buf_init(&m->filters, FILTERS_JSON_MAX);
    return m;
}

static void session_mail_free(struct session_mail *m)
{
    device_drop(m->device);
    buf_fini(&m->filters);
    free(m);
}

static void presence_event(struct ingest *in, const struct device *d, bool online,
                           const char *client_id)
{
    struct buf body;
    buf_init(&body, 1 << 16);
    struct emit_json j = emit_json_init(&body);
    emit_json_open(&j, '{');
    emit_json_key(&j, "device");
    emit_json_str(&j, d->name);
    emit_json_key(&j, "online");
    emit_json_bool(&j, online);
    emit_json_key(&j, "client_id");
    emit_json_str(&j, client_id);
    emit_json_close(&j, '}');
    if (buf_err(&body) == ERR_OK) {
        core_event(in, online ? "device.online" : "device.offline", "info", d->id, clock_wall_us(),
                   buf_view(&body), true);
    }
    buf_fini(&body);
}

static bool same_session(struct session_ref a, struct session_ref b)
{
    return a.loop == b.loop && a.slot == b.slot && a.generation == b.generation;
}

static bool session_remove(struct core_device *cd, struct session_ref ref)
{
    for (uint32_t i = 0; i < cd->session_count; i++) {
        if (same_session(cd->sessions[i], ref)) {
            memmove(&cd->sessions[i], &cd->sessions[i + 1],
                    (cd->session_count - i - 1) * sizeof(ref));
            cd->session_count--;
            return true;
        }
    }
    return false;
}

static void session_add(struct ingest *in, const struct session_mail *m)
{
    struct core_device *cd = core_device(in, m->device->id, true);
    (void)session_remove(cd, m->ref);
    if (cd->session_count == CORE_SESSIONS_MAX) {
        (void)session_remove(cd,
                             cd->sessions[0]); /* the oldest gets no commands; it stays connected */
    }
    cd->sessions[cd->session_count++] = m->ref;
    if (cd->session_count == 1) {
        presence_event(in, m->device, true, m->client_id);
    }
    core_device_wake(in, cd);
    command_book_device_ready(in->book, cd->id);
}

static void attach_answer(struct session_mail *m, enum err status, bool present,
                          const struct session_filter *filters, uint32_t count)
{
    m->in->hooks.attach_done(m->in->hooks.arg, m->ref, status, present, filters, count);
}

static void attach_loaded(struct mail *mail)
{
    struct session_mail *m = CONTAINER_OF(mail, struct session_mail, mail);
    session_add(m->in, m);
    session_mail_free(m);
}

/* On a store thread. */
static enum err attach_load(struct session_mail *m, struct db *db)
{
    struct db_params p = {0};
    db_int(&p, m->device->id);
    db_text(&p, m->client_id);
    struct db_result *r = NULL;
    enum err e = db_query(
        db,
        "SELECT f.filter, f.options, f.identifier FROM sessions s LEFT JOIN LATERAL"
        " jsonb_to_recordset(s.filters) AS f (filter text, options int, identifier bigint) ON true"
        " WHERE s.device_id = $1 AND s.client_id = $2"
        " AND s.updated_at + s.expiry_s * interval '1 second' > now()",
        &p, &r);
    if (e != ERR_OK) {
        return e;
    }
    int rows = db_rows(r);
    struct session_filter *filters = calloc((size_t)rows + 1, sizeof(*filters));
    uint32_t count = 0;
    for (int i = 0; filters != NULL && i < rows; i++) {
        if (!db_is_null(r, i, 0)) {
            filters[count++] = (struct session_filter){.filter = strdup(db_get(r, i, 0)),
                                                       .options = (uint8_t)db_get_int(r, i, 1),
                                                       .identifier = (uint32_t)db_get_int(r, i, 2)};
        }
    }
    db_result_free(r);
    attach_answer(m, filters == NULL ? ERR_NOMEM : ERR_OK, rows > 0, filters, count);
    for (uint32_t i = 0; i < count; i++) {
        free(filters[i].filter);
    }
    free(filters);
    return ERR_OK;
}

static void attach_work(struct store_job *job, struct db *db)
{
    struct session_mail *m = CONTAINER_OF(job, struct session_mail, job);
    enum err e = db == NULL ? ERR_DB_DOWN : attach_load(m, db);
    if (e != ERR_OK) {
        attach_answer(m, e, false, NULL, 0);
    }
    m->mail.run = attach_loaded;
    loop_post(m->in->loop, &m->mail);
}

static void sessions_forget(struct ingest *in, const struct session_mail *m)
{
    struct batch *b = core_batch(in);
    struct batch_op *op =
        batch_op(b, "DELETE FROM sessions WHERE device_id = $1 AND client_id = $2");
    batch_op_int(b, op, m->device->id);
    batch_op_str(b, op, m->client_id);
}

static void attach_run(struct mail *mail)
{
    struct session_mail *m = CONTAINER_OF(mail, struct session_mail, mail);
    if (m->load_filters && !m->in->stopping) {
        store_run(m->in->store, &m->job, attach_work);
        return;
    }
    if (m->clean_start && m->persistent) {
        sessions_forget(m->in, m);
    }
    attach_answer(m, m->in->stopping ? ERR_CLOSED : ERR_OK, false, NULL, 0);
    session_add(m->in, m);
    session_mail_free(m);
}

void ingest_attach(struct ingest *in, const struct session_attach *a)
{
    if (a->device == NULL) {
        in->hooks.attach_done(in->hooks.arg, a->ref, ERR_OK, false, NULL, 0);
        return;
    }
    struct session_mail *m = session_mail_new(in, a->device, a->client_id, attach_run);
    m->ref = a->ref;
    m->load_filters = !a->clean_start && !a->present;
    m->clean_start = a->clean_start;
    m->persistent = a->persistent;
    m->expiry_us = a->expiry_us;
    loop_post(in->loop, &m->mail);
}

static void filters_run(struct mail *mail)
{
    struct session_mail *m = CONTAINER_OF(mail, struct session_mail, mail);
    struct ingest *in = m->in;
    if (m->ticket != NULL) {
        struct batch *b = core_batch(in);
        batch_message(b, m->ticket, ERR_OK, false);
        struct batch_op *op =
            batch_op(b, "INSERT INTO sessions (device_id, client_id, filters, expiry_s) VALUES "
                        "($1, $2, $3::jsonb, $4)"
                        " ON CONFLICT (device_id, client_id) DO UPDATE SET filters = "
                        "excluded.filters, expiry_s = excluded.expiry_s,"
                        " updated_at = now()");
        batch_op_int(b, op, m->device->id);
        batch_op_str(b, op, m->client_id);
        batch_op_text(b, op, buf_view(&m->filters));
        batch_op_int(b, op, in->conf->session_expiry_max_us / CLOCK_SECOND_US);
        atomic_fetch_add(&in->in_flight, 1); /* batches give each of their messages back */
    }
    command_book_device_ready(in->book, m->device->id);
    session_mail_free(m);
}

enum err ingest_filters(struct ingest *in, struct session *s, const struct session_filter *filters,
                        uint32_t count, struct ticket *t)
{
    if (session_device(s) == NULL) {
        return ERR_OK;
    }
    struct session_mail *m =
        session_mail_new(in, session_device(s), session_client_id(s), filters_run);
    struct emit_json j = emit_json_init(&m->filters);
    emit_json_open(&j, '[');
    for (uint32_t i = 0; i < count; i++) {
        emit_json_open(&j, '{');
        emit_json_key(&j, "filter");
        emit_json_str(&j, filters[i].filter);
        emit_json_key(&j, "options");
        emit_json_int(&j, filters[i].options);
        emit_json_key(&j, "identifier");
        emit_json_int(&j, filters[i].identifier);
        emit_json_close(&j, '}');
    }
    emit_json_close(&j, ']');
    if (buf_err(&m->filters) != ERR_OK) {
        session_mail_free(m);
        return ERR_LIMIT;
    }
    if (t != NULL) {
        ticket_hold(t);
        m->ticket = t;
    }
    loop_post(in->loop, &m->mail);
    return ERR_OK;
}

static void detach_run(struct mail *mail)
{
    struct session_mail *m = CONTAINER_OF(mail, struct session_mail, mail);
    struct core_device *cd = core_device(m->in, m->device->id, false);
    if (cd != NULL && session_remove(cd, m->ref) && cd->session_count == 0) {
        presence_event(m->in, m->device, false, m->client_id);
    }
    session_mail_free(m);
}

void ingest_detach(struct ingest *in, struct session_ref ref, const struct device *device,
                   const char *client_id, enum session_end end, bool persistent)
{
    (void)persistent;
    if (device == NULL) {
        return;
    }
    struct session_mail *m = session_mail_new(in, device, client_id, detach_run);
    m->ref = ref;
    m->end = end;
    loop_post(in->loop, &m->mail);
}

static void forgotten_run(struct mail *mail)
{
    struct session_mail *m = CONTAINER_OF(mail, struct session_mail, mail);
    sessions_forget(m->in, m);
    session_mail_free(m);
}

void ingest_forgotten(struct ingest *in, const struct device *device, const char *client_id)
{
    if (device != NULL) {
        struct session_mail *m = session_mail_new(in, device, client_id, forgotten_run);
        loop_post(in->loop, &m->mail);
    }
}

struct delivered_mail {
    struct mail mail;
    struct ingest *in;
    int64_t id;
    enum err status;
};

static void delivered_run(struct mail *mail)
{
    struct delivered_mail *m = CONTAINER_OF(mail, struct delivered_mail, mail);
    command_book_delivered(m->in->book, m->id, m->status);
    free(m);
}

void ingest_delivered(struct ingest *in, int64_t delivery_id, enum err status)
{
    struct delivered_mail *m = calloc(1, sizeof(*m));
    CHECK(m != NULL);
    *m = (struct delivered_mail){
        .mail = {.run = delivered_run}, .in = in, .id = delivery_id, .status = status};
    loop_post(in->loop, &m->mail);
}

/* ---- messages that are not telemetry
 * ------------------------------------------------------------------------- */

void core_answer(struct ingest *in, struct core_device *cd, struct ingest_message *m)
{
    if (command_book_answer(in->book, cd->id, m->id, m->body) != ERR_OK) {
        core_reject(in, m, ERR_UNKNOWN_NAME, VIEW(""),
                    VIEW("no command of this number waits for an answer: it ended or was never "
                         "sent to this device"));
        return;
    }
    batch_message(core_batch(in), m->ticket, ERR_OK, m->counts);
    core_message_end(in, m);
}

void core_attributes(struct ingest *in, struct core_device *cd, struct ingest_message *m)
{
    struct batch *b = core_batch(in);
    batch_message(b, m->ticket, ERR_OK, m->counts);
    struct batch_op *op =
        batch_op(b, "UPDATE devices SET reported = reported || $2::jsonb WHERE id = $1");
    batch_op_int(b, op, cd->id);
    batch_op_text(b, op, m->body);
    core_message_end(in, m);
}

struct attribute_job {
    struct store_job job;
    struct ingest *in;
    struct session_ref ref;
    int32_t device_id;
    int64_t id;
    char body[];
};

static void attribute_work(struct store_job *job, struct db *db)
{
    struct attribute_job *a = CONTAINER_OF(job, struct attribute_job, job);
    struct db_params p = {0};
    db_int(&p, a->device_id);
    db_text(&p, a->body);
    struct db_result *r = NULL;
    if (db != NULL &&
        db_query(db,
                 "WITH q AS (SELECT string_to_array($2::jsonb ->> 'clientKeys', ',') AS client,"
                 " string_to_array($2::jsonb ->> 'sharedKeys', ',') AS shared)"
                 " SELECT json_build_object('client', (SELECT coalesce(jsonb_object_agg(key, "
                 "value), '{}') FROM"
                 " jsonb_each(d.reported), q WHERE (client IS NULL AND shared IS NULL) OR key = "
                 "ANY (client)),"
                 " 'shared', (SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM "
                 "jsonb_each(d.attributes), q"
                 " WHERE (client IS NULL AND shared IS NULL) OR key = ANY (shared)))::text FROM "
                 "devices d WHERE d.id = $1",
                 &p, &r) == ERR_OK &&
        db_rows(r) == 1) {
        char topic[64];
        (void)snprintf(topic, sizeof(topic), "v1/devices/me/attributes/response/%lld",
                       (long long)a->id);
        struct session_delivery *d = session_delivery_new(view_str(topic), db_get_view(r, 0, 0), 1);
        if (d != NULL) {
            d->expires_at_us = CLOCK_NONE;
            a->in->hooks.deliver(a->in->hooks.arg, a->ref, d);
        }
    }
    db_result_free(r);
    free(a);
}

void core_attribute_request(struct ingest *in, struct core_device *cd, struct ingest_message *m)
{
    batch_message(core_batch(in), m->ticket, ERR_OK, m->counts);
    struct attribute_job *a = calloc(1, sizeof(*a) + m->body.len + 1);
    if (a != NULL && !in->stopping) {
        a->in = in;
        a->ref = m->from;
        a->device_id = cd->id;
        a->id = m->id;
        (void)view_copy(m->body, a->body, m->body.len + 1);
        store_run(in->store, &a->job, attribute_work);
    } else {
        free(a);
    }
    core_message_end(in, m);
}

/* ---- requests of the API
 * ------------------------------------------------------------------------------------- */

static void op_end(struct api_op *op, enum err status, const char *detail)
{
    op->status = status;
    (void)snprintf(op->detail, sizeof(op->detail), "%s", detail);
    op->done(op);
}

static void op_create(struct ingest *in, struct api_op *op)
{
    char origin[160];
    (void)snprintf(origin, sizeof(origin), "api:%s", op->actor);
    enum command_state state = COMMAND_QUEUED;
    enum err e = command_book_create(in->book,
                                     &(struct command_new){.device_id = op->device_id,
                                                           .method = op->method,
                                                           .params = op->params,
                                                           .expires_us = op->expires_us,
                                                           .origin = origin,
                                                           .idempotency_key = op->idempotency_key},
                                     &op->ret_id, &state);
    if (e != ERR_OK) {
        op_end(op, e, e == ERR_FULL ? "the device has too many commands that have not ended" : "");
        return;
    }
    op->status = ERR_OK;
    op->ret_state = command_state_words(state);
    core_after(in, AFTER_OP)->op = op;
}

/* The same Idempotency-Key again: the database knows the keys of committed commands, `keys` those
 * of the last minute. */
struct key_job {
    struct store_job job;
    struct mail back;
    struct ingest *in;
    struct api_op *op;
    enum err err;
    bool found;
};

static struct view op_key(const struct api_op *op, struct buf *scratch)
{
    buf_put(scratch, &op->device_id, sizeof(op->device_id));
    buf_put_str(scratch, op->idempotency_key);
    return buf_view(scratch);
}

static void key_looked_up(struct mail *mail)
{
    struct key_job *k = CONTAINER_OF(mail, struct key_job, back);
    struct ingest *in = k->in;
    struct api_op *op = k->op;
    enum err e = k->err;
    bool found = k->found;
    free(k);
    if (e != ERR_OK || found) {
        op_end(op, e != ERR_OK ? e : op->status, "");
        return;
    }
    struct buf key;
    buf_init(&key, 1 << 16);
    (void)op_key(op, &key);
    int64_t *known = map_get(&in->keys, buf_view(&key));
    void *old = NULL;
    if (known != NULL) {
        op->ret_id = known[0];
        op->ret_state = "queued";
        op_end(op, ERR_EXISTS, "");
    } else {
        op_create(in, op);
        int64_t *row = calloc(2, sizeof(*row));
        if (row != NULL && op->ret_id != 0) {
            row[0] = op->ret_id;
            row[1] = clock_mono_us();
            if (map_put(&in->keys, buf_view(&key), row, &old) != ERR_OK) {
                free(row);
            }
        } else {
            free(row);
        }
    }
    buf_fini(&key);
}

void core_keys_expire(struct ingest *in)
{
    int64_t before_us = clock_mono_us() - CLOCK_MINUTE_US;
    bool again = true;
    while (again) {
        again = false;
        MAP_FOREACH (at, &in->keys) {
            int64_t *row = at->value;
            if (row[1] < before_us || in->stopping) {
                (void)map_remove(&in->keys, view_of(at->key, at->key_len));
                free(row);
                again = true;
                break;
            }
        }
    }
}

static void key_work(struct store_job *job, struct db *db)
{
    struct key_job *k = CONTAINER_OF(job, struct key_job, job);
    struct api_op *op = k->op;
    struct db_params p = {0};
    db_int(&p, op->device_id);
    db_text(&p, op->idempotency_key);
    db_text(&p, op->method);
    db_text(&p, op->params);
    struct db_result *r = NULL;
    k->err = db == NULL
                 ? ERR_DB_DOWN
                 : db_query(db,
                            "SELECT id, method = $3 AND params = $4::jsonb, state FROM commands"
                            " WHERE device_id = $1 AND idempotency_key = $2",
                            &p, &r);
    if (k->err == ERR_OK && db_rows(r) == 1) {
        enum command_state state = COMMAND_QUEUED;
        (void)command_state_parse(db_get_view(r, 0, 2), &state);
        k->found = true;
        op->ret_id = db_get_int(r, 0, 0);
        op->ret_state = command_state_words(state);
        op->status = db_get_bool(r, 0, 1) ? ERR_EXISTS : ERR_CONFLICT;
    }
    db_result_free(r);
    k->back.run = key_looked_up;
    loop_post(k->in->loop, &k->back);
}

static void op_command(struct ingest *in, struct api_op *op)
{
    struct key_job *k = op->idempotency_key == NULL ? NULL : calloc(1, sizeof(*k));
    if (k == NULL) {
        op_create(in, op);
        return;
    }
    k->in = in;
    k->op = op;
    store_run(in->store, &k->job, key_work);
}

static void op_acknowledge(struct ingest *in, struct api_op *op)
{
    int64_t now_us = clock_wall_us();
    struct batch *b = core_batch(in);
    struct batch_op *o =
        batch_op(b, "UPDATE alerts SET acknowledged_by = $2, acknowledged_at = $3 WHERE id = $1"
                    " AND acknowledged_by IS NULL");
    batch_op_int(b, o, op->id);
    batch_op_str(b, o, op->actor);
    batch_op_time(b, o, now_us);
    struct buf body;
    buf_init(&body, 1 << 16);
    struct emit_json j = emit_json_init(&body);
    emit_json_open(&j, '{');
    emit_json_key(&j, "alert_id");
    emit_json_int(&j, op->id);
    emit_json_key(&j, "acknowledged_by");
    emit_json_str(&j, op->actor);
    emit_json_key(&j, "comment");
    emit_json_str(&j, op->comment);
    emit_json_close(&j, '}');
    o = batch_op(b, "INSERT INTO alert_events (alert_id, kind, ts, actor, detail)"
                    " VALUES ($1, 'acknowledged', $2, $3, $4::jsonb)");
    batch_op_int(b, o, op->id);
    batch_op_time(b, o, now_us);
    batch_op_str(b, o, op->actor);
    batch_op_text(b, o, buf_view(&body));
    core_event(in, "alert.acknowledged", "info", op->device_id, now_us, buf_view(&body), true);
    buf_fini(&body);
    op->status = ERR_OK;
    op->ret_id = op->id;
    core_after(in, AFTER_OP)->op = op;
}

/* Readings by HTTP: the same road as a publish, with a ticket that answers the request. */
struct op_ticket {
    struct ticket ticket;
    struct api_op *op;
};

static void op_telemetry_done(struct ticket *t, enum err status)
{
    struct op_ticket *ot = CONTAINER_OF(t, struct op_ticket, ticket);
    struct api_op *op = ot->op;
    free(ot);
    op->status = status;
    op->done(op);
}

static void op_telemetry(struct ingest *in, struct api_op *op)
{
    struct device *d = catalog_device_by_id(in->catalog, op->device_id);
    struct ingest_block *b = calloc(1, sizeof(*b));
    struct op_ticket *t = calloc(1, sizeof(*t));
    CHECK(b != NULL && t != NULL);
    arena_init(&b->arena, 256 << 20);
    b->in = in;
    struct ingest_message *m = arena_zalloc(&b->arena, sizeof(*m));
    CHECK(m != NULL);
    struct payload_limits limits = payload_limits_default;
    limits.values_max = (uint32_t)in->conf->values_per_message_max;
    limits.samples_max = limits.values_max;
    struct payload_ctx ctx = {.arena = &b->arena, .metrics = in->metrics, .limits = &limits};
    struct payload_error why = {.err = ERR_NOT_FOUND};
    m->body = arena_view(&b->arena, op->body);
    enum err e = d == NULL ? ERR_NOT_FOUND : payload_telemetry(&ctx, m->body, &m->samples, &why);
    if (e != ERR_OK) {
        (void)snprintf(op->pointer, sizeof(op->pointer), "%s", why.pointer);
        device_drop(d);
        arena_fini(&b->arena);
        free(b);
        free(t);
        op_end(op, e, why.detail);
        return;
    }
    t->op = op;
    ticket_init(&t->ticket, op_telemetry_done);
    m->block = b;
    m->kind = INGEST_TELEMETRY;
    m->device = d;
    m->name = view_str(d->name);
    m->topic = VIEW("/v1/telemetry");
    m->ticket = &t->ticket;
    m->counts = true;
    m->received_at_us = in->tick_wall_us;
    b->first = m;
    b->count = 1;
    b->holds = 1;
    counter_message_received(1);
    atomic_fetch_add(&in->in_flight, 1);
    core_message(in, m);
}

struct op_mail {
    struct mail mail;
    struct ingest *in;
    struct api_op *op;
};

static void op_run(struct mail *mail)
{
    struct op_mail *m = CONTAINER_OF(mail, struct op_mail, mail);
    struct ingest *in = m->in;
    struct api_op *op = m->op;
    free(m);
    if (in->stopping || !writer_is_up(in->writer)) {
        op_end(op, ERR_DB_DOWN, "");
        return;
    }
    switch (op->kind) {
    case API_OP_COMMAND_CREATE:
        op_command(in, op);
        break;
    case API_OP_COMMAND_CANCEL: {
        enum err e = command_book_cancel(in->book, op->id, op->actor);
        op->status = e;
        op->ret_id = op->id;
        op->ret_state = "cancelled";
        if (e == ERR_OK) {
            core_after(in, AFTER_OP)->op = op;
        } else {
            op_end(op, e, "");
        }
        break;
    }
    case API_OP_ALERT_ACK:
        op_acknowledge(in, op);
        break;
    case API_OP_TELEMETRY:
        op_telemetry(in, op);
        break;
    }
}

void ingest_submit(struct ingest *in, struct api_op *op)
{
    struct op_mail *m = calloc(1, sizeof(*m));
    CHECK(m != NULL);
    *m = (struct op_mail){.mail = {.run = op_run}, .in = in, .op = op};
    loop_post(in->loop, &m->mail);
}

/* ---- the catalog changed
 * ------------------------------------------------------------------------------------- */

struct changed_mail {
    struct mail mail;
    struct ingest *in;
    enum catalog_kind kind;
    int32_t id;
};

static void changed_run(struct mail *mail)
{
    struct changed_mail *m = CONTAINER_OF(mail, struct changed_mail, mail);
    struct ingest *in = m->in;
    if (m->kind == CATALOG_RULE && !in->stopping) {
        core_reload_for_rule(in, m->id);
    }
    for (int32_t i = 0; m->kind != CATALOG_RULE && !in->stopping && i < in->device_cap; i++) {
        struct core_device *cd = in->devices[i];
        bool hit = cd != NULL && (m->kind == CATALOG_DEVICE
                                      ? cd->id == m->id
                                      : cd->device != NULL && cd->device->type->id == m->id);
        if (hit) {
            core_device_reload(in, cd);
        }
    }
    free(m);
}

void ingest_catalog_changed(struct ingest *in, enum catalog_kind kind, int32_t id)
{
    struct changed_mail *m = calloc(1, sizeof(*m));
    CHECK(m != NULL);
    *m = (struct changed_mail){.mail = {.run = changed_run}, .in = in, .kind = kind, .id = id};
    loop_post(in->loop, &m->mail);
}
