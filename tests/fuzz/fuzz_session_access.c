/*
 * Access lists: what a device may publish and subscribe, with any lists in its type.
 *
 * Properties: a publish is allowed exactly when the naive matcher finds an entry for the topic, on
 * the device API's topics one of its own; a message of somebody else never has such a topic; a
 * subscription that is allowed gives no topic that no entry allows; a list entry that is no filter
 * allows nothing; a placeholder's value stays a part of one level; without a device nothing is
 * allowed but on the open listener.
 *
 * Input: lines: a topic, a filter, then entries of the type, to publish and to subscribe by turns.
 * The device's gateway has the topic as its name, and its label "x" is the filter.
 */
#include "auth/pattern.h"
#include "base/utf8.h"
#include "fuzz.h"
#include "mqtt/topic.h"
#include "mqtt_naive.h"
#include "session/private.h"

enum { ENTRIES_MAX = 8, DEPTH_MAX = 16 };

/* The device API's own, typed from the manual of the device API. */
static const char *const own_publish[] = {
    "v1/devices/me/telemetry",
    "v1/devices/me/attributes",
    "v1/devices/me/attributes/request/+",
    "v1/devices/me/rpc/response/+",
    "v1/devices/me/rpc/request/+",
    "v1/gateway/telemetry",
    "v1/gateway/connect",
    "v1/gateway/disconnect",
    "v1/gateway/attributes",
    "v1/gateway/rpc",
};
static const char *const own_subscribe[] = {
    "v1/devices/me/rpc/request/+",
    "v1/devices/me/rpc/response/+",
    "v1/devices/me/attributes",
    "v1/devices/me/attributes/response/+",
    "v1/gateway/rpc",
    "v1/gateway/attributes",
};

struct entries {
    char *items[ENTRIES_MAX];
    uint32_t count;
};

static struct view next_line(struct view *left)
{
    struct view line = *left;
    const uint8_t *end = left->len == 0 ? NULL : memchr(left->data, '\n', left->len);
    line.len = end == NULL ? left->len : (size_t)(end - left->data);
    *left = view_skip(*left, end == NULL ? left->len : line.len + 1);
    return line;
}

static void entries_add(struct entries *l, struct view line)
{
    if (l->count < ENTRIES_MAX) {
        l->items[l->count] = malloc(line.len + 1);
        CHECK(l->items[l->count] != NULL);
        (void)view_copy(line, l->items[l->count], line.len + 1);
        l->count++;
    }
}

static void entries_fini(struct entries *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        free(l->items[i]);
    }
}

static bool device_api(struct view topic)
{
    return view_starts(topic, VIEW("v1/devices/me/")) || view_starts(topic, VIEW("v1/gateway/"));
}

/* "$share/group/a/+" is about "a/+"; without data: no filter. */
static struct view plain_filter(struct view v)
{
    struct view rest = v;
    if (!utf8_valid_mqtt(v) || v.len > UINT16_MAX) {
        return view_of(NULL, 0);
    }
    if (view_starts(v, VIEW("$share/"))) {
        struct view group = mqtt_naive_level(view_skip(v, 7), &rest);
        bool wild = group.len > 0 && (memchr(group.data, '+', group.len) != NULL ||
                                      memchr(group.data, '#', group.len) != NULL);
        if (group.len == 0 || wild || rest.data == NULL) {
            return view_of(NULL, 0);
        }
    }
    return mqtt_naive_filter_valid(rest) ? rest : view_of(NULL, 0);
}

/* The entry with its placeholders filled in. False: it allows nothing. */
static bool naive_fill(const char *in, const struct device *d, char out[AUTH_FILTER_MAX + 1])
{
    const struct {
        const char *place, *value;
    } known[] = {
        {"{device}", d->name}, {"{gateway}", d->gateway_name}, {"{label.x}", d->labels[0].text}};
    size_t len = 0;
    while (*in != '\0') {
        const char *value = NULL;
        char plain[2] = {*in, '\0'};
        size_t used = 1;
        for (size_t i = 0; i < COUNT_OF(known); i++) {
            if (strncmp(in, known[i].place, strlen(known[i].place)) == 0) {
                value = known[i].value;
                used = strlen(known[i].place);
            }
        }
        if (*in == '{' && (value == NULL || *value == '\0' || strpbrk(value, "+#/$") != NULL)) {
            return false;
        }
        value = value == NULL ? plain : value;
        if (len + strlen(value) > AUTH_FILTER_MAX) {
            return false;
        }
        memcpy(out + len, value, strlen(value));
        len += strlen(value);
        in += used;
    }
    out[len] = '\0';
    return true;
}

