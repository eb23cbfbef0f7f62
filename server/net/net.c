#include "net/net.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/counter.h"
#include "base/log.h"
#include "net/private.h"

/*
 * One turn of a loop: sockets and mail first, then net_turn(): bytes that were kept are offered
 * again, the owner adds its answers, all output is written; then the loop sleeps.
 */

static void on_awake(uv_idle_t *idle)
{
    (void)idle; /* being active is all it does */
}

static void turn_again(struct net_loop *l)
{
    struct list now;
    list_init(&now);
    for (struct list *at = list_pop_front(&l->again); at != NULL; at = list_pop_front(&l->again)) {
        list_push_back(&now, at);
    }
    for (struct list *at = list_pop_front(&now); at != NULL; at = list_pop_front(&now)) {
        net_conn_run_again(CONTAINER_OF(at, struct net_work, again_link)->conn);
    }
}

static void net_turn(void *arg)
{
    struct net_loop *l = arg;
    l->now_us = clock_mono_us();
    turn_again(l);
    if (l->net->handlers.turn != NULL) {
        l->net->handlers.turn(l->net->handlers.arg, l->index);
    }
    for (struct list *at = list_pop_front(&l->dirty); at != NULL; at = list_pop_front(&l->dirty)) {
        net_conn_flush(CONTAINER_OF(at, struct net_work, dirty_link)->conn);
    }
    if (l->bytes_in > 0) {
        counter_add(COUNTER_BYTES_RECEIVED, l->bytes_in);
        l->bytes_in = 0;
    }
    if (l->bytes_out > 0) {
        counter_add(COUNTER_BYTES_SENT, l->bytes_out);
        l->bytes_out = 0;
    }
    l->shaking_us = 0;
    if (!l->ticking) {
        return; /* the handles are being closed */
    }
    if (list_empty(&l->again)) {
        (void)uv_idle_stop(&l->awake);
    } else {
        (void)uv_idle_start(&l->awake, on_awake);
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct net_loop *l = timer->data;
    l->now_us = clock_mono_us();
    wheel_turn(&l->wheel, l->now_us, net_conn_fire, l);
    net_shed(l);
    net_listener_tick(&l->listener);
    net_listener_tick(&l->open_listener);
    l->net->handlers.tick(l->net->handlers.arg, l->index);
}

static enum err loop_setup(struct net *n, uint32_t index, SSL_CTX *tls)
{
    struct net_loop *l = &n->loops[index];
    char name[16];
    (void)snprintf(name, sizeof(name), "net%u", index);
    *l = (struct net_loop){.net = n, .index = index, .now_us = clock_mono_us()};
    l->listener.fd = -1;
    l->open_listener.fd = -1;
    l->pipe.method = n->bio_method;
    l->bio = net_bio_new(&l->pipe);
    buf_init(&l->sink, 0);
    l->tls = tls;
    buf_init(&l->pipe.out, (size_t)4 * NET_WRITE_CHUNK);
    buf_init(&l->message, NET_READ_BYTES + NET_RECORD_MAX);
    buf_init(&l->frames, (size_t)2 * NET_WRITE_CHUNK);
    list_init(&l->dirty);
    list_init(&l->again);
    wheel_init(&l->wheel, l->now_us);
    l->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    l->cipher = malloc(NET_READ_BYTES);
    l->plain = malloc(NET_READ_BYTES + NET_RECORD_MAX);
    l->loop = loop_new(name);
    if (l->cipher == NULL || l->plain == NULL || l->loop == NULL || l->bio == NULL) {
        return ERR_NOMEM;
    }
    CHECK(uv_timer_init(loop_uv(l->loop), &l->tick) == 0);
    CHECK(uv_idle_init(loop_uv(l->loop), &l->awake) == 0);
    l->tick.data = l;
    l->ticking = true;
    CHECK(uv_timer_start(&l->tick, on_tick, WHEEL_TICK_US / 1000, WHEEL_TICK_US / 1000) == 0);
    loop_on_turn(l->loop, net_turn, l);
    return ERR_OK;
}

static void close_conn(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (handle->type != UV_TCP || uv_is_closing(handle) != 0) {
        return;
    }
    struct net_conn *c = handle->data;
    if (c->state <= CONN_OPEN) {
        net_conn_end(c, NET_CLOSE_STOP, false, NULL);
        return;
    }
    net_conn_destroy(c);
}

/* On the loop's thread, or before and after it runs. */
static void loop_close_handles(struct net_loop *l)
{
    uv_walk(loop_uv(l->loop), close_conn, NULL); /* all TCP handles are connections of ours */
    net_listener_close(&l->listener);
    net_listener_close(&l->open_listener);
    if (l->ticking) {
        l->ticking = false;
        uv_close((uv_handle_t *)&l->tick, NULL);
        uv_close((uv_handle_t *)&l->awake, NULL);
    }
}

static void loop_teardown(struct net_loop *l)
{
    if (l->loop != NULL) {
        loop_close_handles(l);
        loop_free(l->loop);
    }
    SSL_CTX_free(l->tls);
    SSL_CTX_free(l->tls_next);
    net_work_free_all(l);
    (void)BIO_free(l->bio);
    buf_fini(&l->pipe.out);
    buf_fini(&l->message);
    buf_fini(&l->frames);
    free(l->cipher);
    free(l->plain);
    if (l->spare_fd >= 0) {
        (void)close(l->spare_fd);
    }
}

/* conf has checked the list. */
static enum err proxies_of(struct net *n)
{
    struct conf_network one;
    struct view list = view_str(n->conf->proxy_protocol_from);
    while (conf_next_network(&list, &one) == ERR_OK) {
        struct conf_network *all = realloc(n->proxies, (n->proxy_count + 1) * sizeof(*n->proxies));
        if (all == NULL) {
            return ERR_NOMEM;
        }
        n->proxies = all;
        n->proxies[n->proxy_count++] = one;
    }
    return ERR_OK;
}

static enum err net_setup(struct net *n)
{
    bool with_tls = n->conf->device_tls_cert[0] != '\0';
    if (!with_tls && n->conf->open_listener[0] == '\0') {
        LOG(LOG_ERROR, "no_device_listener",
            LOG_S("remedy", "set device_tls_cert and device_tls_key"));
        return ERR_TLS;
    }
    enum err e = net_check_descriptors(n->conf);
    e = e != ERR_OK ? e : proxies_of(n);
    for (uint32_t i = 0; e == ERR_OK && i < (uint32_t)n->conf->net_loops; i++) {
        SSL_CTX *tls = NULL;
        if (with_tls) {
            e = net_tls_new(n->conf, i == 0 ? NULL : n->loops[0].tls, &tls);
        }
        if (e == ERR_OK) {
            n->loop_count++;
            e = loop_setup(n, i, tls);
        }
    }
    return e == ERR_OK ? net_listen(n) : e;
}

enum err net_new(const struct conf *conf, const struct net_handlers *handlers, struct net **ret_net)
{
    struct net *n = calloc(1, sizeof(*n));
    if (n == NULL) {
        return ERR_NOMEM;
    }
    n->conf = conf;
    n->handlers = *handlers;
    n->loops = calloc((size_t)conf->net_loops, sizeof(*n->loops));
    n->bio_method = net_bio_method_new();
    if (conf->connections_per_source_max > 0) {
        n->sources = calloc(NET_SOURCE_SLOTS, sizeof(*n->sources));
    }
    bool complete = n->loops != NULL && n->bio_method != NULL &&
                    (n->sources != NULL || conf->connections_per_source_max == 0);
    enum err e = complete ? net_setup(n) : ERR_NOMEM;
    if (e != ERR_OK) {
        net_free(n);
        return e;
    }
    *ret_net = n;
    return ERR_OK;
}

enum err net_start(struct net *n)
{
    for (uint32_t i = 0; i < n->loop_count; i++) {
        if (loop_start(n->loops[i].loop) != ERR_OK) {
            return ERR_NOMEM;
        }
    }
    n->started = true;
    return ERR_OK;
}

/* Runs `run` on each loop and waits for all of them. Rare: reload and stop. */
static void net_on_loops(struct net *n, mail_fn run)
{
    if (!n->started) {
        return;
    }
    atomic_store(&n->mails_left, n->loop_count);
    for (uint32_t i = 0; i < n->loop_count; i++) {
        n->loops[i].mail.run = run;
        loop_post(n->loops[i].loop, &n->loops[i].mail);
    }
    while (atomic_load(&n->mails_left) > 0) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

static void mail_done(struct net_loop *l)
{
    atomic_fetch_sub(&l->net->mails_left, 1);
}

static void reload_here(struct mail *m)
{
    struct net_loop *l = CONTAINER_OF(m, struct net_loop, mail);
    SSL_CTX_free(l->tls); /* handshakes under way hold it */
    l->tls = l->tls_next;
    l->tls_next = NULL;
    mail_done(l);
}

enum err net_reload(struct net *n)
{
    enum err e = ERR_OK;
    if (n->port == 0) {
        return ERR_OK;
    }
    for (uint32_t i = 0; e == ERR_OK && i < n->loop_count; i++) {
        e = net_tls_new(n->conf, i == 0 ? NULL : n->loops[0].tls_next, &n->loops[i].tls_next);
    }
    if (e != ERR_OK) {
        for (uint32_t i = 0; i < n->loop_count; i++) {
            SSL_CTX_free(n->loops[i].tls_next);
            n->loops[i].tls_next = NULL;
        }
        return e;
    }
    net_on_loops(n, reload_here);
    LOG(LOG_INFO, "certificates_loaded", LOG_S("certificate", n->conf->device_tls_cert));
    return ERR_OK;
}

static void stop_accepting_here(struct mail *m)
{
    struct net_loop *l = CONTAINER_OF(m, struct net_loop, mail);
    net_listener_close(&l->listener);
    net_listener_close(&l->open_listener);
    mail_done(l);
}

void net_stop_accepting(struct net *n)
{
    net_on_loops(n, stop_accepting_here);
}

static void stop_here(struct mail *m)
{
    struct net_loop *l = CONTAINER_OF(m, struct net_loop, mail);
    loop_close_handles(l);
    mail_done(l);
}

void net_stop(struct net *n)
{
    net_on_loops(n, stop_here);
    for (uint32_t i = 0; n->started && i < n->loop_count; i++) {
        loop_stop(n->loops[i].loop);
    }
    for (uint32_t i = 0; n->started && i < n->loop_count; i++) {
        loop_join(n->loops[i].loop);
    }
    n->started = false;
}

void net_free(struct net *n)
{
    if (n == NULL) {
        return;
    }
    CHECK(!n->started);
    for (uint32_t i = 0; i < n->loop_count; i++) {
        loop_teardown(&n->loops[i]);
    }
    BIO_meth_free(n->bio_method);
    free(n->sources);
    free(n->proxies);
    free(n->loops);
    free(n);
}

uint32_t net_loop_count(const struct net *n)
{
    return n->loop_count;
}

struct loop *net_loop(const struct net *n, uint32_t loop)
{
    return n->loops[loop].loop;
}

void net_post(struct net *n, uint32_t loop, struct mail *m)
{
    loop_post(n->loops[loop].loop, m);
}

int net_port(const struct net *n)
{
    return n->port;
}

int net_open_port(const struct net *n)
{
    return n->open_port;
}

int64_t net_open_count(const struct net *n)
{
    return atomic_load(&n->open_count);
}

uint64_t net_close_count(const struct net *n, enum net_close why)
{
    return atomic_load_explicit(&n->closes[why], memory_order_relaxed);
}
