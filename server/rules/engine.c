/*
 * engine: gathers samples and feeds them to the fold: those in order one step each, and if any is
 * out of order one roll-back and a run over what came since, for all of them.
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
    e->prompt_us = lateness_us;
    e->watermark_us = CLOCK_NONE;
    e->first_us = CLOCK_NONE;
    e->due_us = CLOCK_NONE;
    e->clock_us = CLOCK_NONE;
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
    free(e->saved_ticks);
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

bool engine_has_rule(const struct engine *e, int32_t rule_id)
{
    for (uint32_t i = 0; i < e->machine_count; i++) {
        if (e->machines[i].rule_id == rule_id) {
            return true;
        }
    }
    return false;
}

static bool is_late(const struct engine *e, int64_t ts_us)
{
    /* With no base, both are CLOCK_NONE and nothing is late. */
    return ts_us <= e->snapshots[0]->newest_us ||
           (e->watermark_us != CLOCK_NONE && ts_us < e->watermark_us - e->lateness_us);
}

static uint32_t work_of(const struct engine *e, uint32_t count)
{
    uint32_t work = 1;
    for (uint32_t i = 0; i < count; i++) {
        work += e->slots[e->readings[i].slot].machine_count;
    }
    return work;
}

static void remember(struct engine *e, const struct sample *s, int64_t seq)
{
    struct engine_entry entry = {.ts_us = s->ts_us, .seq = seq, .count = engine_pick(e, s)};
    entry.work = work_of(e, entry.count);
    if (entry.count == 0 && s->ts_us <= e->now->newest_us) {
        return; /* nothing to run again for it */
    }
    if (engine_history_add(&e->history, entry, e->readings) != ERR_OK) {
        e->failed = ERR_NOMEM;
    }
}

/* What changes nothing, as what is known already, is not kept. */
static void run(struct engine *e, uint64_t from, uint64_t to, struct engine_out *out)
{
    for (uint64_t i = from; i < to && e->failed == ERR_OK; i++) {
        const struct engine_entry *entry = engine_history_at(&e->history, i);
        engine_timers_run(e, entry->ts_us - 1, out);
        if (entry->seq != ENGINE_TICK) { /* of them there may be any number within the lateness */
            engine_snapshot_before(e, entry->ts_us);
        }
        if (!engine_step(e, entry, out)) {
            engine_history_forget(&e->history, i);
        }
    }
}

/* Goes back to before the first entry that is not in the state yet, which is `from`. What was
 * reported up to the entry `to`, and with time alone after all of them, is compared with what is
 * true now. */
static void run_again(struct engine *e, uint64_t from, uint64_t to, struct engine_out *out)
{
    engine_roll_back(e, engine_history_at(&e->history, from)->ts_us);
    engine_episodes_reopen(e);
    e->quiet = true;
    run(e, engine_history_after(&e->history, e->now->newest_us), to, out);
    if (to == e->history.count && e->mode == ENGINE_LIVE) {
        engine_timers_run(e, e->clock_us, out);
    }
    e->quiet = false;
    if (e->failed == ERR_OK) {
        engine_reconcile(e, out);
    }
}

/* All that was gathered goes through the fold. */
static void run_fresh(struct engine *e, struct engine_out *out)
{
    struct engine_history *h = &e->history;
    uint64_t known = h->count;
    uint64_t from = 0;
    uint64_t newer = 0;
    if (engine_history_merge(h, &from, &newer) != ERR_OK) {
        e->failed = ERR_NOMEM;
        return;
    }
    int64_t timer_us = e->now->timer_us;
    bool before_timer = from < h->count && engine_history_at(h, from)->ts_us <= timer_us;
    if (from < known || before_timer) {
        /* Timers that ran behind all that was known told something, too. */
        bool ahead = known == 0 || engine_history_at(h, newer - 1)->ts_us <= timer_us;
        newer = ahead ? h->count : newer;
        run_again(e, from, newer, out);
        e->correcting = false;
    }
    run(e, newer, h->count, out);
    if (e->mode == ENGINE_LIVE) {
        engine_timers_run(e, e->clock_us, out);
    }
    e->correcting = false;
    engine_history_close(h);
    engine_base_advance(e);
}

static void watermark_advance(struct engine *e, int64_t ts_us)
{
    if (ts_us > e->watermark_us) {
        e->watermark_us = ts_us;
    }
}

