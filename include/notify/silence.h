/*
 * silence: a statement that nobody is to be told of some alerts, with an owner and an end. One
 * thing for three uses: now, in a maintenance window that comes again, or while another alert is
 * open (inhibition). Pure; time is passed in.
 *
 * {"select":"site=plant-1","rule":"bearing-overheat","severity":["minor","warning"],
 *  "starts_at":"…","expires_at":"…" or "expires_in":"2h","comment":"…","maintenance":true,
 *  "every":"1w","window":"2h",                     in the first two hours of each week from
 * starts_at "while":{"rule":"site-down","on":"label:site"}} only while an alert of that rule is
 * open for a device with the same label, or for the gateway
 *
 * Ownership: the texts belong to the silence, until silence_free().
 * Errors:    as channel_read(). Limits: an end at most a year ahead.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"
#include "model/alert.h"
#include "model/device.h"
#include "notify/channel.h"

struct silence {
    int64_t id;
    const char *rule;    /* NULL: any */
    unsigned severities; /* bits 1 << enum severity; 0: any */
    int64_t starts_us, expires_us;
    int64_t every_us, window_us; /* 0: all the time */
    bool maintenance;
    const char *while_rule;  /* NULL: whatever else is open */
    const char *while_label; /* NULL: on the gateway */
    const char *comment;
    void *selector; /* struct rule_selector */
    void *document; /* what the texts are of */
};

NODISCARD enum err silence_read(struct view definition, int64_t now_us,
                                struct silence **ret_silence, struct channel_error *ret_error);
void silence_free(struct silence *s); /* NULL is fine */
/* The half-open [starts, expires), and of it the window. */
bool silence_is_active(const struct silence *s, int64_t now_us);
bool silence_matches(const struct silence *s, const struct device *d, const char *rule,
                     enum severity severity);
/* Does an open alert of while_rule on `cause` concern the device? */
bool silence_is_caused(const struct silence *s, const struct device *d, const struct device *cause);
