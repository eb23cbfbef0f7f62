/*
 * pattern: an entry of a device type's access list: a topic filter in which placeholders stand for
 * what a device is, so that one list gives each device topics of its own.
 *
 *     {device}     its name
 *     {gateway}    the name of the device it is connected through
 *     {label.site} its label "site" as text
 *
 * A value can only ever be a part of one level. Where one is missing, empty, or has a byte that
 * means something in a topic ('+', '#', '/', '$', NUL), the whole pattern allows nothing; so does
 * one that is malformed. '{' always begins a placeholder.
 *
 * Threads: any. Limits: AUTH_FILTER_MAX bytes when filled; a longer one allows nothing.
 */
#pragma once

#include "base/view.h"
#include "model/device.h"

enum { AUTH_FILTER_MAX = 4096 };

/* Known placeholders, and a filter with any values in their places. For those who write lists. */
bool auth_pattern_valid(struct view pattern);
/* The filter for this device, valid as long as pattern and room; empty: it allows nothing. */
struct view auth_pattern_fill(struct view pattern, const struct device *d,
                              char room[static AUTH_FILTER_MAX]);
