#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/emit_json.h"
#include "base/log.h"
#include "ingest/internal.h"

/*
 * A rule acts on devices: its own, its gateway, the children behind it, others by name or selector.
 *
 * What may be sent is the policy's to say (command/policy.h). A command that it forbids is a row
 * all the same, `suppressed` with the reason, so that nobody has to guess why a machine stood
 * still; of those that the loop guard forbids, the first of a pause. A message can fire a rule
 * thousands of times, and each time for TARGETS_MAX devices: what that puts into a batch is bounded
 * (EFFECTS_MAX), so that no message can fill one; what goes beyond is counted. What is desired of a
 * device is merged into its attributes with the batch; after the commit it is delivered and the
 * catalog reads the device again.
 */
enum { TARGETS_MAX = 1000, TWIN_MAX = 1 << 16, EFFECTS_MAX = 64 << 20 };

static void announce_guard(struct ingest *in, const struct engine_event *e, int32_t device_id,
                           const char *method)
{
    struct buf body;
    buf_init(&body, TWIN_MAX);
    struct emit_json j = emit_json_init(&body);
    struct device *d = catalog_device_by_id(in->catalog, device_id);
    emit_json_open(&j, '{');
    emit_json_key(&j, "device");
    emit_json_str(&j, d == NULL ? NULL : d->name);
    emit_json_key(&j, "method");
    emit_json_str(&j, method);
    emit_json_key(&j, "rule");
    emit_json_str(&j, rule_name(e->rule));
    emit_json_key(&j, "pause_s");
    emit_json_int(&j, COMMAND_GUARD_PAUSE_US / CLOCK_SECOND_US);
    emit_json_close(&j, '}');
    device_drop(d);
    CHECK(buf_err(&body) == ERR_OK);
    core_event(in, "automation.loop", "warn", device_id, clock_wall_us(), buf_view(&body), true);
    buf_fini(&body);
}

/* Commands that waited for the end of a hold and are not wanted any more. */
static void drop_replaced(struct ingest *in, const struct command_wish *w,
                          const struct command_verdict *v)
{
    char cause[200];
    (void)snprintf(cause, sizeof(cause), "replaced by %s before its hold was over", w->method);
    for (uint32_t i = 0; i < v->replace_count; i++) {
        if (command_book_cancel(in->book, v->replaces[i], cause) != ERR_OK) {
            command_policy_dropped(in->policy, w->device_id, v->replaces[i]);
            LOG(LOG_DEBUG, "command_ended_already", LOG_I("command_id", v->replaces[i]));
        }
    }
}

static void join_holds(const struct rule_action *a, char *ret_text, size_t size)
{
    ret_text[0] = '\0';
    for (uint32_t i = 0; i < a->hold_count; i++) {
        size_t used = strlen(ret_text);
        (void)snprintf(ret_text + used, size - used, "%s%s", i == 0 ? "" : ",", a->holds[i].method);
    }
}

/* A wish that leaves no row. */
static int64_t keep_quiet(const struct command_verdict *v)
{
    counter_add(COUNTER_COMMANDS_SUPPRESSED, 1);
    return v->until_us;
}

