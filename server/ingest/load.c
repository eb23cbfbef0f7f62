#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "ingest/internal.h"

/*
 * Loading a device: everything the core knows of it is derived from the database.
 *   1. device_state: the watermark and the rules' state when they were saved last;
 *   2. its alerts that are open or ended lately: what was reported already;
 *   3. the samples since then, in order of event time and arrival, through the same engine that
 * runs live;
 *   4. newest values, and samples of the last minutes whose time the server gave.
 * It runs on a store thread and hands the finished engine to the core. When PostgreSQL is away it
 * is tried again.
 */
/* Alerts that fire while catching up get their numbers on the core's thread. */
#define LOAD_TEMPORARY_ID (INT64_C(1) << 62)

enum { LOAD_RETRY_MS = 500, LOAD_ARENA_LIMIT = 256 << 20, LOAD_STATE_LIMIT = 64 << 20 };

struct load {
    struct store_job job;
    struct mail back;
    struct ingest *in;
    struct core_device *cd;
    struct device *device;     /* held */
    struct engine_rule *rules; /* held */
    uint32_t rule_count;
    enum err err;
    /* results */
    struct engine *engine;
    bool fresh; /* the engine has no saved state yet */
    int64_t watermark_us, last_seen_us, last_received_us;
    struct arena arena; /* events of the catching up, orphans */
    struct engine_out out;
    struct core_device filled; /* latest and recent are built here */
    struct orphan {
        int64_t alert_id;
        int32_t rule_id;
        bool shadow;
    } * orphans; /* open alerts that nothing drives any more */
    uint32_t orphan_count;
    struct loop_timer *retry;
    int64_t next_alert_id; /* temporary: the core gives the real ones */
};

static void load_free(struct load *l)
{
    for (uint32_t i = 0; i < l->rule_count; i++) {
        rule_drop(l->rules[i].rule);
    }
    free(l->rules);
    free(l->orphans);
    device_drop(l->device);
    arena_fini(&l->arena);
    free(l);
}

/* ---- reading samples ---- */

struct sample_reader {
    struct load *load;
    struct arena *arena;
};

static const char *const sql_samples =
    "SELECT (extract(epoch FROM s.ts) * 1000000)::bigint, (extract(epoch FROM s.received_at) * "
    "1000000)::bigint, s.digest,"
    " s.flags, array_to_string(sh.metrics, ','), s.value, array_to_string(s.values, ','),"
    " (SELECT string_agg(m.id || ':' || CASE x.value WHEN 'true' THEN '1' ELSE '0' END, ',')"
    "  FROM jsonb_each(s.extra) x JOIN metrics m ON m.name = x.key WHERE jsonb_typeof(x.value) = "
    "'boolean')"
    " FROM samples s LEFT JOIN shapes sh ON sh.id = s.shape"
    " WHERE s.device_id = $1 AND s.ts >= $2::timestamptz AND s.flags & 3 = 0 ORDER BY s.ts, "
    "s.received_at";

static uint32_t count_items(const char *text)
{
    uint32_t n = text[0] != '\0';
    for (; *text != '\0'; text++) {
        n += *text == ',';
    }
    return n;
}

/* Numbers and booleans of a stored sample; texts drive no rule. */
static enum err read_sample(struct arena *arena, const struct db_result *r, int row,
                            struct sample *ret_sample)
{
    const char *metrics = db_get(r, row, 4);
    const char *values = db_is_null(r, row, 6) ? db_get(r, row, 5) : db_get(r, row, 6);
    const char *booleans = db_get(r, row, 7);
    uint32_t numbers = count_items(metrics);
    struct sample_value *v = arena_alloc(arena, (numbers + count_items(booleans) + 1) * sizeof(*v));
    if (v == NULL) {
        return ERR_NOMEM;
    }
    uint32_t n = 0;
    for (; n < numbers; n++) {
        char *end = NULL;
        v[n] = (struct sample_value){.kind = VALUE_NUMBER,
                                     .metric = (int32_t)strtoll(metrics, &end, 10)};
        metrics = *end == ',' ? end + 1 : end;
        v[n].number = strtod(values, &end);
        values = *end == ',' ? end + 1 : end;
    }
    while (*booleans != '\0') {
        char *end = NULL;
        v[n] = (struct sample_value){.kind = VALUE_BOOL,
                                     .metric = (int32_t)strtoll(booleans, &end, 10)};
        v[n].number = end[0] == ':' && end[1] == '1' ? 1.0 : 0.0;
        booleans = end[0] == ':' && end[1] != '\0' && end[2] == ',' ? end + 3 : "";
        n++;
    }
    *ret_sample = (struct sample){.ts_us = db_get_int(r, row, 0), .count = n, .values = v};
    int32_t twice = 0;
    return sample_sort(ret_sample, &twice);
}

