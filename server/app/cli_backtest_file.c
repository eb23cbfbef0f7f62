/*
 * Rules over recorded files: the rows become samples as they would live (the plan of `fleet replay`
 * makes the payloads, `payload` decodes them), sorted by time; each device goes through the rules'
 * engine on its own. The order of a file is that of arrival: a row that is older than the newest by
 * more than the lateness is left out, as it would be live.
 *
 * What only a server knows is given or left out: every device in the file is selected, its type
 * comes from --types, its attributes from --attribute.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli_backtest.h"
#include "app/cli_documents.h"
#include "backtest/backtest.h"
#include "base/clock.h"
#include "fleet/plan.h"
#include "payload/telemetry.h"

enum { METRICS_MAX = 1000000, REPORT_MAX = 256 << 20, ARENA_MAX = 64 << 20 };

struct bench {
    const struct cli_call *call;
    struct intern *metrics;
    json_t *types; /* documents */
    struct device_type *type;
    struct fleet_plan plan;
    struct backtest_setup setup;
    struct arena arena;
    uint64_t late; /* rows that no rule would have seen */
};

/* ---- device type and attributes ---------------------------------------------------------------
 */

static double number_of(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

static int by_metric(const void *a, const void *b)
{
    const struct metric_spec *x = a;
    const struct metric_spec *y = b;
    return (x->metric > y->metric) - (x->metric < y->metric);
}

static bool read_missing(const json_t *list, struct metric_spec *m)
{
    m->missing = calloc(json_array_size(list) + 1, sizeof(*m->missing));
    for (size_t i = 0; m->missing != NULL && i < json_array_size(list); i++) {
        m->missing[m->missing_count++] = json_number_value(json_array_get(list, i));
    }
    return m->missing != NULL;
}

static struct device_type *make_type(struct bench *b, json_t *document, const char *name)
{
    json_t *metrics = json_object_get(document, "metrics");
    struct device_type *t = device_type_new();
    const char *key = NULL;
    json_t *spec = NULL;
    if (t == NULL) {
        return NULL;
    }
    t->any_metric = true;
    t->name = strdup(name);
    t->metrics = calloc(json_object_size(metrics) + 1, sizeof(*t->metrics));
    bool good = t->name != NULL && t->metrics != NULL;
    json_object_foreach(metrics, key, spec)
    {
        const char *unit = json_string_value(json_object_get(spec, "unit"));
        struct metric_spec *m = good ? &t->metrics[t->metric_count] : NULL;
        if (m == NULL) {
            break;
        }
        *m = (struct metric_spec){.metric = intern_add(b->metrics, view_str(key)),
                                  .name = strdup(key),
                                  .unit = strdup(unit == NULL ? "" : unit)};
        t->metric_count++;
        double first = number_of(spec, "baseline_samples");
        m->baseline_samples = first >= 1 ? (int64_t)first : 0;
        good =
            m->name != NULL && m->unit != NULL && read_missing(json_object_get(spec, "missing"), m);
    }
    if (!good) {
        device_type_drop(t);
        return NULL;
    }
    qsort(t->metrics, t->metric_count, sizeof(*t->metrics), by_metric);
    return t;
}

/* The compiler asks for the type that the rule pins; the devices get it. */
static const struct device_type *find_type(void *arg, struct view name)
{
    struct bench *b = arg;
    size_t i = 0;
    json_t *document = NULL;
    json_array_foreach(b->types, i, document)
    {
        const char *has = json_string_value(json_object_get(document, "name"));
        if (has != NULL && view_eq_str(name, has)) {
            device_type_drop(b->type);
            b->type = make_type(b, document, has);
            return b->type;
        }
    }
    return NULL;
}

static bool add_attribute(struct device *d, const char *text)
{
    const char *equals = strchr(text, '=');
    struct device_pair *p = &d->attributes[d->attribute_count];
    char *end = NULL;
    if (equals == NULL || equals == text) {
        return false;
    }
    p->key = strndup(text, (size_t)(equals - text));
    p->text = strdup(equals + 1);
    p->number = strtod(equals + 1, &end);
    if (end == equals + 1 || *end != '\0') {
        p->number = (double)NAN;
    }
    d->attribute_count++;
    return p->key != NULL && p->text != NULL;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct device_pair *)a)->key, ((const struct device_pair *)b)->key);
}

