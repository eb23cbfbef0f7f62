/* Rules over the history that a server has: it runs the job, we wait for it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli_backtest.h"
#include "app/cli_server.h"

#define WAIT "30s" /* of one request */

static json_t *make_body(const struct cli_call *c, json_t *rule)
{
    static const char *const texts[][2] = {{"from", "from"},
                                           {"to", "to"},
                                           {"select", "select"},
                                           {"warm-up", "warm_up"},
                                           {"flap-window", "flap_window"}};
    json_t *body = json_object();
    json_t *devices = json_array();
    const char *device = NULL;
    int at = 0;
    (void)json_object_set(body, "definition", rule);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const char *value = cli_value(c, texts[i][0]);
        if (value != NULL) {
            (void)json_object_set_new(body, texts[i][1], json_string(value));
        }
    }
    while ((device = cli_next_value(c, "device", &at)) != NULL) {
        (void)json_array_append_new(devices, json_string(device));
    }
    if (json_array_size(devices) > 0) {
        (void)json_object_set(body, "devices", devices);
    }
    json_decref(devices);
    return body;
}

static bool goes_on(const json_t *job)
{
    const char *state = json_string_value(json_object_get(job, "state"));
    return state != NULL && (strcmp(state, "queued") == 0 || strcmp(state, "running") == 0);
}

/* Until the job has ended. */
static int wait_for(const struct cli_call *c, struct http_client *client, json_t **job)
{
    int code = CLI_OK;
    while (code == CLI_OK && goes_on(*job)) {
        char path[96];
        json_t *next = NULL;
        (void)snprintf(path, sizeof(path), "/v1/backtests/%lld?wait=" WAIT,
                       (long long)json_integer_value(json_object_get(*job, "id")));
        const struct cli_request get = {.method = "GET", .path = path};
        code = cli_request(c, client, &get, &next, NULL);
        if (code == CLI_OK) {
            json_decref(*job);
            *job = next;
        }
    }
    return code;
}

static int test_one(const struct cli_call *c, struct http_client *client, json_t *rule,
                    json_t *ret_reports)
{
    const char *name = json_string_value(json_object_get(rule, "name"));
    if (name == NULL) {
        return cli_fail(c, CLI_FAILED, "a rule without a name");
    }
    char *path = cli_path("/v1/rules/", name, "/backtest?wait=" WAIT, NULL);
    json_t *body = make_body(c, rule);
    json_t *job = NULL;
    const struct cli_request post = {.method = "POST", .path = path, .body = body};
    int code = cli_request(c, client, &post, &job, NULL);
    code = code == CLI_OK ? wait_for(c, client, &job) : code;
    if (code == CLI_OK) {
        const char *state = json_string_value(json_object_get(job, "state"));
        if (state == NULL || strcmp(state, "done") != 0) {
            const char *why = json_string_value(json_object_get(job, "error"));
            code = cli_fail(c, CLI_FAILED, "rule %s: %s%s%s", name, state == NULL ? "?" : state,
                            why == NULL ? "" : ": ", why == NULL ? "" : why);
        } else {
            (void)json_array_append(ret_reports, job);
        }
    }
    free(path);
    json_decref(body);
    json_decref(job);
    return code;
}

int cli_backtest_server(const struct cli_call *c, json_t *rules, json_t *ret_reports)
{
    struct http_client *client = NULL;
    int worst = cli_server_open(c, &client);
    size_t i = 0;
    json_t *rule = NULL;
    json_array_foreach(rules, i, rule)
    {
        int code = client != NULL ? test_one(c, client, rule, ret_reports) : CLI_OK;
        worst = code != CLI_OK ? code : worst;
    }
    http_client_free(client);
    return worst;
}