static enum engine_verdict feed(struct engine *e, const struct sample *s, int64_t seq,
                                struct engine_out *out)
{
    if (is_late(e, s->ts_us)) {
        return ENGINE_LATE;
    }
    if (e->machine_count > 0) {
        if (engine_history_full(&e->history)) {
            run_fresh(e, out);
        }
        if (engine_history_full(&e->history)) {
            engine_base_force(e);
            if (is_late(e, s->ts_us)) {
                return ENGINE_LATE;
            }
        }
        remember(e, s, seq);
        e->correcting = e->correcting || (e->watermark_us != CLOCK_NONE &&
                                          s->ts_us < e->watermark_us - e->prompt_us);
    }
    watermark_advance(e, s->ts_us);
    return ENGINE_NEW;
}

enum engine_verdict engine_feed(struct engine *e, const struct sample *s, int64_t seq,
                                struct engine_out *out)
{
    CHECK(s->ts_us >= CLOCK_MIN_US && s->ts_us <= CLOCK_MAX_US); /* the decoder saw to it */
    enum engine_verdict verdict = ENGINE_NEW;
    if (e->mode != ENGINE_LIVE) {
        engine_replay_end(e, out);
    }
    if (e->failed == ERR_OK) {
        verdict = feed(e, s, seq, out);
    }
    if (e->failed != ERR_OK) {
        out->err = e->failed;
    }
    return verdict;
}

void engine_run(struct engine *e, struct engine_out *out)
{
    if (e->history.fresh > 0 && e->failed == ERR_OK) {
        run_fresh(e, out);
    }
    if (e->failed != ERR_OK) {
        out->err = e->failed;
    }
}

bool engine_reaches_back(const struct engine *e, const struct sample *s)
{
    bool back = s->ts_us < e->now->newest_us || s->ts_us <= e->now->timer_us;
    return e->machine_count > 0 && back && !is_late(e, s->ts_us) && engine_pick(e, s) > 0;
}

void engine_tick(struct engine *e, int64_t t_us, struct engine_out *out)
{
    struct engine_entry entry = {.ts_us = t_us, .seq = ENGINE_TICK, .work = e->machine_count + 1};
    if (engine_history_full(&e->history)) {
        engine_base_force(e);
    }
    if (engine_history_add(&e->history, entry, NULL) != ERR_OK) {
        e->failed = ERR_NOMEM;
        return;
    }
    run_fresh(e, out);
}

void engine_advance(struct engine *e, int64_t event_time_us, struct engine_out *out)
{
    if (e->mode != ENGINE_LIVE) {
        engine_replay_end(e, out);
    }
    engine_run(e, out);
    e->clock_us = event_time_us > e->clock_us ? event_time_us : e->clock_us;
    while (e->failed == ERR_OK) {
        int64_t due_us = CLOCK_NONE;
        bool silence = engine_timers_next(e, &due_us);
        if (due_us == CLOCK_NONE || due_us > e->clock_us) {
            break;
        }
        if (silence) {
            engine_tick(e, due_us, out);
        } else {
            engine_timers_run(e, due_us, out);
        }
    }
    if (e->failed != ERR_OK) {
        out->err = e->failed;
    }
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

/* The ticks of the restored state that lie before a sample. */
static void replay_ticks(struct engine *e, int64_t before_us, struct engine_out *out)
{
    e->quiet = true;
    while (e->saved_tick_next < e->saved_tick_count && e->failed == ERR_OK &&
           e->saved_ticks[e->saved_tick_next] < before_us) {
        engine_tick(e, e->saved_ticks[e->saved_tick_next++], out);
    }
    e->quiet = false;
}

enum err engine_replay(struct engine *e, const struct sample *s, int64_t seq,
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
    replay_ticks(e, s->ts_us, out);
    const struct engine_history *h = &e->history;
    const struct engine_entry *last = h->count == 0 ? NULL : engine_history_at(h, h->count - 1);
    if (s->ts_us < e->now->newest_us ||
        (last != NULL && last->ts_us == s->ts_us && last->seq > seq)) {
        return ERR_STATE;
    }
    watermark_advance(e, s->ts_us);
    if (e->machine_count == 0) {
        return e->failed;
    }
    if (engine_history_full(h)) {
        engine_base_force(e);
    }
    if (s->ts_us > e->snapshots[0]->newest_us) { /* not so only after the base was forced */
        remember(e, s, seq);
        e->quiet = true;
        run_fresh(e, out);
        e->quiet = false;
    }
    return e->failed;
}

void engine_replay_end(struct engine *e, struct engine_out *out)
{
    if (e->mode == ENGINE_LIVE) {
        return;
    }
    engine_seal(e);
    replay_ticks(e, CLOCK_MAX_US + 1, out);
    e->mode = ENGINE_LIVE;
    e->quiet = true;
    engine_timers_run(e, e->clock_us, out);
    e->quiet = false;
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
