#include "router.h"

/* <c1>, will on "a" with payload "gone"; of the open listener. */
Test(will, is_told_with_its_properties_and_never_later_than_its_session_ends)
{
    static const struct {
        const char *why, *connect, *end; /* NULL: lost */
        const char *events;
    } rows[] = {
        {"3.1.1, lost", "10 { <MQTT> 04 06 003c <c1> <a> <gone> }", NULL,
         "will #1 - a=gone qos0 delay0; ended #1"},
        {"3.1.1, QoS 2, retained", "10 { <MQTT> 04 36 003c <c1> <a> <gone> }", NULL,
         "will #1 - a=gone qos2 retain delay0; ended #1"},
        {"3.1.1, disconnect", "10 { <MQTT> 04 06 003c <c1> <a> <gone> }", "e0 00", "ended #1"},
        {"disconnect with will", "10 { <MQTT> 05 06 003c { } <c1> { } <a> <gone> }", "e0 01 04",
         "will #1 - a=gone qos0 delay0; ended #1"},
        {"any other reason is an end with will", "10 { <MQTT> 05 06 003c { } <c1> { } <a> <gone> }",
         "e0 01 81", "will #1 - a=gone qos0 delay0; ended #1"},
        {"protocol error", "10 { <MQTT> 05 06 003c { } <c1> { } <a> <gone> }", "d0 00",
         "will #1 - a=gone qos0 delay0; ended #1"},
        {"properties are handed on, delay and expiry are the server's",
         "10 { <MQTT> 05 06 003c { } <c1> { 18 00000000 02 0000001e 01 01 03 <t> 08 <r> 09 <c>"
         "26 <k> <v> } <a> <gone> }",
         NULL,
         "will #1 - a=gone qos0 delay0 expiry30 01010300017408000172090001632600016b000176; "
         "ended #1"},
        {"a session that ends at once ends the delay",
         "10 { <MQTT> 05 06 003c { } <c1> { 18 00000014 } <a> <gone> }", NULL,
         "will #1 - a=gone qos0 delay0; ended #1"},
        {"delay", "10 { <MQTT> 05 06 003c { 11 00000064 } <c1> { 18 00000014 } <a> <gone> }", NULL,
         "will #1 - a=gone qos0 delay20; parted #1 100"},
        {"delay longer than the session",
         "10 { <MQTT> 05 06 003c { 11 00000064 } <c1> { 18 00000190 } <a> <gone> }", NULL,
         "will #1 - a=gone qos0 delay100; parted #1 100"},
        {"expiry set to 0 at the end",
         "10 { <MQTT> 05 06 003c { 11 00000064 } <c1> { 18 00000014 } <a> <gone> }",
         "e0 { 04 { 11 00000000 } }", "will #1 - a=gone qos0 delay0; ended #1"},
        {"expiry set to 10 at the end",
         "10 { <MQTT> 05 06 003c { 11 00000064 } <c1> { 18 00000014 } <a> <gone> }",
         "e0 { 04 { 11 0000000a } }", "will #1 - a=gone qos0 delay10; parted #1 10"},
        {"expiry that was 0 cannot grow", "10 { <MQTT> 05 06 003c { } <c1> { } <a> <gone> }",
         "e0 { 04 { 11 00000001 } }", "will #1 - a=gone qos0 delay0; ended #1"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct rig *r = router_new();
        struct rig_conn *c = router_dial(r, 0, rows[i].connect);
        if (rows[i].end == NULL) {
            rig_hang_up(c);
        } else {
            rig_send(c, rows[i].end);
        }
        const char *events = rig_events(r);
        cr_expect_str_eq(events, rows[i].events, "%s: %s", rows[i].why, events);
        rig_free(r);
    }
}

Test(will, every_end_that_the_client_did_not_ask_for_has_it)
{
    static const char will_of_d1[] =
        "10 { <MQTT> 04 86 0001 <c1> <plant/1/up/x> <gone> <token-d1> }";
    for (int how = 0; how < 4; how++) {
        struct rig *r = router_new();
        struct rig_conn *c = rig_dial(r, 0, NULL);
        rig_send(c, will_of_d1);
        (void)rig_events(r);
        if (how == 0) {
            rig_turn(r, 2 * SEC); /* keep alive */
        } else if (how == 1) {
            session_kick(&r->all, 1, 0);
        } else if (how == 2) {
            struct rig_conn *next = rig_dial(r, 0, NULL);
            rig_send(next, CONNECT_311);
        } else {
            session_drain(c->session);
        }
        rig_run(r);
        EXPECT_CLOSED(c);
        const char *events = rig_events(r);
        cr_expect_eq(strncmp(events, "will #1 d1 plant/1/up/x=gone qos0 delay0; ended #1", 50), 0,
                     "%d: %s", how, events);
        rig_free(r);
    }
}

Test(will, a_refused_or_unfinished_connect_has_none)
{
    struct rig *r = router_new();
    r->attach_status = ERR_DB_DOWN;
    struct rig_conn *c = rig_dial(r, 0, NULL);
    rig_send(c, "10 { <MQTT> 04 86 003c <c1> <plant/1/up/x> <gone> <token-d1> }");
    EXPECT_CLOSED(c);
    r->attach_status = ERR_OK;
    r->attach_waits = true;
    struct rig_conn *gone = rig_dial(r, 0, NULL);
    rig_send(gone, "10 { <MQTT> 04 86 003c <c1> <plant/1/up/x> <gone> <token-d1> }");
    rig_hang_up(gone);
    session_attach_done(&r->all, r->last_ref, ERR_OK);
    rig_run(r);
    cr_expect_null(strstr(rig_events(r), "will"));
    rig_free(r);
}

Test(will, on_the_device_api_it_is_the_devices_own_message)
{
    struct rig *r = router_new();
    struct rig_conn *c = rig_dial(r, 0, NULL);
    rig_send(c, "10 { <MQTT> 05 86 003c { 11 00000064 } <c1> { 18 00000014 } " TELEMETRY
                " <gone> <token-d1> }");
    (void)rig_events(r);
    struct counter_balance before = counter_balance();
    rig_hang_up(c);
    EXPECT_EVENTS(r, "publish v1/devices/me/telemetry=gone qos0 id0; parted #1 100");
    cr_expect_eq(counter_balance().received - before.received, 1);
    rig_free(r);
}

/* A session that is taken over lives on, so a delayed will is not due; without a delay it is. */
Test(will, taken_over)
{
    static const struct {
        const char *first, *second, *events;
    } rows[] = {
        {"10 { <MQTT> 05 04 003c { 11 00000064 } <c1> { 18 00000014 } <a> <gone> }", OPEN_5KEPT,
         "will #1 - a=gone qos0 delay20; parted #1 100; opened #1 -/c1 3600 resumed; "
         "attach -/c1 persistent present"},
        {"10 { <MQTT> 05 04 003c { 11 00000064 } <c1> { } <a> <gone> }", OPEN_5KEPT,
         "will #1 - a=gone qos0 delay0; parted #1 100; opened #1 -/c1 3600 resumed; "
         "attach -/c1 persistent present"},
        {"10 { <MQTT> 05 04 003c { 11 00000064 } <c1> { 18 00000014 } <a> <gone> }", OPEN_5,
         "will #1 - a=gone qos0 delay0; ended #1; opened #2 -/c1 0; attach -/c1 clean"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct rig *r = router_new();
        struct rig_conn *c = router_dial(r, 0, rows[i].first);
        struct rig_conn *next = rig_dial_on(r, 0, NULL, true);
        rig_send(next, rows[i].second);
        EXPECT_OUT(c, "e0 01 8e");
        EXPECT_EVENTS(r, rows[i].events);
        rig_free(r);
    }
}
