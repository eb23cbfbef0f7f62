#include <stdlib.h>
#include <string.h>

#include "session/private.h"

/*
 * The book says who holds the session of (device, client id). A device's entries are on its home
 * loop, so that claims of one key are decided one after another, without a lock.
 *
 * A claim travels as mail:  claimant -> home: the book names the claimant
 *                           home -> holder:   yields, puts what it kept into the claim
 *                           holder -> claimant: granted
 * Without a holder the home grants at once. A holder that waits for its own claim yields when that
 * has come: claims form a chain, and what was kept runs along it. A holder that is gone already
 * grants nothing. A claimant that is gone still gets its grant: see session.c.
 *
 * A device with very many client ids would collect sessions without end: its oldest one goes.
 */

struct book_device {
    struct list entries; /* oldest claim first */
    uint32_t count;
};

struct book_entry {
    struct list link; /* first */
    struct session_ref holder;
    size_t key_len;
    uint8_t key[];
};

enum { KEY_MAX = sizeof(int32_t) + SESSION_CLIENT_ID_MAX };

static struct view key_of(const struct claim *c, uint8_t room[static KEY_MAX])
{
    memcpy(room, &c->device_id, sizeof(c->device_id));
    memcpy(room + sizeof(c->device_id), c->client_id, c->client_id_len);
    return view_of(room, sizeof(c->device_id) + c->client_id_len);
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

static void book_remove(struct session_loop *l, struct book_entry *e)
{
    int32_t id;
    memcpy(&id, e->key, sizeof(id));
    struct view device_key = view_of(e->key, sizeof(id));
    struct book_device *d = map_get(&l->devices, device_key);
    CHECK(d != NULL);
    list_remove(&e->link);
    d->count--;
    if (d->count == 0) {
        (void)map_remove(&l->devices, device_key);
        free(d);
    }
    (void)map_remove(&l->book, view_of(e->key, e->key_len));
    free(e);
}

/* The oldest session of a device that has too many. Without memory it stays for now. */
static void book_evict(struct session_loop *l, struct book_device *d)
{
    struct claim *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return;
    }
    struct book_entry *oldest = CONTAINER_OF(d->entries.next, struct book_entry, link);
    c->all = l->all;
    c->from = oldest->holder;
    c->evict = true;
    book_remove(l, oldest);
    claim_post(c, c->from.loop, claim_at_holder);
}

static struct book_device *book_device(struct session_loop *l, struct view key)
{
    void *old = NULL;
    struct book_device *d = map_get(&l->devices, key);
    if (d != NULL) {
        return d;
    }
    d = calloc(1, sizeof(*d));
    if (d == NULL || map_put(&l->devices, key, d, &old) != ERR_OK) {
        free(d);
        return NULL;
    }
    list_init(&d->entries);
    return d;
}

static enum err book_add(struct session_loop *l, struct view key, struct session_ref holder)
{
    struct view device_key = view_of(key.data, sizeof(int32_t));
    void *old = NULL;
    struct book_entry *e = calloc(1, sizeof(*e) + key.len);
    struct book_device *d = e == NULL ? NULL : book_device(l, device_key);
    if (d == NULL || map_put(&l->book, key, e, &old) != ERR_OK) {
        if (d != NULL && d->count == 0) {
            (void)map_remove(&l->devices, device_key);
            free(d);
        }
        free(e);
        return ERR_NOMEM;
    }
    e->holder = holder;
    e->key_len = key.len;
    memcpy(e->key, key.data, key.len);
    list_push_back(&d->entries, &e->link);
    d->count++;
    int32_t id;
    memcpy(&id, key.data, sizeof(id));
    if (id != 0 && d->count > SESSION_PER_DEVICE_MAX) {
        book_evict(l, d);
    }
    return ERR_OK;
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
    struct book_entry *e = map_get(&l->book, key);
    if (e == NULL) {
        /* Without memory for the entry the session still works; it cannot be taken over. */
        (void)!book_add(l, key, c->to);
        claim_post(c, c->to.loop, claim_granted);
        return;
    }
    struct book_device *d = map_get(&l->devices, view_of(key.data, sizeof(c->device_id)));
    list_remove(&e->link);
    list_push_back(&d->entries, &e->link);
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
    struct book_entry *e = map_get(&l->book, key_of(c, room));
    if (e != NULL && same_ref(e->holder, c->to)) {
        book_remove(l, e);
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
        free(at->value);
    }
    MAP_FOREACH (at, &l->devices) {
        free(at->value);
    }
    map_fini(&l->book);
    map_fini(&l->devices);
}