/* Until when the loop guard leaves the target alone, if it did already; 0: it does not. */
static int64_t command_to(struct ingest *in, const struct engine_event *e,
                          const struct rule_action *a, int32_t device_id)
{
    struct command_hold holds[RULE_HOLDS_MAX];
    for (uint32_t i = 0; i < a->hold_count; i++) {
        holds[i] = (struct command_hold){.method = a->holds[i].method, .us = a->holds[i].us};
    }
    struct command_wish wish = {.device_id = device_id,
                                .method = a->method,
                                .min_interval_us = a->min_interval_us,
                                .holds = holds,
                                .hold_count = a->hold_count};
    struct command_verdict verdict;
    int64_t now_us = clock_mono_us();
    CHECK(command_policy_judge(in->policy, &wish, now_us, &verdict) == ERR_OK);
    if (verdict.quiet) {
        return keep_quiet(&verdict);
    }
    char origin[160];
    char hold[RULE_HOLDS_MAX * (IDENT_MAX + 2)];
    (void)snprintf(origin, sizeof(origin), "rule:%s", rule_name(e->rule));
    join_holds(a, hold, sizeof(hold));
    struct command_new command = {.device_id = device_id,
                                  .method = a->method,
                                  .params = a->params,
                                  .expires_us = a->expires_us,
                                  .origin = origin,
                                  .alert_id = e->alert_id,
                                  .wait_us = verdict.wait_us,
                                  .hold = hold,
                                  .cause = verdict.answer == COMMAND_NOW ? NULL : verdict.reason};
    if (verdict.tripped) {
        announce_guard(in, e, device_id, a->method);
    }
    if (verdict.answer == COMMAND_NEVER) {
        command_book_suppress(in->book, &command);
        return 0;
    }
    drop_replaced(in, &wish, &verdict);
    int64_t id = 0;
    enum command_state state = COMMAND_QUEUED;
    enum err err = command_book_create(in->book, &command, &id, &state);
    if (err != ERR_OK) {
        LOG(LOG_WARN, "command_not_created", LOG_S("rule", rule_name(e->rule)),
            LOG_I("device_id", device_id), LOG_S("error", err_words(err)));
        return 0;
    }
    command_policy_taken(in->policy, &wish, id, now_us, now_us + verdict.wait_us);
    return 0;
}

/* ---- what is desired of a device ---- */

static int64_t twin_to(struct ingest *in, const struct engine_event *e, const struct rule_action *a,
                       int32_t device_id)
{
    struct command_wish wish = {.device_id = device_id, .method = "twin"};
    struct command_verdict verdict;
    CHECK(command_policy_judge(in->policy, &wish, clock_mono_us(), &verdict) == ERR_OK);
    if (verdict.quiet) {
        return keep_quiet(&verdict);
    }
    if (verdict.tripped) {
        announce_guard(in, e, device_id, "twin");
    }
    bool allowed = verdict.answer == COMMAND_NOW;
    struct buf body;
    buf_init(&body, TWIN_MAX);
    struct emit_json j = emit_json_init(&body);
    struct device *d = catalog_device_by_id(in->catalog, device_id);
    emit_json_open(&j, '{');
    emit_json_key(&j, "device");
    emit_json_str(&j, d == NULL ? NULL : d->name);
    emit_json_key(&j, "rule");
    emit_json_str(&j, rule_name(e->rule));
    emit_json_key(&j, "alert_id");
    emit_json_int(&j, e->alert_id);
    emit_json_key(&j, "desired");
    emit_json_raw(&j, view_str(a->text));
    if (!allowed) {
        emit_json_key(&j, "cause");
        emit_json_str(&j, verdict.reason);
    }
    emit_json_close(&j, '}');
    device_drop(d);
    CHECK(buf_err(&body) == ERR_OK);
    core_event(in, allowed ? "twin.desired" : "twin.suppressed", "info", device_id, clock_wall_us(),
               buf_view(&body), true);
    buf_fini(&body);
    if (!allowed) {
        counter_add(COUNTER_COMMANDS_SUPPRESSED, 1);
        return 0;
    }
    struct batch *b = core_batch(in);
    struct batch_op *op = batch_op(b, "UPDATE devices SET attributes = attributes || $2::jsonb,"
                                      " version = version + 1, updated_at = now() WHERE id = $1");
    batch_op_int(b, op, device_id);
    batch_op_str(b, op, a->text);
    struct after *after = core_after(in, AFTER_TWIN);
    after->event.device_id = device_id;
    after->event.json = arena_view(&in->open->arena, view_str(a->text));
    CHECK(after->event.json.data != NULL);
    return 0;
}

struct told_job {
    struct store_job job;
    struct catalog *catalog;
    char name[IDENT_MAX + 1];
};

static void told_work(struct store_job *job, struct db *db)
{
    struct told_job *t = CONTAINER_OF(job, struct told_job, job);
    if (db != NULL && catalog_refresh_device(t->catalog, db, t->name) != ERR_OK) {
        LOG(LOG_WARN, "device_not_read_again", LOG_S("device", t->name));
    }
    free(t);
}

