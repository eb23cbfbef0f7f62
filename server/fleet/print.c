/*
 * `fleet list|csv|types|rules`: what a server has to know before simulated or replayed devices can
 * connect.
 */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "fleet/commands.h"
#include "fleet/options.h"
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

struct csv {
    struct fleet_options options;
    const char *type;
    bool replay;
    uint32_t devices; /* 0: the scenario's default */
    bool header_done;
};

/* RFC 4180: a cell with a quote or comma is quoted, its quotes doubled. */
static void put_cell(struct buf *out, struct view text)
{
    bool plain = memchr(text.data, ',', text.len) == NULL &&
                 memchr(text.data, '"', text.len) == NULL &&
                 memchr(text.data, '\n', text.len) == NULL;
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

static bool print_device(struct csv *c, const char *name, const char *type, struct view labels,
                         struct view attributes)
{
    char token[FLEET_TOKEN_SIZE];
    if (fleet_token(view_str(c->options.secret), view_str(name), token) != ERR_OK) {
        (void)fprintf(stderr, "--secret must not be empty\n");
        return false;
    }
    struct buf out;
    buf_init(&out, 1 << 16);
    if (c->options.json) { /* NDJSON, the import's other form */
        struct emit_json j = emit_json_init(&out);
        emit_json_open(&j, '{');
        const char *const pairs[][2] = {{"name", name}, {"type", type}, {"token", token}};
        for (size_t i = 0; i < COUNT_OF(pairs); i++) {
            emit_json_key(&j, pairs[i][0]);
            emit_json_str(&j, pairs[i][1]);
        }
        emit_json_key(&j, "labels");
        emit_json_raw(&j, labels);
        emit_json_key(&j, "attributes");
        emit_json_raw(&j, attributes);
        emit_json_close(&j, '}');
    } else {
        if (!c->header_done) {
            buf_put_str(&out, "name,type,token,labels,attributes\n");
        }
        const struct view cells[] = {view_str(name), view_str(type), view_str(token), labels,
                                     attributes};
        for (size_t i = 0; i < COUNT_OF(cells); i++) {
            buf_put_str(&out, i == 0 ? "" : ",");
            put_cell(&out, cells[i]);
        }
    }
    c->header_done = true;
    buf_put_str(&out, "\n");
    return print_buf(&out);
}

static bool print_simulated(struct csv *c, const struct fleet_scenario *scenario)
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
        buf_init(&labels, 4096);
        buf_init(&attributes, 4096);
        struct emit_json j = emit_json_init(&labels);
        emit_json_open(&j, '{');
        scenario->labels(&sim, &j);
        emit_json_close(&j, '}');
        j = emit_json_init(&attributes);
        emit_json_open(&j, '{');
        scenario->attributes(&sim, &j);
        emit_json_close(&j, '}');
        ok = buf_err(&labels) == ERR_OK && buf_err(&attributes) == ERR_OK &&
             print_device(c, name, c->type != NULL ? c->type : scenario->type, buf_view(&labels),
                          buf_view(&attributes));
        buf_fini(&labels);
        buf_fini(&attributes);
    }
    return ok;
}

static bool print_recorded(struct csv *c, struct fleet_plan *plan, int count, char **files)
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
        ok = print_device(c, plan->devices[i].name, c->type != NULL ? c->type : "generic",
                          VIEW("{}"), VIEW("{}"));
    }
    return ok;
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
    bool ok = read_options(argc, argv, &c, &plan);
    if (ok && c.replay) {
        code = print_recorded(&c, &plan, argc - optind, argv + optind) ? FLEET_DONE : FLEET_FAILED;
    } else if (ok) {
        code = FLEET_DONE;
        for (uint32_t i = 0; optind == argc && fleet_scenario_at(i) != NULL; i++) {
            code = print_simulated(&c, fleet_scenario_at(i)) && code == FLEET_DONE ? FLEET_DONE
                                                                                   : FLEET_FAILED;
        }
        for (int i = optind; i < argc && code == FLEET_DONE; i++) {
            const struct fleet_scenario *s = fleet_scenario_find(argv[i]);
            if (s == NULL) {
                (void)fprintf(stderr, "%s: no such scenario; `signalbox fleet list` shows them\n",
                              argv[i]);
                code = FLEET_USAGE;
            } else {
                code = print_simulated(&c, s) ? FLEET_DONE : FLEET_FAILED;
            }
        }
    }
    fleet_plan_fini(&plan);
    return code;
}
