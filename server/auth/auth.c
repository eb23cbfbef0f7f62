/*
 * Decisions. Every path that is not an explicit yes is ERR_DENIED; the reason goes to the log only,
 * without the secret, so that a peer cannot tell a wrong token from a revoked one.
 */
#include "auth/auth.h"

#include <stdlib.h>

#include "auth/auth_internal.h"
#include "base/clock.h"
#include "base/log.h"

struct auth *auth_new(const struct conf *conf, struct catalog *catalog)
{
    struct auth *a = calloc(1, sizeof(*a));
    if (a == NULL) {
        return NULL;
    }
    a->conf = conf;
    a->catalog = catalog;
    lock_init(&a->reading);
    lock_init(&a->lock);
    map_init(&a->by_hash);
    map_init(&a->by_device);
    return a;
}

static void tokens_free(struct token_table *t)
{
    while (t != NULL) {
        struct token_table *older = t->older;
        for (size_t i = 0; i < t->count; i++) {
            rule_selector_free(t->items[i].selector);
        }
        free(t);
        t = older;
    }
}

void auth_free(struct auth *a)
{
    if (a == NULL) {
        return;
    }
    MAP_FOREACH (at, &a->by_device) {
        for (struct credential *c = at->value; c != NULL;) {
            struct credential *next = c->next;
            free(c);
            c = next;
        }
    }
    map_fini(&a->by_hash);
    map_fini(&a->by_device);
    tokens_free(a->tokens);
    lock_fini(&a->reading);
    lock_fini(&a->lock);
    free(a);
}

static enum err deny(const char *what, const char *device, const char *why)
{
    LOG(LOG_INFO, "credential_refused", LOG_S("kind", what), LOG_S("device", device),
        LOG_S("why", why));
    return ERR_DENIED;
}

/* A copy of the row, so that the lock is not held while deciding. */
static bool find_credential(struct auth *a, const uint8_t hash[static AUTH_HASH_SIZE],
                            enum credential_kind kind, struct credential *ret_credential)
{
    lock_take(&a->lock);
    const struct credential *c = map_get(&a->by_hash, view_of(hash, AUTH_HASH_SIZE));
    bool found = c != NULL && c->kind == kind; /* a certificate's bytes are no token */
    if (found) {
        *ret_credential = *c;
    }
    lock_give(&a->lock);
    return found;
}

/* NULL: good. */
static const char *row_fault(const struct credential *c, int64_t now_us)
{
    if (c->revoked) {
        return "revoked";
    }
    if (c->not_before_us != CLOCK_NONE && now_us < c->not_before_us) {
        return "not valid yet";
    }
    if (c->not_after_us != CLOCK_NONE && now_us >= c->not_after_us) {
        return "expired";
    }
    return NULL;
}

enum err auth_token(struct auth *a, struct view token, struct auth_identity *ret_identity)
{
    uint8_t hash[AUTH_HASH_SIZE];
    struct credential c;
    if (token.len == 0 || token.len > AUTH_SECRET_MAX) {
        return deny("token", "", "of no token's length");
    }
    enum err hashed = auth_hash(token, hash);
    if (hashed != ERR_OK) {
        return hashed;
    }
    if (!find_credential(a, hash, CREDENTIAL_TOKEN, &c)) {
        return deny("token", "", "unknown");
    }
    struct device *d = catalog_device_by_id(a->catalog, c.device_id);
    const char *fault = row_fault(&c, clock_wall_us());
    if (d == NULL) {
        return deny("token", "", "its device is gone");
    }
    if (fault == NULL && !d->enabled) {
        fault = "the device is disabled";
    }
    if (fault != NULL) {
        enum err e = deny("token", d->name, fault);
        device_drop(d);
        return e;
    }
    *ret_identity = (struct auth_identity){.device = d, .credential_id = c.id};
    return ERR_OK;
}

