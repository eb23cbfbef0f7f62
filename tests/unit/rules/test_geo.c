#include <string.h>

#include <criterion/criterion.h>

#include "geo/fence.h"
#include "help.h"
#include "rules/inside.h"

enum { FENCES = 4, WALK = 900 };

#define DEGREE_M 111195.08023353292 /* of a meridian */

struct world {
    struct help_env h; /* first: the rule's environment gets its address */
    struct fence *fences[FENCES];
    uint32_t count;
    int32_t latitude, longitude, speed;
    struct device *d;
};

static struct fence *find_fence(void *arg, struct view name)
{
    struct world *w = arg;
    for (uint32_t i = 0; i < w->count; i++) {
        if (view_eq_str(name, fence_name(w->fences[i]))) {
            fence_hold(w->fences[i]);
            return w->fences[i];
        }
    }
    return NULL;
}

static struct fence *make_fence(int32_t id, const char *text)
{
    struct fence *f = NULL;
    struct fence_error why = {.pointer = ""};
    cr_assert_eq(fence_new(id, view_str(text), &f, &why), ERR_OK, "%s", why.detail);
    return f;
}

/* Circles at the equator and 0, 300, 600 m north of it; a port. */
static void world_init(struct world *w)
{
    *w = (struct world){.count = 0};
    help_env_init(&w->h);
    w->h.env.find_fence = find_fence;
    w->speed = help_metric(&w->h, "speed");
    w->latitude = help_metric(&w->h, "latitude");
    w->longitude = help_metric(&w->h, "longitude");
    for (; w->count < 3; w->count++) {
        char text[200];
        (void)snprintf(
            text, sizeof(text),
            "{\"name\":\"c%u\",\"kind\":\"circle\",\"center\":[0,%.17g],\"radius_m\":100,"
            "\"exit_radius_m\":180}",
            w->count, w->count * 300 / DEGREE_M);
        w->fences[w->count] = make_fence(50 - (int32_t)w->count, text);
    }
    w->fences[w->count++] =
        make_fence(60, "{\"name\":\"port\",\"kind\":\"polygon\",\"bbox\":[-0.01,0.004,0.01,0.006],"
                       "\"exit_margin_m\":50}");
    w->d = help_device(NULL, "d");
}

static void world_fini(struct world *w)
{
    for (uint32_t i = 0; i < w->count; i++) {
        fence_drop(w->fences[i]);
    }
    device_drop(w->d);
    help_env_fini(&w->h);
}

static struct help_run *run_of(struct world *w, const char *const *documents, uint32_t count,
                               int64_t lateness_us)
{
    struct engine_rule rules[8];
    for (uint32_t i = 0; i < count; i++) {
        rules[i] = (struct engine_rule){(int32_t)i + 1, 1, help_rule(&w->h, documents[i])};
    }
    struct help_run *run = help_run_new(engine_new(w->d, rules, count, lateness_us, CLOCK_NONE));
    for (uint32_t i = 0; i < count; i++) {
        rule_drop(rules[i].rule);
    }
    return run;
}

static struct help_run *run_one(struct world *w, const char *document)
{
    return run_of(w, &document, 1, 0);
}

static enum engine_verdict at_degrees(struct world *w, struct help_run *run, int64_t ts_us,
                                      double longitude, double latitude)
{
    struct sample_value values[] = {
        {.metric = w->latitude, .kind = VALUE_NUMBER, .number = latitude},
        {.metric = w->longitude, .kind = VALUE_NUMBER, .number = longitude}};
    struct sample s = {.ts_us = ts_us, .count = 2, .values = values};
    return help_feed_sample(run, &s);
}

/* So many metres north of the equator. */
static void at(struct world *w, struct help_run *run, int64_t ts_us, double metres)
{
    cr_assert_eq(at_degrees(w, run, ts_us, 0, metres / DEGREE_M), ENGINE_NEW);
}

static void expect_history(struct help_run *run, const char *want, const char *why)
{
    char *got = help_history(run);
    cr_expect_str_eq(got, want, "%s:\n%s", why, got);
    free(got);
}

