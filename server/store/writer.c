#include "store/writer.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/log.h"
#include "loop/worker.h"
#include "store/writer_internal.h"

/* A batch that is refused as a whole so often is our mistake: starting again from the database is
 * the way out. */
enum { WRITER_REFUSALS_MAX = 5 };

enum { WRITER_PAUSE_FIRST_MS = 100, WRITER_PAUSE_LAST_MS = 1000, WRITER_PAUSE_STEP_MS = 50 };

struct writer {
    char *url;
    int64_t commit_timeout_us;
    struct worker *thread;
    struct db *db;
    char owner[33];
    int64_t seq; /* of the last batch known to be committed */
    int backend; /* process id behind the connection that batches go through, or went through when
                    it was lost: it is ended before their work is tried again. Kept here because
                    libpq forgets it with the connection. */
    atomic_bool up, safe, usurped, stopping, recall;
    /* The writer's thread only: a batch went back uncommitted, or perhaps committed without our
     * knowing. No later one may overtake it, nor be taken for it when the lane's number is read. */
    bool recalled;
    bool gave_up; /* the same, and it will not come again */
};

/* The session's own table for rows that may be stored already, and the function that says which of
 * them are refused for what they hold. */
static const char *const writer_incoming =
    "CREATE TEMP TABLE incoming (LIKE samples) ON COMMIT DELETE ROWS;"
    "CREATE FUNCTION pg_temp.incoming_refused()"
    " RETURNS TABLE (of_device int, at timestamptz, of_digest int, why text) LANGUAGE plpgsql AS $$"
    " DECLARE r incoming;"
    " BEGIN"
    "  FOR r IN SELECT * FROM incoming LOOP"
    "   BEGIN"
    "    INSERT INTO samples SELECT r.* ON CONFLICT DO NOTHING;"
    "   EXCEPTION WHEN data_exception OR integrity_constraint_violation OR program_limit_exceeded"
    "   THEN of_device := r.device_id; at := r.ts; of_digest := r.digest; why := SQLERRM;"
    "    RETURN NEXT;"
    "   END;"
    "  END LOOP;"
    " END $$";

static void writer_set_up(struct writer *w, bool up, const char *why)
{
    bool was = atomic_exchange(&w->up, up);
    counter_set(COUNTER_STORE_UP, up);
    if (was && !up) {
        LOG(LOG_ERROR, "store_down", LOG_S("error", why),
            LOG_S("next", "acknowledgements are withheld and the batch is tried again until "
                          "PostgreSQL is back"));
    } else if (!was && up) {
        LOG(LOG_INFO, "store_up", LOG_I("batch", w->seq));
    }
}

/* Ends the old backend and reads which batch was the last one committed. Taking the row's lock
 * waits for a transaction of the old connection that is still under way. */
static enum err writer_settle(struct writer *w)
{
    if (w->backend != 0) {
        struct db_params p = {0};
        db_int(&p, w->backend);
        enum err e =
            db_exec(w->db,
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1"
                    " AND application_name = 'signalbox-writer' AND pid <> pg_backend_pid()"
                    " AND datname = current_database() AND usename = current_user",
                    &p, NULL);
        if (e != ERR_OK) {
            return e;
        }
    }
    struct db_result *r = NULL;
    enum err e =
        db_query(w->db, "SELECT seq, owner FROM writer_lanes WHERE lane = 0 FOR UPDATE", NULL, &r);
    if (e != ERR_OK) {
        return e;
    }
    if (db_rows(r) != 1 || strcmp(db_get(r, 0, 1), w->owner) != 0) {
        atomic_store(&w->usurped, true);
        e = ERR_DENIED;
    } else {
        w->seq = db_get_int(r, 0, 0);
        w->backend = PQbackendPID(w->db->pg);
    }
    db_result_free(r);
    return e;
}

static enum err writer_open(struct writer *w)
{
    if (w->db != NULL) {
        db_close(w->db);
        w->db = NULL;
    }
    enum err e = db_open(w->url, "signalbox-writer", &w->db);
    if (e != ERR_OK) {
        return e;
    }
    w->db->timeout_us = w->commit_timeout_us;
    bool safe = db_is_safe(w->db);
    atomic_store(&w->safe, safe);
    counter_set(COUNTER_DURABILITY_UNSAFE, !safe);
    if (!safe) {
        LOG(LOG_ERROR, "durability_unsafe",
            LOG_S("next", "set fsync=on and full_page_writes=on in PostgreSQL; until then a power "
                          "cut can lose acknowledged "
                          "readings and /readyz answers 503"));
    }
    return db_script(w->db, writer_incoming);
}

static enum err writer_connect(struct writer *w)
{
    if (db_alive(w->db)) {
        return ERR_OK;
    }
    enum err e = writer_open(w);
    if (e == ERR_OK) {
        e = writer_settle(w);
    }
    if (e != ERR_OK && w->db != NULL) {
        w->db->broken = true;
    }
    return e;
}

