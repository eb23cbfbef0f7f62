#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/counter.h"
#include "base/log.h"
#include "topics/internal.h"

/*
 * From the database, before the server listens: first what has no owner any more goes, then
 * sessions are parked with their subscriptions, then what waits for them is handed to them in
 * order, then the retained messages, then wills that wait for their delay. All of it must be there
 * before the first client: what it missed would be lost.
 *
 * Large tables are read in portions. The writer's lane is ours by now, so nobody else writes here.
 */
enum { PORTION_SMALL = 200, PORTION_ROWS = 10000, BYTES_LIMIT = 1 << 30 };

static const char *const sql_tidy =
    "BEGIN;"
    "DELETE FROM sessions WHERE closed_at + expiry_s * interval '1 second' <= now();"
    "UPDATE sessions SET closed_at = now() WHERE closed_at IS NULL;"
    "DELETE FROM session_queue q WHERE NOT EXISTS"
    " (SELECT FROM sessions s WHERE s.id = q.session_id)"
    " OR NOT EXISTS (SELECT FROM messages m WHERE m.id = q.message_id AND"
    " (q.released OR m.expires_at IS NULL OR m.expires_at > now()));"
    "DELETE FROM session_received r WHERE NOT EXISTS"
    " (SELECT FROM sessions s WHERE s.id = r.session_id);"
    "DELETE FROM messages m WHERE NOT EXISTS"
    " (SELECT FROM session_queue q WHERE q.message_id = m.id);"
    "DELETE FROM retained WHERE expires_at <= now();"
    "COMMIT";

#define LEFT_US(until) "(extract(epoch FROM " until " - now()) * 1000000)::bigint"

/* ---- sessions ---- */

/* The rows of one session in a result that is ordered by session. */
struct cursor {
    struct db_result *rows;
    int at;
};

static int cursor_count(struct cursor *c, int64_t number)
{
    while (c->at < db_rows(c->rows) && db_get_int(c->rows, c->at, 0) < number) {
        c->at++;
    }
    int n = 0;
    while (c->at + n < db_rows(c->rows) && db_get_int(c->rows, c->at + n, 0) == number) {
        n++;
    }
    return n;
}

struct loaded {
    struct db_result *sessions;
    struct cursor filters, received;
};

static void stored_free(struct session_filter *filters, uint32_t count, uint16_t *received)
{
    for (uint32_t i = 0; i < count; i++) {
        free(filters[i].filter);
    }
    free(filters);
    free(received);
}

static enum err park(struct topics *t, const struct session_stored *stored)
{
    struct member *m = NULL;
    enum err e = member_add(t, stored->number, &m);
    if (e != ERR_OK) {
        return e;
    }
    m->tree.waits = true;
    m->has_row = true;
    m->of_device = stored->device != NULL;
    for (uint32_t i = 0; i < stored->filter_count && e == ERR_OK; i++) {
        e = member_subscribe(t, m, &stored->filters[i]);
    }
    for (uint32_t i = 0; i < stored->received_count && e == ERR_OK; i++) {
        e = member_received(m, stored->received[i], true);
    }
    /* Last: it gives up subscriptions that the device may not have any more. */
    return e == ERR_OK ? sessions_restore(t->sessions, stored) : e;
}

