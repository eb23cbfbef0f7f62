/*
 * conn: packets on their way. Each takes a latency of its own and never overtakes another.
 */
#include <stdlib.h>
#include <string.h>

#include "devices.h"
#include "net.h"
#include "session_fake.h"

static struct conn *conns_of_run;
static uint32_t next_conn_id;

struct packet *packet_new(enum packet_kind kind)
{
    struct packet *p = world_alloc(sizeof(*p));
    p->kind = kind;
    return p;
}

void packet_free(struct packet *p)
{
    world_free(p->payload);
    world_free(p);
}

struct conn *conn_open(int device)
{
    struct sim *s = sim_get();
    struct conn *c = world_alloc(sizeof(*c));
    *c = (struct conn){.next_of_run = conns_of_run,
                       .id = ++next_conn_id,
                       .device = device,
                       .loop = (int)sim_random(s->loop_count),
                       .life = s->life};
    c->last = &c->first;
    conns_of_run = c;
    return c;
}

void conns_free(void)
{
    while (conns_of_run != NULL) {
        struct conn *c = conns_of_run;
        conns_of_run = c->next_of_run;
        while (c->first != NULL) {
            struct packet *p = c->first;
            c->first = p->next;
            packet_free(p);
        }
        world_free(c);
    }
    next_conn_id = 0;
}

static void arrive_up(void *arg, int64_t n)
{
    (void)n;
    struct packet *p = arg;
    struct conn *c = p->conn;
    if (c->cut || c->server_closed || c->life != sim_get()->life) {
        packet_free(p);
        return;
    }
    *c->last = p;
    c->last = &p->next;
    session_input(sim_get()->server.net, c);
}

static void arrive_down(void *arg, int64_t n)
{
    (void)n;
    struct packet *p = arg;
    if (!p->conn->cut) {
        device_receive(p->conn, p);
    }
    packet_free(p);
}

static int64_t arrival(int64_t *last_us)
{
    int64_t at_us = sim_get()->now_us + sim_delay_us(2000);
    *last_us = at_us > *last_us ? at_us : *last_us + 1;
    return *last_us;
}

void conn_send_up(struct conn *c, struct packet *p)
{
    p->conn = c;
    sim_at(arrival(&c->up_us), 0, arrive_up, p, 0);
}

void conn_send_down(struct conn *c, struct packet *p)
{
    p->conn = c;
    sim_at(arrival(&c->down_us), 0, arrive_down, p, 0);
}

static void notice_at_server(void *arg, int64_t n)
{
    (void)n;
    struct conn *c = arg;
    if (c->life == sim_get()->life && !c->server_closed) {
        session_conn_lost(sim_get()->server.net, c);
    }
}

void conn_cut(struct conn *c)
{
    c->cut = true;
    sim_after(sim_between(100, sim_chance(200) ? 8000000 : 20000), c->life, notice_at_server, c, 0);
}
