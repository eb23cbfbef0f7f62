#include <string.h>

#include <criterion/criterion.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/wire.h"
#include "store/batch_internal.h"

/* Who waits, and how it was told. */
struct waiter {
    struct ticket ticket;
    int told;
    enum err status;
};

static void on_told(struct ticket *t, enum err status)
{
    struct waiter *w = CONTAINER_OF(t, struct waiter, ticket);
    w->told++;
    w->status = status;
}

static struct view param(const struct batch_op *op, int at)
{
    return view_of(op->values[at], (size_t)op->lengths[at]);
}

Test(ops, statements_keep_their_order_and_parameters)
{
    struct batch *b = batch_new();
    struct ops *o = ops_new();
    batch_op_int(b, batch_op(b, "first"), 1);
    ops_add(o, "second");
    ops_int(o, -7);
    ops_text(o, VIEW("a text"));
    ops_bytea(o, VIEW("\x00\xFF"));
    ops_time(o, CLOCK_NONE);
    ops_time(o, 0);
    ops_add(o, "third");
    batch_append(b, o, false);
    (void)batch_op(b, "fourth");
    cr_assert_eq(batch_err(b), ERR_OK);
    static const char *const order[] = {"first", "second", "third", "fourth"};
    const struct batch_op *op = b->first_op;
    for (size_t i = 0; i < COUNT_OF(order); i++, op = op->next) {
        cr_assert_str_eq(op->sql, order[i]);
    }
    cr_assert_null(op);
    cr_assert_eq(b->op_count, 4);
    op = b->first_op->next;
    cr_assert_eq(op->count, 5);
    cr_assert(view_eq_str(param(op, 0), "-7") && view_eq_str(param(op, 1), "a text"));
    cr_assert(view_eq(param(op, 2), VIEW("\x00\xFF")) && op->formats[2] == 1);
    cr_assert_null(op->values[3]);
    cr_assert(view_eq_str(param(op, 4), "1970-01-01T00:00:00Z"));
    batch_reset(b);
    cr_assert(batch_empty(b));
    batch_free(b);
}

/* The binary form of a one-dimensional array, as PostgreSQL documents it. */
static struct wire array_open(struct view bytes, uint32_t oid, uint32_t count)
{
    struct wire w = wire_init(bytes);
    cr_assert_eq(wire_u32(&w), 1);
    (void)wire_u32(&w);
    cr_assert_eq(wire_u32(&w), oid);
    cr_assert_eq(wire_u32(&w), count);
    cr_assert_eq(wire_u32(&w), 1);
    return w;
}

Test(ops, arrays_are_in_the_binary_form_of_postgresql)
{
    struct ops *o = ops_new();
    struct ops_array *ints = ops_array(o, OPS_INT8);
    struct ops_array *texts = ops_array(o, OPS_TEXT);
    struct ops_array *times = ops_array(o, OPS_TIME);
    struct ops_array *bools = ops_array(o, OPS_BOOL);
    ops_array_int(ints, -1);
    ops_array_int(ints, 1LL << 40);
    ops_array_bytes(texts, VIEW("x"));
    ops_array_bytes(texts, VIEW(""));
    ops_array_int(times, 946684801000000LL); /* a second into the year 2000 */
    ops_array_int(times, CLOCK_NONE);
    ops_array_int(bools, true);
    cr_assert_eq(ops_array_count(ints), 2);
    ops_add(o, "rows");
    ops_elements(o, ints);
    ops_elements(o, texts);
    ops_elements(o, times);
    ops_elements(o, bools);
    cr_assert_eq(ops_err(o), ERR_OK);
    struct wire w = array_open(param(o->first, 0), 20, 2);
    cr_assert(wire_u32(&w) == 8 && wire_u64(&w) == UINT64_MAX && wire_u32(&w) == 8 &&
              wire_u64(&w) == 1ULL << 40 && wire_left(&w) == 0);
    w = array_open(param(o->first, 1), 25, 2);
    cr_assert(wire_u32(&w) == 1 && wire_u8(&w) == 'x' && wire_u32(&w) == 0 && wire_left(&w) == 0);
    w = array_open(param(o->first, 2), 1184, 2);
    cr_assert(wire_u32(&w) == 8 && wire_u64(&w) == 1000000 && wire_u32(&w) == UINT32_MAX);
    w = array_open(param(o->first, 3), 16, 1);
    cr_assert(wire_u32(&w) == 1 && wire_u8(&w) == 1 && wire_left(&w) == 0);
    ops_free(o);
}

Test(ops, who_waits_becomes_a_message_of_the_batch)
{
    struct waiter patient = {0};
    struct waiter impatient = {0};
    ticket_init(&patient.ticket, on_told);
    ticket_init(&impatient.ticket, on_told);
    struct batch *b = batch_new();
    struct ops *o = ops_new();
    counter_message_received(2);
    counter_message_held(MESSAGE_IN_TOPICS, 2);
    ops_ticket(o, &patient.ticket, OPS_COUNTS);
    ops_ticket(o, &impatient.ticket, OPS_IMPATIENT);
    ops_ticket(o, NULL, OPS_COUNTS);
    batch_append(b, o, true);
    cr_assert_eq(impatient.told, 1);
    cr_assert_eq(impatient.status, ERR_OK);
    cr_assert_eq(batch_messages(b), 2);
    struct counter_balance balance = counter_balance();
    cr_assert(balance.held[MESSAGE_IN_TOPICS] == 0 && balance.held[MESSAGE_IN_BATCH] == 2);
    cr_assert_eq(patient.told, 0);
    cr_assert_eq(batch_take_ticket(b, 0), &patient.ticket);
    cr_assert_null(batch_take_ticket(b, 1));
    batch_free(b);
}

Test(ops, what_nobody_commits_is_told_to_who_waits)
{
    struct waiter w = {0};
    ticket_init(&w.ticket, on_told);
    struct ops *o = ops_new();
    ops_ticket(o, &w.ticket, 0);
    ops_free(o);
    cr_assert(w.told == 1 && w.status == ERR_CLOSED);
    ops_free(NULL);
}
