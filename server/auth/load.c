/* Reads credentials and API tokens. A row that makes no sense is logged and means no. */
#include <stdlib.h>

#include "auth/auth_internal.h"
#include "base/clock.h"
#include "base/log.h"

static const int64_t retired_for_us = CLOCK_MINUTE_US;

/* Revoked tokens may be forgotten; revoked certificates may not, since a certificate of an accepted
 * CA needs no row. */
static const char sql_credentials[] =
    "SELECT id, device_id, kind, encode(hash, 'hex'), not_before, not_after, revoked_at IS NOT NULL"
    " FROM credentials WHERE ($1::int IS NULL OR device_id = $1)"
    " AND (kind = 'certificate' OR revoked_at IS NULL) ORDER BY device_id, id";

static const char sql_tokens[] =
    "SELECT id, name, encode(hash, 'hex'), array_to_string(scopes, ' '), selector, expires_at"
    " FROM api_tokens WHERE revoked_at IS NULL ORDER BY id";

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool parse_hash(const char *hex, uint8_t ret_hash[static AUTH_HASH_SIZE])
{
    if (strlen(hex) != (size_t)AUTH_HASH_SIZE * 2) {
        return false;
    }
    for (size_t i = 0; i < AUTH_HASH_SIZE; i++) {
        int high = hex_digit(hex[2 * i]);
        int low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        ret_hash[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static void free_chain(struct credential *c)
{
    while (c != NULL) {
        struct credential *next = c->next;
        free(c);
        c = next;
    }
}

/* The rows of one device from `row` on, as a chain; *ret_chain NULL: none. */
static enum err make_chain(const struct db_result *rows, int row, int count,
                           struct credential **ret_chain)
{
    struct credential *chain = NULL;
    for (int i = row + count - 1; i >= row; i--) {
        struct credential *c = calloc(1, sizeof(*c));
        if (c == NULL) {
            free_chain(chain);
            return ERR_NOMEM;
        }
        *c = (struct credential){
            .next = chain,
            .id = db_get_int(rows, i, 0),
            .device_id = (int32_t)db_get_int(rows, i, 1),
            .kind = db_get(rows, i, 2)[0] == 't' ? CREDENTIAL_TOKEN : CREDENTIAL_CERTIFICATE,
            .not_before_us = db_get_time(rows, i, 4),
            .not_after_us = db_get_time(rows, i, 5),
            .revoked = db_get_bool(rows, i, 6),
        };
        chain = c;
        if (!parse_hash(db_get(rows, i, 3), c->hash)) {
            LOG(LOG_WARN, "credential_left_out", LOG_I("id", c->id),
                LOG_S("why", "its hash is not SHA-256"));
            chain = c->next;
            free(c);
        }
    }
    *ret_chain = chain;
    return ERR_OK;
}

/* Both maps of one set of credentials. */
struct credential_maps {
    struct map by_hash;
    struct map by_device;
};

/* Takes the chain, also when it fails. */
static enum err add_chain(struct map *by_hash, struct map *by_device, int32_t device_id,
                          struct credential *chain)
{
    void *ignored = NULL;
    if (chain == NULL) {
        return ERR_OK;
    }
    enum err e = map_put(by_device, view_of(&device_id, sizeof(device_id)), chain, &ignored);
    for (struct credential *c = chain; e == ERR_OK && c != NULL; c = c->next) {
        e = map_put(by_hash, view_of(c->hash, sizeof(c->hash)), c, &ignored);
    }
    if (e != ERR_OK) {
        (void)map_remove(by_device, view_of(&device_id, sizeof(device_id)));
        for (struct credential *c = chain; c != NULL; c = c->next) {
            (void)map_remove(by_hash, view_of(c->hash, sizeof(c->hash)));
        }
        free_chain(chain);
    }
    return e;
}

static void maps_fini(struct credential_maps *m)
{
    MAP_FOREACH (at, &m->by_device) {
        free_chain(at->value);
    }
    map_fini(&m->by_hash);
    map_fini(&m->by_device);
}

/* All rows of a result, sorted by device, into maps. */
static enum err fill_maps(const struct db_result *rows, struct credential_maps *m)
{
    enum err e = ERR_OK;
    for (int i = 0; e == ERR_OK && i < db_rows(rows);) {
        int64_t id = db_get_int(rows, i, 1);
        int n = 1;
        while (i + n < db_rows(rows) && db_get_int(rows, i + n, 1) == id) {
            n++;
        }
        struct credential *chain = NULL;
        e = make_chain(rows, i, n, &chain);
        if (e == ERR_OK) {
            e = add_chain(&m->by_hash, &m->by_device, (int32_t)id, chain);
        }
        i += n;
    }
    return e;
}

static enum err read_credentials(struct db *db, const int32_t *device_id,
                                 struct db_result **ret_rows)
{
    struct db_params p = {0};
    if (device_id == NULL) {
        db_null(&p);
    } else {
        db_int(&p, *device_id);
    }
    return db_query(db, sql_credentials, &p, ret_rows);
}

static enum err load_credentials(struct auth *a, struct db *db)
{
    struct db_result *rows = NULL;
    struct credential_maps maps = {0};
    enum err e = read_credentials(db, NULL, &rows);
    if (e == ERR_OK) {
        e = fill_maps(rows, &maps);
    }
    if (e == ERR_OK) {
        lock_take(&a->lock);
        struct credential_maps old = {.by_hash = a->by_hash, .by_device = a->by_device};
        a->by_hash = maps.by_hash;
        a->by_device = maps.by_device;
        maps = old;
        lock_give(&a->lock);
    }
    maps_fini(&maps);
    db_result_free(rows);
    return e;
}

/* When memory fails the device is left without credentials: no rather than stale. */
static enum err refresh_credentials(struct auth *a, struct db *db, int32_t device_id)
{
    struct db_result *rows = NULL;
    struct credential *chain = NULL;
    enum err e = read_credentials(db, &device_id, &rows);
    if (e == ERR_OK && db_rows(rows) > 0) {
        e = make_chain(rows, 0, db_rows(rows), &chain);
    }
    db_result_free(rows);
    if (e != ERR_OK && e != ERR_NOMEM) {
        return e;
    }
    lock_take(&a->lock);
    struct credential *old = map_remove(&a->by_device, view_of(&device_id, sizeof(device_id)));
    for (struct credential *c = old; c != NULL; c = c->next) {
        (void)map_remove(&a->by_hash, view_of(c->hash, sizeof(c->hash)));
    }
    if (e == ERR_OK) {
        e = add_chain(&a->by_hash, &a->by_device, device_id, chain);
    }
    lock_give(&a->lock);
    free_chain(old);
    return e;
}

static uint32_t parse_scopes(const char *name, const char *text)
{
    uint32_t bits = 0;
    for (const char *at = text; *at != '\0';) {
        size_t len = strcspn(at, " ");
        uint32_t bit = auth_scope_parse(view_of(at, len));
        if (bit == 0) {
            LOG(LOG_WARN, "api_token_scope_unknown", LOG_S("token", name),
                LOG_V("scope", view_of(at, len)));
        }
        bits |= bit;
        at += len + (at[len] == ' ');
    }
    return bits;
}

/* ERR_SKIP: not usable, and said so. */
static enum err make_token(const struct db_result *rows, int row, struct api_token *ret_token)
{
    struct api_token t = {.id = (int32_t)db_get_int(rows, row, 0),
                          .expires_at_us = db_get_time(rows, row, 5)};
    struct rule_error why = {0};
    struct view selector = db_get_view(rows, row, 4);
    const char *name = db_get(rows, row, 1);
    (void)view_copy(view_str(name), t.name, sizeof(t.name));
    if (!parse_hash(db_get(rows, row, 2), t.hash)) {
        LOG(LOG_WARN, "api_token_left_out", LOG_S("token", name),
            LOG_S("why", "its hash is not SHA-256"));
        return ERR_SKIP;
    }
    t.scopes = parse_scopes(t.name, db_get(rows, row, 3));
    if (selector.len > 0) {
        enum err e = rule_selector_parse(selector, &t.selector, &why);
        if (e != ERR_OK) {
            LOG(LOG_WARN, "api_token_left_out", LOG_S("token", name), LOG_S("why", why.detail));
            return e == ERR_NOMEM ? e : ERR_SKIP;
        }
    }
    *ret_token = t;
    return ERR_OK;
}

static void free_table(struct token_table *t)
{
    for (size_t i = 0; i < t->count; i++) {
        rule_selector_free(t->items[i].selector);
    }
    free(t);
}

/* The former table stays for a minute, because requests under way hold its selectors. */
static void publish_tokens(struct auth *a, struct token_table *t)
{
    int64_t now = clock_mono_us();
    lock_take(&a->lock);
    if (a->tokens != NULL) {
        a->tokens->retired_at_us = now;
    }
    t->older = a->tokens;
    a->tokens = t;
    for (struct token_table **at = &t->older; *at != NULL;) {
        struct token_table *old = *at;
        if (now - old->retired_at_us < retired_for_us) {
            at = &old->older;
            continue;
        }
        *at = old->older;
        free_table(old);
    }
    lock_give(&a->lock);
}

static enum err read_tokens(struct auth *a, struct db *db)
{
    struct db_result *rows = NULL;
    enum err e = db_query(db, sql_tokens, NULL, &rows);
    if (e != ERR_OK) {
        return e;
    }
    struct token_table *t =
        calloc(1, sizeof(*t) + (size_t)db_rows(rows) * sizeof(struct api_token));
    e = t == NULL ? ERR_NOMEM : ERR_OK;
    for (int i = 0; e == ERR_OK && i < db_rows(rows); i++) {
        e = make_token(rows, i, &t->items[t->count]);
        t->count += e == ERR_OK;
        e = e == ERR_SKIP ? ERR_OK : e;
    }
    db_result_free(rows);
    if (e != ERR_OK) {
        if (t != NULL) {
            free_table(t);
        }
        return e;
    }
    publish_tokens(a, t);
    return ERR_OK;
}

enum err auth_load(struct auth *a, struct db *db)
{
    lock_take(&a->reading);
    enum err e = load_credentials(a, db);
    if (e == ERR_OK) {
        e = read_tokens(a, db);
    }
    lock_give(&a->reading);
    return e;
}

enum err auth_refresh_device(struct auth *a, struct db *db, int32_t device_id)
{
    lock_take(&a->reading);
    enum err e = refresh_credentials(a, db, device_id);
    lock_give(&a->reading);
    return e;
}

enum err auth_refresh_api_tokens(struct auth *a, struct db *db)
{
    lock_take(&a->reading);
    enum err e = read_tokens(a, db);
    lock_give(&a->reading);
    return e;
}
