/*
 * embedded: a file that the build compiled into the program. Tables of these end with name == NULL.
 */
#pragma once

#include <stddef.h>

struct embedded {
    const char *name;
    const unsigned char *data; /* followed by a NUL byte that `len` does not count */
    size_t len;
};
