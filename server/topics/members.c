#include <stdlib.h>
#include <string.h>

#include "base/counter.h"
#include "base/log.h"
#include "topics/internal.h"

/*
 * Sessions that come and go. A session that outlives its connection has a row, written when it
 * begins and deleted when it is gone; its subscriptions are a part of the row.
 *
 * Filters that can only match topics of the device API are stored but stay out of the tree: what
 * is sent there to a device goes to its session directly.
 */

static struct view key_of(const int64_t *number)
{
    return view_of(number, sizeof(*number));
}

struct member *member_get(const struct topics *t, int64_t number)
{
    return map_get(&t->members, key_of(&number));
}

enum err member_add(struct topics *t, int64_t number, struct member **ret_member)
{
    struct member *m = calloc(1, sizeof(*m));
    void *old = NULL;
    if (m == NULL || map_put(&t->members, key_of(&number), m, &old) != ERR_OK) {
        free(m);
        return ERR_NOMEM;
    }
    m->number = number;
    counter_add(COUNTER_SESSIONS, 1);
    *ret_member = m;
    return ERR_OK;
}

static void subscriptions_count(const struct topics *t)
{
    counter_set(COUNTER_SUBSCRIPTIONS, t->tree.sub_count);
}

static void member_free(struct topics *t, struct member *m)
{
    tree_remove(&t->tree, &m->tree);
    free(m->received);
    free(m);
    counter_add(COUNTER_SESSIONS, -1);
}

void members_free(struct topics *t)
{
    MAP_FOREACH (at, &t->members) {
        member_free(t, at->value);
    }
    map_fini(&t->members);
}

/* ---- come and go ---- */

void topics_opened(struct topics *t, const struct session_opened *o)
{
    struct member *m = member_get(t, o->number);
    if (m == NULL && member_add(t, o->number, &m) != ERR_OK) {
        LOG(LOG_ERROR, "session_unknown_to_topics", LOG_S("why", "out of memory"),
            LOG_S("effect", "its subscriptions are refused until it connects again"));
        return;
    }
    wills_returned(t, m);
    m->tree.connected = true;
    m->tree.waits = o->expiry_us > 0;
    m->of_device = o->device != NULL;
    if (m->has_row) {
        journal_session_opened(t->journal, m->number, o->expiry_us);
    } else if (m->tree.waits) {
        m->has_row = true;
        journal_session_new(t->journal, o);
    }
}

void topics_parted(struct topics *t, int64_t number, int64_t expiry_us)
{
    struct member *m = member_get(t, number);
    if (m == NULL) {
        return;
    }
    m->tree.connected = false;
    if (m->has_row) {
        journal_session_parted(t->journal, number, expiry_us);
    }
}

void topics_ended(struct topics *t, int64_t number)
{
    struct member *m = member_get(t, number);
    if (m == NULL) {
        return;
    }
    CHECK(!t->sending); /* its targets are being gone through */
    m->tree.connected = false;
    m->tree.waits = false;
    wills_send(t, m);
    if (m->has_row) {
        journal_session_ended(t->journal, number);
    }
    (void)map_remove(&t->members, key_of(&number));
    member_free(t, m);
    subscriptions_count(t);
}

/* ---- subscriptions ---- */

static bool of_device_api(const char *filter)
{
    return strncmp(filter, "v1/devices/me/", 14) == 0 || strncmp(filter, "v1/gateway/", 11) == 0;
}

enum err member_subscribe(struct topics *t, struct member *m, const struct session_filter *f)
{
    if (m->of_device && of_device_api(f->filter)) {
        return ERR_OK;
    }
    enum err e = tree_subscribe(&t->tree, &m->tree, view_str(f->filter), f->options, f->identifier);
    subscriptions_count(t);
    return e;
}

enum err home_subscribed(struct topics *t, int64_t number, const struct session_filter *f,
                         struct ticket *ticket)
{
    struct member *m = member_get(t, number);
    if (m == NULL) {
        return ERR_NOMEM;
    }
    enum err e = member_subscribe(t, m, f);
    if (e == ERR_OK && m->has_row) {
        journal_filter(t->journal, number, f);
        journal_wait(t->journal, ticket, OPS_IMPATIENT, 0);
    }
    return e;
}

void home_unsubscribed(struct topics *t, int64_t number, const char *filter, struct ticket *ticket)
{
    struct member *m = member_get(t, number);
    if (m == NULL) {
        return;
    }
    (void)tree_unsubscribe(&t->tree, &m->tree, view_str(filter));
    subscriptions_count(t);
    if (m->has_row) {
        journal_filter_removed(t->journal, number, filter);
        journal_wait(t->journal, ticket, OPS_IMPATIENT, 0);
    }
}

/* ---- QoS 2 in: packet identifiers between PUBLISH and PUBREL ---- */

static struct received *received_find(const struct member *m, uint16_t packet_id)
{
    for (uint32_t i = 0; i < m->received_count; i++) {
        if (m->received[i].packet_id == packet_id) {
            return &m->received[i];
        }
    }
    return NULL;
}

bool member_has_received(const struct member *m, uint16_t packet_id)
{
    return received_find(m, packet_id) != NULL;
}

enum err member_received(struct member *m, uint16_t packet_id, bool stored)
{
    if (m->received_count == m->received_cap) {
        uint32_t cap = m->received_cap == 0 ? 4 : m->received_cap * 2;
        struct received *grown = realloc(m->received, cap * sizeof(*grown));
        if (grown == NULL) {
            return ERR_NOMEM;
        }
        m->received = grown;
        m->received_cap = cap;
    }
    m->received[m->received_count++] = (struct received){.packet_id = packet_id, .stored = stored};
    return ERR_OK;
}

/* True: it has a row. */
static bool received_remove(struct member *m, uint16_t packet_id)
{
    struct received *at = received_find(m, packet_id);
    if (at == NULL) {
        return false;
    }
    bool stored = at->stored;
    *at = m->received[--m->received_count];
    if (m->received_count == 0) {
        free(m->received);
        m->received = NULL;
        m->received_cap = 0;
    }
    return stored;
}

void home_released(struct topics *t, int64_t number, uint16_t packet_id, struct ticket *ticket)
{
    struct member *m = member_get(t, number);
    if (m != NULL && received_remove(m, packet_id)) {
        journal_received_released(t->journal, number, packet_id);
        journal_wait(t->journal, ticket, 0, 0);
    }
}

/* ---- what waits for a session ---- */

void home_received(struct topics *t, int64_t number, int64_t seq, struct ticket *ticket)
{
    journal_queue_released(t->journal, number, seq);
    journal_wait(t->journal, ticket, 0, 0);
}

void home_target_done(struct topics *t, int64_t number, int64_t seq, struct message *m)
{
    journal_queue_done(t->journal, number, seq, m);
}
