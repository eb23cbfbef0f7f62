/*
 * device: the connection of a virtual device, its window, and the commands it carries out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "checks.h"
#include "devices.h"
#include "model/command.h"
#include "readings.h"

enum { CONNECT_PATIENCE_US = 20000000, EXPIRY_SLACK_US = 2000000 };

static void device_connect(void *arg, int64_t n);

struct dev *device_make(int id)
{
    struct dev *d = world_alloc(sizeof(*d));
    d->id = id;
    d->own_time = sim_chance(600);
    d->same_content = !d->own_time && sim_chance(400);
    d->lowest_ids = !d->same_content && sim_chance(500);
    d->persistent = sim_chance(500);
    d->clean_start = !d->persistent || sim_chance(200);
    d->answers = sim_chance(850);
    d->loose = !d->same_content && sim_chance(300) ? (int)sim_random(400) : 0;
    d->twice = sim_chance(300) ? (int)sim_random(1000) : 0;
    d->window = (uint32_t)sim_between(1, DEVICE_WINDOW_MAX);
    d->pause_us = sim_between(100000, 1500000);
    d->left = (uint32_t)sim_between(20, 90);
    d->last = &d->first;
    readings_begin(d);
    return d;
}

void device_free(struct dev *d)
{
    while (d->first != NULL) {
        struct dev_message *m = d->first;
        d->first = m->next;
        world_free(m->payload);
        world_free(m);
    }
    world_free(d->samples);
    world_free(d);
}

bool device_is_done(const struct dev *d)
{
    return d->unacked == 0;
}

/* ---- sending ---- */

static uint16_t free_packet_id(struct dev *d)
{
    uint16_t id = d->lowest_ids ? 0 : d->last_packet_id;
    bool used = true;
    while (used) {
        id = (uint16_t)(id == UINT16_MAX ? 1 : id + 1);
        used = false;
        for (uint32_t i = 0; i < d->flight_count; i++) {
            used = used || d->flight[i]->packet_id == id;
        }
        for (uint32_t i = 0; i < d->releasing_count; i++) {
            used = used || d->releasing[i] == id;
        }
    }
    d->last_packet_id = id;
    return id;
}

static void send_message(struct dev *d, struct dev_message *m, bool dup)
{
    struct packet *p = packet_new(PACKET_PUBLISH);
    p->packet_id = m->packet_id;
    p->qos = m->qos;
    p->dup = dup;
    p->payload = world_text(m->payload, strlen(m->payload));
    static const char *const topics[] = {[DEV_TELEMETRY] = "v1/devices/me/telemetry",
                                         [DEV_ATTRIBUTES] = "v1/devices/me/attributes",
                                         [DEV_WRONG] = "v1/devices/me/telemetry"};
    if (m->kind == DEV_ANSWER) {
        (void)snprintf(p->topic, sizeof(p->topic), "v1/devices/me/rpc/response/%lld",
                       (long long)m->command_id);
    } else {
        (void)snprintf(p->topic, sizeof(p->topic), "%s", topics[m->kind]);
    }
    m->sends++;
    sim_log("d%d sends %u%s %s", d->id, m->packet_id, dup ? " again" : "", m->payload);
    conn_send_up(d->conn, p);
}

static struct dev_message *next_unsent(const struct dev *d)
{
    for (struct dev_message *m = d->first; m != NULL; m = m->next) {
        if (m->sends == 0 && !m->by_http && m->not_before_us <= sim_get()->now_us) {
            return m;
        }
    }
    return NULL;
}

void device_send(struct dev *d)
{
    while (d->online && d->flight_count + d->releasing_count < d->window) {
        struct dev_message *m = next_unsent(d);
        if (m == NULL) {
            return;
        }
        if (m->qos == 0) {
            send_message(d, m, false);
            d->unacked--;
            continue;
        }
        m->packet_id = free_packet_id(d);
        d->flight[d->flight_count++] = m;
        send_message(d, m, false);
    }
}

struct dev_message *device_keep(struct dev *d, enum dev_message_kind kind)
{
    struct dev_message *m = world_alloc(sizeof(*m));
    m->kind = kind;
    m->qos = 1;
    *d->last = m;
    d->last = &m->next;
    d->unacked++;
    sim_get()->count.messages++;
    return m;
}

void device_acknowledged(struct dev *d, struct dev_message *m, bool ok)
{
    m->acked = true;
    m->packet_id = 0;
    d->unacked--;
    readings_acknowledged(d, m, ok);
}

static void send_release(struct dev *d, uint16_t packet_id)
{
    struct packet *p = packet_new(PACKET_PUBREL);
    p->packet_id = packet_id;
    conn_send_up(d->conn, p);
}

static void take_pubcomp(struct dev *d, const struct packet *p)
{
    for (uint32_t i = 0; i < d->releasing_count; i++) {
        if (d->releasing[i] == p->packet_id) {
            d->releasing_count--;
            memmove(&d->releasing[i], &d->releasing[i + 1],
                    (d->releasing_count - i) * sizeof(d->releasing[0]));
            device_send(d);
            return;
        }
    }
    sim_violation("PUBCOMP answers a PUBREL", "d%d: %u", d->id, p->packet_id);
}

static void take_puback(struct dev *d, const struct packet *p)
{
    struct dev_message *m = d->flight_count == 0 ? NULL : d->flight[0];
    if (m == NULL || m->packet_id != p->packet_id) {
        sim_violation("acknowledgements in order", "d%d: PUBACK %u, but %u is the oldest", d->id,
                      p->packet_id, m == NULL ? 0 : m->packet_id);
    }
    if ((p->kind == PACKET_PUBREC) != (m->qos == 2)) {
        sim_violation("acknowledgements in order", "d%d: %u is acknowledged as another QoS", d->id,
                      p->packet_id);
    }
    d->flight_count--;
    memmove(d->flight, d->flight + 1, d->flight_count * sizeof(struct dev_message *));
    if (p->kind == PACKET_PUBREC && p->ok) {
        d->releasing[d->releasing_count++] = p->packet_id;
        send_release(d, p->packet_id);
    }
    device_acknowledged(d, m, p->ok);
    device_send(d);
}

