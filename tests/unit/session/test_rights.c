#include "router.h"

/* What a device may do has changed while its sessions live: see rights.c. */

static struct rig_conn *dial(struct rig *r, uint32_t loop, const char *connect)
{
    struct rig_conn *c = rig_dial(r, loop, NULL);
    rig_send(c, connect);
    EXPECT_OPEN(c);
    buf_clear(&c->out);
    (void)rig_events(r);
    return c;
}

enum { OF_DEVICE, OF_TYPE, NEITHER };

static void change(struct rig *r, int how)
{
    switch (how) {
    case OF_DEVICE:
        session_device_changed(&r->all, 1);
        break;
    case OF_TYPE:
        session_type_changed(&r->all, RIG_TYPE);
        break;
    default:
        session_device_changed(&r->all, 2);
        session_type_changed(&r->all, RIG_TYPE + 1);
    }
    rig_run(r);
}

Test(rights, a_changed_list_is_felt_by_the_next_publish_and_the_next_delivery)
{
    for (int how = OF_DEVICE; how <= NEITHER; how++) {
        for (uint32_t loop = 0; loop < RIG_LOOPS; loop++) {
            struct rig *r = router_new();
            struct rig_conn *c = dial(r, loop, CONNECT_5);
            rig_send(c, "82 { 0001 00 <plant/+/down/x> 01 <v1/gateway/rpc> 01 }"
                        "32 { <plant/1/up/x> 0002 00 '1' }");
            EXPECT_OUT(c, "90 { 0001 00 01 01 } 40 02 0002");
            (void)rig_events(r);
            r->publish_topic = "other/up";
            r->subscribe_topic = "plant/+/down/y";
            change(r, how);
            bool told = how != NEITHER;
            EXPECT_EVENTS(r, told ? "unsubscribed #1 plant/+/down/x by right" : "");
            cr_expect_eq(c->session->kept->filters.count, told ? 1 : 2);
            /* One that was on its way when the subscription ended. */
            cr_expect_eq(router_send(r, 1, "plant/1/down/x", "late", 0, 0), ERR_OK);
            cr_expect_eq(router_send(r, 1, "plant/1/down/x", "late", 1, 0), ERR_OK);
            EXPECT_OUT(c, told ? ""
                               : "30 { <plant/1/down/x> 00 'late' }"
                                 "32 { <plant/1/down/x> 0001 00 'late' }");
            rig_send(c, "32 { <plant/1/up/x> 0003 00 '2' } 32 { <other/up> 0004 00 '3' }");
            EXPECT_EVENTS(r, told ? "route #1 other/up=3 qos1 id4"
                                  : "route #1 plant/1/up/x=2 qos1 id3");
            rig_send(c, "82 { 0005 00 <plant/+/down/x> 01 <plant/1/down/y> 01 }");
            EXPECT_OPEN(c);
            rig_free(r);
        }
    }
}

Test(rights, a_label_makes_its_own_topics_until_it_changes)
{
    struct rig *r = router_new();
    r->publish_topic = "{label.site}/{device}/up";
    r->subscribe_topic = "{label.site}/down/#";
    r->site = "north";
    struct rig_conn *c = dial(r, 0, CONNECT_5);
    rig_send(c, "82 { 0001 00 <north/down/#> 01 <south/down/#> 01 <+/down/#> 01 }"
                "32 { <north/d1/up> 0002 00 'a' } 32 { <south/d1/up> 0003 00 'b' }"
                "32 { <north/d2/up> 0004 00 'c' }");
    EXPECT_OUT(c, "90 { 0001 00 01 87 87 } 40 02 0002 40 { 0003 87 { 1f <not allowed> } }"
                  "40 { 0004 87 { 1f <not allowed> } }");
    static const char *const useless[] = {"", "+", "#", "a/b", "north/", "$SYS", "x$", NULL};
    for (size_t i = 0; i < COUNT_OF(useless); i++) {
        r->site = "north";
        change(r, OF_DEVICE);
        rig_send(c, "82 { 0001 00 <north/down/#> 01 }");
        cr_expect_eq(c->session->kept->filters.count, 1);
        r->site = useless[i];
        change(r, OF_DEVICE);
        cr_expect_eq(c->session->kept->filters.count, 0, "%s", useless[i]);
        buf_clear(&c->out);
        rig_send(c, "82 { 0001 00 <north/down/#> 01 <+/down/#> 01 <#> 01 <a/b/down/#> 01 }"
                    "32 { <north/d1/up> 0002 00 'a' }");
        EXPECT_OUT(c, "90 { 0001 00 87 87 87 87 } 40 { 0002 87 { 1f <not allowed> } }");
    }
    r->site = "south";
    change(r, OF_DEVICE);
    rig_send(c, "82 { 0001 00 <south/down/x> 01 } 32 { <south/d1/up> 0002 00 'a' }");
    EXPECT_OUT(c, "90 { 0001 00 01 } 40 02 0002");
    rig_free(r);
}

