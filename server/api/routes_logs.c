/*
 * What was refused (rejected messages) and who changed what (audit log).
 */
#include <stdlib.h>

#include "api/handlers.h"
#include "api/internal.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "store/query_events.h"

static bool read_times(struct api_request *r, int64_t *ret_from_us, int64_t *ret_to_us)
{
    if (!api_param_time(r, "from", CLOCK_NONE, ret_from_us) ||
        !api_param_time(r, "to", CLOCK_NONE, ret_to_us)) {
        return false;
    }
    if (*ret_from_us != CLOCK_NONE && *ret_to_us != CLOCK_NONE && *ret_from_us > *ret_to_us) {
        api_fail(r, PROBLEM_BAD_REQUEST, "from is after to");
        return false;
    }
    return true;
}

void api_handle_audit_list(struct api_request *r, struct db *db)
{
    static const struct api_cursor start = {.a = INT64_MAX};
    int64_t limit = 0;
    struct api_cursor at;
    struct store_audit_filter f = {
        .actor = api_param_text(r, "actor"),
        .action = api_param_text(r, "action"),
        .object = api_param_text(r, "object"),
    };
    if (!api_param_limit(r, API_LIMIT_MAX, API_LIMIT_DEFAULT, &limit) ||
        !api_param_cursor(r, 'i', &start, &at) || !read_times(r, &f.from_us, &f.to_us)) {
        return;
    }
    struct db_result *rows = NULL;
    enum err e = store_audit_list(db, &f, at.a, limit, &rows);
    if (e != ERR_OK) {
        api_fail_err(r, e, "audit log");
        return;
    }
    api_answer_rows(r, rows, limit, 'i');
}

static int nibble(uint8_t c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

static void put_base64(struct buf *out, struct view bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t bits = (uint32_t)bytes.data[i] << 16;
        bits |= left > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0;
        bits |= left > 2 ? bytes.data[i + 2] : 0;
        for (size_t k = 0; k < 4; k++) {
            buf_put_u8(out, k <= left ? (uint8_t)digits[bits >> (18 - 6 * k) & 63] : '=');
        }
    }
}

/* As text when it is text, else as base64. */
static void put_payload(struct emit_json *j, struct view hex)
{
    struct buf bytes;
    buf_init(&bytes, hex.len / 2 + 1);
    for (size_t i = 0; i + 1 < hex.len; i += 2) {
        buf_put_u8(&bytes, (uint8_t)(nibble(hex.data[i]) * 16 + nibble(hex.data[i + 1])));
    }
    if (utf8_valid(buf_view(&bytes))) {
        emit_json_key(j, "payload");
        emit_json_view(j, buf_view(&bytes));
    } else {
        emit_json_key(j, "payload_base64");
        buf_put_u8(j->out, '"');
        put_base64(j->out, buf_view(&bytes));
        buf_put_u8(j->out, '"');
        j->comma = true;
    }
    buf_fini(&bytes);
}

static void put_rejected(struct emit_json *j, const struct db_result *rows, int at)
{
    static const char *const texts[] = {"device", "topic", "reason", "pointer", "detail"};
    emit_json_open(j, '{');
    emit_json_key(j, "id");
    emit_json_int(j, db_get_int(rows, at, 0));
    emit_json_key(j, "received_at");
    emit_json_time(j, db_get_int(rows, at, 1));
    for (int i = 0; i < (int)COUNT_OF(texts); i++) {
        emit_json_key(j, texts[i]);
        emit_json_view(j, db_get_view(rows, at, 2 + i));
    }
    put_payload(j, db_get_view(rows, at, 7));
    emit_json_key(j, "size");
    emit_json_int(j, db_get_int(rows, at, 8));
    emit_json_close(j, '}');
}

void api_handle_rejected_list(struct api_request *r, struct db *db)
{
    static const struct api_cursor start = {.a = INT64_MAX};
    int64_t limit = 0;
    struct api_cursor at;
    struct store_rejected_filter f = {0};
    if (!api_param_limit(r, API_LIMIT_MAX, API_LIMIT_DEFAULT, &limit) ||
        !api_param_cursor(r, 'j', &start, &at) || !read_times(r, &f.from_us, &f.to_us)) {
        return;
    }
    /* By name for who sees all: a message may be of a device that is gone. */
    if (api_unlimited(r)) {
        f.device = api_param_text(r, "device");
    } else if (!api_device_ids(r, &f.ids)) {
        return;
    }
    struct db_result *rows = NULL;
    enum err e = store_rejected_list(db, &f, at.a, limit, &rows);
    if (e != ERR_OK) {
        api_fail_err(r, e, "rejected messages");
        return;
    }
    struct emit_json j = api_list_begin(r);
    int n = db_rows(rows) < (int)limit ? db_rows(rows) : (int)limit;
    for (int i = 0; i < n; i++) {
        put_rejected(&j, rows, i);
    }
    struct api_cursor next = {.tag = 'j'};
    bool more = db_rows(rows) > n;
    if (more) {
        next.a = db_get_int(rows, n - 1, 0);
    }
    db_result_free(rows);
    api_list_end(r, &j, more ? &next : NULL);
}
