#include "support.h"

Test(ack, refusals)
{
    static const struct refusal rows[] = {
        {"packet id 0", MQTT_311, 'c', ERR_PROTOCOL, "40 { 0000 }"},
        {"packet id 0", MQTT_50, 'c', ERR_PROTOCOL, "62 { 0000 }"},
        {"empty", MQTT_311, 'c', ERR_SHORT, "40 00"},
        {"half an id", MQTT_50, 'c', ERR_SHORT, "40 { 00 }"},
        {"a reason in 3.1.1", MQTT_311, 'c', ERR_MALFORMED, "40 { 0001 00 }"},
        {"a reason that does not exist", MQTT_50, 'c', ERR_PROTOCOL, "40 { 0001 02 }"},
        {"a reason of DISCONNECT", MQTT_50, 'c', ERR_PROTOCOL, "40 { 0001 81 }"},
        {"0x92 is not for PUBACK", MQTT_50, 'c', ERR_PROTOCOL, "40 { 0001 92 }"},
        {"0x80 is not for PUBREL", MQTT_50, 'c', ERR_PROTOCOL, "62 { 0001 80 }"},
        {"section is longer than the packet", MQTT_50, 'c', ERR_SHORT, "40 { 0001 00 05 }"},
        {"after the section", MQTT_50, 'c', ERR_MALFORMED, "40 { 0001 00 { } 00 }"},
        {"a property of PUBLISH", MQTT_50, 'c', ERR_MALFORMED, "40 { 0001 00 { 23 0001 } }"},
    };
    support_expect_refusals(rows, sizeof(rows) / sizeof(rows[0]));
}

Test(ack, plain_and_full_encoding_agree)
{
    static const struct {
        enum mqtt_type type;
        const char *text;
    } rows[] = {
        {MQTT_PUBACK, "40 02 1234"},
        {MQTT_PUBREC, "50 02 1234"},
        {MQTT_PUBREL, "62 02 1234"},
        {MQTT_PUBCOMP, "70 02 1234"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mqtt_ack m = {.packet_id = 0x1234};
        for (int version = 3; version <= MQTT_50; version++) {
            struct buf out;
            buf_init(&out, 100);
            enum err e = version == 3
                             ? mqtt_ack_encode_plain(&out, rows[i].type, 0x1234)
                             : mqtt_ack_encode(&out, rows[i].type, (enum mqtt_version)version, &m);
            cr_expect_eq(e, ERR_OK);
            support_expect_bytes(&out, rows[i].text, "ack");
            buf_fini(&out);
        }
    }
}

Test(ack, packet_id_0_is_never_sent)
{
    struct buf out;
    buf_init(&out, 100);
    struct mqtt_ack m = {.reason = MQTT_NOT_AUTHORIZED};
    cr_expect_eq(mqtt_ack_encode_plain(&out, MQTT_PUBACK, 0), ERR_RANGE);
    cr_expect_eq(mqtt_ack_encode(&out, MQTT_PUBACK, MQTT_50, &m), ERR_RANGE);
    cr_expect_eq(mqtt_ack_encode(&out, MQTT_PUBACK, MQTT_311, &m), ERR_RANGE);
    cr_expect_eq(out.len, 0);
    buf_fini(&out);
}
