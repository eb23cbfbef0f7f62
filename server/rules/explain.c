/*
 * explain: the state of one rule as JSON, for alerts (each transition keeps it) and for any
 * instant.
 *
 * The values are those of the newest evaluation: an input that decides evaluates its rule whenever
 * it changes, so that nothing newer exists. Only what the samples say is in it, no clock: the same
 * samples give the same text.
 */
#include "rules/explain.h"

#include <math.h>

#include "rules/explain_text.h"
#include "rules/inside.h"

enum { WHY_LIMIT = 65536 };

static void emit_time(struct emit_json *j, const char *key, int64_t us)
{
    emit_json_key(j, key);
    emit_json_time(j, us);
}

static void emit_duration(struct emit_json *j, const char *key, int64_t us)
{
    char text[CLOCK_TEXT_SIZE];
    emit_json_key(j, key);
    emit_json_str(j, clock_format_duration(us, text));
}

/* ---- inputs -----------------------------------------------------------------------------------
 */

static void emit_window(const struct engine *e, const struct engine_input *in, struct emit_json *j)
{
    const struct engine_series *s = &e->slots[in->slot].series;
    const struct engine_range_state *r = &e->now->ranges[in->range];
    emit_json_key(j, "samples");
    emit_json_int(j, (int64_t)(r->end - r->tail));
    if (r->end > r->tail) {
        emit_time(j, "first", engine_series_at(s, r->tail).ts_us);
        emit_time(j, "last", engine_series_at(s, r->end - 1).ts_us);
    }
}

static void emit_baseline(const struct engine *e, const struct engine_input *in,
                          struct emit_json *j)
{
    const struct engine_slot *slot = &e->slots[in->slot];
    if (!isnan(slot->baseline_fixed)) {
        emit_json_key(j, "set_by");
        emit_json_str(j, "operator");
        return;
    }
    emit_json_key(j, "samples");
    emit_json_int(j, (int64_t)e->now->slots[in->slot].baseline_count);
    emit_json_key(j, "of");
    emit_json_int(j, (int64_t)slot->baseline_samples);
}

static void emit_inputs(const struct engine *e, const struct engine_machine *m, struct emit_json *j)
{
    emit_json_key(j, "inputs");
    emit_json_open(j, '{');
    for (uint32_t i = 0; i < m->rule->trigger_count; i++) {
        const struct engine_input *in = &m->inputs[i];
        emit_json_key(j, m->rule->inputs.items[i].label);
        emit_json_open(j, '{');
        emit_json_key(j, "value");
        emit_json_real(j, e->values[i]);
        switch (in->kind) {
        case RULE_INPUT_METRIC:
        case RULE_INPUT_TEXT:
        case RULE_INPUT_TIMESTAMP:
            emit_time(j, "ts", e->now->slots[in->slot].last_us);
            break;
        case RULE_INPUT_RANGE:
            emit_window(e, in, j);
            break;
        case RULE_INPUT_BASELINE:
            emit_baseline(e, in, j);
            break;
        case RULE_INPUT_ATTR:
        case RULE_INPUT_ATTR_TEXT:
        case RULE_INPUT_CLOCK:
        case RULE_INPUT_MEMORY:
        case RULE_INPUT_INSIDE:
        case RULE_INPUT_DISTANCE:
            break;
        }
        emit_json_close(j, '}');
    }
    emit_json_close(j, '}');
}

/* ---- state ------------------------------------------------------------------------------------
 */

/* One severity of a rule: its conditions, its times and where it is. */
struct level {
    enum severity severity;
    const struct rule_program *when, *clear;
    int64_t for_us, clear_for_us;
    uint64_t phase;
    int64_t since_us, clear_us;
};

