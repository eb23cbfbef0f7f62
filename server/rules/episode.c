/*
 * episode: the firings of each rule, what of them was reported, and the difference after the fold
 * ran again.
 *
 * In order: a firing is reported as it happens. After a roll-back the fold runs quietly; then the
 * episodes that were told are paired with those that are true now: first those that fired at the
 * same instant, the rest between two such pairs in their order. A pair keeps its alert_id.
 * Retractions come first and the rest in order of time, and an alert that has ended already comes
 * with its end: so at no point of the report two alerts of a rule are open.
 */
#include <math.h>
#include <stdlib.h>

#include "base/emit_json.h"
#include "rules/inside.h"

enum { TEXT_MAX_BYTES = 65536 };

enum err engine_episodes_push(struct engine_episodes *list, struct engine_episode ep)
{
    if (list->count == list->cap) {
        uint32_t cap = list->cap == 0 ? 2 : list->cap * 2;
        struct engine_episode *items = realloc(list->items, cap * sizeof(*items));
        if (items == NULL) {
            return ERR_NOMEM;
        }
        list->items = items;
        list->cap = cap;
    }
    list->items[list->count++] = ep;
    return ERR_OK;
}

static void forget_texts(struct engine_episode *ep)
{
    free(ep->summary);
    free(ep->explain_fired);
    free(ep->explain_resolved);
    ep->summary = NULL;
    ep->explain_fired = NULL;
    ep->explain_resolved = NULL;
}

void engine_episodes_fini(struct engine_episodes *list)
{
    for (uint32_t i = 0; i < list->count; i++) {
        forget_texts(&list->items[i]);
    }
    free(list->items);
    *list = (struct engine_episodes){.items = NULL};
}

/* Why it is as it is now: the conditions, their samples and the timers. */
static char *explain(const struct engine *e, const struct engine_machine *m)
{
    struct buf b;
    buf_init(&b, TEXT_MAX_BYTES);
    struct emit_json j = emit_json_init(&b);
    emit_json_open(&j, '{');
    engine_explain(e, (uint32_t)(m - e->machines), &j);
    emit_json_close(&j, '}');
    char *text = buf_take_str(&b);
    return text != NULL ? text : strdup("{}"); /* over the limit: rather nothing than half of it */
}

static enum severity severity_of(const struct engine_machine *m, uint64_t level)
{
    return m->rule->levels[level == 0 ? 0 : level - 1].severity;
}

static char *summary(const struct engine *e, const struct engine_machine *m,
                     const struct engine_episode *ep)
{
    struct buf b;
    buf_init(&b, TEXT_MAX_BYTES);
    struct rule_shown shown = {.device = e->device,
                               .inputs = e->values,
                               .value = ep->value,
                               .severity = severity_of(m, ep->degree.level)};
    rule_summary_render(m->rule, &shown, &b);
    if (buf_err(&b) == ERR_LIMIT) {
        b.err = ERR_OK; /* what fits */
    }
    return buf_take_str(&b);
}

static void emit(struct engine *e, const struct engine_machine *m, enum engine_event_kind kind,
                 const struct engine_episode *ep, const char *explain_text, struct engine_out *out)
{
    struct engine_event *ev = arena_zalloc(out->arena, sizeof(*ev));
    const char *summary_text = kind == ENGINE_RESOLVED ? NULL : ep->summary;
    struct view summary_copy = arena_view(out->arena, view_str(summary_text));
    struct view explain_copy = arena_view(out->arena, view_str(explain_text));
    if (ev == NULL || (summary_copy.data == NULL && summary_text != NULL && *summary_text != 0) ||
        (explain_copy.data == NULL && explain_text != NULL && *explain_text != 0)) {
        e->failed = ERR_NOMEM;
        return;
    }
    *ev = (struct engine_event){.kind = kind,
                                .rule_id = m->rule_id,
                                .rule_version = m->version,
                                .rule = m->rule,
                                .alert_id = ep->alert_id,
                                .since_us = ep->since_us,
                                .fired_at_us = ep->fired_us,
                                .resolved_at_us = ep->resolved_us,
                                .severity = severity_of(m, ep->degree.level),
                                .worst = severity_of(m, ep->degree.worst),
                                .severity_at_us = ep->degree.changed_us,
                                .late = e->late,
                                .value = ep->value,
                                .summary = summary_copy,
                                .explain = explain_copy};
    if (out->last == NULL) {
        out->first = ev;
    } else {
        out->last->next = ev;
    }
    out->last = ev;
}

void engine_note(struct engine *e, uint32_t machine, enum engine_event_kind kind, int64_t since_us,
                 struct engine_out *out)
{
    if (e->quiet) {
        return;
    }
    struct engine_episode ep = {.since_us = since_us,
                                .fired_us = CLOCK_NONE,
                                .resolved_us = CLOCK_NONE,
                                .degree = {.changed_us = CLOCK_NONE},
                                .value = (double)NAN};
    emit(e, &e->machines[machine], kind, &ep, NULL, out);
}

