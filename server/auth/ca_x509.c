#include <ctype.h>
#include <stdlib.h>

#include "auth/ca.h"
#include "base/clock.h"

enum { CA_CSR_MAX = 64 * 1024, CA_EARLIER_S = 600, CA_RSA_BITS_MIN = 2048 };

static bool is_name_byte(char c)
{
    return isalnum((unsigned char)c) || strchr("._:-*", c) != NULL;
}

static bool take_name(struct view word, struct ca_names *names)
{
    while (word.len > 0 && word.data[0] == ' ') {
        word = view_skip(word, 1);
    }
    while (word.len > 0 && word.data[word.len - 1] == ' ') {
        word.len--;
    }
    if (word.len == 0 || word.len > CA_NAME_MAX || names->count == CA_NAMES_MAX) {
        return false;
    }
    for (size_t i = 0; i < word.len; i++) {
        /* Commas, quotes and line ends would be syntax in OpenSSL's extension texts. */
        if (word.data[i] == '\0' || !is_name_byte((char)word.data[i])) {
            return false;
        }
    }
    (void)view_copy(word, names->names[names->count], sizeof(names->names[0]));
    names->count++;
    return true;
}

enum err ca_names_parse(const char *text, struct ca_names *ret_names)
{
    struct ca_names names = {0};
    for (const char *at = text;;) {
        size_t len = strcspn(at, ",");
        if (!take_name(view_of(at, len), &names)) {
            return ERR_RANGE;
        }
        if (at[len] == '\0') {
            break;
        }
        at += len + 1;
    }
    *ret_names = names;
    return ERR_OK;
}

enum err ca_serial_set(X509 *cert)
{
    unsigned char bytes[16];
    if (RAND_bytes(bytes, (int)sizeof(bytes)) != 1) {
        return ERR_IO;
    }
    BIGNUM *n = BN_bin2bn(bytes, (int)sizeof(bytes), NULL);
    enum err e = n == NULL ? ERR_NOMEM : ERR_OK;
    if (e == ERR_OK && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)) == NULL) {
        e = ERR_NOMEM;
    }
    BN_free(n);
    return e;
}

enum err ca_validity_set(X509 *cert, int days, const X509 *issuer)
{
    if (days < 1 || days > 36500) {
        return ERR_RANGE;
    }
    /* A little earlier than now, for devices whose clock is behind. */
    if (X509_gmtime_adj(X509_getm_notBefore(cert), -CA_EARLIER_S) == NULL ||
        X509_time_adj_ex(X509_getm_notAfter(cert), days, 0, NULL) == NULL) {
        return ERR_NOMEM;
    }
    if (issuer == NULL) {
        return ERR_OK;
    }
    if (X509_cmp_current_time(X509_get0_notAfter(issuer)) < 0) {
        return ERR_EXPIRED;
    }
    /* Nothing outlives its issuer, and nothing is older. */
    if (ASN1_TIME_compare(X509_get0_notAfter(cert), X509_get0_notAfter(issuer)) > 0 &&
        X509_set1_notAfter(cert, X509_get0_notAfter(issuer)) != 1) {
        return ERR_NOMEM;
    }
    if (ASN1_TIME_compare(X509_get0_notBefore(cert), X509_get0_notBefore(issuer)) < 0 &&
        X509_set1_notBefore(cert, X509_get0_notBefore(issuer)) != 1) {
        return ERR_NOMEM;
    }
    return ERR_OK;
}

enum err ca_extension_add(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer == NULL ? cert : issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    enum err e = ext != NULL && X509_add_ext(cert, ext, -1) == 1 ? ERR_OK : ERR_MALFORMED;
    X509_EXTENSION_free(ext);
    return e;
}

enum err ca_sign(X509 *cert, EVP_PKEY *key)
{
    bool own_digest = EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_is_a(key, "ED448");
    return X509_sign(cert, key, own_digest ? NULL : EVP_sha256()) > 0 ? ERR_OK : ERR_STATE;
}

enum err ca_key_new(EVP_PKEY **ret_key)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    if (key == NULL) {
        return ERR_NOMEM;
    }
    *ret_key = key;
    return ERR_OK;
}

