/* Rules are kept in files under version control and applied; the server checks them before it takes
 * them. */
#include <stdio.h>
#include <stdlib.h>

#include "app/cli_backtest.h"
#include "app/cli_documents.h"
#include "app/cli_server.h"
#include "app/commands.h"
#include "base/check.h"

static const struct cli_document_kind rules = {.noun = "rule",
                                               .plural = "rules",
                                               .collection = "/v1/rules",
                                               .deleted =
                                                   "deleted; its alerts stay in the history"};

static int rule_apply(const struct cli_call *c)
{
    return cli_documents_apply(c, &rules);
}

static int rule_plan(const struct cli_call *c)
{
    return cli_documents_plan(c, &rules);
}

static int rule_show(const struct cli_call *c)
{
    return cli_documents_show(c, &rules);
}

static int rule_delete(const struct cli_call *c)
{
    return cli_documents_delete(c, &rules);
}

static int rule_list(const struct cli_call *c)
{
    static const struct cli_column columns[] = {
        {"NAME", "name"}, {"SEVERITY", "severity"}, {"MODE", "mode"},      {"SELECT", "select"},
        {"WHEN", "when"}, {"FOR", "for"},           {"VERSION", "version"}};
    struct http_client *client = NULL;
    struct buf path;
    int code = cli_server_open(c, &client);
    if (code != CLI_OK) {
        return code;
    }
    buf_init(&path, 8192);
    buf_put_str(&path, rules.collection);
    code = cli_list(c, client, &path, columns, COUNT_OF(columns), true);
    buf_fini(&path);
    http_client_free(client);
    return code;
}

static int rule_versions(const struct cli_call *c)
{
    static const struct cli_column columns[] = {{"VERSION", "version"},
                                                {"CREATED", "created_at"},
                                                {"BY", "created_by"},
                                                {"ACTIVE", "active"}};
    struct http_client *client = NULL;
    struct buf path;
    int code = cli_server_open(c, &client);
    if (code != CLI_OK) {
        return code;
    }
    char *start = cli_path("/v1/rules/", c->argv[0], "/versions", NULL);
    buf_init(&path, 8192);
    buf_put_str(&path, start == NULL ? "" : start);
    code = cli_list(c, client, &path, columns, COUNT_OF(columns), true);
    buf_fini(&path);
    free(start);
    http_client_free(client);
    return code;
}

static int rule_diff(const struct cli_call *c)
{
    struct http_client *client = NULL;
    json_t *answer = NULL;
    struct buf path;
    int code = cli_server_open(c, &client);
    if (code != CLI_OK) {
        return code;
    }
    char *start = cli_path("/v1/rules/", c->argv[0], "/versions/", c->argv[1], "/diff", NULL);
    buf_init(&path, 8192);
    buf_put_str(&path, start == NULL ? "" : start);
    cli_query(&path, "against", cli_value(c, "against"));
    char *whole = buf_take_str(&path);
    const struct cli_request get = {.method = "GET", .path = whole};
    code = whole == NULL ? CLI_FAILED : cli_request(c, client, &get, &answer, NULL);
    if (code == CLI_OK && c->json) {
        cli_print_json(answer);
    } else if (code == CLI_OK) {
        const char *diff = json_string_value(json_object_get(answer, "diff"));
        printf("%s", diff == NULL ? "" : diff);
    }
    free(start);
    free(whole);
    json_decref(answer);
    http_client_free(client);
    return code;
}

static int rule_rollback(const struct cli_call *c)
{
    struct http_client *client = NULL;
    json_t *have = NULL;
    json_t *answer = NULL;
    char etag[128] = "";
    int64_t version = 0;
    char *end = NULL;
    version = strtoll(c->argv[1], &end, 10);
    if (*end != '\0' || version < 1) {
        return cli_fail(c, CLI_USAGE, "VERSION is a number, not `%s`", c->argv[1]);
    }
    int code = cli_server_open(c, &client);
    char *rule = cli_path("/v1/rules/", c->argv[0], NULL);
    char *path = cli_path("/v1/rules/", c->argv[0], "/rollback", NULL);
    json_t *body = json_pack("{s:I}", "version", (json_int_t)version);
    const struct cli_request get = {.method = "GET", .path = rule};
    const struct cli_request post = {
        .method = "POST", .path = path, .body = body, .if_match = etag};
    code = code == CLI_OK ? cli_request(c, client, &get, &have, etag) : code;
    code = code == CLI_OK ? cli_request(c, client, &post, &answer, NULL) : code;
    if (code == CLI_OK && c->json) {
        cli_print_json(answer);
    } else if (code == CLI_OK) {
        cli_note("version %lld is as version %lld was",
                 (long long)json_integer_value(json_object_get(answer, "version")),
                 (long long)version);
    }
    free(rule);
    free(path);
    json_decref(body);
    json_decref(have);
    json_decref(answer);
    http_client_free(client);
    return code;
}

