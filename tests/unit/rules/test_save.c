#include <criterion/criterion.h>

#include "stream.h"

/* A server that runs, saves at one sample and dies at a later one. */
struct life {
    struct help_env *h;
    struct device *d;
    struct stream *s;
    uint64_t seed;
    int64_t lateness_us;
    bool stored[STREAM_MAX]; /* by the database: accepted, not a duplicate */
};

static void feed(struct life *l, struct help_run *run, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        run->seq = i;
        enum engine_verdict v = help_feed_sample(run, &l->s->items[i].sample);
        cr_assert_neq(v, ENGINE_LATE);
        l->stored[i] = v == ENGINE_NEW;
    }
}

static int by_time(const void *a, const void *b)
{
    const struct stream_item *x = *(const struct stream_item *const *)a;
    const struct stream_item *y = *(const struct stream_item *const *)b;
    if (x->sample.ts_us != y->sample.ts_us) {
        return x->sample.ts_us < y->sample.ts_us ? -1 : 1;
    }
    return (x > y) - (x < y); /* the items stand in the order of arrival */
}

/* What the database has, from the time the engine asks for. */
static void replay(struct life *l, struct help_run *run, uint32_t until)
{
    struct stream_item *list[STREAM_MAX];
    uint32_t n = 0;
    int64_t from_us = engine_history_from(run->engine);
    for (uint32_t i = 0; i < until && from_us != CLOCK_NONE; i++) {
        if (l->stored[i] && l->s->items[i].sample.ts_us >= from_us) {
            list[n++] = &l->s->items[i];
        }
    }
    qsort(list, n, sizeof(list[0]), by_time);
    for (uint32_t i = 0; i < n; i++) {
        cr_assert_eq(
            engine_replay(run->engine, &list[i]->sample, list[i] - l->s->items + 1, &run->out),
            ERR_OK);
    }
    cr_assert_null(run->out.first, "a replay reports nothing by itself");
}

/* The alerts table of the server that died, in the hands of the new one. */
static void take_over(struct help_run *to, const struct help_run *from)
{
    memcpy(to->alerts, from->alerts, sizeof(to->alerts));
    to->count = from->count;
    to->next_id = from->next_id;
    for (uint32_t i = 0; i < from->count; i++) {
        const struct help_alert *a = &from->alerts[i];
        struct engine_event ev = {.rule_id = a->rule_id,
                                  .alert_id = a->id,
                                  .since_us = a->since_us,
                                  .fired_at_us = a->fired_us,
                                  .resolved_at_us = a->resolved_us,
                                  .severity = a->severity,
                                  .worst = a->worst,
                                  .severity_at_us = a->severity_us,
                                  .value = a->value};
        if (!a->retracted) {
            cr_assert_eq(engine_restore_alert(to->engine, &ev), ERR_OK);
        }
    }
}

static void expect_same(struct help_run *a, struct help_run *b, uint64_t seed, const char *when)
{
    char *x = help_history(a);
    char *y = help_history(b);
    cr_assert_str_eq(x, y, "seed %llu %s:\n%s---\n%s", (unsigned long long)seed, when, x, y);
    cr_assert(stream_same_state(a->engine, b->engine, false), "seed %llu: the state %s differs",
              (unsigned long long)seed, when);
    cr_assert_eq(a->count, b->count, "no alert_id is given twice or in vain");
    free(x);
    free(y);
}

static void one_life(struct life *l, struct help_random *random)
{
    uint32_t save_at = help_random(random, l->s->count);
    uint32_t die_at = save_at + help_random(random, l->s->count - save_at);
    struct help_run *first = help_run_new(stream_engine(l->h, l->d, l->seed, l->lateness_us));
    struct buf state;
    buf_init(&state, 1 << 20);
    feed(l, first, 0, save_at);
    engine_save(first->engine, &state);
    feed(l, first, save_at, die_at);
    struct help_run *second = help_run_new(stream_engine(l->h, l->d, l->seed, l->lateness_us));
    uint8_t *exact = malloc(state.len); /* one byte too far is seen by ASan */
    memcpy(exact, state.data, state.len);
    cr_assert_eq(engine_restore(second->engine, view_of(exact, state.len)), ERR_OK);
    free(exact);
    take_over(second, first);
    replay(l, second, die_at);
    engine_replay_end(second->engine, &second->out);
    help_take(second);
    cr_assert_str_eq(second->log, "", "seed %llu: %s", (unsigned long long)l->seed, second->log);
    expect_same(first, second, l->seed, "after the restart");
    feed(l, first, die_at, l->s->count);
    feed(l, second, die_at, l->s->count);
    int64_t end_us = engine_watermark_us(first->engine) + 40 * S;
    help_advance(first, end_us);
    help_advance(second, end_us);
    expect_same(first, second, l->seed, "at the end");
    help_run_free(first);
    help_run_free(second);
    buf_fini(&state);
}

