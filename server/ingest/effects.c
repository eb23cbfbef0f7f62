#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/emit_json.h"
#include "base/log.h"
#include "ingest/internal.h"

/*
 * What the rules said of a sample becomes rows of the same batch: alerts and their history,
 * commands, work orders, events. Alerts that end or are taken back are written before those that
 * fire, because only one may be open for a rule and device.
 */
enum { EVENT_JSON_MAX = 1 << 20 };

static const struct {
    const char *event;
    const char *history;
    const char *level;
    const char *state;
} effect_words[] = {
    [ENGINE_PENDING] = {"alert.pending", "pending", "info", "pending"},
    [ENGINE_PENDING_RESET] = {"alert.reset", "reset", "info", "inactive"},
    [ENGINE_FIRED] = {"alert.firing", "firing", "warn", "firing"},
    [ENGINE_RESOLVED] = {"alert.resolved", "resolved", "info", "resolved"},
    [ENGINE_CORRECTED] = {"alert.corrected", "corrected", "info", NULL},
    [ENGINE_RETRACTED] = {"alert.retracted", "retracted", "warn", "retracted"},
    [ENGINE_SEVERITY] = {"alert.severity", "severity", "warn", "firing"},
};

static const char *effect_state(const struct engine_event *e)
{
    const char *state = effect_words[e->kind].state;
    return state != NULL ? state : e->resolved_at_us == CLOCK_NONE ? "firing" : "resolved";
}

/* It is written down, and nothing else. */
static bool effect_is_shadow(const struct engine_event *e)
{
    return rule_mode(e->rule) == RULE_SHADOW;
}

/* Event time of the transition. */
static int64_t effect_time(const struct engine_event *e)
{
    if (e->resolved_at_us != CLOCK_NONE) {
        return e->resolved_at_us;
    }
    if (e->kind == ENGINE_SEVERITY) {
        return e->severity_at_us;
    }
    return e->fired_at_us != CLOCK_NONE ? e->fired_at_us : e->since_us;
}

static void effect_announce(struct ingest *in, const struct core_device *cd,
                            const struct engine_event *e)
{
    struct buf body;
    buf_init(&body, EVENT_JSON_MAX);
    struct emit_json j = emit_json_init(&body);
    emit_json_open(&j, '{');
    if (e->alert_id != 0) {
        emit_json_key(&j, "alert_id");
        emit_json_int(&j, e->alert_id);
    }
    emit_json_key(&j, "rule");
    emit_json_str(&j, rule_name(e->rule));
    emit_json_key(&j, "device");
    emit_json_str(&j, cd->device->name);
    emit_json_key(&j, "severity");
    emit_json_str(&j, severity_words(e->severity));
    emit_json_key(&j, "state");
    emit_json_str(&j, effect_state(e));
    emit_json_key(&j, "since");
    emit_json_time(&j, e->since_us);
    emit_json_key(&j, "fired_at");
    emit_json_time(&j, e->fired_at_us);
    emit_json_key(&j, "resolved_at");
    emit_json_time(&j, e->resolved_at_us);
    emit_json_key(&j, "value");
    emit_json_real(&j, e->value);
    emit_json_key(&j, "summary");
    emit_json_view(&j, e->summary);
    if (effect_is_shadow(e)) {
        emit_json_key(&j, "shadow");
        emit_json_bool(&j, true);
    }
    emit_json_close(&j, '}');
    CHECK(buf_err(&body) == ERR_OK);
    bool stored = e->kind != ENGINE_PENDING && e->kind != ENGINE_PENDING_RESET;
    bool worst =
        (e->kind == ENGINE_FIRED || e->kind == ENGINE_SEVERITY) && e->severity == SEVERITY_CRITICAL;
    const char *level = effect_is_shadow(e) ? "info"
                        : worst             ? "error"
                                            : effect_words[e->kind].level;
    core_event(in, effect_words[e->kind].event, level, cd->id, effect_time(e), buf_view(&body),
               stored);
    core_notice(in, cd, e, buf_view(&body));
    buf_fini(&body);
}

