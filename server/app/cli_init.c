/*
 * init: everything a new server needs beside a database: settings, a CA of its own, the server's
 * certificate. What exists is kept, so that it can be run again after half of it was lost.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/cli.h"
#include "app/commands.h"
#include "auth/auth.h"
#include "base/emit_json.h"

enum { INIT_CA_DAYS = 3650, INIT_SERVER_DAYS = 825 };

struct init {
    const struct cli_call *call;
    char dir[PATH_MAX];
    char ca_cert[PATH_MAX + 16], ca_key[PATH_MAX + 16];
    char server_cert[PATH_MAX + 16], server_key[PATH_MAX + 16];
    char settings[PATH_MAX + 32];
};

static void join(const struct init *in, const char *name, char *ret_path, size_t size)
{
    (void)snprintf(ret_path, size, "%s/%s", in->dir, name);
}

static int open_dir(struct init *in)
{
    const char *dir = in->call->argc > 0 ? in->call->argv[0] : cli_value(in->call, "dir");
    dir = dir == NULL ? "." : dir;
    if (mkdir(dir, 0755) != 0 && errno != EEXIST) {
        return cli_fail(in->call, CLI_FAILED, "%s: %s", dir, strerrordesc_np(errno));
    }
    if (realpath(dir, in->dir) == NULL) {
        return cli_fail(in->call, CLI_FAILED, "%s: %s", dir, strerrordesc_np(errno));
    }
    join(in, "ca.pem", in->ca_cert, sizeof(in->ca_cert));
    join(in, "ca.key", in->ca_key, sizeof(in->ca_key));
    join(in, "server.pem", in->server_cert, sizeof(in->server_cert));
    join(in, "server.key", in->server_key, sizeof(in->server_key));
    join(in, "signalbox.yaml", in->settings, sizeof(in->settings));
    return CLI_OK;
}

/* Both files, or none; half a pair is for a person to look at. */
static int pair_state(const struct init *in, const char *cert, const char *key, bool *ret_there)
{
    bool have_cert = access(cert, F_OK) == 0;
    bool have_key = access(key, F_OK) == 0;
    if (have_cert != have_key) {
        return cli_fail(in->call, CLI_FAILED,
                        "%s is there and %s is not; restore it, or move the other away",
                        have_cert ? cert : key, have_cert ? key : cert);
    }
    *ret_there = have_cert;
    if (have_cert) {
        cli_note("kept     %s", cert);
    }
    return CLI_OK;
}

static int make_ca(const struct init *in)
{
    char host[65] = "";
    char name[160];
    bool there = false;
    int code = pair_state(in, in->ca_cert, in->ca_key, &there);
    if (code != CLI_OK || there) {
        return code;
    }
    (void)gethostname(host, sizeof(host) - 1);
    (void)snprintf(name, sizeof(name), "signalbox CA of %.40s", host);
    enum err e = auth_ca_create(in->ca_cert, in->ca_key, name, INIT_CA_DAYS);
    if (e != ERR_OK) {
        return cli_fail(in->call, CLI_FAILED, "the CA could not be written to %s: %s", in->ca_cert,
                        err_words(e));
    }
    cli_note("created  %s and its key %s: whoever has the key can make devices", in->ca_cert,
             in->ca_key);
    return CLI_OK;
}

/* --names, --host and this machine's loopback names, each once. */
static char *server_names(const struct cli_call *c)
{
    static const char *const always[] = {"localhost", "127.0.0.1", "::1"};
    struct buf names;
    int at = 0;
    buf_init(&names, 8192);
    const char *list = cli_value(c, "names");
    if (list != NULL) {
        buf_put_str(&names, list);
    }
    for (const char *host = NULL; (host = cli_next_value(c, "host", &at)) != NULL;) {
        buf_printf(&names, "%s%s", names.len > 0 ? "," : "", host);
    }
    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
        struct view text = buf_view(&names);
        bool have = false;
        while (!have && text.len > 0) {
            const uint8_t *comma = memchr(text.data, ',', text.len);
            struct view word =
                view_of(text.data, comma == NULL ? text.len : (size_t)(comma - text.data));
            have = view_eq_str(word, always[i]);
            text = view_skip(text, comma == NULL ? text.len : word.len + 1);
        }
        if (!have) {
            buf_printf(&names, "%s%s", names.len > 0 ? "," : "", always[i]);
        }
    }
    return buf_take_str(&names);
}

