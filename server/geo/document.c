/*
 * document: a fence as JSON -> its shape.
 *
 * The first field that is wrong is reported. Positions are [longitude, latitude]; a third number,
 * the altitude, is passed over (RFC 7946, 3.1.1).
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "base/check.h"
#include "base/ident.h"
#include "geo/shape.h"

enum { DESCRIPTION_MAX_BYTES = 4096 };

#define CIRCLE_MAX_M   20000000.0 /* nearly half round the earth */
#define CORRIDOR_MAX_M 200000.0   /* beyond that the plane of nearest.c is none */
#define MARGIN_MAX_M   100000.0

struct reader {
    const json_t *object;
    struct fence_shape *shape;
    struct fence_error *error;
};

enum err fence_fail(struct fence_error *error, enum err code, const char *pointer,
                    const char *format, ...)
{
    (void)snprintf(error->pointer, sizeof(error->pointer), "%s", pointer);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(error->detail, sizeof(error->detail), format, args);
    va_end(args);
    return code;
}

/* ---- fields --------------------------------------------------------------------------------- */

static enum err only(const struct reader *r, const char *const *names, size_t count)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_t *object = (json_t *)(uintptr_t)r->object; /* only read */
    json_object_foreach(object, key, value)
    {
        size_t i = 0;
        while (i < count && strcmp(key, names[i]) != 0) {
            i++;
        }
        if (i == count) {
            char pointer[sizeof(r->error->pointer)];
            (void)snprintf(pointer, sizeof(pointer), "/%.64s", key);
            return fence_fail(r->error, ERR_UNKNOWN_NAME, pointer, "is no field of this kind");
        }
    }
    return ERR_OK;
}

/* A length of at least `least_m`, which itself is allowed only when it is `standard_m`. */
static enum err read_metres(const struct reader *r, const char *key, bool required,
                            double standard_m, double most_m, double *ret_m)
{
    char pointer[32];
    (void)snprintf(pointer, sizeof(pointer), "/%s", key);
    const json_t *value = json_object_get(r->object, key);
    if (value == NULL && !required) {
        *ret_m = standard_m;
        return ERR_OK;
    }
    if (!json_is_number(value)) {
        return fence_fail(r->error, value == NULL ? ERR_SYNTAX : ERR_TYPE, pointer,
                          "expected a number of metres");
    }
    double metres = json_number_value(value);
    if (required && !(metres > 0 && metres <= most_m)) {
        return fence_fail(r->error, ERR_RANGE, pointer, "more than 0, at most %.0f", most_m);
    }
    if (!required && !(metres >= standard_m && metres <= most_m)) {
        return fence_fail(r->error, ERR_RANGE, pointer, "at least %g, at most %.0f", standard_m,
                          most_m);
    }
    *ret_m = metres;
    return ERR_OK;
}

/* ---- positions ------------------------------------------------------------------------------ */

static enum err read_position(const struct reader *r, const json_t *value, const char *pointer,
                              struct geo_point *ret_point)
{
    size_t count = json_array_size(value);
    struct geo_point p = {.longitude = json_number_value(json_array_get(value, 0)),
                          .latitude = json_number_value(json_array_get(value, 1))};
    if (count < 2 || count > 3 || !json_is_number(json_array_get(value, 0)) ||
        !json_is_number(json_array_get(value, 1))) {
        return fence_fail(r->error, ERR_TYPE, pointer,
                          "expected a position: [longitude, latitude]");
    }
    if (!geo_point_valid(p)) {
        return fence_fail(r->error, ERR_RANGE, pointer,
                          "the longitude comes first, from -180 to 180, then the latitude, from "
                          "-90 to 90");
    }
    *ret_point = p;
    return ERR_OK;
}

/* Appends the positions of a line or ring, without a jump between neighbours. The first one comes
 * near `about`. */
static enum err read_positions(struct reader *r, const json_t *list, const char *pointer,
                               uint32_t least, double about)
{
    struct fence_shape *s = r->shape;
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count < least) {
        return fence_fail(r->error, list == NULL ? ERR_SYNTAX : ERR_TYPE, pointer,
                          "expected a list of at least %u positions", least);
    }
    if (s->point_count + count > FENCE_POSITIONS_MAX) {
        return fence_fail(r->error, ERR_LIMIT, pointer, "a fence has at most %d positions",
                          FENCE_POSITIONS_MAX);
    }
    struct geo_point *points = realloc(s->points, (s->point_count + count) * sizeof(*points));
    if (points == NULL) {
        return ERR_NOMEM;
    }
    s->points = points;
    for (size_t i = 0; i < count; i++) {
        char at[sizeof(r->error->pointer)];
        (void)snprintf(at, sizeof(at), "%s/%zu", pointer, i);
        struct geo_point p;
        enum err e = read_position(r, json_array_get(list, i), at, &p);
        if (e != ERR_OK) {
            return e;
        }
        p.longitude = geo_wrap(p.longitude, about);
        about = p.longitude;
        s->points[s->point_count++] = p;
    }
    return ERR_OK;
}

