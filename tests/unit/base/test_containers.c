/*
 * list, map, intern, registry, ticket.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <criterion/criterion.h>

#include "base/intern.h"
#include "base/list.h"
#include "base/map.h"
#include "base/registry.h"
#include "base/ticket.h"

static struct view name_of(int n, char ret_text[static 16])
{
    int len = snprintf(ret_text, 16, "name%d", n);
    return view_of(ret_text, (size_t)len);
}

/* ---- list ---- */

struct item {
    int number;
    struct list link;
};

Test(list, keeps_order_and_forgets_removed_nodes)
{
    struct list head;
    struct item items[5] = {0};
    list_init(&head);
    cr_expect(list_empty(&head));
    cr_expect_null(list_pop_front(&head));
    for (int i = 0; i < 5; i++) {
        items[i].number = i;
        cr_expect_not(list_linked(&items[i].link));
        list_push_back(&head, &items[i].link);
        cr_expect(list_linked(&items[i].link));
    }
    list_remove(&items[2].link);
    cr_expect_not(list_linked(&items[2].link));
    static const int want[] = {0, 1, 3, 4};
    size_t n = 0;
    LIST_FOREACH (at, &head) {
        cr_expect_eq(CONTAINER_OF(at, struct item, link)->number, want[n++]);
    }
    cr_expect_eq(n, 4u);
    list_push_back(&head, &items[2].link);
    cr_expect_eq(list_pop_front(&head), &items[0].link);
    cr_expect_eq(head.prev, &items[2].link);
    while (list_pop_front(&head) != NULL) {
    }
    cr_expect(list_empty(&head));
}

Test(list, a_node_in_two_lists_is_a_bug_that_aborts, .signal = SIGABRT)
{
    struct list a;
    struct list b;
    struct list node = {0};
    list_init(&a);
    list_init(&b);
    list_push_back(&a, &node);
    list_push_back(&b, &node);
}

/* ---- map ---- */

Test(map, many_keys_come_and_go)
{
    enum { MANY = 20000 };
    struct map m;
    int *values = calloc(MANY, sizeof(*values));
    char text[16];
    cr_assert_not_null(values);
    map_init(&m);
    cr_expect_null(map_get(&m, VIEW("x")));
    cr_expect_null(map_remove(&m, VIEW("x")));
    for (int i = 0; i < MANY; i++) {
        void *old = &m;
        values[i] = i;
        cr_assert_eq(map_put(&m, name_of(i, text), &values[i], &old), ERR_OK);
        cr_assert_null(old);
    }
    cr_expect_eq(m.used, (size_t)MANY);
    for (int i = 0; i < MANY; i += 2) {
        cr_assert_eq(map_remove(&m, name_of(i, text)), &values[i]);
        cr_assert_null(map_remove(&m, name_of(i, text)));
    }
    for (int i = 0; i < MANY; i++) {
        cr_assert_eq(map_get(&m, name_of(i, text)), i % 2 == 0 ? NULL : &values[i]);
    }
    size_t seen = 0;
    MAP_FOREACH (at, &m) {
        seen++;
        cr_assert_eq(*(int *)at->value % 2, 1);
        cr_assert(view_eq(view_of(at->key, at->key_len), name_of(*(int *)at->value, text)));
    }
    cr_expect_eq(seen, (size_t)MANY / 2);
    map_fini(&m);
    cr_expect_eq(m.used, 0u);
    free(values);
}

Test(map, puts_and_removes_for_ever_do_not_grow_it)
{
    struct map m;
    int value = 1;
    char text[16];
    map_init(&m);
    for (int i = 0; i < 100000; i++) {
        void *old = NULL;
        cr_assert_eq(map_put(&m, name_of(i, text), &value, &old), ERR_OK);
        if (i >= 10) {
            cr_assert_eq(map_remove(&m, name_of(i - 10, text)), &value);
        }
    }
    cr_expect_eq(m.used, 10u);
    cr_expect_leq(m.cap, 128u, "deleted slots are cleared when the table is made anew");
    map_fini(&m);
}

Test(map, replaces_and_tells_the_old_value)
{
    struct map m;
    int a = 1;
    int b = 2;
    void *old = NULL;
    map_init(&m);
    cr_assert_eq(map_put(&m, VIEW("k"), &a, &old), ERR_OK);
    cr_assert_eq(map_put(&m, VIEW("k"), &b, &old), ERR_OK);
    cr_expect_eq(old, &a);
    cr_expect_eq(map_get(&m, VIEW("k")), &b);
    cr_expect_eq(m.used, 1u);
    /* Keys are bytes: empty, with NUL, one the start of the other. */
    cr_assert_eq(map_put(&m, view_of(NULL, 0), &a, &old), ERR_OK);
    cr_assert_eq(map_put(&m, VIEW("k\0x"), &a, &old), ERR_OK);
    cr_assert_eq(map_put(&m, VIEW("k\0y"), &b, &old), ERR_OK);
    cr_expect_eq(map_get(&m, VIEW("")), &a);
    cr_expect_eq(map_get(&m, VIEW("k\0x")), &a);
    cr_expect_eq(map_get(&m, VIEW("k\0y")), &b);
    cr_expect_eq(map_get(&m, VIEW("k")), &b);
    cr_expect_null(map_get(&m, VIEW("k\0z")));
    map_fini(&m);
}

