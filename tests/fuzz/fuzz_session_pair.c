/*
 * Two clients of one device, against a model of what each was promised: they connect, take one
 * another's session over, come back, start clean, leave a will, publish, subscribe and acknowledge,
 * while mail, tickets, hooks and the clock go as the input says.
 *
 * Properties: acknowledgements come in the order of what they acknowledge, and not before its
 * ticket said so; a QoS 2 publish is handed on once; "session present" is said when, and only when,
 * a session is there; a session is forgotten only when it ended without an expiry, expired or was
 * replaced by a clean start; one ready connection for a key; a will exactly where one is due; each
 * delivery ends once, is acknowledged only by its client, is repeated only on a new connection,
 * with DUP, the same packet id and in order, and never exceeds the client's window.
 *
 * Input: operations of two bytes, what and which. The mutator moves whole operations.
 */
#include "../unit/session/rig.h"
#include "fuzz.h"
#include "pair_model.h"

static struct pair p;

/* ---- what the client says ---- */

__attribute__((format(printf, 2, 3))) static void say(struct side *c, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (c->conn == NULL || c->conn->session == NULL) {
        return;
    }
    fuzz_trace("%d: says %s", (int)(c - p.sides), text);
    struct mqtt_bytes b = mqtt_bytes_of(text);
    size_t step = p.step == 0 ? b.len : p.step;
    for (size_t at = 0; at < b.len; at += step) {
        rig_give(c->conn, b.at + at, step < b.len - at ? step : b.len - at);
    }
}

static void connect_as(struct side *c, uint8_t which)
{
    static const uint32_t expiries[] = {0, 5, 600, 7200};
    pair_hear_all(&p);
    if (c->conn != NULL) {
        rig_discard(c->conn);
        c->conn = NULL;
    }
    struct life life = {.v5 = (which & 1) != 0,
                        .clean = (which & 2) != 0,
                        .has_will = (which & 4) != 0,
                        .key = (which >> 3) & 1,
                        .receive_maximum = 20};
    uint32_t expiry_s = life.v5 ? expiries[which >> 4 & 3] : life.clean ? 0 : 3600;
    life.expiry_us = (expiry_s > 3600 ? 3600 : expiry_s) * SEC;
    const char *will = life.has_will ? (life.v5 ? "{ } <v1/devices/me/telemetry> <will>"
                                                : "<v1/devices/me/telemetry> <will>")
                                     : "";
    unsigned flags = 0x80u | (life.clean ? 2u : 0u) | (life.has_will ? 4u : 0u);
    pair_new_life(&p, c, &life);
    c->conn = rig_dial(p.rig, which >> 6 & 1, NULL);
    if (life.v5) {
        c->life.receive_maximum = 1 + (which >> 4 & 3);
        say(c, "10 { <MQTT> 05 %02x 0000 { 11 %08x 21 %04x } <c%d> %s <token-d1> }", flags,
            expiry_s, c->life.receive_maximum, life.key, will);
    } else {
        say(c, "10 { <MQTT> 04 %02x 0000 <c%d> %s <token-d1> }", flags, life.key, will);
    }
}

static void publish(struct side *c, uint8_t which)
{
    uint8_t qos = which % 3;
    if (which < 240 && pair_quota_used(&p, c) >= p.rig->conf.receive_maximum) {
        return; /* the others go too far on purpose */
    }
    struct sent *s = pair_publish(&p, c, qos);
    if (s == NULL) {
        return;
    }
    if (qos == 0) {
        say(c,
            c->life.v5 ? "30 { <v1/devices/me/telemetry> 00 '%d' }"
                       : "30 { <v1/devices/me/telemetry> '%d' }",
            s->number);
        return;
    }
    say(c,
        c->life.v5 ? "%02x { <v1/devices/me/telemetry> %04x 00 '%d' }"
                   : "%02x { <v1/devices/me/telemetry> %04x '%d' }",
        0x30 | qos << 1, s->packet_id, s->number);
}

