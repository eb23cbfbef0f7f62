#include <stdatomic.h>
#include <stdio.h>

#include "auth/auth_internal.h"
#include "auth/openssl.h"
#include "base/check.h"

/* Fetched once: looking the algorithm up by name takes four times as long as hashing a token.
 * NULL: out of memory. */
static EVP_MD *sha256(void)
{
    static _Atomic(EVP_MD *) fetched;
    EVP_MD *md = atomic_load(&fetched);
    if (md != NULL) {
        return md;
    }
    md = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (md == NULL) {
        return NULL;
    }
    EVP_MD *expected = NULL;
    if (!atomic_compare_exchange_strong(&fetched, &expected, md)) {
        EVP_MD_free(md);
        md = expected;
    }
    return md;
}

enum err auth_hash(struct view secret, uint8_t ret_hash[static 32])
{
    unsigned len = 0;
    const EVP_MD *md = sha256();
    if (md == NULL || EVP_Digest(secret.data, secret.len, ret_hash, &len, md, NULL) != 1) {
        return ERR_NOMEM; /* there is no other reason */
    }
    CHECK(len == AUTH_HASH_SIZE);
    return ERR_OK;
}

/* 256 bits as 43 characters of base64url (RFC 4648, section 5), without padding. */
static size_t put_base64url(const uint8_t bytes[static 32], char *out)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t n = 0;
    uint32_t bits = 0;
    int have = 0;
    for (size_t i = 0; i < 32; i++) {
        bits = bits << 8 | bytes[i];
        for (have += 8; have >= 6; have -= 6) {
            out[n++] = alphabet[bits >> (have - 6) & 63u];
        }
    }
    out[n++] = alphabet[bits << (6 - have) & 63u]; /* 32 bytes leave 4 bits */
    return n;
}

enum err auth_token_new(const char *prefix, char ret_token[static 64], uint8_t ret_hash[static 32])
{
    uint8_t secret[32];
    char text[64];
    size_t len = strlen(prefix);
    CHECK(len + 43 < sizeof(text));
    if (RAND_bytes(secret, (int)sizeof(secret)) != 1) {
        return ERR_IO;
    }
    memcpy(text, prefix, len);
    len += put_base64url(secret, text + len);
    text[len] = '\0';
    enum err e = auth_hash(view_of(text, len), ret_hash);
    if (e == ERR_OK) {
        memcpy(ret_token, text, len + 1);
    }
    OPENSSL_cleanse(secret, sizeof(secret));
    OPENSSL_cleanse(text, sizeof(text));
    return e;
}
