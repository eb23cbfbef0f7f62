#include <criterion/criterion.h>

#include "api/events.h"
#include "api/reading_rows.h"

static struct intern *names(void)
{
    struct intern *in = intern_new(100);
    cr_assert_eq(intern_add(in, VIEW("rpm")), 1);
    cr_assert_eq(intern_add(in, VIEW("temp, \"x\"")), 2);
    return in;
}

static void expect(enum api_reading_form form, const struct api_reading_shape *shape,
                   const char *metrics, const char *values, const char *extra, const char *want)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    api_reading_write(&out, form, shape, 1700000000250000, view_str(metrics), view_str(values),
                      view_str(extra));
    cr_expect(view_eq_str(buf_view(&out), want), "%.*s", VIEW_ARG(buf_view(&out)));
    buf_fini(&out);
}

Test(reading, one_metric_several_and_all)
{
    struct intern *in = names();
    static const struct view one[] = {{(const uint8_t *)"rpm", 3}};
    static const struct view two[] = {{(const uint8_t *)"rpm", 3}, {(const uint8_t *)"mode", 4}};
    struct api_reading_shape single = {in, one, 1};
    struct api_reading_shape several = {in, two, 2};
    struct api_reading_shape all = {in, NULL, 0};
    const char *extra = "{\"mode\": \"a,b\", \"on\": true}";
#define TS "2023-11-14T22:13:20.250Z"
    expect(API_READING_JSON, &single, "{1,2}", "{1.5,2}", extra,
           "{\"ts\":\"" TS "\",\"value\":1.5}");
    expect(API_READING_JSON, &single, "{2}", "{2}", "", "{\"ts\":\"" TS "\",\"value\":null}");
    expect(API_READING_JSON, &single, "{1}", "{NaN}", "", "{\"ts\":\"" TS "\",\"value\":null}");
    expect(API_READING_JSON, &several, "{1,2}", "{1e+20,2}", extra,
           "{\"ts\":\"" TS "\",\"values\":{\"rpm\":1e+20,\"mode\":\"a,b\"}}");
    expect(API_READING_NDJSON, &all, "{1,2}", "{1,NULL}", extra,
           "{\"ts\":\"" TS "\",\"values\":{\"rpm\":1,\"temp, \\\"x\\\"\":null,\"mode\":\"a,b\","
           "\"on\":true}}");
    expect(API_READING_JSON, &all, "", "", "", "{\"ts\":\"" TS "\",\"values\":{}}");
    expect(API_READING_CSV, &single, "{1}", "{1.5}", "", TS ",1.5\r\n");
    expect(API_READING_CSV, &several, "{2}", "{2}", extra, TS ",,\"a,b\"\r\n");
    expect(API_READING_CSV, &all, "{1,2}", "{1,2}", "{\"on\": false}",
           TS ",rpm,1\r\n" TS ",\"temp, \"\"x\"\"\",2\r\n" TS ",on,false\r\n");
    intern_free(in);
}

Test(array, items_in_turn_and_then_none)
{
    static const char *const cases[] = {"", "{}", "{", "}"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct view v = view_str(cases[i]);
        cr_expect_null(api_array_next(&v).data, "%s", cases[i]);
    }
    struct view v = VIEW("{1,NULL,-2.5}");
    cr_expect(view_eq_str(api_array_next(&v), "1"));
    cr_expect(view_eq_str(api_array_next(&v), "NULL"));
    cr_expect(view_eq_str(api_array_next(&v), "-2.5"));
    cr_expect_null(api_array_next(&v).data);
}

Test(events, kinds_match_whole_words_before_a_dot)
{
    static const struct {
        const char *words, *kind;
        bool want;
    } cases[] = {
        {"", "alert.firing", true},
        {"alert", "alert.firing", true},
        {"alert.firing", "alert.firing", true},
        {"alert.fir", "alert.firing", false},
        {"ale", "alert.firing", false},
        {"command,alert", "alert.firing", true},
        {"command", "alert.firing", false},
        {",", "alert.firing", false},
        {"alert.firing.x", "alert.firing", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_expect_eq(api_events_kind_matches(view_str(cases[i].words), view_str(cases[i].kind)),
                     cases[i].want, "%s", cases[i].words);
    }
}

Test(events, an_event_cannot_be_ended_by_what_it_carries)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    api_events_write(&out, 7, "alert.firing", VIEW("{\n\n\"a\":1}\r\nid: 9\n\n"));
    cr_expect(view_eq_str(buf_view(&out), "id: 7\nevent: alert.firing\ndata: {\ndata: \n"
                                          "data: \"a\":1}\ndata: \ndata: id: 9\ndata: \ndata: "
                                          "\n\n"),
              "%.*s", VIEW_ARG(buf_view(&out)));
    buf_fini(&out);
}
