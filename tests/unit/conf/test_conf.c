#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "base/check.h"
#include "conf/load.h"

/* Loads an exact-size copy, so that a sanitizer sees one byte too far. */
static enum err load(const char *yaml, char *const *env, struct conf **ret_conf,
                     struct conf_error *ret_error)
{
    size_t len = strlen(yaml);
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    memcpy(copy, yaml, len);
    enum err e = conf_load_text(view_of(copy, len), "box.yaml", env, ret_conf, ret_error);
    free(copy);
    return e;
}

static char *effective(const struct conf *c)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    conf_write_effective(c, &out);
    return buf_take_str(&out);
}

Test(settings, every_setting_is_documented_and_its_default_lies_within_its_range)
{
    size_t count = 0;
    const struct setting *all = setting_all(&count);
    cr_assert_gt(count, 40);
    for (size_t i = 0; i < count; i++) {
        const struct setting *s = &all[i];
        cr_expect_gt(strlen(s->words), 10, "%s needs words", s->name);
        cr_expect_neq(s->words[strlen(s->words) - 1], '.', "%s: the sample adds the full stop",
                      s->name);
        cr_expect_leq(strlen(s->name), SETTING_NAME_MAX, "%s", s->name);
        size_t index = 99;
        cr_expect_eq(setting_find(view_str(s->name), &index), s, "%s is listed twice", s->name);
        if (s->type != SETTING_TEXT) {
            cr_expect(s->min <= s->number && s->number <= s->max, "%s: default out of range",
                      s->name);
        }
    }
}

Test(settings, every_value_that_is_written_is_read_back)
{
    size_t count = 0;
    const struct setting *all = setting_all(&count);
    for (size_t i = 0; i < count; i++) {
        if (all[i].type == SETTING_TEXT) {
            continue;
        }
        const int64_t values[] = {all[i].min, all[i].max, all[i].number};
        for (size_t k = 0; k < COUNT_OF(values); k++) {
            struct buf out;
            char detail[320];
            int64_t got = -1;
            buf_init(&out, 128);
            setting_format(all[i].type, values[k], &out);
            cr_expect_eq(setting_parse(&all[i], buf_view(&out), &got, detail, sizeof(detail)),
                         ERR_OK, "%s", all[i].name);
            cr_expect_eq(got, values[k], "%s", all[i].name);
            buf_fini(&out);
        }
    }
}

Test(conf, no_file_and_no_environment_give_the_defaults)
{
    struct conf *c = NULL;
    struct conf_error error;
    cr_assert_eq(conf_load_text((struct view){NULL, 0}, NULL, NULL, &c, &error), ERR_OK);
    cr_expect_str_eq(c->http_listen, "127.0.0.1:8080");
    cr_expect_eq(c->connections_max, 16000);
    cr_expect_eq(c->lateness_us, 120 * SEC);
    cr_expect_eq(c->packet_max_bytes, 256 * KIB);
    conf_free(c);
}

Test(conf, each_type_is_read_from_the_file)
{
    struct conf *c = NULL;
    struct conf_error error = {0};
    enum err e = load("# comment\nhttp_listen: \"[::1]:80\"\nnet_loops: 4\nlateness: 1h30m\n"
                      "packet_max: '1MiB'\npacket_max_before_auth: 2048\nskew_max: 0\n"
                      "device_tls_ca: ''\n",
                      NULL, &c, &error);
    cr_assert_eq(e, ERR_OK, "%s", error.detail);
    cr_expect_str_eq(c->http_listen, "[::1]:80");
    cr_expect_eq(c->net_loops, 4);
    cr_expect_eq(c->lateness_us, 5400 * SEC);
    cr_expect_eq(c->packet_max_bytes, MIB);
    cr_expect_eq(c->packet_max_before_auth_bytes, 2048);
    cr_expect_eq(c->skew_max_us, 0);
    conf_free(c);
}

