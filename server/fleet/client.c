/*
 * Happy path: WAITING -> DIALING (TCP and TLS) -> GREETING (CONNECT sent) -> READY. Published
 * messages enter the ring; those the server has room for are on the wire; a PUBACK takes the oldest
 * out. Failure:    a lost connection puts on_wire back to 0: everything in the ring is sent again,
 * oldest first, with DUP. Not done:   QoS 2. Devices of this server use QoS 1, and storing exactly
 * once is the server's promise, not the wire's.
 */
#include "fleet/client.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "fleet/topic.h"
#include "mqtt/ack.h"
#include "mqtt/control.h"
#include "mqtt/subscribe.h"

enum { PACKET_BYTES_MAX = 4 << 20 };

const char *fleet_client_state_words(enum fleet_client_state state)
{
    static const char *const words[] = {
#define STATE_WORDS(name, text, moves) text,
        FLEET_CLIENT_STATES(STATE_WORDS)
#undef STATE_WORDS
    };
    return state < FLEET_CLIENT_STATE_COUNT ? words[state] : "?";
}

bool fleet_client_may_move(enum fleet_client_state from, enum fleet_client_state to)
{
#define TO(state) (1u << (state))
    static const unsigned moves[] = {
#define STATE_MOVES(name, text, to_states) to_states,
        FLEET_CLIENT_STATES(STATE_MOVES)
#undef STATE_MOVES
    };
#undef TO
    return (moves[from] >> to & 1u) != 0;
}

static void move(struct fleet_client *c, enum fleet_client_state to)
{
    CHECK(fleet_client_may_move(c->state, to));
    c->state = to;
}

static void on_timer(uv_timer_t *timer);

static void wait_ms(struct fleet_client *c, uint64_t ms)
{
    CHECK(uv_timer_start(&c->timer, on_timer, ms, 0) == 0);
}

/* Full jitter: a fleet that lost its server together does not come back together. */
static void connect_later(struct fleet_client *c)
{
    const struct fleet_client_conf *conf = c->conf;
    uint64_t cap = (uint64_t)conf->backoff_min_ms << (c->attempts < 16 ? c->attempts : 16);
    cap = cap > conf->backoff_max_ms ? conf->backoff_max_ms : cap;
    c->attempts++;
    wait_ms(c, 1 + fleet_random_below(&c->random, cap));
}

static void lose(struct fleet_client *c, const char *why)
{
    c->on_wire = 0;
    c->ping_unanswered = false;
    c->counts.losts++;
    if (c->conf->stay_down) {
        move(c, FLEET_CLIENT_STOPPED);
        (void)uv_timer_stop(&c->timer);
    } else {
        move(c, FLEET_CLIENT_WAITING);
        connect_later(c);
    }
    if (c->conf->events->lost != NULL) {
        c->conf->events->lost(c, why);
    }
}

static void cut(struct fleet_client *c, const char *why)
{
    fleet_link_close(&c->link);
    lose(c, why);
}

static void dial(struct fleet_client *c)
{
    if (!fleet_link_idle(&c->link)) {
        wait_ms(c, 1); /* the old socket is being closed in this turn */
        return;
    }
    if (!c->conf->resume) {
        fleet_link_forget(&c->link);
    }
    move(c, FLEET_CLIENT_DIALING);
    c->dialed_us = clock_mono_us();
    enum err e = fleet_link_open(&c->link, c->cert_file, c->key_file);
    if (e != ERR_OK) {
        lose(c,
             e == ERR_TLS ? "cannot use the device's certificate or key" : "cannot open a socket");
        return;
    }
    wait_ms(c, c->conf->connect_timeout_ms);
}

static void keep_alive(struct fleet_client *c)
{
    int64_t now = clock_mono_us();
    int64_t interval_us = c->conf->keep_alive_s * CLOCK_SECOND_US;
    if (c->ping_unanswered && now - c->heard_us > interval_us) {
        cut(c, "no answer to PINGREQ");
        return;
    }
    if (c->ping_unanswered || now - c->sent_us > interval_us / 2 ||
        now - c->heard_us > interval_us / 2) {
        if (mqtt_ping_encode(fleet_link_out(&c->link), MQTT_PINGREQ) == ERR_OK) {
            c->sent_us = now;
            c->ping_unanswered = true;
        }
    }
    wait_ms(c, (uint64_t)c->conf->keep_alive_s * 250);
}

static void on_timer(uv_timer_t *timer)
{
    struct fleet_client *c = timer->data;
    if (c->state == FLEET_CLIENT_WAITING) {
        dial(c);
    } else if (c->state == FLEET_CLIENT_DIALING) {
        cut(c, "the server did not complete the TLS handshake in time");
    } else if (c->state == FLEET_CLIENT_GREETING) {
        cut(c, "the server did not answer CONNECT in time");
    } else if (c->state == FLEET_CLIENT_READY) {
        keep_alive(c);
    }
}

