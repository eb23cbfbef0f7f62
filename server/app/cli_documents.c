/* A document is read, compared with what the server has, and created, put over it or left alone.
 * The server checks it before it takes it. */
#include "app/cli_documents.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli_server.h"
#include "base/check.h"
#include "conf/yaml_json.h"

enum { FILE_MAX = 4 * 1024 * 1024 };

/* What the server adds to a document. */
static const char *const server_keys[] = {"version", "created_at", "updated_at", "created_by"};

static json_t *without_server_keys(json_t *document)
{
    json_t *copy = json_copy(document);
    for (size_t i = 0; i < COUNT_OF(server_keys); i++) {
        (void)json_object_del(copy, server_keys[i]);
    }
    return copy;
}

/* The server spells out members that a file may leave out: null, false, [], {"publish":[]}. */
static bool says_nothing(json_t *value)
{
    const char *key = NULL;
    json_t *item = NULL;
    json_object_foreach(value, key, item)
    {
        if (!json_is_array(item) || json_array_size(item) > 0) {
            return false;
        }
    }
    return json_is_null(value) || json_is_false(value) || json_is_object(value) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

static json_t *what_it_says(json_t *document)
{
    json_t *copy = without_server_keys(document);
    const char *key = NULL;
    json_t *item = NULL;
    void *next = NULL;
    json_object_foreach_safe(copy, next, key, item)
    {
        if (says_nothing(item)) {
            (void)json_object_del(copy, key);
        }
    }
    return copy;
}

static bool says_the_same(json_t *a, json_t *b)
{
    json_t *left = what_it_says(a);
    json_t *right = what_it_says(b);
    bool same = json_equal(left, right) == 1;
    json_decref(left);
    json_decref(right);
    return same;
}

/* JSON texts one after the other, as an array of them; NULL: it is something else. */
static json_t *json_texts(const char *text, size_t len)
{
    json_t *all = json_array();
    size_t at = 0;
    for (;;) {
        json_error_t end;
        at += strspn(text + at, " \t\r\n");
        if (at >= len) {
            return all;
        }
        json_t *one =
            json_loadb(text + at, len - at, JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES, &end);
        if (one == NULL) {
            json_decref(all);
            return NULL;
        }
        (void)json_array_append_new(all, one);
        at += (size_t)end.position;
    }
}

/* The documents of a YAML file. NULL: said what is wrong. */
static json_t *yaml_texts(const struct cli_call *c, const char *file, struct view text)
{
    struct yaml_json_error why = {0};
    struct buf json;
    json_t *all = NULL;
    buf_init(&json, (size_t)FILE_MAX * 2);
    if (conf_yaml_to_json(text, &json, &why) != ERR_OK) {
        (void)fprintf(stderr, "%s:%d:%d: %s\n", file, why.line, why.column, why.detail);
    } else {
        all = json_loadb((const char *)json.data, json.len, 0, NULL);
        if (all == NULL) {
            (void)cli_fail(c, CLI_FAILED, "%s: a number in it is too large", file);
        }
    }
    buf_fini(&json);
    return all;
}

/* A file as one array: its documents, and the members of documents that are lists. */
static json_t *read_documents(const struct cli_call *c, const char *file)
{
    size_t len = 0;
    char *text = cli_read_file(c, file, FILE_MAX, &len);
    if (text == NULL) {
        return NULL;
    }
    json_t *texts = json_texts(text, len);
    if (texts == NULL) {
        texts = yaml_texts(c, file, view_of(text, len));
    }
    free(text);
    if (texts == NULL) {
        return NULL;
    }
    json_t *documents = json_array();
    size_t i = 0;
    json_t *one = NULL;
    json_array_foreach(texts, i, one)
    {
        if (json_is_array(one)) {
            (void)json_array_extend(documents, one);
        } else if (!json_is_null(one)) {
            (void)json_array_append(documents, one);
        }
    }
    json_decref(texts);
    return documents;
}

struct applying {
    const struct cli_call *c;
    const struct cli_document_kind *kind;
    struct http_client *client;
    json_t *items; /* for -o json */
    int created, updated, unchanged;
};

static void tell(struct applying *a, const char *name, const char *what)
{
    if (a->c->json) {
        (void)json_array_append_new(a->items,
                                    json_pack("{s:s, s:s}", "name", name, "result", what));
    } else {
        printf("%-10s %s\n", what, name);
    }
}

static char *path_of(const struct cli_document_kind *kind, const char *name)
{
    char before[64];
    (void)snprintf(before, sizeof(before), "%s/", kind->collection);
    return cli_path(before, name, NULL);
}

static int apply_one(struct applying *a, json_t *document, const char *name)
{
    json_t *have = NULL;
    json_t *answer = NULL;
    char etag[128] = "";
    char *path = path_of(a->kind, name);
    const struct cli_request get = {.method = "GET", .path = path, .missing_is_fine = true};
    const struct cli_request post = {
        .method = "POST", .path = a->kind->collection, .body = document};
    const struct cli_request put = {
        .method = "PUT", .path = path, .body = document, .if_match = etag};
    int code = cli_request(a->c, a->client, &get, &have, etag);
    if (code == CLI_OK && have == NULL) {
        code = cli_request(a->c, a->client, &post, &answer, NULL);
        if (code == CLI_OK) {
            a->created++;
            tell(a, name, "created");
        }
    } else if (code == CLI_OK) {
        bool same = says_the_same(have, document);
        code = same ? CLI_OK : cli_request(a->c, a->client, &put, &answer, NULL);
        if (code == CLI_OK) {
            a->updated += !same;
            a->unchanged += same;
            tell(a, name, same ? "unchanged" : "updated");
        }
    }
    if (code == CLI_FAILED) {
        cli_note("  in the %s `%s`", a->kind->noun, name);
    }
    free(path);
    json_decref(have);
    json_decref(answer);
    return code;
}

static int apply_file(struct applying *a, const char *file)
{
    json_t *documents = read_documents(a->c, file);
    size_t i = 0;
    json_t *document = NULL;
    int worst = CLI_OK;
    if (documents == NULL) {
        return CLI_FAILED;
    }
    if (json_array_size(documents) == 0) {
        cli_note("%s: no %s in it", file, a->kind->plural);
    }
    json_array_foreach(documents, i, document)
    {
        const char *name = json_string_value(json_object_get(document, "name"));
        int code =
            name != NULL && name[0] != '\0'
                ? apply_one(a, document, name)
                : cli_fail(a->c, CLI_FAILED, "%s: %s %zu has no name", file, a->kind->noun, i + 1);
        worst = code != CLI_OK ? code : worst;
        if (code == CLI_UNREACHABLE) {
            break;
        }
    }
    json_decref(documents);
    return worst;
}

int cli_documents_apply(const struct cli_call *c, const struct cli_document_kind *kind)
{
    struct applying a = {.c = c, .kind = kind, .items = json_array()};
    int worst = cli_server_open(c, &a.client);
    for (int i = 0; a.client != NULL && i < c->argc && worst != CLI_UNREACHABLE; i++) {
        int code = apply_file(&a, c->argv[i]);
        worst = code != CLI_OK ? code : worst;
    }
    if (a.client != NULL && c->json) {
        json_t *all = json_pack("{s:O}", "items", a.items);
        cli_print_json(all);
        json_decref(all);
    } else if (a.client != NULL) {
        cli_note("%d created, %d updated, %d unchanged", a.created, a.updated, a.unchanged);
    }
    json_decref(a.items);
    http_client_free(a.client);
    return worst;
}

/* The document and its ETag. */
static int get_document(const struct cli_call *c, struct http_client *client, const char *path,
                        json_t **ret_document, char *ret_etag)
{
    const struct cli_request r = {.method = "GET", .path = path};
    return cli_request(c, client, &r, ret_document, ret_etag);
}

int cli_documents_show(const struct cli_call *c, const struct cli_document_kind *kind)
{
    struct http_client *client = NULL;
    json_t *document = NULL;
    char *path = path_of(kind, c->argv[0]);
    int code = cli_server_open(c, &client);
    if (code == CLI_OK) {
        code = get_document(c, client, path, &document, NULL);
    }
    if (code == CLI_OK) {
        json_t *shown = cli_flag(c, "bare") ? without_server_keys(document) : json_incref(document);
        cli_print_json(shown);
        json_decref(shown);
    }
    free(path);
    json_decref(document);
    http_client_free(client);
    return code;
}

int cli_documents_delete(const struct cli_call *c, const struct cli_document_kind *kind)
{
    struct http_client *client = NULL;
    json_t *document = NULL;
    json_t *ignored = NULL;
    char etag[128] = "";
    char *path = path_of(kind, c->argv[0]);
    int code = cli_server_open(c, &client);
    if (code == CLI_OK) {
        code = get_document(c, client, path, &document, etag);
    }
    if (code == CLI_OK) {
        const struct cli_request r = {.method = "DELETE", .path = path, .if_match = etag};
        code = cli_request(c, client, &r, &ignored, NULL);
    }
    if (code == CLI_OK) {
        cli_note("%s", kind->deleted);
    }
    free(path);
    json_decref(document);
    json_decref(ignored);
    http_client_free(client);
    return code;
}
