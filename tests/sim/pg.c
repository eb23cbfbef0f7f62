/*
 * pg: the tables, and a transaction of the writer on them.
 */
#include "pg.h"

#include <stdlib.h>
#include <string.h>

#include "base/wire.h"
#include "checks.h"

#define PG_EPOCH_US 946684800000000LL

enum { PG_COLUMNS = 9, PG_NULL = -1 };

void *pg_room(void *items, uint32_t *count, uint32_t *cap, size_t size)
{
    if (*count == *cap) {
        *cap = *cap == 0 ? 16 : *cap * 2;
        items = world_grow(items, *cap * size);
    }
    memset((uint8_t *)items + *count * size, 0, size);
    (*count)++;
    return items;
}

struct pg *pg_new(void)
{
    struct pg *pg = world_alloc(sizeof(*pg));
    pg->boundary_us = sim_get()->epoch_us / CLOCK_DAY_US * CLOCK_DAY_US - 3 * CLOCK_DAY_US;
    pg->slow_us = 1500;
    return pg;
}

static void free_samples(struct pg_samples *t)
{
    for (uint32_t i = 0; i < t->count; i++) {
        world_free(t->items[i]->values);
        world_free(t->items[i]->extra);
        world_free(t->items[i]);
    }
    world_free(t->items);
}

static void free_commands(struct pg *pg)
{
    for (uint32_t i = 0; i < pg->commands.count; i++) {
        struct pg_command *c = &pg->commands.items[i];
        world_free(c->method);
        world_free(c->params);
        world_free(c->origin);
        world_free(c->key);
    }
    world_free(pg->commands.items);
}

void pg_free(struct pg *pg)
{
    for (int i = 0; i <= SIM_DEVICES_MAX; i++) {
        free_samples(&pg->samples[i]);
        world_free(pg->states[i].rules);
        world_free(pg->reported[i]);
    }
    for (uint32_t i = 0; i < pg->shapes.count; i++) {
        world_free(pg->shapes.items[i].metrics);
    }
    for (uint32_t i = 0; i < pg->metrics.count; i++) {
        world_free(pg->metrics.items[i]);
    }
    for (uint32_t i = 0; i < pg->sessions.count; i++) {
        world_free(pg->sessions.items[i].filters);
    }
    for (uint32_t i = 0; i < pg->latest.count; i++) {
        world_free(pg->latest.items[i].extra);
    }
    for (uint32_t i = 0; i < pg->rejected.count; i++) {
        world_free(pg->rejected.items[i]);
    }
    free_commands(pg);
    world_free(pg->shapes.items);
    world_free(pg->metrics.items);
    world_free(pg->alerts.items);
    world_free(pg->work_orders.items);
    world_free(pg->sessions.items);
    world_free(pg->latest.items);
    world_free(pg->events.items);
    world_free(pg->rejected.items);
    world_free(pg->partitions.items);
    world_free(pg);
}

struct pg_alert *pg_alert(struct pg *pg, int64_t id)
{
    for (uint32_t i = pg->alerts.count; i > 0; i--) {
        if (pg->alerts.items[i - 1].id == id) {
            return &pg->alerts.items[i - 1];
        }
    }
    return NULL;
}

struct pg_command *pg_command(struct pg *pg, int64_t id)
{
    for (uint32_t i = pg->commands.count; i > 0; i--) {
        if (pg->commands.items[i - 1].id == id) {
            return &pg->commands.items[i - 1];
        }
    }
    return NULL;
}

const struct pg_shape *pg_shape(const struct pg *pg, int32_t id)
{
    for (uint32_t i = 0; i < pg->shapes.count; i++) {
        if (pg->shapes.items[i].id == id) {
            return &pg->shapes.items[i];
        }
    }
    return NULL;
}

const char *pg_metric(const struct pg *pg, int32_t id)
{
    return id < 1 || (uint32_t)id > pg->metrics.count ? NULL : pg->metrics.items[id - 1];
}

/* ---- samples ---- */