Test(save, restored_and_replayed_is_the_uninterrupted_run_bit_for_bit, .timeout = 60)
{
    struct help_env h;
    help_env_init(&h);
    (void)help_metric(&h, "x");
    (void)help_metric(&h, "y");
    struct life l = {.h = &h, .d = help_device(NULL, "d"), .s = calloc(1, sizeof(*l.s))};
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct help_random random = {.state = seed * 104729};
        l.seed = seed;
        l.lateness_us = help_random(&random, 90) * S;
        h.env.lateness_us = l.lateness_us;
        stream_make(l.s, &h, &random, 60 + help_random(&random, 900), l.lateness_us);
        one_life(&l, &random);
    }
    free(l.s);
    device_drop(l.d);
    help_env_fini(&h);
}

static struct buf saved_state(struct help_env *h, struct device *d, struct help_run **ret_run)
{
    struct stream *s = calloc(1, sizeof(*s));
    struct help_random random = {.state = 5};
    stream_make(s, h, &random, 600, 60 * S);
    struct help_run *run = help_run_new(stream_engine(h, d, 3, 60 * S));
    for (uint32_t i = 0; i < s->count; i++) {
        (void)help_feed_sample(run, &s->items[i].sample);
    }
    struct buf state;
    buf_init(&state, 1 << 20);
    engine_save(run->engine, &state);
    cr_assert_eq(buf_err(&state), ERR_OK);
    free(s);
    *ret_run = run;
    return state;
}

