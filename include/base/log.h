/*
 * log: one event a line on stderr, as logfmt on a terminal and JSON elsewhere.
 *
 *     LOG(LOG_INFO, "session_closed", LOG_S("device", name), LOG_S("why", "keepalive"),
 * LOG_I("idle_ms", 90000));
 *
 * Lower case, no full stop; say what was tried and what to do next; secrets and payloads never.
 * An event above its rate (20 a second, per event name) is counted and reported once a second
 * instead. Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/view.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

enum log_kind { LOG_KIND_STR, LOG_KIND_INT, LOG_KIND_REAL, LOG_KIND_VIEW };

struct log_field {
    const char *key;
    enum log_kind kind;
    const char *str;
    int64_t num;
    double real;
    struct view view;
};

#define LOG_S(k, v) ((struct log_field){.key = (k), .kind = LOG_KIND_STR, .str = (v)})
#define LOG_I(k, v) ((struct log_field){.key = (k), .kind = LOG_KIND_INT, .num = (int64_t)(v)})
#define LOG_F(k, v) ((struct log_field){.key = (k), .kind = LOG_KIND_REAL, .real = (v)})
#define LOG_V(k, v) ((struct log_field){.key = (k), .kind = LOG_KIND_VIEW, .view = (v)})

#define LOG(level, event, ...)                                       \
    do {                                                             \
        if (log_enabled(level)) {                                    \
            const struct log_field log_fields_[] = {__VA_ARGS__};    \
            log_write((level), (event), log_fields_,                 \
                      sizeof(log_fields_) / sizeof(log_fields_[0])); \
        }                                                            \
    } while (0)

enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

void log_setup(enum log_level level, enum log_format format);
bool log_enabled(enum log_level level);
bool log_level_parse(struct view text, enum log_level *ret_level);
void log_write(enum log_level level, const char *event, const struct log_field *fields,
               size_t count);
