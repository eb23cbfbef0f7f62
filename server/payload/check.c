/*
 * Documents that are kept as they are end up in jsonb columns. PostgreSQL refuses some that RFC
 * 8259 allows: the character U+0000, and numbers with more than 16383 decimals. They are refused
 * here, where the sender still can be told. jsonb writes numbers out in full: the limit of the
 * exponent also keeps a short document from becoming a thousand times as long when it is read.
 */
#include "payload/decode.h"

enum { NUMBER_BYTES_MAX = 400, EXPONENT_DIGITS_MAX = 3 };

/* An odd number of backslashes in front of u0000. */
static bool has_nul_escape(struct view raw)
{
    for (size_t i = 0; i + 5 < raw.len; i++) {
        if (raw.data[i] == '\\') {
            if (memcmp(raw.data + i + 1, "u0000", 5) == 0) {
                return true;
            }
            i++; /* what stands behind a backslash is used up */
        }
    }
    return false;
}

static bool number_fits(struct view raw)
{
    const uint8_t *end = raw.data + raw.len;
    const uint8_t *e = raw.data;
    while (e < end && *e != 'e' && *e != 'E') {
        e++;
    }
    e += e < end;
    e += e < end && (*e == '-' || *e == '+');
    return raw.len <= NUMBER_BYTES_MAX && end - e <= EXPONENT_DIGITS_MAX;
}

static enum err check_event(struct decode *d, enum payload_kind kind,
                            const struct payload_event *ev)
{
    if (ev->key.data != NULL && has_nul_escape(ev->key)) {
        return decode_fail(d, ERR_UNSUPPORTED, ev->key_at,
                           "a key with the character U+0000 cannot be stored");
    }
    if (kind == PAYLOAD_TEXT && has_nul_escape(ev->text)) {
        return decode_fail(d, ERR_UNSUPPORTED, ev->at,
                           "a text with the character U+0000 cannot be stored");
    }
    if (kind == PAYLOAD_NUMBER && !number_fits(ev->text)) {
        return decode_fail(d, ERR_RANGE, ev->at,
                           "a number of more than %d bytes or with more than %d digits in its "
                           "exponent cannot be stored",
                           NUMBER_BYTES_MAX, EXPONENT_DIGITS_MAX);
    }
    return ERR_OK;
}

enum err payload_json_check(const struct payload_ctx *ctx, struct view body, bool object_only,
                            struct payload_error *ret_error)
{
    struct decode d;
    decode_init(&d, ctx, body, ret_error);
    d.json.arena = NULL; /* the content is not needed */
    struct payload_event ev = {0};
    enum payload_kind kind = payload_json_next(&d.json, &ev);
    if (object_only && kind != PAYLOAD_OBJECT) {
        return decode_fail_kind(&d, ev.at, "an object", kind);
    }
    for (; kind > PAYLOAD_END; kind = payload_json_next(&d.json, &ev)) {
        enum err e = check_event(&d, kind, &ev);
        if (e != ERR_OK) {
            return e;
        }
    }
    return kind == PAYLOAD_END ? ERR_OK : decode_fail_json(&d);
}
