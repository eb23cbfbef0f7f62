/*
 * internal: what the files of ingest share. Everything here is the core thread's, except where
 * said.
 */
#pragma once

#include <stdatomic.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/ident.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/map.h"
#include "command/book.h"
#include "command/policy.h"
#include "ingest/ingest.h"
#include "loop/timer.h"
#include "payload/telemetry.h"
#include "rules/engine.h"
#include "spool/spool.h"

/* ---- what travels from a gate to the core ---- */

enum ingest_kind {
    INGEST_TELEMETRY,
    INGEST_ATTRIBUTES,        /* reported by the device: body */
    INGEST_ATTRIBUTE_REQUEST, /* id */
    INGEST_ANSWER,            /* to a command: id, body */
    INGEST_CHILD,             /* a gateway's child came or went */
    INGEST_REJECTED,
};

struct ingest_block;
struct ingest_message {
    struct ingest_message *next; /* in the block */
    struct ingest_message *next_parked;
    struct ingest_block *block;
    enum ingest_kind kind;
    struct device *device;  /* held; NULL: a child that does not exist yet, see name */
    struct view name;       /* of the device the message is about */
    struct device *gateway; /* held; whose session it came over, when it is about a child */
    struct session_ref from;
    struct ticket *ticket; /* one hold, or NULL */
    struct api_op *op;     /* of a request of the API: is told why it was refused; or NULL */
    bool first;            /* of its publish: the further parts are those of other children */
    bool counts;           /* in the balance; false for the further parts of one publish */
    bool timed;            /* received_at_us is its time also when it comes again */
    bool spooled;          /* read back from the spool: acknowledged already, its time is fixed */
    bool dup;
    bool connected; /* INGEST_CHILD */
    uint16_t packet_id;
    size_t bytes;     /* of the budget */
    uint64_t publish; /* a number of its own for each publish of this run */
    int64_t received_at_us;
    int64_t id;
    struct payload_samples samples;
    struct view topic, body; /* body: what is kept when the message is rejected */
    struct view payload;     /* the whole of the publish, as it came */
    struct view child_type;
    enum err err; /* INGEST_REJECTED */
    struct view pointer, detail;
};

/* Blocks stay until all their messages are done with; parked messages keep theirs. */
struct ingest_block {
    struct mail mail;
    struct ingest *in;
    struct arena arena;
    struct ingest_message *first, **last;
    uint32_t count;
    uint32_t holds;
};

/* Where a publish comes from: a session, or the spool. */
struct gate_source {
    struct device *device; /* borrowed */
    struct session_ref ref;
    struct payload_hint *hint; /* or NULL */
    struct view topic, payload;
    struct ticket *ticket; /* or NULL */
    int64_t received_at_us;
    uint16_t packet_id;
    bool dup, spooled, counts;
};

/* ---- devices ---- */

enum core_device_state {
    CORE_DEVICE_COLD,     /* nothing loaded yet, or to be loaded again */
    CORE_DEVICE_DRAINING, /* waits for its last batch, to load again */
    CORE_DEVICE_LOADING,
    CORE_DEVICE_READY,
};

struct core_latest {
    int32_t metric;
    bool dirty;
    int64_t ts_us;
    double value; /* NaN when extra is set */
    char *extra;  /* JSON of a text or boolean, owned */
};

/* A sample whose time the server gave, to recognise its redelivery. */
struct core_recent {
    int64_t ts_us;
    int32_t digest;
    uint16_t packet_id;
};
enum { CORE_RECENT_MAX = 256, CORE_SESSIONS_MAX = 8 };

struct core_session {
    struct session_ref ref;
    bool child_of_gateway;
};

struct core_device {
    int32_t id;
    enum core_device_state state;
    bool reload;           /* load again as soon as it is quiet */
    struct device *device; /* held */
    struct engine *engine; /* NULL: no rules */
    struct ingest_message *parked, **parked_last;
    int64_t watermark_us; /* newest event time, without samples flagged clock */
    uint32_t timer;       /* place in the heap of timers.c, from 1; 0: not in it */
    bool timer_stored;
    int64_t timer_us;           /* when it is due, in listening time */
    int64_t timer_watermark_us; /* the watermark it reckons with; CLOCK_NONE: none yet */
    int64_t clock_us, heard_us; /* event time, and listening time when it was that */
    int64_t last_received_us;
    int64_t last_seen_us;
    struct core_latest *latest; /* sorted by metric */
    uint32_t latest_count, latest_cap;
    struct core_recent *recent; /* a ring, allocated with the first such sample */
    uint32_t recent_next;
    int32_t *shape_metrics; /* of the newest sample */
    uint32_t shape_count;
    int32_t shape;
    struct list dirty;
    struct list draining;
    struct list in_line; /* its messages are parked until its turn; see order.c */
    int64_t dirty_since_us;
    uint64_t last_batch; /* number of the newest batch with something of this device */
    struct session_ref sessions[CORE_SESSIONS_MAX]; /* newest last */
    uint32_t session_count;
};

