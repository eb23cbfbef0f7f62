#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "base/diff.h"

static char *diff(const char *from, const char *to)
{
    struct buf out;
    buf_init(&out, 1 << 24);
    diff_unified("a", view_str(from), "b", view_str(to), &out);
    return buf_take_str(&out);
}

Test(diff, equal_texts_give_nothing)
{
    char *none = diff("x\ny\n", "x\ny\n");
    cr_expect_str_eq(none, "");
    free(none);
}

Test(diff, hunks_are_those_of_the_unified_format)
{
    static const struct {
        const char *from, *to, *expected, *why;
    } cases[] = {
        {"", "x\n", "--- a\n+++ b\n@@ -0,0 +1,1 @@\n+x\n", "from nothing"},
        {"x\n", "", "--- a\n+++ b\n@@ -1,1 +0,0 @@\n-x\n", "to nothing"},
        {"1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n",
         "--- a\n+++ b\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n",
         "three lines of context"},
        {"1\n2\n3\n4\n5\n6\n7\n8\n9\n0\n1\n2\n", "one\n2\n3\n4\n5\n6\n7\n8\n9\n0\n1\ntwo\n",
         "--- a\n+++ b\n@@ -1,4 +1,4 @@\n-1\n+one\n 2\n 3\n 4\n@@ -9,4 +9,4 @@\n 9\n 0\n 1\n-2\n"
         "+two\n",
         "two that are far apart"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *found = diff(cases[i].from, cases[i].to);
        cr_expect_str_eq(found, cases[i].expected, "%s:\n%s", cases[i].why, found);
        free(found);
    }
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    cr_assert_geq(fputs(text, f), 0);
    cr_assert_eq(fclose(f), 0);
}

/* The oracle is patch(1): what it makes of the one text with the diff is the other. */
Test(diff, patch_makes_the_other_text_of_it)
{
    char dir[] = "/tmp/sbdiffXXXXXX";
    cr_assert_not_null(mkdtemp(dir));
    if (system("command -v patch >/dev/null") != 0) {
        cr_skip_test("patch is not here");
    }
    uint32_t state = 7;
    for (int round = 0; round < 60; round++) {
        struct buf from;
        struct buf to;
        buf_init(&from, 4096);
        buf_init(&to, 4096);
        for (int i = 0; i < 40; i++) {
            state = state * 1664525u + 1013904223u;
            uint32_t line = state >> 28;
            uint32_t what = (state >> 20) % 8;
            if (what != 0) {
                buf_printf(&from, "%u\n", line);
            }
            if (what != 1) {
                buf_printf(&to, "%u\n", line);
            }
        }
        char path[64];
        char command[256];
        char *before = buf_take_str(&from);
        char *after = buf_take_str(&to);
        char *text = diff(before, after);
        (void)snprintf(path, sizeof(path), "%s/a", dir);
        write_file(path, before);
        (void)snprintf(path, sizeof(path), "%s/b", dir);
        write_file(path, after);
        (void)snprintf(path, sizeof(path), "%s/d", dir);
        write_file(path, text);
        (void)snprintf(command, sizeof(command),
                       "cd %s && { [ ! -s d ] || patch -s a d; } && cmp a b", dir);
        cr_expect_eq(system(command), 0, "round %d:\n%s", round, text);
        free(text);
        free(before);
        free(after);
    }
    char command[64];
    (void)snprintf(command, sizeof(command), "rm -r %s", dir);
    cr_expect_eq(system(command), 0);
}