static enum err restore_session(struct topics *t, struct loaded *l, int row)
{
    int64_t number = db_get_int(l->sessions, row, 0);
    int32_t device_id = (int32_t)db_get_int(l->sessions, row, 1);
    struct device *device = device_id == 0 ? NULL : t->hooks.device(t->hooks.arg, device_id);
    if (device_id != 0 && device == NULL) {
        return ERR_OK; /* deleted meanwhile, and its row with it */
    }
    uint32_t filter_count = (uint32_t)cursor_count(&l->filters, number);
    uint32_t received_count = (uint32_t)cursor_count(&l->received, number);
    struct session_filter *filters = calloc((size_t)filter_count + 1, sizeof(*filters));
    uint16_t *received = calloc((size_t)received_count + 1, sizeof(*received));
    enum err e = filters == NULL || received == NULL ? ERR_NOMEM : ERR_OK;
    for (uint32_t i = 0; e == ERR_OK && i < filter_count; i++) {
        int at = l->filters.at + (int)i;
        filters[i].filter = strdup(db_get(l->filters.rows, at, 1));
        filters[i].options = (uint8_t)db_get_int(l->filters.rows, at, 2);
        filters[i].identifier = (uint32_t)db_get_int(l->filters.rows, at, 3);
        e = filters[i].filter == NULL ? ERR_NOMEM : ERR_OK;
    }
    for (uint32_t i = 0; e == ERR_OK && i < received_count; i++) {
        received[i] = (uint16_t)db_get_int(l->received.rows, l->received.at + (int)i, 1);
    }
    if (e == ERR_OK) {
        const struct session_stored stored = {
            .number = number,
            .device = device,
            .client_id = db_get(l->sessions, row, 2),
            .expiry_us = db_get_int(l->sessions, row, 3) * CLOCK_SECOND_US,
            .expires_at_us = clock_mono_us() + db_get_int(l->sessions, row, 4),
            .filters = filters,
            .filter_count = filter_count,
            .received = received,
            .received_count = received_count};
        e = park(t, &stored);
    }
    stored_free(filters, filters == NULL ? 0 : filter_count, received);
    device_drop(device);
    return e;
}

static enum err restore_sessions(struct topics *t, struct db *db)
{
    struct loaded l = {0};
    enum err e =
        db_query(db,
                 "SELECT id, coalesce(device_id, 0), client_id, expiry_s, " LEFT_US(
                     "(closed_at + expiry_s * interval '1 second')") " FROM sessions ORDER BY id",
                 NULL, &l.sessions);
    if (e == ERR_OK) {
        e = db_query(db,
                     "SELECT s.id, f.key, (f.value->>0)::int, (f.value->>1)::bigint"
                     " FROM sessions s, jsonb_each(s.filters) f ORDER BY s.id",
                     NULL, &l.filters.rows);
    }
    if (e == ERR_OK) {
        e = db_query(db, "SELECT session_id, packet_id FROM session_received ORDER BY session_id",
                     NULL, &l.received.rows);
    }
    for (int row = 0; e == ERR_OK && row < db_rows(l.sessions); row++) {
        e = restore_session(t, &l, row);
    }
    db_result_free(l.sessions);
    db_result_free(l.filters.rows);
    db_result_free(l.received.rows);
    return e;
}

/* ---- messages ---- */

/* Columns: topic, properties, payload, qos, what is left of its life. */
static enum err read_message(const struct db_result *r, int row, int column,
                             struct message **ret_message)
{
    struct buf props;
    struct buf payload;
    buf_init(&props, BYTES_LIMIT);
    buf_init(&payload, BYTES_LIMIT);
    enum err e = db_get_bytes(r, row, column + 1, &props);
    if (e == ERR_OK) {
        e = db_get_bytes(r, row, column + 2, &payload);
    }
    struct message *m =
        e == ERR_OK ? message_of(db_get_view(r, row, column), buf_view(&props), buf_view(&payload))
                    : NULL;
    buf_fini(&props);
    buf_fini(&payload);
    if (m == NULL) {
        return e == ERR_OK ? ERR_NOMEM : e;
    }
    m->qos = (uint8_t)db_get_int(r, row, column + 3);
    if (!db_is_null(r, row, column + 4)) {
        m->expires_at_us = clock_mono_us() + db_get_int(r, row, column + 4);
    }
    *ret_message = m;
    return ERR_OK;
}

static struct view key_of(const int64_t *id)
{
    return view_of(id, sizeof(*id));
}

