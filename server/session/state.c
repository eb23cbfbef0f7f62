#include "session/state.h"

#include "mqtt/frame.h"

static const struct {
    const char *words;
    uint32_t to;
} states[] = {
#define SESSION_STATE_ROW(name, words, to) [name] = {words, to},
    SESSION_STATE_LIST(SESSION_STATE_ROW)
#undef SESSION_STATE_ROW
};

/* Everything else ends the connection: server packets from a client, AUTH without a method in
 * CONNECT [MQTT-4.12.0-6], a second CONNECT [MQTT-3.1.0-2]. */
static const uint32_t accepted[SESSION_STATE_COUNT] = {
    [SESSION_WAITING] = 1u << MQTT_CONNECT,
    [SESSION_READY] = 1u << MQTT_PUBLISH | 1u << MQTT_PUBACK | 1u << MQTT_PUBREC |
                      1u << MQTT_PUBREL | 1u << MQTT_PUBCOMP | 1u << MQTT_SUBSCRIBE |
                      1u << MQTT_UNSUBSCRIBE | 1u << MQTT_PINGREQ | 1u << MQTT_DISCONNECT,
};

const char *session_state_words(enum session_state state)
{
    return (unsigned)state < SESSION_STATE_COUNT ? states[state].words : "?";
}

bool session_may_move(enum session_state from, enum session_state to)
{
    return (states[from].to >> to & 1u) != 0;
}

bool session_accepts(enum session_state state, unsigned mqtt_type)
{
    return (accepted[state] >> mqtt_type & 1u) != 0;
}