static int make_server(const struct init *in)
{
    struct auth_issued issued = {0};
    bool there = false;
    int code = pair_state(in, in->server_cert, in->server_key, &there);
    if (code != CLI_OK || there) {
        return code;
    }
    char *names = server_names(in->call);
    enum err e = names == NULL ? ERR_NOMEM
                               : auth_ca_issue(in->ca_cert, in->ca_key, names, AUTH_USAGE_SERVER,
                                               NULL, INIT_SERVER_DAYS, &issued);
    if (e == ERR_RANGE) {
        code =
            cli_fail(in->call, CLI_USAGE,
                     "the names `%s` are not host names or addresses separated by commas", names);
    } else if (e != ERR_OK) {
        code = cli_fail(in->call, CLI_FAILED, "the server's certificate could not be issued: %s",
                        err_words(e));
    }
    if (e == ERR_OK) {
        e = cli_write_new(in->server_key, issued.private_key, 0600);
        e = e == ERR_OK ? cli_write_new(in->server_cert, issued.certificate, 0644) : e;
        code = e == ERR_OK ? CLI_OK
                           : cli_fail(in->call, CLI_FAILED, "%s: %s", in->server_cert,
                                      strerrordesc_np(errno));
    }
    if (code == CLI_OK) {
        cli_note("created  %s for %s", in->server_cert, names);
    }
    auth_issued_fini(&issued);
    free(names);
    return code;
}

static void put_setting(struct buf *out, const char *name, const char *value)
{
    struct emit_json j = emit_json_init(out);
    buf_printf(out, "%s: ", name);
    emit_json_str(&j, value);
    buf_put_str(out, "\n");
}

static int make_settings(const struct init *in)
{
    struct buf out;
    buf_init(&out, MIB);
    buf_put_str(&out, "# Written by `signalbox init`. What is not said here has its default; the "
                      "list is below.\n\n");
    put_setting(&out, "device_tls_cert", in->server_cert);
    put_setting(&out, "device_tls_key", in->server_key);
    put_setting(&out, "device_tls_ca", in->ca_cert);
    put_setting(&out, "ca_cert", in->ca_cert);
    put_setting(&out, "ca_key", in->ca_key);
    buf_put_str(&out, "\n# --- every setting ---\n\n");
    conf_write_sample(&out);
    char *text = buf_take_str(&out);
    /* A password may come into it: not for everybody. */
    enum err e = text == NULL ? ERR_NOMEM : cli_write_new(in->settings, text, 0640);
    free(text);
    if (e == ERR_EXISTS) {
        cli_note("kept     %s", in->settings);
        return CLI_OK;
    }
    if (e != ERR_OK) {
        return cli_fail(in->call, CLI_FAILED, "%s: %s", in->settings,
                        e == ERR_IO ? strerrordesc_np(errno) : err_words(e));
    }
    cli_note("created  %s", in->settings);
    return CLI_OK;
}

static int init(const struct cli_call *c)
{
    struct init *in = calloc(1, sizeof(*in));
    if (in == NULL) {
        return cli_fail(c, CLI_FAILED, "out of memory");
    }
    in->call = c;
    int code = open_dir(in);
    if (code == CLI_OK) {
        code = make_ca(in);
    }
    if (code == CLI_OK) {
        code = make_server(in);
    }
    if (code == CLI_OK) {
        code = make_settings(in);
    }
    if (code == CLI_OK) {
        cli_note("\nnext: set database_url in %s, then", in->settings);
        printf("signalbox --config %s migrate && signalbox --config %s serve\n", in->settings,
               in->settings);
    }
    free(in);
    return code;
}

int cli_init(int argc, char **argv)
{
    static const struct cli_option options[] = {
        {"dir", 'd', "DIR", "where to write; made when it is missing (default: here)"},
        {"names", 0, "LIST", "host names and addresses of this server, separated by commas"},
        {"host", 0, "NAME", "one more of them; may be repeated"},
        {0},
    };
    static const struct cli_command commands[] = {
        {.arguments = "[DIR]",
         .words = "Writes signalbox.yaml, a CA of your own (ca.pem, ca.key) and the server's "
                  "certificate (server.pem,\n"
                  "server.key) for localhost, 127.0.0.1, ::1 and the names given. Asks nothing, "
                  "keeps what exists, and\n"
                  "prints the next command.",
         .examples = "  signalbox init /etc/signalbox --names box.example.com,192.0.2.7\n"
                     "  signalbox init --dir var --host box.example.com\n",
         .args_max = 1,
         .options = options,
         .run = init},
        {0},
    };
    return cli_run("init", "", commands, argc, argv);
}
