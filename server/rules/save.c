/*
 * save: the base snapshot as bytes, little-endian, with a checksum.
 *
 *     "SBEN" format base watermark first slots machines
 *     slot:    metric last_us last baseline_samples baseline_after_us baseline_count baseline_sum
 *              text end
 *     machine: rule_id version after_us prev_us timer_us since_us fired_us ended_us value
 *              level worst changed_us alert_id levels ranges memories
 *     level:   since_us clear_us value phase
 *     range:   metric window_us count tail_us sum carry
 *     memory:  prev_us since_us total_us flags
 *     clock_us ticks, each its time
 *     place:   us latitude longitude fences
 *     fence:   id inside
 *     checksum (FNV-1a, 64 bits, over everything before)
 *
 * The points of the windows are not in it: they are stored samples, and the caller replays them.
 * The running sums are, because their last bits depend on all that went through the window before.
 */
#include <math.h>

#include "base/check.h"
#include "base/wire.h"
#include "geo/fence.h"
#include "rules/inside.h"

enum { SAVE_MAGIC = 0x4E454253, SAVE_FORMAT = 2, SAVE_LIST_MAX = 65536, SAVE_SUM_BYTES = 8 };

static uint64_t checksum(struct view v)
{
    uint64_t h = 0xCBF29CE484222325ULL;
    for (size_t i = 0; i < v.len; i++) {
        h = (h ^ v.data[i]) * 0x100000001B3ULL;
    }
    return h;
}

static void put_u32(struct buf *b, uint32_t v)
{
    buf_put_u32(b, __builtin_bswap32(v)); /* buf writes big-endian, this format is little-endian */
}

static void put_u64(struct buf *b, uint64_t v)
{
    buf_put_u64(b, __builtin_bswap64(v));
}

static void put_i64(struct buf *b, int64_t v)
{
    put_u64(b, (uint64_t)v);
}

static void put_f64(struct buf *b, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof(bits));
    put_u64(b, bits);
}

static uint32_t get_u32(struct wire *w)
{
    return __builtin_bswap32(wire_u32(w));
}

static uint64_t get_u64(struct wire *w)
{
    return __builtin_bswap64(wire_u64(w));
}

static int64_t get_i64(struct wire *w)
{
    return (int64_t)get_u64(w);
}

static double get_f64(struct wire *w)
{
    uint64_t bits = get_u64(w);
    double v;
    memcpy(&v, &bits, sizeof(v));
    return v;
}

/* A time, or CLOCK_NONE; anything else would overflow when it is compared. */
static int64_t get_time(struct wire *w)
{
    int64_t us = get_i64(w);
    if (us != CLOCK_NONE && (us < -1 || us > CLOCK_MAX_US)) {
        wire_fail(w, ERR_MALFORMED);
        return CLOCK_NONE;
    }
    return us;
}

/* Tells the texts of a metric apart; 0: its numbers. */
static uint64_t text_hash(const char *text)
{
    return text == NULL ? 0 : checksum(view_str(text)) | 1;
}

/* Sums of blocks depend on where the points lie in them: the number of the next, in its block. */
static uint32_t saved_phase(const struct engine *e, uint32_t i)
{
    uint64_t end = e->sealed ? e->snapshots[0]->slots[i].end : e->slots[i].saved_end;
    return (uint32_t)(end % ENGINE_BLOCK_LARGE);
}

static void save_slot(const struct engine *e, uint32_t i, struct buf *out)
{
    const struct engine_slot *slot = &e->slots[i];
    const struct engine_slot_state *s = &e->snapshots[0]->slots[i];
    put_u32(out, (uint32_t)slot->metric);
    put_i64(out, s->last_us);
    put_f64(out, s->last);
    put_u64(out, slot->baseline_samples);
    put_i64(out, slot->baseline_samples == 0 ? CLOCK_NONE : slot->baseline_after_us);
    put_u64(out, s->baseline_count);
    put_f64(out, s->baseline_sum);
    put_u64(out, text_hash(slot->text));
    put_u32(out, saved_phase(e, i));
}

