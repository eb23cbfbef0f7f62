/*
 * pg_select: the queries of the core, on the model's tables. One that is not known ends the
 * simulation.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db_fake.h"
#include "model/command.h"

static int64_t param_int(const struct db_params *p, int at)
{
    return strtoll(p->values[at], NULL, 10);
}

static struct db_result *select_shapes(struct pg *pg, const struct db_params *p)
{
    (void)p;
    struct db_result *r = result_new(2);
    for (int32_t id = 1; id <= (int32_t)pg->shapes.count; id++) {
        const struct pg_shape *s = pg_shape(pg, id);
        char text[256] = "";
        size_t at = 0;
        for (uint32_t i = 0; i < s->count; i++) {
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%d", i == 0 ? "" : ",",
                                   s->metrics[i]);
        }
        result_int(r, id);
        result_text(r, text);
    }
    return r;
}

static struct db_result *select_metrics(struct pg *pg, const struct db_params *p)
{
    (void)p;
    struct db_result *r = result_new(2);
    for (int32_t id = 1; id <= (int32_t)pg->metrics.count; id++) {
        if (pg_metric(pg, id) != NULL) {
            result_int(r, id);
            result_text(r, pg_metric(pg, id));
        }
    }
    return r;
}

static struct db_result *select_highest(struct pg *pg, const struct db_params *p)
{
    (void)p;
    int64_t alert = 0;
    int64_t order = 0;
    for (uint32_t i = 0; i < pg->alerts.count; i++) {
        alert = pg->alerts.items[i].id > alert ? pg->alerts.items[i].id : alert;
    }
    for (uint32_t i = 0; i < pg->work_orders.count; i++) {
        order = pg->work_orders.items[i].id > order ? pg->work_orders.items[i].id : order;
    }
    struct db_result *r = result_new(4);
    result_int(r, alert);
    result_int(r, pg->events.count == 0 ? 0 : pg->events.items[pg->events.count - 1].id);
    result_int(r, order);
    result_int(r, pg->metrics.count);
    return r;
}

static struct db_result *select_boundary(struct pg *pg, const struct db_params *p)
{
    (void)p;
    int year = 0;
    int month = 0;
    int day = 0;
    clock_civil(pg->boundary_us / CLOCK_DAY_US, &year, &month, &day);
    char text[32];
    (void)snprintf(text, sizeof(text), "%04d-%02d-%02dT00:00:00Z", year, month, day);
    struct db_result *r = result_new(1);
    result_text(r, text);
    return r;
}

static struct db_result *select_partitions(struct pg *pg, const struct db_params *p)
{
    (void)p;
    struct db_result *r = result_new(1);
    for (uint32_t i = 0; i < pg->partitions.count; i++) {
        int year = 0;
        int month = 0;
        int day = 0;
        const struct partition_range *range = &pg->partitions.items[i];
        clock_civil(range->from_us / CLOCK_DAY_US, &year, &month, &day);
        char text[16];
        if (range->to_us - range->from_us == CLOCK_DAY_US) {
            (void)snprintf(text, sizeof(text), "%04d%02d%02d", year, month, day);
        } else {
            (void)snprintf(text, sizeof(text), "%04d%02d", year, month);
        }
        result_text(r, text);
    }
    return r;
}

/* ---- commands ---- */

static struct db_result *select_last_command(struct pg *pg, const struct db_params *p)
{
    (void)p;
    int64_t id = 0;
    for (uint32_t i = 0; i < pg->commands.count; i++) {
        id = pg->commands.items[i].id > id ? pg->commands.items[i].id : id;
    }
    struct db_result *r = result_new(1);
    result_int(r, id);
    return r;
}

