#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/emit_json.h"
#include "notify/internal.h"

/*
 * Receivers inside the server: a command to a device, the alert log and the event streams, a topic.
 * The core and topics answer on their threads, after the commit of what they stored.
 */

/* ---- through the core ---- */

static void op_done(struct api_op *op)
{
    struct delivery *d = op->arg;
    enum err e = op->status;
    bool sent = e == ERR_OK || e == ERR_EXISTS; /* an attempt before this one created it */
    bool later = e == ERR_DB_DOWN || e == ERR_DB_UNKNOWN || e == ERR_FULL || e == ERR_CLOSED;
    d->outcome = sent ? OUTCOME_SENT : later ? OUTCOME_RETRY : OUTCOME_FAILED;
    (void)snprintf(d->detail, sizeof(d->detail), "%s",
                   sent                    ? ""
                   : op->detail[0] != '\0' ? op->detail
                                           : err_words(e));
    delivery_answered(d);
}

/* Of the alert's device, its gateway, or the one that is named; 0: there is none. */
static int32_t target_of(const struct delivery *d)
{
    const char *name = d->sender->channel->device;
    struct catalog *catalog = d->notify->catalog;
    bool own = strcmp(name, "self") == 0;
    bool gateway = strcmp(name, "gateway") == 0;
    struct device *device = own || gateway ? catalog_device_by_id(catalog, d->device_id)
                                           : catalog_device(catalog, view_str(name));
    int32_t id = device == NULL ? 0 : gateway ? device->gateway : device->id;
    device_drop(device);
    return id;
}

void command_send(struct delivery *d)
{
    const struct channel *c = d->sender->channel;
    int32_t device_id = target_of(d);
    if (device_id == 0) {
        delivery_end(d, OUTCOME_FAILED, "there is no device %s", c->device);
        return;
    }
    (void)snprintf(d->key, sizeof(d->key), "notify:%lld", (long long)d->notice.id);
    d->op = (struct api_op){.kind = API_OP_COMMAND_CREATE,
                            .device_id = device_id,
                            .method = c->method,
                            .params = c->params,
                            .expires_us = c->expires_us,
                            .idempotency_key = d->key,
                            .actor = "notify",
                            .done = op_done,
                            .arg = d};
    d->notify->hooks.submit(d->notify->hooks.arg, &d->op);
}

/* An event of its own: the alert log and the streams have the alert's already. */
void log_send(struct delivery *d)
{
    buf_put_str(&d->payload, "{\"notification\":");
    text_json(&d->notice, d->sender->channel, &d->payload);
    buf_put_str(&d->payload, "}");
    if (buf_err(&d->payload) != ERR_OK) {
        delivery_end(d, OUTCOME_RETRY, "out of memory");
        return;
    }
    d->op = (struct api_op){.kind = API_OP_NOTE,
                            .device_id = d->device_id,
                            .method = "notification.logged",
                            .body = buf_view(&d->payload),
                            .actor = "notify",
                            .done = op_done,
                            .arg = d};
    d->notify->hooks.submit(d->notify->hooks.arg, &d->op);
}

/* ---- through topics ---- */

static void publish_done(struct ticket *t, enum err status)
{
    struct delivery *d = CONTAINER_OF(t, struct delivery, ticket);
    bool sent = status == ERR_OK || status == ERR_NOT_FOUND; /* nobody has subscribed */
    d->outcome = sent ? OUTCOME_SENT : status == ERR_DENIED ? OUTCOME_FAILED : OUTCOME_RETRY;
    (void)snprintf(d->detail, sizeof(d->detail), "%s", sent ? "" : err_words(status));
    delivery_answered(d);
}

void mqtt_send(struct delivery *d)
{
    const struct channel *c = d->sender->channel;
    struct buf topic;
    buf_init(&topic, 65535);
    text_topic(&d->notice, c, &topic);
    text_json(&d->notice, c, &d->payload);
    if (buf_err(&topic) != ERR_OK || buf_err(&d->payload) != ERR_OK) {
        delivery_end(d, OUTCOME_FAILED, "the topic or the message is too long");
    } else {
        ticket_init(&d->ticket, publish_done);
        d->notify->hooks.publish(d->notify->hooks.arg,
                                 &(struct notify_publish){.topic = buf_view(&topic),
                                                          .payload = buf_view(&d->payload),
                                                          .qos = c->qos,
                                                          .retain = c->retain,
                                                          .ticket = &d->ticket});
    }
    buf_fini(&topic);
}
