/*
 * compare: the candidate's alerts of a device beside those of the other rule, or of history.
 *
 * Both are in order of time and of each at most one is open at once. Two whose spans [since, end)
 * touch are the same alert, changed or not; one without a partner was added or removed.
 */
#include <math.h>

#include "backtest/internal.h"
#include "base/clock.h"

static int64_t end_of(const struct found *f)
{
    return f->resolved_us == CLOCK_NONE ? CLOCK_MAX_US : f->resolved_us;
}

static bool overlap(const struct found *a, const struct found *b)
{
    return a->fired_us == b->fired_us || (a->since_us <= end_of(b) && b->since_us <= end_of(a));
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL || strcmp(a, b) == 0;
}

/* History is compared to the last byte; of another version only what operators see happen. */
static bool same(const struct backtest *b, const struct found *x, const struct found *y)
{
    bool value = x->value == y->value || (isnan(x->value) && isnan(y->value));
    bool times = x->since_us == y->since_us && x->fired_us == y->fired_us &&
                 x->resolved_us == y->resolved_us;
    return value && times && x->severity == y->severity &&
           (b->setup.against != NULL || same_text(x->summary, y->summary));
}

static void note(struct backtest_device *d, struct listed_list *list, const struct listed *item,
                 uint64_t *count)
{
    (*count)++;
    if (d->b->err == ERR_OK) {
        d->b->err = backtest_list(d, list, item);
    }
}

static void note_pair(struct backtest_device *d, const struct found *is, const struct found *was)
{
    struct backtest *b = d->b;
    if (same(b, is, was)) {
        b->same++;
        return;
    }
    struct listed item = {.rule = b->setup.candidate, .is = *is, .was = *was};
    note(d, &b->changed, &item, &b->counts.changed);
}

void backtest_compare(struct backtest_device *d)
{
    struct backtest *b = d->b;
    const struct rule *candidate = b->setup.candidate;
    const struct rule *other = b->setup.against == NULL ? candidate : b->setup.against;
    const struct found_list *x = &d->candidate;
    const struct found_list *y = &d->other;
    uint32_t i = 0;
    uint32_t k = 0;
    if (b->setup.against_words == NULL) {
        return;
    }
    while (i < x->count || k < y->count) {
        const struct found *is = i < x->count ? &x->items[i] : NULL;
        const struct found *was = k < y->count ? &y->items[k] : NULL;
        if (is != NULL && was != NULL && overlap(is, was)) {
            note_pair(d, is, was);
            i++;
            k++;
        } else if (was == NULL || (is != NULL && is->since_us <= was->since_us)) {
            struct listed item = {.rule = candidate, .is = *is};
            note(d, &b->added, &item, &b->counts.added);
            i++;
        } else {
            struct listed item = {.rule = other, .is = *was};
            note(d, &b->removed, &item, &b->counts.removed);
            k++;
        }
    }
}
