#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/log.h"
#include "ingest/internal.h"
#include "ingest/record.h"

/*
 * What happens while PostgreSQL is away, if a spool is configured:
 *
 * direct -> recalling: the writer has failed for `spool_after`; it is asked for its batches back.
 *
 * recalling -> spooling: all batches are back. They are held, to be committed first when PostgreSQL
 * returns; their telemetry and all that waits in memory goes to the spool, which acknowledges it.
 *
 * spooling -> draining: the held batches are committed. The spool is read back in order, through
 * the rules and into batches like any message; what devices send meanwhile goes behind it into the
 * spool.
 *
 * draining -> handover: the reader has caught up. What comes now waits in memory until the last
 * group was read. Groups that the spool has no room for take the same way without having been in
 * it, and are acknowledged by their commit: a full disk keeps nobody waiting for a database that is
 * there.
 *
 * handover -> direct: all of it is on its way.
 *
 * A message can be in a held batch and in the spool: its samples are recognised by their identity.
 * After a crash everything in the spool is read again, for the same reason. A sample without a time
 * of its own gets the time of its record. In spooling and draining PostgreSQL may fail again;
 * recalling begins anew, and what was read but not committed is in the held batches and, not yet
 * released, in the spool.
 */
enum spooling_mode {
    SPOOLING_DIRECT,
    SPOOLING_RECALLING,
    SPOOLING_ON,
    SPOOLING_DRAINING,
    SPOOLING_HANDOVER
};

static const char *const mode_words[] = {"direct", "recalling", "spooling", "draining", "handover"};

enum {
    GROUP_LIMIT = 1 << 30, /* a quarter of a segment and one message */
    READ_BYTES = 1 << 20,
    READ_WHILE_UNDER =
        20000, /* messages under way, so that reading back is bounded like devices are */
    SEGMENT_BYTES = 16 << 20,
    RESERVE_BYTES = 64 << 20,
    RECORD_MAX = 63 << 20, /* what a spool takes */
    RECORD_HEAD = 1 << 18, /* more than what stands beside the payload: two texts of 64 KiB */
};

struct group {
    struct spool_write write;
    struct mail back;
    struct group *next; /* in `ready` */
    struct ingest *in;
    struct buf tickets; /* struct ticket *[] */
    uint32_t messages;
    size_t bytes; /* of the budget */
};

struct spooling {
    struct ingest *in;
    struct spool *spool;
    enum spooling_mode mode;
    uint64_t run;
    int64_t down_since_us; /* monotonic; 0: the writer works */
    struct core_batch *held, **held_last;
    bool held_under_way;
    struct group *open;
    struct group *ready, **ready_last; /* closed, in order; the first may be with the spool */
    bool writing;                      /* it is */
    bool write_failed;                 /* it came back; tried again with the next tick */
    uint64_t last_publish;             /* the newest one that is in `open` */
    struct gate *gate;
    struct spool_read read;
    struct mail read_back;
    bool reading;
    bool behind;            /* the spool holds what must come before anything new */
    uint64_t last_segment;  /* the newest one that was read from; 0: none, or released */
    uint64_t ended_segment; /* all of it is read; released when all that was read is committed. 0:
                               none */
    uint64_t ended_before;  /* the same, of the segment before the one that is read */
    uint64_t in_core;       /* messages read back and not yet committed */
    struct group *refused, **refused_last;    /* handover: the spool has no room for them. Their
                                                 records are on their way to the database */
    struct ingest_message *live, **live_last; /* handover: what devices sent meanwhile */
};

static void spooling_move(struct spooling *sp, enum spooling_mode to)
{
    LOG(LOG_WARN, "spool", LOG_S("from", mode_words[sp->mode]), LOG_S("to", mode_words[to]),
        LOG_I("bytes", spool_bytes(sp->spool)));
    sp->mode = to;
    counter_set(COUNTER_SPOOLING, to == SPOOLING_ON || to == SPOOLING_DRAINING);
}

