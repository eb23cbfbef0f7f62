/*
 * Against a real PostgreSQL, named by SIGNALBOX_TEST_DATABASE (a libpq connection string):
 * everything happens in a schema of its own, which is dropped at the end. Without the variable
 * these tests are skipped.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "base/check.h"
#include "base/clock.h"
#include "catalog/catalog.h"
#include "geo/fence.h"
#include "store/store.h"

struct told {
    int count;
    enum catalog_kind kind[64];
    int32_t id[64];
};

struct bench {
    struct db *db;
    struct conf conf;
    struct intern *metrics;
    struct catalog *catalog;
    struct told told;
};

static void on_change(void *arg, enum catalog_kind kind, int32_t id)
{
    struct told *t = arg;
    if (t->count < (int)COUNT_OF(t->id)) {
        t->kind[t->count] = kind;
        t->id[t->count] = id;
    }
    t->count++;
}

static bool was_told(const struct told *t, enum catalog_kind kind, int32_t id)
{
    for (int i = 0; i < t->count && i < (int)COUNT_OF(t->id); i++) {
        if (t->kind[i] == kind && t->id[i] == id) {
            return true;
        }
    }
    return false;
}

static void sql(struct bench *b, const char *text)
{
    cr_assert_eq(db_script(b->db, text), ERR_OK, "%s: %s", text, db_error(b->db));
}

static void bench_open(struct bench *b)
{
    const char *url = getenv("SIGNALBOX_TEST_DATABASE");
    char schema[160];
    struct store_migration_status status;
    *b = (struct bench){0};
    if (url == NULL) {
        cr_skip("SIGNALBOX_TEST_DATABASE is not set");
    }
    cr_assert_eq(db_open(url, "test_catalog", &b->db), ERR_OK,
                 "cannot connect to the test database");
    snprintf(schema, sizeof(schema), "CREATE SCHEMA catalog_%d; SET search_path TO catalog_%d",
             getpid(), getpid());
    sql(b, schema);
    cr_assert_eq(store_migrate(b->db, &status), ERR_OK, "%s", status.problem);
    b->conf.values_per_message_max = 10000;
    b->conf.metrics_max = 1000;
    b->conf.lateness_us = 120 * CLOCK_SECOND_US;
    b->metrics = intern_new(1000);
    b->catalog = catalog_new(&b->conf, b->metrics);
    cr_assert_not_null(b->catalog);
    catalog_listen(b->catalog, on_change, &b->told);
}

static void bench_close(struct bench *b)
{
    char schema[64];
    snprintf(schema, sizeof(schema), "DROP SCHEMA catalog_%d CASCADE", getpid());
    sql(b, schema);
    catalog_free(b->catalog);
    intern_free(b->metrics);
    db_close(b->db);
}

static const char types_and_devices[] =
    "INSERT INTO metrics VALUES (1, 'rpm'), (2, 'voltage');"
    "INSERT INTO device_types (name, definition) VALUES ('motor', '{\"metrics\":{"
    "\"temperature\":{\"unit\":\"degC\",\"min\":-50,\"max\":150.5,\"baseline_samples\":300,"
    "\"missing\":[511,-1e3]},"
    "\"rpm\":{\"modulus\":1e5}},\"commands\":[\"stop\",{\"name\":\"start\"}],"
    "\"topics\":{\"publish\":[\"a/+\",\"b\"],\"subscribe\":[\"c/#\"]}}'),"
    "('odd', '{\"metrics\":[1,2],\"commands\":{\"x\":1},\"topics\":7}');"
    "INSERT INTO devices (name, type_id, labels, attributes) SELECT 'gw-1', id, '{}', '{}' FROM "
    "device_types"
    " WHERE name = 'generic';"
    "INSERT INTO devices (name, type_id, labels, attributes, gateway_id, enabled)"
    " SELECT 'm-1', t.id, '{\"site\":\"plant-1\",\"line\":3,\"Zone\":\"a\"}',"
    " '{\"limit\":80.5,\"on\":true,\"text\":\"80\",\"deep\":{\"x\":1},\"none\":null}', g.id, false"
    " FROM device_types t, devices g WHERE t.name = 'motor' AND g.name = 'gw-1';";

Test(catalog, types_come_with_their_metrics_commands_and_topics_and_odd_shapes_do_no_harm)
{
    struct bench b;
    bench_open(&b);
    sql(&b, types_and_devices);
    cr_assert_eq(catalog_load(b.catalog, b.db), ERR_OK);
    cr_expect_eq(b.told.count, 0, "loading is no change");
    struct device_type *t = catalog_type(b.catalog, VIEW("motor"));
    cr_assert_not_null(t);
    cr_assert_eq(t->metric_count, 2);
    cr_expect_eq(t->metrics[0].metric, 1, "rpm keeps the number it has in the database");
    const struct metric_spec *m = &t->metrics[1];
    cr_expect_str_eq(m->name, "temperature");
    cr_expect_eq(m->metric, 3, "a new name gets the next number");
    cr_expect_str_eq(m->unit, "degC");
    cr_expect(m->has_min && m->has_max && m->min == -50 && m->max == 150.5);
    cr_expect_eq(m->baseline_samples, 300);
    cr_assert_eq(m->missing_count, 2);
    cr_expect(m->missing[0] == 511 && m->missing[1] == -1000);
    cr_expect_eq(t->metrics[0].modulus, 100000);
    cr_expect_eq(m->modulus, 0);
    cr_expect_not(t->metrics[0].has_min);
    cr_expect_str_eq(t->metrics[0].unit, "");
    cr_assert_eq(t->command_count, 2);
    cr_expect_str_eq(t->commands[0], "stop");
    cr_expect_str_eq(t->commands[1], "start");
    cr_assert_eq(t->publish_topic_count, 2);
    cr_expect_str_eq(t->publish_topics[1], "b");
    cr_assert_eq(t->subscribe_topic_count, 1);
    cr_expect_not(t->any_metric);
    device_type_drop(t);

    t = catalog_type(b.catalog, VIEW("odd"));
    cr_assert_not_null(t);
    cr_expect_eq(t->metric_count + t->command_count + t->publish_topic_count, 0);
    device_type_drop(t);
    t = catalog_type(b.catalog, VIEW("generic"));
    cr_assert_not_null(t);
    cr_expect(t->any_metric && t->auto_register);
    cr_expect_gt(t->metrics_max, 0);
    device_type_drop(t);
    cr_expect_null(catalog_type(b.catalog, VIEW("none")));
    bench_close(&b);
}

Test(catalog, devices_come_with_labels_and_attributes_sorted_by_key)
{
    struct bench b;
    bench_open(&b);
    sql(&b, types_and_devices);
    cr_assert_eq(catalog_load(b.catalog, b.db), ERR_OK);
    cr_expect_eq(catalog_device_count(b.catalog), 2);
    struct device *gw = catalog_device(b.catalog, VIEW("gw-1"));
    struct device *d = catalog_device(b.catalog, VIEW("m-1"));
    cr_assert(gw != NULL && d != NULL);
    cr_expect_eq(d->gateway, gw->id);
    cr_expect_not(d->enabled);
    cr_expect_str_eq(d->type->name, "motor");
    cr_assert_eq(d->label_count, 3);
    cr_expect_str_eq(d->labels[0].key, "Zone", "byte order, whatever the database's collation");
    cr_expect_str_eq(device_label(d, VIEW("line")), "3");
    cr_expect(isnan(device_attribute(d, VIEW("text"))->number), "a text is no number");
    cr_expect_eq(device_attribute(d, VIEW("limit"))->number, 80.5);
    cr_expect_eq(device_attribute(d, VIEW("on"))->number, 1);
    cr_expect_str_eq(device_attribute(d, VIEW("on"))->text, "true");
    cr_expect_null(device_attribute(d, VIEW("deep")));
    cr_expect_null(device_attribute(d, VIEW("none")));
    struct device *same = catalog_device_by_id(b.catalog, d->id);
    cr_expect_eq(same, d);
    device_drop(same);
    device_drop(gw);
    device_drop(d);
    cr_expect_null(catalog_device(b.catalog, VIEW("m-2")));
    bench_close(&b);
}

Test(catalog, a_refresh_replaces_the_snapshot_and_tells_the_listener)
{
    struct bench b;
    bench_open(&b);
    sql(&b, types_and_devices);
    cr_assert_eq(catalog_load(b.catalog, b.db), ERR_OK);
    struct device *before = catalog_device(b.catalog, VIEW("m-1"));
    sql(&b, "UPDATE devices SET labels = '{\"site\":\"plant-2\"}' WHERE name = 'm-1'");
    cr_assert_eq(catalog_refresh_device(b.catalog, b.db, "m-1"), ERR_OK);
    struct device *after = catalog_device(b.catalog, VIEW("m-1"));
    cr_expect_str_eq(device_label(before, VIEW("site")), "plant-1",
                     "who holds the old one keeps it");
    cr_expect_str_eq(device_label(after, VIEW("site")), "plant-2");
    cr_expect_eq(b.told.count, 1);
    cr_expect(was_told(&b.told, CATALOG_DEVICE, after->id));

    /* A new type: its devices get the new snapshot, and the type is told once. */
    b.told.count = 0;
    sql(&b, "UPDATE device_types SET definition = '{\"metrics\":{}}' WHERE name = 'motor'");
    cr_assert_eq(catalog_refresh_type(b.catalog, b.db, "motor"), ERR_OK);
    struct device *retyped = catalog_device(b.catalog, VIEW("m-1"));
    cr_expect_eq(retyped->type->metric_count, 0);
    cr_expect_eq(after->type->metric_count, 2);
    cr_expect_str_eq(device_label(retyped, VIEW("site")), "plant-2");
    cr_expect_eq(b.told.count, 1);
    cr_expect(was_told(&b.told, CATALOG_TYPE, retyped->type->id));
    device_drop(before);
    device_drop(after);

    /* A deleted gateway: told, and its child has none any more. */
    b.told.count = 0;
    int32_t gateway = retyped->gateway;
    sql(&b, "DELETE FROM devices WHERE name = 'gw-1'");
    cr_assert_eq(catalog_refresh_device(b.catalog, b.db, "gw-1"), ERR_OK);
    cr_expect_null(catalog_device(b.catalog, VIEW("gw-1")));
    cr_expect_null(catalog_device_by_id(b.catalog, gateway));
    cr_expect(was_told(&b.told, CATALOG_DEVICE, gateway));
    cr_expect(was_told(&b.told, CATALOG_DEVICE, retyped->id));
    struct device *orphan = catalog_device(b.catalog, VIEW("m-1"));
    cr_expect_eq(orphan->gateway, 0);

    /* The same name again is another device. */
    b.told.count = 0;
    sql(&b, "DELETE FROM devices WHERE name = 'm-1';"
            "INSERT INTO device_types (name, definition) VALUES ('newer', '{}');"
            "INSERT INTO devices (name, type_id) SELECT 'm-1', id FROM device_types WHERE name = "
            "'newer'");
    cr_assert_eq(catalog_refresh_device(b.catalog, b.db, "m-1"), ERR_OK);
    struct device *again = catalog_device(b.catalog, VIEW("m-1"));
    cr_expect_str_eq(again->type->name, "newer", "a type the catalog did not know yet is read");
    cr_expect_null(catalog_device_by_id(b.catalog, orphan->id));
    cr_expect(was_told(&b.told, CATALOG_DEVICE, orphan->id));
    cr_expect(was_told(&b.told, CATALOG_DEVICE, again->id));
    cr_expect_eq(catalog_refresh_device(b.catalog, b.db, "never-was"), ERR_OK);
    device_drop(retyped);
    device_drop(orphan);
    device_drop(again);
    bench_close(&b);
}

