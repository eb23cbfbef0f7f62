/*
 * tables: a small model of the tables that the writer commits to: samples with their key, the lane,
 * the session's own table for suspects. A statement that it does not know ends the run.
 *
 * Refused for their data: samples whose first number is 666 or more, operations called "poison …".
 */
#pragma once

#include "fake/pq.h"

enum { TABLES_STORED_MAX = 512, TABLES_INCOMING_MAX = 128 };

struct table_key {
    int64_t ts_us;
    int32_t device, digest;
};

struct pq_session {
    int pid;
    bool open;    /* in a transaction */
    bool stepped; /* holds the lane's row */
    int64_t seq;
    struct table_key added[TABLES_STORED_MAX];
    int added_count;
    struct table_key incoming[TABLES_INCOMING_MAX];
    double incoming_value[TABLES_INCOMING_MAX];
    int incoming_count;
};

struct tables {
    struct pq_session committed; /* `added`, `seq` */
    char owner[40];              /* of the lane */
    int batches;                 /* committed so far */
};
extern struct tables tables;

extern const struct pq_model tables_model;

bool tables_have(const struct pq_session *s, struct table_key k);
