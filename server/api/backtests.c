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

#define DB_NAME "signalbox backtest"

enum {
    GROUP_MAX = 20000, /* devices whose engines are in memory at once */
    GROUP_SHARE = 20,  /* fewer than one of so many devices: one by one */
};

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
    struct db *db;
    struct backtest_device **open; /* by device id, of the group that is read */
    int32_t open_count;
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
    struct backtest_job *job = arg;
    struct catalog *catalog = job->all->api->catalog;
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

/* Nothing after it: silent until now. */
static int64_t heard_next(void *arg, const struct device *d, int64_t newest_us)
{
    struct backtest_job *job = arg;
    int64_t received_us = CLOCK_NONE;
    enum err e = store_history_next(job->db, d->id, newest_us, &received_us);
    return e == ERR_NOT_FOUND ? clock_wall_us() : received_us;
}

/* Time and the operator are asked now and then. */
static bool goes_on(struct backtest_job *job)
{
    job->late = job->late || clock_mono_us() > job->deadline_us;
    return !job->late && !atomic_load(&job->cancel);
}

static bool take_sample(void *arg, int32_t device_id, const struct sample *s, int64_t received_us)
{
    struct backtest_job *job = arg;
    enum { ASK_EVERY = 4096 };
    struct backtest_device *d = device_id < job->open_count ? job->open[device_id] : NULL;
    unsigned long long n = atomic_load_explicit(&job->samples, memory_order_relaxed) + 1;
    atomic_store_explicit(&job->samples, n, memory_order_relaxed);
    return (d == NULL || backtest_sample(d, s, received_us) == ERR_OK) &&
           (n % ASK_EVERY != 0 || goes_on(job));
}

static enum err seed_baselines(struct backtest_job *job, struct db *db, struct backtest_device *d,
                               int32_t device_id)
{
    int32_t metric = 0;
    int64_t count = 0;
    enum err e = ERR_OK;
    for (uint32_t at = 0; e == ERR_OK && backtest_baseline_wanted(d, at, &metric, &count); at++) {
        double *values = NULL;
        uint32_t n = 0;
        e = store_history_first(db, device_id, metric, count, job->order.begin_us, &values, &n);
        e = e == ERR_OK ? backtest_baseline_seed(d, metric, values, n) : e;
        free(values);
    }
    return e;
}

static enum err recorded(struct backtest_job *job, struct db *db, struct backtest_device *d,
                         int32_t device_id)
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
        (void)severity_parse(db_get_view(r, i, 5), &a.severity);
        e = backtest_recorded(d, &a);
    }
    if (r != NULL) {
        db_result_free(r);
    }
    return e;
}

static enum err open_group(struct backtest_job *job, struct db *db, struct device **devices,
                           uint32_t count)
{
    const struct api_backtest_order *o = &job->order;
    enum err e = ERR_OK;
    for (uint32_t i = 0; i < count && e == ERR_OK; i++) {
        int32_t id = devices[i]->id;
        e = backtest_open(job->test, devices[i], o->begin_us, &job->open[id]);
        if (e == ERR_OK && o->begin_us != CLOCK_NONE) {
            e = seed_baselines(job, db, job->open[id], id);
        }
    }
    return e;
}

static enum err close_group(struct backtest_job *job, struct db *db, struct device **devices,
                            uint32_t count)
{
    enum err e = ERR_OK;
    for (uint32_t i = 0; i < count && e == ERR_OK; i++) {
        int32_t id = devices[i]->id;
        struct backtest_device *d = job->open[id];
        e = job->order.with_history ? recorded(job, db, d, id) : ERR_OK;
        e = e == ERR_OK ? backtest_close(d) : e;
        job->open[id] = NULL;
        (void)atomic_fetch_add(&job->devices_done, 1);
    }
    return e;
}

static enum err read_group(struct backtest_job *job, struct db *db, struct store_history *h,
                           struct device **devices, uint32_t count)
{
    const struct api_backtest_order *o = &job->order;
    struct store_history_query q = {
        .from_us = o->begin_us == CLOCK_NONE ? CLOCK_NONE : o->begin_us + 1, .to_us = o->to_us};
    struct buf ids;
    if (count == 1) {
        q.device_id = devices[0]->id;
        return store_history_read(h, db, &q, take_sample, job);
    }
    buf_init(&ids, API_ANSWER_MAX);
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(&ids, "%c%d", i == 0 ? '{' : ',', devices[i]->id);
    }
    buf_put_u8(&ids, '}');
    char *text = buf_take_str(&ids);
    bool all = count == catalog_device_count(job->all->api->catalog);
    q.device_ids = all ? NULL : text;
    enum err e = text == NULL ? ERR_NOMEM : store_history_read(h, db, &q, take_sample, job);
    free(text);
    return e;
}

