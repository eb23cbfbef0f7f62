/*
 * http_client: requests to a signalbox server, and its event stream, through libcurl.
 *
 * No redirects; http and https only. A token is sent to loopback or over https; elsewhere a warning
 * says that it can be read on the way.
 *
 * Ownership: http_client_new() to http_client_free(); responses end with http_response_fini().
 * Errors:    ERR_CLOSED: the server could not be reached or went away, see http_client_error();
 * ERR_TIMEOUT; ERR_LIMIT: the answer is larger than 512 MiB; ERR_TLS. An HTTP status is no error
 * here. Threads:   one.
 */
#pragma once

#include <stdbool.h>

#include "app/sse.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/view.h"

struct http_client;

struct http_client_options {
    const char *url;    /* "http://localhost:8080", without a path */
    const char *token;  /* NULL: none */
    const char *cacert; /* NULL: the system's */
    bool unverified; /* https without a look at the certificate: for a probe that sends nothing */
    long timeout_s;  /* of one request; 0: 60 */
};

struct http_response {
    long status;
    struct buf body;
    char content_type[96];
    char etag[128];
};

NODISCARD enum err http_client_new(const struct http_client_options *o,
                                   struct http_client **ret_client);
void http_client_free(struct http_client *c);
const char *http_client_error(const struct http_client *c);
const char *http_client_url(const struct http_client *c);
bool http_url_is_loopback(const char *url);

struct http_request {
    const char *method;
    const char *path; /* with its query, already escaped */
    struct view body; /* data NULL: none */
    const char *content_type;
    const char *if_match;
    const char *idempotency_key;
};
NODISCARD enum err http_client_send(struct http_client *c, const struct http_request *r,
                                    struct http_response *ret_response);
void http_response_fini(struct http_response *r);

/* Follows an event stream until it ends or `event` gives false (ERR_CANCELLED). *ret_response has
 * the status, and the body of an answer that is no stream. last_id may be NULL. */
NODISCARD enum err http_client_stream(struct http_client *c, const char *path, const char *last_id,
                                      sse_event_fn event, void *arg,
                                      struct http_response *ret_response);

/* Appends one path segment or query value, percent-encoded (RFC 3986, 2.3). */
void http_escape(struct buf *out, struct view text);
