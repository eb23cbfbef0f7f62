/*
 * text: a notification as each kind of receiver wants it. Pure; the time is passed in.
 *
 * Errors: those of the buf.
 */
#pragma once

#include "base/buf.h"
#include "notify/channel.h"

/* A row of the outbox that is told. */
struct notice {
    int64_t id;
    const char *event; /* firing, resolved, retracted, escalated, digest, test */
    struct view body;  /* JSON: the alert, or the digest */
};

/* What webhooks and MQTT topics get: {"id":"7","channel":"ops","event":"alert.firing","alert":{…}};
 * "digest" or "message" instead of "alert". The same for each attempt. */
void text_json(const struct notice *n, const struct channel *c, struct buf *out);
/* A mail with its head, lines ended by CR LF (RFC 5322), UTF-8 in the text only. */
void text_mail(const struct notice *n, const struct channel *c, int64_t now_us, struct buf *out);
/* One message of RFC 5424, without framing. */
void text_syslog(const struct notice *n, const struct channel *c, int64_t now_us, const char *host,
                 struct buf *out);
/* The topic with {{device}} and {{rule}} replaced. */
void text_topic(const struct notice *n, const struct channel *c, struct buf *out);
