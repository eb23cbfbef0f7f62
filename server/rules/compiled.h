/*
 * compiled: the inside of a rule, for this module: what document.c fills and the engine reads.
 */
#pragma once

#include <stdatomic.h>

#include "base/clock.h"
#include "rules/calendar.h"
#include "rules/program.h"
#include "rules/summary.h"

enum { RULE_LEVELS_MAX = 5 }; /* as many as there are severities */

#define RULE_PERIOD_MAX_US (366 * CLOCK_DAY_US)

/* One severity of a rule: its own conditions and times. */
struct rule_level {
    enum severity severity;
    struct rule_program when;
    struct rule_program clear; /* no steps: cleared as soon as `when` is false */
    int64_t for_us;
    int64_t clear_for_us;
};

struct rule {
    atomic_int holds;
    char *name;
    char *description;
    struct rule_selector *selector;
    struct rule_inputs
        inputs;             /* those of when and clear first, then those only the summary shows */
    uint32_t trigger_count; /* how many of them are of when and clear */
    struct rule_level levels[RULE_LEVELS_MAX]; /* the worst severity first */
    uint32_t level_count;                      /* a rule without `severities` has one */
    int64_t max_gap_us;                        /* 0: none */
    int64_t cooldown_us;                       /* 0: none */
    int64_t lateness_us;
    int64_t correct_us; /* later samples that still correct what was said; 0: none */
    struct rule_calendar calendar;
    enum rule_mode mode;
    struct rule_summary summary;
    struct rule_action *actions;
    uint32_t action_count;
};

void rule_free(struct rule *r); /* also a half-made one */