static struct session_delivery *twin_packet(const struct device *d, bool child, struct view desired)
{
    if (!child) {
        return session_delivery_new(VIEW("v1/devices/me/attributes"), desired, 1);
    }
    struct buf body;
    buf_init(&body, TWIN_MAX);
    struct emit_json j = emit_json_init(&body);
    emit_json_open(&j, '{');
    emit_json_key(&j, "device");
    emit_json_str(&j, d->name);
    emit_json_key(&j, "data");
    emit_json_raw(&j, desired);
    emit_json_close(&j, '}');
    struct session_delivery *packet =
        buf_err(&body) == ERR_OK
            ? session_delivery_new(VIEW("v1/gateway/attributes"), buf_view(&body), 1)
            : NULL;
    buf_fini(&body);
    return packet;
}

/* To the device's own sessions, or to its gateway's. One that is away asks when it connects. */
void core_twin_told(struct ingest *in, int32_t device_id, struct view desired)
{
    struct device *d = catalog_device_by_id(in->catalog, device_id);
    struct told_job *t = d == NULL ? NULL : calloc(1, sizeof(*t));
    if (t == NULL) {
        device_drop(d);
        return;
    }
    const struct core_device *cd = core_device(in, device_id, false);
    bool child = (cd == NULL || cd->session_count == 0) && d->gateway != 0;
    cd = child ? core_device(in, d->gateway, false) : cd;
    for (uint32_t i = 0; cd != NULL && i < cd->session_count; i++) {
        struct session_delivery *packet = twin_packet(d, child, desired);
        if (packet != NULL) {
            packet->expires_at_us = CLOCK_NONE;
            in->hooks.deliver(in->hooks.arg, cd->sessions[i], packet);
        }
    }
    t->catalog = in->catalog;
    (void)snprintf(t->name, sizeof(t->name), "%s", d->name);
    device_drop(d);
    store_run(in->store, &t->job, told_work);
}

/* ---- targets ---- */

/* The open batch has taken all that it takes of rules that act. */
static bool effects_full(const struct ingest *in)
{
    bool full = in->open != NULL && in->open->automated >= EFFECTS_MAX;
    if (full) {
        counter_add(COUNTER_COMMANDS_SUPPRESSED, 1);
    }
    return full;
}

static size_t batch_size(struct ingest *in)
{
    return batch_bytes(core_batch(in)) + in->open->arena.used_bytes;
}

static int64_t act_on(struct ingest *in, const struct engine_event *e, const struct rule_action *a,
                      int32_t device_id)
{
    if (effects_full(in)) {
        return 0;
    }
    size_t before = batch_size(in);
    int64_t until_us = a->kind == RULE_ACTION_TWIN ? twin_to(in, e, a, device_id)
                                                   : command_to(in, e, a, device_id);
    in->open->automated += batch_size(in) - before;
    if (in->open->automated >= EFFECTS_MAX) {
        LOG(LOG_WARN, "commands_suppressed", LOG_S("cause", "too many at once"),
            LOG_S("rule", rule_name(e->rule)), LOG_I("limit_bytes", EFFECTS_MAX),
            LOG_S("next", "narrow what the rule commands, or let it fire less often"));
    }
    return until_us;
}

struct target_search {
    const struct rule_selector *selector; /* NULL: the children of a gateway */
    int32_t gateway;
    int32_t ids[TARGETS_MAX];
    uint32_t count;
    bool cut;
};

static bool target_visit(void *arg, struct device *d)
{
    struct target_search *search = arg;
    if (search->selector == NULL ? d->gateway != search->gateway
                                 : !rule_selector_matches(search->selector, d)) {
        return true;
    }
    if (search->count == TARGETS_MAX) {
        search->cut = true;
        return false;
    }
    search->ids[search->count++] = d->id;
    return true;
}

static bool same_action(const struct automation_pause *a, const struct automation_pause *b)
{
    return a->rule_id == b->rule_id && a->rule_version == b->rule_version &&
           a->action == b->action && a->gateway == b->gateway;
}

static bool all_paused(const struct ingest *in, const struct automation_pause *action)
{
    for (uint32_t i = 0; i < AUTOMATION_PAUSES_MAX; i++) {
        if (same_action(&in->pauses[i], action) && clock_mono_us() < in->pauses[i].until_us) {
            return true;
        }
    }
    return false;
}

