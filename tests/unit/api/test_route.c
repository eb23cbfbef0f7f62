#include <stdio.h>

#include <criterion/criterion.h>

#include "api/pages.h"
#include "api/route.h"

static const struct api_route *find(const char *method, const char *target, char allow[static 80],
                                    struct view names[static API_NAMES_MAX])
{
    static struct arena a;
    struct api_query q = {0};
    arena_fini(&a); /* of the call before, whose names are done with */
    arena_init(&a, 1 << 20);
    cr_assert_eq(api_query_parse(view_str(target), &a, &q), ERR_OK, "%s", target);
    return api_route_find(&q, method, names, allow);
}

Test(route, paths_find_their_handler_and_names)
{
    struct view names[API_NAMES_MAX];
    char allow[80];
    const struct api_route *r = find("DELETE", "/v1/devices/a%2Fb/credentials/7", allow, names);
    cr_assert_not_null(r);
    cr_expect_str_eq(r->path, "/v1/devices/{name}/credentials/{id}");
    cr_expect(view_eq_str(names[0], "a/b") && view_eq_str(names[1], "7"));
    cr_expect_str_eq(find("POST", "/v1/devices/import", allow, names)->path, "/v1/devices/import");
    cr_expect_str_eq(find("GET", "/v1/devices/import", allow, names)->path, "/v1/devices/{name}");
    cr_expect_not_null(find("GET", "/", allow, names));
}

Test(route, a_known_path_says_what_it_takes_and_an_unknown_one_nothing)
{
    struct view names[API_NAMES_MAX];
    char allow[80];
    cr_expect_null(find("POST", "/v1/rules/x", allow, names));
    cr_expect_str_eq(allow, "GET, HEAD, PUT, PATCH, DELETE");
    cr_expect_null(find("BREW", "/v1/telemetry", allow, names));
    cr_expect_str_eq(allow, "POST");
    static const char *const unknown[] = {"/v1", "/v2/devices", "/v1/devices/a/b", "/v1/Devices",
                                          "/v1/devices/a/latest/x"};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        cr_expect_null(find("GET", unknown[i], allow, names), "%s", unknown[i]);
        cr_expect_str_eq(allow, "", "%s", unknown[i]);
    }
}

Test(route, parameters_are_those_of_the_table)
{
    struct view names[API_NAMES_MAX];
    char allow[80];
    const struct api_route *r = find("GET", "/v1/devices", allow, names);
    static const char *const good[] = {"type", "limit", "label.site", "label.a.b"};
    static const char *const bad[] = {"", "typ", "types", "label.", "label", "type select"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        cr_expect(api_route_takes_param(r, view_str(good[i])), "%s", good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_expect_not(api_route_takes_param(r, view_str(bad[i])), "%s", bad[i]);
    }
}

Test(route, every_route_is_guarded_or_open_on_purpose)
{
    uint32_t count = 0;
    const struct api_route *routes = api_routes(&count);
    for (uint32_t i = 0; i < count; i++) {
        bool open = (routes[i].flags & API_ROUTE_OPEN) != 0;
        bool under_v1 = strncmp(routes[i].path, "/v1/", 4) == 0;
        cr_expect_eq(open, !under_v1, "%s %s", routes[i].method, routes[i].path);
        cr_expect_eq(routes[i].scopes != 0, under_v1, "%s %s", routes[i].method, routes[i].path);
        bool body = (routes[i].flags & API_ROUTE_BODY) != 0;
        cr_expect_eq(routes[i].takes != 0, body, "%s %s", routes[i].method, routes[i].path);
        bool changes = strcmp(routes[i].method, "GET") != 0;
        bool reads_only = (routes[i].scopes & (AUTH_DEVICES_READ | AUTH_TELEMETRY_READ)) != 0;
        cr_expect_not(changes && reads_only, "%s %s with a reading scope", routes[i].method,
                      routes[i].path);
    }
}

/* "  /v1/devices:" -> the path; "    get:" -> the method. The document is block YAML on these two
 * levels. */
static bool documented(const char *method, const char *path)
{
    struct view file = api_pages_file("openapi.yaml");
    const char *at = strstr((const char *)file.data, "\npaths:\n");
    cr_assert_not_null(at);
    char line[200];
    (void)snprintf(line, sizeof(line), "\n  %s:\n", path);
    at = strstr(at, line);
    if (at == NULL) {
        return false;
    }
    const char *next = strstr(at + 2, "\n  /");
    (void)snprintf(line, sizeof(line), "\n    %s:\n", method);
    for (char *c = line; *c != '\0'; c++) {
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c | 0x20) : *c;
    }
    const char *found = strstr(at, line);
    return found != NULL && (next == NULL || found < next);
}

