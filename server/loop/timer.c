#include "loop/timer.h"

#include <stdlib.h>

#include <uv.h>

#include "base/check.h"

struct loop_timer {
    uv_timer_t uv;
    loop_turn_fn fn;
    void *arg;
};

static void timer_run(uv_timer_t *uv)
{
    struct loop_timer *t = uv->data;
    t->fn(t->arg);
}

static void timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

struct loop_timer *loop_timer_start(struct loop *l, int64_t period_ms, loop_turn_fn fn, void *arg)
{
    struct loop_timer *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        return NULL;
    }
    t->fn = fn;
    t->arg = arg;
    CHECK(uv_timer_init(loop_uv(l), &t->uv) == 0);
    t->uv.data = t;
    CHECK(uv_timer_start(&t->uv, timer_run, (uint64_t)period_ms, (uint64_t)period_ms) == 0);
    return t;
}

void loop_timer_stop(struct loop_timer *t)
{
    if (t != NULL) {
        uv_close((uv_handle_t *)&t->uv, timer_closed);
    }
}
