#include "expect.h"

#define RPC_SUB_5 "82 { 0001 00 <v1/devices/me/rpc/request/+> 02 }"
#define RPC_SUB   "82 { 0001 <v1/devices/me/rpc/request/+> 02 }"

static void deliver(struct rig *r, struct session_ref ref, int64_t id, const char *topic, int qos,
                    int64_t expires_in_us)
{
    struct session_delivery *d = session_delivery_new(view_str(topic), VIEW("{}"), (uint8_t)qos);
    d->delivery_id = id;
    d->expires_at_us = expires_in_us == 0 ? CLOCK_NONE : rig_now_us + expires_in_us;
    session_deliver(&r->all, ref, d);
    rig_run(r);
}

static struct session_ref ref_of(const struct rig_conn *c)
{
    return session_ref(c->session);
}

/* Connected and subscribed to commands. */
static struct rig_conn *subscribed(struct rig *r, bool v5)
{
    struct rig_conn *c = rig_dial(r, 0, NULL);
    rig_send(c, v5 ? CONNECT_5KEPT : CONNECT_KEPT);
    rig_send(c, v5 ? RPC_SUB_5 : RPC_SUB);
    buf_clear(&c->out);
    (void)rig_events(r);
    return c;
}

Test(deliver, each_qos_ends_with_its_own_acknowledgement)
{
    struct rig *r = rig_new();
    struct rig_conn *c = subscribed(r, false);
    deliver(r, ref_of(c), 1, "v1/devices/me/rpc/request/1", 0, 0);
    EXPECT_OUT(c, "30 { <v1/devices/me/rpc/request/1> '{}' }");
    EXPECT_EVENTS(r, "delivered 1 ok");
    deliver(r, ref_of(c), 2, "v1/devices/me/rpc/request/2", 1, 0);
    EXPECT_OUT(c, "32 { <v1/devices/me/rpc/request/2> ffff '{}' }");
    EXPECT_EVENTS(r, "");
    rig_send(c, "40 02 ffff");
    EXPECT_EVENTS(r, "delivered 2 ok");
    deliver(r, ref_of(c), 3, "v1/devices/me/rpc/request/3", 2, 0);
    EXPECT_OUT(c, "34 { <v1/devices/me/rpc/request/3> ffff '{}' }");
    rig_send(c, "50 02 ffff");
    EXPECT_OUT(c, "62 02 ffff");
    rig_send(c, "50 02 ffff");
    EXPECT_OUT(c, "62 02 ffff");
    EXPECT_EVENTS(r, "");
    rig_send(c, "70 02 ffff");
    EXPECT_EVENTS(r, "delivered 3 ok");
    rig_send(c, "70 02 ffff");
    EXPECT_EVENTS(r, "");
    rig_free(r);
}

Test(deliver, a_refusal_of_the_client_ends_it)
{
    struct rig *r = rig_new();
    struct rig_conn *c = subscribed(r, true);
    deliver(r, ref_of(c), 1, "v1/devices/me/rpc/request/1", 1, 0);
    deliver(r, ref_of(c), 2, "v1/devices/me/rpc/request/2", 2, 0);
    rig_send(c, "40 03 ffff 80 50 03 fffe 97");
    EXPECT_EVENTS(r, "delivered 1 not allowed; delivered 2 not allowed");
    rig_free(r);
}

Test(deliver, only_what_a_filter_matches_and_the_device_may_have)
{
    struct rig *r = rig_new();
    struct rig_conn *c = subscribed(r, false);
    deliver(r, ref_of(c), 1, "v1/devices/me/attributes", 1, 0);
    EXPECT_EVENTS(r, "delivered 1 not found");
    deliver(r, ref_of(c), 2, "v1/devices/me/rpc/request/1/2", 1, 0);
    EXPECT_EVENTS(r, "delivered 2 not found");
    struct session_ref ref = ref_of(c);
    rig_send(c, "e0 00");
    (void)rig_events(r);
    deliver(r, ref, 3, "v1/devices/me/rpc/request/1", 0, 0);
    EXPECT_EVENTS(r, "delivered 3 closed"); /* QoS 0 does not wait */
    ref.generation += 7;
    deliver(r, ref, 4, "v1/devices/me/rpc/request/1", 1, 0);
    EXPECT_EVENTS(r, "delivered 4 closed");
    deliver(r, (struct session_ref){0}, 5, "v1/devices/me/rpc/request/1", 1, 0);
    EXPECT_EVENTS(r, "delivered 5 closed");
    rig_free(r);
}

