/*
 * query_internal: what the query files share.
 *
 * A list query gives rows of four columns: the item as JSON text, then the key that the next page
 * starts after, as two integers and a name. It asks for one row more than wanted, which tells
 * whether there is a next page.
 */
#pragma once

#include "store/db.h"

#define QUERY_TS_FORMAT "YYYY-MM-DD\"T\"HH24:MI:SS"
/* A timestamptz as RFC 3339 in UTC with 0, 3 or 6 decimals, like clock_format(). */
#define QUERY_TS(x)                                                                \
    "to_char(" x " AT TIME ZONE 'UTC', CASE WHEN date_trunc('second', " x ") = " x \
    " THEN '" QUERY_TS_FORMAT "\"Z\"' WHEN date_trunc('milliseconds', " x ") = " x \
    " THEN '" QUERY_TS_FORMAT ".MS\"Z\"' ELSE '" QUERY_TS_FORMAT ".US\"Z\"' END)"
#define QUERY_US(x) "(extract(epoch FROM " x ") * 1000000)::bigint"