/* The tuple as it travels in a binary COPY. */
static struct pg_sample *read_tuple(struct view bytes)
{
    struct wire w = wire_init(bytes);
    struct pg_sample *s = world_alloc(sizeof(*s));
    int columns = wire_u16(&w);
    int64_t times[2];
    int32_t numbers[3];
    for (int i = 0; i < 2; i++) {
        (void)wire_u32(&w);
        times[i] = (int64_t)wire_u64(&w) + PG_EPOCH_US;
    }
    for (int i = 0; i < 3; i++) {
        (void)wire_u32(&w);
        numbers[i] = (int32_t)wire_u32(&w);
    }
    s->ts_us = times[0];
    s->received_us = times[1];
    s->device_id = numbers[0];
    s->digest = numbers[1];
    s->flags = numbers[2];
    s->shape = (int32_t)wire_u32(&w) == PG_NULL ? 0 : (int32_t)wire_u32(&w);
    uint64_t one = (int32_t)wire_u32(&w) == PG_NULL ? 0 : 1;
    uint64_t bits = one != 0 ? wire_u64(&w) : 0;
    int32_t array = (int32_t)wire_u32(&w);
    if (array != PG_NULL) {
        for (int i = 0; i < 3; i++) {
            (void)wire_u32(&w);
        }
        s->count = wire_u32(&w);
        (void)wire_u32(&w);
    } else {
        s->count = (uint32_t)one;
    }
    s->values = world_alloc(s->count * sizeof(double));
    for (uint32_t i = 0; i < s->count; i++) {
        if (array != PG_NULL) {
            (void)wire_u32(&w);
            bits = wire_u64(&w);
        }
        memcpy(&s->values[i], &bits, sizeof(bits));
    }
    int32_t extra = (int32_t)wire_u32(&w);
    if (extra != PG_NULL) {
        struct view text = wire_bytes(&w, (size_t)extra);
        s->extra = world_text((const char *)text.data + 1, text.len - 1);
    }
    if (columns != PG_COLUMNS || wire_err(&w) != ERR_OK || wire_left(&w) != 0) {
        sim_violation("COPY format", "a tuple of %zu bytes is not nine columns", bytes.len);
    }
    return s;
}

static bool sample_before(const struct pg_sample *a, const struct pg_sample *b)
{
    return a->ts_us != b->ts_us ? a->ts_us < b->ts_us : a->received_us < b->received_us;
}

static struct pg_sample *find_key(const struct pg_samples *t, int64_t ts_us, int32_t digest)
{
    uint32_t low = 0;
    uint32_t high = t->count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (t->items[mid]->ts_us < ts_us) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    for (; low < t->count && t->items[low]->ts_us == ts_us; low++) {
        if (t->items[low]->digest == digest) {
            return t->items[low];
        }
    }
    return NULL;
}

static void insert(struct pg *pg, struct pg_sample *s)
{
    struct pg_samples *t = &pg->samples[s->device_id];
    (void)PG_ADD(t);
    uint32_t at = t->count - 1;
    while (at > 0 && sample_before(s, t->items[at - 1])) {
        t->items[at] = t->items[at - 1];
        at--;
    }
    t->items[at] = s;
    bool placed = (s->flags & SAMPLE_CLOCK) != 0;
    for (uint32_t i = 0; i < pg->partitions.count && !placed; i++) {
        placed =
            s->ts_us >= pg->partitions.items[i].from_us && s->ts_us < pg->partitions.items[i].to_us;
    }
    if (!placed) {
        sim_violation("partitions", "device %d: a sample has no partition", s->device_id);
    }
}

struct inserted {
    struct pg_sample **items;
    uint32_t count, cap;
};

static struct view tuple_of(const struct batch *b, const struct batch_key *k)
{
    return view_of((k->suspect ? b->suspects.data : b->rows.data) + k->at, k->len);
}

/* A plain COPY fails as a whole when one of its rows is there already. */
static bool copy_conflicts(const struct pg *pg, const struct batch *b)
{
    uint32_t count = 0;
    const struct batch_key *keys = batch_keys(b, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (keys[i].suspect) {
            continue;
        }
        if (find_key(&pg->samples[keys[i].device_id], keys[i].ts_us, keys[i].digest) != NULL) {
            return true;
        }
        for (uint32_t k = 0; k < i; k++) {
            if (!keys[k].suspect && keys[k].ts_us == keys[i].ts_us &&
                keys[k].digest == keys[i].digest && keys[k].device_id == keys[i].device_id) {
                return true;
            }
        }
    }
    return false;
}

static void put_row(struct pg *pg, const struct batch *b, struct batch_key *k,
                    struct inserted *done)
{
    bool there = find_key(&pg->samples[k->device_id], k->ts_us, k->digest) != NULL;
    k->end = there ? BATCH_ROW_DUPLICATE : BATCH_ROW_NEW;
    if (there && sim_get()->options.mutant != MUTANT_NO_CONFLICT_CLAUSE) {
        return;
    }
    struct pg_sample *s = read_tuple(tuple_of(b, k));
    if (s->ts_us != k->ts_us || s->device_id != k->device_id || s->digest != k->digest) {
        sim_violation("COPY format", "the tuple and its key differ");
    }
    insert(pg, s);
    *PG_ADD(done) = s;
}

static void put_rows(struct pg *pg, struct batch *b, bool careful, struct inserted *done)
{
    uint32_t count = 0;
    struct batch_key *keys = batch_keys(b, &count);
    for (int suspects = 0; suspects < 2; suspects++) { /* COPY first, then what may be there */
        for (uint32_t i = 0; i < count; i++) {
            if (careful ? suspects == 0 : keys[i].suspect == (suspects == 1)) {
                put_row(pg, b, &keys[i], done);
            }
        }
    }
}