Test(catalog, after_an_import_only_what_changed_is_told)
{
    struct bench b;
    bench_open(&b);
    sql(&b, types_and_devices);
    cr_assert_eq(catalog_load(b.catalog, b.db), ERR_OK);
    struct device *gw = catalog_device(b.catalog, VIEW("gw-1"));
    struct device *old = catalog_device(b.catalog, VIEW("m-1"));
    sql(&b, "INSERT INTO devices (name, type_id) SELECT 'n-' || g, 1 FROM generate_series(1, 3) g;"
            "DELETE FROM devices WHERE name = 'm-1'");
    cr_assert_eq(catalog_refresh_devices(b.catalog, b.db), ERR_OK);
    cr_expect_eq(b.told.count, 4, "%d", b.told.count);
    cr_expect(was_told(&b.told, CATALOG_DEVICE, old->id));
    cr_expect_not(was_told(&b.told, CATALOG_DEVICE, gw->id));
    struct device *same = catalog_device(b.catalog, VIEW("gw-1"));
    cr_expect_eq(same, gw, "an unchanged device keeps its snapshot");
    cr_expect_eq(catalog_device_count(b.catalog), 4);
    device_drop(same);
    device_drop(gw);
    device_drop(old);
    bench_close(&b);
}

static void put_rule(struct bench *b, const char *name, const char *definition)
{
    struct db_params p = {0};
    db_text(&p, name);
    db_text(&p, definition);
    cr_assert_eq(
        db_exec(b->db, "INSERT INTO rules (name, definition) VALUES ($1, $2::jsonb)", &p, NULL),
        ERR_OK, "%s", db_error(b->db));
}

