/*
 * csv: reads RFC 4180 records: quoted fields with doubled quotes, CRLF or LF, commas. Pure.
 *
 * Ownership: fields live in the arena, each followed by a NUL byte.
 * Errors:    ERR_MALFORMED (a quote in the wrong place, a NUL byte), ERR_SHORT (a quote without its
 *            end), ERR_LIMIT (fields), ERR_UTF8, ERR_NOMEM.
 */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/view.h"

enum { API_CSV_FIELDS_MAX = 256 };

struct api_csv {
    struct view left;
    uint32_t line; /* of the record read last, from 1 */
    uint32_t next_line;
};

struct api_csv api_csv_init(struct view text); /* a byte order mark is skipped */
/* ERR_SKIP at the end. After another error the record is skipped and reading may go on. */
NODISCARD enum err api_csv_next(struct api_csv *c, struct arena *a, struct view *ret_fields,
                                uint32_t *ret_count);
