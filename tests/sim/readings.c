#include "readings.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "disk.h"
#include "ingest/record.h"

enum { METRIC_DOOR = 3, METRIC_N = 4, METRIC_MODE = 5, PAYLOAD_MAX = 1024 };

static const double quiet[3] = {50, 40, 20};
static const double loud[3] = {92, 66, 4};

void readings_begin(struct dev *d)
{
    memcpy(d->level, quiet, sizeof(d->level));
    memcpy(d->target, quiet, sizeof(d->target));
}

/* ---- making ---- */

static void measure(struct dev *d)
{
    for (int i = 0; i < 3; i++) {
        if (sim_chance(60)) {
            d->target[i] = sim_chance(500) ? quiet[i] : loud[i];
        }
        double step = (d->target[i] - d->level[i]) / (double)sim_between(1, 5);
        double noise = (double)(sim_random(61) - 30) / 10;
        d->level[i] = round((d->level[i] + step + noise) * 10) / 10;
    }
}

static void fill_sample(struct dev *d, struct dev_sample *s)
{
    measure(d);
    if (d->same_content) { /* few different contents, so that equal readings are frequent */
        s->has = 1u << 0 | 1u << METRIC_DOOR;
        s->values[0] = d->level[0] > 70 ? 90 : 50;
        s->values[METRIC_DOOR] = sim_chance(300);
        return;
    }
    for (int i = 0; i < 3; i++) {
        if (sim_chance(750)) {
            s->has |= (uint8_t)(1u << i);
            s->values[i] = d->level[i];
        }
    }
    if (sim_chance(250)) {
        s->has |= 1u << METRIC_DOOR;
        s->values[METRIC_DOOR] = sim_chance(400);
    }
    if (sim_chance(80)) {
        s->has |= 1u << METRIC_MODE;
        s->values[METRIC_MODE] = (double)sim_random(3);
    }
    s->has |= 1u << METRIC_N;
    s->values[METRIC_N] = (double)++d->numbered;
}

static int64_t device_time(struct dev *d)
{
    int64_t now_us = sim_wall_us() / 1000 * 1000;
    if (!sim_chance(40) || d->last_ts_us == 0) { /* else: once more the same instant */
        d->last_ts_us = now_us > d->last_ts_us ? now_us : d->last_ts_us + 1000;
    }
    return d->last_ts_us;
}

/* Every so often a device's numbering metric has a name that nobody knew before. */
static const char *name_of(const struct dev *d, int metric, double value, char ret_name[static 16])
{
    if (metric != METRIC_N) {
        return sim_metric_name(metric);
    }
    (void)snprintf(ret_name, 16, "n%d.%d", d->id, (int)value / 8 % 10000);
    return ret_name;
}

static int write_values(const struct dev *d, char *text, size_t size, const struct dev_sample *s)
{
    int at = snprintf(text, size, "{");
    for (int i = 0; i < SIM_METRICS; i++) {
        if ((s->has >> i & 1) == 0) {
            continue;
        }
        char name[16];
        at += snprintf(text + at, size - (size_t)at, "%s\"%s\":", at > 1 ? "," : "",
                       name_of(d, i, s->values[i], name));
        if (i == METRIC_DOOR) {
            at +=
                snprintf(text + at, size - (size_t)at, "%s", s->values[i] != 0 ? "true" : "false");
        } else if (i == METRIC_MODE) {
            at += snprintf(text + at, size - (size_t)at, "\"m%d\"", (int)s->values[i]);
        } else {
            at += snprintf(text + at, size - (size_t)at, "%.1f", s->values[i]);
        }
    }
    return at + snprintf(text + at, size - (size_t)at, "}");
}

static void write_payload(const struct dev *d, struct dev_message *m)
{
    char text[PAYLOAD_MAX];
    int at = 0;
    bool list = m->count > 1;
    for (uint32_t i = 0; i < m->count; i++) {
        const struct dev_sample *s = &m->samples[i];
        at +=
            snprintf(text + at, sizeof(text) - (size_t)at, "%s", list ? (i == 0 ? "[" : ",") : "");
        if (s->ts_us != CLOCK_NONE) {
            at += snprintf(text + at, sizeof(text) - (size_t)at,
                           "{\"ts\":%lld,\"values\":", (long long)(s->ts_us / 1000));
        }
        at += write_values(d, text + at, sizeof(text) - (size_t)at, s);
        at +=
            snprintf(text + at, sizeof(text) - (size_t)at, "%s", s->ts_us != CLOCK_NONE ? "}" : "");
    }
    at += snprintf(text + at, sizeof(text) - (size_t)at, "%s", list ? "]" : "");
    m->payload = world_text(text, (size_t)at);
}

