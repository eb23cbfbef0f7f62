#include "support.h"

static void expect_text(struct view v, const char *text)
{
    cr_expect(view_eq_str(v, text), "%.*s is not %s", VIEW_ARG(v), text);
}

Test(connect, every_field_arrives)
{
    struct packet p = packet_read(
        "10 { <MQTT> 05 ee 0102 { 11 00000e10 15 <SCRAM> 16 <xy> 17 00 19 01 21 0014 22 000a"
        " 27 00010000 } <dev> { 18 00000005 01 01 } <gone> <bye> <user> <secret> }",
        MQTT_50, 'c');
    cr_assert_eq(p.err, ERR_OK);
    const struct mqtt_connect *m = &p.any.as.connect;
    cr_expect_eq(m->version, MQTT_50);
    cr_expect(m->clean_start && m->has_will && m->has_user_name && m->has_password);
    cr_expect_eq(m->keep_alive_s, 0x0102);
    expect_text(m->client_id, "dev");
    expect_text(m->user_name, "user");
    expect_text(m->password, "secret");
    expect_text(m->will.topic, "gone");
    expect_text(m->will.payload, "bye");
    cr_expect_eq(m->will.qos, 1);
    cr_expect(m->will.retain);
    cr_expect_eq(m->will.props.will_delay_s, 5);
    cr_expect_eq(m->will.props.payload_format, 1);
    cr_expect_eq(m->props.session_expiry_s, 3600);
    expect_text(m->props.auth_method, "SCRAM");
    expect_text(m->props.auth_data, "xy");
    cr_expect(mqtt_has(&m->props, MQTT_PROP_REQUEST_PROBLEM_INFO));
    cr_expect_eq(m->props.request_problem_info, 0);
    cr_expect_eq(m->props.request_response_info, 1);
    cr_expect_eq(m->props.receive_maximum, 20);
    cr_expect_eq(m->props.topic_alias_maximum, 10);
    cr_expect_eq(m->props.maximum_packet_size, 65536);
    cr_expect_not(mqtt_has(&m->props, MQTT_PROP_USER));
    packet_free(&p);
}

Test(connect, a_password_may_hold_any_bytes)
{
    struct packet p = packet_read("10 { <MQTT> 04 c2 0000 <d> <u> 0003 00ff80 }", MQTT_311, 'c');
    cr_assert_eq(p.err, ERR_OK);
    cr_expect(view_eq(p.any.as.connect.password, VIEW("\x00\xff\x80")));
    packet_free(&p);
}

