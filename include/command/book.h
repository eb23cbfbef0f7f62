/*
 * book: the open commands of all devices. Persisted first, delivered, confirmed, expired.
 *
 * Each step is written into the core's open batch and takes effect when that batch is committed: a
 * command is `sent` in the database before its packet leaves, so a crash leads to a resend with the
 * same id, never to silence. After a restart the open commands are read back with
 * command_book_restore().
 *
 * Delivery: MQTT topic v1/devices/me/rpc/request/{id} to the newest session of the device, or, for
 * a child without a session, v1/gateway/rpc of its gateway. At most once under way at a time; again
 * after the device reconnects as long as no PUBACK came. Answers are matched by id and device.
 * Threads:  the core's. Times are monotonic within a run, so a jump of the wall clock expires
 * nothing.
 */
#pragma once

#include "base/buf.h"
#include "conf/conf.h"
#include "model/command.h"
#include "session/session.h"
#include "store/batch.h"
#include "store/db.h"

struct command_book;

struct command_route {
    struct session_ref ref;
    const char *child; /* name of the device when the session is its gateway's; NULL: its own */
};

struct command_hooks {
    void *arg;
    struct batch *(*batch)(void *arg); /* the open batch */
    /* Runs command_book_send(id) when the open batch is committed. */
    void (*send_after_commit)(void *arg, int64_t id);
    /* Stores an event with the open batch and announces it after the commit. */
    void (*event)(void *arg, const char *kind, int32_t device_id, int64_t command_id, bool final,
                  struct view json);
    /* The next session to try after `tried` ones; false: none. */
    bool (*route)(void *arg, int32_t device_id, uint32_t tried, struct command_route *ret_route);
    int32_t (*gateway)(void *arg, int32_t device_id); /* of a child; 0: none */
    void (*deliver)(void *arg, struct session_ref ref, struct session_delivery *d);
    const char *(*device_name)(void *arg,
                               int32_t device_id); /* "" when unknown; valid until the next call */
    /* One that was not to be sent before a later time ended before it. */
    void (*dropped)(void *arg, int32_t device_id, int64_t id);
};

struct command_new {
    int32_t device_id;
    const char *method;
    const char *params;          /* JSON */
    int64_t expires_us;          /* from now; 0: the default */
    const char *origin;          /* "api:admin", "rule:hot" */
    int64_t alert_id;            /* 0: none */
    const char *idempotency_key; /* NULL: none; that it is new is the caller's to know */
    int64_t wait_us;             /* it is not sent before; 0: at once */
    const char *hold;            /* methods that take its place while it waits: "start,run" */
    const char *cause;           /* why it waits, or was suppressed; NULL: origin says it */
};

NODISCARD struct command_book *command_book_new(const struct conf *conf,
                                                const struct command_hooks *hooks);
void command_book_free(struct command_book *b);
NODISCARD enum err command_book_restore(struct command_book *b, struct db *db);

/* ERR_FULL: the device has too many open commands. The id is given by the book. */
NODISCARD enum err command_book_create(struct command_book *b, const struct command_new *c,
                                       int64_t *ret_id, enum command_state *ret_state);
/* Writes it down as suppressed, with the cause, and that is all. */
void command_book_suppress(struct command_book *b, const struct command_new *c);
/* After a restart: an open command waits still. */
void command_book_wait(struct command_book *b, int64_t id, int64_t wait_us);
NODISCARD enum err command_book_cancel(struct command_book *b, int64_t id,
                                       const char *actor); /* ERR_STATE, ERR_NOT_FOUND */
/* Those of rules that are still to be sent, or sent again, with the method; "": with any. */
void command_book_cancel_rules(struct command_book *b, int32_t device_id, const char *method,
                               const char *cause);
void command_book_send(struct command_book *b,
                       int64_t id); /* the `sent` row is committed: the packet may leave */
void command_book_device_ready(struct command_book *b,
                               int32_t device_id); /* a session came or subscribed; of a gateway:
                                                      for its children too */
void command_book_delivered(struct command_book *b, int64_t id, enum err status);
/* ERR_NOT_FOUND: no such open command of this device; the answer is then a rejected message. */
NODISCARD enum err command_book_answer(struct command_book *b, int32_t device_id, int64_t id,
                                       struct view json);
void command_book_tick(struct command_book *b, int64_t mono_us); /* expiry; a few times a second */