static struct level level_at(const struct engine *e, const struct engine_machine *m, uint32_t at)
{
    const struct engine_level_state *s = &e->now->levels[m->level_first + at];
    const struct rule_level *l = &m->rule->levels[at];
    return (struct level){.severity = l->severity,
                          .when = &l->when,
                          .clear = &l->clear,
                          .for_us = l->for_us,
                          .clear_for_us = l->clear_for_us,
                          .phase = s->phase,
                          .since_us = s->since_us,
                          .clear_us = s->clear_us};
}

static bool is_firing(const struct engine_machine_state *s)
{
    return s->degree.level > 0;
}

static int64_t evaluated_us(const struct engine_machine_state *s)
{
    return s->timer_us > s->prev_us ? s->timer_us : s->prev_us;
}

static const char *phase_words(uint64_t phase)
{
    return phase == ENGINE_ACTIVE ? "firing" : phase == ENGINE_WAITING ? "pending" : "inactive";
}

static void emit_level(const struct engine *e, const struct engine_machine *m, uint32_t at,
                       struct emit_json *j)
{
    const struct level l = level_at(e, m, at);
    bool waits = l.phase == ENGINE_WAITING;
    bool clears = l.clear_us != CLOCK_NONE;
    emit_json_open(j, '{');
    emit_json_key(j, "severity");
    emit_json_str(j, severity_words(l.severity));
    emit_json_key(j, "state");
    emit_json_str(j, phase_words(l.phase));
    emit_time(j, "since", l.phase == ENGINE_NORMAL ? CLOCK_NONE : l.since_us);
    emit_duration(j, "for", l.for_us);
    emit_time(j, "fires_at", waits ? l.since_us + l.for_us : CLOCK_NONE);
    emit_time(j, "clear_since", l.clear_us);
    emit_duration(j, "clear_for", l.clear_for_us);
    emit_time(j, "clears_at", clears ? l.clear_us + l.clear_for_us : CLOCK_NONE);
    emit_json_key(j, "when");
    rule_explain_program(j, l.when, &m->rule->inputs, e->values);
    emit_json_key(j, "clear");
    rule_explain_program(j, l.clear, &m->rule->inputs, e->values);
    emit_json_close(j, '}');
}

void engine_explain(const struct engine *e, uint32_t machine, struct emit_json *j)
{
    const struct engine_machine *m = &e->machines[machine];
    emit_json_key(j, "version");
    emit_json_int(j, m->version);
    emit_time(j, "evaluated_at", evaluated_us(&e->now->machines[machine]));
    emit_inputs(e, m, j);
    emit_json_key(j, "levels");
    emit_json_open(j, '[');
    for (uint32_t i = 0; i < m->rule->level_count; i++) {
        emit_level(e, m, i, j);
    }
    emit_json_close(j, ']');
}

/* ---- in words ---------------------------------------------------------------------------------
 */

static void say_time(struct buf *b, int64_t us)
{
    char text[CLOCK_TEXT_SIZE];
    buf_put_str(b, clock_format(us, text));
}

static void say_duration(struct buf *b, int64_t us)
{
    char text[CLOCK_TEXT_SIZE];
    buf_put_str(b, clock_format_duration(us, text));
}

/* Inputs without a value make every comparison with them false. */
static void say_absent(const struct engine *e, const struct engine_machine *m, struct buf *b)
{
    for (uint32_t i = 0; i < m->rule->trigger_count; i++) {
        if (isnan(e->values[i])) {
            buf_printf(b, "; %s has no value", m->rule->inputs.items[i].label);
        }
    }
}

/* Which comparison does not hold is in the conditions; here is what else may keep it from firing.
 */
static void say_normal(const struct engine *e, const struct engine_machine *m, int64_t at_us,
                       struct buf *b)
{
    const struct engine_machine_state *s = &e->now->machines[m - e->machines];
    bool cools = s->ended_us != CLOCK_NONE && at_us - s->ended_us < m->rule->cooldown_us;
    buf_put_str(b, "`when` does not hold at the newest sample that it reads");
    if (!rule_calendar_open(&m->rule->calendar, at_us)) {
        buf_put_str(b, ", or the rule is not active at this time of the week");
    }
    if (cools) {
        buf_put_str(b, "; the alert before ended at ");
        say_time(b, s->ended_us);
        buf_put_str(b, " and cools down for ");
        say_duration(b, m->rule->cooldown_us);
    }
    say_absent(e, m, b);
}

