#include "fleet/plan.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/emit_json.h"
#include "base/utf8.h"
#include "fleet/csv.h"
#include "fleet/random.h"

enum { NAME_MAX_BYTES = 200 };
#define PAYLOADS_MAX     (64ULL << 30)
#define DOUBLE_SPREAD_US (30 * CLOCK_SECOND_US)

void fleet_plan_init(struct fleet_plan *p)
{
    *p = (struct fleet_plan){0};
    map_init(&p->index);
    buf_init(&p->payloads, PAYLOADS_MAX);
}

void fleet_plan_fini(struct fleet_plan *p)
{
    for (uint32_t i = 0; i < p->device_count; i++) {
        free(p->devices[i].name);
    }
    free(p->devices);
    free(p->messages);
    map_fini(&p->index);
    buf_fini(&p->payloads);
}

static size_t skip_digits(struct view v, size_t at)
{
    while (at < v.len && v.data[at] >= '0' && v.data[at] <= '9') {
        at++;
    }
    return at;
}

bool fleet_plan_is_number(struct view v)
{
    /* RFC 8259 section 6. */
    size_t at = v.len > 0 && v.data[0] == '-' ? 1 : 0;
    size_t start = at;
    at = skip_digits(v, at);
    if (at == start || (v.data[start] == '0' && at - start > 1)) {
        return false;
    }
    if (at < v.len && v.data[at] == '.') {
        start = ++at;
        at = skip_digits(v, at);
        if (at == start) {
            return false;
        }
    }
    if (at < v.len && (v.data[at] == 'e' || v.data[at] == 'E')) {
        at++;
        at += at < v.len && (v.data[at] == '+' || v.data[at] == '-') ? 1 : 0;
        start = at;
        at = skip_digits(v, at);
        if (at == start) {
            return false;
        }
    }
    return at == v.len;
}

static bool is_missing(struct view v)
{
    return v.len == 0 || (v.len == 3 && strncasecmp((const char *)v.data, "nan", 3) == 0);
}

static bool grow(void **array, uint32_t *cap, uint32_t count, size_t size)
{
    if (count < *cap) {
        return true;
    }
    uint32_t more = *cap == 0 ? 256 : *cap + *cap / 2;
    if (more > INT32_MAX) {
        return false;
    }
    void *grown = realloc(*array, more * size);
    if (grown == NULL) {
        return false;
    }
    *array = grown;
    *cap = more;
    return true;
}

static enum err find_device(struct fleet_plan *p, struct view name, uint32_t *ret_device)
{
    char full[NAME_MAX_BYTES + 1];
    const char *prefix = p->prefix == NULL ? "" : p->prefix;
    int len = snprintf(full, sizeof(full), "%s%.*s", prefix, VIEW_ARG(name));
    if (name.len == 0 || len < 0 || (size_t)len >= sizeof(full)) {
        return ERR_RANGE;
    }
    uintptr_t known = (uintptr_t)map_get(&p->index, view_str(full));
    if (known != 0) {
        *ret_device = (uint32_t)(known - 1);
        return ERR_OK;
    }
    void *devices = p->devices;
    bool room = grow(&devices, &p->device_cap, p->device_count, sizeof(*p->devices));
    p->devices = devices;
    char *copy = room ? strdup(full) : NULL;
    if (copy == NULL) {
        return ERR_NOMEM;
    }
    void *old = NULL;
    enum err e = map_put(&p->index, view_str(full), (void *)(uintptr_t)(p->device_count + 1), &old);
    if (e != ERR_OK) {
        free(copy);
        return e;
    }
    p->devices[p->device_count] = (struct fleet_plan_device){.name = copy,
                                                             .oldest_us = INT64_MAX,
                                                             .newest_us = INT64_MIN,
                                                             .file = UINT32_MAX,
                                                             .first = FLEET_PLAN_NONE};
    *ret_device = p->device_count++;
    return ERR_OK;
}