static void spooling_announce(struct ingest *in, const char *kind, const char *words)
{
    char json[160];
    int len = snprintf(json, sizeof(json), "{\"summary\":\"%s\"}", words);
    in->hooks.event(in->hooks.arg, &(struct ingest_event){.ts_us = clock_wall_us(),
                                                          .kind = kind,
                                                          .level = "error",
                                                          .json = view_of(json, (size_t)len)});
}

/* ---- into the spool ---- */

static void group_free(struct group *g)
{
    buf_fini(&g->write.records);
    buf_fini(&g->tickets);
    free(g);
}

static void group_next(struct spooling *sp);
static void refused_check(struct spooling *sp);

static void group_back(struct mail *m)
{
    struct group *g = CONTAINER_OF(m, struct group, back);
    struct spooling *sp = g->in->spooling;
    sp->writing = false;
    if (g->write.status != ERR_OK) {
        /* No room or no disk: nothing is acknowledged, so devices wait and the budget fills. The
         * later ones stay behind it: what a device reports of itself last must stay the last. It is
         * tried again ten times a second, so the spool says so, when it begins and when it ends. */
        sp->write_failed = true;
        return;
    }
    sp->ready = g->next;
    sp->ready_last = sp->ready == NULL ? &sp->ready : sp->ready_last;
    core_give_back(g->in, g->messages, g->bytes);
    group_free(g);
    group_next(sp);
}

static void group_answer(struct group *g, enum err e)
{
    struct ticket **tickets = (struct ticket **)(void *)g->tickets.data;
    for (size_t i = 0; i < g->tickets.len / sizeof(struct ticket *); i++) {
        ticket_drop(tickets[i], e);
    }
}

/* On the spool's thread: durable, so it may be acknowledged. */
static void group_done(struct spool_write *w)
{
    struct group *g = CONTAINER_OF(w, struct group, write);
    if (w->status == ERR_OK) {
        group_answer(g, ERR_OK);
    }
    loop_post(g->in->loop, &g->back);
}

/* One at a time: while it is made durable the next one fills. */
static void group_next(struct spooling *sp)
{
    struct group *g = sp->ready;
    if (g == NULL || sp->writing || sp->write_failed || sp->spool == NULL) {
        return;
    }
    g->write.done = group_done;
    g->back.run = group_back;
    sp->writing = true;
    spool_append(sp->spool, &g->write);
}

static struct group *group_open(struct spooling *sp)
{
    if (sp->open == NULL) {
        sp->open = calloc(1, sizeof(*sp->open));
        CHECK(sp->open != NULL);
        sp->open->in = sp->in;
        spool_write_init(&sp->open->write, GROUP_LIMIT);
        buf_init(&sp->open->tickets, GROUP_LIMIT);
        sp->last_publish = 0;
    }
    return sp->open;
}

static void group_close(struct spooling *sp)
{
    struct group *g = sp->open;
    sp->open = NULL;
    if (g != NULL) {
        *sp->ready_last = g;
        sp->ready_last = &g->next;
        group_next(sp);
    }
}

static void group_put(struct spooling *sp, struct view record, struct ticket *t, size_t bytes)
{
    struct group *g = group_open(sp);
    if (record.len > 0) {
        spool_put(&g->write, record);
    }
    if (t != NULL) {
        buf_put(&g->tickets, (const void *)&t, sizeof(struct ticket *));
    }
    CHECK(buf_err(&g->write.records) == ERR_OK && buf_err(&g->tickets) == ERR_OK);
    g->messages++;
    g->bytes += bytes;
    if (g->write.records.len > SEGMENT_BYTES / 4) {
        group_close(sp);
    }
}

static void message_record(struct spooling *sp, struct buf *out, const struct ingest_message *m,
                           bool counted)
{
    const struct device *d = m->gateway != NULL ? m->gateway : m->device;
    record_encode(out, &(struct record){.run = sp->run,
                                        .received_at_us = m->received_at_us,
                                        .packet_id = m->packet_id,
                                        .dup = m->dup,
                                        .counted = counted,
                                        .device = view_str(d->name),
                                        .topic = m->topic,
                                        .payload = m->payload});
}

