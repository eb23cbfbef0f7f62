#include "router.h"

static struct session_target target(struct message *m, int qos, int64_t seq)
{
    return (struct session_target){.message = m, .qos = (uint8_t)qos, .seq = seq};
}

Test(target, the_message_as_its_publisher_made_it_for_both_versions)
{
    static const uint32_t ids[] = {7, 200};
    struct rig *r = router_new();
    struct rig_conn *old = router_dial(r, 0, OPEN_311);
    struct rig_conn *new = router_dial(r, 1, "10 { <MQTT> 05 02 003c { } <c2> }");
    struct message *m = router_message("a/b", "01 01 03 <text> 26 <k> <v>", "x");
    m->expires_at_us = rig_now_us + 1500000;
    struct session_target t = target(m, 1, 0);
    t.identifiers = ids;
    t.identifier_count = 2;
    t.retain = true;
    cr_expect_eq(session_send(&r->all, number_of(old), &t), ERR_OK);
    cr_expect_eq(session_send(&r->all, number_of(new), &t), ERR_OK);
    rig_run(r);
    EXPECT_OUT(old, "33 { <a/b> 0001 'x' }");
    EXPECT_OUT(new,
               "33 { <a/b> 0001 { 01 01 03 <text> 26 <k> <v> 02 00000002 0b 07 0b c8 01 } 'x' }");
    message_drop(m);
    rig_free(r);
}

Test(target, qos_0_goes_straight_out_and_never_waits_for_the_absent)
{
    for (uint32_t loop = 0; loop < 2; loop++) {
        struct rig *r = router_new();
        struct rig_conn *c = router_dial(r, loop, OPEN_KEPT);
        int64_t number = number_of(c);
        cr_expect_eq(router_send(r, number, "a", "x", 0, 0), ERR_OK);
        EXPECT_OUT(c, "30 { <a> 'x' }");
        cr_expect(list_empty(&c->session->kept->live));
        rig_hang_up(c);
        cr_expect_eq(router_send(r, number, "a", "y", 0, 0), ERR_OK);
        struct rig_conn *again = rig_dial_on(r, 0, NULL, true);
        rig_send(again, OPEN_KEPT);
        EXPECT_OUT(again, "20 02 01 00");
        rig_free(r);
    }
}

Test(target, a_number_that_is_gone_is_not_found)
{
    struct rig *r = router_new();
    struct rig_conn *c = router_dial(r, 0, OPEN_311);
    int64_t number = number_of(c);
    cr_expect_eq(router_send(r, number + 1, "a", "x", 1, 1), ERR_NOT_FOUND);
    rig_hang_up(c);
    EXPECT_EVENTS(r, "ended #1");
    cr_expect_eq(router_send(r, number, "a", "x", 1, 1), ERR_NOT_FOUND);
    EXPECT_EVENTS(r, "");
    rig_free(r);
}

/* What finds the connection full waits for room, in order, and for nothing else. */
Test(target, qos_0_waits_for_room_on_the_connection)
{
    struct rig *r = router_new();
    struct rig_conn *c = router_dial(r, 0, OPEN_311);
    char large[40000];
    memset(large, 'x', sizeof(large));
    large[sizeof(large) - 1] = '\0';
    int64_t number = number_of(c);
    for (int i = 0; i < 2; i++) {
        (void)router_send(r, number, "a", large, 0, 0);
    }
    cr_expect_gt(c->out.len, 2 * 40000);
    (void)router_send(r, number, "a", "1", 0, 0);
    (void)router_send(r, number, "a", "2", 1, 0);
    (void)router_send(r, number, "a", "3", 0, 0);
    cr_expect(c->full, "asked to be told");
    cr_expect_lt(c->out.len, 2 * 40000 + 20);
    rig_drain(c);
    EXPECT_OUT(c, "32 { <a> 0001 '2' } 30 { <a> '1' } 30 { <a> '3' }");
    rig_free(r);
}

