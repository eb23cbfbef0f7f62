/*
 * catalog: devices, one type and the rules of a run, behind catalog/catalog.h. The rules are
 * compiled anew in each life of the server, from the same documents.
 */
#include "catalog/catalog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "devices.h"
#include "pg.h"

struct catalog {
    struct intern *metrics;
    struct device_type *type;
    struct device *devices[SIM_DEVICES_MAX + 1]; /* by id */
    int device_count;
    struct engine_rule rules[SIM_RULES_MAX];
    uint32_t rule_count;
};

static const char *const metric_names[SIM_METRICS] = {"temperature", "pressure", "flow",
                                                      "door",        "n",        "mode"};

const char *sim_metric_name(int at)
{
    return metric_names[at];
}

/* ---- the rules of a run ---- */

struct rule_text {
    char *at, *end;
};

__attribute__((format(printf, 2, 3))) static void rule_write(struct sim *s, const char *format, ...)
{
    char text[600];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    s->rule_versions[s->rule_count] = 1;
    s->rules[s->rule_count++] = world_text(text, (size_t)len);
}

static const char *optional_gap(void)
{
    static const char *const gaps[] = {"", ",\"max_gap\":\"20s\"", ",\"max_gap\":\"60s\""};
    return gaps[sim_random(3)];
}

void rules_choose(struct sim *s)
{
    s->rule_count = 0;
    rule_write(s,
               "{\"name\":\"hot\",\"select\":\"type=motor\",\"when\":\"temperature > %d\","
               "\"for\":\"%ds\",\"clear\":\"temperature < %d\",\"severity\":\"critical\","
               "\"summary\":\"{{device}} at {{temperature}}\"%s,\"actions\":[{\"command\":"
               "{\"to\":\"self\",\"method\":\"cool\",\"params\":{\"level\":%d},"
               "\"expires_in\":\"%ds\"}},{\"work_order\":{\"title\":\"Look at it\"}}]}",
               (int)sim_between(70, 85), (int)sim_random(8), (int)sim_between(60, 70),
               optional_gap(), (int)sim_random(5), (int)sim_between(5, 90));
    rule_write(s,
               "{\"name\":\"mean\",\"when\":\"avg_over_time(pressure[%ds]) > %d\","
               "\"clear_for\":\"%ds\",\"actions\":[{\"notify\":\"ops\"}]}",
               (int)sim_between(3, 40), (int)sim_between(45, 60), (int)sim_random(6));
    rule_write(s,
               "{\"name\":\"weak\",\"when\":\"flow < 0.%d * baseline(flow)\",\"for\":\"%ds\"%s,"
               "\"actions\":[{\"work_order\":{\"title\":\"Clean the filter\"}}]}",
               (int)sim_between(5, 9), (int)sim_random(5), optional_gap());
    if (sim_chance(600)) {
        rule_write(s,
                   "{\"name\":\"open\",\"when\":\"door == 1 and temperature > %d\",\"for\":\"%ds\""
                   "%s,\"actions\":[{\"command\":{\"to\":\"d1\",\"method\":\"bell\"}}]}",
                   (int)sim_between(30, 70), (int)sim_between(1, 6), optional_gap());
    }
    if (sim_chance(600)) {
        rule_write(s,
                   "{\"name\":\"span\",\"when\":\"max_over_time(temperature[%ds]) - "
                   "min_over_time(temperature[%ds]) > %d\",\"clear_for\":\"%ds\"}",
                   (int)sim_between(5, 30), (int)sim_between(5, 30), (int)sim_between(8, 30),
                   (int)sim_random(4));
    }
    if (sim_chance(500)) {
        rule_write(s,
                   "{\"name\":\"busy\",\"select\":\"name=d2\",\"when\":"
                   "\"count_over_time(flow[%ds]) > %d and last_over_time(pressure[9s]) > %d\"}",
                   (int)sim_between(5, 20), (int)sim_between(2, 8), (int)sim_between(30, 50));
    }
}

/* ---- what the server loads when it starts ---- */

static struct metric_spec spec(struct intern *metrics, const char *name, int64_t baseline)
{
    return (struct metric_spec){.metric = intern_add(metrics, view_str(name)),
                                .name = strdup(name),
                                .unit = strdup(""),
                                .baseline_samples = baseline};
}

static int spec_order(const void *a, const void *b)
{
    const struct metric_spec *x = a;
    const struct metric_spec *y = b;
    return x->metric - y->metric;
}

static struct device_type *make_type(struct intern *metrics)
{
    struct device_type *t = device_type_new();
    t->id = 1;
    t->name = strdup("motor");
    t->any_metric = true;
    t->metrics = calloc(3, sizeof(*t->metrics));
    t->metrics[0] = spec(metrics, "flow", 5);
    t->metrics[1] = spec(metrics, "temperature", 5);
    t->metrics[1].has_max = true;
    t->metrics[1].max = DEVICE_TEMPERATURE_MAX;
    t->metrics[2] = spec(metrics, "pressure", 3);
    t->metric_count = 3;
    qsort(t->metrics, 3, sizeof(*t->metrics), spec_order);
    return t;
}

