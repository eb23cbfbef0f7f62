/*
 * pg_ops: the statements that the core writes into a batch, on the model's tables. A statement that
 * is not known ends the simulation: the model must never guess.
 *
 * A unique violation is a broken invariant here: the real writer would take the statement out and
 * lose what it says.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/command.h"
#include "pg.h"

static int64_t op_int(const struct batch_op *op, int at)
{
    return op->values[at] == NULL ? 0 : strtoll(op->values[at], NULL, 10);
}

static double op_real(const struct batch_op *op, int at)
{
    return op->values[at] == NULL ? __builtin_nan("") : strtod(op->values[at], NULL);
}

static int64_t op_time(const struct batch_op *op, int at)
{
    int64_t us = CLOCK_NONE;
    if (op->values[at] != NULL && clock_parse(view_str(op->values[at]), &us) != ERR_OK) {
        sim_violation("SQL", "%s is no time in: %s", op->values[at], op->sql);
    }
    return us;
}

static char *op_copy(const struct batch_op *op, int at)
{
    return op->values[at] == NULL ? NULL : world_text(op->values[at], strlen(op->values[at]));
}

static void copy_word(char *to, size_t size, const char *text)
{
    (void)view_copy(view_str(text), to, size);
}

static void run_event(struct pg *pg, const struct batch_op *op)
{
    int64_t id = op_int(op, 0);
    if (pg->events.count > 0 && pg->events.items[pg->events.count - 1].id >= id) {
        sim_violation("events in order", "event %lld was committed after %lld", (long long)id,
                      (long long)pg->events.items[pg->events.count - 1].id);
    }
    struct pg_event *e = PG_ADD(&pg->events);
    e->id = id;
    e->device_id = (int32_t)op_int(op, 3);
    copy_word(e->kind, sizeof(e->kind), op->values[2]);
}

static void run_metric(struct pg *pg, const struct batch_op *op)
{
    int64_t id = op_int(op, 0);
    for (uint32_t i = 0; i < pg->metrics.count; i++) {
        bool same_name =
            pg->metrics.items[i] != NULL && strcmp(pg->metrics.items[i], op->values[1]) == 0;
        if (same_name && i + 1 != id) {
            sim_violation("metric numbers", "%s has number %u and is given %lld", op->values[1],
                          i + 1, (long long)id);
        }
    }
    while (pg->metrics.count < id) {
        (void)PG_ADD(&pg->metrics);
    }
    char **row = &pg->metrics.items[id - 1];
    if (*row == NULL) {
        *row = op_copy(op, 1);
    } else if (strcmp(*row, op->values[1]) != 0) {
        sim_violation("metric numbers", "number %lld is %s and is given to %s", (long long)id, *row,
                      op->values[1]);
    }
}

static void run_shape(struct pg *pg, const struct batch_op *op)
{
    struct pg_shape s = {.id = (int32_t)op_int(op, 0)};
    const char *at = op->values[1] + 1; /* {1,2,3} */
    s.metrics = world_alloc(strlen(at) * sizeof(int32_t));
    while (*at != '}') {
        char *end = NULL;
        s.metrics[s.count++] = (int32_t)strtoll(at, &end, 10);
        at = *end == ',' ? end + 1 : end;
    }
    for (uint32_t i = 0; i < pg->shapes.count; i++) {
        const struct pg_shape *old = &pg->shapes.items[i];
        bool same = old->count == s.count &&
                    memcmp(old->metrics, s.metrics, s.count * sizeof(int32_t)) == 0;
        if (same != (old->id == s.id)) {
            sim_violation("shape numbers", "number %d is given to %s", s.id, op->values[1]);
        }
        if (same) {
            world_free(s.metrics);
            return;
        }
    }
    *PG_ADD(&pg->shapes) = s;
}

/* ---- alerts ---- */

/* The unique index alerts_one_open. */
static void one_open(const struct pg *pg, const struct pg_alert *a)
{
    for (uint32_t i = 0; i < pg->alerts.count; i++) {
        const struct pg_alert *other = &pg->alerts.items[i];
        if (other->id != a->id && other->rule_id == a->rule_id &&
            other->device_id == a->device_id && strcmp(other->state, "firing") == 0 &&
            strcmp(a->state, "firing") == 0) {
            sim_violation("one open alert", "rule %d, device %d: %lld is open and %lld opens",
                          a->rule_id, a->device_id, (long long)other->id, (long long)a->id);
        }
    }
}

