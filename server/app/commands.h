/*
 * commands: the subcommands of the program. Each gets its own name as argv[0] and gives the exit
 * code: 0 done, 1 failed, 2 wrong usage, 3 the server cannot be reached.
 */
#pragma once

#include <stddef.h>

struct app_command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *words;
};
const struct app_command *app_commands(size_t *ret_count);

int app_serve(int argc, char **argv);
int app_fleet(int argc, char **argv);
int cli_migrate(int argc, char **argv);
int cli_check_config(int argc, char **argv);
int cli_init(int argc, char **argv);
int cli_ca(int argc, char **argv);
int cli_token(int argc, char **argv);
int cli_device(int argc, char **argv);
int cli_type(int argc, char **argv);
int cli_rule(int argc, char **argv);
int cli_alert(int argc, char **argv);
int cli_silence(int argc, char **argv);
int cli_command(int argc, char **argv);
int cli_doctor(int argc, char **argv);
int cli_manual(int argc, char **argv);
int cli_version(int argc, char **argv);
