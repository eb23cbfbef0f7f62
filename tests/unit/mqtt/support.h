/*
 * support: reads a hand-written packet from exact-size heap memory, so that AddressSanitizer sees
 * one byte too far, and proves that a failed decode touched nothing.
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "mqtt_any.h"
#include "mqtt_bytes.h"

enum { SUPPORT_PATTERN = 0xA5 };

struct packet {
    uint8_t *bytes; /* of the whole packet; `any` points into it */
    size_t len;
    enum err err;
    struct mqtt_any any;
};

static inline uint8_t *support_copy(const void *data, size_t len)
{
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    cr_assert_not_null(copy);
    if (len > 0) {
        memcpy(copy, data, len);
    }
    return copy;
}

static inline struct mqtt_source support_source(enum mqtt_version version, char sender)
{
    return (struct mqtt_source){
        .version = version,
        .sender = sender == 's' ? MQTT_FROM_SERVER : MQTT_FROM_CLIENT,
        .limits = mqtt_limits_default,
    };
}

static inline void support_mark(struct mqtt_any *any)
{
    memset(any, SUPPORT_PATTERN, sizeof(*any));
}

static inline bool support_untouched(const struct mqtt_any *any)
{
    const uint8_t *at = (const uint8_t *)any;
    for (size_t i = 0; i < sizeof(*any); i++) {
        if (at[i] != SUPPORT_PATTERN) {
            return false;
        }
    }
    return true;
}

/* Decodes one body that has just its own memory. */
static inline enum err support_decode(uint8_t head, const uint8_t *body, size_t len,
                                      const struct mqtt_source *from, struct packet *ret_packet)
{
    ret_packet->bytes = support_copy(body, len);
    ret_packet->len = len;
    support_mark(&ret_packet->any);
    ret_packet->err =
        mqtt_any_decode(head, view_of(ret_packet->bytes, len), from, &ret_packet->any);
    if (ret_packet->err != ERR_OK) {
        cr_expect(support_untouched(&ret_packet->any), "a failed decode touched its output");
    }
    return ret_packet->err;
}

static inline struct packet packet_read(const char *text, enum mqtt_version version, char sender)
{
    struct mqtt_bytes b = mqtt_bytes_of(text);
    struct mqtt_source from = support_source(version, sender);
    struct packet p = {.bytes = support_copy(b.at, b.len), .len = b.len};
    struct mqtt_frame f = {0};
    support_mark(&p.any);
    p.err = mqtt_frame(view_of(p.bytes, p.len), MQTT_REMAINING_MAX, &f);
    if (p.err == ERR_OK) {
        cr_expect_eq(f.total, p.len, "one packet a row: %s", text);
        p.err = mqtt_any_decode(f.head, f.body, &from, &p.any);
    }
    if (p.err != ERR_OK) {
        cr_expect(support_untouched(&p.any), "a failed decode touched its output: %s", text);
    }
    return p;
}

static inline void packet_free(struct packet *p)
{
    free(p->bytes);
    p->bytes = NULL;
}

/* One row of a table of refusals. */
struct refusal {
    const char *why;
    enum mqtt_version version;
    char sender; /* 'c' or 's' */
    enum err err;
    const char *text;
};

static inline void support_expect_refusals(const struct refusal *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct packet p = packet_read(rows[i].text, rows[i].version, rows[i].sender);
        cr_expect_eq(p.err, rows[i].err, "%s (%s): got %s, want %s", rows[i].why, rows[i].text,
                     err_words(p.err), err_words(rows[i].err));
        packet_free(&p);
    }
}

/* What was encoded is what the notation says. */
static inline void support_expect_bytes(const struct buf *out, const char *text, const char *why)
{
    struct mqtt_bytes want = mqtt_bytes_of(text);
    cr_expect_eq(buf_err(out), ERR_OK, "%s", why);
    cr_expect(view_eq(buf_view(out), view_of(want.at, want.len)), "%s: not %s", why, text);
}