static void save_range(const struct engine *e, uint32_t i, struct buf *out)
{
    const struct engine_range *spec = &e->ranges[i];
    const struct engine_series *series = &e->slots[spec->slot].series;
    const struct engine_range_state *r = &e->snapshots[0]->ranges[i];
    uint64_t count = r->end - r->tail;
    int64_t tail_us = CLOCK_NONE;
    if (!e->sealed && spec->saved_count > 0) { /* restored, but no replay has filled it yet */
        count = spec->saved_count;
        tail_us = spec->saved_tail_us;
    } else if (count > 0) {
        /* All of it has left by the base's time: the window is empty, and its sum exactly zero. */
        int64_t edge_us = e->snapshots[0]->newest_us - spec->window_us;
        count = engine_series_at(series, r->end - 1).ts_us <= edge_us ? 0 : count;
        tail_us = count == 0 ? CLOCK_NONE : engine_series_at(series, r->tail).ts_us;
    }
    put_u32(out, (uint32_t)e->slots[spec->slot].metric);
    put_i64(out, spec->window_us);
    put_u64(out, count);
    put_i64(out, tail_us);
    put_f64(out, count == 0 ? 0 : r->sum);
    put_f64(out, count == 0 ? 0 : r->carry);
}

static void save_levels(const struct engine *e, const struct engine_machine *m, struct buf *out)
{
    put_u32(out, m->rule->level_count);
    for (uint32_t k = 0; k < m->rule->level_count; k++) {
        const struct engine_level_state *l = &e->snapshots[0]->levels[m->level_first + k];
        put_i64(out, l->since_us);
        put_i64(out, l->clear_us);
        put_f64(out, l->value);
        put_u32(out, (uint32_t)l->phase);
    }
}

static void save_memory(const struct engine_memory_state *s, struct buf *out)
{
    put_i64(out, s->prev_us);
    put_i64(out, s->since_us);
    put_i64(out, s->total_us);
    put_u32(out, (uint32_t)(s->held | s->value << 1));
}

static void save_machine(const struct engine *e, uint32_t i, struct buf *out)
{
    const struct engine_machine *m = &e->machines[i];
    const struct engine_machine_state *s = &e->snapshots[0]->machines[i];
    int64_t alert_id = 0;
    if (s->degree.level != 0) {
        alert_id = m->episodes.items[s->fired_count - 1 - m->episode_first].alert_id;
    }
    put_u32(out, (uint32_t)m->rule_id);
    put_u32(out, (uint32_t)m->version);
    put_i64(out, m->after_us);
    put_i64(out, s->prev_us);
    put_i64(out, s->timer_us);
    put_i64(out, s->since_us);
    put_i64(out, s->fired_us);
    put_i64(out, s->ended_us);
    put_f64(out, s->value);
    put_u32(out, (uint32_t)s->degree.level);
    put_u32(out, (uint32_t)s->degree.worst);
    put_i64(out, s->degree.changed_us);
    put_i64(out, alert_id);
    save_levels(e, m, out);
    put_u32(out, m->range_count);
    for (uint32_t k = 0; k < m->range_count; k++) {
        save_range(e, m->range_first + k, out);
    }
    put_u32(out, m->memory_count);
    for (uint32_t k = 0; k < m->memory_count; k++) {
        save_memory(&e->snapshots[0]->memories[m->memory_first + k], out);
    }
}

static void save_fences(const struct engine *e, struct buf *out)
{
    const struct engine_state *s = e->snapshots[0];
    put_i64(out, s->place.us);
    put_f64(out, s->place.latitude);
    put_f64(out, s->place.longitude);
    put_u32(out, e->fence_count);
    for (uint32_t i = 0; i < e->fence_count; i++) {
        put_u32(out, (uint32_t)fence_id(e->fences[i]));
        put_u32(out, (uint32_t)s->fences[i].inside);
    }
}

