#include "maintenance/maintenance.h"

#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "maintenance/internal.h"

/*
 * The worker wakes up, makes a round when it is time, and announces what is pending: events are
 * rows that were written with what they tell of. The core numbers them and deletes the rows in one
 * transaction; until that is committed nothing else is announced, so nothing is told twice.
 */
enum { TICK_MS = 50 };

static void announced(struct ticket *t, enum err status)
{
    (void)status; /* rows that are still there are announced again */
    struct maintenance *m = CONTAINER_OF(t, struct maintenance, announced);
    atomic_store(&m->announcing, false);
}

static const char *level_of(const char *text)
{
    return strcmp(text, "warn") == 0 ? "warn" : strcmp(text, "error") == 0 ? "error" : "info";
}

static enum err announce(struct maintenance *m)
{
    struct db_result *r = NULL;
    enum err e =
        db_query(m->db,
                 "SELECT id, " ROUND_US("ts") ", kind, level, device_id, body::text"
                                              " FROM pending_events ORDER BY id LIMIT 1000",
                 NULL, &r);
    if (e != ERR_OK || db_rows(r) == 0) {
        if (e == ERR_OK) {
            db_result_free(r);
        }
        return e;
    }
    struct ops *o = ops_new();
    struct ops_array *ids = ops_array(o, OPS_INT8);
    struct ingest_news *news = calloc((size_t)db_rows(r), sizeof(*news));
    if (news == NULL) {
        ops_free(o);
        db_result_free(r);
        return ERR_NOMEM;
    }
    uint32_t count = 0;
    for (int i = 0; i < db_rows(r); i++) {
        ops_array_int(ids, db_get_int(r, i, 0));
        news[count++] = (struct ingest_news){.ts_us = db_get_int(r, i, 1),
                                             .kind = db_get(r, i, 2),
                                             .level = level_of(db_get(r, i, 3)),
                                             .device_id = (int32_t)db_get_int(r, i, 4),
                                             .json = db_get_view(r, i, 5)};
    }
    ops_add(o, "DELETE FROM pending_events WHERE id = ANY($1)");
    ops_elements(o, ids);
    atomic_store(&m->announcing, true);
    ticket_init(&m->announced, announced);
    ops_ticket(o, &m->announced, 0);
    ingest_announce(m->ingest, o, news, count);
    free(news);
    db_result_free(r);
    return ERR_OK;
}

static enum err connect(struct maintenance *m)
{
    if (m->db != NULL && db_alive(m->db)) {
        return ERR_OK;
    }
    db_close(m->db);
    m->db = NULL;
    return db_open(m->conf->database_url, "signalbox maintenance", &m->db);
}

static void work(struct maintenance *m, int64_t now_us)
{
    bool poked = atomic_exchange(&m->poked, false);
    if (!poked && now_us < m->next_round_us) {
        return;
    }
    if (atomic_load(&m->announcing)) {
        atomic_store(&m->poked, true); /* as soon as that is committed */
        return;
    }
    m->next_round_us = now_us + m->conf->maintenance_interval_us;
    enum err e = connect(m);
    if (e == ERR_OK) {
        e = round_run(m);
    }
    if (e == ERR_OK) {
        e = announce(m);
    }
    if (e == ERR_DB_DOWN) {
        db_close(m->db);
        m->db = NULL; /* store tells of it, for everybody */
    } else if (e != ERR_OK) {
        LOG(LOG_WARN, "maintenance_round_failed", LOG_S("error", err_words(e)),
            LOG_S("next", "it is tried again with the next round"));
    }
}

static void tick(struct mail *mail)
{
    struct maintenance *m = CONTAINER_OF(mail, struct maintenance, tick);
    struct timespec rest = {.tv_nsec = TICK_MS * 1000000L};
    while (!atomic_load(&m->stopping)) {
        work(m, clock_mono_us());
        (void)nanosleep(&rest, NULL);
    }
}

enum err maintenance_new(const struct conf *conf, struct catalog *catalog, struct ingest *ingest,
                         struct maintenance **ret_maintenance)
{
    struct maintenance *m = calloc(1, sizeof(*m));
    if (m == NULL) {
        return ERR_NOMEM;
    }
    m->conf = conf;
    m->catalog = catalog;
    m->ingest = ingest;
    m->tick.run = tick;
    *ret_maintenance = m;
    return ERR_OK;
}

enum err maintenance_start(struct maintenance *m)
{
    m->worker = worker_new("sb-maintenance", 1, NULL, NULL, NULL);
    if (m->worker == NULL) {
        return ERR_NOMEM;
    }
    worker_post(m->worker, &m->tick);
    return ERR_OK;
}

void maintenance_poke(struct maintenance *m)
{
    atomic_store(&m->poked, true);
}

void maintenance_stop(struct maintenance *m)
{
    if (m != NULL && m->worker != NULL) {
        atomic_store(&m->stopping, true);
        worker_stop(m->worker);
    }
}

void maintenance_free(struct maintenance *m)
{
    if (m == NULL) {
        return;
    }
    CHECK(!atomic_load(&m->announcing));
    worker_free(m->worker);
    db_close(m->db);
    free(m);
}
