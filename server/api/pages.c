#include "api/pages.h"

#include "base/embedded.h"
#include "base/log.h"
#include "conf/yaml_json.h"

extern const struct embedded api_page_files[];

struct view api_pages_file(const char *name)
{
    for (const struct embedded *f = api_page_files; f->name != NULL; f++) {
        if (strcmp(f->name, name) == 0) {
            return view_of(f->data, f->len);
        }
    }
    return view_of(NULL, 0);
}

enum err api_pages_openapi(struct buf *ret_json)
{
    struct yaml_json_error error = {0};
    struct buf documents;
    buf_init(&documents, API_OPENAPI_MAX);
    enum err e = conf_yaml_to_json(api_pages_file("openapi.yaml"), &documents, &error);
    if (e == ERR_OK && documents.len > 2) {
        /* An array of one document. */
        buf_put_view(ret_json, view_of(documents.data + 1, documents.len - 2));
        e = buf_err(ret_json);
    }
    if (e != ERR_OK) {
        LOG(LOG_ERROR, "openapi_unreadable", LOG_I("line", error.line),
            LOG_I("column", error.column), LOG_S("detail", error.detail));
    }
    buf_fini(&documents);
    return e;
}