static char *rules_of(struct bench *b, const char *device)
{
    struct engine_rule *rules = NULL;
    uint32_t count = 0;
    struct buf out;
    buf_init(&out, 4096);
    struct device *d = catalog_device(b->catalog, view_str(device));
    cr_assert_eq(catalog_rules_for(b->catalog, d, &rules, &count), ERR_OK);
    cr_expect_eq(rules == NULL, count == 0);
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(&out, "%s:%d ", rule_name(rules[i].rule), rules[i].version);
        rule_drop(rules[i].rule);
    }
    free(rules);
    device_drop(d);
    return buf_take_str(&out);
}

static void expect_rules(struct bench *b, const char *device, const char *want)
{
    char *got = rules_of(b, device);
    cr_expect_str_eq(got, want, "%s has \"%s\"", device, got);
    free(got);
}

Test(catalog, a_device_gets_the_active_rules_that_select_it_in_order_of_id)
{
    struct bench b;
    bench_open(&b);
    sql(&b, types_and_devices);
    put_rule(&b, "all", "{\"name\":\"all\",\"when\":\"rpm > 1\",\"severity\":\"minor\"}");
    put_rule(
        &b, "hot",
        "{\"name\":\"hot\",\"select\":\"type=motor,site=plant-1\",\"when\":\"temperature > 80\","
        "\"severity\":\"critical\"}");
    put_rule(
        &b, "off",
        "{\"name\":\"off\",\"when\":\"rpm > 1\",\"severity\":\"minor\",\"mode\":\"disabled\"}");
    put_rule(&b, "broken", "{\"name\":\"broken\",\"when\":\"rpm >\",\"severity\":\"minor\"}");
    cr_assert_eq(catalog_load(b.catalog, b.db), ERR_OK);
    expect_rules(&b, "m-1", "all:1 hot:1 ");
    expect_rules(&b, "gw-1", "all:1 ");

    sql(&b, "UPDATE rules SET version = 2 WHERE name = 'all'; UPDATE rules SET deleted_at = now() "
            "WHERE name = 'hot'");
    cr_assert_eq(catalog_refresh_rule(b.catalog, b.db, "all"), ERR_OK);
    expect_rules(&b, "m-1", "all:2 hot:1 ");
    cr_expect_eq(b.told.count, 1);
    cr_assert_eq(catalog_refresh_rule(b.catalog, b.db, "hot"), ERR_OK);
    expect_rules(&b, "m-1", "all:2 ");
    cr_expect_eq(b.told.count, 2);
    cr_expect_null(catalog_rule_by_id(b.catalog, 2));
    struct rule *off = catalog_rule_by_id(b.catalog, 3);
    cr_expect_str_eq(rule_name(off), "off");
    rule_drop(off);

    put_rule(&b, "hot", "{\"name\":\"hot\",\"when\":\"rpm > 3\",\"severity\":\"critical\"}");
    cr_assert_eq(catalog_refresh_rule(b.catalog, b.db, "hot"), ERR_OK);
    expect_rules(&b, "gw-1", "all:2 hot:1 ");
    bench_close(&b);
}

