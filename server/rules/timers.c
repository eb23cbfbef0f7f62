/*
 * timers: what happens without a sample.
 *
 * A machine is timed when an input of its conditions changes with time alone: a window runs empty,
 * an hour begins. It is evaluated at exactly those instants, at the end of its `for` and
 * `clear_for`, and when its cooldown is over, whether the next sample or engine_advance() shows
 * that the time has passed; so it is the same in a fast replay and alive. At one instant samples
 * come before timers, because a window (t - W, t] holds the sample of t. These instants follow from
 * the state, nothing about them is stored.
 *
 * The `for` of any other machine is over at the first sample with t - since >= for: a sample that
 * comes later says what was, and silence is no evidence. But when the clock has passed and nothing
 * came, the newest evaluation stands: after silence as long as `for` the alert is raised, unless
 * max_gap is shorter. `clear_for` likewise. That the clock came so far is no sample and could not
 * be found out again from those stored, so it is kept among them as an entry of its own, a tick,
 * and saved.
 *
 * Samples that arrive afterwards with an earlier time take part as always: the state is rolled back
 * and what was raised for want of them is corrected or retracted. Only samples move the bound of
 * what is late; the clock never makes a sample late.
 */
#include "base/check.h"
#include "rules/inside.h"

static int64_t sooner(int64_t a, int64_t b)
{
    return b == CLOCK_NONE || (a != CLOCK_NONE && a < b) ? a : b;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The first instant after t_us at which the input changes by itself. */
static int64_t input_due(const struct engine *e, const struct engine_machine *m, uint32_t at,
                         int64_t t_us)
{
    const struct engine_input *in = &m->inputs[at];
    if (in->kind != RULE_INPUT_RANGE ||
        (in->fn != RULE_RANGE_ABSENT && in->fn != RULE_RANGE_PRESENT)) {
        return CLOCK_NONE;
    }
    int64_t last_us = e->now->slots[in->slot].last_us;
    int64_t due_us = last_us + m->rule->inputs.items[at].window_us;
    return last_us != CLOCK_NONE && due_us > t_us ? due_us : CLOCK_NONE;
}

static int64_t level_due(const struct engine *e, const struct engine_machine *m, uint32_t at)
{
    const struct engine_level_state *l = &e->now->levels[m->level_first + at];
    const struct engine_machine_state *s = &e->now->machines[m - e->machines];
    const struct rule_level *level = &m->rule->levels[at];
    if (l->phase == ENGINE_ACTIVE) {
        return l->clear_us == CLOCK_NONE ? CLOCK_NONE : l->clear_us + level->clear_for_us;
    }
    if (l->phase == ENGINE_NORMAL) {
        return CLOCK_NONE;
    }
    int64_t due_us = l->since_us + level->for_us;
    bool cools = s->degree.level == 0 && s->ended_us != CLOCK_NONE;
    return cools ? later(due_us, s->ended_us + m->rule->cooldown_us) : due_us;
}

/* A rule that begins when its windows have run empty already: it is asked at once. */
static bool begins_late(const struct engine *e, const struct engine_machine *m)
{
    const struct engine_machine_state *s = &e->now->machines[m - e->machines];
    if (m->after_us == CLOCK_NONE || s->prev_us != CLOCK_NONE || s->timer_us != CLOCK_NONE) {
        return false;
    }
    for (uint32_t i = 0; i < m->rule->trigger_count; i++) {
        const struct engine_input *in = &m->inputs[i];
        if (in->kind == RULE_INPUT_RANGE && e->now->slots[in->slot].last_us != CLOCK_NONE) {
            return true;
        }
    }
    return false;
}

static int64_t timed_due(const struct engine *e, const struct engine_machine *m)
{
    const struct engine_machine_state *s = &e->now->machines[m - e->machines];
    int64_t t_us = later(s->prev_us, s->timer_us); /* CLOCK_NONE before the first evaluation */
    int64_t due_us = engine_memory_due_us(e, (uint32_t)(m - e->machines), t_us);
    for (uint32_t i = 0; i < m->rule->trigger_count; i++) {
        due_us = sooner(due_us, input_due(e, m, i, t_us));
    }
    for (uint32_t i = 0; i < m->rule->level_count; i++) {
        due_us = sooner(due_us, level_due(e, m, i));
    }
    int64_t asked_us = later(t_us, m->after_us);
    if (asked_us != CLOCK_NONE && !rule_calendar_open(&m->rule->calendar, asked_us)) {
        due_us = sooner(due_us, rule_calendar_next(&m->rule->calendar, asked_us));
    }
    if (m->after_us != CLOCK_NONE && (due_us == CLOCK_NONE || due_us < m->after_us)) {
        due_us = begins_late(e, m) ? m->after_us : CLOCK_NONE;
    }
    return due_us;
}

int64_t engine_silence_us(const struct engine *e, uint32_t machine, uint32_t level)
{
    const struct engine_machine *m = &e->machines[machine];
    const struct engine_machine_state *s = &e->now->machines[machine];
    const struct engine_level_state *l = &e->now->levels[m->level_first + level];
    if (m->timed || s->prev_us == CLOCK_NONE) {
        return CLOCK_NONE;
    }
    int64_t wait_us = CLOCK_NONE;
    if (l->phase == ENGINE_WAITING) {
        wait_us = m->rule->levels[level].for_us;
    } else if (l->phase == ENGINE_ACTIVE && l->clear_us != CLOCK_NONE) {
        wait_us = m->rule->levels[level].clear_for_us;
    }
    if (wait_us == CLOCK_NONE) {
        return CLOCK_NONE;
    }
    int64_t over_us = s->prev_us + wait_us;
    if (l->phase == ENGINE_WAITING && s->degree.level == 0 && s->ended_us != CLOCK_NONE) {
        over_us = later(over_us, s->ended_us + m->rule->cooldown_us);
    }
    int64_t gap_us = m->rule->max_gap_us;
    return gap_us > 0 && over_us - s->prev_us > gap_us ? CLOCK_NONE : over_us;
}

int64_t engine_silent_due(const struct engine *e, uint32_t machine)
{
    int64_t due_us = CLOCK_NONE;
    for (uint32_t i = 0; i < e->machines[machine].rule->level_count; i++) {
        due_us = sooner(due_us, engine_silence_us(e, machine, i));
    }
    return due_us;
}

/* A tick stands behind all that was heard. */
static int64_t next_tick(const struct engine *e)
{
    int64_t due_us = CLOCK_NONE;
    for (uint32_t i = 0; i < e->machine_count; i++) {
        due_us = sooner(due_us, engine_silent_due(e, i));
    }
    return due_us == CLOCK_NONE ? CLOCK_NONE : later(due_us, e->now->newest_us + 1);
}

void engine_timer_set(struct engine *e, uint32_t machine)
{
    struct engine_machine *m = &e->machines[machine];
    if (m->timed) {
        m->due_us = timed_due(e, m);
        e->due_us = sooner(e->due_us, m->due_us);
        return;
    }
    const struct engine_level_state *l = &e->now->levels[m->level_first];
    bool rests =
        m->rule->level_count == 1 &&
        (l->phase == ENGINE_NORMAL || (l->phase == ENGINE_ACTIVE && l->clear_us == CLOCK_NONE));
    if (!rests) {
        e->due_us = sooner(e->due_us, engine_silent_due(e, machine));
    }
}

/* The timed machine that is next. */
static struct engine_machine *next_timed(struct engine *e)
{
    struct engine_machine *next = NULL;
    for (uint32_t i = 0; i < e->machine_count; i++) {
        struct engine_machine *m = &e->machines[i];
        if (m->due_us != CLOCK_NONE && (next == NULL || m->due_us < next->due_us)) {
            next = m;
        }
    }
    return next;
}

void engine_timers_run(struct engine *e, int64_t until_us, struct engine_out *out)
{
    if (e->timed_count == 0 || e->due_us == CLOCK_NONE || e->due_us > until_us) {
        return;
    }
    struct engine_machine *m = next_timed(e);
    while (m != NULL && m->due_us <= until_us && e->failed == ERR_OK) {
        int64_t t_us = later(m->due_us, e->now->newest_us);
        engine_step_timed(e, (uint32_t)(m - e->machines), t_us, out);
        CHECK(m->due_us == CLOCK_NONE || m->due_us > t_us); /* time goes on */
        m = next_timed(e);
    }
}

/* e->due_us was what it is at least: it becomes exact. */
bool engine_timers_next(struct engine *e, int64_t *ret_due_us)
{
    const struct engine_machine *m = e->timed_count == 0 ? NULL : next_timed(e);
    int64_t silent_us = next_tick(e);
    e->due_us = sooner(m == NULL ? CLOCK_NONE : m->due_us, silent_us);
    *ret_due_us = e->due_us;
    return silent_us != CLOCK_NONE && silent_us == e->due_us;
}

void engine_timers_reset(struct engine *e)
{
    for (uint32_t i = 0; i < e->machine_count && e->timed_count > 0; i++) {
        struct engine_machine *m = &e->machines[i];
        m->due_us = m->timed ? timed_due(e, m) : CLOCK_NONE;
    }
    int64_t due_us = 0;
    (void)engine_timers_next(e, &due_us);
}

int64_t engine_next_due(const struct engine *e)
{
    return e->due_us;
}

int64_t engine_clock_us(const struct engine *e)
{
    return e->clock_us;
}