Test(route, every_route_is_in_the_openapi_document)
{
    uint32_t count = 0;
    const struct api_route *routes = api_routes(&count);
    uint32_t shown = 0;
    for (uint32_t i = 0; i < count; i++) {
        if ((routes[i].flags & API_ROUTE_HIDDEN) == 0) {
            shown++;
            cr_expect(documented(routes[i].method, routes[i].path), "%s %s", routes[i].method,
                      routes[i].path);
        }
    }
    /* And nothing else is: as many operations as routes. */
    struct view file = api_pages_file("openapi.yaml");
    const char *at = strstr((const char *)file.data, "\npaths:\n");
    const char *end = strstr(at, "\ncomponents:\n");
    uint32_t operations = 0;
    static const char *const methods[] = {"\n    get:\n", "\n    post:\n", "\n    put:\n",
                                          "\n    patch:\n", "\n    delete:\n"};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        for (const char *m = strstr(at, methods[i]); m != NULL && m < end;
             m = strstr(m + 1, methods[i])) {
            operations++;
        }
    }
    cr_expect_eq(operations, shown);
}

Test(route, every_parameter_of_a_route_is_in_the_document)
{
    struct buf json;
    buf_init(&json, API_OPENAPI_MAX);
    cr_assert_eq(api_pages_openapi(&json), ERR_OK);
    json_t *doc = json_loadb((const char *)json.data, json.len, JSON_REJECT_DUPLICATES, NULL);
    cr_assert_not_null(doc);
    uint32_t count = 0;
    const struct api_route *routes = api_routes(&count);
    for (uint32_t i = 0; i < count; i++) {
        char method[8] = "";
        for (size_t k = 0; k + 1 < sizeof(method) && routes[i].method[k] != '\0'; k++) {
            method[k] = (char)(routes[i].method[k] | 0x20);
        }
        json_t *item = json_object_get(json_object_get(doc, "paths"), routes[i].path);
        json_t *list = json_object_get(json_object_get(item, method), "parameters");
        uint32_t in_query = 0;
        size_t at = 0;
        json_t *p = NULL;
        json_array_foreach(list, at, p)
        {
            const char *ref = json_string_value(json_object_get(p, "$ref"));
            const json_t *real =
                ref == NULL ? p
                            : json_object_get(
                                  json_object_get(json_object_get(doc, "components"), "parameters"),
                                  strrchr(ref, '/') + 1);
            const char *name = json_string_value(json_object_get(real, "name"));
            if (strcmp(json_string_value(json_object_get(real, "in")), "query") == 0) {
                in_query++;
                cr_expect(api_route_takes_param(&routes[i], view_str(name)), "%s %s: %s",
                          routes[i].method, routes[i].path, name);
            }
        }
        uint32_t words = routes[i].params[0] == '\0' ? 0 : 1;
        for (const char *c = routes[i].params; *c != '\0'; c++) {
            words += *c == ' ';
        }
        cr_expect_eq(in_query, words, "%s %s", routes[i].method, routes[i].path);
    }
    json_decref(doc);
    buf_fini(&json);
}
