#include "command/book.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/emit_json.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"

struct command {
    struct list of_device; /* in order of id */
    struct list open;
    int64_t id;
    int32_t device_id;
    enum command_state state;
    int attempt;
    int history;    /* rows so far */
    bool under_way; /* a delivery is with a session, or waits for the commit before it */
    uint32_t tried; /* sessions that had no matching subscription */
    int64_t expires_mono_us;
    int64_t not_before_us; /* monotonic; 0: at once */
    int64_t answer_by_us;  /* CLOCK_NONE until delivered */
    char *method;
    char *params;
    char *origin;
};

struct device_commands {
    struct list commands;
    uint32_t count;
    struct list of_gateway; /* linked if the device has one */
    int32_t gateway_id;     /* 0: none */
};

struct command_book {
    struct command_hooks hooks;
    int64_t default_expiry_us;
    int64_t answer_timeout_us;
    uint32_t per_device_max;
    int64_t next_id;
    struct map by_id;     /* int64 -> struct command */
    struct map by_device; /* int32 -> struct device_commands */
    struct map gateways;  /* int32 -> struct list of the struct device_commands of its children */
    struct list open;
};

static struct view key_of(const void *number, size_t len)
{
    return view_of(number, len);
}

struct command_book *command_book_new(const struct conf *conf, const struct command_hooks *hooks)
{
    struct command_book *b = calloc(1, sizeof(*b));
    if (b == NULL) {
        return NULL;
    }
    b->hooks = *hooks;
    b->default_expiry_us = conf->command_expiry_us;
    b->answer_timeout_us = conf->command_timeout_us;
    b->per_device_max = (uint32_t)conf->commands_per_device_max;
    b->next_id = 1;
    map_init(&b->by_id);
    map_init(&b->by_device);
    map_init(&b->gateways);
    list_init(&b->open);
    return b;
}

static void command_free(struct command *c)
{
    free(c->method);
    free(c->params);
    free(c->origin);
    free(c);
}

void command_book_free(struct command_book *b)
{
    if (b == NULL) {
        return;
    }
    MAP_FOREACH (at, &b->by_id) {
        command_free(at->value);
    }
    MAP_FOREACH (at, &b->by_device) {
        free(at->value);
    }
    MAP_FOREACH (at, &b->gateways) {
        free(at->value);
    }
    map_fini(&b->gateways);
    map_fini(&b->by_id);
    map_fini(&b->by_device);
    free(b);
}

static struct command *book_find(const struct command_book *b, int64_t id)
{
    return map_get(&b->by_id, key_of(&id, sizeof(id)));
}

/* A child's commands wait for its gateway's session as well as for its own. */
static enum err gateway_join(struct command_book *b, struct device_commands *d)
{
    struct view key = key_of(&d->gateway_id, sizeof(d->gateway_id));
    struct list *children = map_get(&b->gateways, key);
    if (children == NULL) {
        children = calloc(1, sizeof(*children));
        void *old = NULL;
        if (children == NULL || map_put(&b->gateways, key, children, &old) != ERR_OK) {
            free(children);
            return ERR_NOMEM;
        }
        list_init(children);
    }
    list_push_back(children, &d->of_gateway);
    return ERR_OK;
}

static void gateway_leave(struct command_book *b, struct device_commands *d)
{
    if (!list_linked(&d->of_gateway)) {
        return;
    }
    struct view key = key_of(&d->gateway_id, sizeof(d->gateway_id));
    struct list *children = map_get(&b->gateways, key);
    list_remove(&d->of_gateway);
    if (list_empty(children)) {
        (void)map_remove(&b->gateways, key);
        free(children);
    }
}

static struct device_commands *book_device(const struct command_book *b, int32_t device_id)
{
    return map_get(&b->by_device, key_of(&device_id, sizeof(device_id)));
}

static struct device_commands *book_device_add(struct command_book *b, int32_t device_id)
{
    struct device_commands *d = calloc(1, sizeof(*d));
    void *old = NULL;
    if (d == NULL ||
        map_put(&b->by_device, key_of(&device_id, sizeof(device_id)), d, &old) != ERR_OK) {
        free(d);
        return NULL;
    }
    list_init(&d->commands);
    d->gateway_id = b->hooks.gateway(b->hooks.arg, device_id);
    if (d->gateway_id != 0 && gateway_join(b, d) != ERR_OK) {
        (void)map_remove(&b->by_device, key_of(&device_id, sizeof(device_id)));
        free(d);
        return NULL;
    }
    return d;
}

