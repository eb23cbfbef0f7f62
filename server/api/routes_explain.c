/*
 * Why a rule fired, or did not, on a device at an instant. What the history has of it is told; and
 * the rule runs once more over the stored samples up to the instant, by the engine that runs live.
 */
#include <stdlib.h>

#include "api/handlers.h"
#include "api/internal.h"
#include "api/rule_document.h"
#include "backtest/backtest.h"
#include "base/clock.h"
#include "store/history.h"
#include "store/query_rules.h"

#define WARM_UP_STANDARD_US (7 * CLOCK_DAY_US)

struct asked {
    struct device *device; /* held */
    struct rule *rule;     /* held; compiled as active */
    int64_t at_us, begin_us;
    int64_t version;
    char mode[16];
    struct db_result *alert; /* NULL: none */
    struct db *db;
    struct backtest *test;
    struct backtest_device *open;
    uint64_t samples;
};

static bool take_sample(void *arg, int32_t device_id, const struct sample *s, int64_t received_us)
{
    struct asked *a = arg;
    (void)device_id; /* there is one */
    a->samples++;
    return backtest_sample(a->open, s, received_us) == ERR_OK;
}

/* Nothing after it: silent until now. */
static int64_t heard_next(void *arg, const struct device *d, int64_t newest_us)
{
    struct asked *a = arg;
    int64_t received_us = CLOCK_NONE;
    enum err e = store_history_next(a->db, d->id, newest_us, &received_us);
    return e == ERR_NOT_FOUND ? clock_wall_us() : received_us;
}

static enum err seed_baselines(struct asked *a, struct db *db)
{
    int32_t metric = 0;
    int64_t count = 0;
    enum err e = ERR_OK;
    for (uint32_t at = 0; e == ERR_OK && backtest_baseline_wanted(a->open, at, &metric, &count);
         at++) {
        double *values = NULL;
        uint32_t n = 0;
        e = store_history_first(db, a->device->id, metric, count, a->begin_us, &values, &n);
        e = e == ERR_OK ? backtest_baseline_seed(a->open, metric, values, n) : e;
        free(values);
    }
    return e;
}

/* The samples up to the instant through the rule. */
static enum err run(struct api_request *r, struct asked *a, struct db *db)
{
    struct store_history_query q = {.device_id = a->device->id,
                                    .from_us =
                                        a->begin_us == CLOCK_NONE ? CLOCK_NONE : a->begin_us + 1,
                                    .to_us = a->at_us + 1};
    struct store_history *h = store_history_new(catalog_metrics(r->api->catalog));
    enum err e = h == NULL ? ERR_NOMEM : backtest_open(a->test, a->device, a->begin_us, &a->open);
    if (e == ERR_OK && a->begin_us != CLOCK_NONE) {
        e = seed_baselines(a, db);
    }
    if (e == ERR_OK) {
        e = store_history_read(h, db, &q, take_sample, a);
    }
    store_history_free(h);
    return e;
}

static enum err explain(struct api_request *r, struct asked *a, struct db *db, struct emit_json *j)
{
    struct backtest_setup setup = {.candidate = a->rule,
                                   .version = (int32_t)a->version,
                                   .by_selector = true,
                                   .from_us = CLOCK_NONE,
                                   .to_us = a->at_us + 1,
                                   .heard_next = heard_next,
                                   .arg = a};
    a->db = db;
    a->test = backtest_new(&setup);
    enum err e = a->test == NULL ? ERR_NOMEM : run(r, a, db);
    e = e == ERR_OK ? backtest_explain(a->open, a->at_us, j) : e;
    backtest_free(a->test);
    return e;
}

