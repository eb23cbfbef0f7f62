#include "expect.h"

Test(publish, acknowledgements_leave_in_arrival_order_whatever_the_order_of_commits)
{
    static const int orders[][4] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}, {2, 0, 3, 1}};
    static const char *const answers[] = {"40 02 0001", "50 02 0002", "40 02 0003", "50 02 0004"};
    for (size_t o = 0; o < COUNT_OF(orders); o++) {
        struct rig *r = rig_new();
        r->tickets_wait = true;
        struct rig_conn *c = connected(r, CONNECT_311, CONNACK_311);
        rig_send(c, "32 { " TELEMETRY " 0001 'a' } 34 { " TELEMETRY " 0002 'b' }"
                    "30 { " TELEMETRY " 'zero' }"
                    "32 { " TELEMETRY " 0003 'c' } 34 { " TELEMETRY " 0004 'd' }");
        cr_expect_eq(r->ticket_count, 4, "QoS 0 has no ticket");
        bool done[4] = {false};
        int next = 0;
        for (int i = 0; i < 4; i++) {
            char want[128] = "";
            size_t len = 0;
            rig_finish(r, orders[o][i], ERR_OK);
            done[orders[o][i]] = true;
            for (; next < 4 && done[next]; next++) {
                len += (size_t)snprintf(want + len, sizeof(want) - len, "%s ", answers[next]);
            }
            EXPECT_OUT(c, want);
        }
        cr_expect_eq(next, 4);
        rig_free(r);
    }
}

Test(publish, what_an_error_means_is_the_table)
{
    static const struct {
        enum err status;
        const char *answer_311, *answer_5, *answer_quiet; /* NULL: closed */
        uint8_t goodbye_5;
    } rows[] = {
        {ERR_OK, "40 02 0001", "40 02 0001", "40 02 0001", 0},
        {ERR_MALFORMED, "40 02 0001", "40 { 0001 99 { 1f <malformed> } }", "40 03 0001 99", 0},
        {ERR_TYPE, "40 02 0001", "40 { 0001 99 { 1f <wrong type> } }", "40 03 0001 99", 0},
        {ERR_RANGE, "40 02 0001", "40 { 0001 99 { 1f <out of range> } }", "40 03 0001 99", 0},
        {ERR_LIMIT, "40 02 0001", "40 { 0001 99 { 1f <over a limit> } }", "40 03 0001 99", 0},
        {ERR_UTF8, "40 02 0001", "40 { 0001 99 { 1f <not valid UTF-8> } }", "40 03 0001 99", 0},
        {ERR_EXISTS, "40 02 0001", "40 { 0001 99 { 1f <exists already> } }", "40 03 0001 99", 0},
        {ERR_UNKNOWN_NAME, "40 02 0001", "40 { 0001 99 { 1f <unknown name> } }", "40 03 0001 99",
         0},
        {ERR_SYNTAX, "40 02 0001", "40 { 0001 99 { 1f <syntax error> } }", "40 03 0001 99", 0},
        {ERR_DENIED, NULL, "40 { 0001 87 { 1f <not allowed> } }", "40 03 0001 87", 0},
        /* A fault that may pass is never acknowledged, in any words [MQTT-4.4.0-2]. */
        {ERR_DB_DOWN, NULL, NULL, NULL, 0x89},
        {ERR_DB_UNKNOWN, NULL, NULL, NULL, 0x89},
        {ERR_TIMEOUT, NULL, NULL, NULL, 0x89},
        {ERR_CLOSED, NULL, NULL, NULL, 0x89},
        {ERR_NOMEM, NULL, NULL, NULL, 0x89},
        {ERR_IO, NULL, NULL, NULL, 0x89},
    };
    static const char *const connects[] = {CONNECT_311, CONNECT_5,
                                           "10 { <MQTT> 05 82 003c { 17 00 } <c1> <token-d1> }"};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        /* From the ticket, and from the hook at once. */
        for (int at_once = rows[i].status == ERR_OK; at_once < 2; at_once++) {
            for (int kind = 0; kind < 3; kind++) {
                const char *answers[] = {rows[i].answer_311, rows[i].answer_5,
                                         rows[i].answer_quiet};
                struct rig *r = rig_new();
                r->tickets_wait = true;
                r->publish_answer = at_once && rows[i].status != ERR_OK ? rows[i].status : ERR_OK;
                struct rig_conn *c = rig_dial(r, 0, NULL);
                rig_send(c, connects[kind]);
                buf_clear(&c->out);
                struct counter_balance before = counter_balance();
                rig_send(c, kind == 0 ? "32 { " TELEMETRY " 0001 'x' }"
                                      : "32 { " TELEMETRY " 0001 00 'x' }");
                if (r->ticket_count > 0) {
                    cr_expect_eq(counter_balance().received - before.received, 1);
                    rig_finish(r, 0, rows[i].status);
                } else {
                    cr_expect_eq(counter_balance().received, before.received,
                                 "what the hook refused is not received");
                }
                char want[32] = "";
                char got[256];
                if (answers[kind] == NULL && kind > 0) {
                    (void)snprintf(want, sizeof(want), "e0 01 %02x", rows[i].goodbye_5);
                }
                const char *wanted = answers[kind] == NULL ? want : answers[kind];
                bool equal = rig_got(c, wanted, got, sizeof(got));
                cr_expect(equal, "%s, kind %d: expected %s, got %s", err_words(rows[i].status),
                          kind, wanted, got);
                cr_expect_eq(c->session != NULL, answers[kind] != NULL, "%s, kind %d",
                             err_words(rows[i].status), kind);
                rig_free(r);
            }
        }
    }
}

