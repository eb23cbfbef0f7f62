/*
 * bind: the rules' inputs against one device: which metrics are read, by whom, over which windows.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/ident.h"
#include "geo/fence.h"
#include "rules/inside.h"

/* The first slot from `low` on whose metric is not smaller. */
static uint32_t slot_place(const struct engine *e, uint32_t low, int32_t metric)
{
    uint32_t high = e->slot_count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (e->slots[mid].metric < metric) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

bool engine_find_slot(const struct engine *e, int32_t metric, uint32_t *ret_slot)
{
    uint32_t at = slot_place(e, 0, metric);
    if (at == e->slot_count || e->slots[at].metric != metric) {
        return false;
    }
    *ret_slot = at;
    return true;
}

/* Numbers come before texts, texts in their order. */
static int text_order(const char *a, const char *b)
{
    if (a == NULL || b == NULL) {
        return (a != NULL) - (b != NULL);
    }
    return strcmp(a, b);
}

bool engine_find_text_slot(const struct engine *e, int32_t metric, const char *text,
                           uint32_t *ret_slot)
{
    uint32_t at = slot_place(e, 0, metric);
    while (at < e->slot_count && e->slots[at].metric == metric &&
           text_order(e->slots[at].text, text) != 0) {
        at++;
    }
    if (at == e->slot_count || e->slots[at].metric != metric) {
        return false;
    }
    *ret_slot = at;
    return true;
}

static int by_metric_and_text(const void *a, const void *b)
{
    const struct rule_input *x = *(const struct rule_input *const *)a;
    const struct rule_input *y = *(const struct rule_input *const *)b;
    if (x->metric != y->metric) {
        return x->metric < y->metric ? -1 : 1;
    }
    return text_order(x->text, y->text);
}

/* The operator's baseline, or NaN. */
static double fixed_baseline(const struct device *d, const char *metric)
{
    char key[IDENT_MAX + 16];
    (void)snprintf(key, sizeof(key), "baseline.%s", metric);
    const struct device_pair *pair = device_attribute(d, view_str(key));
    return pair == NULL ? (double)NAN : pair->number;
}

/* One slot per metric number, and one for each text it is compared with; sorted. */
static enum err bind_slots(struct engine *e)
{
    size_t most = 1;
    for (uint32_t i = 0; i < e->machine_count; i++) {
        most += e->machines[i].rule->inputs.count;
    }
    const struct rule_input **inputs = calloc(most, sizeof(const struct rule_input *));
    if (inputs == NULL) {
        return ERR_NOMEM;
    }
    size_t n = 0;
    for (uint32_t i = 0; i < e->machine_count; i++) {
        const struct rule_inputs *in = &e->machines[i].rule->inputs;
        for (uint32_t k = 0; k < in->count; k++) {
            if (in->items[k].metric != 0) {
                inputs[n++] = &in->items[k];
            }
        }
    }
    qsort(inputs, n, sizeof(const struct rule_input *), by_metric_and_text);
    e->slots = calloc(most, sizeof(*e->slots));
    for (size_t i = 0; i < n && e->slots != NULL; i++) {
        if (i == 0 || by_metric_and_text(&inputs[i - 1], &inputs[i]) != 0) {
            int32_t metric = inputs[i]->metric;
            struct engine_slot slot = {.metric = metric,
                                       .text = inputs[i]->text,
                                       .spec = e->device->type == NULL
                                                   ? NULL
                                                   : device_type_metric(e->device->type, metric),
                                       .baseline_after_us = CLOCK_NONE,
                                       .baseline_fresh = true,
                                       .baseline_fixed = (double)NAN};
            slot.series.modulus = slot.spec == NULL ? 0 : slot.spec->modulus;
            e->slots[e->slot_count++] = slot;
        }
    }
    free(inputs);
    return e->slots == NULL ? ERR_NOMEM : ERR_OK;
}

static enum err slot_drives(struct engine_slot *s, uint32_t machine)
{
    uint32_t count = s->machine_count;
    if (count > 0 && s->machines[count - 1] == machine) {
        return ERR_OK;
    }
    if ((count & (count - 1)) == 0) { /* room for 1, 2, 4, … */
        uint32_t *machines = realloc(s->machines, (count == 0 ? 1 : count * 2) * sizeof(*machines));
        if (machines == NULL) {
            return ERR_NOMEM;
        }
        s->machines = machines;
    }
    s->machines[s->machine_count++] = machine;
    return ERR_OK;
}

/* The machine's window over the slot: an existing one, or the next of e->ranges, which has room. */
static uint32_t bind_range(struct engine *e, struct engine_machine *m, uint32_t slot,
                           const struct rule_input *in)
{
    unsigned needs = rule_range_function(in->fn)->needs;
    bool sums = (needs & RULE_NEEDS_SUM) != 0;
    bool ordered = (needs & RULE_NEEDS_ORDER) != 0;
    struct engine_slot *s = &e->slots[slot];
    s->series.needs |= needs;
    for (uint32_t i = m->range_first; i < e->range_count; i++) {
        struct engine_range *r = &e->ranges[i];
        if (r->slot == slot && r->window_us == in->window_us) {
            r->sums = r->sums || sums;
            r->ordered = r->ordered || ordered;
            return i;
        }
    }
    e->ranges[e->range_count] = (struct engine_range){
        .slot = slot, .window_us = in->window_us, .sums = sums, .ordered = ordered};
    m->range_count++;
    s->has_series = true;
    s->window_us = s->window_us > in->window_us ? s->window_us : in->window_us;
    return e->range_count++;
}

static void bind_baseline(struct engine *e, struct engine_slot *s, const struct rule_input *in)
{
    s->baseline_samples = s->spec != NULL && s->spec->baseline_samples > 0
                              ? (uint64_t)s->spec->baseline_samples
                              : ENGINE_BASELINE_DEFAULT;
    s->baseline_fixed = fixed_baseline(e->device, in->name);
}

/* What an attribute is stays so as long as the engine lives. */
static double bind_attribute(const struct engine *e, const struct rule_input *in)
{
    const struct device_pair *pair = device_attribute(e->device, view_str(in->name));
    if (in->kind == RULE_INPUT_ATTR_TEXT) {
        return pair == NULL ? (double)NAN : strcmp(pair->text, in->text) == 0 ? 1.0 : 0.0;
    }
    return pair == NULL || isnan(pair->number) ? in->param : pair->number;
}

/* An input that reads a metric. */
static enum err bind_metric(struct engine *e, uint32_t index, const struct rule_input *from,
                            struct engine_input *to)
{
    struct engine_machine *m = &e->machines[index];
    CHECK(engine_find_text_slot(e, from->metric, from->text, &to->slot));
    bool drives = from < m->rule->inputs.items + m->rule->trigger_count;
    if (drives && slot_drives(&e->slots[to->slot], index) != ERR_OK) {
        return ERR_NOMEM;
    }
    if (from->kind == RULE_INPUT_RANGE) {
        to->range = bind_range(e, m, to->slot, from);
    } else if (from->kind == RULE_INPUT_BASELINE) {
        bind_baseline(e, &e->slots[to->slot], from);
    }
    return ERR_OK;
}

static enum err bind_machine(struct engine *e, uint32_t index)
{
    struct engine_machine *m = &e->machines[index];
    const struct rule_inputs *in = &m->rule->inputs;
    m->range_first = e->range_count;
    m->memory_first = e->memory_count;
    m->inputs = calloc(in->count + 1, sizeof(*m->inputs));
    if (m->inputs == NULL) {
        return ERR_NOMEM;
    }
    for (uint32_t i = 0; i < in->count; i++) {
        const struct rule_input *from = &in->items[i];
        struct engine_input *to = &m->inputs[i];
        *to = (struct engine_input){.kind = from->kind,
                                    .fn = from->fn,
                                    .clock = from->clock,
                                    .memory = from->memory,
                                    .limit_us = from->window_us,
                                    .param = from->param,
                                    .source = from};
        if (from->kind == RULE_INPUT_MEMORY) {
            to->place = m->memory_first + m->memory_count++;
            e->memory_count++;
        } else if (from->kind == RULE_INPUT_ATTR || from->kind == RULE_INPUT_ATTR_TEXT) {
            to->fixed = bind_attribute(e, from);
        } else if (from->fence != NULL) {
            to->fence = engine_fence_find(e, fence_id(from->fence));
        } else if (from->metric != 0 && bind_metric(e, index, from, to) != ERR_OK) {
            return ERR_NOMEM;
        }
    }
    return ERR_OK;
}

/* Disabled rules are left out. */
static enum err bind_rules(struct engine *e, const struct engine_rule *rules, uint32_t count)
{
    e->machines = calloc(count + 1, sizeof(*e->machines));
    e->touched = calloc(count + 1, sizeof(*e->touched));
    if (e->machines == NULL || e->touched == NULL) {
        return ERR_NOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (rule_mode(rules[i].rule) == RULE_DISABLED) {
            continue;
        }
        struct engine_machine *m = &e->machines[e->machine_count++];
        m->rule_id = rules[i].rule_id;
        m->version = rules[i].version;
        m->rule = rules[i].rule;
        m->after_us = CLOCK_NONE;
        m->due_us = CLOCK_NONE;
        m->level_first = e->level_count;
        e->level_count += m->rule->level_count;
        rule_hold(m->rule);
        int64_t prompt_us = rule_lateness_us(m->rule);
        int64_t lateness_us = rule_correct_us(m->rule);
        e->prompt_us = e->prompt_us > prompt_us ? e->prompt_us : prompt_us;
        e->lateness_us = e->lateness_us > lateness_us ? e->lateness_us : lateness_us;
        m->timed = rule_inputs_timed(&m->rule->inputs, m->rule->trigger_count);
        e->timed_count += m->timed;
    }
    return ERR_OK;
}

enum err engine_bind(struct engine *e, const struct engine_rule *rules, uint32_t count)
{
    enum err err = bind_rules(e, rules, count);
    if (err == ERR_OK) {
        err = bind_slots(e);
    }
    if (err == ERR_OK) {
        err = engine_fences_bind(e);
    }
    uint32_t inputs = 0;
    uint32_t ranges = 0;
    for (uint32_t i = 0; i < e->machine_count; i++) {
        const struct rule_inputs *in = &e->machines[i].rule->inputs;
        inputs = inputs > in->count ? inputs : in->count;
        ranges += RULE_RANGES_MAX < in->count ? RULE_RANGES_MAX : in->count;
    }
    e->readings = calloc(e->slot_count + 1, sizeof(*e->readings));
    e->values = calloc(inputs + 1, sizeof(*e->values));
    e->ranges = calloc(ranges + 1, sizeof(*e->ranges));
    if (e->readings == NULL || e->values == NULL || e->ranges == NULL) {
        err = ERR_NOMEM;
    }
    for (uint32_t i = 0; i < e->machine_count && err == ERR_OK; i++) {
        err = bind_machine(e, i);
    }
    return err;
}

void engine_unbind(struct engine *e)
{
    for (uint32_t i = 0; i < e->machine_count; i++) {
        struct engine_machine *m = &e->machines[i];
        engine_episodes_fini(&m->episodes);
        engine_episodes_fini(&m->told);
        free(m->inputs);
        rule_drop(m->rule);
    }
    for (uint32_t i = 0; i < e->slot_count; i++) {
        engine_series_fini(&e->slots[i].series);
        free(e->slots[i].machines);
    }
    for (uint32_t i = 0; i < e->range_count; i++) {
        engine_order_fini(&e->ranges[i].order);
    }
    free(e->machines);
    free(e->fences);
    free(e->slots);
    free(e->ranges);
    free(e->touched);
    free(e->readings);
    free(e->values);
}

bool engine_is_reading(const struct engine_slot *slot, const struct sample_value *v)
{
    if (v->kind == VALUE_TEXT || !(fabs(v->number) <= ENGINE_VALUE_MAX)) {
        return false;
    }
    uint32_t missing = slot->spec == NULL ? 0 : slot->spec->missing_count;
    for (uint32_t i = 0; i < missing; i++) {
        if (v->number == slot->spec->missing[i]) {
            return false;
        }
    }
    return true;
}

/* Of a text only whether it is the slot's is known. */
static bool reading_of(const struct engine_slot *slot, const struct sample_value *v,
                       double *ret_value)
{
    if (slot->text != NULL) {
        *ret_value = view_eq_str(v->text, slot->text) ? 1.0 : 0.0;
        return v->kind == VALUE_TEXT;
    }
    *ret_value = v->number;
    return engine_is_reading(slot, v);
}

/* Both sides are sorted by metric. Rules may read far more metrics than a sample has, and the other
 * way round. */
uint32_t engine_pick(const struct engine *e, const struct sample *s)
{
    uint32_t n = 0;
    uint32_t at = 0;
    uint32_t i = 0;
    while (at < s->count && i < e->slot_count) {
        const struct sample_value *v = &s->values[at];
        if (e->slots[i].metric < v->metric) {
            i = e->slot_count > 4 * s->count ? slot_place(e, i + 1, v->metric) : i + 1;
            continue;
        }
        for (; i < e->slot_count && e->slots[i].metric == v->metric; i++) {
            double value = 0;
            if (reading_of(&e->slots[i], v, &value)) {
                e->readings[n++] = (struct engine_reading){.slot = i, .value = value};
            }
        }
        at++;
    }
    return n;
}
