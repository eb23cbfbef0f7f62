/*
 * loops: loop and timer of the contract, without threads. A loop that has mail takes a turn after a
 * while: input of its connections, mail of several posters mixed by chance, then the turn hooks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "loop/loop.h"
#include "loop/timer.h"
#include "sim.h"

enum { LOOP_TURNS_MAX = 4 };

struct loop {
    char name[16];
    int actor;
    bool awake; /* a turn is scheduled */
    bool started, stopped;
    struct {
        struct mail *first, **last;
    } boxes[ACTOR_COUNT]; /* by poster */
    uint32_t mails;
    struct {
        loop_turn_fn fn;
        void *arg;
    } turns[LOOP_TURNS_MAX];
    int turn_count;
    void (*input)(void *arg, int loop);
    void *input_arg;
    int input_index;
};

struct loop_timer {
    struct loop *loop;
    int64_t period_us;
    loop_turn_fn fn;
    void *arg;
    bool stopped;
};

struct loop *loop_make(const char *name, int actor)
{
    struct loop *l = calloc(1, sizeof(*l));
    (void)snprintf(l->name, sizeof(l->name), "%s", name);
    l->actor = actor;
    for (int i = 0; i < ACTOR_COUNT; i++) {
        l->boxes[i].last = &l->boxes[i].first;
    }
    return l;
}

/* Only the core makes one by the contract's name; the net loops are made with loop_make(). */
struct loop *loop_new(const char *name)
{
    return loop_make(name, ACTOR_CORE);
}

void loop_on_turn(struct loop *l, loop_turn_fn turn, void *arg)
{
    CHECK(l->turn_count < LOOP_TURNS_MAX);
    l->turns[l->turn_count].fn = turn;
    l->turns[l->turn_count].arg = arg;
    l->turn_count++;
}

void loop_input(struct loop *l, void (*fn)(void *arg, int loop), void *arg, int index)
{
    l->input = fn;
    l->input_arg = arg;
    l->input_index = index;
}

static void run_one_mail(struct loop *l)
{
    int64_t skip = sim_random(ACTOR_COUNT);
    for (int i = 0; i < ACTOR_COUNT; i++) {
        int from = (int)((skip + i) % ACTOR_COUNT);
        struct mail *m = l->boxes[from].first;
        if (m != NULL) {
            l->boxes[from].first = m->next;
            if (m->next == NULL) {
                l->boxes[from].last = &l->boxes[from].first;
            }
            l->mails--;
            m->run(m);
            return;
        }
    }
}

static void run_turn_hooks(struct loop *l)
{
    for (int i = 0; i < l->turn_count; i++) {
        l->turns[i].fn(l->turns[i].arg);
    }
}

static void loop_turn(void *arg, int64_t n)
{
    (void)n;
    struct loop *l = arg;
    int before = sim_as(l->actor);
    l->awake = false;
    if (l->input != NULL) {
        l->input(l->input_arg, l->input_index);
    }
    /* What comes during the turn waits for the next one, as in the real loop. */
    uint32_t take = sim_chance(800) ? l->mails : (uint32_t)sim_random(l->mails + 1);
    for (; take > 0; take--) {
        run_one_mail(l);
    }
    run_turn_hooks(l);
    if (l->mails > 0) {
        loop_wake(l);
    }
    (void)sim_as(before);
}

void loop_wake(struct loop *l)
{
    if (l->awake || !l->started) {
        return;
    }
    l->awake = true;
    int64_t delay_us = sim_delay_us(40);
    if (sim_get()->faults && sim_chance(3)) {
        delay_us = sim_between(1000, 400000); /* the thread was not scheduled */
    }
    sim_after(delay_us, sim_get()->life, loop_turn, l, 0);
}

enum err loop_start(struct loop *l)
{
    l->started = true;
    loop_wake(l);
    return ERR_OK;
}

void loop_post(struct loop *l, struct mail *m)
{
    int from = sim_get()->actor;
    m->next = NULL;
    *l->boxes[from].last = m;
    l->boxes[from].last = &m->next;
    l->mails++;
    loop_wake(l);
}

bool loop_is_current(const struct loop *l)
{
    return sim_get()->actor == l->actor;
}

void loop_stop(struct loop *l)
{
    l->stopped = true;
}

void loop_join(struct loop *l)
{
    int before = sim_as(l->actor);
    while (l->mails > 0) {
        run_one_mail(l);
    }
    run_turn_hooks(l);
    l->started = false;
    (void)sim_as(before);
}

void loop_free(struct loop *l)
{
    if (l == NULL) {
        return;
    }
    int before = sim_as(l->actor);
    for (uint32_t left = l->mails; left > 0; left--) {
        run_one_mail(l);
    }
    (void)sim_as(before);
    free(l);
}

/* ---- timers ---- */

static void timer_fire(void *arg, int64_t n)
{
    (void)n;
    struct loop_timer *t = arg;
    if (t->stopped) {
        free(t);
        return;
    }
    if (!t->loop->started) {
        return;
    }
    int before = sim_as(t->loop->actor);
    t->fn(t->arg);
    run_turn_hooks(t->loop);
    (void)sim_as(before);
    sim_after(t->period_us + sim_random(2000), sim_get()->life, timer_fire, t, 0);
}

struct loop_timer *loop_timer_start(struct loop *l, int64_t period_ms, loop_turn_fn fn, void *arg)
{
    struct loop_timer *t = calloc(1, sizeof(*t));
    *t = (struct loop_timer){.loop = l, .period_us = period_ms * 1000, .fn = fn, .arg = arg};
    sim_after(t->period_us, sim_get()->life, timer_fire, t, 0);
    return t;
}

void loop_timer_stop(struct loop_timer *t)
{
    if (t != NULL) {
        t->stopped = true; /* its memory goes when it would have fired */
    }
}
