#include "api/reading_rows.h"

#include <jansson.h>

#include "api/body.h"
#include "api/cursor.h"
#include "base/clock.h"
#include "base/emit_json.h"

struct view api_array_next(struct view *array)
{
    if (array->len > 0 && array->data[0] == '{') {
        *array = view_skip(*array, 1);
    }
    size_t n = 0;
    while (n < array->len && array->data[n] != ',' && array->data[n] != '}') {
        n++;
    }
    if (n == 0) {
        return view_of(NULL, 0);
    }
    struct view item = view_of(array->data, n);
    *array = view_skip(*array, n < array->len ? n + 1 : n);
    return item;
}

/* PostgreSQL writes numbers as JSON does, but for these. */
static bool is_number(struct view text)
{
    return text.len > 0 && !view_eq_str(text, "NULL") && !view_eq_str(text, "NaN") &&
           !view_eq_str(text, "Infinity") && !view_eq_str(text, "-Infinity");
}

static struct view metric_name(const struct api_reading_shape *shape, struct view number)
{
    int64_t id = 0;
    if (api_int_parse(number, &id) != ERR_OK || id < 1 || id > INT32_MAX) {
        return view_of(NULL, 0);
    }
    return intern_name(shape->metrics, (int32_t)id);
}

static bool wanted(const struct api_reading_shape *shape, struct view name)
{
    if (shape->names == NULL) {
        return name.len > 0;
    }
    for (uint32_t i = 0; i < shape->name_count; i++) {
        if (view_eq(shape->names[i], name)) {
            return true;
        }
    }
    return false;
}

/* The value of one metric as JSON text; .data == NULL: the sample does not have it. */
static struct view find_number(const struct api_reading_shape *shape, struct view metrics,
                               struct view values, struct view name)
{
    for (struct view m = api_array_next(&metrics); m.data != NULL; m = api_array_next(&metrics)) {
        struct view v = api_array_next(&values);
        if (view_eq(metric_name(shape, m), name)) {
            return is_number(v) ? v : VIEW("null");
        }
    }
    return view_of(NULL, 0);
}

static void csv_text(struct buf *out, struct view text)
{
    bool quote = false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        quote = quote || c == '"' || c == ',' || c == '\n' || c == '\r';
    }
    if (!quote) {
        buf_put_view(out, text);
        return;
    }
    buf_put_u8(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '"') {
            buf_put_u8(out, '"');
        }
        buf_put_u8(out, text.data[i]);
    }
    buf_put_u8(out, '"');
}

static void csv_json(struct buf *out, const json_t *value)
{
    if (json_is_string(value)) {
        csv_text(out, view_of(json_string_value(value), json_string_length(value)));
    } else if (json_is_boolean(value)) {
        buf_put_str(out, json_is_true(value) ? "true" : "false");
    } else if (json_is_number(value)) {
        api_json_write(out, value);
    }
}

static json_t *load_extra(struct view extra)
{
    return extra.len == 0 ? NULL : json_loadb((const char *)extra.data, extra.len, 0, NULL);
}

void api_reading_head(struct buf *out, const struct api_reading_shape *shape)
{
    buf_put_str(out, "ts");
    if (shape->names == NULL) {
        buf_put_str(out, ",metric,value");
    } else if (shape->name_count == 1) {
        buf_put_str(out, ",value");
    } else {
        for (uint32_t i = 0; i < shape->name_count; i++) {
            buf_put_u8(out, ',');
            csv_text(out, shape->names[i]);
        }
    }
    buf_put_str(out, "\r\n");
}

/* ts and a column for each name; RFC 4180 line ends. */
static void write_wide(struct buf *out, const struct api_reading_shape *shape, const char *ts,
                       struct view metrics, struct view values, const json_t *extra)
{
    buf_put_str(out, ts);
    for (uint32_t i = 0; i < shape->name_count; i++) {
        buf_put_u8(out, ',');
        struct view number = find_number(shape, metrics, values, shape->names[i]);
        if (number.data == NULL) {
            csv_json(out, json_object_get(extra, (const char *)shape->names[i].data));
        } else if (is_number(number) && !view_eq_str(number, "null")) {
            buf_put_view(out, number);
        }
    }
    buf_put_str(out, "\r\n");
}

/* A line for each value. */
static void write_long(struct buf *out, const struct api_reading_shape *shape, const char *ts,
                       struct view metrics, struct view values, json_t *extra)
{
    for (struct view m = api_array_next(&metrics); m.data != NULL; m = api_array_next(&metrics)) {
        struct view v = api_array_next(&values);
        if (is_number(v)) {
            buf_printf(out, "%s,", ts);
            csv_text(out, metric_name(shape, m));
            buf_put_u8(out, ',');
            buf_put_view(out, v);
            buf_put_str(out, "\r\n");
        }
    }
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(extra, key, value)
    {
        buf_printf(out, "%s,", ts);
        csv_text(out, view_str(key));
        buf_put_u8(out, ',');
        csv_json(out, value);
        buf_put_str(out, "\r\n");
    }
}

/* {"ts","value"} for one metric. */
static void write_single(struct emit_json *j, const struct api_reading_shape *shape,
                         struct view metrics, struct view values, const json_t *extra)
{
    emit_json_key(j, "value");
    struct view number = find_number(shape, metrics, values, shape->names[0]);
    const json_t *text =
        number.data == NULL ? json_object_get(extra, (const char *)shape->names[0].data) : NULL;
    if (number.data != NULL) {
        emit_json_raw(j, number);
    } else if (text != NULL) {
        api_json_write(j->out, text);
        j->comma = true;
    } else {
        emit_json_null(j);
    }
}

static void write_several(struct emit_json *j, const struct api_reading_shape *shape,
                          struct view metrics, struct view values, json_t *extra)
{
    emit_json_key(j, "values");
    emit_json_open(j, '{');
    for (struct view m = api_array_next(&metrics); m.data != NULL; m = api_array_next(&metrics)) {
        struct view v = api_array_next(&values);
        struct view name = metric_name(shape, m);
        if (wanted(shape, name)) {
            emit_json_key_view(j, name);
            emit_json_raw(j, is_number(v) ? v : VIEW("null"));
        }
    }
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(extra, key, value)
    {
        if (wanted(shape, view_str(key))) {
            emit_json_key(j, key);
            api_json_write(j->out, value);
            j->comma = true;
        }
    }
    emit_json_close(j, '}');
}

void api_reading_write(struct buf *out, enum api_reading_form form,
                       const struct api_reading_shape *shape, int64_t ts_us, struct view metrics,
                       struct view values, struct view extra)
{
    json_t *texts = load_extra(extra);
    char ts[CLOCK_TEXT_SIZE];
    (void)clock_format(ts_us, ts);
    if (form == API_READING_CSV && shape->names != NULL) {
        write_wide(out, shape, ts, metrics, values, texts);
    } else if (form == API_READING_CSV) {
        write_long(out, shape, ts, metrics, values, texts);
    } else {
        struct emit_json j = emit_json_init(out);
        emit_json_open(&j, '{');
        emit_json_key(&j, "ts");
        emit_json_str(&j, ts);
        if (shape->names != NULL && shape->name_count == 1) {
            write_single(&j, shape, metrics, values, texts);
        } else {
            write_several(&j, shape, metrics, values, texts);
        }
        emit_json_close(&j, '}');
    }
    json_decref(texts);
}
