#include "topics/topics.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/counter.h"
#include "base/patience.h"
#include "topics/internal.h"

/*
 * The way in. With one net loop everything is a call; what comes from another loop is a letter to
 * the home loop, where the same function runs. Letters of a loop keep their order, so that a
 * subscription is there before the publish that follows it.
 */
enum { TICK_MS = 1000, RETAINED_EXPIRE_S = 60 };

/* ---- from other loops ---- */

struct letter {
    struct mail mail;
    void (*open)(struct topics *t, const struct letter *l);
    struct topics *topics;
    int64_t number;
    struct ticket *ticket;   /* held, or NULL */
    struct message *message; /* held, or NULL */
    int64_t seq;
    uint16_t packet_id;
    uint8_t qos;
    bool retain, existed, publish;
    struct session_filter filter; /* its text is behind the letter */
    struct home_will will;
    char text[];
};

static void letter_opened(struct mail *mail)
{
    struct letter *l = CONTAINER_OF(mail, struct letter, mail);
    struct topics *t = l->topics;
    if (!t->stopped) {
        l->open(t, l);
    }
    if (l->publish && budget_give_back(&t->mailed, 1, (int64_t)message_bytes(l->message))) {
        t->hooks.resume(t->hooks.arg);
    }
    if (l->ticket != NULL) {
        ticket_drop(l->ticket, t->stopped ? ERR_CLOSED : ERR_OK);
    }
    message_drop(l->message);
    free(l);
}

static struct letter *letter_new(struct topics *t, int64_t number, struct ticket *ticket,
                                 const struct session_filter *f,
                                 void (*open)(struct topics *t, const struct letter *l))
{
    size_t len = f == NULL ? 0 : strlen(f->filter);
    struct letter *l = calloc(1, sizeof(*l) + len + 1);
    if (l == NULL) {
        return NULL;
    }
    l->mail.run = letter_opened;
    l->open = open;
    l->topics = t;
    l->number = number;
    if (f != NULL) {
        l->filter = *f;
        l->filter.filter = l->text;
        memcpy(l->text, f->filter, len);
    }
    if (ticket != NULL) {
        ticket_hold(ticket);
        l->ticket = ticket;
    }
    return l;
}

static void letter_post(struct letter *l)
{
    loop_post(l->topics->home, &l->mail);
}

static bool is_home(const struct session *s)
{
    return session_loop(s) == 0;
}

/* A ticket remembers what it was told first. */
static void tell(struct ticket *ticket, enum err status)
{
    if (ticket != NULL && status != ERR_OK) {
        ticket_hold(ticket);
        ticket_drop(ticket, status);
    }
}

/* ---- publishes ---- */

static void open_route(struct topics *t, const struct letter *l)
{
    const struct message *m = l->message;
    counter_message_held(MESSAGE_IN_TOPICS, -1);
    const struct routed p = {.topic = message_topic(m),
                             .payload = message_payload(m),
                             .message = l->message,
                             .publisher = member_get(t, l->number),
                             .ticket = l->ticket,
                             .packet_id = l->packet_id,
                             .qos = l->qos,
                             .retain = l->retain,
                             .counts = true,
                             .counted = true,
                             .must_be_taken = true};
    tell(l->ticket, route_publish(t, &p));
}

static enum err route_by_mail(struct topics *t, struct session *s, const struct session_publish *p,
                              struct ticket *ticket)
{
    bool waits = p->retain || p->qos > 0; /* perhaps: only the home loop knows for whom it is */
    if (budget_full(&t->mailed) || (waits && journal_full(t->journal))) {
        return ERR_FULL;
    }
    struct letter *l = letter_new(t, session_number(s), ticket, NULL, open_route);
    struct message *m = l == NULL ? NULL : message_new(p->topic, p->props, p->payload);
    if (m == NULL) {
        if (l != NULL && ticket != NULL) {
            ticket_drop(ticket, ERR_NOMEM);
        }
        free(l);
        return ERR_NOMEM;
    }
    route_describe(m, p->qos, p->retain, p->props);
    l->message = m;
    l->packet_id = p->packet_id;
    l->qos = p->qos;
    l->retain = p->retain;
    l->publish = true;
    budget_take(&t->mailed, 1, (int64_t)message_bytes(m));
    counter_message_received(1);
    counter_message_held(MESSAGE_IN_TOPICS, 1);
    counter_balance_publish();
    letter_post(l);
    return ERR_OK;
}

enum err topics_route(struct topics *t, struct session *s, const struct session_publish *p,
                      struct ticket *ticket)
{
    if (route_is_forbidden(p->topic, session_device(s) != NULL)) {
        return ERR_DENIED;
    }
    if (!is_home(s)) {
        return route_by_mail(t, s, p, ticket);
    }
    const struct routed r = {.topic = p->topic,
                             .payload = p->payload,
                             .props = p->props,
                             .publisher = member_get(t, session_number(s)),
                             .ticket = ticket,
                             .packet_id = p->packet_id,
                             .qos = p->qos,
                             .retain = p->retain,
                             .counts = true};
    return route_publish(t, &r);
}