/* All stored samples from a time on: into the engine and the newest values. */
static enum err load_samples(struct load *l, struct db *db, int64_t from_us)
{
    struct db_params p = {0};
    db_int(&p, l->cd->id);
    db_time(&p, from_us < CLOCK_MIN_US ? CLOCK_MIN_US : from_us);
    struct db_result *r = NULL;
    enum err e = db_query(db, sql_samples, &p, &r);
    struct arena arena;
    arena_init(&arena, LOAD_ARENA_LIMIT);
    for (int i = 0; e == ERR_OK && i < db_rows(r); i++) {
        struct sample s;
        arena_reset(&arena);
        e = read_sample(&arena, r, i, &s);
        int64_t received_us = db_get_int(r, i, 1);
        if (e == ERR_OK && l->engine != NULL) {
            e = engine_replay(l->engine, &s, received_us, &l->out);
        }
        if (e == ERR_OK) {
            core_latest_update(&l->filled, &s);
        }
        l->watermark_us = s.ts_us > l->watermark_us ? s.ts_us : l->watermark_us;
        l->last_received_us = received_us > l->last_received_us ? received_us : l->last_received_us;
    }
    arena_fini(&arena);
    db_result_free(r);
    return e;
}

/* ---- the parts ---- */

static enum err load_latest(struct load *l, struct db *db)
{
    struct db_params p = {0};
    db_int(&p, l->cd->id);
    struct db_result *r = NULL;
    enum err e = db_query(
        db,
        "SELECT metric, (extract(epoch FROM ts) * 1000000)::bigint, value, extra::text FROM latest"
        " WHERE device_id = $1 ORDER BY metric",
        &p, &r);
    if (e != ERR_OK) {
        return e;
    }
    uint32_t n = (uint32_t)db_rows(r);
    l->filled.latest = calloc((size_t)n + 1, sizeof(struct core_latest));
    e = l->filled.latest == NULL ? ERR_NOMEM : ERR_OK;
    for (uint32_t i = 0; e == ERR_OK && i < n; i++) {
        struct core_latest *at = &l->filled.latest[i];
        at->metric = (int32_t)db_get_int(r, (int)i, 0);
        at->ts_us = db_get_int(r, (int)i, 1);
        at->value = db_get_real(r, (int)i, 2);
        at->extra = db_is_null(r, (int)i, 3) ? NULL : strdup(db_get(r, (int)i, 3));
    }
    if (e == ERR_OK) {
        l->filled.latest_count = n;
        l->filled.latest_cap = n + 1;
    }
    db_result_free(r);
    return e;
}

/* Those with a time of the server's, the newest first. It may lie in the future when the server's
 * clock was ahead: no time is given twice all the same, or equal readings would be taken for one.
 */
static enum err load_recent(struct load *l, struct db *db)
{
    struct db_params p = {0};
    db_int(&p, l->cd->id);
    db_int(&p, CORE_RECENT_MAX);
    struct db_result *r = NULL;
    enum err e = db_query(db,
                          "SELECT (extract(epoch FROM ts) * 1000000)::bigint, digest, (flags >> "
                          "16) & 65535 FROM samples"
                          " WHERE device_id = $1 AND ts > now() - interval '1 hour'"
                          " AND flags & 4 = 4 ORDER BY ts DESC LIMIT $2",
                          &p, &r);
    if (e != ERR_OK) {
        return e;
    }
    int n = db_rows(r);
    l->filled.recent = n == 0 ? NULL : calloc(CORE_RECENT_MAX, sizeof(struct core_recent));
    for (int i = 0; l->filled.recent != NULL && i < n; i++) {
        l->filled.recent[n - 1 - i] =
            (struct core_recent){.ts_us = db_get_int(r, i, 0),
                                 .digest = (int32_t)db_get_int(r, i, 1),
                                 .packet_id = (uint16_t)db_get_int(r, i, 2)};
    }
    l->filled.recent_next = (uint32_t)n;
    int64_t newest_us = n == 0 ? 0 : db_get_int(r, 0, 0);
    l->last_received_us = newest_us > l->last_received_us ? newest_us : l->last_received_us;
    db_result_free(r);
    return ERR_OK;
}

