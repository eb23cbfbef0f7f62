#include <string.h>

#include <criterion/criterion.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/counter.h"
#include "store/batch_internal.h"
#include "topics/journal.h"

/* The journal's neighbours: the core that commits, and the home loop that mail comes back to. */
struct rig {
    struct journal *journal;
    struct batch *batch;
    int commits, rooms;
    int64_t stored[16];
    int stored_count;
};

static void on_commit(void *arg, struct ops *o)
{
    struct rig *r = arg;
    cr_assert_eq(ops_err(o), ERR_OK);
    r->commits++;
    batch_append(r->batch, o, false);
}

static void on_stored(void *arg, int64_t number)
{
    struct rig *r = arg;
    r->stored[r->stored_count++] = number;
}

static void on_room(void *arg)
{
    ((struct rig *)arg)->rooms++;
}

static void on_post(void *arg, struct mail *m)
{
    (void)arg;
    m->run(m);
}

static void rig_init(struct rig *r, int64_t messages_max)
{
    memset(r, 0, sizeof(*r));
    const struct journal_hooks hooks = {
        .arg = r, .commit = on_commit, .stored = on_stored, .room = on_room, .post = on_post};
    r->journal = journal_new(&hooks, messages_max, 1 << 20);
    r->batch = batch_new();
}

static void rig_commit(struct rig *r, enum err status)
{
    for (uint32_t i = 0; i < batch_messages(r->batch); i++) {
        struct ticket *t = batch_take_ticket(r->batch, i);
        if (t != NULL) {
            ticket_drop(t, status);
        }
    }
    batch_reset(r->batch);
}

static void rig_fini(struct rig *r)
{
    batch_free(r->batch);
    journal_free(r->journal);
}

/* The statements of the batch by their first words, in order. */
static void expect_statements(const struct rig *r, const char *const *begins, size_t count)
{
    const struct batch_op *op = r->batch->first_op;
    for (size_t i = 0; i < count; i++, op = op->next) {
        cr_assert_not_null(op, "%s is missing", begins[i]);
        cr_assert_eq(strncmp(op->sql, begins[i], strlen(begins[i])), 0, "%s instead of %s", op->sql,
                     begins[i]);
    }
    cr_assert(op == NULL, "one too many: %s", op == NULL ? "" : op->sql);
}

static struct message *message(const char *topic)
{
    struct message *m = message_new(view_str(topic), NULL, VIEW("payload"));
    cr_assert_not_null(m);
    m->qos = 1;
    return m;
}

static void queue(struct rig *r, int64_t number, int64_t seq, struct message *m, uint64_t *noted)
{
    static const uint32_t identifiers[] = {7, 268435455};
    const struct session_target t = {
        .message = m, .seq = seq, .qos = 1, .identifiers = identifiers, .identifier_count = 2};
    journal_queue(r->journal, number, &t, noted);
}

struct waiter {
    struct ticket ticket;
    int told;
};

static void on_told(struct ticket *t, enum err status)
{
    (void)status;
    CONTAINER_OF(t, struct waiter, ticket)->told++;
}

Test(journal, a_turn_is_one_list_of_statements_and_rows_of_a_kind_are_one_statement)
{
    struct rig r;
    rig_init(&r, 10);
    struct message *m = message("a");
    uint64_t noted[2] = {0};
    struct waiter w = {0};
    ticket_init(&w.ticket, on_told);
    queue(&r, 5, 1, m, &noted[0]);
    queue(&r, 6, 1, m, &noted[1]);
    queue(&r, 5, 2, m, &noted[0]);
    journal_wait(r.journal, &w.ticket, 0, 100);
    ticket_drop(&w.ticket, ERR_OK); /* the caller's own hold */
    journal_flush(r.journal);
    static const char *const begins[] = {"INSERT INTO messages", "INSERT INTO session_queue"};
    expect_statements(&r, begins, COUNT_OF(begins));
    cr_assert(m->id > 0 && m->rows == 3);
    cr_assert_not(atomic_load(&m->stored));
    cr_assert_eq(w.told, 0);
    rig_commit(&r, ERR_OK);
    cr_assert_eq(w.told, 1);
    cr_assert(atomic_load(&m->stored));
    cr_assert(r.stored_count == 2 && r.stored[0] == 5 && r.stored[1] == 6, "each is told once");
    journal_flush(r.journal);
    cr_assert_eq(r.commits, 1, "nothing was gathered");
    message_drop(m);
    rig_fini(&r);
}

