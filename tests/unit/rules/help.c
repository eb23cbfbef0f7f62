#include "help.h"

#include <string.h>

#include "base/check.h"

static struct metric_spec spec(struct intern *metrics, const char *name, const char *unit,
                               int64_t baseline)
{
    return (struct metric_spec){.metric = intern_add(metrics, view_str(name)),
                                .name = strdup(name),
                                .unit = strdup(unit),
                                .baseline_samples = baseline};
}

struct device_type *help_motor(struct intern *metrics)
{
    struct device_type *t = device_type_new();
    t->name = strdup("motor");
    t->metrics = calloc(4, sizeof(*t->metrics));
    t->metric_count = 4;
    t->metrics[0] = spec(metrics, "temperature", "degC", 3);
    t->metrics[1] = spec(metrics, "rpm", "1/min", 3);
    t->metrics[2] = spec(metrics, "vibration", "", 0);
    t->metrics[3] = spec(metrics, "heading", "", 0);
    t->metrics[3].missing = calloc(1, sizeof(double));
    t->metrics[3].missing[0] = 511;
    t->metrics[3].missing_count = 1;
    return t;
}

static const struct device_type *find_type(void *arg, struct view name)
{
    struct help_env *h = arg;
    return view_eq_str(name, h->type->name) ? h->type : NULL;
}

void help_env_init(struct help_env *h)
{
    h->metrics = intern_new(4096);
    h->type = help_motor(h->metrics);
    h->env = (struct rule_env){
        .metrics = h->metrics, .find_type = find_type, .arg = h, .lateness_us = 2 * MIN};
}

void help_env_fini(struct help_env *h)
{
    device_type_drop(h->type);
    intern_free(h->metrics);
}

enum err help_compile(struct help_env *h, const char *document, struct rule **ret_rule,
                      struct rule_error *ret_error)
{
    char *json = strdup(document); /* exact size, so that ASan sees one byte too far */
    size_t len = strlen(json);
    for (size_t i = 0; i < len; i++) {
        json[i] = json[i] == '\'' ? '"' : json[i];
    }
    enum err e = rule_compile(view_of(json, len), &h->env, ret_rule, ret_error);
    free(json);
    return e;
}

struct rule *help_rule(struct help_env *h, const char *document)
{
    struct rule *r = NULL;
    struct rule_error error;
    if (help_compile(h, document, &r, &error) != ERR_OK) {
        (void)fprintf(stderr, "%s: %s %d:%d %s\n", document, error.pointer, error.line,
                      error.column, error.detail);
        abort();
    }
    return r;
}

struct rule *help_when(struct help_env *h, const char *when)
{
    char document[8192];
    (void)snprintf(document, sizeof(document), "{'name':'r','when':'%s'}", when);
    return help_rule(h, document);
}

int32_t help_metric(struct help_env *h, const char *name)
{
    return intern_add(h->metrics, view_str(name));
}

struct device *help_device(struct device_type *type, const char *name)
{
    struct device *d = device_new();
    d->id = 1;
    d->name = strdup(name);
    if (type != NULL) {
        device_type_hold(type);
        d->type = type;
    } else {
        d->type = device_type_new();
        d->type->name = strdup("generic");
        d->type->any_metric = true;
    }
    d->labels = calloc(8, sizeof(*d->labels));
    d->attributes = calloc(8, sizeof(*d->attributes));
    return d;
}

void help_attribute(struct device *d, const char *key, const char *text, double number)
{
    CHECK(d->attribute_count < 8);
    d->attributes[d->attribute_count++] =
        (struct device_pair){.key = strdup(key), .text = strdup(text), .number = number};
}

void help_label(struct device *d, const char *key, const char *text)
{
    CHECK(d->label_count < 8);
    d->labels[d->label_count++] =
        (struct device_pair){.key = strdup(key), .text = strdup(text), .number = (double)NAN};
}

struct help_run *help_run_new(struct engine *e)
{
    CHECK(e != NULL);
    struct help_run *r = calloc(1, sizeof(*r));
    r->engine = e;
    r->next_id = 1;
    arena_init(&r->arena, 16 << 20);
    r->out = (struct engine_out){.arena = &r->arena, .next_alert_id = &r->next_id};
    return r;
}

