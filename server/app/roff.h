/*
 * roff: manual pages in man(7), on standard output. Text is plain: what roff would read as an order
 * is escaped.
 *
 * Threads: one.
 */
#pragma once

void roff_title(const char *name, int section, const char *words);
void roff_section(const char *name);                                              /* .SH */
__attribute__((format(printf, 1, 2))) void roff_heading(const char *format, ...); /* .SS */
void roff_text(const char *text);
void roff_term(const char *term, const char *words);
void roff_option(char letter, const char *name, const char *arg, const char *words);
void roff_example(const char *lines);
