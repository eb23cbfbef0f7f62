/*
 * stream: random rules and random samples of metrics x and y, in order or shuffled within the
 * lateness.
 */
#pragma once

#include "help.h"

enum { STREAM_MAX = 1200, STREAM_RULES = 4 };

struct stream_item {
    struct sample sample;
    struct sample_value values[2];
    int64_t key_us; /* when it arrives */
    int64_t seq;
};

struct stream {
    struct stream_item items[STREAM_MAX];
    uint32_t count;
};

/* `jitter_us`: how much later than its own time a sample may arrive; 5 % arrive twice when it is
 * not 0. */
void stream_make(struct stream *s, struct help_env *h, struct help_random *random, uint32_t count,
                 int64_t jitter_us);
/* Sorts by time; what has the same time stays in its order. */
void stream_sort(struct stream *s);
struct rule *stream_rule(struct help_env *h, struct help_random *random);
/* An engine over random rules; the rules are dropped by the engine. */
struct engine *stream_engine(struct help_env *h, struct device *d, uint64_t seed,
                             int64_t lateness_us);
/* Is the state of the two folds the same, bit for bit? `numbers`: also the numbers of the points.
 */
bool stream_same_state(const struct engine *a, const struct engine *b, bool numbers);
