/*
 * request: one HTTP request from its first byte to its answer.
 *
 * libmicrohttpd's thread reads it and checks everything that needs no database: path, method,
 * token, scope, media types, size. Then the connection is suspended, the route's handler runs on a
 * store thread and leaves an answer here, and the connection is resumed to send it. A handler that
 * waits for somebody else (the core, a command's outcome) sets `waiting` first, and whoever ends
 * the wait calls api_request_finish().
 *
 * Ownership: counted: one hold for the connection, one for whoever works on it.
 * Threads:   one at a time: libmicrohttpd's before the suspend and after the resume, the worker's
 *            between them.
 */
#pragma once

#include <stdatomic.h>

#include <jansson.h>
#include <microhttpd.h>

#include "api/accept.h"
#include "api/api.h"
#include "api/body.h"
#include "api/cursor.h"
#include "api/problem.h"
#include "api/query.h"
#include "base/arena.h"
#include "base/emit_json.h"
#include "rules/rule.h"

struct api_route;
struct api_stream;
struct api_wait;

enum {
    API_HEADERS_MAX = 8,
    API_NAMES_MAX = 2, /* {name} parts of a path */
    API_REQUEST_ARENA_MAX = 1 << 20,
    API_ANSWER_MAX = 64 << 20,
    API_LIMIT_DEFAULT = 100,
    API_LIMIT_MAX = 1000,
    API_KEY_MAX = 200,
};

enum api_phase { API_PHASE_NEW, API_PHASE_BODY, API_PHASE_WORK, API_PHASE_DONE, API_PHASE_SENT };

struct api_request {
    struct store_job job;
    struct api_op op;
    struct api *api;
    struct MHD_Connection *connection;
    struct api_connection *socket; /* its place among the connections, see sockets.h */
    atomic_int holds;
    enum api_phase phase;
    bool waiting;   /* the handler has returned and somebody else will finish */
    bool failed;    /* the answer is a problem */
    bool head_only; /* HEAD */
    bool counted;   /* in the total of body bytes */

    struct arena arena;
    struct view target; /* as sent */
    struct api_query query;
    const struct api_route *route;
    struct view names[API_NAMES_MAX];
    struct auth_bearer bearer;
    struct device *self;              /* held: a device that sends telemetry with its own token */
    char token[API_CURSOR_TEXT_SIZE]; /* for streams, which ask again whether it is good */
    bool token_unknown;               /* to be looked up in the database */
    char id[65];
    unsigned media; /* chosen by Accept */
    unsigned body_media;
    uint64_t source;
    struct buf body;
    json_t *json; /* of the body */
    struct api_errors *errors;

    unsigned status;
    struct buf out;
    const char *out_type;
    struct api_stream *stream; /* the answer is a stream */
    struct api_wait *wait;     /* its place among those who wait for a command */
    int64_t wait_us;
    uint32_t header_count;
    struct {
        const char *name;
        const char *value;
    } headers[API_HEADERS_MAX];
};

NODISCARD struct api_request *api_request_new(struct api *a, struct MHD_Connection *c,
                                              const char *target);
void api_request_hold(struct api_request *r);
void api_request_drop(struct api_request *r);

/* ---- what handlers read --------------------------------------------------------------------- */

/* A parameter as NUL-terminated text in the request's arena; NULL: not given. */
const char *api_param_text(const struct api_request *r, const char *name);
/* These answer with 400 and return false when the parameter is wrong. */
NODISCARD bool api_param_limit(struct api_request *r, int64_t most, int64_t standard,
                               int64_t *ret_limit);
NODISCARD bool api_param_time(struct api_request *r, const char *name, int64_t standard_us,
                              int64_t *ret_us);
NODISCARD bool api_param_duration(struct api_request *r, const char *name, int64_t *ret_us);
/* *ret_cursor is the start of the list when none was given. */
NODISCARD bool api_param_cursor(struct api_request *r, char tag, const struct api_cursor *start,
                                struct api_cursor *ret_cursor);
