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
#include "rules/compiled.h"
#include "rules/selector.h"

enum { DOCUMENT_MAX_BYTES = 65536, DESCRIPTION_MAX_BYTES = 4096 };

#define PERIOD_MAX_US   (366 * CLOCK_DAY_US)
#define LATENESS_MAX_US (31 * CLOCK_DAY_US)

struct maker {
    struct rule_fields fields;
    const struct rule_env *env;
    struct rule *rule;
    struct rule_scope scope;
    struct rule_expr *expr; /* large: on the heap, shared by when and clear */
};

static enum err check_fields(const struct rule_fields *f)
{
    static const char *const known[] = {"name",     "description", "select",  "when",     "for",
                                        "clear",    "clear_for",   "max_gap", "lateness", "late",
                                        "severity", "summary",     "mode",    "actions"};
    static const char *const later[] = {"cooldown", "timezone", "active"};
    for (size_t i = 0; i < COUNT_OF(later); i++) {
        if (json_object_get(f->object, later[i]) != NULL) {
            return rule_fields_fail(f, ERR_UNSUPPORTED, later[i],
                                    "\"%s\" is not part of this version", later[i]);
        }
    }
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

static enum err read_expr(struct maker *m, const char *key, struct rule_program *ret_program)
{
    struct view text;
    enum err e = rule_fields_text(&m->fields, key, SIZE_MAX, &text);
    char pointer[RULE_POINTER_SIZE];
    m->scope.pointer = rule_pointer_join("", key, pointer);
    if (e == ERR_OK) {
        e = rule_expr_parse(text, &m->scope, m->expr);
    }
    if (e == ERR_OK) {
        e = rule_expr_check(m->expr, &m->scope);
    }
    if (e == ERR_OK) {
        e = rule_expr_emit(m->expr, &m->scope, m->env->metrics, &m->rule->inputs, ret_program);
    }
    return e;
}

static bool reads_a_metric(const struct rule_inputs *in)
{
    for (uint32_t i = 0; i < in->count; i++) {
        if (in->items[i].metric != 0) {
            return true;
        }
    }
    return false;
}

static enum err read_conditions(struct maker *m)
{
    struct rule *r = m->rule;
    if (json_object_get(m->fields.object, "when") == NULL) {
        return rule_fields_fail(&m->fields, ERR_SYNTAX, "when",
                                "expected a condition such as \"temperature > 80\"");
    }
    enum err e = read_expr(m, "when", &r->when);
    if (e == ERR_OK && !reads_a_metric(&r->inputs)) {
        return rule_fields_fail(&m->fields, ERR_TYPE, "when",
                                "the condition reads no metric, so nothing would ever evaluate it");
    }
    if (e == ERR_OK && json_object_get(m->fields.object, "clear") != NULL) {
        e = read_expr(m, "clear", &r->clear);
    }
    r->trigger_count = r->inputs.count;
    return e;
}

static enum err read_times(struct maker *m)
{
    struct rule *r = m->rule;
    const struct rule_fields *f = &m->fields;
    r->lateness_us = m->env->lateness_us;
    enum err e = rule_fields_duration(f, "for", 0, PERIOD_MAX_US, &r->for_us);
    if (e == ERR_OK) {
        e = rule_fields_duration(f, "clear_for", 0, PERIOD_MAX_US, &r->clear_for_us);
    }
    if (e == ERR_OK) {
        e = rule_fields_duration(f, "max_gap", 1, PERIOD_MAX_US, &r->max_gap_us);
    }
    if (e == ERR_OK) {
        e = rule_fields_duration(f, "lateness", 0, LATENESS_MAX_US, &r->lateness_us);
    }
    return e;
}

/* One of a few words; *ret_text is empty when the field is not there. */
static enum err read_word(const struct rule_fields *f, const char *key, const char *expected,
                          const char *unsupported, struct view *ret_text)
{
    enum err e = rule_fields_text(f, key, SIZE_MAX, ret_text);
    if (e != ERR_OK) {
        return e;
    }
    if (view_eq_str(*ret_text, unsupported)) {
        return rule_fields_fail(f, ERR_UNSUPPORTED, key,
                                "\"%s\" is not part of this version; expected %s", unsupported,
                                expected);
    }
    if (ret_text->len == 0 && json_object_get(f->object, key) != NULL) {
        return rule_fields_fail(f, ERR_UNKNOWN_NAME, key, "expected %s", expected);
    }
    return ERR_OK;
}

static enum err read_words(struct maker *m)
{
    const struct rule_fields *f = &m->fields;
    struct view late;
    struct view severity;
    struct view mode;
    enum err e = read_word(f, "late", "\"ignore\"", "correct", &late);
    if (e == ERR_OK && late.len > 0 && !view_eq_str(late, "ignore")) {
        return rule_fields_fail(f, ERR_UNKNOWN_NAME, "late", "expected \"ignore\"");
    }
    if (e == ERR_OK) {
        e = rule_fields_text(f, "severity", SIZE_MAX, &severity);
    }
    m->rule->severity = SEVERITY_WARNING;
    if (e == ERR_OK && json_object_get(f->object, "severity") != NULL &&
        !severity_parse(severity, &m->rule->severity)) {
        return rule_fields_fail(f, ERR_UNKNOWN_NAME, "severity",
                                "expected critical, major, minor, warning or info");
    }
    if (e == ERR_OK) {
        e = read_word(f, "mode", "\"active\" or \"disabled\"", "shadow", &mode);
    }
    if (e == ERR_OK && mode.len > 0 && !view_eq_str(mode, "active") &&
        !view_eq_str(mode, "disabled")) {
        return rule_fields_fail(f, ERR_UNKNOWN_NAME, "mode", "expected \"active\" or \"disabled\"");
    }
    if (e == ERR_OK) {
        m->rule->mode = view_eq_str(mode, "disabled") ? RULE_DISABLED : RULE_ACTIVE;
    }
    return e;
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