/* On a session that lived on: what was not acknowledged, in order, with DUP [MQTT-4.4.0-1]. */
static void publish_again(struct side *c)
{
    for (struct sent *s = pair_first_unacked(&p, c); s != NULL; s = pair_next_unacked(&p, c, s)) {
        if (s->received) {
            say(c, "62 02 %04x", s->packet_id);
            pair_released(&p, c, s->packet_id);
        } else {
            s->sends++;
            pair_owed(&p, c, s->qos == 2 ? MQTT_PUBREC : MQTT_PUBACK, s->packet_id, s->number);
            say(c,
                c->life.v5 ? "%02x { <v1/devices/me/telemetry> %04x 00 '%d' }"
                           : "%02x { <v1/devices/me/telemetry> %04x '%d' }",
                0x38 | s->qos << 1, s->packet_id, s->number);
        }
    }
}

static void subscribe(struct side *c, uint8_t which)
{
    uint16_t id = pair_packet_id(&p, c);
    bool on = which % 4 != 0;
    if (!pair_may_speak(c)) {
        return;
    }
    pair_owed(&p, c, on ? MQTT_SUBACK : MQTT_UNSUBACK, id, -1);
    if (on) {
        say(c, "82 { %04x %s <v1/devices/me/rpc/request/+> %02x }", id, c->life.v5 ? "00" : "",
            which / 4 % 3);
    } else {
        say(c, "a2 { %04x %s <v1/devices/me/rpc/request/+> }", id, c->life.v5 ? "00" : "");
    }
}

static void release(struct side *c, uint8_t which)
{
    struct sent *s = pair_pick_received(&p, c, which);
    if (s != NULL) {
        pair_released(&p, c, s->packet_id);
        say(c, "62 02 %04x", s->packet_id);
    }
}

static void acknowledge(struct side *c, uint8_t which)
{
    struct heard *h = pair_pick_heard(c, which);
    if (h == NULL || !pair_may_speak(c)) {
        return;
    }
    struct delivery *d = &p.deliveries[h->number];
    bool refuse = c->life.v5 && which % 16 == 15;
    if (h->qos == 1 || (h->qos == 2 && h->released)) {
        d->confirmed = true;
        h->over = true;
        say(c, refuse && h->qos == 1 ? "40 03 %04x 80" : "%02x 02 %04x", h->qos == 1 ? 0x40 : 0x70,
            h->packet_id);
        return;
    }
    say(c, "50 02 %04x", h->packet_id);
}

static void leave(struct side *c, uint8_t which)
{
    if (!pair_may_speak(c)) {
        return;
    }
    if (c->life.v5 && which % 4 == 1) {
        say(c, "e0 01 04"); /* "with will" */
        return;
    }
    c->life.bye = true; /* what is owed may not come any more */
    if (c->life.v5 && which % 4 == 2 && c->life.expiry_us > 0) {
        c->life.expiry_us = 0;
        p.keys[c->life.key].expiry_us = 0;
        say(c, "e0 07 00 05 11 00000000");
        return;
    }
    say(c, "e0 00");
}

/* ---- what the server is told ---- */

static void deliver(struct side *c, uint8_t which)
{
    struct delivery *d = pair_delivery(&p);
    if (d == NULL || !c->life.attached) {
        return;
    }
    char payload[16];
    (void)snprintf(payload, sizeof(payload), "%d", d->number);
    struct session_delivery *s =
        session_delivery_new(VIEW("v1/devices/me/rpc/request/1"), view_str(payload), which % 3);
    CHECK(s != NULL);
    d->used = true;
    d->qos = which % 3;
    s->delivery_id = 1 + d->number;
    s->expires_at_us = which % 8 == 7 ? rig_now_us + which * SEC : CLOCK_NONE;
    session_deliver(&p.rig->all, c->life.ref, s);
}

