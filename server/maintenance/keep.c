#include <math.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/emit_json.h"
#include "maintenance/internal.h"

/*
 * What a round found becomes rows, in one transaction: the state, guarded by its version, the
 * counts, and when the plan has become due a work order and the events. A service that is done at
 * the same moment raises the version; then nothing of this is written.
 */
struct kept {
    struct maintenance *m;
    const struct round_plan *plan;
    const struct round_device *before;
    const struct tally *tally;
    const struct maintenance_due *due;
    int64_t order_id;
};

/* What the date rests on: {"trigger":…,"by":"pace","value":…,"every":…,"per_day":…,…}. */
static void write_basis(const struct kept *k, struct buf *out)
{
    const struct maintenance_due *due = k->due;
    if (due->due_us == CLOCK_NONE) {
        return;
    }
    const struct maintenance_trigger *t = &k->plan->plan->triggers[due->trigger];
    bool counts = maintenance_counts(t);
    struct emit_json j = emit_json_init(out);
    emit_json_open(&j, '{');
    emit_json_key(&j, "trigger");
    emit_json_str(&j, t->key);
    emit_json_key(&j, "by");
    emit_json_str(&j, t->kind == MAINTENANCE_CALENDAR    ? "calendar"
                      : t->kind == MAINTENANCE_CONDITION ? "alert"
                      : due->reached                     ? "count"
                                                         : "pace");
    if (counts) {
        emit_json_key(&j, "value");
        emit_json_real(&j, maintenance_count_value(&k->tally->shown[due->trigger], t));
        emit_json_key(&j, "every");
        emit_json_real(&j, t->every);
        emit_json_key(&j, "per_day");
        emit_json_real(&j, due->per_day);
        emit_json_key(&j, "from");
        emit_json_time(&j, k->before->since_us);
        emit_json_key(&j, "to");
        emit_json_time(&j, k->tally->newest_us);
    }
    emit_json_close(&j, '}');
}

static enum err write_state(const struct kept *k, struct db *db)
{
    struct buf basis;
    buf_init(&basis, 1 << 14);
    write_basis(k, &basis);
    bool has_basis = basis.len > 0;
    buf_put_u8(&basis, 0);
    struct db_params p = {0};
    db_int(&p, k->plan->id);
    db_int(&p, k->before->id);
    db_int(&p, k->before->version);
    db_int(&p, k->plan->version);
    db_time(&p, k->before->since_us);
    db_time(&p, k->before->after_us);
    db_time(&p, k->tally->newest_us);
    db_text(&p, maintenance_status_words(k->due->status));
    db_time(&p, k->due->due_us);
    db_bool(&p, k->due->reached);
    db_text(&p, has_basis && buf_err(&basis) == ERR_OK ? (const char *)basis.data : NULL);
    if (k->order_id == 0) {
        db_null(&p);
    } else {
        db_int(&p, k->order_id);
    }
    int64_t rows = 0;
    enum err e = db_exec(
        db,
        k->before->version == 0
            ? "INSERT INTO maintenance_state (plan_id, device_id, version, plan_version, since,"
              " after_at, newest_at, status, due_at, reached, basis, order_id)"
              " VALUES ($1, $2, $3 + 1, $4, $5, $6, $7, $8, $9, $10, $11::jsonb, $12)"
              " ON CONFLICT DO NOTHING"
            : "UPDATE maintenance_state SET version = version + 1, plan_version = $4,"
              " since = $5::timestamptz, after_at = $6::timestamptz, newest_at = $7::timestamptz,"
              " status = $8, due_at = $9::timestamptz, reached = $10, basis = $11::jsonb,"
              " order_id = $12, updated_at = now()"
              " WHERE plan_id = $1 AND device_id = $2 AND version = $3",
        &p, &rows);
    buf_fini(&basis);
    return e == ERR_OK && rows == 0 ? ERR_SKIP : e;
}

static enum err write_count(const struct kept *k, struct db *db, uint32_t at)
{
    const struct maintenance_trigger *t = &k->plan->plan->triggers[at];
    const struct maintenance_count *settled = &k->tally->settled[at];
    struct db_params p = {0};
    db_int(&p, k->plan->id);
    db_int(&p, k->before->id);
    db_text(&p, t->key);
    db_time(&p, k->before->since_us);
    db_time(&p, k->tally->settled_us[at]);
    db_real(&p, settled->total);
    db_time(&p, settled->prev_us);
    db_real(&p, settled->prev);
    db_time(&p, settled->reached_us);
    db_real(&p, maintenance_count_value(&k->tally->shown[at], t));
    return db_exec(db,
                   "INSERT INTO maintenance_counts (plan_id, device_id, trigger, since, settled_to,"
                   " total, prev_at, prev, reached_at, value)"
                   " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
                   " ON CONFLICT (plan_id, device_id, trigger) DO UPDATE SET"
                   " since = excluded.since, settled_to = excluded.settled_to,"
                   " total = excluded.total, prev_at = excluded.prev_at, prev = excluded.prev,"
                   " reached_at = excluded.reached_at, value = excluded.value",
                   &p, NULL);
}

