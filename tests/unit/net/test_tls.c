#include "echo.h"

static bool talks(struct echo *e, const char *cert_name, void (*adjust)(SSL_CTX *ctx))
{
    struct caller c;
    caller_init(&c, e, cert_name);
    if (adjust != NULL) {
        adjust(c.ctx);
    }
    bool ok = caller_dials(&c, e, NULL) && caller_says(&c, "hello\n", "hello\n");
    ERR_clear_error();
    caller_fini(&c);
    return ok;
}

static void only_12(SSL_CTX *ctx)
{
    (void)SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
}

static void only_11(SSL_CTX *ctx)
{
    SSL_CTX_set_security_level(ctx, 0);
    (void)SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
    (void)SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
}

static void cbc_only(SSL_CTX *ctx)
{
    only_12(ctx);
    (void)SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA");
}

static void alpn_mqtt(SSL_CTX *ctx)
{
    (void)SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\x04mqtt", 5);
}

static void alpn_amazon(SSL_CTX *ctx)
{
    (void)SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\x02h2\x0ex-amzn-mqtt-ca", 18);
}

static void alpn_other(SSL_CTX *ctx)
{
    (void)SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\x02h2", 3);
}

Test(tls, versions_suites_and_protocols_are_those_of_the_table, .timeout = 60)
{
    static const struct {
        const char *why;
        void (*adjust)(SSL_CTX *ctx);
        bool talks;
    } rows[] = {
        {"TLS 1.3", NULL, true},
        {"TLS 1.2", only_12, true},
        {"TLS 1.1 is not spoken", only_11, false},
        {"a suite without AEAD is not spoken", cbc_only, false},
        {"ALPN mqtt", alpn_mqtt, true},
        {"ALPN of Amazon's devices, second choice", alpn_amazon, true},
        {"ALPN that is not ours is no reason to refuse", alpn_other, true},
    };
    struct echo e;
    echo_init(&e);
    echo_start(&e);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        cr_expect_eq(talks(&e, NULL, rows[i].adjust), rows[i].talks, "%s", rows[i].why);
    }
    echo_stop(&e);
}

static void chacha_first(SSL_CTX *ctx)
{
    (void)SSL_CTX_set_ciphersuites(ctx, "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256");
}

static void aes256_only(SSL_CTX *ctx)
{
    (void)SSL_CTX_set_ciphersuites(ctx, "TLS_AES_256_GCM_SHA384");
}

Test(tls, the_suite_is_the_cheapest_for_both, .timeout = 60)
{
    static const struct {
        void (*adjust)(SSL_CTX *ctx);
        const char *suite;
    } rows[] = {
        {NULL, "TLS_AES_128_GCM_SHA256"},
        {only_12, "ECDHE-ECDSA-AES128-GCM-SHA256"},
        {chacha_first, "TLS_CHACHA20_POLY1305_SHA256"}, /* a processor without AES of its own */
        {aes256_only, "TLS_AES_256_GCM_SHA384"},
    };
    struct echo e;
    echo_init(&e);
    echo_start(&e);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct caller c;
        caller_init(&c, &e, NULL);
        if (rows[i].adjust != NULL) {
            rows[i].adjust(c.ctx);
        }
        cr_assert(caller_dials(&c, &e, NULL), "%s", rows[i].suite);
        cr_expect_str_eq(SSL_get_cipher_name(c.ssl), rows[i].suite);
        caller_fini(&c);
    }
    echo_stop(&e);
}

static void append(const char *path, const char *more)
{
    char bytes[8192];
    FILE *from = fopen(more, "r");
    FILE *to = fopen(path, "a");
    cr_assert(from != NULL && to != NULL);
    size_t len = fread(bytes, 1, sizeof(bytes), from);
    cr_assert_eq(fwrite(bytes, 1, len, to), len);
    (void)fclose(from);
    (void)fclose(to);
}

Test(tls, the_root_is_not_sent_although_it_is_in_the_file, .timeout = 60)
{
    struct echo e;
    echo_init(&e);
    append(e.cert, e.ca);
    echo_start(&e);
    struct caller c;
    caller_init(&c, &e, NULL);
    cr_assert(caller_dials(&c, &e, NULL) && caller_says(&c, "x\n", "x\n"));
    cr_expect_eq(sk_X509_num(SSL_get_peer_cert_chain(c.ssl)), 1, "the server's own certificate");
    caller_fini(&c);
    echo_stop(&e);
}

