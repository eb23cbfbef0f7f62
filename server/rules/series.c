#include "rules/series.h"

#include <stdlib.h>

#include "base/clock.h"

static void blocks_fini(struct engine_blocks *b)
{
    free(b->extremes);
    free(b->moments);
    free(b->fallen);
}

void engine_series_fini(struct engine_series *s)
{
    free(s->points);
    free(s->turns);
    blocks_fini(&s->small);
    blocks_fini(&s->large);
    *s = (struct engine_series){.points = NULL};
}

static bool blocks_init(struct engine_blocks *b, uint64_t cap, uint64_t size, unsigned needs)
{
    b->count = cap < size ? 1 : cap / size;
    b->extremes = calloc(b->count, sizeof(*b->extremes));
    bool ok = b->extremes != NULL;
    if ((needs & RULE_NEEDS_MOMENTS) != 0) {
        b->moments = calloc(b->count, sizeof(*b->moments));
        ok = ok && b->moments != NULL;
    }
    if ((needs & RULE_NEEDS_TURNS) != 0) {
        b->fallen = calloc(b->count, sizeof(*b->fallen));
        ok = ok && b->fallen != NULL;
    }
    return ok;
}

/* Where what is kept of the block of point n lies. */
static uint64_t small_of(const struct engine_series *s, uint64_t n)
{
    return (n / ENGINE_BLOCK_SMALL) & (s->small.count - 1);
}

static uint64_t large_of(const struct engine_series *s, uint64_t n)
{
    return (n / ENGINE_BLOCK_LARGE) & (s->large.count - 1);
}

static void widen(struct engine_extremes *b, struct engine_extremes by)
{
    b->low = by.low < b->low ? by.low : b->low;
    b->high = by.high > b->high ? by.high : b->high;
}

static double seconds(int64_t us)
{
    return (double)us / (double)CLOCK_SECOND_US;
}

/* Of at most a small block: by distances from its first point, so that little cancels. */
static struct engine_moments moments_of(const struct engine_series *s, uint64_t from, uint64_t to)
{
    struct engine_point zero = engine_series_at(s, from);
    struct engine_moments sum = {.value = 0};
    for (uint64_t n = from + 1; n < to; n++) {
        struct engine_point p = engine_series_at(s, n);
        double v = p.value - zero.value;
        double t = seconds(p.ts_us - zero.ts_us);
        sum.value += v;
        sum.values += v * v;
        sum.time += t;
        sum.times += t * t;
        sum.both += t * v;
    }
    double count = (double)(to - from);
    double values = sum.values - sum.value * sum.value / count;
    return (struct engine_moments){.value = sum.value / count,
                                   .values = values > 0 ? values : 0,
                                   .time = sum.time / count,
                                   .times = sum.times - sum.time * sum.time / count,
                                   .both = sum.both - sum.time * sum.value / count};
}

/* T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a pairwise algorithm for computing
 * sample variances", 1979. The points of `all` are [from, at), those of `part` follow. */
static void join(const struct engine_series *s, uint64_t from, uint64_t at,
                 struct engine_moments *all, struct engine_moments part, uint64_t part_count)
{
    struct engine_point zero = engine_series_at(s, from);
    struct engine_point p = engine_series_at(s, at);
    double share = (double)part_count / (double)(at - from + part_count);
    double weight = (double)(at - from) * share;
    double value = part.value + (p.value - zero.value) - all->value;
    double time = part.time + seconds(p.ts_us - zero.ts_us) - all->time;
    all->value += value * share;
    all->values += part.values + value * value * weight;
    all->time += time * share;
    all->times += part.times + time * time * weight;
    all->both += part.both + time * value * weight;
}

bool engine_series_round(const struct engine_series *s, double before, double after)
{
    return s->modulus > 0 && after < before && after + s->modulus - before <= s->modulus / 2;
}

/* What a counter lost by a step, and has to be added again. */
static double fall_of(const struct engine_series *s, double before, double after)
{
    if (!(after < before)) {
        return 0;
    }
    return engine_series_round(s, before, after) ? s->modulus : before;
}

/* Of the steps to the points [from, to), one by one. The first kept has no step. */
static double fallen_of(const struct engine_series *s, uint64_t from, uint64_t to)
{
    double sum = 0;
    uint64_t n = from > s->first ? from : s->first + 1;
    for (; n < to; n++) {
        sum += fall_of(s, engine_series_at(s, n - 1).value, engine_series_at(s, n).value);
    }
    return sum;
}