Test(conf, every_mistake_is_refused_at_its_line_and_column_with_a_remedy)
{
    static const struct {
        const char *yaml;
        enum err err;
        int line, column;
        const char *words;
    } cases[] = {
        {"htp_listen: x", ERR_UNKNOWN_NAME, 1, 1, "did you mean `http_listen`?"},
        {"\n\nlisten_http: x", ERR_UNKNOWN_NAME, 3, 1, "check-config --sample"},
        {"connection_max: 5", ERR_UNKNOWN_NAME, 1, 1, "`connections_max`"},
        {"device_tls_cert_file: x", ERR_UNKNOWN_NAME, 1, 1, "unknown"}, /* no secret */
        {"net_loops: 0", ERR_RANGE, 1, 12, "accepted: 1 to 64"},
        {"net_loops: 99999999999999999999", ERR_RANGE, 1, 12, "accepted: 1 to 64"},
        {"net_loops: many", ERR_TYPE, 1, 12, "a whole number"},
        {"net_loops: 1.5", ERR_TYPE, 1, 12, "a whole number"},
        {"net_loops: -1", ERR_RANGE, 1, 12, "accepted"},
        {"net_loops: \"2\"", ERR_TYPE, 1, 12, "without quotes"},
        {"connect_timeout: 5", ERR_TYPE, 1, 18, "with its unit"},
        {"connect_timeout: 500ms", ERR_RANGE, 1, 18, "accepted: 1s to 2m"},
        {"packet_max: 1MB", ERR_TYPE, 1, 13, "KiB"},
        {"packet_max: 1GiB", ERR_RANGE, 1, 13, "1KiB to 256MiB"},
        {"net_loops: 2\nnet_loops: 3", ERR_EXISTS, 2, 12, "given twice"},
        {"http_listen:", ERR_TYPE, 1, 13, "no value"},
        {"http_listen: ~", ERR_TYPE, 1, 14, "no value"},
        {"http_listen: {port: 80}", ERR_TYPE, 1, 14, "nested mapping"},
        {"http_listen:\n  port: 80", ERR_TYPE, 2, 3, "nested mapping"},
        {"http_listen: [a, b]", ERR_TYPE, 1, 14, "a list"},
        {"- a\n- b", ERR_TYPE, 1, 1, "name: value"},
        {"just words", ERR_TYPE, 1, 1, "name: value"},
        {"[a]: b", ERR_TYPE, 1, 1, "a list"},
        {"http_listen: &a x", ERR_UNSUPPORTED, 1, 14, "anchors"},
        {"http_listen: *a", ERR_TYPE, 1, 14, "alias"},
        {"http_listen: !!str x", ERR_UNSUPPORTED, 1, 14, "tags"},
        {"net_loops: 1\n---\nnet_loops: 2", ERR_UNSUPPORTED, 2, 1, "one document"},
        {"http_listen: \"a\\0b\"", ERR_TYPE, 1, 14, "control character"},
        {"http_listen: nowhere", ERR_TYPE, 1, 14, "an address looks like"},
        {"http_listen: 1.2.3.4:99999", ERR_TYPE, 1, 14, "an address looks like"},
        {"open_listener: 0.0.0.0:1883", ERR_RANGE, 1, 16, "loopback"},
        {"proxy_protocol_from: 10.0.0.0/33", ERR_TYPE, 1, 22, "10.0.0.0/8"},
        {"proxy_protocol_from: 10.0.0.1, proxy.local", ERR_TYPE, 1, 22, "10.0.0.0/8"},
        {"log_level: loud", ERR_RANGE, 1, 12, "debug, info, warn, error"},
        {"log_format: xml", ERR_RANGE, 1, 13, "auto, logfmt, json"},
        {"device_tls_key: k.pem", ERR_STATE, 1, 17, "needs `device_tls_cert`"},
        {"http_tls_cert: c.pem", ERR_STATE, 1, 16, "needs `http_tls_key`"},
        {"packet_max: 1KiB", ERR_RANGE, 0, 0, "larger than `packet_max`"},
        {"net_loops: 1\n  bad", ERR_TYPE, 1, 12, "a whole number"},
        {"a: \"open", ERR_SYNTAX, 1, 9, "quoted scalar"},
        {"database_url: a\ndatabase_url_file: b", ERR_EXISTS, 2, 20, "once as a file"},
        {"database_url_file: /nonexistent/x", ERR_IO, 1, 20, "No such file"},
        {"database_url_file: /dev/zero", ERR_IO, 1, 20, "cannot read"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct conf *c = (struct conf *)&c;
        struct conf *untouched = c;
        struct conf_error error = {0};
        cr_expect_eq(load(cases[i].yaml, NULL, &c, &error), cases[i].err, "%s: %s", cases[i].yaml,
                     error.detail);
        cr_expect_eq(c, untouched, "output touched on failure");
        cr_expect_eq(error.line, cases[i].line, "%s: line %d", cases[i].yaml, error.line);
        cr_expect_eq(error.column, cases[i].column, "%s: column %d", cases[i].yaml, error.column);
        cr_expect(strstr(error.detail, cases[i].words) != NULL, "%s: %s", cases[i].yaml,
                  error.detail);
        if (error.line > 0) {
            cr_expect_str_eq(error.file, "box.yaml");
        }
    }
}

Test(conf, the_environment_wins_over_the_file_and_names_itself_in_errors)
{
    char net[] = "SIGNALBOX_NET_LOOPS=7";
    char other[] = "SIGNALBOX_PORT_8080_TCP=tcp://10.0.0.1:8080";
    char client[] = "SIGNALBOX_CACERT=x";
    char *good[] = {net, other, client, NULL};
    struct conf *c = NULL;
    struct conf_error error = {0};
    cr_assert_eq(load("net_loops: 2", good, &c, &error), ERR_OK, "%s", error.detail);
    cr_expect_eq(c->net_loops, 7);
    conf_free(c);

    static const struct {
        const char *entry;
        enum err err;
        const char *words;
    } cases[] = {
        {"SIGNALBOX_NET_LOOPS=70", ERR_RANGE, "1 to 64"},
        {"SIGNALBOX_NET_LOOP=7", ERR_UNKNOWN_NAME, "did you mean the setting `net_loops`"},
        {"SIGNALBOX_DATABASE_URL_FILE=/nonexistent", ERR_IO, "No such file"},
        {"SIGNALBOX_LOG_LEVEL=", ERR_RANGE, "accepted"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char *entry = strdup(cases[i].entry);
        char *env[] = {entry, NULL};
        cr_expect_eq(load("", env, &c, &error), cases[i].err, "%s", cases[i].entry);
        cr_expect_str_eq(error.file, "environment");
        cr_expect_eq(error.line, 0);
        cr_expect(strstr(error.detail, cases[i].words) != NULL, "%s", error.detail);
        free(entry);
    }
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    cr_assert_not_null(f);
    fputs(text, f);
    fclose(f);
}

Test(conf, a_secret_comes_from_a_file_without_its_line_end)
{
    char dir[] = "/tmp/conf-test-XXXXXX";
    cr_assert_not_null(mkdtemp(dir));
    char path[128], yaml[256], entry[256];
    snprintf(path, sizeof(path), "%s/url", dir);
    snprintf(yaml, sizeof(yaml), "database_url_file: %s", path);
    snprintf(entry, sizeof(entry), "SIGNALBOX_DATABASE_URL_FILE=%s", path);
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"dbname=a password=s3", "dbname=a password=s3"},
        {"dbname=a\n", "dbname=a"},
        {"dbname=a\r\n", "dbname=a"},
        {"", ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        write_file(path, cases[i].text);
        struct conf *c = NULL;
        struct conf_error error = {0};
        cr_assert_eq(load(yaml, NULL, &c, &error), ERR_OK, "%s", error.detail);
        cr_expect_str_eq(c->database_url, cases[i].want);
        conf_free(c);
        char *env[] = {entry, NULL};
        cr_assert_eq(load("database_url: other", env, &c, &error), ERR_OK, "%s", error.detail);
        cr_expect_str_eq(c->database_url, cases[i].want,
                         "the environment's file wins over the value");
        conf_free(c);
    }
    unlink(path);
    rmdir(dir);
}

Test(conf, a_file_that_cannot_be_read_says_which_and_why)
{
    struct conf *c = NULL;
    struct conf_error error = {0};
    cr_expect_eq(conf_load("/nonexistent/box.yaml", &c, &error), ERR_IO);
    cr_expect_str_eq(error.file, "/nonexistent/box.yaml");
    cr_expect(strstr(error.detail, "No such file") != NULL, "%s", error.detail);
    cr_expect_eq(conf_load("/tmp", &c, &error), ERR_IO, "a directory");
    cr_expect_null(c);
}

/* Makes the commented sample a live file: "#name: value" loses its '#'. */
static char *uncomment(const char *sample)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    for (const char *at = sample; *at != '\0';) {
        size_t len = strcspn(at, "\n");
        bool setting = at[0] == '#' && len > 1 && at[1] != ' ';
        buf_put(&out, at + setting, len - setting);
        buf_put_str(&out, "\n");
        at += len + (at[len] == '\n');
    }
    return buf_take_str(&out);
}