static struct db_result *select_open_commands(struct pg *pg, const struct db_params *p)
{
    (void)p;
    struct db_result *r = result_new(9);
    for (uint32_t i = 0; i < pg->commands.count; i++) {
        const struct pg_command *c = &pg->commands.items[i];
        bool lost = c->state == COMMAND_SENT && sim_get()->options.mutant == MUTANT_LOSE_SENT;
        if (command_is_final((enum command_state)c->state) || lost) {
            continue;
        }
        result_int(r, c->id);
        result_int(r, c->device_id);
        result_text(r, c->method);
        result_text(r, c->params);
        result_text(r, command_state_words((enum command_state)c->state));
        result_text(r, c->origin);
        result_int(r, c->attempt);
        result_int(r, c->expires_us - sim_wall_us());
        result_int(r, c->history);
    }
    return r;
}

static struct db_result *select_key(struct pg *pg, const struct db_params *p)
{
    struct db_result *r = result_new(3);
    for (uint32_t i = 0; i < pg->commands.count; i++) {
        const struct pg_command *c = &pg->commands.items[i];
        if (c->key == NULL || c->device_id != param_int(p, 0) ||
            strcmp(c->key, p->values[1]) != 0) {
            continue;
        }
        bool same = strcmp(c->method, p->values[2]) == 0 && strcmp(c->params, p->values[3]) == 0;
        result_int(r, c->id);
        result_text(r, same ? "t" : "f");
        result_text(r, command_state_words((enum command_state)c->state));
    }
    return r;
}

/* ---- loading a device ---- */

static struct db_result *select_state(struct pg *pg, const struct db_params *p)
{
    const struct pg_state *s = &pg->states[param_int(p, 0)];
    struct db_result *r = result_new(3);
    if (s->there) {
        result_int(r, s->watermark_us);
        result_int(r, s->seen_us);
        result_bytes(r, s->rules, s->rules_len == UINT32_MAX ? 0 : s->rules_len);
    }
    return r;
}

static struct db_result *select_latest(struct pg *pg, const struct db_params *p)
{
    struct db_result *r = result_new(4);
    for (int32_t metric = 1; metric <= (int32_t)pg->metrics.count; metric++) {
        for (uint32_t i = 0; i < pg->latest.count; i++) {
            const struct pg_latest *l = &pg->latest.items[i];
            if (l->metric == metric && l->device_id == param_int(p, 0)) {
                result_int(r, metric);
                result_int(r, l->ts_us);
                result_real(r, l->value);
                result_text(r, l->extra);
            }
        }
    }
    return r;
}

/* metrics and values as array_to_string() gives them */
static void put_numbers(struct db_result *r, const struct pg *pg, const struct pg_sample *s)
{
    char metrics[160] = "";
    char values[640] = "";
    size_t m = 0;
    size_t v = 0;
    const struct pg_shape *shape = s->shape == 0 ? NULL : pg_shape(pg, s->shape);
    for (uint32_t i = 0; shape != NULL && i < shape->count; i++) {
        const char *comma = i == 0 ? "" : ",";
        m += (size_t)snprintf(metrics + m, sizeof(metrics) - m, "%s%d", comma, shape->metrics[i]);
        v += (size_t)snprintf(values + v, sizeof(values) - v, "%s%.17g", comma, s->values[i]);
    }
    result_text(r, shape == NULL ? NULL : metrics);
    result_text(r, s->count == 1 ? values : NULL);
    result_text(r, s->count > 1 ? values : NULL);
}

/* {"door":true,…}: numbers of the booleans */
static void put_booleans(struct db_result *r, const struct pg *pg, const struct pg_sample *s)
{
    char text[160] = "";
    size_t at = 0;
    for (int32_t id = 1; s->extra != NULL && id <= (int32_t)pg->metrics.count; id++) {
        char member[64];
        (void)snprintf(member, sizeof(member), "\"%s\":", pg_metric(pg, id));
        const char *found = strstr(s->extra, member);
        const char *value = found == NULL ? "" : found + strlen(member);
        if (value[0] == 't' || value[0] == 'f') {
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%d:%d", at == 0 ? "" : ",", id,
                                   value[0] == 't');
        }
    }
    result_text(r, at == 0 ? NULL : text);
}

