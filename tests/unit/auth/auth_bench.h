/*
 * auth_bench: a catalog and an auth with devices and credentials put in by hand, so that decisions
 * are tested without a database. For Criterion tests only.
 */
#pragma once

#include <stdlib.h>

#include <criterion/criterion.h>

#include "auth/auth_internal.h"
#include "base/clock.h"
#include "catalog/catalog_internal.h"

struct auth_bench {
    struct conf conf;
    struct catalog *catalog;
    struct auth *auth;
};

static inline void auth_bench_open(struct auth_bench *b)
{
    *b = (struct auth_bench){0};
    b->catalog = catalog_new(&b->conf, NULL);
    b->auth = auth_new(&b->conf, b->catalog);
    cr_assert(b->catalog != NULL && b->auth != NULL);
}

static inline void auth_bench_close(struct auth_bench *b)
{
    auth_free(b->auth);
    catalog_free(b->catalog);
}

static inline void auth_bench_device(struct auth_bench *b, int32_t id, const char *name,
                                     bool enabled)
{
    void *old = NULL;
    struct device *d = device_new();
    d->id = id;
    d->name = strdup(name);
    d->enabled = enabled;
    d->type = device_type_new();
    cr_assert_eq(map_put(&b->catalog->devices, view_str(d->name), d, &old), ERR_OK);
    cr_assert_eq(map_put(&b->catalog->device_ids, catalog_id_key(&d->id), d, &old), ERR_OK);
}

static inline void auth_bench_credential(struct auth_bench *b, struct credential c)
{
    void *old = NULL;
    struct credential *copy = malloc(sizeof(*copy));
    *copy = c;
    copy->next = map_get(&b->auth->by_device, catalog_id_key(&c.device_id));
    cr_assert_eq(map_put(&b->auth->by_device, catalog_id_key(&c.device_id), copy, &old), ERR_OK);
    cr_assert_eq(map_put(&b->auth->by_hash, view_of(copy->hash, sizeof(copy->hash)), copy, &old),
                 ERR_OK);
}
