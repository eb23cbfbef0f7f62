#include "support.h"

/* Packets with a place for properties. WILL is inside CONNECT. */
static const struct carrier {
    char letter;
    char sender;
    const char *front; /* up to the properties */
    const char *back;
} carriers[] = {
    {'C', 'c', "10 { <MQTT> 05 02 0000 {", "} <d> }"},
    {'W', 'c', "10 { <MQTT> 05 06 0000 { } <d> {", "} <t> <p> }"},
    {'c', 's', "20 { 00 00 {", "} }"},
    {'P', 'c', "30 { <a> {", "} 'x' }"},
    {'p', 's', "30 { <a> {", "} 'x' }"},
    {'1', 'c', "40 { 0001 00 {", "} }"},
    {'2', 'c', "50 { 0001 00 {", "} }"},
    {'3', 'c', "62 { 0001 00 {", "} }"},
    {'4', 'c', "70 { 0001 00 {", "} }"},
    {'S', 'c', "82 { 0001 {", "} <a> 00 }"},
    {'s', 's', "90 { 0001 {", "} 00 }"},
    {'U', 'c', "a2 { 0001 {", "} <a> }"},
    {'u', 's', "b0 { 0001 {", "} 00 }"},
    {'D', 'c', "e0 { 00 {", "} }"},
    {'d', 's', "e0 { 82 {", "} }"},
    {'A', 'c', "f0 { 18 {", "} }"},
};

/* Table 2-4 of the standard, typed in anew: id, a good value, the packets that carry it, and those
 * that carry it only from the other side. */
static const struct row {
    unsigned id;
    const char *value;
    const char *packets;
    const char *wrong_sender;
} table[] = {
    {0x01, "01", "WPp", ""},
    {0x02, "00000000", "WPp", ""},
    {0x03, "<text/plain>", "WPp", ""},
    {0x08, "<re/ply>", "WPp", ""},
    {0x09, "0003 00ff80", "WPp", ""},
    {0x0B, "ffffff7f", "pS", "P"},
    {0x11, "ffffffff", "CcD", "d"},
    {0x12, "<auto>", "c", ""},
    {0x13, "0000", "c", ""},
    {0x15, "<SCRAM>", "CcA", ""},
    {0x16, "0002 00ff", "CcA", ""},
    {0x17, "00", "C", ""},
    {0x18, "00000000", "W", ""},
    {0x19, "01", "C", ""},
    {0x1A, "<info>", "c", ""},
    {0x1C, "<b:1883>", "cdD", ""},
    {0x1F, "<why>", "c1234suDdA", ""},
    {0x21, "ffff", "Cc", ""},
    {0x22, "0000", "Cc", ""},
    {0x23, "ffff", "Pp", ""},
    {0x24, "00", "c", ""},
    {0x25, "01", "c", ""},
    {0x26, "<k> <v>", "CWcPp1234SsUuDdA", ""},
    {0x27, "00000001", "Cc", ""},
    {0x28, "00", "c", ""},
    {0x29, "01", "c", ""},
    {0x2A, "00", "c", ""},
};

enum {
    TABLE_COUNT = sizeof(table) / sizeof(table[0]),
    CARRIER_COUNT = sizeof(carriers) / sizeof(carriers[0])
};

/* The method that AUTH and authentication data cannot be without. */
static const char *companion(unsigned id, char letter)
{
    bool needs = id == 0x16 || letter == 'A';
    return needs && id != 0x15 ? "15 <m>" : "";
}

static enum err decode_props(const struct carrier *c, const char *props, struct packet *ret_packet)
{
    char text[1024];
    int n = snprintf(text, sizeof(text), "%s %s %s", c->front, props, c->back);
    cr_assert_lt(n, (int)sizeof(text));
    *ret_packet = packet_read(text, MQTT_50, c->sender);
    return ret_packet->err;
}

static enum err decode_only(const struct carrier *c, const char *props)
{
    struct packet p;
    enum err e = decode_props(c, props, &p);
    packet_free(&p);
    return e;
}

