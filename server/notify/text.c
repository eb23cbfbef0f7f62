#include "notify/text.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/emit_json.h"
#include "model/alert.h"

static bool is_event(const struct notice *n, const char *event)
{
    return strcmp(n->event, event) == 0;
}

static bool is_of_alert(const struct notice *n)
{
    return !is_event(n, "digest") && !is_event(n, "test");
}

/* alert.firing … notification.digest */
static void put_kind(const struct notice *n, struct buf *out)
{
    buf_put_str(out, is_of_alert(n) ? "alert." : "notification.");
    buf_put_str(out, n->event);
}

void text_json(const struct notice *n, const struct channel *c, struct buf *out)
{
    char id[32];
    (void)snprintf(id, sizeof(id), "%lld", (long long)n->id);
    struct buf kind;
    buf_init(&kind, 256);
    put_kind(n, &kind);
    struct emit_json j = emit_json_init(out);
    emit_json_open(&j, '{');
    emit_json_key(&j, "id");
    emit_json_str(&j, id);
    emit_json_key(&j, "channel");
    emit_json_str(&j, c->name);
    emit_json_key(&j, "event");
    emit_json_view(&j, buf_view(&kind));
    emit_json_key(&j, is_of_alert(n) ? "alert" : n->event);
    emit_json_raw(&j, n->body);
    emit_json_close(&j, '}');
    buf_fini(&kind);
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text == NULL ? "" : text;
}

/* One line for people: no control characters, so that it can stand in a header or a log. */
static void put_clean(struct buf *out, const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        bool control = (unsigned char)*at < 0x20 || *at == 0x7f;
        buf_put_u8(out, control ? ' ' : (uint8_t)*at);
    }
}

static void put_word(struct buf *out, const char *text)
{
    buf_put_u8(out, ' ');
    put_clean(out, text);
}

static void put_line(const struct notice *n, const json_t *body, struct buf *out)
{
    if (is_event(n, "test")) {
        buf_put_str(out, "test of this channel");
    } else if (is_event(n, "digest")) {
        buf_printf(out, "%lld alerts: %lld firing, %lld resolved",
                   (long long)json_integer_value(json_object_get(body, "count")),
                   (long long)json_integer_value(json_object_get(body, "firing")),
                   (long long)json_integer_value(json_object_get(body, "resolved")));
    } else {
        buf_put_str(out, n->event);
        put_word(out, text_of(body, "severity"));
        put_word(out, text_of(body, "rule"));
        buf_put_str(out, " on");
        put_word(out, text_of(body, "device"));
        if (text_of(body, "summary")[0] != '\0') {
            buf_put_str(out, ": ");
            put_clean(out, text_of(body, "summary"));
        }
    }
}

/* ---- mail ---- */

/* RFC 2047: the encoded word keeps the head ASCII, whatever the alert says. */
static void put_subject(struct buf *out, struct view text)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    enum { WORD = 45 }; /* of 75 characters with its frame */
    buf_put_str(out, "Subject:");
    for (size_t at = 0; at < text.len;) {
        size_t n = text.len - at < WORD ? text.len - at : WORD;
        while (n > 1 && at + n < text.len && (text.data[at + n] & 0xc0) == 0x80) {
            n--; /* a word holds whole characters */
        }
        buf_put_str(out, " =?UTF-8?B?");
        for (size_t i = 0; i < n; i += 3) {
            uint32_t bits = (uint32_t)text.data[at + i] << 16;
            bits |= i + 1 < n ? (uint32_t)text.data[at + i + 1] << 8 : 0;
            bits |= i + 2 < n ? text.data[at + i + 2] : 0;
            buf_put_u8(out, (uint8_t)alphabet[bits >> 18 & 63]);
            buf_put_u8(out, (uint8_t)alphabet[bits >> 12 & 63]);
            buf_put_u8(out, (uint8_t)(i + 1 < n ? alphabet[bits >> 6 & 63] : '='));
            buf_put_u8(out, (uint8_t)(i + 2 < n ? alphabet[bits & 63] : '='));
        }
        buf_put_str(out, "?=\r\n");
        at += n;
    }
}

