#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/ca.h"
#include "auth/certificate.h"
#include "auth_bench.h"
#include "base/check.h"

struct ca_dir {
    char dir[64], cert[96], key[96];
};

static void ca_dir_open(struct ca_dir *c)
{
    snprintf(c->dir, sizeof(c->dir), "/tmp/ca-test-XXXXXX");
    cr_assert_not_null(mkdtemp(c->dir));
    snprintf(c->cert, sizeof(c->cert), "%s/ca.pem", c->dir);
    snprintf(c->key, sizeof(c->key), "%s/ca.key", c->dir);
    cr_assert_eq(auth_ca_create(c->cert, c->key, "test CA", 365), ERR_OK);
}

static void ca_dir_close(struct ca_dir *c)
{
    unlink(c->cert);
    unlink(c->key);
    rmdir(c->dir);
}

static X509 *parse(const char *pem, size_t skip)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = NULL;
    for (size_t i = 0; i <= skip; i++) {
        X509_free(cert);
        cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    }
    BIO_free(bio);
    return cert;
}

/* X509_verify_cert with the purpose that the TLS layer asks for. */
static int verify(X509 *cert, X509 *ca, int purpose, const char *host)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509_STORE_add_cert(store, ca);
    X509_STORE_CTX_init(ctx, store, cert, NULL);
    X509_STORE_CTX_set_purpose(ctx, purpose);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
    if (host != NULL && (host[0] == ':' || (host[0] >= '0' && host[0] <= '9'))) {
        X509_VERIFY_PARAM_set1_ip_asc(param, host);
    } else if (host != NULL) {
        X509_VERIFY_PARAM_set1_host(param, host, 0);
    }
    int result = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    return result;
}

static struct view der_of(const char *pem)
{
    unsigned char *der = NULL;
    X509 *cert = parse(pem, 0);
    int len = i2d_X509(cert, &der);
    uint8_t *copy = malloc((size_t)len);
    memcpy(copy, der, (size_t)len);
    OPENSSL_free(der);
    X509_free(cert);
    return view_of(copy, (size_t)len);
}

Test(ca, a_new_ca_has_a_private_key_file_and_never_replaces_anything)
{
    struct ca_dir c;
    struct stat st;
    ca_dir_open(&c);
    cr_assert_eq(stat(c.key, &st), 0);
    cr_expect_eq(st.st_mode & 0777, 0600);
    cr_assert_eq(stat(c.cert, &st), 0);
    cr_expect_eq(st.st_mode & 0777, 0644);
    cr_expect_eq(auth_ca_create(c.cert, c.key, "again", 365), ERR_EXISTS);
    char other[128], link_key[128];
    snprintf(other, sizeof(other), "%s/other.pem", c.dir);
    snprintf(link_key, sizeof(link_key), "%s/link.key", c.dir);
    cr_assert_eq(symlink("/tmp/nowhere-at-all", link_key), 0);
    cr_expect_eq(auth_ca_create(other, link_key, "link", 365), ERR_EXISTS,
                 "a link is not followed");
    unlink(link_key);
    cr_expect_eq(auth_ca_create(c.cert, link_key, "half", 365), ERR_EXISTS);
    cr_expect_neq(access(link_key, F_OK), 0, "no key is left behind without its certificate");
    cr_expect_eq(auth_ca_create("/nonexistent/a", "/nonexistent/b", "x", 365), ERR_IO);
    ca_dir_close(&c);
}

