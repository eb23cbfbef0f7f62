/*
 * journal: the event log of a run. Its hash tells whether two runs were the same; its last lines
 * tell what led to a broken invariant.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "sim.h"

enum { JOURNAL_LINES = 4096, JOURNAL_LINE = 240 };

static char journal_lines[JOURNAL_LINES][JOURNAL_LINE];

void __wrap_log_write(enum log_level level, const char *event, const struct log_field *fields,
                      size_t count);
__attribute__((noreturn)) void __wrap_check_failed(const char *file, int line, const char *cond);

void journal_reset(void)
{
    struct sim *s = sim_get();
    s->log_hash = 0xCBF29CE484222325ULL;
    s->log_lines = 0;
}

void sim_log(const char *format, ...)
{
    struct sim *s = sim_get();
    char *line = journal_lines[s->log_lines++ % JOURNAL_LINES];
    int len = snprintf(line, JOURNAL_LINE, "%12.6f ", (double)s->now_us / 1e6);
    va_list args;
    va_start(args, format);
    int more = vsnprintf(line + len, JOURNAL_LINE - (size_t)len, format, args);
    va_end(args);
    len = len + more < JOURNAL_LINE ? len + more : JOURNAL_LINE - 1;
    for (int i = 0; i < len; i++) {
        s->log_hash = (s->log_hash ^ (uint8_t)line[i]) * 0x100000001B3ULL;
    }
    if (s->options.verbose) {
        (void)puts(line);
    }
}

void sim_violation(const char *invariant, const char *format, ...)
{
    struct sim *s = sim_get();
    uint64_t lines = s->log_lines;
    uint64_t tail = (uint64_t)(s->options.tail > 0 ? s->options.tail : 40);
    tail = tail > JOURNAL_LINES ? JOURNAL_LINES : tail;
    if (!s->options.verbose) {
        for (uint64_t i = lines > tail ? lines - tail : 0; i < lines; i++) {
            (void)puts(journal_lines[i % JOURNAL_LINES]);
        }
    }
    (void)printf("BROKEN  seed %llu at %.6f s: %s: ", (unsigned long long)s->seed,
                 (double)s->now_us / 1e6, invariant);
    va_list args;
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)printf("\nreplay: sim --seed %llu --verbose\n", (unsigned long long)s->seed);
    (void)fflush(stdout);
    exit(1);
}

/* The server's own log lines are part of the journal. */
void __wrap_log_write(enum log_level level, const char *event, const struct log_field *fields,
                      size_t count)
{
    char text[160] = "";
    size_t at = 0;
    for (size_t i = 0; i < count && at < sizeof(text); i++) {
        const struct log_field *f = &fields[i];
        int n = f->kind == LOG_KIND_INT
                    ? snprintf(text + at, sizeof(text) - at, " %s=%lld", f->key, (long long)f->num)
                : f->kind == LOG_KIND_STR
                    ? snprintf(text + at, sizeof(text) - at, " %s=%s", f->key, f->str)
                    : snprintf(text + at, sizeof(text) - at, " %s=…", f->key);
        at += (size_t)n;
    }
    sim_log("log %d %s%s", (int)level, event, text);
}

void __wrap_check_failed(const char *file, int line, const char *cond)
{
    sim_violation("CHECK", "%s:%d: %s", file, line, cond);
}
