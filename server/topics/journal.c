#include "topics/journal.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/patience.h"
#include "topics/budget.h"

enum { COMMIT_LIMIT = 1 << 30, IDENTIFIER_TEXT = 12 };

/* What has rows of its own. Statements run in this order, after those of sessions. */
enum rows {
    ROWS_MESSAGES,
    ROWS_QUEUE,
    ROWS_RECEIVED,
    ROWS_QUEUE_RELEASED,
    ROWS_QUEUE_DONE,
    ROWS_MESSAGES_DONE,
    ROWS_RECEIVED_RELEASED,
    ROWS_RETAINED_REMOVED,
    ROWS_RETAINED,
    ROWS_WILLS,
    ROWS_WILLS_DONE,
    ROWS_COUNT
};

enum { COLUMNS_MAX = 10, NO_EXPIRY = -1 };

static const struct {
    const char *sql;
    int columns;
    enum ops_type types[COLUMNS_MAX];
} tables[ROWS_COUNT] = {
    [ROWS_MESSAGES] =
        {"INSERT INTO messages (id, topic, props, payload, qos, expires_at) SELECT * FROM"
         " unnest($1::bigint[], $2::text[], $3::bytea[], $4::bytea[], $5::int[], "
         "$6::timestamptz[])",
         6,
         {OPS_INT8, OPS_TEXT, OPS_BYTEA, OPS_BYTEA, OPS_INT4, OPS_TIME}},
    [ROWS_QUEUE] =
        {"INSERT INTO session_queue (session_id, seq, message_id, qos, retain, identifiers)"
         " SELECT s, n, m, q, r, i::int[] FROM unnest($1::bigint[], $2::bigint[], $3::bigint[],"
         " $4::int[], $5::bool[], $6::text[]) AS u (s, n, m, q, r, i)",
         6,
         {OPS_INT8, OPS_INT8, OPS_INT8, OPS_INT4, OPS_BOOL, OPS_TEXT}},
    [ROWS_RECEIVED] = {"INSERT INTO session_received (session_id, packet_id) SELECT * FROM"
                       " unnest($1::bigint[], $2::int[]) ON CONFLICT DO NOTHING",
                       2,
                       {OPS_INT8, OPS_INT4}},
    [ROWS_QUEUE_RELEASED] =
        {"UPDATE session_queue q SET released = true FROM unnest($1::bigint[], $2::bigint[])"
         " AS u (s, n) WHERE q.session_id = u.s AND q.seq = u.n",
         2,
         {OPS_INT8, OPS_INT8}},
    [ROWS_QUEUE_DONE] = {"DELETE FROM session_queue q USING unnest($1::bigint[], $2::bigint[])"
                         " AS u (s, n) WHERE q.session_id = u.s AND q.seq = u.n",
                         2,
                         {OPS_INT8, OPS_INT8}},
    [ROWS_MESSAGES_DONE] = {"DELETE FROM messages WHERE id = ANY ($1::bigint[])", 1, {OPS_INT8}},
    [ROWS_RECEIVED_RELEASED] =
        {"DELETE FROM session_received r USING unnest($1::bigint[], $2::int[]) AS u (s, p)"
         " WHERE r.session_id = u.s AND r.packet_id = u.p",
         2,
         {OPS_INT8, OPS_INT4}},
    [ROWS_RETAINED_REMOVED] = {"DELETE FROM retained USING unnest($1::text[]) AS u (t)"
                               " WHERE topic_hash = sha256(convert_to(u.t, 'UTF8'))",
                               1,
                               {OPS_TEXT}},
    [ROWS_RETAINED] =
        {"INSERT INTO retained (topic_hash, topic, props, payload, qos, expires_at) SELECT"
         " sha256(convert_to(t, 'UTF8')), t, r, p, q, e FROM unnest($1::text[], $2::bytea[],"
         " $3::bytea[], $4::int[], $5::timestamptz[]) AS u (t, r, p, q, e) ON CONFLICT (topic_hash)"
         " DO UPDATE SET props = excluded.props, payload = excluded.payload, qos = excluded.qos,"
         " expires_at = excluded.expires_at, published_at = now()",
         5,
         {OPS_TEXT, OPS_BYTEA, OPS_BYTEA, OPS_INT4, OPS_TIME}},
    [ROWS_WILLS] =
        {"INSERT INTO delayed_wills (id, session_id, device_id, topic, props, payload, qos, retain,"
         " due_at, expiry_us) SELECT i, s, nullif(d, 0), t, r, p, q, k, u, nullif(e, -1) FROM"
         " unnest($1::bigint[], $2::bigint[], $3::int[], $4::text[], $5::bytea[], $6::bytea[],"
         " $7::int[], $8::bool[], $9::timestamptz[], $10::bigint[])"
         " AS w (i, s, d, t, r, p, q, k, u, e)",
         10,
         {OPS_INT8, OPS_INT8, OPS_INT4, OPS_TEXT, OPS_BYTEA, OPS_BYTEA, OPS_INT4, OPS_BOOL,
          OPS_TIME, OPS_INT8}},
    [ROWS_WILLS_DONE] = {"DELETE FROM delayed_wills WHERE id = ANY ($1::bigint[])", 1, {OPS_INT8}},
};

