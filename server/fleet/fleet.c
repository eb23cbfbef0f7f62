#include "fleet/fleet.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "fleet/commands.h"
#include "fleet/options.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *words;
} commands[] = {
    {"run", fleet_run_main, "simulate devices"},
    {"replay", fleet_replay_main, "send recorded rows from CSV files"},
    {"list", fleet_list_main, "the scenarios, their faults and commands"},
    {"types", fleet_types_main, "device types of scenarios, one JSON document a line"},
    {"csv", fleet_csv_main, "import file with the devices and their tokens"},
    {"rules", fleet_rules_main, "example rules of scenarios, one JSON document a line"},
};

static int help(FILE *out, int code)
{
    (void)fprintf(out, "usage: signalbox fleet COMMAND [OPTIONS]\n\n"
                       "Simulated and replayed devices.\n\ncommands:\n");
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        (void)fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].words);
    }
    (void)fprintf(out, "\n%s", fleet_options_help);
    return code;
}

int fleet_main(int argc, char **argv)
{
    if (argc < 2) {
        return help(stderr, FLEET_USAGE);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        return help(stdout, 0);
    }
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0) {
            optind = 0; /* glibc: start over; whoever called us may have used getopt */
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    (void)fprintf(stderr, "fleet: `%s` is no command\n", argv[1]);
    return help(stderr, FLEET_USAGE);
}
