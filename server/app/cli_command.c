#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "app/cli_server.h"
#include "app/cli_table.h"
#include "app/commands.h"
#include "base/check.h"
#include "base/clock.h"
#include "model/command.h"

static void print_history(const json_t *command)
{
    static const char *const heads[] = {"STATE", "TIME", "CAUSE"};
    static const char *const keys[] = {"state", "ts", "cause"};
    struct cli_table table;
    size_t i = 0;
    const json_t *step = NULL;
    cli_table_init(&table, COUNT_OF(heads), heads);
    json_array_foreach(json_object_get(command, "history"), i, step)
    {
        for (size_t k = 0; k < COUNT_OF(keys); k++) {
            char *text = cli_json_text(json_object_get(step, keys[k]));
            cli_table_cell(&table, text);
            free(text);
        }
    }
    if (i > 0) {
        printf("\n");
        cli_table_print(&table);
    }
    cli_table_fini(&table);
}

static void print_command(const struct cli_call *c, json_t *command)
{
    static const char *const all[] = {"id",    "device", "method",     "params",
                                      "state", "result", "created_at", "expires_at"};
    const char *keys[COUNT_OF(all)];
    size_t count = 0;
    if (c->json) {
        cli_print_json(command);
        return;
    }
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        if (json_object_get(command, all[i]) != NULL) {
            keys[count++] = all[i];
        }
    }
    cli_print_fields(command, keys, count);
    print_history(command);
}

/* The body of the request, or NULL after saying what is wrong. */
static json_t *make_body(const struct cli_call *c)
{
    const char *text = c->argc > 2 ? c->argv[2] : "{}";
    const char *expires = cli_value(c, "expires");
    int64_t ignored = 0;
    json_error_t why;
    json_t *params = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &why);
    if (params == NULL) {
        (void)cli_fail(c, CLI_USAGE, "the parameters are no JSON: column %d: %s", why.column,
                       why.text);
        return NULL;
    }
    if (expires != NULL && clock_parse_duration(view_str(expires), &ignored) != ERR_OK) {
        (void)cli_fail(c, CLI_USAGE, "--expires takes a time such as 60s or 1h, not `%s`", expires);
        json_decref(params);
        return NULL;
    }
    json_t *body = json_pack("{s:s, s:o}", "method", c->argv[1], "params", params);
    if (body != NULL && expires != NULL) {
        (void)json_object_set_new(body, "expires_in", json_string(expires));
    }
    if (body == NULL) {
        (void)cli_fail(c, CLI_USAGE, "the method is not valid UTF-8");
    }
    return body;
}

/* A key of its own for each call, so that what stands between here and the server may repeat the
 * request. */
static bool make_key(const struct cli_call *c, char ret_key[static 80])
{
    const char *given = cli_value(c, "key");
    uint64_t random[2];
    if (given != NULL) {
        return view_copy(view_str(given), ret_key, 80);
    }
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        return false;
    }
    (void)snprintf(ret_key, 80, "cli-%016llx%016llx", (unsigned long long)random[0],
                   (unsigned long long)random[1]);
    return true;
}

/* With --wait the exit code tells the outcome. */
static int outcome(const struct cli_call *c, const json_t *command)
{
    enum command_state state = COMMAND_QUEUED;
    const char *words = json_string_value(json_object_get(command, "state"));
    if (!cli_flag(c, "wait") || words == NULL || !command_state_parse(view_str(words), &state)) {
        return CLI_OK;
    }
    if (state == COMMAND_SUCCEEDED) {
        return CLI_OK;
    }
    char *id = cli_json_text(json_object_get(command, "id"));
    int code =
        command_is_final(state)
            ? cli_fail(c, CLI_FAILED, "the command %s", words)
            : cli_fail(c, CLI_FAILED,
                       "no outcome within %s: it is %s; `signalbox command show %s` tells more",
                       cli_value(c, "wait"), words, id);
    free(id);
    return code;
}

