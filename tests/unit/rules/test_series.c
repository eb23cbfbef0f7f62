#include <criterion/criterion.h>

#include "help.h"
#include "rules/history.h"
#include "rules/order.h"
#include "rules/series.h"

/* The points as a plain list beside the series. */
struct model {
    double values[20000];
    uint64_t first, end;
};

static double extreme(const struct model *m, uint64_t from, uint64_t to, bool high)
{
    double best = m->values[from];
    for (uint64_t n = from; n < to; n++) {
        best = (high ? m->values[n] > best : m->values[n] < best) ? m->values[n] : best;
    }
    return best;
}

Test(series, extremes_are_those_of_a_plain_scan_after_any_appends_cuts_and_trims)
{
    struct help_random r = {.state = 99};
    struct model *m = calloc(1, sizeof(*m));
    struct engine_series s = {.points = NULL};
    for (int round = 0; round < 3000; round++) {
        uint32_t what = help_random(&r, 10);
        for (uint32_t i = what < 6 ? help_random(&r, 200) : 0; i > 0 && m->end < 20000; i--) {
            m->values[m->end] = (double)help_random(&r, 1000) - 500;
            struct engine_point p = {.ts_us = (int64_t)m->end, .value = m->values[m->end]};
            cr_assert_eq(engine_series_append(&s, p), ERR_OK);
            m->end++;
        }
        if (what == 6 && m->end > m->first) {
            m->end -= help_random(&r, (uint32_t)(m->end - m->first) + 1) / 3;
            engine_series_cut(&s, m->end);
        }
        if (what == 7) {
            m->first += help_random(&r, (uint32_t)(m->end - m->first) + 1) / 4;
            engine_series_trim(&s, m->first);
        }
        cr_assert_eq(s.end, m->end);
        cr_assert_eq(s.first, m->first);
        if (m->end == m->first) {
            continue;
        }
        uint64_t from = m->first + help_random(&r, (uint32_t)(m->end - m->first));
        uint64_t to = from + 1 + help_random(&r, (uint32_t)(m->end - from));
        cr_assert_eq(engine_series_extreme(&s, from, to, true), extreme(m, from, to, true));
        cr_assert_eq(engine_series_extreme(&s, from, to, false), extreme(m, from, to, false));
        cr_assert_eq(engine_series_at(&s, from).ts_us, (int64_t)from);
    }
    engine_series_fini(&s);
    free(m);
}

Test(series, one_point_over_the_limit_drops_the_oldest)
{
    struct engine_series s = {.points = NULL};
    for (int i = 0; i < ENGINE_POINTS_MAX + 10; i++) {
        struct engine_point p = {.ts_us = i, .value = i};
        cr_assert_eq(engine_series_append(&s, p), ERR_OK);
    }
    cr_expect_eq(s.first, 10);
    cr_expect_eq(s.end - s.first, ENGINE_POINTS_MAX);
    cr_expect_eq(engine_series_extreme(&s, s.first, s.end, false), 10);
    cr_expect_eq(engine_series_extreme(&s, s.first, s.end, true), ENGINE_POINTS_MAX + 9);
    engine_series_fini(&s);
}

/* Two passes over the plain list. */
static struct engine_moments moments(const struct model *m, uint64_t from, uint64_t to)
{
    struct engine_moments sum = {.value = 0};
    double count = (double)(to - from);
    for (uint64_t n = from; n < to; n++) {
        sum.value += m->values[n] / count;
        sum.time += (double)(n - from) / count;
    }
    for (uint64_t n = from; n < to; n++) {
        double v = m->values[n] - sum.value;
        double t = (double)(n - from) - sum.time;
        sum.values += v * v;
        sum.times += t * t;
        sum.both += t * v;
    }
    return sum;
}

static bool near(double a, double b, double scale)
{
    return fabs(a - b) <= 1e-11 * scale;
}