static void message_spool(struct ingest *in, struct ingest_message *m)
{
    struct spooling *sp = in->spooling;
    struct buf record;
    buf_init(&record, GROUP_LIMIT);
    (void)group_open(sp);
    if (m->publish != sp->last_publish) {
        /* Its time is its own: see gate_take(). */
        message_record(sp, &record, m, !m->counts);
        sp->last_publish = m->publish;
    }
    group_put(sp, buf_view(&record), m->ticket, m->bytes);
    m->ticket = NULL;
    m->bytes = 0; /* the group's now */
    counter_message_held(MESSAGE_IN_SPOOL, m->counts);
    buf_fini(&record);
    core_message_end(in, m);
}

bool spooling_take(struct ingest *in, struct ingest_message *m)
{
    struct spooling *sp = in->spooling;
    if (sp == NULL || m->spooled || !sp->behind) {
        return false;
    }
    if (sp->mode == SPOOLING_HANDOVER) {
        m->next_parked = NULL;
        *sp->live_last = m;
        sp->live_last = &m->next_parked;
        return true;
    }
    message_spool(in, m);
    return true;
}

/* ---- batches that could not be committed ---- */

/* raw: for each kept message its place in the batch, the length of its record, and the record. */
void spooling_keep(struct ingest *in, const struct ingest_message *m)
{
    struct spooling *sp = in->spooling;
    if (sp == NULL || m->spooled || m->ticket == NULL) {
        return;
    }
    struct core_batch *cb = in->open;
    uint32_t head[2] = {batch_messages(cb->batch) - 1, 0};
    size_t at = cb->raw.len;
    buf_put(&cb->raw, head, sizeof(head));
    if (m->publish != cb->last_publish) {
        message_record(sp, &cb->raw, m, true);
        cb->last_publish = m->publish;
    }
    if (buf_err(&cb->raw) != ERR_OK) {
        cb->raw.len = at; /* no room: it and the later ones wait for the batch itself */
        return;
    }
    head[1] = (uint32_t)(cb->raw.len - at - sizeof(head));
    memcpy(cb->raw.data + at, head, sizeof(head));
}

static void batch_spool(struct spooling *sp, struct core_batch *cb)
{
    size_t at = 0;
    while (at < cb->raw.len) {
        uint32_t head[2];
        memcpy(head, cb->raw.data + at, sizeof(head));
        at += sizeof(head);
        struct ticket *t = batch_take_ticket(cb->batch, head[0]);
        size_t bytes = cb->bytes / cb->messages; /* its share: its own number is gone */
        group_put(sp, view_of(cb->raw.data + at, head[1]), t, bytes);
        at += head[1];
        cb->messages--;
        cb->bytes -= bytes;
    }
    buf_clear(&cb->raw);
}

static void held_push(struct spooling *sp, struct core_batch *cb)
{
    cb->next_free = NULL;
    *sp->held_last = cb;
    sp->held_last = &cb->next_free;
}

static void held_submit(struct spooling *sp)
{
    if (sp->held != NULL && !sp->held_under_way && !sp->in->stopping) {
        sp->held_under_way = true;
        sp->in->submitted++;
        writer_submit(sp->in->writer, sp->held->batch);
    }
}

/* What waits since the hand-over began. */
static void live_take(struct spooling *sp,
                      void (*take)(struct ingest *in, struct ingest_message *m))
{
    struct ingest_message *m = sp->live;
    sp->live = NULL;
    sp->live_last = &sp->live;
    while (m != NULL) {
        struct ingest_message *next = m->next_parked;
        m->next_parked = NULL;
        take(sp->in, m);
        m = next;
    }
}

static void spooling_begin(struct spooling *sp)
{
    struct ingest *in = sp->in;
    writer_recall(in->writer, false);
    if (in->open != NULL) {
        in->open->messages = core_batch_messages(in->open);
        held_push(sp, in->open);
        core_batch_arm(in->open);
        in->open = NULL;
    }
    sp->behind = true;
    spooling_move(sp, SPOOLING_ON);
    spooling_announce(in, "store.down", "PostgreSQL is not available; messages go to the spool");
    for (struct core_batch *cb = sp->held; cb != NULL; cb = cb->next_free) {
        batch_spool(sp, cb);
    }
    core_parked_take(in, message_spool);
    live_take(sp, message_spool);
    group_close(sp);
    held_submit(sp);
}