/* A block that is not whole, or lost points at its start, holds nonsense; nobody asks it. */
static void extremes_add(struct engine_series *s, uint64_t n, double value)
{
    struct engine_extremes one = {.low = value, .high = value};
    struct engine_extremes *small = &s->small.extremes[small_of(s, n)];
    struct engine_extremes *large = &s->large.extremes[large_of(s, n)];
    if (n % ENGINE_BLOCK_SMALL == 0) {
        *small = one;
    } else {
        widen(small, one);
    }
    if (n % ENGINE_BLOCK_LARGE == 0) {
        *large = one;
    } else {
        widen(large, one);
    }
}

/* The point before `end` completes a large block: it is made from the small ones. */
static void large_full(struct engine_series *s, uint64_t end)
{
    uint64_t from = end - ENGINE_BLOCK_LARGE;
    struct engine_moments all = {.value = 0};
    double fallen = 0;
    for (uint64_t n = from; n < end; n += ENGINE_BLOCK_SMALL) {
        if (s->large.moments != NULL) {
            join(s, from, n, &all, s->small.moments[small_of(s, n)], ENGINE_BLOCK_SMALL);
        }
        fallen += s->large.fallen != NULL ? s->small.fallen[small_of(s, n)] : 0;
    }
    if (s->large.moments != NULL) {
        s->large.moments[large_of(s, from)] = all;
    }
    if (s->large.fallen != NULL) {
        s->large.fallen[large_of(s, from)] = fallen;
    }
}

static void block_full(struct engine_series *s, uint64_t end)
{
    uint64_t from = end - ENGINE_BLOCK_SMALL;
    if (end - s->first < ENGINE_BLOCK_SMALL) {
        return; /* its start is gone: nobody asks it */
    }
    if (s->small.moments != NULL) {
        s->small.moments[small_of(s, from)] = moments_of(s, from, end);
    }
    if (s->small.fallen != NULL) {
        s->small.fallen[small_of(s, from)] = fallen_of(s, from, end);
    }
    if (end % ENGINE_BLOCK_LARGE == 0 && end - s->first >= ENGINE_BLOCK_LARGE) {
        large_full(s, end);
    }
}

static void store(struct engine_series *s, struct engine_point p)
{
    uint64_t n = s->end;
    s->points[n & (s->cap - 1)] = p;
    extremes_add(s, n, p.value);
    if (s->turns != NULL) {
        struct engine_turn turn = {.changes = 0};
        if (n > s->first) {
            double before = engine_series_at(s, n - 1).value;
            turn = s->turns[(n - 1) & (s->cap - 1)];
            turn.changes += before != p.value ? 1 : 0;
            turn.falls += p.value < before ? 1 : 0;
            turn.rounds += engine_series_round(s, before, p.value) ? 1 : 0;
        }
        s->turns[n & (s->cap - 1)] = turn;
    }
    s->end++;
    if (s->end % ENGINE_BLOCK_SMALL == 0) {
        block_full(s, s->end);
    }
}

/* The same points in a ring of another size, their numbers larger by `by`. */
static enum err rebuild(struct engine_series *s, uint64_t cap, uint64_t by)
{
    struct engine_series made = {
        .needs = s->needs,
        .modulus = s->modulus,
        .points = malloc(cap * sizeof(*made.points)),
        .cap = cap,
        .first = s->first + by,
        .end = s->first + by,
    };
    bool ok = blocks_init(&made.small, cap, ENGINE_BLOCK_SMALL, s->needs);
    ok = blocks_init(&made.large, cap, ENGINE_BLOCK_LARGE, s->needs) && ok;
    if ((s->needs & RULE_NEEDS_TURNS) != 0) {
        made.turns = malloc(cap * sizeof(*made.turns));
        ok = ok && made.turns != NULL;
    }
    if (!ok || made.points == NULL) {
        engine_series_fini(&made);
        return ERR_NOMEM;
    }
    for (uint64_t n = s->first; n < s->end; n++) {
        store(&made, engine_series_at(s, n));
    }
    engine_series_fini(s);
    *s = made;
    return ERR_OK;
}

enum err engine_series_append(struct engine_series *s, struct engine_point p)
{
    if (s->end - s->first == ENGINE_POINTS_MAX) {
        s->first++;
    }
    if (s->end - s->first == s->cap) {
        enum err e = rebuild(s, s->cap == 0 ? ENGINE_BLOCK_SMALL : s->cap * 2, 0);
        if (e != ERR_OK) {
            return e;
        }
    }
    store(s, p);
    return ERR_OK;
}

