#include "api/backtests.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/internal.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "loop/worker.h"
#include "store/history.h"

struct backtest_job {
    struct mail mail;
    struct list node; /* oldest first */
    struct api_backtests *all;
    struct api_backtest_order order;
    int64_t id;
    atomic_bool cancel;
    atomic_ullong samples;
    atomic_uint devices_done;
    /* under the lock */
    enum api_backtest_state state;
    int64_t created_us, started_us, ended_us;
    const char *error;
    struct buf report; /* members of the object, without brackets */
    /* of the run */
    struct backtest *test;
    int64_t deadline_us;
    bool late;
};

struct api_backtests {
    struct api *api;
    struct worker *worker;
    struct lock lock;
    struct list jobs;
    uint32_t count, open;
    int64_t next_id;
    bool stopping;
};

static const char *const state_words[] = {[BACKTEST_QUEUED] = "queued",
                                          [BACKTEST_RUNNING] = "running",
                                          [BACKTEST_DONE] = "done",
                                          [BACKTEST_FAILED] = "failed",
                                          [BACKTEST_CANCELLED] = "cancelled"};

void api_backtest_order_fini(struct api_backtest_order *o)
{
    for (uint32_t i = 0; i < o->device_count; i++) {
        device_drop(o->devices[i]);
    }
    free(o->devices);
    if (o->candidate != NULL) {
        rule_drop(o->candidate);
    }
    if (o->against != NULL) {
        rule_drop(o->against);
    }
    *o = (struct api_backtest_order){.candidate = NULL};
}

static void job_free(struct backtest_job *job)
{
    api_backtest_order_fini(&job->order);
    buf_fini(&job->report);
    free(job);
}

struct api_backtests *api_backtests_new(struct api *a)
{
    struct api_backtests *all = calloc(1, sizeof(*all));
    if (all == NULL) {
        return NULL;
    }
    all->api = a;
    all->next_id = 1;
    lock_init(&all->lock);
    list_init(&all->jobs);
    return all;
}

void api_backtests_stop(struct api_backtests *all)
{
    lock_take(&all->lock);
    all->stopping = true;
    for (struct list *at = all->jobs.next; at != &all->jobs; at = at->next) {
        atomic_store(&CONTAINER_OF(at, struct backtest_job, node)->cancel, true);
    }
    struct worker *worker = all->worker;
    lock_give(&all->lock);
    if (worker != NULL) {
        worker_stop(worker);
    }
}

void api_backtests_free(struct api_backtests *all)
{
    if (all == NULL) {
        return;
    }
    if (all->worker != NULL) {
        worker_free(all->worker);
    }
    while (!list_empty(&all->jobs)) {
        job_free(CONTAINER_OF(list_pop_front(&all->jobs), struct backtest_job, node));
    }
    lock_fini(&all->lock);
    free(all);
}

/* ---- the run ----------------------------------------------------------------------------------
 */

struct target_visit {
    const struct rule_action *action;
    backtest_target_fn each;
    void *arg;
};

static bool visit_target(void *arg, struct device *d)
{
    struct target_visit *v = arg;
    if (rule_selector_matches(v->action->selector, d)) {
        v->each(v->arg, d->name);
    }
    return true;
}

static void targets(void *arg, const struct rule_action *a, const struct device *d,
                    backtest_target_fn each, void *each_arg)
{
    struct catalog *catalog = arg;
    struct target_visit v = {.action = a, .each = each, .arg = each_arg};
    if (a->target == RULE_TARGET_SELF) {
        each(each_arg, d->name);
    } else if (a->target == RULE_TARGET_DEVICE) {
        each(each_arg, a->device);
    } else if (a->target == RULE_TARGET_SELECT) {
        catalog_visit_devices(catalog, visit_target, &v);
    } else if (a->target == RULE_TARGET_GATEWAY && d->gateway != 0) {
        struct device *gateway = catalog_device_by_id(catalog, d->gateway);
        if (gateway != NULL) {
            each(each_arg, gateway->name);
            device_drop(gateway);
        }
    }
}