/* One commit, from the first thing that is gathered until it comes back. */
struct commit {
    struct ticket ticket;
    struct mail mail;
    struct journal *journal;
    struct buf messages; /* struct message *[], held */
    struct buf numbers;  /* int64_t[] */
    int64_t waits, bytes;
};

struct journal {
    struct journal_hooks hooks;
    struct ops *ops; /* NULL: nothing was gathered in this turn */
    struct commit *commit;
    struct ops_array *rows[ROWS_COUNT][COLUMNS_MAX];
    uint64_t serial;      /* of `commit` */
    int64_t next_id;      /* of messages and wills */
    struct budget budget; /* of what is under way */
};

struct journal *journal_new(const struct journal_hooks *hooks, int64_t messages_max,
                            int64_t bytes_max)
{
    struct journal *j = calloc(1, sizeof(*j));
    if (j != NULL) {
        j->hooks = *hooks;
        j->budget.messages_max = messages_max;
        j->budget.bytes_max = bytes_max;
        j->next_id = 1;
    }
    return j;
}

static void commit_free(struct commit *c)
{
    struct message **messages = (struct message **)(void *)c->messages.data;
    for (size_t i = 0; i < c->messages.len / sizeof(struct message *); i++) {
        message_drop(messages[i]);
    }
    buf_fini(&c->messages);
    buf_fini(&c->numbers);
    free(c);
}

void journal_free(struct journal *j)
{
    if (j != NULL) {
        ops_free(j->ops);
        if (j->commit != NULL) {
            commit_free(j->commit);
        }
        free(j);
    }
}

/* ---- gathering ---- */

static struct ops *journal_ops(struct journal *j)
{
    if (j->ops == NULL) {
        j->ops = ops_new();
        j->commit = patient_calloc(sizeof(*j->commit));
        j->commit->journal = j;
        buf_init(&j->commit->messages, COMMIT_LIMIT);
        buf_init(&j->commit->numbers, COMMIT_LIMIT);
        j->commit->messages.patient = true;
        j->commit->numbers.patient = true;
        j->serial++;
    }
    return j->ops;
}

/* The columns of one more row. */
static struct ops_array **journal_row(struct journal *j, enum rows table)
{
    struct ops *o = journal_ops(j);
    struct ops_array **columns = j->rows[table];
    for (int i = 0; columns[i] == NULL && i < tables[table].columns; i++) {
        columns[i] = ops_array(o, tables[table].types[i]);
    }
    return columns;
}

void journal_session_new(struct journal *j, const struct session_opened *s)
{
    struct ops *o = journal_ops(j);
    struct view client_id = view_str(s->client_id);
    if (s->device == NULL) {
        ops_add(o, "INSERT INTO sessions (id, client_id, client_hash, expiry_s) VALUES ($1, $2,"
                   " sha256(convert_to($2, 'UTF8')), $3) ON CONFLICT (device_id, client_hash)"
                   " DO UPDATE SET id = excluded.id, filters = '{}', closed_at = NULL,"
                   " expiry_s = excluded.expiry_s");
        ops_int(o, s->number);
    } else {
        ops_add(o, "INSERT INTO sessions (device_id, id, client_id, client_hash, expiry_s) SELECT"
                   " d.id, $2::bigint, $3, sha256(convert_to($3, 'UTF8')), $4::bigint FROM devices"
                   " d WHERE d.id = $1 FOR KEY SHARE ON CONFLICT (device_id, client_hash)"
                   " DO UPDATE SET id = excluded.id, filters = '{}', closed_at = NULL,"
                   " expiry_s = excluded.expiry_s");
        ops_int(o, s->device->id);
        ops_int(o, s->number);
    }
    ops_text(o, client_id);
    ops_int(o, s->expiry_us / CLOCK_SECOND_US);
}

void journal_session_opened(struct journal *j, int64_t number, int64_t expiry_us)
{
    struct ops *o = journal_ops(j);
    ops_add(o, "UPDATE sessions SET closed_at = NULL, expiry_s = $2 WHERE id = $1");
    ops_int(o, number);
    ops_int(o, expiry_us / CLOCK_SECOND_US);
}