/* Without a base, a replay begins with the oldest sample that is in, or that may still come. */
static int64_t first_needed(const struct engine *e)
{
    if (e->history.count == 0) {
        return e->first_us;
    }
    int64_t first_us = engine_history_at(&e->history, 0)->ts_us;
    int64_t floor_us = e->watermark_us - e->lateness_us;
    first_us = first_us < floor_us ? first_us : floor_us;
    return first_us < CLOCK_MIN_US ? CLOCK_MIN_US : first_us;
}

/* The samples since the base are stored and come again, what the clock did is not. */
static void save_ticks(const struct engine *e, struct buf *out)
{
    const struct engine_history *h = &e->history;
    uint32_t count = 0;
    for (uint64_t i = 0; i < h->count; i++) {
        count += engine_history_at(h, i)->seq == ENGINE_TICK;
    }
    put_i64(out, e->clock_us);
    put_u32(out, count + e->saved_tick_count - e->saved_tick_next);
    for (uint64_t i = 0; i < h->count && count > 0; i++) {
        if (engine_history_at(h, i)->seq == ENGINE_TICK) {
            put_i64(out, engine_history_at(h, i)->ts_us);
        }
    }
    for (uint32_t i = e->saved_tick_next; i < e->saved_tick_count; i++) {
        put_i64(out, e->saved_ticks[i]);
    }
}

void engine_save(const struct engine *e, struct buf *out)
{
    CHECK(e->history.fresh == 0); /* the watermark would be that of samples which are not in */
    size_t start = out->len;
    put_u32(out, SAVE_MAGIC);
    put_u32(out, SAVE_FORMAT);
    put_i64(out, e->snapshots[0]->newest_us);
    put_i64(out, e->watermark_us);
    put_i64(out, e->snapshots[0]->newest_us == CLOCK_NONE ? first_needed(e) : CLOCK_NONE);
    put_u32(out, e->slot_count);
    put_u32(out, e->machine_count);
    for (uint32_t i = 0; i < e->slot_count; i++) {
        save_slot(e, i, out);
    }
    for (uint32_t i = 0; i < e->machine_count; i++) {
        save_machine(e, i, out);
    }
    save_ticks(e, out);
    save_fences(e, out);
    if (buf_err(out) == ERR_OK) {
        put_u64(out, checksum(view_of(out->data + start, out->len - start)));
    }
}

/* Reads the same bytes twice: first to see that they are whole, then (`apply`) to take them. */
struct loader {
    struct engine *e;
    struct wire w;
    bool apply;
    uint32_t next_machine;
};

static bool find_slot(const struct engine *e, int32_t metric, uint64_t text, uint32_t *ret_slot)
{
    uint32_t at = 0;
    if (!engine_find_slot(e, metric, &at)) {
        return false;
    }
    while (at < e->slot_count && e->slots[at].metric == metric) {
        if (text_hash(e->slots[at].text) == text) {
            *ret_slot = at;
            return true;
        }
        at++;
    }
    return false;
}

static void load_slot(struct loader *l)
{
    int32_t metric = (int32_t)get_u32(&l->w);
    struct engine_slot_state s = {.last_us = get_time(&l->w)};
    s.last = get_f64(&l->w);
    uint64_t samples = get_u64(&l->w);
    int64_t after_us = get_time(&l->w);
    s.baseline_count = get_u64(&l->w);
    s.baseline_sum = get_f64(&l->w);
    uint64_t text = get_u64(&l->w);
    uint32_t end = get_u32(&l->w);
    if (s.baseline_count > samples || end >= ENGINE_BLOCK_LARGE) {
        wire_fail(&l->w, ERR_MALFORMED);
    }
    uint32_t at = 0;
    if (!l->apply || !find_slot(l->e, metric, text, &at)) {
        return;
    }
    struct engine_slot *slot = &l->e->slots[at];
    slot->saved_end = end;
    if (samples == 0 || slot->baseline_samples != samples) {
        s.baseline_count = 0; /* nobody counted, or another number is wanted now: seed anew */
        s.baseline_sum = 0;
    } else {
        slot->baseline_fresh = false;
        slot->baseline_after_us = after_us;
    }
    l->e->now->slots[at] = s;
}

