#include "rules/conditions.h"

#include "base/check.h"
#include "base/clock.h"

static enum err read_expr(struct rule_conditions *c, const struct rule_fields *f, const char *key,
                          struct rule *r, struct rule_program *ret_program)
{
    struct view text;
    enum err e = rule_fields_text(f, key, SIZE_MAX, &text);
    char pointer[RULE_POINTER_SIZE];
    c->scope.pointer = rule_pointer_join(f->pointer, key, pointer);
    if (e == ERR_OK) {
        e = rule_expr_parse(text, &c->scope, c->expr);
    }
    if (e == ERR_OK) {
        e = rule_expr_check(c->expr, &c->scope);
    }
    if (e == ERR_OK) {
        e = rule_expr_emit(c->expr, &c->scope, c->metrics, &r->inputs, ret_program);
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

static enum err read_times(const struct rule_fields *f, struct rule_level *level)
{
    enum err e = rule_fields_duration(f, "for", 0, RULE_PERIOD_MAX_US, &level->for_us);
    return e != ERR_OK
               ? e
               : rule_fields_duration(f, "clear_for", 0, RULE_PERIOD_MAX_US, &level->clear_for_us);
}

/* The level is part of the rule before it is complete, so that rule_free() finds it. */
static enum err read_level(struct rule_conditions *c, const struct rule_fields *f, struct rule *r,
                           struct rule_level *level)
{
    if (json_object_get(f->object, "when") == NULL) {
        return rule_fields_fail(f, ERR_SYNTAX, "when",
                                "expected a condition such as \"temperature > 80\"");
    }
    enum err e = read_expr(c, f, "when", r, &level->when);
    if (e == ERR_OK && !reads_a_metric(&r->inputs)) {
        return rule_fields_fail(f, ERR_TYPE, "when",
                                "the condition reads no metric, so nothing would ever evaluate it");
    }
    if (e == ERR_OK && json_object_get(f->object, "clear") != NULL) {
        e = read_expr(c, f, "clear", r, &level->clear);
    }
    return e == ERR_OK ? read_times(f, level) : e;
}

static enum err read_severity(const struct rule_fields *f, enum severity *severity)
{
    struct view text;
    enum err e = rule_fields_text(f, "severity", SIZE_MAX, &text);
    if (e == ERR_OK && json_object_get(f->object, "severity") != NULL &&
        !severity_parse(text, severity)) {
        return rule_fields_fail(f, ERR_UNKNOWN_NAME, "severity",
                                "expected critical, major, minor, warning or info");
    }
    return e;
}

static enum err check_severities(const struct rule_fields *f, const json_t *severities)
{
    static const char *const instead[] = {"when", "clear", "severity"};
    for (size_t i = 0; i < COUNT_OF(instead); i++) {
        if (json_object_get(f->object, instead[i]) != NULL) {
            return rule_fields_fail(f, ERR_SYNTAX, instead[i],
                                    "\"severities\" has its own: one or the other");
        }
    }
    if (!json_is_object(severities) || json_object_size(severities) == 0) {
        return rule_fields_fail(f, ERR_TYPE, "severities",
                                "expected an object such as {\"warning\":{\"when\":\"x > 42\"}}");
    }
    return ERR_OK;
}

/* Those of the document, the worst first. */
static enum err read_severities(struct rule_conditions *c, const json_t *severities, struct rule *r)
{
    static const char *const known[] = {"when", "for", "clear", "clear_for"};
    static const char *const names[] = {
#define SEVERITY_NAME(name, words) words,
        SEVERITY_LIST(SEVERITY_NAME)
#undef SEVERITY_NAME
    };
    char pointer[RULE_POINTER_SIZE];
    struct rule_fields list = {.object = json_object_get(c->fields.object, "severities"),
                               .pointer = rule_pointer_join("", "severities", pointer),
                               .error = c->fields.error};
    struct rule_level common = {.for_us = 0};
    enum err e = rule_fields_only(&list, names, COUNT_OF(names));
    if (e == ERR_OK) {
        e = read_times(&c->fields, &common);
    }
    for (size_t i = 0; e == ERR_OK && i < COUNT_OF(names); i++) {
        char at[RULE_POINTER_SIZE];
        struct rule_fields f = {.object = json_object_get(severities, names[i]),
                                .pointer = rule_pointer_join(list.pointer, names[i], at),
                                .error = c->fields.error};
        if (f.object == NULL) {
            continue;
        }
        if (!json_is_object(f.object)) {
            return rule_fields_fail(&list, ERR_TYPE, names[i], "expected an object");
        }
        struct rule_level *level = &r->levels[r->level_count++];
        *level = common;
        (void)severity_parse(view_str(names[i]), &level->severity);
        e = rule_fields_only(&f, known, COUNT_OF(known));
        if (e == ERR_OK) {
            e = read_level(c, &f, r, level);
        }
    }
    return e;
}

enum err rule_conditions_read(struct rule_conditions *c, struct rule *r)
{
    const json_t *severities = json_object_get(c->fields.object, "severities");
    enum err e = ERR_OK;
    if (severities != NULL) {
        e = check_severities(&c->fields, severities);
        e = e == ERR_OK ? read_severities(c, severities, r) : e;
    } else {
        struct rule_level *level = &r->levels[r->level_count++];
        level->severity = SEVERITY_WARNING;
        e = read_level(c, &c->fields, r, level);
        e = e == ERR_OK ? read_severity(&c->fields, &level->severity) : e;
    }
    r->trigger_count = r->inputs.count;
    return e;
}