static void run_alert(struct pg *pg, const struct batch_op *op)
{
    struct pg_alert a = {.id = op_int(op, 0),
                         .rule_id = (int32_t)op_int(op, 1),
                         .device_id = (int32_t)op_int(op, 3),
                         .since_us = op_time(op, 6),
                         .fired_us = op_time(op, 7),
                         .resolved_us = op_time(op, 8),
                         .severity_us = op_time(op, 12),
                         .value = op_real(op, 9)};
    copy_word(a.state, sizeof(a.state), op->values[5]);
    copy_word(a.severity, sizeof(a.severity), op->values[4]);
    copy_word(a.worst, sizeof(a.worst), op->values[13]);
    if (pg_alert(pg, a.id) != NULL) {
        sim_violation("alert numbers", "alert %lld is inserted twice", (long long)a.id);
    }
    one_open(pg, &a);
    *PG_ADD(&pg->alerts) = a;
    sim_get()->count.alerts++;
    sim_log("alert %lld: rule %d device %d %s", (long long)a.id, a.rule_id, a.device_id, a.state);
}

static struct pg_alert *known_alert(struct pg *pg, int64_t id)
{
    struct pg_alert *a = pg_alert(pg, id);
    if (a == NULL) {
        sim_violation("alert numbers", "alert %lld is changed and does not exist", (long long)id);
    }
    return a;
}

static void run_alert_update(struct pg *pg, const struct batch_op *op)
{
    struct pg_alert *a = known_alert(pg, op_int(op, 0));
    copy_word(a->state, sizeof(a->state), op->values[1]);
    a->since_us = op_time(op, 2);
    a->fired_us = op_time(op, 3);
    a->resolved_us = op_time(op, 4);
    a->value = op_real(op, 5);
    copy_word(a->severity, sizeof(a->severity), op->values[7]);
    a->severity_us = op_time(op, 8);
    copy_word(a->worst, sizeof(a->worst), op->values[9]);
    one_open(pg, a);
    sim_log("alert %lld: %s", (long long)a->id, a->state);
}

static void run_alert_acknowledged(struct pg *pg, const struct batch_op *op)
{
    struct pg_alert *a = pg_alert(pg, op_int(op, 0));
    if (a != NULL) {
        a->acknowledged = true;
    }
}

static void run_alert_orphan(struct pg *pg, const struct batch_op *op)
{
    struct pg_alert *a = known_alert(pg, op_int(op, 0));
    if (sim_get()->rule_versions[a->rule_id - 1] == 1) {
        sim_violation("no orphans", "alert %lld is closed though its rule is there and unchanged",
                      (long long)a->id);
    }
    if (strcmp(a->state, "firing") == 0) {
        copy_word(a->state, sizeof(a->state), "resolved");
        a->resolved_us = op_time(op, 1) > a->fired_us ? op_time(op, 1) : a->fired_us;
    }
    sim_log("alert %lld: its rule was changed", (long long)a->id);
}

static void run_alert_history(struct pg *pg, const struct batch_op *op)
{
    struct pg_alert *a = pg_alert(pg, op_int(op, 0));
    if (a != NULL) {
        a->history++;
    }
}

static void run_notice(struct pg *pg, const struct batch_op *op)
{
    struct pg_alert *a = pg_alert(pg, op_int(op, 3));
    if (a == NULL) {
        sim_violation("notices", "%s is about an alert that is not there", op->values[0]);
    } else if (strcmp(op->values[2], "firing") == 0) {
        a->notices++;
    }
}

/* For whom it fired, it ends: nobody in the model reads it. */
static void run_notice_orphan(struct pg *pg, const struct batch_op *op)
{
    (void)pg;
    (void)op;
}