/* Takes the three strings. */
static struct command *book_add(struct command_book *b, int64_t id, int32_t device_id, char *method,
                                char *params, char *origin)
{
    struct command *c = calloc(1, sizeof(*c));
    struct device_commands *d = book_device(b, device_id);
    d = d == NULL ? book_device_add(b, device_id) : d;
    void *old = NULL;
    if (c == NULL || d == NULL || method == NULL || params == NULL || origin == NULL ||
        map_put(&b->by_id, key_of(&id, sizeof(id)), c, &old) != ERR_OK) {
        free(c);
        free(method);
        free(params);
        free(origin);
        return NULL;
    }
    *c = (struct command){.id = id,
                          .device_id = device_id,
                          .method = method,
                          .params = params,
                          .origin = origin,
                          .answer_by_us = CLOCK_NONE};
    list_push_back(&d->commands, &c->of_device);
    list_push_back(&b->open, &c->open);
    d->count++;
    return c;
}

static void book_remove(struct command_book *b, struct command *c)
{
    struct device_commands *d = book_device(b, c->device_id);
    list_remove(&c->of_device);
    list_remove(&c->open);
    (void)map_remove(&b->by_id, key_of(&c->id, sizeof(c->id)));
    if (--d->count == 0) {
        (void)map_remove(&b->by_device, key_of(&c->device_id, sizeof(c->device_id)));
        gateway_leave(b, d);
        free(d);
    }
    command_free(c);
}

/* ---- what is written ---- */

static void book_history(struct command_book *b, struct command *c, const char *cause)
{
    struct batch *batch = b->hooks.batch(b->hooks.arg);
    struct batch_op *op = batch_op(batch, "INSERT INTO command_history (command_id, seq, state, "
                                          "ts, cause) VALUES ($1, $2, $3, $4, $5)"
                                          " ON CONFLICT DO NOTHING");
    batch_op_int(batch, op, c->id);
    batch_op_int(batch, op, ++c->history);
    batch_op_str(batch, op, command_state_words(c->state));
    batch_op_time(batch, op, clock_wall_us());
    batch_op_str(batch, op, cause);
}

static void book_announce(struct command_book *b, const struct command *c, struct view result,
                          const char *cause)
{
    struct buf body;
    buf_init(&body, 1 << 20);
    struct emit_json j = emit_json_init(&body);
    emit_json_open(&j, '{');
    emit_json_key(&j, "command_id");
    emit_json_int(&j, c->id);
    emit_json_key(&j, "device");
    emit_json_str(&j, b->hooks.device_name(b->hooks.arg, c->device_id));
    emit_json_key(&j, "method");
    emit_json_str(&j, c->method);
    emit_json_key(&j, "state");
    emit_json_str(&j, command_state_words(c->state));
    emit_json_key(&j, "origin");
    emit_json_str(&j, c->origin);
    if (result.len > 0) {
        emit_json_key(&j, "result");
        emit_json_raw(&j, result);
    }
    if (cause[0] != '\0') {
        emit_json_key(&j, "cause");
        emit_json_str(&j, cause);
    }
    emit_json_close(&j, '}');
    char kind[40];
    (void)snprintf(kind, sizeof(kind), "command.%s", command_state_words(c->state));
    if (buf_err(&body) == ERR_OK) {
        b->hooks.event(b->hooks.arg, kind, c->device_id, c->id, command_is_final(c->state),
                       buf_view(&body));
    }
    buf_fini(&body);
}

/* The one place where a state changes. A final state takes the command out of the book: c is gone
 * then. */
static void book_move(struct command_book *b, struct command *c, enum command_state to,
                      struct view result, const char *cause)
{
    CHECK(command_may_move(c->state, to));
    c->state = to;
    struct batch *batch = b->hooks.batch(b->hooks.arg);
    struct batch_op *op =
        batch_op(batch, "UPDATE commands SET state = $2, result = coalesce($3::jsonb, result),"
                        " attempt = $4 WHERE id = $1");
    batch_op_int(batch, op, c->id);
    batch_op_str(batch, op, command_state_words(to));
    if (result.len > 0) {
        batch_op_text(batch, op, result);
    } else {
        batch_op_str(batch, op, NULL);
    }
    batch_op_int(batch, op, c->attempt);
    book_history(b, c, cause);
    book_announce(b, c, result, cause);
    if (command_is_final(to)) {
        counter_add(to == COMMAND_SUCCEEDED ? COUNTER_COMMANDS_SUCCEEDED : COUNTER_COMMANDS_FAILED,
                    1);
        if (c->not_before_us != 0) {
            b->hooks.dropped(b->hooks.arg, c->device_id, c->id);
        }
        book_remove(b, c);
    }
}

/* ---- sending ---- */

