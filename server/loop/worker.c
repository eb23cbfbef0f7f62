#include "loop/worker.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

struct worker {
    pthread_mutex_t mutex;
    pthread_cond_t ready;
    struct mail *first;
    struct mail **last;
    bool stopping;
    char name[16];
    int thread_count;
    worker_open_fn open;
    worker_close_fn close;
    void *arg;
    pthread_t threads[];
};

static _Thread_local void *current_context;

/* The next mail, or NULL when the worker stops and nothing is left. */
static struct mail *worker_take(struct worker *w)
{
    CHECK(pthread_mutex_lock(&w->mutex) == 0);
    while (w->first == NULL && !w->stopping) {
        CHECK(pthread_cond_wait(&w->ready, &w->mutex) == 0);
    }
    struct mail *m = w->first;
    if (m != NULL) {
        w->first = m->next;
        if (w->first == NULL) {
            w->last = &w->first;
        }
    }
    CHECK(pthread_mutex_unlock(&w->mutex) == 0);
    return m;
}

static void *worker_thread(void *arg)
{
    struct worker *w = arg;
    (void)pthread_setname_np(pthread_self(), w->name);
    current_context = w->open == NULL ? NULL : w->open(w->arg);
    struct mail *m = worker_take(w);
    while (m != NULL) {
        m->run(m);
        m = worker_take(w);
    }
    if (w->close != NULL) {
        w->close(w->arg, current_context);
    }
    return NULL;
}

struct worker *worker_new(const char *name, int threads, worker_open_fn open, worker_close_fn close,
                          void *arg)
{
    struct worker *w = calloc(1, sizeof(*w) + (size_t)threads * sizeof(pthread_t));
    if (w == NULL) {
        return NULL;
    }
    CHECK(pthread_mutex_init(&w->mutex, NULL) == 0);
    CHECK(pthread_cond_init(&w->ready, NULL) == 0);
    w->last = &w->first;
    w->open = open;
    w->close = close;
    w->arg = arg;
    (void)snprintf(w->name, sizeof(w->name), "%s", name);
    for (int i = 0; i < threads; i++) {
        if (pthread_create(&w->threads[i], NULL, worker_thread, w) != 0) {
            worker_stop(w);
            worker_free(w);
            return NULL;
        }
        w->thread_count++;
    }
    return w;
}

void worker_post(struct worker *w, struct mail *m)
{
    m->next = NULL;
    CHECK(pthread_mutex_lock(&w->mutex) == 0);
    *w->last = m;
    w->last = &m->next;
    CHECK(pthread_cond_signal(&w->ready) == 0);
    CHECK(pthread_mutex_unlock(&w->mutex) == 0);
}

void *worker_context(void)
{
    return current_context;
}

void worker_stop(struct worker *w)
{
    CHECK(pthread_mutex_lock(&w->mutex) == 0);
    w->stopping = true;
    CHECK(pthread_cond_broadcast(&w->ready) == 0);
    CHECK(pthread_mutex_unlock(&w->mutex) == 0);
    for (int i = 0; i < w->thread_count; i++) {
        CHECK(pthread_join(w->threads[i], NULL) == 0);
    }
    w->thread_count = 0;
}

void worker_free(struct worker *w)
{
    if (w == NULL) {
        return;
    }
    CHECK(w->thread_count == 0 && w->first == NULL);
    CHECK(pthread_cond_destroy(&w->ready) == 0);
    CHECK(pthread_mutex_destroy(&w->mutex) == 0);
    free(w);
}
