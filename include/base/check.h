/*
 * check: invariants of our own code, on in release builds too. Never on anything a peer can cause.
 *
 * A failed CHECK prints the place and the condition and aborts; the supervisor restarts the
 * process, and nothing acknowledged is lost because acknowledgements follow commits.
 */
#pragma once

#include <stddef.h>

#define CHECK(cond)                                  \
    do {                                             \
        if (__builtin_expect(!(cond), 0)) {          \
            check_failed(__FILE__, __LINE__, #cond); \
        }                                            \
    } while (0)

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* The struct that contains `member` at `ptr`. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

__attribute__((noreturn)) void check_failed(const char *file, int line, const char *cond);
