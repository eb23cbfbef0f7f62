#include "mqtt_samples.h"
#include "support.h"

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
    for (size_t i = 0; i < MQTT_SAMPLES; i++) {
        const struct mqtt_sample *row = &mqtt_samples[i];
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
    for (size_t i = 0; i < MQTT_SAMPLES; i++) {
        struct mqtt_bytes b = mqtt_bytes_of(mqtt_samples[i].text);
        for (size_t cut = 0; cut < b.len; cut++) {
            uint8_t *copy = support_copy(b.at, cut);
            struct mqtt_frame f = {.total = 77};
            cr_expect_eq(mqtt_frame(view_of(copy, cut), 10000, &f), ERR_SHORT, "%s at %zu",
                         mqtt_samples[i].why, cut);
            cr_expect_eq(f.total, 77, "output touched");
            free(copy);
        }
    }
}

Test(packets, every_cut_of_the_body_is_refused_unless_it_is_a_shorter_packet)
{
    for (size_t i = 0; i < MQTT_SAMPLES; i++) {
        struct mqtt_bytes b = mqtt_bytes_of(mqtt_samples[i].text);
        struct mqtt_source from = support_source(mqtt_samples[i].version, mqtt_samples[i].sender);
        struct mqtt_frame f;
        cr_assert_eq(mqtt_frame(view_of(b.at, b.len), 10000, &f), ERR_OK, "%s",
                     mqtt_samples[i].why);
        size_t accepted = 0;
        for (size_t cut = 0; cut < f.body.len; cut++) {
            struct packet p;
            enum err e = support_decode(f.head, f.body.data, cut, &from, &p);
            bool list = f.type == MQTT_SUBSCRIBE || f.type == MQTT_UNSUBSCRIBE ||
                        f.type == MQTT_SUBACK || f.type == MQTT_UNSUBACK;
            if (e == ERR_OK) {
                accepted++;
                expect_round_trip(&p.any, &from, mqtt_samples[i].why, NULL);
            } else {
                /* An empty AUTH means success, which a client may not say. */
                bool meaning = e == ERR_PROTOCOL && (list || f.type == MQTT_AUTH);
                cr_expect(e == ERR_SHORT || e == ERR_MALFORMED || meaning, "%s at %zu: %s",
                          mqtt_samples[i].why, cut, err_words(e));
            }
            packet_free(&p);
        }
        cr_expect_eq(accepted, mqtt_samples[i].shorter, "%s: %zu cuts accepted",
                     mqtt_samples[i].why, accepted);
    }
}

Test(packets, one_byte_more_is_refused)
{
    for (size_t i = 0; i < MQTT_SAMPLES; i++) {
        struct mqtt_bytes b = mqtt_bytes_of(mqtt_samples[i].text);
        struct mqtt_source from = support_source(mqtt_samples[i].version, mqtt_samples[i].sender);
        struct mqtt_frame f;
        cr_assert_eq(mqtt_frame(view_of(b.at, b.len), 10000, &f), ERR_OK, "%s",
                     mqtt_samples[i].why);
        bool bye = f.type == MQTT_DISCONNECT && from.version == MQTT_50 && f.body.len == 0;
        if (f.type == MQTT_PUBLISH || bye) {
            continue; /* every byte is payload, or a reason */
        }
        uint8_t longer[1024];
        memcpy(longer, f.body.data, f.body.len);
        longer[f.body.len] = 0xFF;
        struct packet p;
        cr_expect_neq(support_decode(f.head, longer, f.body.len + 1, &from, &p), ERR_OK, "%s",
                      mqtt_samples[i].why);
        packet_free(&p);
    }
}

Test(packets, any_flipped_bit_is_refused_or_read_as_what_it_now_says)
{
    size_t refused = 0;
    for (size_t i = 0; i < MQTT_SAMPLES; i++) {
        struct mqtt_bytes b = mqtt_bytes_of(mqtt_samples[i].text);
        struct mqtt_source from = support_source(mqtt_samples[i].version, mqtt_samples[i].sender);
        struct mqtt_frame f;
        cr_assert_eq(mqtt_frame(view_of(b.at, b.len), 10000, &f), ERR_OK, "%s",
                     mqtt_samples[i].why);
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
                expect_round_trip(&p.any, &now, mqtt_samples[i].why, NULL);
            } else {
                expect_round_trip(&p.any, &from, mqtt_samples[i].why, NULL);
            }
            packet_free(&p);
            b.at[start + bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
    cr_expect_gt(refused, 1000);
}

Test(packets, a_full_or_failed_buffer_gets_no_part_of_a_packet)
{
    for (size_t i = 0; i < MQTT_SAMPLES; i++) {
        struct packet p =
            packet_read(mqtt_samples[i].text, mqtt_samples[i].version, mqtt_samples[i].sender);
        cr_assert_eq(p.err, ERR_OK);
        for (size_t limit = 0; limit < p.len && mqtt_samples[i].exact; limit++) {
            struct buf out;
            buf_init(&out, limit);
            cr_expect_eq(mqtt_any_encode(&out, mqtt_samples[i].version, &p.any), ERR_LIMIT, "%s",
                         mqtt_samples[i].why);
            cr_expect_eq(out.len, 0, "%s: part of a packet was written", mqtt_samples[i].why);
            buf_fini(&out);
        }
        packet_free(&p);
    }
}
