/*
 * HTTP ingest: the body goes to the core as a device's message would. 200 means committed.
 */
#include "api/handlers.h"
#include "api/internal.h"

static void telemetry_done(struct api_op *op)
{
    struct api_request *r = op->arg;
    if (op->status == ERR_OK || op->status == ERR_EXISTS) {
        struct emit_json j = emit_json_init(&r->out);
        emit_json_open(&j, '{');
        emit_json_key(&j, "status");
        emit_json_str(&j, "stored");
        emit_json_close(&j, '}');
        api_answer(r, MHD_HTTP_OK);
    } else if (op->status == ERR_CONFLICT) {
        api_fail_key(r);
    } else {
        api_fail_op(r, "the message");
    }
    api_request_finish(r);
}

/* The sender itself, or the device that the parameter names; held. NULL: answered already. */
static struct device *find_sender(struct api_request *r)
{
    struct view name = api_query_get(&r->query, "device");
    if (r->self != NULL) {
        if (name.data != NULL && !view_eq_str(name, r->self->name)) {
            api_fail(r, PROBLEM_FORBIDDEN, "a device's token is good for that device only");
            return NULL;
        }
        device_hold(r->self);
        return r->self;
    }
    if (name.data == NULL) {
        api_fail(r, PROBLEM_BAD_REQUEST, "name the device: ?device=NAME");
        return NULL;
    }
    return api_device(r, name);
}

void api_handle_telemetry_post(struct api_request *r, struct db *db)
{
    (void)db;
    struct device *d = find_sender(r);
    if (d == NULL) {
        return;
    }
    bool enabled = d->enabled;
    if (!api_read_key(r)) {
        device_drop(d);
        return;
    }
    r->op.kind = API_OP_TELEMETRY;
    r->op.device_id = d->id;
    r->op.body = buf_view(&r->body);
    device_drop(d);
    if (!enabled) {
        api_fail(r, PROBLEM_CONFLICT, "the device is disabled");
        return;
    }
    if (r->body.len == 0) {
        api_fail(r, PROBLEM_BAD_REQUEST, "the body is empty");
        return;
    }
    api_submit(r, telemetry_done);
}