/* Time and the operator are asked now and then. */
static bool goes_on(struct backtest_job *job)
{
    job->late = job->late || clock_mono_us() > job->deadline_us;
    return !job->late && !atomic_load(&job->cancel);
}

static bool take_sample(void *arg, const struct sample *s, int64_t received_us)
{
    struct backtest_job *job = arg;
    enum { ASK_EVERY = 4096 };
    unsigned long long n = atomic_load_explicit(&job->samples, memory_order_relaxed) + 1;
    atomic_store_explicit(&job->samples, n, memory_order_relaxed);
    return backtest_sample(job->test, s, received_us) == ERR_OK &&
           (n % ASK_EVERY != 0 || goes_on(job));
}

static enum err seed_baselines(struct backtest_job *job, struct db *db, int32_t device_id)
{
    int32_t metric = 0;
    int64_t count = 0;
    enum err e = ERR_OK;
    for (uint32_t at = 0; e == ERR_OK && backtest_baseline_wanted(job->test, at, &metric, &count);
         at++) {
        double *values = NULL;
        uint32_t n = 0;
        e = store_history_first(db, device_id, metric, count, job->order.begin_us, &values, &n);
        e = e == ERR_OK ? backtest_baseline_seed(job->test, metric, values, n) : e;
        free(values);
    }
    return e;
}

static enum err recorded(struct backtest_job *job, struct db *db, int32_t device_id)
{
    const struct api_backtest_order *o = &job->order;
    struct db_result *r = NULL;
    enum err e = store_history_alerts(db, o->rule, device_id, o->from_us, o->to_us, &r);
    for (int i = 0; e == ERR_OK && i < db_rows(r); i++) {
        struct backtest_alert a = {.since_us = db_get_int(r, i, 0),
                                   .fired_us = db_get_int(r, i, 1),
                                   .resolved_us =
                                       db_is_null(r, i, 2) ? CLOCK_NONE : db_get_int(r, i, 2),
                                   .value = db_get_real(r, i, 3),
                                   .summary = db_get(r, i, 4)};
        e = backtest_recorded(job->test, &a);
    }
    if (r != NULL) {
        db_result_free(r);
    }
    return e;
}

static enum err run_device(struct backtest_job *job, struct db *db, struct store_history *h,
                           struct device *d)
{
    const struct api_backtest_order *o = &job->order;
    enum err e = backtest_device(job->test, d, o->begin_us);
    if (e == ERR_OK && o->begin_us != CLOCK_NONE) {
        e = seed_baselines(job, db, d->id);
    }
    if (e == ERR_OK) {
        int64_t from_us = o->begin_us == CLOCK_NONE ? CLOCK_NONE : o->begin_us + 1;
        e = store_history_read(h, db, d->id, from_us, o->to_us, take_sample, job);
    }
    return e == ERR_OK && o->with_history ? recorded(job, db, d->id) : e;
}

static enum err run_devices(struct backtest_job *job, struct db *db)
{
    struct store_history *h = store_history_new(catalog_metrics(job->all->api->catalog));
    enum err e = h == NULL ? ERR_NOMEM : ERR_OK;
    for (uint32_t i = 0; e == ERR_OK && i < job->order.device_count; i++) {
        e = goes_on(job) ? run_device(job, db, h, job->order.devices[i]) : ERR_CANCELLED;
        atomic_store(&job->devices_done, i + 1);
    }
    store_history_free(h);
    if (e == ERR_OK && !goes_on(job)) {
        e = ERR_CANCELLED;
    }
    return e == ERR_OK ? backtest_end(job->test) : e;
}

