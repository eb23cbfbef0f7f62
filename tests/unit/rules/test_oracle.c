/*
 * The engine against a second implementation of the same words: small, slow, one metric, whole
 * series at hand. It follows the reference evaluator of the recorded data sets; only the baseline
 * is stricter: until its readings are there, both conditions are false.
 */
#include <criterion/criterion.h>

#include "help.h"

enum { POINTS_MAX = 2000 };

struct condition {
    const char *op;
    double limit;
    int mode; /* 0 absolute, 1 ratio to the baseline, 2 difference to it */
};

struct oracle {
    struct condition on, off;
    int window_s; /* 0: the reading itself */
    int baseline; /* 0: none */
    int for_s, clear_for_s, max_gap_s;
};

struct point {
    int64_t s;
    double v;
};

static bool holds(const struct condition *c, double v, double base)
{
    double limit = c->mode == 0 ? c->limit : c->mode == 1 ? c->limit * base : base + c->limit;
    if (strcmp(c->op, "<") == 0) {
        return v < limit;
    }
    if (strcmp(c->op, "<=") == 0) {
        return v <= limit;
    }
    return strcmp(c->op, ">") == 0 ? v > limit : v >= limit;
}

/* The mean over (t - w, t], added up from scratch. */
static double mean(const struct point *p, int n, int w)
{
    double sum = 0;
    int count = 0;
    for (int i = 0; i <= n; i++) {
        if (p[i].s > p[n].s - w) {
            sum += p[i].v;
            count++;
        }
    }
    return sum / count;
}

static void put_alert(struct buf *out, const int64_t since_fired[2], double value, int64_t end)
{
    buf_printf(out, "1 %lld %lld %lld %a\n", (long long)(since_fired[0] * S),
               (long long)(since_fired[1] * S), end < 0 ? -1LL : (long long)(end * S), value);
}

static char *evaluate(const struct oracle *o, const struct point *p, int count)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    char state = 'N';
    int64_t t0 = 0;
    int64_t c0 = -1;
    int64_t act[2] = {0, 0};
    double value = 0;
    double base = 0;
    for (int i = 0; i < count; i++) {
        int64_t t = p[i].s;
        double v = o->window_s > 0 ? mean(p, i, o->window_s) : p[i].v;
        if (i < o->baseline) {
            base += p[i].v;
        }
        base = i == o->baseline - 1 ? base / o->baseline : base;
        bool known = i >= o->baseline - 1;
        if (i > 0 && o->max_gap_s > 0 && t - p[i - 1].s > o->max_gap_s) {
            state = state == 'P' ? 'N' : state;
            c0 = -1;
        }
        if (state != 'A') {
            if (known && holds(&o->on, v, base)) {
                t0 = state == 'N' ? t : t0;
                state = 'P';
                if (t - t0 >= o->for_s) {
                    state = 'A';
                    act[0] = t0;
                    act[1] = t;
                    value = v;
                    c0 = -1;
                }
            } else {
                state = 'N';
            }
        }
        if (state == 'A') {
            if (known && holds(&o->off, v, base)) {
                c0 = c0 < 0 ? t : c0;
                if (t - c0 >= o->clear_for_s) {
                    put_alert(&out, act, value, t);
                    state = 'N';
                    c0 = -1;
                }
            } else {
                c0 = -1;
            }
        }
    }
    if (state == 'A') {
        put_alert(&out, act, value, -1);
    }
    buf_put_str(&out, "");
    return buf_take_str(&out);
}

static void random_condition(struct condition *c, struct help_random *r, bool high, int mode)
{
    static const char *const above[] = {">", ">="};
    static const char *const below[] = {"<", "<="};
    c->op = high ? above[help_random(r, 2)] : below[help_random(r, 2)];
    c->mode = mode;
    double quarter = 0.25 * help_random(r, 20);
    c->limit = mode == 0   ? (high ? 52 : 48) + (high ? quarter : -quarter)
               : mode == 1 ? (high ? 1.02 : 0.98) + (high ? 0.01 : -0.01) * help_random(r, 5)
                           : (high ? 1 : -1) * (1 + quarter);
}

