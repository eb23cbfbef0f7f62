/*
 * Certificates, keys, revocation lists and signing requests: files and bodies that anybody may
 * hand to the server.
 *
 * Properties: a certificate names only whom its own bytes name, in valid identifiers; a signing
 * request gives its public key and nothing else: the certificate made from it has the wanted names,
 * is no CA's, and our CA has signed it; a TLS context is made of good files only, and asks for
 * revocation lists when there is one; what is for people is text that ends.
 *
 * Input: which (1 byte), how the bytes are combined with a good file (1 byte), the bytes.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "../stress/net_certs.h"
#include "auth/auth_internal.h"
#include "auth/ca.h"
#include "auth/certificate.h"
#include "base/clock.h"
#include "base/ident.h"
#include "base/utf8.h"
#include "fake/same.h"
#include "fuzz.h"
#include "net/private.h"

enum { DAYS = 30, PATH_MAX_ = 32 };

static struct certs certs;
static char good[5][128]; /* server certificate, its key, CA, its key, revocation list */
static char none[1] = "";

/* A file in memory, with a path that any open() takes. */
struct file {
    int fd;
    char path[PATH_MAX_];
};

static struct file file_of(struct view bytes)
{
    struct file f = {.fd = memfd_create("fuzz", MFD_CLOEXEC)};
    CHECK(f.fd >= 0 && write(f.fd, bytes.data, bytes.len) == (ssize_t)bytes.len);
    (void)snprintf(f.path, sizeof(f.path), "/proc/self/fd/%d", f.fd);
    return f;
}

/* The good file, with the bytes before or behind it or in its middle, or the bytes alone. */
static struct file combined(const char *path, struct view bytes, uint8_t how)
{
    char text[8192];
    FILE *in = how % 4 == 0 ? NULL : fopen(path, "r");
    size_t len = in == NULL ? 0 : fread(text, 1, sizeof(text), in);
    CHECK(in == NULL || fclose(in) == 0);
    size_t at = how % 4 == 1 ? 0 : how % 4 == 2 ? len : len * how / 256;
    struct buf all;
    buf_init(&all, 1 << 20);
    buf_put(&all, text, at);
    buf_put_view(&all, bytes);
    buf_put(&all, text + at, len - at);
    struct file f = file_of(buf_view(&all));
    buf_fini(&all);
    return f;
}

static bool within(struct view all, const char *part)
{
    return memmem(all.data, all.len, part, strlen(part)) != NULL;
}

static void try_names(struct view der)
{
    struct auth_names names;
    struct auth_names again;
    if (auth_certificate_names(der, &names) != ERR_OK) {
        return;
    }
    CHECK(names.count >= 0 && names.count <= AUTH_NAMES_MAX);
    for (int i = 0; i < names.count; i++) {
        CHECK(ident_valid(view_str(names.names[i])) && within(der, names.names[i]));
    }
    CHECK(auth_certificate_names(der, &again) == ERR_OK && again.count == names.count);
    for (size_t cut = 0; cut < der.len; cut += 1 + der.len / 32) {
        uint8_t *copy = fuzz_copy(view_of(der.data, cut));
        CHECK(auth_certificate_names(view_of(copy, cut), &again) != ERR_OK); /* whole, or nothing */
        free(copy);
    }
}

/* DER, or PEM as it may stand in a file. */
static void try_certificate(struct view bytes)
{
    BIO *bio = BIO_new_mem_buf(bytes.data, (int)bytes.len);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    if (cert != NULL) {
        unsigned char *der = NULL;
        int len = i2d_X509(cert, &der);
        if (len > 0) {
            uint8_t *copy = fuzz_copy(view_of(der, (size_t)len));
            try_names(view_of(copy, (size_t)len));
            free(copy);
        }
        OPENSSL_free(der);
        X509_free(cert);
    }
    ERR_clear_error();
    try_names(bytes);
}

static bool ends(const char *text, size_t size)
{
    return memchr(text, 0, size) != NULL;
}

static void try_show(struct view bytes, uint8_t how)
{
    struct file cert = combined(good[0], bytes, how);
    struct auth_certificate_info info = {0};
    if (auth_certificate_read(cert.path, &info) == ERR_OK) {
        CHECK(ends(info.subject, sizeof(info.subject)) && ends(info.issuer, sizeof(info.issuer)) &&
              ends(info.names, sizeof(info.names)) && ends(info.serial, sizeof(info.serial)));
        CHECK(strlen(info.fingerprint) == 64);
    }
    enum err e = auth_certificate_pair(cert.path, good[1]);
    CHECK(e != ERR_OK || how % 4 != 0 || bytes.len > 100);
    (void)auth_certificate_pair(good[0], cert.path);
    (void)close(cert.fd);
}

