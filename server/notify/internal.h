/*
 * internal: what the files of this module share. All is the worker's thread, except where said.
 *
 *     notify.c    life, the worker's turn
 *     judge.c     rows that wait -> verdicts (policy.c), digests (digest.c)
 *     delivery.c  one attempt to tell one row, from claim to mark
 *     web.c mail.c syslog.c   through curl, side by side    local.c   through the core and topics
 *     channel.c silence.c policy.c digest.c text.c sign.c address.c   pure
 */
#pragma once

#include <stdatomic.h>

#include <curl/curl.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/lock.h"
#include "loop/worker.h"
#include "notify/notify.h"
#include "notify/text.h"
#include "store/db.h"

struct worker;

/* Counted: a delivery that is under way keeps its channel when the channels are read again. */
struct sender {
    struct list link;
    struct channel *channel;
    uint32_t holds;
    uint32_t in_flight; /* of this snapshot */
    bool served;        /* a delivery ended: there may be a next one */
};

enum outcome { OUTCOME_SENT, OUTCOME_RETRY, OUTCOME_FAILED };

struct delivery {
    struct list link; /* under way, or ended */
    struct delivery *next_answered;
    struct notify *notify;
    struct sender *sender; /* held */
    struct notice notice;  /* its texts are row's */
    struct db_result *row;
    int32_t device_id;
    int64_t attempt, age_s;
    struct buf payload; /* what is sent */
    size_t uploaded;
    CURL *curl; /* NULL: not by curl */
    struct curl_slist *headers, *recipients;
    char curl_error[CURL_ERROR_SIZE];
    bool refused, allowed; /* an address of its host may not, and one may be connected to */
    struct api_op op;
    char key[32];
    struct ticket ticket;
    enum outcome outcome;
    char detail[256];
};

struct notify {
    const struct conf *conf;
    struct catalog *catalog;
    struct notify_hooks hooks;
    struct worker *worker;
    struct mail run;
    struct db *db; /* NULL: not connected */
    int64_t connect_at_us;
    bool away; /* said once */
    CURLM *multi;
    struct list senders;
    struct list active; /* deliveries under way */
    struct list ended;  /* to be marked */
    struct lock lock;
    struct delivery *answered; /* by other threads; under the lock */
    atomic_bool stopping, woken, reload;
    int64_t turn_at_us, mark_at_us, escalate_at_us, clean_at_us;
    char host[256]; /* this machine's name */
};

/* judge.c: all rows of the channel that wait. channel NULL: there is none of this name. */
NODISCARD enum err judge_channel_rows(struct notify *n, const char *name,
                                      const struct channel *channel);

/* delivery.c */
/* Claims a due row and starts it. ERR_SKIP: nothing is due. */
NODISCARD enum err delivery_start(struct notify *n, struct sender *s);
/* Once, on the worker's thread. */
__attribute__((format(printf, 3, 4))) void delivery_end(struct delivery *d, enum outcome outcome,
                                                        const char *format, ...);
/* The same from any thread, with what was put into outcome and detail before. */
void delivery_answered(struct delivery *d);
void deliveries_collect(struct notify *n); /* those that were answered */
/* Writes what became of those that ended. Error: some are kept, to be marked later. */
NODISCARD enum err deliveries_mark(struct notify *n);
void deliveries_reap(struct notify *n); /* those that curl is done with */
void delivery_free(struct delivery *d);

/* Each starts d, which ends by delivery_end() or delivery_answered(). */
void web_send(struct delivery *d);
void mail_send(struct delivery *d);
void syslog_send(struct delivery *d);
void mqtt_send(struct delivery *d);
void command_send(struct delivery *d);
void log_send(struct delivery *d);
/* curl is done with it. */
void web_done(struct delivery *d, CURLcode code);
void mail_done(struct delivery *d, CURLcode code);
void syslog_done(struct delivery *d, CURLcode code);

/* web.c: a handle with what all have in common: time-outs, no redirects, no proxy, the addresses
 * checked as they are connected to. NULL: out of memory. */
NODISCARD CURL *curl_open(struct delivery *d, const char *url, const char *protocols);
void curl_start(struct delivery *d);
/* Why curl failed. */
void curl_failed(struct delivery *d, CURLcode code);