static struct db_result *select_samples(struct pg *pg, const struct db_params *p)
{
    struct db_result *r = result_new(8);
    const struct pg_samples *t = &pg->samples[param_int(p, 0)];
    uint32_t end = t->count;
    if (sim_get()->options.mutant == MUTANT_LOSE_REPLAY && end > 0) {
        end--;
    }
    for (uint32_t i = 0; i < end; i++) {
        const struct pg_sample *s = t->items[i];
        if (s->ts_us < param_int(p, 1) || (s->flags & (SAMPLE_LATE | SAMPLE_CLOCK)) != 0) {
            continue;
        }
        result_int(r, s->ts_us);
        result_int(r, s->received_us);
        result_int(r, s->digest);
        result_int(r, s->flags);
        put_numbers(r, pg, s);
        put_booleans(r, pg, s);
    }
    return r;
}

static struct db_result *select_recent(struct pg *pg, const struct db_params *p)
{
    struct db_result *r = result_new(3);
    const struct pg_samples *t = &pg->samples[param_int(p, 0)];
    int64_t left = param_int(p, 1);
    for (uint32_t i = t->count; i > 0 && left > 0; i--) {
        const struct pg_sample *s = t->items[i - 1];
        int64_t age_us = sim_wall_us() - s->ts_us;
        if (age_us >= CLOCK_HOUR_US || (s->flags & SAMPLE_SERVER_TS) == 0) {
            continue;
        }
        result_int(r, s->ts_us);
        result_int(r, s->digest);
        result_int(r, (int64_t)((uint32_t)s->flags >> 16));
        left--;
    }
    return r;
}

static int alert_order(const void *a, const void *b)
{
    const struct pg_alert *const *x = a;
    const struct pg_alert *const *y = b;
    if ((*x)->fired_us != (*y)->fired_us) {
        return (*x)->fired_us < (*y)->fired_us ? -1 : 1;
    }
    return (*x)->id < (*y)->id ? -1 : 1;
}

static struct db_result *select_alerts(struct pg *pg, const struct db_params *p)
{
    struct db_result *r = result_new(10);
    const struct pg_alert **found = calloc(pg->alerts.count + 1, sizeof(const struct pg_alert *));
    uint32_t count = 0;
    for (uint32_t i = 0; i < pg->alerts.count; i++) {
        const struct pg_alert *a = &pg->alerts.items[i];
        bool wanted = strcmp(a->state, "firing") == 0 ||
                      (strcmp(a->state, "resolved") == 0 && a->resolved_us >= param_int(p, 1));
        if (wanted && a->device_id == param_int(p, 0)) {
            found[count++] = a;
        }
    }
    qsort(found, count, sizeof(const struct pg_alert *), alert_order);
    for (uint32_t i = 0; i < count; i++) {
        result_int(r, found[i]->id);
        result_int(r, found[i]->rule_id);
        result_int(r, found[i]->since_us);
        result_int(r, found[i]->fired_us);
        result_int(r, found[i]->resolved_us);
        result_real(r, found[i]->value);
        result_text(r, found[i]->severity);
        result_text(r, found[i]->worst);
        result_int(r, found[i]->severity_us);
        result_text(r, "f");
    }
    free(found);
    return r;
}

static const double *sample_number(const struct pg *pg, const struct pg_sample *s, int64_t metric)
{
    const struct pg_shape *shape = s->shape == 0 ? NULL : pg_shape(pg, s->shape);
    for (uint32_t i = 0; shape != NULL && i < shape->count; i++) {
        if (shape->metrics[i] == metric) {
            return &s->values[i];
        }
    }
    return NULL;
}

static struct db_result *select_baseline(struct pg *pg, const struct db_params *p)
{
    struct db_result *r = result_new(1);
    const struct pg_samples *t = &pg->samples[param_int(p, 0)];
    int64_t left = param_int(p, 2);
    int64_t last_us = CLOCK_NONE;
    for (uint32_t i = 0; i < t->count && left > 0; i++) {
        const struct pg_sample *s = t->items[i];
        const double *v = sample_number(pg, s, param_int(p, 1));
        if (v == NULL || s->ts_us > param_int(p, 3) || s->ts_us == last_us ||
            (s->flags & (SAMPLE_LATE | SAMPLE_CLOCK)) != 0) {
            continue;
        }
        result_real(r, *v);
        last_us = s->ts_us;
        left--;
    }
    return r;
}