static enum err run(struct backtest_job *job)
{
    struct api_backtest_order *o = &job->order;
    struct backtest_setup setup = {.candidate = o->candidate,
                                   .against = o->against,
                                   .by_selector = true,
                                   .from_us = o->from_us,
                                   .to_us = o->to_us,
                                   .now_us = clock_wall_us(),
                                   .flap_us = o->flap_us,
                                   .items_max = o->items_max,
                                   .targets = targets,
                                   .arg = job->all->api->catalog};
    char against[40];
    if (o->against != NULL) {
        (void)snprintf(against, sizeof(against), "version %lld", (long long)o->against_version);
    }
    setup.against_words = o->against != NULL ? against : o->with_history ? "history" : NULL;
    struct db *db = NULL;
    enum err e = db_open(job->all->api->conf->database_url, "signalbox backtest", &db);
    if (e != ERR_OK) {
        return e;
    }
    job->test = backtest_new(&setup);
    e = job->test == NULL ? ERR_NOMEM : db_patience(db, o->limit_us);
    e = e == ERR_OK ? run_devices(job, db) : e;
    db_close(db);
    if (e == ERR_OK) {
        struct emit_json j = emit_json_init(&job->report);
        backtest_report(job->test, &j);
        e = buf_err(&job->report);
    }
    backtest_free(job->test);
    job->test = NULL;
    return e;
}

/* Results that are too many go, the oldest first. Under the lock. */
static void forget_old(struct api_backtests *all)
{
    for (struct list *at = all->jobs.next; at != &all->jobs && all->count > BACKTESTS_KEPT;) {
        struct backtest_job *job = CONTAINER_OF(at, struct backtest_job, node);
        at = at->next;
        if (job->state >= BACKTEST_DONE) {
            list_remove(&job->node);
            all->count--;
            job_free(job);
        }
    }
}

static void job_run(struct mail *m)
{
    struct backtest_job *job = CONTAINER_OF(m, struct backtest_job, mail);
    struct api_backtests *all = job->all;
    lock_take(&all->lock);
    job->state = BACKTEST_RUNNING;
    job->started_us = clock_wall_us();
    lock_give(&all->lock);
    job->deadline_us = clock_mono_us() + job->order.limit_us;
    enum err e = atomic_load(&job->cancel) ? ERR_CANCELLED : run(job);
    if (e != ERR_OK) {
        buf_fini(&job->report);
    }
    int64_t id = job->id;
    lock_take(&all->lock);
    bool cancelled = atomic_load(&job->cancel);
    job->ended_us = clock_wall_us();
    job->state = e == ERR_OK ? BACKTEST_DONE : cancelled ? BACKTEST_CANCELLED : BACKTEST_FAILED;
    job->error = e == ERR_OK || cancelled ? NULL
                 : job->late ? "the time limit is over; take a shorter period or fewer devices"
                             : err_words(e);
    all->open--;
    forget_old(all);
    lock_give(&all->lock);
    api_waits_event(all->api->waits, -id);
}

enum err api_backtests_start(struct api_backtests *all, struct api_backtest_order *o,
                             int64_t *ret_id)
{
    struct backtest_job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        return ERR_NOMEM;
    }
    job->all = all;
    job->mail.run = job_run;
    job->created_us = clock_wall_us();
    buf_init(&job->report, API_ANSWER_MAX);
    lock_take(&all->lock);
    if (all->worker == NULL && !all->stopping) { /* the first */
        all->worker = worker_new("sb-backtest", BACKTESTS_RUNNING, NULL, NULL, NULL);
    }
    bool full =
        all->worker == NULL || all->stopping || all->open >= BACKTESTS_RUNNING + BACKTESTS_QUEUED;
    if (!full) {
        job->order = *o;
        job->id = all->next_id++;
        *ret_id = job->id;
        *o = (struct api_backtest_order){.candidate = NULL};
        list_push_back(&all->jobs, &job->node);
        all->count++;
        all->open++;
        worker_post(all->worker, &job->mail);
    }
    lock_give(&all->lock);
    if (full) {
        free(job);
        return ERR_FULL;
    }
    return ERR_OK;
}

/* ---- looking at jobs --------------------------------------------------------------------------
 */

