#include "maintenance/plan.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/ident.h"
#include "maintenance/calendar.h"

enum { TEXT_MAX = 256, RRULE_MAX = 256, METRIC_MAX = 128 };

static const char *const kinds[] = {
    [MAINTENANCE_RUN_HOURS] = "run_hours", [MAINTENANCE_CYCLES] = "cycles",
    [MAINTENANCE_ENERGY] = "energy",       [MAINTENANCE_COUNTER] = "counter",
    [MAINTENANCE_CALENDAR] = "calendar",   [MAINTENANCE_CONDITION] = "condition",
};

bool maintenance_counts(const struct maintenance_trigger *t)
{
    return t->kind <= MAINTENANCE_COUNTER;
}

/* One object of the document. Errors stick to the first. */
struct reader {
    json_t *object;
    char pointer[48];
    struct rule_error *error;
    enum err err;
};

__attribute__((format(printf, 4, 5))) static void fail(struct reader *r, enum err e,
                                                       const char *key, const char *format, ...)
{
    if (r->err != ERR_OK) {
        return;
    }
    r->err = e;
    *r->error = (struct rule_error){.line = 0};
    /* An unknown key may be of any length. */
    struct buf pointer;
    buf_init(&pointer, 1 << 20);
    buf_printf(&pointer, "%s%s%.300s", r->pointer, key[0] == '\0' ? "" : "/", key);
    (void)view_copy(buf_view(&pointer), r->error->pointer, sizeof(r->error->pointer));
    buf_fini(&pointer);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(r->error->detail, sizeof(r->error->detail), format, args);
    va_end(args);
}

/* `known` ends with NULL. */
static void only(struct reader *r, const char *const *known)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(r->object, key, value)
    {
        size_t i = 0;
        while (known[i] != NULL && strcmp(known[i], key) != 0) {
            i++;
        }
        if (known[i] == NULL) {
            fail(r, ERR_UNKNOWN_NAME, key, "unknown field");
        }
    }
}

/* A copy; NULL when it is not there, or after an error. */
static char *text(struct reader *r, const char *key, size_t max, bool required)
{
    json_t *value = json_object_get(r->object, key);
    if (value == NULL || json_is_null(value)) {
        if (required) {
            fail(r, ERR_SYNTAX, key, "is required");
        }
        return NULL;
    }
    const char *s = json_string_value(value);
    if (s == NULL || s[0] == '\0' || strlen(s) != json_string_length(value)) {
        fail(r, ERR_TYPE, key, "expected a text that is not empty");
        return NULL;
    }
    if (strlen(s) > max) {
        fail(r, ERR_LIMIT, key, "at most %zu bytes", max);
        return NULL;
    }
    char *copy = r->err == ERR_OK ? strdup(s) : NULL;
    if (copy == NULL) {
        fail(r, ERR_NOMEM, key, "%s", err_words(ERR_NOMEM));
    }
    return copy;
}

static int64_t duration(struct reader *r, const char *key, int64_t standard_us, int64_t min_us)
{
    json_t *value = json_object_get(r->object, key);
    int64_t us = standard_us;
    if (value != NULL && (!json_is_string(value) ||
                          clock_parse_duration(view_str(json_string_value(value)), &us) != ERR_OK ||
                          us < min_us || us > 3660 * CLOCK_DAY_US)) {
        fail(r, ERR_TYPE, key, "expected a duration such as 7d");
    }
    return us;
}

static double positive(struct reader *r, const char *key, bool required)
{
    json_t *value = json_object_get(r->object, key);
    double x = json_number_value(value);
    if (value == NULL && !required) {
        return 0.0;
    }
    if (!json_is_number(value) || !(x > 0.0) || x > 1e15) {
        fail(r, ERR_RANGE, key, "expected a number greater than 0");
    }
    return x;
}

/* ---- conditions on one metric ---- */

static const struct {
    const char *sign;
    enum maintenance_compare compare;
} signs[] = {
    {">=", MAINTENANCE_GE}, {"<=", MAINTENANCE_LE}, {"==", MAINTENANCE_EQ},
    {"!=", MAINTENANCE_NE}, {">", MAINTENANCE_GT},  {"<", MAINTENANCE_LT},
};

/* A number, true, false, or a word. */
static bool read_operand(struct maintenance_trigger *t, const char *s)
{
    char *end = NULL;
    double number = strtod(s, &end);
    if (end != s && *end == '\0') {
        t->operand.number = number;
        return isfinite(number);
    }
    if (strcmp(s, "true") == 0 || strcmp(s, "false") == 0) {
        t->operand.number = s[0] == 't';
        return true;
    }
    if (s[0] == '\0' || (t->compare != MAINTENANCE_EQ && t->compare != MAINTENANCE_NE)) {
        return false;
    }
    char *copy = strdup(s);
    t->operand = (struct maintenance_value){.number = (double)NAN, .text = view_str(copy)};
    return copy != NULL;
}

