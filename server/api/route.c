#include "api/route.h"

#include <stdio.h>

#include "api/handlers.h"
#include "base/check.h"

enum {
    DEVICES_READ = AUTH_DEVICES_READ | AUTH_DEVICES_WRITE,
    DATA_READ = AUTH_TELEMETRY_READ,
    RULES_READ = AUTH_TELEMETRY_READ | AUTH_RULES_WRITE,
    COMMANDS_READ = AUTH_DEVICES_READ | AUTH_COMMANDS_WRITE,
    OPEN = API_ROUTE_OPEN | API_ROUTE_INLINE,
    PAGE = API_ROUTE_OPEN | API_ROUTE_INLINE | API_ROUTE_HIDDEN,
    BODY = API_ROUTE_BODY,
    INGEST = API_ROUTE_BODY | API_ROUTE_INLINE | API_ROUTE_DEVICE,
    STREAM = API_ROUTE_INLINE | API_ROUTE_QUERY_TOKEN,
    JSON = API_MEDIA_JSON,
    TABLE = API_MEDIA_JSON | API_MEDIA_CSV | API_MEDIA_NDJSON,
    LINES = API_MEDIA_CSV | API_MEDIA_NDJSON,
    ANY = JSON | API_MEDIA_TEXT | API_MEDIA_HTML | API_MEDIA_YAML,
};

#define PAGING         "limit cursor"
#define DEVICE_FILTER  "device select "
#define READINGS_QUERY "metric from to step agg order format " PAGING
#define H(name)        api_handle_##name

