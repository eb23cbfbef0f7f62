#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/emit_json.h"
#include "ingest/internal.h"

/*
 * Sessions that come and go, their stored filters, and what became of deliveries. Each is mail to
 * the core's thread.
 *
 * A client that comes back with clean start off after a restart gets the filters that were stored;
 * they are read on a store thread, and the CONNACK waits for them.
 */
enum { FILTERS_JSON_MAX = 1 << 20 };

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
    if (spooling_is_on(in)) {
        return; /* there is no place to keep it */
    }
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

/* What other threads may ask: is a session of the device connected? */
static void online_set(struct ingest *in, int32_t device_id, bool online)
{
    struct view key = view_of(&device_id, sizeof(device_id));
    void *old = NULL;
    lock_take(&in->online_lock);
    if (online) {
        CHECK(map_put(&in->online, key, in, &old) == ERR_OK);
    } else {
        (void)map_remove(&in->online, key);
    }
    lock_give(&in->online_lock);
}

bool ingest_online(struct ingest *in, int32_t device_id)
{
    lock_take(&in->online_lock);
    bool online = map_get(&in->online, view_of(&device_id, sizeof(device_id))) != NULL;
    lock_give(&in->online_lock);
    return online;
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
        online_set(in, cd->id, true);
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
    command_book_device_ready(m->in->book, m->device->id); /* its filters are known now */
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
        /* With a spool a device is let in without what was stored of its session: it subscribes
         * again. */
        bool spools = m->in->conf->spool_dir[0] != '\0';
        attach_answer(m, spools ? ERR_OK : e, false, NULL, 0);
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
        /* Known from now on: its end may be told before the filters are here, and nobody would take
         * out a session that was added after it. */
        session_add(m->in, m);
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
        if (spooling_is_on(in)) {
            ticket_drop(m->ticket, ERR_OK); /* its row follows when PostgreSQL is back;
                                               acknowledgements behind it must not wait */
        } else {
            batch_message(b, m->ticket, ERR_OK, false);
            atomic_fetch_add(&in->in_flight, 1); /* batches give each of their messages back */
        }
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
        online_set(m->in, cd->id, false);
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