/* The last batch is back, or was committed after all. */
static void recall_check(struct spooling *sp)
{
    if (sp->mode != SPOOLING_RECALLING || sp->in->submitted > 0) {
        return;
    }
    if (sp->held != NULL) {
        spooling_begin(sp);
        return;
    }
    writer_recall(sp->in->writer, false);
    spooling_move(sp, sp->behind ? SPOOLING_DRAINING : SPOOLING_DIRECT);
}

void spooling_recalled(struct ingest *in, struct core_batch *cb)
{
    struct spooling *sp = in->spooling;
    if (sp->held == cb) { /* a held one that failed again */
        sp->held_under_way = false;
    } else {
        held_push(sp, cb);
    }
    recall_check(sp);
}

void spooling_committed(struct ingest *in, struct core_batch *cb)
{
    struct spooling *sp = in->spooling;
    if (sp == NULL) {
        return;
    }
    CHECK(sp->in_core >= cb->spooled);
    sp->in_core -= cb->spooled;
    refused_check(sp);
    if (sp->held == cb) {
        sp->held = cb->next_free;
        sp->held_last = sp->held == NULL ? &sp->held : sp->held_last;
        sp->held_under_way = false;
        if (sp->mode == SPOOLING_ON && sp->held == NULL) {
            spooling_move(sp, SPOOLING_DRAINING);
            spooling_announce(in, "store.up", "PostgreSQL is back; the spool is read");
        }
        if (sp->mode == SPOOLING_ON) {
            held_submit(sp);
        }
    }
    recall_check(sp);
}

bool spooling_is_on(const struct ingest *in)
{
    return in->spooling != NULL && in->spooling->behind;
}

bool spooling_holds_batches(const struct ingest *in)
{
    const struct spooling *sp = in->spooling;
    return sp != NULL && (sp->mode == SPOOLING_RECALLING || sp->mode == SPOOLING_ON);
}

/* ---- out of the spool ---- */

static void record_take(struct spooling *sp, struct view bytes)
{
    struct record r;
    enum err e = record_decode(bytes, &r);
    struct device *d = e == ERR_OK ? catalog_device(sp->in->catalog, r.device) : NULL;
    bool of_this_run = e == ERR_OK && r.run == sp->run;
    bool held = of_this_run && !r.counted;
    counter_message_held(MESSAGE_IN_SPOOL, -(int64_t)held);
    if (d == NULL) {
        LOG(LOG_ERROR, "spool_record_left_out",
            LOG_S("why", e == ERR_OK ? "its device was deleted" : err_words(e)));
        counter_message_ended(MESSAGE_REJECTED, held);
        return;
    }
    if (!of_this_run) {
        counter_message_received(1);
    }
    struct gate_source from = {.device = d,
                               .topic = r.topic,
                               .payload = r.payload,
                               .received_at_us = r.received_at_us,
                               .packet_id = r.packet_id,
                               .dup = r.dup,
                               .spooled = true,
                               .counts = !of_this_run || held};
    e = gate_take(sp->gate, &from);
    if (e == ERR_FULL) {
        gate_flush_now(sp->gate); /* the block was full */
        e = gate_take(sp->gate, &from);
    }
    CHECK(e == ERR_OK);
    device_drop(d);
}

static void refused_check(struct spooling *sp)
{
    while (sp->refused != NULL && sp->in_core == 0) {
        struct group *g = sp->refused;
        sp->refused = g->next;
        sp->refused_last = sp->refused == NULL ? &sp->refused : sp->refused_last;
        group_answer(g, ERR_OK);
        core_give_back(sp->in, g->messages, g->bytes);
        group_free(g);
    }
}

/* The database is back and has all that the spool had, but the disk takes no more: what waits for
 * it would wait as long as the disk is full. It goes where the spool's records go, behind the last
 * of them, and is acknowledged when it is committed. */