int cli_rule(int argc, char **argv)
{
    static const struct cli_option list_options[] = {
        {"limit", 'n', "N", "at most so many (else all)"}, {0}};
    static const struct cli_option show_options[] = {
        {"bare", 0, NULL, "without version and times: what `rule apply` takes"}, {0}};
    static const struct cli_option apply_options[] = {
        {"prune", 0, NULL, "delete the rules that the files do not have"}, {0}};
    static const struct cli_option plan_options[] = {
        {"prune", 0, NULL, "show the rules that `apply --prune` would delete"},
        {"check", 0, NULL, "exit code 1 when anything would change"},
        {0}};
    static const struct cli_option diff_options[] = {
        {"against", 0, "VERSION", "the version to compare with (else the one before)"}, {0}};
    static const struct cli_option test_options[] = {
        {"data", 0, "FILE",
         "a CSV file (.gz too) with the columns ts, device and metrics, instead of a server's "
         "history; may be repeated"},
        {"wide", 0, "METRIC", "the columns of --data are devices, the cells values of METRIC"},
        {"types", 0, "FILE", "device types for --data: baselines and missing values"},
        {"attribute", 0, "KEY=VALUE", "of every device in --data; may be repeated"},
        {"against", 0, "FILE", "another version to compare with, for --data"},
        {"from", 0, "TIME", "count alerts that fire from here on (server: -7d)"},
        {"to", 0, "TIME", "up to here (server: now)"},
        {"select", 0, "SELECTOR", "only these devices of the server's"},
        {"device", 0, "NAME", "only this device of the server's; may be repeated"},
        {"warm-up", 0, "T", "history before --from that the rule sees: a time, or all (1d)"},
        {"flap-window", 0, "T", "fires again so soon after it ended: a flap (10m)"},
        {"limit", 'n', "N", "lines of each list (20)"},
        {0}};
    enum { SERVER = CLI_USES_SERVER | CLI_USES_OUTPUT, FILES_MAX = 1000 };
    static const struct cli_command commands[] = {
        {"test", "FILE…",
         "what the rules in YAML or JSON files would have done: alerts, flaps, commands, the "
         "difference to the active version; nothing is changed",
         "  signalbox rule test hot.yaml --from -7d\n  signalbox rule test hot.yaml --data "
         "pump-1.csv.gz --types pump.yaml\n",
         1, FILES_MAX, SERVER, test_options, cli_rule_test},
        {"plan", "FILE…|DIR…", "show what `rule apply` would change, with the differences",
         "  signalbox rule plan rules/\n  signalbox rule plan rules/ --prune --check\n", 1,
         FILES_MAX, SERVER, plan_options, rule_plan},
        {"apply", "FILE…|DIR…",
         "create or update the rules in YAML or JSON files (- for standard input)",
         "  signalbox rule apply rules/ --prune\n  signalbox rule show hot --bare | signalbox rule "
         "apply -\n",
         1, FILES_MAX, SERVER, apply_options, rule_apply},
        {"versions", "NAME", "list the versions of a rule", "  signalbox rule versions hot\n", 1, 1,
         SERVER, list_options, rule_versions},
        {"diff", "NAME VERSION", "show what a version of a rule changed",
         "  signalbox rule diff hot 3\n  signalbox rule diff hot 3 --against 1\n", 2, 2, SERVER,
         diff_options, rule_diff},
        {"rollback", "NAME VERSION", "make the document of an earlier version the newest version",
         "  signalbox rule rollback hot 2\n", 2, 2, SERVER, NULL, rule_rollback},
        {"list", "", "list rules", "  signalbox rule list\n", 0, 0, SERVER, list_options,
         rule_list},
        {"show", "NAME", "print a rule", "  signalbox rule show bearing-overheat\n", 1, 1, SERVER,
         show_options, rule_show},
        {"delete", "NAME", "delete a rule", "  signalbox rule delete bearing-overheat\n", 1, 1,
         SERVER, NULL, rule_delete},
        {0},
    };
    return cli_run("rule", "Rules: when alerts fire and what follows.", commands, argc, argv);
}