/* A first or another attempt, when somebody is there to take it: `sent` is written now, the packet
 * leaves after the commit. */
static void book_try(struct command_book *b, struct command *c)
{
    struct command_route route;
    bool waiting = c->state == COMMAND_QUEUED || c->state == COMMAND_SENT;
    if (!waiting || c->under_way || c->not_before_us != 0 ||
        !b->hooks.route(b->hooks.arg, c->device_id, c->tried, &route)) {
        return;
    }
    c->under_way = true;
    c->attempt++;
    book_move(b, c, COMMAND_SENT, (struct view){NULL, 0}, c->attempt == 1 ? "" : "sent again");
    b->hooks.send_after_commit(b->hooks.arg, c->id);
}

static struct session_delivery *book_packet(const struct command *c, const char *child)
{
    struct buf payload;
    buf_init(&payload, 1 << 20);
    struct emit_json j = emit_json_init(&payload);
    emit_json_open(&j, '{');
    if (child != NULL) {
        emit_json_key(&j, "device");
        emit_json_str(&j, child);
        emit_json_key(&j, "data");
        emit_json_open(&j, '{');
        emit_json_key(&j, "id");
        emit_json_int(&j, c->id);
    }
    emit_json_key(&j, "method");
    emit_json_str(&j, c->method);
    emit_json_key(&j, "params");
    emit_json_raw(&j, view_str(c->params));
    if (child != NULL) {
        emit_json_close(&j, '}');
    }
    emit_json_close(&j, '}');
    char topic[64];
    (void)snprintf(topic, sizeof(topic),
                   child == NULL ? "v1/devices/me/rpc/request/%lld" : "v1/gateway/rpc",
                   (long long)c->id);
    struct session_delivery *d = buf_err(&payload) == ERR_OK
                                     ? session_delivery_new(view_str(topic), buf_view(&payload), 1)
                                     : NULL;
    buf_fini(&payload);
    return d;
}

void command_book_send(struct command_book *b, int64_t id)
{
    struct command *c = book_find(b, id);
    if (c == NULL || !c->under_way) {
        return; /* cancelled or expired while its batch was committed */
    }
    struct command_route route;
    if (!b->hooks.route(b->hooks.arg, c->device_id, c->tried, &route)) {
        c->under_way = false; /* it left meanwhile; tried again when it comes back */
        return;
    }
    struct session_delivery *d = book_packet(c, route.child);
    if (d == NULL) {
        c->under_way = false;
        return;
    }
    d->delivery_id = c->id;
    d->expires_at_us = c->expires_mono_us;
    b->hooks.deliver(b->hooks.arg, route.ref, d);
}

static void book_try_all(struct command_book *b, const struct device_commands *d)
{
    LIST_FOREACH (at, &d->commands) {
        struct command *c = CONTAINER_OF(at, struct command, of_device);
        c->tried = 0;
        book_try(b, c);
    }
}

void command_book_device_ready(struct command_book *b, int32_t device_id)
{
    const struct device_commands *d = book_device(b, device_id);
    if (d != NULL) {
        book_try_all(b, d);
    }
    const struct list *children = map_get(&b->gateways, key_of(&device_id, sizeof(device_id)));
    if (children != NULL) {
        LIST_FOREACH (at, children) {
            book_try_all(b, CONTAINER_OF(at, struct device_commands, of_gateway));
        }
    }
}

void command_book_delivered(struct command_book *b, int64_t id, enum err status)
{
    struct command *c = book_find(b, id);
    if (c == NULL || !c->under_way) {
        return;
    }
    c->under_way = false;
    if (status == ERR_OK && c->state == COMMAND_SENT) {
        c->answer_by_us = clock_mono_us() + b->answer_timeout_us;
        book_move(b, c, COMMAND_DELIVERED, (struct view){NULL, 0}, "");
    } else if (status == ERR_NOT_FOUND) {
        c->tried++;
        book_try(b, c);
    } else if (status == ERR_CLOSED) {
        struct command_route route;
        if (b->hooks.route(b->hooks.arg, c->device_id, 0, &route)) {
            c->tried = 0;
            book_try(b, c); /* the device is back already */
        }
    }
}

/* ---- creating and ending ---- */

