#include <criterion/criterion.h>

#include "help.h"
#include "rules/history.h"
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

Test(history, samples_stand_by_time_and_arrival_with_their_values_and_are_found_again)
{
    struct help_random r = {.state = 7};
    struct engine_history h = {.entries = NULL};
    int64_t floor_us = 0;
    uint64_t added = 0;
    for (int64_t i = 0; i < 5000; i++) {
        int64_t ts_us = floor_us + 1 + help_random(&r, 50);
        struct engine_reading readings[3];
        struct engine_entry e = {
            .ts_us = ts_us, .seq = i, .digest = (int32_t)i, .count = help_random(&r, 4)};
        for (uint32_t k = 0; k < e.count; k++) {
            readings[k] = (struct engine_reading){.slot = k, .value = (double)i};
        }
        uint64_t at = 0;
        cr_assert_not(engine_history_has(&h, ts_us, e.digest));
        cr_assert_eq(engine_history_add(&h, e, readings, &at), ERR_OK);
        cr_assert(engine_history_has(&h, ts_us, e.digest));
        cr_assert_eq(engine_history_at(&h, at)->seq, i);
        added++;
        if (i % 37 == 0) {
            floor_us += 30;
            uint64_t gone = engine_history_after(&h, floor_us);
            engine_history_drop(&h, floor_us);
            added -= gone;
        }
        cr_assert_eq(h.count, added);
    }
    for (uint64_t i = 0; i < h.count; i++) {
        const struct engine_entry *e = engine_history_at(&h, i);
        const struct engine_entry *before = i == 0 ? e : engine_history_at(&h, i - 1);
        cr_assert(before->ts_us < e->ts_us || (before->ts_us == e->ts_us && before->seq <= e->seq));
        for (uint32_t k = 0; k < e->count; k++) {
            cr_assert_eq(h.readings[e->first + k].value, (double)e->seq);
        }
    }
    cr_expect_lt(h.reading_cap, 4096, "what was dropped is used again");
    engine_history_fini(&h);
}
