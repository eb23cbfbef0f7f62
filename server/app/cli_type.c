/* Device types: the metrics and commands that devices of one kind have. */
#include "app/cli_documents.h"
#include "app/cli_server.h"
#include "app/commands.h"
#include "base/check.h"

static const struct cli_document_kind types = {.noun = "device type",
                                               .plural = "device types",
                                               .collection = "/v1/device-types",
                                               .deleted = "deleted"};

static int type_apply(const struct cli_call *c)
{
    return cli_documents_apply(c, &types);
}

static int type_show(const struct cli_call *c)
{
    return cli_documents_show(c, &types);
}

static int type_delete(const struct cli_call *c)
{
    return cli_documents_delete(c, &types);
}

static int type_list(const struct cli_call *c)
{
    static const struct cli_column columns[] = {{"NAME", "name"},
                                                {"COMMANDS", "commands"},
                                                {"ANY METRIC", "any_metric"},
                                                {"AUTO REGISTER", "auto_register"},
                                                {"VERSION", "version"}};
    struct http_client *client = NULL;
    struct buf path;
    int code = cli_server_open(c, &client);
    if (code != CLI_OK) {
        return code;
    }
    buf_init(&path, 8192);
    buf_put_str(&path, types.collection);
    code = cli_list(c, client, &path, columns, COUNT_OF(columns), true);
    buf_fini(&path);
    http_client_free(client);
    return code;
}

int cli_type(int argc, char **argv)
{
    static const struct cli_option list_options[] = {
        {"limit", 'n', "N", "at most so many (else all)"}, {0}};
    static const struct cli_option show_options[] = {
        {"bare", 0, NULL, "without version and times: what `type apply` takes"}, {0}};
    enum { SERVER = CLI_USES_SERVER | CLI_USES_OUTPUT, FILES_MAX = 1000 };
    static const struct cli_command commands[] = {
        {"apply", "FILE…|DIR…",
         "create or update the device types in YAML or JSON files (- for standard input)",
         "  signalbox type apply types/*.yaml\n  signalbox fleet types pumps | signalbox type "
         "apply -\n",
         1, FILES_MAX, SERVER, NULL, type_apply},
        {"list", "", "list device types", "  signalbox type list\n", 0, 0, SERVER, list_options,
         type_list},
        {"show", "NAME", "print a device type", "  signalbox type show pump\n", 1, 1, SERVER,
         show_options, type_show},
        {"delete", "NAME", "delete a device type that no device has",
         "  signalbox type delete pump\n", 1, 1, SERVER, NULL, type_delete},
        {0},
    };
    return cli_run("type", "Device types: metrics, units, commands, topics.", commands, argc, argv);
}
