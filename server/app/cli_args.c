#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli.h"
#include "app/roff.h"
#include "base/check.h"
#include "base/log.h"

static const struct cli_option help_option = {"help", 'h', NULL, "this text"};
static const struct cli_option output_option = {"output", 'o', "FORMAT", "table or json"};
static const struct cli_option config_option = {
    "config", 'c', "FILE",
    "settings file (SIGNALBOX_CONFIG, ./signalbox.yaml, ./var/signalbox.yaml, "
    "/etc/signalbox/signalbox.yaml)"};
static const struct cli_option server_options[] = {
    {"url", 0, "URL", "the server (SIGNALBOX_URL, else http_listen of the settings)"},
    {"token", 0, "TOKEN",
     "API token (SIGNALBOX_TOKEN); other users of this machine can see it here"},
    {"token-file", 0, "FILE",
     "file with the API token (SIGNALBOX_TOKEN_FILE, else admin.token beside the settings)"},
    {"cacert", 0, "FILE", "CA certificates for https (SIGNALBOX_CACERT)"},
};

struct option_list {
    const struct cli_option *items[CLI_OPTIONS_MAX];
    int count;
};

static void list_add(struct option_list *l, const struct cli_option *o)
{
    CHECK(l->count < CLI_OPTIONS_MAX);
    l->items[l->count++] = o;
}

static struct option_list options_of(const struct cli_command *c)
{
    struct option_list l = {0};
    for (const struct cli_option *o = c->options; o != NULL && o->name != NULL; o++) {
        list_add(&l, o);
    }
    if ((c->uses & (CLI_USES_CONFIG | CLI_USES_SERVER)) != 0) {
        list_add(&l, &config_option);
    }
    for (size_t i = 0; (c->uses & CLI_USES_SERVER) != 0 && i < COUNT_OF(server_options); i++) {
        list_add(&l, &server_options[i]);
    }
    if ((c->uses & CLI_USES_OUTPUT) != 0) {
        list_add(&l, &output_option);
    }
    list_add(&l, &help_option);
    return l;
}

static void print_command_help(const char *group, const struct cli_command *c)
{
    struct option_list l = options_of(c);
    printf("usage: signalbox %s%s%s [OPTIONS]%s%s\n\n%s\n\noptions:\n", group,
           c->name == NULL ? "" : " ", c->name == NULL ? "" : c->name,
           c->arguments[0] == '\0' ? "" : " ", c->arguments, c->words);
    for (int i = 0; i < l.count; i++) {
        const struct cli_option *o = l.items[i];
        char head[64];
        (void)snprintf(head, sizeof(head), "%c%c%c --%s%s%s", o->letter == 0 ? ' ' : '-',
                       o->letter == 0 ? ' ' : o->letter, o->letter == 0 ? ' ' : ',', o->name,
                       o->arg == NULL ? "" : " ", o->arg == NULL ? "" : o->arg);
        printf("  %-24s %s\n", head, o->words);
    }
    if (c->examples != NULL) {
        printf("\nexamples:\n%s", c->examples);
    }
    printf("\nexit codes: 0 done, 1 failed, 2 wrong usage, 3 server or database not reachable\n");
}

static void print_group_help(FILE *out, const char *group, const char *words,
                             const struct cli_command *commands)
{
    (void)fprintf(out, "usage: signalbox %s VERB [OPTIONS]\n\n%s\n\nverbs:\n", group, words);
    for (const struct cli_command *c = commands; c->run != NULL; c++) {
        char head[80];
        (void)snprintf(head, sizeof(head), "%s %s", c->name, c->arguments);
        (void)fprintf(out, "  %-30s %s\n", head, c->words);
    }
    (void)fprintf(out, "\n`signalbox %s VERB --help` tells more.\n", group);
}

/* What `signalbox manual` takes from each subcommand. */
static void print_manual(const char *group, const struct cli_command *commands)
{
    for (const struct cli_command *c = commands; c->run != NULL; c++) {
        struct option_list l = options_of(c);
        roff_heading("signalbox %s%s%s %s", group, c->name == NULL ? "" : " ",
                     c->name == NULL ? "" : c->name, c->arguments);
        roff_text(c->words);
        for (int i = 0; i < l.count; i++) {
            const struct cli_option *o = l.items[i];
            if (o != &help_option) {
                roff_option(o->letter, o->name, o->arg, o->words);
            }
        }
        if (c->examples != NULL) {
            roff_example(c->examples);
        }
    }
}

/* The tables for getopt_long(); a long option's value is its place in the list, from 256 on. */
static void getopt_tables(const struct option_list *l, char *letters, struct option *longs)
{
    *letters++ = ':';
    for (int i = 0; i < l->count; i++) {
        const struct cli_option *o = l->items[i];
        longs[i] = (struct option){.name = o->name,
                                   .has_arg = o->arg == NULL ? no_argument : required_argument,
                                   .val = 256 + i};
        if (o->letter != 0) {
            *letters++ = o->letter;
            if (o->arg != NULL) {
                *letters++ = ':';
            }
        }
    }
    *letters = '\0';
    longs[l->count] = (struct option){0};
}

static const struct cli_option *option_of(const struct option_list *l, int found)
{
    for (int i = 0; i < l->count; i++) {
        if (found == 256 + i || (found < 256 && found != 0 && l->items[i]->letter == found)) {
            return l->items[i];
        }
    }
    return NULL;
}