static bool may_see(const struct backtest_job *job, const struct api_request *r)
{
    return api_unlimited(r) || strcmp(job->order.owner, r->bearer.name) == 0;
}

/* Under the lock. */
static struct backtest_job *find(struct api_backtests *all, const struct api_request *r, int64_t id)
{
    for (struct list *at = all->jobs.next; at != &all->jobs; at = at->next) {
        struct backtest_job *job = CONTAINER_OF(at, struct backtest_job, node);
        if (job->id == id) {
            return may_see(job, r) ? job : NULL;
        }
    }
    return NULL;
}

static void emit_progress(const struct backtest_job *job, struct emit_json *j)
{
    int64_t until_us = job->ended_us != 0 ? job->ended_us : clock_wall_us();
    int64_t ms = job->started_us == 0 ? 0 : (until_us - job->started_us) / CLOCK_MS_US;
    unsigned long long samples = atomic_load(&job->samples);
    emit_json_key(j, "progress");
    emit_json_open(j, '{');
    emit_json_key(j, "devices");
    emit_json_int(j, atomic_load(&job->devices_done));
    emit_json_key(j, "devices_total");
    emit_json_int(j, job->order.device_count);
    emit_json_key(j, "samples");
    emit_json_int(j, (int64_t)samples);
    emit_json_close(j, '}');
    emit_json_key(j, "milliseconds");
    emit_json_int(j, ms);
    emit_json_key(j, "samples_per_second");
    emit_json_int(j, ms <= 0 ? 0 : (int64_t)(samples * 1000 / (unsigned long long)ms));
}

/* The members that every job has; the object stays open. */
static void emit_head(const struct backtest_job *job, struct emit_json *j)
{
    emit_json_open(j, '{');
    emit_json_key(j, "id");
    emit_json_int(j, job->id);
    emit_json_key(j, "state");
    emit_json_str(j, state_words[job->state]);
    emit_json_key(j, "rule");
    emit_json_str(j, job->order.rule);
    emit_json_key(j, "version");
    if (job->order.version > 0) {
        emit_json_int(j, job->order.version);
    } else {
        emit_json_null(j);
    }
    emit_json_key(j, "error");
    emit_json_str(j, job->error);
    emit_json_key(j, "created_at");
    emit_json_time(j, job->created_us);
    emit_json_key(j, "ended_at");
    emit_json_time(j, job->ended_us == 0 ? CLOCK_NONE : job->ended_us);
    emit_progress(job, j);
}

enum err api_backtests_write(struct api_backtests *all, const struct api_request *r, int64_t id,
                             struct buf *out, bool *ret_ended)
{
    lock_take(&all->lock);
    struct backtest_job *job = find(all, r, id);
    if (job != NULL) {
        struct emit_json j = emit_json_init(out);
        *ret_ended = job->state >= BACKTEST_DONE;
        emit_head(job, &j);
        if (job->state == BACKTEST_DONE) {
            buf_put_u8(out, ',');
            buf_put_view(out, buf_view(&job->report));
        }
        emit_json_close(&j, '}');
    }
    lock_give(&all->lock);
    return job == NULL ? ERR_NOT_FOUND : ERR_OK;
}

enum err api_backtests_cancel(struct api_backtests *all, const struct api_request *r, int64_t id)
{
    lock_take(&all->lock);
    struct backtest_job *job = find(all, r, id);
    if (job != NULL) {
        atomic_store(&job->cancel, true);
    }
    lock_give(&all->lock);
    return job == NULL ? ERR_NOT_FOUND : ERR_OK;
}

void api_backtests_list(struct api_backtests *all, const struct api_request *r, struct emit_json *j)
{
    lock_take(&all->lock);
    for (struct list *at = all->jobs.prev; at != &all->jobs; at = at->prev) {
        const struct backtest_job *job = CONTAINER_OF(at, struct backtest_job, node);
        if (may_see(job, r)) {
            emit_head(job, j);
            emit_json_close(j, '}');
        }
    }
    lock_give(&all->lock);
}
