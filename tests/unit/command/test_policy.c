#include <criterion/criterion.h>

#include "command/policy.h"

#define S   CLOCK_SECOND_US
#define MIN CLOCK_MINUTE_US

/* One wish; what it becomes is told to the policy as the core does. Returns '+' now, '~' later, '-'
 * never. */
static char wish(struct command_policy *p, int64_t now_us, const char *method, int64_t interval_us,
                 const char *hold, int64_t hold_us, int64_t id, struct command_verdict *ret_verdict)
{
    struct command_hold h = {.method = hold, .us = hold_us};
    struct command_wish w = {.device_id = 7,
                             .method = method,
                             .min_interval_us = interval_us,
                             .holds = &h,
                             .hold_count = hold != NULL};
    cr_assert_eq(command_policy_judge(p, &w, now_us, ret_verdict), ERR_OK);
    for (uint32_t i = 0; i < ret_verdict->replace_count; i++) {
        command_policy_dropped(p, 7, ret_verdict->replaces[i]);
    }
    if (ret_verdict->answer == COMMAND_NEVER) {
        cr_expect_neq(ret_verdict->reason[0], '\0');
        return '-';
    }
    command_policy_taken(p, &w, id, now_us, now_us + ret_verdict->wait_us);
    return ret_verdict->answer == COMMAND_NOW ? '+' : '~';
}

Test(policy, an_interval_suppresses)
{
    struct command_policy *p = command_policy_new(0);
    struct command_verdict v;
    cr_expect_eq(wish(p, 0, "stop", MIN, NULL, 0, 1, &v), '+');
    cr_expect_eq(wish(p, 59 * S, "stop", MIN, NULL, 0, 2, &v), '-');
    cr_expect_eq(wish(p, 59 * S, "start", MIN, NULL, 0, 3, &v), '+', "another method");
    cr_expect_eq(wish(p, 60 * S, "stop", MIN, NULL, 0, 4, &v), '+', "it counts from the last sent");
    cr_expect_eq(wish(p, 119 * S, "stop", 0, NULL, 0, 5, &v), '+', "nobody asked for one");
    command_policy_free(p);
}

/* A compressor: at least 5 minutes on, at least 3 off. */
Test(policy, minimum_on_and_off_times)
{
    struct command_policy *p = command_policy_new(0);
    struct command_verdict v;
    cr_expect_eq(wish(p, 0, "start", 0, "stop", 3 * MIN, 1, &v), '+');
    cr_expect_eq(wish(p, MIN, "stop", 0, "start", 5 * MIN, 2, &v), '~');
    cr_expect_eq(v.wait_us, 4 * MIN, "on for 5 minutes");
    cr_expect_eq(wish(p, 2 * MIN, "stop", 0, "start", 5 * MIN, 3, &v), '-', "one waits already");
    cr_expect_eq(wish(p, 7 * MIN, "start", 0, "stop", 3 * MIN, 4, &v), '~');
    cr_expect_eq(v.wait_us, MIN, "it was stopped at 5, and stands until 8");
    command_policy_free(p);
}

Test(policy, the_newest_decision_wins)
{
    struct command_policy *p = command_policy_new(0);
    struct command_verdict v;
    cr_expect_eq(wish(p, 0, "start", 0, NULL, 0, 1, &v), '+');
    cr_expect_eq(wish(p, MIN, "stop", 0, "start", 5 * MIN, 2, &v), '~');
    cr_expect_eq(wish(p, 2 * MIN, "start", 0, "stop", 3 * MIN, 3, &v), '+');
    cr_assert_eq(v.replace_count, 1, "the stop that waited is not wanted any more");
    cr_expect_eq(v.replaces[0], 2);
    cr_expect_eq(wish(p, 3 * MIN, "stop", 0, "start", 5 * MIN, 4, &v), '~');
    cr_expect_eq(v.wait_us, 4 * MIN, "the newest start counts");
    command_policy_free(p);
}

