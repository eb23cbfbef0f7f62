#include "api/handlers.h"
#include "api/internal.h"
#include "store/query_notify.h"

/* *ret_id is 0 when the parameter was not given. False: answered already. */
static bool param_id(struct api_request *r, const char *name, int64_t *ret_id)
{
    const char *text = api_param_text(r, name);
    *ret_id = 0;
    return text == NULL || api_param_id(r, view_str(text), ret_id);
}

void api_handle_notifications_list(struct api_request *r, struct db *db)
{
    static const struct api_cursor start = {.a = INT64_MAX};
    int64_t limit = 0;
    struct api_cursor at;
    struct db_result *rows = NULL;
    struct store_notification_filter f = {.channel = api_param_text(r, "channel"),
                                          .reason = api_param_text(r, "reason")};
    if (!api_param_limit(r, API_LIMIT_MAX, API_LIMIT_DEFAULT, &limit) ||
        !api_param_cursor(r, 'n', &start, &at) || !api_param_words(r, "state", &f.states) ||
        !param_id(r, "alert", &f.alert_id) || !param_id(r, "digest", &f.digest_id) ||
        !api_device_ids(r, &f.ids)) {
        return;
    }
    enum err e = store_notification_list(db, &f, at.a, limit, &rows);
    if (e != ERR_OK) {
        api_fail_err(r, e, "notifications");
        return;
    }
    api_answer_rows(r, rows, limit, 'n');
}

void api_handle_notification_get(struct api_request *r, struct db *db)
{
    int64_t id = 0;
    struct db_result *row = NULL;
    if (!api_param_id(r, r->names[0], &id)) {
        return;
    }
    enum err e = store_notification_get(db, id, &row);
    /* Digests and tests have no device: who sees only some devices does not see these. */
    if (e == ERR_OK && !api_sees_id(r, (int32_t)db_get_int(row, 0, 1))) {
        db_result_free(row);
        e = ERR_NOT_FOUND;
    }
    if (e != ERR_OK) {
        api_fail_err(r, e, "such notification");
        return;
    }
    api_answer_row(r, row, MHD_HTTP_OK);
}