static void random_oracle(struct oracle *o, struct help_random *r)
{
    int mode = (int)help_random(r, 3);
    bool high = help_random(r, 2) == 0;
    *o = (struct oracle){.window_s = help_random(r, 2) == 0 ? 0 : 1 + (int)help_random(r, 60),
                         .baseline = mode == 0 ? 0 : 1 + (int)help_random(r, 50),
                         .for_s = (int)help_random(r, 3) * (int)help_random(r, 30),
                         .clear_for_s = (int)help_random(r, 3) * (int)help_random(r, 30),
                         .max_gap_s = (int)help_random(r, 2) * (5 + (int)help_random(r, 60))};
    random_condition(&o->on, r, high, mode);
    random_condition(&o->off, r, help_random(r, 4) == 0 ? high : !high, mode);
}

static void put_condition(struct buf *b, const struct oracle *o, const struct condition *c)
{
    if (o->window_s > 0) {
        buf_printf(b, "avg_over_time(x[%ds]) %s ", o->window_s, c->op);
    } else {
        buf_printf(b, "x %s ", c->op);
    }
    if (c->mode == 0) {
        buf_printf(b, "%.17g", c->limit);
    } else if (c->mode == 1) {
        buf_printf(b, "%.17g * baseline(x)", c->limit);
    } else {
        buf_printf(b, "baseline(x) + %.17g", c->limit);
    }
}

static struct rule *write_rule(struct help_env *h, const struct oracle *o)
{
    struct buf b;
    buf_init(&b, 4096);
    buf_put_str(&b, "{'name':'r','when':'");
    put_condition(&b, o, &o->on);
    buf_put_str(&b, "','clear':'");
    put_condition(&b, o, &o->off);
    buf_printf(&b, "','for':'%ds','clear_for':'%ds'", o->for_s, o->clear_for_s);
    if (o->max_gap_s > 0) {
        buf_printf(&b, ",'max_gap':'%ds'", o->max_gap_s);
    }
    buf_put_str(&b, "}");
    char *document = buf_take_str(&b);
    struct rule *r = help_rule(h, document);
    free(document);
    return r;
}

static int random_points(struct point *p, struct help_random *r)
{
    int count = 50 + (int)help_random(r, 400);
    int64_t s = 1000;
    double v = 50;
    for (int i = 0; i < count; i++) {
        v += 0.25 * ((double)help_random(r, 21) - 10) + (50 - v) / 64;
        v = 0.25 * round(4 * v); /* quarters: both sums are exact */
        p[i] = (struct point){s, v};
        s += help_random(r, 50) == 0 ? 10 + help_random(r, 100) : 1 + help_random(r, 4);
    }
    return count;
}

Test(oracle, random_rules_over_random_series_give_the_same_alerts, .timeout = 60)
{
    struct help_env h;
    help_env_init(&h);
    int32_t x = help_metric(&h, "x");
    uint32_t alerts = 0;
    struct point p[POINTS_MAX];
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        struct help_random random = {.state = seed * 6700417};
        struct oracle o;
        random_oracle(&o, &random);
        int count = random_points(p, &random);
        struct rule *rule = write_rule(&h, &o);
        struct device *d = help_device(NULL, "d");
        d->type->any_metric = true;
        struct metric_spec spec = {
            .metric = x, .name = strdup("x"), .unit = strdup(""), .baseline_samples = o.baseline};
        d->type->metrics = calloc(1, sizeof(spec));
        d->type->metrics[0] = spec;
        d->type->metric_count = 1;
        struct engine_rule er = {.rule_id = 1, .version = 1, .rule = rule};
        struct help_run *run = help_run_new(engine_new(d, &er, 1, 2 * MIN, CLOCK_NONE));
        for (int i = 0; i < count; i++) {
            (void)help_feed(run, p[i].s * S, x, p[i].v);
        }
        char *expected = evaluate(&o, p, count);
        char *got = help_history(run);
        cr_assert_str_eq(got, expected, "seed %llu:\n%s---\n%s", (unsigned long long)seed, got,
                         expected);
        alerts += run->count;
        free(expected);
        free(got);
        help_run_free(run);
        rule_drop(rule);
        device_drop(d);
    }
    cr_expect_gt(alerts, 1000, "%u", alerts);
    help_env_fini(&h);
}
