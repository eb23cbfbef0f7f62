#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/cli_server.h"
#include "app/cli_table.h"
#include "app/commands.h"
#include "base/check.h"

enum { DEVICE_CSR_MAX = 64 * 1024, DEVICE_IMPORT_MAX = 512 * 1024 * 1024 };

/* One request whose answer is shown; what most verbs are. */
static int simple(const struct cli_call *c, const struct cli_request *r, json_t **ret_json)
{
    struct http_client *client = NULL;
    int code = cli_server_open(c, &client);
    if (code == CLI_OK) {
        code = cli_request(c, client, r, ret_json, NULL);
    }
    http_client_free(client);
    return code;
}

/* How a device with this token sends its first reading. */
static void print_hint(const struct cli_call *c, const char *token)
{
    struct conf *conf = NULL;
    struct conf_error ignored;
    char host[256];
    int port = 8883;
    const char *file = cli_config_file(c);
    const char *ca = "var/ca.pem";
    if (file != NULL && conf_load(file, &conf, &ignored) == ERR_OK) {
        if (conf_split_address(conf->device_listen, host, sizeof(host), &port) != ERR_OK) {
            port = 8883;
        }
        ca = conf->ca_cert[0] == '\0' ? ca : conf->ca_cert;
    }
    cli_note("\ntry it:\n  mosquitto_pub -h localhost -p %d --cafile %s -u %s -q 1 \\\n"
             "    -t v1/devices/me/telemetry -m '{\"temperature\":21.5}'",
             port, ca, token);
    conf_free(conf);
}

static int new_token(const struct cli_call *c, struct http_client *client, const char *name,
                     json_t **ret_json)
{
    json_t *body = json_pack("{s:s}", "kind", "token");
    const char *wanted = cli_value(c, "value");
    if (wanted != NULL) {
        (void)json_object_set_new(body, "token", json_string(wanted));
    }
    char *path = cli_path("/v1/devices/", name, "/credentials", NULL);
    const struct cli_request r = {.method = "POST", .path = path, .body = body};
    int code = cli_request(c, client, &r, ret_json, NULL);
    free(path);
    json_decref(body);
    return code;
}

static int device_create(const struct cli_call *c)
{
    struct http_client *client = NULL;
    json_t *labels = json_object();
    json_t *attributes = json_object();
    json_t *made = NULL;
    json_t *credential = NULL;
    const char *type = cli_value(c, "type");
    if (!cli_take_pairs(c, "label", false, labels) ||
        !cli_take_pairs(c, "attribute", true, attributes)) {
        json_decref(labels);
        json_decref(attributes);
        return CLI_USAGE;
    }
    json_t *body = json_pack("{s:s, s:s, s:o, s:o, s:s?}", "name", c->argv[0], "type",
                             type == NULL ? "generic" : type, "labels", labels, "attributes",
                             attributes, "gateway", cli_value(c, "gateway"));
    int code = body == NULL ? cli_fail(c, CLI_USAGE, "an argument is not valid UTF-8")
                            : cli_server_open(c, &client);
    if (code == CLI_OK) {
        const struct cli_request r = {.method = "POST", .path = "/v1/devices", .body = body};
        code = cli_request(c, client, &r, &made, NULL);
    }
    if (code == CLI_OK && cli_flag(c, "with-token")) {
        code = new_token(c, client, c->argv[0], &credential);
    }
    const char *token = json_string_value(json_object_get(credential, "token"));
    if (code == CLI_OK && c->json) {
        if (credential != NULL) {
            (void)json_object_set(made, "credential", credential);
        }
        cli_print_json(made);
    } else if (code == CLI_OK) {
        cli_note("created %s", c->argv[0]);
        if (token != NULL) {
            printf("%s\n", token);
            print_hint(c, token);
        }
    }
    json_decref(body);
    json_decref(made);
    json_decref(credential);
    http_client_free(client);
    return code;
}

static int device_list(const struct cli_call *c)
{
    static const struct cli_column columns[] = {{"NAME", "name"},
                                                {"TYPE", "type"},
                                                {"GATEWAY", "gateway"},
                                                {"ENABLED", "enabled"},
                                                {"LAST SEEN", "last_seen_at"},
                                                {"LABELS", "labels"}};
    struct http_client *client = NULL;
    struct buf path;
    int code = cli_server_open(c, &client);
    if (code != CLI_OK) {
        return code;
    }
    buf_init(&path, 32768);
    buf_put_str(&path, "/v1/devices");
    cli_query(&path, "type", cli_value(c, "type"));
    cli_query(&path, "select", cli_value(c, "select"));
    cli_query(&path, "gateway", cli_value(c, "gateway"));
    code = cli_list(c, client, &path, columns, COUNT_OF(columns), true);
    buf_fini(&path);
    http_client_free(client);
    return code;
}