/* RFC 5322 section 3.3. */
static void put_date(struct buf *out, int64_t now_us)
{
    static const char *const days[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    int64_t day = now_us / CLOCK_DAY_US;
    int64_t second = now_us % CLOCK_DAY_US / CLOCK_SECOND_US;
    int year = 0;
    int month = 0;
    int date = 0;
    clock_civil(day, &year, &month, &date);
    buf_printf(out, "Date: %s, %d %s %d %02d:%02d:%02d +0000\r\n", days[day % 7], date,
               months[month - 1], year, (int)(second / 3600), (int)(second / 60 % 60),
               (int)(second % 60));
}

static void put_field(struct buf *out, const char *name, const char *text)
{
    if (text[0] != '\0') {
        buf_printf(out, "%s: ", name);
        put_clean(out, text);
        buf_put_str(out, "\r\n");
    }
}

static void put_alert(struct buf *out, const json_t *alert)
{
    static const char *const names[] = {"summary", "rule",  "device",   "severity",
                                        "state",   "since", "fired_at", "resolved_at"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        put_field(out, names[i], text_of(alert, names[i]));
    }
    const json_t *value = json_object_get(alert, "value");
    if (json_is_number(value)) {
        buf_printf(out, "value: %.12g\r\n", json_number_value(value));
    }
    buf_printf(out, "alert: %lld\r\n",
               (long long)json_integer_value(json_object_get(alert, "alert_id")));
}

static void put_digest(struct buf *out, const json_t *digest)
{
    const json_t *groups = json_object_get(digest, "groups");
    for (size_t i = 0; i < json_array_size(groups); i++) {
        const json_t *g = json_array_get(groups, i);
        buf_printf(out, "%lld", (long long)json_integer_value(json_object_get(g, "count")));
        put_word(out, text_of(g, "event"));
        put_word(out, text_of(g, "severity"));
        put_word(out, text_of(g, "rule"));
        buf_put_str(out, ":");
        const json_t *devices = json_object_get(g, "devices");
        for (size_t d = 0; d < json_array_size(devices); d++) {
            const char *name = json_string_value(json_array_get(devices, d));
            put_word(out, name == NULL ? "" : name);
        }
        buf_put_str(out, "\r\n");
    }
    const json_t *alerts = json_object_get(digest, "alerts");
    for (size_t i = 0; i < json_array_size(alerts); i++) {
        buf_put_str(out, "\r\n");
        put_alert(out, json_array_get(alerts, i));
    }
    int64_t more = json_integer_value(json_object_get(digest, "more"));
    if (more > 0) {
        buf_printf(out, "\r\nand %lld more\r\n", (long long)more);
    }
}

void text_mail(const struct notice *n, const struct channel *c, int64_t now_us, struct buf *out)
{
    json_t *body = json_loadb((const char *)n->body.data, n->body.len, 0, NULL);
    struct buf line;
    buf_init(&line, 1 << 20);
    put_line(n, body, &line);
    put_date(out, now_us);
    buf_printf(out, "From: %s\r\nTo: ", c->from);
    for (uint32_t i = 0; i < c->to_count; i++) {
        buf_printf(out, "%s%s", i == 0 ? "" : ",\r\n ", c->to[i]);
    }
    buf_put_str(out, "\r\n");
    put_subject(out, buf_view(&line));
    /* The same for each attempt, so that a mailbox can drop a repeated one. */
    buf_printf(out, "Message-ID: <signalbox-%lld.%s>\r\n", (long long)n->id, c->from);
    buf_printf(out, "X-Signalbox-Id: %lld\r\n", (long long)n->id);
    buf_put_str(out, "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
                     "Content-Type: text/plain; charset=utf-8\r\n"
                     "Content-Transfer-Encoding: 8bit\r\n\r\n");
    buf_put_view(out, buf_view(&line));
    buf_put_str(out, "\r\n\r\n");
    if (is_event(n, "digest")) {
        put_digest(out, body);
    } else if (is_of_alert(n)) {
        put_alert(out, body);
    }
    buf_fini(&line);
    json_decref(body);
}

/* ---- syslog ---- */

/* RFC 5424 table 2. */
static int syslog_severity(const struct notice *n, const json_t *body)
{
    static const int levels[] = {
        [SEVERITY_CRITICAL] = 2, [SEVERITY_MAJOR] = 3, [SEVERITY_MINOR] = 4,
        [SEVERITY_WARNING] = 4,  [SEVERITY_INFO] = 6,
    };
    enum severity severity = SEVERITY_INFO;
    bool open = is_event(n, "firing") || is_event(n, "escalated");
    if (open && severity_parse(view_str(text_of(body, "severity")), &severity)) {
        return levels[severity];
    }
    return 5; /* notice */
}

/* PARAM-VALUE: section 6.3.3. */
static void put_param(struct buf *out, const char *name, const char *text)
{
    buf_printf(out, " %s=\"", name);
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\' || *at == ']') {
            buf_put_u8(out, '\\');
        }
        bool control = (unsigned char)*at < 0x20 || *at == 0x7f;
        buf_put_u8(out, control ? ' ' : (uint8_t)*at);
    }
    buf_put_u8(out, '"');
}

void text_syslog(const struct notice *n, const struct channel *c, int64_t now_us, const char *host,
                 struct buf *out)
{
    json_t *body = json_loadb((const char *)n->body.data, n->body.len, 0, NULL);
    char time[CLOCK_TEXT_SIZE];
    char id[32];
    (void)snprintf(id, sizeof(id), "%lld", (long long)n->id);
    buf_printf(out, "<%d>1 %s %s signalbox %d ", c->facility * 8 + syslog_severity(n, body),
               clock_format(now_us, time), host[0] == '\0' ? "-" : host, (int)getpid());
    put_kind(n, out);
    /* 32473 is the number that RFC 5612 gives to examples: the project has none of its own. */
    buf_put_str(out, " [signalbox@32473");
    put_param(out, "id", id);
    if (is_of_alert(n)) {
        char alert[32];
        (void)snprintf(alert, sizeof(alert), "%lld",
                       (long long)json_integer_value(json_object_get(body, "alert_id")));
        put_param(out, "alert", alert);
        put_param(out, "rule", text_of(body, "rule"));
        put_param(out, "device", text_of(body, "device"));
        put_param(out, "severity", text_of(body, "severity"));
    }
    buf_put_str(out, "] \xef\xbb\xbf"); /* the BOM says UTF-8 */
    put_line(n, body, out);
    json_decref(body);
}

/* ---- MQTT ---- */

void text_topic(const struct notice *n, const struct channel *c, struct buf *out)
{
    static const char *const names[] = {"device", "rule"};
    json_t *body = json_loadb((const char *)n->body.data, n->body.len, 0, NULL);
    for (const char *at = c->topic; *at != '\0';) {
        const char *found = NULL;
        size_t len = 0;
        for (size_t i = 0; i < COUNT_OF(names) && found == NULL; i++) {
            char holder[16];
            len = (size_t)snprintf(holder, sizeof(holder), "{{%s}}", names[i]);
            found = strncmp(at, holder, len) == 0 ? names[i] : NULL;
        }
        if (found == NULL) {
            buf_put_u8(out, (uint8_t)*at++);
            continue;
        }
        const char *text = text_of(body, found);
        buf_put_str(out, text[0] == '\0' ? n->event : text);
        at += len;
    }
    json_decref(body);
}
