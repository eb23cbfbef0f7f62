/*
 * api_shapes: good requests to start from, and what to put in their places. From the OpenAPI
 * document, by hand.
 */
#pragma once

/* The first fits what the route takes; a body for another route is tried as well. */
static const char *const api_bodies[] = {
    "{\"name\":\"t1\",\"metrics\":{\"temp\":{\"unit\":\"C\",\"min\":-40,\"max\":125,"
    "\"baseline_samples\":10,\"missing\":[511,-1]}},\"commands\":[\"reboot\",{\"name\":\"set\","
    "\"description\":\"x\",\"params\":{}}],\"topics\":{\"publish\":[\"plant/+/up/#\"],"
    "\"subscribe\":[\"a/b\"]},\"auto_register\":true,\"any_metric\":false,\"metrics_max\":10}",
    "{\"name\":\"d1\",\"type\":\"generic\",\"labels\":{\"site\":\"a\"},\"attributes\":{\"x\":1,"
    "\"y\":\"t\",\"z\":true},\"gateway\":\"gw\",\"enabled\":true}",
    "{\"kind\":\"token\",\"token\":\"abcdefghijklmnopqrstuvwxyz\",\"days\":30}",
    "{\"kind\":\"certificate\",\"csr\":\"-----BEGIN CERTIFICATE REQUEST-----\\nAA==\\n"
    "-----END CERTIFICATE REQUEST-----\\n\",\"days\":30}",
    "{\"method\":\"reboot\",\"params\":{\"a\":[1,2.5,\"x\"]},\"expires_in\":\"60s\"}",
    "{\"name\":\"r1\",\"when\":\"avg_over_time(temp[5m]) > 80\",\"for\":\"30s\",\"select\":"
    "\"type = 'generic'\",\"severity\":\"critical\",\"summary\":\"{{device}} hot\",\"clear\":"
    "\"temp < 70\",\"actions\":[{\"command\":{\"method\":\"stop\",\"params\":{\"why\":\"hot\"}}}]}",
    "{\"name\":\"yard\",\"kind\":\"polygon\",\"coordinates\":[[[0,0],[1,0],[1,1],[0,0]]],"
    "\"exit_margin_m\":5}",
    "{\"comment\":\"seen\"}",
    "{\"state\":\"done\"}",
    "{\"ts\":1767225600000,\"values\":{\"temp\":21.5,\"on\":true}}",
    "name,type,label.site,attr.x,gateway,token\nd1,generic,a,1,gw,\n\"d\"\"3\",,b,,,\n",
    "{\"name\":\"d1\",\"labels\":{\"a\":\"b\"}}\n{\"name\":\"d4\",\"gateway\":\"d1\"}\n",
    "",
};

/* In the place of a value or a name. NULL: raw bytes of the input. */
static const char *const api_values[] = {
    NULL,           "null",      "true",      "0",
    "-1",           "1e308",     "1e400",     "9223372036854775807",
    "-0.0",         "\"\"",      "\"x\"",     "[]",
    "{}",           "[[[]]]",    "\"d1\"",    "9223372036854775808",
    "\"1s\"",       "0.1",       "[{}]",      "\"\\u0000\"",
    "\"\\ud800\"",  "\"a b\"",   "\"#\"",     "2147483648",
    "\"name\"",     "\"-5m\"",   "\"{{x}}\"", "{\"a\":{\"b\":1}}",
    "\"\xc3\xa9\"", "\"token\"", "1.5",
};

static const char *const api_names[] = {
    NULL,
    "d1",
    "gw",
    "d2",
    "t1",
    "generic",
    "r1",
    "nobody",
    "1",
    "42",
    "0",
    "-1",
    "9223372036854775807",
    "99999999999999999999",
    "p%2D1",
    "no%00",
    "%",
    "..",
    "a%2Fb",
    "d1/",
    "%C3%A9",
};

static const char *const api_params[] = {
    NULL,
    "",
    "5",
    "1000",
    "1001",
    "-1",
    "now",
    "-1h",
    "now-7d",
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00+02:00",
    "1767225600000",
    "99999999999999999999",
    "1h",
    "1ns",
    "5s",
    "avg",
    "count",
    "last",
    "desc",
    "asc",
    "csv",
    "ndjson",
    "json",
    "temp",
    "temp,on",
    "firing,resolved",
    "critical",
    "d1",
    "gw",
    "type%20%3D%20'generic'",
    "label.site%3D'a'",
    "a,b",
    "{}",
    "%",
    "true",
    "dDo6MTowOg",
    "YTo1OjA6",
    "sba_admin",
};

static const char *const api_tokens[] = {
    "Bearer sba_admin", "Bearer sba_narrow", "Bearer sbd_device", "Bearer sba_reader",
    "Bearer unknown",   "Basic x",           "Bearer ",           NULL, /* NULL: no header */
};

static const char *const api_types[] = {
    NULL,
    "application/json",
    "text/csv",
    "application/x-ndjson",
    "application/json; charset=utf-8",
    "text/plain",
    "application/",
    ";",
    "multipart/form-data; boundary=x",
    "TEXT/CSV",
};

static const char *const api_accepts[] = {
    NULL,
    "*/*",
    "application/json",
    "text/csv",
    "application/x-ndjson;q=0.5, */*;q=0.1",
    "text/html",
    "text/event-stream",
    "application/*",
    "q=",
    "application/json;q=0",
    "image/png",
};

static const char *const api_matches[] = {
    NULL, "\"3\"", "*", "W/\"3\"", "\"2\", \"3\"", "3", "\"\"", "\"99999999999999999999\"", "\"4\"",
};
