#include "auth/auth.h"

#include "session/sessions.h"

static enum err token(void *arg, struct view token, struct auth_identity *ret_identity)
{
    return auth_token(arg, token, ret_identity);
}

static enum err certificate(void *arg, struct view der, struct auth_identity *ret_identity)
{
    return auth_certificate(arg, der, ret_identity);
}

static struct device *device(void *arg, int32_t id)
{
    return auth_device(arg, id);
}

struct sessions_auth sessions_auth_of(struct auth *a)
{
    return (struct sessions_auth){
        .arg = a, .token = token, .certificate = certificate, .device = device};
}
