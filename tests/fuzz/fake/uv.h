/*
 * uv: what `net` uses of libuv and of sockets, without either. A socket is two buffers; the fuzz
 * program decides how much of them moves, when a write ends, and how.
 *
 * One loop, one thread; mail runs at once. Callbacks run in uv_turn() only, as in a loop's turn.
 */
#pragma once

#include <netinet/in.h>

#include <uv.h>

#include "base/buf.h"
#include "fuzz.h"

enum { UV_SOCKS_MAX = 8, UV_FD_FIRST = 1000000 };

struct uv_sock {
    bool used;    /* dialled and not yet closed by the server */
    bool waiting; /* not accepted */
    int fd;
    uint16_t port;
    uint8_t host; /* 127.0.0.host */
    uv_tcp_t *tcp;
    uv_alloc_cb alloc;
    uv_read_cb read; /* NULL: not reading */
    struct buf arriving;
    struct buf left; /* what the server wrote */
    size_t deliver;  /* of `arriving`, in the next turn */
    int end;         /* after what is arriving: 0, UV_EOF or UV_ECONNRESET */
    bool told_end;
    size_t room; /* the kernel takes so many bytes */
    int write_error;
    uv_write_t *writes; /* pending, linked by req->data; the first is the oldest */
    bool fin;           /* the server said shutdown() */
    bool closing;
};

/* Sockets belong to the world that was entered; each server has one, freed with free() after it.
 * Entering checks that no connection is left. */
struct uv_world;
struct uv_world *uv_world_new(void);
void uv_world_enter(struct uv_world *w);

extern struct uv_sock uv_socks[UV_SOCKS_MAX];

/* A new connection in the backlog; NULL: too many. */
struct uv_sock *uv_dial(uint8_t host);
void uv_turn(void);               /* all that is due: accept, read, written, the turn, closed */
void uv_clock(int64_t us);        /* moves time on, with the timer's ticks */
void uv_accept_fails(int errors); /* so many accept4() in a row end with EMFILE */
int64_t uv_mono_us(void);
