#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "app/cli_alert_life.h"
#include "app/cli_server.h"
#include "app/cli_table.h"
#include "app/commands.h"
#include "base/check.h"

enum { WATCH_PAUSE_MIN_MS = 1000, WATCH_PAUSE_MAX_MS = 30000 };

static int alert_list(const struct cli_call *c)
{
    static const struct cli_column columns[] = {{"ID", "id"},          {"SEVERITY", "severity"},
                                                {"STATE", "state"},    {"RULE", "rule"},
                                                {"DEVICE", "device"},  {"SINCE", "since"},
                                                {"FIRED", "fired_at"}, {"RESOLVED", "resolved_at"},
                                                {"VALUE", "value"},    {"ACK", "acknowledged_by"},
                                                {"SUMMARY", "summary"}};
    static const char *const filters[] = {"rule",     "device", "select", "state",
                                          "severity", "from",   "to"};
    struct http_client *client = NULL;
    struct buf path;
    int code = cli_server_open(c, &client);
    if (code != CLI_OK) {
        return code;
    }
    buf_init(&path, 32768);
    buf_put_str(&path, "/v1/alerts");
    for (size_t i = 0; i < COUNT_OF(filters); i++) {
        cli_query(&path, filters[i], cli_value(c, filters[i]));
    }
    code = cli_list(c, client, &path, columns, COUNT_OF(columns), true);
    buf_fini(&path);
    http_client_free(client);
    return code;
}

static int alert_ack(const struct cli_call *c)
{
    struct http_client *client = NULL;
    json_t *answer = NULL;
    const char *comment = cli_value(c, "comment");
    json_t *body = json_object();
    int code = cli_server_open(c, &client);
    if (comment != NULL && json_object_set_new(body, "comment", json_string(comment)) != 0) {
        code = cli_fail(c, CLI_USAGE, "--comment is not valid UTF-8");
    }
    for (int i = 0; code == CLI_OK && i < c->argc; i++) {
        char *path = cli_path("/v1/alerts/", c->argv[i], "/ack", NULL);
        const struct cli_request r = {.method = "POST", .path = path, .body = body};
        code = cli_request(c, client, &r, &answer, NULL);
        if (code == CLI_OK && c->json) {
            cli_print_json(answer);
        } else if (code == CLI_OK) {
            cli_note("alert %s acknowledged", c->argv[i]);
        }
        free(path);
        json_decref(answer);
        answer = NULL;
    }
    json_decref(body);
    http_client_free(client);
    return code;
}

struct watch {
    const struct cli_call *call;
    struct cli_style style;
    const char *severity; /* NULL: any */
    char last_id[64];
    int64_t left;   /* events to print before it ends; negative: for ever */
    bool got_event; /* since the last connection */
};

static const char *severity_color(const char *severity)
{
    static const struct {
        const char *severity, *color;
    } colors[] = {{"critical", "\x1b[1;31m"},
                  {"major", "\x1b[31m"},
                  {"minor", "\x1b[33m"},
                  {"warning", "\x1b[33m"}};
    for (size_t i = 0; i < COUNT_OF(colors); i++) {
        if (strcmp(severity, colors[i].severity) == 0) {
            return colors[i].color;
        }
    }
    return "";
}

/* The value of a key as a clean text; the caller frees. */
static char *field(const json_t *body, const char *key)
{
    struct buf out;
    char *text = cli_json_text(json_object_get(body, key));
    buf_init(&out, 65536);
    cli_text_clean(&out, text == NULL || text[0] == '\0' ? "-" : text, 0);
    free(text);
    return buf_take_str(&out);
}

/* An event is live: its own time is that of what it tells. */
static char *event_time(const char *kind, const json_t *body)
{
    if (json_is_string(json_object_get(body, "ts"))) {
        return field(body, "ts");
    }
    const char *dot = strrchr(kind, '.');
    return field(body, dot != NULL && strcmp(dot, ".resolved") == 0 ? "resolved_at" : "fired_at");
}

