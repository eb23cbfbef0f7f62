/*
 * topics: messages between devices. A publish is matched with the subscriptions of all sessions and
 * handed to those it is for; what an acknowledgement promises is stored before it leaves.
 *
 * Ownership: topics_new() to topics_free(); conf and what is behind `hooks` stay until then.
 * Threads:   everything here belongs to the home loop, net loop 0. The hooks of a session on
 *            another loop are mailed there. topics_route() to topics_will() are called on the
 *            session's loop, topics_opened() to topics_ended() on the home loop, the rest by the
 *            thread that made it while the loops do not run.
 * Order:     topics_restore() before sessions_start(). topics_stop(), sessions_stop(),
 *            topics_flush(), what commits, sessions_free(), topics_free().
 * Limits:    retained_max messages and retained_size; messages under way to the database as for
 *            readings: messages_in_flight_max and in_flight_max, beyond them ERR_FULL.
 */
#pragma once

#include "conf/conf.h"
#include "session/session.h"
#include "store/db.h"
#include "store/ops.h"

struct loop;
struct topics;

struct topics_hooks {
    void *arg;
    void (*commit)(void *arg, struct ops *o);        /* takes o */
    void (*resume)(void *arg);                       /* any session may publish again */
    struct device *(*device)(void *arg, int32_t id); /* held, or NULL: unknown */
};

NODISCARD enum err topics_new(const struct conf *conf, const struct topics_hooks *hooks,
                              struct topics **ret_topics);
/* Loads what was stored: sessions are parked, what waits for them is handed to them. home: loop 0.
 */
NODISCARD enum err topics_restore(struct topics *t, struct sessions *sessions, struct loop *home,
                                  struct db *db);
void topics_stop(
    struct topics *t); /* its timer ends; wills that wait are kept for the next start */
void topics_flush(struct topics *t); /* what was gathered goes to `commit` */
void topics_free(struct topics *t);  /* NULL is fine */

/* A message of the server itself, from any thread, until topics_stop(). Takes over the caller's
 * hold on the ticket, which is told when what the message promises is stored: ERR_OK, ERR_NOT_FOUND
 * (nobody has subscribed), ERR_DENIED (no topic between devices), ERR_FULL, ERR_QUOTA, ERR_NOMEM,
 * ERR_CLOSED. */
void topics_publish(struct topics *t, struct view topic, struct view payload, uint8_t qos,
                    bool retain, struct ticket *ticket);

/* The hooks of session.h. */
enum err topics_route(struct topics *t, struct session *s, const struct session_publish *p,
                      struct ticket *ticket);
enum err topics_subscribed(struct topics *t, struct session *s, const struct session_filter *f,
                           bool existed, struct ticket *ticket);
enum err topics_unsubscribed(struct topics *t, struct session *s, const struct session_filter *f,
                             struct ticket *ticket);
void topics_retained(struct topics *t, struct session *s, const struct session_filter *f,
                     bool existed);
enum err topics_released(struct topics *t, struct session *s, uint16_t packet_id,
                         struct ticket *ticket);
enum err topics_received(struct topics *t, struct session *s, int64_t seq, struct ticket *ticket);
void topics_target_done(struct topics *t, int64_t number, int64_t seq, struct message *m,
                        enum err status);
void topics_will(struct topics *t, const struct session_will *w);
void topics_opened(struct topics *t, const struct session_opened *o);
void topics_parted(struct topics *t, int64_t number, int64_t expiry_us);
void topics_ended(struct topics *t, int64_t number);
