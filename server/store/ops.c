#include "store/ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/patience.h"
#include "store/batch_internal.h"

enum { OPS_LIMIT = 512 << 20 };

/* ---- parameters of one statement ---- */

static void op_put(const struct op_room *room, struct batch_op *op, const void *value, size_t len,
                   int format)
{
    if (op == NULL) {
        return;
    }
    CHECK(op->count < BATCH_OP_PARAMS_MAX);
    if (value == NULL && len > 0) {
        *room->err = ERR_NOMEM;
    }
    op->values[op->count] = value;
    op->lengths[op->count] = (int)len;
    op->formats[op->count] = format;
    op->count++;
}

static void op_put_copy(const struct op_room *room, struct batch_op *op, struct view v, int format)
{
    const char *copy = arena_str(room->arena, v);
    if (copy == NULL) {
        *room->err = ERR_NOMEM;
    }
    op_put(room, op, copy, v.len, format);
}

struct batch_op *op_new(const struct op_room *room, const char *sql)
{
    struct batch_op *op = arena_zalloc(room->arena, sizeof(*op));
    if (op == NULL) {
        *room->err = ERR_NOMEM;
        return NULL;
    }
    op->sql = sql;
    return op;
}

void op_put_int(const struct op_room *room, struct batch_op *op, int64_t v)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "%lld", (long long)v);
    op_put_copy(room, op, view_of(text, (size_t)len), 0);
}

void op_put_real(const struct op_room *room, struct batch_op *op, double v)
{
    if (isnan(v)) {
        op_put_null(room, op);
        return;
    }
    char text[40];
    int len = snprintf(text, sizeof(text), "%.17g", v);
    op_put_copy(room, op, view_of(text, (size_t)len), 0);
}

void op_put_null(const struct op_room *room, struct batch_op *op)
{
    op_put(room, op, NULL, 0, 0);
}

void op_put_text(const struct op_room *room, struct batch_op *op, struct view v)
{
    op_put_copy(room, op, v, 0);
}

void op_put_bytes(const struct op_room *room, struct batch_op *op, struct view v)
{
    op_put_copy(room, op, v, 1);
}

void op_put_time(const struct op_room *room, struct batch_op *op, int64_t us)
{
    if (us == CLOCK_NONE) {
        op_put_null(room, op);
        return;
    }
    char text[CLOCK_TEXT_SIZE];
    op_put_copy(room, op, view_str(clock_format(us, text)), 0);
}

/* ---- arrays, in PostgreSQL's binary form ---- */

struct ops_array {
    struct ops_array *next;
    struct buf bytes;
    uint32_t count;
    enum ops_type type;
};

enum { ARRAY_COUNT_AT = 12 };

struct ops_array *ops_array(struct ops *o, enum ops_type type)
{
    static const uint32_t oids[] = {[OPS_BOOL] = 16, [OPS_INT4] = 23,  [OPS_INT8] = 20,
                                    [OPS_TEXT] = 25, [OPS_BYTEA] = 17, [OPS_TIME] = 1184};
    struct ops_array *a = arena_zalloc(&o->arena, sizeof(*a));
    CHECK(a != NULL);
    a->type = type;
    a->next = o->arrays;
    o->arrays = a;
    buf_init(&a->bytes, OPS_LIMIT);
    a->bytes.patient = true;
    /* dimensions, nulls (PostgreSQL looks for itself), type, length, lower bound */
    const uint32_t head[] = {1, 0, oids[type], 0, 1};
    for (size_t i = 0; i < COUNT_OF(head); i++) {
        buf_put_u32(&a->bytes, head[i]);
    }
    return a;
}

uint32_t ops_array_count(const struct ops_array *a)
{
    return a->count;
}

