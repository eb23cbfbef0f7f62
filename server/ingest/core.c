#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/log.h"
#include "base/patience.h"
#include "ingest/internal.h"

/*
 * The core's turn: mail brings blocks of messages, answers and requests, all of which write into
 * the open batch. At the end of the turn the batch goes to the writer if the writer is idle; while
 * it is busy the next batch fills. So batches grow with the load by themselves and an idle server
 * commits at once.
 */
enum {
    CORE_TICK_MS = 100,
    CORE_SLOW_TICK_MS = 10000,
    CORE_AFTER_LIMIT = 256 << 20,
    CORE_SUBMITTED_MAX = 2
};

/* ---- batches ---- */

static struct core_batch *core_batch_new(struct ingest *in)
{
    struct core_batch *cb = in->free_batches;
    if (cb != NULL) {
        in->free_batches = cb->next_free;
        batch_reset(cb->batch);
        arena_reset(&cb->arena);
    } else {
        cb = calloc(1, sizeof(*cb));
        CHECK(cb != NULL);
        cb->batch = batch_new();
        CHECK(cb->batch != NULL); /* without a batch nothing can go on; a restart loses nothing */
        arena_init(&cb->arena, CORE_AFTER_LIMIT);
        buf_init(&cb->raw, CORE_AFTER_LIMIT);
    }
    cb->in = in;
    cb->first = NULL;
    cb->last = &cb->first;
    cb->messages = 0;
    cb->appended = 0;
    cb->bytes = 0;
    cb->automated = 0;
    cb->spooled = 0;
    cb->last_publish = 0;
    buf_clear(&cb->raw);
    cb->number = in->next_batch++;
    return cb;
}

static struct core_batch *core_open(struct ingest *in)
{
    if (in->open == NULL) {
        in->open = core_batch_new(in);
    }
    return in->open;
}

struct batch *core_batch(struct ingest *in)
{
    return core_open(in)->batch;
}

uint32_t core_batch_messages(const struct core_batch *cb)
{
    return batch_messages(cb->batch) - cb->appended;
}

void core_append(struct ingest *in, struct ops *o)
{
    struct core_batch *cb = core_open(in);
    uint32_t before = batch_messages(cb->batch);
    batch_append(cb->batch, o, spooling_is_on(in));
    cb->appended += batch_messages(cb->batch) - before;
}

struct commit_mail {
    struct mail mail;
    struct ingest *in;
    struct ops *ops;
};

static void commit_run(struct mail *mail)
{
    struct commit_mail *m = CONTAINER_OF(mail, struct commit_mail, mail);
    core_append(m->in, m->ops);
    free(m);
}

void ingest_commit(struct ingest *in, struct ops *o)
{
    struct commit_mail *m = patient_calloc(sizeof(*m));
    *m = (struct commit_mail){.mail = {.run = commit_run}, .in = in, .ops = o};
    loop_post(in->loop, &m->mail);
}

void core_batch_touch(struct ingest *in, struct core_device *cd)
{
    cd->last_batch = core_open(in)->number;
}

uint64_t core_batch_number(struct ingest *in)
{
    return core_open(in)->number;
}

struct after *core_after(struct ingest *in, enum after_kind kind)
{
    struct core_batch *cb = core_open(in);
    struct after *a = arena_zalloc(&cb->arena, sizeof(*a));
    CHECK(a != NULL);
    a->kind = kind;
    *cb->last = a;
    cb->last = &a->next;
    return a;
}

void core_event(struct ingest *in, const char *kind, const char *level, int32_t device_id,
                int64_t ts_us, struct view json, bool stored)
{
    struct after *a = core_after(in, AFTER_EVENT);
    struct arena *arena = &core_open(in)->arena;
    a->event = (struct ingest_event){.id = stored ? in->next_event_id++ : 0,
                                     .ts_us = ts_us,
                                     .kind = arena_str(arena, view_str(kind)),
                                     .level = level,
                                     .device_id = device_id,
                                     .json = arena_view(arena, json)};
    CHECK(a->event.kind != NULL && a->event.json.data != NULL);
    if (!stored) {
        return;
    }
    struct batch *b = core_batch(in);
    struct batch_op *op = batch_op(b, "INSERT INTO events (id, ts, kind, device_id, body) VALUES "
                                      "($1, $2, $3, nullif($4, 0), $5::jsonb)");
    batch_op_int(b, op, a->event.id);
    batch_op_time(b, op, ts_us);
    batch_op_str(b, op, kind);
    batch_op_int(b, op, device_id);
    batch_op_text(b, op, json);
}

