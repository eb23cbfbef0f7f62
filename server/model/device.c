#include "model/device.h"

#include <stdlib.h>

#include "base/check.h"

struct device_type *device_type_new(void)
{
    struct device_type *t = calloc(1, sizeof(*t));
    if (t != NULL) {
        atomic_init(&t->holds, 1);
    }
    return t;
}

void device_type_hold(struct device_type *t)
{
    CHECK(atomic_fetch_add_explicit(&t->holds, 1, memory_order_relaxed) > 0);
}

static void free_strings(char **strings, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        free(strings[i]);
    }
    free(strings);
}

void device_type_drop(struct device_type *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->holds, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (uint32_t i = 0; i < t->metric_count; i++) {
        free(t->metrics[i].name);
        free(t->metrics[i].unit);
        free(t->metrics[i].missing);
    }
    free(t->metrics);
    free_strings(t->commands, t->command_count);
    free_strings(t->publish_topics, t->publish_topic_count);
    free_strings(t->subscribe_topics, t->subscribe_topic_count);
    free(t->name);
    free(t);
}

const struct metric_spec *device_type_metric(const struct device_type *t, int32_t metric)
{
    uint32_t low = 0;
    uint32_t high = t->metric_count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (t->metrics[mid].metric < metric) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low < t->metric_count && t->metrics[low].metric == metric ? &t->metrics[low] : NULL;
}

struct device *device_new(void)
{
    struct device *d = calloc(1, sizeof(*d));
    if (d != NULL) {
        atomic_init(&d->holds, 1);
        d->enabled = true;
    }
    return d;
}

void device_hold(struct device *d)
{
    CHECK(atomic_fetch_add_explicit(&d->holds, 1, memory_order_relaxed) > 0);
}

static void free_pairs(struct device_pair *pairs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        free(pairs[i].key);
        free(pairs[i].text);
    }
    free(pairs);
}

void device_drop(struct device *d)
{
    if (d == NULL || atomic_fetch_sub_explicit(&d->holds, 1, memory_order_acq_rel) != 1) {
        return;
    }
    free_pairs(d->labels, d->label_count);
    free_pairs(d->attributes, d->attribute_count);
    device_type_drop(d->type);
    free(d->gateway_name);
    free(d->name);
    free(d);
}

static const struct device_pair *find_pair(const struct device_pair *pairs, uint32_t count,
                                           struct view key)
{
    for (uint32_t i = 0; i < count; i++) {
        if (view_eq_str(key, pairs[i].key)) {
            return &pairs[i];
        }
    }
    return NULL;
}

const char *device_label(const struct device *d, struct view key)
{
    const struct device_pair *p = find_pair(d->labels, d->label_count, key);
    return p == NULL ? NULL : p->text;
}

const struct device_pair *device_attribute(const struct device *d, struct view key)
{
    return find_pair(d->attributes, d->attribute_count, key);
}