/* The first name that is a device. */
static struct device *find_device(struct auth *a, const struct auth_names *names)
{
    struct device *d = NULL;
    for (int i = 0; d == NULL && i < names->count; i++) {
        d = catalog_device(a->catalog, view_str(names->names[i]));
    }
    return d;
}

static const char *certificate_fault(const struct auth_names *names, const struct device *d,
                                     const struct credential *row)
{
    int64_t now = clock_wall_us();
    if (now < names->not_before_us) {
        return "not valid yet: compare the clocks";
    }
    if (now >= names->not_after_us) {
        return "expired";
    }
    if (row != NULL && row->device_id != d->id) {
        return "issued to another device";
    }
    if (row != NULL && row_fault(row, now) != NULL) {
        return row_fault(row, now);
    }
    return d->enabled ? NULL : "the device is disabled";
}

enum err auth_certificate(struct auth *a, struct view der, struct auth_identity *ret_identity)
{
    uint8_t hash[AUTH_HASH_SIZE];
    struct auth_names names;
    struct credential row;
    enum err e = auth_certificate_names(der, &names);
    if (e == ERR_NOMEM) {
        return e;
    }
    if (e != ERR_OK) {
        return deny("certificate", "", "not readable, or with several common names");
    }
    if (names.count == 0) {
        return deny("certificate", "", "no usable name in CN or DNS SAN");
    }
    struct device *d = find_device(a, &names);
    if (d == NULL) {
        return deny("certificate", names.names[0], "no such device");
    }
    e = auth_hash(der, hash);
    if (e != ERR_OK) {
        device_drop(d);
        return e;
    }
    bool has_row = find_credential(a, hash, CREDENTIAL_CERTIFICATE, &row);
    const char *fault = certificate_fault(&names, d, has_row ? &row : NULL);
    if (fault != NULL) {
        e = deny("certificate", d->name, fault);
        device_drop(d);
        return e;
    }
    *ret_identity = (struct auth_identity){.device = d, .credential_id = has_row ? row.id : 0};
    return ERR_OK;
}

struct device *auth_device(struct auth *a, int32_t id)
{
    struct device *d = catalog_device_by_id(a->catalog, id);
    if (d != NULL && !d->enabled) {
        device_drop(d);
        return NULL;
    }
    return d;
}

void auth_identity_fini(struct auth_identity *i)
{
    device_drop(i->device);
    *i = (struct auth_identity){0};
}

enum err auth_bearer(struct auth *a, struct view token, struct auth_bearer *ret_bearer)
{
    uint8_t hash[AUTH_HASH_SIZE];
    struct auth_bearer bearer = {0};
    int64_t now = clock_wall_us();
    if (token.len == 0 || token.len > AUTH_SECRET_MAX) {
        return ERR_DENIED;
    }
    enum err hashed = auth_hash(token, hash);
    if (hashed != ERR_OK) {
        return hashed;
    }
    const char *fault = "unknown";
    lock_take(&a->lock);
    for (size_t i = 0; a->tokens != NULL && i < a->tokens->count; i++) {
        const struct api_token *t = &a->tokens->items[i];
        if (memcmp(t->hash, hash, sizeof(hash)) != 0) {
            continue;
        }
        fault = t->expires_at_us != CLOCK_NONE && now >= t->expires_at_us ? "expired" : NULL;
        bearer =
            (struct auth_bearer){.token_id = t->id, .scopes = t->scopes, .selector = t->selector};
        (void)view_copy(view_str(t->name), bearer.name, sizeof(bearer.name));
        break;
    }
    lock_give(&a->lock);
    if (fault != NULL) {
        LOG(LOG_INFO, "api_token_refused", LOG_S("token", bearer.name), LOG_S("why", fault));
        return ERR_DENIED;
    }
    *ret_bearer = bearer;
    return ERR_OK;
}

bool auth_bearer_sees(struct auth *a, const struct auth_bearer *b, const struct device *d)
{
    (void)a; /* b->selector stays readable for a minute after a refresh, see token_table.older */
    return b->selector == NULL || rule_selector_matches(b->selector, d);
}