Test(target, the_window_holds_and_order_is_kept)
{
    struct rig *r = router_new();
    struct rig_conn *c = router_dial(r, 0, "10 { <MQTT> 05 02 003c { 21 0002 } <c1> }");
    for (int i = 1; i <= 4; i++) {
        char payload[2] = {(char)('0' + i), '\0'};
        (void)router_send(r, number_of(c), "a", payload, 1 + i % 2, 0);
    }
    (void)router_send(r, number_of(c), "a", "live", 0, 0);
    EXPECT_OUT(c, "34 { <a> 0001 00 '1' } 32 { <a> 0002 00 '2' } 30 { <a> 00 'live' }");
    rig_send(c, "40 02 0002");
    EXPECT_OUT(c, "34 { <a> 0003 00 '3' }");
    rig_send(c, "50 02 0001");
    EXPECT_OUT(c, "62 02 0001");
    rig_send(c, "70 02 0001");
    EXPECT_OUT(c, "32 { <a> 0004 00 '4' }");
    rig_free(r);
}

Test(target, what_is_not_committed_waits_and_those_behind_it_but_not_qos_0)
{
    for (uint32_t loop = 0; loop < 2; loop++) {
        struct rig *r = router_new();
        struct rig_conn *c = router_dial(r, loop, OPEN_KEPT);
        int64_t number = number_of(c);
        struct message *m = router_message("a", NULL, "first");
        const struct session_target t = target(m, 1, 1);
        cr_expect_eq(session_send(&r->all, number, &t), ERR_OK);
        (void)router_send(r, number, "a", "second", 1, 2);
        (void)router_send(r, number, "a", "live", 0, 0);
        EXPECT_OUT(c, "30 { <a> 'live' }");
        atomic_store(&m->stored, true);
        session_stored_now(&r->all, number);
        rig_run(r);
        EXPECT_OUT(c, "32 { <a> 0001 'first' } 32 { <a> 0002 'second' }");
        message_drop(m);
        rig_free(r);
    }
}

Test(target, each_stored_one_ends_once_with_how_it_ended)
{
    struct rig *r = router_new();
    struct rig_conn *c =
        router_dial(r, 0, "10 { <MQTT> 05 00 003c { 11 00000e10 27 00000014 } <c1> }");
    int64_t n = number_of(c);
    (void)router_send(r, n, "a", "ack", 1, 1);
    (void)router_send(r, n, "a", "refused", 1, 2);
    (void)router_send(r, n, "a", "much too large for it", 1, 3);
    (void)router_send(r, n, "a", "comp", 2, 4);
    (void)router_send(r, n, "a", "rec", 2, 5);
    struct message *m = router_message("a", NULL, "late");
    m->expires_at_us = rig_now_us + 3 * SEC; /* never committed meanwhile */
    const struct session_target t = target(m, 1, 6);
    cr_expect_eq(session_send(&r->all, n, &t), ERR_OK);
    message_drop(m);
    EXPECT_EVENTS(r, "done #1 seq3 over a limit");
    rig_send(c, "40 02 0001 40 03 0002 80 50 02 0004 70 02 0004 50 03 0005 80");
    EXPECT_EVENTS(r, "done #1 seq1 ok; done #1 seq2 not allowed; received #1 seq4; "
                     "done #1 seq5 not allowed");
    rig_send(c, "70 02 0004"); /* PUBREL had not left when the first one came */
    EXPECT_EVENTS(r, "done #1 seq4 ok");
    rig_turn(r, 4 * SEC);
    EXPECT_EVENTS(r, "done #1 seq6 expired");
    (void)router_send(r, n, "a", "left", 1, 7);
    rig_hang_up(c);
    EXPECT_EVENTS(r, "parted #1 3600");
    rig_turn(r, 3601 * SEC);
    EXPECT_EVENTS(r, "done #1 seq7 closed; ended #1");
    rig_free(r);
}

Test(target, packet_ids_follow_from_seq)
{
    struct rig *r = router_new();
    struct rig_conn *c = router_dial(r, 0, OPEN_KEPT);
    int64_t n = number_of(c);
    (void)router_send(r, n, "a", "x", 1, 65535);
    (void)router_send(r, n, "a", "y", 1, 65536);
    EXPECT_OUT(c, "32 { <a> ffff 'x' } 32 { <a> 0001 'y' }");
    (void)router_send(r, n, "a", "z", 1, 2 * 65535); /* while the one with its id is under way */
    (void)router_send(r, n, "a", "w", 1, 2 * 65535 + 2);
    EXPECT_OUT(c, "");
    rig_send(c, "40 02 ffff");
    EXPECT_OUT(c, "32 { <a> ffff 'z' } 32 { <a> 0002 'w' }");
    /* What is not stored keeps out of their way. */
    (void)router_send(r, n, "a", "v", 1, 0);
    EXPECT_OUT(c, "32 { <a> fffe 'v' }");
    rig_free(r);
}

