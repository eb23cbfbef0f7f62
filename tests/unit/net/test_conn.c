#include <errno.h>
#include <sys/resource.h>

#include "echo.h"

/* Reads until the peer closes; how many bytes came. */
static size_t read_all(struct caller *c)
{
    char bytes[65536];
    size_t total = 0;
    size_t n = 0;
    while (SSL_read_ex(c->ssl, bytes, sizeof(bytes), &n) == 1) {
        total += n;
    }
    return total;
}

Test(conn, records_cut_anywhere_and_lines_cut_anywhere_arrive_whole, .timeout = 60)
{
    struct echo e;
    echo_init(&e);
    echo_start(&e);
    struct caller c;
    caller_init(&c, &e, NULL);
    cr_assert(caller_dials(&c, &e, NULL));
    /* A record for each byte of the line. */
    size_t n = 0;
    for (const char *at = "abc"; *at != '\0'; at++) {
        cr_assert_eq(SSL_write_ex(c.ssl, at, 1, &n), 1);
    }
    cr_expect(caller_says(&c, "def\nsecond\n", "abcdef\nsecond\n"));
    /* A record that arrives byte by byte: what OpenSSL writes is put through a slow pipe. */
    BIO *slow = BIO_new(BIO_s_mem());
    SSL_set0_wbio(c.ssl, slow);
    cr_assert_eq(SSL_write_ex(c.ssl, "slow\n", 5, &n), 1);
    char *record = NULL;
    long len = BIO_get_mem_data(slow, &record);
    for (long i = 0; i < len; i++) {
        cr_assert_eq(write(c.fd, record + i, 1), 1);
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    char got[16];
    cr_expect(SSL_read_ex(c.ssl, got, sizeof(got), &n) == 1 && n == 5);
    caller_fini(&c);
    echo_stop(&e);
}

Test(conn, the_answers_of_a_turn_leave_as_one_record, .timeout = 60)
{
    struct echo e;
    echo_init(&e);
    echo_start(&e);
    struct caller c;
    caller_init(&c, &e, NULL);
    cr_assert(caller_dials(&c, &e, NULL));
    size_t n = 0;
    char got[256];
    cr_assert_eq(SSL_write_ex(c.ssl, "one\ntwo\nthree\n", 14, &n), 1);
    /* SSL_read never joins records. */
    cr_expect(SSL_read_ex(c.ssl, got, sizeof(got), &n) == 1 && n == 14, "%zu", n);
    caller_fini(&c);
    echo_stop(&e);
}

Test(conn, large_lines_and_large_answers_pass, .timeout = 60)
{
    struct echo e;
    echo_init(&e);
    echo_start(&e);
    struct caller c;
    caller_init(&c, &e, NULL);
    cr_assert(caller_dials(&c, &e, NULL));
    enum { LEN = 200000 };
    char *line = malloc(LEN);
    char *got = malloc(LEN);
    memset(line, 'x', LEN - 1);
    line[LEN - 1] = '\n';
    size_t n = 0;
    size_t at = 0;
    cr_assert_eq(SSL_write_ex(c.ssl, line, LEN, &n), 1);
    while (at < LEN && SSL_read_ex(c.ssl, got + at, LEN - at, &n) == 1) {
        at += n;
    }
    cr_expect(at == LEN && memcmp(line, got, LEN) == 0, "%zu", at);
    free(line);
    free(got);
    caller_fini(&c);
    echo_stop(&e);
}

Test(conn, what_was_written_before_a_close_arrives, .timeout = 60)
{
    struct echo e;
    echo_init(&e);
    echo_start(&e);
    for (int i = 0; i < 20; i++) {
        struct caller c;
        caller_init(&c, &e, NULL);
        /* The bytes after "bye" are never read by the owner: no RST may eat the answer. */
        size_t n = 0;
        cr_assert(caller_dials(&c, &e, NULL));
        cr_assert_eq(SSL_write_ex(c.ssl, "big 2\nbye\nignored\n", 18, &n), 1);
        cr_expect_eq(read_all(&c), 2 * 1024 * 64 + 4);
        caller_fini(&c);
    }
    cr_expect_eq(atomic_load(&e.closed), 0, "an owner that closes is not told");
    echo_stop(&e);
}

Test(conn, a_peer_that_does_not_read_is_closed, .timeout = 60)
{
    struct echo e;
    echo_init(&e);
    echo_start(&e);
    struct caller c;
    caller_init(&c, &e, NULL);
    cr_assert(caller_dials(&c, &e, NULL) && caller_says(&c, "ready\n", "ready\n"));
    size_t n = 0;
    for (int i = 0; i < 400 && atomic_load(&e.closed) == 0; i++) {
        (void)SSL_write_ex(c.ssl, "big 2\n", 6, &n);
        (void)nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    cr_expect(echo_reached(&e.closed, 1));
    cr_expect_eq(atomic_load(&e.last_close), NET_CLOSE_SEND_QUEUE);
    cr_expect_eq(net_close_count(e.net, NET_CLOSE_SEND_QUEUE), 1);
    caller_fini(&c);
    echo_stop(&e);
}

Test(conn, the_connect_timeout_counts_from_accept_to_ready, .timeout = 60)
{
    struct echo e;
    echo_init(&e);
    e.conf.connect_timeout_us = SEC;
    echo_start(&e);
    int silent = dial(net_port(e.net));
    struct caller stranger;
    struct caller friend;
    caller_init(&stranger, &e, NULL);
    caller_init(&friend, &e, NULL);
    cr_assert(caller_dials(&stranger, &e, NULL) && caller_says(&stranger, "x\n", "x\n"));
    cr_assert(caller_dials(&friend, &e, NULL) && caller_says(&friend, "ready\n", "ready\n"));
    char byte;
    cr_expect_eq(read(silent, &byte, 1), 0, "closed, not only forgotten");
    cr_expect_eq(read_all(&stranger), 0);
    cr_expect(caller_says(&friend, "still\n", "still\n"));
    cr_expect_eq(net_close_count(e.net, NET_CLOSE_CONNECT_TIMEOUT), 2);
    (void)close(silent);
    caller_fini(&stranger);
    caller_fini(&friend);
    echo_stop(&e);
}

Test(conn, over_the_limits_means_closed_at_once, .timeout = 60)
{
    struct echo e;
    echo_init(&e);
    e.conf.connections_max = 3;
    e.conf.connections_per_source_max = 2;
    echo_start(&e);
    struct caller ready;
    caller_init(&ready, &e, NULL);
    cr_assert(caller_dials(&ready, &e, NULL) && caller_says(&ready, "ready\n", "ready\n"));
    int waiting[2] = {dial(net_port(e.net)), dial(net_port(e.net))};
    char byte;
    int extra = dial(net_port(e.net));
    cr_expect_leq(read(extra, &byte, 1), 0, "three are up");
    (void)close(extra);
    (void)close(waiting[0]);
    (void)nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    cr_expect_eq(net_open_count(e.net), 2);
    waiting[0] = dial(net_port(e.net));
    caller_hang_up(&ready);
    (void)nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    extra = dial(net_port(e.net));
    cr_expect_leq(read(extra, &byte, 1), 0, "two of this address have not authenticated");
    cr_expect_eq(net_close_count(e.net, NET_CLOSE_CONNECTIONS_MAX), 1);
    cr_expect_eq(net_close_count(e.net, NET_CLOSE_SOURCE_MAX), 1, "%d",
                 (int)net_close_count(e.net, NET_CLOSE_SOURCE_MAX));
    (void)close(extra);
    (void)close(waiting[0]);
    (void)close(waiting[1]);
    caller_fini(&ready);
    echo_stop(&e);
}

Test(conn, the_handshake_budget_delays_and_refuses_nobody, .timeout = 60)
{
    struct echo e;
    echo_init(&e);
    e.conf.handshakes_per_second = 50;
    echo_start(&e);
    int64_t start = clock_mono_us();
    for (int i = 0; i < 60; i++) {
        struct caller c;
        caller_init(&c, &e, NULL);
        cr_expect(caller_dials(&c, &e, NULL) && caller_says(&c, "x\n", "x\n"), "dial %d", i);
        caller_fini(&c);
    }
    int64_t took_us = clock_mono_us() - start;
    cr_expect(took_us > 500000 && took_us < 4000000, "60 less a burst of 20 at 50/s took %ld us",
              (long)took_us);
    echo_stop(&e);
}

Test(conn, who_gave_up_in_the_backlog_costs_no_handshake, .timeout = 60)
{
    struct echo e;
    struct caller c;
    echo_init(&e);
    struct net_handlers h = echo_handlers(&e);
    cr_assert_eq(net_new(&e.conf, &h, &e.net), ERR_OK);         /* listens; nobody accepts yet */
    static const uint8_t hello[] = "\x16\x03\x01\x00\x05hello"; /* OpenSSL would refuse it */
    for (int i = 0; i < 10; i++) {
        int fd = dial(net_port(e.net));
        cr_assert_eq(send(fd, hello, sizeof(hello) - 1, 0), sizeof(hello) - 1);
        (void)close(fd);
    }
    cr_assert_eq(net_start(e.net), ERR_OK);
    caller_init(&c, &e, NULL);
    cr_expect(caller_dials(&c, &e, NULL) && caller_says(&c, "x\n", "x\n"), "who waits is served");
    caller_fini(&c);
    cr_expect_geq(net_close_count(e.net, NET_CLOSE_PEER), 10);
    cr_expect_eq(net_close_count(e.net, NET_CLOSE_HANDSHAKE), 0);
    echo_stop(&e);
}

Test(conn, an_open_listener_is_plain_and_on_loopback_only, .timeout = 60)
{
    static const struct {
        const char *address;
        enum err answer;
    } rows[] = {
        {"127.0.0.1:0", ERR_OK}, {"[::1]:0", ERR_OK}, {"0.0.0.0:0", ERR_DENIED},
        {"[::]:0", ERR_DENIED},  {":0", ERR_DENIED},
    };
    struct echo e;
    echo_init(&e);
    e.conf.device_tls_cert = e.none;
    struct net_handlers h = echo_handlers(&e);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char address[32];
        (void)snprintf(address, sizeof(address), "%s", rows[i].address);
        e.conf.open_listener = address;
        enum err got = net_new(&e.conf, &h, &e.net);
        cr_expect_eq(got, rows[i].answer, "%s", rows[i].address);
        if (got == ERR_OK) {
            net_free(e.net);
        }
    }
    char address[] = "127.0.0.1:0";
    e.conf.open_listener = address;
    echo_start(&e);
    int fd = dial(net_open_port(e.net));
    char got[16] = "";
    cr_expect_eq(write(fd, "plain", 5), 5);
    (void)nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    cr_expect_eq(write(fd, " one\n", 5), 5);
    cr_expect_eq(read(fd, got, sizeof(got)), 10);
    cr_expect_eq(memcmp(got, "plain one\n", 10), 0);
    (void)close(fd);
    echo_stop(&e);
}

Test(conn, wrong_files_and_addresses_are_errors_before_anything_runs, .timeout = 60)
{
    struct echo e;
    struct net *n = NULL;
    echo_init(&e);
    struct net_handlers h = echo_handlers(&e);
    char missing[] = "/nonexistent.pem";
    char *good = e.conf.device_tls_ca;
    e.conf.device_tls_ca = missing;
    cr_expect_eq(net_new(&e.conf, &h, &n), ERR_TLS);
    e.conf.device_tls_ca = good;
    e.conf.device_tls_crl = missing;
    cr_expect_eq(net_new(&e.conf, &h, &n), ERR_TLS);
    e.conf.device_tls_crl = e.none;
    good = e.conf.device_tls_key;
    e.conf.device_tls_key = e.conf.device_tls_ca;
    cr_expect_eq(net_new(&e.conf, &h, &n), ERR_TLS);
    e.conf.device_tls_key = good;
    e.conf.connections_max = 900000000;
    cr_expect_eq(net_new(&e.conf, &h, &n), ERR_LIMIT);
    e.conf.connections_max = 10;
    echo_start(&e);
    char taken[32];
    (void)snprintf(taken, sizeof(taken), "127.0.0.1:%d", net_port(e.net));
    struct conf second = e.conf;
    second.device_listen = taken;
    for (second.net_loops = 1; second.net_loops < 3; second.net_loops++) {
        cr_expect_eq(net_new(&second, &h, &n), ERR_IO, "%d loops", (int)second.net_loops);
    }
    cr_expect_null(n);
    echo_stop(&e);
}

Test(conn, garbage_instead_of_tls_ends_the_connection, .timeout = 60)
{
    static const struct view rows[] = {
        VIEW("GET / HTTP/1.1\r\n\r\n"),
        VIEW("\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"),
        VIEW("\x16\x03\x01\xff\xff"),
        VIEW("\x16\x03\x01\x00\x05hello"),
    };
    struct echo e;
    echo_init(&e);
    echo_start(&e);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        int fd = dial(net_port(e.net));
        char bytes[64];
        cr_assert_eq(write(fd, rows[i].data, rows[i].len), (ssize_t)rows[i].len);
        ssize_t n = read(fd, bytes, sizeof(bytes));
        while (n > 0) {
            n = read(fd, bytes, sizeof(bytes)); /* an alert */
        }
        cr_expect(n == 0 || errno == ECONNRESET, "row %zu", i);
        (void)close(fd);
    }
    cr_expect_eq(atomic_load(&e.opened), 0);
    echo_stop(&e);
}