Test(deliver, the_lower_qos_counts_and_overlapping_filters_give_one_copy)
{
    struct rig *r = rig_new();
    struct rig_conn *c = connected(r, CONNECT_5, CONNACK_5);
    rig_send(c, "82 { 0001 { 0b 05 } <plant/+/down/#> 00 }");
    rig_send(c, "82 { 0002 { 0b 80 01 } <plant/7/down/x> 01 }");
    buf_clear(&c->out);
    deliver(r, ref_of(c), 1, "plant/7/down/x", 2, 0);
    EXPECT_OUT(c, "32 { <plant/7/down/x> 0001 { 0b 05 0b 80 01 } '{}' }");
    deliver(r, ref_of(c), 2, "plant/8/down", 2, 0);
    EXPECT_OUT(c, "30 { <plant/8/down> { 0b 05 } '{}' }");
    rig_free(r);
}

Test(deliver, the_window_of_the_client_is_kept)
{
    struct rig *r = rig_new();
    struct rig_conn *c = rig_dial(r, 0, NULL);
    rig_send(c, "10 { <MQTT> 05 82 003c { 21 0002 } <c1> <token-d1> }" RPC_SUB_5);
    buf_clear(&c->out);
    (void)rig_events(r);
    for (int i = 1; i <= 4; i++) {
        deliver(r, ref_of(c), i, "v1/devices/me/rpc/request/1", 1, 0);
    }
    EXPECT_OUT(c, "32 { <v1/devices/me/rpc/request/1> 0001 00 '{}' }"
                  "32 { <v1/devices/me/rpc/request/1> 0002 00 '{}' }");
    rig_send(c, "40 02 0002");
    EXPECT_OUT(c, "32 { <v1/devices/me/rpc/request/1> 0003 00 '{}' }");
    rig_send(c, "40 02 0001 40 02 0003");
    EXPECT_OUT(c, "32 { <v1/devices/me/rpc/request/1> 0004 00 '{}' }");
    EXPECT_EVENTS(r, "delivered 2 ok; delivered 1 ok; delivered 3 ok");
    rig_free(r);
}

Test(deliver, the_queue_is_bounded_and_says_so)
{
    struct rig *r = rig_new();
    struct rig_conn *c = subscribed(r, false);
    for (int i = 1; i <= (int)r->all.device_limits.window_311 + SESSION_COMMANDS_MAX; i++) {
        deliver(r, ref_of(c), i, "v1/devices/me/rpc/request/1", 1, 0);
    }
    EXPECT_EVENTS(r, "");
    deliver(r, ref_of(c), 777, "v1/devices/me/rpc/request/1", 1, 0);
    EXPECT_EVENTS(r, "delivered 777 queue is full");
    rig_free(r);
}

/* [MQTT-4.3.2-4, -4.3.3-8, -4.3.3-11]: an answer that belongs to another QoS, or to a later step.
 */
Test(deliver, an_answer_out_of_turn_ends_the_connection_and_not_the_command)
{
    static const struct {
        int qos;
        const char *answer;
    } rows[] = {{1, "50 02 ffff"},
                {1, "70 02 ffff"},
                {2, "40 02 ffff"},
                {2, "70 02 ffff"},
                {2, "50 02 ffff 40 02 ffff"}};
    for (size_t i = 0; i < 2 * COUNT_OF(rows); i++) {
        size_t row = i / 2;
        bool v5 = i % 2 != 0;
        struct rig *r = rig_new();
        struct rig_conn *c = subscribed(r, v5);
        deliver(r, ref_of(c), 1, "v1/devices/me/rpc/request/1", rows[row].qos, 0);
        buf_clear(&c->out);
        rig_send(c, rows[row].answer);
        if (row == 4) {
            buf_cut(&c->out, mqtt_bytes_of("62 02 ffff").len);
        }
        EXPECT_OUT(c, v5 ? "e0 01 82" : "");
        EXPECT_CLOSED(c);
        (void)rig_events(r);
        struct rig_conn *again = rig_dial(r, 0, NULL);
        rig_send(again, CONNECT_5KEPT);
        buf_cut(&again->out, mqtt_bytes_of(CONNACK_5).len);
        EXPECT_OUT(again, row == 4   ? "62 02 ffff"
                          : row >= 2 ? "3c { <v1/devices/me/rpc/request/1> ffff 00 '{}' }"
                                     : "3a { <v1/devices/me/rpc/request/1> ffff 00 '{}' }");
        rig_free(r);
    }
}

