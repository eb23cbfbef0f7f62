/*
 * devices: what the programs that connect devices share: names, the import file, numbers in JSON.
 */
#pragma once

#include <stdio.h>

#include "base/emit_json.h"
#include "fleet/crew.h"

enum { BENCH_NAME_SIZE = 64 };

static inline const char *bench_name(const char *prefix, uint32_t index,
                                     char ret_name[static BENCH_NAME_SIZE])
{
    (void)snprintf(ret_name, BENCH_NAME_SIZE, "%s%04u", prefix, index);
    return ret_name;
}

static inline bool bench_add_devices(struct fleet_crew *crew, const char *prefix, uint32_t count)
{
    char name[BENCH_NAME_SIZE];
    for (uint32_t i = 0; i < count; i++) {
        if (!fleet_crew_add(crew, bench_name(prefix, i, name))) {
            return false;
        }
    }
    return true;
}

/* For POST /v1/devices/import. */
static inline bool bench_print_csv(const char *secret, const char *prefix, uint32_t count)
{
    char name[BENCH_NAME_SIZE];
    char token[FLEET_TOKEN_SIZE];
    (void)printf("name,type,token\n");
    for (uint32_t i = 0; i < count; i++) {
        if (fleet_token(view_str(secret), view_str(bench_name(prefix, i, name)), token) != ERR_OK) {
            return false;
        }
        (void)printf("%s,generic,%s\n", name, token);
    }
    return true;
}

static inline void bench_emit_count(struct emit_json *j, const char *key, uint64_t n)
{
    emit_json_key(j, key);
    emit_json_int(j, (int64_t)n);
}

static inline void bench_emit_real(struct emit_json *j, const char *key, double x, int decimals)
{
    char text[64];
    int len = snprintf(text, sizeof(text), "%.*f", decimals, x);
    emit_json_key(j, key);
    emit_json_raw(j, view_of(text, (size_t)len));
}