static void operate(uint8_t what, uint8_t which)
{
    struct side *c = &p.sides[what >> 7];
    fuzz_trace("%d: operation %d, %d", what >> 7, what % 18, which);
    switch (what % 18) {
    case 0:
        connect_as(c, which);
        break;
    case 1:
    case 2:
        publish(c, which);
        break;
    case 3:
        subscribe(c, which);
        break;
    case 4:
        acknowledge(c, which);
        break;
    case 5:
        release(c, which);
        break;
    case 6:
        if (pair_may_speak(c)) {
            c->pings++;
            say(c, "c0 00");
        }
        break;
    case 7:
        leave(c, which);
        break;
    case 8:
        pair_hear_all(&p);
        if (c->conn != NULL) {
            rig_hang_up(c->conn);
        }
        break;
    case 9:
        deliver(c, which);
        break;
    case 10:
        pair_finish_ticket(&p, which);
        break;
    case 11:
        for (int i = 0; i < which && rig_mail(p.rig); i++) {
        }
        break;
    case 12:
        rig_run(p.rig);
        break;
    case 13:
        pair_hear_all(&p);
        rig_turn(p.rig, which < 200 ? which * SEC / 4 : (which - 199) * 100 * SEC);
        break;
    case 14:
        p.answer = which % 4 == 0 ? ERR_FULL : which % 16 == 1 ? ERR_MALFORMED : ERR_OK;
        session_resume_all(&p.rig->all);
        break;
    case 15:
        p.attach_waits = which % 4 == 0;
        pair_attach_answers(&p, which % 16 == 15 ? ERR_DB_DOWN : ERR_OK);
        break;
    case 16:
        p.step = which % 8;
        break;
    default:
        if (which % 16 == 0) {
            bool of_device = which % 32 == 0; /* forgets its sessions, too */
            p.keys[0].may_go += of_device;
            p.keys[1].may_go += of_device;
            session_kick(&p.rig->all, 1, of_device ? 0 : 10);
        } else {
            rig_run(p.rig);
            pair_hear_all(&p);
            publish_again(c);
        }
        break;
    }
    pair_hear_all(&p);
}

/* All that waits is answered, both hang up, and what was kept expires. */
static void finish(void)
{
    p.answer = ERR_OK;
    p.attach_waits = false;
    for (int round = 0; round < 4 || p.ticket_count > 0; round++) {
        CHECK(round < PAIR_SENT);
        session_resume_all(&p.rig->all);
        pair_attach_answers(&p, ERR_OK);
        while (p.ticket_count > 0) {
            pair_finish_ticket(&p, 0);
        }
        rig_run(p.rig);
        pair_hear_all(&p);
        pair_check_one_ready(&p);
    }
    pair_check_all_acknowledged(&p);
    for (int i = 0; i < 2; i++) {
        if (p.sides[i].conn != NULL) {
            rig_discard(p.sides[i].conn);
        }
    }
    rig_turn(p.rig, 4000 * SEC);
    pair_check_end(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script ops = script_of(data, size < 800 ? size : 800);
    pair_init(&p);
    while (!script_over(&ops)) {
        uint8_t what = script_byte(&ops);
        operate(what, script_byte(&ops));
    }
    finish();
    rig_free(p.rig);
    return 0;
}

/* Moves, repeats, drops and changes whole operations, so that what follows keeps its meaning. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    size_t ops = size / 2;
    size_t at = ops == 0 ? 0 : (seed >> 8) % ops * 2;
    size_t other = ops == 0 ? 0 : (seed >> 16) % ops * 2;
    if (ops < 2 || seed % 8 < 3) {
        return LLVMFuzzerMutate(data, size, max_size);
    }
    switch (seed % 8) {
    case 3: /* drop */
        memmove(data + at, data + at + 2, size - at - 2);
        return size - 2;
    case 4: { /* swap */
        uint8_t kept[2];
        memcpy(kept, data + at, 2);
        memcpy(data + at, data + other, 2);
        memcpy(data + other, kept, 2);
        return size;
    }
    case 5: /* another of the same kind */
        data[at + 1] = (uint8_t)(seed >> 24);
        return size;
    case 6: /* the other client */
        data[at] ^= 0x80;
        return size;
    default: /* once more, elsewhere */
        if (size + 2 > max_size) {
            return size;
        }
        memmove(data + other + 2, data + other, size - other);
        memcpy(data + other, data + (at >= other ? at + 2 : at), 2);
        return size + 2;
    }
}
