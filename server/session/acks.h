/*
 * acks: answers that are owed, and leave in the order in which their packets came, whatever the
 * order in which commits finish.
 *
 * Ownership: pooled per loop. Threads: the loop's; the ticket inside, any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ticket.h"
#include "loop/loop.h"

struct session;
struct session_loop;

struct ack {
    struct ticket ticket;
    struct mail mail; /* carries it home from the thread that dropped the ticket last */
    struct session_loop *home;
    struct session *session; /* NULL: its connection went; the memory waits for the ticket */
    struct ack_queue *queue;
    struct ack *next;
    uint8_t *answer;  /* a SUBACK or UNSUBACK, encoded */
    uint8_t *granted; /* filters whose retained messages follow it: see subscribe.c */
    uint32_t answer_len, granted_len;
    uint32_t bytes; /* of the packet it is for */
    enum err status;
    uint16_t packet_id;
    uint8_t type;  /* of the answer: PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK; 0: none */
    bool ticketed; /* the ticket is out */
    bool done;     /* the answer is due */
};

struct ack_queue {
    struct ack *first;
    struct ack **last;
    uint32_t count;
    uint32_t bytes, publishes; /* of PUBLISH packets; of those, with QoS 1 */
};

struct ack_chunk {
    struct ack_chunk *next;
    struct ack acks[64];
};

static inline void ack_queue_init(struct ack_queue *q)
{
    *q = (struct ack_queue){.last = &q->first};
}

struct ack *acks_take(struct session_loop *l);                         /* NULL: out of memory */
void acks_give_back(struct ack *a);                                    /* unused */
void acks_push(struct session *s, struct ack_queue *q, struct ack *a); /* owed from now on */
/* After a hook got the ticket: gives up the session's own hold. If nobody else has one, the answer
 * is due: now, so that a flush sends it; or by mail, where the session must not end meanwhile. */
void acks_let_go_now(struct ack *a, enum err status);
void acks_let_go(struct ack *a);
/* Sends what is due. False: the session ended. */
NODISCARD bool acks_flush(struct session *s, struct ack_queue *q);
void acks_drop_all(struct session *s); /* the connection is gone */
void acks_free(struct session_loop *l);