Test(target, packet_ids_that_are_under_way_are_skipped)
{
    struct rig *r = router_new();
    struct rig_conn *c = router_dial(r, 0, OPEN_311);
    (void)router_send(r, number_of(c), "a", "first", 1, 0);
    c->session->kept->last_packet_id = 65534;
    (void)router_send(r, number_of(c), "a", "x", 1, 0);
    (void)router_send(r, number_of(c), "a", "y", 1, 0);
    EXPECT_OUT(c, "32 { <a> 0001 'first' } 32 { <a> ffff 'x' } 32 { <a> 0002 'y' }");
    rig_free(r);
}

Test(target, a_full_queue_lets_the_oldest_go_qos_0_first)
{
    struct rig *r = router_new();
    struct rig_conn *c = router_dial(r, 0, OPEN_KEPT);
    int64_t n = number_of(c);
    rig_hang_up(c);
    (void)rig_events(r);
    int64_t dropped = counter_get(COUNTER_ROUTED_DROPPED);
    for (int i = 1; i <= 50; i++) {
        cr_expect_eq(router_send(r, n, "a", "x", 1, i), ERR_OK);
    }
    cr_expect_eq(router_send(r, n, "a", "x", 1, 51), ERR_FULL);
    EXPECT_EVENTS(r, "done #1 seq1 queue is full");
    cr_expect_eq(counter_get(COUNTER_ROUTED_DROPPED) - dropped, 1);
    r->attach_waits = true; /* a connection that is not ready takes QoS 0 */
    struct rig_conn *again = rig_dial_on(r, 0, NULL, true);
    rig_send(again, OPEN_KEPT);
    cr_expect_eq(router_send(r, n, "a", "live", 0, 0), ERR_FULL);
    cr_expect_eq(router_send(r, n, "a", "x", 1, 52), ERR_FULL);
    EXPECT_EVENTS(r, "opened #1 -/c1 3600 resumed; attach -/c1 persistent present; "
                     "done #1 seq2 queue is full");
    cr_expect(list_empty(&again->session->kept->live));
    rig_free(r);
}

Test(target, bytes_are_bounded_too_but_one_message_may_be_larger)
{
    struct rig *r = router_new();
    struct rig_conn *c = router_dial(r, 0, OPEN_KEPT);
    int64_t n = number_of(c);
    rig_hang_up(c);
    (void)rig_events(r);
    static char large[70000];
    memset(large, 'x', sizeof(large) - 1);
    (void)router_send(r, n, "a", "small", 1, 1);
    cr_expect_eq(router_send(r, n, "a", large, 1, 2), ERR_FULL);
    EXPECT_EVENTS(r, "done #1 seq1 queue is full");
    cr_expect_eq(router_send(r, n, "a", "small", 1, 3), ERR_FULL);
    EXPECT_EVENTS(r, "done #1 seq2 queue is full");
    struct rig_conn *again = rig_dial_on(r, 0, NULL, true);
    rig_send(again, OPEN_KEPT);
    EXPECT_OUT(again, "20 02 01 00 32 { <a> 0003 'small' }");
    rig_free(r);
}

Test(target, commands_never_give_way)
{
    struct rig *r = router_new();
    struct rig_conn *c = rig_dial(r, 0, "d1");
    rig_send(c, "10 { <MQTT> 04 00 003c <c1> } 82 { 0001 <v1/gateway/rpc> 01 }"
                "82 { 0002 <plant/+/down/#> 01 }");
    buf_clear(&c->out);
    int64_t n = number_of(c);
    struct session_ref ref = session_ref(c->session);
    rig_hang_up(c);
    struct session_delivery *d = session_delivery_new(VIEW("v1/gateway/rpc"), VIEW("{}"), 1);
    d->delivery_id = 7;
    session_deliver(&r->all, ref, d);
    rig_run(r);
    for (int i = 1; i <= 60; i++) {
        (void)router_send(r, n, "plant/1/down/x", "x", 1, i);
    }
    (void)rig_events(r);
    struct rig_conn *again = rig_dial(r, 0, "d1");
    rig_send(again, "10 { <MQTT> 04 00 003c <c1> }");
    static const char command[] = "v1/gateway/rpc\xff\xff{}";
    cr_expect_not_null(memmem(again->out.data, again->out.len, command, sizeof(command) - 1));
    rig_free(r);
}