static bool same_value(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static bool same_start(const struct engine_episode *a, const struct engine_episode *b)
{
    return a->fired_us == b->fired_us && a->since_us == b->since_us &&
           same_value(a->value, b->value);
}

static bool same_degree(const struct engine_episode *a, const struct engine_episode *b)
{
    return a->degree.level == b->degree.level && a->degree.worst == b->degree.worst &&
           a->degree.changed_us == b->degree.changed_us;
}

/* Was just this told already? Then its texts will not be needed. Those told are in order of time.
 */
static const struct engine_episode *find_told(const struct engine_machine *m,
                                              const struct engine_episode *ep)
{
    uint32_t low = 0;
    uint32_t high = m->told.count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (m->told.items[mid].fired_us < ep->fired_us) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    for (uint32_t i = low; i < m->told.count; i++) {
        const struct engine_episode *told = &m->told.items[i];
        if (told->fired_us != ep->fired_us) {
            break;
        }
        if (same_start(told, ep)) {
            return told;
        }
    }
    return NULL;
}

void engine_fired(struct engine *e, uint32_t machine, struct engine_out *out)
{
    struct engine_machine *m = &e->machines[machine];
    const struct engine_machine_state *s = &e->now->machines[machine];
    struct engine_episode ep = {.since_us = s->since_us,
                                .fired_us = s->fired_us,
                                .resolved_us = CLOCK_NONE,
                                .degree = s->degree,
                                .value = s->value};
    if (!e->quiet || find_told(m, &ep) == NULL) {
        ep.summary = summary(e, m, &ep);
        ep.explain_fired = explain(e, m);
        if (ep.summary == NULL || ep.explain_fired == NULL) {
            e->failed = ERR_NOMEM;
        }
    }
    if (!e->quiet) {
        ep.alert_id = (*out->next_alert_id)++;
        emit(e, m, ENGINE_FIRED, &ep, ep.explain_fired, out);
        forget_texts(&ep);
    }
    if (engine_episodes_push(&m->episodes, ep) != ERR_OK) {
        forget_texts(&ep);
        e->failed = ERR_NOMEM;
    }
}

void engine_resolved(struct engine *e, uint32_t machine, int64_t t_us, struct engine_out *out)
{
    struct engine_machine *m = &e->machines[machine];
    if (m->episodes.count == 0) { /* its push failed: the engine is lost anyway */
        return;
    }
    struct engine_episode *ep = &m->episodes.items[m->episodes.count - 1];
    ep->resolved_us = t_us;
    const struct engine_episode *told = e->quiet ? find_told(m, ep) : NULL;
    if (told != NULL && told->resolved_us == t_us) {
        return;
    }
    ep->explain_resolved = explain(e, m);
    if (ep->explain_resolved == NULL) {
        e->failed = ERR_NOMEM;
    }
    if (!e->quiet) {
        emit(e, m, ENGINE_RESOLVED, ep, ep->explain_resolved, out);
        forget_texts(ep);
    }
}

void engine_degree_changed(struct engine *e, uint32_t machine, struct engine_out *out)
{
    struct engine_machine *m = &e->machines[machine];
    if (m->episodes.count == 0) {
        return;
    }
    struct engine_episode *ep = &m->episodes.items[m->episodes.count - 1];
    ep->degree = e->now->machines[machine].degree;
    if (e->quiet) {
        return;
    }
    char *text = explain(e, m);
    if (text == NULL) {
        e->failed = ERR_NOMEM;
    }
    emit(e, m, ENGINE_SEVERITY, ep, text, out);
    free(text);
}

void engine_episodes_reopen(struct engine *e)
{
    for (uint32_t i = 0; i < e->machine_count; i++) {
        struct engine_machine *m = &e->machines[i];
        const struct engine_machine_state *s = &e->now->machines[i];
        bool active = s->degree.level != 0;
        uint64_t keep = s->fired_count - m->episode_first - (active ? 1 : 0);
        for (uint32_t k = (uint32_t)keep; k < m->episodes.count; k++) {
            if (engine_episodes_push(&m->told, m->episodes.items[k]) != ERR_OK) {
                e->failed = ERR_NOMEM;
                return;
            }
        }
        m->told_from = (uint32_t)keep;
        m->episodes.count = (uint32_t)keep + (active ? 1 : 0);
        if (active) {
            m->episodes.items[keep].resolved_us = CLOCK_NONE;
            m->episodes.items[keep].degree = s->degree;
        }
    }
}

/* The episode was told as `old` (NULL: not at all) and is `now`. */
static void report(struct engine *e, const struct engine_machine *m,
                   const struct engine_episode *old, struct engine_episode *now,
                   struct engine_out *out)
{
    const char *last = now->resolved_us == CLOCK_NONE ? NULL : now->explain_resolved;
    if (old == NULL && now->alert_id == 0) {
        now->alert_id = (*out->next_alert_id)++;
        e->late = e->correcting && now->resolved_us != CLOCK_NONE;
        emit(e, m, ENGINE_FIRED, now, now->explain_fired, out);
        if (now->resolved_us != CLOCK_NONE) {
            emit(e, m, ENGINE_RESOLVED, now, last, out);
        }
        e->late = false;
        return;
    }
    if (old == NULL) { /* was open in the saved state */
        if (now->resolved_us != CLOCK_NONE) {
            emit(e, m, ENGINE_RESOLVED, now, last, out);
        }
        return;
    }
    now->alert_id = old->alert_id;
    if (!same_start(old, now)) {
        emit(e, m, ENGINE_CORRECTED, now, now->explain_fired, out);
    } else if (old->resolved_us != now->resolved_us) {
        bool ends = old->resolved_us == CLOCK_NONE;
        emit(e, m, ends ? ENGINE_RESOLVED : ENGINE_CORRECTED, now, last, out);
    } else if (!same_degree(old, now)) {
        bool goes_on =
            now->resolved_us == CLOCK_NONE && now->degree.changed_us > old->degree.changed_us;
        emit(e, m, goes_on ? ENGINE_SEVERITY : ENGINE_CORRECTED, now, NULL, out);
    }
}

/* Where the next told and true episodes that fired at the same instant are, or both ends. */
static void next_equal(const struct engine_episodes *a, const struct engine_episodes *b,
                       uint32_t *at_a, uint32_t *at_b)
{
    while (*at_a < a->count && *at_b < b->count) {
        int64_t x = a->items[*at_a].fired_us;
        int64_t y = b->items[*at_b].fired_us;
        if (x == y) {
            return;
        }
        *at_a += x < y ? 1 : 0;
        *at_b += x < y ? 0 : 1;
    }
    *at_a = a->count;
    *at_b = b->count;
}

/* Of those told that fired at the instant of `now`, the very same one comes to place i: a rule can
 * fire more than once at an instant, when samples of the same time bring other metrics. */
static void prefer_same(struct engine_episodes *told, uint32_t i, const struct engine_episode *now)
{
    for (uint32_t k = i; k < told->count && told->items[k].fired_us == now->fired_us; k++) {
        struct engine_episode found = told->items[k];
        if (same_start(&found, now) && found.resolved_us == now->resolved_us) {
            told->items[k] = told->items[i];
            told->items[i] = found;
            return;
        }
    }
}

static void pair(struct engine_machine *m, uint32_t told, uint32_t now)
{
    m->told.items[told].paired = true;
    m->episodes.items[now].told_as = &m->told.items[told];
}

static void pair_all(struct engine_machine *m)
{
    uint32_t i = 0;
    uint32_t k = m->told_from;
    while (i < m->told.count) {
        uint32_t next_i = i;
        uint32_t next_k = k;
        next_equal(&m->told, &m->episodes, &next_i, &next_k);
        while (i < next_i && k < next_k) {
            pair(m, i++, k++);
        }
        i = next_i;
        k = next_k;
        if (i < m->told.count) {
            prefer_same(&m->told, i, &m->episodes.items[k]);
            pair(m, i++, k++);
        }
    }
}

void engine_reconcile(struct engine *e, struct engine_out *out)
{
    for (uint32_t n = 0; n < e->machine_count; n++) {
        struct engine_machine *m = &e->machines[n];
        pair_all(m);
        for (uint32_t i = 0; i < m->told.count; i++) {
            if (!m->told.items[i].paired) {
                emit(e, m, ENGINE_RETRACTED, &m->told.items[i], NULL, out);
            }
        }
        for (uint32_t i = m->told_from; i < m->episodes.count; i++) {
            struct engine_episode *now = &m->episodes.items[i];
            report(e, m, now->told_as, now, out);
            now->told_as = NULL;
            forget_texts(now);
        }
        engine_episodes_fini(&m->told);
        m->told_from = 0;
    }
}

void engine_episodes_trim(struct engine *e)
{
    const struct engine_state *base = e->snapshots[0];
    for (uint32_t i = 0; i < e->machine_count; i++) {
        struct engine_machine *m = &e->machines[i];
        const struct engine_machine_state *s = &base->machines[i];
        uint64_t keep_from = s->fired_count - (s->degree.level != 0 ? 1 : 0);
        uint32_t drop = (uint32_t)(keep_from - m->episode_first);
        if (drop == 0) {
            continue;
        }
        m->episodes.count -= drop;
        memmove(m->episodes.items, m->episodes.items + drop,
                m->episodes.count * sizeof(*m->episodes.items));
        m->episode_first = keep_from;
    }
}
