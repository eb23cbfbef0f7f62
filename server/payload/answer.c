#include "base/ident.h"
#include "payload/decode.h"

/* The parts of an answer; .data is NULL and id negative until seen. */
struct answer {
    struct view name;
    int64_t id;
    struct view data;
};

static enum err take_name(struct decode *d, enum payload_kind kind, const struct payload_event *ev,
                          struct answer *a)
{
    if (kind != PAYLOAD_TEXT) {
        return decode_fail_kind(d, ev->at, "a device name", kind);
    }
    if (!ident_valid(ev->text)) {
        return decode_fail(d, ERR_MALFORMED, ev->at, "this is not allowed as a device name");
    }
    a->name = ev->text;
    return ERR_OK;
}

static enum err take_id(struct decode *d, enum payload_kind kind, const struct payload_event *ev,
                        struct answer *a)
{
    if (kind != PAYLOAD_NUMBER) {
        return decode_fail_kind(d, ev->at, "the command's number", kind);
    }
    if (ev->number < 0 || ev->number > 9007199254740991.0 ||
        ev->number != (double)(int64_t)ev->number) {
        return decode_fail(d, ERR_RANGE, ev->at, "the command's number is a whole number");
    }
    a->id = (int64_t)ev->number;
    return ERR_OK;
}

static enum err take_member(struct decode *d, enum payload_kind kind,
                            const struct payload_event *ev, struct answer *a)
{
    if (kind == PAYLOAD_ERROR) {
        return decode_fail_json(d);
    }
    if (view_eq(ev->key, VIEW("device"))) {
        return take_name(d, kind, ev, a);
    }
    if (view_eq(ev->key, VIEW("id"))) {
        return take_id(d, kind, ev, a);
    }
    if ((kind == PAYLOAD_OBJECT || kind == PAYLOAD_ARRAY) &&
        payload_json_skip(&d->json) != ERR_OK) {
        return decode_fail_json(d);
    }
    if (view_eq(ev->key, VIEW("data"))) {
        a->data = view_of(d->body.data + ev->at, (size_t)(d->json.at - d->body.data) - ev->at);
    }
    return ERR_OK;
}

enum err payload_gateway_answer(const struct payload_ctx *ctx, struct view body,
                                struct view *ret_name, int64_t *ret_id, struct view *ret_data,
                                struct payload_error *ret_error)
{
    struct decode d;
    struct answer a = {.id = -1};
    struct payload_event ev = {0};
    /* The answer is kept in the database as it is, so it passes the same check as any kept text. */
    enum err e = payload_json_check(ctx, body, true, ret_error);
    if (e != ERR_OK) {
        return e;
    }
    decode_init(&d, ctx, body, ret_error);
    (void)payload_json_next(&d.json, &ev);
    enum payload_kind kind = payload_json_next(&d.json, &ev);
    for (; kind != PAYLOAD_OBJECT_END; kind = payload_json_next(&d.json, &ev)) {
        e = take_member(&d, kind, &ev, &a);
        if (e != ERR_OK) {
            return e;
        }
    }
    if (a.name.data == NULL || a.id < 0 || a.data.data == NULL) {
        return decode_fail(&d, ERR_NOT_FOUND, 0,
                           "expected the keys \"device\", \"id\" and \"data\"");
    }
    *ret_name = a.name;
    *ret_id = a.id;
    *ret_data = a.data;
    return ERR_OK;
}
