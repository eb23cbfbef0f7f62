#include "app/cli_server.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/cli_table.h"

#define CLI_DEFAULT_URL "http://127.0.0.1:8080"

enum { CLI_JSON_MAX = 512 * 1024 * 1024, CLI_TOKEN_MAX = 1024, CLI_PAGE = 1000 };

void cli_listen_url(const struct conf *conf, char *ret_url, size_t size)
{
    char host[256];
    int port = 0;
    const char *scheme = conf->http_tls_cert[0] == '\0' ? "http" : "https";
    if (conf_split_address(conf->http_listen, host, sizeof(host), &port) != ERR_OK) {
        (void)snprintf(ret_url, size, CLI_DEFAULT_URL);
        return;
    }
    bool any4 = host[0] == '\0' || strcmp(host, "0.0.0.0") == 0;
    bool any6 = strcmp(host, "::") == 0;
    const char *shown = any4 ? "127.0.0.1" : any6 ? "::1" : host;
    bool brackets = strchr(shown, ':') != NULL;
    (void)snprintf(ret_url, size, "%s://%s%s%s:%d", scheme, brackets ? "[" : "", shown,
                   brackets ? "]" : "", port);
}

char *cli_server_url(const struct cli_call *c)
{
    const char *given = cli_value(c, "url");
    const char *env = getenv("SIGNALBOX_URL");
    const char *file = cli_config_file(c);
    if (given != NULL || (env != NULL && env[0] != '\0')) {
        return strdup(given != NULL ? given : env);
    }
    struct conf *conf = NULL;
    struct conf_error ignored;
    char url[320] = CLI_DEFAULT_URL;
    if (file != NULL && conf_load(file, &conf, &ignored) == ERR_OK) {
        cli_listen_url(conf, url, sizeof(url));
        conf_free(conf);
    }
    return strdup(url);
}

/* The first line of the file. */
static int read_token(const struct cli_call *c, const char *path, char **ret_token)
{
    size_t len = 0;
    char *text = cli_read_file(c, path, CLI_TOKEN_MAX, &len);
    if (text == NULL) {
        return CLI_FAILED;
    }
    text[strcspn(text, "\r\n")] = '\0';
    *ret_token = text;
    return CLI_OK;
}

/* A token that nobody named is only given to this machine: it must not leak to whoever a URL points
 * to. */
static int default_token(const struct cli_call *c, const char *url, char **ret_token)
{
    const char *config = cli_config_file(c);
    char path[1200];
    const char *slash = config == NULL ? NULL : strrchr(config, '/');
    int folder = slash == NULL ? 0 : (int)(slash - config);
    if (!http_url_is_loopback(url) || folder > 1024) {
        return CLI_OK;
    }
    if (config == NULL) {
        (void)snprintf(path, sizeof(path), "var/admin.token");
    } else {
        (void)snprintf(path, sizeof(path), "%.*s/admin.token", slash == NULL ? 1 : folder,
                       slash == NULL ? "." : config);
    }
    return access(path, R_OK) == 0 ? read_token(c, path, ret_token) : CLI_OK;
}

static int find_token(const struct cli_call *c, const char *url, char **ret_token)
{
    const char *token = cli_value(c, "token");
    const char *file = cli_value(c, "token-file");
    const char *env = getenv("SIGNALBOX_TOKEN");
    const char *env_file = getenv("SIGNALBOX_TOKEN_FILE");
    *ret_token = NULL;
    if (token == NULL && file == NULL && env != NULL && env[0] != '\0') {
        token = env;
    }
    if (token != NULL) {
        *ret_token = strdup(token);
        return CLI_OK;
    }
    if (file == NULL && env_file != NULL && env_file[0] != '\0') {
        file = env_file;
    }
    return file != NULL ? read_token(c, file, ret_token) : default_token(c, url, ret_token);
}

