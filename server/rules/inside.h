/*
 * inside: the engine's parts, for this module.
 *
 * What is fixed while an engine lives (slots, machines, ranges) is apart from what the fold over
 * the samples changes (struct engine_state: flat, copied whole for a snapshot). The series and the
 * episodes are appended to by the fold and cut back with it, so they belong to the state although
 * they are not copied.
 */
#pragma once

#include "base/clock.h"
#include "base/emit_json.h"
#include "rules/compiled.h"
#include "rules/engine.h"
#include "rules/history.h"
#include "rules/order.h"
#include "rules/series.h"

enum { ENGINE_SNAPSHOTS_MAX = 8, ENGINE_BASELINE_DEFAULT = 300 };

/* A reading beyond this is no reading: sums over a window of such values would overflow. */
#define ENGINE_VALUE_MAX 1e290

/* A metric that some rule of the device reads, or one of its texts. */
struct engine_slot {
    int32_t metric;
    const char *text; /* its values are 1 for this text, 0 for others; NULL: numbers */
    const struct metric_spec *spec; /* of the device's type; NULL: undeclared */
    uint32_t *machines;             /* to evaluate when the metric comes */
    uint32_t machine_count;
    bool has_series;
    int64_t window_us;         /* the longest over it */
    uint64_t baseline_samples; /* 0: no rule reads its baseline */
    int64_t baseline_after_us; /* samples up to this time are in the seed, not counted again */
    bool baseline_fresh;       /* may be seeded */
    double baseline_fixed;     /* the operator's, from the attribute; NaN: none */
    uint64_t saved_end; /* number of the series' next point in the restored state, in its block */
    struct engine_series series;
};

/* A window of one machine: several functions may look at it. */
struct engine_range {
    uint32_t slot;
    int64_t window_us;
    bool sums;    /* avg or sum is among the functions */
    bool ordered; /* quantile or its like is */
    struct engine_order order;
    uint64_t saved_count;  /* points it had in the restored state; 0: none */
    int64_t saved_tail_us; /* time of the oldest of them */
};

/* An input of a rule, bound to this device. */
struct engine_input {
    enum rule_input_kind kind;
    enum rule_range fn;
    uint32_t slot;
    uint32_t range;
    enum rule_clock clock;
    enum rule_memory memory;
    uint32_t place; /* of a memory, in the state */
    int64_t limit_us;
    double param;
    double fixed;   /* of an attribute */
    uint32_t fence; /* its place in engine.fences */
    const struct rule_input *source;
};

/* How bad an alert is: now, or at its end. */
struct engine_degree {
    uint64_t level;     /* of the rule, from 1, the worst first; 0: no alert */
    uint64_t worst;     /* the worst it was at */
    int64_t changed_us; /* since when it is at `level` */
};

/* One firing of a rule, from `since` to its end. */
struct engine_episode {
    int64_t alert_id; /* 0: not given yet */
    int64_t since_us, fired_us, resolved_us;
    struct engine_degree degree;
    double value;
    /* Only while it is not decided what of it is reported: */
    char *summary;
    char *explain_fired;
    char *explain_resolved;
    const struct engine_episode *told_as; /* what it was reported as; NULL: not yet */
    bool paired;                          /* one that was told: it is still true in some form */
};

struct engine_episodes {
    struct engine_episode *items;
    uint32_t count, cap;
};

struct engine_machine {
    int32_t rule_id, version;
    struct rule *rule;
    int64_t after_us; /* samples up to this time do not drive the rule */
    bool timed;       /* may change with time alone: see timers.c */
    int64_t due_us;   /* when it does, as far as the state says; CLOCK_NONE: never */
    struct engine_input *inputs;
    uint32_t range_first, range_count;
    uint32_t level_first; /* of the rule's levels, in the state */
    uint32_t memory_first, memory_count;
    struct engine_episodes episodes; /* what the fold says; the oldest has number `episode_first` */
    uint64_t episode_first;
    struct engine_episodes told; /* what was reported, while the fold runs again */
    uint32_t told_from;          /* the first of `episodes` that `told` is compared with */
    bool restored;               /* its state was taken from a save */
    uint64_t touched;            /* the number of the last step that evaluates it */
};

struct engine_slot_state {
    int64_t last_us; /* CLOCK_NONE: no value yet */
    double last;
    uint64_t end; /* of the series */
    uint64_t baseline_count;
    double baseline_sum;
};

/* The points [tail, end) of the series; sum + carry is their sum (Neumaier). */
struct engine_range_state {
    uint64_t tail, end;
    double sum, carry;
};

/* What a for_total or then knows of the samples before: see memory.c. */
struct engine_memory_state {
    int64_t prev_us;  /* the evaluation before */
    int64_t since_us; /* of its first condition: when it held last, or began */
    int64_t total_us;
    uint64_t held;  /* did the first condition hold then? */
    uint64_t value; /* of the whole then */
};

