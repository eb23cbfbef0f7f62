#include "base/check.h"
#include "mqtt/forward.h"
#include "support.h"

/* The properties of a PUBLISH as they are handed on, in a buf. */
static struct buf forwarded(const char *text)
{
    struct packet p = packet_read(text, MQTT_50, 'c');
    cr_assert_eq(p.err, ERR_OK, "%s", text);
    struct buf out;
    buf_init(&out, 1 << 20);
    size_t size = mqtt_forwarded_size(&p.any.as.publish.props);
    uint8_t *exact = support_copy("", 0);
    exact = realloc(exact, size == 0 ? 1 : size);
    mqtt_forwarded_write(&p.any.as.publish.props, exact);
    buf_put(&out, exact, size);
    free(exact);
    packet_free(&p);
    return out;
}

Test(forward, only_what_belongs_to_the_message_is_handed_on)
{
    static const struct {
        const char *why, *packet, *bytes;
    } rows[] = {
        {"nothing", "30 { <a> { } 'x' }", ""},
        {"alias and expiry are the publisher's", "30 { <a> { 02 00000010 23 0001 01 01 } 'x' }",
         "01 01"},
        {"all five, in their order",
         "30 { <a> { 26 <k> <2> 03 <text/plain> 02 00000010 26 <k> <1> 08 <re/ply> 09 <c> 01 00"
         " 23 0001 26 <a> <> } }",
         "26 <k> <2> 03 <text/plain> 26 <k> <1> 08 <re/ply> 09 <c> 01 00 26 <a> <>"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf out = forwarded(rows[i].packet);
        support_expect_bytes(&out, rows[i].bytes, rows[i].why);
        buf_fini(&out);
    }
}

Test(forward, what_belongs_to_the_delivery_is_added)
{
    static const uint32_t ids[] = {5, 200};
    static const uint8_t props[] = {0x01, 0x01};
    const struct mqtt_forward plain = {.topic = VIEW("a/b"), .payload = VIEW("x")};
    struct mqtt_forward all = plain;
    all.props = view_of(props, sizeof(props));
    all.subscription_ids = ids;
    all.subscription_id_count = 2;
    all.expires = true;
    all.expiry_s = 60;
    all.topic_alias = 7;
    all.qos = 2;
    all.packet_id = 0x1234;
    all.dup = true;
    all.retain = true;
    struct mqtt_forward known = plain; /* by its alias alone */
    known.topic = view_of(NULL, 0);
    known.topic_alias = 7;
    const struct {
        const char *why;
        enum mqtt_version version;
        const struct mqtt_forward *m;
        const char *bytes;
    } rows[] = {
        {"plain, 3.1.1", MQTT_311, &plain, "30 { <a/b> 'x' }"},
        {"plain", MQTT_50, &plain, "30 { <a/b> { } 'x' }"},
        {"all, 3.1.1", MQTT_311, &all, "3d { <a/b> 1234 'x' }"},
        {"all", MQTT_50, &all,
         "3d { <a/b> 1234 { 01 01 02 0000003c 23 0007 0b 05 0b c8 01 } 'x' }"},
        {"alias alone", MQTT_50, &known, "30 { <> { 23 0007 } 'x' }"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct mqtt_bytes want = mqtt_bytes_of(rows[i].bytes);
        struct buf out;
        buf_init(&out, 1000);
        cr_expect_eq(mqtt_forward_encode(&out, rows[i].version, rows[i].m, (uint32_t)want.len - 1),
                     ERR_LIMIT, "%s", rows[i].why);
        cr_expect_eq(out.len, 0, "%s", rows[i].why);
        cr_expect_eq(mqtt_forward_encode(&out, rows[i].version, rows[i].m, (uint32_t)want.len),
                     ERR_OK, "%s", rows[i].why);
        support_expect_bytes(&out, rows[i].bytes, rows[i].why);
        buf_fini(&out);
    }
}

Test(forward, what_has_no_encoding_is_refused)
{
    const struct mqtt_forward good = {.topic = VIEW("a"), .payload = VIEW("x")};
    struct mqtt_forward rows[5] = {good, good, good, good, good};
    rows[0].qos = 3;
    rows[1].qos = 1; /* without a packet id */
    rows[2].packet_id = 1;
    rows[3].dup = true;
    rows[4].topic = view_of(NULL, 0);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf out;
        buf_init(&out, 1000);
        cr_expect_eq(mqtt_forward_encode(&out, MQTT_50, &rows[i], 1000), ERR_RANGE, "%zu", i);
        cr_expect_eq(out.len, 0);
        buf_fini(&out);
    }
    struct mqtt_forward alias = rows[4];
    alias.topic_alias = 1;
    struct buf out;
    buf_init(&out, 1000);
    cr_expect_eq(mqtt_forward_encode(&out, MQTT_311, &alias, 1000), ERR_RANGE, "3.1.1 has none");
    buf_fini(&out);
}
