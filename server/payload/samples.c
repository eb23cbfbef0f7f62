/*
 * Happy path: each member's key is the next name of the hint, so its number costs one comparison;
 * its value goes to the end of the pool; keys come in the order of their numbers, so nothing is
 * sorted. Two forms are told apart while reading: "ts" is held back until the object ends, and an
 * object under "values" can only be the timed form. null has no value, but its key still counts as
 * used; it is kept as a text without bytes until duplicates are looked for. Failure: the whole
 * message. Names nobody knew yet are interned only after everything else was accepted.
 */
#include <math.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/ident.h"
#include "payload/decode.h"

#define UNLIKELY(cond) __builtin_expect(!!(cond), 0)

static const char value_words[] = "a number, text or boolean";

enum { POOL_VALUES = 64, VALUE_BYTES_MIN = 6 /* "a":1, */ };

/* "ts" and "values", as far as the object has shown them. */
struct form {
    struct payload_event ts;
    struct payload_event values;
    enum payload_kind ts_kind;     /* PAYLOAD_ERROR: not seen */
    enum payload_kind values_kind; /* the same; else PAYLOAD_OBJECT */
};

/* ---- values ---- */

__attribute__((noinline)) static enum err grow_values(struct decode *d)
{
    uint32_t room = (uint32_t)((size_t)(d->json.end - d->json.at) / VALUE_BYTES_MIN) + 2;
    room = room > POOL_VALUES ? POOL_VALUES : room;
    room = room < d->value_count * 2 ? d->value_count * 2 : room;
    struct sample_value *values = arena_alloc(d->ctx->arena, sizeof(*values) * room);
    if (values == NULL) {
        size_t at = (size_t)(d->json.at - d->json.start);
        return decode_fail(d, ERR_NOMEM, at, "no room for more values");
    }
    if (d->value_count > 0) {
        memcpy(values, d->values, sizeof(*values) * d->value_count);
    }
    d->values = values;
    d->value_room = room;
    return ERR_OK;
}

/* A name that the hint does not have at this place. */
__attribute__((noinline)) static enum err look_up(struct decode *d, const struct payload_event *ev,
                                                  uint32_t at, int32_t *ret_metric)
{
    /* A name in the table was checked when it went in. */
    int32_t id = intern_find(d->ctx->metrics, ev->key);
    if (id == 0) {
        char shown[64];
        if (!ident_metric_valid(ev->key)) {
            return decode_fail(d, ERR_MALFORMED, ev->key_at,
                               "\"%s\" is no metric name: 1 to 128 bytes without quotes, "
                               "backslash or control bytes",
                               decode_show(ev->key, shown));
        }
        uint32_t number = 0;
        enum err e = names_add(&d->unknown, d->ctx->arena, ev->key, &number);
        if (e != ERR_OK && e != ERR_EXISTS) {
            return decode_fail(d, e, ev->key_at, "no room for more new names");
        }
        *ret_metric = INT32_MIN + (int32_t)number; /* ascending, as the numbers to come */
        return ERR_OK;
    }
    if (at < COUNT_OF(d->hint->metrics) && ident_metric_valid(ev->key)) {
        d->hint->metrics[at] = id;
        d->hint->count = d->hint->count > at ? d->hint->count : (uint8_t)(at + 1);
    }
    *ret_metric = id;
    return ERR_OK;
}

/* Tells the reader which key the hint has next. */
static inline void expect_next(struct decode *d)
{
    const struct payload_hint *hint = d->hint;
    uint32_t at = d->hint_at;
    bool known = at < hint->count && at < COUNT_OF(hint->metrics);
    d->json.expected =
        known ? intern_name(d->ctx->metrics, hint->metrics[at]) : (struct view){NULL, 0};
}

static inline enum err metric_of(struct decode *d, const struct payload_event *ev,
                                 int32_t *ret_metric)
{
    uint32_t at = d->hint_at++;
    enum err e = ERR_OK;
    if (ev->expected) {
        *ret_metric = d->hint->metrics[at];
    } else {
        e = look_up(d, ev, at, ret_metric);
    }
    expect_next(d);
    return e;
}