static void say_waiting(const struct level *l, int64_t at_us, struct buf *b)
{
    int64_t due_us = l->since_us + l->for_us;
    buf_put_str(b, "`when` holds since ");
    say_time(b, l->since_us);
    if (due_us > at_us) {
        buf_put_str(b, "; it fires after ");
        say_duration(b, l->for_us);
        buf_put_str(b, " without a break, in ");
        say_duration(b, due_us - at_us);
    } else {
        buf_put_str(b, "; it fires with the next sample at which it holds");
    }
}

static void say_firing(const struct engine_machine_state *s, const struct level *l, int64_t at_us,
                       struct buf *b)
{
    buf_put_str(b, "it fires since ");
    say_time(b, s->fired_us);
    buf_put_str(b, ", as `when` held from ");
    say_time(b, s->since_us);
    buf_put_str(b, " on");
    if (l->clear_us != CLOCK_NONE) {
        buf_put_str(b, "; the condition to clear holds since ");
        say_time(b, l->clear_us);
    }
    if (l->clear_us != CLOCK_NONE && l->clear_us + l->clear_for_us > at_us) {
        buf_put_str(b, " and must for another ");
        say_duration(b, l->clear_us + l->clear_for_us - at_us);
    }
}

/* The worst level that is on its way decides what is told. Returns the rule's state. */
static const char *say_why(const struct engine *e, uint32_t machine, int64_t at_us, struct buf *b)
{
    const struct engine_machine *m = &e->machines[machine];
    const struct engine_machine_state *s = &e->now->machines[machine];
    uint64_t wanted = is_firing(s) ? ENGINE_ACTIVE : ENGINE_WAITING;
    for (uint32_t i = 0; i < m->rule->level_count; i++) {
        const struct level l = level_at(e, m, i);
        if (l.phase != wanted) {
            continue;
        }
        if (wanted == ENGINE_ACTIVE) {
            say_firing(s, &l, at_us, b);
        } else {
            say_waiting(&l, at_us, b);
        }
        return phase_words(wanted);
    }
    if (evaluated_us(s) == CLOCK_NONE) {
        buf_put_str(b, "no sample of a metric that the rule reads came until then");
    } else {
        say_normal(e, m, at_us, b);
    }
    return phase_words(ENGINE_NORMAL);
}

enum err engine_explain_rule(struct engine *e, int32_t rule_id, int64_t at_us, struct emit_json *j)
{
    uint32_t i = 0;
    while (i < e->machine_count && e->machines[i].rule_id != rule_id) {
        i++;
    }
    if (i == e->machine_count) {
        return ERR_NOT_FOUND;
    }
    const struct engine_machine_state *s = &e->now->machines[i];
    struct buf why;
    if (evaluated_us(s) != CLOCK_NONE) {
        engine_gather(e, i, evaluated_us(s));
    } else {
        for (uint32_t k = 0; k < e->machines[i].rule->inputs.count; k++) {
            e->values[k] = (double)NAN;
        }
    }
    buf_init(&why, WHY_LIMIT);
    const char *state = say_why(e, i, at_us, &why);
    emit_json_key(j, "state");
    emit_json_str(j, state);
    emit_json_key(j, "why");
    emit_json_view(j, buf_view(&why));
    buf_fini(&why);
    emit_time(j, "since", is_firing(s) ? s->since_us : CLOCK_NONE);
    emit_time(j, "fired_at", is_firing(s) ? s->fired_us : CLOCK_NONE);
    engine_explain(e, i, j);
    return ERR_OK;
}
