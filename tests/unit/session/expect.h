/*
 * expect: Criterion's side of the rig.
 */
#pragma once

#include <criterion/criterion.h>

#include "rig.h"

#define EXPECT_OUT(conn, text)                                           \
    do {                                                                 \
        char got_[2048];                                                 \
        bool equal_ = rig_got((conn), (text), got_, sizeof(got_));       \
        cr_expect(equal_, "expected %s\n         got %s", (text), got_); \
    } while (0)

#define EXPECT_EVENTS(rig, text)                                          \
    do {                                                                  \
        const char *events_ = rig_events(rig);                            \
        cr_expect_str_eq(events_, (text), "got the events: %s", events_); \
    } while (0)

#define EXPECT_OPEN(conn)   cr_expect_not_null((conn)->session)
#define EXPECT_CLOSED(conn) cr_expect_null((conn)->session)

/* A 3.1.1 connection of d1 with a clean session; its CONNACK and events are taken. */
static inline struct rig_conn *connected(struct rig *r, const char *connect, const char *connack)
{
    struct rig_conn *c = rig_dial(r, 0, NULL);
    rig_send(c, connect);
    EXPECT_OUT(c, connack);
    EXPECT_OPEN(c);
    (void)rig_events(r);
    return c;
}

#define CONNECT_311   "10 { <MQTT> 04 82 003c <c1> <token-d1> }"
#define CONNECT_KEPT  "10 { <MQTT> 04 80 003c <c1> <token-d1> }"
#define CONNECT_5     "10 { <MQTT> 05 82 003c { } <c1> <token-d1> }"
#define CONNECT_5KEPT "10 { <MQTT> 05 80 003c { 11 00000e10 } <c1> <token-d1> }"
#define CONNACK_311   "20 02 00 00"
#define TERMS_5       "22 0010  27 00001000  21 0004"
#define CONNACK_5     "20 { 00 00 { " TERMS_5 " } }"
#define TELEMETRY     "<v1/devices/me/telemetry>"
