/*
 * The writer over a libpq that fails: any SQLSTATE, no answer, half an answer, a lost connection or
 * a missed deadline at any step, backends that finish their work after their connection is gone,
 * and another server that takes over. Behind it is a small model of the tables.
 *
 * Properties: a ticket that hears ERR_OK has all its rows in the committed table, one that hears
 * that it was refused has a row that was refused; batches are committed once, in the order they
 * were submitted, each under the lane's next number; each ticket and each `done` is told once; what
 * COPY gets is what the documentation of PostgreSQL says; when nothing fails any more everything is
 * committed, unless the writer gave its batch up or was told to stop.
 *
 * Input: length of the first part; operations (two bytes each); faults (fake/pq.h).
 */
#include <poll.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/counter.h"
#include "base/intern.h"
#include "fake/tables.h"
#include "fake/worker.h"
#include "store/batch_internal.h"
#include "store/writer.h"

enum { BATCHES = 12, MESSAGES = 48, DEVICE = 7 };

/* For the other threads' part while the writer sleeps. */
static struct {
    bool recall_on_sleep, stop_on_sleep;
} orders;

/* ---- the writer's thread ---- */

static struct writer *writer;

int __wrap_nanosleep(const struct timespec *want, struct timespec *left);
int __wrap_nanosleep(const struct timespec *want, struct timespec *left)
{
    (void)left;
    pq_sleep_us(want->tv_sec * CLOCK_SECOND_US + want->tv_nsec / 1000);
    if (orders.recall_on_sleep) {
        orders.recall_on_sleep = false;
        writer_recall(writer, true);
    }
    if (orders.stop_on_sleep) {
        writer_stop(writer);
    }
    return 0;
}

int64_t __wrap_clock_mono_us(void);
int64_t __wrap_clock_mono_us(void)
{
    return pq_now_us();
}

ssize_t __wrap_getrandom(void *bytes, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *bytes, size_t len, unsigned flags)
{
    (void)flags;
    memset(bytes, 0x5A, len);
    return (ssize_t)len;
}

/* ---- batches ---- */

struct message {
    struct ticket ticket;
    struct table_key rows[4];
    int row_count;
    bool poisoned; /* has a row that the model refuses */
    enum err given;
    int told;
    enum err status;
};

struct slot {
    struct batch *batch;
    bool submitted, returned;
    int dones;
    enum err status;
};

static struct {
    struct slot slots[BATCHES];
    int count; /* the last one is being filled */
    struct message messages[MESSAGES];
    int message_count;
    struct intern *metrics;
} run;

static void ticket_told(struct ticket *t, enum err status)
{
    struct message *m = CONTAINER_OF(t, struct message, ticket);
    CHECK(m->told++ == 0);
    m->status = status;
    if (status != ERR_OK) {
        return;
    }
    CHECK(m->given == ERR_OK);
    for (int i = 0; i < m->row_count; i++) {
        CHECK(tables_have(&tables.committed, m->rows[i]));
    }
}

static void batch_is_done(void *arg, struct batch *b)
{
    struct slot *s = arg;
    CHECK(s->submitted && s->batch == b);
    s->submitted = false;
    s->dones++;
    s->status = batch_status(b);
    s->returned = s->status == ERR_SKIP;
    if (s->returned) {
        return;
    }
    CHECK(s->status != ERR_OK || tables.batches > 0);
    batch_free(b);
    s->batch = NULL;
}

static struct batch *filling(void)
{
    return run.slots[run.count - 1].batch;
}

static void fill_next(void)
{
    if (run.count < BATCHES) {
        struct slot *s = &run.slots[run.count++];
        *s = (struct slot){.batch = batch_new()};
        CHECK(s->batch != NULL);
    }
}

static struct message *add_message(enum err given)
{
    if (run.message_count == MESSAGES) {
        return NULL;
    }
    struct message *m = &run.messages[run.message_count++];
    *m = (struct message){.given = given, .status = ERR_STATE};
    ticket_init(&m->ticket, ticket_told);
    batch_message(filling(), &m->ticket, given, false);
    return m;
}

static void add_row(struct message *m, uint8_t which, bool suspect)
{
    if (m == NULL || m->row_count == (int)COUNT_OF(m->rows) || m->given != ERR_OK) {
        return;
    }
    struct sample_value values[] = {{.metric = 1, .kind = VALUE_NUMBER, .number = which % 8},
                                    {.metric = 2, .kind = VALUE_NUMBER, .number = 1},
                                    {.metric = 3, .kind = VALUE_TEXT, .text = VIEW("on \"fire\"")}};
    bool poison = which % 32 == 31;
    values[0].number = poison ? 666 + which : values[0].number;
    struct sample s = {
        .ts_us = (1 + which / 8) * CLOCK_SECOND_US, .count = 1 + which % 3, .values = values};
    struct table_key key = {.ts_us = s.ts_us, .device = DEVICE, .digest = sample_digest(&s)};
    batch_row_add(filling(),
                  &(struct batch_row){.device_id = DEVICE,
                                      .digest = key.digest,
                                      .shape = 1,
                                      .ts_us = s.ts_us,
                                      .received_at_us = s.ts_us,
                                      .sample = &s,
                                      .metrics = run.metrics},
                  suspect);
    m->poisoned = m->poisoned || poison;
    m->rows[m->row_count++] = key;
}

