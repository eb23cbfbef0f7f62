#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/log.h"
#include "base/map.h"
#include "net/private.h"

/*
 * Accepting is done by hand on a polled descriptor: libuv's listener cannot be paused, and pausing
 * is the answer both to a spent handshake budget and to EMFILE. Options set on the listening socket
 * are inherited by what it accepts (tcp(7)), which saves four system calls per connection.
 */

enum {
    ACCEPT_BACKLOG = 1024, /* about a second's full handshakes: who waits longer has given up */
    ACCEPT_KEEPALIVE_S = 120,
    ACCEPT_BURST_MIN = 20,
    ACCEPT_SEND_BYTES =
        128 * 1024, /* in the kernel, which doubles it; it would grow to megabytes */
    BIND_NAPS = 50, /* five seconds in all */
    BIND_NAP_NS = 100 * 1000 * 1000,
};

enum err net_check_descriptors(const struct conf *conf)
{
    rlim_t need = (rlim_t)conf->connections_max + NET_DESCRIPTOR_RESERVE;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return ERR_IO;
    }
    if (limit.rlim_cur >= need) {
        return ERR_OK;
    }
    if (limit.rlim_max >= need) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) == 0) {
            return ERR_OK;
        }
    }
    LOG(LOG_ERROR, "descriptors_too_few", LOG_I("needed", need), LOG_I("limit", limit.rlim_max),
        LOG_S("remedy", "raise the limit of open files (ulimit -n) or lower connections_max"));
    return ERR_LIMIT;
}

static void address_of(const struct sockaddr_storage *from, uint8_t ret_address[static 16],
                       uint16_t *ret_port)
{
    if (from->ss_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, from, sizeof(v6));
        memcpy(ret_address, &v6.sin6_addr, 16);
        *ret_port = ntohs(v6.sin6_port);
        return;
    }
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct sockaddr_in v4;
    memcpy(&v4, from, sizeof(v4));
    memcpy(ret_address, mapped, sizeof(mapped));
    memcpy(ret_address + 12, &v4.sin_addr, 4);
    *ret_port = ntohs(v4.sin_port);
}

/* A hashed counter per IPv4 address or IPv6 /64. Two sources in one slot share a limit; the hash is
 * seeded, so nobody can choose whom to share with. */
bool net_source_enter(struct net *n, const uint8_t address[static 16], uint16_t *ret_slot)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    bool is_v4 = memcmp(address, mapped, sizeof(mapped)) == 0;
    *ret_slot = (uint16_t)map_hash(view_of(address, is_v4 ? 16 : 8));
    if (atomic_fetch_add(&n->sources[*ret_slot], 1) <
        (uint64_t)n->conf->connections_per_source_max) {
        return true;
    }
    atomic_fetch_sub(&n->sources[*ret_slot], 1);
    return false;
}

static bool is_proxy(const struct net *n, const uint8_t address[static 16])
{
    for (uint32_t i = 0; i < n->proxy_count; i++) {
        if (conf_network_has(&n->proxies[i], address)) {
            return true;
        }
    }
    return false;
}

static void refuse(struct net *n, int fd, enum net_close why)
{
    counter_add(COUNTER_CONNECTIONS_REFUSED, 1);
    net_count_close(n, why);
    (void)close(fd);
    LOG(LOG_WARN, "connection_refused", LOG_S("why", net_close_words(why)));
}

static void pause_accepting(struct net_listener *l)
{
    (void)uv_poll_stop(&l->poll);
    l->resume_at_us = l->loop->now_us + NET_PAUSE_US;
}

/* GCRA: one number is the whole bucket. */
static bool take_handshake(struct net_loop *l)
{
    int64_t rate = l->net->conf->handshakes_per_second / (int64_t)l->net->loop_count;
    if (l->net->conf->handshakes_per_second == 0) {
        return true;
    }
    rate = rate < 1 ? 1 : rate;
    int64_t each_us = CLOCK_SECOND_US / rate;
    int64_t burst = rate / 4 < ACCEPT_BURST_MIN ? ACCEPT_BURST_MIN : rate / 4;
    int64_t due_us = l->handshake_due_us < l->now_us ? l->now_us : l->handshake_due_us;
    if (due_us - l->now_us > burst * each_us) {
        return false;
    }
    l->handshake_due_us = due_us + each_us;
    return true;
}

/* The reserve is given up for a moment, so that the peer is closed and not left in the backlog. */
static void accept_without_descriptors(struct net_listener *l)
{
    struct net_loop *loop = l->loop;
    if (loop->spare_fd >= 0) {
        (void)close(loop->spare_fd);
        int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            refuse(loop->net, fd, NET_CLOSE_DESCRIPTORS);
        }
    }
    loop->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    pause_accepting(l);
}

/* The peer closed while it waited in the backlog: its ClientHello is there, but nobody waits for
 * the answer any more. */