/* They were saved in the order of the rules: the next is nearly always the one. */
static struct engine_machine *find_machine(struct loader *l, int32_t rule_id, int32_t version)
{
    struct engine *e = l->e;
    for (uint32_t i = 0; i < e->machine_count; i++) {
        struct engine_machine *m = &e->machines[(l->next_machine + i) % e->machine_count];
        if (m->rule_id == rule_id && m->version == version) {
            l->next_machine += i + 1;
            return m;
        }
    }
    return NULL;
}

/* m == NULL: read and skip. */
static void load_range(struct loader *l, const struct engine_machine *m)
{
    int32_t metric = (int32_t)get_u32(&l->w);
    int64_t window_us = get_i64(&l->w);
    uint64_t count = get_u64(&l->w);
    int64_t tail_us = get_i64(&l->w);
    struct engine_range_state s = {.sum = get_f64(&l->w)};
    s.carry = get_f64(&l->w);
    if (count > ENGINE_WINDOW_POINTS_MAX || window_us <= 0 || window_us > RULE_WINDOW_MAX_US ||
        (count > 0 && (tail_us < CLOCK_MIN_US || tail_us > CLOCK_MAX_US))) {
        wire_fail(&l->w, ERR_MALFORMED);
    }
    for (uint32_t i = 0; m != NULL && i < m->range_count; i++) {
        struct engine_range *r = &l->e->ranges[m->range_first + i];
        if (l->e->slots[r->slot].metric == metric && r->window_us == window_us) {
            r->saved_count = count;
            r->saved_tail_us = tail_us;
            l->e->now->ranges[m->range_first + i] = s;
        }
    }
}

/* m == NULL: read and skip. Of the same version of a rule they are as many, in the same order. */
static void load_memories(struct loader *l, const struct engine_machine *m)
{
    uint32_t count = get_u32(&l->w);
    if (count > RULE_MEMORIES_MAX) {
        wire_fail(&l->w, ERR_MALFORMED);
        return;
    }
    m = m != NULL && m->memory_count == count ? m : NULL;
    for (uint32_t i = 0; i < count; i++) {
        struct engine_memory_state s = {.prev_us = get_time(&l->w)};
        s.since_us = get_time(&l->w);
        s.total_us = get_i64(&l->w);
        uint32_t flags = get_u32(&l->w);
        s.held = flags & 1;
        s.value = flags >> 1 & 1;
        if (s.total_us < 0 || s.total_us > CLOCK_MAX_US || flags > 3) {
            wire_fail(&l->w, ERR_MALFORMED);
        }
        if (m != NULL) {
            l->e->now->memories[m->memory_first + i] = s;
        }
    }
}

static void take_machine(struct loader *l, struct engine_machine *m,
                         const struct engine_machine_state *s, int64_t alert_id)
{
    struct engine *e = l->e;
    e->now->machines[m - e->machines] = *s;
    m->restored = true;
    if (s->degree.level == 0) {
        return;
    }
    struct engine_episode ep = {.alert_id = alert_id,
                                .since_us = s->since_us,
                                .fired_us = s->fired_us,
                                .resolved_us = CLOCK_NONE,
                                .degree = s->degree,
                                .value = s->value};
    if (engine_episodes_push(&m->episodes, ep) != ERR_OK) {
        e->failed = ERR_NOMEM;
    }
}

/* Returns the worst that is active, from 1; 0: none. m == NULL: read and skip. */
static uint32_t load_levels(struct loader *l, const struct engine_machine *m, uint32_t count)
{
    uint32_t worst = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct engine_level_state s = {.since_us = get_time(&l->w)};
        s.clear_us = get_time(&l->w);
        s.value = get_f64(&l->w);
        s.phase = get_u32(&l->w);
        if (s.phase > ENGINE_ACTIVE || (s.phase != ENGINE_NORMAL && s.since_us == CLOCK_NONE)) {
            wire_fail(&l->w, ERR_MALFORMED);
        }
        worst = worst == 0 && s.phase == ENGINE_ACTIVE ? i + 1 : worst;
        if (m != NULL) {
            l->e->now->levels[m->level_first + i] = s;
        }
    }
    return worst;
}

