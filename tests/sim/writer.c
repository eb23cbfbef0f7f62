/*
 * writer: what store/writer.h promises, in virtual time. One batch at a time: an attempt takes a
 * while, is applied to the model as one transaction, and its answer takes another while. The
 * connection may be lost before or after the commit, PostgreSQL may be down or hang; then the
 * outcome is read from the lane's number, as the real writer does.
 *
 * What a dead server had handed in is a ghost: it is committed or not, at the latest when the next
 * server takes the lane over.
 */
#include "store/writer.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/counter.h"
#include "pg.h"

enum { WRITER_QUEUE = 4, WRITER_PAUSE_FIRST_US = 100000, WRITER_PAUSE_LAST_US = 1000000 };

struct writer {
    struct batch *queue[WRITER_QUEUE];
    uint32_t count;
    struct batch *current;
    bool careful;
    bool up, connected;
    bool recall;
    bool begun;             /* a transaction is open: it has not been committed */
    bool applied;           /* it has been committed; the answer is under way */
    int64_t seq;            /* of the last batch known to be committed */
    bool recalled, gave_up; /* a batch went back: none may overtake it */
    int64_t attempt;
    int64_t pause_us;
    int64_t commit_timeout_us;
};

static struct {
    struct batch *batch; /* in the memory of a life before, or of a connection that was given up */
    bool careful;
} ghost;

static void attempt_start(void *arg, int64_t n);

/* ---- ghosts ---- */

void writer_ghost_ends(bool last_chance)
{
    if (ghost.batch == NULL || (!last_chance && !sim_chance(300))) {
        return;
    }
    struct batch *b = ghost.batch;
    ghost.batch = NULL;
    bool commits = !sim_get()->pg->down && sim_chance(500);
    sim_log("the transaction left behind %s", commits ? "commits" : "is rolled back");
    if (commits && pg_commit(sim_get()->pg, b, ghost.careful) != ERR_OK) {
        sim_log("it met a row that was there and is rolled back");
    }
}

void writer_left_behind(struct writer *w)
{
    if (w->begun) {
        ghost.batch = w->current;
        ghost.careful = w->careful;
    }
}

void writer_forget_ghost(void)
{
    ghost.batch = NULL;
}

/* ---- the end of a batch ---- */

static enum message_end message_end(const struct batch_message *m, const struct batch_key *keys,
                                    uint32_t end, enum err *ret_status)
{
    *ret_status = m->status;
    if (m->status != ERR_OK) {
        return MESSAGE_REJECTED;
    }
    uint32_t duplicates = 0;
    for (uint32_t i = m->first_row; i < end; i++) {
        duplicates += keys[i].end == BATCH_ROW_DUPLICATE;
    }
    return duplicates > 0 && duplicates == end - m->first_row ? MESSAGE_DUPLICATE
                                                              : MESSAGE_COMMITTED;
}

static void drop_ticket(struct batch_message *m)
{
    if (m->ticket != NULL) {
        ticket_drop(m->ticket, m->status);
        m->ticket = NULL;
    }
}

static void answer(struct batch *b, enum err status)
{
    uint32_t rows = 0;
    uint32_t count = 0;
    const struct batch_key *keys = batch_keys(b, &rows);
    struct batch_message *messages = batch_message_list(b, &count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t end = i + 1 < count ? messages[i + 1].first_row : rows;
        enum message_end how = MESSAGE_DROPPED;
        if (status == ERR_OK) {
            how = message_end(&messages[i], keys, end, &messages[i].status);
        } else {
            messages[i].status = status;
        }
        counter_message_held(MESSAGE_IN_BATCH, -(int64_t)messages[i].counts);
        counter_message_ended(how, messages[i].counts);
    }
    bool backwards = sim_get()->options.mutant == MUTANT_UNORDERED_ACKS;
    for (uint32_t i = 0; i < count; i++) {
        drop_ticket(&messages[backwards ? count - 1 - i : i]);
    }
}