static void put_value(struct emit_json *j, struct view name, struct view cell)
{
    emit_json_key_view(j, name);
    if (fleet_plan_is_number(cell)) {
        emit_json_raw(j, cell);
    } else if (view_eq_str(cell, "true") || view_eq_str(cell, "false")) {
        emit_json_bool(j, cell.len == 4);
    } else {
        emit_json_view(j, cell);
    }
}

static enum err add_message(struct fleet_plan *p, uint32_t device, int64_t ts_us,
                            uint64_t payload_at)
{
    void *messages = p->messages;
    bool room = grow(&messages, &p->message_cap, p->message_count, sizeof(*p->messages));
    p->messages = messages;
    if (!room || buf_err(&p->payloads) != ERR_OK) {
        return ERR_NOMEM;
    }
    struct fleet_plan_device *d = &p->devices[device];
    /* An older row behind a newer one of its device stays there: that is how it arrived. */
    if (d->file != p->files || ts_us > d->newest_us) {
        d->newest_us = ts_us;
        d->file = p->files;
    }
    d->oldest_us = ts_us < d->oldest_us ? ts_us : d->oldest_us;
    p->messages[p->message_count] =
        (struct fleet_message){.ts_us = ts_us,
                               .due_us = d->newest_us,
                               .payload_at = payload_at,
                               .payload_len = (uint32_t)(p->payloads.len - payload_at),
                               .device = device,
                               .next = FLEET_PLAN_NONE,
                               .row = p->message_count};
    p->message_count++;
    d->messages++;
    return ERR_OK;
}

struct columns {
    struct view *names;
    char *text; /* that the names point into */
    uint32_t count;
    uint32_t ts, device;
};

static void columns_fini(struct columns *c)
{
    free(c->names);
    free(c->text);
}

static enum err read_header(struct fleet_plan *p, struct fleet_csv *csv,
                            struct columns *ret_columns, char *why, size_t why_size)
{
    struct fleet_csv_row row;
    enum err e = fleet_csv_next(csv, &row);
    if (e != ERR_OK) {
        (void)snprintf(why, why_size, "no header: %s",
                       e == ERR_NOT_FOUND ? "the file is empty" : err_words(e));
        return e;
    }
    size_t bytes = 1;
    for (uint32_t i = 0; i < row.count; i++) {
        bytes += row.cells[i].len;
    }
    struct columns c = {.count = row.count, .ts = UINT32_MAX, .device = UINT32_MAX};
    c.names = calloc((size_t)row.count + 1, sizeof(*c.names));
    c.text = malloc(bytes);
    if (c.names == NULL || c.text == NULL) {
        columns_fini(&c);
        return ERR_NOMEM;
    }
    size_t at = 0;
    for (uint32_t i = 0; i < row.count; i++) {
        struct view cell = row.cells[i];
        memcpy(c.text + at, cell.data, cell.len);
        c.names[i] = view_of(c.text + at, cell.len);
        at += cell.len;
        c.ts = view_eq_str(cell, "ts") && c.ts == UINT32_MAX ? i : c.ts;
        c.device = view_eq_str(cell, "device") && c.device == UINT32_MAX ? i : c.device;
    }
    if (c.ts == UINT32_MAX || (p->wide_metric == NULL && c.device == UINT32_MAX)) {
        (void)snprintf(why, why_size, "the header has no column `%s`%s",
                       c.ts == UINT32_MAX ? "ts" : "device",
                       c.ts == UINT32_MAX ? "" : "; if its columns are devices, say --wide METRIC");
        columns_fini(&c);
        return ERR_SYNTAX;
    }
    *ret_columns = c;
    return ERR_OK;
}

static void start_payload(struct emit_json *j, int64_t ts_us)
{
    emit_json_open(j, '{');
    emit_json_key(j, "ts");
    emit_json_int(j, ts_us / CLOCK_MS_US);
    emit_json_key(j, "values");
    emit_json_open(j, '{');
}