/* ---- newest values and state: arrays of binary elements ---- */

static bool element(struct wire *w, struct view *ret)
{
    int32_t len = (int32_t)wire_u32(w);
    *ret = len == PG_NULL ? (struct view){NULL, 0} : wire_bytes(w, (size_t)len);
    return len != PG_NULL;
}

static int32_t element_int(struct wire *w)
{
    struct view v;
    (void)element(w, &v);
    struct wire at = wire_init(v);
    return (int32_t)wire_u32(&at);
}

static int64_t element_time(struct wire *w)
{
    struct view v;
    if (!element(w, &v)) {
        return CLOCK_NONE;
    }
    struct wire at = wire_init(v);
    return (int64_t)wire_u64(&at) + PG_EPOCH_US;
}

static void put_latest(struct pg *pg, const struct batch *b)
{
    struct wire device = wire_init(buf_view(&b->latest_device));
    struct wire metric = wire_init(buf_view(&b->latest_metric));
    struct wire ts = wire_init(buf_view(&b->latest_ts));
    struct wire value = wire_init(buf_view(&b->latest_value));
    struct wire extra = wire_init(buf_view(&b->latest_extra));
    for (uint32_t i = 0; i < b->latest_count; i++) {
        struct pg_latest row = {.device_id = element_int(&device),
                                .metric = element_int(&metric),
                                .ts_us = element_time(&ts)};
        struct view v;
        row.value = __builtin_nan("");
        if (element(&value, &v)) {
            struct wire at = wire_init(v);
            uint64_t bits = wire_u64(&at);
            memcpy(&row.value, &bits, sizeof(bits));
        }
        row.extra = element(&extra, &v) ? world_text((const char *)v.data, v.len) : NULL;
        struct pg_latest *old = NULL;
        for (uint32_t k = 0; k < pg->latest.count && old == NULL; k++) {
            struct pg_latest *l = &pg->latest.items[k];
            old = l->device_id == row.device_id && l->metric == row.metric ? l : NULL;
        }
        if (old == NULL) {
            *PG_ADD(&pg->latest) = row;
        } else if (row.ts_us >= old->ts_us) {
            world_free(old->extra);
            *old = row;
        } else {
            world_free(row.extra);
        }
    }
}

static void put_states(struct pg *pg, const struct batch *b)
{
    struct wire device = wire_init(buf_view(&b->state_device));
    struct wire watermark = wire_init(buf_view(&b->state_watermark));
    struct wire seen = wire_init(buf_view(&b->state_seen));
    struct wire rules = wire_init(buf_view(&b->state_rules));
    for (uint32_t i = 0; i < b->state_count; i++) {
        struct pg_state *s = &pg->states[element_int(&device)];
        int64_t watermark_us = element_time(&watermark);
        int64_t seen_us = element_time(&seen);
        struct view v;
        bool some = element(&rules, &v);
        if (!s->there && sim_get()->options.mutant == MUTANT_NO_FRESH_STATE &&
            watermark_us == CLOCK_NONE) {
            continue;
        }
        world_free(s->rules);
        *s = (struct pg_state){.there = true, .watermark_us = watermark_us, .seen_us = seen_us};
        s->rules_len = some ? (uint32_t)v.len : UINT32_MAX;
        s->rules = some ? (uint8_t *)world_text((const char *)v.data, v.len) : NULL;
    }
}

/* ---- a transaction ---- */

void pg_make_partitions(struct pg *pg, const struct batch *b)
{
    for (const struct batch_partition *p = b->partitions; p != NULL; p = p->next) {
        bool there = false;
        for (uint32_t i = 0; i < pg->partitions.count && !there; i++) {
            there = pg->partitions.items[i].from_us == p->from_us;
        }
        if (!there) {
            *PG_ADD(&pg->partitions) = (struct partition_range){p->from_us, p->to_us};
        }
    }
}

enum err pg_commit(struct pg *pg, struct batch *b, bool careful)
{
    struct inserted done = {0};
    if (!careful && sim_get()->options.mutant != MUTANT_NO_CONFLICT_CLAUSE &&
        copy_conflicts(pg, b)) {
        return ERR_EXISTS;
    }
    put_rows(pg, b, careful, &done);
    for (const struct batch_op *op = b->first_op; op != NULL; op = op->next) {
        pg_run(pg, op);
    }
    put_latest(pg, b);
    put_states(pg, b);
    pg->seq++;
    sim_get()->count.rows += done.count;
    sim_log("commit %lld: %u of %u rows, %u operations, %u states%s", (long long)pg->seq,
            done.count, batch_rows(b), b->op_count, b->state_count, careful ? ", careful" : "");
    for (uint32_t i = 0; i < done.count; i++) {
        check_row(done.items[i]);
    }
    world_free(done.items);
    check_commit();
    return ERR_OK;
}
