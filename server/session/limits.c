#include "session/limits.h"

#include "base/clock.h"

enum {
    OPEN_KEEP_ALIVE_S = 60,    /* a suite asks for more and wants to be told of this */
    OPEN_RECEIVE_MAXIMUM = 20, /* a suite that sends one more wants it small */
    OPEN_ALIASES_MAX = 10,
};

static uint32_t to_u32(int64_t bytes)
{
    return bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
}

struct session_limits session_limits_of_devices(const struct conf *conf)
{
    return (struct session_limits){
        .mqtt = mqtt_limits_default,
        .keep_alive_max_us = conf->keepalive_max_us,
        .session_expiry_max_us = conf->session_expiry_max_us,
        .packet_max = to_u32(conf->packet_max_bytes),
        .packet_max_before_auth = to_u32(conf->packet_max_before_auth_bytes),
        .send_max = to_u32(conf->send_queue_max_bytes),
        .client_id_max = 128,
        .topic_levels_max = 16,
        .filters_max = 50,
        .filters_per_packet = 8,
        .alias_bytes_max = 1024,
        .aliases_max = 16,
        .receive_maximum = (uint16_t)conf->receive_maximum,
        .window_311 = 20,
        .window_5 = 100,
    };
}

struct session_limits session_limits_of_open_listener(const struct conf *conf)
{
    return (struct session_limits){
        .mqtt = {.user_props_max = UINT32_MAX, .user_props_bytes_max = UINT32_MAX},
        .keep_alive_max_us = OPEN_KEEP_ALIVE_S * CLOCK_SECOND_US,
        .session_expiry_max_us = UINT32_MAX * CLOCK_SECOND_US,
        .packet_max = UINT32_MAX, /* what four bytes of Remaining Length can say */
        .packet_max_before_auth = UINT32_MAX,
        .send_max = UINT32_MAX,
        .client_id_max = UINT16_MAX,
        .topic_levels_max = UINT32_MAX,
        .filters_max = UINT32_MAX,
        .filters_per_packet = UINT32_MAX,
        .alias_bytes_max = UINT16_MAX,
        .aliases_max = OPEN_ALIASES_MAX,
        .receive_maximum = conf->receive_maximum < OPEN_RECEIVE_MAXIMUM
                               ? (uint16_t)conf->receive_maximum
                               : (uint16_t)OPEN_RECEIVE_MAXIMUM,
        .window_311 = 100,
        .window_5 = 1000,
    };
}