/* The catalog looks rules up by what their selectors ask for; what it finds is what asking each of
 * them would give. */
Test(catalog, rules_are_found_by_name_type_or_label_and_in_no_other_place_after_a_change)
{
    static const char *const selectors[] = {
        "",
        "type=motor",
        "name=m-1",
        "name in (m-1,m-1,gw-1)",
        "site=plant-1,type=motor",
        "site in (plant-2,plant-1)",
        "site=plant-2",
        "site!=plant-2",
        "has(line)",
        "line=3",
        "type in (generic,motor)",
        "Zone=a,site!=plant-1",
    };
    struct bench b;
    bench_open(&b);
    sql(&b, types_and_devices);
    char document[256];
    char name[8];
    for (size_t i = 0; i < sizeof(selectors) / sizeof(selectors[0]); i++) {
        (void)snprintf(name, sizeof(name), "r%zu", i);
        (void)snprintf(document, sizeof(document),
                       "{\"name\":\"%s\",\"select\":\"%s\",\"when\":\"rpm > 1\"}", name,
                       selectors[i]);
        put_rule(&b, name, document);
    }
    cr_assert_eq(catalog_load(b.catalog, b.db), ERR_OK);
    expect_rules(&b, "m-1", "r0:1 r1:1 r2:1 r3:1 r4:1 r5:1 r7:1 r8:1 r9:1 r10:1 ");
    expect_rules(&b, "gw-1", "r0:1 r3:1 r7:1 r10:1 ");

    sql(&b,
        "UPDATE rules SET version = 2, definition = definition || '{\"select\":\"type=generic\"}' "
        "WHERE name IN ('r0', 'r1', 'r3')");
    sql(&b, "UPDATE rules SET deleted_at = now() WHERE name IN ('r2', 'r10')");
    for (const char *const *changed = (const char *const[]){"r0", "r1", "r3", "r2", "r10", NULL};
         *changed != NULL; changed++) {
        cr_assert_eq(catalog_refresh_rule(b.catalog, b.db, *changed), ERR_OK);
    }
    expect_rules(&b, "m-1", "r4:1 r5:1 r7:1 r8:1 r9:1 ");
    expect_rules(&b, "gw-1", "r0:2 r1:2 r3:2 r7:1 ");

    sql(&b, "UPDATE devices SET labels = '{\"site\":\"plant-2\",\"type\":\"generic\",\"\":\"\"}' "
            "WHERE name = 'm-1'");
    cr_assert_eq(catalog_refresh_device(b.catalog, b.db, "m-1"), ERR_OK);
    expect_rules(&b, "m-1", "r5:1 r6:1 ");
    bench_close(&b);
}

