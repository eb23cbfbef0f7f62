/*
 * machine: the fold. One sample changes the newest values, the baselines and the windows, and then
 * drives each rule that reads one of its metrics. Each severity of the rule is a level:
 *
 *     NORMAL  --when--> WAITING (since) --for is over--> ACTIVE --clear holds for clear_for-->
 * NORMAL WAITING --not when, or silence longer than max_gap--> NORMAL
 *
 * The rule has an alert while a level is ACTIVE, as severe as the worst of them. `clear` is also
 * asked at the sample that raised. Silence longer than max_gap starts the run of `clear` anew and
 * leaves ACTIVE alone. Nothing here reads a clock: time is that of the samples, or timers.c's.
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

void engine_gather(struct engine *e, uint32_t machine, int64_t t_us)
{
    gather(e, &e->machines[machine], t_us, false);
}

static bool is_cooling(const struct rule *rule, const struct engine_machine_state *s, int64_t t_us)
{
    return s->degree.level == 0 && s->ended_us != CLOCK_NONE &&
           t_us - s->ended_us < rule->cooldown_us;
}

/* The alert is what the worst of the levels says that are active. */
static void settle(struct engine *e, uint32_t index, int64_t t_us, struct engine_out *out)
{
    const struct engine_machine *m = &e->machines[index];
    struct engine_machine_state *s = &e->now->machines[index];
    const struct engine_level_state *levels = &e->now->levels[m->level_first];
    uint64_t worst = 0;
    while (worst < m->rule->level_count && levels[worst].phase != ENGINE_ACTIVE) {
        worst++;
    }
    uint64_t level = worst == m->rule->level_count ? 0 : worst + 1;
    uint64_t before = s->degree.level;
    if (level == before) {
        return;
    }
    if (level == 0) { /* it keeps the severity that it had at its end */
        s->degree.level = 0;
        s->ended_us = t_us;
        engine_resolved(e, index, t_us, out);
        return;
    }
    s->degree.changed_us = t_us;
    s->degree.level = level;
    if (before != 0) {
        s->degree.worst = level < s->degree.worst ? level : s->degree.worst;
        engine_degree_changed(e, index, out);
        return;
    }
    s->degree.worst = level;
    s->since_us = levels[worst].since_us;
    s->value = levels[worst].value;
    s->fired_us = t_us;
    s->fired_count++;
    engine_fired(e, index, out);
}

static void stop_waiting(struct engine *e, uint32_t index, struct engine_level_state *l,
                         struct engine_out *out)
{
    if (l->phase == ENGINE_WAITING) {
        l->phase = ENGINE_NORMAL;
        engine_note(e, index, ENGINE_PENDING_RESET, l->since_us, out);
    }
}

static void raise_level(struct engine_level_state *l)
{
    l->phase = ENGINE_ACTIVE;
    l->clear_us = CLOCK_NONE;
}

/* NORMAL or WAITING: does the run go on, and is it long enough? */
static void drive_raise(struct engine *e, uint32_t index, uint32_t at, int64_t t_us,
                        struct engine_out *out)
{
    const struct rule *rule = e->machines[index].rule;
    const struct rule_level *level = &rule->levels[at];
    const struct engine_machine_state *s = &e->now->machines[index];
    struct engine_level_state *l = &e->now->levels[e->machines[index].level_first + at];
    double mark = (double)NAN;
    if (rule_program_run(&level->when, e->values, &mark) == 0 ||
        !rule_calendar_open(&rule->calendar, t_us)) {
        stop_waiting(e, index, l, out);
        return;
    }
    bool begins = l->phase == ENGINE_NORMAL;
    if (begins) {
        l->phase = ENGINE_WAITING;
        l->since_us = t_us;
    }
    l->value = mark;
    if (t_us - l->since_us >= level->for_us && !is_cooling(rule, s, t_us)) {
        raise_level(l);
    } else if (begins) {
        engine_note(e, index, ENGINE_PENDING, t_us, out);
    }
}

