/*
 * Connections: real TLS clients on a server whose sockets are buffers (fake/uv.h). Records come in
 * any pieces, are damaged, are made up; the kernel takes as much as it likes; either side closes at
 * any byte; certificates are reloaded; time passes.
 *
 * Properties: what the owner is offered is always the next part of what this client said, whatever
 * was done to the records, and the other way round; no handler is called after closed() or
 * net_conn_close(), closed() once; the queue keeps to its limit; without damage everything arrives
 * in the end; a client whose certificate does not verify never gets in; after the stop nothing is
 * left of any connection.
 *
 * Input: settings (1 byte), then operations of two bytes. Keys, random numbers and the time are the
 * same in each run.
 */

#include "../stress/net_certs.h"
#include "base/clock.h"
#include "fake/same.h"
#include "fake/uv.h"
#include "net/net.h"
#include "ws_bytes.h"

enum { CLIENTS = UV_SOCKS_MAX, SAID_MAX = 1 << 20, SERVERS = 8, HOST_PROXY = 3 };

struct client {
    struct uv_sock *sock; /* NULL: nobody */
    SSL *ssl;             /* NULL: without TLS */
    BIO *in, *out;
    int kind;
    bool damaged; /* nothing that comes later has to arrive */
    bool gone;    /* it has closed */
    bool failed;  /* its TLS has failed */
    struct buf said;
    size_t heard;      /* of what the owner said */
    bool ws, asked;    /* MQTT in frames of a WebSocket; its request is sent */
    bool upgraded;     /* and answered */
    struct buf framed; /* what came of an answer or a frame */
    /* the owner's side */
    struct net_conn *conn; /* NULL: not opened, or not the owner's any more */
    bool opened, closed;
    bool greedy; /* takes all that it is offered */
    size_t taken;
    struct buf answered;
};

static struct client clients[CLIENTS];
static struct certs certs;
static struct server {
    struct net *net; /* NULL: not made yet */
    struct uv_world *world;
    struct conf conf;
} servers[SERVERS];
static struct server *server;
static bool fresh; /* the server is stopped with all connections as they are, and made again */
static char paths[4][128];
static char none[1] = "";
static char proxies[] = "127.0.0.4";
static char listen_address[] = "127.0.0.1:0";
static SSL_CTX *contexts[8];
static SSL_SESSION *ticket;
static struct script *input;

static int64_t now_s(void)
{
    return 1790000000 + uv_mono_us() / CLOCK_SECOND_US;
}

/* ---- the owner ---- */

static struct client *client_of(const struct net_conn *c)
{
    char words[NET_PEER_WORDS];
    unsigned port = 0;
    CHECK(sscanf(strrchr(net_conn_peer(c, words), ':'), ":%u", &port) == 1);
    for (int i = 0; i < CLIENTS; i++) {
        if (clients[i].sock != NULL && clients[i].sock->port == port) {
            return &clients[i];
        }
    }
    CHECK(false);
}

enum {
    KIND_PLAIN,
    KIND_12,
    KIND_13,
    KIND_CERT,
    KIND_CERT_12,
    KIND_OTHER_CA,
    KIND_EXPIRED,
    KIND_RESUME
};

static void *on_opened(void *arg, uint32_t loop, struct net_conn *c, bool open_listener)
{
    (void)arg;
    struct client *k = client_of(c);
    CHECK(loop == 0 && !k->opened && !open_listener);
    bool asks = server->conf.device_tls_ca[0] != '\0';
    CHECK(!asks || (k->kind != KIND_OTHER_CA && k->kind != KIND_EXPIRED));
    k->opened = true;
    if (script_byte(input) % 32 == 31) {
        k->closed = true;
        return NULL; /* out of memory, say */
    }
    k->conn = c;
    k->greedy = true;
    struct buf der;
    buf_init(&der, 8192);
    bool named = net_conn_certificate(c, &der) == ERR_OK;
    CHECK(named == (asks && (k->kind == KIND_CERT || k->kind == KIND_CERT_12)) ||
          k->kind == KIND_RESUME);
    CHECK(named == (der.len > 0));
    buf_fini(&der);
    return k;
}

static void owner_close(struct client *k)
{
    net_conn_close(k->conn);
    k->conn = NULL;
    k->closed = true;
}

