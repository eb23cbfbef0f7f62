/* Documents from files: YAML, JSON, or JSON texts one after the other; folders are read in the
 * order of their names. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "app/cli_documents.h"
#include "conf/yaml_json.h"

enum { FILE_MAX = 4 * 1024 * 1024 };

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

json_t *cli_documents_read(const struct cli_call *c, const char *file)
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

static int is_document(const struct dirent *f)
{
    static const char *const endings[] = {".yaml", ".yml", ".json"};
    const char *dot = strrchr(f->d_name, '.');
    for (size_t i = 0; dot != NULL && f->d_name[0] != '.' && i < 3; i++) {
        if (strcmp(dot, endings[i]) == 0) {
            return 1;
        }
    }
    return 0;
}

int cli_documents_files(const struct cli_call *c, const char *path, json_t *ret_files)
{
    struct stat st;
    if (strcmp(path, "-") == 0 || stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        (void)json_array_append_new(ret_files, json_string(path));
        return CLI_OK;
    }
    struct dirent **found = NULL;
    int count = scandir(path, &found, is_document, alphasort);
    if (count < 0) {
        return cli_fail(c, CLI_FAILED, "%s: %s", path, strerrordesc_np(errno));
    }
    for (int i = 0; i < count; i++) {
        char file[4096];
        (void)snprintf(file, sizeof(file), "%s/%s", path, found[i]->d_name);
        (void)json_array_append_new(ret_files, json_string(file));
        free(found[i]);
    }
    free(found);
    if (count == 0) {
        return cli_fail(c, CLI_FAILED, "%s: no .yaml, .yml or .json file in it", path);
    }
    return CLI_OK;
}