static void writer_pause(struct writer *w, int ms)
{
    for (int waited = 0; waited < ms && !atomic_load(&w->stopping) && !atomic_load(&w->recall);
         waited += WRITER_PAUSE_STEP_MS) {
        struct timespec t = {.tv_nsec = WRITER_PAUSE_STEP_MS * 1000000L};
        (void)nanosleep(&t, NULL);
    }
}

/* One try. ERR_OK: committed. ERR_SKIP: go again at once, in a way that is already arranged. */
static enum err writer_try(struct writer *w, struct batch *b, bool *careful)
{
    int64_t want = w->seq + 1;
    enum err e = writer_connect(w);
    if (e == ERR_OK && w->seq == want) {
        LOG(LOG_INFO, "commit_settled", LOG_S("result", "committed"), LOG_I("rows", batch_rows(b)));
        return ERR_OK;
    }
    if (e == ERR_OK) {
        e = writer_commit(
            w->db, b, &(struct writer_step){.seq = want, .owner = w->owner, .careful = *careful});
    }
    if (e == ERR_OK) {
        w->seq = want;
        return ERR_OK;
    }
    if (e == ERR_EXISTS && !*careful) {
        *careful = true;
        return ERR_SKIP;
    }
    return e;
}

/* Until the batch is committed, or the writer stops or lost its lane. */
static enum err writer_insist(struct writer *w, struct batch *b)
{
    bool careful = false;
    int pause_ms = WRITER_PAUSE_FIRST_MS;
    int refusals = 0;
    for (;;) {
        enum err e = writer_try(w, b, &careful);
        if (e == ERR_OK) {
            writer_set_up(w, true, "");
            return ERR_OK;
        }
        if (w->db != NULL && strcmp(w->db->sqlstate, "55000") == 0) {
            atomic_store(&w->usurped, true);
        }
        if (atomic_load(&w->usurped)) {
            LOG(LOG_ERROR, "writer_usurped",
                LOG_S("next", "another server uses this database; this one stops"));
            return ERR_DENIED;
        }
        if (e == ERR_SKIP) {
            continue;
        }
        bool refused = e == ERR_DB_DATA || e == ERR_SYNTAX || e == ERR_EXISTS;
        refusals = refused ? refusals + 1 : 0;
        if (refusals == WRITER_REFUSALS_MAX) {
            LOG(LOG_ERROR, "batch_refused", LOG_S("error", w->db == NULL ? "" : db_error(w->db)));
            return e;
        }
        counter_add(COUNTER_BATCH_RETRIES, 1);
        writer_set_up(w, false, w->db == NULL ? err_words(e) : db_error(w->db));
        if (w->db != NULL) {
            w->db->broken = true;
        }
        if (atomic_load(&w->stopping)) {
            return ERR_CLOSED;
        }
        if (atomic_load(&w->recall)) {
            return ERR_SKIP;
        }
        writer_pause(w, pause_ms);
        pause_ms = pause_ms * 2 > WRITER_PAUSE_LAST_MS ? WRITER_PAUSE_LAST_MS : pause_ms * 2;
    }
}

static void writer_count(const struct batch *b)
{
    uint32_t rows = 0;
    const struct batch_key *keys = batch_keys(b, &rows);
    int64_t fresh = 0;
    int64_t duplicate = 0;
    int64_t values = 0;
    for (uint32_t i = 0; i < rows; i++) {
        fresh += keys[i].end == BATCH_ROW_NEW;
        duplicate += keys[i].end == BATCH_ROW_DUPLICATE;
        values += keys[i].end == BATCH_ROW_NEW ? (int64_t)keys[i].values : 0;
    }
    counter_add(COUNTER_BATCHES, 1);
    counter_add(COUNTER_SAMPLES_COMMITTED, fresh);
    counter_add(COUNTER_SAMPLES_DUPLICATE, duplicate);
    counter_add(COUNTER_VALUES_COMMITTED, values);
}

static enum message_end writer_message_end(const struct batch_message *m,
                                           const struct batch_key *keys, uint32_t end,
                                           enum err *ret_status)
{
    *ret_status = m->status;
    if (m->status != ERR_OK) {
        return MESSAGE_REJECTED;
    }
    uint32_t duplicates = 0;
    for (uint32_t i = m->first_row; i < end; i++) {
        if (keys[i].end == BATCH_ROW_POISON) {
            *ret_status = ERR_RANGE;
            return MESSAGE_REJECTED;
        }
        duplicates += keys[i].end == BATCH_ROW_DUPLICATE;
    }
    return duplicates > 0 && duplicates == end - m->first_row ? MESSAGE_DUPLICATE
                                                              : MESSAGE_COMMITTED;
}

