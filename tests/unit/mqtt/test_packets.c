#include "support.h"

/* Valid packets, written by hand from the standard's chapters. */
struct valid {
    const char *why;
    enum mqtt_version version;
    char sender;
    bool exact;     /* our encoder writes the same bytes */
    size_t shorter; /* how many cuts of the body are valid packets too */
    const char *text;
};

static const struct valid valid[] = {
    {"smallest CONNECT of 3.1.1", MQTT_311, 'c', true, 0, "10 { <MQTT> 04 02 003c <> }"},
    {"CONNECT 3.1.1 with everything", MQTT_311, 'c', true, 0,
     "10 { <MQTT> 04 f6 003c <dev-7> <gone/dev-7> <bye> <user> <secret> }"},
    {"empty id with a kept session is the session's business", MQTT_311, 'c', true, 0,
     "10 { <MQTT> 04 00 0000 <> }"},
    {"smallest CONNECT of 5.0", MQTT_50, 'c', true, 0, "10 { <MQTT> 05 02 003c { } <> }"},
    {"CONNECT 5.0 with everything", MQTT_50, 'c', true, 0,
     "10 { <MQTT> 05 ee ffff"
     " { 11 00000e10 15 <SCRAM> 16 <xy> 17 01 19 00 21 0014 22 000a 26 <k> <v> 27 00010000 } <dev>"
     " { 01 01 02 0000003c 03 <text> 08 <re/ply> 09 <id> 18 00000005 26 <a> <b> 26 <a> <c> }"
     " <gone> <bye> <user> <secret> }"},
    {"5.0 allows a password alone", MQTT_50, 'c', true, 0,
     "10 { <MQTT> 05 42 0000 { } <d> <token> }"},
    {"an empty will", MQTT_311, 'c', true, 0, "10 { <MQTT> 04 06 0000 <d> <t> <> }"},

    {"CONNACK 3.1.1", MQTT_311, 's', true, 0, "20 { 00 00 }"},
    {"CONNACK 3.1.1 with a session", MQTT_311, 's', true, 0, "20 { 01 00 }"},
    {"CONNACK 3.1.1, not authorised", MQTT_311, 's', true, 0, "20 { 00 05 }"},
    {"CONNACK 5.0", MQTT_50, 's', true, 0, "20 { 00 00 { } }"},
    {"CONNACK 5.0 with everything", MQTT_50, 's', true, 0,
     "20 { 01 00 { 11 00000e10 12 <auto-1> 13 003c 15 <m> 16 <d> 1a <info> 1c <other> 1f <why>"
     " 21 0064 22 0010 24 01 25 00 26 <k> <v> 27 00040000 28 01 29 01 2a 00 } }"},
    {"CONNACK 5.0, banned", MQTT_50, 's', true, 0, "20 { 00 8a { } }"},

    {"PUBLISH QoS 0, empty", MQTT_311, 'c', true, 0, "30 { <a> }"},
    {"PUBLISH QoS 1", MQTT_311, 'c', true, 7, "32 { <v1/devices/me/telemetry> 0007 '{\"k\":1}' }"},
    {"PUBLISH QoS 2, DUP, retained", MQTT_311, 'c', true, 1, "3d { <a/b> ffff 'x' }"},
    {"PUBLISH with UTF-8", MQTT_311, 'c', true, 1,
     "30 { <\xC3\xA9/\xE2\x82\xAC/\xF0\x9F\x9A\x82> 'x' }"},
    {"PUBLISH 5.0", MQTT_50, 'c', true, 2, "31 { <a/b> { } 'hi' }"},
    {"PUBLISH 5.0, topic by alias", MQTT_50, 'c', true, 1, "32 { <> 0001 { 23 0005 } 'x' }"},
    {"PUBLISH 5.0 with everything", MQTT_50, 's', true, 1,
     "32 { <a/b> 0001 { 01 01 02 0000000a 03 <json> 08 <r> 09 <c> 0b 01 0b ffffff7f 23 0001"
     " 26 <> <> 26 <k> <v> } 'x' }"},
    {"repeated properties between others", MQTT_50, 's', false, 0,
     "30 { <a> { 26 <1> <x> 0b 05 01 00 26 <2> <y> 0b 80 01 02 00000001 26 <1> <z> } }"},

    {"PUBACK", MQTT_311, 'c', true, 0, "40 { 0001 }"},
    {"PUBREC", MQTT_311, 's', true, 0, "50 { 0001 }"},
    {"PUBREL", MQTT_311, 'c', true, 0, "62 { 0001 }"},
    {"PUBCOMP", MQTT_311, 's', true, 0, "70 { ffff }"},
    {"PUBACK 5.0, short", MQTT_50, 's', true, 0, "40 { 0001 }"},
    {"PUBACK 5.0 with a reason", MQTT_50, 's', true, 1, "40 { 0001 10 }"},
    {"PUBACK 5.0 with all parts, though empty", MQTT_50, 's', false, 2, "40 { 0001 00 { } }"},
    {"PUBACK 5.0 with words", MQTT_50, 's', true, 2, "40 { 0001 87 { 1f <no> 26 <k> <v> } }"},
    {"PUBACK 5.0, success with words", MQTT_50, 'c', true, 2, "40 { 0001 00 { 1f <ok> } }"},
    {"PUBREC 5.0", MQTT_50, 'c', true, 1, "50 { 0001 97 }"},
    {"PUBREL 5.0", MQTT_50, 'c', true, 2, "62 { 0002 92 { 1f <gone> } }"},
    {"PUBCOMP 5.0", MQTT_50, 's', true, 1, "70 { 0002 92 }"},

    {"SUBSCRIBE", MQTT_311, 'c', true, 0, "82 { 0001 <a/b> 01 }"},
    {"SUBSCRIBE, three", MQTT_311, 'c', true, 2, "82 { 0001 <a/b> 00 <#> 01 <+/x/+> 02 }"},
    {"SUBSCRIBE 5.0", MQTT_50, 'c', true, 1,
     "82 { 0001 { 0b ffffff7f 26 <k> <v> } <a/b> 2e <$share/g/x/#> 19 }"},
    {"SUBACK", MQTT_311, 's', true, 3, "90 { 0001 00 01 02 80 }"},
    {"SUBACK 5.0", MQTT_50, 's', true, 3, "90 { 0001 { 1f <w> 26 <k> <v> } 00 02 87 9e }"},
    {"UNSUBSCRIBE", MQTT_311, 'c', true, 1, "a2 { 0001 <a> <b/#> }"},
    {"UNSUBSCRIBE 5.0", MQTT_50, 'c', true, 0, "a2 { 0001 { 26 <k> <v> } <a> }"},
    {"UNSUBACK", MQTT_311, 's', true, 0, "b0 { 0001 }"},
    {"UNSUBACK 5.0", MQTT_50, 's', true, 1, "b0 { 0001 { } 00 11 }"},

    {"PINGREQ", MQTT_311, 'c', true, 0, "c0 00"},
    {"PINGRESP", MQTT_50, 's', true, 0, "d0 00"},
    {"DISCONNECT", MQTT_311, 'c', true, 0, "e0 00"},
    {"DISCONNECT 5.0, short", MQTT_50, 'c', true, 0, "e0 00"},
    {"DISCONNECT 5.0, with will", MQTT_50, 'c', true, 1, "e0 { 04 }"},
    {"DISCONNECT 5.0, all parts", MQTT_50, 'c', false, 2, "e0 { 00 { } }"},
    {"DISCONNECT 5.0 from a client", MQTT_50, 'c', true, 2, "e0 { 00 { 11 00000000 1f <bye> } }"},
    {"DISCONNECT 5.0 from a server", MQTT_50, 's', true, 2, "e0 { 9d { 1c <b:1> 26 <k> <v> } }"},
    {"AUTH, empty", MQTT_50, 's', true, 0, "f0 00"},
    {"AUTH", MQTT_50, 'c', true, 0, "f0 { 18 { 15 <m> 16 <data> 1f <w> 26 <k> <v> } }"},
    {"AUTH again", MQTT_50, 'c', true, 0, "f0 { 19 { 15 <m> } }"},
};