static void check_issued(const struct auth_issued *issued, const char *csr)
{
    BIO *bio = BIO_new_mem_buf(issued->certificate, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    X509 *ca = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    CHECK(cert != NULL && ca != NULL && X509_cmp(ca, certs.ca) == 0);
    CHECK(X509_verify(cert, X509_get0_pubkey(ca)) == 1 && X509_check_ca(cert) == 0);
    CHECK(X509_get_extension_flags(cert) & EXFLAG_BCONS);
    CHECK(X509_get_ext_count(cert) == 5 && X509_get_version(cert) == X509_VERSION_3);
    char name[64];
    CHECK(X509_NAME_entry_count(X509_get_subject_name(cert)) == 1);
    CHECK(X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, name,
                                    sizeof(name)) > 0 &&
          strcmp(name, "pump-1") == 0);
    bio = BIO_new_mem_buf(csr, -1);
    X509_REQ *request = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
    BIO_free(bio);
    CHECK(request != NULL &&
          EVP_PKEY_eq(X509_get0_pubkey(cert), X509_REQ_get0_pubkey(request)) == 1);
    CHECK(issued->private_key == NULL && strlen(issued->serial) >= 16);
    X509_REQ_free(request);
    X509_free(cert);
    X509_free(ca);
}

static void try_request(struct view bytes)
{
    char *csr = strndup((const char *)bytes.data, bytes.len);
    struct auth_issued issued;
    CHECK(csr != NULL);
    if (auth_ca_issue(good[2], good[3], "pump-1", AUTH_USAGE_CLIENT, csr, DAYS, &issued) ==
        ERR_OK) {
        check_issued(&issued, csr);
        auth_issued_fini(&issued);
    }
    free(csr);
}

/* Names are what stands between the commas, without blanks around it. */
static void try_wanted_names(struct view bytes)
{
    struct ca_names names;
    char *text = strndup((const char *)bytes.data, bytes.len);
    CHECK(text != NULL);
    if (ca_names_parse(text, &names) == ERR_OK) {
        CHECK(names.count > 0 && names.count <= CA_NAMES_MAX);
        const char *at = text;
        for (int i = 0; i < names.count; i++) {
            at += strspn(at, " ");
            size_t len = strlen(names.names[i]);
            CHECK(len > 0 && len <= CA_NAME_MAX && strncmp(at, names.names[i], len) == 0);
            at += len;
            at += strspn(at, " ");
            CHECK(*at == (i + 1 < names.count ? ',' : '\0'));
            at++;
        }
        struct auth_issued issued;
        if (auth_ca_issue(good[2], good[3], text, AUTH_USAGE_SERVER, NULL, DAYS, &issued) ==
            ERR_OK) {
            CHECK(issued.private_key != NULL);
            auth_issued_fini(&issued);
        }
    }
    free(text);
}

static void try_context(struct view bytes, uint8_t how)
{
    int which = how / 4 % 4;
    struct file f = combined(good[which == 3 ? 4 : which], bytes, how);
    struct conf conf = {.device_tls_cert = which == 0 ? f.path : good[0],
                        .device_tls_key = which == 1 ? f.path : good[1],
                        .device_tls_ca = which == 2 ? f.path : good[2],
                        .device_tls_crl = which == 3   ? f.path
                                          : which == 2 ? good[4]
                                                       : none};
    SSL_CTX *tls = NULL;
    if (net_tls_new(&conf, NULL, &tls) == ERR_OK) {
        X509_STORE *store = SSL_CTX_get_cert_store(tls);
        unsigned long flags = X509_VERIFY_PARAM_get_flags(X509_STORE_get0_param(store));
        unsigned long lists = X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
        CHECK(SSL_CTX_check_private_key(tls) == 1);
        CHECK(SSL_CTX_get_verify_mode(tls) == SSL_VERIFY_PEER);
        CHECK(conf.device_tls_crl == none || (flags & lists) == lists);
        SSL_CTX_free(tls);
    } else {
        CHECK(tls == NULL);
    }
    CHECK(ERR_peek_error() == 0); /* nothing is left for the next one to find */
    (void)close(f.fd);
}

static void remove_certs(void)
{
    certs_fini(&certs);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    same_random(1);
    certs_init(&certs);
    certs_revoke(&certs, "server");
    certs_write(&certs, "ca", certs.ca, certs.ca_key);
    certs_path(&certs, "server", ".pem", good[0]);
    certs_path(&certs, "server", ".key", good[1]);
    certs_path(&certs, "ca", ".pem", good[2]);
    certs_path(&certs, "ca", ".key", good[3]);
    certs_path(&certs, "crl", ".pem", good[4]);
    CHECK(atexit(remove_certs) == 0);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 8192) {
        return 0;
    }
    same_random(1);
    struct view bytes = view_of(data + 2, size - 2);
    uint8_t *exact = fuzz_copy(bytes);
    bytes.data = exact;
    switch (data[0] % 5) {
    case 0:
        try_certificate(bytes);
        break;
    case 1:
        try_show(bytes, data[1]);
        break;
    case 2:
        try_request(bytes);
        break;
    case 3:
        try_wanted_names(bytes);
        break;
    default:
        try_context(bytes, data[1]);
        break;
    }
    ERR_clear_error();
    free(exact);
    return 0;
}
