/*
 * backtests: rules run over stored history, as jobs. Two run at once, on threads and connections of
 * their own, so that neither the core nor the requests wait for them; some wait in line.
 *
 * Ownership: api_backtests_new() to api_backtests_free(); a job is counted. What it found is kept
 * in memory until BACKTESTS_KEPT newer ones have ended, or the server stops. Threads:   any; a lock
 * of its own. Limits:    a time limit for each, BACKTESTS_QUEUED waiting, a report of 64 MiB.
 */
#pragma once

#include "api/waits.h"
#include "backtest/backtest.h"
#include "catalog/catalog.h"

enum { BACKTESTS_RUNNING = 2, BACKTESTS_QUEUED = 8, BACKTESTS_KEPT = 32 };

struct api_backtests;

enum api_backtest_state {
    BACKTEST_QUEUED,
    BACKTEST_RUNNING,
    BACKTEST_DONE,
    BACKTEST_FAILED,
    BACKTEST_CANCELLED,
};

/* What is to be done. Rules, devices and the array are taken over. */
struct api_backtest_order {
    char rule[129];
    char owner[129]; /* name of the token */
    bool unlimited;  /* it sees all devices */
    struct rule *candidate;
    struct rule *against; /* NULL: with history */
    int64_t version;      /* of the candidate; 0: not a stored one */
    int64_t against_version;
    bool with_history; /* compare with the alerts that are stored */
    struct device **devices;
    uint32_t device_count;
    int64_t from_us, to_us;
    int64_t begin_us; /* samples from here on; CLOCK_NONE: all */
    int64_t flap_us, limit_us;
    uint32_t items_max;
};
void api_backtest_order_fini(struct api_backtest_order *o);

NODISCARD struct api_backtests *api_backtests_new(struct api *a);
void api_backtests_stop(struct api_backtests *all); /* cancels what runs, ends the threads */
void api_backtests_free(struct api_backtests *all);

/* Takes the order over on ERR_OK. ERR_FULL: too many wait. */
NODISCARD enum err api_backtests_start(struct api_backtests *all, struct api_backtest_order *o,
                                       int64_t *ret_id);
/* Writes the job as a JSON object, with the report when it is done. ERR_NOT_FOUND: unknown, or not
 * for this token. */
NODISCARD enum err api_backtests_write(struct api_backtests *all, const struct api_request *r,
                                       int64_t id, struct buf *out, bool *ret_ended);
NODISCARD enum err api_backtests_cancel(struct api_backtests *all, const struct api_request *r,
                                        int64_t id);
/* All that the token may see, newest first, without reports: the items of a list. */
void api_backtests_list(struct api_backtests *all, const struct api_request *r,
                        struct emit_json *j);
