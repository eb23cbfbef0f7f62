/*
 * Backtests: what a rule would have done to stored history. A request makes a job and waits some
 * seconds for it; what takes longer is asked for again by its number.
 */
#include <stdio.h>
#include <stdlib.h>

#include "api/backtests.h"
#include "api/handlers.h"
#include "api/internal.h"
#include "api/rule_document.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/ident.h"
#include "store/query_rules.h"

#define WAIT_STANDARD_US  (10 * CLOCK_SECOND_US)
#define WAIT_MAX_US       (60 * CLOCK_SECOND_US)
#define LIMIT_STANDARD_US (10 * CLOCK_MINUTE_US)
#define LIMIT_MAX_US      (6 * CLOCK_HOUR_US)

enum { ITEMS_STANDARD = 10000, ITEMS_MAX = 100000, DEVICES_NAMED_MAX = 10000 };

/* ---- the order --------------------------------------------------------------------------------
 */

static void read_duration(struct api_fields *f, const char *name, int64_t most_us, int64_t *us)
{
    const char *text = api_field_text(f, name, false);
    int64_t given_us = 0;
    if (text == NULL) {
        return;
    }
    if (clock_parse_duration(view_str(text), &given_us) != ERR_OK || given_us > most_us) {
        char most[CLOCK_TEXT_SIZE];
        api_field_error(f, name, "must be a duration of at most %s, such as 30s, 5m or 7d",
                        clock_format_duration(most_us, most));
        return;
    }
    *us = given_us;
}

static void read_time(struct api_fields *f, const char *name, int64_t now_us, int64_t *us)
{
    const json_t *v = api_field(f, name, API_STRING | API_INTEGER | API_NULL, false);
    char number[32];
    const char *text = json_string_value(v);
    if (json_is_integer(v)) {
        (void)snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(v));
        text = number;
    }
    if (text != NULL && api_time_parse(view_str(text), now_us, us) != ERR_OK) {
        api_field_error(f, name,
                        "must be a time: RFC 3339 with zone, epoch milliseconds, now, or relative "
                        "to now (-7d)");
    }
}

static void read_period(struct api_fields *f, struct api_backtest_order *o)
{
    int64_t now_us = clock_wall_us();
    int64_t warm_up_us = CLOCK_DAY_US;
    o->from_us = now_us - 7 * CLOCK_DAY_US;
    o->to_us = now_us;
    read_time(f, "from", now_us, &o->from_us);
    read_time(f, "to", now_us, &o->to_us);
    const char *warm_up = api_field_text(f, "warm_up", false);
    bool all = warm_up != NULL && strcmp(warm_up, "all") == 0;
    if (!all) {
        read_duration(f, "warm_up", 366 * CLOCK_DAY_US, &warm_up_us);
    }
    o->begin_us =
        all || o->from_us - warm_up_us <= CLOCK_MIN_US ? CLOCK_NONE : o->from_us - warm_up_us - 1;
    if (o->from_us > o->to_us) {
        api_field_error(f, "from", "is after to");
    }
}

struct choice {
    struct api_backtest_order *order;
    const struct rule_selector *selector; /* NULL: any */
    uint32_t cap;
    bool failed;
};

static bool choose(void *arg, struct device *d)
{
    struct choice *c = arg;
    struct api_backtest_order *o = c->order;
    bool selected =
        rule_selects(o->candidate, d) || (o->against != NULL && rule_selects(o->against, d));
    if (!selected || (c->selector != NULL && !rule_selector_matches(c->selector, d))) {
        return true;
    }
    if (o->device_count == c->cap) {
        uint32_t cap = c->cap == 0 ? 64 : c->cap * 2;
        struct device **grown = realloc(o->devices, cap * sizeof(struct device *));
        c->failed = grown == NULL;
        if (c->failed) {
            return false;
        }
        o->devices = grown;
        c->cap = cap;
    }
    device_hold(d);
    o->devices[o->device_count++] = d;
    return true;
}

/* A name that no device has is left out, as one that the token does not see. */
static void choose_named(struct api_request *r, const json_t *names, struct choice *c)
{
    for (size_t i = 0; i < json_array_size(names) && !c->failed; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        struct device *d = name == NULL ? NULL : catalog_device(r->api->catalog, view_str(name));
        if (d != NULL) {
            (void)choose(c, d);
            device_drop(d);
        }
    }
}

static int by_id(const void *a, const void *b)
{
    const struct device *x = *(struct device *const *)a;
    const struct device *y = *(struct device *const *)b;
    return (x->id > y->id) - (x->id < y->id);
}

/* Sorted, each once. The catalog's lock is not held while auth is asked. */
static void keep_visible(struct api_request *r, struct api_backtest_order *o)
{
    uint32_t kept = 0;
    if (o->device_count > 0) {
        qsort(o->devices, o->device_count, sizeof(struct device *), by_id);
    }
    for (uint32_t i = 0; i < o->device_count; i++) {
        bool again = kept > 0 && o->devices[kept - 1]->id == o->devices[i]->id;
        if (!again && auth_bearer_sees(r->api->auth, &r->bearer, o->devices[i])) {
            o->devices[kept++] = o->devices[i];
        } else {
            device_drop(o->devices[i]);
        }
    }
    o->device_count = kept;
}

