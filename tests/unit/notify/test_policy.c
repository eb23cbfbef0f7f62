#include <criterion/criterion.h>

#include "base/clock.h"
#include "devices.h"
#include "notify/policy.h"

#define NOW (1790000000LL * CLOCK_SECOND_US)

static const struct channel plain = {.name = "ops", .enabled = true};

static struct policy_row firing(int64_t alert, struct device *d)
{
    return (struct policy_row){.id = alert,
                               .alert_id = alert,
                               .event = "firing",
                               .device = d,
                               .rule = "hot",
                               .severity = SEVERITY_MAJOR,
                               .firings = 1};
}

static const char *reason_of(const struct policy *p, struct policy_row row)
{
    uint32_t told = policy_judge(p, &row, 1);
    cr_expect_eq(told, row.reason == NULL ? 1u : 0u);
    cr_expect(row.reason == NULL || row.detail[0] != '\0', "a reason without words");
    return row.reason == NULL ? "told" : row.reason;
}

Test(policy, each_reason_keeps_an_alert_quiet)
{
    struct device *d = device_make(7, "p-1", "north", 3);
    const struct channel off = {.name = "ops"};
    const struct channel calm = {
        .name = "ops", .enabled = true, .flapping_max = 3, .flapping_within_us = CLOCK_HOUR_US};
    struct policy p = {.now_us = NOW, .channel = &plain};
    struct policy_row row = firing(1, d);
    cr_expect_str_eq(reason_of(&p, row), "told");
    cr_expect_str_eq(reason_of(&(struct policy){.now_us = NOW}, row), "no_channel");
    cr_expect_str_eq(reason_of(&(struct policy){.now_us = NOW, .channel = &off}, row), "disabled");
    row.shelved_by = "ann";
    cr_expect_str_eq(reason_of(&p, row), "shelved");
    row = firing(1, d);
    row.work_order = 9;
    cr_expect_str_eq(reason_of(&p, row), "maintenance");
    row = firing(1, d);
    row.gateway_alert = 5;
    cr_expect_str_eq(reason_of(&p, row), "inhibited");
    row = firing(1, d);
    row.firings = 4;
    cr_expect_str_eq(reason_of(&p, row), "told", "the channel has no limit");
    p.channel = &calm;
    cr_expect_str_eq(reason_of(&p, row), "flapping");
    row.firings = 3;
    cr_expect_str_eq(reason_of(&p, row), "told");
    row.event = "escalated";
    row.firings = 9;
    cr_expect_str_eq(reason_of(&p, row), "told", "nobody has seen it: flapping or not");
    device_drop(d);
}

Test(policy, silences_inhibit_only_while_their_cause_is_there)
{
    struct device *gateway = device_make(3, "gw", "north", 0);
    struct device *d = device_make(7, "p-1", "north", 3);
    struct silence *s = NULL;
    struct channel_error why;
    cr_assert_eq(silence_read(VIEW("{\"comment\":\"c\",\"expires_in\":\"1h\",\"while\":{\"rule\":"
                                   "\"down\",\"on\":\"gateway\"}}"),
                              NOW, &s, &why),
                 ERR_OK);
    struct policy p = {.now_us = NOW, .channel = &plain, .silences = &s, .silence_count = 1};
    cr_expect_str_eq(reason_of(&p, firing(1, d)), "told");
    struct policy_cause cause = {.silence = s, .device = gateway, .alert_id = 12};
    p.causes = &cause;
    p.cause_count = 1;
    cr_expect_str_eq(reason_of(&p, firing(1, d)), "inhibited");
    p.now_us = NOW + CLOCK_HOUR_US;
    cr_expect_str_eq(reason_of(&p, firing(1, d)), "told");
    silence_free(s);
    device_drop(d);
    device_drop(gateway);
}

Test(policy, the_end_is_told_to_those_who_know_of_the_beginning)
{
    struct device *d = device_make(7, "p-1", "north", 0);
    struct policy p = {.now_us = NOW, .channel = &plain};
    struct policy_row rows[4] = {firing(1, d), firing(2, d), firing(1, d), firing(2, d)};
    rows[0].shelved_by = "ann";
    rows[2].event = "resolved";
    rows[3].event = "resolved";
    cr_expect_eq(policy_judge(&p, rows, 4), 2u);
    cr_expect_str_eq(rows[0].reason, "shelved");
    cr_expect_null(rows[1].reason);
    cr_expect_str_eq(rows[2].reason, "not_told");
    cr_expect_null(rows[3].reason);
    struct policy_row late = firing(3, d); /* its firing was judged earlier */
    late.event = "resolved";
    late.shelved_by = "ann";
    cr_expect_str_eq(reason_of(&p, late), "told", "who knows that it fires is told that it ended");
    late.firing_reason = "silenced";
    cr_expect_str_eq(reason_of(&p, late), "not_told");
    device_drop(d);
}

Test(policy, over_the_cap_nothing_is_told_and_a_digest_is_one_message)
{
    struct device *d = device_make(7, "p-1", "north", 0);
    struct channel c = {
        .name = "ops", .enabled = true, .rate_max = 3, .rate_per_us = CLOCK_HOUR_US};
    struct policy p = {.now_us = NOW, .channel = &c, .told = 1};
    struct policy_row rows[4];
    for (int64_t i = 0; i < 4; i++) {
        rows[i] = firing(i + 1, d);
    }
    cr_expect_eq(policy_judge(&p, rows, 4), 2u);
    cr_expect_null(rows[1].reason);
    cr_expect_str_eq(rows[2].reason, "rate_cap");
    c.digest_window_us = CLOCK_SECOND_US;
    cr_expect_eq(policy_judge(&p, rows, 4), 4u);
    cr_expect(policy_is_digest(&p, 4));
    cr_expect_not(policy_is_digest(&p, 1));
    p.told = 3;
    cr_expect_eq(policy_judge(&p, rows, 4), 0u);
    device_drop(d);
}

Test(policy, the_next_attempt_comes_later_each_time_but_within_five_minutes)
{
    static const struct {
        int64_t attempt, most_us;
    } cases[] = {{1, CLOCK_SECOND_US},      {2, 2 * CLOCK_SECOND_US},
                 {3, 4 * CLOCK_SECOND_US},  {9, 256 * CLOCK_SECOND_US},
                 {10, 5 * CLOCK_MINUTE_US}, {1000000, 5 * CLOCK_MINUTE_US}};
    static const uint64_t random[] = {0, 1, 123456789, UINT64_MAX};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_expect_eq(policy_backoff_us(cases[i].attempt, 0), cases[i].most_us);
        for (size_t k = 0; k < sizeof(random) / sizeof(random[0]); k++) {
            int64_t us = policy_backoff_us(cases[i].attempt, random[k]);
            cr_expect(us >= cases[i].most_us / 2 && us <= cases[i].most_us, "%lld", (long long)us);
        }
    }
}

Test(policy, a_window_ends_when_its_time_is_over_and_no_more_alerts_come)
{
    static const struct {
        int64_t window_us, oldest_us, newest_us, left_us;
    } cases[] = {
        {0, 0, 0, 0},       {400, 0, 0, 400},  {400, 300, 300, 100}, {400, 400, 400, 0},
        {400, 400, 50, 50}, {400, 900, 99, 1}, {400, 900, 100, 0},   {400, 1590, 0, 10},
        {400, 1600, 0, 0},  {400, 9999, 0, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_expect_eq(
            policy_window_left_us(cases[i].window_us, cases[i].oldest_us, cases[i].newest_us),
            cases[i].left_us, "%zu", i);
    }
}
