#include "mqtt/control.h"
#include "session/private.h"

/*
 * Happy path: the bytes that net offers hold whole packets; each goes to its function, all are used
 * up.
 *
 * A packet that cannot be taken now (the window of unacknowledged messages is full, or the publish
 * hook is) stays at the front of the buffer. So that the client is not taken for dead and does not
 * take us for dead, reading goes on for a while and PINGREQ behind it is answered at once; it is
 * not answered again when its turn comes.
 */

enum session_close packet_close_for(enum err e)
{
    switch ((int)e) {
    case ERR_LIMIT:
        return SESSION_CLOSE_TOO_LARGE;
    case ERR_PROTOCOL:
    case ERR_RANGE:
        return SESSION_CLOSE_PROTOCOL;
    case ERR_NOMEM:
        return SESSION_CLOSE_MEMORY;
    default:
        return SESSION_CLOSE_MALFORMED;
    }
}

enum packet_end packet_refused(struct session *s, enum session_close why, const char *detail)
{
    session_end(s, why, detail);
    return PACKET_ENDED;
}

static void pong(struct session *s)
{
    (void)!mqtt_ping_encode(session_out(s), MQTT_PINGRESP);
}

static enum packet_end ping_received(struct session *s, const struct mqtt_frame *f)
{
    enum err e = mqtt_ping_decode(f->body);
    if (e != ERR_OK) {
        return packet_refused(s, packet_close_for(e), "PINGREQ");
    }
    if (s->scanned == 0) {
        pong(s);
    }
    return PACKET_TAKEN;
}

static enum packet_end disconnect_received(struct session *s, const struct mqtt_frame *f)
{
    const struct mqtt_source from = session_source(s);
    struct mqtt_disconnect m;
    enum err e = mqtt_disconnect_decode(f->body, &from, &m);
    if (e != ERR_OK) {
        return packet_refused(s, packet_close_for(e), "DISCONNECT");
    }
    if (mqtt_has(&m.props, MQTT_PROP_SESSION_EXPIRY)) {
        if (s->kept->expiry_us == 0 && m.props.session_expiry_s != 0) {
            return packet_refused(s, SESSION_CLOSE_PROTOCOL, /* section 3.14.2.2.2 */
                                  "session expiry");
        }
        int64_t max_us = s->limits->session_expiry_max_us;
        int64_t wanted_us = m.props.session_expiry_s * CLOCK_SECOND_US;
        s->kept->expiry_us = wanted_us > max_us ? max_us : wanted_us;
    }
    if (m.reason == MQTT_SUCCESS) {
        will_forget(s); /* [MQTT-3.14.4-3] */
    }
    if (s->device != NULL) {
        flapping_give_back(&s->home->flapping, s->device->id,
                           s->home->all->conf->connects_per_device);
    }
    return packet_refused(s, SESSION_CLOSE_CLIENT, mqtt_reason_words((uint8_t)m.reason));
}

static enum packet_end packet_received(struct session *s, const struct mqtt_frame *f)
{
    switch (f->type) {
    case MQTT_CONNECT:
        return connect_received(s, f);
    case MQTT_PUBLISH:
        return publish_received(s, f);
    case MQTT_PUBREL:
        return publish_released(s, f);
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBCOMP:
        return confirm_received(s, f);
    case MQTT_SUBSCRIBE:
        return subscribe_received(s, f);
    case MQTT_UNSUBSCRIBE:
        return unsubscribe_received(s, f);
    case MQTT_PINGREQ:
        return ping_received(s, f);
    case MQTT_DISCONNECT:
        return disconnect_received(s, f);
    case MQTT_WILL:
    case MQTT_CONNACK:
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
    case MQTT_PINGRESP:
    case MQTT_AUTH:
        break;
    }
    CHECK(false); /* session_accepts() let it pass */
    return PACKET_ENDED;
}

