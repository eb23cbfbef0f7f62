#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/emit_json.h"
#include "base/patience.h"
#include "ingest/internal.h"

/*
 * Connections that come and go: who is present, whether its commands can be delivered, and what
 * became of deliveries. Each is mail to the core's thread. What is stored of a session is not of
 * this module: see topics.
 */

/* One letter for everything that happens to a session. */
struct session_mail {
    struct mail mail;
    struct ingest *in;
    struct device *device; /* held */
    struct session_ref ref;
    char client_id[];
};

/* must: NULL is no answer. */
static struct session_mail *session_mail_new(struct ingest *in, const struct device *device,
                                             const char *client_id, mail_fn run, bool must)
{
    size_t len = strlen(client_id);
    size_t size = sizeof(struct session_mail) + len + 1;
    struct session_mail *m = must ? patient_calloc(size) : calloc(1, size);
    if (m == NULL) {
        return NULL;
    }
    union {
        const struct device *borrowed;
        struct device *counted;
    } d = {.borrowed = device};
    device_hold(d.counted);
    m->in = in;
    m->device = d.counted;
    m->mail.run = run;
    memcpy(m->client_id, client_id, len);
    return m;
}

static void session_mail_free(struct session_mail *m)
{
    device_drop(m->device);
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

static void attach_run(struct mail *mail)
{
    struct session_mail *m = CONTAINER_OF(mail, struct session_mail, mail);
    struct ingest *in = m->in;
    in->hooks.attach_done(in->hooks.arg, m->ref, in->stopping ? ERR_CLOSED : ERR_OK);
    session_add(in, m);
    session_mail_free(m);
}

void ingest_attach(struct ingest *in, const struct session_attach *a)
{
    if (a->device == NULL) {
        in->hooks.attach_done(in->hooks.arg, a->ref, ERR_OK);
        return;
    }
    struct session_mail *m = session_mail_new(in, a->device, a->client_id, attach_run, false);
    if (m == NULL) {
        in->hooks.attach_done(in->hooks.arg, a->ref, ERR_NOMEM);
        return;
    }
    m->ref = a->ref;
    loop_post(in->loop, &m->mail);
}

static void filters_run(struct mail *mail)
{
    struct session_mail *m = CONTAINER_OF(mail, struct session_mail, mail);
    command_book_device_ready(m->in->book, m->device->id);
    session_mail_free(m);
}

void ingest_filters(struct ingest *in, struct session *s)
{
    if (session_device(s) != NULL) {
        struct session_mail *m =
            session_mail_new(in, session_device(s), session_client_id(s), filters_run, true);
        loop_post(in->loop, &m->mail);
    }
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
                   const char *client_id)
{
    if (device == NULL) {
        return;
    }
    struct session_mail *m = session_mail_new(in, device, client_id, detach_run, true);
    m->ref = ref;
    loop_post(in->loop, &m->mail);
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
    struct delivered_mail *m = patient_calloc(sizeof(*m));
    *m = (struct delivered_mail){
        .mail = {.run = delivered_run}, .in = in, .id = delivery_id, .status = status};
    loop_post(in->loop, &m->mail);
}