enum { VALID_COUNT = sizeof(valid) / sizeof(valid[0]) };

/* Encodes what was decoded and decodes that again. */
static void expect_round_trip(const struct mqtt_any *any, const struct mqtt_source *from,
                              const char *why, const struct mqtt_bytes *same)
{
    struct buf out;
    buf_init(&out, 100000);
    enum err e = mqtt_any_encode(&out, from->version, any);
    cr_expect_eq(e, ERR_OK, "%s: %s", why, err_words(e));
    if (same != NULL) {
        cr_expect(view_eq(buf_view(&out), view_of(same->at, same->len)), "%s: other bytes", why);
    }
    struct mqtt_frame f;
    e = mqtt_frame(buf_view(&out), MQTT_REMAINING_MAX, &f);
    cr_assert_eq(e, ERR_OK, "%s: %s", why, err_words(e));
    cr_expect_eq(f.total, out.len, "%s", why);
    struct mqtt_any again;
    e = mqtt_any_decode(f.head, f.body, from, &again);
    cr_assert_eq(e, ERR_OK, "%s: %s", why, err_words(e));
    cr_expect(mqtt_any_eq(any, &again), "%s: not the same after encoding", why);
    buf_fini(&out);
}

Test(packets, valid_ones_are_read_and_written_again)
{
    for (size_t i = 0; i < VALID_COUNT; i++) {
        const struct valid *row = &valid[i];
        struct packet p = packet_read(row->text, row->version, row->sender);
        cr_expect_eq(p.err, ERR_OK, "%s: %s", row->why, err_words(p.err));
        if (p.err == ERR_OK) {
            struct mqtt_source from = support_source(row->version, row->sender);
            struct mqtt_bytes b = mqtt_bytes_of(row->text);
            expect_round_trip(&p.any, &from, row->why, row->exact ? &b : NULL);
        }
        packet_free(&p);
    }
}

