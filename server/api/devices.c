#include "api/devices.h"

#include <math.h>
#include <stdlib.h>

#include "api/internal.h"
#include "base/ident.h"

void api_check_labels(struct api_fields *f, bool null_removes)
{
    const json_t *labels = api_field(f, "labels", API_OBJECT, false);
    if (labels == NULL) {
        return;
    }
    char pointer[192];
    api_field_pointer(f->pointer, "labels", pointer, sizeof(pointer));
    struct api_fields at = api_fields_init(labels, pointer, f->errors);
    if (json_object_size(labels) > API_LABELS_MAX) {
        api_field_error(f, "labels", "may have %d labels", API_LABELS_MAX);
        return;
    }
    unsigned types = API_STRING | API_NUMBER | API_BOOL | (null_removes ? API_NULL : 0);
    json_t *object = (json_t *)(uintptr_t)labels; /* only read */
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(object, key, value)
    {
        if (!ident_valid(view_str(key))) {
            api_field_error(&at, key, "is no valid label name");
        }
        const json_t *v = api_field(&at, key, types, false);
        if (json_is_string(v) && json_string_length(v) > API_LABEL_TEXT_MAX) {
            api_field_error(&at, key, "may have %d bytes", API_LABEL_TEXT_MAX);
        }
    }
}

void api_check_attributes(struct api_fields *f)
{
    const json_t *attributes = api_field(f, "attributes", API_OBJECT, false);
    if (attributes == NULL) {
        return;
    }
    if (json_object_size(attributes) > API_ATTRIBUTES_MAX) {
        api_field_error(f, "attributes", "may have %d attributes", API_ATTRIBUTES_MAX);
        return;
    }
    json_t *object = (json_t *)(uintptr_t)attributes; /* only read */
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(object, key, value)
    {
        if (key[0] == '\0' || strlen(key) > API_ATTRIBUTE_NAME_MAX) {
            api_field_error(f, "attributes", "names have 1 to %d bytes", API_ATTRIBUTE_NAME_MAX);
        }
    }
}

bool api_token_fits(struct view token)
{
    if (token.len < API_TOKEN_MIN || token.len > API_TOKEN_MAX) {
        return false;
    }
    for (size_t i = 0; i < token.len; i++) {
        if (token.data[i] <= 0x20 || token.data[i] >= 0x7F) {
            return false;
        }
    }
    return true;
}

/* ---- would the token see it? -------------------------------------------------------------------
 */

static int pair_compare(const void *a, const void *b)
{
    const struct device_pair *x = a;
    const struct device_pair *y = b;
    return strcmp(x->key, y->key);
}

/* The labels as they will be, as an object of texts. */
static json_t *merged_labels(const struct device *old, const json_t *labels)
{
    json_t *all = json_object();
    for (uint32_t i = 0; old != NULL && i < old->label_count; i++) {
        (void)json_object_set_new(all, old->labels[i].key, json_string(old->labels[i].text));
    }
    json_t *given = (json_t *)(uintptr_t)labels; /* only read */
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(given, key, value)
    {
        if (json_is_null(value)) {
            (void)json_object_del(all, key);
            continue;
        }
        struct buf text;
        buf_init(&text, 4096);
        if (json_is_string(value)) {
            buf_put_str(&text, json_string_value(value));
        } else {
            api_json_write(&text, value);
        }
        (void)json_object_set_new(all, key, json_stringn((const char *)text.data, text.len));
        buf_fini(&text);
    }
    return all;
}

static bool preview_labels(struct device *d, json_t *labels)
{
    d->labels = calloc(json_object_size(labels) + 1, sizeof(*d->labels));
    if (d->labels == NULL) {
        return false;
    }
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(labels, key, value)
    {
        struct device_pair *pair = &d->labels[d->label_count++];
        pair->key = strdup(key);
        pair->text = strdup(json_string_value(value));
        pair->number = (double)NAN;
        if (pair->key == NULL || pair->text == NULL) {
            return false;
        }
    }
    qsort(d->labels, d->label_count, sizeof(*d->labels), pair_compare);
    return true;
}

bool api_sees_preview(struct api_request *r, const char *name, const char *type,
                      const struct device *old, const json_t *labels)
{
    if (api_unlimited(r)) {
        return true;
    }
    struct device *d = device_new();
    json_t *all = merged_labels(old, labels);
    bool sees = false;
    if (d != NULL && all != NULL) {
        d->name = strdup(name);
        d->type = catalog_type(r->api->catalog, view_str(type));
        sees = d->name != NULL && d->type != NULL && preview_labels(d, all) &&
               auth_bearer_sees(r->api->auth, &r->bearer, d);
    }
    json_decref(all);
    device_drop(d);
    return sees;
}

void api_put_device(struct api_request *r, struct emit_json *j, struct view json, int32_t device_id)
{
    const struct api_hooks *hooks = &r->api->hooks;
    if (hooks->online == NULL || json.len == 0) {
        emit_json_raw(j, json);
        return;
    }
    emit_json_raw(j, view_of(json.data, json.len - 1)); /* without the closing brace */
    buf_put_str(j->out,
                hooks->online(hooks->arg, device_id) ? ",\"online\":true}" : ",\"online\":false}");
}