/* Kinds of key a device may have: RSA from 2048 bits, the NIST curves from 256, Ed25519. */
static bool key_is_strong(const EVP_PKEY *key)
{
    int bits = EVP_PKEY_get_bits(key);
    if (EVP_PKEY_is_a(key, "RSA")) {
        return bits >= CA_RSA_BITS_MIN && bits <= 8192;
    }
    if (EVP_PKEY_is_a(key, "EC")) {
        char group[32] = "";
        size_t len = 0;
        return EVP_PKEY_get_group_name(key, group, sizeof(group), &len) == 1 &&
               (strcmp(group, "prime256v1") == 0 || strcmp(group, "secp384r1") == 0 ||
                strcmp(group, "secp521r1") == 0);
    }
    return EVP_PKEY_is_a(key, "ED25519") == 1;
}

enum err ca_csr_key(const char *csr_pem, EVP_PKEY **ret_key)
{
    size_t len = strlen(csr_pem);
    if (len > CA_CSR_MAX) {
        return ERR_LIMIT;
    }
    BIO *bio = BIO_new_mem_buf(csr_pem, (int)len);
    X509_REQ *req = bio == NULL ? NULL : PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
    EVP_PKEY *key = req == NULL ? NULL : X509_REQ_get_pubkey(req);
    enum err e = key == NULL ? ERR_MALFORMED : ERR_OK;
    if (e == ERR_OK && !key_is_strong(key)) {
        e = ERR_UNSUPPORTED;
    }
    if (e == ERR_OK && X509_REQ_verify(req, key) != 1) {
        e = ERR_DENIED; /* whoever sent it does not hold the private key */
    }
    X509_REQ_free(req);
    BIO_free(bio);
    if (e != ERR_OK) {
        EVP_PKEY_free(key);
        ERR_clear_error();
        return e;
    }
    *ret_key = key;
    return ERR_OK;
}

/* Never asks at a terminal. */
static int no_password(char *buf, int size, int writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

enum err ca_read_pair(const char *cert_file, const char *key_file, X509 **ret_cert,
                      EVP_PKEY **ret_key)
{
    BIO *cert_bio = BIO_new_file(cert_file, "r");
    BIO *key_bio = BIO_new_file(key_file, "r");
    X509 *cert = NULL;
    EVP_PKEY *key = NULL;
    enum err e = cert_bio == NULL || key_bio == NULL ? ERR_IO : ERR_OK;
    if (e == ERR_OK) {
        cert = PEM_read_bio_X509(cert_bio, NULL, no_password, NULL);
        key = PEM_read_bio_PrivateKey(key_bio, NULL, no_password, NULL);
        e = cert == NULL || key == NULL ? ERR_MALFORMED : ERR_OK;
    }
    if (e == ERR_OK && X509_check_private_key(cert, key) != 1) {
        e = ERR_STATE;
    }
    BIO_free(cert_bio);
    BIO_free(key_bio);
    ERR_clear_error();
    if (e != ERR_OK) {
        X509_free(cert);
        EVP_PKEY_free(key);
        return e;
    }
    *ret_cert = cert;
    *ret_key = key;
    return ERR_OK;
}

enum err ca_load(const char *cert_file, const char *key_file, X509 **ret_cert, EVP_PKEY **ret_key)
{
    X509 *cert = NULL;
    EVP_PKEY *key = NULL;
    enum err e = ca_read_pair(cert_file, key_file, &cert, &key);
    if (e == ERR_OK && X509_check_ca(cert) != 1) {
        X509_free(cert);
        EVP_PKEY_free(key);
        return ERR_STATE;
    }
    if (e == ERR_OK) {
        *ret_cert = cert;
        *ret_key = key;
    }
    return e;
}

static char *bio_text(BIO *bio)
{
    char *data = NULL;
    long len = BIO_get_mem_data(bio, &data);
    char *text = len < 0 ? NULL : malloc((size_t)len + 1);
    if (text != NULL) {
        memcpy(text, data, (size_t)len);
        text[len] = '\0';
    }
    return text;
}

char *ca_pem_certificates(X509 *cert, X509 *issuer)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    if (bio != NULL && PEM_write_bio_X509(bio, cert) == 1 &&
        (issuer == NULL || PEM_write_bio_X509(bio, issuer) == 1)) {
        text = bio_text(bio);
    }
    BIO_free(bio);
    return text;
}

char *ca_pem_key(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    char *text = NULL;
    if (bio != NULL && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
        text = bio_text(bio);
    }
    BIO_free(bio);
    return text;
}