Test(ca, a_server_certificate_is_good_for_its_names_and_as_a_server_only)
{
    struct ca_dir c;
    struct auth_issued s = {0};
    ca_dir_open(&c);
    cr_assert_eq(auth_ca_issue(c.cert, c.key, "localhost, 127.0.0.1,::1,box.example",
                               AUTH_USAGE_SERVER, NULL, 30, &s),
                 ERR_OK);
    X509 *cert = parse(s.certificate, 0);
    X509 *ca = parse(s.certificate, 1);
    cr_assert(cert != NULL && ca != NULL, "the CA's certificate follows");
    static const struct {
        const char *host;
        int purpose, result;
    } cases[] = {
        {"localhost", X509_PURPOSE_SSL_SERVER, X509_V_OK},
        {"box.example", X509_PURPOSE_SSL_SERVER, X509_V_OK},
        {"127.0.0.1", X509_PURPOSE_SSL_SERVER, X509_V_OK},
        {"::1", X509_PURPOSE_SSL_SERVER, X509_V_OK},
        {"other.example", X509_PURPOSE_SSL_SERVER, X509_V_ERR_HOSTNAME_MISMATCH},
        {"127.0.0.2", X509_PURPOSE_SSL_SERVER, X509_V_ERR_IP_ADDRESS_MISMATCH},
        {NULL, X509_PURPOSE_SSL_CLIENT, X509_V_ERR_INVALID_PURPOSE},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int got = verify(cert, ca, cases[i].purpose, cases[i].host);
        cr_expect_eq(got, cases[i].result, "%s: %s", cases[i].host,
                     X509_verify_cert_error_string(got));
    }
    cr_expect_not_null(strstr(s.private_key, "BEGIN PRIVATE KEY"));
    cr_expect_geq(strlen(s.serial), 28, "128 random bits: %s", s.serial);
    cr_expect_lt(s.not_before_us, clock_wall_us() - 5 * CLOCK_MINUTE_US, "a little in the past");
    int64_t days = (s.not_after_us - clock_wall_us() + CLOCK_HOUR_US) / CLOCK_DAY_US;
    cr_expect_eq(days, 30);
    X509_free(cert);
    X509_free(ca);
    auth_issued_fini(&s);
    ca_dir_close(&c);
}

Test(ca, nothing_outlives_its_issuer)
{
    struct ca_dir c;
    struct auth_issued s = {0};
    ca_dir_open(&c);
    cr_assert_eq(auth_ca_issue(c.cert, c.key, "d", AUTH_USAGE_CLIENT, NULL, 3650, &s), ERR_OK);
    X509 *cert = parse(s.certificate, 0);
    X509 *ca = parse(s.certificate, 1);
    cr_expect_eq(verify(cert, ca, X509_PURPOSE_SSL_CLIENT, NULL), X509_V_OK);
    cr_expect_eq(ASN1_TIME_compare(X509_get0_notAfter(cert), X509_get0_notAfter(ca)), 0);
    X509_free(cert);
    X509_free(ca);
    auth_issued_fini(&s);
    cr_expect_eq(auth_ca_issue(c.cert, c.key, "d", AUTH_USAGE_CLIENT, NULL, 0, &s), ERR_RANGE);
    ca_dir_close(&c);
}

static char *make_csr(EVP_PKEY *key, bool break_signature)
{
    X509_REQ *req = X509_REQ_new();
    X509_NAME_add_entry_by_NID(X509_REQ_get_subject_name(req), NID_commonName, MBSTRING_UTF8,
                               (const unsigned char *)"somebody-else", -1, -1, 0);
    X509_REQ_set_pubkey(req, key);
    X509_REQ_sign(req, key, EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256());
    if (break_signature) {
        EVP_PKEY *other = EVP_EC_gen("P-256");
        X509_REQ_set_pubkey(req, other);
        EVP_PKEY_free(other);
    }
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509_REQ(bio, req);
    char *data = NULL;
    long len = BIO_get_mem_data(bio, &data);
    char *pem = strndup(data, (size_t)len);
    BIO_free(bio);
    X509_REQ_free(req);
    return pem;
}

