/*
 * Mailboxes under ThreadSanitizer: what several threads post runs once, in the order of each
 * poster, on the loop's thread; a worker runs what was posted before it is stopped. Exit 0 when all
 * holds.
 */
#include "loop/loop.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "loop/timer.h"
#include "loop/worker.h"

enum { POSTERS = 4, LETTERS = 50000 };

struct letter {
    struct mail mail;
    int poster;
    int number;
};

struct poster {
    pthread_t thread;
    int number;
    struct letter *letters;
};

static struct {
    struct loop *loop;
    struct worker *worker;
    int next[POSTERS]; /* the loop's */
    int total;
    int turns;
    int ticks;
    int wrong;
    int worked; /* the worker's one thread */
} test;

static void on_letter(struct mail *m)
{
    struct letter *l = (struct letter *)m;
    test.wrong += !loop_is_current(test.loop);
    test.wrong += test.next[l->poster] != l->number;
    test.next[l->poster] = l->number + 1;
    test.total++;
    free(l);
}

static void on_work(struct mail *m)
{
    test.worked++;
    struct letter *l = (struct letter *)m;
    l->mail.run = on_letter; /* on to the loop, as a store job comes back */
    loop_post(test.loop, &l->mail);
}

static void *post(void *arg)
{
    const struct poster *p = arg;
    for (int i = 0; i < LETTERS; i++) {
        struct letter *l = calloc(1, sizeof(*l));
        CHECK(l != NULL);
        l->poster = p->number;
        l->number = i;
        if (p->number == 0) {
            l->mail.run = on_work;
            worker_post(test.worker, &l->mail);
        } else {
            l->mail.run = on_letter;
            loop_post(test.loop, &l->mail);
        }
    }
    return NULL;
}

static void on_turn(void *arg)
{
    (void)arg;
    test.turns++;
}

static struct loop_timer *timer;

static void on_tick(void *arg)
{
    (void)arg;
    if (++test.ticks == 3) {
        loop_timer_stop(timer);
    }
}

int main(void)
{
    struct poster posters[POSTERS];
    test.loop = loop_new("stress");
    test.worker = worker_new("stress-w", 1, NULL, NULL, NULL);
    CHECK(test.loop != NULL && test.worker != NULL);
    loop_on_turn(test.loop, on_turn, NULL);
    timer = loop_timer_start(test.loop, 5, on_tick, NULL);
    CHECK(timer != NULL && loop_start(test.loop) == ERR_OK);
    for (int i = 0; i < POSTERS; i++) {
        posters[i].number = i;
        CHECK(pthread_create(&posters[i].thread, NULL, post, &posters[i]) == 0);
    }
    for (int i = 0; i < POSTERS; i++) {
        CHECK(pthread_join(posters[i].thread, NULL) == 0);
    }
    worker_stop(test.worker);
    loop_stop(test.loop);
    loop_join(test.loop);
    loop_free(test.loop);
    worker_free(test.worker);
    (void)printf("%d letters, %d through the worker, %d turns, %d ticks, %d wrong\n", test.total,
                 test.worked, test.turns, test.ticks, test.wrong);
    return test.wrong == 0 && test.total == POSTERS * LETTERS && test.worked == LETTERS &&
                   test.ticks == 3
               ? 0
               : 1;
}
