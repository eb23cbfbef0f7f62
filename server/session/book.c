#include "session/book.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "session/private.h"

/*
 * The book says who holds the session of (device, client id), and under which number its state is
 * known. It is on the home loop, so that claims of one key are decided one after another, without a
 * lock.
 *
 * A claim travels as mail:  claimant -> home: the book names the claimant
 *                           home -> holder:   yields, puts what it kept into the claim
 *                           holder -> home:   the state lives on under its number, or has ended
 *                           home -> claimant: granted
 * Without a holder the home grants at once. A holder that waits for its own claim yields when that
 * has come: claims form a chain, and what was kept runs along it. A holder that is gone already
 * grants nothing. A claimant that is gone still gets its grant: see session.c.
 *
 * What is sent to the number meanwhile goes to the last claimant, who puts it behind what the claim
 * brings: nothing is lost and nothing overtakes.
 *
 * A device with very many client ids would collect sessions without end: its oldest one goes.
 * Clients of the open listener have no device; each of them has a page of its own.
 */

struct book_page {
    struct list entries; /* oldest claim first */
    uint32_t count;
};

static struct map *pages_of(struct book *b, const struct claim *c)
{
    return c->device_id != 0 ? &b->devices : &b->open;
}

static struct view key_of(const struct claim *c)
{
    return c->device_id != 0 ? view_of(&c->device_id, sizeof(c->device_id))
                             : view_of(c->client_id, c->client_id_len);
}

static struct book_page *page_get(struct book *b, const struct claim *c)
{
    return map_get(pages_of(b, c), key_of(c));
}

static struct book_entry *page_find(const struct book_page *p, const struct claim *c)
{
    struct view wanted = view_of(c->client_id, c->client_id_len);
    for (struct list *at = p == NULL ? NULL : p->entries.next; at != NULL && at != &p->entries;
         at = at->next) {
        struct book_entry *e = CONTAINER_OF(at, struct book_entry, link);
        if (view_eq(view_of(e->client_id, e->client_id_len), wanted)) {
            return e;
        }
    }
    return NULL;
}

static bool same_ref(struct session_ref a, struct session_ref b)
{
    return a.loop == b.loop && a.slot == b.slot && a.generation == b.generation;
}

static struct claim *claim_new(const struct session *s)
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

static void entry_free_unused(struct book_entry *e)
{
    if (!list_linked(&e->link) && e->claims == 0) {
        free(e);
    }
}

void book_drop_claim(struct claim *c)
{
    if (c == NULL) {
        return;
    }
    if (c->entry != NULL) {
        c->entry->claims--;
        entry_free_unused(c->entry);
    }
    kept_free(c->all, c->kept);
    free(c);
}

/* After the stop mail still runs once, but nothing is begun any more. True: c is freed. */
static bool claim_over(struct claim *c)
{
    if (!atomic_load(&c->all->stopped)) {
        return false;
    }
    book_drop_claim(c);
    return true;
}

static void tell_ended(struct sessions *all, int64_t number)
{
    if (number != 0 && all->hooks.ended != NULL && !atomic_load(&all->stopped)) {
        all->hooks.ended(all->hooks.arg, number);
    }
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
    attach_granted(s, c->kept, c->number);
    free(c);
}

/* ---- on the home loop ---- */

/* The state ended whose number e had, and a fresh one begins. Without memory it has none. */
static void entry_renew(struct book *b, struct book_entry *e)
{
    numbers_remove(&b->numbers, e->number);
    e->number = numbers_put(&b->numbers, b->last_number + 1, e) == ERR_OK ? ++b->last_number : 0;
}

static void page_remove(struct book *b, struct book_page *p, struct book_entry *e)
{
    list_remove(&e->link);
    p->count--;
    numbers_remove(&b->numbers, e->number);
    entry_free_unused(e);
}

static void claim_answered(struct mail *m)
{
    struct claim *c = CONTAINER_OF(m, struct claim, mail);
    if (claim_over(c)) {
        return;
    }
    if (c->evict) {
        tell_ended(c->all, c->number);
        free(c);
        return;
    }
    struct book_entry *e = c->entry;
    c->entry = NULL;
    e->claims--;
    if (c->kept != NULL) {
        CHECK(!list_linked(&e->link) || c->kept->number == e->number);
        c->number = c->kept->number;
    } else if (list_linked(&e->link)) {
        int64_t ended = e->number;
        entry_renew(&c->all->book, e);
        c->number = e->number;
        tell_ended(c->all, ended);
    }
    entry_free_unused(e);
    claim_post(c, c->to.loop, claim_granted);
}

void book_answer(struct claim *c, struct kept *kept)
{
    CHECK(!c->evict || kept == NULL);
    c->kept = kept;
    claim_post(c, SESSION_HOME, claim_answered);
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

/* The oldest session of a device that has too many. Without memory it stays for now. */
static void page_evict(struct sessions *all, struct book_page *p)
{
    struct claim *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return;
    }
    struct book_entry *oldest = CONTAINER_OF(p->entries.next, struct book_entry, link);
    c->all = all;
    c->from = oldest->holder;
    c->number = oldest->number;
    c->evict = true;
    page_remove(&all->book, p, oldest);
    claim_post(c, c->from.loop, claim_at_holder);
}