static void know_samples(struct dev *d, struct dev_message *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        m->samples[i].message = m;
        if (d->sample_count == d->sample_cap) {
            d->sample_cap = d->sample_cap == 0 ? 64 : d->sample_cap * 2;
            d->samples = world_grow(d->samples, d->sample_cap * sizeof(struct dev_sample *));
        }
        d->samples[d->sample_count++] = &m->samples[i];
    }
}

static struct dev_message *make_telemetry(struct dev *d)
{
    struct dev_message *m = device_keep(d, DEV_TELEMETRY);
    m->count = sim_chance(150) ? (uint32_t)sim_between(2, DEVICE_SAMPLES_MAX) : 1;
    for (uint32_t i = 0; i < m->count; i++) {
        m->samples[i].ts_us = d->own_time ? device_time(d) : CLOCK_NONE;
        fill_sample(d, &m->samples[i]);
    }
    m->qos = sim_chance(d->loose) ? 0 : sim_chance(d->twice) ? 2 : 1;
    write_payload(d, m);
    know_samples(d, m);
    return m;
}

struct dev_message *device_message_for_http(struct dev *d)
{
    struct dev_message *m = make_telemetry(d);
    m->by_http = true;
    m->qos = 1; /* it is answered */
    return m;
}

static void make_twin(struct dev *d, const struct dev_message *m)
{
    struct dev_message *twin = device_keep(d, DEV_TELEMETRY);
    twin->count = m->count;
    memcpy(twin->samples, m->samples, sizeof(twin->samples));
    twin->payload = world_text(m->payload, strlen(m->payload));
    twin->not_before_us = sim_get()->now_us + sim_random(5000000);
    know_samples(d, twin);
}

static void make_other(struct dev *d)
{
    bool wrong = sim_chance(600);
    struct dev_message *m = device_keep(d, wrong ? DEV_WRONG : DEV_ATTRIBUTES);
    char text[80];
    int len = 0;
    if (!wrong) {
        len = snprintf(text, sizeof(text), "{\"boot\":%lld}", (long long)++d->last_reported);
    } else if (sim_chance(500)) {
        len = snprintf(text, sizeof(text), "{\"temperature\":%d,\"n\":%lld}",
                       DEVICE_TEMPERATURE_MAX + 1, (long long)++d->numbered);
    } else {
        len = snprintf(text, sizeof(text), "{\"n\":%lld,\"cut", (long long)++d->numbered);
    }
    m->payload = world_text(text, (size_t)len);
}

static void send_later(void *arg, int64_t n)
{
    (void)n;
    device_send(arg);
}

static void reading_due(void *arg, int64_t n)
{
    (void)n;
    struct dev *d = arg;
    const struct sim *s = sim_get();
    if (d->left == 0 || !s->active) {
        return;
    }
    d->left--;
    if (sim_chance(40)) {
        make_other(d);
    } else {
        struct dev_message *m = make_telemetry(d);
        if (d->own_time && sim_chance(120)) { /* it will come out of order, now and then too late */
            m->not_before_us = s->now_us + sim_random(s->conf.lateness_us * 12 / 10);
            sim_at(m->not_before_us, 0, send_later, d, 0);
        }
        if (d->own_time && sim_chance(30)) {
            make_twin(d, m);
        }
    }
    device_send(d);
    sim_after(d->pause_us / 2 + sim_random(d->pause_us), 0, reading_due, d, 0);
}

/* Whatever waits for its moment is looked at again. */
static void look_again(void *arg, int64_t n)
{
    struct dev *d = arg;
    (void)n;
    device_send(d);
    sim_after(1000000, 0, look_again, d, 0);
}