static void next(struct writer *w)
{
    if (w->current != NULL || w->count == 0) {
        return;
    }
    w->current = w->queue[0];
    w->count--;
    for (uint32_t i = 0; i < w->count; i++) {
        w->queue[i] = w->queue[i + 1];
    }
    w->careful = false;
    w->pause_us = WRITER_PAUSE_FIRST_US;
    sim_after(sim_delay_us(30), sim_get()->life, attempt_start, w, ++w->attempt);
}

static void finish(struct writer *w, enum err status)
{
    struct batch *b = w->current;
    int before = sim_as(ACTOR_WRITER);
    w->current = NULL;
    w->begun = false;
    w->applied = false;
    w->attempt++;
    b->status = status;
    w->seq += status == ERR_OK;
    w->recalled = status == ERR_SKIP;
    w->gave_up = w->gave_up || (status != ERR_OK && status != ERR_SKIP);
    if (status != ERR_SKIP) {
        answer(b, status);
    }
    b->done(b->arg, b);
    (void)sim_as(before);
    next(w);
}

/* ---- attempts ---- */

static void fail(struct writer *w, const char *why)
{
    sim_log("writer: %s", why);
    w->up = false;
    w->connected = false;
    w->begun = false;
    w->applied = false;
    if (w->recall) {
        finish(w, ERR_SKIP);
        return;
    }
    sim_after(w->pause_us + sim_random(20000), sim_get()->life, attempt_start, w, ++w->attempt);
    w->pause_us = w->pause_us * 2 > WRITER_PAUSE_LAST_US ? WRITER_PAUSE_LAST_US : w->pause_us * 2;
}

static void attempt_answered(void *arg, int64_t n)
{
    struct writer *w = arg;
    if (n == w->attempt) {
        w->up = true;
        finish(w, ERR_OK);
    }
}

/* The transaction commits, unless it meets a row that is there. */
static bool attempt_apply(struct writer *w)
{
    struct sim *s = sim_get();
    if (pg_commit(s->pg, w->current, w->careful) != ERR_OK) {
        CHECK(!w->careful);
        sim_log("writer: a row is there already, going the careful way");
        w->careful = true;
        w->begun = false;
        sim_after(sim_delay_us(200), s->life, attempt_start, w, ++w->attempt);
        return false;
    }
    w->begun = false;
    w->applied = true;
    return true;
}

static void attempt_commit(void *arg, int64_t n)
{
    struct writer *w = arg;
    struct sim *s = sim_get();
    if (n != w->attempt || !w->begun) {
        return;
    }
    if (s->pg->hung_until_us > s->now_us) {
        sim_at(s->pg->hung_until_us + sim_delay_us(500), s->life, attempt_commit, w, n);
        return;
    }
    if (s->pg->down) {
        fail(w, "connection lost before the commit");
        return;
    }
    if (attempt_apply(w)) {
        sim_after(sim_delay_us(200), s->life, attempt_answered, w, n);
    }
}

/* No answer for so long: the connection is given up, its transaction may still commit. */
static void attempt_timed_out(void *arg, int64_t n)
{
    struct writer *w = arg;
    if (n != w->attempt || w->current == NULL) {
        return;
    }
    writer_left_behind(w);
    fail(w, "no answer");
}

void writer_connection_lost(struct writer *w)
{
    if (w->current == NULL || !(w->begun || w->applied)) {
        w->connected = false;
        return;
    }
    sim_get()->count.lost++;
    writer_left_behind(w);
    fail(w, w->applied ? "connection lost after the commit" : "connection lost");
}

void writer_overtakes(struct writer *w)
{
    if (w->current != NULL && w->begun && !sim_get()->pg->down) {
        int64_t n = w->attempt;
        if (attempt_apply(w)) {
            sim_after(sim_delay_us(500), sim_get()->life, attempt_answered, w, n);
        }
    }
}

