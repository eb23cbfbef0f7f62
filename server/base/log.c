#include "base/log.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/emit_json.h"
#include "base/lock.h"

/*
 * Rate limit: each event name has one row with the second it last wrote in and how many lines it
 * has used. Lines above the limit are only counted; the first line of a later second carries
 * `suppressed`.
 */
enum { LOG_LINE_MAX = 16 * 1024, LOG_PER_SECOND = 20, LOG_RATE_ROWS = 256 };

struct log_rate {
    const char *event;
    int64_t second;
    int used;
    int64_t suppressed;
};

static struct {
    struct lock lock;
    atomic_int level;
    bool json;
    struct log_rate rates[LOG_RATE_ROWS];
} logger = {.lock = {PTHREAD_MUTEX_INITIALIZER}, .level = LOG_INFO, .json = true};

static const char *const level_words[] = {"debug", "info", "warn", "error"};

void log_setup(enum log_level level, enum log_format format)
{
    atomic_store(&logger.level, (int)level);
    lock_take(&logger.lock);
    logger.json =
        format == LOG_FORMAT_JSON || (format == LOG_FORMAT_AUTO && isatty(STDERR_FILENO) == 0);
    lock_give(&logger.lock);
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&logger.level, memory_order_relaxed);
}

bool log_level_parse(struct view text, enum log_level *ret_level)
{
    for (size_t i = 0; i < sizeof(level_words) / sizeof(level_words[0]); i++) {
        if (view_eq_str(text, level_words[i])) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

/* Under the lock. The row of the event, or NULL when all rows are used (then nothing is limited).
 */
static struct log_rate *log_rate_of(const char *event)
{
    for (size_t i = 0; i < LOG_RATE_ROWS; i++) {
        struct log_rate *r = &logger.rates[i];
        if (r->event == NULL || strcmp(r->event, event) == 0) {
            r->event = event;
            return r;
        }
    }
    return NULL;
}

/* Under the lock. False: do not write. */
static bool log_allowed(const char *event, int64_t *ret_suppressed)
{
    *ret_suppressed = 0;
    struct log_rate *r = log_rate_of(event);
    if (r == NULL) {
        return true;
    }
    int64_t second = clock_mono_us() / CLOCK_SECOND_US;
    if (r->second != second) {
        r->second = second;
        r->used = 0;
        *ret_suppressed = r->suppressed;
        r->suppressed = 0;
    }
    if (r->used >= LOG_PER_SECOND) {
        r->suppressed++;
        return false;
    }
    r->used++;
    return true;
}

static void log_value_json(struct emit_json *j, const struct log_field *f)
{
    switch (f->kind) {
    case LOG_KIND_STR:
        emit_json_str(j, f->str);
        break;
    case LOG_KIND_INT:
        emit_json_int(j, f->num);
        break;
    case LOG_KIND_REAL:
        emit_json_real(j, f->real);
        break;
    case LOG_KIND_VIEW:
        emit_json_view(j, f->view);
        break;
    }
}

static void log_line_json(struct buf *b, enum log_level level, const char *event,
                          const struct log_field *fields, size_t count)
{
    struct emit_json j = emit_json_init(b);
    emit_json_open(&j, '{');
    emit_json_key(&j, "ts");
    emit_json_time(&j, clock_wall_us() / 1000 * 1000);
    emit_json_key(&j, "level");
    emit_json_str(&j, level_words[level]);
    emit_json_key(&j, "event");
    emit_json_str(&j, event);
    for (size_t i = 0; i < count; i++) {
        emit_json_key(&j, fields[i].key);
        log_value_json(&j, &fields[i]);
    }
    emit_json_close(&j, '}');
}

static void log_line_logfmt(struct buf *b, enum log_level level, const char *event,
                            const struct log_field *fields, size_t count)
{
    char ts[CLOCK_TEXT_SIZE];
    (void)clock_format(clock_wall_us() / 1000 * 1000, ts);
    buf_printf(b, "%s %-5s %s", ts, level_words[level], event);
    for (size_t i = 0; i < count; i++) {
        buf_printf(b, " %s=", fields[i].key);
        struct emit_json j = emit_json_init(b);
        log_value_json(&j, &fields[i]);
    }
}

/* Under the lock. */
static void log_line(struct buf *b, enum log_level level, const char *event,
                     const struct log_field *fields, size_t count)
{
    if (logger.json) {
        log_line_json(b, level, event, fields, count);
    } else {
        log_line_logfmt(b, level, event, fields, count);
    }
    buf_put_u8(b, '\n');
}

void log_write(enum log_level level, const char *event, const struct log_field *fields,
               size_t count)
{
    struct buf line;
    buf_init(&line, LOG_LINE_MAX);
    lock_take(&logger.lock);
    int64_t suppressed = 0;
    if (log_allowed(event, &suppressed)) {
        log_line(&line, level, event, fields, count);
        if (buf_err(&line) != ERR_OK) {
            /* That it happened must not get lost because somebody's text is long. */
            const struct log_field cut[] = {LOG_I("fields_too_long", count)};
            buf_clear(&line);
            log_line(&line, level, event, cut, 1);
        }
        (void)!write(STDERR_FILENO, line.data, line.len);
        if (suppressed > 0) {
            const struct log_field more[] = {LOG_S("of", event), LOG_I("suppressed", suppressed)};
            buf_clear(&line);
            log_line(&line, level, "log_rate_limited", more, COUNT_OF(more));
            (void)!write(STDERR_FILENO, line.data, line.len);
        }
    }
    lock_give(&logger.lock);
    buf_fini(&line);
}
