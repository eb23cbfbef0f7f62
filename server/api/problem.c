#include "api/problem.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/emit_json.h"

static const struct {
    unsigned status;
    const char *slug;
    const char *title;
    const char *words;
} problems[] = {
#define PROBLEM_ROW(name, status, slug, title, words) {status, slug, title, words},
    PROBLEM_LIST(PROBLEM_ROW)
#undef PROBLEM_ROW
};

void api_errors_add(struct api_errors *e, const char *pointer, const char *format, ...)
{
    if (e->count == API_ERRORS_MAX) {
        return;
    }
    (void)view_copy(view_str(pointer), e->items[e->count].pointer,
                    sizeof(e->items[e->count].pointer));
    va_list args;
    va_start(args, format);
    (void)vsnprintf(e->items[e->count].detail, sizeof(e->items[e->count].detail), format, args);
    va_end(args);
    e->count++;
}

unsigned problem_status(enum problem p)
{
    return problems[p].status;
}

void problem_write(struct buf *out, enum problem p, const char *detail, struct view instance,
                   const char *request_id, const struct api_errors *errors)
{
    char type[80];
    (void)snprintf(type, sizeof(type), "/docs/problems/%s", problems[p].slug);
    struct emit_json j = emit_json_init(out);
    emit_json_open(&j, '{');
    emit_json_key(&j, "type");
    emit_json_str(&j, type);
    emit_json_key(&j, "title");
    emit_json_str(&j, problems[p].title);
    emit_json_key(&j, "status");
    emit_json_int(&j, problems[p].status);
    emit_json_key(&j, "detail");
    emit_json_str(&j, detail == NULL || detail[0] == '\0' ? problems[p].words : detail);
    emit_json_key(&j, "instance");
    emit_json_view(&j, instance);
    emit_json_key(&j, "request_id");
    emit_json_str(&j, request_id);
    if (errors != NULL && errors->count > 0) {
        emit_json_key(&j, "errors");
        emit_json_open(&j, '[');
        for (uint32_t i = 0; i < errors->count; i++) {
            emit_json_open(&j, '{');
            emit_json_key(&j, "pointer");
            emit_json_str(&j, errors->items[i].pointer);
            emit_json_key(&j, "detail");
            emit_json_str(&j, errors->items[i].detail);
            emit_json_close(&j, '}');
        }
        emit_json_close(&j, ']');
    }
    emit_json_close(&j, '}');
}

bool problem_write_page(struct buf *out, struct view slug)
{
    for (size_t i = 0; i < COUNT_OF(problems); i++) {
        if (view_eq_str(slug, problems[i].slug)) {
            buf_printf(out,
                       "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>%s</title>"
                       "<body style=\"font:16px/1.5 sans-serif;max-width:40em;margin:3em auto\">"
                       "<h1>%u %s</h1><p>%s</p><p><a href=\"/docs\">API</a></p></body></html>\n",
                       problems[i].title, problems[i].status, problems[i].title, problems[i].words);
            return true;
        }
    }
    return false;
}