static void read_when(struct reader *r, struct maintenance_trigger *t)
{
    json_t *threshold = json_object_get(r->object, "threshold");
    char *when = text(r, "when", TEXT_MAX, false);
    t->compare = MAINTENANCE_NE; /* running is what is not 0 */
    if (threshold != NULL && (when != NULL || !json_is_number(threshold))) {
        fail(r, ERR_TYPE, "threshold", "expected a number, and no `when` beside it");
    } else if (threshold != NULL) {
        t->compare = MAINTENANCE_GT;
        t->operand.number = json_number_value(threshold);
    } else if (when != NULL) {
        const char *at = when;
        size_t i = 0;
        while (i < COUNT_OF(signs) && !view_starts(view_str(at), view_str(signs[i].sign))) {
            i++;
        }
        at += i < COUNT_OF(signs) ? strlen(signs[i].sign) : 0;
        at += strspn(at, " ");
        t->compare = i < COUNT_OF(signs) ? signs[i].compare : MAINTENANCE_NE;
        if (i == COUNT_OF(signs) || !read_operand(t, at)) {
            fail(r, ERR_SYNTAX, "when",
                 "expected a comparison such as \"> 100\" or \"== running\"");
        }
    }
    free(when);
}

static const char *sign_words(enum maintenance_compare c)
{
    for (size_t i = 0; i < COUNT_OF(signs); i++) {
        if (signs[i].compare == c) {
            return signs[i].sign;
        }
    }
    return "";
}

/* ---- triggers ---- */

static void read_counting(struct reader *r, struct maintenance_trigger *t)
{
    static const char *const with_when[] = {"metric", "when", "threshold", "every", NULL};
    static const char *const registers[] = {"metric", "every", "modulus", NULL};
    bool timed = t->kind == MAINTENANCE_RUN_HOURS || t->kind == MAINTENANCE_CYCLES;
    only(r, timed ? with_when : registers);
    t->metric = text(r, "metric", METRIC_MAX, true);
    t->every = positive(r, "every", true);
    if (!timed) {
        t->modulus = positive(r, "modulus", false);
        if (t->metric != NULL && t->modulus > 0.0) {
            (void)snprintf(t->key, sizeof(t->key), "%s %s modulo %.17g", kinds[t->kind], t->metric,
                           t->modulus);
        } else if (t->metric != NULL) {
            (void)snprintf(t->key, sizeof(t->key), "%s %s", kinds[t->kind], t->metric);
        }
        return;
    }
    read_when(r, t);
    if (t->metric != NULL && t->operand.text.data != NULL) {
        (void)snprintf(t->key, sizeof(t->key), "%s %s %s %.*s", kinds[t->kind], t->metric,
                       sign_words(t->compare), VIEW_ARG(t->operand.text));
    } else if (t->metric != NULL) {
        (void)snprintf(t->key, sizeof(t->key), "%s %s %s %.17g", kinds[t->kind], t->metric,
                       sign_words(t->compare), t->operand.number);
    }
}

static void read_calendar(struct reader *r, struct maintenance_trigger *t)
{
    static const char *const known[] = {"rrule", "timezone", "start", NULL};
    char detail[160] = "";
    only(r, known);
    t->rrule = text(r, "rrule", RRULE_MAX, true);
    t->zone = text(r, "timezone", TEXT_MAX, false);
    t->start = text(r, "start", TEXT_MAX, false);
    if (t->zone == NULL && r->err == ERR_OK) {
        t->zone = strdup("UTC");
    }
    if (r->err != ERR_OK) {
        return;
    }
    enum err e = t->zone == NULL ? ERR_NOMEM
                                 : maintenance_calendar_check(t->rrule, t->zone, t->start, detail,
                                                              sizeof(detail));
    if (e != ERR_OK) {
        fail(r, e,
             e == ERR_UNKNOWN_NAME ? "timezone"
             : e == ERR_TYPE       ? "start"
                                   : "rrule",
             "%s", detail[0] == '\0' ? err_words(e) : detail);
        return;
    }
    (void)snprintf(t->key, sizeof(t->key), "calendar %s", t->rrule);
}

static void read_condition(struct reader *r, struct maintenance_trigger *t)
{
    static const char *const known[] = {"rule", NULL};
    only(r, known);
    t->rule = text(r, "rule", IDENT_MAX, true);
    if (t->rule != NULL) {
        (void)snprintf(t->key, sizeof(t->key), "condition %s", t->rule);
    }
}