static void act_on_found(struct ingest *in, const struct core_device *cd,
                         const struct engine_event *e, const struct rule_action *a)
{
    uint32_t count = 0;
    struct automation_pause pause = {
        .rule_id = e->rule_id,
        .rule_version = e->rule_version,
        .action = (int32_t)(a - rule_actions(e->rule, &count)),
        .gateway = a->target == RULE_TARGET_SELECT ? 0 : cd->id,
        .until_us = INT64_MAX,
    };
    if (all_paused(in, &pause)) {
        counter_add(COUNTER_COMMANDS_SUPPRESSED, 1);
        return;
    }
    if (effects_full(in)) {
        return;
    }
    struct target_search *search = calloc(1, sizeof(*search));
    CHECK(search != NULL);
    search->selector = a->target == RULE_TARGET_SELECT ? a->selector : NULL;
    search->gateway = cd->id;
    catalog_visit_devices(in->catalog, target_visit, search);
    for (uint32_t i = 0; i < search->count; i++) {
        int64_t until_us = act_on(in, e, a, search->ids[i]);
        pause.until_us = until_us < pause.until_us ? until_us : pause.until_us;
    }
    if (search->count > 0 && pause.until_us > 0) {
        in->pauses[in->pause_next++ % AUTOMATION_PAUSES_MAX] = pause;
    }
    if (search->cut) {
        LOG(LOG_WARN, "command_targets_cut", LOG_S("rule", rule_name(e->rule)),
            LOG_I("limit", TARGETS_MAX), LOG_S("next", "narrow the selector of the command"));
    }
    free(search);
}

void core_automate(struct ingest *in, const struct core_device *cd, const struct engine_event *e,
                   const struct rule_action *a)
{
    switch (a->target) {
    case RULE_TARGET_SELF:
        act_on(in, e, a, cd->id);
        break;
    case RULE_TARGET_GATEWAY:
        if (cd->device->gateway != 0) {
            act_on(in, e, a, cd->device->gateway);
        }
        break;
    case RULE_TARGET_DEVICE: {
        struct device *d = catalog_device(in->catalog, view_str(a->device));
        if (d == NULL) {
            LOG(LOG_WARN, "command_target_unknown", LOG_S("rule", rule_name(e->rule)),
                LOG_S("device", a->device));
            break;
        }
        act_on(in, e, a, d->id);
        device_drop(d);
        break;
    }
    case RULE_TARGET_SELECT:
    case RULE_TARGET_CHILDREN:
        act_on_found(in, cd, e, a);
        break;
    }
}

/* ---- people take over ---- */

void core_op_override(struct ingest *in, struct api_op *op)
{
    int64_t until_us = clock_mono_us() + op->expires_us;
    if (command_policy_override(in->policy, op->device_id, op->method, op->actor, until_us) !=
        ERR_OK) {
        core_op_end(op, ERR_NOMEM, "");
        return;
    }
    if (op->expires_us > 0) {
        char cause[COMMAND_REASON_SIZE];
        (void)snprintf(cause, sizeof(cause), "manual override by %s", op->actor);
        command_book_cancel_rules(in->book, op->device_id, op->method, cause);
    }
    int64_t now_us = clock_wall_us();
    struct batch *b = core_batch(in);
    struct batch_op *o =
        batch_op(b, "INSERT INTO automation_overrides (device_id, method, until, actor, reason)"
                    " SELECT d.id, $2, $3, $4, $5 FROM devices d WHERE d.id = $1"
                    " ON CONFLICT (device_id, method) DO UPDATE SET until = excluded.until,"
                    " actor = excluded.actor, reason = excluded.reason, created_at = now()");
    batch_op_int(b, o, op->device_id);
    batch_op_str(b, o, op->method);
    batch_op_time(b, o, now_us + op->expires_us);
    batch_op_str(b, o, op->actor);
    batch_op_str(b, o, op->comment == NULL ? "" : op->comment);
    struct buf body;
    buf_init(&body, 1 << 16);
    struct emit_json j = emit_json_init(&body);
    struct device *d = catalog_device_by_id(in->catalog, op->device_id);
    emit_json_open(&j, '{');
    emit_json_key(&j, "device");
    emit_json_str(&j, d == NULL ? NULL : d->name);
    emit_json_key(&j, "method");
    emit_json_str(&j, op->method[0] == '\0' ? NULL : op->method);
    emit_json_key(&j, "actor");
    emit_json_str(&j, op->actor);
    emit_json_key(&j, "reason");
    emit_json_str(&j, op->comment);
    emit_json_key(&j, "until");
    emit_json_time(&j, now_us + op->expires_us);
    emit_json_close(&j, '}');
    device_drop(d);
    CHECK(buf_err(&body) == ERR_OK);
    core_event(in, op->expires_us > 0 ? "automation.override" : "automation.resumed", "info",
               op->device_id, now_us, buf_view(&body), true);
    buf_fini(&body);
    op->status = ERR_OK;
    core_after(in, AFTER_OP)->op = op;
}

