#include "api/rule_document.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/internal.h"
#include "geo/fence.h"

const char *api_rule_document(struct api_request *r, json_t *body, const char *name)
{
    static const char *const added[] = {"version", "created_at", "updated_at"};
    for (size_t i = 0; i < sizeof(added) / sizeof(added[0]); i++) {
        (void)json_object_del(body, added[i]);
    }
    if (name != NULL && json_object_get(body, "name") == NULL) {
        (void)json_object_set_new(body, "name", json_string(name));
    }
    struct buf text;
    buf_init(&text, API_ANSWER_MAX);
    api_json_write(&text, body);
    buf_put_u8(&text, 0);
    r->arena.limit_bytes += text.len + 64;
    const char *kept = (const char *)arena_view(&r->arena, buf_view(&text)).data;
    buf_fini(&text);
    return kept;
}

static struct rule *compile(struct api_request *r, struct view document, const char *pointer)
{
    struct rule *rule = NULL;
    struct rule_error error = {0};
    struct rule_env env = catalog_rule_env(r->api->catalog);
    enum err e = rule_compile(document, &env, &rule, &error);
    if (e == ERR_OK) {
        return rule;
    }
    if (e == ERR_NOMEM) {
        api_fail_err(r, e, "");
        return NULL;
    }
    char place[sizeof(error.pointer) + 64];
    (void)snprintf(place, sizeof(place), "%s%s", pointer, error.pointer);
    if (error.line > 0) {
        api_errors_add(r->errors, place, "line %d, column %d: %s", error.line, error.column,
                       error.detail);
    } else {
        api_errors_add(r->errors, place, "%s", error.detail);
    }
    api_refuse(r);
    return NULL;
}

/* The geofences that the rule names, as the database wants them, "{1,2}"; NULL: out of memory. */
static const char *fences_of(struct api_request *r, const struct rule *rule)
{
    struct buf text;
    buf_init(&text, API_ANSWER_MAX);
    buf_put_str(&text, "{");
    const struct fence *f = NULL;
    for (uint32_t i = 0; (f = rule_fence(rule, i)) != NULL; i++) {
        buf_printf(&text, i == 0 ? "%d" : ",%d", fence_id(f));
    }
    buf_put_str(&text, "}");
    buf_put_u8(&text, 0);
    const char *kept = (const char *)arena_view(&r->arena, buf_view(&text)).data;
    buf_fini(&text);
    return kept;
}

bool api_rule_check(struct api_request *r, const char *document, const char *path_name,
                    char ret_name[static IDENT_MAX + 1], struct store_rule *ret_rule)
{
    struct rule *rule = compile(r, view_str(document), "");
    if (rule == NULL) {
        return false;
    }
    (void)view_copy(view_str(rule_name(rule)), ret_name, IDENT_MAX + 1);
    *ret_rule = (struct store_rule){
        .name = ret_name, .definition = document, .geofences = fences_of(r, rule)};
    rule_drop(rule);
    if (ret_rule->geofences == NULL) {
        api_fail_err(r, ERR_NOMEM, "");
        return false;
    }
    if (path_name != NULL && strcmp(path_name, ret_name) != 0) {
        api_errors_add(r->errors, "/name", "is not the name in the path; a rule cannot be renamed");
        api_refuse(r);
        return false;
    }
    return true;
}

struct rule *api_rule_compile_active(struct api_request *r, struct view document,
                                     const char *pointer)
{
    json_t *object = json_loadb((const char *)document.data, document.len, 0, NULL);
    struct buf text;
    struct rule *rule = NULL;
    if (!json_is_object(object)) {
        json_decref(object);
        return compile(r, document, pointer); /* which says what is wrong */
    }
    buf_init(&text, API_ANSWER_MAX);
    if (json_object_set_new(object, "mode", json_string("active")) == 0) {
        api_json_write(&text, object);
    }
    if (buf_err(&text) != ERR_OK || text.len == 0) {
        api_fail_err(r, ERR_NOMEM, "");
    } else {
        rule = compile(r, buf_view(&text), pointer);
    }
    buf_fini(&text);
    json_decref(object);
    return rule;
}

char *api_rule_canonical(struct view document)
{
    json_t *object = json_loadb((const char *)document.data, document.len, 0, NULL);
    char *text = object == NULL ? strndup((const char *)document.data, document.len)
                                : json_dumps(object, JSON_INDENT(2) | JSON_SORT_KEYS);
    json_decref(object);
    return text;
}
