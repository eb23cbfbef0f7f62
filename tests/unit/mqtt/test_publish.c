#include "support.h"

Test(publish, every_field_arrives)
{
    struct packet p =
        packet_read("3b { <a/b> 0102 { 02 0000003c 01 01 23 0007 } 'payload' }", MQTT_50, 'c');
    cr_assert_eq(p.err, ERR_OK);
    const struct mqtt_publish *m = &p.any.as.publish;
    cr_expect(view_eq_str(m->topic, "a/b"));
    cr_expect(view_eq_str(m->payload, "payload"));
    cr_expect_eq(m->packet_id, 0x0102);
    cr_expect_eq(m->qos, 1);
    cr_expect(m->retain && m->dup);
    cr_expect_eq(m->props.message_expiry_s, 60);
    cr_expect_eq(m->props.payload_format, 1);
    cr_expect_eq(m->props.topic_alias, 7);
    packet_free(&p);
}

Test(publish, qos_0_has_no_packet_id)
{
    struct packet p = packet_read("30 { <a> 0001 }", MQTT_311, 'c');
    cr_assert_eq(p.err, ERR_OK);
    cr_expect_eq(p.any.as.publish.packet_id, 0);
    cr_expect_eq(p.any.as.publish.payload.len, 2);
    packet_free(&p);
}

Test(publish, refusals)
{
    static const struct refusal rows[] = {
        {"QoS 3", MQTT_311, 'c', ERR_MALFORMED, "36 { <a> 0001 }"},
        {"DUP with QoS 0", MQTT_311, 'c', ERR_MALFORMED, "38 { <a> }"},
        {"packet id 0", MQTT_311, 'c', ERR_PROTOCOL, "32 { <a> 0000 }"},
        {"packet id 0", MQTT_50, 'c', ERR_PROTOCOL, "34 { <a> 0000 { } }"},
        {"packet id missing", MQTT_311, 'c', ERR_SHORT, "32 { <a> }"},
        {"half a packet id", MQTT_311, 'c', ERR_SHORT, "32 { <a> 00 }"},
        {"no topic at all", MQTT_311, 'c', ERR_SHORT, "30 00"},
        {"topic longer than the packet", MQTT_311, 'c', ERR_SHORT, "30 { 0005 'a/b' }"},
        {"topic empty", MQTT_311, 'c', ERR_PROTOCOL, "30 { <> 'x' }"},
        {"topic empty without alias", MQTT_50, 'c', ERR_PROTOCOL, "30 { <> { } 'x' }"},
        {"topic empty, another property", MQTT_50, 'c', ERR_PROTOCOL, "30 { <> { 01 00 } 'x' }"},
        {"alias 0", MQTT_50, 'c', ERR_PROTOCOL, "30 { <> { 23 0000 } 'x' }"},
        {"'+' in a short topic", MQTT_311, 'c', ERR_MALFORMED, "30 { <a/+> 'x' }"},
        {"'#' in a short topic", MQTT_311, 'c', ERR_MALFORMED, "30 { <#> 'x' }"},
        {"'+' in a long topic", MQTT_311, 'c', ERR_MALFORMED,
         "30 { <v1/devices/+/telemetry> 'x' }"},
        {"'#' last in a long topic", MQTT_311, 'c', ERR_MALFORMED, "30 { <v1/devices/me/#> 'x' }"},
        {"'#' first in a long topic", MQTT_311, 'c', ERR_MALFORMED, "30 { <#v1/devices/me> 'x' }"},
        {"'+' beside UTF-8", MQTT_311, 'c', ERR_MALFORMED, "30 { <\xC3\xA9/+> 'x' }"},
        {"'+' even with an alias", MQTT_50, 'c', ERR_MALFORMED, "30 { <+> { 23 0001 } 'x' }"},
        {"NUL in a short topic", MQTT_311, 'c', ERR_UTF8, "30 { 0003 610062 'x' }"},
        {"NUL in a long topic", MQTT_311, 'c', ERR_UTF8, "30 { 000a 'devices/' 0061 'x' }"},
        {"overlong", MQTT_311, 'c', ERR_UTF8, "30 { 0002 c1bf 'x' }"},
        {"overlong in three", MQTT_311, 'c', ERR_UTF8, "30 { 0003 e09fbf 'x' }"},
        {"surrogate D800", MQTT_311, 'c', ERR_UTF8, "30 { 0003 eda080 'x' }"},
        {"surrogate DFFF", MQTT_311, 'c', ERR_UTF8, "30 { 0003 edbfbf 'x' }"},
        {"beyond U+10FFFF", MQTT_311, 'c', ERR_UTF8, "30 { 0004 f4908080 'x' }"},
        {"a tail alone", MQTT_311, 'c', ERR_UTF8, "30 { 0001 80 'x' }"},
        {"the character ends after the topic", MQTT_311, 'c', ERR_UTF8, "30 { 0001 c3 a9 }"},
        {"properties missing in 5.0", MQTT_50, 'c', ERR_SHORT, "30 { <a> }"},
        {"property length over the packet", MQTT_50, 'c', ERR_SHORT, "30 { <a> 05 01 00 }"},
        {"property length longer than need be", MQTT_50, 'c', ERR_MALFORMED, "30 { <a> 80 00 }"},
        {"property length of five bytes", MQTT_50, 'c', ERR_MALFORMED, "30 { <a> 80 80 80 80 01 }"},
        {"subscription identifier from a client", MQTT_50, 'c', ERR_PROTOCOL,
         "30 { <a> { 0b 01 } }"},
    };
    support_expect_refusals(rows, sizeof(rows) / sizeof(rows[0]));
}