enum engine_phase { ENGINE_NORMAL, ENGINE_WAITING, ENGINE_ACTIVE };

/* One severity of a rule. */
struct engine_level_state {
    int64_t since_us; /* first sample of the unbroken run of `when` */
    int64_t clear_us; /* first sample of the unbroken run of `clear` */
    double value;     /* at the newest sample of the run of `when` */
    uint64_t phase;   /* enum engine_phase; as wide as the rest, so that no byte is padding */
};

struct engine_machine_state {
    int64_t prev_us;  /* the newest evaluation by a sample */
    int64_t timer_us; /* the newest one by time alone */
    int64_t since_us; /* of the alert, as long as there is one */
    int64_t fired_us;
    int64_t ended_us; /* of the alert before */
    double value;
    uint64_t fired_count; /* episodes so far */
    struct engine_degree degree;
};

/* The newest position. */
struct engine_place_state {
    int64_t us; /* CLOCK_NONE: none yet */
    double latitude, longitude;
};

/* What the fence said of the newest position: who is inside leaves by another edge. */
struct engine_fence_state {
    uint64_t inside; /* 0 or 1; as wide as the rest, so that no byte is padding */
};

struct engine_state {
    int64_t newest_us; /* all samples up to this time are in it */
    int64_t timer_us;  /* the newest instant at which time alone changed it; CLOCK_NONE: none */
    struct engine_place_state place;
    struct engine_slot_state *slots;
    struct engine_range_state *ranges;
    struct engine_machine_state *machines;
    struct engine_level_state *levels;
    struct engine_memory_state *memories;
    struct engine_fence_state *fences;
};

enum engine_mode {
    ENGINE_FRESH,     /* may be restored and seeded */
    ENGINE_REPLAYING, /* takes stored samples */
    ENGINE_LIVE,
};

struct engine {
    struct device *device;
    enum engine_mode mode;
    bool quiet;      /* the fold runs again: record, do not report */
    bool late;       /* what is reported is an alert that nobody is to be told of */
    bool correcting; /* among the samples gathered is one that is later than `lateness` */
    bool restored;
    enum err failed; /* out of memory once: of no use any more */
    int64_t lateness_us,
        spacing_us;    /* all that is put in order, also what comes too late but corrects */
    int64_t prompt_us; /* samples up to so late are not too late */
    int64_t watermark_us;
    int64_t first_us; /* restored without a base: where the replay begins; CLOCK_NONE: no samples */
    struct engine_slot *slots; /* sorted by metric */
    uint32_t slot_count;
    struct engine_range *ranges;
    uint32_t range_count;
    uint32_t memory_count;
    struct engine_machine *machines;
    uint32_t machine_count;
    uint32_t level_count; /* of all machines */
    uint32_t timed_count; /* machines that change with time alone */
    int64_t due_us;       /* nothing happens by time alone before; CLOCK_NONE: nothing at all */
    int64_t clock_us;     /* known to have passed, by engine_advance() */
    int64_t *saved_ticks; /* of the restored state, not replayed yet: see timers.c */
    uint32_t saved_tick_count, saved_tick_next;
    const struct fence **fences; /* that rules name, sorted by id; the rules hold them */
    uint32_t fence_count;
    uint32_t latitude, longitude; /* slots; only when there are fences */
    struct engine_state *now;
    struct engine_state *snapshots[ENGINE_SNAPSHOTS_MAX]; /* oldest first; [0] is the base */
    uint32_t snapshot_count;
    struct engine_history history;
    uint64_t step;
    uint32_t *touched;               /* room for every machine */
    struct engine_reading *readings; /* room for every slot */
    double *values;                  /* room for the inputs of any rule */
    bool sealed;                     /* a replay has passed the base */
};

/* bind.c */
NODISCARD enum err engine_bind(struct engine *e, const struct engine_rule *rules, uint32_t count);
void engine_unbind(struct engine *e);
/* A slot of the metric, if there is one the one of its numbers. */
NODISCARD bool engine_find_slot(const struct engine *e, int32_t metric, uint32_t *ret_slot);
/* text: NULL: the slot of its numbers. */
NODISCARD bool engine_find_text_slot(const struct engine *e, int32_t metric, const char *text,
                                     uint32_t *ret_slot);
/* A number that is a reading: not text, not a sentinel for "no reading", not absurd. */
bool engine_is_reading(const struct engine_slot *slot, const struct sample_value *v);
/* The values of a sample that rules read, into e->readings; returns how many. */
uint32_t engine_pick(const struct engine *e, const struct sample *s);

/* state.c */
struct engine_state *engine_state_new(const struct engine *e); /* NULL: out of memory */
void engine_state_copy(const struct engine *e, struct engine_state *to,
                       const struct engine_state *from);
