/*
 * backtest: what a rule would have done to recorded samples, by the engine that runs live and
 * without any effect.
 *
 * The caller opens devices and gives each one's samples in the order of (ts, received_at), or in
 * that of arrival: out of order within the lateness gives the same, as it does live. A second rule,
 * the active version, may run beside the candidate over the same samples. Both are judged in the
 * period [from, to): alerts that fire in it are counted, samples before it warm the rules up. What
 * happens at or after `to` is not known yet: an alert that ends later is open.
 *
 * Ownership: backtest_new() to backtest_free(); rules and devices are held as long as needed,
 *            samples are borrowed during the call.
 * Threads:   one at a time; backtest_progress() from any thread.
 * Errors:    sticky: ERR_NOMEM, or ERR_STATE when a sample came later than the lateness.
 * Limits:    lists in the report have at most `items_max` items each, the counts are whole; a
 *            device with more than BACKTEST_COMPARED_MAX alerts is ERR_LIMIT.
 */
#pragma once

#include "base/emit_json.h"
#include "model/device.h"
#include "model/sample.h"
#include "rules/rule.h"

enum { BACKTEST_COMPARED_MAX = 1000000 };

/* Borrowed during the call. */
typedef void (*backtest_target_fn)(void *arg, const char *device);

struct backtest_setup {
    struct rule *candidate;
    int32_t version;           /* of it, for explanations */
    struct rule *against;      /* NULL: nothing to compare with */
    const char *against_words; /* "version 3", "history"; borrowed; NULL: no comparison */
    bool by_selector;          /* each rule runs for the devices that it selects; else for all */
    int64_t from_us, to_us;    /* CLOCK_NONE: open */
    int64_t lateness_us;       /* how far samples may be out of order; 0: they are in order */
    int64_t flap_us;           /* fires again so soon after the alert before: a flap */
    uint32_t items_max;        /* of each list */
    /* The devices that a command would have gone to; NULL: only those that the rule names. */
    void (*targets)(void *arg, const struct rule_action *a, const struct device *d,
                    backtest_target_fn each, void *each_arg);
    /* When the device was heard of next after its newest sample: till then it was silent. NULL, or
     * CLOCK_NONE: at once. */
    int64_t (*heard_next)(void *arg, const struct device *d, int64_t newest_us);
    void *arg;
};

struct backtest;

NODISCARD struct backtest *backtest_new(const struct backtest_setup *setup); /* NULL: no memory */
void backtest_free(struct backtest *b);

struct backtest_device; /* one that is open */

/* Its samples start after begin_us (CLOCK_NONE: with its first one ever); then baselines must be
 * seeded as with engine_baseline_seed(). */
NODISCARD enum err backtest_open(struct backtest *b, struct device *d, int64_t begin_us,
                                 struct backtest_device **ret_device);
bool backtest_baseline_wanted(const struct backtest_device *d, uint32_t at, int32_t *ret_metric,
                              int64_t *ret_count);
NODISCARD enum err backtest_baseline_seed(struct backtest_device *d, int32_t metric,
                                          const double *values, uint32_t count);
/* received_us: when it arrived, which orders samples of the same time and tells how long the device
 * was silent before; CLOCK_NONE with all samples of a device: in the order of the calls, at once.
 */
NODISCARD enum err backtest_sample(struct backtest_device *d, const struct sample *s,
                                   int64_t received_us);

/* An alert of history to compare the candidate with, instead of a second rule: before the close, in
 * order of firing. */
struct backtest_alert {
    int64_t since_us, fired_us, resolved_us; /* CLOCK_NONE: open */
    double value;                            /* NaN: none */
    enum severity severity;                  /* at its end, or now */
    const char *summary;                     /* borrowed during the call; NULL: not compared */
};
NODISCARD enum err backtest_recorded(struct backtest_device *d, const struct backtest_alert *a);
/* Where the candidate is with this device, asked at at_us, as members of an object that the caller
 * opened. ERR_NOT_FOUND: it does not select the device. */
NODISCARD enum err backtest_explain(struct backtest_device *d, int64_t at_us, struct emit_json *j);
/* What the device did goes into the report. */
NODISCARD enum err backtest_close(struct backtest_device *d);
enum err backtest_err(const struct backtest *b);      /* what ended it; ERR_OK: nothing */
uint64_t backtest_progress(const struct backtest *b); /* samples so far, now and then */

/* What the candidate would have done, and the difference. */
struct backtest_counts {
    uint64_t devices, samples, evaluations;
    uint64_t alerts, flaps, pending_resets, commands;
    uint64_t added, removed, changed; /* against the other rule or history */
};
struct backtest_counts backtest_counts(const struct backtest *b);
/* The members of the report, into an object that the caller opened. */
void backtest_report(struct backtest *b, struct emit_json *j);