static int command_send(const struct cli_call *c)
{
    struct http_client *client = NULL;
    json_t *answer = NULL;
    struct buf path;
    char key[80];
    int64_t wait_us = 0;
    const char *wait = cli_value(c, "wait");
    if (wait != NULL && (clock_parse_duration(view_str(wait), &wait_us) != ERR_OK ||
                         wait_us > 50 * CLOCK_SECOND_US)) {
        return cli_fail(c, CLI_USAGE, "--wait takes a time up to 50s, such as 5s, not `%s`", wait);
    }
    json_t *body = make_body(c);
    if (body == NULL || !make_key(c, key)) {
        json_decref(body);
        return CLI_USAGE;
    }
    buf_init(&path, 8192);
    char *base = cli_path("/v1/devices/", c->argv[0], "/commands", NULL);
    buf_put_str(&path, base == NULL ? "" : base);
    cli_query(&path, "wait", wait);
    char *text = buf_take_str(&path);
    int code = cli_server_open(c, &client);
    if (code == CLI_OK) {
        const struct cli_request r = {
            .method = "POST", .path = text, .body = body, .idempotency_key = key};
        code = cli_request(c, client, &r, &answer, NULL);
    }
    if (code == CLI_OK) {
        print_command(c, answer);
        code = outcome(c, answer);
    }
    free(text);
    free(base);
    json_decref(body);
    json_decref(answer);
    http_client_free(client);
    return code;
}

static int one_command(const struct cli_call *c, const char *method, char *path)
{
    struct http_client *client = NULL;
    json_t *answer = NULL;
    int code = cli_server_open(c, &client);
    if (code == CLI_OK) {
        const struct cli_request r = {.method = method, .path = path};
        code = cli_request(c, client, &r, &answer, NULL);
    }
    if (code == CLI_OK && answer != NULL) {
        print_command(c, answer);
    }
    free(path);
    json_decref(answer);
    http_client_free(client);
    return code;
}

static int command_show(const struct cli_call *c)
{
    return one_command(c, "GET", cli_path("/v1/commands/", c->argv[0], NULL));
}

static int command_cancel(const struct cli_call *c)
{
    return one_command(c, "POST", cli_path("/v1/commands/", c->argv[0], "/cancel", NULL));
}

static int command_list(const struct cli_call *c)
{
    static const struct cli_column columns[] = {
        {"ID", "id"},         {"METHOD", "method"}, {"STATE", "state"},       {"PARAMS", "params"},
        {"RESULT", "result"}, {"ORIGIN", "origin"}, {"CREATED", "created_at"}};
    struct http_client *client = NULL;
    struct buf path;
    int code = cli_server_open(c, &client);
    if (code != CLI_OK) {
        return code;
    }
    buf_init(&path, 8192);
    char *base = cli_path("/v1/devices/", c->argv[0], "/commands", NULL);
    buf_put_str(&path, base == NULL ? "" : base);
    cli_query(&path, "state", cli_value(c, "state"));
    code = cli_list(c, client, &path, columns, COUNT_OF(columns), true);
    free(base);
    buf_fini(&path);
    http_client_free(client);
    return code;
}

int cli_command(int argc, char **argv)
{
    static const struct cli_option send_options[] = {
        {"wait", 'w', "TIME", "wait so long for the outcome; the exit code tells it"},
        {"expires", 'e', "TIME",
         "not delivered later than this (default: the server's command_expiry)"},
        {"key", 0, "KEY", "idempotency key: sending the same again gives the first command"},
        {0},
    };
    static const struct cli_option list_options[] = {
        {"state", 0, "STATE", "such as queued or failed"},
        {"limit", 'n', "N", "at most so many (else all)"},
        {0}};
    enum { SERVER = CLI_USES_SERVER | CLI_USES_OUTPUT };
    static const struct cli_command commands[] = {
        {"send", "DEVICE METHOD [JSON]", "send a command to a device",
         "  signalbox command send press-7 stop --wait 5s\n"
         "  signalbox command send press-7 set_limit '{\"value\":80}' --expires 60s\n",
         2, 3, SERVER, send_options, command_send},
        {"show", "ID", "show a command and its history", "  signalbox command show 42\n", 1, 1,
         SERVER, NULL, command_show},
        {"list", "DEVICE", "list a device's commands, newest first",
         "  signalbox command list press-7 --state failed\n", 1, 1, SERVER, list_options,
         command_list},
        {"cancel", "ID", "cancel a command that has not ended", "  signalbox command cancel 42\n",
         1, 1, SERVER, NULL, command_cancel},
        {0},
    };
    return cli_run("command", "Commands: kept until the device has answered or they expire.",
                   commands, argc, argv);
}
