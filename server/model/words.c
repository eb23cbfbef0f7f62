#include <stddef.h>

#include "base/check.h"
#include "model/alert.h"
#include "model/command.h"

static const char *const severities[] = {
#define SEVERITY_ROW(name, words) words,
    SEVERITY_LIST(SEVERITY_ROW)
#undef SEVERITY_ROW
};

static const char *const alert_states[] = {
#define ALERT_STATE_ROW(name, words) words,
    ALERT_STATE_LIST(ALERT_STATE_ROW)
#undef ALERT_STATE_ROW
};

static const struct {
    const char *words;
    unsigned to;
} command_states[] = {
#define COMMAND_STATE_ROW(name, words, to) {words, to},
    COMMAND_STATE_LIST(COMMAND_STATE_ROW)
#undef COMMAND_STATE_ROW
};

const char *severity_words(enum severity s)
{
    return severities[s];
}

bool severity_parse(struct view text, enum severity *ret_severity)
{
    for (size_t i = 0; i < COUNT_OF(severities); i++) {
        if (view_eq_str(text, severities[i])) {
            *ret_severity = (enum severity)i;
            return true;
        }
    }
    return false;
}

const char *alert_state_words(enum alert_state s)
{
    return alert_states[s];
}

const char *command_state_words(enum command_state s)
{
    return command_states[s].words;
}

bool command_state_parse(struct view text, enum command_state *ret_state)
{
    for (size_t i = 0; i < COUNT_OF(command_states); i++) {
        if (view_eq_str(text, command_states[i].words)) {
            *ret_state = (enum command_state)i;
            return true;
        }
    }
    return false;
}

bool command_may_move(enum command_state from, enum command_state to)
{
    return (command_states[from].to & COMMAND_TO(to)) != 0;
}

bool command_is_final(enum command_state s)
{
    return command_states[s].to == 0;
}
