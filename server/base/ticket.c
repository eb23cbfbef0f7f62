#include "base/ticket.h"

#include "base/check.h"

void ticket_init(struct ticket *t, ticket_done_fn done)
{
    t->done = done;
    atomic_init(&t->holds, 1);
    atomic_init(&t->status, ERR_OK);
}

void ticket_hold(struct ticket *t)
{
    int before = atomic_fetch_add_explicit(&t->holds, 1, memory_order_relaxed);
    CHECK(before > 0); /* whoever holds may hold again; nobody revives a dead ticket */
}

void ticket_drop(struct ticket *t, enum err status)
{
    if (status != ERR_OK) {
        int expected = ERR_OK;
        atomic_compare_exchange_strong(&t->status, &expected, (int)status);
    }
    /* Release our status to, and acquire the others' status on, the thread that drops last. */
    int before = atomic_fetch_sub_explicit(&t->holds, 1, memory_order_acq_rel);
    CHECK(before > 0);
    if (before == 1) {
        t->done(t, (enum err)atomic_load_explicit(&t->status, memory_order_relaxed));
    }
}