Test(props, each_is_taken_where_table_2_4_allows_it_and_nowhere_else)
{
    cr_assert_eq((int)TABLE_COUNT, 27);
    cr_assert_eq((int)MQTT_PROP_COUNT, 27);
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        for (size_t k = 0; k < CARRIER_COUNT; k++) {
            const struct carrier *c = &carriers[k];
            char props[128];
            snprintf(props, sizeof(props), "%s %02x %s", companion(table[i].id, c->letter),
                     table[i].id, table[i].value);
            enum err want = strchr(table[i].packets, c->letter) != NULL        ? ERR_OK
                            : strchr(table[i].wrong_sender, c->letter) != NULL ? ERR_PROTOCOL
                                                                               : ERR_MALFORMED;
            enum err e = decode_only(c, props);
            cr_expect_eq(e, want, "property %02x in %c: %s", table[i].id, c->letter, err_words(e));
        }
    }
}

Test(props, twice_is_a_protocol_error_save_for_those_that_may_repeat)
{
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        for (size_t k = 0; k < CARRIER_COUNT; k++) {
            const struct carrier *c = &carriers[k];
            if (strchr(table[i].packets, c->letter) == NULL) {
                continue;
            }
            char props[256];
            snprintf(props, sizeof(props), "%s %02x %s %02x %s", companion(table[i].id, c->letter),
                     table[i].id, table[i].value, table[i].id, table[i].value);
            bool repeats = table[i].id == 0x26 || (table[i].id == 0x0B && c->letter == 'p');
            enum err e = decode_only(c, props);
            cr_expect_eq(e, repeats ? ERR_OK : ERR_PROTOCOL, "property %02x twice in %c: %s",
                         table[i].id, c->letter, err_words(e));
        }
    }
}

Test(props, each_cut_value_is_malformed)
{
    for (size_t i = 0; i < TABLE_COUNT; i++) {
        for (size_t k = 0; k < CARRIER_COUNT; k++) {
            const struct carrier *c = &carriers[k];
            if (strchr(table[i].packets, c->letter) == NULL) {
                continue;
            }
            struct mqtt_bytes value = mqtt_bytes_of(table[i].value);
            for (size_t cut = 0; cut < value.len; cut++) {
                char props[256];
                int n = snprintf(props, sizeof(props), "%s %02x", companion(table[i].id, c->letter),
                                 table[i].id);
                for (size_t b = 0; b < cut; b++) {
                    n += snprintf(props + n, sizeof(props) - (size_t)n, " %02x", value.at[b]);
                }
                cr_expect_eq(decode_only(c, props), ERR_MALFORMED,
                             "property %02x in %c, cut at %zu", table[i].id, c->letter, cut);
            }
        }
    }
}

Test(props, ids_that_do_not_exist_are_malformed)
{
    for (unsigned id = 0; id < 256; id++) {
        bool known = false;
        for (size_t i = 0; i < TABLE_COUNT; i++) {
            known = known || table[i].id == id;
        }
        char props[64];
        snprintf(props, sizeof(props), "%02x 00 00 00 00 00", id);
        cr_expect(known || decode_only(&carriers[2], props) == ERR_MALFORMED, "id %02x", id);
    }
    cr_expect_eq(decode_only(&carriers[0], "a6 00 <k> <v>"), ERR_MALFORMED,
                 "a longer form of 0x26");
}

