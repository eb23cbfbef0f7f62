/*
 * The session machine under hostile clients: four connections of two devices on three loops, whose
 * bytes, mail, tickets, clock and hooks the input orders about. Properties, beside "does not
 * crash": at most one ready session of a key; acknowledgements in arrival order; whatever comes out
 * is a sequence of whole packets that a server may send; all memory is freed.
 */
#include "../unit/session/rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUZZ_CONNS = 4 };

struct fuzz {
    struct rig *rig;
    struct rig_conn *conns[FUZZ_CONNS];
    const uint8_t *at, *end;
};

static uint8_t next(struct fuzz *f)
{
    return f->at < f->end ? *f->at++ : 0;
}

static void expect(bool ok)
{
    if (!ok) {
        abort();
    }
}

/* Server packets only, each complete. */
static void check_output(struct rig_conn *c)
{
    const unsigned from_server = 1u << MQTT_CONNACK | 1u << MQTT_PUBLISH | 1u << MQTT_PUBACK |
                                 1u << MQTT_PUBREC | 1u << MQTT_PUBREL | 1u << MQTT_PUBCOMP |
                                 1u << MQTT_SUBACK | 1u << MQTT_UNSUBACK | 1u << MQTT_PINGRESP |
                                 1u << MQTT_DISCONNECT;
    struct view left = buf_view(&c->out);
    while (left.len > 0) {
        struct mqtt_frame frame;
        expect(mqtt_frame(left, UINT32_MAX, &frame) == ERR_OK);
        expect((from_server >> frame.type & 1u) != 0);
        left = view_skip(left, frame.total);
    }
    buf_clear(&c->out);
}

static void dial(struct fuzz *f, uint8_t which)
{
    static const char *const connects[] = {
        "10 { <MQTT> 04 80 003c <c1> <token-d1> }",
        "10 { <MQTT> 05 80 0005 { 11 00000e10 21 0002 } <c1> <token-d1> }",
        "10 { <MQTT> 04 82 003c <c1> <token-d1> }",
        "10 { <MQTT> 05 82 0000 { 27 00000040 17 00 } <c2> <token-d2> }",
        "10 { <MQTT> 04 86 003c <c2> <v1/devices/me/telemetry> <w> <token-d2> }",
        "",
    };
    struct rig_conn **c = &f->conns[which % FUZZ_CONNS];
    if (*c != NULL) {
        check_output(*c);
        rig_discard(*c);
    }
    *c = rig_dial(f->rig, which / FUZZ_CONNS % RIG_LOOPS, NULL);
    rig_send_only(*c, connects[which / 16 % COUNT_OF(connects)]);
}

static void send_bytes(struct fuzz *f, uint8_t which)
{
    size_t len = next(f);
    size_t left = (size_t)(f->end - f->at);
    len = len < left ? len : left;
    if (f->conns[which % FUZZ_CONNS] != NULL) {
        rig_give(f->conns[which % FUZZ_CONNS], f->at, len);
    }
    f->at += len;
}

static void send_packet(struct fuzz *f, uint8_t which)
{
    static const char *const packets[] = {
        "32 { <v1/devices/me/telemetry> 0001 'x' }",
        "32 { <v1/devices/me/telemetry> 0002 00 'x' }",
        "34 { <v1/devices/me/telemetry> 0003 'x' }",
        "34 { <v1/devices/me/telemetry> 0003 00 'x' }",
        "62 02 0003",
        "82 { 0004 <v1/devices/me/rpc/request/+> 02 }",
        "82 { 0004 00 <v1/devices/me/rpc/request/+> 02 }",
        "a2 { 0005 <v1/devices/me/rpc/request/+> }",
        "40 02 0001",
        "50 02 0001",
        "70 02 0001",
        "c0 00",
        "e0 00",
        "30 { <v1/devices/me/telemetry> { 23 0001 } 'x' }",
        "30 { <> { 23 0001 } 'x' }",
        "50 02 0002",
    };
    struct rig_conn *c = f->conns[which % FUZZ_CONNS];
    if (c != NULL) {
        rig_send_only(c, packets[which / FUZZ_CONNS % COUNT_OF(packets)]);
    }
}

