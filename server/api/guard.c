#include "api/guard.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/map.h"

uint64_t api_guard_source(const struct sockaddr *address)
{
    if (address == NULL) {
        return map_hash(VIEW("unknown"));
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 six;
        memcpy(&six, address, sizeof(six));
        bool mapped = IN6_IS_ADDR_V4MAPPED(&six.sin6_addr);
        return map_hash(view_of(six.sin6_addr.s6_addr + (mapped ? 12 : 0), mapped ? 4 : 8));
    }
    if (address->sa_family == AF_INET) {
        struct sockaddr_in four;
        memcpy(&four, address, sizeof(four));
        return map_hash(view_of(&four.sin_addr, sizeof(four.sin_addr)));
    }
    return map_hash(VIEW("local"));
}

int api_guard_wrong(struct api_guard *g, uint64_t source, int64_t now_us, bool *ret_first)
{
    size_t at = source % API_GUARD_SLOTS;
    *ret_first = false;
    if (g->slots[at].wrong == 0 || now_us - g->slots[at].since_us >= CLOCK_MINUTE_US) {
        g->slots[at].source = source;
        g->slots[at].since_us = now_us;
        g->slots[at].wrong = 0;
    } else if (g->slots[at].source != source) {
        return 0; /* the place is busy with another address; tokens are too long to guess anyway */
    }
    g->slots[at].wrong++;
    if (g->slots[at].wrong <= API_GUARD_LIMIT) {
        return 0;
    }
    *ret_first = g->slots[at].wrong == API_GUARD_LIMIT + 1;
    int64_t left_us = CLOCK_MINUTE_US - (now_us - g->slots[at].since_us);
    return (int)(left_us / CLOCK_SECOND_US) + 1;
}
