#include "support.h"

Test(subscribe, filters_and_options_arrive_in_order)
{
    struct packet p =
        packet_read("82 { 0007 { 0b 05 } <a/b> 00 <+/c> 0d <$share/g/#> 2a <d> 16 }", MQTT_50, 'c');
    cr_assert_eq(p.err, ERR_OK);
    static const struct {
        const char *filter;
        unsigned qos, no_local, as_published, handling;
    } want[] = {
        {"a/b", 0, 0, 0, 0}, {"+/c", 1, 1, 1, 0}, {"$share/g/#", 2, 0, 1, 2}, {"d", 2, 1, 0, 1}};
    const struct mqtt_subscribe *m = &p.any.as.subscribe;
    cr_expect_eq(m->packet_id, 7);
    cr_expect_eq(m->count, 4);
    cr_expect_eq(mqtt_subscription_id_first(&m->props), 5);
    struct mqtt_subscription_iter it = mqtt_subscription_iter(m);
    struct mqtt_subscription s;
    for (size_t i = 0; i < 4; i++) {
        cr_assert(mqtt_subscription_next(&it, &s));
        cr_expect(view_eq_str(s.filter, want[i].filter));
        cr_expect_eq(s.qos, want[i].qos);
        cr_expect_eq(s.no_local, want[i].no_local);
        cr_expect_eq(s.retain_as_published, want[i].as_published);
        cr_expect_eq(s.retain_handling, want[i].handling);
    }
    cr_expect_not(mqtt_subscription_next(&it, &s));
    cr_expect_not(mqtt_subscription_next(&it, &s));
    packet_free(&p);
}

Test(subscribe, refusals)
{
    static const struct refusal rows[] = {
        {"packet id 0", MQTT_311, 'c', ERR_PROTOCOL, "82 { 0000 <a> 00 }"},
        {"no filter", MQTT_311, 'c', ERR_PROTOCOL, "82 { 0001 }"},
        {"no filter", MQTT_50, 'c', ERR_PROTOCOL, "82 { 0001 { } }"},
        {"no options", MQTT_311, 'c', ERR_SHORT, "82 { 0001 <a> }"},
        {"no options for the second", MQTT_311, 'c', ERR_SHORT, "82 { 0001 <a> 00 <b> }"},
        {"filter empty", MQTT_311, 'c', ERR_MALFORMED, "82 { 0001 <> 00 }"},
        {"filter runs over the end", MQTT_311, 'c', ERR_SHORT, "82 { 0001 0009 'a' 00 }"},
        {"QoS 3", MQTT_311, 'c', ERR_MALFORMED, "82 { 0001 <a> 03 }"},
        {"QoS 3", MQTT_50, 'c', ERR_PROTOCOL, "82 { 0001 { } <a> 03 }"},
        {"option of 5.0 in 3.1.1", MQTT_311, 'c', ERR_MALFORMED, "82 { 0001 <a> 04 }"},
        {"reserved bit 6", MQTT_50, 'c', ERR_MALFORMED, "82 { 0001 { } <a> 40 }"},
        {"reserved bit 7", MQTT_50, 'c', ERR_MALFORMED, "82 { 0001 { } <a> 80 }"},
        {"retain handling 3", MQTT_50, 'c', ERR_PROTOCOL, "82 { 0001 { } <a> 30 }"},
        {"no local on a shared one", MQTT_50, 'c', ERR_PROTOCOL, "82 { 0001 { } <$share/g/a> 04 }"},
        {"shared without filter", MQTT_50, 'c', ERR_PROTOCOL, "82 { 0001 { } <$share/g/> 00 }"},
        {"shared without group", MQTT_50, 'c', ERR_PROTOCOL, "82 { 0001 { } <$share//a> 00 }"},
        {"'#' not last", MQTT_311, 'c', ERR_MALFORMED, "82 { 0001 <#/a> 00 }"},
        {"'+' within a level", MQTT_311, 'c', ERR_MALFORMED, "82 { 0001 <a+> 00 }"},
        {"the second is bad", MQTT_311, 'c', ERR_MALFORMED, "82 { 0001 <a> 00 <b#> 00 }"},
        {"NUL", MQTT_311, 'c', ERR_UTF8, "82 { 0001 0002 6100 00 }"},
        {"surrogate", MQTT_311, 'c', ERR_UTF8, "82 { 0001 0003 eda080 00 }"},
        {"two identifiers", MQTT_50, 'c', ERR_PROTOCOL, "82 { 0001 { 0b 01 0b 02 } <a> 00 }"},
        {"identifier 0", MQTT_50, 'c', ERR_PROTOCOL, "82 { 0001 { 0b 00 } <a> 00 }"},

        {"packet id 0", MQTT_311, 'c', ERR_PROTOCOL, "a2 { 0000 <a> }"},
        {"no filter", MQTT_311, 'c', ERR_PROTOCOL, "a2 { 0001 }"},
        {"no filter", MQTT_50, 'c', ERR_PROTOCOL, "a2 { 0001 { } }"},
        {"filter empty", MQTT_311, 'c', ERR_MALFORMED, "a2 { 0001 <> }"},
        {"filter bad", MQTT_311, 'c', ERR_MALFORMED, "a2 { 0001 <a> <b/#/c> }"},
        {"overlong", MQTT_311, 'c', ERR_UTF8, "a2 { 0001 0002 c080 }"},
        {"an identifier", MQTT_50, 'c', ERR_MALFORMED, "a2 { 0001 { 0b 01 } <a> }"},

        {"packet id 0", MQTT_311, 's', ERR_PROTOCOL, "90 { 0000 00 }"},
        {"no code", MQTT_311, 's', ERR_PROTOCOL, "90 { 0001 }"},
        {"code 3", MQTT_311, 's', ERR_PROTOCOL, "90 { 0001 00 03 }"},
        {"code of 5.0", MQTT_311, 's', ERR_PROTOCOL, "90 { 0001 87 }"},
        {"code of UNSUBACK", MQTT_50, 's', ERR_PROTOCOL, "90 { 0001 { } 11 }"},
        {"no code", MQTT_50, 's', ERR_PROTOCOL, "90 { 0001 { } }"},
        {"codes in 3.1.1", MQTT_311, 's', ERR_MALFORMED, "b0 { 0001 00 }"},
        {"code of SUBACK", MQTT_50, 's', ERR_PROTOCOL, "b0 { 0001 { } 01 }"},
        {"no code", MQTT_50, 's', ERR_PROTOCOL, "b0 { 0001 { } }"},
        {"packet id 0", MQTT_311, 's', ERR_PROTOCOL, "b0 { 0000 }"},
    };
    support_expect_refusals(rows, sizeof(rows) / sizeof(rows[0]));
}

