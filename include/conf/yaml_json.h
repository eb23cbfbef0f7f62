/*
 * yaml_json: YAML text -> JSON text, so that rules can be written in either.
 *
 * Plain scalars are read by the core schema of YAML 1.2 (`yes` and `on` are texts, `0o17` is 15);
 * quoted ones are texts. Numbers keep their digits. Refused, with line and column: aliases and
 * anchors, merge keys, tags other than
 * !!str, keys that are no scalars, keys given twice, .inf and .nan, which JSON has no word for.
 *
 * Threads: any. Limits: input 4 MiB, nesting 64, output the buffer's.
 * Errors:  ERR_SYNTAX, ERR_EXISTS (a key twice), ERR_UNSUPPORTED, ERR_LIMIT, ERR_NOMEM.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/view.h"

struct yaml_json_error {
    int line, column; /* 0: the whole text */
    char detail[200];
};

/* Appends one JSON array with one element for each document of the stream; nothing when it fails.
 */
NODISCARD enum err conf_yaml_to_json(struct view yaml, struct buf *ret_json,
                                     struct yaml_json_error *ret_error);