/* So much as the buffer takes. */
static void owner_say(struct client *k, size_t len)
{
    struct buf *out = net_conn_out(k->conn);
    for (size_t i = 0; i < len; i++) {
        uint8_t b = (uint8_t)(k->answered.len * 7 + (k->answered.len >> 8));
        buf_put_u8(out, b);
        if (buf_err(out) != ERR_OK) {
            return;
        }
        buf_put_u8(&k->answered, b);
    }
}

static size_t on_data(void *user, struct view bytes)
{
    struct client *k = user;
    CHECK(k->conn != NULL && bytes.len > 0);
    uint8_t *exact = fuzz_copy(bytes);
    CHECK(k->taken + bytes.len <= k->said.len);
    CHECK(memcmp(exact, k->said.data + k->taken, bytes.len) == 0);
    free(exact);
    uint8_t mood = k->greedy ? 0 : script_byte(input);
    size_t used = mood % 4 == 0 ? bytes.len : bytes.len / (mood % 4 + 1u);
    k->taken += used;
    switch (mood / 4 % 16) {
    case 1:
        owner_say(k, 100);
        break;
    case 2:
        net_conn_ready(k->conn);
        break;
    case 3:
        net_conn_read(k->conn, false);
        break;
    case 4:
        net_conn_again(k->conn);
        break;
    case 5:
        owner_close(k);
        break;
    default:
        break;
    }
    return used;
}

static void on_drained(void *user)
{
    struct client *k = user;
    CHECK(k->conn != NULL);
}

static void on_closed(void *user, enum net_close why)
{
    struct client *k = user;
    CHECK(k->opened && !k->closed && why < NET_CLOSE_COUNT && why != NET_CLOSE_OWNER);
    k->closed = true;
    k->conn = NULL;
}

static void on_turn(void *arg, uint32_t loop)
{
    (void)arg;
    (void)loop;
}

/* ---- clients ---- */

static SSL_CTX *context_new(int kind)
{
    static const unsigned char alpn[] = "\x04mqtt";
    static const char *const names[] = {[KIND_CERT] = "device",
                                        [KIND_CERT_12] = "device",
                                        [KIND_OTHER_CA] = "stranger",
                                        [KIND_EXPIRED] = "expired",
                                        [KIND_RESUME] = NULL};
    bool old = kind == KIND_12 || kind == KIND_CERT_12;
    char path[128];
    SSL_CTX *x = SSL_CTX_new(TLS_client_method());
    CHECK(x != NULL && SSL_CTX_set_max_proto_version(x, old ? TLS1_2_VERSION : 0) == 1);
    CHECK(kind != KIND_CERT || SSL_CTX_set_alpn_protos(x, alpn, sizeof(alpn) - 1) == 0);
    if (names[kind] != NULL) {
        CHECK(SSL_CTX_use_certificate_file(x, certs_path(&certs, names[kind], ".pem", path),
                                           SSL_FILETYPE_PEM) == 1);
        CHECK(SSL_CTX_use_PrivateKey_file(x, certs_path(&certs, names[kind], ".key", path),
                                          SSL_FILETYPE_PEM) == 1);
    }
    return x;
}

/* PROXY protocol version 2, section 2.2: TCP over IPv4, from 10.0.0.9 and the port of the socket.
 */
