/*
 * compiled: the inside of a rule, for this module: what document.c fills and the engine reads.
 */
#pragma once

#include <stdatomic.h>

#include "base/zone.h"
#include "rules/program.h"
#include "rules/summary.h"

struct rule {
    atomic_int holds;
    char *name;
    char *description;
    struct rule_selector *selector;
    struct rule_inputs
        inputs;             /* those of when and clear first, then those only the summary shows */
    uint32_t trigger_count; /* how many of them are of when and clear */
    struct rule_program when;
    struct rule_program clear; /* no steps: cleared as soon as `when` is false */
    int64_t for_us;
    int64_t clear_for_us;
    int64_t max_gap_us; /* 0: none */
    int64_t lateness_us;
    enum severity severity;
    enum rule_mode mode;
    struct zone *zone; /* NULL: UTC */
    struct rule_summary summary;
    struct rule_action *actions;
    uint32_t action_count;
};

void rule_free(struct rule *r); /* also a half-made one */
