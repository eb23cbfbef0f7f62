/*
 * rule: one rule document, compiled and checked once; immutable afterwards.
 *
 * Ownership: counted. Threads: any; nothing changes after rule_compile().
 * Errors:    ERR_SYNTAX, ERR_TYPE, ERR_UNKNOWN_NAME, ERR_RANGE, ERR_LIMIT, ERR_UNSUPPORTED (of the
 * full language, not of this version); ret_error names the field (JSON pointer) and, inside an
 * expression, line and column and what was expected. Limits: document 64 KiB, expression 4 KiB and
 * 256 instructions, 16 range functions, window 31 days, 16 actions.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/intern.h"
#include "base/view.h"
#include "model/alert.h"
#include "model/device.h"

struct fence;
struct rule;

struct rule_error {
    char pointer[64]; /* "/when" */
    int line;         /* in the expression, from 1; 0: not in an expression */
    int column;
    char detail[240];
};

/* What the checker may know. `metrics` is the intern of metric names: names used by a rule are
 * added to it. */
struct rule_env {
    struct intern *metrics;
    /* The type a selector pins with type=NAME, borrowed until compile returns; NULL: unknown. */
    const struct device_type *(*find_type)(void *arg, struct view name);
    void *arg;
    int64_t lateness_us; /* default when the document has none */
    struct fence *(*find_fence)(void *arg, struct view name); /* held; NULL: unknown. May be NULL */
};

/* Shadow: alerts as of an active rule, but kept apart, and nothing is done about them. */
enum rule_mode { RULE_ACTIVE, RULE_SHADOW, RULE_DISABLED };
enum rule_action_kind {
    RULE_ACTION_COMMAND,
    RULE_ACTION_NOTIFY,
    RULE_ACTION_WORK_ORDER,
    RULE_ACTION_TWIN, /* what is desired of a device: its attributes */
};
enum rule_target {
    RULE_TARGET_SELF,
    RULE_TARGET_DEVICE,
    RULE_TARGET_SELECT,
    RULE_TARGET_GATEWAY,
    RULE_TARGET_CHILDREN, /* all devices behind the device, which is their gateway */
};

struct rule_selector; /* a compiled label selector */

/* Not before the target has kept for so long what this command told it. */
struct rule_hold {
    char *method;
    int64_t us;
};
enum { RULE_HOLDS_MAX = 4 };

struct rule_action {
    enum rule_action_kind kind;
    enum rule_target target;        /* of a command, of a twin */
    char *device;                   /* RULE_TARGET_DEVICE */
    struct rule_selector *selector; /* RULE_TARGET_SELECT */
    char *method;
    char *params;            /* JSON text, "{}" when absent */
    int64_t expires_us;      /* of a command */
    char *text;              /* notify: channel; work order: title; twin: JSON object */
    int64_t min_interval_us; /* of a command: between two with its method to one target; 0: none */
    uint32_t hold_count;
    struct rule_hold holds[RULE_HOLDS_MAX];
};

/* The document as JSON; see server/rules/README.md for every field. */
NODISCARD enum err rule_compile(struct view json, const struct rule_env *env,
                                struct rule **ret_rule, struct rule_error *ret_error);
void rule_hold(struct rule *r);
void rule_drop(struct rule *r);

const char *rule_name(const struct rule *r);
enum rule_mode rule_mode(const struct rule *r);
enum severity rule_severity(const struct rule *r); /* the worst of its severities */
int64_t rule_lateness_us(const struct rule *r);    /* beyond it samples correct, or are ignored */
int64_t rule_correct_us(const struct rule *r);     /* beyond it they are ignored */
bool rule_selects(const struct rule *r, const struct device *d);
/* What every selected device has: this label, or `type` or `name`, with one of these values. */
struct rule_pin {
    const char *key;
    const char *const *values;
    uint32_t count;
};
/* False: there is none, any device may be selected. Borrowed from the rule. */
NODISCARD bool rule_pinned(const struct rule *r, struct rule_pin *ret_pin);
const struct rule_action *rule_actions(const struct rule *r, uint32_t *ret_count);

/* The geofences that its conditions name, once each, from 0 on; NULL: no more. Borrowed. */
const struct fence *rule_fence(const struct rule *r, uint32_t at);

/* Selectors on their own, as in REST filters and command targets:
 * "type=motor,site=plant-1,line!=3,name=p-1", "site in (a,b)", "has(site)"; empty selects all. */
NODISCARD enum err rule_selector_parse(struct view text, struct rule_selector **ret_selector,
                                       struct rule_error *ret_error);
void rule_selector_free(struct rule_selector *s);
bool rule_selector_matches(const struct rule_selector *s, const struct device *d);
