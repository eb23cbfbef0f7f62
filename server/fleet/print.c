/*
 * `fleet list|csv|types|rules`: what a server has to know before simulated or replayed devices can
 * connect.
 */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "fleet/commands.h"
#include "fleet/options.h"
#include "fleet/params.h"
#include "fleet/plan.h"
#include "fleet/scenario.h"
#include "fleet/token.h"

enum { OPT_REPLAY = FLEET_OPT_OWN, OPT_TYPE, OPT_PREFIX, OPT_WIDE };

static bool print_buf(struct buf *b)
{
    bool ok = buf_err(b) == ERR_OK && fwrite(b->data, 1, b->len, stdout) == b->len;
    buf_fini(b);
    return ok;
}

int fleet_list_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    (void)printf("%-10s %-8s %s\n", "SCENARIO", "DEVICES", "WHAT");
    for (uint32_t i = 0; fleet_scenario_at(i) != NULL; i++) {
        const struct fleet_scenario *s = fleet_scenario_at(i);
        (void)printf("%-10s %-8u %s\n", s->name, s->devices_default, s->words);
        (void)printf("%19s faults:", "");
        for (const char *const *f = s->faults; *f != NULL; f++) {
            (void)printf("%s %s", f == s->faults ? "" : ",", *f);
        }
        (void)printf("\n%19s commands:", "");
        for (const char *const *c = s->commands; *c != NULL; c++) {
            (void)printf("%s %s", c == s->commands ? "" : ",", *c);
        }
        (void)printf("\n");
    }
    return FLEET_DONE;
}

/* Calls `each` for the named scenarios, or for all when none is named. */
static int for_scenarios(int argc, char **argv, bool (*each)(const struct fleet_scenario *s))
{
    bool ok = true;
    for (uint32_t i = 0; argc <= 1 && fleet_scenario_at(i) != NULL; i++) {
        ok = each(fleet_scenario_at(i)) && ok;
    }
    for (int i = 1; i < argc; i++) {
        const struct fleet_scenario *s = fleet_scenario_find(argv[i]);
        if (s == NULL) {
            (void)fprintf(stderr, "%s: no such scenario; `signalbox fleet list` shows them\n",
                          argv[i]);
            return FLEET_USAGE;
        }
        ok = each(s) && ok;
    }
    return ok ? FLEET_DONE : FLEET_FAILED;
}

static bool print_rules(const struct fleet_scenario *s)
{
    for (const char *const *rule = s->rules; *rule != NULL; rule++) {
        (void)printf("%s\n", *rule);
    }
    return true;
}

int fleet_rules_main(int argc, char **argv)
{
    return for_scenarios(argc, argv, print_rules);
}

static void emit_metric(struct emit_json *j, const struct fleet_metric *m)
{
    emit_json_key(j, m->name);
    emit_json_open(j, '{');
    if (m->unit[0] != '\0') {
        emit_json_key(j, "unit");
        emit_json_str(j, m->unit);
    }
    emit_json_key(j, "min");
    emit_json_real(j, m->min);
    emit_json_key(j, "max");
    emit_json_real(j, m->max);
    if (m->baseline_samples > 0) {
        emit_json_key(j, "baseline_samples");
        emit_json_int(j, m->baseline_samples);
    }
    emit_json_close(j, '}');
}

static bool print_type(const struct fleet_scenario *s)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    struct emit_json j = emit_json_init(&out);
    emit_json_open(&j, '{');
    emit_json_key(&j, "name");
    emit_json_str(&j, s->type);
    emit_json_key(&j, "metrics");
    emit_json_open(&j, '{');
    for (uint32_t i = 0; i < s->metric_count; i++) {
        emit_metric(&j, &s->metrics[i]);
    }
    emit_json_close(&j, '}');
    emit_json_key(&j, "commands");
    emit_json_open(&j, '[');
    for (const char *const *c = s->commands; *c != NULL; c++) {
        emit_json_str(&j, *c);
    }
    emit_json_close(&j, ']');
    emit_json_key(&j, "auto_register");
    emit_json_bool(&j, false);
    emit_json_close(&j, '}');
    buf_put_str(&out, "\n");
    return print_buf(&out);
}

int fleet_types_main(int argc, char **argv)
{
    return for_scenarios(argc, argv, print_type);
}

enum { COLUMNS_MAX = 64, SCENARIOS_MAX = 16 };

struct csv {
    struct fleet_options options;
    const struct fleet_scenario *scenarios[SCENARIOS_MAX];
    uint32_t scenario_count;
    const char *columns[COLUMNS_MAX]; /* keys of all labels, then of all attributes */
    uint32_t label_columns, column_count;
    const char *type;
    bool replay;
    uint32_t devices; /* 0: the scenario's default */
};

