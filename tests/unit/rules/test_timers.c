#include <criterion/criterion.h>

#include "help.h"

#define ABSENT "{'name':'r','when':'absent_over_time(x[30m])'}"

enum { T0 = 1000 }; /* minutes: where the tests begin */

struct bench {
    struct help_env h;
    struct device *d;
    int32_t x, other;
    struct help_run *run;
};

static struct help_run *run_of(struct bench *b, const char *document, int64_t watermark_us)
{
    struct rule *r = help_rule(&b->h, document);
    struct engine_rule rule = {.rule_id = 1, .version = 1, .rule = r};
    struct help_run *run = help_run_new(engine_new(b->d, &rule, 1, 2 * MIN, watermark_us));
    rule_drop(r);
    return run;
}

static void begin(struct bench *b, const char *document)
{
    help_env_init(&b->h);
    b->d = help_device(NULL, "d");
    b->x = help_metric(&b->h, "x");
    b->other = help_metric(&b->h, "other");
    b->run = run_of(b, document, CLOCK_NONE);
}

static void end(struct bench *b)
{
    help_run_free(b->run);
    device_drop(b->d);
    help_env_fini(&b->h);
}

static void feed(struct bench *b, int64_t at_s, double v)
{
    cr_assert_eq(help_feed(b->run, T0 * MIN + at_s * S, b->x, v), ENGINE_NEW);
}

static void advance(struct bench *b, int64_t at_s)
{
    help_advance(b->run, T0 * MIN + at_s * S);
}

/* The alerts as "since fired resolved" in seconds after the beginning, -1 for open. */
static void expect(struct bench *b, const char *alerts, const char *why)
{
    char text[256] = "";
    for (uint32_t i = 0; i < b->run->count; i++) {
        const struct help_alert *a = &b->run->alerts[i];
        if (!a->retracted) {
            size_t used = strlen(text);
            (void)snprintf(
                text + used, sizeof(text) - used, "%s%lld %lld %lld", used > 0 ? "; " : "",
                (long long)(a->since_us - T0 * MIN) / S, (long long)(a->fired_us - T0 * MIN) / S,
                a->resolved_us == CLOCK_NONE ? -1 : (long long)(a->resolved_us - T0 * MIN) / S);
        }
    }
    cr_expect_str_eq(text, alerts, "%s: %s, not %s", why, text, alerts);
}

Test(timers, absence_is_raised_exactly_at_the_end_of_the_window_by_the_next_sample)
{
    struct bench b;
    begin(&b, ABSENT);
    feed(&b, 0, 5);
    feed(&b, 1800, 5);
    expect(&b, "", "the sample of the last instant is in the window");
    feed(&b, 4500, 5);
    expect(&b, "3600 3600 4500", "as if the clock had gone that far");
    end(&b);
}

Test(timers, absence_is_raised_exactly_at_the_end_of_the_window_by_the_clock)
{
    struct bench b;
    begin(&b, ABSENT);
    cr_expect_eq(engine_next_due(b.run->engine), CLOCK_NONE, "a metric that never came");
    feed(&b, 0, 5);
    cr_expect_eq(engine_next_due(b.run->engine), T0 * MIN + 30 * MIN);
    advance(&b, 1799);
    expect(&b, "", "not a second too early");
    advance(&b, 1850);
    expect(&b, "1800 1800 -1", "at its instant, not when the clock was read");
    cr_expect_eq(engine_next_due(b.run->engine), CLOCK_NONE);
    feed(&b, 2000, 5);
    expect(&b, "1800 1800 2000", "the next reading ends it");
    end(&b);
}

Test(timers, a_metric_that_never_came_is_not_absent)
{
    struct bench b;
    begin(&b, ABSENT);
    cr_assert_eq(help_feed(b.run, T0 * MIN, b.other, 1), ENGINE_NEW);
    advance(&b, 90000);
    expect(&b, "", "not even after a day");
    end(&b);
}

