/*
 * devices: devices for tests of silences and policy, with one label.
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "model/device.h"

static inline struct device *device_make(int32_t id, const char *name, const char *site,
                                         int32_t gateway)
{
    struct device *d = device_new();
    cr_assert_not_null(d);
    d->id = id;
    d->name = strdup(name);
    d->type = device_type_new();
    d->type->name = strdup("pump");
    d->labels = calloc(1, sizeof(struct device_pair));
    d->labels[0] = (struct device_pair){.key = strdup("site"), .text = strdup(site)};
    d->label_count = 1;
    d->gateway = gateway;
    return d;
}