static void proxy_head(struct uv_sock *sock)
{
    static const uint8_t head[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\0\0\x09\x7f\0\0\1";
    buf_put(&sock->arriving, head, sizeof(head) - 1);
    buf_put_u16(&sock->arriving, sock->port);
    buf_put_u16(&sock->arriving, 8883);
}

static void client_dial(struct client *k, uint8_t kind, uint8_t how)
{
    if (k->sock != NULL) {
        return;
    }
    struct uv_sock *sock = uv_dial(how % 4);
    if (sock == NULL) {
        return;
    }
    if (how % 4 == HOST_PROXY) {
        proxy_head(sock);
    }
    *k = (struct client){.sock = sock, .kind = kind % 8, .ws = how / 4 % 2 != 0};
    buf_init(&k->said, SAID_MAX);
    buf_init(&k->framed, SAID_MAX);
    buf_init(&k->answered, SAID_MAX);
    if (how % 4 == HOST_PROXY && server->conf.proxy_protocol_from == none) {
        k->damaged = true; /* nobody takes its head */
    }
    if (k->kind == KIND_PLAIN) {
        k->damaged = true; /* there is no listener without TLS: whatever it says is no record */
        return;
    }
    k->ssl = SSL_new(contexts[k->kind]);
    k->in = BIO_new(BIO_s_mem());
    k->out = BIO_new(BIO_s_mem());
    CHECK(k->ssl != NULL && k->in != NULL && k->out != NULL);
    SSL_set_bio(k->ssl, k->in, k->out);
    SSL_set_connect_state(k->ssl);
    if (k->ws) { /* else the context's, which may say `mqtt` */
        static const unsigned char http[] = "\x08http/1.1";
        size_t len = k->kind == KIND_CERT ? sizeof(http) - 1 : 0;
        CHECK(SSL_set_alpn_protos(k->ssl, http, (unsigned)len) == 0);
    }
    if (k->kind == KIND_RESUME && ticket != NULL) {
        CHECK(SSL_set_session(k->ssl, ticket) == 1);
    }
}

/* What its TLS wants to send goes onto the wire. */
static void client_flush(struct client *k)
{
    char bytes[4096];
    int n = 0;
    while ((n = BIO_read(k->out, bytes, sizeof(bytes))) > 0) {
        if (!k->gone) {
            buf_put(&k->sock->arriving, bytes, (size_t)n);
        }
    }
}

static void client_hears(struct client *k, struct view bytes)
{
    CHECK(k->heard + bytes.len <= k->answered.len);
    CHECK(bytes.len == 0 || memcmp(bytes.data, k->answered.data + k->heard, bytes.len) == 0);
    k->heard += bytes.len;
}

static void client_unframes(struct client *k, struct view bytes)
{
    buf_put_view(&k->framed, bytes);
    struct view left = buf_view(&k->framed);
    if (!k->upgraded) {
        const uint8_t *end = left.len == 0 ? NULL : memmem(left.data, left.len, "\r\n\r\n", 4);
        if (end == NULL) {
            return;
        }
        CHECK(k->asked && view_starts(left, VIEW("HTTP/1.1 ")));
        k->upgraded = view_starts(left, VIEW("HTTP/1.1 101 "));
        CHECK(k->upgraded || k->damaged);
        left = view_skip(left, (size_t)(end - left.data) + 4);
    }
    uint8_t head = 0;
    struct view payload;
    while (k->upgraded && ws_bytes_next(&left, &head, &payload)) {
        CHECK((head & 0x70) == 0);
        if ((head & 0x0f) == WS_BINARY || (head & 0x0f) == WS_CONTINUED) {
            client_hears(k, payload);
        }
    }
    buf_cut(&k->framed, k->framed.len - left.len);
}

static void client_hear(struct client *k)
{
    uint8_t bytes[4096];
    size_t n = 0;
    while (SSL_read_ex(k->ssl, bytes, sizeof(bytes), &n) == 1) {
        if (k->ws) {
            client_unframes(k, view_of(bytes, n));
        } else {
            client_hears(k, view_of(bytes, n));
        }
    }
    int e = SSL_get_error(k->ssl, 0);
    k->failed = k->failed || e == SSL_ERROR_SSL;
    if (SSL_is_init_finished(k->ssl) == 1 && SSL_get0_session(k->ssl) != NULL &&
        SSL_SESSION_is_resumable(SSL_get0_session(k->ssl)) == 1 && k->kind != KIND_RESUME) {
        SSL_SESSION_free(ticket);
        ticket = SSL_get1_session(k->ssl);
    }
}

/* Takes what has come and answers. */
static void client_step(struct client *k, size_t most)
{
    if (k->sock == NULL || k->ssl == NULL) {
        return;
    }
    size_t n = most < k->sock->left.len ? most : k->sock->left.len;
    if (n > 0) {
        CHECK(BIO_write(k->in, k->sock->left.data, (int)n) == (int)n);
        buf_cut(&k->sock->left, n);
    }
    ERR_clear_error();
    if (SSL_is_init_finished(k->ssl) == 0 && SSL_do_handshake(k->ssl) != 1) {
        k->failed = k->failed || SSL_get_error(k->ssl, -1) == SSL_ERROR_SSL;
    }
    if (SSL_is_init_finished(k->ssl) == 1) {
        client_hear(k);
    }
    client_flush(k);
    ERR_clear_error();
}

static const char upgrade[] = "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                              "Sec-WebSocket-Protocol: mqtt\r\n\r\n";

/* Sometimes in two frames, sometimes with a ping between them. */
static void frame(struct buf *out, struct view bytes)
{
    size_t first = bytes.len % 2 == 0 ? bytes.len : bytes.len / 2;
    ws_bytes_frame(out, first == bytes.len ? WS_FIN | WS_BINARY : WS_BINARY,
                   view_of(bytes.data, first));
    if (first < bytes.len) {
        if (bytes.len % 3 == 0) {
            ws_bytes_frame(out, WS_FIN | WS_PING, VIEW("?"));
        }
        ws_bytes_frame(out, WS_FIN | WS_CONTINUED, view_skip(bytes, first));
    }
}

static void client_say(struct client *k, size_t len)
{
    if (k->sock == NULL || k->ssl == NULL || k->gone || SSL_is_init_finished(k->ssl) == 0 ||
        (SSL_get_shutdown(k->ssl) & SSL_SENT_SHUTDOWN) != 0) {
        return;
    }
    uint8_t bytes[8192];
    size_t at = k->said.len;
    size_t written = 0;
    len = len < sizeof(bytes) ? len : sizeof(bytes);
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)(0x10 + (at + i) * 3 + ((at + i) >> 8)); /* CONNECT, at first sight */
    }
    struct buf out;
    buf_init(&out, SAID_MAX);
    if (!k->ws) {
        buf_put(&out, bytes, len);
    } else if (k->upgraded) {
        frame(&out, view_of(bytes, len));
    } else {
        buf_put_str(&out, k->asked ? "" : upgrade);
        k->asked = true;
        len = 0;
    }
    /* Past what the wire holds nothing is written, so that all or nothing is said. */
    if (out.len > 0 && SSL_write_ex(k->ssl, out.data, out.len, &written) == 1) {
        CHECK(written == out.len);
        buf_put(&k->said, bytes, len);
    }
    buf_fini(&out);
    client_flush(k);
    ERR_clear_error();
}

