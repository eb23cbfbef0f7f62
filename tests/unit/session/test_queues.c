#include "router.h"

/* What waits for all sessions together: see queue.c. */

static struct rig_conn *lasting(struct rig *r, uint32_t loop, const char *client)
{
    char connect[64];
    (void)snprintf(connect, sizeof(connect), "10 { <MQTT> 05 00 003c { 11 00000e10 } <%s> }",
                   client);
    return router_dial(r, loop, connect);
}

Test(queues, a_message_for_many_is_counted_once_and_given_back_by_the_last)
{
    struct rig *r = router_new();
    struct rig_conn *one = lasting(r, 0, "one");
    struct rig_conn *two = lasting(r, 1, "two");
    int64_t numbers[] = {number_of(one), number_of(two)};
    rig_hang_up(one);
    rig_hang_up(two);
    cr_assert_eq(atomic_load(&r->all.queue_bytes), 0);
    struct message *m = router_message("a/b", NULL, "payload");
    const int64_t message = (int64_t)message_bytes(m);
    atomic_store(&m->stored, true);
    for (int i = 0; i < 2; i++) {
        const struct session_target t = {.message = m, .qos = 1, .seq = 1};
        cr_expect_eq(session_send(&r->all, numbers[i], &t), ERR_OK);
        rig_run(r);
    }
    message_drop(m);
    const int64_t each = sizeof(struct outgoing);
    cr_expect_eq(atomic_load(&r->all.queue_bytes), message + 2 * each);
    one = lasting(r, 0, "one");
    cr_expect_eq(atomic_load(&r->all.queue_bytes), message + 2 * each, "sent is not acknowledged");
    rig_send(one, "40 02 0001");
    cr_expect_eq(atomic_load(&r->all.queue_bytes), message + each);
    two = router_dial(r, 2, "10 { <MQTT> 05 02 003c { } <two> }");
    cr_expect_eq(atomic_load(&r->all.queue_bytes), 0, "a clean start ends what waited");
    rig_free(r);
}

Test(queues, beyond_their_bound_none_grows)
{
    struct rig *r = router_new();
    r->conf.queues_max_bytes = 1000;
    struct rig_conn *c = lasting(r, 0, "one");
    rig_hang_up(c);
    (void)rig_events(r);
    int64_t seq = 0;
    while (!session_queues_full(&r->all)) {
        cr_assert_eq(router_send(r, 1, "a", "x", 1, ++seq), ERR_OK);
    }
    EXPECT_EVENTS(r, "");
    int64_t bytes = atomic_load(&r->all.queue_bytes);
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(router_send(r, 1, "a", "x", 1, ++seq), ERR_FULL, "the oldest gave way");
    }
    cr_expect_eq(atomic_load(&r->all.queue_bytes), bytes);
    EXPECT_EVENTS(
        r, "done #1 seq1 queue is full; done #1 seq2 queue is full; done #1 seq3 queue is full");
    /* A session for which nothing waits yet is given what it is sent: it may be there. */
    struct rig_conn *here = lasting(r, 1, "two");
    cr_expect_eq(router_send(r, number_of(here), "a", "x", 1, 1), ERR_OK);
    EXPECT_OUT(here, "32 { <a> 0001 00 'x' }");
    rig_free(r);
}

Test(queues, a_restart_brings_back_all_that_waits_also_beyond_the_bound)
{
    struct rig *r = router_new();
    r->conf.queues_max_bytes = 1000;
    struct rig_conn *c = lasting(r, 0, "one");
    rig_hang_up(c);
    (void)rig_events(r);
    for (int64_t seq = 1; seq <= 20; seq++) {
        struct message *m = router_message("a", NULL, "x");
        atomic_store(&m->stored, true);
        const struct session_target t = {.message = m, .qos = 1, .seq = seq, .again = true};
        cr_expect_eq(session_send(&r->all, 1, &t), ERR_OK);
        message_drop(m);
        rig_run(r);
    }
    cr_expect(session_queues_full(&r->all));
    EXPECT_EVENTS(r, "");
    rig_free(r);
}

Test(queues, full_is_over_when_an_eighth_is_free)
{
    struct rig *r = router_new();
    r->conf.queues_max_bytes = 10000;
    cr_expect_not(session_queues_full(&r->all));
    atomic_store(&r->all.queue_bytes, 10000);
    cr_expect(session_queues_full(&r->all));
    cr_expect(atomic_load(&r->all.queues_full_said));
    atomic_store(&r->all.queue_bytes, 9999);
    cr_expect_not(session_queues_full(&r->all), "there is room");
    cr_expect(atomic_load(&r->all.queues_full_said), "but nobody says it again at once");
    atomic_store(&r->all.queue_bytes, 8749);
    cr_expect_not(session_queues_full(&r->all));
    cr_expect_not(atomic_load(&r->all.queues_full_said));
    atomic_store(&r->all.queue_bytes, 0);
    rig_free(r);
}