/* ---- after a restart ---- */

static enum err restore_sent(struct ingest *in, struct db *db, int64_t now_us)
{
    struct db_result *r = NULL;
    enum err e = db_query(
        db,
        "SELECT device_id, method, (extract(epoch FROM now() - max(coalesce(not_before,"
        " created_at))) * 1000000)::bigint FROM commands"
        " WHERE created_at > now() - interval '2 days' AND origin LIKE 'rule:%'"
        " AND state NOT IN ('suppressed', 'cancelled') AND coalesce(not_before <= now(), true)"
        " GROUP BY device_id, method",
        NULL, &r);
    for (int i = 0; e == ERR_OK && i < db_rows(r); i++) {
        struct command_wish w = {.device_id = (int32_t)db_get_int(r, i, 0),
                                 .method = db_get(r, i, 1)};
        command_policy_taken(in->policy, &w, 0, now_us, now_us - db_get_int(r, i, 2));
    }
    if (e == ERR_OK) {
        db_result_free(r);
    }
    return e;
}

/* "start,run" */
static uint32_t split_holds(char *text, struct command_hold ret_holds[COMMAND_HOLDS_MAX])
{
    uint32_t count = 0;
    char *at = text;
    while (*at != '\0' && count < COMMAND_HOLDS_MAX) {
        size_t len = strcspn(at, ",");
        bool last = at[len] == '\0';
        at[len] = '\0';
        ret_holds[count++] = (struct command_hold){.method = at};
        at += last ? len : len + 1;
    }
    return count;
}

static enum err restore_waiting(struct ingest *in, struct db *db, int64_t now_us)
{
    struct db_result *r = NULL;
    enum err e = db_query(db,
                          "SELECT id, device_id, method, (extract(epoch FROM not_before - now())"
                          " * 1000000)::bigint, coalesce(hold, '') FROM commands"
                          " WHERE state = 'queued' AND not_before > now()",
                          NULL, &r);
    for (int i = 0; e == ERR_OK && i < db_rows(r); i++) {
        struct command_hold holds[COMMAND_HOLDS_MAX];
        char *text = strdup(db_get(r, i, 4));
        int64_t wait_us = db_get_int(r, i, 3);
        if (text == NULL) {
            e = ERR_NOMEM;
            break;
        }
        struct command_wish w = {.device_id = (int32_t)db_get_int(r, i, 1),
                                 .method = db_get(r, i, 2),
                                 .holds = holds,
                                 .hold_count = split_holds(text, holds)};
        command_policy_taken(in->policy, &w, db_get_int(r, i, 0), now_us, now_us + wait_us);
        command_book_wait(in->book, db_get_int(r, i, 0), wait_us);
        free(text);
    }
    db_result_free(r);
    return e;
}

enum err ingest_restore_automation(struct ingest *in, struct db *db)
{
    int64_t now_us = clock_mono_us();
    enum err e = restore_sent(in, db, now_us);
    if (e == ERR_OK) {
        e = restore_waiting(in, db, now_us);
    }
    struct db_result *r = NULL;
    if (e == ERR_OK) {
        e = db_query(db,
                     "SELECT device_id, method, actor, (extract(epoch FROM until - now())"
                     " * 1000000)::bigint FROM automation_overrides WHERE until > now()",
                     NULL, &r);
    }
    for (int i = 0; e == ERR_OK && i < db_rows(r); i++) {
        e = command_policy_override(in->policy, (int32_t)db_get_int(r, i, 0), db_get(r, i, 1),
                                    db_get(r, i, 2), now_us + db_get_int(r, i, 3));
    }
    db_result_free(r);
    return e;
}
