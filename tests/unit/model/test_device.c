#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "base/check.h"
#include "model/alert.h"
#include "model/command.h"
#include "model/device.h"

static struct device_type *type_of(const int32_t *metrics, uint32_t count)
{
    struct device_type *t = device_type_new();
    cr_assert_not_null(t);
    t->name = strdup("motor");
    t->metrics = calloc(count + 1, sizeof(*t->metrics));
    cr_assert_not_null(t->metrics);
    for (uint32_t i = 0; i < count; i++) {
        t->metrics[i].metric = metrics[i];
        t->metrics[i].name = strdup("m");
        t->metrics[i].unit = strdup("");
        t->metrics[i].missing = calloc(2, sizeof(double));
        t->metrics[i].missing_count = 2;
    }
    t->metric_count = count;
    t->commands = calloc(1, sizeof(char *));
    cr_assert_not_null(t->commands);
    t->commands[0] = strdup("stop");
    t->command_count = 1;
    return t;
}

Test(device_type, finds_its_metrics)
{
    static const int32_t metrics[] = {3, 8, 20, 21};
    struct device_type *t = type_of(metrics, COUNT_OF(metrics));
    for (int32_t m = -1; m < 30; m++) {
        const struct metric_spec *spec = device_type_metric(t, m);
        bool declared = m == 3 || m == 8 || m == 20 || m == 21;
        cr_expect_eq(spec != NULL, declared, "metric %d", m);
        cr_expect(spec == NULL || spec->metric == m);
    }
    device_type_drop(t);
    t = type_of(NULL, 0);
    cr_expect_null(device_type_metric(t, 1));
    device_type_drop(t);
    device_type_drop(NULL);
}

/* A leak or a second free shows under the sanitizer. */
Test(device, holds_its_type_and_frees_everything_with_the_last_hold)
{
    static const int32_t metrics[] = {1};
    struct device_type *t = type_of(metrics, 1);
    struct device *d = device_new();
    cr_assert_not_null(d);
    cr_expect(d->enabled);
    d->name = strdup("pump-7");
    d->type = t; /* gives its hold to the device */
    d->labels = calloc(2, sizeof(*d->labels));
    d->attributes = calloc(1, sizeof(*d->attributes));
    cr_assert(d->labels != NULL && d->attributes != NULL);
    d->labels[0] = (struct device_pair){strdup("line"), strdup("3"), 3};
    d->labels[1] = (struct device_pair){strdup("site"), strdup("plant-1"), 0};
    d->label_count = 2;
    d->attributes[0] = (struct device_pair){strdup("limit"), strdup("80"), 80};
    d->attribute_count = 1;
    device_type_hold(t);
    device_hold(d);
    cr_expect_str_eq(device_label(d, VIEW("site")), "plant-1");
    cr_expect_str_eq(device_label(d, VIEW("line")), "3");
    cr_expect_null(device_label(d, VIEW("sit")));
    cr_expect_null(device_label(d, VIEW("limit")));
    cr_expect_eq(device_attribute(d, VIEW("limit"))->number, 80.0);
    cr_expect_null(device_attribute(d, VIEW("")));
    device_drop(d);
    cr_expect_str_eq(d->name, "pump-7", "one hold is left");
    device_drop(d);
    cr_expect_str_eq(t->name, "motor", "the type outlives the device by our hold");
    device_type_drop(t);
    device_drop(NULL);
}

/* ---- words ---- */

Test(words, severities_and_states_read_back)
{
    static const char *const severities[] = {"critical", "major", "minor", "warning", "info"};
    for (size_t i = 0; i < COUNT_OF(severities); i++) {
        enum severity s = SEVERITY_INFO;
        cr_expect_str_eq(severity_words((enum severity)i), severities[i]);
        cr_expect(severity_parse(view_str(severities[i]), &s));
        cr_expect_eq((size_t)s, i, "worst first");
    }
    enum severity s = SEVERITY_MINOR;
    cr_expect_not(severity_parse(VIEW("Critical"), &s));
    cr_expect_not(severity_parse(VIEW(""), &s));
    cr_expect_eq(s, SEVERITY_MINOR);
    cr_expect_str_eq(alert_state_words(ALERT_PENDING), "pending");
    cr_expect_str_eq(alert_state_words(ALERT_FIRING), "firing");
    cr_expect_str_eq(alert_state_words(ALERT_RESOLVED), "resolved");
    cr_expect_str_eq(alert_state_words(ALERT_RETRACTED), "retracted");
}

Test(command_state, words_read_back)
{
    for (int i = 0; i < COMMAND_STATE_COUNT; i++) {
        enum command_state s = COMMAND_STATE_COUNT;
        cr_expect(command_state_parse(view_str(command_state_words((enum command_state)i)), &s));
        cr_expect_eq((int)s, i);
    }
    enum command_state s = COMMAND_SENT;
    cr_expect_not(command_state_parse(VIEW("done"), &s));
    cr_expect_eq(s, COMMAND_SENT);
}

Test(command_state, nothing_leaves_a_final_state)
{
    static const enum command_state final[] = {
        COMMAND_SUCCEEDED, COMMAND_FAILED,    COMMAND_REJECTED,  COMMAND_EXPIRED,
        COMMAND_CANCELLED, COMMAND_TIMED_OUT, COMMAND_SUPPRESSED};
    for (int from = 0; from < COMMAND_STATE_COUNT; from++) {
        bool is_final = false;
        for (size_t i = 0; i < COUNT_OF(final); i++) {
            is_final = is_final || (int) final[i] == from;
        }
        cr_expect_eq(command_is_final((enum command_state)from), is_final);
        for (int to = 0; is_final && to < COMMAND_STATE_COUNT; to++) {
            cr_expect_not(command_may_move((enum command_state)from, (enum command_state)to));
        }
    }
}

Test(command_state, the_moves_are_those_of_the_design)
{
    static const struct {
        enum command_state from, to;
    } moves[] = {
        {COMMAND_QUEUED, COMMAND_SENT},         {COMMAND_QUEUED, COMMAND_EXPIRED},
        {COMMAND_QUEUED, COMMAND_CANCELLED},    {COMMAND_SENT, COMMAND_SENT}, /* sent again */
        {COMMAND_SENT, COMMAND_DELIVERED},      {COMMAND_SENT, COMMAND_SUCCEEDED},
        {COMMAND_SENT, COMMAND_FAILED},         {COMMAND_SENT, COMMAND_REJECTED},
        {COMMAND_SENT, COMMAND_EXPIRED},        {COMMAND_SENT, COMMAND_CANCELLED},
        {COMMAND_DELIVERED, COMMAND_SUCCEEDED}, {COMMAND_DELIVERED, COMMAND_FAILED},
        {COMMAND_DELIVERED, COMMAND_REJECTED},  {COMMAND_DELIVERED, COMMAND_TIMED_OUT},
        {COMMAND_DELIVERED, COMMAND_CANCELLED},
    };
    for (int from = 0; from < COMMAND_STATE_COUNT; from++) {
        for (int to = 0; to < COMMAND_STATE_COUNT; to++) {
            bool allowed = false;
            for (size_t i = 0; i < COUNT_OF(moves); i++) {
                allowed = allowed || ((int)moves[i].from == from && (int)moves[i].to == to);
            }
            cr_expect_eq(command_may_move((enum command_state)from, (enum command_state)to),
                         allowed, "%s -> %s", command_state_words((enum command_state)from),
                         command_state_words((enum command_state)to));
        }
    }
}
