#include "expect.h"

static void publish(struct rig_conn *c, int id, int qos, bool v5)
{
    char packet[128];
    (void)snprintf(packet, sizeof(packet), "3%d { " TELEMETRY " %04x %s 'x' }", qos * 2, id,
                   v5 ? "00" : "");
    rig_send(c, packet);
}

Test(flow, more_than_the_receive_maximum_is_the_end)
{
    for (int qos = 1; qos < 3; qos++) {
        struct rig *r = rig_new();
        r->tickets_wait = true;
        struct rig_conn *c = connected(r, CONNECT_5, CONNACK_5);
        for (int id = 1; id <= 4; id++) {
            publish(c, id, qos, true);
            EXPECT_OPEN(c);
        }
        rig_finish(r, 0, ERR_OK);
        EXPECT_OUT(c, qos == 1 ? "40 02 0001" : "50 02 0001");
        publish(c, 5, qos, true);
        if (qos == 1) {
            EXPECT_OPEN(c); /* one place was free */
            publish(c, 6, qos, true);
        }
        EXPECT_OUT(c, "e0 01 93"); /* with QoS 2 a place is free after PUBCOMP only */
        EXPECT_CLOSED(c);
        rig_free(r);
    }
}

Test(flow, qos_2_places_are_free_after_pubcomp)
{
    struct rig *r = rig_new();
    struct rig_conn *c = connected(r, CONNECT_5, CONNACK_5);
    for (int id = 1; id <= 40; id++) {
        char release[32];
        publish(c, id, 2, true);
        (void)snprintf(release, sizeof(release), "62 02 %04x", id);
        rig_send(c, release);
        EXPECT_OPEN(c);
    }
    rig_free(r);
}

/* 3.1.1: the seventh message waits, nobody is closed, PINGREQ behind it is answered at once. */
Test(flow, a_full_window_waits_and_answers_pings)
{
    struct rig *r = rig_new();
    r->tickets_wait = true;
    struct rig_conn *c = connected(r, CONNECT_311, CONNACK_311);
    for (int id = 1; id <= 8; id++) {
        publish(c, id, 1, false);
    }
    cr_expect_eq(r->ticket_count, 6);
    rig_send(c, "c0 00");
    EXPECT_OUT(c, "d0 00");
    publish(c, 9, 1, false);
    rig_send(c, "c0 00 c0");
    EXPECT_OUT(c, "d0 00");
    rig_send(c, "00");
    EXPECT_OUT(c, "d0 00");
    rig_finish(r, 0, ERR_OK);
    EXPECT_OUT(c, "40 02 0001");
    cr_expect_eq(r->ticket_count, 7);
    for (int i = 1; i < 9; i++) {
        rig_finish(r, i, ERR_OK);
    }
    EXPECT_OUT(c, "40 02 0002 40 02 0003 40 02 0004 40 02 0005 40 02 0006 40 02 0007"
                  "40 02 0008 40 02 0009"); /* and no PINGREQ is answered twice */
    rig_send(c, "c0 00");
    EXPECT_OUT(c, "d0 00");
    rig_free(r);
}

Test(flow, a_full_server_takes_the_same_message_later)
{
    struct rig *r = rig_new();
    struct rig_conn *c = connected(r, CONNECT_311, CONNACK_311);
    struct counter_balance before = counter_balance();
    r->publish_answer = ERR_FULL;
    rig_send(c, "32 { " TELEMETRY " 0001 'a' } 30 { " TELEMETRY " 'b' } c0 00"
                "34 { " TELEMETRY " 0002 'c' }");
    EXPECT_OUT(c, "d0 00");
    EXPECT_EVENTS(r, "");
    session_resume_all(&r->all); /* still full */
    session_resume_all(&r->all);
    rig_run(r);
    EXPECT_OUT(c, "");
    cr_expect_eq(counter_balance().received, before.received);
    r->publish_answer = ERR_OK;
    session_resume_all(&r->all);
    rig_run(r);
    EXPECT_OUT(c, "40 02 0001 50 02 0002");
    EXPECT_EVENTS(r, "publish v1/devices/me/telemetry=a qos1 id1; "
                     "publish v1/devices/me/telemetry=b qos0 id0; "
                     "publish v1/devices/me/telemetry=c qos2 id2");
    cr_expect_eq(counter_balance().received - before.received, 3);
    rig_free(r);
}

Test(flow, a_client_that_floods_a_full_server_is_not_read)
{
    struct rig *r = rig_new();
    struct rig_conn *c = connected(r, CONNECT_311, CONNACK_311);
    r->publish_answer = ERR_FULL;
    int sent = 0;
    while (c->reading && sent < 10000) {
        publish(c, 1 + sent++, 1, false);
    }
    cr_expect(c->in.len >= SESSION_HOLD_BYTES && c->in.len < SESSION_HOLD_BYTES + 64, "%zu",
              c->in.len);
    /* It is not taken for dead while nobody listens to it ... */
    rig_turn(r, 59 * SEC);
    EXPECT_OPEN(c);
    r->publish_answer = ERR_OK;
    session_resume_all(&r->all);
    rig_run(r);
    cr_expect(c->reading);
    cr_expect_eq(c->out.len, (size_t)sent * 4, "all are acknowledged");
    rig_free(r);
}

Test(flow, a_stalled_client_is_asked_to_send_again)
{
    for (int full = 0; full < 2; full++) {
        struct rig *r = rig_new();
        r->tickets_wait = true;
        struct rig_conn *c = connected(r, CONNECT_5, CONNACK_5);
        r->publish_answer = full ? ERR_FULL : ERR_OK;
        publish(c, 1, 1, true);
        for (int i = 0; i < 5; i++) {
            rig_turn(r, 10 * SEC);
            rig_send(c, "c0 00");
        }
        EXPECT_OUT(c, "d0 00 d0 00 d0 00 d0 00 d0 00");
        rig_turn(r, 9 * SEC);
        EXPECT_OPEN(c);
        rig_turn(r, 2 * SEC);
        EXPECT_CLOSED(c);
        EXPECT_OUT(c, "e0 01 89");
        cr_expect_eq(sessions_close_count(&r->all, SESSION_CLOSE_STALLED), 1);
        rig_free(r);
    }
}

Test(flow, progress_is_no_stall)
{
    struct rig *r = rig_new();
    r->tickets_wait = true;
    struct rig_conn *c = connected(r, CONNECT_311, CONNACK_311);
    for (int i = 0; i < 20; i++) {
        publish(c, 1 + i, 1, false);
    }
    for (int i = 0; i < 20; i++) {
        rig_turn(r, 50 * SEC);
        rig_send(c, "c0 00");
        EXPECT_OPEN(c);
        rig_finish(r, i, ERR_OK);
    }
    rig_turn(r, 80 * SEC);
    EXPECT_OPEN(c);
    rig_free(r);
}

Test(flow, tickets_that_come_after_the_end_are_harmless)
{
    struct rig *r = rig_new();
    r->tickets_wait = true;
    struct rig_conn *c = connected(r, CONNECT_5KEPT, CONNACK_5);
    publish(c, 1, 1, true);
    publish(c, 2, 2, true);
    rig_send(c, "82 { 0003 00 <v1/gateway/rpc> 01 }");
    cr_expect_eq(r->ticket_count, 3);
    rig_hang_up(c);
    for (int i = 0; i < 3; i++) {
        rig_finish(r, i, i == 1 ? ERR_DB_DOWN : ERR_OK);
    }
    cr_expect_eq(r->all.loops[0].acks_out, 0);
    rig_free(r);
}
