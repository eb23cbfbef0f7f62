/*
 * internal: what the files of maintenance share. All of it is the worker's thread's, except where
 * said.
 */
#pragma once

#include <stdatomic.h>

#include "base/ticket.h"
#include "loop/worker.h"
#include "maintenance/due.h"
#include "maintenance/maintenance.h"

struct maintenance {
    const struct conf *conf;
    struct catalog *catalog;
    struct ingest *ingest;
    struct worker *worker;
    struct mail tick;
    struct db *db; /* NULL: not connected */
    int64_t next_round_us;
    atomic_bool poked, stopping; /* any thread */
    atomic_bool announcing;      /* events are on their way through the core */
    struct ticket announced;
};

/* A plan as the database has it. */
struct round_plan {
    int32_t id;
    int64_t version;
    int64_t created_us;
    struct maintenance_plan *plan;
};

/* A device's row, or what a new one begins with. */
struct round_device {
    int32_t id;
    int64_t version;      /* 0: no row yet */
    int64_t plan_version; /* of the plan it was computed for */
    int64_t since_us, after_us, newest_us;
    enum maintenance_status status;
    struct maintenance_due due;
    int64_t counted_us; /* newest_us of the round that wrote the row */
    int64_t order_id;   /* opened since the last service; 0: none */
};

/* What a device's triggers counted, in the order of the plan's. */
struct tally {
    struct maintenance_count settled[MAINTENANCE_TRIGGERS_MAX]; /* until settled_us: for good */
    struct maintenance_count shown[MAINTENANCE_TRIGGERS_MAX];   /* with what came since */
    int64_t settled_us[MAINTENANCE_TRIGGERS_MAX];
    bool fresh[MAINTENANCE_TRIGGERS_MAX];       /* nothing is stored of it yet */
    int64_t fired_us[MAINTENANCE_TRIGGERS_MAX]; /* of conditions; CLOCK_NONE: not since */
    int64_t newest_us;
};

/* tally.c */
/* lateness_us: so long after a sample's time an earlier one may come and still count. */
NODISCARD enum err tally_make(struct db *db, const struct round_plan *plan,
                              const struct round_device *device, int64_t lateness_us,
                              struct tally *ret_tally);

/* round.c: all plans once */
NODISCARD enum err round_run(struct maintenance *m);

/* keep.c */
/* Writes what a round found, in one transaction, and what follows: a work order, events. ERR_SKIP:
 * somebody changed the device's row meanwhile; the next round sees what it is now. */
NODISCARD enum err keep(struct maintenance *m, const struct round_plan *plan,
                        const struct round_device *before, const struct tally *t,
                        const struct maintenance_due *due);

#define ROUND_US(x) "(extract(epoch FROM " x ") * 1000000)::bigint"
