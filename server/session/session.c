#include <stdlib.h>

#include "base/counter.h"
#include "base/log.h"
#include "mqtt/control.h"
#include "session/private.h"

/*
 * One session's life. Its memory goes in session_free() only, which is reached from session_end()
 * (no persistence), session_forget() (expired), session_yield() (taken over), or from the answer to
 * an attach that came after all that.
 *
 * The one special case: a claim is under way and the connection goes. The claim may bring what an
 * earlier connection kept, so the session waits for it without a connection, and then parks it.
 */

static const struct {
    uint8_t reason;
    bool protocol_error;
    const char *words;
} closes[] = {
#define SESSION_CLOSE_ROW(name, reason, error, words) [name] = {reason, error, words},
    SESSION_CLOSE_LIST(SESSION_CLOSE_ROW)
#undef SESSION_CLOSE_ROW
};

const char *session_close_words(enum session_close why)
{
    return (unsigned)why < SESSION_CLOSE_COUNT ? closes[why].words : "?";
}

uint64_t sessions_close_count(const struct sessions *all, enum session_close why)
{
    return atomic_load_explicit(&all->closes[why], memory_order_relaxed);
}

void session_move(struct session *s, enum session_state to)
{
    CHECK(session_may_move((enum session_state)s->state, to));
#ifdef SIGNALBOX_TRACE
    LOG(LOG_DEBUG, "session_moved",
        LOG_S("from", session_state_words((enum session_state)s->state)),
        LOG_S("to", session_state_words(to)));
#endif
    s->state = (uint8_t)to;
}

struct session *session_new(struct session_loop *l, bool open_listener)
{
    struct session *s = calloc(1, sizeof(*s));
    if (s == NULL || slots_put(l, s) != ERR_OK) {
        free(s);
        return NULL;
    }
    s->home = l;
    s->open_listener = open_listener;
    s->limits = open_listener ? &l->all->open_limits : &l->all->device_limits;
    s->client_packet_max = UINT32_MAX;
    ack_queue_init(&s->acks);
    ack_queue_init(&s->releases);
    return s;
}

struct session *session_open(struct session_loop *l, struct net_conn *c, bool open_listener)
{
    struct session *s = l->draining ? NULL : session_new(l, open_listener);
    if (s == NULL) {
        return NULL;
    }
    s->conn = c;
    s->state = SESSION_WAITING;
    atomic_fetch_add(&l->all->live, 1);
    return s;
}

void session_free(struct session *s)
{
    CHECK(s->acks.first == NULL && s->releases.first == NULL && s->conn == NULL);
    wheel_cancel(&s->timer);
    slots_remove(s);
    if (list_linked(&s->held_link)) {
        list_remove(&s->held_link);
    }
    kept_free(s->home->all, s->kept);
    device_drop(s->device);
    will_forget(s);
    alias_forget_all(s);
    book_drop_claim(s->successor);
    free(s->client_id);
    free(s->user);
    free(s);
}

static void say_disconnect(struct session *s, enum session_close why)
{
    bool connected = s->state == SESSION_READY || s->state == SESSION_DRAINING;
    if (s->version != MQTT_50 || !connected || closes[why].reason == 0) {
        return;
    }
    const struct mqtt_disconnect m = {.reason = (enum mqtt_reason)closes[why].reason};
    (void)!mqtt_disconnect_encode(session_out(s), MQTT_50, &m);
}

static void log_closed(const struct session *s, enum session_close why, const char *detail)
{
    enum log_level level = s->state == SESSION_WAITING ? LOG_DEBUG : LOG_INFO;
    LOG(level, "session_closed", LOG_S("device", s->device == NULL ? "" : s->device->name),
        LOG_S("client_id", s->client_id == NULL ? "" : s->client_id),
        LOG_S("why", session_close_words(why)), LOG_S("detail", detail == NULL ? "" : detail),
        LOG_I("idle_ms", s->packet_at_us == 0 ? 0 : (session_now_us(s) - s->packet_at_us) / 1000));
}

static enum session_end end_for(const struct session *s, enum session_close why)
{
    if (s->will.message != NULL) {
        return SESSION_END_WILL;
    }
    return why == SESSION_CLOSE_CLIENT || why == SESSION_CLOSE_LOST ? SESSION_END_CLIENT
                                                                    : SESSION_END_SERVER;
}

