/*
 * policy: is somebody to be told? The first reason against it is kept with the row. Pure.
 *
 * In this order: the channel is gone or disabled; a resolution whose firing nobody was told of; the
 * alert is shelved; a silence, a maintenance window or an inhibition matches; the device is being
 * worked on; its gateway has an open alert of the same rule; the alert flaps; the channel's cap.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "notify/channel.h"
#include "notify/silence.h"

enum { POLICY_DETAIL_SIZE = 160 };

/* One row of the outbox that is to be judged. */
struct policy_row {
    int64_t id, alert_id;
    const char *event;     /* firing, resolved, retracted, escalated */
    struct device *device; /* NULL: it was deleted */
    const char *rule;
    enum severity severity;
    const char *shelved_by;    /* NULL: it is not shelved now */
    int64_t work_order;        /* in progress for the device; 0: none */
    int64_t gateway_alert;     /* open, of the same rule; 0: none */
    int64_t firings;           /* of rule and device in flapping_within_us, with this one */
    const char *firing_reason; /* why its firing was suppressed on the channel; NULL: it was not */
    struct view body;          /* JSON of the alert */
    const char *reason;        /* the answer: a word, or NULL: it is told */
    char detail[POLICY_DETAIL_SIZE];
};

/* An open alert of a silence's while_rule. */
struct policy_cause {
    const struct silence *silence;
    struct device *device;
    int64_t alert_id;
};

struct policy {
    int64_t now_us;
    const struct channel *channel; /* NULL: there is none of this name */
    struct silence *const *silences;
    uint32_t silence_count;
    const struct policy_cause *causes;
    uint32_t cause_count;
    int64_t told; /* messages of the channel in rate_per_us */
};

/* Rows in the order of their ids. Gives how many are told. */
uint32_t policy_judge(const struct policy *p, struct policy_row *rows, uint32_t count);
/* Several rows become one digest. */
bool policy_is_digest(const struct policy *p, uint32_t told);
/* How long rows wait still to be judged together: the window, counted from the oldest; and while
 * more keep coming, at most a quarter of a window apart, up to four windows. 0: no longer. */
int64_t policy_window_left_us(int64_t window_us, int64_t oldest_us, int64_t newest_us);
/* From a failed attempt to the next: twice as long each time up to five minutes, and by chance up
 * to half of that less, so that receivers that come back are not met by all at once. attempt: from
 * 1; random: any bits. */
int64_t policy_backoff_us(int64_t attempt, uint64_t random);
