#include "base/zone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/wire.h"
#include "base/zone_tail.h"

enum {
    FILE_MAX_BYTES = 256 * 1024,
    NAME_MAX_BYTES = 64,
    TRANSITIONS_MAX = 4096,
    TYPES_MAX = 256,
    OFFSET_MAX_S = 93599, /* 25:59:59, RFC 9636 3.2 */
    RESERVED_BYTES = 15,
    DAY_S = 86400,
};

#define ZONE_DIRECTORY "/usr/share/zoneinfo/"

struct zone {
    uint32_t count; /* transitions, in order of time */
    int64_t *at_s;
    int32_t *offset_s; /* from each transition on */
    int32_t first_s;   /* before the first */
    bool has_tail;
    struct zone_tail tail; /* from the last on */
};

struct counts {
    uint8_t version;
    uint32_t isut, isstd, leap, time, type, chars;
};

static struct counts take_header(struct wire *w)
{
    struct counts c = {.version = 0};
    if (wire_u32(w) != 0x545A6966) { /* "TZif" */
        wire_fail(w, ERR_MALFORMED);
    }
    c.version = wire_u8(w);
    (void)wire_bytes(w, RESERVED_BYTES);
    c.isut = wire_u32(w);
    c.isstd = wire_u32(w);
    c.leap = wire_u32(w);
    c.time = wire_u32(w);
    c.type = wire_u32(w);
    c.chars = wire_u32(w);
    if (c.time > TRANSITIONS_MAX || c.type == 0 || c.type > TYPES_MAX || c.leap > FILE_MAX_BYTES ||
        c.isut > TYPES_MAX || c.isstd > TYPES_MAX || c.chars > FILE_MAX_BYTES) {
        wire_fail(w, ERR_MALFORMED);
    }
    return c;
}

/* The data with times of 32 bits, which a reader of the second header skips. */
static void skip_first(struct wire *w, const struct counts *c)
{
    (void)wire_bytes(w, (size_t)c->time * 5 + (size_t)c->type * 6 + c->chars + (size_t)c->leap * 8 +
                            c->isstd + c->isut);
}

static void take_transitions(struct wire *w, const struct counts *c, struct zone *z)
{
    int32_t types[TYPES_MAX];
    struct view times = wire_bytes(w, (size_t)c->time * 8);
    struct view kinds = wire_bytes(w, c->time);
    for (uint32_t i = 0; i < c->type; i++) {
        types[i] = (int32_t)wire_u32(w);
        (void)wire_bytes(w, 2); /* is it summer time, and its name */
        if (types[i] < -OFFSET_MAX_S || types[i] > OFFSET_MAX_S) {
            wire_fail(w, ERR_MALFORMED);
        }
    }
    z->first_s = types[0];
    if (wire_err(w) != ERR_OK) {
        return;
    }
    struct wire at = wire_init(times);
    for (uint32_t i = 0; i < c->time && wire_err(w) == ERR_OK; i++) {
        z->at_s[i] = (int64_t)wire_u64(&at);
        if (kinds.data[i] >= c->type || (i > 0 && z->at_s[i] <= z->at_s[i - 1])) {
            wire_fail(w, ERR_MALFORMED);
            return;
        }
        z->offset_s[i] = types[kinds.data[i]];
        z->count = i + 1;
    }
}

/* "\n" text "\n"; the text may be empty. */
static void take_tail(struct wire *w, struct zone *z)
{
    struct view v = wire_bytes(w, wire_left(w));
    if (v.len < 2 || v.data[0] != '\n' || v.data[v.len - 1] != '\n') {
        wire_fail(w, ERR_MALFORMED);
        return;
    }
    struct view text = view_of(v.data + 1, v.len - 2);
    z->has_tail = text.len > 0;
    if (z->has_tail && zone_tail_parse(text, &z->tail) != ERR_OK) {
        wire_fail(w, ERR_MALFORMED);
    }
}

