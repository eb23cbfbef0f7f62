/*
 * timer: something that runs again and again on a loop, by the monotonic clock.
 *
 * Threads: loop_timer_start() before loop_start() or on the loop's thread; loop_timer_stop() on the
 * loop's thread or after loop_join(). Stopped timers free themselves.
 */
#pragma once

#include <stdint.h>

#include "loop/loop.h"

struct loop_timer;
NODISCARD struct loop_timer *loop_timer_start(struct loop *l, int64_t period_ms, loop_turn_fn fn,
                                              void *arg);
void loop_timer_stop(struct loop_timer *t); /* NULL is fine */