void core_message_end(struct ingest *in, struct ingest_message *m)
{
    struct ingest_block *b = m->block;
    counter_message_held(MESSAGE_IN_CORE, -(int64_t)m->counts);
    core_open(in)->bytes += m->bytes;
    if (m->spooled) {
        core_open(in)->spooled++; /* what became of it is in this batch */
    }
    CHECK(b->holds > 0);
    if (--b->holds > 0) {
        return;
    }
    for (struct ingest_message *at = b->first; at != NULL; at = at->next) {
        device_drop(at->device);
        device_drop(at->gateway);
    }
    arena_fini(&b->arena);
    free(b);
}

void core_in_flight_add(struct ingest *in, const struct ingest_message *m)
{
    counter_message_held(MESSAGE_IN_CORE, m->counts);
    atomic_fetch_add_explicit(&in->in_flight, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&in->in_flight_bytes, (int64_t)m->bytes, memory_order_relaxed);
}

bool core_in_flight_full(const struct ingest *in)
{
    return atomic_load(&in->in_flight) >= in->conf->messages_in_flight_max ||
           atomic_load(&in->in_flight_bytes) >= in->conf->in_flight_max_bytes;
}

bool core_in_flight_half(const struct ingest *in)
{
    return atomic_load(&in->in_flight) >= in->conf->messages_in_flight_max / 2 ||
           atomic_load(&in->in_flight_bytes) >= in->conf->in_flight_max_bytes / 2;
}

/* Calls those whom a gate had no room or no memory for, when there is enough to make it worth. */
static void core_feed(struct ingest *in)
{
    bool room = atomic_load(&in->in_flight) < in->conf->messages_in_flight_max * 4 / 5 &&
                atomic_load(&in->in_flight_bytes) < in->conf->in_flight_max_bytes * 4 / 5;
    if (room && atomic_exchange(&in->starved, false)) {
        in->hooks.resume(in->hooks.arg);
    }
}

void core_give_back(struct ingest *in, uint32_t messages, size_t bytes)
{
    atomic_fetch_sub(&in->in_flight, messages);
    atomic_fetch_sub(&in->in_flight_bytes, (int64_t)bytes);
    core_feed(in);
}

static void core_run_after(struct ingest *in, struct after *a, enum err status)
{
    switch (a->kind) {
    case AFTER_EVENT:
        if (status == ERR_OK) {
            in->hooks.event(in->hooks.arg, &a->event);
        }
        break;
    case AFTER_SEND:
        if (status == ERR_OK) {
            command_book_send(in->book, a->id);
        }
        break;
    case AFTER_TWIN:
        if (status == ERR_OK && !in->stopping) {
            core_twin_told(in, a->event.device_id, a->event.json);
        }
        break;
    case AFTER_OP:
        a->op->status = status == ERR_OK ? a->op->status : ERR_DB_DOWN;
        a->op->done(a->op);
        break;
    case AFTER_OP_AGAIN:
        if (status == ERR_OK && !in->stopping) {
            core_op_keyed(in, a->op);
            break;
        }
        a->op->status = ERR_DB_DOWN;
        a->op->done(a->op);
        break;
    }
}

static void core_batch_committed(struct mail *m)
{
    struct core_batch *cb = CONTAINER_OF(m, struct core_batch, mail);
    struct ingest *in = cb->in;
    enum err status = batch_status(cb->batch);
    in->submitted--;
    if (status == ERR_SKIP) {
        spooling_recalled(in, cb);
        return;
    }
    in->committed_batch = cb->number;
    core_give_back(in, cb->messages, cb->bytes);
    for (struct after *a = cb->first; a != NULL; a = a->next) {
        core_run_after(in, a, status);
    }
    if (status != ERR_OK && !in->stopping) {
        /* Memory holds effects that the database does not. Starting again from the database is the
         * one safe way. */
        LOG(LOG_ERROR, "batch_given_up", LOG_S("error", err_words(status)),
            LOG_S("next", "the server stops"));
        in->hooks.usurped(in->hooks.arg);
    }
    for (uint32_t i = 0; i < batch_poisoned(cb->batch); i++) {
        struct core_device *cd = core_device(in, batch_poisoned_device(cb->batch, i), false);
        if (cd != NULL) {
            core_device_reload(in, cd);
        }
    }
    spooling_committed(in, cb);
    cb->next_free = in->free_batches;
    in->free_batches = cb;
    core_device_quiet(in);
}

/* On the writer's thread. */
static void core_batch_done(void *arg, struct batch *b)
{
    (void)b;
    struct core_batch *cb = arg;
    cb->mail.run = core_batch_committed;
    loop_post(cb->in->loop, &cb->mail);
}

/* Names and shapes that the database does not know yet go with the batch that may use them. */
static void core_save_names(struct ingest *in, struct batch *b)
{
    int32_t count = intern_count(in->metrics);
    while (in->metrics_saved < count) {
        struct view name = intern_name(in->metrics, ++in->metrics_saved);
        if (name.len > 0) {
            struct batch_op *op = batch_op(
                b, "INSERT INTO metrics (id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING");
            batch_op_int(b, op, in->metrics_saved);
            batch_op_text(b, op, name);
        }
    }
}