static void book_insert(struct command_book *b, const struct command *c,
                        const struct command_new *n, int64_t expires_us)
{
    struct batch *batch = b->hooks.batch(b->hooks.arg);
    struct batch_op *op = batch_op(batch, "INSERT INTO commands (id, device_id, method, params, "
                                          "state, origin, alert_id, created_at, expires_at,"
                                          " idempotency_key) VALUES ($1, $2, $3, $4::jsonb, "
                                          "'queued', $5, nullif($6, 0), $7, $8, $9)");
    int64_t now_us = clock_wall_us();
    batch_op_int(batch, op, c->id);
    batch_op_int(batch, op, c->device_id);
    batch_op_str(batch, op, c->method);
    batch_op_str(batch, op, c->params);
    batch_op_str(batch, op, c->origin);
    batch_op_int(batch, op, n->alert_id);
    batch_op_time(batch, op, now_us);
    batch_op_time(batch, op, now_us + expires_us);
    batch_op_str(batch, op, n->idempotency_key);
}

/* It is of no use before; it expires that much later too. */
static void book_defer(struct command_book *b, struct command *c, int64_t wait_us, const char *hold)
{
    c->not_before_us = clock_mono_us() + wait_us;
    c->expires_mono_us += wait_us;
    struct batch *batch = b->hooks.batch(b->hooks.arg);
    struct batch_op *op =
        batch_op(batch, "UPDATE commands SET not_before = $2, hold = $3,"
                        " expires_at = expires_at + ($2::timestamptz - created_at) WHERE id = $1");
    batch_op_int(batch, op, c->id);
    batch_op_time(batch, op, clock_wall_us() + wait_us);
    batch_op_str(batch, op, hold);
}

void command_book_wait(struct command_book *b, int64_t id, int64_t wait_us)
{
    struct command *c = book_find(b, id);
    if (c != NULL) {
        c->not_before_us = clock_mono_us() + wait_us;
    }
}

void command_book_suppress(struct command_book *b, const struct command_new *n)
{
    counter_add(COUNTER_COMMANDS_SUPPRESSED, 1);
    struct command c = {.id = b->next_id++,
                        .device_id = n->device_id,
                        .state = COMMAND_QUEUED,
                        .method = (char *)(uintptr_t)n->method, /* only read */
                        .params = (char *)(uintptr_t)n->params,
                        .origin = (char *)(uintptr_t)n->origin};
    book_insert(b, &c, n, 0);
    struct batch *batch = b->hooks.batch(b->hooks.arg);
    struct batch_op *op = batch_op(batch, "UPDATE commands SET state = 'suppressed' WHERE id = $1");
    batch_op_int(batch, op, c.id);
    c.state = COMMAND_SUPPRESSED;
    book_history(b, &c, n->cause);
    book_announce(b, &c, (struct view){NULL, 0}, n->cause);
}

enum err command_book_create(struct command_book *b, const struct command_new *n, int64_t *ret_id,
                             enum command_state *ret_state)
{
    struct device_commands *d = book_device(b, n->device_id);
    if (d != NULL && d->count >= b->per_device_max) {
        return ERR_FULL;
    }
    struct command *c = book_add(b, b->next_id, n->device_id, strdup(n->method), strdup(n->params),
                                 strdup(n->origin));
    if (c == NULL) {
        return ERR_NOMEM;
    }
    b->next_id++;
    int64_t expires_us = n->expires_us > 0 ? n->expires_us : b->default_expiry_us;
    c->expires_mono_us = clock_mono_us() + expires_us;
    book_insert(b, c, n, expires_us);
    book_history(b, c, n->cause == NULL ? n->origin : n->cause);
    book_announce(b, c, (struct view){NULL, 0}, n->cause == NULL ? "" : n->cause);
    counter_add(COUNTER_COMMANDS_CREATED, 1);
    if (n->wait_us > 0) {
        book_defer(b, c, n->wait_us, n->hold);
    }
    *ret_id = c->id;
    book_try(b, c);
    *ret_state = c->state;
    return ERR_OK;
}

enum err command_book_cancel(struct command_book *b, int64_t id, const char *actor)
{
    struct command *c = book_find(b, id);
    if (c == NULL) {
        return ERR_NOT_FOUND;
    }
    book_move(b, c, COMMAND_CANCELLED, (struct view){NULL, 0}, actor);
    return ERR_OK;
}

/* A packet that is with a session cannot be called back, so one under way is left. */
void command_book_cancel_rules(struct command_book *b, int32_t device_id, const char *method,
                               const char *cause)
{
    const struct device_commands *d = book_device(b, device_id);
    struct list *at = d == NULL ? NULL : d->commands.next;
    for (uint32_t left = d == NULL ? 0 : d->count; left > 0; left--) { /* d goes with its last */
        struct command *c = CONTAINER_OF(at, struct command, of_device);
        at = at->next;
        bool waits = c->state == COMMAND_QUEUED || (c->state == COMMAND_SENT && !c->under_way);
        if (waits && view_starts(view_str(c->origin), VIEW("rule:")) &&
            (method[0] == '\0' || strcmp(c->method, method) == 0)) {
            book_move(b, c, COMMAND_CANCELLED, (struct view){NULL, 0}, cause);
        }
    }
}