static bool load_has_rule(const struct load *l, int32_t rule_id)
{
    for (uint32_t i = 0; i < l->rule_count; i++) {
        if (l->rules[i].rule_id == rule_id) {
            return true;
        }
    }
    return false;
}

/* Alerts already reported. Those the engine does not know are of rules that changed or went: they
 * are closed. */
static enum err load_alerts(struct load *l, struct db *db, int64_t since_us)
{
    struct db_params p = {0};
    db_int(&p, l->cd->id);
    db_time(&p, since_us == CLOCK_NONE    ? CLOCK_MAX_US
                : since_us < CLOCK_MIN_US ? CLOCK_MIN_US
                                          : since_us);
    struct db_result *r = NULL;
    enum err e = db_query(
        db,
        "SELECT id, rule_id, (extract(epoch FROM since) * 1000000)::bigint,"
        " (extract(epoch FROM fired_at) * 1000000)::bigint,"
        " (extract(epoch FROM resolved_at) * 1000000)::bigint, value, severity,"
        " coalesce(worst, severity), (extract(epoch FROM coalesce(severity_at, fired_at)) * "
        "1000000)::bigint, shadow FROM alerts"
        " WHERE device_id = $1 AND (state = 'firing' OR (state = 'resolved' AND resolved_at >= $2))"
        " ORDER BY fired_at, id",
        &p, &r);
    if (e != ERR_OK) {
        return e;
    }
    l->orphans = calloc((size_t)db_rows(r) + 1, sizeof(*l->orphans));
    for (int i = 0; l->orphans != NULL && e == ERR_OK && i < db_rows(r); i++) {
        bool open = db_is_null(r, i, 4);
        struct engine_event alert = {.kind = open ? ENGINE_FIRED : ENGINE_RESOLVED,
                                     .alert_id = db_get_int(r, i, 0),
                                     .rule_id = (int32_t)db_get_int(r, i, 1),
                                     .since_us = db_get_int(r, i, 2),
                                     .fired_at_us = db_get_int(r, i, 3),
                                     .resolved_at_us = open ? CLOCK_NONE : db_get_int(r, i, 4),
                                     .value = db_get_real(r, i, 5),
                                     .severity_at_us = db_get_int(r, i, 8)};
        (void)severity_parse(db_get_view(r, i, 6), &alert.severity);
        (void)severity_parse(db_get_view(r, i, 7), &alert.worst);
        enum err known = ERR_NOT_FOUND;
        if (l->engine != NULL && load_has_rule(l, alert.rule_id)) {
            known = engine_restore_alert(l->engine, &alert);
        }
        if (known == ERR_NOMEM) {
            e = known;
        } else if (known != ERR_OK && open) {
            l->orphans[l->orphan_count++] =
                (struct orphan){.alert_id = alert.alert_id,
                                .rule_id = alert.rule_id,
                                .shadow = view_eq_str(db_get_view(r, i, 9), "t")};
        }
    }
    db_result_free(r);
    return e;
}

static enum err load_baselines(struct load *l, struct db *db)
{
    int32_t metric = 0;
    int64_t count = 0;
    for (uint32_t at = 0; engine_baseline_wanted(l->engine, at, &metric, &count); at++) {
        struct db_params p = {0};
        db_int(&p, l->cd->id);
        db_int(&p, metric);
        db_int(&p, count);
        db_time(&p, engine_watermark_us(l->engine));
        struct db_result *r = NULL;
        enum err e = db_query(
            db,
            "SELECT v FROM (SELECT DISTINCT ON (s.ts) s.ts, coalesce(s.value,"
            " s.values[array_position(sh.metrics, $2::int)]) AS v FROM samples s JOIN shapes sh ON"
            " sh.id = s.shape WHERE s.device_id = $1 AND s.flags & 3 = 0 AND s.ts <= $4 AND "
            "sh.metrics @> "
            "ARRAY[$2::int]"
            " ORDER BY s.ts, s.received_at LIMIT $3) firsts ORDER BY ts",
            &p, &r);
        if (e != ERR_OK) {
            return e;
        }
        uint32_t n = (uint32_t)db_rows(r);
        double *values = calloc((size_t)n + 1, sizeof(*values));
        for (uint32_t i = 0; values != NULL && i < n; i++) {
            values[i] = db_get_real(r, (int)i, 0);
        }
        e = values == NULL ? ERR_NOMEM : engine_baseline_seed(l->engine, metric, values, n);
        free(values);
        db_result_free(r);
        if (e != ERR_OK) {
            return e;
        }
    }
    return ERR_OK;
}