static char *event_words(const json_t *body)
{
    char *summary = field(body, "summary");
    if (json_object_get(body, "summary") != NULL ||
        json_object_get(body, "acknowledged_by") == NULL) {
        return summary;
    }
    free(summary);
    struct buf out;
    char *by = field(body, "acknowledged_by");
    char *comment = field(body, "comment");
    buf_init(&out, 131072);
    buf_printf(&out, "by %s: %s", by, comment);
    free(by);
    free(comment);
    return buf_take_str(&out);
}

/* TIME SEVERITY KIND #ID RULE DEVICE VALUE SUMMARY */
static void print_event(const struct watch *w, const char *kind, const json_t *body)
{
    static const char *const keys[] = {"severity", "alert_id", "rule", "device", "value"};
    char *text[COUNT_OF(keys) + 2];
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        text[i] = field(body, keys[i]);
    }
    text[COUNT_OF(keys)] = event_time(kind, body);
    text[COUNT_OF(keys) + 1] = event_words(body);
    struct buf line;
    buf_init(&line, 262144);
    const char *severity = text[0] == NULL ? "-" : text[0];
    buf_printf(&line, "%-27s %s%-8s%s ", text[5], w->style.color ? severity_color(severity) : "",
               severity, w->style.color ? "\x1b[0m" : "");
    cli_text_clean(&line, kind, 0);
    buf_printf(&line, " #%s %s %s %s %s\n", text[1], text[2], text[3], text[4], text[6]);
    (void)fwrite(line.data, 1, line.len, stdout);
    buf_fini(&line);
    for (size_t i = 0; i < COUNT_OF(text); i++) {
        free(text[i]);
    }
}

static bool on_event(void *arg, const struct sse_event *e)
{
    struct watch *w = arg;
    w->got_event = true;
    (void)view_copy(view_str(e->id), w->last_id, sizeof(w->last_id));
    if (strcmp(e->kind, "reset") == 0) {
        cli_note("some events are missing: the server no longer has them");
        return true;
    }
    json_t *body = json_loadb((const char *)e->data.data, e->data.len, 0, NULL);
    const char *severity = json_string_value(json_object_get(body, "severity"));
    if (w->severity != NULL && (severity == NULL || strcmp(severity, w->severity) != 0)) {
        json_decref(body);
        return true;
    }
    if (w->call->json) {
        (void)json_object_set_new(body, "event", json_string(e->kind));
        (void)json_object_set_new(body, "event_id", json_string(e->id));
        (void)json_dumpf(body, stdout, JSON_COMPACT);
        (void)fputc('\n', stdout);
    } else {
        print_event(w, e->kind, body);
    }
    json_decref(body);
    w->left -= w->left > 0;
    return fflush(stdout) == 0 && w->left != 0;
}

static void pause_ms(int64_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&t, NULL);
}

/* A refusal ends it; a lost connection is made again, from the last event on. */
static int follow(const struct cli_call *c, struct http_client *client, const char *path,
                  struct watch *w)
{
    int64_t pause = WATCH_PAUSE_MIN_MS;
    for (;;) {
        struct http_response response = {0};
        w->got_event = false;
        enum err e = http_client_stream(client, path, w->last_id, on_event, w, &response);
        long status = response.status;
        bool refused = e == ERR_OK && status != 200 && status < 500 && status != 429;
        int code = refused ? cli_problem(c, &response) : CLI_OK;
        http_response_fini(&response);
        if (refused || e == ERR_CANCELLED) {
            return code;
        }
        if (e == ERR_RANGE || e == ERR_SYNTAX || e == ERR_NOMEM) {
            return cli_transport_problem(c, client, e);
        }
        pause = w->got_event ? WATCH_PAUSE_MIN_MS : pause;
        cli_note("%s: %s; trying again in %lld s", http_client_url(client),
                 e == ERR_OK ? "the stream ended" : http_client_error(client),
                 (long long)(pause / 1000));
        if (cli_flag(c, "once")) {
            return CLI_UNREACHABLE;
        }
        pause_ms(pause);
        pause = pause * 2 > WATCH_PAUSE_MAX_MS ? WATCH_PAUSE_MAX_MS : pause * 2;
    }
}