/* -1: go on; else the exit code. */
static int take_option(struct cli_call *call, const struct cli_option *o, const char *value)
{
    if (o == &help_option) {
        print_command_help(call->group, call->command);
        return CLI_OK;
    }
    if (o == &output_option) {
        if (strcmp(value, "json") != 0 && strcmp(value, "table") != 0) {
            return cli_fail(call, CLI_USAGE, "--output takes table or json, not `%s`", value);
        }
        call->json = value[0] == 'j';
        return -1;
    }
    if (call->value_count == CLI_VALUES_MAX) {
        return cli_fail(call, CLI_USAGE, "more than %d options", CLI_VALUES_MAX);
    }
    call->values[call->value_count++] = (struct cli_value){.option = o->name, .value = value};
    return -1;
}

static int read_options(struct cli_call *call, int argc, char **argv)
{
    struct option_list l = options_of(call->command);
    char letters[2 * CLI_OPTIONS_MAX + 2];
    struct option longs[CLI_OPTIONS_MAX + 1];
    getopt_tables(&l, letters, longs);
    optind = 0; /* start over; glibc */
    opterr = 0;
    for (;;) {
        int found = getopt_long(argc, argv, letters, longs, NULL);
        if (found == -1) {
            break;
        }
        const struct cli_option *o = option_of(&l, found);
        if (found == '?' || found == ':' || o == NULL) {
            return cli_fail(call, CLI_USAGE,
                            found == ':' ? "%s needs a value" : "unknown option %s; see --help",
                            argv[optind - 1]);
        }
        int code = take_option(call, o, o->arg == NULL ? "" : optarg);
        if (code >= 0) {
            return code;
        }
    }
    call->argc = argc - optind;
    call->argv = argv + optind;
    const struct cli_command *c = call->command;
    if (call->argc < c->args_min || call->argc > c->args_max) {
        return cli_fail(call, CLI_USAGE, "%s; usage: signalbox %s%s%s %s",
                        call->argc < c->args_min ? "an argument is missing" : "too many arguments",
                        call->group, c->name == NULL ? "" : " ", c->name == NULL ? "" : c->name,
                        c->arguments);
    }
    return -1;
}

/* "GROUP --config FILE VERB …", as main() makes of a --config in front: the verb comes first. */
static void verb_first(int argc, char **argv)
{
    if (argc >= 4 && (strcmp(argv[1], "--config") == 0 || strcmp(argv[1], "-c") == 0)) {
        char *option = argv[1];
        char *file = argv[2];
        argv[1] = argv[3];
        argv[2] = option;
        argv[3] = file;
    }
}

int cli_run(const char *group, const char *words, const struct cli_command *commands, int argc,
            char **argv)
{
    struct cli_call call = {.group = group};
    const struct cli_command *c = commands;
    log_setup(LOG_WARN, LOG_FORMAT_AUTO);
    if (argc == 2 && strcmp(argv[1], CLI_MANUAL) == 0) {
        print_manual(group, commands);
        return CLI_OK;
    }
    if (c->name != NULL) {
        verb_first(argc, argv);
        const char *verb = argc > 1 ? argv[1] : "";
        if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0 || strcmp(verb, "help") == 0) {
            print_group_help(stdout, group, words, commands);
            return CLI_OK;
        }
        while (c->run != NULL && strcmp(c->name, verb) != 0) {
            c++;
        }
        if (c->run == NULL) {
            if (verb[0] != '\0') {
                (void)fprintf(stderr, "signalbox %s: unknown verb `%s`\n\n", group, verb);
            }
            print_group_help(stderr, group, words, commands);
            return CLI_USAGE;
        }
        argc--;
        argv++;
    }
    call.command = c;
    int code = read_options(&call, argc, argv);
    if (code < 0) {
        code = c->run(&call);
    }
    if (fflush(stdout) != 0 && code == CLI_OK) {
        code = cli_fail(&call, CLI_FAILED, "standard output: %s", strerrordesc_np(errno));
    }
    return code;
}

const char *cli_value(const struct cli_call *c, const char *option)
{
    const char *value = NULL;
    for (int i = 0; i < c->value_count; i++) {
        if (strcmp(c->values[i].option, option) == 0) {
            value = c->values[i].value;
        }
    }
    return value;
}

const char *cli_next_value(const struct cli_call *c, const char *option, int *at)
{
    while (*at < c->value_count) {
        const struct cli_value *v = &c->values[(*at)++];
        if (strcmp(v->option, option) == 0) {
            return v->value;
        }
    }
    return NULL;
}

bool cli_flag(const struct cli_call *c, const char *option)
{
    return cli_value(c, option) != NULL;
}

bool cli_number(const struct cli_call *c, const char *option, int64_t min, int64_t max,
                int64_t fallback, int64_t *ret_number)
{
    const char *text = cli_value(c, option);
    char *end = NULL;
    if (text == NULL) {
        *ret_number = fallback;
        return true;
    }
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || n < min || n > max) {
        (void)cli_fail(c, CLI_USAGE, "--%s takes a whole number from %lld to %lld, not `%s`",
                       option, (long long)min, (long long)max, text);
        return false;
    }
    *ret_number = n;
    return true;
}
