#include "base/counter.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "base/lock.h"

static _Atomic int64_t counters[COUNTER_COUNT];

struct tally {
    int64_t received;
    int64_t held[MESSAGE_PLACES];
    int64_t ended[MESSAGE_DROPPED + 1];
};

/* The balance has a lock because a scrape must see a message in exactly one place. */
static struct {
    struct lock lock;
    struct tally all;
} balance = {.lock = {PTHREAD_MUTEX_INITIALIZER}};

static _Thread_local struct {
    struct tally tally;
    bool any;
} own;

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
    own.tally.received += n;
    own.any = true;
}

void counter_message_held(enum message_place place, int64_t n)
{
    own.tally.held[place] += n;
    own.any = true;
}

void counter_message_ended(enum message_end end, int64_t n)
{
    own.tally.ended[end] += n;
    own.any = true;
}

void counter_balance_publish(void)
{
    if (!own.any) {
        return;
    }
    lock_take(&balance.lock);
    balance.all.received += own.tally.received;
    for (int i = 0; i < MESSAGE_PLACES; i++) {
        balance.all.held[i] += own.tally.held[i];
    }
    for (int i = 0; i <= MESSAGE_DROPPED; i++) {
        balance.all.ended[i] += own.tally.ended[i];
    }
    lock_give(&balance.lock);
    memset(&own, 0, sizeof(own));
}

struct counter_balance counter_balance(void)
{
    counter_balance_publish();
    lock_take(&balance.lock);
    struct tally t = balance.all;
    lock_give(&balance.lock);
    struct counter_balance b = {
        .received = t.received - t.ended[MESSAGE_DROPPED],
        .committed = t.ended[MESSAGE_COMMITTED],
        .duplicate = t.ended[MESSAGE_DUPLICATE],
        .rejected = t.ended[MESSAGE_REJECTED],
    };
    for (int i = 0; i < MESSAGE_PLACES; i++) {
        b.held[i] = t.held[i];
        b.in_flight += t.held[i];
    }
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