static void load_machine(struct loader *l)
{
    int32_t rule_id = (int32_t)get_u32(&l->w);
    int32_t version = (int32_t)get_u32(&l->w);
    int64_t after_us = get_time(&l->w);
    struct engine_machine_state s = {.prev_us = get_time(&l->w)};
    s.timer_us = get_time(&l->w);
    s.since_us = get_time(&l->w);
    s.fired_us = get_time(&l->w);
    s.ended_us = get_time(&l->w);
    s.value = get_f64(&l->w);
    s.degree.level = get_u32(&l->w);
    s.degree.worst = get_u32(&l->w);
    s.degree.changed_us = get_time(&l->w);
    int64_t alert_id = get_i64(&l->w);
    uint32_t levels = get_u32(&l->w);
    s.fired_count = s.degree.level != 0 ? 1 : 0;
    struct engine_machine *m = l->apply ? find_machine(l, rule_id, version) : NULL;
    m = m != NULL && m->rule->level_count == levels ? m : NULL;
    if (levels == 0 || levels > RULE_LEVELS_MAX || s.degree.worst > levels ||
        load_levels(l, m, levels) != s.degree.level ||
        (s.degree.level != 0 && (s.since_us == CLOCK_NONE || s.fired_us == CLOCK_NONE ||
                                 s.degree.changed_us == CLOCK_NONE || s.degree.worst == 0))) {
        wire_fail(&l->w, ERR_MALFORMED);
        return;
    }
    uint32_t ranges = get_u32(&l->w);
    if (ranges > RULE_RANGES_MAX) {
        wire_fail(&l->w, ERR_MALFORMED);
        return;
    }
    if (m != NULL) {
        m->after_us = after_us;
        take_machine(l, m, &s, alert_id);
    }
    for (uint32_t i = 0; i < ranges; i++) {
        load_range(l, m);
    }
    load_memories(l, m);
}

/* A fence keeps its number when it is changed: who was inside stays so until the new one lets go.
 */
static void load_fences(struct loader *l)
{
    struct engine *e = l->e;
    struct engine_place_state place = {.us = get_time(&l->w)};
    place.latitude = get_f64(&l->w);
    place.longitude = get_f64(&l->w);
    uint32_t count = get_u32(&l->w);
    struct geo_point p = {.longitude = place.longitude, .latitude = place.latitude};
    if (count > SAVE_LIST_MAX || (place.us != CLOCK_NONE && !geo_point_valid(p))) {
        wire_fail(&l->w, ERR_MALFORMED);
    }
    if (l->apply) {
        e->now->place = place;
    }
    for (uint32_t i = 0; i < count && wire_err(&l->w) == ERR_OK; i++) {
        int32_t id = (int32_t)get_u32(&l->w);
        uint32_t inside = get_u32(&l->w);
        uint32_t at = l->apply ? engine_fence_find(e, id) : e->fence_count;
        if (inside > 1) {
            wire_fail(&l->w, ERR_MALFORMED);
        }
        if (at < e->fence_count) {
            e->now->fences[at].inside = inside;
        }
    }
}

/* Rules and baselines of which nothing was saved begin at the watermark. */
static void begin_afresh(struct loader *l, int64_t watermark_us)
{
    struct engine *e = l->e;
    int64_t after_us = watermark_us > e->watermark_us ? watermark_us : e->watermark_us;
    e->watermark_us = watermark_us;
    for (uint32_t i = 0; i < e->machine_count; i++) {
        e->machines[i].after_us = after_us;
    }
    for (uint32_t i = 0; i < e->slot_count; i++) {
        e->slots[i].baseline_after_us = after_us;
    }
}

