#include "store/batch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/emit_json.h"
#include "base/intern.h"
#include "store/batch_internal.h"

enum {
    BATCH_BUF_LIMIT = 512 << 20,
    BATCH_COLUMNS = 9,
    OID_FLOAT8 = 701,
};

struct batch *batch_new(void)
{
    struct batch *b = calloc(1, sizeof(*b));
    if (b == NULL) {
        return NULL;
    }
    struct buf *bufs[] = {&b->rows,         &b->suspects,        &b->keys,
                          &b->messages,     &b->latest_device,   &b->latest_metric,
                          &b->latest_ts,    &b->latest_value,    &b->latest_extra,
                          &b->state_device, &b->state_watermark, &b->state_seen,
                          &b->state_rules};
    for (size_t i = 0; i < COUNT_OF(bufs); i++) {
        buf_init(bufs[i], BATCH_BUF_LIMIT);
    }
    arena_init(&b->arena, BATCH_BUF_LIMIT);
    b->last_op = &b->first_op;
    return b;
}

static void batch_drop_appended(struct batch *b)
{
    while (b->appended != NULL) {
        struct ops *next = b->appended->next;
        ops_free(b->appended);
        b->appended = next;
    }
    b->appended_bytes = 0;
}

static void batch_each_buf(struct batch *b, void (*fn)(struct buf *))
{
    struct buf *bufs[] = {&b->rows,         &b->suspects,        &b->keys,
                          &b->messages,     &b->latest_device,   &b->latest_metric,
                          &b->latest_ts,    &b->latest_value,    &b->latest_extra,
                          &b->state_device, &b->state_watermark, &b->state_seen,
                          &b->state_rules};
    for (size_t i = 0; i < COUNT_OF(bufs); i++) {
        fn(bufs[i]);
    }
}

void batch_free(struct batch *b)
{
    if (b != NULL) {
        batch_drop_appended(b);
        batch_each_buf(b, buf_fini);
        arena_fini(&b->arena);
        free(b);
    }
}

void batch_reset(struct batch *b)
{
    batch_drop_appended(b);
    batch_each_buf(b, buf_clear);
    arena_reset(&b->arena);
    b->err = ERR_OK;
    b->status = ERR_OK;
    b->latest_count = 0;
    b->state_count = 0;
    b->first_op = NULL;
    b->last_op = &b->first_op;
    b->op_count = 0;
    b->partitions = NULL;
    b->poisoned = 0;
}

static void batch_first_err(enum err *sum, enum err e)
{
    if (*sum == ERR_OK) {
        *sum = e;
    }
}

enum err batch_err(const struct batch *b)
{
    enum err e = b->err;
    const struct buf *bufs[] = {&b->rows,     &b->suspects,     &b->keys,
                                &b->messages, &b->latest_extra, &b->state_rules};
    for (size_t i = 0; i < COUNT_OF(bufs); i++) {
        batch_first_err(&e, buf_err(bufs[i]));
    }
    return e;
}

struct batch_key *batch_keys(const struct batch *b, uint32_t *ret_count)
{
    *ret_count = (uint32_t)(b->keys.len / sizeof(struct batch_key));
    return (struct batch_key *)(void *)b->keys.data;
}

struct batch_message *batch_message_list(const struct batch *b, uint32_t *ret_count)
{
    *ret_count = (uint32_t)(b->messages.len / sizeof(struct batch_message));
    return (struct batch_message *)(void *)b->messages.data;
}

uint32_t batch_rows(const struct batch *b)
{
    return (uint32_t)(b->keys.len / sizeof(struct batch_key));
}

size_t batch_bytes(const struct batch *b)
{
    return b->rows.len + b->suspects.len + b->arena.used_bytes + b->state_rules.len +
           b->appended_bytes;
}

uint32_t batch_messages(const struct batch *b)
{
    return (uint32_t)(b->messages.len / sizeof(struct batch_message));
}

bool batch_empty(const struct batch *b)
{
    return b->messages.len == 0 && b->keys.len == 0 && b->op_count == 0 && b->latest_count == 0 &&
           b->state_count == 0 && b->partitions == NULL;
}

void batch_message(struct batch *b, struct ticket *t, enum err status, bool counts)
{
    struct batch_message m = {
        .ticket = t, .status = status, .counts = counts, .first_row = batch_rows(b)};
    buf_put(&b->messages, &m, sizeof(m));
    counter_message_held(MESSAGE_IN_BATCH, counts);
}

static void put_column_time(struct buf *out, int64_t us)
{
    buf_put_u32(out, 8);
    buf_put_u64(out, (uint64_t)(us - PG_EPOCH_US));
}