static struct db_result *select_rule_devices(struct pg *pg, const struct db_params *p)
{
    struct db_result *r = result_new(1);
    for (int32_t device = 1; device <= SIM_DEVICES_MAX; device++) {
        bool open = false;
        for (uint32_t i = 0; i < pg->alerts.count; i++) {
            const struct pg_alert *a = &pg->alerts.items[i];
            open = open || (a->rule_id == param_int(p, 0) && a->device_id == device &&
                            strcmp(a->state, "firing") == 0);
        }
        if (open) {
            result_int(r, device);
        }
    }
    return r;
}

static struct db_result *select_timers(struct pg *pg, const struct db_params *p)
{
    (void)p;
    struct db_result *r = result_new(1);
    for (int32_t device = 1; device <= SIM_DEVICES_MAX; device++) {
        if (pg->timers[device]) {
            result_int(r, device);
        }
    }
    return r;
}

/* ---- attributes ---- */

static struct db_result *select_attributes(struct pg *pg, const struct db_params *p)
{
    const char *reported = pg->reported[param_int(p, 0)];
    char text[200];
    (void)snprintf(text, sizeof(text), "{\"client\":%s,\"shared\":{}}",
                   reported == NULL ? "{}" : reported);
    struct db_result *r = result_new(1);
    result_text(r, text);
    return r;
}

/* Days that are over and not compacted: none. */
static struct db_result *select_old_days(struct pg *pg, const struct db_params *p)
{
    (void)pg;
    (void)p;
    return result_new(1);
}

struct db_result *db_select(struct pg *pg, const char *sql, const struct db_params *p)
{
    static const struct {
        const char *has;
        struct db_result *(*run)(struct pg *pg, const struct db_params *p);
    } queries[] = {
        {"SELECT id, name FROM metrics ORDER BY id", select_metrics},
        {"FROM shapes ORDER BY id", select_shapes},
        {"SELECT (SELECT coalesce(max(id), 0) FROM alerts)", select_highest},
        {"FROM store_meta WHERE key = 'partition_boundary'", select_boundary},
        {"SELECT substr(c.relname, 9) FROM pg_inherits", select_partitions},
        {"IS DISTINCT FROM 'compacted' ORDER BY 1", select_old_days},
        {"SELECT coalesce(max(id), 0) FROM commands", select_last_command},
        {"FROM commands c WHERE c.state IN ('queued', 'sent', 'delivered')", select_open_commands},
        {"SELECT id, method = $3 AND params = $4::jsonb, state FROM commands", select_key},
        {"FROM device_state WHERE device_id = $1", select_state},
        {"SELECT device_id FROM device_timers", select_timers},
        {"FROM latest WHERE device_id = $1 ORDER BY metric", select_latest},
        {"FROM samples s LEFT JOIN shapes sh ON sh.id = s.shape WHERE s.device_id = $1 AND s.ts >= "
         "$2::timestamptz AND s.flags & 3 = 0 ORDER BY s.ts, s.received_at",
         select_samples},
        {"AND flags & 4 = 4 ORDER BY ts DESC LIMIT $2", select_recent},
        {"FROM alerts WHERE device_id = $1 AND (state = 'firing' OR (state = 'resolved' AND "
         "resolved_at >= $2)) ORDER BY fired_at, id",
         select_alerts},
        {"SELECT v FROM (SELECT DISTINCT ON (s.ts) s.ts, coalesce(s.value,", select_baseline},
        {"SELECT DISTINCT device_id FROM alerts WHERE rule_id = $1", select_rule_devices},
        {"WITH q AS (SELECT string_to_array($2::jsonb ->> 'clientKeys'", select_attributes},
    };
    for (size_t i = 0; i < COUNT_OF(queries); i++) {
        if (strstr(sql, queries[i].has) != NULL) {
            return queries[i].run(pg, p);
        }
    }
    sim_violation("SQL", "the model does not know: %s", sql);
}