static void damage(struct client *k, uint8_t how)
{
    struct buf *wire = k->sock == NULL ? NULL : &k->sock->arriving;
    if (wire == NULL || k->gone) {
        return;
    }
    k->damaged = true;
    size_t at = wire->len == 0 ? 0 : script_u16(input) % wire->len;
    switch (how % 4) {
    case 0:
        if (wire->len > 0) {
            wire->data[at] ^= (uint8_t)(1 << how / 4 % 8);
        }
        break;
    case 1: {
        struct view bytes = script_take(input, how);
        buf_put_view(wire, bytes);
        break;
    }
    case 2:
        buf_cut(wire, at);
        break;
    default: /* the same again */
        if (wire->len - at > 0 && wire->len < SAID_MAX) {
            uint8_t *copy = fuzz_copy(view_of(wire->data + at, wire->len - at));
            buf_put(wire, copy, wire->len - at);
            free(copy);
        }
        break;
    }
}

static void client_close(struct client *k, uint8_t how)
{
    if (k->sock == NULL || k->gone) {
        return;
    }
    if (how % 3 == 0 && k->ssl != NULL && SSL_is_init_finished(k->ssl) == 1) {
        (void)SSL_shutdown(k->ssl);
        client_flush(k);
        ERR_clear_error();
        return;
    }
    k->gone = true;
    k->damaged = k->damaged || how % 3 == 2;
    k->sock->end = how % 3 == 2 ? UV_ECONNRESET : UV_EOF;
}

