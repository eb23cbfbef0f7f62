/*
 * mqtt_naive: topic matching as slowly and plainly as the standard says it, to compare with.
 * Levels are split off one by one and compared by recursion; only for short test inputs.
 */
#pragma once

#include <stdbool.h>
#include <string.h>

#include "base/view.h"

/* The first level; *ret_rest.data is NULL when there is no further one. */
static inline struct view mqtt_naive_level(struct view v, struct view *ret_rest)
{
    for (size_t i = 0; i < v.len; i++) {
        if (v.data[i] == '/') {
            *ret_rest = view_of(v.data + i + 1, v.len - i - 1);
            return view_of(v.data, i);
        }
    }
    *ret_rest = view_of(NULL, 0);
    return v;
}

static inline bool mqtt_naive_is(struct view level, char c)
{
    return level.len == 1 && level.data[0] == (uint8_t)c;
}

/* `more_*` tells an empty last level ("a/") from no level at all. */
static inline bool mqtt_naive_levels(struct view filter, bool more_f, struct view topic,
                                     bool more_t)
{
    if (!more_f || !more_t) {
        struct view none;
        return more_f == more_t || (more_f && mqtt_naive_is(mqtt_naive_level(filter, &none), '#'));
    }
    struct view rest_f;
    struct view rest_t;
    struct view f = mqtt_naive_level(filter, &rest_f);
    struct view t = mqtt_naive_level(topic, &rest_t);
    if (mqtt_naive_is(f, '#')) {
        return true;
    }
    if (!mqtt_naive_is(f, '+') && !view_eq(f, t)) {
        return false;
    }
    return mqtt_naive_levels(rest_f, rest_f.data != NULL, rest_t, rest_t.data != NULL);
}

/* Filter without "$share/…/". */
static inline bool mqtt_naive_matches(struct view filter, struct view topic)
{
    struct view rest;
    struct view first = mqtt_naive_level(filter, &rest);
    bool wild = mqtt_naive_is(first, '+') || mqtt_naive_is(first, '#');
    if (wild && topic.len > 0 && topic.data[0] == '$') {
        return false;
    }
    return mqtt_naive_levels(filter, true, topic, true);
}

static inline bool mqtt_naive_filter_valid(struct view filter)
{
    struct view left = filter;
    if (filter.len == 0) {
        return false;
    }
    while (left.data != NULL) {
        struct view level = mqtt_naive_level(left, &left);
        bool last = left.data == NULL;
        bool plus = level.len > 0 && memchr(level.data, '+', level.len) != NULL;
        bool hash = level.len > 0 && memchr(level.data, '#', level.len) != NULL;
        if ((plus || hash) && level.len != 1) {
            return false;
        }
        if (hash && !last) {
            return false;
        }
    }
    return true;
}