static void attempt_start(void *arg, int64_t n)
{
    struct writer *w = arg;
    struct sim *s = sim_get();
    if (n != w->attempt || w->current == NULL) {
        return;
    }
    w->recalled = w->recalled && w->recall;
    if (w->gave_up || w->recalled) {
        finish(w, w->gave_up ? ERR_CLOSED : ERR_SKIP);
        return;
    }
    if (s->pg->down || (!w->connected && s->pg->hung_until_us > s->now_us)) {
        fail(w, s->pg->down ? "PostgreSQL is down" : "no connection");
        return;
    }
    if (!w->connected) {
        w->connected = true;
        writer_ghost_ends(true);
        if (s->pg->seq == w->seq + 1 && s->options.mutant != MUTANT_COMMIT_TWICE) {
            sim_log("writer: settled as committed");
            w->up = true;
            finish(w, ERR_OK);
            return;
        }
    }
    pg_make_partitions(s->pg, w->current);
    w->begun = true;
    sim_after(sim_delay_us(s->pg->slow_us), s->life, attempt_commit, w, n);
    sim_after(w->commit_timeout_us, s->life, attempt_timed_out, w, n);
}

/* ---- the contract ---- */

enum err writer_new(const struct conf *conf, struct writer **ret_writer)
{
    struct writer *w = calloc(1, sizeof(*w));
    w->commit_timeout_us = conf->commit_timeout_us;
    *ret_writer = w;
    return ERR_OK;
}

enum err writer_start(struct writer *w)
{
    if (sim_get()->pg->down) {
        return ERR_DB_DOWN;
    }
    writer_ghost_ends(true);
    w->seq = sim_get()->pg->seq;
    w->up = true;
    w->connected = true;
    return ERR_OK;
}

void writer_submit(struct writer *w, struct batch *b)
{
    CHECK(w->count < WRITER_QUEUE);
    if (sim_get()->options.mutant == MUTANT_ACK_BEFORE_COMMIT) {
        answer(b, ERR_OK);
    }
    w->queue[w->count++] = b;
    next(w);
}

static void recalled(void *arg, int64_t n)
{
    struct writer *w = arg;
    if (n == w->attempt && w->recall && w->current != NULL && !w->begun && !w->applied) {
        finish(w, ERR_SKIP);
    }
}

/* What waits between two tries comes back at once, what is under way after its try. */
void writer_recall(struct writer *w, bool on)
{
    w->recall = on;
    if (on && w->current != NULL) {
        sim_after(sim_random(50000), sim_get()->life, recalled, w, w->attempt);
    }
}

bool writer_is_up(const struct writer *w)
{
    return w->up;
}

bool writer_is_safe(const struct writer *w)
{
    (void)w;
    return true;
}

bool writer_is_usurped(const struct writer *w)
{
    (void)w;
    return false;
}

/* Finishes what was handed in or, without a database, gives it up. */
void writer_stop(struct writer *w)
{
    struct sim *s = sim_get();
    while (w->current != NULL) {
        bool reachable = !s->pg->down && s->pg->hung_until_us <= s->now_us;
        enum err e = ERR_OK;
        if (!w->applied && !w->connected && reachable) {
            writer_ghost_ends(true);
            w->applied = s->pg->seq == w->seq + 1;
            w->connected = true;
        }
        if (w->gave_up || (!w->applied && !reachable)) {
            e = ERR_CLOSED;
        } else if (!w->applied) {
            pg_make_partitions(s->pg, w->current);
            if (pg_commit(s->pg, w->current, w->careful) != ERR_OK) {
                w->careful = true;
                CHECK(pg_commit(s->pg, w->current, true) == ERR_OK);
            }
        }
        finish(w, e);
    }
    writer_ghost_ends(true); /* its batch is freed next */
}

void writer_free(struct writer *w)
{
    free(w);
}
