#include "app/cli_alert_life.h"

#include <stdlib.h>

#include "app/cli_server.h"

const struct cli_option alert_comment_options[] = {
    {"comment", 'm', "TEXT", "what you know about it"}, {0}};
const struct cli_option alert_assign_options[] = {
    {"to", 't', "NAME", "who takes care of it; without it nobody does"},
    {"comment", 'm', "TEXT", "what they should know"},
    {0},
};
const struct cli_option alert_shelve_options[] = {
    {"for", 0, "DURATION", "how long, such as 8h"},
    {"until", 0, "TIME", "or until when: RFC 3339"},
    {"comment", 'm', "TEXT", "why"},
    {0},
};

/* Each named option that was given becomes a member of the body. */
static bool put_options(const struct cli_call *c, json_t *body, const char *const *names)
{
    for (; *names != NULL; names++) {
        const char *value = cli_value(c, *names);
        if (value != NULL && json_object_set_new(body, *names, json_string(value)) != 0) {
            return false;
        }
    }
    return true;
}

/* POST to each alert that was named. Takes the body. */
static int post_all(const struct cli_call *c, const char *verb, const char *done,
                    const char *const *options, json_t *body)
{
    struct http_client *client = NULL;
    int code = cli_server_open(c, &client);
    if (code == CLI_OK && !put_options(c, body, options)) {
        code = cli_fail(c, CLI_USAGE, "an option is not valid UTF-8");
    }
    for (int i = 0; code == CLI_OK && i < c->argc; i++) {
        json_t *answer = NULL;
        char *path = cli_path("/v1/alerts/", c->argv[i], verb, NULL);
        const struct cli_request r = {.method = "POST", .path = path, .body = body};
        code = cli_request(c, client, &r, &answer, NULL);
        if (code == CLI_OK && c->json) {
            cli_print_json(answer);
        } else if (code == CLI_OK) {
            cli_note("alert %s %s", c->argv[i], done);
        }
        free(path);
        json_decref(answer);
    }
    json_decref(body);
    http_client_free(client);
    return code;
}

int alert_comment(const struct cli_call *c)
{
    static const char *const options[] = {"comment", NULL};
    return post_all(c, "/comment", "commented on", options, json_object());
}

int alert_assign(const struct cli_call *c)
{
    static const char *const options[] = {"to", "comment", NULL};
    json_t *body = json_object();
    (void)json_object_set_new(body, "to", json_null());
    return post_all(c, "/assign", "assigned", options, body);
}

int alert_shelve(const struct cli_call *c)
{
    static const char *const options[] = {"for", "until", "comment", NULL};
    return post_all(c, "/shelve", "shelved", options, json_object());
}

int alert_unshelve(const struct cli_call *c)
{
    static const char *const options[] = {"comment", NULL};
    return post_all(c, "/unshelve", "taken off the shelf", options, json_object());
}
