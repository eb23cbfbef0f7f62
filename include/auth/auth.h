/*
 * auth: who is it? A device by its token or certificate, an API client by its bearer token.
 *
 * Tokens are 256 random bits, kept as SHA-256 only. A client certificate that the TLS layer has
 * verified names its device by CN or a DNS SAN; the name is whitelisted after extraction, the
 * device must exist and be enabled, and a credential row of this very certificate must not be
 * revoked or outside its validity.
 *
 * Everything is in memory, refreshed by whoever changes a row. Unknown, unreadable or failed means
 * no. Ownership: identities hold their device; auth_identity_fini() drops it. Threads: any after
 * auth_load().
 */
#pragma once

#include "base/err.h"
#include "base/view.h"
#include "catalog/catalog.h"

struct auth;

struct auth_identity {
    struct device *device;
    int64_t credential_id; /* 0: a certificate of an accepted CA without a row of its own */
};

NODISCARD struct auth *auth_new(const struct conf *conf, struct catalog *catalog);
void auth_free(struct auth *a);
NODISCARD enum err auth_load(struct auth *a, struct db *db); /* device credentials and API tokens */
NODISCARD enum err auth_refresh_device(struct auth *a, struct db *db,
                                       int32_t device_id); /* its credentials changed */
NODISCARD enum err auth_refresh_api_tokens(struct auth *a, struct db *db);

/* ERR_DENIED for every reason a peer may not learn apart; the log has the reason. */
NODISCARD enum err auth_token(struct auth *a, struct view token,
                              struct auth_identity *ret_identity);
NODISCARD enum err auth_certificate(struct auth *a, struct view der,
                                    struct auth_identity *ret_identity);
void auth_identity_fini(struct auth_identity *i);
/* The device as it is now, held; NULL: it is gone or disabled, and nobody may come in as it. */
struct device *auth_device(struct auth *a, int32_t id);

struct auth_bearer {
    int32_t token_id;
    char name[129];
    uint32_t scopes; /* bits of enum auth_scope */
    struct rule_selector
        *selector; /* borrowed from auth until its next refresh: see auth_bearer_sees() */
};
enum auth_scope {
    AUTH_DEVICES_READ = 1 << 0,
    AUTH_DEVICES_WRITE = 1 << 1,
    AUTH_TELEMETRY_READ = 1 << 2,
    AUTH_TELEMETRY_WRITE = 1 << 3,
    AUTH_COMMANDS_WRITE = 1 << 4,
    AUTH_RULES_WRITE = 1 << 5,
    AUTH_ADMIN = 1 << 6, /* all of the above and the rest */
};
NODISCARD enum err auth_bearer(struct auth *a, struct view token, struct auth_bearer *ret_bearer);
/* Objects outside a token's selector do not exist for it (404). */
bool auth_bearer_sees(struct auth *a, const struct auth_bearer *b, const struct device *d);
/* "devices:read", "admin", … -> bits; 0: unknown word. */
uint32_t auth_scope_parse(struct view word);

/* A new random token with its prefix ("sbd_" for devices, "sba_" for the API) and its hash. */
NODISCARD enum err auth_token_new(const char *prefix, char ret_token[static 64],
                                  uint8_t ret_hash[static 32]);
/* SHA-256. ERR_NOMEM: OpenSSL had none for a moment. */
NODISCARD enum err auth_hash(struct view secret, uint8_t ret_hash[static 32]);

/* The local CA. All texts are PEM, freed by the caller. */
struct auth_issued {
    char *certificate; /* with the CA's certificate behind it */
    char *private_key; /* NULL when a CSR was given */
    char *serial;      /* hexadecimal */
    uint8_t hash[32];  /* SHA-256 of the DER form */
    int64_t not_before_us, not_after_us;
};
enum auth_usage { AUTH_USAGE_CLIENT, AUTH_USAGE_SERVER };
/* names: CN first, then DNS or IP alternative names, separated by commas. csr may be NULL. */
NODISCARD enum err auth_ca_issue(const char *ca_cert_file, const char *ca_key_file,
                                 const char *names, enum auth_usage usage, const char *csr,
                                 int days, struct auth_issued *ret_issued);
void auth_issued_fini(struct auth_issued *i);
/* Writes a new P-256 CA: certificate (0644) and key (0600), neither of which may exist. */
NODISCARD enum err auth_ca_create(const char *cert_file, const char *key_file, const char *name,
                                  int days);