/* Each key once, however many scenarios have it. */
static void add_columns(struct csv *c, uint32_t from, const char *const *keys)
{
    for (; *keys != NULL; keys++) {
        bool known = false;
        for (uint32_t i = from; i < c->column_count; i++) {
            known = known || strcmp(c->columns[i], *keys) == 0;
        }
        if (!known) {
            CHECK(c->column_count < COLUMNS_MAX);
            c->columns[c->column_count++] = *keys;
        }
    }
}

static void find_columns(struct csv *c)
{
    for (uint32_t i = 0; i < c->scenario_count; i++) {
        add_columns(c, 0, c->scenarios[i]->label_keys);
    }
    c->label_columns = c->column_count;
    for (uint32_t i = 0; i < c->scenario_count; i++) {
        add_columns(c, c->label_columns, c->scenarios[i]->attribute_keys);
    }
}

static bool print_header(const struct csv *c)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    buf_put_str(&out, "name,type,token");
    for (uint32_t i = 0; i < c->column_count; i++) {
        buf_printf(&out, ",%s.%s", i < c->label_columns ? "label" : "attr", c->columns[i]);
    }
    buf_put_str(&out, "\n");
    return print_buf(&out);
}

/* RFC 4180: a cell with a quote or comma is quoted, its quotes doubled. */
static void put_cell(struct buf *out, struct view text)
{
    bool plain = text.len == 0 || (memchr(text.data, ',', text.len) == NULL &&
                                   memchr(text.data, '"', text.len) == NULL &&
                                   memchr(text.data, '\n', text.len) == NULL);
    if (plain) {
        buf_put_view(out, text);
        return;
    }
    buf_put_u8(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '"') {
            buf_put_u8(out, '"');
        }
        buf_put_u8(out, text.data[i]);
    }
    buf_put_u8(out, '"');
}

struct device_line {
    const char *name;
    const char *type;
    char token[FLEET_TOKEN_SIZE];
    struct view labels; /* JSON objects */
    struct view attributes;
};

static void put_record(const struct csv *c, const struct device_line *d, struct buf *out)
{
    put_cell(out, view_str(d->name));
    buf_put_u8(out, ',');
    put_cell(out, view_str(d->type));
    buf_printf(out, ",%s", d->token);
    for (uint32_t i = 0; i < c->column_count; i++) {
        struct view value = VIEW("");
        buf_put_u8(out, ',');
        if (i < c->label_columns) {
            (void)fleet_params_text(d->labels, c->columns[i], &value);
        } else {
            (void)fleet_params_find(d->attributes, c->columns[i], &value);
        }
        put_cell(out, value);
    }
}

static void put_document(const struct device_line *d, struct buf *out)
{
    struct emit_json j = emit_json_init(out);
    emit_json_open(&j, '{');
    const char *const pairs[][2] = {{"name", d->name}, {"type", d->type}, {"token", d->token}};
    for (size_t i = 0; i < COUNT_OF(pairs); i++) {
        emit_json_key(&j, pairs[i][0]);
        emit_json_str(&j, pairs[i][1]);
    }
    emit_json_key(&j, "labels");
    emit_json_raw(&j, d->labels);
    emit_json_key(&j, "attributes");
    emit_json_raw(&j, d->attributes);
    emit_json_close(&j, '}');
}

static bool print_device(const struct csv *c, struct device_line *d)
{
    if (fleet_token(view_str(c->options.secret), view_str(d->name), d->token) != ERR_OK) {
        (void)fprintf(stderr, "--secret must not be empty\n");
        return false;
    }
    struct buf out;
    buf_init(&out, 1 << 16);
    if (c->options.json) {
        put_document(d, &out);
    } else {
        put_record(c, d, &out);
    }
    buf_put_str(&out, "\n");
    return print_buf(&out);
}

typedef void (*members_fn)(const struct fleet_sim *s, struct emit_json *j);

static void object_make(struct buf *out, const struct fleet_sim *s, members_fn members)
{
    buf_init(out, 4096);
    struct emit_json j = emit_json_init(out);
    emit_json_open(&j, '{');
    members(s, &j);
    emit_json_close(&j, '}');
}

