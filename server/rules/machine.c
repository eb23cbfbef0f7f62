/*
 * machine: the fold. One sample changes the newest values, the baselines and the windows, and then
 * drives each rule that reads one of its metrics.
 *
 *     NORMAL --when--> WAITING (since) --for is over--> ACTIVE (fired) --clear holds for
 * clear_for--> NORMAL WAITING --not when, or silence longer than max_gap--> NORMAL
 *
 * `clear` is also asked at the sample that fired. Silence longer than max_gap starts the run of
 * `clear` anew and leaves ACTIVE alone. Nothing here reads a clock: time is that of the samples.
 */
#include <math.h>

#include "rules/inside.h"

/* The first value of a metric at an instant wins. False: the metric has one at this time. */
static bool take_reading(struct engine *e, const struct engine_reading *v, int64_t ts_us)
{
    struct engine_slot *slot = &e->slots[v->slot];
    struct engine_slot_state *s = &e->now->slots[v->slot];
    if (s->last_us >= ts_us) {
        return false;
    }
    s->last_us = ts_us;
    s->last = v->value;
    if (s->baseline_count < slot->baseline_samples && ts_us > slot->baseline_after_us) {
        s->baseline_sum += v->value;
        s->baseline_count++;
    }
    if (slot->has_series) {
        struct engine_point p = {.ts_us = ts_us, .value = v->value};
        if (engine_series_append(&slot->series, p) != ERR_OK) {
            e->failed = ERR_NOMEM;
            return false;
        }
        s->end = slot->series.end;
    }
    return true;
}

/* `sample`: one came at this time, which what the rule remembers takes note of. */
static void gather(struct engine *e, const struct engine_machine *m, int64_t t_us, bool sample)
{
    for (uint32_t i = 0; i < m->range_count; i++) {
        engine_range_advance(e, m->range_first + i, t_us);
    }
    uint32_t count = m->rule->inputs.count;
    for (uint32_t i = 0; i < count; i++) {
        const struct engine_input *in = &m->inputs[i];
        if (in->kind == RULE_INPUT_MEMORY && sample) {
            engine_memory_step(e, m, in, t_us);
        }
        e->values[i] = engine_input_value(e, m, in, t_us);
    }
}

/* NORMAL or WAITING: does the run go on, and is it long enough? */
static void drive_raise(struct engine *e, uint32_t index, int64_t t_us, struct engine_out *out)
{
    const struct rule *rule = e->machines[index].rule;
    struct engine_machine_state *s = &e->now->machines[index];
    double mark = (double)NAN;
    if (rule_program_run(&rule->when, e->values, &mark) == 0) {
        if (s->phase == ENGINE_WAITING) {
            s->phase = ENGINE_NORMAL;
            engine_note(e, index, ENGINE_PENDING_RESET, s->since_us, out);
        }
        return;
    }
    bool begins = s->phase == ENGINE_NORMAL;
    if (begins) {
        s->phase = ENGINE_WAITING;
        s->since_us = t_us;
    }
    if (t_us - s->since_us < rule->for_us) {
        if (begins) {
            engine_note(e, index, ENGINE_PENDING, t_us, out);
        }
        return;
    }
    s->phase = ENGINE_ACTIVE;
    s->fired_us = t_us;
    s->value = mark;
    s->clear_us = CLOCK_NONE;
    s->fired_count++;
    engine_fired(e, index, out);
}

/* ACTIVE: the rule's own clear condition, or `when` no longer true. */
static void drive_clear(struct engine *e, uint32_t index, int64_t t_us, struct engine_out *out)
{
    const struct rule *rule = e->machines[index].rule;
    struct engine_machine_state *s = &e->now->machines[index];
    double mark = (double)NAN;
    bool clear = rule->clear.count > 0 ? rule_program_run(&rule->clear, e->values, &mark) != 0
                                       : rule_program_run(&rule->when, e->values, &mark) == 0;
    if (!clear) {
        s->clear_us = CLOCK_NONE;
        return;
    }
    if (s->clear_us == CLOCK_NONE) {
        s->clear_us = t_us;
    }
    if (t_us - s->clear_us >= rule->clear_for_us) {
        s->phase = ENGINE_NORMAL;
        s->clear_us = CLOCK_NONE;
        engine_resolved(e, index, t_us, out);
    }
}

static void drive(struct engine *e, uint32_t index, int64_t t_us, struct engine_out *out)
{
    const struct engine_machine *m = &e->machines[index];
    struct engine_machine_state *s = &e->now->machines[index];
    int64_t gap_us = m->rule->max_gap_us;
    if (gap_us > 0 && s->prev_us != CLOCK_NONE && t_us - s->prev_us > gap_us) {
        if (s->phase == ENGINE_WAITING) {
            s->phase = ENGINE_NORMAL;
            engine_note(e, index, ENGINE_PENDING_RESET, s->since_us, out);
        }
        s->clear_us = CLOCK_NONE;
    }
    s->prev_us = t_us;
    out->evaluations++;
    gather(e, m, t_us, true);
    if (s->phase != ENGINE_ACTIVE) {
        drive_raise(e, index, t_us, out);
    }
    if (s->phase == ENGINE_ACTIVE) {
        drive_clear(e, index, t_us, out);
    }
}

bool engine_step(struct engine *e, const struct engine_entry *s, struct engine_out *out)
{
    bool changes = e->now->newest_us < s->ts_us;
    e->now->newest_us = s->ts_us;
    if (s->count == 0) {
        return changes;
    }
    const struct engine_reading *readings = e->history.readings + s->first;
    uint32_t touched = 0;
    e->step++;
    for (uint32_t i = 0; i < s->count; i++) {
        if (!take_reading(e, &readings[i], s->ts_us)) {
            continue;
        }
        changes = true;
        const struct engine_slot *slot = &e->slots[readings[i].slot];
        for (uint32_t k = 0; k < slot->machine_count; k++) {
            struct engine_machine *m = &e->machines[slot->machines[k]];
            if (m->touched != e->step && s->ts_us > m->after_us) {
                m->touched = e->step;
                e->touched[touched++] = slot->machines[k];
            }
        }
    }
    engine_place_step(e, s->ts_us);
    for (uint32_t i = 0; i < touched; i++) {
        drive(e, e->touched[i], s->ts_us, out);
    }
    return changes;
}
