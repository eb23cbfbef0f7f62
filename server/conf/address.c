#include <arpa/inet.h>

#include "conf/conf.h"

static bool is_host_byte(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
}

static bool is_host(struct view host)
{
    for (size_t i = 0; i < host.len; i++) {
        if (!is_host_byte(host.data[i])) {
            return false;
        }
    }
    return true;
}

/* An IPv6 address as it stands between brackets; a zone such as %eth0 may follow it. */
static bool is_ipv6(struct view host)
{
    char text[INET6_ADDRSTRLEN + 1];
    struct in6_addr ignored;
    const uint8_t *percent = memchr(host.data, '%', host.len);
    struct view address =
        percent == NULL ? host : view_of(host.data, (size_t)(percent - host.data));
    if (percent != NULL && !is_host(view_skip(host, address.len + 1))) {
        return false;
    }
    return address.len > 0 && view_copy(address, text, sizeof(text)) &&
           inet_pton(AF_INET6, text, &ignored) == 1;
}

static bool parse_port(struct view text, int *ret_port)
{
    int port = 0;
    if (text.len == 0 || text.len > 5) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        port = port * 10 + (text.data[i] - '0');
    }
    *ret_port = port;
    return port <= 65535;
}

enum err conf_split_address(const char *text, char *ret_host, size_t host_size, int *ret_port)
{
    struct view all = view_str(text);
    const uint8_t *colon = all.len == 0 ? NULL : memrchr(all.data, ':', all.len);
    int port = 0;
    if (colon == NULL) {
        return ERR_SYNTAX;
    }
    struct view host = view_of(all.data, (size_t)(colon - all.data));
    if (!parse_port(view_skip(all, host.len + 1), &port)) {
        return ERR_SYNTAX;
    }
    if (host.len >= 2 && host.data[0] == '[' && host.data[host.len - 1] == ']') {
        host = view_of(host.data + 1, host.len - 2);
        if (!is_ipv6(host)) {
            return ERR_SYNTAX;
        }
    } else if (!is_host(host)) {
        return ERR_SYNTAX;
    }
    if (host.len >= host_size) {
        return ERR_LIMIT;
    }
    (void)view_copy(host, ret_host, host_size);
    *ret_port = port;
    return ERR_OK;
}