Test(catalog, a_changed_geofence_is_told_as_the_rules_that_name_it)
{
    struct bench b;
    bench_open(&b);
    sql(&b, "INSERT INTO geofences (name, definition) VALUES ('yard', '{\"name\":\"yard\",\"kind\":"
            "\"circle\",\"center\":[1,2],\"radius_m\":30}'), ('odd', '{\"name\":\"odd\"}')");
    put_rule(&b, "r0", "{\"name\":\"r0\",\"when\":\"inside(\\\"yard\\\")\"}");
    put_rule(&b, "r1", "{\"name\":\"r1\",\"when\":\"rpm > 1\"}");
    put_rule(&b, "r2", "{\"name\":\"r2\",\"when\":\"inside(\\\"odd\\\")\"}");
    sql(&b, "INSERT INTO rule_geofences SELECT r.id, g.id FROM rules r, geofences g"
            " WHERE r.name = 'r0' AND g.name = 'yard'");
    cr_assert_eq(catalog_load(b.catalog, b.db), ERR_OK);
    struct rule *before = catalog_rule_by_id(b.catalog, 1);
    struct rule *other = catalog_rule_by_id(b.catalog, 2);
    cr_assert(before != NULL && other != NULL);
    cr_expect_null(catalog_rule_by_id(b.catalog, 3), "its fence is none");

    sql(&b, "UPDATE geofences SET definition = definition || '{\"radius_m\":40}'");
    cr_assert_eq(catalog_refresh_geofence(b.catalog, b.db, "yard"), ERR_OK);
    struct rule *after = catalog_rule_by_id(b.catalog, 1);
    struct rule *same = catalog_rule_by_id(b.catalog, 2);
    cr_expect_neq(after, before);
    cr_expect_eq(same, other);
    cr_expect_eq(b.told.count, 1);
    cr_expect(was_told(&b.told, CATALOG_RULE, 1));
    struct geo_point p = {.longitude = 1, .latitude = 2 + 35 / 111195.0};
    cr_expect_not(fence_inside(rule_fence(before, 0), p, false));
    cr_expect(fence_inside(rule_fence(after, 0), p, false));

    /* Another fence, and reading all rules again, change nothing. */
    b.told.count = 0;
    cr_assert_eq(catalog_refresh_geofence(b.catalog, b.db, "odd"), ERR_OK);
    cr_assert_eq(catalog_refresh_type(b.catalog, b.db, "generic"), ERR_OK);
    cr_expect_not(was_told(&b.told, CATALOG_RULE, 1));
    rule_drop(before);
    rule_drop(other);
    rule_drop(after);
    rule_drop(same);
    bench_close(&b);
}