/* Devices in groups of so many, each group by one reading. */
static enum err run_groups(struct backtest_job *job, struct db *db, struct store_history *h,
                           uint32_t group)
{
    struct api_backtest_order *o = &job->order;
    enum err e = ERR_OK;
    for (uint32_t i = 0; i < o->device_count && e == ERR_OK; i += group) {
        struct device **devices = o->devices + i;
        uint32_t count = o->device_count - i < group ? o->device_count - i : group;
        e = goes_on(job) ? open_group(job, db, devices, count) : ERR_CANCELLED;
        e = e == ERR_OK ? read_group(job, db, h, devices, count) : e;
        e = e == ERR_OK ? close_group(job, db, devices, count) : e;
    }
    return e == ERR_OK && !goes_on(job) ? ERR_CANCELLED : e;
}

/* Reading one device by its index costs a page for each sample when many report at once; reading
 * all costs every row. So few devices are read one by one, and many together. */
static uint32_t group_size(const struct backtest_job *job)
{
    size_t all = catalog_device_count(job->all->api->catalog);
    return (size_t)job->order.device_count * GROUP_SHARE < all ? 1 : GROUP_MAX;
}

static enum err run_with(struct backtest_job *job, struct db *db, uint32_t group,
                         const struct backtest_setup *setup)
{
    struct store_history *h = store_history_new(catalog_metrics(job->all->api->catalog));
    job->db = db;
    atomic_store(&job->samples, 0);
    atomic_store(&job->devices_done, 0);
    memset(job->open, 0, (size_t)job->open_count * sizeof(struct backtest_device *));
    job->test = backtest_new(setup);
    enum err e = h == NULL || job->test == NULL ? ERR_NOMEM : run_groups(job, db, h, group);
    store_history_free(h);
    bool broken = job->test != NULL && backtest_err(job->test) != ERR_OK;
    return broken ? backtest_err(job->test) : e;
}

static enum err run_devices(struct backtest_job *job, struct db **db,
                            const struct backtest_setup *setup)
{
    uint32_t group = group_size(job);
    enum err e = run_with(job, *db, group, setup);
    if (e == ERR_STATE && group > 1) {
        /* Samples do not lie as they came, as after a restore from a backup: in order then. */
        backtest_free(job->test);
        job->test = NULL;
        db_close(*db);
        *db = NULL;
        e = db_open(job->all->api->conf->database_url, DB_NAME, db);
        e = e == ERR_OK ? db_patience(*db, job->order.limit_us) : e;
        e = e == ERR_OK ? run_with(job, *db, 1, setup) : e;
    }
    return e;
}

static bool open_room(struct backtest_job *job)
{
    const struct api_backtest_order *o = &job->order;
    int32_t most = o->device_count == 0 ? 0 : o->devices[o->device_count - 1]->id;
    job->open = calloc((size_t)most + 1, sizeof(struct backtest_device *));
    job->open_count = most + 1;
    return job->open != NULL;
}

static enum err run(struct backtest_job *job)
{
    struct api_backtest_order *o = &job->order;
    struct backtest_setup setup = {.candidate = o->candidate,
                                   .against = o->against,
                                   .by_selector = true,
                                   .from_us = o->from_us,
                                   .to_us = o->to_us,
                                   .lateness_us = job->all->api->conf->lateness_us * 2,
                                   .flap_us = o->flap_us,
                                   .items_max = o->items_max,
                                   .targets = targets,
                                   .heard_next = heard_next,
                                   .arg = job};
    char against[40];
    if (o->against != NULL) {
        (void)snprintf(against, sizeof(against), "version %lld", (long long)o->against_version);
    }
    setup.against_words = o->against != NULL ? against : o->with_history ? "history" : NULL;
    struct db *db = NULL;
    enum err e = db_open(job->all->api->conf->database_url, DB_NAME, &db);
    if (e != ERR_OK) {
        return e;
    }
    e = open_room(job) ? db_patience(db, o->limit_us) : ERR_NOMEM;
    e = e == ERR_OK ? run_devices(job, &db, &setup) : e;
    db_close(db);
    if (e == ERR_OK) {
        struct emit_json j = emit_json_init(&job->report);
        backtest_report(job->test, &j);
        e = buf_err(&job->report);
    }
    backtest_free(job->test);
    free(job->open);
    job->test = NULL;
    job->open = NULL;
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
