/*
 * route: the one table of methods and paths. Matching, "405 with Allow" and the test that every
 * route is documented are derived from it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "api/query.h"
#include "api/request.h"

struct db;
typedef void (*api_handler_fn)(struct api_request *r, struct db *db);

enum api_route_flag {
    API_ROUTE_INLINE = 1 << 0, /* needs no database: runs on libmicrohttpd's thread, db == NULL */
    API_ROUTE_OPEN = 1 << 1,   /* without a token */
    API_ROUTE_BODY = 1 << 2,   /* takes a body */
    API_ROUTE_DEVICE = 1 << 3, /* a device's own token will do */
    API_ROUTE_QUERY_TOKEN = 1 << 4, /* the token may come as ?access_token=, for EventSource */
    API_ROUTE_HIDDEN = 1 << 5,      /* not in the OpenAPI document: pages */
};

struct api_route {
    const char *method;
    const char *path; /* "/v1/devices/{name}" */
    unsigned scopes;  /* bits of enum auth_scope: any one of them will do */
    unsigned flags;
    unsigned media;     /* offered, bits of enum api_media */
    unsigned takes;     /* Content-Types of the body */
    const char *params; /* names of the parameters, separated by spaces; others are refused */
    api_handler_fn handler;
};

const struct api_route *api_routes(uint32_t *ret_count);
/* The route, or NULL. *ret_allow has the methods of the path, separated by ", "; "" when the path
 * is unknown. */
const struct api_route *api_route_find(const struct api_query *q, const char *method,
                                       struct view ret_names[static API_NAMES_MAX],
                                       char ret_allow[static 80]);
bool api_route_takes_param(const struct api_route *r, struct view name);
const char *api_scope_words(unsigned scopes); /* the first scope that would do */
