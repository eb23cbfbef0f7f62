/*
 * err: the one error type. A function that can fail returns `enum err`; ERR_OK is 0, the rest
 * negative.
 *
 * On ERR_OK every `ret_` output is set; on any other value none is touched.
 * err_words() gives the words for a log line or a problem answer; it never fails.
 */
#pragma once

#define NODISCARD __attribute__((warn_unused_result))

/*        name             value  words */
#define ERR_LIST(X)                                  \
    X(ERR_OK, 0, "ok")                               \
    X(ERR_SHORT, -1, "ends too early")               \
    X(ERR_MALFORMED, -2, "malformed")                \
    X(ERR_PROTOCOL, -3, "protocol violation")        \
    X(ERR_LIMIT, -4, "over a limit")                 \
    X(ERR_UTF8, -5, "not valid UTF-8")               \
    X(ERR_RANGE, -6, "out of range")                 \
    X(ERR_TYPE, -7, "wrong type")                    \
    X(ERR_UNKNOWN_NAME, -8, "unknown name")          \
    X(ERR_NOMEM, -9, "out of memory")                \
    X(ERR_FULL, -10, "queue is full")                \
    X(ERR_EXISTS, -11, "exists already")             \
    X(ERR_NOT_FOUND, -12, "not found")               \
    X(ERR_DENIED, -13, "not allowed")                \
    X(ERR_EXPIRED, -14, "expired")                   \
    X(ERR_TIMEOUT, -15, "timed out")                 \
    X(ERR_CLOSED, -16, "closed")                     \
    X(ERR_IO, -17, "input/output error")             \
    X(ERR_DB_DOWN, -18, "database not available")    \
    X(ERR_DB_DATA, -19, "database refused the data") \
    X(ERR_DB_UNKNOWN, -20, "commit result unknown")  \
    X(ERR_CONFLICT, -21, "conflict")                 \
    X(ERR_SYNTAX, -22, "syntax error")               \
    X(ERR_UNSUPPORTED, -23, "not supported")         \
    X(ERR_STATE, -24, "not possible in this state")  \
    X(ERR_CANCELLED, -25, "cancelled")               \
    X(ERR_TLS, -26, "TLS failure")                   \
    X(ERR_SKIP, -27, "nothing to do")                \
    X(ERR_QUOTA, -28, "over a quota")

enum err {
#define ERR_ENUM(name, value, words) name = (value),
    ERR_LIST(ERR_ENUM)
#undef ERR_ENUM
};

const char *err_words(enum err e);
