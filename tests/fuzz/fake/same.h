/*
 * same: what has to be the same in each run of an input: OpenSSL's random numbers, and time() as
 * OpenSSL reads it.
 */
#pragma once

#include <stdint.h>

void same_random(uint64_t seed);          /* also the first call */
void same_time(int64_t (*seconds)(void)); /* seconds since 1970; NULL: stands still in 2026 */
