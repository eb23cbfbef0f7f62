/*
 * options: what all commands that connect to a server share, and strict readers for their values.
 *
 *     static const struct option table[] = {FLEET_OPTIONS, {"window", required_argument, NULL,
 * 'w'}, {0}}; … getopt_long(…) … default: if (!fleet_options_take(&o, code, optarg)) return
 * FLEET_USAGE;
 *
 * Ownership: texts are borrowed from argv. Threads: one.
 * Errors:    fleet_options_take() has told the user on stderr what is wrong with the value.
 */
#pragma once

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include "fleet/client.h"
#include "fleet/link.h"

enum fleet_exit { FLEET_DONE = 0, FLEET_FAILED = 1, FLEET_USAGE = 2 };

enum fleet_versions { FLEET_V311, FLEET_V5, FLEET_MIXED }; /* mixed: every second device */

struct fleet_options {
    const char *host;
    int port;
    const char *ca_file;
    const char *secret;
    enum fleet_versions versions;
    uint32_t window;
    uint32_t keep_alive_s;
    uint64_t seed;
    bool json;
    bool retry_fast;
    bool stay_down;
    uint32_t connects_per_second; /* ramp-up */
};

enum {
    FLEET_OPT_HOST = 1000,
    FLEET_OPT_PORT,
    FLEET_OPT_CAFILE,
    FLEET_OPT_INSECURE,
    FLEET_OPT_SECRET,
    FLEET_OPT_SECRET_FILE,
    FLEET_OPT_V311,
    FLEET_OPT_V5,
    FLEET_OPT_MIXED,
    FLEET_OPT_WINDOW,
    FLEET_OPT_KEEP_ALIVE,
    FLEET_OPT_SEED,
    FLEET_OPT_RETRY,
    FLEET_OPT_RETRY_FAST,
    FLEET_OPT_NO_RETRY,
    FLEET_OPT_RAMP,
    FLEET_OPT_OWN /* a command's own options start here */
};

#define FLEET_OPTIONS                                                                         \
    {"host", required_argument, NULL, FLEET_OPT_HOST},                                        \
        {"port", required_argument, NULL, FLEET_OPT_PORT},                                    \
        {"cafile", required_argument, NULL, FLEET_OPT_CAFILE},                                \
        {"insecure", no_argument, NULL, FLEET_OPT_INSECURE},                                  \
        {"secret", required_argument, NULL, FLEET_OPT_SECRET},                                \
        {"secret-file", required_argument, NULL, FLEET_OPT_SECRET_FILE},                      \
        {"v311", no_argument, NULL, FLEET_OPT_V311}, {"v5", no_argument, NULL, FLEET_OPT_V5}, \
        {"mixed", no_argument, NULL, FLEET_OPT_MIXED},                                        \
        {"window", required_argument, NULL, FLEET_OPT_WINDOW},                                \
        {"keepalive", required_argument, NULL, FLEET_OPT_KEEP_ALIVE},                         \
        {"seed", required_argument, NULL, FLEET_OPT_SEED},                                    \
        {"retry", no_argument, NULL, FLEET_OPT_RETRY},                                        \
        {"retry-fast", no_argument, NULL, FLEET_OPT_RETRY_FAST},                              \
        {"no-retry", no_argument, NULL, FLEET_OPT_NO_RETRY},                                  \
        {"ramp", required_argument, NULL, FLEET_OPT_RAMP},                                    \
    {                                                                                         \
        "output", required_argument, NULL, 'o'                                                \
    }

extern const char fleet_options_help[];

struct fleet_options fleet_options_default(void);
bool fleet_options_take(struct fleet_options *o, int code, const char *text);
/* Which MQTT version the i-th device speaks. */
enum mqtt_version fleet_options_version(const struct fleet_options *o, uint64_t i);
struct fleet_target fleet_options_target(const struct fleet_options *o);
struct fleet_client_conf fleet_options_conf(const struct fleet_options *o, struct fleet_net *net,
                                            const struct fleet_client_events *events);

/* On a value that is not one these say so on stderr, naming the option. */
bool fleet_read_count(const char *option, const char *text, uint64_t min, uint64_t max,
                      uint64_t *ret_n);
bool fleet_read_real(const char *option, const char *text, double min, double max, double *ret_x);
bool fleet_read_time(const char *option, const char *text, int64_t *ret_us);
bool fleet_read_share(const char *option, const char *text, double *ret_share); /* "5%" or "0.05" */

/* As many descriptors as the system allows; returns how many connections fit. */
uint64_t fleet_raise_files(void);
