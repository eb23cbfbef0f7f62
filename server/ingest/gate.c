#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/ident.h"
#include "ingest/internal.h"

/*
 * The gate is the part of ingest that runs on a net loop: it tells topics apart, decodes payloads
 * and gathers what a turn of the loop brought into one block for the core. It keeps the budget:
 * when too many messages are under way it answers ERR_FULL, and the session stops reading its
 * socket.
 */
/* A block is sent on early when it holds so much; one message may bring far more. */
enum { GATE_BLOCK_LIMIT = 1 << 30, GATE_BLOCK_BYTES = 16 << 20, GATE_BLOCK_MESSAGES = 2048 };

struct gate {
    struct ingest *in;
    struct ingest_block *block; /* of this turn, or NULL */
    struct payload_limits limits;
    int64_t last_us; /* the newest time that a reading without one may get from what came so far */
};

static void gate_flush(void *arg)
{
    struct gate *g = arg;
    struct ingest_block *b = g->block;
    counter_balance_publish();
    if (b != NULL) {
        g->block = NULL;
        loop_post(g->in->loop, &b->mail);
    }
}

static void block_run(struct mail *m)
{
    struct ingest_block *b = CONTAINER_OF(m, struct ingest_block, mail);
    struct ingest *in = b->in;
    b->holds = b->count;
    struct ingest_message *at = b->first;
    while (at != NULL) {
        struct ingest_message *next = at->next; /* the last message done with frees the block */
        core_message(in, at);
        at = next;
    }
}

struct gate *gate_new(struct ingest *in, struct loop *net_loop)
{
    struct gate *g = calloc(1, sizeof(*g));
    if (g == NULL) {
        return NULL;
    }
    g->in = in;
    g->limits = payload_limits_default;
    g->limits.values_max = (uint32_t)in->conf->values_per_message_max;
    g->limits.samples_max = g->limits.values_max;
    if (net_loop != NULL) {
        loop_on_turn(net_loop, gate_flush, g);
    }
    return g;
}

static void block_free(struct ingest_block *b)
{
    for (struct ingest_message *m = b->first; m != NULL; m = m->next) {
        device_drop(m->device);
        device_drop(m->gateway);
    }
    arena_fini(&b->arena);
    free(b);
}

void gate_free(struct gate *g)
{
    if (g != NULL) {
        if (g->block != NULL) {
            block_free(g->block);
        }
        free(g);
    }
}

static struct ingest_block *gate_block(struct gate *g)
{
    if (g->block == NULL) {
        g->block = calloc(1, sizeof(*g->block));
        if (g->block == NULL) {
            return NULL;
        }
        g->block->in = g->in;
        g->block->mail.run = block_run;
        g->block->last = &g->block->first;
        arena_init(&g->block->arena, GATE_BLOCK_LIMIT);
    }
    return g->block;
}

/* Everything about one publish, while it is taken apart. */
struct gate_publish {
    struct gate *gate;
    const struct gate_source *from;
    struct view body; /* copied into the block */
    size_t began_at;  /* what the block had used before */
    uint64_t number;  /* of the publish */
    int64_t received_at_us;
    uint32_t samples; /* of one device, at most */
    bool counted;     /* the first message of the publish carries the balance */
};

static struct ingest_message *gate_message(struct gate_publish *gp, enum ingest_kind kind,
                                           struct device *about)
{
    struct ingest_block *b = gp->gate->block;
    struct ingest_message *m = arena_zalloc(&b->arena, sizeof(*m));
    if (m == NULL) {
        return NULL;
    }
    m->block = b;
    m->kind = kind;
    m->device = about;
    if (about != NULL) {
        device_hold(about);
        m->name = view_str(about->name);
    }
    m->from = gp->from->ref;
    m->first = !gp->counted;
    m->counts = m->first && gp->from->counts;
    gp->counted = true;
    m->dup = gp->from->dup;
    m->publish = gp->number;
    m->spooled = gp->from->spooled;
    m->packet_id = gp->from->packet_id;
    m->received_at_us = gp->received_at_us;
    m->body = gp->body;
    m->payload = gp->body;
    m->topic = arena_view(&b->arena, gp->from->topic);
    if (gp->from->ticket != NULL) {
        ticket_hold(gp->from->ticket);
        m->ticket = gp->from->ticket;
    }
    /* With what was decoded, which can be several times the payload. */
    m->bytes = m->first ? b->arena.used_bytes - gp->began_at : sizeof(*m);
    *b->last = m;
    b->last = &m->next;
    b->count++;
    if (m->spooled) {
        spooling_read_again(gp->gate->in, 1); /* the spool's gate is the core's own */
    }
    core_in_flight_add(gp->gate->in, m);
    return m;
}

/* The few kinds of error that a device is told: what is wrong with the message for good. Anything
 * else would close the session and make the device send the same message again without end. */