static void load_ticks(struct loader *l)
{
    struct engine *e = l->e;
    int64_t clock_us = get_time(&l->w);
    uint32_t count = get_u32(&l->w);
    if (count > wire_left(&l->w) / sizeof(int64_t)) {
        wire_fail(&l->w, ERR_MALFORMED);
        return;
    }
    if (l->apply) {
        e->clock_us = clock_us;
        e->saved_ticks = calloc((size_t)count + 1, sizeof(*e->saved_ticks));
        if (e->saved_ticks == NULL) {
            e->failed = ERR_NOMEM;
            return;
        }
        e->saved_tick_count = count;
    }
    int64_t before_us = CLOCK_NONE;
    for (uint32_t i = 0; i < count; i++) {
        int64_t us = get_time(&l->w);
        if (us == CLOCK_NONE || us <= before_us) {
            wire_fail(&l->w, ERR_MALFORMED);
        }
        before_us = us;
        if (l->apply) {
            e->saved_ticks[i] = us;
        }
    }
}

static void load(struct loader *l)
{
    struct engine *e = l->e;
    int64_t base_us = get_time(&l->w);
    int64_t watermark_us = get_time(&l->w);
    int64_t first_us = get_time(&l->w);
    uint32_t slots = get_u32(&l->w);
    uint32_t machines = get_u32(&l->w);
    if (slots > SAVE_LIST_MAX || machines > SAVE_LIST_MAX) {
        wire_fail(&l->w, ERR_MALFORMED);
    }
    if (l->apply) {
        begin_afresh(l, watermark_us);
        /* Saved before the first sample: whatever is stored came after. */
        e->first_us = watermark_us == CLOCK_NONE ? CLOCK_MIN_US : first_us;
        e->now->newest_us = base_us;
    }
    for (uint32_t i = 0; i < slots && wire_err(&l->w) == ERR_OK; i++) {
        load_slot(l);
    }
    for (uint32_t i = 0; i < machines && wire_err(&l->w) == ERR_OK; i++) {
        load_machine(l);
    }
    load_ticks(l);
    if (wire_err(&l->w) == ERR_OK) {
        load_fences(l);
    }
    if (wire_left(&l->w) != 0) {
        wire_fail(&l->w, ERR_MALFORMED);
    }
    if (l->apply) {
        engine_state_copy(e, e->snapshots[0], e->now);
        if (base_us == CLOCK_NONE && first_us == CLOCK_NONE && watermark_us != CLOCK_NONE) {
            engine_begin_at(e, watermark_us); /* saved by an engine that had no rules */
        }
    }
}

enum err engine_restore(struct engine *e, struct view state)
{
    if (e->mode != ENGINE_FRESH || e->restored) {
        return ERR_STATE;
    }
    if (state.len < SAVE_SUM_BYTES) {
        return ERR_MALFORMED;
    }
    struct view body = view_of(state.data, state.len - SAVE_SUM_BYTES);
    struct wire sum = wire_init(view_skip(state, body.len));
    if (get_u64(&sum) != checksum(body)) {
        return ERR_MALFORMED;
    }
    struct wire w = wire_init(body);
    uint32_t magic = get_u32(&w);
    uint32_t format = get_u32(&w);
    if (magic != SAVE_MAGIC || format != SAVE_FORMAT) {
        return ERR_MALFORMED;
    }
    struct loader check = {.e = e, .w = w};
    load(&check);
    if (wire_err(&check.w) != ERR_OK) {
        return ERR_MALFORMED;
    }
    struct loader take = {.e = e, .w = w, .apply = true};
    load(&take);
    e->restored = true;
    return e->failed;
}

/* Several may fire at one instant, of which at most the last is open. */
static bool stands_after(const struct engine_episode *a, const struct engine_episode *b)
{
    if (a->fired_us != b->fired_us) {
        return a->fired_us > b->fired_us;
    }
    return b->resolved_us != CLOCK_NONE &&
           (a->resolved_us == CLOCK_NONE || a->resolved_us > b->resolved_us);
}

static uint64_t level_of(const struct rule *r, enum severity severity)
{
    uint64_t level = 1;
    while (level < r->level_count && r->levels[level - 1].severity != severity) {
        level++;
    }
    return level;
}