Test(map, the_hash_keeps_clear_of_the_marks)
{
    char text[16];
    for (int i = 0; i < 10000; i++) {
        cr_assert_gt(map_hash(name_of(i, text)), 1u);
    }
    cr_expect_eq(map_hash(VIEW("a")), map_hash(VIEW("a")));
}

/* ---- intern ---- */

Test(intern, numbers_are_dense_and_stay)
{
    enum { MANY = 5000 };
    struct intern *in = intern_new(MANY);
    char text[16];
    cr_assert_not_null(in);
    cr_expect_eq(intern_count(in), 0);
    cr_expect_eq(intern_find(in, VIEW("name0")), 0);
    for (int i = 0; i < MANY; i++) {
        cr_assert_eq(intern_add(in, name_of(i, text)), i + 1);
        cr_assert_eq(intern_add(in, name_of(i, text)), i + 1);
    }
    cr_expect_eq(intern_count(in), MANY);
    cr_expect_eq(intern_add(in, VIEW("one too many")), 0);
    cr_expect_eq(intern_count(in), MANY);
    for (int i = 0; i < MANY; i++) {
        cr_assert_eq(intern_find(in, name_of(i, text)), i + 1);
        cr_assert(view_eq(intern_name(in, i + 1), name_of(i, text)));
    }
    static const int32_t nobody[] = {0, -1, MANY + 1, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < COUNT_OF(nobody); i++) {
        cr_expect_eq(intern_name(in, nobody[i]).len, 0u);
    }
    intern_free(in);
    intern_free(NULL);
}

Test(intern, restore_gives_names_their_old_numbers)
{
    struct intern *in = intern_new(1000);
    char text[16];
    cr_assert_not_null(in);
    for (int i = 700; i > 0; i -= 2) { /* with gaps, backwards */
        cr_assert_eq(intern_restore(in, i, name_of(i, text)), ERR_OK);
    }
    cr_expect_eq(intern_count(in), 700);
    cr_expect_eq(intern_restore(in, 700, VIEW("other")), ERR_EXISTS);
    cr_expect_eq(intern_restore(in, 701, name_of(2, text)), ERR_EXISTS);
    cr_expect_eq(intern_restore(in, 0, VIEW("zero")), ERR_LIMIT);
    cr_expect_eq(intern_restore(in, -5, VIEW("minus")), ERR_LIMIT);
    cr_expect_eq(intern_restore(in, 1001, VIEW("beyond")), ERR_LIMIT);
    cr_expect_eq(intern_find(in, VIEW("other")), 0);
    cr_expect_eq(intern_name(in, 1).len, 0u, "a gap has no name");
    cr_expect_eq(intern_add(in, VIEW("fresh")), 701, "new names come behind all restored ones");
    for (int i = 2; i <= 700; i += 2) {
        cr_assert_eq(intern_find(in, name_of(i, text)), i);
        cr_assert_eq(intern_add(in, name_of(i, text)), i);
    }
    intern_free(in);
}

Test(intern, restore_with_a_huge_number_needs_no_huge_table)
{
    enum { LIMIT = 1 << 20 };
    struct intern *in = intern_new(LIMIT);
    char text[16];
    cr_assert_not_null(in);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(intern_restore(in, LIMIT - i, name_of(i, text)), ERR_OK);
    }
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(intern_find(in, name_of(i, text)), LIMIT - i);
    }
    cr_expect_eq(intern_add(in, VIEW("fresh")), 0, "the last number is taken");
    intern_free(in);
}

enum { INTERN_THREADS = 4, INTERN_NAMES = 3000 };

struct intern_worker {
    struct intern *in;
    int start;
    int32_t ids[INTERN_NAMES];
    bool wrong;
};

static void *intern_work(void *arg)
{
    struct intern_worker *w = arg;
    char text[16];
    for (int i = 0; i < INTERN_NAMES; i++) {
        int n = (w->start + i) % INTERN_NAMES;
        struct view name = name_of(n, text);
        w->ids[n] = intern_add(w->in, name);
        w->wrong = w->wrong || w->ids[n] == 0 || intern_find(w->in, name) != w->ids[n] ||
                   !view_eq(intern_name(w->in, w->ids[n]), name);
    }
    return NULL;
}

