/*
 * Tickets whose holds are dropped by several threads. Run under ThreadSanitizer; exits 0 when each
 * ticket was done exactly once, behind everything its holders wrote, with an error when one of them
 * had one.
 */
#include "base/ticket.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

enum { THREADS = 4, TICKETS = 50000 };

struct publish {
    struct ticket ticket;
    int wrote[THREADS]; /* plain memory: the ticket itself must order it */
    int sum;
    int calls;
    enum err status;
};

static void publish_done(struct ticket *t, enum err status)
{
    struct publish *p = CONTAINER_OF(t, struct publish, ticket);
    for (int i = 0; i < THREADS; i++) {
        p->sum += p->wrote[i];
    }
    p->calls++;
    p->status = status;
}

struct worker {
    pthread_t thread;
    int number;
    struct publish *all;
};

static void *work(void *arg)
{
    const struct worker *w = arg;
    for (int i = 0; i < TICKETS; i++) {
        struct publish *p = &w->all[i];
        p->wrote[w->number] = i + w->number;
        ticket_hold(&p->ticket);
        ticket_drop(&p->ticket, ERR_OK);
        ticket_drop(&p->ticket, i % 7 == w->number ? ERR_DB_DOWN : ERR_OK);
    }
    return NULL;
}

int main(void)
{
    struct worker workers[THREADS] = {0};
    struct publish *all = calloc(TICKETS, sizeof(*all));
    if (all == NULL) {
        return 1;
    }
    for (int i = 0; i < TICKETS; i++) {
        ticket_init(&all[i].ticket, publish_done);
        for (int t = 1; t < THREADS; t++) {
            ticket_hold(&all[i].ticket);
        }
    }
    for (int t = 0; t < THREADS; t++) {
        workers[t].number = t;
        workers[t].all = all;
        if (pthread_create(&workers[t].thread, NULL, work, &workers[t]) != 0) {
            (void)fprintf(stderr, "cannot start a thread\n");
            return 1;
        }
    }
    for (int t = 0; t < THREADS; t++) {
        (void)pthread_join(workers[t].thread, NULL);
    }
    int wrong = 0;
    for (int i = 0; i < TICKETS; i++) {
        const struct publish *p = &all[i];
        enum err want = i % 7 < THREADS ? ERR_DB_DOWN : ERR_OK;
        int sum = THREADS * i + THREADS * (THREADS - 1) / 2;
        wrong += p->calls != 1 || p->sum != sum || p->status != want;
    }
    free(all);
    (void)printf("ticket: %d threads, %d tickets: %s\n", THREADS, TICKETS,
                 wrong == 0 ? "ok" : "WRONG");
    return wrong != 0;
}
