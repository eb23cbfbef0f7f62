#include "app/roff.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

/* A dot or a quote at the start of a line is an order, a backslash an escape everywhere, and a
 * hyphen must stay one to be copied into a shell. */
static void put(const char *text)
{
    bool line_start = true;
    for (const char *at = text; *at != '\0'; at++) {
        if (line_start && (*at == '.' || *at == '\'')) {
            (void)fputs("\\&", stdout);
        }
        switch (*at) {
        case '\\':
            (void)fputs("\\e", stdout);
            break;
        case '-':
            (void)fputs("\\-", stdout);
            break;
        default:
            (void)putchar(*at);
        }
        line_start = *at == '\n';
    }
}

void roff_title(const char *name, int section, const char *words)
{
    printf(".TH \"%s\" %d \"\" \"signalbox " SIGNALBOX_VERSION "\" \"\"\n", name, section);
    roff_section("NAME");
    put(name);
    (void)fputs(" \\- ", stdout);
    put(words);
    (void)putchar('\n');
}

void roff_section(const char *name)
{
    printf(".SH %s\n", name);
}

void roff_heading(const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    (void)fputs(".SS \"", stdout);
    put(text);
    (void)fputs("\"\n", stdout);
}

void roff_text(const char *text)
{
    put(text);
    (void)putchar('\n');
}

void roff_term(const char *term, const char *words)
{
    (void)fputs(".TP\n.B ", stdout);
    put(term);
    (void)putchar('\n');
    roff_text(words);
}

void roff_option(char letter, const char *name, const char *arg, const char *words)
{
    char head[128];
    const char *with = arg == NULL ? "" : arg;
    const char *space = arg == NULL ? "" : " ";
    if (letter == 0) {
        (void)snprintf(head, sizeof(head), "--%s%s%s", name, space, with);
    } else {
        (void)snprintf(head, sizeof(head), "-%c, --%s%s%s", letter, name, space, with);
    }
    roff_term(head, words);
}

void roff_example(const char *lines)
{
    (void)fputs(".PP\n.EX\n", stdout);
    put(lines);
    (void)fputs(".EE\n", stdout);
}