static enum err take_wide(struct fleet_plan *p, const struct columns *c,
                          const struct fleet_csv_row *row, int64_t ts_us)
{
    for (uint32_t i = 0; i < row->count; i++) {
        if (i == c->ts || is_missing(row->cells[i])) {
            continue;
        }
        uint32_t device = 0;
        enum err e = find_device(p, c->names[i], &device);
        if (e != ERR_OK) {
            return e;
        }
        uint64_t at = p->payloads.len;
        struct emit_json j = emit_json_init(&p->payloads);
        start_payload(&j, ts_us);
        put_value(&j, view_str(p->wide_metric), row->cells[i]);
        emit_json_close(&j, '}');
        emit_json_close(&j, '}');
        e = add_message(p, device, ts_us, at);
        if (e != ERR_OK) {
            return e;
        }
    }
    return ERR_OK;
}

static enum err take_long(struct fleet_plan *p, const struct columns *c,
                          const struct fleet_csv_row *row, int64_t ts_us)
{
    uint32_t device = 0;
    enum err e = find_device(p, row->cells[c->device], &device);
    if (e != ERR_OK) {
        return e;
    }
    uint64_t at = p->payloads.len;
    struct emit_json j = emit_json_init(&p->payloads);
    start_payload(&j, ts_us);
    uint32_t values = 0;
    for (uint32_t i = 0; i < row->count; i++) {
        if (i != c->ts && i != c->device && !is_missing(row->cells[i])) {
            put_value(&j, c->names[i], row->cells[i]);
            values++;
        }
    }
    if (values == 0) {
        p->payloads.len = at;
        p->empty_rows++;
        return ERR_OK;
    }
    emit_json_close(&j, '}');
    emit_json_close(&j, '}');
    return add_message(p, device, ts_us, at);
}

/* ERR_SYNTAX with words: the row is bad, the next may be good. */
static enum err take_row(struct fleet_plan *p, const struct columns *c,
                         const struct fleet_csv_row *row, char *why, size_t why_size)
{
    if (row->count != c->count) {
        (void)snprintf(why, why_size, "%u cells, but the header has %u", row->count, c->count);
        return ERR_SYNTAX;
    }
    int64_t ts_us = 0;
    struct view ts = row->cells[c->ts];
    if (clock_parse(ts, &ts_us) != ERR_OK) {
        (void)snprintf(why, why_size,
                       "ts `%.*s` is not an RFC 3339 time such as 2020-03-09T10:46:06Z",
                       (int)(ts.len < 40 ? ts.len : 40), (const char *)ts.data);
        return ERR_SYNTAX;
    }
    for (uint32_t i = 0; i < row->count; i++) {
        if (!utf8_valid_text(row->cells[i])) {
            (void)snprintf(why, why_size, "cell %u is not UTF-8", i + 1);
            return ERR_SYNTAX;
        }
    }
    enum err e = p->wide_metric != NULL ? take_wide(p, c, row, ts_us) : take_long(p, c, row, ts_us);
    if (e == ERR_RANGE) {
        (void)snprintf(why, why_size, "the device name is empty or longer than %d bytes",
                       NAME_MAX_BYTES);
        return ERR_SYNTAX;
    }
    if (e != ERR_OK) {
        (void)snprintf(why, why_size, "%s", err_words(e));
    }
    return e;
}

static enum err read_rows(struct fleet_plan *p, struct fleet_csv *csv, const struct columns *c,
                          char *why, size_t why_size)
{
    for (;;) {
        struct fleet_csv_row row;
        enum err e = fleet_csv_next(csv, &row);
        if (e == ERR_NOT_FOUND) {
            return ERR_OK;
        }
        if (e != ERR_OK) {
            (void)snprintf(why, why_size, "%s",
                           e == ERR_SYNTAX ? "a quote in the wrong place, or never closed"
                                           : err_words(e));
            return e;
        }
        p->rows++;
        e = take_row(p, c, &row, why, why_size);
        if (e == ERR_SYNTAX && p->skip_bad) {
            p->bad_rows++;
            continue;
        }
        if (e != ERR_OK) {
            return e;
        }
    }
}

