/*
 * Threads that look up, add and read the same names at once, while the table grows. Run under
 * ThreadSanitizer; exits 0 when every thread saw the same numbers.
 */
#include "base/intern.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 4, NAMES = 20000, READS = 200000 };

struct worker {
    pthread_t thread;
    struct intern *in;
    int start;
    int32_t *ids;
    const char *wrong; /* NULL: all is well */
};

static struct view name_of(int n, char ret_text[static 24])
{
    int len = snprintf(ret_text, 24, "metric %d", n);
    return view_of(ret_text, (size_t)len);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    char text[24];
    for (int i = 0; i < NAMES; i++) {
        int n = (w->start + i) % NAMES;
        struct view name = name_of(n, text);
        int32_t before = intern_find(w->in, name);
        int32_t id = intern_add(w->in, name);
        if (id == 0 || (before != 0 && before != id)) {
            w->wrong = "a name changed its number or got none";
        }
        w->ids[n] = id;
    }
    return NULL;
}

/* Sees only what is complete: a number below the count has a name, and the name has that number. */
static void *read_all(void *arg)
{
    struct worker *w = arg;
    for (int i = 0; i < READS; i++) {
        int32_t count = intern_count(w->in);
        int32_t id = count == 0 ? 0 : i % count + 1;
        struct view name = intern_name(w->in, id);
        if (id != 0 && (name.len == 0 || intern_find(w->in, name) != id)) {
            w->wrong = "a number without its name";
        }
    }
    return NULL;
}

int main(void)
{
    struct worker workers[THREADS + 1] = {0};
    struct intern *in = intern_new(NAMES);
    int status = in == NULL;
    for (int t = 0; t <= THREADS && status == 0; t++) {
        struct worker *w = &workers[t];
        w->in = in;
        w->start = t * (NAMES / THREADS);
        w->ids = calloc(NAMES, sizeof(*w->ids));
        status = w->ids == NULL ||
                 pthread_create(&w->thread, NULL, t < THREADS ? work : read_all, w) != 0;
    }
    if (status != 0) {
        (void)fprintf(stderr, "cannot start\n");
        return 1;
    }
    for (int t = 0; t <= THREADS; t++) {
        (void)pthread_join(workers[t].thread, NULL);
        if (workers[t].wrong != NULL) {
            (void)fprintf(stderr, "thread %d: %s\n", t, workers[t].wrong);
            status = 1;
        }
    }
    for (int n = 0; n < NAMES; n++) {
        for (int t = 1; t < THREADS; t++) {
            status |= workers[t].ids[n] != workers[0].ids[n];
        }
    }
    status |= intern_count(in) != NAMES;
    for (int t = 0; t <= THREADS; t++) {
        free(workers[t].ids);
    }
    intern_free(in);
    (void)printf("intern: %d threads, %d names: %s\n", THREADS, NAMES,
                 status == 0 ? "ok" : "WRONG");
    return status;
}
