/*
 * alert: states and severities as words, shared by rules, store and api. Plain data.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

/* ITU-T X.733 severities, worst first, and info. */
#define SEVERITY_LIST(X)             \
    X(SEVERITY_CRITICAL, "critical") \
    X(SEVERITY_MAJOR, "major")       \
    X(SEVERITY_MINOR, "minor")       \
    X(SEVERITY_WARNING, "warning")   \
    X(SEVERITY_INFO, "info")

enum severity {
#define SEVERITY_ENUM(name, words) name,
    SEVERITY_LIST(SEVERITY_ENUM)
#undef SEVERITY_ENUM
};

/* pending is not stored as an alert: it is rule state. retracted: a later out-of-order reading
 * showed that the alert never was; it is kept for the history and not listed unless asked for. */
#define ALERT_STATE_LIST(X)       \
    X(ALERT_PENDING, "pending")   \
    X(ALERT_FIRING, "firing")     \
    X(ALERT_RESOLVED, "resolved") \
    X(ALERT_RETRACTED, "retracted")

enum alert_state {
#define ALERT_STATE_ENUM(name, words) name,
    ALERT_STATE_LIST(ALERT_STATE_ENUM)
#undef ALERT_STATE_ENUM
};

const char *severity_words(enum severity s);
bool severity_parse(struct view text, enum severity *ret_severity);
const char *alert_state_words(enum alert_state s);