void ops_array_int(struct ops_array *a, int64_t v)
{
    a->count++;
    if (a->type == OPS_TIME && v == CLOCK_NONE) {
        buf_put_u32(&a->bytes, UINT32_MAX);
        return;
    }
    switch (a->type) {
    case OPS_BOOL:
        buf_put_u32(&a->bytes, 1);
        buf_put_u8(&a->bytes, v != 0);
        return;
    case OPS_INT4:
        buf_put_u32(&a->bytes, 4);
        buf_put_u32(&a->bytes, (uint32_t)v);
        return;
    case OPS_INT8:
    case OPS_TIME:
        buf_put_u32(&a->bytes, 8);
        buf_put_u64(&a->bytes, (uint64_t)(a->type == OPS_TIME ? v - PG_EPOCH_US : v));
        return;
    case OPS_TEXT:
    case OPS_BYTEA:
        break;
    }
    CHECK(false);
}

void ops_array_bytes(struct ops_array *a, struct view v)
{
    CHECK(a->type == OPS_TEXT || a->type == OPS_BYTEA);
    a->count++;
    buf_put_u32(&a->bytes, (uint32_t)v.len);
    buf_put_view(&a->bytes, v);
}

/* ---- the whole ---- */

struct ops *ops_new(void)
{
    struct ops *o = patient_calloc(sizeof(*o));
    o->last = &o->first;
    arena_init(&o->arena, OPS_LIMIT);
    o->arena.patient = true;
    buf_init(&o->tickets, OPS_LIMIT);
    o->tickets.patient = true;
    return o;
}

struct ops_waiter *ops_waiters(const struct ops *o, uint32_t *ret_count)
{
    *ret_count = (uint32_t)(o->tickets.len / sizeof(struct ops_waiter));
    return (struct ops_waiter *)(void *)o->tickets.data;
}

void ops_free(struct ops *o)
{
    if (o == NULL) {
        return;
    }
    uint32_t count = 0;
    const struct ops_waiter *waiters = ops_waiters(o, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (waiters[i].ticket != NULL) {
            ticket_drop(waiters[i].ticket, ERR_CLOSED);
        }
    }
    for (struct ops_array *a = o->arrays; a != NULL; a = a->next) {
        buf_fini(&a->bytes);
    }
    buf_fini(&o->tickets);
    arena_fini(&o->arena);
    free(o);
}

enum err ops_err(const struct ops *o)
{
    enum err e = o->err == ERR_OK ? buf_err(&o->tickets) : o->err;
    for (const struct ops_array *a = o->arrays; a != NULL && e == ERR_OK; a = a->next) {
        e = buf_err(&a->bytes);
    }
    return e;
}

size_t ops_bytes(const struct ops *o)
{
    size_t sum = o->arena.used_bytes;
    for (const struct ops_array *a = o->arrays; a != NULL; a = a->next) {
        sum += a->bytes.len;
    }
    return sum;
}

static struct op_room room_of(struct ops *o)
{
    return (struct op_room){.arena = &o->arena, .err = &o->err};
}

void ops_add(struct ops *o, const char *sql)
{
    struct op_room room = room_of(o);
    o->adding = op_new(&room, sql);
    if (o->adding != NULL) {
        *o->last = o->adding;
        o->last = &o->adding->next;
        o->count++;
    }
}

void ops_int(struct ops *o, int64_t v)
{
    struct op_room room = room_of(o);
    op_put_int(&room, o->adding, v);
}

void ops_text(struct ops *o, struct view v)
{
    struct op_room room = room_of(o);
    op_put_text(&room, o->adding, v);
}

void ops_bytea(struct ops *o, struct view v)
{
    struct op_room room = room_of(o);
    op_put_bytes(&room, o->adding, v);
}

void ops_time(struct ops *o, int64_t us)
{
    struct op_room room = room_of(o);
    op_put_time(&room, o->adding, us);
}

void ops_elements(struct ops *o, struct ops_array *a)
{
    struct op_room room = room_of(o);
    if (buf_err(&a->bytes) == ERR_OK) {
        buf_patch_u32(&a->bytes, ARRAY_COUNT_AT, a->count);
    }
    op_put(&room, o->adding, a->bytes.data, a->bytes.len, 1);
}

void ops_ticket(struct ops *o, struct ticket *t, unsigned flags)
{
    const struct ops_waiter w = {.ticket = t, .flags = flags};
    buf_put(&o->tickets, &w, sizeof(w));
}