Test(connect, refusals)
{
    static const struct refusal rows[] = {
        {"MQTT 3.1", MQTT_311, 'c', ERR_UNSUPPORTED, "10 { <MQIsdp> 03 02 003c <d> }"},
        {"bridge of 3.1", MQTT_311, 'c', ERR_UNSUPPORTED, "10 { <MQIsdp> 83 02 003c <d> }"},
        {"bridge of 3.1.1", MQTT_311, 'c', ERR_UNSUPPORTED, "10 { <MQTT> 84 02 003c <d> }"},
        {"level 3 under the new name", MQTT_311, 'c', ERR_UNSUPPORTED,
         "10 { <MQTT> 03 02 003c <d> }"},
        {"level 6", MQTT_50, 'c', ERR_UNSUPPORTED, "10 { <MQTT> 06 02 003c { } <d> }"},
        {"level 0", MQTT_50, 'c', ERR_UNSUPPORTED, "10 { <MQTT> 00 02 003c { } <d> }"},
        {"level 6 in a form that nobody knows", MQTT_50, 'c', ERR_UNSUPPORTED, "10 { <MQTT> 06 }"},
        {"another protocol", MQTT_311, 'c', ERR_PROTOCOL, "10 { <HTTP> 04 02 003c <d> }"},
        {"the name in lower case", MQTT_311, 'c', ERR_PROTOCOL, "10 { <mqtt> 04 02 003c <d> }"},
        {"no name", MQTT_311, 'c', ERR_PROTOCOL, "10 { <> 04 02 003c <d> }"},
        {"reserved flag", MQTT_311, 'c', ERR_MALFORMED, "10 { <MQTT> 04 03 003c <d> }"},
        {"reserved flag", MQTT_50, 'c', ERR_MALFORMED, "10 { <MQTT> 05 03 003c { } <d> }"},
        {"will QoS 3", MQTT_311, 'c', ERR_MALFORMED, "10 { <MQTT> 04 1e 003c <d> <t> <p> }"},
        {"will QoS without will", MQTT_311, 'c', ERR_MALFORMED, "10 { <MQTT> 04 0a 003c <d> }"},
        {"will QoS without will", MQTT_50, 'c', ERR_MALFORMED, "10 { <MQTT> 05 12 003c { } <d> }"},
        {"will retain without will", MQTT_311, 'c', ERR_MALFORMED, "10 { <MQTT> 04 22 003c <d> }"},
        {"password without user", MQTT_311, 'c', ERR_PROTOCOL, "10 { <MQTT> 04 42 003c <d> <p> }"},
        {"will topic missing", MQTT_311, 'c', ERR_SHORT, "10 { <MQTT> 04 06 003c <d> }"},
        {"will topic empty", MQTT_311, 'c', ERR_PROTOCOL, "10 { <MQTT> 04 06 003c <d> <> <p> }"},
        {"will topic with '+'", MQTT_311, 'c', ERR_MALFORMED,
         "10 { <MQTT> 04 06 003c <d> <a/+> <p> }"},
        {"will topic with '#'", MQTT_50, 'c', ERR_MALFORMED,
         "10 { <MQTT> 05 06 003c { } <d> { } <#> <p> }"},
        {"will topic with NUL", MQTT_311, 'c', ERR_UTF8,
         "10 { <MQTT> 04 06 003c <d> 0002 6100 <p> }"},
        {"id with NUL", MQTT_311, 'c', ERR_UTF8, "10 { <MQTT> 04 02 003c 0002 6100 }"},
        {"id with an overlong '/'", MQTT_311, 'c', ERR_UTF8, "10 { <MQTT> 04 02 003c 0002 c0af }"},
        {"id with a surrogate", MQTT_311, 'c', ERR_UTF8, "10 { <MQTT> 04 02 003c 0003 eda080 }"},
        {"id beyond U+10FFFF", MQTT_311, 'c', ERR_UTF8, "10 { <MQTT> 04 02 003c 0004 f4908080 }"},
        {"id with half a character", MQTT_311, 'c', ERR_UTF8, "10 { <MQTT> 04 02 003c 0002 e282 }"},
        {"user with 0xFF", MQTT_311, 'c', ERR_UTF8, "10 { <MQTT> 04 82 003c <d> 0001 ff }"},
        {"user missing", MQTT_311, 'c', ERR_SHORT, "10 { <MQTT> 04 82 003c <d> }"},
        {"something after the end", MQTT_311, 'c', ERR_MALFORMED,
         "10 { <MQTT> 04 02 003c <d> 00 }"},
        {"properties longer than the packet", MQTT_50, 'c', ERR_SHORT,
         "10 { <MQTT> 05 02 003c 40 <d> }"},
        {"5.0 without properties", MQTT_50, 'c', ERR_SHORT, "10 { <MQTT> 05 02 003c }"},
        {"method data without method", MQTT_50, 'c', ERR_PROTOCOL,
         "10 { <MQTT> 05 02 003c { 16 <x> } <d> }"},
        {"empty body", MQTT_311, 'c', ERR_SHORT, "10 00"},
    };
    support_expect_refusals(rows, sizeof(rows) / sizeof(rows[0]));
}

