/*
 * lock: the only mutex wrapper. Locks live in base and loop; other modules pass messages.
 */
#pragma once

#include <pthread.h>

struct lock {
    pthread_mutex_t mutex;
};

void lock_init(struct lock *l);
void lock_fini(struct lock *l);
void lock_take(struct lock *l);
void lock_give(struct lock *l);