static void find_box(struct fence_shape *s)
{
    struct geo_point p = s->points[0];
    s->box = (struct fence_box){p.longitude, p.latitude, p.longitude, p.latitude};
    for (uint32_t i = 1; i < s->point_count; i++) {
        p = s->points[i];
        s->box.west = fmin(s->box.west, p.longitude);
        s->box.east = fmax(s->box.east, p.longitude);
        s->box.south = fmin(s->box.south, p.latitude);
        s->box.north = fmax(s->box.north, p.latitude);
    }
}

/* ---- kinds ---------------------------------------------------------------------------------- */

#define COMMON "name", "description", "kind"

static enum err read_circle(struct reader *r)
{
    static const char *const names[] = {COMMON, "center", "radius_m", "exit_radius_m"};
    struct fence_shape *s = r->shape;
    enum err e = only(r, names, COUNT_OF(names));
    s->points = e == ERR_OK ? calloc(1, sizeof(*s->points)) : NULL;
    if (e == ERR_OK && s->points == NULL) {
        return ERR_NOMEM;
    }
    if (e == ERR_OK) {
        e = read_position(r, json_object_get(r->object, "center"), "/center", &s->points[0]);
    }
    if (e == ERR_OK) {
        e = read_metres(r, "radius_m", true, 0, CIRCLE_MAX_M, &s->enter_m);
    }
    if (e == ERR_OK) {
        e = read_metres(r, "exit_radius_m", false, s->enter_m, CIRCLE_MAX_M, &s->exit_m);
    }
    s->point_count = 1;
    return e;
}

static enum err read_corridor(struct reader *r)
{
    static const char *const names[] = {COMMON, "line", "width_m", "exit_width_m"};
    struct fence_shape *s = r->shape;
    double width_m = 0;
    double exit_width_m = 0;
    enum err e = only(r, names, COUNT_OF(names));
    if (e == ERR_OK) {
        e = read_positions(r, json_object_get(r->object, "line"), "/line", 2, 0);
    }
    if (e == ERR_OK) {
        e = read_metres(r, "width_m", true, 0, CORRIDOR_MAX_M, &width_m);
    }
    if (e == ERR_OK) {
        e = read_metres(r, "exit_width_m", false, width_m, CORRIDOR_MAX_M, &exit_width_m);
    }
    s->enter_m = width_m / 2;
    s->exit_m = exit_width_m / 2;
    s->ring_ends[0] = s->point_count;
    s->ring_count = 1;
    return e;
}

/* [west, south, east, north], where west may be larger than east (RFC 7946, 5.2). */
static enum err read_bbox(struct reader *r, const json_t *bbox)
{
    double v[4] = {0};
    for (size_t i = 0; i < COUNT_OF(v); i++) {
        if (json_array_size(bbox) != COUNT_OF(v) || !json_is_number(json_array_get(bbox, i))) {
            return fence_fail(r->error, ERR_TYPE, "/bbox",
                              "expected [west, south, east, north] in degrees");
        }
        v[i] = json_number_value(json_array_get(bbox, i));
    }
    bool valid = geo_point_valid((struct geo_point){.longitude = v[0], .latitude = v[1]}) &&
                 geo_point_valid((struct geo_point){.longitude = v[2], .latitude = v[3]});
    if (!valid || v[1] >= v[3] || v[0] == v[2]) {
        return fence_fail(r->error, ERR_RANGE, "/bbox",
                          "longitudes are from -180 to 180 and differ, latitudes from -90 to 90 "
                          "with south below north");
    }
    double east = v[2] < v[0] ? v[2] + 360 : v[2];
    const struct geo_point ring[] = {
        {v[0], v[1]}, {east, v[1]}, {east, v[3]}, {v[0], v[3]}, {v[0], v[1]}};
    r->shape->points = malloc(sizeof(ring));
    if (r->shape->points == NULL) {
        return ERR_NOMEM;
    }
    memcpy(r->shape->points, ring, sizeof(ring));
    r->shape->point_count = r->shape->ring_ends[0] = COUNT_OF(ring);
    r->shape->ring_count = 1;
    return ERR_OK;
}

static enum err read_ring(struct reader *r, const json_t *ring, uint32_t index)
{
    struct fence_shape *s = r->shape;
    char pointer[64];
    (void)snprintf(pointer, sizeof(pointer), "/coordinates/%u", index);
    uint32_t first = s->point_count;
    enum err e = read_positions(r, ring, pointer, 4, first == 0 ? 0 : s->points[0].longitude);
    if (e != ERR_OK) {
        return e;
    }
    struct geo_point a = s->points[first];
    struct geo_point b = s->points[s->point_count - 1];
    if (a.latitude != b.latitude || geo_wrap(b.longitude, a.longitude) != a.longitude) {
        return fence_fail(r->error, ERR_RANGE, pointer, "the last position must be the first");
    }
    if (b.longitude != a.longitude) {
        return fence_fail(r->error, ERR_RANGE, pointer,
                          "the ring goes round a pole; take a circle, or a bbox");
    }
    s->ring_ends[index] = s->point_count;
    s->ring_count = index + 1;
    return ERR_OK;
}