void journal_session_parted(struct journal *j, int64_t number, int64_t expiry_us)
{
    struct ops *o = journal_ops(j);
    ops_add(o, "UPDATE sessions SET closed_at = now(), expiry_s = $2 WHERE id = $1");
    ops_int(o, number);
    ops_int(o, expiry_us / CLOCK_SECOND_US);
}

void journal_session_ended(struct journal *j, int64_t number)
{
    struct ops *o = journal_ops(j);
    ops_add(o, "DELETE FROM sessions WHERE id = $1");
    ops_int(o, number);
    ops_add(o, "DELETE FROM session_received WHERE session_id = $1");
    ops_int(o, number);
}

void journal_filter(struct journal *j, int64_t number, const struct session_filter *f)
{
    struct ops *o = journal_ops(j);
    ops_add(o, "UPDATE sessions SET filters = filters || jsonb_build_object($2::text,"
               " jsonb_build_array($3::int, $4::bigint)) WHERE id = $1");
    ops_int(o, number);
    ops_text(o, view_str(f->filter));
    ops_int(o, f->options);
    ops_int(o, f->identifier);
}

void journal_filter_removed(struct journal *j, int64_t number, const char *filter)
{
    struct ops *o = journal_ops(j);
    ops_add(o, "UPDATE sessions SET filters = filters - $2::text WHERE id = $1");
    ops_int(o, number);
    ops_text(o, view_str(filter));
}

/* From the monotonic clock to the wall. */
static int64_t wall_of(int64_t mono_us)
{
    return mono_us == CLOCK_NONE ? CLOCK_NONE : clock_wall_us() + (mono_us - clock_mono_us());
}

static void journal_message(struct journal *j, struct message *m)
{
    struct ops_array **row = journal_row(j, ROWS_MESSAGES);
    m->id = j->next_id++;
    ops_array_int(row[0], m->id);
    ops_array_bytes(row[1], message_topic(m));
    ops_array_bytes(row[2], message_props(m));
    ops_array_bytes(row[3], message_payload(m));
    ops_array_int(row[4], m->qos);
    ops_array_int(row[5], wall_of(m->expires_at_us));
    (void)message_hold(m);
    buf_put(&j->commit->messages, (const void *)&m, sizeof(struct message *));
}

/* "{1,22}" */
static void put_identifiers(struct ops_array *column, const struct session_target *t)
{
    struct buf text;
    buf_init(&text, 16 + (size_t)t->identifier_count * IDENTIFIER_TEXT);
    text.patient = true;
    buf_put_u8(&text, '{');
    for (uint32_t i = 0; i < t->identifier_count; i++) {
        buf_printf(&text, "%s%u", i == 0 ? "" : ",", t->identifiers[i]);
    }
    buf_put_u8(&text, '}');
    CHECK(buf_err(&text) == ERR_OK);
    ops_array_bytes(column, buf_view(&text));
    buf_fini(&text);
}

void journal_queue(struct journal *j, int64_t number, const struct session_target *t,
                   uint64_t *noted)
{
    struct message *m = t->message;
    struct ops_array **row = journal_row(j, ROWS_QUEUE);
    if (m->rows++ == 0) {
        journal_message(j, m);
    }
    ops_array_int(row[0], number);
    ops_array_int(row[1], t->seq);
    ops_array_int(row[2], m->id);
    ops_array_int(row[3], t->qos);
    ops_array_int(row[4], t->retain);
    if (t->identifier_count == 0) {
        ops_array_bytes(row[5], VIEW("{}"));
    } else {
        put_identifiers(row[5], t);
    }
    if (*noted != j->serial) {
        *noted = j->serial;
        buf_put(&j->commit->numbers, &number, sizeof(number));
    }
}

static void journal_pair(struct journal *j, enum rows table, int64_t first, int64_t second)
{
    struct ops_array **row = journal_row(j, table);
    ops_array_int(row[0], first);
    ops_array_int(row[1], second);
}

void journal_queue_released(struct journal *j, int64_t number, int64_t seq)
{
    journal_pair(j, ROWS_QUEUE_RELEASED, number, seq);
}

void journal_queue_done(struct journal *j, int64_t number, int64_t seq, struct message *m)
{
    journal_pair(j, ROWS_QUEUE_DONE, number, seq);
    CHECK(m->rows > 0);
    if (--m->rows == 0) {
        ops_array_int(journal_row(j, ROWS_MESSAGES_DONE)[0], m->id);
    }
}

void journal_id_next(struct journal *j, int64_t id)
{
    j->next_id = id > j->next_id ? id : j->next_id;
}

void journal_received(struct journal *j, int64_t number, uint16_t packet_id)
{
    journal_pair(j, ROWS_RECEIVED, number, packet_id);
}

