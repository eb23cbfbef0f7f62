/*
 * handlers: what each route does, one file per resource (routes_<resource>.c).
 *
 * A handler runs on a store thread with a live connection, or inline on libmicrohttpd's thread with
 * db == NULL (see route.c); it leaves its answer in the request. It holds no business rules: those
 * are in the database's constraints, the rule compiler and the core.
 */
#pragma once

#include "api/request.h"
#include "store/db.h"

#define API_HANDLER_LIST(X) \
    X(types_list)           \
    X(types_create)         \
    X(type_get)             \
    X(type_put)             \
    X(type_patch)           \
    X(type_delete)          \
    X(devices_list)         \
    X(devices_create)       \
    X(devices_import)       \
    X(device_get)           \
    X(device_put)           \
    X(device_patch)         \
    X(device_delete)        \
    X(credentials_list)     \
    X(credentials_create)   \
    X(credential_delete)    \
    X(latest_get)           \
    X(readings_get)         \
    X(commands_list)        \
    X(commands_create)      \
    X(command_get)          \
    X(command_cancel)       \
    X(geofences_list)       \
    X(geofences_create)     \
    X(geofence_get)         \
    X(geofence_put)         \
    X(geofence_delete)      \
    X(rules_list)           \
    X(rules_create)         \
    X(rule_get)             \
    X(rule_put)             \
    X(rule_patch)           \
    X(rule_delete)          \
    X(rule_versions)        \
    X(rule_version_get)     \
    X(rule_version_diff)    \
    X(rule_rollback)        \
    X(rule_backtest)        \
    X(rule_explain)         \
    X(backtests_list)       \
    X(backtest_get)         \
    X(backtest_cancel)      \
    X(alerts_list)          \
    X(alert_get)            \
    X(alert_ack)            \
    X(alert_comment)        \
    X(alert_assign)         \
    X(alert_shelve)         \
    X(alert_unshelve)       \
    X(channels_list)        \
    X(channels_create)      \
    X(channel_get)          \
    X(channel_put)          \
    X(channel_delete)       \
    X(channel_test)         \
    X(silences_list)        \
    X(silences_create)      \
    X(silence_get)          \
    X(silence_end)          \
    X(notifications_list)   \
    X(notification_get)     \
    X(events_open)          \
    X(work_orders_list)     \
    X(work_order_get)       \
    X(work_orders_create)   \
    X(work_order_assign)    \
    X(work_order_start)     \
    X(work_order_done)      \
    X(work_order_cancel)    \
    X(work_order_close)     \
    X(plans_list)           \
    X(plans_create)         \
    X(plan_get)             \
    X(plan_put)             \
    X(plan_patch)           \
    X(plan_delete)          \
    X(plan_devices)         \
    X(plan_services)        \
    X(reliability_get)      \
    X(overrides_list)       \
    X(override_set)         \
    X(override_end)         \
    X(rejected_list)        \
    X(audit_list)           \
    X(telemetry_post)       \
    X(livez)                \
    X(readyz)               \
    X(metrics)              \
    X(openapi_json)         \
    X(openapi_yaml)         \
    X(docs)                 \
    X(docs_problem)         \
    X(root)

#define API_HANDLER_DECLARE(name) void api_handle_##name(struct api_request *r, struct db *db);
API_HANDLER_LIST(API_HANDLER_DECLARE)
#undef API_HANDLER_DECLARE
