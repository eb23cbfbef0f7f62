/*
 * The local CA: one P-256 key in a file. It issues certificates for devices (client) and for the
 * server itself.
 *
 * Not done on purpose: intermediate CAs, revocation lists (a device's certificate is revoked by its
 * credential row, which closes the session at once) and keys in hardware.
 */
#include "auth/ca.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/auth_internal.h"
#include "base/clock.h"
#include "base/ident.h"

/* A new file only: an existing one, also a symbolic link, is never followed or replaced. */
static enum err write_new(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0) {
        return errno == EEXIST || errno == ELOOP ? ERR_EXISTS : ERR_IO;
    }
    struct view left = view_str(text);
    bool good = fchmod(fd, mode) == 0; /* whatever the umask says */
    while (good && left.len > 0) {
        ssize_t n = write(fd, left.data, left.len);
        good = n > 0 || (n < 0 && errno == EINTR);
        left = view_skip(left, n > 0 ? (size_t)n : 0);
    }
    good = good && fsync(fd) == 0;
    good = close(fd) == 0 && good;
    if (!good) {
        (void)unlink(path);
        return ERR_IO;
    }
    return ERR_OK;
}

static enum err set_subject(X509_NAME *subject, const char *name)
{
    return X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
                                      (const unsigned char *)name, -1, -1, 0) == 1
               ? ERR_OK
               : ERR_RANGE;
}

struct extension {
    int nid;
    const char *value;
};

static enum err add_all(X509 *cert, X509 *issuer, const struct extension *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum err e = ca_extension_add(cert, issuer, list[i].nid, list[i].value);
        if (e != ERR_OK) {
            return e;
        }
    }
    return ERR_OK;
}

static enum err make_ca(const char *name, int days, EVP_PKEY *key, X509 *cert)
{
    static const struct extension extensions[] = {
        {NID_basic_constraints, "critical,CA:TRUE,pathlen:0"},
        {NID_key_usage, "critical,keyCertSign,cRLSign"},
        {NID_subject_key_identifier, "hash"},
        {NID_authority_key_identifier, "keyid:always"},
    };
    X509_NAME *subject = X509_get_subject_name(cert);
    enum err e = X509_set_version(cert, X509_VERSION_3) == 1 && X509_set_pubkey(cert, key) == 1
                     ? ca_serial_set(cert)
                     : ERR_NOMEM;
    if (e == ERR_OK) {
        e = ca_validity_set(cert, days, NULL);
    }
    if (e == ERR_OK) {
        e = set_subject(subject, name);
    }
    if (e == ERR_OK && X509_set_issuer_name(cert, subject) != 1) {
        e = ERR_NOMEM;
    }
    if (e == ERR_OK) {
        e = add_all(cert, NULL, extensions, sizeof(extensions) / sizeof(extensions[0]));
    }
    return e == ERR_OK ? ca_sign(cert, key) : e;
}

enum err auth_ca_create(const char *cert_file, const char *key_file, const char *name, int days)
{
    EVP_PKEY *key = NULL;
    X509 *cert = X509_new();
    char *cert_pem = NULL;
    char *key_pem = NULL;
    enum err e = cert == NULL ? ERR_NOMEM : ca_key_new(&key);
    if (e == ERR_OK) {
        e = make_ca(name, days, key, cert);
    }
    if (e == ERR_OK) {
        cert_pem = ca_pem_certificates(cert, NULL);
        key_pem = ca_pem_key(key);
        e = cert_pem == NULL || key_pem == NULL ? ERR_NOMEM : ERR_OK;
    }
    if (e == ERR_OK && access(cert_file, F_OK) == 0) {
        e = ERR_EXISTS;
    }
    if (e == ERR_OK) {
        e = write_new(key_file, key_pem, 0600);
    }
    if (e == ERR_OK) {
        e = write_new(cert_file, cert_pem, 0644);
        if (e != ERR_OK) {
            (void)unlink(key_file); /* we made it a moment ago */
        }
    }
    if (key_pem != NULL) {
        explicit_bzero(key_pem, strlen(key_pem));
    }
    free(key_pem);
    free(cert_pem);
    EVP_PKEY_free(key);
    X509_free(cert);
    ERR_clear_error();
    return e;
}

static bool is_ip(const char *name)
{
    unsigned char ignored[16];
    return inet_pton(AF_INET, name, ignored) == 1 || inet_pton(AF_INET6, name, ignored) == 1;
}

/* "critical,DNS:a,IP:::1": the names from `first` on. */
static enum err add_alternatives(X509 *cert, const struct ca_names *names, int first, bool critical)
{
    struct buf value;
    buf_init(&value, 16384);
    buf_put_str(&value, critical ? "critical" : "");
    for (int i = first; i < names->count; i++) {
        buf_printf(&value, "%s%s:%s", value.len > 0 ? "," : "",
                   is_ip(names->names[i]) ? "IP" : "DNS", names->names[i]);
    }
    char *text = buf_take_str(&value);
    enum err e =
        text == NULL ? ERR_NOMEM : ca_extension_add(cert, NULL, NID_subject_alt_name, text);
    free(text);
    return e;
}

