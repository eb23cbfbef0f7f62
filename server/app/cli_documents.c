/* A document is read, compared with what the server has, and created, put over it or left alone.
 * The server checks it before it takes it. */
#include "app/cli_documents.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli_server.h"
#include "app/cli_table.h"
#include "base/check.h"
#include "base/diff.h"

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

struct applying {
    const struct cli_call *c;
    const struct cli_document_kind *kind;
    struct http_client *client;
    bool plan;     /* say what would be done, and do nothing */
    json_t *named; /* name -> true: what the files have */
    json_t *items; /* for -o json */
    int created, updated, deleted, unchanged;
};

enum change { CHANGE_NONE, CHANGE_CREATE, CHANGE_UPDATE, CHANGE_DELETE };

static const char *words_of(const struct applying *a, enum change what)
{
    static const char *const planned[] = {"unchanged", "create", "update", "delete"};
    static const char *const done[] = {"unchanged", "created", "updated", "deleted"};
    return a->plan ? planned[what] : done[what];
}

/* What a document says, one member a line; "" for none. The caller frees. */
static char *canonical(json_t *document)
{
    json_t *says = document == NULL ? NULL : what_it_says(document);
    char *text = says == NULL ? strdup("") : json_dumps(says, JSON_INDENT(2) | JSON_SORT_KEYS);
    json_decref(says);
    return text;
}

/* The difference between what the server has and the file, either may be NULL. The caller frees. */
static char *difference(const char *name, json_t *have, json_t *want)
{
    char *before = canonical(have);
    char *after = canonical(want);
    char from[200];
    char to[200];
    struct buf text;
    (void)snprintf(from, sizeof(from), have == NULL ? "nothing" : "server: %s", name);
    (void)snprintf(to, sizeof(to), want == NULL ? "nothing" : "file: %s", name);
    buf_init(&text, (size_t)16 << 20);
    if (before != NULL && after != NULL) {
        diff_unified(from, view_str(before), to, view_str(after), &text);
    }
    free(before);
    free(after);
    return buf_take_str(&text);
}

/* A diff for people: no control character of a document reaches the terminal. */
static void print_difference(const char *diff)
{
    struct cli_style style = cli_style_of(stdout);
    while (diff != NULL && *diff != '\0') {
        size_t len = strcspn(diff, "\n");
        char *line = strndup(diff, len);
        struct buf clean;
        buf_init(&clean, (size_t)1 << 20);
        cli_text_clean(&clean, line == NULL ? "" : line, 0);
        const char *color = diff[0] == '-' ? "\033[31m" : diff[0] == '+' ? "\033[32m" : "";
        bool colored = style.color && color[0] != '\0';
        printf("  %s%.*s%s\n", colored ? color : "", VIEW_ARG(buf_view(&clean)),
               colored ? "\033[0m" : "");
        buf_fini(&clean);
        free(line);
        diff += len + (diff[len] == '\n');
    }
}

static void tell(struct applying *a, const char *name, enum change what, json_t *have, json_t *want)
{
    const char *words = words_of(a, what);
    char *diff = a->plan && what != CHANGE_NONE ? difference(name, have, want) : NULL;
    a->created += what == CHANGE_CREATE;
    a->updated += what == CHANGE_UPDATE;
    a->deleted += what == CHANGE_DELETE;
    a->unchanged += what == CHANGE_NONE;
    if (a->c->json) {
        json_t *item = json_pack("{s:s, s:s}", "name", name, "result", words);
        if (diff != NULL) {
            (void)json_object_set_new(item, "diff", json_string(diff));
        }
        (void)json_array_append_new(a->items, item);
    } else {
        printf("%-10s %s\n", words, name);
        print_difference(diff);
    }
    free(diff);
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
    enum change what = have == NULL                    ? CHANGE_CREATE
                       : says_the_same(have, document) ? CHANGE_NONE
                                                       : CHANGE_UPDATE;
    if (code == CLI_OK && !a->plan && what != CHANGE_NONE) {
        code = cli_request(a->c, a->client, what == CHANGE_CREATE ? &post : &put, &answer, NULL);
    }
    if (code == CLI_OK) {
        tell(a, name, what, have, document);
    } else if (code == CLI_FAILED) {
        cli_note("  in the %s `%s`", a->kind->noun, name);
    }
    free(path);
    json_decref(have);
    json_decref(answer);
    return code;
}

static int apply_named(struct applying *a, const char *file, size_t place, json_t *document)
{
    const char *name = json_string_value(json_object_get(document, "name"));
    if (name == NULL || name[0] == '\0') {
        return cli_fail(a->c, CLI_FAILED, "%s: %s %zu has no name", file, a->kind->noun, place);
    }
    if (json_object_get(a->named, name) != NULL) {
        return cli_fail(a->c, CLI_FAILED, "%s: the %s `%s` is there twice", file, a->kind->noun,
                        name);
    }
    (void)json_object_set_new(a->named, name, json_true());
    return apply_one(a, document, name);
}

