/*
 * pg: a model of the database: the tables the core writes, with their keys and unique indexes, and
 * the state of the server behind them (up, down, hung). All of it outlives the server.
 */
#pragma once

#include "sim.h"
#include "store/batch_internal.h"

struct pg_sample {
    int64_t ts_us, received_us;
    int32_t device_id, digest, flags, shape;
    uint32_t count; /* numeric values */
    double *values;
    char *extra; /* JSON, or NULL */
};

struct pg_samples { /* of one device, by (ts, received) */
    struct pg_sample **items;
    uint32_t count, cap;
};

struct pg_shape {
    int32_t id;
    uint32_t count;
    int32_t *metrics;
};

struct pg_alert {
    int64_t id;
    int32_t rule_id, device_id;
    char state[16], severity[16], worst[16];
    int64_t since_us, fired_us, resolved_us, severity_us;
    double value;
    bool acknowledged;
    uint32_t history; /* rows of alert_events */
    uint32_t notices; /* rows of the outbox that tell that it fires */
};

struct pg_command {
    int64_t id, alert_id;
    int32_t device_id;
    char *method, *params, *origin, *key;
    int state, attempt;
    int64_t created_us, expires_us;
    uint32_t history;
    uint8_t states[24]; /* of the history, in order */
    uint32_t executed;  /* by the device: not a column, kept here for the checks */
};

struct pg_work_order {
    int64_t id, alert_id;
    int32_t rule_id, device_id;
    int raises;
    char title[48];
};

struct pg_session {
    int32_t device_id;
    char client_id[32];
    char *filters;
    int64_t expiry_s, updated_us;
};

struct pg_state {
    bool there;
    int64_t watermark_us, seen_us;
    uint8_t *rules;
    uint32_t rules_len; /* UINT32_MAX: null */
};

struct pg_latest {
    int32_t device_id, metric;
    int64_t ts_us;
    double value;
    char *extra;
};

struct pg_event {
    int64_t id;
    int32_t device_id;
    char kind[40];
};

#define PG_TABLE(type)       \
    struct {                 \
        type *items;         \
        uint32_t count, cap; \
    }

struct pg {
    /* the server */
    bool down;
    int64_t hung_until_us;
    int64_t seq;     /* of the writer's lane */
    int64_t slow_us; /* what a commit takes, usually */
    /* tables */
    struct pg_samples samples[SIM_DEVICES_MAX + 1];
    PG_TABLE(struct pg_shape) shapes;
    PG_TABLE(char *) metrics; /* by id - 1; NULL: no such row */
    PG_TABLE(struct pg_alert) alerts;
    PG_TABLE(struct pg_command) commands;
    PG_TABLE(struct pg_work_order) work_orders;
    PG_TABLE(struct pg_session) sessions;
    PG_TABLE(struct pg_latest) latest;
    PG_TABLE(struct pg_event) events;
    PG_TABLE(char *) rejected; /* device, newline, payload */
    PG_TABLE(struct partition_range) partitions;
    struct pg_state states[SIM_DEVICES_MAX + 1];
    char *reported[SIM_DEVICES_MAX + 1];
    bool timers[SIM_DEVICES_MAX + 1];
    int64_t boundary_us;
};

/* Room for one more at the end; the new item is zeroed. */
void *pg_room(void *items, uint32_t *count, uint32_t *cap, size_t size);
#define PG_ADD(table)                                                                        \
    ((table)->items =                                                                        \
         pg_room((table)->items, &(table)->count, &(table)->cap, sizeof((table)->items[0])), \
     &(table)->items[(table)->count - 1])

struct pg *pg_new(void);
void pg_free(struct pg *pg);
struct pg_alert *pg_alert(struct pg *pg, int64_t id);
struct pg_command *pg_command(struct pg *pg, int64_t id);
const struct pg_shape *pg_shape(const struct pg *pg, int32_t id);
const char *pg_metric(const struct pg *pg, int32_t id); /* NULL: no such row */

/* Partitions are made in a transaction of their own. */
void pg_make_partitions(struct pg *pg, const struct batch *b);
/* One transaction: all of the batch or, with ERR_EXISTS, nothing. Marks the rows' ends. */
NODISCARD enum err pg_commit(struct pg *pg, struct batch *b, bool careful);
/* pg_ops.c: one statement of the batch. */
void pg_run(struct pg *pg, const struct batch_op *op);

/* writer.c: a transaction that a dead server, or a lost connection, left behind ends now. */
void writer_ghost_ends(bool last_chance);
void writer_left_behind(struct writer *w);
void writer_forget_ghost(void);
void writer_connection_lost(struct writer *w);
/* The batch may be committed while a query of another connection is under way. */
void writer_overtakes(struct writer *w);
