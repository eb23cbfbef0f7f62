/*
 * engine: the rules of one device, run over its samples in event time.
 *
 * The state is a pure fold over the device's samples in the order of (ts, arrival): whatever the
 * order they came in, within the lateness bound the alert history is that of the sorted stream.
 *
 * engine_feed() gathers samples, engine_run() puts them in order and runs them. A sample in order
 * costs one step. If any lies before what ran already, the state is rolled back to a snapshot and
 * the samples since are run again, once for all that were gathered; what differs from what was
 * already reported comes out as ENGINE_CORRECTED, ENGINE_RETRACTED or a new alert. So gather as
 * much as waits, then run.
 *
 * Ownership: the caller owns the engine; it holds its rules and the device. Events live in the
 * arena given.
 *
 * Threads: one.
 *
 * Time: what happens without a sample (a window runs empty) happens at its own instant, whether the
 * next sample or engine_advance() shows that it has passed.
 *
 * Restart: engine_save() gives the state of a snapshot that no later sample can change.
 * engine_restore() takes it back, once and before anything else; engine_restore_alert() tells what
 * was reported; the caller then feeds the stored samples from engine_history_from() on, in order of
 * (ts, received_at), with engine_replay(), and ends with engine_replay_end(). After that the engine
 * is bit for bit the one that was saved.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "model/sample.h"
#include "rules/rule.h"

struct engine;

struct engine_rule {
    int32_t rule_id;
    int32_t version;
    struct rule *rule;
};

enum engine_verdict {
    ENGINE_NEW,  /* or known already, which changes nothing */
    ENGINE_LATE, /* older than the lateness bound: changes nothing */
};

enum engine_event_kind {
    ENGINE_PENDING,       /* for the log only: `since` is set */
    ENGINE_PENDING_RESET, /* for the log only */
    ENGINE_FIRED, /* a new alert_id; resolved_at_us is set when it had ended already, which only
                     an out-of-order sample can show: store it closed (RESOLVED still follows) */
    ENGINE_RESOLVED,
    ENGINE_CORRECTED, /* an alert already reported has these times and this value now; it may be
                         open again (resolved_at_us CLOCK_NONE) */
    ENGINE_RETRACTED, /* an alert already reported never was */
    ENGINE_SEVERITY,  /* an open alert is more or less severe now */
};

struct engine_event {
    struct engine_event *next;
    enum engine_event_kind kind;
    int32_t rule_id, rule_version;
    struct rule *rule; /* held by the engine */
    int64_t alert_id;
    int64_t since_us, fired_at_us, resolved_at_us; /* event time; CLOCK_NONE where not yet */
    enum severity severity, worst;                 /* now, or at its end; and the worst it was at */
    int64_t severity_at_us;                        /* since when it has this severity */
    bool late;    /* shown by a sample that only `late: correct` takes: nothing is
                     done about an alert that was over already */
    double value; /* left side of the first comparison of `when`, at the sample that fired; NaN:
                     none */
    struct view summary; /* rendered at the sample that fired; empty: as reported before, or none */
    struct view explain; /* JSON object: why, at this transition; see rules/explain.h */
};

struct engine_out {
    struct arena *arena;
    int64_t *next_alert_id; /* taken and advanced for each alert that fires */
    struct engine_event *first, *last;
    uint32_t evaluations; /* added to */
    enum err err; /* ERR_NOMEM when the arena was exhausted; the engine must be rebuilt then */
};

/* rules: those that select the device. An engine without rules is allowed and only knows the
 * watermark. watermark_us: CLOCK_NONE, or the newest event time the device had before these rules
 * existed: samples up to it fill windows and never drive a rule. NULL: out of memory. */
NODISCARD struct engine *engine_new(struct device *d, const struct engine_rule *rules,
                                    uint32_t count, int64_t lateness_us, int64_t watermark_us);
void engine_free(struct engine *e);

/* `seq` orders samples of the same ts: their arrival (received_at in µs, growing per device).
 * Events come with engine_run(), and here already when no more can be gathered. */
NODISCARD enum engine_verdict engine_feed(struct engine *e, const struct sample *s, int64_t seq,
                                          struct engine_out *out);
void engine_run(struct engine *e, struct engine_out *out); /* all that was gathered */
/* Time passed without a sample: all that happens with time alone up to and with this instant
 * happens, and the `for` of rules that wait is over where nothing came for as long (see
 * server/rules/timers.c). For the clock of a device: newest event time plus what has passed since.
 * An instant that has passed already changes nothing. Save the state together with the events. */
void engine_advance(struct engine *e, int64_t event_time_us, struct engine_out *out);
/* Before this instant engine_advance() does nothing; at it, perhaps. It becomes exact with
 * engine_advance(), and earlier at most with a sample. CLOCK_NONE: there is nothing to wait for. */
int64_t engine_next_due(const struct engine *e);
int64_t engine_clock_us(const struct engine *e); /* newest instant advanced to; CLOCK_NONE: none */
/* Would this sample make the next engine_run() roll back? */
bool engine_reaches_back(const struct engine *e, const struct sample *s);
int64_t engine_watermark_us(const struct engine *e); /* CLOCK_NONE before the first sample */
int64_t engine_lateness_us(const struct engine *e);
bool engine_wants(const struct engine *e, int32_t metric);     /* is the metric read by any rule? */
bool engine_has_rule(const struct engine *e, int32_t rule_id); /* disabled ones are not in it */

void engine_save(const struct engine *e, struct buf *out); /* after engine_run() */
/* ERR_MALFORMED: not ours or of another format. State of rules that are gone or have another
 * version is skipped and those rules start afresh at the saved watermark. */
NODISCARD enum err engine_restore(struct engine *e, struct view state);
/* The alerts of this device that are open, or that ended lately: what was reported already, without
 * those retracted. One that ended before the saved snapshot is ignored, so rather too many than too
 * few. ERR_NOT_FOUND: no such rule here; ERR_STATE: the rule starts afresh and will never end this
 * alert. */
NODISCARD enum err engine_restore_alert(struct engine *e, const struct engine_event *alert);
int64_t engine_history_from(const struct engine *e); /* CLOCK_NONE: nothing needed */
/* A stored sample that is not flagged late or clock; in order of (ts, seq). Nothing is reported
 * here. ERR_STATE: not in order, or after the first engine_feed(). */
NODISCARD enum err engine_replay(struct engine *e, const struct sample *s, int64_t seq,
                                 struct engine_out *out);
/* All stored samples were given: what differs from the alerts restored comes out as corrections
 * (normally nothing). The first engine_feed() does it if nobody did. */
void engine_replay_end(struct engine *e, struct engine_out *out);

/* Baselines of a device without saved state: which metrics need their first `count` values, oldest
 * first. Give fewer when fewer exist; the engine goes on collecting. An attribute
 * "baseline.<metric>" of the device wins. */
bool engine_baseline_wanted(const struct engine *e, uint32_t at, int32_t *ret_metric,
                            int64_t *ret_count);
NODISCARD enum err engine_baseline_seed(struct engine *e, int32_t metric, const double *values,
                                        uint32_t count);

/* An alert that fired while catching up gets its real number: everywhere in the engine `from`
 * becomes `to`. */
void engine_renumber_alert(struct engine *e, int64_t from, int64_t to);
