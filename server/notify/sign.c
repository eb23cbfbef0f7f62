#include "notify/sign.h"

#include <stdio.h>

#include "notify/openssl.h"

enum err sign_webhook(struct view secret, int64_t id, int64_t timestamp_s, struct view body,
                      char ret_text[static SIGN_TEXT_SIZE])
{
    char head[64];
    unsigned char mac[32];
    size_t len = 0;
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                 OSSL_PARAM_construct_end()};
    int n = snprintf(head, sizeof(head), "%lld.%lld.", (long long)id, (long long)timestamp_s);
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = hmac == NULL ? NULL : EVP_MAC_CTX_new(hmac);
    bool good = ctx != NULL && EVP_MAC_init(ctx, secret.data, secret.len, params) == 1 &&
                EVP_MAC_update(ctx, (const unsigned char *)head, (size_t)n) == 1 &&
                EVP_MAC_update(ctx, body.data, body.len) == 1 &&
                EVP_MAC_final(ctx, mac, &len, sizeof(mac)) == 1;
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(hmac);
    if (!good) {
        return ERR_NOMEM;
    }
    unsigned char text[48];
    (void)EVP_EncodeBlock(text, mac, (int)len);
    (void)snprintf(ret_text, SIGN_TEXT_SIZE, "v1,%s", (const char *)text);
    return ERR_OK;
}
