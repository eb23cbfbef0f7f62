#include "auth/auth.h"
#include "base/check.h"

static const struct {
    const char *word;
    uint32_t bits;
} scopes[] = {
    {"devices:read", AUTH_DEVICES_READ},
    {"devices:write", AUTH_DEVICES_WRITE},
    {"telemetry:read", AUTH_TELEMETRY_READ},
    {"telemetry:write", AUTH_TELEMETRY_WRITE},
    {"commands:write", AUTH_COMMANDS_WRITE},
    {"rules:write", AUTH_RULES_WRITE},
    {"admin", AUTH_ADMIN},
};

uint32_t auth_scope_parse(struct view word)
{
    for (size_t i = 0; i < COUNT_OF(scopes); i++) {
        if (view_eq_str(word, scopes[i].word)) {
            return scopes[i].bits;
        }
    }
    return 0;
}
