#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/auth_internal.h"
#include "auth/ca.h"
#include "auth/certificate.h"

static void put_name(const X509_NAME *name, char *ret_text, size_t size)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data = NULL;
    ret_text[0] = '\0';
    if (bio != NULL && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0) {
        long len = BIO_get_mem_data(bio, &data);
        (void)view_copy(view_of(data, len > 0 ? (size_t)len : 0), ret_text, size);
    }
    BIO_free(bio);
}

static void put_alternatives(const X509 *cert, char *ret_text, size_t size)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    size_t used = 0;
    ret_text[0] = '\0';
    for (int i = 0; all != NULL && i < sk_GENERAL_NAME_num(all) && used + 1 < size; i++) {
        int kind = 0;
        const ASN1_STRING *s = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(all, i), &kind);
        char ip[INET6_ADDRSTRLEN] = "";
        struct view text = {NULL, 0};
        if (kind == GEN_DNS) {
            text = view_of(ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
        } else if (kind == GEN_IPADD) {
            int family = ASN1_STRING_length(s) == 4 ? AF_INET : AF_INET6;
            bool whole = ASN1_STRING_length(s) == 4 || ASN1_STRING_length(s) == 16;
            if (whole && inet_ntop(family, ASN1_STRING_get0_data(s), ip, sizeof(ip)) != NULL) {
                text = view_str(ip);
            }
        }
        if (text.len > 0) {
            int n = snprintf(ret_text + used, size - used, "%s%.*s", used > 0 ? "," : "",
                             VIEW_ARG(text));
            used += n > 0 ? (size_t)n : 0;
        }
    }
    GENERAL_NAMES_free(all);
}

static void put_hex(struct view bytes, char *ret_text, size_t size)
{
    ret_text[0] = '\0';
    for (size_t i = 0; i < bytes.len && 2 * i + 2 < size; i++) {
        (void)snprintf(ret_text + 2 * i, size - 2 * i, "%02x", bytes.data[i]);
    }
}

static enum err describe(X509 *cert, struct auth_certificate_info *info)
{
    unsigned char *der = NULL;
    struct auth_names names;
    uint8_t hash[AUTH_HASH_SIZE];
    int len = i2d_X509(cert, &der);
    if (len <= 0) {
        return ERR_MALFORMED;
    }
    struct view bytes = view_of(der, (size_t)len);
    enum err hashed = auth_hash(bytes, hash);
    enum err e = auth_certificate_names(bytes, &names);
    OPENSSL_free(der);
    if (hashed != ERR_OK || e != ERR_OK) {
        return hashed != ERR_OK ? hashed : ERR_MALFORMED;
    }
    info->not_before_us = names.not_before_us;
    info->not_after_us = names.not_after_us;
    info->is_ca = X509_check_ca(cert) == 1;
    const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
    put_hex(view_of(ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial)),
            info->serial, sizeof(info->serial));
    put_hex(view_of(hash, sizeof(hash)), info->fingerprint, sizeof(info->fingerprint));
    put_name(X509_get_subject_name(cert), info->subject, sizeof(info->subject));
    put_name(X509_get_issuer_name(cert), info->issuer, sizeof(info->issuer));
    put_alternatives(cert, info->names, sizeof(info->names));
    return ERR_OK;
}

enum err auth_certificate_read(const char *file, struct auth_certificate_info *ret_info)
{
    struct auth_certificate_info info = {0};
    BIO *bio = BIO_new_file(file, "r");
    X509 *cert = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
    enum err e = bio == NULL ? ERR_IO : cert == NULL ? ERR_MALFORMED : describe(cert, &info);
    X509_free(cert);
    BIO_free(bio);
    ERR_clear_error();
    if (e == ERR_OK) {
        *ret_info = info;
    }
    return e;
}

enum err auth_certificate_pair(const char *cert_file, const char *key_file)
{
    X509 *cert = NULL;
    EVP_PKEY *key = NULL;
    enum err e = ca_read_pair(cert_file, key_file, &cert, &key);
    X509_free(cert);
    EVP_PKEY_free(key);
    return e;
}
