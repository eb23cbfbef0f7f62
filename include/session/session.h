/*
 * session: one MQTT session of one device, from CONNECT to the end of its life. What the session
 * means to the rest of the server is told through hooks, wired in app; this module knows no payload
 * and no database.
 *
 * Identity:  from the credential (certificate or token) only. A session's key is (device, client
 * id), so that no device can take over another device's session. Anonymous sessions exist on the
 * open listener only: device == NULL. Threads:   a session lives on one net loop. Hooks are called
 * on that loop's thread. session_ref is a plain value that any thread may keep and use; it goes
 * stale harmlessly when the session ends.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ticket.h"
#include "base/view.h"
#include "model/device.h"
#include "mqtt/props.h"
#include "session/message.h"

struct session;

struct session_ref {
    uint32_t loop; /* index of the net loop */
    uint32_t slot;
    uint32_t generation; /* 0: no session */
};

struct session_publish {
    struct view topic, payload; /* until the hook returns */
    uint8_t qos;
    bool dup, retain;
    uint16_t packet_id; /* 0 for QoS 0 */
    int64_t received_at_us;
    const struct mqtt_props *props;
};

/* A will that is due, now or later. */
struct session_will {
    int64_t number;              /* of the session whose connection ended */
    const struct device *device; /* until the hook returns */
    struct message *message;     /* the hook takes over this hold */
    int64_t delay_us; /* 0: publish it now. Never longer than the session outlives its connection */
    int64_t expiry_us; /* the message's life, from when it is published; CLOCK_NONE: for ever */
};

/* A subscription of a persistent session as it is kept; a filter is a NUL-terminated copy. */
struct session_filter {
    char *filter;
    uint8_t options;     /* the MQTT 5 options byte; QoS in the low two bits */
    uint32_t identifier; /* subscription identifier, 0: none */
};

struct session_attach {
    struct session_ref ref;
    const struct device *device; /* borrowed until attach_done */
    const char *client_id;       /* borrowed likewise */
    bool clean_start;
    bool persistent; /* outlives its connection */
    bool present;    /* it was there before, with what it kept */
    int64_t expiry_us;
};

struct session_opened {
    int64_t number;
    struct device *device; /* borrowed; NULL: of the open listener */
    const char *client_id; /* borrowed */
    int64_t expiry_us;     /* 0: ends with its connection */
    bool resumed;
};

enum session_end { SESSION_END_CLIENT, SESSION_END_WILL, SESSION_END_SERVER };

struct session_hooks {
    void *arg;
    /* A client is authenticated and waits for its CONNACK. Answer once, from any thread, with
     * session_attach_done(). */
    void (*attach)(void *arg, const struct session_attach *a);
    /* An allowed publish. Takes one hold on `t` when it returns ERR_OK and drops it when everything
     * that follows is committed; the PUBACK or PUBREC then leaves, in arrival order. NULL ticket:
     * QoS 0. ERR_FULL: the socket is not read until session_resume_all(); the same publish is
     * offered again then. Other errors answer at once: reason code in MQTT 5, a closed connection
     * in 3.1.1 where the standard asks for it. */
    enum err (*publish)(void *arg, struct session *s, const struct session_publish *p,
                        struct ticket *t);
    /* The filters of a persistent session changed; `t` as above, SUBACK or UNSUBACK follows it. For
     * others t is NULL. */
    enum err (*filters)(void *arg, struct session *s, const struct session_filter *filters,
                        uint32_t count, struct ticket *t);
    /* The connection ended. persistent: the session itself lives on until it expires. */
    void (*detach)(void *arg, struct session_ref ref, const struct device *device,
                   const char *client_id, enum session_end end, bool persistent);
    /* The session and everything kept of it is gone: ended without persistence, expired, or
     * replaced by a clean start. */
    void (*forgotten)(void *arg, const struct device *device, const char *client_id);
    /* A delivery reached its end: ERR_OK after PUBACK or PUBCOMP (QoS 0: written), else why not. */
    void (*delivered)(void *arg, int64_t delivery_id, enum err status);

    /* ---- messages between devices: see server/topics ---- */

