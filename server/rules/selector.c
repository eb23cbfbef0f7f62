/*
 * selector: "type=motor,site in (a,b),line!=3,has(owner)". Every term must hold.
 *
 * As with Kubernetes label selectors, a device without the label satisfies !=. Keys are label
 * names, and `type` and `name`, which are no labels. Values are names, or any text in quotes.
 */
#include "rules/selector.h"

#include <stdlib.h>

#include "base/ident.h"
#include "rules/error.h"

enum { SELECTOR_TEXT_MAX = 1024, SELECTOR_TERMS_MAX = 32, SELECTOR_VALUES_MAX = 64 };

enum term_kind { TERM_EQ, TERM_NE, TERM_IN, TERM_HAS };

/* One term; its values stand one after another in the selector's `values`. */
struct term {
    enum term_kind kind;
    char *key;
    uint32_t first;
    uint32_t count;
};

struct rule_selector {
    struct term terms[SELECTOR_TERMS_MAX];
    uint32_t term_count;
    char *values[SELECTOR_VALUES_MAX];
    uint32_t value_count;
};

struct scan {
    struct view text;
    size_t at;
    const char *pointer;
    struct rule_error *error;
    struct rule_selector *s;
};

static enum err fail(const struct scan *c, enum err code, size_t at, const char *words)
{
    struct rule_place place = {.pointer = c->pointer, .line = 1, .column = (int)at + 1};
    return rule_error_set(c->error, code, place, "%s", words);
}

static void skip_blanks(struct scan *c)
{
    while (c->at < c->text.len && (c->text.data[c->at] == ' ' || c->text.data[c->at] == '\t')) {
        c->at++;
    }
}

static bool accept(struct scan *c, const char *symbol)
{
    skip_blanks(c);
    struct view s = view_str(symbol);
    if (!view_starts(view_skip(c->text, c->at), s)) {
        return false;
    }
    c->at += s.len;
    return true;
}

static struct view take_word(struct scan *c)
{
    skip_blanks(c);
    size_t start = c->at;
    while (c->at < c->text.len && ident_valid(view_of(c->text.data + c->at, 1))) {
        c->at++;
    }
    return view_of(c->text.data + start, c->at - start);
}

static enum err take_quoted(struct scan *c, struct view *ret_text)
{
    uint8_t quote = c->text.data[c->at];
    size_t start = ++c->at;
    while (c->at < c->text.len && c->text.data[c->at] != quote) {
        c->at++;
    }
    if (c->at == c->text.len) {
        return fail(c, ERR_SYNTAX, start - 1, "the text has no closing quote");
    }
    *ret_text = view_of(c->text.data + start, c->at - start);
    c->at++;
    return ERR_OK;
}

static enum err take_value(struct scan *c)
{
    skip_blanks(c);
    size_t start = c->at;
    struct view v = {NULL, 0};
    if (c->at < c->text.len && (c->text.data[c->at] == '"' || c->text.data[c->at] == '\'')) {
        enum err e = take_quoted(c, &v);
        if (e != ERR_OK) {
            return e;
        }
    } else {
        v = take_word(c);
        if (v.len == 0) {
            return fail(c, ERR_SYNTAX, start, "expected a value: a name, or a text in quotes");
        }
    }
    if (c->s->value_count == SELECTOR_VALUES_MAX) {
        return fail(c, ERR_LIMIT, start, "a selector has at most 64 values");
    }
    char *copy = strndup((const char *)v.data, v.len);
    if (copy == NULL) {
        return fail(c, ERR_NOMEM, start, err_words(ERR_NOMEM));
    }
    c->s->values[c->s->value_count++] = copy;
    return ERR_OK;
}

static enum err take_key(struct scan *c, struct term *t)
{
    skip_blanks(c);
    size_t start = c->at;
    struct view key = take_word(c);
    if (!ident_valid(key)) {
        return fail(c, ERR_SYNTAX, start, "expected the name of a label, or type, name, has(…)");
    }
    t->key = strndup((const char *)key.data, key.len);
    return t->key == NULL ? fail(c, ERR_NOMEM, start, err_words(ERR_NOMEM)) : ERR_OK;
}

static enum err take_list(struct scan *c)
{
    if (!accept(c, "(")) {
        return fail(c, ERR_SYNTAX, c->at, "expected ( and values after in");
    }
    do {
        enum err e = take_value(c);
        if (e != ERR_OK) {
            return e;
        }
    } while (accept(c, ","));
    return accept(c, ")") ? ERR_OK : fail(c, ERR_SYNTAX, c->at, "expected , or ) in the list");
}

static enum err take_test(struct scan *c, struct term *t)
{
    if (accept(c, "!=")) {
        t->kind = TERM_NE;
        return take_value(c);
    }
    if (accept(c, "==") || accept(c, "=")) {
        t->kind = TERM_EQ;
        return take_value(c);
    }
    size_t start = c->at;
    if (view_eq_str(take_word(c), "in")) {
        t->kind = TERM_IN;
        return take_list(c);
    }
    return fail(c, ERR_SYNTAX, start, "expected =, != or in (…) after the label's name");
}