Test(save, every_cut_and_every_flipped_bit_is_malformed_and_changes_nothing)
{
    struct help_env h;
    help_env_init(&h);
    (void)help_metric(&h, "x");
    (void)help_metric(&h, "y");
    struct device *d = help_device(NULL, "d");
    struct help_run *run = NULL;
    struct buf state = saved_state(&h, d, &run);
    struct engine *e = stream_engine(&h, d, 3, 60 * S);
    for (size_t cut = 0; cut < state.len; cut++) {
        uint8_t *exact = malloc(cut + 1);
        memcpy(exact, state.data, cut);
        cr_expect_eq(engine_restore(e, view_of(exact, cut)), ERR_MALFORMED, "cut at %zu", cut);
        free(exact);
    }
    for (size_t bit = 0; bit < state.len * 8; bit++) {
        state.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_expect_eq(engine_restore(e, buf_view(&state)), ERR_MALFORMED, "bit %zu", bit);
        state.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    cr_expect_eq(engine_watermark_us(e), CLOCK_NONE);
    cr_expect_eq(engine_restore(e, buf_view(&state)), ERR_OK);
    cr_expect_eq(engine_watermark_us(e), engine_watermark_us(run->engine));
    struct buf again;
    buf_init(&again, 1 << 20);
    engine_save(e, &again);
    cr_expect(view_eq(buf_view(&again), buf_view(&state)), "saved again: the same bytes");
    buf_fini(&again);
    buf_fini(&state);
    engine_free(e);
    help_run_free(run);
    device_drop(d);
    help_env_fini(&h);
}

Test(save, rules_that_are_gone_or_changed_are_skipped_and_start_at_the_watermark)
{
    struct help_env h;
    help_env_init(&h);
    int32_t x = help_metric(&h, "x");
    struct device *d = help_device(NULL, "d");
    struct rule *r = help_rule(&h, "{'name':'r','when':'x > 5','lateness':'10s'}");
    struct engine_rule rules[] = {{1, 1, r}, {2, 1, r}};
    struct help_run *run = help_run_new(engine_new(d, rules, 2, 10 * S, CLOCK_NONE));
    for (int i = 0; i < 100; i++) {
        (void)help_feed(run, (1000 + i) * S, x, 6);
    }
    cr_expect_eq(run->count, 2);
    struct buf state;
    buf_init(&state, 1 << 20);
    engine_save(run->engine, &state);
    rules[1].version = 2;
    struct engine_rule now[] = {rules[1], rules[0], {3, 1, r}};
    struct help_run *after = help_run_new(engine_new(d, now, 3, 10 * S, CLOCK_NONE));
    cr_expect_eq(engine_restore(after->engine, buf_view(&state)), ERR_OK);
    cr_expect_eq(engine_restore(after->engine, buf_view(&state)), ERR_STATE, "only once");
    struct engine_event ev = {.rule_id = 1,
                              .alert_id = 1,
                              .since_us = 1000 * S,
                              .fired_at_us = 1000 * S,
                              .resolved_at_us = CLOCK_NONE,
                              .value = 6};
    cr_expect_eq(engine_restore_alert(after->engine, &ev), ERR_OK);
    ev.rule_id = 2;
    cr_expect_eq(engine_restore_alert(after->engine, &ev), ERR_STATE, "another version: afresh");
    ev.rule_id = 9;
    cr_expect_eq(engine_restore_alert(after->engine, &ev), ERR_NOT_FOUND);
    after->next_id = 3;
    for (int i = 80; i < 100; i++) {
        struct sample_value v = {.metric = x, .number = 6};
        struct sample s = {.ts_us = (1000 + i) * S, .count = 1, .values = &v};
        cr_expect_eq(engine_replay(after->engine, &s, i, &after->out), ERR_OK);
    }
    engine_replay_end(after->engine, &after->out);
    cr_expect_null(after->out.first, "the watermark was 1099: nothing up to it drives a new rule");
    (void)help_feed(after, 1100 * S, x, 6);
    cr_expect_str_eq(after->log, "fired fired");
    cr_expect_eq(after->alerts[0].since_us, 1100 * S);
    cr_expect_eq(after->alerts[0].rule_id, 2);
    cr_expect_eq(after->alerts[1].rule_id, 3);
    cr_expect_eq(after->alerts[0].id, 3);
    cr_expect_eq(engine_restore(after->engine, buf_view(&state)), ERR_STATE, "too late");
    buf_fini(&state);
    help_run_free(run);
    help_run_free(after);
    rule_drop(r);
    device_drop(d);
    help_env_fini(&h);
}

Test(save, an_engine_without_rules_hands_its_watermark_to_one_with)
{
    struct help_env h;
    help_env_init(&h);
    int32_t x = help_metric(&h, "x");
    struct device *d = help_device(NULL, "d");
    struct help_run *run = help_run_new(engine_new(d, NULL, 0, 10 * S, CLOCK_NONE));
    (void)help_feed(run, 1000 * S, x, 6);
    struct buf state;
    buf_init(&state, 1 << 20);
    engine_save(run->engine, &state);
    struct rule *r =
        help_rule(&h, "{'name':'r','when':'avg_over_time(x[100s]) > 5','lateness':'10s'}");
    struct engine_rule er = {1, 1, r};
    struct help_run *after = help_run_new(engine_new(d, &er, 1, 10 * S, CLOCK_NONE));
    cr_expect_eq(engine_restore(after->engine, buf_view(&state)), ERR_OK);
    cr_expect_eq(engine_watermark_us(after->engine), 1000 * S);
    cr_expect_eq(engine_history_from(after->engine), (1000 - 10 - 300) * S - 1);
    cr_expect_eq(help_feed(after, 989 * S, x, 6), ENGINE_LATE);
    cr_expect_eq(help_feed(after, 990 * S, x, 6), ENGINE_NEW);
    cr_expect_str_eq(after->log, "");
    cr_expect_eq(help_feed(after, 1001 * S, x, 6), ENGINE_NEW);
    cr_expect_str_eq(after->log, "fired");
    buf_fini(&state);
    help_run_free(run);
    help_run_free(after);
    rule_drop(r);
    device_drop(d);
    help_env_fini(&h);
}

Test(save, a_baseline_is_seeded_once_and_then_kept)
{
    struct help_env h;
    help_env_init(&h);
    int32_t t = help_metric(&h, "temperature");
    struct device *d = help_device(h.type, "d");
    struct rule *r = help_rule(&h, "{'name':'r','when':'temperature > baseline(temperature)'}");
    struct engine_rule er = {1, 1, r};
    int32_t metric = 0;
    int64_t count = 0;
    struct engine *fresh = engine_new(d, &er, 1, 0, CLOCK_NONE);
    cr_expect_not(engine_baseline_wanted(fresh, 0, &metric, &count), "a new device has no past");
    engine_free(fresh);

    struct help_run *run = help_run_new(engine_new(d, &er, 1, 10 * S, 1000 * S));
    cr_assert(engine_baseline_wanted(run->engine, 0, &metric, &count));
    cr_expect_eq(metric, t);
    cr_expect_eq(count, 3);
    cr_expect_not(engine_baseline_wanted(run->engine, 1, &metric, &count));
    static const double values[] = {10, 20};
    cr_expect_eq(engine_baseline_seed(run->engine, t, values, 2), ERR_OK);
    cr_expect_eq(engine_baseline_seed(run->engine, t + 100, values, 2), ERR_NOT_FOUND);
    struct sample_value v = {.metric = t, .number = 500};
    struct sample s = {.ts_us = 999 * S, .count = 1, .values = &v};
    cr_expect_eq(engine_replay(run->engine, &s, 1, &run->out), ERR_OK, "is in the seed already");
    cr_expect_eq(engine_baseline_seed(run->engine, t, values, 2), ERR_STATE);
    (void)help_feed(run, 1001 * S, t, 30); /* the third: the mean is 20 */
    cr_expect_str_eq(run->log, "fired");
    (void)help_feed(run, 1002 * S, t, 20);
    cr_expect_str_eq(run->log, "fired resolved");
    for (int i = 0; i < 50; i++) {
        (void)help_feed(run, (1010 + i) * S, t, 1);
    }
    struct buf state;
    buf_init(&state, 1 << 20);
    engine_save(run->engine, &state);
    struct help_run *after = help_run_new(engine_new(d, &er, 1, 10 * S, CLOCK_NONE));
    cr_expect_eq(engine_restore(after->engine, buf_view(&state)), ERR_OK);
    cr_expect_not(engine_baseline_wanted(after->engine, 0, &metric, &count));
    (void)help_feed(after, 2000 * S, t, 20);
    (void)help_feed(after, 2001 * S, t, 20.5);
    cr_expect_str_eq(after->log, "fired");
    buf_fini(&state);
    help_run_free(after);
    help_run_free(run);
    h.type->metrics[0].baseline_samples = 4; /* another number is wanted: ask for them again */
    struct engine *more = engine_new(d, &er, 1, 10 * S, CLOCK_NONE);
    engine_free(more);
    rule_drop(r);
    device_drop(d);
    help_env_fini(&h);
}

Test(save, a_window_whose_samples_are_gone_is_what_is_left_of_it)
{
    struct help_env h;
    help_env_init(&h);
    int32_t x = help_metric(&h, "x");
    struct device *d = help_device(NULL, "d");
    struct rule *r =
        help_rule(&h, "{'name':'r','when':'sum_over_time(x[1h]) >= 50','lateness':'1s'}");
    struct engine_rule er = {1, 1, r};
    struct help_run *run = help_run_new(engine_new(d, &er, 1, S, CLOCK_NONE));
    for (int i = 0; i < 40; i++) {
        (void)help_feed(run, (1000 + i * 10) * S, x, 1);
    }
    struct buf state;
    buf_init(&state, 1 << 20);
    engine_save(run->engine, &state);
    struct help_run *after = help_run_new(engine_new(d, &er, 1, S, CLOCK_NONE));
    cr_assert_eq(engine_restore(after->engine, buf_view(&state)), ERR_OK);
    cr_expect_leq(engine_history_from(after->engine), 1000 * S);
    for (int i = 20; i < 40; i++) { /* retention dropped the first 20 */
        struct sample_value v = {.metric = x, .number = 1};
        struct sample s = {.ts_us = (1000 + i * 10) * S, .count = 1, .values = &v};
        cr_expect_eq(engine_replay(after->engine, &s, i, &after->out), ERR_OK);
    }
    for (int i = 0; i < 30; i++) { /* 20 + 30, not 40 + 30 */
        cr_expect_str_eq(after->log, "", "%d", i);
        (void)help_feed(after, (1400 + i * 10) * S, x, 1);
    }
    cr_expect_str_eq(after->log, "fired");
    cr_expect_eq(after->alerts[0].value, 50);
    buf_fini(&state);
    help_run_free(run);
    help_run_free(after);
    rule_drop(r);
    device_drop(d);
    help_env_fini(&h);
}

Test(save, what_a_replay_finds_otherwise_is_corrected_at_its_end)
{
    struct help_env h;
    help_env_init(&h);
    int32_t x = help_metric(&h, "x");
    struct device *d = help_device(NULL, "d");
    struct rule *r = help_rule(&h, "{'name':'r','when':'x > 5','lateness':'60s'}");
    struct engine_rule er = {1, 1, r};
    struct help_run *run = help_run_new(engine_new(d, &er, 1, 0, CLOCK_NONE));
    for (int i = 0; i < 10; i++) {
        (void)help_feed(run, (1000 + i) * S, x, i == 5 || i == 8 ? 6 : 1);
    }
    cr_expect_eq(run->count, 2);
    struct buf state;
    buf_init(&state, 1 << 20);
    engine_save(run->engine, &state);
    struct help_run *after = help_run_new(engine_new(d, &er, 1, 0, CLOCK_NONE));
    cr_assert_eq(engine_restore(after->engine, buf_view(&state)), ERR_OK);
    /* The table knows the first alert as open, and another that never was; of the second it knows
     * nothing. */
    struct engine_event told[] = {{.rule_id = 1,
                                   .alert_id = 8,
                                   .since_us = 1002 * S,
                                   .fired_at_us = 1002 * S,
                                   .resolved_at_us = 1003 * S,
                                   .value = 9},
                                  {.rule_id = 1,
                                   .alert_id = 7,
                                   .since_us = 1005 * S,
                                   .fired_at_us = 1005 * S,
                                   .resolved_at_us = CLOCK_NONE,
                                   .value = 6}};
    for (int i = 0; i < 2; i++) {
        cr_expect_eq(engine_restore_alert(after->engine, &told[i]), ERR_OK);
    }
    after->next_id = 20;
    for (int i = 0; i < 10; i++) {
        struct sample_value v = {.metric = x, .number = i == 5 || i == 8 ? 6 : 1};
        struct sample s = {.ts_us = (1000 + i) * S, .count = 1, .values = &v};
        cr_expect_eq(engine_replay(after->engine, &s, i, &after->out), ERR_OK);
        cr_expect_null(after->out.first);
    }
    engine_replay_end(after->engine, &after->out);
    static const struct {
        enum engine_event_kind kind;
        int64_t id;
    } expected[] = {
        {ENGINE_RETRACTED, 8}, {ENGINE_RESOLVED, 7}, {ENGINE_FIRED, 20}, {ENGINE_RESOLVED, 20}};
    const struct engine_event *ev = after->out.first;
    for (size_t i = 0; i < 4; i++) {
        cr_assert_not_null(ev, "event %zu", i);
        cr_expect_eq(ev->kind, expected[i].kind, "event %zu", i);
        cr_expect_eq(ev->alert_id, expected[i].id, "event %zu", i);
        cr_expect_eq(ev->summary.len > 0, ev->kind == ENGINE_FIRED);
        ev = ev->next;
    }
    cr_expect_null(ev);
    after->out.first = NULL;
    after->out.last = NULL;
    buf_fini(&state);
    help_run_free(run);
    help_run_free(after);
    rule_drop(r);
    device_drop(d);
    help_env_fini(&h);
}