static int alert_watch(const struct cli_call *c)
{
    struct watch w = {
        .call = c, .style = cli_style_of(stdout), .severity = cli_value(c, "severity")};
    struct http_client *client = NULL;
    struct buf path;
    if (!cli_number(c, "count", 1, INT32_MAX, -1, &w.left)) {
        return CLI_USAGE;
    }
    int code = cli_server_open(c, &client);
    if (code != CLI_OK) {
        return code;
    }
    buf_init(&path, 32768);
    buf_put_str(&path, "/v1/events");
    const char *kind = cli_value(c, "kind");
    cli_query(&path, "kind", kind != NULL ? kind : "alert");
    cli_query(&path, "device", cli_value(c, "device"));
    cli_query(&path, "select", cli_value(c, "select"));
    cli_query(&path, "since", cli_value(c, "since"));
    char *text = buf_take_str(&path);
    code = text == NULL ? cli_fail(c, CLI_USAGE, "the options are too long")
                        : follow(c, client, text, &w);
    free(text);
    http_client_free(client);
    return code;
}

int cli_alert(int argc, char **argv)
{
    static const struct cli_option list_options[] = {
        {"rule", 'r', "NAME", "of this rule"},
        {"device", 'd', "NAME", "of this device"},
        {"select", 's', "SELECTOR", "of these devices, such as site=plant-1"},
        {"state", 0, "STATE", "firing, resolved or retracted"},
        {"severity", 0, "SEVERITY", "critical, major, minor, warning or info"},
        {"from", 0, "TIME", "fired since: RFC 3339, or relative such as -1h"},
        {"to", 0, "TIME", "fired before"},
        {"limit", 'n', "N", "at most so many (else all)"},
        {0},
    };
    static const struct cli_option ack_options[] = {
        {"comment", 'm', "TEXT", "what you know about it"}, {0}};
    static const struct cli_option watch_options[] = {
        {"device", 'd', "NAME", "of this device"},
        {"select", 's', "SELECTOR", "of these devices"},
        {"severity", 0, "SEVERITY", "of this severity only"},
        {"kind", 'k', "LIST", "kinds of events, such as alert,command,work_order (default: alert)"},
        {"since", 0, "ID", "begin after this event"},
        {"count", 'n', "N", "end after so many"},
        {"once", 0, NULL, "end with code 3 when the connection is lost, instead of trying again"},
        {0},
    };
    enum { SERVER = CLI_USES_SERVER | CLI_USES_OUTPUT, ACKS_MAX = 1000 };
    static const struct cli_command commands[] = {
        {"list", "", "list alerts, newest first",
         "  signalbox alert list --state firing\n  signalbox alert list --select site=plant-1 "
         "--from -24h -o json\n",
         0, 0, SERVER, list_options, alert_list},
        {"ack", "ID…", "say that somebody is on it",
         "  signalbox alert ack 17 --comment \"on my way\"\n", 1, ACKS_MAX, SERVER, ack_options,
         alert_ack},
        {"comment", "ID…", "write something into its history",
         "  signalbox alert comment 17 --comment \"bearing ordered\"\n", 1, ACKS_MAX, SERVER,
         alert_comment_options, alert_comment},
        {"assign", "ID…", "say who takes care of it", "  signalbox alert assign 17 --to ann\n", 1,
         ACKS_MAX, SERVER, alert_assign_options, alert_assign},
        {"shelve", "ID…", "tell nobody of it for a while",
         "  signalbox alert shelve 17 --for 8h --comment \"part ordered\"\n", 1, ACKS_MAX, SERVER,
         alert_shelve_options, alert_shelve},
        {"unshelve", "ID…", "take it off the shelf", "  signalbox alert unshelve 17\n", 1, ACKS_MAX,
         SERVER, alert_comment_options, alert_unshelve},
        {"watch", "", "print alerts as they come, one line each",
         "  signalbox alert watch\n  signalbox alert watch --severity critical -o json\n", 0, 0,
         SERVER, watch_options, alert_watch},
        {0},
    };
    return cli_run("alert", "Alerts: what fired, who is on it, what happens now.", commands, argc,
                   argv);
}
