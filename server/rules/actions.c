#include "rules/actions.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/ident.h"
#include "rules/selector.h"

enum { TITLE_MAX_BYTES = 256, PARAMS_MAX_BYTES = 16384, METHOD_MAX_BYTES = IDENT_MAX };

#define HOLD_MAX_US        CLOCK_DAY_US
#define EXPIRES_DEFAULT_US CLOCK_HOUR_US
#define EXPIRES_MAX_US     (31 * CLOCK_DAY_US)

void rule_actions_free(struct rule_action *actions, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        free(actions[i].device);
        rule_selector_free(actions[i].selector);
        free(actions[i].method);
        free(actions[i].params);
        free(actions[i].text);
        for (uint32_t k = 0; k < actions[i].hold_count; k++) {
            free(actions[i].holds[k].method);
        }
    }
    free(actions);
}

/* A copy of a text that must not be empty. */
static enum err take_text(const struct rule_fields *f, const char *key, size_t max_bytes,
                          char **ret_text)
{
    struct view text;
    enum err e = rule_fields_text(f, key, max_bytes, &text);
    if (e != ERR_OK) {
        return e;
    }
    if (text.len == 0) {
        return rule_fields_fail(f, ERR_SYNTAX, key, "expected a text that is not empty");
    }
    char *copy = strndup((const char *)text.data, text.len);
    if (copy == NULL) {
        return rule_fields_fail(f, ERR_NOMEM, key, "%s", err_words(ERR_NOMEM));
    }
    *ret_text = copy;
    return ERR_OK;
}

/* "self", "gateway", "children", "device:NAME" or a device's name. */
static enum err read_target_name(const struct rule_fields *f, struct view to, struct rule_action *a)
{
    if (view_eq_str(to, "self")) {
        a->target = RULE_TARGET_SELF;
        return ERR_OK;
    }
    if (view_eq_str(to, "gateway")) {
        a->target = RULE_TARGET_GATEWAY;
        return ERR_OK;
    }
    if (view_eq_str(to, "children")) {
        a->target = RULE_TARGET_CHILDREN;
        return ERR_OK;
    }
    struct view prefix = VIEW("device:");
    struct view name = view_starts(to, prefix) ? view_skip(to, prefix.len) : to;
    if (!ident_valid(name)) {
        return rule_fields_fail(f, ERR_SYNTAX, "to",
                                "expected \"self\", \"gateway\", \"children\", "
                                "\"device:NAME\" or {\"select\":\"…\"}");
    }
    a->target = RULE_TARGET_DEVICE;
    a->device = strndup((const char *)name.data, name.len);
    return a->device != NULL ? ERR_OK
                             : rule_fields_fail(f, ERR_NOMEM, "to", "%s", err_words(ERR_NOMEM));
}

static enum err read_target_select(const struct rule_fields *f, json_t *to, struct rule_action *a)
{
    static const char *const known[] = {"select"};
    char at_to[RULE_POINTER_SIZE];
    char at_select[RULE_POINTER_SIZE];
    struct rule_fields inner = {
        .object = to, .pointer = rule_pointer_join(f->pointer, "to", at_to), .error = f->error};
    enum err e = rule_fields_only(&inner, known, COUNT_OF(known));
    struct view text = {NULL, 0};
    if (e == ERR_OK) {
        e = rule_fields_text(&inner, "select", SIZE_MAX, &text);
    }
    if (e == ERR_OK && text.len == 0) {
        /* An empty selector would command every device there is: never by accident. */
        return rule_fields_fail(&inner, ERR_SYNTAX, "select", "expected a selector: site=plant-1");
    }
    if (e != ERR_OK) {
        return e;
    }
    a->target = RULE_TARGET_SELECT;
    return rule_selector_parse_at(text, rule_pointer_join(at_to, "select", at_select), &a->selector,
                                  f->error);
}

static enum err read_target(const struct rule_fields *f, struct rule_action *a)
{
    json_t *to = json_object_get(f->object, "to");
    a->target = RULE_TARGET_SELF;
    if (to == NULL) {
        return ERR_OK;
    }
    if (json_is_object(to)) {
        return read_target_select(f, to, a);
    }
    struct view text;
    enum err e = rule_fields_text(f, "to", IDENT_MAX + 8, &text);
    return e != ERR_OK ? e : read_target_name(f, text, a);
}