Test(target, a_device_gets_only_what_its_type_may_subscribe)
{
    struct rig *r = router_new();
    struct rig_conn *c = connected(r, CONNECT_KEPT, CONNACK_311);
    int64_t n = number_of(c);
    /* Not even on its own topics: those are the server's. */
    (void)router_send(r, n, "v1/devices/me/rpc/request/1", "forged", 0, 0);
    (void)router_send(r, n, "plant/1/up/x", "other", 0, 0);
    (void)router_send(r, n, "v1/gateway/rpc", "forged", 1, 1);
    EXPECT_OUT(c, "");
    EXPECT_EVENTS(r, "done #1 seq1 not allowed");
    (void)router_send(r, n, "plant/1/down/x", "good", 0, 0);
    EXPECT_OUT(c, "30 { <plant/1/down/x> 'good' }");
    rig_free(r);
}

Test(target, what_waits_expires_and_what_is_sent_says_what_is_left)
{
    struct rig *r = router_new();
    struct rig_conn *c = router_dial(r, 0, OPEN_5KEPT);
    int64_t n = number_of(c);
    rig_hang_up(c);
    for (int i = 1; i <= 2; i++) {
        struct message *m = router_message("a", NULL, "x");
        m->expires_at_us = rig_now_us + i * 10 * SEC;
        atomic_store(&m->stored, true);
        const struct session_target t = target(m, 1, i);
        (void)!session_send(&r->all, n, &t);
        message_drop(m);
    }
    (void)rig_events(r);
    rig_turn(r, 12 * SEC);
    EXPECT_EVENTS(r, "done #1 seq1 expired");
    struct rig_conn *again = rig_dial_on(r, 0, NULL, true);
    rig_send(again, OPEN_5KEPT);
    buf_cut(&again->out, mqtt_bytes_of("20 { 01 00 { " TERMS_OPEN " } }").len);
    EXPECT_OUT(again, "32 { <a> 0002 { 02 00000008 } 'x' }");
    rig_free(r);
}

Test(target, after_a_reconnect_all_is_there_once_and_in_order)
{
    for (uint32_t from = 0; from < RIG_LOOPS; from++) {
        for (uint32_t to = 0; to < RIG_LOOPS; to++) {
            struct rig *r = router_new();
            struct rig_conn *c =
                router_dial(r, from, "10 { <MQTT> 05 00 003c { 11 00000e10 21 0002 } <c1> }");
            int64_t n = number_of(c);
            for (int i = 1; i <= 3; i++) {
                (void)router_send(r, n, "a", "x", i == 2 ? 2 : 1, i);
            }
            EXPECT_OUT(c, "32 { <a> 0001 00 'x' } 34 { <a> 0002 00 'x' }");
            rig_hang_up(c);
            (void)router_send(r, n, "a", "x", 1, 4);
            struct rig_conn *again = rig_dial_on(r, to, NULL, true);
            rig_send(again, OPEN_5KEPT);
            EXPECT_OUT(again, "20 { 01 00 { " TERMS_OPEN " } }"
                              "3a { <a> 0001 00 'x' } 3c { <a> 0002 00 'x' }"
                              "32 { <a> 0003 00 'x' } 32 { <a> 0004 00 'x' }");
            cr_expect_eq(number_of(again), n);
            rig_free(r);
        }
    }
}