int cli_server_open(const struct cli_call *c, struct http_client **ret_client)
{
    char *url = cli_server_url(c);
    char *token = NULL;
    const char *cacert = cli_value(c, "cacert");
    const char *env_cacert = getenv("SIGNALBOX_CACERT");
    if (url == NULL) {
        return cli_fail(c, CLI_FAILED, "out of memory");
    }
    int code = find_token(c, url, &token);
    if (code == CLI_OK) {
        bool plain = strncmp(url, "https://", 8) != 0;
        if (plain && token != NULL && !http_url_is_loopback(url)) {
            cli_note("warning: the token goes to %s unencrypted; use https", url);
        }
        const struct http_client_options options = {
            .url = url,
            .token = token,
            .cacert = cacert != NULL                                ? cacert
                      : env_cacert != NULL && env_cacert[0] != '\0' ? env_cacert
                                                                    : NULL,
        };
        code = http_client_new(&options, ret_client) == ERR_OK
                   ? CLI_OK
                   : cli_fail(c, CLI_FAILED, "out of memory");
    }
    if (token != NULL) {
        explicit_bzero(token, strlen(token));
    }
    free(token);
    free(url);
    return code;
}

char *cli_path(const char *first, ...)
{
    struct buf path;
    va_list args;
    buf_init(&path, 65536);
    va_start(args, first);
    bool literal = true;
    for (const char *part = first; part != NULL; part = va_arg(args, const char *)) {
        if (literal) {
            buf_put_str(&path, part);
        } else {
            http_escape(&path, view_str(part));
        }
        literal = !literal;
    }
    va_end(args);
    return buf_take_str(&path);
}

