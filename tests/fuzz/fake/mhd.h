/*
 * mhd: libmicrohttpd's side of a request, without sockets and threads. It hands a request over step
 * by step, as the real one does, suspends and resumes, and takes the one answer.
 */
#pragma once

#include <microhttpd.h>

#include "base/buf.h"
#include "fuzz.h"

enum { MHD_FAKE_HEADERS_MAX = 24 };

struct mhd_request {
    const char *target; /* as sent */
    const char *method;
    struct {
        const char *name, *value;
    } headers[MHD_FAKE_HEADERS_MAX];
    int header_count;
    struct view body;
    size_t piece; /* bytes of the body at a time; 0: all */
};

struct mhd_answer {
    unsigned status; /* 0: none came */
    struct buf body;
    char type[64];
    char location[512];
    bool streamed, cut; /* ended with an error */
    int retry_after, allow, etag;
};

/* What goes on while a connection is suspended; false: nothing does. */
typedef bool (*mhd_work_fn)(void);

/* ret_answer is the caller's, with buf_fini(). patience: so many turns without anything to do, and
 * the client hangs up. */
void mhd_ask(const struct mhd_request *r, mhd_work_fn work, int patience,
             struct mhd_answer *ret_answer);