static void on_opened(struct fleet_link *l)
{
    struct fleet_client *c = CONTAINER_OF(l, struct fleet_client, link);
    move(c, FLEET_CLIENT_GREETING);
    struct mqtt_connect m = {
        .version = c->version,
        .clean_start = c->conf->clean_start,
        .keep_alive_s = c->conf->keep_alive_s,
        .client_id = view_str(c->client_id),
        .has_user_name = c->user_name != NULL,
        .user_name = view_str(c->user_name),
    };
    if (c->version == MQTT_50 && c->conf->session_expiry_s > 0) {
        MQTT_SET(&m.props, SESSION_EXPIRY, session_expiry_s, c->conf->session_expiry_s);
    }
    if (mqtt_connect_encode(fleet_link_out(l), &m) != ERR_OK) {
        cut(c, "the client id or user name cannot be sent");
        return;
    }
    c->heard_us = clock_mono_us();
    c->sent_us = c->heard_us;
}

static void on_closed(struct fleet_link *l, const char *why)
{
    lose(CONTAINER_OF(l, struct fleet_client, link), why);
}

static struct fleet_slot *slot_at(const struct fleet_client *c, uint32_t i)
{
    uint32_t at = c->head + i;
    return &c->slots[at < c->conf->window_max ? at : at - c->conf->window_max];
}

static uint32_t take_max(const struct fleet_client *c)
{
    return c->conf->window_max < c->quota ? c->conf->window_max : c->quota;
}

/* Puts on the wire what the server has room for. */
static void send_waiting(struct fleet_client *c)
{
    uint32_t max = take_max(c);
    if (c->on_wire >= c->count || c->on_wire >= max) {
        return;
    }
    struct buf *out = fleet_link_out(&c->link);
    int64_t now = clock_mono_us();
    while (c->on_wire < c->count && c->on_wire < max) {
        struct fleet_slot *s = slot_at(c, c->on_wire++);
        if (s->done) {
            continue;
        }
        if (s->sent_before) {
            s->packet[0] |= 0x08; /* DUP [MQTT-3.3.1-1] */
            c->counts.resent++;
        } else {
            s->sent_before = true;
            s->sent_us = now;
        }
        buf_put(out, s->packet, s->len);
    }
    c->sent_us = now;
}

static void subscribe(struct fleet_client *c)
{
    struct buf entries;
    buf_init(&entries, 512);
    struct mqtt_subscription s = {.filter = VIEW(FLEET_TOPIC_COMMANDS), .qos = 1};
    enum err e = mqtt_subscription_put(&entries, c->version, &s);
    if (e == ERR_OK) {
        struct mqtt_subscribe m = {.packet_id = c->next_id, .entries = buf_view(&entries)};
        c->next_id = c->next_id == UINT16_MAX ? 1 : (uint16_t)(c->next_id + 1);
        e = mqtt_subscribe_encode(fleet_link_out(&c->link), c->version, &m);
    }
    CHECK(e == ERR_OK); /* all of it is our own text */
    buf_fini(&entries);
}

/* Reasons after which trying again would change nothing. */
static bool is_final(uint8_t reason)
{
    return reason == MQTT_UNSUPPORTED_VERSION || reason == MQTT_CLIENT_ID_NOT_VALID ||
           reason == MQTT_BAD_USER_OR_PASSWORD || reason == MQTT_NOT_AUTHORIZED ||
           reason == MQTT_BANNED;
}

static enum err take_connack(struct fleet_client *c, struct view body,
                             const struct mqtt_source *from)
{
    struct mqtt_connack m;
    enum err e =
        c->state == FLEET_CLIENT_GREETING ? mqtt_connack_decode(body, from, &m) : ERR_PROTOCOL;
    if (e != ERR_OK) {
        return e;
    }
    if (m.reason != MQTT_SUCCESS) {
        if (!is_final((uint8_t)m.reason)) {
            cut(c, mqtt_reason_words((uint8_t)m.reason));
            return ERR_OK;
        }
        fleet_link_close(&c->link);
        (void)uv_timer_stop(&c->timer);
        move(c, FLEET_CLIENT_REFUSED);
        if (c->conf->events->refused != NULL) {
            c->conf->events->refused(c, (uint8_t)m.reason);
        }
        return ERR_OK;
    }
    c->quota = mqtt_has(&m.props, MQTT_PROP_RECEIVE_MAXIMUM) ? m.props.receive_maximum : UINT16_MAX;
    c->attempts = 0;
    c->counts.connects++;
    c->counts.resumed += c->link.reused ? 1 : 0;
    move(c, FLEET_CLIENT_READY);
    if (c->conf->keep_alive_s > 0) {
        wait_ms(c, (uint64_t)c->conf->keep_alive_s * 250);
    } else {
        (void)uv_timer_stop(&c->timer);
    }
    if (c->conf->commands) {
        subscribe(c);
    }
    send_waiting(c);
    if (c->conf->events->ready != NULL) {
        c->conf->events->ready(c, m.session_present);
    }
    return ERR_OK;
}

