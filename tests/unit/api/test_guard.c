#include <netinet/in.h>
#include <stdlib.h>

#include <criterion/criterion.h>

#include "api/guard.h"
#include "base/clock.h"

Test(guard, ten_wrong_tokens_a_minute_and_no_more)
{
    struct api_guard *g = calloc(1, sizeof(*g));
    bool first = false;
    int64_t now = 5 * CLOCK_SECOND_US;
    for (int i = 0; i < API_GUARD_LIMIT; i++) {
        cr_expect_eq(api_guard_wrong(g, 42, now, &first), 0, "number %d", i);
    }
    cr_expect_gt(api_guard_wrong(g, 42, now, &first), 0);
    cr_expect(first, "the one that goes over is told apart");
    cr_expect_gt(api_guard_wrong(g, 42, now + 59 * CLOCK_SECOND_US, &first), 0);
    cr_expect_not(first);
    cr_expect_eq(api_guard_wrong(g, 42, now + CLOCK_MINUTE_US, &first), 0, "a new minute");
    cr_expect_eq(api_guard_wrong(g, 43, now, &first), 0, "another address");
    free(g);
}

static uint64_t six(uint8_t network, uint8_t host)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6};
    a.sin6_addr.s6_addr[0] = 0x20;
    a.sin6_addr.s6_addr[7] = network;
    a.sin6_addr.s6_addr[15] = host;
    return api_guard_source((const struct sockaddr *)&a);
}

Test(guard, hosts_of_one_ipv6_network_are_one_source)
{
    cr_expect_eq(six(1, 1), six(1, 2));
    cr_expect_neq(six(1, 1), six(2, 1));
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7F000001)};
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6};
    mapped.sin6_addr.s6_addr[10] = mapped.sin6_addr.s6_addr[11] = 0xFF;
    memcpy(mapped.sin6_addr.s6_addr + 12, &four.sin_addr, 4);
    cr_expect_eq(api_guard_source((const struct sockaddr *)&four),
                 api_guard_source((const struct sockaddr *)&mapped),
                 "the same over both listeners");
}
