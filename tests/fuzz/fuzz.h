/*
 * fuzz: what the fuzz programs share: reading the input as a script, and heap copies of exactly its
 * size, so that AddressSanitizer sees one byte too far.
 *
 * A script that is used up gives zeros: every run ends.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

struct script {
    const uint8_t *at, *end;
};

static inline struct script script_of(const uint8_t *data, size_t size)
{
    return (struct script){.at = data, .end = data == NULL ? data : data + size};
}

static inline bool script_over(const struct script *s)
{
    return s->at == s->end;
}

static inline uint8_t script_byte(struct script *s)
{
    return s->at < s->end ? *s->at++ : 0;
}

static inline uint16_t script_u16(struct script *s)
{
    uint8_t high = script_byte(s);
    return (uint16_t)(high << 8 | script_byte(s));
}

/* The next `len` bytes, fewer at the end; borrowed from the input. */
static inline struct view script_take(struct script *s, size_t len)
{
    size_t left = (size_t)(s->end - s->at);
    struct view v = view_of(s->at, len < left ? len : left);
    s->at += v.len;
    return v;
}

/* Cuts off the front as a script of its own. */
static inline struct script script_part(struct script *s, size_t len)
{
    struct view v = script_take(s, len);
    return script_of(v.data, v.len);
}

/* The caller frees it. */
static inline uint8_t *fuzz_copy(struct view v)
{
    uint8_t *copy = malloc(v.len > 0 ? v.len : 1);
    CHECK(copy != NULL);
    if (v.len > 0) {
        memcpy(copy, v.data, v.len);
    }
    return copy;
}

/* FUZZ_TRACE=1 shows what a reproducing input does. */
__attribute__((format(printf, 1, 2))) static inline void fuzz_trace(const char *format, ...)
{
    static int wanted = -1;
    if (wanted < 0) {
        wanted = getenv("FUZZ_TRACE") != NULL;
    }
    if (wanted == 0) {
        return;
    }
    va_list args;
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)putchar('\n');
    (void)fflush(stdout);
}
