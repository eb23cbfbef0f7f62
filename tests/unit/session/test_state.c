#include "expect.h"

Test(state, nothing_is_ready_before_it_was_attached)
{
    for (enum session_state s = 0; s < SESSION_STATE_COUNT; s++) {
        cr_expect_eq(session_may_move(s, SESSION_READY), s == SESSION_CHECKING, "%s",
                     session_state_words(s));
        cr_expect_eq(session_may_move(s, SESSION_WAITING), false, "%s", session_state_words(s));
        cr_expect_eq(session_may_move(s, SESSION_ENDED), s != SESSION_ENDED, "%s",
                     session_state_words(s));
    }
}

/* Each packet that can be sent, in each state that has a connection. */
Test(state, every_packet_in_every_state_has_one_answer)
{
    enum { WAITS = 1, CLOSES = 2 };
    static const struct {
        const char *name;
        const char *packet_311, *packet_5;
        const char *answer_311, *answer_5; /* when ready; NULL: closed */
        uint8_t reason_5;                  /* then, in DISCONNECT; 0: none is sent */
    } rows[] = {
        {"CONNECT", CONNECT_311, CONNECT_5, NULL, NULL, 0x82},
        {"CONNACK", "20 02 00 00", "20 03 00 00 00", NULL, NULL, 0x82},
        {"PUBLISH 0", "30 { " TELEMETRY " 'x' }", "30 { " TELEMETRY " 00 'x' }", "", "", 0},
        {"PUBLISH 1", "32 { " TELEMETRY " 0001 'x' }", "32 { " TELEMETRY " 0001 00 'x' }",
         "40 02 0001", "40 02 0001", 0},
        {"PUBLISH 2", "34 { " TELEMETRY " 0001 'x' }", "34 { " TELEMETRY " 0001 00 'x' }",
         "50 02 0001", "50 02 0001", 0},
        {"PUBLISH 3", "36 { " TELEMETRY " 0001 'x' }", "36 { " TELEMETRY " 0001 00 'x' }", NULL,
         NULL, 0x81},
        {"PUBACK, unknown id", "40 02 0001", "40 02 0001", "", "", 0},
        {"PUBREC, unknown id", "50 02 0001", "50 02 0001", "62 02 0001", "62 03 0001 92", 0},
        {"PUBREL, unknown id", "62 02 0001", "62 02 0001", "70 02 0001", "70 03 0001 92", 0},
        {"PUBCOMP, unknown id", "70 02 0001", "70 02 0001", "", "", 0},
        {"SUBSCRIBE", "82 { 0001 <v1/gateway/rpc> 01 }", "82 { 0001 00 <v1/gateway/rpc> 01 }",
         "90 03 0001 01", "90 04 0001 00 01", 0},
        {"SUBSCRIBE without filter", "82 { 0001 }", "82 { 0001 00 }", NULL, NULL, 0x82},
        {"SUBACK", "90 03 0001 00", "90 04 0001 00 00", NULL, NULL, 0x82},
        {"UNSUBSCRIBE", "a2 { 0001 <v1/gateway/rpc> }", "a2 { 0001 00 <v1/gateway/rpc> }",
         "b0 02 0001", "b0 04 0001 00 11", 0},
        {"UNSUBACK", "b0 02 0001", "b0 04 0001 00 00", NULL, NULL, 0x82},
        {"PINGREQ", "c0 00", "c0 00", "d0 00", "d0 00", 0},
        {"PINGREQ with a body", "c0 01 00", "c0 01 00", NULL, NULL, 0x81},
        {"PINGRESP", "d0 00", "d0 00", NULL, NULL, 0x82},
        {"DISCONNECT", "e0 00", "e0 00", NULL, NULL, 0},
        {"DISCONNECT with reserved flags", "e1 00", "e1 00", NULL, NULL, 0x81},
        {"AUTH", "f0 00", "f0 00", NULL, NULL, 0x82},
        {"type 0", "00 00", "00 00", NULL, NULL, 0x82},
        {"AUTH with reserved flags", "f1 00", "f1 00", NULL, NULL, 0x82},
        {"packet id 0", "32 { " TELEMETRY " 0000 'x' }", "32 { " TELEMETRY " 0000 00 'x' }", NULL,
         NULL, 0x82},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (int v5 = 0; v5 < 2; v5++) {
            const char *packet = v5 ? rows[i].packet_5 : rows[i].packet_311;
            const char *answer = v5 ? rows[i].answer_5 : rows[i].answer_311;
            struct rig *r = rig_new();
            char want[64] = "";
            char got[512];
            if (answer != NULL) {
                (void)snprintf(want, sizeof(want), "%s", answer);
            } else if (v5 && rows[i].reason_5 != 0) {
                (void)snprintf(want, sizeof(want), "e0 01 %02x", rows[i].reason_5);
            }
            /* ready */
            struct rig_conn *c = rig_dial(r, 0, NULL);
            rig_send(c, v5 ? CONNECT_5 : CONNECT_311);
            buf_clear(&c->out);
            rig_send(c, packet);
            bool equal = rig_got(c, want, got, sizeof(got));
            cr_expect(equal, "%s, v5 %d: expected %s, got %s", rows[i].name, v5, want, got);
            cr_expect_eq(c->session != NULL, answer != NULL, "%s, v5 %d", rows[i].name, v5);
            /* being attached: waits, whatever it is */
            r->attach_waits = true;
            struct rig_conn *w = rig_dial(r, 0, NULL);
            rig_send(w, v5 ? CONNECT_5 : CONNECT_311);
            rig_send(w, packet);
            cr_expect_eq(w->out.len, 0, "%s, v5 %d", rows[i].name, v5);
            cr_expect_not_null(w->session, "%s, v5 %d", rows[i].name, v5);
            /* waiting for connect: anything else is the end, without a word */
            if (strcmp(rows[i].name, "CONNECT") != 0) {
                struct rig_conn *f = rig_dial(r, 0, NULL);
                rig_send(f, packet);
                cr_expect_eq(f->out.len, 0, "%s, v5 %d", rows[i].name, v5);
                cr_expect_null(f->session, "%s, v5 %d", rows[i].name, v5);
            }
            rig_free(r);
        }
    }
}

