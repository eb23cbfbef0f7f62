/* The local CA on its files, without the server. Through the server: `signalbox device cert`. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "app/cli.h"
#include "app/cli_server.h"
#include "app/commands.h"
#include "auth/auth.h"
#include "auth/certificate.h"
#include "base/clock.h"
#include "base/ident.h"

enum { CA_CSR_FILE_MAX = 64 * 1024 };

/* --out DIR and a name. False: said that it is too long. */
static bool out_path(const struct cli_call *c, const char *name, const char *suffix,
                     char ret_path[PATH_MAX])
{
    const char *dir = cli_value(c, "out");
    int n = snprintf(ret_path, PATH_MAX, "%s/%s%s", dir == NULL ? "." : dir, name, suffix);
    if (n < 0 || n >= PATH_MAX) {
        (void)cli_fail(c, CLI_USAGE, "the path is too long");
        return false;
    }
    return true;
}

static int write_out(const struct cli_call *c, const char *path, const char *text, unsigned mode)
{
    enum err e = cli_write_new(path, text, mode);
    if (e == ERR_OK) {
        return CLI_OK;
    }
    return cli_fail(c, CLI_FAILED, "%s: %s", path,
                    e == ERR_EXISTS ? "exists already, move it away first"
                                    : strerrordesc_np(errno));
}

static int ca_create(const struct cli_call *c)
{
    char cert[PATH_MAX];
    char key[PATH_MAX];
    int64_t days = 0;
    const char *name = cli_value(c, "name");
    if (!cli_number(c, "days", 1, 36500, 3650, &days) || !out_path(c, "ca", ".pem", cert) ||
        !out_path(c, "ca", ".key", key)) {
        return CLI_USAGE;
    }
    enum err e = auth_ca_create(cert, key, name == NULL ? "signalbox CA" : name, (int)days);
    if (e != ERR_OK) {
        return cli_fail(c, CLI_FAILED, "%s, %s: %s", cert, key, err_words(e));
    }
    printf("%s\n%s\n", cert, key);
    cli_note("set ca_cert and ca_key to these files, and device_tls_ca to the first");
    return CLI_OK;
}

static int load_ca_conf(const struct cli_call *c, struct conf **ret_conf)
{
    int code = cli_load_conf(c, ret_conf);
    if (code == CLI_OK && ((*ret_conf)->ca_cert[0] == '\0' || (*ret_conf)->ca_key[0] == '\0')) {
        const char *file = cli_config_file(c);
        code = cli_fail(c, CLI_FAILED,
                        "ca_cert and ca_key are not set in %s; `signalbox init` makes a CA",
                        file == NULL ? "the environment" : file);
        conf_free(*ret_conf);
    }
    return code;
}

/* A row for the certificate, so that it can be listed and revoked. The certificate is good without
 * it. */
static void record(const struct cli_call *c, const struct conf *conf, const char *device,
                   const struct auth_issued *issued)
{
    struct db *db = NULL;
    struct db_params p = {0};
    int64_t rows = 0;
    if (cli_flag(c, "no-record")) {
        return;
    }
    enum err e = db_open(conf->database_url, "signalbox-cli", &db);
    if (e == ERR_OK) {
        db_text(&p, device);
        db_bytes(&p, view_of(issued->hash, sizeof(issued->hash)));
        db_text(&p, issued->serial);
        db_time(&p, issued->not_before_us);
        db_time(&p, issued->not_after_us);
        e = db_exec(
            db,
            "WITH c AS (INSERT INTO credentials (device_id, kind, hash, serial, not_before, "
            "not_after)"
            " SELECT id, 'certificate', $2, $3, $4, $5 FROM devices WHERE name = $1 RETURNING id)"
            " INSERT INTO audit_log (actor, action, object, detail)"
            " SELECT 'cli', 'credential.create', $1, jsonb_build_object('id', c.id, 'serial', "
            "$3::text) FROM c",
            &p, &rows);
    }
    if (e != ERR_OK) {
        cli_note("warning: the certificate is not recorded in the database (%s), so it cannot be "
                 "revoked on its own",
                 err_words(e));
    } else if (rows == 0) {
        cli_note("warning: there is no device %s yet; make it with `signalbox device create %s "
                 "--type TYPE`",
                 device, device);
    }
    db_close(db);
}

static int print_issued(const struct cli_call *c, const char *cert, const char *key,
                        const struct auth_issued *issued)
{
    char until[CLOCK_TEXT_SIZE];
    (void)clock_format(issued->not_after_us, until);
    if (c->json) {
        json_t *v = json_pack("{s:s, s:s?, s:s, s:s}", "certificate_file", cert, "private_key_file",
                              key, "serial", issued->serial, "not_after", until);
        cli_print_json(v);
        json_decref(v);
        return CLI_OK;
    }
    printf("%s\n%s%s", cert, key == NULL ? "" : key, key == NULL ? "" : "\n");
    cli_note("valid until %s", until);
    return CLI_OK;
}