Test(ca, a_request_keeps_its_key_and_gets_the_name_it_is_given)
{
    struct ca_dir c;
    ca_dir_open(&c);
    EVP_PKEY *keys[] = {EVP_EC_gen("P-256"), EVP_EC_gen("P-384"), EVP_RSA_gen(2048),
                        EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")};
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        struct auth_issued s = {0};
        struct auth_names names;
        char *csr = make_csr(keys[i], false);
        cr_assert_eq(auth_ca_issue(c.cert, c.key, "press-7", AUTH_USAGE_CLIENT, csr, 30, &s),
                     ERR_OK);
        X509 *cert = parse(s.certificate, 0);
        X509 *ca = parse(s.certificate, 1);
        cr_expect_eq(EVP_PKEY_eq(X509_get0_pubkey(cert), keys[i]), 1);
        cr_expect_null(s.private_key);
        cr_expect_eq(verify(cert, ca, X509_PURPOSE_SSL_CLIENT, NULL), X509_V_OK);
        cr_expect_eq(verify(cert, ca, X509_PURPOSE_SSL_SERVER, NULL), X509_V_ERR_INVALID_PURPOSE);
        struct view der = der_of(s.certificate);
        cr_assert_eq(auth_certificate_names(der, &names), ERR_OK);
        cr_expect_eq(names.count, 1);
        cr_expect_str_eq(names.names[0], "press-7", "not what the request asked for");
        free((void *)der.data);
        X509_free(cert);
        X509_free(ca);
        free(csr);
        auth_issued_fini(&s);
        EVP_PKEY_free(keys[i]);
    }
    ca_dir_close(&c);
}

Test(ca, bad_requests_names_and_files_are_refused)
{
    struct ca_dir c, other;
    ca_dir_open(&c);
    ca_dir_open(&other);
    EVP_PKEY *weak = EVP_RSA_gen(1024);
    EVP_PKEY *curve = EVP_EC_gen("secp256k1");
    EVP_PKEY *good = EVP_EC_gen("P-256");
    char *weak_csr = make_csr(weak, false), *curve_csr = make_csr(curve, false);
    char *forged_csr = make_csr(good, true);
    const struct {
        const char *cert, *key, *names, *csr;
        enum err err;
    } cases[] = {
        {c.cert, c.key, "d", forged_csr, ERR_DENIED},
        {c.cert, c.key, "d", weak_csr, ERR_UNSUPPORTED},
        {c.cert, c.key, "d", curve_csr, ERR_UNSUPPORTED},
        {c.cert, c.key, "d", "no request", ERR_MALFORMED},
        {c.cert, c.key, "d", "", ERR_MALFORMED},
        {c.cert, c.key, "", NULL, ERR_RANGE},
        {c.cert, c.key, "a,,b", NULL, ERR_RANGE},
        {c.cert, c.key, "d\nx", NULL, ERR_RANGE},
        {c.cert, c.key, "*", NULL, ERR_RANGE}, /* no device name */
        {c.cert, c.key, "d/e", NULL, ERR_RANGE},
        {c.cert, other.key, "d", NULL, ERR_STATE},
        {"/nonexistent", c.key, "d", NULL, ERR_IO},
        {c.cert, c.cert, "d", NULL, ERR_MALFORMED},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct auth_issued s = {.serial = (char *)"untouched"};
        cr_expect_eq(auth_ca_issue(cases[i].cert, cases[i].key, cases[i].names, AUTH_USAGE_CLIENT,
                                   cases[i].csr, 30, &s),
                     cases[i].err, "case %zu", i);
        cr_expect_str_eq(s.serial, "untouched");
    }
    free(weak_csr);
    free(curve_csr);
    free(forged_csr);
    EVP_PKEY_free(weak);
    EVP_PKEY_free(curve);
    EVP_PKEY_free(good);
    ca_dir_close(&c);
    ca_dir_close(&other);
}

/* A self-signed certificate with any common names and SAN, for what our own CA would never issue.
 */
static struct view strange(const char *const *common_names, int count, int name_len,
                           const char *san)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_set_version(cert, X509_VERSION_3);
    X509_set_pubkey(cert, key);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    for (int i = 0; i < count; i++) {
        X509_NAME_add_entry_by_NID(X509_get_subject_name(cert), NID_commonName, MBSTRING_UTF8,
                                   (const unsigned char *)common_names[i], name_len, -1, 0);
    }
    if (san != NULL) {
        cr_assert_eq(ca_extension_add(cert, NULL, NID_subject_alt_name, san), ERR_OK);
    }
    X509_sign(cert, key, EVP_sha256());
    unsigned char *der = NULL;
    int len = i2d_X509(cert, &der);
    uint8_t *copy = malloc((size_t)len);
    memcpy(copy, der, (size_t)len);
    OPENSSL_free(der);
    X509_free(cert);
    EVP_PKEY_free(key);
    return view_of(copy, (size_t)len);
}