static uint32_t packet_limit(const struct session *s)
{
    return s->state == SESSION_WAITING ? s->limits->packet_max_before_auth : s->limits->packet_max;
}

/* Searches what came behind the held packet. */
static void answer_pings(struct session *s, struct view waiting)
{
    struct mqtt_frame f;
    while (mqtt_frame(view_skip(waiting, s->scanned), packet_limit(s), &f) == ERR_OK) {
        if (f.type == MQTT_PINGREQ && s->scanned > 0) {
            pong(s);
        }
        s->packet_at_us = session_now_us(s);
        s->scanned += (uint32_t)f.total;
    }
}

static void hold(struct session *s, struct view waiting)
{
    if (s->state == SESSION_READY) {
        answer_pings(s, waiting);
    }
    if (waiting.len >= SESSION_HOLD_BYTES && !s->paused) {
        s->paused = true;
        s->home->all->io->read(s->conn, false);
    }
}

void session_unhold(struct session *s)
{
    if (!s->held) {
        return;
    }
    s->held = false;
    if (list_linked(&s->held_link)) {
        list_remove(&s->held_link);
    }
    if (s->paused) {
        s->paused = false;
        s->packet_at_us = session_now_us(s); /* the client may have spoken while nobody listened */
        s->home->all->io->read(s->conn, true);
    }
    s->home->all->io->again(s->conn);
    timer_update(s);
}

static enum packet_end frame_refused(struct session *s, enum err e, struct view bytes)
{
    if (s->state == SESSION_WAITING && e == ERR_LIMIT) {
        return connect_too_large(s, bytes);
    }
    return packet_refused(s, packet_close_for(e), "packet head");
}

/* How much of the front is used up; SIZE_MAX: the session ended. */
static size_t take_packet(struct session *s, struct view bytes)
{
    struct mqtt_frame f;
    /* What may not come now is refused by its first byte, whatever its flags and length say; of
     * a client that is no CONNECT yet not a byte more is kept [MQTT-3.1.0-1]. */
    unsigned type = bytes.data[0] >> 4;
    if (!session_accepts((enum session_state)s->state, type)) {
        session_end(s, SESSION_CLOSE_PROTOCOL, mqtt_type_words((enum mqtt_type)type));
        return SIZE_MAX;
    }
    enum err e = mqtt_frame(bytes, packet_limit(s), &f);
    if (e == ERR_SHORT) {
        return 0;
    }
    if (e != ERR_OK) {
        (void)frame_refused(s, e, bytes);
        return SIZE_MAX;
    }
    switch (packet_received(s, &f)) {
    case PACKET_ENDED:
        return SIZE_MAX;
    case PACKET_HELD:
        if (s->acks.first == NULL && s->releases.first == NULL && s->scanned == 0) {
            s->progress_at_us = session_now_us(s); /* the stall begins */
        }
        s->held = true;
        return 0;
    case PACKET_TAKEN:
        break;
    }
    if (s->state != SESSION_WAITING) {
        s->packet_at_us = session_now_us(s);
    }
    s->scanned = s->scanned > f.total ? s->scanned - (uint32_t)f.total : 0;
    return f.total;
}

size_t session_data(struct session *s, struct view bytes)
{
    size_t used = 0;
    if (s->state == SESSION_DRAINING) {
        return bytes.len; /* nothing is taken any more; the client will send it again */
    }
    while (used < bytes.len && !s->held &&
           (s->state == SESSION_WAITING || s->state == SESSION_READY)) {
        size_t taken = take_packet(s, view_skip(bytes, used));
        if (taken == SIZE_MAX) {
            return bytes.len;
        }
        if (taken == 0) {
            break;
        }
        used += taken;
    }
    if (used < bytes.len && (s->held || s->state == SESSION_CHECKING)) {
        hold(s, view_skip(bytes, used));
    }
    if (s->state == SESSION_READY) {
        timer_update(s);
    }
    return used;
}
