/*
 * net/proxy: the head that a proxy puts in front of a connection, to say whose it is: version 2 of
 * the PROXY protocol, the binary one. Version 1 is refused. What else a proxy tells (TLVs) is
 * skipped.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

enum { PROXY_HEAD_MAX = 4096 };

struct proxy_head {
    size_t len;
    bool has_address;    /* else the connection is the proxy's own, or of a kind without address */
    uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint16_t port;
};

/* ERR_SHORT: not complete yet; ERR_MALFORMED, ERR_LIMIT: never will be. */
NODISCARD enum err proxy_parse(struct view bytes, struct proxy_head *ret_head);