void help_run_free(struct help_run *r)
{
    arena_fini(&r->arena);
    engine_free(r->engine);
    free(r);
}

static struct help_alert *find_alert(struct help_run *r, int64_t id)
{
    for (uint32_t i = 0; i < r->count; i++) {
        if (r->alerts[i].id == id) {
            return &r->alerts[i];
        }
    }
    return NULL;
}

static void take_event(struct help_run *r, const struct engine_event *ev)
{
    static const char *const words[] = {"pending",   "reset",     "fired",   "resolved",
                                        "corrected", "retracted", "severity"};
    size_t used = strlen(r->log);
    (void)snprintf(r->log + used, sizeof(r->log) - used, "%s%s", used > 0 ? " " : "",
                   words[ev->kind]);
    if (ev->kind == ENGINE_PENDING || ev->kind == ENGINE_PENDING_RESET) {
        return;
    }
    struct help_alert *a = find_alert(r, ev->alert_id);
    if (ev->kind == ENGINE_FIRED) {
        CHECK(a == NULL && r->count < 4096);
        a = &r->alerts[r->count++];
    }
    CHECK(a != NULL);
    *a = (struct help_alert){.id = ev->alert_id,
                             .rule_id = ev->rule_id,
                             .since_us = ev->since_us,
                             .fired_us = ev->fired_at_us,
                             .resolved_us = ev->resolved_at_us,
                             .severity_us = ev->severity_at_us,
                             .severity = ev->severity,
                             .worst = ev->worst,
                             .value = ev->value,
                             .retracted = ev->kind == ENGINE_RETRACTED};
    r->corrected += ev->kind == ENGINE_CORRECTED;
    r->retracted += ev->kind == ENGINE_RETRACTED;
    if (ev->summary.len > 0) {
        (void)view_copy(ev->summary, r->summary, sizeof(r->summary));
    }
    if (ev->explain.len > 0) {
        (void)view_copy(ev->explain, r->explain, sizeof(r->explain));
    }
    /* At no point are two alerts of one rule open: the database would refuse it. */
    int open = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        const struct help_alert *o = &r->alerts[i];
        open += !o->retracted && o->resolved_us == CLOCK_NONE && o->rule_id == ev->rule_id;
    }
    CHECK(open <= 1);
}

void help_take(struct help_run *r)
{
    CHECK(r->out.err == ERR_OK);
    for (const struct engine_event *ev = r->out.first; ev != NULL; ev = ev->next) {
        take_event(r, ev);
    }
    r->out.first = NULL;
    r->out.last = NULL;
    arena_reset(&r->arena);
}

void help_advance(struct help_run *r, int64_t ts_us)
{
    engine_advance(r->engine, ts_us, &r->out);
    help_take(r);
}

enum engine_verdict help_feed_sample(struct help_run *r, struct sample *s)
{
    int32_t twice = 0;
    CHECK(sample_sort(s, &twice) == ERR_OK);
    enum engine_verdict v = engine_feed(r->engine, s, ++r->seq, &r->out);
    engine_run(r->engine, &r->out);
    help_take(r);
    return v;
}

enum engine_verdict help_feed(struct help_run *r, int64_t ts_us, int32_t metric, double v)
{
    struct sample_value value = {.metric = metric, .kind = VALUE_NUMBER, .number = v};
    struct sample s = {.ts_us = ts_us, .count = 1, .values = &value};
    return help_feed_sample(r, &s);
}

static int by_rule_and_time(const void *a, const void *b)
{
    const struct help_alert *x = a;
    const struct help_alert *y = b;
    if (x->rule_id != y->rule_id) {
        return x->rule_id < y->rule_id ? -1 : 1;
    }
    if (x->fired_us != y->fired_us) {
        return x->fired_us < y->fired_us ? -1 : 1;
    }
    if (x->resolved_us != y->resolved_us) { /* several at one instant: the open one is last */
        bool last = x->resolved_us == CLOCK_NONE ||
                    (y->resolved_us != CLOCK_NONE && x->resolved_us > y->resolved_us);
        return last ? 1 : -1;
    }
    return (x->value > y->value) - (x->value < y->value);
}

