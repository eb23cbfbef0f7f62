/*
 * body: JSON bodies. Depth is checked before jansson sees a byte, names given twice are refused,
 * and every field that nobody asked for or of another type is named with its JSON pointer.
 *
 * Ownership: values are borrowed from the document, which its loader frees with json_decref().
 * Limits:    32 levels; the size is the request's.
 */
#pragma once

#include <jansson.h>

#include "api/problem.h"
#include "base/err.h"
#include "base/view.h"

enum { API_JSON_DEPTH_MAX = 32 };

/* ERR_LIMIT (depth) or ERR_SYNTAX, with words for the client. */
NODISCARD enum err api_json_load(struct view text, json_t **ret_json, char *ret_detail,
                                 size_t detail_size);

enum api_type {
    API_STRING = 1 << 0,
    API_NUMBER = 1 << 1,
    API_INTEGER = 1 << 2,
    API_BOOL = 1 << 3,
    API_OBJECT = 1 << 4,
    API_ARRAY = 1 << 5,
    API_NULL = 1 << 6,
};

/* One object of the body, at `pointer`. */
struct api_fields {
    const json_t *object;
    char pointer[160];
    struct api_errors *errors;
};

/* An empty object is taken, and an error noted, when the value is none. */
struct api_fields api_fields_init(const json_t *value, const char *pointer,
                                  struct api_errors *errors);
/* Notes each member whose name is not among `names`, which are separated by spaces. */
void api_fields_only(struct api_fields *f, const char *names);
/* The member, or NULL when it is absent or of a type not in `types` (bits of enum api_type). */
const json_t *api_field(struct api_fields *f, const char *name, unsigned types, bool required);
/* The same for a text; NULL as above. */
const char *api_field_text(struct api_fields *f, const char *name, bool required);
/* "<pointer>/<name>" with ~ and / escaped. */
void api_field_pointer(const char *pointer, const char *name, char *ret_pointer, size_t size);
/* Notes an error at a member. */
__attribute__((format(printf, 3, 4))) void api_field_error(struct api_fields *f, const char *name,
                                                           const char *format, ...);
bool api_type_matches(const json_t *value, unsigned types);
/* "a text or a number" for messages. */
void api_type_words(unsigned types, char *ret_words, size_t size);
/* Writes a value whose depth was checked, numbers in their shortest form. */
void api_json_write(struct buf *out, const json_t *value);