static struct device *make_device(struct bench *b, const char *name)
{
    struct device *d = device_new();
    const char *text = NULL;
    int at = 0;
    if (d == NULL) {
        return NULL;
    }
    device_type_hold(b->type);
    d->type = b->type;
    d->name = strdup(name);
    d->enabled = true;
    d->attributes = calloc(CLI_VALUES_MAX, sizeof(*d->attributes));
    bool good = d->name != NULL && d->attributes != NULL;
    while (good && (text = cli_next_value(b->call, "attribute", &at)) != NULL) {
        good = add_attribute(d, text);
    }
    if (!good) {
        (void)cli_fail(b->call, CLI_USAGE, "--attribute takes KEY=VALUE");
        device_drop(d);
        return NULL;
    }
    qsort(d->attributes, d->attribute_count, sizeof(*d->attributes), by_key);
    return d;
}

/* ---- one rule ---------------------------------------------------------------------------------
 */

/* Whatever its mode, it is tested as if it were active. */
static struct rule *compile(struct bench *b, json_t *document)
{
    struct rule_env env = {.metrics = b->metrics,
                           .find_type = b->types == NULL ? NULL : find_type,
                           .arg = b,
                           .lateness_us = 2 * CLOCK_MINUTE_US};
    struct rule_error why = {0};
    struct rule *rule = NULL;
    json_t *active = json_copy(document);
    (void)json_object_set_new(active, "mode", json_string("active"));
    char *text = json_dumps(active, JSON_COMPACT);
    json_decref(active);
    if (text == NULL) {
        (void)cli_fail(b->call, CLI_FAILED, "out of memory");
        return NULL;
    }
    if (rule_compile(view_str(text), &env, &rule, &why) != ERR_OK) {
        const char *name = json_string_value(json_object_get(document, "name"));
        char place[80] = "";
        if (why.line > 0) {
            (void)snprintf(place, sizeof(place), " line %d, column %d:", why.line, why.column);
        }
        (void)cli_fail(b->call, CLI_FAILED, "rule %s: %s:%s %s", name == NULL ? "?" : name,
                       why.pointer[0] == '\0' ? "/" : why.pointer, place, why.detail);
        rule = NULL;
    }
    free(text);
    return rule;
}

/* A message's place in its device's history. */
struct place {
    int64_t ts_us;
    int32_t message; /* in order of arrival */
};

static int by_time(const void *a, const void *b)
{
    const struct place *x = a;
    const struct place *y = b;
    if (x->ts_us != y->ts_us) {
        return x->ts_us < y->ts_us ? -1 : 1;
    }
    return (x->message > y->message) - (x->message < y->message);
}

/* The messages of one device in order of time, without those that come too late in the file for
 * rules to see them. The caller frees; NULL: no memory. */
static struct place *arrange(struct bench *b, uint32_t index, const struct rule *rule,
                             uint32_t *ret_count)
{
    const struct fleet_plan_device *d = &b->plan.devices[index];
    struct place *places = calloc((size_t)d->messages + 1, sizeof(*places));
    int64_t watermark_us = 0;
    uint32_t n = 0;
    for (int32_t at = d->first; at != FLEET_PLAN_NONE && places != NULL && n < d->messages;
         at = b->plan.messages[at].next) {
        int64_t ts_us = b->plan.messages[at].ts_us;
        if (ts_us < watermark_us - rule_lateness_us(rule)) {
            b->late++;
            continue;
        }
        watermark_us = ts_us > watermark_us ? ts_us : watermark_us;
        places[n++] = (struct place){.ts_us = ts_us, .message = at};
    }
    if (n > 0) {
        qsort(places, n, sizeof(*places), by_time);
    }
    *ret_count = n;
    return places;
}