Test(geo, who_is_inside_leaves_by_another_edge)
{
    struct world w;
    world_init(&w);
    struct help_run *run = run_one(&w, "{'name':'r','when':'inside(\\'c0\\')'}");
    static const double metres[] = {150, 101, 99.9, 101, 179.9, 150, 180.1, 150, 101, 99.9};
    for (int i = 0; i < 10; i++) {
        at(&w, run, (1000 + i) * S, metres[i]);
    }
    expect_history(run,
                   "1 1002000000 1002000000 1006000000 nan\n"
                   "1 1009000000 1009000000 -1 nan\n",
                   "in at 100 m, out beyond 180 m");
    cr_expect_not_null(strstr(run->explain, "\"latitude\":{\"value\":0.00089"), "%s", run->explain);
    cr_expect_not_null(strstr(run->explain, "\"inside(\\\"c0\\\")\":{\"value\":1}"), "%s",
                       run->explain);
    help_run_free(run);
    world_fini(&w);
}

Test(geo, dwell_is_for)
{
    struct world w;
    world_init(&w);
    struct help_run *run = run_one(&w, "{'name':'r','when':'inside(\\'c0\\')','for':'180s'}");
    for (int i = 0; i <= 200; i += 10) {
        at(&w, run, (1000 + i) * S, i % 20 == 0 ? 20 : 150); /* jitter between the two edges */
    }
    at(&w, run, 1210 * S, 300);
    at(&w, run, 1220 * S, 20);
    at(&w, run, 1390 * S, 300);
    expect_history(run, "1 1000000000 1180000000 1210000000 nan\n", "the second stay is too short");
    help_run_free(run);
    world_fini(&w);
}

Test(geo, a_position_is_two_metrics_of_one_instant)
{
    struct world w;
    world_init(&w);
    struct help_run *run = run_one(&w, "{'name':'r','when':'inside(\\'c0\\')'}");
    (void)help_feed(run, 1000 * S, w.latitude, 0);
    (void)help_feed(run, 1001 * S, w.longitude, 0);
    expect_history(run, "", "a second apart is no position");
    (void)help_feed(run, 1002 * S, w.longitude, 0);
    (void)help_feed(run, 1002 * S, w.latitude, 0);
    expect_history(run, "1 1002000000 1002000000 -1 nan\n", "two samples of one instant are");
    (void)help_feed(run, 1003 * S, w.latitude, 45);
    expect_history(run, "1 1002000000 1002000000 -1 nan\n", "half a position moves nobody");
    (void)at_degrees(&w, run, 1004 * S, 181, 91);
    expect_history(run, "1 1002000000 1002000000 -1 nan\n", "\"not available\" moves nobody");
    at(&w, run, 1005 * S, 500);
    expect_history(run, "1 1002000000 1002000000 1005000000 nan\n", "a whole one does");
    help_run_free(run);
    world_fini(&w);
}

Test(geo, a_position_counts_for_five_minutes)
{
    struct world w;
    world_init(&w);
    struct help_run *run = run_one(&w, "{'name':'r','when':'inside(\\'c0\\') and speed < 1'}");
    at(&w, run, 1000 * S, 0);
    (void)help_feed(run, 1300 * S, w.speed, 0);
    expect_history(run, "1 1300000000 1300000000 -1 0x0p+0\n", "five minutes old");
    (void)help_feed(run, 1301 * S, w.speed, 0);
    expect_history(run, "1 1300000000 1300000000 1301000000 0x0p+0\n", "older");
    at(&w, run, 1310 * S, 170);
    expect_history(run,
                   "1 1300000000 1300000000 1301000000 0x0p+0\n"
                   "1 1310000000 1310000000 -1 0x0p+0\n",
                   "it never left, says the next position");
    help_run_free(run);
    world_fini(&w);
}

Test(geo, the_distance_is_a_number_of_metres_and_0_inside)
{
    struct world w;
    world_init(&w);
    struct help_run *run = run_one(
        &w,
        "{'name':'r','when':'distance_to(\\'c0\\') <= 250','clear':'distance_to(\\'c0\\') > 300'}");
    at(&w, run, 1000 * S, 360);
    at(&w, run, 1001 * S, 349);
    cr_assert_eq(run->count, 1);
    cr_expect(fabs(run->alerts[0].value - 249) < 1e-6, "%.9g", run->alerts[0].value);
    at(&w, run, 1002 * S, 401);
    at(&w, run, 1003 * S, 20);
    cr_assert_eq(run->count, 2);
    cr_expect_eq(run->alerts[1].value, 0);
    cr_expect_eq(run->alerts[0].resolved_us, 1002 * S);
    help_run_free(run);
    world_fini(&w);
}