Test(intern, threads_that_add_the_same_names_get_the_same_numbers)
{
    struct intern *in = intern_new(INTERN_NAMES);
    struct intern_worker *workers = calloc(INTERN_THREADS, sizeof(*workers));
    pthread_t threads[INTERN_THREADS];
    cr_assert(in != NULL && workers != NULL);
    for (int t = 0; t < INTERN_THREADS; t++) {
        workers[t].in = in;
        workers[t].start = t * INTERN_NAMES / INTERN_THREADS;
        cr_assert_eq(pthread_create(&threads[t], NULL, intern_work, &workers[t]), 0);
    }
    for (int t = 0; t < INTERN_THREADS; t++) {
        cr_assert_eq(pthread_join(threads[t], NULL), 0);
        cr_expect_not(workers[t].wrong);
    }
    cr_expect_eq(intern_count(in), INTERN_NAMES);
    for (int i = 0; i < INTERN_NAMES; i++) {
        for (int t = 1; t < INTERN_THREADS; t++) {
            cr_assert_eq(workers[t].ids[i], workers[0].ids[i]);
        }
    }
    intern_free(in);
    free(workers);
}

/* ---- registry ---- */

struct thing {
    int holds;
};

static void thing_hold(void *value)
{
    ((struct thing *)value)->holds++;
}

static void thing_drop(void *value)
{
    ((struct thing *)value)->holds--;
}

static bool visit_two(void *arg, struct view key, void *value)
{
    (void)key;
    (void)value;
    return ++*(int *)arg < 2;
}

Test(registry, holds_and_drops_balance)
{
    struct thing a = {1};
    struct thing b = {1};
    struct registry *r = registry_new(thing_hold, thing_drop);
    cr_assert_not_null(r);
    cr_expect_null(registry_get(r, VIEW("k")));
    cr_assert_eq(registry_put(r, VIEW("k"), &a), ERR_OK);
    cr_expect_eq(a.holds, 2);
    cr_expect_eq(registry_get(r, VIEW("k")), &a);
    cr_expect_eq(a.holds, 3);
    cr_assert_eq(registry_put(r, VIEW("k"), &b), ERR_OK); /* replaced */
    cr_expect_eq(a.holds, 2);
    cr_expect_eq(b.holds, 2);
    cr_assert_eq(registry_put(r, VIEW("k"), &b), ERR_OK); /* by itself */
    cr_expect_eq(b.holds, 2);
    cr_expect_eq(registry_count(r), 1u);
    cr_expect_not(registry_remove(r, VIEW("other")));
    cr_expect(registry_remove(r, VIEW("k")));
    cr_expect_eq(b.holds, 1);
    cr_assert_eq(registry_put(r, VIEW("x"), &a), ERR_OK);
    cr_assert_eq(registry_put(r, VIEW("y"), &b), ERR_OK);
    cr_assert_eq(registry_put(r, VIEW("z"), &b), ERR_OK);
    int visited = 0;
    registry_visit(r, visit_two, &visited);
    cr_expect_eq(visited, 2, "false stops the walk");
    registry_free(r);
    registry_free(NULL);
    cr_expect_eq(a.holds, 2);
    cr_expect_eq(b.holds, 1);
}

/* ---- ticket ---- */

struct waiter {
    struct ticket ticket;
    int calls;
    enum err status;
};

static void waiter_done(struct ticket *t, enum err status)
{
    struct waiter *w = CONTAINER_OF(t, struct waiter, ticket);
    w->calls++;
    w->status = status;
}

Test(ticket, done_once_with_the_first_error)
{
    static const struct {
        enum err drops[4];
        enum err want;
    } rows[] = {
        {{ERR_OK, ERR_OK, ERR_OK, ERR_OK}, ERR_OK},
        {{ERR_OK, ERR_DB_DOWN, ERR_OK, ERR_OK}, ERR_DB_DOWN},
        {{ERR_LIMIT, ERR_DB_DOWN, ERR_CLOSED, ERR_OK}, ERR_LIMIT},
        {{ERR_OK, ERR_OK, ERR_OK, ERR_CLOSED}, ERR_CLOSED},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct waiter w = {.status = ERR_SKIP};
        ticket_init(&w.ticket, waiter_done);
        for (int h = 0; h < 3; h++) {
            ticket_hold(&w.ticket);
        }
        for (int d = 0; d < 4; d++) {
            cr_expect_eq(w.calls, 0);
            ticket_drop(&w.ticket, rows[i].drops[d]);
        }
        cr_expect_eq(w.calls, 1);
        cr_expect_eq(w.status, rows[i].want);
    }
}

static void freeing_done(struct ticket *t, enum err status)
{
    struct waiter *w = CONTAINER_OF(t, struct waiter, ticket);
    cr_expect_eq(status, ERR_OK);
    free(w);
}

Test(ticket, done_may_free_it)
{
    struct waiter *w = calloc(1, sizeof(*w));
    cr_assert_not_null(w);
    ticket_init(&w->ticket, freeing_done);
    ticket_drop(&w->ticket, ERR_OK);
}

Test(ticket, a_dead_ticket_cannot_be_held, .signal = SIGABRT)
{
    struct waiter w = {0};
    ticket_init(&w.ticket, waiter_done);
    ticket_drop(&w.ticket, ERR_OK);
    ticket_hold(&w.ticket);
}

Test(ticket, one_drop_too_many_aborts, .signal = SIGABRT)
{
    struct waiter w = {0};
    ticket_init(&w.ticket, waiter_done);
    ticket_drop(&w.ticket, ERR_OK);
    ticket_drop(&w.ticket, ERR_OK);
}
