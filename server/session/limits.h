/*
 * limits: what a peer may ask for. Devices get what the settings and good sense allow; the open
 * listener, which is there for conformance suites, gets what the protocol allows.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "mqtt/frame.h"

struct session_limits {
    struct mqtt_limits mqtt;
    int64_t keep_alive_max_us;     /* longer ones, and none, are set to this */
    int64_t session_expiry_max_us; /* of 5.0; longer ones are set to this */
    uint32_t packet_max, packet_max_before_auth;
    uint32_t send_max; /* bytes that may wait on the connection */
    uint32_t client_id_max;
    uint32_t topic_levels_max;
    uint32_t filters_max, filters_per_packet;
    uint32_t alias_bytes_max; /* of a topic that a client gives an alias */
    uint16_t aliases_max;     /* of the client */
    uint16_t receive_maximum;
    uint16_t window_311, window_5; /* QoS 1 and 2 under way to a client, whatever it allows */
};

struct session_limits session_limits_of_devices(const struct conf *conf);
struct session_limits session_limits_of_open_listener(const struct conf *conf);
