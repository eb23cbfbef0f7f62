#include "spool/spool.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "loop/worker.h"
#include "spool/disk.h"
#include "spool/format.h"
#include "spool/start.h"

struct spool {
    struct spool_disk *disk; /* the worker's, but for the atomics */
    struct worker *worker;
};

enum err spool_open_with(const char *dir, const struct spool_limits *limits,
                         const struct spool_io *io, struct spool **ret_spool)
{
    struct spool *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return ERR_NOMEM;
    }
    enum err e = spool_disk_open(dir, limits, io, &s->disk);
    if (e != ERR_OK) {
        free(s);
        return e;
    }
    s->worker = worker_new("spool", 1, NULL, NULL, NULL);
    if (s->worker == NULL) {
        spool_disk_close(s->disk);
        free(s);
        return ERR_NOMEM;
    }
    *ret_spool = s;
    return ERR_OK;
}

enum err spool_open(const char *dir, const struct spool_limits *limits, struct spool **ret_spool)
{
    return spool_open_with(dir, limits, &SPOOL_IO_REAL, ret_spool);
}

void spool_close(struct spool *s)
{
    if (s == NULL) {
        return;
    }
    worker_stop(s->worker);
    worker_free(s->worker);
    spool_disk_close(s->disk);
    free(s);
}

void spool_write_init(struct spool_write *w, size_t limit_bytes)
{
    *w = (struct spool_write){0};
    buf_init(&w->records, limit_bytes);
}

void spool_put(struct spool_write *w, struct view bytes)
{
    spool_record_put(&w->records, bytes);
    if (buf_err(&w->records) == ERR_OK) {
        w->count++;
    }
}

static void run_append(struct mail *m)
{
    struct spool_write *w = CONTAINER_OF(m, struct spool_write, mail);
    w->status = spool_disk_append(w->spool->disk, &w->records);
    w->done(w);
}

void spool_append(struct spool *s, struct spool_write *w)
{
    w->spool = s;
    w->mail.run = run_append;
    worker_post(s->worker, &w->mail);
}

void spool_read_init(struct spool_read *r, size_t max_bytes)
{
    *r = (struct spool_read){.max_bytes = max_bytes};
    buf_init(&r->bytes, max_bytes);
}

static void run_read(struct mail *m)
{
    struct spool_read *r = CONTAINER_OF(m, struct spool_read, mail);
    spool_disk_read(r->spool->disk, r);
    r->done(r);
}

void spool_read(struct spool *s, struct spool_read *r)
{
    r->spool = s;
    r->mail.run = run_read;
    worker_post(s->worker, &r->mail);
}

bool spool_next(const struct buf *records, size_t *at, struct view *ret_bytes)
{
    return spool_record_next(buf_view(records), at, ret_bytes);
}

struct release {
    struct mail mail;
    struct spool *spool;
    uint64_t segment;
};

static void run_release(struct mail *m)
{
    struct release *r = CONTAINER_OF(m, struct release, mail);
    spool_disk_release(r->spool->disk, r->segment);
    free(r);
}

void spool_release(struct spool *s, uint64_t segment)
{
    struct release *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        LOG(LOG_ERROR, "spool_file_stays", LOG_I("segment", segment),
            LOG_S("why", err_words(ERR_NOMEM)), LOG_S("next", "after a restart it is read again"));
        return;
    }
    r->spool = s;
    r->segment = segment;
    r->mail.run = run_release;
    worker_post(s->worker, &r->mail);
}

int64_t spool_bytes(const struct spool *s)
{
    return atomic_load(&s->disk->bytes);
}

int64_t spool_oldest_us(const struct spool *s)
{
    return atomic_load(&s->disk->oldest_us);
}

bool spool_has_unread(const struct spool *s)
{
    return atomic_load(&s->disk->unread);
}