static enum err read_polygon(struct reader *r)
{
    static const char *const names[] = {COMMON, "coordinates", "bbox", "exit_margin_m"};
    const json_t *rings = json_object_get(r->object, "coordinates");
    const json_t *bbox = json_object_get(r->object, "bbox");
    enum err e = only(r, names, COUNT_OF(names));
    if (e == ERR_OK && (rings == NULL) == (bbox == NULL)) {
        return fence_fail(r->error, ERR_SYNTAX, "/coordinates",
                          "expected either coordinates, a list of rings, or bbox");
    }
    if (e == ERR_OK) {
        e = read_metres(r, "exit_margin_m", false, 0, MARGIN_MAX_M, &r->shape->exit_m);
    }
    if (e != ERR_OK || bbox != NULL) {
        return e != ERR_OK ? e : read_bbox(r, bbox);
    }
    size_t count = json_array_size(rings);
    if (count == 0 || count > FENCE_RINGS_MAX) {
        return fence_fail(r->error, json_is_array(rings) ? ERR_LIMIT : ERR_TYPE, "/coordinates",
                          "expected 1 to %d rings: the outer one, then holes", FENCE_RINGS_MAX);
    }
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        e = read_ring(r, json_array_get(rings, i), (uint32_t)i);
    }
    return e;
}

/* ---- the document --------------------------------------------------------------------------- */

static enum err read_name(const struct reader *r, char **ret_name)
{
    const char *name = json_string_value(json_object_get(r->object, "name"));
    if (name == NULL || !ident_valid(view_str(name))) {
        return fence_fail(r->error, ERR_SYNTAX, "/name",
                          "expected a name of 1 to %d letters, digits, . _ : -", IDENT_MAX);
    }
    const json_t *description = json_object_get(r->object, "description");
    if (description != NULL &&
        (!json_is_string(description) || json_string_length(description) > DESCRIPTION_MAX_BYTES)) {
        return fence_fail(r->error, ERR_TYPE, "/description", "expected a text of at most %d bytes",
                          DESCRIPTION_MAX_BYTES);
    }
    *ret_name = strdup(name);
    return *ret_name == NULL ? ERR_NOMEM : ERR_OK;
}

static enum err read_shape(struct reader *r)
{
    static const struct {
        const char *word;
        enum fence_kind kind;
        enum err (*read)(struct reader *r);
    } kinds[] = {{"circle", FENCE_CIRCLE, read_circle},
                 {"polygon", FENCE_POLYGON, read_polygon},
                 {"corridor", FENCE_CORRIDOR, read_corridor}};
    const char *word = json_string_value(json_object_get(r->object, "kind"));
    for (size_t i = 0; word != NULL && i < COUNT_OF(kinds); i++) {
        if (strcmp(word, kinds[i].word) != 0) {
            continue;
        }
        r->shape->kind = kinds[i].kind;
        enum err e = kinds[i].read(r);
        if (e == ERR_OK) {
            find_box(r->shape);
        }
        if (e == ERR_OK && r->shape->box.east - r->shape->box.west > 360) {
            return fence_fail(r->error, ERR_RANGE, "", "it goes more than once round the earth");
        }
        return e;
    }
    return fence_fail(r->error, ERR_SYNTAX, "/kind", "expected circle, polygon or corridor");
}

enum err fence_document_read(struct view json, struct fence_shape *ret_shape, char **ret_name,
                             struct fence_error *error)
{
    if (json.len > FENCE_BYTES_MAX) {
        return fence_fail(error, ERR_LIMIT, "", "a fence has at most %d bytes", FENCE_BYTES_MAX);
    }
    json_error_t why;
    json_t *object = json_loadb((const char *)json.data, json.len, JSON_REJECT_DUPLICATES, &why);
    struct reader r = {.object = object, .shape = ret_shape, .error = error};
    enum err e = ERR_OK;
    if (object == NULL) {
        e = fence_fail(error, ERR_SYNTAX, "", "not JSON: %.120s (line %d, column %d)", why.text,
                       why.line, why.column);
    } else if (!json_is_object(object)) {
        e = fence_fail(error, ERR_TYPE, "", "expected a JSON object");
    }
    if (e == ERR_OK) {
        e = read_name(&r, ret_name);
    }
    if (e == ERR_OK) {
        e = read_shape(&r);
    }
    json_decref(object);
    return e;
}
