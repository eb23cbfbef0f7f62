#include <math.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "maintenance/internal.h"

/*
 * What a plan's triggers counted on a device since the last service, from the stored samples.
 *
 * The core flags a sample late that is older than the device's newest one by more than `lateness`,
 * and commits in the order in which it decides. So once a sample of time T is stored, every sample
 * that is stored later and is not late has a time of T - lateness or after: what was counted before
 * that is settled, for good. It is stored with its fold's state, and the next round goes on from
 * there; what came since is counted on top each time, and shown. Nothing is counted in memory only,
 * so there is nothing to lose or to count twice.
 *
 * Late samples and those from the future do not count, as they drive no rule.
 */
enum { PAGE_SAMPLES = 20000 };

/* A trigger that has counted nothing yet looks back so far for what the state was at `since`. */
#define SEED_US CLOCK_DAY_US

static const char sql_samples[] =
    "WITH page AS (SELECT s.ts, s.received_at, s.shape, s.value, s.values, s.extra FROM samples s"
    " WHERE s.device_id = $1 AND s.ts >= $2::timestamptz AND s.flags & 3 = 0"
    " AND (s.ts, s.received_at) > ($2::timestamptz, $3::timestamptz)"
    " ORDER BY s.ts, s.received_at LIMIT 20000)"
    " SELECT " ROUND_US("p.ts") ", " ROUND_US(
        "p.received_at") ", v.metric, v.value"
                         " FROM page p LEFT JOIN LATERAL (SELECT n.name AS metric, x.value::text "
                         "FROM shapes sh,"
                         " unnest(sh.metrics, coalesce(p.values, ARRAY[p.value])) AS x (metric, "
                         "value)"
                         " JOIN metrics n ON n.id = x.metric WHERE sh.id = p.shape AND n.name = "
                         "ANY($4::text[])"
                         " UNION ALL SELECT j.key, j.value::text FROM jsonb_each(p.extra) j"
                         " WHERE j.key = ANY($4::text[])) v ON true ORDER BY p.ts, p.received_at";

/* Numbers as PostgreSQL prints them; booleans and texts as JSON. */
static struct maintenance_value read_value(const char *text)
{
    if (text[0] == '"') {
        size_t len = strlen(text);
        return (struct maintenance_value){.number = (double)NAN,
                                          .text = view_of(text + 1, len < 2 ? 0 : len - 2)};
    }
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
        return (struct maintenance_value){.number = text[0] == 't'};
    }
    char *end = NULL;
    double number = strtod(text, &end);
    return (struct maintenance_value){.number = end == text ? (double)NAN : number};
}

static enum err load_counts(struct db *db, const struct round_plan *plan,
                            const struct round_device *device, struct tally *t)
{
    struct db_params p = {0};
    db_int(&p, plan->id);
    db_int(&p, device->id);
    db_time(&p, device->since_us);
    struct db_result *r = NULL;
    enum err e = db_query(
        db,
        "SELECT trigger, " ROUND_US("settled_to") ", total, " ROUND_US(
            "prev_at") ", prev, " ROUND_US("reached_at") " FROM maintenance_counts"
                                                         " WHERE plan_id = $1 AND device_id = $2 "
                                                         "AND since = $3::timestamptz",
        &p, &r);
    for (int i = 0; e == ERR_OK && i < db_rows(r); i++) {
        for (uint32_t k = 0; k < plan->plan->trigger_count; k++) {
            if (strcmp(db_get(r, i, 0), plan->plan->triggers[k].key) == 0) {
                t->fresh[k] = false;
                t->settled_us[k] = db_get_int(r, i, 1);
                t->settled[k] = (struct maintenance_count){
                    .total = db_get_real(r, i, 2),
                    .prev_us = db_is_null(r, i, 3) ? CLOCK_NONE : db_get_int(r, i, 3),
                    .prev = db_get_real(r, i, 4),
                    .reached_us = db_is_null(r, i, 5) ? CLOCK_NONE : db_get_int(r, i, 5)};
            }
        }
    }
    if (e == ERR_OK) {
        db_result_free(r);
    }
    return e;
}

static void metric_names(const struct maintenance_plan *p, struct buf *out)
{
    char comma = '{';
    for (uint32_t i = 0; i < p->trigger_count; i++) {
        if (!maintenance_counts(&p->triggers[i])) {
            continue;
        }
        buf_put_u8(out, (uint8_t)comma);
        buf_put_u8(out, '"');
        for (const char *c = p->triggers[i].metric; *c != '\0'; c++) {
            if (*c == '"' || *c == '\\') {
                buf_put_u8(out, '\\');
            }
            buf_put_u8(out, (uint8_t)*c);
        }
        buf_put_u8(out, '"');
        comma = ',';
    }
    buf_put_str(out, comma == '{' ? "{}" : "}");
    buf_put_u8(out, 0);
}

struct reading {
    const struct maintenance_plan *plan;
    int64_t since_us;
    int64_t settle_us; /* samples before are settled */
    bool past;         /* one at or after it was seen: shown goes on by itself */
    struct tally *tally;
};