static void refused_take(struct spooling *sp)
{
    while (sp->ready != NULL) {
        struct group *g = sp->ready;
        sp->ready = g->next;
        g->next = NULL;
        *sp->refused_last = g;
        sp->refused_last = &g->next;
        struct view bytes;
        size_t at = 0;
        while (spool_next(&g->write.records, &at, &bytes)) {
            record_take(sp, bytes);
        }
    }
    sp->ready_last = &sp->ready;
    gate_flush_now(sp->gate);
    refused_check(sp); /* nothing of them may be left for the database: their device was deleted */
}

static void handover_check(struct spooling *sp)
{
    /* A read under way may hold the last records: the spool counts them as read before we have
     * them. */
    if (sp->mode != SPOOLING_HANDOVER || sp->reading || spool_has_unread(sp->spool)) {
        return;
    }
    if (sp->write_failed) {
        group_close(sp);
        refused_take(sp);
    }
    if (sp->open != NULL || sp->ready != NULL) {
        return;
    }
    sp->behind = false;
    spooling_move(sp, SPOOLING_DIRECT);
    live_take(sp, core_message);
}

static void read_back(struct mail *m)
{
    struct spooling *sp = CONTAINER_OF(m, struct spooling, read_back);
    sp->reading = false;
    if (sp->in->stopping) {
        return;
    }
    struct view bytes;
    size_t at = 0;
    while (spool_next(&sp->read.bytes, &at, &bytes)) {
        record_take(sp, bytes);
    }
    gate_flush_now(sp->gate); /* runs after this mail, before anything posted later */
    if (sp->read.count > 0) {
        if (sp->last_segment != 0 && sp->last_segment != sp->read.segment) {
            sp->ended_before = sp->last_segment; /* after its last records had been handed out */
        }
        sp->last_segment = sp->read.segment;
    }
    if (sp->read.segment_ends) {
        sp->ended_segment = sp->read.segment;
    }
    if (sp->read.count == 0 && sp->read.status == ERR_OK && sp->mode == SPOOLING_DRAINING) {
        spooling_move(sp, SPOOLING_HANDOVER);
    }
    handover_check(sp);
}

static void read_done(struct spool_read *r)
{
    struct spooling *sp = CONTAINER_OF(r, struct spooling, read);
    loop_post(sp->in->loop, &sp->read_back);
}

static void drain(struct spooling *sp)
{
    if (sp->ended_before != 0 && sp->in_core == 0) {
        spool_release(sp->spool, sp->ended_before);
        sp->ended_before = 0;
    }
    if (sp->ended_segment != 0 && sp->in_core == 0) {
        spool_release(sp->spool, sp->ended_segment);
        sp->last_segment = sp->last_segment == sp->ended_segment ? 0 : sp->last_segment;
        sp->ended_segment = 0;
    }
    if (sp->mode == SPOOLING_DIRECT && sp->last_segment != 0 && sp->in_core == 0) {
        spool_release(sp->spool,
                      sp->last_segment); /* read to its end, and nothing is written behind it */
        sp->last_segment = 0;
    }
    bool reads = sp->mode == SPOOLING_DRAINING ||
                 (sp->mode == SPOOLING_HANDOVER && spool_has_unread(sp->spool));
    if (!reads || sp->reading || sp->ended_segment != 0 || sp->ended_before != 0 ||
        sp->in_core > READ_WHILE_UNDER || sp->in->stopping) {
        return;
    }
    sp->reading = true;
    sp->read.done = read_done;
    sp->read_back.run = read_back;
    spool_read(sp->spool, &sp->read);
}

/* ---- time and turns ---- */

void spooling_turn(struct ingest *in)
{
    struct spooling *sp = in->spooling;
    if (sp == NULL) {
        return;
    }
    if (sp->ready == NULL) {
        group_close(sp);
    }
    drain(sp);
    handover_check(sp);
}