static enum err check_text(struct decode *d, const struct payload_event *ev)
{
    if (ev->text.len > d->ctx->limits->text_max) {
        return decode_fail(d, ERR_LIMIT, ev->at, "a text of %zu bytes, the limit is %u",
                           ev->text.len, d->ctx->limits->text_max);
    }
    if (ev->text.len > 0 && memchr(ev->text.data, 0, ev->text.len) != NULL) {
        return decode_fail(d, ERR_UNSUPPORTED, ev->at,
                           "a text with the character U+0000 cannot be stored");
    }
    return ERR_OK;
}

/* Sets what the kind of value decides: all but the metric. */
static inline enum err set_value(struct decode *d, enum payload_kind kind,
                                 const struct payload_event *ev, struct sample_value *v)
{
    v->text = (struct view){NULL, 0};
    if (kind == PAYLOAD_NUMBER) {
        v->kind = VALUE_NUMBER;
        v->number = ev->number;
        return ERR_OK;
    }
    v->number = kind == PAYLOAD_TRUE;
    if (kind == PAYLOAD_TRUE || kind == PAYLOAD_FALSE) {
        v->kind = VALUE_BOOL;
        return ERR_OK;
    }
    v->kind = VALUE_TEXT;
    if (kind == PAYLOAD_TEXT) {
        v->text = ev->text;
        return check_text(d, ev);
    }
    d->nulls = true;
    return kind == PAYLOAD_NULL ? ERR_OK : decode_fail_kind(d, ev->at, value_words, kind);
}

static inline enum err add_value(struct decode *d, enum payload_kind kind,
                                 const struct payload_event *ev)
{
    if (d->value_count == d->value_room) {
        enum err e = grow_values(d);
        if (e != ERR_OK) {
            return e;
        }
    }
    struct sample_value *v = &d->values[d->value_count];
    enum err e = set_value(d, kind, ev, v);
    if (UNLIKELY(e != ERR_OK)) {
        return e;
    }
    e = metric_of(d, ev, &v->metric);
    if (UNLIKELY(e != ERR_OK)) {
        return e;
    }
    if (UNLIKELY(d->values_seen++ >= d->ctx->limits->values_max)) {
        return decode_fail(d, ERR_LIMIT, ev->at, "more than %u values in one message",
                           d->ctx->limits->values_max);
    }
    if (d->value_count > 0 && v[-1].metric >= v->metric) {
        d->unsorted = true;
    }
    d->value_count++;
    return ERR_OK;
}

/* ---- one sample ---- */

/* The second member called `name` of the object that starts at `from`. */
static size_t second_member(const struct decode *d, size_t from, struct view name)
{
    struct payload_json j;
    payload_json_init(&j, view_skip(d->body, from), d->ctx->arena, PAYLOAD_DEPTH_MAX);
    struct payload_event ev = {0};
    enum payload_kind kind = payload_json_next(&j, &ev);
    uint32_t found = 0;
    while (kind > PAYLOAD_END && found < 2 && j.depth > 0) {
        kind = payload_json_next(&j, &ev);
        bool member = kind > PAYLOAD_END && ev.key.data != NULL && j.depth == 1;
        found += member && view_eq(ev.key, name);
    }
    return found == 2 ? from + ev.key_at : from;
}

static struct view name_of(const struct decode *d, int32_t metric)
{
    return metric > 0 ? intern_name(d->ctx->metrics, metric) : d->unknown.list[metric - INT32_MIN];
}

static enum err fail_twice(struct decode *d, size_t offset, struct view name)
{
    char shown[64];
    return decode_fail(d, ERR_EXISTS, offset, "the key \"%s\" stands twice in one object",
                       decode_show(name, shown));
}

/* `from`: where the object with the values starts. Gives the values of the sample in progress to a
 * new one. */