Test(packets, every_cut_of_the_stream_waits_for_more)
{
    for (size_t i = 0; i < VALID_COUNT; i++) {
        struct mqtt_bytes b = mqtt_bytes_of(valid[i].text);
        for (size_t cut = 0; cut < b.len; cut++) {
            uint8_t *copy = support_copy(b.at, cut);
            struct mqtt_frame f = {.total = 77};
            cr_expect_eq(mqtt_frame(view_of(copy, cut), 10000, &f), ERR_SHORT, "%s at %zu",
                         valid[i].why, cut);
            cr_expect_eq(f.total, 77, "output touched");
            free(copy);
        }
    }
}

Test(packets, every_cut_of_the_body_is_refused_unless_it_is_a_shorter_packet)
{
    for (size_t i = 0; i < VALID_COUNT; i++) {
        struct mqtt_bytes b = mqtt_bytes_of(valid[i].text);
        struct mqtt_source from = support_source(valid[i].version, valid[i].sender);
        struct mqtt_frame f;
        cr_assert_eq(mqtt_frame(view_of(b.at, b.len), 10000, &f), ERR_OK, "%s", valid[i].why);
        size_t accepted = 0;
        for (size_t cut = 0; cut < f.body.len; cut++) {
            struct packet p;
            enum err e = support_decode(f.head, f.body.data, cut, &from, &p);
            bool list = f.type == MQTT_SUBSCRIBE || f.type == MQTT_UNSUBSCRIBE ||
                        f.type == MQTT_SUBACK || f.type == MQTT_UNSUBACK;
            if (e == ERR_OK) {
                accepted++;
                expect_round_trip(&p.any, &from, valid[i].why, NULL);
            } else {
                /* An empty AUTH means success, which a client may not say. */
                bool meaning = e == ERR_PROTOCOL && (list || f.type == MQTT_AUTH);
                cr_expect(e == ERR_SHORT || e == ERR_MALFORMED || meaning, "%s at %zu: %s",
                          valid[i].why, cut, err_words(e));
            }
            packet_free(&p);
        }
        cr_expect_eq(accepted, valid[i].shorter, "%s: %zu cuts accepted", valid[i].why, accepted);
    }
}

Test(packets, one_byte_more_is_refused)
{
    for (size_t i = 0; i < VALID_COUNT; i++) {
        struct mqtt_bytes b = mqtt_bytes_of(valid[i].text);
        struct mqtt_source from = support_source(valid[i].version, valid[i].sender);
        struct mqtt_frame f;
        cr_assert_eq(mqtt_frame(view_of(b.at, b.len), 10000, &f), ERR_OK, "%s", valid[i].why);
        if (f.type == MQTT_PUBLISH) {
            continue; /* its payload takes every byte */
        }
        uint8_t longer[1024];
        memcpy(longer, f.body.data, f.body.len);
        longer[f.body.len] = 0xFF;
        struct packet p;
        cr_expect_neq(support_decode(f.head, longer, f.body.len + 1, &from, &p), ERR_OK, "%s",
                      valid[i].why);
        packet_free(&p);
    }
}

Test(packets, any_flipped_bit_is_refused_or_read_as_what_it_now_says)
{
    size_t refused = 0;
    for (size_t i = 0; i < VALID_COUNT; i++) {
        struct mqtt_bytes b = mqtt_bytes_of(valid[i].text);
        struct mqtt_source from = support_source(valid[i].version, valid[i].sender);
        struct mqtt_frame f;
        cr_assert_eq(mqtt_frame(view_of(b.at, b.len), 10000, &f), ERR_OK, "%s", valid[i].why);
        size_t start = f.total - f.body.len;
        for (size_t bit = 0; bit < f.body.len * 8; bit++) {
            b.at[start + bit / 8] ^= (uint8_t)(1u << bit % 8);
            struct packet p;
            enum err e = support_decode(f.head, f.body.data, f.body.len, &from, &p);
            if (e != ERR_OK) {
                refused++;
            } else if (f.type == MQTT_CONNECT) {
                struct mqtt_source now = from;
                now.version = p.any.as.connect.version;
                expect_round_trip(&p.any, &now, valid[i].why, NULL);
            } else {
                expect_round_trip(&p.any, &from, valid[i].why, NULL);
            }
            packet_free(&p);
            b.at[start + bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
    cr_expect_gt(refused, 1000);
}

Test(packets, a_full_or_failed_buffer_gets_no_part_of_a_packet)
{
    for (size_t i = 0; i < VALID_COUNT; i++) {
        struct packet p = packet_read(valid[i].text, valid[i].version, valid[i].sender);
        cr_assert_eq(p.err, ERR_OK);
        for (size_t limit = 0; limit < p.len && valid[i].exact; limit++) {
            struct buf out;
            buf_init(&out, limit);
            cr_expect_eq(mqtt_any_encode(&out, valid[i].version, &p.any), ERR_LIMIT, "%s",
                         valid[i].why);
            cr_expect_eq(out.len, 0, "%s: part of a packet was written", valid[i].why);
            buf_fini(&out);
        }
        packet_free(&p);
    }
}