Test(subscribe, every_options_byte_is_judged_by_the_rule)
{
    for (unsigned options = 0; options < 256; options++) {
        char text[64];
        snprintf(text, sizeof(text), "82 { 0001 { } <a> %02x }", options);
        bool reserved = (options & 0xC0) != 0;
        bool three = (options & 3) == 3 || (options & 0x30) == 0x30;
        enum err want = reserved ? ERR_MALFORMED : three ? ERR_PROTOCOL : ERR_OK;
        struct packet p = packet_read(text, MQTT_50, 'c');
        cr_expect_eq(p.err, want, "%s", text);
        packet_free(&p);
        snprintf(text, sizeof(text), "82 { 0001 <a> %02x }", options);
        p = packet_read(text, MQTT_311, 'c');
        cr_expect_eq(p.err, options > 2 ? ERR_MALFORMED : ERR_OK, "%s", text);
        packet_free(&p);
    }
}

Test(unsubscribe, filters_arrive_in_order)
{
    struct packet p = packet_read("a2 { 0007 <a/b> <#> <$share/g/x> }", MQTT_311, 'c');
    cr_assert_eq(p.err, ERR_OK);
    cr_expect_eq(p.any.as.unsubscribe.count, 3);
    struct mqtt_unsubscribe_iter it = mqtt_unsubscribe_iter(&p.any.as.unsubscribe);
    struct view f;
    cr_expect(mqtt_unsubscribe_next(&it, &f) && view_eq_str(f, "a/b"));
    cr_expect(mqtt_unsubscribe_next(&it, &f) && view_eq_str(f, "#"));
    cr_expect(mqtt_unsubscribe_next(&it, &f) && view_eq_str(f, "$share/g/x"));
    cr_expect_not(mqtt_unsubscribe_next(&it, &f));
    packet_free(&p);
}

Test(suback, refusals_become_0x80_for_3_1_1)
{
    struct buf out;
    buf_init(&out, 100);
    const struct mqtt_suback m = {.packet_id = 7, .reasons = VIEW("\x00\x01\x02\x80\x87\x9e")};
    cr_expect_eq(mqtt_suback_encode(&out, MQTT_311, &m), ERR_OK);
    support_expect_bytes(&out, "90 { 0007 00 01 02 80 80 80 }", "suback");
    buf_clear(&out);
    cr_expect_eq(mqtt_unsuback_encode(&out, MQTT_311, &m), ERR_OK);
    support_expect_bytes(&out, "b0 { 0007 }", "unsuback");
    buf_fini(&out);
}