Test(conf, the_sample_is_empty_as_it_stands_and_gives_the_defaults_when_uncommented)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    conf_write_sample(&out);
    char *sample = buf_take_str(&out);
    char *live = uncomment(sample);
    struct conf *defaults = NULL, *as_is = NULL, *uncommented = NULL;
    struct conf_error error = {0};
    cr_assert_eq(load("", NULL, &defaults, &error), ERR_OK);
    cr_assert_eq(load(sample, NULL, &as_is, &error), ERR_OK, "%s", error.detail);
    cr_assert_eq(load(live, NULL, &uncommented, &error), ERR_OK, "%d: %s", error.line,
                 error.detail);
    char *a = effective(defaults), *b = effective(as_is), *d = effective(uncommented);
    cr_expect_str_eq(a, b);
    cr_expect_str_eq(a, d);
    size_t count = 0;
    const struct setting *all = setting_all(&count);
    for (size_t i = 0; i < count; i++) {
        char line[96];
        snprintf(line, sizeof(line), "\n#%s: ", all[i].name);
        cr_expect(strstr(sample, line) != NULL, "%s is not in the sample", all[i].name);
        cr_expect(strstr(sample, all[i].words) != NULL, "%s has no words", all[i].name);
    }
    free(a);
    free(b);
    free(d);
    free(sample);
    free(live);
    conf_free(defaults);
    conf_free(as_is);
    conf_free(uncommented);
}