Test(policy, rules_that_undo_each_other_are_stopped)
{
    struct command_policy *p = command_policy_new(3);
    struct command_verdict v;
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(wish(p, i * S, "on", 0, NULL, 0, i + 1, &v), '+');
    }
    cr_expect_eq(wish(p, 3 * S, "on", 0, NULL, 0, 4, &v), '-');
    cr_expect(v.tripped, "told once");
    cr_expect_not(v.quiet, "and written");
    cr_expect_eq(wish(p, 4 * S, "on", 0, NULL, 0, 5, &v), '-');
    cr_expect_not(v.tripped);
    cr_expect(v.quiet, "the further ones are counted only");
    cr_expect_eq(v.until_us, 3 * S + COMMAND_GUARD_PAUSE_US);
    cr_expect_eq(wish(p, 4 * S, "off", 0, NULL, 0, 6, &v), '+', "each method by itself");
    cr_expect_eq(wish(p, 3 * S + COMMAND_GUARD_PAUSE_US - 1, "on", 0, NULL, 0, 7, &v), '-');
    cr_expect_eq(wish(p, 3 * S + COMMAND_GUARD_PAUSE_US, "on", 0, NULL, 0, 8, &v), '+');
    for (int64_t at = COMMAND_GUARD_PAUSE_US + MIN; at < COMMAND_GUARD_PAUSE_US + 60 * MIN;
         at += 20 * S) {
        cr_expect_eq(wish(p, at + MIN, "on", 0, NULL, 0, 9, &v), '+', "three a minute for an hour");
    }
    command_policy_free(p);
}

Test(policy, a_person_takes_over_for_a_while)
{
    struct command_policy *p = command_policy_new(0);
    struct command_verdict v;
    cr_assert_eq(command_policy_override(p, 7, "stop", "anna", 10 * MIN), ERR_OK);
    cr_expect_eq(wish(p, 0, "stop", 0, NULL, 0, 1, &v), '-');
    cr_expect_str_eq(v.reason, "manual override by anna for another 10m");
    cr_expect_eq(wish(p, 0, "start", 0, NULL, 0, 2, &v), '+', "that method only");
    cr_expect_eq(wish(p, 10 * MIN, "stop", 0, NULL, 0, 3, &v), '+', "it ends by itself");
    cr_assert_eq(command_policy_override(p, 7, "", "bert", 20 * MIN), ERR_OK);
    cr_expect_eq(wish(p, 11 * MIN, "start", 0, NULL, 0, 4, &v), '-', "all methods");
    cr_assert_eq(command_policy_override(p, 7, "", "bert", 12 * MIN), ERR_OK);
    cr_expect_eq(wish(p, 12 * MIN, "start", 0, NULL, 0, 5, &v), '+', "given back");
    command_policy_free(p);
    command_policy_free(NULL);
}

/* Else each of thousands of wishes would be written while a person has the method. */
Test(policy, the_guard_counts_what_is_forbidden_otherwise)
{
    struct command_policy *p = command_policy_new(3);
    struct command_verdict v;
    cr_assert_eq(command_policy_override(p, 7, "stop", "anna", 10 * MIN), ERR_OK);
    for (int i = 0; i < 5; i++) {
        cr_expect_eq(wish(p, i, "stop", 0, NULL, 0, 1, &v), '-');
        cr_expect_eq(v.tripped, i == 3);
        cr_expect_eq(v.quiet, i > 3);
    }
    command_policy_free(p);
}

/* What waits, and what was sent, comes back from the database as the core tells it. */
Test(policy, a_restart_changes_nothing)
{
    struct command_policy *p = command_policy_new(0);
    struct command_verdict v;
    struct command_hold h = {.method = "start"};
    command_policy_taken(p, &(struct command_wish){.device_id = 7, .method = "start"}, 0, 0, -MIN);
    command_policy_taken(
        p, &(struct command_wish){.device_id = 7, .method = "stop", .holds = &h, .hold_count = 1},
        9, 0, 4 * MIN);
    cr_expect_eq(wish(p, MIN, "stop", 0, "start", 5 * MIN, 10, &v), '-');
    cr_expect_eq(wish(p, 2 * MIN, "start", 0, NULL, 0, 11, &v), '+');
    cr_assert_eq(v.replace_count, 1);
    cr_expect_eq(v.replaces[0], 9);
    command_policy_free(p);
}
