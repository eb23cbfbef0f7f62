#include "fleet/options.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"

const char fleet_options_help[] =
    "Connection:\n"
    "  --host NAME           server (default localhost)\n"
    "  --port N              MQTT over TLS (default 8883)\n"
    "  --cafile FILE         CA certificates to trust (default var/ca.pem when it exists, else the "
    "system's)\n"
    "  --v311 | --v5 | --mixed   MQTT version; mixed: every second device (default v5)\n"
    "  --window N            messages in flight per connection (default 100)\n"
    "  --keepalive S         seconds (default 30)\n"
    "  --ramp N              new connections a second (default 500)\n"
    "  --retry-fast          reconnect after 0.1 to 1 s instead of 1 to 30 s\n"
    "  --no-retry            do not reconnect\n"
    "Identity:\n"
    "  --secret TEXT         device tokens are HMAC-SHA256(secret, name); see `fleet csv`\n"
    "  --secret-file FILE    the same, from the first line of a file\n"
    "Other:\n"
    "  --seed N              the same seed gives the same run\n"
    "  -o json               result as one JSON object on standard output\n";

struct fleet_options fleet_options_default(void)
{
    struct fleet_options o = {.host = "localhost",
                              .port = 8883,
                              .versions = FLEET_V5,
                              .window = 100,
                              .keep_alive_s = 30,
                              .seed = 1,
                              .connects_per_second = 500};
    if (access("var/ca.pem", R_OK) == 0) {
        o.ca_file = "var/ca.pem";
    }
    return o;
}

bool fleet_read_count(const char *option, const char *text, uint64_t min, uint64_t max,
                      uint64_t *ret_n)
{
    uint64_t n = 0;
    size_t i = 0;
    for (; text[i] >= '0' && text[i] <= '9' && i < 19; i++) {
        n = n * 10 + (uint64_t)(text[i] - '0');
    }
    if (i == 0 || text[i] != '\0' || n < min || n > max) {
        (void)fprintf(stderr, "--%s: `%s` is not a whole number from %llu to %llu\n", option, text,
                      (unsigned long long)min, (unsigned long long)max);
        return false;
    }
    *ret_n = n;
    return true;
}

bool fleet_read_real(const char *option, const char *text, double min, double max, double *ret_x)
{
    char *end = NULL;
    double x = strtod(text, &end);
    if (end == text || *end != '\0' || !(x >= min && x <= max)) {
        (void)fprintf(stderr, "--%s: `%s` is not a number from %g to %g\n", option, text, min, max);
        return false;
    }
    *ret_x = x;
    return true;
}

bool fleet_read_time(const char *option, const char *text, int64_t *ret_us)
{
    uint64_t seconds = 0;
    size_t len = strlen(text);
    if (clock_parse_duration(view_str(text), ret_us) == ERR_OK) {
        return true;
    }
    if (len > 0 && len < 10 && strspn(text, "0123456789") == len &&
        fleet_read_count(option, text, 0, 999999999, &seconds)) {
        *ret_us = (int64_t)seconds * CLOCK_SECOND_US;
        return true;
    }
    (void)fprintf(stderr, "--%s: `%s` is not a duration such as 500ms, 30s or 5m\n", option, text);
    return false;
}

bool fleet_read_share(const char *option, const char *text, double *ret_share)
{
    char *end = NULL;
    double x = strtod(text, &end);
    if (end != text && strcmp(end, "%") == 0) {
        x /= 100;
        end++;
    }
    if (end == text || *end != '\0' || !(x >= 0 && x <= 1)) {
        (void)fprintf(stderr, "--%s: `%s` is not a share such as 5%% or 0.05\n", option, text);
        return false;
    }
    *ret_share = x;
    return true;
}

/* Kept for the life of the program, as argv is. */
static bool read_secret(const char *file, const char **ret_secret)
{
    static char secret[512];
    FILE *f = fopen(file, "re");
    bool ok = f != NULL && fgets(secret, sizeof(secret), f) != NULL;
    int why = errno;
    if (f != NULL) {
        (void)fclose(f);
    }
    if (!ok) {
        (void)fprintf(stderr, "--secret-file: cannot read %s: %s\n", file,
                      f == NULL ? strerror(why) : "empty");
        return false;
    }
    secret[strcspn(secret, "\r\n")] = '\0';
    *ret_secret = secret;
    return true;
}

