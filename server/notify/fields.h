/*
 * fields: members of a JSON object, with the first error kept: which field, and what is expected.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"

struct fields_error {
    char *pointer;
    size_t pointer_size;
    char *detail;
    size_t detail_size;
};

struct fields {
    const json_t *object;
    const char *at; /* pointer of the object: "" or "/config" */
    struct fields_error *error;
    enum err err; /* the first one; later calls do nothing */
};

struct fields fields_init(const json_t *object, const char *at, struct fields_error *error);
__attribute__((format(printf, 4, 5))) void fields_fail(struct fields *f, enum err e,
                                                       const char *name, const char *format, ...);
/* Any other member is an error. names: separated by spaces. */
void fields_only(struct fields *f, const char *names);
/* NULL: absent (an error when it is required) or wrong. max: bytes. */
const char *fields_text(struct fields *f, const char *name, size_t max, bool required);
/* A JSON null counts as absent in these. */
int64_t fields_int(struct fields *f, const char *name, int64_t least, int64_t most,
                   int64_t standard);
bool fields_bool(struct fields *f, const char *name, bool standard);
int64_t fields_duration(struct fields *f, const char *name, int64_t least_us, int64_t most_us,
                        int64_t standard_us);
const json_t *fields_object(struct fields *f, const char *name, bool required);
