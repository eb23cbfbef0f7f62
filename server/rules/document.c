/*
 * document: a rule as JSON -> struct rule.
 *
 * Fields are read in the order that a reader meets them; the first that is wrong is reported.
 * `select` comes before the expressions, because the type it pins tells which metrics exist.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/ident.h"
#include "rules/actions.h"
#include "rules/conditions.h"
#include "rules/selector.h"

enum { DOCUMENT_MAX_BYTES = 65536, DESCRIPTION_MAX_BYTES = 4096 };

#define LATENESS_MAX_US    (31 * CLOCK_DAY_US)
#define CORRECT_DEFAULT_US CLOCK_HOUR_US

struct maker {
    struct rule_fields fields;
    const struct rule_env *env;
    struct rule *rule;
    struct rule_scope scope;
    struct rule_expr *expr; /* large: on the heap, shared by when and clear */
};

static enum err check_fields(const struct rule_fields *f)
{
    static const char *const known[] = {
        "name",     "description",    "select",   "when",     "for",
        "clear",    "clear_for",      "max_gap",  "lateness", "late",
        "severity", "severities",     "cooldown", "timezone", "active",
        "summary",  "correct_within", "mode",     "actions"};
    return rule_fields_only(f, known, COUNT_OF(known));
}

static enum err read_names(struct maker *m)
{
    struct view name;
    struct view description;
    enum err e = rule_fields_text(&m->fields, "name", IDENT_MAX, &name);
    if (e == ERR_OK && !ident_valid(name)) {
        return rule_fields_fail(&m->fields, ERR_SYNTAX, "name",
                                "expected a name of 1 to %d letters, digits, . _ : -", IDENT_MAX);
    }
    if (e == ERR_OK) {
        e = rule_fields_text(&m->fields, "description", DESCRIPTION_MAX_BYTES, &description);
    }
    if (e != ERR_OK) {
        return e;
    }
    m->rule->name = strndup((const char *)name.data, name.len);
    m->rule->description = strndup((const char *)description.data, description.len);
    return m->rule->name != NULL && m->rule->description != NULL
               ? ERR_OK
               : rule_error_plain(m->fields.error, ERR_NOMEM, "/name");
}

static enum err read_select(struct maker *m)
{
    struct view text;
    enum err e = rule_fields_text(&m->fields, "select", SIZE_MAX, &text);
    if (e == ERR_OK) {
        e = rule_selector_parse_at(text, "/select", &m->rule->selector, m->fields.error);
    }
    if (e != ERR_OK) {
        return e;
    }
    struct view type = rule_selector_pinned_type(m->rule->selector);
    if (type.len > 0 && m->env->find_type != NULL) {
        m->scope.type = m->env->find_type(m->env->arg, type);
    }
    return ERR_OK;
}

static enum err read_conditions(struct maker *m)
{
    struct rule_conditions c = {
        .fields = m->fields, .scope = m->scope, .metrics = m->env->metrics, .expr = m->expr};
    return rule_conditions_read(&c, m->rule);
}

static enum err read_times(struct maker *m)
{
    struct rule *r = m->rule;
    const struct rule_fields *f = &m->fields;
    r->lateness_us = m->env->lateness_us;
    enum err e = rule_fields_duration(f, "max_gap", 1, RULE_PERIOD_MAX_US, &r->max_gap_us);
    if (e == ERR_OK) {
        e = rule_fields_duration(f, "cooldown", 0, RULE_PERIOD_MAX_US, &r->cooldown_us);
    }
    if (e == ERR_OK) {
        e = rule_fields_duration(f, "lateness", 0, LATENESS_MAX_US, &r->lateness_us);
    }
    return e != ERR_OK ? e : rule_calendar_read(f, &r->calendar);
}

/* The number of the word that the field has, 0 when it is not there. */
static enum err read_word(const struct rule_fields *f, const char *key, const char *const *words,
                          int *ret_which)
{
    struct view text;
    enum err e = rule_fields_text(f, key, SIZE_MAX, &text);
    if (e != ERR_OK || json_object_get(f->object, key) == NULL) {
        *ret_which = 0;
        return e;
    }
    char expected[80] = "";
    for (int i = 0; words[i] != NULL; i++) {
        if (view_eq_str(text, words[i])) {
            *ret_which = i;
            return ERR_OK;
        }
        size_t used = strlen(expected);
        (void)snprintf(expected + used, sizeof(expected) - used, "%s\"%s\"",
                       i == 0                 ? ""
                       : words[i + 1] == NULL ? " or "
                                              : ", ",
                       words[i]);
    }
    return rule_fields_fail(f, ERR_UNKNOWN_NAME, key, "expected %s", expected);
}