/* The devices that either rule selects, the request admits and the token sees. */
static bool read_devices(struct api_request *r, struct api_fields *f, struct api_backtest_order *o)
{
    struct rule_selector *selector = NULL;
    struct rule_error why = {0};
    const char *select = api_field_text(f, "select", false);
    const json_t *names = api_field(f, "devices", API_ARRAY, false);
    struct choice c = {.order = o};
    if (select != NULL && rule_selector_parse(view_str(select), &selector, &why) != ERR_OK) {
        api_field_error(f, "select", "column %d: %s", why.column, why.detail);
    }
    if (json_array_size(names) > DEVICES_NAMED_MAX) {
        api_field_error(f, "devices", "may have %d names; use select", DEVICES_NAMED_MAX);
    }
    if (api_invalid(r)) {
        rule_selector_free(selector);
        return false;
    }
    c.selector = selector;
    if (names != NULL) {
        choose_named(r, names, &c);
    } else {
        catalog_visit_devices(r->api->catalog, choose, &c);
    }
    rule_selector_free(selector);
    if (c.failed) {
        api_fail_err(r, ERR_NOMEM, "");
        return false;
    }
    keep_visible(r, o);
    return true;
}

/* ---- the rules --------------------------------------------------------------------------------
 */

/* The stored rule, the active version; NULL without one, which is fine. */
static bool read_stored(struct api_request *r, struct db *db, struct rule **ret_rule,
                        int64_t *ret_version)
{
    struct db_result *row = NULL;
    enum err e = store_rule_get(db, (const char *)r->names[0].data, &row);
    if (e == ERR_NOT_FOUND) {
        return true;
    }
    if (e != ERR_OK) {
        api_fail_err(r, e, "such rule");
        return false;
    }
    *ret_version = db_get_int(row, 0, 1);
    *ret_rule = api_rule_compile_active(r, db_get_view(row, 0, 2), "");
    db_result_free(row);
    return *ret_rule != NULL;
}

static bool read_version(struct api_request *r, struct db *db, int64_t version,
                         struct rule **ret_rule)
{
    struct db_result *row = NULL;
    enum err e = store_rule_version(db, (const char *)r->names[0].data, version, &row);
    if (e != ERR_OK) {
        api_fail_err(r, e, "such version of the rule");
        return false;
    }
    *ret_rule = api_rule_compile_active(r, db_get_view(row, 0, 2), "");
    db_result_free(row);
    return *ret_rule != NULL;
}

static bool read_definition(struct api_request *r, const json_t *definition, struct rule **ret_rule)
{
    json_t *copy = json_deep_copy(definition);
    const char *text =
        copy == NULL ? NULL : api_rule_document(r, copy, (const char *)r->names[0].data);
    json_decref(copy);
    if (text == NULL) {
        api_fail_err(r, ERR_NOMEM, "");
        return false;
    }
    *ret_rule = api_rule_compile_active(r, view_str(text), "/definition");
    return *ret_rule != NULL;
}

/* Without a definition or a version: the stored rule against what is in the history. */
static bool read_rules(struct api_request *r, struct db *db, struct api_fields *f,
                       struct api_backtest_order *o)
{
    const json_t *definition = api_field(f, "definition", API_OBJECT | API_NULL, false);
    const json_t *version = api_field(f, "version", API_INTEGER | API_NULL, false);
    int64_t active = 0;
    if (json_is_object(definition) && json_is_integer(version)) {
        api_field_error(f, "version", "is for a stored rule; leave out definition");
    }
    if (api_invalid(r) || !read_stored(r, db, &o->against, &active)) {
        return false;
    }
    o->against_version = active;
    if (json_is_object(definition)) {
        return read_definition(r, definition, &o->candidate);
    }
    if (o->against == NULL) {
        api_fail_err(r, ERR_NOT_FOUND, "such rule; send a definition to test one");
        return false;
    }
    if (json_is_integer(version)) {
        o->version = json_integer_value(version);
        return read_version(r, db, o->version, &o->candidate);
    }
    o->candidate = o->against;
    o->version = active;
    o->against = NULL;
    o->with_history = true;
    return true;
}