static void open_publish(struct topics *t, const struct letter *l)
{
    const struct message *m = l->message;
    const struct routed p = {.topic = message_topic(m),
                             .payload = message_payload(m),
                             .message = l->message,
                             .ticket = l->ticket,
                             .qos = l->qos,
                             .retain = l->retain};
    tell(l->ticket, route_publish(t, &p));
}

void topics_publish(struct topics *t, struct view topic, struct view payload, uint8_t qos,
                    bool retain, struct ticket *ticket)
{
    bool denied = topic.len == 0 || topic.len > UINT16_MAX || route_is_forbidden(topic, true);
    struct message *m = denied ? NULL : message_new(topic, NULL, payload);
    struct letter *l = m == NULL ? NULL : letter_new(t, 0, ticket, NULL, open_publish);
    if (l == NULL) {
        message_drop(m);
        ticket_drop(ticket, denied ? ERR_DENIED : ERR_NOMEM);
        return;
    }
    route_describe(m, qos, retain, NULL);
    l->message = m;
    l->qos = qos;
    l->retain = retain;
    letter_post(l);
    ticket_drop(ticket, ERR_OK); /* the letter has its own */
}

/* ---- subscriptions ---- */

static void open_subscribed(struct topics *t, const struct letter *l)
{
    tell(l->ticket, home_subscribed(t, l->number, &l->filter, l->ticket));
}

enum err topics_subscribed(struct topics *t, struct session *s, const struct session_filter *f,
                           bool existed, struct ticket *ticket)
{
    (void)existed;
    if (is_home(s)) {
        return home_subscribed(t, session_number(s), f, ticket);
    }
    struct letter *l = letter_new(t, session_number(s), ticket, f, open_subscribed);
    if (l == NULL) {
        return ERR_NOMEM;
    }
    letter_post(l);
    return ERR_OK;
}

static void open_unsubscribed(struct topics *t, const struct letter *l)
{
    home_unsubscribed(t, l->number, l->filter.filter, l->ticket);
}

enum err topics_unsubscribed(struct topics *t, struct session *s, const struct session_filter *f,
                             struct ticket *ticket)
{
    if (is_home(s)) {
        home_unsubscribed(t, session_number(s), f->filter, ticket);
        return ERR_OK;
    }
    struct letter *l = letter_new(t, session_number(s), ticket, f, open_unsubscribed);
    if (l == NULL) {
        return ERR_NOMEM;
    }
    letter_post(l);
    return ERR_OK;
}

static void retained_here(struct topics *t, int64_t number, const struct session_filter *f,
                          bool existed)
{
    struct member *m = member_get(t, number);
    if (m != NULL) {
        route_retained(t, m, f, existed);
    }
}

static void open_retained(struct topics *t, const struct letter *l)
{
    retained_here(t, l->number, &l->filter, l->existed);
}

void topics_retained(struct topics *t, struct session *s, const struct session_filter *f,
                     bool existed)
{
    if (is_home(s)) {
        retained_here(t, session_number(s), f, existed);
        return;
    }
    struct letter *l = letter_new(t, session_number(s), NULL, f, open_retained);
    if (l != NULL) {
        l->existed = existed;
        letter_post(l);
    }
}

/* ---- acknowledgements ---- */

static void open_released(struct topics *t, const struct letter *l)
{
    home_released(t, l->number, l->packet_id, l->ticket);
}

enum err topics_released(struct topics *t, struct session *s, uint16_t packet_id,
                         struct ticket *ticket)
{
    if (is_home(s)) {
        home_released(t, session_number(s), packet_id, ticket);
        return ERR_OK;
    }
    struct letter *l = letter_new(t, session_number(s), ticket, NULL, open_released);
    if (l == NULL) {
        return ERR_NOMEM;
    }
    l->packet_id = packet_id;
    letter_post(l);
    return ERR_OK;
}

static void open_received(struct topics *t, const struct letter *l)
{
    home_received(t, l->number, l->seq, l->ticket);
}

enum err topics_received(struct topics *t, struct session *s, int64_t seq, struct ticket *ticket)
{
    if (is_home(s)) {
        home_received(t, session_number(s), seq, ticket);
        return ERR_OK;
    }
    struct letter *l = letter_new(t, session_number(s), ticket, NULL, open_received);
    if (l == NULL) {
        return ERR_NOMEM;
    }
    l->seq = seq;
    letter_post(l);
    return ERR_OK;
}

static void open_target_done(struct topics *t, const struct letter *l)
{
    home_target_done(t, l->number, l->seq, l->message);
}

/* Called on any loop, and without a session that would say on which. */
void topics_target_done(struct topics *t, int64_t number, int64_t seq, struct message *m,
                        enum err status)
{
    (void)status; /* whatever it is, nothing waits for it any more */
    if (loop_is_current(t->home)) {
        home_target_done(t, number, seq, m);
        return;
    }
    /* Without it its row would stay, and it would be sent again after a restart. */
    struct letter *l = patient_calloc(sizeof(*l) + 1);
    l->mail.run = letter_opened;
    l->open = open_target_done;
    l->topics = t;
    l->number = number;
    l->seq = seq;
    l->message = message_hold(m);
    letter_post(l);
}

