/*
 * loop: a thread with a libuv loop and a mailbox. Objects that live on a loop are touched by its
 * thread only; others reach them by posting mail.
 *
 * Ownership: mail is embedded in the object that travels; from loop_post() until `run` it belongs
 * to the mailbox. Threads:   loop_post() and loop_is_current() from any thread; the rest from the
 * thread that made the loop, before loop_start() or after loop_join(), or on the loop's own thread.
 * Order:     mail of one poster runs in the order it was posted.
 * Bounds:    the mailbox is a list; what bounds it is that each poster has a budget for what it may
 * have under way.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct uv_loop_s;
struct loop;

struct mail;
typedef void (*mail_fn)(struct mail *m);
struct mail {
    struct mail *next;
    mail_fn run; /* may free what contains the mail */
};

/* Runs once in each turn of the loop, after I/O and mail, before the loop sleeps: for flushing what
 * the turn gathered. */
typedef void (*loop_turn_fn)(void *arg);

NODISCARD struct loop *
loop_new(const char *name); /* at most 15 letters, shown by top -H; NULL: out of memory */
struct uv_loop_s *loop_uv(struct loop *l);
void loop_on_turn(struct loop *l, loop_turn_fn turn, void *arg); /* at most 4 */
NODISCARD enum err loop_start(struct loop *l);
void loop_post(struct loop *l, struct mail *m);
bool loop_is_current(const struct loop *l);
/* The loop ends when all handles that others opened on it are closed. Mail posted before is run. */
void loop_stop(struct loop *l);
void loop_join(struct loop *l);
void loop_free(struct loop *l); /* after loop_join(), or if it was never started */