Test(geo, what_a_rule_may_not_say_is_explained)
{
    static const struct {
        const char *document;
        enum err code;
        int column;
        const char *words;
    } cases[] = {
        {"{'name':'r','when':'inside(\\'yard\\')'}", ERR_UNKNOWN_NAME, 1, "no geofence \"yard\""},
        {"{'name':'r','when':'1 > 0 and distance_to(\\'yard\\') < 3'}", ERR_UNKNOWN_NAME, 11,
         "no geofence \"yard\""},
        {"{'name':'r','when':'inside(c0)'}", ERR_SYNTAX, 8, "quotes"},
        {"{'name':'r','when':'inside()'}", ERR_SYNTAX, 8, "quotes"},
        {"{'name':'r','when':'inside(\\'c0\\') > 0'}", ERR_TYPE, 14, "condition"},
        {"{'name':'r','when':'distance_to(\\'c0\\')'}", ERR_TYPE, 1, "condition"},
        {"{'name':'r','select':'type=motor','when':'inside(\\'c0\\')'}", ERR_UNKNOWN_NAME, 1,
         "has no metric \"latitude\""},
    };
    struct world w;
    world_init(&w);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rule *r = NULL;
        struct rule_error e = {.detail = ""};
        cr_expect_eq(help_compile(&w.h, cases[i].document, &r, &e), cases[i].code, "%s: %s",
                     cases[i].document, e.detail);
        cr_expect_eq(e.column, cases[i].column, "%s: %d", cases[i].document, e.column);
        cr_expect_not_null(strstr(e.detail, cases[i].words), "%s", e.detail);
    }
    world_fini(&w);
}

Test(geo, a_rule_tells_which_fences_it_names_once_each)
{
    struct world w;
    world_init(&w);
    struct rule *r =
        help_rule(&w.h, "{'name':'r','when':'inside(\\'c1\\') and distance_to(\\'c0\\') "
                        "> 5','clear':'distance_to(\\'c1\\') > 9'}");
    cr_expect_eq(rule_fence(r, 0), w.fences[1]);
    cr_expect_eq(rule_fence(r, 1), w.fences[0]);
    cr_expect_null(rule_fence(r, 2));
    rule_drop(r);
    world_fini(&w);
}

/* ---- the fold: in any order, over a restart ----------------------------------------------------
 */

static const char *const documents[] = {
    "{'name':'a','when':'inside(\\'c0\\')','lateness':'60s'}",
    "{'name':'b','when':'inside(\\'c1\\')','lateness':'60s'}",
    "{'name':'c','when':'inside(\\'c2\\')','lateness':'60s'}",
    "{'name':'d','when':'inside(\\'port\\')','lateness':'60s'}",
    "{'name':'e','when':'inside(\\'c1\\')','for':'20s','lateness':'60s'}",
    "{'name':'f','when':'inside(\\'c0\\') or inside(\\'c2\\')','lateness':'60s'}",
};
enum { RULES = 6 };

struct fix {
    int64_t ts_us, arrives_us;
    double metres;
};

static void walk_make(struct fix *fixes, struct help_random *random, int64_t jitter_us)
{
    double metres = 0.5; /* never just at an edge */
    for (int i = 0; i < WALK; i++) {
        metres += (double)help_random(random, 121) - 60;
        metres = metres < -300 ? -299.5 : metres > 900 ? 899.5 : metres;
        fixes[i] = (struct fix){.ts_us = (1000 + 2 * i) * S, .metres = metres};
        fixes[i].arrives_us = fixes[i].ts_us + help_random(random, (uint32_t)jitter_us + 1);
    }
}

static int by_arrival(const void *a, const void *b)
{
    const struct fix *x = a;
    const struct fix *y = b;
    return (x->arrives_us > y->arrives_us) - (x->arrives_us < y->arrives_us);
}

static int by_ts(const void *a, const void *b)
{
    const struct fix *x = a;
    const struct fix *y = b;
    return (x->ts_us > y->ts_us) - (x->ts_us < y->ts_us);
}

/* Enters and exits, written down from the definition: no engine, no fence. */
static char *oracle(const struct fix *sorted)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    for (int circle = 0; circle < 3; circle++) {
        int64_t since_us = -1;
        for (int i = 0; i < WALK; i++) {
            double m = fabs(sorted[i].metres - circle * 300);
            if (since_us < 0 && m <= 100) {
                since_us = sorted[i].ts_us;
            } else if (since_us >= 0 && m > 180) {
                buf_printf(&b, "%d %lld %lld %lld nan\n", circle + 1, (long long)since_us,
                           (long long)since_us, (long long)sorted[i].ts_us);
                since_us = -1;
            }
        }
        if (since_us >= 0) {
            buf_printf(&b, "%d %lld %lld -1 nan\n", circle + 1, (long long)since_us,
                       (long long)since_us);
        }
    }
    return buf_take_str(&b);
}