/* ---- batches ---- */

enum after_kind { AFTER_EVENT, AFTER_SEND, AFTER_OP, AFTER_OP_AGAIN, AFTER_TWIN };

struct after {
    struct after *next;
    enum after_kind kind;
    struct ingest_event event;
    int64_t id;
    struct api_op *op;
};

struct core_batch {
    struct mail mail;
    struct core_batch *next_free;
    struct ingest *in;
    struct batch *batch;
    struct arena arena; /* of what is to be done afterwards */
    struct after *first, **last;
    uint64_t number;
    uint32_t messages;     /* to give back to the budget */
    uint32_t appended;     /* messages of other modules, which are not of the budget */
    size_t bytes;          /* the same */
    size_t automated;      /* bytes that commands of rules put into it; see automation.c */
    struct buf raw;        /* its telemetry as it came, if a spool is configured; see spooling.c */
    uint64_t last_publish; /* the newest one in raw */
    uint32_t spooled;      /* messages read back from the spool */
};

/* See order.c. */
struct order {
    struct list line; /* of devices whose messages reach back in time */
    struct loop_timer *rest;
    struct arena arena; /* of one run's events */
};

/* See timers.c. */
struct timers {
    struct core_device **heap; /* by timer_us */
    uint32_t count, cap;
    bool listening;
    int64_t listened_us; /* at the tick before, which was at tick_us */
    int64_t tick_us;
    int32_t *wake; /* devices to be loaded after the start */
    uint32_t wake_count, wake_next;
};

/* An action whose targets are all left alone by the loop guard: nobody looks for them. */
struct automation_pause {
    int32_t rule_id, rule_version, action;
    int32_t gateway; /* whose children they are; 0: a selector's */
    int64_t until_us;
};
enum { AUTOMATION_PAUSES_MAX = 64 };

struct partition_range {
    int64_t from_us, to_us;
};

struct ingest {
    const struct conf *conf;
    struct catalog *catalog;
    struct store *store;
    struct writer *writer;
    struct intern *metrics;
    struct ingest_hooks hooks;
    struct loop *loop;
    struct loop_timer *tick, *slow_tick;
    struct command_book *book;
    struct command_policy *policy;                         /* of commands that rules want */
    struct automation_pause pauses[AUTOMATION_PAUSES_MAX]; /* a ring: the newest ones */
    uint32_t pause_next;

    struct core_device **devices; /* by id */
    int32_t device_cap;
    struct map children; /* names of children that are being created -> struct child */
    struct list dirty;
    struct list draining;
    struct order order;
    struct timers timers;
    struct lock online_lock;
    struct map online; /* device id -> itself; for any thread, under the lock */
    struct map keys;   /* idempotency keys that may not be committed yet; see keys.c */
    struct list keys_by_age;
    char name[IDENT_MAX + 1]; /* the answer of the newest look-up of a name */

    struct core_batch *open;
    struct core_batch *free_batches;
    uint32_t submitted;
    uint64_t next_batch, committed_batch;

    int64_t next_alert_id, next_event_id;
    atomic_int_fast64_t next_work_order_id; /* any thread */
    int32_t metrics_saved;
    struct map shapes; /* metric numbers as bytes -> (void *)(intptr_t)id */
    int32_t next_shape;
    int64_t partition_boundary_us;
    struct partition_range *partitions; /* known to exist, sorted */
    uint32_t partition_count, partition_cap;
    uint32_t partition_hint;
    int64_t maintained_day;
    bool maintaining;

