/*
 * explain: why a rule is where it is: what its conditions say, of which samples, and what it waits
 * for.
 *
 * Nothing changes by it. The JSON has only what follows from the samples in their order, so that a
 * run over the same samples explains itself in the same words.
 *
 * Threads: the engine's. Errors: ERR_NOT_FOUND: no such rule in the engine; those of the writer are
 * in its buf.
 */
#pragma once

#include "base/emit_json.h"
#include "rules/engine.h"

/* Members of an object that the caller opened: where the rule is after all that was run, asked at
 * at_us, which is not before. Call engine_run() first. */
NODISCARD enum err engine_explain_rule(struct engine *e, int32_t rule_id, int64_t at_us,
                                       struct emit_json *j);