/* One that somebody opened by hand for the plan stands for it. */
static enum err open_order(struct kept *k, struct db *db)
{
    const struct maintenance_plan *plan = k->plan->plan;
    struct db_params p = {0};
    db_int(&p, ingest_work_order_id(k->m->ingest));
    db_int(&p, k->before->id);
    db_text(&p, plan->title);
    db_int(&p, k->plan->id);
    db_text(&p, plan->name);
    db_text(&p, plan->assignee);
    db_time(&p, k->due->due_us);
    struct db_result *r = NULL;
    enum err e = db_query(
        db,
        "WITH w AS (INSERT INTO work_orders (id, device_id, title, plan_id, plan, assigned_to,"
        " due_at, state, opened_at) VALUES ($1, $2, $3, $4, $5, $6, $7::timestamptz,"
        " CASE WHEN $6::text IS NULL THEN 'open' ELSE 'assigned' END, now())"
        " ON CONFLICT (plan_id, device_id) WHERE state IN ('open', 'assigned', 'in_progress')"
        " DO UPDATE SET due_at = coalesce(work_orders.due_at, excluded.due_at)"
        " RETURNING *),"
        " h AS (INSERT INTO work_order_history (work_order_id, state, ts, actor, detail)"
        " SELECT w.id, 'assigned', now(), 'plan:' || w.plan,"
        " jsonb_build_object('assigned_to', w.assigned_to) FROM w"
        " WHERE w.id = $1 AND w.assigned_to IS NOT NULL)"
        " SELECT id FROM w",
        &p, &r);
    if (e == ERR_OK) {
        k->order_id = db_get_int(r, 0, 0);
        db_result_free(r);
    }
    return e;
}

static enum err announce(const struct kept *k, struct db *db, const char *kind, const char *level)
{
    const struct maintenance_plan *plan = k->plan->plan;
    struct db_params p = {0};
    db_text(&p, kind);
    db_text(&p, level);
    db_int(&p, k->before->id);
    db_int(&p, k->plan->id);
    db_text(&p, plan->title);
    db_text(&p, plan->assignee);
    if (k->order_id == 0) {
        db_null(&p);
    } else {
        db_int(&p, k->order_id);
    }
    db_text(&p, plan->name);
    return db_exec(
        db,
        "INSERT INTO pending_events (ts, kind, level, device_id, body)"
        " SELECT CASE WHEN s.reached THEN s.due_at ELSE now() END, 'work_order.' || $1::text,"
        " $2, s.device_id, jsonb_strip_nulls(jsonb_build_object('work_order_id', $7::bigint,"
        " 'device', d.name, 'title', $5::text, 'plan', $8::text, 'assigned_to', $6::text,"
        " 'status', s.status, 'due_at', s.due_at, 'basis', s.basis))"
        " FROM maintenance_state s JOIN devices d ON d.id = s.device_id"
        " WHERE s.plan_id = $4 AND s.device_id = $3",
        &p, NULL);
}

static enum err keep_body(struct db *db, void *arg)
{
    struct kept *k = arg;
    enum maintenance_status was = k->before->status;
    enum maintenance_status is = k->due->status;
    k->order_id = k->before->order_id;
    bool opens = is >= MAINTENANCE_DUE && k->order_id == 0 && was < MAINTENANCE_DUE;
    enum err e = opens ? open_order(k, db) : ERR_OK;
    if (e == ERR_OK) {
        e = write_state(k, db);
    }
    for (uint32_t i = 0; e == ERR_OK && i < k->plan->plan->trigger_count; i++) {
        e = maintenance_counts(&k->plan->plan->triggers[i]) ? write_count(k, db, i) : ERR_OK;
    }
    if (e == ERR_OK && was == MAINTENANCE_OK && is == MAINTENANCE_DUE_SOON) {
        e = announce(k, db, "due_soon", "info");
    }
    if (e == ERR_OK && was < MAINTENANCE_DUE && is >= MAINTENANCE_DUE) {
        e = announce(k, db, "due", "info");
    }
    if (e == ERR_OK && was < MAINTENANCE_OVERDUE && is == MAINTENANCE_OVERDUE) {
        e = announce(k, db, "overdue", "warn");
    }
    return e;
}

enum err keep(struct maintenance *m, const struct round_plan *plan,
              const struct round_device *before, const struct tally *t,
              const struct maintenance_due *due)
{
    struct kept k = {.m = m, .plan = plan, .before = before, .tally = t, .due = due};
    return db_transaction(m->db, keep_body, &k);
}
