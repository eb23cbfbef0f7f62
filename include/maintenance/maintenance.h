/*
 * maintenance: keeps the plans: counts what the samples say, finds what is due, opens work orders,
 * and announces what people did with them.
 *
 * Threads:   one of its own, with its own database connection; maintenance_poke() from any thread.
 * Errors:    PostgreSQL away: it is tried again with the next round. A plan that cannot be read any
 * more is logged and left out.
 * Ownership: maintenance_free() after the writer has ended: its ticket may be in a batch until
 * then.
 */
#pragma once

#include "catalog/catalog.h"
#include "conf/conf.h"
#include "ingest/ingest.h"

struct maintenance;

NODISCARD enum err maintenance_new(const struct conf *conf, struct catalog *catalog,
                                   struct ingest *ingest, struct maintenance **ret_maintenance);
NODISCARD enum err maintenance_start(struct maintenance *m);
/* Something changed in the database: announce it now, and look at the plans again. */
void maintenance_poke(struct maintenance *m);
void maintenance_stop(struct maintenance *m); /* NULL is fine */
void maintenance_free(struct maintenance *m);