/* ---- wills ---- */

static void open_will(struct topics *t, const struct letter *l)
{
    (void)message_hold(l->message);
    home_will(t, &l->will);
}

void topics_will(struct topics *t, const struct session_will *w)
{
    const struct home_will will = {.number = w->number,
                                   .message = w->message,
                                   .device_id = w->device == NULL ? 0 : w->device->id,
                                   .delay_us = w->delay_us,
                                   .expiry_us = w->expiry_us};
    if (loop_is_current(t->home)) {
        home_will(t, &will);
        return;
    }
    struct letter *l = letter_new(t, w->number, NULL, NULL, open_will);
    if (l == NULL) {
        message_drop(w->message);
        return;
    }
    l->will = will;
    l->message = w->message;
    letter_post(l);
}

/* ---- life ---- */

static void on_commit(void *arg, struct ops *o)
{
    struct topics *t = arg;
    t->hooks.commit(t->hooks.arg, o);
}

static void on_stored(void *arg, int64_t number)
{
    struct topics *t = arg;
    if (!t->stopped) {
        session_stored_now(t->sessions, number);
    }
}

static void on_room(void *arg)
{
    struct topics *t = arg;
    t->hooks.resume(t->hooks.arg);
}

static void on_post(void *arg, struct mail *m)
{
    loop_post(((struct topics *)arg)->home, m);
}

enum err topics_new(const struct conf *conf, const struct topics_hooks *hooks,
                    struct topics **ret_topics)
{
    const struct journal_hooks journal_hooks = {
        .commit = on_commit, .stored = on_stored, .room = on_room, .post = on_post};
    struct topics *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        return ERR_NOMEM;
    }
    t->conf = conf;
    t->hooks = *hooks;
    t->mailed.messages_max = conf->messages_in_flight_max;
    t->mailed.bytes_max = conf->in_flight_max_bytes;
    list_init(&t->wills);
    map_init(&t->members);
    struct journal_hooks with_arg = journal_hooks;
    with_arg.arg = t;
    t->journal = journal_new(&with_arg, conf->messages_in_flight_max, conf->in_flight_max_bytes);
    enum err e = t->journal == NULL ? ERR_NOMEM : tree_init(&t->tree);
    if (e == ERR_OK) {
        e = retained_init(&t->retained, (uint32_t)conf->retained_max, conf->retained_size_bytes);
    }
    if (e != ERR_OK) {
        topics_free(t);
        return e;
    }
    *ret_topics = t;
    return ERR_OK;
}

static void on_retained_expired(void *arg, struct message *m)
{
    struct topics *t = arg;
    journal_retained_removed(t->journal, message_topic(m));
}

static void on_tick(void *arg)
{
    struct topics *t = arg;
    int64_t now_us = clock_mono_us();
    wills_due(t, now_us);
    if (now_us >= t->retained_expire_at_us) {
        t->retained_expire_at_us = now_us + RETAINED_EXPIRE_S * CLOCK_SECOND_US;
        retained_expire(&t->retained, now_us, on_retained_expired, t);
        counter_set(COUNTER_RETAINED, t->retained.count);
    }
}

static void on_turn(void *arg)
{
    struct topics *t = arg;
    for (const struct message *m = retained_changed(&t->retained); m != NULL;
         m = retained_changed(&t->retained)) {
        journal_retained(t->journal, m);
    }
    journal_flush(t->journal);
    counter_balance_publish();
}

enum err topics_restore(struct topics *t, struct sessions *sessions, struct loop *home,
                        struct db *db)
{
    t->sessions = sessions;
    t->home = home;
    enum err e = restore_all(t, db);
    if (e != ERR_OK) {
        return e;
    }
    loop_on_turn(home, on_turn, t);
    t->tick = loop_timer_start(home, TICK_MS, on_tick, t);
    return t->tick == NULL ? ERR_NOMEM : ERR_OK;
}

static void stop_here(struct mail *m)
{
    struct topics *t = CONTAINER_OF(m, struct topics, stop);
    loop_timer_stop(t->tick);
    t->tick = NULL;
}

void topics_stop(struct topics *t)
{
    if (t->tick != NULL) {
        t->stop.run = stop_here;
        loop_post(t->home, &t->stop);
    }
}

void topics_flush(struct topics *t)
{
    on_turn(t);
    t->stopped = true;
}

void topics_free(struct topics *t)
{
    if (t == NULL) {
        return;
    }
    wills_free(t);
    members_free(t);
    if (t->tree.filters.root != NULL) {
        tree_fini(&t->tree);
    }
    if (t->retained.topics.root != NULL) {
        retained_fini(&t->retained);
    }
    journal_free(t->journal);
    free(t);
}
