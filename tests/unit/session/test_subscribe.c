#include "router.h"

Test(subscriptions, the_router_is_told_and_what_is_retained_follows_the_suback)
{
    static const struct {
        const char *why, *packets, *events;
    } rows[] = {
        {"new", "82 { 0001 { 0b 05 } <a/#> 01 }", "subscribed #1 a/# 01 id5; retained #1 a/#"},
        {"again, changed", "82 { 0001 00 <a> 01 } 82 { 0002 00 <a> 02 }",
         "subscribed #1 a 01 id0; retained #1 a; "
         "subscribed #1 a 02 id0 existed; retained #1 a existed"},
        {"all options", "82 { 0001 00 <a> 0d }", "subscribed #1 a 0d id0; retained #1 a"},
        {"handling 1: only when new", "82 { 0001 00 <a> 11 } 82 { 0002 00 <a> 11 }",
         "subscribed #1 a 11 id0; retained #1 a; subscribed #1 a 11 id0 existed"},
        {"handling 2: never", "82 { 0001 00 <a> 21 }", "subscribed #1 a 21 id0"},
        {"shared: never", "82 { 0001 00 <$share/g/a> 01 }", "subscribed #1 $share/g/a 01 id0"},
        {"three", "82 { 0001 00 <a> 00 <b> 21 <c> 02 }",
         "subscribed #1 a 00 id0; subscribed #1 b 21 id0; subscribed #1 c 02 id0; "
         "retained #1 a; retained #1 c"},
        {"given up", "82 { 0001 00 <a> 21 } a2 { 0002 00 <a> <b> }",
         "subscribed #1 a 21 id0; unsubscribed #1 a"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct rig *r = router_new();
        struct rig_conn *c = router_dial(r, 0, OPEN_5);
        rig_send(c, rows[i].packets);
        const char *events = rig_events(r);
        cr_expect_str_eq(events, rows[i].events, "%s: %s", rows[i].why, events);
        rig_free(r);
    }
}

Test(subscriptions, each_filter_has_its_code)
{
    static const struct {
        enum err answer;
        const char *suback_5, *suback_311;
    } rows[] = {
        {ERR_OK, "90 { 0001 00 01 02 }", "90 { 0001 01 02 }"},
        {ERR_FULL, "90 { 0001 00 97 97 }", "90 { 0001 80 80 }"},
        {ERR_QUOTA, "90 { 0001 00 97 97 }", "90 { 0001 80 80 }"},
        {ERR_NOMEM, "90 { 0001 00 80 80 }", "90 { 0001 80 80 }"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct rig *r = router_new();
        r->subscribed_answer = rows[i].answer;
        struct rig_conn *c = router_dial(r, 0, OPEN_5);
        struct rig_conn *old = router_dial(r, 0, "10 { <MQTT> 04 02 003c <c2> }");
        rig_send(c, "82 { 0001 00 <a> 01 <b> 02 }");
        EXPECT_OUT(c, rows[i].suback_5);
        rig_send(old, "82 { 0001 <a> 01 <b> 02 }");
        EXPECT_OUT(old, rows[i].suback_311);
        cr_expect_eq(c->session->kept->filters.count, rows[i].answer == ERR_OK ? 2 : 0);
        rig_free(r);
    }
}

Test(subscriptions, a_refused_change_leaves_what_was)
{
    struct rig *r = router_new();
    struct rig_conn *c = router_dial(r, 0, OPEN_5);
    rig_send(c, "82 { 0001 { 0b 05 } <a> 01 }");
    r->subscribed_answer = ERR_FULL;
    rig_send(c, "82 { 0002 { 0b 06 } <a> 02 }");
    EXPECT_OUT(c, "90 04 0001 00 01 90 04 0002 00 97");
    const struct session_filter *f = filters_find(&c->session->kept->filters, VIEW("a"));
    cr_expect(f != NULL && f->options == 1 && f->identifier == 5);
    rig_free(r);
}

Test(subscriptions, the_answer_waits_for_the_commit_and_retained_messages_for_the_answer)
{
    struct rig *r = router_new();
    struct rig_conn *c = router_dial(r, 0, OPEN_5KEPT);
    r->tickets_wait = true;
    rig_send(c, "82 { 0001 00 <a> 01 <b> 01 } a2 { 0002 00 <b> }");
    EXPECT_EVENTS(r, "subscribed #1 a 01 id0 outlives; subscribed #1 b 01 id0 outlives; "
                     "unsubscribed #1 b");
    rig_finish(r, 0, ERR_OK);
    EXPECT_OUT(c, "");
    rig_finish(r, 1, ERR_OK);
    EXPECT_OUT(c, "90 05 0001 00 01 01");
    EXPECT_EVENTS(r, "retained #1 a"); /* the other one was given up meanwhile */
    rig_finish(r, 2, ERR_DB_DOWN);
    EXPECT_OUT(c, "e0 01 89");
    EXPECT_CLOSED(c);
    rig_free(r);
}

static void retained_here(void *arg, struct session *s, const struct session_filter *f,
                          bool existed)
{
    struct rig *r = arg;
    struct message *m = router_message(f->filter, NULL, "kept");
    const struct session_target t = {.message = m, .qos = f->options & 3u, .retain = true};
    (void)existed;
    cr_expect_eq(session_send(&r->all, session_number(s), &t), ERR_OK);
    message_drop(m);
}

Test(subscriptions, retained_messages_come_right_behind_the_suback)
{
    struct rig *r = router_new();
    r->all.hooks.retained = retained_here;
    struct rig_conn *c = router_dial(r, 0, OPEN_311);
    rig_send(c, "82 { 0001 <a> 00 <b> 01 } c0 00");
    EXPECT_OUT(c, "90 04 0001 00 01 31 { <a> 'kept' } 33 { <b> 0001 'kept' } d0 00");
    rig_free(r);
}

/* CONNECT, SUBSCRIBE and PUBLISH in one segment, as some clients do. */
Test(subscriptions, all_in_one_segment)
{
    struct rig *r = router_new();
    struct rig_conn *c = rig_dial_on(r, 0, NULL, true);
    rig_send(c, OPEN_311 "82 { 0001 <a> 01 } 32 { <a> 0002 'x' } e0 00");
    EXPECT_OUT(c, "20 02 00 00 90 03 0001 01 40 02 0002");
    EXPECT_EVENTS(r, "opened #1 -/c1 0; attach -/c1 clean; subscribed #1 a 01 id0; retained #1 a; "
                     "route #1 a=x qos1 id2; ended #1");
    rig_free(r);
}