Test(state, disconnect_ends_the_will_or_sends_it)
{
#define WILL_311 "10 { <MQTT> 04 86 003c <c1> " TELEMETRY " <gone> <token-d1> }"
#define WILL_5   "10 { <MQTT> 05 86 003c { } <c1> { } " TELEMETRY " <gone> <token-d1> }"
    static const struct {
        const char *why;
        const char *connect;
        const char *end; /* NULL: the connection is lost */
        const char *events;
    } rows[] = {
        {"normal", WILL_311, "e0 00", "detach d1/c1 client; forgotten d1/c1"},
        {"normal, 5.0", WILL_5, "e0 01 00", "detach d1/c1 client; forgotten d1/c1"},
        {"with will, 5.0", WILL_5, "e0 01 04",
         "publish v1/devices/me/telemetry=gone qos0 id0; detach d1/c1 will; forgotten d1/c1"},
        {"lost", WILL_311, NULL,
         "publish v1/devices/me/telemetry=gone qos0 id0; detach d1/c1 will; forgotten d1/c1"},
        {"protocol error", WILL_311, "d0 00",
         "publish v1/devices/me/telemetry=gone qos0 id0; detach d1/c1 will; forgotten d1/c1"},
        {"without a will", CONNECT_311, NULL, "detach d1/c1 client; forgotten d1/c1"},
        {"protocol error without a will", CONNECT_311, "d0 00",
         "detach d1/c1 server; forgotten d1/c1"},
        {"expiry that was 0 cannot grow", CONNECT_5, "e0 { 00 { 11 00000001 } }",
         "detach d1/c1 server; forgotten d1/c1"},
        {"expiry can shrink to 0", CONNECT_5KEPT, "e0 { 00 { 11 00000000 } }",
         "detach d1/c1 client; forgotten d1/c1"},
        {"expiry can change", CONNECT_5KEPT, "e0 { 00 { 11 00000005 } }",
         "detach d1/c1 client persistent"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct rig *r = rig_new();
        struct rig_conn *c = rig_dial(r, 0, NULL);
        rig_send(c, rows[i].connect);
        (void)rig_events(r);
        if (rows[i].end == NULL) {
            rig_hang_up(c);
        } else {
            rig_send(c, rows[i].end);
        }
        const char *events = rig_events(r);
        cr_expect_str_eq(events, rows[i].events, "%s: %s", rows[i].why, events);
        EXPECT_CLOSED(c);
        rig_free(r);
    }
}

Test(state, keep_alive_is_one_and_a_half_times_and_only_packets_count)
{
    static const struct {
        const char *why;
        const char *connect;
        int64_t silent_us;
    } rows[] = {
        {"60 s", CONNECT_311, 90 * SEC},
        {"1 s", "10 { <MQTT> 04 82 0001 <c1> <token-d1> }", 1500000},
        {"off: the longest", "10 { <MQTT> 04 82 0000 <c1> <token-d1> }", 1800 * SEC},
        {"5.0", CONNECT_5, 90 * SEC},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct rig *r = rig_new();
        struct rig_conn *c = rig_dial(r, 0, NULL);
        rig_send(c, rows[i].connect);
        rig_turn(r, rows[i].silent_us - 200000);
        cr_expect_not_null(c->session, "%s", rows[i].why);
        rig_send(c, "c0 00");
        buf_clear(&c->out);
        rig_turn(r, rows[i].silent_us - 200000);
        cr_expect_not_null(c->session, "%s: a PINGREQ counts", rows[i].why);
        rig_send(c, "32 ff"); /* half a packet does not */
        for (int k = 0; k < 5; k++) {
            rig_turn(r, 100000);
        }
        cr_expect_null(c->session, "%s", rows[i].why);
        char got[64];
        bool said = rig_got(c, i == 3 ? "e0 01 8d" : "", got, sizeof(got));
        cr_expect(said, "%s: %s", rows[i].why, got);
        cr_expect_eq(sessions_close_count(&r->all, SESSION_CLOSE_KEEP_ALIVE), 1);
        rig_free(r);
    }
}

Test(state, a_kick_ends_what_came_in_with_the_credential)
{
    struct rig *r = rig_new();
    struct rig_conn *c1 = connected(r, CONNECT_5, CONNACK_5);
    struct rig_conn *c2 = rig_dial(r, 1, "d2");
    rig_send(c2, "10 { <MQTT> 05 00 003c { 11 00000e10 } <c2> }");
    (void)rig_events(r);
    buf_clear(&c2->out);
    session_kick(&r->all, 1, 999);
    rig_run(r);
    EXPECT_OPEN(c1);
    session_kick(&r->all, 1, 10);
    rig_run(r);
    EXPECT_CLOSED(c1);
    EXPECT_OUT(c1, "e0 01 87");
    EXPECT_OPEN(c2);
    EXPECT_EVENTS(r, "detach d1/c1 server; forgotten d1/c1");
    rig_hang_up(c2);
    EXPECT_EVENTS(r, "detach d2/c2 client persistent");
    session_kick(&r->all, 2, 20);
    rig_run(r);
    EXPECT_EVENTS(r, ""); /* another credential may come back for it */
    session_kick(&r->all, 2, 0);
    rig_run(r);
    EXPECT_EVENTS(r, "forgotten d2/c2");
    rig_free(r);
}

Test(state, stop_waits_for_what_was_taken)
{
    struct rig *r = rig_new();
    r->tickets_wait = true;
    struct rig_conn *busy = connected(r, CONNECT_5, CONNACK_5);
    rig_send(busy, "32 { " TELEMETRY " 0001 00 'x' } 32 { " TELEMETRY " 0002 00 'y' }");
    struct rig_conn *idle = rig_dial(r, 0, "d2");
    rig_send(idle, "10 { <MQTT> 05 02 003c { } <c2> }");
    buf_clear(&idle->out);
    (void)rig_events(r);
    session_drain(busy->session);
    session_drain(idle->session);
    EXPECT_CLOSED(idle);
    EXPECT_OUT(idle, "e0 01 8b");
    cr_expect(!busy->reading);
    rig_send(busy, "32 { " TELEMETRY " 0003 00 'z' } c0 00");
    EXPECT_EVENTS(r, "detach d2/c2 server; forgotten d2/c2");
    rig_finish(r, 1, ERR_OK);
    EXPECT_OUT(busy, "");
    rig_finish(r, 0, ERR_OK);
    EXPECT_OUT(busy, "40 02 0001 40 02 0002 e0 01 8b");
    EXPECT_CLOSED(busy);
    rig_free(r);
}

Test(ids, a_set_is_a_set)
{
    struct ids s = {0};
    bool in[300] = {false};
    uint32_t seed = 1;
    for (int i = 0; i < 20000; i++) {
        seed = seed * 1664525u + 1013904223u;
        uint16_t id = (uint16_t)(1 + (seed >> 16) % 299);
        if ((seed >> 8 & 1u) != 0) {
            cr_assert_eq(ids_add(&s, id), ERR_OK);
            in[id] = true;
        } else {
            cr_assert_eq(ids_remove(&s, id), in[id]);
            in[id] = false;
        }
    }
    uint32_t count = 0;
    for (uint16_t id = 1; id < 300; id++) {
        cr_expect_eq(ids_has(&s, id), in[id]);
        count += in[id];
    }
    cr_expect_eq(s.count, count);
    ids_fini(&s);
}
