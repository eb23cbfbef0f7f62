#include <criterion/criterion.h>

#include "base/clock.h"
#include "notify/channel.h"

#define SECRET "a secret of 20 bytes"

static enum err read_channel(const char *json, const char *secret, struct channel **ret_channel,
                             struct channel_error *ret_error)
{
    return channel_read(view_str(json), secret, ret_channel, ret_error);
}

Test(channel, each_kind_is_read_with_its_defaults)
{
    struct channel *c = NULL;
    struct channel_error why;
    cr_assert_eq(read_channel("{\"name\":\"ops\",\"kind\":\"webhook\",\"config\":{\"url\":"
                              "\"https://example.com/hook\"},\"digest_window\":\"30s\","
                              "\"rate\":{\"max\":5},\"flapping\":{\"max\":3,\"within\":\"10m\"},"
                              "\"escalate\":{\"to\":\"boss\"}}",
                              SECRET, &c, &why),
                 ERR_OK, "%s %s", why.pointer, why.detail);
    cr_expect_str_eq(c->name, "ops");
    cr_expect(c->enabled && c->kind == CHANNEL_WEBHOOK);
    cr_expect_eq(c->digest_window_us, 30 * CLOCK_SECOND_US);
    cr_expect(c->rate_max == 5 && c->rate_per_us == CLOCK_HOUR_US);
    cr_expect(c->flapping_max == 3 && c->flapping_within_us == 10 * CLOCK_MINUTE_US);
    cr_expect_eq(c->escalate_after_us, 15 * CLOCK_MINUTE_US);
    cr_expect_str_eq(c->escalate_to, "boss");
    cr_expect_str_eq(c->secret, SECRET);
    channel_free(c);
    cr_assert_eq(read_channel("{\"name\":\"m\",\"kind\":\"email\",\"config\":{\"url\":"
                              "\"smtp://mail.example:587\",\"from\":\"sb@example.com\",\"to\":["
                              "\"a@example.com\",\"b@example.com\"]}}",
                              NULL, &c, &why),
                 ERR_OK, "%s %s", why.pointer, why.detail);
    cr_expect(c->tls && c->to_count == 2 && c->username == NULL);
    cr_expect_str_eq(c->to[1], "b@example.com");
    channel_free(c);
    cr_assert_eq(read_channel("{\"name\":\"s\",\"kind\":\"syslog\",\"config\":{\"url\":"
                              "\"udp://[::1]:514\",\"facility\":\"local4\"}}",
                              NULL, &c, &why),
                 ERR_OK, "%s %s", why.pointer, why.detail);
    cr_expect_eq(c->facility, 20);
    channel_free(c);
    cr_assert_eq(read_channel("{\"name\":\"l\",\"kind\":\"log\",\"config\":null}", NULL, &c, &why),
                 ERR_OK, "%s %s", why.pointer, why.detail);
    channel_free(c);
    cr_assert_eq(read_channel("{\"name\":\"c\",\"kind\":\"command\",\"config\":{\"device\":"
                              "\"self\",\"method\":\"siren\",\"params\":{\"on\":true}}}",
                              NULL, &c, &why),
                 ERR_OK, "%s %s", why.pointer, why.detail);
    cr_expect_str_eq(c->params, "{\"on\":true}");
    channel_free(c);
}

#define HOOK "\"name\":\"a\",\"kind\":\"webhook\",\"config\":{\"url\":\"https://example.com/\"}"
#define MAIL(more)                                                                             \
    "{\"name\":\"a\",\"kind\":\"email\",\"config\":{\"url\":\"smtp://mail.example\",\"from\":" \
    "\"a@b.example\",\"to\":[\"c@d.example\"]" more "}}"
#define TOPIC(topic)   "{\"name\":\"a\",\"kind\":\"mqtt\",\"config\":{\"topic\":\"" topic "\"}}"
#define URL(kind, url) "{\"name\":\"a\",\"kind\":\"" kind "\",\"config\":{\"url\":\"" url "\"}}"

Test(channel, what_is_wrong_is_named)
{
    static const struct {
        const char *json, *secret, *pointer;
    } cases[] = {
        {"[]", NULL, ""},
        {"{}", NULL, "/name"},
        {"{\"name\":\"a b\",\"kind\":\"log\"}", NULL, "/name"},
        {"{\"name\":\"a\",\"kind\":\"pigeon\"}", NULL, "/kind"},
        {"{\"name\":\"a\",\"kind\":\"log\",\"colour\":1}", NULL, "/colour"},
        {"{\"name\":\"a\",\"kind\":\"log\",\"\":1}", NULL, "/"},
        {"{\"name\":\"a\",\"kind\":\"log\",\"enable\":1}", NULL, "/enable"},
        {"{\"name\":\"a\",\"kind\":\"log\",\"config\":{\"url\":\"x\"}}", NULL, "/config/url"},
        {"{\"name\":\"a\",\"kind\":\"webhook\"}", SECRET, "/config"},
        {"{" HOOK "}", NULL, "/secret"},
        {"{" HOOK "}", "short", "/secret"},
        {"{\"name\":\"a\",\"kind\":\"log\"}", SECRET, "/secret"},
        {"{" HOOK ",\"digest_window\":\"soon\"}", SECRET, "/digest_window"},
        {"{" HOOK ",\"rate\":{\"max\":0}}", SECRET, "/rate/max"},
        {"{" HOOK ",\"flapping\":{\"most\":1}}", SECRET, "/flapping/most"},
        {"{" HOOK ",\"escalate\":{\"after\":\"1m\"}}", SECRET, "/escalate/to"},
        {"{" HOOK ",\"escalate\":{\"to\":\"a\"}}", SECRET, "/escalate/to"},
        {URL("webhook", "ftp://example.com/"), SECRET, "/config/url"},
        {URL("webhook", "file:///etc/passwd"), SECRET, "/config/url"},
        {URL("webhook", "https://"), SECRET, "/config/url"},
        {URL("webhook", "https://user:pass@example.com/"), SECRET, "/config/url"},
        {URL("webhook", "https://example.com/\\r\\nX: y"), SECRET, "/config/url"},
        {URL("syslog", "udp://loghost"), NULL, "/config/url"},
        {URL("syslog", "udp://loghost:"), NULL, "/config/url"},
        {URL("syslog", "udp://loghost/x:514"), NULL, "/config/url"},
        {URL("syslog", "udp:loghost:514"), NULL, "/config/url"},
        {URL("syslog", "https://loghost:1"), NULL, "/config/url"},
        {MAIL(",\"username\":\"u\""), NULL, "/secret"},
        {MAIL(",\"tls\":1"), NULL, "/config/tls"},
        {"{\"name\":\"a\",\"kind\":\"email\",\"config\":{\"url\":\"smtp://m.example\",\"from\":"
         "\"a@b\",\"to\":[\"x@y\\r\\nBcc: z@z\"]}}",
         NULL, "/config/to"},
        {TOPIC("a/+"), NULL, "/config/topic"},
        {TOPIC("$SYS/x"), NULL, "/config/topic"},
        {TOPIC("v1/devices/me/rpc/request/1"), NULL, "/config/topic"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct channel *c = NULL;
        struct channel_error why;
        enum err e = read_channel(cases[i].json, cases[i].secret, &c, &why);
        cr_expect_neq(e, ERR_OK, "%s", cases[i].json);
        cr_expect_null(c, "output touched on failure: %s", cases[i].json);
        cr_expect_str_eq(why.pointer, cases[i].pointer, "%s", cases[i].json);
        cr_expect_neq(why.detail[0], '\0', "%s", cases[i].json);
    }
}
