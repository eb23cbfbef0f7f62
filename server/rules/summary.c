#include "rules/summary.h"

#include <math.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/ident.h"
#include "rules/compiled.h"

static const struct {
    const char *word;
    enum rule_part_kind kind;
} words[] = {
    {"device", RULE_PART_DEVICE},
    {"rule", RULE_PART_RULE},
    {"severity", RULE_PART_SEVERITY},
    {"value", RULE_PART_VALUE},
};

struct maker {
    struct rule_summary s;
    const struct rule_scope *scope;
    struct intern *metrics;
    struct rule_inputs *in;
};

static enum err fail(const struct maker *m, enum err code, size_t at, const char *detail)
{
    struct rule_place place = {.pointer = m->scope->pointer, .line = 1, .column = (int)at + 1};
    return rule_error_set(m->scope->error, code, place, "%s", detail);
}

static enum err add(struct maker *m, struct rule_part part, size_t at)
{
    if (m->s.count == RULE_SUMMARY_PARTS_MAX) {
        return fail(m, ERR_LIMIT, at, "a summary has at most 31 placeholders");
    }
    m->s.parts[m->s.count++] = part;
    return ERR_OK;
}

static struct view trim(struct view v)
{
    while (v.len > 0 && v.data[0] == ' ') {
        v = view_skip(v, 1);
    }
    while (v.len > 0 && v.data[v.len - 1] == ' ') {
        v.len--;
    }
    return v;
}

static enum err add_metric(struct maker *m, struct view name, size_t at)
{
    struct rule_place place = {.pointer = m->scope->pointer, .line = 1, .column = (int)at + 1};
    if (!ident_metric_valid(name)) {
        return rule_error_set(
            m->scope->error, ERR_UNKNOWN_NAME, place,
            "unknown placeholder {{%.*s}}: device, rule, severity, value, label.x, "
            "attr.x or a metric",
            (int)(name.len > 64 ? 64 : name.len), (const char *)name.data);
    }
    enum err e = rule_scope_metric(m->scope, place, name);
    if (e != ERR_OK) {
        return e;
    }
    struct rule_part part = {.kind = RULE_PART_METRIC, .text = name};
    struct rule_ref ref = {.kind = RULE_INPUT_METRIC, .name = name};
    e = rule_inputs_add(m->in, &ref, m->metrics, &part.input);
    if (e != ERR_OK) {
        return rule_error_plain(m->scope->error, e == ERR_FULL ? ERR_LIMIT : e, m->scope->pointer);
    }
    return add(m, part, at);
}

static enum err add_placeholder(struct maker *m, struct view name, size_t at)
{
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (view_eq_str(name, words[i].word)) {
            return add(m, (struct rule_part){.kind = words[i].kind}, at);
        }
    }
    struct view label = VIEW("label.");
    struct view attr = VIEW("attr.");
    bool of_label = view_starts(name, label);
    if (of_label || view_starts(name, attr)) {
        struct view key = view_skip(name, of_label ? label.len : attr.len);
        if (!ident_metric_valid(key)) {
            return fail(m, ERR_SYNTAX, at, "expected a name after label. or attr.");
        }
        return add(
            m, (struct rule_part){.kind = of_label ? RULE_PART_LABEL : RULE_PART_ATTR, .text = key},
            at);
    }
    return add_metric(m, name, at);
}

/* Where `mark` ("{{" or "}}") is next, or the end. */
static size_t find(struct view text, size_t from, char mark)
{
    for (size_t i = from; i + 1 < text.len; i++) {
        if (text.data[i] == (uint8_t)mark && text.data[i + 1] == (uint8_t)mark) {
            return i;
        }
    }
    return text.len;
}

static enum err make(struct maker *m, struct view text)
{
    size_t at = 0;
    while (at < text.len) {
        size_t open = find(text, at, '{');
        if (open > at) {
            struct rule_part words_part = {.kind = RULE_PART_TEXT,
                                           .text = view_of(text.data + at, open - at)};
            enum err e = add(m, words_part, at);
            if (e != ERR_OK) {
                return e;
            }
        }
        if (open == text.len) {
            return ERR_OK;
        }
        size_t close = find(text, open + 2, '}');
        if (close == text.len) {
            return fail(m, ERR_SYNTAX, open, "this {{ has no }}");
        }
        enum err e =
            add_placeholder(m, trim(view_of(text.data + open + 2, close - open - 2)), open);
        if (e != ERR_OK) {
            return e;
        }
        at = close + 2;
    }
    return ERR_OK;
}

enum err rule_summary_parse(struct view text, const struct rule_scope *scope,
                            struct intern *metrics, struct rule_inputs *in,
                            struct rule_summary *ret_summary)
{
    struct maker m = {.scope = scope, .metrics = metrics, .in = in};
    if (text.len > RULE_SUMMARY_MAX_BYTES) {
        return fail(&m, ERR_LIMIT, 0, "a summary has at most 1024 bytes");
    }
    m.s.text = strndup((const char *)text.data, text.len);
    m.s.parts = calloc(RULE_SUMMARY_PARTS_MAX, sizeof(*m.s.parts));
    enum err e = ERR_NOMEM;
    if (m.s.text != NULL && m.s.parts != NULL) {
        e = make(&m, view_of(m.s.text, text.len));
    } else {
        e = rule_error_plain(scope->error, ERR_NOMEM, scope->pointer);
    }
    if (e != ERR_OK) {
        rule_summary_fini(&m.s);
        return e;
    }
    *ret_summary = m.s;
    return ERR_OK;
}

void rule_summary_fini(struct rule_summary *s)
{
    free(s->text);
    free(s->parts);
    *s = (struct rule_summary){.text = NULL};
}

static void put_number(struct buf *out, double v)
{
    if (isnan(v)) {
        buf_put_str(out, "n/a");
    } else {
        buf_printf(out, "%.6g", v == 0 ? 0.0 : v); /* no -0 */
    }
}

static void put_text(struct buf *out, const char *text)
{
    buf_put_str(out, text == NULL ? "n/a" : text);
}

void rule_summary_render(const struct rule *r, const struct rule_shown *shown, struct buf *out)
{
    for (uint32_t i = 0; i < r->summary.count; i++) {
        const struct rule_part *p = &r->summary.parts[i];
        switch (p->kind) {
        case RULE_PART_TEXT:
            buf_put_view(out, p->text);
            break;
        case RULE_PART_DEVICE:
            put_text(out, shown->device->name);
            break;
        case RULE_PART_RULE:
            put_text(out, r->name);
            break;
        case RULE_PART_SEVERITY:
            put_text(out, severity_words(shown->severity));
            break;
        case RULE_PART_VALUE:
            put_number(out, shown->value);
            break;
        case RULE_PART_LABEL:
            put_text(out, device_label(shown->device, p->text));
            break;
        case RULE_PART_ATTR: {
            const struct device_pair *pair = device_attribute(shown->device, p->text);
            put_text(out, pair == NULL ? NULL : pair->text);
            break;
        }
        case RULE_PART_METRIC:
            put_number(out, shown->inputs[p->input]);
            break;
        }
    }
}
