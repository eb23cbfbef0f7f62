/*
 * internal: what the files of this module share.
 */
#pragma once

#include <stdatomic.h>

#include "backtest/backtest.h"
#include "base/arena.h"
#include "rules/engine.h"

/* An alert of a device that is open. */
struct found {
    int64_t alert_id;
    int64_t since_us, fired_us, resolved_us;
    double value;
    enum severity severity, worst;
    int64_t severity_at_us;
    char *summary; /* NULL: not known */
};

struct found_list {
    struct found *items;
    uint32_t count, cap;
};

/* An alert that the report lists; names and texts live in backtest.kept. */
struct listed {
    const char *device;
    const struct rule *rule;
    struct found is;
    struct found was; /* of one that changed */
};

struct listed_list {
    struct listed *items;
    uint32_t count, cap;
};

struct command {
    const char *device; /* NULL: the selector's, which is not resolved */
    const char *cause;  /* the device of the alert */
    int64_t ts_us;
    const struct rule_action *action;
};

struct tally { /* of one device */
    const char *device;
    uint64_t samples, alerts, flaps, pending_resets, commands;
    int64_t firing_us, longest_us;
};

struct backtest_device {
    struct backtest *b;
    struct backtest_device *next, **back; /* of those that are open */
    struct device *device;
    const char *name; /* in kept */
    struct engine *engine;
    int64_t seq;
    int64_t newest_us; /* time of the newest sample, */
    int64_t heard_us;  /* and when something arrived last; CLOCK_NONE: not yet, or not known */
    uint32_t gathered;
    struct tally tally;
    struct found_list candidate, other;
};

struct backtest {
    struct backtest_setup setup;
    struct backtest_counts counts;
    uint64_t same;
    atomic_ullong progress; /* counts.samples, for other threads */
    enum err err;

    struct arena events; /* of one run of one engine */
    struct engine_out out;
    int64_t next_alert_id;
    struct backtest_device *open; /* a list */

    /* the report */
    struct arena kept;
    struct listed_list alerts, added, removed, changed;
    struct command *commands;
    uint32_t command_count, command_cap;
    struct tally *tallies; /* of devices with alerts */
    uint32_t tally_count, tally_cap;
};

/* Room for one more; false: no memory. */
bool backtest_room(void **items, uint32_t count, uint32_t *cap, size_t size);
const char *backtest_keep(struct backtest *b, const char *text); /* NULL: no memory */
NODISCARD enum err backtest_list(struct backtest_device *d, struct listed_list *list,
                                 const struct listed *item);
/* compare.c: what differs between `candidate` and `other` of the device. */
void backtest_compare(struct backtest_device *d);
