/* The manual pages are made from the tables that the program itself reads: they cannot be older
 * than it is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli.h"
#include "app/commands.h"
#include "app/roff.h"
#include "base/buf.h"

static void page_commands(void)
{
    size_t count = 0;
    const struct app_command *all = app_commands(&count);
    roff_title("signalbox", 1, "the central server for machines that report and obey");
    roff_section("SYNOPSIS");
    roff_text("signalbox COMMAND [OPTIONS]");
    roff_section("DESCRIPTION");
    roff_text("Devices report over TLS, every reading is stored in PostgreSQL before it is "
              "acknowledged, rules decide, alerts are raised and commands go back out.");
    roff_section("COMMANDS");
    for (size_t i = 0; i < count; i++) {
        roff_term(all[i].name, all[i].words);
    }
    roff_section("OPTIONS OF THE COMMANDS");
    for (size_t i = 0; i < count; i++) {
        char *argv[] = {strdup(all[i].name), strdup(CLI_MANUAL), NULL};
        if (argv[0] != NULL && argv[1] != NULL && all[i].run != app_fleet) {
            (void)all[i].run(2, argv);
        }
        free(argv[0]);
        free(argv[1]);
    }
    roff_heading("signalbox fleet");
    roff_text("Its commands and options: signalbox fleet --help.");
    roff_section("EXIT STATUS");
    roff_text("0 done, 1 failed or the answer is no, 2 wrong usage, 3 the server or the database "
              "is not reachable.");
    roff_section("FILES");
    roff_term("./signalbox.yaml, ./var/signalbox.yaml, /etc/signalbox/signalbox.yaml",
              "settings, the first that exists; see signalbox.yaml(5)");
    roff_section("SEE ALSO");
    roff_text("signalbox.yaml(5)");
}

static int page_settings(const struct cli_call *c)
{
    struct buf sample;
    buf_init(&sample, MIB);
    conf_write_sample(&sample);
    buf_put_u8(&sample, 0);
    enum err e = buf_err(&sample);
    if (e == ERR_OK) {
        roff_title("signalbox.yaml", 5, "settings of signalbox");
        roff_section("DESCRIPTION");
        roff_text(
            "Flat YAML: one setting a line. An unknown name or a wrong value is an error with "
            "line and column.");
        roff_section("SETTINGS");
        roff_example((const char *)sample.data);
        roff_section("SEE ALSO");
        roff_text("signalbox(1)");
    }
    buf_fini(&sample);
    return e == ERR_OK ? CLI_OK : cli_fail(c, CLI_FAILED, "%s", err_words(e));
}

static int manual(const struct cli_call *c)
{
    const char *page = c->argc == 0 ? "signalbox" : c->argv[0];
    if (strcmp(page, "signalbox") == 0) {
        page_commands();
        return CLI_OK;
    }
    if (strcmp(page, "signalbox.yaml") == 0) {
        return page_settings(c);
    }
    return cli_fail(c, CLI_USAGE, "no page `%s`; there are signalbox and signalbox.yaml", page);
}

int cli_manual(int argc, char **argv)
{
    static const struct cli_command commands[] = {
        {.arguments = "[PAGE]",
         .words = "Prints a manual page for man(1): signalbox, or signalbox.yaml.",
         .examples = "  signalbox manual | man -l -\n"
                     "  signalbox manual signalbox.yaml > "
                     "/usr/local/share/man/man5/signalbox.yaml.5\n",
         .args_max = 1,
         .run = manual},
        {0}};
    return cli_run("manual", "", commands, argc, argv);
}