NODISCARD bool api_param_id(struct api_request *r, struct view text, int64_t *ret_id);
/* The body as a JSON object; NULL: answered already. */
const json_t *api_body(struct api_request *r);
void api_refuse(struct api_request *r); /* 422 with the errors that were noted */
/* The same when there are any. True: there were. */
NODISCARD bool api_invalid(struct api_request *r);

/* ---- who may see what ----------------------------------------------------------------------- */

bool api_unlimited(const struct api_request *r); /* the token sees all devices */
/* The device of {name}, held, or NULL after answering 404. */
struct device *api_device(struct api_request *r, struct view name);
bool api_sees_id(struct api_request *r, int32_t device_id);
/* The ids of the devices that the token and the parameters `select` and `device` admit, as a
 * PostgreSQL array in the arena; NULL: all. False: answered already. */
NODISCARD bool api_device_ids(struct api_request *r, const char **ret_ids);

/* ---- how handlers answer -------------------------------------------------------------------- */

/* What was written to r->out is the answer, as JSON unless r->out_type says otherwise. */
void api_answer(struct api_request *r, unsigned status);
__attribute__((format(printf, 3, 4))) void api_fail(struct api_request *r, enum problem p,
                                                    const char *format, ...);
/* For what a query returned; `what` is the thing that was asked for. */
void api_fail_err(struct api_request *r, enum err e, const char *what);
__attribute__((format(printf, 3, 4))) void api_header(struct api_request *r, const char *name,
                                                      const char *format, ...);
void api_etag(struct api_request *r, int64_t version);
/* If-Match of the request. required: 428 without it. *ret_given: false when there is none. False:
 * answered already. */
NODISCARD bool api_need_match(struct api_request *r, bool required, int64_t version);
const char *api_request_header(const struct api_request *r, const char *name);
/* Idempotency-Key into r->op. False: it is not of the right form, and that was answered. */
bool api_read_key(struct api_request *r);
void api_fail_key(struct api_request *r); /* it was used for something else */
/* {"items":[…],"next_cursor":…}: begin, write each item, end. */
struct emit_json api_list_begin(struct api_request *r);
void api_list_end(struct api_request *r, struct emit_json *j, const struct api_cursor *next);
/* Answers with the rows of a list query (see store/query_types.h) and frees them. */
void api_answer_rows(struct api_request *r, struct db_result *rows, int64_t limit, char tag);
/* Answers with the JSON in the first column of one row, and frees it. */
void api_answer_row(struct api_request *r, struct db_result *row, unsigned status);
/* A parameter that lists words ("firing,resolved", also repeated) as a PostgreSQL array; NULL: not
 * given. False: answered already. */
NODISCARD bool api_param_words(struct api_request *r, const char *name, const char **ret_array);
/* Percent-encodes a name for Location. */
const char *api_path_name(struct api_request *r, struct view name);

/* ---- waiting --------------------------------------------------------------------------------- */

/* On libmicrohttpd's thread, before somebody else works on the request. False: the server stops,
 * and that is the answer. */
NODISCARD bool api_request_suspend(struct api_request *r);
void api_request_finish(struct api_request *r); /* once, from any thread; the answer is complete */
/* Runs `work` for the request on a store thread; for a request that is waiting. */
void api_request_again(struct api_request *r, store_work_fn work);
/* Hands r->op to the core; the request waits. `done` gets the op, whose arg is the request. */
void api_submit(struct api_request *r, void (*done)(struct api_op *op));
/* The problem for an op that failed. */
void api_fail_op(struct api_request *r, const char *what);

/* ---- alerts -----------------------------------------------------------------------------------
 */

/* The alert of the path, or NULL after answering. */
struct db_result *api_alert(struct api_request *r, struct db *db, int64_t *ret_id);
/* For an op on an alert: answers with the alert as it is then. */
void api_alert_done(struct api_op *op);