static void print_latest(const json_t *latest)
{
    size_t i = 0;
    const json_t *item = NULL;
    json_array_foreach(json_object_get(latest, "items"), i, item)
    {
        static const char *const keys[] = {"metric", "value", "ts"};
        char *text[3];
        for (size_t k = 0; k < 3; k++) {
            text[k] = cli_json_text(json_object_get(item, keys[k]));
        }
        if (i == 0) {
            printf("\nlatest values\n");
        }
        char *shown[3];
        for (size_t k = 0; k < 3; k++) {
            struct buf clean;
            buf_init(&clean, 65536);
            cli_text_clean(&clean, text[k] == NULL ? "" : text[k], 0);
            shown[k] = buf_take_str(&clean);
        }
        printf("  %-24s %-16s %s\n", shown[0], shown[1], shown[2]);
        for (size_t k = 0; k < 3; k++) {
            free(text[k]);
            free(shown[k]);
        }
    }
}

static int device_show(const struct cli_call *c)
{
    static const char *const keys[] = {"name",       "type",       "enabled",  "gateway",
                                       "labels",     "attributes", "reported", "last_seen_at",
                                       "created_at", "updated_at"};
    struct http_client *client = NULL;
    json_t *device = NULL;
    json_t *latest = NULL;
    int code = cli_server_open(c, &client);
    if (code != CLI_OK) {
        return code;
    }
    char *path = cli_path("/v1/devices/", c->argv[0], NULL);
    char *latest_path = cli_path("/v1/devices/", c->argv[0], "/latest", NULL);
    const struct cli_request r = {.method = "GET", .path = path};
    const struct cli_request latest_request = {.method = "GET", .path = latest_path};
    code = cli_request(c, client, &r, &device, NULL);
    if (code == CLI_OK) {
        code = cli_request(c, client, &latest_request, &latest, NULL);
    }
    if (code == CLI_OK && c->json) {
        (void)json_object_set(device, "latest", json_object_get(latest, "items"));
        cli_print_json(device);
    } else if (code == CLI_OK) {
        cli_print_fields(device, keys, COUNT_OF(keys));
        print_latest(latest);
    }
    free(path);
    free(latest_path);
    json_decref(device);
    json_decref(latest);
    http_client_free(client);
    return code;
}

/* CSV begins with its heading, NDJSON with an object. */
static const char *import_type(const char *path, const char *text)
{
    const char *dot = strrchr(path, '.');
    if (dot != NULL && strcmp(dot, ".csv") == 0) {
        return "text/csv";
    }
    text += strspn(text, " \t\r\n");
    return text[0] == '{' ? "application/x-ndjson" : "text/csv";
}

static int print_import(const struct cli_call *c, const json_t *result)
{
    json_int_t failed = json_integer_value(json_object_get(result, "failed"));
    if (c->json) {
        cli_print_json(result);
        return failed == 0 ? CLI_OK : CLI_FAILED;
    }
    size_t i = 0;
    const json_t *error = NULL;
    json_array_foreach(json_object_get(result, "errors"), i, error)
    {
        struct buf clean;
        const char *detail = json_string_value(json_object_get(error, "detail"));
        buf_init(&clean, 65536);
        cli_text_clean(&clean, detail == NULL ? "" : detail, 0);
        char *text = buf_take_str(&clean);
        cli_note("line %lld: %s", (long long)json_integer_value(json_object_get(error, "line")),
                 text);
        free(text);
    }
    printf("created %lld, updated %lld, failed %lld\n",
           (long long)json_integer_value(json_object_get(result, "created")),
           (long long)json_integer_value(json_object_get(result, "updated")), (long long)failed);
    return failed == 0 ? CLI_OK : CLI_FAILED;
}

