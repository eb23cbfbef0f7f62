#include "notify/channel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/ident.h"
#include "notify/fields.h"

enum { URL_MAX = 2048, ADDRESS_MAX = 254, TOPIC_MAX = 1024, COUNT_MAX = 1000000 };

#define COMMAND_EXPIRES_US (10 * CLOCK_MINUTE_US)

/* What every channel may have. The last three are what a GET gives too. */
static const char channel_fields[] = "name kind enabled config digest_window rate flapping "
                                     "escalate secret_set version created_at updated_at";

const char *channel_kind_words(enum channel_kind k)
{
    static const char *const words[] = {
#define CHANNEL_KIND_WORDS(name, words) [name] = (words),
        CHANNEL_KIND_LIST(CHANNEL_KIND_WORDS)
#undef CHANNEL_KIND_WORDS
    };
    return words[k];
}

/* ---- what a kind needs ---- */

/* One of the schemes, a host, and no user name: curl reads the rest. */
static const char *read_url(struct fields *f, const char *schemes)
{
    const char *url = fields_text(f, "url", URL_MAX, true);
    if (url == NULL) {
        return NULL;
    }
    const char *colon = strstr(url, "://");
    int len = colon == NULL || colon - url > 8 ? 0 : (int)(colon - url);
    char scheme[16];
    (void)snprintf(scheme, sizeof(scheme), " %.*s ", len, url);
    bool known = len > 0 && strstr(schemes, scheme) != NULL;
    const char *host = known ? colon + 3 : "";
    bool plain = host[0] != '\0' && strcspn(host, " \t\r\n\"<>\\^`{|}") == strlen(host);
    if (!known || !plain || host[0] == '/' || memchr(host, '@', strcspn(host, "/?#")) != NULL) {
        fields_fail(f, ERR_SYNTAX, "url", "must be a URL with a host, one of:%s", schemes);
    }
    return url;
}

static void read_webhook(struct fields *f, struct channel *c)
{
    fields_only(f, "url");
    c->url = read_url(f, " https http ");
}

/* An address as it stands in a header and in the envelope: nothing that could end either. */
static bool is_address(const char *text)
{
    const char *at = text == NULL ? NULL : strchr(text, '@');
    return at != NULL && at != text && at[1] != '\0' && strchr(at + 1, '@') == NULL &&
           strcspn(text, " \t\r\n<>,;:\"\\()[]") == strlen(text);
}

static void read_recipients(struct fields *f, struct channel *c)
{
    const json_t *list = json_object_get(f->object, "to");
    size_t n = json_array_size(list);
    if (!json_is_array(list) || n == 0 || n > CHANNEL_RECIPIENTS_MAX) {
        fields_fail(f, ERR_TYPE, "to", "must be a list of 1 to %d addresses",
                    CHANNEL_RECIPIENTS_MAX);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const char *to = json_string_value(json_array_get(list, i));
        if (!is_address(to) || strlen(to) > ADDRESS_MAX) {
            fields_fail(f, ERR_SYNTAX, "to", "item %zu is no mail address", i);
            return;
        }
        c->to[c->to_count++] = to;
    }
}

static void read_email(struct fields *f, struct channel *c)
{
    fields_only(f, "url from to username tls");
    c->url = read_url(f, " smtp smtps ");
    c->from = fields_text(f, "from", ADDRESS_MAX, true);
    if (c->from != NULL && !is_address(c->from)) {
        fields_fail(f, ERR_SYNTAX, "from", "is no mail address");
    }
    read_recipients(f, c);
    c->username = fields_text(f, "username", ADDRESS_MAX, false);
    c->tls = fields_bool(f, "tls", true);
}

static void read_mqtt(struct fields *f, struct channel *c)
{
    fields_only(f, "topic qos retain");
    c->topic = fields_text(f, "topic", TOPIC_MAX, true);
    c->qos = (uint8_t)fields_int(f, "qos", 0, 2, 1);
    c->retain = fields_bool(f, "retain", false);
    if (c->topic == NULL) {
        return;
    }
    struct view topic = view_str(c->topic);
    bool of_api =
        view_starts(topic, VIEW("v1/devices/")) || view_starts(topic, VIEW("v1/gateway/"));
    if (of_api || c->topic[0] == '$' || strpbrk(c->topic, "+#") != NULL) {
        fields_fail(f, ERR_SYNTAX, "topic",
                    "must be a topic between devices: no wildcards, not of the device API, no $");
    }
}

