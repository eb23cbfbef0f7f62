#include "base/patience.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"

enum { PATIENCE_MS = 100 };

void *patient_realloc(void *old, size_t size)
{
    void *p = realloc(old, size);
    for (int i = 0; p == NULL && i < PATIENCE_MS; i++) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        p = realloc(old, size);
    }
    CHECK(p != NULL);
    return p;
}

void *patient_calloc(size_t size)
{
    return memset(patient_realloc(NULL, size), 0, size);
}