static void run_work_order(struct pg *pg, const struct batch_op *op)
{
    struct pg_work_order w = {.id = op_int(op, 0),
                              .rule_id = (int32_t)op_int(op, 1),
                              .device_id = (int32_t)op_int(op, 3),
                              .alert_id = op_int(op, 4),
                              .raises = 1};
    copy_word(w.title, sizeof(w.title), op->values[5]);
    for (uint32_t i = 0; i < pg->work_orders.count; i++) {
        struct pg_work_order *old = &pg->work_orders.items[i];
        if (old->rule_id == w.rule_id && old->device_id == w.device_id &&
            strcmp(old->title, w.title) == 0) {
            old->raises++;
            old->alert_id = w.alert_id;
            return;
        }
        if (old->id == w.id) {
            sim_violation("work order numbers", "%lld is given twice", (long long)w.id);
        }
    }
    *PG_ADD(&pg->work_orders) = w;
}

/* ---- commands ---- */

static void run_command(struct pg *pg, const struct batch_op *op)
{
    struct pg_command c = {.id = op_int(op, 0),
                           .device_id = (int32_t)op_int(op, 1),
                           .method = op_copy(op, 2),
                           .params = op_copy(op, 3),
                           .origin = op_copy(op, 4),
                           .alert_id = op_int(op, 5),
                           .created_us = op_time(op, 6),
                           .expires_us = op_time(op, 7),
                           .key = op_copy(op, 8),
                           .state = COMMAND_QUEUED};
    if (pg_command(pg, c.id) != NULL) {
        sim_violation("command numbers", "command %lld is inserted twice", (long long)c.id);
    }
    for (uint32_t i = 0; c.key != NULL && i < pg->commands.count; i++) {
        const struct pg_command *old = &pg->commands.items[i];
        if (old->key != NULL && old->device_id == c.device_id && strcmp(old->key, c.key) == 0) {
            sim_violation("idempotency key", "%s made commands %lld and %lld", c.key,
                          (long long)old->id, (long long)c.id);
        }
    }
    *PG_ADD(&pg->commands) = c;
    sim_get()->count.commands++;
    sim_log("command %lld: device %d %s for %s", (long long)c.id, c.device_id, c.method, c.origin);
}

static int command_state(const char *words)
{
    enum command_state state = COMMAND_QUEUED;
    if (!command_state_parse(view_str(words), &state)) {
        sim_violation("command states", "%s is no state", words);
    }
    return (int)state;
}

static void run_command_update(struct pg *pg, const struct batch_op *op)
{
    struct pg_command *c = pg_command(pg, op_int(op, 0));
    if (c == NULL) {
        sim_violation("command numbers", "command %s is changed and does not exist", op->values[0]);
    }
    int to = command_state(op->values[1]);
    if (!command_may_move((enum command_state)c->state, (enum command_state)to)) {
        sim_violation("command states", "command %lld moves from %s to %s", (long long)c->id,
                      command_state_words((enum command_state)c->state), op->values[1]);
    }
    c->state = to;
    c->attempt = (int)op_int(op, 3);
    sim_log("command %lld: %s attempt %d", (long long)c->id, op->values[1], c->attempt);
}

static void run_command_history(struct pg *pg, const struct batch_op *op)
{
    struct pg_command *c = pg_command(pg, op_int(op, 0));
    int64_t seq = op_int(op, 1);
    if (c == NULL || seq != (int64_t)c->history + 1) {
        sim_violation("command history", "row %lld of command %s; it has %u", (long long)seq,
                      op->values[0], c == NULL ? 0 : c->history);
    }
    c->states[c->history++ % COUNT_OF(c->states)] = (uint8_t)command_state(op->values[2]);
}

/* ---- the rest ---- */

static void run_rejected(struct pg *pg, const struct batch_op *op)
{
    size_t device = strlen(op->values[1]);
    size_t payload = (size_t)op->lengths[6];
    char *row = world_alloc(device + payload + 2);
    memcpy(row, op->values[1], device);
    row[device] = '\n';
    memcpy(row + device + 1, op->values[6], payload);
    *PG_ADD(&pg->rejected) = row;
    sim_log("rejected %s: %s %s", op->values[1], op->values[3], op->values[5]);
}

static void run_reported(struct pg *pg, const struct batch_op *op)
{
    char **row = &pg->reported[op_int(op, 0)];
    world_free(*row);
    *row = op_copy(op, 1);
}

