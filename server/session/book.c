#include <stdlib.h>
#include <string.h>

#include "session/private.h"

/*
 * The book says who holds the session of (device, client id). A device's page is on its home loop,
 * so that claims of one key are decided one after another, without a lock.
 *
 * A claim travels as mail:  claimant -> home: the book names the claimant
 *                           home -> holder:   yields, puts what it kept into the claim
 *                           holder -> claimant: granted
 * Without a holder the home grants at once. A holder that waits for its own claim yields when that
 * has come: claims form a chain, and what was kept runs along it. A holder that is gone already
 * grants nothing. A claimant that is gone still gets its grant: see session.c.
 *
 * A device with very many client ids would collect sessions without end: its oldest one goes.
 * Clients of the open listener have no device; each of them has a page of its own.
 */

struct book_page {
    struct list entries; /* oldest claim first */
    uint32_t count;
};

struct book_entry {
    struct list link; /* first */
    struct session_ref holder;
    uint16_t client_id_len;
    uint8_t client_id[];
};

enum { KEY_MAX = sizeof(int32_t) + SESSION_CLIENT_ID_MAX };

/* Of the page. */
static struct view key_of(const struct claim *c, uint8_t room[static KEY_MAX])
{
    memcpy(room, &c->device_id, sizeof(c->device_id));
    if (c->device_id != 0) {
        return view_of(room, sizeof(c->device_id));
    }
    memcpy(room + sizeof(c->device_id), c->client_id, c->client_id_len);
    return view_of(room, sizeof(c->device_id) + c->client_id_len);
}

static struct book_entry *page_find(const struct book_page *p, const struct claim *c)
{
    struct view wanted = view_of(c->client_id, c->client_id_len);
    LIST_FOREACH (at, &p->entries) {
        struct book_entry *e = CONTAINER_OF(at, struct book_entry, link);
        if (view_eq(view_of(e->client_id, e->client_id_len), wanted)) {
            return e;
        }
    }
    return NULL;
}

static uint32_t home_of(const struct sessions *all, int32_t device_id)
{
    return (uint32_t)device_id % all->loop_count;
}

static bool same_ref(struct session_ref a, struct session_ref b)
{
    return a.loop == b.loop && a.slot == b.slot && a.generation == b.generation;
}

static struct claim *claim_new(struct session *s)
{
    size_t len = strlen(s->client_id);
    struct claim *c = calloc(1, sizeof(*c) + len);
    if (c == NULL) {
        return NULL;
    }
    c->all = s->home->all;
    c->to = session_ref(s);
    c->device_id = s->device == NULL ? 0 : s->device->id;
    c->clean_start = s->clean_start;
    c->client_id_len = (uint16_t)len;
    memcpy(c->client_id, s->client_id, len);
    return c;
}

static void claim_post(struct claim *c, uint32_t loop, mail_fn run)
{
    c->mail.run = run;
    session_post(c->all, loop, &c->mail);
}

/* After the stop mail still runs once, but nothing is begun any more. True: c is freed. */
static bool claim_over(struct claim *c)
{
    if (!atomic_load(&c->all->stopped)) {
        return false;
    }
    kept_free(c->all, c->kept);
    free(c);
    return true;
}

/* On the claimant's loop. */
static void claim_granted(struct mail *m)
{
    struct claim *c = CONTAINER_OF(m, struct claim, mail);
    if (claim_over(c)) {
        return;
    }
    struct session *s = slots_get(&c->all->loops[c->to.loop], c->to);
    CHECK(s != NULL); /* a claimant waits for its grant, with or without its connection */
    attach_granted(s, c->kept);
    free(c);
}

void book_answer(struct claim *c, struct kept *kept)
{
    if (c->evict) {
        CHECK(kept == NULL);
        free(c);
        return;
    }
    c->kept = kept;
    claim_post(c, c->to.loop, claim_granted);
}

enum session_close book_close(const struct claim *c)
{
    return c->evict ? SESSION_CLOSE_SESSIONS_MAX : SESSION_CLOSE_TAKEN_OVER;
}