Test(timers, a_reading_that_was_under_way_takes_absence_back)
{
    struct bench b;
    begin(&b, ABSENT);
    feed(&b, 0, 5);
    advance(&b, 1801);
    feed(&b, 1790, 5);
    expect(&b, "", "it was there all the time");
    cr_expect_eq(b.run->retracted, 1);
    advance(&b, 1790 + 1800);
    expect(&b, "3590 3590 -1", "");
    feed(&b, 1700, 5);
    expect(&b, "3590 3590 -1", "the clock makes no sample late, and none of them moves this one");
    end(&b);
}

Test(timers, other_metrics_show_that_time_passes)
{
    struct bench b;
    begin(&b, ABSENT);
    feed(&b, 0, 5);
    cr_assert_eq(help_feed(b.run, T0 * MIN + 3000 * S, b.other, 1), ENGINE_NEW);
    expect(&b, "1800 1800 -1", "");
    end(&b);
}

Test(timers, absence_with_for_is_raised_at_the_end_of_both)
{
    struct bench b;
    begin(&b, "{'name':'r','when':'absent_over_time(x[30m])','for':'5m'}");
    feed(&b, 0, 5);
    feed(&b, 2000, 5);
    expect(&b, "", "it came back");
    feed(&b, 9000, 5);
    expect(&b, "3800 4100 9000", "");
    end(&b);
}

Test(timers, a_rule_that_is_made_while_the_device_is_silent_is_asked_at_once)
{
    struct bench b;
    begin(&b, ABSENT);
    help_run_free(b.run);
    b.run = run_of(&b, ABSENT, T0 * MIN + 7200 * S);
    struct sample_value value = {.metric = b.x, .kind = VALUE_NUMBER, .number = 5};
    struct sample s = {.ts_us = T0 * MIN, .count = 1, .values = &value};
    cr_assert_eq(engine_replay(b.run->engine, &s, 1, &b.run->out), ERR_OK);
    engine_replay_end(b.run->engine, &b.run->out);
    advance(&b, 7200);
    expect(&b, "7200 7200 -1", "when the rule began, not when the silence did");
    end(&b);
}

/* ---- `for` and silence ---- */

Test(timers, the_next_sample_decides_whether_for_was_over)
{
    struct bench b;
    begin(&b, "{'name':'r','when':'x > 60','for':'2m'}");
    feed(&b, 0, 70);
    feed(&b, 600, 50);
    expect(&b, "", "nobody knows what was between: no alert");
    feed(&b, 700, 70);
    feed(&b, 1300, 70);
    expect(&b, "700 1300 -1", "the first sample after `for`");
    end(&b);
}

Test(timers, for_is_over_when_nothing_came_for_as_long)
{
    struct bench b;
    begin(&b, "{'name':'r','when':'x > 60','for':'2m','summary':'{{value}} {{x}}'}");
    feed(&b, 0, 70);
    feed(&b, 60, 71);
    advance(&b, 179);
    expect(&b, "", "a sample may still say otherwise");
    advance(&b, 1000);
    expect(&b, "0 180 -1", "two minutes after the newest reading");
    cr_expect_str_eq(b.run->summary, "71 71", "as the newest reading left it");
    cr_expect_eq(engine_next_due(b.run->engine), CLOCK_NONE);
    feed(&b, 1200, 50);
    expect(&b, "0 180 1200", "");
    end(&b);
}

Test(timers, silence_longer_than_max_gap_is_no_evidence)
{
    struct bench b;
    begin(&b, "{'name':'r','when':'x > 60','for':'2m','max_gap':'1m'}");
    feed(&b, 0, 70);
    cr_expect_eq(engine_next_due(b.run->engine), CLOCK_NONE);
    advance(&b, 90000);
    expect(&b, "", "");
    end(&b);
}

