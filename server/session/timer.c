#include "session/private.h"

/*
 * Each session has one entry in its loop's wheel, set to the earliest of its deadlines. Packets
 * only note their time: when the entry fires too early, it is set again. So a busy session costs
 * the wheel nothing, and an idle one an entry every one and a half keep alives.
 */

static void earliest(int64_t *at_us, int64_t deadline_us)
{
    if (*at_us == CLOCK_NONE || deadline_us < *at_us) {
        *at_us = deadline_us;
    }
}

static bool owes(const struct session *s)
{
    return s->acks.first != NULL || s->releases.first != NULL || s->held;
}

static int64_t keep_alive_at(const struct session *s)
{
    return s->packet_at_us + s->keep_alive_ms * CLOCK_MS_US;
}

static int64_t stalled_at(const struct session *s)
{
    return s->progress_at_us + s->home->all->conf->stalled_timeout_us;
}

/* Of a connected session, without the expiry of what waits for it. */
static int64_t deadline_of(const struct session *s)
{
    int64_t at_us = CLOCK_NONE;
    if (s->state == SESSION_READY && !s->paused && s->keep_alive_ms > 0) {
        earliest(&at_us, keep_alive_at(s));
    }
    if (s->state == SESSION_READY && owes(s)) {
        earliest(&at_us, stalled_at(s));
    }
    return at_us;
}

/* Only ever moves the entry forward in time; firing finds out what is really due. */
void timer_update(struct session *s)
{
    if (s->state != SESSION_READY && s->state != SESSION_PARKED) {
        return;
    }
    int64_t at_us = deadline_of(s);
    if (s->kept->next_expiry_us != CLOCK_NONE) {
        earliest(&at_us, s->kept->next_expiry_us);
    }
    if (at_us != CLOCK_NONE && (!wheel_is_set(&s->timer) || at_us < s->timer.at_us)) {
        wheel_set(&s->home->wheel, &s->timer, at_us);
    }
}

static void fire_parked(struct session *s, int64_t now_us)
{
    if (now_us >= s->kept->expires_at_us) {
        session_forget(s);
        return;
    }
    queue_expire(s->home->all, s->kept, now_us);
    int64_t at_us = s->kept->next_expiry_us;
    earliest(&at_us, s->kept->expires_at_us);
    wheel_set(&s->home->wheel, &s->timer, at_us);
}

void timer_fire(void *arg, struct wheel_entry *e)
{
    struct session *s = CONTAINER_OF(e, struct session, timer);
    int64_t now_us = session_now_us(s);
    (void)arg;
    if (s->state == SESSION_PARKED) {
        fire_parked(s, now_us);
        return;
    }
    if (s->state != SESSION_READY) {
        return;
    }
    if (!s->paused && s->keep_alive_ms > 0 && now_us >= keep_alive_at(s)) {
        session_end(s, SESSION_CLOSE_KEEP_ALIVE, NULL); /* [MQTT-3.1.2-22] */
        return;
    }
    if (owes(s) && now_us >= stalled_at(s)) {
        session_end(s, SESSION_CLOSE_STALLED, NULL);
        return;
    }
    queue_expire(s->home->all, s->kept, now_us);
    int64_t at_us = s->kept->next_expiry_us;
    int64_t deadline_us = deadline_of(s);
    if (deadline_us != CLOCK_NONE) {
        earliest(&at_us, deadline_us);
    }
    if (at_us != CLOCK_NONE) {
        wheel_set(&s->home->wheel, &s->timer, at_us);
    }
}