enum err zone_parse(struct view tzif, struct zone **ret_zone)
{
    struct wire w = wire_init(tzif);
    struct counts c = take_header(&w);
    if (wire_err(&w) == ERR_OK && c.version < '2') {
        return ERR_MALFORMED;
    }
    skip_first(&w, &c);
    c = take_header(&w);
    if (wire_err(&w) != ERR_OK) {
        return ERR_MALFORMED;
    }
    if (c.leap > 0) {
        return ERR_UNSUPPORTED; /* our time has none */
    }
    struct zone *z = calloc(1, sizeof(*z));
    if (z == NULL) {
        return ERR_NOMEM;
    }
    z->at_s = calloc(c.time + 1, sizeof(*z->at_s));
    z->offset_s = calloc(c.time + 1, sizeof(*z->offset_s));
    if (z->at_s == NULL || z->offset_s == NULL) {
        zone_free(z);
        return ERR_NOMEM;
    }
    take_transitions(&w, &c, z);
    (void)wire_bytes(&w, (size_t)c.chars + c.isstd + c.isut);
    take_tail(&w, z);
    if (wire_err(&w) != ERR_OK) {
        zone_free(z);
        return ERR_MALFORMED;
    }
    *ret_zone = z;
    return ERR_OK;
}

void zone_free(struct zone *z)
{
    if (z == NULL) {
        return;
    }
    free(z->at_s);
    free(z->offset_s);
    free(z);
}

/* A name never leaves the directory: no dot, no slash at its start. */
static bool name_valid(struct view name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && c != '_' && c != '+' && c != '-' && (c != '/' || i == 0)) {
            return false;
        }
    }
    return name.len > 0 && name.len <= NAME_MAX_BYTES;
}

static enum err read_file(int fd, uint8_t *data, size_t *ret_len)
{
    size_t len = 0;
    for (;;) {
        ssize_t n = read(fd, data + len, FILE_MAX_BYTES - len);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return errno == EISDIR ? ERR_UNKNOWN_NAME : ERR_IO;
        }
        if (n == 0) {
            *ret_len = len;
            return ERR_OK;
        }
        len += (size_t)n;
        if (len == FILE_MAX_BYTES) {
            return ERR_LIMIT;
        }
    }
}

enum err zone_load(struct view name, struct zone **ret_zone)
{
    if (view_eq_str(name, "UTC")) {
        *ret_zone = NULL;
        return ERR_OK;
    }
    if (!name_valid(name)) {
        return ERR_UNKNOWN_NAME;
    }
    char path[sizeof(ZONE_DIRECTORY) + NAME_MAX_BYTES];
    (void)snprintf(path, sizeof(path), ZONE_DIRECTORY "%.*s", VIEW_ARG(name));
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return errno == ENOENT || errno == ENOTDIR ? ERR_UNKNOWN_NAME : ERR_IO;
    }
    uint8_t *data = malloc(FILE_MAX_BYTES);
    size_t len = 0;
    enum err e = data == NULL ? ERR_NOMEM : read_file(fd, data, &len);
    if (e == ERR_OK) {
        e = zone_parse(view_of(data, len), ret_zone);
    }
    free(data);
    (void)close(fd);
    return e;
}

/* RFC 9636 3.2: before the first transition the first type holds, after the last one the tail. */
static int32_t offset_at(const struct zone *z, int64_t utc_s)
{
    if (z->has_tail && (z->count == 0 || utc_s >= z->at_s[z->count - 1])) {
        return zone_tail_offset_s(&z->tail, utc_s);
    }
    uint32_t low = 0; /* transitions before `low` are past, those from `high` on are not */
    uint32_t high = z->count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (z->at_s[mid] <= utc_s) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low == 0 ? z->first_s : z->offset_s[low - 1];
}

static int64_t seconds_of(int64_t us)
{
    return us / CLOCK_SECOND_US - (us % CLOCK_SECOND_US < 0 ? 1 : 0);
}

int32_t zone_offset_s(const struct zone *z, int64_t utc_us)
{
    return z == NULL ? 0 : offset_at(z, seconds_of(utc_us));
}

struct zone_time zone_local(const struct zone *z, int64_t utc_us)
{
    int64_t s = seconds_of(utc_us) + zone_offset_s(z, utc_us);
    int64_t days = s / DAY_S - (s % DAY_S < 0 ? 1 : 0);
    int of_day = (int)(s - days * DAY_S);
    struct zone_time t = {.hour = of_day / 3600, .minute = of_day / 60 % 60, .second = of_day % 60};
    clock_civil(days, &t.year, &t.month, &t.day);
    t.weekday = (int)(((days + 4) % 7 + 7) % 7);
    t.day_of_year = (int)(days - clock_days(t.year, 1, 1)) + 1;
    int64_t next =
        t.month == 12 ? clock_days(t.year + 1, 1, 1) : clock_days(t.year, t.month + 1, 1);
    t.days_in_month = (int)(next - clock_days(t.year, t.month, 1));
    return t;
}
