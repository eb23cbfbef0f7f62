/*
 * pages: the OpenAPI document and the page that shows it, compiled into the program.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum { API_OPENAPI_MAX = 4 << 20 };

/* The document as JSON, made from the YAML once. */
NODISCARD enum err api_pages_openapi(struct buf *ret_json);
/* A file by its name; .data == NULL: there is none. */
struct view api_pages_file(const char *name);