static enum err run_messages(struct bench *b, struct backtest_device *device, uint32_t index)
{
    struct payload_hint hint = {0};
    const struct payload_ctx ctx = {.arena = &b->arena,
                                    .metrics = b->metrics,
                                    .limits = &payload_limits_default,
                                    .hint = &hint};
    uint32_t count = 0;
    struct place *places = arrange(b, index, b->setup.candidate, &count);
    enum err e = places == NULL ? ERR_NOMEM : ERR_OK;
    for (uint32_t i = 0; i < count && e == ERR_OK; i++) {
        const struct fleet_message *message = &b->plan.messages[places[i].message];
        struct payload_samples samples;
        struct payload_error why;
        arena_reset(&b->arena);
        e = payload_telemetry(&ctx, fleet_plan_payload(&b->plan, message), &samples, &why);
        for (const struct sample *s = e == ERR_OK ? samples.first : NULL; s != NULL && e == ERR_OK;
             s = s->next) {
            e = backtest_sample(device, s, CLOCK_NONE);
        }
    }
    free(places);
    return e;
}

static enum err run_device(struct bench *b, struct backtest *test, uint32_t index)
{
    struct backtest_device *opened = NULL;
    struct device *d = make_device(b, b->plan.devices[index].name);
    enum err e = d == NULL ? ERR_NOMEM : backtest_open(test, d, CLOCK_NONE, &opened);
    device_drop(d);
    e = e == ERR_OK ? run_messages(b, opened, index) : e;
    return e == ERR_OK ? backtest_close(opened) : e;
}

static enum err run_devices(struct bench *b, struct backtest *test)
{
    enum err e = ERR_OK;
    for (uint32_t i = 0; i < b->plan.device_count && e == ERR_OK; i++) {
        e = run_device(b, test, i);
    }
    return e;
}

static json_t *report_of(struct backtest *test, const struct rule *rule, int64_t took_us)
{
    struct buf text;
    buf_init(&text, REPORT_MAX);
    struct emit_json j = emit_json_init(&text);
    emit_json_open(&j, '{');
    emit_json_key(&j, "rule");
    emit_json_str(&j, rule_name(rule));
    backtest_report(test, &j);
    emit_json_key(&j, "milliseconds");
    emit_json_int(&j, took_us / CLOCK_MS_US);
    emit_json_close(&j, '}');
    json_t *report =
        buf_err(&text) == ERR_OK ? json_loadb((const char *)text.data, text.len, 0, NULL) : NULL;
    buf_fini(&text);
    return report;
}

/* `against` may be NULL. */
static int run_rule(struct bench *b, json_t *document, json_t *against, json_t *ret_reports)
{
    int64_t start_us = clock_mono_us();
    device_type_drop(b->type);
    json_t *nothing = json_object();
    b->type = make_type(b, nothing, "generic");
    json_decref(nothing);
    struct rule *other = against == NULL ? NULL : compile(b, against);
    struct rule *rule = against != NULL && other == NULL ? NULL : compile(b, document);
    json_t *report = NULL;
    enum err e = ERR_NOMEM;
    if (rule != NULL && b->type != NULL) {
        b->setup.candidate = rule;
        b->setup.against = other;
        b->setup.against_words = other == NULL ? NULL : cli_value(b->call, "against");
        struct backtest *test = backtest_new(&b->setup);
        b->late = 0;
        e = test == NULL ? ERR_NOMEM : run_devices(b, test);
        report = e == ERR_OK ? report_of(test, rule, clock_mono_us() - start_us) : NULL;
        backtest_free(test);
        if (report == NULL) {
            (void)cli_fail(b->call, CLI_FAILED, "rule %s: %s", rule_name(rule),
                           err_words(e == ERR_OK ? ERR_LIMIT : e));
        }
    }
    if (rule != NULL) {
        rule_drop(rule);
    }
    if (other != NULL) {
        rule_drop(other);
    }
    if (report == NULL) {
        return CLI_FAILED;
    }
    if (b->late > 0 && !b->call->json) {
        cli_note("%llu rows come too late in their file for the rule (lateness)",
                 (unsigned long long)b->late);
    }
    (void)json_array_append_new(ret_reports, report);
    return CLI_OK;
}

