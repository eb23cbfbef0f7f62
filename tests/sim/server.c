/*
 * server: a life of the server, in the order of app/wire.c: the catalog, the lane, the core, the
 * doors; and its three ends: a crash, a stop, a start that does not succeed.
 */
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "base/check.h"
#include "checks.h"
#include "db_fake.h"
#include "devices.h"
#include "disk.h"

enum { METRICS_LIMIT = 500 };

static void on_event(void *arg, const struct ingest_event *e)
{
    (void)arg;
    check_event(e);
}

static void on_resume(void *arg)
{
    net_resume(((struct sim *)arg)->server.net);
}

static void on_deliver(void *arg, struct session_ref ref, struct session_delivery *d)
{
    net_deliver(((struct sim *)arg)->server.net, ref, d);
}

static void on_attach_done(void *arg, struct session_ref ref, enum err status)
{
    net_attach_done(((struct sim *)arg)->server.net, ref, status);
}

static void on_usurped(void *arg)
{
    (void)arg;
    sim_violation("no batch is given up", "the core asks to be stopped");
}

static enum err start_core(struct sim *s, struct db *db)
{
    const struct ingest_hooks hooks = {.arg = s,
                                       .event = on_event,
                                       .resume = on_resume,
                                       .deliver = on_deliver,
                                       .attach_done = on_attach_done,
                                       .usurped = on_usurped};
    struct sim_server *v = &s->server;
    enum err e = store_new(&s->conf, &v->store);
    if (e == ERR_OK) {
        e = writer_new(&s->conf, &v->writer);
    }
    if (e == ERR_OK) {
        e = writer_start(v->writer);
    }
    if (e == ERR_OK) {
        e = ingest_new(&s->conf, v->catalog, v->store, v->writer, &hooks, &v->ingest);
    }
    return e == ERR_OK ? ingest_restore(v->ingest, db) : e;
}

void server_boot(void *arg, int64_t n)
{
    (void)arg;
    (void)n;
    struct sim *s = sim_get();
    if (s->life != 0) {
        return;
    }
    if (s->pg->down || s->pg->hung_until_us > s->now_us) {
        sim_after(CLOCK_SECOND_US, 0, server_boot, NULL, 0);
        return;
    }
    heap_next_life();
    s->life = ++s->lives;
    s->mono_base_us = sim_between(1, 1000) * CLOCK_SECOND_US;
    sim_log("life %u of the server", s->life);
    struct db db = {.queries_left = s->faults && sim_chance(50) ? (int)sim_random(9) : -1};
    memset(&s->server, 0, sizeof(s->server));
    s->server.metrics = intern_new(METRICS_LIMIT);
    s->server.catalog = catalog_boot(&s->conf, s->server.metrics);
    writer_ghost_ends(false);
    if (start_core(s, &db) != ERR_OK) {
        sim_log("the start failed");
        s->life = 0;
        sim_after(CLOCK_SECOND_US, 0, server_boot, NULL, 0);
        return;
    }
    check_life_begins();
    s->server.net = net_new_fake(s->server.ingest, &s->conf);
    CHECK(ingest_start(s->server.ingest) == ERR_OK);
    net_start(s->server.net);
}

static void conn_gone(void *arg, int64_t n)
{
    struct dev *d = arg;
    if (d->conn != NULL && d->conn->id == n) {
        device_conn_gone(d, d->conn);
    }
}

/* The devices notice after a while. */
static void cut_all(struct sim *s)
{
    for (int i = 1; i <= s->device_count; i++) {
        struct dev *d = s->devices[i];
        if (d->conn != NULL) {
            d->conn->cut = true;
            sim_after(sim_between(100, 2000000), 0, conn_gone, d, d->conn->id);
        }
    }
    api_server_died();
}

void server_crash(void)
{
    struct sim *s = sim_get();
    if (s->life == 0) {
        return;
    }
    s->count.crashes++;
    sim_log("crash");
    writer_left_behind(s->server.writer);
    spool_dies();
    s->life = 0;
    memset(&s->server, 0, sizeof(s->server));
    cut_all(s);
    sim_after(sim_between(50000, sim_chance(200) ? 30000000 : 3000000), 0, server_boot, NULL, 0);
}

void server_stop_gracefully(void)
{
    struct sim *s = sim_get();
    if (s->life == 0) {
        return;
    }
    s->count.stops++;
    sim_log("stop");
    struct sim_server *v = &s->server;
    net_stop(v->net);
    ingest_stop(v->ingest);
    store_stop(v->store);
    ingest_free(v->ingest);
    net_free_fake(v->net);
    writer_free(v->writer);
    store_free(v->store);
    catalog_free(v->catalog);
    intern_free(v->metrics);
    s->life = 0;
    memset(&s->server, 0, sizeof(s->server));
    cut_all(s);
    sim_after(sim_between(50000, 2000000), 0, server_boot, NULL, 0);
}

/* Changed in the catalog, in nothing that the rules read: what was open stays open. */
void server_touch(enum catalog_kind kind, int32_t id)
{
    struct sim *s = sim_get();
    if (s->life == 0) {
        return;
    }
    s->count.touches++;
    sim_log("catalog: kind %d, %d changed", (int)kind, id);
    int before = sim_as(ACTOR_API);
    ingest_catalog_changed(s->server.ingest, kind, id);
    (void)sim_as(before);
}
