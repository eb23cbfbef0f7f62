#include <stdio.h>

#include "base/clock.h"
#include "ingest/internal.h"

/*
 * Who is to be told of an alert: a row of the outbox for each channel that the rule names, in the
 * same batch as the alert's transition. Whether, when and how it is sent is the notify module's.
 *
 * A correction is not told: the alert and its history have it. The key makes a row unique for a
 * transition and channel, so that what is written again after a crash is told once.
 */
static const char *notice_event(enum engine_event_kind kind)
{
    switch (kind) {
    case ENGINE_FIRED:
        return "firing";
    case ENGINE_RESOLVED:
        return "resolved";
    case ENGINE_RETRACTED:
        return "retracted";
    case ENGINE_PENDING:
    case ENGINE_PENDING_RESET:
    case ENGINE_CORRECTED:
    case ENGINE_SEVERITY:
        break;
    }
    return NULL;
}

static void notice_put(struct ingest *in, const struct core_device *cd,
                       const struct engine_event *e, const char *channel, struct view body)
{
    const char *event = notice_event(e->kind);
    char key[224];
    (void)snprintf(key, sizeof(key), "alert/%lld/%s/%s", (long long)e->alert_id, event, channel);
    struct batch *b = core_batch(in);
    struct batch_op *op =
        batch_op(b, "INSERT INTO outbox (key, channel, event, alert_id, device_id, rule_id, body)"
                    " VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb) ON CONFLICT (key) DO NOTHING");
    batch_op_str(b, op, key);
    batch_op_str(b, op, channel);
    batch_op_str(b, op, event);
    batch_op_int(b, op, e->alert_id);
    batch_op_int(b, op, cd->id);
    batch_op_int(b, op, e->rule_id);
    batch_op_text(b, op, body);
}

void core_notice(struct ingest *in, const struct core_device *cd, const struct engine_event *e,
                 struct view body)
{
    if (notice_event(e->kind) == NULL || rule_mode(e->rule) != RULE_ACTIVE || e->late) {
        return;
    }
    uint32_t count = 0;
    const struct rule_action *actions = rule_actions(e->rule, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (actions[i].kind == RULE_ACTION_NOTIFY) {
            notice_put(in, cd, e, actions[i].text, body);
        }
    }
}

void core_notice_orphan(struct ingest *in, int64_t alert_id, int64_t resolved_at_us)
{
    struct batch *b = core_batch(in);
    struct batch_op *op = batch_op(
        b, "INSERT INTO outbox (key, channel, event, alert_id, device_id, rule_id, body)"
           " SELECT 'alert/' || o.alert_id || '/resolved/' || o.channel, o.channel, 'resolved',"
           " o.alert_id, o.device_id, o.rule_id, o.body || jsonb_build_object('state', 'resolved',"
           " 'resolved_at', $2::text) FROM outbox o WHERE o.alert_id = $1 AND o.event = 'firing'"
           " ON CONFLICT (key) DO NOTHING");
    batch_op_int(b, op, alert_id);
    char text[CLOCK_TEXT_SIZE];
    batch_op_str(b, op, clock_format(resolved_at_us, text));
}