/* Takes finished messages off the front of the ring. */
static void retire(struct fleet_client *c)
{
    while (c->count > 0 && slot_at(c, 0)->done) {
        c->head = c->head + 1 == c->conf->window_max ? 0 : c->head + 1;
        c->count--;
        c->on_wire -= c->on_wire > 0 ? 1 : 0;
    }
}

static enum err take_puback(struct fleet_client *c, struct view body,
                            const struct mqtt_source *from, int64_t now)
{
    struct mqtt_ack m;
    enum err e = mqtt_ack_decode(MQTT_PUBACK, body, from, &m);
    if (e != ERR_OK) {
        return e;
    }
    bool first = true;
    for (uint32_t i = 0; i < c->on_wire; i++) {
        struct fleet_slot *s = slot_at(c, i);
        if (s->done) {
            continue;
        }
        if (s->packet_id != m.packet_id) {
            first = false;
            continue;
        }
        s->done = true;
        c->counts.unordered +=
            first ? 0 : 1; /* PUBACKs come in the order of the publishes [MQTT-4.6.0-2] */
        c->counts.acked += m.reason < 0x80 ? 1 : 0;
        c->counts.refused += m.reason < 0x80 ? 0 : 1;
        c->conf->events->acked(c, s, (uint8_t)m.reason, now);
        retire(c);
        return ERR_OK;
    }
    c->counts.stray++;
    return ERR_OK;
}

static enum err take_publish(struct fleet_client *c, const struct mqtt_frame *frame,
                             const struct mqtt_source *from)
{
    struct mqtt_publish m;
    enum err e = mqtt_publish_decode(frame->head, frame->body, from, &m);
    if (e != ERR_OK) {
        return e;
    }
    if (m.qos == 1) {
        e = mqtt_ack_encode_plain(fleet_link_out(&c->link), MQTT_PUBACK, m.packet_id);
        if (e != ERR_OK) {
            return e;
        }
    }
    if (c->conf->events->received != NULL) {
        c->conf->events->received(c, &m);
    }
    return ERR_OK;
}

static enum err take(struct fleet_client *c, const struct mqtt_frame *frame, int64_t now)
{
    struct mqtt_source from = {
        .version = c->version, .sender = MQTT_FROM_SERVER, .limits = mqtt_limits_default};
    struct mqtt_disconnect bye;
    if (frame->type == MQTT_CONNACK) {
        return take_connack(c, frame->body, &from);
    }
    if (c->state != FLEET_CLIENT_READY) {
        return ERR_PROTOCOL;
    }
    if (frame->type == MQTT_PUBACK) {
        return take_puback(c, frame->body, &from, now);
    }
    if (frame->type == MQTT_PUBLISH) {
        return take_publish(c, frame, &from);
    }
    if (frame->type == MQTT_DISCONNECT) {
        enum err e = mqtt_disconnect_decode(frame->body, &from, &bye);
        if (e == ERR_OK) {
            cut(c, mqtt_reason_words((uint8_t)bye.reason));
        }
        return e;
    }
    return frame->type == MQTT_PINGRESP || frame->type == MQTT_SUBACK ? ERR_OK : ERR_PROTOCOL;
}

static size_t on_received(struct fleet_link *l, struct view bytes)
{
    struct fleet_client *c = CONTAINER_OF(l, struct fleet_client, link);
    int64_t now = clock_mono_us();
    c->heard_us = now;
    c->ping_unanswered = false;
    size_t used = 0;
    for (;;) {
        struct mqtt_frame frame;
        enum err e = mqtt_frame(view_skip(bytes, used), PACKET_BYTES_MAX, &frame);
        if (e == ERR_SHORT) {
            break;
        }
        if (e == ERR_OK) {
            e = take(c, &frame, now);
            used += frame.total;
        }
        if (l->state != FLEET_LINK_OPEN) {
            return used;
        }
        if (e != ERR_OK) {
            cut(c, "the server broke the protocol");
            return used;
        }
    }
    if (c->state == FLEET_CLIENT_READY) {
        send_waiting(c);
        if (c->conf->events->room != NULL && fleet_client_room(c) > 0) {
            c->conf->events->room(c);
        }
    }
    return used;
}

static const struct fleet_link_events link_events = {
    .opened = on_opened, .received = on_received, .closed = on_closed};