static bool has_given_up(int fd)
{
    struct tcp_info info;
    socklen_t size = sizeof(info);
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
           info.tcpi_state != TCP_ESTABLISHED;
}

/* False: nothing more to accept now. */
static bool accept_one(struct net_listener *l)
{
    struct net_loop *loop = l->loop;
    struct net *n = loop->net;
    if (!l->open && !take_handshake(loop)) {
        pause_accepting(l);
        return false;
    }
    struct sockaddr_storage from = {0};
    socklen_t size = sizeof(from);
    int fd = accept4(l->fd, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            accept_without_descriptors(l);
            return false;
        }
        return errno == EINTR || errno == ECONNABORTED;
    }
    if (!l->open && has_given_up(fd)) {
        net_count_close(n, NET_CLOSE_PEER);
        (void)close(fd);
        return true;
    }
    struct net_peer peer = {.fd = fd, .open_listener = l->open};
    address_of(&from, peer.address, &peer.port);
    peer.proxied = !l->open && is_proxy(n, peer.address);
    peer.counted = n->sources != NULL && !peer.proxied;
    if (atomic_fetch_add(&n->open_count, 1) >= n->conf->connections_max) {
        atomic_fetch_sub(&n->open_count, 1);
        refuse(n, fd, NET_CLOSE_CONNECTIONS_MAX);
        return true;
    }
    if (peer.counted && !net_source_enter(n, peer.address, &peer.source_slot)) {
        atomic_fetch_sub(&n->open_count, 1);
        refuse(n, fd, NET_CLOSE_SOURCE_MAX);
        return true;
    }
    counter_add(COUNTER_CONNECTIONS_ACCEPTED, 1);
    net_conn_open(loop, &peer);
    return true;
}

/* More peers than can be served in time, after a power cut, say: whoever has been accepted is
 * served first, the others wait in the backlog, where they cost nothing. If all were accepted at
 * once, all would be late, give up, and come again: nothing but handshakes for nobody. */
static void on_acceptable(uv_poll_t *poll, int status, int events)
{
    struct net_listener *l = poll->data;
    (void)events;
    l->loop->now_us = clock_mono_us();
    if (status < 0 || net_is_full(l->loop->net)) {
        pause_accepting(l);
        return;
    }
    if (!l->open && l->loop->shaking_later > 0) {
        return; /* and finds the listener readable in the next turn */
    }
    for (int i = 0; i < NET_ACCEPTS_PER_TURN && accept_one(l); i++) {
    }
}

static void warn_open(struct net_loop *l)
{
    LOG(LOG_WARN, "open_listener", LOG_S("address", l->net->conf->open_listener),
        LOG_I("port", l->net->open_port),
        LOG_S("danger", "anyone on this host can publish without a credential and without tls: for "
                        "conformance suites only, remove open_listener from the settings"));
    l->open_warn_at_us = l->now_us + NET_OPEN_WARN_US;
}

void net_listener_tick(struct net_listener *l)
{
    if (l->fd >= 0 && l->resume_at_us != 0 && l->loop->now_us >= l->resume_at_us) {
        l->resume_at_us = 0;
        (void)uv_poll_start(&l->poll, UV_READABLE, on_acceptable);
    }
    if (l->fd >= 0 && l->open && l->loop->now_us >= l->loop->open_warn_at_us) {
        warn_open(l->loop);
    }
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct net_listener *l = handle->data;
    (void)close(l->fd);
    l->fd = -1;
}

void net_listener_close(struct net_listener *l)
{
    if (l->fd >= 0 && uv_is_closing((uv_handle_t *)&l->poll) == 0) {
        l->resume_at_us = 0;
        uv_close((uv_handle_t *)&l->poll, on_listener_closed);
    }
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof(v6));
        return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
    }
    struct sockaddr_in v4;
    memcpy(&v4, address, sizeof(v4));
    return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
}

static bool set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

