/*
 * cli_backtest: `signalbox rule test`: what rules would have done, to a file or to stored history.
 *
 * The functions are verbs of a subcommand: they give exit codes and have said what is wrong.
 * Threads: one.
 */
#pragma once

#include <jansson.h>

#include "app/cli.h"

/* Rules in the files argv, over --data FILE.csv or the server's history. */
int cli_rule_test(const struct cli_call *c);
/* The rules over CSV files, without server or database; appends a report for each. */
int cli_backtest_files(const struct cli_call *c, json_t *rules, json_t *ret_reports);
/* The rules over stored history, by the server. */
int cli_backtest_server(const struct cli_call *c, json_t *rules, json_t *ret_reports);
/* A report for people; what it lists at most of each is `lines`. */
void cli_backtest_print(json_t *report, size_t lines);
