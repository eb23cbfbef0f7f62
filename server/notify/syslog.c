#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "notify/internal.h"

/*
 * Syslog: RFC 5424 over UDP (RFC 5426), a datagram each, or TCP with octet counting (RFC 6587
 * section 3.4.1), a connection each. Syslog has no acknowledgements: `sent` means that the kernel
 * took it, and for TCP that the receiver accepted the connection.
 *
 * curl looks up the name and connects, for UDP a datagram socket (web.c): that sends nothing yet,
 * and what is sent then is one datagram.
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

static void connect_to(struct delivery *d, const char *host, const char *port)
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
    if (strncmp(c->url, "udp:", 4) != 0) {
        buf_printf(&d->payload, "%zu ", message.len);
    }
    buf_put_view(&d->payload, buf_view(&message));
    enum err e = buf_err(&message);
    buf_fini(&message);
    if (e != ERR_OK || buf_err(&d->payload) != ERR_OK) {
        delivery_end(d, OUTCOME_FAILED, "the message is too long");
    } else if (!split(c->url, host, sizeof(host), &port)) {
        delivery_end(d, OUTCOME_FAILED, "the URL has no port");
    } else {
        connect_to(d, host, port);
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