/* The saved row, or nothing for a device that was never saved. */
static enum err load_state(struct load *l, struct db *db, struct buf *ret_state, bool *ret_found)
{
    struct db_params p = {0};
    db_int(&p, l->cd->id);
    struct db_result *r = NULL;
    enum err e = db_query(db,
                          "SELECT (extract(epoch FROM watermark) * 1000000)::bigint,"
                          " (extract(epoch FROM last_seen_at) * 1000000)::bigint, rule_state"
                          " FROM device_state WHERE device_id = $1",
                          &p, &r);
    if (e != ERR_OK) {
        return e;
    }
    *ret_found = db_rows(r) == 1;
    if (*ret_found) {
        l->watermark_us = db_is_null(r, 0, 0) ? CLOCK_NONE : db_get_int(r, 0, 0);
        l->last_seen_us = db_is_null(r, 0, 1) ? CLOCK_NONE : db_get_int(r, 0, 1);
        e = db_is_null(r, 0, 2) ? ERR_OK : db_get_bytes(r, 0, 2, ret_state);
    }
    db_result_free(r);
    return e;
}

/* A device without saved rule state starts its rules at its watermark: what came before drives none
 * of them. */
static enum err load_engine(struct load *l, struct db *db, struct view state)
{
    l->engine =
        engine_new(l->device, l->rules, l->rule_count, l->in->conf->lateness_us, l->watermark_us);
    if (l->engine == NULL) {
        return ERR_NOMEM;
    }
    enum err e = state.len > 0 ? engine_restore(l->engine, state) : ERR_OK;
    l->fresh = state.len == 0;
    if (e == ERR_MALFORMED) {
        LOG(LOG_ERROR, "rule_state_unreadable", LOG_S("device", l->device->name),
            LOG_S("next", "its rules start afresh"));
        engine_free(l->engine);
        l->engine = NULL;
        return load_engine(l, db, (struct view){NULL, 0});
    }
    if (e == ERR_OK) {
        e = load_baselines(l, db);
    }
    return e == ERR_OK ? load_alerts(l, db, engine_history_from(l->engine)) : e;
}

static enum err load_all(struct load *l, struct db *db)
{
    struct buf state;
    buf_init(&state, LOAD_STATE_LIMIT);
    bool saved = false;
    enum err e = load_state(l, db, &state, &saved);
    if (e == ERR_OK) {
        e = load_latest(l, db);
    }
    if (e == ERR_OK && !saved) {
        /* Never saved: a new device, or the server died within its first seconds. */
        e = load_samples(l, db, CLOCK_MIN_US);
    }
    int64_t saved_us = l->watermark_us;
    if (e == ERR_OK) {
        e = l->rule_count > 0 ? load_engine(l, db, buf_view(&state))
                              : load_alerts(l, db, CLOCK_NONE);
    }
    buf_fini(&state);
    if (e == ERR_OK) {
        int64_t from_us = l->engine == NULL ? CLOCK_NONE : engine_history_from(l->engine);
        /* What came out of order after the state was saved may be the newest of its metrics. */
        int64_t unsaved_us =
            saved_us == CLOCK_NONE ? CLOCK_NONE : saved_us - l->in->conf->lateness_us;
        if (saved_us != CLOCK_NONE && (from_us == CLOCK_NONE || from_us > unsaved_us)) {
            from_us = unsaved_us;
        }
        e = load_samples(l, db, from_us == CLOCK_NONE ? CLOCK_MIN_US : from_us);
    }
    if (e == ERR_OK && l->engine != NULL) {
        engine_replay_end(l->engine, &l->out);
        e = l->out.err;
    }
    return e == ERR_OK ? load_recent(l, db) : e;
}

/* ---- there and back ---- */

static void load_clear_results(struct load *l)
{
    engine_free(l->engine);
    l->engine = NULL;
    for (uint32_t i = 0; i < l->filled.latest_count; i++) {
        free(l->filled.latest[i].extra);
    }
    free(l->filled.latest);
    free(l->filled.recent);
    free(l->orphans);
    l->orphans = NULL;
    l->orphan_count = 0;
    l->filled = (struct core_device){0};
    l->watermark_us = CLOCK_NONE;
    l->last_seen_us = CLOCK_NONE;
    l->last_received_us = 0;
    arena_reset(&l->arena);
    l->out = (struct engine_out){.arena = &l->arena, .next_alert_id = &l->next_alert_id};
    l->next_alert_id = LOAD_TEMPORARY_ID;
}

static void load_work(struct store_job *job, struct db *db);