Test(props, bad_values)
{
    static const struct {
        const char *why;
        char letter;
        enum err err;
        const char *props;
    } rows[] = {
        {"receive maximum 0", 'C', ERR_PROTOCOL, "21 0000"},
        {"receive maximum 0", 'c', ERR_PROTOCOL, "21 0000"},
        {"receive maximum 1", 'C', ERR_OK, "21 0001"},
        {"maximum packet size 0", 'C', ERR_PROTOCOL, "27 00000000"},
        {"maximum packet size 1", 'C', ERR_OK, "27 00000001"},
        {"topic alias 0", 'P', ERR_PROTOCOL, "23 0000"},
        {"topic alias maximum 0", 'C', ERR_OK, "22 0000"},
        {"subscription identifier 0", 'S', ERR_PROTOCOL, "0b 00"},
        {"subscription identifier 0 from a server", 'p', ERR_PROTOCOL, "0b 05 0b 00"},
        {"subscription identifier of five bytes", 'S', ERR_MALFORMED, "0b 80808080 01"},
        {"subscription identifier longer than need be", 'S', ERR_MALFORMED, "0b 8100"},
        {"payload format 2", 'P', ERR_PROTOCOL, "01 02"},
        {"payload format 0", 'P', ERR_OK, "01 00"},
        {"payload format 2 of the will", 'W', ERR_PROTOCOL, "01 02"},
        {"problem information 2", 'C', ERR_PROTOCOL, "17 02"},
        {"response information 2", 'C', ERR_PROTOCOL, "19 ff"},
        {"maximum qos 2", 'c', ERR_PROTOCOL, "24 02"},
        {"retain available 2", 'c', ERR_PROTOCOL, "25 02"},
        {"wildcards available 2", 'c', ERR_PROTOCOL, "28 02"},
        {"identifiers available 2", 'c', ERR_PROTOCOL, "29 02"},
        {"shared available 2", 'c', ERR_PROTOCOL, "2a 02"},
        {"response topic with '+'", 'P', ERR_PROTOCOL, "08 <a/+>"},
        {"response topic with '#'", 'W', ERR_PROTOCOL, "08 <#>"},
        {"response topic empty", 'P', ERR_PROTOCOL, "08 <>"},
        {"response topic with NUL", 'P', ERR_UTF8, "08 0001 00"},
        {"content type, surrogate", 'P', ERR_UTF8, "03 0003 eda080"},
        {"reason string, overlong", '1', ERR_UTF8, "1f 0002 c080"},
        {"user name, NUL", 'C', ERR_UTF8, "26 0001 00 <v>"},
        {"user value, half a character", 'C', ERR_UTF8, "26 <k> 0001 c3"},
        {"correlation data may be anything", 'P', ERR_OK, "09 0002 00ff"},
        {"method data alone", 'c', ERR_PROTOCOL, "16 <d>"},
        {"the value is bad and the next property unknown", 'P', ERR_PROTOCOL, "01 02 7f"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t k = 0; k < CARRIER_COUNT; k++) {
            if (carriers[k].letter == rows[i].letter) {
                enum err e = decode_only(&carriers[k], rows[i].props);
                cr_expect_eq(e, rows[i].err, "%s: %s", rows[i].why, err_words(e));
            }
        }
    }
}

Test(props, user_properties_keep_their_order_and_their_repetitions)
{
    struct packet p;
    cr_assert_eq(decode_props(&carriers[3],
                              "26 <b> <1> 01 00 26 <a> <2> 02 00000005 26 <b> <> 26 <> <3>", &p),
                 ERR_OK);
    static const char *const want[][2] = {{"b", "1"}, {"a", "2"}, {"b", ""}, {"", "3"}};
    const struct mqtt_props *props = &p.any.as.publish.props;
    cr_expect_eq(props->user_count, 4);
    struct mqtt_user_iter it = mqtt_user_iter(props);
    struct view name;
    struct view value;
    for (size_t i = 0; i < 4; i++) {
        cr_assert(mqtt_user_next(&it, &name, &value));
        cr_expect(view_eq_str(name, want[i][0]) && view_eq_str(value, want[i][1]), "pair %zu", i);
    }
    cr_expect_not(mqtt_user_next(&it, &name, &value));
    cr_expect_not(mqtt_user_next(&it, &name, &value));
    packet_free(&p);
}

Test(props, subscription_identifiers_are_walked_in_order)
{
    struct packet p;
    cr_assert_eq(decode_props(&carriers[4], "0b 05 26 <k> <v> 0b ffffff7f 0b 05", &p), ERR_OK);
    const struct mqtt_props *props = &p.any.as.publish.props;
    static const uint32_t want[] = {5, 268435455, 5};
    cr_expect_eq(props->subscription_id_count, 3);
    cr_expect_eq(mqtt_subscription_id_first(props), 5);
    struct mqtt_subscription_id_iter it = mqtt_subscription_id_iter(props);
    uint32_t id = 0;
    for (size_t i = 0; i < 3; i++) {
        cr_assert(mqtt_subscription_id_next(&it, &id));
        cr_expect_eq(id, want[i]);
    }
    cr_expect_not(mqtt_subscription_id_next(&it, &id));
    const struct mqtt_props none = {0};
    cr_expect_eq(mqtt_subscription_id_first(&none), 0);
    packet_free(&p);
}