static enum err read_words(struct maker *m)
{
    static const char *const lates[] = {"ignore", "correct", NULL};
    static const char *const modes[] = {"active", "shadow", "disabled", NULL};
    const struct rule_fields *f = &m->fields;
    int late = 0;
    int mode = 0;
    enum err e = read_word(f, "late", lates, &late);
    if (e == ERR_OK) {
        e = read_word(f, "mode", modes, &mode);
    }
    if (e != ERR_OK) {
        return e;
    }
    m->rule->mode = (enum rule_mode)mode;
    m->rule->correct_us = late == 0 ? 0 : CORRECT_DEFAULT_US;
    if (late == 0 && json_object_get(f->object, "correct_within") != NULL) {
        return rule_fields_fail(f, ERR_SYNTAX, "correct_within", "only with \"late\":\"correct\"");
    }
    return rule_fields_duration(f, "correct_within", 1, LATENESS_MAX_US, &m->rule->correct_us);
}

static enum err read_summary(struct maker *m)
{
    struct view text;
    enum err e = rule_fields_text(&m->fields, "summary", SIZE_MAX, &text);
    if (e != ERR_OK) {
        return e;
    }
    if (text.len == 0) {
        text = VIEW("{{device}}: {{rule}}");
    }
    m->scope.pointer = "/summary";
    return rule_summary_parse(text, &m->scope, m->env->metrics, &m->rule->inputs,
                              &m->rule->summary);
}

static enum err make(struct maker *m)
{
    static enum err (*const steps[])(struct maker *) = {read_names, read_select, read_conditions,
                                                        read_times, read_words,  read_summary};
    enum err e = check_fields(&m->fields);
    for (size_t i = 0; i < COUNT_OF(steps) && e == ERR_OK; i++) {
        e = steps[i](m);
    }
    if (e != ERR_OK) {
        return e;
    }
    return rule_actions_read(json_object_get(m->fields.object, "actions"), m->fields.error,
                             &m->rule->actions, &m->rule->action_count);
}

static enum err load(struct view json, struct rule_error *error, json_t **ret_object)
{
    struct rule_place top = {.pointer = ""};
    if (json.len > DOCUMENT_MAX_BYTES) {
        return rule_error_set(error, ERR_LIMIT, top, "a rule has at most %d bytes",
                              DOCUMENT_MAX_BYTES);
    }
    json_error_t why;
    json_t *object = json_loadb((const char *)json.data, json.len, JSON_REJECT_DUPLICATES, &why);
    if (object == NULL) {
        return rule_error_set(error, ERR_SYNTAX, top, "not JSON: %.120s (line %d, column %d)",
                              why.text, why.line, why.column);
    }
    if (!json_is_object(object)) {
        json_decref(object);
        return rule_error_set(error, ERR_TYPE, top, "expected a JSON object");
    }
    *ret_object = object;
    return ERR_OK;
}

enum err rule_compile(struct view json, const struct rule_env *env, struct rule **ret_rule,
                      struct rule_error *ret_error)
{
    struct rule_error error;
    json_t *object = NULL;
    enum err e = load(json, &error, &object);
    if (e != ERR_OK) {
        *ret_error = error;
        return e;
    }
    struct maker m = {.fields = {.object = object, .pointer = "", .error = &error},
                      .env = env,
                      .rule = calloc(1, sizeof(*m.rule)),
                      .scope = {.pointer = "", .error = &error, .env = env},
                      .expr = malloc(sizeof(*m.expr))};
    e = m.rule != NULL && m.expr != NULL ? make(&m) : rule_error_plain(&error, ERR_NOMEM, "");
    free(m.expr);
    json_decref(object);
    if (e != ERR_OK) {
        rule_free(m.rule);
        *ret_error = error;
        return e;
    }
    atomic_init(&m.rule->holds, 1);
    *ret_rule = m.rule;
    return ERR_OK;
}
