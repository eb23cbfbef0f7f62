#include "notify/policy.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/map.h"

#define BACKOFF_FIRST_US CLOCK_SECOND_US
#define BACKOFF_MAX_US   (5 * CLOCK_MINUTE_US)

static bool row_is(const struct policy_row *row, const char *event)
{
    return strcmp(row->event, event) == 0;
}

__attribute__((format(printf, 3, 4))) static bool
suppress(struct policy_row *row, const char *reason, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    row->reason = reason;
    (void)vsnprintf(row->detail, sizeof(row->detail), format, args);
    va_end(args);
    return true;
}

static bool judge_channel(const struct policy *p, struct policy_row *row)
{
    if (p->channel == NULL) {
        return suppress(row, "no_channel",
                        "there is no channel of this name; the alert log has it");
    }
    return !p->channel->enabled && suppress(row, "disabled", "the channel is disabled");
}

/* The open alert that a silence waits for, or NULL. */
static const struct policy_cause *cause_of(const struct policy *p, const struct silence *s,
                                           const struct device *d)
{
    for (uint32_t i = 0; i < p->cause_count; i++) {
        const struct policy_cause *c = &p->causes[i];
        if (c->silence == s && silence_is_caused(s, d, c->device)) {
            return c;
        }
    }
    return NULL;
}

static bool judge_silences(const struct policy *p, struct policy_row *row)
{
    for (uint32_t i = 0; row->device != NULL && i < p->silence_count; i++) {
        const struct silence *s = p->silences[i];
        if (!silence_is_active(s, p->now_us) ||
            !silence_matches(s, row->device, row->rule, row->severity)) {
            continue;
        }
        if (s->while_rule != NULL) {
            const struct policy_cause *c = cause_of(p, s, row->device);
            if (c != NULL) {
                return suppress(row, "inhibited", "alert %lld of %s on %s is open (silence %lld)",
                                (long long)c->alert_id, s->while_rule, c->device->name,
                                (long long)s->id);
            }
            continue;
        }
        char until[CLOCK_TEXT_SIZE];
        return suppress(row, s->maintenance ? "maintenance" : "silenced",
                        "silence %lld until %s: %s", (long long)s->id,
                        clock_format(s->expires_us, until), s->comment);
    }
    return false;
}

static bool judge_firing(const struct policy *p, struct policy_row *row)
{
    if (row->shelved_by != NULL) {
        return suppress(row, "shelved", "the alert is shelved by %s", row->shelved_by);
    }
    if (judge_silences(p, row)) {
        return true;
    }
    if (row->work_order != 0) {
        return suppress(row, "maintenance", "work order %lld is in progress",
                        (long long)row->work_order);
    }
    if (row->gateway_alert != 0) {
        return suppress(row, "inhibited", "its gateway has alert %lld of the same rule",
                        (long long)row->gateway_alert);
    }
    int64_t most = p->channel->flapping_max;
    if (row_is(row, "firing") && most > 0 && row->firings > most) {
        char within[CLOCK_TEXT_SIZE];
        return suppress(
            row, "flapping", "fired %lld times in %s, more than %lld", (long long)row->firings,
            clock_format_duration(p->channel->flapping_within_us, within), (long long)most);
    }
    return false;
}

/* Who was not told that it fires need not know that it does not. */
static bool judge_ending(const struct map *firings, struct policy_row *row)
{
    const struct policy_row *firing = map_get(firings, view_of(&row->alert_id, sizeof(int64_t)));
    const char *reason = firing != NULL ? firing->reason : row->firing_reason;
    return reason != NULL && suppress(row, "not_told", "its firing was suppressed: %s", reason);
}

/* Over the cap nothing is told; a digest is one message. */
static uint32_t judge_rate(const struct policy *p, struct policy_row *rows, uint32_t count,
                           uint32_t told)
{
    const struct channel *c = p->channel;
    if (c == NULL || c->rate_max == 0) {
        return told;
    }
    int64_t room = c->rate_max - p->told;
    if (policy_is_digest(p, told) && room > 0) {
        return told;
    }
    uint32_t left = 0;
    char per[CLOCK_TEXT_SIZE];
    (void)clock_format_duration(c->rate_per_us, per);
    for (uint32_t i = 0; i < count; i++) {
        if (rows[i].reason != NULL) {
            continue;
        }
        if (left < room) {
            left++;
        } else {
            (void)suppress(&rows[i], "rate_cap", "more than %lld messages in %s",
                           (long long)c->rate_max, per);
        }
    }
    return left;
}

uint32_t policy_judge(const struct policy *p, struct policy_row *rows, uint32_t count)
{
    struct map firings; /* alert id -> its firing among these rows */
    map_init(&firings);
    uint32_t told = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct policy_row *row = &rows[i];
        bool fires = row_is(row, "firing");
        row->reason = NULL;
        bool against = judge_channel(p, row) ||
                       (fires || row_is(row, "escalated") ? judge_firing(p, row)
                                                          : judge_ending(&firings, row));
        told += !against;
        void *old = NULL;
        if (fires &&
            map_put(&firings, view_of(&row->alert_id, sizeof(int64_t)), row, &old) != ERR_OK) {
            continue; /* its ending is told, at worst */
        }
    }
    map_fini(&firings);
    return judge_rate(p, rows, count, told);
}

bool policy_is_digest(const struct policy *p, uint32_t told)
{
    return told > 1 && p->channel != NULL && p->channel->digest_window_us > 0;
}

int64_t policy_window_left_us(int64_t window_us, int64_t oldest_us, int64_t newest_us)
{
    enum { WINDOWS_MAX = 4, QUIET_PART = 4 };
    int64_t left_us = window_us - oldest_us;
    int64_t quiet_us = window_us / QUIET_PART - newest_us;
    int64_t most_us = WINDOWS_MAX * window_us - oldest_us;
    left_us = quiet_us > left_us ? quiet_us : left_us;
    left_us = left_us < most_us ? left_us : most_us;
    return left_us > 0 ? left_us : 0;
}

int64_t policy_backoff_us(int64_t attempt, uint64_t random)
{
    int64_t us = BACKOFF_FIRST_US;
    for (int64_t i = 1; i < attempt && us < BACKOFF_MAX_US; i++) {
        us *= 2;
    }
    us = us < BACKOFF_MAX_US ? us : BACKOFF_MAX_US;
    return us - (int64_t)(random % (uint64_t)(us / 2 + 1));
}