enum err fleet_client_init(struct fleet_client *c, const struct fleet_client_conf *conf,
                           uint64_t seed)
{
    CHECK(conf->window_max > 0 && conf->window_max < UINT16_MAX / 2);
    struct fleet_slot *slots = calloc(conf->window_max, sizeof(*slots));
    if (slots == NULL) {
        return ERR_NOMEM;
    }
    *c = (struct fleet_client){.conf = conf,
                               .version = MQTT_311,
                               .next_id = 1,
                               .quota = UINT16_MAX,
                               .slots = slots,
                               .timer_open = true};
    fleet_link_init(&c->link, conf->net, &link_events);
    fleet_random_init(&c->random, seed);
    CHECK(uv_timer_init(conf->net->uv, &c->timer) == 0);
    c->timer.data = c;
    return ERR_OK;
}

void fleet_client_fini(struct fleet_client *c)
{
    CHECK(fleet_client_idle(c));
    fleet_link_fini(&c->link);
    for (uint32_t i = 0; i < c->conf->window_max; i++) {
        free(c->slots[i].packet);
    }
    free(c->slots);
    c->slots = NULL;
}

void fleet_client_start(struct fleet_client *c, uint32_t after_ms)
{
    move(c, FLEET_CLIENT_WAITING);
    wait_ms(c, after_ms);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct fleet_client *c = handle->data;
    c->timer_open = false;
}

void fleet_client_stop(struct fleet_client *c)
{
    if (c->state == FLEET_CLIENT_READY) {
        struct mqtt_disconnect m = {.reason = MQTT_SUCCESS};
        enum err e = mqtt_disconnect_encode(fleet_link_out(&c->link), c->version, &m);
        (void)e; /* without it the server sees a cut connection, which it must bear anyway */
    }
    fleet_link_close(&c->link);
    if (c->state != FLEET_CLIENT_STOPPED) {
        move(c, FLEET_CLIENT_STOPPED);
    }
    if (!uv_is_closing((uv_handle_t *)&c->timer)) {
        uv_close((uv_handle_t *)&c->timer, on_timer_closed);
    }
}

bool fleet_client_idle(const struct fleet_client *c)
{
    return c->state == FLEET_CLIENT_STOPPED && !c->timer_open && fleet_link_idle(&c->link);
}

uint32_t fleet_client_room(const struct fleet_client *c)
{
    uint32_t max = take_max(c);
    return c->count < max ? max - c->count : 0;
}

static enum err slot_fill(struct fleet_slot *s, enum mqtt_version version,
                          const struct mqtt_publish *m)
{
    /* Encodes straight into the slot's own memory, which the next message in this slot uses again.
     */
    struct buf b = {.data = s->packet, .cap = s->cap, .limit = PACKET_BYTES_MAX};
    enum err e = mqtt_publish_encode(&b, version, m);
    s->packet = b.data;
    s->cap = (uint32_t)b.cap;
    s->len = (uint32_t)b.len;
    return e != ERR_OK ? e : buf_err(&b);
}

enum err fleet_client_publish(struct fleet_client *c, struct view topic, struct view payload,
                              uint64_t tag, int64_t queued_us)
{
    if (fleet_client_room(c) == 0) {
        return ERR_FULL;
    }
    struct fleet_slot *s = slot_at(c, c->count);
    struct mqtt_publish m = {.topic = topic, .payload = payload, .packet_id = c->next_id, .qos = 1};
    enum err e = slot_fill(s, c->version, &m);
    if (e != ERR_OK) {
        return e;
    }
    s->packet_id = c->next_id;
    s->tag = tag;
    s->queued_us = queued_us;
    s->sent_us = 0;
    s->sent_before = false;
    s->done = false;
    c->next_id = c->next_id == UINT16_MAX ? 1 : (uint16_t)(c->next_id + 1);
    c->count++;
    c->counts.published++;
    if (c->state == FLEET_CLIENT_READY) {
        send_waiting(c);
    }
    return ERR_OK;
}

enum err fleet_client_answer(struct fleet_client *c, struct view topic, struct view payload)
{
    if (c->state != FLEET_CLIENT_READY) {
        return ERR_STATE;
    }
    struct mqtt_publish m = {.topic = topic, .payload = payload};
    return mqtt_publish_encode(fleet_link_out(&c->link), c->version, &m);
}

const struct fleet_slot *fleet_client_unacked(const struct fleet_client *c, uint32_t i)
{
    uint32_t seen = 0;
    for (uint32_t at = 0; at < c->count; at++) {
        const struct fleet_slot *s = slot_at(c, at);
        if (!s->done && seen++ == i) {
            return s;
        }
    }
    return NULL;
}

void fleet_client_kill(struct fleet_client *c)
{
    if (c->state == FLEET_CLIENT_DIALING || c->state == FLEET_CLIENT_GREETING ||
        c->state == FLEET_CLIENT_READY) {
        cut(c, "cut by the test");
    }
}
