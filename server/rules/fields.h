/*
 * fields: reads the fields of a JSON object and says which one is wrong, by JSON pointer (RFC
 * 6901).
 */
#pragma once

#include <jansson.h>

#include "rules/error.h"

enum { RULE_POINTER_SIZE = 64 };

struct rule_fields {
    json_t *object;      /* borrowed, not changed */
    const char *pointer; /* of the object; "" is the document */
    struct rule_error *error;
};

/* pointer + "/" + key, escaped, cut to the size. Returns ret_pointer. */
char *rule_pointer_join(const char *pointer, const char *key,
                        char ret_pointer[static RULE_POINTER_SIZE]);
/* ERR_UNKNOWN_NAME for a field that is not among `known`, naming it. */
NODISCARD enum err rule_fields_only(const struct rule_fields *f, const char *const *known,
                                    size_t count);
/* Sets the error at a field of the object. */
__attribute__((format(printf, 4, 5))) NODISCARD enum err
rule_fields_fail(const struct rule_fields *f, enum err code, const char *key, const char *format,
                 ...);
/* A text; an empty view when the field is not there. Valid as long as the object. */
NODISCARD enum err rule_fields_text(const struct rule_fields *f, const char *key, size_t max_bytes,
                                    struct view *ret_text);
/* "2m" in [min_us, max_us]; unchanged when the field is not there. */
NODISCARD enum err rule_fields_duration(const struct rule_fields *f, const char *key,
                                        int64_t min_us, int64_t max_us, int64_t *ret_us);