static void submit(struct slot *s)
{
    s->submitted = true;
    s->returned = false;
    batch_on_done(s->batch, batch_is_done, s);
    writer_submit(writer, s->batch);
}

static void resubmit_returned(void)
{
    while (worker_run_one()) {
    }
    writer_recall(writer, false);
    for (int i = 0; i < run.count; i++) {
        if (run.slots[i].returned) {
            submit(&run.slots[i]);
        }
    }
}

static bool anything_returned(void)
{
    for (int i = 0; i < run.count; i++) {
        if (run.slots[i].returned) {
            return true;
        }
    }
    return false;
}

static void operate(uint8_t what, uint8_t which)
{
    static struct message *m; /* of the batch that is being filled */
    struct batch *b = filling();
    switch (what % 12) {
    case 0:
        m = add_message(which % 8 == 0 ? ERR_MALFORMED : ERR_OK);
        break;
    case 1:
    case 2:
        m = batch_messages(b) == 0 ? add_message(ERR_OK) : m;
        add_row(m, which, what % 12 == 2);
        break;
    case 3:
        batch_op_int(b, batch_op(b, which % 4 == 0 ? "poison $1" : "operation $1"), which);
        break;
    case 4:
        batch_latest(b, DEVICE, 1, which, which, which % 2 == 0 ? VIEW("true") : view_of(NULL, 0));
        break;
    case 5:
        batch_state(b, DEVICE, which, which, VIEW("state"));
        break;
    case 6:
        batch_partition(b, 0, CLOCK_DAY_US, "samples_19700101");
        break;
    case 7:
        (void)worker_run_one();
        break;
    case 8:
        orders.recall_on_sleep = which % 2 == 0;
        writer_recall(writer, which % 2 != 0);
        if (which % 2 == 0) {
            resubmit_returned();
        }
        break;
    case 9:
        if (which % 16 == 0) {
            (void)snprintf(tables.owner, sizeof(tables.owner), "somebody else");
        }
        break;
    case 10:
        orders.stop_on_sleep = which % 16 == 0;
        break;
    default:
        if (!anything_returned() && run.count < BATCHES) {
            submit(&run.slots[run.count - 1]);
            fill_next();
        }
        break;
    }
}

/* Nothing goes wrong any more unless it was said to. */
static void finish(void)
{
    while (worker_run_one()) {
    }
    for (int i = 0; i < BATCHES && anything_returned(); i++) {
        resubmit_returned();
        while (worker_run_one()) {
        }
    }
    CHECK(!anything_returned());
    bool in_order = true;
    int committed = 0;
    for (int i = 0; i < run.count - 1; i++) {
        CHECK(run.slots[i].dones > 0 && !run.slots[i].submitted);
        bool good = run.slots[i].status == ERR_OK;
        CHECK(in_order || !good); /* nothing after one that was given up */
        in_order = in_order && good;
        committed += good;
    }
    CHECK(committed <= tables.batches && tables.batches <= committed + 1);
}

static void check_told(void)
{
    for (int i = 0; i < run.message_count; i++) {
        const struct message *m = &run.messages[i];
        CHECK(m->told == 1);
        CHECK(m->status != ERR_OK || !m->poisoned);
    }
}

static void forget_filling(void)
{
    struct slot *s = &run.slots[run.count - 1];
    for (uint32_t i = 0; i < batch_messages(s->batch); i++) {
        ticket_drop(batch_take_ticket(s->batch, i), ERR_CLOSED);
    }
    batch_free(s->batch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script all = script_of(data, size);
    struct script ops = script_part(&all, script_byte(&all));
    char none[1] = "";
    struct conf conf = {.database_url = none, .commit_timeout_us = 15 * CLOCK_SECOND_US};
    memset(&tables, 0, sizeof(tables));
    memset(&orders, 0, sizeof(orders));
    memset(&run, 0, sizeof(run));
    run.metrics = intern_new(10);
    CHECK(intern_add(run.metrics, VIEW("a")) == 1 && intern_add(run.metrics, VIEW("b")) == 2 &&
          intern_add(run.metrics, VIEW("c")) == 3);
    pq_begin(&tables_model, all);
    CHECK(writer_new(&conf, &writer) == ERR_OK);
    if (writer_start(writer) == ERR_OK) {
        fill_next();
        while (!script_over(&ops)) {
            uint8_t what = script_byte(&ops);
            operate(what, script_byte(&ops));
        }
        finish();
        forget_filling();
        check_told();
    }
    writer_stop(writer);
    writer_free(writer);
    pq_end();
    intern_free(run.metrics);
    return 0;
}
