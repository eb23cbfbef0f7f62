#include <stdio.h>

#include <jansson.h>

#include "app/cli.h"
#include "app/cli_server.h"
#include "app/commands.h"
#include "base/log.h"
#include "store/store.h"

static void print_status(const struct cli_call *c, const struct store_migration_status *s,
                         bool current)
{
    if (c->json) {
        json_t *v = json_pack("{s:i, s:i, s:b, s:s}", "have", s->have, "want", s->want, "current",
                              (int)current, "problem", s->problem);
        cli_print_json(v);
        json_decref(v);
    } else if (current) {
        printf("the database schema is up to date (migration %d)\n", s->have);
    } else {
        printf("the database has %d of %d migrations%s%s\n", s->have, s->want,
               s->problem[0] == '\0' ? "; run `signalbox migrate`" : ": ", s->problem);
    }
}

static int migrate(const struct cli_call *c)
{
    struct conf *conf = NULL;
    struct db *db = NULL;
    struct store_migration_status status = {0};
    bool only_status = cli_flag(c, "status");
    int code = cli_open_db(c, &conf, &db);
    if (code != CLI_OK) {
        return code;
    }
    log_setup(only_status ? LOG_WARN : LOG_INFO, LOG_FORMAT_AUTO);
    enum err e = only_status ? store_migration_check(db, &status) : store_migrate(db, &status);
    bool current = e == ERR_OK && status.have == status.want;
    if (e == ERR_OK || only_status) {
        print_status(c, &status, current);
        code = current ? CLI_OK : cli_exit_of(e) == CLI_UNREACHABLE ? CLI_UNREACHABLE : CLI_FAILED;
    } else {
        code = cli_fail(c, cli_exit_of(e), "%s",
                        status.problem[0] != '\0' ? status.problem : db_error(db));
    }
    db_close(db);
    conf_free(conf);
    return code;
}

int cli_migrate(int argc, char **argv)
{
    static const struct cli_option options[] = {
        {"status", 0, NULL, "change nothing; exit code 1 when the schema is not up to date"},
        {0},
    };
    static const struct cli_command commands[] = {
        {.arguments = "",
         .words = "Brings the database schema up to date. Each migration is one transaction; two "
                  "runs at the same time\n"
                  "wait for each other. Does nothing when there is nothing to do.",
         .examples =
             "  signalbox migrate --config signalbox.yaml\n  signalbox migrate --status -o json\n",
         .uses = CLI_USES_CONFIG | CLI_USES_OUTPUT,
         .options = options,
         .run = migrate},
        {0},
    };
    return cli_run("migrate", "", commands, argc, argv);
}
