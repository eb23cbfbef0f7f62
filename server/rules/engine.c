/*
 * engine: feeds samples to the fold: in order one step, out of order a roll-back and a run over
 * what came since.
 */
#include "rules/engine.h"

#include <stdlib.h>

#include "base/check.h"
#include "rules/inside.h"

void engine_begin_at(struct engine *e, int64_t watermark_us)
{
    int64_t base_us = watermark_us - e->lateness_us - 1;
    e->watermark_us = watermark_us;
    e->now->newest_us = base_us < -1 ? -1 : base_us;
    e->snapshots[0]->newest_us = e->now->newest_us;
}

static enum err start(struct engine *e, const struct engine_rule *rules, uint32_t count)
{
    enum err err = engine_bind(e, rules, count);
    if (err != ERR_OK) {
        return err;
    }
    e->spacing_us = (e->lateness_us + 3) / 4;
    e->spacing_us = e->spacing_us < CLOCK_SECOND_US ? CLOCK_SECOND_US : e->spacing_us;
    e->now = engine_state_new(e);
    e->snapshots[0] = engine_state_new(e);
    e->snapshot_count = 1;
    return e->now != NULL && e->snapshots[0] != NULL ? ERR_OK : ERR_NOMEM;
}

struct engine *engine_new(struct device *d, const struct engine_rule *rules, uint32_t count,
                          int64_t lateness_us, int64_t watermark_us)
{
    struct engine *e = calloc(1, sizeof(*e));
    if (e == NULL) {
        return NULL;
    }
    device_hold(d);
    e->device = d;
    e->lateness_us = lateness_us;
    e->watermark_us = CLOCK_NONE;
    e->first_us = CLOCK_NONE;
    if (start(e, rules, count) != ERR_OK) {
        engine_free(e);
        return NULL;
    }
    if (watermark_us != CLOCK_NONE) {
        engine_begin_at(e, watermark_us);
        for (uint32_t i = 0; i < e->machine_count; i++) {
            e->machines[i].after_us = watermark_us;
        }
        for (uint32_t i = 0; i < e->slot_count; i++) {
            e->slots[i].baseline_after_us = watermark_us;
        }
    }
    return e;
}

void engine_free(struct engine *e)
{
    if (e == NULL) {
        return;
    }
    for (uint32_t i = 0; i < ENGINE_SNAPSHOTS_MAX; i++) {
        free(e->snapshots[i]);
    }
    free(e->now);
    engine_history_fini(&e->history);
    engine_unbind(e);
    device_drop(e->device);
    free(e);
}

int64_t engine_watermark_us(const struct engine *e)
{
    return e->watermark_us;
}

int64_t engine_lateness_us(const struct engine *e)
{
    return e->lateness_us;
}

bool engine_wants(const struct engine *e, int32_t metric)
{
    uint32_t slot = 0;
    return engine_find_slot(e, metric, &slot);
}

static bool is_late(const struct engine *e, int64_t ts_us)
{
    /* With no base, both are CLOCK_NONE and nothing is late. */
    return ts_us <= e->snapshots[0]->newest_us ||
           (e->watermark_us != CLOCK_NONE && ts_us < e->watermark_us - e->lateness_us);
}

/* Puts the sample into the history. *ret_last: it is the newest. */
static bool remember(struct engine *e, const struct sample *s, int32_t digest, int64_t seq,
                     uint64_t *ret_at)
{
    struct engine_entry entry = {
        .ts_us = s->ts_us, .seq = seq, .digest = digest, .count = engine_pick(e, s)};
    if (engine_history_add(&e->history, entry, e->readings, ret_at) != ERR_OK) {
        e->failed = ERR_NOMEM;
        return false;
    }
    return true;
}

static void run(struct engine *e, uint64_t at, struct engine_out *out)
{
    const struct engine_entry *entry = engine_history_at(&e->history, at);
    engine_snapshot_before(e, entry->ts_us);
    engine_step(e, entry, out);
}

/* A sample came out of order: everything since is run again, and what differs is reported. */
static void run_again(struct engine *e, int64_t ts_us, struct engine_out *out)
{
    engine_roll_back(e, ts_us);
    engine_episodes_reopen(e);
    e->quiet = true;
    uint64_t from = engine_history_after(&e->history, e->now->newest_us);
    for (uint64_t i = from; i < e->history.count && e->failed == ERR_OK; i++) {
        run(e, i, out);
    }
    e->quiet = false;
    if (e->failed == ERR_OK) {
        engine_reconcile(e, out);
    }
}

static void watermark_advance(struct engine *e, int64_t ts_us)
{
    if (ts_us > e->watermark_us) {
        e->watermark_us = ts_us;
    }
    engine_base_advance(e);
}

static enum engine_verdict feed(struct engine *e, const struct sample *s, int32_t digest,
                                int64_t seq, struct engine_out *out)
{
    if (is_late(e, s->ts_us)) {
        return ENGINE_LATE;
    }
    if (e->machine_count == 0) {
        watermark_advance(e, s->ts_us);
        return ENGINE_NEW;
    }
    if (engine_history_has(&e->history, s->ts_us, digest)) {
        return ENGINE_DUPLICATE;
    }
    if (e->history.count == ENGINE_HISTORY_MAX) {
        engine_base_force(e);
        if (is_late(e, s->ts_us)) {
            return ENGINE_LATE;
        }
    }
    uint64_t at = 0;
    if (!remember(e, s, digest, seq, &at)) {
        return ENGINE_NEW;
    }
    if (at == e->history.count - 1) {
        run(e, at, out);
    } else if (engine_history_at(&e->history, at)->count > 0) {
        run_again(e, s->ts_us, out);
    }
    watermark_advance(e, s->ts_us);
    return ENGINE_NEW;
}