static double cpu_seconds(void)
{
    struct rusage u;
    cr_assert_eq(getrusage(RUSAGE_SELF, &u), 0);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* The limit is lowered under the running server; its peers' sockets were made before. */
Test(conn, without_descriptors_peers_are_closed_and_the_loop_does_not_spin, .timeout = 60)
{
    enum { PEERS = 40 };
    struct echo e;
    int fds[PEERS];
    struct rlimit old;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 10};
    echo_init(&e);
    echo_start(&e);
    to.sin_port = htons((uint16_t)net_port(e.net));
    for (int i = 0; i < PEERS; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    }
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    struct rlimit low = {.rlim_cur = (rlim_t)fds[PEERS - 1] + 1, .rlim_max = old.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    double cpu = cpu_seconds();
    for (int i = 0; i < PEERS; i++) {
        cr_assert_eq(connect(fds[i], (struct sockaddr *)&to, sizeof(to)), 0);
    }
    (void)nanosleep(&(struct timespec){.tv_nsec = 800000000}, NULL);
    cr_expect_lt(cpu_seconds() - cpu, 0.2);
    uint64_t refused = net_close_count(e.net, NET_CLOSE_DESCRIPTORS);
    cr_expect(refused >= 3 && refused < PEERS, "%d: one in each 100 ms", (int)refused);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    struct caller c;
    caller_init(&c, &e, NULL);
    cr_expect(caller_dials(&c, &e, NULL) && caller_says(&c, "back\n", "back\n"));
    caller_fini(&c);
    for (int i = 0; i < PEERS; i++) {
        (void)close(fds[i]);
    }
    echo_stop(&e);
}

Test(conn, a_peer_that_stops_reading_is_closed_when_nothing_goes_out, .timeout = 60)
{
    struct echo e;
    echo_init(&e);
    e.conf.send_queue_max_bytes = 64 * MIB;
    e.conf.send_timeout_us = SEC;
    echo_start(&e);
    struct caller c;
    struct caller reader;
    caller_init(&c, &e, NULL);
    caller_init(&reader, &e, NULL);
    cr_assert(caller_dials(&c, &e, NULL) && caller_says(&c, "ready\n", "ready\n"));
    cr_assert(caller_dials(&reader, &e, NULL) && caller_says(&reader, "ready\n", "ready\n"));
    size_t n = 0;
    for (int i = 0; i < 100; i++) { /* 60 MB: more than the kernel takes */
        cr_assert_eq(SSL_write_ex(c.ssl, "big 9\n", 6, &n), 1);
    }
    cr_expect(echo_reached(&e.closed, 1));
    cr_expect_eq(atomic_load(&e.last_close), NET_CLOSE_SEND_STALLED);
    cr_expect(caller_says(&reader, "still\n", "still\n"));
    caller_fini(&c);
    caller_fini(&reader);
    echo_stop(&e);
}
