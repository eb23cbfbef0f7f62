/* What needs no database: copies and comparisons of snapshots. */
#include <math.h>
#include <stdlib.h>

#include <criterion/criterion.h>

#include "base/check.h"
#include "catalog/catalog_internal.h"

static struct device *make(const char *key, const char *text, double number)
{
    struct device *d = device_new();
    d->id = 7;
    d->name = strdup("d7");
    d->gateway = 3;
    d->gateway_name = strdup("gw-3");
    d->labels = calloc(1, sizeof(*d->labels));
    d->labels[0] = (struct device_pair){.key = strdup(key), .text = strdup(text), .number = number};
    d->label_count = 1;
    d->type = device_type_new();
    return d;
}

Test(snapshot, a_copy_is_equal_and_shares_nothing_but_the_type)
{
    struct device *d = make("site", "plant-1", (double)NAN);
    struct device *copy = NULL;
    cr_assert_eq(catalog_device_clone(d, &copy), ERR_OK);
    cr_expect(catalog_device_same(d, copy), "NaN beside NaN is the same value");
    cr_expect_eq(copy->type, d->type);
    cr_expect_neq(copy->labels[0].text, d->labels[0].text);
    cr_expect_neq(copy->gateway_name, d->gateway_name);
    device_drop(d);
    cr_expect_str_eq(copy->gateway_name, "gw-3");
    cr_expect_str_eq(device_label(copy, VIEW("site")), "plant-1", "it outlives the original");
    device_drop(copy);
}

Test(snapshot, any_difference_counts)
{
    struct device *a = make("line", "1", (double)NAN);
    static const struct {
        const char *key, *text;
        double number;
    } cases[] = {
        {"line", "2", (double)NAN},
        {"lane", "1", (double)NAN},
        {"line", "1", 1}, /* the number, not the text */
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct device *b = make(cases[i].key, cases[i].text, cases[i].number);
        device_type_drop(b->type);
        b->type = a->type;
        device_type_hold(a->type);
        cr_expect_not(catalog_device_same(a, b), "case %zu", i);
        device_drop(b);
    }
    struct device *b = NULL;
    cr_assert_eq(catalog_device_clone(a, &b), ERR_OK);
    b->enabled = false;
    cr_expect_not(catalog_device_same(a, b));
    b->enabled = true;
    b->gateway = 0;
    cr_expect_not(catalog_device_same(a, b));
    device_drop(a);
    device_drop(b);
}

Test(snapshot, an_empty_catalog_knows_nothing_and_says_so)
{
    struct conf conf = {.lateness_us = 5};
    struct catalog *c = catalog_new(&conf, NULL);
    struct engine_rule *rules = (struct engine_rule *)&conf;
    uint32_t count = 9;
    struct device *d = make("a", "b", 0);
    cr_expect_null(catalog_device(c, VIEW("d")));
    cr_expect_null(catalog_device_by_id(c, 1));
    cr_expect_null(catalog_type(c, VIEW("t")));
    cr_expect_null(catalog_rule_by_id(c, 1));
    cr_expect_eq(catalog_device_count(c), 0);
    cr_expect_eq(catalog_rule_env(c).lateness_us, 5);
    cr_assert_eq(catalog_rules_for(c, d, &rules, &count), ERR_OK);
    cr_expect(rules == NULL && count == 0);
    device_drop(d);
    catalog_free(c);
    catalog_free(NULL);
}