static struct pg_session *find_session(struct pg *pg, const struct batch_op *op)
{
    for (uint32_t i = 0; i < pg->sessions.count; i++) {
        struct pg_session *s = &pg->sessions.items[i];
        if (s->device_id == op_int(op, 0) && strcmp(s->client_id, op->values[1]) == 0) {
            return s;
        }
    }
    return NULL;
}

static void run_session(struct pg *pg, const struct batch_op *op)
{
    struct pg_session *s = find_session(pg, op);
    if (s == NULL) {
        s = PG_ADD(&pg->sessions);
        s->device_id = (int32_t)op_int(op, 0);
        copy_word(s->client_id, sizeof(s->client_id), op->values[1]);
    }
    world_free(s->filters);
    s->filters = op_copy(op, 2);
    s->expiry_s = op_int(op, 3);
    s->updated_us = sim_wall_us();
}

static void run_session_delete(struct pg *pg, const struct batch_op *op)
{
    struct pg_session *s = find_session(pg, op);
    if (s != NULL) {
        world_free(s->filters);
        *s = pg->sessions.items[--pg->sessions.count];
    }
}

static void run_timer(struct pg *pg, const struct batch_op *op)
{
    pg->timers[op_int(op, 0)] = true;
}

static void run_timer_delete(struct pg *pg, const struct batch_op *op)
{
    pg->timers[op_int(op, 0)] = false;
}

void pg_run(struct pg *pg, const struct batch_op *op)
{
    static const struct {
        const char *begins;
        void (*run)(struct pg *pg, const struct batch_op *op);
        int params;
    } statements[] = {
        {"INSERT INTO events (id, ts, kind, device_id, body)", run_event, 5},
        {"INSERT INTO metrics (id, name)", run_metric, 2},
        {"INSERT INTO shapes (id, metrics)", run_shape, 2},
        {"INSERT INTO alerts (id, rule_id, rule, device_id, severity, state, since,", run_alert,
         16},
        {"UPDATE alerts SET state = $2, since = $3, fired_at = $4, resolved_at = $5, value = $6,",
         run_alert_update, 11},
        {"UPDATE alerts SET acknowledged_by", run_alert_acknowledged, 3},
        {"UPDATE alerts SET state = 'resolved', resolved_at = greatest", run_alert_orphan, 2},
        {"INSERT INTO alert_events (alert_id, kind, ts, detail) VALUES", run_alert_history, 4},
        {"INSERT INTO alert_events (alert_id, kind, ts, detail) VALUES ($1, 'resolved'",
         run_alert_history, 3},
        {"INSERT INTO alert_events (alert_id, kind, ts, actor, detail)", run_alert_history, 4},
        {"INSERT INTO outbox (key, channel, event, alert_id, device_id, rule_id, body) VALUES",
         run_notice, 7},
        {"INSERT INTO outbox (key, channel, event, alert_id, device_id, rule_id, body) SELECT",
         run_notice_orphan, 2},
        {"INSERT INTO work_orders (id, rule_id, rule, device_id, alert_id, title, opened_at)",
         run_work_order, 7},
        {"INSERT INTO commands (id, device_id, method, params, state, origin, alert_id,",
         run_command, 9},
        {"UPDATE commands SET state = $2, result = coalesce", run_command_update, 4},
        {"INSERT INTO command_history (command_id, seq, state, ts, cause)", run_command_history, 5},
        {"INSERT INTO rejected_messages (received_at, device, topic,", run_rejected, 8},
        {"UPDATE devices SET reported = reported ||", run_reported, 2},
        {"INSERT INTO device_timers (device_id)", run_timer, 1},
        {"DELETE FROM device_timers WHERE device_id = $1", run_timer_delete, 1},
        {"INSERT INTO sessions (device_id, client_id, filters, expiry_s)", run_session, 4},
        {"DELETE FROM sessions WHERE device_id = $1 AND client_id = $2", run_session_delete, 2},
    };
    for (size_t i = 0; i < COUNT_OF(statements); i++) {
        if (strncmp(op->sql, statements[i].begins, strlen(statements[i].begins)) == 0 &&
            op->count == statements[i].params) {
            statements[i].run(pg, op);
            return;
        }
    }
    sim_violation("SQL", "the model does not know (%d parameters): %s", op->count, op->sql);
}