static enum err finish_sample(struct decode *d, int64_t ts_us, size_t from,
                              struct payload_samples *samples, struct sample ***tail)
{
    struct sample s = {.ts_us = ts_us, .values = d->values, .count = d->value_count};
    int32_t twice = 0;
    if (d->unsorted && sample_sort(&s, &twice) != ERR_OK) {
        struct view name = name_of(d, twice);
        return fail_twice(d, second_member(d, from, name), name);
    }
    if (d->nulls) {
        uint32_t kept = 0;
        for (uint32_t i = 0; i < s.count; i++) {
            if (s.values[i].kind != VALUE_TEXT || s.values[i].text.data != NULL) {
                s.values[kept++] = s.values[i];
            }
        }
        s.count = kept;
    }
    if (s.count == 0) {
        return ERR_OK;
    }
    struct sample *kept = arena_alloc(d->ctx->arena, sizeof(*kept));
    if (kept == NULL) {
        return decode_fail(d, ERR_NOMEM, from, "no room for more samples");
    }
    *kept = s;
    **tail = kept;
    *tail = &kept->next;
    samples->count++;
    samples->values += s.count;
    d->values += s.count;
    d->value_room -= s.count;
    return ERR_OK;
}

static enum err read_values(struct decode *d)
{
    struct payload_event ev;
    for (;;) {
        enum payload_kind kind = payload_json_next(&d->json, &ev);
        if (kind == PAYLOAD_OBJECT_END) {
            return ERR_OK;
        }
        enum err e = add_value(d, kind, &ev);
        if (UNLIKELY(e != ERR_OK)) {
            return e;
        }
    }
}

static enum err take_ts(struct decode *d, struct form *form, enum payload_kind kind,
                        const struct payload_event *ev)
{
    if (form->ts_kind != PAYLOAD_ERROR) {
        return fail_twice(d, ev->key_at, ev->key);
    }
    if (kind == PAYLOAD_OBJECT || kind == PAYLOAD_ARRAY || kind == PAYLOAD_ERROR) {
        return decode_fail_kind(d, ev->at, "a number", kind);
    }
    form->ts = *ev;
    form->ts.expected = false; /* in the hint's order it stands elsewhere */
    form->ts_kind = kind;
    return ERR_OK;
}

/* An object under the key "values". */
static enum err take_values(struct decode *d, struct form *form, const struct payload_event *ev)
{
    if (form->values_kind != PAYLOAD_ERROR) {
        return fail_twice(d, ev->key_at, ev->key);
    }
    if (d->value_count > 0) {
        return decode_fail(d, ERR_TYPE, ev->at,
                           "expected %s, found an object: only \"ts\" may stand beside \"values\"",
                           value_words);
    }
    form->values = *ev;
    form->values_kind = PAYLOAD_OBJECT;
    return read_values(d);
}

/* The members of a sample's object. */
static enum err read_members(struct decode *d, struct form *form)
{
    struct payload_event ev;
    for (;;) {
        enum payload_kind kind = payload_json_next(&d->json, &ev);
        enum err e = ERR_OK;
        if (kind == PAYLOAD_OBJECT_END) {
            return ERR_OK;
        }
        if (kind == PAYLOAD_ERROR) {
            e = decode_fail_json(d);
        } else if (ev.key.len == 2 && memcmp(ev.key.data, "ts", 2) == 0) {
            e = take_ts(d, form, kind, &ev);
        } else if (kind == PAYLOAD_OBJECT && view_eq(ev.key, VIEW("values"))) {
            e = take_values(d, form, &ev);
        } else if (UNLIKELY(form->values_kind != PAYLOAD_ERROR)) {
            e = decode_fail(d, ERR_TYPE, form->values.at,
                            "expected %s, found an object: only \"ts\" may stand beside \"values\"",
                            value_words);
        } else {
            e = add_value(d, kind, &ev);
        }
        if (UNLIKELY(e != ERR_OK)) {
            return e;
        }
    }
}

