#include "expect.h"

Test(takeover, the_new_connection_wins_on_every_pair_of_loops)
{
    for (uint32_t from = 0; from < RIG_LOOPS; from++) {
        for (uint32_t to = 0; to < RIG_LOOPS; to++) {
            struct rig *r = rig_new();
            struct rig_conn *old = rig_dial(r, from, NULL);
            rig_send(old, CONNECT_5KEPT "82 { 0001 00 <v1/gateway/rpc> 01 }");
            buf_clear(&old->out);
            (void)rig_events(r);
            struct rig_conn *new = rig_dial(r, to, NULL);
            rig_send(new, CONNECT_KEPT);
            EXPECT_OUT(old, "e0 01 8e");
            EXPECT_CLOSED(old);
            EXPECT_OUT(new, "20 02 01 00");
            cr_expect_eq(new->session->kept->filters.count, 1);
            EXPECT_EVENTS(r, "detach d1/c1 server persistent; attach d1/c1 persistent present");
            rig_free(r);
        }
    }
}

Test(takeover, a_clean_start_forgets_and_another_device_is_another_session)
{
    struct rig *r = rig_new();
    struct rig_conn *old = connected(r, CONNECT_KEPT, CONNACK_311);
    struct rig_conn *other = rig_dial(r, 1, NULL);
    rig_send(other, "10 { <MQTT> 04 82 003c <c1> <token-d2> }");
    EXPECT_OUT(other, CONNACK_311);
    EXPECT_OPEN(old);
    (void)rig_events(r);
    struct rig_conn *new = rig_dial(r, 1, NULL);
    rig_send(new, CONNECT_311);
    EXPECT_OUT(new, CONNACK_311);
    EXPECT_CLOSED(old);
    EXPECT_OPEN(other);
    EXPECT_EVENTS(r, "detach d1/c1 server; forgotten d1/c1; attach d1/c1 clean");
    struct rig_conn *second_id = rig_dial(r, 1, NULL);
    rig_send(second_id, "10 { <MQTT> 04 82 003c <c2> <token-d1> }");
    EXPECT_OPEN(new);
    EXPECT_OPEN(second_id);
    rig_free(r);
}

/* Five connects of one key before any mail runs: all but the last end, what was kept arrives. */
Test(takeover, a_chain_of_claims_ends_with_the_last_one)
{
    struct rig *r = rig_new();
    struct rig_conn *first = rig_dial(r, 0, NULL);
    rig_send(first, CONNECT_KEPT "82 { 0001 <v1/gateway/rpc> 01 }");
    (void)rig_events(r);
    struct rig_conn *next[5];
    for (int i = 0; i < 5; i++) {
        next[i] = rig_dial(r, (uint32_t)i % RIG_LOOPS, NULL);
        rig_send_only(next[i], CONNECT_KEPT);
    }
    rig_run(r);
    EXPECT_CLOSED(first);
    for (int i = 0; i < 4; i++) {
        EXPECT_CLOSED(next[i]);
    }
    EXPECT_OPEN(next[4]);
    EXPECT_OUT(next[4], "20 02 01 00");
    cr_expect_eq(next[4]->session->kept->filters.count, 1);
    rig_free(r);
}

/* The client goes while its claim is under way: what an earlier connection kept must not go too. */
Test(takeover, what_was_kept_survives_a_claimant_that_goes)
{
    for (int mails = 0; mails < 6; mails++) {
        struct rig *r = rig_new();
        struct rig_conn *first = rig_dial(r, 0, NULL);
        rig_send(first, CONNECT_KEPT "82 { 0001 <v1/gateway/rpc> 01 }");
        struct rig_conn *second = rig_dial(r, 2, NULL);
        rig_send_only(second, CONNECT_KEPT);
        for (int i = 0; i < mails; i++) {
            (void)rig_mail(r);
        }
        rig_hang_up(second);
        struct rig_conn *third = rig_dial(r, 1, NULL);
        rig_send(third, CONNECT_KEPT);
        EXPECT_OUT(third, "20 02 01 00");
        cr_expect_eq(third->session->kept->filters.count, 1, "after %d mails", mails);
        rig_free(r);
    }
}

Test(takeover, the_seventeenth_session_of_a_device_ends_the_oldest)
{
    struct rig *r = rig_new();
    struct rig_conn *conns[SESSION_PER_DEVICE_MAX + 1];
    for (int i = 0; i <= SESSION_PER_DEVICE_MAX; i++) {
        char connect[128];
        (void)snprintf(connect, sizeof(connect),
                       "10 { <MQTT> 05 80 003c { 11 00000e10 } <c%02d> <token-d1> }", i);
        conns[i] = rig_dial(r, (uint32_t)i % RIG_LOOPS, NULL);
        rig_send(conns[i], connect);
        buf_clear(&conns[i]->out);
    }
    EXPECT_CLOSED(conns[0]);
    EXPECT_OUT(conns[0], "e0 01 97");
    for (int i = 1; i <= SESSION_PER_DEVICE_MAX; i++) {
        EXPECT_OPEN(conns[i]);
    }
    rig_free(r);
}

Test(takeover, the_book_forgets_what_has_ended)
{
    struct rig *r = rig_new();
    for (int i = 0; i < 200; i++) {
        char connect[128];
        (void)snprintf(connect, sizeof(connect), "10 { <MQTT> 04 82 003c <x%d> <token-d%d> }",
                       i % 7, 1 + i % 11);
        struct rig_conn *c = rig_dial(r, (uint32_t)i % RIG_LOOPS, NULL);
        rig_send(c, connect);
        rig_discard(c);
    }
    cr_expect_eq(r->all.book.devices.used, 0);
    cr_expect_eq(r->all.book.numbers.count, 0);
    for (uint32_t i = 0; i < RIG_LOOPS; i++) {
        cr_expect_leq(r->all.loops[i].slot_count, 2);
    }
    cr_expect_eq(atomic_load(&r->all.live), 0);
    rig_free(r);
}

/* Random connects, losses, kicks and mail in small steps: never two live sessions of one key. */
Test(takeover, never_two_live_sessions_of_one_key)
{
    for (uint32_t seed = 1; seed <= 40; seed++) {
        struct rig *r = rig_new();
        struct rig_conn *conns[24] = {NULL};
        uint32_t random = seed;
        for (int step = 0; step < 600; step++) {
            random = random * 1664525u + 1013904223u;
            uint32_t pick = random >> 8;
            struct rig_conn **slot = &conns[pick % COUNT_OF(conns)];
            switch (pick / 64 % 8) {
            case 0:
                if (*slot != NULL) {
                    rig_hang_up(*slot);
                }
                break;
            case 1:
            case 2:
                if (*slot == NULL || (*slot)->session == NULL) {
                    if (*slot != NULL) {
                        rig_discard(*slot);
                    }
                    *slot = rig_dial(r, pick % RIG_LOOPS, NULL);
                    rig_send_only(*slot, pick / 1024 % 3 == 0 ? CONNECT_311 : CONNECT_KEPT);
                }
                break;
            case 3:
                session_kick(&r->all, 1, pick / 1024 % 2 == 0 ? 0 : 10);
                break;
            default:
                (void)rig_mail(r);
                break;
            }
            int ready = 0;
            for (size_t i = 0; i < COUNT_OF(conns); i++) {
                ready += conns[i] != NULL && conns[i]->session != NULL &&
                         conns[i]->session->state == SESSION_READY;
            }
            cr_assert_leq(ready, 1, "seed %u, step %d", seed, step);
        }
        rig_free(r);
    }
}
