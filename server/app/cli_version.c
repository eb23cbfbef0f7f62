#include <stdio.h>

#include <jansson.h>
#include <uv.h>

#include "app/cli.h"
#include "app/cli_server.h"
#include "app/commands.h"

static int version(const struct cli_call *c)
{
    if (!c->json) {
        printf("signalbox " SIGNALBOX_VERSION "\n");
        return CLI_OK;
    }
    json_t *v = json_pack("{s:s, s:s, s:s, s:s}", "version", SIGNALBOX_VERSION, "compiler",
                          __VERSION__, "libuv", uv_version_string(), "jansson", JANSSON_VERSION);
    cli_print_json(v);
    json_decref(v);
    return CLI_OK;
}

int cli_version(int argc, char **argv)
{
    static const struct cli_command commands[] = {
        {.arguments = "",
         .words = "Prints the version.",
         .uses = CLI_USES_OUTPUT | CLI_USES_CONFIG,
         .run = version},
        {0},
    };
    return cli_run("version", "", commands, argc, argv);
}
