#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include "app/cli.h"
#include "app/cli_server.h"
#include "base/check.h"

enum { SAW = 40 };

/* Its exit code tells what arrived. */
static int verb(const struct cli_call *c)
{
    int64_t n = 0;
    int at = 0;
    cr_expect_eq(c->argc, 1);
    cr_expect_str_eq(c->argv[0], "NAME");
    cr_expect_str_eq(cli_value(c, "config"), "FILE");
    cr_expect_str_eq(cli_next_value(c, "label", &at), "a=1");
    cr_expect_str_eq(cli_next_value(c, "label", &at), "b=2");
    cr_expect_null(cli_next_value(c, "label", &at));
    cr_expect(cli_flag(c, "fast"));
    cr_expect(c->json);
    cr_expect(cli_number(c, "days", 1, 9, 5, &n));
    return SAW + (int)n;
}

static const struct cli_option options[] = {{"label", 'l', "KEY=VALUE", "words"},
                                            {"fast", 0, NULL, "words"},
                                            {"days", 'd', "N", "words"},
                                            {0}};
static const struct cli_command commands[] = {{"make", "NAME", "words",
                                               "  signalbox thing make x\n", 1, 1,
                                               CLI_USES_CONFIG | CLI_USES_OUTPUT, options, verb},
                                              {0}};

static int run(const char *line)
{
    char *copy = strdup(line);
    char *argv[32] = {(char *)"thing"};
    int argc = 1;
    for (char *at = copy; *at != '\0' && argc < 31;) {
        argv[argc++] = at;
        at += strcspn(at, " ");
        if (*at != '\0') {
            *at++ = '\0';
        }
    }
    int code = cli_run("thing", "words", commands, argc, argv);
    free(copy);
    return code;
}

Test(cli, options_and_arguments_come_in_any_order, .init = cr_redirect_stderr)
{
    cr_expect_eq(run("make NAME -c FILE -l a=1 --label b=2 --fast -o json"), SAW + 5);
    cr_expect_eq(run("make --label=a=1 -lb=2 --fast --output json --config FILE -d 9 NAME"),
                 SAW + 9);
    cr_expect_eq(run("--config FILE make NAME -l a=1 -l b=2 --fast -ojson"), SAW + 5,
                 "a --config in front of the verb");
    cr_expect_eq(run("make -c FILE -l a=1 -l b=2 --fast -o json -- NAME"), SAW + 5);
}

static void quiet(void)
{
    cr_redirect_stderr();
    cr_redirect_stdout();
}

Test(cli, what_makes_no_sense_is_exit_code_2_and_help_is_0, .init = quiet)
{
    static const struct {
        const char *line;
        int code;
    } cases[] = {
        {"", CLI_USAGE},
        {"nope", CLI_USAGE},
        {"make", CLI_USAGE},
        {"make a b", CLI_USAGE},
        {"make a --nope", CLI_USAGE},
        {"make a --label", CLI_USAGE},
        {"make a -o xml", CLI_USAGE},
        {"--help", CLI_OK},
        {"make --help", CLI_OK},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        cr_expect_eq(run(cases[i].line), cases[i].code, "%s", cases[i].line);
    }
}

Test(cli, paths_and_queries_are_escaped)
{
    struct buf query;
    char *path = cli_path("/v1/devices/", "a b/../c?°", "/latest", NULL);
    cr_expect_str_eq(path, "/v1/devices/a%20b%2F..%2Fc%3F%C2%B0/latest");
    free(path);
    buf_init(&query, 1024);
    buf_put_str(&query, "/v1/alerts");
    cli_query(&query, "rule", NULL);
    cli_query(&query, "select", "type=motor,site=a&b");
    cli_query(&query, "state", "firing");
    char *text = buf_take_str(&query);
    cr_expect_str_eq(text, "/v1/alerts?select=type%3Dmotor%2Csite%3Da%26b&state=firing");
    free(text);
}

Test(cli, a_token_nobody_named_stays_on_this_machine)
{
    static const struct {
        const char *url;
        bool loopback;
    } cases[] = {
        {"http://127.0.0.1:8080", true},
        {"https://localhost", true},
        {"http:"
         "//[::1]:80",
         true},
        {"http://box.example", false},
        {"http://127.0.0.1.example", false},
        {"http:"
         "//127.0.0.1@evil.example",
         false},
        {"http://localhost.evil.example", false},
        {"nonsense", false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        cr_expect_eq(http_url_is_loopback(cases[i].url), cases[i].loopback, "%s", cases[i].url);
    }
}

Test(cli, values_become_readable_cells)
{
    static const struct {
        const char *json, *text;
    } cases[] = {
        {"null", ""},       {"\"a\"", "a"},
        {"5", "5"},         {"2.5", "2.5"},
        {"true", "true"},   {"{\"a\":1,\"b\":\"c\"}", "a=1,b=c"},
        {"[1,2]", "[1,2]"}, {"{\"a\":{\"b\":1}}", "a={\"b\":1}"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        json_t *value = json_loads(cases[i].json, JSON_DECODE_ANY, NULL);
        char *text = cli_json_text(value);
        cr_expect_str_eq(text, cases[i].text);
        free(text);
        json_decref(value);
    }
}

Test(cli, the_listen_address_becomes_a_url_for_this_machine)
{
    static const struct {
        const char *listen, *cert, *url;
    } cases[] = {
        {"127.0.0.1:8080", "", "http://127.0.0.1:8080"},
        {"0.0.0.0:80", "", "http://127.0.0.1:80"},
        {"[::]:8443", "c.pem",
         "https:"
         "//[::1]:8443"},
        {":8080", "", "http://127.0.0.1:8080"},
        {"box.example:1", "", "http://box.example:1"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char url[320];
        struct conf conf = {.http_listen = (char *)cases[i].listen,
                            .http_tls_cert = (char *)cases[i].cert};
        cli_listen_url(&conf, url, sizeof(url));
        cr_expect_str_eq(url, cases[i].url);
    }
}