static enum err restore_messages(struct db *db, struct map *messages, int64_t *ret_last)
{
    int64_t last = 0;
    int rows = PORTION_SMALL;
    enum err e = ERR_OK;
    while (e == ERR_OK && rows == PORTION_SMALL) {
        struct db_params p = {0};
        db_int(&p, last);
        db_int(&p, PORTION_SMALL);
        struct db_result *r = NULL;
        e = db_query(db,
                     "SELECT id, topic, props, payload, qos, " LEFT_US(
                         "expires_at") " FROM messages WHERE id > $1 ORDER BY id LIMIT $2",
                     &p, &r);
        rows = e == ERR_OK ? db_rows(r) : 0;
        for (int i = 0; e == ERR_OK && i < rows; i++) {
            struct message *m = NULL;
            void *old = NULL;
            e = read_message(r, i, 1, &m);
            if (e == ERR_OK) {
                m->id = db_get_int(r, i, 0);
                atomic_store(&m->stored, true);
                last = m->id;
                e = map_put(messages, key_of(&last), m, &old);
            }
            if (e != ERR_OK) {
                message_drop(m);
            }
        }
        db_result_free(r);
    }
    *ret_last = last;
    return e;
}

static enum err parse_identifiers(const char *text, uint32_t **ret_identifiers, uint32_t *ret_count)
{
    uint32_t count = text[0] != '\0';
    for (const char *at = text; *at != '\0'; at++) {
        count += *at == ',';
    }
    uint32_t *identifiers = calloc((size_t)count + 1, sizeof(*identifiers));
    if (identifiers == NULL) {
        return ERR_NOMEM;
    }
    uint32_t at = 0;
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == ',') {
            at++;
        } else {
            identifiers[at] = identifiers[at] * 10 + (uint32_t)(*c - '0');
        }
    }
    *ret_identifiers = identifiers;
    *ret_count = count;
    return ERR_OK;
}

static enum err restore_target(struct topics *t, struct map *messages, const struct db_result *r,
                               int row)
{
    struct member *member = member_get(t, db_get_int(r, row, 0));
    int64_t id = db_get_int(r, row, 2);
    struct message *m = map_get(messages, key_of(&id));
    if (member == NULL || m == NULL) {
        return ERR_OK;
    }
    uint32_t *identifiers = NULL;
    struct session_target target = {.message = m,
                                    .seq = db_get_int(r, row, 1),
                                    .qos = (uint8_t)db_get_int(r, row, 3),
                                    .retain = db_get_bool(r, row, 4),
                                    .released = db_get_bool(r, row, 5),
                                    .again = true};
    enum err e = parse_identifiers(db_get(r, row, 6), &identifiers, &target.identifier_count);
    if (e != ERR_OK) {
        return e;
    }
    target.identifiers = identifiers;
    member->seq = target.seq;
    m->rows++;
    e = session_send(t->sessions, member->number, &target);
    free(identifiers);
    if (e == ERR_NOMEM || e == ERR_NOT_FOUND) {
        m->rows--;
        return e;
    }
    return ERR_OK;
}

static enum err restore_queues(struct topics *t, struct db *db, struct map *messages)
{
    int64_t number = 0;
    int64_t seq = 0;
    int rows = PORTION_ROWS;
    enum err e = ERR_OK;
    while (e == ERR_OK && rows == PORTION_ROWS) {
        struct db_params p = {0};
        db_int(&p, number);
        db_int(&p, seq);
        db_int(&p, PORTION_ROWS);
        struct db_result *r = NULL;
        e = db_query(db,
                     "SELECT session_id, seq, message_id, qos, retain, released,"
                     " array_to_string(identifiers, ',') FROM session_queue"
                     " WHERE (session_id, seq) > ($1, $2) ORDER BY session_id, seq LIMIT $3",
                     &p, &r);
        rows = e == ERR_OK ? db_rows(r) : 0;
        for (int i = 0; e == ERR_OK && i < rows; i++) {
            e = restore_target(t, messages, r, i);
            number = db_get_int(r, i, 0);
            seq = db_get_int(r, i, 1);
        }
        db_result_free(r);
    }
    return e;
}

static enum err restore_waiting(struct topics *t, struct db *db)
{
    struct map messages;
    map_init(&messages);
    int64_t last = 0;
    enum err e = restore_messages(db, &messages, &last);
    if (e == ERR_OK) {
        journal_id_next(t->journal, last + 1);
        e = restore_queues(t, db, &messages);
    }
    MAP_FOREACH (at, &messages) {
        message_drop(at->value);
    }
    map_fini(&messages);
    return e;
}

/* ---- retained messages ---- */

