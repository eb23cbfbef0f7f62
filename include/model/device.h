/*
 * device: what the server knows about devices and their types, as immutable snapshots.
 *
 * Ownership: counted; a changed device is a new snapshot. A device holds its type.
 * Threads:   any; nothing in a snapshot changes after it was published.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

/* One declared metric of a type. */
struct metric_spec {
    int32_t metric; /* interned number */
    char *name;
    char *unit; /* "" when not given */
    bool has_min, has_max;
    double min, max;
    int64_t baseline_samples; /* 0: none */
    double modulus;           /* where a counter starts again at 0; 0: none */
    double *missing;          /* sentinel values that mean "no reading" */
    uint32_t missing_count;
};

struct device_type {
    atomic_int holds;
    int32_t id;
    char *name;
    bool any_metric;             /* undeclared metrics are accepted, as for the type `generic` */
    bool auto_register;          /* a gateway may create children of this type on first sight */
    int32_t metrics_max;         /* of undeclared metrics per message */
    struct metric_spec *metrics; /* sorted by metric number */
    uint32_t metric_count;
    char **commands; /* declared method names; empty: any */
    uint32_t command_count;
    char **publish_topics; /* access lists beside the device's own topics */
    uint32_t publish_topic_count;
    char **subscribe_topics;
    uint32_t subscribe_topic_count;
};

struct device_pair {
    char *key;
    char *text;    /* the value as text */
    double number; /* NaN when the value is no number (true is 1, false is 0) */
};

struct device {
    atomic_int holds;
    int32_t id;
    char *name;
    struct device_type *type;
    struct device_pair *labels; /* sorted by key */
    uint32_t label_count;
    struct device_pair *attributes; /* sorted by key */
    uint32_t attribute_count;
    int32_t gateway;    /* device id of the parent, 0: none */
    char *gateway_name; /* its name, NULL: none */
    bool enabled;
};

struct device_type *device_type_new(void); /* one hold, all empty; NULL: out of memory */
void device_type_hold(struct device_type *t);
void device_type_drop(struct device_type *t); /* frees everything it points to with the last hold */
const struct metric_spec *device_type_metric(const struct device_type *t, int32_t metric);

struct device *device_new(void);
void device_hold(struct device *d);
void device_drop(struct device *d);
/* The label's text, or NULL. "type", "name" and "gateway-id" are no labels; selectors treat type
 * and name apart. */
const char *device_label(const struct device *d, struct view key);
const struct device_pair *device_attribute(const struct device *d, struct view key);