static bool same_places(const struct engine *a, const struct engine *b)
{
    return a->fence_count == b->fence_count && a->now->place.us == b->now->place.us &&
           memcmp(&a->now->place, &b->now->place, sizeof(a->now->place)) == 0 &&
           memcmp(a->now->fences, b->now->fences,
                  a->fence_count * sizeof(struct engine_fence_state)) == 0;
}

static void feed_all(struct world *w, struct help_run *run, const struct fix *fixes, int from,
                     int to)
{
    for (int i = from; i < to; i++) {
        run->seq = i;
        at(w, run, fixes[i].ts_us, fixes[i].metres);
    }
}

Test(geo, any_order_within_the_lateness_gives_the_alerts_of_the_sorted_positions, .timeout = 60)
{
    struct world w;
    world_init(&w);
    static struct fix fixes[WALK];
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct help_random random = {.state = seed * 7919};
        walk_make(fixes, &random, 55 * S);
        struct help_run *sorted = run_of(&w, documents, RULES, 60 * S);
        feed_all(&w, sorted, fixes, 0, WALK);
        char *want = help_history(sorted);
        char *defined = oracle(fixes);
        cr_assert_eq(strncmp(want, defined, strlen(defined)), 0, "seed %llu:\n%s---\n%s",
                     (unsigned long long)seed, want, defined);
        cr_assert_gt(strlen(defined), 200, "the walk goes in and out");
        qsort(fixes, WALK, sizeof(fixes[0]), by_arrival);
        struct help_run *shuffled = run_of(&w, documents, RULES, 60 * S);
        feed_all(&w, shuffled, fixes, 0, WALK);
        char *got = help_history(shuffled);
        cr_assert_str_eq(got, want, "seed %llu", (unsigned long long)seed);
        cr_assert(same_places(sorted->engine, shuffled->engine));
        cr_assert_gt(shuffled->corrected + shuffled->retracted, 0, "it did roll back");
        free(got);
        free(defined);
        free(want);
        help_run_free(sorted);
        help_run_free(shuffled);
    }
    world_fini(&w);
}

/* Saves at one position, dies at a later one; the next server restores and replays. */
static void restart(struct world *w, struct fix *fixes, int save_at, int die_at)
{
    struct help_run *first = run_of(w, documents, RULES, 60 * S);
    struct buf state;
    buf_init(&state, 1 << 20);
    feed_all(w, first, fixes, 0, save_at);
    engine_save(first->engine, &state);
    feed_all(w, first, fixes, save_at, die_at);
    struct help_run *second = run_of(w, documents, RULES, 60 * S);
    cr_assert_eq(engine_restore(second->engine, buf_view(&state)), ERR_OK);
    memcpy(second->alerts, first->alerts, sizeof(second->alerts));
    second->count = first->count;
    second->next_id = first->next_id;
    for (uint32_t i = 0; i < first->count; i++) {
        const struct help_alert *a = &first->alerts[i];
        struct engine_event ev = {.rule_id = a->rule_id,
                                  .alert_id = a->id,
                                  .since_us = a->since_us,
                                  .fired_at_us = a->fired_us,
                                  .resolved_at_us = a->resolved_us,
                                  .value = a->value};
        cr_assert(a->retracted || engine_restore_alert(second->engine, &ev) == ERR_OK);
    }
    static struct fix stored[WALK];
    memcpy(stored, fixes, sizeof(stored));
    qsort(stored, (size_t)die_at, sizeof(stored[0]), by_ts);
    int64_t from_us = engine_history_from(second->engine);
    for (int i = 0; i < die_at; i++) {
        struct sample_value values[] = {
            {.metric = w->latitude, .kind = VALUE_NUMBER, .number = stored[i].metres / DEGREE_M},
            {.metric = w->longitude, .kind = VALUE_NUMBER, .number = 0}};
        struct sample s = {.ts_us = stored[i].ts_us, .count = 2, .values = values};
        if (from_us != CLOCK_NONE && s.ts_us >= from_us) {
            cr_assert_eq(engine_replay(second->engine, &s, i, &second->out), ERR_OK);
        }
    }
    engine_replay_end(second->engine, &second->out);
    help_take(second);
    cr_assert_str_eq(second->log, "", "nothing new: %s", second->log);
    cr_assert(same_places(first->engine, second->engine), "saved %d, died %d", save_at, die_at);
    feed_all(w, first, fixes, die_at, WALK);
    feed_all(w, second, fixes, die_at, WALK);
    char *want = help_history(first);
    char *got = help_history(second);
    cr_assert_str_eq(got, want, "saved %d, died %d", save_at, die_at);
    free(want);
    free(got);
    buf_fini(&state);
    help_run_free(first);
    help_run_free(second);
}