static void read_syslog(struct fields *f, struct channel *c)
{
    static const char *const facilities[] = {
        "kern",   "user",   "mail",     "daemon", "auth",   "syslog", "lpr",    "news",
        "uucp",   "cron",   "authpriv", "ftp",    "ntp",    "audit",  "alert",  "clock",
        "local0", "local1", "local2",   "local3", "local4", "local5", "local6", "local7"};
    fields_only(f, "url facility");
    c->url = read_url(f, " udp tcp ");
    const char *host = f->err != ERR_OK ? "" : c->url + strlen("udp://");
    const char *port = strrchr(host, ':');
    if (port == NULL || port[1] == '\0' || strspn(port + 1, "0123456789") != strlen(port + 1) ||
        strpbrk(host, "/?#") != NULL) {
        fields_fail(f, ERR_SYNTAX, "url", "must be a host and a port: udp://loghost:514");
    }
    const char *facility = fields_text(f, "facility", 16, false);
    c->facility = 3; /* daemon */
    for (size_t i = 0; facility != NULL && i < COUNT_OF(facilities); i++) {
        if (strcmp(facility, facilities[i]) == 0) {
            c->facility = (int)i;
            return;
        }
    }
    if (facility != NULL) {
        fields_fail(f, ERR_UNKNOWN_NAME, "facility", "is none of daemon, user, local0 to local7 …");
    }
}

static void read_command(struct fields *f, struct channel *c)
{
    fields_only(f, "device method params expires_in");
    c->device = fields_text(f, "device", IDENT_MAX, true);
    c->method = fields_text(f, "method", IDENT_MAX, true);
    c->expires_us =
        fields_duration(f, "expires_in", CLOCK_SECOND_US, 31 * CLOCK_DAY_US, COMMAND_EXPIRES_US);
    if ((c->device != NULL && !ident_valid(view_str(c->device))) ||
        (c->method != NULL && !ident_valid(view_str(c->method)))) {
        fields_fail(f, ERR_SYNTAX, ident_valid(view_str(c->method)) ? "device" : "method",
                    "is 1 to %d letters, digits, . _ : -", IDENT_MAX);
    }
    const json_t *params = fields_object(f, "params", false);
    char *text = params == NULL ? strdup("{}") : json_dumps(params, JSON_COMPACT);
    if (text == NULL) {
        fields_fail(f, ERR_NOMEM, "params", "%s", err_words(ERR_NOMEM));
    }
    c->params = text; /* the one text that is not the document's */
}

static void read_log(struct fields *f, struct channel *c)
{
    (void)c;
    fields_only(f, "");
}

/* ---- the whole ---- */

static void read_policy(struct fields *f, struct channel *c)
{
    c->digest_window_us = fields_duration(f, "digest_window", 0, CLOCK_DAY_US, 0);
    const json_t *rate = fields_object(f, "rate", false);
    struct fields in = fields_init(rate, "/rate", f->error);
    if (rate != NULL && f->err == ERR_OK) {
        fields_only(&in, "max per");
        c->rate_max = fields_int(&in, "max", 1, COUNT_MAX, 0);
        c->rate_per_us =
            fields_duration(&in, "per", CLOCK_SECOND_US, 31 * CLOCK_DAY_US, CLOCK_HOUR_US);
        f->err = in.err;
    }
    const json_t *flapping = fields_object(f, "flapping", false);
    in = fields_init(flapping, "/flapping", f->error);
    if (flapping != NULL && f->err == ERR_OK) {
        fields_only(&in, "max within");
        c->flapping_max = fields_int(&in, "max", 1, COUNT_MAX, 0);
        c->flapping_within_us =
            fields_duration(&in, "within", CLOCK_SECOND_US, 31 * CLOCK_DAY_US, CLOCK_HOUR_US);
        f->err = in.err;
    }
    const json_t *escalate = fields_object(f, "escalate", false);
    in = fields_init(escalate, "/escalate", f->error);
    if (escalate != NULL && f->err == ERR_OK) {
        fields_only(&in, "after to");
        c->escalate_to = fields_text(&in, "to", IDENT_MAX, true);
        c->escalate_after_us =
            fields_duration(&in, "after", CLOCK_SECOND_US, 31 * CLOCK_DAY_US, 15 * CLOCK_MINUTE_US);
        if (c->escalate_to != NULL && strcmp(c->escalate_to, c->name) == 0) {
            fields_fail(&in, ERR_SYNTAX, "to", "must be another channel");
        }
        f->err = in.err;
    }
}

