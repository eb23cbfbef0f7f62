#include "fleet/token.h"

#include "fleet/openssl.h"

enum err fleet_token(struct view secret, struct view name, char ret_token[static FLEET_TOKEN_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (secret.len == 0 || secret.len > 4096) {
        return ERR_RANGE;
    }
    if (HMAC(EVP_sha256(), secret.data, (int)secret.len, name.data, name.len, mac, &len) == NULL ||
        len != 32) {
        return ERR_TLS;
    }
    memcpy(ret_token, "sbd_", 4);
    for (size_t i = 0; i < 32; i++) {
        ret_token[4 + 2 * i] = digits[mac[i] >> 4];
        ret_token[5 + 2 * i] = digits[mac[i] & 15];
    }
    ret_token[FLEET_TOKEN_SIZE - 1] = '\0';
    return ERR_OK;
}
