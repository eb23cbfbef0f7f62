/*
 * value: what an input of a rule is at time t.
 */
#include <math.h>

#include "rules/inside.h"

#define ABSENT ((double)NAN)

static bool is_known(const struct engine_slot_state *s, int64_t t_us)
{
    return s->last_us != CLOCK_NONE && t_us - s->last_us <= RULE_LOOKBACK_US;
}

static double baseline(const struct engine_slot *slot, const struct engine_slot_state *s)
{
    if (!isnan(slot->baseline_fixed)) {
        return slot->baseline_fixed;
    }
    return s->baseline_count == slot->baseline_samples
               ? s->baseline_sum / (double)slot->baseline_samples
               : ABSENT;
}

static double clock_value(const struct zone *zone, enum rule_clock which, int64_t t_us)
{
    struct zone_time t = zone_local(zone, t_us);
    switch (which) {
    case RULE_CLOCK_TIME:
        return (double)t_us / (double)CLOCK_SECOND_US;
    case RULE_CLOCK_MINUTE:
        return t.minute;
    case RULE_CLOCK_HOUR:
        return t.hour;
    case RULE_CLOCK_DAY_OF_WEEK:
        return t.weekday;
    case RULE_CLOCK_DAY_OF_MONTH:
        return t.day;
    case RULE_CLOCK_DAY_OF_YEAR:
        return t.day_of_year;
    case RULE_CLOCK_DAYS_IN_MONTH:
        return t.days_in_month;
    case RULE_CLOCK_MONTH:
        return t.month;
    case RULE_CLOCK_YEAR:
        return t.year;
    }
    return ABSENT;
}

double engine_input_value(const struct engine *e, const struct engine_machine *m,
                          const struct engine_input *in, int64_t t_us)
{
    const struct engine_slot_state *s = &e->now->slots[in->slot];
    switch (in->kind) {
    case RULE_INPUT_ATTR:
    case RULE_INPUT_ATTR_TEXT:
        return in->fixed;
    case RULE_INPUT_RANGE:
        return engine_range_value(e, in, t_us);
    case RULE_INPUT_METRIC:
    case RULE_INPUT_TEXT:
        return is_known(s, t_us) ? s->last : ABSENT;
    case RULE_INPUT_TIMESTAMP:
        return is_known(s, t_us) ? (double)s->last_us / (double)CLOCK_SECOND_US : ABSENT;
    case RULE_INPUT_BASELINE:
        return baseline(&e->slots[in->slot], s);
    case RULE_INPUT_CLOCK:
        return clock_value(m->rule->calendar.zone, in->clock, t_us);
    case RULE_INPUT_MEMORY:
        return engine_memory_value(e, in, t_us);
    case RULE_INPUT_INSIDE:
    case RULE_INPUT_DISTANCE:
        return engine_fence_value(e, in, t_us);
    }
    return ABSENT;
}