/* ---- the files --------------------------------------------------------------------------------
 */

/* RFC 3339, or NULL for an open end. */
static bool read_time(const struct cli_call *c, const char *option, int64_t *ret_us)
{
    const char *text = cli_value(c, option);
    *ret_us = CLOCK_NONE;
    if (text != NULL && clock_parse(view_str(text), ret_us) != ERR_OK) {
        (void)cli_fail(c, CLI_USAGE, "--%s takes a time like 2020-03-09T10:00:00Z, not `%s`",
                       option, text);
        return false;
    }
    return true;
}

static bool read_setup(struct bench *b)
{
    const char *flap = cli_value(b->call, "flap-window");
    int64_t lines = 0;
    b->setup.items_max = 1000000;
    b->setup.flap_us = 10 * CLOCK_MINUTE_US;
    if (flap != NULL && clock_parse_duration(view_str(flap), &b->setup.flap_us) != ERR_OK) {
        (void)cli_fail(b->call, CLI_USAGE, "--flap-window takes a duration like 10m, not `%s`",
                       flap);
        return false;
    }
    return read_time(b->call, "from", &b->setup.from_us) &&
           read_time(b->call, "to", &b->setup.to_us) &&
           cli_number(b->call, "limit", 1, 1000000, 20, &lines);
}

static int read_data(struct bench *b)
{
    const char *file = NULL;
    const char *wide = cli_value(b->call, "wide");
    char why[400] = "";
    int at = 0;
    b->plan.wide_metric = wide;
    while ((file = cli_next_value(b->call, "data", &at)) != NULL) {
        if (fleet_plan_read(&b->plan, file, why, sizeof(why)) != ERR_OK) {
            return cli_fail(b->call, CLI_FAILED, "%s", why);
        }
    }
    return fleet_plan_arrange(&b->plan, 0, 0, 0) == ERR_OK
               ? CLI_OK
               : cli_fail(b->call, CLI_FAILED, "out of memory");
}

/* Of the rules in --against the one of that name; NULL: none. */
static json_t *find_against(json_t *others, json_t *document)
{
    size_t i = 0;
    json_t *one = NULL;
    json_array_foreach(others, i, one)
    {
        if (json_array_size(others) == 1 ||
            json_equal(json_object_get(one, "name"), json_object_get(document, "name"))) {
            return one;
        }
    }
    return NULL;
}

int cli_backtest_files(const struct cli_call *c, json_t *rules, json_t *ret_reports)
{
    const char *types = cli_value(c, "types");
    const char *against = cli_value(c, "against");
    struct bench b = {.call = c, .metrics = intern_new(METRICS_MAX)};
    json_t *others = NULL;
    size_t i = 0;
    json_t *document = NULL;
    int code = b.metrics == NULL ? CLI_FAILED : read_setup(&b) ? CLI_OK : CLI_USAGE;
    arena_init(&b.arena, ARENA_MAX);
    fleet_plan_init(&b.plan);
    if (code == CLI_OK && types != NULL) {
        b.types = cli_documents_read(c, types);
        code = b.types == NULL ? CLI_FAILED : CLI_OK;
    }
    if (code == CLI_OK && against != NULL) {
        others = cli_documents_read(c, against);
        code = others == NULL ? CLI_FAILED : CLI_OK;
    }
    code = code == CLI_OK ? read_data(&b) : code;
    bool ready = code == CLI_OK;
    json_array_foreach(rules, i, document)
    {
        if (ready &&
            run_rule(&b, document, find_against(others, document), ret_reports) != CLI_OK) {
            code = CLI_FAILED;
        }
    }
    device_type_drop(b.type);
    json_decref(b.types);
    json_decref(others);
    fleet_plan_fini(&b.plan);
    arena_fini(&b.arena);
    intern_free(b.metrics);
    return code;
}
