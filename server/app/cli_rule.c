/* Rules are kept in files under version control and applied; the server checks them before it takes
 * them. */
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
