#include "base/counter.h"

#include <stdatomic.h>

#include "base/lock.h"

static _Atomic int64_t counters[COUNTER_COUNT];

/* The balance has a lock because a scrape must see a message in exactly one place. Callers add per
 * batch. */
static struct {
    struct lock lock;
    int64_t received;
    int64_t ended[MESSAGE_DROPPED + 1];
} balance = {.lock = {PTHREAD_MUTEX_INITIALIZER}};

static const struct {
    const char *name;
    const char *type;
    const char *words;
} counter_rows[] = {
#define COUNTER_ROW(id, name, type, words) {name, type, words},
    COUNTER_LIST(COUNTER_ROW)
#undef COUNTER_ROW
};

void counter_add(enum counter_id id, int64_t n)
{
    atomic_fetch_add_explicit(&counters[id], n, memory_order_relaxed);
}

void counter_set(enum counter_id id, int64_t value)
{
    atomic_store_explicit(&counters[id], value, memory_order_relaxed);
}

int64_t counter_get(enum counter_id id)
{
    return atomic_load_explicit(&counters[id], memory_order_relaxed);
}

void counter_message_received(int64_t n)
{
    lock_take(&balance.lock);
    balance.received += n;
    lock_give(&balance.lock);
}

void counter_message_ended(enum message_end end, int64_t n)
{
    lock_take(&balance.lock);
    balance.ended[end] += n;
    lock_give(&balance.lock);
}

struct counter_balance counter_balance(void)
{
    lock_take(&balance.lock);
    struct counter_balance b = {
        .received = balance.received - balance.ended[MESSAGE_DROPPED],
        .committed = balance.ended[MESSAGE_COMMITTED],
        .duplicate = balance.ended[MESSAGE_DUPLICATE],
        .rejected = balance.ended[MESSAGE_REJECTED],
    };
    lock_give(&balance.lock);
    b.in_flight = b.received - b.committed - b.duplicate - b.rejected;
    return b;
}

static void counter_row(struct buf *out, const char *name, const char *type, const char *words,
                        int64_t value)
{
    buf_printf(out, "# HELP signalbox_%s %s\n# TYPE signalbox_%s %s\nsignalbox_%s %lld\n", name,
               words, name, type, name, (long long)value);
}

void counter_write_text(struct buf *out)
{
    struct counter_balance b = counter_balance();
    counter_row(out, "messages_received_total", "counter",
                "device messages received; equals committed + duplicate + rejected + in flight",
                b.received);
    counter_row(out, "messages_committed_total", "counter",
                "messages whose readings were committed to PostgreSQL", b.committed);
    counter_row(out, "messages_duplicate_total", "counter", "messages recognised as stored already",
                b.duplicate);
    counter_row(out, "messages_rejected_total", "counter",
                "messages kept as rejected, with the reason", b.rejected);
    counter_row(out, "messages_in_flight", "gauge", "messages received and not yet ended",
                b.in_flight);
    for (int i = 0; i < COUNTER_COUNT; i++) {
        counter_row(out, counter_rows[i].name, counter_rows[i].type, counter_rows[i].words,
                    counter_get((enum counter_id)i));
    }
}
