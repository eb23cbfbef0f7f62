/* Rules are kept in files under version control and applied; the server checks them before it takes
 * them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli_server.h"
#include "app/commands.h"
#include "base/check.h"
#include "conf/yaml_json.h"

enum { RULE_FILE_MAX = 4 * 1024 * 1024 };

/* What the server adds to a document. */
static const char *const server_keys[] = {"version", "created_at", "updated_at", "created_by"};

static json_t *without_server_keys(const json_t *rule)
{
    json_t *copy = json_copy((json_t *)(uintptr_t)rule);
    for (size_t i = 0; i < COUNT_OF(server_keys); i++) {
        (void)json_object_del(copy, server_keys[i]);
    }
    return copy;
}

/* A YAML or JSON file as one JSON array of rules: its documents, and the members of documents that
 * are lists. */
static json_t *read_rules(const struct cli_call *c, const char *file)
{
    struct yaml_json_error why = {0};
    struct buf json;
    size_t len = 0;
    char *text = cli_read_file(c, file, RULE_FILE_MAX, &len);
    if (text == NULL) {
        return NULL;
    }
    buf_init(&json, (size_t)RULE_FILE_MAX * 2);
    enum err e = conf_yaml_to_json(view_of(text, len), &json, &why);
    free(text);
    if (e != ERR_OK) {
        (void)fprintf(stderr, "%s:%d:%d: %s\n", file, why.line, why.column, why.detail);
        buf_fini(&json);
        return NULL;
    }
    json_error_t ignored;
    json_t *documents = json_loadb((const char *)json.data, json.len, 0, &ignored);
    json_t *rules = json_array();
    size_t i = 0;
    json_t *document = NULL;
    json_array_foreach(documents, i, document)
    {
        if (json_is_array(document)) {
            (void)json_array_extend(rules, document);
        } else if (!json_is_null(document)) {
            (void)json_array_append(rules, document);
        }
    }
    if (documents == NULL) {
        (void)cli_fail(c, CLI_FAILED, "%s: a number in it is too large", file);
        json_decref(rules);
        rules = NULL;
    }
    json_decref(documents);
    buf_fini(&json);
    return rules;
}

struct applied {
    json_t *items; /* for -o json */
    int created, updated, unchanged;
};

static void tell(const struct cli_call *c, struct applied *a, const char *name, const char *what)
{
    if (c->json) {
        (void)json_array_append_new(a->items,
                                    json_pack("{s:s, s:s}", "name", name, "result", what));
    } else {
        printf("%-10s %s\n", what, name);
    }
}

static int apply_one(const struct cli_call *c, struct http_client *client, json_t *rule,
                     struct applied *a)
{
    const char *name = json_string_value(json_object_get(rule, "name"));
    json_t *have = NULL;
    json_t *answer = NULL;
    char etag[128] = "";
    char *path = cli_path("/v1/rules/", name, NULL);
    const struct cli_request get = {.method = "GET", .path = path, .missing_is_fine = true};
    int code = cli_request(c, client, &get, &have, etag);
    if (code == CLI_OK && have == NULL) {
        const struct cli_request post = {.method = "POST", .path = "/v1/rules", .body = rule};
        code = cli_request(c, client, &post, &answer, NULL);
        if (code == CLI_OK) {
            a->created++;
            tell(c, a, name, "created");
        }
    } else if (code == CLI_OK) {
        json_t *before = without_server_keys(have);
        bool same = json_equal(before, rule) == 1;
        const struct cli_request put = {
            .method = "PUT", .path = path, .body = rule, .if_match = etag};
        code = same ? CLI_OK : cli_request(c, client, &put, &answer, NULL);
        if (code == CLI_OK) {
            a->updated += !same;
            a->unchanged += same;
            tell(c, a, name, same ? "unchanged" : "updated");
        }
        json_decref(before);
    }
    if (code == CLI_FAILED) {
        cli_note("  in the rule `%s`", name);
    }
    free(path);
    json_decref(have);
    json_decref(answer);
    return code;
}

