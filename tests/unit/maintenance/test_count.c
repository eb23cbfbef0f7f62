#include <math.h>

#include "help.h"

struct step {
    int64_t at_us;
    double value;
};

static struct maintenance_count count(const struct maintenance_plan *p, int64_t since_us,
                                      const struct step *steps, size_t n)
{
    struct maintenance_count c = maintenance_count_init();
    for (size_t i = 0; i < n; i++) {
        struct maintenance_value v = {.number = steps[i].value};
        maintenance_count_take(&c, &p->triggers[0], p->max_gap_us, since_us, steps[i].at_us, &v);
    }
    return c;
}

Test(count, hours_and_cycles_and_registers)
{
#define RUN    "'max_gap':'1h','triggers':[{'run_hours':{'metric':'rpm','threshold':100,'every':2}}]"
#define CYCLES "'triggers':[{'cycles':{'metric':'on','every':3}}]"
#define KWH    "'triggers':[{'energy':{'metric':'kwh','every':10}}]"
#define WRAPS  "'triggers':[{'energy':{'metric':'kwh','every':10,'modulus':100}}]"
    static const struct {
        const char *why, *plan;
        int64_t since_us;
        struct step steps[8];
        size_t n;
        double value;
        int64_t reached_us; /* CLOCK_NONE: not */
    } cases[] = {
        {"nothing", RUN, 0, {{0}}, 0, 0, CLOCK_NONE},
        {"one sample is no interval", RUN, 0, {{0, 500}}, 1, 0, CLOCK_NONE},
        {"the earlier sample decides",
         RUN,
         0,
         {{0, 500}, {30 * MIN, 0}, {90 * MIN, 0}},
         3,
         0.5,
         CLOCK_NONE},
        {"at the limit it does not run", RUN, 0, {{0, 100}, {30 * MIN, 100}}, 2, 0, CLOCK_NONE},
        {"a gap counts as much as max_gap",
         RUN,
         0,
         {{0, 500}, {9 * H, 500}, {10 * H, 0}},
         3,
         2.0,
         10 * H},
        {"standing still through a gap", RUN, 0, {{0, 0}, {9 * H, 500}}, 2, 0, CLOCK_NONE},
        {"the moment is known though no sample has it",
         RUN,
         0,
         {{0, 500}, {50 * MIN, 500}, {100 * MIN, 500}, {150 * MIN, 500}},
         4,
         2.5,
         2 * H},
        {"what ran before counts from since on",
         RUN,
         20 * MIN,
         {{0, 500}, {50 * MIN, 0}},
         2,
         0.5,
         CLOCK_NONE},
        {"an older sample is passed over",
         RUN,
         0,
         {{H, 500}, {0, 0}, {2 * H, 0}},
         3,
         1.0,
         CLOCK_NONE},
        {"NaN says nothing",
         RUN,
         0,
         {{0, 500}, {30 * MIN, (double)NAN}, {H, 0}},
         3,
         1.0,
         CLOCK_NONE},
        {"cycles are rising edges",
         CYCLES,
         0,
         {{0, 0}, {MIN, 1}, {2 * MIN, 1}, {3 * MIN, 0}, {4 * MIN, 2}},
         5,
         2,
         CLOCK_NONE},
        {"the first sample is no edge", CYCLES, 0, {{0, 1}, {MIN, 0}}, 2, 0, CLOCK_NONE},
        {"an edge in a gap is one", CYCLES, 0, {{0, 0}, {30 * H, 1}}, 2, 1, CLOCK_NONE},
        {"edges before since are of the service before",
         CYCLES,
         2 * MIN,
         {{0, 0}, {MIN, 1}, {2 * MIN, 0}, {3 * MIN, 1}},
         4,
         1,
         CLOCK_NONE},
        {"the third", CYCLES, 0, {{0, 0}, {1, 1}, {2, 0}, {3, 1}, {4, 0}, {5, 1}}, 6, 3, 5},
        {"a register grows", KWH, 0, {{0, 7}, {H, 9.5}, {2 * H, 12}}, 3, 5, CLOCK_NONE},
        {"it began anew", KWH, 0, {{0, 7}, {H, 9}, {2 * H, 1.5}}, 3, 3.5, CLOCK_NONE},
        {"it wraps", WRAPS, 0, {{0, 97}, {H, 99}, {2 * H, 1.5}}, 3, 4.5, CLOCK_NONE},
        {"seen with the sample", KWH, 0, {{0, 0}, {H, 9}, {2 * H, 30}, {3 * H, 31}}, 4, 31, 2 * H},
        {"the part since is not known", KWH, MIN, {{0, 1}, {H, 5}}, 2, 4, CLOCK_NONE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct maintenance_plan *p = help_plan(cases[i].plan);
        struct maintenance_count c = count(p, cases[i].since_us, cases[i].steps, cases[i].n);
        cr_expect_eq(maintenance_count_value(&c, &p->triggers[0]), cases[i].value, "%s: %.17g",
                     cases[i].why, maintenance_count_value(&c, &p->triggers[0]));
        cr_expect_eq(c.reached_us, cases[i].reached_us, "%s: %lld", cases[i].why,
                     (long long)c.reached_us);
        maintenance_plan_free(p);
    }
}

Test(count, texts_and_their_opposite)
{
    static const struct {
        const char *when;
        double number;
        const char *text; /* NULL: a number */
        bool holds;
    } cases[] = {
        {"== running", 0, "running", true},
        {"== running", 0, "Running", false},
        {"== running", 1, NULL, false},
        {"!= idle", 0, "running", true},
        {"!= idle", 0, "idle", false},
        {"== true", 1, NULL, true},
        {"== true", 0, NULL, false},
        {"> 5", 5.1, NULL, true},
        {">= 5", 5, NULL, true},
        {"< 5", 5, NULL, false},
        {"<= 5", 5, NULL, true},
        {"> 5", 0, "running", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char fields[200];
        (void)snprintf(fields, sizeof(fields),
                       "'triggers':[{'run_hours':{'metric':'s','when':'%s','every':1}}]",
                       cases[i].when);
        struct maintenance_plan *p = help_plan(fields);
        struct maintenance_value v = {.number = cases[i].number};
        if (cases[i].text != NULL) {
            v = (struct maintenance_value){.number = (double)NAN, .text = view_str(cases[i].text)};
        }
        cr_expect_eq(maintenance_holds(&p->triggers[0], &v), cases[i].holds, "%s %g %s",
                     cases[i].when, cases[i].number, cases[i].text);
        maintenance_plan_free(p);
    }
}

/* Stopped at every sample, stored as text, taken up again: the same bits. Two services in a row add
 * up to one. */
Test(count, a_fold_may_be_stopped_and_divided)
{
    static const char *const plans[] = {
        "'max_gap':'10m','triggers':[{'run_hours':{'metric':'x','threshold':0.5,'every':3}}]",
        "'triggers':[{'cycles':{'metric':'x','threshold':0.5,'every':3}}]",
        "'triggers':[{'energy':{'metric':'x','every':3,'modulus':1}}]",
    };
    enum { N = 300 };
    uint64_t state = 42;
    for (size_t k = 0; k < sizeof(plans) / sizeof(plans[0]); k++) {
        struct maintenance_plan *p = help_plan(plans[k]);
        struct step steps[N];
        int64_t at_us = 0;
        for (int i = 0; i < N; i++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            at_us += (int64_t)(state >> 33) % (20 * MIN);
            steps[i] = (struct step){at_us, (double)(state >> 40) / (double)(1 << 24)};
        }
        struct maintenance_count whole = count(p, 0, steps, N);
        for (int cut = 0; cut < N; cut += 7) {
            struct maintenance_count c = count(p, 0, steps, (size_t)cut);
            char text[64];
            (void)snprintf(text, sizeof(text), "%.17g", c.total);
            c.total = strtod(text, NULL);
            for (int i = cut; i < N; i++) {
                struct maintenance_value v = {.number = steps[i].value};
                maintenance_count_take(&c, &p->triggers[0], p->max_gap_us, 0, steps[i].at_us, &v);
            }
            cr_expect_eq(c.total, whole.total, "cut at %d", cut);
            cr_expect_eq(c.reached_us, whole.reached_us, "cut at %d", cut);
            int64_t service_us = steps[cut].at_us + (int64_t)(state % MIN);
            size_t before = (size_t)cut;
            while (before < N && steps[before].at_us < service_us) {
                before++;
            }
            struct step first[N + 1];
            memcpy(first, steps, sizeof(steps));
            struct maintenance_count one = count(p, 0, first, before);
            struct maintenance_count two = count(p, service_us, steps, N);
            if (p->triggers[0].kind == MAINTENANCE_RUN_HOURS && before > 0 && before < N &&
                one.prev != 0.0) {
                /* The interval that the service divides: its first part. */
                int64_t part_us = service_us - one.prev_us;
                int64_t most_us = steps[before].at_us - one.prev_us;
                most_us = most_us < p->max_gap_us ? most_us : p->max_gap_us;
                one.total += (double)(part_us < most_us ? part_us : most_us);
            }
            cr_expect_float_eq(one.total + two.total, whole.total, 1e-9 * whole.total,
                               "service in %d: %g + %g, %g", cut, one.total, two.total,
                               whole.total);
        }
        maintenance_plan_free(p);
    }
}
