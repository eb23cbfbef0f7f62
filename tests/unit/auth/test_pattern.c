#include <stdlib.h>

#include <criterion/criterion.h>

#include "auth/pattern.h"
#include "base/check.h"

static void pair_put(struct device *d, uint32_t at, const char *key, const char *text)
{
    d->labels[at] = (struct device_pair){.key = strdup(key), .text = strdup(text)};
}

/* "pump-7" behind "gw-1", with labels that are usable and labels that are not. */
static struct device *pump(void)
{
    struct device *d = device_new();
    d->name = strdup("pump-7");
    d->gateway = 3;
    d->gateway_name = strdup("gw-1");
    d->labels = calloc(8, sizeof(*d->labels));
    d->label_count = 8;
    pair_put(d, 0, "site", "plant 1");
    pair_put(d, 1, "line", "\xc3\xa4");
    pair_put(d, 2, "empty", "");
    pair_put(d, 3, "plus", "+");
    pair_put(d, 4, "hash", "a#");
    pair_put(d, 5, "slash", "a/b");
    pair_put(d, 6, "dollar", "$SYS");
    pair_put(d, 7, "braces", "{device}");
    return d;
}

Test(pattern, placeholders_stand_for_what_the_device_is)
{
    static const struct {
        const char *pattern, *filter; /* filter NULL: it allows nothing */
    } cases[] = {
        {"plant/+/up/#", "plant/+/up/#"},
        {"dev/{device}/up", "dev/pump-7/up"},
        {"{device}", "pump-7"},
        {"{device}{device}", "pump-7pump-7"},
        {"a-{device}-b/#", "a-pump-7-b/#"},
        {"{gateway}/{device}/+", "gw-1/pump-7/+"},
        {"{label.site}/x", "plant 1/x"},
        {"{label.line}", "\xc3\xa4"},
        {"{label.braces}/x", "{device}/x"}, /* a value is not looked through again */
        {"a}b", "a}b"},
        {"{label.none}/x", NULL},
        {"{label.empty}/x", NULL},
        {"{label.plus}/x", NULL},
        {"x/{label.hash}", NULL},
        {"{label.slash}/x", NULL},
        {"{label.dollar}/x", NULL},
        {"x/{label.dollar}", NULL},
        {"{device}/{label.plus}", NULL}, /* one bad value spoils the whole */
        {"{}", NULL},
        {"{name}/x", NULL},
        {"{Device}/x", NULL},
        {"{device }/x", NULL},
        {"{label.}/x", NULL},
        {"{label.a b}/x", NULL},
        {"{device", NULL},
        {"{{device}}", NULL},
        {"x/{", NULL},
    };
    struct device *d = pump();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char room[AUTH_FILTER_MAX];
        struct view got = auth_pattern_fill(view_str(cases[i].pattern), d, room);
        cr_expect(view_eq_str(got, cases[i].filter), "%s: %.*s", cases[i].pattern, VIEW_ARG(got));
    }
    device_drop(d);
}

Test(pattern, without_a_gateway_nothing_is_allowed_by_its_name)
{
    struct device *d = pump();
    char room[AUTH_FILTER_MAX];
    free(d->gateway_name);
    d->gateway_name = NULL;
    d->gateway = 0;
    cr_expect_eq(auth_pattern_fill(VIEW("{gateway}/x"), d, room).len, 0);
    cr_expect_eq(auth_pattern_fill(VIEW("{gateway}"), d, room).len, 0);
    device_drop(d);
}

Test(pattern, what_is_too_long_allows_nothing)
{
    struct device *d = pump();
    char room[AUTH_FILTER_MAX];
    char pattern[AUTH_FILTER_MAX + 8];
    memset(pattern, 'x', sizeof(pattern));
    memcpy(pattern, "{device}", 8); /* two bytes longer than its value */
    struct view fits = view_of(pattern, AUTH_FILTER_MAX + 2);
    cr_expect_eq(auth_pattern_fill(fits, d, room).len, AUTH_FILTER_MAX);
    cr_expect_eq(auth_pattern_fill(view_of(pattern, fits.len + 1), d, room).len, 0);
    device_drop(d);
}

Test(pattern, only_well_formed_ones_are_taken_from_who_writes_lists)
{
    static const char *const good[] = {
        "a",  "#", "+/a", "a/{device}/#", "{gateway}/+", "{label.site}", "{label.a:b-c.d_e}/x",
        "a}b"};
    static const char *const bad[] = {
        "",          "a#",        "#/a", "a+",      "{device}+", "+{device}",
        "{device}#", "#{device}", "{}",  "{label}", "{label.}",  "{label.a/b}",
        "{user}",    "{device",   "a/{", "\xff",    "$share//a", "$share/+/a"};
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        cr_expect(auth_pattern_valid(view_str(good[i])), "%s", good[i]);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        cr_expect_not(auth_pattern_valid(view_str(bad[i])), "%s", bad[i]);
    }
}