char *help_history(struct help_run *r)
{
    struct help_alert *list = calloc(r->count + 1, sizeof(*list));
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        if (!r->alerts[i].retracted) {
            list[n++] = r->alerts[i];
        }
    }
    qsort(list, n, sizeof(*list), by_rule_and_time);
    struct buf b;
    buf_init(&b, 1 << 20);
    for (uint32_t i = 0; i < n; i++) {
        const struct help_alert *a = &list[i];
        buf_printf(&b, "%d %lld %lld %lld %a", a->rule_id, (long long)a->since_us,
                   (long long)a->fired_us,
                   a->resolved_us == CLOCK_NONE ? -1LL : (long long)a->resolved_us, a->value);
        if (a->severity_us != a->fired_us) {
            buf_printf(&b, " %s %lld %s", severity_words(a->severity), (long long)a->severity_us,
                       severity_words(a->worst));
        }
        buf_put_str(&b, "\n");
    }
    free(list);
    return buf_take_str(&b);
}

/* xorshift64*, Vigna 2016. */
uint32_t help_random(struct help_random *r, uint32_t below)
{
    r->state ^= r->state >> 12;
    r->state ^= r->state << 25;
    r->state ^= r->state >> 27;
    return (uint32_t)((r->state * 0x2545F4914F6CDD1DULL) >> 33) % below;
}

static struct device_type *gauge(struct intern *metrics, double modulus)
{
    struct device_type *t = device_type_new();
    t->name = strdup("gauge");
    t->any_metric = true;
    t->metrics = calloc(1, sizeof(*t->metrics));
    t->metric_count = 1;
    t->metrics[0] = spec(metrics, "x", "", 3);
    t->metrics[0].modulus = modulus;
    return t;
}

/* The rule fires at the last sample alone, which also has a metric `probe`; its value is that of
 * the left side of the first comparison. */
static double value_of(struct help_env *h, struct device *d, const char *expr, bool condition,
                       const struct help_point *points, size_t count)
{
    char document[1024];
    (void)snprintf(document, sizeof(document), "{'name':'v','when':'(%s)%s and probe == 1'}", expr,
                   condition ? "" : " != 1e301");
    struct rule *r = NULL;
    struct rule_error error;
    if (help_compile(h, document, &r, &error) == ERR_TYPE && condition) {
        return value_of(h, d, expr, false, points, count);
    }
    if (r == NULL) {
        (void)fprintf(stderr, "%s: %s %d:%d %s\n", document, error.pointer, error.line,
                      error.column, error.detail);
        abort();
    }
    struct engine_rule one = {.rule_id = 1, .version = 1, .rule = r};
    struct help_run *run = help_run_new(engine_new(d, &one, 1, 0, CLOCK_NONE));
    for (size_t i = 0; i < count; i++) {
        struct sample_value values[2] = {
            {.metric = help_metric(h, "x"), .kind = VALUE_NUMBER, .number = points[i].v},
            {.metric = help_metric(h, "probe"), .kind = VALUE_NUMBER, .number = 1}};
        bool last = i + 1 == count;
        bool asked_only = isnan(points[i].v);
        struct sample s = {.ts_us = (int64_t)llround(points[i].s * 1e6),
                           .count = (asked_only ? 0u : 1u) + (last ? 1u : 0u),
                           .values = asked_only ? values + 1 : values};
        (void)help_feed_sample(run, &s);
    }
    double value = run->count == 0 ? (double)NAN : run->alerts[0].value;
    if (condition) {
        value = run->count > 0 ? 1 : 0;
    }
    help_run_free(run);
    rule_drop(r);
    return value;
}

double help_value(const char *expr, double modulus, const struct help_point *points, size_t count)
{
    struct help_env h;
    help_env_init(&h);
    struct device_type *type = gauge(h.metrics, modulus);
    struct device *d = help_device(type, "d");
    device_type_drop(type);
    help_attribute(d, "limit", "80", 80);
    help_attribute(d, "mode", "auto", (double)NAN);
    double value = value_of(&h, d, expr, true, points, count);
    device_drop(d);
    help_env_fini(&h);
    return value;
}