static enum err gate_kind(enum err e)
{
    switch ((int)e) {
    case ERR_MALFORMED:
    case ERR_TYPE:
    case ERR_RANGE:
    case ERR_LIMIT:
    case ERR_UTF8:
    case ERR_UNKNOWN_NAME:
    case ERR_EXISTS:
    case ERR_DENIED:
        return e;
    case ERR_FULL: /* no more metric names */
        return ERR_LIMIT;
    case ERR_UNSUPPORTED: /* U+0000, which PostgreSQL's texts cannot hold */
        return ERR_TYPE;
    default:
        return ERR_SYNTAX;
    }
}

static enum err gate_reject(struct gate_publish *gp, const struct payload_error *why)
{
    if (why->err == ERR_NOMEM) {
        return ERR_FULL; /* ours, not the message's: it is offered again */
    }
    struct ingest_message *m = gate_message(gp, INGEST_REJECTED, gp->from->device);
    if (m == NULL) {
        return ERR_FULL;
    }
    struct arena *arena = &gp->gate->block->arena;
    m->err = gate_kind(why->err);
    m->pointer = arena_view(arena, view_str(why->pointer));
    m->detail = arena_view(arena, view_str(why->detail));
    return ERR_OK;
}

static enum err gate_refuse(struct gate_publish *gp, enum err err, const char *detail)
{
    struct payload_error why = {.err = err};
    (void)snprintf(why.detail, sizeof(why.detail), "%s", detail);
    return gate_reject(gp, &why);
}

static struct payload_ctx gate_context(const struct gate_publish *gp)
{
    return (struct payload_ctx){.arena = &gp->gate->block->arena,
                                .metrics = gp->gate->in->metrics,
                                .limits = &gp->gate->limits,
                                .hint = gp->from->hint};
}

static enum err gate_telemetry(struct gate_publish *gp)
{
    struct payload_ctx ctx = gate_context(gp);
    struct payload_samples samples;
    struct payload_error why;
    if (payload_telemetry(&ctx, gp->body, &samples, &why) != ERR_OK) {
        return gate_reject(gp, &why);
    }
    struct ingest_message *m = gate_message(gp, INGEST_TELEMETRY, gp->from->device);
    if (m == NULL) {
        return ERR_FULL;
    }
    m->samples = samples;
    gp->samples = samples.count;
    return ERR_OK;
}

/* A message about a child of the gateway, by name; the device may not exist yet. */
static struct ingest_message *gate_child(struct gate_publish *gp, enum ingest_kind kind,
                                         struct view name)
{
    struct device *child = catalog_device(gp->gate->in->catalog, name);
    struct ingest_message *m = gate_message(gp, kind, child);
    if (m != NULL) {
        m->name = arena_view(&gp->gate->block->arena, name);
        m->gateway = gp->from->device;
        device_hold(m->gateway);
    }
    device_drop(child);
    return m;
}

static enum err gate_gateway_telemetry(struct gate_publish *gp)
{
    struct payload_ctx ctx = gate_context(gp);
    struct payload_device *first = NULL;
    uint32_t count = 0;
    struct payload_error why;
    if (payload_gateway_telemetry(&ctx, gp->body, &first, &count, &why) != ERR_OK) {
        return gate_reject(gp, &why);
    }
    if (count == 0) {
        return gate_message(gp, INGEST_TELEMETRY, gp->from->device) == NULL ? ERR_FULL : ERR_OK;
    }
    for (const struct payload_device *d = first; d != NULL; d = d->next) {
        struct ingest_message *m = gate_child(gp, INGEST_TELEMETRY, d->name);
        if (m == NULL) {
            return ERR_FULL;
        }
        m->samples = d->samples;
        gp->samples = d->samples.count > gp->samples ? d->samples.count : gp->samples;
    }
    return ERR_OK;
}

static enum err gate_gateway_child(struct gate_publish *gp, bool connected)
{
    struct payload_ctx ctx = gate_context(gp);
    struct view name;
    struct view type;
    struct payload_error why;
    if (payload_gateway_device(&ctx, gp->body, &name, &type, &why) != ERR_OK) {
        return gate_reject(gp, &why);
    }
    struct ingest_message *m = gate_child(gp, INGEST_CHILD, name);
    if (m == NULL) {
        return ERR_FULL;
    }
    m->connected = connected;
    m->child_type = type;
    return ERR_OK;
}

static enum err gate_gateway_answer(struct gate_publish *gp)
{
    struct payload_ctx ctx = gate_context(gp);
    struct view name;
    struct view data;
    int64_t id = 0;
    struct payload_error why;
    if (payload_gateway_answer(&ctx, gp->body, &name, &id, &data, &why) != ERR_OK) {
        return gate_reject(gp, &why);
    }
    struct ingest_message *m = gate_child(gp, INGEST_ANSWER, name);
    if (m == NULL) {
        return ERR_FULL;
    }
    m->id = id;
    m->body = data;
    return ERR_OK;
}

static enum err gate_json(struct gate_publish *gp, enum ingest_kind kind, bool object_only,
                          int64_t id)
{
    struct payload_ctx ctx = gate_context(gp);
    struct payload_error why;
    if (payload_json_check(&ctx, gp->body, object_only, &why) != ERR_OK) {
        return gate_reject(gp, &why);
    }
    struct ingest_message *m = gate_message(gp, kind, gp->from->device);
    if (m == NULL) {
        return ERR_FULL;
    }
    m->id = id;
    return ERR_OK;
}