enum err fleet_plan_read(struct fleet_plan *p, const char *path, char *ret_why, size_t why_size)
{
    struct fleet_csv *csv = NULL;
    enum err e = fleet_csv_open(path, &csv);
    if (e != ERR_OK) {
        (void)snprintf(ret_why, why_size, "%s: cannot be opened", path);
        return e;
    }
    char why[256] = "";
    struct columns c = {0};
    e = read_header(p, csv, &c, why, sizeof(why));
    if (e == ERR_OK) {
        e = read_rows(p, csv, &c, why, sizeof(why));
        columns_fini(&c);
    }
    if (e != ERR_OK) {
        (void)snprintf(ret_why, why_size, "%s:%llu: %s", path,
                       (unsigned long long)fleet_csv_line(csv),
                       why[0] != '\0' ? why : err_words(e));
    }
    p->files++;
    fleet_csv_close(csv);
    return e;
}

static int by_due(const void *a, const void *b)
{
    const struct fleet_message *x = a;
    const struct fleet_message *y = b;
    if (x->due_us != y->due_us) {
        return x->due_us < y->due_us ? -1 : 1;
    }
    if (x->row != y->row) {
        return x->row < y->row ? -1 : 1;
    }
    return (x->is_double ? 1 : 0) - (y->is_double ? 1 : 0);
}

static enum err add_double(struct fleet_plan *p, uint32_t i, int64_t spread_us,
                           struct fleet_random *random)
{
    void *messages = p->messages;
    bool room = grow(&messages, &p->message_cap, p->message_count, sizeof(*p->messages));
    p->messages = messages;
    if (!room) {
        return ERR_NOMEM;
    }
    struct fleet_message copy = p->messages[i];
    copy.is_double = true;
    copy.due_us += (int64_t)fleet_random_below(random, (uint64_t)spread_us);
    p->messages[p->message_count++] = copy;
    p->devices[copy.device].messages++;
    p->doubles++;
    return ERR_OK;
}

enum err fleet_plan_arrange(struct fleet_plan *p, int64_t shuffle_us, double double_share,
                            uint64_t seed)
{
    struct fleet_random random;
    fleet_random_init(&random, seed);
    uint32_t originals = p->message_count;
    for (uint32_t i = 0; i < originals; i++) {
        struct fleet_message *m = &p->messages[i];
        if (shuffle_us > 0) {
            m->due_us = m->ts_us + (int64_t)fleet_random_below(&random, (uint64_t)shuffle_us + 1);
        }
        m->due_us -= p->together ? p->devices[m->device].oldest_us : 0;
        if (double_share > 0 && fleet_random_unit(&random) < double_share) {
            int64_t spread_us = shuffle_us > DOUBLE_SPREAD_US ? shuffle_us : DOUBLE_SPREAD_US;
            enum err e = add_double(p, i, spread_us, &random);
            if (e != ERR_OK) {
                return e;
            }
        }
    }
    if (p->message_count > 0) {
        qsort(p->messages, p->message_count, sizeof(*p->messages), by_due);
    }
    for (uint32_t i = 0; i < p->device_count; i++) {
        p->devices[i].first = FLEET_PLAN_NONE;
    }
    for (uint32_t i = p->message_count; i-- > 0;) {
        struct fleet_plan_device *d = &p->devices[p->messages[i].device];
        p->messages[i].next = d->first;
        d->first = (int32_t)i;
    }
    return ERR_OK;
}

void fleet_plan_close_gaps(struct fleet_plan *p, int64_t gap_us)
{
    int64_t removed_us = 0;
    for (uint32_t i = 1; i < p->message_count; i++) {
        int64_t pause_us = p->messages[i].due_us - removed_us - p->messages[i - 1].due_us;
        removed_us += pause_us > gap_us ? pause_us - gap_us : 0;
        p->messages[i].due_us -= removed_us;
    }
}

struct view fleet_plan_payload(const struct fleet_plan *p, const struct fleet_message *m)
{
    return view_of(p->payloads.data + m->payload_at, m->payload_len);
}
