#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/log.h"
#include "base/utf8.h"
#include "notify/internal.h"
#include "notify/policy.h"
#include "store/query_outbox.h"

/*
 * One attempt: the row is claimed (`sending`, committed), sent, and marked. Between the two commits
 * a crash leaves it `sending`, and the next start sends it again: never lost, perhaps twice, always
 * under the same id.
 */
enum { PAYLOAD_MAX = 4 << 20 };

#define GIVE_UP_S (24LL * 3600) /* after a day nobody wants to be woken for it */

static void sender_drop(struct sender *s)
{
    if (--s->holds == 0) {
        channel_free(s->channel);
        free(s);
    }
}

void delivery_free(struct delivery *d)
{
    if (d->curl != NULL) {
        (void)curl_multi_remove_handle(d->notify->multi, d->curl);
        curl_easy_cleanup(d->curl);
    }
    curl_slist_free_all(d->headers);
    curl_slist_free_all(d->recipients);
    buf_fini(&d->payload);
    db_result_free(d->row);
    d->sender->in_flight--;
    d->sender->served = true;
    sender_drop(d->sender);
    free(d);
}

void delivery_end(struct delivery *d, enum outcome outcome, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    d->outcome = outcome;
    (void)vsnprintf(d->detail, sizeof(d->detail), format, args);
    va_end(args);
    list_remove(&d->link);
    list_push_back(&d->notify->ended, &d->link);
}

void delivery_answered(struct delivery *d)
{
    struct notify *n = d->notify;
    lock_take(&n->lock);
    d->next_answered = n->answered;
    n->answered = d;
    lock_give(&n->lock);
    (void)curl_multi_wakeup(n->multi);
}

void deliveries_collect(struct notify *n)
{
    lock_take(&n->lock);
    struct delivery *first = n->answered;
    n->answered = NULL;
    lock_give(&n->lock);
    for (struct delivery *d = first; d != NULL; d = d->next_answered) {
        list_remove(&d->link);
        list_push_back(&n->ended, &d->link);
    }
}

static void send_by_kind(struct delivery *d)
{
    static void (*const senders[])(struct delivery * d) = {
        [CHANNEL_WEBHOOK] = web_send,     [CHANNEL_EMAIL] = mail_send,
        [CHANNEL_MQTT] = mqtt_send,       [CHANNEL_SYSLOG] = syslog_send,
        [CHANNEL_COMMAND] = command_send, [CHANNEL_LOG] = log_send,
    };
    senders[d->sender->channel->kind](d);
}

enum err delivery_start(struct notify *n, struct sender *s)
{
    struct delivery *d = calloc(1, sizeof(*d));
    if (d == NULL) {
        return ERR_NOMEM;
    }
    enum err e = store_outbox_claim(n->db, s->channel->name, &d->row);
    if (e != ERR_OK || db_rows(d->row) == 0) {
        if (e == ERR_OK) {
            db_result_free(d->row);
        }
        free(d);
        return e == ERR_OK ? ERR_SKIP : e;
    }
    d->notify = n;
    d->sender = s;
    s->holds++;
    s->in_flight++;
    buf_init(&d->payload, PAYLOAD_MAX);
    d->notice = (struct notice){.id = db_get_int(d->row, 0, 0),
                                .event = db_get(d->row, 0, 1),
                                .body = db_get_view(d->row, 0, 4)};
    d->device_id = (int32_t)db_get_int(d->row, 0, 2);
    d->attempt = db_get_int(d->row, 0, 3);
    d->age_s = db_get_int(d->row, 0, 5);
    list_push_back(&n->active, &d->link);
    send_by_kind(d);
    return ERR_OK;
}

void deliveries_reap(struct notify *n)
{
    int left = 0;
    const struct CURLMsg *m = NULL;
    while ((m = curl_multi_info_read(n->multi, &left)) != NULL) {
        struct delivery *d = NULL;
        if (m->msg != CURLMSG_DONE ||
            curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &d) != CURLE_OK) {
            continue;
        }
        switch (d->sender->channel->kind) {
        case CHANNEL_EMAIL:
            mail_done(d, m->data.result);
            break;
        case CHANNEL_SYSLOG:
            syslog_done(d, m->data.result);
            break;
        case CHANNEL_WEBHOOK:
        case CHANNEL_MQTT:
        case CHANNEL_COMMAND:
        case CHANNEL_LOG:
            web_done(d, m->data.result);
            break;
        }
    }
}

static const char *state_of(struct delivery *d, int64_t *ret_retry_us)
{
    *ret_retry_us = 0;
    if (d->outcome == OUTCOME_SENT) {
        return "sent";
    }
    if (d->outcome == OUTCOME_FAILED || d->age_s > GIVE_UP_S) {
        return "failed";
    }
    uint64_t random = 0;
    (void)!getrandom(&random, sizeof(random), GRND_NONBLOCK);
    *ret_retry_us = policy_backoff_us(d->attempt, random);
    return "queued";
}

static enum err mark(struct notify *n, struct delivery *d)
{
    int64_t retry_us = 0;
    const char *state = state_of(d, &retry_us);
    utf8_clean(d->detail); /* cut somewhere, and partly of receivers and channels */
    enum err e = store_outbox_end(n->db, d->notice.id, state, retry_us, d->detail);
    if (e == ERR_DB_DATA) {
        e = store_outbox_end(n->db, d->notice.id, state, retry_us, "the server's log has it");
    }
    if (e != ERR_OK) {
        return e;
    }
    counter_add(
        d->outcome == OUTCOME_SENT ? COUNTER_NOTIFICATIONS_SENT : COUNTER_NOTIFICATIONS_FAILED, 1);
    if (d->outcome != OUTCOME_SENT) {
        LOG(LOG_WARN, "notification_not_sent", LOG_S("channel", d->sender->channel->name),
            LOG_I("id", d->notice.id), LOG_I("attempt", d->attempt), LOG_S("why", d->detail),
            LOG_S("next", retry_us > 0 ? "it is tried again" : "it is given up"));
    }
    list_remove(&d->link);
    delivery_free(d);
    return ERR_OK;
}

enum err deliveries_mark(struct notify *n)
{
    enum err refused = ERR_OK;
    struct list *next = NULL;
    for (struct list *at = n->ended.next; at != &n->ended; at = next) {
        next = at->next;
        enum err e = mark(n, CONTAINER_OF(at, struct delivery, link));
        if (e == ERR_DB_DATA) {
            refused = e; /* its own fault: the others are marked */
        } else if (e != ERR_OK) {
            return e;
        }
    }
    return refused;
}
