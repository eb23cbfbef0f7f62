#include "loop/loop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "base/check.h"

/*
 * The mailbox is a stack that posters push onto and the loop takes whole and turns round: one
 * exchange per wake-up, one compare-and-swap per post, and uv_async_send() only when the stack was
 * empty.
 */
enum { LOOP_TURNS_MAX = 4 };

struct loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_prepare_t prepare;
    pthread_t thread;
    bool started;
    char name[16];
    struct mail *_Atomic inbox;
    struct {
        loop_turn_fn fn;
        void *arg;
    } turns[LOOP_TURNS_MAX];
    int turn_count;
    struct mail stop;
};

static _Thread_local struct loop *current_loop;

static void loop_run_mail(struct loop *l)
{
    struct mail *taken = atomic_exchange_explicit(&l->inbox, NULL, memory_order_acquire);
    struct mail *in_order = NULL;
    while (taken != NULL) {
        struct mail *next = taken->next;
        taken->next = in_order;
        in_order = taken;
        taken = next;
    }
    while (in_order != NULL) {
        struct mail *next = in_order->next;
        in_order->run(in_order);
        in_order = next;
    }
}

static void loop_wake(uv_async_t *wake)
{
    loop_run_mail(wake->data);
}

static void loop_prepare(uv_prepare_t *prepare)
{
    struct loop *l = prepare->data;
    for (int i = 0; i < l->turn_count; i++) {
        l->turns[i].fn(l->turns[i].arg);
    }
}

struct loop *loop_new(const char *name)
{
    struct loop *l = calloc(1, sizeof(*l));
    if (l == NULL || uv_loop_init(&l->uv) != 0) {
        free(l);
        return NULL;
    }
    size_t len = strnlen(name, sizeof(l->name) - 1);
    memcpy(l->name, name, len);
    l->name[len] = '\0';
    CHECK(uv_async_init(&l->uv, &l->wake, loop_wake) == 0);
    CHECK(uv_prepare_init(&l->uv, &l->prepare) == 0);
    l->wake.data = l;
    l->prepare.data = l;
    CHECK(uv_prepare_start(&l->prepare, loop_prepare) == 0);
    uv_unref((uv_handle_t *)&l->prepare);
    return l;
}

struct uv_loop_s *loop_uv(struct loop *l)
{
    return &l->uv;
}

void loop_on_turn(struct loop *l, loop_turn_fn turn, void *arg)
{
    CHECK(l->turn_count < LOOP_TURNS_MAX);
    l->turns[l->turn_count].fn = turn;
    l->turns[l->turn_count].arg = arg;
    l->turn_count++;
}

static void *loop_thread(void *arg)
{
    struct loop *l = arg;
    current_loop = l;
    (void)pthread_setname_np(pthread_self(), l->name);
    (void)uv_run(&l->uv, UV_RUN_DEFAULT);
    return NULL;
}

enum err loop_start(struct loop *l)
{
    if (pthread_create(&l->thread, NULL, loop_thread, l) != 0) {
        return ERR_NOMEM;
    }
    l->started = true;
    return ERR_OK;
}

void loop_post(struct loop *l, struct mail *m)
{
    struct mail *head = atomic_load_explicit(&l->inbox, memory_order_relaxed);
    do {
        m->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&l->inbox, &head, m, memory_order_release,
                                                    memory_order_relaxed));
    if (head == NULL) {
        CHECK(uv_async_send(&l->wake) == 0);
    }
}

bool loop_is_current(const struct loop *l)
{
    return current_loop == l;
}

static void loop_stop_here(struct mail *m)
{
    struct loop *l = CONTAINER_OF(m, struct loop, stop);
    uv_close((uv_handle_t *)&l->wake, NULL);
}

void loop_stop(struct loop *l)
{
    l->stop.run = loop_stop_here;
    loop_post(l, &l->stop);
}

void loop_join(struct loop *l)
{
    if (l->started) {
        CHECK(pthread_join(l->thread, NULL) == 0);
        l->started = false;
    }
}

void loop_free(struct loop *l)
{
    if (l == NULL) {
        return;
    }
    CHECK(!l->started);
    loop_run_mail(l);
    if (uv_is_closing((uv_handle_t *)&l->wake) == 0) {
        uv_close((uv_handle_t *)&l->wake, NULL);
    }
    uv_close((uv_handle_t *)&l->prepare, NULL);
    (void)uv_run(&l->uv, UV_RUN_DEFAULT);
    CHECK(uv_loop_close(&l->uv) == 0);
    free(l);
}
