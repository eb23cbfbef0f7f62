/*
 * spool: what spool/spool.h promises, on a disk of the model. Segments outlive the server; where it
 * reads and which segment is open do not. An append may fail, and what a crash cut short may be
 * there afterwards or not.
 */
#include "spool/spool.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "disk.h"

enum { SPOOL_USUAL_US = 800, SPOOL_PENDING_MAX = 4096 };

struct spool {
    struct mail *pending[SPOOL_PENDING_MAX]; /* in order */
    uint32_t count;
    int64_t last_us;
    uint64_t open; /* the segment of this life that is appended to; 0: none */
    uint32_t open_records_max;
    uint64_t read_segment;
    uint32_t read_at;
};

static struct spool *of_this_life;

/* ---- the disk ---- */

struct disk *disk_new(void)
{
    of_this_life = NULL;
    return world_alloc(sizeof(struct disk));
}

static void segment_free(struct disk_segment *g)
{
    for (uint32_t i = 0; i < g->count; i++) {
        world_free(g->items[i].bytes);
    }
    world_free(g->items);
}

void disk_free(struct disk *d)
{
    for (uint32_t i = 0; i < d->count; i++) {
        segment_free(&d->items[i]);
    }
    world_free(d->items);
    world_free(d);
}

bool disk_has_readable(const struct disk *d)
{
    for (uint32_t i = 0; i < d->count; i++) {
        for (uint32_t k = 0; k < d->items[i].count; k++) {
            if (d->items[i].items[k].hidden_in_life != sim_get()->life) {
                return true;
            }
        }
    }
    return false;
}

static struct disk_segment *segment_at(struct disk *d, uint64_t number)
{
    for (uint32_t i = 0; i < d->count; i++) {
        if (d->items[i].number == number) {
            return &d->items[i];
        }
    }
    return NULL;
}

static void segment_remove(struct disk *d, struct disk_segment *g)
{
    sim_log("spool: segment %llu goes, %u records", (unsigned long long)g->number, g->count);
    g->going = true;
    check_spool_released(g);
    segment_free(g);
    uint32_t at = (uint32_t)(g - d->items);
    d->count--;
    memmove(g, g + 1, (d->count - at) * sizeof(*g));
}

static struct disk_segment *segment_for_append(struct disk *d, struct spool *s)
{
    struct disk_segment *g = s->open == 0 ? NULL : segment_at(d, s->open);
    if (g == NULL || g->count >= s->open_records_max) {
        g = PG_ADD(d);
        g->number = ++d->last_number;
        s->open = g->number;
        s->open_records_max = (uint32_t)sim_between(3, 60);
    }
    return g;
}

/* All of the group, or its first records. hidden: not to be read before a restart. */
static void records_write(struct disk *d, struct spool *s, struct view group, uint32_t most,
                          bool hidden)
{
    struct disk_segment *g = segment_for_append(d, s);
    size_t at = 0;
    for (uint32_t n = 0; at < group.len && n < most; n++) {
        uint32_t len = 0;
        memcpy(&len, group.data + at, sizeof(len));
        struct disk_record *r = PG_ADD(g);
        r->len = len;
        r->hidden_in_life = hidden ? sim_get()->life : 0;
        r->bytes = (uint8_t *)world_text((const char *)group.data + at + sizeof(len), len);
        at += sizeof(len) + len;
    }
}

/* ---- reading ---- */

static bool has_unread(struct disk *d, const struct spool *s)
{
    for (uint32_t i = 0; i < d->count; i++) {
        const struct disk_segment *g = &d->items[i];
        for (uint32_t k = g->number == s->read_segment ? s->read_at : 0;
             g->number >= s->read_segment && k < g->count; k++) {
            if (g->items[k].hidden_in_life != sim_get()->life) {
                return true;
            }
        }
    }
    return false;
}

static void hand_out(struct spool *s, struct spool_read *r, const struct disk_segment *g)
{
    uint32_t most = (uint32_t)sim_between(1, 40);
    while (s->read_at < g->count && r->count < most) {
        const struct disk_record *rec = &g->items[s->read_at++];
        if (rec->hidden_in_life == sim_get()->life) {
            continue;
        }
        buf_put(&r->bytes, &rec->len, sizeof(rec->len));
        buf_put(&r->bytes, rec->bytes, rec->len);
        r->count++;
        r->segment = g->number;
    }
    r->segment_ends = r->count > 0 && s->read_at == g->count && g->number != s->open;
}

static void read_now(struct disk *d, struct spool *s, struct spool_read *r)
{
    buf_clear(&r->bytes);
    r->count = 0;
    r->segment = 0;
    r->segment_ends = false;
    r->status = sim_get()->faults && sim_chance(20) ? ERR_IO : ERR_OK;
    for (uint32_t i = 0; i < d->count && r->count == 0 && r->status == ERR_OK; i++) {
        const struct disk_segment *g = &d->items[i];
        if (g->number < s->read_segment) {
            continue;
        }
        if (g->number != s->read_segment) {
            s->read_segment = g->number;
            s->read_at = 0;
        }
        hand_out(s, r, g);
    }
}

