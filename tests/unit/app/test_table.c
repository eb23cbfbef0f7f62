#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "app/cli_table.h"
#include "base/check.h"

static char *table(int columns, const char *const *heads, const char *const *cells,
                   struct cli_style style)
{
    struct cli_table t;
    struct buf out;
    cli_table_init(&t, columns, heads);
    for (; *cells != NULL; cells++) {
        cli_table_cell(&t, *cells);
    }
    buf_init(&out, 1 << 20);
    cli_table_write(&t, style, &out);
    cli_table_fini(&t);
    return buf_take_str(&out);
}

Test(table, columns_are_aligned_by_characters_not_bytes)
{
    static const char *const heads[] = {"NAME", "UNIT", "X"};
    static const char *const cells[] = {"a", "°C", "1", "long-name", "", "2", NULL};
    char *got = table(3, heads, cells, (struct cli_style){0});
    cr_expect_str_eq(got, "NAME       UNIT  X\n"
                          "a          °C    1\n"
                          "long-name  -     2\n");
    free(got);
}

Test(table, on_a_terminal_no_line_is_longer_than_it_is_wide)
{
    static const char *const heads[] = {"NAME", "SUMMARY"};
    static const char *const cells[] = {"press-7", "bearing at 91 degrees, which is a lot °°°°°°",
                                        NULL};
    char *got = table(2, heads, cells, (struct cli_style){.width = 30});
    cr_expect_str_eq(got, "NAME     SUMMARY\n"
                          "press-7  bearing at 91 degree…\n");
    free(got);
    got = table(2, heads, cells, (struct cli_style){.color = true});
    cr_expect_eq(strncmp(got, "\x1b[1mNAME", 8), 0);
    free(got);
}

Test(table, what_a_device_named_itself_cannot_drive_the_terminal)
{
    static const struct {
        const char *text, *clean;
    } cases[] = {
        {"plain", "plain"},
        {"a\x1b[31mred", "a?[31mred"},
        {"a\r\nb\tc", "a? b c"},
        {"\x7f", "?"},
        {"\xc2\x9b"
         "31m",
         "?31m"}, /* CSI as one C1 control */
        {"\xff\xfe", "??"},
        {"\xc3", "?"}, /* cut in the middle */
        {"é°", "é°"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf out;
        buf_init(&out, 1024);
        cli_text_clean(&out, cases[i].text, 0);
        char *got = buf_take_str(&out);
        cr_expect_str_eq(got, cases[i].clean, "case %zu: %s", i, got);
        free(got);
    }
}

Test(table, texts_are_cut_with_an_ellipsis)
{
    static const struct {
        const char *text;
        int columns;
        const char *cut;
    } cases[] = {
        {"abcdef", 6, "abcdef"},
        {"abcdef", 5, "abcd…"},
        {"°°°°", 3, "°°…"},
        {"ab", 1, "…"},
        {"", 3, ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buf out;
        buf_init(&out, 1024);
        cli_text_clean(&out, cases[i].text, cases[i].columns);
        char *got = buf_take_str(&out);
        cr_expect_str_eq(got, cases[i].cut, "case %zu: %s", i, got);
        free(got);
    }
}
