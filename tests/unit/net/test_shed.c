#include "base/counter.h"
#include "echo.h"

enum { HEAVY = 8, HEAVY_BYTES = 200000 };

/* Says the beginning of a line and then nothing more. */
static void caller_begins(struct caller *c, size_t len)
{
    char *part = malloc(len);
    size_t n = 0;
    memset(part, 'x', len);
    cr_assert_eq(SSL_write_ex(c->ssl, part, len, &n), 1);
    free(part);
}

static bool is_closed(struct caller *c)
{
    char byte;
    return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != EAGAIN;
}

/* The gauge is set ten times a second. */
static bool gauge_gets_to(int64_t at_most)
{
    for (int i = 0; i < 1000 && counter_get(COUNTER_BUFFER_BYTES) > at_most; i++) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    return counter_get(COUNTER_BUFFER_BYTES) <= at_most;
}

Test(shed, the_fullest_are_closed_when_all_buffers_are_full, .timeout = 60)
{
    struct echo e;
    echo_init(&e);
    e.conf.buffers_max_bytes = MIB;
    echo_start(&e);
    struct caller light;
    struct caller heavy[HEAVY];
    caller_init(&light, &e, NULL);
    cr_assert(caller_dials(&light, &e, NULL) && caller_says(&light, "ready\n", "ready\n"));
    caller_begins(&light, 2);
    int begun = 0;
    for (; begun < HEAVY && atomic_load(&e.closed) == 0; begun++) {
        caller_init(&heavy[begun], &e, NULL);
        cr_assert(caller_dials(&heavy[begun], &e, NULL));
        cr_assert(caller_says(&heavy[begun], "ready\n", "ready\n"));
        caller_begins(&heavy[begun], HEAVY_BYTES);
        for (int i = 0; i < 60 && atomic_load(&e.closed) == 0; i++) { /* three looks */
            (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        }
    }
    cr_expect(echo_reached(&e.closed, 1));
    cr_expect_gt(begun, 3, "three fit whatever a buffer's spare room is");
    cr_expect_eq(atomic_load(&e.last_close), NET_CLOSE_BUFFERS);
    int closed = 0;
    for (int i = 0; i < begun; i++) {
        closed += is_closed(&heavy[i]) ? 1 : 0;
    }
    cr_expect(closed > 0 && closed < begun, "%d of %d were closed", closed, begun);
    cr_expect_eq((int64_t)net_close_count(e.net, NET_CLOSE_BUFFERS), closed);
    cr_expect_eq(counter_get(COUNTER_CONNECTIONS_SHED), closed);
    cr_expect(gauge_gets_to(MIB / 8 * 7), "an eighth is free");
    cr_expect(caller_says(&light, "\n", "xx\n"), "who has little is not meant");
    struct caller late;
    caller_init(&late, &e, NULL);
    cr_expect(caller_dials(&late, &e, NULL) && caller_says(&late, "x\n", "x\n"),
              "there is room for others again");
    for (int i = 0; i < begun; i++) {
        caller_fini(&heavy[i]);
    }
    caller_fini(&late);
    caller_fini(&light);
    echo_stop(&e);
}

Test(shed, what_was_dealt_with_does_not_count, .timeout = 60)
{
    struct echo e;
    echo_init(&e);
    e.conf.buffers_max_bytes = MIB;
    echo_start(&e);
    struct caller c;
    caller_init(&c, &e, NULL);
    cr_assert(caller_dials(&c, &e, NULL) && caller_says(&c, "ready\n", "ready\n"));
    char *got = malloc(HEAVY_BYTES);
    for (int i = 0; i < 20; i++) { /* four times what there is room for */
        size_t at = 0;
        size_t n = 0;
        caller_begins(&c, HEAVY_BYTES - 1);
        cr_assert_eq(SSL_write_ex(c.ssl, "\n", 1, &n), 1);
        while (at < HEAVY_BYTES && SSL_read_ex(c.ssl, got + at, HEAVY_BYTES - at, &n) == 1) {
            at += n;
        }
        cr_assert_eq(at, HEAVY_BYTES);
    }
    free(got);
    cr_expect(gauge_gets_to(0));
    cr_expect_eq(atomic_load(&e.closed), 0);
    caller_fini(&c);
    echo_stop(&e);
}