void readings_start(struct dev *d)
{
    sim_after(sim_random(d->pause_us), 0, reading_due, d, 0);
    sim_after(1000000, 0, look_again, d, 0);
}

/* ---- what is in the database ---- */

static int metric_of(const struct dev *d, const char *name, double value)
{
    char numbered[16];
    if (name != NULL && strcmp(name, name_of(d, METRIC_N, value, numbered)) == 0) {
        return METRIC_N;
    }
    for (int i = 0; name != NULL && i < SIM_METRICS; i++) {
        if (strcmp(name, sim_metric_name(i)) == 0) {
            return i;
        }
    }
    return -1;
}

/* {"door":true,"mode":"m1"} */
static bool read_extra(const char *text, struct dev_sample *s)
{
    char both[2][64];
    for (int door = 0; door < 2; door++) {
        (void)snprintf(both[door], sizeof(both[door]),
                       "\"%s\":", sim_metric_name(door == 1 ? METRIC_DOOR : METRIC_MODE));
    }
    const char *door = strstr(text, both[1]);
    const char *mode = strstr(text, both[0]);
    size_t len = 2;
    if (door != NULL) {
        s->has |= 1u << METRIC_DOOR;
        s->values[METRIC_DOOR] = door[strlen(both[1])] == 't';
        len += strlen(both[1]) + (s->values[METRIC_DOOR] != 0 ? 4 : 5);
    }
    if (mode != NULL) {
        s->has |= 1u << METRIC_MODE;
        s->values[METRIC_MODE] = mode[strlen(both[0]) + 2] - '0';
        len += strlen(both[0]) + 4 + (door != NULL ? 1 : 0);
    }
    return len == strlen(text);
}

/* What the row says, by the names in the database. */
static bool read_row(const struct dev *d, const struct pg_sample *row, struct dev_sample *ret)
{
    const struct pg *pg = sim_get()->pg;
    *ret = (struct dev_sample){.ts_us = row->ts_us};
    const struct pg_shape *shape = row->shape == 0 ? NULL : pg_shape(pg, row->shape);
    if ((shape == NULL) != (row->shape == 0) || row->count != (shape == NULL ? 0 : shape->count)) {
        return false;
    }
    for (uint32_t i = 0; i < row->count; i++) {
        int at = metric_of(d, pg_metric(pg, shape->metrics[i]), row->values[i]);
        if (at < 0) {
            return false;
        }
        ret->has |= (uint8_t)(1u << at);
        ret->values[at] = row->values[i];
    }
    return row->extra == NULL || read_extra(row->extra, ret);
}

static bool same_sample(const struct dev_sample *a, const struct dev_sample *b)
{
    bool same = a->has == b->has;
    for (int i = 0; i < SIM_METRICS && same; i++) {
        same = (a->has >> i & 1) == 0 ||
               (int64_t)round(a->values[i] * 10) == (int64_t)round(b->values[i] * 10);
    }
    return same;
}

/* The first of that time and content: a twin has the same row. */
static struct dev_sample *find_sample(const struct dev *d, const struct dev_sample *like,
                                      bool server_time)
{
    for (uint32_t i = 0; i < d->sample_count; i++) {
        struct dev_sample *s = d->samples[i];
        bool sent = s->message->sends > 0;
        bool time = server_time ? s->ts_us == CLOCK_NONE && !(d->same_content && s->rows > 0)
                                : s->ts_us == like->ts_us;
        if ((sent || !d->same_content) && time && same_sample(s, like)) {
            return s;
        }
    }
    return NULL;
}

void readings_row(struct dev *d, const struct pg_sample *row)
{
    struct dev_sample like;
    bool server_time = (row->flags & SAMPLE_SERVER_TS) != 0;
    struct dev_sample *s = read_row(d, row, &like) ? find_sample(d, &like, server_time) : NULL;
    if (s == NULL) {
        sim_violation("only what was sent, unaltered", "d%d: a row of shape %d has no message",
                      d->id, row->shape);
    }
    if (++s->rows > 1 && !(s->message->by_http && server_time)) {
        sim_violation("exactly once", "d%d: %s is stored %d times", d->id, s->message->payload,
                      s->rows);
    }
}

