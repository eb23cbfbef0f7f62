#include "rules/error.h"

#include <stdarg.h>
#include <stdio.h>

enum err rule_error_set(struct rule_error *e, enum err code, struct rule_place at,
                        const char *format, ...)
{
    (void)snprintf(e->pointer, sizeof(e->pointer), "%s", at.pointer);
    e->line = at.line;
    e->column = at.column;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(e->detail, sizeof(e->detail), format, args);
    va_end(args);
    return code;
}

enum err rule_error_plain(struct rule_error *e, enum err code, const char *pointer)
{
    struct rule_place at = {.pointer = pointer};
    return rule_error_set(e, code, at, "%s", err_words(code));
}
