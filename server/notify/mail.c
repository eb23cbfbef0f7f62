#include <string.h>

#include "base/clock.h"
#include "notify/internal.h"

/*
 * Mail by SMTP (RFC 5321). Without `tls: false` nothing is sent over a connection that STARTTLS has
 * not encrypted. One recipient that is refused does not keep the others from their mail.
 */
enum { REPLY_FOR_GOOD = 500 }; /* 5yz: the same mail will be refused again */

static size_t upload(char *out, size_t size, size_t count, void *arg)
{
    struct delivery *d = arg;
    size_t left = d->payload.len - d->uploaded;
    size_t n = left < size * count ? left : size * count;
    memcpy(out, d->payload.data + d->uploaded, n);
    d->uploaded += n;
    return n;
}

static bool add_recipients(struct delivery *d)
{
    const struct channel *c = d->sender->channel;
    for (uint32_t i = 0; i < c->to_count; i++) {
        struct curl_slist *longer = curl_slist_append(d->recipients, c->to[i]);
        if (longer == NULL) {
            return false;
        }
        d->recipients = longer;
    }
    return true;
}

void mail_send(struct delivery *d)
{
    const struct channel *c = d->sender->channel;
    text_mail(&d->notice, c, clock_wall_us(), &d->payload);
    CURL *h = curl_open(d, c->url, "smtp,smtps");
    if (h == NULL || buf_err(&d->payload) != ERR_OK || !add_recipients(d)) {
        delivery_end(d, OUTCOME_RETRY, "out of memory");
        return;
    }
    (void)curl_easy_setopt(h, CURLOPT_USE_SSL,
                           c->tls ? (long)CURLUSESSL_ALL : (long)CURLUSESSL_NONE);
    (void)curl_easy_setopt(h, CURLOPT_MAIL_FROM, c->from);
    (void)curl_easy_setopt(h, CURLOPT_MAIL_RCPT, d->recipients);
    (void)curl_easy_setopt(h, CURLOPT_MAIL_RCPT_ALLLOWFAILS, 1L);
    (void)curl_easy_setopt(h, CURLOPT_UPLOAD, 1L);
    (void)curl_easy_setopt(h, CURLOPT_READFUNCTION, upload);
    (void)curl_easy_setopt(h, CURLOPT_READDATA, d);
    (void)curl_easy_setopt(h, CURLOPT_FORBID_REUSE, 1L);
    if (c->username != NULL) {
        (void)curl_easy_setopt(h, CURLOPT_USERNAME, c->username);
        (void)curl_easy_setopt(h, CURLOPT_PASSWORD, c->secret);
    }
    curl_start(d);
}

void mail_done(struct delivery *d, CURLcode code)
{
    long reply = 0;
    (void)curl_easy_getinfo(d->curl, CURLINFO_RESPONSE_CODE, &reply);
    if (code == CURLE_OK) {
        delivery_end(d, OUTCOME_SENT, "%s", "");
    } else if (reply >= REPLY_FOR_GOOD && code != CURLE_LOGIN_DENIED) {
        delivery_end(d, OUTCOME_FAILED, "the mail server answered %ld", reply);
    } else {
        curl_failed(d, code);
    }
}