static void expect_sums(const struct engine_series *s, const struct model *m, uint64_t from,
                        uint64_t to)
{
    struct engine_moments is = engine_series_moments(s, from, to);
    struct engine_moments want = moments(m, from, to);
    cr_assert(near(is.value + m->values[from], want.value, fabs(want.value)));
    cr_assert(near(is.values, want.values, 1 + want.values), "%.17g %.17g", is.values, want.values);
    cr_assert(near(is.time, want.time, 1 + want.time));
    cr_assert(near(is.times, want.times, 1 + want.times));
    cr_assert(near(is.both, want.both, 1 + sqrt(want.times * want.values)));
    uint32_t changes = 0;
    uint32_t falls = 0;
    double fallen = 0;
    for (uint64_t n = from + 1; n < to; n++) {
        changes += m->values[n] != m->values[n - 1];
        falls += m->values[n] < m->values[n - 1];
        fallen += m->values[n] < m->values[n - 1] ? m->values[n - 1] : 0;
    }
    struct engine_turn t = engine_series_turns(s, from, to);
    cr_assert_eq(t.changes, changes);
    cr_assert_eq(t.falls, falls);
    cr_assert_eq(t.rounds, 0);
    cr_assert_eq(engine_series_fallen(s, from, to), fallen, "integers add up exactly");
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of a sorted list, as PromQL has it. */
static double quantile(const double *sorted, uint64_t count, double q)
{
    double rank = q * (double)(count - 1);
    uint64_t low = (uint64_t)rank;
    uint64_t high = low + 1 < count ? low + 1 : count - 1;
    return sorted[low] * (1 - (rank - (double)low)) + sorted[high] * (rank - (double)low);
}

static void expect_order(const struct engine_order *o, const struct model *m, uint64_t from,
                         uint64_t to)
{
    static double list[20000];
    uint64_t count = to - from;
    memcpy(list, m->values + from, count * sizeof(double));
    qsort(list, count, sizeof(double), by_size);
    cr_assert_eq(o->total, count);
    for (int i = 0; i <= 10; i++) {
        cr_assert_eq(engine_order_quantile(o, i / 10.0), quantile(list, count, i / 10.0));
    }
    double middle = quantile(list, count, 0.5);
    for (uint64_t n = 0; n < count; n++) {
        list[n] = fabs(list[n] - middle);
    }
    qsort(list, count, sizeof(double), by_size);
    cr_assert_eq(engine_order_mad(o), quantile(list, count, 0.5));
}

Test(series, sums_and_ranks_are_those_of_a_plain_scan_after_any_appends_cuts_and_trims)
{
    struct help_random r = {.state = 77};
    struct model *m = calloc(1, sizeof(*m));
    struct engine_series s = {.needs = RULE_NEEDS_MOMENTS | RULE_NEEDS_TURNS};
    struct engine_order o = {.chunks = NULL};
    for (int round = 0; round < 1500; round++) {
        uint32_t what = help_random(&r, 10);
        for (uint32_t i = what < 6 ? help_random(&r, 300) : 0; i > 0 && m->end < 20000; i--) {
            /* Small values far from zero, and every now and then a large one. */
            m->values[m->end] = help_random(&r, 50) == 0 ? (double)help_random(&r, 10000000)
                                                         : 1000000 + (double)help_random(&r, 40);
            struct engine_point p = {.ts_us = (int64_t)m->end * S, .value = m->values[m->end]};
            cr_assert_eq(engine_series_append(&s, p), ERR_OK);
            m->end++;
        }
        if (what == 6 && m->end > m->first) {
            m->end -= help_random(&r, (uint32_t)(m->end - m->first) + 1) / 3;
            engine_order_cut(&o, &s, m->end);
            engine_series_cut(&s, m->end);
        }
        if (what == 7) {
            m->first += help_random(&r, (uint32_t)(m->end - m->first) + 1) / 4;
            engine_series_trim(&s, m->first);
        }
        if (m->end == m->first) {
            continue;
        }
        uint64_t from = m->first + help_random(&r, (uint32_t)(m->end - m->first));
        uint64_t to = from + 1 + help_random(&r, (uint32_t)(m->end - from));
        expect_sums(&s, m, from, to);
        if (round % 3 == 0) { /* a window that mostly goes forward, and sometimes back */
            from = what == 8 ? from : m->first + (m->end - m->first) / 2;
            cr_assert_eq(engine_order_follow(&o, &s, from, m->end), ERR_OK);
            expect_order(&o, m, from, m->end);
        }
    }
    engine_order_fini(&o);
    engine_series_fini(&s);
    free(m);
}

/* A restored series has the same bits although its first points are gone. */
Test(series, a_shifted_series_adds_up_in_the_same_order)
{
    struct help_random r = {.state = 5};
    unsigned needs = RULE_NEEDS_MOMENTS | RULE_NEEDS_TURNS;
    struct engine_series whole = {.needs = needs};
    struct engine_series rest = {.needs = needs};
    for (int n = 0; n < 9000; n++) {
        struct engine_point p = {.ts_us = n * S + help_random(&r, 1000),
                                 .value = (double)help_random(&r, 1000000) / 7};
        cr_assert_eq(engine_series_append(&whole, p), ERR_OK);
        if (n >= 2345) {
            cr_assert_eq(engine_series_append(&rest, p), ERR_OK);
        }
    }
    cr_assert_eq(engine_series_shift(&rest, (whole.end - rest.end) % ENGINE_BLOCK_LARGE), ERR_OK);
    uint64_t by = whole.end - rest.end;
    for (int round = 0; round < 500; round++) {
        uint64_t from = 2345 + help_random(&r, 6000);
        uint64_t to = from + 1 + help_random(&r, (uint32_t)(9000 - from));
        struct engine_moments a = engine_series_moments(&whole, from, to);
        struct engine_moments b = engine_series_moments(&rest, from - by, to - by);
        cr_assert_eq(memcmp(&a, &b, sizeof(a)), 0, "[%llu, %llu)", (unsigned long long)from,
                     (unsigned long long)to);
        cr_assert_eq(engine_series_fallen(&whole, from, to),
                     engine_series_fallen(&rest, from - by, to - by));
        cr_assert_eq(engine_series_extreme(&whole, from, to, true),
                     engine_series_extreme(&rest, from - by, to - by, true));
    }
    engine_series_fini(&whole);
    engine_series_fini(&rest);
}

/* In (ts, seq) order, with their own values, and none but those of `model`. */
static void expect_history(const struct engine_history *h, const struct engine_entry *model,
                           uint64_t count)
{
    cr_assert_eq(h->count, count);
    cr_assert_eq(h->fresh, 0);
    uint64_t work = 0;
    for (uint64_t i = 0; i < count; i++) {
        const struct engine_entry *e = engine_history_at(h, i);
        cr_assert_eq(e->seq, model[i].seq, "place %llu", (unsigned long long)i);
        cr_assert_eq(e->ts_us, model[i].ts_us);
        for (uint32_t k = 0; k < e->count; k++) {
            cr_assert_eq(h->readings[e->first + k].value, (double)e->seq);
        }
        work += e->work;
    }
    cr_assert_eq(h->work, work);
}

static int by_time_and_arrival(const void *a, const void *b)
{
    const struct engine_entry *x = a;
    const struct engine_entry *y = b;
    if (x->ts_us != y->ts_us) {
        return x->ts_us < y->ts_us ? -1 : 1;
    }
    return (x->seq > y->seq) - (x->seq < y->seq);
}

Test(history, samples_gathered_in_any_order_come_to_their_places_at_once)
{
    struct help_random r = {.state = 7};
    struct engine_history h = {.entries = NULL};
    static struct engine_entry model[6000]; /* a plain list that is sorted each time */
    uint64_t count = 0;
    int64_t floor_us = 0;
    int64_t seq = 0;
    for (int round = 0; round < 600; round++) {
        uint64_t known = count;
        int64_t newest_us = known == 0 ? -1 : model[known - 1].ts_us;
        uint32_t style = help_random(&r, 3); /* in order, in reverse, any */
        uint32_t more = 1 + help_random(&r, 20);
        for (uint32_t i = 0; i < more; i++) {
            int64_t ts_us = style == 0   ? newest_us + i
                            : style == 1 ? floor_us + 100 - i
                                         : floor_us + 1 + help_random(&r, 100);
            struct engine_reading readings[3];
            struct engine_entry e = {
                .ts_us = ts_us, .seq = seq++, .count = help_random(&r, 4), .work = 1 + i};
            for (uint32_t k = 0; k < e.count; k++) {
                readings[k] = (struct engine_reading){.slot = k, .value = (double)e.seq};
            }
            cr_assert_eq(engine_history_add(&h, e, readings), ERR_OK);
            model[count++] = e;
        }
        qsort(model, count, sizeof(model[0]), by_time_and_arrival);
        uint64_t from = 0;
        uint64_t newer = 0;
        cr_assert_eq(engine_history_merge(&h, &from, &newer), ERR_OK);
        expect_history(&h, model, count);
        int64_t first_fresh = seq - more;
        for (uint64_t i = 0; i < count; i++) {
            bool fresh = model[i].seq >= first_fresh;
            cr_assert(i >= from || !fresh, "before `from` all are old");
            cr_assert(i < newer || fresh, "from `newer` on all are fresh");
        }
        cr_assert(from == count || model[from].seq >= first_fresh);
        cr_assert(newer == 0 || newer == from || model[newer - 1].seq < first_fresh);
        uint64_t kept = 0;
        for (uint64_t i = 0; i < count; i++) {
            bool goes = help_random(&r, 10) == 0;
            model[kept] = model[i];
            kept += goes ? 0 : 1;
            if (goes) {
                engine_history_forget(&h, i);
            }
        }
        count = kept;
        engine_history_close(&h);
        expect_history(&h, model, count);
        if (round % 5 == 0) {
            floor_us += 30;
            uint64_t gone = engine_history_after(&h, floor_us);
            engine_history_drop(&h, floor_us);
            count -= gone;
            memmove(model, model + gone, count * sizeof(model[0]));
            expect_history(&h, model, count);
        }
    }
    cr_expect_lt(h.reading_cap, 8192, "what was dropped is used again");
    engine_history_fini(&h);
}

Test(history, is_full_by_samples_or_by_the_work_they_would_make)
{
    struct engine_history h = {.entries = NULL};
    struct engine_entry e = {.work = 1};
    for (int i = 0; i < ENGINE_HISTORY_MAX; i++) {
        cr_assert_not(engine_history_full(&h));
        cr_assert_eq(engine_history_add(&h, e, NULL), ERR_OK);
    }
    cr_expect(engine_history_full(&h), "gathered ones count");
    engine_history_fini(&h);
    e.work = ENGINE_HISTORY_WORK / 2;
    cr_assert_eq(engine_history_add(&h, e, NULL), ERR_OK);
    cr_expect_not(engine_history_full(&h));
    cr_assert_eq(engine_history_add(&h, e, NULL), ERR_OK);
    cr_expect(engine_history_full(&h));
    engine_history_drop(&h, 0);
    cr_expect(engine_history_full(&h), "none of them has a place yet");
    uint64_t from = 0;
    uint64_t newer = 0;
    cr_assert_eq(engine_history_merge(&h, &from, &newer), ERR_OK);
    engine_history_drop(&h, 0);
    cr_expect_not(engine_history_full(&h));
    engine_history_fini(&h);
}