static enum err read_params(const struct rule_fields *f, struct rule_action *a)
{
    const json_t *params = json_object_get(f->object, "params");
    a->params = params == NULL ? strdup("{}") : json_dumps(params, JSON_COMPACT | JSON_ENCODE_ANY);
    if (a->params == NULL) {
        return rule_fields_fail(f, ERR_NOMEM, "params", "%s", err_words(ERR_NOMEM));
    }
    return strlen(a->params) <= PARAMS_MAX_BYTES
               ? ERR_OK
               : rule_fields_fail(f, ERR_LIMIT, "params", "at most %d bytes", PARAMS_MAX_BYTES);
}

/* {"start":"5m"}: so long after a `start` to the same target. */
static enum err read_holds(const struct rule_fields *f, struct rule_action *a)
{
    json_t *holds = json_object_get(f->object, "hold");
    if (holds == NULL) {
        return ERR_OK;
    }
    if (!json_is_object(holds) || json_object_size(holds) > RULE_HOLDS_MAX) {
        return rule_fields_fail(f, ERR_TYPE, "hold",
                                "expected an object of at most %d methods: {\"start\":\"5m\"}",
                                RULE_HOLDS_MAX);
    }
    char pointer[RULE_POINTER_SIZE];
    struct rule_fields inner = {.object = holds,
                                .pointer = rule_pointer_join(f->pointer, "hold", pointer),
                                .error = f->error};
    const char *method = NULL;
    json_t *value = NULL;
    json_object_foreach(holds, method, value)
    {
        struct rule_hold *h = &a->holds[a->hold_count];
        if (!ident_valid(view_str(method))) {
            return rule_fields_fail(&inner, ERR_SYNTAX, method, "expected the name of a method");
        }
        h->us = 1;
        enum err e = rule_fields_duration(&inner, method, 1, HOLD_MAX_US, &h->us);
        if (e != ERR_OK) {
            return e;
        }
        h->method = strdup(method);
        if (h->method == NULL) {
            return rule_fields_fail(f, ERR_NOMEM, "hold", "%s", err_words(ERR_NOMEM));
        }
        a->hold_count++;
    }
    return ERR_OK;
}

static enum err read_command(const struct rule_fields *f, struct rule_action *a)
{
    static const char *const known[] = {"to",         "method",       "params",
                                        "expires_in", "min_interval", "hold"};
    a->kind = RULE_ACTION_COMMAND;
    a->expires_us = EXPIRES_DEFAULT_US;
    enum err e = rule_fields_only(f, known, COUNT_OF(known));
    if (e == ERR_OK) {
        e = read_target(f, a);
    }
    if (e == ERR_OK) {
        e = take_text(f, "method", METHOD_MAX_BYTES, &a->method);
    }
    if (e == ERR_OK) {
        e = read_params(f, a);
    }
    if (e == ERR_OK) {
        e = rule_fields_duration(f, "min_interval", 0, HOLD_MAX_US, &a->min_interval_us);
    }
    if (e == ERR_OK) {
        e = read_holds(f, a);
    }
    return e != ERR_OK ? e
                       : rule_fields_duration(f, "expires_in", 1, EXPIRES_MAX_US, &a->expires_us);
}

/* {"to":…,"desired":{…}} */
static enum err read_twin(const struct rule_fields *f, struct rule_action *a)
{
    static const char *const known[] = {"to", "desired"};
    a->kind = RULE_ACTION_TWIN;
    enum err e = rule_fields_only(f, known, COUNT_OF(known));
    if (e == ERR_OK) {
        e = read_target(f, a);
    }
    const json_t *desired = json_object_get(f->object, "desired");
    if (e == ERR_OK && (!json_is_object(desired) || json_object_size(desired) == 0)) {
        return rule_fields_fail(f, ERR_TYPE, "desired", "expected an object that is not empty");
    }
    a->text = e == ERR_OK ? json_dumps(desired, JSON_COMPACT) : NULL;
    if (e == ERR_OK && a->text == NULL) {
        return rule_fields_fail(f, ERR_NOMEM, "desired", "%s", err_words(ERR_NOMEM));
    }
    return e != ERR_OK || strlen(a->text) <= PARAMS_MAX_BYTES
               ? e
               : rule_fields_fail(f, ERR_LIMIT, "desired", "at most %d bytes", PARAMS_MAX_BYTES);
}