Test(deliver, what_was_under_way_is_sent_again_in_order_with_dup)
{
    struct rig *r = rig_new();
    struct rig_conn *c = subscribed(r, true);
    deliver(r, ref_of(c), 1, "v1/devices/me/rpc/request/1", 1, 0);
    deliver(r, ref_of(c), 2, "v1/devices/me/rpc/request/2", 2, 0);
    deliver(r, ref_of(c), 3, "v1/devices/me/rpc/request/3", 2, 0);
    rig_send(c, "50 02 fffd");
    struct session_ref ref = ref_of(c);
    rig_hang_up(c);
    (void)rig_events(r);
    deliver(r, ref, 4, "v1/devices/me/rpc/request/4", 1, 0);
    EXPECT_EVENTS(r, "");
    struct rig_conn *again = rig_dial(r, 1, NULL);
    rig_send(again, CONNECT_5KEPT);
    buf_cut(&again->out, mqtt_bytes_of(CONNACK_5).len);
    EXPECT_OUT(again, "3a { <v1/devices/me/rpc/request/1> ffff 00 '{}' }"
                      "3c { <v1/devices/me/rpc/request/2> fffe 00 '{}' }"
                      "62 02 fffd"
                      "32 { <v1/devices/me/rpc/request/4> fffc 00 '{}' }");
    (void)rig_events(r);
    rig_send(again, "40 02 fffc 70 02 fffd 40 02 ffff 50 02 fffe 70 02 fffe");
    EXPECT_EVENTS(r, "delivered 4 ok; delivered 3 ok; delivered 1 ok; delivered 2 ok");
    rig_free(r);
}

Test(deliver, a_smaller_window_after_a_reconnect_is_kept_too)
{
    struct rig *r = rig_new();
    struct rig_conn *c = subscribed(r, true);
    for (int i = 1; i <= 3; i++) {
        deliver(r, ref_of(c), i, "v1/devices/me/rpc/request/1", 1, 0);
    }
    rig_hang_up(c);
    (void)rig_events(r);
    struct rig_conn *again = rig_dial(r, 1, NULL);
    rig_send(again, "10 { <MQTT> 05 80 003c { 11 00000e10 21 0001 } <c1> <token-d1> }");
    buf_cut(&again->out, mqtt_bytes_of(CONNACK_5).len);
    EXPECT_OUT(again, "3a { <v1/devices/me/rpc/request/1> ffff 00 '{}' }");
    rig_send(again, "40 02 ffff");
    EXPECT_OUT(again, "3a { <v1/devices/me/rpc/request/1> fffe 00 '{}' }");
    rig_free(r);
}

Test(deliver, expired_messages_are_not_sent_and_the_rest_says_what_is_left)
{
    struct rig *r = rig_new();
    struct rig_conn *c = subscribed(r, true);
    deliver(r, ref_of(c), 1, "v1/devices/me/rpc/request/1", 1, 1);
    EXPECT_OUT(c, "32 { <v1/devices/me/rpc/request/1> ffff { 02 00000001 } '{}' }");
    deliver(r, ref_of(c), 2, "v1/devices/me/rpc/request/2", 1, 60 * SEC);
    EXPECT_OUT(c, "32 { <v1/devices/me/rpc/request/2> fffe { 02 0000003c } '{}' }");
    deliver(r, ref_of(c), 3, "v1/devices/me/rpc/request/3", 1, -1);
    EXPECT_OUT(c, "");
    EXPECT_EVENTS(r, "delivered 3 expired");
    struct session_ref ref = ref_of(c);
    rig_hang_up(c);
    (void)rig_events(r);
    deliver(r, ref, 4, "v1/devices/me/rpc/request/4", 1, 5 * SEC);
    deliver(r, ref, 5, "v1/devices/me/rpc/request/5", 1, 50 * SEC);
    rig_turn(r, 6 * SEC);
    EXPECT_EVENTS(r, "delivered 4 expired"); /* nobody had to come for it */
    struct rig_conn *again = rig_dial(r, 0, NULL);
    rig_send(again, CONNECT_5KEPT);
    buf_cut(&again->out, mqtt_bytes_of(CONNACK_5).len);
    EXPECT_OUT(again, "3a { <v1/devices/me/rpc/request/2> fffe { 02 00000036 } '{}' }"
                      "32 { <v1/devices/me/rpc/request/5> ffff { 02 0000002c } '{}' }");
    EXPECT_EVENTS(r, "attach d1/c1 persistent present; delivered 1 expired");
    rig_free(r);
}