static void put_column_int(struct buf *out, int32_t v)
{
    buf_put_u32(out, 4);
    buf_put_u32(out, (uint32_t)v);
}

/* value, values: the numeric ones. One goes into the scalar column, more into the array. */
static uint32_t put_numbers(struct buf *out, const struct sample *s)
{
    uint32_t count = 0;
    uint32_t last = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->values[i].kind == VALUE_NUMBER) {
            count++;
            last = i;
        }
    }
    if (count <= 1) {
        buf_put_u32(out, count == 0 ? UINT32_MAX : 8);
        if (count == 1) {
            buf_put_f64(out, s->values[last].number);
        }
        buf_put_u32(out, UINT32_MAX);
        return count;
    }
    buf_put_u32(out, UINT32_MAX);
    buf_put_u32(out, 20 + count * 12);
    const uint32_t head[] = {1, 0, OID_FLOAT8, count,
                             1}; /* dimensions, no nulls, type, length, lower bound */
    for (size_t i = 0; i < COUNT_OF(head); i++) {
        buf_put_u32(out, head[i]);
    }
    uint8_t *room = buf_room(out, (size_t)count * 12);
    for (uint32_t i = 0; room != NULL && i < s->count; i++) {
        if (s->values[i].kind == VALUE_NUMBER) {
            uint64_t bits;
            memcpy(&bits, &s->values[i].number, sizeof(bits));
            bits = __builtin_bswap64(bits);
            uint32_t len = __builtin_bswap32(8);
            memcpy(room, &len, sizeof(len));
            memcpy(room + 4, &bits, sizeof(bits));
            room += 12;
        }
    }
    if (room != NULL) {
        buf_grew(out, (size_t)count * 12);
    }
    return count;
}

/* extra: texts and booleans as one JSON object, in jsonb's binary form (version byte 1, then text).
 */
static uint32_t put_extra(struct buf *out, const struct batch_row *row)
{
    const struct sample *s = row->sample;
    size_t at = out->len;
    buf_put_u32(out, UINT32_MAX);
    uint32_t count = 0;
    struct emit_json j = emit_json_init(out);
    for (uint32_t i = 0; i < s->count; i++) {
        const struct sample_value *v = &s->values[i];
        if (v->kind == VALUE_NUMBER) {
            continue;
        }
        if (count++ == 0) {
            buf_put_u8(out, 1);
            emit_json_open(&j, '{');
        }
        emit_json_key_view(&j, intern_name(row->metrics, v->metric));
        if (v->kind == VALUE_BOOL) {
            emit_json_bool(&j, v->number != 0.0);
        } else {
            emit_json_view(&j, v->text);
        }
    }
    if (count > 0) {
        emit_json_close(&j, '}');
        buf_patch_u32(out, at, (uint32_t)(out->len - at - 4));
    }
    return count;
}

void batch_row_add(struct batch *b, const struct batch_row *row, bool suspect)
{
    struct buf *out = suspect ? &b->suspects : &b->rows;
    size_t at = out->len;
    buf_put_u16(out, BATCH_COLUMNS);
    put_column_time(out, row->ts_us);
    put_column_time(out, row->received_at_us);
    put_column_int(out, row->device_id);
    put_column_int(out, row->digest);
    put_column_int(out, row->flags);
    if (row->shape == 0) {
        buf_put_u32(out, UINT32_MAX);
    } else {
        put_column_int(out, row->shape);
    }
    uint32_t values = put_numbers(out, row->sample);
    values += put_extra(out, row);
    struct batch_key key = {.ts_us = row->ts_us,
                            .device_id = row->device_id,
                            .digest = row->digest,
                            .at = (uint32_t)at,
                            .len = (uint32_t)(out->len - at),
                            .values = values,
                            .suspect = suspect,
                            .end = BATCH_ROW_NEW};
    buf_put(&b->keys, &key, sizeof(key));
}

void batch_partition(struct batch *b, int64_t from_us, int64_t to_us, const char *name)
{
    struct batch_partition *p = arena_zalloc(&b->arena, sizeof(*p));
    if (p == NULL) {
        b->err = ERR_NOMEM;
        return;
    }
    p->from_us = from_us;
    p->to_us = to_us;
    (void)snprintf(p->name, sizeof(p->name), "%s", name);
    p->next = b->partitions;
    b->partitions = p;
}

/* ---- operations ---- */

static struct op_room op_room(struct batch *b)
{
    return (struct op_room){.arena = &b->arena, .err = &b->err};
}

struct batch_op *batch_op(struct batch *b, const char *sql)
{
    struct op_room room = op_room(b);
    struct batch_op *op = op_new(&room, sql);
    if (op != NULL) {
        *b->last_op = op;
        b->last_op = &op->next;
        b->op_count++;
    }
    return op;
}