/* A message after each step of a takeover: none is lost, none overtakes. */
Test(target, nothing_is_lost_while_a_session_changes_hands)
{
    for (uint32_t from = 0; from < RIG_LOOPS; from++) {
        for (uint32_t to = 0; to < RIG_LOOPS; to++) {
            struct rig *r = router_new();
            struct rig_conn *c =
                router_dial(r, from, "10 { <MQTT> 05 00 003c { 11 00000e10 } <c1> }");
            int64_t n = number_of(c);
            rig_hang_up(c);
            struct rig_conn *next[3];
            int64_t seq = 0;
            for (uint32_t i = 0; i < 3; i++) {
                next[i] = rig_dial_on(r, (to + i) % RIG_LOOPS, NULL, true);
                rig_send_only(next[i], OPEN_5KEPT);
                struct message *m = router_message("a", NULL, "x");
                atomic_store(&m->stored, true);
                const struct session_target t = target(m, 1, ++seq);
                cr_expect_eq(session_send(&r->all, n, &t), ERR_OK);
                message_drop(m);
            }
            bool moved = true;
            while (moved) {
                moved = rig_mail(r);
                struct message *m = router_message("a", NULL, "x");
                atomic_store(&m->stored, true);
                const struct session_target t = target(m, 1, ++seq);
                cr_expect_eq(session_send(&r->all, n, &t), ERR_OK);
                message_drop(m);
                if (seq > 40) {
                    break;
                }
            }
            rig_run(r);
            EXPECT_OPEN(next[2]);
            struct view left = buf_view(&next[2]->out);
            left = view_skip(left, mqtt_bytes_of("20 { 01 00 { " TERMS_OPEN " } }").len);
            for (int64_t i = 1; i <= seq; i++) {
                struct mqtt_frame f;
                cr_assert_eq(mqtt_frame(left, UINT32_MAX, &f), ERR_OK, "%u -> %u: %lld of %lld",
                             from, to, (long long)i, (long long)seq);
                cr_expect_eq(f.body.data[3] << 8 | f.body.data[4], i, "%u -> %u", from, to);
                left = view_skip(left, f.total);
            }
            cr_expect_eq(left.len, 0);
            rig_free(r);
        }
    }
}

Test(target, a_clean_start_ends_the_number_and_what_was_for_it)
{
    for (uint32_t to = 0; to < RIG_LOOPS; to++) {
        struct rig *r = router_new();
        struct rig_conn *c = router_dial(r, 1, OPEN_KEPT);
        rig_hang_up(c);
        (void)router_send(r, 1, "a", "x", 1, 1);
        (void)rig_events(r);
        struct rig_conn *clean = rig_dial_on(r, to, NULL, true);
        rig_send_only(clean, OPEN_311);
        (void)rig_mail(r); /* home knows the claimant, the holder does not */
        struct message *m = router_message("a", NULL, "y");
        const struct session_target t = target(m, 1, 2);
        cr_expect_eq(session_send(&r->all, 1, &t), ERR_OK);
        message_drop(m);
        rig_run(r);
        const char *events = rig_events(r);
        cr_expect_not_null(strstr(events, "done #1 seq1 closed"), "%s", events);
        cr_expect_not_null(strstr(events, "done #1 seq2 closed"), "%s", events);
        cr_expect_not_null(strstr(events, "ended #1"), "%s", events);
        cr_expect_not_null(strstr(events, "opened #2 -/c1 0"), "%s", events);
        EXPECT_OUT(clean, "20 02 00 00");
        rig_free(r);
    }
}

Test(target, pubrel_leaves_after_its_pubrec_is_stored_and_in_order)
{
    struct rig *r = router_new();
    struct rig_conn *c = router_dial(r, 0, OPEN_5KEPT);
    int64_t n = number_of(c);
    (void)router_send(r, n, "a", "x", 2, 1);
    (void)router_send(r, n, "a", "y", 2, 0);
    EXPECT_OUT(c, "34 { <a> 0001 00 'x' } 34 { <a> ffff 00 'y' }");
    r->tickets_wait = true;
    rig_send(c, "50 02 0001 50 02 ffff 50 02 0001");
    EXPECT_EVENTS(r, "received #1 seq1");
    EXPECT_OUT(c, "");
    /* A publish of the same client does not wait for that, nor the other way round. */
    rig_send(c, "32 { <b> 0009 00 'z' }");
    rig_finish(r, 1, ERR_OK);
    EXPECT_OUT(c, "40 02 0009");
    rig_finish(r, 0, ERR_OK);
    EXPECT_OUT(c, "62 02 0001 62 02 ffff");
    (void)rig_events(r);
    rig_send(c, "50 02 0001");
    EXPECT_OUT(c, "62 02 0001");
    rig_send(c, "70 02 ffff 70 02 0001");
    EXPECT_EVENTS(r, "done #1 seq1 ok");
    rig_free(r);
}