static void answer(struct api_request *r, struct asked *a, struct db *db)
{
    bool selected = rule_selects(a->rule, a->device);
    struct emit_json j = emit_json_init(&r->out);
    emit_json_open(&j, '{');
    emit_json_key(&j, "rule");
    emit_json_str(&j, rule_name(a->rule));
    emit_json_key(&j, "device");
    emit_json_str(&j, a->device->name);
    emit_json_key(&j, "at");
    emit_json_time(&j, a->at_us);
    emit_json_key(&j, "mode");
    emit_json_str(&j, a->mode);
    emit_json_key(&j, "selected");
    emit_json_bool(&j, selected);
    emit_json_key(&j, "alert");
    if (a->alert != NULL) {
        emit_json_raw(&j, db_get_view(a->alert, 0, 0));
    } else {
        emit_json_null(&j);
    }
    emit_json_key(&j, "open_at");
    emit_json_bool(&j, a->alert != NULL && db_get_bool(a->alert, 0, 1));
    enum err e = ERR_OK;
    if (selected) {
        e = explain(r, a, db, &j);
        emit_json_key(&j, "samples");
        emit_json_int(&j, (int64_t)a->samples);
    } else {
        emit_json_key(&j, "version");
        emit_json_int(&j, a->version);
        emit_json_key(&j, "state");
        emit_json_str(&j, "inactive");
        emit_json_key(&j, "why");
        emit_json_str(&j, "the rule does not select the device, as type, labels and name are now");
    }
    emit_json_close(&j, '}');
    if (e != ERR_OK) {
        buf_clear(&r->out);
        api_fail_err(r, e, "");
        return;
    }
    api_answer(r, MHD_HTTP_OK);
}

/* Which version: the one asked for, that of the alert, or that of the time. */
static enum err choose_version(struct api_request *r, struct asked *a, struct db *db)
{
    if (a->version > 0) {
        return ERR_OK;
    }
    if (a->alert != NULL && db_get_bool(a->alert, 0, 1) && !db_is_null(a->alert, 0, 2)) {
        a->version = db_get_int(a->alert, 0, 2);
        return ERR_OK;
    }
    return store_rule_version_at(db, (const char *)r->names[0].data, a->at_us, &a->version);
}

static bool read_rule(struct api_request *r, struct asked *a, struct db *db)
{
    const char *name = (const char *)r->names[0].data;
    struct db_result *row = NULL;
    enum err e = store_history_alert_at(db, name, a->device->id, a->at_us, &a->alert);
    if (e == ERR_OK || e == ERR_NOT_FOUND) {
        e = choose_version(r, a, db);
    }
    e = e == ERR_OK ? store_rule_version(db, name, a->version, &row) : e;
    if (e != ERR_OK) {
        api_fail_err(r, e, "such rule or version of it");
        return false;
    }
    json_t *document = json_loads(db_get(row, 0, 2), 0, NULL);
    const char *mode = json_string_value(json_object_get(document, "mode"));
    (void)view_copy(view_str(mode == NULL ? "active" : mode), a->mode, sizeof(a->mode));
    json_decref(document);
    a->rule = api_rule_compile_active(r, db_get_view(row, 0, 2), "");
    db_result_free(row);
    return a->rule != NULL;
}

static bool read_question(struct api_request *r, struct asked *a)
{
    struct view version = api_query_get(&r->query, "version");
    struct view device = api_query_get(&r->query, "device");
    const char *warm_up = api_param_text(r, "warm_up");
    bool all = warm_up != NULL && strcmp(warm_up, "all") == 0;
    int64_t warm_up_us = WARM_UP_STANDARD_US;
    if (device.len == 0) {
        api_fail(r, PROBLEM_BAD_REQUEST, "device is missing: the name of a device");
        return false;
    }
    if (version.data != NULL && (api_int_parse(version, &a->version) != ERR_OK || a->version < 1)) {
        api_fail(r, PROBLEM_BAD_REQUEST, "version must be the number of a version");
        return false;
    }
    if (!api_param_time(r, "at", clock_wall_us(), &a->at_us) ||
        (!all && !api_param_duration(r, "warm_up", &warm_up_us))) {
        return false;
    }
    a->begin_us = all || a->at_us - warm_up_us <= CLOCK_MIN_US ? CLOCK_NONE : a->at_us - warm_up_us;
    a->device = api_device(r, device);
    return a->device != NULL;
}

void api_handle_rule_explain(struct api_request *r, struct db *db)
{
    struct asked a = {.device = NULL};
    if (read_question(r, &a) && read_rule(r, &a, db)) {
        answer(r, &a, db);
    }
    db_result_free(a.alert);
    if (a.rule != NULL) {
        rule_drop(a.rule);
    }
    device_drop(a.device);
}
