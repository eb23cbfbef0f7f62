#include "store/query_events.h"

#include "store/query_internal.h"

enum err store_event_range(struct db *db, int64_t *ret_oldest, int64_t *ret_newest)
{
    struct db_result *r = NULL;
    enum err e =
        db_query(db, "SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM events", NULL, &r);
    if (e == ERR_OK) {
        *ret_oldest = db_get_int(r, 0, 0);
        *ret_newest = db_get_int(r, 0, 1);
        db_result_free(r);
    }
    return e;
}

enum err store_event_page(struct db *db, int64_t after, int64_t limit, store_event_fn take,
                          void *arg, struct buf *out, bool *ret_more)
{
    struct db_params p = {0};
    db_int(&p, after);
    db_int(&p, limit);
    struct db_result *r = NULL;
    enum err e = db_query(db,
                          "SELECT id, kind, coalesce(device_id, 0), body::text FROM events"
                          " WHERE id > $1 ORDER BY id LIMIT $2",
                          &p, &r);
    if (e != ERR_OK) {
        return e;
    }
    bool go_on = true;
    for (int i = 0; i < db_rows(r) && go_on; i++) {
        struct store_event event = {
            .id = db_get_int(r, i, 0),
            .kind = db_get(r, i, 1),
            .device_id = (int32_t)db_get_int(r, i, 2),
            .body = db_get_view(r, i, 3),
        };
        go_on = take(arg, &event, out);
    }
    *ret_more = !go_on || db_rows(r) == (int)limit;
    db_result_free(r);
    return ERR_OK;
}

enum err store_audit_list(struct db *db, const struct store_audit_filter *f, int64_t before_id,
                          int64_t limit, struct db_result **ret_rows)
{
    struct db_params p = {0};
    db_text(&p, f->actor);
    db_text(&p, f->action);
    db_text(&p, f->object);
    db_time(&p, f->from_us);
    db_time(&p, f->to_us);
    db_int(&p, before_id);
    db_int(&p, limit + 1);
    return db_query(
        db,
        "SELECT json_build_object('id', a.id, 'ts', " QUERY_TS(
            "a.ts") ", 'actor', a.actor,"
                    " 'action', a.action, 'object', a.object, 'detail', a.detail)::text, a.id, 0, "
                    "''"
                    " FROM audit_log a"
                    " WHERE ($1::text IS NULL OR a.actor = $1)"
                    " AND ($2::text IS NULL OR a.action = $2 OR split_part(a.action, '.', 1) = $2)"
                    " AND ($3::text IS NULL OR a.object = $3)"
                    " AND ($4::timestamptz IS NULL OR a.ts >= $4::timestamptz)"
                    " AND ($5::timestamptz IS NULL OR a.ts < $5::timestamptz)"
                    " AND a.id < $6::bigint ORDER BY a.id DESC LIMIT $7",
        &p, ret_rows);
}

enum err store_rejected_list(struct db *db, const struct store_rejected_filter *f,
                             int64_t before_id, int64_t limit, struct db_result **ret_rows)
{
    struct db_params p = {0};
    db_text(&p, f->device);
    db_text(&p, f->ids);
    db_time(&p, f->from_us);
    db_time(&p, f->to_us);
    db_int(&p, before_id);
    db_int(&p, limit + 1);
    return db_query(
        db,
        "SELECT m.id, " QUERY_US(
            "m.received_at") ", m.device, m.topic, m.reason, m.pointer,"
                             " m.detail, encode(m.payload, 'hex'), m.size FROM rejected_messages m"
                             " WHERE ($1::text IS NULL OR m.device = $1)"
                             " AND ($2::int[] IS NULL OR EXISTS (SELECT FROM devices d WHERE "
                             "d.name = m.device"
                             " AND d.id = ANY($2::int[])))"
                             " AND ($3::timestamptz IS NULL OR m.received_at >= $3::timestamptz)"
                             " AND ($4::timestamptz IS NULL OR m.received_at < $4::timestamptz)"
                             " AND m.id < $5::bigint ORDER BY m.id DESC LIMIT $6",
        &p, ret_rows);
}
