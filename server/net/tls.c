
#include "base/log.h"
#include "net/private.h"

/*
 * One SSL_CTX per loop, because OpenSSL 3.0 takes locks inside it. The contexts of one generation
 * share their ticket keys, so that a device may come back to another loop; a reload makes new keys,
 * so that a ticket never outlives the CA and revocation lists it was given under.
 */

enum {
    TLS_TICKET_KEYS = 80,
    TLS_TICKET_LIFE_S = 7200,
    TLS_CHAIN_DEPTH = 5,
    TLS_CHAIN_BYTES = 32768
};

/* AEAD only. AES-128 with SHA-256 comes before AES-256 with SHA-384: processors have instructions
 * for SHA-256, and a handshake of TLS 1.3 hashes a lot. */
static const char tls13_ciphers[] =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
static const char tls12_ciphers[] = "ECDHE+AESGCM+AES128:ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL";

const char *net_tls_words(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *words = code == 0 ? NULL : ERR_reason_error_string(code);
    return words == NULL ? "unknown reason" : words;
}

static enum err tls_failed(const char *what, const char *file)
{
    LOG(LOG_ERROR, "tls_setup_failed", LOG_S("tried", what), LOG_S("file", file),
        LOG_S("why", net_tls_words()));
    ERR_clear_error();
    return ERR_TLS;
}

/* A client that offers protocols, none of which is ours, is let in without one: middleboxes and
 * libraries add such offers (RFC 7301 section 3.2 would have it refused). What it speaks is then
 * found out as with a client that offers none. */
static int tls_alpn(SSL *ssl, const unsigned char **ret_name, unsigned char *ret_len,
                    const unsigned char *offered, unsigned int len, void *arg)
{
    (void)ssl;
    (void)arg;
    static const unsigned char ours[] = "\x04mqtt\x0ex-amzn-mqtt-ca\x08http/1.1";
    unsigned char *name = NULL;
    if (SSL_select_next_proto(&name, ret_len, ours, sizeof(ours) - 1, offered, len) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    *ret_name = name;
    return SSL_TLSEXT_ERR_OK;
}

enum net_speaks net_tls_speaks(const SSL *ssl)
{
    const unsigned char *name = NULL;
    unsigned len = 0;
    SSL_get0_alpn_selected(ssl, &name, &len);
    if (len == 0) {
        return SPEAKS_UNKNOWN;
    }
    return view_eq_str(view_of(name, len), "http/1.1") ? SPEAKS_HTTP : SPEAKS_MQTT;
}

static bool tls_protocol(SSL_CTX *tls)
{
    SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(tls, TLS_TICKET_LIFE_S);
    SSL_CTX_set_max_cert_list(tls, TLS_CHAIN_BYTES);
    SSL_CTX_set_alpn_select_cb(tls, tls_alpn, NULL);
    static const unsigned char context[] = "signalbox devices";
    char groups[] = "X25519:P-256:P-384"; /* OpenSSL's macro casts const away */
    return SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_ciphersuites(tls, tls13_ciphers) == 1 &&
           SSL_CTX_set_cipher_list(tls, tls12_ciphers) == 1 &&
           SSL_CTX_set1_groups_list(tls, groups) == 1 && SSL_CTX_set_num_tickets(tls, 1) == 1 &&
           SSL_CTX_set_session_id_context(tls, context, sizeof(context) - 1) == 1;
}

/* RFC 8446 section 4.4.2: a root need not be sent. A device that does not have it does not trust
 * it either, and pays for its bytes with each full handshake. */
static bool tls_leave_out_roots(SSL_CTX *tls)
{
    STACK_OF(X509) *chain = NULL;
    STACK_OF(X509) *sent = sk_X509_new_null();
    bool ok = sent != NULL && SSL_CTX_get0_chain_certs(tls, &chain) == 1;
    for (int i = 0; ok && i < sk_X509_num(chain); i++) {
        X509 *cert = sk_X509_value(chain, i);
        bool is_root = (X509_get_extension_flags(cert) & EXFLAG_SS) != 0;
        ok = is_root || sk_X509_push(sent, cert) > 0;
    }
    ok = ok && SSL_CTX_set1_chain(tls, sk_X509_num(sent) == 0 ? NULL : sent) == 1;
    sk_X509_free(sent);
    return ok;
}

static enum err tls_identity(SSL_CTX *tls, const struct conf *conf)
{
    if (SSL_CTX_use_certificate_chain_file(tls, conf->device_tls_cert) != 1 ||
        !tls_leave_out_roots(tls)) {
        return tls_failed("read device_tls_cert", conf->device_tls_cert);
    }
    if (SSL_CTX_use_PrivateKey_file(tls, conf->device_tls_key, SSL_FILETYPE_PEM) != 1) {
        return tls_failed("read device_tls_key", conf->device_tls_key);
    }
    if (SSL_CTX_check_private_key(tls) != 1) {
        return tls_failed("match device_tls_key with device_tls_cert", conf->device_tls_key);
    }
    return ERR_OK;
}

/* A certificate is asked for, not demanded: a device may come with a token. One that is sent must
 * verify, or the handshake fails. */
static enum err tls_verify(SSL_CTX *tls, const struct conf *conf)
{
    if (conf->device_tls_ca[0] == '\0') {
        SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL);
        return ERR_OK;
    }
    if (SSL_CTX_load_verify_file(tls, conf->device_tls_ca) != 1) {
        return tls_failed("read device_tls_ca", conf->device_tls_ca);
    }
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(conf->device_tls_ca);
    if (names == NULL) {
        return tls_failed("read names from device_tls_ca", conf->device_tls_ca);
    }
    SSL_CTX_set_client_CA_list(tls, names);
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_verify_depth(tls, TLS_CHAIN_DEPTH);
    if (conf->device_tls_crl[0] == '\0') {
        return ERR_OK;
    }
    X509_STORE *store = SSL_CTX_get_cert_store(tls);
    if (X509_load_crl_file(X509_STORE_add_lookup(store, X509_LOOKUP_file()), conf->device_tls_crl,
                           X509_FILETYPE_PEM) < 1) {
        return tls_failed("read device_tls_crl", conf->device_tls_crl);
    }
    /* The whole chain: an issuer without a list is refused, not waved through. */
    if (X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) != 1) {
        return tls_failed("require revocation lists", conf->device_tls_crl);
    }
    return ERR_OK;
}

