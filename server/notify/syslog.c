#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "notify/address.h"
#include "notify/internal.h"

/*
 * Syslog: RFC 5424 over UDP (RFC 5426), a datagram each, or TCP with octet counting (RFC 6587
 * section 3.4.1), a connection each. Syslog has no acknowledgements: `sent` means that the kernel
 * took it, and for TCP that the receiver accepted the connection.
 *
 * A name of a UDP receiver is looked up on the worker's thread, which waits for it.
 */
static bool split(const char *url, char *ret_host, size_t size, const char **ret_port)
{
    const char *host = strstr(url, "://") + 3;
    const char *colon = strrchr(host, ':');
    bool bracket = host[0] == '[';
    size_t len = colon == NULL ? 0 : (size_t)(colon - host) - (bracket ? 2 : 0);
    if (colon == NULL || !view_copy(view_of(host + bracket, len), ret_host, size)) {
        return false;
    }
    *ret_port = colon + 1;
    return true;
}

/* False: not sent, with the reason in the delivery. */
static bool send_datagram(struct delivery *d, const struct addrinfo *to)
{
    int fd = socket(to->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool sent = fd >= 0 && sendto(fd, d->payload.data, d->payload.len, MSG_NOSIGNAL, to->ai_addr,
                                  to->ai_addrlen) == (ssize_t)d->payload.len;
    if (!sent) {
        (void)snprintf(d->curl_error, sizeof(d->curl_error), "not sent: error %d", errno);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return sent;
}

static void send_udp(struct delivery *d, const char *host, const char *port)
{
    struct view networks = view_str(d->notify->conf->notify_networks);
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};
    struct addrinfo *all = NULL;
    int code = getaddrinfo(host, port, &hints, &all);
    if (code != 0) {
        delivery_end(d, OUTCOME_RETRY, "%s: %s", host, gai_strerror(code));
        return;
    }
    bool sent = false;
    for (const struct addrinfo *a = all; a != NULL && !sent; a = a->ai_next) {
        if (!address_is_allowed(a->ai_addr, networks)) {
            d->refused = true;
        } else {
            sent = send_datagram(d, a);
        }
    }
    freeaddrinfo(all);
    if (sent) {
        delivery_end(d, OUTCOME_SENT, "%s", "");
    } else if (d->refused && d->curl_error[0] == '\0') {
        curl_failed(d, CURLE_COULDNT_CONNECT);
    } else {
        delivery_end(d, OUTCOME_RETRY, "%s", d->curl_error);
    }
}

static void send_tcp(struct delivery *d, const char *host, const char *port)
{
    char url[1200];
    bool six = strchr(host, ':') != NULL;
    (void)snprintf(url, sizeof(url), "http://%s%s%s:%s", six ? "[" : "", host, six ? "]" : "",
                   port);
    CURL *h = curl_open(d, url, "http");
    if (h == NULL) {
        delivery_end(d, OUTCOME_RETRY, "out of memory");
        return;
    }
    (void)curl_easy_setopt(h, CURLOPT_CONNECT_ONLY, 1L);
    curl_start(d);
}

void syslog_send(struct delivery *d)
{
    const struct channel *c = d->sender->channel;
    char host[1024];
    const char *port = "";
    struct buf message;
    buf_init(&message, 1 << 16);
    text_syslog(&d->notice, c, clock_wall_us(), d->notify->host, &message);
    bool udp = strncmp(c->url, "udp:", 4) == 0;
    if (!udp) {
        buf_printf(&d->payload, "%zu ", message.len);
    }
    buf_put_view(&d->payload, buf_view(&message));
    enum err e = buf_err(&message);
    buf_fini(&message);
    if (e != ERR_OK || buf_err(&d->payload) != ERR_OK) {
        delivery_end(d, OUTCOME_FAILED, "the message is too long");
    } else if (!split(c->url, host, sizeof(host), &port)) {
        delivery_end(d, OUTCOME_FAILED, "the URL has no port");
    } else if (udp) {
        send_udp(d, host, port);
    } else {
        send_tcp(d, host, port);
    }
}

/* The connection is there: the message fits into its empty buffer, or the receiver is in trouble.
 */
void syslog_done(struct delivery *d, CURLcode code)
{
    size_t sent = 0;
    if (code == CURLE_OK) {
        code = curl_easy_send(d->curl, d->payload.data, d->payload.len, &sent);
    }
    if (code == CURLE_OK && sent == d->payload.len) {
        delivery_end(d, OUTCOME_SENT, "%s", "");
    } else {
        curl_failed(d, code == CURLE_OK ? CURLE_SEND_ERROR : code);
    }
}