/* The connection's part of the session ends; the session itself may live on. */
static void disconnect(struct session *s, enum session_close why, const char *detail,
                       bool persistent)
{
    struct sessions *all = s->home->all;
    if (s->conn != NULL) {
        say_disconnect(s, why);
        all->io->close(s->conn);
        s->conn = NULL;
    }
    atomic_fetch_sub(&all->live, 1);
    atomic_fetch_add_explicit(&all->closes[why], 1, memory_order_relaxed);
    if (closes[why].protocol_error) {
        counter_add(COUNTER_PROTOCOL_ERRORS, 1);
    }
    if (s->state == SESSION_READY || s->state == SESSION_DRAINING) {
        counter_add(COUNTER_SESSIONS_ONLINE, -1);
    }
    log_closed(s, why, detail);
    acks_drop_all(s);
    wheel_cancel(&s->timer);
    s->held = false;
    s->paused = false;
    s->scanned = 0;
    if (list_linked(&s->held_link)) {
        list_remove(&s->held_link);
    }
    alias_forget_all(s);
    if (s->state != SESSION_READY && s->state != SESSION_DRAINING) {
        will_forget(s); /* it is for connections that were accepted */
    }
    if (s->attached) {
        s->attached = false;
        enum session_end end = end_for(s, why);
        will_send(s, persistent);
        if (persistent) {
            home_parted(s);
        }
        if (all->hooks.detach != NULL) {
            all->hooks.detach(all->hooks.arg, session_ref(s), s->device, s->client_id, end,
                              persistent);
        }
    }
}

static bool survives(const struct session *s, enum session_close why)
{
    return s->kept != NULL && s->granted && s->kept->expiry_us > 0 &&
           why != SESSION_CLOSE_SESSIONS_MAX;
}

void session_park(struct session *s, int64_t expires_at_us)
{
    session_move(s, SESSION_PARKED);
    s->kept->expires_at_us = expires_at_us;
    wheel_set(&s->home->wheel, &s->timer, s->kept->expires_at_us);
    timer_update(s);
}

void session_end(struct session *s, enum session_close why, const char *detail)
{
    bool persistent = survives(s, why);
    disconnect(s, why, detail, persistent);
    if (s->state == SESSION_CHECKING && !s->granted) {
        return; /* attach_granted() comes and finds no connection */
    }
    if (persistent) {
        session_park(s, session_now_us(s) + s->kept->expiry_us);
        return;
    }
    session_forget(s);
}

void session_settle(struct session *s)
{
    if (survives(s, SESSION_CLOSE_LOST)) {
        session_park(s, session_now_us(s) + s->kept->expiry_us);
        (void)!rights_refresh(s); /* nobody told a session whose claim was under way */
        return;
    }
    session_forget(s);
}

void session_lost(struct session *s, enum net_close why)
{
    s->conn = NULL;
    session_end(s, SESSION_CLOSE_LOST, net_close_words(why));
}

static void tell_forgotten(struct session *s)
{
    const struct session_hooks *h = &s->home->all->hooks;
    if (s->kept != NULL && s->kept->announced && h->forgotten != NULL) {
        h->forgotten(h->arg, s->device, s->client_id);
    }
}

/* The attach hook may still be reading what it borrowed: then its answer frees the session. */
static void bury(struct session *s)
{
    session_move(s, SESSION_ENDED);
    if (!s->asked) {
        session_free(s);
        return;
    }
    wheel_cancel(&s->timer);
    struct kept *kept = s->kept;
    s->kept = NULL;
    kept_free(s->home->all, kept);
}

void session_forget(struct session *s)
{
    struct kept *kept = s->kept;
    tell_forgotten(s);
    s->kept = NULL;
    kept_free(s->home->all, kept); /* its targets end before their number does */
    if (s->granted) {
        book_release(s);
    }
    bury(s);
}

struct kept *session_yield(struct session *s, enum session_close why, bool discard)
{
    bool survived = survives(s, why) && !discard;
    if (s->state != SESSION_PARKED && s->conn != NULL) {
        disconnect(s, why, NULL, survived);
    }
    struct kept *kept = NULL;
    if (survived) {
        kept = s->kept;
        s->kept = NULL;
    } else {
        tell_forgotten(s);
    }
    bury(s);
    return kept;
}

/* The server stops: nothing more is taken; what was taken is still acknowledged. */
void session_drain(struct session *s)
{
    if (s->conn == NULL) {
        return;
    }
    if (s->state != SESSION_READY || s->acks.first == NULL) {
        session_end(s, SESSION_CLOSE_STOP, NULL);
        return;
    }
    session_move(s, SESSION_DRAINING);
    s->home->all->io->read(s->conn, false);
}

const struct device *session_device(const struct session *s)
{
    return s->device;
}

const char *session_client_id(const struct session *s)
{
    return s->client_id;
}

struct session_ref session_ref(const struct session *s)
{
    return (struct session_ref){
        .loop = s->home->index, .slot = s->slot, .generation = s->generation};
}

uint32_t session_loop(const struct session *s)
{
    return s->home->index;
}

void **session_user(struct session *s)
{
    return &s->user;
}

bool session_is_v5(const struct session *s)
{
    return s->version == MQTT_50;
}

int64_t session_number(const struct session *s)
{
    return s->kept == NULL || !s->granted ? 0 : s->kept->number;
}

bool session_outlives(const struct session *s)
{
    return s->kept != NULL && s->kept->expiry_us > 0;
}