static int issue_and_write(const struct cli_call *c, const struct conf *conf, const char *names,
                           const char *file, const char *csr, int days)
{
    bool server = cli_flag(c, "server");
    struct auth_issued issued = {0};
    char cert[PATH_MAX];
    char key[PATH_MAX];
    if (!out_path(c, file, ".pem", cert) || !out_path(c, file, ".key", key)) {
        return CLI_USAGE;
    }
    if (access(cert, F_OK) == 0 || (csr == NULL && access(key, F_OK) == 0)) {
        return cli_fail(c, CLI_FAILED, "%s or its key exists already, move it away first", cert);
    }
    enum err e = auth_ca_issue(conf->ca_cert, conf->ca_key, names,
                               server ? AUTH_USAGE_SERVER : AUTH_USAGE_CLIENT, csr, days, &issued);
    if (e != ERR_OK) {
        const char *why = e == ERR_DENIED ? "the request's signature is wrong"
                          : e == ERR_UNSUPPORTED
                              ? "the request's key is too weak or of an unknown kind"
                          : e == ERR_STATE   ? "ca_cert and ca_key are not a pair, or no CA"
                          : e == ERR_EXPIRED ? "the CA has expired"
                                             : err_words(e);
        return cli_fail(c, CLI_FAILED, "not issued: %s", why);
    }
    int code = issued.private_key == NULL ? CLI_OK : write_out(c, key, issued.private_key, 0600);
    code = code == CLI_OK ? write_out(c, cert, issued.certificate, 0644) : code;
    if (code == CLI_OK) {
        if (!server) {
            record(c, conf, names, &issued);
        }
        code = print_issued(c, cert, issued.private_key == NULL ? NULL : key, &issued);
    }
    auth_issued_fini(&issued);
    return code;
}

static int ca_issue(const struct cli_call *c)
{
    struct conf *conf = NULL;
    char *csr = NULL;
    size_t len = 0;
    int64_t days = 0;
    const char *csr_file = cli_value(c, "csr");
    bool server = cli_flag(c, "server");
    if (!server && !ident_valid(view_str(c->argv[0]))) {
        return cli_fail(c, CLI_USAGE,
                        "`%s` is no device name: letters, digits, . _ : and -, up to %d",
                        c->argv[0], IDENT_MAX);
    }
    if (!cli_number(c, "days", 1, 36500, server ? 825 : 1095, &days)) {
        return CLI_USAGE;
    }
    int code = load_ca_conf(c, &conf);
    if (code != CLI_OK) {
        return code;
    }
    if (csr_file != NULL) {
        csr = cli_read_file(c, csr_file, CA_CSR_FILE_MAX, &len);
        code = csr == NULL ? CLI_FAILED : CLI_OK;
    }
    if (code == CLI_OK) {
        code = issue_and_write(c, conf, c->argv[0], server ? "server" : c->argv[0], csr, (int)days);
    }
    free(csr);
    conf_free(conf);
    return code;
}

static int ca_show(const struct cli_call *c)
{
    struct auth_certificate_info info;
    struct conf *conf = NULL;
    char from[CLOCK_TEXT_SIZE];
    char until[CLOCK_TEXT_SIZE];
    static const char *const keys[] = {"file",       "subject",   "issuer", "names", "ca",
                                       "not_before", "not_after", "serial", "sha256"};
    if (c->argc == 0) {
        int code = load_ca_conf(c, &conf);
        if (code != CLI_OK) {
            return code;
        }
    }
    const char *file = conf == NULL ? c->argv[0] : conf->ca_cert;
    int code = CLI_OK;
    enum err e = auth_certificate_read(file, &info);
    if (e != ERR_OK) {
        code = cli_fail(c, CLI_FAILED, "%s: %s", file,
                        e == ERR_IO ? "cannot be read" : "no certificate in PEM");
    } else {
        json_t *v =
            json_pack("{s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:s, s:s}", "file", file, "subject",
                      info.subject, "issuer", info.issuer, "names", info.names, "ca",
                      (int)info.is_ca, "not_before", clock_format(info.not_before_us, from),
                      "not_after", clock_format(info.not_after_us, until), "serial", info.serial,
                      "sha256", info.fingerprint);
        if (c->json) {
            cli_print_json(v);
        } else {
            cli_print_fields(v, keys, sizeof(keys) / sizeof(keys[0]));
        }
        json_decref(v);
    }
    conf_free(conf);
    return code;
}

int cli_ca(int argc, char **argv)
{
    static const struct cli_option create_options[] = {
        {"out", 0, "DIR", "where to write ca.pem and ca.key (default: here)"},
        {"name", 0, "NAME", "the CA's common name"},
        {"days", 0, "N", "validity (default 3650)"},
        {0},
    };
    static const struct cli_option issue_options[] = {
        {"csr", 0, "FILE", "sign this request instead of making a key; its subject is replaced"},
        {"out", 0, "DIR", "where to write NAME.pem and NAME.key (default: here)"},
        {"days", 0, "N", "validity (default 1095, for servers 825)"},
        {"server", 0, NULL, "a server's certificate; NAME is a list of host names and addresses"},
        {"no-record", 0, NULL, "do not record it in the database"},
        {0},
    };
    static const struct cli_command commands[] = {
        {.name = "create",
         .arguments = "",
         .words = "make a new CA: ca.pem and ca.key",
         .examples = "  signalbox ca create --out /etc/signalbox --name \"Plant 1 CA\"\n",
         .options = create_options,
         .run = ca_create},
        {.name = "issue",
         .arguments = "NAME",
         .words = "issue a device's certificate, or a server's with --server",
         .examples = "  signalbox ca issue press-7 --out certs\n"
                     "  signalbox ca issue press-7 --csr press-7.csr\n"
                     "  signalbox ca issue --server box.example.com,192.0.2.7\n",
         .args_min = 1,
         .args_max = 1,
         .uses = CLI_USES_CONFIG | CLI_USES_OUTPUT,
         .options = issue_options,
         .run = ca_issue},
        {.name = "show",
         .arguments = "[FILE]",
         .words = "show the CA's certificate, or the one in FILE",
         .examples = "  signalbox ca show\n  signalbox ca show press-7.pem -o json\n",
         .args_max = 1,
         .uses = CLI_USES_CONFIG | CLI_USES_OUTPUT,
         .run = ca_show},
        {0},
    };
    return cli_run("ca",
                   "The local CA that issues certificates for devices and for the server itself.",
                   commands, argc, argv);
}