void core_batch_arm(struct core_batch *cb)
{
    core_save_names(cb->in, cb->batch);
    batch_on_done(cb->batch, core_batch_done, cb);
    counter_balance_publish();
}

static bool core_batch_full(const struct ingest *in, const struct batch *b)
{
    return batch_rows(b) >= in->conf->batch_rows_max ||
           (int64_t)batch_bytes(b) >= in->conf->batch_bytes_max_bytes;
}

void core_ship(struct ingest *in)
{
    core_flush_due(in, false);
    if (in->open == NULL) {
        return;
    }
    struct core_batch *cb = in->open;
    if (batch_empty(cb->batch) && cb->first == NULL) {
        return;
    }
    in->open = NULL;
    in->submitted++;
    cb->messages = core_batch_messages(cb);
    core_batch_arm(cb);
    writer_submit(in->writer, cb->batch);
}

static void core_turn(void *arg)
{
    struct ingest *in = arg;
    in->tick_wall_us = clock_wall_us();
    spooling_turn(in);
    core_order_turn(in);
    bool next = in->submitted == 0 || (in->submitted < CORE_SUBMITTED_MAX && in->open != NULL &&
                                       core_batch_full(in, in->open->batch));
    if (next && !spooling_holds_batches(in)) {
        core_ship(in);
    }
    counter_balance_publish();
}

/* ---- life ---- */

static void core_tick(void *arg)
{
    struct ingest *in = arg;
    command_book_tick(in->book, clock_mono_us());
    core_timers_tick(in);
    spooling_tick(in);
    core_feed(in);
}

static void core_slow_tick(void *arg)
{
    core_maintain(arg);
    core_keys_expire(arg);
}

enum err ingest_new(const struct conf *conf, struct catalog *catalog, struct store *store,
                    struct writer *writer, const struct ingest_hooks *hooks,
                    struct ingest **ret_ingest)
{
    struct ingest *in = calloc(1, sizeof(*in));
    if (in == NULL) {
        return ERR_NOMEM;
    }
    in->conf = conf;
    in->catalog = catalog;
    in->store = store;
    in->writer = writer;
    in->metrics = catalog_metrics(catalog);
    in->hooks = *hooks;
    in->next_batch = 1;
    in->next_shape = 1;
    in->tick_wall_us = clock_wall_us();
    list_init(&in->dirty);
    list_init(&in->draining);
    core_order_init(in);
    map_init(&in->children);
    map_init(&in->shapes);
    map_init(&in->keys);
    list_init(&in->keys_by_age);
    map_init(&in->online);
    lock_init(&in->online_lock);
    in->loop = loop_new("sb-core");
    in->book = core_book_new(in);
    in->policy = command_policy_new(conf->automation_per_minute);
    if (in->loop == NULL || in->book == NULL || in->policy == NULL) {
        ingest_free(in);
        return ERR_NOMEM;
    }
    loop_on_turn(in->loop, core_turn, in);
    enum err e = spooling_new(in);
    if (e != ERR_OK) {
        ingest_free(in);
        return e;
    }
    *ret_ingest = in;
    return ERR_OK;
}

static enum err core_restore_shapes(struct ingest *in, struct db *db)
{
    struct db_result *r = NULL;
    enum err e =
        db_query(db, "SELECT id, array_to_string(metrics, ',') FROM shapes ORDER BY id", NULL, &r);
    for (int i = 0; e == ERR_OK && i < db_rows(r); i++) {
        struct buf key;
        buf_init(&key, 1 << 20);
        const char *at = db_get(r, i, 1);
        while (*at != '\0') {
            char *end = NULL;
            int32_t metric = (int32_t)strtoll(at, &end, 10);
            buf_put(&key, &metric, sizeof(metric));
            at = *end == ',' ? end + 1 : end;
        }
        void *old = NULL;
        int32_t id = (int32_t)db_get_int(r, i, 0);
        e = buf_err(&key) != ERR_OK
                ? buf_err(&key)
                : map_put(&in->shapes, buf_view(&key), (void *)(intptr_t)id, &old);
        in->next_shape = id + 1;
        buf_fini(&key);
    }
    db_result_free(r);
    return e;
}

/* The catalog was loaded before this server took the lane over. A last batch of the server before
 * may have named metrics since: they are learned now, or, when their numbers were given to other
 * names meanwhile, the start fails and the next one finds them. */
