#include "router.h"

Test(route, only_what_is_not_the_device_api_is_routed)
{
    struct rig *r = router_new();
    struct rig_conn *c = connected(r, CONNECT_311, CONNACK_311);
    struct counter_balance before = counter_balance();
    rig_send(c, "30 { " TELEMETRY " 'a' } 30 { <plant/7/up/x> 'b' } 31 { <plant/7/up> 'c' }"
                "30 { <plant/7/down/x> 'denied' }");
    EXPECT_EVENTS(r, "publish v1/devices/me/telemetry=a qos0 id0; "
                     "route #1 plant/7/up/x=b qos0 id0; route #1 plant/7/up=c qos0 retain id0");
    cr_expect_eq(counter_balance().received - before.received, 1, "the balance is of readings");
    struct rig_conn *open = router_dial(r, 0, OPEN_311);
    rig_send(open, "30 { " TELEMETRY " 'd' } 30 { <a> 'e' }");
    EXPECT_EVENTS(r, "route #2 v1/devices/me/telemetry=d qos0 id0; route #2 a=e qos0 id0");
    rig_free(r);
}

Test(route, each_status_has_its_answer)
{
    static const struct {
        enum err status;
        const char *qos1_311, *qos1_5, *qos2_5; /* NULL: closed */
        bool published;                         /* so that the exchange of QoS 2 goes on */
    } rows[] = {
        {ERR_OK, "40 02 0001", "40 02 0001", "50 02 0001", true},
        {ERR_NOT_FOUND, "40 02 0001", "40 03 0001 10", "50 02 0001", true},
        {ERR_QUOTA, "40 02 0001", "40 { 0001 97 { 1f <over a quota> } }",
         "50 { 0001 97 { 1f <over a quota> } }", false},
        {ERR_DENIED, NULL, "40 { 0001 87 { 1f <not allowed> } }",
         "50 { 0001 87 { 1f <not allowed> } }", false},
        {ERR_DB_DOWN, NULL, NULL, NULL, false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (int kind = 0; kind < 6; kind++) {
            bool at_once = kind >= 3;
            if (at_once && rows[i].status == ERR_OK) {
                continue;
            }
            const char *answers[] = {rows[i].qos1_311, rows[i].qos1_5, rows[i].qos2_5};
            const char *answer = answers[kind % 3];
            struct rig *r = router_new();
            struct rig_conn *c = router_dial(r, 0, kind % 3 == 0 ? OPEN_311 : OPEN_5);
            r->tickets_wait = true;
            r->route_answer = at_once ? rows[i].status : ERR_OK;
            rig_send(c, kind % 3 == 0   ? "32 { <a> 0001 'x' }"
                        : kind % 3 == 1 ? "32 { <a> 0001 00 'x' }"
                                        : "34 { <a> 0001 00 'x' }");
            if (!at_once) {
                EXPECT_OUT(c, "");
                rig_finish(r, 0, rows[i].status);
            }
            char got[256];
            bool equal = rig_got(c,
                                 answer != NULL  ? answer
                                 : kind % 3 == 0 ? ""
                                                 : "e0 01 89",
                                 got, 256);
            cr_expect(equal, "%s, kind %d: %s", err_words(rows[i].status), kind, got);
            cr_expect_eq(c->session != NULL, answer != NULL);
            if (kind % 3 == 2 && c->session != NULL) {
                r->tickets_wait = false;
                rig_send(c, "62 02 0001");
                equal = rig_got(c, rows[i].published ? "70 02 0001" : "70 03 0001 92", got, 256);
                cr_expect(equal, "%s: %s", err_words(rows[i].status), got);
            }
            rig_free(r);
        }
    }
}

Test(route, what_nobody_stores_is_acknowledged_in_the_same_turn)
{
    struct rig *r = router_new();
    struct rig_conn *c = router_dial(r, 0, OPEN_311);
    rig_send_only(c, "32 { <a> 0001 'x' } 34 { <a> 0002 'y' }");
    EXPECT_OUT(c, "40 02 0001 50 02 0002");
    rig_send_only(c, "62 02 0002");
    EXPECT_OUT(c, "70 02 0002");
    r->tickets_wait = true; /* but never before one that is stored */
    rig_send_only(c, "32 { <a> 0003 'x' }");
    r->tickets_wait = false;
    rig_send_only(c, "32 { <a> 0004 'x' }");
    EXPECT_OUT(c, "");
    rig_finish(r, 0, ERR_OK);
    EXPECT_OUT(c, "40 02 0003 40 02 0004");
    rig_free(r);
}

Test(route, a_full_router_holds_publishes_and_releases_and_takes_them_later)
{
    struct rig *r = router_new();
    struct rig_conn *c = router_dial(r, 0, OPEN_311);
    rig_send(c, "34 { <a> 0001 'x' }");
    buf_clear(&c->out);
    (void)rig_events(r);
    r->route_answer = ERR_FULL;
    r->released_answer = ERR_FULL;
    rig_send(c, "62 02 0001 32 { <a> 0002 'y' } c0 00");
    EXPECT_OUT(c, "d0 00"); /* the client is not taken for dead, nor takes us for it */
    EXPECT_EVENTS(r, "released #1 id1");
    r->released_answer = ERR_OK;
    session_resume_all(&r->all);
    rig_run(r);
    EXPECT_OUT(c, "70 02 0001");
    r->route_answer = ERR_OK;
    session_resume_all(&r->all);
    rig_run(r);
    EXPECT_OUT(c, "40 02 0002");
    EXPECT_EVENTS(r, "released #1 id1; route #1 a=y qos1 id2");
    rig_free(r);
}

Test(route, qos_2_ends_when_the_router_has_forgotten_the_packet_id)
{
    struct rig *r = router_new();
    struct rig_conn *c = router_dial(r, 0, OPEN_5KEPT);
    r->tickets_wait = true;
    rig_send(c, "34 { <a> 0007 00 'x' } 3c { <a> 0007 00 'x' }");
    EXPECT_EVENTS(r, "route #1 a=x qos2 id7");
    EXPECT_OUT(c, "");
    rig_finish(r, 0, ERR_OK);
    EXPECT_OUT(c, "50 02 0007 50 02 0007");
    rig_send(c, "62 02 0007");
    EXPECT_OUT(c, "");
    rig_send(c, "3c { <a> 0007 00 'x' }"); /* still the same message */
    EXPECT_OUT(c, "50 02 0007");
    EXPECT_EVENTS(r, "released #1 id7");
    rig_finish(r, 1, ERR_OK);
    EXPECT_OUT(c, "70 02 0007");
    rig_send(c, "34 { <a> 0007 00 'z' }");
    EXPECT_EVENTS(r, "route #1 a=z qos2 id7");
    /* A device's own topics are no business of the router's. */
    struct rig_conn *d = rig_dial(r, 0, "d1");
    rig_send(d, "10 { <MQTT> 04 00 003c <d> }");
    r->tickets_wait = false;
    (void)rig_events(r);
    rig_send(d, "34 { " TELEMETRY " 0001 'x' } 62 02 0001");
    EXPECT_EVENTS(r, "publish v1/devices/me/telemetry=x qos2 id1");
    rig_free(r);
}

Test(route, a_publish_whose_commit_was_not_seen_is_offered_again)
{
    struct rig *r = router_new();
    struct rig_conn *c = router_dial(r, 1, OPEN_5KEPT);
    r->tickets_wait = true;
    rig_send(c, "34 { <a> 0007 00 'x' } 34 { <a> 0008 00 'y' }");
    rig_finish(r, 0, ERR_OK);
    EXPECT_OUT(c, "50 02 0007");
    rig_hang_up(c);
    rig_finish(r, 1, ERR_OK); /* late */
    (void)rig_events(r);
    struct rig_conn *again = router_dial(r, 2, OPEN_5KEPT);
    rig_send(again, "3c { <a> 0007 00 'x' } 3c { <a> 0008 00 'y' }");
    EXPECT_EVENTS(r, "route #1 a=y qos2 dup id8"); /* the router knows (number, packet id) */
    rig_free(r);
}

Test(route, text_that_is_none_is_refused)
{
    struct rig *r = router_new();
    struct rig_conn *c = router_dial(r, 0, OPEN_5);
    rig_send(c, "32 { <a> 0001 { 01 01 } 'text' } 32 { <a> 0002 { 01 00 } ff }");
    EXPECT_OUT(c, "40 02 0001 40 02 0002");
    rig_send(c, "32 { <a> 0003 { 01 01 } ff } 34 { <a> 0004 { 01 01 } ff }");
    EXPECT_OUT(c, "40 { 0003 99 { 1f <wrong type> } } 50 { 0004 99 { 1f <wrong type> } }");
    rig_send(c, "30 { <a> { 01 01 } ff }");
    EXPECT_OUT(c, "e0 01 99");
    EXPECT_CLOSED(c);
    EXPECT_EVENTS(r, "route #1 a=text qos1 id1; route #1 a=\xff qos1 id2; ended #1");
    rig_free(r);
}

/* Aliases of the client hold for routed topics too, ten on the open listener. */
Test(route, aliases_of_the_client)
{
    struct rig *r = router_new();
    struct rig_conn *c = router_dial(r, 0, OPEN_5);
    for (int i = 1; i <= 10; i++) {
        char packet[64];
        (void)snprintf(packet, sizeof(packet), "30 { <t/%02d> { 23 %04x } 'x' }", i, i);
        rig_send(c, packet);
    }
    (void)rig_events(r);
    rig_send(c, "30 { <> { 23 0001 } 'y' } 30 { <> { 23 000a } 'z' }");
    EXPECT_EVENTS(r, "route #1 t/01=y qos0 id0; route #1 t/10=z qos0 id0");
    rig_free(r);
}