/* A rule with one severity never changes it. */
static struct engine_degree degree_of(const struct rule *r, const struct engine_event *alert)
{
    bool one = r->level_count == 1;
    return (struct engine_degree){.level = level_of(r, alert->severity),
                                  .worst = level_of(r, alert->worst),
                                  .changed_us = one ? alert->fired_at_us : alert->severity_at_us};
}

enum err engine_restore_alert(struct engine *e, const struct engine_event *alert)
{
    struct engine_machine *m = NULL;
    for (uint32_t i = 0; i < e->machine_count && m == NULL; i++) {
        m = e->machines[i].rule_id == alert->rule_id ? &e->machines[i] : NULL;
    }
    if (m == NULL) {
        return ERR_NOT_FOUND;
    }
    if (e->mode != ENGINE_FRESH || !m->restored) {
        return ERR_STATE;
    }
    if (alert->resolved_at_us != CLOCK_NONE &&
        alert->resolved_at_us <= e->snapshots[0]->newest_us) {
        return ERR_OK; /* over before the snapshot: nothing can change it */
    }
    struct engine_episode ep = {.alert_id = alert->alert_id,
                                .since_us = alert->since_us,
                                .fired_us = alert->fired_at_us,
                                .resolved_us = alert->resolved_at_us,
                                .degree = degree_of(m->rule, alert),
                                .value = alert->value};
    if (engine_episodes_push(&m->told, ep) != ERR_OK) {
        return ERR_NOMEM;
    }
    struct engine_episode *items = m->told.items;
    for (uint32_t i = m->told.count - 1; i > 0 && stands_after(&items[i - 1], &items[i]); i--) {
        struct engine_episode later = items[i - 1];
        items[i - 1] = items[i];
        items[i] = later;
    }
    return ERR_OK;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t engine_history_from(const struct engine *e)
{
    int64_t base_us = e->snapshots[0]->newest_us;
    if (e->machine_count == 0) {
        return CLOCK_NONE;
    }
    if (base_us == CLOCK_NONE) {
        return e->first_us;
    }
    int64_t from_us = base_us - RULE_LOOKBACK_US;
    for (uint32_t i = 0; i < e->slot_count; i++) {
        from_us = earlier(from_us, base_us - e->slots[i].window_us);
    }
    for (uint32_t i = 0; i < e->range_count; i++) {
        if (e->ranges[i].saved_count > 0) {
            from_us = earlier(from_us, e->ranges[i].saved_tail_us);
        }
    }
    return from_us < CLOCK_MIN_US ? CLOCK_MIN_US : from_us;
}

static void seal_range(struct engine *e, uint32_t range)
{
    const struct engine_range *spec = &e->ranges[range];
    const struct engine_series *s = &e->slots[spec->slot].series;
    struct engine_range_state *r = &e->now->ranges[range];
    if (spec->saved_count == 0) {
        return; /* empty: it looks at the whole series when it is first asked */
    }
    uint64_t tail = s->first;
    while (tail < s->end && engine_series_at(s, tail).ts_us < spec->saved_tail_us) {
        tail++;
    }
    r->tail = tail;
    r->end = s->end;
    if (r->end - r->tail != spec->saved_count) {
        engine_range_recount(e, range); /* stored samples are gone, or more than were known then */
    }
}

/* The points get numbers that lie in their blocks as those they had. */
static void seal_slot(struct engine *e, uint32_t i)
{
    struct engine_series *s = &e->slots[i].series;
    uint64_t by = (e->slots[i].saved_end - s->end) % ENGINE_BLOCK_LARGE;
    if (e->slots[i].has_series && engine_series_shift(s, by) != ERR_OK) {
        e->failed = ERR_NOMEM;
    }
    e->now->slots[i].end = s->end;
}

void engine_seal(struct engine *e)
{
    if (e->sealed) {
        return;
    }
    e->sealed = true;
    for (uint32_t i = 0; i < e->slot_count; i++) {
        seal_slot(e, i);
    }
    for (uint32_t i = 0; i < e->range_count; i++) {
        seal_range(e, i);
    }
    engine_state_copy(e, e->snapshots[0], e->now);
    engine_timers_reset(e);
}