static enum err core_restore_names(struct ingest *in, struct db *db)
{
    struct db_result *r = NULL;
    enum err e = db_query(db, "SELECT id, name FROM metrics ORDER BY id", NULL, &r);
    for (int i = 0; e == ERR_OK && i < db_rows(r); i++) {
        int32_t id = (int32_t)db_get_int(r, i, 0);
        struct view name = db_get_view(r, i, 1);
        if (!view_eq(intern_name(in->metrics, id), name)) {
            e = intern_restore(in->metrics, id, name);
        }
        if (e == ERR_EXISTS) {
            LOG(LOG_ERROR, "metric_number_taken", LOG_V("name", name),
                LOG_S("next", "another server wrote until now; start again"));
            e = ERR_CONFLICT;
        }
    }
    db_result_free(r);
    return e;
}

enum err ingest_restore(struct ingest *in, struct db *db)
{
    struct db_result *r = NULL;
    enum err e = db_query(db,
                          "SELECT (SELECT coalesce(max(id), 0) FROM alerts), (SELECT "
                          "coalesce(max(id), 0) FROM events),"
                          " (SELECT coalesce(max(id), 0) FROM work_orders), (SELECT "
                          "coalesce(max(id), 0) FROM metrics)",
                          NULL, &r);
    if (e != ERR_OK) {
        return e;
    }
    in->next_alert_id = db_get_int(r, 0, 0) + 1;
    in->next_event_id = db_get_int(r, 0, 1) + 1;
    atomic_store(&in->next_work_order_id, db_get_int(r, 0, 2) + 1);
    in->metrics_saved = (int32_t)db_get_int(r, 0, 3);
    db_result_free(r);
    e = core_restore_names(in, db);
    if (e == ERR_OK) {
        e = core_restore_shapes(in, db);
    }
    if (e == ERR_OK) {
        e = core_partitions_restore(in, db);
    }
    if (e == ERR_OK) {
        e = core_timers_restore(in, db);
    }
    return e == ERR_OK ? command_book_restore(in->book, db) : e;
}

enum err ingest_start(struct ingest *in)
{
    in->tick = loop_timer_start(in->loop, CORE_TICK_MS, core_tick, in);
    in->slow_tick = loop_timer_start(in->loop, CORE_SLOW_TICK_MS, core_slow_tick, in);
    if (in->tick == NULL || in->slow_tick == NULL) {
        return ERR_NOMEM;
    }
    spooling_start(in);
    return loop_start(in->loop);
}

static void core_stop(struct mail *m)
{
    struct ingest *in = CONTAINER_OF(m, struct ingest, stop);
    in->stopping = true;
    loop_timer_stop(in->tick);
    loop_timer_stop(in->slow_tick);
    core_order_stop(in);
    core_timers_stop(in);
    if (!spooling_holds_batches(in)) {
        core_flush_due(in, true);
        core_ship(in);
    }
}

void ingest_stop(struct ingest *in)
{
    in->stop.run = core_stop;
    loop_post(in->loop, &in->stop);
    loop_stop(in->loop);
    loop_join(in->loop);
    /* The last batches are with the writer; what is to be done after them runs in loop_free(). */
    writer_stop(in->writer);
    spooling_stop(in);
}

/* A batch that nobody will commit: whoever still waits for it is told. */
static void core_batch_give_up(struct core_batch *cb)
{
    for (uint32_t i = 0; i < batch_messages(cb->batch); i++) {
        struct ticket *t = batch_take_ticket(cb->batch, i);
        if (t != NULL) {
            ticket_drop(t, ERR_CLOSED);
        }
    }
}

void ingest_free(struct ingest *in)
{
    if (in == NULL) {
        return;
    }
    loop_free(in->loop);
    spooling_free(in);
    core_devices_free(in);
    command_book_free(in->book);
    command_policy_free(in->policy);
    if (in->open != NULL) {
        in->open->next_free = in->free_batches;
        in->free_batches = in->open;
    }
    while (in->free_batches != NULL) {
        struct core_batch *cb = in->free_batches;
        in->free_batches = cb->next_free;
        core_batch_give_up(cb);
        batch_free(cb->batch);
        arena_fini(&cb->arena);
        buf_fini(&cb->raw);
        free(cb);
    }
    core_order_fini(in);
    core_timers_fini(in);
    map_fini(&in->children);
    map_fini(&in->shapes);
    in->stopping = true;
    core_keys_expire(in);
    map_fini(&in->keys);
    map_fini(&in->online);
    lock_fini(&in->online_lock);
    free(in->partitions);
    free(in);
}

bool ingest_is_ready(struct ingest *in, char *ret_why, size_t size)
{
    const char *why = !writer_is_up(in->writer) ? "PostgreSQL is not available"
                      : !writer_is_safe(in->writer)
                          ? "fsync or full_page_writes is off in PostgreSQL: it could lose a commit"
                          : NULL;
    (void)snprintf(ret_why, size, "%s", why == NULL ? "" : why);
    return why == NULL;
}
