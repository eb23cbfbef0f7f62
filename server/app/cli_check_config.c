#include <stdio.h>
#include <stdlib.h>

#include "app/cli.h"
#include "app/commands.h"

static int print_buf(const struct cli_call *c, struct buf *out)
{
    enum err e = buf_err(out);
    if (e == ERR_OK) {
        (void)fwrite(out->data, 1, out->len, stdout);
    }
    buf_fini(out);
    return e == ERR_OK ? CLI_OK : cli_fail(c, CLI_FAILED, "%s", err_words(e));
}

static int check_config(const struct cli_call *c)
{
    struct conf *conf = NULL;
    struct buf out;
    buf_init(&out, MIB);
    if (cli_flag(c, "sample")) {
        conf_write_sample(&out);
        return print_buf(c, &out);
    }
    int code = cli_load_conf(c, &conf);
    if (code != CLI_OK) {
        return code;
    }
    const char *file = cli_config_file(c);
    if (cli_flag(c, "print")) {
        conf_write_effective(conf, &out);
        code = print_buf(c, &out);
    } else {
        printf("%s: good\n", file == NULL ? "defaults and environment" : file);
    }
    conf_free(conf);
    return code;
}

int cli_check_config(int argc, char **argv)
{
    static const struct cli_option options[] = {
        {"print", 'p', NULL, "print every setting as it is in force; passwords are hidden"},
        {"sample", 0, NULL, "print a sample file with every setting, its range and its default"},
        {0},
    };
    static const struct cli_command commands[] = {
        {.arguments = "",
         .words = "Checks the settings: the file and the variables SIGNALBOX_… of the environment. "
                  "A mistake is told as\n"
                  "FILE:LINE:COLUMN with what is accepted, and ends with exit code 1.",
         .examples = "  signalbox check-config --config /etc/signalbox/signalbox.yaml\n"
                     "  signalbox check-config --print\n"
                     "  signalbox check-config --sample > signalbox.yaml\n",
         .uses = CLI_USES_CONFIG,
         .options = options,
         .run = check_config},
        {0},
    };
    return cli_run("check-config", "", commands, argc, argv);
}
