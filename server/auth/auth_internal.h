/*
 * auth_internal: what the files of auth share.
 *
 * Two locks, as in catalog: `reading` is held while rows are read and published, so that the later
 * refresh wins; `lock` guards the tables and is held for moments.
 */
#pragma once

#include "auth/auth.h"
#include "base/lock.h"
#include "base/map.h"

enum { AUTH_HASH_SIZE = 32, AUTH_SECRET_MAX = 1024, AUTH_DER_MAX = 64 * 1024 };

enum credential_kind { CREDENTIAL_TOKEN, CREDENTIAL_CERTIFICATE };

struct credential {
    struct credential *next; /* of the same device */
    int64_t id;
    int32_t device_id;
    enum credential_kind kind;
    bool revoked;
    int64_t not_before_us, not_after_us; /* CLOCK_NONE: open end */
    uint8_t hash[AUTH_HASH_SIZE];
};

struct api_token {
    int32_t id;
    char name[129];
    uint32_t scopes;
    struct rule_selector *selector; /* NULL: all devices */
    int64_t expires_at_us;          /* CLOCK_NONE: never */
    uint8_t hash[AUTH_HASH_SIZE];
};

struct token_table { /* of API tokens; replaced as a whole */
    struct token_table *older;
    int64_t retired_at_us;
    size_t count;
    struct api_token items[];
};

struct auth {
    const struct conf *conf;
    struct catalog *catalog;
    struct lock reading;
    struct lock lock;
    struct map by_hash; /* hash -> struct credential */
    struct map
        by_device; /* device id (4 bytes) -> first struct credential; owns them through `next` */
    struct token_table *tokens; /* the first is in force, older ones may still be read */
};

enum { AUTH_NAMES_MAX = 16 };
/* The names a certificate gives its holder: CN first, then DNS SANs. */
struct auth_names {
    int count;
    char names[AUTH_NAMES_MAX][129];
    int64_t not_before_us, not_after_us;
};
/* ERR_MALFORMED: not one whole certificate, or a subject with several CNs. ERR_NOMEM. Only valid
 * identifiers are given. */
NODISCARD enum err auth_certificate_names(struct view der, struct auth_names *ret_names);