Test(publish, the_decoder_does_not_rely_on_the_framing_for_its_flags)
{
    static const uint8_t body[] = {0, 1, 'a', 0, 7};
    const struct mqtt_source from = support_source(MQTT_311, 'c');
    for (unsigned flags = 0; flags < 16; flags++) {
        unsigned qos = flags >> 1 & 3;
        bool bad = qos == 3 || ((flags & 8) != 0 && qos == 0);
        struct packet p;
        cr_expect_eq(support_decode((uint8_t)(0x30 | flags), body, sizeof(body), &from, &p),
                     bad ? ERR_MALFORMED : ERR_OK, "flags %x", flags);
        packet_free(&p);
    }
}

Test(publish, a_suspect_byte_is_found_wherever_it_stands)
{
    static const struct {
        uint8_t byte;
        enum err err;
    } suspects[] = {
        {'+', ERR_MALFORMED}, {'#', ERR_MALFORMED}, {0x00, ERR_UTF8}, {0x80, ERR_UTF8},
        {0xFF, ERR_UTF8},     {0x01, ERR_UTF8},     {0x1F, ERR_UTF8}, {0x7F, ERR_UTF8},
        {' ', ERR_OK},        {'~', ERR_OK},        {'"', ERR_OK},    {'$', ERR_OK},
        {'*', ERR_OK},        {',', ERR_OK},
    };
    const struct mqtt_source from = support_source(MQTT_311, 'c');
    for (size_t len = 1; len <= 40; len++) {
        for (size_t at = 0; at < len; at++) {
            for (size_t i = 0; i < sizeof(suspects) / sizeof(suspects[0]); i++) {
                uint8_t body[64] = {0, (uint8_t)len};
                memset(body + 2, 'a', len);
                body[2 + at] = suspects[i].byte;
                struct packet p;
                cr_expect_eq(support_decode(0x30, body, 2 + len, &from, &p), suspects[i].err,
                             "%02x at %zu of %zu", suspects[i].byte, at, len);
                packet_free(&p);
            }
        }
    }
}

Test(publish, a_payload_that_calls_itself_text_can_be_checked)
{
    static const struct {
        const char *text;
        enum err err;
    } rows[] = {
        {"30 { <a> { 01 01 } 'text' }", ERR_OK},
        {"30 { <a> { 01 01 } c3a9 00 }",
         ERR_OK}, /* NUL is UTF-8, and a payload is no MQTT string */
        {"30 { <a> { 01 01 } c3 }", ERR_TYPE},
        {"30 { <a> { 01 00 } c3 }", ERR_OK},
        {"30 { <a> { } c3 }", ERR_OK},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct packet p = packet_read(rows[i].text, MQTT_50, 'c');
        cr_assert_eq(p.err, ERR_OK);
        cr_expect_eq(mqtt_publish_check_payload(&p.any.as.publish), rows[i].err, "%s",
                     rows[i].text);
        packet_free(&p);
    }
}

Test(publish, size_is_what_encoding_takes)
{
    static const size_t payloads[] = {0,   1,     119,   120,   121,   122,
                                      123, 16375, 16376, 16377, 16378, 16379};
    static uint8_t payload[16384];
    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
        struct mqtt_publish m = {.topic = VIEW("a/b"),
                                 .payload = view_of(payload, payloads[i]),
                                 .packet_id = 9,
                                 .qos = 1};
        for (int version = MQTT_311; version <= MQTT_50; version++) {
            struct buf out;
            buf_init(&out, 100000);
            cr_expect_eq(mqtt_publish_encode(&out, (enum mqtt_version)version, &m), ERR_OK);
            cr_expect_eq(out.len, mqtt_publish_size((enum mqtt_version)version, &m));
            buf_fini(&out);
        }
    }
    struct mqtt_publish wrong = {.topic = VIEW("a"), .qos = 3};
    cr_expect_eq(mqtt_publish_size(MQTT_50, &wrong), SIZE_MAX);
}