    struct spooling *spooling; /* NULL: no spool */
    bool stopping;
    struct mail stop;
    atomic_uint_fast64_t publishes; /* numbers for them */
    atomic_int_fast64_t in_flight;  /* messages between a gate and their commit */
    atomic_int_fast64_t in_flight_bytes;
    atomic_bool starved;  /* a gate refused something */
    int64_t tick_wall_us; /* the wall clock of this turn */
    int64_t op_last_us;   /* as the gates' last_us, for readings by HTTP */
};

/* core.c */
struct batch *core_batch(struct ingest *in);        /* the open batch */
void core_append(struct ingest *in, struct ops *o); /* takes o over, into the open batch */
struct after *core_after(struct ingest *in, enum after_kind kind);
void core_ship(struct ingest *in);
uint32_t core_batch_messages(const struct core_batch *cb); /* those of the budget */
void core_batch_arm(struct core_batch *cb);                /* before it goes to the writer */
/* Stores an event with the open batch and announces it after the commit. stored false: announced
 * only. */
void core_event(struct ingest *in, const char *kind, const char *level, int32_t device_id,
                int64_t ts_us, struct view json, bool stored);
void core_message_end(struct ingest *in, struct ingest_message *m); /* the core is done with it */
/* The budget of messages under way. */
void core_in_flight_add(struct ingest *in, const struct ingest_message *m);
bool core_in_flight_full(const struct ingest *in); /* any thread */
bool core_in_flight_half(const struct ingest *in);
void core_give_back(struct ingest *in, uint32_t messages, size_t bytes);
void core_batch_touch(struct ingest *in, struct core_device *cd);
uint64_t core_batch_number(struct ingest *in); /* of the open batch */

/* gate.c */
NODISCARD enum err gate_take(struct gate *g, const struct gate_source *from);
void gate_flush_now(struct gate *g);

/* spooling.c: everything is a no-op without a spool */
NODISCARD enum err spooling_new(struct ingest *in);
void spooling_free(struct ingest *in);
void spooling_start(struct ingest *in); /* what an earlier run left is read first */
void spooling_stop(struct ingest *in);
/* A message that reached the core. True: it was taken, to be read back later. */
bool spooling_take(struct ingest *in, struct ingest_message *m);
/* A message that went into the open batch: keeps it as it came, in case the batch cannot be
 * committed. */
void spooling_keep(struct ingest *in, const struct ingest_message *m);
/* The batch came back uncommitted because the core asked for it. */
void spooling_recalled(struct ingest *in, struct core_batch *cb);
void spooling_committed(struct ingest *in, struct core_batch *cb);
void spooling_read_again(struct ingest *in, uint32_t messages); /* on their way to the core */
bool spooling_is_on(const struct ingest *in);                   /* messages go to the spool */
bool spooling_holds_batches(const struct ingest *in); /* the open batch is not to be shipped */
void spooling_turn(struct ingest *in);
void spooling_tick(struct ingest *in);

/* device.c */
struct core_device *core_device(struct ingest *in, int32_t id, bool create);
void core_devices_free(struct ingest *in);
void core_message(struct ingest *in, struct ingest_message *m);
/* Does what is parked, until so many samples are taken, and runs the rules. False: there is more.
 */
bool core_parked_serve(struct ingest *in, struct core_device *cd, uint32_t samples);
/* Gives all parked messages of all devices and children to `take`. */
void core_parked_take(struct ingest *in, void (*take)(struct ingest *in, struct ingest_message *m));
void core_device_wake(struct ingest *in, struct core_device *cd); /* load it if it is cold */
void core_device_reload(struct ingest *in, struct core_device *cd);
/* It was deleted and nothing of it is under way: ends what is open. */
void core_device_gone(struct ingest *in, struct core_device *cd);
void core_device_quiet(struct ingest *in); /* after a commit: those that waited for it load again */
void core_reload_for_rule(struct ingest *in, int32_t rule_id);

/* load.c: on a store thread, then back */
void core_load(struct ingest *in, struct core_device *cd);
void core_loaded(struct ingest *in,
                 struct core_device *cd); /* device.c: hands out what was parked */

/* telemetry.c */
void core_telemetry(struct ingest *in, struct core_device *cd, struct ingest_message *m);
void core_reject(struct ingest *in, struct ingest_message *m, enum err why, struct view pointer,
                 struct view detail);
void core_latest_update(struct core_device *cd, const struct sample *s);
int32_t core_shape(struct ingest *in, struct core_device *cd, const struct sample *s);

