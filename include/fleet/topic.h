/*
 * topic: the device API's topics, as a device writes them.
 */
#pragma once

#define FLEET_TOPIC_TELEMETRY      "v1/devices/me/telemetry"
#define FLEET_TOPIC_COMMANDS       "v1/devices/me/rpc/request/+"
#define FLEET_TOPIC_COMMAND_PREFIX "v1/devices/me/rpc/request/"
#define FLEET_TOPIC_ANSWER_PREFIX  "v1/devices/me/rpc/response/"