Test(publish, what_was_committed_before_a_failure_is_still_acknowledged)
{
    struct rig *r = rig_new();
    r->tickets_wait = true;
    struct rig_conn *c = connected(r, CONNECT_5, CONNACK_5);
    rig_send(c, "32 { " TELEMETRY " 0001 00 'a' } 32 { " TELEMETRY " 0002 00 'b' }"
                "32 { " TELEMETRY " 0003 00 'c' }");
    rig_finish(r, 1, ERR_DB_DOWN);
    rig_finish(r, 2, ERR_OK);
    EXPECT_OPEN(c);
    rig_finish(r, 0, ERR_OK);
    EXPECT_OUT(c, "40 02 0001 e0 01 89");
    EXPECT_CLOSED(c);
    rig_free(r);
}

Test(publish, topics_are_those_of_the_device_and_its_type)
{
    static const struct {
        const char *topic;
        bool allowed;
    } rows[] = {
        {"<v1/devices/me/telemetry>", true},
        {"<v1/devices/me/attributes>", true},
        {"<v1/devices/me/attributes/request/7>", true},
        {"<v1/devices/me/rpc/response/7>", true},
        {"<v1/devices/me/rpc/request/7>", true},
        {"<v1/gateway/connect>", true},
        {"<v1/gateway/disconnect>", true},
        {"<v1/gateway/telemetry>", true},
        {"<v1/gateway/attributes>", true},
        {"<v1/gateway/rpc>", true},
        {"<plant/7/up>", true},
        {"<plant/7/up/a/b/c>", true},
        {"<plant/7/down/a>", false},
        {"<plant/7/8/up>", false},
        {"<v1/devices/you/telemetry>", false},
        {"<v1/devices/me/telemetry/>", false},
        {"<v1/devices/me>", false},
        {"<v1/devices/me/attributes/response/7>", false},
        {"<V1/devices/me/telemetry>", false},
        {"</v1/devices/me/telemetry>", false},
        {"<$SYS/x>", false},
        {"<provision/request>", false},
        {"<plant/7/up/1/2/3/4/5/6/7/8/9/10/11/12/13/14>", false}, /* 17 levels */
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (int qos = 0; qos < 3; qos++) {
            struct rig *r = rig_new();
            char packet[256];
            char got[256];
            struct rig_conn *c = connected(r, CONNECT_5, CONNACK_5);
            int64_t denied = counter_get(COUNTER_PUBLISHES_DENIED);
            (void)snprintf(packet, sizeof(packet), "3%d { %s %s 00 'x' }", qos * 2, rows[i].topic,
                           qos == 0 ? "" : "0001");
            rig_send(c, packet);
            bool said =
                rig_got(c,
                        qos == 0           ? ""
                        : !rows[i].allowed ? (qos == 1 ? "40 { 0001 87 { 1f <not allowed> } }"
                                                       : "50 { 0001 87 { 1f <not allowed> } }")
                        : qos == 1         ? "40 02 0001"
                                           : "50 02 0001",
                        got, sizeof(got));
            cr_expect(said, "%s qos %d: %s", rows[i].topic, qos, got);
            cr_expect_eq(strncmp(rig_events(r), "publish", 7) == 0, rows[i].allowed, "%s",
                         rows[i].topic);
            cr_expect_eq(counter_get(COUNTER_PUBLISHES_DENIED) - denied, !rows[i].allowed);
            EXPECT_OPEN(c);
            /* 3.1.1 has no words for it, so QoS 1 and 2 end the connection. */
            struct rig_conn *old = rig_dial(r, 0, "d2");
            rig_send(old, "10 { <MQTT> 04 02 003c <c2> }");
            (void)snprintf(packet, sizeof(packet), "3%d { %s %s 'x' }", qos * 2, rows[i].topic,
                           qos == 0 ? "" : "0001");
            rig_send(old, packet);
            cr_expect_eq(old->session != NULL, rows[i].allowed || qos == 0, "%s qos %d",
                         rows[i].topic, qos);
            rig_free(r);
        }
    }
}