/* clang-format off */
static const struct api_route routes[] = {
/*   method    path                                     scopes               flags   answers  takes  parameters                        handler */
    {"GET",    "/v1/device-types",                      DEVICES_READ,        0,      JSON,    0,     PAGING,                           H(types_list)},
    {"POST",   "/v1/device-types",                      AUTH_DEVICES_WRITE,  BODY,   JSON,    JSON,  "",                               H(types_create)},
    {"GET",    "/v1/device-types/{name}",               DEVICES_READ,        0,      JSON,    0,     "",                               H(type_get)},
    {"PUT",    "/v1/device-types/{name}",               AUTH_DEVICES_WRITE,  BODY,   JSON,    JSON,  "",                               H(type_put)},
    {"PATCH",  "/v1/device-types/{name}",               AUTH_DEVICES_WRITE,  BODY,   JSON,    JSON,  "",                               H(type_patch)},
    {"DELETE", "/v1/device-types/{name}",               AUTH_DEVICES_WRITE,  0,      JSON,    0,     "",                               H(type_delete)},
    {"GET",    "/v1/devices",                           DEVICES_READ,        0,      JSON,    0,     "type select gateway q label.* " PAGING, H(devices_list)},
    {"POST",   "/v1/devices",                           AUTH_DEVICES_WRITE,  BODY,   JSON,    JSON,  "",                               H(devices_create)},
    {"POST",   "/v1/devices/import",                    AUTH_DEVICES_WRITE,  BODY,   JSON,    LINES, "",                               H(devices_import)},
    {"GET",    "/v1/devices/{name}",                    DEVICES_READ,        0,      JSON,    0,     "",                               H(device_get)},
    {"PUT",    "/v1/devices/{name}",                    AUTH_DEVICES_WRITE,  BODY,   JSON,    JSON,  "",                               H(device_put)},
    {"PATCH",  "/v1/devices/{name}",                    AUTH_DEVICES_WRITE,  BODY,   JSON,    JSON,  "",                               H(device_patch)},
    {"DELETE", "/v1/devices/{name}",                    AUTH_DEVICES_WRITE,  0,      JSON,    0,     "",                               H(device_delete)},
    {"GET",    "/v1/devices/{name}/credentials",        DEVICES_READ,        0,      JSON,    0,     "",                               H(credentials_list)},
    {"POST",   "/v1/devices/{name}/credentials",        AUTH_DEVICES_WRITE,  BODY,   JSON,    JSON,  "",                               H(credentials_create)},
    {"DELETE", "/v1/devices/{name}/credentials/{id}",   AUTH_DEVICES_WRITE,  0,      JSON,    0,     "",                               H(credential_delete)},
    {"GET",    "/v1/devices/{name}/latest",             DATA_READ,           0,      JSON,    0,     "metric",                         H(latest_get)},
    {"GET",    "/v1/devices/{name}/readings",           DATA_READ,           0,      TABLE,   0,     READINGS_QUERY,                   H(readings_get)},
    {"GET",    "/v1/devices/{name}/commands",           COMMANDS_READ,       0,      JSON,    0,     "state " PAGING,                  H(commands_list)},
    {"POST",   "/v1/devices/{name}/commands",           AUTH_COMMANDS_WRITE, BODY,   JSON,    JSON,  "wait",                           H(commands_create)},
    {"GET",    "/v1/devices/{name}/override",           COMMANDS_READ,       0,      JSON,    0,     "",                               H(overrides_list)},
    {"POST",   "/v1/devices/{name}/override",           AUTH_COMMANDS_WRITE, BODY,   JSON,    JSON,  "",                               H(override_set)},
    {"DELETE", "/v1/devices/{name}/override",           AUTH_COMMANDS_WRITE, 0,      JSON,    0,     "method",                         H(override_end)},
    {"GET",    "/v1/devices/{name}/reliability",        DATA_READ,            0,      JSON,   0,     "from to severity",                H(reliability_get)},
    {"GET",    "/v1/commands/{id}",                     COMMANDS_READ,       0,      JSON,    0,     "",                               H(command_get)},
    {"DELETE", "/v1/commands/{id}",                     AUTH_COMMANDS_WRITE, 0,      JSON,    0,     "",                               H(command_cancel)},
    {"POST",   "/v1/commands/{id}/cancel",              AUTH_COMMANDS_WRITE, 0,      JSON,    0,     "",                               H(command_cancel)},
    {"GET",    "/v1/geofences",                         RULES_READ,          0,      JSON,    0,     PAGING,                           H(geofences_list)},
    {"POST",   "/v1/geofences",                         AUTH_RULES_WRITE,    BODY,   JSON,    JSON,  "",                               H(geofences_create)},
    {"GET",    "/v1/geofences/{name}",                  RULES_READ,          0,      JSON,    0,     "",                               H(geofence_get)},
    {"PUT",    "/v1/geofences/{name}",                  AUTH_RULES_WRITE,    BODY,   JSON,    JSON,  "",                               H(geofence_put)},
    {"DELETE", "/v1/geofences/{name}",                  AUTH_RULES_WRITE,    0,      JSON,    0,     "",                               H(geofence_delete)},
    {"GET",    "/v1/rules",                             RULES_READ,          0,      JSON,    0,     PAGING,                           H(rules_list)},
    {"POST",   "/v1/rules",                             AUTH_RULES_WRITE,    BODY,   JSON,    JSON,  "",                               H(rules_create)},
    {"GET",    "/v1/rules/{name}",                      RULES_READ,          0,      JSON,    0,     "",                               H(rule_get)},
    {"PUT",    "/v1/rules/{name}",                      AUTH_RULES_WRITE,    BODY,   JSON,    JSON,  "",                               H(rule_put)},
    {"PATCH",  "/v1/rules/{name}",                      AUTH_RULES_WRITE,    BODY,   JSON,    JSON,  "",                               H(rule_patch)},
    {"DELETE", "/v1/rules/{name}",                      AUTH_RULES_WRITE,    0,      JSON,    0,     "",                               H(rule_delete)},
    {"GET",    "/v1/rules/{name}/versions",             RULES_READ,          0,      JSON,    0,     PAGING,                           H(rule_versions)},
    {"GET",    "/v1/rules/{name}/versions/{id}",        RULES_READ,          0,      JSON,    0,     "",                               H(rule_version_get)},
    {"GET",    "/v1/rules/{name}/versions/{id}/diff",   RULES_READ,          0,      JSON,    0,     "against",                        H(rule_version_diff)},
    {"POST",   "/v1/rules/{name}/rollback",             AUTH_RULES_WRITE,    BODY,   JSON,    JSON,  "",                               H(rule_rollback)},
    {"POST",   "/v1/rules/{name}/backtest",             AUTH_RULES_WRITE,    BODY,   JSON,    JSON,  "wait",                           H(rule_backtest)},
    {"GET",    "/v1/rules/{name}/explain",              DATA_READ,           0,      JSON,    0,     "device at version warm_up",      H(rule_explain)},
    {"GET",    "/v1/backtests",                         RULES_READ,          0,      JSON,    0,     "",                               H(backtests_list)},
    {"GET",    "/v1/backtests/{id}",                    RULES_READ,          0,      JSON,    0,     "wait",                           H(backtest_get)},
    {"DELETE", "/v1/backtests/{id}",                    AUTH_RULES_WRITE,    0,      JSON,    0,     "",                               H(backtest_cancel)},
    {"GET",    "/v1/alerts",                            DATA_READ,           0,      JSON,    0,     DEVICE_FILTER "rule state severity from to shadow " PAGING, H(alerts_list)},
    {"GET",    "/v1/alerts/{id}",                       DATA_READ,           0,      JSON,    0,     "",                               H(alert_get)},
    {"POST",   "/v1/alerts/{id}/ack",                   AUTH_COMMANDS_WRITE, BODY,   JSON,    JSON,  "",                               H(alert_ack)},
    {"POST",   "/v1/alerts/{id}/comment",               AUTH_COMMANDS_WRITE, BODY,   JSON,    JSON,  "",                               H(alert_comment)},
    {"POST",   "/v1/alerts/{id}/assign",                AUTH_COMMANDS_WRITE, BODY,   JSON,    JSON,  "",                               H(alert_assign)},
    {"POST",   "/v1/alerts/{id}/shelve",                AUTH_COMMANDS_WRITE, BODY,   JSON,    JSON,  "",                               H(alert_shelve)},
    {"POST",   "/v1/alerts/{id}/unshelve",              AUTH_COMMANDS_WRITE, BODY,   JSON,    JSON,  "",                               H(alert_unshelve)},
    {"GET",    "/v1/channels",                          AUTH_RULES_WRITE,    0,      JSON,    0,     PAGING,                           H(channels_list)},
    {"POST",   "/v1/channels",                          AUTH_RULES_WRITE,    BODY,   JSON,    JSON,  "",                               H(channels_create)},
    {"GET",    "/v1/channels/{name}",                   AUTH_RULES_WRITE,    0,      JSON,    0,     "",                               H(channel_get)},
    {"PUT",    "/v1/channels/{name}",                   AUTH_RULES_WRITE,    BODY,   JSON,    JSON,  "",                               H(channel_put)},
    {"DELETE", "/v1/channels/{name}",                   AUTH_RULES_WRITE,    0,      JSON,    0,     "",                               H(channel_delete)},
    {"POST",   "/v1/channels/{name}/test",              AUTH_RULES_WRITE,    0,      JSON,    0,     "",                               H(channel_test)},
    {"GET",    "/v1/silences",                          DATA_READ,           0,      JSON,    0,     "active " PAGING,                 H(silences_list)},
    {"POST",   "/v1/silences",                          AUTH_COMMANDS_WRITE, BODY,   JSON,    JSON,  "",                               H(silences_create)},
    {"GET",    "/v1/silences/{id}",                     DATA_READ,           0,      JSON,    0,     "",                               H(silence_get)},
    {"DELETE", "/v1/silences/{id}",                     AUTH_COMMANDS_WRITE, 0,      JSON,    0,     "",                               H(silence_end)},
    {"GET",    "/v1/notifications",                     DATA_READ,           0,      JSON,    0,     DEVICE_FILTER "channel state reason alert digest " PAGING, H(notifications_list)},
    {"GET",    "/v1/notifications/{id}",                DATA_READ,           0,      JSON,    0,     "",                               H(notification_get)},
    {"GET",    "/v1/events",                            DATA_READ,           STREAM, API_MEDIA_EVENTS, 0, DEVICE_FILTER "since kind access_token", H(events_open)},
    {"GET",    "/v1/maintenance/plans",                 RULES_READ,           0,      JSON,   0,     PAGING,                            H(plans_list)},
    {"POST",   "/v1/maintenance/plans",                 AUTH_RULES_WRITE,     BODY,   JSON,   JSON,  "",                                H(plans_create)},
    {"GET",    "/v1/maintenance/plans/{name}",          RULES_READ,           0,      JSON,   0,     "",                                H(plan_get)},
    {"PUT",    "/v1/maintenance/plans/{name}",          AUTH_RULES_WRITE,     BODY,   JSON,   JSON,  "",                                H(plan_put)},
    {"PATCH",  "/v1/maintenance/plans/{name}",          AUTH_RULES_WRITE,     BODY,   JSON,   JSON,  "",                                H(plan_patch)},
    {"DELETE", "/v1/maintenance/plans/{name}",          AUTH_RULES_WRITE,     0,      JSON,   0,     "",                                H(plan_delete)},
    {"GET",    "/v1/maintenance/plans/{name}/devices",  DATA_READ,            0,      JSON,   0,     DEVICE_FILTER "status " PAGING,    H(plan_devices)},
    {"GET",    "/v1/maintenance/plans/{name}/services", DATA_READ,            0,      JSON,   0,     DEVICE_FILTER PAGING,              H(plan_services)},
    {"GET",    "/v1/maintenance/work-orders",           DATA_READ,            0,      JSON,   0,     DEVICE_FILTER "rule plan assigned_to state " PAGING, H(work_orders_list)},
    {"POST",   "/v1/maintenance/work-orders",           AUTH_COMMANDS_WRITE,  BODY,   JSON,   JSON,  "",                                H(work_orders_create)},
    {"GET",    "/v1/maintenance/work-orders/{id}",      DATA_READ,            0,      JSON,   0,     "",                                H(work_order_get)},
    {"POST",   "/v1/maintenance/work-orders/{id}/assign", AUTH_COMMANDS_WRITE,  BODY,   JSON,   JSON,  "",                                H(work_order_assign)},
    {"POST",   "/v1/maintenance/work-orders/{id}/start", AUTH_COMMANDS_WRITE,  BODY,   JSON,   JSON,  "",                                H(work_order_start)},
    {"POST",   "/v1/maintenance/work-orders/{id}/done", AUTH_COMMANDS_WRITE,  BODY,   JSON,   JSON,  "",                                H(work_order_done)},
    {"POST",   "/v1/maintenance/work-orders/{id}/cancel", AUTH_COMMANDS_WRITE,  BODY,   JSON,   JSON,  "",                                H(work_order_cancel)},
    {"POST",   "/v1/maintenance/work-orders/{id}/close", AUTH_COMMANDS_WRITE,  BODY,   JSON,   JSON,  "",                                H(work_order_close)},
    {"GET",    "/v1/rejected",                          DATA_READ,           0,      JSON,    0,     "device from to " PAGING,         H(rejected_list)},
    {"GET",    "/v1/audit",                             AUTH_ADMIN,          0,      JSON,    0,     "actor action object from to " PAGING, H(audit_list)},
    {"POST",   "/v1/telemetry",                         AUTH_TELEMETRY_WRITE, INGEST, JSON,   JSON,  "device",                         H(telemetry_post)},
    {"GET",    "/livez",                                0,                   OPEN,   ANY,     0,     "verbose",                        H(livez)},
    {"GET",    "/readyz",                               0,                   OPEN,   ANY,     0,     "verbose",                        H(readyz)},
    {"GET",    "/metrics",                              0,                   OPEN,   ANY,     0,     "",                            H(metrics)},
    {"GET",    "/openapi.json",                         0,                   PAGE,   ANY,     0,     "",                               H(openapi_json)},
    {"GET",    "/openapi.yaml",                         0,                   PAGE,   ANY,     0,     "",                               H(openapi_yaml)},
    {"GET",    "/docs",                                 0,                   PAGE,   ANY,     0,     "",                               H(docs)},
    {"GET",    "/docs/problems/{name}",                 0,                   PAGE,   ANY,     0,     "",                               H(docs_problem)},
    {"GET",    "/",                                     0,                   PAGE,   ANY,     0,     "",                               H(root)},
};
/* clang-format on */

