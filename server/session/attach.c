#include <stdlib.h>
#include <string.h>

#include "base/counter.h"
#include "base/log.h"
#include "session/private.h"

/*
 * Between a good CONNECT and its CONNACK: the claim makes this connection the only one of its key
 * and brings what an earlier one kept; then the attach hook is asked, which may take its time; its
 * answer comes as mail. Packets that the client sends meanwhile wait in the connection's buffer.
 */

struct attach_answer {
    struct mail mail;
    struct sessions *all;
    struct session_ref ref;
    enum err status;
};

/* What was sent to the number while the claim was under way is in the fresh kept: it goes behind
 * what the claim brought, or ends with the state it was for. */
static void take_kept(struct session *s, struct kept *kept, int64_t number)
{
    struct sessions *all = s->home->all;
    s->granted = true;
    if (kept == NULL) {
        queue_end(all, s->kept, ERR_CLOSED);
        s->kept->number = number;
        return;
    }
    queue_splice(all, kept, s->kept);
    kept_free(all, s->kept);
    s->kept = kept;
    s->present = true;
}

static void ask_attach(struct session *s)
{
    const struct session_hooks *h = &s->home->all->hooks;
    s->attached = true;
    s->asked = true;
    const struct session_attach a = {
        .ref = session_ref(s),
        .device = s->device,
        .client_id = s->client_id,
        .clean_start = s->clean_start,
        .persistent = s->wanted_expiry_us > 0,
        .present = s->present,
        .expiry_us = s->wanted_expiry_us,
    };
    h->attach(h->arg, &a);
}

void attach_granted(struct session *s, struct kept *kept, int64_t number)
{
    take_kept(s, kept, number);
    if (s->successor != NULL) {
        struct claim *next = s->successor;
        s->successor = NULL;
        book_answer(next, session_yield(s, book_close(next), next->clean_start || next->evict));
        return;
    }
    if (s->conn == NULL) {
        session_settle(s);
        return;
    }
    if (number == 0 || home_opened(s) != ERR_OK) {
        (void)connect_refuse(s, (enum mqtt_version)s->version, MQTT_SERVER_UNAVAILABLE,
                             err_words(ERR_NOMEM));
        return;
    }
    ask_attach(s);
}

static void attach_ready(struct session *s)
{
    const struct session_io *io = s->home->all->io;
    session_move(s, SESSION_READY);
    s->kept->expiry_us = s->wanted_expiry_us;
    s->kept->announced = true; /* not before: a failed attach must not delete what is stored */
    s->packet_at_us = session_now_us(s);
    counter_add(COUNTER_SESSIONS_ONLINE, 1);
    io->ready(s->conn);
    if (s->paused) {
        s->paused = false;
        io->read(s->conn, true);
    }
    io->again(s->conn);
    char peer[NET_PEER_WORDS];
    LOG(LOG_INFO, "session_opened", LOG_S("device", s->device == NULL ? "" : s->device->name),
        LOG_S("client_id", s->client_id), LOG_S("peer", io->peer(s->conn, peer)),
        LOG_S("mqtt", s->version == MQTT_50 ? "5.0" : "3.1.1"), LOG_I("present", s->present));
    if (!rights_refresh(s)) {
        return;
    }
    deliver_resume(s);
    deliver_pump(s);
    timer_update(s);
}

static void attach_answered(struct session *s, enum err status)
{
    if (s->state != SESSION_CHECKING || !s->attached) {
        return;
    }
    enum err e = status == ERR_OK ? connect_accept(s) : status;
    if (e != ERR_OK) {
        (void)connect_refuse(s, (enum mqtt_version)s->version, MQTT_SERVER_UNAVAILABLE,
                             err_words(e));
        return;
    }
    attach_ready(s);
}

static void attach_answer_here(struct mail *m)
{
    struct attach_answer *a = CONTAINER_OF(m, struct attach_answer, mail);
    struct session *s = slots_get_any(&a->all->loops[a->ref.loop], a->ref);
    if (s != NULL && s->asked && !atomic_load(&a->all->stopped)) {
        s->asked = false;
        if (s->state == SESSION_ENDED) {
            session_free(s);
        } else if (s->state == SESSION_PARKED) {
            (void)!rights_refresh(
                s); /* its client went meanwhile, and its device may have changed */
        } else {
            attach_answered(s, a->status);
        }
    }
    free(a);
}

void session_attach_done(struct sessions *all, struct session_ref ref, enum err status)
{
    struct attach_answer *a = malloc(sizeof(*a));
    if (a == NULL) {
        LOG(LOG_ERROR, "attach_answer_lost", LOG_S("why", "out of memory"),
            LOG_S("effect", "the client is closed at its connect timeout"));
        return;
    }
    *a = (struct attach_answer){
        .mail = {.run = attach_answer_here}, .all = all, .ref = ref, .status = status};
    session_post(all, ref.loop, &a->mail);
}
