/*
 * fleet: `signalbox fleet`: simulated and replayed devices, as a client of the server and of
 * nothing else inside it.
 *
 * Threads: one; it runs its own loop until the work is done or SIGINT.
 */
#pragma once

/* argv[0] is "fleet". Returns the exit code: 0 all acknowledged, 1 not all, 2 wrong usage. */
int fleet_main(int argc, char **argv);