/* Takes a snapshot if a sample of time `next_us` opens a new cell of the grid. */
void engine_snapshot_before(struct engine *e, int64_t next_us);
/* Moves the base to the newest snapshot that no later sample can change. */
void engine_base_advance(struct engine *e);
/* Moves the base on although later samples could have changed it: the history is full. */
void engine_base_force(struct engine *e);
/* Goes back to the newest snapshot before ts_us. */
void engine_roll_back(struct engine *e, int64_t ts_us);

/* window.c: brings a window to time t. */
void engine_range_advance(struct engine *e, uint32_t range, int64_t t_us);
/* Adds up the window anew; for a window whose points are not those that were saved. */
void engine_range_recount(struct engine *e, uint32_t range);
/* Before the series forget what lies behind the state. */
void engine_orders_cut(struct engine *e);

/* range.c */
double engine_range_value(const struct engine *e, const struct engine_input *in, int64_t t_us);

/* memory.c */
/* A sample drives the machine at time t: e->values has what is before the input. */
void engine_memory_step(struct engine *e, const struct engine_machine *m,
                        const struct engine_input *in, int64_t t_us);
double engine_memory_value(const struct engine *e, const struct engine_input *in, int64_t t_us);
/* The next time after t at which one of them changes with time alone; CLOCK_NONE: none does. */
int64_t engine_memory_due_us(const struct engine *e, uint32_t machine, int64_t t_us);

/* value.c: what an input is at time t. */
double engine_input_value(const struct engine *e, const struct engine_machine *m,
                          const struct engine_input *in, int64_t t_us);

/* geo.c */
NODISCARD enum err engine_fences_bind(struct engine *e);        /* after the slots */
uint32_t engine_fence_find(const struct engine *e, int32_t id); /* fence_count: not there */
/* The readings of time t are in: if they make a position, the fences are asked. */
void engine_place_step(struct engine *e, int64_t t_us);
double engine_fence_value(const struct engine *e, const struct engine_input *in, int64_t t_us);

/* machine.c: the fold: one sample. False: it changed nothing. */
bool engine_step(struct engine *e, const struct engine_entry *s, struct engine_out *out);
/* The machine at an instant that no sample brought. */
void engine_step_timed(struct engine *e, uint32_t machine, int64_t t_us, struct engine_out *out);
/* The clock says that nothing came: what only waits is over. */
void engine_step_tick(struct engine *e, int64_t t_us, struct engine_out *out);

/* engine.c: the clock has come to t_us and nothing was heard. */
void engine_tick(struct engine *e, int64_t t_us, struct engine_out *out);

/* timers.c */
/* Runs what time alone changes up to and with `until_us`. */
void engine_timers_run(struct engine *e, int64_t until_us, struct engine_out *out);
void engine_timer_set(struct engine *e, uint32_t machine); /* after the machine moved */
void engine_timers_reset(struct engine *e);                /* after the state was exchanged */
/* When something happens by time alone next, CLOCK_NONE: never. True: by silence, with a tick. */
bool engine_timers_next(struct engine *e, int64_t *ret_due_us);
/* When silence alone completes what a level waits for; CLOCK_NONE: it does not wait. */
int64_t engine_silence_us(const struct engine *e, uint32_t machine, uint32_t level);
/* When silence completes the first of what the levels wait for. */
int64_t engine_silent_due(const struct engine *e, uint32_t machine);

/* The inputs of a rule at time t, which is not before its newest evaluation, into e->values. */
void engine_gather(struct engine *e, uint32_t machine, int64_t t_us);

/* explain.c: where the rule is, with e->values, as members of an object. */
void engine_explain(const struct engine *e, uint32_t machine, struct emit_json *j);

/* episode.c */
void engine_fired(struct engine *e, uint32_t machine, struct engine_out *out);
void engine_resolved(struct engine *e, uint32_t machine, int64_t t_us, struct engine_out *out);
void engine_degree_changed(struct engine *e, uint32_t machine, struct engine_out *out);
void engine_note(struct engine *e, uint32_t machine, enum engine_event_kind kind, int64_t since_us,
                 struct engine_out *out);
/* Keeps what is reported of the episodes that a roll-back to e->now opens again. */
void engine_episodes_reopen(struct engine *e);
/* Reports what differs between told and episodes, and forgets told. */
void engine_reconcile(struct engine *e, struct engine_out *out);
/* Forgets the episodes that ended before the base. */
void engine_episodes_trim(struct engine *e);
/* save.c: the samples up to the base are in; windows find their points again. */
void engine_seal(struct engine *e);
/* Begins at `watermark_us` instead of at the beginning of time: nothing up to it drives a rule. */
void engine_begin_at(struct engine *e, int64_t watermark_us);

NODISCARD enum err engine_episodes_push(struct engine_episodes *list, struct engine_episode ep);
void engine_episodes_fini(struct engine_episodes *list);