/* {"run_hours":{…}}: one member, which says what kind it is. */
static void read_trigger(struct reader *r, struct maintenance_plan *p, size_t at)
{
    struct reader inner = {.error = r->error};
    json_t *object = json_array_get(json_object_get(r->object, "triggers"), at);
    const char *name = NULL;
    size_t kind = 0;
    (void)snprintf(inner.pointer, sizeof(inner.pointer), "/triggers/%zu", at);
    void *only_one = json_object_size(object) == 1 ? json_object_iter(object) : NULL;
    if (only_one != NULL) {
        name = json_object_iter_key(only_one);
        inner.object = json_object_iter_value(only_one);
    }
    while (name != NULL && kind < COUNT_OF(kinds) && strcmp(kinds[kind], name) != 0) {
        kind++;
    }
    if (name == NULL || kind == COUNT_OF(kinds) || !json_is_object(inner.object)) {
        fail(&inner, ERR_SYNTAX, "",
             "expected one of run_hours, cycles, energy, counter, calendar, condition");
        r->err = inner.err;
        return;
    }
    (void)snprintf(inner.pointer, sizeof(inner.pointer), "/triggers/%zu/%s", at, name);
    struct maintenance_trigger *t = &p->triggers[p->trigger_count++];
    t->kind = (enum maintenance_kind)kind;
    if (maintenance_counts(t)) {
        read_counting(&inner, t);
    } else if (t->kind == MAINTENANCE_CALENDAR) {
        read_calendar(&inner, t);
    } else {
        read_condition(&inner, t);
    }
    for (uint32_t i = 0; i + 1 < p->trigger_count; i++) {
        if (strcmp(p->triggers[i].key, t->key) == 0) {
            fail(&inner, ERR_EXISTS, "", "counts the same as trigger %u", i);
        }
    }
    r->err = inner.err;
}

static void read_triggers(struct reader *r, struct maintenance_plan *p)
{
    json_t *list = json_object_get(r->object, "triggers");
    if (!json_is_array(list) || json_array_size(list) == 0 ||
        json_array_size(list) > MAINTENANCE_TRIGGERS_MAX) {
        fail(r, ERR_TYPE, "triggers", "expected a list of 1 to %d triggers",
             MAINTENANCE_TRIGGERS_MAX);
        return;
    }
    for (size_t i = 0; r->err == ERR_OK && i < json_array_size(list); i++) {
        read_trigger(r, p, i);
    }
}

/* ---- the plan ---- */

static void read_plan(struct reader *r, struct maintenance_plan *p)
{
    static const char *const known[] = {
        "name",          "title",   "select", "assignee", "due_soon",
        "overdue_after", "max_gap", "from",   "triggers", NULL};
    only(r, known);
    p->name = text(r, "name", IDENT_MAX, true);
    if (p->name != NULL && !ident_valid(view_str(p->name))) {
        fail(r, ERR_SYNTAX, "name", "is 1 to 128 letters, digits, . _ : -");
    }
    p->title = text(r, "title", TEXT_MAX, true);
    p->assignee = text(r, "assignee", IDENT_MAX, false);
    p->due_soon_us = duration(r, "due_soon", 7 * CLOCK_DAY_US, 0);
    p->overdue_after_us = duration(r, "overdue_after", CLOCK_DAY_US, 0);
    p->max_gap_us = duration(r, "max_gap", 15 * CLOCK_MINUTE_US, CLOCK_MS_US);
    p->from_us = CLOCK_NONE;
    json_t *from = json_object_get(r->object, "from");
    if (from != NULL && (!json_is_string(from) ||
                         clock_parse(view_str(json_string_value(from)), &p->from_us) != ERR_OK)) {
        fail(r, ERR_TYPE, "from", "expected a time such as 2026-01-25T02:00:00Z");
    }
    char *select = text(r, "select", 4096, true);
    if (select != NULL) {
        struct rule_error inner = {.line = 0};
        enum err e = rule_selector_parse(view_str(select), &p->selector, &inner);
        if (e != ERR_OK) {
            fail(r, e, "select", "%s", inner.detail);
        }
    }
    free(select);
    read_triggers(r, p);
}

enum err maintenance_plan_read(struct view json, struct maintenance_plan **ret_plan,
                               struct rule_error *ret_error)
{
    struct maintenance_plan *p = calloc(1, sizeof(*p));
    json_error_t where;
    struct reader r = {.error = ret_error};
    if (p == NULL) {
        fail(&r, ERR_NOMEM, "", "%s", err_words(ERR_NOMEM));
        return r.err;
    }
    r.object = json_loadb((const char *)json.data, json.len, JSON_REJECT_DUPLICATES, &where);
    if (!json_is_object(r.object)) {
        fail(&r, ERR_SYNTAX, "", "expected a JSON object");
    } else {
        read_plan(&r, p);
    }
    json_decref(r.object);
    if (r.err != ERR_OK) {
        maintenance_plan_free(p);
        return r.err;
    }
    *ret_plan = p;
    return ERR_OK;
}

void maintenance_plan_free(struct maintenance_plan *p)
{
    if (p == NULL) {
        return;
    }
    for (uint32_t i = 0; i < p->trigger_count; i++) {
        struct maintenance_trigger *t = &p->triggers[i];
        free(t->metric);
        free((void *)(uintptr_t)t->operand.text.data);
        free(t->rrule);
        free(t->zone);
        free(t->start);
        free(t->rule);
    }
    rule_selector_free(p->selector);
    free(p->name);
    free(p->title);
    free(p->assignee);
    free(p);
}
