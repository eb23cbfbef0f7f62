#include <stdlib.h>

#include "base/check.h"
#include "base/patience.h"
#include "ingest/internal.h"

/*
 * Events of other modules. The core gives the numbers, in the order in which batches are committed,
 * so that a stream's reader who knows the newest one has seen all before it.
 */
enum { NEWS_LIMIT = 64 << 20 };

struct news_mail {
    struct mail mail;
    struct ingest *in;
    struct ops *ops;
    struct arena arena;
    struct ingest_news *news;
    uint32_t count;
};

static void news_run(struct mail *mail)
{
    struct news_mail *m = CONTAINER_OF(mail, struct news_mail, mail);
    core_append(m->in, m->ops);
    for (uint32_t i = 0; i < m->count; i++) {
        const struct ingest_news *n = &m->news[i];
        core_event(m->in, n->kind, n->level, n->device_id, n->ts_us, n->json, true);
    }
    arena_fini(&m->arena);
    free(m);
}

void ingest_announce(struct ingest *in, struct ops *o, const struct ingest_news *news,
                     uint32_t count)
{
    struct news_mail *m = patient_calloc(sizeof(*m));
    *m = (struct news_mail){.mail = {.run = news_run}, .in = in, .ops = o, .count = count};
    arena_init(&m->arena, NEWS_LIMIT);
    m->arena.patient = true;
    m->news = arena_alloc(&m->arena, (count + 1) * sizeof(*m->news));
    CHECK(m->news != NULL);
    for (uint32_t i = 0; i < count; i++) {
        m->news[i] = news[i];
        m->news[i].kind = arena_str(&m->arena, view_str(news[i].kind));
        m->news[i].json = arena_view(&m->arena, news[i].json);
        CHECK(m->news[i].kind != NULL && m->news[i].json.data != NULL);
    }
    loop_post(in->loop, &m->mail);
}

int64_t ingest_work_order_id(struct ingest *in)
{
    return atomic_fetch_add(&in->next_work_order_id, 1);
}