static void effect_history(struct ingest *in, const struct engine_event *e)
{
    struct batch *b = core_batch(in);
    struct batch_op *op = batch_op(
        b, "INSERT INTO alert_events (alert_id, kind, ts, detail) VALUES ($1, $2, $3, $4::jsonb)");
    batch_op_int(b, op, e->alert_id);
    batch_op_str(b, op, effect_words[e->kind].history);
    batch_op_time(b, op, effect_time(e));
    if (e->explain.len > 0) {
        batch_op_text(b, op, e->explain);
    } else {
        batch_op_str(b, op, NULL);
    }
}

static void effect_insert(struct ingest *in, const struct core_device *cd,
                          const struct engine_event *e)
{
    struct batch *b = core_batch(in);
    struct batch_op *op = batch_op(
        b, "INSERT INTO alerts (id, rule_id, rule, device_id, severity, state, since, "
           "fired_at, resolved_at, value, summary,"
           " explain, severity_at, worst, shadow, rule_version) VALUES ($1, $2, $3, $4, $5,"
           " $6, $7, $8, $9, $10, $11, $12::jsonb, $13, $14, $15::boolean, $16)");
    batch_op_int(b, op, e->alert_id);
    batch_op_int(b, op, e->rule_id);
    batch_op_str(b, op, rule_name(e->rule));
    batch_op_int(b, op, cd->id);
    batch_op_str(b, op, severity_words(e->severity));
    batch_op_str(b, op, e->resolved_at_us == CLOCK_NONE ? "firing" : "resolved");
    batch_op_time(b, op, e->since_us);
    batch_op_time(b, op, e->fired_at_us);
    batch_op_time(b, op, e->resolved_at_us);
    batch_op_real(b, op, e->value);
    batch_op_text(b, op, e->summary);
    if (e->explain.len > 0) {
        batch_op_text(b, op, e->explain);
    } else {
        batch_op_str(b, op, NULL);
    }
    batch_op_time(b, op, e->severity_at_us);
    batch_op_str(b, op, severity_words(e->worst));
    batch_op_str(b, op, effect_is_shadow(e) ? "true" : "false");
    batch_op_int(b, op, e->rule_version);
}

static void effect_update(struct ingest *in, const struct engine_event *e)
{
    struct batch *b = core_batch(in);
    struct batch_op *op = batch_op(
        b, "UPDATE alerts SET state = $2, since = $3, fired_at = $4, resolved_at = $5, value = $6,"
           " summary = coalesce(nullif($7, ''), summary), severity = $8, severity_at = $9, worst = "
           "$10,"
           " explain = coalesce($11::jsonb, explain)"
           " WHERE id = $1");
    batch_op_int(b, op, e->alert_id);
    batch_op_str(b, op, effect_state(e));
    batch_op_time(b, op, e->since_us);
    batch_op_time(b, op, e->fired_at_us);
    batch_op_time(b, op, e->resolved_at_us);
    batch_op_real(b, op, e->value);
    batch_op_text(b, op, e->summary);
    batch_op_str(b, op, severity_words(e->severity));
    batch_op_time(b, op, e->severity_at_us);
    batch_op_str(b, op, severity_words(e->worst));
    bool of_start = e->kind == ENGINE_CORRECTED && e->summary.len > 0; /* it fired otherwise */
    if (of_start && e->explain.len > 0) {
        batch_op_text(b, op, e->explain);
    } else {
        batch_op_str(b, op, NULL);
    }
}

/* ---- actions ---- */

/* One open order for a rule, device and title: a further alert adds to it. */
static void action_work_order(struct ingest *in, const struct core_device *cd,
                              const struct engine_event *e, const struct rule_action *a)
{
    struct batch *b = core_batch(in);
    int64_t id = ingest_work_order_id(in);
    struct batch_op *op = batch_op(
        b, "INSERT INTO work_orders (id, rule_id, rule, device_id, alert_id, title, opened_at)"
           " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (rule_id, device_id, title) WHERE "
           "state IN ('open', 'assigned', 'in_progress')"
           " DO UPDATE SET raises = work_orders.raises + 1, alert_id = excluded.alert_id");
    batch_op_int(b, op, id);
    batch_op_int(b, op, e->rule_id);
    batch_op_str(b, op, rule_name(e->rule));
    batch_op_int(b, op, cd->id);
    batch_op_int(b, op, e->alert_id);
    batch_op_str(b, op, a->text);
    batch_op_time(b, op, e->fired_at_us);
    struct buf body;
    buf_init(&body, EVENT_JSON_MAX);
    struct emit_json j = emit_json_init(&body);
    emit_json_open(&j, '{');
    emit_json_key(&j, "alert_id");
    emit_json_int(&j, e->alert_id);
    emit_json_key(&j, "rule");
    emit_json_str(&j, rule_name(e->rule));
    emit_json_key(&j, "device");
    emit_json_str(&j, cd->device->name);
    emit_json_key(&j, "severity");
    emit_json_str(&j, severity_words(rule_severity(e->rule)));
    emit_json_key(&j, "title");
    emit_json_str(&j, a->text);
    emit_json_close(&j, '}');
    CHECK(buf_err(&body) == ERR_OK);
    core_event(in, "work_order.due", "info", cd->id, e->fired_at_us, buf_view(&body), true);
    buf_fini(&body);
}

