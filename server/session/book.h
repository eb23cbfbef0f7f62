/*
 * book: who holds the session of (device, client id), under which number.
 *
 * Ownership: on the home loop. Threads: the home loop's, but for what says otherwise.
 */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "loop/loop.h"
#include "session/numbers.h"
#include "session/sessions.h"

enum { SESSION_HOME = 0 }; /* the loop that owns the book: see server/topics */

struct kept;

struct book_entry {
    struct list link;          /* first; not linked: removed, and waits for its claims */
    int64_t number;            /* of the state its holder has; 0: told already that it ended */
    uint32_t claims;           /* under way */
    struct session_ref holder; /* the last that claimed */
    uint16_t client_id_len;
    uint8_t client_id[];
};

struct book {
    struct map devices;     /* device id -> the sessions of that device */
    struct map open;        /* client identifier -> that session, of the open listener */
    struct numbers numbers; /* -> struct book_entry */
    int64_t last_number;
};

/* A letter: one session wants what another one has. */
struct claim {
    struct mail mail;
    struct sessions *all;
    struct book_entry *entry; /* while it is not answered; of the home loop */
    struct session_ref to;    /* who claims */
    struct session_ref from;  /* who holds */
    struct kept *kept;        /* what the holder gave */
    int64_t number;           /* granted; 0: out of memory */
    bool clean_start;
    bool evict;        /* nobody claims: the holder is one session too many */
    int32_t device_id; /* 0: of the open listener; first part of the key */
    uint16_t client_id_len;
    uint8_t client_id[];
};

/* On the session's loop. */
NODISCARD enum err book_claim(struct session *s);
void book_release(struct session *s);
void book_answer(struct claim *c, struct kept *kept); /* the holder has yielded; takes c */
void book_drop_claim(struct claim *c);                /* after the stop; NULL is fine */
enum session_close book_close(const struct claim *c); /* why the holder of c ends */

/* Who holds the number now; generation 0: nobody. */
struct session_ref book_holder(const struct sessions *all, int64_t number);
/* Whoever holds a session of the device; visit must not change the book. */
void book_visit(struct sessions *all, int32_t device_id,
                void (*visit)(struct sessions *all, struct session_ref holder));
/* Before the start: s, parked on the home loop, under a number that was given out earlier. */
NODISCARD enum err book_restore(struct session *s, int64_t number);
void book_free(struct sessions *all);