/* `pairs` user properties with values of `bytes` bytes each, in a PUBLISH. */
static enum err decode_users(unsigned pairs, unsigned bytes, const struct mqtt_limits *limits)
{
    struct mqtt_bytes *b = calloc(1, sizeof(*b));
    cr_assert_not_null(b);
    mqtt_bytes_add(b, "<a>");
    struct mqtt_bytes *section = calloc(1, sizeof(*section));
    cr_assert_not_null(section);
    for (unsigned i = 0; i < pairs; i++) {
        mqtt_bytes_u8(section, 0x26);
        mqtt_bytes_add(section, "<k>");
        mqtt_bytes_u8(section, bytes / 256);
        mqtt_bytes_u8(section, bytes % 256);
        for (unsigned k = 0; k < bytes; k++) {
            mqtt_bytes_u8(section, 'v');
        }
    }
    mqtt_bytes_close(section, 0);
    struct mqtt_source from = support_source(MQTT_50, 'c');
    from.limits = *limits;
    memcpy(b->at + b->len, section->at, section->len);
    struct packet p;
    enum err e = support_decode(0x30, b->at, b->len + section->len, &from, &p);
    packet_free(&p);
    free(section);
    free(b);
    return e;
}

Test(props, user_properties_are_limited_in_number_and_bytes)
{
    static const struct {
        unsigned pairs, bytes;
        struct mqtt_limits limits;
        enum err err;
    } rows[] = {
        {32, 1, {32, 8192}, ERR_OK},   {33, 1, {32, 8192}, ERR_LIMIT},   {4, 1, {4, 8}, ERR_OK},
        {4, 1, {4, 7}, ERR_LIMIT},     {1, 0, {0, 8192}, ERR_LIMIT},     {0, 0, {0, 0}, ERR_OK},
        {1, 4095, {32, 4096}, ERR_OK}, {1, 4096, {32, 4096}, ERR_LIMIT}, {1, 0, {1, 1}, ERR_OK},
        {1, 0, {1, 0}, ERR_LIMIT},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum err e = decode_users(rows[i].pairs, rows[i].bytes, &rows[i].limits);
        cr_expect_eq(e, rows[i].err, "row %zu: %s", i, err_words(e));
    }
    cr_expect_eq(mqtt_limits_default.user_props_max, 32);
    cr_expect_eq(mqtt_limits_default.user_props_bytes_max, 8192);
}

Test(props, what_was_put_is_what_is_sent)
{
    struct buf users;
    buf_init(&users, 1000);
    cr_expect_eq(mqtt_user_put(&users, VIEW("k"), VIEW("v")), ERR_OK);
    cr_expect_eq(mqtt_user_put(&users, VIEW(""), VIEW("")), ERR_OK);
    struct buf ids;
    buf_init(&ids, 1000);
    cr_expect_eq(mqtt_subscription_id_put(&ids, 1), ERR_OK);
    cr_expect_eq(mqtt_subscription_id_put(&ids, 268435455), ERR_OK);
    cr_expect_eq(mqtt_subscription_id_put(&ids, 0), ERR_RANGE);
    cr_expect_eq(mqtt_subscription_id_put(&ids, 268435456), ERR_RANGE);
    struct mqtt_publish m = {.topic = VIEW("a")};
    MQTT_SET(&m.props, USER, user, buf_view(&users));
    MQTT_SET(&m.props, SUBSCRIPTION_ID, subscription_ids, buf_view(&ids));
    struct buf out;
    buf_init(&out, 1000);
    cr_expect_eq(mqtt_publish_encode(&out, MQTT_50, &m), ERR_OK);
    support_expect_bytes(&out, "30 { <a> { 0b 01 0b ffffff7f 26 <k> <v> 26 <> <> } }", "put");
    buf_fini(&users);
    buf_fini(&ids);
    buf_fini(&out);
}

