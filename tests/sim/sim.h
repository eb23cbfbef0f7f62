/*
 * sim: the whole core in one thread, with virtual time, a model of PostgreSQL and virtual devices.
 *
 * One 64-bit seed decides everything; the same seed gives the same event log. What the core takes
 * from loop, store, session and catalog is provided here under the same names, behind the same
 * headers (link-time replacement), so the code under test is the server's own, unchanged.
 *
 * There are two worlds: the server (its heap is dropped at a crash, heap.c) and everything that
 * outlives it: the model database, the devices, this struct. The latter use world_alloc().
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "conf/conf.h"
#include "ingest/internal.h"
#include "random.h"

enum {
    SIM_DEVICES_MAX = 10,
    SIM_LOOPS_MAX = 3,
    SIM_STORE_THREADS = 3,
    SIM_RULES_MAX = 8,
    SIM_METRICS = 6,
    SIM_SLOTS = 64,
};

/* Whose turn it is; mail of one actor keeps its order. */
enum sim_actor {
    ACTOR_WORLD,
    ACTOR_CORE,
    ACTOR_WRITER,
    ACTOR_API,
    ACTOR_SPOOL,
    ACTOR_NET,
    ACTOR_STORE = ACTOR_NET + SIM_LOOPS_MAX,
    ACTOR_COUNT = ACTOR_STORE + SIM_STORE_THREADS,
};

/* Deliberate faults of the fakes, to show that they are found. */
#define MUTANT_LIST(X)                                                                         \
    X(NONE, "none", "the server as it is")                                                     \
    X(ACK_BEFORE_COMMIT, "ack_before_commit", "tickets are dropped when a batch is handed in") \
    X(NO_CONFLICT_CLAUSE, "no_conflict_clause", "rows that are stored already go in again")    \
    X(COMMIT_TWICE, "commit_twice", "a batch of unknown outcome is applied again")             \
    X(NO_FRESH_STATE, "no_fresh_state", "the first state of a device is not saved")            \
    X(LOSE_SENT, "lose_sent", "commands in state sent are not read back after a restart")      \
    X(LOSE_REPLAY, "lose_replay", "the newest stored sample is left out of a replay")          \
    X(UNORDERED_ACKS, "unordered_acks", "PUBACKs leave in the order of commits")               \
    X(LOSE_DELIVERED, "lose_delivered", "the end of a delivery is sometimes not told")

enum sim_mutant {
#define MUTANT_ENUM(id, name, words) MUTANT_##id,
    MUTANT_LIST(MUTANT_ENUM)
#undef MUTANT_ENUM
        MUTANT_COUNT
};

typedef void (*sim_fn)(void *arg, int64_t n);

struct sim_options {
    enum sim_mutant mutant;
    bool verbose;
    bool no_spool;
    int64_t seconds; /* of faults; 0: the seed decides */
    int tail;        /* lines of the log that a violation prints */
};

struct sim_event {
    int64_t at_us;
    uint64_t order;
    uint32_t life; /* dropped when the server has died since; 0: the world's */
    sim_fn fn;
    void *arg;
    int64_t n;
};

struct net;
struct pg;
struct disk;
struct catalog;
struct store;
struct dev;
struct api;

/* The running server. All of it lives in the server's heap. */
struct sim_server {
    struct catalog *catalog;
    struct intern *metrics;
    struct store *store;
    struct writer *writer;
    struct ingest *ingest;
    struct net *net;
};

struct sim {
    struct sim_options options;
    uint64_t seed;
    struct random random;
    int64_t now_us; /* virtual time, from 0 */
    int64_t epoch_us;
    int64_t wall_off_us;   /* the server's clock is wrong by so much */
    int64_t wall_range_us; /* between the most wrong ones so far */
    int64_t mono_base_us;  /* of this life of the server */
    uint32_t life;         /* 0: the server is not running */
    uint32_t lives;
    int actor;
    struct sim_event *heap;
    size_t heap_count, heap_cap;
    uint64_t next_order;
    uint64_t steps;
    /* the event log */
    uint64_t log_hash;
    uint64_t log_lines;
    /* what is simulated */
    struct conf conf;
    struct sim_server server;
    struct pg *pg;
    struct disk *disk;
    struct dev *devices[SIM_DEVICES_MAX + 1]; /* by id, from 1 */
    int device_count;
    struct api *api;
    int loop_count;
    char *rules[SIM_RULES_MAX]; /* documents */
    int rule_versions[SIM_RULES_MAX];
    int rule_count;
    bool faults; /* they happen */
    bool active; /* devices produce readings */
    int64_t faults_end_us;
    /* what happened, for the summary */
    struct {
        int64_t messages, rows, alerts, commands, crashes, stops, downs, hangs, lost, cuts, touches;
        int64_t jumps, edits;
    } count;
};

struct sim *sim_get(void);

/* schedule.c */
void sim_at(int64_t at_us, uint32_t life, sim_fn fn, void *arg, int64_t n);
void sim_after(int64_t delay_us, uint32_t life, sim_fn fn, void *arg, int64_t n);
bool sim_step(void);
int64_t sim_wall_us(void); /* as it is; the server's may be wrong */
int sim_as(int actor);     /* returns the one before */
int64_t __wrap_clock_wall_us(void);
int64_t __wrap_clock_mono_us(void);

/* journal.c: the event log, and how a broken invariant is told */
__attribute__((format(printf, 1, 2))) void sim_log(const char *format, ...);
__attribute__((format(printf, 2, 3), noreturn)) void sim_violation(const char *invariant,
                                                                   const char *format, ...);
void journal_reset(void);

/* heap.c */
void *world_alloc(size_t size); /* zeroed */
void *world_grow(void *p, size_t size);
char *world_text(const char *text, size_t len);
void world_free(void *p);
void heap_start(void);     /* once */
void heap_next_life(void); /* the server's memory is gone; that of the life before stays readable */

/* random numbers of the run */
int64_t sim_random(int64_t below);
int64_t sim_between(int64_t low, int64_t high); /* both included */
bool sim_chance(int permille);
int64_t sim_delay_us(int64_t usual_us); /* around it, now and then ten times as long */

/* loops.c */
void loop_input(struct loop *l, void (*fn)(void *arg, int loop), void *arg, int index);
void loop_wake(struct loop *l);
struct loop *loop_make(const char *name, int actor);

/* catalog.c */
struct catalog *catalog_boot(const struct conf *conf, struct intern *metrics);
const char *sim_metric_name(int at);
void rules_choose(struct sim *s);
void rule_edit(struct sim *s, int at); /* another threshold; the running catalog has it, too */

/* server.c */
void server_boot(void *arg, int64_t n);
void server_crash(void);
void server_stop_gracefully(void);
void server_touch(enum catalog_kind kind, int32_t id);

/* run.c */
void sim_run(uint64_t seed, const struct sim_options *options);
