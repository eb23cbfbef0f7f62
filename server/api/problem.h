/*
 * problem: the answers that say what is wrong, as RFC 9457 problem details. Pure.
 *
 * One table has every problem: status, the end of its `type` URI (which answers with an
 * explanation), title and explanation. No SQL, version or stack gets into a problem.
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/view.h"

/* clang-format off */
/*  name                          status  slug                     title                     what it means and what to do */
#define PROBLEM_LIST(X)                                                                                                   \
  X(PROBLEM_BAD_REQUEST,          400, "bad-request",           "Bad request",            "The request could not be read: a wrong parameter, a wrong header, or a body that is no JSON. `detail` and `errors` say where.") \
  X(PROBLEM_UNAUTHORIZED,         401, "unauthorized",          "Not authorized",         "Send an API token as `Authorization: Bearer TOKEN`. The token is unknown, expired or revoked, or there was none.") \
  X(PROBLEM_FORBIDDEN,            403, "forbidden",             "Forbidden",              "The token is good but may not do this. `detail` names the scope that is needed.") \
  X(PROBLEM_NOT_FOUND,            404, "not-found",             "Not found",              "There is no such thing, or it lies outside what the token may see.") \
  X(PROBLEM_METHOD_NOT_ALLOWED,   405, "method-not-allowed",    "Method not allowed",     "The path exists and does not take this method. The Allow header lists those it takes.") \
  X(PROBLEM_NOT_ACCEPTABLE,       406, "not-acceptable",        "Not acceptable",         "None of the media types in the Accept header is offered here.") \
  X(PROBLEM_CONFLICT,             409, "conflict",              "Conflict",               "The state of things does not allow it: the name is taken, the type or geofence is in use, the command has ended.") \
  X(PROBLEM_PRECONDITION_FAILED,  412, "precondition-failed",   "Precondition failed",    "Somebody changed it since it was read. Read it again, and send the new ETag as If-Match.") \
  X(PROBLEM_TOO_LARGE,            413, "too-large",             "Body too large",         "The body is larger than the setting http_body_max. Send it in parts.") \
  X(PROBLEM_URI_TOO_LONG,         414, "uri-too-long",          "URI too long",           "Path and query may have 16 KiB, 12 segments and 64 parameters.") \
  X(PROBLEM_MEDIA_TYPE,           415, "unsupported-media-type","Unsupported media type", "The Content-Type of the body is not one that is taken here.") \
  X(PROBLEM_INVALID,              422, "invalid",               "Invalid",                "The body is well-formed and says something that cannot be. `errors` points to each field.") \
  X(PROBLEM_PRECONDITION_REQUIRED,428, "precondition-required", "Precondition required",  "Changes to rules, geofences and device types need If-Match with the ETag that was read, so that nobody overwrites what they have not seen.") \
  X(PROBLEM_TOO_MANY,             429, "too-many-requests",     "Too many requests",      "Slow down: too many wrong tokens came from this address, or too many commands of a device are open. Retry-After says when to come back.") \
  X(PROBLEM_INTERNAL,             500, "internal",              "Internal error",         "A fault of the server. The log has an entry with the request_id.") \
  X(PROBLEM_UNAVAILABLE,          503, "unavailable",           "Not available",          "The database does not answer, or the server is starting, stopping or full. Nothing was changed. Try again after Retry-After.")
/* clang-format on */

enum problem {
#define PROBLEM_ENUM(name, status, slug, title, words) name,
    PROBLEM_LIST(PROBLEM_ENUM)
#undef PROBLEM_ENUM
        PROBLEM_COUNT
};

enum { API_ERRORS_MAX = 20 };

/* What is wrong with single fields. More than API_ERRORS_MAX are not kept. */
struct api_errors {
    uint32_t count;
    struct {
        char pointer[192];
        char detail[256];
    } items[API_ERRORS_MAX];
};

__attribute__((format(printf, 3, 4))) void api_errors_add(struct api_errors *e, const char *pointer,
                                                          const char *format, ...);

unsigned problem_status(enum problem p);
/* errors may be NULL. */
void problem_write(struct buf *out, enum problem p, const char *detail, struct view instance,
                   const char *request_id, const struct api_errors *errors);
/* The explanation as a small HTML page; false: no such slug. */
bool problem_write_page(struct buf *out, struct view slug);
