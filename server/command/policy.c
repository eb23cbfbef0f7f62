#include "command/policy.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/list.h"
#include "base/map.h"

/* What is known of a method on a target. */
struct entry {
    struct list of_device;
    char *method;
    int64_t last_us;   /* of the newest command; CLOCK_NONE: none */
    int64_t window_us; /* the loop guard's minute began */
    int64_t count;
    int64_t blocked_until_us;
    int64_t waiting_id; /* 0: none waits */
    int64_t waiting_us; /* until then */
    char *held_for[COMMAND_HOLDS_MAX];
    uint32_t held_count;
    int64_t override_until_us;
    char *actor; /* of the override */
};

struct target {
    struct list entries;
};

struct command_policy {
    int64_t per_minute;
    struct map targets; /* int32 -> struct target */
};

struct command_policy *command_policy_new(int64_t per_minute)
{
    struct command_policy *p = calloc(1, sizeof(*p));
    if (p != NULL) {
        p->per_minute = per_minute;
        map_init(&p->targets);
    }
    return p;
}

static void entry_forget_wait(struct entry *e)
{
    for (uint32_t i = 0; i < e->held_count; i++) {
        free(e->held_for[i]);
    }
    e->held_count = 0;
    e->waiting_id = 0;
}

static void entry_free(struct entry *e)
{
    entry_forget_wait(e);
    free(e->actor);
    free(e->method);
    free(e);
}

void command_policy_free(struct command_policy *p)
{
    if (p == NULL) {
        return;
    }
    MAP_FOREACH (at, &p->targets) {
        struct target *t = at->value;
        for (struct list *l = list_pop_front(&t->entries); l != NULL;
             l = list_pop_front(&t->entries)) {
            entry_free(CONTAINER_OF(l, struct entry, of_device));
        }
        free(t);
    }
    map_fini(&p->targets);
    free(p);
}

static struct target *find_target(struct command_policy *p, int32_t device_id, bool create)
{
    struct view key = view_of(&device_id, sizeof(device_id));
    struct target *t = map_get(&p->targets, key);
    if (t != NULL || !create) {
        return t;
    }
    void *old = NULL;
    t = calloc(1, sizeof(*t));
    if (t == NULL || map_put(&p->targets, key, t, &old) != ERR_OK) {
        free(t);
        return NULL;
    }
    list_init(&t->entries);
    return t;
}

static struct entry *find_entry(struct target *t, const char *method, bool create)
{
    LIST_FOREACH (at, &t->entries) {
        struct entry *e = CONTAINER_OF(at, struct entry, of_device);
        if (strcmp(e->method, method) == 0) {
            return e;
        }
    }
    struct entry *e = create ? calloc(1, sizeof(*e)) : NULL;
    if (e == NULL) {
        return NULL;
    }
    *e = (struct entry){.method = strdup(method),
                        .last_us = CLOCK_NONE,
                        .window_us = CLOCK_NONE,
                        .blocked_until_us = CLOCK_NONE,
                        .override_until_us = CLOCK_NONE};
    if (e->method == NULL) {
        free(e);
        return NULL;
    }
    list_push_back(&t->entries, &e->of_device);
    return e;
}

/* A command that waited and whose time has come is the newest one of its method. */
static int64_t last_of(struct entry *e, int64_t now_us)
{
    if (e->waiting_id != 0 && e->waiting_us <= now_us) {
        e->last_us = e->waiting_us;
        entry_forget_wait(e);
    }
    return e->last_us;
}

static void never(struct command_verdict *v, const char *reason)
{
    v->answer = COMMAND_NEVER;
    (void)snprintf(v->reason, sizeof(v->reason), "%s", reason);
}

static bool overridden(struct target *t, const char *method, int64_t now_us,
                       struct command_verdict *v)
{
    const struct entry *e = find_entry(t, method, false);
    if (e == NULL || e->override_until_us == CLOCK_NONE || e->override_until_us <= now_us) {
        return false;
    }
    char left[CLOCK_TEXT_SIZE];
    int64_t s = (e->override_until_us - now_us + CLOCK_SECOND_US - 1) / CLOCK_SECOND_US;
    v->answer = COMMAND_NEVER;
    (void)snprintf(v->reason, sizeof(v->reason), "manual override by %s for another %s", e->actor,
                   clock_format_duration(s * CLOCK_SECOND_US, left));
    return true;
}

/* Counts the wish, whatever becomes of it: rules that undo each other keep wishing. */
static bool guarded(const struct command_policy *p, struct entry *e, int64_t now_us,
                    struct command_verdict *v)
{
    if (p->per_minute == 0) {
        return false;
    }
    if (e->blocked_until_us != CLOCK_NONE && now_us < e->blocked_until_us) {
        never(v, "loop guard: too many commands of this method to this device");
        v->quiet = true;
        v->until_us = e->blocked_until_us;
        return true;
    }
    if (e->window_us == CLOCK_NONE || now_us - e->window_us >= CLOCK_MINUTE_US) {
        e->window_us = now_us;
        e->count = 0;
    }
    if (++e->count <= p->per_minute) {
        return false;
    }
    e->blocked_until_us = now_us + COMMAND_GUARD_PAUSE_US;
    e->window_us = CLOCK_NONE;
    v->tripped = true;
    never(v, "loop guard: too many commands of this method to this device");
    return true;
}