static void read_kind(struct fields *f, struct channel *c)
{
    static void (*const readers[])(struct fields * f, struct channel * c) = {
        [CHANNEL_WEBHOOK] = read_webhook, [CHANNEL_EMAIL] = read_email,
        [CHANNEL_MQTT] = read_mqtt,       [CHANNEL_SYSLOG] = read_syslog,
        [CHANNEL_COMMAND] = read_command, [CHANNEL_LOG] = read_log,
    };
    const char *words = fields_text(f, "kind", 32, true);
    size_t kind = 0;
    while (words != NULL && kind < COUNT_OF(readers) &&
           strcmp(words, channel_kind_words((enum channel_kind)kind)) != 0) {
        kind++;
    }
    if (words == NULL) {
        return;
    }
    if (kind == COUNT_OF(readers)) {
        fields_fail(f, ERR_UNKNOWN_NAME, "kind",
                    "must be one of webhook, email, mqtt, syslog, command, log");
        return;
    }
    c->kind = (enum channel_kind)kind;
    const json_t *config = fields_object(f, "config", c->kind != CHANNEL_LOG);
    struct fields in = fields_init(config, "/config", f->error);
    if (f->err == ERR_OK) {
        readers[kind](&in, c);
        f->err = in.err;
    }
}

static void read_secret(struct fields *f, struct channel *c, const char *secret)
{
    bool takes = c->kind == CHANNEL_WEBHOOK || c->kind == CHANNEL_EMAIL;
    size_t len = secret == NULL ? 0 : strlen(secret);
    size_t least = c->kind == CHANNEL_WEBHOOK ? CHANNEL_SECRET_MIN : 1;
    if (c->kind == CHANNEL_WEBHOOK && secret == NULL) {
        fields_fail(f, ERR_SYNTAX, "secret", "is required: a webhook is signed");
    } else if (c->username != NULL && secret == NULL) {
        fields_fail(f, ERR_SYNTAX, "secret", "is required with a user name: the password");
    } else if (secret != NULL && !takes) {
        fields_fail(f, ERR_UNKNOWN_NAME, "secret", "is not used by this kind");
    } else if (secret != NULL && (len < least || len > CHANNEL_SECRET_MAX)) {
        fields_fail(f, ERR_LIMIT, "secret", "must have %zu to %d bytes", least, CHANNEL_SECRET_MAX);
    }
    if (f->err == ERR_OK && secret != NULL) {
        c->secret = strdup(secret);
        if (c->secret == NULL) {
            fields_fail(f, ERR_NOMEM, "secret", "%s", err_words(ERR_NOMEM));
        }
    }
}

enum err channel_read(struct view definition, const char *secret, struct channel **ret_channel,
                      struct channel_error *ret_error)
{
    *ret_error = (struct channel_error){.detail = "is no JSON object"};
    struct fields_error error = {ret_error->pointer, sizeof(ret_error->pointer), ret_error->detail,
                                 sizeof(ret_error->detail)};
    json_t *document =
        json_loadb((const char *)definition.data, definition.len, JSON_REJECT_DUPLICATES, NULL);
    struct channel *c = calloc(1, sizeof(*c));
    if (c == NULL || !json_is_object(document)) {
        json_decref(document);
        free(c);
        return c == NULL ? ERR_NOMEM : ERR_SYNTAX;
    }
    c->document = document;
    struct fields f = fields_init(document, "", &error);
    fields_only(&f, channel_fields);
    c->name = fields_text(&f, "name", IDENT_MAX, true);
    if (c->name != NULL && !ident_valid(view_str(c->name))) {
        fields_fail(&f, ERR_SYNTAX, "name", "is 1 to %d letters, digits, . _ : -", IDENT_MAX);
    }
    c->enabled = fields_bool(&f, "enabled", true);
    read_kind(&f, c);
    read_policy(&f, c);
    read_secret(&f, c, secret);
    if (f.err != ERR_OK) {
        channel_free(c);
        return f.err;
    }
    *ret_channel = c;
    return ERR_OK;
}

/* free() of what was allocated here and is const for everybody else. */
static void wipe(const char *text)
{
    union {
        const char *borrowed;
        char *owned;
    } u = {.borrowed = text};
    if (u.owned != NULL) {
        explicit_bzero(u.owned, strlen(u.owned));
    }
    free(u.owned);
}

void channel_free(struct channel *c)
{
    if (c != NULL) {
        wipe(c->secret);
        wipe(c->params);
        json_decref(c->document);
        free(c);
    }
}
