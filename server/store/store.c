#include "store/store.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/counter.h"
#include "base/log.h"
#include "loop/worker.h"
#include "store/db_internal.h"

struct store {
    char *url;
    struct worker *pool;
    atomic_bool away; /* PostgreSQL could not be reached: said once, not for each that asked */
};

/* One per pool thread. */
struct store_thread {
    struct db *db;
    int64_t retry_at_us; /* after a failed connect, so that a queue of jobs does not wait a time-out
                            each */
};

static void *store_thread_open(void *arg)
{
    (void)arg;
    return calloc(1, sizeof(struct store_thread));
}

static void store_thread_close(void *arg, void *context)
{
    (void)arg;
    struct store_thread *t = context;
    if (t != NULL) {
        db_close(t->db);
        free(t);
    }
}

static struct db *store_connection(struct store *s, struct store_thread *t)
{
    if (db_alive(t->db) && db_still_connected(t->db)) {
        return t->db;
    }
    db_close(t->db);
    t->db = NULL;
    if (clock_mono_us() < t->retry_at_us) {
        return NULL;
    }
    enum err e = db_open(s->url, "signalbox", &t->db);
    if (e != ERR_OK) {
        t->retry_at_us = clock_mono_us() + CLOCK_SECOND_US / 2;
        if (!atomic_exchange(&s->away, true)) {
            LOG(LOG_WARN, "database_not_available", LOG_S("error", err_words(e)),
                LOG_S("next", "trying again with each request"));
        }
    } else if (atomic_exchange(&s->away, false)) {
        LOG(LOG_INFO, "database_available", LOG_S("after", "it could not be reached"));
    }
    return t->db;
}

static void store_job_run(struct mail *m)
{
    struct store_job *job = (struct store_job *)m;
    struct store_thread *t = worker_context();
    job->work(job, t == NULL ? NULL : store_connection(job->store, t));
}

enum err store_new(const struct conf *conf, struct store **ret_store)
{
    struct store *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return ERR_NOMEM;
    }
    s->url = strdup(conf->database_url);
    s->pool = s->url == NULL ? NULL
                             : worker_new("sb-db", (int)conf->database_connections,
                                          store_thread_open, store_thread_close, s);
    if (s->pool == NULL) {
        free(s->url);
        free(s);
        return ERR_NOMEM;
    }
    *ret_store = s;
    return ERR_OK;
}

void store_stop(struct store *s)
{
    worker_stop(s->pool);
}

void store_free(struct store *s)
{
    if (s != NULL) {
        worker_free(s->pool);
        free(s->url);
        free(s);
    }
}

void store_run(struct store *s, struct store_job *job, store_work_fn work)
{
    job->store = s;
    job->work = work;
    job->mail.run = store_job_run;
    worker_post(s->pool, &job->mail);
}