static void load_again(void *arg)
{
    struct load *l = arg;
    loop_timer_stop(l->retry);
    l->retry = NULL;
    store_run(l->in->store, &l->job, load_work);
}

/* This event and the later ones of the same alert. */
static void load_renumber(struct engine_event *first, int64_t id)
{
    int64_t temporary = first->alert_id;
    for (struct engine_event *e = first; e != NULL; e = e->next) {
        if (e->alert_id == temporary) {
            e->alert_id = id;
        }
    }
}

/* Newest values that the last flush did not have. */
static bool load_has_news(const struct core_device *cd)
{
    for (uint32_t i = 0; i < cd->latest_count; i++) {
        if (cd->latest[i].dirty) {
            return true;
        }
    }
    return false;
}

static void load_orphan(struct ingest *in, const struct core_device *cd, const struct orphan *o)
{
    struct rule *rule = catalog_rule_by_id(in->catalog, o->rule_id);
    const char *cause = rule == NULL                       ? "rule deleted"
                        : rule_mode(rule) == RULE_DISABLED ? "rule disabled"
                        : rule_selects(rule, cd->device)   ? "rule changed"
                                                           : "rule selects the device no more";
    core_orphan_alert(in, cd->id, o->alert_id,
                      cd->watermark_us == CLOCK_NONE ? in->tick_wall_us : cd->watermark_us, cause,
                      o->shadow);
    rule_drop(rule);
}

static void load_done(struct mail *m)
{
    struct load *l = CONTAINER_OF(m, struct load, back);
    struct ingest *in = l->in;
    struct core_device *cd = l->cd;
    if (l->err != ERR_OK) {
        load_clear_results(l);
        if (in->stopping) {
            cd->state = CORE_DEVICE_COLD;
            load_free(l);
            return;
        }
        if (l->err != ERR_DB_DOWN) { /* of which store tells, once for all devices */
            LOG(LOG_WARN, "device_not_loaded", LOG_S("device", l->device->name),
                LOG_S("error", err_words(l->err)),
                LOG_S("next", "its messages wait; trying again"));
        }
        l->retry = loop_timer_start(in->loop, LOAD_RETRY_MS, load_again, l);
        CHECK(l->retry != NULL);
        return;
    }
    cd->device = l->device;
    l->device = NULL;
    cd->engine = l->engine;
    cd->watermark_us = l->watermark_us;
    cd->last_seen_us = l->last_seen_us;
    cd->last_received_us =
        l->last_received_us > cd->last_received_us ? l->last_received_us : cd->last_received_us;
    cd->latest = l->filled.latest;
    cd->latest_count = l->filled.latest_count;
    cd->latest_cap = l->filled.latest_cap;
    cd->recent = l->filled.recent;
    cd->recent_next = l->filled.recent_next;
    for (uint32_t i = 0; i < l->orphan_count; i++) {
        load_orphan(in, cd, &l->orphans[i]);
    }
    for (struct engine_event *e = l->out.first; e != NULL; e = e->next) {
        if (e->kind == ENGINE_FIRED) {
            engine_renumber_alert(cd->engine, e->alert_id, in->next_alert_id);
            load_renumber(e, in->next_alert_id++);
        }
    }
    if (l->fresh) {
        core_flush_device(in, cd); /* with the first samples that drive its rules: a crash then
                                      finds where they began */
    }
    if (l->out.first != NULL) {
        core_effects(in, cd, &l->out);
        core_batch_touch(in, cd);
    }
    if (load_has_news(cd)) {
        core_dirty(in, cd);
    }
    load_free(l);
    core_loaded(in, cd);
}

static void load_work(struct store_job *job, struct db *db)
{
    struct load *l = CONTAINER_OF(job, struct load, job);
    l->err = db == NULL ? ERR_DB_DOWN : load_all(l, db);
    l->back.run = load_done;
    loop_post(l->in->loop, &l->back);
}

void core_load(struct ingest *in, struct core_device *cd)
{
    struct load *l = calloc(1, sizeof(*l));
    CHECK(l != NULL);
    l->in = in;
    l->cd = cd;
    arena_init(&l->arena, LOAD_ARENA_LIMIT);
    load_clear_results(l);
    l->device = catalog_device_by_id(in->catalog, cd->id);
    if (l->device == NULL) {
        cd->state = CORE_DEVICE_COLD;
        load_free(l);
        core_device_gone(in, cd);
        return;
    }
    CHECK(catalog_rules_for(in->catalog, l->device, &l->rules, &l->rule_count) == ERR_OK);
    store_run(in->store, &l->job, load_work);
}