static void check_holds(struct target *t, const struct command_wish *w, int64_t now_us,
                        struct command_verdict *v)
{
    for (uint32_t i = 0; i < w->hold_count; i++) {
        struct entry *e = find_entry(t, w->holds[i].method, false);
        int64_t last_us = e == NULL ? CLOCK_NONE : last_of(e, now_us);
        if (last_us == CLOCK_NONE || now_us - last_us >= w->holds[i].us) {
            continue;
        }
        int64_t wait_us = last_us + w->holds[i].us - now_us;
        if (wait_us > v->wait_us) {
            char least[CLOCK_TEXT_SIZE];
            v->answer = COMMAND_LATER;
            v->wait_us = wait_us;
            (void)snprintf(v->reason, sizeof(v->reason), "hold: %s after %s",
                           clock_format_duration(w->holds[i].us, least), w->holds[i].method);
        }
    }
}

/* Those that wait for the end of a hold that is over by this wish. */
static void find_replaced(struct target *t, const struct command_wish *w, struct command_verdict *v)
{
    LIST_FOREACH (at, &t->entries) {
        const struct entry *e = CONTAINER_OF(at, struct entry, of_device);
        for (uint32_t i = 0; e->waiting_id != 0 && i < e->held_count; i++) {
            if (strcmp(e->held_for[i], w->method) == 0 && v->replace_count < COMMAND_REPLACES_MAX) {
                v->replaces[v->replace_count++] = e->waiting_id;
                break;
            }
        }
    }
}

enum err command_policy_judge(struct command_policy *p, const struct command_wish *w,
                              int64_t now_us, struct command_verdict *ret_verdict)
{
    struct target *t = find_target(p, w->device_id, true);
    struct entry *e = t == NULL ? NULL : find_entry(t, w->method, true);
    if (e == NULL) {
        return ERR_NOMEM;
    }
    *ret_verdict = (struct command_verdict){.answer = COMMAND_NOW};
    struct command_verdict *v = ret_verdict;
    if (guarded(p, e, now_us, v) || overridden(t, w->method, now_us, v) ||
        overridden(t, "", now_us, v)) {
        return ERR_OK;
    }
    int64_t last_us = last_of(e, now_us);
    if (e->waiting_id != 0) {
        (void)snprintf(v->reason, sizeof(v->reason), "hold: command %lld waits already",
                       (long long)e->waiting_id);
        v->answer = COMMAND_NEVER;
        return ERR_OK;
    }
    if (w->min_interval_us > 0 && last_us != CLOCK_NONE && now_us - last_us < w->min_interval_us) {
        char least[CLOCK_TEXT_SIZE];
        (void)snprintf(v->reason, sizeof(v->reason), "min_interval: within %s after the last one",
                       clock_format_duration(w->min_interval_us, least));
        v->answer = COMMAND_NEVER;
        return ERR_OK;
    }
    check_holds(t, w, now_us, v);
    find_replaced(t, w, v);
    return ERR_OK;
}

void command_policy_taken(struct command_policy *p, const struct command_wish *w, int64_t id,
                          int64_t now_us, int64_t at_us)
{
    struct target *t = find_target(p, w->device_id, true);
    struct entry *e = t == NULL ? NULL : find_entry(t, w->method, true);
    if (e == NULL) {
        return; /* no memory: the next one is not kept from anything */
    }
    if (at_us <= now_us) {
        e->last_us = at_us;
        return;
    }
    entry_forget_wait(e);
    e->waiting_id = id;
    e->waiting_us = at_us;
    for (uint32_t i = 0; i < w->hold_count && i < COMMAND_HOLDS_MAX; i++) {
        char *method = strdup(w->holds[i].method);
        if (method != NULL) {
            e->held_for[e->held_count++] = method;
        }
    }
}

void command_policy_dropped(struct command_policy *p, int32_t device_id, int64_t id)
{
    struct target *t = find_target(p, device_id, false);
    if (t == NULL) {
        return;
    }
    LIST_FOREACH (at, &t->entries) {
        struct entry *e = CONTAINER_OF(at, struct entry, of_device);
        if (e->waiting_id == id) {
            entry_forget_wait(e);
        }
    }
}

enum err command_policy_override(struct command_policy *p, int32_t device_id, const char *method,
                                 const char *actor, int64_t until_us)
{
    struct target *t = find_target(p, device_id, true);
    struct entry *e = t == NULL ? NULL : find_entry(t, method, true);
    char *copy = strdup(actor);
    if (e == NULL || copy == NULL) {
        free(copy);
        return ERR_NOMEM;
    }
    free(e->actor);
    e->actor = copy;
    e->override_until_us = until_us;
    return ERR_OK;
}
