#include "router.h"

static struct session_stored stored(int64_t number, const char *client_id)
{
    return (struct session_stored){.number = number,
                                   .client_id = client_id,
                                   .expiry_us = 100 * SEC,
                                   .expires_at_us = rig_now_us + 50 * SEC};
}

Test(restore, a_session_is_as_if_its_connection_had_just_gone)
{
    static char filters[][4] = {"a/#", "b"};
    static const uint16_t received[] = {7, 9};
    for (uint32_t loop = 0; loop < RIG_LOOPS; loop++) {
        struct rig *r = router_new();
        const struct session_filter list[] = {{.filter = filters[0], .options = 1},
                                              {.filter = filters[1], .options = 2}};
        struct session_stored s = stored(42, "c1");
        s.filters = list;
        s.filter_count = 2;
        s.received = received;
        s.received_count = 2;
        cr_assert_eq(sessions_restore(&r->all, &s), ERR_OK);
        cr_expect_eq(sessions_restore(&r->all, &s), ERR_EXISTS);
        /* Its queue: one after PUBREC, one that may have been sent. */
        struct message *m = router_message("a/b", NULL, "x");
        atomic_store(&m->stored, true);
        struct session_target t = {
            .message = m, .qos = 2, .seq = 65537, .again = true, .released = true};
        cr_expect_eq(session_send(&r->all, 42, &t), ERR_OK);
        t = (struct session_target){.message = m, .qos = 1, .seq = 65538, .again = true};
        cr_expect_eq(session_send(&r->all, 42, &t), ERR_OK);
        message_drop(m);
        EXPECT_EVENTS(r, "");
        struct rig_conn *c = rig_dial_on(r, loop, NULL, true);
        rig_send(c, OPEN_5KEPT);
        EXPECT_OUT(c, "20 { 01 00 { " TERMS_OPEN " } } 62 02 0002 3a { <a/b> 0003 00 'x' }");
        cr_expect_eq(number_of(c), 42);
        cr_expect_eq(c->session->kept->filters.count, 2);
        (void)rig_events(r);
        rig_send(c, "70 02 0002 3c { <a> 0007 00 'x' } 62 02 0007 62 02 0008");
        EXPECT_OUT(c, "50 02 0007 70 02 0007 70 03 0008 92");
        EXPECT_EVENTS(r, "done #42 seq65537 ok; released #42 id7");
        /* Fresh numbers are larger. */
        struct rig_conn *other = rig_dial_on(r, loop, NULL, true);
        rig_send(other, "10 { <MQTT> 04 02 003c <c2> }");
        cr_expect_eq(number_of(other), 43);
        rig_free(r);
    }
}

Test(restore, a_session_expires_when_it_would_have_and_a_clean_start_ends_it)
{
    struct rig *r = router_new();
    struct session_stored s = stored(5, "c1");
    cr_assert_eq(sessions_restore(&r->all, &s), ERR_OK);
    s = stored(6, "c2");
    cr_assert_eq(sessions_restore(&r->all, &s), ERR_OK);
    struct rig_conn *c = rig_dial_on(r, 0, NULL, true);
    rig_send(c, "10 { <MQTT> 04 02 003c <c2> }");
    EXPECT_OUT(c, "20 02 00 00");
    EXPECT_EVENTS(r, "ended #6; opened #7 -/c2 0; attach -/c2 clean");
    rig_turn(r, 49 * SEC);
    EXPECT_EVENTS(r, "");
    rig_turn(r, 2 * SEC);
    EXPECT_EVENTS(r, "ended #5");
    rig_free(r);
}

Test(restore, what_the_device_may_no_longer_have_is_given_up)
{
    static char filters[][16] = {"v1/gateway/rpc", "other/#", "plant/+/down/#"};
    struct rig *r = router_new();
    const struct session_filter list[] = {
        {.filter = filters[0]}, {.filter = filters[1]}, {.filter = filters[2]}};
    struct auth_identity d1 = {0};
    cr_assert_eq(rig_identity(r, "d1", &d1), ERR_OK);
    struct session_stored s = stored(5, "c1");
    s.device = d1.device;
    s.filters = list;
    s.filter_count = 3;
    cr_assert_eq(sessions_restore(&r->all, &s), ERR_OK);
    EXPECT_EVENTS(r, "unsubscribed #5 other/# by right");
    device_drop(d1.device);
    (void)router_send(r, 5, "other/x", "x", 1, 1); /* and never delivered */
    r->tickets_wait = true;
    struct rig_conn *c = rig_dial(r, 1, "d1");
    rig_send(c, "10 { <MQTT> 04 00 003c <c1> }");
    EXPECT_OUT(c, "20 02 01 00");
    EXPECT_EVENTS(r, "attach d1/c1 persistent present; opened #5 d1/c1 3600 resumed; "
                     "done #5 seq1 not allowed");
    cr_expect_eq(c->session->kept->filters.count, 2);
    rig_free(r);
}

Test(restore, a_kick_reaches_it)
{
    struct rig *r = router_new();
    struct auth_identity d1 = {0};
    cr_assert_eq(rig_identity(r, "d1", &d1), ERR_OK);
    struct session_stored s = stored(5, "c1");
    s.device = d1.device;
    cr_assert_eq(sessions_restore(&r->all, &s), ERR_OK);
    device_drop(d1.device);
    session_kick(&r->all, 1, 0);
    rig_run(r);
    EXPECT_EVENTS(r, "ended #5");
    cr_expect_eq(r->all.book.numbers.count, 0);
    rig_free(r);
}
