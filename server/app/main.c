/*
 * signalbox: one program, many subcommands. Each lives in a file of its own; this one only finds
 * it.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "app/commands.h"
#include "base/check.h"

static const struct app_command commands[] = {
    {"serve", app_serve, "run the server"},
    {"migrate", cli_migrate, "bring the database schema up to date"},
    {"check-config", cli_check_config, "check settings, print them, or print a sample file"},
    {"init", cli_init, "write settings, a local CA and the server's certificate"},
    {"ca", cli_ca, "create the local CA, issue certificates"},
    {"token", cli_token, "create, list and revoke API tokens"},
    {"device", cli_device, "create, import, list devices and their credentials"},
    {"type", cli_type, "apply, list, show and delete device types"},
    {"rule", cli_rule, "test, plan, apply, list, show, roll back and delete rules"},
    {"alert", cli_alert, "list, acknowledge, assign, shelve and watch alerts"},
    {"silence", cli_silence, "keep alerts quiet for a while"},
    {"command", cli_command, "send commands to devices and follow them"},
    {"fleet", app_fleet, "simulate devices, or replay recordings as devices"},
    {"doctor", cli_doctor, "check settings, database, certificates and limits"},
    {"manual", cli_manual, "print the manual pages"},
    {"version", cli_version, "print the version"},
};

const struct app_command *app_commands(size_t *ret_count)
{
    *ret_count = COUNT_OF(commands);
    return commands;
}

static void print_usage(FILE *out)
{
    (void)fprintf(out, "signalbox " SIGNALBOX_VERSION
                       ": the central server for machines that report and obey\n\n"
                       "usage: signalbox COMMAND [OPTIONS]\n\n");
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        (void)fprintf(out, "  %-14s %s\n", commands[i].name, commands[i].words);
    }
    (void)fprintf(out, "\n`signalbox COMMAND --help` tells more.\n");
}

/* `signalbox --config FILE COMMAND …` is `signalbox COMMAND --config FILE …`. */
static void config_behind_command(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[1], "--config") == 0) {
        char *option = argv[1];
        char *file = argv[2];
        argv[1] = argv[3];
        argv[2] = option;
        argv[3] = file;
    }
}

int main(int argc, char **argv)
{
    config_behind_command(argc, argv);
    if (argc < 2) {
        print_usage(stderr);
        return 2;
    }
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    bool help = strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
                strcmp(argv[1], "help") == 0;
    if (!help) {
        (void)fprintf(stderr, "signalbox: unknown command `%s`\n\n", argv[1]);
    }
    print_usage(help ? stdout : stderr);
    return help ? 0 : 2;
}
