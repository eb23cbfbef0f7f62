#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "maintenance/internal.h"

/*
 * A round looks at each plan, and at each device that the plan selects. Most devices need nothing:
 * no sample came since the last round, and no date passed. The others are counted (tally.c), judged
 * (due.c) and written (keep.c), each in a transaction of its own, so that a round that ends
 * half-way has done half of the devices and nothing else.
 */

/* ---- the devices of a plan ---- */

struct chosen {
    const struct rule_selector *selector;
    struct buf ids; /* as a PostgreSQL array */
    uint32_t count;
};

static bool choose(void *arg, struct device *d)
{
    struct chosen *c = arg;
    if (rule_selector_matches(c->selector, d)) {
        buf_printf(&c->ids, "%c%d", c->count++ == 0 ? '{' : ',', d->id);
    }
    return true;
}

/* How much older than the newest sample one may be that still counts: as the core judges it. */
static int64_t lateness_of(struct maintenance *m, int32_t device_id)
{
    int64_t us = m->conf->lateness_us;
    struct device *d = catalog_device_by_id(m->catalog, device_id);
    struct engine_rule *rules = NULL;
    uint32_t count = 0;
    if (d != NULL && catalog_rules_for(m->catalog, d, &rules, &count) == ERR_OK) {
        for (uint32_t i = 0; i < count; i++) {
            int64_t rule_us = rule_lateness_us(rules[i].rule);
            us = rule_us > us ? rule_us : us;
            rule_drop(rules[i].rule);
        }
        free(rules);
    }
    device_drop(d);
    return us;
}

static enum maintenance_status read_status(const char *words)
{
    enum maintenance_status s = MAINTENANCE_OK;
    while (s < MAINTENANCE_OVERDUE && strcmp(maintenance_status_words(s), words) != 0) {
        s++;
    }
    return s;
}

static int64_t time_or_none(const struct db_result *r, int row, int column)
{
    return db_is_null(r, row, column) ? CLOCK_NONE : db_get_int(r, row, column);
}

/* Columns of sql_devices. */
static struct round_device read_device(const struct round_plan *plan, const struct db_result *r,
                                       int row)
{
    struct round_device d = {.id = (int32_t)db_get_int(r, row, 0),
                             .newest_us = time_or_none(r, row, 1)};
    int64_t begin_us = plan->plan->from_us == CLOCK_NONE ? plan->created_us : plan->plan->from_us;
    d.since_us = begin_us;
    d.after_us = begin_us;
    d.due.due_us = CLOCK_NONE;
    if (!db_is_null(r, row, 2)) {
        d.version = db_get_int(r, row, 2);
        d.plan_version = db_get_int(r, row, 3);
        d.since_us = db_get_int(r, row, 4);
        d.after_us = db_get_int(r, row, 5);
        d.status = read_status(db_get(r, row, 6));
        d.due.due_us = time_or_none(r, row, 7);
        d.due.reached = db_get_bool(r, row, 8);
        d.order_id = db_get_int(r, row, 9);
        d.counted_us = time_or_none(r, row, 10);
    }
    return d;
}

static const char sql_devices[] = "SELECT d.id, (SELECT " ROUND_US(
    "x.ts") " FROM samples x WHERE x.device_id = d.id"
            " AND x.flags & 2 = 0 ORDER BY x.ts DESC LIMIT 1), s.version, "
            "s.plan_version, " ROUND_US("s.since") ", " ROUND_US(
                "s.after_at") ", s.status, " ROUND_US("s.due_at") ", s.reached, "
                                                                  "coalesce(s.order_id, "
                                                                  "0), " ROUND_US("s."
                                                                                  "newest_"
                                                                                  "at") " F"
                                                                                        "RO"
                                                                                        "M "
                                                                                        "un"
                                                                                        "ne"
                                                                                        "st"
                                                                                        "($"
                                                                                        "2:"
                                                                                        ":i"
                                                                                        "nt"
                                                                                        "[]"
                                                                                        ") "
                                                                                        "AS"
                                                                                        " c"
                                                                                        " ("
                                                                                        "id"
                                                                                        ") "
                                                                                        "JO"
                                                                                        "IN"
                                                                                        " d"
                                                                                        "ev"
                                                                                        "ic"
                                                                                        "es"
                                                                                        " d"
                                                                                        " O"
                                                                                        "N "
                                                                                        "d."
                                                                                        "id"
                                                                                        " ="
                                                                                        " c"
                                                                                        ".i"
                                                                                        "d"
                                                                                        " L"
                                                                                        "EF"
                                                                                        "T "
                                                                                        "JO"
                                                                                        "IN"
                                                                                        " m"
                                                                                        "ai"
                                                                                        "nt"
                                                                                        "en"
                                                                                        "an"
                                                                                        "ce"
                                                                                        "_s"
                                                                                        "ta"
                                                                                        "te"
                                                                                        " s"
                                                                                        " O"
                                                                                        "N "
                                                                                        "s."
                                                                                        "pl"
                                                                                        "an"
                                                                                        "_i"
                                                                                        "d "
                                                                                        "= "
                                                                                        "$1"
                                                                                        " A"
                                                                                        "ND"
                                                                                        " s"
                                                                                        ".d"
                                                                                        "ev"
                                                                                        "ic"
                                                                                        "e_"
                                                                                        "id"
                                                                                        " ="
                                                                                        " d"
                                                                                        ".i"
                                                                                        "d "
                                                                                        "OR"
                                                                                        "DE"
                                                                                        "R "
                                                                                        "BY"
                                                                                        " d"
                                                                                        ".i"
                                                                                        "d";