static struct book_page *page_new(struct book *b, const struct claim *c)
{
    void *old = NULL;
    struct book_page *p = calloc(1, sizeof(*p));
    if (p == NULL || map_put(pages_of(b, c), key_of(c), p, &old) != ERR_OK) {
        free(p);
        return NULL;
    }
    list_init(&p->entries);
    return p;
}

static void page_free_empty(struct book *b, struct book_page *p, const struct claim *c)
{
    if (p->count == 0) {
        (void)map_remove(pages_of(b, c), key_of(c));
        free(p);
    }
}

/* A new entry under this number, held by the claimant. */
static enum err book_add(struct sessions *all, const struct claim *c, int64_t number)
{
    struct book *b = &all->book;
    struct book_page *p = page_get(b, c);
    p = p == NULL ? page_new(b, c) : p;
    struct book_entry *e = p == NULL ? NULL : calloc(1, sizeof(*e) + c->client_id_len);
    if (e == NULL || numbers_put(&b->numbers, number, e) != ERR_OK) {
        free(e);
        if (p != NULL) {
            page_free_empty(b, p, c);
        }
        return ERR_NOMEM;
    }
    e->number = number;
    e->holder = c->to;
    e->client_id_len = c->client_id_len;
    memcpy(e->client_id, c->client_id, c->client_id_len);
    list_push_back(&p->entries, &e->link);
    p->count++;
    if (c->device_id != 0 && p->count > SESSION_PER_DEVICE_MAX) {
        page_evict(all, p);
    }
    return ERR_OK;
}

static void claim_at_home(struct mail *m)
{
    struct claim *c = CONTAINER_OF(m, struct claim, mail);
    if (claim_over(c)) {
        return;
    }
    struct book *b = &c->all->book;
    struct book_page *p = page_get(b, c);
    struct book_entry *e = page_find(p, c);
    if (e == NULL) {
        c->number = book_add(c->all, c, b->last_number + 1) == ERR_OK ? ++b->last_number : 0;
        claim_post(c, c->to.loop, claim_granted);
        return;
    }
    list_remove(&e->link);
    list_push_back(&p->entries, &e->link);
    c->entry = e;
    e->claims++;
    c->from = e->holder;
    e->holder = c->to;
    claim_post(c, c->from.loop, claim_at_holder);
}

static void release_at_home(struct mail *m)
{
    struct claim *c = CONTAINER_OF(m, struct claim, mail);
    struct book *b = &c->all->book;
    struct book_page *p = page_get(b, c);
    struct book_entry *e = page_find(p, c);
    if (e != NULL && same_ref(e->holder, c->to)) {
        int64_t ended = e->number;
        page_remove(b, p, e);
        page_free_empty(b, p, c);
        tell_ended(c->all, ended);
    }
    free(c);
}

/* ---- from the sessions' loops ---- */

enum err book_claim(struct session *s)
{
    struct claim *c = claim_new(s);
    if (c == NULL) {
        return ERR_NOMEM;
    }
    claim_post(c, SESSION_HOME, claim_at_home);
    return ERR_OK;
}

/* Without memory the entry stays and names a stale ref, which the next claim finds out. */
void book_release(struct session *s)
{
    struct claim *c = claim_new(s);
    if (c != NULL) {
        claim_post(c, SESSION_HOME, release_at_home);
    }
}

struct session_ref book_holder(const struct sessions *all, int64_t number)
{
    const struct book_entry *e = numbers_get(&all->book.numbers, number);
    return e == NULL ? (struct session_ref){0} : e->holder;
}

void book_visit(struct sessions *all, int32_t device_id,
                void (*visit)(struct sessions *all, struct session_ref holder))
{
    struct book_page *p = map_get(&all->book.devices, view_of(&device_id, sizeof(device_id)));
    for (struct list *at = p == NULL ? NULL : p->entries.next; at != NULL && at != &p->entries;
         at = at->next) {
        visit(all, CONTAINER_OF(at, struct book_entry, link)->holder);
    }
}

enum err book_restore(struct session *s, int64_t number)
{
    struct book *b = &s->home->all->book;
    struct claim *c = claim_new(s);
    enum err e = c == NULL ? ERR_NOMEM : ERR_OK;
    if (e == ERR_OK && page_find(page_get(b, c), c) != NULL) {
        e = ERR_EXISTS;
    }
    if (e == ERR_OK) {
        e = book_add(c->all, c, number);
    }
    if (e == ERR_OK && number > b->last_number) {
        b->last_number = number;
    }
    free(c);
    return e;
}

static void pages_free(struct map *pages)
{
    MAP_FOREACH (at, pages) {
        struct book_page *p = at->value;
        for (struct list *e = list_pop_front(&p->entries); e != NULL;
             e = list_pop_front(&p->entries)) {
            free(CONTAINER_OF(e, struct book_entry, link));
        }
        free(p);
    }
    map_fini(pages);
}

void book_free(struct sessions *all)
{
    pages_free(&all->book.devices);
    pages_free(&all->book.open);
    numbers_fini(&all->book.numbers);
}