static void client_fini(struct client *k)
{
    if (k->sock != NULL) {
        if (k->ssl != NULL && SSL_is_init_finished(k->ssl) == 1) {
            SSL_set_shutdown(k->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        }
        SSL_free(k->ssl);
        buf_fini(&k->said);
        buf_fini(&k->framed);
        buf_fini(&k->answered);
    }
    *k = (struct client){0};
}

/* ---- what happens ---- */

static void owner_does(struct client *k, uint8_t what)
{
    if (k->conn == NULL) {
        return;
    }
    switch (what / CLIENTS % 8) {
    case 0:
        k->greedy = !k->greedy;
        break;
    case 1:
        net_conn_again(k->conn);
        break;
    case 2:
        net_conn_ready(k->conn);
        break;
    case 3:
        net_conn_read(k->conn, false);
        break;
    case 4:
        net_conn_read(k->conn, true);
        break;
    case 5:
        owner_close(k);
        break;
    case 6:
        owner_say(k, 50);
        break;
    default:
        owner_say(k, 20000);
        break;
    }
}

static size_t amount(uint8_t which)
{
    static const size_t amounts[] = {1, 3, 5, 6, 40, 500, 5000, SIZE_MAX};
    return amounts[which / CLIENTS % COUNT_OF(amounts)];
}

static void operate(uint8_t what, uint8_t which)
{
    struct client *k = &clients[which % CLIENTS];
    switch (what % 14) {
    case 0:
        client_dial(k, what / 14, which / CLIENTS);
        client_step(k, SIZE_MAX);
        break;
    case 1:
        client_step(k, amount(which));
        break;
    case 2:
        client_say(k, amount(which));
        break;
    case 3:
    case 4:
        if (k->sock != NULL) {
            k->sock->deliver = amount(which);
        }
        uv_turn();
        break;
    case 5:
        damage(k, which / CLIENTS + what);
        break;
    case 6:
        uv_clock((int64_t)which * which * CLOCK_MS_US);
        break;
    case 7:
        if (k->sock != NULL) {
            k->sock->room = amount(which) - 1;
        }
        break;
    case 8:
        client_close(k, which / CLIENTS);
        break;
    case 9:
    case 10:
        owner_does(k, which);
        break;
    case 11:
        if (k->ssl != NULL && SSL_is_init_finished(k->ssl) == 1) {
            (void)(SSL_version(k->ssl) == TLS1_3_VERSION
                       ? SSL_key_update(k->ssl, which % 2 == 0 ? SSL_KEY_UPDATE_REQUESTED
                                                               : SSL_KEY_UPDATE_NOT_REQUESTED)
                       : SSL_renegotiate(k->ssl));
            client_step(k, 0);
        }
        break;
    case 12:
        if (which % 8 == 0) {
            CHECK(net_reload(server->net) == ERR_OK);
        } else if (k->sock != NULL && which % 8 == 1) {
            k->sock->write_error = UV_EPIPE;
            k->damaged = true;
        } else {
            uv_accept_fails(which % 8);
        }
        break;
    default:
        client_step(k, SIZE_MAX);
        client_say(k, amount(which));
        if (k->sock != NULL) {
            k->sock->deliver = SIZE_MAX;
        }
        uv_turn();
        client_step(k, SIZE_MAX);
        break;
    }
}

static void check_limits(void)
{
    for (int i = 0; i < CLIENTS; i++) {
        struct client *k = &clients[i];
        CHECK(k->conn == NULL ||
              net_conn_queued(k->conn) <= (size_t)server->conf.send_queue_max_bytes + 65536);
        if (k->sock != NULL && !k->sock->used) {
            CHECK(k->conn == NULL && (!k->opened || k->closed));
            client_fini(k);
        }
    }
}

/* Nothing is in the way any more: what was said arrives. */
static void settle(void)
{
    for (int round = 0; round < 12; round++) {
        for (int i = 0; i < CLIENTS; i++) {
            struct client *k = &clients[i];
            if (k->sock == NULL) {
                continue;
            }
            k->greedy = true;
            k->sock->deliver = k->sock->room = SIZE_MAX;
            if (k->conn != NULL) {
                net_conn_read(k->conn, true);
                net_conn_again(k->conn);
            }
            client_step(k, SIZE_MAX);
        }
        uv_turn();
        check_limits();
    }
    for (int i = 0; i < CLIENTS; i++) {
        const struct client *k = &clients[i];
        if (k->sock != NULL && k->conn != NULL && !k->damaged && !k->failed) {
            CHECK(k->taken == k->said.len);
            CHECK(k->heard == k->answered.len || k->gone);
        }
    }
}

/* Making a server takes ten times as long as a handshake, so each kind is kept, at rest. */
static void server_new(struct server *v, uint8_t settings)
{
    static const struct net_handlers handlers = {.opened = on_opened,
                                                 .data = on_data,
                                                 .drained = on_drained,
                                                 .closed = on_closed,
                                                 .turn = on_turn,
                                                 .tick = on_turn};
    v->conf = (struct conf){.device_listen = listen_address,
                            .device_tls_cert = paths[0],
                            .device_tls_key = paths[1],
                            .device_tls_ca = (settings & 1) != 0 ? none : paths[2],
                            .device_tls_crl = (settings & 2) != 0 ? none : paths[3],
                            .open_listener = none,
                            .proxy_protocol_from = (settings & 4) != 0 ? none : proxies,
                            .net_loops = 1,
                            .connections_max = (settings & 4) != 0 ? 3 : 100,
                            .connections_per_source_max = (settings & 4) != 0 ? 2 : 0,
                            .handshakes_per_second = (settings & 4) != 0 ? 10 : 0,
                            .connect_timeout_us = 10 * CLOCK_SECOND_US,
                            .packet_max_bytes = 256 << 10,
                            .send_queue_max_bytes = 64 << 10,
                            .send_timeout_us = 30 * SEC,
                            .buffers_max_bytes = 64 << 20};
    v->world = uv_world_new();
    uv_world_enter(v->world);
    CHECK(net_new(&v->conf, &handlers, &v->net) == ERR_OK && net_start(v->net) == ERR_OK);
}

static void server_free(struct server *v)
{
    net_stop_accepting(v->net);
    net_stop(v->net);
    CHECK(net_open_count(v->net) == 0);
    net_free(v->net);
    uv_world_enter(NULL);
    free(v->world);
    *v = (struct server){0};
}

static void start(uint8_t settings)
{
    same_random(1);
    server = &servers[settings % SERVERS];
    fresh = (settings & 0x80) != 0;
    if (server->net == NULL) {
        server_new(server, settings);
    } else {
        uv_world_enter(server->world);
    }
}

/* Everybody hangs up, and all time limits pass. */
static void rest(void)
{
    for (int i = 0; i < CLIENTS; i++) {
        if (clients[i].sock != NULL) {
            clients[i].sock->end = UV_EOF;
            clients[i].sock->deliver = clients[i].sock->room = SIZE_MAX;
            if (clients[i].conn != NULL) {
                net_conn_read(clients[i].conn, true);
            }
        }
    }
    uv_clock(40 * CLOCK_SECOND_US);
}

static void stop(void)
{
    if (fresh) {
        server_free(server);
    } else {
        rest();
        CHECK(net_open_count(server->net) == 0);
        uv_world_enter(server->world);
    }
    for (int i = 0; i < CLIENTS; i++) {
        CHECK(clients[i].conn == NULL && (!clients[i].opened || clients[i].closed));
        client_fini(&clients[i]);
    }
    SSL_SESSION_free(ticket);
    ticket = NULL;
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
    same_time(now_s);
    certs_init(&certs);
    certs_client(&certs, "device");
    certs_issue(&certs,
                &(struct cert_wish){
                    .name = "expired", .usage = "clientAuth", .from_s = -7200, .to_s = -60});
    certs_issue(&certs, &(struct cert_wish){.name = "stranger",
                                            .usage = "clientAuth",
                                            .from_s = -3600,
                                            .to_s = 86400,
                                            .self_signed = true});
    certs_revoke(&certs, NULL);
    certs_path(&certs, "server", ".pem", paths[0]);
    certs_path(&certs, "server", ".key", paths[1]);
    certs_path(&certs, "ca", ".pem", paths[2]);
    certs_path(&certs, "crl", ".pem", paths[3]);
    for (int i = 0; i < 8; i++) {
        contexts[i] = context_new(i);
    }
    CHECK(atexit(remove_certs) == 0);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script ops = script_of(data, size < 1500 ? size : 1500);
    input = &ops;
    start(script_byte(&ops));
    while (!script_over(&ops)) {
        uint8_t what = script_byte(&ops);
        operate(what, script_byte(&ops));
        check_limits();
    }
    settle();
    stop();
    return 0;
}