static bool has_conditions(const struct maintenance_plan *p)
{
    for (uint32_t i = 0; i < p->trigger_count; i++) {
        if (p->triggers[i].kind == MAINTENANCE_CONDITION) {
            return true;
        }
    }
    return false;
}

/* Nothing can have changed since it was written. */
static bool is_current(const struct round_plan *plan, const struct round_device *d, int64_t now_us)
{
    if (d->version == 0 || d->plan_version != plan->version || d->counted_us != d->newest_us ||
        has_conditions(plan->plan)) {
        return false;
    }
    bool passed = !d->due.reached && d->due.due_us != CLOCK_NONE && d->due.due_us <= now_us;
    return !passed && maintenance_due_status(plan->plan, &d->due, now_us) == d->status;
}

static enum err round_device(struct maintenance *m, const struct round_plan *plan,
                             const struct round_device *d, int64_t now_us)
{
    struct tally t;
    enum err e = tally_make(m->db, plan, d, lateness_of(m, d->id), &t);
    if (e != ERR_OK) {
        return e;
    }
    struct maintenance_due due =
        maintenance_due_find(plan->plan, &(struct maintenance_facts){.since_us = d->since_us,
                                                                     .after_us = d->after_us,
                                                                     .newest_us = t.newest_us,
                                                                     .now_us = now_us,
                                                                     .counts = t.shown,
                                                                     .fired_us = t.fired_us});
    e = keep(m, plan, d, &t, &due);
    return e == ERR_SKIP ? ERR_OK : e;
}

static enum err round_plan(struct maintenance *m, const struct round_plan *plan)
{
    struct chosen chosen = {.selector = plan->plan->selector};
    buf_init(&chosen.ids, 64 << 20);
    catalog_visit_devices(m->catalog, choose, &chosen);
    buf_put_str(&chosen.ids, chosen.count == 0 ? "{}" : "}");
    buf_put_u8(&chosen.ids, 0);
    struct db_params p = {0};
    db_int(&p, plan->id);
    db_text(&p, (const char *)chosen.ids.data);
    struct db_result *r = NULL;
    enum err e = buf_err(&chosen.ids);
    if (e == ERR_OK) {
        e = db_query(m->db, sql_devices, &p, &r);
    }
    buf_fini(&chosen.ids);
    if (e != ERR_OK) {
        return e;
    }
    int64_t now_us = clock_wall_us();
    for (int i = 0; i < db_rows(r) && e == ERR_OK && !atomic_load(&m->stopping); i++) {
        struct round_device d = read_device(plan, r, i);
        if (!is_current(plan, &d, now_us)) {
            e = round_device(m, plan, &d, now_us);
        }
    }
    db_result_free(r);
    return e;
}

enum err round_run(struct maintenance *m)
{
    struct db_result *r = NULL;
    enum err e =
        db_query(m->db,
                 "SELECT id, version, " ROUND_US(
                     "created_at") ", definition::text, name"
                                   " FROM maintenance_plans WHERE deleted_at IS NULL ORDER BY id",
                 NULL, &r);
    if (e != ERR_OK) {
        return e;
    }
    for (int i = 0; i < db_rows(r) && e == ERR_OK && !atomic_load(&m->stopping); i++) {
        struct round_plan plan = {.id = (int32_t)db_get_int(r, i, 0),
                                  .version = db_get_int(r, i, 1),
                                  .created_us = db_get_int(r, i, 2)};
        struct rule_error why = {.line = 0};
        if (maintenance_plan_read(db_get_view(r, i, 3), &plan.plan, &why) != ERR_OK) {
            LOG(LOG_ERROR, "maintenance_plan_left_out", LOG_S("plan", db_get(r, i, 4)),
                LOG_S("pointer", why.pointer), LOG_S("error", why.detail));
            continue;
        }
        e = round_plan(m, &plan);
        maintenance_plan_free(plan.plan);
    }
    db_result_free(r);
    return e;
}