static void finish_ticket(struct fuzz *f, uint8_t which)
{
    static const enum err statuses[] = {ERR_OK,        ERR_OK,     ERR_OK,
                                        ERR_MALFORMED, ERR_DENIED, ERR_DB_DOWN};
    struct rig *r = f->rig;
    if (r->ticket_count == 0) {
        return;
    }
    int pick = which % r->ticket_count;
    struct ticket *t = r->tickets[pick];
    r->tickets[pick] = r->tickets[--r->ticket_count];
    ticket_drop(t, statuses[which / 8 % COUNT_OF(statuses)]);
}

static void deliver(struct fuzz *f, uint8_t which)
{
    struct session_delivery *d =
        session_delivery_new(VIEW("v1/devices/me/rpc/request/1"), VIEW("{}"), which % 3);
    expect(d != NULL);
    d->delivery_id = 1 + which;
    d->expires_at_us = which % 4 == 0 ? rig_now_us + which * CLOCK_SECOND_US : CLOCK_NONE;
    struct session_ref ref = f->rig->last_ref;
    const struct rig_conn *c = f->conns[which % FUZZ_CONNS];
    if (c != NULL && c->session != NULL) {
        ref = session_ref(c->session);
    }
    session_deliver(&f->rig->all, ref, d);
}

static void step(struct fuzz *f)
{
    struct rig *r = f->rig;
    uint8_t op = next(f);
    uint8_t which = next(f);
    switch (op % 12) {
    case 0:
        dial(f, which);
        break;
    case 1:
        send_bytes(f, which);
        break;
    case 2:
    case 3:
        send_packet(f, which);
        break;
    case 4:
        for (int i = 0; i < which && rig_mail(r); i++) {
        }
        break;
    case 5:
        rig_run(r);
        break;
    case 6:
        if (r->ticket_count < RIG_TICKETS - 8) {
            finish_ticket(f, which);
        }
        break;
    case 7:
        deliver(f, which);
        break;
    case 8:
        rig_turn(r, which * CLOCK_SECOND_US);
        break;
    case 9:
        r->publish_answer = which % 4 == 0 ? ERR_FULL : which % 4 == 1 ? ERR_MALFORMED : ERR_OK;
        session_resume_all(&r->all);
        break;
    case 10:
        session_kick(&r->all, 1 + which % 2, which % 3 == 0 ? 0 : 10 * (1 + which % 2));
        break;
    default:
        if (f->conns[which % FUZZ_CONNS] != NULL) {
            rig_hang_up(f->conns[which % FUZZ_CONNS]);
        }
        break;
    }
}

static void check(struct fuzz *f)
{
    int ready[3] = {0};
    for (int i = 0; i < FUZZ_CONNS; i++) {
        struct rig_conn *c = f->conns[i];
        if (c == NULL) {
            continue;
        }
        check_output(c);
        const struct session *s = c->session;
        if (s != NULL && (s->state == SESSION_READY || s->state == SESSION_DRAINING)) {
            /* A fuzzer may make up other client ids; those of the table are watched. */
            ready[strcmp(s->client_id, "c1") == 0 && s->device->id == 1   ? 1
                  : strcmp(s->client_id, "c2") == 0 && s->device->id == 2 ? 2
                                                                          : 0]++;
            expect(s->acks.count <= (uint32_t)f->rig->conf.unacked_messages_max + 64);
        }
    }
    expect(ready[1] <= 1 && ready[2] <= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz f = {.rig = rig_new(), .at = data, .end = data + size};
    f.rig->tickets_wait = size > 0 && (data[0] & 1u) != 0;
    for (int steps = 0; f.at < f.end && steps < 400; steps++) {
        if (f.rig->ticket_count > RIG_TICKETS - 80) {
            finish_ticket(&f, 0);
        }
        step(&f);
        check(&f);
    }
    rig_free(f.rig);
    return 0;
}
