/*
 * help: rules, devices and samples for the tests, in few words.
 */
#pragma once

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "rules/engine.h"

#define S   CLOCK_SECOND_US
#define MIN CLOCK_MINUTE_US

/* The device type `motor`: temperature and rpm have units and a baseline of 3, vibration neither,
 * heading a sentinel. */
struct device_type *help_motor(struct intern *metrics);

struct help_env {
    struct intern *metrics;
    struct device_type *type;
    struct rule_env env;
};

void help_env_init(struct help_env *h);
void help_env_fini(struct help_env *h);
/* A document as one writes it with ' for " . */
enum err help_compile(struct help_env *h, const char *document, struct rule **ret_rule,
                      struct rule_error *ret_error);
/* Must compile; aborts with the reason otherwise. */
struct rule *help_rule(struct help_env *h, const char *document);
/* {"name":"r","when":…} */
struct rule *help_when(struct help_env *h, const char *when);
int32_t help_metric(struct help_env *h, const char *name);

/* type NULL: an untyped generic one. Attributes: "key", number, …, NULL. */
struct device *help_device(struct device_type *type, const char *name);
void help_attribute(struct device *d, const char *key, const char *text, double number);
void help_label(struct device *d, const char *key, const char *text);

/* One alert as the events told it; corrections applied. */
struct help_alert {
    int64_t id;
    int32_t rule_id;
    int64_t since_us, fired_us, resolved_us, severity_us;
    enum severity severity, worst;
    double value;
    bool retracted;
};

struct help_run {
    struct engine *engine;
    struct arena arena;
    struct engine_out out;
    int64_t next_id;
    int64_t seq;
    struct help_alert alerts[4096];
    uint32_t count;
    int corrected, retracted;
    char summary[256];
    char explain[4096];
    char log[4096]; /* "fired resolved …" of every event in order */
};

struct help_run *help_run_new(struct engine *e);
void help_run_free(struct help_run *r); /* and its engine */
/* Takes the events that wait in r->out. */
void help_take(struct help_run *r);
/* One metric. */
enum engine_verdict help_feed(struct help_run *r, int64_t ts_us, int32_t metric, double v);
enum engine_verdict help_feed_sample(struct help_run *r, struct sample *s);
/* Time passes without a sample. */
void help_advance(struct help_run *r, int64_t ts_us);
/* The alerts that were not retracted, sorted by rule and time, as text: rule since fired resolved
 * value, and of those whose severity changed what it is, since when, and the worst. */
char *help_history(struct help_run *r);

/* A small generator, so that a failing run can be repeated. */
struct help_random {
    uint64_t state;
};
uint32_t help_random(struct help_random *r, uint32_t below);

/* One reading for help_value(); NaN: none at this time, but the rule is asked. */
struct help_point {
    double s; /* seconds */
    double v;
};
/* What the expression is when the last of the points of metric x has come. Of a condition 1 or 0.
 * NaN: absent. x is a metric of type `gauge`, with this modulus. */
double help_value(const char *expr, double modulus, const struct help_point *points, size_t count);
