/*
 * topic: topic names and filters, section 4.7, and shared subscriptions, section 4.8.2.
 *
 * Every function takes time linear in its input, whatever a peer sends.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

/* 1 to 65535 bytes of UTF-8 without U+0000 and wildcards. */
bool mqtt_topic_name_valid(struct view topic);
/* The same with '+' and '#' as whole levels, '#' last. "$share/{group}/{filter}" needs a group
 * without wildcards and a valid filter [MQTT-4.8.2-1, -2]. */
bool mqtt_filter_valid(struct view filter);
/* At most this many levels ("a/b" has two); of a shared filter, those after the group. */
bool mqtt_topic_depth_within(struct view topic_or_filter, uint32_t levels_max);

struct mqtt_share {
    struct view group;  /* empty: not shared */
    struct view filter; /* without "$share/{group}/" */
};
struct mqtt_share mqtt_filter_split(struct view filter); /* a valid filter */

/* A valid filter and a valid name. Wildcards in the first level do not match names that begin with
 * '$' [MQTT-4.7.2-1]. A shared filter is matched by the part after its group. */
bool mqtt_filter_matches(struct view filter, struct view topic);
/* Is every name that `inner` matches also matched by `outer`? For access lists. Both are valid;
 * groups are ignored. */
bool mqtt_filter_covers(struct view outer, struct view inner);