static enum err take_has(struct scan *c, struct term *t)
{
    t->kind = TERM_HAS;
    enum err e = take_key(c, t);
    if (e != ERR_OK) {
        return e;
    }
    return accept(c, ")") ? ERR_OK : fail(c, ERR_SYNTAX, c->at, "expected ) after has(label");
}

static enum err take_term(struct scan *c)
{
    if (c->s->term_count == SELECTOR_TERMS_MAX) {
        return fail(c, ERR_LIMIT, c->at, "a selector has at most 32 terms");
    }
    struct term *t = &c->s->terms[c->s->term_count++];
    t->first = c->s->value_count;
    enum err e = ERR_OK;
    size_t start = c->at;
    if (view_eq_str(take_word(c), "has") && accept(c, "(")) {
        e = take_has(c, t);
    } else {
        c->at = start;
        e = take_key(c, t);
        if (e == ERR_OK) {
            e = take_test(c, t);
        }
    }
    t->count = c->s->value_count - t->first;
    return e;
}

static enum err take_all(struct scan *c)
{
    skip_blanks(c);
    if (c->at == c->text.len) {
        return ERR_OK;
    }
    do {
        enum err e = take_term(c);
        if (e != ERR_OK) {
            return e;
        }
    } while (accept(c, ","));
    skip_blanks(c);
    return c->at == c->text.len ? ERR_OK : fail(c, ERR_SYNTAX, c->at, "expected , or the end");
}

enum err rule_selector_parse_at(struct view text, const char *pointer,
                                struct rule_selector **ret_selector, struct rule_error *ret_error)
{
    struct scan c = {.text = text, .pointer = pointer, .error = ret_error};
    if (text.len > SELECTOR_TEXT_MAX) {
        return fail(&c, ERR_LIMIT, 0, "a selector has at most 1024 bytes");
    }
    c.s = calloc(1, sizeof(*c.s));
    if (c.s == NULL) {
        return rule_error_plain(ret_error, ERR_NOMEM, pointer);
    }
    enum err e = take_all(&c);
    if (e != ERR_OK) {
        rule_selector_free(c.s);
        return e;
    }
    *ret_selector = c.s;
    return ERR_OK;
}

enum err rule_selector_parse(struct view text, struct rule_selector **ret_selector,
                             struct rule_error *ret_error)
{
    return rule_selector_parse_at(text, "", ret_selector, ret_error);
}

void rule_selector_free(struct rule_selector *s)
{
    if (s == NULL) {
        return;
    }
    for (uint32_t i = 0; i < s->term_count; i++) {
        free(s->terms[i].key);
    }
    for (uint32_t i = 0; i < s->value_count; i++) {
        free(s->values[i]);
    }
    free(s);
}

struct view rule_selector_pinned_type(const struct rule_selector *s)
{
    for (uint32_t i = 0; i < s->term_count; i++) {
        const struct term *t = &s->terms[i];
        if (strcmp(t->key, "type") == 0 && t->count == 1 &&
            (t->kind == TERM_EQ || t->kind == TERM_IN)) {
            return view_str(s->values[t->first]);
        }
    }
    return (struct view){NULL, 0};
}

/* How few devices a value of it is thought to select. */
static int key_rank(const char *key)
{
    return strcmp(key, "name") == 0 ? 3 : strcmp(key, "type") == 0 ? 1 : 2;
}

bool rule_selector_pinned(const struct rule_selector *s, struct rule_pin *ret_pin)
{
    const struct term *best = NULL;
    for (uint32_t i = 0; i < s->term_count; i++) {
        const struct term *t = &s->terms[i];
        bool pins = t->kind == TERM_EQ || t->kind == TERM_IN;
        if (pins && (best == NULL || key_rank(t->key) > key_rank(best->key))) {
            best = t;
        }
    }
    if (best != NULL) {
        *ret_pin = (struct rule_pin){.key = best->key,
                                     .values = (const char *const *)&s->values[best->first],
                                     .count = best->count};
    }
    return best != NULL;
}

static const char *device_value(const struct device *d, const char *key)
{
    if (strcmp(key, "type") == 0) {
        return d->type == NULL ? NULL : d->type->name;
    }
    if (strcmp(key, "name") == 0) {
        return d->name;
    }
    return device_label(d, view_str(key));
}

static bool term_holds(const struct rule_selector *s, const struct term *t, const struct device *d)
{
    const char *value = device_value(d, t->key);
    if (t->kind == TERM_HAS) {
        return value != NULL;
    }
    bool equal = false;
    for (uint32_t i = 0; i < t->count && value != NULL; i++) {
        equal = equal || strcmp(value, s->values[t->first + i]) == 0;
    }
    return t->kind == TERM_NE ? !equal : equal;
}

bool rule_selector_matches(const struct rule_selector *s, const struct device *d)
{
    for (uint32_t i = 0; i < s->term_count; i++) {
        if (!term_holds(s, &s->terms[i], d)) {
            return false;
        }
    }
    return true;
}
