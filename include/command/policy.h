/*
 * policy: may a rule command this device now? What keeps automation from harm: a time between two
 * commands of a method, minimum on and off times, a guard against rules that undo each other, and
 * people who take over by hand. Pure: time is passed in, the caller writes and sends.
 *
 * Keyed by target and method. An interval suppresses: the same was said a moment ago. A hold
 * defers: the command waits until its target has kept its state long enough; meanwhile a further
 * one with the same method is suppressed, and one with a method that it holds for takes its place,
 * so the newest decision wins.
 *
 * Loop guard: more than `per_minute` wishes of one method to one target in a minute, and automation
 * leaves that method alone for COMMAND_GUARD_PAUSE_US. It goes before all else, so what is written
 * of forbidden wishes is bounded, whatever forbids them: after the first of a pause they are quiet.
 *
 * Ownership: texts are copied. Threads: one. Limits: 4 holds; an entry for each target and method
 * that was ever commanded, which is bounded by the rules.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"

#define COMMAND_GUARD_PAUSE_US (10 * CLOCK_MINUTE_US)

struct command_policy;

enum { COMMAND_HOLDS_MAX = 4, COMMAND_REPLACES_MAX = 4, COMMAND_REASON_SIZE = 320 };

/* Not within so long after a command with this method. */
struct command_hold {
    const char *method;
    int64_t us;
};

struct command_wish {
    int32_t device_id;
    const char *method;
    int64_t min_interval_us; /* 0: none */
    const struct command_hold *holds;
    uint32_t hold_count;
};

enum command_answer { COMMAND_NOW, COMMAND_LATER, COMMAND_NEVER };

struct command_verdict {
    enum command_answer answer;
    int64_t wait_us;                        /* of COMMAND_LATER: from now */
    bool tripped;                           /* the loop guard stopped it with this one */
    bool quiet;                             /* a further one of the pause: counted, not written */
    int64_t until_us;                       /* of a quiet one: the pause ends */
    char reason[COMMAND_REASON_SIZE];       /* of COMMAND_LATER and COMMAND_NEVER */
    int64_t replaces[COMMAND_REPLACES_MAX]; /* commands that wait and are not wanted any more */
    uint32_t replace_count;
};

NODISCARD struct command_policy *command_policy_new(int64_t per_minute); /* 0: no loop guard */
void command_policy_free(struct command_policy *p);

/* All times are monotonic. ERR_NOMEM: nothing was decided. Counts for the loop guard. */
NODISCARD enum err command_policy_judge(struct command_policy *p, const struct command_wish *w,
                                        int64_t now_us, struct command_verdict *ret_verdict);
/* The wish became the command `id`, which goes out at at_us. */
void command_policy_taken(struct command_policy *p, const struct command_wish *w, int64_t id,
                          int64_t now_us, int64_t at_us);
/* A command that waited was cancelled. */
void command_policy_dropped(struct command_policy *p, int32_t device_id, int64_t id);

/* A person has the method, or with "" all methods, until then. until_us <= now: not any more. */
NODISCARD enum err command_policy_override(struct command_policy *p, int32_t device_id,
                                           const char *method, const char *actor, int64_t until_us);
