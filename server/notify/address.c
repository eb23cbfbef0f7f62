#include "notify/address.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"
#include "conf/conf.h"

static const char special[] =
    "0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12,"
    "192.0.0.0/24, 192.0.2.0/24, 192.88.99.0/24, 192.168.0.0/16, 198.18.0.0/15,"
    "198.51.100.0/24, 203.0.113.0/24, 224.0.0.0/4, 240.0.0.0/4";
/* What is not in 2000::/3, the global unicast, and of that what is special. */
static const char special6[] = "2001::/23, 2001:db8::/32, 2002::/16, 3fff::/20";

static bool is_in(const uint8_t bytes[static 16], struct view networks)
{
    struct conf_network n;
    while (conf_next_network(&networks, &n) == ERR_OK) {
        if (conf_network_has(&n, bytes)) {
            return true;
        }
    }
    return false;
}

/* As IPv6, IPv4 mapped; false: neither. */
static bool bytes_of(const struct sockaddr *address, uint8_t ret_bytes[static 16])
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof(in));
        memset(ret_bytes, 0, 10);
        memset(ret_bytes + 10, 0xff, 2);
        memcpy(ret_bytes + 12, &in.sin_addr, 4);
        return true;
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof(in6));
        memcpy(ret_bytes, &in6.sin6_addr, 16);
        return true;
    }
    return false;
}

bool address_is_listed(const struct sockaddr *address, struct view networks)
{
    uint8_t bytes[16];
    return bytes_of(address, bytes) && is_in(bytes, networks);
}

bool address_is_allowed(const struct sockaddr *address, struct view networks)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    uint8_t bytes[16];
    if (!bytes_of(address, bytes)) {
        return false;
    }
    if (is_in(bytes, networks)) {
        return true;
    }
    if (memcmp(bytes, mapped, sizeof(mapped)) == 0) {
        return !is_in(bytes, view_of(special, sizeof(special) - 1));
    }
    return (bytes[0] & 0xe0) == 0x20 && !is_in(bytes, view_of(special6, sizeof(special6) - 1));
}
