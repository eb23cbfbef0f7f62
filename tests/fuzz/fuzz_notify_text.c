/*
 * fuzz_notify_text: channels and silences as documents, and what receivers are sent of any alert.
 *
 * First byte: 0 a channel; 1 a silence; else the rest is the JSON of an alert or a digest. What is
 * refused says where and why. What is sent keeps its form whatever the alert says: the head of a
 * mail has only its own fields, syslog is one line, JSON is JSON.
 */
#include <ctype.h>
#include <stdlib.h>

#include <jansson.h>

#include "base/check.h"
#include "base/clock.h"
#include "notify/silence.h"
#include "notify/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW (1790000000LL * CLOCK_SECOND_US)

static void read_channel(struct view json)
{
    struct channel *c = NULL;
    struct channel_error why;
    const char *secret = json.len % 2 == 0 ? "0123456789abcdef" : NULL;
    if (channel_read(json, secret, &c, &why) == ERR_OK) {
        CHECK(c->name != NULL && c->to_count <= CHANNEL_RECIPIENTS_MAX);
        CHECK(c->kind != CHANNEL_WEBHOOK || (c->url != NULL && c->secret != NULL));
        CHECK(c->kind != CHANNEL_EMAIL || (c->from != NULL && c->to_count > 0));
        CHECK(c->kind != CHANNEL_MQTT || c->topic != NULL);
        CHECK(c->kind != CHANNEL_COMMAND || (c->device != NULL && c->method != NULL));
        channel_free(c);
    } else {
        CHECK(c == NULL && why.detail[0] != '\0');
    }
}

static void read_silence(struct view json)
{
    struct silence *s = NULL;
    struct channel_error why;
    if (silence_read(json, NOW, &s, &why) == ERR_OK) {
        CHECK(s->comment != NULL && s->expires_us >= s->starts_us);
        CHECK(!silence_is_active(s, s->starts_us - 1) && !silence_is_active(s, s->expires_us));
        silence_free(s);
    } else {
        CHECK(s == NULL && why.detail[0] != '\0');
    }
}

/* Each line up to the empty one begins with a field of ours, or a blank when it goes on. */
static void check_mail(struct view mail)
{
    static const char *const fields[] = {"Date: ",
                                         "From: ",
                                         "To: ",
                                         "Subject: ",
                                         "Message-ID: ",
                                         "X-Signalbox-Id: ",
                                         "Auto-Submitted: ",
                                         "MIME-Version: ",
                                         "Content-Type: ",
                                         "Content-Transfer-Encoding: "};
    while (!view_starts(mail, VIEW("\r\n"))) {
        bool known = mail.len > 0 && mail.data[0] == ' ';
        for (size_t i = 0; i < COUNT_OF(fields) && !known; i++) {
            known = view_starts(mail, view_str(fields[i]));
        }
        const uint8_t *end = memchr(mail.data, '\n', mail.len);
        CHECK(known && end != NULL && end[-1] == '\r');
        mail = view_skip(mail, (size_t)(end - mail.data) + 1);
    }
}

static void tell(const char *event, struct view body)
{
    static const struct channel c = {.name = "ops",
                                     .facility = 3,
                                     .from = "sb@example.com",
                                     .to = {"ops@example.com"},
                                     .to_count = 1,
                                     .topic = "alarms/{{device}}/{{rule}}"};
    const struct notice n = {.id = 7, .event = event, .body = body};
    struct buf out;
    buf_init(&out, 16 << 20);
    text_json(&n, &c, &out);
    json_t *json = json_loadb((const char *)out.data, out.len, 0, NULL);
    CHECK(buf_err(&out) == ERR_OK && json != NULL);
    json_decref(json);
    buf_clear(&out);
    text_mail(&n, &c, NOW, &out);
    CHECK(buf_err(&out) == ERR_OK);
    check_mail(buf_view(&out));
    buf_clear(&out);
    text_syslog(&n, &c, NOW, "host", &out);
    CHECK(buf_err(&out) == ERR_OK);
    for (size_t i = 0; i < out.len; i++) {
        CHECK(!iscntrl(out.data[i]));
    }
    buf_clear(&out);
    text_topic(&n, &c, &out);
    CHECK(buf_err(&out) == ERR_OK && out.len > 0);
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    struct view text = view_of(data + 1, size - 1);
    if (data[0] == 0) {
        read_channel(text);
    } else if (data[0] == 1) {
        read_silence(text);
    } else {
        json_t *body = json_loadb((const char *)text.data, text.len, 0, NULL);
        if (json_is_object(body)) {
            tell(data[0] % 2 == 0 ? "firing" : "digest", text);
        }
        json_decref(body);
    }
    return 0;
}