static bool take_count(const char *option, const char *text, uint64_t min, uint64_t max,
                       uint32_t *ret_n)
{
    uint64_t n = 0;
    if (!fleet_read_count(option, text, min, max, &n)) {
        return false;
    }
    *ret_n = (uint32_t)n;
    return true;
}

bool fleet_options_take(struct fleet_options *o, int code, const char *text)
{
    uint32_t n = 0;
    switch (code) {
    case FLEET_OPT_HOST:
        o->host = text;
        return true;
    case FLEET_OPT_PORT:
        if (!take_count("port", text, 1, 65535, &n)) {
            return false;
        }
        o->port = (int)n;
        return true;
    case FLEET_OPT_CAFILE:
        o->ca_file = text;
        return true;
    case FLEET_OPT_INSECURE:
        (void)fprintf(stderr, "--insecure does not exist: give the server's CA with --cafile\n");
        return false;
    case FLEET_OPT_SECRET:
        o->secret = text;
        return true;
    case FLEET_OPT_SECRET_FILE:
        return read_secret(text, &o->secret);
    case FLEET_OPT_V311:
        o->versions = FLEET_V311;
        return true;
    case FLEET_OPT_V5:
        o->versions = FLEET_V5;
        return true;
    case FLEET_OPT_MIXED:
        o->versions = FLEET_MIXED;
        return true;
    case FLEET_OPT_WINDOW:
        return take_count("window", text, 1, 10000, &o->window);
    case FLEET_OPT_KEEP_ALIVE:
        return take_count("keepalive", text, 0, 65535, &o->keep_alive_s);
    case FLEET_OPT_SEED:
        return fleet_read_count("seed", text, 0, UINT64_MAX, &o->seed);
    case FLEET_OPT_RETRY:
        o->stay_down = false;
        return true;
    case FLEET_OPT_RETRY_FAST:
        o->retry_fast = true;
        return true;
    case FLEET_OPT_NO_RETRY:
        o->stay_down = true;
        return true;
    case FLEET_OPT_RAMP:
        return take_count("ramp", text, 1, 1000000, &o->connects_per_second);
    case 'o':
        if (strcmp(text, "json") != 0 && strcmp(text, "table") != 0) {
            (void)fprintf(stderr, "-o: `%s` is neither table nor json\n", text);
            return false;
        }
        o->json = strcmp(text, "json") == 0;
        return true;
    default:
        return false; /* getopt has said what it was */
    }
}

enum mqtt_version fleet_options_version(const struct fleet_options *o, uint64_t i)
{
    if (o->versions == FLEET_MIXED) {
        return i % 2 == 0 ? MQTT_311 : MQTT_50;
    }
    return o->versions == FLEET_V5 ? MQTT_50 : MQTT_311;
}

struct fleet_target fleet_options_target(const struct fleet_options *o)
{
    return (struct fleet_target){.host = o->host, .port = o->port, .ca_file = o->ca_file};
}

struct fleet_client_conf fleet_options_conf(const struct fleet_options *o, struct fleet_net *net,
                                            const struct fleet_client_events *events)
{
    return (struct fleet_client_conf){.net = net,
                                      .events = events,
                                      .window_max = o->window,
                                      .keep_alive_s = (uint16_t)o->keep_alive_s,
                                      .session_expiry_s = 3600,
                                      .resume = true,
                                      .stay_down = o->stay_down,
                                      .backoff_min_ms = o->retry_fast ? 100 : 1000,
                                      .backoff_max_ms = o->retry_fast ? 1000 : 30000,
                                      .connect_timeout_ms = o->retry_fast ? 5000 : 20000};
}

uint64_t fleet_raise_files(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 256;
    }
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 && getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 256;
    }
    return limit.rlim_cur > 64 ? limit.rlim_cur - 64 : 0;
}
