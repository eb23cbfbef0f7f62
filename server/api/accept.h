/*
 * accept: which of the media types we have does the client want (RFC 9110 §12.5.1)? And entity tags
 * in If-Match (§13.1.1). Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/view.h"

enum api_media {
    API_MEDIA_JSON = 1 << 0,
    API_MEDIA_CSV = 1 << 1,
    API_MEDIA_NDJSON = 1 << 2,
    API_MEDIA_EVENTS = 1 << 3,
    API_MEDIA_TEXT = 1 << 4,
    API_MEDIA_HTML = 1 << 5,
    API_MEDIA_YAML = 1 << 6,
};

const char *api_media_type(enum api_media m); /* with charset where it has one */
/* The best of `offered` for an Accept header; the lowest bit wins a tie. 0: none is acceptable.
 * accept == NULL: the client takes anything. */
unsigned api_accept(const char *accept, unsigned offered);
/* What a Content-Type header says; 0: none of ours. */
unsigned api_content_type(const char *content_type);
/* Does If-Match name this version? Weak tags never match. */
bool api_if_match(const char *if_match, int64_t version);