Test(catalog, a_hundred_thousand_devices_are_loaded_within_three_seconds, .timeout = 60)
{
    struct bench b;
    bench_open(&b);
    sql(&b, types_and_devices);
    sql(&b, "INSERT INTO devices (name, type_id, labels, attributes) SELECT 'd-' || g, 2,"
            " jsonb_build_object('site', 'plant-' || g % 10, 'line', g % 7), "
            "jsonb_build_object('limit', g)"
            " FROM generate_series(1, 100000) g");
    int64_t begin = clock_mono_us();
    cr_assert_eq(catalog_load(b.catalog, b.db), ERR_OK);
    int64_t took = clock_mono_us() - begin;
    printf("catalog: 100000 devices in %lld ms\n", (long long)(took / 1000));
    cr_expect_eq(catalog_device_count(b.catalog), 100002);
    struct device *d = catalog_device(b.catalog, VIEW("d-100000"));
    cr_assert_not_null(d);
    cr_expect_str_eq(device_label(d, VIEW("site")), "plant-0");
    cr_expect_eq(device_attribute(d, VIEW("limit"))->number, 100000);
    device_drop(d);
    cr_expect_lt(took, 3 * CLOCK_SECOND_US);
    begin = clock_mono_us();
    cr_assert_eq(catalog_refresh_devices(b.catalog, b.db), ERR_OK);
    printf("catalog: refresh of all in %lld ms\n", (long long)((clock_mono_us() - begin) / 1000));
    cr_expect_eq(b.told.count, 0);
    bench_close(&b);
}