enum err engine_series_shift(struct engine_series *s, uint64_t by)
{
    if (by == 0 || s->cap == 0) {
        s->first += by;
        s->end += by;
        return ERR_OK;
    }
    return rebuild(s, s->cap, by);
}

void engine_series_cut(struct engine_series *s, uint64_t end)
{
    if (end >= s->end) {
        return;
    }
    s->end = end;
    s->first = s->first < end ? s->first : end;
    /* The last blocks lost points: of their extremes, the small one is made anew from its points,
     * the large one from the small. The rest is made when a block is full again. */
    struct engine_extremes *extremes = s->small.extremes;
    uint64_t small = end - end % ENGINE_BLOCK_SMALL;
    for (uint64_t n = small; n < end; n++) {
        double v = engine_series_at(s, n).value;
        struct engine_extremes one = {.low = v, .high = v};
        if (n == small) {
            extremes[small_of(s, n)] = one;
        } else {
            widen(&extremes[small_of(s, n)], one);
        }
    }
    uint64_t large = end - end % ENGINE_BLOCK_LARGE;
    for (uint64_t n = large; n < end; n += ENGINE_BLOCK_SMALL) {
        struct engine_extremes *to = &s->large.extremes[large_of(s, n)];
        if (n == large) {
            *to = extremes[small_of(s, n)];
        } else {
            widen(to, extremes[small_of(s, n)]);
        }
    }
}

void engine_series_trim(struct engine_series *s, uint64_t first)
{
    s->first = first > s->first ? first : s->first;
}

/* How many points from n on go in one step: a whole block, or up to the next one. */
static uint64_t stride(uint64_t n, uint64_t to)
{
    uint64_t left = to - n;
    if (n % ENGINE_BLOCK_LARGE == 0 && left >= ENGINE_BLOCK_LARGE) {
        return ENGINE_BLOCK_LARGE;
    }
    uint64_t most = ENGINE_BLOCK_SMALL - n % ENGINE_BLOCK_SMALL;
    return left < most ? left : most;
}

static double pick(double a, double b, bool high)
{
    return (high ? b > a : b < a) ? b : a;
}

double engine_series_extreme(const struct engine_series *s, uint64_t from, uint64_t to, bool high)
{
    double best = engine_series_at(s, from).value;
    uint64_t n = from;
    while (n < to) {
        if (n % ENGINE_BLOCK_SMALL != 0 || to - n < ENGINE_BLOCK_SMALL) {
            best = pick(best, engine_series_at(s, n).value, high);
            n++;
            continue;
        }
        bool large = n % ENGINE_BLOCK_LARGE == 0 && to - n >= ENGINE_BLOCK_LARGE;
        const struct engine_extremes *b =
            large ? &s->large.extremes[large_of(s, n)] : &s->small.extremes[small_of(s, n)];
        best = pick(best, high ? b->high : b->low, high);
        n += large ? ENGINE_BLOCK_LARGE : ENGINE_BLOCK_SMALL;
    }
    return best;
}

struct engine_moments engine_series_moments(const struct engine_series *s, uint64_t from,
                                            uint64_t to)
{
    struct engine_moments all = {.value = 0};
    for (uint64_t n = from; n < to;) {
        uint64_t count = stride(n, to);
        struct engine_moments part = count == ENGINE_BLOCK_LARGE ? s->large.moments[large_of(s, n)]
                                     : count == ENGINE_BLOCK_SMALL
                                         ? s->small.moments[small_of(s, n)]
                                         : moments_of(s, n, n + count);
        join(s, from, n, &all, part, count);
        n += count;
    }
    return all;
}

struct engine_turn engine_series_turns(const struct engine_series *s, uint64_t from, uint64_t to)
{
    struct engine_turn a = s->turns[from & (s->cap - 1)];
    struct engine_turn b = s->turns[(to - 1) & (s->cap - 1)];
    return (struct engine_turn){.changes = b.changes - a.changes,
                                .falls = b.falls - a.falls,
                                .rounds = b.rounds - a.rounds};
}

double engine_series_fallen(const struct engine_series *s, uint64_t from, uint64_t to)
{
    if (engine_series_turns(s, from, to).falls == 0) {
        return 0;
    }
    double sum = 0;
    for (uint64_t n = from + 1; n < to;) { /* the first point has no step inside the window */
        uint64_t count = stride(n, to);
        sum += count == ENGINE_BLOCK_LARGE   ? s->large.fallen[large_of(s, n)]
               : count == ENGINE_BLOCK_SMALL ? s->small.fallen[small_of(s, n)]
                                             : fallen_of(s, n, n + count);
        n += count;
    }
    return sum;
}