const struct api_route *api_routes(uint32_t *ret_count)
{
    *ret_count = COUNT_OF(routes);
    return routes;
}

/* Does the pattern match the segments? What stands for {…} goes to ret_names. */
static bool path_matches(const char *path, const struct api_query *q,
                         struct view ret_names[static API_NAMES_MAX])
{
    struct view left = view_skip(view_str(path), 1);
    uint32_t segment = 0;
    uint32_t names = 0;
    while (left.len > 0) {
        const uint8_t *slash = memchr(left.data, '/', left.len);
        size_t n = slash == NULL ? left.len : (size_t)(slash - left.data);
        struct view part = view_of(left.data, n);
        left = view_skip(left, slash == NULL ? n : n + 1);
        if (segment == q->segment_count) {
            return false;
        }
        if (part.data[0] == '{') {
            CHECK(names < API_NAMES_MAX);
            ret_names[names++] = q->segments[segment];
        } else if (!view_eq(part, q->segments[segment])) {
            return false;
        }
        segment++;
    }
    return segment == q->segment_count;
}

static void allow_add(char allow[static 80], const char *method)
{
    size_t used = strlen(allow);
    (void)snprintf(allow + used, 80 - used, "%s%s%s", used == 0 ? "" : ", ", method,
                   strcmp(method, "GET") == 0 ? ", HEAD" : "");
}