static struct device *make_device(struct device_type *type, int32_t id)
{
    struct device *d = device_new();
    char name[16];
    (void)snprintf(name, sizeof(name), "d%d", id);
    d->id = id;
    d->name = strdup(name);
    device_type_hold(type);
    d->type = type;
    d->enabled = true;
    return d;
}

static const struct device_type *find_type(void *arg, struct view name)
{
    struct catalog *c = arg;
    return view_eq_str(name, c->type->name) ? c->type : NULL;
}

static struct engine_rule compile(struct catalog *c, const struct conf *conf, int at)
{
    const struct sim *s = sim_get();
    struct rule_env env = {
        .metrics = c->metrics, .find_type = find_type, .arg = c, .lateness_us = conf->lateness_us};
    struct rule *rule = NULL;
    struct rule_error why = {.line = 0};
    if (rule_compile(view_str(s->rules[at]), &env, &rule, &why) != ERR_OK) {
        sim_violation("rules", "%s: %s %s", s->rules[at], why.pointer, why.detail);
    }
    return (struct engine_rule){.rule_id = at + 1, .version = s->rule_versions[at], rule};
}

/* The first number of two digits behind a comparison becomes another one. */
static void change_threshold(char *text)
{
    for (char *at = text; *at != '\0'; at++) {
        if ((*at == '>' || *at == '<') && at[1] == ' ' && at[2] >= '1' && at[2] <= '9' &&
            at[3] >= '0' && at[3] <= '9') {
            at[2] = (char)('1' + sim_random(8));
            return;
        }
    }
}

void rule_edit(struct sim *s, int at)
{
    change_threshold(s->rules[at]);
    s->rule_versions[at]++;
    sim_log("rule %d, version %d: %s", at + 1, s->rule_versions[at], s->rules[at]);
    if (s->life != 0) {
        struct catalog *c = s->server.catalog;
        rule_drop(c->rules[at].rule);
        c->rules[at] = compile(c, &s->conf, at);
    }
}

struct catalog *catalog_boot(const struct conf *conf, struct intern *metrics)
{
    const struct sim *s = sim_get();
    struct catalog *c = calloc(1, sizeof(*c));
    c->metrics = metrics;
    for (uint32_t i = 0; i < s->pg->metrics.count; i++) {
        const char *name = s->pg->metrics.items[i];
        CHECK(name == NULL || intern_restore(metrics, (int32_t)i + 1, view_str(name)) == ERR_OK);
    }
    c->type = make_type(metrics);
    c->device_count = s->device_count;
    for (int32_t id = 1; id <= c->device_count; id++) {
        c->devices[id] = make_device(c->type, id);
    }
    for (int i = 0; i < s->rule_count; i++) {
        c->rules[c->rule_count++] = compile(c, conf, i);
    }
    return c;
}

void catalog_free(struct catalog *c)
{
    for (uint32_t i = 0; i < c->rule_count; i++) {
        rule_drop(c->rules[i].rule);
    }
    for (int i = 1; i <= c->device_count; i++) {
        device_drop(c->devices[i]);
    }
    device_type_drop(c->type);
    free(c);
}

/* ---- the contract ---- */

struct intern *catalog_metrics(struct catalog *c)
{
    return c->metrics;
}

struct device *catalog_device_by_id(struct catalog *c, int32_t id)
{
    if (id < 1 || id > c->device_count) {
        return NULL;
    }
    device_hold(c->devices[id]);
    return c->devices[id];
}

struct device *catalog_device(struct catalog *c, struct view name)
{
    for (int32_t id = 1; id <= c->device_count; id++) {
        if (view_eq_str(name, c->devices[id]->name)) {
            return catalog_device_by_id(c, id);
        }
    }
    return NULL;
}

enum err catalog_rules_for(struct catalog *c, const struct device *d,
                           struct engine_rule **ret_rules, uint32_t *ret_count)
{
    struct engine_rule *found = calloc(SIM_RULES_MAX, sizeof(*found));
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->rule_count; i++) {
        if (rule_selects(c->rules[i].rule, d)) {
            rule_hold(c->rules[i].rule);
            found[count++] = c->rules[i];
        }
    }
    *ret_rules = found;
    *ret_count = count;
    return ERR_OK;
}

struct rule *catalog_rule_by_id(struct catalog *c, int32_t id)
{
    if (id < 1 || (uint32_t)id > c->rule_count) {
        return NULL;
    }
    rule_hold(c->rules[id - 1].rule);
    return c->rules[id - 1].rule;
}

void catalog_visit_devices(struct catalog *c, catalog_visit_fn visit, void *arg)
{
    for (int32_t id = 1; id <= c->device_count && visit(arg, c->devices[id]); id++) {
    }
}

enum err catalog_refresh_device(struct catalog *c, struct db *db, const char *name)
{
    (void)c;
    (void)db;
    (void)name;
    return ERR_OK;
}
