/*
 * worker: loop/worker.h without threads.
 */
#pragma once

#include <stdbool.h>

#include "loop/worker.h"

bool worker_run_one(void); /* false: nothing was posted */
void worker_forget_all(void);
