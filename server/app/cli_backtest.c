/* `signalbox rule test`: over CSV files here, or over stored history by the server, which waits for
 * the job and can be interrupted. */
#include "app/cli_backtest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli_documents.h"
#include "app/cli_server.h"
#include "app/cli_table.h"

/* ---- a report for people ----------------------------------------------------------------------
 */

struct section {
    const char *title;
    const char *heads[CLI_COLUMNS_MAX];
    const char *keys[CLI_COLUMNS_MAX]; /* "was.since" goes one level down */
    int columns;
};

static json_t *member(json_t *object, const char *path)
{
    const char *dot = strchr(path, '.');
    char first[32];
    if (dot == NULL) {
        return json_object_get(object, path);
    }
    (void)snprintf(first, sizeof(first), "%.*s", (int)(dot - path), path);
    return json_object_get(json_object_get(object, first), dot + 1);
}

static void print_section(const struct section *s, json_t *items, size_t lines)
{
    size_t count = json_array_size(items);
    struct cli_table t;
    if (count == 0) {
        return;
    }
    cli_table_init(&t, s->columns, s->heads);
    for (size_t i = 0; i < count && i < lines; i++) {
        for (int k = 0; k < s->columns; k++) {
            char *text = cli_json_text(member(json_array_get(items, i), s->keys[k]));
            cli_table_cell(&t, text);
            free(text);
        }
    }
    printf("\n%s\n", s->title);
    cli_table_print(&t);
    cli_table_fini(&t);
    if (count > lines) {
        printf("  … and %zu more (--limit, -o json)\n", count - lines);
    }
}

static long long count_of(json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

void cli_backtest_print(json_t *report, size_t lines)
{
    static const struct section alerts = {
        "alerts",
        {"DEVICE", "SEVERITY", "SINCE", "FIRED", "RESOLVED", "VALUE", "SUMMARY"},
        {"device", "severity", "since", "fired_at", "resolved_at", "value", "summary"},
        7};
    static const struct section devices = {"by device",
                                           {"DEVICE", "SAMPLES", "ALERTS", "FLAPS",
                                            "PENDING RESETS", "COMMANDS", "FIRING S", "LONGEST S"},
                                           {"device", "samples", "alerts", "flaps",
                                            "pending_resets", "commands", "firing_seconds",
                                            "longest_seconds"},
                                           8};
    static const struct section commands = {
        "commands that would have gone out",
        {"TIME", "DEVICE", "METHOD", "PARAMS", "EXPIRES IN", "ALERT OF"},
        {"ts", "device", "method", "params", "expires_in", "alert_device"},
        6};
    static const struct section added = {"added",
                                         {"DEVICE", "SINCE", "FIRED", "RESOLVED", "VALUE"},
                                         {"device", "since", "fired_at", "resolved_at", "value"},
                                         5};
    static const struct section removed = {"removed",
                                           {"DEVICE", "SINCE", "FIRED", "RESOLVED", "VALUE"},
                                           {"device", "since", "fired_at", "resolved_at", "value"},
                                           5};
    static const struct section changed = {
        "changed",
        {"DEVICE", "FIRED BEFORE", "FIRED", "RESOLVED BEFORE", "RESOLVED", "VALUE BEFORE", "VALUE"},
        {"is.device", "was.fired_at", "is.fired_at", "was.resolved_at", "is.resolved_at",
         "was.value", "is.value"},
        7};
    json_t *n = json_object_get(report, "counts");
    json_t *difference = json_object_get(report, "difference");
    const char *against = json_string_value(json_object_get(difference, "against"));
    printf("%s: %lld alerts, %lld flaps, %lld commands; %lld samples of %lld devices in %lld ms\n",
           json_string_value(json_object_get(report, "rule")), count_of(n, "alerts"),
           count_of(n, "flaps"), count_of(n, "commands"), count_of(n, "samples"),
           count_of(n, "devices"), count_of(report, "milliseconds"));
    if (against != NULL) {
        printf("against %s: %lld the same, %lld added, %lld removed, %lld changed\n", against,
               count_of(difference, "same_count"), count_of(difference, "added_count"),
               count_of(difference, "removed_count"), count_of(difference, "changed_count"));
    }
    print_section(&alerts, json_object_get(report, "alerts"), lines);
    print_section(&devices, json_object_get(report, "by_device"), lines);
    print_section(&commands, json_object_get(report, "commands"), lines);
    if (against != NULL) {
        print_section(&added, json_object_get(difference, "added"), lines);
        print_section(&removed, json_object_get(difference, "removed"), lines);
        print_section(&changed, json_object_get(difference, "changed"), lines);
    }
}

/* ---- the verb ---------------------------------------------------------------------------------
 */

static json_t *read_rules(const struct cli_call *c)
{
    json_t *files = json_array();
    json_t *rules = json_array();
    size_t i = 0;
    json_t *file = NULL;
    int code = CLI_OK;
    for (int k = 0; k < c->argc && code == CLI_OK; k++) {
        code = cli_documents_files(c, c->argv[k], files);
    }
    json_array_foreach(files, i, file)
    {
        json_t *documents = code == CLI_OK ? cli_documents_read(c, json_string_value(file)) : NULL;
        if (documents == NULL) {
            code = CLI_FAILED;
            break;
        }
        (void)json_array_extend(rules, documents);
        json_decref(documents);
    }
    json_decref(files);
    if (code == CLI_OK && json_array_size(rules) == 0) {
        code = cli_fail(c, CLI_FAILED, "no rule in the files");
    }
    if (code != CLI_OK) {
        json_decref(rules);
        return NULL;
    }
    return rules;
}

static int print_reports(const struct cli_call *c, json_t *reports)
{
    int64_t lines = 0;
    size_t i = 0;
    json_t *report = NULL;
    if (!cli_number(c, "limit", 1, 1000000, 20, &lines)) {
        return CLI_USAGE;
    }
    if (c->json) {
        json_t *all = json_pack("{s:O}", "items", reports);
        cli_print_json(json_array_size(reports) == 1 ? json_array_get(reports, 0) : all);
        json_decref(all);
        return CLI_OK;
    }
    json_array_foreach(reports, i, report)
    {
        if (i > 0) {
            printf("\n");
        }
        cli_backtest_print(report, (size_t)lines);
    }
    return CLI_OK;
}

int cli_rule_test(const struct cli_call *c)
{
    json_t *rules = read_rules(c);
    json_t *reports = json_array();
    int code = rules == NULL ? CLI_FAILED : CLI_OK;
    if (code == CLI_OK) {
        code = cli_flag(c, "data") ? cli_backtest_files(c, rules, reports)
                                   : cli_backtest_server(c, rules, reports);
    }
    if (json_array_size(reports) > 0) {
        int printed = print_reports(c, reports);
        code = printed != CLI_OK ? printed : code;
    }
    json_decref(rules);
    json_decref(reports);
    return code;
}