void cli_query(struct buf *path, const char *key, const char *value)
{
    if (value == NULL) {
        return;
    }
    bool first = path->len == 0 || memchr(path->data, '?', path->len) == NULL;
    buf_printf(path, "%c%s=", first ? '?' : '&', key);
    http_escape(path, view_str(value));
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void note_clean(const char *before, const char *text)
{
    struct buf line;
    buf_init(&line, 65536);
    buf_put_str(&line, before);
    cli_text_clean(&line, text, 0);
    char *s = buf_take_str(&line);
    cli_note("%s", s == NULL ? "" : s);
    free(s);
}

/* "  /when: expected a value": what single fields have wrong, unless the detail has said it. */
static void print_errors(const json_t *errors, const char *detail)
{
    size_t i = 0;
    const json_t *error = NULL;
    json_array_foreach(errors, i, error)
    {
        char pointer[256];
        const char *at = text_of(error, "pointer");
        const char *words = text_of(error, "detail");
        if (words == NULL || (json_array_size(errors) == 1 && strstr(detail, words) != NULL)) {
            continue;
        }
        (void)snprintf(pointer, sizeof(pointer), "  %s: ", at == NULL ? "" : at);
        note_clean(pointer, words);
    }
}

int cli_problem(const struct cli_call *c, const struct http_response *r)
{
    json_t *problem = json_loadb((const char *)r->body.data, r->body.len, 0, NULL);
    const char *title = text_of(problem, "title");
    const char *detail = text_of(problem, "detail");
    int code =
        r->status == 502 || r->status == 503 || r->status == 504 ? CLI_UNREACHABLE : CLI_FAILED;
    struct buf line;
    buf_init(&line, 65536);
    buf_printf(&line, "%ld", r->status);
    if (title != NULL) {
        buf_put_str(&line, " ");
        cli_text_clean(&line, title, 0);
    }
    if (detail != NULL) {
        buf_put_str(&line, ": ");
        cli_text_clean(&line, detail, 0);
    }
    if (r->status == 401) {
        buf_put_str(&line, "; give a token with --token-file or SIGNALBOX_TOKEN (`signalbox token "
                           "create` makes one)");
    }
    char *text = buf_take_str(&line);
    (void)cli_fail(c, code, "%s", text == NULL ? "out of memory" : text);
    free(text);
    print_errors(json_object_get(problem, "errors"), detail == NULL ? "" : detail);
    json_decref(problem);
    return code;
}

int cli_transport_problem(const struct cli_call *c, const struct http_client *client, enum err e)
{
    int code = e == ERR_CLOSED || e == ERR_TIMEOUT || e == ERR_TLS ? CLI_UNREACHABLE : CLI_FAILED;
    return cli_fail(c, code, "%s: %s%s", http_client_url(client), http_client_error(client),
                    e == ERR_TLS ? "; --cacert names the CA that signed the server's certificate"
                                 : "");
}

int cli_request(const struct cli_call *c, struct http_client *client, const struct cli_request *r,
                json_t **ret_json, char *ret_etag)
{
    struct http_response response;
    char *body = r->body == NULL ? NULL : json_dumps(r->body, JSON_COMPACT);
    if (r->path == NULL || (r->body != NULL && body == NULL)) {
        free(body);
        return cli_fail(c, CLI_FAILED, "out of memory");
    }
    const struct http_request request = {
        .method = r->method,
        .path = r->path,
        .body = body != NULL ? view_str(body) : r->raw,
        .content_type = body != NULL ? "application/json" : r->raw_type,
        .if_match = r->if_match,
        .idempotency_key = r->idempotency_key,
    };
    *ret_json = NULL;
    enum err e = http_client_send(client, &request, &response);
    free(body);
    if (e != ERR_OK) {
        return cli_transport_problem(c, client, e);
    }
    int code = CLI_OK;
    if (r->missing_is_fine && response.status == 404) {
        code = CLI_OK;
    } else if (response.status < 200 || response.status > 299) {
        code = cli_problem(c, &response);
    } else if (response.body.len > 0) {
        json_error_t why;
        *ret_json =
            json_loadb((const char *)response.body.data, response.body.len, JSON_DECODE_ANY, &why);
        if (*ret_json == NULL) {
            code = cli_fail(c, CLI_FAILED, "%s answered with something that is no JSON (%s)",
                            http_client_url(client), response.content_type);
        }
    }
    if (code == CLI_OK && ret_etag != NULL) {
        (void)view_copy(view_str(response.etag), ret_etag, sizeof(response.etag));
    }
    http_response_fini(&response);
    return code;
}

void cli_print_json(const json_t *json)
{
    (void)json_dumpf(json, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
    (void)fputc('\n', stdout);
}

/* Anything as one text; objects and lists as JSON. */
static char *flat_text(const json_t *value)
{
    if (value == NULL || json_is_null(value)) {
        return strdup("");
    }
    if (json_is_string(value)) {
        return strdup(json_string_value(value));
    }
    return json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
}

char *cli_json_text(json_t *value)
{
    struct buf out;
    const char *key = NULL;
    json_t *item = NULL;
    if (!json_is_object(value)) {
        return flat_text(value);
    }
    buf_init(&out, CLI_JSON_MAX);
    json_object_foreach(value, key, item)
    {
        char *text = flat_text(item);
        buf_printf(&out, "%s%s=%s", out.len > 0 ? "," : "", key, text == NULL ? "" : text);
        free(text);
    }
    return buf_take_str(&out);
}

void cli_print_fields(json_t *object, const char *const *keys, size_t count)
{
    int width = 0;
    for (size_t i = 0; i < count; i++) {
        int w = cli_text_width(keys[i]);
        width = w > width ? w : width;
    }
    for (size_t i = 0; i < count; i++) {
        char *text = cli_json_text(json_object_get(object, keys[i]));
        struct buf line;
        buf_init(&line, CLI_JSON_MAX);
        cli_text_clean(&line, text == NULL || text[0] == '\0' ? "-" : text, 0);
        char *clean = buf_take_str(&line);
        printf("%-*s  %s\n", width, keys[i], clean == NULL ? "" : clean);
        free(clean);
        free(text);
    }
}

struct listing {
    struct cli_table table;
    const struct cli_column *columns;
    int column_count;
    json_t *items; /* with -o json */
    int64_t left;
    bool paged;
};

static void take_items(struct listing *l, json_t *page)
{
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(json_object_get(page, "items"), i, item)
    {
        if (l->left-- <= 0) {
            return;
        }
        if (l->items != NULL) {
            (void)json_array_append(l->items, item);
            continue;
        }
        for (int k = 0; k < l->column_count; k++) {
            char *text = cli_json_text(json_object_get(item, l->columns[k].key));
            cli_table_cell(&l->table, text);
            free(text);
        }
    }
}

static int read_pages(const struct cli_call *c, struct http_client *client, struct buf *path,
                      struct listing *l)
{
    char *cursor = NULL;
    int code = CLI_OK;
    size_t base = path->len;
    do {
        char limit[24];
        json_t *page = NULL;
        (void)snprintf(limit, sizeof(limit), "%lld",
                       (long long)(l->left < CLI_PAGE ? l->left : CLI_PAGE));
        path->len = base;
        cli_query(path, "limit", l->paged ? limit : NULL);
        cli_query(path, "cursor", cursor);
        free(cursor);
        cursor = NULL;
        buf_put_u8(path, 0);
        if (buf_err(path) != ERR_OK) {
            return cli_fail(c, CLI_FAILED, "the request is too long");
        }
        const struct cli_request r = {.method = "GET", .path = (const char *)path->data};
        code = cli_request(c, client, &r, &page, NULL);
        take_items(l, page);
        const char *next = text_of(page, "next_cursor");
        cursor = next == NULL || l->left <= 0 ? NULL : strdup(next);
        json_decref(page);
    } while (code == CLI_OK && cursor != NULL);
    free(cursor);
    return code;
}

int cli_list(const struct cli_call *c, struct http_client *client, struct buf *path,
             const struct cli_column *columns, int count, bool paged)
{
    struct listing l = {.columns = columns, .column_count = count, .paged = paged};
    const char *heads[CLI_COLUMNS_MAX];
    for (int i = 0; i < count; i++) {
        heads[i] = columns[i].head;
    }
    if (!cli_number(c, "limit", 1, INT32_MAX, INT32_MAX, &l.left)) {
        return CLI_USAGE;
    }
    cli_table_init(&l.table, count, heads);
    l.items = c->json ? json_array() : NULL;
    int code = read_pages(c, client, path, &l);
    if (code == CLI_OK && c->json) {
        json_t *all = json_pack("{s:O}", "items", l.items);
        cli_print_json(all);
        json_decref(all);
    } else if (code == CLI_OK) {
        cli_table_print(&l.table);
    }
    json_decref(l.items);
    cli_table_fini(&l.table);
    return code;
}

static json_t *typed_value(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    if (json_is_number(value) || json_is_boolean(value)) {
        return value;
    }
    json_decref(value);
    return json_string(text);
}

bool cli_take_pairs(const struct cli_call *c, const char *option, bool typed, json_t *object)
{
    int at = 0;
    for (const char *pair = NULL; (pair = cli_next_value(c, option, &at)) != NULL;) {
        char key[160];
        const char *equals = strchr(pair, '=');
        if (equals == NULL || equals == pair || (size_t)(equals - pair) >= sizeof(key)) {
            (void)cli_fail(c, CLI_USAGE, "--%s takes KEY=VALUE, not `%s`", option, pair);
            return false;
        }
        (void)view_copy(view_of(pair, (size_t)(equals - pair)), key, sizeof(key));
        if (json_object_set_new(object, key,
                                typed ? typed_value(equals + 1) : json_string(equals + 1)) != 0) {
            (void)cli_fail(c, CLI_USAGE, "--%s `%s` is not valid UTF-8", option, pair);
            return false;
        }
    }
    return true;
}