enum engine_verdict engine_feed(struct engine *e, const struct sample *s, int32_t digest,
                                int64_t seq, struct engine_out *out)
{
    CHECK(s->ts_us >= CLOCK_MIN_US && s->ts_us <= CLOCK_MAX_US); /* the decoder saw to it */
    enum engine_verdict verdict = ENGINE_NEW;
    if (e->mode != ENGINE_LIVE) {
        engine_replay_end(e, out);
    }
    if (e->failed == ERR_OK) {
        verdict = feed(e, s, digest, seq, out);
    }
    if (e->failed != ERR_OK) {
        out->err = e->failed;
    }
    return verdict;
}

/* A sample up to the base: only windows and newest values take it. */
static void fill(struct engine *e, const struct sample *s)
{
    uint32_t count = engine_pick(e, s);
    for (uint32_t i = 0; i < count && e->failed == ERR_OK; i++) {
        struct engine_slot *slot = &e->slots[e->readings[i].slot];
        struct engine_slot_state *state = &e->now->slots[e->readings[i].slot];
        struct engine_point p = {.ts_us = s->ts_us, .value = e->readings[i].value};
        if (state->last_us < p.ts_us) {
            state->last_us = p.ts_us;
            state->last = p.value;
        }
        struct engine_series *series = &slot->series;
        bool newer = series->end == series->first ||
                     engine_series_at(series, series->end - 1).ts_us < p.ts_us;
        if (slot->has_series && newer && engine_series_append(series, p) != ERR_OK) {
            e->failed = ERR_NOMEM;
        }
    }
}

enum err engine_replay(struct engine *e, const struct sample *s, int32_t digest, int64_t seq,
                       struct engine_out *out)
{
    CHECK(s->ts_us >= CLOCK_MIN_US && s->ts_us <= CLOCK_MAX_US);
    if (e->mode == ENGINE_LIVE) {
        return ERR_STATE;
    }
    e->mode = ENGINE_REPLAYING;
    if (s->ts_us <= e->snapshots[0]->newest_us && !e->sealed) {
        fill(e, s);
        return e->failed;
    }
    engine_seal(e);
    const struct engine_history *h = &e->history;
    const struct engine_entry *last = h->count == 0 ? NULL : engine_history_at(h, h->count - 1);
    if (s->ts_us < e->now->newest_us ||
        (last != NULL && last->ts_us == s->ts_us && last->seq > seq)) {
        return ERR_STATE;
    }
    if (e->machine_count > 0 && !engine_history_has(h, s->ts_us, digest)) {
        if (h->count == ENGINE_HISTORY_MAX) {
            engine_base_force(e);
        }
        uint64_t at = 0;
        e->quiet = true;
        bool late = s->ts_us <= e->snapshots[0]->newest_us; /* only after the base was forced */
        if (!late && remember(e, s, digest, seq, &at)) {
            run(e, at, out);
        }
        e->quiet = false;
    }
    watermark_advance(e, s->ts_us);
    return e->failed;
}

void engine_replay_end(struct engine *e, struct engine_out *out)
{
    if (e->mode == ENGINE_LIVE) {
        return;
    }
    engine_seal(e);
    e->mode = ENGINE_LIVE;
    if (e->failed == ERR_OK) {
        engine_reconcile(e, out);
        engine_episodes_trim(e);
    }
    if (e->failed != ERR_OK) {
        out->err = e->failed;
    }
}

bool engine_baseline_wanted(const struct engine *e, uint32_t at, int32_t *ret_metric,
                            int64_t *ret_count)
{
    if (e->mode != ENGINE_FRESH || e->watermark_us == CLOCK_NONE) {
        return false;
    }
    for (uint32_t i = 0; i < e->slot_count; i++) {
        const struct engine_slot *s = &e->slots[i];
        if (s->baseline_samples == 0 || !s->baseline_fresh || at-- > 0) {
            continue;
        }
        *ret_metric = s->metric;
        *ret_count = (int64_t)s->baseline_samples;
        return true;
    }
    return false;
}

enum err engine_baseline_seed(struct engine *e, int32_t metric, const double *values,
                              uint32_t count)
{
    uint32_t at = 0;
    if (!engine_find_slot(e, metric, &at)) {
        return ERR_NOT_FOUND;
    }
    const struct engine_slot *slot = &e->slots[at];
    if (e->mode != ENGINE_FRESH || !slot->baseline_fresh) {
        return ERR_STATE;
    }
    struct engine_slot_state *s = &e->now->slots[at];
    s->baseline_count = 0;
    s->baseline_sum = 0;
    for (uint32_t i = 0; i < count && s->baseline_count < slot->baseline_samples; i++) {
        struct sample_value v = {.metric = metric, .kind = VALUE_NUMBER, .number = values[i]};
        if (engine_is_reading(slot, &v)) {
            s->baseline_sum += values[i];
            s->baseline_count++;
        }
    }
    e->snapshots[0]->slots[at] = *s;
    return ERR_OK;
}