static enum err timestamp(struct decode *d, const struct form *form, int64_t *ret_ts_us)
{
    if (form->ts_kind == PAYLOAD_ERROR) {
        return decode_fail(d, ERR_TYPE, form->values.at,
                           "expected %s, found an object: beside \"values\" \"ts\" is missing",
                           value_words);
    }
    if (form->ts_kind != PAYLOAD_NUMBER) {
        return decode_fail_kind(d, form->ts.at, "a number", form->ts_kind);
    }
    const int64_t end_ms = CLOCK_MAX_US / 1000 + 1;
    double ms = form->ts.number;
    /* First as doubles: a conversion to int64_t must not overflow. */
    if (ms >= 0 && ms < (double)end_ms) {
        /* Whole milliseconds apart: ms * 1000 would not be exact in the far future. */
        int64_t whole = (int64_t)ms;
        int64_t us = whole * 1000 + llround((ms - (double)whole) * 1000);
        if (us <= CLOCK_MAX_US) {
            *ret_ts_us = us;
            return ERR_OK;
        }
    }
    return decode_fail(d, ERR_RANGE, form->ts.at,
                       "\"ts\" is not within the years 1970 to 9999 in milliseconds: %.17g", ms);
}

enum err decode_sample(struct decode *d, struct payload_samples *samples, struct sample ***tail)
{
    size_t from = (size_t)(d->json.at - d->json.start) - 1;
    if (d->samples_seen++ >= d->ctx->limits->samples_max) {
        return decode_fail(d, ERR_LIMIT, from, "more than %u samples in one message",
                           d->ctx->limits->samples_max);
    }
    d->hint_at = 0;
    expect_next(d);
    d->value_count = 0;
    d->unsorted = false;
    d->nulls = false;
    struct form form;
    form.ts_kind = PAYLOAD_ERROR;
    form.values_kind = PAYLOAD_ERROR;
    int64_t ts_us = CLOCK_NONE;
    enum err e = read_members(d, &form);
    if (e != ERR_OK) {
        return e;
    }
    if (form.values_kind != PAYLOAD_ERROR) {
        from = form.values.at;
        e = timestamp(d, &form, &ts_us);
    } else if (form.ts_kind != PAYLOAD_ERROR) {
        e = add_value(d, form.ts_kind, &form.ts); /* without "values" it is a metric like others */
    }
    return e != ERR_OK ? e : finish_sample(d, ts_us, from, samples, tail);
}

enum err decode_samples(struct decode *d, struct payload_samples *samples)
{
    struct sample **tail = &samples->first;
    struct payload_event ev = {0};
    for (;;) {
        enum payload_kind kind = payload_json_next(&d->json, &ev);
        if (kind == PAYLOAD_ARRAY_END) {
            *tail = NULL;
            return ERR_OK;
        }
        enum err e = kind == PAYLOAD_OBJECT ? decode_sample(d, samples, &tail)
                                            : decode_fail_kind(d, ev.at, "an object", kind);
        if (e != ERR_OK) {
            return e;
        }
    }
}

/* ---- names nobody knew ---- */

static enum err resolve_value(struct decode *d, struct sample_value *v)
{
    uint32_t number = (uint32_t)(v->metric - INT32_MIN);
    int32_t *id = &d->unknown_ids[number];
    if (*id == 0) {
        *id = intern_add(d->ctx->metrics, d->unknown.list[number]);
    }
    if (*id == 0) {
        char shown[64];
        return decode_fail(d, ERR_FULL, 0, "no room for the new metric name \"%s\"",
                           decode_show(d->unknown.list[number], shown));
    }
    v->metric = *id;
    return ERR_OK;
}

enum err decode_resolve(struct decode *d, struct payload_samples *samples)
{
    if (d->unknown.count == 0) {
        return ERR_OK;
    }
    if (d->unknown_ids == NULL) {
        d->unknown_ids = arena_zalloc(d->ctx->arena, sizeof(*d->unknown_ids) * d->unknown.count);
        if (d->unknown_ids == NULL) {
            return decode_fail(d, ERR_NOMEM, 0, "no room for more new names");
        }
    }
    for (struct sample *s = samples->first; s != NULL; s = s->next) {
        for (uint32_t i = 0; i < s->count; i++) {
            enum err e = s->values[i].metric < 0 ? resolve_value(d, &s->values[i]) : ERR_OK;
            if (e != ERR_OK) {
                return e;
            }
        }
        int32_t twice = 0;
        if (sample_sort(s, &twice) != ERR_OK) {
            /* Another thread interned the name between its two occurrences here. */
            return fail_twice(d, 0, name_of(d, twice));
        }
    }
    return ERR_OK;
}