/* Who the certificate is for. A server's names all go into the SAN, since clients look nowhere else
 * (RFC 9525); a device's name is its CN, or its SAN when it is longer than a CN may be. */
static enum err set_names(X509 *cert, const struct ca_names *names, enum auth_usage usage)
{
    bool long_name = strlen(names->names[0]) > CA_COMMON_NAME_MAX;
    if (usage == AUTH_USAGE_CLIENT && !ident_valid(view_str(names->names[0]))) {
        return ERR_RANGE;
    }
    if (!long_name) {
        enum err e = set_subject(X509_get_subject_name(cert), names->names[0]);
        if (e != ERR_OK) {
            return e;
        }
    }
    int first = usage == AUTH_USAGE_SERVER || long_name ? 0 : 1;
    return first < names->count ? add_alternatives(cert, names, first, long_name) : ERR_OK;
}

static enum err make_leaf(const struct ca_names *names, enum auth_usage usage, int days, X509 *ca,
                          EVP_PKEY *ca_key, EVP_PKEY *key, X509 *cert)
{
    const struct extension extensions[] = {
        {NID_basic_constraints, "critical,CA:FALSE"},
        {NID_key_usage, "critical,digitalSignature"},
        {NID_ext_key_usage, usage == AUTH_USAGE_SERVER ? "serverAuth" : "clientAuth"},
        {NID_subject_key_identifier, "hash"},
        {NID_authority_key_identifier, "keyid:always"},
    };
    enum err e = X509_set_version(cert, X509_VERSION_3) == 1 && X509_set_pubkey(cert, key) == 1 &&
                         X509_set_issuer_name(cert, X509_get_subject_name(ca)) == 1
                     ? ca_serial_set(cert)
                     : ERR_NOMEM;
    if (e == ERR_OK) {
        e = ca_validity_set(cert, days, ca);
    }
    if (e == ERR_OK) {
        e = set_names(cert, names, usage);
    }
    if (e == ERR_OK) {
        e = add_all(cert, ca, extensions, sizeof(extensions) / sizeof(extensions[0]));
    }
    return e == ERR_OK ? ca_sign(cert, ca_key) : e;
}

static char *serial_hex(const X509 *cert)
{
    BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
    char *hex = n == NULL ? NULL : BN_bn2hex(n);
    char *copy = hex == NULL ? NULL : strdup(hex);
    OPENSSL_free(hex);
    BN_free(n);
    return copy;
}

static enum err describe(X509 *cert, X509 *ca, EVP_PKEY *new_key, struct auth_issued *issued)
{
    unsigned char *der = NULL;
    int len = i2d_X509(cert, &der);
    if (len <= 0) {
        return ERR_NOMEM;
    }
    struct auth_names names;
    struct view bytes = view_of(der, (size_t)len);
    enum err e = auth_hash(bytes, issued->hash);
    if (e == ERR_OK) {
        e = auth_certificate_names(bytes, &names); /* read back what a peer will read */
    }
    OPENSSL_free(der);
    if (e != ERR_OK) {
        return e;
    }
    issued->not_before_us = names.not_before_us;
    issued->not_after_us = names.not_after_us;
    issued->certificate = ca_pem_certificates(cert, ca);
    issued->serial = serial_hex(cert);
    issued->private_key = new_key == NULL ? NULL : ca_pem_key(new_key);
    bool all = issued->certificate != NULL && issued->serial != NULL &&
               (new_key == NULL || issued->private_key != NULL);
    return all ? ERR_OK : ERR_NOMEM;
}

enum err auth_ca_issue(const char *ca_cert_file, const char *ca_key_file, const char *names,
                       enum auth_usage usage, const char *csr, int days,
                       struct auth_issued *ret_issued)
{
    struct ca_names parsed;
    struct auth_issued issued = {0};
    X509 *ca = NULL;
    EVP_PKEY *ca_key = NULL;
    EVP_PKEY *key = NULL;
    X509 *cert = NULL;
    enum err e = ca_names_parse(names, &parsed);
    if (e == ERR_OK) {
        e = ca_load(ca_cert_file, ca_key_file, &ca, &ca_key);
    }
    if (e == ERR_OK) {
        e = csr == NULL ? ca_key_new(&key) : ca_csr_key(csr, &key);
    }
    if (e == ERR_OK) {
        cert = X509_new();
        e = cert == NULL ? ERR_NOMEM : make_leaf(&parsed, usage, days, ca, ca_key, key, cert);
    }
    if (e == ERR_OK) {
        e = describe(cert, ca, csr == NULL ? key : NULL, &issued);
    }
    X509_free(cert);
    X509_free(ca);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
    ERR_clear_error();
    if (e != ERR_OK) {
        auth_issued_fini(&issued);
        return e;
    }
    *ret_issued = issued;
    return ERR_OK;
}

void auth_issued_fini(struct auth_issued *i)
{
    if (i->private_key != NULL) {
        explicit_bzero(i->private_key, strlen(i->private_key));
    }
    free(i->certificate);
    free(i->private_key);
    free(i->serial);
    *i = (struct auth_issued){0};
}
