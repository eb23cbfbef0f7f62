/*
 * session_client: a blocking MQTT 3.1.1 client over TLS for stress programs. Its packets are
 * written by hand; anything unexpected from the server ends the program.
 */
#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "session_server.h"

struct client {
    SSL *ssl;
    int fd;
    uint16_t next_id;
    uint8_t in[65536];
    size_t in_len;
};

struct packet {
    uint8_t head;
    const uint8_t *body;
    size_t len;
};

static inline SSL_CTX *client_context(const struct server *s)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    CHECK(ctx != NULL && SSL_CTX_load_verify_file(ctx, s->ca) == 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    return ctx;
}

static inline int client_dial(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 15};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0);
    CHECK(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
    return fd;
}

/* False: the server closed during the handshake. */
static inline bool client_open(struct client *c, SSL_CTX *ctx, int port)
{
    c->fd = client_dial(port);
    c->ssl = SSL_new(ctx);
    c->next_id = 1;
    c->in_len = 0;
    CHECK(c->ssl != NULL && SSL_set_fd(c->ssl, c->fd) == 1);
    bool ok = SSL_connect(c->ssl) == 1;
    ERR_clear_error();
    return ok;
}

static inline void client_close(struct client *c)
{
    SSL_free(c->ssl);
    (void)close(c->fd);
    ERR_clear_error();
    c->ssl = NULL;
}

/* False: closed. */
static inline bool client_write(struct client *c, const void *bytes, size_t len)
{
    size_t n = 0;
    bool ok = SSL_write_ex(c->ssl, bytes, len, &n) == 1 && n == len;
    ERR_clear_error();
    return ok;
}

/* Drops the packet that was read before. False: closed. */
static inline bool client_packet(struct client *c, struct packet *ret, size_t *used)
{
    memmove(c->in, c->in + *used, c->in_len - *used);
    c->in_len -= *used;
    *used = 0;
    for (;;) {
        size_t len = 0;
        size_t head = 1;
        for (unsigned shift = 0; head < c->in_len; shift += 7) {
            len |= (size_t)(c->in[head] & 0x7f) << shift;
            if ((c->in[head++] & 0x80) == 0) {
                if (head + len <= c->in_len) {
                    *ret = (struct packet){c->in[0], c->in + head, len};
                    *used = head + len;
                    return true;
                }
                break;
            }
        }
        size_t n = 0;
        int ok = SSL_read_ex(c->ssl, c->in + c->in_len, sizeof(c->in) - c->in_len, &n);
        ERR_clear_error();
        if (ok != 1) {
            return false;
        }
        c->in_len += n;
    }
}

static inline size_t put_text(uint8_t *at, const char *text)
{
    size_t len = strlen(text);
    at[0] = (uint8_t)(len >> 8);
    at[1] = (uint8_t)len;
    memcpy(at + 2, text, len);
    return 2 + len;
}

/* The CONNACK's code, or -1 when the connection was closed instead. */
static inline int client_connect(struct client *c, const char *id, int device, bool clean)
{
    uint8_t packet[160] = {0x10, 0, 0, 4, 'M', 'Q', 'T', 'T', 4, clean ? 0x82 : 0x80, 0, 60};
    char token[32];
    size_t len = 12;
    (void)snprintf(token, sizeof(token), "token-d%d", device);
    len += put_text(packet + len, id);
    len += put_text(packet + len, token);
    packet[1] = (uint8_t)(len - 2);
    struct packet answer;
    size_t used = 0;
    if (!client_write(c, packet, len) || !client_packet(c, &answer, &used)) {
        return -1;
    }
    CHECK(answer.head == 0x20 && answer.len == 2);
    c->in_len = 0;
    return answer.body[1];
}

/* Appends a PUBLISH; returns its length. */
static inline size_t put_publish(uint8_t *at, const char *topic, int qos, uint16_t id,
                                 size_t payload)
{
    size_t body = 2 + strlen(topic) + (qos > 0 ? 2 : 0) + payload;
    size_t len = 0;
    at[len++] = (uint8_t)(0x30 | qos << 1);
    size_t left = body;
    do {
        at[len] = (uint8_t)(left % 128);
        left /= 128;
        at[len] = (uint8_t)(at[len] | (left > 0 ? 0x80 : 0));
        len++;
    } while (left > 0);
    len += put_text(at + len, topic);
    if (qos > 0) {
        at[len++] = (uint8_t)(id >> 8);
        at[len++] = (uint8_t)id;
    }
    memset(at + len, '7', payload);
    return len + payload;
}
