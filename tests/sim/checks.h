/*
 * checks: the invariants. Each prints what is broken and ends the program.
 */
#pragma once

#include "pg.h"

void check_life_begins(void);
void check_row(const struct pg_sample *row);            /* a row that was just inserted */
void check_commit(void);                                /* after each transaction */
void check_budget(void);                                /* after each step */
void check_event(const struct ingest_event *e);         /* an announcement */
void check_sent(int64_t command_id, int32_t device_id); /* a command's packet leaves the server */
void check_quiet(void);                                 /* nothing is under way */
void check_end(void);                                   /* the whole history */
bool checks_commands_open(void);

/* oracle.c: alerts as one run of the engine over the sorted samples has them. */
void check_alerts(void);
