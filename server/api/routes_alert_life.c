/*
 * What people do with an alert beside acknowledging it. The core writes it, with history, audit and
 * event in one transaction; what it means for notifications is the notify module's.
 */
#include "api/handlers.h"
#include "api/internal.h"
#include "base/clock.h"

enum { COMMENT_MAX = 2000, ASSIGNEE_MAX = 256 };

#define SHELVE_MAX_US (31 * CLOCK_DAY_US)

/* The alert into r->op; false: answered already. */
static bool begin(struct api_request *r, struct db *db, const char *what)
{
    int64_t id = 0;
    struct db_result *row = api_alert(r, db, &id);
    if (row == NULL) {
        return false;
    }
    r->op.kind = API_OP_ALERT_LIFE;
    r->op.id = id;
    r->op.device_id = (int32_t)db_get_int(row, 0, 1);
    r->op.method = what;
    db_result_free(row);
    return true;
}

/* names: members that the body may have. An empty body is an empty object, unless one is needed. */
static bool read_body(struct api_request *r, const char *names, struct api_fields *ret_fields)
{
    static const char nothing[] = "{}";
    if (r->body.len == 0) {
        buf_put(&r->body, nothing, sizeof(nothing)); /* with its NUL */
        r->body.len--;
    }
    const json_t *body = api_body(r);
    if (body == NULL) {
        return false;
    }
    *ret_fields = api_fields_init(body, "", r->errors);
    api_fields_only(ret_fields, names);
    return true;
}

static const char *read_text(struct api_fields *f, const char *name, size_t max, bool required)
{
    const json_t *v = api_field(f, name, required ? API_STRING : API_STRING | API_NULL, required);
    const char *text = json_string_value(v);
    if (text != NULL && (text[0] == '\0' || strlen(text) > max)) {
        api_field_error(f, name, "must have 1 to %zu bytes", max);
    }
    return text;
}

void api_handle_alert_comment(struct api_request *r, struct db *db)
{
    struct api_fields f;
    if (!begin(r, db, "comment") || !read_body(r, "comment", &f)) {
        return;
    }
    r->op.comment = read_text(&f, "comment", COMMENT_MAX, true);
    if (!api_invalid(r)) {
        api_submit(r, api_alert_done);
    }
}

void api_handle_alert_assign(struct api_request *r, struct db *db)
{
    struct api_fields f;
    if (!begin(r, db, "assigned") || !read_body(r, "to comment", &f)) {
        return;
    }
    /* null takes it away from whoever has it; nothing at all is more likely a mistake */
    if (json_object_get(f.object, "to") == NULL) {
        api_field_error(&f, "to", "is required: a name, or null for nobody");
    }
    r->op.assignee = read_text(&f, "to", ASSIGNEE_MAX, false);
    r->op.comment = read_text(&f, "comment", COMMENT_MAX, false);
    if (!api_invalid(r)) {
        api_submit(r, api_alert_done);
    }
}

/* "until" or "for": nothing is shelved without an end. */
static int64_t read_until(struct api_fields *f)
{
    int64_t now_us = clock_wall_us();
    int64_t until_us = CLOCK_NONE;
    int64_t for_us = CLOCK_NONE;
    const char *until = api_field_text(f, "until", false);
    const char *duration = api_field_text(f, "for", false);
    if ((until == NULL) == (duration == NULL)) {
        api_field_error(f, "until", "is required, or for: nothing is shelved for ever");
    } else if (until != NULL && clock_parse(view_str(until), &until_us) != ERR_OK) {
        api_field_error(f, "until", "must be a time as 2026-03-09T10:46:06Z");
    } else if (duration != NULL && clock_parse_duration(view_str(duration), &for_us) != ERR_OK) {
        api_field_error(f, "for", "must be a duration as 30m, 8h, 2d");
    } else {
        until_us = until != NULL ? until_us : now_us + for_us;
        if (until_us <= now_us || until_us - now_us > SHELVE_MAX_US) {
            api_field_error(f, until != NULL ? "until" : "for",
                            "must lie ahead, by 31 days at most");
        }
    }
    return until_us;
}

void api_handle_alert_shelve(struct api_request *r, struct db *db)
{
    struct api_fields f;
    if (!begin(r, db, "shelved") || !read_body(r, "until for comment", &f)) {
        return;
    }
    r->op.until_us = read_until(&f);
    r->op.comment = read_text(&f, "comment", COMMENT_MAX, false);
    if (!api_invalid(r)) {
        api_submit(r, api_alert_done);
    }
}

void api_handle_alert_unshelve(struct api_request *r, struct db *db)
{
    struct api_fields f;
    if (!begin(r, db, "unshelved") || !read_body(r, "comment", &f)) {
        return;
    }
    r->op.comment = read_text(&f, "comment", COMMENT_MAX, false);
    if (!api_invalid(r)) {
        api_submit(r, api_alert_done);
    }
}