static bool read_order(struct api_request *r, struct db *db, struct api_backtest_order *o)
{
    if (r->body.len == 0) {
        r->json = json_object();
    }
    const json_t *body = r->json != NULL ? r->json : api_body(r);
    if (body == NULL) {
        return false;
    }
    struct api_fields f = api_fields_init(body, "", r->errors);
    api_fields_only(&f, "definition version from to select devices warm_up flap_window time_limit "
                        "limit");
    int64_t items = ITEMS_STANDARD;
    const json_t *limit = api_field(&f, "limit", API_INTEGER, false);
    items = limit == NULL ? items : json_integer_value(limit);
    if (items < 1 || items > ITEMS_MAX) {
        api_field_error(&f, "limit", "must be from 1 to %d", ITEMS_MAX);
    }
    o->items_max = (uint32_t)items;
    o->flap_us = 10 * CLOCK_MINUTE_US;
    o->limit_us = LIMIT_STANDARD_US;
    read_duration(&f, "flap_window", CLOCK_DAY_US, &o->flap_us);
    read_duration(&f, "time_limit", LIMIT_MAX_US, &o->limit_us);
    read_period(&f, o);
    (void)view_copy(r->names[0], o->rule, sizeof(o->rule));
    (void)view_copy(view_str(r->bearer.name), o->owner, sizeof(o->owner));
    return read_rules(r, db, &f, o) && read_devices(r, &f, o);
}

/* ---- waiting and answering --------------------------------------------------------------------
 */

/* The job as it is now. */
static void answer_job(struct api_request *r, int64_t id)
{
    bool ended = false;
    bool reads = strcmp(r->route->method, "GET") == 0;
    enum err e = api_backtests_write(r->api->backtests, r, id, &r->out, &ended);
    if (e != ERR_OK) {
        api_fail_err(r, e, "such backtest");
        return;
    }
    api_answer(r, ended || reads ? MHD_HTTP_OK : MHD_HTTP_ACCEPTED);
}

static void wait_over(struct store_job *job, struct db *db)
{
    struct api_request *r = CONTAINER_OF(job, struct api_request, job);
    (void)db;
    answer_job(r, r->op.id);
    api_request_finish(r);
}

/* Has the job ended? Nothing is left in r->out. */
static bool has_ended(struct api_request *r, int64_t id)
{
    bool ended = true;
    enum err e = api_backtests_write(r->api->backtests, r, id, &r->out, &ended);
    buf_clear(&r->out);
    return e != ERR_OK || ended;
}

/* Answers when the job has ended or the time is up. */
static void answer_when_ended(struct api_request *r, int64_t id)
{
    struct api_waits *waits = r->api->waits;
    r->op.id = id;
    r->waiting = true;
    struct api_wait *wait =
        r->wait_us == 0 ? NULL
                        : api_waits_add(waits, r, -id, clock_mono_us() + r->wait_us, wait_over);
    if (wait != NULL && !api_waits_checked(waits, wait, has_ended(r, id))) {
        return; /* the request is no longer ours */
    }
    r->waiting = false;
    answer_job(r, id);
}

static bool read_wait(struct api_request *r, int64_t standard_us)
{
    r->wait_us = standard_us;
    if (!api_param_duration(r, "wait", &r->wait_us)) {
        return false;
    }
    r->wait_us = r->wait_us > WAIT_MAX_US ? WAIT_MAX_US : r->wait_us;
    return true;
}

void api_handle_rule_backtest(struct api_request *r, struct db *db)
{
    struct api_backtest_order order = {.candidate = NULL};
    int64_t id = 0;
    order.unlimited = api_unlimited(r);
    if (!ident_valid(r->names[0])) {
        api_fail_err(r, ERR_NOT_FOUND, "such rule");
        return;
    }
    if (!read_wait(r, WAIT_STANDARD_US) || !read_order(r, db, &order)) {
        api_backtest_order_fini(&order);
        return;
    }
    enum err e = api_backtests_start(r->api->backtests, &order, &id);
    api_backtest_order_fini(&order);
    if (e == ERR_FULL) {
        api_header(r, "Retry-After", "30");
        api_fail(r, PROBLEM_TOO_MANY, "%d backtests run or wait already",
                 BACKTESTS_RUNNING + BACKTESTS_QUEUED);
    } else if (e != ERR_OK) {
        api_fail_err(r, e, "");
    } else {
        api_header(r, "Location", "/v1/backtests/%lld", (long long)id);
        answer_when_ended(r, id);
    }
}

void api_handle_backtest_get(struct api_request *r, struct db *db)
{
    int64_t id = 0;
    (void)db;
    if (!read_wait(r, 0) || !api_param_id(r, r->names[0], &id)) {
        return;
    }
    answer_when_ended(r, id);
}

void api_handle_backtest_cancel(struct api_request *r, struct db *db)
{
    int64_t id = 0;
    (void)db;
    if (!api_param_id(r, r->names[0], &id)) {
        return;
    }
    enum err e = api_backtests_cancel(r->api->backtests, r, id);
    if (e != ERR_OK) {
        api_fail_err(r, e, "such backtest");
        return;
    }
    answer_job(r, id);
}

void api_handle_backtests_list(struct api_request *r, struct db *db)
{
    (void)db;
    struct emit_json j = api_list_begin(r);
    api_backtests_list(r->api->backtests, r, &j);
    api_list_end(r, &j, NULL);
}