/* The decimal number at the end of a topic; -1 when it is none. */
static int64_t topic_number(struct view digits)
{
    int64_t n = 0;
    if (digits.len == 0 || digits.len > 18) {
        return -1;
    }
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9') {
            return -1;
        }
        n = n * 10 + (digits.data[i] - '0');
    }
    return n;
}

static enum err gate_route(struct gate_publish *gp)
{
    struct view topic = gp->from->topic;
    if (view_eq(topic, VIEW("v1/devices/me/telemetry"))) {
        return gate_telemetry(gp);
    }
    if (view_eq(topic, VIEW("v1/gateway/telemetry"))) {
        return gate_gateway_telemetry(gp);
    }
    if (view_eq(topic, VIEW("v1/devices/me/attributes"))) {
        return gate_json(gp, INGEST_ATTRIBUTES, true, 0);
    }
    if (view_eq(topic, VIEW("v1/gateway/connect")) ||
        view_eq(topic, VIEW("v1/gateway/disconnect"))) {
        return gate_gateway_child(gp, topic.data[11] == 'c');
    }
    if (view_eq(topic, VIEW("v1/gateway/rpc"))) {
        return gate_gateway_answer(gp);
    }
    static const struct {
        const char *prefix;
        enum ingest_kind kind;
        bool object_only;
    } numbered[] = {{"v1/devices/me/rpc/response/", INGEST_ANSWER, false},
                    {"v1/devices/me/attributes/request/", INGEST_ATTRIBUTE_REQUEST, true}};
    for (size_t i = 0; i < COUNT_OF(numbered); i++) {
        struct view prefix = view_str(numbered[i].prefix);
        if (view_starts(topic, prefix)) {
            int64_t id = topic_number(view_skip(topic, prefix.len));
            return id < 0 ? gate_refuse(gp, ERR_SYNTAX, "the topic must end with a decimal number")
                          : gate_json(gp, numbered[i].kind, numbered[i].object_only, id);
        }
    }
    return gate_refuse(gp, ERR_UNKNOWN_NAME, "nothing in this server takes messages of this topic");
}

enum err gate_take(struct gate *g, const struct gate_source *from)
{
    struct ingest_block *b = gate_block(g);
    if (b == NULL) {
        return ERR_FULL;
    }
    struct gate_publish gp = {.gate = g, .from = from, .began_at = b->arena.used_bytes};
    gp.number = 1 + atomic_fetch_add_explicit(&g->in->publishes, 1, memory_order_relaxed);
    gp.body = arena_view(&b->arena, from->payload);
    /* Readings without a time get that of their message and the microseconds after it. So no two
     * messages share one, and the time of a reading follows from its message alone: it is the same
     * whether the message goes straight into a batch or through the spool. */
    bool fresh = !from->spooled;
    gp.received_at_us =
        fresh && from->received_at_us <= g->last_us ? g->last_us + 1 : from->received_at_us;
    enum err e = gp.body.data == NULL && from->payload.len > 0 ? ERR_FULL : gate_route(&gp);
    if (fresh) {
        g->last_us = gp.received_at_us + (gp.samples > 1 ? gp.samples - 1 : 0);
    }
    if (b->count >= GATE_BLOCK_MESSAGES || b->arena.used_bytes >= GATE_BLOCK_BYTES) {
        gate_flush(g);
    }
    return e;
}

void gate_flush_now(struct gate *g)
{
    gate_flush(g);
}

/* The session holds its device; a message takes a hold of its own. */
static struct device *session_device_counted(const struct session *s)
{
    union {
        const struct device *borrowed;
        struct device *counted;
    } d = {.borrowed = session_device(s)};
    return d.counted;
}

enum err gate_publish(struct gate *g, struct session *s, const struct session_publish *p,
                      struct ticket *t)
{
    if (session_device(s) == NULL) {
        /* The open listener: no device, so nothing to store. The session counted the message; it
         * leaves the balance. */
        counter_message_ended(MESSAGE_DROPPED, 1);
        return ERR_OK;
    }
    if (core_in_flight_full(g->in)) {
        atomic_store(&g->in->starved, true);
        /* Room that was made just before the mark was set called nobody: look once more. */
        if (core_in_flight_full(g->in)) {
            return ERR_FULL;
        }
    }
    void **user = session_user(s);
    if (*user == NULL) {
        *user = calloc(1, sizeof(struct payload_hint));
    }
    enum err e = gate_take(g, &(struct gate_source){.device = session_device_counted(s),
                                                    .ref = session_ref(s),
                                                    .hint = *user,
                                                    .topic = p->topic,
                                                    .payload = p->payload,
                                                    .ticket = t,
                                                    .received_at_us = p->received_at_us,
                                                    .packet_id = p->packet_id,
                                                    .dup = p->dup,
                                                    .counts = true});
    if (e == ERR_FULL) {
        atomic_store(&g->in->starved, true); /* of memory: the core's next tick calls again */
    }
    return e;
}