static void release_now(struct disk *d, struct spool *s, uint64_t number)
{
    struct disk_segment *g = segment_at(d, number);
    bool unread = g != NULL && (number > s->read_segment ||
                                (number == s->read_segment && s->read_at < g->count));
    if (g != NULL && s->open == number) {
        s->open = 0;
    }
    if (g != NULL && !unread) {
        segment_remove(d, g);
    }
}

/* ---- the contract ---- */

enum err spool_open(const char *dir, const struct spool_limits *limits, struct spool **ret_spool)
{
    (void)dir;
    (void)limits;
    *ret_spool = calloc(1, sizeof(**ret_spool));
    of_this_life = *ret_spool;
    return ERR_OK;
}

void spool_write_init(struct spool_write *w, size_t limit_bytes)
{
    *w = (struct spool_write){.count = 0};
    buf_init(&w->records, limit_bytes);
}

void spool_put(struct spool_write *w, struct view bytes)
{
    uint32_t len = (uint32_t)bytes.len;
    buf_put(&w->records, &len, sizeof(len));
    buf_put_view(&w->records, bytes);
    w->count++;
}

bool spool_next(const struct buf *records, size_t *at, struct view *ret_bytes)
{
    uint32_t len = 0;
    if (*at >= records->len) {
        return false;
    }
    memcpy(&len, records->data + *at, sizeof(len));
    *ret_bytes = view_of(records->data + *at + sizeof(len), len);
    *at += sizeof(len) + len;
    return true;
}

void spool_read_init(struct spool_read *r, size_t max_bytes)
{
    *r = (struct spool_read){.max_bytes = max_bytes};
    buf_init(&r->bytes, 4 * max_bytes);
}

static void run_first(struct spool *s)
{
    struct mail *m = s->pending[0];
    s->count--;
    memmove(s->pending, s->pending + 1, s->count * sizeof(struct mail *));
    int before = sim_as(ACTOR_SPOOL);
    m->run(m);
    (void)sim_as(before);
}

static void work_due(void *arg, int64_t n)
{
    (void)n;
    run_first(arg);
}

static void post(struct spool *s, struct mail *m)
{
    CHECK(s->count < SPOOL_PENDING_MAX);
    s->pending[s->count++] = m;
    int64_t at_us = sim_get()->now_us + sim_delay_us(SPOOL_USUAL_US);
    s->last_us = at_us > s->last_us ? at_us : s->last_us + 1;
    sim_at(s->last_us, sim_get()->life, work_due, s, 0);
}

void spool_close(struct spool *s)
{
    while (s->count > 0) {
        run_first(s);
    }
    free(s);
    of_this_life = NULL;
}

static void run_append(struct mail *m)
{
    struct spool_write *w = CONTAINER_OF(m, struct spool_write, mail);
    struct sim *s = sim_get();
    bool fails = s->disk->full || (s->faults && sim_chance(20));
    w->status = !fails ? ERR_OK : s->disk->full || sim_chance(500) ? ERR_FULL : ERR_IO;
    if (!fails) {
        records_write(s->disk, w->spool, buf_view(&w->records), UINT32_MAX, false);
    } else if (w->status == ERR_IO && sim_chance(500)) {
        records_write(s->disk, w->spool, buf_view(&w->records), UINT32_MAX, true);
    }
    sim_log("spool: %u records: %s", w->count, err_words(w->status));
    w->done(w);
}

void spool_append(struct spool *s, struct spool_write *w)
{
    w->spool = s;
    w->mail.run = run_append;
    post(s, &w->mail);
}

static void run_read(struct mail *m)
{
    struct spool_read *r = CONTAINER_OF(m, struct spool_read, mail);
    read_now(sim_get()->disk, r->spool, r);
    sim_log("spool: %u records read back of segment %llu%s", r->count,
            (unsigned long long)r->segment, r->segment_ends ? ", its last" : "");
    r->done(r);
}

void spool_read(struct spool *s, struct spool_read *r)
{
    r->spool = s;
    r->mail.run = run_read;
    post(s, &r->mail);
}

struct release {
    struct mail mail;
    struct spool *spool;
    uint64_t segment;
};

static void run_release(struct mail *m)
{
    struct release *r = CONTAINER_OF(m, struct release, mail);
    release_now(sim_get()->disk, r->spool, r->segment);
    free(r);
}

void spool_release(struct spool *s, uint64_t segment)
{
    struct release *r = calloc(1, sizeof(*r));
    *r = (struct release){.mail = {.run = run_release}, .spool = s, .segment = segment};
    post(s, &r->mail);
}

int64_t spool_bytes(const struct spool *s)
{
    (void)s;
    return sim_get()->disk->count;
}

int64_t spool_oldest_us(const struct spool *s)
{
    (void)s;
    return CLOCK_NONE;
}

bool spool_has_unread(const struct spool *s)
{
    return has_unread(sim_get()->disk, s);
}

/* A write that a crash cut short: some of its records may be whole. */
void spool_dies(void)
{
    struct spool *s = of_this_life;
    of_this_life = NULL;
    for (uint32_t i = 0; s != NULL && i < s->count; i++) {
        if (s->pending[i]->run == run_append && sim_chance(500)) {
            struct spool_write *w = CONTAINER_OF(s->pending[i], struct spool_write, mail);
            records_write(sim_get()->disk, s, buf_view(&w->records),
                          (uint32_t)sim_random(w->count + 1), false);
            return;
        }
    }
}
