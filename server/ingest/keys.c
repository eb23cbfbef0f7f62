#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "base/clock.h"
#include "ingest/internal.h"

/*
 * Requests with an Idempotency-Key: sent again, they are the same command, or the same readings.
 *
 * Happy path: the key is looked up in the database; it is new, so what it stands for goes into the
 * open batch together with the key, and the key is remembered until it is committed.
 *   A command is found by its key, and answered.
 *   Readings get the server's time of their first sending; what of them has no time of its own is
 *   then recognised like everything else, by device, time and content.
 *
 * A key that is remembered but not found is not committed yet: it is looked up again when it is. An
 * answer before that would stand for something that a crash can take back.
 */
struct key_job {
    struct store_job job;
    struct mail back;
    struct ingest *in;
    struct api_op *op;
    int64_t first_us; /* TELEMETRY: the time of the first sending */
    enum err err;
    bool found;
};

struct known_key {
    struct list link; /* oldest first */
    int64_t since_us; /* monotonic */
    uint64_t batch;   /* it is in */
    size_t len;
    uint8_t bytes[]; /* the key in the map */
};

static int64_t content_of(const struct api_op *op)
{
    return (int64_t)XXH3_64bits(op->body.data, op->body.len);
}

static struct view key_of(const struct api_op *op, struct buf *scratch)
{
    buf_put_u8(scratch, (uint8_t)op->kind);
    buf_put(scratch, &op->device_id, sizeof(op->device_id));
    buf_put_str(scratch, op->idempotency_key);
    return buf_view(scratch);
}

/* ---- what the database knows, on a store thread ---- */

static enum err command_find(struct key_job *k, struct db *db)
{
    struct api_op *op = k->op;
    struct db_params p = {0};
    db_int(&p, op->device_id);
    db_text(&p, op->idempotency_key);
    db_text(&p, op->method);
    db_text(&p, op->params);
    struct db_result *r = NULL;
    enum err e = db_query(db,
                          "SELECT id, method = $3 AND params = $4::jsonb, state FROM commands"
                          " WHERE device_id = $1 AND idempotency_key = $2",
                          &p, &r);
    if (e == ERR_OK && db_rows(r) == 1) {
        enum command_state state = COMMAND_QUEUED;
        (void)command_state_parse(db_get_view(r, 0, 2), &state);
        k->found = true;
        op->ret_id = db_get_int(r, 0, 0);
        op->ret_state = command_state_words(state);
        op->status = db_get_bool(r, 0, 1) ? ERR_EXISTS : ERR_CONFLICT;
    }
    db_result_free(r);
    return e;
}

static enum err readings_find(struct key_job *k, struct db *db)
{
    struct db_params p = {0};
    db_int(&p, k->op->device_id);
    db_text(&p, k->op->idempotency_key);
    db_int(&p, content_of(k->op));
    struct db_result *r = NULL;
    enum err e = db_query(db,
                          "SELECT (extract(epoch FROM received_at) * 1000000)::bigint, content = $3"
                          " FROM telemetry_keys WHERE device_id = $1 AND key = $2",
                          &p, &r);
    if (e == ERR_OK && db_rows(r) == 1) {
        k->found = true;
        k->first_us = db_get_int(r, 0, 0);
        k->op->status = db_get_bool(r, 0, 1) ? ERR_OK : ERR_CONFLICT;
    }
    db_result_free(r);
    return e;
}

static void key_looked_up(struct mail *mail);

static void key_work(struct store_job *job, struct db *db)
{
    struct key_job *k = CONTAINER_OF(job, struct key_job, job);
    k->err = db == NULL                             ? ERR_DB_DOWN
             : k->op->kind == API_OP_COMMAND_CREATE ? command_find(k, db)
                                                    : readings_find(k, db);
    k->back.run = key_looked_up;
    loop_post(k->in->loop, &k->back);
}