void batch_op_int(struct batch *b, struct batch_op *op, int64_t v)
{
    struct op_room room = op_room(b);
    op_put_int(&room, op, v);
}

void batch_op_real(struct batch *b, struct batch_op *op, double v)
{
    struct op_room room = op_room(b);
    op_put_real(&room, op, v);
}

void batch_op_text(struct batch *b, struct batch_op *op, struct view v)
{
    struct op_room room = op_room(b);
    op_put_text(&room, op, v);
}

void batch_op_str(struct batch *b, struct batch_op *op, const char *s)
{
    struct op_room room = op_room(b);
    if (s == NULL) {
        op_put_null(&room, op);
    } else {
        op_put_text(&room, op, view_str(s));
    }
}

void batch_op_time(struct batch *b, struct batch_op *op, int64_t us)
{
    struct op_room room = op_room(b);
    op_put_time(&room, op, us);
}

void batch_op_bytes(struct batch *b, struct batch_op *op, struct view v)
{
    struct op_room room = op_room(b);
    op_put_bytes(&room, op, v);
}

void batch_append(struct batch *b, struct ops *o, bool spooling)
{
    uint32_t count = 0;
    const struct ops_waiter *waiters = ops_waiters(o, &count);
    for (uint32_t i = 0; i < count; i++) {
        bool counts = (waiters[i].flags & OPS_COUNTS) != 0;
        counter_message_held(MESSAGE_IN_TOPICS, -(int64_t)counts);
        if (spooling && (waiters[i].flags & OPS_IMPATIENT) != 0) {
            ticket_drop(waiters[i].ticket, ERR_OK);
        } else {
            batch_message(b, waiters[i].ticket, ERR_OK, counts);
        }
    }
    buf_clear(&o->tickets);
    batch_first_err(&b->err, ops_err(o));
    if (o->first != NULL) {
        *b->last_op = o->first;
        b->last_op = o->last;
        b->op_count += o->count;
    }
    b->appended_bytes += ops_bytes(o);
    o->next = b->appended;
    b->appended = o;
}

/* ---- latest values and state: elements of binary arrays ---- */

static void element_int(struct buf *out, int32_t v)
{
    put_column_int(out, v);
}

static void element_time(struct buf *out, int64_t us)
{
    if (us == CLOCK_NONE) {
        buf_put_u32(out, UINT32_MAX);
    } else {
        put_column_time(out, us);
    }
}

static void element_bytes(struct buf *out, struct view v)
{
    if (v.data == NULL) {
        buf_put_u32(out, UINT32_MAX);
        return;
    }
    buf_put_u32(out, (uint32_t)v.len);
    buf_put_view(out, v);
}

void batch_latest(struct batch *b, int32_t device_id, int32_t metric, int64_t ts_us, double value,
                  struct view extra)
{
    element_int(&b->latest_device, device_id);
    element_int(&b->latest_metric, metric);
    element_time(&b->latest_ts, ts_us);
    if (isnan(value)) {
        buf_put_u32(&b->latest_value, UINT32_MAX);
    } else {
        buf_put_u32(&b->latest_value, 8);
        buf_put_f64(&b->latest_value, value);
    }
    element_bytes(&b->latest_extra, extra);
    b->latest_count++;
}

void batch_state(struct batch *b, int32_t device_id, int64_t watermark_us, int64_t last_seen_us,
                 struct view rule_state)
{
    element_int(&b->state_device, device_id);
    element_time(&b->state_watermark, watermark_us);
    element_time(&b->state_seen, last_seen_us);
    element_bytes(&b->state_rules, rule_state);
    b->state_count++;
}

/* ---- afterwards ---- */

void batch_on_done(struct batch *b, batch_done_fn done, void *arg)
{
    b->done = done;
    b->arg = arg;
}

struct ticket *batch_take_ticket(struct batch *b, uint32_t at)
{
    uint32_t count = 0;
    struct batch_message *messages = batch_message_list(b, &count);
    CHECK(at < count);
    struct ticket *t = messages[at].ticket;
    messages[at].ticket = NULL;
    return t;
}

uint32_t batch_poisoned(const struct batch *b)
{
    return b->poisoned;
}

enum err batch_status(const struct batch *b)
{
    return b->status;
}

int32_t batch_poisoned_device(const struct batch *b, uint32_t at)
{
    uint32_t count = 0;
    const struct batch_key *keys = batch_keys(b, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (keys[i].end == BATCH_ROW_POISON && at-- == 0) {
            return keys[i].device_id;
        }
    }
    CHECK(false);
}