static int socket_bind(const struct addrinfo *at, bool shared)
{
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    bool ok = set(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
              (!shared || set(fd, SOL_SOCKET, SO_REUSEPORT, 1)) &&
              set(fd, IPPROTO_TCP, TCP_NODELAY, 1) && set(fd, SOL_SOCKET, SO_KEEPALIVE, 1) &&
              set(fd, IPPROTO_TCP, TCP_KEEPIDLE, ACCEPT_KEEPALIVE_S) &&
              set(fd, SOL_SOCKET, SO_SNDBUF, ACCEPT_SEND_BYTES) &&
              (at->ai_family != AF_INET6 || set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0)) &&
              bind(fd, at->ai_addr, at->ai_addrlen) == 0;
    if (!ok) {
        int why = errno;
        (void)close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

/* Whoever was killed with thousands of connections holds the port until the last of its threads is
 * gone, and its successor may be here before. */
static int socket_bind_patiently(const struct addrinfo *at)
{
    int fd = socket_bind(at, false);
    for (int naps = 0; fd < 0 && errno == EADDRINUSE && naps < BIND_NAPS; naps++) {
        (void)nanosleep(&(struct timespec){.tv_nsec = BIND_NAP_NS}, NULL);
        fd = socket_bind(at, false);
    }
    return fd;
}

static int bound_port(int fd)
{
    struct sockaddr_storage at = {0};
    socklen_t size = sizeof(at);
    uint8_t address[16];
    uint16_t port = 0;
    if (getsockname(fd, (struct sockaddr *)&at, &size) == 0) {
        address_of(&at, address, &port);
    }
    return port;
}

/* "[::]" on a host without IPv6 means all of IPv4. */
static enum err resolve(const char *host, int port, struct addrinfo **ret_list)
{
    char service[8];
    (void)snprintf(service, sizeof(service), "%d", port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    int probe = -1;
    if (host[0] == '\0' || strcmp(host, "::") == 0) {
        probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
        host = probe < 0 ? "0.0.0.0" : "::";
    }
    if (probe >= 0) {
        (void)close(probe);
    }
    return getaddrinfo(host, service, &hints, ret_list) == 0 ? ERR_OK : ERR_NOT_FOUND;
}

static enum err listener_start(struct net_loop *loop, struct net_listener *l, int fd)
{
    l->loop = loop;
    l->fd = fd;
    if (listen(fd, ACCEPT_BACKLOG) != 0) {
        (void)close(fd);
        l->fd = -1;
        return ERR_IO;
    }
    CHECK(uv_poll_init(loop_uv(loop->loop), &l->poll, fd) == 0);
    l->poll.data = l;
    CHECK(uv_poll_start(&l->poll, UV_READABLE, on_acceptable) == 0);
    return ERR_OK;
}

static enum err listen_failed(const char *address, const char *why)
{
    LOG(LOG_ERROR, "listen_failed", LOG_S("address", address), LOG_S("why", why));
    return ERR_IO;
}

/* One socket per loop on one address. Another process on it is noticed: the first socket is bound
 * without sharing, and given up only when several loops are to share. */
static enum err listen_tls(struct net *n, const struct addrinfo *at)
{
    bool shared = n->loop_count > 1;
    int probe = socket_bind_patiently(at);
    if (probe < 0) {
        return listen_failed(n->conf->device_listen, strerror(errno));
    }
    n->port = bound_port(probe);
    if (shared) {
        (void)close(probe);
    }
    struct sockaddr_storage address;
    memcpy(&address, at->ai_addr, at->ai_addrlen);
    if (address.ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)&address)->sin6_port = htons((uint16_t)n->port);
    } else {
        ((struct sockaddr_in *)&address)->sin_port = htons((uint16_t)n->port);
    }
    struct addrinfo exact = *at;
    exact.ai_addr = (struct sockaddr *)&address;
    for (uint32_t i = 0; i < n->loop_count; i++) {
        int fd = shared ? socket_bind(&exact, true) : probe;
        if (fd < 0 || listener_start(&n->loops[i], &n->loops[i].listener, fd) != ERR_OK) {
            return listen_failed(n->conf->device_listen, strerror(errno));
        }
    }
    LOG(LOG_INFO, "listening", LOG_S("address", n->conf->device_listen), LOG_I("port", n->port),
        LOG_I("loops", n->loop_count), LOG_S("protocol", "mqtt over tls"));
    return ERR_OK;
}

static enum err listen_open(struct net *n, const struct addrinfo *at)
{
    if (!is_loopback(at->ai_addr)) {
        LOG(LOG_ERROR, "open_listener_refused", LOG_S("address", n->conf->open_listener),
            LOG_S("why", "it asks for no credential and is allowed on a loopback address only"));
        return ERR_DENIED;
    }
    int fd = socket_bind_patiently(at);
    if (fd < 0) {
        return listen_failed(n->conf->open_listener, strerror(errno));
    }
    n->open_port = bound_port(fd);
    n->loops[0].open_listener.open = true;
    if (listener_start(&n->loops[0], &n->loops[0].open_listener, fd) != ERR_OK) {
        return listen_failed(n->conf->open_listener, strerror(errno));
    }
    warn_open(&n->loops[0]);
    return ERR_OK;
}

static enum err listen_on(struct net *n, const char *address,
                          enum err (*start)(struct net *n, const struct addrinfo *at))
{
    char host[256];
    int port;
    struct addrinfo *list = NULL;
    if (conf_split_address(address, host, sizeof(host), &port) != ERR_OK ||
        resolve(host, port, &list) != ERR_OK) {
        return listen_failed(address, "no address of this form or name");
    }
    enum err e = start(n, list);
    freeaddrinfo(list);
    return e;
}

enum err net_listen(struct net *n)
{
    enum err e = ERR_OK;
    if (n->conf->device_tls_cert[0] != '\0') {
        e = listen_on(n, n->conf->device_listen, listen_tls);
    }
    if (e == ERR_OK && n->conf->open_listener[0] != '\0') {
        e = listen_on(n, n->conf->open_listener, listen_open);
    }
    return e;
}