    /* As publish, of an allowed topic that is not the device API's; on the open listener, of any.
     * The ticket may also say ERR_NOT_FOUND: nobody subscribes to it, 0x10 in MQTT 5; ERR_QUOTA: it
     * cannot be kept, 0x97. A QoS 2 publish whose connection went before the ticket came in is
     * offered again when the client sends it again, and recognised by (number, packet id) until
     * released was told. When t was not held the answer leaves in the same turn. */
    enum err (*route)(void *arg, struct session *s, const struct session_publish *p,
                      struct ticket *t);
    /* A filter was granted or changed (existed), or given up. The SUBACK or UNSUBACK waits until t
     * is dropped: for the commit if the session outlives its connection. NULL: nobody waits, the
     * device lost the right to it. An error refuses the filter: ERR_FULL and ERR_QUOTA as 0x97,
     * others as 0x80. */
    enum err (*subscribed)(void *arg, struct session *s, const struct session_filter *f,
                           bool existed, struct ticket *t);
    enum err (*unsubscribed)(void *arg, struct session *s, const struct session_filter *f,
                             struct ticket *t);
    /* The SUBACK for this filter was written: what is retained may follow, by its retain handling.
     * Not called for shared subscriptions, nor where the handling says that nothing follows. */
    void (*retained)(void *arg, struct session *s, const struct session_filter *f, bool existed);
    /* PUBREL came for a QoS 2 publish that route took: PUBCOMP leaves when t is dropped. */
    enum err (*released)(void *arg, struct session *s, uint16_t packet_id, struct ticket *t);
    /* PUBREC came for a stored target: PUBREL leaves when t is dropped. Told again after a
     * reconnect, if that had not happened. */
    enum err (*received)(void *arg, struct session *s, int64_t seq, struct ticket *t);
    /* A stored target reached its end; ERR_OK: acknowledged. On the session's loop. Told exactly
     * once for each that session_send() took, however it ends; not when the server stops. */
    void (*target_done)(void *arg, int64_t number, int64_t seq, struct message *m, enum err status);
    /* The connection ended with a will. Delayed, it is due when the delay is over or the session
     * has ended, whichever is first, unless the session is opened before. Wills on topics of the
     * device API are told to publish instead, at once. */
    void (*will)(void *arg, const struct session_will *w);
    /* A session has a connection, a new one or one that was absent: before its CONNACK. On the home
     * loop, as the next two, and before any other hook about its number. */
    void (*opened)(void *arg, const struct session_opened *o);
    /* The connection ended and the session lives on for expiry_us: opened or ended follows. */
    void (*parted)(void *arg, int64_t number, int64_t expiry_us);
    /* The session of this number is gone with all it kept, its filters too. */
    void (*ended)(void *arg, int64_t number);
};

/* One message to one session. Freed with free() by the session module. */
struct session_delivery {
    int64_t delivery_id; /* 0: nobody asks */
    int64_t
        expires_at_us; /* monotonic; CLOCK_NONE: never. Not sent after it; delivered(ERR_EXPIRED) */
    uint8_t qos;
    bool retain;
    uint16_t topic_len;
    uint32_t payload_len;
    uint8_t bytes[]; /* topic, then payload */
};
struct session_delivery *session_delivery_new(struct view topic, struct view payload,
                                              uint8_t qos); /* NULL: memory */

struct sessions; /* all sessions of all net loops */

/* Any thread. status != ERR_OK: refused, "server unavailable". */
void session_attach_done(struct sessions *all, struct session_ref ref, enum err status);
/* Any thread. Only sent when one of the session's filters matches the topic; else
 * delivered(ERR_NOT_FOUND). Takes d. A stale ref gives delivered(ERR_CLOSED). */
void session_deliver(struct sessions *all, struct session_ref ref, struct session_delivery *d);
/* May a device publish to the topic? For wills, whose session is gone. device NULL: of the open
 * listener, which may. Any thread. */
bool session_may_publish(const struct device *device, struct view topic);
/* Any thread: closes the live sessions of a device, e.g. after its credential was revoked. MQTT 5:
 * DISCONNECT 0x87. credential_id 0: all of the device; else only those that came in with that
 * credential. */
void session_kick(struct sessions *all, int32_t device_id, int64_t credential_id);
/* Any thread, when the catalog has what is new of a device, or of all devices of a type: sessions,
 * with and without a connection, go on with what it may do now. Subscriptions that it may not have
 * any more end, and so do the sessions of a device that is gone or disabled. */
void session_device_changed(struct sessions *all, int32_t device_id);
void session_type_changed(struct sessions *all, int32_t type_id);
/* Any thread: there is room again after ERR_FULL. */
void session_resume_all(struct sessions *all);

/* On the session's loop thread. */
const struct device *session_device(const struct session *s);
const char *session_client_id(const struct session *s);
struct session_ref session_ref(const struct session *s);
uint32_t session_loop(const struct session *s);
/* A pointer of the user's own for this session, e.g. the payload hint; freed with free() when the
 * session ends. */
void **session_user(struct session *s);
bool session_is_v5(const struct session *s);
int64_t
session_number(const struct session *s); /* of what it keeps; 0 before the claim is granted */
bool session_outlives(const struct session *s); /* its connection: what is promised is stored */
