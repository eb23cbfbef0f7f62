/*
 * plan: one maintenance plan, read from its document and checked: which devices, what counts, when
 * it is due.
 *
 * Ownership: maintenance_plan_read() to maintenance_plan_free(); nothing changes in between.
 * Threads:   any.
 * Errors:    ERR_SYNTAX, ERR_TYPE, ERR_RANGE, ERR_LIMIT, ERR_UNKNOWN_NAME, ERR_NOMEM; ret_error
 * names the field by JSON pointer and says what is expected.
 * Limits:    8 triggers, texts of 256 bytes, an RRULE of 256 bytes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"
#include "rules/rule.h"

enum maintenance_kind {
    MAINTENANCE_RUN_HOURS, /* how long a condition on a metric held */
    MAINTENANCE_CYCLES,    /* how often it began to hold */
    MAINTENANCE_ENERGY,    /* by how much a register grew; counter and energy are the same */
    MAINTENANCE_COUNTER,
    MAINTENANCE_CALENDAR,  /* RFC 5545 recurrence rule */
    MAINTENANCE_CONDITION, /* an alert of a rule */
};

enum maintenance_compare {
    MAINTENANCE_NE,
    MAINTENANCE_EQ,
    MAINTENANCE_GT,
    MAINTENANCE_GE,
    MAINTENANCE_LT,
    MAINTENANCE_LE,
};

/* A value of a metric: a number (true is 1, false is 0) or a text. */
struct maintenance_value {
    double number; /* NaN for a text */
    struct view text;
};

enum { MAINTENANCE_TRIGGERS_MAX = 8, MAINTENANCE_KEY_SIZE = 480 };

struct maintenance_trigger {
    enum maintenance_kind kind;
    /* What it counts, in words: "run_hours rpm > 100". A plan that changes goes on counting where
     * its triggers have the same key. */
    char key[MAINTENANCE_KEY_SIZE];
    char *metric;
    enum maintenance_compare compare; /* RUN_HOURS, CYCLES */
    struct maintenance_value operand; /* its text belongs to the trigger */
    double every;                     /* hours, cycles, or in the metric's unit */
    double modulus;                   /* of a register that wraps; 0: none */
    char *rrule, *zone;
    char *start; /* local time of the first occurrence, "2026-01-25T02:00:00"; NULL: the last
                    service */
    char *rule;
};

struct maintenance_plan {
    char *name, *title;
    char *assignee; /* NULL: nobody */
    struct rule_selector *selector;
    int64_t due_soon_us;      /* so long before the forecast date it is due soon */
    int64_t overdue_after_us; /* so long after it became due it is overdue */
    int64_t max_gap_us;       /* at most so much of an interval between two samples counts */
    int64_t from_us;          /* counting begins; CLOCK_NONE: when the plan was made */
    uint32_t trigger_count;
    struct maintenance_trigger triggers[MAINTENANCE_TRIGGERS_MAX];
};

NODISCARD enum err maintenance_plan_read(struct view json, struct maintenance_plan **ret_plan,
                                         struct rule_error *ret_error);
void maintenance_plan_free(struct maintenance_plan *p); /* NULL is fine */

/* Does it count something in samples? */
bool maintenance_counts(const struct maintenance_trigger *t);