static bool is_rejected(const struct dev *d, const struct dev_message *m)
{
    const struct pg *pg = sim_get()->pg;
    char row[PAYLOAD_MAX];
    (void)snprintf(row, sizeof(row), "d%d\n%s", d->id, m->payload);
    for (uint32_t i = 0; i < pg->rejected.count; i++) {
        if (strcmp(pg->rejected.items[i], row) == 0) {
            return true;
        }
    }
    return false;
}

static void check_equal_readings(const struct dev *d, const struct dev_sample *like)
{
    int rows = 0;
    int acked = 0;
    for (uint32_t i = 0; i < d->sample_count; i++) {
        if (same_sample(d->samples[i], like)) {
            rows += d->samples[i]->rows;
            acked += d->samples[i]->message->acked;
        }
    }
    if (rows < acked) {
        sim_violation("acknowledged is stored", "d%d: %d equal readings acknowledged, %d rows",
                      d->id, acked, rows);
    }
}

static bool all_stored(const struct dev *d, const struct dev_message *m)
{
    bool stored = true;
    for (uint32_t i = 0; i < m->count; i++) {
        const struct dev_sample *s =
            find_sample(d, &m->samples[i], m->samples[i].ts_us == CLOCK_NONE);
        stored = stored && s != NULL && s->rows > 0;
    }
    return stored;
}

static bool in_spool(const struct dev *d, const struct dev_message *m)
{
    const struct disk *disk = sim_get()->disk;
    char name[16];
    (void)snprintf(name, sizeof(name), "d%d", d->id);
    for (uint32_t i = 0; i < disk->count; i++) {
        for (uint32_t k = 0; k < disk->items[i].count && !disk->items[i].going; k++) {
            const struct disk_record *bytes = &disk->items[i].items[k];
            struct record r;
            if (bytes->hidden_in_life == 0 &&
                record_decode(view_of(bytes->bytes, bytes->len), &r) == ERR_OK &&
                view_eq_str(r.device, name) && view_eq_str(r.payload, m->payload)) {
                return true;
            }
        }
    }
    return false;
}

void readings_released(struct dev *d, struct view payload)
{
    for (const struct dev_message *m = d->first; m != NULL; m = m->next) {
        if (m->acked && !d->same_content && view_eq_str(payload, m->payload) && !in_spool(d, m) &&
            (m->kind == DEV_TELEMETRY ? !all_stored(d, m)
                                      : m->kind == DEV_WRONG && !is_rejected(d, m))) {
            sim_violation("the spool keeps what is not stored", "d%d: %s", d->id, m->payload);
        }
    }
}

void readings_acknowledged(struct dev *d, struct dev_message *m, bool ok)
{
    sim_log("d%d: %s %s", d->id, ok ? "stored" : "refused", m->payload);
    if (m->kind == DEV_ANSWER || (ok && in_spool(d, m))) {
        return; /* an answer is refused when its command has ended; see check_end() */
    }
    /* The spool acknowledges before anybody looks into it. */
    bool by_spool = ok && m->kind == DEV_WRONG && sim_get()->conf.spool_dir[0] != '\0';
    if (!by_spool && ok == (m->kind == DEV_WRONG)) {
        sim_violation("right is stored, wrong is refused", "d%d: %s", d->id, m->payload);
    }
    if (m->kind == DEV_WRONG && !is_rejected(d, m)) {
        sim_violation("refused is kept", "d%d: %s", d->id, m->payload);
    }
    for (uint32_t i = 0; i < m->count; i++) {
        if (d->same_content) {
            check_equal_readings(d, &m->samples[i]);
            continue;
        }
        if (!all_stored(d, m)) {
            sim_violation("acknowledged is stored", "d%d: %s", d->id, m->payload);
        }
    }
}

void readings_complete(struct dev *d)
{
    for (uint32_t i = 0; i < d->sample_count; i++) {
        const struct dev_sample *s = d->samples[i];
        const struct dev_sample *first = find_sample(d, s, s->ts_us == CLOCK_NONE);
        int rows = d->same_content ? s->rows : first->rows;
        if (rows == 0 && s->message->qos > 0) {
            sim_violation("everything arrives", "d%d: %s", d->id, s->message->payload);
        }
    }
}