Test(geo, who_is_inside_is_known_after_a_restart, .timeout = 60)
{
    struct world w;
    world_init(&w);
    static struct fix fixes[WALK];
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct help_random random = {.state = seed * 104729};
        walk_make(fixes, &random, seed % 3 == 0 ? 0 : 55 * S);
        qsort(fixes, WALK, sizeof(fixes[0]), by_arrival);
        int save_at = (int)help_random(&random, WALK);
        restart(&w, fixes, save_at,
                save_at + (int)help_random(&random, (uint32_t)(WALK - save_at)));
    }
    world_fini(&w);
}

Test(geo, a_fence_that_changed_keeps_who_was_inside_until_it_lets_go)
{
    struct world w;
    world_init(&w);
    const char *document = "{'name':'r','when':'inside(\\'c0\\')','lateness':'1s'}";
    struct help_run *first = run_one(&w, document);
    for (int i = 0; i < 100; i++) {
        at(&w, first, (1000 + i) * S, i == 0 ? 0 : 150);
    }
    struct buf state;
    buf_init(&state, 1 << 20);
    engine_save(first->engine, &state);
    fence_drop(w.fences[0]);
    w.fences[0] = make_fence(50, "{\"name\":\"c0\",\"kind\":\"circle\",\"center\":[0,0],"
                                 "\"radius_m\":10,\"exit_radius_m\":160}");
    struct help_run *second = run_one(&w, document);
    cr_assert_eq(engine_restore(second->engine, buf_view(&state)), ERR_OK);
    memcpy(second->alerts, first->alerts, sizeof(second->alerts)); /* its alert is still open */
    second->count = first->count;
    engine_replay_end(second->engine, &second->out);
    cr_expect_eq(second->engine->now->fences[0].inside, 1);
    at(&w, second, 1200 * S, 155);
    cr_expect_eq(second->engine->now->fences[0].inside, 1);
    at(&w, second, 1201 * S, 165);
    cr_expect_eq(second->engine->now->fences[0].inside, 0);
    cr_expect_eq(second->alerts[0].resolved_us, 1201 * S);
    at(&w, second, 1202 * S, 15);
    cr_expect_eq(second->engine->now->fences[0].inside, 0, "the new way in");
    buf_fini(&state);
    help_run_free(first);
    help_run_free(second);
    world_fini(&w);
}

Test(geo, every_cut_of_a_saved_place_is_malformed)
{
    struct world w;
    world_init(&w);
    struct help_run *run = run_of(&w, documents, RULES, 0);
    at(&w, run, 1000 * S, 10);
    at(&w, run, 1400 * S, 20);
    at(&w, run, 1800 * S, 20);
    struct buf state;
    buf_init(&state, 1 << 20);
    engine_save(run->engine, &state);
    struct help_run *other = run_of(&w, documents, RULES, 0);
    for (size_t cut = 0; cut < state.len; cut++) {
        cr_assert_eq(engine_restore(other->engine, view_of(state.data, cut)), ERR_MALFORMED);
    }
    cr_assert_eq(engine_restore(other->engine, buf_view(&state)), ERR_OK);
    cr_expect_eq(other->engine->now->place.us, run->engine->snapshots[0]->place.us);
    cr_expect_neq(other->engine->now->place.us, CLOCK_NONE);
    struct buf again;
    buf_init(&again, 1 << 20);
    engine_save(other->engine, &again);
    cr_expect(view_eq(buf_view(&again), buf_view(&state)), "saved again: the same bytes");
    buf_fini(&again);
    buf_fini(&state);
    help_run_free(run);
    help_run_free(other);
    world_fini(&w);
}

Test(geo, an_engine_knows_only_the_fences_that_its_rules_name)
{
    struct world w;
    world_init(&w);
    struct help_run *run =
        run_one(&w, "{'name':'r','when':'inside(\\'c1\\') or inside(\\'c1\\')'}");
    cr_expect_eq(run->engine->fence_count, 1, "of %u", w.count);
    help_run_free(run);
    run = run_one(&w, "{'name':'r','when':'speed > 3'}");
    cr_expect_eq(run->engine->fence_count, 0);
    cr_expect(!engine_wants(run->engine, w.latitude));
    help_run_free(run);
    world_fini(&w);
}
