/*
 * alert_log: one JSON object a line, for people and programs that watch alerts; a file or standard
 * output.
 *
 * Each line is written with one write(), after the commit of what it tells. A file is continued:
 * its last complete line names the last event it has, so after a crash the missing ones are read
 * from the database and none comes twice. Threads: the core's, and alert_log_reopen() from any.
 */
#pragma once

#include "base/err.h"
#include "ingest/ingest.h"
#include "store/db.h"

struct alert_log;

NODISCARD enum err alert_log_open(const char *path,
                                  struct alert_log **ret_log); /* "-": standard output */
void alert_log_close(struct alert_log *log);
void alert_log_reopen(struct alert_log *log); /* after the file was moved away */
/* Writes what a file misses. Standard output has no memory: nothing is repeated there. */
NODISCARD enum err alert_log_catch_up(struct alert_log *log, struct db *db);
void alert_log_write(struct alert_log *log, const struct ingest_event *e);
