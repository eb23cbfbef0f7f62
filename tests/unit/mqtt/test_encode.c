#include "support.h"

static void expect_connack(enum mqtt_version version, struct mqtt_connack m, const char *text)
{
    struct buf out;
    buf_init(&out, 1000);
    cr_expect_eq(mqtt_connack_encode(&out, version, &m), ERR_OK, "%s", text);
    support_expect_bytes(&out, text, "connack");
    buf_fini(&out);
}

Test(encode, connack_in_both_versions)
{
    expect_connack(MQTT_311, (struct mqtt_connack){.session_present = true}, "20 02 01 00");
    expect_connack(MQTT_50, (struct mqtt_connack){.session_present = true}, "20 03 01 00 00");
    expect_connack(MQTT_311, (struct mqtt_connack){.reason = MQTT_UNSUPPORTED_VERSION},
                   "20 02 00 01");
    expect_connack(MQTT_311, (struct mqtt_connack){.reason = MQTT_CLIENT_ID_NOT_VALID},
                   "20 02 00 02");
    expect_connack(MQTT_311, (struct mqtt_connack){.reason = MQTT_SERVER_UNAVAILABLE},
                   "20 02 00 03");
    expect_connack(MQTT_311, (struct mqtt_connack){.reason = MQTT_BAD_USER_OR_PASSWORD},
                   "20 02 00 04");
    expect_connack(MQTT_311, (struct mqtt_connack){.reason = MQTT_NOT_AUTHORIZED}, "20 02 00 05");
    expect_connack(MQTT_311, (struct mqtt_connack){.reason = MQTT_SERVER_BUSY}, "20 02 00 03");
    expect_connack(MQTT_50, (struct mqtt_connack){.reason = MQTT_SERVER_BUSY}, "20 03 00 89 00");
    /* [MQTT-3.2.2-6] */
    expect_connack(MQTT_50, (struct mqtt_connack){.session_present = true, .reason = MQTT_BANNED},
                   "20 03 00 8a 00");
}

Test(encode, properties_never_reach_3_1_1)
{
    struct buf out;
    buf_init(&out, 10000);
    struct mqtt_connack connack = {.reason = MQTT_SUCCESS};
    MQTT_SET(&connack.props, RECEIVE_MAXIMUM, receive_maximum, 100);
    cr_expect_eq(mqtt_connack_encode(&out, MQTT_311, &connack), ERR_OK);
    struct mqtt_publish publish = {.topic = VIEW("a"), .payload = VIEW("x")};
    MQTT_SET(&publish.props, MESSAGE_EXPIRY, message_expiry_s, 60);
    cr_expect_eq(mqtt_publish_encode(&out, MQTT_311, &publish), ERR_OK);
    struct mqtt_ack ack = {.packet_id = 1, .reason = MQTT_NOT_AUTHORIZED};
    MQTT_SET(&ack.props, REASON_STRING, reason_string, VIEW("no"));
    cr_expect_eq(mqtt_ack_encode(&out, MQTT_PUBACK, MQTT_311, &ack), ERR_OK);
    struct mqtt_disconnect bye = {.reason = MQTT_SERVER_SHUTTING_DOWN};
    MQTT_SET(&bye.props, REASON_STRING, reason_string, VIEW("bye"));
    cr_expect_eq(mqtt_disconnect_encode(&out, MQTT_311, &bye), ERR_OK);
    struct mqtt_suback suback = {.packet_id = 1, .reasons = VIEW("\x01")};
    MQTT_SET(&suback.props, REASON_STRING, reason_string, VIEW("ok"));
    cr_expect_eq(mqtt_suback_encode(&out, MQTT_311, &suback), ERR_OK);
    support_expect_bytes(&out, "20 02 0000 30 04 0001 'ax' 40 02 0001 e0 00 90 03 0001 01",
                         "3.1.1");
    buf_fini(&out);
}

Test(encode, connect_of_the_simulator)
{
    struct buf out;
    buf_init(&out, 1000);
    struct mqtt_connect m = {
        .version = MQTT_50,
        .clean_start = true,
        .keep_alive_s = 60,
        .client_id = VIEW("d7"),
        .has_user_name = true,
        .user_name = VIEW("token"),
        .has_will = true,
        .will = {.topic = VIEW("w"), .payload = VIEW("gone"), .qos = 1, .retain = true},
    };
    MQTT_SET(&m.props, SESSION_EXPIRY, session_expiry_s, 256);
    MQTT_SET(&m.will.props, WILL_DELAY, will_delay_s, 1);
    cr_expect_eq(mqtt_connect_encode(&out, &m), ERR_OK);
    support_expect_bytes(&out,
                         "10 { <MQTT> 05 ae 003c { 11 00000100 } <d7> { 18 00000001 } <w> <gone>"
                         " <token> }",
                         "5.0");
    buf_clear(&out);
    m.version = MQTT_311;
    cr_expect_eq(mqtt_connect_encode(&out, &m), ERR_OK);
    support_expect_bytes(&out, "10 { <MQTT> 04 ae 003c <d7> <w> <gone> <token> }", "3.1.1");
    buf_fini(&out);
}