static int apply_file(struct applying *a, const char *file)
{
    json_t *documents = cli_documents_read(a->c, file);
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
        int code = apply_named(a, file, i + 1, document);
        worst = code != CLI_OK ? code : worst;
        if (code == CLI_UNREACHABLE) {
            break;
        }
    }
    json_decref(documents);
    return worst;
}

static int prune_one(struct applying *a, const char *name)
{
    json_t *have = NULL;
    json_t *answer = NULL;
    char etag[128] = "";
    char *path = path_of(a->kind, name);
    const struct cli_request get = {.method = "GET", .path = path, .missing_is_fine = true};
    const struct cli_request delete = {.method = "DELETE", .path = path, .if_match = etag};
    int code = cli_request(a->c, a->client, &get, &have, etag);
    if (code == CLI_OK && have != NULL && !a->plan) {
        code = cli_request(a->c, a->client, &delete, &answer, NULL);
    }
    if (code == CLI_OK && have != NULL) {
        tell(a, name, CHANGE_DELETE, have, NULL);
    }
    free(path);
    json_decref(have);
    json_decref(answer);
    return code;
}

/* The names that the server has and the files have not. */
static int read_others(struct applying *a, json_t *ret_names)
{
    char path[512];
    char cursor[400] = "";
    int code = CLI_OK;
    bool more = true;
    while (code == CLI_OK && more) {
        json_t *page = NULL;
        size_t i = 0;
        json_t *item = NULL;
        (void)snprintf(path, sizeof(path), "%s?limit=1000%s%s", a->kind->collection,
                       cursor[0] == '\0' ? "" : "&cursor=", cursor);
        const struct cli_request get = {.method = "GET", .path = path};
        code = cli_request(a->c, a->client, &get, &page, NULL);
        json_array_foreach(json_object_get(page, "items"), i, item)
        {
            json_t *name = json_object_get(item, "name");
            if (json_object_get(a->named, json_string_value(name)) == NULL) {
                (void)json_array_append(ret_names, name);
            }
        }
        const char *next = json_string_value(json_object_get(page, "next_cursor"));
        (void)snprintf(cursor, sizeof(cursor), "%s", next == NULL ? "" : next);
        more = next != NULL;
        json_decref(page);
    }
    return code;
}

/* Only after all files were read without a mistake: a file that could not be read must not look
 * like one that was taken away. */
static int prune(struct applying *a)
{
    json_t *names = json_array();
    int worst = read_others(a, names);
    size_t i = 0;
    json_t *name = NULL;
    json_array_foreach(names, i, name)
    {
        int code = worst == CLI_UNREACHABLE ? worst : prune_one(a, json_string_value(name));
        worst = code != CLI_OK ? code : worst;
    }
    json_decref(names);
    return worst;
}

static int apply_all(struct applying *a)
{
    json_t *files = json_array();
    size_t i = 0;
    json_t *file = NULL;
    int worst = CLI_OK;
    for (int k = 0; k < a->c->argc; k++) {
        int code = cli_documents_files(a->c, a->c->argv[k], files);
        worst = code != CLI_OK ? code : worst;
    }
    json_array_foreach(files, i, file)
    {
        int code = worst == CLI_UNREACHABLE ? worst : apply_file(a, json_string_value(file));
        worst = code != CLI_OK ? code : worst;
    }
    json_decref(files);
    if (worst == CLI_OK && cli_flag(a->c, "prune")) {
        worst = prune(a);
    } else if (cli_flag(a->c, "prune")) {
        cli_note("nothing is pruned after a mistake");
    }
    return worst;
}

static int go_through(const struct cli_call *c, const struct cli_document_kind *kind, bool plan)
{
    struct applying a = {
        .c = c, .kind = kind, .plan = plan, .items = json_array(), .named = json_object()};
    int worst = cli_server_open(c, &a.client);
    if (a.client != NULL) {
        worst = apply_all(&a);
    }
    if (a.client != NULL && c->json) {
        json_t *all = json_pack("{s:O}", "items", a.items);
        cli_print_json(all);
        json_decref(all);
    } else if (a.client != NULL) {
        cli_note(plan ? "%d to create, %d to update, %d to delete, %d unchanged"
                      : "%d created, %d updated, %d deleted, %d unchanged",
                 a.created, a.updated, a.deleted, a.unchanged);
    }
    bool changes = a.created + a.updated + a.deleted > 0;
    json_decref(a.items);
    json_decref(a.named);
    http_client_free(a.client);
    return worst == CLI_OK && plan && changes && cli_flag(c, "check") ? CLI_FAILED : worst;
}

int cli_documents_apply(const struct cli_call *c, const struct cli_document_kind *kind)
{
    return go_through(c, kind, false);
}

int cli_documents_plan(const struct cli_call *c, const struct cli_document_kind *kind)
{
    return go_through(c, kind, true);
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
