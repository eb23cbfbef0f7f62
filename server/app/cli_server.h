/*
 * cli_server: subcommands that talk to a running server: which one, as whom, and what to print.
 *
 * Every function that gives an exit code has said on stderr what went wrong.
 * Threads: one.
 */
#pragma once

#include <jansson.h>

#include "app/cli.h"
#include "app/http_client.h"

/* --url, SIGNALBOX_URL, http_listen of the settings file. The caller frees; NULL: no memory. */
char *cli_server_url(const struct cli_call *c);
/* http_listen as a URL that this machine can use. */
void cli_listen_url(const struct conf *conf, char *ret_url, size_t size);
int cli_server_open(const struct cli_call *c, struct http_client **ret_client);

/* "/v1/devices/", name, "/latest", NULL: every second text is escaped. NULL: no memory. */
char *cli_path(const char *first, ...) __attribute__((sentinel));
/* Adds key=value to a path under construction; nothing when value is NULL. */
void cli_query(struct buf *path, const char *key, const char *value);

struct cli_request {
    const char *method;
    const char *path;
    json_t *body;         /* borrowed; NULL: none */
    struct view raw;      /* instead of body */
    const char *raw_type; /* its media type */
    const char *if_match;
    const char *idempotency_key;
    bool missing_is_fine; /* 404: CLI_OK with *ret_json NULL */
};
/* *ret_json: the answer, NULL when it has no body. ret_etag may be NULL, else room for 128. */
int cli_request(const struct cli_call *c, struct http_client *client, const struct cli_request *r,
                json_t **ret_json, char *ret_etag);

struct cli_column {
    const char *head;
    const char *key;
};
/* A list as a table or JSON; paged: all its pages, up to --limit. `path` is changed. */
int cli_list(const struct cli_call *c, struct http_client *client, struct buf *path,
             const struct cli_column *columns, int count, bool paged);

void cli_print_json(const json_t *json);
/* A value as a cell: texts as they are, {"a":1} as "a=1", null as "". The caller frees. */
char *cli_json_text(json_t *value);
/* key, value: two columns without a heading. */
void cli_print_fields(json_t *object, const char *const *keys, size_t count);
/* "a=1" into object[a]: a text, or a number or boolean when `typed`. False: said what is wrong. */
bool cli_take_pairs(const struct cli_call *c, const char *option, bool typed, json_t *object);
/* The stream's refusal or an answer's problem details, on stderr. Gives the exit code. */
int cli_problem(const struct cli_call *c, const struct http_response *r);
int cli_transport_problem(const struct cli_call *c, const struct http_client *client, enum err e);
