/*
 * Threads that ask the same polygon and let go of it, as engines of several threads do. Run under
 * ThreadSanitizer; exits 0 when every thread got the answers that arithmetic gives.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

#include "geo/fence.h"

enum { THREADS = 4, QUESTIONS = 20000 };

struct worker {
    pthread_t thread;
    struct fence *fence; /* one hold */
    int start;
    int wrong;
};

/* A square of 2 degrees with a hole of 1: edges belong to it. */
static bool in_square(double x, double y)
{
    bool hole = x > -0.5 && x < 0.5 && y > -0.5 && y < 0.5;
    return x >= -1 && x <= 1 && y >= -1 && y <= 1 && !hole;
}

static void *ask(void *arg)
{
    struct worker *w = arg;
    for (int i = 0; i < QUESTIONS; i++) {
        int n = w->start + i;
        struct geo_point p = {.longitude = n % 41 * 0.0625 - 1.25,
                              .latitude = n / 41 % 41 * 0.0625 - 1.25};
        bool want = in_square(p.longitude, p.latitude);
        bool near_by = fence_distance_m(w->fence, p) == 0;
        w->wrong += fence_inside(w->fence, p, false) != want || near_by != want;
    }
    fence_drop(w->fence);
    return NULL;
}

int main(void)
{
    static const char document[] = "{\"name\":\"p\",\"kind\":\"polygon\",\"coordinates\":[[[-1,-1],"
                                   "[1,-1],[1,1],[-1,1],[-1,-1]],"
                                   "[[-0.5,-0.5],[-0.5,0.5],[0.5,0.5],[0.5,-0.5],[-0.5,-0.5]]]}";
    struct fence *f = NULL;
    struct fence_error why;
    if (fence_new(1, view_str(document), &f, &why) != ERR_OK) {
        (void)fprintf(stderr, "%s\n", why.detail);
        return 1;
    }
    struct worker workers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        fence_hold(f);
        workers[i] = (struct worker){.fence = f, .start = i * 97};
        if (pthread_create(&workers[i].thread, NULL, ask, &workers[i]) != 0) {
            return 1;
        }
    }
    fence_drop(f); /* the last of the others ends it */
    int wrong = 0;
    for (int i = 0; i < THREADS; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        wrong += workers[i].wrong;
    }
    (void)printf("fences: %d threads, %d questions, %d wrong\n", THREADS, THREADS * QUESTIONS,
                 wrong);
    return wrong == 0 ? 0 : 1;
}
