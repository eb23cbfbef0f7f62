#include "support.h"

Test(control, refusals)
{
    static const struct refusal rows[] = {
        {"PINGREQ with a body", MQTT_311, 'c', ERR_MALFORMED, "c0 { 00 }"},
        {"PINGRESP with a body", MQTT_50, 's', ERR_MALFORMED, "d0 { 00 }"},
        {"DISCONNECT of 3.1.1 with a body", MQTT_311, 'c', ERR_MALFORMED, "e0 { 00 }"},
        {"a server sends a session expiry", MQTT_50, 's', ERR_PROTOCOL,
         "e0 { 82 { 11 00000001 } }"},
        {"a server referred to twice", MQTT_50, 's', ERR_PROTOCOL, "e0 { 9d { 1c <a> 1c <b> } }"},
        {"after the section", MQTT_50, 'c', ERR_MALFORMED, "e0 { 00 { } 00 }"},
        {"section over the end", MQTT_50, 'c', ERR_SHORT, "e0 { 00 01 }"},
        {"AUTH in 3.1.1", MQTT_311, 'c', ERR_MALFORMED, "f0 00"},
        {"AUTH in 3.1.1 with a body", MQTT_311, 'c', ERR_MALFORMED, "f0 { 18 { 15 <m> } }"},
        {"AUTH success from a client", MQTT_50, 'c', ERR_PROTOCOL, "f0 00"},
        {"AUTH again from a server", MQTT_50, 's', ERR_PROTOCOL, "f0 { 19 { 15 <m> } }"},
        {"AUTH without method", MQTT_50, 'c', ERR_PROTOCOL, "f0 { 18 { } }"},
        {"AUTH data without method", MQTT_50, 'c', ERR_PROTOCOL, "f0 { 18 { 16 <d> } }"},
        {"AUTH without section", MQTT_50, 'c', ERR_SHORT, "f0 { 18 }"},
        {"AUTH with a code of DISCONNECT", MQTT_50, 'c', ERR_PROTOCOL, "f0 { 80 { 15 <m> } }"},
    };
    support_expect_refusals(rows, sizeof(rows) / sizeof(rows[0]));
}

Test(control, disconnect_arrives)
{
    struct packet p = packet_read("e0 { 04 { 11 00000e10 1f <bye> } }", MQTT_50, 'c');
    cr_assert_eq(p.err, ERR_OK);
    cr_expect_eq(p.any.as.disconnect.reason, MQTT_DISCONNECT_WITH_WILL);
    cr_expect_eq(p.any.as.disconnect.props.session_expiry_s, 3600);
    cr_expect(view_eq_str(p.any.as.disconnect.props.reason_string, "bye"));
    packet_free(&p);
}

/* It ends the connection, whatever it is. */
Test(control, a_disconnect_may_have_any_reason)
{
    static const struct {
        char from;
        const char *packet;
        uint8_t reason;
    } rows[] = {{'c', "e0 { 03 }", 0x03},
                {'c', "e0 { 8b }", 0x8b},
                {'s', "e0 { 04 }", 0x04},
                {'c', "e0 { 9d { 1c <b> } }", 0x9d}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct packet p = packet_read(rows[i].packet, MQTT_50, rows[i].from);
        cr_assert_eq(p.err, ERR_OK, "%s", rows[i].packet);
        cr_expect_eq((uint8_t)p.any.as.disconnect.reason, rows[i].reason);
        packet_free(&p);
    }
}
