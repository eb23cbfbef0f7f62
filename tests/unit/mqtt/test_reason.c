#include "support.h"

/* Tables 3-1, 3-4 to 3-8, 3-10 and 3-13 of the standard, typed in anew. A code in `server_only` or
 * `client_only` is marked so by the table. */
static const struct {
    enum mqtt_type type;
    const char *both, *server_only, *client_only;
} tables[] = {
    {MQTT_CONNACK, "", "00 80 81 82 83 84 85 86 87 88 89 8a 8c 90 95 97 99 9a 9b 9c 9d 9f", ""},
    {MQTT_PUBACK, "00 10 80 83 87 90 91 97 99", "", ""},
    {MQTT_PUBREC, "00 10 80 83 87 90 91 97 99", "", ""},
    {MQTT_PUBREL, "00 92", "", ""},
    {MQTT_PUBCOMP, "00 92", "", ""},
    {MQTT_SUBACK, "", "00 01 02 80 83 87 8f 91 97 9e a1 a2", ""},
    {MQTT_UNSUBACK, "", "00 11 80 83 87 8f 91", ""},
    {MQTT_DISCONNECT, "00 80 81 82 83 90 93 94 95 96 97 98 99",
     "87 89 8b 8d 8e 8f 9a 9b 9c 9d 9e 9f a0 a1 a2", "04"},
    {MQTT_AUTH, "18", "00", "19"},
    {MQTT_CONNECT, "", "", ""},
    {MQTT_PUBLISH, "", "", ""},
    {MQTT_SUBSCRIBE, "", "", ""},
    {MQTT_PINGREQ, "", "", ""},
};

Test(reason, each_code_is_taken_where_the_tables_list_it)
{
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        for (unsigned code = 0; code < 256; code++) {
            char hex[3];
            snprintf(hex, sizeof(hex), "%02x", code);
            bool both = strstr(tables[i].both, hex) != NULL;
            bool server = both || strstr(tables[i].server_only, hex) != NULL;
            bool client = both || strstr(tables[i].client_only, hex) != NULL;
            const char *type = mqtt_type_words(tables[i].type);
            cr_expect_eq(mqtt_reason_allowed((uint8_t)code, tables[i].type, MQTT_FROM_SERVER),
                         server, "%s %s from a server", hex, type);
            cr_expect_eq(mqtt_reason_allowed((uint8_t)code, tables[i].type, MQTT_FROM_CLIENT),
                         client, "%s %s from a client", hex, type);
        }
    }
}

Test(reason, errors_become_codes_that_the_packet_may_carry)
{
    static const struct {
        enum err err;
        enum mqtt_type type;
        enum mqtt_reason reason;
    } rows[] = {
        {ERR_OK, MQTT_PUBACK, MQTT_SUCCESS},
        {ERR_SHORT, MQTT_PUBLISH, MQTT_MALFORMED_PACKET},
        {ERR_MALFORMED, MQTT_PUBLISH, MQTT_MALFORMED_PACKET},
        {ERR_UTF8, MQTT_SUBSCRIBE, MQTT_MALFORMED_PACKET},
        {ERR_PROTOCOL, MQTT_DISCONNECT, MQTT_PROTOCOL_ERROR},
        {ERR_STATE, MQTT_DISCONNECT, MQTT_PROTOCOL_ERROR},
        {ERR_LIMIT, MQTT_PUBLISH, MQTT_PACKET_TOO_LARGE},
        {ERR_MALFORMED, MQTT_CONNECT, MQTT_MALFORMED_PACKET},
        {ERR_PROTOCOL, MQTT_CONNACK, MQTT_PROTOCOL_ERROR},
        {ERR_LIMIT, MQTT_CONNECT, MQTT_PACKET_TOO_LARGE},
        {ERR_UNSUPPORTED, MQTT_CONNECT, MQTT_UNSUPPORTED_VERSION},
        {ERR_UNSUPPORTED, MQTT_DISCONNECT, MQTT_IMPLEMENTATION_ERROR},
        {ERR_TYPE, MQTT_PUBACK, MQTT_PAYLOAD_FORMAT_INVALID},
        {ERR_TYPE, MQTT_DISCONNECT, MQTT_PAYLOAD_FORMAT_INVALID},
        {ERR_DENIED, MQTT_PUBACK, MQTT_NOT_AUTHORIZED},
        {ERR_DENIED, MQTT_SUBACK, MQTT_NOT_AUTHORIZED},
        {ERR_FULL, MQTT_SUBACK, MQTT_QUOTA_EXCEEDED},
        {ERR_FULL, MQTT_UNSUBACK, MQTT_IMPLEMENTATION_ERROR},
        {ERR_MALFORMED, MQTT_PUBACK, MQTT_IMPLEMENTATION_ERROR},
        {ERR_MALFORMED, MQTT_PUBREL, MQTT_PACKET_ID_NOT_FOUND},
        {ERR_NOMEM, MQTT_PUBLISH, MQTT_UNSPECIFIED_ERROR},
        {ERR_MALFORMED, MQTT_AUTH, MQTT_MALFORMED_PACKET},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum mqtt_reason got = mqtt_reason_for(rows[i].err, rows[i].type);
        cr_expect_eq(got, rows[i].reason, "%s in %s: %s", err_words(rows[i].err),
                     mqtt_type_words(rows[i].type), mqtt_reason_words((uint8_t)got));
    }
}

Test(reason, words)
{
    cr_expect_str_eq(mqtt_reason_words(0x00), "success");
    cr_expect_str_eq(mqtt_reason_words(0x87), "not authorized");
    cr_expect_str_eq(mqtt_reason_words(0xA2), "wildcard subscriptions not supported");
    cr_expect_str_eq(mqtt_reason_words(0x03), "unknown reason");
    cr_expect_str_eq(mqtt_reason_words(0xFF), "unknown reason");
}