Test(target, a_pubrec_whose_commit_was_not_seen_is_told_again)
{
    struct rig *r = router_new();
    struct rig_conn *c = router_dial(r, 0, OPEN_5KEPT);
    (void)router_send(r, number_of(c), "a", "x", 2, 1);
    buf_clear(&c->out);
    r->tickets_wait = true;
    rig_send(c, "50 02 0001");
    rig_hang_up(c);
    rig_finish(r, 0, ERR_OK);
    (void)rig_events(r);
    r->received_answer = ERR_FULL;
    struct rig_conn *again = rig_dial_on(r, 0, NULL, true);
    rig_send(again, OPEN_5KEPT);
    EXPECT_OUT(again, "20 { 01 00 { " TERMS_OPEN " } }");
    EXPECT_EVENTS(r, "opened #1 -/c1 3600 resumed; attach -/c1 persistent present; "
                     "received #1 seq1");
    r->received_answer = ERR_OK;
    session_resume_all(&r->all);
    rig_run(r);
    EXPECT_EVENTS(r, "received #1 seq1");
    EXPECT_OUT(again, "");
    rig_finish(r, 1, ERR_OK);
    EXPECT_OUT(again, "62 02 0001");
    rig_free(r);
}

Test(target, a_full_router_holds_a_pubrec)
{
    struct rig *r = router_new();
    struct rig_conn *c = router_dial(r, 0, OPEN_KEPT);
    (void)router_send(r, number_of(c), "a", "x", 2, 1);
    buf_clear(&c->out);
    r->received_answer = ERR_FULL;
    rig_send(c, "50 02 0001");
    EXPECT_OUT(c, "");
    r->received_answer = ERR_OK;
    session_resume_all(&r->all);
    rig_run(r);
    EXPECT_OUT(c, "62 02 0001");
    rig_free(r);
}

Test(target, aliases_go_to_the_first_topics_and_stay_theirs)
{
    struct rig *r = router_new();
    struct rig_conn *c = router_dial(r, 0, "10 { <MQTT> 05 02 003c { 22 0002 } <c1> }");
    int64_t n = number_of(c);
    static const char *const topics[] = {"long/one",   "long/two", "long/one",
                                         "long/three", "long/two", "abc"};
    for (size_t i = 0; i < COUNT_OF(topics); i++) {
        (void)router_send(r, n, topics[i], "x", 0, 0);
    }
    EXPECT_OUT(c, "30 { <long/one> { 23 0001 } 'x' } 30 { <long/two> { 23 0002 } 'x' }"
                  "30 { <> { 23 0001 } 'x' } 30 { <long/three> 00 'x' }"
                  "30 { <> { 23 0002 } 'x' } 30 { <abc> 00 'x' }");
    rig_free(r);
}

static void will_to_itself(void *arg, const struct session_will *w)
{
    struct rig *r = arg;
    for (int qos = 0; qos < 3; qos++) {
        const struct session_target t = target(w->message, qos, 0);
        cr_expect_eq(session_send(&r->all, w->number, &t), ERR_OK);
    }
    message_drop(w->message);
}

Test(target, a_session_that_ends_may_be_sent_its_own_will)
{
    for (int kept = 0; kept < 2; kept++) {
        struct rig *r = router_new();
        r->all.hooks.will = will_to_itself;
        struct rig_conn *c = router_dial(r, 0,
                                         kept ? "10 { <MQTT> 04 04 003c <c1> <a> <gone> }"
                                              : "10 { <MQTT> 04 06 003c <c1> <a> <gone> }");
        rig_hang_up(c);
        struct rig_conn *again = rig_dial_on(r, 0, NULL, true);
        rig_send(again, OPEN_KEPT);
        EXPECT_OUT(again, kept ? "20 02 01 00 32 { <a> ffff 'gone' } 34 { <a> fffe 'gone' }"
                               : "20 02 00 00");
        rig_free(r);
    }
}