/* ---- commands ---- */

static struct dev_command *known_command(struct dev *d, int64_t id)
{
    for (uint32_t i = 0; i < d->command_count; i++) {
        if (d->commands[i].id == id) {
            return &d->commands[i];
        }
    }
    CHECK(d->command_count < DEVICE_COMMANDS_MAX);
    d->commands[d->command_count] = (struct dev_command){.id = id};
    return &d->commands[d->command_count++];
}

static void execute(struct dev *d, struct dev_command *c)
{
    struct pg_command *row = pg_command(sim_get()->pg, c->id);
    if (row == NULL || row->device_id != d->id) {
        sim_violation("commands are stored first", "d%d executes %lld, which is not its own", d->id,
                      (long long)c->id);
    }
    if (sim_wall_us() > row->expires_us + EXPIRY_SLACK_US + sim_get()->wall_range_us) {
        sim_violation("nothing expired is executed", "d%d: command %lld, %.3f s late", d->id,
                      (long long)c->id, (double)(sim_wall_us() - row->expires_us) / 1e6);
    }
    c->executed = true;
    row->executed++;
    sim_log("d%d executes %lld", d->id, (long long)c->id);
}

static void answer_command(void *arg, int64_t n)
{
    struct dev *d = arg;
    struct dev_command *c = known_command(d, n);
    if (!d->answers || sim_chance(50)) {
        return;
    }
    struct dev_message *m = device_keep(d, DEV_ANSWER);
    m->command_id = n;
    char text[64];
    int len = snprintf(text, sizeof(text), "{\"%s\":%lld}", sim_chance(150) ? "error" : "done",
                       (long long)n);
    m->payload = world_text(text, (size_t)len);
    c->answered = true;
    device_send(d);
}

static void take_publish(struct dev *d, const struct packet *p)
{
    struct packet *ack = packet_new(PACKET_PUBACK);
    ack->packet_id = p->packet_id;
    conn_send_up(d->conn, ack);
    static const char command[] = "v1/devices/me/rpc/request/";
    if (strncmp(p->topic, command, sizeof(command) - 1) != 0) {
        return;
    }
    struct dev_command *c = known_command(d, strtoll(p->topic + sizeof(command) - 1, NULL, 10));
    sim_log("d%d receives command %lld%s", d->id, (long long)c->id, c->executed ? " again" : "");
    if (!c->executed) {
        execute(d, c);
    } else if (c->answered) {
        return; /* the answer is kept until it is acknowledged */
    }
    sim_after(sim_between(1000, sim_chance(100) ? 30000000 : 300000), 0, answer_command, d, c->id);
}

/* ---- connection ---- */

static void took_too_long(void *arg, int64_t n)
{
    struct dev *d = arg;
    if (!d->online && d->conn != NULL && d->conn->id == n) {
        struct conn *c = d->conn;
        conn_cut(c);
        device_conn_gone(d, c);
    }
}

static void device_connect(void *arg, int64_t n)
{
    (void)n;
    struct dev *d = arg;
    if (d->conn != NULL) {
        return;
    }
    if (sim_get()->life == 0) { /* nobody listens */
        sim_after(sim_between(100000, 3000000), 0, device_connect, d, 0);
        return;
    }
    d->conn = conn_open(d->id);
    struct packet *p = packet_new(PACKET_CONNECT);
    p->clean_start = d->clean_start;
    p->persistent = d->persistent;
    conn_send_up(d->conn, p);
    sim_after(CONNECT_PATIENCE_US, 0, took_too_long, d, d->conn->id);
}

void device_start(struct dev *d)
{
    sim_after(sim_random(3000000), 0, device_connect, d, 0);
    readings_start(d);
}

void device_conn_gone(struct dev *d, struct conn *c)
{
    if (d->conn != c) {
        return;
    }
    c->cut = true;
    d->conn = NULL;
    d->online = false;
    sim_after(sim_between(1000, sim_chance(200) ? 10000000 : 1000000), 0, device_connect, d, 0);
}

static void take_connack(struct dev *d, const struct packet *p)
{
    if (!p->ok) {
        device_conn_gone(d, d->conn);
        return;
    }
    d->online = true;
    if (!p->present) {
        conn_send_up(d->conn, packet_new(PACKET_SUBSCRIBE));
    }
    for (uint32_t i = 0; i < d->flight_count; i++) {
        send_message(d, d->flight[i], true);
    }
    for (uint32_t i = 0; i < d->releasing_count; i++) {
        send_release(d, d->releasing[i]);
    }
    device_send(d);
}

void device_receive(struct conn *c, const struct packet *p)
{
    struct dev *d = sim_get()->devices[c->device];
    if (d->conn != c) {
        return;
    }
    switch (p->kind) {
    case PACKET_CONNACK:
        take_connack(d, p);
        break;
    case PACKET_PUBACK:
    case PACKET_PUBREC:
        take_puback(d, p);
        break;
    case PACKET_PUBCOMP:
        take_pubcomp(d, p);
        break;
    case PACKET_PUBLISH:
        take_publish(d, p);
        break;
    case PACKET_CLOSE:
        device_conn_gone(d, c);
        break;
    case PACKET_CONNECT:
    case PACKET_SUBSCRIBE:
    case PACKET_SUBACK:
    case PACKET_PUBREL:
        break;
    }
}
