/*
 * faults: what goes wrong in a run.
 */
#pragma once

#include "sim.h"

void faults_start(void);
void faults_end(void); /* PostgreSQL is up from here on */