Test(props, pairs_that_are_too_long_are_not_put)
{
    static uint8_t big[65536];
    struct buf out;
    buf_init(&out, 1000000);
    cr_expect_eq(mqtt_user_put(&out, view_of(big, 65536), VIEW("v")), ERR_RANGE);
    cr_expect_eq(mqtt_user_put(&out, VIEW("k"), view_of(big, 65536)), ERR_RANGE);
    cr_expect_eq(out.len, 0);
    cr_expect_eq(mqtt_user_put(&out, view_of(big, 65535), view_of(big, 65535)), ERR_OK);
    cr_expect_eq(out.len, 1 + 2 * 65537);
    buf_fini(&out);
    buf_init(&out, 4);
    cr_expect_eq(mqtt_user_put(&out, VIEW(""), VIEW("")), ERR_LIMIT);
    cr_expect_eq(mqtt_subscription_id_put(&out, 1), ERR_LIMIT, "the buf's error is sticky");
    buf_fini(&out);
}

Test(props, properties_of_another_packet_are_not_sent)
{
    struct buf out;
    buf_init(&out, 1000);
    struct mqtt_connect connect = {.version = MQTT_50, .client_id = VIEW("d")};
    MQTT_SET(&connect.props, TOPIC_ALIAS, topic_alias, 1);
    cr_expect_eq(mqtt_connect_encode(&out, &connect), ERR_PROTOCOL);
    struct mqtt_publish publish = {.topic = VIEW("a")};
    MQTT_SET(&publish.props, WILL_DELAY, will_delay_s, 1);
    cr_expect_eq(mqtt_publish_encode(&out, MQTT_50, &publish), ERR_PROTOCOL);
    publish.props.present = 1u << 31;
    cr_expect_eq(mqtt_publish_encode(&out, MQTT_50, &publish), ERR_PROTOCOL);
    struct buf ids;
    buf_init(&ids, 100);
    cr_expect_eq(mqtt_subscription_id_put(&ids, 1), ERR_OK);
    cr_expect_eq(mqtt_subscription_id_put(&ids, 2), ERR_OK);
    struct mqtt_subscribe two = {.packet_id = 1, .entries = VIEW("\0\1a\0")};
    MQTT_SET(&two.props, SUBSCRIPTION_ID, subscription_ids, buf_view(&ids));
    cr_expect_eq(mqtt_subscribe_encode(&out, MQTT_50, &two), ERR_PROTOCOL, "one at most");
    buf_fini(&ids);
    struct mqtt_auth auth = {.reason = MQTT_CONTINUE_AUTHENTICATION};
    cr_expect_eq(mqtt_auth_encode(&out, MQTT_50, &auth), ERR_PROTOCOL, "no method");
    cr_expect_eq(mqtt_auth_encode(&out, MQTT_311, &auth), ERR_UNSUPPORTED);
    cr_expect_eq(out.len, 0);
    buf_fini(&out);
}

Test(props, values_that_the_standard_forbids_are_not_sent)
{
    static uint8_t big[65536];
    struct mqtt_connack rows[8] = {0};
    MQTT_SET(&rows[0].props, RECEIVE_MAXIMUM, receive_maximum, 0);
    MQTT_SET(&rows[1].props, MAXIMUM_PACKET_SIZE, maximum_packet_size, 0);
    MQTT_SET(&rows[2].props, MAXIMUM_QOS, maximum_qos, 2);
    MQTT_SET(&rows[3].props, RETAIN_AVAILABLE, retain_available, 2);
    MQTT_SET(&rows[4].props, WILDCARD_AVAILABLE, wildcard_available, 2);
    MQTT_SET(&rows[5].props, REASON_STRING, reason_string, view_of(big, 65536));
    MQTT_SET(&rows[6].props, AUTH_DATA, auth_data, view_of(big, 65536));
    MQTT_SET(&rows[7].props, SHARED_AVAILABLE, shared_available, 255);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf out;
        buf_init(&out, 1000000);
        cr_expect_eq(mqtt_connack_encode(&out, MQTT_50, &rows[i]), ERR_RANGE, "row %zu", i);
        cr_expect_eq(out.len, 0);
        buf_fini(&out);
    }
}

Test(props, words)
{
    cr_expect_str_eq(mqtt_prop_words(MQTT_PROP_TOPIC_ALIAS), "TOPIC_ALIAS");
    cr_expect_str_eq(mqtt_prop_words(MQTT_PROP_COUNT), "?");
}
