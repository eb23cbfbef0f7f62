#include <criterion/criterion.h>
#include <jansson.h>

#include "base/clock.h"
#include "devices.h"
#include "notify/digest.h"
#include "notify/text.h"

#define NOW (1790000000LL * CLOCK_SECOND_US) /* 2026-09-21T14:13:20Z */
#define ALERT                                                                         \
    "{\"alert_id\":17,\"rule\":\"hot\",\"device\":\"p-1\",\"severity\":\"critical\"," \
    "\"state\":\"firing\",\"value\":81.5,\"summary\":\"p-1 \\\"hot\\\" ] at 81.5 °C\\n\"}"

static const struct notice alert = {.id = 4711, .event = "firing", .body = VIEW(ALERT)};
static const struct channel channel = {.name = "ops",
                                       .facility = 3,
                                       .from = "sb@example.com",
                                       .to = {"a@example.com", "b@example.com"},
                                       .to_count = 2,
                                       .topic = "alerts/{{device}}/{{rule}}"};

static const char *text_of_buf(struct buf *b)
{
    buf_put_u8(b, 0);
    cr_assert_eq(buf_err(b), ERR_OK);
    return (const char *)b->data;
}

Test(text, json_has_the_id_and_the_alert)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    text_json(&alert, &channel, &out);
    cr_expect_str_eq(text_of_buf(&out), "{\"id\":\"4711\",\"channel\":\"ops\",\"event\":"
                                        "\"alert.firing\",\"alert\":" ALERT "}");
    buf_fini(&out);
}

Test(text, syslog_is_one_line_of_rfc_5424)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    text_syslog(&alert, &channel, NOW, "host.example", &out);
    const char *text = text_of_buf(&out);
    static const char begins[] = "<26>1 2026-09-21T14:13:20Z host.example signalbox ";
    static const char ends[] =
        " alert.firing [signalbox@32473 id=\"4711\" alert=\"17\" rule=\"hot\" device=\"p-1\""
        " severity=\"critical\"] \xef\xbb\xbf"
        "firing critical hot on p-1: p-1 \"hot\" ] at 81.5 °C ";
    cr_expect_eq(strncmp(text, begins, sizeof(begins) - 1), 0, "%s", text);
    size_t len = strlen(text);
    cr_assert_gt(len, sizeof(ends));
    cr_expect_str_eq(text + len - (sizeof(ends) - 1), ends);
    cr_expect_null(strchr(text, '\n'));
    buf_fini(&out);
}

Test(text, syslog_values_cannot_end_their_element)
{
    static const struct notice odd = {
        .id = 1, .event = "resolved", .body = VIEW("{\"rule\":\"a\\\"]\\\\b\",\"device\":\"d\"}")};
    struct buf out;
    buf_init(&out, 1 << 16);
    text_syslog(&odd, &channel, NOW, "", &out);
    const char *text = text_of_buf(&out);
    cr_expect_not_null(strstr(text, "rule=\"a\\\"\\]\\\\b\""), "%s", text);
    cr_expect_eq(strncmp(text, "<29>1 ", 6), 0, "%s", text);
    buf_fini(&out);
}

Test(text, nothing_of_an_alert_begins_a_line_of_its_own)
{
    static const struct notice odd = {
        .id = 1,
        .event = "firing",
        .body = VIEW("{\"rule\":\"a\\nb\",\"device\":\"d\\u007f\",\"severity\":\"x\\r\\ny\"}")};
    struct buf out;
    buf_init(&out, 1 << 16);
    text_syslog(&odd, &channel, NOW, "", &out);
    for (const char *at = text_of_buf(&out); *at != '\0'; at++) {
        cr_expect((unsigned char)*at >= 0x20 && *at != 0x7f, "%s", (const char *)out.data);
    }
    buf_fini(&out);
}

Test(text, a_mail_has_a_head_that_the_alert_cannot_break)
{
    static const struct notice odd = {
        .id = 5,
        .event = "firing",
        .body = VIEW("{\"rule\":\"r\",\"device\":\"d\",\"severity\":\"minor\",\"summary\":"
                     "\"x\\r\\nBcc: z@example.com\\r\\n\\r\\n.\\r\\n\"}")};
    struct buf out;
    buf_init(&out, 1 << 16);
    text_mail(&odd, &channel, NOW, &out);
    const char *text = text_of_buf(&out);
    const char *body = strstr(text, "\r\n\r\n");
    cr_assert_not_null(body);
    cr_expect_not_null(strstr(text, "Date: Mon, 21 Sep 2026 14:13:20 +0000\r\n"), "%s", text);
    cr_expect_not_null(strstr(text, "To: a@example.com,\r\n b@example.com\r\n"), "%s", text);
    cr_expect_not_null(strstr(text, "Message-ID: <signalbox-5.sb@example.com>\r\n"), "%s", text);
    cr_expect_null(strstr(text, "\nBcc:"), "%s", text);
    cr_expect_null(strstr(text, "\r\n.\r\n"), "%s", text);
    buf_fini(&out);
}

Test(text, topics_name_device_and_rule)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    text_topic(&alert, &channel, &out);
    cr_expect_str_eq(text_of_buf(&out), "alerts/p-1/hot");
    buf_clear(&out);
    static const struct notice digest = {.id = 1, .event = "digest", .body = VIEW("{}")};
    text_topic(&digest, &channel, &out);
    cr_expect_str_eq(text_of_buf(&out), "alerts/digest/digest");
    buf_fini(&out);
}

Test(text, a_digest_counts_all_and_shows_some)
{
    enum { ROWS = 1000 };
    static struct policy_row rows[ROWS];
    struct device *d = device_make(7, "p-1", "north", 0);
    for (int i = 0; i < ROWS; i++) {
        rows[i] = (struct policy_row){.id = i + 1,
                                      .alert_id = i + 1,
                                      .event = i % 10 == 0 ? "resolved" : "firing",
                                      .device = d,
                                      .rule = i % 2 == 0 ? "even" : "odd",
                                      .severity = SEVERITY_MAJOR,
                                      .body = VIEW("{\"a\":1}"),
                                      .reason = i == 1 ? "shelved" : NULL};
    }
    struct buf out;
    buf_init(&out, 1 << 20);
    digest_write(rows, ROWS, &out);
    json_t *j = json_loads(text_of_buf(&out), 0, NULL);
    cr_assert_not_null(j);
    cr_expect_eq(json_integer_value(json_object_get(j, "count")), 999);
    cr_expect_eq(json_integer_value(json_object_get(j, "firing")), 899);
    cr_expect_eq(json_integer_value(json_object_get(j, "resolved")), 100);
    cr_expect_eq(json_array_size(json_object_get(j, "alerts")), 50u);
    cr_expect_eq(json_integer_value(json_object_get(j, "more")), 949);
    const json_t *groups = json_object_get(j, "groups");
    cr_expect_eq(json_array_size(groups), 3u, "resolved even, firing odd, firing even");
    json_int_t sum = 0;
    for (size_t i = 0; i < json_array_size(groups); i++) {
        sum += json_integer_value(json_object_get(json_array_get(groups, i), "count"));
    }
    cr_expect_eq(sum, 999);
    json_decref(j);
    buf_fini(&out);
    device_drop(d);
}
