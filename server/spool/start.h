/*
 * start: spool_open() with other system calls, for tests.
 */
#pragma once

#include "spool/io.h"
#include "spool/spool.h"

NODISCARD enum err spool_open_with(const char *dir, const struct spool_limits *limits,
                                   const struct spool_io *io, struct spool **ret_spool);
