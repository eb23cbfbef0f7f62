/*
 * help: plans written with ' for " , and samples in few words.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#include <criterion/criterion.h>

#include "base/clock.h"
#include "maintenance/due.h"

#define H   CLOCK_HOUR_US
#define MIN CLOCK_MINUTE_US
#define DAY CLOCK_DAY_US

/* {"name":"p","title":"Service","select":"type=pump",<fields>}; aborts when it is no plan. */
struct maintenance_plan *help_plan(const char *fields);
enum err help_read(const char *document, struct maintenance_plan **ret_plan,
                   struct rule_error *ret_error);
int64_t help_time(const char *text);