Test(timers, clear_for_is_over_when_nothing_came_for_as_long)
{
    struct bench b;
    begin(&b, "{'name':'r','when':'x > 60','clear':'x < 40','clear_for':'2m'}");
    feed(&b, 0, 70);
    feed(&b, 60, 30);
    advance(&b, 500);
    expect(&b, "0 0 180", "");
    end(&b);
}

Test(timers, a_sample_that_was_under_way_takes_back_what_silence_raised)
{
    struct bench b;
    begin(&b, "{'name':'r','when':'x > 60','for':'1m'}");
    feed(&b, 0, 70);
    advance(&b, 61);
    expect(&b, "0 60 -1", "");
    feed(&b, 30, 50);
    expect(&b, "", "");
    cr_expect_str_eq(b.run->log, "pending fired retracted");
    end(&b);
}

Test(timers, other_metrics_do_not_end_for_the_clock_does)
{
    struct bench b;
    begin(&b, "{'name':'r','when':'x > 60','for':'1m'}");
    feed(&b, 0, 70);
    cr_assert_eq(help_feed(b.run, T0 * MIN + 90 * S, b.other, 1), ENGINE_NEW);
    expect(&b, "", "what is not read shows nothing of x");
    advance(&b, 91);
    expect(&b, "0 90 -1", "the clock does, which is at 90 now: nothing came of x");
    end(&b);
}

/* What the clock did is in the saved state: the samples alone would not tell it. */
Test(timers, what_silence_raised_stands_after_a_restart)
{
    static const char *const document = "{'name':'r','when':'x > 60','for':'1m'}";
    struct bench b;
    begin(&b, document);
    feed(&b, 0, 70);
    advance(&b, 100);
    feed(&b, 110, 71);
    struct buf state;
    buf_init(&state, 1 << 20);
    engine_save(b.run->engine, &state);
    struct help_run *second = run_of(&b, document, CLOCK_NONE);
    cr_assert_eq(engine_restore(second->engine, buf_view(&state)), ERR_OK);
    memcpy(second->alerts, b.run->alerts, sizeof(second->alerts));
    second->count = 1;
    struct engine_event told = {.rule_id = 1,
                                .alert_id = b.run->alerts[0].id,
                                .since_us = b.run->alerts[0].since_us,
                                .fired_at_us = b.run->alerts[0].fired_us,
                                .resolved_at_us = CLOCK_NONE,
                                .value = 70};
    cr_assert_eq(engine_restore_alert(second->engine, &told), ERR_OK);
    for (int i = 0; i < 2; i++) {
        struct sample_value value = {.metric = b.x, .kind = VALUE_NUMBER, .number = 70 + i};
        struct sample s = {.ts_us = T0 * MIN + i * 110 * S, .count = 1, .values = &value};
        cr_assert_eq(engine_replay(second->engine, &s, i + 1, &second->out), ERR_OK);
    }
    engine_replay_end(second->engine, &second->out);
    help_take(second);
    cr_expect_str_eq(second->log, "", "nothing is corrected: %s", second->log);
    cr_expect_eq(engine_clock_us(second->engine), T0 * MIN + 100 * S);
    struct buf again;
    buf_init(&again, 1 << 20);
    engine_save(second->engine, &again);
    cr_expect(view_eq(buf_view(&state), buf_view(&again)), "bit for bit");
    buf_fini(&again);
    buf_fini(&state);
    help_run_free(second);
    end(&b);
}

Test(timers, cooldown_keeps_the_next_alert_until_it_is_over)
{
    struct bench b;
    begin(&b, "{'name':'r','when':'x > 60','cooldown':'10m'}");
    feed(&b, 0, 70);
    feed(&b, 60, 50);
    feed(&b, 120, 70);
    feed(&b, 659, 70);
    expect(&b, "0 0 60", "ten minutes since it ended");
    feed(&b, 660, 70);
    expect(&b, "0 0 60; 120 660 -1", "and the condition held all the time");
    end(&b);
}