/* ACTIVE: the level's own clear condition, or `when` no longer true. */
static void drive_clear(struct engine *e, uint32_t index, uint32_t at, int64_t t_us)
{
    const struct rule_level *level = &e->machines[index].rule->levels[at];
    struct engine_level_state *l = &e->now->levels[e->machines[index].level_first + at];
    double mark = (double)NAN;
    bool clear = level->clear.count > 0 ? rule_program_run(&level->clear, e->values, &mark) != 0
                                        : rule_program_run(&level->when, e->values, &mark) == 0;
    if (!clear) {
        l->clear_us = CLOCK_NONE;
        return;
    }
    if (l->clear_us == CLOCK_NONE) {
        l->clear_us = t_us;
    }
    if (t_us - l->clear_us >= level->clear_for_us) {
        l->phase = ENGINE_NORMAL;
        l->clear_us = CLOCK_NONE;
    }
}

/* The levels at time t; e->values are those of t. */
static void drive_levels(struct engine *e, uint32_t index, int64_t t_us, struct engine_out *out)
{
    const struct engine_machine *m = &e->machines[index];
    struct engine_level_state *levels = &e->now->levels[m->level_first];
    uint32_t count = m->rule->level_count;
    out->evaluations++;
    for (uint32_t i = 0; i < count; i++) {
        if (levels[i].phase != ENGINE_ACTIVE) {
            drive_raise(e, index, i, t_us, out);
        }
    }
    settle(e, index, t_us, out);
    for (uint32_t i = 0; i < count; i++) {
        if (levels[i].phase == ENGINE_ACTIVE) {
            drive_clear(e, index, i, t_us);
        }
    }
    settle(e, index, t_us, out);
    engine_timer_set(e, index);
}

static void drive(struct engine *e, uint32_t index, int64_t t_us, struct engine_out *out)
{
    const struct engine_machine *m = &e->machines[index];
    struct engine_machine_state *s = &e->now->machines[index];
    int64_t gap_us = m->rule->max_gap_us;
    if (gap_us > 0 && s->prev_us != CLOCK_NONE && t_us - s->prev_us > gap_us) {
        for (uint32_t i = 0; i < m->rule->level_count; i++) {
            struct engine_level_state *l = &e->now->levels[m->level_first + i];
            stop_waiting(e, index, l, out);
            l->clear_us = CLOCK_NONE;
        }
    }
    s->prev_us = t_us;
    gather(e, m, t_us, true);
    drive_levels(e, index, t_us, out);
}

void engine_step_timed(struct engine *e, uint32_t machine, int64_t t_us, struct engine_out *out)
{
    e->now->newest_us = t_us;
    e->now->timer_us = t_us;
    e->now->machines[machine].timer_us = t_us;
    gather(e, &e->machines[machine], t_us, false);
    drive_levels(e, machine, t_us, out);
}

/* Nobody asks the conditions: they stand as the newest evaluation left them. */
static void complete(struct engine *e, uint32_t index, int64_t t_us, struct engine_out *out)
{
    const struct engine_machine *m = &e->machines[index];
    for (uint32_t i = 0; i < m->rule->level_count; i++) {
        struct engine_level_state *l = &e->now->levels[m->level_first + i];
        int64_t over_us = engine_silence_us(e, index, i);
        if (over_us == CLOCK_NONE || over_us > t_us) {
            continue;
        }
        if (l->phase == ENGINE_WAITING && rule_calendar_open(&m->rule->calendar, t_us)) {
            raise_level(l);
        } else {
            l->phase = ENGINE_NORMAL;
            l->clear_us = CLOCK_NONE;
        }
    }
    gather(e, m, e->now->machines[index].prev_us, false); /* for the texts of the alert */
    settle(e, index, t_us, out);
}

void engine_step_tick(struct engine *e, int64_t t_us, struct engine_out *out)
{
    e->now->newest_us = t_us;
    e->now->timer_us = t_us;
    for (uint32_t i = 0; i < e->machine_count; i++) {
        int64_t due_us = engine_silent_due(e, i);
        if (due_us != CLOCK_NONE && due_us <= t_us) {
            complete(e, i, t_us, out);
        }
    }
}

bool engine_step(struct engine *e, const struct engine_entry *s, struct engine_out *out)
{
    if (s->seq == ENGINE_TICK) {
        engine_step_tick(e, s->ts_us, out);
        return true;
    }
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
            if (m->timed && s->ts_us <= m->after_us) {
                engine_timer_set(e, slot->machines[k]); /* its windows have moved */
            }
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