static bool print_simulated(const struct csv *c, const struct fleet_scenario *scenario)
{
    uint32_t count = c->devices > 0 ? c->devices : scenario->devices_default;
    bool ok = true;
    for (uint32_t i = 0; ok && i < count; i++) {
        struct fleet_sim sim;
        char name[64];
        struct buf labels;
        struct buf attributes;
        fleet_sim_init(&sim, scenario, i, c->options.seed, 0, 0);
        fleet_sim_name(&sim, name, sizeof(name));
        object_make(&labels, &sim, scenario->labels);
        object_make(&attributes, &sim, scenario->attributes);
        struct device_line d = {.name = name,
                                .type = c->type != NULL ? c->type : scenario->type,
                                .labels = buf_view(&labels),
                                .attributes = buf_view(&attributes)};
        ok = buf_err(&labels) == ERR_OK && buf_err(&attributes) == ERR_OK && print_device(c, &d);
        buf_fini(&labels);
        buf_fini(&attributes);
    }
    return ok;
}

static bool print_recorded(const struct csv *c, struct fleet_plan *plan, int count, char **files)
{
    char why[400] = "";
    bool ok = true;
    for (int i = 0; ok && i < count; i++) {
        ok = fleet_plan_read(plan, files[i], why, sizeof(why)) == ERR_OK;
    }
    if (!ok) {
        (void)fprintf(stderr, "%s\n", why);
    }
    for (uint32_t i = 0; ok && i < plan->device_count; i++) {
        struct device_line d = {.name = plan->devices[i].name,
                                .type = c->type != NULL ? c->type : "generic",
                                .labels = VIEW("{}"),
                                .attributes = VIEW("{}")};
        ok = print_device(c, &d);
    }
    return ok;
}

static bool take_scenarios(struct csv *c, int argc, char **argv)
{
    for (uint32_t i = 0; argc == 0 && fleet_scenario_at(i) != NULL && i < SCENARIOS_MAX; i++) {
        c->scenarios[c->scenario_count++] = fleet_scenario_at(i);
    }
    for (int i = 0; i < argc && i < SCENARIOS_MAX; i++) {
        const struct fleet_scenario *s = fleet_scenario_find(argv[i]);
        if (s == NULL) {
            (void)fprintf(stderr, "%s: no such scenario; `signalbox fleet list` shows them\n",
                          argv[i]);
            return false;
        }
        c->scenarios[c->scenario_count++] = s;
    }
    return true;
}

static const char usage[] = "signalbox fleet csv [SCENARIO]... [-n DEVICES] --secret TEXT      "
                            "(all scenarios when none is named)\n"
                            "signalbox fleet csv --replay FILE.csv... [--device-prefix P] [--wide "
                            "METRIC] [--type T] --secret TEXT\n"
                            "Prints the devices for POST /v1/devices/import; -o json: as NDJSON.\n";

static bool read_options(int argc, char **argv, struct csv *c, struct fleet_plan *plan)
{
    static const struct option table[] = {FLEET_OPTIONS,
                                          {"replay", no_argument, NULL, OPT_REPLAY},
                                          {"type", required_argument, NULL, OPT_TYPE},
                                          {"device-prefix", required_argument, NULL, OPT_PREFIX},
                                          {"wide", required_argument, NULL, OPT_WIDE},
                                          {"devices", required_argument, NULL, 'n'},
                                          {0}};
    int code = 0;
    uint64_t n = 0;
    while ((code = getopt_long(argc, argv, "o:n:", table, NULL)) != -1) {
        bool ok = true;
        switch (code) {
        case OPT_REPLAY:
            c->replay = true;
            break;
        case OPT_TYPE:
            c->type = optarg;
            break;
        case OPT_PREFIX:
            plan->prefix = optarg;
            break;
        case OPT_WIDE:
            plan->wide_metric = optarg;
            break;
        case 'n':
            ok = fleet_read_count("devices", optarg, 1, 100000, &n);
            c->devices = (uint32_t)n;
            break;
        default:
            ok = fleet_options_take(&c->options, code, optarg);
        }
        if (!ok) {
            return false;
        }
    }
    if (c->options.secret == NULL || (c->replay && optind == argc)) {
        (void)fputs(usage, stderr);
        return false;
    }
    return true;
}

int fleet_csv_main(int argc, char **argv)
{
    struct csv c = {.options = fleet_options_default()};
    struct fleet_plan plan;
    fleet_plan_init(&plan);
    int code = FLEET_USAGE;
    if (read_options(argc, argv, &c, &plan) &&
        (c.replay || take_scenarios(&c, argc - optind, argv + optind))) {
        find_columns(&c);
        bool ok = c.options.json || print_header(&c);
        if (c.replay) {
            ok = ok && print_recorded(&c, &plan, argc - optind, argv + optind);
        }
        for (uint32_t i = 0; i < c.scenario_count; i++) {
            ok = ok && print_simulated(&c, c.scenarios[i]);
        }
        code = ok ? FLEET_DONE : FLEET_FAILED;
    }
    fleet_plan_fini(&plan);
    return code;
}