Test(rights, a_session_without_a_connection_loses_its_subscriptions_too)
{
    for (int how = OF_DEVICE; how <= OF_TYPE; how++) {
        struct rig *r = router_new();
        struct rig_conn *c = dial(r, 1, CONNECT_5KEPT);
        rig_send(c, "82 { 0001 00 <plant/+/down/x> 01 }");
        rig_hang_up(c);
        (void)rig_events(r);
        cr_expect_eq(router_send(r, 1, "plant/1/down/x", "waits", 1, 1), ERR_OK);
        r->subscribe_topic = "nothing";
        change(r, how);
        EXPECT_EVENTS(r, "unsubscribed #1 plant/+/down/x by right");
        struct rig_conn *again = dial(r, 2, CONNECT_5KEPT);
        cr_expect_eq(again->session->kept->filters.count, 0);
        EXPECT_OUT(again, ""); /* what had waited for it is denied when it would be sent */
        rig_free(r);
    }
}

Test(rights, a_change_while_a_session_is_being_attached_or_claimed_is_not_missed)
{
    for (int mails = 0; mails < 8; mails++) {
        struct rig *r = router_new();
        struct rig_conn *first = dial(r, 0, CONNECT_5KEPT);
        rig_send(first, "82 { 0001 00 <plant/+/down/x> 01 }");
        struct rig_conn *second = rig_dial(r, 2, NULL);
        rig_send_only(second, CONNECT_5KEPT);
        session_device_changed(&r->all, 1);
        r->subscribe_topic = "nothing";
        for (int i = 0; i < mails; i++) {
            (void)rig_mail(r);
        }
        if (mails % 2 == 1) {
            rig_hang_up(second); /* it is parked when its claim has come */
        }
        rig_run(r);
        cr_expect_not_null(strstr(rig_events(r), "unsubscribed #1 plant/+/down/x by right"),
                           "after %d", mails);
        rig_free(r);
    }
}

Test(rights, the_sessions_of_a_device_that_is_gone_end)
{
    struct rig *r = router_new();
    struct rig_conn *here = dial(r, 0, CONNECT_5KEPT);
    struct rig_conn *away = dial(r, 1, "10 { <MQTT> 05 80 003c { 11 00000e10 } <c2> <token-d1> }");
    struct rig_conn *other = dial(r, 0, "10 { <MQTT> 05 82 003c { } <c1> <token-d2> }");
    rig_hang_up(away);
    (void)rig_events(r);
    r->devices_gone = true;
    change(r, OF_DEVICE);
    EXPECT_OUT(here, "e0 01 87");
    EXPECT_CLOSED(here);
    EXPECT_OPEN(other);
    const char *events = rig_events(r);
    cr_expect(strstr(events, "ended #1") != NULL && strstr(events, "ended #2") != NULL, "%s",
              events);
    /* And what comes in as it meanwhile ends as soon as it is attached. */
    r->devices_gone = false;
    r->attach_waits = true;
    struct rig_conn *late = rig_dial(r, 0, NULL);
    rig_send(late, CONNECT_5);
    r->devices_gone = true;
    session_attach_done(&r->all, r->last_ref, ERR_OK);
    rig_run(r);
    EXPECT_CLOSED(late);
    rig_free(r);
}
