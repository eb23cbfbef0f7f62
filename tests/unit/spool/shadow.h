/*
 * shadow: system calls for the spool that work on a real folder and keep a model of what would be
 * left of it after a power cut; and that fail when told.
 *
 * The model: a write counts when its file was synced, before that each 512-byte sector of it may
 * have arrived or not. A failed sync is final: what it should have written arrived in part, and a
 * later sync does not make it good; when it is the only fault of the run, the sectors may be
 * ruined, with what was in them before. Names count when the folder was synced, before that the
 * first few changes of them may have arrived.
 *
 * One at a time: the state is static, as the calls have no place for a context. Threads: one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "spool/io.h"

enum shadow_fault {
    SHADOW_FAIL,       /* the call fails and has no effect */
    SHADOW_HALF,       /* a write writes half and then fails; others as SHADOW_FAIL */
    SHADOW_SHORT_WRITE /* a write writes half and says so; no failure */
};

void shadow_reset(uint64_t seed);
/* The n-th call from now on (1 is the next) fails with this errno; `lasting`: all after it too. */
void shadow_fail_at(long n, int error, enum shadow_fault how, bool lasting);
/* Before the n-th call the power goes: what is left appears in folder `to`, which exists; this and
 * all later calls fail. */
void shadow_cut_at(long n, const char *to);
void shadow_cut_now(const char *to);
bool shadow_is_cut(void);
long shadow_calls(void); /* since shadow_reset() */
extern const struct spool_io SHADOW_IO;