void journal_received_released(struct journal *j, int64_t number, uint16_t packet_id)
{
    journal_pair(j, ROWS_RECEIVED_RELEASED, number, packet_id);
}

void journal_retained(struct journal *j, const struct message *m)
{
    struct ops_array **row = journal_row(j, ROWS_RETAINED);
    ops_array_bytes(row[0], message_topic(m));
    ops_array_bytes(row[1], message_props(m));
    ops_array_bytes(row[2], message_payload(m));
    ops_array_int(row[3], m->qos);
    ops_array_int(row[4], wall_of(m->expires_at_us));
}

void journal_retained_removed(struct journal *j, struct view topic)
{
    ops_array_bytes(journal_row(j, ROWS_RETAINED_REMOVED)[0], topic);
}

int64_t journal_will(struct journal *j, const struct journal_will *w)
{
    struct ops_array **row = journal_row(j, ROWS_WILLS);
    int64_t id = j->next_id++;
    ops_array_int(row[0], id);
    ops_array_int(row[1], w->number);
    ops_array_int(row[2], w->device_id);
    ops_array_bytes(row[3], message_topic(w->message));
    ops_array_bytes(row[4], message_props(w->message));
    ops_array_bytes(row[5], message_payload(w->message));
    ops_array_int(row[6], w->message->qos);
    ops_array_int(row[7], w->message->retain);
    ops_array_int(row[8], wall_of(w->due_us));
    ops_array_int(row[9], w->expiry_us == CLOCK_NONE ? NO_EXPIRY : w->expiry_us);
    return id;
}

void journal_will_done(struct journal *j, int64_t id)
{
    ops_array_int(journal_row(j, ROWS_WILLS_DONE)[0], id);
}

void journal_wait(struct journal *j, struct ticket *ticket, unsigned flags, size_t bytes)
{
    struct ops *o = journal_ops(j);
    if (ticket != NULL) {
        ticket_hold(ticket);
    }
    ops_ticket(o, ticket, flags);
    j->commit->waits++;
    j->commit->bytes += (int64_t)bytes;
    budget_take(&j->budget, 1, (int64_t)bytes);
}

bool journal_full(struct journal *j)
{
    return budget_full(&j->budget);
}

/* ---- the commit ---- */

static void commit_here(struct mail *mail)
{
    struct commit *c = CONTAINER_OF(mail, struct commit, mail);
    struct journal *j = c->journal;
    bool committed = atomic_load(&c->ticket.status) == ERR_OK;
    struct message **messages = (struct message **)(void *)c->messages.data;
    size_t count = committed ? c->messages.len / sizeof(struct message *) : 0;
    for (size_t i = 0; i < count; i++) {
        atomic_store_explicit(&messages[i]->stored, true, memory_order_release);
    }
    const int64_t *numbers = (const int64_t *)(const void *)c->numbers.data;
    count = committed ? c->numbers.len / sizeof(*numbers) : 0;
    for (size_t i = 0; i < count; i++) {
        j->hooks.stored(j->hooks.arg, numbers[i]);
    }
    if (budget_give_back(&j->budget, c->waits, c->bytes)) {
        j->hooks.room(j->hooks.arg);
    }
    commit_free(c);
}

/* On the writer's thread. */
static void commit_done(struct ticket *t, enum err status)
{
    struct commit *c = CONTAINER_OF(t, struct commit, ticket);
    (void)status; /* kept in the ticket */
    c->mail.run = commit_here;
    c->journal->hooks.post(c->journal->hooks.arg, &c->mail);
}

static void put_rows(struct journal *j)
{
    for (int table = 0; table < ROWS_COUNT; table++) {
        struct ops_array **columns = j->rows[table];
        if (columns[0] == NULL) {
            continue;
        }
        ops_add(j->ops, tables[table].sql);
        for (int i = 0; i < tables[table].columns; i++) {
            ops_elements(j->ops, columns[i]);
            columns[i] = NULL;
        }
    }
}

void journal_flush(struct journal *j)
{
    struct ops *o = j->ops;
    struct commit *c = j->commit;
    if (o == NULL) {
        return;
    }
    put_rows(j);
    j->ops = NULL;
    j->commit = NULL;
    CHECK(buf_err(&c->messages) == ERR_OK && buf_err(&c->numbers) == ERR_OK);
    if (c->waits == 0 && c->numbers.len == 0) {
        commit_free(c); /* only what nobody waits for */
    } else {
        ticket_init(&c->ticket, commit_done);
        ops_ticket(o, &c->ticket, 0);
    }
    counter_balance_publish();
    j->hooks.commit(j->hooks.arg, o);
}
