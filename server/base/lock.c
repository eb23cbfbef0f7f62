#include "base/lock.h"

#include "base/check.h"

void lock_init(struct lock *l)
{
    CHECK(pthread_mutex_init(&l->mutex, NULL) == 0);
}

void lock_fini(struct lock *l)
{
    CHECK(pthread_mutex_destroy(&l->mutex) == 0);
}

void lock_take(struct lock *l)
{
    CHECK(pthread_mutex_lock(&l->mutex) == 0);
}

void lock_give(struct lock *l)
{
    CHECK(pthread_mutex_unlock(&l->mutex) == 0);
}
