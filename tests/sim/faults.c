/*
 * faults: what goes wrong, and how often. Each seed chooses which kinds there are in its run.
 */
#include "faults.h"

#include "devices.h"
#include "disk.h"

static void crash(void)
{
    server_crash();
}

static void stop(void)
{
    server_stop_gracefully();
}

static void pg_up(void *arg, int64_t n)
{
    (void)arg;
    (void)n;
    sim_log("PostgreSQL is back");
    sim_get()->pg->down = false;
}

static void pg_down(void)
{
    struct sim *s = sim_get();
    if (s->pg->down) {
        return;
    }
    s->count.downs++;
    sim_log("PostgreSQL is down");
    s->pg->down = true;
    if (s->life != 0) {
        writer_connection_lost(s->server.writer);
    }
    sim_after(sim_between(10000, sim_chance(200) ? 60000000 : 6000000), 0, pg_up, NULL, 0);
}

static void pg_hangs(void)
{
    struct sim *s = sim_get();
    s->count.hangs++;
    s->pg->hung_until_us = s->now_us + sim_between(10000, sim_chance(300) ? 40000000 : 3000000);
    sim_log("PostgreSQL hangs until %.3f", (double)s->pg->hung_until_us / 1e6);
}

static void pg_slow(void)
{
    struct sim *s = sim_get();
    s->pg->slow_us = sim_chance(400) ? sim_between(20000, 900000) : sim_between(300, 6000);
    sim_log("a commit takes %.3f ms", (double)s->pg->slow_us / 1e3);
}

static void writer_lost(void)
{
    struct sim *s = sim_get();
    if (s->life != 0) {
        writer_connection_lost(s->server.writer);
    }
}

static void late_gone(void *arg, int64_t n)
{
    struct dev *d = arg;
    if (d->conn != NULL && d->conn->id == n) {
        device_conn_gone(d, d->conn);
    }
}

static void network(void)
{
    struct sim *s = sim_get();
    struct dev *d = s->devices[sim_between(1, s->device_count)];
    if (d->conn == NULL) {
        return;
    }
    s->count.cuts++;
    sim_log("d%d is cut off", d->id);
    conn_cut(d->conn);
    sim_after(sim_between(1000, 5000000), 0, late_gone, d, d->conn->id);
}

static void touch(void)
{
    struct sim *s = sim_get();
    if (sim_chance(700)) {
        server_touch(CATALOG_DEVICE, (int32_t)sim_between(1, s->device_count));
    } else if (sim_chance(500)) {
        server_touch(CATALOG_RULE, (int32_t)sim_between(1, s->rule_count));
    } else {
        server_touch(CATALOG_TYPE, 1);
    }
}

static void edit_rule(void)
{
    struct sim *s = sim_get();
    int at = (int)sim_random(s->rule_count);
    s->count.edits++;
    rule_edit(s, at);
    server_touch(CATALOG_RULE, at + 1);
}

/* Somebody sets the server's clock, or finds out that it was wrong. */
static void clock_jumps(void)
{
    static const int64_t far_us[] = {CLOCK_SECOND_US, 30 * CLOCK_SECOND_US, 10 * CLOCK_MINUTE_US};
    struct sim *s = sim_get();
    int64_t most_us = far_us[sim_random(COUNT_OF(far_us))];
    int64_t before_us = s->wall_off_us;
    s->wall_off_us = sim_chance(300) ? 0 : sim_between(-most_us, most_us);
    int64_t by_us = s->wall_off_us - before_us;
    s->wall_range_us += by_us < 0 ? -by_us : by_us;
    s->count.jumps++;
    sim_log("the server's clock jumps by %.3f s", (double)by_us / 1e6);
}

static void spool_disk_full(void)
{
    struct sim *s = sim_get();
    s->disk->full = !s->disk->full;
    sim_log("the spool's disk %s", s->disk->full ? "is full" : "has room again");
}

static const struct {
    void (*happens)(void);
    int permille; /* of the seeds */
    int64_t usual_us;
} kinds[] = {
    {crash, 700, 25 * CLOCK_SECOND_US},           {stop, 400, 40 * CLOCK_SECOND_US},
    {pg_down, 600, 30 * CLOCK_SECOND_US},         {pg_hangs, 400, 40 * CLOCK_SECOND_US},
    {pg_slow, 500, 10 * CLOCK_SECOND_US},         {writer_lost, 700, 10 * CLOCK_SECOND_US},
    {network, 800, 6 * CLOCK_SECOND_US},          {touch, 500, 12 * CLOCK_SECOND_US},
    {edit_rule, 250, 20 * CLOCK_SECOND_US},       {clock_jumps, 200, 15 * CLOCK_SECOND_US},
    {spool_disk_full, 200, 20 * CLOCK_SECOND_US},
};

static void fault_due(void *arg, int64_t n)
{
    (void)arg;
    struct sim *s = sim_get();
    if (!s->faults) {
        return;
    }
    kinds[n].happens();
    sim_after(1000 + sim_random(2 * kinds[n].usual_us), 0, fault_due, NULL, n);
}

void faults_start(void)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (sim_chance(kinds[i].permille)) {
            sim_after(1000 + sim_random(2 * kinds[i].usual_us), 0, fault_due, NULL, (int64_t)i);
        }
    }
}

void faults_end(void)
{
    struct sim *s = sim_get();
    s->faults = false;
    s->pg->down = false;
    s->pg->hung_until_us = 0;
    s->pg->slow_us = 1500;
    sim_log("no more faults");
}