static bool allowed(const char *const *own, size_t own_count, const struct entries *l,
                    const struct device *d, struct view topic)
{
    char filled[AUTH_FILTER_MAX + 1];
    for (size_t i = 0; i < own_count; i++) {
        if (mqtt_naive_matches(view_str(own[i]), topic)) {
            return true;
        }
    }
    for (uint32_t i = 0; i < l->count; i++) {
        struct view entry = {0};
        if (naive_fill(l->items[i], d, filled)) {
            entry = plain_filter(view_str(filled));
        }
        if (entry.data != NULL && mqtt_naive_matches(entry, topic)) {
            return true;
        }
    }
    return false;
}

static uint32_t depth(struct view v)
{
    uint32_t levels = 0;
    for (struct view left = v; left.data != NULL; levels++) {
        (void)mqtt_naive_level(left, &left);
    }
    return levels;
}

static void check(const struct session *s, const struct entries *publish,
                  const struct entries *subscribe, struct view topic, struct view filter)
{
    static const struct entries none = {0};
    const struct device *d = s->device;
    bool name = mqtt_topic_name_valid(topic);
    if (name) {
        bool own = device_api(topic);
        bool want = depth(topic) <= DEPTH_MAX &&
                    (own ? allowed(own_publish, COUNT_OF(own_publish), &none, d, topic)
                         : allowed(NULL, 0, publish, d, topic));
        enum access got = access_of_publish(s, topic);
        CHECK(got == (!want ? ACCESS_DENIED : own ? ACCESS_DEVICE_API : ACCESS_ROUTED));
        CHECK(access_may_receive(s, topic) == (!own && allowed(NULL, 0, subscribe, d, topic)));
    }
    struct view plain = plain_filter(filter);
    if (plain.data == NULL || !mqtt_filter_valid(filter) || !access_may_subscribe(s, filter)) {
        return;
    }
    CHECK(depth(plain) <= DEPTH_MAX);
    if (name && mqtt_naive_matches(plain, topic)) {
        CHECK(allowed(own_subscribe, COUNT_OF(own_subscribe), subscribe, d, topic));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 2048) {
        return 0;
    }
    uint8_t *exact = fuzz_copy(view_of(data, size));
    struct view left = view_of(exact, size);
    struct view topic = next_line(&left);
    struct view filter = next_line(&left);
    struct entries lists[2] = {0};
    for (int i = 0; left.len > 0; i++) {
        entries_add(&lists[i % 2], next_line(&left));
    }
    struct device_type type = {.publish_topics = lists[0].items,
                               .publish_topic_count = lists[0].count,
                               .subscribe_topics = lists[1].items,
                               .subscribe_topic_count = lists[1].count};
    struct entries names = {0};
    entries_add(&names, topic);
    entries_add(&names, filter);
    char name[] = "d1";
    char key[] = "x";
    struct device_pair label = {.key = key, .text = names.items[1]};
    struct device device = {.id = 1,
                            .name = name,
                            .type = &type,
                            .gateway = 2,
                            .gateway_name = names.items[0],
                            .labels = &label,
                            .label_count = 1};
    const struct session_limits limits = {.topic_levels_max = DEPTH_MAX};
    struct session s = {.device = &device, .limits = &limits};
    check(&s, &lists[0], &lists[1], topic, filter);
    s.device = NULL;
    CHECK(access_of_publish(&s, topic) == ACCESS_DENIED && !access_may_subscribe(&s, filter));
    entries_fini(&names);
    entries_fini(&lists[0]);
    entries_fini(&lists[1]);
    free(exact);
    return 0;
}
