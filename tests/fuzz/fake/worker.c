/*
 * worker: loop/worker.h without threads: nothing runs until worker_run_one() is called.
 */
#include "fake/worker.h"

#include "fuzz.h"

static struct mail *posted, **posted_last = &posted;

struct worker *worker_new(const char *name, int threads, worker_open_fn open, worker_close_fn close,
                          void *arg)
{
    static char worker;
    (void)name;
    (void)threads;
    (void)open;
    (void)close;
    (void)arg;
    return (struct worker *)(void *)&worker;
}

void worker_post(struct worker *w, struct mail *m)
{
    (void)w;
    m->next = NULL;
    *posted_last = m;
    posted_last = &m->next;
}

bool worker_run_one(void)
{
    struct mail *m = posted;
    if (m == NULL) {
        return false;
    }
    posted = m->next;
    posted_last = posted == NULL ? &posted : posted_last;
    m->run(m);
    return true;
}

void worker_forget_all(void)
{
    posted = NULL;
    posted_last = &posted;
}

void worker_stop(struct worker *w)
{
    (void)w; /* the fuzz program runs what was posted; this may be a call from inside of it */
}

void worker_free(struct worker *w)
{
    (void)w;
    CHECK(posted == NULL);
}

void *worker_context(void)
{
    return NULL;
}