static enum err tls_share_tickets(SSL_CTX *tls, SSL_CTX *same)
{
    unsigned char keys[TLS_TICKET_KEYS];
    if (same == NULL) {
        return ERR_OK;
    }
    bool shared = SSL_CTX_get_tlsext_ticket_keys(same, keys, sizeof(keys)) == 1 &&
                  SSL_CTX_set_tlsext_ticket_keys(tls, keys, sizeof(keys)) == 1;
    OPENSSL_cleanse(keys, sizeof(keys));
    return shared ? ERR_OK : tls_failed("share ticket keys", "");
}

enum err net_tls_new(const struct conf *conf, SSL_CTX *same_tickets, SSL_CTX **ret_tls)
{
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (tls == NULL) {
        return ERR_NOMEM;
    }
    enum err e = tls_protocol(tls) ? ERR_OK : tls_failed("set protocol options", "");
    e = e != ERR_OK ? e : tls_identity(tls, conf);
    e = e != ERR_OK ? e : tls_verify(tls, conf);
    e = e != ERR_OK ? e : tls_share_tickets(tls, same_tickets);
    if (e != ERR_OK) {
        SSL_CTX_free(tls);
        return e;
    }
    *ret_tls = tls;
    return ERR_OK;
}

SSL *net_tls_accept(SSL_CTX *tls, BIO *bio)
{
    SSL *ssl = SSL_new(tls);
    if (ssl == NULL || BIO_up_ref(bio) != 1) {
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_bio(ssl, bio, bio); /* the same for both takes one reference */
    SSL_set_accept_state(ssl);
    return ssl;
}

bool net_tls_session_current(const SSL *ssl)
{
    X509 *peer = SSL_get0_peer_certificate(ssl);
    return peer == NULL || (X509_cmp_current_time(X509_get0_notBefore(peer)) < 0 &&
                            X509_cmp_current_time(X509_get0_notAfter(peer)) > 0);
}

static void empty_chain(STACK_OF(X509) * chain)
{
    while (sk_X509_num(chain) > 0) {
        X509_free(sk_X509_pop(chain));
    }
}

/* The key's memory goes; the object stays with OpenSSL, which does not use it again. */
static void empty_key(EVP_PKEY *key)
{
    (void)EVP_PKEY_set_type(key, EVP_PKEY_NONE);
}

/*
 * OpenSSL keeps until SSL_free() what only the handshake needed, and a device stays for months: the
 * ephemeral keys (which had better be gone for forward secrecy, too), the peer's public key, the
 * CA certificates it sent, the suites it offered. There is no renegotiation and no post-handshake
 * authentication that could want them again. Saves 0.8 KiB, with a client certificate 4 to 8 KiB.
 */
void net_tls_slim(SSL *ssl)
{
    EVP_PKEY *key = NULL;
    if (SSL_get_tmp_key(ssl, &key) == 1) {
        empty_key(key);
        EVP_PKEY_free(key);
    }
    key = NULL;
    if (SSL_get_peer_tmp_key(ssl, &key) == 1) {
        empty_key(key);
        EVP_PKEY_free(key);
    }
    X509 *peer = SSL_get0_peer_certificate(ssl);
    if (peer != NULL) {
        empty_key(X509_get0_pubkey(peer));
        empty_chain(SSL_get_peer_cert_chain(ssl));
        empty_chain(SSL_get0_verified_chain(ssl));
    }
    STACK_OF(SSL_CIPHER) *offered = SSL_get_client_ciphers(ssl);
    if (offered != NULL) {
        sk_SSL_CIPHER_zero(offered);
        (void)sk_SSL_CIPHER_reserve(offered, 0); /* gives the memory back */
    }
    ERR_clear_error();
}