Test(encode, subscribe_from_entries)
{
    static const struct mqtt_subscription subscriptions[] = {
        {.filter = {(const uint8_t *)"a/+", 3}, .qos = 1, .retain_handling = 2},
        {.filter = {(const uint8_t *)"#", 1}, .no_local = true, .retain_as_published = true},
    };
    for (int version = MQTT_311; version <= MQTT_50; version++) {
        struct buf entries;
        buf_init(&entries, 1000);
        for (size_t i = 0; i < 2; i++) {
            cr_expect_eq(
                mqtt_subscription_put(&entries, (enum mqtt_version)version, &subscriptions[i]),
                ERR_OK);
        }
        struct buf out;
        buf_init(&out, 1000);
        struct mqtt_subscribe m = {.packet_id = 7, .entries = buf_view(&entries)};
        cr_expect_eq(mqtt_subscribe_encode(&out, (enum mqtt_version)version, &m), ERR_OK);
        support_expect_bytes(&out,
                             version == MQTT_311 ? "82 { 0007 <a/+> 01 <#> 00 }"
                                                 : "82 { 0007 { } <a/+> 21 <#> 0c }",
                             "subscribe");
        buf_fini(&entries);
        buf_fini(&out);
    }
}

Test(encode, unsubscribe_from_entries)
{
    struct buf entries;
    buf_init(&entries, 1000);
    cr_expect_eq(mqtt_unsubscribe_put(&entries, VIEW("a/+")), ERR_OK);
    cr_expect_eq(mqtt_unsubscribe_put(&entries, VIEW("")), ERR_RANGE);
    struct buf out;
    buf_init(&out, 1000);
    struct mqtt_unsubscribe m = {.packet_id = 7, .entries = buf_view(&entries)};
    cr_expect_eq(mqtt_unsubscribe_encode(&out, MQTT_50, &m), ERR_OK);
    support_expect_bytes(&out, "a2 { 0007 { } <a/+> }", "unsubscribe");
    buf_fini(&entries);
    buf_fini(&out);
}

Test(encode, what_has_no_encoding_is_refused_and_nothing_is_written)
{
    static uint8_t big[65536];
    memset(big, 'a', sizeof(big));
    struct buf out;
    buf_init(&out, 1000000);
    const struct view long_text = view_of(big, sizeof(big));
    static const struct mqtt_subscription bad_entries[] = {
        {.filter = {(const uint8_t *)"a", 1}, .qos = 3},
        {.filter = {(const uint8_t *)"a", 1}, .retain_handling = 3},
        {.filter = {NULL, 0}},
        {.filter = {big, 65536}},
    };
    for (size_t i = 0; i < sizeof(bad_entries) / sizeof(bad_entries[0]); i++) {
        cr_expect_eq(mqtt_subscription_put(&out, MQTT_50, &bad_entries[i]), ERR_RANGE, "%zu", i);
    }
    const struct mqtt_publish publishes[] = {
        {.topic = VIEW("a"), .qos = 3, .packet_id = 1},
        {.topic = VIEW("a"), .qos = 1},
        {.topic = VIEW("a"), .packet_id = 1},
        {.topic = VIEW("a"), .dup = true},
        {.topic = long_text},
    };
    for (size_t i = 0; i < sizeof(publishes) / sizeof(publishes[0]); i++) {
        cr_expect_eq(mqtt_publish_encode(&out, MQTT_50, &publishes[i]), ERR_RANGE, "publish %zu",
                     i);
    }
    const struct mqtt_publish nameless = {.payload = VIEW("x")};
    cr_expect_eq(mqtt_publish_encode(&out, MQTT_50, &nameless), ERR_PROTOCOL);
    cr_expect_eq(mqtt_publish_encode(&out, MQTT_311, &nameless), ERR_PROTOCOL);
    const struct mqtt_publish huge = {.topic = VIEW("a"), .payload = {big, MQTT_REMAINING_MAX}};
    cr_expect_eq(mqtt_publish_encode(&out, MQTT_311, &huge), ERR_LIMIT);
    const struct mqtt_connect connects[] = {
        {.version = MQTT_311, .client_id = long_text},
        {.version = MQTT_311, .has_user_name = true, .user_name = long_text},
        {.version = MQTT_50, .has_password = true, .password = long_text},
        {.version = MQTT_50, .has_will = true, .will = {.topic = long_text}},
        {.version = MQTT_50, .has_will = true, .will = {.topic = VIEW("t"), .payload = long_text}},
        {.version = MQTT_50, .has_will = true, .will = {.topic = VIEW("t"), .qos = 3}},
        {.version = MQTT_50, .has_will = true},
    };
    for (size_t i = 0; i < sizeof(connects) / sizeof(connects[0]); i++) {
        cr_expect_eq(mqtt_connect_encode(&out, &connects[i]), ERR_RANGE, "connect %zu", i);
    }
    const struct mqtt_connect lone = {.version = MQTT_311, .has_password = true};
    cr_expect_eq(mqtt_connect_encode(&out, &lone), ERR_PROTOCOL);
    const struct mqtt_subscribe empty = {.packet_id = 1};
    cr_expect_eq(mqtt_subscribe_encode(&out, MQTT_311, &empty), ERR_RANGE);
    const struct mqtt_unsubscribe none = {.packet_id = 1};
    cr_expect_eq(mqtt_unsubscribe_encode(&out, MQTT_311, &none), ERR_RANGE);
    const struct mqtt_suback no_codes = {.packet_id = 1};
    cr_expect_eq(mqtt_suback_encode(&out, MQTT_311, &no_codes), ERR_RANGE);
    cr_expect_eq(mqtt_unsuback_encode(&out, MQTT_50, &no_codes), ERR_RANGE);
    const struct mqtt_suback no_id = {.reasons = VIEW("\x00")};
    cr_expect_eq(mqtt_suback_encode(&out, MQTT_50, &no_id), ERR_RANGE);
    const struct mqtt_connack foreign = {.reason = MQTT_GRANTED_QOS_1};
    cr_expect_eq(mqtt_connack_encode(&out, MQTT_50, &foreign), ERR_RANGE);
    cr_expect_eq(out.len, 0);
    cr_expect_eq(buf_err(&out), ERR_OK);
    buf_fini(&out);
}
