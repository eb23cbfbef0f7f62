#include "base/ident.h"
#include "payload/decode.h"

static enum err check_device_name(struct decode *d, struct view name, size_t offset)
{
    char shown[64];
    if (ident_valid(name)) {
        return ERR_OK;
    }
    return decode_fail(d, ERR_MALFORMED, offset,
                       "\"%s\" is not allowed as a name: 1 to 128 of A-Z a-z 0-9 . _ : -",
                       decode_show(name, shown));
}

/* One member of the gateway's object: a device name with its array. */
static enum err read_device(struct decode *d, enum payload_kind kind,
                            const struct payload_event *ev, struct names *names,
                            struct payload_device ***tail)
{
    if (kind == PAYLOAD_ERROR) {
        return decode_fail_json(d);
    }
    enum err e = check_device_name(d, ev->key, ev->key_at);
    if (e != ERR_OK) {
        return e;
    }
    if (kind != PAYLOAD_ARRAY) {
        return decode_fail_kind(d, ev->at, "an array of samples", kind);
    }
    if (names->count >= d->ctx->limits->samples_max) {
        return decode_fail(d, ERR_LIMIT, ev->key_at, "more than %u devices in one message",
                           d->ctx->limits->samples_max);
    }
    uint32_t number = 0;
    e = names_add(names, d->ctx->arena, ev->key, &number);
    if (e == ERR_EXISTS) {
        char shown[64];
        return decode_fail(d, e, ev->key_at, "the device \"%s\" stands twice in one message",
                           decode_show(ev->key, shown));
    }
    struct payload_device *device = arena_zalloc(d->ctx->arena, sizeof(*device));
    if (e != ERR_OK || device == NULL) {
        return decode_fail(d, ERR_NOMEM, ev->key_at, "no room for more devices");
    }
    device->name = ev->key;
    **tail = device;
    *tail = &device->next;
    return decode_samples(d, &device->samples);
}

static enum err read_devices(struct decode *d, struct payload_device **first, uint32_t *count)
{
    struct names names = {0};
    struct payload_device **tail = first;
    struct payload_event ev = {0};
    enum payload_kind kind = payload_json_next(&d->json, &ev);
    if (kind != PAYLOAD_OBJECT) {
        return decode_fail_kind(d, ev.at, "an object of device names", kind);
    }
    for (;;) {
        kind = payload_json_next(&d->json, &ev);
        if (kind == PAYLOAD_OBJECT_END) {
            *count = names.count;
            return ERR_OK;
        }
        enum err e = read_device(d, kind, &ev, &names, &tail);
        if (e != ERR_OK) {
            return e;
        }
    }
}

enum err payload_gateway_telemetry(const struct payload_ctx *ctx, struct view body,
                                   struct payload_device **ret_first, uint32_t *ret_count,
                                   struct payload_error *ret_error)
{
    struct decode d;
    struct payload_device *first = NULL;
    uint32_t count = 0;
    decode_init(&d, ctx, body, ret_error);
    enum err e = read_devices(&d, &first, &count);
    e = e == ERR_OK ? decode_end(&d) : e;
    for (struct payload_device *at = first; at != NULL && e == ERR_OK; at = at->next) {
        e = decode_resolve(&d, &at->samples);
    }
    if (e == ERR_OK) {
        *ret_first = first;
        *ret_count = count;
    }
    return e;
}

/* The texts of a {"device":…,"type":…} message; .data is NULL until seen. */
struct gateway_device {
    struct view name;
    struct view type;
    bool type_null;
};

static enum err take_device_text(struct decode *d, enum payload_kind kind,
                                 const struct payload_event *ev, bool again, struct view *text)
{
    if (again) {
        char shown[64];
        return decode_fail(d, ERR_EXISTS, ev->key_at, "the key \"%s\" stands twice in one object",
                           decode_show(ev->key, shown));
    }
    if (kind != PAYLOAD_TEXT) {
        return decode_fail_kind(d, ev->at, "a text", kind);
    }
    *text = ev->text;
    return check_device_name(d, ev->text, ev->at);
}

static enum err take_device_member(struct decode *d, enum payload_kind kind,
                                   const struct payload_event *ev, struct gateway_device *device)
{
    if (kind == PAYLOAD_ERROR) {
        return decode_fail_json(d);
    }
    if (view_eq(ev->key, VIEW("device"))) {
        return take_device_text(d, kind, ev, device->name.data != NULL, &device->name);
    }
    if (view_eq(ev->key, VIEW("type"))) {
        bool again = device->type.data != NULL || device->type_null;
        bool none = kind == PAYLOAD_NULL || (kind == PAYLOAD_TEXT && ev->text.len == 0);
        if (none && !again) {
            device->type_null = true;
            return ERR_OK;
        }
        return take_device_text(d, kind, ev, again, &device->type);
    }
    bool nested = kind == PAYLOAD_OBJECT || kind == PAYLOAD_ARRAY;
    if (nested && payload_json_skip(&d->json) != ERR_OK) {
        return decode_fail_json(d);
    }
    return ERR_OK; /* gateways of other makers send more; it has no meaning here */
}

enum err payload_gateway_device(const struct payload_ctx *ctx, struct view body,
                                struct view *ret_name, struct view *ret_type,
                                struct payload_error *ret_error)
{
    struct decode d;
    struct gateway_device device = {0};
    struct payload_event ev = {0};
    decode_init(&d, ctx, body, ret_error);
    enum payload_kind kind = payload_json_next(&d.json, &ev);
    if (kind != PAYLOAD_OBJECT) {
        return decode_fail_kind(&d, ev.at, "an object", kind);
    }
    while ((kind = payload_json_next(&d.json, &ev)) != PAYLOAD_OBJECT_END) {
        enum err e = take_device_member(&d, kind, &ev, &device);
        if (e != ERR_OK) {
            return e;
        }
    }
    enum err e = decode_end(&d);
    if (e != ERR_OK) {
        return e;
    }
    if (device.name.data == NULL) {
        return decode_fail(&d, ERR_NOT_FOUND, 0, "the key \"device\" is missing");
    }
    *ret_name = device.name;
    *ret_type = device.type;
    return ERR_OK;
}