void core_op_keyed(struct ingest *in, struct api_op *op)
{
    struct key_job *k = calloc(1, sizeof(*k));
    if (k == NULL) {
        core_op_end(op, ERR_NOMEM, "");
        return;
    }
    k->in = in;
    k->op = op;
    store_run(in->store, &k->job, key_work);
}

/* ---- and what follows from it ---- */

static void key_remember(struct ingest *in, struct view key)
{
    struct known_key *known = malloc(sizeof(*known) + key.len);
    void *old = NULL;
    if (known == NULL) {
        return;
    }
    *known = (struct known_key){
        .since_us = clock_mono_us(), .batch = core_batch_number(in), .len = key.len};
    memcpy(known->bytes, key.data, key.len);
    if (map_put(&in->keys, key, known, &old) != ERR_OK) {
        free(known);
        return;
    }
    list_push_back(&in->keys_by_age, &known->link);
}

void core_keys_expire(struct ingest *in)
{
    int64_t before_us = clock_mono_us() - CLOCK_MINUTE_US;
    while (!list_empty(&in->keys_by_age)) {
        struct known_key *known = CONTAINER_OF(in->keys_by_age.next, struct known_key, link);
        bool committed = known->batch <= in->committed_batch && known->since_us < before_us;
        if (!committed && !in->stopping) {
            return;
        }
        list_remove(&known->link);
        (void)map_remove(&in->keys, view_of(known->bytes, known->len));
        free(known);
    }
}

/* False: they are not of a form that could be taken, and the request is answered. */
static bool readings_begin(struct ingest *in, struct api_op *op)
{
    struct ingest_message *m = core_post_new(in, op);
    if (m == NULL) {
        return false;
    }
    struct batch *b = core_batch(in);
    struct batch_op *row =
        batch_op(b, "INSERT INTO telemetry_keys (device_id, key, received_at, content)"
                    " VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING");
    batch_op_int(b, row, op->device_id);
    batch_op_str(b, row, op->idempotency_key);
    batch_op_time(b, row, m->received_at_us);
    batch_op_int(b, row, content_of(op));
    if (spooling_is_on(in)) {
        /* It would go into the spool and be acknowledged from there, perhaps before its key is
         * committed. The key first, then the readings as if they came again. */
        core_post_drop(m);
        core_after(in, AFTER_OP_AGAIN)->op = op;
        return true;
    }
    m->timed = true;
    core_post_take(in, m);
    return true;
}

static void key_is_new(struct ingest *in, struct api_op *op, struct view key)
{
    bool begun =
        op->kind == API_OP_COMMAND_CREATE ? core_op_create(in, op) : readings_begin(in, op);
    if (begun) {
        key_remember(in, key);
    }
}

static void key_is_known(struct ingest *in, struct api_op *op, int64_t first_us)
{
    if (op->kind == API_OP_COMMAND_CREATE || op->status != ERR_OK) {
        core_op_end(op, op->status, "");
        return;
    }
    struct ingest_message *m = core_post_new(in, op);
    if (m != NULL) {
        m->timed = true;
        m->received_at_us = first_us;
        core_post_take(in, m);
    }
}

static void key_looked_up(struct mail *mail)
{
    struct key_job k = *CONTAINER_OF(mail, struct key_job, back);
    free(CONTAINER_OF(mail, struct key_job, back));
    if (k.err != ERR_OK) {
        core_op_end(k.op, k.err, "");
        return;
    }
    if (k.found) {
        key_is_known(k.in, k.op, k.first_us);
        return;
    }
    struct buf scratch;
    buf_init(&scratch, 1 << 16);
    struct view key = key_of(k.op, &scratch);
    if (map_get(&k.in->keys, key) != NULL) {
        core_after(k.in, AFTER_OP_AGAIN)->op = k.op;
    } else {
        key_is_new(k.in, k.op, key);
    }
    buf_fini(&scratch);
}