static int device_import(const struct cli_call *c)
{
    size_t len = 0;
    json_t *result = NULL;
    char *text = cli_read_file(c, c->argv[0], DEVICE_IMPORT_MAX, &len);
    if (text == NULL) {
        return CLI_FAILED;
    }
    const struct cli_request r = {.method = "POST",
                                  .path = "/v1/devices/import",
                                  .raw = view_of(text, len),
                                  .raw_type = import_type(c->argv[0], text)};
    int code = simple(c, &r, &result);
    if (code == CLI_OK) {
        code = print_import(c, result);
    }
    json_decref(result);
    free(text);
    return code;
}

static int device_token(const struct cli_call *c)
{
    struct http_client *client = NULL;
    json_t *credential = NULL;
    int code = cli_server_open(c, &client);
    if (code == CLI_OK) {
        code = new_token(c, client, c->argv[0], &credential);
    }
    const char *token = json_string_value(json_object_get(credential, "token"));
    if (code == CLI_OK && c->json) {
        cli_print_json(credential);
    } else if (code == CLI_OK && token != NULL) {
        printf("%s\n", token);
        print_hint(c, token);
    }
    json_decref(credential);
    http_client_free(client);
    return code;
}

static int write_part(const struct cli_call *c, const json_t *credential, const char *key,
                      const char *suffix, unsigned mode)
{
    char path[PATH_MAX];
    const char *dir = cli_value(c, "out");
    const char *text = json_string_value(json_object_get(credential, key));
    if (text == NULL) {
        return CLI_OK;
    }
    int n = snprintf(path, sizeof(path), "%s/%s%s", dir == NULL ? "." : dir, c->argv[0], suffix);
    if (n < 0 || n >= (int)sizeof(path)) {
        return cli_fail(c, CLI_USAGE, "the path is too long");
    }
    enum err e = cli_write_new(path, text, mode);
    if (e != ERR_OK) {
        return cli_fail(c, CLI_FAILED, "%s: %s", path,
                        e == ERR_EXISTS ? "exists already; the new certificate is lost, revoke it"
                                        : strerrordesc_np(errno));
    }
    printf("%s\n", path);
    return CLI_OK;
}

static bool outputs_are_free(const struct cli_call *c)
{
    static const char *const suffixes[] = {".pem", ".key"};
    const char *dir = cli_value(c, "out");
    for (size_t i = 0; i < 2; i++) {
        char path[PATH_MAX];
        (void)snprintf(path, sizeof(path), "%s/%s%s", dir == NULL ? "." : dir, c->argv[0],
                       suffixes[i]);
        if (access(path, F_OK) == 0 && !(i == 1 && cli_flag(c, "csr"))) {
            (void)cli_fail(c, CLI_FAILED, "%s exists already, move it away first", path);
            return false;
        }
    }
    return true;
}

static int device_cert(const struct cli_call *c)
{
    json_t *credential = NULL;
    size_t len = 0;
    char *csr = NULL;
    const char *csr_file = cli_value(c, "csr");
    if (strchr(c->argv[0], '/') != NULL) {
        return cli_fail(c, CLI_USAGE, "`%s` is no device name", c->argv[0]);
    }
    if (!c->json && !outputs_are_free(c)) {
        return CLI_FAILED;
    }
    if (csr_file != NULL && (csr = cli_read_file(c, csr_file, DEVICE_CSR_MAX, &len)) == NULL) {
        return CLI_FAILED;
    }
    json_t *body = json_pack("{s:s}", "kind", "certificate");
    if (csr != NULL) {
        (void)json_object_set_new(body, "csr", json_string(csr));
    }
    char *path = cli_path("/v1/devices/", c->argv[0], "/credentials", NULL);
    const struct cli_request r = {.method = "POST", .path = path, .body = body};
    int code = simple(c, &r, &credential);
    if (code == CLI_OK && c->json) {
        cli_print_json(credential);
    } else if (code == CLI_OK) {
        code = write_part(c, credential, "private_key", ".key", 0600);
        code = code == CLI_OK ? write_part(c, credential, "certificate", ".pem", 0644) : code;
    }
    free(path);
    free(csr);
    json_decref(body);
    json_decref(credential);
    return code;
}