Test(deliver, too_large_for_the_client_is_not_sent)
{
    struct rig *r = rig_new();
    struct rig_conn *c = rig_dial(r, 0, NULL);
    rig_send(c, "10 { <MQTT> 05 82 003c { 27 00000028 } <c1> <token-d1> }" RPC_SUB_5);
    buf_clear(&c->out);
    (void)rig_events(r);
    deliver(r, ref_of(c), 1, "v1/devices/me/rpc/request/12345678901234567890", 1, 0);
    EXPECT_OUT(c, "");
    EXPECT_EVENTS(r, "delivered 1 over a limit");
    deliver(r, ref_of(c), 2, "v1/devices/me/rpc/request/12", 1, 0);
    EXPECT_EVENTS(r, "");
    cr_expect_gt(c->out.len, 0);
    rig_free(r);
}

Test(deliver, before_the_connack_it_waits)
{
    struct rig *r = rig_new();
    rig_hang_up(subscribed(r, false));
    r->attach_waits = true;
    struct rig_conn *c = rig_dial(r, 0, NULL);
    rig_send(c, CONNECT_KEPT);
    deliver(r, r->last_ref, 1, "v1/devices/me/rpc/request/1", 1, 0);
    deliver(r, r->last_ref, 2, "v1/devices/me/attributes", 1, 0);
    EXPECT_OUT(c, "");
    (void)rig_events(r);
    session_attach_done(&r->all, r->last_ref, ERR_OK);
    rig_run(r);
    EXPECT_OUT(c, "20 02 01 00 32 { <v1/devices/me/rpc/request/1> ffff '{}' }");
    EXPECT_EVENTS(r, "delivered 2 not found");
    rig_free(r);
}

Test(deliver, what_a_session_had_ends_with_it)
{
    struct rig *r = rig_new();
    struct rig_conn *c = connected(r, CONNECT_311, CONNACK_311);
    rig_send(c, RPC_SUB);
    deliver(r, ref_of(c), 1, "v1/devices/me/rpc/request/1", 1, 0);
    (void)rig_events(r);
    rig_hang_up(c);
    EXPECT_EVENTS(r, "detach d1/c1 client; forgotten d1/c1; delivered 1 closed");
    struct rig_conn *kept = subscribed(r, false);
    deliver(r, ref_of(kept), 2, "v1/devices/me/rpc/request/1", 1, 0);
    rig_hang_up(kept);
    EXPECT_EVENTS(r, "detach d1/c1 client persistent");
    rig_turn(r, 3601 * SEC);
    EXPECT_EVENTS(r, "forgotten d1/c1; delivered 2 closed");
    for (uint32_t i = 0; i < r->all.loops[0].slot_count; i++) {
        cr_expect_null(r->all.loops[0].slots[i].session);
    }
    rig_free(r);
}