static int apply_file(const struct cli_call *c, struct http_client *client, const char *file,
                      struct applied *a)
{
    json_t *rules = read_rules(c, file);
    size_t i = 0;
    json_t *rule = NULL;
    int worst = CLI_OK;
    if (rules == NULL) {
        return CLI_FAILED;
    }
    if (json_array_size(rules) == 0) {
        cli_note("%s: no rules in it", file);
    }
    json_array_foreach(rules, i, rule)
    {
        const char *name = json_string_value(json_object_get(rule, "name"));
        int code = name != NULL && name[0] != '\0'
                       ? apply_one(c, client, rule, a)
                       : cli_fail(c, CLI_FAILED, "%s: rule %zu has no name", file, i + 1);
        worst = code != CLI_OK ? code : worst;
        if (code == CLI_UNREACHABLE) {
            break;
        }
    }
    json_decref(rules);
    return worst;
}

static int rule_apply(const struct cli_call *c)
{
    struct http_client *client = NULL;
    struct applied a = {.items = json_array()};
    int worst = cli_server_open(c, &client);
    for (int i = 0; client != NULL && i < c->argc && worst != CLI_UNREACHABLE; i++) {
        int code = apply_file(c, client, c->argv[i], &a);
        worst = code != CLI_OK ? code : worst;
    }
    if (client != NULL && c->json) {
        json_t *all = json_pack("{s:O}", "items", a.items);
        cli_print_json(all);
        json_decref(all);
    } else if (client != NULL) {
        cli_note("%d created, %d updated, %d unchanged", a.created, a.updated, a.unchanged);
    }
    json_decref(a.items);
    http_client_free(client);
    return worst;
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
    buf_put_str(&path, "/v1/rules");
    code = cli_list(c, client, &path, columns, COUNT_OF(columns), true);
    buf_fini(&path);
    http_client_free(client);
    return code;
}

/* The rule and its ETag. */
static int get_rule(const struct cli_call *c, struct http_client *client, const char *path,
                    json_t **ret_rule, char *ret_etag)
{
    const struct cli_request r = {.method = "GET", .path = path};
    return cli_request(c, client, &r, ret_rule, ret_etag);
}

static int rule_show(const struct cli_call *c)
{
    struct http_client *client = NULL;
    json_t *rule = NULL;
    char *path = cli_path("/v1/rules/", c->argv[0], NULL);
    int code = cli_server_open(c, &client);
    if (code == CLI_OK) {
        code = get_rule(c, client, path, &rule, NULL);
    }
    if (code == CLI_OK) {
        json_t *bare = cli_flag(c, "bare") ? without_server_keys(rule) : json_incref(rule);
        cli_print_json(bare);
        json_decref(bare);
    }
    free(path);
    json_decref(rule);
    http_client_free(client);
    return code;
}

static int rule_delete(const struct cli_call *c)
{
    struct http_client *client = NULL;
    json_t *rule = NULL;
    json_t *ignored = NULL;
    char etag[128] = "";
    char *path = cli_path("/v1/rules/", c->argv[0], NULL);
    int code = cli_server_open(c, &client);
    if (code == CLI_OK) {
        code = get_rule(c, client, path, &rule, etag);
    }
    if (code == CLI_OK) {
        const struct cli_request r = {.method = "DELETE", .path = path, .if_match = etag};
        code = cli_request(c, client, &r, &ignored, NULL);
    }
    if (code == CLI_OK) {
        cli_note("deleted; its alerts stay in the history");
    }
    free(path);
    json_decref(rule);
    json_decref(ignored);
    http_client_free(client);
    return code;
}

int cli_rule(int argc, char **argv)
{
    static const struct cli_option list_options[] = {
        {"limit", 'n', "N", "at most so many (else all)"}, {0}};
    static const struct cli_option show_options[] = {
        {"bare", 0, NULL, "without version and times: what `rule apply` takes"}, {0}};
    enum { SERVER = CLI_USES_SERVER | CLI_USES_OUTPUT, FILES_MAX = 1000 };
    static const struct cli_command commands[] = {
        {"apply", "FILE…",
         "create or update the rules in YAML or JSON files (- for standard input)",
         "  signalbox rule apply rules/*.yaml\n  signalbox rule show hot --bare | signalbox rule "
         "apply -\n",
         1, FILES_MAX, SERVER, NULL, rule_apply},
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