/* Counts the messages, then tells those who wait: whoever sees its acknowledgement also sees it in
 * the balance. */
static void writer_answer(struct batch *b, enum err status)
{
    uint32_t rows = 0;
    uint32_t count = 0;
    const struct batch_key *keys = batch_keys(b, &rows);
    struct batch_message *messages = batch_message_list(b, &count);
    int64_t ends[MESSAGE_DROPPED + 1] = {0};
    for (uint32_t i = 0; i < count; i++) {
        uint32_t end = i + 1 < count ? messages[i + 1].first_row : rows;
        enum message_end how = MESSAGE_DROPPED;
        if (status == ERR_OK) {
            how = writer_message_end(&messages[i], keys, end, &messages[i].status);
        } else {
            messages[i].status = status;
        }
        ends[how] += messages[i].counts;
        counter_message_held(MESSAGE_IN_BATCH, -(int64_t)messages[i].counts);
    }
    for (int i = 0; i <= MESSAGE_DROPPED; i++) {
        counter_message_ended((enum message_end)i, ends[i]);
    }
    counter_balance_publish();
    for (uint32_t i = 0; i < count; i++) {
        if (messages[i].ticket != NULL) {
            ticket_drop(messages[i].ticket, messages[i].status);
            messages[i].ticket = NULL;
        }
    }
}

/* What follows from a batch builds upon all before it, so the first one that fails ends the order.
 */
static enum err writer_commit_in_order(struct writer *w, struct batch *b)
{
    w->recalled = w->recalled && atomic_load(&w->recall);
    if (w->gave_up || w->recalled) {
        return w->gave_up ? ERR_CLOSED : ERR_SKIP;
    }
    enum err e = batch_err(b) != ERR_OK ? batch_err(b) : writer_insist(w, b);
    w->recalled = e == ERR_SKIP;
    w->gave_up = e != ERR_OK && e != ERR_SKIP;
    return e;
}

static void writer_run(struct mail *m)
{
    struct batch *b = CONTAINER_OF(m, struct batch, mail);
    struct writer *w = b->writer;
    b->status = writer_commit_in_order(w, b);
    if (b->status == ERR_OK) {
        writer_count(b);
    }
    if (b->status != ERR_SKIP) {
        writer_answer(b, b->status);
    }
    b->done(b->arg, b);
}

enum err writer_new(const struct conf *conf, struct writer **ret_writer)
{
    struct writer *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return ERR_NOMEM;
    }
    uint8_t random[16];
    CHECK(getrandom(random, sizeof(random), 0) == (ssize_t)sizeof(random));
    for (size_t i = 0; i < sizeof(random); i++) {
        (void)snprintf(w->owner + 2 * i, 3, "%02x", random[i]);
    }
    w->url = strdup(conf->database_url);
    w->commit_timeout_us = conf->commit_timeout_us;
    w->thread = w->url == NULL ? NULL : worker_new("sb-writer", 1, NULL, NULL, NULL);
    if (w->thread == NULL) {
        free(w->url);
        free(w);
        return ERR_NOMEM;
    }
    *ret_writer = w;
    return ERR_OK;
}

enum err writer_start(struct writer *w)
{
    enum err e = writer_open(w);
    if (e != ERR_OK) {
        return e;
    }
    struct db_params p = {0};
    db_text(&p, w->owner);
    struct db_result *r = NULL;
    e = db_query(w->db, "UPDATE writer_lanes SET owner = $1 WHERE lane = 0 RETURNING seq", &p, &r);
    if (e == ERR_OK) {
        w->seq = db_rows(r) == 1 ? db_get_int(r, 0, 0) : 0;
        w->backend = PQbackendPID(w->db->pg);
        e = db_rows(r) == 1 ? ERR_OK : ERR_STATE;
        db_result_free(r);
    }
    if (e == ERR_OK) {
        writer_set_up(w, true, "");
    }
    return e;
}

void writer_submit(struct writer *w, struct batch *b)
{
    b->writer = w;
    b->mail.run = writer_run;
    worker_post(w->thread, &b->mail);
}

void writer_recall(struct writer *w, bool on)
{
    atomic_store(&w->recall, on);
}

bool writer_is_up(const struct writer *w)
{
    return atomic_load(&w->up);
}

bool writer_is_safe(const struct writer *w)
{
    return atomic_load(&w->safe);
}

bool writer_is_usurped(const struct writer *w)
{
    return atomic_load(&w->usurped);
}

void writer_stop(struct writer *w)
{
    atomic_store(&w->stopping, true);
    worker_stop(w->thread);
}

void writer_free(struct writer *w)
{
    if (w != NULL) {
        worker_free(w->thread);
        db_close(w->db);
        free(w->url);
        free(w);
    }
}