Test(subscribe, filters_are_granted_one_by_one)
{
    static const struct {
        const char *why;
        const char *packet; /* of 5.0, without its properties */
        const char *reasons_5, *reasons_311;
    } rows[] = {
        {"commands", "<v1/devices/me/rpc/request/+> 01", "01", "01"},
        {"one command", "<v1/devices/me/rpc/request/7> 02", "02", "02"},
        {"answers", "<v1/devices/me/rpc/response/+> 00", "00", "00"},
        {"twin", "<v1/devices/me/attributes> 01 <v1/devices/me/attributes/response/+> 01", "01 01",
         "01 01"},
        {"gateway", "<v1/gateway/rpc> 01 <v1/gateway/attributes> 01", "01 01", "01 01"},
        {"of the type", "<plant/7/down/+/x> 01", "01", "01"},
        {"all of the type", "<plant/+/down/#> 01", "01", "01"},
        {"more than the type has", "<plant/#> 01", "87", "80"},
        {"everything", "<#> 01", "87", "80"},
        {"$SYS", "<$SYS/#> 01", "87", "80"},
        {"telemetry of itself", "<v1/devices/me/telemetry> 01", "87", "80"},
        {"one level up", "<v1/devices/me/#> 01", "87", "80"},
        {"shared", "<$share/g/v1/devices/me/attributes> 01", "01", "01"},
        {"shared, of others", "<$share/g/v1/devices/you/attributes> 01", "87", "80"},
        {"good and bad", "<v1/gateway/rpc> 01 <#> 01 <v1/gateway/attributes> 02", "01 87 02",
         "01 80 02"},
        {"eight and two",
         "<v1/gateway/rpc> 00 <v1/gateway/rpc> 00 <v1/gateway/rpc> 00 <v1/gateway/rpc> 00"
         "<v1/gateway/rpc> 00 <v1/gateway/rpc> 00 <v1/gateway/rpc> 00 <v1/gateway/rpc> 01"
         "<v1/gateway/rpc> 00 <v1/gateway/rpc> 00",
         "00 00 00 00 00 00 00 01 97 97", "00 00 00 00 00 00 00 01 80 80"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char packet[1024];
        char want[128];
        char got[256];
        struct rig *r = rig_new();
        struct rig_conn *c = connected(r, CONNECT_5, CONNACK_5);
        (void)snprintf(packet, sizeof(packet), "82 { 0009 00 %s }", rows[i].packet);
        (void)snprintf(want, sizeof(want), "90 { 0009 00 %s }", rows[i].reasons_5);
        rig_send(c, packet);
        bool equal = rig_got(c, want, got, sizeof(got));
        cr_expect(equal, "%s: %s", rows[i].why, got);
        struct rig_conn *old = rig_dial(r, 0, "d2");
        rig_send(old, "10 { <MQTT> 04 02 003c <c2> }");
        buf_clear(&old->out);
        (void)snprintf(packet, sizeof(packet), "82 { 0009 %s }", rows[i].packet);
        (void)snprintf(want, sizeof(want), "90 { 0009 %s }", rows[i].reasons_311);
        rig_send(old, packet);
        equal = rig_got(old, want, got, sizeof(got));
        cr_expect(equal, "%s, 3.1.1: %s", rows[i].why, got);
        rig_free(r);
    }
}

Test(subscribe, fifty_filters_and_no_more)
{
    struct rig *r = rig_new();
    struct rig_conn *c = connected(r, CONNECT_5, CONNACK_5);
    char packet[128];
    for (int i = 0; i < (int)r->all.device_limits.filters_max; i++) {
        (void)snprintf(packet, sizeof(packet), "82 { 0001 00 <plant/%d/down/x> 01 }", i);
        rig_send(c, packet);
        EXPECT_OUT(c, "90 04 0001 00 01");
    }
    rig_send(c, "82 { 0001 00 <plant/99/down/x> 01 }");
    EXPECT_OUT(c, "90 04 0001 00 97");
    rig_send(c, "82 { 0001 00 <plant/7/down/x> 02 }"); /* one that it has */
    EXPECT_OUT(c, "90 04 0001 00 02");
    rig_send(c, "a2 { 0002 00 <plant/7/down/x> <plant/99/down/x> }");
    EXPECT_OUT(c, "b0 05 0002 00 00 11");
    rig_send(c, "82 { 0001 00 <plant/99/down/x> 01 }");
    EXPECT_OUT(c, "90 04 0001 00 01");
    rig_free(r);
}

Test(subscribe, a_kept_session_answers_when_its_filters_are_stored)
{
    struct rig *r = rig_new();
    struct rig_conn *c = connected(r, CONNECT_KEPT, CONNACK_311);
    r->tickets_wait = true;
    rig_send(c, RPC_SUB "32 { " TELEMETRY " 0002 'x' }");
    EXPECT_EVENTS(r, "filters c1 1 stored; publish v1/devices/me/telemetry=x qos1 id2");
    rig_finish(r, 1, ERR_OK);
    EXPECT_OUT(c, "");
    rig_finish(r, 0, ERR_OK);
    EXPECT_OUT(c, "90 03 0001 02 40 02 0002");
    rig_send(c, "a2 { 0003 <v1/devices/me/rpc/request/+> }");
    EXPECT_EVENTS(r, "filters c1 0 stored");
    rig_finish(r, 2, ERR_DB_DOWN); /* not stored: not answered */
    EXPECT_OUT(c, "");
    EXPECT_CLOSED(c);
    rig_free(r);
}