Test(conf, what_is_in_force_is_printed_without_any_password)
{
    static const struct {
        const char *url, *shown;
    } cases[] = {
        {"dbname=x user=u password=hunter2 host=h", "dbname=x user=u password=*** host=h"},
        {"password = 'hun\\'ter2 x' dbname=y", "password=*** dbname=y"},
        {"PASSWORD=hunter2", "PASSWORD=***"},
        {"sslpassword=hunter2 dbname=z", "sslpassword=*** dbname=z"},
        {"postgresql://u:hunter2@h:5432/db?sslmode=require",
         "postgresql://u:***@h:5432/db?sslmode=require"},
        {"postgres://u:hun?ter2@h/db", "***"},
        {"postgres://u:hun/ter2@h/db", "***"},
        {"postgres://u:hun@ter2@h/db", "***"},
        {"postgresql://h/db?password=hunter2&x=y", "postgresql://h/db?password=***&x=y"},
        {"postgresql://h/db?p%61ssword=hunter2", "***"},
        {"postgresql://h/db", "postgresql://h/db"},
        {"postgresql://u@h/db", "postgresql://u@h/db"},
        {"hunter2", "***"},
        {"password='hunter2", "***"},
        {"", ""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char yaml[256], want[256];
        struct conf *c = NULL;
        struct conf_error error = {0};
        struct buf quoted;
        buf_init(&quoted, 256);
        for (const char *p = cases[i].url; *p != '\0'; p++) {
            buf_printf(&quoted, "%s%c", *p == '\\' ? "\\" : "", *p);
        }
        char *text = buf_take_str(&quoted);
        snprintf(yaml, sizeof(yaml), "database_url: \"%s\"", text);
        free(text);
        cr_assert_eq(load(yaml, NULL, &c, &error), ERR_OK, "%s", error.detail);
        cr_expect_str_eq(c->database_url, cases[i].url);
        char *shown = effective(c);
        snprintf(want, sizeof(want), "database_url: \"%s\"\n", cases[i].shown);
        cr_expect(strncmp(shown, want, strlen(want)) == 0, "%s -> %.80s", cases[i].url, shown);
        cr_expect(strstr(shown, "ter2") == NULL, "%s", cases[i].url);
        free(shown);
        conf_free(c);
    }
}

Test(conf, every_cut_of_a_file_is_read_or_refused_never_a_crash)
{
    static const char yaml[] = "http_listen: \"127.0.0.1:80\" # c\nnet_loops: 3\nlateness: '2m'\n"
                               "? packet_max\n: 1MiB\nalert_log: |\n  x\n";
    int refused = 0;
    for (size_t cut = 0; cut < sizeof(yaml); cut++) {
        uint8_t *copy = malloc(cut == 0 ? 1 : cut);
        memcpy(copy, yaml, cut);
        struct conf *c = NULL;
        struct conf_error error = {0};
        enum err e = conf_load_text(view_of(copy, cut), "box.yaml", NULL, &c, &error);
        cr_expect_eq(e == ERR_OK, c != NULL);
        refused += e != ERR_OK;
        cr_expect(e == ERR_OK || error.detail[0] != '\0', "cut %zu has no words", cut);
        conf_free(c);
        free(copy);
    }
    cr_expect_gt(refused, 20);
}

Test(address, host_and_port_are_split_and_nonsense_is_refused)
{
    static const struct {
        const char *text;
        enum err err;
        const char *host;
        int port;
    } cases[] = {
        {"127.0.0.1:8080", ERR_OK, "127.0.0.1", 8080},
        {"[::]:8883", ERR_OK, "::", 8883},
        {"[fe80::1%eth0]:1", ERR_OK, "fe80::1%eth0", 1},
        {":8883", ERR_OK, "", 8883},
        {"box.example:0", ERR_OK, "box.example", 0},
        {"box:65535", ERR_OK, "box", 65535},
        {"box:65536", ERR_SYNTAX, NULL, 0},
        {"box", ERR_SYNTAX, NULL, 0},
        {"box:", ERR_SYNTAX, NULL, 0},
        {"box:8o", ERR_SYNTAX, NULL, 0},
        {"::1:80", ERR_SYNTAX, NULL, 0},
        {"[::1:80", ERR_SYNTAX, NULL, 0},
        {"[zz]:80", ERR_SYNTAX, NULL, 0},
        {"[]:80", ERR_SYNTAX, NULL, 0},
        {"a b:80", ERR_SYNTAX, NULL, 0},
        {"a/b:80", ERR_SYNTAX, NULL, 0},
        {"", ERR_SYNTAX, NULL, 0},
        {"a-name-longer-than-its-room:80", ERR_LIMIT, NULL, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char host[24] = "untouched";
        int port = -7;
        cr_expect_eq(conf_split_address(cases[i].text, host, sizeof(host), &port), cases[i].err,
                     "%s", cases[i].text);
        cr_expect_str_eq(host, cases[i].err == ERR_OK ? cases[i].host : "untouched");
        cr_expect_eq(port, cases[i].err == ERR_OK ? cases[i].port : -7, "%s", cases[i].text);
    }
}

Test(conf, a_list_of_networks_is_cut_and_each_has_its_addresses)
{
    static const struct {
        const char *network, *address;
        bool has;
    } rows[] = {
        {"10.0.0.0/8", "::ffff:10.255.0.1", true},   {"10.0.0.0/8", "::ffff:11.0.0.1", false},
        {"10.1.2.3", "::ffff:10.1.2.3", true},       {"10.1.2.3", "::ffff:10.1.2.2", false},
        {"10.1.2.3/31", "::ffff:10.1.2.2", true},    {"0.0.0.0/0", "::ffff:1.2.3.4", true},
        {"0.0.0.0/0", "2001:db8::7", false},         {"::/0", "2001:db8::7", true},
        {"2001:db8::/33", "2001:db8:7fff::1", true}, {"2001:db8::/33", "2001:db8:8000::1", false},
        {"2001:db8::7", "2001:db8::7", true},        {"2001:db8::7/127", "2001:db8::6", true},
        {"2001:db8::7/128", "2001:db8::6", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct view list = view_str(rows[i].network);
        struct conf_network n;
        struct in6_addr address;
        cr_assert_eq(inet_pton(AF_INET6, rows[i].address, &address), 1);
        cr_assert_eq(conf_next_network(&list, &n), ERR_OK, "%s", rows[i].network);
        cr_expect_eq(list.len, 0);
        cr_expect_eq(conf_network_has(&n, address.s6_addr), rows[i].has, "%s has %s",
                     rows[i].network, rows[i].address);
    }
    static const char *const wrong[] = {"10.0.0", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/1x",  "/8",
                                        "host",   "::/129",    "::1%eth0",    "10.0.0.0/0008"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct view list = view_str(wrong[i]);
        struct conf_network n;
        cr_expect_eq(conf_next_network(&list, &n), ERR_SYNTAX, "%s", wrong[i]);
    }
    struct view list = view_str(" 10.0.0.1,192.0.2.0/24 ,\t::1, ");
    struct conf_network n;
    int count = 0;
    while (conf_next_network(&list, &n) == ERR_OK) {
        count++;
    }
    cr_expect_eq(count, 3);
    cr_expect_eq(conf_next_network(&list, &n), ERR_NOT_FOUND);
}
