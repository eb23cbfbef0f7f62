#include <stdlib.h>
#include <string.h>

#include "app/cli_server.h"
#include "app/commands.h"
#include "base/check.h"

static int silence_list(const struct cli_call *c)
{
    static const struct cli_column columns[] = {{"ID", "id"},
                                                {"OWNER", "owner"},
                                                {"STARTS", "starts_at"},
                                                {"EXPIRES", "expires_at"},
                                                {"SELECT", "select"},
                                                {"RULE", "rule"},
                                                {"SEVERITY", "severity"},
                                                {"COMMENT", "comment"}};
    struct http_client *client = NULL;
    struct buf path;
    int code = cli_server_open(c, &client);
    if (code != CLI_OK) {
        return code;
    }
    buf_init(&path, 32768);
    buf_put_str(&path, "/v1/silences");
    cli_query(&path, "active", cli_flag(c, "all") ? NULL : "true");
    code = cli_list(c, client, &path, columns, COUNT_OF(columns), true);
    buf_fini(&path);
    http_client_free(client);
    return code;
}

/* "minor,warning" as a list. */
static json_t *severities(const char *text)
{
    json_t *list = json_array();
    while (*text != '\0') {
        size_t n = strcspn(text, ",");
        (void)json_array_append_new(list, json_stringn(text, n));
        text += n + (text[n] == ',');
    }
    return list;
}

static int silence_add(const struct cli_call *c)
{
    static const struct {
        const char *option, *member;
    } members[] = {{"select", "select"},    {"rule", "rule"},      {"for", "expires_in"},
                   {"until", "expires_at"}, {"from", "starts_at"}, {"every", "every"},
                   {"window", "window"},    {"comment", "comment"}};
    struct http_client *client = NULL;
    json_t *answer = NULL;
    json_t *body = json_object();
    int code = cli_server_open(c, &client);
    for (size_t i = 0; i < COUNT_OF(members) && code == CLI_OK; i++) {
        const char *value = cli_value(c, members[i].option);
        if (value != NULL &&
            json_object_set_new(body, members[i].member, json_string(value)) != 0) {
            code = cli_fail(c, CLI_USAGE, "an option is not valid UTF-8");
        }
    }
    if (cli_value(c, "severity") != NULL) {
        (void)json_object_set_new(body, "severity", severities(cli_value(c, "severity")));
    }
    if (cli_flag(c, "maintenance")) {
        (void)json_object_set_new(body, "maintenance", json_true());
    }
    const struct cli_request r = {.method = "POST", .path = "/v1/silences", .body = body};
    code = code == CLI_OK ? cli_request(c, client, &r, &answer, NULL) : code;
    if (code == CLI_OK && c->json) {
        cli_print_json(answer);
    } else if (code == CLI_OK) {
        cli_note("silence %lld until %s",
                 (long long)json_integer_value(json_object_get(answer, "id")),
                 json_string_value(json_object_get(answer, "expires_at")));
    }
    json_decref(answer);
    json_decref(body);
    http_client_free(client);
    return code;
}

static int silence_end(const struct cli_call *c)
{
    struct http_client *client = NULL;
    int code = cli_server_open(c, &client);
    for (int i = 0; code == CLI_OK && i < c->argc; i++) {
        json_t *answer = NULL;
        char *path = cli_path("/v1/silences/", c->argv[i], NULL);
        const struct cli_request r = {.method = "DELETE", .path = path};
        code = cli_request(c, client, &r, &answer, NULL);
        if (code == CLI_OK && c->json) {
            cli_print_json(answer);
        } else if (code == CLI_OK) {
            cli_note("silence %s ended", c->argv[i]);
        }
        free(path);
        json_decref(answer);
    }
    http_client_free(client);
    return code;
}

int cli_silence(int argc, char **argv)
{
    static const struct cli_option list_options[] = {
        {"all", 'a', NULL, "also those that are over"},
        {"limit", 'n', "N", "at most so many (else all)"},
        {0},
    };
    static const struct cli_option add_options[] = {
        {"select", 's', "SELECTOR", "alerts of these devices, such as site=plant-1"},
        {"rule", 'r', "NAME", "of this rule"},
        {"severity", 0, "LIST", "of these severities, such as minor,warning"},
        {"for", 0, "DURATION", "how long, such as 2h"},
        {"until", 0, "TIME", "or until when: RFC 3339"},
        {"from", 0, "TIME", "from when on (else now)"},
        {"every", 0, "DURATION", "a window that comes again so often, such as 1w"},
        {"window", 0, "DURATION", "and lasts so long"},
        {"maintenance", 0, NULL, "call it maintenance"},
        {"comment", 'm', "TEXT", "why"},
        {0},
    };
    enum { SERVER = CLI_USES_SERVER | CLI_USES_OUTPUT, ENDS_MAX = 1000 };
    static const struct cli_command commands[] = {
        {"list", "", "list silences in force or to come",
         "  signalbox silence list\n  signalbox silence list --all -o json\n", 0, 0, SERVER,
         list_options, silence_list},
        {"add", "", "keep alerts quiet for a while",
         "  signalbox silence add --select site=plant-1 --for 2h --comment painting\n"
         "  signalbox silence add --rule vibration --for 90d --every 1w --window 2h --maintenance "
         "--comment service\n",
         0, 0, SERVER, add_options, silence_add},
        {"end", "ID…", "end it now", "  signalbox silence end 3\n", 1, ENDS_MAX, SERVER, NULL,
         silence_end},
        {0},
    };
    return cli_run("silence", "Silences: alerts that nobody is told of, and until when.", commands,
                   argc, argv);
}