Test(publish, qos_2_hands_a_message_on_once)
{
    struct rig *r = rig_new();
    r->tickets_wait = true;
    struct rig_conn *c = connected(r, CONNECT_5KEPT, CONNACK_5);
    rig_send(c, "34 { " TELEMETRY " 0007 00 'a' } 3c { " TELEMETRY " 0007 00 'a' }");
    EXPECT_EVENTS(r, "publish v1/devices/me/telemetry=a qos2 id7");
    EXPECT_OUT(c, "");
    rig_finish(r, 0, ERR_OK);
    EXPECT_OUT(c, "50 02 0007 50 02 0007");
    /* Across connections, and across loops. */
    rig_hang_up(c);
    (void)rig_events(r);
    struct rig_conn *again = rig_dial(r, 2, NULL);
    rig_send(again, CONNECT_5KEPT);
    cr_expect_eq(again->out.data[2], 1, "session present");
    buf_clear(&again->out);
    (void)rig_events(r);
    rig_send(again, "3c { " TELEMETRY " 0007 00 'a' }");
    EXPECT_OUT(again, "50 02 0007");
    EXPECT_EVENTS(r, "");
    rig_send(again, "62 02 0007");
    EXPECT_OUT(again, "70 02 0007");
    rig_send(again, "62 02 0007");
    EXPECT_OUT(again, "70 03 0007 92");
    /* The id is free again: the same bytes are another message. */
    rig_send(again, "34 { " TELEMETRY " 0007 00 'a' }");
    EXPECT_EVENTS(r, "publish v1/devices/me/telemetry=a qos2 id7");
    rig_free(r);
}

Test(publish, qos_2_that_was_not_committed_is_taken_again)
{
    struct rig *r = rig_new();
    r->tickets_wait = true;
    struct rig_conn *c = connected(r, CONNECT_KEPT, CONNACK_311);
    rig_send(c, "34 { " TELEMETRY " 0007 'a' }");
    rig_hang_up(c);
    rig_finish(r, 0, ERR_OK); /* late: nobody waits any more */
    (void)rig_events(r);
    struct rig_conn *again = rig_dial(r, 0, NULL);
    rig_send(again, CONNECT_KEPT);
    EXPECT_OUT(again, "20 02 01 00");
    (void)rig_events(r);
    rig_send(again, "3c { " TELEMETRY " 0007 'a' }");
    EXPECT_EVENTS(r, "publish v1/devices/me/telemetry=a qos2 dup id7");
    rig_finish(r, 1, ERR_OK);
    EXPECT_OUT(again, "50 02 0007");
    rig_free(r);
}

Test(publish, topic_aliases)
{
    static const struct {
        const char *why;
        const char *packets;
        const char *events;
        const char *out; /* empty: nothing, and open */
    } rows[] = {
        {"set and used", "30 { " TELEMETRY " { 23 0001 } 'a' } 30 { <> { 23 0001 } 'b' }",
         "publish v1/devices/me/telemetry=a qos0 id0; publish v1/devices/me/telemetry=b qos0 id0",
         ""},
        {"set again",
         "30 { " TELEMETRY " { 23 0010 } 'a' } 30 { <v1/gateway/rpc> { 23 0010 } 'b' }"
         "30 { <> { 23 0010 } 'c' }",
         "publish v1/devices/me/telemetry=a qos0 id0; publish v1/gateway/rpc=b qos0 id0; "
         "publish v1/gateway/rpc=c qos0 id0",
         ""},
        {"never set", "30 { <> { 23 0001 } 'b' }", "detach d1/c1 server; forgotten d1/c1",
         "e0 01 82"},
        {"over the maximum", "30 { " TELEMETRY " { 23 0011 } 'a' }",
         "detach d1/c1 server; forgotten d1/c1", "e0 01 94"},
        {"zero", "30 { " TELEMETRY " { 23 0000 } 'a' }", "detach d1/c1 server; forgotten d1/c1",
         "e0 01 82"},
        {"neither topic nor alias", "30 { <> { } 'a' }", "detach d1/c1 server; forgotten d1/c1",
         "e0 01 82"},
        {"a denied topic stays denied by its alias",
         "30 { <other> { 23 0001 } 'a' } 30 { <> { 23 0001 } 'b' }", "", ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct rig *r = rig_new();
        struct rig_conn *c = connected(r, CONNECT_5, CONNACK_5);
        rig_send(c, rows[i].packets);
        const char *events = rig_events(r);
        cr_expect_str_eq(events, rows[i].events, "%s: %s", rows[i].why, events);
        EXPECT_OUT(c, rows[i].out);
        cr_expect_eq(c->session != NULL, rows[i].out[0] == '\0', "%s", rows[i].why);
        rig_free(r);
    }
}

Test(publish, telemetry_with_the_retain_flag_is_telemetry)
{
    struct rig *r = rig_new();
    struct rig_conn *c = connected(r, CONNECT_5, CONNACK_5);
    rig_send(c, "33 { " TELEMETRY " 0001 { } 'a' }");
    EXPECT_OUT(c, "40 02 0001");
    EXPECT_EVENTS(r, "publish v1/devices/me/telemetry=a qos1 id1");
    rig_free(r);
}

Test(publish, a_packet_over_the_maximum_is_refused_before_it_has_come)
{
    struct rig *r = rig_new();
    struct rig_conn *c = connected(r, CONNECT_5, CONNACK_5);
    rig_send(c, "30 fe 1f"); /* 4096 and a byte in all */
    EXPECT_OUT(c, "e0 01 95");
    EXPECT_CLOSED(c);
    rig_free(r);
}