void spooling_tick(struct ingest *in)
{
    struct spooling *sp = in->spooling;
    if (sp == NULL) {
        return;
    }
    sp->write_failed = false;
    group_next(sp);
    if (writer_is_up(in->writer)) {
        sp->down_since_us = 0;
        return;
    }
    int64_t now_us = clock_mono_us();
    if (sp->down_since_us == 0) {
        sp->down_since_us = now_us;
    }
    bool direct = sp->mode != SPOOLING_ON && sp->mode != SPOOLING_RECALLING;
    if (direct && now_us - sp->down_since_us >= in->conf->spool_after_us && in->submitted > 0) {
        writer_recall(in->writer, true);
        spooling_move(sp, SPOOLING_RECALLING);
    }
}

void spooling_read_again(struct ingest *in, uint32_t messages)
{
    in->spooling->in_core += messages;
}

/* ---- life ---- */

/* A group with a record that is too large could never be written, and all of it would wait. */
static struct spool_limits limits_of(const struct conf *conf)
{
    int64_t largest = conf->packet_max_bytes > conf->http_body_max_bytes
                          ? conf->packet_max_bytes
                          : conf->http_body_max_bytes;
    int64_t most = conf->spool_max_bytes / 4 < RECORD_MAX ? conf->spool_max_bytes / 4 : RECORD_MAX;
    int64_t record = largest + RECORD_HEAD < most ? largest + RECORD_HEAD : most;
    int64_t segment = record + RECORD_HEAD;
    return (struct spool_limits){.segment_bytes = segment > SEGMENT_BYTES ? segment : SEGMENT_BYTES,
                                 .quota_bytes = conf->spool_max_bytes,
                                 .reserve_bytes = RESERVE_BYTES,
                                 .record_max = (uint32_t)record};
}

enum err spooling_new(struct ingest *in)
{
    if (in->conf->spool_dir[0] == '\0') {
        return ERR_OK;
    }
    struct spooling *sp = calloc(1, sizeof(*sp));
    if (sp == NULL) {
        return ERR_NOMEM;
    }
    const struct spool_limits limits = limits_of(in->conf);
    sp->in = in;
    sp->held_last = &sp->held;
    sp->live_last = &sp->live;
    sp->ready_last = &sp->ready;
    sp->refused_last = &sp->refused;
    spool_read_init(&sp->read, READ_BYTES);
    CHECK(getrandom(&sp->run, sizeof(sp->run), 0) == (ssize_t)sizeof(sp->run));
    sp->gate = gate_new(in, NULL);
    enum err e =
        sp->gate == NULL ? ERR_NOMEM : spool_open(in->conf->spool_dir, &limits, &sp->spool);
    in->spooling = sp;
    return e;
}

void spooling_start(struct ingest *in)
{
    struct spooling *sp = in->spooling;
    if (sp != NULL && spool_has_unread(sp->spool)) {
        sp->behind = true;
        spooling_move(sp, SPOOLING_DRAINING);
    }
}

void spooling_stop(struct ingest *in)
{
    if (in->spooling != NULL && in->spooling->spool != NULL) {
        spool_close(in->spooling->spool);
        in->spooling->spool = NULL;
    }
}

static void groups_end(struct group *g)
{
    while (g != NULL) {
        struct group *next = g->next;
        group_answer(g, ERR_CLOSED);
        group_free(g);
        g = next;
    }
}

void spooling_free(struct ingest *in)
{
    struct spooling *sp = in->spooling;
    if (sp == NULL) {
        return;
    }
    spooling_stop(in);
    while (sp->held != NULL) {
        struct core_batch *cb = sp->held;
        sp->held = cb->next_free;
        cb->next_free = in->free_batches;
        in->free_batches = cb;
    }
    group_close(sp);
    groups_end(sp->ready);
    groups_end(sp->refused);
    while (sp->live != NULL) {
        struct ingest_message *m = sp->live;
        sp->live = m->next_parked;
        if (m->ticket != NULL) {
            ticket_drop(m->ticket, ERR_CLOSED);
        }
        core_message_end(in, m);
    }
    gate_free(sp->gate);
    buf_fini(&sp->read.bytes);
    free(sp);
    in->spooling = NULL;
}
