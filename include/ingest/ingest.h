/*
 * ingest: the core. Publishes become samples, samples run through the rules, and everything that
 * follows goes into one transaction; after the commit the tickets are dropped, commands leave and
 * events are announced.
 *
 * Threads: a `gate` belongs to one net loop and decodes there; what it decoded travels to the
 * core's own thread in blocks, one a loop turn. All device state is the core's. Functions marked
 * "any thread" post mail.
 */
#pragma once

#include "base/ticket.h"
#include "catalog/catalog.h"
#include "command/op.h"
#include "conf/conf.h"
#include "loop/loop.h"
#include "session/session.h"
#include "store/ops.h"
#include "store/store.h"
#include "store/writer.h"

struct ingest;
struct gate;

/* Something that happened, after its commit, in the order of ids. id 0: not stored (a rule that is
 * pending). */
struct ingest_event {
    int64_t id;
    int64_t ts_us;
    const char *kind;
    const char *level; /* of the alert log: info, warn or error */
    int32_t device_id;
    int64_t command_id;
    bool command_final;
    struct view json; /* an object */
};

struct ingest_hooks {
    void *arg;
    void (*event)(void *arg, const struct ingest_event *e); /* on the core's thread */
    void (*resume)(void *arg); /* there is room again: any session may publish */
    void (*deliver)(void *arg, struct session_ref ref, struct session_delivery *d);
    void (*attach_done)(void *arg, struct session_ref ref, enum err status);
    void (*usurped)(void *arg); /* another server uses the database: stop */
};

NODISCARD enum err ingest_new(const struct conf *conf, struct catalog *catalog, struct store *store,
                              struct writer *writer, const struct ingest_hooks *hooks,
                              struct ingest **ret_ingest);
/* Reads what must be known before the first message: open commands, highest ids, partitions. */
NODISCARD enum err ingest_restore(struct ingest *in, struct db *db);
/* Likewise: what rules commanded lately, and who has taken over by hand. */
NODISCARD enum err ingest_restore_automation(struct ingest *in, struct db *db);
NODISCARD enum err ingest_start(struct ingest *in);
/* Finishes what is in the open batch, flushes state, then ends the core's thread. Nothing may be
 * posted afterwards. */
void ingest_stop(struct ingest *in);
void ingest_free(struct ingest *in);

/* One gate for each net loop, made before the loop starts. */
NODISCARD struct gate *gate_new(struct ingest *in, struct loop *net_loop);
void gate_free(struct gate *g); /* after its loop ended */
/* The session hook, on the gate's loop: see session_hooks.publish. */
NODISCARD enum err gate_publish(struct gate *g, struct session *s, const struct session_publish *p,
                                struct ticket *t);
/* The other session hooks; any thread. */
void ingest_attach(struct ingest *in, const struct session_attach *a);
void ingest_filters(struct ingest *in,
                    struct session *s); /* they changed: commands may match now */
void ingest_detach(struct ingest *in, struct session_ref ref, const struct device *device,
                   const char *client_id);
void ingest_delivered(struct ingest *in, int64_t delivery_id, enum err status);

/* Takes o: its statements go into the open batch. Any thread; in the order of the calls of one. */
void ingest_commit(struct ingest *in, struct ops *o);
/* An event of another module. */
struct ingest_news {
    const char *kind;
    const char *level; /* static words */
    int32_t device_id; /* 0: none */
    int64_t ts_us;
    struct view json;
};
/* The same, and with it events: numbered, stored, announced after the commit. Texts are copied. */
void ingest_announce(struct ingest *in, struct ops *o, const struct ingest_news *news,
                     uint32_t count);
int64_t ingest_work_order_id(struct ingest *in);          /* a new one; any thread */
void ingest_submit(struct ingest *in, struct api_op *op); /* any thread */
void ingest_catalog_changed(struct ingest *in, enum catalog_kind kind, int32_t id); /* any thread */
bool ingest_online(struct ingest *in, int32_t device_id); /* any thread: a session is connected */
bool ingest_is_ready(struct ingest *in, char *ret_why, size_t size); /* any thread */
