/*
 * api: a client of the REST interface: commands with and without an Idempotency-Key, cancelling,
 * acknowledging alerts, readings by HTTP. What it gets no answer for it asks again with the same
 * key.
 */
#include "api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checks.h"
#include "command/op.h"
#include "devices.h"

struct request {
    struct request *next;
    enum api_op_kind kind;
    int device;
    char key[32];
    char params[32];
    int64_t id; /* command or alert */
    int64_t expires_us;
    struct dev_message *message; /* API_OP_TELEMETRY */
    bool done;
    bool again; /* until it is answered */
    uint32_t tries;
};

struct api {
    struct request *all;
    int64_t next_key;
    uint32_t open;
};

/* In the server's memory, as it is there. */
struct asked {
    struct api_op op;
    struct request *request;
};

static void ask(void *arg, int64_t n);

static void ask_again(struct request *q)
{
    if (q->again) {
        sim_after(sim_between(50000, 3000000), 0, ask, q, 0);
    } else {
        q->done = true;
        sim_get()->api->open--;
    }
}

static void check_answer(const struct request *q, const struct api_op *op)
{
    struct pg *pg = sim_get()->pg;
    bool stored = true;
    switch (q->kind) {
    case API_OP_COMMAND_CREATE:
        stored = pg_command(pg, op->ret_id) != NULL || op->status == ERR_EXISTS;
        break;
    case API_OP_COMMAND_CANCEL:
        stored = pg_command(pg, q->id) != NULL;
        break;
    case API_OP_ALERT_ACK:
        stored = pg_alert(pg, q->id)->acknowledged;
        break;
    case API_OP_OVERRIDE: /* never asked here */
    case API_OP_TELEMETRY:
        break; /* device_acknowledged() looks */
    case API_OP_ALERT_LIFE:
    case API_OP_NOTE:
        break; /* nobody asks for these here */
    }
    if (!stored) {
        sim_violation("2xx means stored", "request of kind %d, key %s", (int)q->kind, q->key);
    }
}

static void answered(struct api_op *op)
{
    struct asked *a = (struct asked *)op->arg;
    struct request *q = a->request;
    sim_log("api: kind %d key %s: %s, id %lld", (int)q->kind, q->key, err_words(op->status),
            (long long)op->ret_id);
    if (op->status == ERR_CONFLICT) {
        sim_violation("idempotency key", "%s is said to be another command's", q->key);
    }
    if (q->done) {
        free(a); /* the client had given up waiting */
        return;
    }
    if (op->status == ERR_OK || op->status == ERR_EXISTS) {
        check_answer(q, op);
        q->done = true;
        q->again = false;
        sim_get()->api->open--;
        if (q->message != NULL && !q->message->acked) {
            device_acknowledged(sim_get()->devices[q->device], q->message, true);
        }
    } else {
        ask_again(q);
    }
    free(a);
}

/* The server died before it answered: found out after a while. */
static void no_answer(void *arg, int64_t n)
{
    struct request *q = arg;
    if (!q->done && (uint32_t)n == q->tries) {
        ask_again(q);
    }
}

static void ask(void *arg, int64_t n)
{
    (void)n;
    struct request *q = arg;
    struct sim *s = sim_get();
    if (q->done) {
        return;
    }
    q->tries++;
    if (s->life == 0) {
        ask_again(q);
        return;
    }
    struct asked *a = calloc(1, sizeof(*a));
    *a = (struct asked){.request = q,
                        .op = {.kind = q->kind,
                               .device_id = q->device,
                               .method = "set",
                               .params = q->params,
                               .expires_us = q->expires_us,
                               .idempotency_key = q->key[0] == '\0' ? NULL : q->key,
                               .actor = "admin",
                               .id = q->id,
                               .done = answered}};
    a->op.arg = a;
    if (q->message != NULL) {
        q->message->sends++;
        a->op.body = view_str(q->message->payload);
    }
    int before = sim_as(ACTOR_API);
    ingest_submit(s->server.ingest, &a->op);
    (void)sim_as(before);
    /* Longer than any life of the server takes to answer while PostgreSQL is away. */
    sim_after(CLOCK_MINUTE_US * 5, 0, no_answer, q, q->tries);
}

void api_server_died(void)
{
    for (struct request *q = sim_get()->api->all; q != NULL; q = q->next) {
        if (!q->done && q->tries > 0) {
            sim_after(sim_between(1000, 2000000), 0, no_answer, q, q->tries);
        }
    }
}

static int64_t some_command(void)
{
    const struct pg *pg = sim_get()->pg;
    return pg->commands.count == 0 ? 0 : pg->commands.items[sim_random(pg->commands.count)].id;
}

static int64_t some_alert(void)
{
    const struct pg *pg = sim_get()->pg;
    return pg->alerts.count == 0 ? 0 : pg->alerts.items[sim_random(pg->alerts.count)].id;
}

static void request_due(void *arg, int64_t n)
{
    (void)n;
    struct api *api = arg;
    struct sim *s = sim_get();
    if (!s->active) {
        return;
    }
    struct request *q = world_alloc(sizeof(*q));
    q->device = (int)sim_between(1, s->device_count);
    struct dev *d = s->devices[q->device];
    switch (sim_random(8)) {
    case 0:
        q->kind = API_OP_COMMAND_CANCEL;
        q->id = some_command();
        break;
    case 1:
        q->kind = API_OP_ALERT_ACK;
        q->id = some_alert();
        break;
    case 2:
        q->kind = d->own_time ? API_OP_TELEMETRY : API_OP_COMMAND_CREATE;
        break;
    default:
        q->kind = API_OP_COMMAND_CREATE;
        break;
    }
    if (q->kind == API_OP_COMMAND_CREATE) {
        (void)snprintf(q->params, sizeof(q->params), "{\"v\":%d}", (int)sim_random(100));
        q->expires_us = sim_between(2, 60) * CLOCK_SECOND_US;
        q->again = sim_chance(800);
        if (q->again) {
            (void)snprintf(q->key, sizeof(q->key), "key-%lld", (long long)++api->next_key);
        }
    } else if (q->kind == API_OP_TELEMETRY) {
        q->message = device_message_for_http(d);
        q->again = true;
    }
    q->next = api->all;
    api->all = q;
    api->open++;
    bool pointless =
        (q->kind == API_OP_COMMAND_CANCEL || q->kind == API_OP_ALERT_ACK) && q->id == 0;
    if (pointless) {
        ask_again(q);
    } else {
        ask(q, 0);
    }
    if (q->key[0] != '\0' && sim_chance(200)) { /* the client is impatient: the same once more */
        struct request *twin = world_alloc(sizeof(*twin));
        *twin = *q;
        twin->tries = 0;
        twin->next = api->all;
        api->all = twin;
        api->open++;
        twin->done = false;
        twin->again = true;
        sim_after(sim_random(3000000), 0, ask, twin, 0);
    }
    sim_after(sim_between(200000, 6000000), 0, request_due, api, 0);
}

struct api *api_start(void)
{
    struct api *api = world_alloc(sizeof(*api));
    sim_after(sim_random(5000000), 0, request_due, api, 0);
    return api;
}

bool api_is_done(const struct api *api)
{
    return api->open == 0;
}

void api_free_fake(struct api *api)
{
    while (api->all != NULL) {
        struct request *q = api->all;
        api->all = q->next;
        world_free(q);
    }
    world_free(api);
}