Test(certificate, names_are_cn_then_dns_and_only_valid_ones)
{
    static const struct {
        const char *cns[2];
        int count, name_len;
        const char *san;
        enum err err;
        int names;
        const char *first;
    } cases[] = {
        {{"dev-1"}, 1, -1, NULL, ERR_OK, 1, "dev-1"},
        {{"dev-1"}, 1, -1, "DNS:dev-2,DNS:dev-3", ERR_OK, 3, "dev-1"},
        {{NULL}, 0, -1, "DNS:dev-2", ERR_OK, 1, "dev-2"},
        {{"not a name"}, 1, -1, "DNS:dev-2", ERR_OK, 1, "dev-2"},
        {{"dev/+"}, 1, -1, NULL, ERR_OK, 0, ""},
        {{"dev\0evil"}, 1, 8, NULL, ERR_OK, 0, ""}, /* a NUL inside hides nothing */
        {{NULL}, 0, -1, "DNS:*.x,IP:1.2.3.4,email:a@b.c,URI:x:y", ERR_OK, 0, ""},
        {{"a", "b"}, 2, -1, NULL, ERR_MALFORMED, 0, ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct auth_names names = {0};
        struct view der = strange(cases[i].cns, cases[i].count, cases[i].name_len, cases[i].san);
        cr_expect_eq(auth_certificate_names(der, &names), cases[i].err, "case %zu", i);
        cr_expect_eq(names.count, cases[i].names, "case %zu: %d", i, names.count);
        cr_expect_str_eq(names.names[0], cases[i].first);
        free((void *)der.data);
    }
}

Test(certificate, every_cut_and_every_flipped_byte_is_refused_or_read_never_a_crash)
{
    static const char *const cn[] = {"dev-1"};
    struct view der = strange(cn, 1, -1, "DNS:dev-2");
    for (size_t cut = 0; cut < der.len; cut++) {
        struct auth_names names;
        uint8_t *copy = malloc(cut == 0 ? 1 : cut);
        memcpy(copy, der.data, cut);
        cr_expect_neq(auth_certificate_names(view_of(copy, cut), &names), ERR_OK, "cut at %zu",
                      cut);
        free(copy);
    }
    for (size_t at = 0; at < der.len; at++) {
        struct auth_names names = {0};
        uint8_t *copy = malloc(der.len);
        memcpy(copy, der.data, der.len);
        copy[at] ^= 0x55;
        (void)!auth_certificate_names(view_of(copy, der.len), &names);
        for (int i = 0; i < names.count; i++) {
            cr_expect_leq(strlen(names.names[i]), 128);
        }
        free(copy);
    }
    free((void *)der.data);
}

static enum err present(struct auth_bench *b, struct view der, int64_t *ret_id, char ret_name[129])
{
    struct auth_identity who = {0};
    enum err e = auth_certificate(b->auth, der, &who);
    if (e == ERR_OK) {
        *ret_id = who.credential_id;
        (void)view_copy(view_str(who.device->name), ret_name, 129);
        auth_identity_fini(&who);
    }
    return e;
}

Test(certificate, a_device_comes_in_by_its_certificate_and_its_row_can_close_the_door)
{
    struct ca_dir c;
    struct auth_bench b;
    struct auth_issued s = {0};
    int64_t id = -1;
    char name[129] = "";
    ca_dir_open(&c);
    auth_bench_open(&b);
    auth_bench_device(&b, 1, "press-1", true);
    auth_bench_device(&b, 2, "press-2", false);
    cr_assert_eq(auth_ca_issue(c.cert, c.key, "press-1", AUTH_USAGE_CLIENT, NULL, 30, &s), ERR_OK);
    struct view der = der_of(s.certificate);
    cr_expect_eq(present(&b, der, &id, name), ERR_OK, "of an accepted CA, without a row");
    cr_expect_eq(id, 0);
    cr_expect_str_eq(name, "press-1");

    struct credential row = {.id = 5,
                             .device_id = 1,
                             .kind = CREDENTIAL_CERTIFICATE,
                             .not_before_us = s.not_before_us,
                             .not_after_us = s.not_after_us};
    memcpy(row.hash, s.hash, sizeof(row.hash));
    auth_bench_credential(&b, row);
    cr_expect_eq(present(&b, der, &id, name), ERR_OK);
    cr_expect_eq(id, 5);
    struct credential *live = map_get(&b.auth->by_hash, view_of(s.hash, 32));
    live->revoked = true;
    cr_expect_eq(present(&b, der, &id, name), ERR_DENIED);
    live->revoked = false;
    live->not_after_us = 1;
    cr_expect_eq(present(&b, der, &id, name), ERR_DENIED);
    live->not_after_us = CLOCK_NONE;
    live->device_id = 2;
    cr_expect_eq(present(&b, der, &id, name), ERR_DENIED, "issued to another device");
    live->device_id = 1;
    live->kind = CREDENTIAL_TOKEN;
    cr_expect_eq(present(&b, der, &id, name), ERR_OK,
                 "a token's row says nothing about a certificate");
    cr_expect_eq(id, 0);
    free((void *)der.data);
    auth_issued_fini(&s);

    static const char *const others[] = {"press-2", "press-3"}; /* disabled, unknown */
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        cr_assert_eq(auth_ca_issue(c.cert, c.key, others[i], AUTH_USAGE_CLIENT, NULL, 30, &s),
                     ERR_OK);
        der = der_of(s.certificate);
        cr_expect_eq(present(&b, der, &id, name), ERR_DENIED, "%s", others[i]);
        free((void *)der.data);
        auth_issued_fini(&s);
    }
    auth_bench_close(&b);
    ca_dir_close(&c);
}

