/*
 * Targets, cursors, times, CSV and JSON bodies: what any client may send. Properties: what is
 * accepted lies within its limits, ends with a NUL byte and is UTF-8; a cursor that is read is
 * written back the same; reading CSV always ends.
 */
#include <stdlib.h>

#include "api/accept.h"
#include "api/body.h"
#include "api/csv.h"
#include "api/cursor.h"
#include "api/events.h"
#include "api/query.h"
#include "api/route.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_target(struct view text)
{
    struct arena a;
    struct api_query q = {0};
    arena_init(&a, 1 << 20);
    if (api_query_parse(text, &a, &q) == ERR_OK) {
        struct view names[API_NAMES_MAX];
        char allow[80];
        CHECK(q.segment_count <= API_SEGMENTS_MAX && q.param_count <= API_PARAMS_MAX);
        for (uint32_t i = 0; i < q.segment_count; i++) {
            CHECK(q.segments[i].len > 0 && q.segments[i].data[q.segments[i].len] == 0);
            CHECK(utf8_valid(q.segments[i]) && !view_eq_str(q.segments[i], ".."));
            CHECK(strlen((const char *)q.segments[i].data) == q.segments[i].len);
        }
        for (uint32_t i = 0; i < q.param_count; i++) {
            CHECK(q.params[i].name.len > 0 && utf8_valid(q.params[i].value));
            CHECK(strlen((const char *)q.params[i].value.data) == q.params[i].value.len);
        }
        const struct api_route *r = api_route_find(&q, "GET", names, allow);
        CHECK(r == NULL || r->handler != NULL);
    } else {
        CHECK(q.segment_count == 0 && q.param_count == 0);
    }
    arena_fini(&a);
}

static void try_cursor(struct view text)
{
    struct api_cursor c;
    struct api_cursor again;
    char written[API_CURSOR_TEXT_SIZE];
    if (api_cursor_read(text, 'd', &c) == ERR_OK) {
        CHECK(api_cursor_read(view_str(api_cursor_write(&c, written)), 'd', &again) == ERR_OK);
        CHECK(c.a == again.a && c.b == again.b && strcmp(c.name, again.name) == 0);
    }
    int64_t us = 0;
    if (api_time_parse(text, 1700000000000000, &us) == ERR_OK) {
        CHECK(us >= CLOCK_MIN_US && us <= CLOCK_MAX_US);
    }
}

static void try_csv(struct view text)
{
    struct api_csv csv = api_csv_init(text);
    struct view fields[API_CSV_FIELDS_MAX];
    for (size_t i = 0; i <= text.len + 1; i++) {
        struct arena a;
        uint32_t n = 0;
        arena_init(&a, 1 << 20);
        enum err e = api_csv_next(&csv, &a, fields, &n);
        CHECK(n <= API_CSV_FIELDS_MAX);
        for (uint32_t k = 0; e == ERR_OK && k < n; k++) {
            CHECK(utf8_valid(fields[k]) && fields[k].data[fields[k].len] == 0);
        }
        arena_fini(&a);
        if (e == ERR_SKIP) {
            return;
        }
        CHECK(i <= text.len); /* each call takes at least one byte */
    }
}

static void try_json(struct view text)
{
    json_t *json = NULL;
    char detail[200];
    if (api_json_load(text, &json, detail, sizeof(detail)) != ERR_OK) {
        return;
    }
    struct api_errors errors = {0};
    struct api_fields f = api_fields_init(json, "", &errors);
    api_fields_only(&f, "name labels");
    (void)api_field_text(&f, "name", true);
    CHECK(errors.count <= API_ERRORS_MAX);
    /* 2.5e3 comes out as 2500, so texts are compared and not values. */
    struct buf out;
    struct buf twice;
    buf_init(&out, 1 << 20);
    buf_init(&twice, 1 << 20);
    api_json_write(&out, json);
    CHECK(buf_err(&out) == ERR_OK);
    json_t *again = json_loadb((const char *)out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
    CHECK(again != NULL || !json_is_object(json));
    if (again != NULL) {
        api_json_write(&twice, again);
        CHECK(view_eq(buf_view(&out), buf_view(&twice)));
    }
    json_decref(again);
    buf_fini(&out);
    buf_fini(&twice);
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct view text = view_of(data + 1, size - 1);
    char *ended = strndup((const char *)text.data, text.len);
    if (ended == NULL) {
        return 0;
    }
    switch (data[0] & 7) {
    case 0:
        try_target(text);
        break;
    case 1:
        try_cursor(text);
        break;
    case 2:
        try_csv(text);
        break;
    case 3:
        try_json(text);
        break;
    case 4:
        (void)api_accept(ended, API_MEDIA_JSON | API_MEDIA_CSV);
        (void)api_content_type(ended);
        (void)api_if_match(ended, 7);
        break;
    default:
        (void)api_events_kind_matches(text, VIEW("alert.firing"));
        break;
    }
    free(ended);
    return 0;
}