static int device_credentials(const struct cli_call *c)
{
    static const struct cli_column columns[] = {{"ID", "id"},
                                                {"KIND", "kind"},
                                                {"SERIAL", "serial"},
                                                {"NOT BEFORE", "not_before"},
                                                {"NOT AFTER", "not_after"},
                                                {"REVOKED", "revoked_at"}};
    struct http_client *client = NULL;
    struct buf path;
    int code = cli_server_open(c, &client);
    if (code != CLI_OK) {
        return code;
    }
    buf_init(&path, 4096);
    char *text = cli_path("/v1/devices/", c->argv[0], "/credentials", NULL);
    buf_put_str(&path, text == NULL ? "" : text);
    code = cli_list(c, client, &path, columns, COUNT_OF(columns), false);
    free(text);
    buf_fini(&path);
    http_client_free(client);
    return code;
}

static int remove_path(const struct cli_call *c, char *path, const char *done)
{
    json_t *ignored = NULL;
    const struct cli_request r = {.method = "DELETE", .path = path};
    int code = simple(c, &r, &ignored);
    if (code == CLI_OK) {
        cli_note("%s", done);
    }
    json_decref(ignored);
    free(path);
    return code;
}

static int device_revoke(const struct cli_call *c)
{
    return remove_path(c, cli_path("/v1/devices/", c->argv[0], "/credentials/", c->argv[1], NULL),
                       "revoked; a live session with it is closed");
}

static int device_delete(const struct cli_call *c)
{
    return remove_path(c, cli_path("/v1/devices/", c->argv[0], NULL),
                       "deleted; its readings stay until they are dropped by age");
}

int cli_device(int argc, char **argv)
{
    static const struct cli_option create_options[] = {
        {"type", 't', "TYPE", "device type (default: generic)"},
        {"label", 'l', "KEY=VALUE", "a label; may be repeated"},
        {"attribute", 'a', "KEY=VALUE",
         "an attribute, number, true, false or text; may be repeated"},
        {"gateway", 0, "NAME", "the gateway it is behind"},
        {"with-token", 0, NULL, "make and print an access token too"},
        {0},
    };
    static const struct cli_option list_options[] = {
        {"type", 't', "TYPE", "of this type"},
        {"select", 's', "SELECTOR", "such as type=motor,site=plant-1"},
        {"gateway", 0, "NAME", "behind this gateway"},
        {"limit", 'n', "N", "at most so many (else all)"},
        {0},
    };
    static const struct cli_option token_options[] = {
        {"value", 0, "TOKEN", "use this token, of 20 characters or more, instead of a new one"},
        {0},
    };
    static const struct cli_option cert_options[] = {
        {"csr", 0, "FILE", "sign this request instead of making a key"},
        {"out", 0, "DIR", "where to write NAME.pem and NAME.key (default: here)"},
        {0},
    };
    enum { SERVER = CLI_USES_SERVER | CLI_USES_OUTPUT };
    static const struct cli_command commands[] = {
        {"create", "NAME", "make a device",
         "  signalbox device create press-7 --type press --label site=plant-1 --attribute limit=80 "
         "--with-token\n",
         1, 1, SERVER, create_options, device_create},
        {"list", "", "list devices",
         "  signalbox device list --select 'type=motor,site=plant-1'\n  signalbox device list -o "
         "json -n 10\n",
         0, 0, SERVER, list_options, device_list},
        {"show", "NAME", "show a device and its latest values", "  signalbox device show press-7\n",
         1, 1, SERVER, NULL, device_show},
        {"import", "FILE", "create or update devices from CSV or NDJSON (- for standard input)",
         "  signalbox device import fleet.csv\n  zcat fleet.ndjson.gz | signalbox device import "
         "-\n",
         1, 1, SERVER, NULL, device_import},
        {"token", "NAME", "make an access token for a device and print it, once",
         "  signalbox device token press-7\n", 1, 1, SERVER, token_options, device_token},
        {"cert", "NAME", "have the server issue a certificate for a device",
         "  signalbox device cert press-7 --out certs\n  signalbox device cert press-7 --csr "
         "press-7.csr\n",
         1, 1, SERVER, cert_options, device_cert},
        {"credentials", "NAME", "list a device's credentials",
         "  signalbox device credentials press-7\n", 1, 1, SERVER, NULL, device_credentials},
        {"revoke", "NAME ID", "revoke one of them", "  signalbox device revoke press-7 12\n", 2, 2,
         SERVER, NULL, device_revoke},
        {"delete", "NAME", "delete a device", "  signalbox device delete press-7\n", 1, 1, SERVER,
         NULL, device_delete},
        {0},
    };
    return cli_run("device", "Devices and their credentials, through the server.", commands, argc,
                   argv);
}
