/*
 * cli: what the subcommands share: options, help, messages, exit codes, the settings file they work
 * with.
 *
 * A subcommand is a table of struct cli_command. cli_run() finds the row, reads the options by it,
 * prints the help from it and calls it.
 *
 * Threads: one; these run before or without the server.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "store/db.h"

enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,      /* it was tried and did not work, or the answer is no */
    CLI_USAGE = 2,       /* the command line makes no sense */
    CLI_UNREACHABLE = 3, /* the server or the database does not answer */
};

/* The only argument of a group: prints its part of the manual page. */
#define CLI_MANUAL "--manual"

enum { CLI_OPTIONS_MAX = 24, CLI_VALUES_MAX = 64 };

/* Groups of options that many subcommands have. */
enum cli_uses {
    CLI_USES_OUTPUT = 1 << 0, /* -o table|json */
    CLI_USES_CONFIG = 1 << 1, /* -c FILE */
    CLI_USES_SERVER = 1 << 2, /* --url, --token, --token-file, --cacert */
};

struct cli_option {
    const char *name;
    char letter;     /* 0: none */
    const char *arg; /* NULL: a flag */
    const char *words;
};

struct cli_call;
struct cli_command {
    const char *name;      /* "create"; NULL: the subcommand has no verbs */
    const char *arguments; /* "NAME [FILE…]" */
    const char *words;
    const char *examples; /* lines, each ends with \n */
    int args_min, args_max;
    unsigned uses;
    const struct cli_option *options; /* ends with name == NULL; may be NULL */
    int (*run)(const struct cli_call *call);
};

struct cli_value {
    const char *option;
    const char *value;
};

struct cli_call {
    const char *group; /* "token" */
    const struct cli_command *command;
    int argc;
    char **argv; /* positional arguments */
    struct cli_value values[CLI_VALUES_MAX];
    int value_count;
    bool json; /* -o json */
};

/* argv[0] is the group's name. Rows end with run == NULL. Gives the exit code. */
int cli_run(const char *group, const char *words, const struct cli_command *commands, int argc,
            char **argv);

/* The last value given, or NULL. */
const char *cli_value(const struct cli_call *c, const char *option);
/* The next value of an option that may be repeated; *at starts with 0. NULL: no more. */
const char *cli_next_value(const struct cli_call *c, const char *option, int *at);
bool cli_flag(const struct cli_call *c, const char *option);
/* A value that is a whole number from min to max, or fallback. False: said what is wrong. */
bool cli_number(const struct cli_call *c, const char *option, int64_t min, int64_t max,
                int64_t fallback, int64_t *ret_number);

/* "signalbox token create: …" on stderr. Both give `code` back, for `return`. */
__attribute__((format(printf, 3, 4))) int cli_fail(const struct cli_call *c, int code,
                                                   const char *format, ...);
/* For people only: on stderr. */
__attribute__((format(printf, 1, 2))) void cli_note(const char *format, ...);
int cli_exit_of(enum err e); /* CLI_UNREACHABLE for a database that is down, else CLI_FAILED */

/* Which settings file: -c, SIGNALBOX_CONFIG, ./signalbox.yaml, ./var/signalbox.yaml,
 * /etc/signalbox/signalbox.yaml, or NULL: defaults and environment. */
const char *cli_config_file(const struct cli_call *c);
/* CLI_OK, or the mistake was printed. */
int cli_load_conf(const struct cli_call *c, struct conf **ret_conf);
/* Settings and a database connection. */
int cli_open_db(const struct cli_call *c, struct conf **ret_conf, struct db **ret_db);

/* A whole file, or standard input for "-". NULL: said why. The caller frees. */
char *cli_read_file(const struct cli_call *c, const char *path, size_t limit_bytes,
                    size_t *ret_len);
/* A new file with these permissions; ERR_EXISTS when there is one. */
NODISCARD enum err cli_write_new(const char *path, const char *text, unsigned mode);