Test(journal, the_row_of_a_message_goes_with_the_last_of_its_queues)
{
    struct rig r;
    rig_init(&r, 10);
    struct message *m = message("a");
    uint64_t noted = 0;
    queue(&r, 5, 1, m, &noted);
    queue(&r, 5, 2, m, &noted);
    journal_flush(r.journal);
    rig_commit(&r, ERR_OK);
    int64_t first_id = m->id;
    journal_queue_done(r.journal, 5, 1, m);
    journal_flush(r.journal);
    static const char *const one[] = {"DELETE FROM session_queue"};
    expect_statements(&r, one, COUNT_OF(one));
    cr_assert_eq(batch_messages(r.batch), 0, "nobody waits for it");
    rig_commit(&r, ERR_OK);
    journal_queue_done(r.journal, 5, 2, m);
    /* A retained message that waits for somebody again gets a new row. */
    queue(&r, 6, 1, m, &noted);
    journal_flush(r.journal);
    static const char *const both[] = {"INSERT INTO messages", "INSERT INTO session_queue",
                                       "DELETE FROM session_queue", "DELETE FROM messages"};
    expect_statements(&r, both, COUNT_OF(both));
    cr_assert(m->id > first_id && m->rows == 1);
    rig_commit(&r, ERR_OK);
    message_drop(m);
    rig_fini(&r);
}

Test(journal, statements_are_in_an_order_in_which_each_finds_what_it_needs)
{
    struct rig r;
    rig_init(&r, 10);
    struct message *m = message("a");
    uint64_t noted = 0;
    char filter[] = "a/#";
    const struct journal_will will = {.number = 5, .message = m, .expiry_us = CLOCK_NONE};
    journal_will_done(r.journal, journal_will(r.journal, &will));
    journal_retained(r.journal, m);
    journal_retained_removed(r.journal, VIEW("b"));
    journal_received_released(r.journal, 5, 1);
    journal_received(r.journal, 5, 2);
    journal_session_new(r.journal,
                        &(struct session_opened){.number = 5, .client_id = "c", .expiry_us = 1});
    journal_filter(r.journal, 5, &(struct session_filter){.filter = filter, .options = 1});
    queue(&r, 5, 1, m, &noted);
    journal_queue_released(r.journal, 5, 1);
    journal_queue_done(r.journal, 5, 1, m);
    journal_session_parted(r.journal, 5, CLOCK_SECOND_US);
    journal_session_opened(r.journal, 5, CLOCK_SECOND_US);
    journal_filter_removed(r.journal, 5, filter);
    journal_session_ended(r.journal, 5);
    journal_flush(r.journal);
    static const char *const begins[] = {
        "INSERT INTO sessions",
        "UPDATE sessions SET filters = filters ||",
        "UPDATE sessions SET closed_at = now()",
        "UPDATE sessions SET closed_at = NULL",
        "UPDATE sessions SET filters = filters -",
        "DELETE FROM sessions",
        "DELETE FROM session_received WHERE",
        "INSERT INTO messages",
        "INSERT INTO session_queue",
        "INSERT INTO session_received",
        "UPDATE session_queue",
        "DELETE FROM session_queue",
        "DELETE FROM messages",
        "DELETE FROM session_received r USING",
        "DELETE FROM retained",
        "INSERT INTO retained",
        "INSERT INTO delayed_wills",
        "DELETE FROM delayed_wills",
    };
    expect_statements(&r, begins, COUNT_OF(begins));
    rig_commit(&r, ERR_OK);
    message_drop(m);
    rig_fini(&r);
}

Test(journal, a_commit_that_is_given_up_stores_nothing)
{
    struct rig r;
    rig_init(&r, 10);
    struct message *m = message("a");
    uint64_t noted = 0;
    queue(&r, 5, 1, m, &noted);
    journal_flush(r.journal);
    rig_commit(&r, ERR_CLOSED);
    cr_assert_not(atomic_load(&m->stored));
    cr_assert_eq(r.stored_count, 0);
    message_drop(m);
    rig_fini(&r);
}

Test(journal, beyond_the_budget_it_says_so_and_calls_when_there_is_room)
{
    struct rig r;
    rig_init(&r, 10);
    for (int i = 0; i < 10; i++) {
        cr_assert_not(journal_full(r.journal));
        journal_wait(r.journal, NULL, 0, 10);
    }
    cr_assert(journal_full(r.journal));
    journal_flush(r.journal);
    cr_assert_eq(r.rooms, 0);
    rig_commit(&r, ERR_OK);
    cr_assert_eq(r.rooms, 1);
    cr_assert_not(journal_full(r.journal));
    journal_wait(r.journal, NULL, 0, 1 << 20);
    cr_assert(journal_full(r.journal), "bytes count as well");
    journal_flush(r.journal);
    rig_commit(&r, ERR_OK);
    cr_assert_eq(r.rooms, 2);
    rig_fini(&r);
}