Test(tls, a_certificate_that_does_not_verify_fails_the_handshake, .timeout = 60)
{
    struct echo e;
    echo_init(&e);
    struct certs other;
    certs_init(&other);
    certs_client(&e.certs, "good");
    certs_client(&e.certs, "revoked");
    certs_issue(&e.certs,
                &(struct cert_wish){
                    .name = "expired", .usage = "clientAuth", .from_s = -7200, .to_s = -3600});
    certs_issue(
        &e.certs,
        &(struct cert_wish){.name = "future", .usage = "clientAuth", .from_s = 3600, .to_s = 7200});
    certs_issue(
        &e.certs,
        &(struct cert_wish){.name = "usage", .usage = "serverAuth", .from_s = -3600, .to_s = 7200});
    certs_issue(&e.certs, &(struct cert_wish){.name = "self",
                                              .usage = "clientAuth",
                                              .from_s = -3600,
                                              .to_s = 7200,
                                              .self_signed = true});
    /* Issued by another CA of the same name. */
    EVP_PKEY *key = e.certs.ca_key;
    X509 *ca = e.certs.ca;
    e.certs.ca_key = other.ca_key;
    e.certs.ca = other.ca;
    certs_client(&e.certs, "foreign");
    e.certs.ca_key = key;
    e.certs.ca = ca;
    certs_revoke(&e.certs, "revoked");
    e.conf.device_tls_crl = certs_path(&e.certs, "crl", ".pem", e.crl);
    echo_start(&e);
    static const struct {
        const char *name;
        bool talks;
    } rows[] = {
        {NULL, true},      {"good", true},   {"revoked", false}, {"expired", false},
        {"future", false}, {"usage", false}, {"self", false},    {"foreign", false},
    };
    static void (*const versions[])(SSL_CTX *) = {NULL, only_12};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (size_t v = 0; v < COUNT_OF(versions); v++) {
            cr_expect_eq(talks(&e, rows[i].name, versions[v]), rows[i].talks, "%s, version %zu",
                         rows[i].name, v);
        }
    }
    certs_fini(&other);
    echo_stop(&e);
}

Test(tls, the_owner_sees_the_certificate_or_none, .timeout = 60)
{
    struct echo e;
    echo_init(&e);
    certs_client(&e.certs, "d7");
    echo_start(&e);
    struct caller c;
    caller_init(&c, &e, NULL);
    cr_expect(caller_dials(&c, &e, NULL) && caller_says(&c, "cert\n", "cert 0\n"));
    caller_fini(&c);
    caller_init(&c, &e, "d7");
    char answer[32];
    (void)snprintf(answer, sizeof(answer), "cert %d\n",
                   i2d_X509(SSL_CTX_get0_certificate(c.ctx), NULL));
    cr_expect(caller_dials(&c, &e, NULL) && caller_says(&c, "cert\n", answer));
    caller_fini(&c);
    echo_stop(&e);
}

/* The second dial resumes unless something forbids it; a reload does. */
Test(tls, tickets_resume_with_their_certificate_until_a_reload, .timeout = 60)
{
    struct echo e;
    echo_init(&e);
    e.conf.net_loops = 2; /* and on whichever loop the device comes back */
    certs_client(&e.certs, "d7");
    echo_start(&e);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct caller c;
        caller_init(&c, &e, "d7");
        (void)SSL_CTX_set_max_proto_version(c.ctx, version);
        char answer[32];
        (void)snprintf(answer, sizeof(answer), "cert %d\n",
                       i2d_X509(SSL_CTX_get0_certificate(c.ctx), NULL));
        cr_assert(caller_dials(&c, &e, NULL) && caller_says(&c, "cert\n", answer));
        SSL_SESSION *session = SSL_get1_session(c.ssl);
        for (int i = 0; i < 6; i++) {
            caller_hang_up(&c);
            cr_expect(caller_dials(&c, &e, session) && caller_says(&c, "cert\n", answer));
            cr_expect_eq(SSL_session_reused(c.ssl), 1, "version %x, dial %d", version, i);
        }
        caller_hang_up(&c);
        cr_assert_eq(net_reload(e.net), ERR_OK);
        cr_expect(caller_dials(&c, &e, session) && caller_says(&c, "cert\n", answer));
        cr_expect_eq(SSL_session_reused(c.ssl), 0, "version %x after a reload", version);
        SSL_SESSION_free(session);
        caller_fini(&c);
    }
    echo_stop(&e);
}

Test(tls, a_reload_is_all_or_nothing_and_revokes_at_once, .timeout = 60)
{
    struct echo e;
    echo_init(&e);
    certs_client(&e.certs, "d7");
    certs_revoke(&e.certs, NULL);
    e.conf.device_tls_crl = certs_path(&e.certs, "crl", ".pem", e.crl);
    echo_start(&e);
    cr_expect(talks(&e, "d7", NULL));
    char backup[160];
    (void)snprintf(backup, sizeof(backup), "%s.old", e.key);
    cr_assert_eq(rename(e.key, backup), 0);
    cr_expect_eq(net_reload(e.net), ERR_TLS);
    cr_expect(talks(&e, "d7", NULL), "the old certificates serve on");
    cr_assert_eq(rename(backup, e.key), 0);
    certs_revoke(&e.certs, "d7");
    cr_expect_eq(net_reload(e.net), ERR_OK);
    cr_expect(!talks(&e, "d7", NULL));
    cr_expect(talks(&e, NULL, NULL));
    echo_stop(&e);
}