/* On the holder's loop. */
static void claim_at_holder(struct mail *m)
{
    struct claim *c = CONTAINER_OF(m, struct claim, mail);
    if (claim_over(c)) {
        return;
    }
    struct session *s = slots_get(&c->all->loops[c->from.loop], c->from);
    if (s == NULL) {
        book_answer(c, NULL);
        return;
    }
    if (s->state == SESSION_CHECKING && !s->granted) {
        CHECK(s->successor == NULL); /* the book names s's successor to whoever comes after it */
        s->successor = c;
        if (s->conn != NULL) {
            session_end(s, book_close(c), NULL);
        }
        return;
    }
    book_answer(c, session_yield(s, book_close(c), c->clean_start || c->evict));
}

static void page_remove(struct book_page *p, struct book_entry *e)
{
    list_remove(&e->link);
    p->count--;
    free(e);
}

/* The oldest session of a device that has too many. Without memory it stays for now. */
static void page_evict(struct session_loop *l, struct book_page *p)
{
    struct claim *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return;
    }
    struct book_entry *oldest = CONTAINER_OF(p->entries.next, struct book_entry, link);
    c->all = l->all;
    c->from = oldest->holder;
    c->evict = true;
    page_remove(p, oldest);
    claim_post(c, c->from.loop, claim_at_holder);
}

static struct book_page *page_new(struct session_loop *l, struct view key)
{
    void *old = NULL;
    struct book_page *p = calloc(1, sizeof(*p));
    if (p == NULL || map_put(&l->book, key, p, &old) != ERR_OK) {
        free(p);
        return NULL;
    }
    list_init(&p->entries);
    return p;
}

/* Without memory the session still works; it only cannot be taken over. */
static void book_add(struct session_loop *l, struct book_page *p, struct view key,
                     const struct claim *c)
{
    struct book_entry *e = calloc(1, sizeof(*e) + c->client_id_len);
    if (p == NULL) {
        p = e == NULL ? NULL : page_new(l, key);
    }
    if (e == NULL || p == NULL) {
        free(e);
        return;
    }
    e->holder = c->to;
    e->client_id_len = c->client_id_len;
    memcpy(e->client_id, c->client_id, c->client_id_len);
    list_push_back(&p->entries, &e->link);
    p->count++;
    if (p->count > SESSION_PER_DEVICE_MAX) {
        page_evict(l, p);
    }
}

/* On the home loop. */
static void claim_at_home(struct mail *m)
{
    struct claim *c = CONTAINER_OF(m, struct claim, mail);
    if (claim_over(c)) {
        return;
    }
    struct session_loop *l = &c->all->loops[home_of(c->all, c->device_id)];
    uint8_t room[KEY_MAX];
    struct view key = key_of(c, room);
    struct book_page *p = map_get(&l->book, key);
    struct book_entry *e = p == NULL ? NULL : page_find(p, c);
    if (e == NULL) {
        book_add(l, p, key, c);
        claim_post(c, c->to.loop, claim_granted);
        return;
    }
    list_remove(&e->link);
    list_push_back(&p->entries, &e->link);
    c->from = e->holder;
    e->holder = c->to;
    claim_post(c, c->from.loop, claim_at_holder);
}

enum err book_claim(struct session *s)
{
    struct claim *c = claim_new(s);
    if (c == NULL) {
        return ERR_NOMEM;
    }
    claim_post(c, home_of(c->all, c->device_id), claim_at_home);
    return ERR_OK;
}

static void release_at_home(struct mail *m)
{
    struct claim *c = CONTAINER_OF(m, struct claim, mail);
    struct session_loop *l = &c->all->loops[home_of(c->all, c->device_id)];
    uint8_t room[KEY_MAX];
    struct view key = key_of(c, room);
    struct book_page *p = map_get(&l->book, key);
    struct book_entry *e = p == NULL ? NULL : page_find(p, c);
    if (e != NULL && same_ref(e->holder, c->to)) {
        page_remove(p, e);
    }
    if (p != NULL && p->count == 0) {
        (void)map_remove(&l->book, key);
        free(p);
    }
    free(c);
}

/* Without memory the entry stays and names a stale ref, which the next claim finds out. */
void book_release(struct session *s)
{
    struct claim *c = claim_new(s);
    if (c != NULL) {
        claim_post(c, home_of(c->all, c->device_id), release_at_home);
    }
}

void book_free(struct session_loop *l)
{
    MAP_FOREACH (at, &l->book) {
        struct book_page *p = at->value;
        for (struct list *e = list_pop_front(&p->entries); e != NULL;
             e = list_pop_front(&p->entries)) {
            free(CONTAINER_OF(e, struct book_entry, link));
        }
        free(p);
    }
    map_fini(&l->book);
}
