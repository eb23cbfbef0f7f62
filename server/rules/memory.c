/*
 * memory: what a condition of the past adds to one of the present. A memory moves when a sample
 * drives its rule, never between; its conditions are asked then, each at that one instant.
 *
 *     for_total(c, limit, reset)  the time from a sample where c held to the next one counts, up to
 *                                 the rule's max_gap; zero again where `reset` holds
 *     then(a, T, b)               b holds, and a held at an earlier sample not more than T ago
 *     then_none(a, T, b)          a began to hold T ago or more, and since then b held at no sample
 *
 * Only the last changes between samples: T after a began.
 */
#include "rules/inside.h"

static bool holds(const struct engine *e, const struct rule_program *p)
{
    double mark = 0;
    return rule_program_run(p, e->values, &mark) != 0;
}

static void step_total(struct engine_memory_state *s, int64_t gap_us, bool held, bool reset,
                       int64_t t_us)
{
    if (s->prev_us != CLOCK_NONE && s->held != 0) {
        int64_t passed_us = t_us - s->prev_us;
        s->total_us += gap_us > 0 && passed_us > gap_us ? gap_us : passed_us;
    }
    if (reset) {
        s->total_us = 0;
    }
    s->held = held && !reset ? 1 : 0;
}

static void step_then(struct engine_memory_state *s, int64_t limit_us, bool a, bool b, int64_t t_us)
{
    s->value = b && s->since_us != CLOCK_NONE && t_us - s->since_us <= limit_us ? 1 : 0;
    if (a) {
        s->since_us = t_us;
    }
}

static void step_none(struct engine_memory_state *s, bool a, bool b, int64_t t_us)
{
    if (b) {
        s->since_us = CLOCK_NONE;
    } else if (a && s->held == 0) {
        s->since_us = t_us;
    }
    s->held = a ? 1 : 0;
}

void engine_memory_step(struct engine *e, const struct engine_machine *m,
                        const struct engine_input *in, int64_t t_us)
{
    struct engine_memory_state *s = &e->now->memories[in->place];
    const struct rule_program *conditions = in->source->conditions;
    bool first = holds(e, &conditions[0]);
    bool second = conditions[1].count > 0 && holds(e, &conditions[1]);
    switch (in->memory) {
    case RULE_MEMORY_TOTAL:
        step_total(s, m->rule->max_gap_us, first, second, t_us);
        break;
    case RULE_MEMORY_THEN:
        step_then(s, in->limit_us, first, second, t_us);
        break;
    case RULE_MEMORY_NONE:
        step_none(s, first, second, t_us);
        break;
    }
    s->prev_us = t_us;
}

/* Of a total: its seconds. */
double engine_memory_value(const struct engine *e, const struct engine_input *in, int64_t t_us)
{
    const struct engine_memory_state *s = &e->now->memories[in->place];
    switch (in->memory) {
    case RULE_MEMORY_TOTAL:
        return (double)s->total_us / (double)CLOCK_SECOND_US;
    case RULE_MEMORY_THEN:
        return s->value != 0 ? 1.0 : 0.0;
    case RULE_MEMORY_NONE:
        break;
    }
    return s->since_us != CLOCK_NONE && t_us - s->since_us >= in->limit_us ? 1.0 : 0.0;
}

int64_t engine_memory_due_us(const struct engine *e, uint32_t machine, int64_t t_us)
{
    const struct engine_machine *m = &e->machines[machine];
    int64_t due_us = CLOCK_NONE;
    for (uint32_t i = 0; i < m->rule->inputs.count; i++) {
        const struct engine_input *in = &m->inputs[i];
        if (in->kind != RULE_INPUT_MEMORY || in->memory != RULE_MEMORY_NONE) {
            continue;
        }
        int64_t since_us = e->now->memories[in->place].since_us;
        int64_t at_us = since_us == CLOCK_NONE ? CLOCK_NONE : since_us + in->limit_us;
        if (at_us > t_us && (due_us == CLOCK_NONE || at_us < due_us)) {
            due_us = at_us;
        }
    }
    return due_us;
}