/* order.c */
void core_order_init(struct ingest *in);
void core_order_fini(struct ingest *in);
/* Gives a sample to the device's rules; false: it is late. What they say comes with the run. */
bool core_order_take(struct ingest *in, struct core_device *cd, const struct sample *s,
                     int64_t seq);
void core_order_run(struct ingest *in, struct core_device *cd);
/* The device's clock has come to this instant and nothing was heard. */
void core_order_advance(struct ingest *in, struct core_device *cd, int64_t event_time_us);
/* The message reaches back in time, or stands behind one that does: it is to be parked. */
bool core_order_waits(struct ingest *in, struct core_device *cd, const struct ingest_message *m);
void core_order_turn(struct ingest *in);
void core_order_stop(struct ingest *in); /* what waits in line is done */

/* effects.c */
void core_effects(struct ingest *in, struct core_device *cd, struct engine_out *out);
void core_orphan_alert(struct ingest *in, int32_t device_id, int64_t alert_id,
                       int64_t resolved_at_us, const char *cause, bool shadow);

/* timers.c */
void core_timer_heard(struct ingest *in, struct core_device *cd); /* its readings ran */
void core_timer_loaded(struct ingest *in, struct core_device *cd);
void core_timer_gone(struct ingest *in, struct core_device *cd);
/* The device was deleted. */
void core_timer_forget(struct ingest *in, struct core_device *cd);
void core_timers_tick(struct ingest *in);
void core_timers_stop(struct ingest *in); /* how long devices have been silent is kept */
NODISCARD enum err core_timers_restore(struct ingest *in, struct db *db);
void core_timers_fini(struct ingest *in);

/* alert_life.c: what people do with alerts, and events of others; answered after the commit */
void core_alert_life(struct ingest *in, struct api_op *op);
void core_note(struct ingest *in, struct api_op *op);

/* notice.c: the outbox of notifications */
/* body: the alert as its event tells it. */
void core_notice(struct ingest *in, const struct core_device *cd, const struct engine_event *e,
                 struct view body);
/* To whom it was told that the alert fires: that it does not any more. */
void core_notice_orphan(struct ingest *in, int64_t alert_id, int64_t resolved_at_us);
/* automation.c: a rule acts on other devices */
void core_automate(struct ingest *in, const struct core_device *cd, const struct engine_event *e,
                   const struct rule_action *a);
void core_op_override(struct ingest *in, struct api_op *op);
void core_twin_told(struct ingest *in, int32_t device_id, struct view desired); /* committed */

/* flush.c */
void core_dirty(struct ingest *in, struct core_device *cd);
void core_flush_due(struct ingest *in, bool all);
void core_flush_device(struct ingest *in, struct core_device *cd);

/* partition.c */
NODISCARD enum err core_partitions_restore(struct ingest *in, struct db *db);
void core_partition_need(struct ingest *in, int64_t ts_us);
void core_maintain(struct ingest *in); /* partitions ahead, retention */

/* answers.c */
void core_answer(struct ingest *in, struct core_device *cd, struct ingest_message *m);
void core_attributes(struct ingest *in, struct core_device *cd, struct ingest_message *m);
void core_attribute_request(struct ingest *in, struct core_device *cd, struct ingest_message *m);
NODISCARD struct command_book *core_book_new(struct ingest *in);

/* requests.c, keys.c, posted.c: requests of the API */
void core_op_end(struct api_op *op, enum err status, const char *detail); /* the answer, now */
/* False: it is answered already, and gone. Else it is answered after the commit. */
bool core_op_create(struct ingest *in, struct api_op *op);
void core_op_keyed(struct ingest *in, struct api_op *op); /* one with an idempotency key */
void core_keys_expire(struct ingest *in);                 /* committed for more than a minute */
void core_post(struct ingest *in, struct api_op *op);
/* The same in two steps, to change the message between them. NULL: answered already. */
NODISCARD struct ingest_message *core_post_new(struct ingest *in, struct api_op *op);
void core_post_take(struct ingest *in, struct ingest_message *m);
void core_post_drop(struct ingest_message *m); /* instead of taking it; the request waits still */

/* child.c */
void core_children_take(struct ingest *in,
                        void (*take)(struct ingest *in, struct ingest_message *m));
void core_child(struct ingest *in, struct core_device *cd, struct ingest_message *m);
bool core_child_allowed(struct ingest *in, struct ingest_message *m); /* false: m was rejected */