static void take(struct reading *r, int64_t ts_us, const char *metric, const char *text)
{
    struct tally *t = r->tally;
    if (!r->past && ts_us >= r->settle_us) {
        r->past = true;
        memcpy(t->shown, t->settled, sizeof(t->shown));
    }
    struct maintenance_count *counts = r->past ? t->shown : t->settled;
    struct maintenance_value v = read_value(text);
    for (uint32_t i = 0; i < r->plan->trigger_count; i++) {
        const struct maintenance_trigger *trigger = &r->plan->triggers[i];
        bool known = !t->fresh[i] && ts_us < t->settled_us[i];
        if (maintenance_counts(trigger) && !known && strcmp(metric, trigger->metric) == 0) {
            maintenance_count_take(&counts[i], trigger, r->plan->max_gap_us, r->since_us, ts_us,
                                   &v);
        }
    }
}

static enum err read_samples(struct db *db, const struct round_device *device, int64_t from_us,
                             struct reading *reading)
{
    struct buf names;
    buf_init(&names, 1 << 16);
    metric_names(reading->plan, &names);
    enum err e = buf_err(&names);
    int64_t received_us = CLOCK_MIN_US;
    int samples = PAGE_SAMPLES;
    while (e == ERR_OK && samples == PAGE_SAMPLES) {
        struct db_params p = {0};
        db_int(&p, device->id);
        db_time(&p, from_us);
        db_time(&p, received_us);
        db_text(&p, (const char *)names.data);
        struct db_result *r = NULL;
        e = db_query(db, sql_samples, &p, &r);
        samples = 0;
        for (int i = 0; e == ERR_OK && i < db_rows(r); i++) {
            int64_t ts_us = db_get_int(r, i, 0);
            int64_t arrived_us = db_get_int(r, i, 1);
            samples += ts_us != from_us || arrived_us != received_us;
            from_us = ts_us;
            received_us = arrived_us;
            if (!db_is_null(r, i, 2) && !db_is_null(r, i, 3)) {
                take(reading, ts_us, db_get(r, i, 2), db_get(r, i, 3));
            }
        }
        if (e == ERR_OK) {
            db_result_free(r);
        }
    }
    if (samples > 0 && from_us > reading->tally->newest_us) {
        reading->tally->newest_us = from_us;
    }
    buf_fini(&names);
    return e;
}

static enum err find_alerts(struct db *db, const struct round_plan *plan,
                            const struct round_device *device, struct tally *t)
{
    enum err e = ERR_OK;
    for (uint32_t i = 0; i < plan->plan->trigger_count && e == ERR_OK; i++) {
        if (plan->plan->triggers[i].kind != MAINTENANCE_CONDITION) {
            continue;
        }
        struct db_params p = {0};
        db_text(&p, plan->plan->triggers[i].rule);
        db_int(&p, device->id);
        db_time(&p, device->since_us);
        struct db_result *r = NULL;
        e = db_query(db,
                     "SELECT " ROUND_US(
                         "min(fired_at)") " FROM alerts WHERE device_id = $2"
                                          " AND rule = $1 AND NOT shadow AND state <> 'retracted' "
                                          "AND fired_at >= $3::timestamptz",
                     &p, &r);
        if (e == ERR_OK) {
            t->fired_us[i] = db_is_null(r, 0, 0) ? CLOCK_NONE : db_get_int(r, 0, 0);
            db_result_free(r);
        }
    }
    return e;
}

enum err tally_make(struct db *db, const struct round_plan *plan, const struct round_device *device,
                    int64_t lateness_us, struct tally *ret_tally)
{
    struct tally t = {.newest_us = device->newest_us};
    for (uint32_t i = 0; i < MAINTENANCE_TRIGGERS_MAX; i++) {
        t.settled[i] = maintenance_count_init();
        t.settled_us[i] = device->since_us;
        t.fresh[i] = true;
        t.fired_us[i] = CLOCK_NONE;
    }
    enum err e = load_counts(db, plan, device, &t);
    if (e == ERR_OK) {
        e = find_alerts(db, plan, device, &t);
    }
    int64_t from_us = CLOCK_NONE;
    for (uint32_t i = 0; i < plan->plan->trigger_count; i++) {
        if (maintenance_counts(&plan->plan->triggers[i])) {
            int64_t at_us =
                t.fresh[i] ? device->since_us - plan->plan->max_gap_us - SEED_US : t.settled_us[i];
            from_us = from_us == CLOCK_NONE || at_us < from_us ? at_us : from_us;
        }
    }
    struct reading reading = {
        .plan = plan->plan,
        .since_us = device->since_us,
        .settle_us = device->newest_us == CLOCK_NONE ? CLOCK_NONE : device->newest_us - lateness_us,
        .tally = &t};
    if (e == ERR_OK && from_us != CLOCK_NONE && device->newest_us != CLOCK_NONE) {
        e = read_samples(db, device, from_us < CLOCK_MIN_US ? CLOCK_MIN_US : from_us, &reading);
    }
    if (e != ERR_OK) {
        return e;
    }
    if (!reading.past) {
        memcpy(t.shown, t.settled, sizeof(t.shown));
    }
    for (uint32_t i = 0; i < plan->plan->trigger_count; i++) {
        if (reading.settle_us > t.settled_us[i]) {
            t.settled_us[i] = reading.settle_us;
        }
    }
    *ret_tally = t;
    return ERR_OK;
}
