#include <stdio.h>

#include <criterion/criterion.h>

#include "base/clock.h"
#include "devices.h"
#include "notify/silence.h"

#define NOW (1790000000LL * CLOCK_SECOND_US)

static struct silence *silence(const char *members)
{
    char json[1024];
    struct silence *s = NULL;
    struct channel_error why;
    (void)snprintf(json, sizeof(json), "{\"comment\":\"c\",%s}", members);
    cr_assert_eq(silence_read(view_str(json), NOW, &s, &why), ERR_OK, "%s: %s %s", json,
                 why.pointer, why.detail);
    return s;
}

Test(silence, it_matches_by_selector_rule_and_severity)
{
    struct device *d = device_make(7, "p-1", "north", 0);
    static const struct {
        const char *members;
        bool matches;
    } cases[] = {
        {"\"expires_in\":\"1h\"", true},
        {"\"expires_in\":\"1h\",\"select\":\"site=north\"", true},
        {"\"expires_in\":\"1h\",\"select\":\"site=south\"", false},
        {"\"expires_in\":\"1h\",\"select\":\"site in (south,north),name=p-1\"", true},
        {"\"expires_in\":\"1h\",\"rule\":\"hot\"", true},
        {"\"expires_in\":\"1h\",\"rule\":\"cold\"", false},
        {"\"expires_in\":\"1h\",\"severity\":[\"minor\",\"major\"]", true},
        {"\"expires_in\":\"1h\",\"severity\":[\"critical\"]", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct silence *s = silence(cases[i].members);
        cr_expect_eq(silence_matches(s, d, "hot", SEVERITY_MAJOR), cases[i].matches, "%s",
                     cases[i].members);
        silence_free(s);
    }
    device_drop(d);
}

Test(silence, it_holds_from_its_start_until_before_its_end)
{
    struct silence *s = silence("\"expires_in\":\"1h\"");
    cr_expect_not(silence_is_active(s, NOW - 1));
    cr_expect(silence_is_active(s, NOW));
    cr_expect(silence_is_active(s, NOW + CLOCK_HOUR_US - 1));
    cr_expect_not(silence_is_active(s, NOW + CLOCK_HOUR_US));
    silence_free(s);
}

Test(silence, a_window_comes_again_until_the_end)
{
    struct silence *s = silence("\"expires_in\":\"30d\",\"every\":\"1w\",\"window\":\"2h\"");
    int64_t week = 7 * CLOCK_DAY_US;
    for (int64_t i = 0; i < 4; i++) {
        cr_expect(silence_is_active(s, NOW + i * week));
        cr_expect(silence_is_active(s, NOW + i * week + 2 * CLOCK_HOUR_US - 1));
        cr_expect_not(silence_is_active(s, NOW + i * week + 2 * CLOCK_HOUR_US));
    }
    cr_expect(silence_is_active(s, NOW + 4 * week), "the fifth begins before the end");
    cr_expect_not(silence_is_active(s, NOW + 5 * week));
    silence_free(s);
}

Test(silence, a_cause_concerns_its_children_or_its_neighbours)
{
    struct device *gateway = device_make(1, "gw", "north", 0);
    struct device *child = device_make(2, "c", "south", 1);
    struct device *neighbour = device_make(3, "n", "north", 0);
    struct silence *by_gateway =
        silence("\"expires_in\":\"1h\",\"while\":{\"rule\":\"down\",\"on\":\"gateway\"}");
    struct silence *by_site =
        silence("\"expires_in\":\"1h\",\"while\":{\"rule\":\"down\",\"on\":\"label:site\"}");
    cr_expect(silence_is_caused(by_gateway, child, gateway));
    cr_expect_not(silence_is_caused(by_gateway, neighbour, gateway));
    cr_expect(silence_is_caused(by_site, neighbour, gateway));
    cr_expect_not(silence_is_caused(by_site, child, gateway));
    cr_expect_not(silence_is_caused(by_site, gateway, gateway), "the cause itself is told");
    silence_free(by_gateway);
    silence_free(by_site);
    device_drop(gateway);
    device_drop(child);
    device_drop(neighbour);
}

Test(silence, nothing_is_silenced_without_an_end_and_a_comment)
{
    static const struct {
        const char *json, *pointer;
    } cases[] = {
        {"{\"expires_in\":\"1h\"}", "/comment"},
        {"{\"comment\":\"c\"}", "/expires_at"},
        {"{\"comment\":\"c\",\"expires_in\":\"1h\",\"expires_at\":\"2030-01-01T00:00:00Z\"}",
         "/expires_at"},
        {"{\"comment\":\"c\",\"expires_at\":\"1999-01-01T00:00:00Z\"}", "/expires_at"},
        {"{\"comment\":\"c\",\"expires_in\":\"400d\"}", "/expires_in"},
        {"{\"comment\":\"c\",\"expires_in\":\"1h\",\"select\":\"site==\"}", "/select"},
        {"{\"comment\":\"c\",\"expires_in\":\"1h\",\"severity\":[\"bad\"]}", "/severity"},
        {"{\"comment\":\"c\",\"expires_in\":\"1h\",\"every\":\"1d\"}", "/window"},
        {"{\"comment\":\"c\",\"expires_in\":\"1h\",\"every\":\"1h\",\"window\":\"2h\"}", "/window"},
        {"{\"comment\":\"c\",\"expires_in\":\"1h\",\"while\":{\"rule\":\"r\",\"on\":\"roof\"}}",
         "/while/on"},
        {"{\"comment\":\"c\",\"expires_in\":\"1h\",\"selector\":\"x\"}", "/selector"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct silence *s = NULL;
        struct channel_error why;
        cr_expect_neq(silence_read(view_str(cases[i].json), NOW, &s, &why), ERR_OK, "%s",
                      cases[i].json);
        cr_expect_null(s);
        cr_expect_str_eq(why.pointer, cases[i].pointer, "%s", cases[i].json);
    }
}
