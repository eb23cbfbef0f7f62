/*
 * net_certs: a CA, certificates and a revocation list in a temporary directory, for tests that talk
 * TLS. P-256 throughout.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ERR_STATE openssl_err_state
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#undef ERR_STATE

struct certs {
    char dir[64];
    EVP_PKEY *ca_key;
    X509 *ca;
    long serial;
};

struct cert_wish {
    const char *name;  /* CN, and the file names' stem */
    const char *usage; /* "serverAuth", "clientAuth" */
    long from_s, to_s; /* relative to now */
    bool self_signed;
};

static inline void certs_need(bool ok, const char *what)
{
    if (!ok) {
        (void)fprintf(stderr, "certs: cannot %s\n", what);
        abort();
    }
}

static inline char *certs_path(const struct certs *c, const char *stem, const char *ending,
                               char ret_path[static 128])
{
    (void)snprintf(ret_path, 128, "%s/%s%s", c->dir, stem, ending);
    return ret_path;
}

static inline void certs_write(const struct certs *c, const char *stem, X509 *cert, EVP_PKEY *key)
{
    char path[128];
    FILE *f = fopen(certs_path(c, stem, ".pem", path), "w");
    certs_need(f != NULL && PEM_write_X509(f, cert) == 1, "write a certificate");
    certs_need(fclose(f) == 0, "close");
    f = fopen(certs_path(c, stem, ".key", path), "w");
    certs_need(f != NULL && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1,
               "write a key");
    certs_need(fclose(f) == 0, "close");
}

static inline void certs_extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    certs_need(e != NULL && X509_add_ext(cert, e, -1) == 1, "add an extension");
    X509_EXTENSION_free(e);
}

static inline X509 *certs_make(struct certs *c, const struct cert_wish *w, EVP_PKEY *key,
                               EVP_PKEY *issuer_key, X509 *issuer)
{
    X509 *cert = X509_new();
    certs_need(cert != NULL && X509_set_version(cert, 2) == 1, "make a certificate");
    (void)ASN1_INTEGER_set(X509_get_serialNumber(cert), ++c->serial);
    (void)X509_gmtime_adj(X509_getm_notBefore(cert), w->from_s);
    (void)X509_gmtime_adj(X509_getm_notAfter(cert), w->to_s);
    X509_NAME *name = X509_get_subject_name(cert);
    (void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)w->name, -1,
                                     -1, 0);
    (void)X509_set_issuer_name(cert, issuer == NULL ? name : X509_get_subject_name(issuer));
    (void)X509_set_pubkey(cert, key);
    if (w->usage == NULL) {
        certs_extend(cert, cert, NID_basic_constraints, "critical,CA:TRUE");
        certs_extend(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign");
        certs_extend(cert, cert, NID_subject_key_identifier, "hash");
    } else {
        certs_extend(cert, issuer == NULL ? cert : issuer, NID_ext_key_usage, w->usage);
    }
    if (w->usage != NULL && strcmp(w->usage, "serverAuth") == 0) {
        certs_extend(cert, issuer, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    }
    certs_need(X509_sign(cert, issuer_key, EVP_sha256()) > 0, "sign");
    return cert;
}

/* name.pem and name.key in c->dir. */
static inline void certs_issue(struct certs *c, const struct cert_wish *w)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    certs_need(key != NULL, "make a key");
    X509 *cert =
        w->self_signed ? certs_make(c, w, key, key, NULL) : certs_make(c, w, key, c->ca_key, c->ca);
    certs_write(c, w->name, cert, key);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static inline void certs_client(struct certs *c, const char *name)
{
    certs_issue(c, &(struct cert_wish){
                       .name = name, .usage = "clientAuth", .from_s = -3600, .to_s = 86400});
}

/* crl.pem: revokes name.pem, or nothing. */
static inline void certs_revoke(struct certs *c, const char *name)
{
    char path[128];
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *now = X509_gmtime_adj(NULL, -60);
    ASN1_TIME *next = X509_gmtime_adj(NULL, 86400);
    certs_need(crl != NULL && X509_CRL_set_version(crl, 1) == 1 &&
                   X509_CRL_set_issuer_name(crl, X509_get_subject_name(c->ca)) == 1 &&
                   X509_CRL_set1_lastUpdate(crl, now) == 1 &&
                   X509_CRL_set1_nextUpdate(crl, next) == 1,
               "make a revocation list");
    if (name != NULL) {
        FILE *f = fopen(certs_path(c, name, ".pem", path), "r");
        X509 *cert = f == NULL ? NULL : PEM_read_X509(f, NULL, NULL, NULL);
        certs_need(cert != NULL && fclose(f) == 0, "read a certificate");
        X509_REVOKED *r = X509_REVOKED_new();
        (void)X509_REVOKED_set_serialNumber(r, X509_get_serialNumber(cert));
        (void)X509_REVOKED_set_revocationDate(r, now);
        certs_need(X509_CRL_add0_revoked(crl, r) == 1, "revoke");
        X509_free(cert);
    }
    certs_need(X509_CRL_sign(crl, c->ca_key, EVP_sha256()) > 0, "sign the list");
    FILE *f = fopen(certs_path(c, "crl", ".pem", path), "w");
    certs_need(f != NULL && PEM_write_X509_CRL(f, crl) == 1 && fclose(f) == 0, "write the list");
    X509_CRL_free(crl);
    ASN1_TIME_free(now);
    ASN1_TIME_free(next);
}

/* ca.pem, server.pem, server.key. */
static inline void certs_init(struct certs *c)
{
    *c = (struct certs){.serial = 1000};
    (void)snprintf(c->dir, sizeof(c->dir), "/tmp/certs-XXXXXX");
    certs_need(mkdtemp(c->dir) != NULL, "make a directory");
    c->ca_key = EVP_EC_gen("P-256");
    certs_need(c->ca_key != NULL, "make the CA's key");
    const struct cert_wish ca = {.name = "Test CA", .from_s = -86400, .to_s = 864000};
    c->ca = certs_make(c, &ca, c->ca_key, c->ca_key, NULL);
    certs_write(c, "ca", c->ca, c->ca_key);
    certs_issue(c, &(struct cert_wish){
                       .name = "server", .usage = "serverAuth", .from_s = -3600, .to_s = 86400});
}

static inline void certs_fini(struct certs *c)
{
    char command[128];
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", c->dir);
    certs_need(strncmp(c->dir, "/tmp/certs-", 11) == 0 && system(command) == 0, "remove the files");
    X509_free(c->ca);
    EVP_PKEY_free(c->ca_key);
}
