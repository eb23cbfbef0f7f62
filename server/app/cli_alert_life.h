/*
 * cli_alert_life: `signalbox alert comment|assign|shelve|unshelve`, for cli_alert.c's table.
 */
#pragma once

#include "app/cli.h"

extern const struct cli_option alert_comment_options[];
extern const struct cli_option alert_assign_options[];
extern const struct cli_option alert_shelve_options[];
int alert_comment(const struct cli_call *c);
int alert_assign(const struct cli_call *c);
int alert_shelve(const struct cli_call *c);
int alert_unshelve(const struct cli_call *c);
