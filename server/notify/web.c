#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "notify/address.h"
#include "notify/internal.h"
#include "notify/sign.h"

/*
 * Webhooks, and what everything that goes through curl has in common.
 *
 * A name is looked up by curl, and each address that it gives is judged at the moment when a socket
 * for it is opened: what was judged is what is connected to, so a name that changes its mind
 * between the two (DNS rebinding) gains nothing. Redirects, proxies and other protocols are off.
 */
enum { CONNECT_TIMEOUT_S = 5, TIMEOUT_S = 20 };

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct delivery *d = arg;
    (void)purpose;
    struct view networks = view_str(d->notify->conf->notify_networks);
    bool plain = strncmp(d->sender->channel->url, "http:", 5) == 0;
    bool allowed = plain ? address_is_listed(&address->addr, networks)
                         : address_is_allowed(&address->addr, networks);
    if (!allowed) {
        d->refused = true;
        return CURL_SOCKET_BAD;
    }
    d->allowed = true;
    return strncmp(d->sender->channel->url, "udp:", 4) == 0
               ? socket(address->family, SOCK_DGRAM | SOCK_CLOEXEC, 0)
               : socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static size_t ignore(char *data, size_t size, size_t count, void *arg)
{
    (void)data;
    (void)arg;
    return size * count;
}

CURL *curl_open(struct delivery *d, const char *url, const char *protocols)
{
    CURL *h = curl_easy_init();
    d->curl = h;
    if (h == NULL || curl_easy_setopt(h, CURLOPT_URL, url) != CURLE_OK) {
        return NULL;
    }
    const char *ca = d->notify->conf->notify_tls_ca;
    (void)curl_easy_setopt(h, CURLOPT_PRIVATE, d);
    (void)curl_easy_setopt(h, CURLOPT_ERRORBUFFER, d->curl_error);
    (void)curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, protocols);
    (void)curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(h, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(h, CURLOPT_QUICK_EXIT, 1L); /* do not wait for a look-up given up */
    (void)curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    (void)curl_easy_setopt(h, CURLOPT_TIMEOUT, (long)TIMEOUT_S);
    (void)curl_easy_setopt(h, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    (void)curl_easy_setopt(h, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    (void)curl_easy_setopt(h, CURLOPT_OPENSOCKETDATA, d);
    (void)curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, ignore);
    if (ca[0] != '\0') {
        (void)curl_easy_setopt(h, CURLOPT_CAINFO, ca);
    }
    return h;
}

void curl_start(struct delivery *d)
{
    if (curl_multi_add_handle(d->notify->multi, d->curl) != CURLM_OK) {
        delivery_end(d, OUTCOME_RETRY, "out of memory");
    }
}

void curl_failed(struct delivery *d, CURLcode code)
{
    if (d->refused && !d->allowed && code == CURLE_COULDNT_CONNECT) {
        bool plain = strncmp(d->sender->channel->url, "http:", 5) == 0;
        delivery_end(d, OUTCOME_FAILED, "the host's address is not allowed: %s",
                     plain ? "plain HTTP only goes to networks listed in notify_networks"
                           : "private networks must be listed in notify_networks");
        return;
    }
    delivery_end(d, OUTCOME_RETRY, "%s",
                 d->curl_error[0] != '\0' ? d->curl_error : curl_easy_strerror(code));
}

static bool add_header(struct delivery *d, const char *name, const char *value)
{
    char line[160];
    (void)snprintf(line, sizeof(line), "%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(d->headers, line);
    d->headers = longer == NULL ? d->headers : longer;
    return longer != NULL;
}

void web_send(struct delivery *d)
{
    const struct channel *c = d->sender->channel;
    char id[32];
    char time[32];
    char signature[SIGN_TEXT_SIZE];
    int64_t now_s = clock_wall_us() / CLOCK_SECOND_US;
    (void)snprintf(id, sizeof(id), "%lld", (long long)d->notice.id);
    (void)snprintf(time, sizeof(time), "%lld", (long long)now_s);
    text_json(&d->notice, c, &d->payload);
    CURL *h = curl_open(d, c->url, "http,https");
    bool good = h != NULL && buf_err(&d->payload) == ERR_OK &&
                sign_webhook(view_str(c->secret), d->notice.id, now_s, buf_view(&d->payload),
                             signature) == ERR_OK &&
                add_header(d, "Content-Type", "application/json") && add_header(d, "Expect", "") &&
                add_header(d, "Webhook-Id", id) && add_header(d, "Webhook-Timestamp", time) &&
                add_header(d, "Webhook-Signature", signature);
    if (!good) {
        delivery_end(d, OUTCOME_RETRY, "out of memory");
        return;
    }
    (void)curl_easy_setopt(h, CURLOPT_USERAGENT, "signalbox/" SIGNALBOX_VERSION);
    (void)curl_easy_setopt(h, CURLOPT_HTTPHEADER, d->headers);
    (void)curl_easy_setopt(h, CURLOPT_FORBID_REUSE, 1L);
    (void)curl_easy_setopt(h, CURLOPT_POSTFIELDS, (const char *)d->payload.data);
    (void)curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)d->payload.len);
    curl_start(d);
}

/* Some answers say "later", the others that it will never be taken. */
void web_done(struct delivery *d, CURLcode code)
{
    long status = 0;
    if (code != CURLE_OK) {
        curl_failed(d, code);
        return;
    }
    (void)curl_easy_getinfo(d->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200 && status < 300) {
        delivery_end(d, OUTCOME_SENT, "%s", "");
        return;
    }
    bool later = status == 408 || status == 425 || status == 429 || status >= 500;
    delivery_end(d, later ? OUTCOME_RETRY : OUTCOME_FAILED, "the receiver answered %ld%s", status,
                 status / 100 == 3 ? "; redirects are not followed" : "");
}