Test(certificate, a_name_longer_than_a_common_name_may_be_goes_into_the_san)
{
    struct ca_dir c;
    struct auth_issued s = {0};
    struct auth_names names;
    char name[129];
    memset(name, 'n', 128);
    name[128] = '\0';
    ca_dir_open(&c);
    cr_assert_eq(auth_ca_issue(c.cert, c.key, name, AUTH_USAGE_CLIENT, NULL, 30, &s), ERR_OK);
    struct view der = der_of(s.certificate);
    cr_assert_eq(auth_certificate_names(der, &names), ERR_OK);
    cr_expect_eq(names.count, 1);
    cr_expect_str_eq(names.names[0], name);
    X509 *cert = parse(s.certificate, 0);
    X509 *ca = parse(s.certificate, 1);
    cr_expect_eq(verify(cert, ca, X509_PURPOSE_SSL_CLIENT, NULL), X509_V_OK);
    X509_free(cert);
    X509_free(ca);
    free((void *)der.data);
    auth_issued_fini(&s);
    ca_dir_close(&c);
}

Test(certificate, a_file_is_described_for_people)
{
    struct ca_dir c;
    struct auth_issued s = {0};
    struct auth_certificate_info info;
    ca_dir_open(&c);
    cr_assert_eq(auth_certificate_read(c.cert, &info), ERR_OK);
    cr_expect(info.is_ca);
    cr_expect_str_eq(info.subject, "CN=test CA");
    cr_expect_str_eq(info.issuer, "CN=test CA");
    cr_expect_eq(strlen(info.fingerprint), 64);
    cr_expect_eq(auth_certificate_pair(c.cert, c.key), ERR_OK);
    cr_assert_eq(
        auth_ca_issue(c.cert, c.key, "box.example,127.0.0.1,::1", AUTH_USAGE_SERVER, NULL, 30, &s),
        ERR_OK);
    char path[128];
    snprintf(path, sizeof(path), "%s/server.pem", c.dir);
    FILE *f = fopen(path, "w");
    fputs(s.certificate, f);
    fclose(f);
    cr_assert_eq(auth_certificate_read(path, &info), ERR_OK);
    cr_expect_not(info.is_ca);
    cr_expect_str_eq(info.names, "box.example,127.0.0.1,::1");
    cr_expect_eq(info.not_after_us, s.not_after_us);
    cr_expect_eq(auth_certificate_pair(path, c.key), ERR_STATE);
    cr_expect_eq(auth_certificate_read("/nonexistent", &info), ERR_IO);
    cr_expect_eq(auth_certificate_read(c.key, &info), ERR_MALFORMED);
    unlink(path);
    auth_issued_fini(&s);
    ca_dir_close(&c);
}
