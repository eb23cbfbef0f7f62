/*
 * notify: tells people and other programs of alerts. Rows of the outbox, which the core writes with
 * the alerts, are judged, sent, tried again and marked.
 *
 * At least once, each under its id: what a crash leaves half sent is sent again under the same id,
 * by which receivers drop repeats.
 *
 * Ownership: notify_new() to notify_free(); conf, catalog and what is behind the hooks stay until
 *            then.
 * Threads:   one of its own, with a database connection of its own. notify_wake() from any thread.
 * Order:     notify_stop() while the core and topics still run; notify_free() after them, because
 *            they answer what they took.
 */
#pragma once

#include "base/ticket.h"
#include "catalog/catalog.h"
#include "command/op.h"
#include "conf/conf.h"

struct notify;

struct notify_publish {
    struct view topic, payload; /* borrowed during the call */
    uint8_t qos;
    bool retain;
    struct ticket *ticket; /* takes over the caller's hold; told when it is done */
};

struct notify_hooks {
    void *arg;
    void (*submit)(void *arg, struct api_op *op); /* to the core */
    void (*publish)(void *arg, const struct notify_publish *p);
};

NODISCARD enum err notify_new(const struct conf *conf, struct catalog *catalog,
                              const struct notify_hooks *hooks, struct notify **ret_notify);
NODISCARD enum err notify_start(struct notify *n);
/* There may be something to send; or channels changed. */
void notify_wake(struct notify *n, bool channels_changed);
void notify_stop(struct notify *n);
void notify_free(struct notify *n); /* NULL is fine */