static void effect_actions(struct ingest *in, const struct core_device *cd,
                           const struct engine_event *e)
{
    uint32_t count = 0;
    const struct rule_action *actions = rule_actions(e->rule, &count);
    for (uint32_t i = 0; i < count; i++) {
        switch (actions[i].kind) {
        case RULE_ACTION_COMMAND:
        case RULE_ACTION_TWIN:
            core_automate(in, cd, e, &actions[i]);
            break;
        case RULE_ACTION_WORK_ORDER:
            action_work_order(in, cd, e, &actions[i]);
            break;
        case RULE_ACTION_NOTIFY:
            break; /* see notice.c; the alert log has every alert anyway */
        }
    }
}

/* ---- all of a sample ---- */

static void effect_run(struct ingest *in, const struct core_device *cd,
                       const struct engine_event *e)
{
    switch (e->kind) {
    case ENGINE_FIRED:
        counter_add(COUNTER_ALERTS_FIRED, 1);
        effect_insert(in, cd, e);
        effect_history(in, e);
        break;
    case ENGINE_RESOLVED:
        counter_add(COUNTER_ALERTS_RESOLVED, 1);
        effect_update(in, e);
        effect_history(in, e);
        break;
    case ENGINE_CORRECTED:
    case ENGINE_RETRACTED:
        counter_add(COUNTER_ALERTS_CORRECTED, 1);
        effect_update(in, e);
        effect_history(in, e);
        break;
    case ENGINE_SEVERITY:
        effect_update(in, e);
        effect_history(in, e);
        break;
    case ENGINE_PENDING:
    case ENGINE_PENDING_RESET:
        break;
    }
    effect_announce(in, cd, e);
    if (e->kind == ENGINE_FIRED && !e->late && !effect_is_shadow(e)) {
        effect_actions(in, cd, e);
    }
}

/* In the engine's order: it takes alerts back before it fires others, so that two of a rule are
 * never open at once. */
void core_effects(struct ingest *in, struct core_device *cd, struct engine_out *out)
{
    for (const struct engine_event *e = out->first; e != NULL; e = e->next) {
        effect_run(in, cd, e);
    }
}

/* An open alert that nothing drives any more. cause: words of ours. */
void core_orphan_alert(struct ingest *in, int32_t device_id, int64_t alert_id,
                       int64_t resolved_at_us, const char *cause, bool shadow)
{
    struct batch *b = core_batch(in);
    struct batch_op *op =
        batch_op(b, "UPDATE alerts SET state = 'resolved', resolved_at = greatest(fired_at, $2)"
                    " WHERE id = $1 AND state = 'firing'");
    batch_op_int(b, op, alert_id);
    batch_op_time(b, op, resolved_at_us);
    op = batch_op(b, "INSERT INTO alert_events (alert_id, kind, ts, detail)"
                     " VALUES ($1, 'resolved', $2, jsonb_build_object('cause', $3::text))");
    batch_op_int(b, op, alert_id);
    batch_op_time(b, op, resolved_at_us);
    batch_op_str(b, op, cause);
    char body[200];
    int len = snprintf(body, sizeof(body),
                       "{\"alert_id\":%lld,\"state\":\"resolved\",\"cause\":\"%s\"%s}",
                       (long long)alert_id, cause, shadow ? ",\"shadow\":true" : "");
    core_event(in, "alert.resolved", "info", device_id, resolved_at_us, view_of(body, (size_t)len),
               true);
    core_notice_orphan(in, alert_id, resolved_at_us);
    counter_add(COUNTER_ALERTS_RESOLVED, 1);
}
