#include "notify/silence.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/ident.h"
#include "notify/fields.h"
#include "rules/rule.h"

enum { SELECTOR_MAX = 4096, COMMENT_MAX = 2000, LABEL_PREFIX = 6 };

#define SILENCE_MAX_US (366 * CLOCK_DAY_US)

static void read_selector(struct fields *f, struct silence *s)
{
    const char *text = fields_text(f, "select", SELECTOR_MAX, false);
    struct rule_selector *selector = NULL;
    struct rule_error why;
    if (f->err == ERR_OK && rule_selector_parse(view_str(text), &selector, &why) != ERR_OK) {
        fields_fail(f, ERR_SYNTAX, "select", "%s", why.detail);
    }
    s->selector = selector;
}

static void read_severities(struct fields *f, struct silence *s)
{
    const json_t *list = json_object_get(f->object, "severity");
    if (list == NULL || json_is_null(list)) {
        return;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        enum severity severity = SEVERITY_INFO;
        if (!severity_parse(view_of(json_string_value(item), json_string_length(item)),
                            &severity)) {
            fields_fail(f, ERR_UNKNOWN_NAME, "severity",
                        "item %zu is none of critical, major, minor, warning, info", i);
        }
        s->severities |= 1u << severity;
    }
    if (s->severities == 0) {
        fields_fail(f, ERR_TYPE, "severity", "must be a list of severities");
    }
}

static int64_t read_time(struct fields *f, const char *name, int64_t standard_us)
{
    const char *text = fields_text(f, name, CLOCK_TEXT_SIZE, false);
    int64_t us = standard_us;
    if (text != NULL && clock_parse(view_str(text), &us) != ERR_OK) {
        fields_fail(f, ERR_SYNTAX, name, "must be a time as 2026-03-09T10:46:06Z");
    }
    return us;
}

static void read_times(struct fields *f, struct silence *s, int64_t now_us)
{
    s->starts_us = read_time(f, "starts_at", now_us);
    s->expires_us = read_time(f, "expires_at", CLOCK_NONE);
    int64_t in_us = fields_duration(f, "expires_in", CLOCK_SECOND_US, SILENCE_MAX_US, CLOCK_NONE);
    if (f->err == ERR_OK && (s->expires_us == CLOCK_NONE) == (in_us == CLOCK_NONE)) {
        fields_fail(f, ERR_SYNTAX, "expires_at",
                    "is required, or expires_in: nothing is silenced for ever");
    }
    if (s->expires_us == CLOCK_NONE && f->err == ERR_OK) {
        s->expires_us = s->starts_us + in_us;
    }
    if (f->err == ERR_OK &&
        (s->expires_us < s->starts_us || s->expires_us - s->starts_us > SILENCE_MAX_US)) {
        fields_fail(f, ERR_RANGE, "expires_at", "must follow starts_at by 366 days at most");
    }
    s->every_us = fields_duration(f, "every", CLOCK_MINUTE_US, SILENCE_MAX_US, 0);
    s->window_us = fields_duration(f, "window", CLOCK_SECOND_US, SILENCE_MAX_US, 0);
    if (f->err == ERR_OK && (s->every_us == 0) != (s->window_us == 0)) {
        fields_fail(f, ERR_SYNTAX, s->every_us == 0 ? "every" : "window",
                    "is required: a window comes every so often and lasts so long");
    } else if (f->err == ERR_OK && s->window_us > s->every_us) {
        fields_fail(f, ERR_RANGE, "window", "is longer than every");
    }
}

static void read_while(struct fields *f, struct silence *s)
{
    const json_t *cause = fields_object(f, "while", false);
    if (cause == NULL || f->err != ERR_OK) {
        return;
    }
    struct fields in = fields_init(cause, "/while", f->error);
    fields_only(&in, "rule on");
    s->while_rule = fields_text(&in, "rule", IDENT_MAX, true);
    const char *on = fields_text(&in, "on", IDENT_MAX + LABEL_PREFIX, true);
    if (on != NULL && strncmp(on, "label:", LABEL_PREFIX) == 0 && on[LABEL_PREFIX] != '\0') {
        s->while_label = on + LABEL_PREFIX;
    } else if (on != NULL && strcmp(on, "gateway") != 0) {
        fields_fail(&in, ERR_SYNTAX, "on", "must be gateway, or label: and a label's name");
    }
    f->err = in.err;
}

enum err silence_read(struct view definition, int64_t now_us, struct silence **ret_silence,
                      struct channel_error *ret_error)
{
    *ret_error = (struct channel_error){.detail = "is no JSON object"};
    struct fields_error error = {ret_error->pointer, sizeof(ret_error->pointer), ret_error->detail,
                                 sizeof(ret_error->detail)};
    json_t *document =
        json_loadb((const char *)definition.data, definition.len, JSON_REJECT_DUPLICATES, NULL);
    struct silence *s = calloc(1, sizeof(*s));
    if (s == NULL || !json_is_object(document)) {
        json_decref(document);
        free(s);
        return s == NULL ? ERR_NOMEM : ERR_SYNTAX;
    }
    s->document = document;
    struct fields f = fields_init(document, "", &error);
    fields_only(&f, "select rule severity starts_at expires_at expires_in comment maintenance "
                    "every window while");
    read_selector(&f, s);
    s->rule = fields_text(&f, "rule", IDENT_MAX, false);
    read_severities(&f, s);
    read_times(&f, s, now_us);
    s->maintenance = fields_bool(&f, "maintenance", false);
    s->comment = fields_text(&f, "comment", COMMENT_MAX, true);
    read_while(&f, s);
    if (f.err != ERR_OK) {
        silence_free(s);
        return f.err;
    }
    *ret_silence = s;
    return ERR_OK;
}

void silence_free(struct silence *s)
{
    if (s != NULL) {
        rule_selector_free(s->selector);
        json_decref(s->document);
        free(s);
    }
}

bool silence_is_active(const struct silence *s, int64_t now_us)
{
    if (now_us < s->starts_us || now_us >= s->expires_us) {
        return false;
    }
    return s->every_us == 0 || (now_us - s->starts_us) % s->every_us < s->window_us;
}

bool silence_matches(const struct silence *s, const struct device *d, const char *rule,
                     enum severity severity)
{
    return (s->rule == NULL || strcmp(s->rule, rule) == 0) &&
           (s->severities == 0 || (s->severities & 1u << severity) != 0) &&
           rule_selector_matches(s->selector, d);
}

bool silence_is_caused(const struct silence *s, const struct device *d, const struct device *cause)
{
    if (s->while_label == NULL) {
        return d->gateway != 0 && d->gateway == cause->id;
    }
    const char *own = device_label(d, view_str(s->while_label));
    const char *other = device_label(cause, view_str(s->while_label));
    return own != NULL && other != NULL && d->id != cause->id && strcmp(own, other) == 0;
}