const struct api_route *api_route_find(const struct api_query *q, const char *method,
                                       struct view ret_names[static API_NAMES_MAX],
                                       char ret_allow[static 80])
{
    ret_allow[0] = '\0';
    for (size_t i = 0; i < COUNT_OF(routes); i++) {
        if (!path_matches(routes[i].path, q, ret_names)) {
            continue;
        }
        if (strcmp(routes[i].method, method) == 0) {
            return &routes[i];
        }
        allow_add(ret_allow, routes[i].method);
    }
    return NULL;
}

bool api_route_takes_param(const struct api_route *r, struct view name)
{
    struct view left = view_str(r->params);
    while (left.len > 0) {
        const uint8_t *space = memchr(left.data, ' ', left.len);
        size_t n = space == NULL ? left.len : (size_t)(space - left.data);
        struct view word = view_of(left.data, n);
        left = view_skip(left, space == NULL ? n : n + 1);
        bool any = n > 1 && word.data[n - 1] == '*'; /* "label.*" */
        if (any ? name.len >= n && view_starts(name, view_of(word.data, n - 1))
                : view_eq(name, word)) {
            return n > 0;
        }
    }
    return false;
}

const char *api_scope_words(unsigned scopes)
{
    static const struct {
        unsigned scope;
        const char *words;
    } names[] = {
        {AUTH_DEVICES_READ, "devices:read"},     {AUTH_DEVICES_WRITE, "devices:write"},
        {AUTH_TELEMETRY_READ, "telemetry:read"}, {AUTH_TELEMETRY_WRITE, "telemetry:write"},
        {AUTH_COMMANDS_WRITE, "commands:write"}, {AUTH_RULES_WRITE, "rules:write"},
    };
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if ((scopes & names[i].scope) != 0) {
            return names[i].words;
        }
    }
    return "admin";
}