static enum err read_work_order(const struct rule_fields *f, struct rule_action *a)
{
    static const char *const known[] = {"title"};
    a->kind = RULE_ACTION_WORK_ORDER;
    enum err e = rule_fields_only(f, known, COUNT_OF(known));
    return e != ERR_OK ? e : take_text(f, "title", TITLE_MAX_BYTES, &a->text);
}

static enum err read_notify(const struct rule_fields *f, struct rule_action *a)
{
    a->kind = RULE_ACTION_NOTIFY;
    enum err e = take_text(f, "notify", IDENT_MAX, &a->text);
    if (e == ERR_OK && !ident_valid(view_str(a->text))) {
        return rule_fields_fail(f, ERR_SYNTAX, "notify", "expected the name of a channel");
    }
    return e;
}

/* {"command":{…}}, {"notify":"channel"}, {"work_order":{…}} or {"twin":{…}} */
static enum err read_action(const struct rule_fields *f, struct rule_action *a)
{
    static const char *const known[] = {"command", "notify", "work_order", "twin"};
    enum err e = rule_fields_only(f, known, COUNT_OF(known));
    if (e != ERR_OK) {
        return e;
    }
    if (json_object_size(f->object) != 1) {
        struct rule_place at = {.pointer = f->pointer};
        return rule_error_set(f->error, ERR_SYNTAX, at,
                              "expected one of command, notify, work_order, twin in each action");
    }
    if (json_object_get(f->object, "notify") != NULL) {
        return read_notify(f, a);
    }
    const char *key = json_object_get(f->object, "command") != NULL ? "command"
                      : json_object_get(f->object, "twin") != NULL  ? "twin"
                                                                    : "work_order";
    char pointer[RULE_POINTER_SIZE];
    struct rule_fields inner = {.object = json_object_get(f->object, key),
                                .pointer = rule_pointer_join(f->pointer, key, pointer),
                                .error = f->error};
    if (!json_is_object(inner.object)) {
        return rule_fields_fail(f, ERR_TYPE, key, "expected an object");
    }
    return key[0] == 'c'   ? read_command(&inner, a)
           : key[0] == 't' ? read_twin(&inner, a)
                           : read_work_order(&inner, a);
}

enum err rule_actions_read(json_t *array, struct rule_error *error,
                           struct rule_action **ret_actions, uint32_t *ret_count)
{
    struct rule_place at = {.pointer = "/actions"};
    if (array != NULL && !json_is_array(array)) {
        return rule_error_set(error, ERR_TYPE, at, "expected an array of actions");
    }
    size_t count = json_array_size(array);
    if (count > RULE_ACTIONS_MAX) {
        return rule_error_set(error, ERR_LIMIT, at, "at most %d actions", RULE_ACTIONS_MAX);
    }
    struct rule_action *actions = calloc(count + 1, sizeof(*actions));
    if (actions == NULL) {
        return rule_error_plain(error, ERR_NOMEM, at.pointer);
    }
    for (size_t i = 0; i < count; i++) {
        char pointer[RULE_POINTER_SIZE];
        (void)snprintf(pointer, sizeof(pointer), "/actions/%zu", i);
        struct rule_fields f = {
            .object = json_array_get(array, i), .pointer = pointer, .error = error};
        enum err e = json_is_object(f.object)
                         ? read_action(&f, &actions[i])
                         : rule_error_set(error, ERR_TYPE, (struct rule_place){.pointer = pointer},
                                          "expected an object");
        if (e != ERR_OK) {
            rule_actions_free(actions, (uint32_t)count);
            return e;
        }
    }
    *ret_actions = actions;
    *ret_count = (uint32_t)count;
    return ERR_OK;
}