Test(connect, each_reserved_flag_alone_is_refused)
{
    /* Every value of the flags byte, with all fields there: what decides is the standard's rule. */
    for (unsigned flags = 0; flags < 256; flags++) {
        bool will = (flags & 0x04) != 0;
        bool user = (flags & 0x80) != 0;
        bool password = (flags & 0x40) != 0;
        char text[128];
        snprintf(text, sizeof(text), "10 { <MQTT> 04 %02x 0000 <d> %s %s %s }", flags,
                 will ? "<t> <p>" : "", user ? "<u>" : "", password ? "<p>" : "");
        bool bad = (flags & 0x01) != 0 || (flags & 0x18) == 0x18 || (!will && (flags & 0x38) != 0);
        enum err want = bad ? ERR_MALFORMED : password && !user ? ERR_PROTOCOL : ERR_OK;
        struct packet p = packet_read(text, MQTT_311, 'c');
        cr_expect_eq(p.err, want, "%s: %s", text, err_words(p.err));
        packet_free(&p);
    }
}

Test(connect, a_refused_connect_is_answered_in_its_own_version)
{
    static const struct {
        const char *text;
        enum mqtt_version version;
    } rows[] = {
        {"<MQTT> 04 03", MQTT_311}, {"<MQTT> 05 03", MQTT_50},
        {"<MQTT> 06", MQTT_311},    {"<MQTT> 84", MQTT_311},
        {"<MQTT> 85", MQTT_311},    {"<MQTT> 03", MQTT_311},
        {"<MQIsdp> 03", MQTT_311},  {"<MQIsdp> 83", MQTT_311},
        {"<MQTT>", MQTT_311},       {"", MQTT_311},
        {"0004 'MQ'", MQTT_311},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct mqtt_bytes b = mqtt_bytes_of(rows[i].text);
        uint8_t *copy = support_copy(b.at, b.len);
        cr_expect_eq(mqtt_connect_answer_version(view_of(copy, b.len)), rows[i].version, "%s",
                     rows[i].text);
        free(copy);
    }
}

Test(connack, return_codes_of_3_1_1_become_reasons)
{
    static const enum mqtt_reason want[] = {
        MQTT_SUCCESS,
        MQTT_UNSUPPORTED_VERSION,
        MQTT_CLIENT_ID_NOT_VALID,
        MQTT_SERVER_UNAVAILABLE,
        MQTT_BAD_USER_OR_PASSWORD,
        MQTT_NOT_AUTHORIZED,
    };
    for (unsigned code = 0; code < 256; code++) {
        char text[32];
        snprintf(text, sizeof(text), "20 { 00 %02x }", code);
        struct packet p = packet_read(text, MQTT_311, 's');
        cr_expect_eq(p.err, code < 6 ? ERR_OK : ERR_PROTOCOL, "%s", text);
        cr_expect(p.err != ERR_OK || p.any.as.connack.reason == want[code], "%s", text);
        packet_free(&p);
    }
}

Test(connack, refusals)
{
    static const struct refusal rows[] = {
        {"reserved flag", MQTT_311, 's', ERR_MALFORMED, "20 { 02 00 }"},
        {"reserved flag", MQTT_50, 's', ERR_MALFORMED, "20 { 80 00 { } }"},
        {"a refusal with a session", MQTT_311, 's', ERR_PROTOCOL, "20 { 01 05 }"},
        {"a refusal with a session", MQTT_50, 's', ERR_PROTOCOL, "20 { 01 87 { } }"},
        {"a code of SUBACK", MQTT_50, 's', ERR_PROTOCOL, "20 { 00 01 { } }"},
        {"a code that does not exist", MQTT_50, 's', ERR_PROTOCOL, "20 { 00 7f { } }"},
        {"a client sends it", MQTT_50, 'c', ERR_PROTOCOL, "20 { 00 00 { } }"},
        {"properties to 3.1.1", MQTT_311, 's', ERR_MALFORMED, "20 { 00 00 { } }"},
        {"no properties in 5.0", MQTT_50, 's', ERR_SHORT, "20 { 00 00 }"},
        {"one byte", MQTT_311, 's', ERR_SHORT, "20 { 00 }"},
    };
    support_expect_refusals(rows, sizeof(rows) / sizeof(rows[0]));
}
