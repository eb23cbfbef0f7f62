/*
 * channel: one way to tell somebody of alerts, read from the document that the API takes and the
 * database keeps. Reading is checking: what channel_read() gives can be used as it is. Pure.
 *
 * {"name":"ops","kind":"webhook","enabled":true,"config":{"url":"https://…"},
 *  "digest_window":"30s","rate":{"max":20,"per":"1h"},"flapping":{"max":5,"within":"10m"},
 *  "escalate":{"after":"15m","to":"managers"}}
 *
 * Ownership: the texts belong to the channel, until channel_free().
 * Errors:    ERR_SYNTAX, ERR_TYPE, ERR_RANGE, ERR_LIMIT, ERR_UNKNOWN_NAME, ERR_NOMEM; ret_error
 *            names the field and says what is expected.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

#define CHANNEL_KIND_LIST(X)      \
    X(CHANNEL_WEBHOOK, "webhook") \
    X(CHANNEL_EMAIL, "email")     \
    X(CHANNEL_MQTT, "mqtt")       \
    X(CHANNEL_SYSLOG, "syslog")   \
    X(CHANNEL_COMMAND, "command") \
    X(CHANNEL_LOG, "log")

enum channel_kind {
#define CHANNEL_KIND_ENUM(name, words) name,
    CHANNEL_KIND_LIST(CHANNEL_KIND_ENUM)
#undef CHANNEL_KIND_ENUM
};

enum { CHANNEL_RECIPIENTS_MAX = 50, CHANNEL_SECRET_MIN = 16, CHANNEL_SECRET_MAX = 1024 };

struct channel {
    const char *name;
    enum channel_kind kind;
    bool enabled;
    int64_t digest_window_us; /* alerts are gathered so long; 0: each is told at once */
    int64_t rate_max;         /* messages in rate_per_us; 0: no cap */
    int64_t rate_per_us;
    int64_t flapping_max; /* firings of one rule and device in flapping_within_us; 0: no limit */
    int64_t flapping_within_us;
    int64_t escalate_after_us; /* 0: never */
    const char *escalate_to;   /* a channel */
    const char *url;           /* webhook, email, syslog */
    const char *secret;        /* HMAC key or password; NULL: none */
    const char *from;          /* email */
    const char *to[CHANNEL_RECIPIENTS_MAX];
    uint32_t to_count;
    const char *username; /* NULL: no authentication */
    bool tls;             /* email: without encryption nothing is sent */
    const char *topic;    /* mqtt: {{device}} and {{rule}} stand for names */
    uint8_t qos;
    bool retain;
    int facility;       /* syslog: RFC 5424 table 1 */
    const char *device; /* command: self, gateway or a name */
    const char *method;
    const char *params; /* JSON object */
    int64_t expires_us;
    void *document; /* what the texts are of */
};

struct channel_error {
    char pointer[64];
    char detail[160];
};

/* definition: JSON text. secret: NULL when there is none; a webhook needs one. */
NODISCARD enum err channel_read(struct view definition, const char *secret,
                                struct channel **ret_channel, struct channel_error *ret_error);
void channel_free(struct channel *c); /* NULL is fine; the secret is wiped */
const char *channel_kind_words(enum channel_kind k);
