#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/counter.h"
#include "ingest/internal.h"

/*
 * Readings by HTTP: the same road as a publish, with a ticket that answers the request.
 */
struct op_ticket {
    struct ticket ticket;
    struct api_op *op;
};

static void post_done(struct ticket *t, enum err status)
{
    struct op_ticket *ot = CONTAINER_OF(t, struct op_ticket, ticket);
    struct api_op *op = ot->op;
    free(ot);
    op->status = status;
    op->done(op);
}

static enum err post_decode(struct ingest *in, struct ingest_message *m, struct payload_error *why)
{
    struct payload_limits limits = payload_limits_default;
    limits.values_max = (uint32_t)in->conf->values_per_message_max;
    limits.samples_max = limits.values_max;
    struct payload_ctx ctx = {.arena = &m->block->arena, .metrics = in->metrics, .limits = &limits};
    return payload_telemetry(&ctx, m->body, &m->samples, why);
}

void core_post_drop(struct ingest_message *m)
{
    struct ingest_block *b = m->block;
    if (m->ticket != NULL) {
        free(CONTAINER_OF(m->ticket, struct op_ticket, ticket));
    }
    device_drop(m->device);
    arena_fini(&b->arena);
    free(b);
}

struct ingest_message *core_post_new(struct ingest *in, struct api_op *op)
{
    struct ingest_block *b = calloc(1, sizeof(*b));
    CHECK(b != NULL);
    arena_init(&b->arena, 256 << 20);
    b->in = in;
    struct ingest_message *m = arena_zalloc(&b->arena, sizeof(*m));
    CHECK(m != NULL);
    m->block = b;
    m->device = catalog_device_by_id(in->catalog, op->device_id);
    m->body = arena_view(&b->arena, op->body);
    struct payload_error why = {.err = ERR_NOT_FOUND};
    enum err e = m->device == NULL ? ERR_NOT_FOUND : post_decode(in, m, &why);
    if (e != ERR_OK) {
        (void)snprintf(op->pointer, sizeof(op->pointer), "%s", why.pointer);
        core_post_drop(m);
        core_op_end(op, e, why.detail);
        return NULL;
    }
    struct op_ticket *t = calloc(1, sizeof(*t));
    CHECK(t != NULL);
    t->op = op;
    ticket_init(&t->ticket, post_done);
    m->kind = INGEST_TELEMETRY;
    m->name = view_str(m->device->name);
    m->topic = VIEW("v1/devices/me/telemetry"); /* as the device itself would have sent it */
    m->payload = m->body;
    m->first = true;
    m->publish = 1 + atomic_fetch_add(&in->publishes, 1);
    m->ticket = &t->ticket;
    m->op = op;
    m->counts = true;
    /* A time of its own, as the gates give it. */
    m->received_at_us = in->tick_wall_us > in->op_last_us ? in->tick_wall_us : in->op_last_us + 1;
    in->op_last_us = m->received_at_us + (m->samples.count > 1 ? m->samples.count - 1 : 0);
    b->first = m;
    b->count = 1;
    b->holds = 1;
    m->bytes = b->arena.used_bytes; /* with what was decoded */
    return m;
}

void core_post_take(struct ingest *in, struct ingest_message *m)
{
    counter_message_received(1);
    core_in_flight_add(in, m);
    core_message(in, m);
}

void core_post(struct ingest *in, struct api_op *op)
{
    struct ingest_message *m = core_post_new(in, op);
    if (m != NULL) {
        core_post_take(in, m);
    }
}
