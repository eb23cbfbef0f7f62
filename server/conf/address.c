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

static bool parse_bits(struct view text, int most, int *ret_bits)
{
    int bits = 0;
    if (text.len == 0 || text.len > 3) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        bits = bits * 10 + (text.data[i] - '0');
    }
    *ret_bits = bits;
    return bits <= most;
}

static enum err parse_network(struct view text, struct conf_network *ret_network)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct conf_network n = {.bits = 128};
    char host[INET6_ADDRSTRLEN];
    const uint8_t *slash = memchr(text.data, '/', text.len);
    struct view address = slash == NULL ? text : view_of(text.data, (size_t)(slash - text.data));
    if (!view_copy(address, host, sizeof(host))) {
        return ERR_SYNTAX;
    }
    memcpy(n.address, mapped, sizeof(mapped));
    bool four = inet_pton(AF_INET, host, n.address + sizeof(mapped)) == 1;
    if (!four && inet_pton(AF_INET6, host, n.address) != 1) {
        return ERR_SYNTAX;
    }
    if (slash != NULL) {
        int bits = 0;
        if (!parse_bits(view_skip(text, address.len + 1), four ? 32 : 128, &bits)) {
            return ERR_SYNTAX;
        }
        n.bits = (uint8_t)(four ? 96 + bits : bits);
    }
    *ret_network = n;
    return ERR_OK;
}

static bool is_gap(uint8_t c)
{
    return c == ' ' || c == ',' || c == '\t';
}

enum err conf_next_network(struct view *list, struct conf_network *ret_network)
{
    while (list->len > 0 && is_gap(list->data[0])) {
        *list = view_skip(*list, 1);
    }
    if (list->len == 0) {
        return ERR_NOT_FOUND;
    }
    size_t len = 0;
    while (len < list->len && !is_gap(list->data[len])) {
        len++;
    }
    struct view one = view_of(list->data, len);
    *list = view_skip(*list, len);
    return parse_network(one, ret_network);
}

bool conf_network_has(const struct conf_network *n, const uint8_t address[static 16])
{
    size_t bytes = n->bits / 8;
    uint8_t mask = (uint8_t)(0xff00u >> (n->bits % 8));
    return memcmp(n->address, address, bytes) == 0 &&
           (bytes == 16 || ((n->address[bytes] ^ address[bytes]) & mask) == 0);
}