/* The value of a top-level member of a JSON object that is known to be valid: enough to tell an
 * error from a result. */
static bool answer_has(struct view json, const char *member)
{
    char quoted[32];
    int len = snprintf(quoted, sizeof(quoted), "\"%s\"", member);
    int depth = 0;
    bool in_text = false;
    for (size_t i = 0; i < json.len; i++) {
        uint8_t c = json.data[i];
        if (in_text) {
            i += c == '\\';
            in_text = c != '"';
            continue;
        }
        if (c == '"') {
            if (depth == 1 && view_starts(view_skip(json, i), view_of(quoted, (size_t)len))) {
                size_t at = i + (size_t)len;
                while (at < json.len && strchr(" \t\r\n", json.data[at]) != NULL) {
                    at++;
                }
                if (at < json.len && json.data[at] == ':') {
                    return true;
                }
            }
            in_text = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return false;
}

enum err command_book_answer(struct command_book *b, int32_t device_id, int64_t id,
                             struct view json)
{
    struct command *c = book_find(b, id);
    if (c == NULL || c->device_id != device_id || c->state == COMMAND_QUEUED) {
        return ERR_NOT_FOUND;
    }
    bool object = json.len > 0 && json.data[0] == '{';
    enum command_state to = object && answer_has(json, "error")      ? COMMAND_FAILED
                            : object && answer_has(json, "rejected") ? COMMAND_REJECTED
                                                                     : COMMAND_SUCCEEDED;
    book_move(b, c, to, json, "answered by the device");
    return ERR_OK;
}

void command_book_tick(struct command_book *b, int64_t mono_us)
{
    struct list *at = b->open.next;
    while (at != &b->open) {
        struct command *c = CONTAINER_OF(at, struct command, open);
        at = at->next;
        if (c->state == COMMAND_DELIVERED) {
            if (c->answer_by_us != CLOCK_NONE && mono_us >= c->answer_by_us) {
                book_move(b, c, COMMAND_TIMED_OUT, (struct view){NULL, 0},
                          "no answer from the device");
            }
        } else if (c->not_before_us != 0 && mono_us >= c->not_before_us) {
            c->not_before_us = 0;
            book_try(b, c);
        } else if (mono_us >= c->expires_mono_us) {
            book_move(b, c, COMMAND_EXPIRED, (struct view){NULL, 0},
                      c->attempt == 0 ? "the device was not connected"
                                      : "the device did not confirm it");
        }
    }
}

/* ---- after a restart ---- */

static enum err book_restore_row(struct command_book *b, const struct db_result *r, int row)
{
    struct command *c =
        book_add(b, db_get_int(r, row, 0), (int32_t)db_get_int(r, row, 1),
                 strdup(db_get(r, row, 2)), strdup(db_get(r, row, 3)), strdup(db_get(r, row, 5)));
    if (c == NULL) {
        return ERR_NOMEM;
    }
    if (!command_state_parse(db_get_view(r, row, 4), &c->state)) {
        return ERR_MALFORMED;
    }
    int64_t now_us = clock_mono_us();
    c->attempt = (int)db_get_int(r, row, 6);
    c->expires_mono_us = now_us + db_get_int(r, row, 7);
    c->history = (int)db_get_int(r, row, 8);
    if (c->state == COMMAND_DELIVERED) {
        c->answer_by_us = now_us + b->answer_timeout_us;
    }
    return ERR_OK;
}

enum err command_book_restore(struct command_book *b, struct db *db)
{
    struct db_result *r = NULL;
    enum err e = db_query(db, "SELECT coalesce(max(id), 0) FROM commands", NULL, &r);
    if (e != ERR_OK) {
        return e;
    }
    b->next_id = db_get_int(r, 0, 0) + 1;
    db_result_free(r);
    r = NULL; /* a query that fails leaves it as it is */
    e = db_query(db,
                 "SELECT c.id, c.device_id, c.method, c.params, c.state, c.origin, c.attempt,"
                 " (extract(epoch FROM c.expires_at - now()) * 1000000)::bigint,"
                 " (SELECT count(*) FROM command_history h WHERE h.command_id = c.id)"
                 " FROM commands c WHERE c.state IN ('queued', 'sent', 'delivered') ORDER BY c.id",
                 NULL, &r);
    for (int i = 0; e == ERR_OK && i < db_rows(r); i++) {
        e = book_restore_row(b, r, i);
    }
    db_result_free(r);
    return e;
}
