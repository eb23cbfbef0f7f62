#include <arpa/inet.h>
#include <netinet/in.h>

#include <criterion/criterion.h>

#include "notify/address.h"

static bool allowed(const char *text, const char *networks)
{
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } a = {.six = {.sin6_family = AF_INET6}};
    if (inet_pton(AF_INET6, text, &a.six.sin6_addr) != 1) {
        a.four = (struct sockaddr_in){.sin_family = AF_INET};
        cr_assert_eq(inet_pton(AF_INET, text, &a.four.sin_addr), 1, "%s", text);
    }
    return address_is_allowed(&a.any, view_str(networks));
}

Test(address, what_only_our_own_network_reaches_is_refused)
{
    static const char *const inner[] = {"127.0.0.1",
                                        "127.255.255.254",
                                        "10.0.0.1",
                                        "10.255.255.255",
                                        "172.16.0.1",
                                        "172.31.255.255",
                                        "192.168.1.1",
                                        "169.254.169.254", /* metadata */
                                        "100.64.0.1",
                                        "0.0.0.0",
                                        "224.0.0.1",
                                        "255.255.255.255",
                                        "192.0.2.1",
                                        "198.18.0.1",
                                        "240.0.0.1",
                                        "::1",
                                        "::",
                                        "fe80::1",
                                        "fc00::1",
                                        "fd12:3456::1",
                                        "ff02::1",
                                        "::ffff:10.0.0.1",
                                        "::ffff:127.0.0.1",
                                        "::7f00:1",
                                        "64:ff9b::a00:1",
                                        "2002:a00:1::",
                                        "2001:0:4136:e378::",
                                        "2001:db8::1",
                                        "fec0::1",
                                        "::ffff:0:127.0.0.1"};
    for (size_t i = 0; i < sizeof(inner) / sizeof(inner[0]); i++) {
        cr_expect_not(allowed(inner[i], ""), "%s", inner[i]);
    }
}

Test(address, the_internet_is_allowed)
{
    static const char *const outer[] = {"1.1.1.1",         "8.8.8.8",      "172.15.255.255",
                                        "172.32.0.1",      "11.0.0.1",     "192.167.255.255",
                                        "169.253.0.1",     "100.128.0.1",  "223.255.255.255",
                                        "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8"};
    for (size_t i = 0; i < sizeof(outer) / sizeof(outer[0]); i++) {
        cr_expect(allowed(outer[i], ""), "%s", outer[i]);
    }
}

Test(address, a_listed_network_opens_itself_and_nothing_else)
{
    const char *list = "10.1.0.0/16, fd00:1::/32, 127.0.0.1";
    cr_expect(allowed("10.1.2.3", list));
    cr_expect(allowed("::ffff:10.1.2.3", list), "the same address in other clothes");
    cr_expect(allowed("fd00:1::5", list));
    cr_expect(allowed("127.0.0.1", list));
    cr_expect_not(allowed("10.2.0.1", list));
    cr_expect_not(allowed("127.0.0.2", list));
    cr_expect_not(allowed("fd00:2::5", list));
}