static enum err restore_retained_row(struct topics *t, const struct db_result *r, int row)
{
    struct message *m = NULL;
    bool removed = false;
    enum err e = read_message(r, row, 1, &m);
    if (e != ERR_OK) {
        return e;
    }
    m->retain = true;
    e = retained_put(&t->retained, m, false, &removed);
    if (e == ERR_QUOTA) {
        LOG(LOG_WARN, "retained_message_left_out", LOG_V("topic", message_topic(m)),
            LOG_S("next", "raise retained_max or retained_size, or delete it"));
        e = ERR_OK;
    }
    message_drop(m);
    return e;
}

static enum err restore_retained(struct topics *t, struct db *db)
{
    struct buf last;
    buf_init(&last, 64);
    int rows = PORTION_SMALL;
    enum err e = ERR_OK;
    while (e == ERR_OK && rows == PORTION_SMALL) {
        struct db_params p = {0};
        db_bytes(&p, buf_view(&last));
        db_int(&p, PORTION_SMALL);
        struct db_result *r = NULL;
        e = db_query(db,
                     "SELECT topic_hash, topic, props, payload, qos, " LEFT_US(
                         "expires_at") " FROM retained WHERE topic_hash > $1::bytea ORDER BY "
                                       "topic_hash LIMIT $2",
                     &p, &r);
        rows = e == ERR_OK ? db_rows(r) : 0;
        for (int i = 0; e == ERR_OK && i < rows; i++) {
            e = restore_retained_row(t, r, i);
            if (e == ERR_OK && i + 1 == rows) {
                buf_clear(&last);
                e = db_get_bytes(r, i, 0, &last);
            }
        }
        db_result_free(r);
    }
    buf_fini(&last);
    counter_set(COUNTER_RETAINED, t->retained.count);
    return e;
}

/* ---- wills ---- */

static enum err restore_will(struct topics *t, const struct db_result *r, int row)
{
    int64_t id = db_get_int(r, row, 0);
    struct home_will w = {.number = db_get_int(r, row, 1),
                          .device_id = (int32_t)db_get_int(r, row, 2),
                          .delay_us = db_get_int(r, row, 3),
                          .expiry_us = db_is_null(r, row, 4) ? CLOCK_NONE : db_get_int(r, row, 4)};
    enum err e = read_message(r, row, 6, &w.message);
    if (e != ERR_OK) {
        return e;
    }
    w.message->retain = db_get_bool(r, row, 5);
    e = wills_restore(t, &w, id);
    if (e != ERR_OK) {
        message_drop(w.message);
        return e;
    }
    journal_id_next(t->journal, id + 1);
    return ERR_OK;
}

/* As many as sessions at most, each as large as a CONNECT may be. */
static enum err restore_wills(struct topics *t, struct db *db)
{
    int64_t last = 0;
    int rows = PORTION_SMALL;
    enum err e = ERR_OK;
    while (e == ERR_OK && rows == PORTION_SMALL) {
        struct db_params p = {0};
        db_int(&p, last);
        db_int(&p, PORTION_SMALL);
        struct db_result *r = NULL;
        e = db_query(db,
                     "SELECT id, session_id, coalesce(device_id, 0), " LEFT_US(
                         "due_at") ", expiry_us, retain, topic, props, payload, qos, NULL::bigint"
                                   " FROM delayed_wills WHERE id > $1 ORDER BY id LIMIT $2",
                     &p, &r);
        rows = e == ERR_OK ? db_rows(r) : 0;
        for (int i = 0; e == ERR_OK && i < rows; i++) {
            e = restore_will(t, r, i);
            last = db_get_int(r, i, 0);
        }
        db_result_free(r);
    }
    return e;
}

enum err restore_all(struct topics *t, struct db *db)
{
    enum err e = db_script(db, sql_tidy);
    if (e == ERR_OK) {
        e = restore_sessions(t, db);
    }
    if (e == ERR_OK) {
        e = restore_waiting(t, db);
    }
    if (e == ERR_OK) {
        e = restore_retained(t, db);
    }
    return e == ERR_OK ? restore_wills(t, db) : e;
}
